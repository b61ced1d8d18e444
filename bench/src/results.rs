//! The numbers as they are kept: every round of every server, with the machine and the versions they were taken on.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::cores::Cores;
use crate::machine::Machine;
use crate::peers::{Contender, Server};
use crate::rows::ROWS;
use crate::stats;

/// All rows that were ever measured, each as it was last.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Results {
    /// In the order of the report.
    pub(crate) rows: Vec<RowResult>,
    /// Hits on two cores beside one, as `mangrove-bench cores` measured them last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cores: Option<Cores>,
}

/// One row, measured in one run.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct RowResult {
    /// Its name.
    pub(crate) row: String,
    /// What a person calls it.
    pub(crate) title: String,
    /// What its values are.
    pub(crate) unit: Unit,
    /// When it was measured, as HTTP writes dates.
    pub(crate) date: String,
    /// On what, and with which programs.
    pub(crate) machine: Machine,
    /// Requests (or connections held) in each round.
    pub(crate) requests: usize,
    /// One for each contender.
    pub(crate) cells: Vec<Cell>,
}

/// What a row's values are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    /// Nanoseconds of CPU for each request.
    CpuNanoseconds,
    /// Resident bytes for each connection.
    ResidentBytes,
}

/// One contender's part of a row.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Cell {
    /// Who.
    #[serde(flatten)]
    pub(crate) contender: Contender,
    /// What became of it.
    pub(crate) outcome: Outcome,
}

/// What became of one contender in one row.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// It was measured.
    Measured {
        /// One value for each round, in the row's unit.
        values: Vec<f64>,
        /// Bytes read from a disk for each byte answered, one value for each round; none where no disk has a part.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        read: Vec<f64>,
        /// Bytes in its answer's head; zero on HTTP/2.
        head: usize,
        /// Bytes in its answer's body.
        body: usize,
    },
    /// It has no part in this row.
    NotApplicable {
        /// Why.
        reason: String,
    },
    /// It should have been measured and could not be.
    Failed {
        /// Why.
        reason: String,
    },
}

/// The largest spread of the bare loop over its rounds at which a row counts.
pub(crate) const SPREAD_LIMIT: f64 = 0.10;

impl Results {
    /// Reads what earlier runs left in `file`; nothing when there is no such file.
    pub(crate) fn load(file: &Path) -> Result<Self> {
        match fs::read_to_string(file) {
            Ok(text) => serde_json::from_str(&text).with_context(|| {
                format!(
                    "{} is not what this version writes; move it away",
                    file.display()
                )
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("reading {}", file.display())),
        }
    }

    /// Puts a row in the place of its predecessor, or in its place in the order.
    pub(crate) fn replace(&mut self, new: RowResult) {
        self.rows.retain(|old| old.row != new.row);
        self.rows.push(new);
        let place = |row: &RowResult| {
            ROWS.iter()
                .position(|known| known.name == row.row)
                .unwrap_or(ROWS.len())
        };
        self.rows.sort_by_key(place);
    }

    /// The row of this name.
    pub(crate) fn row(&self, name: &str) -> Option<&RowResult> {
        self.rows.iter().find(|row| row.row == name)
    }
}

impl RowResult {
    /// A contender's values, if it was measured.
    pub(crate) fn values(&self, server: Server, logs: bool) -> Option<&[f64]> {
        let contender = Contender { server, logs };
        self.cells
            .iter()
            .find(|cell| cell.contender == contender)
            .and_then(Cell::values)
    }

    /// The yardstick's values.
    pub(crate) fn bare(&self) -> Option<&[f64]> {
        self.values(Server::Bare, false)
    }

    /// A contender's value in each round as a multiple of the bare loop's in the same round.
    pub(crate) fn ratios(&self, cell: &Cell) -> Option<Vec<f64>> {
        let ratios = stats::ratios(cell.values()?, self.bare()?);
        (!ratios.is_empty()).then_some(ratios)
    }

    /// How far the bare loop spread, when that is too far for the row to count.
    pub(crate) fn void(&self) -> Option<f64> {
        if self.unit == Unit::ResidentBytes {
            return None;
        }
        stats::spread(self.bare()?).filter(|spread| *spread > SPREAD_LIMIT)
    }
}

impl Cell {
    /// Bytes that were read from a disk for each byte answered, round by round.
    pub(crate) fn read(&self) -> &[f64] {
        match &self.outcome {
            Outcome::Measured { read, .. } => read,
            Outcome::NotApplicable { .. } | Outcome::Failed { .. } => &[],
        }
    }

    fn values(&self) -> Option<&[f64]> {
        match &self.outcome {
            Outcome::Measured { values, .. } => Some(values),
            Outcome::NotApplicable { .. } | Outcome::Failed { .. } => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A row with these contenders and values.
    pub(crate) fn row(name: &str, unit: Unit, values: &[(Server, bool, &[f64])]) -> RowResult {
        let cell = |(server, logs, values): &(Server, bool, &[f64])| Cell {
            contender: Contender {
                server: *server,
                logs: *logs,
            },
            outcome: Outcome::Measured {
                values: values.to_vec(),
                read: Vec::new(),
                head: 200,
                body: 1024,
            },
        };
        RowResult {
            row: name.to_owned(),
            title: name.to_owned(),
            unit,
            date: "Sat, 01 Nov 2025 00:00:00 GMT".to_owned(),
            machine: Machine::default(),
            requests: 1000,
            cells: values.iter().map(cell).collect(),
        }
    }

    #[test]
    fn a_row_is_void_one_step_past_the_limit() {
        let at = row(
            "pass-1k",
            Unit::CpuNanoseconds,
            &[(Server::Bare, false, &[100.0, 105.0, 95.0])],
        );
        assert_eq!(at.void(), None);
        let past = row(
            "pass-1k",
            Unit::CpuNanoseconds,
            &[(Server::Bare, false, &[100.0, 106.0, 95.0])],
        );
        assert!(past.void().is_some());
    }

    #[test]
    fn memory_is_never_void_for_the_bare_loop_holds_next_to_none() {
        let row = row(
            "idle-h1",
            Unit::ResidentBytes,
            &[(Server::Bare, false, &[1.0, 2.0])],
        );
        assert_eq!(row.void(), None);
    }

    #[test]
    fn a_new_measurement_takes_the_place_of_its_row_and_leaves_the_others() {
        let mut results = Results::default();
        results.replace(row("idle-h1", Unit::ResidentBytes, &[]));
        results.replace(row(
            "pass-1k",
            Unit::CpuNanoseconds,
            &[(Server::Bare, false, &[1.0])],
        ));
        results.replace(row(
            "pass-1k",
            Unit::CpuNanoseconds,
            &[(Server::Bare, false, &[2.0])],
        ));
        let names: Vec<_> = results.rows.iter().map(|row| row.row.as_str()).collect();
        assert_eq!(names, ["pass-1k", "idle-h1"]);
        assert_eq!(results.row("pass-1k").unwrap().bare(), Some(&[2.0][..]));
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut results = Results::default();
        results.replace(row(
            "pass-1k",
            Unit::CpuNanoseconds,
            &[(Server::Nginx, true, &[1.5, 2.0])],
        ));
        let text = serde_json::to_string(&results).unwrap();
        let read: Results = serde_json::from_str(&text).unwrap();
        assert_eq!(
            read.rows[0].values(Server::Nginx, true),
            Some(&[1.5, 2.0][..])
        );
    }
}
