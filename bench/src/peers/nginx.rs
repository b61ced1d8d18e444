//! nginx: a master and one worker.

use anyhow::Result;

use super::{Answer, CACHE_MIB, KEEP_SECONDS, Running, Setup, words};

pub(crate) const PROGRAM: &str = "/usr/sbin/nginx";
const LOG: &str = "access.log";
const STORE: &str = "cache";

pub(super) fn start(setup: &Setup<'_>) -> Result<Running> {
    let path = setup.write("nginx.conf", &config(setup))?;
    let command = words([
        &PROGRAM,
        &"-p",
        &setup.folder,
        &"-e",
        &"error.log",
        &"-c",
        &path,
    ]);
    let mut running = setup.running(vec![setup.program("nginx", &command, None)?], LOG);
    running.store = setup.set_on_disk().map(|_| setup.folder.join(STORE));
    Ok(running)
}

fn config(setup: &Setup<'_>) -> String {
    let folder = setup.folder.display();
    let doors = setup.doors;
    // A buffered log is the cheapest that nginx has; its own default writes each line apart.
    let log = if setup.logs {
        format!("{LOG} combined buffer=64k flush=1s")
    } else {
        "off".to_owned()
    };
    let to_origin = |origin| {
        (
            format!(
                "upstream origin {{ server {origin}; keepalive 256; keepalive_requests 1000000000; keepalive_timeout 600s; }}"
            ),
            "proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection \"\"; \
             proxy_set_header Host $host; proxy_max_temp_file_size 0;"
                .to_owned(),
        )
    };
    let (upstream, action) = match setup.task.answer {
        Answer::Edge => (
            String::new(),
            format!("return 200 \"{}\";", setup.task.content()),
        ),
        Answer::Origin(origin) => to_origin(origin),
        Answer::Cache(origin) | Answer::Disk { origin, .. } => {
            let mib = setup.disk_mib().unwrap_or(CACHE_MIB.into());
            let (upstream, action) = to_origin(origin);
            // Files are kept open: what a hit costs is then one read or sendfile from the kernel's page cache.
            let zone = format!(
                "proxy_cache_path {STORE} levels=1:2 keys_zone=kept:16m max_size={mib}m inactive={KEEP_SECONDS}s \
                 use_temp_path=off; open_file_cache max=16384 inactive={KEEP_SECONDS}s; \
                 open_file_cache_valid {KEEP_SECONDS}s;"
            );
            let use_it = format!("proxy_cache kept; proxy_cache_valid 200 {KEEP_SECONDS}s;");
            (format!("{zone} {upstream}"), format!("{action} {use_it}"))
        }
    };
    let identity = setup.task.identity;
    let (certificate, key) = (identity.certificate.display(), identity.key.display());
    // Under a profiler one process is enough; else a master and one worker, as operators run it.
    let processes = if setup.wrap.is_empty() {
        "worker_processes 1;"
    } else {
        "master_process off;"
    };
    // As root the worker would become `nobody`, who need not be able to enter this folder.
    let user = if rustix::process::geteuid().is_root() {
        "user root;"
    } else {
        ""
    };
    format!(
        r#"daemon off;
{processes}
{user}
pid {folder}/nginx.pid;
worker_rlimit_nofile 65536;
events {{ worker_connections 32768; }}
http {{
    access_log {log};
    sendfile on;
    server_tokens off;
    gzip off;
    default_type text/plain;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    {upstream}
    server {{
        listen {h1} backlog=4096;
        listen {tls} ssl http2 backlog=4096;
        listen {h2} http2 backlog=4096;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.3;
        ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
        ssl_ecdh_curve X25519;
        ssl_session_tickets on;
        location / {{ {action} }}
    }}
}}
"#,
        h1 = doors.h1,
        tls = doors.tls,
        h2 = doors.h2,
    )
}
