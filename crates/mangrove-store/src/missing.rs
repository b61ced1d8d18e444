//! Which chunks of an object there are, and which are missing.

use crate::index::Index;
use crate::lock::lock;
use crate::object::Object;
use crate::words::{KeyHash, ObjectId};

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

    /// The first chunk from `from` on that is there.
    pub(crate) fn first_there(&self, key: KeyHash, id: ObjectId, from: u32) -> Option<u32> {
        let shard = lock(self.shard(key));
        let object = shard.find(key.0, |object| object.id == id)?;
        object.from(from).next()
    }
}

impl Object {
    /// The chunks from `from` on that are there.
    fn from(&self, from: u32) -> impl Iterator<Item = u32> {
        let first = self.chunks.partition_point(|(index, _)| *index < from);
        let rest = self.chunks.get(first..).unwrap_or_default();
        rest.iter().map(|(index, _)| *index)
    }
}
