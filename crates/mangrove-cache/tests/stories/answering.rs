//! What a stored response becomes as an answer: whole, 304, 206 or 416 (RFC 9110 sections 13 and 14).

use mangrove_cache::{Answer, Interval, Rules, Stored, answer, is_in_not_modified};

use crate::talk::{Lines, asked, at, date, get, request, response, store, store_for};

const TAG: (&str, &str) = ("etag", "\"a\"");
const FRESH: (&str, &str) = ("cache-control", "max-age=60");
const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

fn answered_as(line: &str, stored: &Stored, fields: Lines<'_>) -> Answer {
    answer(
        &asked(&request(line, fields), &Rules::default()),
        stored,
        Some(10),
        at(5),
    )
}

fn answered(stored: &Stored, fields: Lines<'_>) -> Answer {
    answered_as("GET /a", stored, fields)
}

fn piece(first: u64, last: u64) -> Interval {
    Interval::new(first, last).unwrap()
}

fn part(first: u64, last: u64) -> Answer {
    Answer::Part {
        piece: piece(first, last),
        total: Some(10),
    }
}

#[test]
fn if_none_match_compares_weakly_and_goes_before_dates() {
    let stored = store(&[FRESH, TAG, ("last-modified", MODIFIED)]).unwrap();
    for same in ["\"a\"", "W/\"a\"", "\"x\", \"a\", \"y\"", "*"] {
        assert_eq!(
            answered(&stored, &[("if-none-match", same)]),
            Answer::NotModified,
            "{same}"
        );
        assert_eq!(
            answered_as("HEAD /a", &stored, &[("if-none-match", same)]),
            Answer::NotModified,
            "{same}"
        );
    }
    for other in ["\"b\"", "a", "\"a", "", "\"a\" \"b\""] {
        let both = [("if-none-match", other), ("if-modified-since", MODIFIED)];
        assert_eq!(
            answered(&stored, &both),
            Answer::Whole,
            "{other}: the date does not count beside it"
        );
    }
}

#[test]
fn a_tag_that_is_none_matches_its_own_bytes() {
    for odd in ["a", "w/\"a\"", "W\"a\""] {
        let stored = store(&[FRESH, ("etag", odd)]).unwrap();
        assert_eq!(
            answered(&stored, &[("if-none-match", odd)]),
            Answer::NotModified,
            "{odd}"
        );
        assert_eq!(
            answered(&stored, &[("if-none-match", "\"a\"")]),
            Answer::Whole,
            "{odd}"
        );
    }
}

#[test]
fn if_modified_since_in_every_form_of_date() {
    let stored = store(&[FRESH, ("last-modified", MODIFIED)]).unwrap();
    for not_before in [
        MODIFIED,
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:38 1994",
    ] {
        assert_eq!(
            answered(&stored, &[("if-modified-since", not_before)]),
            Answer::NotModified,
            "{not_before}"
        );
    }
    let (earlier, again) = (
        "Sun, 06 Nov 1994 08:49:36 GMT",
        ("if-modified-since", MODIFIED),
    );
    assert_eq!(
        answered(&stored, &[("if-modified-since", earlier)]),
        Answer::Whole
    );
    assert_eq!(
        answered(&stored, &[("if-modified-since", "yesterday")]),
        Answer::Whole
    );
    assert_eq!(
        answered(&stored, &[again, again]),
        Answer::Whole,
        "which of both?"
    );

    let now = date(0);
    let undated = store(&[FRESH, ("date", &now)]).unwrap();
    assert_eq!(
        answered(&undated, &[("if-modified-since", &now)]),
        Answer::NotModified,
        "Date stands in"
    );
    assert_eq!(
        answered(&undated, &[("if-modified-since", &date(-1))]),
        Answer::Whole
    );
}

#[test]
fn preconditions_count_only_for_successes() {
    let gone = store_for(&get(&[]), &response(410, &[FRESH, TAG]), &Rules::default()).unwrap();
    assert_eq!(
        answered(&gone, &[("if-none-match", "\"a\"")]),
        Answer::Whole
    );
}

#[test]
fn a_304_has_what_a_200_would_have_had_but_for_the_content() {
    let stored = store(&[
        FRESH,
        TAG,
        ("date", "x"),
        ("expires", "x"),
        ("vary", "a"),
        ("content-location", "/b"),
        ("last-modified", MODIFIED),
        ("content-type", "text/html"),
        ("content-length", "10"),
        ("Content-Language", "bn"),
        ("content-security-policy-report-only", "x"),
        ("x-own", "1"),
    ]);
    let stored = stored.unwrap();
    let kept: Vec<_> = stored
        .fields
        .iter()
        .filter(|field| is_in_not_modified(&stored, field))
        .map(|field| field.name)
        .collect();
    let expected: [&[u8]; 8] = [
        b"cache-control",
        b"etag",
        b"date",
        b"expires",
        b"vary",
        b"content-location",
        b"content-security-policy-report-only",
        b"x-own",
    ];
    assert_eq!(kept, expected);
    let untagged = store(&[FRESH, ("last-modified", MODIFIED)]).unwrap();
    assert!(
        untagged
            .fields
            .iter()
            .all(|field| is_in_not_modified(&untagged, &field))
    );
}

#[test]
fn ranges_of_a_whole() {
    let stored = store(&[FRESH, TAG]).unwrap();
    let by = |range| answered(&stored, &[("range", range)]);
    assert_eq!(by("bytes=0-1"), part(0, 1));
    assert_eq!(by("bytes=1-"), part(1, 9));
    assert_eq!(by("bytes=-1"), part(9, 9));
    assert_eq!(
        by("bytes=0-0,-1"),
        Answer::Parts {
            pieces: vec![piece(0, 0), piece(9, 9)],
            total: 10
        }
    );
    assert_eq!(by("bytes=10-"), Answer::Unsatisfiable { total: 10 });
    for ignored in ["bytes=x", "lines=0-1", "bytes=1-0"] {
        assert_eq!(by(ignored), Answer::Whole, "{ignored}");
    }
    assert_eq!(
        answered(&stored, &[("range", "bytes=0-1"), ("range", "bytes=2-3")]),
        Answer::Whole
    );
    assert_eq!(
        answered_as("HEAD /a", &stored, &[("range", "bytes=0-1")]),
        Answer::Whole
    );
    let unknown = answer(
        &asked(&get(&[("range", "bytes=0-1")]), &Rules::default()),
        &stored,
        None,
        at(5),
    );
    assert_eq!(unknown, Answer::Whole, "nobody knows yet how long it is");
    let gone = store_for(&get(&[]), &response(410, &[FRESH, TAG]), &Rules::default()).unwrap();
    assert_eq!(answered(&gone, &[("range", "bytes=0-1")]), Answer::Whole);
    assert_eq!(
        answered(
            &stored,
            &[("range", "bytes=0-1"), ("if-none-match", "\"a\"")]
        ),
        Answer::NotModified
    );
}

#[test]
fn if_range_needs_the_same_strong_validator() {
    let minute_before = date(-60);
    let stored = store(&[
        FRESH,
        TAG,
        ("last-modified", &minute_before),
        ("date", &date(0)),
    ])
    .unwrap();
    let by = |value: &str| {
        answered(&stored, &[("range", "bytes=0-1"), ("if-range", value)]) == part(0, 1)
    };
    assert!(by("\"a\"") && by(&minute_before));
    for other in ["\"b\"", "W/\"a\"", "a", &date(-59), &date(-61)] {
        assert!(!by(other), "{other}");
    }
    let recent = store(&[FRESH, ("last-modified", &date(-59)), ("date", &date(0))]).unwrap();
    let weak = answered(&recent, &[("range", "bytes=0-1"), ("if-range", &date(-59))]);
    assert_eq!(
        weak,
        Answer::Whole,
        "it may have changed twice in that second"
    );
}

#[test]
fn a_stored_part_answers_what_lies_in_it() {
    let asking = get(&[("range", "bytes=4-")]);
    let stored = store_for(
        &asking,
        &response(206, &[FRESH, ("content-range", "bytes 4-8/10")]),
        &Rules::default(),
    )
    .unwrap();
    assert_eq!(answered(&stored, &[("range", "bytes=6-7")]), part(6, 7));
    let decided = |range| {
        crate::talk::later(&get(&[("range", range)]), &stored, 5, &Rules::default())
            .reason
            .name()
    };
    assert_eq!(decided("bytes=4-8"), "fresh");
    for beyond in [
        "bytes=3-5",
        "bytes=4-9",
        "bytes=6-",
        "bytes=-2",
        "bytes=4-5,7-8",
        "x",
    ] {
        assert_eq!(decided(beyond), "partial-miss", "{beyond}");
    }
}
