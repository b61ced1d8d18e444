//! Content as it comes from the disk, for one answer.
//!
//! What the kernel has in its memory is read, or sent, from there. What it has not, one of the store's threads sees to: it has the
//! kernel take the bytes into its memory, or puts them into a pipe without that where they are rarely asked for; or, if this process
//! has yet to compare the chunk with its checksum, reads all of it.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use mangrove_http::Moment;
use mangrove_store::{ChunkPlace, Had, Handle, Poured, ReadError, Refused};
use smallvec::SmallVec;
use tokio::sync::oneshot;

use super::resident::{RESIDENT_FOR, read_resident};
use crate::body::CHUNK_BYTES;

/// What an answer takes from the disk at once, and so what each one that is read from there holds in memory.
pub(crate) const DISK_PIECE_BYTES: usize = 64 * 1024;

/// A piece at hand, or one that a thread of the store's sees to.
#[derive(Debug)]
pub(super) struct FromDisk {
    /// None where it has left the disk since it was found.
    pub(super) handle: Option<Arc<Handle>>,
    /// What was read without waiting; used again for each piece.
    buffer: Vec<u8>,
    /// Of the buffer, what has not gone.
    from: usize,
    to: usize,
    /// A chunk as it was read for us, where the file could not be read without waiting even then.
    chunk: Bytes,
    asked: Option<Waiting>,
    /// Of the content, what the kernel was made to take into its memory last, or to put into pipes, or will have been when that is
    /// done,
    brought: Range<u64>,
    /// where it lies,
    places: SmallVec<[(u32, ChunkPlace); 1]>,
    /// and until when it is taken to be there.
    brought_until: Moment,
    /// Content in pipes, one after another: from that byte on.
    poured: (u64, SmallVec<[Poured; 2]>),
    /// How what was not there was had last.
    way: Option<Way>,
    /// Too many wait already.
    pub(super) pause: Option<Pin<Box<tokio::time::Sleep>>>,
}

/// How content is had that is not in the kernel's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// It was brought there.
    Brought,
    /// Past it.
    Poured,
}

/// For what a thread was asked, and who is told.
#[derive(Debug)]
enum Waiting {
    /// The kernel's having it; whether it has.
    Bring(oneshot::Receiver<bool>),
    /// The same, past the kernel's memory.
    Pour(oneshot::Receiver<Had>),
    Read(oneshot::Receiver<Result<Bytes, ReadError>>),
}

/// What became of it.
#[derive(Debug)]
pub(super) enum Asked {
    /// The kernel has it, if it could be had.
    Brought,
    /// The chunk, or none.
    Read(Option<Bytes>),
}

/// How a thread says something once, and where that is heard. Where the visitor has gone, what was said is dropped.
fn telling<T: Send + 'static>() -> (impl FnOnce(T) + Send + 'static, oneshot::Receiver<T>) {
    let (teller, told) = oneshot::channel();
    (move |said| drop(teller.send(said)), told)
}

impl FromDisk {
    pub(super) fn new(handle: Option<Arc<Handle>>) -> Self {
        Self {
            handle,
            buffer: Vec::new(),
            from: 0,
            to: 0,
            chunk: Bytes::new(),
            asked: None,
            brought: 0..0,
            places: SmallVec::new(),
            brought_until: Moment(0),
            poured: (0, SmallVec::new()),
            way: None,
            pause: None,
        }
    }

    /// Whether some of it is at hand in memory, or will be.
    pub(super) fn is_read(&self) -> bool {
        let is_reading = matches!(self.asked, Some(Waiting::Read(_)));
        !self.data().is_empty() || is_reading || self.pause.is_some()
    }

    /// Whether a thread was asked for something, and has yet to say what became of it.
    pub(super) fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// Waits for what a thread was asked for; none where it was asked for nothing.
    pub(super) fn poll_asked(&mut self, cx: &mut Context<'_>) -> Poll<Option<Asked>> {
        let told = match &mut self.asked {
            None => return Poll::Ready(None),
            Some(Waiting::Bring(told)) => {
                // Who finds that it is not there has it read; of how lately it was, only `poll_brought` knows.
                let _ = std::task::ready!(Pin::new(told).poll(cx));
                self.brought_until = Moment(0);
                Asked::Brought
            }
            Some(Waiting::Pour(told)) => {
                let _ = std::task::ready!(Pin::new(told).poll(cx)); // not sent from there after all
                Asked::Brought
            }
            Some(Waiting::Read(told)) => {
                let told = std::task::ready!(Pin::new(told).poll(cx));
                Asked::Read(told.ok().and_then(Result::ok))
            }
        };
        self.asked = None;
        Poll::Ready(Some(told))
    }

    /// Waits for what is being brought; false if it could not be had.
    pub(super) fn poll_brought(&mut self, cx: &mut Context<'_>, now: Moment) -> Poll<bool> {
        let is_there = match &mut self.asked {
            None | Some(Waiting::Read(_)) => return Poll::Ready(true),
            Some(Waiting::Bring(told)) => std::task::ready!(Pin::new(told).poll(cx)) == Ok(true),
            Some(Waiting::Pour(told)) => match std::task::ready!(Pin::new(told).poll(cx)) {
                Ok(Had::Brought) => true,
                Ok(Had::Poured(pipes)) => {
                    self.poured = (self.brought.start, pipes);
                    (self.asked, self.brought_until) = (None, Moment(0));
                    return Poll::Ready(true);
                }
                Ok(Had::Nothing) | Err(_) => false,
            },
        };
        self.asked = None;
        self.brought_until = match is_there {
            true => now + RESIDENT_FOR,
            false => Moment(0),
        };
        Poll::Ready(is_there)
    }

    /// What is in a pipe from that byte on.
    pub(super) fn poured(&self, at: u64) -> Option<&Poured> {
        let (from, pipes) = &self.poured;
        pipes.first().filter(|_| *from == at)
    }

    /// Nothing is taken from pipes any more.
    pub(super) fn spill(&mut self) {
        self.poured.1.clear();
    }

    /// Whether the kernel was made to take all of that into its memory, so lately that it is there.
    pub(super) fn has_brought(&self, at: u64, length: u64, now: Moment) -> bool {
        let Range { start, end } = self.brought;
        start <= at && at.saturating_add(length) <= end && now < self.brought_until
    }

    /// Whether it was made to take that byte, into its memory or into a pipe.
    pub(super) fn was_brought(&self, at: u64) -> bool {
        self.brought.contains(&at)
    }

    /// How this answer goes on from a byte, where it has begun to have what is not there: what was brought goes on so, what was poured
    /// only as far as that was meant to reach.
    pub(super) fn way_on(&self, at: u64) -> Option<Way> {
        self.way
            .filter(|way| *way == Way::Brought || self.was_brought(at))
    }

    /// Where a chunk lies that was brought.
    pub(super) fn place(&self, index: u32) -> Option<&ChunkPlace> {
        let found = self.places.iter().find(|(known, _)| *known == index);
        found.map(|(_, place)| place)
    }

    /// Has the kernel take content from `at` on into its memory, as far as that is settled: of the chunk that lies at a place, and of
    /// those that follow.
    pub(super) fn bring(
        &mut self,
        handle: &Handle,
        place: &ChunkPlace,
        at: u64,
        most: u64,
    ) -> Result<(), Refused> {
        let chunk = CHUNK_BYTES as u64;
        let (from, within) = (Handle::chunk_of(at).ok_or(Refused::Gone)?, at % chunk);
        let chunks = within.saturating_add(most).div_ceil(chunk);
        let mut places: SmallVec<[ChunkPlace; 4]> = SmallVec::new();
        places.push(place.clone());
        for later in 1..u32::try_from(chunks).unwrap_or(1) {
            let place = handle.chunk_place(from.saturating_add(later));
            match place.filter(ChunkPlace::is_settled) {
                Some(place) => places.push(place),
                None => break,
            }
        }
        let (say, told) = telling();
        let length = handle.bring_then(&places, within, most, say)?;
        self.brought = at..at.saturating_add(length);
        self.places = (from..).zip(places).collect();
        self.asked = Some(Waiting::Bring(told));
        self.way = Some(Way::Brought);
        Ok(())
    }

    /// Has content from `at` on put into pipes, past the kernel's memory: of the chunk that lies at a place. Where that cannot be, has
    /// the kernel take it into its memory.
    pub(super) fn pour(
        &mut self,
        handle: &Handle,
        place: &ChunkPlace,
        at: u64,
        most: u64,
    ) -> Result<(), Refused> {
        let index = Handle::chunk_of(at).ok_or(Refused::Gone)?;
        let (say, told) = telling();
        let within = at % CHUNK_BYTES as u64;
        let length = handle.pour_then(place, within, most, say)?;
        (self.brought, self.brought_until) = (at..at.saturating_add(length), Moment(0));
        self.places = std::iter::once((index, place.clone())).collect();
        self.way = Some(Way::Poured);
        self.asked = Some(Waiting::Pour(told));
        Ok(())
    }

    /// Has a chunk read, and compared with its checksum.
    pub(super) fn read(&mut self, handle: &Handle, index: u32) -> Result<(), Refused> {
        let (say, told) = telling();
        handle.read_chunk_then(index, say)?;
        self.asked = Some(Waiting::Read(told));
        Ok(())
    }

    /// Holds what is wanted of a chunk; false where that has none of it.
    pub(super) fn hold(&mut self, chunk: &Bytes, within: u64, wanted: u64) -> bool {
        let from = usize::try_from(within).unwrap_or(usize::MAX);
        let most = usize::try_from(wanted).unwrap_or(usize::MAX);
        let from = from.min(chunk.len());
        self.chunk = chunk.slice(from..from.saturating_add(most).min(chunk.len()));
        !self.chunk.is_empty()
    }

    /// Bytes that it holds.
    pub(super) fn held(&self) -> usize {
        self.buffer.len() + self.chunk.len()
    }

    /// Holds content that came from elsewhere.
    pub(super) fn give(&mut self, bytes: Bytes) {
        self.chunk = bytes;
    }

    pub(super) fn data(&self) -> &[u8] {
        match self.chunk.is_empty() {
            true => self.buffer.get(self.from..self.to).unwrap_or_default(),
            false => &self.chunk,
        }
    }

    /// Takes bytes away, which begin at a byte of the content.
    pub(super) fn consume(&mut self, at: u64, n: usize) {
        let (from, pipes) = &mut self.poured;
        if *from != at {
            pipes.clear();
        }
        if let Some(pipe) = pipes.first_mut() {
            pipe.took(n);
            *from = from.saturating_add(n as u64);
            if pipe.left() == 0 {
                pipes.remove(0);
            }
            return;
        }
        match self.chunk.is_empty() {
            true => self.from = self.from.saturating_add(n).min(self.to),
            false => drop(self.chunk.split_to(n.min(self.chunk.len()))),
        }
        if self.chunk.is_empty() {
            self.chunk = Bytes::new(); // a chunk used up is held no longer
        }
    }

    pub(super) fn share(&self, most: usize) -> Bytes {
        match self.chunk.is_empty() {
            true => Bytes::copy_from_slice(self.data().get(..most).unwrap_or_default()),
            false => self.chunk.slice(..most.min(self.chunk.len())),
        }
    }

    /// Reads what of the chunk is in the kernel's memory; false where the disk would have to be waited for.
    pub(super) fn read_now(&mut self, place: &ChunkPlace, within: u64, wanted: u64) -> bool {
        let Some(file) = place.file() else {
            return false;
        };
        let held = u64::from(place.length()).saturating_sub(within).min(wanted);
        let most = usize::try_from(held)
            .unwrap_or(usize::MAX)
            .min(DISK_PIECE_BYTES);
        if self.buffer.len() < most {
            self.buffer.resize(most, 0);
        }
        let Some(into) = self.buffer.get_mut(..most).filter(|into| !into.is_empty()) else {
            return false;
        };
        match read_resident(file, into, place.offset().saturating_add(within)) {
            Ok(n) if n > 0 => {
                (self.from, self.to) = (0, n);
                true
            }
            _ => false,
        }
    }
}
