//! The supervisor's own socket, `STATE/supervisor.sock`: what `mangrove reload` and `mangrove upgrade` talk to.
//!
//! The caller sends one JSON line; the supervisor answers with any number of `say` lines and one `done` line. Only root
//! and the supervisor's own user are heard.

use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use serde::{Deserialize, Serialize};

use crate::handover::is_trusted_peer;
use crate::state::StateDir;
use crate::terminal;

/// The socket's name in the state folder.
pub(crate) const SOCKET: &str = "supervisor.sock";
/// Callers at one time; the next one is turned away.
pub(crate) const CALLERS: usize = 32;
/// The longest request line.
const REQUEST_BYTES: usize = 16 << 10;
/// How long a caller waits between two lines: a start, its retries, and the checks of a new binary are all shorter.
const CALLER_PATIENCE: Duration = Duration::from_secs(180);

/// What a caller wants.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Request {
    /// Read the configuration again.
    Reload,
    /// Replace everything by this binary, or by the one now at the supervisor's own path.
    Upgrade { program: Option<PathBuf> },
}

/// What the caller is told.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    say: String,
    /// Present in the last line: whether it went well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    done: Option<bool>,
}

/// A connection to the supervisor, seen from inside.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) stream: UnixStream,
    line: Vec<u8>,
    asked: bool,
}

/// What came from a caller.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Nothing whole yet.
    Nothing,
    /// A request.
    Request(Request),
    /// It left, or made no sense.
    Gone,
}

impl Caller {
    /// Takes a connection in, if it may talk to us.
    pub(crate) fn accept(listener: &UnixListener) -> io::Result<Self> {
        let (stream, _) = listener.accept()?;
        if !is_trusted_peer(&stream)? {
            return Err(ErrorKind::PermissionDenied.into());
        }
        Self::of(stream)
    }

    /// A caller that has already asked and waits for its answer.
    pub(crate) fn waiting(stream: UnixStream) -> io::Result<Self> {
        Ok(Self {
            asked: true,
            ..Self::of(stream)?
        })
    }

    fn of(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let line = Vec::new();
        Ok(Self {
            stream,
            line,
            asked: false,
        })
    }

    /// Reads what has come.
    pub(crate) fn hear(&mut self) -> Heard {
        let mut chunk = [0; 1024];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return Heard::Gone,
                Ok(count) => self.line.extend(chunk.iter().take(count)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Heard::Nothing,
                Err(_) => return Heard::Gone,
            }
            if self.asked || self.line.len() > REQUEST_BYTES {
                return Heard::Gone;
            }
            if let Some(line) = self.line.strip_suffix(b"\n") {
                self.asked = true;
                return serde_json::from_slice(line).map_or(Heard::Gone, Heard::Request);
            }
        }
    }

    /// Tells it something on the way.
    pub(crate) fn say(&mut self, text: &str) {
        self.write(text, None);
    }

    /// Tells it the end.
    pub(crate) fn done(&mut self, outcome: &Result<String, String>) {
        let (Ok(text) | Err(text)) = outcome;
        self.write(text, Some(outcome.is_ok()));
    }

    /// A caller that reads too slowly loses what it is told: nobody waits for it.
    fn write(&mut self, text: &str, done: Option<bool>) {
        let say = text.to_owned();
        if let Ok(mut line) = serde_json::to_vec(&Line { say, done }) {
            line.push(b'\n');
            let _ = self.stream.write_all(&line);
        }
    }
}

/// Opens the supervisor's socket. The lock is held, so whatever has that name is a leftover.
pub(crate) fn listen(state: &StateDir) -> Result<UnixListener> {
    let path = state.socket(SOCKET);
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path)
        .with_context(|| format!("{} cannot be opened", state.path().join(SOCKET).display()))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// What to say, and to do, where nobody answers.
pub(crate) fn nobody(state: &Path, because: &anyhow::Error) -> anyhow::Error {
    let state = terminal::shell_word(state);
    anyhow!(
        "no Mangrove is running with the state folder {state} ({because:#}).\n\
         Name the running one's with --state DIR, or the file that names it with --config FILE; or start one: \
         {} serve --state {state}",
        terminal::invoked()
    )
}

/// Asks the supervisor and prints what it says.
pub(crate) fn ask(state: &Path, request: &Request) -> Result<ExitCode> {
    let stream = StateDir::existing(state)
        .and_then(|folder| Ok(UnixStream::connect(folder.socket(SOCKET))?))
        .map_err(|error| nobody(state, &error))?;
    stream.set_read_timeout(Some(CALLER_PATIENCE))?;
    let mut asked = serde_json::to_vec(request)?;
    asked.push(b'\n');
    (&stream).write_all(&asked)?;
    for line in BufReader::new(stream).lines() {
        let line = line.context("the supervisor did not answer in time")?;
        let line: Line = serde_json::from_str(&line)?;
        match line.done {
            None => terminal::say(line.say),
            Some(true) => {
                terminal::say(line.say);
                return Ok(ExitCode::SUCCESS);
            }
            Some(false) => {
                terminal::warn(line.say);
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    bail!("the supervisor left before it had answered; see its own messages")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(bytes: &[u8]) -> Heard {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut caller = Caller::of(ours).unwrap();
        theirs.write_all(bytes).unwrap();
        caller.hear()
    }

    #[test]
    fn a_request_is_one_line_of_json() {
        assert_eq!(
            heard(b"{\"do\":\"reload\"}\n"),
            Heard::Request(Request::Reload)
        );
        assert_eq!(
            heard(b"{\"do\":\"upgrade\",\"program\":\"/opt/m\"}\n"),
            Heard::Request(Request::Upgrade {
                program: Some("/opt/m".into())
            })
        );
        assert_eq!(heard(b"{\"do\":\"rel"), Heard::Nothing);
        assert_eq!(heard(b"{\"do\":\"format the disk\"}\n"), Heard::Gone);
        assert_eq!(heard(b"\xff\xfe\n"), Heard::Gone);
    }

    #[test]
    fn a_line_one_byte_too_long_ends_the_call() {
        assert_eq!(heard(&[b' '; REQUEST_BYTES]), Heard::Nothing);
        assert_eq!(heard(&[b' '; REQUEST_BYTES + 1]), Heard::Gone);
    }

    #[test]
    fn a_caller_hears_how_it_ended() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut caller = Caller::of(ours).unwrap();
        caller.say("checking");
        caller.done(&Err("no".into()));
        let mut lines = BufReader::new(theirs).lines();
        assert_eq!(lines.next().unwrap().unwrap(), r#"{"say":"checking"}"#);
        assert_eq!(
            lines.next().unwrap().unwrap(),
            r#"{"say":"no","done":false}"#
        );
    }
}
