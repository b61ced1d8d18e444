//! Variants of one URL (RFC 9111 section 4.1).

use mangrove_cache::{
    DeviceRule, Found, KeyRules, Place, Rules, Stored, WORDS_WITHIN, WordsOfField, distinctions,
    place_for, select, write_variant,
};
use mangrove_http::RequestHead;

use crate::talk::{Lines, get, request, response, store_for};

fn varied_by(rules: &Rules, asking: Lines<'_>, vary: &str) -> Stored {
    store_for(
        &get(asking),
        &response(200, &[("cache-control", "max-age=60"), ("vary", vary)]),
        rules,
    )
    .unwrap()
}

fn varied(asking: Lines<'_>, vary: &str) -> Stored {
    varied_by(&Rules::default(), asking, vary)
}

fn matches(stored: &Stored, asking: Lines<'_>) -> bool {
    select([stored], &get(asking), &Rules::default(), &mut Vec::new()).is_some()
}

#[test]
fn what_is_listed_must_be_the_same_or_be_absent_from_both() {
    let stored = varied(&[("foo", "1"), ("other", "2")], "Foo, bar");
    assert!(matches(&stored, &[("FOO", "1")]) && matches(&stored, &[("foo", "1"), ("other", "3")]));
    for other in [
        &[("foo", "2")][..],
        &[],
        &[("foo", "1"), ("bar", "x")],
        &[("foo", "1"), ("bar", "")],
        &[("foo", "1"), ("foo", "1")],
    ] {
        assert!(!matches(&stored, other), "{other:?}");
    }
    assert!(matches(&varied(&[], "foo"), &[]));
    assert!(!matches(&varied(&[], "foo"), &[("foo", "")]));
}

#[test]
fn lists_are_compared_without_white_space_and_line_breaks() {
    let stored = varied(&[("foo", "1,2")], "foo");
    for same in [
        &[("foo", "1, 2")][..],
        &[("foo", " 1 ,\t2 ")],
        &[("foo", "1"), ("foo", "2")],
    ] {
        assert!(matches(&stored, same), "{same:?}");
    }
    assert!(!matches(&stored, &[("foo", "2, 1")]) && !matches(&stored, &[("foo", "\"1, 2\"")]));
    let quoted = varied(&[("foo", "\"1,2\"")], "foo");
    assert!(
        !matches(&quoted, &[("foo", "\"1, 2\"")]),
        "white space in quotes is part of the value"
    );
    let cookie = varied(&[("cookie", "a=1, 2")], "cookie");
    assert!(
        !matches(&cookie, &[("cookie", "a=1,2")]),
        "a cookie is no list"
    );
}

#[test]
fn codings_and_languages_are_compared_by_what_they_mean() {
    let stored = varied(
        &[("accept-encoding", "gzip, deflate, br, zstd")],
        "Accept-Encoding",
    );
    assert!(matches(
        &stored,
        &[("accept-encoding", "br;q=0.8,zstd,gzip")]
    ));
    assert!(!matches(&stored, &[("accept-encoding", "gzip")]) && !matches(&stored, &[]));
    let plain = varied(&[], "accept-encoding");
    assert!(
        matches(&plain, &[("accept-encoding", "identity")])
            && matches(&plain, &[("accept-encoding", "gzip;q=0")])
    );
    let stored = varied(&[("accept-language", "en, de")], "accept-language");
    for same in ["de, en", "eN ,   De"] {
        assert!(matches(&stored, &[("accept-language", same)]), "{same}");
    }
    assert!(!matches(&stored, &[("accept-language", "de;q=0.5, en")]));
}

#[test]
fn of_several_that_match_the_last_one_generated_is_chosen() {
    let on = |date: &str| {
        let fields = [("cache-control", "max-age=60"), ("date", date)];
        store_for(&get(&[]), &response(200, &fields), &Rules::default()).unwrap()
    };
    let (older, newer) = (
        on("Mon, 17 Nov 2025 23:59:58 GMT"),
        on("Mon, 17 Nov 2025 23:59:59 GMT"),
    );
    let chosen = |stored: &[Stored]| select(stored, &get(&[]), &Rules::default(), &mut Vec::new());
    assert_eq!(chosen(&[older.clone(), newer.clone()]), Some(1));
    assert_eq!(chosen(&[newer, older]), Some(0));
    assert_eq!(chosen(&[varied(&[("a", "1")], "a")]), None);
    assert!(matches!(Found::from(None), Found::Nothing));
}

#[test]
fn the_sites_own_parts_tell_variants_apart() {
    let key = KeyRules {
        cookies: vec!["group".into()],
        headers: vec!["x-country".into()],
        words: vec![WordsOfField {
            header: "accept".into(),
            words: vec!["image/avif".into(), "image/webp".into()],
        }],
        device: DeviceRule::Each,
        languages: vec!["en".into(), "bn".into()],
        ..KeyRules::default()
    };
    let rules = Rules {
        key,
        ..Rules::default()
    };
    let of = |fields: Lines<'_>| {
        let mut out = Vec::new();
        write_variant(&varied(&[], "").vary, &get(fields), &rules, &mut out);
        out
    };
    let plain = of(&[]);
    assert_eq!(
        plain,
        of(&[
            ("cookie", "other=1"),
            ("user-agent", "Firefox"),
            ("accept-language", "de"),
            ("accept", "text/html, image/png")
        ])
    );
    for other in [
        ("cookie", "a=b; group=x"),
        ("cookie", "group="),
        ("x-country", "bd"),
        ("user-agent", "iPhone"),
        ("accept-language", "bn-BD"),
        ("accept", "image/WEBP, */*"),
    ] {
        assert_ne!(plain, of(&[other]), "{other:?}");
    }
    assert_ne!(of(&[("cookie", "group=x")]), of(&[("cookie", "group=y")]));
    let accepting = |types: &str| of(&[("accept", types)]);
    assert_ne!(accepting("image/avif"), accepting("image/webp"));
    assert_eq!(
        accepting("image/webp;q=0.8, text/html"),
        accepting("text/*, image/webp"),
        "only the words count"
    );
    let far = |before: usize| accepting(&format!("{}image/avif", "x".repeat(before)));
    let within = WORDS_WITHIN - "image/avif".len();
    assert_eq!(far(within), accepting("image/avif"));
    assert_eq!(far(within + 1), plain, "too far to be looked for");
    assert_ne!(
        of(&[("x-country", "a"), ("x-country", "b")]),
        of(&[("x-country", "a,b")]),
        "every byte counts"
    );
}

#[test]
fn a_new_variant_supersedes_its_equal_or_at_the_ceiling_the_oldest() {
    let rules = Rules {
        variants: 3,
        ..Rules::default()
    };
    let number = |n: u64| {
        let mut stored = varied(&[("foo", &n.to_string())], "foo");
        stored.received_at.0 += n;
        stored
    };
    let mut stored = vec![number(1), number(2)];
    assert_eq!(place_for(&number(2), &stored, &rules), Place::Instead(1));
    assert_eq!(place_for(&number(3), &stored, &rules), Place::Beside);
    stored.push(number(0));
    assert_eq!(place_for(&number(9), &stored, &rules), Place::Instead(2));
    let none = Rules {
        variants: 0,
        ..rules
    };
    assert_eq!(
        place_for(&number(9), &stored[..0], &none),
        Place::Beside,
        "one is always kept"
    );
}

#[test]
fn different_parts_never_give_the_same_bytes() {
    let of = |names: &str, request: &RequestHead| {
        let mut out = Vec::new();
        write_variant(
            &varied(&[], names).vary,
            request,
            &Rules::default(),
            &mut out,
        );
        out
    };
    assert_ne!(
        of("a", &get(&[("a", "b")])),
        of("a, b", &get(&[("a", ""), ("b", "")]))
    );
    assert_ne!(of("a", &get(&[])), of("a", &get(&[("a", "")])));
    assert_eq!(
        of("b, A, a", &get(&[("a", "1")])),
        of("a,b", &get(&[("a", "1")])),
        "the order of Vary says nothing"
    );
    assert_eq!(of("", &request("GET /x", &[])), b"");
}

/// An operator reads in which ways the requests of a variant are alike, as they were told apart.
#[test]
fn a_variant_tells_which_requests_it_answers() {
    let rules = Rules {
        key: KeyRules {
            cookies: vec!["theme".into(), "currency".into()],
            headers: vec!["x-beta".into()],
            words: vec![WordsOfField {
                header: "accept".into(),
                words: vec!["image/avif".into(), "image/webp".into()],
            }],
            device: DeviceRule::Each,
            languages: vec!["en".into(), "bn".into()],
            ..KeyRules::default()
        },
        ..Rules::default()
    };
    let asking: Lines<'_> = &[
        ("cookie", "theme=dark=1; id=7"),
        ("accept", "image/webp,*/*"),
        ("accept-language", "bn-BD"),
        ("x-many", "1, 2"),
        ("x-many", "a=b"),
    ];
    let stored = varied_by(&rules, asking, "x-many, x-none");
    let told: Vec<String> = distinctions(&stored.variant)
        .map(|one| {
            let (name, value) = (one.name.escape_ascii(), one.value.map(<[u8]>::escape_ascii));
            let value = value.map_or("-".to_owned(), |value| value.to_string());
            format!("{} {name} {value}", one.kind.name())
        })
        .collect();
    assert_eq!(
        told,
        [
            "cookie theme dark=1",
            "cookie currency -",
            "header x-beta -",
            "words accept 01",
            "device  desktop",
            "language  bn",
            "vary x-many 1,2,a=b",
            "vary x-none -",
        ]
    );
    assert_eq!(distinctions(b"").count(), 0);
    assert_eq!(distinctions(b"\0?x\0").count(), 0);
}
