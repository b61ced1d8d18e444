//! `mangrove modules`: the guarded steps on a request's way, as the running edge tells of them.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow};
use serde::{Deserialize, Serialize};

use crate::state::StateDir;
use crate::{adoption, control, edge_call, terminal};

/// One of them, as in the edge's answer.
#[derive(Debug, Serialize, Deserialize)]
struct Module {
    name: String,
    state: String,
    fail_mode: String,
    budget: String,
    panics: u64,
}

/// Asks the edge in charge and prints what it says: a table, or JSON.
pub(crate) fn run(state: &Path, json: bool) -> Result<ExitCode> {
    let folder = StateDir::existing(state).map_err(|error| control::nobody(state, &error))?;
    // The newest is in charge; older ones are finishing their requests.
    let edges = adoption::generations(&folder).into_iter().rev();
    let answers = edges.filter_map(|generation| {
        let socket = folder.socket(&format!("edge/edge-{generation}.sock"));
        edge_call::ask_and_wait(&socket, "GET /modules").ok()
    });
    let answer = answers.into_iter().next();
    let answer = answer.ok_or_else(|| control::nobody(state, &anyhow!("no edge answers")))?;
    let answer = answer.map_err(|reason| anyhow!("the edge does not tell: {reason}"))?;
    let modules: Vec<Module> = serde_json::from_str(&answer)
        .context("the edge's answer is not what this build expects; is it of another version?")?;
    if json {
        terminal::say(serde_json::to_string_pretty(&modules)?);
    } else {
        terminal::say(table(&modules));
    }
    Ok(ExitCode::SUCCESS)
}

fn table(modules: &[Module]) -> String {
    let head = [
        "module",
        "state",
        "when it fails",
        "panics",
        "may cost one request",
    ]
    .map(str::to_owned);
    let rows = modules.iter().map(|module| {
        let fails = match module.fail_mode.as_str() {
            "open" => "open: skipped",
            "closed" => "closed: 500",
            other => other,
        };
        [
            &module.name,
            &module.state,
            fails,
            &module.panics.to_string(),
            &module.budget,
        ]
        .map(shown)
    });
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    let widths: Vec<usize> = (0..4)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    rows.iter().fold(String::new(), |mut text, row| {
        for (at, cell) in row.iter().enumerate() {
            let width = widths.get(at).copied().unwrap_or(0);
            let _ = write!(text, "{cell:width$}  ");
        }
        text.truncate(text.trim_end().len());
        text + "\n"
    })
}

/// The edge talks to strangers, and this is an operator's terminal.
fn shown(cell: &str) -> String {
    cell.replace(char::is_control, "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_row_each_and_nothing_for_the_terminal_to_obey() {
        let module = |name: &str, fail_mode: &str| Module {
            name: name.into(),
            state: "on".into(),
            fail_mode: fail_mode.into(),
            budget: "one pass".into(),
            panics: 12,
        };
        let modules = [module("trace", "open"), module("\x1b[2J", "closed")];
        assert_eq!(
            table(&modules),
            "module  state  when it fails  panics  may cost one request\n\
             trace   on     open: skipped  12      one pass\n\
             \u{fffd}[2J    on     closed: 500    12      one pass\n"
        );
    }
}
