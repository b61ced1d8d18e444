//! What one core has asked for lately, so that it need not ask the shared tier again.
//!
//! A hit here takes no lock and changes no counter that another core reads: it compares the key, sees that the slot is not
//! dead, and counts one more holder in memory of its own.

use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use super::{Key, KeyHash, Memory, Slot};

/// Slots that share a place.
const WAYS: usize = 4;

/// One core's own look at a [`Memory`]. It pins at most as many slots as it has room for.
#[derive(Debug)]
pub struct Front<V> {
    places: Box<[Place<V>]>,
    /// The place that the next sweep begins with.
    hand: usize,
    counts: FrontStatistics,
}

/// A slot, held for one core: copying this touches no memory that another core uses.
#[derive(Debug)]
#[allow(
    clippy::redundant_allocation,
    reason = "the inner count is shared between cores, the outer one is not: that is what it is for"
)]
pub struct Held<V>(Rc<Arc<Slot<V>>>);

/// What has happened in a front since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrontStatistics {
    /// Look-ups answered here.
    pub hits: u64,
    /// Look-ups that went on to the shared tier.
    pub misses: u64,
    /// Dead slots let go, by a look-up or a sweep.
    pub dropped_dead: u64,
}

/// The hashes first: whether a key is here is read in half a cache line.
#[derive(Debug)]
struct Place<V> {
    hashes: [u64; WAYS],
    ways: [Option<Held<V>>; WAYS],
}

impl<V> Front<V> {
    /// An empty front for at least `slots` slots (at least one place of four; rounded up to a power of two).
    pub fn new(slots: usize) -> Self {
        let places = slots.div_ceil(WAYS).max(1).next_power_of_two();
        Self {
            places: (0..places).map(|_| Place::empty()).collect(),
            hand: 0,
            counts: FrontStatistics::default(),
        }
    }

    /// The slot of a key: from here, or from the shared tier, which is then remembered.
    pub fn lookup(&mut self, memory: &Memory<V>, hash: KeyHash, key: &Key) -> Option<Held<V>> {
        if let Some(held) = self.find(hash, key) {
            return Some(held);
        }
        let slot = memory.lookup(hash, key)?;
        Some(self.keep(slot))
    }

    /// The slot of a key, if this core has it. Its hit is noted for the policy.
    pub fn find(&mut self, hash: KeyHash, key: &Key) -> Option<Held<V>> {
        let at = self.at(hash);
        let found = self.places.get_mut(at)?.find(hash, key);
        match found {
            Found::Live(held) => {
                held.touch();
                self.counts.hits += 1;
                return Some(held);
            }
            Found::Dead => self.counts.dropped_dead += 1,
            Found::Nothing => {}
        }
        self.counts.misses += 1;
        None
    }

    /// Remembers a slot, such as one just put into the shared tier.
    pub fn keep(&mut self, slot: Arc<Slot<V>>) -> Held<V> {
        let at = self.at(slot.hash());
        let held = Held(Rc::new(slot));
        if let Some(place) = self.places.get_mut(at) {
            place.keep(held.clone());
        }
        held
    }

    /// Lets dead slots go in the next `places` places of four, so that their memory is free even if nobody asks again; says
    /// how many went. Called often with a small number, it comes round: [`Front::places`] in all.
    pub fn sweep(&mut self, places: usize) -> usize {
        let mut dropped = 0;
        for _ in 0..places.min(self.places.len()) {
            let place = self.places.get_mut(self.hand);
            dropped += place.map_or(0, Place::drop_dead);
            self.hand = (self.hand + 1) & (self.places.len() - 1);
        }
        self.counts.dropped_dead += dropped as u64;
        dropped
    }

    /// How many places there are.
    pub fn places(&self) -> usize {
        self.places.len()
    }

    /// What has happened since the start.
    pub fn statistics(&self) -> FrontStatistics {
        self.counts
    }

    fn at(&self, hash: KeyHash) -> usize {
        usize::try_from(hash.0 & u64::from(u32::MAX)).unwrap_or(0) & (self.places.len() - 1)
    }
}

enum Found<V> {
    Live(Held<V>),
    Dead,
    Nothing,
}

impl<V> Place<V> {
    fn empty() -> Self {
        Self {
            hashes: [0; WAYS],
            ways: [const { None }; WAYS],
        }
    }

    fn find(&mut self, hash: KeyHash, key: &Key) -> Found<V> {
        for (at, known) in self.hashes.iter().enumerate() {
            if *known != hash.0 {
                continue;
            }
            let Some(way) = self.ways.get_mut(at) else {
                continue;
            };
            match way {
                Some(held) if !held.answers(hash, key) => {}
                Some(held) if held.is_dead() => {
                    *way = None;
                    return Found::Dead;
                }
                Some(held) => {
                    let held = held.clone();
                    // One step up: what is wanted often is far from the end, where newcomers replace each other.
                    if let Some(before) = at.checked_sub(1) {
                        self.hashes.swap(at, before);
                        self.ways.swap(at, before);
                    }
                    return Found::Live(held);
                }
                None => {}
            }
        }
        Found::Nothing
    }

    /// Into the way of the same key, an empty one, a dead slot's, or the last.
    fn keep(&mut self, held: Held<V>) {
        let same = |way: &Option<Held<V>>| {
            way.as_ref()
                .is_some_and(|known| known.answers(held.hash(), held.key()))
        };
        let free = |way: &Option<Held<V>>| way.as_ref().is_none_or(|known| known.is_dead());
        let at = (self.ways.iter().position(same))
            .or_else(|| self.ways.iter().position(free))
            .unwrap_or(WAYS - 1);
        if let (Some(hash), Some(way)) = (self.hashes.get_mut(at), self.ways.get_mut(at)) {
            *hash = held.hash().0;
            *way = Some(held);
        }
    }

    fn drop_dead(&mut self) -> usize {
        let mut dropped = 0;
        for way in &mut self.ways {
            if way.as_ref().is_some_and(|held| held.is_dead()) {
                *way = None;
                dropped += 1;
            }
        }
        dropped
    }
}

impl<V> Clone for Held<V> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<V> Deref for Held<V> {
    type Target = Slot<V>;

    fn deref(&self) -> &Slot<V> {
        &self.0
    }
}

impl<V> Held<V> {
    /// The slot as all cores share it, for what must leave this core.
    pub fn shared(&self) -> &Arc<Slot<V>> {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> Memory<u32> {
        Memory::new(1 << 20, [7, 7])
    }

    fn put(memory: &Memory<u32>, key: &str, value: u32) {
        memory.update(memory.hash(key.as_bytes()), key.as_bytes(), |_| {
            Some((value, 100))
        });
    }

    fn ask(front: &mut Front<u32>, memory: &Memory<u32>, key: &str) -> Option<u32> {
        let held = front.lookup(memory, memory.hash(key.as_bytes()), key.as_bytes())?;
        Some(*held.value())
    }

    #[test]
    fn a_hit_does_not_ask_the_shared_tier() {
        let (memory, mut front) = (memory(), Front::new(64));
        put(&memory, "/", 1);
        for _ in 0..10 {
            assert_eq!(ask(&mut front, &memory, "/"), Some(1));
        }
        assert_eq!(memory.statistics().hits, 1);
        assert_eq!((front.statistics().hits, front.statistics().misses), (9, 1));
    }

    #[test]
    fn what_was_replaced_or_removed_is_not_answered_any_more() {
        let (memory, mut front) = (memory(), Front::new(64));
        put(&memory, "/", 1);
        assert_eq!(ask(&mut front, &memory, "/"), Some(1));
        put(&memory, "/", 2);
        assert_eq!(ask(&mut front, &memory, "/"), Some(2));
        memory.remove(memory.hash(b"/"), b"/");
        assert_eq!(ask(&mut front, &memory, "/"), None);
        assert_eq!(front.statistics().dropped_dead, 2);
    }

    #[test]
    fn it_holds_no_more_than_it_has_room_for_and_keeps_what_is_wanted() {
        let (memory, mut front) = (memory(), Front::new(WAYS));
        for name in 0..100 {
            put(&memory, &name.to_string(), name);
        }
        // Twice, so that it is up to date before the crowd comes.
        ask(&mut front, &memory, "0");
        ask(&mut front, &memory, "0");
        for name in 1..100 {
            ask(&mut front, &memory, &name.to_string());
        }
        assert_eq!(
            front
                .places
                .iter()
                .flat_map(|place| &place.ways)
                .flatten()
                .count(),
            WAYS
        );
        assert!(front.find(memory.hash(b"0"), b"0").is_some());
    }

    #[test]
    fn a_sweep_lets_the_dead_go_in_bounded_steps() {
        let (memory, mut front) = (memory(), Front::new(256));
        for name in 0..50 {
            put(&memory, &name.to_string(), name);
            ask(&mut front, &memory, &name.to_string());
        }
        let empty = memory.weight();
        for name in 0..50 {
            memory.remove(
                memory.hash(name.to_string().as_bytes()),
                name.to_string().as_bytes(),
            );
        }
        assert!(
            memory.weight() > 50 * 100 && empty > 50 * 100,
            "the front still holds them"
        );
        let dropped: usize = (0..front.places()).map(|_| front.sweep(1)).sum();
        assert_eq!(dropped, 50);
        assert_eq!(memory.statistics().kept, 0);
        assert_eq!(
            memory.weight(),
            Memory::<u32>::new(1 << 20, [0, 0]).weight()
        );
    }
}
