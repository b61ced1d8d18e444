//! One object as the index has it, and where its records lie: small, because there are millions.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::record::{Header, Kind};
use crate::slab::Slab;
use crate::words::{CHUNK_BYTES, ObjectId, Subject};

/// The most that is counted of how often something was asked for, as in S3-FIFO.
const ASKED_MOST: u32 = 3;

const VERIFIED: u32 = 1 << 31;
const ASKED_SHIFT: u32 = 28;
const ASKED: u32 = 3 << ASKED_SHIFT;
const LENGTH: u32 = (1 << ASKED_SHIFT) - 1;

/// Where a record lies, in 12 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) slab: u32,
    /// In units of [`ALIGN`](crate::record::ALIGN).
    unit: u32,
    /// Length of the payload; above it how often it was asked for, and whether this process has written or
    /// verified it.
    bits: u32,
}

impl Place {
    pub(crate) const NOWHERE: Place = Place {
        slab: u32::MAX,
        unit: 0,
        bits: 0,
    };

    pub(crate) fn new(slab: u32, at: u64, length: u32) -> Place {
        let unit = u32::try_from(at / crate::record::ALIGN).unwrap_or(u32::MAX);
        Place {
            slab,
            unit,
            bits: length & LENGTH,
        }
    }

    pub(crate) fn at(self) -> u64 {
        u64::from(self.unit) * crate::record::ALIGN
    }

    pub(crate) fn length(self) -> u32 {
        self.bits & LENGTH
    }

    pub(crate) fn is_verified(self) -> bool {
        self.bits & VERIFIED != 0
    }

    pub(crate) fn set_verified(&mut self) {
        self.bits |= VERIFIED;
    }

    pub(crate) fn is_somewhere(self) -> bool {
        self.slab != u32::MAX
    }

    pub(crate) fn asked(self) -> u32 {
        (self.bits & ASKED) >> ASKED_SHIFT
    }

    pub(crate) fn set_asked(&mut self, asked: u32) {
        self.bits = self.bits & !ASKED | asked.min(ASKED_MOST) << ASKED_SHIFT;
    }

    pub(crate) fn ask(&mut self) {
        self.set_asked(self.asked() + 1);
    }

    pub(crate) fn same_spot(self, other: Place) -> bool {
        self.spot() == other.spot()
    }

    /// The slab and where in it, as one number.
    pub(crate) fn spot(self) -> u64 {
        u64::from(self.slab) << 32 | u64::from(self.unit)
    }
}

#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) subject: Subject,
    pub(crate) id: ObjectId,
    pub(crate) total: u64,
    pub(crate) head_sequence: u64,
    pub(crate) head: Place,
    /// By index, rising.
    pub(crate) chunks: SmallVec<[(u32, Place); 1]>,
    /// Every chunk of a known total is there.
    pub(crate) complete: bool,
    /// New records of it go to the main log.
    pub(crate) main: bool,
}

/// In place of a total that is not known.
pub(crate) const NO_TOTAL: u64 = u64::MAX;

/// What a lookup takes out of the table.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) subject: Subject,
    pub(crate) id: ObjectId,
    pub(crate) total: Option<u64>,
    pub(crate) complete: bool,
    pub(crate) main: bool,
    pub(crate) chunk_count: usize,
    pub(crate) head: Pinned,
    /// By index, rising: the chunks of an object of at most [`PINNED_CHUNKS`], or those that were asked for.
    pub(crate) chunks: SmallVec<[(u32, Pinned); 1]>,
}

impl Found {
    pub(crate) fn held(&self, index: u32) -> Option<&Pinned> {
        let at = self.chunks.binary_search_by_key(&index, |(its, _)| *its);
        self.chunks.get(at.ok()?).map(|(_, pinned)| pinned)
    }
}

/// Objects of at most so many chunks are pinned whole by a handle; of larger ones each chunk is looked up when it is read, so
/// that a slow reader does not keep a disk full of slabs that were to be removed.
pub(crate) const PINNED_CHUNKS: usize = 4;

/// A record that can be read whatever becomes of the index.
#[derive(Clone, Debug)]
pub(crate) struct Pinned {
    pub(crate) slab: Arc<Slab>,
    pub(crate) place: Place,
}

/// Where a record comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// This process has just written it, for an object it began.
    Written,
    /// The start-up scan found it.
    Recovered,
}

/// What became of a record in the index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Landed {
    pub(crate) kept: bool,
    /// The newest of the objects that it replaced.
    pub(crate) replaced: Option<ObjectId>,
}

/// Which record of an object is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Its head.
    Head,
    /// One of its chunks.
    Chunk(u32),
}

impl Part {
    pub(crate) fn of(header: &Header) -> Part {
        match header.kind {
            Kind::Chunk => Part::Chunk(header.index),
            Kind::Head | Kind::Gone => Part::Head,
        }
    }
}

/// Bytes of a chunk by its place in an object of that length; 0 if it is outside.
pub(crate) fn chunk_length(total: u64, index: u32) -> u64 {
    let from = u64::from(index) * u64::from(CHUNK_BYTES);
    total.saturating_sub(from).min(u64::from(CHUNK_BYTES))
}

pub(crate) fn fits(total: u64, index: u32, length: u32) -> bool {
    length > 0 && (total == NO_TOTAL || u64::from(length) == chunk_length(total, index))
}

impl Object {
    pub(crate) fn is_complete(&self) -> bool {
        let wanted = self.total.div_ceil(u64::from(CHUNK_BYTES));
        // Each chunk fits the total since that is known, so their number tells all.
        self.total != NO_TOTAL && self.chunks.len() as u64 == wanted
    }

    pub(crate) fn chunk_mut(&mut self, index: u32) -> Option<&mut Place> {
        let at = self
            .chunks
            .binary_search_by_key(&index, |(index, _)| *index)
            .ok()?;
        self.chunks.get_mut(at).map(|(_, place)| place)
    }

    pub(crate) fn place(&self, header: &Header) -> Option<Place> {
        match Part::of(header) {
            Part::Head => Some(self.head),
            Part::Chunk(index) => {
                let at = self
                    .chunks
                    .binary_search_by_key(&index, |(index, _)| *index)
                    .ok()?;
                self.chunks.get(at).map(|(_, place)| *place)
            }
        }
    }

    pub(crate) fn place_mut(&mut self, header: &Header) -> Option<&mut Place> {
        match Part::of(header) {
            Part::Head => Some(&mut self.head),
            Part::Chunk(index) => self.chunk_mut(index),
        }
    }
}
