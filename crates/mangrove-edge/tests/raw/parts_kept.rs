//! Large answers of which not all is on the disk: who may be answered with them, and what takes the place of what.

use crate::parts::{
    MIB, TAGGED, ask, asked, begin, content, send_range, status, with_a_part, world,
};
use crate::world::eventually;

const GONE: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\ngone";

/// The head went out, and the connection broke off where the first missing byte was to come.
#[test]
fn where_bytes_are_missing_nothing_stands_in_for_the_origin() {
    let world = world();
    let content = content(30 * MIB);
    with_a_part(&world, &content, 2);
    let mut client = world.client();
    ask(&mut client, "20000000-20000099");
    let mut origin = world.origin.accept();
    assert_eq!(asked(&origin.head()), (20_000_000, 20_000_099));
    origin.send(GONE);
    let answer = client.answer();
    assert_eq!((answer.head.status(), &*answer.body), (503, "gone"));
    // What is there stands in as ever.
    ask(&mut client, "0-9");
    assert_eq!(client.answer().body, content[..10]);
}

#[test]
fn whoever_waited_for_an_origin_that_failed_gets_no_head_without_its_bytes_either() {
    let world = world();
    let content = content(30 * MIB);
    with_a_part(&world, &content, 2);
    let (mut first, mut second) = (world.client(), world.client());
    first.get("/large");
    let mut origin = world.origin.accept();
    assert_eq!(asked(&origin.head()), (2 * MIB, 30 * MIB - 1));
    second.get("/large");
    eventually("the second waits", || {
        (world.metric("mangrove_cache_followers") == 1).then_some(())
    });
    origin.send(GONE);
    assert_eq!(first.answer().head.status(), 503);
    // He asks for himself, once.
    assert_eq!(asked(&origin.head()), (2 * MIB, 30 * MIB - 1));
    origin.send(GONE);
    assert_eq!(second.answer().head.status(), 503);
}

#[test]
fn what_is_stale_and_not_all_there_does_not_stand_in_for_a_failure() {
    let world = world();
    let content = content(30 * MIB);
    let stale = "Cache-Control: max-age=1, stale-if-error=600\r\nAge: 1\r\nETag: \"1\"\r\n";
    let mut client = world.client();
    client.get("/large");
    let mut origin = world.origin.accept();
    origin.head();
    begin(&mut origin, stale, &content, 2 * MIB);
    client.head();
    client.take(2 * MIB);
    let mut other = world.client();
    ask(&mut other, "20000000-20000099");
    let mut again = world.origin.accept();
    assert_eq!(again.head().field("if-none-match"), Some("\"1\""));
    again.send(GONE);
    assert_eq!(other.answer().head.status(), 503);
}

#[test]
fn what_was_confirmed_and_is_not_all_there_is_asked_for_as_the_visitor_asked() {
    let world = world();
    let content = content(30 * MIB);
    let weak = "Cache-Control: max-age=1\r\nAge: 1\r\nETag: W/\"1\"\r\n";
    let mut client = world.client();
    client.get("/large");
    let mut origin = world.origin.accept();
    origin.head();
    begin(&mut origin, weak, &content, 2 * MIB);
    client.head();
    client.take(2 * MIB);
    let mut other = world.client();
    ask(&mut other, "20000000-20000099");
    let mut again = world.origin.accept();
    assert_eq!(again.head().field("if-none-match"), Some("W/\"1\""));
    again.send("HTTP/1.1 304 Not Modified\r\nETag: W/\"1\"\r\n\r\n");
    let head = again.head();
    assert_eq!(asked(&head), (20_000_000, 20_000_099));
    assert_eq!(head.field("if-none-match"), None);
    let sending = send_range(again, weak, &content, 20_000_000, 20_000_099);
    let answer = other.answer();
    assert_eq!(answer.body, content[20_000_000..=20_000_099]);
    assert!(
        status(&answer).ends_with("detail=part-beside"),
        "{}",
        status(&answer)
    );
    drop(sending.join().unwrap());
    // Whoever reads the first answer has the rest of it.
    origin.send(&content[2 * MIB..3 * MIB]);
    assert!(client.take_text(MIB) == content[2 * MIB..3 * MIB]);
}

#[test]
fn what_was_confirmed_and_can_be_asked_for_in_parts_is_completed() {
    let world = world();
    let content = content(30 * MIB);
    let old = "Cache-Control: max-age=1\r\nAge: 1\r\nETag: \"1\"\r\n";
    let mut client = world.client();
    client.get("/large");
    let mut origin = world.origin.accept();
    origin.head();
    begin(&mut origin, old, &content, 2 * MIB);
    client.head();
    client.take(2 * MIB);
    let mut other = world.client();
    ask(&mut other, &format!("{}-{}", 20 * MIB, 21 * MIB - 1));
    let mut again = world.origin.accept();
    assert_eq!(again.head().field("if-none-match"), Some("\"1\""));
    again.send(format!("HTTP/1.1 304 Not Modified\r\n{TAGGED}\r\n"));
    let head = again.head();
    assert_eq!(asked(&head), (20 * MIB, 21 * MIB - 1));
    assert_eq!(head.field("if-range"), Some("\"1\""));
    let sending = send_range(again, TAGGED, &content, 20 * MIB, 21 * MIB - 1);
    assert!(other.answer().body == content[20 * MIB..21 * MIB]);
    drop(sending.join().unwrap());
}
