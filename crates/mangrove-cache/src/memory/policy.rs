//! Who leaves when room is needed: greedy dual, told in queues.
//!
//! Every slot is filed with a *priority*: the tide's level at that moment, plus its worth (how often it was wanted) by the
//! square root of its weight. The slot with the lowest priority leaves, and the level rises to it; so what nobody asks for
//! is overtaken sooner or later, however often it was once wanted.
//!
//! Slots of about the same worth by weight form a *class*. Within one, priorities rise in the order of filing, so a class is
//! a plain queue, and the lowest priority of all is at the head of one of [`CLASSES`] queues. A hit moves nothing: it is
//! noted in the slot, and when such a slot comes up it is filed anew with a higher worth instead of leaving.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::ghost::Ghost;
use super::slot::{Slot, UNFILED};
use super::{KeyHash, Refused, Statistics};

/// The most that a slot's worth grows to.
const WORTH_MOST: u8 = 64;
/// Exponents of the least and the greatest weight that are told apart, in bytes.
const LIGHTEST: u32 = 8;
const HEAVIEST: u32 = 40;
/// Half-octaves from 1 / sqrt(2^[`HEAVIEST`]) to [`WORTH_MOST`] / sqrt(2^[`LIGHTEST`]).
const CLASSES: usize = 45;
/// Slots filed anew, because they were hit, while room is made once: past it a slot leaves although it was hit. It bounds
/// how long the queues are locked when everything is wanted.
const SECOND_CHANCES: u32 = 128;
/// Slots in a chunk of the slab: growing copies nothing.
const CHUNK: usize = 1_024;

/// All slots that are kept, in the order of their leaving.
#[derive(Debug)]
pub(super) struct Policy<V> {
    chunks: Vec<Box<[Node<V>]>>,
    free: u32,
    queues: [Queue; CLASSES],
    level: u64,
    ghost: Ghost,
    /// Weight of all slots filed, and how many.
    weight: u64,
    len: usize,
    pub(super) counts: Statistics,
}

#[derive(Debug)]
struct Node<V> {
    slot: Option<Arc<Slot<V>>>,
    priority: u64,
    older: u32,
    /// In a free node: the next free one.
    newer: u32,
    class: u8,
    worth: u8,
}

#[derive(Clone, Copy, Debug)]
struct Queue {
    oldest: u32,
    newest: u32,
    /// The oldest slot's priority; the highest there is if the queue is empty.
    priority: u64,
}

/// How far the making of room has come.
#[derive(Debug, Default)]
pub(super) struct Effort {
    second_chances: u32,
}

/// A slot that came up, taken out of its queue.
pub(super) struct Outgoing<V> {
    pub(super) slot: Arc<Slot<V>>,
    worth: u8,
}

impl<V> Policy<V> {
    pub(super) fn new(ceiling: u64) -> Self {
        Self {
            chunks: Vec::new(),
            free: UNFILED,
            queues: [Queue::EMPTY; CLASSES],
            level: 0,
            ghost: Ghost::new(ceiling),
            weight: 0,
            len: 0,
            counts: Statistics::default(),
        }
    }

    pub(super) fn weight(&self) -> u64 {
        self.weight
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of the queues themselves.
    pub(super) fn size(&self) -> usize {
        self.chunks.len() * CHUNK * size_of::<Node<V>>() + self.ghost.size()
    }

    /// The priority that a new slot of this weight would be filed with now.
    pub(super) fn priority_of(&self, hash: KeyHash, weight: u64) -> u64 {
        let worth = self.ghost.worth(hash).saturating_add(1);
        self.level.saturating_add(gain(class(weight, worth)))
    }

    /// The lowest priority of all: what leaves next.
    pub(super) fn lowest(&self) -> Option<u64> {
        Some(self.lowest_queue()?.1)
    }

    /// Files a new slot.
    pub(super) fn enter(&mut self, slot: &Arc<Slot<V>>) {
        let worth = self.ghost.worth(slot.hash()).saturating_add(1);
        self.ghost.forget(slot.hash());
        self.file(Arc::clone(slot), worth);
        self.counts.insertions += 1;
    }

    /// Files `new` in the stead of `old`, whose worth it inherits; if `old` has just left, as a new slot.
    pub(super) fn replace(&mut self, old: &Slot<V>, new: &Arc<Slot<V>>) {
        match self.withdraw(old) {
            Some(outgoing) => {
                let worth = outgoing.worth.saturating_add(old.take_hits());
                self.file(Arc::clone(new), worth);
                self.counts.replacements += 1;
            }
            None => self.enter(new),
        }
    }

    /// Takes a slot out by name, if it is filed.
    pub(super) fn remove(&mut self, slot: &Slot<V>) {
        self.withdraw(slot);
        self.shrink();
        self.counts.removals += 1;
    }

    /// Remembers that a newcomer was refused, and counts it.
    pub(super) fn refuse(&mut self, hash: KeyHash, refused: Refused) {
        match refused {
            Refused::TooLarge => self.counts.refused_too_large += 1,
            Refused::Pinned => self.counts.refused_pinned += 1,
            Refused::NotWorthIt => {
                self.counts.refused_not_worth_it += 1;
                self.recall(hash);
            }
        }
    }

    /// Takes out the slot that leaves next; those that were hit have their second chance on the way.
    pub(super) fn next_to_leave(&mut self, effort: &mut Effort) -> Option<Outgoing<V>> {
        loop {
            let (oldest, priority) = self.lowest_queue()?;
            self.level = self.level.max(priority);
            let outgoing = self.unlink(oldest)?;
            let hits = outgoing.slot.take_hits();
            if hits == 0 || effort.second_chances >= SECOND_CHANCES {
                return Some(outgoing);
            }
            effort.second_chances += 1;
            self.file(outgoing.slot, outgoing.worth.saturating_add(hits));
        }
    }

    /// Gives the slab's memory back once nothing is filed, as after a purge of everything.
    pub(super) fn shrink(&mut self) {
        if self.len == 0 {
            self.chunks = Vec::new();
            self.free = UNFILED;
        }
    }

    /// Lets a slot leave for good. One that nobody else holds gives its weight back at once.
    pub(super) fn evict(&mut self, outgoing: Outgoing<V>, pinned: bool) -> Arc<Slot<V>> {
        outgoing.slot.die();
        if !pinned {
            outgoing.slot.discharge();
        }
        self.ghost.remember(outgoing.slot.hash(), outgoing.worth);
        self.counts.evictions += 1;
        self.counts.evictions_pinned += u64::from(pinned);
        outgoing.slot
    }

    /// Files a slot again that shall not leave after all.
    pub(super) fn take_back(&mut self, outgoing: Outgoing<V>) {
        self.file(outgoing.slot, outgoing.worth);
    }

    /// Up to `most` places from `from` on, with the slots that are filed there.
    pub(super) fn places(
        &self,
        from: u32,
        most: u32,
    ) -> impl Iterator<Item = Option<&Arc<Slot<V>>>> {
        (from..from.saturating_add(most)).map_while(|at| Some(self.node(at)?.slot.as_ref()))
    }

    fn withdraw(&mut self, slot: &Slot<V>) -> Option<Outgoing<V>> {
        self.unlink(slot.node.load(Ordering::Relaxed))
    }

    /// Remembers that a slot was wanted once more, although it is not here.
    fn recall(&mut self, hash: KeyHash) {
        let worth = self.ghost.worth(hash).saturating_add(1).min(WORTH_MOST);
        self.ghost.remember(hash, worth);
    }

    fn file(&mut self, slot: Arc<Slot<V>>, worth: u8) {
        let worth = worth.clamp(1, WORTH_MOST);
        let class = class(slot.weight(), worth);
        let priority = self.level.saturating_add(gain(class));
        let Some(at) = self.free_node() else {
            return; // 2^32 slots: no machine has that memory
        };
        let Some(queue) = self.queues.get(usize::from(class)).copied() else {
            return;
        };
        self.weight += slot.weight();
        self.len += 1;
        slot.node.store(at, Ordering::Relaxed);
        if let Some(node) = self.node_mut(at) {
            *node = Node {
                slot: Some(slot),
                priority,
                older: queue.newest,
                newer: UNFILED,
                class,
                worth,
            };
        }
        match self.node_mut(queue.newest) {
            Some(newest) => newest.newer = at,
            None => self.set_oldest(class, at, priority),
        }
        self.set_newest(class, at);
    }

    fn unlink(&mut self, at: u32) -> Option<Outgoing<V>> {
        let free = self.free;
        let node = self.node_mut(at)?;
        let slot = node.slot.take()?;
        let (older, newer, class, worth) = (node.older, node.newer, node.class, node.worth);
        node.newer = free;
        self.free = at;
        slot.node.store(UNFILED, Ordering::Relaxed);
        match self.node_mut(older) {
            Some(older) => older.newer = newer,
            None => {
                let priority = self.node(newer).map_or(u64::MAX, |node| node.priority);
                self.set_oldest(class, newer, priority);
            }
        }
        match self.node_mut(newer) {
            Some(newer) => newer.older = older,
            None => self.set_newest(class, older),
        }
        self.weight -= slot.weight();
        self.len -= 1;
        Some(Outgoing { slot, worth })
    }

    fn lowest_queue(&self) -> Option<(u32, u64)> {
        let lowest = self.queues.iter().min_by_key(|queue| queue.priority)?;
        (lowest.oldest != UNFILED).then_some((lowest.oldest, lowest.priority))
    }

    fn set_oldest(&mut self, class: u8, at: u32, priority: u64) {
        if let Some(queue) = self.queues.get_mut(usize::from(class)) {
            queue.oldest = at;
            queue.priority = priority;
        }
    }

    fn set_newest(&mut self, class: u8, at: u32) {
        if let Some(queue) = self.queues.get_mut(usize::from(class)) {
            queue.newest = at;
        }
    }

    fn free_node(&mut self) -> Option<u32> {
        if self.free == UNFILED {
            let first = u32::try_from(self.chunks.len() * CHUNK).ok()?;
            let end = first.checked_add(u32::try_from(CHUNK).ok()?)?;
            let nodes = (first..end).map(|at| Node {
                slot: None,
                priority: 0,
                older: UNFILED,
                newer: if at + 1 < end { at + 1 } else { UNFILED },
                class: 0,
                worth: 0,
            });
            self.chunks.push(nodes.collect());
            self.free = first;
        }
        let at = self.free;
        self.free = self.node(at)?.newer;
        Some(at)
    }

    fn node(&self, at: u32) -> Option<&Node<V>> {
        let at = usize::try_from(at).ok()?;
        self.chunks.get(at / CHUNK)?.get(at % CHUNK)
    }

    fn node_mut(&mut self, at: u32) -> Option<&mut Node<V>> {
        let at = usize::try_from(at).ok()?;
        self.chunks.get_mut(at / CHUNK)?.get_mut(at % CHUNK)
    }
}

impl Queue {
    const EMPTY: Self = Self {
        oldest: UNFILED,
        newest: UNFILED,
        priority: u64::MAX,
    };
}

/// The class of a slot: its worth by the square root of its weight, in half-octaves.
fn class(weight: u64, worth: u8) -> u8 {
    let exponent = weight.max(1).ilog2().clamp(LIGHTEST, HEAVIEST);
    // Half-octaves of 1 to 64, rounded down.
    let worth = match worth {
        0 | 1 => 0,
        2 => 2,
        3 => 3,
        4..=5 => 4,
        6..=7 => 5,
        8..=11 => 6,
        12..=15 => 7,
        16..=22 => 8,
        23..=31 => 9,
        32..=45 => 10,
        46..=63 => 11,
        64.. => 12,
    };
    u8::try_from(HEAVIEST - exponent).unwrap_or(0) + worth
}

/// How far above the level a class is filed: 2^(class / 2).
fn gain(class: u8) -> u64 {
    let whole = 1_u64 << (class / 2);
    match class % 2 {
        0 => whole,
        _ => whole * 181 / 128, // the square root of 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::slot::Ledger;
    use proptest::prelude::*;

    fn slot(name: u64, weight: u64) -> Arc<Slot<()>> {
        let ledger = Arc::new(Ledger::default());
        Arc::new(Slot::new(
            KeyHash(name << 32 | name),
            &name.to_be_bytes(),
            (),
            weight,
            &ledger,
        ))
    }

    fn leave(policy: &mut Policy<()>) -> Option<u64> {
        let outgoing = policy.next_to_leave(&mut Effort::default())?;
        Some(policy.evict(outgoing, false).hash().0 & 0xFFFF)
    }

    #[test]
    fn among_equals_the_oldest_leaves_and_a_hit_is_a_second_chance() {
        let mut policy = Policy::new(1 << 20);
        let slots: Vec<_> = (1..=4).map(|name| slot(name, 1_000)).collect();
        slots.iter().for_each(|slot| policy.enter(slot));
        slots[0].touch();
        let order: Vec<_> = std::iter::from_fn(|| leave(&mut policy)).collect();
        assert_eq!(order, [2, 3, 4, 1]);
        assert_eq!((policy.len(), policy.weight()), (0, 0));
    }

    #[test]
    fn the_heavy_leave_before_the_light_unless_they_are_wanted_much_more() {
        let mut policy = Policy::new(1 << 30);
        policy.enter(&slot(1, 10 << 20));
        policy.enter(&slot(2, 1 << 10));
        assert_eq!(leave(&mut policy), Some(1));
        // A hundred times the weight: ten times the worth is the same.
        for _ in 0..40 {
            policy.recall(KeyHash(3 << 32 | 3));
        }
        policy.enter(&slot(3, 100 << 10));
        assert_eq!(leave(&mut policy), Some(2));
    }

    #[test]
    fn what_was_once_wanted_is_overtaken() {
        let mut policy = Policy::new(1 << 30);
        for _ in 0..200 {
            policy.recall(KeyHash(1 << 32 | 1));
        }
        policy.enter(&slot(1, 1_000));
        let mut newcomers = 0_u64;
        loop {
            policy.enter(&slot(2 + newcomers, 1_000));
            newcomers += 1;
            if leave(&mut policy) == Some(1) {
                break;
            }
        }
        assert!((10..1_000).contains(&newcomers), "{newcomers}");
    }

    #[test]
    fn when_everything_is_wanted_something_leaves_after_so_many_second_chances() {
        let mut policy = Policy::new(1 << 30);
        for name in 0..u64::from(SECOND_CHANCES) + 2 {
            let slot = slot(name, 1_000);
            slot.touch();
            policy.enter(&slot);
        }
        assert_eq!(leave(&mut policy), Some(u64::from(SECOND_CHANCES)));
    }

    #[test]
    fn every_worth_and_weight_has_a_class_of_its_own_height() {
        assert_eq!(usize::from(class(0, WORTH_MOST)), CLASSES - 1);
        assert_eq!(class(u64::MAX, 0), 0);
        assert!((0..44).all(|class| gain(class) <= gain(class + 1)));
        assert!((1..=63).all(|worth| class(1_000, worth) <= class(1_000, worth + 1)));
    }

    proptest! {
        /// The queues and a plain list agree on what is kept, and on what is the lowest.
        #[test]
        fn the_queues_hold_what_was_filed(steps in proptest::collection::vec((0_u8..4, 0_u64..20, 1_u64..1_000_000), 0..200)) {
            let mut policy = Policy::new(1 << 20);
            let mut model: Vec<Arc<Slot<()>>> = Vec::new();
            for (what, name, weight) in steps {
                match what {
                    0 | 1 => {
                        let slot = slot(name, weight);
                        match model.iter().position(|known| known.key() == slot.key()) {
                            Some(at) => {
                                policy.replace(&model[at], &slot);
                                model[at] = slot;
                            }
                            None => {
                                policy.enter(&slot);
                                model.push(slot);
                            }
                        }
                    }
                    2 => {
                        let at = model.iter().position(|known| known.hash().0 & 0xFF == name);
                        if let Some(at) = at {
                            let slot = model.swap_remove(at);
                            prop_assert!(policy.withdraw(&slot).is_some());
                            prop_assert!(policy.withdraw(&slot).is_none());
                        }
                    }
                    _ => {
                        let lowest = policy.lowest();
                        let left = policy.next_to_leave(&mut Effort::default());
                        prop_assert_eq!(lowest.is_some(), left.is_some());
                        if let Some(left) = left {
                            model.retain(|slot| !Arc::ptr_eq(slot, &left.slot));
                        }
                    }
                }
                prop_assert_eq!(policy.len(), model.len());
                prop_assert_eq!(policy.weight(), model.iter().map(|slot| slot.weight()).sum::<u64>());
                let found = policy.places(0, u32::MAX).flatten().count();
                prop_assert_eq!(found, model.len());
            }
        }
    }
}
