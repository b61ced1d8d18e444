//! The framing of chunked requests: taken apart, checked, and written anew for the origin.

use mangrove_http::Refusal::*;
use mangrove_http::{CHUNK_EXTENSION_BYTES, TRAILER_BYTES, TRAILER_FIELDS};

use crate::world::World;

const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn a_chunk_that_is_not_well_formed_ends_the_request_on_both_sides() {
    let world = World::new();
    let long = format!("2;{}\r\nok", "e".repeat(CHUNK_EXTENSION_BYTES as usize));
    let many = format!("0\r\n{}\r\n", "a: b\r\n".repeat(TRAILER_FIELDS + 1));
    let wide = format!("0\r\na: {}\r\n\r\n", "b".repeat(TRAILER_BYTES));
    let rows = [
        ("00000000000000002\r\nok", ChunkSizeTooLarge),
        ("10000000000000002\r\nok", ChunkSizeTooLarge),
        ("-2\r\nok", MalformedChunkSize),
        ("+2\r\nok", MalformedChunkSize),
        ("0x2\r\nok", MalformedChunkSize),
        (" 2\r\nok", MalformedChunkSize),
        ("g\r\nok", MalformedChunkSize),
        ("\r\nok", MalformedChunkSize),
        ("2 3\r\nok", MalformedChunkSize),
        ("2,\r\nok", MalformedChunkSize),
        ("2\rok", MalformedChunkSize),
        ("2;a\x00b\r\nok", MalformedChunkSize),
        ("2\nok\n0\n\n", BareLfInChunk),
        ("2;a=b\nok\r\n0\r\n\r\n", BareLfInChunk),
        ("2\r\nok\n0\r\n\r\n", BareLfInChunk),
        ("2\r\nokay\r\n0\r\n\r\n", MalformedChunkEnding),
        ("2\r\nok0\r\n\r\n", MalformedChunkEnding),
        ("2\r\nok\r0\r\n\r\n", MalformedChunkEnding),
        (long.as_str(), ChunkExtensionTooLong),
        ("0\r\nGET /hidden HTTP/1.1\r\n\r\n", MalformedTrailer),
        ("0\r\n folded: x\r\n\r\n", MalformedTrailer),
        ("0\r\na : b\r\n\r\n", MalformedTrailer),
        ("0\r\na: b\x00\r\n\r\n", MalformedTrailer),
        ("0\r\na: b\n\r\n", BareLfInChunk),
        (many.as_str(), TrailersTooLarge),
        (wide.as_str(), TrailersTooLarge),
    ];
    for (body, refusal) in rows {
        let before = world.counted(refusal);
        let mut client = world.client();
        client.send(CHUNKED);
        let mut origin = world.origin.accept();
        origin.head();
        client.send(body);
        let answer = client.answer();
        assert_eq!(answer.reason(), Some(refusal.name()), "{body:?}");
        assert_eq!(answer.head.status(), refusal.status());
        client.ends();
        let (seen, _) = origin.rest();
        assert!(
            !seen.contains("0\r\n\r\n"),
            "{body:?} looks whole to the origin: {seen:?}"
        );
        assert!(!seen.contains("GET"), "{body:?}: {seen:?}");
        assert_eq!(world.counts(refusal, before + 1), before + 1, "{body:?}");
        assert_eq!(world.record_of(&answer)["reason"], refusal.name());
    }
}

#[test]
fn chunks_are_written_anew_and_extensions_stay_behind() {
    let world = World::new();
    let mut client = world.client();
    client.send(format!(
        "{CHUNKED}0002 ; a=\"0\"\r\nok\r\nA\r\n0123456789\r\n000;last\r\n\r\n"
    ));
    let mut origin = world.origin.accept();
    assert_eq!(origin.head().all("transfer-encoding"), ["chunked"]);
    assert_eq!(origin.chunked(), ("ok0123456789".to_owned(), vec![]));
    origin.answer("fine");
    assert_eq!(client.answer().body, "fine");
}

#[test]
fn trailers_are_passed_on_without_those_that_would_change_the_request() {
    let world = World::new();
    let mut client = world.client();
    client.send(format!(
        "{CHUNKED}0\r\nX-Checksum: 1\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\nHost: b.example\r\n\
         Authorization: x\r\nConnection: close\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n"
    ));
    let mut origin = world.origin.accept();
    origin.head();
    assert_eq!(
        origin.chunked(),
        (String::new(), vec!["X-Checksum: 1".to_owned()])
    );
    origin.answer("fine");
    assert_eq!(client.answer().body, "fine");
}

#[test]
fn what_follows_the_last_chunk_is_the_next_request_and_nothing_else() {
    let world = World::new();
    let mut client = world.client();
    client.send(format!("{CHUNKED}2\r\nok\r\n0\r\n\r\njunk\r\n\r\n"));
    let mut origin = world.origin.accept();
    origin.head();
    assert_eq!(origin.chunked().0, "ok");
    origin.answer("fine");
    assert_eq!(client.answer().body, "fine");
    assert_eq!(client.answer().reason(), Some(MalformedRequestLine.name()));
    client.ends();
    drop(origin);
    assert!(world.origin.is_untouched());
}

#[test]
fn a_body_over_the_sites_ceiling_is_refused_however_it_is_framed() {
    let world = World::with("", "request_body_bytes = 5");
    let head = "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: ";
    world.refuses(format!("{head}6\r\n\r\n"), BodyTooLarge);

    let mut client = world.client();
    client.send(CHUNKED);
    let mut origin = world.origin.accept();
    origin.head();
    client.send("5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n");
    assert_eq!(client.answer().reason(), Some(BodyTooLarge.name()));
    assert!(!origin.rest().0.contains("0\r\n\r\n"));
}
