//! `mangrove cache`: what the edge in charge keeps, why, for how long, and what a visitor gets.

mod list;
mod show;
mod stats;

use std::process::ExitCode;

use anyhow::Result;

use crate::terminal;

pub(crate) use list::list;
pub(crate) use show::show;
pub(crate) use stats::stats;

fn pretty(answer: &serde_json::Value) -> Result<ExitCode> {
    terminal::say(serde_json::to_string_pretty(answer)?);
    Ok(ExitCode::SUCCESS)
}
