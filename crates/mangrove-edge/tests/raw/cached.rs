//! One fetch for however many wait, and nobody gets what is another's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mangrove_http::OriginFault;

use crate::frames::{Http2, Outcome, get};
use crate::origin::{FRESH, Visit, send};
use crate::wire::Wire;
use crate::world::{Client, World, eventually};

/// So many visitors ask for `/` while the origin still thinks about the first one's question.
fn crowd(world: &World, size: usize) -> (Visit, Client, Vec<Client>) {
    let mut first = world.client();
    first.get("/");
    let mut origin = world.origin.accept();
    origin.head();
    let others = (0..size).map(|_| {
        let mut client = world.client();
        client.get("/");
        client
    });
    let others = others.collect();
    waiting(world, size);
    (origin, first, others)
}

fn waiting(world: &World, size: usize) {
    eventually("all wait", || {
        (world.metric("mangrove_cache_followers") == size as u64).then_some(())
    });
}

#[test]
fn the_first_asks_and_the_second_need_not() {
    let world = World::new();
    let mut client = world.client();
    client.get("/a?b=c");
    let mut origin = world.origin.accept();
    origin.head();
    send(&mut origin, FRESH, "news");
    let first = client.answer();
    assert_eq!(first.body, "news");
    assert_eq!(
        first.cache_status(),
        "mangrove; fwd=uri-miss; ttl=60; stored; detail=miss"
    );
    client.get("/a?b=c");
    let second = client.answer();
    assert_eq!(second.body, "news");
    assert!(
        second.cache_status().starts_with("mangrove; hit; ttl="),
        "{}",
        second.cache_status()
    );
    assert!(second.head.field("age").is_some());
    let record = world.record_of(&second);
    assert_eq!(
        (&record["cache.result"], &record["cache.reason"]),
        (&"hit".into(), &"fresh".into())
    );
    assert!(world.origin.is_untouched());
}

#[test]
fn what_a_core_has_asked_for_lately_it_does_not_ask_the_shared_memory_for() {
    let world = World::new();
    let mut client = world.client();
    client.get("/");
    let mut origin = world.origin.accept();
    origin.head();
    send(&mut origin, FRESH, "news");
    client.answer();
    for _ in 0..10 {
        client.get("/");
        client.answer();
    }
    eventually("all looks are counted", || {
        let hits = world.metric("mangrove_cache_front_hits_total");
        let misses = world.metric("mangrove_cache_front_misses_total");
        // The first one of all, the leader's second one before it asked, and the first to be answered from memory.
        (hits + misses >= 11 && misses <= 3).then_some(())
    });
}

#[test]
fn many_wait_and_one_asks_and_all_read_as_it_comes() {
    let world = World::new();
    let (mut origin, first, others) = crowd(&world, 40);
    origin.send(format!(
        "HTTP/1.1 200 OK\r\n{FRESH}Content-Length: 10\r\n\r\nfirst"
    ));
    let mut all: Vec<Client> = others.into_iter().chain([first]).collect();
    for client in &mut all {
        let head = client.head();
        assert_eq!(head.status(), 200);
        assert_eq!(client.take_text(5), "first"); // before the rest has left the origin
    }
    origin.send(" half");
    for client in &mut all {
        assert_eq!(client.take_text(5), " half");
    }
    assert!(world.origin.is_untouched());
    let collapsed = world
        .records()
        .iter()
        .filter(|record| record["cache.result"] == "miss")
        .count();
    assert!(collapsed <= 41);
}

#[test]
fn two_cores_and_two_protocols_share_one_fetch() {
    let world = World::over_two_cores();
    let mut first = world.client();
    first.get("/");
    let mut origin = world.origin.accept();
    origin.head();
    let mut beyond = world.client_from(IpAddr::V6(Ipv6Addr::LOCALHOST));
    beyond.get("/");
    let mut http2 = Http2::connect(&world);
    let stream = http2.ask(&get("/"));
    waiting(&world, 2);
    send(&mut origin, FRESH, "for all");
    assert_eq!(first.answer().body, "for all");
    assert_eq!(beyond.answer().body, "for all");
    assert_eq!(http2.outcome(stream), Outcome::Status(200));
    assert!(world.origin.is_untouched());
    // And the other core's front finds it afterwards.
    beyond.get("/");
    assert!(beyond.answer().is_hit());
}

#[test]
fn what_is_meant_for_one_reaches_no_other_and_nobody_waits_in_line() {
    for forbids in [
        "Cache-Control: private",
        "Cache-Control: no-store",
        "Set-Cookie: id=1",
        "Vary: *",
    ] {
        let world = World::new();
        let (mut origin, mut first, others) = crowd(&world, 5);
        origin.send(format!(
            "HTTP/1.1 200 OK\r\n{forbids}\r\nContent-Length: 5\r\n\r\nfirst"
        ));
        // All of them are on their way at once: nobody waits for another's answer.
        let mut visits: Vec<Visit> = (1..5).map(|_| world.origin.accept()).collect();
        assert_eq!(first.answer().body, "first");
        visits.push(origin);
        for (at, visit) in visits.iter_mut().enumerate() {
            visit.head();
            visit.send(format!(
                "HTTP/1.1 200 OK\r\n{forbids}\r\nContent-Length: 2\r\n\r\n#{at}"
            ));
        }
        let mut bodies: Vec<String> = others
            .into_iter()
            .map(|mut client| client.answer().body)
            .collect();
        bodies.sort();
        assert_eq!(bodies, ["#0", "#1", "#2", "#3", "#4"], "{forbids}");
    }
}

#[test]
fn a_key_whose_answers_were_of_no_use_is_remembered() {
    let world = World::new();
    let (mut origin, mut first, mut others) = crowd(&world, 1);
    let private = |body: &str| {
        format!("HTTP/1.1 200 OK\r\nCache-Control: private\r\nContent-Length: 1\r\n\r\n{body}")
    };
    origin.send(private("a"));
    assert_eq!(first.answer().body, "a");
    origin.head();
    origin.send(private("b"));
    assert_eq!(others[0].answer().body, "b");
    // Two more: both questions are on their way, and neither waits for the other.
    first.get("/");
    origin.head();
    others[0].get("/");
    let mut second = world.origin.accept();
    second.head();
    second.send(private("d"));
    assert_eq!(others[0].answer().body, "d");
    origin.send(private("c"));
    assert_eq!(first.answer().body, "c");
}

#[test]
fn those_who_wait_do_not_depend_on_the_visitor_who_asked_first() {
    let world = World::new();
    let (mut origin, first, mut others) = crowd(&world, 3);
    Wire::from(first).reset();
    // His question goes with him; one of the others asks for them all.
    let mut next = world.origin.accept();
    next.head();
    send(&mut next, FRESH, "still");
    for client in &mut others {
        assert_eq!(client.answer().body, "still");
    }
    assert!(!origin.try_send("x") || origin.rest().0.is_empty());
}

#[test]
fn one_who_leaves_while_it_arrives_takes_nothing_from_the_others() {
    let world = World::new();
    let (mut origin, first, mut others) = crowd(&world, 3);
    origin.send(format!(
        "HTTP/1.1 200 OK\r\n{FRESH}Content-Length: 10\r\n\r\nhello"
    ));
    assert_eq!(others[0].head().status(), 200);
    Wire::from(first).reset();
    origin.send("hello");
    assert_eq!(others[0].take_text(10), "hellohello");
    for client in &mut others[1..] {
        assert_eq!(client.answer().body, "hellohello");
    }
    others[0].get("/");
    assert!(others[0].answer().is_hit());
}

#[test]
fn an_answer_that_nobody_waits_for_any_more_is_finished_and_kept() {
    let world = World::new();
    let mut client = world.client();
    client.get("/");
    let mut origin = world.origin.accept();
    origin.head();
    origin.send(format!(
        "HTTP/1.1 200 OK\r\n{FRESH}Content-Length: 10\r\n\r\nhello"
    ));
    assert_eq!(client.head().status(), 200);
    Wire::from(client).reset();
    eventually("he is gone", || {
        (world.metric("mangrove_cache_followers") == 0).then_some(())
    });
    origin.send("world");
    let mut next = world.client();
    next.get("/");
    assert_eq!(next.answer().body, "helloworld");
    assert!(world.origin.is_untouched());
}

#[test]
fn a_failure_costs_those_who_wait_one_more_try_and_not_an_error() {
    let world = World::with("", "origin.retries = 0");
    let (origin, mut first, mut others) = crowd(&world, 4);
    drop(origin);
    assert_eq!(first.answer().head.status(), 502);
    let mut again = world.origin.accept();
    again.head();
    send(&mut again, FRESH, "better");
    for client in &mut others {
        assert_eq!(client.answer().body, "better");
    }
    assert!(world.origin.is_untouched());
}

#[test]
fn two_failures_are_told_to_all_who_wait() {
    let world = World::with("", "origin.retries = 0");
    let (origin, mut first, mut others) = crowd(&world, 4);
    drop(origin);
    assert_eq!(first.answer().head.status(), 502);
    let mut again = world.origin.accept();
    again.head();
    drop(again);
    for client in &mut others {
        let answer = client.answer();
        assert_eq!(answer.head.status(), 502);
        assert_eq!(answer.reason(), Some(OriginFault::Reset.name()));
    }
    assert!(world.origin.is_untouched());
}

#[test]
fn an_answer_that_breaks_off_is_cut_for_all_and_kept_for_none() {
    let world = World::new();
    let (mut origin, first, others) = crowd(&world, 3);
    origin.send(format!(
        "HTTP/1.1 200 OK\r\n{FRESH}Content-Length: 10\r\n\r\nhello"
    ));
    let mut all: Vec<Client> = others.into_iter().chain([first]).collect();
    for client in &mut all {
        client.head();
        assert_eq!(client.take_text(5), "hello");
    }
    drop(origin);
    for client in &mut all {
        assert_eq!(client.rest().0, ""); // cut, and seen to be cut: ten were promised
    }
    let mut next = world.client();
    next.get("/");
    let mut origin = world.origin.accept();
    origin.head();
    send(&mut origin, FRESH, "whole");
    assert_eq!(next.answer().body, "whole");
}

#[test]
fn those_who_want_another_variant_do_not_get_this_one() {
    let world = World::new();
    let ask = |language: &str| {
        format!("GET / HTTP/1.1\r\nHost: a.example\r\nX-Tongue: {language}\r\n\r\n")
    };
    let mut first = world.client();
    first.send(ask("en"));
    let mut origin = world.origin.accept();
    origin.head();
    let mut others: Vec<Client> = ["bn", "bn", "en"]
        .iter()
        .map(|language| {
            let mut client = world.client();
            client.send(ask(language));
            client
        })
        .collect();
    waiting(&world, 3);
    origin.send(format!(
        "HTTP/1.1 200 OK\r\n{FRESH}Vary: X-Tongue\r\nContent-Length: 2\r\n\r\nen"
    ));
    assert_eq!(first.answer().body, "en");
    assert_eq!(others[2].answer().body, "en");
    // Now that it is known what the answers vary on, the other two share one fetch.
    assert_eq!(origin.head().field("x-tongue"), Some("bn"));
    origin.send(format!(
        "HTTP/1.1 200 OK\r\n{FRESH}Vary: X-Tongue\r\nContent-Length: 2\r\n\r\nbn"
    ));
    assert_eq!(others[0].answer().body, "bn");
    assert_eq!(others[1].answer().body, "bn");
    assert!(world.origin.is_untouched());
}

#[test]
fn a_revalidation_is_shared_and_its_304_serves_all() {
    let world = World::new();
    let mut first = world.client();
    first.get("/");
    let mut origin = world.origin.accept();
    origin.head();
    origin.send(
        "HTTP/1.1 200 OK\r\nCache-Control: no-cache\r\nETag: \"1\"\r\nContent-Length: 3\r\n\r\nold",
    );
    assert_eq!(first.answer().body, "old");
    first.get("/");
    assert_eq!(origin.head().field("if-none-match"), Some("\"1\""));
    origin.send("HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=60\r\nETag: \"1\"\r\n\r\n");
    let confirmed = first.answer();
    assert_eq!(confirmed.body, "old");
    assert!(
        confirmed
            .cache_status()
            .starts_with("mangrove; fwd=stale; fwd-status=304"),
        "{}",
        confirmed.cache_status()
    );
    first.get("/");
    assert!(first.answer().is_hit());
    assert!(world.origin.is_untouched());
}

#[test]
fn a_reader_who_stops_does_not_hold_up_the_others() {
    let world = World::new();
    let mut slow = world.client_with_little_room();
    slow.get("/");
    let mut origin = world.origin.accept();
    origin.head();
    let mut quick = world.client_from(IpAddr::V4(Ipv4Addr::LOCALHOST));
    quick.get("/");
    waiting(&world, 1);
    let body = "0123456789abcdef".repeat(512 * 1024); // 8 MiB
    send(&mut origin, FRESH, &body);
    assert!(quick.answer().body == body);
    // What he has not taken yet is still there for him.
    assert!(slow.answer().body == body);
}

fn ask_bytes(client: &mut Client, range: &str) {
    client.send(format!(
        "GET / HTTP/1.1\r\nHost: a.example\r\nRange: bytes={range}\r\n\r\n"
    ));
}

fn send_part(origin: &mut Visit, range: &str, body: &str) {
    let length = body.len();
    origin.send(format!(
        "HTTP/1.1 206 Partial Content\r\n{FRESH}ETag: \"1\"\r\nContent-Range: bytes {range}\r\nContent-Length: {length}\r\n\r\n{body}"
    ));
}

#[test]
fn parts_are_kept_and_put_together_until_they_are_the_whole() {
    let world = World::new();
    let mut client = world.client();
    ask_bytes(&mut client, "0-3");
    let mut origin = world.origin.accept();
    assert_eq!(origin.head().field("range"), Some("bytes=0-3"));
    send_part(&mut origin, "0-3/10", "0123");
    let first = client.answer();
    assert_eq!((first.head.status(), &*first.body), (206, "0123"));
    assert_eq!(first.head.field("content-range"), Some("bytes 0-3/10"));
    // What is within is answered from what is kept.
    ask_bytes(&mut client, "1-2");
    let within = client.answer();
    assert_eq!((within.head.status(), &*within.body), (206, "12"));
    assert_eq!(within.head.field("content-range"), Some("bytes 1-2/10"));
    assert!(within.is_hit());
    // What is not is asked for, and joins the rest.
    ask_bytes(&mut client, "3-9");
    origin.head();
    send_part(&mut origin, "3-9/10", "3456789");
    assert_eq!(client.answer().body, "3456789");
    client.get("/");
    let whole = client.answer();
    assert_eq!((whole.head.status(), &*whole.body), (200, "0123456789"));
    assert_eq!(whole.head.field("content-range"), None);
    ask_bytes(&mut client, "0-1,8-9");
    let several = client.answer();
    assert_eq!(several.head.status(), 206);
    assert!(
        several.body.contains("bytes 8-9/10\r\n\r\n89\r\n--"),
        "{}",
        several.body
    );
    ask_bytes(&mut client, "10-");
    let beyond = client.answer();
    assert_eq!(beyond.head.status(), 416);
    assert_eq!(beyond.head.field("content-range"), Some("bytes */10"));
}

#[test]
fn parts_of_two_versions_are_never_put_together() {
    let world = World::new();
    let mut client = world.client();
    ask_bytes(&mut client, "0-4");
    let mut origin = world.origin.accept();
    origin.head();
    send_part(&mut origin, "0-4/10", "aaaaa");
    client.answer();
    ask_bytes(&mut client, "5-9");
    origin.head();
    origin.send("HTTP/1.1 206 Partial Content\r\nCache-Control: max-age=60\r\nETag: \"2\"\r\nContent-Range: bytes 5-9/10\r\nContent-Length: 5\r\n\r\nbbbbb");
    assert_eq!(client.answer().body, "bbbbb");
    client.get("/");
    origin.head();
    send(&mut origin, FRESH, "bbbbbbbbbb");
    assert_eq!(client.answer().body, "bbbbbbbbbb");
}

#[test]
fn a_part_that_ends_early_is_a_part_of_nothing() {
    let world = World::new();
    let mut client = world.client();
    ask_bytes(&mut client, "0-4");
    let mut origin = world.origin.accept();
    origin.head();
    origin.send("HTTP/1.1 206 Partial Content\r\nCache-Control: max-age=60\r\nETag: \"1\"\r\nContent-Range: bytes 0-4/10\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n");
    client.head();
    ask_bytes(&mut client, "0-1");
    assert_eq!(origin.head().field("range"), Some("bytes=0-1"));
}

#[test]
fn an_answer_to_post_that_names_its_own_url_answers_the_next_get() {
    let world = World::new();
    let mut client = world.client();
    client.send("POST /form HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nq=1");
    let mut origin = world.origin.accept();
    origin.head();
    assert_eq!(origin.take_text(3), "q=1");
    origin.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Location: /form\r\nContent-Length: 4\r\n\r\ndone");
    assert_eq!(client.answer().body, "done");
    client.get("/form");
    let answer = client.answer();
    assert_eq!(answer.body, "done");
    assert!(answer.is_hit());
}

#[test]
fn a_change_takes_out_what_it_changes() {
    let world = World::new();
    let mut client = world.client();
    for path in ["/a", "/b", "/c"] {
        client.get(path);
    }
    let mut origin = world.origin.accept();
    for _ in 0..3 {
        origin.head();
        send(&mut origin, FRESH, "old");
        assert_eq!(client.answer().body, "old");
    }
    client.send("POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n");
    origin.head();
    origin.send("HTTP/1.1 201 Created\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.answer().head.status(), 201);
    for path in ["/a", "/b"] {
        client.get(path);
        origin.head();
        send(&mut origin, FRESH, "new");
        assert_eq!(client.answer().body, "new");
    }
    client.get("/c");
    assert_eq!(client.answer().body, "old");
}

#[test]
fn a_change_is_not_undone_by_an_answer_that_was_on_its_way() {
    let world = World::new();
    let (mut slow, mut changer) = (world.client(), world.client());
    slow.get("/");
    let mut first = world.origin.accept();
    first.head();
    changer.send("DELETE / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let mut second = world.origin.accept();
    second.head();
    second.send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    assert_eq!(changer.answer().head.status(), 204);
    send(&mut first, FRESH, "from before");
    assert_eq!(slow.answer().body, "from before");
    changer.get("/");
    first.head();
    send(&mut first, FRESH, "from after");
    assert_eq!(changer.answer().body, "from after");
}

/// Asks in gzip until the answer comes so: it is made for those who come after the first who wanted it.
fn in_gzip(client: &mut Client) -> (crate::wire::Head, Vec<u8>) {
    eventually("a coded answer", || {
        client.send("GET / HTTP/1.1\r\nHost: a.example\r\nAccept-Encoding: gzip\r\n\r\n");
        let head = client.head();
        let body = client.take(head.field("content-length").unwrap().parse().unwrap());
        (head.field("content-encoding") == Some("gzip")).then_some((head, body))
    })
}

fn unpacked(body: &[u8]) -> String {
    let mut text = String::new();
    let mut decoder = flate2::read::GzDecoder::new(body);
    std::io::Read::read_to_string(&mut decoder, &mut text).unwrap();
    text
}

#[test]
fn what_is_kept_is_coded_for_those_who_take_it() {
    let world = World::new();
    let mut client = world.client();
    client.get("/");
    let mut origin = world.origin.accept();
    origin.head();
    let text = "all the news that fits\n".repeat(500);
    let length = text.len();
    origin.send(format!(
        "HTTP/1.1 200 OK\r\n{FRESH}Content-Type: text/plain\r\nETag: \"1\"\r\nContent-Length: {length}\r\n\r\n{text}"
    ));
    let first = client.answer();
    assert_eq!(first.head.field("vary"), Some("accept-encoding"));
    let (head, body) = in_gzip(&mut client);
    assert!(body.len() < length / 4, "{}", body.len());
    assert!(unpacked(&body) == text);
    assert_eq!(head.field("etag"), Some("W/\"1\""));
    assert_eq!(head.field("vary"), Some("accept-encoding"));
    assert!(head.field("cache-status").unwrap().contains("; hit;"));
    // Who does not take it gets it as it is, and so does who wants a part.
    client.get("/");
    let plain = client.answer();
    assert!(plain.body == text);
    assert_eq!(plain.head.field("etag"), Some("\"1\""));
    client.send(
        "GET / HTTP/1.1\r\nHost: a.example\r\nAccept-Encoding: gzip\r\nRange: bytes=0-2\r\n\r\n",
    );
    assert_eq!(client.answer().body, "all");
    // Either tag is known again.
    for tag in ["\"1\"", "W/\"1\""] {
        client.send(format!(
            "GET / HTTP/1.1\r\nHost: a.example\r\nAccept-Encoding: gzip\r\nIf-None-Match: {tag}\r\n\r\n"
        ));
        let unchanged = client.answer();
        assert_eq!(unchanged.head.status(), 304);
        assert_eq!(unchanged.head.field("etag"), Some("W/\"1\""));
    }
    assert!(world.origin.is_untouched());
}

#[test]
fn a_confirmed_answer_keeps_its_coded_forms() {
    let world = World::new();
    let mut client = world.client();
    client.get("/");
    let mut origin = world.origin.accept();
    origin.head();
    let text = "all the news that fits\n".repeat(500);
    let length = text.len();
    origin.send(format!(
        "HTTP/1.1 200 OK\r\n{FRESH}Content-Type: text/plain\r\nETag: \"1\"\r\nContent-Length: {length}\r\n\r\n{text}"
    ));
    client.answer();
    in_gzip(&mut client);
    client.send("GET / HTTP/1.1\r\nHost: a.example\r\nAccept-Encoding: gzip\r\nCache-Control: no-cache\r\n\r\n");
    assert_eq!(origin.head().field("if-none-match"), Some("\"1\""));
    origin.send("HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=60\r\nETag: \"1\"\r\nX-New: yes\r\n\r\n");
    let head = client.head();
    assert_eq!(head.field("content-encoding"), Some("gzip"));
    assert_eq!(head.field("x-new"), Some("yes"));
    let body = client.take(head.field("content-length").unwrap().parse().unwrap());
    assert!(unpacked(&body) == text);
}

#[test]
fn what_may_hold_a_secret_or_is_small_already_is_not_coded() {
    for fields in [
        "Content-Type: image/png\r\n",
        "Content-Type: text/plain\r\nCache-Control: no-transform\r\n",
        "Content-Type: text/plain\r\nContent-Encoding: br\r\n",
    ] {
        let world = World::new();
        let mut client = world.client();
        let ask = "GET / HTTP/1.1\r\nHost: a.example\r\nAccept-Encoding: gzip, br\r\n\r\n";
        client.send(ask);
        let mut origin = world.origin.accept();
        origin.head();
        let text = "all the news that fits\n".repeat(500);
        let length = text.len();
        origin.send(format!(
            "HTTP/1.1 200 OK\r\n{FRESH}{fields}Content-Length: {length}\r\n\r\n{text}"
        ));
        for _ in 0..3 {
            let answer = client.answer();
            assert!(answer.body == text, "{fields}");
            client.send(ask);
        }
    }
}

#[test]
fn an_origin_that_stops_is_stood_in_for_and_recovers_by_itself() {
    let world = World::with("", "origin.retries = 0");
    let mut client = world.client();
    let mut origin = {
        client.get("/fresh");
        let mut origin = world.origin.accept();
        origin.head();
        send(&mut origin, FRESH, "fresh");
        client.answer();
        client.get("/stale");
        origin.head();
        origin.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=1, stale-if-error=600\r\nAge: 1\r\nETag: \"1\"\r\nContent-Length: 5\r\n\r\nstale");
        client.answer();
        client.get("/strict");
        origin.head();
        origin.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=1, must-revalidate\r\nAge: 1\r\nETag: \"1\"\r\nContent-Length: 6\r\n\r\nstrict");
        client.answer();
        origin
    };
    // It hangs up on every question from now on.
    client.get("/stale");
    origin.head();
    drop(origin);
    drop(world.origin.accept()); // a kept connection that is closed is no failure yet
    let stale = client.answer();
    assert_eq!((stale.head.status(), &*stale.body), (200, "stale"));
    assert!(
        stale.cache_status().contains("detail=stale-if-error"),
        "{}",
        stale.cache_status()
    );
    client.get("/fresh");
    assert_eq!(client.answer().body, "fresh");
    client.get("/strict");
    drop(world.origin.accept());
    let strict = client.answer();
    assert_eq!(strict.head.status(), 502, "{}", strict.cache_status());
    client.get("/new");
    drop(world.origin.accept());
    assert_eq!(client.answer().head.status(), 502);
    // And answers again.
    client.get("/stale");
    origin = world.origin.accept();
    origin.head();
    origin.send("HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=60\r\nETag: \"1\"\r\n\r\n");
    let back = client.answer();
    assert_eq!(back.body, "stale");
    assert!(back.cache_status().contains("fwd-status=304"));
    client.get("/stale");
    assert!(client.answer().is_hit());
}

/// A visitor who spells a path otherwise would get past a rule that keeps it out, and what the origin says to them would be
/// kept for everyone (web cache deception).
#[test]
fn a_rule_about_a_path_holds_however_it_is_spelled() {
    let settings = "[site.cache]\nbypass.paths = ['/account/*']\n\
        lifetime = [{ path = '/assets/*', ttl = '5s', override = true }]";
    let world = World::with("", settings);
    let mut client = world.client();
    let mut ask = |path: &str, body: &str| {
        client.get(path);
        let mut origin = world.origin.accept();
        assert!(
            origin.head().first_line().contains(path),
            "the origin sees it as it came"
        );
        send(&mut origin, FRESH, body);
        client.answer().cache_status().to_owned()
    };
    for path in [
        "/account/me",
        "/%61ccount/me",
        "/x/../account/me",
        "/x/%2e%2e/account/me",
    ] {
        assert_eq!(
            ask(path, "mine"),
            "mangrove; fwd=bypass; detail=bypass-path",
            "{path}"
        );
    }
    let kept = ask("/%61ssets/a.css", "style");
    assert!(kept.contains("ttl=5; stored"), "{kept}");
    let (_, told) = world.operator("GET", "/cache/show?url=http://a.example/%2561ccount/me");
    assert_eq!(told["plain_get"]["reason"], "bypass-path", "{told}");
}

#[test]
fn what_was_served_stale_is_brought_up_to_date_behind_the_visitor() {
    let world = World::new();
    let mut client = world.client();
    client.get("/");
    let mut origin = world.origin.accept();
    origin.head();
    origin.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=1, stale-while-revalidate=600\r\nAge: 1\r\nContent-Length: 3\r\n\r\nold");
    client.answer();
    client.get("/");
    let stale = client.answer();
    assert_eq!(stale.body, "old");
    assert!(
        stale
            .cache_status()
            .contains("detail=stale-while-revalidate")
    );
    // Asked once, however many got the old one meanwhile; and how long the new one is, it does not say.
    client.get("/");
    assert_eq!(client.answer().body, "old");
    origin.head();
    origin.send(format!(
        "HTTP/1.1 200 OK\r\n{FRESH}Transfer-Encoding: chunked\r\n\r\n3\r\nnew\r\n"
    ));
    client.get("/");
    assert_eq!(client.answer().body, "old");
    origin.send("0\r\n\r\n");
    eventually("the new one", || {
        client.get("/");
        (client.answer().body == "new").then_some(())
    });
    assert!(world.origin.is_untouched());
}

#[test]
fn an_answer_of_unknown_length_is_finished_too_when_its_reader_has_gone() {
    let world = World::new();
    let mut client = world.client();
    client.get("/");
    let mut origin = world.origin.accept();
    origin.head();
    origin.send(format!(
        "HTTP/1.1 200 OK\r\n{FRESH}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
    ));
    client.head();
    Wire::from(client).reset();
    eventually("he is gone", || {
        (world.metric("mangrove_cache_followers") == 0).then_some(())
    });
    origin.send("3\r\ndef\r\n0\r\n\r\n");
    let mut next = world.client();
    next.get("/");
    assert_eq!(next.answer().body, "abcdef");
    assert!(world.origin.is_untouched());
}
