//! Asking an edge something on its own socket, without waiting for the answer.
//!
//! One HTTP/1.1 request on a connection of its own. The shell polls the stream and calls [`EdgeCall::advance`] when it
//! is readable, so a silent edge costs the supervisor nothing but a deadline.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::supervisor::{Call, Generation};

/// How long an edge may take to read and swap ten thousand sites.
const APPLY_LIMIT: Duration = Duration::from_secs(30);
/// How long it may take for anything else.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// The longest answer that is read.
const ANSWER_BYTES: usize = 64 << 10;
/// How long a person waits for a piece of an answer: the edge ends an exchange by itself after 40 s.
const COMMAND_LIMIT: Duration = Duration::from_secs(45);
/// The longest answer that is read for a person: a page of the cache's list, every URL as long as it may be.
const COMMAND_ANSWER_BYTES: u64 = 64 << 20;
/// The most fields in an answer's head.
const ANSWER_FIELDS: usize = 32;

/// A question under way.
#[derive(Debug)]
pub(crate) struct EdgeCall {
    pub(crate) generation: Generation,
    pub(crate) call: Call,
    pub(crate) stream: UnixStream,
    pub(crate) deadline: Instant,
    answer: Vec<u8>,
}

impl EdgeCall {
    /// Sends the question to the edge that listens at `path`.
    pub(crate) fn send(
        path: &Path,
        generation: Generation,
        call: Call,
        now: Instant,
    ) -> io::Result<Self> {
        let mut stream = UnixStream::connect(path)?;
        stream.set_nonblocking(true)?;
        // Far shorter than an empty socket's buffer, so it is written whole or not at all.
        stream.write_all(request(call).as_bytes())?;
        Ok(Self {
            generation,
            call,
            stream,
            deadline: now + limit(call),
            answer: Vec::new(),
        })
    }

    /// Reads what has come; the outcome, once it is known.
    pub(crate) fn advance(&mut self) -> Option<Result<String, String>> {
        let mut chunk = [0; 4096];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return Some(whole(&self.answer).unwrap_or_else(|| Err(cut()))),
                Ok(count) => {
                    self.answer.extend(chunk.iter().take(count));
                    if self.answer.len() > ANSWER_BYTES {
                        return Some(Err("the edge's answer is too long".into()));
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return outcome(&self.answer, false).map(in_words);
                }
                Err(_) => return Some(Err(cut())),
            }
        }
    }

    /// Whether nothing was answered at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.answer.is_empty()
    }

    /// What to say when the deadline came first.
    pub(crate) fn late(&self) -> Result<String, String> {
        let seconds = limit(self.call).as_secs();
        Err(format!("the edge did not answer within {seconds} s"))
    }
}

/// An edge's no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The status; none where the answer is no HTTP, or broke off.
    pub(crate) status: Option<u16>,
    /// The edge's own words, if it had any.
    pub(crate) reason: String,
}

impl Refused {
    fn without_status(reason: String) -> Self {
        Self {
            status: None,
            reason,
        }
    }
}

/// Asks the edge that listens at `path` for `line` and waits for the answer: for a command, not for the supervisor.
///
/// The outer error: nobody is there, or nobody answers. The inner one: the edge's own reason.
pub(crate) fn ask_and_wait(path: &Path, line: &str) -> io::Result<Result<String, Refused>> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(COMMAND_LIMIT))?;
    stream.set_write_timeout(Some(COMMAND_LIMIT))?;
    // It may refuse a long request before it has read all of it: then its words are still to be read.
    let written = stream.write_all(request_for(line).as_bytes());
    let mut answer = Vec::new();
    let read = stream.take(COMMAND_ANSWER_BYTES).read_to_end(&mut answer);
    match outcome(&answer, true) {
        Some(outcome) => Ok(outcome),
        None => {
            written.and(read)?;
            Ok(Err(Refused::without_status(cut())))
        }
    }
}

fn limit(call: Call) -> Duration {
    match call {
        Call::Apply | Call::Certificates => APPLY_LIMIT,
        Call::Drain | Call::Reopen | Call::Health => ANSWER_LIMIT,
    }
}

fn request(call: Call) -> String {
    let line = match call {
        Call::Apply => "POST /apply",
        Call::Certificates => "POST /certificates",
        Call::Drain => "POST /drain",
        Call::Reopen => "POST /reopen",
        Call::Health => "GET /healthz",
    };
    request_for(line)
}

fn request_for(line: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: edge\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
}

fn cut() -> String {
    "the edge ended the connection before it had answered".into()
}

fn whole(answer: &[u8]) -> Option<Result<String, String>> {
    outcome(answer, true).map(in_words)
}

fn in_words(outcome: Result<String, Refused>) -> Result<String, String> {
    outcome.map_err(|refused| refused.reason)
}

/// Reads an answer: its body if it is a success, its reason if not. `None` as long as some of it is missing.
fn outcome(answer: &[u8], ended: bool) -> Option<Result<String, Refused>> {
    let mut fields = [httparse::EMPTY_HEADER; ANSWER_FIELDS];
    let mut head = httparse::Response::new(&mut fields);
    let head_bytes = match head.parse(answer) {
        Ok(httparse::Status::Complete(bytes)) => bytes,
        Ok(httparse::Status::Partial) => return None,
        Err(error) => {
            let reason = format!("the edge's answer is not HTTP: {error}");
            return Some(Err(Refused::without_status(reason)));
        }
    };
    let length = head
        .headers
        .iter()
        .find(|field| field.name.eq_ignore_ascii_case("content-length"))
        .and_then(|field| std::str::from_utf8(field.value).ok()?.parse::<usize>().ok());
    let body = answer.get(head_bytes..).unwrap_or_default();
    let body = match length {
        Some(length) if body.len() >= length => body.get(..length).unwrap_or_default(),
        None if ended => body,
        _ => return None,
    };
    let text = String::from_utf8_lossy(body).trim().to_owned();
    Some(match head.code {
        Some(200..=299) => Ok(text),
        status => Err(Refused {
            status,
            reason: reason(&text, status.unwrap_or_default()),
        }),
    })
}

/// The edge says `{"error": "…"}`.
fn reason(body: &str, code: u16) -> String {
    #[derive(serde::Deserialize)]
    struct Refusal {
        error: String,
    }
    match serde_json::from_str::<Refusal>(body) {
        Ok(Refusal { error }) => error,
        Err(_) if body.is_empty() => format!("the edge answered {code}"),
        Err(_) => format!("the edge answered {code}: {body}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_known_once_all_of_it_is_there() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        for cut in 0..whole.len() {
            assert_eq!(outcome(&whole[..cut], false), None, "after {cut} bytes");
        }
        assert_eq!(outcome(whole, false), Some(Ok("{}".into())));
    }

    #[test]
    fn a_refusal_speaks_in_the_edges_own_words() {
        let answer = b"HTTP/1.1 422 Unprocessable Content\r\nContent-Length: 28\r\n\r\n{\"error\":\"no such key file\"}";
        let refused = Refused {
            status: Some(422),
            reason: "no such key file".into(),
        };
        assert_eq!(outcome(answer, false), Some(Err(refused)));
        let bare = b"HTTP/1.1 503 Busy\r\n\r\n";
        assert_eq!(whole(bare), Some(Err("the edge answered 503".into())));
    }

    #[test]
    fn noise_is_an_error() {
        assert!(matches!(outcome(b"\0\0\0\0", false), Some(Err(_))));
        let lying = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nx";
        assert_eq!(outcome(lying, true), Some(Ok("x".into())));
    }

    #[test]
    fn an_edge_that_hangs_up_has_not_answered() {
        let (stream, theirs) = UnixStream::pair().unwrap();
        stream.set_nonblocking(true).unwrap();
        let mut call = EdgeCall {
            generation: 1,
            call: Call::Apply,
            stream,
            deadline: crate::clock::now(),
            answer: Vec::new(),
        };
        assert_eq!(call.advance(), None);
        drop(theirs);
        assert_eq!(call.advance(), Some(Err(cut())));
    }

    #[test]
    fn an_answer_one_byte_too_long_is_refused() {
        let (stream, mut theirs) = UnixStream::pair().unwrap();
        stream.set_nonblocking(true).unwrap();
        let mut call = EdgeCall {
            generation: 1,
            call: Call::Apply,
            stream,
            deadline: crate::clock::now(),
            answer: vec![b'x'; ANSWER_BYTES],
        };
        theirs.write_all(b"x").unwrap();
        assert_eq!(
            call.advance(),
            Some(Err("the edge's answer is too long".into()))
        );
    }
}
