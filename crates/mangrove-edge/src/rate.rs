//! How long a peer may keep a transfer waiting: the silence between bytes, and the average rate.
//!
//! Only time spent waiting for that peer counts. A body that is read slowly because the other
//! side takes it slowly is not its sender's fault.

use std::time::Duration;

use mangrove_http::Moment;

/// The pace asked of one transfer, and how it has gone so far.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    idle: Duration,
    /// Bytes per second, at least 1.
    min_rate: u64,
    grace: Duration,
    moved: u64,
    waited: Duration,
    waiting_since: Option<Moment>,
}

/// What was wrong with the pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooSlow {
    /// Nothing moved for the idle time.
    Silent,
    /// Bytes moved, but under the minimum rate on average.
    UnderRate,
}

impl Pace {
    /// At most `idle` between bytes and, beyond `grace`, at least `min_rate` bytes per second of
    /// waiting.
    pub fn new(idle: Duration, min_rate: u64, grace: Duration) -> Self {
        Self {
            idle,
            min_rate: min_rate.max(1),
            grace,
            moved: 0,
            waited: Duration::ZERO,
            waiting_since: None,
        }
    }

    /// The transfer waits for the peer; returns when its patience ends.
    pub fn waiting(&mut self, now: Moment) -> Moment {
        let since = *self.waiting_since.get_or_insert(now);
        let allowance = self.allowance().saturating_sub(self.waited);
        since + self.idle.min(allowance)
    }

    /// `bytes` moved.
    pub fn moved(&mut self, bytes: u64, now: Moment) {
        self.moved = self.moved.saturating_add(bytes);
        if let Some(since) = self.waiting_since.take() {
            self.waited += now.saturating_since(since);
        }
    }

    /// So much has moved in truth.
    pub fn correct(&mut self, moved: u64) {
        self.moved = moved;
    }

    /// After the moment that [`Self::waiting`] gave has passed: which limit it was.
    pub fn verdict(&self, now: Moment) -> TooSlow {
        let silent = self
            .waiting_since
            .map_or(Duration::ZERO, |since| now.saturating_since(since));
        if silent >= self.idle {
            TooSlow::Silent
        } else {
            TooSlow::UnderRate
        }
    }

    /// Waiting that the bytes so far have paid for, after what is free.
    fn allowance(&self) -> Duration {
        let paid = Duration::from_millis(self.moved.saturating_mul(1_000) / self.min_rate);
        self.grace.saturating_add(paid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace() -> Pace {
        Pace::new(Duration::from_secs(30), 240, Duration::from_secs(10))
    }

    #[test]
    fn silence_inside_a_fast_transfer_ends_after_the_idle_time() {
        let mut pace = pace();
        pace.waiting(Moment(0));
        pace.moved(10_000_000, Moment(100));
        let until = pace.waiting(Moment(1_000));
        assert_eq!(until, Moment(31_000));
        assert_eq!(pace.verdict(until), TooSlow::Silent);
    }

    #[test]
    fn one_byte_per_second_is_cut_when_the_grace_is_spent() {
        let mut pace = pace();
        let mut now = 0;
        let cut = loop {
            let until = pace.waiting(Moment(now));
            now += 1_000;
            if until <= Moment(now) {
                break until;
            }
            pace.moved(1, Moment(now));
        };
        // Ten bytes have bought 41 ms beyond the grace.
        assert_eq!(cut, Moment(10_041));
        assert_eq!(pace.verdict(cut), TooSlow::UnderRate);
    }

    #[test]
    fn exactly_the_minimum_rate_goes_on_for_an_hour() {
        let mut pace = pace();
        for second in 0..3_600 {
            assert!(pace.waiting(Moment(second * 1_000)) > Moment(second * 1_000 + 999));
            pace.moved(240, Moment(second * 1_000 + 1_000));
        }
    }

    #[test]
    fn time_not_spent_waiting_for_the_peer_costs_it_nothing() {
        let mut pace = pace();
        for hour in 0..10 {
            let at = Moment(hour * 3_600_000);
            assert!(pace.waiting(at) >= at + Duration::from_secs(10));
            pace.moved(1, at);
        }
    }
}
