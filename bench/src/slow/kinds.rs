//! The ways of being slow: what each client sends, what it then does not do, and by when it has to be gone.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::TlsConnector;

use crate::subject::Subject;
use crate::visit::{Way, connect_from_one_of_many, connect_with};

/// The site that slow clients ask; its pages come from an origin.
pub(super) const HOST: &str = "slow.example";
/// How long a connection that is being closed may linger at the edge when its client does not close it too; fixed.
const LINGER: Duration = Duration::from_secs(2);
/// How long an HTTP/2 connection is open after GOAWAY, for its client to hear it; fixed.
const GOAWAY_HEARD: Duration = Duration::from_secs(2);
/// How long a stream is kept after its answer while its client still sends; fixed.
const STREAM_LINGER: Duration = Duration::from_secs(1);
/// An idle HTTP/2 connection is given at least this, so that closing takes visibly less than being idle once more.
const H2_IDLE: Duration = Duration::from_secs(7);
/// How often the edge looks at a reader until its deadline; fixed.
const LOOKS: u32 = 8;
/// How often whoever trickles sends or reads a byte.
const DRIP: Duration = Duration::from_secs(1);
/// What a reader that does not read takes in all the same; the kernel doubles it. With less it drops segments that it has no
/// room for, and takes them when they are sent again, seconds later: then that is the last byte that its side took.
const RECEIVE: u32 = 16 * 1024;
/// Bytes of the page that is not read: more than the buffers of all kernels on the way.
const UNREAD: u64 = 8 * 1024 * 1024;
/// The most of those whose page comes from the origin each time. The sockets of all four ends are in this one kernel; with
/// more of them it is short of memory, and drops the origin's segments as well: then the edge waits for the origin, not for
/// the client, for many seconds.
const MOST_FROM_ORIGIN: usize = 2_000;

/// The connection preface of HTTP/2 (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Empty SETTINGS.
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
/// SETTINGS with SETTINGS_INITIAL_WINDOW_SIZE = 0.
const NO_WINDOW: &[u8] = &[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0];
/// SETTINGS with SETTINGS_INITIAL_WINDOW_SIZE as large as can be, and WINDOW_UPDATE for the connection.
const WIDE_WINDOWS: &[u8] = &[
    0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0x7f, 0xff, 0xff, 0xff, //
    0, 0, 4, 8, 0, 0, 0, 0, 0, 0x7f, 0, 0, 0,
];
/// DATA of one byte on stream 1.
const DATA: &[u8] = &[0, 0, 1, 0, 0, 0, 0, 0, 1, 0];
/// A TLS record of 512 bytes with the beginning of a ClientHello, in it.
const HELLO: &[u8] = &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];

/// A way of being slow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(super) enum Kind {
    SilentTcp,
    SlowHead,
    SlowBody,
    NeverReads,
    NeverReadsOrigin,
    SlowReader,
    NeverReadsTls,
    NeverReadsH2,
    KeepAlive,
    SilentTls,
    SlowTls,
    IdleH2,
    StalledH2,
    SlowBodyH2,
}

impl Kind {
    /// What a person calls it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::SilentTcp => "connects and says nothing",
            Self::SlowHead => "head, 1 byte/s",
            Self::SlowBody => "body, 1 byte/s",
            Self::NeverReads => "reads nothing of 8 MiB",
            Self::NeverReadsOrigin => "reads nothing, not kept",
            Self::SlowReader => "reads 1 byte/s of 8 MiB",
            Self::NeverReadsTls => "TLS: reads nothing of 8 MiB",
            Self::NeverReadsH2 => "h2: reads nothing of 8 MiB",
            Self::KeepAlive => "idle after one request",
            Self::SilentTls => "TLS: says nothing",
            Self::SlowTls => "TLS: ClientHello, 1 byte/s",
            Self::IdleH2 => "h2: idle after its preface",
            Self::StalledH2 => "h2: a stream without window",
            Self::SlowBodyH2 => "h2: body, 1 byte/s",
        }
    }

    /// The limits that end it, as their sum; all settable ones have the same value here.
    pub(super) fn limits(self) -> &'static str {
        match self {
            Self::SilentTcp => "protocol_sniff",
            Self::SlowHead => "request_head + closing",
            Self::SlowBody => "min_rate_grace + closing",
            Self::NeverReads
            | Self::NeverReadsOrigin
            | Self::SlowReader
            | Self::NeverReadsTls
            | Self::NeverReadsH2 => "response_write_idle + a look",
            Self::KeepAlive => "keep_alive_idle",
            Self::SilentTls | Self::SlowTls => "tls_handshake",
            Self::IdleH2 => "h2_idle + GOAWAY + closing",
            Self::StalledH2 => "response_write_idle + h2_idle + GOAWAY + closing",
            Self::SlowBodyH2 => "min_rate_grace + stream's end + h2_idle + GOAWAY + closing",
        }
    }

    /// What every limit is set to, when they are to be about `each`.
    pub(super) fn limit(self, each: Duration) -> Duration {
        match self {
            Self::IdleH2 => each.max(H2_IDLE),
            _ => each,
        }
    }

    /// By when the edge holds nothing of it any more, with every limit set to `each`.
    pub(super) fn deadline(self, each: Duration) -> Duration {
        match self {
            Self::SilentTcp | Self::KeepAlive | Self::SilentTls | Self::SlowTls => each,
            // What it acknowledged last is seen when it is looked at.
            Self::NeverReads
            | Self::NeverReadsOrigin
            | Self::SlowReader
            | Self::NeverReadsTls
            | Self::NeverReadsH2 => each + each / LOOKS,
            Self::SlowHead | Self::SlowBody => each + LINGER,
            Self::IdleH2 => each + GOAWAY_HEARD + LINGER,
            Self::StalledH2 => 2 * each + GOAWAY_HEARD + LINGER,
            Self::SlowBodyH2 => 2 * each + STREAM_LINGER + GOAWAY_HEARD + LINGER,
        }
    }

    /// Whether it is slow in taking an answer: its deadline counts from the last byte that its side took.
    pub(super) fn is_reader(self) -> bool {
        matches!(
            self,
            Self::NeverReads
                | Self::NeverReadsOrigin
                | Self::SlowReader
                | Self::NeverReadsTls
                | Self::NeverReadsH2
        )
    }

    /// How many there may be of `wanted`.
    pub(super) fn most(self, wanted: usize) -> usize {
        match self {
            Self::NeverReadsOrigin => wanted.min(MOST_FROM_ORIGIN),
            _ => wanted,
        }
    }

    /// Whether each one occupies a connection to the origin, too.
    pub(super) fn reaches_origin(self) -> bool {
        matches!(
            self,
            Self::SlowBody | Self::NeverReadsOrigin | Self::SlowBodyH2
        )
    }

    /// Connects and does what comes before being slow.
    pub(super) async fn open(self, doors: &Doors) -> io::Result<TcpStream> {
        let mut stream = match self {
            Self::SilentTls | Self::SlowTls => connect_from_one_of_many(doors.https).await?,
            Self::NeverReadsTls => return doors.ask_over_tls(&ask(&kept())).await,
            _ if self.is_reader() => connect_with(doors.http, Some(RECEIVE)).await?,
            _ => connect_from_one_of_many(doors.http).await?,
        };
        let first = match self {
            Self::SilentTcp | Self::SilentTls => Vec::new(),
            Self::SlowHead => format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nX-Slow: ").into_bytes(),
            Self::SlowBody => {
                format!("POST /upload HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 1000000\r\n\r\n")
                    .into_bytes()
            }
            Self::NeverReads | Self::SlowReader | Self::NeverReadsTls => ask(&kept()),
            Self::NeverReadsOrigin => ask(&format!("/bytes/{UNREAD}")),
            Self::KeepAlive => ask("/bytes/100"),
            Self::SlowTls => HELLO.to_vec(),
            Self::IdleH2 => [PREFACE, SETTINGS].concat(),
            Self::StalledH2 => [
                PREFACE,
                NO_WINDOW,
                &headers(true, &format!("/bytes/{UNREAD}")),
            ]
            .concat(),
            Self::NeverReadsH2 => [PREFACE, WIDE_WINDOWS, &headers(true, &kept())].concat(),
            Self::SlowBodyH2 => [PREFACE, SETTINGS, &headers(false, "/upload")].concat(),
        };
        stream.write_all(&first).await?;
        if self == Self::KeepAlive {
            let (mut answer, mut piece) = (Vec::new(), [0; 1024]);
            while !is_whole(&answer) {
                let count = stream.read(&mut piece).await?;
                if count == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                answer.extend_from_slice(piece.get(..count).unwrap_or_default());
            }
        }
        Ok(stream)
    }

    /// Is slow for ever, and never closes: ends only with its task.
    pub(super) async fn hold(self, mut stream: TcpStream) {
        let drop_of_bytes: &[u8] = match self {
            Self::SlowHead | Self::SlowBody => b"x",
            Self::SlowTls => &[0],
            Self::SlowBodyH2 => DATA,
            _ => &[],
        };
        loop {
            sleep(DRIP).await;
            if self == Self::SlowReader {
                let _ = stream.try_read(&mut [0]); // nothing there, or gone: it is slow all the same
            }
            let _ = stream.write(drop_of_bytes).await; // the other side may have gone; we stay
        }
    }
}

/// Where to knock, and what to say to TLS.
#[derive(Clone)]
pub(super) struct Doors {
    http: SocketAddr,
    https: SocketAddr,
    tls: Arc<ClientConfig>,
}

impl Doors {
    pub(super) fn of(subject: &Subject, way: &Way) -> Self {
        Self {
            http: subject.http,
            https: subject.https,
            tls: Arc::clone(&way.tls_h1),
        }
    }

    /// Sends a request over TLS; gives back the socket below, since nothing more is said or read.
    async fn ask_over_tls(&self, request: &[u8]) -> io::Result<TcpStream> {
        let tcp = connect_with(self.https, Some(RECEIVE)).await?;
        let name = ServerName::try_from(crate::tls::HOST).map_err(io::Error::other)?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let mut stream = connector.connect(name, tcp).await?;
        stream.write_all(request).await?;
        stream.flush().await?;
        Ok(stream.into_inner().0)
    }
}

fn ask(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n").into_bytes()
}

/// What will not be read, and is the same for everyone: the edge keeps it.
fn kept() -> String {
    format!("/kept/{UNREAD}/1")
}

/// A head and 100 bytes of content.
fn is_whole(answer: &[u8]) -> bool {
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n");
    head.is_some_and(|head| answer.len() >= head + 104)
}

/// HEADERS on stream 1, in literals that need no table of the encoder's (RFC 7541 section 6.2.2).
fn headers(ends: bool, path: &str) -> Vec<u8> {
    let literal = |index: u8, value: &str| {
        let length = u8::try_from(value.len()).unwrap_or_default();
        [&[index, length], value.as_bytes()].concat()
    };
    // `:method`, `:scheme: http`, `:path`, `:authority`.
    let method = if ends { 0x82 } else { 0x83 };
    let block = [vec![method, 0x86], literal(4, path), literal(1, HOST)].concat();
    let length = u8::try_from(block.len()).unwrap_or_default();
    let flags = if ends { 0x5 } else { 0x4 }; // END_HEADERS, END_STREAM
    [vec![0, 0, length, 1, flags, 0, 0, 0, 1], block].concat()
}
