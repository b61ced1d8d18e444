//! One edge without a supervisor, for profilers and debuggers: `alone STATE ADDRESS`.
//!
//! Serves what `STATE/edge/settled.json` says on one cleartext socket with one core, until it is
//! killed. valgrind lacks system calls that the supervisor needs; the edge needs none of them.

use std::process::ExitCode;

use mangrove_edge::handover::{ListenerKind, PassedListener};
use mangrove_edge::{EdgeArgs, run};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(state), Some(address)) = (arguments.next(), arguments.next()) else {
        return usage();
    };
    let Ok(listener) = std::net::TcpListener::bind(&address) else {
        return usage();
    };
    let Ok(addr) = listener.local_addr() else {
        return usage();
    };
    let fd = listener.into();
    run(EdgeArgs {
        state_dir: state.into(),
        listeners: vec![PassedListener {
            fd,
            kind: ListenerKind::Http,
            addr,
            core: 0,
        }],
        ready_fd: None,
        generation: 1,
    })
}

#[allow(clippy::print_stderr)] // a tool for people at a terminal
fn usage() -> ExitCode {
    eprintln!(
        "usage: alone STATE ADDRESS (with STATE/edge/settled.json, and an address nobody listens on)"
    );
    ExitCode::FAILURE
}
