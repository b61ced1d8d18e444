//! The `mangrove` program: arguments, supervisor, start-up.
//!
//! [`run`] reads the command line and becomes what it asks for. `serve` is the supervisor: it binds the listening
//! sockets, starts an edge with them, and from then on only watches, so that whatever happens to the edge, its
//! configuration or its binary, no connection is refused. No request passes through it.
//!
//! ```text
//! serve ──▶ Shell: sockets, processes, files ◀──events / actions──▶ supervisor::Supervisor (pure)
//!   │                   │
//!   │                   └─ edge_process: `mangrove edge`, given its sockets over standard input
//!   └─ source: file, origin or sample, settled by mangrove-config
//! ```
//!
//! The data plane is a parameter, so that the tests can put one that misbehaves in its place:
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     mangrove::run(|edge| {
//!         println!("edge {} has {} sockets", edge.generation, edge.listeners.len());
//!         std::process::ExitCode::SUCCESS
//!     })
//! }
//! ```

mod adoption;
mod arguments;
mod binary_check;
mod cache;
mod certificates;
mod check;
mod clock;
mod control;
mod edge_call;
mod edge_process;
mod listeners;
mod look;
mod modules;
mod privileges;
mod purge;
mod resume;
mod running;
mod serve;
mod shell;
mod shield;
mod signals;
mod source;
mod state;
mod supervisor;
mod systemd;
mod table;
mod terminal;
mod trial;

use std::process::ExitCode;

use clap::Parser as _;

pub use edge_process::{EdgeArgs, EdgeEntry};
pub use mangrove_edge::handover;
pub use privileges::Account;

use arguments::{Arguments, CacheCommand, Command, ShieldCommand};
use control::Request;

/// Reads the command line and does what it says; `edge` is the data plane that `mangrove edge` becomes.
#[must_use]
pub fn run(edge: EdgeEntry) -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Edge { .. } => return edge_process::run(edge),
        Command::Serve(arguments) => serve::run(arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Reload(arguments) => arguments
            .running
            .folder()
            .and_then(|state| control::ask(&state, &Request::Reload)),
        Command::Upgrade(arguments) => arguments.running.folder().and_then(|state| {
            let program = serve::absolute(arguments.program)?;
            control::ask(&state, &Request::Upgrade { program })
        }),
        Command::Modules(arguments) => arguments
            .told
            .running
            .folder()
            .and_then(|state| modules::run(&state, arguments.told.json)),
        Command::Cache(asked) => run_cache(asked),
        Command::Shield(asked) => run_shield(asked),
        Command::Purge(asked) => {
            let wanted = asked.wanted();
            let state = asked.told.running.folder();
            state.and_then(|state| purge::run(&state, &asked.site, &wanted, asked.told.json))
        }
    };
    outcome.unwrap_or_else(|error| {
        terminal::warn(format_args!("{error:#}"));
        ExitCode::FAILURE
    })
}

fn run_shield(asked: ShieldCommand) -> anyhow::Result<ExitCode> {
    match asked {
        ShieldCommand::Status(asked) => {
            shield::status(&asked.told.running.folder()?, asked.told.json)
        }
        ShieldCommand::Explain(asked) => {
            shield::explain(&asked.told.running.folder()?, &asked.what, asked.told.json)
        }
        ShieldCommand::Allow(asked) => {
            let wanted = asked.wanted(true);
            shield::run(
                &asked.told.running.folder()?,
                &wanted,
                asked.owner,
                asked.told.json,
            )
        }
        ShieldCommand::Block(asked) => {
            let wanted = asked.wanted(false);
            shield::run(
                &asked.told.running.folder()?,
                &wanted,
                asked.owner,
                asked.told.json,
            )
        }
        ShieldCommand::Approve(asked) => {
            let wanted = shield::Wanted::Approve(asked.id);
            shield::run(
                &asked.told.running.folder()?,
                &wanted,
                asked.owner,
                asked.told.json,
            )
        }
        ShieldCommand::Remove(asked) => {
            let wanted = shield::Wanted::Remove(asked.id);
            shield::run(
                &asked.told.running.folder()?,
                &wanted,
                asked.owner,
                asked.told.json,
            )
        }
    }
}

fn run_cache(asked: CacheCommand) -> anyhow::Result<ExitCode> {
    match asked {
        CacheCommand::Stats(asked) => cache::stats(&asked.told.running.folder()?, asked.told.json),
        CacheCommand::Chart(asked) => {
            let back = match asked.day {
                true => cache::Back::Day,
                false => cache::Back::Hour,
            };
            cache::chart(
                &asked.told.running.folder()?,
                back,
                asked.ascii,
                asked.told.json,
            )
        }
        CacheCommand::List(asked) => {
            let (site, state) = (asked.site.as_deref(), asked.told.running.folder()?);
            cache::list(&state, site, asked.tier, asked.most, asked.told.json)
        }
        CacheCommand::Show(asked) => {
            let state = asked.told.running.folder()?;
            cache::show(&state, &asked.url, asked.site.as_deref(), asked.told.json)
        }
    }
}
