//! HTTP/2 clients that make the edge work and ask for nothing: each is ended by name, after so many and no more, and whoever
//! stands by is served.

use mangrove_edge::reason::{EdgeReason, Reason};
use mangrove_shield::protocol::Kind;

use crate::frames::{Http2, Outcome, get, post};
use crate::world::{World, eventually};

/// What the library ends the whole connection for (record 0013).
const PROTOCOL_ERROR: u32 = 1;
const ENHANCE_YOUR_CALM: u32 = 11;
const END_STREAM: u8 = 1;

const DATA: u8 = 0;
const PRIORITY: u8 = 2;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const PRIORITY_UPDATE: u8 = 16;
const GREASE: u8 = 0x0b + 0x1f * 3; // RFC 9113 section 5.5, as RFC 8701 would have it

/// The connection is over, with this name in the count and in one line of the log, and the bystander is served.
fn is_ended(world: &World, mut bystander: Http2, reason: EdgeReason) {
    // What was under way for it ends for the same reason.
    assert!(world.counts(reason, 1) >= 1);
    eventually("the attacker's connection is closed", || {
        (world.connections() == 1).then_some(())
    });
    let line = eventually(reason.name(), || {
        world.records().into_iter().find(|record| {
            record["reason"] == reason.name() && record["http.response.status_code"] == 429
        })
    });
    assert_eq!(line["network.protocol.version"], "2");
    assert_eq!(line["fault"], "visitor");
    world.origin.unaccepted(); // what was begun for the attacker
    bystander.goes_on(world);
    assert_eq!(world.counted(Reason::Edge(EdgeReason::Http2Flood)), 0);
}

fn reset_flood(ask: impl Fn(&mut Http2) -> usize) {
    let world = World::new();
    let bystander = Http2::connect(&world);
    let mut client = Http2::connect(&world);
    let resets = ask(&mut client);
    assert!(resets <= 200, "{resets}");
    let asked = world.origin.unaccepted();
    assert!(asked <= 100, "the origin was asked {asked} times");
    drop(client);
    is_ended(&world, bystander, EdgeReason::Http2ResetFlood);
    let started = world.records().len();
    assert!(started <= 102, "{started} requests were begun");
}

/// CVE-2023-44487, all at once.
#[test]
fn streams_opened_and_reset_in_a_burst_end_the_connection() {
    reset_flood(|client| {
        client.holds_back();
        for _ in 0..200 {
            let stream = client.ask(&get("/"));
            client.cancels(stream);
        }
        client.lets_go();
        assert_eq!(client.goes_away(), ENHANCE_YOUR_CALM);
        200
    });
}

/// The same at a pace that lets each be served in between.
#[test]
fn streams_opened_and_reset_one_after_the_other_end_the_connection() {
    reset_flood(|client| {
        let mut resets = 0;
        loop {
            client.holds_back();
            for _ in 0..5 {
                let stream = client.ask(&get("/"));
                client.cancels(stream);
            }
            client.lets_go();
            resets += 5;
            assert!(resets <= 200, "nobody ends it");
            if !client.is_heard() {
                assert_eq!(client.outcome(0), Outcome::GoneAway(ENHANCE_YOUR_CALM));
                return resets;
            }
        }
    });
}

#[test]
fn as_many_resets_as_streams_may_be_open_are_a_browser_that_went_elsewhere() {
    let world = World::new();
    let mut client = Http2::connect(&world);
    client.holds_back();
    let streams: Vec<u32> = (0..100).map(|_| client.ask(&get("/"))).collect();
    for stream in streams {
        client.cancels(stream);
    }
    client.lets_go();
    assert!(client.is_heard());
    assert_eq!(world.counts(EdgeReason::ClientReset, 100), 100);
    world.origin.unaccepted();
    client.goes_on(&world);
}

/// curl resets each stream that it has all of, when it carries many.
#[test]
fn streams_that_are_reset_once_they_were_answered_are_no_flood() {
    let world = World::with("", "hosts = ['elsewhere.example']");
    let mut client = Http2::connect(&world);
    client.opens_window(0, 0x7000_0000);
    for _ in 0..300 {
        let stream = client.ask(&get("/"));
        assert_eq!(client.outcome(stream), Outcome::Status(421));
        client.is_answered(stream);
        client.cancels(stream);
    }
    let stream = client.ask(&get("/"));
    assert_eq!(client.outcome(stream), Outcome::Status(421));
    assert_eq!(world.counted(EdgeReason::Http2ResetFlood), 0);
}

/// CVE-2025-8671: each of these makes the edge reset a stream whose request it has begun.
#[test]
fn streams_that_the_edge_is_made_to_reset_end_the_connection() {
    type Make = fn(&mut Http2, u32);
    let variants: [(&str, u32, Make); 5] = [
        (
            "a window opened by nothing",
            PROTOCOL_ERROR,
            |client, stream| {
                client.frame(WINDOW_UPDATE, 0, stream, &[0; 4]);
            },
        ),
        (
            "a window opened too far",
            ENHANCE_YOUR_CALM,
            |client, stream| {
                client.opens_window(stream, 0x7fff_ffff);
            },
        ),
        (
            "more than the length that was told",
            ENHANCE_YOUR_CALM,
            |client, stream| {
                client.data(stream, "sixsix", true);
            },
        ),
        (
            "a priority of the wrong length",
            PROTOCOL_ERROR,
            |client, stream| {
                client.frame(PRIORITY, 0, stream, &[0; 4]);
            },
        ),
        (
            "a stream that depends on itself",
            ENHANCE_YOUR_CALM,
            |client, stream| {
                let on = stream.to_be_bytes();
                client.frame(PRIORITY, 0, stream, &[on[0], on[1], on[2], on[3], 15]);
            },
        ),
    ];
    for (how, code, make) in variants {
        let world = World::new();
        let mut bystander = Http2::connect(&world);
        let mut client = Http2::connect(&world);
        let mut begun = 0;
        while client.is_heard() {
            assert!(begun <= 52, "{how}");
            let stream = client.begin(&post(&[("content-length", "5")]));
            make(&mut client, stream);
            begun += 1;
        }
        // The edge may have answered the last question before it says that it was the last.
        assert!(begun <= 52, "{how}: {begun}");
        let asked = world.origin.unaccepted();
        assert!(asked <= 51, "{how}: the origin was asked {asked} times");
        assert_eq!(client.outcome(0), Outcome::GoneAway(code), "{how}");
        let forced = world.counted(EdgeReason::Http2ForcedResets);
        assert_eq!(forced > 0, code == ENHANCE_YOUR_CALM, "{how}");
        drop(client);
        eventually("the connection is closed", || {
            (world.connections() == 1).then_some(())
        });
        world.origin.unaccepted();
        bystander.goes_on(&world);
    }
}

#[test]
fn frames_that_ask_for_nothing_end_the_connection_one_past_their_budget() {
    type Send = fn(&mut Http2);
    let kinds: [(Kind, u32, EdgeReason, Send); 6] = [
        (Kind::Ping, 0, EdgeReason::Http2PingFlood, |client| {
            client.frame(PING, 0, 0, &[1; 8]);
        }),
        // Its first one it has sent already.
        (
            Kind::Settings,
            1,
            EdgeReason::Http2SettingsFlood,
            |client| {
                client.frame(SETTINGS, 0, 0, &[]);
            },
        ),
        (
            Kind::Priority,
            0,
            EdgeReason::Http2PriorityFlood,
            |client| {
                client.frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 15]);
            },
        ),
        (
            Kind::Priority,
            0,
            EdgeReason::Http2PriorityFlood,
            |client| {
                client.frame(PRIORITY_UPDATE, 0, 0, b"\0\0\0\x01u=1");
            },
        ),
        (
            Kind::WindowUpdate,
            0,
            EdgeReason::Http2WindowFlood,
            |client| {
                client.opens_window(0, 1);
            },
        ),
        (Kind::Unknown, 0, EdgeReason::Http2UnknownFlood, |client| {
            client.frame(GREASE, 0, 0, b"anything");
        }),
    ];
    for (kind, sent_already, reason, send) in kinds {
        let world = World::new();
        let bystander = Http2::connect(&world);
        let mut client = Http2::connect(&world);
        let budget = kind.budget().burst - sent_already;
        client.holds_back();
        (0..budget).for_each(|_| send(&mut client));
        client.lets_go();
        if kind != Kind::Ping {
            assert!(client.is_heard(), "{kind:?}: {budget} are allowed");
        }
        send(&mut client);
        assert_eq!(client.goes_away(), ENHANCE_YOUR_CALM, "{kind:?}");
        drop(client);
        is_ended(&world, bystander, reason);
    }
}

#[test]
fn empty_frames_of_a_body_end_the_connection() {
    let world = World::new();
    let bystander = Http2::connect(&world);
    let mut client = Http2::connect(&world);
    let stream = client.begin(&post(&[]));
    let origin = world.origin.accept();
    client.holds_back();
    for _ in 0..=Kind::EmptyData.budget().burst {
        client.frame(DATA, 0, stream, b"");
    }
    client.lets_go();
    assert_eq!(client.goes_away(), ENHANCE_YOUR_CALM);
    drop((client, origin));
    is_ended(&world, bystander, EdgeReason::Http2EmptyDataFlood);
}

/// Each head within what one may have, and all of them in more pieces than they need.
#[test]
fn heads_in_many_pieces_end_the_connection() {
    let world = World::new();
    let bystander = Http2::connect(&world);
    let mut client = Http2::connect(&world);
    let mut heads = 0;
    while client.is_heard() {
        heads += 1;
        assert!(heads < 60);
        client.ask_in_crumbs(&get("/"), 4);
    }
    assert_eq!(client.outcome(0), Outcome::GoneAway(ENHANCE_YOUR_CALM));
    drop(client);
    is_ended(&world, bystander, EdgeReason::Http2ContinuationFlood);
}

/// What a large download makes a client send is earned by it.
#[test]
fn a_download_that_is_acknowledged_piece_by_piece_is_no_flood() {
    const LENGTH: usize = 4 * 1024 * 1024;
    let world = World::new();
    let mut client = Http2::connect(&world);
    let stream = client.ask(&get("/large"));
    let mut origin = world.origin.accept();
    origin.head();
    let feeding = std::thread::spawn(move || {
        origin.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n"
        ));
        origin.send(vec![b'x'; LENGTH]);
    });
    let mut got = 0;
    while got < LENGTH {
        let piece = client.next_data(stream);
        got += piece;
        // Both windows, in two steps each, and a measurement: more than clients do.
        for on in [stream, 0] {
            client.opens_window(on, piece as u32 / 2 + 1);
            client.opens_window(on, piece as u32 / 2 + 1);
        }
        client.frame(PING, END_STREAM, 0, &[3; 8]);
    }
    feeding.join().unwrap();
    assert!(client.is_heard());
}
