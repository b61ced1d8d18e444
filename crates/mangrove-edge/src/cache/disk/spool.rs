//! Answers that go to the disk as they come.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use mangrove_cache::Stored;
use mangrove_cache::purge::Generation;
use mangrove_store::{ObjectId, Refused, Writing};

use super::{DiskTier, Located, Open, head_of};
use crate::body::CHUNK_BYTES;

/// An answer on its way to the disk alone.
#[derive(Debug)]
pub struct Spool {
    open: Arc<Open>,
    writing: Writing,
    /// Bytes of the whole content, and where in it the next that comes is.
    length: u64,
    at: u64,
    /// What has come of the next chunk.
    chunk: Vec<u8>,
    /// A chunk that could not be handed over yet, and which.
    full: Option<(u32, Bytes)>,
    /// The chunk that was handed over last, until somebody asks for it.
    given: Option<(u64, Bytes)>,
    /// Bytes of memory that count as gathered.
    counted: u64,
}

/// What became of content that was handed to a [`Spool`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spooled {
    /// More may come.
    Taken,
    /// The disk is behind: [`Spool::settle`] before more comes.
    Behind,
}

impl DiskTier {
    /// Begins an object of so many bytes that memory will not hold: what it takes the place of is let go of, and its head is
    /// written. Where it is found from then on, and what takes its content as it comes.
    pub fn spool(
        &self,
        key: &[u8],
        stored: &Stored,
        born: Generation,
        length: u64,
        codable: bool,
    ) -> Option<(Located, Spool)> {
        self.begin_spool(key, stored, born, length, codable, |_, _| true)
    }

    /// The same for an object of which only a part comes: it takes the place of nothing but `known`, if that is given, because
    /// anything else may be the same, and there is more of it.
    pub fn spool_part(
        &self,
        key: &[u8],
        stored: &Stored,
        born: Generation,
        length: u64,
        known: Option<ObjectId>,
    ) -> Option<(Located, Spool)> {
        // Of two that begin at once, the later sees the earlier.
        let is_alone = |open: &Open, id| !open.has_other(key, stored, Some(id), known);
        self.begin_spool(key, stored, born, length, false, is_alone)
    }

    fn begin_spool(
        &self,
        key: &[u8],
        stored: &Stored,
        born: Generation,
        length: u64,
        codable: bool,
        may_begin: impl FnOnce(&Open, ObjectId) -> bool,
    ) -> Option<(Located, Spool)> {
        let open = self.opened()?;
        if !open.may_gather() {
            return None;
        }
        let head = head_of(key, stored, codable)?;
        let mut writing = open.begin(key, stored, born, length).ok()?;
        if !may_begin(&open, writing.id()) {
            return None;
        }
        let born = mangrove_store::Generation(born.0);
        writing.try_head(born, Some(length), &head).ok()?;
        open.bury_older(key, stored, writing.id());
        let located = Located::new(Arc::clone(&open), open.key(key), writing.id(), stored);
        Some((located, Spool::new(open, writing, length, 0)))
    }
}

impl DiskTier {
    /// Whether there is something of a key and of the variant of `stored` that can be answered with.
    pub fn has_variant(&self, key: &[u8], stored: &Stored) -> bool {
        self.opened()
            .is_some_and(|open| open.has_other(key, stored, None, None))
    }
}

impl Open {
    /// Whether there is another object of a key and of the variant of `stored` than `but`: one that can be answered with, or was
    /// begun before `before`.
    fn has_other(
        &self,
        key: &[u8],
        stored: &Stored,
        before: Option<ObjectId>,
        but: Option<ObjectId>,
    ) -> bool {
        let (key, variant) = (self.key(key), self.variant(stored));
        // First: its head may be written meanwhile.
        if before.is_some_and(|before| self.store.is_begun(key, variant, before)) {
            return true;
        }
        self.store.peek(key).iter().any(|handle| {
            handle.subject().variant == variant
                && Some(handle.id()) != but
                && before.is_none_or(|before| handle.id() < before)
                && super::may_answer(handle)
        })
    }

    /// Each spool holds a chunk that is not full, and each run what has come of one: all together no more than may wait.
    fn may_gather(&self) -> bool {
        self.gathering.load(Ordering::Relaxed) < self.gathers
    }

    /// What was held is another amount now.
    pub(super) fn count_gathered(&self, before: u64, now: u64) {
        self.gathering.fetch_add(now, Ordering::Relaxed);
        self.gathering.fetch_sub(before, Ordering::Relaxed);
    }
}

impl Spool {
    fn new(open: Arc<Open>, writing: Writing, length: u64, at: u64) -> Self {
        Self {
            open,
            writing,
            length,
            at,
            chunk: Vec::new(),
            full: None,
            given: None,
            counted: 0,
        }
    }

    /// What takes content of an object that has been begun, from `at` on; none where memory has no room for that.
    pub fn of(located: &Located, writing: Writing, length: u64, at: u64) -> Option<Self> {
        let open = located.open();
        open.may_gather()
            .then(|| Self::new(open, writing, length, at))
    }

    /// Begins where an answer's content does, which need not be where a chunk does: what comes before is not kept.
    pub fn from(mut self, at: u64) -> Self {
        self.at = at;
        self
    }

    /// What it writes to.
    pub fn writing(&self) -> &Writing {
        &self.writing
    }

    /// Takes content that has come. Refused, the rest need not be handed over: it will not be kept. Where the disk is behind,
    /// it takes another chunk and no more before it is [settled](Self::settle).
    pub fn push(&mut self, mut piece: &[u8]) -> Result<Spooled, Refused> {
        while !piece.is_empty() {
            let within = usize::try_from(self.at % CHUNK_BYTES as u64).unwrap_or(0);
            let (now, later) = piece.split_at(piece.len().min(CHUNK_BYTES - within));
            piece = later;
            let is_begun = within == 0 || !self.chunk.is_empty();
            if is_begun && self.chunk.capacity() == 0 {
                let left = self.length.saturating_sub(self.at);
                let left = usize::try_from(left).unwrap_or(usize::MAX);
                self.chunk.reserve_exact(left.clamp(1, CHUNK_BYTES));
                self.note(self.chunk.capacity());
            }
            self.at += now.len() as u64;
            if is_begun {
                self.chunk.extend_from_slice(now);
            }
            if self.chunk.len() == CHUNK_BYTES {
                self.fill_up()?;
            }
        }
        self.settle()
    }

    /// All of it has come. It is to be [settled](Self::settle); then all of it will be written.
    pub fn end(&mut self) -> Result<Spooled, Refused> {
        if !self.chunk.is_empty() && self.at == self.length {
            self.fill_up()?;
        }
        self.settle()
    }

    /// What has been gathered is a chunk.
    fn fill_up(&mut self) -> Result<(), Refused> {
        if self.settle()? == Spooled::Behind {
            return Err(Refused::Behind);
        }
        let last = self.at.saturating_sub(1) / CHUNK_BYTES as u64;
        let index = u32::try_from(last).map_err(|_| Refused::TooLarge)?;
        let full = Bytes::from(std::mem::take(&mut self.chunk));
        self.given = Some((last * CHUNK_BYTES as u64, full.clone()));
        self.full = Some((index, full));
        Ok(())
    }

    /// The chunk that became full last, and where it begins: said once.
    pub fn take_full(&mut self) -> Option<(u64, Bytes)> {
        self.given.take()
    }

    /// Hands over a chunk that waits for that.
    pub fn settle(&mut self) -> Result<Spooled, Refused> {
        let Some((index, full)) = &self.full else {
            return Ok(Spooled::Taken);
        };
        match self.writing.try_chunk(*index, full.clone()) {
            Ok(()) => {
                self.full = None;
                self.note(self.chunk.capacity());
                Ok(Spooled::Taken)
            }
            Err(Refused::Behind) => Ok(Spooled::Behind),
            Err(why) => Err(why),
        }
    }

    /// Counts what it holds now: the chunk that is gathered, of so many bytes, and one that is full.
    fn note(&mut self, gathered: usize) {
        let full = self.full.as_ref().map_or(0, |(_, full)| full.len());
        let held = (gathered + full) as u64;
        let before = std::mem::replace(&mut self.counted, held);
        self.open.count_gathered(before, held);
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.full = None;
        self.note(0);
    }
}
