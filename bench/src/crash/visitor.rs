//! One connection that asks one thing after the other and takes every byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// How long one exchange may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) version: Option<u64>,
    pub(super) asked: Option<u64>,
    pub(super) cache_status: String,
    pub(super) body: Vec<u8>,
    /// The connection ended before the body did.
    pub(super) is_cut: bool,
}

pub(super) struct Visitor(BufReader<TcpStream>);

impl Visitor {
    pub(super) fn connect(http: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(http)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// An answer, perhaps a part of one; an error when there is none. After a cut the connection is of no more use.
    pub(super) fn ask(&mut self, host: &str, path: &str) -> Result<Answer> {
        let ask = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        self.0.get_mut().write_all(ask.as_bytes())?;
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            bail!("the edge has closed");
        }
        let status = line.split(' ').nth(1).and_then(|text| text.parse().ok());
        let mut answer = Answer {
            status: status.with_context(|| format!("no status: {line}"))?,
            version: None,
            asked: None,
            cache_status: String::new(),
            body: Vec::new(),
            is_cut: false,
        };
        let mut length = None;
        loop {
            line.clear();
            if self.0.read_line(&mut line)? == 0 {
                bail!("it ends in the middle of a head");
            }
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse::<u64>().ok(),
                "x-version" => answer.version = value.parse().ok(),
                "x-asked" => answer.asked = value.parse().ok(),
                "cache-status" => value.clone_into(&mut answer.cache_status),
                _ => {}
            }
        }
        let length = length.context("an answer without its length")?;
        // Also on an error: what has come is judged like all else.
        let read = (&mut self.0).take(length).read_to_end(&mut answer.body);
        answer.is_cut = read.is_err() || (answer.body.len() as u64) < length;
        Ok(answer)
    }
}
