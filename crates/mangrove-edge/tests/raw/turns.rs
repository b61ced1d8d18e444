//! A limit that delays: whoever is over waits for his turn, as long as that is not too far off and not too many wait.

use std::net::{IpAddr, Ipv4Addr};

use mangrove_edge::reason::EdgeReason;

use crate::disk::{are_on_disk, restart};
use crate::frames::{Http2, Outcome, get};
use crate::world::{World, eventually};

const EXEMPT: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));

/// A site that delays whom it has no turn for yet: everybody counts as one, and one comes after the other.
fn world(more: &str) -> World {
    World::with(
        "",
        &format!(
            "[[site.rate_limit]]\nname = 'turns'\nkey = ['site']\nburst = 1\naction = 'delay'\n{more}"
        ),
    )
}

/// Asks for all of it at one moment.
fn ask_at_once(client: &mut Http2, paths: &[&str]) -> Vec<u32> {
    client.holds_back();
    let streams = paths.iter().map(|path| client.ask(&get(path))).collect();
    client.lets_go();
    streams
}

fn origin_answers(world: &World, more: &str) {
    let mut origin = world.origin.accept();
    origin.head();
    origin.send(format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\n{more}Content-Length: 4\r\n\r\nkept"
    ));
}

fn over(world: &World, action: &str) -> u64 {
    let row = format!(
        "mangrove_rate_limit_over_total{{site=\"story\",limit=\"turns\",action=\"{action}\"}}"
    );
    world.metric_if_any(&row).unwrap_or(0)
}

fn seen(world: &World) -> u64 {
    world.metric("mangrove_rate_limit_seen_total{site=\"story\",limit=\"turns\"}")
}

#[test]
fn whoever_is_over_waits_for_his_turn_and_is_refused_where_that_is_too_far_off() {
    let world = world("rate = 2\nlongest_delay = '750ms'");
    let mut client = Http2::connect(&world);
    let streams = ask_at_once(&mut client, &["/1", "/2", "/3"]);
    // The third would have had to wait for a second.
    assert_eq!(client.outcome(streams[2]), Outcome::Status(429));
    origin_answers(&world, "");
    assert_eq!(client.outcome(streams[0]), Outcome::Status(200));
    origin_answers(&world, "");
    assert_eq!(client.outcome(streams[1]), Outcome::Status(200));
    world.records_of(3);
    let of = |path: &str| {
        let mut records = world.records().into_iter();
        records.find(|record| record["url.path"] == path).unwrap()
    };
    let waited = of("/2");
    let delay = waited["rate_limit.delay_us"].as_u64().unwrap();
    assert!((400_000..=500_000).contains(&delay), "{waited}");
    assert!(waited["duration_us"].as_u64().unwrap() + 1_000 >= delay);
    assert_eq!(waited["rate_limit"], "turns");
    assert!(waited.get("reason").is_none(), "{waited}");
    assert!(of("/1").get("rate_limit").is_none());
    assert_eq!(of("/3")["reason"], "rate-limited");
    assert_eq!((over(&world, "delay"), over(&world, "refuse")), (1, 1));
    assert_eq!(seen(&world), 3);
}

#[test]
fn no_more_wait_than_may_and_who_goes_makes_room() {
    let world = world("rate = 6\nper = '1m'\nlongest_delay = '30s'\nwaiting = 1");
    let mut client = Http2::connect(&world);
    let streams = ask_at_once(&mut client, &["/1", "/2", "/3"]);
    assert_eq!(client.outcome(streams[2]), Outcome::Status(429));
    assert_eq!(world.counts(EdgeReason::RateLimitedNoRoom, 1), 1);
    client.cancels(streams[1]);
    assert_eq!(world.counts(EdgeReason::ClientReset, 1), 1);
    // Its place is another's now, and what it owed is not forgiven: this one's turn comes after it.
    let streams = ask_at_once(&mut client, &["/4", "/5"]);
    assert_eq!(client.outcome(streams[1]), Outcome::Status(429));
    assert_eq!(world.counts(EdgeReason::RateLimitedNoRoom, 2), 2);
    assert_eq!(over(&world, "delay"), 2);
    origin_answers(&world, "");
    assert!(world.origin.is_untouched(), "somebody did not wait");
}

#[test]
fn over_http1_the_connection_waits_and_goes_on() {
    let world = world("rate = 2\nlongest_delay = '5s'");
    let mut client = world.client();
    // The second comes with the first, and so too early.
    client.send(
        "GET /1 HTTP/1.1\r\nHost: a.example\r\n\r\nGET /2 HTTP/1.1\r\nHost: a.example\r\n\r\n",
    );
    for _ in 0..2 {
        origin_answers(&world, "");
        assert_eq!(client.answer().body, "kept");
    }
    client.get("/3");
    origin_answers(&world, "");
    assert_eq!(client.answer().body, "kept");
    assert_eq!((seen(&world), over(&world, "refuse")), (3, 0));
    assert!(over(&world, "delay") >= 1);
    world.records_of(3);
    let waited = |record: serde_json::Value| record["rate_limit.delay_us"].as_u64();
    let longest = world.records().into_iter().filter_map(waited).max();
    assert!((1..=1_000_000).contains(&longest.unwrap()), "{longest:?}");
}

/// Whoever is slow with its head asks when that is whole: what others of its key had meanwhile is a while ago. Once it was judged at
/// its first byte, and refused or kept out while there was room.
#[test]
fn who_was_slow_is_judged_when_he_asks() {
    let world = world("rate = 4\nlongest_delay = '5s'");
    let mut slow = world.client();
    slow.send("GET /slow HTTP/1.1\r\n");
    let is_there = || (world.connections() >= 1).then_some(());
    eventually("its first bytes are there", is_there);
    let mut other = world.client();
    for _ in 0..4 {
        other.get("/");
        origin_answers(&world, "");
        assert_eq!(other.answer().body, "kept");
    }
    // The fourth of them was answered half a second after the first at the earliest.
    slow.send("Host: a.example\r\n\r\n");
    origin_answers(&world, "");
    assert_eq!(slow.answer().body, "kept");
    world.records_of(5);
    let mut records = world.records().into_iter();
    let slow = records.find(|record| record["url.path"] == "/slow");
    let delay = slow.unwrap()["rate_limit.delay_us"].as_u64();
    assert!(delay.unwrap_or(0) <= 250_000, "{delay:?}");
}

/// Once it was judged by the next limit as if it had not waited, and refused.
#[test]
fn who_has_waited_for_one_limit_is_judged_by_the_next_when_he_goes_on() {
    let misses = "[[site.rate_limit]]\nname = 'misses'\nkey = ['site']\ncounts = 'misses'\nrate = 4\nburst = 1";
    let world = world(&format!("rate = 4\n{misses}"));
    let mut client = Http2::connect(&world);
    let streams = ask_at_once(&mut client, &["/1", "/2"]);
    for stream in streams {
        origin_answers(&world, "");
        assert_eq!(client.outcome(stream), Outcome::Status(200));
    }
    assert_eq!(over(&world, "delay"), 1);
}

/// Whoever leads and has to wait lets another lead: nobody else has to wait for a turn that is not his.
#[test]
fn a_miss_that_the_disk_might_have_had_waits_alone() {
    let mut world = World::with(
        &format!("exempt_clients = ['{EXEMPT}']"),
        "[[site.rate_limit]]\nname = 'turns'\nkey = ['site']\ncounts = 'misses'\nrate = 2\nper = '1m'\nburst = 1\n\
         action = 'delay'\nlongest_delay = '30s'",
    );
    let of_kind =
        |kind: &str| format!("GET /kept HTTP/1.1\r\nHost: a.example\r\nX-Kind: {kind}\r\n\r\n");
    let varies = "Cache-Control: max-age=600\r\nVary: X-Kind\r\n";
    let mut client = world.client();
    client.send(of_kind("one"));
    origin_answers(&world, varies);
    assert_eq!(client.answer().body, "kept");
    are_on_disk(&world, 1);
    restart(&mut world);
    let mut client = world.client();
    client.get("/other");
    origin_answers(&world, "");
    assert_eq!(client.answer().body, "kept");
    let mut waits = world.client();
    waits.send(of_kind("another"));
    let is_held = || (over(&world, "delay") == 1).then_some(());
    eventually("it waits for its turn", is_held);
    let mut exempt = world.client_from(EXEMPT);
    exempt.send(of_kind("another"));
    origin_answers(&world, varies);
    let answer = exempt.answer();
    assert_eq!(answer.body, "kept");
    // As long as anybody waits for another's answer: ten seconds.
    let took = world.record_of(&answer)["duration_us"].as_u64();
    assert!(took.unwrap() < 10_000_000, "{took:?}");
}

/// Whoever waits for a turn to have the origin asked looks again when it comes: by then the cache may have it.
#[test]
fn a_miss_that_has_waited_may_have_become_a_hit() {
    let world = world("rate = 2\ncounts = 'misses'");
    let mut client = Http2::connect(&world);
    let streams = ask_at_once(&mut client, &["/kept", "/kept"]);
    origin_answers(&world, "Cache-Control: max-age=600\r\n");
    for stream in streams {
        assert_eq!(client.outcome(stream), Outcome::Status(200));
    }
    world.records_of(2);
    let waited = eventually("its record", || {
        let mut records = world.records().into_iter();
        records.find(|record| record.get("rate_limit.delay_us").is_some())
    });
    assert_eq!(waited["cache.result"], "hit", "{waited}");
    assert!(world.origin.is_untouched());
}

#[test]
fn an_edge_that_ends_waits_for_nobody() {
    let world = world("rate = 6\nper = '1m'\nlongest_delay = '30s'");
    let mut client = Http2::connect(&world);
    let streams = ask_at_once(&mut client, &["/1", "/2"]);
    origin_answers(&world, "");
    assert_eq!(client.outcome(streams[0]), Outcome::Status(200));
    assert_eq!(over(&world, "delay"), 1);
    world.drain();
    client.ends(); // long before its turn, of which the origin would hear
    assert!(world.origin.is_untouched());
}
