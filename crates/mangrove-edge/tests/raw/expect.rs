//! `Expect: 100-continue` (RFC 9110 section 10.1.1) in all its forms.

use mangrove_http::Refusal::*;

use crate::world::World;

const ASKS: &str =
    "POST / HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";

#[test]
fn the_body_waits_until_the_origin_says_100() {
    let world = World::new();
    let mut client = world.client();
    client.send(ASKS);
    let mut origin = world.origin.accept();
    assert_eq!(origin.head().field("expect"), Some("100-continue"));
    origin.send("HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(client.head().first_line(), "HTTP/1.1 100 Continue");
    client.send("hello");
    assert_eq!(origin.take_text(5), "hello");
    origin.answer("fine");
    assert_eq!(client.answer().body, "fine");

    client.get("/next");
    assert_eq!(origin.head().first_line(), "GET /next HTTP/1.1");
    origin.answer("next");
    assert_eq!(client.answer().body, "next");
}

/// What comes next on the client's connection may be the body after all: it is closed. So is the origin's, which still
/// expects one.
#[test]
fn a_final_answer_without_the_body_ends_both_connections() {
    let world = World::new();
    let mut client = world.client();
    client.send(ASKS);
    let mut origin = world.origin.accept();
    origin.head();
    origin.send("HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno");
    let answer = client.answer();
    assert_eq!(
        (answer.head.status(), answer.head.field("connection")),
        (413, Some("close"))
    );
    client.ends();
    origin.ends();
}

#[test]
fn an_origin_that_says_nothing_gets_the_body_after_a_while() {
    let world = World::new();
    let mut client = world.client();
    client.send(ASKS);
    let mut origin = world.origin.accept();
    origin.head();
    assert_eq!(client.head().first_line(), "HTTP/1.1 100 Continue");
    client.send("hello");
    assert_eq!(origin.take_text(5), "hello");
    origin.answer("fine");
    assert_eq!(client.answer().body, "fine");
}

#[test]
fn a_client_that_does_not_wait_is_not_told_to_go_on() {
    let world = World::new();
    let mut client = world.client();
    client.send(format!("{ASKS}hello"));
    let mut origin = world.origin.accept();
    origin.head();
    origin.send("HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(origin.take_text(5), "hello");
    origin.answer("fine");
    // 100 may come or be left out (the body was here already), and then the answer.
    let mut head = client.head();
    if head.status() == 100 {
        head = client.head();
    }
    assert_eq!(head.status(), 200);
    assert_eq!(client.take_text(4), "fine");
}

#[test]
fn a_100_that_nobody_waits_for_goes_no_further() {
    let world = World::new();
    let mut client = world.client();
    client.get("/");
    let mut origin = world.origin.accept();
    assert_eq!(origin.head().field("expect"), None);
    origin.send("HTTP/1.1 100 Continue\r\n\r\n");
    origin.answer("fine");
    let answer = client.answer();
    assert_eq!((answer.head.status(), answer.body.as_str()), (200, "fine"));
}

#[test]
fn an_expectation_without_a_body_is_not_passed_on() {
    let world = World::new();
    let mut client = world.client();
    client.send("GET / HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\n\r\n");
    let mut origin = world.origin.accept();
    assert_eq!(origin.head().field("expect"), None);
    origin.answer("fine");
    assert_eq!(client.answer().body, "fine");
}

#[test]
fn http_1_0_clients_are_not_told_to_go_on() {
    let world = World::new();
    let mut client = world.client();
    client.send(ASKS.replace("HTTP/1.1", "HTTP/1.0"));
    client.send("hello");
    let mut origin = world.origin.accept();
    assert_eq!(origin.head().field("expect"), None);
    assert_eq!(origin.take_text(5), "hello");
    origin.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    origin.answer("fine");
    assert_eq!(client.answer().body, "fine");
}

#[test]
fn other_expectations_are_refused() {
    let world = World::new();
    for value in ["200-ok", "100-continue, 100-continue", "100-continue=x", ""] {
        let request = format!(
            "POST / HTTP/1.1\r\nHost: a.example\r\nExpect: {value}\r\nContent-Length: 5\r\n\r\n"
        );
        world.refuses(request, ExpectationFailed);
    }
}
