//! Attacks over TCP, TLS and HTTP/1: what each attacker sends, and what it then does not do.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::families::{LAST_WORD, Shared, Tally, Target, source, turn, turned_away};
use crate::tls::HOST;
use crate::visit::connect_from;

/// How often whoever trickles sends a byte.
const DRIP: Duration = Duration::from_secs(1);
/// Of those that come and go, as many at once; whoever is one too many waits.
const MOST_AT_ONCE: usize = 2_000;
/// Connections that requests are asked on, over and over.
const ASKERS: u64 = 64;
/// How long an attacker waits for an answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// What a reader that does not read takes in all the same; the kernel doubles it.
const RECEIVE: u32 = 16 * 1024;
/// A head of more bytes than anyone takes by default.
const OVERSIZED: usize = 40_000;
/// Ranges asked for at once, each of one byte and none beside another.
const RANGES: usize = 400;
/// A head longer than this is no answer.
const HEAD_BYTES: usize = 64 * 1024;
/// The first byte of a TLS record with a message of the handshake (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 22;
/// What status line and code need.
const STATUS_BYTES: usize = 12;

/// A way of attacking.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(super) enum Kind {
    SilentConnections,
    SlowHeads,
    SlowBodies,
    SlowReading,
    TlsHandshakes,
    OversizedHeads,
    CacheBusting,
    RandomPaths,
    Ranges,
    Websockets,
    FailedLogIns,
    RequestFlood,
}

/// What attackers of one kind do with their connections.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// They open one each, and keep it.
    Hold,
    /// They open one each, greet, and go once they are answered.
    Greet,
    /// They ask on a few, over and over.
    Ask,
}

impl Kind {
    /// What a person calls it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::SilentConnections => "silent connections",
            Self::SlowHeads => "slow heads, 1 byte/s",
            Self::SlowBodies => "slow bodies, 1 byte/s",
            Self::SlowReading => "slow reading of 1 MiB",
            Self::TlsHandshakes => "TLS handshakes",
            Self::OversizedHeads => "oversized heads, 40 kB",
            Self::CacheBusting => "cache-busting queries",
            Self::RandomPaths => "random paths (404)",
            Self::Ranges => "400 ranges of one object",
            Self::Websockets => "WebSockets",
            Self::FailedLogIns => "failed log-ins (401)",
            Self::RequestFlood => "requests past the limit",
        }
    }

    /// What one of it is.
    pub(super) fn unit(self) -> &'static str {
        match self.manner() {
            Manner::Hold => "connection",
            Manner::Greet => "handshake",
            Manner::Ask => "request",
        }
    }

    /// How many of them come in a second. Who holds places comes for more than there are; whoever reads nothing leaves up to a
    /// mebibyte with the kernel, so they are fewer.
    pub(super) fn rate(self) -> u64 {
        match self {
            Self::SlowReading | Self::Websockets => 250,
            Self::SilentConnections | Self::SlowHeads | Self::SlowBodies => 1_500,
            Self::TlsHandshakes | Self::OversizedHeads | Self::Ranges => 2_000,
            Self::CacheBusting | Self::RandomPaths | Self::FailedLogIns => 4_000,
            Self::RequestFlood => 8_000,
        }
    }

    fn manner(self) -> Manner {
        match self {
            Self::SilentConnections
            | Self::SlowHeads
            | Self::SlowBodies
            | Self::SlowReading
            | Self::Websockets => Manner::Hold,
            Self::TlsHandshakes => Manner::Greet,
            Self::OversizedHeads
            | Self::CacheBusting
            | Self::RandomPaths
            | Self::Ranges
            | Self::FailedLogIns
            | Self::RequestFlood => Manner::Ask,
        }
    }

    /// What is said at first, by the one with this number.
    fn says(self, number: u64) -> Vec<u8> {
        let get = |path: &str, fields: &str| {
            format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n").into_bytes()
        };
        match self {
            // A handshake has a greeting of its own.
            Self::SilentConnections | Self::TlsHandshakes => Vec::new(),
            Self::SlowHeads => format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nX-Slow: ").into_bytes(),
            Self::SlowBodies => format!(
                "POST /attack/upload HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 1000000\r\n\r\n"
            )
            .into_bytes(),
            Self::SlowReading => get("/kept/1048576/2", ""),
            Self::OversizedHeads => {
                let fields = format!("X-Long: {}\r\n", "x".repeat(OVERSIZED));
                get(&format!("/attack/long/{number}"), &fields)
            }
            Self::CacheBusting => get(&format!("/attack/busting?n={number}"), ""),
            Self::RandomPaths => get(&format!("/attack/lost/{number}.php"), ""),
            Self::Ranges => {
                let each = (0..RANGES).map(|number| format!("{0}-{0}", number * 2));
                let each: Vec<String> = each.collect();
                get(
                    "/kept/65536/3",
                    &format!("Range: bytes={}\r\n", each.join(",")),
                )
            }
            Self::Websockets => get(
                "/attack/chat",
                "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            ),
            Self::FailedLogIns => format!(
                "POST /attack/login HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 12\r\n\r\nuser={number:07}"
            )
            .into_bytes(),
            Self::RequestFlood => get("/kept/1024/4", ""),
        }
    }

    /// What is said from then on, each second.
    fn drips(self) -> &'static [u8] {
        match self {
            Self::SlowHeads | Self::SlowBodies => b"x",
            _ => b"",
        }
    }

    /// Whether an answer with this status gave the attacker what it came for.
    fn gives(self, status: u16) -> bool {
        match self {
            Self::SilentConnections | Self::SlowHeads | Self::SlowBodies | Self::TlsHandshakes => {
                false // these are let through as long as they are not answered
            }
            Self::RandomPaths => status == 404,
            Self::FailedLogIns => status == 401,
            Self::Websockets => status == 101,
            Self::Ranges => matches!(status, 200 | 206),
            Self::SlowReading | Self::OversizedHeads | Self::CacheBusting | Self::RequestFlood => {
                status == 200
            }
        }
    }

    /// Whether who holds a connection has what it came for while nothing was said to it.
    fn is_for_silence(self) -> bool {
        matches!(
            self,
            Self::SilentConnections | Self::SlowHeads | Self::SlowBodies
        )
    }
}

/// Attacks until the time is over.
pub(super) async fn attack(kind: Kind, target: &Target) -> Tally {
    match kind.manner() {
        Manner::Ask => ask_over_and_over(kind, target).await,
        Manner::Hold | Manner::Greet => come_one_by_one(kind, target).await,
    }
}

/// Each comes in its turn, on a connection of its own.
async fn come_one_by_one(kind: Kind, target: &Target) -> Tally {
    let (shared, mut there) = (Shared::default(), JoinSet::new());
    for number in 0.. {
        let turn = target.begins + turn(kind.rate(), number);
        if turn >= target.ends() {
            break;
        }
        sleep_until(turn).await;
        while kind.manner() == Manner::Greet && there.len() >= MOST_AT_ONCE {
            there.join_next().await;
        }
        if Instant::now() >= target.ends() {
            break;
        }
        let (shared, target) = (shared.clone(), target.clone());
        there.spawn_local(async move {
            shared.begins();
            let ended = match kind.manner() {
                Manner::Greet => greet(&target, number).await,
                Manner::Hold | Manner::Ask => hold(kind, &target, number).await,
            };
            shared.ends(ended.how, ended.through);
            ended.stream // what is held is held until all are told to go
        });
    }
    let mut held = Vec::new();
    while let Some(ended) = there.join_next().await {
        held.extend(ended.ok().flatten());
    }
    shared.told()
}

/// How one of them ended.
struct Ended {
    how: String,
    through: bool,
    stream: Option<TcpStream>,
}

impl Ended {
    fn out(how: impl Into<String>) -> Self {
        Self {
            how: how.into(),
            through: false,
            stream: None,
        }
    }
}

/// Connects, or says why not.
async fn connect(
    kind: Kind,
    target: &Target,
    number: u64,
    until: Instant,
) -> Result<TcpStream, &'static str> {
    let door = match kind {
        Kind::TlsHandshakes => target.doors.tls,
        _ => target.doors.h1,
    };
    let receive = (kind == Kind::SlowReading).then_some(RECEIVE);
    match timeout_at(until, connect_from(source(number), door, receive)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(turned_away(&error)),
        Err(_) => Err("never connected"),
    }
}

/// Opens one and keeps it until the attack is over, or the server ends it.
async fn hold(kind: Kind, target: &Target, number: u64) -> Ended {
    let ends = target.ends();
    let mut stream = match connect(kind, target, number, ends).await {
        Ok(stream) => stream,
        Err(why) => return Ended::out(why),
    };
    let mut told = Vec::new();
    // Whoever was turned away already is told so below.
    let _ = timeout_at(ends, stream.write_all(&kind.says(number))).await;
    let how = loop {
        let is_deaf = kind == Kind::SlowReading && told.len() >= STATUS_BYTES;
        let mut piece = [0; STATUS_BYTES];
        tokio::select! {
            read = stream.read(&mut piece), if !is_deaf => match read {
                Ok(0) => break "closed",
                Ok(count) => {
                    let room = STATUS_BYTES.saturating_sub(told.len());
                    let new = piece.get(..count.min(room)).unwrap_or_default();
                    told.extend_from_slice(new);
                }
                Err(_) => break "reset",
            },
            () = sleep(DRIP) => {
                let _ = stream.write(kind.drips()).await; // the other side may have gone: reading tells
            }
            () = sleep_until(ends) => break "held",
        }
    };
    let status = status_in(&told);
    let through = match status {
        Some(status) => kind.gives(status),
        None => kind.is_for_silence() && how == "held",
    };
    let how = match status.filter(|_| !through) {
        Some(status) => status.to_string(),
        None if !through && how == "held" => "not answered".to_owned(),
        None => how.to_owned(),
    };
    Ended {
        how,
        through,
        stream: Some(stream),
    }
}

/// Sends a greeting, and goes once the server has begun to answer: all that is dear has been done there by then.
async fn greet(target: &Target, number: u64) -> Ended {
    let until = (target.ends() + LAST_WORD).min(Instant::now() + PATIENCE);
    let mut stream = match connect(Kind::TlsHandshakes, target, number, until).await {
        Ok(stream) => stream,
        Err(why) => return Ended::out(why),
    };
    let mut first = [0];
    let greeting = async {
        stream.write_all(&target.hello).await?;
        stream.read(&mut first).await
    };
    let (how, through) = match timeout_at(until, greeting).await {
        Ok(Ok(0)) => ("closed", false),
        Ok(Ok(_)) if first == [HANDSHAKE] => ("answered", true),
        Ok(Ok(_)) => ("alert", false),
        Ok(Err(_)) => ("reset", false),
        Err(_) => ("not answered in time", false),
    };
    Ended {
        how: how.to_owned(),
        through,
        stream: None,
    }
}

/// A few ask in turn, each on a connection that it keeps as long as it may.
async fn ask_over_and_over(kind: Kind, target: &Target) -> Tally {
    let (shared, mut there) = (Shared::default(), JoinSet::new());
    for asker in 0..ASKERS {
        there.spawn_local(asks(kind, target.clone(), asker, shared.clone()));
    }
    while there.join_next().await.is_some() {}
    shared.told()
}

async fn asks(kind: Kind, target: Target, asker: u64, shared: Shared) {
    let mut connection = None;
    let mut number = asker;
    loop {
        let turn = target.begins + turn(kind.rate(), number);
        if turn >= target.ends() {
            return;
        }
        sleep_until(turn).await;
        let now = Instant::now();
        if now >= target.ends() {
            return;
        }
        shared.begins();
        let until = (target.ends() + LAST_WORD).min(now + PATIENCE);
        let asking = exchange(
            kind,
            &target,
            (asker, shared.number()),
            &mut connection,
            until,
        );
        match timeout_at(until, asking).await {
            Ok(Ok(status)) => shared.ends(status.to_string(), kind.gives(status)),
            Ok(Err(why)) => {
                connection = None;
                shared.ends(why, false);
            }
            Err(_) => {
                connection = None;
                shared.ends("not answered in time", false);
            }
        }
        number += ASKERS;
    }
}

/// One request, on the connection that there is or on a new one.
async fn exchange(
    kind: Kind,
    target: &Target,
    (asker, number): (u64, u64),
    connection: &mut Option<TcpStream>,
    until: Instant,
) -> Result<u16, &'static str> {
    let request = kind.says(number);
    // A connection that ends before anything is answered may have ended before it was asked.
    if let Some(stream) = connection.take()
        && let Ok((status, kept)) = ask_once(stream, &request).await
    {
        *connection = kept;
        return Ok(status);
    }
    let stream = connect(kind, target, asker, until).await?;
    let (status, kept) = ask_once(stream, &request).await?;
    *connection = kept;
    Ok(status)
}

/// The status, and the connection if it can be used again.
async fn ask_once(
    mut stream: TcpStream,
    request: &[u8],
) -> Result<(u16, Option<TcpStream>), &'static str> {
    // It may be answered before it has been read.
    let _ = stream.write_all(request).await;
    let mut received = Vec::with_capacity(4096);
    let (status, mut left) = loop {
        match stream.read_buf(&mut received).await {
            Ok(0) => return Err("closed"),
            Ok(_) => {}
            Err(error) => return Err(turned_away(&error)),
        }
        match head(&received) {
            Some(Head {
                status,
                bytes,
                length: Some(length),
            }) => {
                let body = (received.len() - bytes) as u64;
                break (status, length.saturating_sub(body));
            }
            Some(Head { status, .. }) => return Ok((status, None)),
            None if received.len() >= HEAD_BYTES => return Err("no HTTP"),
            None => {}
        }
    };
    while left > 0 {
        received.clear();
        match stream.read_buf(&mut received).await {
            Ok(0) | Err(_) => return Ok((status, None)),
            Ok(count) => left = left.saturating_sub(count as u64),
        }
    }
    Ok((status, Some(stream)))
}

/// What has to be known of an answer's head.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    /// How long it is itself.
    bytes: usize,
    /// How much content comes; nothing when only the end of the connection tells.
    length: Option<u64>,
}

fn head(received: &[u8]) -> Option<Head> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut answer = httparse::Response::new(&mut fields);
    let Ok(httparse::Status::Complete(bytes)) = answer.parse(received) else {
        return None;
    };
    let field = |name: &str| {
        let mut fields = answer.headers.iter();
        let field = fields.find(|field| field.name.eq_ignore_ascii_case(name));
        field.and_then(|field| std::str::from_utf8(field.value).ok())
    };
    let closes = field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let length = field("content-length").and_then(|value| value.parse().ok());
    Some(Head {
        status: answer.code?,
        bytes,
        length: length.filter(|_| !closes),
    })
}

/// The code in a status line, as far as there is one.
fn status_in(told: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(told.get(..STATUS_BYTES)?).ok()?;
    line.strip_prefix("HTTP/1.")?.get(2..)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn a_status_is_read_from_the_first_bytes_and_no_fewer() {
        assert_eq!(status_in(b"HTTP/1.1 429 Too Many"), Some(429));
        assert_eq!(status_in(b"HTTP/1.0 200"), Some(200));
        assert_eq!(status_in(b"HTTP/1.1 42"), None);
        assert_eq!(status_in(b"\x15\x03\x03\0\x02\x02\x28 . . ."), None);
    }

    #[test]
    fn an_answer_without_a_length_ends_with_its_connection() {
        let told = |text: &str| head(text.as_bytes()).map(|head| head.length);
        let whole = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n";
        assert_eq!(told(whole), Some(Some(7)));
        assert_eq!(told("HTTP/1.1 200 OK\r\n\r\n"), Some(None));
        let closes = "HTTP/1.1 429 No\r\nConnection: close\r\nContent-Length: 7\r\n\r\n";
        assert_eq!(told(closes), Some(None));
        assert_eq!(told("HTTP/1.1 200 OK\r\nContent-Le"), None);
    }

    #[test]
    fn what_is_asked_is_whole_but_for_those_who_are_slow() {
        for kind in Kind::value_variants() {
            let says = String::from_utf8(kind.says(7)).unwrap();
            let is_slow = matches!(
                kind,
                Kind::SilentConnections | Kind::SlowHeads | Kind::TlsHandshakes
            );
            assert_eq!(says.contains("\r\n\r\n"), !is_slow, "{kind:?}");
            assert!(
                says.len() < 8192 || *kind == Kind::OversizedHeads,
                "{kind:?}"
            );
        }
    }

    #[test]
    fn a_log_in_says_as_much_as_it_announces() {
        let says = Kind::FailedLogIns.says(7);
        assert!(says.ends_with(b"\r\n\r\nuser=0000007"));
    }
}
