//! Rate limits: how much one key may ask for, however many keys there are.
//!
//! A limit lets a key have so many at once (its burst) and then one more each interval. What a key *owes* is the time until it may
//! have a whole burst again (the generic cell rate algorithm): one number tells all there is to know of it, and a key that owes
//! nothing need not be known at all.
//!
//! So memory is bounded by forgetting those who owe least. Keys lie in sets of [`WAYS`] by a seeded hash, which nobody outside can
//! aim at. The error that this makes, and all of it:
//!
//! 1. A key that owes more than one request, or was refused and still owes, is never forgotten: it is limited exactly.
//! 2. A key that owes one request or less, and was not refused, may be forgotten for a newcomer: it is forgiven that one.
//! 3. Newcomers who find no place in their set that owes nothing share what [`WAYS`] keys may have. So a whole table never lets
//!    through more than twice what its places may have, whatever the number of keys; and nobody is refused too early while
//!    fewer keys than there are places ask for something within one interval.
//! 4. Newcomers who share are not kept out for longer than that, whatever [`Limiter::holding`] says: nobody knows which they are.
//!
//! Who is over is refused, or is given a turn that comes later: then he owes for it already, and the next one comes after him.
//!
//! ```
//! use std::time::Duration;
//! use mangrove_shield::limits::{KeyHash, Limiter, Rate, Verdict};
//!
//! let rate = Rate::new(5, Duration::from_secs(60), 5).expect("five a minute");
//! let limiter = Limiter::new(rate, 1_024);
//! let key = KeyHash::new([7, 7]).part(b"203.0.113.9").finish();
//! let seconds = |count| Duration::from_secs(count);
//! for _ in 0..5 {
//!     assert!(limiter.charge(key, 0).is_within());
//! }
//! assert_eq!(limiter.charge(key, 0), Verdict::Over { wait: seconds(12) });
//! // Who may wait for half a minute is given the next two turns.
//! for wait in [12, 24] {
//!     let wait = seconds(wait);
//!     assert_eq!(limiter.charge_or_wait(key, 0, seconds(30)), Verdict::Later { wait });
//! }
//! assert_eq!(limiter.charge_or_wait(key, 0, seconds(30)), Verdict::Over { wait: seconds(36) });
//! ```

use std::hash::{DefaultHasher, Hasher};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Keys that lie together; of these the lightest is forgotten first.
pub const WAYS: usize = 8;
/// Parts of a limiter that are locked apart, so that cores seldom meet.
pub const SHARDS: usize = 64;

/// How often, and how many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Nanoseconds that one more takes.
    every: u64,
    /// Nanoseconds that a whole burst takes: the most a key may owe.
    depth: u64,
}

impl Rate {
    /// `count` each `per`, `burst` at once. None where that is nothing, or cannot be counted.
    pub fn new(count: u32, per: Duration, burst: u32) -> Option<Self> {
        let per = u64::try_from(per.as_nanos()).ok()?;
        let every = per.checked_div(u64::from(count))?;
        let depth = every.checked_mul(u64::from(burst))?;
        (depth > 0).then_some(Self { every, depth })
    }

    /// For so many keys that share.
    fn shared_by(self, keys: u64) -> Self {
        Self {
            every: (self.every / keys).max(1),
            depth: self.depth,
        }
    }

    /// What a key that has paid by `paid_by` owes after one more, if it may have that before its patience ends.
    fn judge(self, paid_by: u64, at: Asked) -> Judged {
        let paid_by = paid_by.max(at.now).saturating_add(self.every);
        let latest = at.now.saturating_add(self.depth);
        match paid_by.saturating_sub(latest) {
            0 => Judged::Within { paid_by },
            wait if wait <= at.patience => Judged::Later { paid_by, wait },
            wait => Judged::Over { wait },
        }
    }

    /// How many more a key that owes so much may have at once.
    pub fn left(self, owes: Duration) -> u64 {
        let owes = u64::try_from(owes.as_nanos()).unwrap_or(u64::MAX);
        self.depth.saturating_sub(owes) / self.every.max(1)
    }
}

/// When something is asked for, and how long whoever asks would wait for it; in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Asked {
    now: u64,
    patience: u64,
}

impl Asked {
    fn at(now: u64) -> Self {
        Self { now, patience: 0 }
    }
}

/// What one more comes to, in nanoseconds.
#[derive(Clone, Copy, Debug)]
enum Judged {
    Within { paid_by: u64 },
    Later { paid_by: u64, wait: u64 },
    Over { wait: u64 },
}

/// Whether a key may have what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Within {
        /// How long until it may have a whole burst again.
        owes: Duration,
    },
    /// It may when this has passed, and owes for it already.
    Later {
        /// How long until its turn comes.
        wait: Duration,
    },
    /// It may not, and not before this has passed.
    Over {
        /// How long until it may have one.
        wait: Duration,
    },
}

impl Verdict {
    fn of(judged: Judged, now: u64) -> Self {
        match judged {
            Judged::Within { paid_by } => Self::Within {
                owes: Duration::from_nanos(paid_by.saturating_sub(now)),
            },
            Judged::Later { wait, .. } => Self::Later {
                wait: Duration::from_nanos(wait),
            },
            Judged::Over { wait } => Self::Over {
                wait: Duration::from_nanos(wait),
            },
        }
    }

    /// Whether it may at once.
    pub fn is_within(self) -> bool {
        matches!(self, Self::Within { .. })
    }
}

/// What was decided so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that were judged.
    pub seen: u64,
    /// Of these, those that were given a turn later.
    pub later: u64,
    /// Of these, those that were one too many.
    pub over: u64,
}

impl Counts {
    fn note(&mut self, verdict: Verdict) {
        self.seen = self.seen.wrapping_add(1);
        match verdict {
            Verdict::Within { .. } => {}
            Verdict::Later { .. } => self.later = self.later.wrapping_add(1),
            Verdict::Over { .. } => self.over = self.over.wrapping_add(1),
        }
    }
}

/// Makes one number of the parts of a key. Nobody who does not know the seed can choose two keys of one number.
#[derive(Clone, Debug)]
pub struct KeyHash(DefaultHasher);

impl KeyHash {
    /// Of no parts yet.
    pub fn new(seed: [u64; 2]) -> Self {
        let mut hasher = DefaultHasher::new();
        seed.iter().for_each(|word| hasher.write_u64(*word));
        Self(hasher)
    }

    /// And this part, which is another than none, and not to be confused with the next.
    #[must_use]
    pub fn part(mut self, bytes: &[u8]) -> Self {
        self.0.write_usize(bytes.len());
        self.0.write(bytes);
        self
    }

    /// And a part that is not there.
    #[must_use]
    pub fn missing(mut self) -> Self {
        self.0.write_usize(usize::MAX);
        self
    }

    /// The number.
    pub fn finish(self) -> u64 {
        self.0.finish()
    }
}

/// One key in its place.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// Its hash but for the lowest 16 bits, which chose the set; in these, whether it is being kept out ([`HELD`]), and how often
    /// it was refused since it last owed nothing.
    name: u64,
    /// When it will owe nothing, in nanoseconds.
    paid_by: u64,
}

const NOTES: u64 = 0xffff;
const HELD: u64 = 0x8000;
const REFUSED: u64 = 0x7fff;

impl Entry {
    fn is_named(&self, key: u64) -> bool {
        self.name & !NOTES == key & !NOTES
    }

    /// What becomes of one more.
    fn charge(&mut self, terms: Terms, at: Asked) -> Judged {
        let judged = terms.rate.judge(self.paid_by, at);
        match judged {
            Judged::Within { paid_by } | Judged::Later { paid_by, .. } => {
                self.name &= !HELD;
                self.paid_by = paid_by;
                judged
            }
            Judged::Over { .. } => {
                self.refuse(terms, at.now);
                terms.rate.judge(self.paid_by, at)
            }
        }
    }

    /// It was one too many. From the first such on it may have no more for as long as the limit holds whom it refuses.
    fn refuse(&mut self, terms: Terms, now: u64) {
        if self.name & REFUSED < REFUSED {
            self.name += 1;
        }
        if terms.hold > 0 && self.name & HELD == 0 {
            self.name |= HELD;
            let owes = terms
                .hold
                .saturating_add(terms.rate.depth - terms.rate.every);
            self.paid_by = self.paid_by.max(now.saturating_add(owes));
        }
    }

    /// What counts against forgetting it.
    fn weight(&self, now: u64) -> (u64, u64) {
        match self.paid_by.saturating_sub(now) {
            0 => (0, 0),
            owed => (self.name & NOTES, owed),
        }
    }
}

/// How much each key may have, and for how long one that went over may have nothing; in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Terms {
    rate: Rate,
    hold: u64,
}

#[derive(Clone, Debug, Default)]
struct Set {
    entries: [Entry; WAYS],
    /// When newcomers who found no place free will owe nothing.
    others: u64,
}

impl Set {
    fn charge(&mut self, key: u64, terms: Terms, at: Asked) -> Judged {
        let Terms { rate, .. } = terms;
        let now = at.now;
        if let Some(entry) = self.owing(key, now) {
            return entry.charge(terms, at);
        }
        let new = Judged::Within {
            paid_by: now.saturating_add(rate.every),
        };
        let Some(lightest) = self.entries.iter_mut().min_by_key(|e| e.weight(now)) else {
            return new;
        };
        let (refused, owed) = lightest.weight(now);
        let mut judged = new;
        if owed > 0 {
            // To forget it would let through one more than the places may have: the newcomers pay for that.
            judged = rate.shared_by(WAYS as u64).judge(self.others, at);
            match judged {
                Judged::Within { paid_by } | Judged::Later { paid_by, .. } => self.others = paid_by,
                Judged::Over { .. } => return judged,
            }
        }
        if refused == 0 && owed <= rate.every {
            *lightest = Entry {
                name: key & !NOTES,
                paid_by: now.saturating_add(rate.every),
            };
        }
        match judged {
            Judged::Within { .. } => new,
            later => later,
        }
    }

    fn look(&mut self, key: u64, terms: Terms, now: u64) -> Verdict {
        let at = Asked::at(now);
        let looked = |paid_by: u64, judged| match judged {
            Judged::Within { .. } => Judged::Within { paid_by }, // and no more than before
            judged => judged,
        };
        let judged = if let Some(entry) = self.owing(key, now) {
            let mut copy = *entry;
            let judged = copy.charge(terms, at);
            if let Judged::Over { .. } = judged {
                *entry = copy;
            }
            looked(entry.paid_by, judged)
        } else if self.entries.iter().any(|entry| entry.paid_by <= now) {
            Judged::Within { paid_by: now }
        } else {
            let shared = terms.rate.shared_by(WAYS as u64);
            looked(self.others, shared.judge(self.others, at))
        };
        Verdict::of(judged, now)
    }

    /// Charges what has happened already: no key owes more than a whole burst for it.
    fn note(&mut self, key: u64, terms: Terms, now: u64) {
        let Judged::Over { .. } = self.charge(key, terms, Asked::at(now)) else {
            return;
        };
        let most = now.saturating_add(terms.rate.depth);
        if let Some(entry) = self.owing(key, now) {
            entry.paid_by = entry.paid_by.max(most);
        }
    }

    /// Forgives a key so much of what it owes, unless it is being kept out.
    fn forgive(&mut self, key: u64, nanos: u64, now: u64) {
        if let Some(entry) = self.owing(key, now)
            && entry.name & HELD == 0
        {
            entry.paid_by = entry.paid_by.saturating_sub(nanos);
        }
    }

    fn owing(&mut self, key: u64, now: u64) -> Option<&mut Entry> {
        let mut entries = self.entries.iter_mut();
        entries.find(|entry| entry.paid_by > now && entry.is_named(key))
    }
}

/// A limit and who owes how much under it, shared by all cores.
#[derive(Debug)]
pub struct Limiter {
    terms: Terms,
    shards: Box<[Mutex<Shard>]>,
}

#[derive(Debug)]
struct Shard {
    sets: Box<[Set]>,
    counts: Counts,
}

impl Limiter {
    /// With places for at least `keys`, and memory for them from the first. Nobody owes anything.
    pub fn new(rate: Rate, keys: usize) -> Self {
        let sets = keys.div_ceil(WAYS * SHARDS).next_power_of_two();
        let shard = || {
            Mutex::new(Shard {
                sets: vec![Set::default(); sets].into(),
                counts: Counts::default(),
            })
        };
        let terms = Terms { rate, hold: 0 };
        Self {
            terms,
            shards: (0..SHARDS).map(|_| shard()).collect(),
        }
    }

    /// One that lets whoever goes over have nothing for so long, from the first request too many on; then one more, and a whole
    /// burst in time.
    #[must_use]
    pub fn holding(mut self, time: Duration) -> Self {
        // Far more than a day, and far from where sums of such end.
        self.terms.hold =
            u64::try_from(time.as_nanos()).map_or(u64::MAX >> 3, |n| n.min(u64::MAX >> 3));
        self
    }

    /// How much each key may have.
    pub fn rate(&self) -> Rate {
        self.terms.rate
    }

    /// Lets `key` have one more at `now`, in nanoseconds, or says that it may not.
    pub fn charge(&self, key: u64, now: u64) -> Verdict {
        self.judge(key, |set| {
            Verdict::of(set.charge(key, self.terms, Asked::at(now)), now)
        })
    }

    /// The same for whoever may wait so long: one more, or a turn that comes later, or neither.
    pub fn charge_or_wait(&self, key: u64, now: u64, patience: Duration) -> Verdict {
        let patience = u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX);
        self.judge(key, |set| {
            Verdict::of(set.charge(key, self.terms, Asked { now, patience }), now)
        })
    }

    /// Whether it might have one more, without giving it one.
    pub fn look(&self, key: u64, now: u64) -> Verdict {
        self.judge(key, |set| set.look(key, self.terms, now))
    }

    /// It has had one more, whether it might or not.
    pub fn note(&self, key: u64, now: u64) {
        self.with_set(key, |set, _| set.note(key, self.terms, now));
    }

    /// It has earned `percent` of what one costs in `100 - percent` of such: who does only so many of a hundred that count owes
    /// nothing for them.
    pub fn forgive(&self, key: u64, now: u64, percent: u32) {
        let percent = u64::from(percent.min(99));
        let nanos = self.terms.rate.every.saturating_mul(percent) / (100 - percent);
        self.with_set(key, |set, _| set.forgive(key, nanos, now));
    }

    /// What was decided so far.
    pub fn counts(&self) -> Counts {
        self.shards.iter().fold(Counts::default(), |sum, shard| {
            let counts = lock(shard).counts;
            Counts {
                seen: sum.seen.wrapping_add(counts.seen),
                later: sum.later.wrapping_add(counts.later),
                over: sum.over.wrapping_add(counts.over),
            }
        })
    }

    /// Bytes that it takes, whoever comes.
    pub fn bytes(&self) -> usize {
        let sets = |shard: &Mutex<Shard>| lock(shard).sets.len();
        self.shards.iter().map(sets).sum::<usize>() * size_of::<Set>()
    }

    fn judge(&self, key: u64, work: impl FnOnce(&mut Set) -> Verdict) -> Verdict {
        let verdict = self.with_set(key, |set, counts| {
            let verdict = work(set);
            counts.note(verdict);
            verdict
        });
        verdict.unwrap_or(Verdict::Within {
            owes: Duration::ZERO,
        })
    }

    fn with_set<T>(&self, key: u64, work: impl FnOnce(&mut Set, &mut Counts) -> T) -> Option<T> {
        let part = |bits: u64, of: usize| {
            usize::try_from(bits).unwrap_or(0) % of.max(1) // both are powers of two
        };
        let shard = self.shards.get(part(key >> 58, SHARDS))?;
        let Shard { sets, counts } = &mut *lock(shard);
        let at = part(key & 0xffff_ffff, sets.len());
        Some(work(sets.get_mut(at)?, counts))
    }
}

/// What a panic left is as good as what was there: each entry stands for itself.
fn lock(shard: &Mutex<Shard>) -> std::sync::MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
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
            let limiter =
                Limiter::new(rate(count, per, burst), 64).holding(Duration::from_secs(60));
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
            assert!(over(end).is_within());
            // One more, and then it is held anew.
            let Verdict::Over { wait } = over(end + 1) else {
                panic!("{count}: it has its whole burst at once")
            };
            assert!(wait >= Duration::from_secs(60), "{wait:?}");
        }
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
    }

    #[test]
    fn parts_are_not_confused() {
        let of = |parts: &[&[u8]]| {
            let hash = KeyHash::new([3, 4]);
            parts
                .iter()
                .fold(hash, |hash, part| hash.part(part))
                .finish()
        };
        assert_ne!(of(&[b"ab", b"c"]), of(&[b"a", b"bc"]));
        assert_ne!(of(&[b""]), KeyHash::new([3, 4]).missing().finish());
        assert_ne!(of(&[b"a"]), KeyHash::new([3, 5]).part(b"a").finish());
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
}
