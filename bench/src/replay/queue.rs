//! Objects in the order in which they came: what most policies are made of.

use std::collections::{BTreeMap, HashMap};

use super::trace::Object;

/// A queue from which any object can be taken, and which knows what it weighs.
#[derive(Default)]
pub(super) struct Queue {
    order: BTreeMap<u64, Object>,
    places: HashMap<u32, u64>,
    next: u64,
    weight: u64,
}

impl Queue {
    /// Bytes of all that is in it.
    pub(super) fn weight(&self) -> u64 {
        self.weight
    }

    /// How many are in it.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn has(&self, name: u32) -> bool {
        self.places.contains_key(&name)
    }

    /// Puts an object at the young end.
    pub(super) fn push(&mut self, object: Object) {
        self.remove(object.name);
        self.order.insert(self.next, object);
        self.places.insert(object.name, self.next);
        self.next += 1;
        self.weight += object.weight;
    }

    pub(super) fn remove(&mut self, name: u32) -> Option<Object> {
        let place = self.places.remove(&name)?;
        let object = self.order.remove(&place)?;
        self.weight -= object.weight;
        Some(object)
    }

    /// Brings an object to the young end; false if it is not here.
    pub(super) fn renew(&mut self, name: u32) -> bool {
        let found = self.remove(name);
        if let Some(object) = found {
            self.push(object);
        }
        found.is_some()
    }

    /// Takes the oldest.
    pub(super) fn pop(&mut self) -> Option<Object> {
        let name = self.oldest()?.name;
        self.remove(name)
    }

    pub(super) fn oldest(&self) -> Option<Object> {
        self.order.values().next().copied()
    }

    /// From the oldest on.
    pub(super) fn iter(&self) -> impl Iterator<Item = Object> {
        self.order.values().copied()
    }

    /// The object at or after a place, and its place; from the old end once the young end is passed.
    pub(super) fn from(&self, place: u64) -> Option<(u64, Object)> {
        let found = self.order.range(place..).next();
        let (place, object) = found.or_else(|| self.order.iter().next())?;
        Some((*place, *object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_leaves_and_weight_follows() {
        let mut queue = Queue::default();
        for name in 0..3 {
            queue.push(Object { name, weight: 10 });
        }
        assert!(queue.renew(0) && !queue.renew(9));
        assert_eq!(queue.pop().map(|object| object.name), Some(1));
        assert_eq!(queue.weight(), 20);
        assert_eq!(queue.from(3).map(|(_, object)| object.name), Some(0));
        assert_eq!(queue.from(4).map(|(_, object)| object.name), Some(2));
        queue.push(Object { name: 2, weight: 5 });
        assert_eq!(queue.weight(), 15);
    }
}
