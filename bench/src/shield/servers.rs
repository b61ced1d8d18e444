//! Those who are attacked: each as a careful operator would set it up against this, by its own documentation.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use rustix::process::Pid;

use crate::clock;
use crate::peers::{self, Programs, haproxy, nginx};
use crate::process::{Program, free_address};
use crate::tls::{HOST, Identity};

/// How long one may take to open its doors.
const START: Duration = Duration::from_secs(20);
/// What one address may ask in a second, and at once beyond that; the same everywhere.
const RATE: u32 = 100;
const BURST: u32 = 200;
/// How many connections there are places for, everywhere: what a small machine has, and fewer than attackers would take.
const PLACES: u32 = 2_000;
/// Connections to the origin beside them: as many as Mangrove's default.
const TO_ORIGIN: u32 = 256;
/// How many ranges of one thing may be asked for at once, where that can be said.
const RANGES: u32 = 16;
/// How many connections an address may hold, where that can be said.
const CONNECTIONS: u32 = 64;
/// So long may a head take, a pause in a body, or one in taking an answer, where that is set.
const PATIENCE_SECONDS: u32 = 5;
/// The first HAProxy that counts what HTTP/2 clients do wrong: `tune.h2.fe.glitches-threshold`.
const GLITCHES_SINCE: (u32, u32) = (3, 0);
/// More of them than clients that mean well come to.
const GLITCHES: u32 = 100;

/// One that is attacked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Server {
    /// As it is, with one rate limit.
    Mangrove,
    /// The system's nginx.
    Nginx,
    /// The system's HAProxy.
    Haproxy,
    /// hyper and h2 without a guard: what the rates of attack are chosen by.
    Hyper,
}

impl Server {
    /// The name in tables.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Mangrove => "Mangrove",
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::Hyper => "unguarded hyper",
        }
    }

    /// Its own words about its version; nothing when it is not here.
    pub(super) fn version(self, programs: &Programs) -> Option<String> {
        let peer = match self {
            Self::Mangrove => peers::Server::Mangrove,
            Self::Nginx => peers::Server::Nginx,
            Self::Haproxy => peers::Server::Haproxy,
            Self::Hyper => peers::Server::Hyper,
        };
        peer.version(programs)
    }

    /// What it has against attacks, for the notes.
    pub(super) fn guards(self, version: &str) -> String {
        let slow = format!("{PATIENCE_SECONDS}s");
        match self {
            Self::Mangrove => format!(
                "its defaults but for `connections = {PLACES}`, and one `[[site.rate_limit]]` with `rate = {RATE}`, \
                 `burst = {BURST}`"
            ),
            Self::Nginx => format!(
                "`limit_req` {RATE}r/s `burst={BURST} nodelay` and `limit_conn` {CONNECTIONS} by `$binary_remote_addr`, \
                 both with status 429; `client_header_timeout`, `client_body_timeout`, `send_timeout` {slow}; \
                 `keepalive_timeout 30s`, `keepalive_requests 1000`, `reset_timedout_connection on`, \
                 `http2_max_concurrent_streams 100`, `client_max_body_size 1m`, `max_ranges {RANGES}`, \
                 `worker_connections {}`, of which the origin's are some; refusals are not in the error log",
                PLACES + TO_ORIGIN
            ),
            Self::Haproxy => format!(
                "a stick table by `src`: `tcp-request connection reject` over `conn_cur` {CONNECTIONS} or `conn_rate(2s)` \
                 {BURST}, `deny deny_status 429` over `http_req_rate(2s)` {BURST}; `timeout http-request` {slow}, \
                 `option http-buffer-request`, `timeout client` 30s, `tune.h2.max-concurrent-streams 100`, `maxconn \
                 {PLACES}`{}",
                match has_glitches(version) {
                    true => format!(", `tune.h2.fe.glitches-threshold {GLITCHES}`"),
                    false => "; it is older than `tune.h2.fe.glitches-threshold`".to_owned(),
                }
            ),
            Self::Hyper => format!(
                "nothing: no deadline, no rate, {PLACES} descriptors for clients; the h2 crate's own counts of resets are lifted, \
                 not its count of empty DATA. It asks the origin for everything, over {TO_ORIGIN} connections"
            ),
        }
    }

    /// Starts it with its files in a folder of this number.
    pub(super) fn start(self, stage: &Stage<'_>, number: usize) -> Result<Running> {
        let folder = stage.work.join(number.to_string());
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let mut doors = Doors {
            h1: free_address()?,
            tls: free_address()?,
            h2: free_address()?,
        };
        if self == Self::Mangrove {
            // HTTP/1.1 and HTTP/2 with prior knowledge share its cleartext door.
            doors.h2 = doors.h1;
        }
        let setup = Setup {
            stage,
            folder: &folder,
            doors,
        };
        let command = match self {
            Self::Mangrove => {
                let config = setup.write("mangrove.toml", &setup.mangrove()?)?;
                words(&[
                    stage.mangrove.as_os_str(),
                    "serve".as_ref(),
                    "--config".as_ref(),
                    config.as_os_str(),
                ])
            }
            Self::Nginx => {
                let config = setup.write("nginx.conf", &setup.nginx())?;
                words(&[
                    nginx::PROGRAM.as_ref(),
                    "-p".as_ref(),
                    folder.as_os_str(),
                    "-e".as_ref(),
                    "error.log".as_ref(),
                    "-c".as_ref(),
                    config.as_os_str(),
                ])
            }
            Self::Haproxy => {
                let config = setup.write("haproxy.cfg", &setup.haproxy())?;
                words(&[
                    haproxy::PROGRAM.as_ref(),
                    "-db".as_ref(),
                    "-f".as_ref(),
                    config.as_os_str(),
                ])
            }
            Self::Hyper => setup.hyper()?,
        };
        let (log, output) = (folder.join("errors.log"), folder.join("output.log"));
        let mut program = Program::start(stage.core, &command, &log, Some(&output))?;
        for door in [doors.h1, doors.tls, doors.h2] {
            clock::poll(START, || {
                program.check_alive()?;
                Ok(std::net::TcpStream::connect(door).ok())
            })
            .with_context(|| {
                let said = fs::read_to_string(&log).unwrap_or_default();
                format!("waiting for {} at {door}: {said}", self.name())
            })?;
        }
        Ok(Running { program, doors })
    }
}

/// Where one listens.
#[derive(Clone, Copy)]
pub(super) struct Doors {
    /// HTTP/1.1.
    pub(super) h1: SocketAddr,
    /// TLS, and both protocols in it.
    pub(super) tls: SocketAddr,
    /// HTTP/2 in cleartext with prior knowledge.
    pub(super) h2: SocketAddr,
}

/// What all of them have around them.
pub(super) struct Stage<'a> {
    /// The `mangrove` program.
    pub(super) mangrove: &'a Path,
    /// Whose certificate all of them show.
    pub(super) identity: &'a Identity,
    /// Whom all of them ask.
    pub(super) origin: SocketAddr,
    /// The core that all of them run on.
    pub(super) core: usize,
    /// Where all their files lie.
    pub(super) work: &'a Path,
    /// What HAProxy says of its version.
    pub(super) haproxy: &'a str,
}

/// One at work; it ends with this value.
pub(super) struct Running {
    program: Program,
    /// Where it listens.
    pub(super) doors: Doors,
}

impl Running {
    /// The process that all of its others come from.
    pub(super) fn root(&self) -> Result<Pid> {
        self.program.pid()
    }

    /// An error once it has ended.
    pub(super) fn check_alive(&mut self) -> Result<()> {
        self.program.check_alive()
    }

    /// Ends it.
    pub(super) fn stop(mut self) -> Result<()> {
        self.program.stop()
    }
}

/// What one needs to be configured.
struct Setup<'a> {
    stage: &'a Stage<'a>,
    folder: &'a Path,
    doors: Doors,
}

impl Setup<'_> {
    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    fn mangrove(&self) -> Result<String> {
        let identity = self.stage.identity;
        Ok(format!(
            r#"[server]
http = ["{http}"]
https = ["{https}"]
admin = "{admin}"
state = "{state}"
workers = 1

[server.limits]
connections = {PLACES}

[[server.tls.certificate]]
cert = "{certificate}"
key = "{key}"

[[site]]
name = "attacked"
hosts = ["{HOST}"]
origins = ["http://{origin}"]

[[site.rate_limit]]
name = "requests"
rate = {RATE}
burst = {BURST}
"#,
            http = self.doors.h1,
            https = self.doors.tls,
            admin = free_address()?,
            state = self.folder.join("state").display(),
            certificate = identity.certificate.display(),
            key = identity.key.display(),
            origin = self.stage.origin,
        ))
    }

    fn nginx(&self) -> String {
        let identity = self.stage.identity;
        // As root the worker would become `nobody`, who need not be able to enter this folder.
        let user = match rustix::process::geteuid().is_root() {
            true => "user root;",
            false => "",
        };
        format!(
            r#"daemon off;
worker_processes 1;
{user}
pid {folder}/nginx.pid;
worker_rlimit_nofile 65536;
events {{ worker_connections {places}; }}
http {{
    access_log access.log combined buffer=64k flush=1s;
    server_tokens off;
    sendfile on;
    default_type text/plain;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;

    limit_conn_zone $binary_remote_addr zone=addresses:10m;
    limit_req_zone $binary_remote_addr zone=requests:10m rate={RATE}r/s;
    limit_conn_status 429;
    limit_req_status 429;
    limit_conn_log_level warn;
    limit_req_log_level warn;
    client_header_timeout {PATIENCE_SECONDS}s;
    client_body_timeout {PATIENCE_SECONDS}s;
    send_timeout {PATIENCE_SECONDS}s;
    keepalive_timeout 30s;
    keepalive_requests 1000;
    reset_timedout_connection on;
    http2_max_concurrent_streams 100;
    client_max_body_size 1m;
    max_ranges {RANGES};

    proxy_cache_path cache levels=1:2 keys_zone=kept:16m max_size=256m inactive=1h use_temp_path=off;
    map $http_upgrade $passed_on {{ default upgrade; '' ''; }}
    upstream origin {{ server {origin}; keepalive 64; }}
    server {{
        listen {h1} backlog=4096;
        listen {tls} ssl http2 backlog=4096;
        listen {h2} http2 backlog=4096;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.3;
        limit_conn addresses {CONNECTIONS};
        limit_req zone=requests burst={BURST} nodelay;
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Host $host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $passed_on;
            proxy_cache kept;
            proxy_cache_valid 200 1h;
        }}
    }}
}}
"#,
            folder = self.folder.display(),
            // It counts those to the origin as well.
            places = PLACES + TO_ORIGIN,
            origin = self.stage.origin,
            h1 = self.doors.h1,
            tls = self.doors.tls,
            h2 = self.doors.h2,
            certificate = identity.certificate.display(),
            key = identity.key.display(),
        )
    }

    fn haproxy(&self) -> String {
        let glitches = match has_glitches(self.stage.haproxy) {
            true => format!("tune.h2.fe.glitches-threshold {GLITCHES}"),
            false => String::new(),
        };
        format!(
            r"global
    nbthread 1
    maxconn {PLACES}
    no strict-limits
    log stdout format raw local0
    tune.h2.max-concurrent-streams 100
    {glitches}
    ssl-default-bind-options ssl-min-ver TLSv1.3

defaults
    mode http
    log global
    option httplog
    option dontlognull
    option http-buffer-request
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    timeout tunnel 5m
    timeout http-request {PATIENCE_SECONDS}s
    timeout http-keep-alive 30s

frontend front
    bind {h1} backlog 4096
    bind {tls} ssl crt {bundle} alpn h2,http/1.1 backlog 4096
    bind {h2} proto h2 backlog 4096
    stick-table type ip size 100k expire 30s store conn_cur,conn_rate(2s),http_req_rate(2s)
    tcp-request connection track-sc0 src
    tcp-request connection reject if {{ sc0_conn_cur gt {CONNECTIONS} }}
    tcp-request connection reject if {{ sc0_conn_rate gt {BURST} }}
    http-request deny deny_status 429 if {{ sc0_http_req_rate gt {BURST} }}
    http-request cache-use kept
    http-response cache-store kept
    default_backend origin

backend origin
    server origin {origin}

cache kept
    total-max-size 256
    max-object-size 16777216
    max-age 3600
",
            h1 = self.doors.h1,
            tls = self.doors.tls,
            h2 = self.doors.h2,
            bundle = self.stage.identity.bundle.display(),
            origin = self.stage.origin,
        )
    }

    /// This program with a subcommand of its own.
    fn hyper(&self) -> Result<Vec<OsString>> {
        let own = std::env::current_exe().context("finding this program")?;
        let doors = [self.doors.h1, self.doors.tls, self.doors.h2];
        let doors = doors.map(|door| OsString::from(door.to_string()));
        let identity = self.stage.identity;
        Ok([own.into(), "unguarded".into()]
            .into_iter()
            .chain(doors)
            .chain([
                self.stage.origin.to_string().into(),
                identity.certificate.clone().into(),
                identity.key.clone().into(),
                PLACES.to_string().into(),
            ])
            .collect())
    }
}

/// Whether this HAProxy, by its own words, counts what HTTP/2 clients do wrong.
fn has_glitches(version: &str) -> bool {
    let number = version.split(' ').find(|word| {
        let mut letters = word.chars();
        letters.next().is_some_and(|first| first.is_ascii_digit()) && word.contains('.')
    });
    let mut parts = number.unwrap_or_default().split(['.', '-']);
    let mut part = || parts.next().and_then(|part| part.parse::<u32>().ok());
    let found = part().zip(part());
    found.is_some_and(|found| found >= GLITCHES_SINCE)
}

fn words(words: &[&std::ffi::OsStr]) -> Vec<OsString> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glitches_are_counted_where_haproxy_can() {
        let says =
            |number: &str| format!("HAProxy version {number} 2024/11/25 - https://haproxy.org/");
        for (number, has) in [
            ("2.6.12-1+deb12u4", false),
            ("2.9.0", false),
            ("3.0.0", true),
            ("3.0-dev2", true),
            ("10.1", true),
        ] {
            assert_eq!(has_glitches(&says(number)), has, "{number}");
        }
        assert!(!has_glitches(""));
    }
}
