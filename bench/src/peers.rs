//! The servers in the comparison: how each is configured, started and asked for its version.
//!
//! Every one of them gets what a careful operator would give it for this job: one worker, keep-alive without limit on
//! both sides, no compression, no field added that can be left out.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use crate::load::Wire;
use crate::process::{Program, free_address};
use crate::rows::Row;
use crate::tls::{Group, Identity};
use crate::{bare, clock};

pub(crate) mod haproxy;
pub(crate) mod mangrove;
pub(crate) mod nginx;
mod varnish;

/// A program that answers requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Server {
    /// The yardstick.
    Bare,
    /// What this repository is about.
    Mangrove,
    /// Debian's nginx.
    Nginx,
    /// Debian's HAProxy.
    Haproxy,
    /// Debian's Varnish, with its varnishncsa for the log.
    Varnish,
    /// hyper's HTTP/1 server with nothing around it: no peer, but what our own connection has to be better than.
    Hyper,
    /// The same with a deadline for each head.
    HyperDeadline,
}

impl Server {
    /// Those that are compared unless others are asked for, in the order of the report.
    pub(crate) const ALL: [Self; 5] = [
        Self::Bare,
        Self::Mangrove,
        Self::Nginx,
        Self::Haproxy,
        Self::Varnish,
    ];

    /// The name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare loop",
            Self::Mangrove => "Mangrove",
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::Varnish => "Varnish",
            Self::Hyper => "hyper",
            Self::HyperDeadline => "hyper with deadline",
        }
    }

    /// Whether it makes every answer itself, has no origin, and writes no log.
    pub(crate) fn only_answers(self) -> bool {
        matches!(self, Self::Bare | Self::Hyper | Self::HyperDeadline)
    }

    /// The program's own words about its version; nothing when it cannot be run.
    pub(crate) fn version(self, programs: &Programs) -> Option<String> {
        let (program, argument) = match self {
            Self::Bare => return Some(env!("CARGO_PKG_VERSION").to_owned()),
            Self::Hyper | Self::HyperDeadline => return Some("as Cargo.lock says".to_owned()),
            Self::Mangrove => (programs.mangrove.as_ref()?.clone().into(), "--version"),
            Self::Nginx => (OsString::from(nginx::PROGRAM), "-v"),
            Self::Haproxy => (OsString::from(haproxy::PROGRAM), "-v"),
            Self::Varnish => (OsString::from(varnish::PROGRAM), "-V"),
        };
        let output = Command::new(program).arg(argument).output().ok()?;
        let text = if output.stdout.is_empty() {
            output.stderr
        } else {
            output.stdout
        };
        Some(
            String::from_utf8_lossy(&text)
                .lines()
                .next()?
                .trim()
                .to_owned(),
        )
    }
}

/// One line of a table: a server in one of its ways.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Contender {
    /// Which server.
    pub(crate) server: Server,
    /// Whether it writes an access log.
    pub(crate) logs: bool,
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.server.name())?;
        match (self.server, self.logs) {
            (Server::Bare | Server::Hyper | Server::HyperDeadline, _) => Ok(()),
            (_, true) => f.write_str(", log on"),
            (_, false) => f.write_str(", log off"),
        }
    }
}

/// Where programs that are not on the search path lie.
pub(crate) struct Programs {
    /// The `mangrove` to measure; nothing leaves it out.
    pub(crate) mangrove: Option<PathBuf>,
}

/// Who makes the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    /// The server itself.
    Edge,
    /// The origin at this address.
    Origin(SocketAddr),
    /// The server's cache, once it has asked the origin at this address.
    Cache(SocketAddr),
    /// The server's disk, once it has asked the origin.
    Disk {
        /// Where that is.
        origin: SocketAddr,
        /// Bytes of everything that will be asked for.
        bytes: u64,
    },
}

/// Of what is asked of its disk, so much may be in Mangrove's memory: one part in so many. Its peers have none beside the kernel's.
const MEMORY_SHARE: u64 = 16;
/// What each cache may hold: more than any row asks for, and as much as Mangrove's does where nothing else is said.
const CACHE_MIB: u32 = 256;
/// So long a cache may keep what it has: as long as the origin allows.
const KEEP_SECONDS: u32 = 86_400;

/// What every contender of a row is asked to serve.
pub(crate) struct Task<'a> {
    /// Who answers.
    pub(crate) answer: Answer,
    /// Bytes in the answer's body.
    pub(crate) body: usize,
    /// Whether the bare loop answers that nothing has changed.
    pub(crate) is_unchanged: bool,
    /// Whether everybody has asked for too much already.
    pub(crate) refuses: bool,
    /// Bytes in the head of the bare loop's answer; the others' heads are their own.
    pub(crate) head: usize,
    /// The key for TLS.
    pub(crate) identity: &'a Identity,
    /// Which core to run on.
    pub(crate) core: usize,
}

impl Task<'_> {
    fn content(&self) -> String {
        char::from(bare::FILL).to_string().repeat(self.body)
    }
}

/// Where a contender listens.
#[derive(Clone, Copy)]
struct Doors {
    h1: SocketAddr,
    tls: SocketAddr,
    h2: SocketAddr,
}

/// A contender at work. All of its programs end when this value goes.
pub(crate) struct Running {
    programs: Vec<Program>,
    doors: Doors,
    /// The access log that it was told to write.
    log: Option<PathBuf>,
    /// Where its disk tier lies, in a row about that.
    store: Option<PathBuf>,
}

impl Running {
    /// Starts `contender` for `task` with its files in a folder below `work`; `wrap` goes before its command line.
    pub(crate) fn start(
        contender: Contender,
        task: &Task<'_>,
        programs: &Programs,
        work: &Path,
        wrap: &[OsString],
    ) -> Result<Self> {
        let folder = fresh_folder(work)?;
        let doors = Doors {
            h1: free_address()?,
            tls: free_address()?,
            h2: free_address()?,
        };
        let setup = Setup {
            task,
            logs: contender.logs,
            folder: &folder,
            doors,
            wrap,
        };
        match contender.server {
            Server::Bare => setup.bare(),
            Server::Mangrove => {
                let program = programs
                    .mangrove
                    .as_deref()
                    .context("no mangrove program")?;
                mangrove::start(&setup, program)
            }
            Server::Nginx => nginx::start(&setup),
            Server::Haproxy => haproxy::start(&setup),
            Server::Varnish => varnish::start(&setup),
            Server::Hyper => setup.hyper(false),
            Server::HyperDeadline => setup.hyper(true),
        }
    }

    /// Where it takes `wire`.
    pub(crate) fn address(&self, wire: Wire) -> SocketAddr {
        match wire {
            Wire::H1 => self.doors.h1,
            Wire::H2 => self.doors.h2,
            Wire::H1Tls(_) | Wire::H2Tls(_) => self.doors.tls,
        }
    }

    /// Where its disk tier lies, in a row about that.
    pub(crate) fn store(&self) -> Option<&Path> {
        self.store.as_deref()
    }

    /// The processes that it consists of, without their descendants.
    pub(crate) fn roots(&self) -> Result<Vec<Pid>> {
        self.programs.iter().map(Program::pid).collect()
    }

    /// An error once any of them has ended.
    pub(crate) fn check_alive(&mut self) -> Result<()> {
        self.programs.iter_mut().try_for_each(Program::check_alive)
    }

    /// Ends it, log helpers first; an error if it was to write a log and wrote none.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.programs.iter_mut().rev().try_for_each(Program::stop)?;
        let Some(log) = &self.log else { return Ok(()) };
        let written = fs::metadata(log).map_or(0, |file| file.len());
        ensure!(
            written > 0,
            "{} is empty: nothing was logged",
            log.display()
        );
        Ok(())
    }
}

/// Why this server has no part in a row; nothing when it has.
pub(crate) fn not_applicable(server: Server, row: &Row, programs: &Programs) -> Option<String> {
    let wire = row.wire;
    if server == Server::Mangrove && programs.mangrove.is_none() {
        return Some("left out by --mangrove none".to_owned());
    }
    if server.version(programs).is_none() {
        return Some("not installed here".to_owned());
    }
    match (server, row.shelf()) {
        (Server::Haproxy, Some(_)) => return Some("its cache is in memory alone".to_owned()),
        (Server::Varnish, Some(shelf)) if shelf.is_cold => {
            let why = "its file is mapped: nobody else can make it cold, and it begins empty";
            return Some(why.to_owned());
        }
        _ => {}
    }
    match (server, wire) {
        (Server::Bare, _) => None,
        (Server::Hyper | Server::HyperDeadline, wire) if wire != Wire::H1 => {
            Some("HTTP/1.1 in cleartext only".to_owned())
        }
        (Server::Varnish, wire) if wire.is_tls() => Some("Varnish has no TLS".to_owned()),
        (Server::Nginx | Server::Haproxy, Wire::H1Tls(Group::X25519MlKem768)) => {
            openssl_without_mlkem()
                .then(|| "its OpenSSL is older than 3.5: no X25519MLKEM768".to_owned())
        }
        _ => None,
    }
}

fn openssl_without_mlkem() -> bool {
    let Ok(output) = Command::new("openssl").arg("version").output() else {
        return true;
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut numbers = text
        .split_ascii_whitespace()
        .nth(1)
        .unwrap_or_default()
        .split('.');
    let mut number = || {
        numbers
            .next()
            .and_then(|text| text.parse::<u32>().ok())
            .unwrap_or(0)
    };
    (number(), number()) < (3, 5)
}

/// All that a server's own module needs to configure and start it.
struct Setup<'a> {
    task: &'a Task<'a>,
    logs: bool,
    folder: &'a Path,
    doors: Doors,
    wrap: &'a [OsString],
}

impl Setup<'_> {
    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    /// Whether it runs under a profiler.
    fn is_wrapped(&self) -> bool {
        !self.wrap.is_empty()
    }

    /// Starts a command line; what it prints goes to a file `name`.log, or to `output` if given.
    fn program(&self, name: &str, command: &[OsString], output: Option<&Path>) -> Result<Program> {
        let mut line = self.wrap.to_vec();
        line.extend_from_slice(command);
        self.program_as_it_is(name, &line, output)
    }

    /// The same without a profiler.
    fn program_as_it_is(
        &self,
        name: &str,
        command: &[OsString],
        output: Option<&Path>,
    ) -> Result<Program> {
        let log = self.folder.join(format!("{name}.log"));
        Program::start(self.task.core, command, &log, output)
    }

    fn running(&self, programs: Vec<Program>, log: &str) -> Running {
        Running {
            programs,
            doors: self.doors,
            log: self.logs.then(|| self.folder.join(log)),
            store: None,
        }
    }

    /// Whether its answers come from its disk, and how many bytes of them there are.
    fn set_on_disk(&self) -> Option<u64> {
        match self.task.answer {
            Answer::Disk { bytes, .. } => Some(bytes),
            Answer::Edge | Answer::Origin(_) | Answer::Cache(_) => None,
        }
    }

    /// So many MiB hold all that is asked of a disk, with as much again for what a server needs beside it.
    fn disk_mib(&self) -> Option<u64> {
        self.set_on_disk()
            .map(|bytes| (2 * bytes).div_ceil(1 << 20))
    }

    fn bare(&self) -> Result<Running> {
        let mut command = bare_command(self.doors.h1, self.task.head, self.task.body)?;
        command.extend(self.task.is_unchanged.then(|| "--unchanged".into()));
        self.one_door("bare", &command)
    }

    fn hyper(&self, deadline: bool) -> Result<Running> {
        let command = hyper_command(self.doors.h1, self.task.body, deadline)?;
        self.one_door("hyper", &command)
    }

    /// One door is enough for a server of one protocol.
    fn one_door(&self, name: &str, command: &[OsString]) -> Result<Running> {
        let doors = Doors {
            tls: self.doors.h1,
            h2: self.doors.h1,
            ..self.doors
        };
        Ok(Running {
            programs: vec![self.program(name, command, None)?],
            doors,
            log: None,
            store: None,
        })
    }
}

/// Starts hyper's server alone, on `core`, where it may serve as an origin that reads whole bodies.
pub(crate) fn start_hyper(work: &Path, core: usize, body: usize) -> Result<(Program, SocketAddr)> {
    let address = free_address()?;
    let log = fresh_folder(work)?.join("hyper.log");
    let program = Program::start(core, &hyper_command(address, body, false)?, &log, None)?;
    wait_for_door(address).context("waiting for hyper")?;
    Ok((program, address))
}

/// Starts the origin: the bare loop, on the generator's core.
pub(crate) fn start_origin(work: &Path, core: usize, body: usize) -> Result<(Program, SocketAddr)> {
    let address = free_address()?;
    let log = fresh_folder(work)?.join("origin.log");
    let program = Program::start(core, &bare_command(address, 0, body)?, &log, None)?;
    wait_for_door(address).context("waiting for the origin")?;
    Ok((program, address))
}

fn wait_for_door(address: SocketAddr) -> Result<()> {
    let look = || Ok(std::net::TcpStream::connect(address).ok());
    clock::poll(std::time::Duration::from_secs(5), look).map(drop)
}

fn bare_command(address: SocketAddr, head: usize, body: usize) -> Result<Vec<OsString>> {
    own_command(&[
        "bare",
        &address.to_string(),
        &head.to_string(),
        &body.to_string(),
    ])
}

fn hyper_command(address: SocketAddr, body: usize, deadline: bool) -> Result<Vec<OsString>> {
    let (address, body) = (address.to_string(), body.to_string());
    let mut words = vec!["hyper", &address, &body];
    words.extend(deadline.then_some("--deadline"));
    own_command(&words)
}

/// This program with a subcommand of its own.
fn own_command(words: &[&str]) -> Result<Vec<OsString>> {
    let own = std::env::current_exe().context("finding this program")?;
    Ok(std::iter::once(own.into())
        .chain(words.iter().map(OsString::from))
        .collect())
}

fn fresh_folder(work: &Path) -> Result<PathBuf> {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let folder = work.join(NEXT.fetch_add(1, Ordering::Relaxed).to_string());
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    Ok(folder)
}

/// A command line from words.
fn words<const N: usize>(words: [&dyn AsRef<std::ffi::OsStr>; N]) -> Vec<OsString> {
    words.iter().map(|word| word.as_ref().to_owned()).collect()
}
