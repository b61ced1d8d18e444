//! The store itself: opened, asked, and closed.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use smallvec::SmallVec;

use crate::cursor::Cursor;
use crate::disk::{Disk, Folder};
use crate::handle::Handle;
use crate::health::Health;
use crate::journal::{self, Journal, Replayed};
use crate::lock::lock;
use crate::record::{Log, SlabName, sum};
use crate::scan::Scanner;
use crate::settings::{Clock, MachineClock, Settings};
use crate::slab::{Scan, Slab};
use crate::state::{EPOCH_SHIFT, Inner, Parts, Task, more};
use crate::words::{Generation, KeyHash, ObjectId, Refused, Site, Subject, Variant};
use crate::writer::{Next, PROBE, Writer};
use crate::writing::{NewObject, Writing};

const LOCK: &str = "lock";
/// Epochs that fit into a sequence number: starts of one store.
const EPOCHS: u32 = 1 << (64 - EPOCH_SHIFT);
/// A thread without anything to do looks around this often.
const IDLE: Duration = Duration::from_secs(1);

/// The disk tier. Clones are the same store.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
    threads: Arc<Mutex<Vec<JoinHandle<()>>>>,
    readers: Arc<Mutex<Vec<JoinHandle<()>>>>,
    journal: Journal,
    scan_began: Duration,
}

/// What opening a store gives.
#[derive(Debug)]
pub struct Opened {
    /// The store, in use; what it held before comes back while its scan goes on.
    pub store: Store,
    /// The journal of purges.
    pub journal: Journal,
    /// What was in it. Apply it before the first lookup.
    pub replayed: Replayed,
    /// No generation over this one was ever used. Go on above it.
    pub generation: Generation,
    /// For the caller's hashes of keys and variants: the same as long as the store's content is.
    pub seed: u64,
}

/// Why a store was not opened. The caller goes on in memory.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it: an edge that drains. Try again until it is gone.
    #[error("another process uses the store")]
    InUse,
    /// Its settings make no sense.
    #[error("{0}")]
    Settings(&'static str),
    /// The disk failed. Worth another try later.
    #[error("the disk failed: {0}")]
    Disk(#[from] io::Error),
    /// The store was opened sixteen million times. Remove its folder.
    #[error("the store's numbers are used up: remove its folder")]
    UsedUp,
}

/// How far the start-up scan is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Slabs there were, and how many are known.
    pub slabs: u64,
    /// Of those, how many are done.
    pub slabs_done: u64,
    /// Bytes of slabs there were,
    pub bytes: u64,
    /// and how many are behind the scan, most of them skipped.
    pub bytes_done: u64,
    /// Bytes that were really read.
    pub bytes_read: u64,
    /// Records found.
    pub records: u64,
    /// Stretches that held no record, and slabs that were not what their names say.
    pub damaged: u64,
    /// Files in the folder that are none of the store's. They are left alone.
    pub foreign: u64,
    /// How long it has taken until now, or took.
    pub took: Duration,
    /// Everything is known.
    pub is_over: bool,
}

/// What a store holds and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Objects that can be found.
    pub objects: usize,
    /// Of those, how many are complete.
    pub complete: usize,
    /// Bytes of memory that the index takes, about.
    pub index_bytes: usize,
    /// Slabs, and so files.
    pub slabs: usize,
    /// Bytes of slabs when room was last made; a slab that is written to counts as full.
    pub bytes_held: u64,
    /// Records written, and their bytes.
    pub written: u64,
    /// Bytes of those.
    pub bytes_written: u64,
    /// Writes and reads refused, for any reason.
    pub refused: u64,
    /// Writes accepted and lost because the disk failed.
    pub lost: u64,
    /// Records found damaged when they were read.
    pub damaged: u64,
    /// Reads that the disk did not answer.
    pub read_failures: u64,
    /// Bytes that were brought into the kernel's memory, to be sent from there.
    pub bytes_brought: u64,
    /// Bytes that were read past the kernel's memory, into pipes, to be sent from there.
    pub bytes_poured: u64,
    /// Records moved from probation to main, because they were asked for.
    pub promoted: u64,
    /// Records of main written again, because they were asked for.
    pub kept_on: u64,
    /// Records let go of to make room.
    pub evicted: u64,
    /// Slabs whose room was given back.
    pub slabs_recycled: u64,
    /// Times that newer objects took the place of older ones.
    pub replaced: u64,
    /// Times that everything written was made durable.
    pub flushes: u64,
}

/// The work of a store that runs no threads: somebody calls each part by hand, on a clock of their own.
#[derive(Debug)]
pub struct Hands {
    inner: Arc<Inner>,
    writer: Writer,
    scanner: Scanner,
    journal: Journal,
}

impl Store {
    /// Opens the store in a folder, or makes one, and starts its threads: a writer, a scanner, the journal's, and readers.
    pub fn open(folder: &Path, settings: Settings) -> Result<Opened, OpenError> {
        let disk = Arc::new(Folder::open(folder)?);
        let (opened, hands) = Store::open_on(disk, Arc::new(MachineClock::default()), settings)?;
        hands.start(&opened.store)?;
        Ok(opened)
    }

    /// Opens the store on any disk, with any clock, and starts nothing.
    pub fn open_on(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> Result<(Opened, Hands), OpenError> {
        settings.check().map_err(OpenError::Settings)?;
        let lock = match disk.lock(LOCK) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(OpenError::InUse);
            }
            lock => lock?,
        };
        let names = disk.list()?;
        let new_secret = match settings.secret {
            Some(secret) => secret,
            None => random()?,
        };
        let (journal, replayed) =
            Journal::open(Arc::clone(&disk), Arc::clone(&clock), &names, new_secret)?;
        let slabs: Vec<SlabName> = names
            .iter()
            .filter_map(|name| SlabName::parse(name))
            .collect();
        let epoch = slabs
            .iter()
            .map(|slab| slab.epoch)
            .max()
            .unwrap_or(0)
            .saturating_add(1);
        if epoch >= EPOCHS {
            return Err(OpenError::UsedUp);
        }
        let ceiling = slabs
            .iter()
            .map(|slab| slab.ceiling)
            .max()
            .unwrap_or_default();
        let generation = journal
            .highest()
            .max(ceiling)
            .max(replayed.floor.unwrap_or_default());
        let inner = Arc::new(Inner::new(Parts {
            disk,
            clock,
            settings,
            secret: journal.secret(),
            epoch,
            floor: replayed.floor.unwrap_or_default(),
            lock,
        }));
        inner.remove_leftovers(&names, replayed.fresh)?;
        let slabs = if replayed.fresh {
            Vec::new()
        } else {
            inner.open_slabs(slabs)?
        };
        let of = |log| {
            let mut of: Vec<_> = slabs
                .iter()
                .filter(|slab| slab.name.log == log)
                .map(Arc::clone)
                .collect();
            of.sort_unstable_by_key(|slab| (slab.name.epoch, slab.name.number));
            VecDeque::from(of)
        };
        let hands = Hands {
            writer: Writer::new(Arc::clone(&inner), of(Log::Probation), of(Log::Main)),
            scanner: Scanner::new(Arc::clone(&inner), slabs),
            journal: journal.clone(),
            inner: Arc::clone(&inner),
        };
        let seed = sum(inner.secret, b"what keys and variants are hashed with");
        let store = Store {
            inner,
            threads: Arc::default(),
            readers: Arc::default(),
            journal: journal.clone(),
            scan_began: hands.scanner.began(),
        };
        Ok((
            Opened {
                store,
                journal,
                replayed,
                generation,
                seed,
            },
            hands,
        ))
    }

    /// The objects of a key, the newest first, at most [`VARIANTS_ANSWERED`](crate::VARIANTS_ANSWERED). Waits for no disk. None
    /// while the disk cannot be read.
    pub fn lookup(&self, key: KeyHash) -> SmallVec<[Handle; 2]> {
        // Most of what a visitor misses in memory is not here either: that is known at once.
        if !self.inner.index.has_any(key) || self.inner.gives_reads().is_err() {
            return SmallVec::new();
        }
        let found = self
            .inner
            .index
            .find(key, &|subject| self.inner.is_alive(subject));
        found
            .into_iter()
            .map(|found| Handle::new(Arc::clone(&self.inner), found))
            .collect()
    }

    /// The same for a person who looks: nothing is counted as asked for.
    pub fn peek(&self, key: KeyHash) -> SmallVec<[Handle; 2]> {
        if self.inner.gives_reads().is_err() {
            return SmallVec::new();
        }
        let alive = |subject: &Subject| self.inner.is_alive(subject);
        let found = self.inner.index.peek(key, &alive).into_iter();
        found
            .map(|found| Handle::new(Arc::clone(&self.inner), found))
            .collect()
    }

    /// Whether an object of a key and variant was begun before another, and its head is not written yet.
    pub fn is_begun(&self, key: KeyHash, variant: Variant, before: ObjectId) -> bool {
        self.inner.index.is_begun(key, variant, before)
    }

    /// Some of the keys of which something is kept, of one site or of all: from the cursor on, at most `most` and often fewer
    /// (also none), and where the next page begins; none after the last. Waits for no disk, and looks at a sixty-fourth of all
    /// objects: for people.
    pub fn keys(
        &self,
        from: Cursor,
        most: usize,
        site: Option<Site>,
    ) -> (Vec<KeyHash>, Option<Cursor>) {
        let wanted = |subject: &Subject| {
            site.is_none_or(|site| site == subject.site) && self.inner.is_alive(subject)
        };
        self.inner.index.keys(from, most.max(1), &wanted)
    }

    /// Begins a new object.
    pub fn begin(&self, new: NewObject) -> Result<Writing, Refused> {
        Writing::begin(&self.inner, new)
    }

    /// Counts a hit that was answered from memory, so that the disk keeps what is wanted.
    pub fn touch(&self, key: KeyHash, variant: Variant) {
        self.inner.index.touch(key, variant);
    }

    /// Removes every object of a key, also those being written; how many there were. After a restart too once that is written;
    /// what must hold after any crash, and before the scan is over, belongs in the journal.
    pub fn remove(&self, key: KeyHash) -> usize {
        let up_to = ObjectId(self.inner.next_sequence());
        self.inner.remove(key, None, up_to)
    }

    /// Lets go of what the filter does not want, until the next start; how many objects. Lookups go on meanwhile. It gives back
    /// memory: what is purged is never found anyway.
    pub fn retain(&self, filter: impl Fn(&Subject) -> bool) -> usize {
        self.inner.index.retain(&filter)
    }

    /// Whatever was born up to here is dead from now on, until the next start.
    pub fn raise_floor(&self, floor: Generation) {
        self.inner.raise_floor(floor);
    }

    /// The lowest generation in which anything kept was born; none if nothing is kept, or while not everything kept is known.
    /// Purges before it need not be remembered.
    pub fn oldest(&self) -> Option<Generation> {
        if !self.progress().is_over {
            return None;
        }
        self.inner.index.oldest()
    }

    /// Gives sites quotas of their own, in bytes on disk, or none. What they have beyond that leaves, the oldest first. Looks at
    /// every object where a site had no quota before: not for requests.
    pub fn set_quotas(&self, quotas: &[(Site, Option<u64>)]) {
        self.inner.index.set_quotas(quotas);
    }

    /// Bytes of memory that wait to be written: nobody else may hold them any more.
    pub fn waiting_bytes(&self) -> u64 {
        self.inner.waiting_bytes()
    }

    /// Bytes on disk of what is kept of a site.
    pub fn site_bytes(&self, site: Site) -> u64 {
        self.inner.index.site_bytes(site)
    }

    /// Whether the disk is in use.
    pub fn health(&self) -> Health {
        self.inner.health()
    }

    /// How far the start-up scan is.
    pub fn progress(&self) -> Progress {
        let counts = &self.inner.counts;
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        // Acquire: whoever sees that it is over sees how long it took.
        let is_over = counts.scan_over.load(Ordering::Acquire) != 0;
        Progress {
            slabs: count(&counts.scan_slabs),
            slabs_done: count(&counts.scan_slabs_done),
            bytes: count(&counts.scan_bytes),
            bytes_done: count(&counts.scan_bytes_done),
            bytes_read: count(&counts.scan_bytes_read),
            records: count(&counts.scan_records),
            damaged: count(&counts.scan_damaged),
            foreign: count(&counts.foreign),
            took: match is_over {
                true => Duration::from_nanos(count(&counts.scan_nanos)),
                false => self.inner.clock.now().saturating_sub(self.scan_began),
            },
            is_over,
        }
    }

    /// What it holds and did. Looks at every object: for people and metrics, not for requests.
    pub fn statistics(&self) -> Statistics {
        let (objects, complete, index_bytes) = self.inner.index.size();
        let counts = &self.inner.counts;
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Statistics {
            objects,
            complete,
            index_bytes,
            slabs: self.inner.index.slabs.count(),
            bytes_held: count(&counts.bytes_held),
            written: count(&counts.written),
            bytes_written: count(&counts.bytes_written),
            refused: count(&counts.refused),
            lost: count(&counts.lost),
            damaged: count(&counts.damaged),
            read_failures: count(&counts.read_failures),
            bytes_brought: count(&counts.bytes_brought),
            bytes_poured: count(&counts.bytes_poured),
            promoted: count(&counts.promoted),
            kept_on: count(&counts.kept_on),
            evicted: count(&counts.evicted),
            slabs_recycled: count(&counts.slabs_recycled),
            replaced: count(&counts.replaced),
            flushes: count(&counts.flushes),
        }
    }

    /// Calls `done` once everything accepted until now survives a power loss, or will not be written.
    pub fn flush_then(
        &self,
        done: impl FnOnce(Result<(), Refused>) + Send + 'static,
    ) -> Result<(), Refused> {
        self.inner.tasks.push_anyway(Task::Flush(Box::new(done)))
    }

    /// Waits until everything accepted until now survives a power loss, or will not be written.
    pub fn flush(&self) -> Result<(), Refused> {
        let told = Arc::new((Mutex::new(None), Condvar::new()));
        let teller = Arc::clone(&told);
        self.flush_then(move |result| {
            *lock(&teller.0) = Some(result);
            teller.1.notify_all();
        })?;
        let mut result = lock(&told.0);
        loop {
            if let Some(result) = *result {
                return result;
            }
            result = told.1.wait(result).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes nothing more, writes what was accepted, and lets another process have the folder. What was found can still be
    /// read, on the readers' threads too: their files stay open. Waits for the disk.
    pub fn hand_over(&self) {
        self.inner.tasks.close();
        self.journal.close();
        for thread in std::mem::take(&mut *lock(&self.threads)) {
            // A thread that panicked has nothing to say; the next start reads what it left.
            let _ = thread.join();
        }
        self.inner.unlock();
    }

    /// Hands over, and ends the readers' threads as well. Handles can still be read by whoever waits himself.
    pub fn close(&self) {
        self.hand_over();
        self.inner.reads.close();
        for reader in std::mem::take(&mut *lock(&self.readers)) {
            let _ = reader.join();
        }
    }
}

impl Hands {
    /// Takes some more of what the slabs held into the index. False once all is.
    pub fn scan(&mut self) -> bool {
        self.scanner.step().is_some()
    }

    /// Writes what waits to be written, or probes a disk that failed. False if there is nothing to do now.
    pub fn write(&mut self) -> bool {
        self.writer.step() == Next::Now
    }

    /// Does one read that waits. False if there is none.
    pub fn read(&mut self) -> bool {
        self.inner.read_next(0)
    }

    /// Writes the purges that wait.
    pub fn commit(&mut self) {
        self.journal.step();
    }

    /// Writes and syncs everything that waits, and lets another have the disk.
    pub fn finish(mut self) {
        self.writer.finish();
        self.journal.step();
        self.journal.finish();
        self.inner.unlock();
    }

    /// Starts the threads that do all this.
    fn start(self, store: &Store) -> io::Result<()> {
        let Hands {
            inner,
            mut writer,
            mut scanner,
            journal,
        } = self;
        let start_in = |threads: &Mutex<Vec<JoinHandle<()>>>,
                        name: &str,
                        work: Box<dyn FnOnce() + Send>|
         -> io::Result<()> {
            let thread = std::thread::Builder::new().name(name.to_owned());
            lock(threads).push(thread.spawn(work)?);
            Ok(())
        };
        let start = |name: &str, work| start_in(&store.threads, name, work);
        start(
            "store-journal",
            Box::new(move || {
                while journal.wait(IDLE) {
                    journal.step();
                }
                journal.finish();
            }),
        )?;
        let its = Arc::clone(&inner);
        start(
            "store-writer",
            Box::new(move || {
                while !(its.tasks.is_closed() && its.tasks.is_empty()) {
                    match writer.step() {
                        Next::Now => {}
                        Next::At(then) => its
                            .tasks
                            .wait(then.saturating_sub(its.clock.now()).min(IDLE)),
                        Next::WhenSomethingComes => its.tasks.wait(IDLE),
                    }
                }
                writer.finish();
                its.unlock();
            }),
        )?;
        let its = Arc::clone(&inner);
        start(
            "store-scan",
            Box::new(move || {
                while !its.tasks.is_closed() {
                    match scanner.step() {
                        None => break,
                        Some(Next::At(then)) => {
                            std::thread::sleep(then.saturating_sub(its.clock.now()).min(IDLE));
                        }
                        Some(Next::Now | Next::WhenSomethingComes) => {}
                    }
                }
            }),
        )?;
        for reader in 0..inner.settings.readers {
            let its = Arc::clone(&inner);
            start_in(
                &store.readers,
                "store-read",
                Box::new(move || {
                    while its.read_next(reader) || !its.reads.is_closed() {
                        its.reads.wait(IDLE);
                    }
                }),
            )?;
        }
        Ok(())
    }
}

impl Inner {
    /// Removes what an earlier start left half done, and counts what is none of ours.
    fn remove_leftovers(&self, names: &[String], fresh: bool) -> io::Result<()> {
        for name in names {
            let is_slab = SlabName::parse(name).is_some();
            if matches!(name.as_str(), LOCK | journal::NAME) || is_slab && !fresh {
                continue;
            }
            // Without its journal's secret a slab cannot be read.
            if is_slab || name == PROBE {
                self.disk.remove(name)?;
            } else if name != journal::NEW_NAME {
                more(&self.counts.foreign, 1);
            }
        }
        Ok(())
    }

    fn open_slabs(&self, names: Vec<SlabName>) -> Result<Vec<Arc<Slab>>, OpenError> {
        let mut slabs = Vec::with_capacity(names.len());
        for name in names {
            let file = match self.disk.open(&name.file_name()) {
                Ok(file) => file,
                // A link, a folder: it bears our name and is none of ours.
                Err(error) if is_no_file(&error) => {
                    more(&self.counts.foreign, 1);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let bytes = file.length()?;
            let began = u64::from(name.epoch) << EPOCH_SHIFT;
            slabs.push(
                self.index
                    .slabs
                    .add(name, self.secret, file, bytes, began, Scan::At(0)),
            );
        }
        Ok(slabs)
    }
}

fn is_no_file(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let told = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(told, Some(Errno::LOOP | Errno::ISDIR | Errno::NXIO))
        || error.kind() == io::ErrorKind::InvalidInput
}

fn random() -> io::Result<u64> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(u64::from_le_bytes(bytes))
}
