//! A message on its way out over HTTP/1, to either side: head and first chunk in one call, then
//! chunk by chunk as they come, or from a file where they lie in one and the sink can send from it. One piece of code for
//! answers and for uploads.

use std::fs::File;
use std::io::IoSlice;
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll};

use mangrove_http::{CHUNK_HEAD_BYTES, Moment, chunk_head, write_last_chunk};

use crate::body::{CHUNK_BYTES, Filled, RequestBody, ResponseBody};
use crate::cache::Resident;
use crate::reason::{EdgeReason, Reason};

/// A chunk this small is copied behind the head: one plain write is cheaper than a gathered one.
pub(crate) const COPY_BYTES: usize = 4 * 1024;

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutgoingFraming {
    /// No body follows.
    None,
    /// So many bytes are still to be sent.
    Length(u64),
    /// Chunks, with trailers if there are any.
    Chunked,
    /// The connection ends with it.
    UntilClose,
}

/// Where body bytes come from.
pub trait Source {
    /// Brings data or the end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Filled, Reason>>;
    /// Looks at the data.
    fn with_data<T>(&self, look: impl FnOnce(&[u8]) -> T) -> T;
    /// Takes some away.
    fn consume(&mut self, n: usize);
    /// Writes the last chunk and the trailers.
    fn write_last_chunk(&self, out: &mut Vec<u8>);
    /// What is next, at most `most` bytes, where it is best sent from a file: once it can be without making a core wait for a disk.
    fn poll_in_file(
        &mut self,
        _cx: &mut Context<'_>,
        _most: usize,
        _window: &Window<'_>,
    ) -> Poll<Option<InFile<'_>>> {
        Poll::Ready(None)
    }
    /// It could not be sent from the file: from now on it is brought.
    fn not_in_file(&mut self) {}
}

/// Bytes of a file that the kernel has, and can send as they are.
#[derive(Clone, Copy, Debug)]
pub struct InFile<'a> {
    /// Where it has them.
    pub holder: Holder<'a>,
    /// How many there are.
    pub length: usize,
}

/// Where the kernel has bytes of a file.
#[derive(Clone, Copy, Debug)]
pub enum Holder<'a> {
    /// In its memory, as those of this file from there on.
    File(&'a File, u64),
    /// Next in a pipe.
    Pipe(BorrowedFd<'a>),
}

/// What a sink that files can be sent to says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Window<'a> {
    /// How much it may take of a file at once.
    pub most: usize,
    /// What can be sent without waiting for the disk, as far as its core has seen.
    pub resident: &'a Resident,
    /// When it is asked.
    pub now: Moment,
}

/// Where the bytes of a message go.
pub trait Sink {
    /// Writes some of the slices.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize, Reason>>;
    /// What it may take of a file; none where it cannot send from one.
    fn file_window(&self) -> Option<Window<'_>> {
        None
    }
    /// Writes some bytes that go before a file's, together with them where that can be.
    fn poll_write_before_file(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, Reason>> {
        self.poll_write(cx, &[IoSlice::new(bytes)])
    }
    /// Sends some bytes of a file; 0 where they cannot be sent from it.
    fn poll_send_file(
        &mut self,
        _cx: &mut Context<'_>,
        _piece: InFile<'_>,
    ) -> Poll<Result<usize, Reason>> {
        Poll::Ready(Ok(0))
    }
}

impl Source for RequestBody {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Filled, Reason>> {
        RequestBody::poll_fill(self, cx)
    }
    fn with_data<T>(&self, look: impl FnOnce(&[u8]) -> T) -> T {
        RequestBody::with_data(self, look)
    }
    fn consume(&mut self, n: usize) {
        RequestBody::consume(self, n);
    }
    fn write_last_chunk(&self, out: &mut Vec<u8>) {
        self.with_trailers(|trailers| match trailers {
            Some(trailers) => write_last_chunk(trailers.fields(), out),
            None => write_last_chunk([], out),
        });
    }
}

impl Source for ResponseBody {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Filled, Reason>> {
        ResponseBody::poll_fill(self, cx)
    }
    fn with_data<T>(&self, look: impl FnOnce(&[u8]) -> T) -> T {
        look(self.data())
    }
    fn consume(&mut self, n: usize) {
        ResponseBody::consume(self, n);
    }
    fn write_last_chunk(&self, out: &mut Vec<u8>) {
        match self.trailers() {
            Some(trailers) => write_last_chunk(trailers.fields(), out),
            None => write_last_chunk([], out),
        }
    }
    fn poll_in_file(
        &mut self,
        cx: &mut Context<'_>,
        most: usize,
        window: &Window<'_>,
    ) -> Poll<Option<InFile<'_>>> {
        match self {
            Self::Kept(body) => body.poll_in_file(cx, most, window),
            _ => Poll::Ready(None),
        }
    }
    fn not_in_file(&mut self) {
        if let Self::Kept(body) = self {
            body.not_in_file();
        }
    }
}

/// Whether a file is sent from.
enum ByFile {
    /// It is not.
    No,
    /// It will be, once the disk has given what is next.
    AwaitsDisk,
    /// It is.
    Sent(Poll<Result<(), Reason>>),
}

/// What can be written without asking the source for more.
#[derive(Debug)]
pub struct Outgoing {
    /// Head and framing that go before the data at hand.
    out: Vec<u8>,
    at: usize,
    framing: OutgoingFraming,
    /// Data at hand that `out` has announced.
    announced: usize,
    ended: bool,
    begun: bool,
    sent: u64,
}

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Everything was written.
    Done,
    /// All that the source has brought was written; it will wake the task.
    AwaitsSource,
    /// The other side takes no more now; the stream will wake the task.
    AwaitsSink,
}

/// Whose failure ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The body could not be read to its end.
    Source(Reason),
    /// The bytes could not be written.
    Sink(Reason),
}

impl Outgoing {
    /// A message that begins with `head`.
    pub fn new(head: Vec<u8>, framing: OutgoingFraming) -> Self {
        Self {
            out: head,
            at: 0,
            framing,
            announced: 0,
            ended: framing == OutgoingFraming::None,
            begun: false,
            sent: 0,
        }
    }

    /// Puts `bytes` before everything else; only before the first write.
    pub fn put_before(&mut self, bytes: Vec<u8>) {
        if self.at == 0 && !bytes.is_empty() {
            self.out.splice(0..0, bytes);
        }
    }

    /// How the end is told.
    pub fn framing(&self) -> OutgoingFraming {
        self.framing
    }

    /// True once a byte was written.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// Body bytes written.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// True once the last byte was written.
    pub fn is_done(&self) -> bool {
        self.ended && self.is_drained()
    }

    /// What is left of the head: to go before what another [`Outgoing`] sends.
    pub fn into_unsent(mut self) -> Vec<u8> {
        self.out.drain(..self.at.min(self.out.len()));
        self.out
    }

    /// The buffer, to be used again.
    pub fn into_buffer(self) -> Vec<u8> {
        self.out
    }

    /// Writes as far as it goes.
    pub fn poll<S: Source>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut S,
        mut sink: impl Sink,
    ) -> Result<Progress, Broken> {
        loop {
            let mut starved = match self.poll_send_file(cx, source, &mut sink) {
                ByFile::No => false,
                ByFile::AwaitsDisk => true,
                ByFile::Sent(Poll::Pending) => return Ok(Progress::AwaitsSink),
                ByFile::Sent(Poll::Ready(outcome)) => {
                    outcome.map_err(Broken::Sink)?;
                    continue;
                }
            };
            if !starved && !self.ended && self.announced == 0 {
                match source.poll_fill(cx) {
                    Poll::Ready(filled) => {
                        filled
                            .and_then(|filled| self.announce(filled, source))
                            .map_err(Broken::Source)?;
                    }
                    Poll::Pending => starved = true,
                }
            }
            if self.is_drained() {
                if self.ended {
                    return Ok(Progress::Done);
                }
                if starved {
                    return Ok(Progress::AwaitsSource);
                }
            }
            match self.write_some(cx, source, &mut sink) {
                Poll::Pending => return Ok(Progress::AwaitsSink),
                Poll::Ready(outcome) => outcome.map_err(Broken::Sink)?,
            }
        }
    }

    /// Sends what is next from a file, if it lies in one; the head before it.
    fn poll_send_file<S: Source>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut S,
        sink: &mut impl Sink,
    ) -> ByFile {
        let OutgoingFraming::Length(left @ 1..) = self.framing else {
            return ByFile::No; // chunks have heads of their own, each
        };
        if self.ended || self.announced > 0 {
            return ByFile::No;
        }
        let Some(window) = sink.file_window() else {
            return ByFile::No;
        };
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        let piece = match source.poll_in_file(cx, window.most.min(most), &window) {
            Poll::Pending => return ByFile::AwaitsDisk,
            Poll::Ready(None) => return ByFile::No,
            Poll::Ready(Some(piece)) => piece,
        };
        if let Some(head) = self.out.get(self.at..).filter(|head| !head.is_empty()) {
            match sink.poll_write_before_file(cx, head) {
                Poll::Ready(Ok(n)) => self.wrote_of_head(n),
                other => return ByFile::Sent(other.map_ok(drop)),
            }
            if !self.out.is_empty() {
                return ByFile::Sent(Poll::Ready(Ok(())));
            }
        }
        let sent = sink.poll_send_file(cx, piece);
        ByFile::Sent(sent.map_ok(|n| match n {
            0 => source.not_in_file(),
            n => {
                self.begun = true;
                self.framing = OutgoingFraming::Length(left.saturating_sub(n as u64));
                self.announced = n;
                self.took(source, n);
            }
        }))
    }

    fn is_drained(&self) -> bool {
        self.at >= self.out.len() && self.announced == 0
    }

    /// Puts the framing of what the source brought into `out`.
    fn announce<S: Source>(&mut self, filled: Filled, source: &S) -> Result<(), Reason> {
        match filled {
            Filled::Data => {
                let length = source.with_data(<[u8]>::len).min(CHUNK_BYTES);
                match &mut self.framing {
                    OutgoingFraming::Length(left) => {
                        // A source checks its own length; more would begin the next message.
                        *left = left
                            .checked_sub(length as u64)
                            .ok_or(EdgeReason::InternalError)?;
                    }
                    OutgoingFraming::Chunked => {
                        let mut head = [0u8; CHUNK_HEAD_BYTES];
                        self.out.extend_from_slice(chunk_head(length, &mut head));
                    }
                    OutgoingFraming::UntilClose | OutgoingFraming::None => {}
                }
                self.announced = length;
            }
            Filled::End => {
                self.ended = true;
                match self.framing {
                    OutgoingFraming::Length(1..) => return Err(EdgeReason::InternalError.into()),
                    OutgoingFraming::Chunked => source.write_last_chunk(&mut self.out),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn write_some<S: Source>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut S,
        sink: &mut impl Sink,
    ) -> Poll<Result<(), Reason>> {
        let line_end: &[u8] = if self.framing == OutgoingFraming::Chunked {
            b"\r\n"
        } else {
            b""
        };
        if self.announced > 0 && self.announced <= COPY_BYTES && self.at < self.out.len() {
            let (out, announced) = (&mut self.out, self.announced);
            source
                .with_data(|data| out.extend_from_slice(data.get(..announced).unwrap_or_default()));
            self.out.extend_from_slice(line_end);
            self.took(source, self.announced);
        }
        let head = self.out.get(self.at..).unwrap_or_default();
        let head_length = head.len();
        let wrote = if self.announced == 0 {
            sink.poll_write(cx, &[IoSlice::new(head)])
        } else {
            source.with_data(|data| {
                let data = data.get(..self.announced).unwrap_or_default();
                if head.is_empty() && line_end.is_empty() {
                    sink.poll_write(cx, &[IoSlice::new(data)])
                } else {
                    sink.poll_write(
                        cx,
                        &[
                            IoSlice::new(head),
                            IoSlice::new(data),
                            IoSlice::new(line_end),
                        ],
                    )
                }
            })
        };
        let mut wrote = match wrote {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(reason)) => return Poll::Ready(Err(reason)),
            Poll::Ready(Ok(n)) => n,
        };
        let of_head = wrote.min(head_length);
        self.begun |= wrote > 0;
        self.wrote_of_head(of_head);
        wrote -= of_head;
        if wrote > 0 {
            let of_data = wrote.min(self.announced);
            wrote -= of_data;
            self.took(source, of_data);
            if self.announced == 0 {
                self.out
                    .extend_from_slice(line_end.get(wrote..).unwrap_or_default());
            }
        }
        Poll::Ready(Ok(()))
    }

    fn wrote_of_head(&mut self, n: usize) {
        self.begun |= n > 0;
        self.at += n;
        if self.at >= self.out.len() {
            self.out.clear();
            self.at = 0;
        }
    }

    fn took<S: Source>(&mut self, source: &mut S, n: usize) {
        source.consume(n);
        self.announced -= n.min(self.announced);
        self.sent = self.sent.saturating_add(n as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;
    use std::task::Waker;

    struct Writes<F>(F);

    impl<F: FnMut(&[IoSlice<'_>]) -> Poll<Result<usize, Reason>>> Sink for Writes<F> {
        fn poll_write(
            &mut self,
            _: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<Result<usize, Reason>> {
            self.0(slices)
        }
    }

    /// Writes through a sink that takes `step` bytes at a time and is full every other call.
    fn through(framing: OutgoingFraming, content: &[u8], step: usize) -> Vec<u8> {
        let mut cx = Context::from_waker(Waker::noop());
        let mut body = ResponseBody::whole(Bytes::copy_from_slice(content));
        let mut outgoing = Outgoing::new(b"HEAD\r\n\r\n".to_vec(), framing);
        let (mut wire, mut full) = (Vec::new(), false);
        loop {
            let progress = outgoing.poll(
                &mut cx,
                &mut body,
                Writes(|slices: &[IoSlice<'_>]| {
                    full = !full;
                    if full {
                        return Poll::Pending;
                    }
                    let all: Vec<u8> = slices
                        .iter()
                        .flat_map(|slice| slice.iter().copied())
                        .collect();
                    let n = all.len().min(step);
                    wire.extend_from_slice(&all[..n]);
                    Poll::Ready(Ok(n))
                }),
            );
            match progress.unwrap() {
                Progress::Done => return wire,
                Progress::AwaitsSink => {}
                Progress::AwaitsSource => panic!("the source has everything at hand"),
            }
        }
    }

    proptest! {
        #[test]
        fn however_the_sink_takes_it_the_wire_is_the_same(content in proptest::collection::vec(any::<u8>(), 0..20_000), step in 1usize..9_000) {
            let length = OutgoingFraming::Length(content.len() as u64);
            let expected: Vec<u8> = b"HEAD\r\n\r\n".iter().chain(&content).copied().collect();
            prop_assert_eq!(through(length, &content, step), expected);

            let mut chunked = b"HEAD\r\n\r\n".to_vec();
            if !content.is_empty() {
                chunked.extend_from_slice(format!("{:x}\r\n", content.len()).as_bytes());
                chunked.extend_from_slice(&content);
                chunked.extend_from_slice(b"\r\n");
            }
            chunked.extend_from_slice(b"0\r\n\r\n");
            prop_assert_eq!(through(OutgoingFraming::Chunked, &content, step), chunked);
        }
    }

    /// Content of which some lies in a file, with a sink that takes `step` bytes at a time and is full every other call.
    struct HalfInFile {
        content: Vec<u8>,
        file: File,
        at: usize,
        /// So much is in the file, by turns with what is not.
        turn: usize,
        awaited: bool,
        given_up: bool,
    }

    impl Source for HalfInFile {
        fn poll_fill(&mut self, _: &mut Context<'_>) -> Poll<Result<Filled, Reason>> {
            Poll::Ready(Ok(match self.at < self.content.len() {
                true => Filled::Data,
                false => Filled::End,
            }))
        }
        fn with_data<T>(&self, look: impl FnOnce(&[u8]) -> T) -> T {
            let end = (self.at / self.turn + 1) * self.turn;
            look(&self.content[self.at..end.min(self.content.len())])
        }
        fn consume(&mut self, n: usize) {
            self.at += n;
        }
        fn write_last_chunk(&self, _: &mut Vec<u8>) {}
        fn poll_in_file(
            &mut self,
            _: &mut Context<'_>,
            most: usize,
            _: &Window<'_>,
        ) -> Poll<Option<InFile<'_>>> {
            // By turns it is awaited first, as if from a disk.
            self.awaited = !self.awaited;
            let left = (self.content.len() - self.at).min(most);
            let in_file = (self.at / self.turn) % 2 == 1 && left > 0 && !self.given_up;
            if in_file && self.awaited {
                return Poll::Pending;
            }
            Poll::Ready(in_file.then_some(InFile {
                holder: Holder::File(&self.file, self.at as u64),
                length: left.min(self.turn - self.at % self.turn),
            }))
        }
        fn not_in_file(&mut self) {
            self.given_up = true;
        }
    }

    struct Wire {
        bytes: Vec<u8>,
        from_file: usize,
        step: usize,
        full: bool,
        /// Files are at fault from so many bytes on.
        fails_at: usize,
        resident: Resident,
    }

    impl Wire {
        fn take(&mut self, bytes: &[u8]) -> Poll<Result<usize, Reason>> {
            self.full = !self.full;
            if self.full {
                return Poll::Pending;
            }
            let n = bytes.len().min(self.step);
            self.bytes.extend_from_slice(&bytes[..n]);
            Poll::Ready(Ok(n))
        }
    }

    impl Sink for &mut Wire {
        fn poll_write(
            &mut self,
            _: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<Result<usize, Reason>> {
            let all: Vec<u8> = slices.iter().flat_map(|one| one.iter().copied()).collect();
            self.take(&all)
        }
        fn file_window(&self) -> Option<Window<'_>> {
            Some(Window {
                most: self.step.max(700),
                resident: &self.resident,
                now: Moment(0),
            })
        }
        fn poll_send_file(
            &mut self,
            _: &mut Context<'_>,
            piece: InFile<'_>,
        ) -> Poll<Result<usize, Reason>> {
            use std::os::unix::fs::FileExt;
            if self.from_file >= self.fails_at {
                return Poll::Ready(Ok(0));
            }
            let Holder::File(file, at) = piece.holder else {
                panic!("{piece:?}");
            };
            let mut bytes = vec![0; piece.length];
            file.read_exact_at(&mut bytes, at).unwrap();
            let sent = self.take(&bytes);
            if let Poll::Ready(Ok(n)) = sent {
                self.from_file += n;
            }
            sent
        }
    }

    proptest! {
        /// Whatever lies in the file, however little is taken, and wherever the file begins to fail: the bytes are the same.
        #[test]
        fn what_comes_from_a_file_and_what_does_not_make_one_message(
            content in proptest::collection::vec(any::<u8>(), 0..9_000),
            turn in 1usize..4_000,
            step in 1usize..5_000,
            fails_at in 0usize..9_000,
        ) {
            let mut file = tempfile::tempfile().unwrap();
            std::io::Write::write_all(&mut file, &content).unwrap();
            let length = content.len() as u64;
            let mut source = HalfInFile { content, file, at: 0, turn, awaited: false, given_up: false };
            let framing = OutgoingFraming::Length(length);
            let mut outgoing = Outgoing::new(b"HEAD\r\n\r\n".to_vec(), framing);
            let resident = Resident::default();
            let mut wire = Wire { bytes: Vec::new(), from_file: 0, step, full: false, fails_at, resident };
            let mut cx = Context::from_waker(Waker::noop());
            while outgoing.poll(&mut cx, &mut source, &mut wire).unwrap() != Progress::Done {}
            prop_assert_eq!(&wire.bytes[..8], b"HEAD\r\n\r\n");
            prop_assert_eq!(&wire.bytes[8..], &source.content[..]);
            prop_assert_eq!(outgoing.sent(), length);
            prop_assert!(wire.from_file > 0 || source.content.len() <= turn || fails_at == 0);
        }
    }

    #[test]
    fn a_source_that_brings_less_or_more_than_announced_is_broken_not_sent() {
        let mut cx = Context::from_waker(Waker::noop());
        for announced in [4, 6] {
            let mut body = ResponseBody::whole(Bytes::from_static(b"hello"));
            let mut outgoing = Outgoing::new(Vec::new(), OutgoingFraming::Length(announced));
            let outcome = outgoing.poll(
                &mut cx,
                &mut body,
                Writes(|slices: &[IoSlice<'_>]| {
                    Poll::Ready(Ok(slices.iter().map(|s| s.len()).sum()))
                }),
            );
            assert!(matches!(outcome, Err(Broken::Source(_))), "{announced}");
        }
    }
}
