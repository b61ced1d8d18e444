//! What requests have in common, and what they do not.

use mangrove_http::HeadLimits;
use proptest::prelude::*;

use super::*;

fn of(text: &str) -> Traits {
    let mut head = RequestHead::new();
    head.octets_mut().extend_from_slice(text.as_bytes());
    let limits = HeadLimits::default();
    assert!(matches!(head.parse_h1(&limits), Ok(Some(_))), "{text}");
    Traits::of(&head, None)
}

/// GET / with these lines behind Host.
fn with(lines: &str) -> Traits {
    of(&format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"))
}

/// A request over HTTP/2 with fields of these names.
fn over_http2(order: &str, names: &[&str]) -> Traits {
    let mut head = RequestHead::new();
    head.begin_h2();
    for name in names {
        head.push_field(name.as_bytes(), b"1");
    }
    let letters = order.bytes().map(|letter| match letter {
        b'm' => 0x82,
        b'a' => 0x81,
        b's' => 0x87,
        _ => 0x84,
    });
    let block: Vec<u8> = letters.collect();
    let mut opening = crate::opening::Opening::default();
    opening.read(&[0; 24]);
    let length = u8::try_from(block.len()).unwrap();
    opening.read(&[0, 0, length, 1, 4, 0, 0, 0, 1]);
    assert!(opening.read(&block));
    Traits::of(&head, Some(opening.order()))
}

fn path(path: &str) -> String {
    PathShape::of(path.as_bytes()).as_str().to_owned()
}

fn kind(path: &str) -> &'static str {
    PathShape::of(path.as_bytes()).kind().name()
}

fn query(query: &str) -> (u8, u8) {
    let shape = QueryShape::of(query.as_bytes());
    (shape.parameters, shape.entropy)
}

#[test]
fn order_and_spelling_tell_and_values_do_not() {
    let one = with("User-Agent: b\r\nAccept: c\r\n").header_order;
    assert_eq!(with("User-Agent: \r\nAccept: d, e\r\n").header_order, one);
    for other in [
        "Accept: c\r\nUser-Agent: b\r\n",
        "user-agent: b\r\nAccept: c\r\n",
        "User-agent: b\r\nAccept: c\r\n",
        "User-Agent: b\r\n",
        "User-Agent: b\r\nAccept: c\r\nAccept: c\r\n",
        "User-Agent: b\r\nAccept: c\r\nX-Own: d\r\n",
    ] {
        assert_ne!(with(other).header_order, one, "{other}");
    }
    // Names are not run together.
    assert_ne!(
        with("A: b\r\nBC: d\r\n").header_order,
        with("AB: c\r\nC: d\r\n").header_order
    );
}

#[test]
fn what_one_client_sends_only_with_some_requests_leaves_the_order() {
    let with_one = |name: &str| {
        let value = match name {
            "transfer-encoding" => "chunked",
            "expect" => "100-continue",
            _ => "1",
        };
        with(&format!(
            "User-Agent: b\r\n{name}: {value}\r\nAccept: c\r\n"
        ))
        .header_order
    };
    let plain = with("User-Agent: b\r\nAccept: c\r\n").header_order;
    let names = Known::ALL.iter().map(|known| known.name());
    let others = names.filter(|&name| name != "host"); // one is there already
    let left_out: Vec<&str> = others.filter(|name| with_one(name) == plain).collect();
    // What makes one client another stays: a change here is a change of every number in every log.
    assert_eq!(
        left_out.join(" "),
        "via range cookie expect origin pragma referer trailer upgrade if-match if-range cdn-loop priority forwarded x-real-ip \
         tracestate early-data traceparent content-md5 sec-purpose content-type x-request-id max-forwards cache-control \
         authorization if-none-match content-range http2-settings content-length sec-fetch-user x-forwarded-for \
         x-requested-with content-encoding content-language content-location x-forwarded-host x-forwarded-port \
         transfer-encoding if-modified-since x-forwarded-proto sec-websocket-key if-unmodified-since proxy-authorization \
         content-disposition sec-websocket-version sec-websocket-protocol sec-websocket-extensions \
         upgrade-insecure-requests"
    );
    for name in ["content-digest", "Content-Digest", "CONTENT-x"] {
        assert_eq!(with_one(name), plain, "{name}");
    }
    for other in ["contentdigest", "content", "contents-x", "c", "x-content-x"] {
        assert_ne!(with_one(other), plain, "{other}");
    }
}

#[test]
fn over_http2_the_pseudo_fields_belong_to_the_order() {
    let names = &["user-agent", "accept"];
    let one = over_http2("masp", names).header_order;
    assert_eq!(over_http2("masp", names).header_order, one);
    assert_ne!(over_http2("mpas", names).header_order, one);
    assert_ne!(with("user-agent: 1\r\naccept: 1\r\n").header_order, one);
}

#[test]
fn an_empty_user_agent_is_not_an_absent_one() {
    assert_eq!(with("").user_agent, None);
    let empty = with("User-Agent:\r\n").user_agent.unwrap();
    let other = with("User-Agent: b\r\n").user_agent.unwrap();
    assert_ne!(empty, other);
    // Of several the first counts.
    assert_eq!(
        with("User-Agent: b\r\nUser-Agent: c\r\n").user_agent,
        Some(other)
    );
}

/// One octet past a piece begins the next, and nothing is lost by that.
#[test]
fn names_are_told_also_where_they_do_not_fit_into_one_piece() {
    let order = |first: usize, second: &str| {
        with(&format!("{}: 1\r\n{second}: 1\r\n", "a".repeat(first))).header_order
    };
    // Host is before it: with all feeds these are 240 octets, and one more, which leaves no room for the last name.
    let text = |hash: TraitHash| String::from_utf8(hash.digits().to_vec()).unwrap();
    assert_eq!(text(order(232, "b")), "e2c91b40dd2bf6b6");
    assert_eq!(text(order(233, "b")), "2a569197a13d7546");
    for first in [231, 232, 233, 234] {
        assert_ne!(order(first, "b"), order(first, "c"), "{first}");
    }
    // Of a name that no piece has room for, the beginning is told.
    let most = names::PIECE_BYTES - 1;
    assert_ne!(order(most - 1, "b"), order(most, "b"));
    assert_eq!(order(most, "b"), order(most + 1, "b"));
    assert_ne!(order(most + 1, "b"), order(most + 1, "c"));
}

/// A log is compared with that of another machine, and of another year. These were computed by another implementation of XXH3.
#[test]
fn the_numbers_stay_what_they_are() {
    let text = |hash: TraitHash| String::from_utf8(hash.digits().to_vec()).unwrap();
    let empty = with("User-Agent:\r\n").user_agent.unwrap();
    assert_eq!(text(empty), "2d06800538d394c2");
    let curl = with("User-Agent: curl/7.88.1\r\nAccept: */*\r\n");
    assert_eq!(text(curl.user_agent.unwrap()), "06d7605793abf829");
    assert_eq!(text(curl.header_order), "a83900ee56f45c67");
    let curl = over_http2("mpsa", &["user-agent", "accept"]);
    assert_eq!(text(curl.header_order), "abc9e1c621f341f8");
}

#[test]
fn each_segment_is_told_by_what_it_is() {
    for (sent, shape, of_kind) in [
        ("/", "/", "root"),
        ("*", "*", "root"),
        ("/about", "/w", "word"),
        ("/About-us/", "/w/", "word"),
        ("//a", "//w", "word"),
        ("/news/4711", "/w/n", "number"),
        ("/archive/2025-11-18/", "/w/n/", "number"),
        ("/item42", "/m", "mixed"),
        ("/10-best-mangoes-of-2025", "/m", "mixed"),
        ("/v2/users", "/m/w", "mixed"),
        ("/a/deadbeef", "/w/w", "word"),
        ("/a/deadbee7", "/w/h", "id"),
        ("/a/deadbe7", "/w/m", "mixed"),
        ("/f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "/h", "id"),
        ("/t/dGhpc0lzQVRva2Vu", "/w/r", "random"),
        ("/t/x7Kq9ZpL2mVw4RtY/w", "/w/r/w", "random"),
        ("/t/x7Kq9ZpL2mVw4Rt", "/w/m", "mixed"),
        ("/t/abcd1efgh2ijklmn", "/w/r", "random"),
        ("/t/abcd1efgh2ijklmno", "/w/m", "mixed"),
        ("/internationalisation-and-localisation", "/w", "word"),
        ("/MyVeryLongComponentName", "/w", "word"),
        ("/images/photo.JPG", "/w/w.jpg", "word"),
        ("/js/app.3f2a9c1b.js", "/w/m.js", "mixed"),
        ("/js/chunk-vendors.8d752390.js", "/w/m.js", "mixed"),
        ("/js/app.3f2a9c1b.min.js", "/w/r.js", "random"),
        ("/fonts/a.woff2", "/w/w.woff2", "word"),
        ("/a.webmanifest", "/w", "word"),
        ("/.env", "/.env", "root"),
        ("/.git/config", "/w/w", "word"),
        ("/release-1.2.3", "/m", "mixed"),
        ("/1.2.3", "/n", "number"),
        ("/a.tar.gz", "/w.gz", "word"),
        ("/a.b/c", "/w/w", "word"),
        ("/a.", "/w", "word"),
        // Bengali, and a word with an escape; neither is made of digits.
        ("/%E0%A6%96%E0%A6%AC%E0%A6%B0", "/w", "word"),
        ("/caf%C3%A9-4", "/m", "mixed"),
        ("/%34%37", "/n", "number"),
        ("/100%", "/n", "number"),
        ("/50%-off", "/m", "mixed"),
        ("/-", "/w", "word"),
    ] {
        assert_eq!(
            (path(sent).as_str(), kind(sent)),
            (shape, of_kind),
            "{sent}"
        );
    }
}

#[test]
fn a_path_is_told_to_its_eighth_segment_and_256th_octet() {
    assert_eq!(SEGMENTS, 8);
    assert_eq!(path("/a/a/a/a/a/a/a/1.css"), "/w/w/w/w/w/w/w/n.css");
    assert_eq!(path("/a/a/a/a/a/a/a/1/1.css"), "/w/w/w/w/w/w/w/n+");
    let long = |octets: usize| path(&format!("/{}.css", "a".repeat(octets - 5)));
    assert_eq!(long(PATH_BYTES), "/w.css");
    assert_eq!(long(PATH_BYTES + 1), "/w+");
    // What is behind is not looked at.
    assert_eq!(path(&format!("/{}1", "a".repeat(PATH_BYTES - 1))), "/w+");
    // Of an extension, five characters.
    assert_eq!(path("/a.abcde"), "/w.abcde");
    assert_eq!(path("/a.abcdef"), "/w");
}

#[test]
fn a_query_is_told_by_its_parameters_and_what_is_in_their_values() {
    for (sent, parameters, entropy) in [
        ("", 0, 0),
        ("&&", 0, 0),
        ("a", 1, 0),
        ("a=", 1, 0),
        ("aXk9=&bYl8=", 2, 0),
        ("page=2", 1, 0),
        ("page=25", 1, 1),
        ("x=aabb", 1, 1),
        ("x=abcd&y=dcba", 2, 2),
        ("q=mangrove", 1, 3),
        ("83749261", 1, 3),
        ("x=0123456789abcdef0123456789abcdef", 1, 4),
        ("x=ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef", 1, 5),
        (
            "x=ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
            1,
            6,
        ),
    ] {
        assert_eq!(query(sent), (parameters, entropy), "{sent}");
    }
}

#[test]
fn a_query_is_told_to_its_256th_octet() {
    let long = |same: usize| query(&format!("x={}&y=b", "a".repeat(same)));
    assert_eq!(long(QUERY_BYTES - 6), (2, 0)); // one b among 250
    assert_eq!(long(QUERY_BYTES - 2), (1, 0));
    let same = "a".repeat(QUERY_BYTES);
    let other = "b".repeat(QUERY_BYTES);
    assert_eq!(query(&format!("{same}{other}")), (1, 0));
    assert_eq!(query(&"&a".repeat(QUERY_BYTES)), (128, 0));
}

/// The same with numbers that have points.
fn plain_entropy(query: &[u8]) -> f64 {
    let query = &query[..query.len().min(QUERY_BYTES)];
    let values: Vec<u8> = query
        .split(|&byte| byte == b'&')
        .flat_map(
            |parameter| match parameter.iter().position(|&byte| byte == b'=') {
                Some(at) => &parameter[at + 1..],
                None => parameter,
            },
        )
        .copied()
        .collect();
    let all = values.len() as f64;
    (0..=u8::MAX)
        .map(|byte| values.iter().filter(|&&value| value == byte).count() as f64)
        .filter(|&count| count > 0.0)
        .map(|count| -(count / all) * (count / all).log2())
        .sum()
}

proptest! {
    #[test]
    fn entropy_is_what_a_plain_reading_finds(query in "[a-zA-Z0-9=&%-]{0,300}") {
        let (ours, plain) = (QueryShape::of(query.as_bytes()).entropy, plain_entropy(query.as_bytes()));
        // Where it is nearly a whole number, either side of it is right.
        let near = |by: f64| (plain + by).max(0.0).floor();
        let ours = f64::from(ours);
        prop_assert!(ours == near(0.01) || ours == near(-0.01), "{} is not {}", ours, plain);
    }

    #[test]
    fn whatever_is_asked_for_the_shape_is_short_and_plain(path in proptest::collection::vec(any::<u8>(), 0..400), query in proptest::collection::vec(any::<u8>(), 0..400)) {
        let shape = PathShape::of(&path);
        prop_assert!(shape.as_bytes().len() <= 23);
        prop_assert!(shape.as_bytes().iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"/.*+".contains(b)));
        let query = QueryShape::of(&query);
        prop_assert!(usize::from(query.entropy) < ENTROPY_CLASSES && query.parameters <= 128);
    }

    #[test]
    fn digits_are_those_of_the_number(number: u64) {
        prop_assert_eq!(String::from_utf8(TraitHash(number).digits().to_vec()).unwrap(), format!("{number:016x}"));
    }

    #[test]
    fn values_never_matter_to_the_order(values in proptest::collection::vec("[ -~]{0,40}", 3)) {
        let lines = |values: &[String]| format!("User-Agent: {}\r\nAccept: {}\r\nX-A: {}\r\n", values[0], values[1], values[2]);
        let none = vec![String::new(); 3];
        prop_assert_eq!(with(&lines(&values)).header_order, with(&lines(&none)).header_order);
    }
}
