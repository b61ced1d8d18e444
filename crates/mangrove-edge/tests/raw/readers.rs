//! Readers: who takes an answer slowly but takes it is served, who does not is gone by a deadline, over either version.
//!
//! Deadlines are 1 s here. What buffers on the way hold counts for nobody: 128 KiB at the edge, a few KiB at the reader.

use std::net::Ipv6Addr;
use std::thread::JoinHandle;
use std::time::Duration;

use mangrove_edge::reason::EdgeReason;

use crate::frames::{Http2, Outcome, get, post};
use crate::wire::End;
use crate::world::{World, eventually};

const SHORT: &str = "limits.response_write_idle = '1s'\nlimits.min_rate_grace = '1s'";
/// Some KiB each time: far slower than one deadline for half of what the edge's kernel holds.
const SIP: Duration = Duration::from_millis(100);
const BODY: usize = 256 * 1024;

/// The origin's answer to the next request, given as fast as the edge takes it.
fn answers(world: &World, bytes: usize) -> JoinHandle<()> {
    let mut origin = world.origin.accept();
    origin.head();
    std::thread::spawn(move || {
        origin.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n"
        ));
        origin.try_send(vec![b'x'; bytes]);
    })
}

/// The only line of the access log, once it is there.
fn record(world: &World) -> serde_json::Value {
    eventually("a record", || world.records().pop())
}

fn is_alone(world: &World) {
    eventually("nobody connected", || {
        (world.connections() == 0).then_some(())
    });
}

#[test]
fn whoever_reads_slowly_has_the_whole_answer() {
    let world = World::with(SHORT, "");
    let mut client = world.client_with_little_room();
    client.get("/");
    let origin = answers(&world, BODY);
    client.head();
    let mut read = 0;
    while read < BODY - 8 * 1024 {
        let sip = client.sip(SIP);
        assert!(sip > 0, "cut off after {read} bytes");
        read += sip;
    }
    origin.join().unwrap();
    assert_eq!(record(&world)["reason"], serde_json::Value::Null);
}

#[test]
fn whoever_stops_reading_is_reset_after_the_write_deadline() {
    let world = World::with(SHORT, "");
    let mut client = world.client_with_little_room();
    client.get("/");
    let _origin = answers(&world, 64 * BODY); // more than a kernel that is short of time may hold
    client.head();
    for _ in 0..10 {
        assert!(client.sip(SIP) > 0);
    }
    assert_eq!(record(&world)["reason"], "response-write-timeout");
    assert_eq!(client.rest().1, End::Reset, "the kernel keeps nothing");
    is_alone(&world);
}

#[test]
fn whoever_reads_under_the_minimum_rate_is_reset_after_the_grace() {
    let world = World::with(&format!("{SHORT}\nlimits.response_min_rate = 1048576"), "");
    let mut client = world.client_with_little_room();
    client.get("/");
    let _origin = answers(&world, 64 * BODY);
    client.head();
    while client.sip(SIP) > 0 {}
    assert_eq!(record(&world)["reason"], "response-read-too-slow");
    is_alone(&world);
}

/// All of it was in the kernel's hands, which would have offered it for minutes.
#[test]
fn an_answer_that_is_left_unread_at_the_end_is_thrown_away() {
    let world = World::with(SHORT, "");
    let mut client = world.client_with_little_room();
    client.send("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n");
    answers(&world, 100_000).join().unwrap();
    assert_eq!(record(&world)["reason"], serde_json::Value::Null);
    assert_eq!(world.counts(EdgeReason::ResponseWriteTimeout, 1), 1);
    is_alone(&world);
    assert_eq!(client.rest().1, End::Reset);
}

#[test]
fn whoever_reads_slowly_over_http_2_has_the_whole_answer() {
    let world = World::with(SHORT, "");
    let mut client = Http2::connect_with_little_room(&world);
    client.ask(&get("/"));
    let origin = answers(&world, 2 * BODY);
    let mut read = 0;
    while read < 2 * BODY {
        let sip = client.sip(SIP);
        assert!(sip > 0, "cut off after {read} bytes");
        read += sip;
    }
    origin.join().unwrap();
    assert_eq!(record(&world)["reason"], serde_json::Value::Null);
}

/// No stream error and no GOAWAY would reach it: the connection does not wait until it would be idle.
#[test]
fn whoever_reads_nothing_over_http_2_loses_the_connection_with_the_stream() {
    let world = World::with(&format!("{SHORT}\nlimits.h2_idle = '1h'"), "");
    let mut client = Http2::connect_with_little_room(&world);
    client.ask(&get("/"));
    let _origin = answers(&world, 4 * BODY);
    assert_eq!(record(&world)["reason"], "response-write-timeout");
    is_alone(&world);
    assert_eq!(client.ends(), End::Reset);
}

/// Once it was given another idle time to hear what it was told.
#[test]
fn whoever_is_deaf_to_goaway_is_not_waited_for_as_if_idle() {
    let world = World::with("limits.h2_idle = '1h'\nlimits.drain = '1m'", "");
    let mut client = Http2::connect(&world);
    client.goes_on(&world);
    world.drain();
    assert_eq!(client.goes_away(), 0);
    assert_eq!(client.ends(), End::Closed);
}

/// It reads everything and lets nothing more be sent: that is its stream's trouble alone.
#[test]
fn whoever_opens_no_window_loses_the_stream_and_no_other() {
    const CANCEL: u32 = 8;
    let world = World::with(SHORT, "");
    let mut client = Http2::connect(&world);
    let stream = client.ask(&get("/"));
    let _origin = answers(&world, BODY);
    assert_eq!(client.outcome(stream), Outcome::Status(200));
    assert_eq!(client.reset(stream), CANCEL);
    assert_eq!(record(&world)["reason"], "response-write-timeout");
    client.goes_on(&world);
}

/// Bytes that lie unread when a socket is closed, or come later, make the kernel reset the connection, and the reset
/// overtakes GOAWAY: what told the client why.
#[test]
fn what_a_client_still_sends_does_not_cost_it_our_last_frames() {
    let world = World::with("limits.drain = '1m'", "");
    let mut client = Http2::connect(&world);
    client.data(1, "on a stream that nobody opened", true);
    assert!(client.babbles(512 * 1024));
    assert_eq!(client.outcome(1), Outcome::GoneAway(1));
    assert_eq!(client.is_told_the_end(), End::Closed);
    assert!(client.babbles(1024) && client.babbles(1024));
    client.leave();
    is_alone(&world);

    let mut client = Http2::connect(&world);
    client.goes_on(&world);
    world.drain();
    assert_eq!(client.goes_away(), 0);
    assert_eq!(client.is_told_the_end(), End::Closed);
    assert!(client.babbles(1024) && client.babbles(1024));
}

#[test]
fn whoever_never_stops_sending_is_reset_in_the_end() {
    let world = World::new();
    let mut client = Http2::connect(&world);
    client.data(1, "on a stream that nobody opened", true);
    assert!(!client.babbles(64 * 1024 * 1024), "it is read without end");
    is_alone(&world);
}

/// Whoever waits longest makes room, on whichever core: here all who wait are on the other one.
#[test]
fn room_is_made_by_the_idle_of_another_core() {
    const MOST: u64 = 16;
    let world = World::over_two_cores_with(&format!("limits.connections = {MOST}"));
    let idle: Vec<_> = (1..MOST)
        .map(|_| world.client_from(Ipv6Addr::LOCALHOST.into()))
        .collect();
    let mut busy = world.client();
    busy.get("/");
    let mut origin = world.origin.accept();
    origin.head();
    eventually("all are there", || {
        (world.connections() == MOST).then_some(())
    });

    for _ in 0..4 {
        let mut newcomer = world.client();
        newcomer.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n");
        let mut origin = world.origin.accept();
        origin.head();
        origin.answer("welcome");
        assert_eq!(newcomer.answer().body, "welcome");
    }
    assert_eq!(world.counted(EdgeReason::TooManyConnections), 0);
    eventually("no more than may be", || {
        (world.connections() <= MOST).then_some(())
    });
    origin.answer("still here");
    assert_eq!(busy.answer().body, "still here");
    drop(idle);
}

/// Its windows are as wide as can be, and it reads nothing: the origin's answers wait at the origin.
#[test]
fn many_answers_at_once_are_not_fetched_ahead_of_their_reader() {
    const STREAMS: u64 = 40;
    const ROOM: u64 = 128 * 1024;
    let world = World::with("limits.connection_buffer_bytes = '128KiB'", "");
    let mut client = Http2::connect_with_little_room(&world);
    let mut origins = Vec::new();
    for _ in 0..STREAMS {
        client.ask(&post(&[("content-length", "0")]));
        origins.push(answers(&world, 2 * BODY));
    }
    let held = "mangrove_http2_ahead_bytes";
    // One that has its ceiling, and then for each stream a piece at hand and one that is queued.
    let most = ROOM + 2 * 64 * 1024 + STREAMS * 2 * 16 * 1024;
    eventually("as much as may be", || {
        (world.metric(held) > ROOM).then_some(())
    });
    for _ in 0..200 {
        assert!(world.metric(held) <= most);
    }
    let mut read = 0;
    while read < STREAMS as usize * 2 * BODY {
        let sip = client.sip(Duration::ZERO);
        assert!(sip > 0, "cut off after {read} bytes");
        read += sip;
        assert!(world.metric(held) <= most);
    }
    eventually("nothing held", || (world.metric(held) == 0).then_some(()));
    for origin in origins {
        origin.join().unwrap();
    }
}

#[test]
fn what_was_held_for_a_client_that_has_left_is_held_no_more() {
    let world = World::new();
    let held = "mangrove_http2_ahead_bytes";
    let mut client = Http2::connect_with_little_room(&world);
    client.ask(&post(&[("content-length", "0")]));
    let _origin = answers(&world, 8 * BODY);
    eventually("something held", || (world.metric(held) > 0).then_some(()));
    client.cancels(1);
    client.leave();
    eventually("nothing held", || (world.metric(held) == 0).then_some(()));
}
