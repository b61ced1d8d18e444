//! The origin that a crowd comes to: it counts who asks, thinks for as long as it is told, and dies where it should.
//!
//! | path | the first question | every other one |
//! |---|---|---|
//! | `/page` | a small answer to be kept | the same |
//! | `/storable` | waits for the sign, then an answer to be kept | the same at once |
//! | `/private` | after [`DELAY`] the asker's mark, for nobody else | the same |
//! | `/dies` | waits for the sign, then half an answer and the end | all of it at once |
//! | `/vanishes` | waits for the sign, then the end | an answer to be kept at once |

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::LocalRuntime;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::origin::pattern;
use crate::visit::MARK;

/// Bytes of an answer that may be kept.
pub(super) const BODY: u64 = 32 * 1024;
/// Bytes of the small page.
pub(super) const PAGE: u64 = 16;
/// How long the origin thinks about each question for an answer that is for who asked alone: long enough that a whole
/// crowd has come before the first one's answer.
pub(super) const DELAY: Duration = Duration::from_secs(2);

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;
/// A head longer than this is no question of Mangrove's.
const HEAD_BYTES: u64 = 16 * 1024;

/// A running origin.
pub(super) struct Origin {
    /// Where it listens.
    pub(super) address: SocketAddr,
    asked: Asked,
    sign: watch::Sender<bool>,
}

type Asked = Arc<Mutex<BTreeMap<String, usize>>>;

impl Origin {
    /// Starts one on a thread of its own; it ends with this process.
    pub(super) fn start() -> Result<Self> {
        let (tell, told) = channel();
        let asked = Asked::default();
        let (sign, seen) = watch::channel(false);
        let count = Arc::clone(&asked);
        thread::Builder::new()
            .name("origin".to_owned())
            .spawn(move || {
                let Ok(runtime) = LocalRuntime::new() else {
                    return;
                };
                let _ = runtime.block_on(async {
                    let socket = TcpSocket::new_v4()?;
                    socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
                    let listener = socket.listen(BACKLOG)?;
                    let _ = tell.send(listener.local_addr()?);
                    accept(listener, count, seen).await
                });
            })?;
        let address = told.recv().context("starting the origin")?;
        Ok(Self {
            address,
            asked,
            sign,
        })
    }

    /// How often it was asked for a path.
    pub(super) fn asked(&self, path: &str) -> usize {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.get(path).copied().unwrap_or(0)
    }

    /// Gives the sign, or takes it back.
    pub(super) fn sign(&self, given: bool) {
        self.sign.send_replace(given);
    }
}

async fn accept(
    listener: TcpListener,
    asked: Asked,
    sign: watch::Receiver<bool>,
) -> io::Result<Infallible> {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (asked, sign) = (Arc::clone(&asked), sign.clone());
                drop(tokio::task::spawn_local(converse(stream, asked, sign)));
            }
            Err(_) => sleep(Duration::from_millis(50)).await, // out of descriptors, for a moment
        }
    }
}

async fn converse(
    stream: TcpStream,
    asked: Asked,
    mut sign: watch::Receiver<bool>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some((path, mark)) = read_head(&mut stream).await? {
        let is_first = {
            let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
            let count = asked.entry(path.clone()).or_default();
            *count += 1;
            *count == 1
        };
        let out = stream.get_mut();
        if is_first && path != "/page" && path != "/private" {
            let _ = sign.wait_for(|given| *given).await;
        }
        match (path.as_str(), is_first) {
            ("/page", _) => out.write_all(&answer("max-age=3600", whole(PAGE))).await?,
            ("/private", _) => {
                sleep(DELAY).await;
                out.write_all(&answer("private", mark.as_bytes())).await?;
            }
            ("/dies", true) => {
                let all = answer("max-age=3600", whole(BODY));
                let half = all.len() - whole(BODY).len() / 2;
                out.write_all(all.get(..half).unwrap_or_default()).await?;
                return Ok(());
            }
            ("/vanishes", true) => return Ok(()),
            _ => out.write_all(&answer("max-age=3600", whole(BODY))).await?,
        }
    }
    Ok(())
}

fn whole(length: u64) -> &'static [u8] {
    pattern(0, usize::try_from(length).unwrap_or(0))
}

fn answer(cache_control: &str, content: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncache-control: {cache_control}\r\n\
         content-length: {}\r\n\r\n",
        content.len()
    );
    [head.as_bytes(), content].concat()
}

/// The path and the mark of a question; nothing at the connection's end.
async fn read_head(stream: &mut BufReader<TcpStream>) -> io::Result<Option<(String, String)>> {
    let mut lines = stream.take(HEAD_BYTES);
    let mut line = String::new();
    if lines.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut mark = String::new();
    loop {
        line.clear();
        lines.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            return Ok(Some((path, mark)));
        };
        if name.eq_ignore_ascii_case(MARK) {
            value.trim().clone_into(&mut mark);
        }
    }
}
