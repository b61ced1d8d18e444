//! A visitor who checks everything: what is asked, what came back, and what exactly went wrong when something did.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::task::Poll;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

use crate::origin::{Check, pattern};
use crate::subject::Subject;
use crate::tls::{self, Group, HOST, Identity};

/// Loopback addresses that visitors come from, in turn: 127.0.0.2 and on. One alone would run out of ports.
const SOURCES: u16 = 16;
/// An upload is sent in so many pieces, with a pause between them, so that it takes a while.
const UPLOAD_PIECES: usize = 4;
const UPLOAD_PAUSE: Duration = Duration::from_millis(5);
/// Flow-control window of a stream and of a connection.
const WINDOW: u32 = 1024 * 1024;
/// A head longer than this is no answer of ours.
const HEAD_BYTES: usize = 16 * 1024;

/// What goes over the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wire {
    /// HTTP/1.1 in cleartext.
    H1,
    /// HTTP/1.1 over TLS.
    H1Tls,
    /// HTTP/2 in cleartext with prior knowledge (RFC 9113 section 3.3).
    H2,
    /// HTTP/2 over TLS.
    H2Tls,
}

impl Wire {
    /// Every one.
    pub(crate) const ALL: [Self; 4] = [Self::H1, Self::H2, Self::H1Tls, Self::H2Tls];
}

/// What a visitor can notice of trouble.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Trouble {
    /// Nobody listened.
    Refused,
    /// A reset in the middle of an exchange.
    Reset,
    /// An end of file in the middle of an exchange.
    Cut,
    /// No answer in time.
    TimedOut,
    /// An answer with another status than 200.
    Status,
    /// Bytes missing, too many, or changed.
    Wrong,
}

/// Trouble, and how it looked.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Its kind.
    pub(crate) trouble: Trouble,
    /// Its words.
    pub(crate) words: String,
}

impl Failure {
    fn new(trouble: Trouble, words: impl fmt::Display) -> Self {
        let words = words.to_string();
        Self { trouble, words }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let trouble = match error.kind() {
            io::ErrorKind::ConnectionRefused => Trouble::Refused,
            io::ErrorKind::UnexpectedEof => Trouble::Cut,
            _ => Trouble::Reset,
        };
        Self::new(trouble, error)
    }
}

impl From<h2::Error> for Failure {
    fn from(error: h2::Error) -> Self {
        match error.get_io().map(io::Error::kind) {
            Some(io::ErrorKind::UnexpectedEof) => Self::new(Trouble::Cut, error),
            _ => Self::new(Trouble::Reset, error),
        }
    }
}

/// What to ask for.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    /// The site's host.
    pub(crate) host: String,
    /// Path of the target.
    pub(crate) path: String,
    /// Bytes to send with it.
    pub(crate) upload: Option<Upload>,
    /// What has to come back.
    pub(crate) expect: Expect,
    /// What the request's own field says, if it has one.
    pub(crate) mark: Option<String>,
    /// How long the whole exchange may take.
    pub(crate) within: Duration,
}

/// The field that tells requests apart.
pub(crate) const MARK: &str = "x-mark";

/// Bytes of the pattern that go along with a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Upload {
    /// Announced by their length.
    Length(usize),
    /// In chunks, their number not announced.
    Chunked(usize),
}

/// The content of the right answer.
#[derive(Clone, Debug)]
pub(crate) enum Expect {
    /// So many bytes of the pattern.
    Pattern(u64),
    /// These words.
    Text(String),
    /// So many bytes that are all this one.
    Run(u64, u8),
}

/// An answer that came to its end, whatever it is.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: u16,
    /// What the cache did (RFC 9211); empty if it does not say.
    pub(crate) cache_status: String,
    /// Whose trouble it tells of (RFC 9209); empty if of none.
    pub(crate) proxy_status: String,
    /// What is wrong with its content, beside what a 200 should have.
    pub(crate) flaw: Option<Failure>,
    /// The content of another status, as far as anyone would read it.
    pub(crate) page: String,
}

impl Answer {
    /// Trouble, if it is not what was to come back.
    fn expected(self) -> Result<(), Failure> {
        if self.status != 200 {
            let words = format!("{} {}: {}", self.status, self.proxy_status, self.page);
            return Err(Failure::new(Trouble::Status, short(&words)));
        }
        self.flaw.map_or(Ok(()), Err)
    }
}

/// Where to go and with which keys.
#[derive(Clone)]
pub(crate) struct Way {
    http: SocketAddr,
    https: SocketAddr,
    pub(crate) tls_h1: Arc<ClientConfig>,
    tls_h2: Arc<ClientConfig>,
}

impl Way {
    /// The way to `subject`.
    pub(crate) fn to(subject: &Subject) -> Result<Self> {
        Self::through(subject.http, subject.https, &subject.identity)
    }

    /// The way to whoever listens there and has this key.
    pub(crate) fn through(
        http: SocketAddr,
        https: SocketAddr,
        identity: &Identity,
    ) -> Result<Self> {
        let client = |alpn: &[u8]| tls::client(identity, Group::X25519, alpn, true);
        Ok(Self {
            http,
            https,
            tls_h1: client(b"http/1.1")?,
            tls_h2: client(b"h2")?,
        })
    }
}

/// One connection of a visitor.
pub(crate) enum Visitor {
    /// HTTP/1.1.
    H1 {
        /// TCP, or TLS over it.
        stream: Box<dyn Io>,
        /// False once the server has said that it will close.
        persists: bool,
    },
    /// HTTP/2, driven by a task of its own.
    H2 {
        /// Where requests go in.
        sender: h2::client::SendRequest<Bytes>,
        /// `http` or `https`.
        scheme: &'static str,
    },
}

/// A byte stream.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Io for S {}

impl Visitor {
    /// Connects.
    pub(crate) async fn arrive(way: &Way, wire: Wire, within: Duration) -> Result<Self, Failure> {
        match timeout(within, Self::connect(way, wire)).await {
            Ok(arrived) => arrived,
            Err(_) => Err(Failure::new(Trouble::TimedOut, "no connection in time")),
        }
    }

    async fn connect(way: &Way, wire: Wire) -> Result<Self, Failure> {
        let persists = true;
        let (address, tls) = match wire {
            Wire::H1 | Wire::H2 => (way.http, None),
            Wire::H1Tls => (way.https, Some(&way.tls_h1)),
            Wire::H2Tls => (way.https, Some(&way.tls_h2)),
        };
        let tcp = connect_from_one_of_many(address).await?;
        let stream: Box<dyn Io> = match tls {
            None => Box::new(tcp),
            Some(config) => {
                let name = ServerName::try_from(HOST).map_err(io::Error::other)?;
                Box::new(
                    TlsConnector::from(Arc::clone(config))
                        .connect(name, tcp)
                        .await?,
                )
            }
        };
        if matches!(wire, Wire::H1 | Wire::H1Tls) {
            return Ok(Self::H1 { stream, persists });
        }
        let (sender, connection) = h2::client::Builder::new()
            .initial_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .enable_push(false)
            .handshake(stream)
            .await?;
        tokio::task::spawn_local(connection); // its error, if any, is also every open stream's
        let scheme = if tls.is_some() { "https" } else { "http" };
        Ok(Self::H2 { sender, scheme })
    }

    /// Another stream of the same connection, where there can be one.
    pub(crate) fn another(&self) -> Option<Self> {
        match self {
            Self::H1 { .. } => None,
            Self::H2 { sender, scheme } => Some(Self::H2 {
                sender: sender.clone(),
                scheme,
            }),
        }
    }

    /// True once the server has ended the connection between two requests; nobody minds that.
    pub(crate) async fn is_over(&mut self) -> bool {
        match self {
            Self::H1 { persists, .. } if !*persists => true,
            Self::H1 { stream, .. } => {
                let mut byte = [0];
                let mut byte = ReadBuf::new(&mut byte);
                let look = |cx: &mut std::task::Context<'_>| {
                    Poll::Ready(Pin::new(&mut *stream).poll_read(cx, &mut byte).is_ready())
                };
                poll_fn(look).await
            }
            Self::H2 { sender, .. } => poll_fn(|cx| sender.poll_ready(cx)).await.is_err(),
        }
    }

    /// One request and its whole answer, checked.
    pub(crate) async fn ask(&mut self, ask: &Ask) -> Result<(), Failure> {
        self.look(ask).await?.expected()
    }

    /// One request and its whole answer, whichever it is.
    pub(crate) async fn look(&mut self, ask: &Ask) -> Result<Answer, Failure> {
        let exchange = async {
            match self {
                Self::H1 { stream, persists } => {
                    let (answer, goes_on) = ask_h1(stream, ask).await?;
                    *persists = goes_on;
                    Ok(answer)
                }
                Self::H2 { sender, scheme } => ask_h2(sender, scheme, ask).await,
            }
        };
        match timeout(ask.within, exchange).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::new(Trouble::TimedOut, "no answer in time")),
        }
    }
}

/// Connects from the next of several loopback addresses.
pub(crate) async fn connect_from_one_of_many(to: SocketAddr) -> io::Result<TcpStream> {
    connect_with(to, None).await
}

/// The same, taking in no more than `receive` bytes unread.
pub(crate) async fn connect_with(to: SocketAddr, receive: Option<u32>) -> io::Result<TcpStream> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let [_, last] = (2 + NEXT.fetch_add(1, Ordering::Relaxed) % SOURCES).to_be_bytes();
    connect_from(Ipv4Addr::new(127, 0, 0, last), to, receive).await
}

/// The same from this address.
pub(crate) async fn connect_from(
    from: Ipv4Addr,
    to: SocketAddr,
    receive: Option<u32>,
) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if let Some(receive) = receive {
        socket.set_recv_buffer_size(receive)?;
    }
    socket.bind((from, 0).into())?;
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The answer, and whether the connection can be used again.
async fn ask_h1(stream: &mut Box<dyn Io>, ask: &Ask) -> Result<(Answer, bool), Failure> {
    let (method, framing) = match ask.upload {
        None => ("GET", String::new()),
        Some(Upload::Length(length)) => ("POST", format!("Content-Length: {length}\r\n")),
        Some(Upload::Chunked(_)) => ("POST", "Transfer-Encoding: chunked\r\n".to_owned()),
    };
    let mark = ask
        .mark
        .as_ref()
        .map_or_else(String::new, |mark| format!("{MARK}: {mark}\r\n"));
    let head = format!(
        "{method} {} HTTP/1.1\r\nHost: {}\r\n{mark}{framing}\r\n",
        ask.path, ask.host
    );
    stream.write_all(head.as_bytes()).await?;
    stream.flush().await?;
    for piece in pieces(ask.upload) {
        sleep(UPLOAD_PAUSE).await;
        if let Some(Upload::Chunked(_)) = ask.upload {
            let size = format!("{:x}\r\n", piece.len());
            let chunk = [size.as_bytes(), piece, b"\r\n"].concat();
            stream.write_all(&chunk).await?;
        } else {
            stream.write_all(piece).await?;
        }
        stream.flush().await?;
    }
    if let Some(Upload::Chunked(_)) = ask.upload {
        stream.write_all(b"0\r\n\r\n").await?;
        stream.flush().await?;
    }
    let mut received = Vec::with_capacity(HEAD_BYTES);
    let (mut answered, length, goes_on, mut body) = loop {
        if stream.read_buf(&mut received).await? == 0 {
            return Err(cut(&received));
        }
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut answer = httparse::Response::new(&mut fields);
        match answer.parse(&received) {
            Ok(httparse::Status::Complete(head)) => {
                let status = answer.code.unwrap_or(0);
                let field = |name: &str| {
                    let mut fields = answer.headers.iter();
                    let field = fields.find(|field| field.name.eq_ignore_ascii_case(name));
                    field.and_then(|field| std::str::from_utf8(field.value).ok())
                };
                let length = field("content-length").and_then(|value| value.parse::<u64>().ok());
                let length = length.ok_or_else(|| match status {
                    200 => Failure::new(Trouble::Wrong, "no Content-Length"),
                    _ => Failure::new(Trouble::Status, status),
                })?;
                let goes_on = field("connection") != Some("close");
                let text = |name| field(name).unwrap_or_default().to_owned();
                let answered = Answer {
                    status,
                    cache_status: text("cache-status"),
                    proxy_status: text("proxy-status"),
                    flaw: None,
                    page: String::new(),
                };
                break (answered, length, goes_on, received.split_off(head));
            }
            Ok(httparse::Status::Partial) if received.len() < HEAD_BYTES => {}
            _ => return Err(Failure::new(Trouble::Wrong, "no HTTP/1 head")),
        }
    };
    let mut content = Content::of(answered.status, &ask.expect);
    content.take(&body);
    while content.count() < length {
        body.clear();
        body.reserve(HEAD_BYTES);
        if stream.read_buf(&mut body).await? == 0 {
            return Err(cut(b"the body"));
        }
        content.take(&body);
    }
    content.finish(&mut answered);
    Ok((answered, goes_on))
}

async fn ask_h2(
    sender: &mut h2::client::SendRequest<Bytes>,
    scheme: &str,
    ask: &Ask,
) -> Result<Answer, Failure> {
    let mut request = http::Request::builder()
        .method(match ask.upload {
            None => http::Method::GET,
            Some(_) => http::Method::POST,
        })
        .uri(format!("{scheme}://{}{}", ask.host, ask.path));
    if let Some(Upload::Length(length)) = ask.upload {
        request = request.header(http::header::CONTENT_LENGTH, length);
    }
    if let Some(mark) = &ask.mark {
        request = request.header(MARK, mark);
    }
    let request = request.body(()).map_err(io::Error::other)?;
    poll_fn(|cx| sender.poll_ready(cx)).await?;
    let (response, mut out) = sender.send_request(request, ask.upload.is_none())?;
    let pieces = pieces(ask.upload);
    let last = pieces.len().saturating_sub(1);
    for (number, piece) in pieces.into_iter().enumerate() {
        sleep(UPLOAD_PAUSE).await;
        // Queued whatever the window is: a few kilobytes.
        out.send_data(Bytes::from_static(piece), number == last)?;
    }
    let response = response.await?;
    let text = |name| {
        let field = response.headers().get(name);
        let text = field.and_then(|value| value.to_str().ok());
        text.unwrap_or_default().to_owned()
    };
    let mut answered = Answer {
        status: response.status().as_u16(),
        cache_status: text("cache-status"),
        proxy_status: text("proxy-status"),
        flaw: None,
        page: String::new(),
    };
    let mut content = Content::of(answered.status, &ask.expect);
    let mut body = response.into_body();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        content.take(&piece);
        body.flow_control().release_capacity(piece.len())?;
    }
    content.finish(&mut answered);
    Ok(answered)
}

fn pieces(upload: Option<Upload>) -> Vec<&'static [u8]> {
    let Some(Upload::Length(length) | Upload::Chunked(length)) = upload else {
        return Vec::new();
    };
    let whole = pattern(0, length);
    let piece = length.div_ceil(UPLOAD_PIECES).max(1);
    whole.chunks(piece).collect()
}

enum Content<'a> {
    Pattern(u64, Check),
    Text(&'a str, Vec<u8>),
    Run {
        wanted: u64,
        fill: u8,
        came: u64,
        differs: bool,
    },
    /// Of another status than 200: its first bytes, and how many there were.
    Page(Vec<u8>, u64),
}

impl<'a> Content<'a> {
    fn of(status: u16, expect: &'a Expect) -> Self {
        match (status, expect) {
            (200, Expect::Pattern(length)) => Self::Pattern(*length, Check::default()),
            (200, Expect::Text(text)) => Self::Text(text, Vec::new()),
            (200, Expect::Run(wanted, fill)) => Self::Run {
                wanted: *wanted,
                fill: *fill,
                came: 0,
                differs: false,
            },
            _ => Self::Page(Vec::new(), 0),
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        match self {
            Self::Pattern(_, check) => check.take(bytes),
            Self::Text(_, seen) => seen.extend_from_slice(bytes),
            Self::Run {
                fill,
                came,
                differs,
                ..
            } => {
                *came += bytes.len() as u64;
                *differs |= bytes.iter().any(|byte| byte != fill);
            }
            Self::Page(seen, count) => {
                *count += bytes.len() as u64;
                let room = HEAD_BYTES.saturating_sub(seen.len());
                seen.extend(bytes.iter().take(room));
            }
        }
    }

    fn count(&self) -> u64 {
        match self {
            Self::Pattern(_, check) => check.count,
            Self::Text(_, seen) => seen.len() as u64,
            Self::Run { came, .. } => *came,
            Self::Page(_, count) => *count,
        }
    }

    fn finish(self, answer: &mut Answer) {
        match self {
            Self::Pattern(length, check) if check.count != length || check.differs => {
                let words = format!("{} of {length}", check.verdict());
                answer.flaw = Some(Failure::new(Trouble::Wrong, words));
            }
            Self::Text(text, seen) if text.as_bytes() != seen => {
                let words = String::from_utf8_lossy(&seen);
                answer.flaw = Some(Failure::new(Trouble::Wrong, short(&words)));
            }
            Self::Run {
                wanted,
                came,
                differs,
                ..
            } if came != wanted || differs => {
                let words = format!("{came} bytes of {wanted}, or others");
                answer.flaw = Some(Failure::new(Trouble::Wrong, words));
            }
            Self::Page(seen, _) => answer.page = String::from_utf8_lossy(&seen).into_owned(),
            _ => {}
        }
    }
}

fn cut(after: &[u8]) -> Failure {
    let words = String::from_utf8_lossy(after);
    Failure::new(Trouble::Cut, format!("ended after {:?}", short(&words)))
}

fn short(text: &str) -> String {
    text.chars().take(120).collect()
}
