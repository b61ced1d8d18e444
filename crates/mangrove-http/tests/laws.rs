//! Laws that hold for every message: printed and read it is the same, and how its bytes arrive does not matter.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // helpers of tests

use mangrove_http::{
    BodyDecoder, BodyFault, BodyFraming, Decoded, HeadLimits, Method, Refusal, RequestHead,
    ResponseHead,
};
use proptest::prelude::*;

/// Small, so that arbitrary heads meet them.
const TIGHT: HeadLimits = HeadLimits {
    head_bytes: 160,
    fields: 5,
    target_bytes: 24,
};

/// Bytes that are nearly a head more often than not.
fn nearly_a_head() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => Just("GET / HTTP/1.1\r\n"),
        1 => Just("POST /a?b HTTP/1.0\r\n"),
        3 => Just("Host: a\r\n"),
        1 => Just("Content-Length: 5\r\n"),
        1 => Just("Transfer-Encoding: chunked\r\n"),
        1 => Just("Connection: close, x\r\n"),
        1 => Just("X: y\r\n"),
        3 => Just("\r\n"),
        1 => Just("\r"),
        1 => Just("\n"),
        1 => Just(" "),
        1 => Just("\0"),
        1 => Just("a"),
        1 => Just(":"),
        1 => Just("HTTP/1.1 200 OK\r\n"),
        1 => Just("/"),
        1 => Just("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
    ];
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat().into_bytes())
}

fn request(pieces: &[&[u8]]) -> Result<Option<usize>, Refusal> {
    let mut head = RequestHead::new();
    let mut verdict = Ok(None);
    for piece in pieces {
        head.octets_mut().extend_from_slice(piece);
        verdict = head.parse_h1(&TIGHT);
    }
    verdict
}

/// Data, how much was consumed, and the verdict, when the input comes in pieces that end at `cuts`.
fn decode(
    framing: BodyFraming,
    input: &[u8],
    cuts: &[usize],
) -> (Vec<u8>, usize, Result<bool, BodyFault>) {
    let mut decoder = BodyDecoder::for_request(framing);
    let (mut data, mut consumed) = (Vec::new(), 0);
    for &cut in cuts.iter().chain([&input.len()]) {
        loop {
            let unread = &input[consumed..cut.clamp(consumed, input.len())];
            match decoder.decode(unread) {
                Err(fault) => return (data, 0, Err(fault)),
                Ok(Decoded::End { consumed: more }) => return (data, consumed + more, Ok(true)),
                Ok(Decoded::NeedMore { consumed: more }) => {
                    assert_eq!(more, unread.len());
                    consumed += more;
                    break;
                }
                Ok(Decoded::Data { range }) => {
                    assert!(!range.is_empty());
                    data.extend_from_slice(&unread[range.clone()]);
                    consumed += range.end;
                }
            }
        }
    }
    (data, consumed, Ok(decoder.at_end()))
}

proptest! {
    #[test]
    fn a_head_reads_back_as_it_was_printed(
        method in "[A-Z]{1,12}", path in "/[!-\"$-~]{0,20}", fields in prop::collection::vec(("[a-zA-Z!#$%&'*+.^_`|~-]{1,12}", "([!-~]([ \t!-~]*[!-~])?)?"), 0..20),
    ) {
        prop_assume!(method != "CONNECT");
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: a.example\r\n");
        fields.iter().for_each(|(name, value)| text.push_str(&format!("X-{name}: {value}\r\n")));
        text.push_str("\r\nrest");
        let mut head = RequestHead::new();
        head.octets_mut().extend_from_slice(text.as_bytes());
        prop_assert_eq!(head.parse_h1(&HeadLimits::default()), Ok(Some(text.len() - 4)));
        prop_assert_eq!((head.method_bytes(), head.target()), (method.as_bytes(), path.as_bytes()));
        let printed = head.fields().fold(String::new(), |out, field| {
            let text = |bytes| std::str::from_utf8(bytes).unwrap();
            out + &format!("{}: {}\r\n", text(field.name), text(field.value))
        });
        prop_assert!(text.contains(&printed), "{}", printed);
    }

    #[test]
    fn the_verdict_on_a_head_does_not_depend_on_how_it_was_split(text in nearly_a_head(), cut: prop::sample::Index) {
        let whole = request(&[&text]);
        let one_by_one: Vec<_> = text.chunks(1).collect();
        let (left, right) = text.split_at(cut.index(text.len() + 1));
        prop_assert_eq!(request(&[left, right]), whole);
        prop_assert_eq!(request(&one_by_one).or_else(|refusal| if text.is_empty() { Ok(None) } else { Err(refusal) }), whole);
    }

    #[test]
    fn what_we_accept_another_reader_reads_the_same(text in nearly_a_head()) {
        let mut head = RequestHead::new();
        head.octets_mut().extend_from_slice(&text);
        if let Ok(Some(length)) = head.parse_h1(&HeadLimits::default()) {
            let mut headers = [httparse::EMPTY_HEADER; 32];
            let mut other = httparse::Request::new(&mut headers);
            prop_assert_eq!(other.parse(&text), Ok(httparse::Status::Complete(length)));
            prop_assert_eq!(other.method.map(str::as_bytes), Some(head.method_bytes()));
            let fields: Vec<_> = head.fields().map(|field| (field.name, field.value)).collect();
            let others: Vec<_> = other.headers.iter().map(|header| (header.name.as_bytes(), header.value)).collect();
            prop_assert_eq!(fields, others);
        }
    }

    #[test]
    fn no_bytes_make_a_head_panic(bytes: Vec<u8>) {
        let _ = request(&[&bytes]);
        let mut head = ResponseHead::new();
        head.octets_mut().extend_from_slice(&bytes);
        let _ = head.parse_h1(&TIGHT, Method::Get);
    }

    #[test]
    fn a_body_is_the_same_however_it_is_split(
        chunks in prop::collection::vec("[a-z\r\n]{1,9}", 0..5), junk in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
        cuts in prop::collection::vec(0..120_usize, 0..9),
    ) {
        let mut text: String = chunks.iter().map(|chunk| format!("{:x};e\r\n{chunk}\r\n", chunk.len())).collect();
        text.push_str("0\r\nT: v\r\n\r\nNEXT");
        let mut bytes = text.into_bytes();
        if let Some((at, byte)) = junk {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let whole = decode(BodyFraming::Chunked, &bytes, &[]);
        let every: Vec<_> = (0..bytes.len()).collect();
        let mut cuts = cuts;
        cuts.sort_unstable();
        prop_assert_eq!(&decode(BodyFraming::Chunked, &bytes, &every), &whole);
        prop_assert_eq!(&decode(BodyFraming::Chunked, &bytes, &cuts), &whole);
        if junk.is_none() {
            prop_assert_eq!(whole, (chunks.concat().into_bytes(), bytes.len() - 4, Ok(true)));
        }
    }

    #[test]
    fn a_body_of_a_length_has_that_length(length in 0..40_usize, cuts in prop::collection::vec(0..40_usize, 0..5)) {
        let mut cuts = cuts;
        cuts.sort_unstable();
        let expected = (vec![b'x'; length], length, Ok(true));
        prop_assert_eq!(decode(BodyFraming::Length(length as u64), &[b'x'; 40], &cuts), expected);
    }
}
