//! The state table: what becomes of a request, and every reason for it (RFC 9111 sections 4 and 5.2.1).

use mangrove_cache::{
    Action, BypassRules, Decision, Failure, Found, NamePattern, OriginState, PathPattern, Reason,
    Rules, Stored, decide, decide_in_parts, on_error,
};
use mangrove_http::RequestHead;

use crate::talk::{Lines, asked, at, get, later, request, response, store, store_for};

const SERVE: Action = Action::Serve;
const STALE: Action = Action::ServeStale { revalidate: false };

fn kept(control: &str) -> Stored {
    store(&[("cache-control", control), ("etag", "\"a\"")]).unwrap()
}

/// What becomes of a GET with that `Cache-Control`, so many seconds later.
fn get_later(control: &str, stored: &Stored, seconds: u64) -> Decision {
    later(
        &get(&[("cache-control", control)]),
        stored,
        seconds,
        &Rules::default(),
    )
}

fn while_down(request: &RequestHead, stored: &Stored, seconds: u64) -> Decision {
    let rules = Rules::default();
    decide(
        &asked(request, &rules),
        Found::This(stored),
        at(seconds),
        OriginState::Down,
        &rules,
    )
}

fn after_error(
    control: &str,
    stored: &Stored,
    seconds: u64,
    failure: Failure,
) -> Option<(Action, Reason)> {
    let (request, rules) = (get(&[("cache-control", control)]), Rules::default());
    on_error(
        &asked(&request, &rules),
        Some(stored),
        at(seconds),
        failure,
        &rules,
    )
    .map(|d| (d.action, d.reason))
}

#[test]
fn every_reason_has_its_case() {
    let minute = kept("max-age=60");
    let mut purged = minute.clone();
    purged.invalidate();
    let part = store_for(
        &get(&[("range", "bytes=0-4")]),
        &response(
            206,
            &[
                ("cache-control", "max-age=60"),
                ("content-range", "bytes 0-4/10"),
            ],
        ),
        &Rules::default(),
    );
    let part = part.unwrap();
    let plain = get(&[]);
    let rules = Rules::default();
    let bypass = |bypass| Rules {
        bypass,
        ..Rules::default()
    };
    let by_path = bypass(BypassRules {
        paths: vec![PathPattern::parse("/a").unwrap()],
        ..BypassRules::default()
    });
    let by_cookie = bypass(BypassRules {
        cookies: vec![NamePattern::parse("in_*").unwrap()],
        ..BypassRules::default()
    });
    let by_header = bypass(BypassRules {
        headers: vec!["x-preview".into()],
        ..BypassRules::default()
    });
    let by_query = bypass(BypassRules {
        query: vec![NamePattern::parse("preview").unwrap()],
        ..BypassRules::default()
    });
    let decided = |request: &RequestHead, found, rules: &Rules| {
        decide(
            &asked(request, rules),
            found,
            at(0),
            OriginState::Reachable,
            rules,
        )
    };
    let this = Found::This(&minute);
    let only_if_cached = get(&[("cache-control", "only-if-cached")]);
    let in_parts =
        |request: &RequestHead, decision| decide_in_parts(&asked(request, &rules), decision);
    let asking = |fields: Lines<'_>| get(fields);

    let cases = [
        (Reason::Fresh, SERVE, get_later("", &minute, 59)),
        (
            Reason::Immutable,
            SERVE,
            get_later("max-age=0", &kept("max-age=60, immutable"), 5),
        ),
        (
            Reason::FreshOriginDown,
            SERVE,
            while_down(&asking(&[("cache-control", "no-cache")]), &minute, 5),
        ),
        (
            Reason::StaleWhileRevalidate,
            Action::ServeStale { revalidate: true },
            get_later("", &kept("max-age=60, stale-while-revalidate=10"), 69),
        ),
        (
            Reason::MaxStale,
            STALE,
            get_later("max-stale=10", &minute, 70),
        ),
        (
            Reason::StaleOriginDown,
            STALE,
            while_down(&plain, &minute, 70),
        ),
        (
            Reason::StaleIfError,
            STALE,
            on_error(
                &asked(&plain, &rules),
                Some(&minute),
                at(70),
                Failure::NoResponse,
                &rules,
            )
            .unwrap(),
        ),
        (
            Reason::Stale,
            Action::Revalidate,
            get_later("", &minute, 60),
        ),
        (
            Reason::NoCacheResponse,
            Action::Revalidate,
            get_later("", &kept("max-age=60, no-cache"), 0),
        ),
        (
            Reason::Invalidated,
            Action::Revalidate,
            get_later("", &purged, 0),
        ),
        (
            Reason::NoCacheRequest,
            Action::Revalidate,
            get_later("no-cache", &minute, 0),
        ),
        (
            Reason::MaxAgeRequest,
            Action::Revalidate,
            get_later("max-age=9", &minute, 10),
        ),
        (
            Reason::MinFreshRequest,
            Action::Revalidate,
            get_later("min-fresh=51", &minute, 10),
        ),
        (
            Reason::Miss,
            Action::Fetch,
            decided(&plain, Found::Nothing, &rules),
        ),
        (
            Reason::VariantMiss,
            Action::Fetch,
            decided(&plain, Found::OtherVariants, &rules),
        ),
        (
            Reason::PartialMiss,
            Action::Fetch,
            decided(&plain, Found::This(&part), &rules),
        ),
        (
            Reason::Partial,
            Action::Fetch,
            in_parts(&plain, decided(&plain, this, &rules)),
        ),
        (
            Reason::OnlyIfCached,
            Action::Refuse,
            in_parts(&only_if_cached, decided(&only_if_cached, this, &rules)),
        ),
        (
            Reason::PreconditionForOrigin,
            Action::Fetch,
            decided(&asking(&[("if-match", "\"b\"")]), this, &rules),
        ),
        (
            Reason::Method,
            Action::Fetch,
            decided(&request("OPTIONS /a", &[]), this, &rules),
        ),
        (
            Reason::RequestContent,
            Action::Fetch,
            decided(&asking(&[("content-length", "1")]), this, &rules),
        ),
        (
            Reason::CacheOff,
            Action::Fetch,
            decided(
                &plain,
                this,
                &Rules {
                    on: false,
                    ..Rules::default()
                },
            ),
        ),
        (
            Reason::BypassPath,
            Action::Fetch,
            decided(&plain, this, &by_path),
        ),
        (
            Reason::BypassCookie,
            Action::Fetch,
            decided(&asking(&[("cookie", "a=b; in_7f=1")]), this, &by_cookie),
        ),
        (
            Reason::BypassHeader,
            Action::Fetch,
            decided(&asking(&[("X-Preview", "1")]), this, &by_header),
        ),
        (
            Reason::BypassQuery,
            Action::Fetch,
            decided(&request("GET /a?x&pre%76iew=1", &[]), this, &by_query),
        ),
        (
            Reason::NoStoreRequest,
            Action::Fetch,
            decided(
                &asking(&[("cache-control", "no-store")]),
                Found::Nothing,
                &rules,
            ),
        ),
        (
            Reason::OnlyIfCached,
            Action::Refuse,
            decided(
                &asking(&[("cache-control", "only-if-cached")]),
                Found::Nothing,
                &rules,
            ),
        ),
    ];
    for (reason, action, decision) in cases {
        assert_eq!(decision, Decision { action, reason });
    }
    for reason in Reason::ALL {
        assert!(
            cases.iter().any(|(covered, ..)| covered == reason),
            "{reason} has no case"
        );
    }
}

#[test]
fn without_a_validator_there_is_nothing_to_ask_about() {
    let stored = store(&[("cache-control", "max-age=60")]).unwrap();
    let decision = later(&get(&[]), &stored, 60, &Rules::default());
    assert_eq!(
        decision,
        Decision {
            action: Action::Fetch,
            reason: Reason::Stale
        }
    );
}

#[test]
fn head_is_answered_from_what_get_stored() {
    assert_eq!(
        later(
            &request("HEAD /a", &[]),
            &kept("max-age=60"),
            5,
            &Rules::default()
        )
        .action,
        SERVE
    );
}

#[test]
fn a_request_is_taken_at_its_word_at_the_very_edge() {
    let minute = kept("max-age=60");
    let action = |control, seconds| get_later(control, &minute, seconds).action;
    assert_eq!(
        [action("max-age=10", 10), action("max-age=10", 11)],
        [SERVE, Action::Revalidate]
    );
    assert_eq!(
        [action("min-fresh=50", 10), action("min-fresh=50", 11)],
        [SERVE, Action::Revalidate]
    );
    assert_eq!(
        [action("max-stale=10", 70), action("max-stale=10", 71)],
        [STALE, Action::Revalidate]
    );
    assert_eq!(
        [action("max-stale", 9999), action("max-stale=x", 61)],
        [STALE, Action::Revalidate]
    );
    assert_eq!(action("no-cache, max-stale", 70), Action::Revalidate);
    assert_eq!(
        action("no-store", 10),
        SERVE,
        "what is stored already is not concerned"
    );
    assert_eq!(action("only-if-cached", 10), SERVE);
    assert_eq!(action("only-if-cached", 70), Action::Refuse);
}

#[test]
fn pragma_counts_where_there_is_no_cache_control() {
    let minute = kept("max-age=60");
    let action = |fields: Lines<'_>| later(&get(fields), &minute, 10, &Rules::default()).action;
    assert_eq!(action(&[("pragma", "no-cache")]), Action::Revalidate);
    assert_eq!(action(&[("pragma", "x")]), SERVE);
    assert_eq!(
        action(&[("pragma", "no-cache"), ("cache-control", "max-stale")]),
        SERVE
    );
}

#[test]
fn a_site_need_not_listen_to_requests() {
    let rules = Rules {
        obey_requests: false,
        ..Rules::default()
    };
    let minute = kept("max-age=60");
    assert_eq!(
        later(
            &get(&[("cache-control", "no-cache, max-age=0, min-fresh=99")]),
            &minute,
            10,
            &rules
        )
        .action,
        SERVE
    );
    assert_eq!(
        later(&get(&[("cache-control", "max-stale")]), &minute, 70, &rules).action,
        Action::Revalidate
    );
    assert_eq!(
        later(
            &get(&[("cache-control", "only-if-cached")]),
            &minute,
            70,
            &rules
        )
        .action,
        Action::Refuse
    );
}

#[test]
fn stale_while_revalidate_ends_and_forbidden_it_never_begins() {
    let action = |control: &str, seconds| get_later("", &kept(control), seconds).action;
    let both = Action::ServeStale { revalidate: true };
    assert_eq!(action("max-age=60, stale-while-revalidate=10", 60), both);
    assert_eq!(
        action("max-age=60, stale-while-revalidate=10", 70),
        Action::Revalidate
    );
    for forbidden in [
        "must-revalidate",
        "proxy-revalidate",
        "s-maxage=60",
        "no-cache",
    ] {
        let control = format!("max-age=60, stale-while-revalidate=10, {forbidden}");
        assert_eq!(action(&control, 61), Action::Revalidate, "{forbidden}");
    }
    let rules = Rules {
        stale_while_revalidate: 10,
        ..Rules::default()
    };
    let plainly = |control: &str, seconds| later(&get(&[]), &kept(control), seconds, &rules).action;
    assert_eq!(
        plainly("max-age=60", 69),
        both,
        "the site's, where the origin says nothing"
    );
    assert_eq!(
        plainly("max-age=60, stale-while-revalidate=0", 60),
        Action::Revalidate,
        "the origin's own word counts"
    );
    assert_eq!(
        plainly("max-age=0", 0),
        Action::Revalidate,
        "nobody said it may be shared unasked"
    );
}

#[test]
fn a_site_may_let_the_origins_stale_words_count_beside_s_maxage() {
    let rules = Rules {
        stale_beside_s_maxage: true,
        ..Rules::default()
    };
    let action = |control: &str| later(&get(&[]), &kept(control), 61, &rules).action;
    assert_eq!(
        action("s-maxage=60, stale-while-revalidate=10"),
        Action::ServeStale { revalidate: true }
    );
    assert_eq!(action("s-maxage=60"), Action::Revalidate);
    for more in ["must-revalidate", "proxy-revalidate", "no-cache"] {
        assert_eq!(
            action(&format!("s-maxage=60, stale-while-revalidate=10, {more}")),
            Action::Revalidate,
            "{more}"
        );
    }
}

#[test]
fn errors_of_the_origin_are_covered_for_as_long_as_is_allowed() {
    let covered =
        |control: &str, seconds, failure| after_error("", &kept(control), seconds, failure);
    let stale = Some((STALE, Reason::StaleIfError));
    for failure in [
        Failure::NoResponse,
        Failure::Status(500),
        Failure::Status(502),
        Failure::Status(503),
        Failure::Status(504),
    ] {
        assert_eq!(
            covered("max-age=60, stale-if-error=10", 69, failure),
            stale,
            "{failure:?}"
        );
        assert_eq!(
            covered("max-age=60, stale-if-error=10", 70, failure),
            None,
            "{failure:?}"
        );
    }
    for no_failure in [200, 304, 404, 429, 501] {
        assert_eq!(
            covered(
                "max-age=60, stale-if-error=10",
                65,
                Failure::Status(no_failure)
            ),
            None,
            "{no_failure}"
        );
    }
    let default = u64::from(Rules::default().stale_if_error);
    assert_eq!(
        covered("max-age=60", 59 + default, Failure::NoResponse),
        stale
    );
    assert_eq!(
        covered("max-age=60", 60 + default, Failure::NoResponse),
        None
    );
    for forbidden in [
        "must-revalidate",
        "proxy-revalidate",
        "no-cache",
        "s-maxage=60",
        "stale-if-error=0",
    ] {
        assert_eq!(
            covered(&format!("max-age=60, {forbidden}"), 61, Failure::NoResponse),
            None,
            "{forbidden}"
        );
    }
    assert_eq!(
        covered("max-age=0", 0, Failure::NoResponse),
        None,
        "nobody said it may be shared unasked"
    );
}

#[test]
fn a_client_may_accept_stale_in_place_of_an_error() {
    let strict = kept("max-age=60, stale-if-error=0");
    let stale = Some((STALE, Reason::StaleIfError));
    assert_eq!(
        after_error("stale-if-error=10", &strict, 69, Failure::NoResponse),
        stale
    );
    assert_eq!(
        after_error("stale-if-error=10", &strict, 70, Failure::NoResponse),
        None
    );
    assert_eq!(
        after_error(
            "stale-if-error=10",
            &kept("max-age=60, must-revalidate"),
            61,
            Failure::NoResponse
        ),
        None
    );
}

#[test]
fn what_is_fresh_stands_in_for_a_failed_confirmation_that_only_the_client_wanted() {
    let fresh = Some((SERVE, Reason::FreshOriginDown));
    assert_eq!(
        after_error(
            "no-cache",
            &kept("max-age=60, must-revalidate"),
            5,
            Failure::NoResponse
        ),
        fresh
    );
    assert_eq!(
        after_error(
            "no-cache",
            &kept("max-age=60, no-cache"),
            5,
            Failure::NoResponse
        ),
        None
    );
}

#[test]
fn a_purge_is_soft_or_hard() {
    let soft = kept("max-age=60, stale-while-revalidate=10");
    soft.expire(at(5));
    assert_eq!(get_later("", &soft, 5).reason, Reason::StaleWhileRevalidate);
    assert_eq!(get_later("", &soft, 15).reason, Reason::Stale);
    let mut hard = kept("max-age=60");
    hard.invalidate();
    assert_eq!(get_later("max-stale", &hard, 5).reason, Reason::Invalidated);
    assert_eq!(while_down(&get(&[]), &hard, 5).action, Action::Revalidate);
    assert_eq!(after_error("", &hard, 5, Failure::NoResponse), None);
}

#[test]
fn preconditions_that_fail_here_are_for_the_origin_to_judge() {
    let stored = store(&[
        ("cache-control", "max-age=60"),
        ("etag", "\"a\""),
        ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ])
    .unwrap();
    let action = |fields: Lines<'_>| later(&get(fields), &stored, 5, &Rules::default()).action;
    for holds in [
        ("if-match", "\"x\", \"a\""),
        ("if-match", "*"),
        ("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("if-unmodified-since", "x"),
    ] {
        assert_eq!(action(&[holds]), SERVE, "{holds:?}");
    }
    for fails in [
        ("if-match", "\"x\""),
        ("if-match", "W/\"a\""),
        ("if-match", "a"),
        ("if-unmodified-since", "Sun, 06 Nov 1994 08:49:36 GMT"),
    ] {
        assert_eq!(action(&[fails]), Action::Fetch, "{fails:?}");
    }
}

#[test]
fn who_may_wait_for_the_fetch_of_another() {
    let rules = Rules::default();
    let may = |line: &str, fields: Lines<'_>| asked(&request(line, fields), &rules).may_collapse();
    assert!(
        may("GET /a", &[])
            && may("GET /a", &[("if-none-match", "\"a\"")])
            && may("GET /a", &[("cookie", "a=b")])
    );
    assert!(!may("HEAD /a", &[]) && !may("POST /a", &[]));
    for own in [
        ("range", "bytes=0-1"),
        ("if-match", "\"a\""),
        ("cache-control", "no-store"),
        ("cache-control", "only-if-cached"),
        ("content-length", "1"),
    ] {
        assert!(!may("GET /a", &[own]), "{own:?}");
    }
}

#[test]
fn what_the_origin_allows_is_stale_for_no_longer_than_the_site_lets_it() {
    let rules = Rules {
        stale_while_revalidate_ceiling: 5,
        stale_if_error_ceiling: 10,
        stale_origin_down_ceiling: 20,
        ..Rules::default()
    };
    let long = "stale-while-revalidate=3600, stale-if-error=3600";
    let stored = kept(&format!("max-age=60, {long}"));
    let plain = get(&[]);
    let at_stale = |stale: u64, origin| {
        decide(
            &asked(&plain, &rules),
            Found::This(&stored),
            at(60 + stale),
            origin,
            &rules,
        )
        .reason
    };
    assert_eq!(
        at_stale(4, OriginState::Reachable),
        Reason::StaleWhileRevalidate
    );
    assert_eq!(at_stale(5, OriginState::Reachable), Reason::Stale);
    assert_eq!(at_stale(19, OriginState::Down), Reason::StaleOriginDown);
    assert_eq!(at_stale(20, OriginState::Down), Reason::Stale);
    let covered = |stale: u64, failure| {
        on_error(
            &asked(&plain, &rules),
            Some(&stored),
            at(60 + stale),
            failure,
            &rules,
        )
        .is_some()
    };
    assert!(covered(9, Failure::Status(503)) && !covered(10, Failure::Status(503)));
    assert!(covered(19, Failure::NoResponse) && !covered(20, Failure::NoResponse));
}

#[test]
fn a_site_may_outlast_an_origin_that_is_down_for_longer_than_one_that_fails() {
    let rules = Rules {
        stale_if_error: 10,
        stale_origin_down: 100,
        ..Rules::default()
    };
    let (silent, strict) = (kept("max-age=60"), kept("max-age=60, stale-if-error=0"));
    let allowed = |stored: &Stored| {
        (
            stored.stale_if_error(&rules),
            stored.stale_origin_down(&rules),
        )
    };
    assert_eq!(allowed(&silent), (10, 100));
    assert_eq!(allowed(&strict), (0, 0), "the origin has the last word");
    assert_eq!(allowed(&kept("max-age=60, must-revalidate")), (0, 0));
}
