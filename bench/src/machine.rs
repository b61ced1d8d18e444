//! What the numbers were taken on.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::peers::{Programs, Server};

/// The machine and the programs on it.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// The processor's model.
    pub(crate) processor: String,
    /// How many of them.
    pub(crate) cores: usize,
    /// The kernel's release.
    pub(crate) kernel: String,
    /// The distribution.
    pub(crate) system: String,
    /// What decides how fast a connection over loopback sends.
    #[serde(default)]
    pub(crate) congestion_control: String,
    /// OpenSSL, which the peers' TLS is made of.
    pub(crate) openssl: String,
    /// This repository's commit, with a mark when files differ from it.
    pub(crate) commit: String,
    /// Each server's own words, by its name.
    pub(crate) versions: BTreeMap<String, String>,
}

impl Machine {
    /// Looks at the machine this runs on.
    pub(crate) fn look(programs: &Programs) -> Self {
        let versions = Server::ALL
            .iter()
            .filter(|server| **server != Server::Bare)
            .filter_map(|server| Some((server.name().to_owned(), server.version(programs)?)))
            .collect();
        Self {
            processor: value_in("/proc/cpuinfo", "model name", ':'),
            // Not what this process may use: it has pinned itself.
            cores: read("/proc/cpuinfo")
                .lines()
                .filter(|line| line.starts_with("processor"))
                .count(),
            kernel: read("/proc/sys/kernel/osrelease"),
            system: value_in("/etc/os-release", "PRETTY_NAME", '=')
                .trim_matches('"')
                .to_owned(),
            congestion_control: congestion_control().unwrap_or_default(),
            openssl: say("openssl", &["version"]),
            commit: commit(),
            versions,
        }
    }
}

/// Of a connection over loopback; its route may name another than the machine's.
fn congestion_control() -> std::io::Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let connection = TcpStream::connect(listener.local_addr()?)?;
    Ok(rustix::net::sockopt::tcp_congestion(&connection)?)
}

/// This repository's commit, with a mark when files differ from it.
pub(crate) fn commit() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = folder.to_string_lossy();
    let commit = say("git", &["-C", &folder, "rev-parse", "--short=12", "HEAD"]);
    let changed = !say(
        "git",
        &[
            "-C",
            &folder,
            "status",
            "--porcelain",
            "--",
            "../crates",
            "../Cargo.lock",
        ],
    )
    .is_empty();
    if changed {
        format!("{commit} with changes")
    } else {
        commit
    }
}

/// The compiler's own words about its version.
pub(crate) fn compiler() -> String {
    say("rustc", &["--version"])
}

fn read(file: &str) -> String {
    fs::read_to_string(file)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

fn value_in(file: &str, name: &str, separator: char) -> String {
    read(file)
        .lines()
        .filter_map(|line| line.split_once(separator))
        .find_map(|(key, value)| (key.trim() == name).then(|| value.trim().to_owned()))
        .unwrap_or_default()
}

fn say(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map(|output| output.stdout);
    String::from_utf8_lossy(&output.unwrap_or_default())
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}
