//! Every reason to refuse a request has an example here, or the edge finds it and it is listed as such.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // helpers of tests

use std::collections::BTreeSet;

use mangrove_http::{
    BodyDecoder, CHUNK_EXTENSION_BYTES, CHUNK_EXTENSIONS_TOTAL, Decoded, HeadLimits, METHOD_BYTES,
    Refusal, RequestHead, TRAILER_BYTES, TRAILER_FIELDS, cdn_loop, proxy_protocol, websocket,
};

/// Reasons that need a deadline, a setting or a route: only the edge can find them.
const FOUND_BY_THE_EDGE: [Refusal; 7] = [
    Refusal::MisdirectedRequest,
    Refusal::BodyTooLarge,
    Refusal::UpgradeNotAllowed,
    Refusal::MethodNotAllowed,
    Refusal::PurgeNotAllowed,
    Refusal::HeadTimeout,
    Refusal::BodyTimeout,
];

const LIMITS: HeadLimits = HeadLimits {
    head_bytes: 32 * 1024,
    fields: 100,
    target_bytes: 8 * 1024,
};

fn h1(text: &[u8]) -> Result<RequestHead, Refusal> {
    let mut head = RequestHead::new();
    head.octets_mut().extend_from_slice(text);
    let whole = head.parse_h1(&LIMITS)?;
    assert!(whole.is_some(), "not whole: {}", text.escape_ascii());
    Ok(head)
}

/// The verdict on a request with these lines after `GET / HTTP/1.1` and Host.
fn lines(lines: &str) -> Result<RequestHead, Refusal> {
    h1(format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n").as_bytes())
}

fn chunked(body: &[u8]) -> Result<(), Refusal> {
    let head = lines("Transfer-Encoding: chunked\r\n")?;
    let mut decoder = BodyDecoder::for_request(head.framing());
    let mut rest = body;
    loop {
        match decoder.decode(rest)? {
            Decoded::End { .. } => return Ok(()),
            Decoded::Data { range } => rest = &rest[range.end..],
            Decoded::NeedMore { .. } => return Ok(decoder.on_eof()?),
        }
    }
}

/// The verdict on an HTTP/2 request; names that begin with a colon are pseudo-header fields.
fn h2(fields: &[(&str, &str)]) -> Result<RequestHead, Refusal> {
    let mut head = RequestHead::new();
    head.begin_h2();
    for (name, value) in fields {
        match *name {
            ":method" => head.h2_method(value.as_bytes()),
            ":scheme" => head.h2_scheme(value.as_bytes()),
            ":authority" => head.h2_authority(value.as_bytes()),
            ":path" => head.h2_path(value.as_bytes()),
            ":protocol" => head.h2_protocol(value.as_bytes()),
            "END_STREAM" => head.h2_end_stream(),
            name => head.push_field(name.as_bytes(), value.as_bytes()),
        }
    }
    head.finish_h2(&LIMITS)?;
    Ok(head)
}

const PSEUDO: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "https"),
    (":authority", "a"),
    (":path", "/"),
];

fn h2_and(field: (&str, &str)) -> Result<RequestHead, Refusal> {
    h2(&[&PSEUDO[..], &[field]].concat())
}

fn h2_with(name: &str, value: &str) -> Result<RequestHead, Refusal> {
    h2(&PSEUDO.map(|pseudo| {
        if pseudo.0 == name {
            (name, value)
        } else {
            pseudo
        }
    }))
}

#[test]
fn every_refusal_has_an_example() {
    let mut seen: BTreeSet<Refusal> = FOUND_BY_THE_EDGE.into();
    let mut refuses = |expected: Refusal, result: Result<RequestHead, Refusal>| {
        assert_eq!(result.err(), Some(expected));
        seen.insert(expected);
    };

    for line in [
        "GET /",
        "GET / HTTP/1.1 ",
        "GET  / HTTP/1.1",
        " GET / HTTP/1.1",
        "GET / http/1.1",
        "G(T / HTTP/1.1",
        "GET / HTTP/11",
        "GET /\tHTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET / HTTP/1.1x",
        "\r\n",
    ] {
        refuses(
            Refusal::MalformedRequestLine,
            h1(format!("{line}\r\nHost: a\r\n\r\n").as_bytes()),
        );
    }
    refuses(
        Refusal::MalformedRequestLine,
        h1(b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    );
    refuses(
        Refusal::MethodTooLong,
        h1(format!(
            "{} / HTTP/1.1\r\nHost: a\r\n\r\n",
            "M".repeat(METHOD_BYTES + 1)
        )
        .as_bytes()),
    );
    refuses(
        Refusal::ConnectRefused,
        h1(b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"),
    );
    for target in [
        "a",
        "*",
        "http:/a",
        "ftp://a/",
        "http://a?b",
        "http://u@a/",
        "http:///",
        "/\u{e9}",
        "//a:b@c\u{80}",
    ] {
        refuses(
            Refusal::MalformedTarget,
            h1(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()),
        );
    }
    refuses(
        Refusal::FragmentInTarget,
        h1(b"GET /#top HTTP/1.1\r\nHost: a\r\n\r\n"),
    );
    for version in ["2.0", "0.9", "1.2", "3.0"] {
        refuses(
            Refusal::UnknownVersion,
            h1(format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n").as_bytes()),
        );
    }
    for host in ["b", "a:81", "a."] {
        refuses(
            Refusal::AbsoluteFormDisagrees,
            h1(format!("GET http://a/ HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()),
        );
    }

    for text in [
        "GET /\r/ HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nA: b\rc\r\n",
        "GET / HTTP/1.1\r\r\n",
        "GET / HTTP/1.1\r\nA: b\r\r\n",
    ] {
        refuses(Refusal::BareCr, h1(text.as_bytes()));
    }
    for text in [
        "\nGET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
    ] {
        refuses(Refusal::BareLf, h1(text.as_bytes()));
    }
    refuses(Refusal::NulInHead, lines("A: b\0c\r\n"));
    refuses(Refusal::ControlInHead, lines("A: b\x7fc\r\n"));
    refuses(Refusal::ControlInHead, h1(b"\x16\x03\x01\x02"));
    refuses(Refusal::FoldedField, lines("A: b\r\n c\r\n"));
    refuses(
        Refusal::FoldedField,
        h1(b"GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    );
    refuses(Refusal::SpaceBeforeColon, lines("A : b\r\n"));
    refuses(Refusal::SpaceBeforeColon, lines("A\t: b\r\n"));
    refuses(Refusal::EmptyFieldName, lines(": b\r\n"));
    for line in ["A", "A b: c", "A(: b", "\u{e9}: b"] {
        refuses(Refusal::MalformedFieldName, lines(&format!("{line}\r\n")));
    }

    refuses(Refusal::AbsentHost, h1(b"GET / HTTP/1.1\r\n\r\n"));
    refuses(Refusal::AbsentHost, h1(b"GET http://a/ HTTP/1.1\r\n\r\n"));
    refuses(Refusal::RepeatedHost, lines("Host: a\r\n"));
    refuses(
        Refusal::RepeatedHost,
        h1(b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"),
    );
    for host in ["", "a b", "a/", "u@a", "a:", "a, b", "[::1"] {
        refuses(
            Refusal::MalformedHost,
            h1(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()),
        );
    }

    refuses(
        Refusal::ContentLengthBesideTransferEncoding,
        lines("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
    );
    refuses(
        Refusal::ContentLengthBesideTransferEncoding,
        lines("Transfer-Encoding: x\r\nContent-Length: \r\n"),
    );
    refuses(
        Refusal::RepeatedContentLength,
        lines("Content-Length: 5\r\ncontent-length: 5\r\n"),
    );
    refuses(
        Refusal::ListedContentLength,
        lines("Content-Length: 5, 5\r\n"),
    );
    for length in [
        "",
        "+5",
        "-1",
        "0x5",
        "5 5",
        "5.",
        "18446744073709551616",
        "000000000000000000005",
        "\u{665}",
    ] {
        refuses(
            Refusal::MalformedContentLength,
            lines(&format!("Content-Length: {length}\r\n")),
        );
    }
    for coding in [
        "",
        "gzip",
        "gzip, chunked",
        "chunked, chunked",
        "chunked;q=1",
        "x-chunked",
        "identity",
        "\"chunked\"",
    ] {
        refuses(
            Refusal::TransferEncodingNotChunked,
            lines(&format!("Transfer-Encoding: {coding}\r\n")),
        );
    }
    refuses(
        Refusal::RepeatedTransferEncoding,
        lines("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
    );
    refuses(
        Refusal::TransferEncodingInHttp10,
        h1(b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"),
    );

    for name in [
        "Host",
        "content-length",
        "Transfer-Encoding",
        "cookie",
        "X-Forwarded-For",
    ] {
        refuses(
            Refusal::ConnectionNominatesProtectedField,
            lines(&format!("Connection: close, {name}\r\n")),
        );
    }
    refuses(Refusal::MalformedConnection, lines("Connection: a b\r\n"));
    refuses(
        Refusal::MalformedConnection,
        lines(&format!("Connection: {}\r\n", "a,".repeat(33))),
    );
    assert!(lines(&format!("Connection: {}\r\n", "a,".repeat(32))).is_ok());
    refuses(Refusal::ExpectationFailed, lines("Expect: 200-maybe\r\n"));
    refuses(
        Refusal::ExpectationFailed,
        lines("Expect: 100-continue\r\nExpect: x\r\n"),
    );

    refuses(Refusal::MissingPseudoField, h2(&PSEUDO[1..]));
    refuses(Refusal::MissingPseudoField, h2(&PSEUDO[..3]));
    refuses(Refusal::RepeatedPseudoField, h2_and((":path", "/")));
    refuses(
        Refusal::MisorderedPseudoField,
        h2(&[PSEUDO[0], PSEUDO[1], PSEUDO[2], ("a", "b"), PSEUDO[3]]),
    );
    refuses(Refusal::UnknownPseudoField, h2_and((":status", "200")));
    refuses(Refusal::MalformedMethod, h2_with(":method", "G T"));
    refuses(Refusal::ConnectRefused, h2_with(":method", "CONNECT"));
    refuses(Refusal::MalformedScheme, h2_with(":scheme", "ftp"));
    for path in ["", "a", "*", "/\u{e9}", "/a b"] {
        refuses(Refusal::MalformedPath, h2_with(":path", path));
    }
    refuses(Refusal::FragmentInTarget, h2_with(":path", "/#a"));
    refuses(Refusal::NulInHead, h2_with(":path", "/\0"));
    refuses(Refusal::MalformedAuthority, h2_with(":authority", "u@a"));
    refuses(Refusal::MalformedAuthority, h2_with(":authority", ""));
    refuses(Refusal::AuthorityDisagrees, h2_and(("host", "b")));
    assert!(h2_and(("host", "A:443")).is_ok());
    refuses(Refusal::AbsentHost, h2(&[PSEUDO[0], PSEUDO[1], PSEUDO[3]]));
    refuses(
        Refusal::ProtocolWithoutConnect,
        h2_and((":protocol", "websocket")),
    );
    refuses(Refusal::UppercaseFieldName, h2_and(("Accept", "a")));
    refuses(Refusal::SpaceAroundValue, h2_and(("a", " b")));
    refuses(Refusal::SpaceAroundValue, h2_and(("a", "b\t")));
    for name in [
        "connection",
        "keep-alive",
        "proxy-connection",
        "transfer-encoding",
        "upgrade",
    ] {
        refuses(Refusal::ConnectionSpecificField, h2_and((name, "a")));
    }
    refuses(
        Refusal::TeOtherThanTrailers,
        h2_and(("te", "trailers, deflate")),
    );
    refuses(
        Refusal::ListedContentLength,
        h2_and(("content-length", "5, 5")),
    );
    refuses(
        Refusal::ContentLengthDisagrees,
        h2(&[&PSEUDO[..], &[("content-length", "5"), ("END_STREAM", "")]].concat()),
    );

    let mut body_refuses = |expected: Refusal, body: &str| {
        assert_eq!(
            chunked(body.as_bytes()),
            Err(expected),
            "{}",
            body.escape_debug()
        );
        seen.insert(expected);
    };
    for body in [
        "x", "\r\n", "-1\r\n", "+1\r\n", "0x1\r\n", " 1\r\n", "1 \r\n", "1 x\r\n", "1\rx",
        "1;\x01", "1;a\rb", ";a\r\n",
    ] {
        body_refuses(Refusal::MalformedChunkSize, body);
    }
    body_refuses(Refusal::ChunkSizeTooLarge, "00000000000000001");
    let long = "x".repeat(CHUNK_EXTENSION_BYTES as usize - 1);
    body_refuses(Refusal::ChunkExtensionTooLong, &format!("1;{long}x\r\n"));
    let once = format!("1;{long}\r\na\r\n");
    let times = CHUNK_EXTENSIONS_TOTAL / CHUNK_EXTENSION_BYTES;
    body_refuses(
        Refusal::ChunkExtensionTooLong,
        &format!("{}1;", once.repeat(times as usize)),
    );
    assert!(chunked(format!("{}0\r\n\r\n", once.repeat(times as usize)).as_bytes()).is_ok());
    for body in ["1\r\nab", "1\r\na\rb", "1\r\na0\r\n"] {
        body_refuses(Refusal::MalformedChunkEnding, body);
    }
    for body in ["1\n", "1;a\n", "1 \n", "1\r\na\n", "0\r\n\n", "0\r\nA: b\n"] {
        body_refuses(Refusal::BareLfInChunk, body);
    }
    for body in [
        "0\r\nA\r\n",
        "0\r\n: a\r\n",
        "0\r\nA : b\r\n",
        "0\r\nA: b\r\n c\r\n",
        "0\r\nA: \0\r\n",
        "0\r\nA: b\rc",
    ] {
        body_refuses(Refusal::MalformedTrailer, body);
    }
    body_refuses(
        Refusal::TrailersTooLarge,
        &format!("0\r\n{}", "A: b\r\n".repeat(TRAILER_FIELDS + 1)),
    );
    body_refuses(
        Refusal::TrailersTooLarge,
        &format!("0\r\nA: {}", "b".repeat(TRAILER_BYTES - 2)),
    );
    assert!(
        chunked(format!("0\r\nA: {}\r\n\r\n", "b".repeat(TRAILER_BYTES - 3)).as_bytes()).is_ok()
    );
    assert!(chunked(format!("0\r\n{}\r\n", "A: b\r\n".repeat(TRAILER_FIELDS)).as_bytes()).is_ok());
    for body in [
        "",
        "5",
        "5\r\nhell",
        "5\r\nhello\r\n",
        "5\r\nhello\r\n0\r\n",
    ] {
        body_refuses(Refusal::BodyEndedEarly, body);
    }

    let mut other_refuses = |expected: Refusal, result: Option<Refusal>| {
        assert_eq!(result, Some(expected));
        seen.insert(expected);
    };
    let upgrade = |version: &str| {
        lines(&format!(
            "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: {version}\r\n"
        ))
        .unwrap()
    };
    other_refuses(
        Refusal::MalformedUpgrade,
        websocket::check_request(&upgrade("13")).err(),
    );
    other_refuses(
        Refusal::WebSocketVersion,
        websocket::check_request(&upgrade("12")).err(),
    );
    other_refuses(
        Refusal::MalformedCdnLoop,
        cdn_loop::passes([&b"a b"[..]].into_iter(), "a").err(),
    );
    other_refuses(
        Refusal::LoopDetected,
        cdn_loop::passes([&[b'a', b','].repeat(33)[..]].into_iter(), "b").err(),
    );
    other_refuses(
        Refusal::MalformedProxyProtocol,
        proxy_protocol::parse(b"GET").err(),
    );

    let mut limit_refuses = |expected: Refusal, one_past: &[u8], at_the_limit: &[u8]| {
        assert_eq!(h1(one_past).err(), Some(expected));
        assert!(h1(at_the_limit).is_ok(), "{expected}");
        seen.insert(expected);
    };
    let padded = |length: usize| {
        let around = b"GET / HTTP/1.1\r\nHost: a\r\nA: \r\n\r\n".len();
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n",
            "b".repeat(length - around)
        )
        .into_bytes()
    };
    limit_refuses(
        Refusal::HeadTooLarge,
        &padded(LIMITS.head_bytes + 1),
        &padded(LIMITS.head_bytes),
    );
    let many = |fields: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
            "A: b\r\n".repeat(fields - 1)
        )
        .into_bytes()
    };
    limit_refuses(
        Refusal::TooManyFields,
        &many(LIMITS.fields + 1),
        &many(LIMITS.fields),
    );
    let far = |target: usize| {
        format!(
            "GET /{} HTTP/1.1\r\nHost: a\r\n\r\n",
            "b".repeat(target - 1)
        )
        .into_bytes()
    };
    limit_refuses(
        Refusal::TargetTooLong,
        &far(LIMITS.target_bytes + 1),
        &far(LIMITS.target_bytes),
    );

    let missing: Vec<_> = Refusal::ALL
        .iter()
        .filter(|refusal| !seen.contains(refusal))
        .collect();
    assert!(missing.is_empty(), "without an example: {missing:?}");
}

#[test]
fn http2_has_the_same_limits() {
    let refusal = |fields: &[(&str, &str)]| h2(&[&PSEUDO[..], fields].concat()).err();
    let around = "GET".len() + "https".len() + "a".len() + "/".len() + "b".len() + 4;
    let long = "c".repeat(LIMITS.head_bytes - around + 1);
    assert_eq!(refusal(&[("b", &long)]), Some(Refusal::HeadTooLarge));
    assert_eq!(refusal(&[("b", &long[1..])]), None);
    assert_eq!(refusal(&[("a", "b"); 101]), Some(Refusal::TooManyFields));
    assert_eq!(refusal(&[("a", "b"); 100]), None);
    assert_eq!(
        refusal(&[("cookie", "b"); 101]),
        None,
        "crumbs are one field"
    );
    let far = format!("/{}", "a".repeat(LIMITS.target_bytes));
    assert_eq!(h2_with(":path", &far).err(), Some(Refusal::TargetTooLong));
    assert_eq!(
        h2_with(":path", &far[1..]).err(),
        Some(Refusal::MalformedPath)
    );
}

#[test]
fn a_certain_refusal_does_not_wait_for_the_rest() {
    for (text, refusal) in [
        (&b"\x16\x03\x01"[..], Refusal::ControlInHead),
        (b"\n", Refusal::BareLf),
        (b"GET / HTTP/3.0\r\n", Refusal::UnknownVersion),
        (b"GET / HTTP/1.1\r\nHost : a\r\n", Refusal::SpaceBeforeColon),
        (b"GET / HTTP/1.1\r\nHost: a\0", Refusal::NulInHead),
        (b"GET / HTTP/1.1\r\nHost: a\rb", Refusal::BareCr),
    ] {
        assert_eq!(h1(text).err(), Some(refusal), "{}", text.escape_ascii());
    }
    let endless = vec![b'A'; LIMITS.head_bytes];
    assert_eq!(h1(&endless).err(), Some(Refusal::TargetTooLong));
    let endless = [b"GET / HTTP/1.1\r\nA: ", &endless[..]].concat();
    assert_eq!(h1(&endless).err(), Some(Refusal::HeadTooLarge));
}
