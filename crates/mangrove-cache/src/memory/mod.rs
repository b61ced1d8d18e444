//! The memory tier: what all cores of an edge keep together, under one ceiling.
//!
//! ```text
//! Front  (one for each core, single-threaded)     a hit writes nothing that another core reads
//!   └─ Memory ─ 64 shards: key → slot             a lock for each, held for one look-up
//!             └─ policy: who leaves next          one lock, taken only when a slot comes or goes
//!                  └─ ledger: bytes held
//! ```
//!
//! **The ceiling is one for all.** Shards only find slots; the queues that decide who leaves are common. So an object may be
//! as large as the ceiling, no shard has a share to overflow, and the policy is exactly the one that was measured. A slot
//! comes or goes only with an origin's answer or a purge, which cost so much more that one lock for that is no crowd.
//!
//! **Locks.** A shard's, then the policy's, never two shards', and nothing foreign under any: closures run, and values are
//! dropped, with no lock held. What happens under a lock cannot panic, so a poisoned lock (a panic in the allocator's hook,
//! say) is taken as it is.
//!
//! **Weight** is what the caller says of the value, plus key and slot, and the tables as they grow. It counts until the last
//! holder of the slot has gone. A slot that leaves while someone holds it (a reader, a core's front) is *pinned*: room is
//! then made elsewhere, but pins take no more than half of the ceiling from everyone else. Below that only slots
//! that nobody holds leave, a few pinned ones are passed over, and if that is not enough the newcomer is refused.
//! Nothing grows past the ceiling but what is being handed in.
//!
//! What counts *beside* the slots ([`Memory::count_beside`]) is memory that is gone without being anyone's, such as the gaps
//! that an allocator is left with. It drives out slots like a newcomer would, but never from the half that pins leave alone.
//!
//! ```
//! use mangrove_cache::memory::{Front, Memory};
//!
//! let memory: Memory<&str> = Memory::new(1 << 20, [1, 2]);
//! let mut front = Front::new(256);
//! let key = b"https news.example /";
//! let hash = memory.hash(key);
//!
//! memory.update(hash, key, |_| Some(("body", 4)));
//! let kept = front.lookup(&memory, hash, key).expect("kept");
//! assert_eq!(*kept.value(), "body");
//!
//! memory.remove(hash, key);
//! assert!(front.lookup(&memory, hash, key).is_none());
//! ```

use std::hash::{DefaultHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

pub use self::front::{Front, FrontStatistics, Held};
pub use self::slot::Slot;

use self::policy::Policy;
use self::room::Room;
use self::slot::Ledger;

mod front;
mod ghost;
mod policy;
mod room;
mod slot;
#[cfg(test)]
mod tests;

/// Shards of the table: enough that on 64 cores two seldom look the same one up in the same 100 ns; idle ones cost 128 B.
const SHARDS: usize = 64;
/// This part of the ceiling stays for slots, whatever counts beside them.
const STAYS_PART: u64 = 4;
/// The most slots in a [`Page`].
pub const PAGE_MOST: u32 = 256;

/// The canonical bytes of what is kept. Two things that differ have different keys.
pub type Key = [u8];

/// A key's place. Only that: who has the same hash still has another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyHash(pub u64);

/// What all cores keep.
#[derive(Debug)]
pub struct Memory<V> {
    shards: Box<[Shard<V>]>,
    policy: Mutex<Policy<V>>,
    ledger: Arc<Ledger>,
    ceiling: u64,
    /// What counts in the ledger without being a slot's or a table's.
    beside: AtomicU64,
    /// Has read the seed, and nothing else yet.
    hasher: DefaultHasher,
}

/// What became of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Updated {
    /// The new value is kept.
    Kept,
    /// The closure wanted nothing changed.
    Unchanged,
    /// The new value is not kept, and nor is the one before it.
    Refused(Refused),
}

/// Why a value was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It weighs more than the ceiling.
    TooLarge,
    /// It weighs more than an eighth of the ceiling, and is not wanted as much as what it would drive out.
    NotWorthIt,
    /// Too much of the ceiling is held by slots that have left but are still being read.
    Pinned,
}

/// What has happened since the start, and how things stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Look-ups that found something. A [`Front`]'s own hits are not among them.
    pub hits: u64,
    /// Look-ups that found nothing.
    pub misses: u64,
    /// Values kept under a key that had none.
    pub insertions: u64,
    /// Values that took another's place.
    pub replacements: u64,
    /// Slots taken out by name.
    pub removals: u64,
    /// Slots that left because room was needed.
    pub evictions: u64,
    /// Evictions of slots that someone still held.
    pub evictions_pinned: u64,
    /// Values refused as [`Refused::TooLarge`].
    pub refused_too_large: u64,
    /// Values refused as [`Refused::NotWorthIt`].
    pub refused_not_worth_it: u64,
    /// Values refused as [`Refused::Pinned`].
    pub refused_pinned: u64,
    /// Slots kept.
    pub slots: u64,
    /// Bytes of the slots kept.
    pub kept: u64,
    /// Bytes held in all: slots kept, slots pinned, tables, and what counts beside them.
    pub held: u64,
    /// Of these, what counts beside slots and tables.
    pub beside: u64,
    /// The most bytes there may be.
    pub ceiling: u64,
}

/// Some of the slots kept, for a list of them all.
#[derive(Debug)]
pub struct Page<V> {
    /// Up to [`PAGE_MOST`], in no order.
    pub slots: Vec<Arc<Slot<V>>>,
    /// Where the next page begins; none after the last.
    pub next: Option<u32>,
}

/// On cache lines of its own (two, since processors fetch them in pairs).
#[repr(align(128))]
#[derive(Debug)]
struct Shard<V>(Mutex<Table<V>>);

#[derive(Debug)]
struct Table<V> {
    slots: HashTable<Arc<Slot<V>>>,
    hits: u64,
    misses: u64,
}

impl<V> Memory<V> {
    /// An empty tier that holds at most `ceiling` bytes. `seed` must be secret: whoever knows it can make keys that collide,
    /// which costs time, never truth.
    pub fn new(ceiling: u64, seed: [u64; 2]) -> Self {
        let mut hasher = DefaultHasher::new();
        seed.iter().for_each(|word| hasher.write_u64(*word));
        let policy = Policy::new(ceiling);
        let ledger = Arc::new(Ledger::default());
        let shards: Box<[Shard<V>]> = (0..SHARDS).map(|_| Shard::new()).collect();
        ledger.changed(0, policy.size() + size_of_val(&*shards));
        Self {
            shards,
            policy: Mutex::new(policy),
            ledger,
            ceiling,
            beside: AtomicU64::new(0),
            hasher,
        }
    }

    /// A key's hash under this tier's seed: computed once for each request, used for front and memory.
    pub fn hash(&self, key: &Key) -> KeyHash {
        let mut hasher = self.hasher.clone();
        hasher.write(key);
        KeyHash(hasher.finish())
    }

    /// The slot of a key.
    pub fn lookup(&self, hash: KeyHash, key: &Key) -> Option<Arc<Slot<V>>> {
        let mut table = self.shard(hash).lock();
        let found = table.find(hash, key).filter(|slot| !slot.is_dead());
        match found {
            Some(slot) => {
                slot.touch();
                let slot = Arc::clone(slot);
                table.hits += 1;
                Some(slot)
            }
            None => {
                table.misses += 1;
                None
            }
        }
    }

    /// Puts another value under a key, made from the one that is there; `None` leaves everything as it is.
    ///
    /// The closure gives the new value and its weight in bytes. It runs with no lock held. Should another thread change the
    /// same key meanwhile, it runs again with what is there by then, so that no change is lost; if it panics, nothing has
    /// changed. Neither a hit nor a miss is counted.
    pub fn update(
        &self,
        hash: KeyHash,
        key: &Key,
        mut change: impl FnMut(Option<&Arc<Slot<V>>>) -> Option<(V, u64)>,
    ) -> Updated {
        loop {
            let before = self.peek(hash, key);
            let Some((value, weight)) = change(before.as_ref()) else {
                return Updated::Unchanged;
            };
            let slot = Arc::new(Slot::new(hash, key, value, weight, &self.ledger));
            if let Err(refused) = self.make_room(&slot, before.as_ref()) {
                if before.is_some_and(|before| !self.take(&before)) {
                    continue;
                }
                return Updated::Refused(refused);
            }
            if self.put(&slot, before.as_ref()) {
                return Updated::Kept;
            }
        }
    }

    /// Takes a key's slot out and gives it back. Once this has returned, no look-up that begins finds it.
    pub fn remove(&self, hash: KeyHash, key: &Key) -> Option<Arc<Slot<V>>> {
        self.remove_if(hash, key, |_| true)
    }

    /// Takes a key's slot out if `unwanted` says so of it. The closure runs with no lock held, and again if another thread
    /// has changed the key meanwhile.
    pub fn remove_if(
        &self,
        hash: KeyHash,
        key: &Key,
        mut unwanted: impl FnMut(&Slot<V>) -> bool,
    ) -> Option<Arc<Slot<V>>> {
        loop {
            let slot = self.peek(hash, key)?;
            if !unwanted(&slot) {
                return None;
            }
            if self.take(&slot) {
                return Some(slot);
            }
        }
    }

    /// From now on counts so many bytes beside the slots, in the stead of those before; what is too much by that leaves. A
    /// quarter of the ceiling stays for slots, whatever is asked for. Called by one thread at a time.
    pub fn count_beside(&self, bytes: u64) {
        let bytes = bytes.min(self.ceiling - self.ceiling / STAYS_PART);
        let before = self.beside.swap(bytes, Ordering::Relaxed);
        match bytes.checked_sub(before) {
            Some(more) => self.ledger.charge(more),
            None => self.ledger.discharge(before - bytes),
        }
        // Where pins leave no room for now, the next newcomer makes it or is refused.
        let _ = self.evict(&mut Room::for_nobody(self.ceiling));
    }

    /// The most bytes there may be.
    pub fn ceiling(&self) -> u64 {
        self.ceiling
    }

    /// How many slots are kept.
    pub fn len(&self) -> usize {
        self.policy().len()
    }

    /// True if nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes held: slots kept, slots that have left but are still held by someone, and tables. At most the ceiling.
    pub fn weight(&self) -> u64 {
        self.ledger.held()
    }

    /// The page that begins at `from` (0 for the first). A slot that is there from the first page to the last is on exactly
    /// one of them. `most` is at most [`PAGE_MOST`].
    pub fn page(&self, from: u32, most: u32) -> Page<V> {
        let most = most.clamp(1, PAGE_MOST);
        let mut slots = Vec::with_capacity(usize::try_from(most).unwrap_or(0));
        let mut seen = 0;
        for place in self.policy().places(from, most) {
            seen += 1;
            slots.extend(place.cloned());
        }
        Page {
            slots,
            next: (seen == most).then(|| from.saturating_add(most)),
        }
    }

    /// Counts and weights. The counts of a shard and of the whole are read one after the other, not at one moment.
    pub fn statistics(&self) -> Statistics {
        let mut statistics = {
            let policy = self.policy();
            Statistics {
                slots: policy.len() as u64,
                kept: policy.weight(),
                ..policy.counts
            }
        };
        statistics.held = self.ledger.held();
        statistics.beside = self.beside.load(Ordering::Relaxed);
        statistics.ceiling = self.ceiling;
        for shard in &self.shards {
            let table = shard.lock();
            statistics.hits += table.hits;
            statistics.misses += table.misses;
        }
        statistics
    }

    /// The slot of a key, without counting.
    pub fn peek(&self, hash: KeyHash, key: &Key) -> Option<Arc<Slot<V>>> {
        let table = self.shard(hash).lock();
        table
            .find(hash, key)
            .filter(|slot| !slot.is_dead())
            .map(Arc::clone)
    }

    /// Lets others leave until `slot`, whose weight counts already, is under the ceiling with everything else.
    fn make_room(&self, slot: &Slot<V>, before: Option<&Arc<Slot<V>>>) -> Result<(), Refused> {
        let mut room = Room::for_newcomer(self.ceiling, slot, before);
        self.evict(&mut room).inspect_err(|refused| {
            self.policy().refuse(slot.hash(), *refused);
        })
    }

    /// Evicts until there is room, a batch at a time: between two, others may have the policy's lock.
    fn evict(&self, room: &mut Room) -> Result<(), Refused> {
        let mut leaving = Vec::new();
        loop {
            let verdict = room.make_some(&mut self.policy(), &self.ledger, &mut leaving);
            for slot in leaving.drain(..) {
                let unlisted = self.shard(slot.hash()).lock().take(&slot, &self.ledger);
                drop((unlisted, slot)); // with no lock held
            }
            if let Some(verdict) = verdict {
                return verdict;
            }
        }
    }

    /// Puts `slot` where `before` is. False, and nothing done, if something else is there by now.
    fn put(&self, slot: &Arc<Slot<V>>, before: Option<&Arc<Slot<V>>>) -> bool {
        let old = {
            let mut table = self.shard(slot.hash()).lock();
            let there = table
                .find(slot.hash(), slot.key())
                .filter(|slot| !slot.is_dead());
            if there.map(Arc::as_ptr) != before.map(Arc::as_ptr) {
                return false;
            }
            {
                let mut policy = self.policy();
                let size = policy.size();
                match before {
                    Some(before) => {
                        before.die();
                        policy.replace(before, slot);
                    }
                    None => policy.enter(slot),
                }
                self.ledger.changed(size, policy.size());
            }
            table.put(slot, &self.ledger)
        };
        drop(old); // with no lock held
        // Tables may have grown. Whether that is made up for now or by the next one who comes changes nothing for this slot.
        let _ = self.evict(&mut Room::for_tables(self.ceiling, slot.hash()));
        true
    }

    /// Takes out exactly this slot. False if it is not there any more.
    fn take(&self, slot: &Arc<Slot<V>>) -> bool {
        let taken = {
            let mut table = self.shard(slot.hash()).lock();
            let taken = table.take(slot, &self.ledger);
            if taken.is_some() {
                slot.die();
                let mut policy = self.policy();
                let size = policy.size();
                policy.remove(slot);
                self.ledger.changed(size, policy.size());
            }
            taken
        };
        taken.is_some()
    }

    fn policy(&self) -> MutexGuard<'_, Policy<V>> {
        self.policy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[allow(
        clippy::indexing_slicing,
        reason = "the remainder of a division by the number of shards"
    )]
    fn shard(&self, hash: KeyHash) -> &Shard<V> {
        // Bits that neither the table (lowest and highest) nor the ghost's fingerprint depends on alone.
        let at = usize::try_from(hash.0 >> 24 & 0xFFFF).unwrap_or(0);
        &self.shards[at % self.shards.len()]
    }
}

impl<V> Shard<V> {
    fn new() -> Self {
        Self(Mutex::new(Table {
            slots: HashTable::new(),
            hits: 0,
            misses: 0,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Table<V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V> Table<V> {
    fn find(&self, hash: KeyHash, key: &Key) -> Option<&Arc<Slot<V>>> {
        self.slots.find(hash.0, |slot| slot.answers(hash, key))
    }

    /// Puts a slot under its key, and gives back what was there: to be dropped once the lock is not held.
    fn put(&mut self, slot: &Arc<Slot<V>>, ledger: &Ledger) -> Option<Arc<Slot<V>>> {
        let size = self.slots.allocation_size();
        let entry = self.slots.entry(
            slot.hash().0,
            |other| other.answers(slot.hash(), slot.key()),
            |other| other.hash().0,
        );
        let old = match entry {
            Entry::Occupied(mut there) => {
                Some(std::mem::replace(there.get_mut(), Arc::clone(slot)))
            }
            Entry::Vacant(place) => {
                place.insert(Arc::clone(slot));
                None
            }
        };
        ledger.changed(size, self.slots.allocation_size());
        old
    }

    /// Takes exactly this slot out, if it is there.
    fn take(&mut self, slot: &Arc<Slot<V>>, ledger: &Ledger) -> Option<Arc<Slot<V>>> {
        let found = self
            .slots
            .find_entry(slot.hash().0, |other| Arc::ptr_eq(other, slot));
        let (taken, _) = found.ok()?.remove();
        if self.slots.is_empty() {
            let size = self.slots.allocation_size();
            self.slots = HashTable::new();
            ledger.changed(size, 0);
        }
        Some(taken)
    }
}
