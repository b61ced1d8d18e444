//! Which connections to an origin are used again, and what never crosses from one visitor to another.

use mangrove_http::OriginFault::{self, *};

use crate::world::{Client, World};

/// A visitor asks on a connection of the edge's that no one has used before.
fn next_visitor_is_alone(world: &World) {
    let mut visitor = world.client();
    visitor.get("/mine");
    let mut origin = world.origin.accept();
    assert_eq!(origin.head().first_line(), "GET /mine HTTP/1.1");
    origin.answer("mine");
    assert_eq!(visitor.answer().body, "mine");
}

#[test]
fn a_connection_that_ended_well_is_used_again() {
    let world = World::new();
    let (mut first, mut second) = (world.client(), world.client());
    first.get("/1");
    let mut origin = world.origin.accept();
    origin.head();
    origin.answer("one");
    assert_eq!(first.answer().body, "one");
    second.get("/2");
    assert_eq!(origin.head().first_line(), "GET /2 HTTP/1.1");
    origin.answer("two");
    assert_eq!(second.answer().body, "two");
}

#[test]
fn bytes_behind_an_answer_reach_no_one() {
    let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    let rows: [(&str, &str, OriginFault); 7] = [
        (
            "GET",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            ExtraBytesAfterBody,
        ),
        (
            "GET",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            ExtraBytesAfterBody,
        ),
        (
            "GET",
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            ExtraBytesAfterBody,
        ),
        (
            "GET",
            "HTTP/1.1 204 No Content\r\n\r\n",
            BodyWhereNoneBelongs,
        ),
        (
            "GET",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\n",
            BodyWhereNoneBelongs,
        ),
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n",
            BodyWhereNoneBelongs,
        ),
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            BodyWhereNoneBelongs,
        ),
    ];
    for (method, answer, fault) in rows {
        let world = World::new();
        let mut client = world.client();
        client.send(format!("{method} / HTTP/1.1\r\nHost: a.example\r\n\r\n"));
        let mut origin = world.origin.accept();
        origin.head();
        origin.send(format!("{answer}{poison}"));
        let answer = if method == "HEAD" {
            client.answer_to_head()
        } else {
            client.answer()
        };
        assert!(matches!(answer.head.status(), 200 | 204 | 304));
        assert!(!answer.body.contains("poison"));
        origin.ends();
        assert_eq!(world.counts(fault, 1), 1, "{answer:?}");
        next_visitor_is_alone(&world);
        client.get("/again");
        let mut origin = world.origin.accept();
        origin.head();
        origin.answer("again");
        assert_eq!(client.answer().body, "again");
    }
}

/// An answer before its question: whoever asked next would get it.
#[test]
fn an_answer_that_nobody_asked_for_makes_an_idle_connection_unfit() {
    let world = World::new();
    let mut client = world.client();
    client.get("/1");
    let mut origin = world.origin.accept();
    origin.head();
    origin.answer("one");
    assert_eq!(client.answer().body, "one");
    origin.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
    next_visitor_is_alone(&world);
}

/// The upload is still under way: what the origin reads next would be the rest of it.
#[test]
fn an_early_answer_ends_the_connection_it_came_on() {
    let world = World::new();
    let mut client = world.client();
    client.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 10\r\n\r\nhalf");
    let mut origin = world.origin.accept();
    origin.head();
    assert_eq!(origin.take_text(4), "half");
    origin.send("HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno");
    let answer = client.answer();
    assert_eq!((answer.head.status(), answer.body.as_str()), (403, "no"));
    origin.ends();
    // The rest of the body is still a body, and the connection goes on behind it.
    client.send("GET /x");
    client.get("/next");
    let mut origin = world.origin.accept();
    assert_eq!(origin.head().first_line(), "GET /next HTTP/1.1");
    origin.answer("next");
    assert_eq!(client.answer().body, "next");
}

#[test]
fn a_client_that_leaves_takes_its_connection_to_the_origin_along() {
    let world = World::new();
    let mut client = world.client();
    client.get("/1");
    let mut origin = world.origin.accept();
    origin.head();
    drop(client);
    origin.ends();
    next_visitor_is_alone(&world);
}

#[test]
fn connections_that_are_to_end_are_not_kept() {
    for answer in [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ] {
        let world = World::new();
        let mut client = world.client();
        client.get("/1");
        let mut origin = world.origin.accept();
        origin.head();
        origin.send(answer);
        assert_eq!(client.answer().body, "ok");
        origin.ends();
        next_visitor_is_alone(&world);
    }
}

/// A connection that was used before, and that the origin closes when it sees the next request: which of the two came
/// first, the edge cannot know (RFC 9112 section 9.3.1).
fn closed_under(request: &str) -> (World, Client) {
    let world = World::new();
    let mut client = world.client();
    client.get("/before");
    let mut origin = world.origin.accept();
    origin.head();
    origin.answer("before");
    assert_eq!(client.answer().body, "before");
    client.send(request);
    origin.head();
    drop(origin);
    (world, client)
}

#[test]
fn a_get_whose_connection_closed_unanswered_is_asked_once_more_on_another() {
    let (world, mut client) = closed_under("GET /1 HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let mut fresh = world.origin.accept();
    assert_eq!(fresh.head().first_line(), "GET /1 HTTP/1.1");
    fresh.answer("one");
    let answer = client.answer();
    assert_eq!(answer.body, "one");
    assert_eq!(world.record_of(&answer)["origin.tries"], 2);
}

#[test]
fn a_get_is_asked_twice_at_most() {
    let (world, mut client) = closed_under("GET /1 HTTP/1.1\r\nHost: a.example\r\n\r\n");
    world.origin.accept().head();
    let answer = client.answer();
    assert_eq!(
        (answer.head.status(), answer.reason()),
        (502, Some(Reset.name()))
    );
    assert!(world.origin.is_untouched());
}

#[test]
fn a_post_whose_connection_closed_unanswered_is_not_asked_again() {
    for length in ["Content-Length: 0\r\n", ""] {
        let post = format!("POST / HTTP/1.1\r\nHost: a.example\r\n{length}\r\n");
        let (world, mut client) = closed_under(&post);
        let answer = client.answer();
        assert_eq!(
            (answer.head.status(), answer.reason()),
            (502, Some(Reset.name()))
        );
        assert!(world.origin.is_untouched());
    }
}

/// The body has gone: it cannot be sent a second time.
#[test]
fn a_put_whose_body_was_read_is_not_asked_again() {
    let put = "PUT / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello";
    let (world, mut client) = closed_under(put);
    assert_eq!(client.answer().reason(), Some(Reset.name()));
    assert!(world.origin.is_untouched());
}

/// Half an answer was seen: asking again could give another.
#[test]
fn a_get_whose_answer_broke_off_in_its_head_is_not_asked_again() {
    let world = World::new();
    let mut client = world.client();
    client.get("/");
    let mut origin = world.origin.accept();
    origin.head();
    origin.send("HTTP/1.1 200 OK\r\nConte");
    drop(origin);
    assert_eq!(client.answer().reason(), Some(EndedEarly.name()));
    assert!(world.origin.is_untouched());
}

/// `printf 'GET …' | nc -N` closes for sending behind its request and waits for the answer.
#[test]
fn a_client_that_only_closed_for_sending_gets_its_answer() {
    let world = World::new();
    let mut client = world.client();
    client.get("/1");
    let mut origin = world.origin.accept();
    origin.head();
    client.finish_sending();
    // By the time another visitor has been answered, the edge has seen that.
    world.refuses("GET / HTTP/1.1\r\n\r\n", mangrove_http::Refusal::AbsentHost);
    origin.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(client.answer().body, "ok");
}
