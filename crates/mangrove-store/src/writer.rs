//! The only one who writes: appends records to the open slabs, makes them durable, and makes room.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;

use crate::disk::{DiskFile, write_whole};
use crate::health::{Trouble, TroubleKind};
use crate::lock::lock;
use crate::object::{Origin, Place};
use crate::record::{ALIGN_BYTES, Header, Kind, Log, SLAB_HEADER, SlabName, record_bytes, sum};
use crate::slab::{Scan, Slab};
use crate::state::{Inner, Task, more};
use crate::words::{Generation, KeyHash, ObjectId, Refused, Site, Variant};

/// Bytes taken from the queue, and written, at once.
const BATCH_BYTES: usize = 4 << 20;
/// A slab takes records of at most so many generations after the first; then a new one is begun. A start begins with the
/// highest number that any slab allows for, so this is also what a restart skips.
const GENERATIONS_A_SLAB: u64 = 1 << 20;
/// Slabs recycled for one new one, before those that remain are let go of unread.
const RECYCLED_AT_ONCE: usize = 16;
/// The file that a disk is tried with after a failure.
pub(crate) const PROBE: &str = "probe";
const PROBE_BYTES: usize = 4_096;
/// The writer's place among the threads that the store's condition watches.
const WRITER_THREAD: usize = 0;

#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) inner: Arc<Inner>,
    pub(crate) probation: LogState,
    pub(crate) main: LogState,
    number: u32,
    /// Slabs were made since names were last synced.
    names_changed: bool,
    unsynced: u64,
    unsynced_since: Option<Duration>,
    flushes: Vec<Flush>,
    /// Bytes that the store may take now: less than its settings say while the disk has no room for more.
    pub(crate) most: u64,
    /// Objects that were replaced, whose graves are to be written.
    graves: Vec<Header>,
}

struct Flush(Box<dyn FnOnce(Result<(), Refused>) + Send>);

impl std::fmt::Debug for Flush {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Flush")
    }
}

/// One log: slabs that are written out, the oldest first, and the one that is written to.
#[derive(Debug, Default)]
pub(crate) struct LogState {
    pub(crate) sealed: VecDeque<Arc<Slab>>,
    open: Option<OpenSlab>,
}

#[derive(Debug)]
struct OpenSlab {
    slab: Arc<Slab>,
    /// Where the next record goes, and up to where everything is written.
    at: u64,
    written: u64,
    pending: Vec<Pending>,
    /// Written to since it was last synced.
    dirty: bool,
}

#[derive(Debug)]
struct Pending {
    header: Header,
    payload: Bytes,
    /// Of a record that is moved: where it was, and the count it keeps.
    moved: Option<(Place, u8)>,
}

/// When the writer wants to be called again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Now,
    At(Duration),
    WhenSomethingComes,
}

impl Writer {
    pub(crate) fn new(
        inner: Arc<Inner>,
        probation: VecDeque<Arc<Slab>>,
        main: VecDeque<Arc<Slab>>,
    ) -> Writer {
        let most = inner.settings.bytes;
        Writer {
            inner,
            probation: LogState {
                sealed: probation,
                open: None,
            },
            main: LogState {
                sealed: main,
                open: None,
            },
            number: 0,
            names_changed: false,
            unsynced: 0,
            unsynced_since: None,
            flushes: Vec::new(),
            most,
            graves: Vec::new(),
        }
    }

    /// Does what waits, as far as the disk lets it.
    pub(crate) fn step(&mut self) -> Next {
        let inner = Arc::clone(&self.inner);
        let now = inner.clock.now();
        if let Some(probe_at) = inner.condition.probe_at() {
            self.give_up_tasks();
            if now < probe_at {
                return Next::At(probe_at);
            }
            let _calling = inner.condition.calling(WRITER_THREAD, now);
            if let Err(error) = self.probe() {
                inner
                    .condition
                    .fails(Trouble::of(&error, reads_go_on(&inner)), now);
                return inner.condition.probe_at().map_or(Next::Now, Next::At);
            }
            inner.condition.works();
        }
        let tasks = inner.tasks.take(BATCH_BYTES);
        let idle = tasks.is_empty();
        let due = self.unsynced >= inner.settings.flush_bytes
            || self
                .unsynced_since
                .is_some_and(|since| now >= since + inner.settings.flush_interval);
        if idle && !due {
            return match self.unsynced_since {
                Some(since) => Next::At(since + inner.settings.flush_interval),
                None => Next::WhenSomethingComes,
            };
        }
        let _calling = inner.condition.calling(WRITER_THREAD, now);
        let in_hand: usize = tasks.iter().map(Task::bytes).sum();
        inner.in_hand.store(in_hand as u64, Ordering::Relaxed);
        let outcome = self
            .write(tasks)
            .and_then(|()| if due { self.flush() } else { Ok(()) });
        inner.in_hand.store(0, Ordering::Relaxed);
        if let Err(error) = outcome {
            self.fails(&error, now);
        }
        Next::Now
    }

    fn write(&mut self, tasks: Vec<Task>) -> io::Result<()> {
        let mut tasks = tasks.into_iter();
        while let Some(task) = tasks.next() {
            let outcome = match task {
                Task::Record {
                    header,
                    payload,
                    main,
                } => {
                    let log = if main || header.kind == Kind::Gone {
                        Log::Main
                    } else {
                        Log::Probation
                    };
                    self.append(log, header, payload)
                }
                Task::Flush(done) => {
                    self.flushes.push(Flush(done));
                    self.flush()
                }
            };
            if let Err(error) = outcome {
                tasks.for_each(|task| self.give_up(task));
                return Err(error);
            }
        }
        self.write_out(Log::Probation)?;
        self.write_out(Log::Main)?;
        for grave in std::mem::take(&mut self.graves) {
            self.append(Log::Main, grave, Bytes::new())?;
        }
        self.write_out(Log::Main)
    }

    /// Adds a record to a log; room is made if its slab is full.
    fn append(&mut self, log: Log, header: Header, payload: Bytes) -> io::Result<()> {
        // What was removed, or evicted with its head, while it waited is not written.
        if header.kind != Kind::Gone && !self.inner.index.has(header.key, header.object) {
            return Ok(());
        }
        if !self.has_room(log, &header) {
            self.seal(log)?;
            self.make_room()?;
            self.open_slab(log, header.born)?;
        }
        self.put(log, header, payload, None)
    }

    /// Adds the copy of a record that stays to the main log. The room for it was made before.
    pub(crate) fn append_moved(
        &mut self,
        header: Header,
        payload: Bytes,
        from: Place,
        asked: u8,
    ) -> io::Result<()> {
        if !self.has_room(Log::Main, &header) {
            self.seal(Log::Main)?;
            self.open_slab(Log::Main, header.born)?;
        }
        self.put(Log::Main, header, payload, Some((from, asked)))
    }

    fn has_room(&self, log: Log, header: &Header) -> bool {
        let slab_bytes = self.inner.settings.slab_bytes;
        self.log(log).open.as_ref().is_some_and(|open| {
            open.at + header.record_bytes() <= slab_bytes && header.born <= open.slab.name.ceiling
        })
    }

    fn put(
        &mut self,
        log: Log,
        mut header: Header,
        payload: Bytes,
        moved: Option<(Place, u8)>,
    ) -> io::Result<()> {
        let secret = self.inner.secret;
        let open = self
            .log_mut(log)
            .open
            .as_mut()
            .ok_or(io::ErrorKind::NotFound)?;
        header.at = open.at;
        header.length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        if moved.is_none() {
            header.payload_sum = sum(secret, &payload);
        }
        open.at += record_bytes(header.length);
        open.pending.push(Pending {
            header,
            payload,
            moved,
        });
        if open.at - open.written >= BATCH_BYTES as u64 {
            self.write_out(log)?;
        }
        Ok(())
    }

    /// Writes what was added, and only then lets the index know.
    pub(crate) fn write_out(&mut self, log: Log) -> io::Result<()> {
        let now = self.inner.clock.now();
        let inner = Arc::clone(&self.inner);
        let Some(open) = self
            .log_mut(log)
            .open
            .as_mut()
            .filter(|open| !open.pending.is_empty())
        else {
            return Ok(());
        };
        let pending = std::mem::take(&mut open.pending);
        let headers: Vec<_> = pending
            .iter()
            .map(|pending| pending.header.write(open.slab.seed))
            .collect();
        let mut slices: Vec<&[u8]> = Vec::with_capacity(pending.len() * 3);
        for (header, pending) in headers.iter().zip(&pending) {
            let used = header.len() + pending.payload.len();
            let padding = used.next_multiple_of(ALIGN_BYTES) - used;
            slices.extend([
                &header[..],
                &pending.payload[..],
                BLANK.get(..padding).unwrap_or_default(),
            ]);
        }
        let bytes = open.at - open.written;
        let slab = Arc::clone(&open.slab);
        let written = write_whole(&*slab.file, open.written, &slices);
        if let Err(error) = written {
            self.lose(&pending);
            return Err(error);
        }
        open.written = open.at;
        open.dirty = true;
        slab.bytes.store(open.at, Ordering::Relaxed);
        self.unsynced += bytes;
        self.unsynced_since.get_or_insert(now);
        more(&inner.counts.bytes_written, bytes);
        more(&inner.counts.written, pending.len() as u64);
        for pending in &pending {
            self.landed(&slab, pending);
        }
        Ok(())
    }

    /// Counts records that were accepted and could not be written.
    fn lose(&self, pending: &[Pending]) {
        more(&self.inner.counts.lost, pending.len() as u64);
        for pending in pending.iter().filter(|pending| pending.moved.is_none()) {
            self.inner
                .index
                .abandon(pending.header.key, pending.header.object);
        }
    }

    fn landed(&mut self, slab: &Slab, pending: &Pending) {
        let header = &pending.header;
        let mut place = Place::new(slab.id, header.at, header.length);
        place.set_verified(); // as it was handed over, or read and compared before it was moved
        let inner = &self.inner;
        if header.kind == Kind::Chunk {
            inner.recent.wrote(place, inner.clock.now());
        }
        let index = &inner.index;
        if let Some((from, asked)) = pending.moved {
            if header.kind != Kind::Gone {
                index.relocate(header, from, place, asked);
            }
            return;
        }
        if header.kind == Kind::Gone {
            return;
        }
        if let Some(up_to) = index.land(header, place, Origin::Written).replaced {
            more(&self.inner.counts.replaced, 1);
            self.graves
                .push(self.inner.grave(header.key, Some(header.variant), up_to));
        }
    }

    /// Makes everything written survive a power loss.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.write_out(Log::Probation)?;
        self.write_out(Log::Main)?;
        self.sync()?;
        for Flush(done) in std::mem::take(&mut self.flushes) {
            done(Ok(()));
        }
        Ok(())
    }

    pub(crate) fn sync(&mut self) -> io::Result<()> {
        for open in [&mut self.probation, &mut self.main]
            .into_iter()
            .filter_map(|log| log.open.as_mut())
        {
            if std::mem::take(&mut open.dirty) {
                open.slab.sync()?;
            }
        }
        if self.names_changed {
            self.inner.disk.sync_names()?;
            self.names_changed = false;
        }
        self.unsynced = 0;
        self.unsynced_since = None;
        more(&self.inner.counts.flushes, 1);
        Ok(())
    }

    /// Ends the slab that a log is written to.
    fn seal(&mut self, log: Log) -> io::Result<()> {
        self.write_out(log)?;
        let Some(open) = self.log_mut(log).open.take() else {
            return Ok(());
        };
        let synced = if open.dirty { open.slab.sync() } else { Ok(()) };
        self.log_mut(log).sealed.push_back(open.slab);
        synced
    }

    fn open_slab(&mut self, log: Log, born: Generation) -> io::Result<()> {
        let inner = Arc::clone(&self.inner);
        self.number = self
            .number
            .checked_add(1)
            .ok_or(io::ErrorKind::StorageFull)?;
        let ceiling = Generation(born.0.saturating_add(GENERATIONS_A_SLAB));
        let name = SlabName {
            epoch: inner.epoch,
            number: self.number,
            log,
            ceiling,
        };
        let file = inner.disk.create(&name.file_name())?;
        let prepared = prepare(
            &*file,
            inner.settings.slab_bytes,
            &name.header(inner.secret),
        );
        if let Err(error) = prepared {
            // It holds nothing; if it stays, the next start's scan removes it.
            let _ = inner.disk.remove(&name.file_name());
            return Err(error);
        }
        self.names_changed = true;
        let slab = inner.index.slabs.add(
            name,
            inner.secret,
            file,
            SLAB_HEADER,
            inner.next_sequence(),
            Scan::Done,
        );
        self.log_mut(log).open = Some(OpenSlab {
            slab,
            at: SLAB_HEADER,
            written: SLAB_HEADER,
            pending: Vec::new(),
            dirty: true,
        });
        Ok(())
    }

    /// Recycles slabs until there is room for one more, and for what may move while another is recycled.
    fn make_room(&mut self) -> io::Result<()> {
        let slab_bytes = self.inner.settings.slab_bytes;
        self.watch_free_room();
        for round in 0.. {
            let (bytes, slabs) = self.held();
            self.inner.counts.bytes_held.store(bytes, Ordering::Relaxed);
            let fits =
                bytes + slab_bytes * 2 <= self.most && slabs + 2 <= self.inner.settings.slabs;
            let Some(log) = self.comes_up().filter(|_| !fits) else {
                break;
            };
            let unread = round >= RECYCLED_AT_ONCE;
            self.recycle(log, unread)?;
        }
        Ok(())
    }

    fn comes_up(&self) -> Option<Log> {
        let bytes = |log: &LogState| {
            log.sealed
                .iter()
                .map(|slab| slab.bytes.load(Ordering::Relaxed))
                .sum::<u64>()
        };
        let (probation, main) = (bytes(&self.probation), bytes(&self.main));
        let log = lock(&self.inner.policy).comes_up(probation, main);
        let other = if log == Log::Main {
            Log::Probation
        } else {
            Log::Main
        };
        [log, other]
            .into_iter()
            .find(|log| !self.log(*log).sealed.is_empty())
    }

    /// Bytes and number of all slabs; one that is written to counts as full.
    fn held(&self) -> (u64, usize) {
        let (mut bytes, mut slabs) = (0, 0);
        for log in [&self.probation, &self.main] {
            bytes += log
                .sealed
                .iter()
                .map(|slab| slab.bytes.load(Ordering::Relaxed))
                .sum::<u64>();
            slabs += log.sealed.len();
            if log.open.is_some() {
                bytes += self.inner.settings.slab_bytes;
                slabs += 1;
            }
        }
        (bytes, slabs)
    }

    /// Lets the store grow only while the disk has room for others too.
    fn watch_free_room(&mut self) {
        let settings = &self.inner.settings;
        let Ok(free) = self.inner.disk.free_bytes() else {
            return;
        };
        let (held, _) = self.held();
        let wanted = settings.keep_free.saturating_add(settings.slab_bytes * 2);
        self.most = if free >= wanted {
            settings.bytes
        } else {
            let missing = wanted - free;
            held.saturating_add(settings.slab_bytes * 2)
                .saturating_sub(missing)
                .min(settings.bytes)
        };
    }

    fn fails(&mut self, error: &io::Error, now: Duration) {
        let inner = Arc::clone(&self.inner);
        let trouble = Trouble::of(error, true);
        // What the open slabs were told last is not certain: they are written to no more.
        for log in [Log::Probation, Log::Main] {
            if let Some(open) = self.log_mut(log).open.take() {
                self.lose(&open.pending);
                open.slab.doubt();
                self.log_mut(log).sealed.push_back(open.slab);
            }
        }
        self.graves.clear();
        self.unsynced = 0;
        self.unsynced_since = None;
        if trouble.kind == TroubleKind::Full {
            // Letting go takes no room. What was asked for again goes too: it could not be moved.
            for _ in 0..2 {
                // Probation first: main holds the graves of what is in it.
                let log = if self.probation.sealed.is_empty() {
                    Log::Main
                } else {
                    Log::Probation
                };
                let _ = self.recycle(log, true);
            }
        }
        inner.condition.fails(trouble, now);
        self.give_up_tasks();
    }

    fn give_up_tasks(&mut self) {
        for Flush(done) in std::mem::take(&mut self.flushes) {
            done(Err(Refused::OutOfUse));
        }
        let inner = Arc::clone(&self.inner);
        for task in inner.tasks.take(usize::MAX) {
            self.give_up(task);
        }
    }

    fn give_up(&self, task: Task) {
        match task {
            Task::Record { header, .. } => {
                more(&self.inner.counts.lost, 1);
                self.inner.index.abandon(header.key, header.object);
            }
            Task::Flush(done) => done(Err(Refused::OutOfUse)),
        }
    }

    /// Does with a file of its own what the writer does with slabs.
    fn probe(&mut self) -> io::Result<()> {
        let disk = Arc::clone(&self.inner.disk);
        match disk.remove(PROBE) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = disk.create(PROBE)?;
        let written = write_whole(&*file, 0, &[&[0x6d; PROBE_BYTES]]).and_then(|()| file.sync());
        let mut back = [0; PROBE_BYTES];
        let read = written.and_then(|()| crate::disk::read_whole(&*file, 0, &mut back));
        disk.remove(PROBE)?;
        disk.sync_names()?;
        read
    }

    /// Writes and syncs everything that waits, before the end.
    pub(crate) fn finish(&mut self) {
        while !self.inner.tasks.is_empty() && self.inner.condition.probe_at().is_none() {
            self.step();
        }
        let now = self.inner.clock.now();
        if self.inner.condition.probe_at().is_none()
            && let Err(error) = self.flush()
        {
            self.fails(&error, now);
        }
        self.give_up_tasks();
    }

    fn log(&self, log: Log) -> &LogState {
        match log {
            Log::Probation => &self.probation,
            Log::Main => &self.main,
        }
    }

    pub(crate) fn log_mut(&mut self, log: Log) -> &mut LogState {
        match log {
            Log::Probation => &mut self.probation,
            Log::Main => &mut self.main,
        }
    }

    /// Whether a slab of probation was begun before a record of that number was written.
    pub(crate) fn probation_reaches_back(&self, sequence: u64) -> bool {
        let open = self.probation.open.iter().map(|open| &open.slab);
        self.probation
            .sealed
            .iter()
            .chain(open)
            .any(|slab| slab.began < sequence)
    }
}

const BLANK: [u8; ALIGN_BYTES] = [0; ALIGN_BYTES];

fn reads_go_on(inner: &Inner) -> bool {
    match inner.health() {
        crate::health::Health::OutOfUse(trouble) => trouble.reads_go_on,
        crate::health::Health::Well => true,
    }
}

fn prepare(file: &dyn DiskFile, slab_bytes: u64, header: &[u8]) -> io::Result<()> {
    file.reserve(slab_bytes)?;
    write_whole(file, 0, &[header])
}

impl Inner {
    /// The header of a grave.
    pub(crate) fn grave(&self, key: KeyHash, variant: Option<Variant>, up_to: ObjectId) -> Header {
        Header {
            kind: Kind::Gone,
            every_variant: variant.is_none(),
            length: 0,
            index: 0,
            site: Site(0),
            at: 0,
            sequence: self.next_sequence(),
            object: up_to,
            key,
            variant: variant.unwrap_or(Variant(0)),
            born: Generation(0),
            total: None,
            payload_sum: 0,
        }
    }
}
