//! The budgets of the design that this benchmark can judge.

use crate::peers::Server;
use crate::results::{Results, RowResult, Unit};
use crate::stats;

/// What became of a budget.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// Kept.
    Pass,
    /// Missed.
    Fail,
    /// A number that it needs was not taken.
    Unknown,
}

impl Verdict {
    /// The word in the table.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "**FAIL**",
            Self::Unknown => "not measured",
        }
    }
}

/// One budget, judged.
pub(crate) struct Judged {
    /// The row it is about.
    pub(crate) row: &'static str,
    /// What has to hold.
    pub(crate) budget: String,
    /// What was found.
    pub(crate) found: String,
    /// Whether it held.
    pub(crate) verdict: Verdict,
}

/// What has to hold of a row.
enum Budget {
    /// Mangrove with its log uses less CPU than this peer with its log.
    Below(Server),
    /// Mangrove with its log uses at most this many times the bare loop's CPU.
    TimesBare(f64),
    /// A connection of Mangrove's holds at most this many bytes.
    Bytes(f64),
}

const BUDGETS: [(&str, &str, Budget); 24] = [
    ("hit-1k", "gate", Budget::Below(Server::Haproxy)),
    ("hit-1k", "gate", Budget::Below(Server::Nginx)),
    ("hit-1k", "gate", Budget::Below(Server::Varnish)),
    ("hit-1k", "goal", Budget::TimesBare(1.25)),
    ("hit-100k", "gate", Budget::Below(Server::Haproxy)),
    ("hit-100k", "gate", Budget::Below(Server::Nginx)),
    ("hit-100k", "gate", Budget::Below(Server::Varnish)),
    ("hit-1m", "gate", Budget::Below(Server::Haproxy)),
    ("hit-1m", "gate", Budget::Below(Server::Nginx)),
    ("hit-1m", "gate", Budget::Below(Server::Varnish)),
    ("disk-100k", "gate", Budget::Below(Server::Nginx)),
    ("disk-100k", "gate", Budget::Below(Server::Varnish)),
    ("disk-100k-cold", "gate", Budget::Below(Server::Nginx)),
    ("disk-1m", "gate", Budget::Below(Server::Nginx)),
    ("disk-1m", "gate", Budget::Below(Server::Varnish)),
    ("disk-1m-cold", "gate", Budget::Below(Server::Nginx)),
    ("disk-100m", "gate", Budget::Below(Server::Nginx)),
    ("disk-100m", "gate", Budget::Below(Server::Varnish)),
    ("disk-100m-cold", "gate", Budget::Below(Server::Nginx)),
    ("pass-1k", "gate", Budget::Below(Server::Nginx)),
    ("pass-100k", "gate", Budget::Below(Server::Nginx)),
    ("pass-1m", "gate", Budget::Below(Server::Nginx)),
    ("idle-h1", "gate", Budget::Bytes(8192.0)),
    ("idle-h1", "goal", Budget::Bytes(4096.0)),
];

/// Judges every budget by the rows there are.
pub(crate) fn judge(results: &Results) -> Vec<Judged> {
    BUDGETS
        .iter()
        .map(|(row, kind, budget)| budget.judge(row, kind, results.row(row)))
        .collect()
}

impl Budget {
    fn judge(&self, row: &'static str, kind: &str, result: Option<&RowResult>) -> Judged {
        let found = result.and_then(|result| self.measure(result));
        let (limit, unit) = match self {
            Self::Below(_) => (1.0, "×"),
            Self::TimesBare(times) => (*times, "×"),
            Self::Bytes(bytes) => (*bytes, " bytes"),
        };
        let decimals = if matches!(self, Self::Bytes(_)) { 0 } else { 2 };
        let budget = match self {
            Self::Below(peer) => format!("{kind}: less CPU than {}, both with logs", peer.name()),
            Self::TimesBare(times) => format!("{kind}: at most {times} × the bare loop's CPU"),
            Self::Bytes(bytes) => format!("{kind}: at most {bytes:.0} bytes for a connection"),
        };
        let verdict = match (self, found) {
            (_, None) => Verdict::Unknown,
            (Self::Below(_), Some(value)) if value < limit => Verdict::Pass,
            (Self::TimesBare(_) | Self::Bytes(_), Some(value)) if value <= limit => Verdict::Pass,
            (_, Some(_)) => Verdict::Fail,
        };
        let found = found.map_or_else(String::new, |value| format!("{value:.decimals$}{unit}"));
        Judged {
            row,
            budget,
            found,
            verdict,
        }
    }

    /// The number that is held against the limit: the median over the rounds.
    fn measure(&self, row: &RowResult) -> Option<f64> {
        let own = row.values(Server::Mangrove, true)?;
        match self {
            Self::Below(peer) if row.unit == Unit::CpuNanoseconds => {
                stats::median(&stats::ratios(own, row.values(*peer, true)?))
            }
            Self::TimesBare(_) if row.unit == Unit::CpuNanoseconds => {
                stats::median(&stats::ratios(own, row.bare()?))
            }
            Self::Bytes(_) if row.unit == Unit::ResidentBytes => stats::median(own),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::row;

    fn verdict(rows: Vec<RowResult>, name: &str, words: &str) -> Verdict {
        let judged = judge(&Results {
            rows,
            ..Results::default()
        });
        judged
            .iter()
            .find(|judged| judged.row == name && judged.budget.contains(words))
            .unwrap()
            .verdict
    }

    fn passing(own: f64) -> Vec<RowResult> {
        let values = [own, own, own];
        vec![row(
            "pass-1k",
            Unit::CpuNanoseconds,
            &[
                (Server::Mangrove, true, &values),
                (Server::Nginx, true, &[100.0; 3]),
                (Server::Nginx, false, &[50.0; 3]),
            ],
        )]
    }

    #[test]
    fn a_peer_is_beaten_only_by_less() {
        assert_eq!(verdict(passing(99.0), "pass-1k", "nginx"), Verdict::Pass);
        assert_eq!(verdict(passing(100.0), "pass-1k", "nginx"), Verdict::Fail);
    }

    #[test]
    fn memory_may_reach_its_limit_and_not_one_byte_more() {
        let idle = |bytes: f64| {
            vec![row(
                "idle-h1",
                Unit::ResidentBytes,
                &[(Server::Mangrove, true, &[bytes])],
            )]
        };
        assert_eq!(verdict(idle(8192.0), "idle-h1", "8192"), Verdict::Pass);
        assert_eq!(verdict(idle(8193.0), "idle-h1", "8192"), Verdict::Fail);
    }

    #[test]
    fn every_budget_is_about_a_row_that_exists() {
        for (row, ..) in &BUDGETS {
            assert!(crate::rows::find(row).is_some(), "{row}");
        }
    }

    #[test]
    fn without_numbers_there_is_no_verdict() {
        assert!(
            judge(&Results::default())
                .iter()
                .all(|judged| judged.verdict == Verdict::Unknown)
        );
    }
}
