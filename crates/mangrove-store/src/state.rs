//! What all of a store's threads share.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use smallvec::SmallVec;

use crate::disk::Disk;
use crate::health::{Condition, Health};
use crate::index::Index;
use crate::lock::lock;
use crate::object::{Part, Pinned};
use crate::pipes::{Pipes, Poured};
use crate::policy::Policy;
use crate::queue::Queue;
use crate::recent::Recent;
use crate::record::{HEADER, Header};
use crate::settings::{Clock, Settings};
use crate::slab::Slab;
use crate::words::{Generation, KeyHash, ObjectId, ReadError, Refused, Subject};

/// Bits of a sequence number that count within one start of the store; above them is the epoch.
pub(crate) const EPOCH_SHIFT: u32 = 40;

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: Settings,
    /// Seed of all checksums, and of the caller's hashes.
    pub(crate) secret: u64,
    pub(crate) epoch: u32,
    pub(crate) index: Index,
    pub(crate) policy: Mutex<Policy>,
    pub(crate) tasks: Queue<Task>,
    /// Bytes that the writer has taken from there and not written yet.
    pub(crate) in_hand: AtomicU64,
    pub(crate) reads: Queue<ReadTask>,
    pub(crate) recent: Recent,
    pub(crate) pipes: Arc<Pipes>,
    pub(crate) condition: Condition,
    pub(crate) counts: Counts,
    sequence: AtomicU64,
    /// What was born up to here is dead.
    floor: AtomicU64,
    lock: Mutex<Option<Box<dyn fmt::Debug + Send + Sync>>>,
}

/// What the writer is to do.
pub(crate) enum Task {
    /// Write a record; the header lacks its place and checksum.
    Record {
        header: Header,
        payload: Bytes,
        main: bool,
    },
    /// Make everything before it survive a power loss, then say so.
    Flush(Box<dyn FnOnce(Result<(), Refused>) + Send>),
}

impl Task {
    /// Bytes of memory that it holds.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Task::Record { payload, .. } => payload.len() + HEADER,
            Task::Flush(_) => 0,
        }
    }
}

/// What a reader is to do.
pub(crate) enum ReadTask {
    /// Read a record.
    Read {
        key: KeyHash,
        id: ObjectId,
        part: Part,
        pinned: Pinned,
        done: Box<dyn FnOnce(Result<Bytes, ReadError>) + Send>,
    },
    /// Have the kernel take bytes of files into its memory.
    Bring {
        pieces: SmallVec<[Piece; 1]>,
        done: Box<dyn FnOnce(bool) + Send>,
    },
    /// Put bytes of a file into pipes, past the kernel's memory; where that cannot be, the same as above.
    Pour {
        piece: Piece,
        done: Box<dyn FnOnce(Had) + Send>,
    },
}

/// What became of content that was asked for, to be sent unread.
#[derive(Debug)]
pub enum Had {
    /// It is in the kernel's memory.
    Brought,
    /// It is in pipes, one after another, or as much of it as they hold.
    Poured(SmallVec<[Poured; 2]>),
    /// It could not be had. Nothing is concluded from that: who reads it finds out why.
    Nothing,
}

/// Bytes of a file.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) slab: Arc<Slab>,
    pub(crate) at: u64,
    pub(crate) length: u64,
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Task::Record { header, .. } => header.fmt(f),
            Task::Flush(_) => f.write_str("Flush"),
        }
    }
}

impl fmt::Debug for ReadTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadTask::Read { id, part, .. } => write!(f, "Read({id:?}, {part:?})"),
            ReadTask::Bring { pieces, .. } => write!(f, "Bring({pieces:?})"),
            ReadTask::Pour { piece, .. } => write!(f, "Pour({piece:?})"),
        }
    }
}

/// What happened so far.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) written: AtomicU64,
    pub(crate) bytes_written: AtomicU64,
    pub(crate) refused: AtomicU64,
    /// Accepted, and lost because the disk failed.
    pub(crate) lost: AtomicU64,
    pub(crate) damaged: AtomicU64,
    pub(crate) read_failures: AtomicU64,
    pub(crate) bytes_brought: AtomicU64,
    pub(crate) bytes_poured: AtomicU64,
    pub(crate) promoted: AtomicU64,
    pub(crate) kept_on: AtomicU64,
    pub(crate) evicted: AtomicU64,
    pub(crate) slabs_recycled: AtomicU64,
    pub(crate) replaced: AtomicU64,
    pub(crate) flushes: AtomicU64,
    pub(crate) foreign: AtomicU64,
    pub(crate) bytes_held: AtomicU64,
    pub(crate) scan_slabs: AtomicU64,
    pub(crate) scan_slabs_done: AtomicU64,
    pub(crate) scan_bytes: AtomicU64,
    pub(crate) scan_bytes_done: AtomicU64,
    pub(crate) scan_bytes_read: AtomicU64,
    pub(crate) scan_records: AtomicU64,
    pub(crate) scan_damaged: AtomicU64,
    /// How long it took, once it is over.
    pub(crate) scan_nanos: AtomicU64,
    pub(crate) scan_over: AtomicU64,
}

pub(crate) fn more(count: &AtomicU64, by: u64) {
    count.fetch_add(by, Ordering::Relaxed);
}

pub(crate) struct Parts {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: Settings,
    pub(crate) secret: u64,
    pub(crate) epoch: u32,
    pub(crate) floor: Generation,
    pub(crate) lock: Box<dyn fmt::Debug + Send + Sync>,
}

/// Records that may wait to be written, whatever their size.
const TASKS: usize = 65_536;

impl Inner {
    pub(crate) fn new(parts: Parts) -> Inner {
        let settings = parts.settings;
        Inner {
            index: Index::new(settings.site_bytes),
            policy: Mutex::new(Policy::new()),
            tasks: Queue::new(settings.queue_bytes, TASKS),
            in_hand: AtomicU64::new(0),
            reads: Queue::new(usize::MAX, settings.reads_waiting),
            recent: Recent::new(),
            pipes: Arc::default(),
            // The writer, the scanner, and the readers.
            condition: Condition::new(2 + settings.readers),
            counts: Counts::default(),
            sequence: AtomicU64::new((u64::from(parts.epoch) << EPOCH_SHIFT) + 1),
            floor: AtomicU64::new(parts.floor.0),
            disk: parts.disk,
            clock: parts.clock,
            secret: parts.secret,
            epoch: parts.epoch,
            settings,
            lock: Mutex::new(Some(parts.lock)),
        }
    }

    /// A number higher than all before it, also than those of earlier starts.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.sequence.fetch_add(1, Ordering::Relaxed)
    }

    /// The first id that this start gives to anything.
    pub(crate) fn first_id(&self) -> ObjectId {
        ObjectId(u64::from(self.epoch) << EPOCH_SHIFT)
    }

    /// Lets another process have the folder. Nothing is written after it.
    pub(crate) fn unlock(&self) {
        drop(lock(&self.lock).take());
    }

    pub(crate) fn raise_floor(&self, floor: Generation) {
        self.floor.fetch_max(floor.0, Ordering::Relaxed);
    }

    pub(crate) fn is_alive(&self, subject: &Subject) -> bool {
        let floor = self.floor.load(Ordering::Relaxed);
        // No floor is 0: then also what was born in generation 0 is alive.
        (floor == 0 || subject.born.0 > floor)
            && self
                .settings
                .alive
                .as_ref()
                .is_none_or(|alive| alive(subject))
    }

    /// Bytes that were handed over and are not written yet.
    pub(crate) fn waiting_bytes(&self) -> u64 {
        self.tasks.bytes() as u64 + self.in_hand.load(Ordering::Relaxed)
    }

    pub(crate) fn health(&self) -> Health {
        self.condition.health(self.clock.now())
    }

    pub(crate) fn takes_writes(&self) -> Result<(), Refused> {
        match self.health() {
            Health::Well => Ok(()),
            Health::OutOfUse(_) => Err(Refused::OutOfUse),
        }
    }

    pub(crate) fn gives_reads(&self) -> Result<(), Refused> {
        match self.health() {
            Health::Well => Ok(()),
            Health::OutOfUse(trouble) if trouble.reads_go_on => Ok(()),
            Health::OutOfUse(_) => Err(Refused::OutOfUse),
        }
    }

    pub(crate) fn refused<T>(&self, why: Refused) -> Result<T, Refused> {
        more(&self.counts.refused, 1);
        Err(why)
    }
}
