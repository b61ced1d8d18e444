//! A limit that delays: whoever is over waits for his turn, as long as that is not too far off and not too many wait.

use mangrove_edge::reason::EdgeReason;

use crate::frames::{Http2, Outcome, get};
use crate::world::{World, eventually};

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
    for _ in 0..3 {
        client.get("/");
        origin_answers(&world, "");
        assert_eq!(client.answer().body, "kept");
    }
    // Two of them came too early, unless this machine was very slow.
    assert_eq!((seen(&world), over(&world, "refuse")), (3, 0));
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
    drop(world); // which waits for its edge
}
