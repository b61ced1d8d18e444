//! An origin of known bytes: what a visitor gets and gives can be checked to the last one.
//!
//! `/bytes/N` answers with N bytes of the pattern, `/paced/N/S` with N bytes over S seconds, `/kept/N/O` with N bytes of
//! object O that a cache may keep for a day, and a request with a body is answered with how many bytes of the pattern it
//! brought.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::LocalRuntime;
use tokio::time::{Instant, sleep_until};

use crate::rows::LARGE;
use crate::{asks, clock};

/// The pattern repeats after so many bytes: a prime, so that no power of two can hide a lost piece.
const PERIOD: u64 = 251;
/// What is written in one call.
const PIECE: usize = 64 * 1024;
/// How often a paced answer goes on.
const BEAT: Duration = Duration::from_millis(50);
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;
/// What the kernel takes for one visitor. Thousands who read nothing would else use up the kernel's memory for TCP
/// (`tcp_mem`) at this end, on the machine whose other end is looked at.
const UNSENT_BYTES: u32 = 8 * 1024;
/// A head longer than this is no visitor's of ours.
const HEAD_BYTES: u64 = 16 * 1024;

/// The pattern, long enough for a piece from any place in the period.
static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let places = 0..PERIOD + PIECE as u64;
    places
        .map(|place| u8::try_from(place % PERIOD).unwrap_or_default())
        .collect()
});

/// `length` bytes of the pattern from the place `at`; no more than one piece of it.
pub(crate) fn pattern(at: u64, length: usize) -> &'static [u8] {
    let from = usize::try_from(at % PERIOD).unwrap_or_default();
    let to = from + length.min(PIECE);
    PATTERN.get(from..to).unwrap_or_default()
}

/// Bytes that arrive, held against the pattern.
#[derive(Debug, Default)]
pub(crate) struct Check {
    /// How many came.
    pub(crate) count: u64,
    /// Whether one of them was another than it should be.
    pub(crate) differs: bool,
}

impl Check {
    /// The next bytes.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(PIECE) {
            self.differs |= piece != pattern(self.count, piece.len());
            self.count += piece.len() as u64;
        }
    }

    /// What an origin says of a body that brought `count` bytes.
    pub(crate) fn verdict(&self) -> String {
        let verdict = if self.differs { "changed" } else { "as sent" };
        format!("{} bytes {verdict}\n", self.count)
    }
}

/// A running origin.
pub(crate) struct Origin {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Origin {
    /// How many request heads it has read.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

/// Starts an origin on a thread of its own; it ends with this process.
pub(crate) fn start() -> Result<Origin> {
    let (tell, told) = channel();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    thread::Builder::new()
        .name("origin".to_owned())
        .spawn(move || {
            let Ok(runtime) = LocalRuntime::new() else {
                return;
            };
            let _ = runtime.block_on(accept(tell, count));
        })?;
    let address = told.recv().context("starting the origin")?;
    Ok(Origin { address, asked })
}

async fn accept(tell: Sender<SocketAddr>, asked: Arc<AtomicUsize>) -> io::Result<Infallible> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    socket.set_send_buffer_size(UNSENT_BYTES)?;
    let listener = socket.listen(BACKLOG)?;
    let _ = tell.send(listener.local_addr()?);
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::task::spawn_local(converse(
                stream,
                Arc::clone(&asked),
            ))),
            Err(_) => tokio::time::sleep(BEAT).await, // out of descriptors, for a moment
        }
    }
}

async fn converse(stream: TcpStream, asked: Arc<AtomicUsize>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some(request) = read_head(&mut stream).await? {
        asked.fetch_add(1, Ordering::Relaxed);
        let received = read_body(&mut stream, &request).await?;
        let mut segments = request.path.trim_start_matches('/').split('/');
        let what = segments.next();
        let mut number = || segments.next().and_then(|text| text.parse::<u64>().ok());
        let out = stream.get_mut();
        match (what, number(), number()) {
            (Some("bytes"), Some(bytes), None) => {
                out.write_all(head(bytes).as_bytes()).await?;
                write_pattern(out, 0, bytes).await?;
            }
            (Some("kept"), Some(bytes), Some(object)) => {
                let object = usize::try_from(object).unwrap_or_default();
                let length = usize::try_from(bytes).unwrap_or_default();
                out.write_all(kept_head(length, object).as_bytes()).await?;
                let piece = [asks::fill(object); PIECE];
                let mut left = length;
                while left > 0 {
                    let now = left.min(PIECE);
                    out.write_all(piece.get(..now).unwrap_or_default()).await?;
                    left -= now;
                }
            }
            (Some("paced"), Some(bytes), Some(seconds)) => {
                out.write_all(head(bytes).as_bytes()).await?;
                pace(out, bytes, seconds.max(1)).await?;
            }
            _ => {
                let verdict = received.verdict();
                let answer = head(verdict.len() as u64) + &verdict;
                out.write_all(answer.as_bytes()).await?;
            }
        }
    }
    Ok(())
}

fn head(length: u64) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: {length}\r\n\r\n"
    )
}

/// The head of an answer that may be kept: as many fields as a file server gives. What is large is seldom text.
fn kept_head(length: usize, object: usize) -> String {
    let kind = match length >= LARGE {
        true => "image/png",
        false => "text/plain",
    };
    format!(
        "HTTP/1.1 200 OK\r\ndate: {}\r\ncontent-type: {kind}\r\ncache-control: max-age=86400\r\netag: {}\r\n\
         content-length: {length}\r\n\r\n",
        clock::date(),
        asks::validator(length, object)
    )
}

async fn write_pattern(out: &mut TcpStream, from: u64, to: u64) -> io::Result<()> {
    let mut at = from;
    while at < to {
        let length = usize::try_from(to - at).unwrap_or(PIECE).min(PIECE);
        let written = out.write(pattern(at, length)).await? as u64;
        at += written;
    }
    Ok(())
}

async fn pace(out: &mut TcpStream, bytes: u64, seconds: u64) -> io::Result<()> {
    let start = Instant::now();
    let beats = seconds * 1000 / BEAT.as_millis().try_into().unwrap_or(1);
    let mut at = 0;
    for beat in 1..=beats {
        let next = bytes * beat / beats;
        write_pattern(out, at, next).await?;
        at = next;
        sleep_until(start + BEAT * u32::try_from(beat).unwrap_or(u32::MAX)).await;
    }
    Ok(())
}

/// A request's head, as far as an origin here cares.
pub(crate) struct Request {
    /// Of its target.
    pub(crate) path: String,
    /// Its `If-None-Match`.
    pub(crate) validator: Option<String>,
    framing: Framing,
}

#[derive(Clone, Copy)]
enum Framing {
    Length(u64),
    Chunked,
}

/// The next head; nothing at the connection's end.
pub(crate) async fn read_head(stream: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let mut lines = stream.take(HEAD_BYTES);
    let mut line = String::new();
    if lines.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut framing = Framing::Length(0);
    let mut validator = None;
    loop {
        line.clear();
        lines.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            return Ok(Some(Request {
                path,
                validator,
                framing,
            }));
        };
        if name.eq_ignore_ascii_case("content-length") {
            framing = Framing::Length(value.trim().parse().map_err(io::Error::other)?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            framing = Framing::Chunked;
        } else if name.eq_ignore_ascii_case("if-none-match") {
            validator = Some(value.trim().to_owned());
        }
    }
}

/// A socket that has the address but does not listen: whoever connects is refused, and nobody else can take it.
pub(crate) fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// The body that belongs to this head.
pub(crate) async fn read_body(
    stream: &mut BufReader<TcpStream>,
    request: &Request,
) -> io::Result<Check> {
    let mut check = Check::default();
    if let Framing::Length(length) = request.framing {
        take(stream, length, &mut check).await?;
        return Ok(check);
    }
    let mut line = String::new();
    loop {
        line.clear();
        stream.read_line(&mut line).await?;
        let length = u64::from_str_radix(line.trim_end(), 16).map_err(io::Error::other)?;
        take(stream, length, &mut check).await?;
        line.clear();
        stream.read_line(&mut line).await?; // what ends a chunk, or the empty trailer section
        if length == 0 {
            return Ok(check);
        }
    }
}

async fn take(
    stream: &mut BufReader<TcpStream>,
    mut length: u64,
    check: &mut Check,
) -> io::Result<()> {
    while length > 0 {
        let bytes = stream.fill_buf().await?;
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let part = bytes
            .len()
            .min(usize::try_from(length).unwrap_or(usize::MAX));
        check.take(bytes.get(..part).unwrap_or_default());
        stream.consume(part);
        length -= part as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_a_doubled_and_a_changed_byte_are_seen() {
        let whole = pattern(0, 1000);
        let seen = |pieces: &[&[u8]]| {
            let mut check = Check::default();
            pieces.iter().for_each(|piece| check.take(piece));
            check.differs
        };
        assert!(!seen(&[&whole[..300], &whole[300..]]));
        assert!(seen(&[&whole[..300], &whole[301..]]));
        assert!(seen(&[&whole[..300], &whole[299..]]));
        assert!(seen(&[&whole[..300], b"x", &whole[301..]]));
    }
}
