//! What must not be kept is not, however it is said.

use mangrove_cache::{Freshened, Rules, Stored, admit, freshen, freshen_by_head};
use mangrove_http::Method;
use proptest::prelude::*;

use crate::talk::{Lines, asked, get, request, response, response_to, times};

/// A directive as origins spell it.
fn spelt(name: &'static str) -> impl Strategy<Value = String> {
    (any::<u32>(), 0..4_usize, 0..3_usize).prop_map(move |(cases, argument, space)| {
        let spelt: String = name
            .chars()
            .enumerate()
            .map(|(place, c)| match cases >> place & 1 {
                0 => c,
                _ => c.to_ascii_uppercase(),
            })
            .collect();
        // With a proper argument `private` would be about the fields it names.
        let argument = ["", "=", "=\"\"", "=@"][argument];
        let space = ["", " ", "\t "][space];
        format!("{space}{spelt}{argument}{space}")
    })
}

/// Other directives, some malformed, around the one that counts.
fn line(name: &'static str) -> impl Strategy<Value = String> {
    let other = prop::sample::select(vec![
        "public",
        "max-age=60",
        "s-maxage=9",
        "x=\"a, b\"",
        "",
        "no-cache=\"x-a\"",
        "immutable",
        "x=\"never closed",
        "max-age=\"60",
    ]);
    (
        prop::collection::vec(other.clone(), 0..4),
        spelt(name),
        prop::collection::vec(other, 0..4),
    )
        .prop_map(|(before, said, after)| {
            let mut all: Vec<String> = before.into_iter().map(str::to_owned).collect();
            all.push(said);
            all.extend(after.into_iter().map(str::to_owned));
            all.join(",")
        })
}

fn forbidding() -> impl Strategy<Value = String> {
    prop_oneof![line("no-store"), line("private")]
}

fn rules() -> impl Strategy<Value = Rules> {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(cookies, stale, normal)| Rules {
        store_set_cookie: cookies,
        stale_beside_s_maxage: stale,
        normalize_encoding: normal,
        ..Rules::default()
    })
}

fn stored(fields: Lines<'_>, rules: &Rules) -> Option<Stored> {
    let request = get(&[]);
    admit(
        &asked(&request, rules),
        &response(200, fields),
        rules,
        times(0),
    )
    .ok()
}

proptest! {
    #[test]
    fn nothing_that_is_private_or_not_to_be_stored_exists(line in forbidding(), rules in rules(), second in any::<bool>()) {
        // Also beside a line that permits everything.
        let mut fields = vec![("Cache-Control", &*line), ("ETag", "\"x\"")];
        if second {
            fields.insert(0, ("Cache-Control", "public, max-age=9"));
        }
        prop_assert_eq!(stored(&fields, &rules), None, "{}", line);
    }

    #[test]
    fn what_is_forbidden_later_is_kept_no_longer(line in forbidding(), rules in rules()) {
        let before = stored(&[("Cache-Control", "max-age=9"), ("ETag", "\"x\"")], &rules).unwrap();
        let request = get(&[]);
        let confirmed = response(304, &[("Cache-Control", &line), ("ETag", "\"x\"")]);
        let freshened = freshen(&before, &confirmed, &asked(&request, &rules), &rules, times(20));
        prop_assert!(matches!(freshened, Freshened::Withdrawn(_)), "{}", line);

        let head = self::request("HEAD /a", &[]);
        let said = response_to(Method::Head, 200, &[("Cache-Control", &line), ("ETag", "\"x\"")]);
        let after = freshen_by_head(&before, &said, &asked(&head, &rules), &rules, times(5));
        prop_assert!(!after.is_fresh(crate::talk::at(5)), "{}", line);
        prop_assert_eq!(&after.fields, &before.fields);
    }

    /// RFC 9111 section 5.2.1.5: nothing of the response to a request with no-store is kept, not even a confirmation.
    #[test]
    fn nothing_is_kept_of_what_a_client_wants_forgotten(line in line("no-store"), status in prop::sample::select(vec![200_u16, 304])) {
        let rules = Rules::default();
        let before = stored(&[("Cache-Control", "max-age=9"), ("ETag", "\"x\"")], &rules).unwrap();
        let request = get(&[("Cache-Control", &line)]);
        let said = response(status, &[("Cache-Control", "max-age=900"), ("ETag", "\"x\""), ("X-A", "new")]);
        let asked = asked(&request, &rules);
        if status == 200 {
            prop_assert!(admit(&asked, &said, &rules, times(20)).is_err(), "{}", line);
        } else {
            let (after, kept) = freshen(&before, &said, &asked, &rules, times(20)).into_stored();
            prop_assert!(!kept || after == before, "{}", line);
        }
    }
}
