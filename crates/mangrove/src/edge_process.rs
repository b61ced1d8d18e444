//! Both ends of starting an edge: the supervisor that spawns it and the process that becomes it.
//!
//! The edge's standard input is a socket from the supervisor. Over it come its orders and its listening sockets; over
//! it goes `ready` once every core accepts. Afterwards neither side needs the other.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, WaitStatus};
use serde::{Deserialize, Serialize};

use crate::handover::{self, ListenerNote, PassedListener};
use crate::listeners::Sockets;
use crate::privileges::{Account, become_account};
use crate::supervisor::{Exit, Generation};
use crate::terminal;

/// The form of the orders; an edge of another version refuses what it does not know.
const FORMAT: u32 = 1;

/// What an edge is started with.
#[derive(Debug)]
pub struct EdgeArgs {
    /// The state folder, and the process's working folder.
    pub state_dir: PathBuf,
    /// The listening sockets.
    pub listeners: Vec<PassedListener>,
    /// Where to write `ready` and a line end once every core accepts.
    pub ready_fd: OwnedFd,
    /// Its number, in the names of its sockets.
    pub generation: u64,
}

/// The data plane's entry: blocks until the edge has drained.
pub type EdgeEntry = fn(EdgeArgs) -> ExitCode;

/// How to start an edge.
#[derive(Debug)]
pub(crate) struct EdgeCommand<'a> {
    pub(crate) program: &'a Path,
    pub(crate) generation: Generation,
    pub(crate) state_dir: &'a Path,
    pub(crate) user: Option<&'a Account>,
}

/// A running edge, seen from the supervisor.
#[derive(Debug)]
pub(crate) struct EdgeProcess {
    pub(crate) pid: Pid,
    /// Readable once the process is gone. Never another process, whatever becomes of the pid.
    pub(crate) pidfd: OwnedFd,
    /// Readable once it is ready; none for an adopted edge.
    pub(crate) link: Option<UnixStream>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Orders {
    format: u32,
    generation: Generation,
    state_dir: PathBuf,
    user: Option<Account>,
    listeners: Vec<ListenerNote>,
}

impl EdgeCommand<'_> {
    /// Starts the edge with `sockets`.
    pub(crate) fn spawn(&self, sockets: &Sockets) -> io::Result<EdgeProcess> {
        let (link, theirs) = UnixStream::pair()?;
        let child = Command::new(self.program)
            .arg0("mangrove")
            .arg("edge")
            .arg(format!("--generation={}", self.generation))
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            // The terminal's Ctrl-C is for the supervisor, which lets the edge finish its requests.
            .process_group(0)
            .spawn()?;
        let process = EdgeProcess::watch(Pid::from_child(&child), Some(link))?;
        let orders = Orders {
            format: FORMAT,
            generation: self.generation,
            state_dir: self.state_dir.to_owned(),
            user: self.user.cloned(),
            listeners: sockets.iter().map(|socket| (&**socket).into()).collect(),
        };
        let fds: Vec<_> = sockets.iter().map(|socket| socket.fd.as_fd()).collect();
        let sent = process.link.as_ref().map_or(Ok(()), |link| {
            handover::with_patience(link)?;
            handover::send(link, &orders, &fds)?;
            link.set_nonblocking(true)
        });
        if let Err(error) = sent {
            process.signal(Signal::KILL);
            let _ = rustix::process::waitpid(Some(process.pid), WaitOptions::empty());
            return Err(error);
        }
        Ok(process)
    }
}

impl EdgeProcess {
    /// Watches the process `pid`.
    pub(crate) fn watch(pid: Pid, link: Option<UnixStream>) -> io::Result<Self> {
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
        Ok(Self { pid, pidfd, link })
    }

    /// Sends a signal, if the process is still there.
    pub(crate) fn signal(&self, signal: Signal) {
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, signal);
    }

    /// How it ended; call it once `pidfd` is readable.
    pub(crate) fn exit(&self) -> Exit {
        match rustix::process::waitpid(Some(self.pid), WaitOptions::NOHANG) {
            Ok(Some((_, status))) => classify(status),
            Ok(None) | Err(_) => Exit::Unknown,
        }
    }
}

/// What an end says about the edge: was it killed, or did it fail?
fn classify(status: WaitStatus) -> Exit {
    const ITS_OWN_FAULT: [Signal; 9] = [
        Signal::ABORT,
        Signal::SEGV,
        Signal::BUS,
        Signal::ILL,
        Signal::FPE,
        Signal::TRAP,
        Signal::SYS,
        Signal::PIPE,
        Signal::XCPU,
    ];
    if let Some(number) = status.terminating_signal() {
        let Some(signal) = Signal::from_named_raw(number) else {
            return Exit::Outside(format!("signal {number}"));
        };
        let name = format!("{signal:?}");
        let name = name.trim_matches('"').replace("Signal::", "signal ");
        return if ITS_OWN_FAULT.contains(&signal) {
            Exit::Fault(name)
        } else {
            Exit::Outside(name)
        };
    }
    match status.exit_status() {
        Some(0) => Exit::Clean,
        Some(code) => Exit::Fault(format!("exit code {code}")),
        None => Exit::Unknown,
    }
}

/// `mangrove edge`: takes the orders from standard input, gives up root, and carries requests until it has drained.
pub(crate) fn run(entry: EdgeEntry) -> ExitCode {
    match take_orders() {
        Ok(args) => entry(args),
        Err(error) => {
            terminal::warn(format_args!("edge: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn take_orders() -> Result<EdgeArgs> {
    let by_hand = "an edge is started by `mangrove serve`, not by hand";
    let stdin = io::stdin().as_fd().try_clone_to_owned().context(by_hand)?;
    rustix::net::sockopt::socket_type(&stdin).context(by_hand)?;
    let link = UnixStream::from(stdin);
    handover::with_patience(&link)?;
    let (orders, fds) =
        handover::receive::<Orders>(&link).context("no orders came from the supervisor")?;
    anyhow::ensure!(
        orders.format == FORMAT,
        "the supervisor's orders are of format {}; this build reads {FORMAT}",
        orders.format
    );
    let listeners = handover::pair(orders.listeners, fds)?;
    rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
    let _ = rustix::thread::set_name(c"mangrove-edge");
    let state_dir = orders.state_dir;
    std::env::set_current_dir(&state_dir)
        .with_context(|| format!("{} cannot be entered", state_dir.display()))?;
    if let Some(account) = &orders.user {
        become_account(account)
            .with_context(|| format!("the edge cannot become user {}", account.name))?;
    }
    Ok(EdgeArgs {
        state_dir,
        listeners,
        ready_fd: link.into(),
        generation: orders.generation,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How a shell that ran `script` ended.
    #[allow(clippy::zombie_processes, reason = "it is waited for by pid")]
    fn end_of(script: &str) -> Exit {
        let child = Command::new("/bin/sh")
            .args(["-c", script])
            .spawn()
            .unwrap();
        let pid = Pid::from_child(&child);
        let (_, status) = rustix::process::waitpid(Some(pid), WaitOptions::empty())
            .unwrap()
            .unwrap();
        classify(status)
    }

    #[test]
    fn a_kill_from_outside_is_told_from_a_crash() {
        assert_eq!(end_of("kill -KILL $$"), Exit::Outside("signal KILL".into()));
        assert_eq!(end_of("kill -TERM $$"), Exit::Outside("signal TERM".into()));
        assert_eq!(end_of("kill -ABRT $$"), Exit::Fault("signal ABORT".into()));
        assert_eq!(end_of("kill -SEGV $$"), Exit::Fault("signal SEGV".into()));
        assert_eq!(end_of("exit 101"), Exit::Fault("exit code 101".into()));
        assert_eq!(end_of("exit 0"), Exit::Clean);
    }
}
