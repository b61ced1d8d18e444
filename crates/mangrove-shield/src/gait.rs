//! How a client moves while it is waited for: for more of a request's body, or until it has taken more of its answer.
//!
//! Deadlines and minimum rates end what is hardly alive. This tells what is slow well before that, for the moment in which there is no
//! room and nobody idle is left to make it. Only time in which the client is waited for counts, and of that the last seconds count
//! most: who has once moved fast does not live on it.
//!
//! ```
//! use mangrove_shield::gait::Gait;
//!
//! let mut gait = Gait::default();
//! for second in 0..60 {
//!     gait.waits(second * 1_000);
//!     gait.moved(300, (second + 1) * 1_000); // a little faster than the minimum rate
//! }
//! gait.waits(60_000);
//! assert!(gait.slow(60_000).is_some_and(|rate| (290..=300).contains(&rate)));
//! ```

/// A client that was not waited for so long cannot be called slow yet: a radio link may take that long to wake.
pub const JUDGED_AFTER_MS: u64 = 2_000;
/// Bytes a second from which on a client moves well: less than the slowest mobile network carries.
pub const MOVES_WELL: u64 = 4 * 1024;
/// Of waiting, what is remembered; with more, half of everything is forgotten.
pub const REMEMBERED_MS: u64 = 8_000;

const NOT: u64 = u64::MAX;

/// How one connection's client has moved lately.
#[derive(Clone, Copy, Debug)]
pub struct Gait {
    moved: u64,
    waited: u64,
    /// Since when it is waited for, in milliseconds.
    since: u64,
}

impl Default for Gait {
    /// Of a client that was not waited for yet.
    fn default() -> Self {
        Self {
            moved: 0,
            waited: 0,
            since: NOT,
        }
    }
}

impl Gait {
    /// It is waited for.
    pub fn waits(&mut self, now: u64) {
        if self.since == NOT {
            self.since = now;
        }
    }

    /// Whether it is waited for.
    #[inline]
    pub fn is_waited_for(&self) -> bool {
        self.since != NOT
    }

    /// It has moved so many bytes, and is not waited for at this moment.
    pub fn moved(&mut self, bytes: u64, now: u64) {
        if self.since != NOT {
            self.waited = self.waited.saturating_add(now.saturating_sub(self.since));
            self.since = NOT;
        }
        self.moved = self.moved.saturating_add(bytes);
        while self.waited > REMEMBERED_MS {
            self.waited /= 2;
            self.moved /= 2;
        }
    }

    /// Bytes a second, of one that is waited for, has been for long enough, and does not move well.
    pub fn slow(&self, now: u64) -> Option<u64> {
        if self.since == NOT {
            return None;
        }
        let waited = self.waited.saturating_add(now.saturating_sub(self.since));
        if waited < JUDGED_AFTER_MS {
            return None;
        }
        let rate = self.moved.saturating_mul(1_000) / waited.max(1);
        (rate < MOVES_WELL).then_some(rate)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// At this many bytes a second from second 0 on, told each `every` milliseconds, and waited for all the time.
    fn at(rate: u64, every: u64, until: u64) -> Gait {
        let mut gait = Gait::default();
        gait.waits(0);
        let mut now = every;
        while now <= until {
            gait.moved(rate * every / 1_000, now);
            gait.waits(now);
            now += every;
        }
        gait
    }

    #[test]
    fn who_moves_well_is_never_slow_and_who_does_not_is_after_a_moment() {
        for until in [2_000, 10_000, 600_000] {
            assert_eq!(at(MOVES_WELL, 1_000, until).slow(until), None);
            assert!(at(MOVES_WELL - 1, 1_000, until).slow(until).is_some());
        }
        let silent = at(0, 100, JUDGED_AFTER_MS - 1);
        assert_eq!(silent.slow(JUDGED_AFTER_MS - 1), None);
        assert_eq!(silent.slow(JUDGED_AFTER_MS), Some(0));
    }

    #[test]
    fn who_is_not_waited_for_is_not_slow() {
        let mut gait = at(0, 1_000, 60_000);
        gait.moved(0, 60_000);
        assert_eq!(gait.slow(u64::MAX), None);
        // And that time is not counted when it is waited for again.
        gait.moved(1 << 20, 60_000);
        gait.waits(3_600_000);
        assert_eq!(gait.slow(3_600_000), None);
    }

    #[test]
    fn a_megabyte_at_once_buys_less_than_a_minute() {
        let mut gait = Gait::default();
        gait.moved(1 << 20, 0);
        let mut slow_from = None;
        for second in 0..120 {
            gait.waits(second * 1_000);
            if gait.slow(second * 1_000).is_some() {
                slow_from.get_or_insert(second);
            }
            gait.moved(240, (second + 1) * 1_000);
        }
        assert!(slow_from.is_some_and(|second| second < 60), "{slow_from:?}");
    }

    proptest! {
        /// In whatever order things are told, and wherever the clock jumps.
        #[test]
        fn nothing_that_is_told_makes_it_panic_or_call_a_fast_one_slow(steps in prop::collection::vec((any::<bool>(), any::<u64>(), any::<u64>()), 0..50)) {
            let mut gait = Gait::default();
            for (waits, bytes, now) in steps {
                if waits { gait.waits(now) } else { gait.moved(bytes, now) }
                if let Some(rate) = gait.slow(now) {
                    prop_assert!(rate < MOVES_WELL);
                }
            }
        }
    }
}
