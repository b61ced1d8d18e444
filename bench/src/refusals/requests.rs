//! Malformed requests, one for each reason that HTTP/1 syntax gives, and what came back.

use std::net::SocketAddr;

use anyhow::Result;

use super::{Reaction, send};

/// A request that has to be refused.
struct Case {
    what: &'static str,
    bytes: Vec<u8>,
    /// Whether the client ends its side after it.
    ends: bool,
}

/// Sends every case to both doors: the lines of the table, and how many of them Mangrove did not refuse by name.
pub(super) fn ask(mangrove: SocketAddr, hyper: SocketAddr) -> Result<(Vec<Vec<String>>, usize)> {
    let mut lines = vec![
        ["request", "Mangrove", "hyper's server"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let mut passed = 0;
    for case in cases() {
        let own = send(mangrove, &case.bytes, case.ends)?;
        let other = send(hyper, &case.bytes, case.ends)?;
        let refused =
            own.reason().is_some() && own.statuses().iter().all(|status| *status >= "400");
        passed += usize::from(!refused);
        lines.push(vec![case.what.to_owned(), words(&own), words(&other)]);
    }
    Ok((lines, passed))
}

fn words(reaction: &Reaction) -> String {
    let end = if reaction.closed {
        "closes"
    } else {
        "stays open"
    };
    let statuses = reaction.statuses();
    match (statuses.as_slice(), reaction.reason()) {
        ([], _) if reaction.closed => "closes, no answer".to_owned(),
        ([], _) => "waits".to_owned(),
        (_, Some(reason)) => format!("{} `{reason}`, {end}", statuses.join(" + ")),
        ([one], None) if *one < "400" => format!("**accepts**: {one}, {end}"),
        (_, None) if statuses.iter().any(|status| *status < "400") => {
            format!("**accepts**: {}, {end}", statuses.join(" + "))
        }
        (_, None) => format!("{}, {end}", statuses.join(" + ")),
    }
}

fn cases() -> Vec<Case> {
    let long = "b".repeat(33 * 1024);
    let many = "A: b\r\n".repeat(101);
    let nearly = "GET / HTTP/1.1\r\nHost: a.test\r\n";
    let whole = |what, text: &str| Case {
        what,
        bytes: text.as_bytes().to_vec(),
        ends: false,
    };
    let lines = |what, lines: &str| whole(what, &format!("{nearly}{lines}\r\n"));
    let line = |what, line: &str| whole(what, &format!("{line}\r\nHost: a.test\r\n\r\n"));
    let chunks = |what, body: &str| {
        whole(
            what,
            &format!("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n{body}"),
        )
    };
    let post = |what, fields: &str| {
        whole(
            what,
            &format!("POST / HTTP/1.1\r\nHost: a.test\r\n{fields}\r\nhello"),
        )
    };
    vec![
        line("two spaces in the request line", "GET  / HTTP/1.1"),
        line(
            "a method of 40 letters",
            &format!("{} / HTTP/1.1", "M".repeat(40)),
        ),
        line("CONNECT", "CONNECT a.test:443 HTTP/1.1"),
        line("target without a slash", "GET a HTTP/1.1"),
        line("fragment in the target", "GET /#top HTTP/1.1"),
        line(
            "target of 17 KiB",
            &format!("GET /{} HTTP/1.1", "a".repeat(17 * 1024)),
        ),
        line("HTTP/1.2", "GET / HTTP/1.2"),
        line("URL and Host disagree", "GET http://b.test/ HTTP/1.1"),
        lines("bare CR in a value", "A: b\rc\r\n"),
        whole(
            "lines that end in LF alone",
            "GET / HTTP/1.1\nHost: a.test\n\n",
        ),
        lines("NUL in a value", "A: b\0c\r\n"),
        lines("DEL in a value", "A: b\x7fc\r\n"),
        lines("folded line", "A: b\r\n c\r\n"),
        lines("space before the colon", "A : b\r\n"),
        lines("no name before the colon", ": b\r\n"),
        lines("line without a colon", "A\r\n"),
        lines("a field of 33 KiB", &format!("A: {long}\r\n")),
        lines("101 more fields", &many),
        whole("no Host", "GET / HTTP/1.1\r\nA: b\r\n\r\n"),
        lines("two Host fields", "Host: b.test\r\n"),
        whole("malformed Host", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
        whole(
            "Content-Length beside Transfer-Encoding, a second request inside",
            "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 43\r\nTransfer-Encoding: chunked\r\n\r\n\
             0\r\n\r\nGET /inside HTTP/1.1\r\nHost: a.test\r\n\r\n",
        ),
        post(
            "Content-Length twice, equal",
            "Content-Length: 5\r\nContent-Length: 5\r\n",
        ),
        post("Content-Length: 5, 5", "Content-Length: 5, 5\r\n"),
        post("Content-Length: +5", "Content-Length: +5\r\n"),
        whole(
            "Transfer-Encoding: gzip, chunked",
            "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        ),
        whole(
            "Transfer-Encoding: chunked twice",
            "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        whole(
            "Transfer-Encoding in HTTP/1.0",
            "POST / HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        chunks("chunk size that is no number", "x\r\n"),
        chunks("chunk size with a space before it", " 1\r\na\r\n0\r\n\r\n"),
        chunks(
            "chunk size of 17 digits",
            "00000000000000001\r\na\r\n0\r\n\r\n",
        ),
        chunks(
            "chunk extension of 300 bytes",
            &format!("1;{}\r\na\r\n0\r\n\r\n", "e".repeat(300)),
        ),
        chunks("chunk data longer than its size", "1\r\nab\r\n0\r\n\r\n"),
        chunks("chunk lines that end in LF alone", "1\na\n0\n\n"),
        chunks("trailer without a colon", "0\r\nA\r\n\r\n"),
        chunks(
            "65 KiB of trailers",
            &format!("0\r\nA: {}\r\n\r\n", "b".repeat(65 * 1024)),
        ),
        Case {
            ends: true,
            ..post("body shorter than its length", "Content-Length: 50\r\n")
        },
        lines(
            "Connection lists Content-Length",
            "Connection: close, Content-Length\r\n",
        ),
        lines(
            "Connection that is no list of tokens",
            "Connection: a b\r\n",
        ),
        lines("Expect: something else", "Expect: 200-maybe\r\n"),
        lines(
            "Upgrade: websocket without a key",
            "Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\n",
        ),
    ]
}
