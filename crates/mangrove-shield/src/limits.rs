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
//!
//! ```
//! use std::time::Duration;
//! use mangrove_shield::limits::{KeyHash, Limiter, Rate, Verdict};
//!
//! let rate = Rate::new(5, Duration::from_secs(60), 5).expect("five a minute");
//! let limiter = Limiter::new(rate, 1_024);
//! let key = KeyHash::new([7, 7]).part(b"203.0.113.9").finish();
//! let second = 1_000_000_000;
//! for _ in 0..5 {
//!     assert_eq!(limiter.charge(key, 0), Verdict::Within);
//! }
//! assert_eq!(limiter.charge(key, 0), Verdict::Over { wait: Duration::from_secs(12) });
//! assert_eq!(limiter.charge(key, 12 * second), Verdict::Within);
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

    /// What a key that has paid by `paid_by` owes after one more; or how long it must wait for that.
    fn judge(self, paid_by: u64, now: u64) -> Result<u64, u64> {
        let next = paid_by.max(now).saturating_add(self.every);
        let latest = now.saturating_add(self.depth);
        if next <= latest {
            Ok(next)
        } else {
            Err(next - latest)
        }
    }
}

/// Whether a key may have what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Within,
    /// It may not, and not before this has passed.
    Over {
        /// How long until it may have one.
        wait: Duration,
    },
}

impl Verdict {
    fn of(judged: Result<u64, u64>) -> Self {
        match judged {
            Ok(_) => Self::Within,
            Err(wait) => Self::Over {
                wait: Duration::from_nanos(wait),
            },
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
    /// Its hash but for the lowest 16 bits, which chose the set; in these, how often it was refused since it last owed nothing.
    name: u64,
    /// When it will owe nothing, in nanoseconds.
    paid_by: u64,
}

const REFUSED: u64 = 0xffff;

impl Entry {
    fn is_named(&self, key: u64) -> bool {
        self.name & !REFUSED == key & !REFUSED
    }

    fn note_refusal(&mut self) {
        if self.name & REFUSED < REFUSED {
            self.name += 1;
        }
    }

    /// What counts against forgetting it.
    fn weight(&self, now: u64) -> (u64, u64) {
        match self.paid_by.saturating_sub(now) {
            0 => (0, 0),
            owed => (self.name & REFUSED, owed),
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Set {
    entries: [Entry; WAYS],
    /// When newcomers who found no place free will owe nothing.
    others: u64,
}

impl Set {
    fn charge(&mut self, key: u64, rate: Rate, now: u64) -> Verdict {
        if let Some(entry) = self.owing(key, now) {
            let judged = rate.judge(entry.paid_by, now);
            match judged {
                Ok(next) => entry.paid_by = next,
                Err(_) => entry.note_refusal(),
            }
            return Verdict::of(judged);
        }
        let Some(lightest) = self.entries.iter_mut().min_by_key(|e| e.weight(now)) else {
            return Verdict::Within;
        };
        let (refused, owed) = lightest.weight(now);
        if owed > 0 {
            // To forget it would let through one more than the places may have: the newcomers pay for that.
            match rate.shared_by(WAYS as u64).judge(self.others, now) {
                Ok(next) => self.others = next,
                Err(wait) => return Verdict::of(Err(wait)),
            }
        }
        if refused == 0 && owed <= rate.every {
            *lightest = Entry {
                name: key & !REFUSED,
                paid_by: now.saturating_add(rate.every),
            };
        }
        Verdict::Within
    }

    fn look(&mut self, key: u64, rate: Rate, now: u64) -> Verdict {
        if let Some(entry) = self.owing(key, now) {
            let judged = rate.judge(entry.paid_by, now);
            if judged.is_err() {
                entry.note_refusal();
            }
            return Verdict::of(judged);
        }
        if self.entries.iter().any(|entry| entry.paid_by <= now) {
            return Verdict::Within;
        }
        Verdict::of(rate.shared_by(WAYS as u64).judge(self.others, now))
    }

    /// Charges what has happened already: no key owes more than a whole burst for it.
    fn note(&mut self, key: u64, rate: Rate, now: u64) {
        if self.charge(key, rate, now) == Verdict::Within {
            return;
        }
        let most = now.saturating_add(rate.depth);
        if let Some(entry) = self.owing(key, now) {
            entry.paid_by = entry.paid_by.max(most);
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
    rate: Rate,
    shards: Box<[Mutex<Box<[Set]>>]>,
}

impl Limiter {
    /// With places for at least `keys`, and memory for them from the first. Nobody owes anything.
    pub fn new(rate: Rate, keys: usize) -> Self {
        let sets = keys.div_ceil(WAYS * SHARDS).next_power_of_two();
        let shard = || Mutex::new(vec![Set::default(); sets].into());
        Self {
            rate,
            shards: (0..SHARDS).map(|_| shard()).collect(),
        }
    }

    /// Lets `key` have one more at `now`, in nanoseconds, or says that it may not.
    pub fn charge(&self, key: u64, now: u64) -> Verdict {
        self.with_set(key, |set| set.charge(key, self.rate, now))
    }

    /// Whether it might have one more, without giving it one.
    pub fn look(&self, key: u64, now: u64) -> Verdict {
        self.with_set(key, |set| set.look(key, self.rate, now))
    }

    /// It has had one more, whether it might or not.
    pub fn note(&self, key: u64, now: u64) {
        self.with_set(key, |set| {
            set.note(key, self.rate, now);
            Verdict::Within
        });
    }

    /// Bytes that it takes, whoever comes.
    pub fn bytes(&self) -> usize {
        let sets = |shard: &Mutex<Box<[Set]>>| lock(shard).len();
        self.shards.iter().map(sets).sum::<usize>() * size_of::<Set>()
    }

    fn with_set(&self, key: u64, work: impl FnOnce(&mut Set) -> Verdict) -> Verdict {
        let part = |bits: u64, of: usize| {
            usize::try_from(bits).unwrap_or(0) % of.max(1) // both are powers of two
        };
        let shard = self.shards.get(part(key >> 58, SHARDS));
        let mut sets = match shard {
            Some(shard) => lock(shard),
            None => return Verdict::Within,
        };
        let at = part(key & 0xffff_ffff, sets.len());
        sets.get_mut(at).map_or(Verdict::Within, work)
    }
}

/// What a panic left is as good as what was there: each entry stands for itself.
fn lock(shard: &Mutex<Box<[Set]>>) -> std::sync::MutexGuard<'_, Box<[Set]>> {
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
            assert_eq!(limiter.charge(key(HEAVY + n), now), Verdict::Within, "{n}");
            // Each heavy one asks for ten times what it may have, and more than that now and then.
            let heavy = key(n * 7 % HEAVY);
            let allowed = limiter.charge(heavy, now) == Verdict::Within;
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
                allowed += u32::from(limiter.charge(key(0), now) == Verdict::Within);
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
                through += usize::from(limiter.charge(key(n), now) == Verdict::Within);
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
            assert_eq!(limiter.look(key(1), 0), Verdict::Within);
        }
        (0..5).for_each(|_| limiter.note(key(1), 0)); // two were under way at once with the third
        let wait = Duration::from_secs(20);
        assert_eq!(limiter.look(key(1), 0), Verdict::Over { wait });
        assert_eq!(limiter.look(key(2), 0), Verdict::Within);
        assert_eq!(limiter.look(key(1), 20_000 * MILLI), Verdict::Within);
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
                let allowed = limiter.charge(key(n), now) == Verdict::Within;
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
            prop_assert!(limiter.charge(key(1), at + wait - 1) != Verdict::Within);
            prop_assert_eq!(limiter.charge(key(1), at + wait), Verdict::Within);
        }
    }
}
