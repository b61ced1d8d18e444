//! The origin of a site that is attacked: it counts what it is asked, bystanders' page apart.
//!
//! | path | answer |
//! |---|---|
//! | `/kept/N/O` | N bytes of object O, for a day |
//! | `/attack/lost/…` | 404 |
//! | `/attack/login` | 401 |
//! | `/attack/chat` | 101, and then nothing |
//! | anything else | 1 KiB, for a minute |

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::asks;
use crate::origin::{read_body, read_head};
use crate::stoppable::Stoppable;

/// What bystanders ask for: so many bytes of this object.
pub(super) const PAGE_BYTES: usize = 1024;
/// Which one that is.
pub(super) const PAGE: usize = 1;
/// Its path.
pub(super) const PAGE_PATH: &str = "/kept/1024/1";

/// A WebSocket is granted to whoever shows the key of RFC 6455 section 1.3, which is the only one here.
const CHAT: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
                    sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const LOST: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 5\r\n\r\nlost\n";
const WRONG: &str =
    "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic\r\ncontent-length: 6\r\n\r\nwrong\n";
const MINUTE: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncache-control: max-age=60\r\n\
                      content-length: 1024\r\n\r\n";

/// A running origin.
pub(super) struct Origin {
    /// Where it listens.
    pub(super) address: SocketAddr,
    asked: Arc<AtomicUsize>,
    _process: Stoppable,
}

impl Origin {
    /// Starts one on a thread of its own; it ends with this value.
    pub(super) fn start() -> Result<Self> {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let process = Stoppable::start(move |stream| converse(stream, Arc::clone(&count)))?;
        Ok(Self {
            address: process.address,
            asked,
            _process: process,
        })
    }

    /// How much it was asked that is not the bystanders'.
    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

async fn converse(stream: TcpStream, asked: Arc<AtomicUsize>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some(request) = read_head(&mut stream).await? {
        if request.path != PAGE_PATH {
            asked.fetch_add(1, Ordering::Relaxed);
        }
        read_body(&mut stream, &request).await?;
        let path = request.path.split('?').next().unwrap_or_default();
        let mut segments = path.split('/').skip(1);
        match (segments.next(), segments.next()) {
            (Some("kept"), bytes) => {
                let number = |text: Option<&str>| text.and_then(|text| text.parse::<usize>().ok());
                let length = number(bytes).unwrap_or(0);
                let object = number(segments.next()).unwrap_or(0);
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncache-control: max-age=86400\r\n\
                     accept-ranges: bytes\r\netag: {}\r\ncontent-length: {length}\r\n\r\n",
                    asks::validator(length, object)
                );
                let out = stream.get_mut();
                out.write_all(head.as_bytes()).await?;
                out.write_all(&vec![asks::fill(object); length]).await?;
            }
            (_, Some("lost")) => stream.write_all(LOST.as_bytes()).await?,
            (_, Some("login")) => stream.write_all(WRONG.as_bytes()).await?,
            (_, Some("chat")) => {
                stream.write_all(CHAT.as_bytes()).await?;
                tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
                return Ok(());
            }
            _ => {
                let answer = [MINUTE.as_bytes(), &[b'm'; 1024]].concat();
                stream.write_all(&answer).await?;
            }
        }
        stream.flush().await?;
    }
    Ok(())
}
