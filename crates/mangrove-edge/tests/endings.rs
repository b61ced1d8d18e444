//! How an answer ends an HTTP/2 stream, on the stage of the `raw` suite: what grpcio and curl once stumbled over.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    dead_code,
    reason = "a test program: what is not as expected should stop it; the stage is shared, and not all of it is used here"
)]

#[path = "raw/frames.rs"]
mod frames;
#[path = "raw/origin.rs"]
mod origin;
#[path = "raw/wire.rs"]
mod wire;
#[path = "raw/world.rs"]
mod world;

use crate::frames::{Http2, Outcome, post};
use crate::wire::Wire;
use crate::world::World;

const NO_ERROR: u32 = 0;

/// The reset came with the answer, and curl before 8.0 took it for the answer.
#[test]
fn a_client_that_still_sends_has_a_moment_to_read_the_answer() {
    let world = World::new();
    let mut client = Http2::connect(&world);
    let stream = client.begin(&post(&[("content-length", "10")]));
    client.data(stream, "half", false);
    let mut origin = world.origin.accept();
    origin.head();
    origin.send("HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno");
    assert_eq!(client.outcome(stream), Outcome::Status(404));
    client.goes_on(&world);
    assert_eq!(
        client.outcome(stream),
        Outcome::Status(404),
        "not reset yet"
    );
    assert_eq!(client.reset(stream), NO_ERROR);
}

/// An empty DATA frame stood between the head and the end; gRPC clients then have no status to show.
#[test]
fn a_head_that_ends_the_stream_at_the_origin_ends_it_for_the_client() {
    let world = World::with("", "origin.protocol = 'h2'");
    let mut client = Wire::from(world.client());
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    client.send(b"\0\0\x0e\x01\x05\0\0\0\x01\x82\x86\x84\x41\x09a.example"); // GET / on stream 1
    let mut origin = Wire::from(world.origin.accept());
    origin.take(24); // the preface
    origin.send(b"\0\0\0\x04\0\0\0\0\0");
    let mut asked = next_frame(&mut origin);
    while asked.kind != HEADERS {
        asked = next_frame(&mut origin);
    }
    origin.send(
        [
            b"\0\0\x01\x01\x05".as_slice(),
            &asked.stream.to_be_bytes(),
            b"\x88",
        ]
        .concat(),
    ); // 200, END_STREAM
    let mut answered = next_frame(&mut client);
    while answered.stream == 0 {
        answered = next_frame(&mut client);
    }
    assert_eq!(
        (answered.kind, answered.flags & END_STREAM),
        (HEADERS, END_STREAM)
    );
}

const HEADERS: u8 = 1;
const END_STREAM: u8 = 1;

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
}

fn next_frame(wire: &mut Wire) -> Frame {
    let head = wire.take(9);
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    wire.take(length as usize);
    Frame {
        kind: head[3],
        flags: head[4],
        stream: u32::from_be_bytes(head[5..].try_into().unwrap()),
    }
}
