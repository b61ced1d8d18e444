//! The origin: it makes the content as it sends it, all of it or one range, and counts what it has sent.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::Result;

use super::content::{Content, PIECE};
use crate::clock;

/// A running origin.
pub(super) struct Origin {
    pub(super) address: SocketAddr,
    sent: Arc<AtomicU64>,
}

impl Origin {
    /// On threads of its own, which end with this process.
    pub(super) fn start(content: Content) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let sent = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&sent);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let count = Arc::clone(&count);
                // Whoever leaves in the middle is no trouble of the origin's.
                thread::spawn(move || drop(serve(stream, content, &count)));
            }
        });
        Ok(Self { address, sent })
    }

    /// Bytes of content until now: what the kernel took from it, read or not.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }
}

fn serve(stream: TcpStream, content: Content, sent: &AtomicU64) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut range = None;
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            if name.eq_ignore_ascii_case("range") {
                range = parse(value, content.bytes());
            } else if name.eq_ignore_ascii_case("if-range") && value.trim() != content.tag() {
                range = None;
            }
        }
        let (from, to) = range.unwrap_or((0, content.bytes()));
        let status = match range {
            Some(_) => format!(
                "206 Partial Content\r\ncontent-range: bytes {from}-{}/{}",
                to - 1,
                content.bytes()
            ),
            None => "200 OK".to_owned(),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\ndate: {}\r\ncontent-type: application/octet-stream\r\ncache-control: max-age=86400\r\n\
             etag: {}\r\naccept-ranges: bytes\r\ncontent-length: {}\r\n\r\n",
            clock::date(),
            content.tag(),
            to - from
        );
        let out = reader.get_mut();
        out.write_all(head.as_bytes())?;
        let mut piece = vec![0; PIECE];
        let mut at = from;
        while at < to {
            let length = usize::try_from(to - at).unwrap_or(PIECE).min(PIECE);
            let piece = piece.get_mut(..length).unwrap_or_default();
            content.write(at, piece);
            let mut left: &[u8] = piece;
            while !left.is_empty() {
                let written = out.write(left)?;
                anyhow::ensure!(written > 0, "it takes nothing more");
                sent.fetch_add(written as u64, Ordering::SeqCst);
                left = left.get(written..).unwrap_or_default();
            }
            at += length as u64;
        }
    }
}

/// One range of bytes (RFC 9110 section 14.1.2), as its first and the one after its last; nothing for what is none here.
fn parse(value: &str, bytes: u64) -> Option<(u64, u64)> {
    let (first, last) = value.trim().strip_prefix("bytes=")?.split_once('-')?;
    let (from, to) = match (first, last) {
        ("", last) => (bytes.saturating_sub(last.parse().ok()?), bytes),
        (first, "") => (first.parse().ok()?, bytes),
        (first, last) => {
            let last: u64 = last.parse().ok()?;
            (first.parse().ok()?, last.saturating_add(1).min(bytes))
        }
    };
    (from < to).then_some((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_one_interval_of_what_there_is() {
        assert_eq!(parse(" bytes=10-19", 100), Some((10, 20)));
        assert_eq!(parse("bytes=90-", 100), Some((90, 100)));
        assert_eq!(parse("bytes=-10", 100), Some((90, 100)));
        assert_eq!(parse("bytes=90-1000", 100), Some((90, 100)));
        assert_eq!(parse("bytes=100-", 100), None);
        assert_eq!(parse("bytes=0-1,4-5", 100), None);
        assert_eq!(parse("lines=1-2", 100), None);
    }
}
