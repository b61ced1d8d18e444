//! A visitor who holds one piece at a time and checks every byte of it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::HOST;
use super::content::{Content, PIECE};

/// How long nothing may come.
const PATIENCE: Duration = Duration::from_secs(60);

/// What came back, all of it right.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) cache_status: String,
}

pub(super) struct Visitor(BufReader<TcpStream>);

impl Visitor {
    pub(super) fn connect(http: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(http)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(BufReader::with_capacity(PIECE, stream)))
    }

    /// Asks for all of it, or for a range, and counts in `got` what has come.
    pub(super) fn ask(
        &mut self,
        path: &str,
        range: Option<(u64, u64)>,
        content: &Content,
        got: &AtomicU64,
    ) -> Result<Answer> {
        let (from, to) = range.unwrap_or((0, content.bytes()));
        let field = range.map_or_else(String::new, |(from, to)| {
            format!("Range: bytes={from}-{}\r\n", to - 1)
        });
        let ask = format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n{field}\r\n");
        self.0.get_mut().write_all(ask.as_bytes())?;
        let head = self.head()?;
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|text| text.parse().ok())
            .with_context(|| format!("no status: {head}"))?;
        let expected = if range.is_some() { 206 } else { 200 };
        ensure!(status == expected, "{head}");
        let length: u64 = field_of(&head, "content-length")
            .and_then(|text| text.parse().ok())
            .context("an answer without its length")?;
        ensure!(length == to - from, "{length} bytes, not {}", to - from);
        if range.is_some() {
            let place = format!("bytes {from}-{}/{}", to - 1, content.bytes());
            ensure!(
                field_of(&head, "content-range") == Some(&place),
                "not {place}: {head}"
            );
        }
        self.check(from, to, content, got)?;
        Ok(Answer {
            status,
            cache_status: field_of(&head, "cache-status")
                .unwrap_or_default()
                .to_owned(),
        })
    }

    fn head(&mut self) -> Result<String> {
        let mut head = String::new();
        loop {
            let before = head.len();
            match self.0.read_line(&mut head)? {
                0 => bail!("it ends in the middle of a head: {head}"),
                2 if head.get(before..) == Some("\r\n") => return Ok(head),
                _ => {}
            }
        }
    }

    fn check(&mut self, from: u64, to: u64, content: &Content, got: &AtomicU64) -> Result<()> {
        let (mut came, mut right) = (vec![0; PIECE], vec![0; PIECE]);
        let mut at = from;
        while at < to {
            let length = usize::try_from(to - at).unwrap_or(PIECE).min(PIECE);
            let came = came.get_mut(..length).unwrap_or_default();
            self.0
                .read_exact(came)
                .with_context(|| format!("cut between {at} and {}", at + length as u64))?;
            let right = right.get_mut(..length).unwrap_or_default();
            content.write(at, right);
            if came != right {
                let first = came.iter().zip(&*right).position(|(came, is)| came != is);
                bail!("byte {} is another", at + first.unwrap_or(0) as u64);
            }
            at += length as u64;
            got.fetch_add(length as u64, Ordering::Relaxed);
        }
        Ok(())
    }
}

fn field_of<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = fields.find(|(its, _)| its.eq_ignore_ascii_case(name))?;
    Some(value.trim())
}
