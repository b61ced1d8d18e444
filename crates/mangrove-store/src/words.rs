//! The words that callers and the store share: what names an object, and how much of anything there may be.

use std::fmt;

/// Bytes of a whole chunk. Chunk `n` of an object holds its content from `n * CHUNK_BYTES` on; only the last is shorter.
pub const CHUNK_BYTES: u32 = 1 << 20;
/// Most bytes of a head: key, validator and the caller's stored head together. One past it is refused as
/// [`Refused::TooLarge`].
pub const HEAD_BYTES: u32 = 256 << 10;
/// Most objects that one lookup answers with, the newest first. Older ones are not found until newer ones go.
pub const VARIANTS_ANSWERED: usize = 32;

/// The hash of a key, made by the caller under [`Opened::seed`](crate::Opened::seed): it must be the same after a restart.
/// Two keys may share one, so the caller compares the key in the head it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyHash(pub u64);

/// Which of a key's variants an object is: a hash of what tells them apart, made like [`KeyHash`]. A complete object
/// replaces older ones of the same key and variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Variant(pub u64);

/// The caller's number for a site; quotas go by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Site(pub u32);

/// When something was asked for, counted in purges: the caller raises it with each, and hands on the highest ever used
/// ([`Opened::generation`](crate::Opened::generation)) after a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Generation(pub u64);

/// One object: content that never changes. Another strong validator means another object. Rises with time, over restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId(pub(crate) u64);

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What the liveness of an object is decided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Of its key.
    pub key: KeyHash,
    /// Within its key.
    pub variant: Variant,
    /// Whose it is.
    pub site: Site,
    /// When its newest head was asked for.
    pub born: Generation,
}

/// Why the store does not take something now. Nothing was done; the caller goes on without a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refused {
    /// The queue is full: the disk is slower than what it is asked for. Worth another try later.
    #[error("the disk is behind: its queue is full")]
    Behind,
    /// The disk is out of use; [`Store::health`](crate::Store::health) says why. It comes back by itself.
    #[error("the disk is out of use")]
    OutOfUse,
    /// The site's quota is used up by content that visitors still ask for.
    #[error("the site's share of the disk is used up")]
    SiteFull,
    /// More than [`HEAD_BYTES`] or [`CHUNK_BYTES`]. The same will be refused again.
    #[error("larger than a record may be")]
    TooLarge,
    /// A chunk that is empty, outside of the object, or not as long as its place in the object says.
    #[error("a chunk of the wrong length for its place")]
    Misfit,
    /// The object was removed, replaced or evicted meanwhile. Begin a new one.
    #[error("the object is gone")]
    Gone,
    /// The store is closing.
    #[error("the store is closing")]
    Closing,
}

/// Why nothing was read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is not kept, or not any more. Ask the origin.
    #[error("not kept")]
    Absent,
    /// It was kept and is damaged; it has been dropped and counted. Ask the origin.
    #[error("damaged on the disk, and dropped")]
    Damaged,
    /// The disk did not give it; it has been dropped and counted. Ask the origin.
    #[error("the disk failed: {0}")]
    Failed(std::io::Error),
}
