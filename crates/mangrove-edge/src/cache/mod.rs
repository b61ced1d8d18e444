//! What the cores keep of answers: one memory for all of them, one fetch for whatever many wait for.
//!
//! The decisions are those of `mangrove-cache`, which knows no sockets; here they meet bytes.
//!
//! ```text
//! look up ──► front (this core's, no lock) ──► memory (all cores') ──► fills (what is on its way) ──► disk ──► origin
//! ```
//!
//! A purge names what must not be answered any more. It is written into a ledger ([`mangrove_cache::purge`]), which a hit
//! asks once about each object that is older than the purge, and a fill before it is joined or kept: nothing that began
//! earlier can undo it. Nobody walks over what is kept while someone waits; of one URL it is taken out at once, the rest gives
//! its memory back when the keeper comes round (`sweep.rs`).

pub(crate) mod disk;
pub(crate) mod fill;
pub(crate) mod kept_body;
mod object;
pub(crate) mod parts;
pub(crate) mod reading;
pub(crate) mod resident;
pub(crate) mod sweep;
mod tale;

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use mangrove_cache::memory::{Front, Held, KeyHash, Memory, Refused, Slot, Updated};
use mangrove_cache::purge::{
    Entered as Purged, Filter, Force, Generation, Kind, Ledger, SiteLedger, Subject, Verdict,
};
use mangrove_cache::{
    Asked, CompressRules, Fields, Place, Rules, Stored, place_for, select, write_key,
};
use mangrove_http::{Known, RequestHead, Scheme, UnixMillis};

use crate::compress::{Coding, Compressor};

use disk::durable::DURABLE_WAIT;
pub use disk::{
    DiskTier, Durable, Located, OnDisk, PlaceOnDisk, Quotas, SeenOnDisk, Spool, Spooled, Unseen,
};
pub use fill::{
    Entered, FINISH_BYTES, Fill, FillReport, Fills, Follower, Leader, News, PIECE_BYTES,
    WINDOW_BYTES, Worth,
};
pub use kept_body::KeptBody;
pub use object::{Content, Hold, Kept, KeptHead, Object, Resource};
pub use parts::{Bring, Lack, Partial, Reader, RunLeader};
pub use resident::Resident;
pub use tale::{CacheResult, CacheTale};

/// Places of a core's own front: so many objects are found without asking what all cores share.
pub(crate) const FRONT_SLOTS: usize = 16 * 1024;
/// Places of the front that are looked through for what is gone, each turn of the clock.
pub(crate) const SWEPT_PLACES: usize = 256;
/// Where what is gone, and still held by somebody, has more than this part of the ceiling, a front lets go of all of it at once.
pub(crate) const GONE_SHARE: u64 = 16;
/// Of the memory's ceiling, what answers on their way may take before they are kept: one in so many.
pub(crate) const FILLS_SHARE: u64 = 4;
/// Filters of purges that are remembered, of all sites together: some 4 MiB. With one more, the older half of those of the
/// site that has most become one about all of that site.
pub(crate) const LEDGER_ENTRIES: usize = 64 * 1024;

/// Of the whole ceiling, what the allocator may waste before it costs content: one part in so many.
pub(crate) const WASTE_SHARE: u64 = 32;
/// Of the whole ceiling, how much content comes until is looked again what the allocator wastes: one part in so many.
pub(crate) const LOOK_SHARE: u64 = 64;
/// What all cores share.
#[derive(Debug)]
pub struct Cache {
    memory: Memory<Resource>,
    fills: Fills,
    ledger: Ledger,
    sweeps: sweep::Sweeps,
    /// Bytes of all that ever came, and the call to look what is held beside what is kept.
    brought: AtomicU64,
    /// What the allocator held too much when that was last asked.
    wasted: AtomicU64,
    /// Held by whoever counts what is beside: one at a time.
    counting: Mutex<()>,
    enough_brought: Notify,
    /// Codes what is kept; without it everything stays as it is.
    compressor: Option<Compressor>,
    /// What outlives the process; without it nothing does.
    disk: Option<DiskTier>,
}

impl Cache {
    /// Holds at most `ceiling` bytes in memory, a part of them answers on their way. `seed` must be secret, see
    /// [`Memory::new`].
    pub fn new(
        ceiling: u64,
        seed: [u64; 2],
        compressor: Option<Compressor>,
        disk: Option<DiskTier>,
    ) -> Arc<Self> {
        let for_fills = ceiling / FILLS_SHARE;
        Arc::new(Self {
            memory: Memory::new(ceiling - for_fills, seed),
            fills: Fills::new(for_fills),
            ledger: Ledger::new(seed, LEDGER_ENTRIES),
            sweeps: sweep::Sweeps::default(),
            brought: AtomicU64::new(0),
            wasted: AtomicU64::new(0),
            counting: Mutex::new(()),
            enough_brought: Notify::new(),
            compressor,
            disk,
        })
    }

    /// The disk tier.
    pub fn disk(&self) -> Option<&DiskTier> {
        self.disk.as_ref()
    }

    /// What is kept.
    pub fn memory(&self) -> &Memory<Resource> {
        &self.memory
    }

    /// What is on its way.
    pub fn fills(&self) -> &Fills {
        &self.fills
    }

    /// How many answers are on their way, into memory or to the disk.
    pub fn under_way(&self) -> usize {
        let to_disk = self.disk.as_ref().map(|disk| disk.under_way(None).len());
        self.fills.len() + to_disk.unwrap_or(0)
    }

    /// What was purged.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Counts what the allocator holds beyond what it was asked for, so that it is within the ceiling like everything else. A
    /// small part costs nothing.
    pub fn count_waste(&self, bytes: u64) {
        self.wasted.store(bytes, Ordering::Relaxed);
        self.count_beside();
    }

    /// Counts what is held beside what is kept: waste, and what waits for the disk. The latter may be kept in memory too: then
    /// it is counted twice, until it is written.
    fn count_beside(&self) {
        // Whoever counts already sees about the same.
        let Ok(_counting) = self.counting.try_lock() else {
            return;
        };
        let waiting = self.disk.as_ref().map_or(0, DiskTier::waiting_bytes);
        let wasted = self.wasted.load(Ordering::Relaxed);
        let wasted = wasted.saturating_sub(self.spared_waste());
        self.memory.count_beside(wasted.saturating_add(waiting));
    }

    /// What the allocator wasted when it was looked at last.
    pub(crate) fn waste(&self) -> u64 {
        self.wasted.load(Ordering::Relaxed)
    }

    /// What the allocator may waste before it costs content.
    pub(crate) fn spared_waste(&self) -> u64 {
        self.ceiling() / WASTE_SHARE
    }

    /// Ready when so much has come that the allocator's waste is to be looked at again.
    pub(crate) async fn enough_brought(&self) {
        self.enough_brought.notified().await;
    }

    /// So many bytes have come, from an origin or the disk.
    pub(crate) fn note_brought(&self, bytes: u64) {
        let step = (self.ceiling() / LOOK_SHARE).max(1);
        let before = self.brought.fetch_add(bytes, Ordering::Relaxed);
        if before / step != before.wrapping_add(bytes) / step {
            self.count_beside();
            self.enough_brought.notify_one();
        }
    }

    /// What memory and fills may have together.
    fn ceiling(&self) -> u64 {
        self.memory.ceiling() + self.fills.ceiling()
    }

    /// What gives memory back after purges.
    pub(crate) fn sweeps(&self) -> &sweep::Sweeps {
        &self.sweeps
    }

    /// Nothing of a site that was asked for before now, and that one of `filters` means, is answered again, or not as fresh.
    /// What is kept of a URL purged hard is let go of at once.
    pub fn purge(&self, site: &str, filters: &[Filter], force: Force, at: UnixMillis) -> Purged {
        let purged = self.ledger.purge(site, filters, force, at);
        for filter in filters {
            if filter.kind() == Kind::Url && force == Force::Hard {
                let mut key = prefix_of(site);
                key.extend_from_slice(filter.text());
                self.take_out(&key);
            }
            self.sweeps.count(filter.kind(), force);
        }
        self.sweeps.call();
        purged
    }

    /// Sees to it that a purge outlives the process; the word comes when it does, or after `DURABLE_WAIT`.
    pub async fn make_durable(
        &self,
        site: &str,
        filters: &[Filter],
        force: Force,
        at: UnixMillis,
        purged: &Purged,
    ) -> Durable {
        let Some(disk) = &self.disk else {
            return Durable::NotNeeded;
        };
        let told = disk.note(&self.ledger, site, filters, force, at, purged.generation);
        disk::durable::word_of(told, tokio::time::sleep(DURABLE_WAIT)).await
    }

    /// Lets go of what is kept under a key, and keeps nothing that is on its way for it. For what a visitor may cause: the
    /// ledger has no entry of it, so that no visitor can fill that.
    pub fn take_out(&self, key: &[u8]) {
        let hash = self.memory.hash(key);
        // First the fills: one that ends between the two is refused its place, one that ended before is taken out.
        self.fills.withdraw(hash, key);
        self.memory.remove(hash, key);
        if let Some(disk) = &self.disk {
            disk.take_out(key);
        }
    }

    /// What is kept under a key now, without counting it as a hit or a miss.
    pub fn peek(&self, key: &[u8]) -> Option<Arc<mangrove_cache::memory::Slot<Resource>>> {
        self.memory.peek(self.memory.hash(key), key)
    }

    /// Lets go of what `newer` takes the place of, which is kept on the disk alone.
    pub fn supersede(&self, hash: KeyHash, key: &[u8], newer: &Stored, site: &SiteCache) {
        self.memory.update(hash, key, |there| {
            let there = there?.value();
            let all = there.variants.iter().map(|known| &known.head.stored);
            let Place::Instead(at) = place_for(newer, all, &site.rules) else {
                return None;
            };
            let resource = there.without(there.variants.get(at)?);
            let weight = resource.weight();
            Some((resource, weight))
        });
    }

    /// What codes the content that is kept.
    pub fn compressor(&self) -> Option<&Compressor> {
        self.compressor.as_ref()
    }

    /// Puts a coded form beside the content it was made from, if that is still kept.
    pub fn keep_form(
        &self,
        slot: &Slot<Resource>,
        content: &Arc<Content>,
        coding: Coding,
        coded: &Arc<Content>,
    ) {
        self.memory.update(slot.hash(), slot.key(), |there| {
            let there = there?.value();
            let mut all = there.variants.iter();
            let old = all.find(|known| Arc::ptr_eq(&known.content, content))?;
            if old.form(coding).is_some() || !old.is_codable() {
                return None;
            }
            let new = Arc::new(old.with_form(coding, Arc::clone(coded)));
            let resource = there.exchanged(old, &new)?;
            let weight = resource.weight();
            Some((resource, weight))
        });
    }

    /// Takes one object out, if it is still there.
    pub fn forget(&self, hash: KeyHash, key: &[u8], object: &Arc<Object>) {
        self.memory.update(hash, key, |there| {
            let there = there?.value();
            there.place_of(object)?;
            let resource = there.without(object);
            let weight = resource.weight();
            Some((resource, weight))
        });
        if let (Some(disk), Some(located)) = (&self.disk, object.located()) {
            disk.forget(key, located.id);
        }
    }
}

/// A site's cache, as its snapshot on one core knows it.
#[derive(Debug)]
pub struct SiteCache {
    /// Its policy.
    pub rules: Arc<Rules>,
    /// What of it is coded.
    pub compress: Arc<CompressRules>,
    /// What its keys begin with, so that no site ever finds what is another's.
    prefix: Box<[u8]>,
    /// What of it was purged.
    ledger: Arc<SiteLedger>,
}

impl SiteCache {
    /// The cache of a site.
    pub fn new(cache: &Cache, site: &str, rules: Arc<Rules>, compress: Arc<CompressRules>) -> Self {
        Self {
            rules,
            compress,
            prefix: prefix_of(site).into(),
            ledger: cache.ledger.site(site),
        }
    }

    /// Whether what is kept under a key may be answered: no purge has taken it. Sees to it that what was purged softly is
    /// stale. On the way of every hit.
    #[inline]
    pub fn is_alive(&self, key: &[u8], object: &Object) -> bool {
        object.is_alive(&self.ledger, self.url_of(key))
    }

    /// Whether what was asked for with a number, under a key, is still what a newcomer may get as fresh. Without fields its
    /// tags are not known yet.
    pub fn is_current(&self, key: &[u8], born: Generation, fields: Option<&Fields>) -> bool {
        let subject = || Subject::of_key(self.url_of(key), fields);
        born >= self.ledger.version()
            || self.ledger.verdict(born, &subject()).verdict == Verdict::Alive
    }

    fn url_of<'k>(&self, key: &'k [u8]) -> &'k [u8] {
        key.get(self.prefix.len()..).unwrap_or_default()
    }

    /// What its keys begin with.
    pub fn prefix(&self) -> &[u8] {
        &self.prefix
    }
}

/// What the keys of a site begin with. No name of a site holds a NUL.
pub fn prefix_of(site: &str) -> Vec<u8> {
    let mut prefix = site.as_bytes().to_vec();
    prefix.push(0);
    prefix
}

/// A key's site and the URL under it.
pub(crate) fn split_key(key: &[u8]) -> Option<(&[u8], &[u8])> {
    let (site, url) = key.split_at_checked(key.iter().position(|&b| b == 0)?)?;
    Some((site, url.get(1..)?))
}

/// One core's way into the cache.
pub struct CoreCache {
    /// What all cores share.
    pub shared: Arc<Cache>,
    front: RefCell<Front<Resource>>,
    /// Nothing that is gone was found in all of it since the clock turned.
    in_vain: Cell<bool>,
    scratch: RefCell<Scratch>,
    /// What can be sent from the disk's files without waiting.
    pub resident: Resident,
}

#[derive(Default)]
struct Scratch {
    key: Vec<u8>,
    variant: Vec<u8>,
}

/// What a look into the cache brought.
#[derive(Debug)]
pub struct Found {
    /// The hash of the key that [`CoreCache::with_key`] still tells.
    pub hash: KeyHash,
    /// Everything kept of the URL.
    pub slot: Option<Held<Resource>>,
    /// Which of it answers the request.
    pub at: Option<usize>,
    /// Whether there is anything that was not purged, for this request or for others.
    pub alive: bool,
    /// [`Fills::departures`] before anything was looked for in what all cores share.
    pub departures: u64,
}

impl Found {
    /// As the decisions want to be told.
    pub fn for_decision(&self) -> mangrove_cache::Found<'_> {
        match self.stored() {
            Some(stored) => mangrove_cache::Found::This(stored),
            None if self.alive => mangrove_cache::Found::OtherVariants,
            None => mangrove_cache::Found::Nothing,
        }
    }

    /// What answers the request.
    pub fn object(&self) -> Option<&Arc<Object>> {
        self.slot.as_ref()?.value().variants.get(self.at?)
    }

    /// Its head.
    pub fn stored(&self) -> Option<&Stored> {
        Some(&self.object()?.head.stored)
    }

    /// The same, to be held on to.
    pub fn kept(&self) -> Option<Kept> {
        let slot = self.slot.as_ref()?;
        slot.value().variants.get(self.at?)?;
        Some(Hold::Held(slot.clone(), self.at?).into())
    }
}

impl CoreCache {
    /// A core's own front before `shared`.
    pub fn new(shared: Arc<Cache>) -> Self {
        Self {
            shared,
            front: RefCell::new(Front::new(FRONT_SLOTS)),
            scratch: RefCell::default(),
            in_vain: Cell::new(false),
            resident: Resident::default(),
        }
    }

    /// Looks for what answers a request. `path` is that of its key, which need not be in normal form.
    pub fn find(&self, site: &SiteCache, asked: &Asked<'_>, scheme: Scheme, path: &[u8]) -> Found {
        let scratch = &mut *self.scratch.borrow_mut();
        scratch.key.clear();
        scratch.key.extend_from_slice(&site.prefix);
        write_key(&site.rules, scheme, asked.request, path, &mut scratch.key);
        let memory = &self.shared.memory;
        let hash = memory.hash(&scratch.key);
        let front = &mut *self.front.borrow_mut();
        let (mut slot, mut departures) = (front.find(hash, &scratch.key), 0);
        if slot.is_none() {
            departures = self.shared.fills.departures(hash);
            let shared = memory.lookup(hash, &scratch.key);
            slot = shared.map(|shared| front.keep(shared));
        }
        let resource = slot.as_ref().map(|slot| slot.value());
        let is_alive = |object: &Object| site.is_alive(&scratch.key, object);
        let at = resource.and_then(|resource| {
            choose(
                resource,
                asked.request,
                site,
                &mut scratch.variant,
                is_alive,
            )
        });
        let mut others = resource.into_iter().flat_map(|all| &all.variants);
        let alive = at.is_some() || others.any(|object| is_alive(object));
        Found {
            hash,
            slot,
            at,
            alive,
            departures,
        }
    }

    /// Puts an object under its key, in the place that [`mangrove_cache::place_for`] finds, and together with the part that is
    /// kept there if both are parts of one; `None` when there is no room.
    pub fn keep(
        &self,
        hash: KeyHash,
        key: &[u8],
        object: &Arc<Object>,
        site: &SiteCache,
    ) -> Option<Kept> {
        let is_alive = |known: &Object| site.is_alive(key, known);
        let mut kept = Arc::clone(object);
        let updated = self.update(hash, key, |there| {
            let there = there.map(|slot| slot.value());
            kept = Resource::combined(there, object, &site.rules, is_alive);
            let resource = Resource::with(there, &kept, &site.rules, is_alive);
            let weight = resource.weight();
            Some((resource, weight))
        });
        match updated {
            Updated::Kept => {
                let slot = self.shared.memory.peek(hash, key)?;
                let at = slot.value().place_of(&kept)?;
                Some(Hold::Shared(slot, at).into())
            }
            Updated::Unchanged | Updated::Refused(_) => None,
        }
    }

    /// Puts an object that was found on the disk under its key, unless something newer has taken its place: then nothing is
    /// changed.
    pub fn bring(
        &self,
        hash: KeyHash,
        key: &[u8],
        object: &Arc<Object>,
        site: &SiteCache,
    ) -> Updated {
        let is_alive = |known: &Object| site.is_alive(key, known);
        let updated = self.update(hash, key, |there| {
            let there = there.map(|slot| slot.value());
            if there.is_some_and(|there| there.has_newer(object, &site.rules, is_alive)) {
                return None;
            }
            let resource = Resource::with(there, object, &site.rules, is_alive);
            let weight = resource.weight();
            Some((resource, weight))
        });
        if matches!(updated, Updated::Kept) {
            self.shared.note_brought(object.weight());
        }
        updated
    }

    /// Changes what is kept under a key. Where what is gone has the room still, and this core's front holds it, it lets go first.
    fn update(
        &self,
        hash: KeyHash,
        key: &[u8],
        mut change: impl FnMut(Option<&Arc<Slot<Resource>>>) -> Option<(Resource, u64)>,
    ) -> Updated {
        let memory = &self.shared.memory;
        let mut seen: Option<Arc<Slot<Resource>>> = None;
        let updated = memory.update(hash, key, |there| {
            seen = there.cloned();
            change(there)
        });
        match updated {
            // With the newcomer went what was there before it: it has its place beside it again.
            Updated::Refused(Refused::Pinned) if self.let_go() > 0 => {
                memory.update(hash, key, |there| change(there.or(seen.as_ref())))
            }
            updated => updated,
        }
    }

    /// The key of the last look.
    pub fn with_key<T>(&self, look: impl FnOnce(&[u8]) -> T) -> T {
        look(&self.scratch.borrow().key)
    }

    /// Lets go of some of what the front still holds although it is gone; of all of it where that takes much of the room.
    pub fn sweep(&self) {
        self.in_vain.set(false);
        let memory = self.shared.memory();
        let now = memory.statistics();
        let gone = now.held.saturating_sub(now.kept.saturating_add(now.beside));
        if gone > memory.ceiling() / GONE_SHARE {
            self.let_go();
        } else {
            self.front.borrow_mut().sweep(SWEPT_PLACES);
        }
    }

    /// Lets go of all that the front still holds although it is gone, and says how much that was. Where there was nothing it is
    /// not looked for again before the next turn of the clock: then others hold it.
    fn let_go(&self) -> usize {
        if self.in_vain.get() {
            return 0;
        }
        let front = &mut *self.front.borrow_mut();
        let dropped = front.sweep(front.places());
        self.in_vain.set(dropped == 0);
        dropped
    }

    /// Hits and misses of the front.
    pub fn front_statistics(&self) -> mangrove_cache::memory::FrontStatistics {
        self.front.borrow().statistics()
    }
}

impl std::fmt::Debug for CoreCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CoreCache").finish_non_exhaustive()
    }
}

/// Which of a URL's objects answers the request, if one that was not purged does.
fn choose(
    resource: &Resource,
    request: &RequestHead,
    site: &SiteCache,
    scratch: &mut Vec<u8>,
    is_alive: impl Fn(&Object) -> bool,
) -> Option<usize> {
    let all = resource.variants.iter().map(|object| &object.head.stored);
    let at = select(all, request, &site.rules, scratch)?;
    let object = resource.variants.get(at)?;
    // Content that has left the disk, or a disk that has stopped: as if it had never been kept.
    (is_alive(object) && object.content.is_at_hand()).then_some(at)
}

/// Whether the key's answers are known to be of no use to anyone but who asked, so that nobody waits for another's.
pub fn is_uncollapsible(slot: Option<&Held<Resource>>, now: UnixMillis) -> bool {
    slot.is_some_and(|slot| now < slot.value().uncollapsible_until)
}

/// Fields that are told for each answer afresh, whatever was kept.
pub(crate) fn is_told_afresh(known: Known) -> bool {
    matches!(known, Known::ContentLength | Known::XRequestId | Known::Age)
}

/// Fields that a visitor is not told: tags are between the origin and its caches, and would tell others how a site is made.
pub(crate) fn is_for_caches(known: Known) -> bool {
    matches!(known, Known::SurrogateKey | Known::CacheTag)
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::task::{Context, Waker};

    use super::*;

    const CEILING: u64 = 64 * 1024 * 1024;

    fn cache() -> Arc<Cache> {
        Cache::new(CEILING, [1, 2], None, None)
    }

    #[test]
    fn what_is_wasted_costs_content_only_beyond_its_share() {
        let (cache, share) = (cache(), CEILING / WASTE_SHARE);
        for (wasted, costs) in [(share, 0), (share + 1, 1)] {
            cache.count_waste(wasted);
            assert_eq!(cache.memory().statistics().beside, costs);
        }
    }

    #[test]
    fn waste_is_looked_at_when_its_share_of_content_has_come_and_no_byte_sooner() {
        let (cache, share) = (cache(), CEILING / LOOK_SHARE);
        let called = || {
            let call = std::pin::pin!(cache.enough_brought());
            call.poll(&mut Context::from_waker(Waker::noop()))
                .is_ready()
        };
        cache.note_brought(share - 1);
        assert!(!called());
        cache.note_brought(1);
        assert!(called());
        assert!(!called());
    }
}
