//! What is kept under one key, and the account of what all of it weighs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use super::{Key, KeyHash};

/// Hits that a slot remembers between two looks of the policy.
const HITS_MOST: u8 = 3;
/// A slot that no queue holds.
pub(super) const UNFILED: u32 = u32::MAX;
/// What an allocator adds to a block: its header, and half of its rounding to 16 bytes.
const BLOCK: u64 = 16;

/// One value under its key. It never changes: another value under the same key is another slot.
///
/// A body is read out of a slot for as long as its reader takes. Whoever holds bytes of the value keeps the slot as well,
/// so that its weight counts until the bytes are really gone.
#[derive(Debug)]
pub struct Slot<V> {
    hash: KeyHash,
    key: Box<[u8]>,
    value: V,
    weight: u64,
    dead: AtomicBool,
    hits: AtomicU8,
    /// Where the policy has filed it. Written under the policy's lock only.
    pub(super) node: AtomicU32,
    /// Whether `weight` still counts in `ledger`.
    charged: AtomicBool,
    ledger: Arc<Ledger>,
}

impl<V> Slot<V> {
    /// A slot whose weight counts from now on: `value_weight` bytes, the key, and the slot itself.
    pub(super) fn new(
        hash: KeyHash,
        key: &[u8],
        value: V,
        value_weight: u64,
        ledger: &Arc<Ledger>,
    ) -> Self {
        let weight = Self::own_weight(key).saturating_add(value_weight);
        ledger.charge(weight);
        Self {
            hash,
            key: Box::from(key),
            value,
            weight,
            dead: AtomicBool::new(false),
            hits: AtomicU8::new(0),
            node: AtomicU32::new(UNFILED),
            charged: AtomicBool::new(true),
            ledger: Arc::clone(ledger),
        }
    }

    /// What a slot weighs apart from its value, in bytes.
    fn own_weight(key: &[u8]) -> u64 {
        let counts = 2 * size_of::<usize>(); // an `Arc`'s
        (size_of::<Self>() + counts + key.len()) as u64 + 2 * BLOCK
    }

    /// The hash that finds its place.
    pub fn hash(&self) -> KeyHash {
        self.hash
    }

    /// The whole key.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// What is kept.
    pub fn value(&self) -> &V {
        &self.value
    }

    /// Bytes that it takes of the ceiling: value, key and bookkeeping.
    pub fn weight(&self) -> u64 {
        self.weight
    }

    /// True once it was evicted, replaced or removed: nothing new may be answered from it.
    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Acquire)
    }

    /// Whether it is what `hash` and `key` ask for. The key is compared whole: a hash that collides finds nothing.
    pub(super) fn answers(&self, hash: KeyHash, key: &Key) -> bool {
        self.hash == hash && *self.key == *key
    }

    /// Notes a hit: a store while few are noted, and from then on only a read, so that cores share a wanted slot's cache
    /// line without taking it from each other. Two cores may note one hit together; nothing depends on the number.
    pub(super) fn touch(&self) {
        let hits = self.hits.load(Ordering::Relaxed);
        if hits < HITS_MOST {
            self.hits.store(hits + 1, Ordering::Relaxed);
        }
    }

    /// The hits noted since the last look.
    pub(super) fn take_hits(&self) -> u8 {
        match self.hits.load(Ordering::Relaxed) {
            0 => 0,
            hits => {
                self.hits.store(0, Ordering::Relaxed);
                hits
            }
        }
    }

    pub(super) fn die(&self) {
        self.dead.store(true, Ordering::Release);
    }

    /// Gives its weight back, once.
    pub(super) fn discharge(&self) {
        if self.charged.swap(false, Ordering::Relaxed) {
            self.ledger.discharge(self.weight);
        }
    }
}

impl<V> Drop for Slot<V> {
    fn drop(&mut self) {
        self.discharge();
    }
}

/// Bytes that the tier holds: slots, also dead ones that someone still reads, and tables.
#[derive(Debug, Default)]
pub(super) struct Ledger(AtomicU64);

impl Ledger {
    pub(super) fn held(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn charge(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn discharge(&self, bytes: u64) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Corrects the account of something that grows and shrinks.
    pub(super) fn changed(&self, before: usize, after: usize) {
        match after.checked_sub(before) {
            Some(more) => self.charge(more as u64),
            None => self.discharge((before - after) as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wanted_slot_is_only_read() {
        let slot = Slot::new(KeyHash(1), b"k", (), 0, &Arc::new(Ledger::default()));
        let mut writes = 0;
        for _ in 0..1_000 {
            let before = slot.hits.load(Ordering::Relaxed);
            slot.touch();
            writes += u32::from(slot.hits.load(Ordering::Relaxed) != before);
        }
        assert_eq!(writes, u32::from(HITS_MOST));
    }

    #[test]
    fn weight_counts_once_from_the_first_moment_to_the_last() {
        let ledger = Arc::new(Ledger::default());
        let slot = Arc::new(Slot::new(KeyHash(1), b"key", [0_u8; 8], 1_000, &ledger));
        let reader = Arc::clone(&slot);
        assert_eq!(ledger.held(), slot.weight());
        assert!(slot.weight() > 1_003);
        drop(slot);
        assert!(ledger.held() > 1_003, "someone still reads it");
        reader.discharge();
        drop(reader);
        assert_eq!(ledger.held(), 0);
    }
}
