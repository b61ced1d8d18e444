//! Attacks, each as a story on real sockets that counts: requests begun, what the origin was asked, how it ended and by what name,
//! connections left. In each a bystander stands by and is answered.
//!
//! | family | story |
//! |---|---|
//! | silent connections | `attacks::silent_connections_are_gone_by_their_deadline` |
//! | silent, and more than there are places | `connections::who_opens_connections_without_end_takes_no_visitors_place` |
//! | a whole network at once | `connections::a_network_that_takes_all_places_makes_room_as_one` |
//! | slow heads | `attacks::heads_a_byte_at_a_time_are_gone_by_their_deadline` |
//! | slow heads, in all places | `connections::heads_that_are_never_ended_make_room_and_are_told_why` |
//! | slow bodies | `attacks::bodies_a_byte_at_a_time_are_gone_after_their_grace` |
//! | slow bodies, in all places | `making_room::slow_bodies_make_room_and_who_moves_well_or_waits_for_us_does_not` |
//! | slow bodies over HTTP/2 | `making_room::slow_bodies_over_http_2_make_room_as_well` |
//! | refused, and still there | `making_room::whoever_was_refused_and_does_not_leave_makes_room_before_an_idle_visitor` |
//! | slow reading | `attacks::answers_that_nobody_reads_are_thrown_away` |
//! | slow reading, in all places | `making_room::slow_readers_make_room` |
//! | slow reading over HTTP/2, hidden behind what costs nothing | `making_room::a_stream_that_nobody_reads_is_not_hidden_by_others_that_end` |
//! | slow reading of many answers at once | `readers::many_answers_at_once_are_not_fetched_ahead_of_their_reader` |
//! | windows that are never opened | `readers::whoever_opens_no_window_loses_the_stream_and_no_other` |
//! | windows of nothing | `attacks::streams_without_a_window_do_not_reach_the_origin` |
//! | tiny windows | `attacks::windows_opened_by_a_byte_each_end_the_connection` |
//! | who is no attacker: small windows | `attacks::windows_opened_by_a_kibibyte_each_cost_nothing` |
//! | TLS handshakes from one address | `handshakes::a_flood_of_handshakes_from_one_address_is_late_and_nobody_else` |
//! | TLS handshakes from a network | `handshakes::a_flood_of_handshakes_from_one_network_is_late_and_nobody_else` |
//! | TLS handshakes that stop half way | `handshakes::who_is_silent_in_a_handshake_keeps_nobody_waiting` |
//! | rapid reset in bursts | `floods::streams_opened_and_reset_in_a_burst_end_the_connection` |
//! | rapid reset at a pace | `floods::streams_opened_and_reset_one_after_the_other_end_the_connection` |
//! | MadeYouReset: windows and priorities | `floods::streams_that_the_edge_is_made_to_reset_end_the_connection` |
//! | MadeYouReset: streams that are half closed, and frames of a wrong length | `attacks::streams_that_are_broken_once_they_are_asked_end_the_connection` |
//! | malformed requests | `http2::malformed_requests_without_end_are_a_flood` |
//! | PING, SETTINGS, PRIORITY, WINDOW_UPDATE, unknown frames | `floods::frames_that_ask_for_nothing_end_the_connection_one_past_their_budget` |
//! | empty DATA | `floods::empty_frames_of_a_body_end_the_connection` |
//! | CONTINUATION | `floods::heads_in_many_pieces_end_the_connection` |
//! | CONTINUATION without an end | `attacks::a_head_that_never_ends_ends_the_connection` |
//! | HPACK bomb | `attacks::a_head_that_unfolds_to_megabytes_is_refused_unread` |
//! | header count and size | `attacks::heads_of_too_many_or_too_long_fields_never_reach_the_origin` |
//! | cache-busting | `attacks::queries_that_no_cache_has_heard_of_cost_the_origin_no_more_than_their_limit` |
//! | random paths | `attacks::paths_that_do_not_exist_cost_the_origin_no_more_than_their_limit` |
//! | range abuse | `attacks::ranges_without_end_get_no_more_than_there_is` |
//! | WebSocket flood | `attacks::websockets_without_end_cost_the_origin_no_more_than_their_limit` |
//! | long messages on a WebSocket | `websockets::a_message_longer_than_allowed_ends_its_websocket_and_no_other` |
//! | frames on a WebSocket | `websockets::frames_without_end_end_their_websocket` |
//! | silent WebSockets | `websockets::silent_websockets_are_gone_by_their_deadline` |
//! | failed log-ins from one address | `limits::failed_log_ins_are_counted_once_they_have_failed` |
//! | failed log-ins from one network | `attacks::failed_log_ins_of_one_network_count_together` |
//! | failed log-ins from many | `attacks::failed_log_ins_of_many_networks_count_together_where_a_site_says_so` |
//! | who is no attacker: a school, an office, a crowd of addresses | `connections::while_there_is_room_nobody_is_refused_by_number` |
//! | who is no attacker: a browser that goes elsewhere | `floods::as_many_resets_as_streams_may_be_open_are_a_browser_that_went_elsewhere` |
//! | who is no attacker: a fleet of feed readers | `attacks::a_fleet_of_feed_readers_is_answered_and_asks_the_origin_once` |

use std::net::Ipv4Addr;
use std::path::Path;

use mangrove_edge::reason::{EdgeReason, Reason};
use mangrove_http::Refusal;

use crate::frames::{Http2, Outcome, block_of, get, post};
use crate::limits::{asks, plain_get};
use crate::websockets::{ASKS, TEXT, frame, open};
use crate::world::{ATTACKER, BYSTANDER, Client, World, eventually};

const KEPT: &str = "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nConnection: close\r\nETag: \"1\"\r\nContent-Length: 4\r\n\r\nkept";

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// The table above names no story that does not exist.
#[test]
fn every_story_in_the_table_exists() {
    let stories = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/raw");
    let source = |file: &str| std::fs::read_to_string(stories.join(file)).unwrap();
    let table = source("attacks.rs");
    let rows = table.lines().filter_map(|line| line.strip_prefix("//! | "));
    let named: Vec<&str> = rows.filter_map(|row| row.split('`').nth(1)).collect();
    assert!(named.len() > 30, "{named:?}");
    for name in &named {
        let (module, story) = name.split_once("::").unwrap();
        let told = format!("#[test]\nfn {story}() {{");
        assert!(source(&format!("{module}.rs")).contains(&told), "{name}");
        assert!(source("main.rs").contains(&format!("mod {module};")));
    }
    // And none of this file is left out.
    for story in table.split("#[test]\nfn ").skip(1) {
        let story = story.split("()").next().unwrap();
        let row = format!("attacks::{story}");
        assert!(
            named.contains(&row.as_str()) || story.starts_with("every_story"),
            "{story}"
        );
    }
}

/// Somebody who has been here before, and asks again; alone in the end.
struct Bystander(Client);

impl Bystander {
    fn of(world: &World) -> Self {
        let mut client = world.client_from(BYSTANDER);
        client.get("/");
        let mut origin = world.origin.accept();
        origin.head();
        origin.send(KEPT);
        assert_eq!(client.answer().body, "kept");
        Self(client)
    }

    fn is_answered(&mut self) {
        self.0.get("/");
        assert_eq!(self.0.answer().body, "kept");
    }

    fn is_alone(&mut self, world: &World) {
        eventually("the attackers are gone", || {
            (world.connections() == 1).then_some(())
        });
        self.is_answered();
    }
}

/// The bystander keeps his connection however often he is silent.
const PATIENT: &str = "limits.keep_alive_idle = '1h'\nlimits.h2_idle = '1h'";

fn attackers(world: &World, count: usize, say: impl AsRef<[u8]>) -> Vec<Client> {
    let one = |_| {
        let mut client = world.client_from(ATTACKER);
        client.send(&say);
        client
    };
    (0..count).map(one).collect()
}

#[test]
fn silent_connections_are_gone_by_their_deadline() {
    let world = World::with(&format!("{PATIENT}\nlimits.protocol_sniff = '1s'"), "");
    let mut bystander = Bystander::of(&world);
    let silent = attackers(&world, 200, "");
    bystander.is_answered();
    bystander.is_alone(&world);
    assert_eq!(world.counted(EdgeReason::ProtocolSniffTimeout), 200);
    world.records_of(3);
    assert_eq!(world.records().len(), 3, "nobody else asked for anything");
    drop(silent);
}

#[test]
fn heads_a_byte_at_a_time_are_gone_by_their_deadline() {
    let world = World::with(&format!("{PATIENT}\nlimits.request_head = '1s'"), "");
    let mut bystander = Bystander::of(&world);
    let mut slow = attackers(&world, 100, "GET / HTTP/1.1\r\nHost: a.example\r\nX-Slow: ");
    while world.counted(Refusal::HeadTimeout) < 100 {
        for client in &mut slow {
            client.try_send("x");
        }
        bystander.is_answered();
    }
    for client in &mut slow {
        assert!(client.rest().0.starts_with("HTTP/1.1 408 "));
    }
    bystander.is_alone(&world);
    assert_eq!(world.counted(Refusal::HeadTimeout), 100);
    assert!(world.origin.is_untouched());
}

#[test]
fn bodies_a_byte_at_a_time_are_gone_after_their_grace() {
    const SLOW: usize = 50;
    let slow = "limits.min_rate_grace = '1s'\nlimits.request_body_min_rate = 1048576";
    let world = World::with(&format!("{PATIENT}\n{slow}"), "");
    let mut bystander = Bystander::of(&world);
    let head = "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 100000\r\n\r\n";
    let mut slow = attackers(&world, SLOW, head);
    let asked: Vec<_> = slow.iter().map(|_| world.origin.accept()).collect();
    let reason = EdgeReason::RequestBodyTooSlow;
    while world.counted(reason) < SLOW as u64 {
        for client in &mut slow {
            client.try_send("x");
        }
        bystander.is_answered();
    }
    drop(slow);
    bystander.is_alone(&world);
    assert_eq!(world.counted(reason), SLOW as u64);
    assert!(world.origin.is_untouched(), "each was asked for once");
    drop(asked);
}

#[test]
fn answers_that_nobody_reads_are_thrown_away() {
    const READERS: usize = 50;
    const LARGE: usize = 1024 * 1024;
    let short = "limits.response_write_idle = '1s'\nlimits.min_rate_grace = '1s'";
    let world = World::with(&format!("{PATIENT}\n{short}"), "");
    let mut bystander = Bystander::of(&world);
    bystander.0.get("/large");
    let mut origin = world.origin.accept();
    origin.head();
    origin.send(KEPT.split("Content-Length").next().unwrap());
    origin.send(format!("Content-Length: {LARGE}\r\n\r\n"));
    origin.send(vec![b'k'; LARGE]);
    assert_eq!(bystander.0.answer().body.len(), LARGE);
    let deaf = (0..READERS).map(|_| {
        let mut client = world.client_with_little_room_from(ATTACKER);
        client.get("/large");
        client
    });
    let deaf: Vec<Client> = deaf.collect();
    bystander.is_answered();
    bystander.is_alone(&world);
    let reason = EdgeReason::ResponseWriteTimeout;
    assert_eq!(world.counts(reason, READERS as u64), READERS as u64);
    assert!(world.origin.is_untouched());
    drop(deaf);
}

/// CVE-2025-8671, and what else breaks a stream whose request has been begun.
#[test]
fn streams_that_are_broken_once_they_are_asked_end_the_connection() {
    type Break = fn(&mut Http2, u32);
    let variants: [(&str, bool, Break); 6] = [
        ("DATA once it is half closed", true, |client, stream| {
            client.data(stream, "x", false);
        }),
        ("HEADERS once it is half closed", true, |client, stream| {
            let block = block_of(&get("/"));
            client.frame(HEADERS, END_HEADERS | END_STREAM, stream, &block);
        }),
        ("a reset of the wrong length", false, |client, stream| {
            client.frame(RST_STREAM, 0, stream, &[0; 3]);
        }),
        ("a window of the wrong length", false, |client, stream| {
            client.frame(WINDOW_UPDATE, 0, stream, &[0; 3]);
        }),
        ("a head goes on that is whole", false, |client, stream| {
            client.frame(CONTINUATION, END_HEADERS, stream, &[]);
        }),
        ("trailers that end nothing", false, |client, stream| {
            let block = block_of(&[("x-trailer", "1")]);
            client.frame(HEADERS, END_HEADERS, stream, &block);
        }),
    ];
    for (how, half_closed, make) in variants {
        let world = World::with(PATIENT, "");
        let mut bystander = Bystander::of(&world);
        let mut client = Http2::connect_from(&world, ATTACKER);
        let mut begun = 0;
        while client.is_heard() {
            assert!(begun <= 102, "{how}: nobody ends it");
            let stream = match half_closed {
                true => client.ask(&post(&[("content-length", "0")])),
                false => client.begin(&post(&[("content-length", "5")])),
            };
            make(&mut client, stream);
            begun += 1;
        }
        let asked = world.origin.unaccepted();
        assert!(asked <= 51, "{how}: the origin was asked {asked} times");
        assert!(matches!(client.outcome(0), Outcome::GoneAway(1..)), "{how}");
        drop(client);
        bystander.is_alone(&world);
        // A stream that the library refuses just as it is taken up has a line for each.
        let lines = world.records().len();
        assert!(lines <= 2 * 52 + 4, "{how}: {lines} requests were begun");
    }
}

/// Each asks for what may be large, and lets nothing of it come.
#[test]
fn streams_without_a_window_do_not_reach_the_origin() {
    const STREAMS: usize = 100;
    let short = "limits.response_write_idle = '2s'";
    let world = World::with(&format!("{PATIENT}\n{short}"), "");
    let mut bystander = Bystander::of(&world);
    let mut client = Http2::connect_from(&world, ATTACKER);
    client.begins_with_window(0);
    for _ in 1..STREAMS {
        client.ask(&get("/large"));
    }
    let opened = client.ask(&get("/opened"));
    client.opens_window(opened, 1_000);
    let mut origin = world.origin.accept();
    assert_eq!(origin.head().first_line(), "GET /opened HTTP/1.1");
    origin.answer("fine");
    assert_eq!(client.outcome(opened), Outcome::Status(200));
    // What is kept costs the origin nothing.
    let kept = client.ask(&get("/"));
    assert_eq!(client.outcome(kept), Outcome::Status(200));
    bystander.is_answered();
    let reason = EdgeReason::ResponseWriteTimeout;
    assert!(world.counts(reason, STREAMS as u64 - 1) >= STREAMS as u64 - 1);
    assert!(world.origin.is_untouched());
    drop(client);
    bystander.is_alone(&world);
}

/// A frame, a wake-up and a call for each byte.
#[test]
fn windows_opened_by_a_byte_each_end_the_connection() {
    let world = World::with(PATIENT, "");
    let mut bystander = Bystander::of(&world);
    let mut client = Http2::connect_from(&world, ATTACKER);
    client.begins_with_window(1);
    let stream = client.ask(&get("/long"));
    world.origin.accept().answer(&"x".repeat(10_000));
    let mut pieces = 0;
    while client.next_data_or_end(stream).is_some() {
        pieces += 1;
        assert!(pieces <= 110, "nobody ends it");
        client.opens_window(stream, 1);
    }
    assert_eq!(client.outcome(0), Outcome::GoneAway(11));
    drop(client);
    assert!(world.counts(EdgeReason::Http2TinyWindows, 1) >= 1);
    bystander.is_alone(&world);
}

/// As a small machine does that has no more room. One byte less is an attack.
#[test]
fn windows_opened_by_a_kibibyte_each_cost_nothing() {
    const LONG: usize = 150 * 1_024;
    let world = World::with(PATIENT, "");
    let mut bystander = Bystander::of(&world);
    let ask = |window: u32| {
        let mut client = Http2::connect_from(&world, ATTACKER);
        client.begins_with_window(window);
        client.opens_window(0, 1 << 20);
        let stream = client.ask(&get("/long"));
        let mut origin = world.origin.accept();
        origin.head();
        origin.answer(&"x".repeat(LONG));
        let (mut taken, mut opened) = (0, window as usize);
        while taken < LONG
            && let Some(length) = client.next_data_or_end(stream)
        {
            taken += length;
            if taken >= opened {
                client.opens_window(stream, window);
                opened += window as usize;
            }
        }
        (client, taken)
    };
    let (mut client, taken) = ask(1_024);
    assert_eq!(taken, LONG);
    assert!(client.is_heard());
    drop(client);
    assert_eq!(world.counted(EdgeReason::Http2TinyWindows), 0);
    let (mut client, taken) = ask(1_023);
    assert!(taken < 110 * 1_023, "{taken}");
    assert_eq!(client.outcome(0), Outcome::GoneAway(11));
    drop(client);
    assert!(world.counts(EdgeReason::Http2TinyWindows, 1) >= 1);
    bystander.is_alone(&world);
}

#[test]
fn a_head_that_never_ends_ends_the_connection() {
    let world = World::with(PATIENT, "");
    let mut bystander = Bystander::of(&world);
    let mut client = Http2::connect_from(&world, ATTACKER);
    client.holds_back();
    client.frame(HEADERS, END_STREAM, 1, &block_of(&get("/")));
    for _ in 0..200 {
        client.frame(CONTINUATION, 0, 1, &block_of(&[("x", "y")]));
    }
    client.lets_go();
    assert_eq!(client.goes_away(), 11, "ENHANCE_YOUR_CALM");
    drop(client);
    bystander.is_alone(&world);
    assert!(world.counts(EdgeReason::Http2ContinuationFlood, 1) >= 1);
    assert!(world.origin.is_untouched());
}

/// One field is told once, and then by one byte each as often as one likes.
#[test]
fn a_head_that_unfolds_to_megabytes_is_refused_unread() {
    let world = World::with(PATIENT, "");
    let mut bystander = Bystander::of(&world);
    let mut client = Http2::connect_from(&world, ATTACKER);
    let long = "b".repeat(3_900);
    let mut unfolds = |stream: u32, times: usize| {
        let mut block = block_of(&get("/"));
        let mut field = block_of(&[("x-bomb", &long)]);
        field[0] = 0x40; // to be remembered (RFC 7541 section 6.2.1)
        block.extend(field);
        block.resize(block.len() + times, 0x80 | 62); // the newest that is remembered
        client.frame(HEADERS, END_HEADERS | END_STREAM, stream, &block);
        client.outcome(stream)
    };
    for n in 0..20 {
        assert_eq!(unfolds(1 + 2 * n, 20), Outcome::Status(431));
    }
    assert_eq!(unfolds(41, 4_000), Outcome::GoneAway(11));
    drop(client);
    bystander.is_alone(&world);
    assert_eq!(world.counts(Refusal::HeadTooLarge, 20), 20);
    assert_eq!(world.counts(EdgeReason::Http2Flood, 1), 1);
    assert!(world.origin.is_untouched());
}

#[test]
fn heads_of_too_many_or_too_long_fields_never_reach_the_origin() {
    let world = World::with(PATIENT, "");
    let mut bystander = Bystander::of(&world);
    let head = |fields: String| format!("GET / HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n");
    let many = head((0..101).map(|n| format!("X-{n}: 1\r\n")).collect());
    let long = head(format!("X-Long: {}\r\n", "x".repeat(40_000)));
    for (head, refusal) in [
        (many, Refusal::TooManyFields),
        (long, Refusal::HeadTooLarge),
    ] {
        for client in &mut attackers(&world, 100, head) {
            let told = client.rest().0;
            assert!(
                told.is_empty() || told.starts_with("HTTP/1.1 431 "),
                "{told}"
            );
        }
        assert_eq!(world.counts(refusal, 100), 100);
        bystander.is_answered();
    }
    bystander.is_alone(&world);
    assert!(world.origin.is_untouched());
}

fn limited(name: &str, more: &str) -> String {
    format!("[[site.rate_limit]]\nname = '{name}'\nper = '1h'\n{more}\n")
}

/// Asks many times over what is allowed, from where all count as one: so many reach the origin and no more.
fn no_more_than(
    world: &World,
    allowed: usize,
    clients: &mut [Client],
    status: u16,
    request: impl Fn(usize) -> String,
) {
    let count = clients.len();
    for n in 0..allowed {
        asks(world, &mut clients[n % count], &request(n), status);
        // What is counted by its status is counted when it is over.
        world.records_of(n + 2);
    }
    for n in allowed..allowed + 100 {
        let client = &mut clients[n % count];
        client.send(request(n));
        assert_eq!(client.answer().head.status(), 429);
    }
    assert_eq!(world.counts(EdgeReason::RateLimited, 100), 100);
    assert!(world.origin.is_untouched());
}

#[test]
fn queries_that_no_cache_has_heard_of_cost_the_origin_no_more_than_their_limit() {
    let site = limited("misses", "rate = 20\ncounts = 'misses'");
    let world = World::with(PATIENT, &site);
    let mut bystander = Bystander::of(&world);
    let mut attacker = attackers(&world, 1, "");
    no_more_than(&world, 20, &mut attacker, 200, |n| {
        plain_get(&format!("/?{n}"))
    });
    bystander.is_answered();
    asks(&world, &mut bystander.0, &plain_get("/?new"), 200);
    // Who is refused misses still has what is kept.
    attacker[0].get("/");
    assert_eq!(attacker[0].answer().body, "kept");
}

#[test]
fn paths_that_do_not_exist_cost_the_origin_no_more_than_their_limit() {
    let site = limited("lost", "rate = 10\nstatuses = ['404']");
    let world = World::with(PATIENT, &site);
    let mut bystander = Bystander::of(&world);
    let mut attacker = attackers(&world, 1, "");
    no_more_than(&world, 10, &mut attacker, 404, |n| {
        plain_get(&format!("/{n}.php"))
    });
    bystander.is_answered();
    asks(&world, &mut bystander.0, &plain_get("/lost"), 404);
}

#[test]
fn failed_log_ins_of_one_network_count_together() {
    let site = limited(
        "log-ins",
        "key = ['prefix']\nrate = 30\npath = '/login'\nmethods = ['POST']\nstatuses = ['401']",
    );
    let world = World::with(PATIENT, &site);
    let mut bystander = Bystander::of(&world);
    let of_one_network = |n: u8| world.client_from(Ipv4Addr::new(127, 99, 0, n).into());
    let mut guessers: Vec<Client> = (0..100).map(of_one_network).collect();
    let log_in = "POST /login HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n";
    no_more_than(&world, 30, &mut guessers, 401, |_| log_in.to_owned());
    asks(&world, &mut bystander.0, log_in, 401);
    bystander.is_answered();
}

#[test]
fn failed_log_ins_of_many_networks_count_together_where_a_site_says_so() {
    let site = limited(
        "log-ins",
        "key = ['site']\nrate = 30\npath = '/login'\nmethods = ['POST']\nstatuses = ['401']",
    );
    let world = World::with(PATIENT, &site);
    let mut bystander = Bystander::of(&world);
    let of_each_network = |n: u8| world.client_from(Ipv4Addr::new(127, 100 + n, 0, 1).into());
    let mut guessers: Vec<Client> = (0..100).map(of_each_network).collect();
    let log_in = "POST /login HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n";
    no_more_than(&world, 30, &mut guessers, 401, |_| log_in.to_owned());
    bystander.is_answered();
    asks(&world, &mut bystander.0, &plain_get("/elsewhere"), 200);
}

#[test]
fn ranges_without_end_get_no_more_than_there_is() {
    let world = World::with(PATIENT, "");
    let mut bystander = Bystander::of(&world);
    let mut attacker = world.client_from(ATTACKER);
    let many: Vec<String> = (0..1_000).map(|n| format!("{n}-")).collect();
    for ranges in [
        many.join(","),
        "0-,".repeat(500) + "0-",
        "-4,".repeat(500) + "0-3",
    ] {
        attacker.send(format!(
            "GET / HTTP/1.1\r\nHost: a.example\r\nRange: bytes={ranges}\r\n\r\n"
        ));
        let answer = attacker.answer();
        assert!(answer.body.len() <= 4, "{answer:?}");
        assert!(
            matches!(answer.head.status(), 200 | 206 | 416),
            "{answer:?}"
        );
    }
    assert!(world.origin.is_untouched());
    bystander.is_answered();
}

#[test]
fn websockets_without_end_cost_the_origin_no_more_than_their_limit() {
    const ALLOWED: usize = 10;
    let site = limited("chat", "rate = 10\npath = '/chat'");
    let world = World::with(PATIENT, &site);
    let mut bystander = Bystander::of(&world);
    let opened: Vec<_> = (0..ALLOWED).map(|_| open(&world, ATTACKER)).collect();
    for client in &mut attackers(&world, 100, ASKS) {
        assert_eq!(client.answer().head.status(), 429);
    }
    assert_eq!(world.counts(EdgeReason::RateLimited, 100), 100);
    assert!(world.origin.is_untouched());
    let mut visitor = open(&world, BYSTANDER);
    visitor.carries(&frame(TEXT, "hello"));
    bystander.is_answered();
    drop(opened);
}

/// All at the full hour, each from an address of its own, most with what they had last time.
#[test]
fn a_fleet_of_feed_readers_is_answered_and_asks_the_origin_once() {
    let world = World::with(PATIENT, "");
    let reader = |n: u16| {
        let [high, low] = n.to_be_bytes();
        let mut client = world.client_from(Ipv4Addr::new(127, 3, high, low).into());
        let has = if n.is_multiple_of(4) {
            ""
        } else {
            "If-None-Match: \"1\"\r\n"
        };
        client.send(format!(
            "GET /feed HTTP/1.1\r\nHost: a.example\r\nUser-Agent: reader/{n}\r\n{has}\r\n"
        ));
        client
    };
    let mut fleet: Vec<Client> = (0..1_000).map(reader).collect();
    let mut origin = world.origin.accept();
    origin.head();
    origin.send(KEPT);
    for (n, client) in fleet.iter_mut().enumerate() {
        let answer = client.answer();
        let (status, body) = if n.is_multiple_of(4) {
            (200, "kept")
        } else {
            (304, "")
        };
        assert_eq!((answer.head.status(), &*answer.body), (status, body));
    }
    assert!(world.origin.is_untouched());
    let refused: u64 = Reason::all().map(|reason| world.counted(reason)).sum();
    assert_eq!(refused, 0);
}
