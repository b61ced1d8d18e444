//! What becomes of a large answer whose origin does not send what it is asked for, and of those who ask at once.

use super::{
    MIB, TAGGED, are_there, ask, asked, begin, content, send_all, send_range, with_a_part,
    with_a_part_of, world,
};
use crate::origin::FRESH;
use crate::wire::Wire;

/// It was asked for the same half for ever, and each time what came of it took memory.
#[test]
fn an_origin_that_sends_less_than_a_piece_at_a_time_is_not_asked_for_pieces_again() {
    let world = world();
    let content = content(6 * MIB);
    with_a_part(&world, &content, 2);
    let mut client = world.client();
    ask(&mut client, &format!("{}-{}", 4 * MIB, 5 * MIB - 1));
    let mut origin = world.origin.accept();
    assert_eq!(asked(&origin.head()), (4 * MIB, 5 * MIB - 1));
    let half = send_range(origin, TAGGED, &content, 4 * MIB, 9 * MIB / 2 - 1);
    // He gets what he asked for as he asked for it.
    let mut origin = world.origin.accept();
    let head = origin.head();
    assert_eq!(head.field("if-range"), None);
    assert_eq!(asked(&head), (4 * MIB, 5 * MIB - 1));
    let all = send_range(origin, TAGGED, &content, 4 * MIB, 5 * MIB - 1);
    let answer = client.answer();
    assert_eq!(answer.head.status(), 206);
    assert!(answer.body == content[4 * MIB..5 * MIB]);
    drop((half.join().unwrap(), all.join().unwrap()));
    ask(&mut client, &format!("0-{}", 2 * MIB - 1));
    assert!(client.answer().is_hit());
}

#[test]
fn whoever_reads_what_comes_in_halves_is_cut_off_and_the_origin_left_alone() {
    let world = world();
    let content = content(6 * MIB);
    let mut client = world.client();
    client.get("/large");
    let mut origin = world.origin.accept();
    origin.head();
    let had = 7 * MIB / 2;
    begin(&mut origin, TAGGED, &content, had);
    client.head();
    client.take(had);
    drop(origin);
    let mut origin = world.origin.accept();
    assert_eq!(asked(&origin.head()), (3 * MIB, 6 * MIB - 1));
    let half = send_range(origin, TAGGED, &content, 3 * MIB, had - 1);
    let (rest, _) = client.rest();
    assert_eq!(rest, "");
    drop(half.join().unwrap());
    assert_eq!(world.origin.unaccepted(), 0);
}

/// The second changed what the first had asked for, and so its answer was not believed.
#[test]
fn whoever_seeks_before_another_is_answered_takes_nothing_from_him() {
    let world = world();
    let content = content(30 * MIB);
    with_a_part(&world, &content, 2);
    let (mut one, mut other) = (world.client(), world.client());
    ask(&mut one, "0-");
    let mut first = world.origin.accept();
    assert_eq!(asked(&first.head()), (2 * MIB, 30 * MIB - 1));
    ask(&mut other, &format!("{}-{}", 20 * MIB, 21 * MIB - 1));
    let mut second = world.origin.accept();
    assert_eq!(asked(&second.head()), (20 * MIB, 21 * MIB - 1));
    let first = send_range(first, TAGGED, &content, 2 * MIB, 30 * MIB - 1);
    let answer = one.answer();
    assert_eq!(answer.head.status(), 206);
    assert!(answer.body == content);
    let second = send_range(second, TAGGED, &content, 20 * MIB, 21 * MIB - 1);
    assert!(other.answer().body == content[20 * MIB..21 * MIB]);
    drop((first.join().unwrap(), second.join().unwrap()));
    assert_eq!(world.origin.unaccepted(), 0);
}

#[test]
fn where_the_origin_sends_no_parts_whoever_seeks_ends_nobody_s_download() {
    let world = world();
    let content = content(30 * MIB);
    let (mut one, mut other, mut gone) = (world.client(), world.client(), world.client());
    one.get("/large");
    let mut origin = world.origin.accept();
    origin.head();
    begin(&mut origin, TAGGED, &content, 2 * MIB);
    one.head();
    assert!(one.take_text(2 * MIB) == content[..2 * MIB]);
    // One leaves before he is answered, and another gets all of it.
    ask(&mut gone, &format!("{}-{}", 15 * MIB, 16 * MIB - 1));
    let mut unheard = world.origin.accept();
    unheard.head();
    Wire::from(gone).reset();
    ask(&mut other, &format!("{}-{}", 20 * MIB, 21 * MIB - 1));
    let mut second = world.origin.accept();
    assert_eq!(asked(&second.head()), (20 * MIB, 21 * MIB - 1));
    let second = send_all(second, TAGGED, &content);
    let answer = other.answer();
    assert_eq!(answer.head.status(), 200);
    assert!(answer.body == content);
    drop(second.join().unwrap());
    let rest = content[2 * MIB..].to_owned();
    let first = std::thread::spawn(move || {
        origin.try_send(rest);
        origin
    });
    assert!(one.take_text(28 * MIB) == content[2 * MIB..]);
    drop(first.join().unwrap());
    are_there(&world, 30);
    let mut late = world.client();
    late.get("/large");
    let answer = late.answer();
    assert!(answer.is_hit() && answer.body == content);
    assert_eq!(world.origin.unaccepted(), 0);
}

/// Once he was cut where what was there ended, and so was everybody after him.
#[test]
fn where_the_origin_sends_no_parts_much_that_is_there_keeps_nobody_from_the_whole() {
    let world = world();
    let content = content(20 * MIB);
    with_a_part(&world, &content, 18);
    let mut client = world.client();
    client.get("/large");
    let mut origin = world.origin.accept();
    assert_eq!(asked(&origin.head()), (18 * MIB, 20 * MIB - 1));
    let whole = send_all(origin, TAGGED, &content);
    assert!(client.answer().body == content);
    drop(whole.join().unwrap());
    are_there(&world, 20);
    client.get("/large");
    let answer = client.answer();
    assert!(answer.is_hit() && answer.body == content);
    assert_eq!(world.origin.unaccepted(), 0);
}

/// What it offers is believed once.
#[test]
fn where_the_origin_offers_parts_and_sends_none_one_visitor_is_cut_and_no_other() {
    let world = world();
    let content = content(20 * MIB);
    let fields = format!("{TAGGED}Accept-Ranges: bytes\r\n");
    with_a_part_of(&world, &fields, &content, 18);
    let mut client = world.client();
    client.get("/large");
    client.head();
    assert!(client.take_text(18 * MIB) == content[..18 * MIB]);
    let mut origin = world.origin.accept();
    assert_eq!(asked(&origin.head()), (18 * MIB, 20 * MIB - 1));
    begin(&mut origin, &fields, &content, 0);
    assert_eq!(client.rest().0, "");
    drop(origin);
    let mut client = world.client();
    client.get("/large");
    let mut origin = world.origin.accept();
    assert_eq!(origin.head().field("range"), None);
    let whole = send_all(origin, &fields, &content);
    assert!(client.answer().body == content);
    drop(whole.join().unwrap());
    are_there(&world, 20);
    client.get("/large");
    assert!(client.answer().is_hit());
    assert_eq!(world.origin.unaccepted(), 0);
}

/// As long as anybody read what there was, nothing was kept in its place.
#[test]
fn where_the_origin_sends_no_parts_its_next_whole_answer_is_kept() {
    let world = world();
    let content = content(6 * MIB);
    let mut client = world.client();
    client.get("/large");
    let mut origin = world.origin.accept();
    origin.head();
    begin(&mut origin, TAGGED, &content, 3 * MIB);
    client.head();
    client.take(3 * MIB);
    are_there(&world, 3);
    let mut slow = world.client_with_little_room();
    ask(&mut slow, &format!("0-{}", 5 * MIB / 2));
    slow.head();
    drop(origin);
    let mut origin = world.origin.accept();
    assert_eq!(asked(&origin.head()), (3 * MIB, 6 * MIB - 1));
    begin(&mut origin, TAGGED, &content, 0);
    let all = content.clone();
    let unwanted = std::thread::spawn(move || {
        origin.try_send(all);
        origin
    });
    assert_eq!(client.rest().0, "");
    drop(unwanted.join().unwrap());
    let mut client = world.client();
    client.get("/large");
    let mut origin = world.origin.accept();
    assert_eq!(origin.head().field("range"), None);
    let whole = send_all(origin, TAGGED, &content);
    assert!(client.answer().body == content);
    drop(whole.join().unwrap());
    are_there(&world, 6);
    client.get("/large");
    let answer = client.answer();
    assert!(answer.is_hit() && answer.body == content);
    assert_eq!(world.origin.unaccepted(), 0);
    drop(slow);
}

#[test]
fn what_the_origin_says_to_one_visitor_alone_takes_nothing_from_the_others() {
    for said in [
        "302 Found",
        "401 Unauthorized",
        "403 Forbidden",
        "429 Too Many Requests",
    ] {
        let world = world();
        let content = content(6 * MIB);
        with_a_part(&world, &content, 2);
        let mut client = world.client();
        ask(&mut client, &format!("{}-{}", 4 * MIB, 5 * MIB - 1));
        let mut origin = world.origin.accept();
        origin.head();
        origin.send(format!(
            "HTTP/1.1 {said}\r\n{FRESH}Content-Length: 2\r\n\r\nno"
        ));
        let answer = client.answer();
        assert_eq!(
            (answer.head.first_line(), &*answer.body),
            (&*format!("HTTP/1.1 {said}"), "no")
        );
        ask(&mut client, &format!("0-{}", 2 * MIB - 1));
        let answer = client.answer();
        assert!(answer.is_hit(), "{said}: {}", answer.cache_status());
    }
}

#[test]
fn a_part_that_nobody_else_may_have_is_asked_for_as_it_was_and_takes_nothing_from_the_others() {
    for (mine, its) in [
        ("Authorization: Basic eA==\r\n", ""),
        ("", "Set-Cookie: a=b\r\n"),
    ] {
        let world = world();
        let content = content(6 * MIB);
        with_a_part(&world, &content, 2);
        let mut client = world.client();
        let (first, last) = (4 * MIB + 7, 5 * MIB - 1);
        client.send(format!(
            "GET /large HTTP/1.1\r\nHost: a.example\r\n{mine}Range: bytes={first}-{last}\r\n\r\n"
        ));
        let mut origin = world.origin.accept();
        assert_eq!(asked(&origin.head()), (4 * MIB, last));
        let fields = format!("{TAGGED}{its}");
        let one = send_range(origin, &fields, &content, 4 * MIB, last);
        let mut origin = world.origin.accept();
        assert_eq!(asked(&origin.head()), (first, last));
        let other = send_range(origin, &fields, &content, first, last);
        let answer = client.answer();
        assert_eq!(answer.head.status(), 206);
        assert!(answer.body == content[first..=last]);
        drop((one.join().unwrap(), other.join().unwrap()));
        ask(&mut client, &format!("0-{}", 2 * MIB - 1));
        let answer = client.answer();
        assert!(answer.is_hit(), "{mine}{its}: {}", answer.cache_status());
    }
}

/// Each of them may cost eight times what it is, and no more.
#[test]
fn of_several_ranges_none_that_is_missing_is_smaller_than_what_is_worth_a_piece() {
    let world = world();
    let content = content(30 * MIB);
    with_a_part(&world, &content, 2);
    let mut client = world.client();
    let ranges = format!("{}-{}, {}-{}", 10 * MIB, 11 * MIB, 20 * MIB, 20 * MIB + 99);
    ask(&mut client, &ranges);
    let mut origin = world.origin.accept();
    let head = origin.head();
    assert_eq!(head.field("if-range"), None);
    assert_eq!(head.field("range"), Some(&*format!("bytes={ranges}")));
    origin.answer("as it came");
    assert_eq!(client.answer().body, "as it came");
}

#[test]
fn of_several_ranges_a_small_one_that_is_there_keeps_no_other_from_being_asked_for_in_pieces() {
    let world = world();
    with_a_part(&world, &content(30 * MIB), 2);
    let mut client = world.client();
    ask(&mut client, &format!("7-99, {}-{}", 10 * MIB, 11 * MIB - 1));
    let mut origin = world.origin.accept();
    assert_eq!(asked(&origin.head()), (10 * MIB, 11 * MIB - 1));
}
