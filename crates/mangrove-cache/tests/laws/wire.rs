//! What is written for a disk comes back as it was, and nothing else comes back at all.

use mangrove_cache::{Content, Interval, LifetimeSource, Rules, Stored, admit, decode, encode};
use proptest::prelude::*;

use crate::talk::{asked, get, response, times};

fn text() -> impl Strategy<Value = String> {
    "[ -~]{0,40}"
}

fn vary() -> impl Strategy<Value = String> {
    prop::sample::subsequence(
        vec!["Accept-Encoding", "x-b", "COOKIE", "X-A", "accept-language"],
        0..5,
    )
    .prop_map(|names| names.join(", "))
}

prop_compose! {
    fn stored()(
        cache_control in prop::sample::select(vec![
            "max-age=60", "s-maxage=9, must-revalidate", "max-age=5, immutable, no-transform", "public",
            "max-age=1, stale-while-revalidate=30, stale-if-error=86400", "no-cache, max-age=4",
        ]),
        modified in prop::option::of(Just("Sat, 01 Nov 2025 00:00:00 GMT")),
        vary in vary(),
        others in prop::collection::vec(("x-[a-z]{1,9}", text()), 0..6),
        source in prop::sample::select(LifetimeSource::ALL.to_vec()),
        content in prop_oneof![
            any::<Option<u64>>().prop_map(|length| Content::Whole { length }),
            (0..1000_u64, 0..1000_u64, prop::option::of(2000..9000_u64)).prop_map(|(first, more, total)| Content::Part {
                held: Interval { first, last: first + more },
                total,
            }),
        ],
        invalidated: bool,
        initial_age: u64,
    ) -> Stored {
        let mut fields = vec![("Cache-Control", cache_control), ("ETag", "\"x\""), ("Vary", &*vary)];
        fields.extend(modified.map(|date| ("Last-Modified", date)));
        fields.extend(others.iter().map(|(name, value)| (&**name, &**value)));
        let (request, rules) = (get(&[("X-A", "1"), ("Cookie", "a=b")]), Rules::default());
        let mut stored = admit(&asked(&request, &rules), &response(200, &fields), &rules, times(7)).unwrap();
        stored.lifetime.source = source;
        stored.content = content;
        stored.invalidated = invalidated;
        stored.initial_age = initial_age;
        stored
    }
}

fn encoded(stored: &Stored) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(stored, &mut bytes);
    bytes
}

proptest! {
    #[test]
    fn what_was_written_comes_back(stored in stored()) {
        prop_assert_eq!(decode(&encoded(&stored)), Some(stored));
    }

    /// A bit that fell, an end that is missing, something behind it: either nothing, or what would be written just so.
    #[test]
    fn nothing_comes_back_that_would_not_be_written_so(
        stored in stored(),
        at in any::<prop::sample::Index>(),
        with in any::<u8>(),
        cut in prop::option::of(any::<prop::sample::Index>()),
        more in prop::collection::vec(any::<u8>(), 0..3),
    ) {
        let mut bytes = encoded(&stored);
        *at.get_mut(&mut bytes) ^= with;
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        bytes.extend(more);
        if let Some(read) = decode(&bytes) {
            prop_assert_eq!(encoded(&read), bytes);
        }
    }

    #[test]
    fn no_bytes_at_all_cause_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Some(read) = decode(&bytes) {
            prop_assert_eq!(encoded(&read), bytes);
        }
    }
}

#[test]
fn a_field_line_that_would_begin_another_is_not_taken_back() {
    let (request, rules) = (get(&[]), Rules::default());
    let said = response(200, &[("Cache-Control", "max-age=60"), ("X-A", "harmless")]);
    let stored = admit(&asked(&request, &rules), &said, &rules, times(0)).unwrap();
    let bytes = encoded(&stored);
    let at = bytes
        .windows(8)
        .position(|window| window == b"harmless")
        .unwrap();
    for (from, to) in [(4, b'\n'), (4, b'\r'), (4, 0)] {
        let mut bytes = bytes.clone();
        bytes[at + from] = to;
        assert_eq!(decode(&bytes), None);
    }
}

#[test]
fn one_field_line_more_than_are_read_is_refused() {
    let (request, rules) = (get(&[]), Rules::default());
    let said = response(200, &[("Cache-Control", "max-age=60")]);
    let mut stored = admit(&asked(&request, &rules), &said, &rules, times(0)).unwrap();
    while stored.fields.len() < mangrove_cache::WIRE_FIELDS {
        stored.fields.push(b"x-a", b"");
    }
    assert!(decode(&encoded(&stored)).is_some());
    stored.fields.push(b"x-a", b"");
    assert_eq!(decode(&encoded(&stored)), None);
}
