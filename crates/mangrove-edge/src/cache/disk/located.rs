//! Where an object of the disk tier is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use mangrove_cache::Stored;
use mangrove_http::Known;
use mangrove_store::{Handle, KeyHash, ObjectId, Writing};

use super::Open;
use crate::cache::parts::{Partial, Parts};

/// Where an object of the disk tier is found, each time that somebody wants it: nothing on the disk is held for it meanwhile.
#[derive(Clone, Debug)]
pub struct Located {
    open: Arc<Open>,
    key: KeyHash,
    /// Which object it is.
    pub id: ObjectId,
    /// What is missing of it can be asked for: its origin gave it a strong entity tag.
    pub strong: bool,
    /// As far as is known, of all who have found this object in the same place.
    sends_parts: Arc<AtomicU8>,
}

/// What [`Located::sends_parts`] goes by.
const UNKNOWN: u8 = 0;
const SENDS_PARTS: u8 = 1;
const SENDS_NO_PARTS: u8 = 2;

/// Whether an answer has an entity tag that stands for each of its bytes.
pub(crate) fn is_strong(stored: &Stored) -> bool {
    stored.status == 200 && stored.entity_tag().is_some_and(|tag| !tag.weak)
}

impl Located {
    pub(super) fn new(open: Arc<Open>, key: KeyHash, id: ObjectId, stored: &Stored) -> Self {
        let strong = is_strong(stored);
        let offers = stored.fields.field(Known::AcceptRanges);
        let offers = offers.is_some_and(|unit| unit.eq_ignore_ascii_case(b"bytes"));
        let known = if offers { SENDS_PARTS } else { UNKNOWN };
        Self {
            open,
            key,
            id,
            strong,
            sends_parts: Arc::new(AtomicU8::new(known)),
        }
    }

    /// Whether its origin sends parts of it: it has, or has offered to (RFC 9110 section 14.3), or has not when it was asked for one.
    pub fn sends_parts(&self) -> Option<bool> {
        match self.sends_parts.load(Ordering::Relaxed) {
            SENDS_PARTS => Some(true),
            SENDS_NO_PARTS => Some(false),
            _ => None,
        }
    }

    /// Now it is known.
    pub(crate) fn note_sends_parts(&self, sends: bool) {
        let known = if sends { SENDS_PARTS } else { SENDS_NO_PARTS };
        self.sends_parts.store(known, Ordering::Relaxed);
    }

    /// The object, if all of it is there and can be read now.
    pub fn handle(&self) -> Option<Handle> {
        self.part().filter(Handle::is_complete)
    }

    /// As much of the object as is there and can be read now; none before its head is written. Counts as asked for.
    pub fn part(&self) -> Option<Handle> {
        let found = self.open.store.lookup(self.key);
        found.into_iter().find(|handle| handle.id() == self.id)
    }

    /// The same without counting.
    pub fn seen(&self) -> Option<Handle> {
        let found = self.open.store.peek(self.key);
        found.into_iter().find(|handle| handle.id() == self.id)
    }

    /// Whether all of it is there now.
    pub fn is_complete(&self) -> bool {
        self.seen().is_some_and(|there| there.is_complete())
    }

    /// Whether it can be answered with: all of it is there, or the rest is on its way, or can be asked for.
    pub fn is_at_hand(&self) -> bool {
        match self.seen() {
            Some(part) if self.strong || part.is_complete() => true,
            _ => self.parts().find(self).is_some_and(|part| part.is_coming()),
        }
    }

    /// What of it is on its way, and can be; none once it is gone.
    pub fn partial(&self, total: u64) -> Option<Arc<Partial>> {
        let writing = || self.seen().map(|part| part.write());
        self.parts().enter(self, total, writing)
    }

    /// The same for one that has just been begun.
    pub fn begun(&self, total: u64, writing: &Writing) -> Option<Arc<Partial>> {
        self.parts().enter(self, total, || Some(writing.share()))
    }

    /// The hash of its key.
    pub fn key(&self) -> KeyHash {
        self.key
    }

    pub(super) fn open(&self) -> Arc<Open> {
        Arc::clone(&self.open)
    }

    /// Memory that holds what comes of it, before it is written.
    pub(crate) fn count_gathered(&self, before: u64, now: u64) {
        self.open.count_gathered(before, now);
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.open.parts
    }
}
