//! What is kept of an object that is let go of while somebody reads it: nobody is cut off for another's wish.
//!
//! It is found by nobody else, and nothing more is written to it.

use std::sync::Arc;

use mangrove_store::{Handle, KeyHash, ObjectId, Subject};

use super::{CHUNK, Partial, Parts, State, lock};

/// Of the disk, the share that may be taken by what was let go of and is still read. What is over it is lost to those who have
/// not read it: it is asked for again, where it can be.
pub(crate) const HELD_SHARE: u64 = 8;

/// What was there of an object when it was let go of.
#[derive(Debug)]
pub(super) struct Held {
    handle: Arc<Handle>,
    chunks: u64,
}

impl Parts {
    /// Those of a store of so many bytes.
    pub(in crate::cache) fn of_store(bytes: u64) -> Self {
        Self {
            may_hold: bytes / HELD_SHARE / CHUNK,
            ..Self::default()
        }
    }

    /// What is read of those of a key's objects that are meant is about to be let go of. Whether somebody reads.
    pub(in crate::cache) fn hold(
        &self,
        key: KeyHash,
        is_meant: impl Fn(&Subject, ObjectId) -> bool,
    ) -> bool {
        hold(&self.of_key(key), is_meant)
    }

    /// The same for all keys.
    pub(in crate::cache) fn hold_all(&self, is_meant: impl Fn(&Subject, ObjectId) -> bool) {
        hold(&self.all(), is_meant);
    }
}

/// Holds those that are meant; whether somebody reads any of them.
fn hold(all: &[Arc<Partial>], is_meant: impl Fn(&Subject, ObjectId) -> bool) -> bool {
    let meant = all.iter().filter(|partial| {
        let writing = partial.writing();
        is_meant(writing.subject(), writing.id())
    });
    meant.filter(|partial| partial.hold()).count() > 0
}

impl Partial {
    /// Keeps what is on the disk for those who read it now; whether somebody does.
    pub(super) fn hold(&self) -> bool {
        let Some(first) = self.lock().first_read() else {
            return false;
        };
        // What was let go of before is held already.
        let Some(there) = self.located.seen() else {
            return true;
        };
        let parts = self.located.parts();
        let (mut all, mut held) = (lock(&parts.holds), lock(&self.held));
        let before = held.as_ref().map_or(0, |held| held.chunks);
        let room = parts.may_hold.saturating_sub(*all - before);
        let from = u32::try_from(first / CHUNK).unwrap_or(u32::MAX);
        let there = there.holding(from, usize::try_from(room).unwrap_or(usize::MAX));
        let chunks = there.held() as u64;
        *all = *all - before + chunks;
        let handle = Arc::new(there);
        *held = Some(Held { handle, chunks });
        true
    }

    /// What was on the disk when it was let go of.
    pub fn held(&self) -> Option<Arc<Handle>> {
        let held = lock(&self.held);
        held.as_ref().map(|held| Arc::clone(&held.handle))
    }

    /// Whether a chunk can be read, though it may have been let go of.
    pub(super) fn has_chunk(&self, chunk: u32) -> bool {
        self.writing.has_chunk(chunk) || self.held().is_some_and(|held| held.holds(chunk))
    }

    /// Nobody reads it any more.
    pub(super) fn give_back(&mut self) {
        if let Some(held) = lock(&self.held).take() {
            *lock(&self.located.parts().holds) -= held.chunks;
        }
    }
}

impl State {
    /// Where the last of those who read is.
    fn first_read(&self) -> Option<u64> {
        let seats = self.seats.iter().flatten();
        let reading = seats.filter(|seat| seat.at < seat.end);
        reading.map(|seat| seat.at).min()
    }
}
