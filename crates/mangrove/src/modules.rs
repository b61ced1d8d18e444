//! `mangrove modules`: the guarded steps on a request's way, as the running edge tells of them.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::{running, table, terminal};

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
    let modules: Vec<Module> =
        running::understood(&running::ask_in_charge(state, "GET /modules")?)?;
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
    ];
    let rows = modules.iter().map(|module| {
        let fails = match module.fail_mode.as_str() {
            "open" => "open: skipped",
            "closed" => "closed: 500",
            other => other,
        };
        [
            module.name.clone(),
            module.state.clone(),
            fails.to_owned(),
            module.panics.to_string(),
            module.budget.clone(),
        ]
    });
    table::of(head, rows)
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
