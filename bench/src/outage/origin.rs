//! The origin that goes out: well, gone, silent or failing, as it is told; always at the same address.
//!
//! | path | while it is well |
//! |---|---|
//! | `/fresh/…` | kept for an hour |
//! | `/stale/…` | fresh for [`FRESH_SECONDS`], and may be served stale |
//! | `/strict/…` | the same, but never stale (`must-revalidate`) |
//! | anything else | kept for an hour |

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::LocalRuntime;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::origin::{bound, pattern, read_head};

/// Bytes of every answer.
pub(super) const BODY: u64 = 8 * 1024;
/// How long what goes stale is fresh.
pub(super) const FRESH_SECONDS: u64 = 1;
/// What it says while it fails.
pub(super) const FAILURE: &str = "the origin's own failure\n";
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// How the origin is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mood {
    /// It answers.
    Well,
    /// Nobody listens; every connection has ended.
    Gone,
    /// It takes connections and requests and says nothing.
    Silent,
    /// It answers everything with 500.
    Failing,
}

/// A running origin.
pub(super) struct Origin {
    /// Where it listens, when it does.
    pub(super) address: SocketAddr,
    mood: watch::Sender<Mood>,
}

impl Origin {
    /// Starts one on a thread of its own; it ends with this process.
    pub(super) fn start() -> Result<Self> {
        let (tell, told) = channel();
        let (mood, seen) = watch::channel(Mood::Well);
        thread::Builder::new()
            .name("origin".to_owned())
            .spawn(move || {
                let Ok(runtime) = LocalRuntime::new() else {
                    return;
                };
                let _ = runtime.block_on(async {
                    let socket = bound((Ipv4Addr::LOCALHOST, 0).into())?;
                    let _ = tell.send(socket.local_addr()?);
                    live(socket, seen).await
                });
            })?;
        let address = told.recv().context("starting the origin")?;
        Ok(Self { address, mood })
    }

    /// Changes how it is. Every connection that it has ends.
    pub(super) fn be(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }
}

async fn live(mut socket: TcpSocket, mut mood: watch::Receiver<Mood>) -> io::Result<Infallible> {
    let address = socket.local_addr()?;
    loop {
        let now = *mood.borrow_and_update();
        if now == Mood::Gone {
            let _ = mood.changed().await;
            continue;
        }
        let listener = socket.listen(BACKLOG)?;
        let seen = mood.clone();
        tokio::select! {
            _ = accept(&listener, now, &seen) => {}
            _ = mood.changed() => {}
        }
        drop(listener);
        socket = bound(address)?;
    }
}

async fn accept(
    listener: &TcpListener,
    now: Mood,
    mood: &watch::Receiver<Mood>,
) -> io::Result<Infallible> {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let mut mood = mood.clone();
                let told = mood.clone();
                drop(tokio::task::spawn_local(async move {
                    tokio::select! {
                        _ = converse(stream, now, &told) => {}
                        _ = mood.changed() => {}
                    }
                }));
            }
            Err(_) => sleep(Duration::from_millis(50)).await, // out of descriptors, for a moment
        }
    }
}

/// Answers as it was when the connection came. Whoever asks after [`Origin::be`] finds it changed, however late this thread
/// hears of it: its mood is looked at once more when a request is here.
async fn converse(stream: TcpStream, mood: Mood, told: &watch::Receiver<Mood>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some(request) = read_head(&mut stream).await? {
        if *told.borrow() != mood {
            return Ok(());
        }
        let answer = match mood {
            Mood::Silent => std::future::pending().await,
            Mood::Failing => answer("500 Internal Server Error", "", FAILURE.as_bytes()),
            Mood::Well | Mood::Gone => {
                let kept = match request.path.split('/').nth(1) {
                    Some("stale") => format!("max-age={FRESH_SECONDS}"),
                    Some("strict") => format!("max-age={FRESH_SECONDS}, must-revalidate"),
                    _ => "max-age=3600".to_owned(),
                };
                let length = usize::try_from(BODY).unwrap_or(0);
                answer(
                    "200 OK",
                    &format!("cache-control: {kept}\r\n"),
                    pattern(0, length),
                )
            }
        };
        stream.get_mut().write_all(&answer).await?;
    }
    Ok(())
}

fn answer(status: &str, fields: &str, content: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/octet-stream\r\n{fields}content-length: {}\r\n\r\n",
        content.len()
    );
    [head.as_bytes(), content].concat()
}
