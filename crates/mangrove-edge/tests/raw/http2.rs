//! Malformed requests in HTTP/2: a stream error each (RFC 9113 section 8.1.1), and the connection goes on.

use mangrove_edge::reason::EdgeReason;
use mangrove_http::Refusal;

use crate::frames::{Http2, Outcome, PROTOCOL_ERROR, get, post};
use crate::wire::End;
use crate::world::{World, eventually};

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
    is_named(&world, EdgeReason::Http2ProtocolError, 1);
}

/// It has its count and as many lines in the log, each with its name.
fn is_named(world: &World, reason: EdgeReason, times: u64) {
    assert_eq!(world.counts(reason, times), times);
    let lines = eventually(reason.name(), || {
        let mut records = world.records();
        records.retain(|record| record["reason"] == reason.name());
        (records.len() as u64 >= times).then_some(records)
    });
    assert_eq!(lines.len() as u64, times);
    for line in lines {
        assert_eq!(line["http.response.status_code"], reason.status());
        assert_eq!(line["network.protocol.version"], "2");
        assert_eq!(line["fault"], "visitor");
    }
}

/// The library that reads frames resets these streams and tells nobody.
#[test]
fn what_the_library_refuses_has_a_name_a_line_and_a_count() {
    let world = World::new();
    let mut client = Http2::connect(&world);
    let rows = [
        get_without(0),
        get_and((":path", "/b")),
        get_and(("connection", "close")),
        post(&[("content-length", "5")]),
    ];
    for (count, fields) in (1..).zip(&rows) {
        let stream = client.ask(fields);
        assert_eq!(client.outcome(stream), PROTOCOL_ERROR, "{fields:?}");
        is_named(&world, EdgeReason::Http2MalformedMessage, count);
    }
    client.goes_on(&world);

    let stream = client.begin(&post(&[("content-length", "5")]));
    let mut origin = world.origin.accept();
    origin.head();
    client.data(stream, "four", true);
    assert_eq!(client.outcome(stream), PROTOCOL_ERROR);
    is_named(&world, EdgeReason::Http2MalformedMessage, 5);
    assert_eq!(world.counted(EdgeReason::ClientReset), 0);
}

#[test]
fn windows_opened_too_far_are_flow_control_errors() {
    const FLOW_CONTROL_ERROR: u32 = 3;
    let world = World::new();
    let mut client = Http2::connect(&world);
    let stream = client.begin(&post(&[]));
    let mut origin = world.origin.accept();
    origin.head();
    client.opens_window(stream, 0x7fff_ffff);
    assert_eq!(client.outcome(stream), Outcome::Reset(FLOW_CONTROL_ERROR));
    is_named(&world, EdgeReason::Http2FlowControlError, 1);
    client.goes_on(&world);
    client.opens_window(0, 0x7fff_ffff);
    assert_eq!(client.outcome(0), Outcome::GoneAway(FLOW_CONTROL_ERROR));
    is_named(&world, EdgeReason::Http2FlowControlError, 2);
}

#[test]
fn a_frame_longer_than_offered_is_a_frame_size_error() {
    const FRAME_SIZE_ERROR: u32 = 6;
    let world = World::new();
    let mut client = Http2::connect(&world);
    client.data(1, &"x".repeat(16 * 1024 + 1), true);
    assert_eq!(client.outcome(1), Outcome::GoneAway(FRAME_SIZE_ERROR));
    is_named(&world, EdgeReason::Http2FrameSizeError, 1);
}

/// Its state is the connection's: nothing after it could be read. RFC 9113 section 4.3 has a code of its own for that; the
/// library says PROTOCOL_ERROR.
#[test]
fn a_field_section_that_cannot_be_decoded_ends_the_connection() {
    let world = World::new();
    let mut client = Http2::connect(&world);
    let waits = client.begin(&post(&[]));
    let mut origin = world.origin.accept();
    origin.head();
    let stream = client.ask_in_no_code();
    assert_eq!(client.outcome(stream), Outcome::GoneAway(1));
    assert_eq!(client.is_told_the_end(), End::Closed);
    is_named(&world, EdgeReason::Http2ProtocolError, 2);
    assert_eq!(origin.rest().0, "", "{waits} was cut");
}

#[test]
fn one_stream_more_than_offered_is_refused_and_may_come_again() {
    const REFUSED_STREAM: u32 = 7;
    let world = World::with("limits.h2_streams = 1", "");
    let mut client = Http2::connect(&world);
    let first = client.begin(&post(&[]));
    let mut origin = world.origin.accept();
    origin.head();
    let second = client.ask(&get("/"));
    assert_eq!(client.outcome(second), Outcome::Reset(REFUSED_STREAM));
    is_named(&world, EdgeReason::Http2TooManyStreams, 1);
    client.data(first, "", true);
    origin.chunked();
    origin.answer("fine");
    assert_eq!(client.outcome(first), Outcome::Status(200));
}

/// One past what one connection is forgiven.
#[test]
fn malformed_requests_without_end_are_a_flood() {
    let world = World::new();
    let mut client = Http2::connect(&world);
    for _ in 0..50 {
        let stream = client.ask(&get_without(0));
        assert_eq!(client.outcome(stream), PROTOCOL_ERROR);
    }
    client.ask(&get_without(0));
    assert_eq!(client.goes_away(), ENHANCE_YOUR_CALM);
    is_named(&world, EdgeReason::Http2ForcedResets, 1);
    assert_eq!(world.counts(EdgeReason::Http2MalformedMessage, 50), 51);
}

const ENHANCE_YOUR_CALM: u32 = 11;

/// Told in words, and by the edge itself: what the library would say has no page and no name.
#[test]
fn a_head_larger_than_is_read_is_refused_by_name() {
    let world = World::new();
    let mut client = Http2::connect(&world);
    let large = "x".repeat(15 * 1024);
    for (count, fields) in [(1, 3), (2, 5)] {
        let mut all = get("/").to_vec();
        all.extend(vec![("x-large", large.as_str()); fields]);
        let stream = client.ask_in_pieces(&all);
        assert_eq!(client.outcome(stream), Outcome::Status(431), "{fields}");
        assert_eq!(world.counts(Refusal::HeadTooLarge, count), count);
    }
    client.goes_on(&world);
}
