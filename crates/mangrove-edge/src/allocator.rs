//! The allocator of every program that an edge is part of, and what it holds beyond what it was asked for.
//!
//! A cache that is turned over leaves gaps: content leaves in another order than it came, in other sizes than what comes
//! next. How large the gaps are is known to the allocator alone, which is why it is one that can be asked. Free pages it keeps
//! for some seconds, in case they are wanted again, which a core would pay for dearly if they had to come from the system
//! each time; where content came and they have become too many, they go back at once ([`Waste::left`]). What is left are
//! the gaps; the cache counts them ([`Cache::count_waste`](crate::cache::Cache::count_waste)). `docs/decisions/0019` has what
//! was measured.

use std::time::Duration;

use tikv_jemalloc_ctl::{Access, AsName, arenas, epoch, epoch_mib, stats};

/// How often is looked what it wastes, whatever has come meanwhile.
pub(crate) const LOOK: Duration = Duration::from_secs(1);

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How long free pages are kept otherwise: the allocator's own default.
pub(crate) const PAGES_KEPT: Duration = Duration::from_secs(10);

/// Bytes that are resident although nobody has asked for them.
pub(crate) struct Waste {
    epoch: epoch_mib,
    resident: stats::resident_mib,
    allocated: stats::allocated_mib,
    arenas: arenas::narenas_mib,
    /// What was so before anything was kept: an empty edge's own.
    at_start: u64,
}

impl Waste {
    /// Looked at now, before anything is kept; `None` where the allocator cannot be asked.
    pub(crate) fn at_start() -> Option<Self> {
        let mut waste = Self {
            epoch: epoch::mib().ok()?,
            resident: stats::resident::mib().ok()?,
            allocated: stats::allocated::mib().ok()?,
            arenas: arenas::narenas::mib().ok()?,
            at_start: 0,
        };
        waste.give_back();
        waste.at_start = waste.now();
        Some(waste)
    }

    /// More than at the start, by so many bytes; if it was more than `allowed`, what is left of it after all free pages have
    /// gone back to the system.
    pub(crate) fn left(&self, allowed: u64) -> u64 {
        let waste = self.now();
        if waste <= allowed {
            return waste;
        }
        self.give_back();
        self.now()
    }

    /// Gives all free pages back, whatever arena they are of. Best effort: where it fails the process holds more than it needs.
    fn give_back(&self) {
        let kept = isize::try_from(PAGES_KEPT.as_millis()).unwrap_or(isize::MAX);
        for arena in 0..self.arenas.read().unwrap_or_default() {
            let write = |decay: &str, ms: isize| {
                let name = format!("arena.{arena}.{decay}_decay_ms\0");
                let _ = name.as_bytes().name().write(ms);
            };
            write("muzzy", 0);
            // Pages that may be kept for no time at all go at once.
            write("dirty", 0);
            write("dirty", kept);
        }
    }

    fn now(&self) -> u64 {
        // Numbers are as of the last epoch.
        let _ = self.epoch.advance();
        let (Ok(resident), Ok(allocated)) = (self.resident.read(), self.allocated.read()) else {
            return 0;
        };
        (resident.saturating_sub(allocated) as u64).saturating_sub(self.at_start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_between_what_is_held_are_waste() {
        let waste = Waste::at_start().unwrap();
        // Many blocks of which one in sixteen stays: pages with one block each.
        let blocks: Vec<Box<[u8]>> = (0..64 * 1024).map(|_| vec![1; 512].into()).collect();
        let full = waste.left(0);
        let stay: Vec<_> = blocks.into_iter().step_by(16).collect();
        let sparse = waste.left(0);
        assert!(
            sparse > full + (4 << 20),
            "{full} while full, {sparse} with {} left",
            stay.len()
        );
    }
}
