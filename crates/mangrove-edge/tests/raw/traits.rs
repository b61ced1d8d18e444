//! What requests have in common, whatever addresses they come from: by how their client opens HTTP/2, and by what they say.

use mangrove_edge::reason::EdgeReason;
use mangrove_http::Refusal;
use serde_json::Value;

use crate::frames::{Http2, Outcome, get};
use crate::world::World;

const ORDER: &str = "http.request.header_order";
const FINGERPRINT: &str = "http2.client.fingerprint";

/// The log's line about a GET with these lines behind its Host.
fn asked(world: &World, target: &str, lines: &str) -> Value {
    let mut client = world.client();
    client.send(format!(
        "GET {target} HTTP/1.1\r\nHost: a.example\r\n{lines}\r\n"
    ));
    world.origin.accept().answer("fine");
    world.record_of(&client.answer())
}

/// The log's lines about what a real client said, captured by `mangrove-shield/tests/openings/capture.py`, in the order of their paths.
fn of_client(world: &World, client: &str, requests: usize) -> Vec<Value> {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../mangrove-shield/tests/openings"
    );
    let before = world.records().len();
    let mut wire = world.client();
    wire.send(std::fs::read(format!("{folder}/{client}.bin")).unwrap());
    for _ in 0..requests {
        world.origin.accept().answer("fine");
    }
    world.records_of(before + requests);
    let mut records = world.records().split_off(before);
    records.sort_by_key(|record| record["url.path"].to_string());
    records
}

#[test]
fn two_requests_of_one_client_have_in_common_what_another_has_not() {
    let world = World::new();
    let browser = "User-Agent: b\r\nAccept: c\r\n";
    let first = asked(&world, "/news/4711/photo.jpg?width=64&w=640", browser);
    let again = asked(
        &world,
        "/",
        "User-Agent: b\r\nCookie: d\r\nReferer: /\r\nAccept: e\r\n",
    );
    let other = asked(&world, "/", "Accept: c\r\nUser-Agent: b\r\n");
    let silent = asked(&world, "/", "");
    assert_eq!(first[ORDER].as_str().unwrap().len(), 16);
    assert_eq!(first[ORDER], again[ORDER]);
    assert_ne!(first[ORDER], other[ORDER]);
    assert_eq!(first["user_agent.hash"].as_str().unwrap().len(), 16);
    assert_eq!(first["user_agent.hash"], other["user_agent.hash"]);
    assert_eq!(silent.get("user_agent.hash"), None);
    assert_eq!(first["url.path.shape"], "/w/n/w.jpg");
    assert_eq!(first["url.query.parameters"], 2);
    assert_eq!(first["url.query.entropy"], 1);
    assert_eq!(again["url.path.shape"], "/");
    assert_eq!(again.get("url.query.parameters"), None);
    assert_eq!(again.get(FINGERPRINT), None);
    let row = |path: &str, query: &str| {
        let labels = format!("path=\"{path}\",query_entropy=\"{query}\"");
        world.metric_if_any(&format!("mangrove_request_shapes_total{{{labels}}}"))
    };
    assert_eq!(
        (row("root", "none"), row("number", "1")),
        (Some(3), Some(1))
    );
    assert_eq!(row("word", "none"), None);
}

/// Which fields would have come is not known.
#[test]
fn a_head_that_was_refused_half_read_has_no_traits() {
    let world = World::new();
    let mut client = world.client();
    client.send("GET /a HTTP/1.1\r\nHost: a.example\r\nX : y\r\nAccept: c\r\n\r\n");
    let record = world.record_of(&client.answer());
    assert_eq!(record["reason"], Refusal::SpaceBeforeColon.name());
    for member in [ORDER, "user_agent.hash", "url.path.shape"] {
        assert_eq!(record.get(member), None, "{member}");
    }
}

/// A whole one that belongs to nobody has them: scanners ask for any host.
#[test]
fn a_request_for_no_site_of_ours_has_traits() {
    let world = World::with("", "hosts = ['b.example']");
    let mut client = world.client();
    client.get("/.env");
    let record = world.record_of(&client.answer());
    assert_eq!(record["reason"], EdgeReason::UnknownHost.name());
    assert_eq!(record["url.path.shape"], "/.env");
}

#[test]
fn how_a_client_opens_http2_is_told_of_each_of_its_requests() {
    let world = World::new();
    let mut client = Http2::connect(&world);
    client.opens_window(0, 1_000_000);
    for path in ["/one", "/two"] {
        let stream = client.ask(&get(path));
        world.origin.accept().answer("fine");
        assert_eq!(client.outcome(stream), Outcome::Status(200));
    }
    // Later settings and windows are no beginning.
    client.begins_with_window(100_000);
    client.opens_window(0, 7);
    let refused = client.ask(&[(":method", "GET"), (":scheme", "http")]);
    assert_eq!(client.outcome(refused), Outcome::Reset(1));
    world.records_of(3);
    let records = world.records();
    for record in &records {
        assert_eq!(record[FINGERPRINT], "1:0|1000000|0|m,s,a,p");
    }
    assert_eq!(records[0][ORDER], records[1][ORDER]);
    assert_eq!(records[2].get(ORDER), None); // it was no request
}

#[test]
fn real_clients_are_told_apart_and_known_again() {
    let world = World::new();
    let told = ["chromium-h2", "curl-h2"].map(|client| {
        let requests = if client == "curl-h2" { 1 } else { 2 };
        let visits = ["first", "second"]
            .map(|visit| of_client(&world, &format!("{client}-{visit}"), requests));
        let [first, second] = &visits;
        let page = &first[0];
        assert_eq!(page["url.path"], "/");
        let again = second
            .iter()
            .find(|record| record["url.path"] == "/news/4711");
        let again = again.unwrap();
        for member in [ORDER, FINGERPRINT, "user_agent.hash"] {
            assert_eq!(page[member], again[member], "{client}");
        }
        // Whatever it asks for, it came in one way.
        for record in visits.iter().flatten() {
            assert_eq!(record[FINGERPRINT], page[FINGERPRINT]);
            assert_eq!(record["user_agent.hash"], page["user_agent.hash"]);
        }
        page.clone()
    });
    let [chromium, curl] = told;
    assert_eq!(
        chromium[FINGERPRINT],
        "1:65536;2:0;4:6291456;6:262144|15663105|0|m,a,s,p"
    );
    assert_eq!(curl[FINGERPRINT], "3:100;4:33554432;2:0|33488897|0|m,p,s,a");
    for member in [ORDER, "user_agent.hash"] {
        assert_ne!(chromium[member], curl[member]);
    }
    // Another implementation of XXH3 has the same numbers for these names.
    assert_eq!(chromium[ORDER], "2f338159569e0ccd");
    assert_eq!(curl[ORDER], "abc9e1c621f341f8");
}
