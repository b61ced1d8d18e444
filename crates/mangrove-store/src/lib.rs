//! The disk tier of the cache: objects in slabs that survive anything, found through an index in memory.
//!
//! It knows nothing of HTTP and holds no socket. Keys, heads and content are bytes; whose they are, how old, and whether they
//! were purged is told in numbers that the caller gives. Nothing here makes a serving thread wait for a disk.
//!
//! The flow:
//!
//! 1. [`Store::open`] takes the folder (one process at a time), reads the [`Journal`] of purges, and is in use at once, while a
//!    scan brings back what the slabs hold. The format is told in `docs/store-format.md`.
//! 2. [`Store::lookup`] answers from memory with a [`Handle`] for each variant. The caller reads its [`Head`], compares the key,
//!    and reads chunks ([`Handle::read_chunk_then`], on a reader's thread), or sends them from the file
//!    ([`Handle::chunk_place`]).
//!    A person who looks asks [`Store::peek`] and [`Store::keys`] instead: nothing stays longer for that.
//! 3. [`Store::begin`] gives a [`Writing`], which takes a head and chunks in any order and hands them to the writer's queue; or
//!    refuses them at once.
//! 4. When the store is full, the oldest slab comes up: what was asked for again moves to a second log, the rest leaves.
//! 5. A disk that is full, failing or hung shows in [`Store::health`]; everything is refused until it works again, which the
//!    store finds out by itself.
//!
//! ```
//! use bytes::Bytes;
//! use mangrove_store::{Generation, Head, KeyHash, NewObject, Settings, Site, Store, Variant};
//!
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! let settings = Settings { bytes: 64 << 20, slab_bytes: 4 << 20, keep_free: 0, ..Settings::default() };
//! let opened = Store::open(folder, settings)?;
//! let (key, born) = (KeyHash(0x6e65_7773), Generation(opened.generation.0 + 1));
//!
//! let new = NewObject { key, variant: Variant(0), site: Site(1), born, total: Some(5) };
//! let mut writing = opened.store.begin(new)?;
//! writing.try_head(born, Some(5), &Head::new(b"/news", b"\"v1\"", b"200 OK").unwrap())?;
//! writing.try_chunk(0, Bytes::from_static(b"hello"))?;
//! opened.store.flush()?; // only so that this example can read it now, and after a power loss
//!
//! let found = opened.store.lookup(key);
//! let handle = found.first().unwrap();
//! assert!(handle.is_complete());
//! assert_eq!(handle.read_head()?.key(), b"/news");
//! assert_eq!(&handle.read_chunk(0)?[..], b"hello");
//! opened.store.close();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cursor;
mod disk;
mod handle;
mod health;
mod index;
mod journal;
mod lock;
mod missing;
mod object;
mod pipes;
mod policy;
mod queue;
pub mod raw;
mod recent;
mod record;
mod recycle;
mod scan;
mod settings;
mod slab;
mod state;
mod store;
mod walk;
mod words;
mod writer;
mod writing;

pub use cursor::Cursor;
pub use disk::{Disk, DiskFile, Folder, InPipe, Reach};
pub use handle::{ChunkPlace, Handle};
pub use health::{
    FAILED_READS, FIRST_PROBE_AFTER, HUNG_AFTER, Health, PROBES_AT_LEAST_EVERY, Trouble,
    TroubleKind,
};
pub use journal::{ENTRY_BYTES, JOURNAL_BYTES, Journal, JournalError, Replayed, Ticket};
pub use object::Part;
pub use pipes::{PIPE_BYTES, PIPES, Pipe, Poured};
pub use recent::{
    REGAINED_SECONDS, REMEMBERED_CHUNKS, REMEMBERED_SECONDS, SEEN_WHOLE_SECONDS, There,
};
pub use record::Head;
pub use settings::{
    Alive, Clock, MachineClock, SLAB_BYTES_LEAST, SLAB_BYTES_MOST, SLABS_LEAST, SLABS_MOST,
    Settings,
};
pub use state::Had;
pub use store::{Hands, OpenError, Opened, Progress, Statistics, Store};
pub use words::{
    CHUNK_BYTES, Generation, HEAD_BYTES, KeyHash, ObjectId, ReadError, Refused, Site, Subject,
    VARIANTS_ANSWERED, Variant,
};
pub use writing::{NewObject, Writing};
