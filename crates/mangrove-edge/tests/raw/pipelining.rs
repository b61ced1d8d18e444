//! Requests behind requests: answered in order, each for itself, and none found where it is not.

use mangrove_http::Refusal::*;

use crate::world::World;

#[test]
fn pipelined_requests_are_answered_in_order_and_not_mixed() {
    let world = World::new();
    let mut client = world.client();
    client.send(
        "GET /1 HTTP/1.1\r\nHost: a.example\r\n\r\n\
         POST /2 HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\ntwo\
         HEAD /3 HTTP/1.1\r\nHost: a.example\r\n\r\n\
         POST /4 HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n0\r\n\r\n\
         GET /5 HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n\
         GET /never HTTP/1.1\r\nHost: a.example\r\n\r\n",
    );
    let mut origin = world.origin.accept();
    assert_eq!(origin.head().first_line(), "GET /1 HTTP/1.1");
    origin.answer("one");
    assert_eq!(origin.head().first_line(), "POST /2 HTTP/1.1");
    assert_eq!(origin.take_text(3), "two");
    origin.answer("2");
    assert_eq!(origin.head().first_line(), "HEAD /3 HTTP/1.1");
    origin.send("HTTP/1.1 200 OK\r\nContent-Length: 33\r\n\r\n");
    assert_eq!(origin.head().first_line(), "POST /4 HTTP/1.1");
    assert_eq!(origin.chunked().0, "four");
    origin.answer("4444");
    assert_eq!(origin.head().first_line(), "GET /5 HTTP/1.1");
    origin.answer("five");

    assert_eq!(client.answer().body, "one");
    assert_eq!(client.answer().body, "2");
    assert_eq!(
        client.answer_to_head().head.field("content-length"),
        Some("33")
    );
    assert_eq!(client.answer().body, "4444");
    let last = client.answer();
    assert_eq!(
        (last.body.as_str(), last.head.field("connection")),
        ("five", Some("close"))
    );
    client.ends();
    assert!(world.origin.is_untouched());
}

#[test]
fn a_body_that_looks_like_a_request_is_never_read_as_one() {
    let world = World::new();
    let mut client = world.client();
    let body = "GET /hidden HTTP/1.1\r\nHost: b.example\r\n\r\n";
    let length = body.len();
    client.send(format!(
        "POST /1 HTTP/1.1\r\nHost: a.example\r\nContent-Length: {length}\r\n\r\n{body}"
    ));
    client.send(format!(
        "POST /2 HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"
    ));
    let mut origin = world.origin.accept();
    assert_eq!(
        origin.head().field("content-length"),
        Some(&*length.to_string())
    );
    assert_eq!(origin.take_text(length), body);
    origin.answer("one");
    assert_eq!(origin.head().first_line(), "POST /2 HTTP/1.1");
    assert_eq!(origin.chunked().0, body);
    origin.answer("two");
    assert_eq!(client.answer().body, "one");
    assert_eq!(client.answer().body, "two");
    let paths: Vec<_> = world
        .records()
        .iter()
        .map(|r| r["url.path"].to_string())
        .collect();
    assert!(
        !paths.iter().any(|path| path.contains("hidden")),
        "{paths:?}"
    );
}

#[test]
fn nothing_behind_a_refused_request_is_read() {
    let world = World::new();
    let mut client = world.client();
    client.send(
        "GET / HTTP/1.1\r\nHost: a.example\r\nContent-Length: x\r\n\r\n\
         GET /hidden HTTP/1.1\r\nHost: a.example\r\n\r\n",
    );
    assert_eq!(
        client.answer().reason(),
        Some(MalformedContentLength.name())
    );
    client.ends();
    assert!(world.origin.is_untouched());
}

/// The edge answers by itself, before it has read the body: the body is skipped, not taken for requests.
#[test]
fn the_body_of_a_request_refused_for_its_method_is_skipped() {
    let world = World::new();
    let mut client = world.client();
    client.send(
        "TRACE / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 41\r\n\r\n\
         GET /hidden HTTP/1.1\r\nHost: a.example\r\n\r\n\
         GET /next HTTP/1.1\r\nHost: a.example\r\n\r\n",
    );
    assert_eq!(client.answer().reason(), Some(MethodNotAllowed.name()));
    let mut origin = world.origin.accept();
    assert_eq!(origin.head().first_line(), "GET /next HTTP/1.1");
    origin.answer("next");
    assert_eq!(client.answer().body, "next");
}

#[test]
fn one_empty_line_before_a_request_is_skipped_and_two_are_not() {
    let world = World::new();
    let mut client = world.client();
    client.send("\r\n");
    client.get("/1");
    let mut origin = world.origin.accept();
    origin.head();
    origin.answer("one");
    assert_eq!(client.answer().body, "one");
    drop(origin);
    world.refuses(
        "\r\n\r\nGET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
        MalformedRequestLine,
    );
}

#[test]
fn http_1_0_connections_end_unless_both_sides_say_otherwise() {
    let world = World::new();
    let mut client = world.client();
    client.send("GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /2 HTTP/1.0\r\n\r\nGET /never HTTP/1.0\r\n\r\n");
    let mut origin = world.origin.accept();
    for (path, connection) in [("/1", "keep-alive"), ("/2", "close")] {
        assert_eq!(origin.head().first_line(), format!("GET {path} HTTP/1.1"));
        origin.answer("ok");
        assert_eq!(client.answer().head.field("connection"), Some(connection));
    }
    client.ends();
}
