//! The words in which the supervisor and its shell talk: what happened, and what to do about it.

use std::path::PathBuf;

use super::Exit;

/// Edges are numbered as they are started; the number is in the names of their sockets and is never used twice.
pub(crate) type Generation = u64;

/// Who asked for a change, and so who is told its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// `mangrove serve` itself, at its start.
    Startup,
    /// A signal: the outcome goes to the terminal.
    Signal,
    /// A connection to the control socket, by its number.
    Caller(u64),
}

/// What an edge is asked on its own socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// Read the settled configuration again and swap it in.
    Apply,
    /// Read the certificate files again.
    Certificates,
    /// Stop accepting, finish what is under way, exit.
    Drain,
    /// Open the log files again.
    Reopen,
    /// Is it alive?
    Health,
}

/// A signal that the supervisor sends to an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Asks: SIGTERM.
    Terminate,
    /// Ends it for certain: SIGKILL.
    Kill,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Time to start. `fallback`: an older settled configuration is on the disk, to be used should this one fail.
    Boot { program: PathBuf, fallback: bool },
    /// An edge that outlived its supervisor was found. It `serves`, or is draining.
    Adopted {
        generation: Generation,
        serves: bool,
        program: PathBuf,
    },
    /// Every core of this edge accepts.
    Ready(Generation),
    /// An edge's process is gone.
    Exited(Generation, Exit),
    /// An edge answered, or did not.
    Answered(Generation, Call, Result<String, String>),
    /// A new settled configuration is on the disk. `sockets`: the set of listening sockets is another one.
    Configured { asker: Asker, sockets: bool },
    /// A binary that passed its checks is to replace everything.
    Upgrade { asker: Asker, program: PathBuf },
    /// The supervisor could not become the new binary.
    NotReplaced(String),
    /// Please stop; the second time: now.
    Terminate,
    /// The log files were moved away.
    Reopen,
    /// Nothing happened but time.
    Tick,
}

/// What to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Start this edge from `program`, with the sockets of the change under way if there is one.
    Start {
        generation: Generation,
        program: PathBuf,
    },
    /// Ask this edge.
    Call(Generation, Call),
    /// Send this edge a signal.
    Signal(Generation, Stop),
    /// The change is good: its sockets and its configuration are the ones to keep.
    Keep,
    /// The change failed: put the older configuration and sockets back.
    TakeBack,
    /// Tell whoever asked how it ended.
    Answer(Asker, Result<String, String>),
    /// Tell the person at the terminal.
    Say(String),
    /// Replace the supervisor's own program, keeping everything it holds; `asker` is told by the new one.
    Become { program: PathBuf, asker: Asker },
    /// Stop listening: close every listening socket.
    Close,
    /// Leave with this exit code.
    Exit(u8),
}

/// What the supervisor is about, for whoever watches it from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// No edge has served yet.
    Starting,
    /// An edge serves.
    Serving,
    /// An edge serves and a change is under way.
    Changing,
    /// The edge is gone and its successor is not ready yet.
    Recovering,
    /// Everything is being ended.
    Stopping,
}
