//! What the kernel is likely to have of the disk in its memory, by when it was there last; and so how what is asked for is best had.
//!
//! Without `unsafe` nobody can ask the kernel, except by reading, which has it begin to. So two things are remembered: of each chunk,
//! when it was seen there last, or was asked for without being there; and for how long, of late, the kernel has kept what it had.
//! What comes back sooner than that is worth its memory. What does not would only take the place of something that does.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::object::Place;

/// What of a chunk was seen or asked for so many seconds ago is not remembered.
pub const REMEMBERED_SECONDS: u32 = 300;
/// A chunk that was there as a whole so many seconds ago, and of which a part is seen now, is remembered for that part alone: else it
/// would be forgotten while its parts are asked for. What is seen of it sooner renews nothing.
pub const SEEN_WHOLE_SECONDS: u32 = REMEMBERED_SECONDS / 2;
/// Chunks that are remembered; another takes the place of one of them.
pub const REMEMBERED_CHUNKS: usize = 131_072;
/// Where nothing tells how long the kernel keeps what it has, it is taken to be twice as long after so many seconds.
pub const REGAINED_SECONDS: u32 = 300;

/// What a chunk was when it was there last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum There {
    /// All of it was.
    Whole,
    /// Some of it was; of the rest nobody knows.
    InPart,
}

#[derive(Debug)]
pub(crate) struct Recent {
    chunks: Box<[AtomicU32]>,
    /// For how many seconds the kernel keeps what it has, and above that the second in which that was found.
    keeps: AtomicU64,
}

/// What is remembered of a chunk: what tells it from others that have its place, a second, and what was there then; none if it was
/// asked for without being there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    tag: u32,
    second: u32,
    there: Option<There>,
}

/// Seconds of a stamp; they begin again after four hours.
const SECONDS: u32 = (1 << 14) - 1;
const THERE_SHIFT: u32 = 14;
const KEEPS_BITS: u32 = 16;

impl Stamp {
    fn bits(self) -> u32 {
        let there = match self.there {
            None => 0,
            Some(There::InPart) => 1,
            Some(There::Whole) => 2,
        };
        self.tag << 16 | there << THERE_SHIFT | self.second & SECONDS
    }

    fn of(bits: u32) -> Stamp {
        let there = match bits >> THERE_SHIFT & 3 {
            1 => Some(There::InPart),
            2 => Some(There::Whole),
            _ => None,
        };
        Stamp {
            tag: bits >> 16,
            second: bits & SECONDS,
            there,
        }
    }
}

fn second(now: Duration) -> u32 {
    u32::try_from(now.as_secs() & u64::from(SECONDS)).unwrap_or(0)
}

impl Recent {
    pub(crate) fn new() -> Recent {
        let nothing = || AtomicU32::new(0);
        Recent {
            chunks: std::iter::repeat_with(nothing)
                .take(REMEMBERED_CHUNKS)
                .collect(),
            keeps: AtomicU64::new(REMEMBERED_SECONDS.into()),
        }
    }

    /// What of it was there so lately that it is worth a look.
    pub(crate) fn was_there(&self, place: Place, now: Duration) -> Option<There> {
        self.stamp(place, now)?.0
    }

    /// It is there, or what was asked for of it is.
    pub(crate) fn saw(&self, place: Place, there: There, now: Duration) {
        let known = self.stamp(place, now);
        // Only what is seen as it was seen before tells how long things are kept.
        let ago = match (known, there) {
            (Some((Some(There::Whole), ago)), There::InPart) if ago < SEEN_WHOLE_SECONDS => return,
            (Some((Some(known), ago)), _) if known == there => Some(ago),
            _ => None,
        };
        if let (Some(ago), There::Whole) = (ago, there)
            && ago >= self.keeps(now)
        {
            self.set_keeps(ago + 1, now);
        }
        if ago != Some(0) {
            self.set(place, Some(there), now);
        }
    }

    /// It has just been written, so it is there.
    pub(crate) fn wrote(&self, place: Place, now: Duration) {
        self.set(place, Some(There::Whole), now);
    }

    /// It is asked for, and is not there, or what was asked for of it is not. Whether that is worth being brought there: it would be
    /// there the next time.
    pub(crate) fn missed(&self, place: Place, asked: There, now: Duration) -> bool {
        let keeps = self.keeps(now);
        let is_worth_it = match self.stamp(place, now) {
            // Of the parts of a chunk each is brought for itself, and has not left because another is not there.
            Some((None | Some(There::InPart), ago)) => ago < keeps,
            Some((Some(There::Whole), ago)) => {
                if asked == There::Whole && ago < keeps {
                    self.set_keeps(ago.max(1), now);
                }
                false
            }
            None => false,
        };
        self.set(place, None, now);
        is_worth_it
    }

    /// What of it was there, and how many seconds ago that was.
    fn stamp(&self, place: Place, now: Duration) -> Option<(Option<There>, u32)> {
        let (chunk, tag) = self.chunk(place)?;
        let stamp = Stamp::of(chunk.load(Ordering::Relaxed));
        let ago = second(now).wrapping_sub(stamp.second) & SECONDS;
        (stamp.tag == tag && ago < REMEMBERED_SECONDS).then_some((stamp.there, ago))
    }

    fn set(&self, place: Place, there: Option<There>, now: Duration) {
        if let Some((chunk, tag)) = self.chunk(place) {
            let second = second(now);
            let stamp = Stamp { tag, second, there };
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
        let known = self.keeps.load(Ordering::Relaxed);
        let since = now.as_secs().saturating_sub(known >> KEEPS_BITS);
        let doubled = (since / u64::from(REGAINED_SECONDS)).min(16);
        let seconds = (known & ((1 << KEEPS_BITS) - 1)) << doubled;
        u32::try_from(seconds)
            .unwrap_or(u32::MAX)
            .min(REMEMBERED_SECONDS)
    }

    fn set_keeps(&self, seconds: u32, now: Duration) {
        let seconds = u64::from(seconds.min(REMEMBERED_SECONDS));
        self.keeps
            .store(now.as_secs() << KEEPS_BITS | seconds, Ordering::Relaxed);
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

    /// One place is asked for and missed, as a whole, and again so many seconds later; whether it is worth it then.
    fn is_worth_it_after(recent: &Recent, seconds: u64, now: u64) -> bool {
        recent.missed(place(2), There::Whole, at(now - seconds));
        recent.missed(place(2), There::Whole, at(now))
    }

    #[test]
    fn what_comes_back_within_five_minutes_is_worth_it_and_what_was_there_is_looked_for() {
        // Also where the seconds of a stamp begin again.
        for begin in [1_000, u64::from(SECONDS) - 1, u64::from(SECONDS) + 1] {
            for there in [There::Whole, There::InPart] {
                let recent = Recent::new();
                let missed = |seconds| recent.missed(place(7), there, at(begin + seconds));
                let was_there = |seconds| recent.was_there(place(7), at(begin + seconds));
                assert!(was_there(0).is_none() && !missed(0), "never asked for");
                assert!(was_there(0).is_none() && missed(0) && missed(LONG - 1));
                assert!(!missed(2 * LONG - 1));
                recent.saw(place(7), there, at(begin));
                let seen = Some(there);
                assert_eq!(
                    (was_there(0), was_there(LONG - 1), was_there(LONG)),
                    (seen, seen, None)
                );
                recent.wrote(place(7), at(begin + LONG));
                let whole = Some(There::Whole);
                assert_eq!(
                    (was_there(2 * LONG - 1), was_there(2 * LONG)),
                    (whole, None)
                );
                assert_eq!(recent.was_there(place(8), at(begin)), None);
            }
        }
    }

    /// A cache that is read through once, again and again, would have the kernel throw away what is asked for more often.
    #[test]
    fn what_left_before_it_was_asked_for_again_is_not_brought_again() {
        let recent = Recent::new();
        let is_worth_it_after = |seconds, now| is_worth_it_after(&recent, seconds, now);
        recent.saw(place(1), There::Whole, at(100));
        assert!(!recent.missed(place(1), There::Whole, at(120)), "it left");
        assert!(is_worth_it_after(19, 150) && !is_worth_it_after(20, 150));
        // What it gave up later than that tells nothing new, and what it gave up at once is a second.
        recent.saw(place(3), There::Whole, at(120));
        recent.missed(place(3), There::Whole, at(141));
        assert!(is_worth_it_after(19, 150));
        recent.saw(place(3), There::Whole, at(150));
        assert!(!recent.missed(place(3), There::Whole, at(150)));
        assert!(is_worth_it_after(0, 150) && !is_worth_it_after(1, 150));
    }

    /// What players ask for in parts, each on a new connection, was read from the disk five minutes after it was written, though the
    /// kernel had it.
    #[test]
    fn what_is_asked_for_in_parts_alone_is_remembered_while_they_are_asked_for() {
        let recent = Recent::new();
        let saw = |seconds| {
            recent.saw(place(1), There::InPart, at(seconds));
            recent.was_there(place(1), at(seconds))
        };
        let half = u64::from(SEEN_WHOLE_SECONDS);
        recent.wrote(place(1), at(1_000));
        assert_eq!(saw(1_000 + half - 1), Some(There::Whole));
        // That alone does not renew it.
        assert_eq!(recent.was_there(place(1), at(1_000 + LONG)), None);
        for later in [0, LONG - 1, 2 * LONG - 2] {
            assert_eq!(saw(1_000 + half + later), Some(There::InPart));
        }
        // Nor is anything learned of how long things are kept, where a part is followed by all of it.
        let now = 1_000 + half + 2 * LONG + 100;
        recent.saw(place(3), There::Whole, at(now - 50));
        recent.missed(place(3), There::Whole, at(now - 40));
        recent.saw(place(1), There::Whole, at(now));
        assert_eq!(saw(now), Some(There::Whole));
        assert!(
            is_worth_it_after(&recent, 9, now + 10) && !is_worth_it_after(&recent, 10, now + 10)
        );
    }

    /// A visitor who asked for range after range made it look as if nothing stayed for a second: then all was read from the disk.
    #[test]
    fn that_a_part_is_not_there_does_not_tell_that_another_left() {
        let recent = Recent::new();
        for now in 100..130 {
            // It is asked for, brought, and what follows is not there.
            let is_worth_it = recent.missed(place(1), There::InPart, at(now));
            assert_eq!(is_worth_it, now > 100);
            recent.saw(place(1), There::InPart, at(now));
        }
        recent.saw(place(4), There::Whole, at(130));
        recent.saw(place(4), There::InPart, at(135));
        assert_eq!(recent.was_there(place(4), at(140)), Some(There::Whole));
        assert!(!recent.missed(place(4), There::InPart, at(140)));
        recent.saw(place(5), There::InPart, at(140));
        recent.missed(place(5), There::Whole, at(141));
        assert!(is_worth_it_after(&recent, LONG - 1, 500));
    }

    #[test]
    fn that_it_keeps_things_longer_is_learned_from_what_it_kept_and_else_tried_after_a_while() {
        // The clock of a machine that is up for months, too.
        for begin in [1_000, 10_000_000] {
            let recent = Recent::new();
            let shrink = |now| {
                recent.saw(place(1), There::Whole, at(now));
                recent.missed(place(1), There::Whole, at(now + 10));
            };
            let is_worth_it_after = |seconds, now| is_worth_it_after(&recent, seconds, begin + now);
            shrink(begin);
            for there in [There::InPart, There::Whole] {
                let number = if there == There::Whole { 3 } else { 4 };
                recent.saw(place(number), there, at(begin));
                assert!(is_worth_it_after(9, 100) && !is_worth_it_after(10, 100));
                recent.saw(place(number), there, at(begin + 100));
            }
            assert!(is_worth_it_after(100, 200) && !is_worth_it_after(101, 200));
            shrink(begin + 1_000);
            let regained = 1_010 + u64::from(REGAINED_SECONDS);
            assert!(!is_worth_it_after(10, regained - 1) && is_worth_it_after(19, regained));
            assert!(!is_worth_it_after(20, regained));
            // Two, four, ... times as long, until it is as long as it ever is, and that for good.
            for later in [
                5 * LONG,
                u64::from(SECONDS) + LONG,
                100 * u64::from(SECONDS),
            ] {
                assert!(is_worth_it_after(LONG - 1, regained + later));
                assert!(!is_worth_it_after(LONG, regained + later));
            }
        }
    }

    #[test]
    fn one_chunk_too_many_takes_the_place_of_another() {
        let recent = Recent::new();
        let chunks = 0..=REMEMBERED_CHUNKS as u64;
        for number in chunks.clone() {
            recent.wrote(place(number), at(60));
        }
        let known = chunks
            .filter(|number| recent.was_there(place(*number), at(60)).is_some())
            .count();
        let most = REMEMBERED_CHUNKS;
        assert!((most / 2..=most).contains(&known), "{known}");
    }
}
