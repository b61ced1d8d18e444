//! Orders by hand: who is kept out is told so by name and nobody else notices; what touches many waits for a second person; and no
//! order outlives its time, or is lost with the edge.

use std::net::{IpAddr, Ipv4Addr};

use mangrove_edge::reason::EdgeReason;
use serde_json::Value;

use crate::frames::{Http2, Outcome, get};
use crate::world::{Client, OFFICE, TRUSTED, World, eventually};

/// Who asked before all others.
const FIRST: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 97, 0, 1));
const NUISANCE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 99, 0, 1));
const NEIGHBOUR: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 99, 1, 1));
const BY_MINA: &str = "owner=mina&reason=scrapes%20the%20search";

/// An edge that has an answer for all, and had so many visitors just now, each of a network of his own.
fn world(server: &str, site: &str, visitors: u8) -> World {
    let world = World::with(server, site);
    world.keeps(FIRST);
    for n in 1..visitors {
        let mut visitor = world.client_from(Ipv4Addr::new(127, n, 0, 1).into());
        assert_eq!(status(&mut visitor, ""), 200);
    }
    world
}

fn status(client: &mut Client, fields: &str) -> u16 {
    client.send(format!("GET / HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n"));
    client.answer().head.status()
}

fn order(world: &World, act: &str, subject: &str, seconds: u32) -> Value {
    let target = format!("/shield/{act}?site=story&subject={subject}&{BY_MINA}&seconds={seconds}");
    let (status, told) = world.operator("POST", &target);
    assert_eq!(status, 200, "{told}");
    told
}

fn refusal(world: &World, method: &str, target: &str) -> (u16, String) {
    let (status, told) = world.operator(method, target);
    (
        status,
        told["error"].as_str().unwrap_or_default().to_owned(),
    )
}

#[test]
fn who_is_kept_out_is_told_so_by_name_and_nobody_else_notices() {
    let world = world("", "", 40);
    let (mut nuisance, mut neighbour) = (world.client_from(NUISANCE), world.client_from(NEIGHBOUR));
    for client in [&mut nuisance, &mut neighbour] {
        assert_eq!(status(client, ""), 200);
    }
    let told = order(&world, "block", "127.99.0.0/24", 3_600);
    assert_eq!((&told["id"], &told["pending"]), (&1.into(), &false.into()));
    assert_eq!(told["would_touch"]["clients"], 1);
    assert_eq!(told["durable"], true);
    // On the connection that is open, and as often as he asks.
    for count in 1..=3 {
        nuisance.get("/");
        let answer = nuisance.answer();
        assert_eq!(answer.head.status(), 403);
        assert_eq!(answer.reason(), Some("blocked-by-hand"));
        let record = world.record_of(&answer);
        assert_eq!(record["reason"], "blocked-by-hand");
        assert_eq!(
            (&record["fault"], &record["shield.order"]),
            (&"visitor".into(), &1.into())
        );
        assert_eq!(world.counts(EdgeReason::BlockedByHand, count), count);
    }
    let mut again = Http2::connect_from(&world, NUISANCE);
    let stream = again.ask(&get("/"));
    assert_eq!(again.outcome(stream), Outcome::Status(403));
    assert_eq!(status(&mut neighbour, ""), 200);
    assert_eq!(status(&mut world.client(), ""), 200);

    let (_, shown) = world.operator("GET", "/shield/order?id=1");
    assert_eq!(shown["touched"]["requests"], 4);
    assert_eq!(shown["touched"]["clients"], 1);
    assert_eq!(
        (&shown["owner"], &shown["reason"]),
        (&"mina".into(), &"scrapes the search".into())
    );

    assert_eq!(world.operator("DELETE", "/shield?id=1&owner=mina").0, 200);
    assert_eq!(status(&mut nuisance, ""), 200);
    let (status, why) = refusal(&world, "DELETE", "/shield?id=1&owner=mina");
    assert_eq!(status, 404);
    assert!(why.contains("no order 1"), "{why}");
}

#[test]
fn the_page_says_it_in_english_and_bengali() {
    let world = world("", "", 40);
    order(&world, "block", "127.99.0.1", 60);
    let mut nuisance = world.client_from(NUISANCE);
    for (language, words) in [
        ("en", "has closed it for a while to the address or network"),
        ("bn", "কিছু সময়ের জন্য বন্ধ রেখেছেন"),
    ] {
        nuisance.send(format!(
            "GET / HTTP/1.1\r\nHost: a.example\r\nAccept: text/html\r\nAccept-Language: {language}\r\n\r\n"
        ));
        let answer = nuisance.answer();
        assert_eq!(answer.head.status(), 403);
        assert!(answer.body.contains(words), "{}", answer.body);
    }
}

#[test]
fn an_order_that_touches_many_waits_for_somebody_else() {
    let world = world("", "", 20);
    let mut nuisance = world.client_from(NUISANCE);
    assert_eq!(status(&mut nuisance, ""), 200);
    // 5 of 21 came from there.
    for n in 2..6 {
        let visitor = Ipv4Addr::new(127, 99, 0, n).into();
        assert_eq!(status(&mut world.client_from(visitor), ""), 200);
    }
    let told = order(&world, "block", "127.99.0.0/16", 3_600);
    assert_eq!(told["pending"], true);
    assert_eq!(told["would_touch"]["clients"], 5);
    assert_eq!(told["would_touch"]["of"], 25);
    assert_eq!(status(&mut nuisance, ""), 200);
    let (code, why) = refusal(&world, "POST", "/shield/approve?id=1&owner=MINA");
    assert_eq!(code, 409);
    assert!(why.contains("somebody else"), "{why}");
    assert_eq!(status(&mut nuisance, ""), 200);
    let (code, told) = world.operator("POST", "/shield/approve?id=1&owner=rafi");
    assert_eq!((code, &told["approved_by"]), (200, &"rafi".into()));
    assert_eq!(status(&mut nuisance, ""), 403);
    assert_eq!(status(&mut world.client(), ""), 200);
}

/// After a start nobody has come, and a hand that slips is as heavy as ever.
#[test]
fn where_nobody_has_come_yet_everybody_waits_too() {
    let world = World::new();
    for everybody in ["0.0.0.0/0", "::/0", "127.0.0.0/8"] {
        assert_eq!(order(&world, "block", everybody, 60)["pending"], true);
    }
    world.keeps(FIRST);
    assert_eq!(status(&mut world.client_from(NUISANCE), ""), 200);
}

#[test]
fn who_is_let_through_is_under_no_limit_of_that_site_and_under_no_block() {
    let limit = "[[site.rate_limit]]\nname = 'hourly'\nrate = 1\nper = '1h'\n";
    let world = world("", limit, 40);
    let mut client = world.client_from(NUISANCE);
    assert_eq!(
        [status(&mut client, ""), status(&mut client, "")],
        [200, 429]
    );
    order(&world, "allow", "127.99.0.1", 60);
    for _ in 0..3 {
        client.get("/");
        let answer = client.answer();
        assert_eq!(answer.head.status(), 200);
        assert_eq!(world.record_of(&answer)["shield.order"], 1);
    }
    order(&world, "block", "127.99.0.0/24", 60);
    assert_eq!(status(&mut client, ""), 200);
    let second = Ipv4Addr::new(127, 99, 0, 2).into();
    assert_eq!(status(&mut world.client_from(second), ""), 403);
    world.operator("DELETE", "/shield?id=1&owner=mina");
    assert_eq!(status(&mut client, ""), 403);
}

/// Who helps against the attack is never its victim: not by a mistake of his own either.
#[test]
fn who_is_exempt_or_logged_in_is_not_kept_out() {
    let world = world("exempt_clients = ['127.98.0.0/16']", "", 40);
    let target = format!("/shield/block?site=story&subject=127.98.0.0/24&{BY_MINA}&seconds=60");
    let (code, why) = refusal(&world, "POST", &target);
    assert_eq!(code, 409);
    assert!(why.contains("127.98.0.0/16"), "{why}");

    assert_eq!(world.operator_from(NUISANCE, true, "GET /shield"), 200);
    let told = order(&world, "block", "127.99.0.0/16", 60);
    assert_eq!(told["exempt_within"], serde_json::json!(["127.99.0.1/32"]));
    for client in [OFFICE, NUISANCE] {
        assert_eq!(status(&mut world.client_from(client), ""), 200);
    }
    // Whoever types on the machine has come from somewhere.
    let mine = Ipv4Addr::new(127, 96, 0, 1);
    let target =
        format!("/shield/block?site=story&subject={mine}&{BY_MINA}&seconds=60&from={mine}");
    assert_eq!(refusal(&world, "POST", &target).0, 409);
    // And names no other address than his own where he comes from elsewhere.
    let asks = format!("POST {target}");
    assert_eq!(world.operator_from(NUISANCE, true, &asks), 403);
    assert_eq!(status(&mut world.client_from(NEIGHBOUR), ""), 403);
}

#[test]
fn behind_a_listed_proxy_the_visitor_is_kept_out_and_not_the_proxy() {
    let world = world("", "", 1);
    let mut proxy = world.client_from(TRUSTED);
    for n in 0..40 {
        let fields = format!("X-Forwarded-For: 10.0.{n}.1\r\n");
        assert_eq!(
            [status(&mut proxy, &fields), status(&mut proxy, &fields)],
            [200; 2]
        );
    }
    let told = order(&world, "block", "203.0.113.0/24", 60);
    assert_eq!(
        told["would_touch"]["of"], 41,
        "each visitor is one, and the proxy is none"
    );
    for (visitor, wanted) in [
        ("203.0.113.7", 403),
        ("198.51.100.7", 200),
        ("203.0.113.8", 403),
    ] {
        let fields = format!("X-Forwarded-For: {visitor}\r\n");
        assert_eq!(status(&mut proxy, &fields), wanted, "{visitor}");
    }
    // What anybody says of himself does not count.
    let mut liar = world.client_from(NUISANCE);
    assert_eq!(status(&mut liar, "X-Forwarded-For: 203.0.113.7\r\n"), 200);
}

#[test]
fn every_core_obeys() {
    let world = World::over_two_cores();
    world.keeps(FIRST);
    let mut over_ipv6 = world.client_from("::1".parse().unwrap());
    assert_eq!(status(&mut over_ipv6, ""), 200);
    let told = order(&world, "block", "::1", 60);
    if told["pending"] == true {
        world.operator("POST", "/shield/approve?id=1&owner=rafi");
    }
    assert_eq!(status(&mut over_ipv6, ""), 403);
    assert_eq!(status(&mut world.client(), ""), 200);
}

#[test]
fn an_order_outlives_the_edge_and_not_its_time() {
    let mut world = world("", "", 40);
    order(&world, "block", "127.99.0.0/24", 3_600);
    order(&world, "block", "127.99.1.0/24", 1);
    eventually("it expires", || {
        (status(&mut world.client_from(NEIGHBOUR), "") == 200).then_some(())
    });
    world.restart();
    assert_eq!(status(&mut world.client_from(NUISANCE), ""), 403);
    assert_eq!(status(&mut world.client_from(NEIGHBOUR), ""), 200);
    let (_, told) = world.operator("GET", "/shield");
    assert_eq!(told["orders"].as_array().unwrap().len(), 1);
    // No number comes again.
    assert_eq!(order(&world, "block", "10.0.0.1", 60)["id"], 3);
}

/// The second edge of an upgrade reads the same file; so does the first, when somebody else has written it.
#[test]
fn what_another_edge_was_told_is_taken_over() {
    let world = world("", "", 40);
    order(&world, "block", "127.99.0.0/24", 3_600);
    let file = world.path("edge/orders.json");
    let text = std::fs::read_to_string(&file).unwrap();
    let other = world.path("edge/other.json");
    std::fs::write(&other, text.replace("127.99.0.0/24", "127.99.1.0/24")).unwrap();
    std::fs::rename(other, file).unwrap();
    eventually("it is taken over", || {
        (status(&mut world.client_from(NEIGHBOUR), "") == 403).then_some(())
    });
    assert_eq!(status(&mut world.client_from(NUISANCE), ""), 200);
}

#[test]
fn a_disk_that_takes_nothing_keeps_nobody_from_ordering_and_is_told() {
    let mut world = world("", "", 40);
    std::fs::create_dir(world.path("edge/orders.lock")).unwrap();
    let told = order(&world, "block", "127.99.0.0/24", 60);
    assert_eq!(told["durable"], false);
    let why = told["not_durable_because"].as_str().unwrap();
    assert!(why.contains("directory"), "{why}");
    assert_eq!(status(&mut world.client_from(NUISANCE), ""), 403);
    // The next that reaches the disk takes it along.
    std::fs::remove_dir(world.path("edge/orders.lock")).unwrap();
    assert_eq!(order(&world, "block", "127.99.1.0/24", 60)["durable"], true);
    world.restart();
    for client in [NUISANCE, NEIGHBOUR] {
        assert_eq!(status(&mut world.client_from(client), ""), 403);
    }
}

#[test]
fn an_order_is_whole_or_is_none() {
    let world = world("", "", 40);
    let good = [
        ("site", "story"),
        ("subject", "127.99.0.0/24"),
        ("owner", "mina"),
        ("reason", "why"),
        ("seconds", "60"),
    ];
    let with = |name: &str, value: Option<&str>| {
        let parts = good.iter().filter_map(|(known, usual)| {
            let value = if *known == name { value? } else { usual };
            Some(format!("{known}={value}"))
        });
        format!("/shield/block?{}", parts.collect::<Vec<_>>().join("&"))
    };
    for (name, _) in good {
        assert_eq!(refusal(&world, "POST", &with(name, None)).0, 400, "{name}");
        assert_eq!(
            refusal(&world, "POST", &with(name, Some(""))).0,
            400,
            "{name}"
        );
    }
    for (name, wrong, code) in [
        ("site", "nobody", 404),
        ("subject", "everybody", 400),
        ("subject", "127.99.0.1/24", 400),
        ("subject", "*", 400),
        ("seconds", "86401", 400),
        ("seconds", "0", 400),
        ("seconds", "-1", 400),
        ("owner", "%20", 400),
        ("reason", "a%0ab", 400),
    ] {
        let (status, why) = refusal(&world, "POST", &with(name, Some(wrong)));
        assert_eq!(status, code, "{name}={wrong}: {why}");
        assert!(!why.is_empty());
    }
    assert_eq!(refusal(&world, "POST", "/shield/approve?id=1").0, 400);
    assert_eq!(
        refusal(&world, "POST", "/shield/approve?id=1&owner=rafi").0,
        404
    );
    assert_eq!(refusal(&world, "DELETE", "/shield?id=x&owner=rafi").0, 400);
    assert_eq!(refusal(&world, "DELETE", "/shield").0, 400);
    assert_eq!(refusal(&world, "GET", "/shield/order?id=1").0, 404);
    let (_, told) = world.operator("GET", "/shield");
    assert_eq!(told["orders"], serde_json::json!([]));
    assert_eq!(
        world.operator("POST", &with("seconds", Some("86400"))).0,
        200
    );
    let (code, why) = refusal(&world, "POST", &with("", None));
    assert!(code == 409 && why.contains("order 1"), "{why}");
}
