//! What an edge's own door answers: the socket in its state folder, where an operator's commands go.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The body of the answer to one request line, which must be well received.
pub(crate) fn told(socket: &Path, line: &str) -> Result<String> {
    let mut stream = UnixStream::connect(socket).context("asking the edge")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{line} HTTP/1.1\r\nHost: edge\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "{line}: {answer}");
    let (_, body) = answer.split_once("\r\n\r\n").context("no body")?;
    Ok(body.to_owned())
}

/// The same in JSON.
pub(crate) fn order(socket: &Path, line: &str) -> Result<Value> {
    Ok(serde_json::from_str(&told(socket, line)?)?)
}
