//! How much one client may ask of a site: one more is refused by name, nothing of it reaches the origin, and nobody else notices.

use std::net::{IpAddr, Ipv4Addr};

use mangrove_edge::reason::EdgeReason;
use serde_json::json;

use crate::frames::{Http2, Outcome, get};
use crate::wire::End;
use crate::world::{Answer, Client, TRUSTED, World};

const NEIGHBOUR: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));

/// A site that gives each address so many requests an hour.
fn world(rate: u32, more: &str) -> World {
    World::with("", &limit(rate, more))
}

fn limit(rate: u32, more: &str) -> String {
    format!("[[site.rate_limit]]\nname = 'hourly'\nrate = {rate}\nper = '1h'\n{more}")
}

/// Asks, and has the origin answer on a connection of its own.
pub(crate) fn asks(world: &World, client: &mut Client, request: &str, status: u16) {
    client.send(request);
    let mut origin = world.origin.accept();
    origin.head();
    origin.send(format!(
        "HTTP/1.1 {status} Whatever\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    ));
    assert_eq!(client.answer().head.status(), status);
}

/// A request without a word too many.
pub(crate) fn plain_get(path: &str) -> String {
    get_from(path, "")
}

fn get_from(path: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n{more}\r\n")
}

fn is_refused(world: &World, answer: &Answer) {
    assert_eq!(answer.head.status(), 429);
    assert_eq!(answer.reason(), Some("rate-limited"));
    let record = world.record_of(answer);
    assert_eq!(record["reason"], "rate-limited");
    assert_eq!(record["rate_limit"], "hourly");
    assert_eq!(record["fault"], "visitor");
    assert!(world.origin.is_untouched());
}

#[test]
fn one_request_too_many_is_refused_by_name_and_told_when_to_come_again() {
    let world = world(3, "");
    let mut client = world.client();
    for _ in 0..3 {
        asks(&world, &mut client, &plain_get("/"), 200);
    }
    for count in 1..=5 {
        client.get("/");
        let answer = client.answer();
        is_refused(&world, &answer);
        let told = |name| answer.head.field(name).unwrap().to_owned();
        assert_eq!(told("ratelimit-policy"), "\"hourly\";q=3;w=3600");
        let seconds: u64 = told("retry-after").parse().unwrap();
        assert!((1_000..=1_200).contains(&seconds), "{seconds}");
        assert_eq!(told("ratelimit"), format!("\"hourly\";r=0;t={seconds}"));
        assert_eq!(world.counts(EdgeReason::RateLimited, count), count);
    }
    // The connection was kept, another changes nothing, and a neighbour has his own.
    let mut again = world.client();
    again.get("/");
    is_refused(&world, &again.answer());
    asks(
        &world,
        &mut world.client_from(NEIGHBOUR),
        &plain_get("/"),
        200,
    );
}

#[test]
fn an_operator_is_told_who_is_held_back_and_until_when() {
    let world = world(1, "");
    let mut proxy = world.client_from(TRUSTED);
    let from = |visitor: &str| get_from("/", &format!("X-Forwarded-For: {visitor}\r\n"));
    assert_eq!(world.operator("GET", "/shield").1["held_back"], json!([]));
    for (visitor, more) in [("203.0.113.1", 3), ("2001:db8::1", 1), ("198.51.100.1", 0)] {
        asks(&world, &mut proxy, &from(visitor), 200);
        for _ in 0..more {
            proxy.send(from(visitor));
            is_refused(&world, &proxy.answer());
        }
    }
    let (_, told) = world.operator("GET", "/shield");
    let held_back = told["held_back"].as_array().unwrap();
    assert_eq!(held_back.len(), 2, "{told}");
    for (held, client, refused) in [
        (&held_back[0], "203.0.113.1/32", 3),
        (&held_back[1], "2001:db8::/64", 1),
    ] {
        assert_eq!(
            (&held["client"], &held["refused"]),
            (&json!(client), &json!(refused))
        );
        assert_eq!(
            (&held["site"], &held["limit"]),
            (&json!("story"), &json!("hourly"))
        );
        let left = held["left_ms"].as_u64().unwrap();
        assert!((3_000_000..=3_600_000).contains(&left), "{told}");
    }
}

/// Whoever went over stays out for as long as the site says, whatever the rate would give him, and an operator is told until when.
#[test]
fn who_went_over_may_be_kept_out_for_a_while() {
    let limit = "[[site.rate_limit]]\nname = 'hourly'\nrate = 1\nttl = '2h'\npath = '/dear'";
    let world = World::with("", limit);
    let mut client = Http2::connect(&world);
    client.holds_back();
    let streams = [client.ask(&get("/dear")), client.ask(&get("/dear"))];
    client.lets_go();
    assert_eq!(client.outcome(streams[1]), Outcome::Status(429));
    let mut origin = world.origin.accept();
    origin.head();
    origin.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.outcome(streams[0]), Outcome::Status(200));
    let mut client = world.client();
    for _ in 0..3 {
        client.get("/dear");
        let answer = client.answer();
        is_refused(&world, &answer);
        let seconds: u64 = answer.head.field("retry-after").unwrap().parse().unwrap();
        assert!((7_000..=7_200).contains(&seconds), "{seconds}");
    }
    let held = &world.operator("GET", "/shield").1["held_back"][0];
    assert_eq!(held["refused"], 4);
    let left = held["left_ms"].as_u64().unwrap();
    assert!((7_000_000..=7_200_000).contains(&left), "{held}");
    asks(&world, &mut client, &plain_get("/"), 200);
    asks(
        &world,
        &mut world.client_from(NEIGHBOUR),
        &plain_get("/dear"),
        200,
    );
}

#[test]
fn what_is_left_is_told_with_every_answer_where_the_site_says_so_also_with_hits() {
    let all = "[[site.rate_limit]]\nname = 'all'\nkey = ['site']\nrate = 100\nper = '1h'";
    let silent = "[[site.rate_limit]]\nname = 'silent'\nrate = 100\nper = '1h'";
    let world = world(3, &format!("tell = true\n{all}\ntell = true\n{silent}"));
    let mut client = world.client();
    let told = |answer: &Answer| {
        let of = |name| answer.head.field(name).unwrap_or("nothing").to_owned();
        assert_eq!(answer.head.field("retry-after"), None);
        (of("ratelimit-policy"), of("ratelimit"))
    };
    let policies = "\"hourly\";q=3;w=3600, \"all\";q=100;w=3600";
    client.get("/kept");
    let mut origin = world.origin.accept();
    origin.head();
    origin.send("HTTP/1.1 200 OK\r\nConnection: close\r\nCache-Control: max-age=600\r\nContent-Length: 4\r\n\r\nkept");
    let first = (
        policies.to_owned(),
        "\"hourly\";r=2;t=1200, \"all\";r=99;t=36".to_owned(),
    );
    assert_eq!(told(&client.answer()), first);
    client.get("/kept");
    let answer = client.answer();
    assert!(answer.head.field("cache-status").unwrap().contains("; hit"));
    let (policy, left) = told(&answer);
    assert_eq!(policy, policies);
    assert!(left.starts_with("\"hourly\";r=1;t=2"), "{left}");
    assert!(left.contains(", \"all\";r=98;t="), "{left}");
    client.get("/kept");
    assert!(told(&client.answer()).1.starts_with("\"hourly\";r=0;t=3"));
    // Who is refused is told of what refused him, and when to come again.
    client.get("/kept");
    let answer = client.answer();
    assert_eq!(
        answer.head.field("ratelimit-policy"),
        Some("\"hourly\";q=3;w=3600")
    );
    is_refused(&world, &answer);
}

/// Else one network could spend what the site may have, by what is refused anyway.
#[test]
fn a_request_that_one_limit_refuses_counts_under_none() {
    let named = |name: &str, more: &str| {
        format!("[[site.rate_limit]]\nname = '{name}'\nper = '1h'\n{more}\n")
    };
    let site = named("site", "key = ['site']\nrate = 3");
    let software = named("software", "key = ['header:x-app']\nrate = 3");
    let world = World::with("", &format!("{site}{software}{}", limit(1, "")));
    asks(&world, &mut world.client(), &plain_get("/"), 200);
    for _ in 0..10 {
        let mut client = world.client();
        client.get("/");
        is_refused(&world, &client.answer());
    }
    for last in 9..=10 {
        let from = IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
        asks(&world, &mut world.client_from(from), &plain_get("/"), 200);
    }
    let mut client = world.client_from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11)));
    client.send(get_from("/", "X-App: another\r\n"));
    let answer = client.answer();
    assert_eq!(world.record_of(&answer)["rate_limit"], "site");
}

/// Under a limit that lets wait, a turn that another limit takes away is owed by nobody and no delay.
#[test]
fn a_turn_that_another_limit_takes_away_is_not_owed() {
    let turns = "[[site.rate_limit]]\nname = 'turns'\nrate = 1\nper = '10s'\nburst = 1\naction = 'delay'\nlongest_delay = '30s'";
    let site = "[[site.rate_limit]]\nname = 'hourly'\nkey = ['site']\nrate = 1\nper = '1h'";
    let world = World::with("", &format!("{turns}\n{site}"));
    let mut client = world.client();
    asks(&world, &mut client, &plain_get("/"), 200);
    for _ in 0..10 {
        client.get("/");
        is_refused(&world, &client.answer());
    }
    let delayed = "mangrove_rate_limit_over_total{site=\"story\",limit=\"turns\",action=\"delay\"}";
    assert_eq!(world.metric_if_any(delayed), None);
}

#[test]
fn visitors_behind_one_listed_proxy_count_apart() {
    let world = world(1, "");
    let mut proxy = world.client_from(TRUSTED);
    for visitor in [
        "203.0.113.1",
        "203.0.113.2",
        "2001:db8::1",
        "2001:db8:0:1::1",
    ] {
        let request = get_from("/", &format!("X-Forwarded-For: {visitor}\r\n"));
        asks(&world, &mut proxy, &request, 200);
    }
    // The same customer's next address (of IPv6 he has as many as he likes).
    for visitor in ["203.0.113.1", "2001:db8::2"] {
        proxy.send(get_from("/", &format!("X-Forwarded-For: {visitor}\r\n")));
        is_refused(&world, &proxy.answer());
    }
}

#[test]
fn requests_on_different_cores_count_together() {
    let world = World::over_two_cores_for(&limit(2, "key = ['site']"));
    let mut over_ipv6 = world.client_from("::1".parse().unwrap());
    asks(&world, &mut world.client(), &plain_get("/"), 200);
    asks(&world, &mut over_ipv6, &plain_get("/"), 200);
    for mut client in [world.client(), over_ipv6] {
        client.get("/");
        is_refused(&world, &client.answer());
    }
}

#[test]
fn fields_cookies_and_parts_of_the_path_make_a_key_and_those_without_share_one() {
    let world = world(1, "key = ['header:x-app', 'cookie:session', 'path-part:1']");
    let mut client = world.client();
    let requests = [
        plain_get("/a/1"),
        plain_get("/b/1"),
        get_from("/a/1", "X-App: one\r\n"),
        get_from("/a/1", "X-App: two\r\n"),
        get_from("/a/1", "Cookie: other=1; session=x\r\n"),
    ];
    for request in &requests {
        asks(&world, &mut client, request, 200);
    }
    for request in [
        &get_from("/a/2", "Cookie: other=2\r\n"),
        &requests[2],
        &requests[4],
    ] {
        client.send(request);
        is_refused(&world, &client.answer());
    }
}

#[test]
fn a_limit_of_misses_refuses_no_hit() {
    let world = world(1, "counts = 'misses'");
    let mut client = world.client();
    client.get("/kept");
    let mut origin = world.origin.accept();
    origin.head();
    origin.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 4\r\n\r\nkept");
    assert_eq!(client.answer().body, "kept");
    for _ in 0..10 {
        client.get("/kept");
        assert_eq!(client.answer().body, "kept");
    }
    client.get("/kept?cache-buster");
    is_refused(&world, &client.answer());
    client.get("/kept");
    assert_eq!(client.answer().body, "kept");
}

#[test]
fn failed_log_ins_are_counted_once_they_have_failed() {
    let world = world(
        2,
        "path = '/login'\nmethods = ['POST']\nstatuses = ['401', '403']",
    );
    let log_in = "POST /login HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n";
    let mut client = world.client();
    for status in [200, 401, 200, 403] {
        asks(&world, &mut client, log_in, status);
    }
    world.records_of(4);
    client.send(log_in);
    is_refused(&world, &client.answer());
    // Another way of writing it is the same path; another path, another method and another address are not meant.
    client.send(log_in.replace("/login", "/%6cogin"));
    is_refused(&world, &client.answer());
    asks(&world, &mut client, &plain_get("/login"), 200);
    asks(&world, &mut client, &plain_get("/"), 200);
    asks(&world, &mut world.client_from(NEIGHBOUR), log_in, 401);
}

#[test]
fn a_limit_may_end_the_connection_without_a_word() {
    let world = world(1, "action = 'close'");
    let mut client = world.client();
    asks(&world, &mut client, &plain_get("/"), 200);
    client.get("/");
    assert_eq!(client.rest(), (String::new(), End::Reset));
    assert_eq!(world.counts(EdgeReason::RateLimitedClosed, 1), 1);
    let mut client = Http2::connect(&world);
    client.ask(&get("/"));
    assert_eq!(client.ends(), End::Reset);
    assert_eq!(world.counts(EdgeReason::RateLimitedClosed, 2), 2);
    assert!(world.origin.is_untouched());
}

#[test]
fn over_http2_the_stream_is_refused_and_the_connection_stays() {
    let world = world(1, "path = '/dear'");
    let mut client = Http2::connect(&world);
    let stream = client.ask(&get("/dear"));
    let mut origin = world.origin.accept();
    origin.head();
    origin.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.outcome(stream), Outcome::Status(200));
    let stream = client.ask(&get("/dear"));
    assert_eq!(client.outcome(stream), Outcome::Status(429));
    client.goes_on(&world);
}

#[test]
fn the_page_says_it_in_english_and_bengali() {
    let world = world(1, "");
    let mut client = world.client();
    asks(&world, &mut client, &plain_get("/"), 200);
    for (language, words) in [
        (
            "en",
            [
                "Too many requests",
                "More was asked for than one client may ask",
            ],
        ),
        ("bn", ["অনেক বেশি অনুরোধ", "তার চেয়ে বেশি চাওয়া হয়েছে"]),
    ] {
        let wishes = format!("Accept: text/html\r\nAccept-Language: {language}\r\n");
        client.send(get_from("/", &wishes));
        let answer = client.answer();
        is_refused(&world, &answer);
        for words in words {
            assert!(answer.body.contains(words), "{}", answer.body);
        }
    }
}
