//! The `mangrove` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    mangrove::run(|edge| {
        mangrove_edge::run(mangrove_edge::EdgeArgs {
            // The process stands in its state folder: it may not be allowed to walk there by name.
            state_dir: ".".into(),
            listeners: edge.listeners,
            ready_fd: Some(edge.ready_fd),
            generation: edge.generation,
        })
    })
}
