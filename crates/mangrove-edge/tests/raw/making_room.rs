//! Where all places are taken by requests under way, the slowest of those who hold most make room; who moves well, or waits for us,
//! stays.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mangrove_edge::reason::EdgeReason;

use crate::frames::{Http2, get, post};
use crate::origin::Visit;
use crate::wire::End;
use crate::world::{ATTACKER, BYSTANDER, Client, World, eventually};

const MOST: u64 = 16;
const VISITOR: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 1, 0, 1));
const LARGE: usize = 4 * 1024 * 1024;

/// An edge that has an answer for all, and a large one.
fn world() -> World {
    let world = World::with(&format!("limits.connections = {MOST}"), "");
    for (path, length) in [("/", 4), ("/large", LARGE)] {
        let mut first = world.client();
        first.get(path);
        let mut origin = world.origin.accept();
        origin.head();
        origin.send(format!(
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        ));
        origin.send(vec![b'k'; length]);
        assert_eq!(first.answer().body.len(), length);
    }
    eventually("nobody there", || (world.connections() == 0).then_some(()));
    world
}

/// Asks for something that the origin does not answer yet.
fn waits_for_us(world: &World) -> (Client, Visit) {
    let mut client = world.client_from(ATTACKER);
    client.get("/waits");
    let mut origin = world.origin.accept();
    origin.head();
    (client, origin)
}

/// Comes until there is room.
fn a_visitor_gets_in(world: &World) {
    a_visitor_gets_in_while(world, || {});
}

/// The same, while others do something before each time.
fn a_visitor_gets_in_while(world: &World, mut others: impl FnMut()) {
    eventually("all places are taken", || {
        (world.connections() >= MOST).then_some(())
    });
    eventually("a visitor is answered", || {
        others();
        let mut visitor = world.client_from(VISITOR);
        visitor.try_send("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n");
        visitor.rest().0.ends_with("\r\n\r\nkkkk").then_some(())
    });
    assert!(world.counts(EdgeReason::MadeRoom, 1) >= 1);
    let name = EdgeReason::MadeRoom.name();
    let line = eventually(name, || {
        let mut records = world.records().into_iter();
        records.find(|record| record["reason"] == name)
    });
    assert_eq!(line["client.address"], ATTACKER.to_string());
    assert_eq!(line["fault"], "edge");
}

/// Sends a body at fifty times the pace of the slow, until told that it is enough.
fn uploads_well(world: &World) -> (JoinHandle<Client>, Visit, Arc<AtomicBool>) {
    let mut client = world.client_from(ATTACKER);
    client.send("POST /upload HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut origin = world.origin.accept();
    origin.head();
    let enough = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&enough);
    let sending = std::thread::spawn(move || {
        let piece = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
        while !told.load(Ordering::Relaxed) {
            client.send(&piece);
            std::thread::sleep(Duration::from_millis(20)); // its own pace, which nothing depends on but that it is good
        }
        client.send("0\r\n\r\n");
        client
    });
    (sending, origin, enough)
}

#[test]
fn slow_bodies_make_room_and_who_moves_well_or_waits_for_us_does_not() {
    let world = world();
    let (mut patient, mut late) = waits_for_us(&world);
    let (sending, mut reading, enough) = uploads_well(&world);
    let slow = (2..MOST).map(|_| {
        let mut client = world.client_from(ATTACKER);
        client.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1000\r\n\r\nx");
        (client, world.origin.accept())
    });
    let slow: Vec<_> = slow.collect();
    a_visitor_gets_in(&world);
    late.answer("at last");
    assert_eq!(patient.answer().body, "at last");
    enough.store(true, Ordering::Relaxed);
    let mut client = sending.join().unwrap();
    assert!(!reading.chunked().0.is_empty());
    reading.answer("all of it");
    assert_eq!(client.answer().body, "all of it");
    drop(slow);
}

#[test]
fn slow_readers_make_room() {
    let world = world();
    let (mut patient, mut late) = waits_for_us(&world);
    let slow = (1..MOST).map(|_| {
        let mut client = world.client_with_little_room_from(ATTACKER);
        client.get("/large");
        client
    });
    let mut slow: Vec<Client> = slow.collect();
    a_visitor_gets_in(&world);
    late.answer("at last");
    assert_eq!(patient.answer().body, "at last");
    world.drain();
    let reset = slow
        .iter_mut()
        .map(|one| one.rest().1)
        .filter(|end| *end == End::Reset);
    assert!(reset.count() >= 1);
}

#[test]
fn slow_bodies_over_http_2_make_room_as_well() {
    let world = world();
    let mut patient = Http2::connect_from(&world, ATTACKER);
    let stream = patient.ask(&post(&[("content-length", "0")]));
    let mut late = world.origin.accept();
    late.head();
    let slow = (1..MOST).map(|_| {
        let mut client = Http2::connect_from(&world, ATTACKER);
        let stream = client.begin(&post(&[]));
        client.data(stream, "x", false);
        (client, world.origin.accept())
    });
    let slow: Vec<_> = slow.collect();
    a_visitor_gets_in(&world);
    late.answer("at last");
    patient.is_answered(stream);
    drop(slow);
}

/// Once they had their places until their time was over, and of all others the idle went, who were visitors.
#[test]
fn whoever_was_refused_and_does_not_leave_makes_room_before_an_idle_visitor() {
    let world = world();
    let mut bystander = world.client_from(BYSTANDER);
    bystander.get("/");
    assert_eq!(bystander.answer().body, "kkkk");
    let refused: Vec<_> = (1..MOST)
        .map(|_| {
            let mut client = world.client_from(ATTACKER);
            client.send(
                "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1099511627776\r\n\r\n",
            );
            assert_eq!(client.answer().head.status(), 413);
            client
        })
        .collect();
    assert_eq!(world.connections(), MOST);
    eventually("a visitor is answered", || {
        let mut visitor = world.client_from(VISITOR);
        visitor.try_send("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n");
        visitor.rest().0.ends_with("\r\n\r\nkkkk").then_some(())
    });
    bystander.get("/");
    assert_eq!(bystander.answer().body, "kkkk");
    drop(refused);
}

/// Once each HEAD that was answered beside it made a client that takes nothing look like one that moves.
#[test]
fn a_stream_that_nobody_reads_is_not_hidden_by_others_that_end() {
    let world = world();
    let (mut patient, mut late) = waits_for_us(&world);
    let mut stalled: Vec<_> = (1..MOST)
        .map(|_| {
            let mut client = Http2::connect_from(&world, ATTACKER);
            client.ask(&get("/large"));
            client
        })
        .collect();
    let mut head = get("/");
    head[0].1 = "HEAD";
    let mut asked = Instant::now();
    a_visitor_gets_in_while(&world, || {
        // Their own pace: more often, and they would move well.
        if asked.elapsed() >= Duration::from_secs(1) {
            asked = Instant::now();
            for client in &mut stalled {
                client.tries_to_ask(&head);
            }
        }
    });
    late.answer("at last");
    assert_eq!(patient.answer().body, "at last");
}
