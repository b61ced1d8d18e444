//! TLS handshakes: a flood of them from one network costs whoever else comes a moment, and those who ask for most go last.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};

use mangrove_edge::reason::EdgeReason;
use mangrove_shield::handshakes::{AT_ONCE, ROW};
use mangrove_shield::ja4::Fingerprint;
use rustls::StreamOwned;

use crate::tls::Client;
use crate::wire::PATIENCE;
use crate::world::{ATTACKER, BALANCER, OFFICE, World, connected, eventually};

const VISITOR: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 1, 0, 1));

/// A connection that has said nothing yet.
fn connect(to: SocketAddr, from: IpAddr) -> TcpStream {
    let stream = connected(from, to, None);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// A connection that has said `hello`: from an address of this machine, or over IPv6, of which it has but one, through a balancer that
/// names the visitor.
fn greet(to: SocketAddr, from: IpAddr, hello: &[u8]) -> TcpStream {
    let mut stream = match from {
        IpAddr::V4(_) => connect(to, from),
        IpAddr::V6(visitor) => {
            let mut stream = connect(to, BALANCER);
            let header = format!("PROXY TCP6 {visitor} 2001:db8::1 12345 443\r\n");
            stream.write_all(header.as_bytes()).unwrap();
            stream
        }
    };
    stream.write_all(hello).unwrap();
    stream
}

/// What has become of a greeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Greeted {
    Waits,
    Answered,
    Refused,
}

fn greeted(stream: &TcpStream) -> Greeted {
    stream.set_nonblocking(true).unwrap();
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    match peeked {
        Ok(0) => Greeted::Refused,
        Ok(_) => Greeted::Answered,
        Err(error) if error.kind() == ErrorKind::WouldBlock => Greeted::Waits,
        Err(_) => Greeted::Refused,
    }
}

fn count(flood: &[TcpStream], of: Greeted) -> usize {
    flood.iter().filter(|one| greeted(one) == of).count()
}

/// Says the rest and asks for something.
fn is_answered(world: &World, tls: rustls::ClientConnection, socket: TcpStream) {
    let mut stream = StreamOwned::new(tls, socket);
    let request = "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    world.origin.accept().answer("fine");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("fine"), "{answer}");
}

const EXEMPT: &str = "exempt_clients = ['127.98.0.0/16']";

/// An edge that finds, when it begins, a flood of greetings in front of it, and behind all of them a visitor and whoever is exempt.
/// Both are answered; of the flood, so many were before the visitor.
fn flooded(flood: impl Iterator<Item = IpAddr>) -> (World, Vec<TcpStream>, usize) {
    let client = Client::new();
    let (_, hello) = client.greeting();
    let [(visiting, first), (exempt, second)] = [client.greeting(), client.greeting()];
    let mut flood: Vec<(IpAddr, &[u8])> = flood.map(|from| (from, &hello[..])).collect();
    flood.extend([(VISITOR, &first[..]), (OFFICE, &second[..])]);
    let mut attackers = Vec::new();
    let world = World::with_tls_over_ipv4(EXEMPT, |address| {
        attackers.extend(
            flood
                .iter()
                .map(|(from, hello)| greet(address, *from, hello)),
        );
    });
    let office = attackers.pop().unwrap();
    let visitor = attackers.pop().unwrap();
    visitor.peek(&mut [0]).unwrap();
    let before = count(&attackers, Greeted::Answered);
    is_answered(&world, visiting, visitor);
    is_answered(&world, exempt, office);
    (world, attackers, before)
}

/// The flood goes on while it is counted, so that a test that is held up just then has to count once more.
fn flooded_and_counted(
    flood: impl Iterator<Item = IpAddr> + Clone,
    most: usize,
) -> (World, Vec<TcpStream>) {
    let mut counts = Vec::new();
    for _ in 0..5 {
        let (world, attackers, before) = flooded(flood.clone());
        if before <= most {
            return (world, attackers);
        }
        counts.push(before);
    }
    panic!("{counts:?} were answered before the visitor");
}

#[test]
fn a_flood_of_handshakes_from_one_address_is_late_and_nobody_else() {
    const FLOOD: usize = AT_ONCE as usize + 2 * ROW;
    let flood = std::iter::repeat_n(ATTACKER, FLOOD);
    let (world, attackers) = flooded_and_counted(flood, ROW / 2);
    // As many wait as may; the others are refused by name, and all of them come to an end.
    eventually("nobody waits", || {
        (count(&attackers, Greeted::Waits) == 0).then_some(())
    });
    let refused = count(&attackers, Greeted::Refused);
    assert!(refused > 0 && refused < FLOOD - ROW, "{refused}");
    let counted = world.counts(EdgeReason::TooManyHandshakes, refused as u64);
    assert_eq!(counted, refused as u64);
    let reason = EdgeReason::TooManyHandshakes.name();
    let line = eventually(reason, || {
        let mut records = world.records().into_iter();
        records.find(|record| record["reason"] == reason)
    });
    assert_eq!(line["client.address"], ATTACKER.to_string());
    assert_eq!(line["fault"], "edge");
    let (_, hello) = Client::new().greeting();
    let fingerprint = Fingerprint::of(&hello).unwrap();
    assert_eq!(line["tls.client.ja4_stable"], fingerprint.stable.as_str());
    eventually("nobody waits", || {
        (world.metric("mangrove_tls_handshakes_waiting") == 0).then_some(())
    });
}

#[test]
fn a_flood_of_handshakes_from_one_network_is_late_and_nobody_else() {
    const FLOOD: usize = 1_000;
    let flood = (0..FLOOD).map(|n| Ipv4Addr::new(127, 99, 0, (n % 200) as u8).into());
    let (world, attackers) = flooded_and_counted(flood, FLOOD / 2);
    eventually("all are answered", || {
        (count(&attackers, Greeted::Answered) == FLOOD).then_some(())
    });
    assert_eq!(world.counted(EdgeReason::TooManyHandshakes), 0);
}

/// Of IPv6 the first 64 bits are one client, and he has his share once, whichever of his addresses he uses.
#[test]
fn a_flood_of_handshakes_from_one_ipv6_network_is_late_and_from_as_many_networks_is_not() {
    // More than the share of one, and less than that of a /48.
    const FLOOD: u16 = 3 * AT_ONCE as u16;
    let address = |network, n| Ipv6Addr::new(0x2001, 0xdb8, 1, network, 0, 0, 0, n).into();
    let most = usize::from(FLOOD) * 3 / 4;
    let (_world, attackers) = flooded_and_counted((0..FLOOD).map(|n| address(1, n)), most);
    eventually("all are answered", || {
        (count(&attackers, Greeted::Answered) == attackers.len()).then_some(())
    });
    let (_, _, before) = flooded((0..FLOOD).map(|n| address(n, 1)));
    assert!(before > most, "{before}");
}

/// He is let alone, and not the network around him.
#[test]
fn who_is_exempt_does_not_wait_where_others_of_his_network_do() {
    const FLOOD: usize = 1_000;
    let member = |n: usize| Ipv4Addr::new(127, 99, 0, n as u8).into();
    let (exempt, neighbour) = (member(7), member(8));
    let client = Client::new();
    let (_, hello) = client.greeting();
    let mut counts = Vec::new();
    for _ in 0..5 {
        let (exempting, first) = client.greeting();
        let mut came = Vec::new();
        let settings = format!("exempt_clients = ['{exempt}']");
        let world = World::with_tls_over_ipv4(&settings, |address| {
            let flood = (0..FLOOD).map(|n| member(10 + n % 200));
            came.extend(flood.map(|from| greet(address, from, &hello)));
            came.push(greet(address, neighbour, &hello));
            came.push(greet(address, exempt, &first));
        });
        let exempt = came.pop().unwrap();
        exempt.peek(&mut [0]).unwrap();
        let waits = greeted(came.last().unwrap()) == Greeted::Waits;
        let before = count(&came, Greeted::Answered);
        is_answered(&world, exempting, exempt);
        if waits && before <= FLOOD / 2 {
            return;
        }
        counts.push((before, waits)); // this test was held up, while the flood went on
    }
    panic!("{counts:?} were answered before who is exempt");
}

/// Neither half a greeting nor silence after a whole one takes a place that others wait for.
#[test]
fn who_is_silent_in_a_handshake_keeps_nobody_waiting() {
    let world = World::with_tls_over_ipv4("", |_| {});
    let client = Client::new();
    let (_, hello) = client.greeting();
    let silent = (0..200).map(|n| {
        let mut one = connect(world.address(), ATTACKER);
        let said = if n % 2 == 0 { &hello[..] } else { &hello[..20] };
        one.write_all(said).unwrap();
        one
    });
    let silent: Vec<TcpStream> = silent.collect();
    eventually("every second is answered", || {
        (count(&silent, Greeted::Answered) == 100).then_some(())
    });
    eventually("nobody waits", || {
        (world.metric("mangrove_tls_handshakes_waiting") == 0).then_some(())
    });
    let (visiting, first) = client.greeting();
    let mut visitor = connect(world.address(), VISITOR);
    visitor.write_all(&first).unwrap();
    is_answered(&world, visiting, visitor);
}
