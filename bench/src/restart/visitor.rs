//! Who asks, and the origin that is asked before it stops. What is in an object follows from its site and number.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncWriteExt, BufReader as AsyncReader};
use tokio::net::TcpStream as AsyncStream;

use super::host;
use crate::origin::read_head;
use crate::stoppable::Stoppable;

/// Bytes of every object.
pub(super) const BYTES: usize = 512;
/// How long one exchange may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What came of a question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Seen {
    /// The object, as it has to be.
    Kept,
    /// That the origin cannot be asked for it.
    Lacking,
}

/// An origin that gives any object of any site, to be kept for a day.
pub(super) fn origin() -> Result<Stoppable> {
    Stoppable::start(|stream| async move { converse(stream).await })
}

async fn converse(stream: AsyncStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = AsyncReader::new(stream);
    while let Some(request) = read_head(&mut stream).await? {
        let number: u64 = request
            .path
            .trim_start_matches('/')
            .parse()
            .unwrap_or_default();
        let mut answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncache-control: max-age=86400\r\netag: \"{number}\"\r\n\
             content-length: {BYTES}\r\n\r\n"
        )
        .into_bytes();
        answer.extend_from_slice(&content(number));
        stream.get_mut().write_all(&answer).await?;
    }
    Ok(())
}

fn content(number: u64) -> [u8; BYTES] {
    let mut content = [b'.'; BYTES];
    let text = format!("{number:020}");
    for place in content.chunks_exact_mut(text.len()) {
        place.copy_from_slice(text.as_bytes());
    }
    content
}

/// One connection.
pub(super) struct Visitor(BufReader<TcpStream>);

impl Visitor {
    pub(super) fn connect(http: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(http)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(BufReader::with_capacity(64 * 1024, stream)))
    }

    /// Asks for one object.
    pub(super) fn ask(&mut self, site: &str, number: u64) -> Result<Seen> {
        self.0
            .get_mut()
            .write_all(request(site, number).as_bytes())?;
        self.answer(number)
    }

    /// Asks for several at once; an error unless all of them come.
    pub(super) fn ask_for_all(&mut self, site: &str, numbers: Range<u64>) -> Result<()> {
        let asks: String = numbers
            .clone()
            .map(|number| request(site, number))
            .collect();
        self.0.get_mut().write_all(asks.as_bytes())?;
        for number in numbers {
            ensure!(
                self.answer(number)? == Seen::Kept,
                "{site}/{number} did not come"
            );
        }
        Ok(())
    }

    fn answer(&mut self, number: u64) -> Result<Seen> {
        let mut line = String::new();
        ensure!(self.0.read_line(&mut line)? > 0, "the edge has closed");
        let status: u16 = line
            .split(' ')
            .nth(1)
            .and_then(|text| text.parse().ok())
            .with_context(|| format!("no status: {line}"))?;
        let mut length = None;
        loop {
            line.clear();
            ensure!(self.0.read_line(&mut line)? > 0, "it ends in a head");
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse::<usize>().ok();
            }
        }
        let mut body = vec![0; length.context("an answer without its length")?];
        self.0.read_exact(&mut body)?;
        match status {
            200 if body == content(number) => Ok(Seen::Kept),
            200 => bail!("wrong bytes for object {number}"),
            502..=504 => Ok(Seen::Lacking),
            _ => bail!("status {status}: {}", String::from_utf8_lossy(&body)),
        }
    }
}

fn request(site: &str, number: u64) -> String {
    format!("GET /{number} HTTP/1.1\r\nHost: {}\r\n\r\n", host(site))
}
