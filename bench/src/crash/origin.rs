//! The origin: it numbers its answers, knows when one has not changed, and can be stopped; always at the same address.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::book::{content, object_of, tag};
use crate::origin::read_head;
use crate::stoppable::Stoppable;

/// A running origin.
pub(super) struct Origin {
    /// Where it listens, when it does.
    pub(super) address: SocketAddr,
    process: Stoppable,
    count: Arc<Count>,
}

#[derive(Default)]
struct Count {
    answers: AtomicU64,
    bytes: AtomicU64,
}

impl Origin {
    /// Starts one on a thread of its own; it ends with this process.
    pub(super) fn start() -> Result<Self> {
        let count = Arc::new(Count::default());
        let counted = Arc::clone(&count);
        let process = Stoppable::start(move |stream| converse(stream, Arc::clone(&counted)))?;
        Ok(Self {
            address: process.address,
            process,
            count,
        })
    }

    /// Whether it answers. Stopped, nobody listens and every connection has ended.
    pub(super) fn be(&self, runs: bool) {
        self.process.be(runs);
    }

    /// The highest number until now.
    pub(super) fn given(&self) -> u64 {
        self.count.answers.load(Ordering::SeqCst)
    }

    /// Bytes of content until now.
    pub(super) fn bytes(&self) -> u64 {
        self.count.bytes.load(Ordering::SeqCst)
    }
}

async fn converse(stream: TcpStream, count: Arc<Count>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some(request) = read_head(&mut stream).await? {
        let out = stream.get_mut();
        let Some(object) = object_of(&request.path) else {
            // A health check, or somebody who wants to know whether it is there.
            let head = "HTTP/1.1 200 OK\r\ncache-control: no-store\r\ncontent-length: 0\r\n\r\n";
            out.write_all(head.as_bytes()).await?;
            continue;
        };
        let number = count.answers.fetch_add(1, Ordering::SeqCst) + 1;
        let fields = format!(
            "cache-control: max-age=86400\r\nsurrogate-key: {}\r\nx-asked: {number}\r\n",
            tag(object)
        );
        // Of half of the objects nothing newer is told to whoever knows one.
        let known = request.validator.filter(|_| object / 2 % 2 == 0);
        if let Some(known) = known {
            let head = format!("HTTP/1.1 304 Not Modified\r\netag: {known}\r\n{fields}\r\n");
            out.write_all(head.as_bytes()).await?;
            continue;
        }
        let content = content(object, number);
        let length = content.len();
        count.bytes.fetch_add(length as u64, Ordering::SeqCst);
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\netag: \"{number}\"\r\nx-version: {number}\r\n\
             {fields}content-length: {length}\r\n\r\n"
        );
        out.write_all(head.as_bytes()).await?;
        out.write_all(&content).await?;
    }
    Ok(())
}
