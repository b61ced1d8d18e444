//! Who the visitor is said to be, and who is believed when they say it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mangrove_http::Refusal::*;

use crate::wire::Head;
use crate::world::{BALANCER, Client, TRUSTED, World};

/// What the origin sees of a GET with these lines, and how the log names the visitor.
fn seen(world: &World, client: &mut Client, lines: &str) -> (Head, String) {
    client.send(format!("GET / HTTP/1.1\r\nHost: a.example\r\n{lines}\r\n"));
    let mut origin = world.origin.accept();
    let head = origin.head();
    origin.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let record = world.record_of(&client.answer());
    (head, record["client.address"].as_str().unwrap().to_owned())
}

#[test]
fn what_a_stranger_says_of_itself_is_replaced() {
    let world = World::new();
    let lines = "X-Forwarded-For: 192.0.2.1\r\nx-forwarded-for: 192.0.2.2\r\nX-Real-IP: 192.0.2.3\r\n\
                 Forwarded: for=192.0.2.4\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example\r\n";
    let (head, logged) = seen(&world, &mut world.client(), lines);
    assert_eq!(head.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(head.all("x-forwarded-proto"), ["http"]);
    assert_eq!(head.all("x-forwarded-host"), ["a.example"]);
    assert!(head.all("forwarded").is_empty() && head.all("x-real-ip").is_empty());
    assert_eq!(logged, "127.0.0.1");
}

#[test]
fn what_a_listed_proxy_says_is_believed_and_continued() {
    let world = World::new();
    let lines =
        "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 192.0.2.2\r\nX-Forwarded-Proto: https\r\n";
    let (head, logged) = seen(&world, &mut world.client_from(TRUSTED), lines);
    assert_eq!(
        head.all("x-forwarded-for"),
        ["192.0.2.1, 192.0.2.2, 127.0.0.2"]
    );
    assert_eq!(head.all("x-forwarded-proto"), ["https"]);
    assert_eq!(logged, "192.0.2.2", "the nearest that nobody vouches for");

    let (head, logged) = seen(
        &world,
        &mut world.client_from(TRUSTED),
        "Forwarded: for=192.0.2.4\r\n",
    );
    assert_eq!(head.all("forwarded"), ["for=192.0.2.4"]);
    assert_eq!(logged, "192.0.2.4");
}

#[test]
fn visitors_over_ipv6_are_themselves() {
    let world = World::new();
    let mut client = world.client_from(Ipv6Addr::LOCALHOST.into());
    let (head, logged) = seen(&world, &mut client, "X-Forwarded-For: 192.0.2.1\r\n");
    assert_eq!(
        (head.all("x-forwarded-for"), logged.as_str()),
        (vec!["::1"], "::1")
    );
}

#[test]
fn a_listed_balancer_tells_the_visitors_address_first() {
    let world = World::new();
    let mut version_2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    version_2.extend([192, 0, 2, 7, 127, 0, 0, 1, 0x30, 0x39, 0, 80]);
    for header in [
        &b"PROXY TCP4 192.0.2.7 127.0.0.1 12345 80\r\n"[..],
        &version_2,
    ] {
        let mut client = world.client_from(BALANCER);
        client.send(header);
        let (head, logged) = seen(&world, &mut client, "X-Forwarded-For: 192.0.2.9\r\n");
        assert_eq!(
            (head.all("x-forwarded-for"), logged.as_str()),
            (vec!["192.0.2.7"], "192.0.2.7")
        );
    }
}

#[test]
fn a_listed_balancer_without_a_proxy_header_is_hung_up_on() {
    let world = World::new();
    for (count, bytes) in [
        "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "PROXY TCP4 192.0.2.7\r\nGET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "PROXY TCP4 192.0.2.7 127.0.0.1 12345 80\nGET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = world.client_from(BALANCER);
        client.send(bytes);
        client.ends();
        let count = count as u64 + 1;
        assert_eq!(world.counts(MalformedProxyProtocol, count), count);
    }
    assert!(world.origin.is_untouched());
}

#[test]
fn a_proxy_header_from_anyone_else_is_no_request() {
    let world = World::new();
    let header = "PROXY TCP4 192.0.2.7 127.0.0.1 12345 80\r\n";
    world.refuses(
        format!("{header}GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"),
        MalformedRequestLine,
    );
    let elsewhere = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 4));
    let (_, logged) = seen(&world, &mut world.client_from(elsewhere), "");
    assert_eq!(logged, "127.0.0.4");
}

/// Trust is given to addresses, not to whoever a balancer names: here it names a proxy that is listed.
#[test]
fn a_proxy_that_a_balancer_vouches_for_is_believed() {
    let world = World::new();
    let mut client = world.client_from(BALANCER);
    client.send("PROXY TCP4 127.0.0.2 127.0.0.1 12345 80\r\n");
    let (head, logged) = seen(&world, &mut client, "X-Forwarded-For: 192.0.2.9\r\n");
    assert_eq!(head.all("x-forwarded-for"), ["192.0.2.9, 127.0.0.2"]);
    assert_eq!(logged, "192.0.2.9");
}
