use super::*;

fn parse(text: &str) -> RequestHead {
    let mut head = RequestHead::new();
    head.octets_mut().extend_from_slice(text.as_bytes());
    assert_eq!(head.parse_h1(&HeadLimits::default()), Ok(Some(text.len())));
    head
}

/// A GET in HTTP/1.1 with these lines.
fn with(lines: &str) -> RequestHead {
    parse(&format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"))
}

#[test]
fn absolute_form_names_the_host() {
    let head = parse("GET http://A.example:80/x?y HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert_eq!(
        (head.authority(), head.host(), head.port()),
        (&b"A.example:80"[..], &b"A.example"[..], Some(80))
    );
    assert_eq!(
        (head.target(), head.path(), head.query()),
        (&b"/x?y"[..], &b"/x"[..], Some(&b"y"[..]))
    );
    assert_eq!(head.scheme(), Some(Scheme::Http));
    assert_eq!(parse("GET https://a HTTP/1.0\r\n\r\n").target(), b"/");
    assert_eq!(
        parse("OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n").target(),
        b"*"
    );
    assert_eq!(parse("GET / HTTP/1.0\r\n\r\n").authority(), b"");
}

#[test]
fn connection_nominates_fields_that_are_not_forwarded() {
    let head = with(
        "X-Mine: 1\r\nTE: trailers\r\nx-MINE: 2\r\nTrailer: b\r\nConnection: x-mine\r\nConnection: close\r\nKeep-Alive: 5\r\n",
    );
    let forwarded: Vec<_> = head
        .fields()
        .filter(|field| !head.is_hop_by_hop(field))
        .map(|field| field.known)
        .collect();
    assert_eq!(forwarded, [Known::Host, Known::Trailer]);
    assert!(!head.persistent() && head.wants_trailers());
}

#[test]
fn persistence_follows_the_version() {
    assert!(with("").persistent());
    assert!(!with("Connection: x, CLOSE\r\n").persistent());
    assert!(!parse("GET / HTTP/1.0\r\n\r\n").persistent());
    assert!(parse("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").persistent());
    assert!(!parse("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n").persistent());
}

#[test]
fn only_a_client_with_a_body_waits_for_100() {
    assert!(with("Expect: 100-Continue\r\nContent-Length: 5\r\n").expects_continue());
    assert!(!with("Expect: 100-continue\r\n").expects_continue());
    assert!(!with("Expect: 100-continue\r\nContent-Length: 0\r\n").expects_continue());
    assert!(!parse("PUT / HTTP/1.0\r\nExpect: ?\r\nContent-Length: 5\r\n\r\n").expects_continue());
}

#[test]
fn an_upgrade_must_be_nominated() {
    assert_eq!(
        with("Connection: Upgrade\r\nUpgrade: websocket\r\n").upgrade(),
        Some(&b"websocket"[..])
    );
    assert_eq!(with("Upgrade: websocket\r\n").upgrade(), None);
    assert_eq!(
        with("Connection: upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n").upgrade(),
        None
    );
    assert_eq!(
        parse("GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: a\r\n\r\n").upgrade(),
        None
    );
}

#[test]
fn cookie_crumbs_become_one_line() {
    let mut head = RequestHead::new();
    head.begin_h2();
    head.h2_method(b"GET");
    head.h2_scheme(b"https");
    head.h2_authority(b"a.example");
    head.h2_path(b"/");
    head.push_field(b"cookie", b"a=1");
    head.push_field(b"accept", b"*/*");
    head.push_field(b"cookie", b"b=2");
    head.h2_end_stream();
    head.finish_h2(&HeadLimits::default()).unwrap();
    assert_eq!(head.field(Known::Cookie), Some(&b"a=1; b=2"[..]));
    assert_eq!(
        (head.fields().count(), head.host(), head.framing()),
        (2, &b"a.example"[..], BodyFraming::None)
    );
}

#[test]
fn the_next_request_begins_where_this_one_ended() {
    let first = b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n";
    let mut head = RequestHead::new();
    head.octets_mut()
        .extend_from_slice(&[&first[..], b"hiGET /2 HTTP/1.1\r\nHost: b\r\n\r\n"].concat());
    assert_eq!(head.parse_h1(&HeadLimits::default()), Ok(Some(first.len())));
    assert_eq!(
        head.parse_h1(&HeadLimits::default()),
        Ok(Some(first.len())),
        "asked again, it says the same"
    );
    head.start_next(first.len() + 2);
    head.parse_h1(&HeadLimits::default()).unwrap();
    assert_eq!(
        (head.path(), head.host(), head.framing()),
        (&b"/2"[..], &b"b"[..], BodyFraming::None)
    );
}

#[test]
fn a_grown_buffer_is_given_back_and_a_usual_one_kept() {
    let mut head = with(&format!("A: {}\r\n", "b".repeat(20_000)));
    assert!(head.octets.capacity() > KEPT_OCTETS);
    head.clear();
    assert_eq!(head.octets.capacity(), KEPT_OCTETS);
    head.octets_mut()
        .extend_from_slice(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    head.parse_h1(&HeadLimits::default()).unwrap();
    head.clear();
    assert_eq!(
        head.octets.capacity(),
        KEPT_OCTETS,
        "no allocation between requests"
    );
}

/// What arrives whole is read the quick way, what arrives octet by octet is not: they have to agree, whatever is wrong.
#[test]
fn every_octet_in_every_place_is_read_the_same_in_both_ways() {
    let text = b"GET /a?b HTTP/1.1\r\nHost: a.b:80\r\ncontent-length: \t 0 \r\nX-A:\r\nConnection: x-a\r\nX-a: \tb c\td\r\n\r\n";
    let told = |head: &RequestHead, verdict| {
        let fields: Vec<_> = head
            .fields()
            .map(|f| (f.known, f.name.to_vec(), f.value.to_vec(), f.hop_by_hop))
            .collect();
        let line = (
            head.method(),
            head.path().to_vec(),
            head.query().map(<[u8]>::to_vec),
        );
        format!("{verdict:?} {line:?} {:?} {fields:?}", head.host())
    };
    let limits = HeadLimits::default();
    let mut verdicts = std::collections::HashMap::new();
    for place in 0..text.len() {
        for octet in 0..=255 {
            let mut changed = text.to_vec();
            changed[place] = octet;
            let mut whole = RequestHead::new();
            whole.octets_mut().extend_from_slice(&changed);
            let quick = whole.parse_h1(&limits);
            let mut pieces = RequestHead::new();
            let slow = changed.iter().find_map(|&octet| {
                pieces.octets_mut().push(octet);
                Some(pieces.parse_h1(&limits)).filter(|verdict| *verdict != Ok(None))
            });
            assert_eq!(
                quick,
                slow.unwrap_or(Ok(None)),
                "{}",
                changed.escape_ascii()
            );
            if quick.is_ok() {
                let (quick, slow) = (told(&whole, quick), told(&pieces, slow.unwrap_or(Ok(None))));
                assert_eq!(quick, slow, "{}", changed.escape_ascii());
            }
            *verdicts.entry(quick.is_ok()).or_insert(0) += 1;
        }
    }
    assert!(
        verdicts[&true] > 5_000 && verdicts[&false] > 2_000,
        "{verdicts:?}"
    );
}

#[test]
fn one_past_a_limit_is_refused_in_both_ways() {
    let text = b"GET /abc HTTP/1.1\r\nHost: a\r\nB: c\r\n\r\n";
    let exact = HeadLimits {
        head_bytes: text.len(),
        fields: 2,
        target_bytes: 4,
    };
    let parsed = |limits: HeadLimits| {
        let mut head = RequestHead::new();
        head.octets_mut().extend_from_slice(text);
        head.parse_h1(&limits)
    };
    assert_eq!(parsed(exact), Ok(Some(text.len())));
    let target = HeadLimits {
        target_bytes: 3,
        ..exact
    };
    assert_eq!(parsed(target), Err(Refusal::TargetTooLong));
    let fields = HeadLimits { fields: 1, ..exact };
    assert_eq!(parsed(fields), Err(Refusal::TooManyFields));
    for less in 1..text.len() {
        let shorter = HeadLimits {
            head_bytes: text.len() - less,
            ..exact
        };
        assert_eq!(parsed(shorter), Err(Refusal::HeadTooLarge), "{less}");
    }
}
