//! Freshness only ever runs out.

use mangrove_cache::{Action, Found, OriginState, Reason, Rules, Stored, Times, admit, decide};
use mangrove_http::UnixMillis;
use proptest::prelude::*;

use crate::talk::{asked, at, date, get, response};

/// Everything that a response may say of its age and lifetime.
fn lines() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let seconds = prop_oneof![0..200_i64, Just(86_400), Just(i64::from(u32::MAX))];
    let directive = (
        prop::sample::select(vec![
            "max-age=",
            "s-maxage=",
            "stale-while-revalidate=",
            "stale-if-error=",
        ]),
        seconds.clone(),
    )
        .prop_map(|(name, seconds)| ("Cache-Control", format!("{name}{seconds}")));
    let flag = prop::sample::select(vec!["public", "must-revalidate", "no-cache", "immutable"])
        .prop_map(|flag| ("Cache-Control", flag.to_owned()));
    let dated = (
        prop::sample::select(vec!["Date", "Expires", "Last-Modified"]),
        -400_000..400_000_i64,
    )
        .prop_map(|(name, seconds)| (name, date(seconds)));
    let age = seconds.prop_map(|seconds| ("Age", seconds.to_string()));
    let tag = Just(("ETag", "\"x\"".to_owned()));
    prop::collection::vec(prop_oneof![directive, flag, dated, age, tag], 1..6)
}

fn wish() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        (0..300_u32).prop_map(|seconds| format!("max-age={seconds}")),
        (0..300_u32).prop_map(|seconds| format!("min-fresh={seconds}")),
        Just("no-cache".to_owned()),
    ]
}

fn stored(fields: &[(&str, String)], delay: u64) -> Option<Stored> {
    let fields: Vec<(&str, &str)> = fields
        .iter()
        .map(|(name, value)| (*name, &**value))
        .collect();
    let (request, rules) = (get(&[]), Rules::default());
    let times = Times {
        requested_at: at(0),
        received_at: UnixMillis(at(0).0 + delay),
    };
    admit(
        &asked(&request, &rules),
        &response(200, &fields),
        &rules,
        times,
    )
    .ok()
}

proptest! {
    /// What is fresh at some moment was fresh at every moment before, by as much as time has passed.
    #[test]
    fn what_is_left_shrinks_as_time_passes(
        fields in lines(), delay in 0..5_000_u64, early in 0..500_000_000_u64, more in 0..500_000_000_u64,
    ) {
        let Some(stored) = stored(&fields, delay) else { return Ok(()) };
        let (early, late) = (at(0).0 + early, at(0).0 + early + more);
        let [early, late] = [early, late].map(UnixMillis);
        prop_assert!(stored.age(late) >= stored.age(early));
        prop_assert!(stored.ttl(late) <= stored.ttl(early));
        prop_assert!(!stored.is_fresh(late) || stored.is_fresh(early));
        prop_assert_eq!(stored.is_fresh(late), stored.staleness(late).is_none());
        prop_assert!(stored.staleness(late) >= stored.staleness(early));
        prop_assert_eq!(stored.ttl(late) > 0, stored.is_fresh(late));
    }

    /// The cache never begins to serve what it would not have served a moment before, whatever the client wants.
    #[test]
    fn whoever_is_served_late_would_have_been_served_early(
        fields in lines(), wish in wish(), early in 0..400_000_u64, more in 0..400_000_u64, down in any::<bool>(),
    ) {
        let Some(stored) = stored(&fields, 0) else { return Ok(()) };
        let rules = Rules::default();
        let request = get(&[("Cache-Control", &*wish)]);
        let origin = if down { OriginState::Down } else { OriginState::Reachable };
        let becomes = |seconds| decide(&asked(&request, &rules), Found::This(&stored), at(seconds), origin, &rules);
        let (early, late) = (becomes(early), becomes(early + more));
        if late.action == Action::Serve {
            prop_assert_eq!(early.action, Action::Serve);
        }
        let served = |action| matches!(action, Action::Serve | Action::ServeStale { .. });
        if served(late.action) {
            prop_assert!(served(early.action), "{:?} after {:?}", late, early);
        }
        if late.reason == Reason::Fresh {
            prop_assert_eq!(early.reason, Reason::Fresh);
        }
    }

    /// The same response, having been longer on its way or older when it left, is fresh for no longer.
    #[test]
    fn what_comes_older_is_fresh_for_no_longer(
        fields in lines(), delay in 0..5_000_u64, longer in 0..5_000_u64, age in 0..500_u64, older in 0..500_u64, now in 0..400_000_u64,
    ) {
        let aged = |age: u64| {
            let mut fields: Vec<_> = fields.iter().filter(|(name, _)| *name != "Age").cloned().collect();
            fields.push(("Age", age.to_string()));
            fields
        };
        let young = stored(&aged(age), delay);
        let old = stored(&aged(age + older), delay + longer);
        if let (Some(young), Some(old)) = (young, old) {
            // A response without Date counts from when it arrived; then Expires and Last-Modified do too.
            if fields.iter().any(|(name, _)| *name == "Date") {
                let now = UnixMillis(at(now).0 + 10_000);
                prop_assert!(old.ttl(now) <= young.ttl(now));
            }
        }
    }

    /// A soft purge makes nothing fresher, and what it leaves is stale.
    #[test]
    fn a_purge_makes_nothing_fresher(fields in lines(), purged in 0..400_000_u64, more in 0..400_000_u64) {
        let Some(before) = stored(&fields, 0) else { return Ok(()) };
        let after = before.clone();
        after.expire(at(purged));
        prop_assert!(!after.is_fresh(at(purged)) && !after.is_fresh(at(purged + more)));
        prop_assert!(after.ttl(at(purged + more)) <= before.ttl(at(purged + more)));
    }
}
