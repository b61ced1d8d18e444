//! Malformed requests in HTTP/2: a stream error each (RFC 9113 section 8.1.1), and the connection goes on.

use mangrove_edge::reason::EdgeReason;
use mangrove_http::Refusal;

use crate::frames::{Http2, Outcome, PROTOCOL_ERROR, get, post};
use crate::world::World;

/// A GET whose field at `index` is replaced.
fn get_with<'a>(index: usize, field: (&'a str, &'a str)) -> Vec<(&'a str, &'a str)> {
    let mut fields = get("/").to_vec();
    fields[index] = field;
    fields
}

/// A GET without the field at `index`.
fn get_without(index: usize) -> Vec<(&'static str, &'static str)> {
    let mut fields = get("/").to_vec();
    fields.remove(index);
    fields
}

/// A GET with one more field.
fn get_and<'a>(field: (&'a str, &'a str)) -> Vec<(&'a str, &'a str)> {
    let mut fields = get("/").to_vec();
    fields.push(field);
    fields
}

/// Each on its own stream of one connection: a stream error, nothing for the origin, and then a stream that is served.
fn refuses_each(rows: &[Vec<(&str, &str)>]) {
    let world = World::new();
    let mut client = Http2::connect(&world);
    for fields in rows {
        let stream = client.ask(fields);
        assert_eq!(client.outcome(stream), PROTOCOL_ERROR, "{fields:?}");
        assert!(world.origin.is_untouched(), "{fields:?}");
        client.goes_on(&world);
    }
}

/// What the library that reads frames can hold no request for: it ends the connection, which is more than RFC 9113
/// section 8.1.1 asks, and nothing of it reaches the edge's own rules.
fn ends_at_each(rows: &[Vec<(&str, &str)>]) {
    let world = World::new();
    for (count, fields) in rows.iter().enumerate() {
        let mut client = Http2::connect(&world);
        let stream = client.ask(fields);
        assert_eq!(client.outcome(stream), Outcome::GoneAway(1), "{fields:?}");
        let count = count as u64 + 1;
        assert_eq!(world.counts(EdgeReason::Http2ProtocolError, count), count);
    }
    assert!(world.origin.is_untouched());
}

#[test]
fn pseudo_fields_are_all_there_once_and_first() {
    let mut late = get("/").to_vec();
    late.insert(0, ("x", "y"));
    refuses_each(&[
        get_without(0),
        get_without(1),
        get_without(3),
        get_and((":path", "/b")),
        get_and((":authority", "b.example")),
        get_and((":method", "POST")),
        get_and((":scheme", "https")),
        get_and((":status", "200")),
        late,
    ]);
    ends_at_each(&[get_and((":unknown", "x")), get_and((":", "x"))]);
}

#[test]
fn pseudo_fields_hold_what_a_request_line_could() {
    refuses_each(&[
        get_with(3, (":path", "")),
        get_with(3, (":path", "a")),
        get_with(3, (":path", "*")),
        get_with(3, (":path", "http://a.example/")),
        get_with(3, (":path", "/ HTTP/1.1\r\nHost: b.example\r\n\r\n")),
        get_with(3, (":path", "/a b")),
        get_with(3, (":path", "/\u{e9}")),
        get_with(3, (":path", "/\0")),
        get_with(2, (":authority", "")),
        get_with(2, (":authority", "a.example, b.example")),
        get_with(2, (":authority", "user@a.example")),
        get_with(2, (":authority", "a.example\r\nX: y")),
        get_with(2, (":authority", "a.example/b")),
        get_with(2, (":authority", "a.example:65536")),
        get_with(1, (":scheme", "ftp")),
        get_with(1, (":scheme", "http\r\n")),
        get_and((":protocol", "websocket")),
    ]);
    ends_at_each(&[
        get_with(0, (":method", "")),
        get_with(0, (":method", "GET / HTTP/1.1\r\nX: y\r\n\r\nGET")),
        get_with(0, (":method", "GET ")),
    ]);
}

#[test]
fn names_and_values_hold_what_a_field_line_could() {
    refuses_each(&[get_and(("x", " y")), get_and(("x", "y\t"))]);
    ends_at_each(&[
        get_and(("X-Upper", "y")),
        get_and(("x y", "z")),
        get_and(("x:y", "z")),
        get_and(("x\r\ny", "z")),
        get_and(("", "z")),
        get_and(("x", "y\r\nhost: b.example")),
        get_and(("x", "y\nz")),
        get_and(("x", "y\0")),
    ]);
}

#[test]
fn fields_about_a_connection_do_not_exist() {
    refuses_each(&[
        get_and(("connection", "close")),
        get_and(("keep-alive", "timeout=1")),
        get_and(("proxy-connection", "keep-alive")),
        get_and(("transfer-encoding", "chunked")),
        get_and(("upgrade", "websocket")),
        get_and(("te", "gzip")),
        get_and(("te", "trailers, deflate")),
    ]);
}

#[test]
fn host_and_authority_are_one_and_the_same() {
    let mut twice = get_without(2);
    twice.extend([("host", "a.example"), ("host", "a.example")]);
    refuses_each(&[
        get_and(("host", "b.example")),
        get_and(("host", "a.example:81")),
        get_without(2),
        twice,
    ]);
    let world = World::new();
    let mut client = Http2::connect(&world);
    let stream = client.ask(&get_and(("host", "A.example:80")));
    let mut origin = world.origin.accept();
    assert_eq!(origin.head().all("host"), ["a.example"]);
    origin.answer("fine");
    assert_eq!(client.outcome(stream), Outcome::Status(200));
}

#[test]
fn a_length_that_is_not_the_bodys_is_a_stream_error() {
    let world = World::new();
    let mut client = Http2::connect(&world);
    for (length, body) in [("5", "four"), ("5", "sixsix")] {
        let stream = client.begin(&post(&[("content-length", length)]));
        let mut origin = world.origin.accept();
        assert_eq!(origin.head().field("content-length"), Some(length));
        client.data(stream, body, true);
        assert_eq!(client.outcome(stream), PROTOCOL_ERROR, "{body}");
        let (seen, _) = origin.rest();
        assert!(seen.len() < 5, "the origin has a whole body: {seen}");
        client.goes_on(&world);
    }
    refuses_each(&[
        post(&[("content-length", "5")]),
        post(&[("content-length", "0"), ("content-length", "0")]),
        post(&[("content-length", "0, 0")]),
        post(&[("content-length", "+0")]),
        post(&[("content-length", "")]),
        post(&[("content-length", "18446744073709551616")]),
    ]);
}

/// What the edge itself refuses, as against the library that frames, has its name in the log and the metrics.
#[test]
fn a_stream_error_has_a_name() {
    let world = World::new();
    let mut client = Http2::connect(&world);
    let rows = [
        (
            get_with(2, (":authority", "user@a.example")),
            Refusal::MalformedAuthority,
        ),
        (get_and(("host", "b.example")), Refusal::AuthorityDisagrees),
        (get_and(("x", " y")), Refusal::SpaceAroundValue),
        (get_with(1, (":scheme", "ftp")), Refusal::MalformedScheme),
    ];
    for (fields, refusal) in rows {
        let stream = client.ask(&fields);
        assert_eq!(client.outcome(stream), PROTOCOL_ERROR);
        assert_eq!(world.counts(refusal, 1), 1);
    }
}

#[test]
fn what_is_not_malformed_but_not_offered_is_answered_in_words() {
    let world = World::new();
    let mut client = Http2::connect(&world);
    let connect = [(":method", "CONNECT"), (":authority", "a.example:443")];
    let stream = client.ask(&connect);
    assert_eq!(client.outcome(stream), Outcome::Status(405));
    let stream = client.ask(&get_with(0, (":method", "TRACE")));
    assert_eq!(client.outcome(stream), Outcome::Status(405));
    let many: Vec<_> = get("/").into_iter().chain([("x", "y"); 101]).collect();
    let stream = client.ask(&many);
    assert_eq!(client.outcome(stream), Outcome::Status(431));
    assert!(world.origin.is_untouched());
    client.goes_on(&world);
}

#[test]
fn broken_framing_ends_the_connection_and_is_counted() {
    let world = World::new();
    let mut client = Http2::connect(&world);
    client.data(1, "on a stream that nobody opened", true);
    assert_eq!(client.outcome(1), Outcome::GoneAway(1));
    client.ends();
    assert_eq!(world.counts(EdgeReason::Http2ProtocolError, 1), 1);
}
