//! When to start an edge again after it ended unasked.
//!
//! A kill from outside says nothing about the edge: it is started again at once. An edge that ends by its own fault is
//! given a growing pause when it did so within [`SHORT_LIFE`] of its start, up to [`LONGEST_PAUSE`]. The listening
//! sockets stay open all the while, so visitors wait in the queue and are not refused.

use std::fmt;
use std::time::Duration;

/// An edge that lived at least this long is not in a crash loop.
pub(crate) const SHORT_LIFE: Duration = Duration::from_secs(10);
/// The pause after the second short life in a row; the first gets none. It doubles each time.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause: long enough to spare the machine, short enough to be back soon after a cure.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// Kills in a row before an edge was ever ready; from the next one on they count as faults. One hand that kills an
/// edge over and over while it starts looks just like a machine with no memory left for it.
pub(crate) const UNREADY_KILLS: u32 = 5;

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It ended with code 0, which is right only for an edge that was told to drain.
    Clean,
    /// A signal that others send: SIGKILL, SIGTERM and the like.
    Outside(String),
    /// A signal that a process brings on itself, another exit code, or it could not be started.
    Fault(String),
    /// An adopted edge is not our child, so only its end is known.
    Unknown,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clean => f.write_str("ended by itself"),
            Self::Outside(signal) => write!(f, "was killed from outside ({signal})"),
            Self::Fault(what) => write!(f, "failed ({what})"),
            Self::Unknown => f.write_str("ended"),
        }
    }
}

/// What the last lives of the edge were like.
#[derive(Debug, Default)]
pub(crate) struct RestartPolicy {
    short_lives: u32,
    unready_kills: u32,
}

impl RestartPolicy {
    /// How long to wait before the next start, after an edge that lived for `life` ended as `exit` tells; `ready` if
    /// it ever served.
    pub(crate) fn pause_after(&mut self, exit: &Exit, life: Duration, ready: bool) -> Duration {
        if matches!(exit, Exit::Outside(_) | Exit::Unknown) {
            if ready {
                self.unready_kills = 0;
                return Duration::ZERO;
            }
            self.unready_kills = self.unready_kills.saturating_add(1);
            if self.unready_kills <= UNREADY_KILLS {
                return Duration::ZERO;
            }
        }
        if life >= SHORT_LIFE {
            self.short_lives = 0;
            return Duration::ZERO;
        }
        self.short_lives = self.short_lives.saturating_add(1);
        match self.short_lives.checked_sub(2) {
            None => Duration::ZERO,
            Some(doublings) => FIRST_PAUSE
                .saturating_mul(1 << doublings.min(16))
                .min(LONGEST_PAUSE),
        }
    }

    /// How many lives in a row were short and ended by their own fault.
    #[must_use]
    pub(crate) fn short_lives(&self) -> u32 {
        self.short_lives
    }

    /// A new binary or a new configuration gets a fresh start.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn fault() -> Exit {
        Exit::Fault("exit code 1".into())
    }

    fn killed() -> Exit {
        Exit::Outside("SIGKILL".into())
    }

    #[test]
    fn a_kill_from_outside_never_makes_visitors_wait() {
        let mut policy = RestartPolicy::default();
        for _ in 0..100 {
            assert_eq!(policy.pause_after(&killed(), SECOND, true), Duration::ZERO);
        }
    }

    #[test]
    fn a_crash_loop_backs_off_to_a_ceiling() {
        let mut policy = RestartPolicy::default();
        let pauses: Vec<_> = (0..9)
            .map(|_| policy.pause_after(&fault(), SECOND, true).as_millis())
            .collect();
        assert_eq!(pauses, [0, 250, 500, 1000, 2000, 4000, 8000, 15000, 15000]);
        for _ in 0..1000 {
            assert_eq!(policy.pause_after(&fault(), SECOND, true), LONGEST_PAUSE);
        }
    }

    #[test]
    fn a_long_life_ends_the_loop() {
        let mut policy = RestartPolicy::default();
        for _ in 0..5 {
            policy.pause_after(&fault(), SECOND, true);
        }
        assert_eq!(
            policy.pause_after(&fault(), SHORT_LIFE, true),
            Duration::ZERO
        );
        assert_eq!(policy.pause_after(&fault(), SECOND, true), Duration::ZERO);
        assert_eq!(policy.pause_after(&fault(), SECOND, true), FIRST_PAUSE);
    }

    #[test]
    fn a_kill_between_crashes_does_not_hide_the_loop() {
        let mut policy = RestartPolicy::default();
        policy.pause_after(&fault(), SECOND, true);
        policy.pause_after(&killed(), SECOND, true);
        assert_eq!(policy.pause_after(&fault(), SECOND, true), FIRST_PAUSE);
    }

    #[test]
    fn kills_before_ready_count_as_faults_one_past_their_limit() {
        let mut policy = RestartPolicy::default();
        for _ in 0..UNREADY_KILLS {
            assert_eq!(policy.pause_after(&killed(), SECOND, false), Duration::ZERO);
        }
        policy.pause_after(&killed(), SECOND, false);
        assert_eq!(policy.short_lives(), 1);
        assert_eq!(policy.pause_after(&killed(), SECOND, false), FIRST_PAUSE);
    }
}
