//! Mangrove: supervisor, one edge with one worker, and whatever else `serve` starts.
//!
//! Under a profiler the edge is alone: valgrind lacks system calls that the supervisor needs, and no request passes through
//! the supervisor. `serve` then only settles the configuration, and the edge is the one that this program was built with.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use mangrove_edge::EdgeArgs;
use mangrove_edge::handover::{ListenerKind, PassedListener};

use super::{Answer, MEMORY_SHARE, Running, Setup, own_command, wait_for_door, words};
use crate::process::free_address;
use crate::tls::HOST;

/// Below its state folder, where it writes without being told where.
const LOG: &str = "state/log/access.ndjson";
/// Likewise.
const STORE: &str = "state/store";
/// The least `cache_memory` there can be.
const MEMORY_LEAST: u64 = 8 << 20;

pub(super) fn start(setup: &Setup<'_>, program: &Path) -> Result<Running> {
    let path = setup.write("mangrove.toml", &config(setup)?)?;
    let command = words([&program, &"serve", &"--config", &path]);
    let mut serving = setup.program_as_it_is("mangrove", &command, None)?;
    if setup.is_wrapped() {
        wait_for_door(setup.doors.h1).context("waiting for Mangrove to settle")?;
        serving.stop()?;
        let (h1, tls) = (setup.doors.h1.to_string(), setup.doors.tls.to_string());
        let state = setup.folder.join("state");
        let state = state.to_str().context("a folder's name")?;
        let edge = own_command(&["edge", state, &h1, &tls])?;
        serving = setup.program("edge", &edge, None)?;
    }
    let mut running = setup.running(vec![serving], LOG);
    // HTTP/1.1 and HTTP/2 with prior knowledge share its cleartext door.
    running.doors.h2 = running.doors.h1;
    running.store = setup.set_on_disk().map(|_| setup.folder.join(STORE));
    Ok(running)
}

fn config(setup: &Setup<'_>) -> Result<String> {
    let site = match setup.task.answer {
        Answer::Edge => {
            format!(
                "respond = {{ status = 200, content_type = \"text/plain\", body = \"{}\" }}",
                setup.task.content()
            )
        }
        Answer::Origin(origin) | Answer::Cache(origin) | Answer::Disk { origin, .. } => {
            format!("origins = [\"http://{origin}\"]")
        }
    };
    // It has room on the disk for more than any row asks for.
    let memory = match setup.set_on_disk() {
        Some(bytes) => format!(
            "cache_memory = {}",
            (bytes / MEMORY_SHARE).max(MEMORY_LEAST)
        ),
        None => String::new(),
    };
    // The first request of all is answered, and none after it.
    let limit = match setup.task.refuses {
        true => "\n[[site.rate_limit]]\nname = \"all\"\nkey = [\"site\"]\nrate = 1\nper = \"24h\"",
        false => "",
    };
    let identity = setup.task.identity;
    Ok(format!(
        r#"[server]
http = ["{http}"]
https = ["{https}"]
admin = "{admin}"
state = "{state}"
workers = 1
{memory}

[[server.tls.certificate]]
cert = "{certificate}"
key = "{key}"

[server.log]
to = "{log}"

[server.limits]
keep_alive_idle = "600s"
h2_idle = "600s"

[[site]]
name = "bench"
hosts = ["{host}"]
{site}
{limit}
"#,
        http = setup.doors.h1,
        https = setup.doors.tls,
        admin = free_address()?,
        state = setup.folder.join("state").display(),
        certificate = identity.certificate.display(),
        key = identity.key.display(),
        log = if setup.logs { "file" } else { "off" },
        host = HOST,
    ))
}

/// Becomes one edge on one core, without a supervisor.
pub(crate) fn edge_alone(state: PathBuf, http: SocketAddr, https: SocketAddr) -> Result<ExitCode> {
    let doors = [(http, ListenerKind::Http), (https, ListenerKind::Https)];
    let listeners = doors.map(|(addr, kind)| {
        let listener = TcpListener::bind(addr).with_context(|| format!("listening on {addr}"))?;
        anyhow::Ok(PassedListener {
            fd: listener.into(),
            kind,
            addr,
            core: 0,
        })
    });
    std::env::set_current_dir(&state).with_context(|| format!("entering {}", state.display()))?;
    Ok(mangrove_edge::run(EdgeArgs {
        state_dir: state,
        listeners: listeners.into_iter().collect::<Result<_>>()?,
        ready_fd: None,
        generation: 1,
    }))
}
