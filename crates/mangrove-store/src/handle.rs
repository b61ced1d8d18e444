//! An object as a reader has it.

use std::fs::File;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::disk::{InPipe, Reach, read_whole};
use crate::object::{Found, PINNED_CHUNKS, Part, Pinned};
use crate::pipes::Poured;
use crate::recent::There;
use crate::record::{HEADER, Head, Header, Kind, Log, sum};
use crate::state::{Had, Inner, Piece, ReadTask, more};
use crate::words::{CHUNK_BYTES, KeyHash, ObjectId, ReadError, Refused, Subject};
use crate::writing::Writing;

/// So much is brought into the kernel's memory exactly; with more, what follows is likely to be wanted next.
const EXACT_BYTES: u64 = CHUNK_BYTES as u64;
/// Pipes that are filled at once: a chunk that does not begin where a block does needs room for one more block than it has.
const PIPES_AT_ONCE: usize = 2;

/// An object that was found. Its head, and its content if that is at most four chunks, stay readable while the handle lives,
/// whatever is removed meanwhile. Of a larger object each chunk is looked up when it is asked for, and may be
/// [`ReadError::Absent`] by then.
#[derive(Debug)]
pub struct Handle {
    inner: Arc<Inner>,
    found: Found,
}

/// Where a chunk lies: to be sent from the file as it is. The file stays readable while this lives.
#[derive(Clone, Debug)]
pub struct ChunkPlace {
    pinned: Pinned,
}

impl ChunkPlace {
    /// The file; none if the disk is a simulated one.
    pub fn file(&self) -> Option<&File> {
        self.pinned.slab.file.as_file()
    }

    /// Where in the file the chunk's content begins.
    pub fn offset(&self) -> u64 {
        self.pinned.place.at() + HEADER as u64
    }

    /// Bytes of content.
    pub fn length(&self) -> u32 {
        self.pinned.place.length()
    }

    /// Whether this process has written the chunk, or has read it before and found it whole, and nothing has failed since. If not,
    /// read it first: what is sent from the file is not looked at.
    pub fn is_verified(&self) -> bool {
        self.pinned.place.is_verified() && !self.pinned.slab.is_doubtful()
    }

    /// Whether it is verified, and has come to the disk itself: what the kernel reads from there again is the same.
    pub fn is_settled(&self) -> bool {
        let end = self.offset().saturating_add(u64::from(self.length()));
        self.pinned.place.is_verified() && self.pinned.slab.is_settled(end)
    }
}

impl Handle {
    pub(crate) fn new(inner: Arc<Inner>, found: Found) -> Handle {
        Handle { inner, found }
    }

    /// What its liveness is decided by.
    pub fn subject(&self) -> &Subject {
        &self.found.subject
    }

    /// Which object it is.
    pub fn id(&self) -> ObjectId {
        self.found.id
    }

    /// Bytes of the whole content, where known.
    pub fn total(&self) -> Option<u64> {
        self.found.total
    }

    /// Whether every chunk was there when it was found.
    pub fn is_complete(&self) -> bool {
        self.found.complete
    }

    /// How many chunks there were when it was found.
    pub fn chunks_there(&self) -> usize {
        self.found.chunk_count
    }

    /// Whether its head lies in the main log, because it was asked for again. Else it is on probation.
    pub fn is_in_main(&self) -> bool {
        self.found.head.slab.name.log == Log::Main
    }

    /// How often its head was asked for since it was written, or since its slab came up last; more than three are three.
    pub fn asked(&self) -> u32 {
        self.found.head.place.asked()
    }

    /// Which of the chunks `from..to` there are now.
    pub fn chunks(&self, from: u32, to: u32) -> Vec<u32> {
        if self.found.chunk_count > PINNED_CHUNKS {
            return self
                .inner
                .index
                .chunks(self.found.subject.key, self.found.id, from, to);
        }
        let pinned = self.found.chunks.iter().map(|(index, _)| *index);
        pinned.filter(|index| (from..to).contains(index)).collect()
    }

    /// Which chunk holds the byte of content at that place.
    pub fn chunk_of(position: u64) -> Option<u32> {
        u32::try_from(position / u64::from(CHUNK_BYTES)).ok()
    }

    /// Reads the head. Waits for the disk: not for a thread that serves.
    pub fn read_head(&self) -> Result<Head, ReadError> {
        let bytes = self.read_here(Part::Head)?;
        Head::from_payload(bytes).ok_or(ReadError::Damaged)
    }

    /// Reads a chunk. Waits for the disk: not for a thread that serves.
    pub fn read_chunk(&self, index: u32) -> Result<Bytes, ReadError> {
        self.read_here(Part::Chunk(index))
    }

    fn read_here(&self, part: Part) -> Result<Bytes, ReadError> {
        let pinned = self.pinned(part).ok_or(ReadError::Absent)?;
        self.inner
            .read(self.found.subject.key, self.found.id, part, &pinned)
    }

    /// Has the head read by a reader's thread, which calls `done`. Refused at once if the disk is behind or out of use.
    pub fn read_head_then(
        &self,
        done: impl FnOnce(Result<Head, ReadError>) + Send + 'static,
    ) -> Result<(), Refused> {
        self.read_then(Part::Head, move |read| {
            done(read.and_then(|bytes| Head::from_payload(bytes).ok_or(ReadError::Damaged)));
        })
    }

    /// Has a chunk read by a reader's thread, which calls `done`. Refused at once if the disk is behind or out of use.
    pub fn read_chunk_then(
        &self,
        index: u32,
        done: impl FnOnce(Result<Bytes, ReadError>) + Send + 'static,
    ) -> Result<(), Refused> {
        self.read_then(Part::Chunk(index), done)
    }

    fn read_then(
        &self,
        part: Part,
        done: impl FnOnce(Result<Bytes, ReadError>) + Send + 'static,
    ) -> Result<(), Refused> {
        self.inner.reads_or_refuses()?;
        let Some(pinned) = self.pinned(part) else {
            return self.inner.refused(Refused::Gone);
        };
        self.inner.push(ReadTask::Read {
            key: self.found.subject.key,
            id: self.found.id,
            part,
            pinned,
            done: Box::new(done),
        })
    }

    /// Has a reader's thread see to it that the kernel has content in its memory, and then call `done`: `most` bytes of chunks that
    /// follow each other, from `within` the first on, or as many of them as [are settled](ChunkPlace::is_settled). Returns how many.
    /// They are neither copied nor compared with a checksum. `done` is told whether all of them could be had; nothing is concluded if
    /// not: who reads them finds out why. Refused at once if the disk is behind or out of use, or the first byte is not settled.
    pub fn bring_then(
        &self,
        places: &[ChunkPlace],
        within: u64,
        most: u64,
        done: impl FnOnce(bool) + Send + 'static,
    ) -> Result<u64, Refused> {
        self.inner.reads_or_refuses()?;
        let mut pieces = SmallVec::new();
        let (mut within, mut length) = (within, 0);
        for place in places.iter().take_while(|place| place.is_settled()) {
            let left = u64::from(place.length()).saturating_sub(within);
            let taken = left.min(most - length);
            if taken == 0 {
                break;
            }
            length += taken;
            pieces.push(Piece {
                at: place.offset() + within,
                slab: Arc::clone(&place.pinned.slab),
                length: taken,
            });
            within = 0;
        }
        if pieces.is_empty() {
            self.inner.refused(Refused::Gone)?;
        }
        let done = Box::new(done);
        self.inner.push(ReadTask::Bring { pieces, done })?;
        Ok(length)
    }

    /// Has a reader's thread put content into pipes, past the kernel's memory, and then call `done`: at most `most` bytes of a chunk
    /// that [is settled](ChunkPlace::is_settled), from `within` it on. Where there is no pipe, or the disk cannot do that, they are
    /// brought as by [`bring_then`](Self::bring_then), and refused like there. Returns how many.
    pub fn pour_then(
        &self,
        place: &ChunkPlace,
        within: u64,
        most: u64,
        done: impl FnOnce(Had) + Send + 'static,
    ) -> Result<u64, Refused> {
        self.inner.reads_or_refuses()?;
        let length = u64::from(place.length()).saturating_sub(within).min(most);
        if length == 0 || !place.is_settled() {
            self.inner.refused(Refused::Gone)?;
        }
        let piece = Piece {
            slab: Arc::clone(&place.pinned.slab),
            at: place.offset() + within,
            length,
        };
        let done = Box::new(done);
        self.inner.push(ReadTask::Pour { piece, done })?;
        Ok(length)
    }

    /// What of a chunk was in the kernel's memory so lately that it is worth a look.
    pub fn was_there(&self, place: &ChunkPlace) -> Option<There> {
        let now = self.inner.clock.now();
        self.inner.recent.was_there(place.pinned.place, now)
    }

    /// Remembers that a chunk, or what was asked for of it, is in the kernel's memory.
    pub fn saw(&self, place: &ChunkPlace, there: There) {
        let now = self.inner.clock.now();
        self.inner.recent.saw(place.pinned.place, there, now);
    }

    /// Remembers that a chunk, or a part of it, is asked for and is not there. Whether that is worth being brought there: it would be
    /// there the next time.
    pub fn missed(&self, place: &ChunkPlace, asked: There) -> bool {
        let now = self.inner.clock.now();
        self.inner.recent.missed(place.pinned.place, asked, now)
    }

    /// Where a chunk lies now.
    pub fn chunk_place(&self, index: u32) -> Option<ChunkPlace> {
        self.pinned(Part::Chunk(index))
            .map(|pinned| ChunkPlace { pinned })
    }

    /// To write more of it: chunks that are missing, or a newer head after its origin confirmed it.
    pub fn write(&self) -> Writing {
        Writing::of(
            Arc::clone(&self.inner),
            self.found.subject,
            self.found.id,
            self.found.total,
            self.found.main,
        )
    }

    /// The same, with up to `most` of the chunks from `from` on that are there now held: they stay readable while this lives,
    /// whatever becomes of the object, and so do the slabs that they lie in.
    #[must_use]
    pub fn holding(mut self, from: u32, most: usize) -> Handle {
        let (key, id) = (self.found.subject.key, self.found.id);
        self.found.chunks = self.inner.index.held(key, id, from, most);
        self
    }

    /// How many chunks it holds.
    pub fn held(&self) -> usize {
        self.found.chunks.len()
    }

    /// Whether it holds a chunk.
    pub fn holds(&self, index: u32) -> bool {
        self.found.held(index).is_some()
    }

    /// Removes it, and after a restart too once that is written. What must hold after any crash belongs in the journal.
    pub fn remove(&self) {
        let Subject { key, variant, .. } = self.found.subject;
        self.inner.remove(key, Some(variant), self.found.id);
    }

    fn pinned(&self, part: Part) -> Option<Pinned> {
        match part {
            Part::Head => Some(self.found.head.clone()),
            Part::Chunk(index) => {
                let now = self
                    .inner
                    .index
                    .chunk(self.found.subject.key, self.found.id, index);
                now.or_else(|| self.found.held(index).cloned())
            }
        }
    }
}

impl Inner {
    /// Reads a record and proves that it is the one meant, and whole.
    pub(crate) fn read(
        &self,
        key: KeyHash,
        id: ObjectId,
        part: Part,
        pinned: &Pinned,
    ) -> Result<Bytes, ReadError> {
        let place = pinned.place;
        let length = HEADER + usize::try_from(place.length()).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length];
        if let Err(error) = read_whole(&*pinned.slab.file, place.at(), &mut bytes) {
            more(&self.counts.read_failures, 1);
            self.index.evict(key, id, part, place);
            self.condition.read_failed(&error, self.clock.now());
            return Err(ReadError::Failed(error));
        }
        self.condition.read_worked();
        let header = Header::read(&bytes, pinned.slab.seed, place.at()).ok();
        let bytes = Bytes::from(bytes).slice(HEADER..);
        let is_it = header.is_some_and(|header| {
            let kind = if part == Part::Head {
                Kind::Head
            } else {
                Kind::Chunk
            };
            let told = (
                header.kind,
                header.key,
                header.object,
                Part::of(&header),
                header.length,
            );
            told == (kind, key, id, part, place.length())
                && header.payload_sum == sum(self.secret, &bytes)
        });
        if !is_it {
            more(&self.counts.damaged, 1);
            self.index.evict(key, id, part, place);
            return Err(ReadError::Damaged);
        }
        self.index.verified(key, id, part, place);
        if part != Part::Head {
            self.recent.saw(place, There::Whole, self.clock.now());
        }
        Ok(bytes)
    }

    /// What a reader's thread does: true if there was something.
    pub(crate) fn read_next(&self, reader: usize) -> bool {
        let Some(task) = self.reads.take_one() else {
            return false;
        };
        // Each call has its time, however many a task takes.
        let calling = || self.condition.calling(2 + reader, self.clock.now());
        let tell: Box<dyn FnOnce()> = match task {
            ReadTask::Read {
                key,
                id,
                part,
                pinned,
                done,
            } => {
                let _calling = calling();
                let read = self.read(key, id, part, &pinned);
                Box::new(move || done(read))
            }
            ReadTask::Bring { pieces, done } => {
                let is_there = self.bring(&pieces, calling);
                Box::new(move || done(is_there))
            }
            ReadTask::Pour { piece, done } => {
                let had = match self.pour(&piece, calling) {
                    Ok(poured) if !poured.is_empty() => Had::Poured(poured),
                    Ok(_) if self.bring(&[piece], calling) => Had::Brought,
                    _ => Had::Nothing,
                };
                Box::new(move || done(had))
            }
        };
        // A caller's panic is the caller's; the thread is needed by others.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(tell));
        true
    }

    /// Has the kernel take bytes into its memory; whether it has them all.
    fn bring<C>(&self, pieces: &[Piece], calling: impl Fn() -> C) -> bool {
        let length = pieces.iter().map(|piece| piece.length).sum();
        let reach = match length <= EXACT_BYTES {
            true => Reach::Exact,
            false => Reach::Ahead,
        };
        let is_there = pieces.iter().all(|piece| {
            let _calling = calling();
            let brought = piece.slab.file.bring(piece.at, piece.length, reach);
            brought.is_ok()
        });
        if is_there {
            more(&self.counts.bytes_brought, length);
            self.condition.read_worked();
        }
        is_there
    }

    /// Puts bytes into pipes, past the kernel's memory: as many as these hold. None if that cannot be.
    fn pour<C>(&self, piece: &Piece, calling: impl Fn() -> C) -> io::Result<SmallVec<[Poured; 2]>> {
        let (mut pipes, mut done) = (SmallVec::new(), 0);
        let file = &piece.slab.file;
        while done < piece.length && pipes.len() < PIPES_AT_ONCE && file.pours() {
            let _calling = calling();
            let Some(pipe) = self.pipes.take() else {
                break;
            };
            let mut poured = Poured::new(&self.pipes, pipe);
            let left = piece.length - done;
            let Some(InPipe { content, after }) = poured
                .pipe()
                .map_or(Ok(None), |pipe| file.pour(piece.at + done, left, pipe))?
            else {
                break;
            };
            poured.holds(content, after);
            done += content as u64;
            pipes.push(poured);
        }
        // Since it was asked for, something about the slab may have failed: then it is read and compared.
        if piece.slab.is_doubtful() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if done > 0 {
            more(&self.counts.bytes_poured, done);
            self.condition.read_worked();
        }
        Ok(pipes)
    }

    fn reads_or_refuses(&self) -> Result<(), Refused> {
        self.gives_reads().or_else(|why| self.refused(why))
    }

    fn push(&self, task: ReadTask) -> Result<(), Refused> {
        self.reads.push(0, task).or_else(|why| self.refused(why))
    }
}
