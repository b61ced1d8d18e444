//! What an operator is told of the cache, and what a purge leaves: nothing that was kept, or asked for, before it.

use serde_json::{Value, json};

use crate::origin::{FRESH, Visit, send};
use crate::world::{Client, World, eventually};

/// Both ways to purge what is kept of `/`.
const PURGES: [&str; 2] = [
    "/purge?site=story&url=http://a.example/",
    "/purge?site=story&all",
];

/// How many answers a purge says it took: of a site nobody counts them.
fn counted(purge: &str, variants: u64) -> Value {
    match purge.contains("url=") {
        true => variants.into(),
        false => Value::Null,
    }
}

/// Asks, and the origin gives what may be kept.
fn fill(world: &World, client: &mut Client, path: &str, fields: &str, body: &str) -> Visit {
    client.get(path);
    let mut origin = world.origin.accept();
    origin.head();
    send(&mut origin, fields, body);
    assert_eq!(client.answer().body, body);
    origin
}

fn show(world: &World, url: &str) -> Value {
    let (status, told) = world.operator("GET", &format!("/cache/show?url={url}"));
    assert_eq!(status, 200, "{told}");
    told
}

/// What is kept, once the fill has ended: that happens just after the visitor has the last byte.
fn kept(world: &World, url: &str) -> Value {
    eventually(url, || {
        Some(show(world, url)).filter(|told| told["kept"] != json!([]))
    })
}

#[test]
fn a_miss_then_a_hit_and_the_operator_is_told_why() {
    let world = World::new();
    let mut client = world.client();
    let told = show(&world, "http://a.example/a?b=c");
    assert_eq!(
        (&told["site"], &told["kept"]),
        (&json!("story"), &json!([]))
    );
    assert_eq!(told["plain_get"]["reason"], "miss");

    client.get("/a?b=c");
    let mut origin = world.origin.accept();
    origin.head();
    let told = show(&world, "http://a.example/a?b=c");
    assert_eq!(told["fills"][0]["answered"], false);
    send(
        &mut origin,
        &format!("{FRESH}ETag: \"x\"\r\nVary: Accept-Encoding\r\n"),
        "news",
    );
    let first = client.answer();
    assert!(first.cache_status().contains("fwd=uri-miss"), "{first:?}");

    let told = kept(&world, "http://a.example/a?b=c");
    let variant = &told["kept"][0];
    assert_eq!(variant["url"], "http://a.example/a?b=c");
    assert_eq!(
        (&variant["status"], &variant["bytes"]),
        (&json!(200), &json!(4))
    );
    assert_eq!(variant["lifetime"]["seconds"], 60);
    assert_eq!(variant["lifetime"]["source"], "RFC 9111 section 5.2.2.1");
    assert_eq!(variant["varies_on"], json!(["accept-encoding"]));
    assert_eq!(variant["for_requests"][0]["name"], "accept-encoding");
    assert_eq!(variant["etag"], "\"x\"");
    assert_eq!(variant["now"]["action"], "serve");
    assert_eq!(told["plain_get"]["reason"], "fresh");

    client.get("/a?b=c");
    let second = client.answer();
    assert!(second.cache_status().contains("; hit; ttl="), "{second:?}");
    assert!(second.head.field("age").is_some());

    let (_, list) = world.operator("GET", "/cache/list?site=story");
    assert_eq!(list["kept"][0]["url"], "http://a.example/a?b=c");
    assert_eq!(list["kept"][0]["bytes"], 4);
    assert_eq!(list["next"], Value::Null);
    let (_, numbers) = world.operator("GET", "/cache");
    assert_eq!(numbers["memory"]["urls"], 1);
    eventually("both are counted", || {
        let (_, numbers) = world.operator("GET", "/cache");
        let requests = &numbers["requests"];
        (requests["hit"] == 1 && requests["miss"] == 1).then_some(())
    });
    assert_eq!(numbers["fronts"]["silent_cores"], 0);
    assert!(numbers["memory"]["held_bytes"].as_u64() > Some(4));
    assert!(world.origin.is_untouched());
}

#[test]
fn what_was_purged_is_asked_for_anew() {
    for purge in PURGES {
        let world = World::new();
        let mut client = world.client();
        let mut origin = fill(&world, &mut client, "/", FRESH, "old");
        kept(&world, "http://a.example/");
        let (status_of, told) = world.operator("POST", purge);
        assert_eq!(
            (status_of, &told["variants"]),
            (200, &counted(purge, 1)),
            "{told}"
        );
        assert_eq!(show(&world, "http://a.example/")["kept"], json!([]));
        assert_eq!(world.operator("GET", "/cache/list").1["kept"], json!([]));
        client.get("/");
        origin.head();
        send(&mut origin, FRESH, "new");
        let answer = client.answer();
        assert_eq!(answer.body, "new");
        assert!(answer.cache_status().contains("fwd=uri-miss"), "{answer:?}");
        // Once more, and there is nothing: it tells so.
        world.operator("POST", purge);
        assert_eq!(
            world.operator("POST", purge).1["variants"],
            counted(purge, 0)
        );
    }
}

/// Those who follow already get the bytes they were promised; whoever comes after the purge asks anew.
#[test]
fn a_purge_during_a_fetch_keeps_none_of_it() {
    for purge in PURGES {
        let world = World::new();
        let mut first = world.client();
        first.get("/");
        let mut old = world.origin.accept();
        old.head();
        let mut follower = world.client();
        follower.get("/");
        eventually("waits", || {
            (world.metric("mangrove_cache_followers") == 1).then_some(())
        });
        old.send(format!(
            "HTTP/1.1 200 OK\r\n{FRESH}Content-Length: 8\r\n\r\nold "
        ));
        for client in [&mut first, &mut follower] {
            client.head();
            assert_eq!(client.take_text(4), "old ");
        }
        assert_eq!(world.operator("POST", purge).0, 200);

        let mut newcomer = world.client();
        newcomer.get("/");
        let mut new = world.origin.accept();
        new.head();
        old.send("news");
        for client in [&mut first, &mut follower] {
            assert_eq!(client.take_text(4), "news");
        }
        // The old one has ended, in whichever way; the new one is still open: nothing is kept.
        eventually("the old fetch ends", || {
            (world.metric("mangrove_cache_fills") == 1).then_some(())
        });
        assert_eq!(
            show(&world, "http://a.example/")["kept"],
            json!([]),
            "{purge}"
        );
        send(&mut new, FRESH, "new");
        assert_eq!(newcomer.answer().body, "new");
        kept(&world, "http://a.example/");
        first.get("/");
        let answer = first.answer();
        assert_eq!(answer.body, "new");
        assert!(answer.is_hit(), "{answer:?}");
    }
}

/// The origin says of what was kept then that it is good; nobody has asked it about what is wanted now.
#[test]
fn a_revalidation_begun_before_a_purge_refreshes_nothing() {
    for purge in PURGES {
        let world = World::new();
        let mut client = world.client();
        let stale = "Cache-Control: max-age=0\r\nETag: \"x\"\r\n";
        let mut origin = fill(&world, &mut client, "/", stale, "old");
        kept(&world, "http://a.example/");
        client.get("/");
        assert_eq!(origin.head().field("if-none-match"), Some("\"x\""));
        assert_eq!(
            world.operator("POST", purge).1["variants"],
            counted(purge, 1)
        );
        origin.send(format!(
            "HTTP/1.1 304 Not Modified\r\n{FRESH}ETag: \"x\"\r\n\r\n"
        ));
        assert_eq!(client.answer().body, "old"); // it was asked for before
        assert_eq!(show(&world, "http://a.example/")["kept"], json!([]));
        client.get("/");
        assert_eq!(origin.head().field("if-none-match"), None);
        send(&mut origin, FRESH, "new");
        assert_eq!(client.answer().body, "new");
    }
}

#[test]
fn a_path_kept_as_it_came_is_found_and_purged_as_it_was_written() {
    let world = World::with("", "path = 'as-received'");
    let mut client = world.client();
    fill(&world, &mut client, "/%7Ea", FRESH, "raw");
    let url = "http://a.example/%257Ea";
    let told = kept(&world, url);
    assert_eq!(told["kept"][0]["url"], "http://a.example/%7Ea");
    assert_eq!(told["plain_get"]["reason"], "fresh");
    let (_, purged) = world.operator("POST", &format!("/purge?site=story&url={url}"));
    assert_eq!(purged["variants"], 1);
    assert_eq!(show(&world, url)["kept"], json!([]));
}

#[test]
fn what_is_kept_under_the_other_scheme_is_pointed_at() {
    let world = World::new();
    let mut client = world.client();
    fill(&world, &mut client, "/", FRESH, "news");
    kept(&world, "http://a.example/");
    let told = show(&world, "https://a.example/");
    assert_eq!(
        (&told["kept"], &told["elsewhere"]),
        (&json!([]), &json!("http://a.example/"))
    );
    let (_, purged) = world.operator("POST", "/purge?site=story&url=https://a.example/");
    assert_eq!(purged["elsewhere"], "http://a.example/");
}

/// Empty is never everything, and what is not understood is not guessed.
#[test]
fn an_order_that_is_not_clear_purges_nothing() {
    let world = World::with(
        "",
        "hosts = ['a.example']\n[[site]]\nname = 'shop'\nhosts = ['shop.example']\norigins = ['http://127.0.0.1:1']",
    );
    let mut client = world.client();
    fill(&world, &mut client, "/", FRESH, "kept");
    kept(&world, "http://a.example/");
    for (target, status, says) in [
        ("/purge", 400, "site=NAME"),
        ("/purge?site=story", 400, "one of url=URL"),
        ("/purge?site=story&url=", 400, "url is empty"),
        ("/purge?site=story&url=/", 400, "https://news.example/a"),
        ("/purge?site=story&all=false", 400, "takes no value"),
        ("/purge?site=story&all&url=http://a.example/", 400, "one of"),
        ("/purge?site=&all", 400, "site is empty"),
        ("/purge?all", 400, "site=NAME"),
        ("/purge?site=stroy&all", 404, "there are: story, shop"),
        (
            "/purge?site=story&url=http://b.example/",
            404,
            "no site has the host b.example",
        ),
        (
            "/purge?site=story&url=http://a.example/?b&c",
            400,
            "write & as %26",
        ),
    ] {
        let (told, reply) = world.operator("POST", target);
        assert_eq!(told, status, "{target}: {reply}");
        let error = reply["error"].as_str().unwrap();
        assert!(error.contains(says), "{target}: {error}");
    }
    assert_eq!(
        world.operator("GET", PURGES[0]).0,
        404,
        "looking never purges"
    );
    for (target, status) in [
        ("/cache/show", 400),
        ("/cache/show?url=http://b.example/", 404),
        ("/cache/show?url=http://a.example/&site=b", 404),
        ("/cache/list?site=b", 404),
        ("/cache/list?from=x", 400),
        ("/cache/list?from=-1", 400),
    ] {
        assert_eq!(world.operator("GET", target).0, status, "{target}");
    }
    client.get("/");
    assert_eq!(client.answer().body, "kept");
}

#[test]
fn an_order_one_byte_too_long_is_refused() {
    let world = World::new();
    let target = |bytes: usize| {
        let start = "/cache/show?url=http://a.example/";
        format!("{start}{}", "x".repeat(bytes - start.len()))
    };
    let most = 3 * 66 * 1024 + 1024;
    let (status, told) = world.operator("GET", &target(most));
    assert_eq!(
        (status, told["error"].as_str().unwrap().contains("66 KiB")),
        (414, true)
    );
    let (status, told) = world.operator("GET", &target(most + 1));
    assert_eq!(status, 414);
    assert!(
        !told["error"].as_str().unwrap().contains("66 KiB"),
        "{told}"
    );
}

/// Keys are made of what the site's settings say; whoever looks and purges goes by the same.
#[test]
fn a_url_is_looked_up_and_purged_under_the_sites_own_rules() {
    let world = World::with("", "[site.cache]\nquery_ignore = ['utm_*']");
    let mut client = world.client();
    fill(&world, &mut client, "/?utm_source=a&b", FRESH, "news");
    let told = kept(&world, "http://a.example/?b");
    assert_eq!(told["kept"][0]["url"], "http://a.example/?b");
    let purge = "/purge?site=story&url=http://a.example/?utm_medium=c%26b";
    assert_eq!(world.operator("POST", purge).1["variants"], 1);

    let world = World::with("", "[site.cache]\nenabled = false");
    let mut client = world.client();
    fill(&world, &mut client, "/", FRESH, "news");
    let told = show(&world, "http://a.example/");
    assert_eq!(told["cached"], false);
    assert_eq!(told["plain_get"]["reason"], "cache-off");
}

/// More than one page of them: each URL is on exactly one.
#[test]
fn a_long_list_is_told_page_by_page() {
    const URLS: usize = 600;
    let world = World::new();
    let mut client = world.client();
    let mut origin = fill(&world, &mut client, "/0", FRESH, "x");
    for number in 1..URLS {
        client.get(&format!("/{number}"));
        origin.head();
        send(&mut origin, FRESH, "x");
        client.answer();
    }
    eventually("all are kept", || {
        (world.operator("GET", "/cache").1["memory"]["urls"] == URLS).then_some(())
    });
    let (mut urls, mut pages, mut next) = (Vec::new(), 0, json!(0));
    while let Some(from) = next.as_u64() {
        let (_, page) = world.operator("GET", &format!("/cache/list?from={from}"));
        let rows = page["kept"].as_array().unwrap();
        urls.extend(
            rows.iter()
                .map(|row| row["url"].as_str().unwrap().to_owned()),
        );
        pages += 1;
        next = page["next"].clone();
    }
    urls.sort();
    urls.dedup();
    assert_eq!(urls.len(), URLS);
    assert!(pages >= 3, "{pages}");
    world.operator("POST", "/purge?site=story&all");
    let (_, list) = world.operator("GET", "/cache/list");
    assert_eq!((&list["kept"], &list["next"]), (&json!([]), &Value::Null));
    eventually("the room is given back", || {
        (world.operator("GET", "/cache").1["memory"]["urls"] == 0).then_some(())
    });
    assert_eq!(world.metric("mangrove_cache_swept_urls_total"), URLS as u64);
}
