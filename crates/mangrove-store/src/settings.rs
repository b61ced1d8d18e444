//! How large a store may become, and how much it may do at once.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::words::Subject;

/// Least bytes of a store: probation and main each need a slab that is written and one that is kept.
pub const SLABS_LEAST: u64 = 6;
/// Least bytes of a slab. What does not fit into one is refused as [`Refused::TooLarge`](crate::Refused::TooLarge): with
/// less than 2 MiB that may be a whole chunk.
pub const SLAB_BYTES_LEAST: u64 = 64 << 10;
/// Most bytes of a slab.
pub const SLAB_BYTES_MOST: u64 = 4 << 30;
/// Most slabs of a store, and so its most files (with four more); each is kept open. One past it, the oldest comes up.
pub const SLABS_MOST: usize = 4_096;

/// Decides whether something is alive; see [`Settings::alive`].
pub type Alive = Arc<dyn Fn(&Subject) -> bool + Send + Sync>;

/// What a store is opened with. Every number has a default that a careful operator would pick.
#[derive(Clone)]
pub struct Settings {
    /// Bytes on disk. Past it, the oldest slab comes up: what was asked for again stays, the rest leaves.
    pub bytes: u64,
    /// Bytes of a slab.
    pub slab_bytes: u64,
    /// Files of slabs, at most [`SLABS_MOST`].
    pub slabs: usize,
    /// Bytes that each site may keep, if it has no quota of its own. Past it, the site's oldest objects leave, and if they are
    /// all asked for, new ones are refused ([`Refused::SiteFull`](crate::Refused::SiteFull)).
    pub site_bytes: Option<u64>,
    /// Bytes left free on the disk for others. With less, the store grows no more and gives back.
    pub keep_free: u64,
    /// Bytes that wait to be written. Past it, writes are refused.
    pub queue_bytes: usize,
    /// Threads that read.
    pub readers: usize,
    /// Reads that wait for a thread. Past it, reads are refused.
    pub reads_waiting: usize,
    /// Bytes a second that the start-up scan may read.
    pub scan_rate: u64,
    /// Bytes written before they are made to survive a power loss,
    pub flush_bytes: u64,
    /// and how long they may wait for that.
    pub flush_interval: Duration,
    /// Says whether something is alive, asked at each lookup and by the scan; must be quick. Without it everything is that
    /// was born after [`Store::raise_floor`](crate::Store::raise_floor)'s.
    pub alive: Option<Alive>,
    /// Makes the secret of a new store; the operating system's randomness if none is given.
    pub secret: Option<u64>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            bytes: 10 << 30,
            slab_bytes: 64 << 20,
            slabs: SLABS_MOST,
            site_bytes: None,
            keep_free: 1 << 30,
            queue_bytes: 64 << 20,
            readers: 4,
            reads_waiting: 1_024,
            scan_rate: 256 << 20,
            flush_bytes: 8 << 20,
            flush_interval: Duration::from_millis(500),
            alive: None,
            secret: None,
        }
    }
}

impl Settings {
    /// The settings for a store of so many bytes: slabs so large that there are not too many of them.
    pub fn of_bytes(bytes: u64) -> Settings {
        let most = SLABS_MOST as u64 / 2;
        let slab_bytes = (bytes / most).next_multiple_of(1 << 20).max(64 << 20);
        let slab_bytes = slab_bytes
            .min(bytes / SLABS_LEAST / 4)
            .clamp(2 << 20, SLAB_BYTES_MOST);
        Settings {
            bytes,
            slab_bytes,
            ..Settings::default()
        }
    }

    pub(crate) fn check(&self) -> Result<(), &'static str> {
        if !(SLAB_BYTES_LEAST..=SLAB_BYTES_MOST).contains(&self.slab_bytes) {
            return Err("a slab has from 64 KiB to 4 GiB");
        }
        if self.bytes / self.slab_bytes < SLABS_LEAST || (self.slabs as u64) < SLABS_LEAST {
            return Err("a store has at least six slabs");
        }
        if self.slabs > SLABS_MOST {
            return Err("a store has at most 4096 slabs: make each larger");
        }
        if self.scan_rate == 0 || self.readers == 0 {
            return Err("without a scan or a reader nothing would be found");
        }
        Ok(())
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("bytes", &self.bytes)
            .field("slab_bytes", &self.slab_bytes)
            .finish_non_exhaustive()
    }
}

/// Tells the time since some moment that does not change.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Duration;
}

/// The machine's own clock.
#[derive(Debug)]
pub struct MachineClock(Instant);

impl Default for MachineClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the store's clock; everything else is given it"
    )]
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for MachineClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}
