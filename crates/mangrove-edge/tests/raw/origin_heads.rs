//! What an origin says in a head, and what is believed of it.

use mangrove_http::OriginFault::{self, *};

use crate::world::{Answer, World};

/// An origin answers a GET with `said`: a 502 that names the fault, a count, a log line, and the connection dropped.
fn distrusts(world: &World, said: &str, fault: OriginFault) -> Answer {
    let shown = &said[..said.len().min(120)];
    let before = world.counted(fault);
    let mut client = world.client();
    client.get("/");
    let mut origin = world.origin.accept();
    origin.head();
    origin.send(said);
    let answer = client.answer();
    assert_eq!(answer.reason(), Some(fault.name()), "{shown:?}");
    assert_eq!(answer.head.status(), fault.status());
    origin.ends();
    assert_eq!(world.counts(fault, before + 1), before + 1, "{shown:?}");
    assert_eq!(world.record_of(&answer)["reason"], fault.name());
    assert!(world.origin.is_untouched(), "{shown:?} was asked for again");
    answer
}

/// With an origin that is not left out for the many faults of these stories.
fn patient_world() -> World {
    World::with("", "origin.passive.failures = 1000")
}

#[test]
fn contradictory_lengths_are_not_believed() {
    let world = patient_world();
    let rows = [
        (
            "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
            ContentLengthBesideTransferEncoding,
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n",
            ContentLengthBesideTransferEncoding,
        ),
        (
            "Content-Length: 2\r\nContent-Length: 2\r\n",
            RepeatedContentLength,
        ),
        (
            "Content-Length: 2\r\nContent-Length: 20\r\n",
            RepeatedContentLength,
        ),
        ("Content-Length: 2, 2\r\n", ListedContentLength),
        ("Content-Length: +2\r\n", MalformedContentLength),
        ("Content-Length: 0x2\r\n", MalformedContentLength),
        (
            "Content-Length: 18446744073709551616\r\n",
            MalformedContentLength,
        ),
        (
            "Transfer-Encoding: gzip, chunked\r\n",
            TransferEncodingNotChunked,
        ),
        (
            "Transfer-Encoding: identity\r\n",
            TransferEncodingNotChunked,
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            RepeatedTransferEncoding,
        ),
        (
            "Connection: content-length\r\nContent-Length: 2\r\n",
            ConnectionNominatesProtectedField,
        ),
    ];
    for (lines, fault) in rows {
        distrusts(&world, &format!("HTTP/1.1 200 OK\r\n{lines}\r\nok"), fault);
    }
    let old = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    distrusts(&world, old, TransferEncodingInHttp10);
    for status in [204, 100, 103] {
        let said = format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nok");
        distrusts(&world, &said, FramingWithoutBody);
        let said = format!("HTTP/1.1 {status} X\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
        distrusts(&world, &said, FramingWithoutBody);
    }
}

#[test]
fn malformed_lines_are_not_repaired() {
    let world = patient_world();
    let rows = [
        ("HTTP/1.1 200 OK\nContent-Length: 2\n\nok", BareLf),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\n\r\nok", BareLf),
        ("HTTP/1.1 200 OK\r\nX: y\rz\r\n\r\n", BareCr),
        (
            "HTTP/1.1 200 OK\r\nX: y\r\n Content-Length: 2\r\n\r\nok",
            FoldedField,
        ),
        ("HTTP/1.1 200 OK\r\nX: \0\r\n\r\n", NulInHead),
        ("HTTP/1.1 200 OK\r\nX: \x01\r\n\r\n", ControlInHead),
        (
            "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
            SpaceBeforeColon,
        ),
        ("HTTP/1.1 200 OK\r\n: 2\r\n\r\nok", EmptyFieldName),
        ("HTTP/1.1 200 OK\r\nX y: 2\r\n\r\nok", MalformedFieldName),
        (
            "HTTP/1.1 200 OK\r\nConnection: \"x\"\r\n\r\nok",
            MalformedConnection,
        ),
        ("HTTP/1.2 200 OK\r\n\r\n", UnknownVersion),
        ("HTTP/2.0 200 OK\r\n\r\n", UnknownVersion),
        ("ICY 200 OK\r\n\r\n", MalformedStatusLine),
        ("<html>\r\n\r\n", MalformedStatusLine),
        ("\r\nHTTP/1.1 200 OK\r\n\r\n", MalformedStatusLine),
        ("HTTP/1.1 20 OK\r\n\r\n", MalformedStatus),
        ("HTTP/1.1 099 OK\r\n\r\n", MalformedStatus),
        ("HTTP/1.1 600 OK\r\n\r\n", MalformedStatus),
        ("HTTP/1.1 2000 OK\r\n\r\n", MalformedStatus),
        (
            "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
            UnexpectedSwitch,
        ),
    ];
    for (said, fault) in rows {
        let answer = distrusts(&world, said, fault);
        assert!(
            !answer.body.contains("<html>\r\n\r\n"),
            "the origin's own words"
        );
    }
}

#[test]
fn a_head_at_its_ceiling_passes_and_one_past_it_does_not() {
    let world = patient_world();
    let head = |bytes: usize| {
        let start = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: ";
        format!("{start}{}\r\n\r\n", "y".repeat(bytes - start.len() - 4))
    };
    let fields = |count: usize| {
        let others = "x: y\r\n".repeat(count - 1);
        format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{others}\r\n")
    };
    for said in [head(64 * 1024), fields(256)] {
        let mut client = world.client();
        client.get("/");
        let mut origin = world.origin.accept();
        origin.head();
        origin.send(said);
        assert_eq!(client.answer().head.status(), 200);
    }
    distrusts(&world, &head(64 * 1024 + 1), HeadTooLarge);
    distrusts(&world, &fields(257), TooManyFields);
}

#[test]
fn interim_responses_are_passed_on_up_to_a_ceiling() {
    let world = patient_world();
    let hint = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: x\r\nX: 1\r\n\r\n";
    let mut client = world.client();
    client.get("/");
    let mut origin = world.origin.accept();
    origin.head();
    origin.send(hint.repeat(8));
    for _ in 0..8 {
        let early = client.head();
        assert_eq!(
            (early.status(), early.field("link")),
            (103, Some("</a.css>"))
        );
        assert!(early.all("connection").is_empty() && early.all("x").is_empty());
    }
    origin.answer("fine");
    assert_eq!(client.answer().body, "fine");
    drop(origin);

    let mut client = world.client();
    client.get("/");
    let mut origin = world.origin.accept();
    origin.head();
    origin.send(hint.repeat(9));
    origin.ends();
    let last = loop {
        let answer = client.answer();
        if answer.head.status() != 103 {
            break answer;
        }
    };
    assert_eq!(last.reason(), Some(TooManyInterim.name()));
}

/// An interim response is no place to hide a final one.
#[test]
fn an_answer_behind_an_interim_one_is_the_answer() {
    let world = patient_world();
    let mut client = world.client();
    client.get("/");
    let mut origin = world.origin.accept();
    origin.head();
    origin.send("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine");
    assert_eq!(client.head().status(), 102);
    assert_eq!(client.answer().body, "fine");
}
