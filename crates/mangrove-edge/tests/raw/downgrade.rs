//! From HTTP/2 to an HTTP/1 origin: what has no lines and no chunks there must not make any here.

use mangrove_edge::reason::EdgeReason;
use mangrove_http::{Refusal, TRAILER_FIELDS};

use crate::frames::{Http2, Outcome, PROTOCOL_ERROR, get, post};
use crate::world::World;

#[test]
fn nothing_in_a_request_can_become_a_line_of_its_own() {
    let world = World::new();
    let hidden = "x\r\n\r\nGET /hidden HTTP/1.1\r\nhost: a.example";
    for fields in [
        post(&[("x", hidden)]),
        post(&[(hidden, "x")]),
        post(&[("x", "y\rz")]),
        post(&[("cookie", "a\nb: c")]),
        post(&[("x: y\r\nz", "1")]),
    ] {
        let mut client = Http2::connect(&world);
        let stream = client.begin(&fields);
        assert_eq!(client.outcome(stream), Outcome::GoneAway(1), "{fields:?}");
        assert!(world.origin.is_untouched());
    }
}

#[test]
fn a_body_is_framed_by_the_edge_alone() {
    let world = World::new();
    let mut client = Http2::connect(&world);
    let stream = client.begin(&post(&[]));
    let body = "0\r\n\r\nGET /hidden HTTP/1.1\r\n\r\n";
    client.data(stream, body, true);
    let mut origin = world.origin.accept();
    let head = origin.head();
    assert_eq!(head.all("transfer-encoding"), ["chunked"]);
    assert_eq!(head.field("content-length"), None);
    assert_eq!(origin.chunked(), (body.to_owned(), vec![]));
    origin.answer("fine");
    assert_eq!(client.outcome(stream), Outcome::Status(200));

    let stream = client.begin(&post(&[("content-length", "4")]));
    let head = origin.head();
    assert_eq!(head.all("content-length"), ["4"]);
    assert!(head.all("transfer-encoding").is_empty());
    client.data(stream, "four", true);
    assert_eq!(origin.take_text(4), "four");
    origin.answer("fine");
    assert_eq!(client.outcome(stream), Outcome::Status(200));
}

#[test]
fn a_stream_without_a_body_has_none_in_http_1_either() {
    let world = World::new();
    let mut client = Http2::connect(&world);
    let stream = client.ask(&get("/"));
    let mut origin = world.origin.accept();
    let head = origin.head();
    assert!(head.all("content-length").is_empty() && head.all("transfer-encoding").is_empty());
    origin.answer("fine");
    assert_eq!(client.outcome(stream), Outcome::Status(200));
}

#[test]
fn cookie_crumbs_become_one_line() {
    let world = World::new();
    let mut client = Http2::connect(&world);
    let stream = client.ask(&post(&[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")]));
    let mut origin = world.origin.accept();
    assert_eq!(origin.head().all("cookie"), ["a=1; b=2"]);
    origin.answer("fine");
    assert_eq!(client.outcome(stream), Outcome::Status(200));
}

#[test]
fn trailers_are_passed_on_without_those_that_would_change_the_request() {
    let world = World::new();
    let mut client = Http2::connect(&world);
    let stream = client.begin(&post(&[("te", "trailers")]));
    let mut origin = world.origin.accept();
    let head = origin.head();
    assert_eq!(
        (head.field("te"), head.field("connection")),
        (Some("trailers"), Some("te"))
    );
    client.data(stream, "hello", false);
    client.trailers(
        stream,
        &[
            (":path", "/hidden"),
            ("x-checksum", "1"),
            ("content-length", "9"),
            ("host", "b.example"),
        ],
    );
    assert_eq!(
        origin.chunked(),
        ("hello".to_owned(), vec!["x-checksum: 1".to_owned()])
    );
    origin.answer("fine");
    assert_eq!(client.outcome(stream), Outcome::Status(200));
}

/// Trailers that could become lines of their own: the body has no good end, for neither side.
#[test]
fn malformed_trailers_end_the_stream_and_the_origin_sees_a_cut() {
    let world = World::new();
    let rows = [
        (("x", "y\r\n\r\nGET /hidden HTTP/1.1"), Outcome::GoneAway(1)),
        (("X", "y"), Outcome::GoneAway(1)),
        (("connection", "close"), PROTOCOL_ERROR),
        (("transfer-encoding", "chunked"), PROTOCOL_ERROR),
    ];
    for (field, outcome) in rows {
        let mut client = Http2::connect(&world);
        let stream = client.begin(&post(&[]));
        let mut origin = world.origin.accept();
        origin.head();
        client.data(stream, "hello", false);
        client.trailers(stream, &[field]);
        assert_eq!(client.outcome(stream), outcome, "{field:?}");
        let (seen, _) = origin.rest();
        assert!(
            !seen.contains("0\r\n\r\n") && !seen.contains("hidden"),
            "{field:?}: {seen:?}"
        );
    }
    assert_eq!(world.counts(EdgeReason::Http2MalformedMessage, 2), 2);
    assert_eq!(world.counts(EdgeReason::Http2ProtocolError, 4), 4); // the stream's and the connection's
    assert_eq!(world.counted(EdgeReason::ClientReset), 0);
}

/// Whoever relies on them must not take the message for whole without them.
#[test]
fn more_trailers_than_are_read_are_refused_and_not_left_out() {
    let world = World::new();
    let mut client = Http2::connect(&world);
    let stream = client.begin(&post(&[]));
    let mut origin = world.origin.accept();
    origin.head();
    client.trailers(stream, &[("x", "y"); TRAILER_FIELDS + 1]);
    assert_eq!(client.outcome(stream), Outcome::Status(431));
    assert_eq!(world.counts(Refusal::TrailersTooLarge, 1), 1);
    assert_eq!(origin.rest().0, "");
    client.goes_on(&world);
}

/// So large that the library leaves it out, and gives the rest for all of them.
#[test]
fn one_trailer_larger_than_all_may_be_is_refused_and_not_left_out() {
    let world = World::new();
    let mut client = Http2::connect(&world);
    let large = "x".repeat(80 * 1024);
    let stream = client.begin(&post(&[]));
    let mut origin = world.origin.accept();
    origin.head();
    client.trailers_in_pieces(stream, &[("x-small", "y"), ("x-large", &large)]);
    assert_eq!(client.outcome(stream), Outcome::Status(431));
    assert_eq!(world.counts(Refusal::TrailersTooLarge, 1), 1);
    assert_eq!(origin.rest().0, "");
    client.goes_on(&world);
}

/// The visitor went away in the middle of an upload: the origin must not take what it has for all of it.
#[test]
fn a_stream_that_is_cut_is_cut_for_the_origin() {
    let world = World::new();
    let mut client = Http2::connect(&world);
    let stream = client.begin(&post(&[]));
    let mut origin = world.origin.accept();
    origin.head();
    client.data(stream, "half", false);
    assert_eq!(origin.take_text(9), "4\r\nhalf\r\n");
    client.leave();
    assert_eq!(origin.rest().0, "");
}

#[test]
fn an_origins_cut_body_is_a_stream_error() {
    let world = World::new();
    let mut client = Http2::connect(&world);
    for said in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let stream = client.ask(&get("/"));
        let mut origin = world.origin.accept();
        origin.head();
        origin.send(said);
        assert_eq!(client.outcome(stream), Outcome::Status(200));
        drop(origin);
        assert_eq!(client.reset(stream), 2, "INTERNAL_ERROR");
    }
    client.goes_on(&world);
}
