//! Large answers of which not all is on the disk: who may be answered with them, and what takes the place of what.

use crate::origin::FRESH;
use crate::parts::{
    MIB, TAGGED, are_there, ask, asked, begin, content, is_over, pieces, send_all, send_range,
    with_a_part, world,
};
use crate::world::{World, eventually};

/// A world in which all of `/large` is on the disk.
fn with_all(world: &World, fields: &str, content: &str) {
    let mut client = world.client();
    client.get("/large");
    let mut origin = world.origin.accept();
    origin.head();
    let sending = send_all(origin, fields, content);
    assert!(client.answer().body == *content);
    are_there(world, content.len().div_ceil(MIB) as u64);
    sending.join().unwrap();
    is_over(world);
}

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
        answer.cache_status().ends_with("detail=part-beside"),
        "{}",
        answer.cache_status()
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

/// The part took the place of the whole.
#[test]
fn a_range_of_what_is_there_whole_takes_the_place_of_nothing() {
    let world = world();
    let content = content(4 * MIB);
    with_all(&world, TAGGED, &content);
    let mut client = world.client();
    client.send("GET /large HTTP/1.1\r\nHost: a.example\r\nRange: bytes=0-1500000\r\nIf-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n");
    let mut origin = world.origin.accept();
    assert_eq!(asked(&origin.head()), (0, 1_500_000));
    let sending = send_range(origin, TAGGED, &content, 0, 1_500_000);
    let answer = client.answer();
    assert!(answer.body == content[..=1_500_000]);
    assert!(
        answer.cache_status().ends_with("detail=part-beside"),
        "{}",
        answer.cache_status()
    );
    let _origin = sending.join().unwrap();
    client.get("/large");
    let answer = client.answer();
    assert!(answer.is_hit() && answer.body == content);
    assert_eq!(world.origin.unaccepted(), 0);
}

#[test]
fn a_range_of_another_content_takes_the_place_of_the_whole() {
    let world = world();
    let content = content(4 * MIB);
    let old = "Cache-Control: max-age=1\r\nAge: 1\r\nETag: \"0\"\r\n";
    with_all(&world, old, &content);
    let newer: String = content.chars().rev().collect();
    let mut client = world.client();
    ask(&mut client, "0-1500000");
    let mut origin = world.origin.accept();
    assert_eq!(origin.head().field("if-none-match"), Some("\"0\""));
    let sending = send_range(origin, TAGGED, &newer, 0, 1_500_000);
    assert!(client.answer().body == newer[..=1_500_000]);
    let _origin = sending.join().unwrap();
    eventually("only the piece of the newer is there", || {
        (pieces(&world) == 1).then_some(())
    });
    ask(&mut client, &format!("0-{}", MIB - 1));
    let answer = client.answer();
    assert!(answer.is_hit() && answer.body == newer[..MIB]);
}

/// Each let go of what the other had brought.
#[test]
fn of_two_ranges_that_are_the_first_at_once_one_is_kept() {
    let world = world();
    let content = content(30 * MIB);
    let (mut one, mut other) = (world.client(), world.client());
    ask(&mut one, &format!("0-{}", 2 * MIB - 1));
    let mut first = world.origin.accept();
    first.head();
    ask(&mut other, &format!("{}-{}", 10 * MIB, 12 * MIB - 1));
    let mut second = world.origin.accept();
    second.head();
    let first = send_range(first, TAGGED, &content, 0, 2 * MIB - 1);
    assert!(one.answer().body == content[..2 * MIB]);
    are_there(&world, 2);
    let second = send_range(second, TAGGED, &content, 10 * MIB, 12 * MIB - 1);
    let answer = other.answer();
    assert!(answer.body == content[10 * MIB..12 * MIB]);
    assert!(
        answer.cache_status().ends_with("detail=part-beside"),
        "{}",
        answer.cache_status()
    );
    let (_first, _second) = (first.join().unwrap(), second.join().unwrap());
    ask(&mut one, &format!("0-{}", 2 * MIB - 1));
    let answer = one.answer();
    assert!(answer.is_hit() && answer.body == content[..2 * MIB]);
}

/// He was cut off: what he had yet to read left with what took its place.
#[test]
fn whoever_reads_slowly_has_his_answer_whole_though_another_had_it_replaced() {
    for change in [
        "GET /large HTTP/1.1\r\nHost: a.example\r\nCache-Control: no-cache\r\n\r\n",
        "DELETE /large HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ] {
        for newer in ["newer".to_owned(), content(3 * MIB)] {
            let world = world();
            let content = content(24 * MIB);
            let mut slow = world.client_with_little_room();
            slow.get("/large");
            let mut origin = world.origin.accept();
            origin.head();
            let sending = send_all(origin, FRESH, &content);
            are_there(&world, 12);
            let mut other = world.client();
            other.send(change);
            let mut again = world.origin.accept();
            again.head();
            let again = send_all(again, FRESH, &newer);
            assert!(other.answer().body == newer);
            let _again = again.join().unwrap();
            assert!(slow.answer().body == content, "{change}");
            let _origin = sending.join().unwrap();
        }
    }
}
