//! How long a response is fresh and how old it is (RFC 9111 section 4.2).

use crate::talk::{asked, at, date, fresh_by, fresh_for, get, response, store, store_for};
use mangrove_cache::{
    DELTA_CEILING, LifetimeRule, LifetimeSource, NegativeRule, NotStored, PathPattern, PolicyField,
    Rules, Times, admit, is_never_stored,
};

const LONG: &str = "max-age=3600";

#[test]
fn the_most_special_word_counts() {
    let expires = date(100);
    let now = date(0);
    let all = [
        ("date", &*now),
        ("expires", &*expires),
        ("cache-control", "max-age=50, s-maxage=20"),
    ];
    assert_eq!(fresh_for(&all), Some(20));
    assert_eq!(
        fresh_for(&[
            ("date", &now),
            ("expires", &expires),
            ("cache-control", "max-age=50")
        ]),
        Some(50)
    );
    assert_eq!(
        fresh_for(&[("date", &now), ("expires", &expires)]),
        Some(100)
    );
    assert_eq!(
        store(&all).unwrap().lifetime.source,
        LifetimeSource::SMaxAge
    );
}

#[test]
fn expires_in_every_form_and_none() {
    let now = date(0); // Tue, 18 Nov 2025 00:00:00 GMT
    let by = |expires: &str| fresh_for(&[("date", &now), ("expires", expires), ("etag", "\"a\"")]);
    for minute in [
        "Tue, 18 Nov 2025 00:01:00 GMT",
        "Tuesday, 18-Nov-25 00:01:00 GMT",
        "Tue Nov 18 00:01:00 2025",
    ] {
        assert_eq!(by(minute), Some(60), "{minute}");
    }
    for past in [
        "0",
        "-1",
        "",
        "Tue, 18 Nov 2025 00:00:00 GMT",
        "Tue, 18 Nov 2025 00:01:00 UTC",
        "Mon, 17 Nov 2025 23:59:59 GMT",
    ] {
        assert_eq!(by(past), Some(0), "{past}");
    }
    let (soon, late) = (date(10), date(1000));
    assert_eq!(
        fresh_for(&[("date", &now), ("expires", &late), ("expires", &soon)]),
        Some(10),
        "the shortest"
    );
    assert_eq!(
        fresh_for(&[("date", "foo"), ("expires", &soon)]),
        Some(10),
        "a Date that is none counts for nothing"
    );
}

#[test]
fn expires_counts_from_date_whatever_our_clock_says() {
    let (fast, faster) = (date(300), date(400));
    let by = |date: &str, expires: &str| {
        fresh_for(&[("date", date), ("expires", expires), ("etag", "\"a\"")])
    };
    assert_eq!(by(&faster, &fast), Some(0));
    assert_eq!(by(&fast, &faster), Some(100));
}

#[test]
fn age_is_the_greater_of_what_the_dates_and_what_the_hops_say() {
    let with = |date: i64, age: &str| {
        let date = crate::talk::date(date);
        store(&[
            ("cache-control", LONG),
            ("etag", "\"a\""),
            ("date", &date),
            ("age", age),
        ])
        .unwrap()
        .age(at(0))
    };
    assert_eq!(with(-30, "10"), 30);
    assert_eq!(with(-30, "40"), 40);
    assert_eq!(
        with(30, "10"),
        10,
        "a clock ahead of ours makes nothing younger"
    );
}

#[test]
fn the_time_the_response_took_counts_as_age() {
    let times = Times {
        requested_at: at(0),
        received_at: at(7),
    };
    let (request, rules) = (get(&[]), Rules::default());
    let response = response(200, &[("cache-control", LONG), ("age", "5")]);
    let stored = admit(&asked(&request, &rules), &response, &rules, times).unwrap();
    assert_eq!((stored.age(at(7)), stored.age(at(10))), (12, 15));
    assert_eq!(
        stored.age(at(0)),
        12,
        "a clock that steps back makes nothing younger"
    );
}

#[test]
fn an_age_that_cannot_be_read_may_be_any_age() {
    let old = |lines: &[&str]| {
        let mut fields = vec![("cache-control", LONG), ("etag", "\"a\"")];
        fields.extend(lines.iter().map(|line| ("age", *line)));
        store(&fields).unwrap().age(at(0))
    };
    assert_eq!(old(&["0"]), 0);
    assert_eq!(old(&["0,7200"]), 0, "the first of a list");
    assert_eq!(old(&["7200,0"]), 7200);
    assert_eq!(old(&["99999999999"]), DELTA_CEILING);
    for unreadable in [
        &["abc"][..],
        &["-7200"],
        &["7200.0"],
        &["7200;foo=bar"],
        &[""],
        &["0, 0"],
        &["0", "0"],
        &["0", "7200"],
        &["7200", "0"],
    ] {
        assert_eq!(old(unreadable), DELTA_CEILING, "{unreadable:?}");
    }
}

#[test]
fn heuristics_only_where_nothing_is_said_and_the_status_allows() {
    let (now, day_ago, years_ago) = (date(0), date(-86_400), date(-400 * 86_400));
    let by = |status, modified: &str, control: &str| {
        fresh_by(
            &Rules::default(),
            status,
            &[
                ("date", &now),
                ("last-modified", modified),
                ("cache-control", control),
            ],
        )
    };
    assert_eq!(by(200, &day_ago, ""), Some(8640), "a tenth");
    assert_eq!(by(200, &years_ago, ""), Some(86_400), "up to a day");
    assert_eq!(by(200, &date(5), ""), Some(0), "modified in the future");
    for status in [203, 204, 300, 301, 308, 404, 405, 410, 414, 501] {
        assert_eq!(by(status, &day_ago, ""), Some(8640), "{status}");
    }
    for status in [201, 202, 302, 303, 307, 400, 403, 500, 502, 503, 504, 599] {
        assert_eq!(by(status, &day_ago, ""), None, "{status}");
        assert_eq!(
            by(status, &day_ago, "public"),
            Some(8640),
            "{status}, public"
        );
    }
}

#[test]
fn a_targeted_field_decides_alone() {
    let expires = date(100);
    let by = |fields| {
        store(fields)
            .map(|stored| (stored.ttl(at(0)), stored.reuse.policy))
            .ok()
    };
    let both = [
        ("cdn-cache-control", "max-age=60"),
        ("cache-control", "no-store, max-age=5"),
        ("expires", &*expires),
    ];
    assert_eq!(by(&both), Some((60, PolicyField::Cdn)));
    let ours = [
        ("mangrove-cache-control", "max-age=7"),
        ("cdn-cache-control", "no-store"),
    ];
    assert_eq!(by(&ours), Some((7, PolicyField::Mangrove)));
    assert_eq!(
        by(&[
            ("cdn-cache-control", "no-store"),
            ("cache-control", "max-age=60")
        ]),
        None
    );
    let malformed = [
        ("cdn-cache-control", "max-age=60&&"),
        ("cache-control", "max-age=5"),
    ];
    assert_eq!(by(&malformed), Some((5, PolicyField::CacheControl)));
    let silent = [
        ("cdn-cache-control", "must-revalidate"),
        ("expires", &*expires),
        ("etag", "\"a\""),
    ];
    assert_eq!(
        by(&silent),
        Some((0, PolicyField::Cdn)),
        "Expires counts for nothing beside it"
    );
    let note = [
        ("surrogate-control", "max-age=9"),
        ("cache-control", "no-store"),
    ];
    assert_eq!(by(&note), Some((9, PolicyField::Surrogate)));
}

#[test]
fn a_site_sets_lifetimes_where_the_origin_is_silent_or_in_spite_of_it() {
    let rule = |pattern: &str, seconds, overrides| LifetimeRule {
        path: PathPattern::parse(pattern).unwrap(),
        statuses: (200, 299),
        seconds,
        overrides,
    };
    let rules = Rules {
        lifetimes: vec![
            rule("/b*", 1, true),
            rule("/a*", 30, false),
            rule("/*", 99, false),
        ],
        negative: vec![
            NegativeRule {
                statuses: (404, 404),
                seconds: 10,
            },
            NegativeRule {
                statuses: (500, 599),
                seconds: 5,
            },
        ],
        ..Rules::default()
    };
    assert_eq!(fresh_by(&rules, 200, &[]), Some(30), "the first that fits");
    assert_eq!(
        fresh_by(&rules, 200, &[("cache-control", LONG)]),
        Some(3600)
    );
    assert_eq!(fresh_by(&rules, 404, &[]), Some(10));
    assert_eq!(fresh_by(&rules, 502, &[]), Some(5));
    assert_eq!(
        fresh_by(&rules, 404, &[("cache-control", "max-age=20")]),
        Some(20)
    );

    let rules = Rules {
        lifetimes: vec![rule("/a", 30, true)],
        ..rules
    };
    assert_eq!(fresh_by(&rules, 200, &[("cache-control", LONG)]), Some(30));
    assert_eq!(
        fresh_by(&rules, 200, &[("cache-control", "no-store")]),
        None,
        "no rule lifts no-store"
    );
    assert_eq!(
        fresh_by(&rules, 200, &[("cache-control", "private, max-age=5")]),
        None,
        "nor private"
    );
    let cookie = store_for(&get(&[]), &response(200, &[("set-cookie", "a=b")]), &rules);
    assert!(cookie.is_err(), "nor the rule about cookies");
}

#[test]
fn lifetimes_end_at_the_ceiling() {
    for many in ["2147483648", "2147483649", "99999999999999999999"] {
        assert_eq!(
            fresh_for(&[("cache-control", &format!("max-age={many}"))]),
            Some(u64::from(DELTA_CEILING)),
            "{many}"
        );
    }
    let (now, far) = (date(0), date(250_000_000_000));
    assert_eq!(
        fresh_for(&[("date", &now), ("expires", &far)]),
        Some(u64::from(DELTA_CEILING))
    );
}

#[test]
fn a_site_chooses_which_targeted_fields_count_and_which_comes_first() {
    let all = [
        ("mangrove-cache-control", "max-age=1"),
        ("cdn-cache-control", "max-age=2"),
        ("surrogate-control", "max-age=3"),
        ("cache-control", "max-age=4"),
    ];
    let of = |targeted: &[PolicyField]| {
        let rules = Rules {
            targeted: targeted.to_vec(),
            ..Rules::default()
        };
        fresh_by(&rules, 200, &all)
    };
    assert_eq!(of(PolicyField::TARGETED), Some(1));
    assert_eq!(of(&[PolicyField::Cdn, PolicyField::Mangrove]), Some(2));
    assert_eq!(of(&[PolicyField::Surrogate]), Some(3));
    assert_eq!(of(&[]), Some(4));
}

#[test]
fn statuses_that_answer_one_request_are_never_stored() {
    let every = [("cache-control", "public, max-age=60")];
    for status in (200..600).filter(|&status| is_never_stored(status)) {
        let stored = store_for(&get(&[]), &response(status, &every), &Rules::default());
        assert_eq!(stored, Err(NotStored::StatusForOneRequest), "{status}");
    }
    assert!(is_never_stored(103) && is_never_stored(429) && !is_never_stored(404));
}
