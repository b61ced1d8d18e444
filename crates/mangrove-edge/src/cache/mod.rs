//! What the cores keep of answers: one memory for all of them, one fetch for whatever many wait for.
//!
//! The decisions are those of `mangrove-cache`, which knows no sockets; here they meet bytes.
//!
//! ```text
//! look up ──► front (this core's, no lock) ──► memory (all cores') ──► fills (what is on its way) ──► origin
//! ```
//!
//! A purge names what must not be answered any more. Of one URL it takes out what is kept and tells every fill under way
//! that it is not wanted; of a site it raises a *floor*: whatever was asked for before has a lower number and is as good as
//! gone. Neither waits for anyone, and neither can be undone by a fill that began earlier.

pub(crate) mod fill;
mod kept_body;
mod object;
mod tale;

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mangrove_cache::memory::{Front, Held, KeyHash, Memory, Slot, Updated};
use mangrove_cache::{Asked, CompressRules, Rules, Stored, select, write_key};
use mangrove_http::{Known, RequestHead, Scheme, UnixMillis};

use crate::compress::{Coding, Compressor};

pub use fill::{
    Entered, FINISH_BYTES, Fill, FillReport, Fills, Follower, Leader, News, PIECE_BYTES,
    WINDOW_BYTES, Worth,
};
pub use kept_body::KeptBody;
pub use object::{Content, Hold, Kept, KeptHead, Object, Resource};
pub use tale::{CacheResult, CacheTale};

/// Places of a core's own front: so many objects are found without asking what all cores share.
pub(crate) const FRONT_SLOTS: usize = 16 * 1024;
/// Places of the front that are looked through for what is gone, each turn of the clock.
pub(crate) const SWEPT_PLACES: usize = 64;
/// Of the memory's ceiling, what answers on their way may take before they are kept: one in so many.
pub(crate) const FILLS_SHARE: u64 = 4;
/// What all cores share.
#[derive(Debug)]
pub struct Cache {
    memory: Memory<Resource>,
    fills: Fills,
    /// Counts purges of sites; whatever is asked for carries the number of its time.
    generation: AtomicU64,
    /// Codes what is kept; without it everything stays as it is.
    compressor: Option<Compressor>,
    /// By site: numbers below are gone.
    floors: Mutex<HashMap<Box<str>, Arc<AtomicU64>>>,
}

impl Cache {
    /// Holds at most `ceiling` bytes, a part of them answers on their way. `seed` must be secret, see [`Memory::new`].
    pub fn new(ceiling: u64, seed: [u64; 2], compressor: Option<Compressor>) -> Arc<Self> {
        let for_fills = ceiling / FILLS_SHARE;
        Arc::new(Self {
            memory: Memory::new(ceiling - for_fills, seed),
            fills: Fills::new(for_fills),
            generation: AtomicU64::new(1),
            compressor,
            floors: Mutex::default(),
        })
    }

    /// What is kept.
    pub fn memory(&self) -> &Memory<Resource> {
        &self.memory
    }

    /// What is on its way.
    pub fn fills(&self) -> &Fills {
        &self.fills
    }

    /// The number of now, for what is asked for now.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The floor of a site, by its name: the same for as long as the process lives, whatever is reloaded.
    pub fn floor(&self, site: &str) -> Arc<AtomicU64> {
        let mut floors = self.floors.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(floors.entry(site.into()).or_default())
    }

    /// Nothing that was asked for before now is answered for this site again.
    pub fn purge_site(&self, site: &str) {
        let floor = self.floor(site);
        let next = self.generation.fetch_add(1, Ordering::AcqRel) + 1;
        floor.fetch_max(next, Ordering::AcqRel);
    }

    /// Nothing that was asked for before now is answered for this key again; says how many variants were kept.
    pub fn purge_key(&self, key: &[u8]) -> usize {
        let hash = self.memory.hash(key);
        // First the fills: one that ends between the two is refused its place, one that ended before is taken out.
        self.fills.withdraw(hash, key);
        let taken = self.memory.remove(hash, key);
        taken.map_or(0, |slot| slot.value().variants.len())
    }

    /// What is kept under a key now, without counting it as a hit or a miss.
    pub fn peek(&self, key: &[u8]) -> Option<Arc<mangrove_cache::memory::Slot<Resource>>> {
        self.memory.peek(self.memory.hash(key), key)
    }

    /// Puts an object under its key, in the place that [`mangrove_cache::place_for`] finds, and together with the part that is
    /// kept there if both are parts of one; `None` when there is no room.
    pub fn keep(
        &self,
        hash: KeyHash,
        key: &[u8],
        object: &Arc<Object>,
        rules: &Rules,
        floor: u64,
    ) -> Option<Kept> {
        let mut kept = Arc::clone(object);
        let updated = self.memory.update(hash, key, |there| {
            let there = there.map(|slot| slot.value());
            kept = Resource::combined(there, object, rules, floor);
            let resource = Resource::with(there, &kept, rules, floor);
            let weight = resource.weight();
            Some((resource, weight))
        });
        match updated {
            Updated::Kept => {
                let slot = self.memory.peek(hash, key)?;
                let at = slot.value().place_of(&kept)?;
                Some(Hold::Shared(slot, at).into())
            }
            Updated::Unchanged | Updated::Refused(_) => None,
        }
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
    floor: Arc<AtomicU64>,
}

impl SiteCache {
    /// The cache of a site.
    pub fn new(cache: &Cache, site: &str, rules: Arc<Rules>, compress: Arc<CompressRules>) -> Self {
        Self {
            rules,
            compress,
            prefix: prefix_of(site).into(),
            floor: cache.floor(site),
        }
    }

    /// Numbers below are gone.
    pub fn floor(&self) -> u64 {
        self.floor.load(Ordering::Acquire)
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

/// One core's way into the cache.
pub struct CoreCache {
    /// What all cores share.
    pub shared: Arc<Cache>,
    front: RefCell<Front<Resource>>,
    scratch: RefCell<Scratch>,
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
    /// [`Fills::departures`] before anything was looked for in what all cores share.
    pub departures: u64,
}

impl Found {
    /// As the decisions want to be told.
    pub fn for_decision(&self) -> mangrove_cache::Found<'_> {
        match (&self.slot, self.stored()) {
            (_, Some(stored)) => mangrove_cache::Found::This(stored),
            (Some(slot), None) if !slot.value().variants.is_empty() => {
                mangrove_cache::Found::OtherVariants
            }
            _ => mangrove_cache::Found::Nothing,
        }
    }

    /// What answers the request.
    pub fn stored(&self) -> Option<&Stored> {
        let object = self.slot.as_ref()?.value().variants.get(self.at?)?;
        Some(&object.head.stored)
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
        let at = slot
            .as_ref()
            .and_then(|slot| choose(slot.value(), asked.request, site, &mut scratch.variant));
        Found {
            hash,
            slot,
            at,
            departures,
        }
    }

    /// The key of the last look.
    pub fn with_key<T>(&self, look: impl FnOnce(&[u8]) -> T) -> T {
        look(&self.scratch.borrow().key)
    }

    /// Lets go of some of what the front still holds although it is gone.
    pub fn sweep(&self) {
        self.front.borrow_mut().sweep(SWEPT_PLACES);
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
) -> Option<usize> {
    let all = resource.variants.iter().map(|object| &object.head.stored);
    let at = select(all, request, &site.rules, scratch)?;
    let object = resource.variants.get(at)?;
    (object.born >= site.floor()).then_some(at)
}

/// Whether the key's answers are known to be of no use to anyone but who asked, so that nobody waits for another's.
pub fn is_uncollapsible(slot: Option<&Held<Resource>>, now: UnixMillis) -> bool {
    slot.is_some_and(|slot| now < slot.value().uncollapsible_until)
}

/// Fields that are told for each answer afresh, whatever was kept.
pub(crate) fn is_told_afresh(known: Known) -> bool {
    matches!(known, Known::ContentLength | Known::XRequestId | Known::Age)
}
