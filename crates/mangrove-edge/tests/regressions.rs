//! What once broke, on the stage of the `raw` suite: each story would have failed before.

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

#[path = "raw/origin.rs"]
mod origin;
#[path = "raw/wire.rs"]
mod wire;
#[path = "raw/world.rs"]
mod world;

use mangrove_http::Refusal;

use crate::world::{Client, World, eventually};

/// A second site, answered at the edge.
const PREPARED: &str =
    "[[site]]\nname = 'prepared'\nhosts = ['prepared.example']\nrespond.body = 'hi'";
const GET_PREPARED: &str = "GET / HTTP/1.1\r\nHost: prepared.example\r\n\r\n";

/// Silent connections were asked to make room and could not hear it; their places were given away twice.
#[test]
fn at_the_ceiling_connections_that_say_nothing_leave_and_visitors_are_served() {
    let limits = "limits.connections = 16\nlimits.protocol_sniff = '60s'";
    let world = World::with(limits, PREPARED);
    let silent: Vec<Client> = (0..16).map(|_| world.client()).collect();
    let mut visitors = Vec::new();
    for _ in 0..100 {
        let mut visitor = world.client();
        visitor.send(GET_PREPARED);
        assert_eq!(visitor.answer().body, "hi");
        visitors.push(visitor);
    }
    for mut silent in silent {
        silent.ends();
    }
}

/// The edge went on waiting for the origin, and blamed it for being slow.
#[test]
fn a_request_body_that_breaks_while_the_answer_comes_ends_both_at_once() {
    let world = World::with("", "origin.idle_timeout = '1h'");
    let mut client = world.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
    );
    let mut origin = world.origin.accept();
    origin.head();
    origin.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n");
    assert_eq!(client.head().status(), 200);
    assert_eq!(client.take_text(7), "2\r\nok\r\n");
    client.send("no size\r\n");
    client.ends();
    let (seen, _) = origin.rest();
    assert!(!seen.contains("0\r\n\r\n"), "{seen:?}");
    assert_eq!(world.counts(Refusal::MalformedChunkSize, 1), 1);
}

/// An origin that repeats the id it was given made two of it.
#[test]
fn the_request_id_is_said_once() {
    let world = World::new();
    let mut client = world.client();
    client.get("/");
    let mut origin = world.origin.accept();
    let id = origin.head().field("x-request-id").unwrap().to_owned();
    origin.send("HTTP/1.1 200 OK\r\nX-Request-Id: theirs\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.head().field("x-request-id"), Some(&*id));
}

/// HEAD of an answer made at the edge left out what GET says.
#[test]
fn head_tells_the_length_of_a_prepared_answer() {
    let world = World::with("", PREPARED);
    let mut client = world.client();
    client.send(GET_PREPARED.replace("GET", "HEAD"));
    assert_eq!(
        client.answer_to_head().head.field("content-length"),
        Some("2")
    );
    client.send(GET_PREPARED);
    assert_eq!(client.answer().body, "hi");
}

/// The kernel took megabytes for it: fetched, copied, and each of them a reason to wait longer.
#[test]
fn an_answer_that_nobody_reads_is_not_carried_far() {
    let world = World::with("limits.response_write_idle = '1s'", "");
    let mut client = world.client();
    client.get("/");
    let mut origin = world.origin.accept();
    origin.head();
    origin.send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
    while origin.try_send([b'x'; 64 * 1024]) {}
    let record = eventually("a record", || world.records().pop());
    assert_eq!(record["reason"], "response-write-timeout");
    let carried = record["http.response.body.size"].as_u64().unwrap();
    assert!(carried < 1_000_000, "{carried}");
}
