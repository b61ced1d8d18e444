//! The one clock. Everything that decides takes a [`Moment`] or a [`UnixMillis`]; only this file
//! reads the machine's clocks, so that a drill can shift a whole edge into next month.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mangrove_http::{Moment, UnixMillis};

/// Reads monotonic and wall time; cheap to clone, shared by all cores of an edge.
#[derive(Clone, Debug)]
pub struct Clock {
    started: Instant,
    /// Milliseconds added to both clocks. Only a state folder marked for drills may move it.
    shift: Arc<AtomicU64>,
}

impl Clock {
    /// A clock whose monotonic zero is now.
    #[allow(clippy::disallowed_methods)] // the one place that may
    pub fn start() -> Self {
        Self {
            started: Instant::now(),
            shift: Arc::new(AtomicU64::new(0)),
        }
    }

    /// Milliseconds since the clock was started, plus the drill's shift.
    pub fn now(&self) -> Moment {
        let shift = self.shift.load(Ordering::Relaxed);
        Moment(millis(self.elapsed()).saturating_add(shift))
    }

    /// The moment of a reading of [`Self::nanos`], for those who need both of one instant.
    pub fn moment_of(&self, nanos: u64) -> Moment {
        Moment((nanos / 1_000_000).saturating_add(self.shift.load(Ordering::Relaxed)))
    }

    /// Nanoseconds since the clock was started: for durations in records, never for decisions.
    pub fn nanos(&self) -> u64 {
        u64::try_from(self.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Wall clock, UTC.
    #[allow(clippy::disallowed_methods)] // the one place that may
    pub fn wall(&self) -> UnixMillis {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        UnixMillis(millis(since).saturating_add(self.shift.load(Ordering::Relaxed)))
    }

    /// Moves the edge forward in time; the caller has checked that this is a drill.
    pub fn shift_by(&self, by: Duration) {
        self.shift.fetch_add(millis(by), Ordering::Relaxed);
    }

    #[allow(clippy::disallowed_methods)] // the one place that may
    fn elapsed(&self) -> Duration {
        Instant::now().saturating_duration_since(self.started)
    }
}

fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shift_moves_both_clocks_by_the_same_amount() {
        let clock = Clock::start();
        let (now, wall) = (clock.now(), clock.wall());
        clock.shift_by(Duration::from_secs(86_400 * 30));
        assert!(clock.now().0 >= now.0 + 86_400_000 * 30);
        assert!(clock.wall().0 >= wall.0 + 86_400_000 * 30);
    }
}
