use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const MILLI: u64 = 1_000_000;

fn rate(count: u32, seconds: u64, burst: u32) -> Rate {
    Rate::new(count, Duration::from_secs(seconds), burst).unwrap()
}

fn key(n: u64) -> u64 {
    KeyHash::new([1, 2]).part(&n.to_le_bytes()).finish()
}

/// A plain reading: each key's own bucket of tokens, in a map without end.
#[derive(Default)]
struct Exact(HashMap<u64, (u64, u64)>);

impl Exact {
    fn allows(&mut self, key: u64, every: u64, burst: u64, now: u64) -> bool {
        let (left, at) = self.0.entry(key).or_insert((burst * every, now));
        *left = (*left + (now - *at)).min(burst * every);
        *at = now;
        let allowed = *left >= every;
        if allowed {
            *left -= every;
        }
        allowed
    }
}

/// The promise: a flood of new keys pushes no heavy one out, refuses no light one, and takes no memory.
#[test]
fn a_million_prefixes_leave_the_heavy_ones_exactly_limited() {
    const HEAVY: u64 = 1_000;
    let limiter = Limiter::new(rate(10, 1, 20), 65_536);
    let before = limiter.bytes();
    assert!(before <= 65_536 * 17 + 4_096 * SHARDS, "{before}");
    let (mut exact, mut refused) = (Exact::default(), 0);
    for n in 0..1_000_000 {
        let now = n * MILLI / 100; // 100,000 a second
        assert!(limiter.charge(key(HEAVY + n), now).is_within(), "{n}");
        // Each heavy one asks for ten times what it may have, and more than that now and then.
        let heavy = key(n * 7 % HEAVY);
        let allowed = limiter.charge(heavy, now).is_within();
        assert_eq!(allowed, exact.allows(heavy, 100 * MILLI, 20, now), "{n}");
        refused += u32::from(!allowed);
    }
    assert!(refused > 800_000, "{refused}");
    assert_eq!(limiter.bytes(), before);
}

/// With a burst of one there is no debt of more than one: what keeps a key in its place is that it was refused.
#[test]
fn one_at_a_time_is_kept_under_a_flood_too() {
    let limiter = Limiter::new(rate(1, 1, 1), 1_024);
    let mut allowed = 0;
    for n in 0..1_000_000 {
        let now = n * MILLI / 100;
        let _ = limiter.charge(key(1 + n), now);
        if n % 10 == 0 {
            allowed += u32::from(limiter.charge(key(0), now).is_within());
        }
    }
    // In ten seconds; now and then a newcomer sits in its place.
    assert!((5..=10).contains(&allowed), "{allowed}");
}

/// More keys than there are places, and each asks for ten times what it may have: memory stays, and what gets through is at most twice what the places may have.
#[test]
fn who_finds_no_place_shares_what_a_set_may_have() {
    let limiter = Limiter::new(rate(1, 1, 2), 1_024);
    let places = limiter.bytes() / size_of::<Set>() * WAYS;
    let mut through = 0;
    for round in 0..100 {
        for n in 0..20_000 {
            let now = round * 100 * MILLI;
            through += usize::from(limiter.charge(key(n), now).is_within());
        }
    }
    let seconds = 10;
    assert!(through <= 2 * places * (2 + seconds), "{through}");
    assert!(through >= places * seconds, "{through}");
}

#[test]
fn a_look_costs_nothing_and_what_happened_is_noted() {
    let limiter = Limiter::new(rate(3, 60, 3), 64);
    for _ in 0..10 {
        assert!(limiter.look(key(1), 0).is_within());
    }
    (0..5).for_each(|_| limiter.note(key(1), 0)); // two were under way at once with the third
    let wait = Duration::from_secs(20);
    assert_eq!(limiter.look(key(1), 0), Verdict::Over { wait });
    assert!(limiter.look(key(2), 0).is_within());
    assert!(limiter.look(key(1), 20_000 * MILLI).is_within());
}

#[test]
fn who_may_wait_is_given_one_turn_after_another_and_no_more_than_he_waits_for() {
    let limiter = Limiter::new(rate(10, 1, 2), 64);
    let patience = Duration::from_millis(300);
    let charge = |now| limiter.charge_or_wait(key(1), now * MILLI, patience);
    (0..2).for_each(|_| assert!(charge(0).is_within()));
    for wait in [100, 200, 300] {
        let wait = Duration::from_millis(wait);
        assert_eq!(charge(0), Verdict::Later { wait });
    }
    let wait = Duration::from_millis(400);
    assert_eq!(
        charge(0),
        Verdict::Over { wait },
        "and it owes nothing for that"
    );
    let wait = Duration::from_millis(300);
    assert_eq!(charge(100), Verdict::Later { wait });
    assert!(charge(1_000).is_within());
    assert_eq!(
        limiter.counts(),
        Counts {
            seen: 8,
            later: 4,
            over: 1
        }
    );
}

/// From the first request too many on, however often it asks meanwhile, and whatever the rate would give it.
#[test]
fn who_goes_over_is_kept_out_for_as_long_as_was_said_and_no_longer() {
    const SECOND: u64 = 1_000 * MILLI;
    for (count, per, burst) in [(5, 600, 5), (10, 1, 1), (10, 1, 20)] {
        let limiter = Limiter::new(rate(count, per, burst), 64).holding(Duration::from_secs(60));
        (0..burst).for_each(|_| assert!(limiter.charge(key(1), 0).is_within()));
        let over = |at: u64| limiter.charge(key(1), at);
        let natural = Duration::from_secs(per) / count;
        let held = natural.max(Duration::from_secs(60));
        for at in [0, 1, 30, 59] {
            let wait = held.saturating_sub(Duration::from_secs(at));
            assert_eq!(over(at * SECOND), Verdict::Over { wait }, "{count} {at}");
        }
        let end = u64::try_from(held.as_nanos()).unwrap();
        assert!(!over(end - 1).is_within());
        // What the rate gave it meanwhile, and no more; then it is held anew.
        let earned = if count == 5 { 1 } else { burst };
        for n in 0..earned {
            assert!(over(end).is_within(), "{count}: {n} of {earned}");
        }
        let Verdict::Over { wait } = over(end) else {
            panic!("{count}: it has more than it earned")
        };
        assert!(wait >= Duration::from_secs(60), "{wait:?}");
    }
}

/// Such as all who have no cookie: one of them would keep out the others.
#[test]
fn nobody_is_kept_out_for_what_a_stranger_did() {
    let limiter = Limiter::new(rate(1, 1, 1), 64).holding(Duration::from_secs(600));
    let seconds = |n: u64| n * 1_000 * MILLI;
    let of = |cookie: Option<&[u8]>| {
        let hash = KeyHash::new([1, 2]);
        match cookie {
            Some(cookie) => hash.part(cookie).key(),
            None => hash.missing().key(),
        }
    };
    for (key, is_back) in [(of(None), true), (of(Some(b"x")), false)] {
        assert!(limiter.charge(key, 0).is_within());
        assert!(!limiter.charge(key, 0).is_within());
        limiter.note(key, 0);
        assert_eq!(limiter.look(key, seconds(3)).is_within(), is_back);
        assert_eq!(limiter.charge(key, seconds(3)).is_within(), is_back);
    }
}

#[test]
fn what_is_given_back_is_another_s_and_no_delay() {
    let limiter = Limiter::new(rate(1, 1, 2), 64);
    let charge = || limiter.charge_or_wait(key(1), 0, Duration::from_secs(9));
    let turn = Verdict::Later {
        wait: Duration::from_secs(1),
    };
    (0..2).for_each(|_| assert!(charge().is_within()));
    for _ in 0..5 {
        assert_eq!(charge(), turn);
        limiter.give_back(key(1), 0, true);
    }
    assert_eq!(limiter.counts().later, 0);
    limiter.give_back(key(1), 0, false);
    assert!(charge().is_within());
    assert_eq!(charge(), turn);
}

#[test]
fn whoever_is_kept_out_stays_so_under_a_flood_and_is_not_forgiven() {
    let limiter = Limiter::new(rate(10, 1, 1), 1_024).holding(Duration::from_secs(600));
    assert!(limiter.charge(key(0), 0).is_within());
    assert!(!limiter.charge(key(0), 0).is_within());
    for n in 0..1_000_000 {
        let now = n * MILLI / 100;
        let _ = limiter.charge(key(1 + n), now);
        if n % 1_000 == 0 {
            limiter.forgive(key(0), now, 50);
            assert!(!limiter.look(key(0), now).is_within(), "{n}");
        }
    }
}

/// One in five that counts is paid for by the other four, at any pace; one in four is not.
#[test]
fn a_share_is_forgiven_and_no_more() {
    for (of, ends) in [(5, true), (4, false)] {
        let limiter = Limiter::new(rate(1, 86_400, 50), 64);
        let mut counted = 0;
        for n in 0..10_000 {
            if !limiter.look(key(1), 0).is_within() {
                break;
            }
            match n % of {
                0 => limiter.note(key(1), 0),
                _ => limiter.forgive(key(1), 0, 20),
            }
            counted += 1;
        }
        assert_eq!(counted == 10_000, ends, "{of}: {counted}");
    }
}

#[test]
fn what_is_left_is_told_and_a_look_leaves_it() {
    let limiter = Limiter::new(rate(3, 60, 3), 64);
    let left = |verdict| match verdict {
        Verdict::Within { owes } => (limiter.rate().left(owes), owes.as_secs()),
        _ => panic!("{verdict:?}"),
    };
    assert_eq!(left(limiter.look(key(1), 0)), (3, 0));
    assert_eq!(left(limiter.charge(key(1), 0)), (2, 20));
    assert_eq!(left(limiter.look(key(1), 0)), (2, 20));
    assert_eq!(left(limiter.charge(key(1), 0)), (1, 40));
    assert_eq!(left(limiter.charge(key(1), 0)), (0, 60));
}

#[test]
fn what_cannot_be_counted_is_no_rate() {
    assert_eq!(Rate::new(0, Duration::from_secs(1), 1), None);
    assert_eq!(Rate::new(1, Duration::from_secs(1), 0), None);
    assert_eq!(Rate::new(2, Duration::from_nanos(1), 1), None);
    assert_eq!(Rate::new(1, Duration::MAX, 1), None);
    let longest = Duration::from_nanos(LONGEST_BURST);
    assert!(Rate::new(1, longest, 1).is_some());
    assert_eq!(Rate::new(1, longest + Duration::from_nanos(1), 1), None);
}

/// Near where numbers end, everybody would be within.
#[test]
fn the_longest_burst_is_counted_and_ends() {
    let limiter = Limiter::new(rate(1, 86_400, 53_375), 64);
    for n in 0..53_375 {
        assert!(limiter.charge(key(1), 0).is_within(), "{n}");
    }
    assert!(!limiter.charge(key(1), 0).is_within());
}

proptest! {
    /// With room for all, a limiter is a bucket of tokens for each key.
    #[test]
    fn it_counts_as_a_bucket_of_tokens_does(
        steps in proptest::collection::vec((0u64..200, 0u64..8), 0..600),
        count in 1u32..50,
        burst in 1u32..20,
    ) {
        let rate = rate(count, 1, burst);
        let limiter = Limiter::new(rate, 65_536);
        let (mut exact, mut now) = (Exact::default(), 0);
        for (pause, n) in steps {
            now += pause * MILLI;
            let allowed = limiter.charge(key(n), now).is_within();
            prop_assert_eq!(allowed, exact.allows(key(n), rate.every, u64::from(burst), now));
        }
    }

    /// Who waits as long as he was told gets what he asked for.
    #[test]
    fn waiting_as_told_is_enough_and_no_less_is(count in 1u32..1_000, burst in 1u32..50, at in 0u64..1 << 40) {
        let limiter = Limiter::new(rate(count, 10, burst), 64);
        let wait = loop {
            if let Verdict::Over { wait } = limiter.charge(key(1), at) {
                break u64::try_from(wait.as_nanos()).unwrap();
            }
        };
        prop_assert!(!limiter.charge(key(1), at + wait - 1).is_within());
        prop_assert!(limiter.charge(key(1), at + wait).is_within());
    }
}
