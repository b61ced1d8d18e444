//! Giving back the memory of what was purged, in small steps behind everyone's back.
//!
//! A purge has done its work when it is in the ledger; what it took is only heavy still. The keeper goes over all that is
//! kept, some places at a time, and lets go of it. On its way it sees the oldest number that still lives anywhere: what the
//! ledger knows of earlier ones is about nothing any more, and goes too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mangrove_cache::memory::Slot;
use mangrove_cache::purge::{Force, Generation, Kind, SiteLedger};
use tokio::sync::Notify;

use super::disk::DiskUnknown;
use super::{Cache, Resource, split_key};

/// Places of the memory that are looked at in one step.
pub(crate) const STEP_PLACES: u32 = 256;
/// How long the keeper rests between two steps: a million URLs take some ten seconds, and a tenth of its time.
pub(crate) const STEP_REST: Duration = Duration::from_millis(2);
/// How long it rests between two rounds, so that many purges are one round.
pub(crate) const ROUND_REST: Duration = Duration::from_millis(250);

/// Rounds wanted, and what was purged and swept since the start.
#[derive(Debug, Default)]
pub(crate) struct Sweeps {
    wanted: Notify,
    purges: [[AtomicU64; 2]; Kind::ALL.len()],
    urls: AtomicU64,
    variants: AtomicU64,
}

/// What has happened since the start.
#[derive(Clone, Debug, Default)]
pub struct PurgeCounts {
    /// Filters purged, by kind: hard and soft.
    pub purges: [[u64; 2]; Kind::ALL.len()],
    /// URLs of which nothing was left.
    pub urls: u64,
    /// Answers that gave their memory back.
    pub variants: u64,
    /// Entries of the ledger.
    pub entries: u64,
    /// Bytes of it.
    pub bytes: u64,
    /// Entries that became one about a whole site.
    pub folded: u64,
}

impl Sweeps {
    pub(super) fn count(&self, kind: Kind, force: Force) {
        let by_force = self.purges.get(kind as usize);
        if let Some(count) = by_force.and_then(|counts| counts.get(force as usize)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// There is something to sweep.
    pub(super) fn call(&self) {
        self.wanted.notify_one();
    }

    /// Waits until there is; a call during a round begins another.
    pub(crate) async fn called(&self) {
        self.wanted.notified().await;
    }
}

/// One round over everything that is kept.
#[derive(Debug)]
pub(crate) struct Round {
    next: Option<u32>,
    oldest: Generation,
    /// The site of the last place, since neighbours are often of one.
    site: Option<(Box<str>, Arc<SiteLedger>)>,
}

impl Cache {
    /// Begins a round. What is asked for from now on is younger than every purge it looks for.
    pub(crate) fn round(&self) -> Round {
        let now = self.ledger.generation();
        let oldest = self.fills.oldest().map_or(now, |oldest| oldest.min(now));
        Round {
            next: Some(0),
            oldest,
            site: None,
        }
    }

    /// Looks at some places more; false when that was all of them.
    pub(crate) fn sweep_some(&self, round: &mut Round) -> bool {
        let Some(from) = round.next else {
            return false;
        };
        let page = self.memory.page(from, STEP_PLACES);
        for slot in &page.slots {
            if let Some((site, url)) = split_key(slot.key())
                && let Ok(site) = std::str::from_utf8(site)
            {
                let ledger = round.ledger_of(self, site);
                self.sweep_one(slot, &ledger, url, round);
            }
        }
        round.next = page.next;
        if round.next.is_none() {
            // A slot stays in its place for as long as its URL has one, so none was passed over.
            self.forget_purges(round.oldest);
        }
        round.next.is_some()
    }

    /// Forgets the purges that are about nothing any more. The journal on the disk keeps its own: what has left the index of
    /// the store may still lie in a slab.
    fn forget_purges(&self, mut oldest: Generation) {
        if let Some(disk) = &self.disk {
            match disk.oldest() {
                Ok(on_disk) => oldest = on_disk.map_or(oldest, |on_disk| on_disk.min(oldest)),
                Err(DiskUnknown) => return,
            }
        }
        self.ledger.forget_before(oldest);
    }

    fn sweep_one(&self, slot: &Slot<Resource>, ledger: &SiteLedger, url: &[u8], round: &mut Round) {
        let all = &slot.value().variants;
        let living = |object: &&Arc<super::Object>| object.is_alive(ledger, url);
        let (mut alive, mut oldest) = (0, round.oldest);
        for object in all.iter().filter(living) {
            alive += 1;
            oldest = oldest.min(object.born);
        }
        round.oldest = oldest;
        let gone = all.len() - alive;
        if gone == 0 {
            return;
        }
        self.sweeps
            .variants
            .fetch_add(gone as u64, Ordering::Relaxed);
        if alive == 0 {
            let nothing_lives = |slot: &Slot<Resource>| {
                let mut all = slot.value().variants.iter();
                !all.any(|object| object.is_alive(ledger, url))
            };
            let taken = self
                .memory
                .remove_if(slot.hash(), slot.key(), nothing_lives);
            let urls = u64::from(taken.is_some());
            self.sweeps.urls.fetch_add(urls, Ordering::Relaxed);
            return;
        }
        self.memory.update(slot.hash(), slot.key(), |there| {
            let resource = there?.value().living(|object| object.is_alive(ledger, url));
            let weight = resource.weight();
            Some((resource, weight))
        });
    }

    /// What was purged and swept since the start.
    pub fn purge_counts(&self) -> PurgeCounts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let sweeps = &self.sweeps;
        PurgeCounts {
            purges: sweeps
                .purges
                .each_ref()
                .map(|forces| forces.each_ref().map(read)),
            urls: read(&sweeps.urls),
            variants: read(&sweeps.variants),
            entries: self.ledger.entries() as u64,
            bytes: self.ledger.bytes() as u64,
            folded: self.ledger.folded(),
        }
    }
}

impl Round {
    fn ledger_of(&mut self, cache: &Cache, site: &str) -> Arc<SiteLedger> {
        match &self.site {
            Some((name, ledger)) if **name == *site => Arc::clone(ledger),
            _ => {
                let ledger = cache.ledger.site(site);
                self.site = Some((site.into(), Arc::clone(&ledger)));
                ledger
            }
        }
    }
}
