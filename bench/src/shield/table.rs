//! What was seen of each family and server, and how it is told.

use std::fmt::Write as _;
use std::time::Duration;

use super::bystanders::Noticed;
use super::families::{Family, Tally};
use super::servers::Server;

/// One family against one server.
pub(super) struct Row {
    /// Which attack.
    pub(super) family: Family,
    /// On whom.
    pub(super) server: Server,
    /// What came of it.
    pub(super) outcome: Outcome,
}

/// What came of it.
pub(super) enum Outcome {
    /// It was measured.
    Seen(Seen),
    /// The server has nothing that could be attacked so, and why.
    NotOffered(&'static str),
    /// It could not be measured, and why.
    Failed(String),
}

/// What was measured.
pub(super) struct Seen {
    /// The length of both phases.
    pub(super) during: Duration,
    /// Of the attackers.
    pub(super) tally: Tally,
    /// Of the bystanders, before the attack.
    pub(super) quiet: Noticed,
    /// Of them under attack.
    pub(super) attacked: Noticed,
    /// Nanoseconds of the server's CPU in the attack, less what the quiet phase cost; nothing when they could not be told.
    pub(super) cpu: Option<u64>,
    /// The most resident bytes in the attack over the most in the quiet phase.
    pub(super) grown: u64,
    /// What the origin was asked in the attack, but for bystanders.
    pub(super) asked: usize,
}

impl Seen {
    /// Microseconds of CPU for each unit that was begun.
    fn micros_each(&self) -> Option<f64> {
        let begun = u32::try_from(self.tally.begun).ok()?;
        let cpu = Duration::from_nanos(self.cpu?);
        (begun > 0).then(|| cpu.as_secs_f64() * 1e6 / f64::from(begun))
    }

    /// Percent of one core that the attack took.
    fn share(&self) -> Option<f64> {
        let cpu = Duration::from_nanos(self.cpu?);
        Some(cpu.as_secs_f64() * 100.0 / self.during.as_secs_f64())
    }
}

impl Row {
    /// The promise that this row breaks.
    pub(super) fn broken(&self) -> Option<String> {
        let (what, who) = (self.family.title(), self.server.name());
        match &self.outcome {
            Outcome::Failed(why) => Some(format!("{what}, {who}: not measured: {why}")),
            Outcome::Seen(seen) if seen.tally.begun == 0 => {
                Some(format!("{what}, {who}: nobody attacked"))
            }
            Outcome::Seen(seen) if self.server == Server::Mangrove => {
                let hurt = seen.attacked.took.len() - seen.attacked.answered;
                let calm = seen.quiet.took.len() - seen.quiet.answered;
                (hurt + calm > 0).then(|| {
                    format!(
                        "{what}, {who}: bystanders were not answered {calm} times while it was quiet and {hurt} times under \
                         attack{}",
                        failures(seen)
                    )
                })
            }
            Outcome::Seen(_) | Outcome::NotOffered(_) => None,
        }
    }

    /// One line of the table.
    pub(super) fn line(&self) -> String {
        let mut text = format!("| {} | {} | ", self.family.title(), self.server.name());
        let seen = match &self.outcome {
            Outcome::Seen(seen) => seen,
            Outcome::NotOffered(why) => {
                let _ = write!(text, "not offered: {why} | | | | | | | | |");
                return text;
            }
            Outcome::Failed(why) => {
                let _ = write!(text, "not measured: {why} | | | | | | | | |");
                return text;
            }
        };
        let tenth =
            |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.1}"));
        let _ = write!(
            text,
            "{} {}s | {} | {} of {} | {} → {} | {} | {} | {:.1} | {} | {} |",
            seen.tally.begun,
            self.family.unit(),
            seen.tally.through,
            seen.attacked.answered,
            seen.attacked.took.len(),
            millis(p99(&seen.quiet.took)),
            millis(p99(&seen.attacked.took)),
            tenth(seen.micros_each()),
            seen.share()
                .map_or("–".to_owned(), |share| format!("{share:.1} %")),
            mebibytes(seen.grown),
            seen.asked,
            seen.tally.words()
        );
        text
    }
}

/// The 99th percentile: the least that 99 of 100 do not exceed.
pub(super) fn p99(took: &[Duration]) -> Option<Duration> {
    let mut took = took.to_vec();
    took.sort_unstable();
    let place = (took.len() * 99).div_ceil(100);
    took.get(place.checked_sub(1)?).copied()
}

/// Why bystanders under attack were not answered.
fn failures(seen: &Seen) -> String {
    let failures = seen.attacked.failures.iter();
    let words: Vec<String> = failures
        .map(|(why, count)| format!("{count} × {why}"))
        .collect();
    match words.is_empty() {
        true => String::new(),
        false => format!(" ({})", words.join("; ")),
    }
}

fn millis(took: Option<Duration>) -> String {
    took.map_or("–".to_owned(), |took| {
        format!("{:.1}", took.as_secs_f64() * 1000.0)
    })
}

fn mebibytes(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes >> 10).unwrap_or(u32::MAX)) / 1024.0
}

/// The table with its notes.
pub(super) fn whole(rows: &[Row], versions: &[(Server, String)], during: Duration) -> String {
    let mut text = String::from(
        "\n| attack | server | begun | let through | bystanders answered | their p99 ms, quiet → under attack \
         | µs CPU each | of a core | MiB more | origin asked | how it ended |\n\
         |---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        text.push_str(&row.line());
        text.push('\n');
    }
    let _ = write!(
        text,
        "\n* {} s of quiet, and as long of attack, by 16 attackers' addresses at these rates a second: {}.\n\
         * *Let through*: of connections, those that were open at the end, or had their answer begun; of requests, those that were \
         answered as if nothing were wrong; of frames and streams, those that an answered PING or GOAWAY says were taken up: at \
         least so many. *How it ended* counts requests and connections; over HTTP/2 connections, which come again.\n\
         * *Bystanders*: one over HTTP/1.1 and one over HTTP/2 in TLS who keep their connections, and one who comes anew over TLS for \
         each question; 50 questions a second each, timed from when they were due; an answer that never came counts as 2 s. Every \
         byte was checked.\n\
         * *µs CPU each* is the server's CPU in the attack less that of the quiet phase, for each unit begun; *MiB more* likewise, of \
         the most resident memory seen. One worker on one core; bystanders, attackers and origin share another.\n",
        during.as_secs_f64(),
        rates(rows)
    );
    for (server, version) in versions {
        let _ = writeln!(
            text,
            "* *{}* ({version}): {}.",
            server.name(),
            server.guards(version)
        );
    }
    for row in rows {
        if let Outcome::Seen(seen) = &row.outcome
            && !seen.attacked.failures.is_empty()
        {
            let (what, who) = (row.family.title(), row.server.name());
            let _ = writeln!(
                text,
                "* {what}, {who}: bystanders that were not answered{}.",
                failures(seen)
            );
        }
    }
    text
}

/// Each family's rate, once.
fn rates(rows: &[Row]) -> String {
    let mut families: Vec<Family> = Vec::new();
    for row in rows {
        if !families.contains(&row.family) {
            families.push(row.family);
        }
    }
    let words = families
        .iter()
        .map(|family| format!("{} {}", family.title(), family.rate()));
    words.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::plain;
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    pub(in crate::shield) fn row(server: Server, p99: u32) -> Row {
        let noticed = |took: u32| Noticed {
            took: vec![took * MILLI],
            answered: 1,
            ..Noticed::default()
        };
        Row {
            family: Family::Plain(plain::Kind::RequestFlood),
            server,
            outcome: Outcome::Seen(Seen {
                during: Duration::from_secs(4),
                tally: Tally {
                    begun: 1_000,
                    through: 200,
                    endings: [("429".to_owned(), 800), ("200".to_owned(), 200)].into(),
                },
                quiet: noticed(2),
                attacked: noticed(p99),
                cpu: Some(20_000_000),
                grown: 3 << 19,
                asked: 7,
            }),
        }
    }

    fn seen(row: &mut Row) -> &mut Seen {
        match &mut row.outcome {
            Outcome::Seen(seen) => seen,
            _ => panic!("not seen"),
        }
    }

    #[test]
    fn of_a_hundred_the_slowest_but_one_is_the_99th_percentile() {
        let took: Vec<Duration> = (1..=100).rev().map(|took| took * MILLI).collect();
        assert_eq!(p99(&took), Some(99 * MILLI));
        assert_eq!(p99(&took[..1]), Some(100 * MILLI));
        assert_eq!(p99(&[]), None);
    }

    #[test]
    fn a_line_tells_what_each_one_cost() {
        assert_eq!(
            row(Server::Nginx, 5).line(),
            "| requests past the limit | nginx | 1000 requests | 200 | 1 of 1 | 2.0 → 5.0 | 20.0 | 0.5 % | 1.5 | 7 \
             | 800 × 429; 200 × 200 |"
        );
    }

    #[test]
    fn what_could_not_be_told_is_not_told() {
        let mut row = row(Server::Nginx, 5);
        seen(&mut row).cpu = None;
        assert!(row.line().contains("| 2.0 → 5.0 | – | – |"));
    }

    #[test]
    fn all_lines_have_as_many_columns_as_the_table() {
        let mut rows = vec![
            row(Server::Nginx, 5),
            row(Server::Hyper, 5),
            row(Server::Haproxy, 5),
        ];
        rows[1].outcome = Outcome::NotOffered("it has none");
        rows[2].outcome = Outcome::Failed("it ended".to_owned());
        let whole = whole(&rows, &[], Duration::from_secs(4));
        let lines = whole.lines().filter(|line| line.starts_with('|'));
        let columns: Vec<usize> = lines.map(|line| line.matches('|').count()).collect();
        assert_eq!(columns, [12; 5]);
    }

    #[test]
    fn a_bystander_of_mangrove_who_is_not_answered_breaks_the_promise() {
        for (server, breaks) in [(Server::Mangrove, true), (Server::Nginx, false)] {
            let mut row = row(server, 5);
            assert_eq!(row.broken(), None);
            seen(&mut row).attacked.answered = 0;
            assert_eq!(row.broken().is_some(), breaks);
        }
    }

    #[test]
    fn what_was_not_measured_or_not_attacked_shows_nothing() {
        let mut row = row(Server::Nginx, 5);
        seen(&mut row).tally.begun = 0;
        assert!(row.broken().is_some());
        row.outcome = Outcome::Failed("it ended".to_owned());
        assert!(row.broken().is_some());
        row.outcome = Outcome::NotOffered("it has none");
        assert_eq!(row.broken(), None);
    }
}
