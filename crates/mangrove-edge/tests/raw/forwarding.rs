//! Which fields and which path an origin sees.

use mangrove_http::Refusal::*;

use crate::websockets::{TEXT, frame};
use crate::wire::Head;
use crate::world::World;

/// What the origin sees of a GET with these lines.
fn seen(world: &World, lines: &str) -> Head {
    let mut client = world.client();
    client.send(format!(
        "GET / HTTP/1.1\r\nHost: a.example\r\n{lines}\r\n\r\n"
    ));
    let mut origin = world.origin.accept();
    let head = origin.head();
    origin.answer("fine");
    assert_eq!(client.answer().body, "fine");
    head
}

#[test]
fn fields_about_the_connection_stay_behind() {
    let world = World::new();
    let head = seen(
        &world,
        "Connection: keep-alive, X-Private\r\nKeep-Alive: timeout=9\r\nProxy-Connection: keep-alive\r\n\
         Proxy-Authorization: Basic eDp5\r\nTE: gzip\r\nTrailer: X\r\nX-Private: 1\r\nx-PRIVATE: 2\r\nX-Public: 3",
    );
    for name in [
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "te",
        "x-private",
    ] {
        assert!(head.all(name).is_empty(), "{name}: {head:?}");
    }
    assert_eq!(head.field("x-public"), Some("3"));
}

/// To an origin that makes CGI variables of fields, these are Transfer-Encoding, Content-Length and X-Forwarded-For.
#[test]
fn names_that_differ_from_ours_in_an_underscore_stay_behind() {
    let world = World::new();
    let head = seen(
        &world,
        "Transfer_Encoding: chunked\r\nCONTENT_LENGTH: 9\r\nX_Forwarded-For: 192.0.2.1\r\nX_Mine: 1",
    );
    for name in ["transfer_encoding", "content_length", "x_forwarded-for"] {
        assert!(head.all(name).is_empty(), "{name}: {head:?}");
    }
    assert_eq!(head.field("x_mine"), Some("1"));
}

#[test]
fn connection_cannot_take_away_what_every_recipient_needs() {
    let world = World::new();
    for name in [
        "host",
        "Content-Length",
        "close, content-length",
        "Transfer-Encoding",
        "Cookie",
        "Authorization",
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "Forwarded",
        "X-Real-IP",
        "CDN-Loop",
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: {name}\r\n\r\n");
        world.refuses(request, ConnectionNominatesProtectedField);
    }
    for value in ["a b", "\"close\"", "close;x", "a:b"] {
        let request = format!("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: {value}\r\n\r\n");
        world.refuses(request, MalformedConnection);
    }
}

#[test]
fn te_is_passed_on_only_as_trailers_and_only_for_this_connection() {
    let world = World::new();
    let head = seen(&world, "TE: trailers, deflate;q=0.5\r\nConnection: TE");
    assert_eq!(
        (head.field("te"), head.field("connection")),
        (Some("trailers"), Some("te"))
    );
}

#[test]
fn an_offer_of_h2c_is_ignored_and_no_origin_hears_of_it() {
    let world = World::new();
    let head = seen(
        &world,
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA",
    );
    for name in ["connection", "upgrade", "http2-settings"] {
        assert!(head.all(name).is_empty(), "{name}: {head:?}");
    }
}

/// The handshake is answered with an ordinary page: the tunnel that the client believes in does not exist.
#[test]
fn a_websocket_that_the_origin_declines_leaves_no_tunnel_open() {
    let world = World::new();
    let mut client = world.client();
    client.send(
        "GET /chat HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    let mut origin = world.origin.accept();
    assert_eq!(origin.head().field("upgrade"), Some("websocket"));
    origin.answer("no");
    assert_eq!(client.answer().body, "no");
    client.send("GET /hidden HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: x\r\n\r\n");
    assert_eq!(
        client.answer().reason(),
        Some(TransferEncodingNotChunked.name())
    );
}

#[test]
fn a_websocket_carries_bytes_both_ways_and_ends_with_either_side() {
    let world = World::new();
    let mut client = world.client();
    let mut open = String::from(
        "GET /chat HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    )
    .into_bytes();
    let early = frame(TEXT, "early");
    open.extend(&early);
    client.send(open);
    let mut origin = world.origin.accept();
    let head = origin.head();
    assert_eq!(
        head.field("sec-websocket-key"),
        Some("dGhlIHNhbXBsZSBub25jZQ==")
    );
    origin.send(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nhello",
    );
    let switched = client.head();
    assert_eq!(
        (switched.status(), switched.field("upgrade")),
        (101, Some("websocket"))
    );
    assert_eq!(client.take_text(5), "hello");
    assert_eq!(
        origin.take(early.len()),
        early,
        "and not before the handshake was through"
    );
    let hidden = frame(TEXT, "GET /hidden HTTP/1.1\r\n\r\n");
    client.send(&hidden);
    assert_eq!(origin.take(hidden.len()), hidden, "bytes are bytes now");
    client.finish_sending();
    origin.ends();
    origin.send("bye");
    drop(origin);
    assert_eq!(client.rest().0, "bye");
}

#[test]
fn a_websocket_handshake_that_is_not_complete_is_refused() {
    let world = World::new();
    let upgrade = "Host: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let rows = [
        (
            format!("GET / HTTP/1.1\r\n{upgrade}{key}Sec-WebSocket-Version: 1337\r\n\r\n"),
            WebSocketVersion,
        ),
        (
            format!("GET / HTTP/1.1\r\n{upgrade}Sec-WebSocket-Version: 13\r\n\r\n"),
            MalformedUpgrade,
        ),
        (
            format!("POST / HTTP/1.1\r\n{upgrade}{key}Sec-WebSocket-Version: 13\r\n\r\n"),
            MalformedUpgrade,
        ),
        (
            format!(
                "GET / HTTP/1.1\r\n{upgrade}{key}Sec-WebSocket-Version: 13\r\nContent-Length: 1\r\n\r\nx"
            ),
            MalformedUpgrade,
        ),
    ];
    for (request, refusal) in rows {
        world.refuses(request, refusal);
    }
}

#[test]
fn cdn_loop_is_kept_and_ourselves_in_it_refused() {
    let world = World::new();
    let head = seen(&world, "CDN-Loop: other.example; v=1\r\nCDN-Loop: third");
    assert_eq!(
        head.all("cdn-loop"),
        ["other.example; v=1, third, mangrove"]
    );

    let get =
        |value: &str| format!("GET / HTTP/1.1\r\nHost: a.example\r\nCDN-Loop: {value}\r\n\r\n");
    world.refuses(get("mangrove"), LoopDetected);
    world.refuses(get("other, Mangrove; hop=1"), LoopDetected);
    world.refuses(get("\"broken"), MalformedCdnLoop);
}

#[test]
fn the_path_is_forwarded_as_it_came() {
    let world = World::new();
    let mut client = world.client();
    let odd = "//a/./b/%7e/../c/%2e%2E/;x?q=%20&r=/../";
    client.get(odd);
    let mut origin = world.origin.accept();
    assert_eq!(origin.head().first_line(), format!("GET {odd} HTTP/1.1"));
    origin.answer("fine");
    assert_eq!(client.answer().body, "fine");
}

#[test]
fn the_path_is_forwarded_in_its_normal_form_where_the_site_says_so() {
    let world = World::with("", "path = 'normalized'");
    let mut client = world.client();
    client.get("/a/./b/%7e/../c/%2e%2E/x?q=%20&r=/../");
    let mut origin = world.origin.accept();
    assert_eq!(
        origin.head().first_line(),
        "GET /a/b/x?q=%20&r=/../ HTTP/1.1"
    );
    origin.answer("fine");
    assert_eq!(client.answer().body, "fine");
}

/// An origin's fields about its own connection are not the client's business, and its length is told once.
#[test]
fn an_origins_fields_about_the_connection_stay_behind() {
    let world = World::new();
    let mut client = world.client();
    client.get("/");
    let mut origin = world.origin.accept();
    origin.head();
    origin.send(
        "HTTP/1.1 200 OK\r\nConnection: close, X-Private\r\nKeep-Alive: timeout=1\r\nX-Private: 1\r\nUpgrade: h2c\r\n\
         X-Public: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    );
    let answer = client.answer();
    for name in ["connection", "keep-alive", "x-private", "upgrade"] {
        assert!(answer.head.all(name).is_empty(), "{name}: {answer:?}");
    }
    assert_eq!(
        (answer.head.field("x-public"), answer.body.as_str()),
        (Some("2"), "ok")
    );
    assert_eq!(answer.head.all("transfer-encoding"), ["chunked"]);
}
