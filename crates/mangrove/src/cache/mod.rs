//! `mangrove cache`: what the edge in charge keeps, why, for how long, and what a visitor gets.

mod chart;
mod list;
mod paragraph;
mod show;
mod stats;

use std::process::ExitCode;

use anyhow::Result;

use crate::terminal;

pub(crate) use chart::{Back, chart};
pub(crate) use list::list;
pub(crate) use show::show;
pub(crate) use stats::stats;

fn pretty(answer: &serde_json::Value) -> Result<ExitCode> {
    terminal::say(serde_json::to_string_pretty(answer)?);
    Ok(ExitCode::SUCCESS)
}

/// `part` of `whole`, in per cent and tenths, rounded down.
fn share(part: u64, whole: u64) -> String {
    match (u128::from(part) * 1000).checked_div(u128::from(whole)) {
        None => "nothing".to_owned(),
        Some(mille) => format!("{}.{} %", mille / 10, mille % 10),
    }
}
