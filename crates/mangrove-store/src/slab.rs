//! Slabs that are there: open files, by number. A slab that is written out is never written to again.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use crate::disk::DiskFile;
use crate::lock::{read, write};
use crate::record::SlabName;

/// One file of records. Who holds it can read it, also when it is no longer in the folder.
#[derive(Debug)]
pub(crate) struct Slab {
    /// Its number in this process; never used twice.
    pub(crate) id: u32,
    pub(crate) name: SlabName,
    /// Of the checksums of its headers.
    pub(crate) seed: u64,
    pub(crate) file: Arc<dyn DiskFile>,
    /// Every record first written to it has this sequence number or a higher one.
    pub(crate) began: u64,
    /// Bytes of records that the index points to.
    pub(crate) live: AtomicU64,
    /// Bytes of the whole file.
    pub(crate) bytes: AtomicU64,
    /// So many of them, from the start, are known to have come to the disk.
    pub(crate) synced: AtomicU64,
    /// Something about it failed: what the kernel has in its memory, and what it reads again later, may be two things.
    pub(crate) is_doubtful: AtomicBool,
    /// How far the start-up scan is with it. Held while something is taken from it into the index.
    pub(crate) scan: Mutex<Scan>,
}

/// How far the start-up scan is with a slab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scan {
    /// Records up to this byte are known.
    At(u64),
    /// All are; or it was written by this process.
    Done,
    /// It is being removed: nothing more may be taken from it.
    Retired,
}

impl Slab {
    /// Makes what was written until now survive a power loss.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let written = self.bytes.load(Ordering::Relaxed);
        let synced = self.file.sync();
        match synced {
            Ok(()) => self.synced.store(written, Ordering::Release),
            Err(_) => self.doubt(),
        }
        synced
    }

    /// From now on all of it is compared with its checksums each time it is read, as the disk has it: the kernel would give this
    /// process, and the next, what it had to write and could not.
    pub(crate) fn doubt(&self) {
        self.is_doubtful.store(true, Ordering::Release);
        self.file.forget();
    }

    pub(crate) fn is_doubtful(&self) -> bool {
        self.is_doubtful.load(Ordering::Acquire)
    }

    /// Whether the bytes up to there are what the disk will give again.
    pub(crate) fn is_settled(&self, end: u64) -> bool {
        !self.is_doubtful() && end <= self.synced.load(Ordering::Acquire)
    }
}

/// All slabs that the index may point to.
#[derive(Debug, Default)]
pub(crate) struct Slabs {
    by_id: RwLock<HashMap<u32, Arc<Slab>>>,
    next: AtomicU32,
}

impl Slabs {
    pub(crate) fn add(
        &self,
        name: SlabName,
        store_seed: u64,
        file: Arc<dyn DiskFile>,
        bytes: u64,
        began: u64,
        scan: Scan,
    ) -> Arc<Slab> {
        let slab = Arc::new(Slab {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            name,
            seed: name.seed(store_seed),
            file,
            began,
            live: AtomicU64::new(0),
            bytes: AtomicU64::new(bytes),
            synced: AtomicU64::new(0),
            is_doubtful: AtomicBool::new(false),
            scan: Mutex::new(scan),
        });
        write(&self.by_id).insert(slab.id, Arc::clone(&slab));
        slab
    }

    pub(crate) fn by_id(&self, id: u32) -> Option<Arc<Slab>> {
        read(&self.by_id).get(&id).cloned()
    }

    pub(crate) fn forget(&self, id: u32) {
        write(&self.by_id).remove(&id);
    }

    pub(crate) fn count(&self) -> usize {
        read(&self.by_id).len()
    }

    pub(crate) fn live_more(&self, id: u32, bytes: u64) {
        if let Some(slab) = read(&self.by_id).get(&id) {
            slab.live.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    pub(crate) fn live_less(&self, id: u32, bytes: u64) {
        if let Some(slab) = read(&self.by_id).get(&id) {
            slab.live.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
}
