//! Asking the origin about what is stored, and what its answer changes (RFC 9111 sections 3.2 and 4.3).

use mangrove_cache::{
    Action, Freshened, Rules, Stored, conditions, confirmed_by, freshen, freshen_by_head,
    is_replaced_when_revalidating,
};
use mangrove_http::{Known, Method};

use crate::talk::{
    Lines, asked, at, date, get, later, request, response, response_to, store, store_for, times,
};

const TAG: (&str, &str) = ("etag", "\"a\"");
const MINUTE: (&str, &str) = ("cache-control", "max-age=60");

/// What is stored after a 304, 100 seconds into the story.
fn after_304(stored: &Stored, fields: Lines<'_>) -> Freshened {
    let (request, rules) = (get(&[]), Rules::default());
    freshen(
        stored,
        &response(304, fields),
        &asked(&request, &rules),
        &rules,
        times(100),
    )
}

fn updated(stored: &Stored, fields: Lines<'_>) -> Stored {
    match after_304(stored, fields) {
        Freshened::Updated(stored) => *stored,
        other => panic!("{other:?}"),
    }
}

fn value<'s>(stored: &'s Stored, name: &str) -> Vec<&'s [u8]> {
    let named = stored
        .fields
        .iter()
        .filter(|field| field.name.eq_ignore_ascii_case(name.as_bytes()));
    named.map(|field| field.value).collect()
}

#[test]
fn the_origin_is_asked_in_its_own_words() {
    let modified = "Sunday, 06-Nov-94 08:49:37 GMT";
    let asking = |fields: Lines<'_>| {
        let stored = store(fields).unwrap();
        let asking =
            conditions(&stored).map(|(name, value)| format!("{name}: {}", value.escape_ascii()));
        asking.collect::<Vec<_>>()
    };
    assert_eq!(
        asking(&[MINUTE, ("etag", "W/\"a\""), ("last-modified", modified)]),
        [
            "if-none-match: W/\\\"a\\\"",
            "if-modified-since: Sunday, 06-Nov-94 08:49:37 GMT"
        ]
    );
    assert_eq!(
        asking(&[MINUTE, ("etag", "unquoted")]),
        ["if-none-match: unquoted"]
    );
    assert!(asking(&[MINUTE, ("last-modified", "yesterday"), ("etag", "")]).is_empty());
    assert!(
        is_replaced_when_revalidating(Known::Range)
            && !is_replaced_when_revalidating(Known::Cookie)
    );
}

#[test]
fn a_304_confirms_updates_and_starts_the_age_anew() {
    let stored = store(&[
        MINUTE,
        TAG,
        ("x-a", "1"),
        ("x-b", "1"),
        ("x-b", "2"),
        ("date", &date(0)),
    ])
    .unwrap();
    let plain = get(&[]);
    assert_eq!(
        later(&plain, &stored, 100, &Rules::default()).action,
        Action::Revalidate
    );
    let now = date(100);
    let fresh = updated(
        &stored,
        &[
            TAG,
            ("X-B", "3"),
            ("cache-control", "max-age=10"),
            ("date", &now),
            ("x-new", "4"),
        ],
    );
    assert_eq!([fresh.age(at(100)), fresh.lifetime.seconds], [0, 10]);
    assert_eq!(
        later(&plain, &fresh, 109, &Rules::default()).action,
        Action::Serve
    );
    assert_eq!(value(&fresh, "x-a"), [b"1"], "kept");
    assert_eq!(
        value(&fresh, "x-b"),
        [b"3"],
        "all lines of a name are replaced"
    );
    assert_eq!(value(&fresh, "x-new"), [b"4"], "added");
    assert_eq!(value(&fresh, "date"), [now.as_bytes()]);
}

/// RFC 9110 section 6.6.1: a message without Date has that of its arrival.
#[test]
fn a_304_without_date_was_made_when_it_arrived() {
    let stored = store(&[TAG, ("date", &date(0)), ("expires", &date(10))]).unwrap();
    let stored = updated(&stored, &[TAG, ("expires", &date(130))]);
    assert_eq!(stored.lifetime.seconds, 30, "not from the older Date");
    assert!(stored.is_fresh(at(129)) && !stored.is_fresh(at(130)));
    assert!(value(&stored, "date").is_empty());
}

/// RFC 9111 section 5.2.1.5.
#[test]
fn a_client_that_wants_nothing_kept_changes_nothing() {
    let stored = store(&[MINUTE, TAG]).unwrap();
    let (request, rules) = (get(&[("cache-control", "no-store")]), Rules::default());
    let said = response(304, &[TAG, ("cache-control", "max-age=900")]);
    let freshened = freshen(&stored, &said, &asked(&request, &rules), &rules, times(100));
    assert_eq!(freshened.into_stored(), (stored, false));
}

#[test]
fn what_the_stored_content_depends_on_is_not_updated() {
    let kept = [
        ("content-length", "5"),
        ("content-encoding", "gzip"),
        ("content-md5", "x"),
        ("content-range", "x"),
    ];
    let stored =
        store(&[&[MINUTE, TAG, ("content-type", "text/plain")], &kept[..]].concat()).unwrap();
    let other = [
        ("content-length", "9"),
        ("content-encoding", "br"),
        ("content-md5", "y"),
        ("content-range", "y"),
    ];
    let hops = [
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("age", "9"),
        ("set-cookie", "a=b"),
        ("content-type", "text/html"),
    ];
    let fresh = updated(&stored, &[&[TAG], &other[..], &hops].concat());
    for (name, old) in kept {
        assert_eq!(value(&fresh, name), [old.as_bytes()], "{name}");
    }
    assert_eq!(
        value(&fresh, "content-type"),
        [b"text/html"],
        "Content- is no sign of its own"
    );
    for left_out in ["x-hop", "age", "set-cookie"] {
        assert!(value(&fresh, left_out).is_empty(), "{left_out}");
    }
    assert_eq!(
        fresh.age(at(100)),
        9,
        "its age counts from what the 304 says"
    );
}

#[test]
fn a_304_about_another_representation_confirms_but_changes_no_field() {
    let stored = store(&[MINUTE, TAG, ("x-a", "1")]).unwrap();
    let Freshened::Confirmed(confirmed) = after_304(
        &stored,
        &[
            ("etag", "\"b\""),
            ("x-a", "2"),
            ("cache-control", "max-age=9"),
        ],
    ) else {
        panic!("not taken over")
    };
    assert_eq!(confirmed.fields, stored.fields);
    assert_eq!(
        [confirmed.age(at(100)), confirmed.lifetime.seconds],
        [0, 60]
    );
    assert!(
        matches!(
            after_304(&stored, &[("etag", "W/\"b\"")]),
            Freshened::Updated(_)
        ),
        "weak ones name nothing"
    );
    assert!(matches!(after_304(&stored, &[]), Freshened::Updated(_)));
}

#[test]
fn a_304_may_end_the_storing() {
    let stored = store(&[MINUTE, TAG]).unwrap();
    for end in [
        ("cache-control", "no-store"),
        ("cache-control", "private"),
        ("vary", "*"),
    ] {
        let freshened = after_304(&stored, &[TAG, end]);
        assert!(matches!(freshened, Freshened::Withdrawn(_)), "{end:?}");
        let (served, stored) = freshened.into_stored();
        assert!(!stored && served.age(at(100)) == 0);
    }
}

#[test]
fn a_304_confirms_what_was_invalid_and_may_change_what_it_varies_on() {
    let mut stored = store(&[MINUTE, TAG]).unwrap();
    stored.invalidate();
    let (request, rules) = (get(&[("foo", "1")]), Rules::default());
    let freshened = freshen(
        &stored,
        &response(304, &[TAG, ("vary", "foo")]),
        &asked(&request, &rules),
        &rules,
        times(100),
    );
    let (fresh, _) = freshened.into_stored();
    assert!(!fresh.invalidated);
    assert_eq!(&*fresh.variant, b"\0vfoo=1");
}

#[test]
fn of_several_variants_a_304_confirms_those_it_names() {
    let variant = |tag, received| {
        let mut stored = store(&[MINUTE, ("etag", tag)]).unwrap();
        stored.received_at = at(received);
        stored
    };
    let stored = [
        variant("\"a\"", 0),
        variant("\"b\"", 1),
        variant("W/\"b\"", 2),
        variant("\"a\"", 3),
    ];
    let by = |tag| confirmed_by(&stored, &response(304, &[("etag", tag)]));
    assert_eq!(by("\"a\""), [0, 3]);
    assert_eq!(by("\"b\""), [1]);
    assert_eq!(by("W/\"b\""), [2], "the last one received");
    assert!(by("\"c\"").is_empty() && confirmed_by(&stored, &response(304, &[])).is_empty());
}

#[test]
fn a_head_updates_what_get_stored_or_makes_it_stale() {
    let stored = store_for(
        &get(&[]),
        &response(200, &[MINUTE, TAG, ("content-length", "5"), ("x-a", "1")]),
        &Rules::default(),
    )
    .unwrap();
    let (head, rules) = (request("HEAD /a", &[]), Rules::default());
    let after = |status, fields: Lines<'_>| {
        freshen_by_head(
            &stored,
            &response_to(Method::Head, status, fields),
            &asked(&head, &rules),
            &rules,
            times(30),
        )
    };
    let fresh = after(
        200,
        &[
            TAG,
            ("content-length", "5"),
            ("x-a", "2"),
            ("cache-control", "max-age=100"),
        ],
    );
    assert_eq!(value(&fresh, "x-a"), [b"2"]);
    assert_eq!((fresh.ttl(at(30)), fresh.content), (100, stored.content));
    assert_eq!(
        after(200, &[]).ttl(at(30)),
        60,
        "what it does not say stays"
    );
    for changed in [
        ("etag", "\"b\""),
        ("content-length", "6"),
        ("last-modified", "x"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(after(200, &[changed]).ttl(at(30)), 0, "{changed:?}");
    }
    assert_eq!(after(410, &[TAG]).ttl(at(30)), 0);
}
