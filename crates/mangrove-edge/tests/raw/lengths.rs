//! Where a request's body ends: every way of making two readers disagree about it.

use mangrove_http::Refusal::{self, *};

use crate::wire::End;
use crate::world::World;

/// What a smuggler wants the origin to take for a request of its own.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: a.example\r\n\r\n";

/// A POST with these lines, and a body that ends in [`HIDDEN`] by one reading or the other.
fn post(lines: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a.example\r\n{lines}\r\n\r\n0\r\n\r\n{HIDDEN}")
}

#[test]
fn content_length_beside_transfer_encoding_is_refused_in_any_order() {
    let world = World::new();
    for lines in [
        "Content-Length: 47\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding: identity\r\nContent-Length: 5",
        "Transfer-Encoding:\r\nContent-Length: 5",
        "Transfer-Encoding: chunked\r\nX: y\r\nTransfer-Encoding: x\r\nContent-Length: 0",
    ] {
        world.refuses(post(lines), ContentLengthBesideTransferEncoding);
    }
}

#[test]
fn a_transfer_encoding_is_exactly_chunked_or_refused() {
    let world = World::new();
    let rows: [(&str, Refusal); 19] = [
        ("Transfer-Encoding: xchunked", TransferEncodingNotChunked),
        ("Transfer-Encoding: chunkedx", TransferEncodingNotChunked),
        (
            "Transfer-Encoding: chunked, identity",
            TransferEncodingNotChunked,
        ),
        (
            "Transfer-Encoding: identity, chunked",
            TransferEncodingNotChunked,
        ),
        (
            "Transfer-Encoding: gzip, chunked",
            TransferEncodingNotChunked,
        ),
        (
            "Transfer-Encoding: chunked, chunked",
            TransferEncodingNotChunked,
        ),
        ("Transfer-Encoding: ,chunked", TransferEncodingNotChunked),
        ("Transfer-Encoding: chunked;q=1", TransferEncodingNotChunked),
        ("Transfer-Encoding: \"chunked\"", TransferEncodingNotChunked),
        ("Transfer-Encoding: identity", TransferEncodingNotChunked),
        ("Transfer-Encoding: ", TransferEncodingNotChunked),
        (
            "Transfer-Encoding: \u{fb01}chunked",
            TransferEncodingNotChunked,
        ),
        ("Transfer-Encoding: \x0bchunked", ControlInHead),
        ("Transfer-Encoding: chunked\x0c", ControlInHead),
        ("Transfer-Encoding : chunked", SpaceBeforeColon),
        ("Transfer-Encoding\t: chunked", SpaceBeforeColon),
        ("Transfer-Encoding:\r\n chunked", FoldedField),
        ("X: y\r\n Transfer-Encoding: chunked", FoldedField),
        ("X: y\rTransfer-Encoding: chunked", BareCr),
    ];
    for (lines, refusal) in rows {
        world.refuses(post(lines), refusal);
    }
}

#[test]
fn two_transfer_encodings_and_one_in_http_1_0_are_refused() {
    let world = World::new();
    let twice = "Transfer-Encoding: chunked\r\nTransfer-Encoding: ";
    world.refuses(post(&format!("{twice}chunked")), RepeatedTransferEncoding);
    world.refuses(post(&format!("{twice}identity")), RepeatedTransferEncoding);
    let old =
        post("Transfer-Encoding: chunked").replace("HTTP/1.1\r\nHost: a", "HTTP/1.0\r\nHost: a");
    world.refuses(old, TransferEncodingInHttp10);
}

#[test]
fn a_tab_before_chunked_is_white_space_and_what_goes_on_is_clean() {
    let world = World::new();
    let mut client = world.client();
    client.send("POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding:\t Chunked \t\r\n\r\n2\r\nok\r\n0\r\n\r\n");
    let mut origin = world.origin.accept();
    let head = origin.head();
    assert_eq!(head.all("transfer-encoding"), ["chunked"]);
    assert_eq!(head.field("content-length"), None);
    assert_eq!(origin.chunked(), ("ok".to_owned(), vec![]));
    origin.answer("fine");
    assert_eq!(client.answer().body, "fine");
}

#[test]
fn a_content_length_is_one_plain_number_or_refused() {
    let world = World::new();
    let rows = [
        (
            "Content-Length: 5\r\nContent-Length: 5",
            RepeatedContentLength,
        ),
        (
            "Content-Length: 5\r\nContent-Length: 6",
            RepeatedContentLength,
        ),
        (
            "Content-Length: 5\r\nX: y\r\ncontent-length: 5",
            RepeatedContentLength,
        ),
        ("Content-Length: 5, 5", ListedContentLength),
        ("Content-Length: 5,6", ListedContentLength),
        ("Content-Length: ,5", ListedContentLength),
        ("Content-Length: +5", MalformedContentLength),
        ("Content-Length: -1", MalformedContentLength),
        ("Content-Length: 0x5", MalformedContentLength),
        ("Content-Length: 5 5", MalformedContentLength),
        ("Content-Length: \"5\"", MalformedContentLength),
        ("Content-Length: 5.0", MalformedContentLength),
        ("Content-Length: 1e1", MalformedContentLength),
        ("Content-Length: \u{665}", MalformedContentLength),
        ("Content-Length:", MalformedContentLength),
        (
            "Content-Length: 18446744073709551616",
            MalformedContentLength,
        ),
        (
            "Content-Length: 000000000000000000005",
            MalformedContentLength,
        ),
        ("Content-Length : 5", SpaceBeforeColon),
        ("Content-Length:\r\n\t5", FoldedField),
        ("Content-Length: 18446744073709551615", BodyTooLarge),
    ];
    for (lines, refusal) in rows {
        world.refuses(post(lines), refusal);
    }
}

#[test]
fn white_space_around_a_length_and_leading_zeros_go_no_further() {
    let world = World::new();
    let mut client = world.client();
    client.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: \t 005 \t\r\n\r\nhello");
    let mut origin = world.origin.accept();
    assert_eq!(origin.head().all("content-length"), ["5"]);
    assert_eq!(origin.take_text(5), "hello");
    origin.answer("fine");
    assert_eq!(client.answer().body, "fine");
}

/// CL.0: an origin that ignores bodies takes this one for a request, and answers twice.
#[test]
fn the_second_answer_of_an_origin_that_ignores_bodies_reaches_no_one() {
    let world = World::new();
    let mut smuggler = world.client();
    let length = HIDDEN.len();
    smuggler.send(format!(
        "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: {length}\r\n\r\n{HIDDEN}"
    ));
    let mut fooled = world.origin.accept();
    fooled.head();
    assert_eq!(fooled.head().first_line(), "GET /hidden HTTP/1.1");
    fooled.send(
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst\
         HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhidden",
    );
    assert_eq!(smuggler.answer().body, "first");
    fooled.ends();

    let mut visitor = world.client();
    visitor.get("/mine");
    let mut origin = world.origin.accept();
    assert_eq!(origin.head().first_line(), "GET /mine HTTP/1.1");
    origin.answer("mine");
    assert_eq!(visitor.answer().body, "mine");
}

/// Without a length there is no body, whatever the method: what follows is the next request, and is checked as one.
#[test]
fn a_post_without_a_length_has_no_body() {
    let world = World::new();
    let mut client = world.client();
    client.send(format!(
        "POST /one HTTP/1.1\r\nHost: a.example\r\n\r\n{HIDDEN}"
    ));
    let mut origin = world.origin.accept();
    let head = origin.head();
    assert_eq!(head.first_line(), "POST /one HTTP/1.1");
    assert_eq!(head.field("transfer-encoding"), None);
    origin.answer("one");
    assert_eq!(client.answer().body, "one");
    assert_eq!(origin.head().first_line(), "GET /hidden HTTP/1.1");
    origin.answer("two");
    assert_eq!(client.answer().body, "two");
}

#[test]
fn a_body_cut_short_by_its_client_is_cut_short_for_the_origin() {
    let world = World::new();
    let mut client = world.client();
    client.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 10\r\n\r\nhalf");
    let mut origin = world.origin.accept();
    origin.head();
    assert_eq!(origin.take_text(4), "half");
    client.finish_sending();
    let answer = client.answer();
    assert_eq!(answer.reason(), Some(BodyEndedEarly.name()));
    assert_eq!(origin.rest().0, "");
    assert!(matches!(client.rest(), (rest, End::Closed) if rest.is_empty()));
}

/// A pause that outlasts the edge's patience: what comes after it is neither a body any more nor a request.
#[test]
fn what_comes_after_a_body_that_stopped_is_read_by_no_one() {
    let world = World::with("limits.request_body_idle = '1s'", "");
    let mut client = world.client();
    client.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 99\r\n\r\nhalf");
    let mut origin = world.origin.accept();
    origin.head();
    let answer = client.answer();
    assert_eq!(
        (answer.head.status(), answer.reason()),
        (408, Some(BodyTimeout.name()))
    );
    client.try_send(HIDDEN);
    client.ends();
    assert_eq!(origin.rest().0, "half");
    assert!(world.origin.is_untouched());
}
