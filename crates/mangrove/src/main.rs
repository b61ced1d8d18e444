//! The `mangrove` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    mangrove::run(|_edge| ExitCode::FAILURE)
}
