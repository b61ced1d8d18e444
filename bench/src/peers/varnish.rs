//! Varnish: a manager, its child, and varnishncsa beside them when a log is wanted.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Answer, CACHE_MIB, Running, Setup, words};
use crate::clock;

pub(super) const PROGRAM: &str = "/usr/sbin/varnishd";
const LOGGER: &str = "/usr/bin/varnishncsa";
const LOG: &str = "access.log";
const STORE: &str = "storage";

/// It compiles its configuration with a C compiler first.
const START: Duration = Duration::from_secs(60);

pub(super) fn start(setup: &Setup<'_>) -> Result<Running> {
    let path = setup.write("varnish.vcl", &config(setup))?;
    let instance = setup.folder.join("instance");
    let listen = format!("{},HTTP", setup.doors.h1);
    let mut command = words([
        &PROGRAM,
        &"-F",
        &"-j",
        &"none",
        &"-n",
        &instance,
        &"-a",
        &listen,
        &"-f",
        &path,
        &"-s",
        &storage(setup),
    ]);
    for parameter in [
        "thread_pools=1",
        "thread_pool_min=100",
        "thread_pool_max=12000",
        "thread_pool_add_delay=0",
        "timeout_idle=600",
        "listen_depth=4096",
        "feature=+http2",
    ] {
        command.extend(words([&"-p", &parameter]));
    }
    let mut server = setup.program("varnishd", &command, None)?;
    let mut programs = Vec::new();
    let logger = if setup.logs {
        clock::poll(START, || {
            server.check_alive()?;
            Ok(std::net::TcpStream::connect(setup.doors.h1).ok())
        })
        .context("waiting for varnishd")?;
        let file = setup.folder.join(LOG);
        let command = words([&LOGGER, &"-n", &instance, &"-w", &file]);
        Some(setup.program("varnishncsa", &command, None)?)
    } else {
        None
    };
    programs.push(server);
    programs.extend(logger);
    let mut running = setup.running(programs, LOG);
    // HTTP/1.1 and HTTP/2 with prior knowledge share its one door.
    running.doors.h2 = running.doors.h1;
    running.store = setup.set_on_disk().map(|_| setup.folder.join(STORE));
    Ok(running)
}

/// In a file it keeps the content of everything, and maps that: what it has in memory of it is the kernel's.
fn storage(setup: &Setup<'_>) -> String {
    match setup.disk_mib() {
        Some(mib) => format!("file,{},{mib}m", setup.folder.join(STORE).display()),
        None => format!("malloc,{CACHE_MIB}m"),
    }
}

fn config(setup: &Setup<'_>) -> String {
    let to_origin = |origin: SocketAddr| {
        format!(
            "backend origin {{ .host = \"{}\"; .port = \"{}\"; }}",
            origin.ip(),
            origin.port()
        )
    };
    let (backend, action) = match setup.task.answer {
        Answer::Edge => ("backend origin none;".to_owned(), "return (synth(200));"),
        Answer::Origin(origin) => (to_origin(origin), "return (pass);"),
        // What is built in looks for a hit, and keeps what the origin allows.
        Answer::Cache(origin) | Answer::Disk { origin, .. } => (to_origin(origin), ""),
    };
    let content = setup.task.content();
    // A synthetic body above a string's practical length is never asked for: rows of 100 KiB and more pass through.
    let content = if matches!(setup.task.answer, Answer::Edge) {
        content
    } else {
        String::new()
    };
    // A cache tells how old what it has is (RFC 9111 section 5.1).
    let age = match setup.task.answer {
        Answer::Cache(_) | Answer::Disk { .. } => "",
        Answer::Edge | Answer::Origin(_) => "unset resp.http.Age;",
    };
    format!(
        r#"vcl 4.1;
{backend}
sub vcl_recv {{ {action} }}
sub vcl_deliver {{
    unset resp.http.Via;
    unset resp.http.X-Varnish;
    {age}
}}
sub vcl_synth {{
    unset resp.http.X-Varnish;
    unset resp.http.Server;
    set resp.http.Content-Type = "text/plain";
    set resp.body = {{"{content}"}};
    return (deliver);
}}
"#
    )
}
