//! Request heads: lines, names, hosts, versions, ceilings.

use mangrove_http::METHOD_BYTES;
use mangrove_http::Refusal::*;

use crate::world::World;

#[test]
fn lines_end_in_cr_lf_and_hold_nothing_but_a_field() {
    let world = World::new();
    let rows = [
        ("GET / HTTP/1.1\nHost: a.example\n\n", BareLf),
        ("GET / HTTP/1.1\r\nHost: a.example\n\r\n", BareLf),
        ("GET / HTTP/1.1\r\nX: y\nHost: a.example\r\n\r\n", BareLf),
        ("GET / HTTP/1.1\rHost: a.example\r\r", BareCr),
        (
            "GET / HTTP/1.1\r\nX: y\rz\r\nHost: a.example\r\n\r\n",
            BareCr,
        ),
        (
            "GET / HTTP/1.1\r\nX: y\r\r\nHost: a.example\r\n\r\n",
            BareCr,
        ),
        (
            "GET / HTTP/1.1\r\nX: \0y\r\nHost: a.example\r\n\r\n",
            NulInHead,
        ),
        ("GET /\0 HTTP/1.1\r\nHost: a.example\r\n\r\n", NulInHead),
        (
            "GET / HTTP/1.1\r\nX: \x7fy\r\nHost: a.example\r\n\r\n",
            ControlInHead,
        ),
        (
            "GET / HTTP/1.1\r\nX: y\r\n z\r\nHost: a.example\r\n\r\n",
            FoldedField,
        ),
        ("GET / HTTP/1.1\r\n Host: a.example\r\n\r\n", FoldedField),
        (
            "GET / HTTP/1.1\r\nHost : a.example\r\n\r\n",
            SpaceBeforeColon,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a.example\r\nX\t: y\r\n\r\n",
            SpaceBeforeColon,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a.example\r\n: y\r\n\r\n",
            EmptyFieldName,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a.example\r\nX y: z\r\n\r\n",
            MalformedFieldName,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a.example\r\nnothing\r\n\r\n",
            MalformedFieldName,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a.example\r\nX(: y\r\n\r\n",
            MalformedFieldName,
        ),
    ];
    for (request, refusal) in rows {
        world.refuses(request, refusal);
    }
}

#[test]
fn a_request_line_is_method_target_and_a_version_we_speak() {
    let world = World::new();
    let host = "\r\nHost: a.example\r\n\r\n";
    let rows = [
        ("GET / HTTP/1.2", UnknownVersion),
        ("GET / HTTP/2.0", UnknownVersion),
        ("GET / HTTP/0.9", UnknownVersion),
        ("GET /", MalformedRequestLine),
        ("GET  / HTTP/1.1", MalformedRequestLine),
        ("GET / HTTP/1.1 ", MalformedRequestLine),
        ("GET / http/1.1", MalformedRequestLine),
        ("GET / HTTP/1.10", MalformedRequestLine),
        ("GET\t/\tHTTP/1.1", MalformedRequestLine),
        ("GET /a b HTTP/1.1", MalformedRequestLine),
        ("G(T / HTTP/1.1", MalformedRequestLine),
        (" GET / HTTP/1.1", MalformedRequestLine),
        ("GET a HTTP/1.1", MalformedTarget),
        ("GET * HTTP/1.1", MalformedTarget),
        ("GET ftp://a.example/ HTTP/1.1", MalformedTarget),
        ("GET //\u{e9} HTTP/1.1", MalformedTarget),
        ("GET /a#b HTTP/1.1", FragmentInTarget),
        ("CONNECT a.example:443 HTTP/1.1", ConnectRefused),
        ("CONNECT / HTTP/1.1", ConnectRefused),
        ("TRACE / HTTP/1.1", MethodNotAllowed),
    ];
    for (line, refusal) in rows {
        world.refuses(format!("{line}{host}"), refusal);
    }
    let long = format!("{} / HTTP/1.1{host}", "M".repeat(METHOD_BYTES + 1));
    world.refuses(long, MethodTooLong);
}

#[test]
fn a_request_is_for_one_well_formed_host() {
    let world = World::new();
    let rows = [
        ("", AbsentHost),
        ("Host: a.example\r\nHost: a.example\r\n", RepeatedHost),
        (
            "Host: a.example\r\nX: y\r\nhost: b.example\r\n",
            RepeatedHost,
        ),
        ("Host:\r\n", MalformedHost),
        ("Host: a.example, b.example\r\n", MalformedHost),
        ("Host: a.example b.example\r\n", MalformedHost),
        ("Host: user@a.example\r\n", MalformedHost),
        ("Host: a.example/\r\n", MalformedHost),
        ("Host: a.example:\r\n", MalformedHost),
        ("Host: a.example:80:80\r\n", MalformedHost),
        ("Host: a.example:65536\r\n", MalformedHost),
        ("Host: a..example\r\n", MalformedHost),
        ("Host: a%2eexample\r\n", MalformedHost),
        ("Host: http://a.example\r\n", MalformedHost),
        ("Host: [::1\r\n", MalformedHost),
        ("Host: a.ex\u{e4}mple\r\n", MalformedHost),
    ];
    for (lines, refusal) in rows {
        world.refuses(format!("GET / HTTP/1.1\r\n{lines}\r\n"), refusal);
    }
}

#[test]
fn absolute_form_agrees_with_host_or_is_refused() {
    let world = World::new();
    for (target, host) in [
        ("http://a.example/", "b.example"),
        ("http://a.example:81/", "a.example"),
        ("http://a.example/", "a.example:8080"),
        ("http://a.example/", "a.example."),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        world.refuses(request, AbsoluteFormDisagrees);
    }
    world.refuses(
        "GET http://user@a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
        MalformedTarget,
    );
    world.refuses("GET http://a.example/ HTTP/1.1\r\n\r\n", AbsentHost);

    let mut client = world.client();
    client.send("GET http://A.example:80/x?y HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let mut origin = world.origin.accept();
    let head = origin.head();
    assert_eq!(head.first_line(), "GET /x?y HTTP/1.1");
    assert_eq!(head.field("host"), Some("A.example:80"));
    origin.answer("fine");
    assert_eq!(client.answer().body, "fine");
}

#[test]
fn a_head_of_32_kib_passes_and_one_byte_more_does_not() {
    let world = World::new();
    let head = |bytes: usize| {
        let start = "GET / HTTP/1.1\r\nHost: a.example\r\nX: ";
        let rest = bytes - start.len() - 4;
        format!("{start}{}\r\n\r\n", "y".repeat(rest))
    };
    let mut client = world.client();
    client.send(head(32 * 1024));
    let mut origin = world.origin.accept();
    origin.head();
    origin.answer("fine");
    assert_eq!(client.answer().body, "fine");
    drop(origin);
    world.refuses(head(32 * 1024 + 1), HeadTooLarge);
}

#[test]
fn a_hundred_fields_pass_and_one_more_does_not() {
    let world = World::new();
    let head = |fields: usize| {
        let others = "x: y\r\n".repeat(fields - 1);
        format!("GET / HTTP/1.1\r\nHost: a.example\r\n{others}\r\n")
    };
    let mut client = world.client();
    client.send(head(100));
    let mut origin = world.origin.accept();
    assert_eq!(origin.head().all("x").len(), 99);
    origin.answer("fine");
    assert_eq!(client.answer().body, "fine");
    drop(origin);
    world.refuses(head(101), TooManyFields);
}

#[test]
fn a_target_over_its_ceiling_is_refused_by_its_own_name() {
    let world = World::new();
    let get = |bytes: usize| {
        let path = "a".repeat(bytes - 1);
        format!("GET /{path} HTTP/1.1\r\nHost: a.example\r\n\r\n")
    };
    let mut client = world.client();
    client.send(get(16 * 1024));
    let mut origin = world.origin.accept();
    origin.head();
    origin.answer("fine");
    assert_eq!(client.answer().body, "fine");
    drop(origin);
    world.refuses(get(16 * 1024 + 1), TargetTooLong);
}

/// One byte at a time is the same head.
#[test]
fn a_verdict_does_not_depend_on_how_the_bytes_arrive() {
    let world = World::new();
    let mut client = world.client();
    for byte in b"GET /slow HTTP/1.1\r\nHost: a.example\r\nX : y\r\n\r\n".chunks(1) {
        if !client.try_send(byte) {
            break; // it has heard enough
        }
    }
    assert_eq!(client.answer().reason(), Some(SpaceBeforeColon.name()));
    assert!(world.origin.is_untouched());
}
