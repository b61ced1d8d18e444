//! Exactness of refusals: what Mangrove and hyper do with messages that break the rules.
//!
//! ```text
//! malformed request ─► Mangrove │ hyper's server        malformed answer ─► Mangrove as a gateway │ hyper's client
//! ```
//!
//! The numbers behind `docs/decisions` 0001 and 0003. Each case is one connection with one message; nothing here is timed.
//! Silence is told from an answer by waiting [`PATIENCE`], so a very busy machine could show "waits" for an answer that
//! comes later, but never an answer that was not given.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::clock;
use crate::peers;
use crate::process::{Program, free_address};
use crate::report::table;
use crate::terminal::say;

mod answers;
mod requests;

/// How long an answer, or the end of a connection, is waited for.
const PATIENCE: Duration = Duration::from_millis(700);
/// How long Mangrove may take to open its door.
const START: Duration = Duration::from_secs(20);
/// More than any answer here has.
const ANSWER_LIMIT: u64 = 64 * 1024;
/// Bytes in hyper's body: none, so that answers are easy to tell apart.
const NO_BODY: usize = 0;

/// Sends everything to both and says what came of it; an error if Mangrove let anything pass that it should not.
pub(crate) fn show(
    mangrove: &Path,
    work: &Path,
    server_core: usize,
    load_core: usize,
) -> Result<()> {
    let (_hyper, hyper) = peers::start_hyper(work, load_core, NO_BODY)?;
    let origins = answers::Origins::start()?;
    let sites: String = std::iter::once(("a.test".to_owned(), hyper))
        .chain(origins.sites())
        .map(|(host, origin)| {
            format!("\n[[site]]\nname = \"{name}\"\nhosts = [\"{host}\"]\norigins = [\"http://{origin}\"]\n", name = host.replace('.', "-"))
        })
        .collect();
    let (_mangrove, door) = start_mangrove(mangrove, work, server_core, &sites)?;

    let (lines, first) = requests::ask(door, hyper)?;
    say(&format!("\nRequests\n\n{}", table(3, &lines)));
    let (lines, second) = answers::ask(door, &origins)?;
    say(&format!("\nAnswers of origins\n\n{}", table(3, &lines)));
    let passed = first + second;
    ensure!(passed == 0, "Mangrove let {passed} of them pass");
    Ok(())
}

fn start_mangrove(
    program: &Path,
    work: &Path,
    core: usize,
    sites: &str,
) -> Result<(Program, SocketAddr)> {
    let folder = work.join("refusals");
    fs::create_dir_all(&folder)?;
    let door = free_address()?;
    let config = folder.join("mangrove.toml");
    let text = format!(
        "[server]\nhttp = [\"{door}\"]\nhttps = [\"{https}\"]\nadmin = \"{admin}\"\nstate = \"{state}\"\nworkers = 1\n\n\
         [server.log]\nto = \"off\"\n{sites}",
        https = free_address()?,
        admin = free_address()?,
        state = folder.join("state").display(),
    );
    fs::write(&config, text).with_context(|| format!("writing {}", config.display()))?;
    let command = [
        program.as_os_str(),
        "serve".as_ref(),
        "--config".as_ref(),
        config.as_os_str(),
    ]
    .map(ToOwned::to_owned);
    let mut running = Program::start(core, &command, &folder.join("mangrove.log"), None)?;
    clock::poll(START, || {
        running.check_alive()?;
        Ok(TcpStream::connect(door).ok())
    })
    .context("waiting for Mangrove")?;
    Ok((running, door))
}

/// What a server did.
struct Reaction {
    /// Everything it sent.
    text: String,
    /// Whether it ended the connection.
    closed: bool,
}

/// Sends `bytes` on a connection of their own and listens.
fn send(address: SocketAddr, bytes: &[u8], end: bool) -> Result<Reaction> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // A server that has refused already may have gone.
    let _ = stream.write_all(bytes);
    if end {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let mut sent = Vec::new();
    let closed = match stream.take(ANSWER_LIMIT).read_to_end(&mut sent) {
        Ok(_) => true,
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    };
    Ok(Reaction {
        text: String::from_utf8_lossy(&sent).into_owned(),
        closed,
    })
}

impl Reaction {
    /// The statuses of all answers in it, in order.
    fn statuses(&self) -> Vec<&str> {
        self.text
            .split("HTTP/1.")
            .skip(1)
            .filter_map(|answer| answer.get(2..5))
            // A page that explains a refusal may speak of versions too.
            .filter(|status| status.bytes().all(|byte| byte.is_ascii_digit()))
            .collect()
    }

    /// Whether the connection ended before the last answer in it did.
    fn is_cut(&self) -> bool {
        let Some((head, body)) = self.text.split_once("\r\n\r\n") else {
            return true;
        };
        let head = head.to_ascii_lowercase();
        if head.contains("transfer-encoding: chunked") {
            return !body.ends_with("0\r\n\r\n");
        }
        let length = head
            .split_once("content-length: ")
            .and_then(|(_, after)| after.lines().next()?.parse().ok());
        length.is_some_and(|length: usize| body.len() < length)
    }

    /// The reason that Mangrove gives in `Proxy-Status` (RFC 9209 section 2.1.3).
    fn reason(&self) -> Option<&str> {
        let (_, after) = self.text.split_once("details=\"")?;
        Some(after.split_once('"')?.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_and_their_reason_are_found() {
        let two = Reaction {
            text: "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 400 Bad Request\r\nproxy-status: mangrove; details=\"bare-lf\"\r\n\r\n"
                .to_owned(),
            closed: true,
        };
        assert_eq!(two.statuses(), ["200", "400"]);
        assert_eq!(two.reason(), Some("bare-lf"));
    }

    #[test]
    fn a_cut_answer_is_told_from_a_whole_one() {
        let cut = |text: &str| {
            Reaction {
                text: text.to_owned(),
                closed: true,
            }
            .is_cut()
        };
        assert!(cut(""));
        assert!(cut("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello"));
        assert!(!cut("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"));
        assert!(cut(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
        ));
    }
}
