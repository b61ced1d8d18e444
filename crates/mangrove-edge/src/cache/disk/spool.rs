//! Answers that go to the disk as they come.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use mangrove_cache::purge::Generation;
use mangrove_store::{Head, Refused, Writing};

use super::Open;
use crate::body::CHUNK_BYTES;

/// An answer on its way to the disk alone.
#[derive(Debug)]
pub struct Spool {
    pub(super) open: Arc<Open>,
    pub(super) writing: Writing,
    pub(super) head: Head,
    pub(super) born: Generation,
    pub(super) length: u64,
    pub(super) index: u32,
    /// What has come of the next chunk.
    pub(super) chunk: Vec<u8>,
    /// A chunk that could not be handed over yet.
    pub(super) full: Option<Bytes>,
    /// Bytes of content that were pushed, and bytes of memory that count as gathered.
    pub(super) taken: u64,
    pub(super) counted: u64,
}

/// What became of content that was handed to a [`Spool`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spooled {
    /// More may come.
    Taken,
    /// The disk is behind: [`Spool::settle`] before more comes.
    Behind,
}

impl Spool {
    /// Takes content that has come. Refused, the rest need not be handed over: it will not be kept. Where the disk is behind,
    /// it takes another chunk and no more before it is [settled](Self::settle).
    pub fn push(&mut self, mut piece: &[u8]) -> Result<Spooled, Refused> {
        while !piece.is_empty() {
            if self.chunk.capacity() == 0 {
                let left = self.length.saturating_sub(self.taken);
                let left = usize::try_from(left).unwrap_or(usize::MAX);
                self.chunk.reserve_exact(left.clamp(1, CHUNK_BYTES));
                self.note(self.chunk.capacity());
            }
            let (now, later) = piece.split_at(piece.len().min(CHUNK_BYTES - self.chunk.len()));
            self.taken += now.len() as u64;
            self.chunk.extend_from_slice(now);
            piece = later;
            if self.chunk.len() == CHUNK_BYTES {
                self.fill_up()?;
            }
        }
        self.settle()
    }

    /// All of it has come. It is to be settled, and then to be [finished](Self::finish).
    pub fn end(&mut self) -> Result<Spooled, Refused> {
        if !self.chunk.is_empty() {
            self.fill_up()?;
        }
        self.settle()
    }

    /// What has been gathered is a chunk.
    fn fill_up(&mut self) -> Result<(), Refused> {
        if self.settle()? == Spooled::Behind {
            return Err(Refused::Behind);
        }
        self.full = Some(Bytes::from(std::mem::take(&mut self.chunk)));
        Ok(())
    }

    /// Hands over a chunk that waits for that.
    pub fn settle(&mut self) -> Result<Spooled, Refused> {
        let Some(full) = &self.full else {
            return Ok(Spooled::Taken);
        };
        match self.writing.try_chunk(self.index, full.clone()) {
            Ok(()) => {
                self.full = None;
                self.index = self.index.saturating_add(1);
                self.note(self.chunk.capacity());
                Ok(Spooled::Taken)
            }
            Err(Refused::Behind) => Ok(Spooled::Behind),
            Err(why) => Err(why),
        }
    }

    /// From when its head is written, it is found.
    pub fn finish(mut self) -> Result<(), Refused> {
        let born = mangrove_store::Generation(self.born.0);
        self.writing.try_head(born, Some(self.length), &self.head)
    }

    /// Counts what it holds now: the chunk that is gathered, of so many bytes, and one that is full.
    fn note(&mut self, gathered: usize) {
        let held = (gathered + self.full.as_ref().map_or(0, Bytes::len)) as u64;
        let before = std::mem::replace(&mut self.counted, held);
        let gathering = &self.open.gathering;
        gathering.fetch_add(held, Ordering::Relaxed);
        gathering.fetch_sub(before, Ordering::Relaxed);
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.full = None;
        self.note(0);
    }
}
