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
//! 5. Nor is what they share given back when one of them makes no use of it, or has earned it: they wait that much longer, and
//!    never have more than they may.
//!
//! Who is over is refused, or is given a turn that comes later: then he owes for it already, and the next one comes after him. What
//! a key that is known does not use after all is given back at once ([`Limiter::give_back`]).
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

mod key;
#[cfg(test)]
mod tests;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

pub use self::key::{Key, KeyHash};

/// Keys that lie together; of these the lightest is forgotten first.
pub const WAYS: usize = 8;
/// Parts of a limiter that are locked apart, so that cores seldom meet.
pub const SHARDS: usize = 64;
/// The longest that a whole burst may take, in nanoseconds: 146 years. Beyond, sums would come to where numbers end.
pub const LONGEST_BURST: u64 = u64::MAX >> 2;

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
        (1..=LONGEST_BURST)
            .contains(&depth)
            .then_some(Self { every, depth })
    }

    /// For so many keys that share.
    fn shared_by(self, keys: u64) -> Self {
        Self {
            every: (self.every / keys).max(1),
            depth: self.depth,
        }
    }

    /// How long a whole burst takes.
    pub fn whole_burst(self) -> Duration {
        Duration::from_nanos(self.depth)
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
        let mut judged = terms.rate.judge(self.paid_by, at);
        if let Judged::Over { .. } = judged {
            self.refuse(terms, at.now);
            return terms.rate.judge(self.paid_by, at);
        }
        if self.is_held() {
            self.let_go(terms);
            judged = terms.rate.judge(self.paid_by, at);
        }
        if let Judged::Within { paid_by } | Judged::Later { paid_by, .. } = judged {
            self.paid_by = paid_by;
        }
        judged
    }

    /// Whether it is being kept out, or was until a moment ago.
    fn is_held(&self) -> bool {
        self.name & HELD != 0
    }

    /// Where it was kept out and is no longer, it has what the rate gave it meanwhile: its whole burst again, where it was kept
    /// out for as long as that takes.
    fn let_go(&mut self, terms: Terms) {
        if self.is_held() {
            self.name &= !HELD;
            let more = terms.hold.saturating_sub(terms.rate.every);
            self.paid_by = self.paid_by.saturating_sub(more);
        }
    }

    /// It was one too many. From the first such on it may have no more for as long as the limit holds whom it refuses.
    fn refuse(&mut self, terms: Terms, now: u64) {
        if self.name & REFUSED < REFUSED {
            self.name += 1;
        }
        if terms.hold > 0 && !self.is_held() {
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
            match judged {
                Judged::Over { .. } => *entry = copy,
                _ => entry.let_go(terms),
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
            && !entry.is_held()
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

    /// One that lets whoever goes over have nothing for so long, from the first request too many on; then what the rate gave it
    /// meanwhile, which is a whole burst where that takes no longer. A key that strangers share is not held.
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
    pub fn charge(&self, key: impl Into<Key>, now: u64) -> Verdict {
        self.charge_or_wait(key, now, Duration::ZERO)
    }

    /// The same for whoever may wait so long: one more, or a turn that comes later, or neither.
    pub fn charge_or_wait(&self, key: impl Into<Key>, now: u64, patience: Duration) -> Verdict {
        let key = key.into();
        let patience = u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX);
        let at = Asked { now, patience };
        self.judge(key, |set| {
            Verdict::of(set.charge(key.hash, self.terms_of(key), at), now)
        })
    }

    /// Whether it might have one more, without giving it one.
    pub fn look(&self, key: impl Into<Key>, now: u64) -> Verdict {
        let key = key.into();
        self.judge(key, |set| set.look(key.hash, self.terms_of(key), now))
    }

    /// It has had one more, whether it might or not.
    pub fn note(&self, key: impl Into<Key>, now: u64) {
        let key = key.into();
        self.with_set(key, |set, _| set.note(key.hash, self.terms_of(key), now));
    }

    /// It was given one more, or a turn (`later`), at this very moment, and makes no use of it. What newcomers share stays taken.
    pub fn give_back(&self, key: impl Into<Key>, now: u64, later: bool) {
        let key = key.into();
        self.with_set(key, |set, counts| {
            set.forgive(key.hash, self.terms.rate.every, now);
            counts.later = counts.later.wrapping_sub(u64::from(later));
        });
    }

    /// It has earned `percent` of what one costs in `100 - percent` of such: who does only so many of a hundred that count owes
    /// nothing for them.
    pub fn forgive(&self, key: impl Into<Key>, now: u64, percent: u32) {
        let key = key.into();
        let percent = u64::from(percent.min(99));
        let nanos = self.terms.rate.every.saturating_mul(percent) / (100 - percent);
        self.with_set(key, |set, _| set.forgive(key.hash, nanos, now));
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

    /// What strangers share is held for nobody.
    fn terms_of(&self, key: Key) -> Terms {
        match key.is_shared {
            true => Terms {
                hold: 0,
                ..self.terms
            },
            false => self.terms,
        }
    }

    fn judge(&self, key: Key, work: impl FnOnce(&mut Set) -> Verdict) -> Verdict {
        let verdict = self.with_set(key, |set, counts| {
            let verdict = work(set);
            counts.note(verdict);
            verdict
        });
        verdict.unwrap_or(Verdict::Within {
            owes: Duration::ZERO,
        })
    }

    fn with_set<T>(&self, key: Key, work: impl FnOnce(&mut Set, &mut Counts) -> T) -> Option<T> {
        let key = key.hash;
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
