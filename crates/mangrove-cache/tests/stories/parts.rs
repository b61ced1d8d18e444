//! Parts of a representation put together (RFC 9111 section 3.4).

use mangrove_cache::{Content, From, Interval, Rules, Stored, combine, missing, whole_of};
use mangrove_http::Known;

use crate::talk::{get, response, store, store_for};

const MINUTE: (&str, &str) = ("cache-control", "max-age=60");

fn part_of(tag: &str, range: &str, note: &str) -> Stored {
    let fields = [
        MINUTE,
        ("etag", tag),
        ("content-range", range),
        ("x-note", note),
    ];
    store_for(
        &get(&[("range", "bytes=0-")]),
        &response(206, &fields),
        &Rules::default(),
    )
    .unwrap()
}

fn part(range: &str) -> Stored {
    part_of("\"a\"", range, range)
}

fn piece(first: u64, last: u64) -> Interval {
    Interval::new(first, last).unwrap()
}

#[test]
fn two_halves_are_a_whole_with_the_newer_fields() {
    let combined = combine(&part("bytes 0-4/10"), &part("bytes 5-9/10")).unwrap();
    assert_eq!(
        combined.pieces,
        [(From::Old, piece(0, 4)), (From::New, piece(5, 9))]
    );
    let whole = combined.stored;
    assert_eq!(
        (whole.status, whole.content),
        (200, Content::Whole { length: Some(10) })
    );
    assert_eq!(whole.fields.field(Known::ContentLength), Some(&b"10"[..]));
    assert_eq!(whole.fields.field(Known::ContentRange), None);
    assert!(
        whole
            .fields
            .iter()
            .any(|field| field.value == b"bytes 5-9/10" && field.name == b"x-note")
    );
}

#[test]
fn where_parts_overlap_the_new_bytes_count() {
    let pieces = |old, new| combine(&part(old), &part(new)).map(|combined| combined.pieces);
    let (o, n) = (From::Old, From::New);
    assert_eq!(
        pieces("bytes 0-6/10", "bytes 4-8/10").unwrap(),
        [(o, piece(0, 3)), (n, piece(4, 8))]
    );
    assert_eq!(
        pieces("bytes 4-8/10", "bytes 0-6/10").unwrap(),
        [(n, piece(0, 6)), (o, piece(7, 8))]
    );
    assert_eq!(
        pieces("bytes 0-8/10", "bytes 4-5/10").unwrap(),
        [(o, piece(0, 3)), (n, piece(4, 5)), (o, piece(6, 8))]
    );
    assert_eq!(
        pieces("bytes 4-5/10", "bytes 0-8/10").unwrap(),
        [(n, piece(0, 8))]
    );
    assert_eq!(pieces("bytes 0-3/10", "bytes 5-8/10"), None, "a gap");
}

#[test]
fn what_is_still_a_part_says_which() {
    let combined = combine(&part("bytes 2-4/10"), &part("bytes 5-6/*"))
        .unwrap()
        .stored;
    assert_eq!(
        (combined.status, combined.content),
        (
            206,
            Content::Part {
                held: piece(2, 6),
                total: Some(10)
            }
        )
    );
    assert_eq!(
        combined.fields.field(Known::ContentRange),
        Some(&b"bytes 2-6/10"[..])
    );
    assert_eq!(missing(&combined), Some(vec![piece(0, 1), piece(7, 9)]));
}

#[test]
fn only_parts_of_one_representation_go_together() {
    let old = part("bytes 0-4/10");
    for other in [
        part_of("\"b\"", "bytes 5-9/10", ""),
        part_of("W/\"a\"", "bytes 5-9/10", ""),
        part_of("", "bytes 5-9/10", ""),
        part("bytes 5-9/11"),
    ] {
        assert_eq!(combine(&old, &other), None, "{:?}", other.fields);
    }
    let weak = |range| part_of("W/\"a\"", range, "");
    assert_eq!(
        combine(&weak("bytes 0-4/10"), &weak("bytes 5-9/10")),
        None,
        "weak tags do not show equal bytes"
    );
    assert_eq!(missing(&weak("bytes 0-4/10")), None);
    assert_eq!(
        combine(&old, &store(&[MINUTE, ("etag", "\"a\"")]).unwrap()),
        None
    );
    assert_eq!(
        combine(&part("bytes 0-9/*"), &part("bytes 0-4/5")),
        None,
        "more than there is"
    );
}

#[test]
fn of_a_part_it_is_known_what_the_whole_would_be_kept_with() {
    let whole = whole_of(&part("bytes 4-6/10")).unwrap();
    assert_eq!(
        (whole.status, whole.content),
        (200, Content::Whole { length: Some(10) })
    );
    assert_eq!(whole.fields.field(Known::ContentLength), Some(&b"10"[..]));
    assert_eq!(whole.fields.field(Known::ContentRange), None);
    assert_eq!(whole_of(&part("bytes 4-6/*")), None);
    assert_eq!(whole_of(&whole), None);
    assert_eq!(piece(4, 6).asked(), "bytes=4-6");
}
