//! Connections: whoever holds most makes room for the others, and while there is room nobody is refused, however many come from
//! one address.

use std::net::{IpAddr, Ipv4Addr};

use mangrove_edge::reason::EdgeReason;

use crate::world::{ATTACKER, BALANCER, Client, OFFICE, World, eventually};

const SCHOOL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// An edge that has an answer for all, and room for so many.
fn world(connections: usize) -> World {
    let world = World::with(&format!("limits.connections = {connections}"), "");
    world.keeps(Ipv4Addr::LOCALHOST.into());
    world
}

fn is_answered(client: &mut Client) {
    client.get("/");
    assert_eq!(client.answer().body, "kept");
}

/// A visitor whom a balancer names, who has had an answer.
fn named(world: &World, header: &str) -> Client {
    let mut client = world.client_from(BALANCER);
    client.send(format!("PROXY {header} 12345 80\r\n"));
    is_answered(&mut client);
    client
}

/// Visitors of as many networks, who have each had an answer and wait longer than anybody who comes now.
fn visitors(world: &World, count: u8) -> Vec<Client> {
    let from = |n| world.client_from(Ipv4Addr::new(127, 1 + n, 0, 1).into());
    let mut visitors: Vec<Client> = (0..count).map(from).collect();
    visitors.iter_mut().for_each(is_answered);
    visitors
}

fn is_full(world: &World, most: u64) {
    eventually("no more than may be", || {
        (world.connections() <= most).then_some(())
    });
}

/// Once the idlest of all went first: whoever only connects, over and over, took the place of every visitor.
#[test]
fn who_opens_connections_without_end_takes_no_visitors_place() {
    const MOST: u64 = 64;
    let world = world(MOST as usize);
    let mut visitors = visitors(&world, 20);
    let silent: Vec<_> = (0..400).map(|_| world.client_from(ATTACKER)).collect();
    eventually("all have come", || {
        (world.metric("mangrove_connections_accepted_total") >= 421).then_some(())
    });
    is_full(&world, MOST);
    visitors.iter_mut().for_each(is_answered);
    is_answered(&mut world.client());
    assert_eq!(world.counted(EdgeReason::TooManyConnections), 0);
    drop(silent);
}

/// The attack from a whole network at once, each address with one connection.
#[test]
fn a_network_that_takes_all_places_makes_room_as_one() {
    const MOST: u64 = 64;
    let world = world(MOST as usize);
    let mut visitors = visitors(&world, 20);
    let member = |n| Ipv4Addr::new(127, 99, 0, n).into();
    let silent: Vec<_> = (0..=255).map(|n| world.client_from(member(n))).collect();
    eventually("all have come", || {
        (world.metric("mangrove_connections_accepted_total") >= 277).then_some(())
    });
    is_full(&world, MOST);
    visitors.iter_mut().for_each(is_answered);
    drop(silent);
}

/// Once a head that had begun could not be sent away before its deadline, and nobody else came in.
#[test]
fn heads_that_are_never_ended_make_room_and_are_told_why() {
    const MOST: u64 = 16;
    let world = world(MOST as usize);
    let slow = |behind: &str| {
        let mut client = world.client_from(ATTACKER);
        if !behind.is_empty() {
            is_answered(&mut client);
        }
        client.send("GET / HTTP/1.1\r\nHost: a.example\r\nX-Slow: ");
        client
    };
    // As the first request of a connection, and behind one that was whole.
    let mut slow: Vec<Client> = (0..MOST)
        .map(|n| slow(if n % 2 == 0 { "" } else { "whole" }))
        .collect();
    is_full(&world, MOST);
    let newcomers = visitors(&world, 4);
    is_full(&world, MOST);
    assert!(world.counts(EdgeReason::TooManyConnections, 4) >= 4);
    world.drain();
    let told = slow.iter_mut().filter_map(|client| {
        let text = client.rest().0;
        text.contains("details=\"too-many-connections\"")
            .then_some(text)
    });
    let told: Vec<String> = told.collect();
    assert!(told.len() >= 4, "{told:?}");
    assert!(told.iter().all(|text| text.starts_with("HTTP/1.1 503 ")));
    drop(newcomers);
}

/// A listed balancer is one address with everybody's connections: each counts for the visitor it names.
#[test]
fn behind_a_listed_balancer_each_connection_counts_for_its_visitor() {
    const MOST: u64 = 32;
    let world = world(MOST as usize);
    let from = |visitor: &str| named(&world, &format!("TCP4 {visitor} 127.0.0.1"));
    let mut visitors: Vec<Client> = (1..=10).map(|n| from(&format!("{n}.0.2.1"))).collect();
    let flood: Vec<Client> = (0..100).map(|_| from("203.0.113.9")).collect();
    is_full(&world, MOST);
    visitors.iter_mut().for_each(is_answered);
    drop(flood);
}

/// Of IPv6 the first 64 bits are one client, who has more addresses than there are grains of sand.
#[test]
fn an_ipv6_client_makes_room_as_one_whichever_of_his_addresses_he_uses() {
    const MOST: u64 = 60;
    let world = world(MOST as usize);
    eventually("nobody is left", || {
        (world.connections() == 0).then_some(())
    });
    // Fewer, of one address, and idler.
    let visit = |_| {
        let mut client = world.client_from(OFFICE);
        is_answered(&mut client);
        client
    };
    let mut office: Vec<Client> = (0..20).map(visit).collect();
    let client = |n| named(&world, &format!("TCP6 2001:db8:1:1::{n:x} 2001:db8::1"));
    let clients: Vec<Client> = (0..40).map(client).collect();
    let mut newcomers = visitors(&world, 8);
    is_full(&world, MOST);
    office.iter_mut().for_each(is_answered);
    newcomers.iter_mut().for_each(is_answered);
    drop(clients);
}

/// An office, a school, a mobile network, and the test that you are running.
#[test]
fn while_there_is_room_nobody_is_refused_by_number() {
    let world = world(20_000);
    let visitor = |from| {
        let mut client = world.client_from(from);
        is_answered(&mut client);
        client
    };
    let office: Vec<_> = (0..2_000).map(|_| visitor(OFFICE)).collect();
    let mut school: Vec<_> = (0..200).map(|_| visitor(SCHOOL)).collect();
    for n in 0..5_000_u16 {
        let [high, low] = n.to_be_bytes();
        visitor(Ipv4Addr::new(127, 2, high, low).into());
    }
    school.iter_mut().for_each(is_answered);
    assert!(world.connections() >= 2_200, "{}", world.connections());
    assert_eq!(world.counted(EdgeReason::TooManyConnections), 0);
    drop(office);
}
