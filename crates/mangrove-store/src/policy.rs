//! What is kept when room is needed: S3-FIFO, told in two logs of slabs. Pure, so that it can be exchanged.
//!
//! What is new goes to the *probation* log. When the oldest slab of that log comes up, what was asked for again moves to the
//! *main* log, and the rest leaves; its key is remembered as a ghost, and if it comes again soon it goes to main at once. In
//! main, what was asked for since it came (or came up) is written again at the young end, one count poorer; the rest leaves.
//! So a crawl that asks for everything once never pushes out what visitors come back for.

use crate::record::Log;
use crate::words::KeyHash;

/// Of all slabs, the share that probation may take before main gives way: one in so many.
const PROBATION_SHARE: u64 = 10;
/// Ghosts remembered: [`WAYS`] in each of so many places, 4 bytes each: 2 MiB.
const PLACES: usize = 1 << 17;
const WAYS: usize = 4;

/// What becomes of a record when its slab comes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is written again, to the main log, with this count.
    Stays(u8),
    /// It is let go of.
    Leaves,
}

#[derive(Debug)]
pub(crate) struct Policy {
    ghosts: Box<[[u32; WAYS]]>,
}

impl Policy {
    pub(crate) fn new() -> Self {
        Self {
            ghosts: vec![[0; WAYS]; PLACES].into_boxed_slice(),
        }
    }

    /// Where a new object of this key is written.
    pub(crate) fn place(&mut self, key: KeyHash) -> Log {
        let (place, print) = ghost(key);
        let ghost = self
            .ghosts
            .get_mut(place)
            .and_then(|ways| ways.iter_mut().find(|way| **way == print));
        match ghost {
            Some(way) => {
                *way = 0;
                Log::Main
            }
            None => Log::Probation,
        }
    }

    /// Which log's oldest slab comes up, if probation and main are so large.
    pub(crate) fn comes_up(&self, probation: u64, main: u64) -> Log {
        let share = (probation + main) / PROBATION_SHARE;
        if main == 0 || probation > share {
            Log::Probation
        } else {
            Log::Main
        }
    }

    /// What becomes of a record that was asked for so often.
    pub(crate) fn fate(&mut self, log: Log, key: KeyHash, asked: u8) -> Fate {
        match (log, asked) {
            (Log::Probation, 0) => {
                let (place, print) = ghost(key);
                if let Some(ways) = self.ghosts.get_mut(place)
                    && !ways.contains(&print)
                {
                    ways.rotate_right(1);
                    if let Some(first) = ways.first_mut() {
                        *first = print;
                    }
                }
                Fate::Leaves
            }
            (Log::Probation, _) => Fate::Stays(0),
            (Log::Main, 0) => Fate::Leaves,
            (Log::Main, asked) => Fate::Stays(asked - 1),
        }
    }
}

/// Place and print (never 0) of a key's ghost. Two keys may share both: then a stranger is taken for an acquaintance.
fn ghost(key: KeyHash) -> (usize, u32) {
    let mixed = key.0.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let print = u32::try_from(mixed >> 32).unwrap_or(0).max(1);
    let place = usize::try_from(mixed & 0xffff_ffff).unwrap_or(0) % PLACES;
    (place, print)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_left_unasked_and_comes_again_goes_to_main_once() {
        let mut policy = Policy::new();
        assert_eq!(policy.place(KeyHash(7)), Log::Probation);
        assert_eq!(policy.fate(Log::Probation, KeyHash(7), 0), Fate::Leaves);
        assert_eq!(policy.place(KeyHash(7)), Log::Main);
        assert_eq!(policy.place(KeyHash(7)), Log::Probation);
    }

    #[test]
    fn main_keeps_what_is_asked_for_as_often_as_it_was() {
        let mut policy = Policy::new();
        assert_eq!(policy.fate(Log::Probation, KeyHash(7), 3), Fate::Stays(0));
        assert_eq!(policy.fate(Log::Main, KeyHash(7), 2), Fate::Stays(1));
        assert_eq!(policy.fate(Log::Main, KeyHash(7), 0), Fate::Leaves);
        assert_eq!(
            policy.place(KeyHash(7)),
            Log::Probation,
            "main leaves no ghosts"
        );
    }

    #[test]
    fn probation_comes_up_when_it_is_over_its_tenth() {
        let policy = Policy::new();
        assert_eq!(policy.comes_up(3, 0), Log::Probation);
        assert_eq!(policy.comes_up(10, 90), Log::Main);
        assert_eq!(policy.comes_up(11, 90), Log::Probation);
    }
}
