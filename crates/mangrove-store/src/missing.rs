//! Which chunks of an object there are, and which are missing; and which objects were begun.

use smallvec::SmallVec;

use crate::index::Index;
use crate::lock::lock;
use crate::object::{Object, Pinned, Place};
use crate::words::{KeyHash, ObjectId, Variant};

impl Index {
    /// Which chunks there are, within `from..to`.
    pub(crate) fn chunks(&self, key: KeyHash, id: ObjectId, from: u32, to: u32) -> Vec<u32> {
        let shard = lock(self.shard(key));
        let there = shard.find(key.0, |object| object.id == id);
        let there = there.map(|object| object.from(from)).into_iter().flatten();
        there.take_while(|index| *index < to).collect()
    }

    /// The first chunk from `from` on that is not there, perhaps one past the last.
    pub(crate) fn first_missing(&self, key: KeyHash, id: ObjectId, from: u32) -> u32 {
        let shard = lock(self.shard(key));
        let there = shard.find(key.0, |object| object.id == id);
        let there = there.map(|object| object.from(from)).into_iter().flatten();
        let row = (from..).zip(there);
        let row = row.take_while(|(expected, index)| expected == index);
        row.last().map_or(from, |(last, _)| last.saturating_add(1))
    }

    /// Whether an object of a key and variant, older than another, has no head yet.
    pub(crate) fn is_begun(&self, key: KeyHash, variant: Variant, before: ObjectId) -> bool {
        let shard = lock(self.shard(key));
        let mut all = shard.iter_hash(key.0);
        all.any(|object| {
            object.subject.key == key
                && object.subject.variant == variant
                && object.id < before
                && !object.head.is_somewhere()
        })
    }

    /// Some of the chunks from `from` on that are there, to be read whatever becomes of the index.
    pub(crate) fn held(
        &self,
        key: KeyHash,
        id: ObjectId,
        from: u32,
        most: usize,
    ) -> SmallVec<[(u32, Pinned); 1]> {
        let shard = lock(self.shard(key));
        let object = shard.find(key.0, |object| object.id == id);
        let there = object.map_or(&[][..], |object| object.rest(from));
        let wanted = there.iter().take(most);
        let held = wanted.filter_map(|(index, place)| {
            let slab = self.slabs.by_id(place.slab)?;
            let place = *place;
            Some((*index, Pinned { slab, place }))
        });
        held.collect()
    }

    /// Whether a chunk is there.
    pub(crate) fn has_chunk(&self, key: KeyHash, id: ObjectId, chunk: u32) -> bool {
        let shard = lock(self.shard(key));
        let object = shard.find(key.0, |object| object.id == id);
        object.is_some_and(|object| {
            let there = object
                .chunks
                .binary_search_by_key(&chunk, |(index, _)| *index);
            there.is_ok()
        })
    }

    /// The first chunk from `from` on that is there.
    pub(crate) fn first_there(&self, key: KeyHash, id: ObjectId, from: u32) -> Option<u32> {
        let shard = lock(self.shard(key));
        let object = shard.find(key.0, |object| object.id == id)?;
        object.from(from).next()
    }
}

impl Object {
    /// The chunks from `from` on that are there, and where.
    fn rest(&self, from: u32) -> &[(u32, Place)] {
        let first = self.chunks.partition_point(|(index, _)| *index < from);
        self.chunks.get(first..).unwrap_or_default()
    }

    fn from(&self, from: u32) -> impl Iterator<Item = u32> {
        self.rest(from).iter().map(|(index, _)| *index)
    }
}
