//! The circuit breaker: stop asking what is known not to answer, and find out cheaply when it answers again.
//!
//! ```text
//! Closed ── enough bad results in the window ──► Open ── its time is over ──► HalfOpen (a few trials)
//!    ▲                                             ▲    or a check succeeds       │         │
//!    │                                             └────── one trial failed ──────┘         │
//!    └───────────────────────── as many trials succeeded ───────────────────────────────────┘
//! ```
//!
//! A pool uses it twice. One for each member, where bad means *no connection came about*: refusing costs nothing then, since
//! the attempt would fail. What an origin does after it took a request (slowness, resets, statuses) can be brought about by
//! a visitor with one bad URL and must not refuse the others, so it does not count here. And one for the pool's queue, where
//! bad means *waited too long*: it refuses only to wait, never a request for which a place is free.

use std::time::Duration;

use mangrove_http::Moment;

/// How many seconds of results a breaker looks back on; one bucket each.
pub const WINDOW_SECONDS: usize = 10;

/// An open time is doubled at most this often while trials keep failing (5 s becomes at most 80 s).
pub const LONGEST_OPEN_DOUBLINGS: u32 = 4;

/// When a breaker opens, for how long, and what closes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Results needed in the window before their ratio means anything. Default 20.
    pub minimum_results: u32,
    /// It opens when at least this percentage of them is bad, 1..=100. Default 50.
    pub bad_percent: u8,
    /// The first time open; doubled at each failed trial up to [`LONGEST_OPEN_DOUBLINGS`] times. Default 5 s.
    pub open_for: Duration,
    /// Requests let through to find out, and successes that close it; at least 1. Default 3.
    pub trials: u32,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            minimum_results: 20,
            bad_percent: 50,
            open_for: Duration::from_secs(5),
            trials: 3,
        }
    }
}

/// One breaker's memory: [`WINDOW_SECONDS`] small counters and a state.
#[derive(Debug, Clone, Default)]
pub struct Breaker {
    state: State,
    window: Window,
    doublings: u32,
}

impl Breaker {
    /// Whether a request may pass at `now`. Looks only; a request that passes is announced with [`Breaker::start`].
    #[must_use]
    pub fn admits(&self, settings: &BreakerSettings, now: Moment) -> bool {
        match self.state {
            State::Closed => true,
            State::Open { until } => now >= until,
            State::HalfOpen { since, started, .. } => {
                started < settings.trials.max(1) || now >= since + settings.open_for
            }
        }
    }

    /// Until when it refuses, if it refuses at `now`.
    #[must_use]
    pub fn refuses_until(&self, settings: &BreakerSettings, now: Moment) -> Option<Moment> {
        if self.admits(settings, now) {
            return None;
        }
        match self.state {
            State::Closed => None,
            State::Open { until } => Some(until),
            State::HalfOpen { since, .. } => Some(since + settings.open_for),
        }
    }

    /// A request passes. Past the open time this begins the trials. Trials that never report (the visitor left) are replaced
    /// after another open time, so nothing can hold the breaker half-open for ever.
    pub fn start(&mut self, settings: &BreakerSettings, now: Moment) {
        match &mut self.state {
            State::Closed => {}
            State::Open { until } => {
                if now >= *until {
                    self.state = State::HalfOpen {
                        since: now,
                        started: 1,
                        succeeded: 0,
                    };
                }
            }
            State::HalfOpen { since, started, .. } => {
                if now >= *since + settings.open_for {
                    *since = now;
                    *started = 0;
                }
                *started = started.saturating_add(1);
            }
        }
    }

    /// A result came in. Results that arrive while it is open are of requests from before and change nothing.
    pub fn record(&mut self, good: bool, settings: &BreakerSettings, now: Moment) {
        match &mut self.state {
            State::Closed => {
                self.window.add(good, now);
                let (results, bad) = self.window.sums(now);
                let enough = results >= u64::from(settings.minimum_results.max(1));
                let share = u64::from(settings.bad_percent.clamp(1, 100));
                if enough && bad.saturating_mul(100) >= results.saturating_mul(share) {
                    self.open(settings, now);
                }
            }
            State::Open { .. } => {}
            State::HalfOpen { .. } if !good => {
                self.doublings = self.doublings.saturating_add(1).min(LONGEST_OPEN_DOUBLINGS);
                self.open(settings, now);
            }
            State::HalfOpen { succeeded, .. } => {
                *succeeded = succeeded.saturating_add(1);
                if *succeeded >= settings.trials.max(1) {
                    *self = Self::default();
                }
            }
        }
    }

    /// A connection came about that was no request's: a health check's. That is what an open breaker doubted, so its trials
    /// begin with the next request instead of at the end of its open time, which an outage may have doubled to a minute.
    /// They decide as ever: how long the next open time would be stays as it was.
    pub fn try_now(&mut self, now: Moment) {
        if let State::Open { until } = &mut self.state {
            *until = (*until).min(now);
        }
    }

    fn open(&mut self, settings: &BreakerSettings, now: Moment) {
        let time = settings
            .open_for
            .saturating_mul(1 << self.doublings.min(LONGEST_OPEN_DOUBLINGS));
        self.state = State::Open { until: now + time };
        self.window = Window::default();
    }
}

#[derive(Debug, Clone, Default)]
enum State {
    #[default]
    Closed,
    Open {
        until: Moment,
    },
    HalfOpen {
        since: Moment,
        started: u32,
        succeeded: u32,
    },
}

/// Results of the last [`WINDOW_SECONDS`] seconds. A bucket belongs to the second written in it; others are void.
#[derive(Debug, Clone, Default)]
struct Window {
    buckets: [Bucket; WINDOW_SECONDS],
}

#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    second: u64,
    results: u32,
    bad: u32,
}

impl Window {
    fn add(&mut self, good: bool, now: Moment) {
        let second = now.0 / 1000;
        let place = usize::try_from(second % WINDOW_SECONDS as u64).unwrap_or(0);
        let Some(bucket) = self.buckets.get_mut(place) else {
            return;
        };
        if bucket.second != second {
            *bucket = Bucket {
                second,
                ..Bucket::default()
            };
        }
        bucket.results = bucket.results.saturating_add(1);
        bucket.bad = bucket.bad.saturating_add(u32::from(!good));
    }

    /// How many results the window holds at `now`, and how many of them are bad.
    fn sums(&self, now: Moment) -> (u64, u64) {
        let second = now.0 / 1000;
        self.buckets
            .iter()
            .filter(|bucket| second.saturating_sub(bucket.second) < WINDOW_SECONDS as u64)
            .fold((0, 0), |(results, bad), bucket| {
                (
                    results + u64::from(bucket.results),
                    bad + u64::from(bucket.bad),
                )
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: u64) -> Moment {
        Moment(seconds * 1000)
    }

    fn opened(settings: &BreakerSettings) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..settings.minimum_results {
            breaker.record(false, settings, at(100));
        }
        breaker
    }

    #[test]
    fn it_opens_at_the_minimum_count_and_not_one_before() {
        let settings = BreakerSettings::default();
        let mut breaker = Breaker::default();
        for _ in 0..19 {
            breaker.record(false, &settings, at(100));
        }
        assert!(breaker.admits(&settings, at(100)));
        breaker.record(false, &settings, at(100));
        assert_eq!(breaker.refuses_until(&settings, at(100)), Some(at(105)));
    }

    #[test]
    fn it_opens_at_the_ratio_and_not_just_under_it() {
        let settings = BreakerSettings::default();
        let mut breaker = Breaker::default();
        for _ in 0..51 {
            breaker.record(true, &settings, at(100));
        }
        for _ in 0..50 {
            breaker.record(false, &settings, at(100));
        }
        assert!(breaker.admits(&settings, at(100)));
        breaker.record(false, &settings, at(100));
        assert!(!breaker.admits(&settings, at(100)));
    }

    #[test]
    fn results_older_than_the_window_are_forgotten() {
        let settings = BreakerSettings::default();
        let mut breaker = Breaker::default();
        for _ in 0..19 {
            breaker.record(false, &settings, at(100));
        }
        breaker.record(false, &settings, at(110));
        assert!(breaker.admits(&settings, at(110)));
    }

    #[test]
    fn a_check_that_connects_begins_the_trials_and_decides_nothing_itself() {
        let settings = BreakerSettings::default();
        let mut breaker = opened(&settings);
        assert!(!breaker.admits(&settings, at(101)));
        breaker.try_now(at(101));
        for _ in 0..3 {
            assert!(breaker.admits(&settings, at(101)));
            breaker.start(&settings, at(101));
        }
        assert!(!breaker.admits(&settings, at(101)), "trials are counted");
        breaker.record(false, &settings, at(101));
        assert_eq!(breaker.refuses_until(&settings, at(101)), Some(at(111)));
        // One that is not open has nothing to try.
        let mut closed = Breaker::default();
        closed.try_now(at(101));
        assert!(closed.admits(&settings, at(101)));
    }

    #[test]
    fn trials_are_counted_and_their_success_closes_it() {
        let settings = BreakerSettings::default();
        let mut breaker = opened(&settings);
        assert!(!breaker.admits(&settings, Moment(104_999)));
        for _ in 0..3 {
            assert!(breaker.admits(&settings, at(105)));
            breaker.start(&settings, at(105));
        }
        assert!(!breaker.admits(&settings, at(105)), "a fourth trial");
        for _ in 0..3 {
            breaker.record(true, &settings, at(106));
        }
        breaker.record(false, &settings, at(106));
        assert!(
            breaker.admits(&settings, at(106)),
            "closed, with an empty window"
        );
    }

    #[test]
    fn a_failed_trial_opens_it_for_longer_up_to_the_cap() {
        let settings = BreakerSettings::default();
        let mut breaker = opened(&settings);
        let mut now = at(105);
        for expected in [10, 20, 40, 80, 80] {
            breaker.start(&settings, now);
            breaker.record(false, &settings, now);
            let until = now + Duration::from_secs(expected);
            assert_eq!(breaker.refuses_until(&settings, now), Some(until));
            now = until;
        }
    }

    #[test]
    fn trials_that_never_report_are_replaced() {
        let settings = BreakerSettings::default();
        let mut breaker = opened(&settings);
        for _ in 0..3 {
            breaker.start(&settings, at(105));
        }
        assert_eq!(breaker.refuses_until(&settings, at(107)), Some(at(110)));
        assert!(breaker.admits(&settings, at(110)));
        breaker.start(&settings, at(110));
        breaker.start(&settings, at(110));
        assert!(breaker.admits(&settings, at(110)));
        breaker.start(&settings, at(110));
        assert!(!breaker.admits(&settings, at(110)));
    }

    #[test]
    fn late_results_do_not_move_an_open_breaker() {
        let settings = BreakerSettings::default();
        let mut breaker = opened(&settings);
        breaker.record(true, &settings, at(101));
        breaker.record(false, &settings, at(102));
        assert_eq!(breaker.refuses_until(&settings, at(102)), Some(at(105)));
    }

    proptest! {
        #[test]
        fn a_refusal_always_ends(events in prop::collection::vec((any::<bool>(), any::<bool>(), 0u64..5000), 0..300)) {
            let settings = BreakerSettings::default();
            let mut breaker = Breaker::default();
            let mut now = Moment(0);
            for (start, good, pause) in events {
                now = now + Duration::from_millis(pause);
                if start && breaker.admits(&settings, now) {
                    breaker.start(&settings, now);
                }
                breaker.record(good, &settings, now);
                if let Some(until) = breaker.refuses_until(&settings, now) {
                    prop_assert!(until.saturating_since(now) <= settings.open_for * 16);
                    prop_assert!(breaker.admits(&settings, until));
                }
            }
        }
    }
}
