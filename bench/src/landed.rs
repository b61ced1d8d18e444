//! Instruction counts as the last landed change left them, and what a change does to them.
//!
//! Counts differ a little from run to run (hash seeds, the order in which connections wake, how often a clock turns), and more
//! with another compiler or processor: the file says what it was counted with.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::machine;

/// The rows that every change is counted by.
pub(crate) const ROWS: &[&str] = &["respond-1k", "hit-1k", "hit-304", "hit-tls-1k", "pass-1k"];
/// Each row is counted with so many requests and with twice as many: under a minute a row.
pub(crate) const REQUESTS: usize = 1000;
/// Growth past this, in hundredths, is no drift: it fails.
const ABSURD: u64 = 25;

/// Instructions for each request, row by row.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Landed {
    /// The revision counted.
    revision: String,
    /// What it was built with.
    compiler: String,
    /// By the row's name.
    pub(crate) rows: BTreeMap<String, u64>,
}

impl Landed {
    /// Of what is checked out here, without any count yet.
    pub(crate) fn of_this_revision() -> Self {
        Self {
            revision: machine::commit(),
            compiler: machine::compiler(),
            rows: BTreeMap::new(),
        }
    }

    /// What a file holds; nothing if there is none.
    pub(crate) fn load(file: &Path) -> Result<Self> {
        match fs::read(file) {
            Ok(text) => {
                serde_json::from_slice(&text).with_context(|| format!("reading {}", file.display()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("reading {}", file.display())),
        }
    }

    pub(crate) fn save(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(file, text).with_context(|| format!("writing {}", file.display()))
    }

    /// These counts beside those of `then`.
    pub(crate) fn table(&self, then: &Self) -> String {
        let mut text = String::from(
            "\nInstructions for each request:\n\n| row | now | then | change |\n| :-- | --: | --: | --: |\n",
        );
        for (row, now) in &self.rows {
            let (before, change) = match then.rows.get(row) {
                Some(then) => (then.to_string(), format!("{:+.2} %", change(*now, *then))),
                None => ("–".to_owned(), "new".to_owned()),
            };
            let _ = writeln!(text, "| {row} | {now} | {before} | {change} |");
        }
        let _ = write!(text, "\nNow: {}, {}.", self.revision, self.compiler);
        if !then.rows.is_empty() {
            let _ = write!(text, " Then: {}, {}.", then.revision, then.compiler);
        }
        text
    }

    /// Rows that cost so much more than then that something is broken, in words.
    pub(crate) fn absurd(&self, then: &Self) -> Vec<String> {
        let absurd = |(row, now): (&String, &u64)| {
            let then = then.rows.get(row)?;
            let allowed = then.saturating_add(then.saturating_mul(ABSURD) / 100);
            (*now > allowed).then(|| {
                format!("{row} costs {now} instructions, more than {ABSURD} % over the {then} of the last landed run")
            })
        };
        self.rows.iter().filter_map(absurd).collect()
    }
}

#[allow(clippy::cast_precision_loss, reason = "shown with two decimals")]
fn change(now: u64, then: u64) -> f64 {
    (now as f64 / then.max(1) as f64 - 1.0) * 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(rows: &[(&str, u64)]) -> Landed {
        let rows = rows.iter().map(|(row, count)| ((*row).to_owned(), *count));
        Landed {
            revision: "abc".to_owned(),
            compiler: "rustc 1".to_owned(),
            rows: rows.collect(),
        }
    }

    #[test]
    fn a_quarter_more_is_told_and_one_more_than_that_fails() {
        let then = counted(&[("hit-1k", 1000)]);
        assert!(counted(&[("hit-1k", 1250)]).absurd(&then).is_empty());
        assert_eq!(counted(&[("hit-1k", 1251)]).absurd(&then).len(), 1);
        let table = counted(&[("hit-1k", 1250)]).table(&then);
        assert!(
            table.contains("| hit-1k | 1250 | 1000 | +25.00 % |"),
            "{table}"
        );
    }

    #[test]
    fn a_row_that_nobody_has_landed_yet_is_new_and_no_failure() {
        let now = counted(&[("pass-1k", 5)]);
        assert!(now.absurd(&Landed::default()).is_empty());
        assert!(
            now.table(&Landed::default())
                .contains("| pass-1k | 5 | – | new |")
        );
    }

    #[test]
    fn every_row_that_is_counted_exists() {
        for row in ROWS {
            assert!(crate::rows::find(row).is_some(), "{row}");
        }
    }
}
