//! The content of what is kept, as one answer sends it: all of it, one range, or several with their part heads.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use mangrove_cache::{Interval, Multipart};
use mangrove_http::Moment;
use mangrove_store::{ChunkPlace, Handle, Refused, There};

use super::disk::Located;
use super::object::Kept;
use super::parts::{Bring, Brought, Reader};
use super::reading::{Asked, FromDisk, Way};
use super::resident::{Chunk, RESIDENT_FOR, is_resident};
use crate::body::{CHUNK_BYTES, Filled};
use crate::outgoing::{Holder, InFile, Window};
use crate::reason::{EdgeReason, Reason};

/// Where more wait for the disk than may, how long it is before an answer asks again.
pub(crate) const DISK_BEHIND: Duration = Duration::from_millis(20);

/// So much in one piece of a connection that files can be sent on is sent from the disk's file, even where memory has it: the
/// kernel then copies nothing. For less, finding the file costs more than that saves.
pub(crate) const FROM_FILE_BYTES: u64 = 64 * 1024;

/// Of what is rarely asked for, an answer of which so much is left is read past the kernel's memory. For more the kernel reads ahead,
/// in pages so large that this is less work.
pub(crate) const POURED_BYTES: u64 = 2 << 20;

/// What is still to be sent of something kept.
#[derive(Debug)]
pub struct KeptBody {
    kept: Kept,
    /// The next byte of the content, and the end of the segment it is in.
    at: u64,
    end: u64,
    /// What follows, for an answer of several ranges.
    more: Option<Box<More>>,
    /// For content on the disk.
    disk: Option<Box<FromDisk>>,
    /// Where that is not all there.
    coming: Option<Box<Coming>>,
    sent_from: SentFrom,
}

/// Content that is not all on the disk yet.
#[derive(Debug)]
struct Coming {
    reader: Reader,
    /// Asks for what is missing.
    bring: Option<Rc<dyn Bring>>,
}

impl Coming {
    fn held(&self) -> Option<Arc<Handle>> {
        self.reader.partial().held()
    }
}

/// Whether the kernel may send it from the file it lies in.
#[derive(Debug, Default)]
enum SentFrom {
    /// Nobody has asked.
    #[default]
    Unknown,
    /// It is too short, or lies in none, or that did not work.
    Memory,
    /// Yes.
    File(Box<FromFile>),
}

/// Where the kernel has what is next, and how much of it: in its memory, from there on in the file; or in a pipe.
#[derive(Clone, Copy, Debug)]
enum HadIn {
    File(u64, usize),
    Pipe(usize),
}

/// Content as the kernel sends it.
#[derive(Debug)]
struct FromFile {
    handle: Arc<Handle>,
    /// The chunk that is being sent, and where it lies.
    place: Option<(u32, ChunkPlace)>,
    /// What was there last, how long it is, and until when that tells something.
    last: Option<(Chunk, u64, Moment)>,
}

/// Where the chunk lies that has the byte `at`, if it is verified: where it was brought from, or where it is known to lie, for the
/// index may have another place for it by now.
fn find<'a>(
    handle: &Handle,
    known: &'a mut Option<(u32, ChunkPlace)>,
    disk: Option<&FromDisk>,
    at: u64,
) -> Option<&'a ChunkPlace> {
    let index = Handle::chunk_of(at)?;
    if known.as_ref().is_none_or(|(known, _)| *known != index) {
        let brought = disk.and_then(|disk| disk.place(index).cloned());
        let place = brought.or_else(|| handle.chunk_place(index));
        // One that is not verified yet is looked up again: it will be once it has been read.
        let verified = place.filter(ChunkPlace::is_verified);
        *known = verified.map(|place| (index, place));
    }
    let place = known.as_ref().map(|(_, place)| place);
    place.filter(|place| place.is_verified())
}

#[derive(Debug)]
struct More {
    /// Part heads and the end of the last part, with the range that follows each, last first.
    segments: Vec<(Vec<u8>, Option<Interval>)>,
    /// The part head being sent, and how much of it has gone.
    words: Bytes,
}

impl KeptBody {
    /// All of it.
    pub fn whole(kept: Kept) -> Self {
        let end = kept.object().map_or(0, |object| object.content.length());
        Self::part(kept, 0, end)
    }

    /// So many bytes of what is held, from `at` on.
    pub fn part(kept: Kept, at: u64, length: u64) -> Self {
        let end = at.saturating_add(length);
        let content = kept.object().map(|object| &object.content);
        let located = content.and_then(|content| content.located());
        let handle = located.and_then(Located::part);
        let is_whole = handle.as_ref().is_some_and(Handle::is_complete);
        let partial = content.filter(|_| !is_whole);
        let partial = partial.and_then(|content| content.partial());
        // Whoever reads what has just begun to come does not ask for it again.
        let is_new = partial.as_ref().is_some_and(|partial| partial.is_new());
        let handle = handle.filter(|_| !is_new);
        let disk = located.map(|_| Box::new(FromDisk::new(handle.map(Arc::new))));
        let coming = partial.map(|partial| {
            let (reader, bring) = (partial.sit(at, end), None);
            Box::new(Coming { reader, bring })
        });
        Self {
            kept,
            at,
            end,
            more: None,
            disk,
            coming,
            sent_from: SentFrom::Unknown,
        }
    }

    /// Whether not all of it was on the disk when it was begun.
    pub fn is_coming(&self) -> bool {
        self.coming.is_some()
    }

    /// What is missing when its turn comes, and that nobody brings, is asked for so.
    pub fn bring_with(&mut self, bring: Rc<dyn Bring>) {
        if let Some(coming) = &mut self.coming {
            coming.bring = Some(bring);
        }
    }

    /// Several ranges.
    pub fn parts(kept: Kept, plan: Multipart) -> Self {
        let parts = plan
            .parts
            .into_iter()
            .map(|(head, piece)| (head, Some(piece)));
        let mut segments: Vec<_> = parts.chain([(plan.end, None)]).collect();
        segments.reverse();
        let mut body = Self::part(kept, 0, 0);
        body.more = Some(Box::new(More {
            segments,
            words: Bytes::new(),
        }));
        body.settle();
        body
    }

    fn words(&self) -> Option<&Bytes> {
        let more = self.more.as_ref()?;
        (!more.words.is_empty()).then_some(&more.words)
    }

    /// Brings data or the end. Only content on the disk is waited for.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Filled, Reason>> {
        loop {
            if !self.data().is_empty() {
                return Poll::Ready(Ok(Filled::Data));
            }
            if self.at >= self.end {
                return Poll::Ready(Ok(Filled::End));
            }
            let lost = || Poll::Ready(Err(EdgeReason::KeptContentLost.into()));
            let Some(disk) = self.disk.as_deref_mut() else {
                return lost(); // a bug: memory holds less than it says
            };
            if let Some(pause) = &mut disk.pause {
                std::task::ready!(pause.as_mut().poll(cx));
                disk.pause = None;
            }
            if let Some(coming) = &mut self.coming
                && !disk.is_asked()
            {
                let bring = coming.bring.as_deref();
                match std::task::ready!(coming.reader.poll(cx, self.at, self.end, bring))? {
                    Brought::Bytes(bytes) => {
                        let most = self.end.saturating_sub(self.at).min(bytes.len() as u64);
                        disk.give(bytes.slice(..usize::try_from(most).unwrap_or(usize::MAX)));
                        continue;
                    }
                    Brought::OnDisk => {
                        let partial = coming.reader.partial();
                        if let Some(held) = partial.held() {
                            disk.handle = Some(held); // it has been let go of
                        } else if disk.handle.is_none() {
                            // Its head may have been written only now.
                            disk.handle = partial.located().seen().map(Arc::new);
                        }
                    }
                }
            }
            let Some(handle) = disk.handle.clone() else {
                return lost();
            };
            let chunk = CHUNK_BYTES as u64;
            let (Ok(index), within) = (u32::try_from(self.at / chunk), self.at % chunk) else {
                return lost();
            };
            let wanted = (self.end - self.at).min(chunk - within);
            // What is not read from the disk is asked for like what was never there; but not what only this holds.
            let held = self.coming.as_ref().and_then(|coming| coming.held());
            let is_asked_for =
                self.coming.is_some() && !held.is_some_and(|held| Arc::ptr_eq(&held, &handle));
            match std::task::ready!(disk.poll_asked(cx)) {
                None => {}
                Some(Asked::Brought) => continue,
                Some(Asked::Read(Some(bytes))) => {
                    // It has been verified and is in the kernel's memory now: from there on it needs none of ours.
                    let place = handle.chunk_place(index).filter(ChunkPlace::is_verified);
                    if !place.is_some_and(|place| disk.read_now(&place, within, wanted))
                        && !disk.hold(&bytes, within, wanted)
                    {
                        return lost();
                    }
                    continue;
                }
                Some(Asked::Read(None)) if is_asked_for => continue,
                Some(Asked::Read(None)) => return lost(),
            }
            let place = handle.chunk_place(index).filter(ChunkPlace::is_verified);
            if let Some(place) = &place
                && disk.read_now(place, within, wanted)
            {
                continue;
            }
            let settled = place.filter(ChunkPlace::is_settled);
            let asked = match settled.filter(|_| !disk.was_brought(self.at)) {
                Some(place) => disk.bring(&handle, &place, self.at, wanted),
                None => disk.read(&handle, index),
            };
            match asked {
                Ok(()) => {}
                Err(Refused::Behind) => {
                    disk.pause = Some(Box::pin(tokio::time::sleep(DISK_BEHIND)))
                }
                Err(Refused::Gone) if is_asked_for => {} // since we looked
                Err(_) => return lost(),
            }
        }
    }

    /// The bytes that are next; none when it is over, or when they have yet to be brought.
    pub fn data(&self) -> &[u8] {
        if let Some(words) = self.words() {
            return words;
        }
        match &self.disk {
            Some(disk) => disk.data(),
            None => self
                .kept
                .object()
                .map_or(&[], |object| object.content.slice(self.at, self.end)),
        }
    }

    /// What is next, at most `most` bytes, as it lies in a file of the disk tier: where that was verified, and is in the kernel's
    /// memory now. What was there long ago may have left, so this is asked for each piece that this core has not seen there within a
    /// second. Of what is likely to have left it is not asked, for that makes the kernel read it in pieces: a thread of the store's
    /// sees to it that it is there, which is waited for.
    pub fn poll_in_file(
        &mut self,
        cx: &mut Context<'_>,
        most: usize,
        window: &Window<'_>,
    ) -> Poll<Option<InFile<'_>>> {
        let had = std::task::ready!(self.poll_had(cx, most, window));
        Poll::Ready(had.and_then(|had| self.in_file(had)))
    }

    fn poll_had(
        &mut self,
        cx: &mut Context<'_>,
        most: usize,
        window: &Window<'_>,
    ) -> Poll<Option<HadIn>> {
        if matches!(self.sent_from, SentFrom::Memory) || self.words().is_some() {
            return Poll::Ready(None);
        }
        loop {
            if let Some(disk) = &mut self.disk {
                if disk.is_read() {
                    return Poll::Ready(None);
                }
                if !std::task::ready!(disk.poll_brought(cx, window.now)) {
                    self.sent_from = SentFrom::Memory; // what is wrong is found by whoever reads it
                    return Poll::Ready(None);
                }
                if let Some(pipe) = disk.poured(self.at) {
                    return Poll::Ready(Some(HadIn::Pipe(pipe.left().min(most))));
                }
            }
            if matches!(self.sent_from, SentFrom::Unknown) {
                self.sent_from = self.find_file();
            }
            let SentFrom::File(from) = &mut self.sent_from else {
                return Poll::Ready(None);
            };
            let left = self.end.saturating_sub(self.at);
            let FromFile {
                handle,
                place,
                last,
            } = &mut **from;
            let Some(place) = find(handle, place, self.disk.as_deref(), self.at) else {
                return Poll::Ready(None);
            };
            let within = self.at % CHUNK_BYTES as u64;
            let length = u64::from(place.length()).saturating_sub(within);
            let length = length.min(left).min(most as u64);
            let (Some(file), 1..) = (place.file(), length) else {
                return Poll::Ready(None);
            };
            let (chunk, at) = (Chunk::of(file, place.offset()), place.offset() + within);
            let there = match within == 0 && length == u64::from(place.length()) {
                true => There::Whole,
                false => There::InPart,
            };
            let disk = self.disk.as_deref();
            let is_brought = disk.is_some_and(|disk| disk.has_brought(self.at, length, window.now));
            if is_brought {
                handle.saw(place, there);
            }
            let ask = || {
                let known = handle.was_there(place);
                // Of what ranges have brought the ends tell nothing.
                let follows = known == Some(There::Whole)
                    && last.is_some_and(|(from, length, until)| {
                        window.now < until && from.goes_on(length, file, at)
                    });
                let is_likely = known.is_some() || disk.is_none() || !place.is_settled();
                let is_there = is_likely && is_resident(file, at, length, follows);
                if is_there {
                    handle.saw(place, there);
                }
                is_there
            };
            if is_brought || window.resident.has(chunk, (at, length), window.now, ask) {
                *last = Some((Chunk::of(file, at), length, window.now + RESIDENT_FOR));
                let length = usize::try_from(length).unwrap_or(most);
                return Poll::Ready(Some(HadIn::File(at, length)));
            }
            let Some(disk) = self.disk.as_mut().filter(|_| place.is_settled()) else {
                return Poll::Ready(None);
            };
            // What is large is brought however rarely it is asked for.
            let is_brought = match disk.way_on(self.at) {
                Some(way) => way == Way::Brought,
                None => handle.missed(place, there) || left > POURED_BYTES,
            };
            let asked = match is_brought {
                true => {
                    let wanted = (window.most as u64).max(CHUNK_BYTES as u64).min(left);
                    disk.bring(handle, place, self.at, wanted)
                }
                false => disk.pour(handle, place, self.at, left),
            };
            if asked.is_err() {
                return Poll::Ready(None);
            }
        }
    }

    fn in_file(&self, had: HadIn) -> Option<InFile<'_>> {
        let (holder, length) = match (had, &self.sent_from) {
            (HadIn::Pipe(length), _) => {
                let pipe = self.disk.as_ref()?.poured(self.at)?;
                (Holder::Pipe(pipe.from()?), length)
            }
            (HadIn::File(at, length), SentFrom::File(from)) => {
                let (_, place) = from.place.as_ref()?;
                (Holder::File(place.file()?, at), length)
            }
            _ => return None,
        };
        Some(InFile { holder, length })
    }

    fn find_file(&self) -> SentFrom {
        if self.end.saturating_sub(self.at) < FROM_FILE_BYTES {
            return SentFrom::Memory;
        }
        let handle = match &self.disk {
            Some(disk) => disk.handle.clone(),
            None => {
                let located = self.kept.object().and_then(|object| object.located());
                located.and_then(|located| located.handle().map(Arc::new))
            }
        };
        if handle.is_none() && self.coming.is_some() {
            return SentFrom::Unknown; // its head has yet to be written
        }
        handle.map_or(SentFrom::Memory, |handle| {
            SentFrom::File(Box::new(FromFile {
                handle,
                place: None,
                last: None,
            }))
        })
    }

    /// The kernel does not send from that file.
    pub fn not_in_file(&mut self) {
        self.sent_from = SentFrom::Memory;
        if let Some(disk) = &mut self.disk {
            disk.spill();
        }
    }

    /// Takes bytes away.
    pub fn consume(&mut self, n: usize) {
        if let Some(more) = &mut self.more
            && !more.words.is_empty()
        {
            let _ = more.words.split_to(n.min(more.words.len()));
        } else {
            if let Some(disk) = &mut self.disk {
                disk.consume(self.at, n);
            }
            self.at = self.at.saturating_add(n as u64);
            if let Some(coming) = &self.coming {
                coming.reader.move_to(self.at, self.end);
            }
        }
        self.settle();
    }

    /// The next bytes as a chunk of its own; copied only where they come from the disk.
    pub fn take(&mut self, most: usize) -> Bytes {
        let most = self.data().len().min(most);
        let chunk = match (self.words(), &self.disk) {
            (Some(words), _) => words.slice(..most),
            (None, Some(disk)) => disk.share(most),
            (None, None) => self
                .kept
                .object()
                .map_or_else(Bytes::new, |object| object.content.share(self.at, most)),
        };
        self.consume(chunk.len());
        chunk
    }

    /// Bytes that it holds for this answer alone.
    pub fn held(&self) -> usize {
        self.disk.as_ref().map_or(0, |disk| disk.held())
    }

    /// How many bytes are to come.
    pub fn length(&self) -> u64 {
        let here = self.end.saturating_sub(self.at);
        let Some(more) = &self.more else {
            return here;
        };
        let later = more.segments.iter().map(|(words, piece)| {
            (words.len() as u64).saturating_add(piece.map_or(0, Interval::length))
        });
        later.fold(here + more.words.len() as u64, u64::saturating_add)
    }

    /// Goes on to the next segment where one is used up.
    fn settle(&mut self) {
        let Some(more) = &mut self.more else {
            return;
        };
        while more.words.is_empty() && self.at >= self.end {
            let Some((words, piece)) = more.segments.pop() else {
                return;
            };
            more.words = words.into();
            if let Some(piece) = piece {
                (self.at, self.end) = (piece.first, piece.last.saturating_add(1));
                if let Some(coming) = &self.coming {
                    coming.reader.move_to(self.at, self.end);
                }
            }
        }
    }
}
