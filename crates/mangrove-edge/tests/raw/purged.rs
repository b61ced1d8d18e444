//! What a purge means to visitors: by URL, prefix, host, tag and site, hard and soft, by order and by PURGE.

use std::net::{IpAddr, Ipv6Addr};

use mangrove_http::Refusal;
use serde_json::{Value, json};

use crate::origin::{FRESH, Visit, send};
use crate::world::{Client, TRUSTED, World, eventually};

const TAGGED: &str = "Cache-Control: max-age=60\r\nSurrogate-Key: front article-7\r\n";
/// Every way to mean `http://a.example/news/7`, tagged `article-7`.
const MEANT: [&str; 5] = [
    "url=http://a.example/news/7",
    "prefix=/news/",
    "host=a.example",
    "tag=article-7",
    "all",
];

fn order(world: &World, what: &str) -> Value {
    let (status, told) = world.operator("POST", &format!("/purge?site=story&{what}"));
    assert_eq!(status, 200, "{what}: {told}");
    told
}

fn get_from(client: &mut Client, host: &str, path: &str) {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
}

/// Asks, and the origin gives what may be kept; once it is.
fn fill(world: &World, client: &mut Client, origin: &mut Option<Visit>, path: &str, fields: &str) {
    client.get(path);
    let origin = origin.get_or_insert_with(|| world.origin.accept());
    origin.head();
    send(origin, fields, "old");
    assert_eq!(client.answer().body, "old");
    is_kept(client, path);
}

/// The fill ends just after its visitor has the last byte.
fn is_kept(client: &mut Client, path: &str) {
    client.get(path);
    let answer = client.answer();
    assert!(answer.is_hit(), "{path}: {answer:?}");
}

fn asked(world: &World, client: &mut Client, path: &str) -> Visit {
    client.get(path);
    let mut origin = world.origin.accept();
    origin.head();
    origin
}

fn is_fetched(client: &mut Client, origin: &mut Visit, path: &str, fields: &str) {
    client.get(path);
    origin.head();
    send(origin, fields, "new");
    let answer = client.answer();
    assert_eq!(answer.body, "new");
    assert!(answer.cache_status().contains("fwd=uri-miss"), "{answer:?}");
}

#[test]
fn each_kind_takes_what_it_means_and_nothing_else() {
    for (what, taken, left) in [
        (
            "url=http://a.example/news/7",
            &["/news/7"][..],
            &["/news/8", "/shop"][..],
        ),
        (
            "prefix=/news/",
            &["/news/7", "/news/8"],
            &["/newsletter", "/shop"],
        ),
        ("prefix=/x/../news", &["/news/7", "/newsletter"], &["/shop"]),
        ("tag=article-7", &["/news/7"], &["/news/8", "/shop"]),
        ("tag=front", &["/news/7", "/news/8"], &["/shop"]),
        ("host=A.example.", &["/news/7", "/shop"], &[]),
        ("all", &["/news/7", "/shop"], &[]),
        ("tag=nothing", &[], &["/news/7"]),
        ("prefix=/NEWS/", &[], &["/news/7"]),
        ("tag=Article-7", &[], &["/news/7"]),
        ("tag=x%26&tag=article-7&tag=y", &["/news/7"], &["/news/8"]),
    ] {
        let world = World::new();
        let mut client = world.client();
        let mut origin = None;
        for path in taken.iter().chain(left) {
            let fields = match *path {
                "/news/7" => TAGGED.to_owned(),
                "/news/8" => format!("{FRESH}Cache-Tag: front,article-8\r\n"),
                _ => FRESH.to_owned(),
            };
            fill(&world, &mut client, &mut origin, path, &fields);
        }
        let told = order(&world, what);
        assert_eq!(told["soft"], false, "{told}");
        for path in left {
            is_kept(&mut client, path);
        }
        let mut origin = origin.unwrap();
        for path in taken {
            is_fetched(&mut client, &mut origin, path, FRESH);
            is_kept(&mut client, path);
        }
        assert!(world.origin.is_untouched(), "{what}");
    }
}

#[test]
fn a_purge_of_a_host_leaves_the_sites_other_hosts() {
    let world = World::new();
    let mut client = world.client();
    let mut origin = None;
    fill(&world, &mut client, &mut origin, "/", FRESH);
    let mut origin = origin.unwrap();
    get_from(&mut client, "b.example:8080", "/");
    origin.head();
    send(&mut origin, FRESH, "of b");
    client.answer();
    let told = order(&world, "host=b.example");
    assert_eq!(told["filters"], json!(["b.example"]));
    is_kept(&mut client, "/");
    get_from(&mut client, "b.example:8080", "/");
    origin.head();
    send(&mut origin, FRESH, "of b again");
    assert_eq!(client.answer().body, "of b again");
}

/// Whoever asked first gets his answer; it is kept for none, and who comes after the purge asks anew: on either core, and also
/// where only the head tells what the answer is tagged.
#[test]
fn a_fill_asked_for_before_a_purge_serves_nobody_who_comes_after() {
    for what in MEANT {
        let world = World::over_two_cores();
        let mut first = world.client();
        first.get("/news/7");
        let mut old = world.origin.accept();
        old.head();
        order(&world, what);
        let mut beyond = world.client_from(IpAddr::V6(Ipv6Addr::LOCALHOST));
        beyond.get("/news/7");
        if what.starts_with("tag") {
            // Nobody knows yet that it is meant: he waits for the head.
            eventually("waits", || {
                (world.metric("mangrove_cache_followers") == 1).then_some(())
            });
            send(&mut old, TAGGED, "old");
            assert_eq!(first.answer().body, "old");
            let mut new = world.origin.accept();
            new.head();
            send(&mut new, TAGGED, "new");
        } else {
            let mut new = world.origin.accept();
            new.head();
            // Who comes next shares the new one, and does not wait for the old.
            let mut next = world.client_from(IpAddr::V6(Ipv6Addr::LOCALHOST));
            next.get("/news/7");
            eventually("waits", || {
                (world.metric("mangrove_cache_followers") == 1).then_some(())
            });
            send(&mut new, TAGGED, "new");
            for client in [&mut beyond, &mut next] {
                assert_eq!(client.answer().body, "new", "{what}");
            }
            assert!(world.origin.is_untouched(), "{what}");
            is_kept(&mut beyond, "/news/7");
            // The slower one comes later, and takes nothing's place.
            send(&mut old, TAGGED, "old");
            assert_eq!(first.answer().body, "old");
            eventually("it ends", || {
                (world.metric("mangrove_cache_fills") == 0).then_some(())
            });
            first.get("/news/7");
            assert_eq!(first.answer().body, "new", "{what}");
            continue;
        }
        assert_eq!(beyond.answer().body, "new", "{what}");
        for client in [&mut first, &mut beyond] {
            client.get("/news/7");
            let answer = client.answer();
            assert_eq!(answer.body, "new", "{what}");
            assert!(answer.is_hit(), "{answer:?}");
        }
        assert!(world.origin.is_untouched());
    }
}

/// Its head is there and its tags are known: who comes after the purge does not read along.
#[test]
fn a_fill_whose_content_still_comes_is_joined_by_nobody_after_a_purge() {
    for what in MEANT {
        let world = World::over_two_cores();
        let mut first = world.client();
        first.get("/news/7");
        let mut old = world.origin.accept();
        old.head();
        old.send(format!(
            "HTTP/1.1 200 OK\r\n{TAGGED}Content-Length: 8\r\n\r\nold "
        ));
        assert_eq!(first.head().status(), 200);
        order(&world, what);
        let mut beyond = world.client_from(IpAddr::V6(Ipv6Addr::LOCALHOST));
        beyond.get("/news/7");
        let mut new = world.origin.accept();
        new.head();
        // Who comes next shares the new one, and does not ask for himself.
        let mut next = world.client_from(IpAddr::V6(Ipv6Addr::LOCALHOST));
        next.get("/news/7");
        eventually("waits", || {
            (world.metric("mangrove_cache_followers") == 2).then_some(())
        });
        old.send("news");
        assert_eq!(first.take_text(8), "old news");
        send(&mut new, TAGGED, "new");
        for client in [&mut beyond, &mut next] {
            assert_eq!(client.answer().body, "new", "{what}");
        }
        assert!(world.origin.is_untouched(), "{what}");
        eventually("both end", || {
            (world.metric("mangrove_cache_fills") == 0).then_some(())
        });
        first.get("/news/7");
        assert_eq!(first.answer().body, "new", "{what}");
    }
}

/// A core's own front holds what the other core has purged, and does not answer with it.
#[test]
fn every_core_lets_go_at_once() {
    for what in MEANT {
        let world = World::over_two_cores();
        let mut first = world.client();
        let mut beyond = world.client_from(IpAddr::V6(Ipv6Addr::LOCALHOST));
        let mut origin = None;
        fill(&world, &mut first, &mut origin, "/news/7", TAGGED);
        is_kept(&mut beyond, "/news/7");
        order(&world, what);
        let mut new = world.client_from(IpAddr::V6(Ipv6Addr::LOCALHOST));
        new.get("/news/7");
        // The other core has its own connections to the origin.
        let mut origin = world.origin.accept();
        origin.head();
        send(&mut origin, TAGGED, "new");
        assert_eq!(new.answer().body, "new", "{what}");
        is_kept(&mut first, "/news/7");
        beyond.get("/news/7");
        assert_eq!(beyond.answer().body, "new");
    }
}

#[test]
fn a_revalidation_begun_before_a_purge_refreshes_nothing() {
    for what in MEANT {
        let world = World::new();
        let mut client = world.client();
        client.get("/news/7");
        let mut origin = world.origin.accept();
        origin.head();
        let stale = "Cache-Control: max-age=0\r\nETag: \"x\"\r\nSurrogate-Key: article-7\r\n";
        send(&mut origin, stale, "old");
        client.answer();
        client.get("/news/7");
        assert_eq!(origin.head().field("if-none-match"), Some("\"x\""));
        order(&world, what);
        origin.send(format!(
            "HTTP/1.1 304 Not Modified\r\n{FRESH}ETag: \"x\"\r\n\r\n"
        ));
        assert_eq!(client.answer().body, "old"); // it was asked for before
        client.get("/news/7");
        assert_eq!(origin.head().field("if-none-match"), None, "{what}");
        send(&mut origin, FRESH, "new");
        assert_eq!(client.answer().body, "new");
    }
}

#[test]
fn a_soft_purge_is_served_stale_while_the_origin_is_asked() {
    for what in MEANT {
        let world = World::new();
        let mut client = world.client();
        let mut origin = None;
        let fields = "Cache-Control: max-age=60, stale-while-revalidate=600\r\n\
                      Surrogate-Key: article-7\r\nETag: \"x\"\r\n";
        fill(&world, &mut client, &mut origin, "/news/7", fields);
        let told = order(&world, &format!("{what}&soft"));
        assert_eq!(told["soft"], true);
        let mut origin = origin.unwrap();
        client.get("/news/7");
        let stale = client.answer();
        assert_eq!(stale.body, "old", "{what}");
        assert!(
            stale
                .cache_status()
                .contains("detail=stale-while-revalidate"),
            "{stale:?}"
        );
        assert!(!stale.cache_status().contains("ttl=60"), "{stale:?}");
        assert_eq!(origin.head().field("if-none-match"), Some("\"x\""));
        origin.send(format!(
            "HTTP/1.1 304 Not Modified\r\n{FRESH}ETag: \"x\"\r\n\r\n"
        ));
        eventually("confirmed", || {
            client.get("/news/7");
            let answer = client.answer();
            assert_eq!(answer.body, "old");
            answer.is_hit().then_some(())
        });
        assert!(world.origin.is_untouched());
    }
}

#[test]
fn a_soft_purge_stands_in_for_an_origin_that_fails_and_a_hard_one_after_it_does_not() {
    for what in MEANT {
        let world = World::with("", "origin.retries = 0");
        let mut client = world.client();
        let mut origin = None;
        fill(&world, &mut client, &mut origin, "/news/7", TAGGED);
        order(&world, &format!("{what}&soft"));
        let mut origin = origin.unwrap();
        client.get("/news/7");
        origin.head();
        origin.send("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
        let stale = client.answer();
        assert_eq!((stale.head.status(), &*stale.body), (200, "old"), "{what}");
        assert!(
            stale.cache_status().contains("detail=stale-if-error"),
            "{stale:?}"
        );
        order(&world, what);
        client.get("/news/7");
        origin.head();
        origin.send("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(client.answer().head.status(), 503, "{what}");
    }
}

/// Nobody who asks after a soft purge is given as fresh what was asked for before it.
#[test]
fn a_fill_asked_for_before_a_soft_purge_is_stale_when_it_is_kept() {
    let world = World::new();
    let mut first = world.client();
    first.get("/news/7");
    let mut old = world.origin.accept();
    old.head();
    order(&world, "prefix=/news/&soft");
    send(&mut old, FRESH, "old");
    assert_eq!(first.answer().body, "old");
    first.get("/news/7");
    old.head();
    send(&mut old, FRESH, "new");
    let answer = first.answer();
    assert_eq!(answer.body, "new");
    assert!(answer.cache_status().contains("fwd=stale"), "{answer:?}");
    is_kept(&mut first, "/news/7");
}

#[test]
fn what_is_coded_is_purged_with_what_it_was_made_of() {
    let world = World::new();
    let mut client = world.client();
    client.get("/");
    let mut origin = world.origin.accept();
    origin.head();
    let text = "all the news that fits\n".repeat(500);
    send(
        &mut origin,
        &format!("{TAGGED}Content-Type: text/plain\r\n"),
        &text,
    );
    client.answer();
    let ask = "GET / HTTP/1.1\r\nHost: a.example\r\nAccept-Encoding: gzip\r\n\r\n";
    eventually("a coded answer", || {
        client.send(ask);
        let head = client.head();
        client.take(head.field("content-length").unwrap().parse().unwrap());
        (head.field("content-encoding") == Some("gzip")).then_some(())
    });
    order(&world, "tag=front&soft");
    client.send(ask);
    origin.head();
    origin.send("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
    let head = client.head();
    assert_eq!(head.field("content-encoding"), Some("gzip"));
    let status = head.field("cache-status").unwrap().to_owned();
    assert!(
        status.contains("detail=stale-if-error") && status.contains("ttl=0"),
        "{status}"
    );
    client.take(head.field("content-length").unwrap().parse().unwrap());
    order(&world, "tag=front");
    client.send(ask);
    origin.head();
    send(&mut origin, FRESH, "new");
    assert_eq!(client.answer().body, "new");
}

/// Tags are between an origin and its caches: kept or passed on, no visitor is told them.
#[test]
fn no_visitor_is_told_the_tags() {
    let world = World::new();
    let mut client = world.client();
    let tags = "Surrogate-Key: secret-7\r\nCache-Tag: secret-8\r\n";
    let mut origin = asked(&world, &mut client, "/kept");
    send(&mut origin, &format!("{FRESH}{tags}"), "x");
    let first = client.answer();
    client.get("/kept");
    let hit = client.answer();
    assert!(hit.is_hit());
    client.get("/passed");
    origin.head();
    send(
        &mut origin,
        &format!("Cache-Control: private\r\n{tags}"),
        "x",
    );
    let passed = client.answer();
    for answer in [first, hit, passed] {
        for name in ["surrogate-key", "cache-tag"] {
            assert_eq!(answer.head.field(name), None, "{answer:?}");
        }
    }
    // The operator is.
    let (_, told) = world.operator("GET", "/cache/show?url=http://a.example/kept");
    assert_eq!(told["kept"][0]["tags"], json!(["secret-7", "secret-8"]));
}

#[test]
fn what_cannot_be_tagged_whole_is_not_kept() {
    let world = World::new();
    let mut client = world.client();
    let most = vec!["t"; 1024].join(" ");
    let mut origin = asked(&world, &mut client, "/");
    send(
        &mut origin,
        &format!("{FRESH}Surrogate-Key: {most} t\r\n"),
        "x",
    );
    let answer = client.answer();
    assert!(
        answer.cache_status().ends_with("detail=too-many-tags"),
        "{answer:?}"
    );
    client.get("/");
    origin.head();
    send(
        &mut origin,
        &format!("{FRESH}Surrogate-Key: {most}\r\n"),
        "x",
    );
    client.answer();
    is_kept(&mut client, "/");
}

/// Empty is never everything, and what is not understood is not guessed.
#[test]
fn an_order_that_is_not_clear_purges_nothing() {
    let world = World::with(
        "",
        "hosts = ['a.example']\n[[site]]\nname = 'shop'\nhosts = ['shop.example']\norigins = ['http://127.0.0.1:1']",
    );
    let mut client = world.client();
    fill(&world, &mut client, &mut None, "/news/7", TAGGED);
    let many = (0..=256).map(|n| format!("&tag={n}")).collect::<String>();
    for (what, status, says) in [
        ("", 400, "one of url=URL"),
        ("&soft", 400, "one of url=URL"),
        ("&tag=a&prefix=/a", 400, "one of url=URL"),
        ("&tag=a&all", 400, "one of url=URL"),
        ("&tag=", 400, "tag is empty"),
        ("&tag=%20", 400, "never everything"),
        ("&tag=a&tag=%20", 400, "never everything"),
        ("&tag=article-7%20front", 400, "each tag by itself"),
        ("&prefix=news", 400, "begins with /"),
        ("&prefix=/", 400, "say all"),
        ("&prefix=/x/..", 400, "say all"),
        ("&prefix=/news/*", 400, "leave the *"),
        ("&prefix=/news?x", 400, "query"),
        ("&host=*", 400, "news.example"),
        ("&host=a.example:80", 400, "without a port"),
        ("&host=shop.example", 409, "belongs to site shop"),
        ("&host=b.example", 404, "no site has the host b.example"),
        (
            "&url=http://a.example/news/7&url=http://shop.example/",
            409,
            "nothing was purged",
        ),
        ("&soft=1&all", 400, "takes no value"),
        (&many, 400, "more than 256 times"),
    ] {
        let (told, reply) = world.operator("POST", &format!("/purge?site=story{what}"));
        assert_eq!(told, status, "{what}: {reply}");
        let error = reply["error"].as_str().unwrap();
        assert!(error.contains(says), "{what}: {error}");
    }
    let most = (1..=256).map(|n| format!("&tag={n}")).collect::<String>();
    assert_eq!(
        world
            .operator("POST", &format!("/purge?site=story{most}"))
            .0,
        200
    );
    is_kept(&mut client, "/news/7");
}

#[test]
fn purge_by_method_is_refused_by_name_where_it_is_not_allowed() {
    let ask = "PURGE /a HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n";
    World::new().refuses(ask, Refusal::PurgeNotAllowed);
    // Who says of himself that he is listed is not.
    let world = World::with("", "[site.cache]\npurge_from = ['192.0.2.0/24']");
    let mut client = world.client();
    fill(&world, &mut client, &mut None, "/a", FRESH);
    client.send(ask);
    let answer = client.answer();
    assert_eq!(answer.reason(), Some("purge-not-allowed"));
    assert_eq!(answer.head.status(), 403);
    is_kept(&mut client, "/a");
    // By a proxy that is believed, he is.
    let mut proxy = world.client_from(TRUSTED);
    proxy.send(ask);
    assert_eq!(proxy.answer().head.status(), 200);
    client.get("/a");
    assert!(world.origin.accept().head().first_line().starts_with("GET"));
}

#[test]
fn purge_by_method_takes_its_url_and_reaches_no_origin() {
    let site = "path = 'as-received'\n[site.cache]\npurge_from = ['127.0.0.1']";
    let world = World::with("", site);
    let mut client = world.client();
    let mut origin = None;
    for path in ["/a?b", "/%61?b", "/c"] {
        fill(&world, &mut client, &mut origin, path, FRESH);
    }
    let purge = |client: &mut Client, fields: &str| -> Value {
        client.send(format!(
            "PURGE /%61?b HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n"
        ));
        let answer = client.answer();
        assert_eq!(answer.head.status(), 200, "{answer:?}");
        serde_json::from_str(&answer.body).unwrap()
    };
    let told = purge(&mut client, "");
    assert_eq!(told["durable"], true, "it was waited for: {told}");
    let filters = told["filters"].to_string();
    assert!(
        filters.contains("\"http://a.example/%61?b\"")
            && filters.contains("\"https://a.example/a?b\"")
    );
    let mut origin = origin.unwrap();
    for path in ["/a?b", "/%61?b"] {
        is_fetched(&mut client, &mut origin, path, FRESH);
    }
    is_kept(&mut client, "/c");
    is_kept(&mut client, "/a?b");
    assert_eq!(purge(&mut client, "Soft-Purge: 1\r\n")["soft"], true);
    client.get("/a?b");
    origin.head();
    origin.send("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
    assert!(client.answer().cache_status().contains("stale-if-error"));
    assert!(world.origin.is_untouched());
}

/// Purges are counted, and what they took gives its memory back while what lives stays.
#[test]
fn the_memory_of_what_was_purged_comes_back() {
    let world = World::new();
    let mut client = world.client();
    let mut origin = None;
    for number in 0..40 {
        let fields = match number % 2 {
            0 => format!("{FRESH}Cache-Tag: even\r\n"),
            _ => FRESH.to_owned(),
        };
        fill(
            &world,
            &mut client,
            &mut origin,
            &format!("/{number}"),
            &fields,
        );
    }
    order(&world, "tag=even");
    eventually("the room is given back", || {
        (world.operator("GET", "/cache").1["memory"]["urls"] == 20).then_some(())
    });
    assert_eq!(world.metric("mangrove_cache_swept_urls_total"), 20);
    eventually("nothing is older than the purge but what lives", || {
        (world.metric("mangrove_cache_purge_entries") == 1).then_some(())
    });
    is_kept(&mut client, "/1");
    order(&world, "all");
    eventually("all of it is forgotten", || {
        (world.metric("mangrove_cache_purge_entries") == 0).then_some(())
    });
    let (_, numbers) = world.operator("GET", "/cache");
    assert_eq!(numbers["memory"]["urls"], 0);
}

/// More filters than are remembered: the older ones count for all of their site, and it is said.
#[test]
fn one_filter_too_many_purges_more_and_says_so() {
    let world = World::new();
    let mut client = world.client();
    let mut origin = None;
    fill(&world, &mut client, &mut origin, "/untagged", FRESH);
    let tags = |from: u32, until: u32| -> String {
        let tags: Vec<String> = (from..until).map(|n| format!("tag={n}")).collect();
        tags.join("&")
    };
    // While something older than all of them lives, none is forgotten.
    for order_of in 0..256 {
        let told = order(&world, &tags(order_of * 256, (order_of + 1) * 256));
        assert_eq!(told["folded"], json!([]));
    }
    assert_eq!(world.metric("mangrove_cache_purge_entries"), 65_536);
    assert!(world.metric("mangrove_cache_purge_bytes") <= 5 << 20);
    is_kept(&mut client, "/untagged");
    let mut other = world.client_from(IpAddr::V6(Ipv6Addr::LOCALHOST));
    other.get("/untagged");
    assert_eq!(other.answer().body, "old");

    let told = order(&world, "tag=one-more");
    assert_eq!(
        told["folded"],
        json!([{ "site": "story", "entries": 32_768 }])
    );
    assert_eq!(world.metric("mangrove_cache_purges_folded_total"), 32_768);
    is_fetched(&mut client, &mut origin.unwrap(), "/untagged", FRESH);
    is_kept(&mut client, "/untagged");
    // What they are about may lie on the disk a moment longer; each purge looks anew for what is left of it.
    eventually("only the last one is about what lives", || {
        order(&world, "tag=last");
        (world.metric("mangrove_cache_purge_entries") <= 1).then_some(())
    });
}
