//! One function per parser. Each panics when its parser breaks a law.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a target tells what it found by panicking, and the campaign catches it"
)]

use std::net::{IpAddr, Ipv4Addr};

use mangrove_http::{
    Authority, BodyDecoder, BodyFault, BodyFraming, Decoded, Field, HeadLimits, HostPattern, Known,
    Method, OriginFault, Prefix, Refusal, RequestHead, RequestId, ResponseFraming, ResponseHead,
    TRAILER_BYTES, TraceParent, UnixMillis, Version, accept, cdn_loop, chunk_head, client_address,
    imf_fixdate, is_normal, normalize, parse_http_date, proxy_protocol, websocket,
    write_last_chunk,
};

use crate::cache;
use crate::mutate::Grammar;
use crate::plain::{self, Body, FieldLine, Reading};
use crate::shield;
use crate::store;

/// A parser under test.
#[derive(Debug)]
pub struct Target {
    /// Its name, also that of its corpus folder.
    pub name: &'static str,
    /// What it checks.
    pub about: &'static str,
    /// What its input looks like.
    pub grammar: Grammar,
    /// Panics when a law is broken.
    pub run: fn(&[u8]),
}

/// The target of that name.
pub fn named(name: &str) -> Option<&'static Target> {
    all().find(|target| target.name == name)
}

/// All of them.
pub fn all() -> impl Iterator<Item = &'static Target> {
    HTTP.iter().chain(&CACHE).chain(&STORE).chain(&SHIELD)
}

static CACHE: [Target; cache::TARGETS.len()] = cache::TARGETS;
static SHIELD: [Target; shield::TARGETS.len()] = shield::TARGETS;

static STORE: [Target; store::TARGETS.len()] = store::TARGETS;

static HTTP: &[Target] = &[
    Target {
        name: "request",
        about: "an HTTP/1 request head reads as the plain reading says, however it is split",
        grammar: REQUEST,
        run: request,
    },
    Target {
        name: "response",
        about: "an HTTP/1 response head reads as the plain reading says, however it is split",
        grammar: RESPONSE,
        run: response,
    },
    Target {
        name: "chunked",
        about: "a chunked body reads as the plain reading says, however it is split",
        grammar: CHUNKED,
        run: chunked,
    },
    Target {
        name: "conversation",
        about: "pipelined requests with bodies begin and end where the plain reading says",
        grammar: CONVERSATION,
        run: conversation,
    },
    Target {
        name: "h2-head",
        about: "an accepted HTTP/2 head is one that HTTP/1 could say too",
        grammar: H2_HEAD,
        run: h2_head,
    },
    Target {
        name: "path",
        about: "the normal form of a path is its own normal form",
        grammar: PATH,
        run: path,
    },
    Target {
        name: "authority",
        about: "hosts and patterns read as the plain reading says",
        grammar: AUTHORITY,
        run: authority,
    },
    Target {
        name: "client-address",
        about: "a client address is the peer or one that is written there",
        grammar: CLIENT_ADDRESS,
        run: client_fields,
    },
    Target {
        name: "proxy-protocol",
        about: "a header ends where it says, however it is split",
        grammar: PROXY,
        run: proxy,
    },
    Target {
        name: "websocket-frames",
        about: "frames are the same in whatever pieces they come",
        grammar: WEBSOCKET_FRAMES,
        run: websocket_frames,
    },
    Target {
        name: "cdn-loop",
        about: "our own name is found wherever it stands",
        grammar: CDN_LOOP,
        run: cdn_loops,
    },
    Target {
        name: "traceparent",
        about: "what is read prints as it was",
        grammar: TRACEPARENT,
        run: traceparent,
    },
    Target {
        name: "accept",
        about: "negotiation answers anything",
        grammar: ACCEPT,
        run: negotiation,
    },
    Target {
        name: "date",
        about: "a date that is read prints and reads again",
        grammar: DATE,
        run: date,
    },
];

const LINES: &[&str] = &[
    "Host: a\r\n",
    "Host: a:80\r\n",
    "host:b\r\n",
    "Host: [::1]:8080\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 0\r\n",
    "Content-Length: 5, 5\r\n",
    "content-length: +5\r\n",
    "Content-Length: 18446744073709551616\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer-Encoding:\tCHUNKED \r\n",
    "Connection: close\r\n",
    "Connection: keep-alive, X-A\r\n",
    "Connection: te, Host\r\n",
    "Connection: Transfer-Encoding\r\n",
    "Connection: upgrade\r\nUpgrade: websocket\r\n",
    "Expect: 100-continue\r\n",
    "Expect: 200\r\n",
    "X-A: b\r\n",
    "X-A : b\r\n",
    " folded\r\n",
    "X-B:\r\n",
    "X-C: \tb c\t \r\n",
    ": b\r\n",
    "TE: trailers\r\n",
    "X: \u{e9}\r\n",
    "Cookie: a=b\r\n",
    "X: \0\r\n",
    "X: a\rb\r\n",
    "X: a\n",
    "Upgrade: h2c\r\n",
    "A: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\n",
];

const REQUEST: Grammar = Grammar {
    first: &[
        "GET / HTTP/1.1\r\nHost: a\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n",
        "POST /a/b?c=d HTTP/1.1\r\nHost: a.example\r\n",
        "GET / HTTP/1.0\r\n",
        "GET http://a/ HTTP/1.1\r\n",
        "GET HTTPS://A:443?x HTTP/1.1\r\n",
        "GET http://a HTTP/1.0\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n",
        "OPTIONS http://a HTTP/1.1\r\nHost: a:80\r\n",
        "CONNECT a:443 HTTP/1.1\r\n",
        "\r\nGET / HTTP/1.1\r\nHost: a\r\n",
        "\r\n\r\nGET / HTTP/1.1\r\n",
        "GET /#f HTTP/1.1\r\n",
        "GET  / HTTP/1.1\r\n",
        "get /%41|[]{} HTTP/1.1\r\nHost: a\r\n",
        "GET / HTTP/2.0\r\n",
        "GET /\r\n",
        "GET / HTTP/1.1\n",
    ],
    then: LINES,
    last: &["\r\n", "\r\n", "\r\n", "\r\nrest", "", "\r", "\n"],
};

const RESPONSE: Grammar = Grammar {
    first: &[
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.0 200 OK\r\n",
        "HTTP/1.1 304 Not Modified\r\n",
        "HTTP/1.1 204 \r\n",
        "HTTP/1.1 100\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n",
        "HTTP/1.1 99 x\r\n",
        "HTTP/1.1 600 x\r\n",
        "HTTP/2 200\r\n",
        "HTTP/1.1 2000\r\n",
        "ICY 200 OK\r\n",
        "HTTP/1.1  200 OK\r\n",
    ],
    then: LINES,
    last: &["\r\n", "\r\n", "\r\n", "\r\nrest", "", "\r", "\n"],
};

const CHUNKS: &[&str] = &[
    "5\r\nhello\r\n",
    "1\r\na\r\n",
    "a;n=v\r\n0123456789\r\n",
    "5 ;x=\"y\"\r\nhello\r\n",
    "5;\r\nhello\r\n",
    "05\r\nhello\r\n",
    "5\r\nhell\r\n",
    "5 \r\nhello\r\n",
    "5\nhello\r\n",
    "0x5\r\nhello\r\n",
    "-5\r\n",
    "FFFFFFFFFFFFFFFF\r\n",
    "00000000000000001\r\n",
    "3\r\n\r\n0\r\n",
    "2;\t;\r\n\r\n\r\n",
];

const CHUNKED: Grammar = Grammar {
    first: CHUNKS,
    then: CHUNKS,
    last: &[
        "0\r\n\r\n",
        "0\r\n\r\nGET",
        "0\r\nX: y\r\n\r\n",
        "0\r\nX: y\r\nContent-Length: 5\r\n\r\n",
        "000;e\r\n\r\n",
        "0\r\nX\r\n\r\n",
        "0\r\n X: y\r\n\r\n",
        "0\r\n",
        "0\n\n",
        "",
    ],
};

const CONVERSATION: Grammar = Grammar {
    first: &["", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"],
    then: &[
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX",
        "POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc",
        "\r\n",
        "0\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n",
    ],
    last: &["GET / HTTP/1.1\r\nHost: a\r\n\r\n", ""],
};

// A line each; names that begin with a colon are pseudo-header fields.
const H2_HEAD: Grammar = Grammar {
    first: &[
        ":method\tGET\n:scheme\thttps\n:authority\ta\n:path\t/\n",
        ":method\tPOST\n:scheme\thttp\n:path\t/a?b\nhost\ta\n",
        ":method\tCONNECT\n:protocol\twebsocket\n:scheme\thttps\n:authority\ta\n:path\t/\n",
        ":method\tOPTIONS\n:scheme\thttp\n:authority\ta:80\n:path\t*\nhost\ta\n",
        ":method\tCONNECT\n:authority\ta:1\n",
    ],
    then: &[
        "cookie\ta=b\n",
        "cookie\tc=d\n",
        "content-length\t5\n",
        "content-length\t5, 5\n",
        "te\ttrailers\n",
        "te\tgzip\n",
        "connection\tclose\n",
        "transfer-encoding\tchunked\n",
        "Host\tb\n",
        "host\ta\n",
        "host\tb\n",
        "expect\t100-continue\n",
        "x\t y\n",
        "x\ty\n",
        ":path\t/b\n",
        ":unknown\tx\n",
        "END\t\n",
        "x\ty\rz\n",
        "\ty\n",
    ],
    last: &["", "END\t\n"],
};

const PATH: Grammar = Grammar {
    first: &["/", "/", "/", "*", ""],
    then: &[
        "a", "b/", "/", "//", ".", "..", "/.", "/..", "%2e", "%2E/", "%2f", "%41", "%7E", "%",
        "%4", "%zz", "%%3", "41", "%25", "\u{e9}", "\\", ";x",
    ],
    last: &["", "/", "..", "."],
};

const AUTHORITY: Grammar = Grammar {
    first: &[
        "a",
        "News.example",
        "127.0.0.1",
        "[::1]",
        "[2001:db8::1]",
        "*.a.example",
        "*",
        "[::ffff:1.2.3.4]",
        "a.",
        "",
    ],
    then: &[
        ".b", "-", "_", ".", "..", "@", "%41", ":", "\u{e9}", "[", "]",
    ],
    last: &[
        "", "", ":80", ":65535", ":65536", ":", ":+1", ":00080", ":1:2",
    ],
};

// The first line is X-Forwarded-For, the second Forwarded.
const CLIENT_ADDRESS: Grammar = Grammar {
    first: &[
        "",
        "198.51.100.7",
        "\nfor=198.51.100.7",
        "198.51.100.7\nfor=198.51.100.7",
    ],
    then: &[
        ", 10.1.2.3",
        ", [2001:db8::1]:443",
        ", unknown",
        ",, ",
        ", 10.1.2.3:80",
        ", ::ffff:10.0.0.1",
        "\n",
        "for=10.1.2.3",
        ", for=\"[2001:db8::1]:4\"",
        ";proto=https",
        ";for=1.2.3.4",
        ", for=_x",
        "\"",
        "\\",
        ", 10.1.2.3, 10.1.2.3, 10.1.2.3, 10.1.2.3, 10.1.2.3, 10.1.2.3, 10.1.2.3, 10.1.2.3, 10.1.2.3, 10.1.2.3, 10.1.2.3, 10.1.2.3",
    ],
    last: &["", ", 203.0.113.9"],
};

/// A head's second octet has its first bit set, as have those that begin a letter beyond ASCII.
const WEBSOCKET_FRAMES: Grammar = Grammar {
    first: &["\u{1}\u{80}abc", "\u{2}\u{7ff}abc", "\u{9}\u{400}abc", ""],
    then: &[
        "\u{0}\u{80}abc",
        "\u{1}\u{7ff}",
        "\0\0\0\0",
        "payload",
        "\u{0}",
    ],
    last: &["", "\u{0}\u{80}abc"],
};

const PROXY: Grammar = Grammar {
    first: &[
        "PROXY TCP4 192.0.2.1 10.0.0.1 56324 443\r\n",
        "PROXY TCP6 2001:db8::1 ::1 1 443\r\n",
        "PROXY UNKNOWN\r\n",
        "PROXY ",
        "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x01\x02\x03\x04\x01\x02\x03\x04\0\x50\x01\x01",
        "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
        "\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24",
    ],
    then: &[
        "TCP4 ",
        "1.2.3.4 ",
        "80 ",
        "\r\n",
        "\0",
        "\x01\x02\x03\x04",
        "UNKNOWN ",
        "x",
    ],
    last: &["", "GET / HTTP/1.1\r\n"],
};

const CDN_LOOP: Grammar = Grammar {
    first: &["mangrove", "other.example:443", "a; v=\"1,2\"", ""],
    then: &[
        ", ",
        ",",
        ";",
        "mangrove",
        "x",
        "=",
        "\"",
        "\\\"",
        "; hop=1",
        ", Mangrove",
        "[::1]:80",
        " ",
        "a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a",
    ],
    last: &["", ", mangrove"],
};

const TRACEPARENT: Grammar = Grammar {
    first: &[
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "ff-0",
        "7zzzzzzzzzzzzzzzzzzzzzzzzz",
    ],
    then: &["-", "0", "f", "-more", ""],
    last: &[""],
};

const ACCEPT: Grammar = Grammar {
    first: &["text/html", "*/*", "application/json", "bn-BD", "en", ""],
    then: &[
        ",",
        ", ",
        ";q=0.5",
        "; Q = 1.000",
        ";q=1.1",
        ";level=\"a,b\"",
        "text/plain",
        "text/*",
        "bn",
        "*",
        "application/problem+json",
        "\"",
        "-",
    ],
    last: &["", ";q=0"],
};

const DATE: Grammar = Grammar {
    first: &[
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:60 GMT",
        "",
    ],
    then: &["", "", "0", " ", "GMT", ", ", "29 Feb 2100", "Sunday, "],
    last: &[""],
};

fn fed_request(
    pieces: &mut dyn Iterator<Item = &[u8]>,
) -> (RequestHead, Result<Option<usize>, Refusal>) {
    let mut head = RequestHead::new();
    let mut verdict = head.parse_h1(&HeadLimits::default());
    for piece in pieces {
        head.octets_mut().extend_from_slice(piece);
        verdict = head.parse_h1(&HeadLimits::default());
    }
    (head, verdict)
}

fn request(input: &[u8]) {
    let (head, verdict) = fed_request(&mut std::iter::once(input));
    assert_eq!(fed_request(&mut input.chunks(1)).1, verdict, "byte by byte");
    assert_eq!(fed_request(&mut input.chunks(7)).1, verdict, "in sevens");
    same_request(&head, verdict, &plain::request(input));
}

fn same_request(
    head: &RequestHead,
    verdict: Result<Option<usize>, Refusal>,
    plain: &Reading<plain::Request>,
) {
    match (verdict, plain) {
        (Ok(None), Reading::Incomplete) | (Err(_), Reading::Refused(_)) => {}
        (Ok(Some(length)), Reading::Whole(plain, plain_length)) => {
            assert_eq!(length, *plain_length);
            assert_eq!(
                (head.method_bytes(), head.target()),
                (&plain.method[..], &plain.target[..])
            );
            assert_eq!(head.authority(), plain.authority);
            assert_eq!(
                head.version(),
                if plain.minor == 1 {
                    Version::Http11
                } else {
                    Version::Http10
                }
            );
            assert_eq!(fields(head.fields()), plain.fields);
            assert_eq!(head.persistent(), plain.persistent);
            let body = match head.framing() {
                BodyFraming::None => Body::None,
                BodyFraming::Length(length) => Body::Length(length),
                BodyFraming::Chunked => Body::Chunked,
            };
            assert_eq!(body, plain.body);
            assert_eq!(head.host().is_empty(), plain.authority.is_empty());
            let _ = (
                websocket::check_request(head),
                head.wants_trailers(),
                head.query(),
            );
        }
        (ours, plain) => panic!("ours {ours:?}, plain {plain:?}"),
    }
}

fn fields<'a>(fields: impl Iterator<Item = Field<'a>>) -> Vec<FieldLine> {
    fields
        .map(|field| (field.name.to_vec(), field.value.to_vec(), field.hop_by_hop))
        .collect()
}

fn fed_response(
    pieces: &mut dyn Iterator<Item = &[u8]>,
    method: Method,
) -> (ResponseHead, Result<Option<usize>, OriginFault>) {
    let mut head = ResponseHead::new();
    let mut verdict = Ok(None);
    for piece in pieces {
        head.octets_mut().extend_from_slice(piece);
        verdict = head.parse_h1(&HeadLimits::default(), method);
    }
    (head, verdict)
}

fn response(input: &[u8]) {
    for (method, name) in [(Method::Get, &b"GET"[..]), (Method::Head, b"HEAD")] {
        let (head, verdict) = fed_response(&mut std::iter::once(input), method);
        if !input.is_empty() {
            assert_eq!(
                fed_response(&mut input.chunks(1), method).1,
                verdict,
                "byte by byte"
            );
        }
        match (verdict, plain::response(input, name)) {
            (Ok(None), Reading::Incomplete) | (Err(_), Reading::Refused(_)) => {}
            (Ok(Some(length)), Reading::Whole(plain, plain_length)) => {
                assert_eq!(length, plain_length);
                assert_eq!(head.status(), plain.status);
                assert_eq!(
                    head.version(),
                    if plain.minor == 1 {
                        Version::Http11
                    } else {
                        Version::Http10
                    }
                );
                assert_eq!(fields(head.fields()), plain.fields);
                assert_eq!(head.persistent(), plain.persistent);
                let body = match head.framing() {
                    ResponseFraming::None => Body::None,
                    ResponseFraming::Length(length) => Body::Length(length),
                    ResponseFraming::Chunked => Body::Chunked,
                    ResponseFraming::UntilClose => Body::UntilClose,
                };
                assert_eq!(body, plain.body);
            }
            (ours, plain) => panic!("ours {ours:?}, plain {plain:?}"),
        }
    }
}

/// Data, bytes consumed, and whether the body ended.
type DecodedBody = Result<(Vec<u8>, usize, bool), BodyFault>;

fn fed_body(decoder: &mut BodyDecoder, input: &[u8], step: usize) -> DecodedBody {
    let (mut data, mut consumed, mut available) = (Vec::new(), 0, 0);
    loop {
        let unread = &input[consumed..available];
        match decoder.decode(unread)? {
            Decoded::End { consumed: more } => return Ok((data, consumed + more, true)),
            Decoded::Data { range } => {
                assert!(!range.is_empty());
                data.extend_from_slice(&unread[range.clone()]);
                consumed += range.end;
            }
            Decoded::NeedMore { consumed: more } => {
                assert_eq!(more, unread.len(), "all of the framing is read");
                consumed += more;
                if available == input.len() {
                    return Ok((data, consumed, decoder.at_end()));
                }
                available = (available + step).min(input.len());
            }
        }
    }
}

fn chunked(input: &[u8]) {
    let mut decoder = BodyDecoder::for_request(BodyFraming::Chunked);
    let ours = fed_body(&mut decoder, input, usize::MAX / 2);
    for step in [1, 3] {
        assert_eq!(
            fed_body(
                &mut BodyDecoder::for_response(ResponseFraming::Chunked),
                input,
                step
            ),
            ours,
            "in steps of {step}"
        );
    }
    match (&ours, plain::chunked(input)) {
        (Err(_), Reading::Refused(_)) => {}
        (Ok((_, consumed, false)), Reading::Incomplete) => {
            assert_eq!(*consumed, input.len());
            assert_eq!(decoder.on_eof(), Err(BodyFault::EndedEarly));
        }
        (Ok((data, consumed, true)), Reading::Whole(plain, plain_consumed)) => {
            assert_eq!((data, *consumed), (&plain.data, plain_consumed));
            let trailers: Vec<_> = decoder
                .trailers()
                .fields()
                .map(|field| (field.name.to_vec(), field.value.to_vec()))
                .collect();
            assert_eq!(trailers, plain.trailers);
            reencoded(data, &decoder);
        }
        (ours, plain) => panic!("ours {ours:?}, plain {plain:?}"),
    }
}

/// What we write, the plain reading reads.
fn reencoded(data: &[u8], decoder: &BodyDecoder) {
    let mut out = Vec::new();
    if !data.is_empty() {
        out.extend_from_slice(chunk_head(data.len(), &mut [0; 18]));
        out.extend_from_slice(data);
        out.extend_from_slice(b"\r\n");
    }
    let start = out.len();
    write_last_chunk(decoder.trailers().fields(), &mut out);
    // `A:b` is written as `A: b`: what just fits as it came may be too much as it is written.
    if out.len() - start > TRAILER_BYTES {
        return;
    }
    let Reading::Whole(again, length) = plain::chunked(&out) else {
        panic!("not a body: {}", out.escape_ascii())
    };
    assert_eq!((again.data.as_slice(), length), (data, out.len()));
    assert_eq!(again.trailers.len(), decoder.trailers().fields().count());
}

fn conversation(input: &[u8]) {
    let mut head = RequestHead::new();
    head.octets_mut().extend_from_slice(input);
    let mut rest = input;
    loop {
        assert_eq!(head.octets(), rest);
        let verdict = head.parse_h1(&HeadLimits::default());
        let plain = plain::request(rest);
        same_request(&head, verdict, &plain);
        let Reading::Whole(plain, length) = plain else {
            return;
        };
        let body = &rest[length..];
        let ours = fed_body(&mut BodyDecoder::for_request(head.framing()), body, 5);
        let plain_body = match plain.body {
            Body::Chunked => plain::chunked(body),
            Body::Length(wanted) => match usize::try_from(wanted) {
                Ok(wanted) if wanted <= body.len() => Reading::Whole(
                    plain::Chunked {
                        data: body[..wanted].to_vec(),
                        trailers: Vec::new(),
                    },
                    wanted,
                ),
                _ => Reading::Incomplete,
            },
            Body::None | Body::UntilClose => Reading::Whole(plain::Chunked::default(), 0),
        };
        match (ours, plain_body) {
            (Ok((data, consumed, true)), Reading::Whole(plain, plain_consumed)) => {
                assert_eq!((data, consumed), (plain.data, plain_consumed));
                rest = &body[consumed..];
                head.start_next(length + consumed);
            }
            (Ok((_, _, false)), Reading::Incomplete) | (Err(_), Reading::Refused(_)) => return,
            (ours, plain) => panic!("ours {ours:?}, plain {plain:?}"),
        }
    }
}

fn h2_head(input: &[u8]) {
    let mut head = RequestHead::new();
    head.begin_h2();
    let mut end_stream = false;
    for line in input.split(|&b| b == b'\n') {
        let (name, value) =
            line.split_at(line.iter().position(|&b| b == b'\t').unwrap_or(line.len()));
        let value = value.get(1..).unwrap_or_default();
        match name {
            b":method" => head.h2_method(value),
            b":scheme" => head.h2_scheme(value),
            b":authority" => head.h2_authority(value),
            b":path" => head.h2_path(value),
            b":protocol" => head.h2_protocol(value),
            b"END" => {
                end_stream = true;
                head.h2_end_stream();
            }
            b"" if value.is_empty() => {}
            name => head.push_field(name, value),
        }
    }
    if head.finish_h2(&HeadLimits::default()).is_err() {
        return;
    }
    assert!(head.count(Known::Cookie) <= 1);
    let _ = websocket::check_request(&head);
    if head.method() == Method::Connect {
        return;
    }
    // Said in HTTP/1, both readers take it for the same.
    let mut text = [
        head.method_bytes(),
        b" ",
        head.target(),
        b" HTTP/1.1\r\nHost: ",
        head.authority(),
        b"\r\n",
    ]
    .concat();
    for field in head.fields().filter(|field| field.known != Known::Host) {
        text.extend_from_slice(&[field.name, b": ", field.value, b"\r\n"].concat());
    }
    text.extend_from_slice(b"\r\n");
    let Reading::Whole(plain, _) = plain::request(&text) else {
        panic!("HTTP/1 cannot say {}", text.escape_ascii())
    };
    assert_eq!(
        (plain.target.as_slice(), plain.authority.as_slice()),
        (head.target(), head.authority())
    );
    match head.framing() {
        BodyFraming::Length(length) => assert_eq!(plain.body, Body::Length(length)),
        BodyFraming::None => assert!(end_stream),
        BodyFraming::Chunked => assert!(!end_stream),
    }
}

fn path(input: &[u8]) {
    let mut once = b"x".to_vec();
    normalize(input, &mut once);
    let once = once.strip_prefix(b"x").expect("what was there stays");
    let mut twice = Vec::new();
    normalize(once, &mut twice);
    assert_eq!(twice, once);
    assert!(is_normal(once));
    assert_eq!(is_normal(input), once == input);
    assert!(once.len() <= input.len());
    if input.starts_with(b"/") {
        assert!(once.starts_with(b"/"));
        assert!(
            !once
                .split(|&b| b == b'/')
                .any(|segment| segment == b"." || segment == b"..")
        );
    }
}

fn authority(input: &[u8]) {
    match (Authority::parse(input), plain::host_and_port(input)) {
        (None, Err(_)) => {}
        (Some(ours), Ok((host, port))) => {
            assert_eq!(
                (ours.host.to_ascii_lowercase(), ours.port),
                (host.into_bytes(), port)
            );
            assert!(ours.agrees_with(&ours, Some(80)));
        }
        (ours, plain) => panic!("ours {ours:?}, plain {plain:?}"),
    }
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    if let Some(HostPattern::Exact(name)) = HostPattern::parse(text) {
        assert!(HostPattern::Exact(name).matches(input));
    } else if let Some(pattern @ HostPattern::Under(_)) = HostPattern::parse(text) {
        assert!(pattern.matches(text.replacen('*', "www", 1).as_bytes()));
    }
    if let Ok(prefix) = Prefix::parse(text) {
        assert_eq!(Prefix::parse(&prefix.to_string()), Ok(prefix));
    }
}

fn client_fields(input: &[u8]) {
    let mut head = RequestHead::new();
    head.begin_h2();
    for (line, name) in input.split(|&b| b == b'\n').zip([
        &b"x-forwarded-for"[..],
        b"forwarded",
        b"x-forwarded-for",
        b"forwarded",
    ]) {
        head.push_field(name, line.trim_ascii());
    }
    let peer = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    assert_eq!(
        client_address(&head, peer, |_| false),
        peer,
        "nobody is believed"
    );
    let trusted = |address: IpAddr| matches!(address, IpAddr::V4(v4) if v4.octets()[0] == 10);
    let client = client_address(&head, peer, trusted);
    assert_eq!(client, client.to_canonical());
    if let IpAddr::V4(v4) = client
        && client != peer
    {
        // IPv4 can be written in one way only; in IPv6 clothes its last part may be in hexadecimal.
        let text = String::from_utf8_lossy(input);
        assert!(
            text.contains(&v4.to_string()) || text.contains("::"),
            "{client} is nowhere"
        );
    }
}

fn proxy(input: &[u8]) {
    let verdict = proxy_protocol::parse(input);
    if let Ok(Some(header)) = verdict {
        assert!(header.length <= input.len() && header.length <= proxy_protocol::V2_BYTES);
        assert_eq!(
            proxy_protocol::parse(&input[..header.length]),
            verdict,
            "nothing after it matters"
        );
        for end in 0..header.length {
            assert_eq!(proxy_protocol::parse(&input[..end]), Ok(None), "at {end}");
        }
    }
    if verdict.is_err() {
        assert_eq!(
            proxy_protocol::parse(&[input, b"more"].concat()),
            verdict,
            "a refusal is certain"
        );
    }
}

fn websocket_frames(input: &[u8]) {
    let reader = || websocket::frames::ClientFrames::new(100_000);
    let whole = reader().read(input);
    let mut pieces = reader();
    let mut begun = Ok(0);
    for byte in input {
        begun = begun.and_then(|n| Ok(n + pieces.read(std::slice::from_ref(byte))?));
    }
    assert_eq!(begun, whole);
}

fn cdn_loops(input: &[u8]) {
    let lines = || input.split(|&b| b == b'\n');
    let passes = cdn_loop::passes(lines(), "mangrove");
    if let Ok(passes) = passes {
        let after = cdn_loop::passes(lines().chain([&b"Mangrove;hop=1"[..]]), "mangrove");
        assert!(
            matches!(after, Ok(count) if count == passes + 1)
                || after == Err(Refusal::LoopDetected)
        );
        assert!(passes <= input.len() / 8);
    }
}

fn traceparent(input: &[u8]) {
    if let Some(parent) = TraceParent::parse(input) {
        let printed = parent.render();
        assert_eq!(&printed[2..], &input[2..TraceParent::LENGTH]);
        assert_eq!(TraceParent::parse(&printed), Some(parent));
        let child = parent.child(7);
        assert_eq!((child.trace_id, child.parent_id), (parent.trace_id, 7));
    }
    if let Some(id) = RequestId::parse(input) {
        assert_eq!(id.render().as_slice(), input.to_ascii_lowercase());
    }
}

fn negotiation(input: &[u8]) {
    let mut head = RequestHead::new();
    head.begin_h2();
    head.push_field(b"accept", input.trim_ascii());
    head.push_field(b"accept-language", input.trim_ascii());
    let _ = (
        accept::preferred_form(&head),
        accept::preferred_language(&head),
    );
}

fn date(input: &[u8]) {
    let now = UnixMillis(1_763_424_000_000);
    if let Some(secs) = parse_http_date(input, now) {
        assert_eq!(parse_http_date(&imf_fixdate(secs), now), Some(secs));
    }
}
