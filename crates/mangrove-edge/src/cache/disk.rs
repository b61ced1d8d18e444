//! The disk tier, as the cache uses it: what a restart brings back, and what memory has no room for.
//!
//! ```text
//! kept in memory ──► written behind it            a miss in memory ──► the store's index ──► head, and content if small,
//! confirmed by 304 ──► a newer head                                    into memory: then it is looked up once more
//! ```
//!
//! So every decision is made about what is in memory, by the same code, wherever it came from. Content of more than
//! [`WHOLE_BYTES`] stays on the disk and is read from there by each answer; memory has its head. So does
//! smaller content that the kernel sends from the file (`FROM_FILE_BYTES` and more).
//!
//! Nothing here waits for the disk on a core: heads and cold content are read by the store's own threads, what is written is
//! handed over or, where the disk is behind, not kept there (a [`Spool`] is tried again for a moment). A purge is in the ledger first and then in the store's journal:
//! when [`DiskTier::note`]'s word has come, it holds after a power loss as well.

pub(crate) mod durable;
mod located;
mod quota;
mod spool;
pub(crate) mod told;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use mangrove_cache::purge::{Filter, Force, Generation, Kind, Ledger, Purge};
use mangrove_cache::{CompressRules, Content as StoredContent, Stored, decode, encode};
use mangrove_http::{Known, UnixMillis};
use mangrove_store::{
    Handle, Head, Health, Journal, KeyHash, NewObject, ObjectId, OpenError, Progress, Refused,
    Settings, Site, Statistics, Store, Subject, Variant, Writing,
};
use smallvec::SmallVec;
use tokio::sync::oneshot;
use twox_hash::XxHash3_64;

use super::object::{Content, Object};
use super::parts::Parts;
use super::split_key;
use crate::compress::why_uncoded_after;

pub use durable::Durable;
pub use located::Located;
pub(crate) use located::is_strong;
pub use quota::Quotas;
pub use spool::{Spool, Spooled};
pub use told::{PlaceOnDisk, SeenOnDisk, Unseen};

/// Content up to this comes into memory whole when it is asked for; what is larger is read from the disk by each answer.
pub(crate) const WHOLE_BYTES: u64 = 1 << 20;
/// Of what the cache may have of memory, what may wait for the disk: one part in so many,
pub(crate) const QUEUE_SHARE: u64 = 8;
/// but at least so much,
pub(crate) const QUEUE_LEAST: u64 = 4 << 20;
/// and at most so much.
pub(crate) const QUEUE_MOST: u64 = 64 << 20;
/// Content of so many bytes and more goes to the disk as it comes, and is not held in memory.
pub(crate) const SPOOLED_BYTES: u64 = 16 << 20;
/// Purges that are remembered while another process, that ends, still has the store. With one more, all of its site counts
/// as purged.
pub(crate) const PURGES_AHEAD: usize = 1024;
/// The journal of purges is looked through for what later ones say as well once it has so many bytes, and then each time it
/// has twice what was left.
pub(crate) const COMPACT_BYTES: usize = 1 << 20;
/// Past this, what is purged of each site becomes one purge of all of it: more than was asked, never less.
pub(crate) const FOLD_BYTES: usize = 32 << 20;

/// The content may be coded.
const CODABLE: u8 = 1;

/// The disk tier of an edge. There from the start; in use once no other process has the folder.
#[derive(Debug)]
pub struct DiskTier {
    folder: PathBuf,
    bytes: u64,
    queue_bytes: u64,
    open: RwLock<Option<Arc<Open>>>,
    ahead: Mutex<Ahead>,
    /// Handed over, and still read by answers under way.
    handed_over: Mutex<Option<Arc<Open>>>,
    quotas: Mutex<quota::Said>,
}

/// A store that was opened.
#[derive(Debug)]
pub struct Open {
    store: Store,
    journal: Journal,
    seed: u64,
    /// What the store held when it was opened was born up to here.
    began: Generation,
    /// When the journal is looked through next, in its bytes.
    compact_at: AtomicUsize,
    /// Bytes of chunks that are gathered, or could not be handed over yet; with so many no more are begun.
    gathering: AtomicU64,
    gathers: u64,
    /// What of objects that are not whole is on its way.
    parts: Parts,
}

/// What happened before the store was open.
#[derive(Debug, Default)]
struct Ahead {
    purges: Vec<(Box<str>, Filter, Force, UnixMillis)>,
    /// Of these sites there were more than are remembered.
    whole: BTreeSet<Box<str>>,
    /// This edge lets another have the store, for good.
    over: bool,
}

/// Not everything on the disk is known yet: no purge may be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskUnknown;

/// What was found on the disk for a request, before its content is read.
#[derive(Debug)]
pub struct OnDisk {
    /// The object.
    pub handle: Handle,
    /// What is kept of the response.
    pub stored: Stored,
    codable: bool,
}

impl DiskTier {
    /// The tier of a folder, not open yet, of at most `bytes`. What waits for it is a part of the `memory` that the cache may
    /// have.
    pub fn new(folder: PathBuf, bytes: u64, memory: u64) -> Self {
        Self {
            folder,
            bytes,
            queue_bytes: (memory / QUEUE_SHARE).clamp(QUEUE_LEAST, QUEUE_MOST),
            open: RwLock::new(None),
            ahead: Mutex::default(),
            handed_over: Mutex::default(),
            quotas: Mutex::default(),
        }
    }

    /// Opens the store if no other process has it, and enters what its journal has into the ledger. Waits for the disk.
    pub fn try_open(&self, ledger: &Ledger) -> Result<(), OpenError> {
        if lock(&self.ahead).over || self.is_open() {
            return Ok(());
        }
        // Without a lock: a disk that hangs must not hold up whoever purges.
        let settings = Settings {
            queue_bytes: usize::try_from(self.queue_bytes).unwrap_or(usize::MAX),
            ..Settings::of_bytes(self.bytes)
        };
        let opened = Store::open(&self.folder, settings)?;
        let mut ahead = lock(&self.ahead);
        if ahead.over {
            drop(ahead);
            opened.store.close();
            return Ok(());
        }
        ledger.begin_above(Generation(opened.generation.0));
        for (_, entry) in &opened.replayed.entries {
            match Purge::decode(entry) {
                Ok(purge) => drop(ledger.replay(&purge)),
                // Not of this build, or not of any: what it meant is not known, so it means everything until then.
                Err(_) => opened.store.raise_floor(opened.generation),
            }
        }
        let open = Open {
            store: opened.store,
            journal: opened.journal,
            seed: opened.seed,
            began: Generation(opened.generation.0),
            compact_at: AtomicUsize::new(COMPACT_BYTES),
            gathering: AtomicU64::new(0),
            gathers: self.queue_bytes,
            parts: Parts::of_store(self.bytes),
        };
        let whole = std::mem::take(&mut ahead.whole);
        let whole = whole
            .into_iter()
            .map(|site| (site, Filter::all(), Force::Hard, UnixMillis(0)));
        for (site, filter, force, at) in std::mem::take(&mut ahead.purges).into_iter().chain(whole)
        {
            let filters = std::slice::from_ref(&filter);
            let generation = ledger.purge(&site, filters, force, at).generation;
            open.note(&site, filters, force, at, generation, |_| {});
        }
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(open));
        drop(ahead);
        self.enforce_quotas();
        Ok(())
    }

    /// Lets another process have the store: what was accepted is written, nothing more is. Answers under way are read to their
    /// end. Waits for the disk.
    pub fn close(&self) {
        lock(&self.ahead).over = true;
        let open = self
            .open
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(open) = open {
            *lock(&self.handed_over) = Some(Arc::clone(&open));
            open.store.hand_over();
        }
    }

    /// Nobody reads any more.
    pub fn end(&self) {
        if let Some(open) = lock(&self.handed_over).take() {
            open.store.close();
        }
    }

    /// Whether the store is open.
    pub fn is_open(&self) -> bool {
        self.opened().is_some()
    }

    fn opened(&self) -> Option<Arc<Open>> {
        self.open
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether something may be kept under a key. Nothing stays longer for this question: whoever is answered asks for it.
    pub fn may_have(&self, key: &[u8]) -> bool {
        self.opened()
            .is_some_and(|open| !open.store.peek(open.key(key)).is_empty())
    }

    /// The objects under a key's hash that may answer, the newest first, and the store they are in.
    pub fn lookup(&self, key: &[u8]) -> Option<(Arc<Open>, SmallVec<[Handle; 2]>)> {
        let open = self.opened()?;
        let mut found = open.store.lookup(open.key(key));
        found.retain(|handle| may_answer(handle));
        Some((open, found))
    }

    /// The objects of a key that have begun to come, and are found by that alone where memory has no room for their heads.
    pub fn begun(&self, key: &[u8]) -> Vec<Arc<Object>> {
        self.opened()
            .map_or_else(Vec::new, |open| open.parts.begun(open.key(key), key))
    }

    /// Hands a whole answer over to be written; says where it will be.
    pub fn write(&self, key: &[u8], object: &Object) -> Option<Located> {
        let open = self.opened()?;
        let length = match object.head.stored.content {
            StoredContent::Whole {
                length: Some(length),
            } => length,
            _ => return None, // parts are kept in memory alone
        };
        // What is read by somebody leaves now, while it is held for him: once this is written it leaves unheld.
        let variant = open.variant(&object.head.stored);
        let is_older = |subject: &Subject, _| subject.variant == variant;
        if open.parts.hold(open.key(key), is_older) {
            open.bury(key, &object.head.stored);
        }
        let written = open.write(key, object, length);
        if written.is_none() {
            // What it takes the place of must not be found instead of it once memory has let go of it.
            open.bury(key, &object.head.stored);
        }
        let id = written?;
        let key = open.key(key);
        Some(Located::new(open, key, id, &object.head.stored))
    }

    /// Answers of so many bytes and more are handed over as they come: all of such a one would not fit into what may wait.
    pub fn spooled_from(&self) -> u64 {
        SPOOLED_BYTES.min(self.queue_bytes / 2)
    }

    /// Bytes of memory that wait for the disk. Of some of them the cache's memory has the content too.
    pub fn waiting_bytes(&self) -> u64 {
        self.opened().map_or(0, |open| {
            open.store.waiting_bytes() + open.gathering.load(Ordering::Relaxed)
        })
    }

    /// An answer that was on its way to the disk will not be kept there.
    pub fn gave_up(&self, key: &[u8], stored: &Stored) {
        if let Some(open) = self.opened() {
            open.bury(key, stored);
        }
    }

    /// The origin has said something newer of an object: its head is another now. Where that cannot be written, the older one
    /// must not come back, nor where it was found to be outdated.
    pub fn renew(&self, key: &[u8], id: ObjectId, object: &Object) {
        let Some(open) = self.opened() else {
            return;
        };
        let stored = &object.head.stored;
        let head = match stored.expiry.at() {
            None => head_of(key, stored, object.is_codable()),
            Some(_) => None,
        };
        let born = mangrove_store::Generation(object.born.0);
        let found = open.store.lookup(open.key(key));
        for handle in found.iter().filter(|handle| handle.id() == id) {
            let written = head
                .as_ref()
                .map(|head| handle.write().try_head(born, None, head));
            if !matches!(written, Some(Ok(()))) {
                open.remove(handle);
            }
        }
    }

    /// Lets go of one object.
    pub fn forget(&self, key: &[u8], id: ObjectId) {
        if let Some(open) = self.opened() {
            let found = open.store.lookup(open.key(key));
            let meant = found.iter().filter(|handle| handle.id() == id);
            meant.for_each(|handle| open.remove(handle));
        }
    }

    /// Lets go of everything under a key.
    pub fn take_out(&self, key: &[u8]) {
        if let Some(open) = self.opened() {
            open.parts.withdraw(open.key(key));
            open.parts.hold(open.key(key), |_, _| true);
            open.store.remove(open.key(key));
        }
    }

    /// Lets go of everything of a site that was born before, to give the room back at once. Looks at every object: not for a
    /// thread that serves.
    pub fn let_go(&self, site: &str, before: Generation) {
        if let Some(open) = self.opened() {
            let site = open.site(site.as_bytes());
            let goes = |subject: &Subject| subject.site == site && subject.born.0 < before.0;
            open.parts.hold_all(|subject, _| goes(subject));
            open.store.retain(|subject| !goes(subject));
        }
    }

    /// Notes a purge that is in the ledger already; the word comes when it is durable.
    pub fn note(
        &self,
        ledger: &Ledger,
        site: &str,
        filters: &[Filter],
        force: Force,
        at: UnixMillis,
        generation: Generation,
    ) -> oneshot::Receiver<Durable> {
        let (word, told) = oneshot::channel();
        let mut ahead = lock(&self.ahead);
        match self.opened() {
            Some(open) => {
                drop(ahead);
                // It got its number before the store was open, and what that holds has higher ones.
                let generation = match generation <= open.began {
                    true => ledger.purge(site, filters, force, at).generation,
                    false => generation,
                };
                open.note(site, filters, force, at, generation, |durable| {
                    let _ = word.send(durable); // nobody may wait for it
                });
            }
            None => {
                let why = match ahead.over {
                    true => "this edge is ending, and its successor is to be told as well",
                    false => {
                        "another edge, that ends, still has the store; it is written as soon as that has gone"
                    }
                };
                for filter in filters {
                    match ahead.purges.len() < PURGES_AHEAD {
                        true => ahead.purges.push((site.into(), filter.clone(), force, at)),
                        false => drop(ahead.whole.insert(site.into())),
                    }
                }
                let _ = word.send(Durable::No(why.to_owned()));
            }
        }
        told
    }

    /// The lowest generation that is alive on the disk.
    pub fn oldest(&self) -> Result<Option<Generation>, DiskUnknown> {
        let open = self.opened().ok_or(DiskUnknown)?;
        if !open.store.progress().is_over {
            return Err(DiskUnknown);
        }
        Ok(open.store.oldest().map(|oldest| Generation(oldest.0)))
    }

    /// Lets go of purges that later ones say as well. Never of the last one about anything: what has left the index of the
    /// store may still lie in a slab, and is found again after a restart.
    pub fn compact(&self, ledger: &Ledger, now: UnixMillis) {
        let Some(open) = self.opened() else {
            return;
        };
        if open.journal.bytes() < open.compact_at.load(Ordering::Relaxed) {
            return;
        }
        let mut last = Last::default();
        open.journal.compact(|_, entry| {
            last.note(entry);
            true
        });
        open.journal.compact(|_, entry| last.is_needed(entry));
        if open.journal.bytes() > FOLD_BYTES {
            for site in last.sites() {
                let filters = [Filter::all()];
                let generation = ledger.purge(&site, &filters, Force::Hard, now).generation;
                open.note(&site, &filters, Force::Hard, now, generation, |_| {});
            }
            // With the next look, when these have been written.
        }
        let next = open.journal.bytes().saturating_mul(2).max(COMPACT_BYTES);
        open.compact_at
            .store(next.min(FOLD_BYTES), Ordering::Relaxed);
    }

    /// Whether the disk is in use; none before the store is open.
    pub fn health(&self) -> Option<Health> {
        Some(self.opened()?.store.health())
    }

    /// For people: whether the disk is in use, what it holds, and how far the start-up scan is.
    pub fn report(&self) -> Option<(Health, Statistics, Progress)> {
        let open = self.opened()?;
        let store = &open.store;
        Some((store.health(), store.statistics(), store.progress()))
    }

    /// The most bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Open {
    fn key(&self, key: &[u8]) -> KeyHash {
        KeyHash(XxHash3_64::oneshot_with_seed(self.seed, key))
    }

    /// By its name, so that a site keeps its own whatever the order of the configuration.
    fn site(&self, name: &[u8]) -> Site {
        let hash = XxHash3_64::oneshot_with_seed(self.seed, name);
        Site((hash >> 32) as u32)
    }

    fn begin(
        &self,
        key: &[u8],
        stored: &Stored,
        born: Generation,
        length: u64,
    ) -> Result<Writing, Refused> {
        let site = split_key(key).map_or(&[][..], |(site, _)| site);
        self.store.begin(NewObject {
            key: self.key(key),
            variant: self.variant(stored),
            site: self.site(site),
            born: mangrove_store::Generation(born.0),
            total: Some(length),
        })
    }

    fn write(&self, key: &[u8], object: &Object, length: u64) -> Option<ObjectId> {
        let stored = &object.head.stored;
        let mut writing = self.begin(key, stored, object.born, length).ok()?;
        let head = head_of(key, stored, object.is_codable())?;
        let born = mangrove_store::Generation(object.born.0);
        writing.try_head(born, Some(length), &head).ok()?;
        for (index, piece) in (0..).zip(object.content.pieces()) {
            writing.try_chunk(index, piece.clone()).ok()?;
        }
        Some(writing.id())
    }

    /// Lets go of what `stored` takes the place of.
    fn bury(&self, key: &[u8], stored: &Stored) {
        self.bury_where(key, stored, |_| true);
    }

    /// The same for one that has been begun already.
    fn bury_older(&self, key: &[u8], stored: &Stored, than: ObjectId) {
        self.bury_where(key, stored, |handle| handle.id() < than);
    }

    fn bury_where(&self, key: &[u8], stored: &Stored, is_meant: impl Fn(&Handle) -> bool) {
        let variant = self.variant(stored);
        let found = self.store.peek(self.key(key));
        let of_variant = |handle: &&Handle| handle.subject().variant == variant;
        let meant = found.iter().filter(of_variant);
        let meant = meant.filter(|handle| is_meant(handle));
        meant.for_each(|handle| self.remove(handle));
    }

    /// Removes an object, and with it older ones of its variant; not from those who read them.
    fn remove(&self, handle: &Handle) {
        let Subject { key, variant, .. } = *handle.subject();
        let goes = |subject: &Subject, id| subject.variant == variant && id <= handle.id();
        self.parts.hold(key, goes);
        handle.remove();
    }

    fn variant(&self, stored: &Stored) -> Variant {
        Variant(XxHash3_64::oneshot_with_seed(self.seed, &stored.variant))
    }

    /// One entry for each filter; `done` is called once, with the worst that became of any.
    fn note(
        &self,
        site: &str,
        filters: &[Filter],
        force: Force,
        at: UnixMillis,
        generation: Generation,
        done: impl FnOnce(Durable) + Send + 'static,
    ) {
        if filters.is_empty() {
            return done(Durable::Yes); // of a site whose answers are made here, say
        }
        let done = Arc::new(Mutex::new((filters.len(), Durable::Yes, Some(done))));
        for filter in filters {
            let purge = Purge {
                site: site.into(),
                filter: filter.clone(),
                force,
                generation,
                at,
            };
            let mut entry = Vec::new();
            let done = Arc::clone(&done);
            let told = move |told: Result<(), String>| {
                let mut all = lock(&done);
                all.0 -= 1;
                if let Err(why) = told {
                    all.1 = Durable::No(why);
                }
                if all.0 == 0
                    && let Some(done) = all.2.take()
                {
                    done(all.1.clone());
                }
            };
            match purge.encode(&mut entry) {
                Ok(()) => {
                    let generation = mangrove_store::Generation(generation.0);
                    self.journal.append_then(generation, &entry, move |result| {
                        told(result.map_err(|why| why.to_string()));
                    });
                }
                Err(malformed) => told(Err(malformed.to_string())),
            }
        }
    }
}

impl OnDisk {
    /// What a head says, if it is that of this key.
    pub fn read(handle: Handle, head: &Head, key: &[u8]) -> Option<Self> {
        let (flags, stored) = head.stored().split_first()?;
        let stored = decode(stored).filter(|_| head.key() == key)?;
        let length = match stored.content {
            StoredContent::Whole { length } => length?,
            StoredContent::Part { .. } => return None,
        };
        (handle.total() == Some(length)).then_some(Self {
            handle,
            stored,
            codable: flags & CODABLE != 0,
        })
    }

    /// Whether all of it is there, or what is missing can be had: where that is certain to be of the same content.
    pub fn is_of_use(&self) -> bool {
        self.handle.is_complete() || is_strong(&self.stored)
    }

    /// Whether its content is to be read into memory.
    pub fn is_small(&self) -> bool {
        self.handle
            .total()
            .is_some_and(|total| total <= WHOLE_BYTES)
    }

    /// Whether its content may be coded: the site may want less of that than when it was written.
    pub fn is_codable(&self, compress: &CompressRules) -> bool {
        self.codable && why_uncoded_after(&self.stored, false, compress).is_none()
    }

    /// The object, with the content that was read, or with all of it on the disk.
    pub fn into_object(
        self,
        content: Option<Bytes>,
        open: &Arc<Open>,
        compress: &CompressRules,
    ) -> Object {
        let codable = self.is_codable(compress);
        let born = Generation(self.handle.subject().born.0);
        let (key, id) = (self.handle.subject().key, self.handle.id());
        let located = Located::new(Arc::clone(open), key, id, &self.stored);
        let (content, codable) = match content {
            Some(bytes) => (Content::gather([bytes]), codable),
            None => {
                let length = self.handle.total().unwrap_or(0);
                (Content::on_disk(located.clone(), length), false)
            }
        };
        Object::new(self.stored, content, born, codable).kept_as(located)
    }
}

/// The last purge about each thing, as a journal is read from its beginning to its end.
#[derive(Default)]
struct Last {
    /// By site: the last hard purge of all of it.
    whole: HashMap<Box<str>, Generation>,
    /// By site, filter and force.
    each: HashMap<(Box<str>, Filter, Force), Generation>,
}

impl Last {
    fn note(&mut self, entry: &[u8]) {
        let Ok(purge) = Purge::decode(entry) else {
            return;
        };
        if purge.filter.kind() == Kind::All && purge.force == Force::Hard {
            let whole = self.whole.entry(purge.site.clone()).or_default();
            *whole = (*whole).max(purge.generation);
        }
        let which = (purge.site, purge.filter, purge.force);
        let last = self.each.entry(which).or_default();
        *last = (*last).max(purge.generation);
    }

    fn is_needed(&self, entry: &[u8]) -> bool {
        let Ok(purge) = Purge::decode(entry) else {
            return true; // what it means is not known here
        };
        let is_whole = purge.filter.kind() == Kind::All && purge.force == Force::Hard;
        let whole = self.whole.get(&purge.site).copied().unwrap_or_default();
        if !is_whole && purge.generation <= whole {
            return false;
        }
        let which = (purge.site, purge.filter, purge.force);
        self.each
            .get(&which)
            .is_none_or(|last| *last <= purge.generation)
    }

    fn sites(&self) -> HashSet<Box<str>> {
        self.each.keys().map(|(site, ..)| site.clone()).collect()
    }
}

/// Whether all of it is there, or it is so large that the rest may be asked for.
fn may_answer(handle: &Handle) -> bool {
    handle.is_complete() || handle.total().is_some_and(|total| total > WHOLE_BYTES)
}

/// What the store is given as an object's head.
fn head_of(key: &[u8], stored: &Stored, codable: bool) -> Option<Head> {
    let mut bytes = vec![if codable { CODABLE } else { 0 }];
    encode(stored, &mut bytes);
    let validator = stored.fields.field(Known::ETag).unwrap_or_default();
    Head::new(key, validator, &bytes)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::fill::tests::stored_of;
    use super::*;
    use crate::body::CHUNK_BYTES;

    fn entry(site: &str, kind: Kind, text: &str, generation: u64) -> Vec<u8> {
        let filter = match kind {
            Kind::All => Filter::all(),
            kind => Filter::read(kind, text.as_bytes()).unwrap(),
        };
        let purge = Purge {
            site: site.into(),
            filter,
            force: Force::Hard,
            generation: Generation(generation),
            at: UnixMillis(0),
        };
        let mut bytes = Vec::new();
        purge.encode(&mut bytes).unwrap();
        bytes
    }

    /// A store whose writer works only when told to, and in whose queue two chunks have room.
    fn behind(folder: &std::path::Path) -> (Arc<Open>, mangrove_store::Hands) {
        let settings = Settings {
            queue_bytes: 2 * (CHUNK_BYTES + 1024),
            ..Settings::of_bytes(256 << 20)
        };
        let disk = Arc::new(mangrove_store::Folder::open(folder).unwrap());
        let clock = Arc::new(mangrove_store::MachineClock::default());
        let (opened, hands) = Store::open_on(disk, clock, settings).unwrap();
        let open = Open {
            store: opened.store,
            journal: opened.journal,
            seed: 1,
            began: Generation(opened.generation.0),
            compact_at: AtomicUsize::new(COMPACT_BYTES),
            gathering: AtomicU64::new(0),
            gathers: QUEUE_LEAST,
            parts: Parts::of_store(256 << 20),
        };
        (Arc::new(open), hands)
    }

    /// An answer larger than what may wait for the disk was not kept if it came faster than the disk took it.
    #[test]
    fn what_comes_faster_than_the_disk_takes_it_waits_with_one_chunk_more_and_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (open, mut hands) = behind(folder.path());
        let tier = DiskTier::new(folder.path().to_owned(), 256 << 20, 0);
        *tier.open.write().unwrap() = Some(Arc::clone(&open));
        let (chunk, length) = (vec![7; CHUNK_BYTES], 5 * CHUNK_BYTES as u64 + 3);
        let stored = stored_of(length);
        let born = Generation(open.began.0 + 1);
        let spool = |key: &[u8]| tier.spool(key, &stored, born, length, false).unwrap().1;
        let mut spooled = spool(b"a\0/a");
        assert_eq!(spooled.push(&chunk), Ok(Spooled::Taken));
        assert_eq!(spooled.push(&chunk), Ok(Spooled::Taken));
        assert_eq!(spooled.push(&chunk), Ok(Spooled::Behind));
        assert_eq!(spooled.push(&chunk[1..]), Ok(Spooled::Behind));
        assert!(tier.waiting_bytes() > 4 * CHUNK_BYTES as u64);
        let mut other = spool(b"a\0/b");
        assert_eq!(other.push(&chunk), Ok(Spooled::Behind));
        assert_eq!(other.push(&chunk), Err(Refused::Behind)); // one past what it may gather
        drop(other);
        // The chunks that are not full may not be more than may wait.
        let mut others = Vec::new();
        while let Some((_, mut other)) = tier.spool(b"a\0/c", &stored, born, length, false) {
            assert_eq!(other.push(b"x"), Ok(Spooled::Taken));
            others.push(other);
        }
        assert_eq!(others.len() as u64, QUEUE_LEAST / CHUNK_BYTES as u64 - 2);
        drop(others);
        while hands.write() {}
        assert_eq!(spooled.settle(), Ok(Spooled::Taken));
        assert_eq!(spooled.push(&chunk), Ok(Spooled::Taken));
        while hands.write() {}
        assert_eq!(spooled.push(&chunk[..4]), Ok(Spooled::Taken));
        assert_eq!(spooled.end(), Ok(Spooled::Taken));
        drop(spooled);
        while hands.write() {}
        assert_eq!(tier.waiting_bytes(), 0);
        let (_, found) = tier.lookup(b"a\0/a").unwrap();
        assert_eq!(found.first().and_then(Handle::total), Some(length));
    }

    #[test]
    fn what_is_let_go_of_and_still_read_takes_its_share_of_the_disk_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let (open, mut hands) = behind(folder.path());
        let tier = DiskTier::new(folder.path().to_owned(), 256 << 20, 0);
        *tier.open.write().unwrap() = Some(Arc::clone(&open));
        let most = (256 << 20) / crate::cache::parts::held::HELD_SHARE / CHUNK_BYTES as u64;
        let length = (most + 2) * CHUNK_BYTES as u64;
        let (stored, born) = (stored_of(length), Generation(open.began.0 + 1));
        let begun = tier.spool(b"a\0/a", &stored, born, length, false);
        let (located, mut spool) = begun.unwrap();
        let partial = located.begun(length, spool.writing()).unwrap();
        for _ in 0..most + 2 {
            assert_eq!(spool.push(&[7; CHUNK_BYTES]), Ok(Spooled::Taken));
            while hands.write() {}
        }
        // Whoever reads has had the first chunk.
        let reader = partial.sit(CHUNK_BYTES as u64, length);
        // What is not let go of takes nothing of it.
        tier.let_go("b", Generation(born.0 + 1));
        tier.let_go("a", born);
        assert!(partial.held().is_none());
        tier.take_out(b"a\0/a");
        assert!(tier.lookup(b"a\0/a").unwrap().1.is_empty());
        let held = partial.held().unwrap();
        let last = u32::try_from(most).unwrap();
        let holds = [0, 1, last, last + 1].map(|chunk| held.holds(chunk));
        assert_eq!(holds, [false, true, true, false]);
        drop((reader, partial));
    }

    #[test]
    fn what_may_wait_for_the_disk_is_a_part_of_what_the_cache_may_have() {
        let (least, most) = (QUEUE_LEAST * QUEUE_SHARE, QUEUE_MOST * QUEUE_SHARE);
        for (memory, queue, spooled) in [
            (least - 1, QUEUE_LEAST, QUEUE_LEAST / 2),
            (least + QUEUE_SHARE, QUEUE_LEAST + 1, QUEUE_LEAST / 2),
            (most + QUEUE_SHARE, QUEUE_MOST, SPOOLED_BYTES),
        ] {
            let tier = DiskTier::new(PathBuf::new(), 0, memory);
            assert_eq!((tier.queue_bytes, tier.spooled_from()), (queue, spooled));
        }
    }

    /// The last purge about anything stays, whatever is alive: once it went when nothing in the index was older, and a slab
    /// brought back what it was about.
    #[test]
    fn only_what_a_later_purge_says_as_well_leaves_the_journal() {
        let entries = [
            (entry("a", Kind::Tag, "x", 2), false), // 7 says it again
            (entry("a", Kind::Tag, "y", 3), false), // 5 is about all of the site
            (entry("b", Kind::Tag, "y", 4), true),  // another site's
            (entry("a", Kind::All, "", 5), true),
            (entry("a", Kind::Prefix, "/p", 6), true),
            (entry("a", Kind::Tag, "x", 7), true),
            (b"of another build".to_vec(), true),
        ];
        let mut last = Last::default();
        entries.iter().for_each(|(entry, _)| last.note(entry));
        for (at, (entry, needed)) in entries.iter().enumerate() {
            assert_eq!(last.is_needed(entry), *needed, "{at}");
        }
    }
}
