//! Whether the disk is in use, why not, and when it is tried again.

use std::fmt;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::lock::lock;

/// A disk that has not answered one call for so long is out of use until it does.
pub const HUNG_AFTER: Duration = Duration::from_secs(5);
/// After a failure the disk is tried again this much later, and twice as much after each further one,
pub const FIRST_PROBE_AFTER: Duration = Duration::from_secs(1);
/// up to this.
pub const PROBES_AT_LEAST_EVERY: Duration = Duration::from_secs(60);
/// Failed reads one after the other before the disk is out of use for reading too.
pub const FAILED_READS: u32 = 16;

/// Whether the store is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It is.
    Well,
    /// It is not, or only for reading; everything goes on in memory, and it comes back by itself.
    OutOfUse(Trouble),
}

/// What is wrong with the disk. Its text says what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What kind.
    pub kind: TroubleKind,
    /// What the operating system said, if it said anything.
    pub os: Option<i32>,
    /// Whether what is kept can still be read.
    pub reads_go_on: bool,
}

/// Kinds of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TroubleKind {
    /// There is no room, although the store let go of some of its own.
    Full,
    /// It takes no writes.
    ReadOnly,
    /// It answers with errors.
    Failing,
    /// It does not answer.
    Hung,
}

impl TroubleKind {
    /// A stable name, for logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            TroubleKind::Full => "full",
            TroubleKind::ReadOnly => "read-only",
            TroubleKind::Failing => "failing",
            TroubleKind::Hung => "hung",
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            TroubleKind::Full => {
                "the disk of the cache is full: free some room on it, or give the cache less"
            }
            TroubleKind::ReadOnly => {
                "the disk of the cache takes no writes: look at the system's log for why it was mounted read-only"
            }
            TroubleKind::Failing => {
                "the disk of the cache fails: look at the system's log, and replace the disk if it is failing"
            }
            TroubleKind::Hung => {
                "the disk of the cache does not answer: look at the system's log, and at the network if it is a remote one"
            }
        })?;
        if let Some(os) = self.os {
            write!(f, " ({})", io::Error::from_raw_os_error(os))?;
        }
        f.write_str("; until it works the cache is kept in memory only")
    }
}

impl Trouble {
    pub(crate) fn of(error: &io::Error, reads_go_on: bool) -> Trouble {
        let kind = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => TroubleKind::Full,
            io::ErrorKind::ReadOnlyFilesystem => TroubleKind::ReadOnly,
            _ => TroubleKind::Failing,
        };
        Trouble {
            kind,
            os: error.raw_os_error(),
            reads_go_on,
        }
    }
}

/// The state behind [`Health`].
#[derive(Debug)]
pub(crate) struct Condition {
    trouble: Mutex<Option<State>>,
    failed_reads: AtomicU32,
    /// For each thread that calls the disk: since when it waits, in milliseconds and one more; 0 if it does not.
    waiting: Box<[AtomicU64]>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    trouble: Trouble,
    probe_at: Duration,
    pause: Duration,
}

impl Condition {
    pub(crate) fn new(threads: usize) -> Condition {
        Condition {
            trouble: Mutex::default(),
            failed_reads: AtomicU32::new(0),
            waiting: (0..threads).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    pub(crate) fn health(&self, now: Duration) -> Health {
        if let Some(state) = *lock(&self.trouble) {
            return Health::OutOfUse(state.trouble);
        }
        let now = millis(now);
        let hung = self.waiting.iter().any(|since| {
            let since = since.load(Ordering::Relaxed);
            since != 0 && now.saturating_sub(since - 1) >= millis(HUNG_AFTER)
        });
        if hung {
            return Health::OutOfUse(Trouble {
                kind: TroubleKind::Hung,
                os: None,
                reads_go_on: false,
            });
        }
        Health::Well
    }

    /// Notes trouble; the next probe is due after a pause that doubles each time.
    pub(crate) fn fails(&self, trouble: Trouble, now: Duration) {
        let mut state = lock(&self.trouble);
        let pause = state.map_or(FIRST_PROBE_AFTER, |state| {
            (state.pause * 2).min(PROBES_AT_LEAST_EVERY)
        });
        *state = Some(State {
            trouble,
            probe_at: now + pause,
            pause,
        });
    }

    pub(crate) fn works(&self) {
        *lock(&self.trouble) = None;
        self.failed_reads.store(0, Ordering::Relaxed);
    }

    /// When the next probe is due; none while all is well.
    pub(crate) fn probe_at(&self) -> Option<Duration> {
        lock(&self.trouble).map(|state| state.probe_at)
    }

    pub(crate) fn read_worked(&self) {
        self.failed_reads.store(0, Ordering::Relaxed);
    }

    pub(crate) fn read_failed(&self, error: &io::Error, now: Duration) {
        let row = self
            .failed_reads
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1);
        if row >= FAILED_READS && self.probe_at().is_none() {
            self.fails(Trouble::of(error, false), now);
        }
    }

    /// Notes that a thread calls the disk, for as long as what is returned lives.
    pub(crate) fn calling(&self, thread: usize, now: Duration) -> Calling<'_> {
        let since = self.waiting.get(thread);
        if let Some(since) = since {
            since.store(millis(now) + 1, Ordering::Relaxed);
        }
        Calling(since)
    }
}

/// A thread is in a call to the disk.
#[derive(Debug)]
pub(crate) struct Calling<'a>(Option<&'a AtomicU64>);

impl Drop for Calling<'_> {
    fn drop(&mut self) {
        if let Some(since) = self.0 {
            since.store(0, Ordering::Relaxed);
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn probes_come_ever_later_up_to_a_minute() {
        let condition = Condition::new(1);
        let trouble = Trouble::of(&io::Error::from_raw_os_error(28), true);
        let mut now = at(100);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            condition.fails(trouble, now);
            let due = condition.probe_at().unwrap();
            pauses.push((due - now).as_secs());
            now = due;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        condition.works();
        assert_eq!(condition.health(now), Health::Well);
    }

    #[test]
    fn a_call_that_does_not_return_is_noticed_and_forgotten_when_it_does() {
        let condition = Condition::new(2);
        let call = condition.calling(1, at(10));
        assert_eq!(condition.health(at(14)), Health::Well);
        let Health::OutOfUse(trouble) = condition.health(at(15)) else {
            panic!("well after five seconds");
        };
        assert_eq!(trouble.kind, TroubleKind::Hung);
        drop(call);
        assert_eq!(condition.health(at(16)), Health::Well);
    }

    #[test]
    fn reads_that_fail_in_a_row_take_the_disk_out_of_use() {
        let condition = Condition::new(1);
        let error = io::Error::from_raw_os_error(5);
        for _ in 1..FAILED_READS {
            condition.read_failed(&error, at(1));
        }
        assert_eq!(condition.health(at(1)), Health::Well);
        condition.read_failed(&error, at(1));
        assert!(
            matches!(condition.health(at(1)), Health::OutOfUse(trouble) if !trouble.reads_go_on)
        );
    }

    #[test]
    fn what_is_wrong_says_what_to_do() {
        let text = Trouble::of(&io::Error::from_raw_os_error(28), true).to_string();
        assert!(
            text.contains("free some room") && text.contains("No space left"),
            "{text}"
        );
    }
}
