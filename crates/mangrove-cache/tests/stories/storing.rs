//! What is stored, and every reason why something is not (RFC 9111 section 3).

use crate::talk::{Lines, get, request, response, response_to, store, store_for};
use mangrove_cache::{
    Asked, BypassRules, Content, NotStored, PathPattern, Rules, VARIANT_BYTES, VARY_FIELDS,
};
use mangrove_http::Method;

const FRESH: (&str, &str) = ("cache-control", "max-age=60");

/// Line and fields of a request, status and fields of its response, rules.
struct Case<'a>(&'a str, Lines<'a>, u16, Lines<'a>, Rules);

fn refused(case: &Case<'_>) -> Option<NotStored> {
    let Case(line, asking, status, fields, rules) = case;
    store_for(&request(line, asking), &response(*status, fields), rules).err()
}

#[test]
fn every_reason_not_to_store_has_its_case() {
    let plain = Rules::default;
    let wide: String = (0..=VARY_FIELDS).map(|n| format!("a{n},")).collect();
    let path = |pattern| BypassRules {
        paths: vec![PathPattern::parse(pattern).unwrap()],
        ..BypassRules::default()
    };
    let parts = [FRESH, ("content-type", "Multipart/ByteRanges; boundary=a")];
    let range = [("range", "bytes=0-4")];
    let tags = vec!["t"; mangrove_cache::purge::TAGS + 1].join(" ");
    let cases = [
        (
            NotStored::CacheOff,
            Case(
                "GET /a",
                &[],
                200,
                &[FRESH],
                Rules {
                    on: false,
                    ..plain()
                },
            ),
        ),
        (
            NotStored::Bypassed,
            Case(
                "GET /a",
                &[],
                200,
                &[FRESH],
                Rules {
                    bypass: path("/a"),
                    ..plain()
                },
            ),
        ),
        (
            NotStored::Bypassed,
            Case(
                "POST /a",
                &[],
                200,
                &[FRESH, ("content-location", "/a")],
                Rules {
                    bypass: path("/a"),
                    ..plain()
                },
            ),
        ),
        (
            NotStored::Bypassed,
            Case("GET /a", &[("content-length", "3")], 200, &[FRESH], plain()),
        ),
        (
            NotStored::Method,
            Case("POST /a", &[], 200, &[FRESH], plain()),
        ),
        (
            NotStored::Method,
            Case(
                "PUT /a",
                &[],
                200,
                &[FRESH, ("content-location", "/a")],
                plain(),
            ),
        ),
        (
            NotStored::Interim,
            Case("GET /a", &[], 103, &[FRESH], plain()),
        ),
        (
            NotStored::NoStoreRequest,
            Case(
                "GET /a",
                &[("cache-control", "no-store")],
                200,
                &[FRESH],
                plain(),
            ),
        ),
        (
            NotStored::NoStore,
            Case(
                "GET /a",
                &[],
                200,
                &[FRESH, ("cache-control", "No-StOrE")],
                plain(),
            ),
        ),
        (
            NotStored::Private,
            Case(
                "GET /a",
                &[],
                200,
                &[FRESH, ("cache-control", "private")],
                plain(),
            ),
        ),
        (
            NotStored::Authorization,
            Case("GET /a", &[("authorization", "x")], 200, &[FRESH], plain()),
        ),
        (
            NotStored::SetCookie,
            Case("GET /a", &[], 200, &[FRESH, ("set-cookie", "a=b")], plain()),
        ),
        (
            NotStored::VaryStar,
            Case("GET /a", &[], 200, &[FRESH, ("vary", "a, *")], plain()),
        ),
        (
            NotStored::VaryMalformed,
            Case("GET /a", &[], 200, &[FRESH, ("vary", "a b")], plain()),
        ),
        (
            NotStored::VaryTooWide,
            Case("GET /a", &[], 200, &[FRESH, ("vary", &wide)], plain()),
        ),
        (
            NotStored::MustUnderstand,
            Case(
                "GET /a",
                &[],
                599,
                &[("cache-control", "max-age=60, must-understand")],
                plain(),
            ),
        ),
        (
            NotStored::StatusForOneRequest,
            Case("GET /a", &range, 416, &[FRESH], plain()),
        ),
        (
            NotStored::StatusForOneRequest,
            Case("GET /a", &[], 429, &[FRESH], plain()),
        ),
        (
            NotStored::NotCacheableByDefault,
            Case("GET /a", &[], 403, &[("etag", "\"a\"")], plain()),
        ),
        (
            NotStored::NothingToReuse,
            Case("GET /a", &[], 200, &[], plain()),
        ),
        (
            NotStored::NothingToReuse,
            Case(
                "GET /a",
                &[],
                200,
                &[("cache-control", "max-age=0")],
                plain(),
            ),
        ),
        (
            NotStored::PartMalformed,
            Case("GET /a", &range, 206, &[FRESH], plain()),
        ),
        (
            NotStored::PartMalformed,
            Case(
                "GET /a",
                &range,
                206,
                &[
                    FRESH,
                    ("content-range", "bytes 4-9/10"),
                    ("content-length", "5"),
                ],
                plain(),
            ),
        ),
        (
            NotStored::PartUnasked,
            Case(
                "GET /a",
                &[],
                206,
                &[FRESH, ("content-range", "bytes 0-4/10")],
                plain(),
            ),
        ),
        (
            NotStored::PartMultiple,
            Case("GET /a", &range, 206, &parts, plain()),
        ),
        (
            NotStored::TooManyTags,
            Case(
                "GET /a",
                &[],
                200,
                &[FRESH, ("surrogate-key", &tags)],
                plain(),
            ),
        ),
        (
            NotStored::TooLarge,
            Case(
                "GET /a",
                &[],
                200,
                &[FRESH, ("content-length", "11")],
                Rules {
                    largest: 10,
                    ..plain()
                },
            ),
        ),
    ];
    for (reason, case) in &cases {
        assert_eq!(refused(case), Some(*reason), "{} {:?}", case.0, case.3);
    }
    // Whether more of the same is kept is not for this crate to know.
    let known_here = |reason: &&NotStored| **reason != NotStored::PartBeside;
    for reason in NotStored::ALL.iter().filter(known_here) {
        assert!(
            cases.iter().any(|(covered, _)| covered == reason),
            "{reason} has no case"
        );
    }
}

#[test]
fn limits_are_where_they_say() {
    let rules = Rules {
        largest: 10,
        ..Rules::default()
    };
    assert!(
        store_for(
            &get(&[]),
            &response(200, &[FRESH, ("content-length", "10")]),
            &rules
        )
        .is_ok()
    );
    let names: String = (0..VARY_FIELDS).map(|n| format!("a{n},")).collect();
    assert!(store(&[FRESH, ("vary", &names)]).is_ok());
    // NUL, `v`, the name and `=` stand before the value.
    let value = "x".repeat(VARIANT_BYTES - 4);
    let varied = response(200, &[FRESH, ("vary", "a")]);
    assert!(store_for(&get(&[("a", &value)]), &varied, &rules).is_ok());
    let more = format!("{value}x");
    assert_eq!(
        store_for(&get(&[("a", &more)]), &varied, &rules).err(),
        Some(NotStored::VaryTooWide)
    );
}

#[test]
fn credentials_need_the_origins_word_that_the_answer_is_for_everyone() {
    let with = |control| {
        store_for(
            &get(&[("authorization", "x")]),
            &response(200, &[("cache-control", control)]),
            &Rules::default(),
        )
    };
    for word in [
        "max-age=60, public",
        "max-age=60, must-revalidate",
        "s-maxage=60",
    ] {
        assert!(with(word).is_ok(), "{word}");
    }
    for no_word in [
        "max-age=60",
        "max-age=60, proxy-revalidate",
        "max-age=60, public=x",
    ] {
        assert_eq!(
            with(no_word).err(),
            Some(NotStored::Authorization),
            "{no_word}"
        );
    }
}

#[test]
fn who_understands_the_status_ignores_the_no_store_beside_must_understand() {
    let by = |status| {
        store_for(
            &get(&[]),
            &response(
                status,
                &[("cache-control", "max-age=60, must-understand, no-store")],
            ),
            &Rules::default(),
        )
    };
    assert!(by(200).is_ok() && by(404).is_ok());
    assert!(by(599).is_err());
}

#[test]
fn any_final_status_is_stored_when_the_origin_says_for_how_long() {
    for status in [
        200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 499, 500, 502, 503, 504, 599,
    ] {
        assert!(
            store_for(&get(&[]), &response(status, &[FRESH]), &Rules::default()).is_ok(),
            "{status}"
        );
    }
}

#[test]
fn a_post_that_names_its_own_url_fills_the_cache_for_get() {
    let post = request("POST /a?b", &[]);
    let answer = |fields: Lines<'_>| {
        store_for(
            &post,
            &response_to(Method::Post, 200, fields),
            &Rules::default(),
        )
    };
    assert!(answer(&[FRESH, ("content-location", "/a?b")]).is_ok());
    assert!(answer(&[FRESH, ("content-location", "/a")]).is_err());
    assert!(
        answer(&[
            ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("content-location", "/a?b")
        ])
        .is_err(),
        "only explicitly"
    );
}

#[test]
fn fields_of_one_hop_and_those_the_origin_withholds_are_not_kept() {
    let stored = store(&[
        ("connection", "a, B, close"),
        ("a", "1"),
        ("b", "2"),
        ("keep-alive", "timeout=5"),
        ("proxy-authenticate", "Basic"),
        ("proxy-authentication-info", "x"),
        ("proxy-connection", "close"),
        ("te", "trailers"),
        ("age", "7"),
        (
            "cache-control",
            "max-age=60, no-cache=\"c, Set-Cookie\", private=d",
        ),
        ("c", "3"),
        ("set-cookie", "a=b"),
        ("D", "4"),
        ("e", "5"),
        ("E", "6"),
    ])
    .unwrap();
    let kept: Vec<_> = stored
        .fields
        .iter()
        .map(|field| (field.name, field.value))
        .collect();
    let control = &b"max-age=60, no-cache=\"c, Set-Cookie\", private=d"[..];
    assert_eq!(
        kept,
        [(&b"cache-control"[..], control), (b"e", b"5"), (b"E", b"6")]
    );
}

#[test]
fn a_site_may_store_cookies_if_it_says_so() {
    let rules = Rules {
        store_set_cookie: true,
        ..Rules::default()
    };
    assert!(
        store_for(
            &get(&[]),
            &response(200, &[FRESH, ("set-cookie", "a=b")]),
            &rules
        )
        .is_ok()
    );
}

#[test]
fn a_part_is_stored_with_the_bytes_it_holds() {
    let asking = get(&[("range", "bytes=4-")]);
    let part = response(
        206,
        &[
            FRESH,
            ("content-range", "bytes 4-8/10"),
            ("content-length", "5"),
        ],
    );
    let stored = store_for(&asking, &part, &Rules::default()).unwrap();
    let Content::Part { held, total } = stored.content else {
        panic!("a part")
    };
    assert_eq!((held.first, held.last, total), (4, 8, Some(10)));
}

#[test]
fn a_head_fills_nothing() {
    let (head, rules) = (request("HEAD /a", &[]), Rules::default());
    assert!(Asked::read(&head, b"/a", &rules).may_look_up());
    assert_eq!(
        store_for(&head, &response_to(Method::Head, 200, &[FRESH]), &rules).err(),
        Some(NotStored::Method)
    );
}
