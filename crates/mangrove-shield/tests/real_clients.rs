//! What clients on one machine said first, captured by `tests/openings/capture.py` between them and an edge: curl 7.88 and Chromium
//! 156, each over HTTP/2 and HTTP/1, each twice: for two pages, with other cookies.
//!
//! Chromium's text is the one that others have published for it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test program: what is not as expected should stop it"
)]

use mangrove_http::{HeadLimits, RequestHead};
use mangrove_shield::opening::Opening;
use mangrove_shield::traits::{Shape, Traits};

const VISITS: [&str; 2] = ["first", "second"];

fn said(client: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/openings");
    std::fs::read(format!("{folder}/{client}.bin")).unwrap()
}

/// All its requests over HTTP/1.
fn asked(client: &str) -> Vec<(Traits, Shape)> {
    let mut head = RequestHead::new();
    head.octets_mut().extend(said(client));
    let mut all = Vec::new();
    while let Ok(Some(length)) = head.parse_h1(&HeadLimits::default()) {
        assert!(head.is_whole());
        all.push((Traits::of(&head, None), Shape::of(&head)));
        head.start_next(length);
    }
    assert!(head.octets().is_empty() && !all.is_empty());
    all
}

#[test]
fn software_opens_http2_in_its_own_way_each_time() {
    for (client, text) in [
        (
            "chromium-h2",
            "1:65536;2:0;4:6291456;6:262144|15663105|0|m,a,s,p",
        ),
        ("curl-h2", "3:100;4:33554432;2:0|33488897|0|m,p,s,a"),
    ] {
        for visit in VISITS {
            let mut opening = Opening::default();
            assert!(opening.read(&said(&format!("{client}-{visit}"))));
            assert_eq!(opening.to_string(), text, "{client}, {visit}");
        }
    }
}

#[test]
fn software_writes_its_fields_in_its_own_order_whatever_it_asks_for() {
    let orders = ["chromium-h1", "curl-h1"].map(|client| {
        let visits = VISITS.map(|visit| asked(&format!("{client}-{visit}")));
        let mut requests = visits.iter().flatten().map(|(traits, _)| traits);
        let first = requests.next().unwrap();
        for request in requests {
            assert_eq!(request.header_order, first.header_order, "{client}");
            assert_eq!(request.user_agent, first.user_agent, "{client}");
        }
        first.header_order
    });
    let [chromium, curl] = orders;
    assert_ne!(chromium, curl);
}

#[test]
fn what_it_asks_for_is_told_by_its_shape() {
    let [first, second] = VISITS.map(|visit| asked(&format!("chromium-h1-{visit}")));
    let shapes = |requests: &[(Traits, Shape)]| -> Vec<String> {
        let shape = |(_, shape): &(Traits, Shape)| shape.path.as_str().to_owned();
        requests.iter().map(shape).collect()
    };
    assert_eq!(shapes(&first), ["/", "/w/w.png"]);
    assert_eq!(shapes(&second), ["/w/n", "/w/w.png"]);
    assert_eq!(first[0].1.query, None);
    let query = second[0].1.query.unwrap();
    assert_eq!((query.parameters, query.entropy), (1, 0));
}
