//! Every reason to distrust what an origin sent has an example here, or the edge finds it and it is listed as such.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // helpers of tests

use std::collections::BTreeSet;

use mangrove_http::{
    BodyDecoder, Decoded, HeadLimits, Method, OriginFault, ResponseFraming, ResponseHead,
    TRAILER_FIELDS, Version,
};

/// Faults of connections, deadlines and conversations: only the edge can find them.
const FOUND_BY_THE_EDGE: [OriginFault; 21] = [
    OriginFault::NameNotResolved,
    OriginFault::NoHealthyOrigin,
    OriginFault::BreakerOpen,
    OriginFault::QueueTimeout,
    OriginFault::ConnectRefused,
    OriginFault::ConnectTimeout,
    OriginFault::ConnectFailed,
    OriginFault::TlsHandshake,
    OriginFault::TlsCertificate,
    OriginFault::Reset,
    OriginFault::WriteTimeout,
    OriginFault::FirstByteTimeout,
    OriginFault::IdleTimeout,
    OriginFault::UnexpectedSwitch,
    OriginFault::UpgradeFailed,
    OriginFault::TooManyInterim,
    OriginFault::ContentLengthDisagrees,
    OriginFault::BodyWhereNoneBelongs,
    OriginFault::ExtraBytesAfterBody,
    OriginFault::BodyTooLarge,
    OriginFault::Http2,
];

fn answer_to(method: Method, text: &[u8]) -> Result<ResponseHead, OriginFault> {
    let mut head = ResponseHead::new();
    head.octets_mut().extend_from_slice(text);
    let whole = head.parse_h1(&HeadLimits::default(), method)?;
    assert!(whole.is_some(), "not whole: {}", text.escape_ascii());
    Ok(head)
}

fn lines(lines: &str) -> Result<ResponseHead, OriginFault> {
    answer_to(
        Method::Get,
        format!("HTTP/1.1 200 OK\r\n{lines}\r\n").as_bytes(),
    )
}

fn chunked(body: &[u8]) -> Result<(), OriginFault> {
    let mut decoder = BodyDecoder::for_response(ResponseFraming::Chunked);
    let mut rest = body;
    loop {
        match decoder.decode(rest)? {
            Decoded::End { .. } => return Ok(()),
            Decoded::Data { range } => rest = &rest[range.end..],
            Decoded::NeedMore { .. } => return Ok(decoder.on_eof()?),
        }
    }
}

#[test]
fn every_fault_has_an_example() {
    let mut seen: BTreeSet<OriginFault> = FOUND_BY_THE_EDGE.into();
    let mut distrusts = |expected: OriginFault, result: Result<ResponseHead, OriginFault>| {
        assert_eq!(result.err(), Some(expected));
        seen.insert(expected);
    };
    let get = |text: &str| answer_to(Method::Get, text.as_bytes());

    for line in [
        "HTTP/1.1",
        "",
        "ICY 200 OK",
        "http/1.1 200 OK",
        "HTTP/1.1200 OK",
        " HTTP/1.1 200 OK",
    ] {
        distrusts(
            OriginFault::MalformedStatusLine,
            get(&format!("{line}\r\n\r\n")),
        );
    }
    distrusts(OriginFault::UnknownVersion, get("HTTP/2.0 200 OK\r\n\r\n"));
    for status in [
        "99", "099", "600", "20", "2000", "2x0", "-20", " 200", "200x",
    ] {
        distrusts(
            OriginFault::MalformedStatus,
            get(&format!("HTTP/1.1 {status} OK\r\n\r\n")),
        );
    }
    distrusts(OriginFault::BareCr, lines("A: b\rc\r\n"));
    distrusts(OriginFault::BareLf, lines("A: b\n"));
    distrusts(OriginFault::BareLf, get("HTTP/1.1 200 OK\n\n"));
    distrusts(OriginFault::NulInHead, lines("A: b\0\r\n"));
    distrusts(OriginFault::ControlInHead, lines("A: b\x01\r\n"));
    distrusts(OriginFault::FoldedField, lines("A: b\r\n\tc\r\n"));
    distrusts(OriginFault::SpaceBeforeColon, lines("A : b\r\n"));
    distrusts(OriginFault::EmptyFieldName, lines(":b\r\n"));
    distrusts(OriginFault::MalformedFieldName, lines("A b\r\n"));
    distrusts(
        OriginFault::HeadTooLarge,
        lines(&format!("A: {}\r\n", "b".repeat(32 * 1024))),
    );
    distrusts(OriginFault::TooManyFields, lines(&"A: b\r\n".repeat(101)));
    assert!(lines(&"A: b\r\n".repeat(100)).is_ok());
    distrusts(
        OriginFault::MalformedConnection,
        lines("Connection: a b\r\n"),
    );
    distrusts(
        OriginFault::ConnectionNominatesProtectedField,
        lines("Connection: Content-Length\r\n"),
    );
    assert!(
        lines("Connection: keep-alive, Transfer-Encoding\r\n").is_ok(),
        "some large networks send this"
    );

    distrusts(
        OriginFault::ContentLengthBesideTransferEncoding,
        lines("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
    );
    distrusts(
        OriginFault::RepeatedContentLength,
        lines("Content-Length: 5\r\nContent-Length: 5\r\n"),
    );
    distrusts(
        OriginFault::ListedContentLength,
        lines("Content-Length: 5, 5\r\n"),
    );
    distrusts(
        OriginFault::MalformedContentLength,
        lines("Content-Length: +5\r\n"),
    );
    distrusts(
        OriginFault::TransferEncodingNotChunked,
        lines("Transfer-Encoding: gzip, chunked\r\n"),
    );
    distrusts(
        OriginFault::RepeatedTransferEncoding,
        lines("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
    );
    distrusts(
        OriginFault::TransferEncodingInHttp10,
        get("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    );
    for (status, framing) in [
        (204, "Content-Length: 5"),
        (204, "Transfer-Encoding: chunked"),
        (100, "Content-Length: 5"),
        (101, "Content-Length: 1"),
    ] {
        distrusts(
            OriginFault::FramingWithoutBody,
            get(&format!("HTTP/1.1 {status} x\r\n{framing}\r\n\r\n")),
        );
    }
    // The laws about length hold also where no body can be.
    distrusts(
        OriginFault::RepeatedContentLength,
        answer_to(
            Method::Head,
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        ),
    );

    let mut body_distrusts = |expected: OriginFault, body: &str| {
        assert_eq!(chunked(body.as_bytes()), Err(expected));
        seen.insert(expected);
    };
    body_distrusts(OriginFault::MalformedChunkSize, "x\r\n");
    body_distrusts(OriginFault::ChunkSizeTooLarge, &"1".repeat(17));
    body_distrusts(
        OriginFault::ChunkExtensionTooLong,
        &format!("1;{}", "a".repeat(256)),
    );
    body_distrusts(OriginFault::MalformedChunkEnding, "1\r\nab");
    body_distrusts(OriginFault::BareLfInChunk, "1\n");
    body_distrusts(OriginFault::MalformedTrailer, "0\r\nA\r\n");
    body_distrusts(
        OriginFault::TrailersTooLarge,
        &format!("0\r\n{}", "A: b\r\n".repeat(TRAILER_FIELDS + 1)),
    );
    body_distrusts(OriginFault::EndedEarly, "5\r\nhel");

    let missing: Vec<_> = OriginFault::ALL
        .iter()
        .filter(|fault| !seen.contains(fault))
        .collect();
    assert!(missing.is_empty(), "without an example: {missing:?}");
}

#[test]
fn how_long_an_answer_is() {
    let framing = |method, text: &str| {
        let head = answer_to(method, text.as_bytes()).unwrap();
        (head.framing(), head.persistent())
    };
    use ResponseFraming::{Chunked, Length, None, UntilClose};
    assert_eq!(
        framing(Method::Get, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        (Length(5), true)
    );
    assert_eq!(
        framing(
            Method::Get,
            "HTTP/1.1 200\r\nTransfer-Encoding: Chunked\r\n\r\n"
        ),
        (Chunked, true)
    );
    assert_eq!(
        framing(Method::Get, "HTTP/1.1 200 OK\r\n\r\n"),
        (UntilClose, false)
    );
    assert_eq!(
        framing(Method::Get, "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n"),
        (Length(5), false)
    );
    assert_eq!(
        framing(
            Method::Get,
            "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n"
        ),
        (Length(5), true)
    );
    assert_eq!(
        framing(
            Method::Get,
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        ),
        (Length(0), false)
    );
    assert_eq!(
        framing(Method::Head, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        (None, true)
    );
    assert_eq!(
        framing(
            Method::Head,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        ),
        (None, true)
    );
    assert_eq!(
        framing(Method::Get, "HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n"),
        (None, true)
    );
    assert_eq!(
        framing(Method::Get, "HTTP/1.1 204 x\r\nContent-Length: 0\r\n\r\n"),
        (None, true)
    );
    assert_eq!(
        framing(Method::Get, "HTTP/1.1 101 x\r\n\r\n"),
        (None, false)
    );
}

#[test]
fn the_final_answer_comes_after_the_interim_one() {
    let mut head = ResponseHead::new();
    head.octets_mut().extend_from_slice(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
    let early = head
        .parse_h1(&HeadLimits::default(), Method::Get)
        .unwrap()
        .unwrap();
    assert!(head.is_interim());
    head.start_next(early);
    let length = head
        .parse_h1(&HeadLimits::default(), Method::Get)
        .unwrap()
        .unwrap();
    assert_eq!(
        (head.status(), head.is_interim(), &head.octets()[length..]),
        (200, false, &b"x"[..])
    );
}

#[test]
fn a_head_from_elsewhere_obeys_the_same_laws() {
    let finish = |version, status, fields: &[(&str, &str)]| {
        let mut head = ResponseHead::new();
        head.begin(version, status);
        fields
            .iter()
            .for_each(|(name, value)| head.push_field(name.as_bytes(), value.as_bytes()));
        head.finish(&HeadLimits::default(), Method::Get)
            .map(|()| head.framing())
    };
    assert_eq!(
        finish(Version::Http2, 200, &[("content-length", "5")]),
        Ok(ResponseFraming::Length(5))
    );
    assert_eq!(
        finish(Version::Http2, 200, &[]),
        Ok(ResponseFraming::UntilClose)
    );
    assert_eq!(
        finish(Version::Http2, 99, &[]),
        Err(OriginFault::MalformedStatus)
    );
    assert_eq!(
        finish(Version::Http2, 200, &[("connection", "close")]),
        Err(OriginFault::Http2)
    );
    assert_eq!(
        finish(Version::Http2, 200, &[("A", "b")]),
        Err(OriginFault::MalformedFieldName)
    );
    assert_eq!(
        finish(Version::Http2, 200, &[("a", "b\r\nc: d")]),
        Err(OriginFault::BareCr)
    );
    assert_eq!(
        finish(Version::Http11, 200, &[("", "b")]),
        Err(OriginFault::EmptyFieldName)
    );
    assert_eq!(
        finish(Version::Http11, 200, &[("a", "b"); 101]),
        Err(OriginFault::TooManyFields)
    );
    let long = "b".repeat(32 * 1024);
    assert_eq!(
        finish(Version::Http11, 200, &[("a", &long)]),
        Err(OriginFault::HeadTooLarge)
    );
    assert_eq!(
        finish(Version::Http11, 204, &[("content-length", "5")]),
        Err(OriginFault::FramingWithoutBody)
    );
}
