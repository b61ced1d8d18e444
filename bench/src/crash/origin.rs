//! The origin: it numbers its answers, knows when one has not changed, and can be stopped; always at the same address.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::LocalRuntime;
use tokio::sync::watch;
use tokio::time::sleep;

use super::book::{content, object_of, tag};
use crate::origin::{bound, read_head};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// A running origin.
pub(super) struct Origin {
    /// Where it listens, when it does.
    pub(super) address: SocketAddr,
    runs: watch::Sender<bool>,
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
        let (tell, told) = channel();
        let (runs, seen) = watch::channel(true);
        let count = Arc::new(Count::default());
        let counted = Arc::clone(&count);
        thread::Builder::new()
            .name("origin".to_owned())
            .spawn(move || {
                let Ok(runtime) = LocalRuntime::new() else {
                    return;
                };
                let _ = runtime.block_on(async {
                    let socket = bound((Ipv4Addr::LOCALHOST, 0).into())?;
                    let _ = tell.send(socket.local_addr()?);
                    live(socket, seen, counted).await
                });
            })?;
        let address = told.recv().context("starting the origin")?;
        Ok(Self {
            address,
            runs,
            count,
        })
    }

    /// Whether it answers. Stopped, nobody listens and every connection has ended.
    pub(super) fn be(&self, runs: bool) {
        self.runs.send_replace(runs);
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

async fn live(
    mut socket: TcpSocket,
    mut runs: watch::Receiver<bool>,
    count: Arc<Count>,
) -> io::Result<Infallible> {
    let address = socket.local_addr()?;
    loop {
        if !*runs.borrow_and_update() {
            let _ = runs.changed().await;
            continue;
        }
        let listener = socket.listen(BACKLOG)?;
        let seen = runs.clone();
        tokio::select! {
            _ = accept(&listener, &seen, &count) => {}
            _ = runs.changed() => {}
        }
        drop(listener);
        socket = bound(address)?;
    }
}

async fn accept(
    listener: &TcpListener,
    runs: &watch::Receiver<bool>,
    count: &Arc<Count>,
) -> io::Result<Infallible> {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (mut runs, count) = (runs.clone(), Arc::clone(count));
                drop(tokio::task::spawn_local(async move {
                    tokio::select! {
                        _ = converse(stream, &count) => {}
                        _ = runs.changed() => {}
                    }
                }));
            }
            Err(_) => sleep(Duration::from_millis(50)).await, // out of descriptors, for a moment
        }
    }
}

async fn converse(stream: TcpStream, count: &Count) -> io::Result<()> {
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
