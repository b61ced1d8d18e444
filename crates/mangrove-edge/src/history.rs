//! What was asked over time, a minute at a time, for as long as a day: what a chart is drawn from.
//!
//! Nothing is counted for it. The cores' own counters only rise; the keeper reads them once a minute, and a minute is what they
//! have risen by. It is as old as its edge: one that takes over begins anew. Pure: given `now` and totals.

use std::collections::VecDeque;
use std::time::Duration;

use mangrove_http::Moment;

use crate::cache::CacheResult;

/// Minutes that are remembered: a day, in some 140 KiB. With one more, the oldest is forgotten.
pub(crate) const MINUTES: usize = 24 * 60;
/// What is told together.
pub(crate) const STEP: Duration = Duration::from_secs(60);

/// By what the cache did, in the order of [`CacheResult::ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Requests.
    pub(crate) requests: [u64; CacheResult::ALL.len()],
    /// Bytes of the bodies of their answers.
    pub(crate) bytes: [u64; CacheResult::ALL.len()],
}

/// The minutes that are over, the oldest first, and the one under way.
#[derive(Debug)]
pub(crate) struct History {
    began: Moment,
    over: VecDeque<Tally>,
    /// How many are over, also those that are forgotten.
    count: u64,
    /// All there was at the end of the last one.
    before: Tally,
    under_way: Tally,
}

impl Tally {
    /// The same of several cores.
    pub(crate) fn of_all(tallies: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Self::default();
        for one in tallies {
            let pairs = [
                (&mut all.requests, &one.requests),
                (&mut all.bytes, &one.bytes),
            ];
            for (all, one) in pairs {
                for (all, one) in all.iter_mut().zip(one) {
                    *all = all.wrapping_add(*one);
                }
            }
        }
        all
    }

    /// What has come since `before`. Counters that have gone round are no lower for it.
    fn since(&self, before: &Self) -> Self {
        let mut since = *self;
        let pairs = [
            (&mut since.requests, &before.requests),
            (&mut since.bytes, &before.bytes),
        ];
        for (now, then) in pairs {
            for (now, then) in now.iter_mut().zip(then) {
                *now = now.wrapping_sub(*then);
            }
        }
        since
    }
}

impl History {
    /// Begins now, with nothing.
    pub(crate) fn new(now: Moment) -> Self {
        Self {
            began: now,
            over: VecDeque::with_capacity(MINUTES),
            count: 0,
            before: Tally::default(),
            under_way: Tally::default(),
        }
    }

    /// Takes in all that the cores have counted until now. What has come since the last time belongs to the minute that was
    /// under way then; where more than one has passed since, the others are empty.
    pub(crate) fn note(&mut self, now: Moment, totals: &Tally) {
        self.under_way = totals.since(&self.before);
        let passed = self.passed(now).saturating_sub(self.count);
        if passed == 0 {
            return;
        }
        self.before = *totals;
        let over = std::mem::take(&mut self.under_way);
        self.push(over);
        let empty = usize::try_from(passed - 1).unwrap_or(MINUTES).min(MINUTES);
        for _ in 0..empty {
            self.push(Tally::default());
        }
        self.count = self.count.saturating_add(passed);
    }

    fn push(&mut self, minute: Tally) {
        if self.over.len() == MINUTES {
            self.over.pop_front();
        }
        self.over.push_back(minute);
    }

    fn passed(&self, now: Moment) -> u64 {
        now.saturating_since(self.began).as_secs() / STEP.as_secs()
    }

    /// How long it is until the minute under way is over.
    pub(crate) fn left(&self, now: Moment) -> Duration {
        let next = STEP.saturating_mul(u32::try_from(self.count + 1).unwrap_or(u32::MAX));
        (self.began + next).saturating_since(now)
    }

    /// When it began.
    pub(crate) fn began(&self) -> Moment {
        self.began
    }

    /// The last so many minutes, the oldest first; the last of them is the one under way.
    pub(crate) fn last(&self, minutes: usize) -> impl Iterator<Item = &Tally> {
        let over = minutes.saturating_sub(1).min(self.over.len());
        self.over
            .range(self.over.len() - over..)
            .chain((minutes > 0).then_some(&self.under_way))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(hits: u64) -> Tally {
        let mut tally = Tally::default();
        (tally.requests[0], tally.bytes[0]) = (hits, hits * 10);
        tally
    }

    fn at(seconds: u64) -> Moment {
        Moment(5_000 + seconds * 1000)
    }

    /// Of each minute, the hits.
    fn told(history: &History, minutes: usize) -> Vec<u64> {
        history
            .last(minutes)
            .map(|tally| {
                assert_eq!(tally.bytes[0], tally.requests[0] * 10);
                tally.requests[0]
            })
            .collect()
    }

    #[test]
    fn a_minute_is_what_the_counters_have_risen_by() {
        let mut history = History::new(at(0));
        assert_eq!(told(&history, 60), [0]);
        history.note(at(30), &hits(3));
        assert_eq!(told(&history, 60), [3]);
        history.note(at(59), &hits(4));
        history.note(at(60), &hits(5));
        assert_eq!(told(&history, 60), [5, 0]);
        history.note(at(119), &hits(9));
        assert_eq!(told(&history, 60), [5, 4]);
        history.note(at(120), &hits(9));
        assert_eq!(told(&history, 60), [5, 4, 0]);
        assert_eq!((told(&history, 2), told(&history, 0)), (vec![4, 0], vec![]));
    }

    #[test]
    fn a_keeper_that_was_away_leaves_empty_minutes_and_loses_nothing() {
        let mut history = History::new(at(0));
        history.note(at(200), &hits(7));
        assert_eq!(told(&history, 60), [7, 0, 0, 0]);
        history.note(at(201), &hits(8));
        assert_eq!(told(&history, 60), [7, 0, 0, 1]);
    }

    #[test]
    fn with_one_minute_more_than_a_day_the_oldest_is_forgotten() {
        let mut history = History::new(at(0));
        for minute in 1..=MINUTES as u64 {
            history.note(at(minute * 60), &hits(minute * (minute + 1) / 2));
        }
        let (room, all) = (history.over.capacity(), told(&history, usize::MAX));
        assert_eq!(
            (all.len(), all[0], all[MINUTES - 1]),
            (MINUTES + 1, 1, MINUTES as u64)
        );
        let minute = MINUTES as u64 + 1;
        history.note(at(minute * 60), &hits(minute * (minute + 1) / 2));
        let all = told(&history, usize::MAX);
        assert_eq!(
            (all.len(), all[0], all[MINUTES - 1]),
            (MINUTES + 1, 2, minute)
        );
        // However long it was away.
        history.note(at(1_000_000_000), &hits(0));
        assert_eq!(told(&history, usize::MAX).len(), MINUTES + 1);
        assert_eq!(history.over.capacity(), room);
    }

    #[test]
    fn counters_that_have_gone_round_tell_the_right_number() {
        let mut history = History::new(at(0));
        let mut tally = Tally::default();
        tally.requests[3] = u64::MAX;
        history.note(at(60), &tally);
        tally.requests[3] = 4;
        history.note(at(61), &tally);
        assert_eq!(history.last(1).next().unwrap().requests[3], 5);
    }

    #[test]
    fn the_minute_under_way_ends_when_it_is_over() {
        let mut history = History::new(at(0));
        assert_eq!(history.left(at(1)), Duration::from_secs(59));
        assert_eq!(history.left(at(61)), Duration::ZERO);
        history.note(at(61), &hits(0));
        assert_eq!(history.left(at(61)), Duration::from_secs(59));
    }
}
