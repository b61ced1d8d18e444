//! The journal of purges: what is in it when [`Ticket::wait`] returns is in it after a power loss.
//!
//! Entries are the caller's; each has the generation that it made. Those that come while the disk is busy are written and
//! synced together. After any failure the file is not trusted: the next commit writes a whole new one in its place, from
//! memory, until that works.
//!
//! A purge must never be lost in silence. Each entry says up to where the file was durable when it was written, and after a
//! commit a *mark* says so too. So an unreadable stretch is known to be either the end of what was never acknowledged (it is
//! cut), or the loss of a purge: then everything born until then counts as purged ([`Replayed::floor`]).

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::disk::{Disk, DiskFile, read_whole, write_whole};
use crate::health::{FIRST_PROBE_AFTER, PROBES_AT_LEAST_EVERY};
use crate::lock::lock;
use crate::record::{sum, u32_at, u64_at};
use crate::settings::Clock;
use crate::words::Generation;

/// Most bytes of one entry. One past it is [`JournalError::TooLarge`].
pub const ENTRY_BYTES: usize = 64 << 10;
/// Most bytes of all entries. Past it an entry is [`JournalError::Full`]: compact, or fold purges into wider ones.
pub const JOURNAL_BYTES: usize = 64 << 20;

pub(crate) const NAME: &str = "purges.journal";
pub(crate) const NEW_NAME: &str = "purges.journal.new";

const MAGIC: &[u8; 8] = b"MGJOURNL";
const ENTRY_MAGIC: &[u8; 4] = b"MGJE";
const VERSION: u8 = 1;
const FILE_HEADER: usize = 64;
const ENTRY_HEADER: usize = 40;
const ENTRY_ALIGN: usize = 8;
/// Room is taken on the disk in steps of this, so that a full disk still takes purges.
const RESERVE: u64 = 1 << 20;

/// Why an entry will not survive a restart. What it says holds in memory all the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// Over [`ENTRY_BYTES`]. The same will be refused again.
    #[error("an entry of {0} bytes; the most is 65536")]
    TooLarge(usize),
    /// Over [`JOURNAL_BYTES`] in all. Compact.
    #[error("the journal is full; it must be compacted first")]
    Full,
    /// The disk failed. The entry is tried again by itself, and is durable once the journal is
    /// [well](Journal::is_well) again.
    #[error(
        "the disk failed ({0}); the purge holds until a restart, and is tried to be written again"
    )]
    Disk(String),
    /// The journal is closing.
    #[error("the journal is closing")]
    Closing,
}

/// What was found when the journal was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// All entries, in the order of their writing.
    pub entries: Vec<(Generation, Bytes)>,
    /// Bytes at the end that were never acknowledged and not whole.
    pub cut: u64,
    /// A purge was lost to damage, or the whole journal: everything born up to here counts as purged.
    pub floor: Option<Generation>,
    /// There was no journal (or none that could be read), and one was made. Nothing is kept on disk then.
    pub fresh: bool,
}

/// The contents of a journal's file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) secret: u64,
    pub(crate) highest: Generation,
    pub(crate) floor: Option<Generation>,
    pub(crate) entries: Vec<(Generation, Bytes)>,
    pub(crate) cut: u64,
}

/// Reads a journal's file; none if its header is not whole.
pub(crate) fn read(file: &[u8]) -> Option<Read> {
    let header = file.get(..FILE_HEADER)?;
    if header.get(..8) != Some(MAGIC)
        || header.get(8) != Some(&VERSION)
        || u64_at(header, 56) != sum(0, header.get(..56)?)
    {
        return None;
    }
    let mut read = Read {
        secret: u64_at(header, 16),
        highest: Generation(u64_at(header, 24)),
        floor: Some(Generation(u64_at(header, 32))).filter(|floor| floor.0 > 0),
        ..Read::default()
    };
    // What was reserved and never written is blank, and no damage.
    let content = file
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    let mut at = FILE_HEADER;
    let mut damage = None;
    let mut durable = 0;
    while let Some(rest) = file.get(at..).filter(|rest| !rest.is_empty()) {
        let Some(entry) = read_entry(rest, read.secret, at as u64) else {
            if at >= content {
                break;
            }
            damage = damage.or(Some(at as u64));
            at += ENTRY_ALIGN;
            continue;
        };
        durable = durable.max(entry.durable);
        read.highest = read.highest.max(entry.generation);
        at += entry.length.next_multiple_of(ENTRY_ALIGN);
        if let Some(bytes) = entry.bytes {
            read.entries.push((entry.generation, bytes));
        }
    }
    if let Some(damage) = damage {
        if damage < durable {
            read.floor = read.floor.max(Some(read.highest));
        } else {
            read.cut = file.len() as u64 - damage;
        }
    }
    Some(read)
}

struct ReadEntry {
    generation: Generation,
    durable: u64,
    length: usize,
    /// None for a mark.
    bytes: Option<Bytes>,
}

fn read_entry(file: &[u8], secret: u64, at: u64) -> Option<ReadEntry> {
    let header = file.get(..ENTRY_HEADER)?;
    if header.get(..4) != Some(ENTRY_MAGIC) {
        return None;
    }
    let length = usize::try_from(u32_at(header, 4)).ok()?;
    if length > ENTRY_BYTES + 1 {
        return None;
    }
    let bytes = file.get(ENTRY_HEADER..ENTRY_HEADER + length)?;
    let told = entry_sum(secret, at, header.get(..32)?, bytes);
    if u64_at(header, 32) != told {
        return None;
    }
    // The first byte tells an entry from a mark.
    let (kind, bytes) = bytes.split_first()?;
    Some(ReadEntry {
        generation: Generation(u64_at(header, 8)),
        durable: u64_at(header, 24),
        length: ENTRY_HEADER + length,
        bytes: (*kind == 1).then(|| Bytes::copy_from_slice(bytes)),
    })
}

fn entry_sum(secret: u64, at: u64, header: &[u8], bytes: &[u8]) -> u64 {
    sum(sum(secret.wrapping_add(at), header), bytes)
}

fn file_header(secret: u64, highest: Generation, floor: Option<Generation>) -> Vec<u8> {
    let mut header = Vec::with_capacity(FILE_HEADER);
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&[VERSION, 0, 0, 0, 0, 0, 0, 0]);
    header.extend_from_slice(&secret.to_le_bytes());
    header.extend_from_slice(&highest.0.to_le_bytes());
    header.extend_from_slice(&floor.unwrap_or_default().0.to_le_bytes());
    header.resize(FILE_HEADER - 8, 0);
    let told = sum(0, &header);
    header.extend_from_slice(&told.to_le_bytes());
    header
}

/// A journal whose entries after the first so many were written later, and not acknowledged.
pub(crate) fn write(secret: u64, entries: &[(Generation, Bytes)], acknowledged: usize) -> Vec<u8> {
    let mut file = file_header(secret, Generation(0), None);
    let durable = |number: usize| {
        let first = entries.iter().take(acknowledged.min(number));
        first.map(|(_, entry)| entry_bytes(entry)).sum::<usize>() + FILE_HEADER
    };
    for (number, (generation, entry)) in entries.iter().enumerate() {
        let durable = durable(if number < acknowledged { 0 } else { number }) as u64;
        write_entry(&mut file, 0, secret, durable, *generation, Some(entry));
    }
    file
}

fn entry_bytes(entry: &[u8]) -> usize {
    (ENTRY_HEADER + 1 + entry.len()).next_multiple_of(ENTRY_ALIGN)
}

/// Appends an entry (or without bytes a mark) to what will lie at `from` in the file.
fn write_entry(
    out: &mut Vec<u8>,
    from: u64,
    secret: u64,
    durable: u64,
    generation: Generation,
    bytes: Option<&[u8]>,
) {
    let at = from + out.len() as u64;
    let mut body = vec![u8::from(bytes.is_some())];
    body.extend_from_slice(bytes.unwrap_or_default());
    let mut header = Vec::with_capacity(ENTRY_HEADER);
    header.extend_from_slice(ENTRY_MAGIC);
    header.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    header.extend_from_slice(&generation.0.to_le_bytes());
    header.extend_from_slice(&0_u64.to_le_bytes());
    header.extend_from_slice(&durable.to_le_bytes());
    let told = entry_sum(secret, at, &header, &body);
    out.extend_from_slice(&header);
    out.extend_from_slice(&told.to_le_bytes());
    out.extend_from_slice(&body);
    out.resize(out.len().next_multiple_of(ENTRY_ALIGN), 0);
}

/// The journal, open. Clones are the same journal.
#[derive(Clone, Debug)]
pub struct Journal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    secret: u64,
    state: Mutex<State>,
    comes: Condvar,
    failures: AtomicU64,
}

struct State {
    file: Option<Arc<dyn DiskFile>>,
    /// Bytes of the file that count, and how many of them survive a power loss.
    end: u64,
    durable: u64,
    reserved: u64,
    highest: Generation,
    floor: Option<Generation>,
    entries: Vec<(Generation, Bytes)>,
    bytes: usize,
    /// Entries from here on are not in the file yet.
    written: usize,
    waiting: Vec<Done>,
    /// The file is not trusted, or entries were let go of: a new one is to be written.
    rewrite: bool,
    retry: Option<(Duration, Duration)>,
    closing: bool,
    working: bool,
}

type Done = Box<dyn FnOnce(Result<(), JournalError>) + Send>;

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("entries", &self.entries.len())
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

/// The promise of an entry's durability.
#[derive(Clone, Debug)]
pub struct Ticket(Arc<(Mutex<Option<Told>>, Condvar)>);

type Told = Result<(), JournalError>;

impl Ticket {
    /// Waits until the entry is durable, or will not be until something changes.
    pub fn wait(&self) -> Result<(), JournalError> {
        let mut told = lock(&self.0.0);
        loop {
            if let Some(told) = &*told {
                return told.clone();
            }
            told = self.0.1.wait(told).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What is known already.
    pub fn told(&self) -> Option<Result<(), JournalError>> {
        lock(&self.0.0).clone()
    }
}

impl Journal {
    /// Opens the journal, or makes one with that secret.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        names: &[String],
        new_secret: u64,
    ) -> io::Result<(Journal, Replayed)> {
        let found = if names.iter().any(|name| name == NAME) {
            read_file(&*disk)?
        } else {
            None
        };
        let fresh = found.is_none();
        let read = found.unwrap_or_else(|| Read {
            secret: new_secret,
            ..Read::default()
        });
        let bytes = read
            .entries
            .iter()
            .map(|(_, bytes)| bytes.len() + ENTRY_HEADER)
            .sum();
        let state = State {
            file: None,
            end: 0,
            durable: 0,
            reserved: 0,
            highest: read.highest,
            floor: read.floor,
            entries: read.entries.clone(),
            bytes,
            written: 0,
            waiting: Vec::new(),
            rewrite: true,
            retry: None,
            closing: false,
            working: false,
        };
        let journal = Journal(Arc::new(Inner {
            disk,
            clock,
            secret: read.secret,
            state: Mutex::new(state),
            comes: Condvar::new(),
            failures: AtomicU64::new(0),
        }));
        journal
            .0
            .write_anew(&read.entries, read.highest, read.floor)?;
        {
            let mut state = lock(&journal.0.state);
            state.written = read.entries.len();
            state.rewrite = false;
        }
        let replayed = Replayed {
            entries: read.entries,
            cut: read.cut,
            floor: read.floor,
            fresh,
        };
        Ok((journal, replayed))
    }

    pub(crate) fn secret(&self) -> u64 {
        self.0.secret
    }

    /// The highest generation of any entry there ever was.
    pub fn highest(&self) -> Generation {
        lock(&self.0.state).highest
    }

    /// Adds an entry. It is durable when the ticket says so.
    pub fn append(&self, generation: Generation, entry: &[u8]) -> Ticket {
        let ticket = Ticket(Arc::default());
        let told = ticket.clone();
        self.append_then(generation, entry, move |result| {
            *lock(&told.0.0) = Some(result);
            told.0.1.notify_all();
        });
        ticket
    }

    /// Adds an entry; `done` is called on the journal's thread (or at once, if the entry is refused).
    pub fn append_then(
        &self,
        generation: Generation,
        entry: &[u8],
        done: impl FnOnce(Result<(), JournalError>) + Send + 'static,
    ) {
        let refused = {
            let mut state = lock(&self.0.state);
            let bytes = state.bytes + entry.len() + ENTRY_HEADER;
            if entry.len() > ENTRY_BYTES {
                JournalError::TooLarge(entry.len())
            } else if bytes > JOURNAL_BYTES {
                JournalError::Full
            } else if state.closing {
                JournalError::Closing
            } else {
                state.bytes = bytes;
                state.highest = state.highest.max(generation);
                state
                    .entries
                    .push((generation, Bytes::copy_from_slice(entry)));
                state.waiting.push(Box::new(done));
                drop(state);
                self.0.comes.notify_all();
                return;
            }
        };
        done(Err(refused));
    }

    /// Lets go of the entries that `keep` does not want, in memory at once and on disk soon.
    pub fn compact(&self, mut keep: impl FnMut(Generation, &[u8]) -> bool) {
        let mut state = lock(&self.0.state);
        let written = state.written;
        let mut at = 0;
        let mut still_written = 0;
        state.entries.retain(|(generation, bytes)| {
            let stays = keep(*generation, bytes);
            still_written += usize::from(stays && at < written);
            at += 1;
            stays
        });
        state.written = still_written;
        state.bytes = state
            .entries
            .iter()
            .map(|(_, bytes)| bytes.len() + ENTRY_HEADER)
            .sum();
        state.rewrite = true;
        drop(state);
        self.0.comes.notify_all();
    }

    /// Bytes of all entries.
    pub fn bytes(&self) -> usize {
        lock(&self.0.state).bytes
    }

    /// Whether every entry could be written when that was last tried.
    pub fn is_well(&self) -> bool {
        lock(&self.0.state).retry.is_none()
    }

    /// How often the disk failed.
    pub fn failures(&self) -> u64 {
        self.0.failures.load(Ordering::Relaxed)
    }

    /// Writes and syncs what waits. When there is more to do: none if nothing is, until something comes.
    pub(crate) fn step(&self) -> Option<Duration> {
        self.0.step()
    }

    /// Waits for something to do. False once closed and done.
    pub(crate) fn wait(&self, most: Duration) -> bool {
        let state = lock(&self.0.state);
        if state.closing {
            return state.retry.is_none() && !state.waiting.is_empty();
        }
        if state.waiting.is_empty() && !state.rewrite || state.retry.is_some() {
            drop(
                self.0
                    .comes
                    .wait_timeout(state, most)
                    .unwrap_or_else(PoisonError::into_inner),
            );
        }
        true
    }

    pub(crate) fn close(&self) {
        lock(&self.0.state).closing = true;
        self.0.comes.notify_all();
    }

    /// Tells those who still wait that nothing more is written.
    pub(crate) fn finish(&self) {
        let waiting = std::mem::take(&mut lock(&self.0.state).waiting);
        tell(waiting, &Err(JournalError::Closing));
    }
}

impl Inner {
    fn step(&self) -> Option<Duration> {
        let now = self.clock.now();
        let mut state = lock(&self.state);
        if state.working || (state.waiting.is_empty() && !state.rewrite) {
            return None;
        }
        if let Some((at, _)) = state.retry.filter(|(at, _)| now < *at) {
            // Nobody waits for a disk that is known to fail.
            let waiting = std::mem::take(&mut state.waiting);
            drop(state);
            tell(
                waiting,
                &Err(JournalError::Disk("it failed a moment ago".to_owned())),
            );
            return Some(at);
        }
        state.working = true;
        let waiting = std::mem::take(&mut state.waiting);
        let until = state.entries.len();
        let (highest, floor) = (state.highest, state.floor);
        // Marks and entries that were let go of are given back when they are the greater part.
        let bloated = state.end > (state.bytes as u64).saturating_mul(2) + RESERVE;
        let outcome = if state.rewrite || bloated || state.file.is_none() {
            let entries = state.entries.clone();
            state.rewrite = false;
            drop(state);
            self.write_anew(&entries, highest, floor)
        } else {
            let entries = state
                .entries
                .get(state.written..)
                .unwrap_or_default()
                .to_vec();
            drop(state);
            self.write_on(&entries)
        };
        let mut state = lock(&self.state);
        state.working = false;
        match &outcome {
            // Entries that were let go of meanwhile ask for a new file anyway.
            Ok(()) => {
                if !state.rewrite {
                    state.written = until;
                }
                state.retry = None;
            }
            Err(_) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                state.rewrite = true;
                let pause = state.retry.map_or(FIRST_PROBE_AFTER, |(_, pause)| {
                    (pause * 2).min(PROBES_AT_LEAST_EVERY)
                });
                state.retry = Some((now + pause, pause));
            }
        }
        let next = state.retry.map(|(at, _)| at);
        drop(state);
        tell(
            waiting,
            &outcome.map_err(|error| JournalError::Disk(error.to_string())),
        );
        next
    }

    /// Appends entries to the file.
    fn write_on(&self, entries: &[(Generation, Bytes)]) -> io::Result<()> {
        let (file, end, durable, reserved) = {
            let state = lock(&self.state);
            let file = state.file.clone().ok_or(io::ErrorKind::NotFound)?;
            (file, state.end, state.durable, state.reserved)
        };
        let mut bytes = Vec::new();
        for (generation, entry) in entries {
            write_entry(
                &mut bytes,
                end,
                self.secret,
                durable,
                *generation,
                Some(entry),
            );
        }
        let new_end = end + bytes.len() as u64;
        if new_end + RESERVE / 2 > reserved {
            // A disk that has no room for more may still have it for this.
            let more = new_end + RESERVE;
            if file.reserve(more).is_ok() {
                lock(&self.state).reserved = more;
            }
        }
        write_whole(&*file, end, &[&bytes])?;
        file.sync()?;
        self.mark(
            &file,
            new_end,
            entries
                .last()
                .map_or(Generation(0), |(generation, _)| *generation),
        );
        Ok(())
    }

    /// Says in the file that everything before is durable. Whether the mark itself is does not matter.
    fn mark(&self, file: &Arc<dyn DiskFile>, at: u64, generation: Generation) {
        let mut bytes = Vec::new();
        write_entry(&mut bytes, at, self.secret, at, generation, None);
        let marked = write_whole(&**file, at, &[&bytes]).is_ok();
        let mut state = lock(&self.state);
        state.durable = at;
        state.end = at + if marked { bytes.len() as u64 } else { 0 };
    }

    /// Writes a whole new file, and puts it in the old one's place.
    fn write_anew(
        &self,
        entries: &[(Generation, Bytes)],
        highest: Generation,
        floor: Option<Generation>,
    ) -> io::Result<()> {
        match self.disk.remove(NEW_NAME) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = self.disk.create(NEW_NAME)?;
        let mut bytes = file_header(self.secret, highest, floor);
        // All of it is durable before it takes its place, and each entry says so of all others.
        let whole = entries
            .iter()
            .map(|(_, entry)| entry_bytes(entry))
            .sum::<usize>()
            + FILE_HEADER;
        for (generation, entry) in entries {
            write_entry(
                &mut bytes,
                0,
                self.secret,
                whole as u64,
                *generation,
                Some(entry),
            );
        }
        let end = bytes.len() as u64;
        let reserved = end + RESERVE;
        let _ = file.reserve(reserved);
        write_whole(&*file, 0, &[&bytes])?;
        file.sync()?;
        self.disk.rename(NEW_NAME, NAME)?;
        self.disk.sync_names()?;
        {
            let mut state = lock(&self.state);
            state.file = Some(Arc::clone(&file));
            state.reserved = reserved;
        }
        self.mark(&file, end, highest);
        Ok(())
    }
}

fn tell(waiting: Vec<Done>, outcome: &Result<(), JournalError>) {
    for done in waiting {
        done(outcome.clone());
    }
}

fn read_file(disk: &dyn Disk) -> io::Result<Option<Read>> {
    let file = disk.open(NAME)?;
    // Entries, their headers and marks; more than twice the ceiling was not written by us.
    let length = usize::try_from(file.length()?).unwrap_or(usize::MAX);
    if length > JOURNAL_BYTES * 4 {
        return Ok(None);
    }
    let mut bytes = vec![0; length];
    read_whole(&*file, 0, &mut bytes)?;
    Ok(read(&bytes))
}
