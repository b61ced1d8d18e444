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
    /// The wall clock, without the shift, at the monotonic zero as it was last compared: nanoseconds since 1970.
    zero: Arc<AtomicU64>,
}

impl Clock {
    /// A clock whose monotonic zero is now.
    #[allow(clippy::disallowed_methods)] // the one place that may
    pub fn start() -> Self {
        let clock = Self {
            started: Instant::now(),
            shift: Arc::new(AtomicU64::new(0)),
            zero: Arc::default(),
        };
        clock.compare();
        clock
    }

    /// Compares the two clocks, for [`Self::wall_at`] and [`Self::wall_of`]. Called at every turn of a wheel, so that a
    /// wall clock which is set is followed within a tick.
    pub fn compare(&self) {
        let zero = nanos(since_1970()).saturating_sub(self.nanos());
        self.zero.store(zero, Ordering::Relaxed);
    }

    /// The wall clock at a reading of [`Self::nanos`], without reading the machine's once more.
    pub fn wall_at(&self, nanos: u64) -> UnixMillis {
        let since = self.zero.load(Ordering::Relaxed).saturating_add(nanos) / 1_000_000;
        UnixMillis(since.saturating_add(self.shift.load(Ordering::Relaxed)))
    }

    /// The wall clock at a moment of [`Self::now`].
    pub fn wall_of(&self, moment: Moment) -> UnixMillis {
        UnixMillis((self.zero.load(Ordering::Relaxed) / 1_000_000).saturating_add(moment.0))
    }

    /// Milliseconds since the clock was started, plus the drill's shift.
    pub fn now(&self) -> Moment {
        self.moment_of(self.nanos())
    }

    /// The moment of a reading of [`Self::nanos`], for those who need both of one instant.
    pub fn moment_of(&self, nanos: u64) -> Moment {
        Moment((nanos / 1_000_000).saturating_add(self.shift.load(Ordering::Relaxed)))
    }

    /// Nanoseconds since the clock was started: for durations in records, never for decisions.
    pub fn nanos(&self) -> u64 {
        nanos(self.elapsed())
    }

    /// Wall clock, UTC.
    pub fn wall(&self) -> UnixMillis {
        self.wall_at(self.nanos())
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

#[allow(clippy::disallowed_methods)] // the one place that may
fn since_1970() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
}

fn nanos(d: Duration) -> u64 {
    d.as_secs()
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::from(d.subsec_nanos()))
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
        assert!(clock.wall_of(clock.now()).0 >= wall.0 + 86_400_000 * 30);
        assert!(clock.wall_at(clock.nanos()).0 >= wall.0 + 86_400_000 * 30);
    }

    #[test]
    fn a_reading_of_one_clock_tells_the_other() {
        let clock = Clock::start();
        clock.compare();
        let before = clock.wall().0;
        let (at, of) = (clock.wall_at(clock.nanos()), clock.wall_of(clock.now()));
        let after = clock.wall().0;
        // Parts of a millisecond are cut off on both sides.
        assert!(
            (before - 1..=after + 1).contains(&at.0) && (before - 2..=after + 1).contains(&of.0)
        );
    }
}
