//! Bodies that an origin does not bring to their end: never a short one that looks whole.

use mangrove_http::OriginFault::{self, *};

use crate::origin::Visit;
use crate::wire::{End, Wire};
use crate::world::World;

/// A GET that the origin answers with `said`, to be ended by `end`; everything the client gets.
fn cut(world: &World, version: &str, said: &str, end: impl FnOnce(Visit)) -> (String, End) {
    let mut client = world.client();
    client.send(format!("GET / {version}\r\nHost: a.example\r\n\r\n"));
    let mut origin = world.origin.accept();
    origin.head();
    origin.send(said);
    let head = client.head();
    assert_eq!(head.status(), 200);
    // What was said has arrived before the connection ends.
    let first = client.take_text(
        if version == "HTTP/1.1" && head.field("content-length").is_none() {
            9
        } else {
            4
        },
    );
    end(origin);
    let (rest, end) = client.rest();
    (first + &rest, end)
}

fn close(origin: Visit) {
    drop(origin);
}

fn reset(origin: Visit) {
    Wire::from(origin).reset();
}

/// The log and the counter name what happened.
fn is_told(world: &World, fault: OriginFault) {
    assert_eq!(world.counts(fault, 1), 1);
}

#[test]
fn a_body_shorter_than_its_length_is_cut() {
    let world = World::new();
    let (body, _) = cut(
        &world,
        "HTTP/1.1",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        close,
    );
    assert_eq!(body, "half");
    is_told(&world, EndedEarly);
}

#[test]
fn a_chunked_body_without_its_last_chunk_is_cut() {
    let world = World::new();
    let said = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n";
    let (body, _) = cut(&world, "HTTP/1.1", said, close);
    assert_eq!(body, "4\r\nhalf\r\n");
    is_told(&world, EndedEarly);
}

#[test]
fn a_chunked_body_that_turns_malformed_is_cut() {
    for (bad, fault) in [
        ("x\r\n", MalformedChunkSize),
        ("10000000000000000\r\n", ChunkSizeTooLarge),
        ("2\nok", BareLfInChunk),
        ("2\r\nokay\r\n", MalformedChunkEnding),
        ("0\r\n folded\r\n\r\n", MalformedTrailer),
    ] {
        let world = World::new();
        let said = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n";
        let (body, _) = cut(&world, "HTTP/1.1", said, |mut origin| {
            origin.send(bad);
            origin.ends();
        });
        assert!(
            body.starts_with("4\r\nhalf\r\n") && !body.contains("0\r\n\r\n"),
            "{body:?}"
        );
        is_told(&world, fault);
    }
}

#[test]
fn a_body_until_close_is_whole_when_the_origin_closes_in_good_order() {
    let world = World::new();
    let (body, _) = cut(&world, "HTTP/1.0", "HTTP/1.1 200 OK\r\n\r\nlast", close);
    assert_eq!(body, "last");

    let mut client = world.client();
    client.get("/");
    let mut origin = world.origin.accept();
    origin.head();
    origin.send("HTTP/1.0 200 OK\r\n\r\nwhole");
    drop(origin);
    assert_eq!(client.answer().body, "whole");
}

/// RFC 9112 section 8: a body that ends with the connection is whole only if the connection ended as it should.
#[test]
fn a_body_until_close_that_ends_in_a_reset_is_cut() {
    let world = World::new();
    let (body, _) = cut(&world, "HTTP/1.1", "HTTP/1.1 200 OK\r\n\r\nhalf", reset);
    assert_eq!(body, "4\r\nhalf\r\n", "without a last chunk");
    is_told(&world, EndedEarly);
}

/// An HTTP/1.0 client cannot be sent chunks, so the end of the connection is the end of the body, unless it is a reset.
#[test]
fn http_1_0_clients_see_a_cut_as_a_reset() {
    let world = World::new();
    let said = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n";
    let (body, end) = cut(&world, "HTTP/1.0", said, close);
    assert_eq!((body.as_str(), end), ("half", End::Reset));
    is_told(&world, EndedEarly);
}

/// The head had arrived together with chunks nobody can read, and the visitor was left without a word.
#[test]
fn a_body_broken_from_its_first_byte_is_told_of_instead_of_cut() {
    let world = World::new();
    let mut client = world.client();
    client.get("/");
    let mut origin = world.origin.accept();
    origin.head();
    origin.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n 4\r\nhalf\r\n0\r\n\r\n");
    let answer = client.answer();
    assert_eq!(
        (answer.head.status(), answer.reason()),
        (502, Some("malformed-chunk-size"))
    );
    is_told(&world, MalformedChunkSize);
}
