//! The supervisor becomes a newer one: same process, same children, same sockets, another program.
//!
//! Everything it holds travels as a parcel through a socket pair whose reading end is the new program's standard input.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::handover::{self, ListenerNote};
use crate::source::Source;
use crate::supervisor::Generation;

/// The form of [`Note`]. A binary that reads another one refuses the upgrade in its second step.
pub(crate) const FORMAT: u32 = 1;

/// What the new supervisor must know.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Note {
    pub(crate) format: u32,
    pub(crate) state: PathBuf,
    pub(crate) source: Source,
    pub(crate) invoked: String,
    pub(crate) next_generation: Generation,
    pub(crate) edges: Vec<EdgeNote>,
    pub(crate) listeners: Vec<ListenerNote>,
    /// Whether the last descriptor is a caller that waits to hear how the upgrade ended.
    pub(crate) caller: bool,
}

/// One edge that goes on running.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EdgeNote {
    pub(crate) generation: Generation,
    pub(crate) pid: i32,
    pub(crate) serves: bool,
}

/// The descriptors that go along, in this order.
#[derive(Debug)]
pub(crate) struct Held<F> {
    pub(crate) lock: F,
    pub(crate) control: F,
    pub(crate) listeners: Vec<F>,
    pub(crate) caller: Option<F>,
}

/// Becomes `program`. Returns only if that failed, and then nothing has changed.
pub(crate) fn become_program(program: &Path, note: &Note, held: Held<BorrowedFd<'_>>) -> io::Error {
    let stdin = || {
        let (ours, theirs) = UnixStream::pair()?;
        handover::with_patience(&ours)?;
        let mut fds = vec![held.lock, held.control];
        fds.extend(held.listeners);
        fds.extend(held.caller);
        // Nobody reads yet: the parcel waits in the socket's buffer, or the patience ends.
        handover::send(&ours, note, &fds)?;
        io::Result::Ok(Stdio::from(OwnedFd::from(theirs)))
    };
    match stdin() {
        Err(error) => error,
        Ok(stdin) => Command::new(program)
            .args(["serve", "--resume"])
            .stdin(stdin)
            .exec(),
    }
}

/// Takes over what the earlier program sent.
pub(crate) fn take_over() -> Result<(Note, Held<OwnedFd>)> {
    let by_hand = "--resume is for a supervisor that becomes another program";
    let stdin = io::stdin().as_fd().try_clone_to_owned().context(by_hand)?;
    rustix::net::sockopt::socket_type(&stdin).context(by_hand)?;
    let link = UnixStream::from(stdin);
    handover::with_patience(&link)?;
    let (note, fds) = handover::receive::<Note>(&link).context(by_hand)?;
    ensure!(
        note.format == FORMAT,
        "form {} is not read here",
        note.format
    );
    rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;

    let expected = 2 + note.listeners.len() + usize::from(note.caller);
    ensure!(
        fds.len() == expected,
        "{} descriptors came, {expected} were announced",
        fds.len()
    );
    let mut fds = fds.into_iter();
    let mut next = || fds.next().context("a descriptor is missing");
    let held = Held {
        lock: next()?,
        control: next()?,
        listeners: (0..note.listeners.len())
            .map(|_| next())
            .collect::<Result<_>>()?,
        caller: if note.caller { Some(next()?) } else { None },
    };
    Ok((note, held))
}
