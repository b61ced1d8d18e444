//! Mangrove: supervisor, one edge with one worker, and whatever else `serve` starts.

use std::path::Path;

use anyhow::Result;

use super::{Answer, Running, Setup, words};
use crate::process::free_address;
use crate::tls::HOST;

/// Below its state folder, where it writes without being told where.
const LOG: &str = "state/log/access.ndjson";

pub(super) fn start(setup: &Setup<'_>, program: &Path) -> Result<Running> {
    let path = setup.write("mangrove.toml", &config(setup)?)?;
    let command = words([&program, &"serve", &"--config", &path]);
    let mut running = setup.running(vec![setup.program("mangrove", &command, None)?], LOG);
    // HTTP/1.1 and HTTP/2 with prior knowledge share its cleartext door.
    running.doors.h2 = running.doors.h1;
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
        Answer::Origin(origin) => format!("origins = [\"http://{origin}\"]"),
    };
    let identity = setup.task.identity;
    Ok(format!(
        r#"[server]
http = ["{http}"]
https = ["{https}"]
admin = "{admin}"
state = "{state}"
workers = 1

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
