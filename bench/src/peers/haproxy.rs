//! HAProxy: one process with one thread.

use anyhow::Result;

use super::{Answer, CACHE_MIB, KEEP_SECONDS, Running, Setup, words};

pub(crate) const PROGRAM: &str = "/usr/sbin/haproxy";
const LOG: &str = "access.log";

pub(super) fn start(setup: &Setup<'_>) -> Result<Running> {
    let action = match setup.task.answer {
        Answer::Edge => {
            let file = setup.write("answer.txt", &setup.task.content())?;
            format!(
                "http-request return status 200 content-type text/plain file {}",
                file.display()
            )
        }
        // It has no disk and so no part in rows about one.
        Answer::Origin(_) | Answer::Disk { .. } => "default_backend origin".to_owned(),
        Answer::Cache(_) => "http-request cache-use kept\n    http-response cache-store kept\n    \
                             default_backend origin"
            .to_owned(),
    };
    let path = setup.write("haproxy.cfg", &config(setup, &action))?;
    let command = words([&PROGRAM, &"-db", &"-f", &path]);
    // It writes no files: a log on standard output, put into one, is the cheapest that it has.
    let output = setup.folder.join(LOG);
    Ok(setup.running(
        vec![setup.program("haproxy", &command, Some(&output))?],
        LOG,
    ))
}

fn config(setup: &Setup<'_>, action: &str) -> String {
    let doors = setup.doors;
    let (log, per_request) = if setup.logs {
        (
            "log stdout format raw local0",
            "log global\n    option httplog",
        )
    } else {
        ("", "")
    };
    let backend = match setup.task.answer {
        Answer::Edge => String::new(),
        Answer::Origin(origin) | Answer::Disk { origin, .. } => {
            format!("backend origin\n    server origin {origin}\n")
        }
        // Left alone it keeps nothing over a 256th of all, and nothing for longer than a minute.
        Answer::Cache(origin) => format!(
            "backend origin\n    server origin {origin}\n\ncache kept\n    total-max-size {CACHE_MIB}\n    \
             max-object-size {}\n    max-age {KEEP_SECONDS}\n",
            (CACHE_MIB << 20) / 2
        ),
    };
    let bundle = setup.task.identity.bundle.display();
    format!(
        r"global
    nbthread 1
    maxconn 20000
    no strict-limits
    {log}
    ssl-default-bind-options ssl-min-ver TLSv1.3
    ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256

defaults
    mode http
    timeout connect 5s
    timeout client 600s
    timeout server 600s
    timeout http-keep-alive 600s
    {per_request}

frontend front
    bind {h1} backlog 4096
    bind {tls} ssl crt {bundle} alpn h2,http/1.1 curves X25519 backlog 4096
    bind {h2} proto h2 backlog 4096
    {action}

{backend}",
        h1 = doors.h1,
        tls = doors.tls,
        h2 = doors.h2,
    )
}
