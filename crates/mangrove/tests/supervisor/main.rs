//! Stories of the supervisor with real processes and an edge that misbehaves on request.
//!
//! This program is also the Mangrove under test: called with a subcommand it is `mangrove` with the fake edge inside.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    unreachable_pub,
    missing_docs,
    reason = "a test program"
)]

mod fake_edge;
mod running;
mod stories;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    const COMMANDS: [&str; 6] = ["serve", "edge", "check", "reload", "upgrade", "--version"];
    let first = std::env::args().nth(1);
    if first.is_some_and(|first| COMMANDS.contains(&first.as_str())) {
        return mangrove::run(fake_edge::run);
    }
    let trials = stories::ALL.iter().map(|(name, story)| {
        Trial::test(*name, || {
            story();
            Ok(())
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}
