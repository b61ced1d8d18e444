//! The format of a slab, byte by byte as `docs/store-format.md` tells it: pure, and suspicious of every byte it reads.
//!
//! All checksums are seeded with numbers that only the store knows, so that content which happens (or means) to look like a
//! record is not taken for one when a scan finds its way again after damage.

use twox_hash::XxHash3_64;

use crate::words::{CHUNK_BYTES, Generation, HEAD_BYTES, KeyHash, ObjectId, Site, Variant};

/// Records begin at multiples of this.
pub(crate) const ALIGN: u64 = ALIGN_BYTES as u64;
/// The same, to measure memory with.
pub(crate) const ALIGN_BYTES: usize = 64;
/// Bytes of a slab's own header; its first record follows.
pub(crate) const SLAB_HEADER: u64 = SLAB_HEADER_BYTES as u64;
/// The same, to measure memory with.
pub(crate) const SLAB_HEADER_BYTES: usize = 64;
/// Bytes of a record's header.
pub(crate) const HEADER: usize = 96;
const HEADER_BYTES: u64 = HEADER as u64;
/// The format that is written, and the only one that is read.
const VERSION: u8 = 1;
const SLAB_MAGIC: &[u8; 8] = b"MANGROVE";
const RECORD_MAGIC: &[u8; 4] = b"MGRC";
/// In place of a total length that is not known.
const NO_TOTAL: u64 = u64::MAX;
const EVERY_VARIANT: u16 = 1;

/// Which of the two logs a slab belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Log {
    /// What has not been asked for again yet.
    Probation,
    /// What has.
    Main,
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Key, validator and stored head of an object.
    Head,
    /// A piece of its content.
    Chunk,
    /// A grave: every object of this key (and variant) up to this id is gone.
    Gone,
}

/// The header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    /// Of a grave: whether it is for every variant of the key.
    pub(crate) every_variant: bool,
    /// Bytes of payload.
    pub(crate) length: u32,
    /// Of a chunk: which.
    pub(crate) index: u32,
    pub(crate) site: Site,
    /// Where in the slab the header lies.
    pub(crate) at: u64,
    /// The order in which records were first written. A moved record keeps it.
    pub(crate) sequence: u64,
    pub(crate) object: ObjectId,
    pub(crate) key: KeyHash,
    pub(crate) variant: Variant,
    pub(crate) born: Generation,
    /// Of the object's content, where known when the record was written.
    pub(crate) total: Option<u64>,
    pub(crate) payload_sum: u64,
}

/// Why there is no header here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoHeader {
    /// Nothing was written: zeros.
    Blank,
    /// Something else, or damaged.
    Damaged,
}

impl Header {
    /// Bytes of the record on disk, with the space up to the next.
    pub(crate) fn record_bytes(&self) -> u64 {
        record_bytes(self.length)
    }

    pub(crate) fn write(&self, seed: u64) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        let kind = match self.kind {
            Kind::Head => 1,
            Kind::Chunk => 2,
            Kind::Gone => 3,
        };
        let flags = if self.every_variant { EVERY_VARIANT } else { 0 };
        put(&mut bytes, 0, RECORD_MAGIC);
        put(&mut bytes, 4, &[VERSION, kind]);
        put(&mut bytes, 6, &flags.to_le_bytes());
        put(&mut bytes, 8, &self.length.to_le_bytes());
        put(&mut bytes, 12, &self.index.to_le_bytes());
        put(&mut bytes, 16, &self.site.0.to_le_bytes());
        put(&mut bytes, 24, &self.at.to_le_bytes());
        put(&mut bytes, 32, &self.sequence.to_le_bytes());
        put(&mut bytes, 40, &self.object.0.to_le_bytes());
        put(&mut bytes, 48, &self.key.0.to_le_bytes());
        put(&mut bytes, 56, &self.variant.0.to_le_bytes());
        put(&mut bytes, 64, &self.born.0.to_le_bytes());
        put(
            &mut bytes,
            72,
            &self.total.unwrap_or(NO_TOTAL).to_le_bytes(),
        );
        put(&mut bytes, 80, &self.payload_sum.to_le_bytes());
        let sum = sum(seed, bytes.get(..88).unwrap_or_default());
        put(&mut bytes, 88, &sum.to_le_bytes());
        bytes
    }

    /// Reads the header that should lie at `at` in the slab of that seed.
    pub(crate) fn read(bytes: &[u8], seed: u64, at: u64) -> Result<Header, NoHeader> {
        let bytes = bytes.get(..HEADER).ok_or(NoHeader::Damaged)?;
        if bytes.get(..4) != Some(RECORD_MAGIC) {
            let blank = bytes.iter().all(|byte| *byte == 0);
            return Err(if blank {
                NoHeader::Blank
            } else {
                NoHeader::Damaged
            });
        }
        let told = bytes.get(..88).unwrap_or_default();
        if u64_at(bytes, 88) != sum(seed, told) || u64_at(bytes, 24) != at {
            return Err(NoHeader::Damaged);
        }
        let kind = match (bytes.get(4), bytes.get(5)) {
            (Some(&VERSION), Some(1)) => Kind::Head,
            (Some(&VERSION), Some(2)) => Kind::Chunk,
            (Some(&VERSION), Some(3)) => Kind::Gone,
            _ => return Err(NoHeader::Damaged),
        };
        let length = u32_at(bytes, 8);
        let fits = match kind {
            Kind::Head => (HEAD_FIXED..=HEAD_BYTES).contains(&length),
            Kind::Chunk => (1..=CHUNK_BYTES).contains(&length),
            Kind::Gone => length == 0,
        };
        if !fits {
            return Err(NoHeader::Damaged);
        }
        Ok(Header {
            kind,
            every_variant: u16_at(bytes, 6) & EVERY_VARIANT != 0,
            length,
            index: u32_at(bytes, 12),
            site: Site(u32_at(bytes, 16)),
            at,
            sequence: u64_at(bytes, 32),
            object: ObjectId(u64_at(bytes, 40)),
            key: KeyHash(u64_at(bytes, 48)),
            variant: Variant(u64_at(bytes, 56)),
            born: Generation(u64_at(bytes, 64)),
            total: Some(u64_at(bytes, 72)).filter(|total| *total != NO_TOTAL),
            payload_sum: u64_at(bytes, 80),
        })
    }
}

/// Bytes on disk of a record with so much payload.
pub(crate) fn record_bytes(length: u32) -> u64 {
    (HEADER_BYTES + u64::from(length)).next_multiple_of(ALIGN)
}

/// The checksum of everything here.
pub(crate) fn sum(seed: u64, bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(seed, bytes)
}

/// How a slab is named and headed: the same in both, so that a directory listing is enough to serve from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SlabName {
    /// Which start of the store made it; rises with each.
    pub(crate) epoch: u32,
    /// Which of that start's slabs it is.
    pub(crate) number: u32,
    pub(crate) log: Log,
    /// No record in it is of a later generation.
    pub(crate) ceiling: Generation,
}

impl SlabName {
    pub(crate) fn file_name(&self) -> String {
        let log = match self.log {
            Log::Probation => "probation",
            Log::Main => "main",
        };
        format!(
            "{log}-{:08x}-{:08x}-{:016x}.slab",
            self.epoch, self.number, self.ceiling.0
        )
    }

    /// Reads a name that [`SlabName::file_name`] writes, and no other.
    pub(crate) fn parse(name: &str) -> Option<SlabName> {
        let mut parts = name.strip_suffix(".slab")?.split('-');
        let log = match parts.next()? {
            "probation" => Log::Probation,
            "main" => Log::Main,
            _ => return None,
        };
        let parsed = SlabName {
            log,
            epoch: u32::from_str_radix(parts.next()?, 16).ok()?,
            number: u32::from_str_radix(parts.next()?, 16).ok()?,
            ceiling: Generation(u64::from_str_radix(parts.next()?, 16).ok()?),
        };
        (parsed.file_name() == name).then_some(parsed)
    }

    /// What the checksums of this slab's headers are seeded with.
    pub(crate) fn seed(&self, store: u64) -> u64 {
        let mut bytes = [0; 8];
        put(&mut bytes, 0, &self.epoch.to_le_bytes());
        put(&mut bytes, 4, &self.number.to_le_bytes());
        sum(store, &bytes)
    }

    pub(crate) fn header(&self, store: u64) -> [u8; SLAB_HEADER_BYTES] {
        let mut bytes = [0; SLAB_HEADER_BYTES];
        put(&mut bytes, 0, SLAB_MAGIC);
        put(&mut bytes, 8, &[VERSION, u8::from(self.log == Log::Main)]);
        put(&mut bytes, 16, &self.epoch.to_le_bytes());
        put(&mut bytes, 20, &self.number.to_le_bytes());
        put(&mut bytes, 24, &self.ceiling.0.to_le_bytes());
        let sum = sum(store, bytes.get(..56).unwrap_or_default());
        put(&mut bytes, 56, &sum.to_le_bytes());
        bytes
    }
}

/// Bytes before the parts of a head's payload: two lengths.
const HEAD_FIXED: u32 = 8;

/// The payload of a head record, read or about to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    bytes: bytes::Bytes,
}

impl Head {
    /// Joins the parts: the whole key (compared after a lookup), the object's strong validator (empty if it has none), and
    /// whatever the caller needs to answer with. None if they are over [`HEAD_BYTES`].
    pub fn new(key: &[u8], validator: &[u8], stored: &[u8]) -> Option<Head> {
        let length = key.len() + validator.len() + stored.len() + HEAD_FIXED as usize;
        if length > HEAD_BYTES as usize {
            return None;
        }
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(&u32::try_from(key.len()).ok()?.to_le_bytes());
        bytes.extend_from_slice(&u32::try_from(validator.len()).ok()?.to_le_bytes());
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(validator);
        bytes.extend_from_slice(stored);
        Some(Head {
            bytes: bytes.into(),
        })
    }

    pub(crate) fn from_payload(bytes: bytes::Bytes) -> Option<Head> {
        let parts = usize::try_from(u32_at(&bytes, 0))
            .ok()?
            .checked_add(usize::try_from(u32_at(&bytes, 4)).ok()?)?;
        (parts.checked_add(HEAD_FIXED as usize)? <= bytes.len()).then_some(Head { bytes })
    }

    pub(crate) fn payload(&self) -> bytes::Bytes {
        self.bytes.clone()
    }

    /// The key, as it was given.
    pub fn key(&self) -> &[u8] {
        self.part(HEAD_FIXED, u32_at(&self.bytes, 0))
    }

    /// The strong validator, as it was given.
    pub fn validator(&self) -> &[u8] {
        self.part(
            HEAD_FIXED.saturating_add(u32_at(&self.bytes, 0)),
            u32_at(&self.bytes, 4),
        )
    }

    /// The caller's stored head.
    pub fn stored(&self) -> &[u8] {
        let from = HEAD_FIXED
            .saturating_add(u32_at(&self.bytes, 0))
            .saturating_add(u32_at(&self.bytes, 4));
        self.bytes.get(from as usize..).unwrap_or_default()
    }

    fn part(&self, from: u32, length: u32) -> &[u8] {
        let (from, length) = (from as usize, length as usize);
        self.bytes
            .get(from..from.saturating_add(length))
            .unwrap_or_default()
    }
}

fn put(bytes: &mut [u8], at: usize, what: &[u8]) {
    if let Some(there) = bytes.get_mut(at..at + what.len()) {
        there.copy_from_slice(what);
    }
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let eight = bytes
        .get(at..at + 8)
        .and_then(|bytes| bytes.try_into().ok());
    eight.map_or(0, u64::from_le_bytes)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let four = bytes
        .get(at..at + 4)
        .and_then(|bytes| bytes.try_into().ok());
    four.map_or(0, u32::from_le_bytes)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    let two = bytes
        .get(at..at + 2)
        .and_then(|bytes| bytes.try_into().ok());
    two.map_or(0, u16::from_le_bytes)
}
