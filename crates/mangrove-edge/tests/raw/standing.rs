//! Whom the operator has named: the shield leaves them alone, whatever it does to others.

use std::net::Ipv4Addr;

use mangrove_edge::reason::EdgeReason;

use crate::world::{ATTACKER, Client, OFFICE, TRUSTED, World, eventually};

const EXEMPT: &str = "exempt_clients = ['127.98.0.0/16', '2001:db8::/32']";
const LIMIT: &str = "[[site.rate_limit]]\nname = 'hourly'\nrate = 1\nper = '1h'\n";

/// An edge that has an answer for all.
fn world(server: &str, site: &str) -> World {
    let world = World::with(server, site);
    world.keeps(Ipv4Addr::new(127, 97, 0, 1).into());
    world
}

fn status(client: &mut Client, fields: &str) -> u16 {
    client.send(format!("GET / HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n"));
    client.answer().head.status()
}

fn statuses(client: &mut Client, fields: &str) -> [u16; 3] {
    std::array::from_fn(|_| status(client, fields))
}

#[test]
fn no_limit_counts_who_is_exempt() {
    let world = world(EXEMPT, LIMIT);
    assert_eq!(statuses(&mut world.client_from(OFFICE), ""), [200; 3]);
    assert_eq!(
        statuses(&mut world.client_from(ATTACKER), ""),
        [200, 429, 429]
    );
    assert_eq!(world.counts(EdgeReason::RateLimited, 2), 2);
}

/// Else whoever is served by a proxy of the operator's own would be let through with it, and a monitor behind one would not.
#[test]
fn behind_a_listed_proxy_the_visitor_is_exempt_and_not_the_proxy() {
    let world = world(
        &format!("exempt_clients = ['{TRUSTED}', '203.0.113.0/24']"),
        LIMIT,
    );
    let mut proxy = world.client_from(TRUSTED);
    let exempt = "X-Forwarded-For: 203.0.113.7\r\n";
    let other = "X-Forwarded-For: 198.51.100.7\r\n";
    assert_eq!(statuses(&mut proxy, exempt), [200; 3]);
    assert_eq!(statuses(&mut proxy, other), [200, 429, 429]);
    assert_eq!(statuses(&mut proxy, exempt), [200; 3]);
    // What the proxy asks for itself is its own.
    assert_eq!(statuses(&mut proxy, ""), [200; 3]);
    // Nobody is exempt because he says that he is.
    assert_eq!(
        statuses(&mut world.client_from(ATTACKER), exempt),
        [200, 429, 429]
    );
}

#[test]
fn who_is_exempt_makes_room_for_nobody() {
    const MOST: u64 = 16;
    let world = world(&format!("limits.connections = {MOST}\n{EXEMPT}"), "");
    // The idlest, and as many as anybody has.
    let mut office: Vec<Client> = (0..8).map(|_| world.client_from(OFFICE)).collect();
    office
        .iter_mut()
        .for_each(|one| assert_eq!(status(one, ""), 200));
    let flood: Vec<Client> = (0..100).map(|_| world.client_from(ATTACKER)).collect();
    eventually("all have come", || {
        (world.metric("mangrove_connections_accepted_total") >= 109).then_some(())
    });
    office
        .iter_mut()
        .for_each(|one| assert_eq!(status(one, ""), 200));
    drop(flood);
}

#[test]
fn where_all_are_busy_who_is_exempt_still_gets_in() {
    const MOST: u64 = 16;
    let world = world(&format!("limits.connections = {MOST}\n{EXEMPT}"), "");
    // Requests that are whole, and wait for an origin that says nothing.
    let busy: Vec<Client> = (0..MOST)
        .map(|n| {
            let mut client = world.client_from(ATTACKER);
            client.get(&format!("/slow/{n}"));
            client
        })
        .collect();
    let _waiting: Vec<_> = (0..MOST).map(|_| world.origin.accept()).collect();
    assert_eq!(status(&mut world.client_from(OFFICE), ""), 200);
    let (told, _) = world.client_from(ATTACKER).rest();
    assert!(told.starts_with("HTTP/1.1 503 "), "{told}");
    assert_eq!(world.counts(EdgeReason::TooManyConnections, 1), 1);
    drop(busy);
}

#[test]
fn a_reload_holds_on_connections_that_are_open() {
    let world = world(EXEMPT, LIMIT);
    let (mut office, mut other) = (world.client_from(OFFICE), world.client_from(ATTACKER));
    assert_eq!(statuses(&mut office, ""), [200; 3]);
    assert_eq!(statuses(&mut other, ""), [200, 429, 429]);
    world.reload("exempt_clients = ['127.99.0.1']", LIMIT);
    assert_eq!(statuses(&mut office, ""), [200, 429, 429]);
    assert_eq!(statuses(&mut other, ""), [200; 3]);
}

/// Nobody locks himself out while he fights.
#[test]
fn whoever_is_logged_in_is_exempt_and_a_guess_is_no_log_in() {
    let world = world("", LIMIT);
    let mut operator = world.client_from(OFFICE);
    assert_eq!(statuses(&mut operator, ""), [200, 429, 429]);
    assert_eq!(world.operator_from(OFFICE, false, "GET /build"), 401);
    assert_eq!(world.operator_from(OFFICE, true, "GET /metrics"), 200); // for anybody, so nobody logs in by it
    assert_eq!(status(&mut operator, ""), 429);
    assert_eq!(world.operator_from(OFFICE, true, "GET /build"), 200);
    eventually("the cores have heard", || {
        (status(&mut operator, "") == 200).then_some(())
    });
    assert_eq!(statuses(&mut operator, ""), [200; 3]);
    assert_eq!(
        statuses(&mut world.client_from(ATTACKER), ""),
        [200, 429, 429]
    );
}
