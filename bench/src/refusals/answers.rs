//! Malformed answers of an origin, and what Mangrove's and hyper's clients make of them.
//!
//! Each case is an origin of its own. `/first` gets the case's bytes, `/second` a plain answer. What matters is what the
//! first request yields, whether its connection carries the second, and what that one then gets.

use std::collections::HashSet;
use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use hyper::Request;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;

use super::{PATIENCE, send};
use crate::hyper_server::Whole;

/// How long after an answer the late bytes of some origins come.
const LATE: Duration = Duration::from_millis(50);
/// The time between the two requests: late bytes are there by then.
const BETWEEN: Duration = Duration::from_millis(150);
/// The longest head of a request here.
const HEAD_LIMIT: usize = 16 * 1024;
const PLAIN: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond";

/// An answer that has to be distrusted.
struct Case {
    what: &'static str,
    answer: Vec<u8>,
    /// What comes a moment after it, unasked.
    late: &'static [u8],
    /// Whether the origin then ends the connection.
    ends: bool,
}

/// Which requests came on which connection.
type Seen = Arc<Mutex<Vec<(usize, &'static str)>>>;

struct Origin {
    case: &'static Case,
    address: SocketAddr,
    seen: Seen,
}

/// All origins at work; they end with the process.
pub(super) struct Origins(Vec<Origin>);

impl Origins {
    pub(super) fn start() -> Result<Self> {
        cases()
            .into_iter()
            .map(|case| Origin::start(Box::leak(Box::new(case))))
            .collect::<Result<_>>()
            .map(Self)
    }

    /// The host of each origin's site.
    pub(super) fn sites(&self) -> impl Iterator<Item = (String, SocketAddr)> {
        self.0
            .iter()
            .enumerate()
            .map(|(place, origin)| (host(place), origin.address))
    }
}

fn host(place: usize) -> String {
    format!("o{place}.test")
}

/// Asks every origin twice in both ways: the lines of the table, and how many answers Mangrove let pass.
pub(super) fn ask(mangrove: SocketAddr, origins: &Origins) -> Result<(Vec<Vec<String>>, usize)> {
    let mut lines = vec![
        ["answer", "Mangrove", "hyper's client"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let mut passed = 0;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    for (place, origin) in origins.0.iter().enumerate() {
        let (own, trusted) = through(mangrove, &host(place), origin)?;
        passed += usize::from(trusted);
        origin.forget();
        let other = runtime.block_on(by_hyper(origin))?;
        lines.push(vec![origin.case.what.to_owned(), own, other]);
    }
    Ok((lines, passed))
}

/// Both requests through Mangrove; whether it gave the first answer as if nothing were wrong and used its connection again.
fn through(mangrove: SocketAddr, host: &str, origin: &Origin) -> Result<(String, bool)> {
    let request =
        |path| format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let first = send(mangrove, request("/first").as_bytes(), false)?;
    std::thread::sleep(BETWEEN);
    let second = send(mangrove, request("/second").as_bytes(), false)?;
    let status = first.statuses().join(" + ");
    let (_, body) = first.text.split_once("\r\n\r\n").unwrap_or_default();
    let said = match first.reason() {
        Some(reason) => format!("{status} `{reason}`"),
        None if status.is_empty() && first.closed => "closed without an answer".to_owned(),
        None if status.is_empty() => "waits".to_owned(),
        None if first.is_cut() => format!("{status}, then cut"),
        None => format!("{status} {body:?}"),
    };
    let right = second.text.ends_with("\r\n\r\nsecond");
    let trusted = origin.was_used_again() || !right;
    Ok((format!("{said}; {}", origin.afterwards(right)), trusted))
}

/// Both requests by hyper's client, on one connection as long as it is willing.
async fn by_hyper(origin: &Origin) -> Result<String> {
    let stream = tokio::net::TcpStream::connect(origin.address).await?;
    let (mut sender, connection) = handshake::<_, Whole>(TokioIo::new(stream)).await?;
    let task = tokio::spawn(connection);
    let first = exchange(&mut sender, "/first").await;
    tokio::time::sleep(BETWEEN).await;
    let willing = tokio::time::timeout(PATIENCE, sender.ready())
        .await
        .is_ok_and(|ready| ready.is_ok());
    let second = match willing {
        true => exchange(&mut sender, "/second").await,
        false => Ok("200 \"second\"".to_owned()), // a pool would open another
    };
    task.abort();
    let said = first.unwrap_or_else(|error| error.to_string());
    let right = second.as_ref().is_ok_and(|text| text == "200 \"second\"");
    let mut line = format!("{said}; {}", origin.afterwards(right));
    if let (false, Ok(got)) = (right, second) {
        line.push_str(&format!(": {got}"));
    }
    Ok(line)
}

async fn exchange(sender: &mut SendRequest<Whole>, path: &str) -> Result<String> {
    let request = Request::get(path)
        .header("host", "a.test")
        .body(Whole(None))?;
    let response = tokio::time::timeout(PATIENCE, sender.send_request(request))
        .await
        .map_err(|_| anyhow!("waits"))?
        .map_err(|error| anyhow!("error: {}", whole_story(&error)))?;
    let status = response.status().as_u16();
    let read = tokio::time::timeout(PATIENCE, content(response.into_body())).await;
    Ok(match read {
        Ok(Ok(bytes)) => format!("{status} {:?}", String::from_utf8_lossy(&bytes)),
        Ok(Err(error)) => format!("{status}, then error: {}", whole_story(&error)),
        Err(_) => format!("{status}, then waits"),
    })
}

async fn content(body: Incoming) -> hyper::Result<Vec<u8>> {
    let mut body = pin!(body);
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        if let Ok(data) = frame?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}

fn whole_story(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

impl Origin {
    fn start(case: &'static Case) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("an origin's port")?;
        let address = listener.local_addr()?;
        let seen = Seen::default();
        let log = Arc::clone(&seen);
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let (Ok(stream), log) = (stream, Arc::clone(&log)) else {
                    return;
                };
                std::thread::spawn(move || converse(case, number, stream, &log));
            }
        });
        Ok(Self {
            case,
            address,
            seen,
        })
    }

    fn forget(&self) {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    fn was_used_again(&self) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let on = |wanted: &str| -> HashSet<usize> {
            seen.iter()
                .filter(|(_, path)| *path == wanted)
                .map(|(number, _)| *number)
                .collect()
        };
        !on("/first").is_disjoint(&on("/second"))
    }

    fn afterwards(&self, second_was_right: bool) -> &'static str {
        match (self.was_used_again(), second_was_right) {
            (true, true) => "**connection used again**",
            (true, false) => "**connection used again, the second request got something else**",
            (false, true) => "connection left",
            (false, false) => "the second request failed",
        }
    }
}

fn converse(case: &Case, number: usize, mut stream: TcpStream, log: &Seen) -> Option<()> {
    let mut head = Vec::new();
    loop {
        let mut piece = [0; 1024];
        while !head.windows(4).any(|four| four == b"\r\n\r\n") {
            let count = stream.read(&mut piece).ok()?;
            head.extend_from_slice(piece.get(..count)?);
            if count == 0 || head.len() > HEAD_LIMIT {
                return None;
            }
        }
        let path = if head.starts_with(b"GET /first ") {
            "/first"
        } else {
            "/second"
        };
        head.clear();
        log.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((number, path));
        if path == "/second" {
            stream.write_all(PLAIN).ok()?;
            continue;
        }
        stream.write_all(&case.answer).ok()?;
        if !case.late.is_empty() {
            std::thread::sleep(LATE);
            stream.write_all(case.late).ok()?;
        }
        if case.ends {
            return None;
        }
    }
}

fn cases() -> Vec<Case> {
    const OTHER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother";
    let whole = |what, text: &str| Case {
        what,
        answer: text.as_bytes().to_vec(),
        late: b"",
        ends: false,
    };
    let lines = |what, fields: &str| whole(what, &format!("HTTP/1.1 200 OK\r\n{fields}\r\nhello"));
    let chunks = |what, body: &str| {
        whole(
            what,
            &format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}"),
        )
    };
    let plain = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let other = String::from_utf8_lossy(OTHER);
    vec![
        whole(
            "version HTTP/1.2",
            "HTTP/1.2 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        ),
        whole(
            "status 099",
            "HTTP/1.1 099 OK\r\nContent-Length: 5\r\n\r\nhello",
        ),
        whole(
            "status 999",
            "HTTP/1.1 999 OK\r\nContent-Length: 5\r\n\r\nhello",
        ),
        whole(
            "lines that end in LF alone",
            "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
        ),
        lines("NUL in a value", "A: b\0c\r\nContent-Length: 5\r\n"),
        lines("bare CR in a value", "A: b\rc\r\nContent-Length: 5\r\n"),
        lines("folded line", "A: b\r\n c\r\nContent-Length: 5\r\n"),
        lines("space before the colon", "A : b\r\nContent-Length: 5\r\n"),
        lines(
            "Content-Length twice, equal",
            "Content-Length: 5\r\nContent-Length: 5\r\n",
        ),
        lines(
            "Content-Length twice, different",
            "Content-Length: 5\r\nContent-Length: 6\r\n",
        ),
        lines("Content-Length: 5, 5", "Content-Length: 5, 5\r\n"),
        lines("Content-Length: +5", "Content-Length: +5\r\n"),
        whole(
            "Content-Length beside Transfer-Encoding",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
        whole(
            "Transfer-Encoding: chunked twice",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
        whole(
            "Transfer-Encoding in HTTP/1.0",
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
        whole(
            "Content-Length in 204",
            "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
        ),
        chunks("chunk lines that end in LF alone", "5\nhello\n0\n\n"),
        chunks("chunk data longer than its size", "4\r\nhello\r\n0\r\n\r\n"),
        chunks(
            "chunk size with a space before it",
            " 5\r\nhello\r\n0\r\n\r\n",
        ),
        chunks("trailer without a colon", "5\r\nhello\r\n0\r\nA\r\n\r\n"),
        Case {
            ends: true,
            ..whole(
                "body shorter than its length",
                "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello",
            )
        },
        whole(
            "a second answer in the same write",
            &format!("{plain}{other}"),
        ),
        Case {
            late: OTHER,
            ..whole("a second answer 50 ms later", plain)
        },
        whole("five more bytes than its length", &format!("{plain}extra")),
    ]
}
