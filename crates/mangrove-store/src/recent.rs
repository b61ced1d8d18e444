//! What the kernel is likely to have of the disk in its memory, by when it was there last; and so how what is asked for is best had.
//!
//! Without `unsafe` nobody can ask the kernel, except by reading, which has it begin to. So two things are remembered: of each chunk,
//! when it was seen there last, or was asked for without being there; and for how long, of late, the kernel has kept what it had.
//! What comes back sooner than that is worth its memory. What does not would only take the place of something that does.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::object::Place;

/// What of a chunk was seen or asked for so many seconds ago is not remembered.
pub const REMEMBERED_SECONDS: u32 = 300;
/// Chunks that are remembered; another takes the place of one of them.
pub const REMEMBERED_CHUNKS: usize = 131_072;
/// Where nothing tells how long the kernel keeps what it has, it is taken to be twice as long after so many seconds.
pub const REGAINED_SECONDS: u32 = 300;

#[derive(Debug)]
pub(crate) struct Recent {
    chunks: Box<[AtomicU32]>,
    keeps: AtomicU32,
}

/// What is remembered of a chunk: what tells it from others that have its place, a second, and whether it was there then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    tag: u32,
    second: u32,
    was_there: bool,
}

/// Seconds of a stamp; they begin again after nine hours.
const SECONDS: u32 = (1 << 15) - 1;
const WAS_THERE: u32 = 1 << 15;

impl Stamp {
    fn bits(self) -> u32 {
        let there = if self.was_there { WAS_THERE } else { 0 };
        self.tag << 16 | there | self.second & SECONDS
    }

    fn of(bits: u32) -> Stamp {
        Stamp {
            tag: bits >> 16,
            second: bits & SECONDS,
            was_there: bits & WAS_THERE != 0,
        }
    }
}

fn second(now: Duration) -> u32 {
    u32::try_from(now.as_secs() & u64::from(SECONDS)).unwrap_or(0)
}

fn since(then: u32, now: u32) -> u32 {
    now.wrapping_sub(then) & SECONDS
}

impl Recent {
    pub(crate) fn new() -> Recent {
        let nothing = || AtomicU32::new(0);
        Recent {
            chunks: std::iter::repeat_with(nothing)
                .take(REMEMBERED_CHUNKS)
                .collect(),
            keeps: AtomicU32::new(REMEMBERED_SECONDS << 16),
        }
    }

    /// Whether it was there so lately that it is worth a look.
    pub(crate) fn was_there(&self, place: Place, now: Duration) -> bool {
        matches!(self.stamp(place, now), Some((true, _)))
    }

    /// It is there.
    pub(crate) fn saw(&self, place: Place, now: Duration) {
        let known = self.stamp(place, now);
        if let Some((true, ago)) = known
            && ago >= self.keeps(now)
        {
            self.set_keeps(ago + 1, now);
        }
        if known != Some((true, 0)) {
            self.set(place, now, true);
        }
    }

    /// It has just been written, so it is there.
    pub(crate) fn wrote(&self, place: Place, now: Duration) {
        self.set(place, now, true);
    }

    /// It is asked for, and is not there. Whether it is worth being brought there: it would be there the next time.
    pub(crate) fn missed(&self, place: Place, now: Duration) -> bool {
        let keeps = self.keeps(now);
        let is_worth_it = match self.stamp(place, now) {
            Some((false, ago)) => ago < keeps,
            Some((true, ago)) => {
                if ago < keeps {
                    self.set_keeps(ago.max(1), now);
                }
                false
            }
            None => false,
        };
        self.set(place, now, false);
        is_worth_it
    }

    /// Whether it was there, and how many seconds ago that was.
    fn stamp(&self, place: Place, now: Duration) -> Option<(bool, u32)> {
        let (chunk, tag) = self.chunk(place)?;
        let stamp = Stamp::of(chunk.load(Ordering::Relaxed));
        let ago = since(stamp.second, second(now));
        (stamp.tag == tag && ago < REMEMBERED_SECONDS).then_some((stamp.was_there, ago))
    }

    fn set(&self, place: Place, now: Duration, was_there: bool) {
        if let Some((chunk, tag)) = self.chunk(place) {
            let second = second(now);
            let stamp = Stamp {
                tag,
                second,
                was_there,
            };
            chunk.store(stamp.bits(), Ordering::Relaxed);
        }
    }

    fn chunk(&self, place: Place) -> Option<(&AtomicU32, u32)> {
        let mixed = place.spot().wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let number = (mixed >> 32).checked_rem(self.chunks.len() as u64)?;
        // The bits above those that number a place, and never none, which an empty place has.
        let tag = u32::try_from(mixed >> 48).unwrap_or(0) | 1;
        Some((self.chunks.get(usize::try_from(number).ok()?)?, tag))
    }

    /// For how many seconds the kernel keeps what it has.
    fn keeps(&self, now: Duration) -> u32 {
        let bits = self.keeps.load(Ordering::Relaxed);
        let doubled = since(bits & SECONDS, second(now)) / REGAINED_SECONDS;
        let seconds = u64::from(bits >> 16) << doubled.min(16);
        u32::try_from(seconds)
            .unwrap_or(u32::MAX)
            .min(REMEMBERED_SECONDS)
    }

    fn set_keeps(&self, seconds: u32, now: Duration) {
        let seconds = seconds.min(REMEMBERED_SECONDS);
        self.keeps
            .store(seconds << 16 | second(now), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(number: u64) -> Place {
        // As chunks of 100 KiB lie in slabs.
        let slab = u32::try_from(number / 640).unwrap();
        Place::new(slab, number % 640 * 102_528, 102_400)
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const LONG: u64 = REMEMBERED_SECONDS as u64;

    #[test]
    fn what_comes_back_within_five_minutes_is_worth_it_and_what_was_there_is_looked_for() {
        // After nine hours, where the seconds begin again, too.
        for begin in [1_000, u64::from(SECONDS) - 1, u64::from(SECONDS) + 1] {
            let recent = Recent::new();
            let missed = |seconds| recent.missed(place(7), at(begin + seconds));
            let was_there = |seconds| recent.was_there(place(7), at(begin + seconds));
            assert!(!was_there(0) && !missed(0), "never asked for");
            assert!(!was_there(0) && missed(0) && missed(LONG - 1) && !missed(2 * LONG - 1));
            recent.saw(place(7), at(begin));
            assert!(was_there(0) && was_there(LONG - 1) && !was_there(LONG));
            recent.wrote(place(7), at(begin + LONG));
            assert!(was_there(2 * LONG - 1) && !was_there(2 * LONG));
            assert!(!recent.was_there(place(8), at(begin)));
        }
    }

    /// A cache that is read through once, again and again, would have the kernel throw away what is asked for more often.
    #[test]
    fn what_left_before_it_was_asked_for_again_is_not_brought_again() {
        let recent = Recent::new();
        let is_worth_it_after = |seconds: u64, now: u64| {
            recent.missed(place(2), at(now - seconds));
            recent.missed(place(2), at(now))
        };
        recent.saw(place(1), at(100));
        assert!(!recent.missed(place(1), at(120)), "it left");
        assert!(is_worth_it_after(19, 150) && !is_worth_it_after(20, 150));
        // What it gave up later than that tells nothing new, and what it gave up at once is a second.
        recent.saw(place(3), at(120));
        recent.missed(place(3), at(141));
        assert!(is_worth_it_after(19, 150));
        recent.saw(place(3), at(150));
        assert!(!recent.missed(place(3), at(150)));
        assert!(is_worth_it_after(0, 150) && !is_worth_it_after(1, 150));
    }

    #[test]
    fn that_it_keeps_things_longer_is_learned_from_what_it_kept_and_else_tried_after_a_while() {
        let recent = Recent::new();
        let shrink = |now| {
            recent.saw(place(1), at(now));
            recent.missed(place(1), at(now + 10));
        };
        let is_worth_it_after = |seconds: u64, now: u64| {
            recent.missed(place(2), at(now - seconds));
            recent.missed(place(2), at(now))
        };
        shrink(1_000);
        recent.saw(place(3), at(1_000));
        assert!(is_worth_it_after(9, 1_100) && !is_worth_it_after(10, 1_100));
        recent.saw(place(3), at(1_100));
        assert!(is_worth_it_after(100, 1_200) && !is_worth_it_after(101, 1_200));
        shrink(2_000);
        let regained = 2_010 + u64::from(REGAINED_SECONDS);
        assert!(!is_worth_it_after(10, regained - 1) && is_worth_it_after(19, regained));
        assert!(!is_worth_it_after(20, regained));
        // Two, four, ... times as long, until it is as long as it ever is.
        assert!(is_worth_it_after(LONG - 1, regained + 5 * LONG));
        assert!(!is_worth_it_after(LONG, regained + 5 * LONG));
    }

    #[test]
    fn one_chunk_too_many_takes_the_place_of_another() {
        let recent = Recent::new();
        let chunks = 0..=REMEMBERED_CHUNKS as u64;
        for number in chunks.clone() {
            recent.wrote(place(number), at(60));
        }
        let known = chunks
            .filter(|number| recent.was_there(place(*number), at(60)))
            .count();
        let most = REMEMBERED_CHUNKS;
        assert!((most / 2..=most).contains(&known), "{known}");
    }
}
