//! What the shield reads of clients.

#![allow(
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a target tells what it found by panicking, and the campaign catches it"
)]

use mangrove_http::{HeadLimits, RequestHead};
use mangrove_shield::ja4::{Fingerprint, LENGTH, NoFingerprint};
use mangrove_shield::opening::Opening;
use mangrove_shield::traits::{ENTROPY_CLASSES, PathShape, QUERY_BYTES, QueryShape, Traits};

use crate::mutate::Grammar;
use crate::targets::Target;

pub(crate) const TARGETS: [Target; 3] = [
    Target {
        name: "ja4",
        about: "a fingerprint has one form, and depends on the first whole message alone",
        grammar: CLIENT_HELLO,
        run: ja4,
    },
    Target {
        name: "opening",
        about: "how HTTP/2 is opened is told in one form, however it is split, and not changed by what follows",
        grammar: FIRST_FRAMES,
        run: opening,
    },
    Target {
        name: "traits",
        about: "the order of fields is moved by no value and no field that changes, and shapes have one form",
        grammar: HEAD,
        run: traits,
    },
];

/// Small greetings whose lengths fit when nothing stands between; mutations of captured ones come from the corpus.
const CLIENT_HELLO: Grammar = Grammar {
    first: &[
        "\x16\x03\x01\0\x2d\x01\0\0\x29\x03\x03rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr\0\0\x02\x13\x01\x01\0",
        "\x16\x03\x01\0\x04\x01\0\0\x01",
        "\x16\x03\x01\0\x01\x01\x16\x03\x01\0\x03\0\0\x10",
        "\x16\x03\x01\0",
    ],
    then: &[
        "\0\0\0\0",
        "\0\x2b\0\x03\x02\x03\x04",
        "\0\x0d\0\x04\0\x02\x04\x03",
        "\0\x10\0\x05\0\x03\x02h2",
        "\x0a\x0a\0\0",
        "\x16\x03\x03\0\x01",
    ],
    last: &["", "\0", "\x14\x03\x03\0\x01\x01"],
};

const FIRST_FRAMES: Grammar = Grammar {
    first: &[
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x0c\x04\0\0\0\0\0\0\x01\0\x01\0\0\0\x04\0\x02\0\0",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    then: &[
        "\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64",
        "\0\0\x06\x04\0\0\0\0\0\x0a\x0a\0\0\0\x01",
        "\0\0\0\x04\x01\0\0\0\0",
        "\0\0\x04\x08\0\0\0\0\0\0\0\x01\0",
        "\0\0\x05\x02\0\0\0\0\x03\0\0\0\0\x10",
        "\0\0\x08\x06\0\0\0\0\0pingpong",
        "\0\0\x04\x01\0\0\0\0\x01\x44\x01\x2f\x41",
        "\0\0\x09\x01\x28\0\0\0\x01\x01\0\0\0\0\x10\x44\x01\x2f",
        "\0\0\x04\x09\x04\0\0\0\x01\x01a\x07\x05",
        "\x40\x05:path\x01\x2f",
        "\x3f\x61",
        "\x7f",
    ],
    last: &[
        "",
        "\0\0\x05\x01\x05\0\0\0\x01\x44\x01\x2f\x7a\0",
        "\0\0\x01\x09\x04\0\0\0\x01\x7a",
    ],
};

const HEAD: Grammar = Grammar {
    first: &[
        "GET / HTTP/1.1\r\nHost: a\r\n",
        "GET /news/4711/photo.jpg?width=640 HTTP/1.1\r\nHost: a\r\n",
        "GET /f81d4fae-7dec-11d0-a765-00a0c91e6bf6?x HTTP/1.1\r\nhost: a\r\n",
        "GET /dGhpc0lzQVRva2Vu/%E0%A6%96/%?a=%zz&&b HTTP/1.1\r\nHost: a\r\n",
        "POST /a/b/c/d/e/f/g/h/i.html?a=b&c=d&e HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n",
    ],
    then: &[
        "User-Agent: b\r\n",
        "user-agent:\r\n",
        "Accept: */*\r\n",
        "Accept-Language: en\r\n",
        "Cookie: a=b\r\n",
        "Content-Digest: c\r\n",
        "Referer: /\r\n",
        "sec-ch-ua: d\r\n",
        "Connection: keep-alive\r\n",
        "X: y\r\n",
    ],
    last: &["\r\n", "\r\n", "\r\n\r\n"],
};

fn opening(input: &[u8]) {
    let heard = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut opening = Opening::default();
        let is_whole = pieces.fold(false, |_, piece| opening.read(piece));
        (is_whole, opening.to_string())
    };
    let whole = heard(&mut std::iter::once(input));
    assert_eq!(heard(&mut input.chunks(1)), whole, "byte by byte");
    assert_eq!(heard(&mut input.chunks(7)), whole, "in sevens");
    let (is_whole, text) = &whole;
    assert!(text.len() <= 600, "{text}");
    let parts: Vec<&str> = text.split('|').collect();
    assert_eq!(parts.len(), 4, "{text}");
    let is_list = |part: &str, more: &[u8]| {
        part.bytes()
            .all(|byte| byte.is_ascii_digit() || more.contains(&byte))
    };
    assert!(is_list(parts[0], b":;+") && is_list(parts[1], b"") && is_list(parts[2], b":,+"));
    assert!(parts[3].split(',').all(|field| "masp".contains(field)));
    if *is_whole {
        let more = [input, b"more"].concat();
        assert_eq!(heard(&mut std::iter::once(&more[..])), whole);
    }
}

fn traits(input: &[u8]) {
    let read = |text: &[u8]| {
        let mut head = RequestHead::new();
        head.octets_mut().extend_from_slice(text);
        matches!(head.parse_h1(&HeadLimits::default()), Ok(Some(_))).then_some(head)
    };
    let Some(head) = read(input) else {
        shapes(input, input);
        return;
    };
    assert!(head.is_whole());
    let traits = Traits::of(&head, None);
    shapes(head.path(), head.query().unwrap_or_default());
    // Other values, and fields that come and go, in any place.
    let mut other = b"GET /other HTTP/1.1\r\n".to_vec();
    for field in head.fields() {
        other.extend_from_slice(b"if-match: *\r\nContent-X: y\r\n");
        other.extend_from_slice(field.name);
        other.extend_from_slice(b": 1\r\n");
    }
    other.extend_from_slice(b"\r\n");
    if let Some(other) = read(&other) {
        let other = Traits::of(&other, None);
        assert_eq!(other.header_order, traits.header_order);
        assert_eq!(other.user_agent.is_some(), traits.user_agent.is_some());
    }
    // One more of those that tell.
    let end = input.windows(2).position(|two| two == b"\r\n").unwrap_or(0) + 2;
    let (line, rest) = input.split_at(end);
    if line.len() > 2
        && let Some(more) = read(&[line, b"Another: one\r\n", rest].concat())
    {
        assert_ne!(Traits::of(&more, None).header_order, traits.header_order);
    }
}

fn shapes(path: &[u8], query: &[u8]) {
    let shape = PathShape::of(path);
    assert!(shape.as_bytes().len() <= 23);
    assert_eq!(shape.as_bytes().len(), shape.as_str().len());
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    assert!(
        shape
            .as_str()
            .bytes()
            .all(|byte| is_plain(byte) || b"/.*+".contains(&byte))
    );
    let of = QueryShape::of(query);
    assert!(usize::from(of.entropy) < ENTROPY_CLASSES);
    let looked_at = &query[..query.len().min(QUERY_BYTES)];
    let parameters = looked_at.split(|&byte| byte == b'&');
    let parameters = parameters.filter(|parameter| !parameter.is_empty()).count();
    assert_eq!(usize::from(of.parameters), parameters);
    assert_eq!(QueryShape::of(looked_at), of);
}

fn ja4(input: &[u8]) {
    let verdict = Fingerprint::of(input);
    match verdict {
        Ok(Fingerprint { ja4, stable }) => {
            for name in [ja4, stable] {
                assert_eq!(name.as_str().len(), LENGTH);
                assert!(
                    name.as_str()
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b == b'_')
                );
            }
            assert_eq!(&stable.as_str()[8..10], "00", "a protocol is not stable");
            assert_eq!(ja4.as_str()[..6], stable.as_str()[..6]);
            assert_eq!(ja4.as_str()[10..23], stable.as_str()[10..23]);
        }
        // Only what ends too early can become something else.
        Err(NoFingerprint::Unfinished) => return,
        Err(_) => {}
    }
    assert_eq!(Fingerprint::of(&[input, b"more"].concat()), verdict);
}
