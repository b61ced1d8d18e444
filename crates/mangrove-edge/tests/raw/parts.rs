//! Large answers of which not all is on the disk: who joins them, and which bytes the origin is asked for.
//!
//! Memory is small, so that whatever is 2 MiB or more goes to the disk alone.

mod runs;

use std::thread::JoinHandle;

use crate::disk::restart;
use crate::origin::{FRESH, Visit, send};
use crate::wire::{Head, Wire};
use crate::world::{Client, World, eventually};

pub(crate) const MIB: usize = 1 << 20;
pub(crate) const TAGGED: &str = "Cache-Control: max-age=60\r\nETag: \"1\"\r\n";

pub(crate) fn world() -> World {
    World::with("cache_memory = '8MiB'", "")
}

/// Content whose every line tells where it is.
pub(crate) fn content(bytes: usize) -> String {
    let lines = (0..bytes.div_ceil(16)).map(|line| format!("{line:015}\n"));
    let mut content: String = lines.collect();
    content.truncate(bytes);
    content
}

pub(crate) fn ask(client: &mut Client, range: &str) {
    client.send(format!(
        "GET /large HTTP/1.1\r\nHost: a.example\r\nRange: bytes={range}\r\n\r\n"
    ));
}

/// The first part of an answer of 200, and no more for now.
pub(crate) fn begin(origin: &mut Visit, fields: &str, content: &str, bytes: usize) {
    let length = content.len();
    origin.send(format!(
        "HTTP/1.1 200 OK\r\n{fields}Content-Length: {length}\r\n\r\n"
    ));
    origin.send(&content[..bytes]);
}

/// All of it, which the origin sends in another thread.
pub(crate) fn send_all(mut origin: Visit, fields: &str, content: &str) -> JoinHandle<Visit> {
    let (fields, content) = (fields.to_owned(), content.to_owned());
    std::thread::spawn(move || {
        send(&mut origin, &fields, &content);
        origin
    })
}

/// A range as it was asked for, which the origin sends in another thread.
pub(crate) fn send_range(
    mut origin: Visit,
    fields: &str,
    content: &str,
    first: usize,
    last: usize,
) -> JoinHandle<Visit> {
    let (length, total) = (last + 1 - first, content.len());
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\n{fields}Content-Range: bytes {first}-{last}/{total}\r\nContent-Length: {length}\r\n\r\n"
    );
    let part = content[first..=last].to_owned();
    std::thread::spawn(move || {
        origin.try_send(head);
        origin.try_send(part);
        origin
    })
}

/// Which bytes the origin was asked for.
pub(crate) fn asked(head: &Head) -> (usize, usize) {
    let range = head.field("range").unwrap().strip_prefix("bytes=").unwrap();
    let (first, last) = range.split_once('-').unwrap();
    (first.parse().unwrap(), last.parse().unwrap())
}

/// Pieces of objects that are on the disk.
pub(crate) fn pieces(world: &World) -> u64 {
    let (_, told) = world.operator("GET", "/cache/show?url=http://a.example/large");
    let variants = told["kept"].as_array().cloned().unwrap_or_default();
    let pieces = variants
        .iter()
        .map(|variant| variant["on_disk"]["pieces"].as_u64());
    pieces.flatten().sum()
}

pub(crate) fn are_there(world: &World, wanted: u64) {
    eventually(format!("{wanted} pieces"), || {
        (pieces(world) >= wanted).then_some(())
    });
}

/// Waits until the origin has nothing more to say.
pub(crate) fn is_over(world: &World) {
    let is_over = || world.operator("GET", "/cache").1["fills"]["under_way"] == 0;
    eventually("it is over", || is_over().then_some(()));
}

/// A world in which the first `there` MiB of `/large` are on the disk, and nothing more: its first visitor has left.
pub(crate) fn with_a_part(world: &World, content: &str, there: usize) {
    with_a_part_of(world, TAGGED, content, there);
}

/// The same of an answer with these fields.
pub(crate) fn with_a_part_of(world: &World, fields: &str, content: &str, there: usize) {
    let mut client = world.client();
    client.get("/large");
    let mut origin = world.origin.accept();
    origin.head();
    begin(&mut origin, fields, content, there * MIB);
    client.head();
    client.take(there * MIB);
    are_there(world, there as u64);
    Wire::from(client).reset();
    eventually("he has left", || (world.connections() == 0).then_some(()));
    drop(origin);
    is_over(world);
}

#[test]
fn whoever_comes_while_a_large_answer_is_under_way_gets_it_from_its_beginning_and_nobody_asks_again()
 {
    for fields in [FRESH, TAGGED] {
        let world = world();
        let content = content(6 * MIB + 5);
        let mut first = world.client();
        first.get("/large");
        let mut origin = world.origin.accept();
        origin.head();
        begin(&mut origin, fields, &content, 4 * MIB + 7);
        first.head();
        assert!(first.take_text(4 * MIB + 7) == content[..4 * MIB + 7]);
        are_there(&world, 4);
        let (mut second, mut third) = (world.client(), world.client());
        second.get("/large");
        let head = second.head();
        assert_eq!(
            head.field("content-length"),
            Some(&*content.len().to_string())
        );
        assert!(second.take_text(4 * MIB + 7) == content[..4 * MIB + 7]);
        // A range of it is cut out of what is there, and of what comes.
        ask(&mut third, &format!("{}-{}", 4 * MIB - 3, 5 * MIB));
        assert_eq!(third.head().status(), 206);
        assert!(third.take_text(9) == content[4 * MIB - 3..4 * MIB + 6]);
        origin.send(&content[4 * MIB + 7..]);
        assert!(first.take_text(2 * MIB - 2) == content[4 * MIB + 7..]);
        assert!(second.take_text(2 * MIB - 2) == content[4 * MIB + 7..]);
        assert!(third.take_text(MIB - 5) == content[4 * MIB + 6..=5 * MIB]);
        assert_eq!(world.origin.unaccepted(), 0);
    }
}

#[test]
fn a_client_that_seeks_makes_the_origin_send_what_he_seeks_and_not_the_file() {
    let world = world();
    let content = content(30 * MIB);
    with_a_part(&world, &content, 2);
    let mut client = world.client();
    ask(&mut client, &format!("{}-{}", 20 * MIB + 100, 22 * MIB));
    let mut origin = world.origin.accept();
    let head = origin.head();
    assert_eq!(asked(&head), (20 * MIB, 23 * MIB - 1));
    assert_eq!(head.field("if-range"), Some("\"1\""));
    let sending = send_range(origin, TAGGED, &content, 20 * MIB, 23 * MIB - 1);
    let answer = client.answer();
    assert_eq!(answer.head.status(), 206);
    assert!(answer.body == content[20 * MIB + 100..=22 * MIB]);
    assert!(
        answer.cache_status().contains("fwd=partial"),
        "{}",
        answer.cache_status()
    );
    assert!(
        answer.cache_status().ends_with("detail=partial"),
        "{}",
        answer.cache_status()
    );
    let _origin = sending.join().unwrap();
    are_there(&world, 5);
    // What came with it, and what was there before, asks nobody.
    for (first, last) in [(20 * MIB, 23 * MIB - 1), (0, 2 * MIB - 1), (MIB - 1, MIB)] {
        ask(&mut client, &format!("{first}-{last}"));
        let answer = client.answer();
        assert!(answer.is_hit(), "{}", answer.cache_status());
        assert!(answer.body == content[first..=last]);
    }
    assert_eq!(world.origin.unaccepted(), 0);
}

#[test]
fn what_is_there_in_part_answers_after_a_restart_and_is_completed_by_its_missing_bytes() {
    let mut world = world();
    let content = content(9 * MIB + 11);
    with_a_part(&world, &content, 3);
    restart(&mut world);
    let mut client = world.client();
    ask(&mut client, &format!("5-{}", 3 * MIB - 1));
    let answer = client.answer();
    assert!(answer.is_hit(), "{}", answer.cache_status());
    assert!(answer.body == content[5..3 * MIB]);
    client.send("HEAD /large HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let head = client.answer_to_head().head;
    assert_eq!(
        head.field("content-length"),
        Some(&*content.len().to_string())
    );
    assert!(world.origin.is_untouched());

    client.get("/large");
    let mut origin = world.origin.accept();
    assert_eq!(asked(&origin.head()), (3 * MIB, content.len() - 1));
    let sending = send_range(origin, TAGGED, &content, 3 * MIB, content.len() - 1);
    let answer = client.answer();
    assert_eq!(answer.head.status(), 200);
    assert!(answer.body == content);
    let _origin = sending.join().unwrap();
    are_there(&world, 10);
    client.get("/large");
    let answer = client.answer();
    assert!(answer.is_hit() && answer.body == content);
    assert_eq!(world.origin.unaccepted(), 0);
}

#[test]
fn where_the_origin_has_another_content_by_now_the_visitor_gets_that_alone() {
    let world = world();
    let content = content(5 * MIB);
    with_a_part(&world, &content, 2);
    let mut client = world.client();
    client.get("/large");
    let mut origin = world.origin.accept();
    assert_eq!(asked(&origin.head()), (2 * MIB, 5 * MIB - 1));
    let newer: String = content.chars().rev().collect();
    let sending = send_all(origin, &format!("{FRESH}ETag: \"2\"\r\n"), &newer);
    let answer = client.answer();
    assert_eq!(
        (answer.head.status(), answer.head.field("etag")),
        (200, Some("\"2\""))
    );
    assert!(answer.body == newer);
    let _origin = sending.join().unwrap();
    are_there(&world, 5);
    ask(&mut client, "0-9");
    assert_eq!(client.answer().body, newer[..10]);
    assert_eq!(world.origin.unaccepted(), 0);
}

#[test]
fn where_the_origin_breaks_off_the_rest_is_asked_for() {
    let world = world();
    let content = content(6 * MIB);
    let mut client = world.client();
    client.get("/large");
    let mut origin = world.origin.accept();
    origin.head();
    begin(&mut origin, TAGGED, &content, 3 * MIB + 7);
    client.head();
    assert!(client.take_text(3 * MIB + 7) == content[..3 * MIB + 7]);
    drop(origin);
    let mut origin = world.origin.accept();
    assert_eq!(asked(&origin.head()), (3 * MIB, 6 * MIB - 1));
    let sending = send_range(origin, TAGGED, &content, 3 * MIB, 6 * MIB - 1);
    assert!(client.take_text(3 * MIB - 7) == content[3 * MIB + 7..]);
    drop(sending.join().unwrap());
    are_there(&world, 6);
    client.get("/large");
    assert!(client.answer().body == content);
    assert_eq!(world.origin.unaccepted(), 0);
}

#[test]
fn nobody_gets_bytes_of_two_versions_in_one_answer() {
    for newer in ["ETag: \"2\"\r\n", "ETag: W/\"1\"\r\n", ""] {
        let world = world();
        let content = content(6 * MIB);
        let mut client = world.client();
        client.get("/large");
        let mut origin = world.origin.accept();
        origin.head();
        begin(&mut origin, TAGGED, &content, 3 * MIB + 7);
        client.head();
        client.take(3 * MIB + 7);
        drop(origin);
        let mut origin = world.origin.accept();
        origin.head();
        let sending = send_range(
            origin,
            &format!("{FRESH}{newer}"),
            &content,
            3 * MIB,
            6 * MIB - 1,
        );
        // He is cut off: what he has is shorter than it was to be.
        let (rest, _) = client.rest();
        assert_eq!(rest, "", "{newer}");
        drop(sending.join().unwrap());
        let mut client = world.client();
        client.get("/large");
        let mut origin = world.origin.accept();
        assert_eq!(origin.head().field("range"), None);
        origin.answer("newer");
        assert_eq!(client.answer().body, "newer");
    }
}

#[test]
fn an_origin_that_sends_no_parts_sends_the_whole_and_that_is_the_answer() {
    let world = world();
    let content = content(12 * MIB);
    with_a_part(&world, &content, 2);
    let mut client = world.client();
    ask(&mut client, &format!("{}-{}", 4 * MIB, 5 * MIB));
    let mut origin = world.origin.accept();
    assert_eq!(asked(&origin.head()), (4 * MIB, 6 * MIB - 1));
    let sending = send_all(origin, TAGGED, &content);
    let answer = client.answer();
    assert_eq!(answer.head.status(), 200);
    assert!(answer.body == content);
    let _origin = sending.join().unwrap();
    are_there(&world, 12);
    ask(&mut client, "1-5000000");
    let answer = client.answer();
    assert!(answer.is_hit() && answer.body == content[1..=5_000_000]);
    assert_eq!(world.origin.unaccepted(), 0);
}

#[test]
fn clients_at_different_places_are_each_brought_what_they_read() {
    let world = world();
    let content = content(40 * MIB);
    with_a_part(&world, &content, 2);
    let (mut one, mut other) = (world.client(), world.client());
    ask(&mut one, &format!("{}-{}", 10 * MIB, 11 * MIB - 1));
    let mut first = world.origin.accept();
    assert_eq!(asked(&first.head()), (10 * MIB, 11 * MIB - 1));
    ask(&mut other, &format!("{}-{}", 30 * MIB, 32 * MIB - 1));
    let mut second = world.origin.accept();
    assert_eq!(asked(&second.head()), (30 * MIB, 32 * MIB - 1));
    let second = send_range(second, TAGGED, &content, 30 * MIB, 32 * MIB - 1);
    assert!(other.answer().body == content[30 * MIB..32 * MIB]);
    let first = send_range(first, TAGGED, &content, 10 * MIB, 11 * MIB - 1);
    assert!(one.answer().body == content[10 * MIB..11 * MIB]);
    let (_first, _second) = (first.join().unwrap(), second.join().unwrap());
    are_there(&world, 5);
    assert_eq!(world.origin.unaccepted(), 0);
}

#[test]
fn of_several_ranges_what_is_missing_is_asked_for_when_its_turn_comes() {
    let world = world();
    let content = content(30 * MIB);
    with_a_part(&world, &content, 2);
    let mut client = world.client();
    let (first, last) = (25 * MIB + 3, 25 * MIB + 300 * 1024);
    ask(&mut client, &format!("0-9, 5-19, {first}-{last}"));
    let mut origin = world.origin.accept();
    assert_eq!(asked(&origin.head()), (25 * MIB, 26 * MIB - 1));
    let sending = send_range(origin, TAGGED, &content, 25 * MIB, 26 * MIB - 1);
    let answer = client.answer();
    let content_type = answer.head.field("content-type").unwrap();
    let boundary = content_type
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap();
    let total = content.len();
    let part = |first: usize, last: usize| {
        let bytes = &content[first..=last];
        format!("\r\n--{boundary}\r\nContent-Range: bytes {first}-{last}/{total}\r\n\r\n{bytes}")
    };
    assert!(answer.body == format!("{}{}\r\n--{boundary}--\r\n", part(0, 19), part(first, last)));
    drop(sending.join().unwrap());
}

#[test]
fn a_few_bytes_are_asked_for_as_they_were_and_are_not_kept_in_the_place_of_more() {
    let world = world();
    let content = content(30 * MIB);
    with_a_part(&world, &content, 2);
    let mut client = world.client();
    ask(&mut client, "20000000-20000099");
    let mut origin = world.origin.accept();
    let head = origin.head();
    assert_eq!(
        (asked(&head), head.field("if-range")),
        ((20_000_000, 20_000_099), None)
    );
    let sending = send_range(origin, TAGGED, &content, 20_000_000, 20_000_099);
    let answer = client.answer();
    assert_eq!(answer.body, content[20_000_000..=20_000_099]);
    assert!(
        answer.cache_status().ends_with("detail=part-beside"),
        "{}",
        answer.cache_status()
    );
    let _origin = sending.join().unwrap();
    ask(&mut client, &format!("0-{}", 2 * MIB - 1));
    assert!(client.answer().is_hit());
}

#[test]
fn from_so_many_bytes_on_they_are_asked_for_in_whole_pieces_and_one_byte_less_is_not() {
    const WORTH: usize = 256 << 10;
    let world = world();
    let content = content(30 * MIB);
    with_a_part(&world, &content, 2);
    for (bytes, expected) in [
        (WORTH - 1, (20 * MIB, 20 * MIB + WORTH - 2)),
        (WORTH, (20 * MIB, 21 * MIB - 1)),
    ] {
        let mut client = world.client();
        ask(
            &mut client,
            &format!("{}-{}", 20 * MIB, 20 * MIB + bytes - 1),
        );
        let mut origin = world.origin.accept();
        assert_eq!(asked(&origin.head()), expected);
        let sending = send_range(origin, TAGGED, &content, expected.0, expected.1);
        assert!(client.answer().body == content[20 * MIB..20 * MIB + bytes]);
        drop(sending.join().unwrap()); // and its connection: the next is another
    }
}

#[test]
fn whoever_reads_nothing_holds_up_nobody_who_does() {
    let world = world();
    let content = content(40 * MIB);
    let mut slow = world.client_with_little_room();
    slow.get("/large");
    let mut origin = world.origin.accept();
    origin.head();
    let sending = send_all(origin, FRESH, &content);
    are_there(&world, 10);
    let mut quick = world.client();
    quick.get("/large");
    assert!(quick.answer().body == content);
    let _origin = sending.join().unwrap();
    assert!(slow.answer().body == content);
    assert_eq!(world.origin.unaccepted(), 0);
}

#[test]
fn what_is_changed_while_it_comes_is_asked_for_anew() {
    let world = world();
    let content = content(6 * MIB);
    let mut first = world.client();
    first.get("/large");
    let mut origin = world.origin.accept();
    origin.head();
    begin(&mut origin, TAGGED, &content, 3 * MIB);
    first.head();
    first.take(3 * MIB);
    let mut second = world.client();
    second.send("DELETE /large HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let mut newer = world.origin.accept();
    newer.head();
    newer.send("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(second.answer().head.status(), 204);
    second.get("/large");
    assert_eq!(newer.head().field("range"), None);
    newer.answer("newer");
    assert_eq!(second.answer().body, "newer");
    origin.send(&content[3 * MIB..]);
    assert!(first.take_text(3 * MIB) == content[3 * MIB..]);
}

#[test]
fn whoever_has_another_version_gets_all_of_this_one() {
    let world = world();
    let content = content(4 * MIB);
    with_a_part(&world, &content, 2);
    let mut client = world.client();
    let with = |tag: &str| {
        format!(
            "GET /large HTTP/1.1\r\nHost: a.example\r\nRange: bytes=7-9\r\nIf-Range: {tag}\r\n\r\n"
        )
    };
    client.send(with("\"1\""));
    let answer = client.answer();
    assert_eq!(
        (answer.head.status(), &*answer.body),
        (206, &content[7..10])
    );
    client.send(with("\"0\""));
    let mut origin = world.origin.accept();
    let head = origin.head();
    assert_eq!(
        (asked(&head), head.field("if-range")),
        ((2 * MIB, 4 * MIB - 1), Some("\"1\""))
    );
    let sending = send_range(origin, TAGGED, &content, 2 * MIB, 4 * MIB - 1);
    let answer = client.answer();
    assert_eq!(answer.head.status(), 200);
    assert!(answer.body == content);
    drop(sending.join().unwrap());
}

#[test]
fn of_a_range_of_what_is_not_kept_the_whole_pieces_are() {
    let world = world();
    let content = content(30 * MIB);
    let mut client = world.client();
    ask(&mut client, "3000000-7000000");
    let mut origin = world.origin.accept();
    assert_eq!(asked(&origin.head()), (3_000_000, 7_000_000));
    let sending = send_range(origin, TAGGED, &content, 3_000_000, 7_000_000);
    let answer = client.answer();
    assert_eq!(answer.head.status(), 206);
    assert!(answer.body == content[3_000_000..=7_000_000]);
    let _origin = sending.join().unwrap();
    are_there(&world, 3);
    ask(&mut client, &format!("{}-{}", 3 * MIB, 6 * MIB - 1));
    let answer = client.answer();
    assert!(answer.is_hit(), "{}", answer.cache_status());
    assert!(answer.body == content[3 * MIB..6 * MIB]);
    assert_eq!(world.origin.unaccepted(), 0);
}

#[test]
fn what_is_purged_while_it_comes_is_read_to_its_end_and_answers_nobody_else() {
    let mut world = world();
    let content = content(6 * MIB);
    let mut first = world.client();
    first.get("/large");
    let mut origin = world.origin.accept();
    origin.head();
    begin(&mut origin, TAGGED, &content, 3 * MIB);
    first.head();
    first.take(3 * MIB);
    are_there(&world, 3);
    let (status, told) = world.operator("POST", "/purge?site=story&url=http://a.example/large");
    assert_eq!(status, 200, "{told}");
    let mut second = world.client();
    second.get("/large");
    let mut newer = world.origin.accept();
    assert_eq!(newer.head().field("range"), None);
    newer.answer("newer");
    assert_eq!(second.answer().body, "newer");
    origin.send(&content[3 * MIB..]);
    assert!(first.take_text(3 * MIB) == content[3 * MIB..]);
    drop((first, second, origin, newer));
    restart(&mut world);
    let mut client = world.client();
    client.get("/large");
    let mut origin = world.origin.accept();
    assert_eq!(origin.head().field("range"), None);
    origin.answer("newest");
    assert_eq!(client.answer().body, "newest");
}

/// What an earlier edge left is compared with its checksum when it is read first.
#[test]
fn what_the_disk_gives_damaged_is_asked_for_again() {
    use std::os::unix::fs::FileExt as _;
    let mut world = world();
    let content = content(12 * MIB);
    with_a_part(&world, &content, 2);
    restart(&mut world);
    for slab in world.slabs() {
        slab.write_all_at(b"damage", 3 * MIB as u64 / 2).unwrap();
    }
    let mut client = world.client();
    ask(&mut client, &format!("5-{}", 2 * MIB - 1));
    assert_eq!(client.head().status(), 206);
    assert!(client.take_text(MIB - 5) == content[5..MIB]);
    let mut origin = world.origin.accept();
    assert_eq!(asked(&origin.head()), (MIB, 2 * MIB - 1));
    let sending = send_range(origin, TAGGED, &content, MIB, 2 * MIB - 1);
    assert!(client.take_text(MIB) == content[MIB..2 * MIB]);
    drop(sending.join().unwrap());
}

/// It would have made room for itself by letting go of its own beginning, and cut off whoever reads that.
#[test]
fn what_is_larger_than_a_site_may_have_of_the_disk_is_answered_and_not_begun_there() {
    let own = "[site.cache]\ndisk_bytes = '3MiB'";
    let world = World::with("cache_memory = '8MiB'", own);
    let content = content(6 * MIB);
    let mut client = world.client();
    client.get("/large");
    let mut origin = world.origin.accept();
    origin.head();
    let sending = send_all(origin, FRESH, &content);
    let answer = client.answer();
    assert!(answer.body == content);
    assert!(
        !answer.cache_status().contains("stored"),
        "{}",
        answer.cache_status()
    );
    let _origin = sending.join().unwrap();
    assert_eq!(pieces(&world), 0);
}
