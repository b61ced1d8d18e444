//! The body of a request on an HTTP/2 stream, and a stream as the end of a tunnel.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use mangrove_http::{Refusal, Trailers};

use super::TOO_LARGE;
use super::wire::Wire;
use crate::accept::Awaited;
use crate::body::Filled;
use crate::core::Core;
use crate::origin::http2::trailers_of;
use crate::rate::{Pace, TooSlow};
use crate::reason::{EdgeReason, Reason};
use crate::snapshot::Snapshot;
use crate::tunnel::End;
use crate::wheel::Timer;

/// How far a request body has come, to be read when the body itself has gone elsewhere.
#[derive(Debug, Default)]
pub struct Progress {
    received: Cell<u64>,
    ended: Cell<bool>,
}

impl Progress {
    /// Bytes received.
    pub fn received(&self) -> u64 {
        self.received.get()
    }

    /// True once the client has said that no more will come.
    pub fn has_ended(&self) -> bool {
        self.ended.get()
    }
}

/// What a client sends on one stream.
#[derive(Debug)]
pub struct RequestStream {
    core: Rc<Core>,
    wire: Wire,
    recv: h2::RecvStream,
    chunk: Bytes,
    trailers: Option<Trailers>,
    /// `Content-Length`, if there is one.
    declared: Option<u64>,
    progress: Rc<Progress>,
    limit: u64,
    touched: bool,
    timer: Timer,
    pace: Pace,
    /// While more of it is waited for.
    awaited: Option<Awaited>,
}

impl RequestStream {
    /// The body behind a head.
    pub fn new(
        core: &Rc<Core>,
        wire: Wire,
        recv: h2::RecvStream,
        declared: Option<u64>,
        limit: u64,
        snapshot: &Snapshot,
    ) -> Self {
        let limits = &snapshot.settled.server.limits;
        Self {
            timer: core.wheel.timer(),
            core: Rc::clone(core),
            wire,
            progress: Rc::new(Progress {
                received: Cell::new(0),
                ended: Cell::new(recv.is_end_stream()),
            }),
            recv,
            chunk: Bytes::new(),
            trailers: None,
            declared,
            limit,
            touched: false,
            awaited: None,
            pace: Pace::new(
                limits.request_body_idle,
                limits.request_body_min_rate,
                limits.min_rate_grace,
            ),
        }
    }

    /// True when the stream ended with its head.
    pub fn is_empty(&self) -> bool {
        self.progress.has_ended()
    }

    /// How far it has come, now and later.
    pub fn progress(&self) -> Rc<Progress> {
        Rc::clone(&self.progress)
    }

    /// True once someone has begun to read.
    pub fn touched(&self) -> bool {
        self.touched
    }

    /// Brings data or the end.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Filled, Reason>> {
        self.touched = true;
        loop {
            if !self.chunk.is_empty() {
                return Poll::Ready(Ok(Filled::Data));
            }
            if self.progress.has_ended() {
                return Poll::Ready(Ok(Filled::End));
            }
            let came = self.recv.poll_data(cx);
            if came.is_ready() {
                self.awaited = None;
            }
            match came {
                Poll::Ready(Some(Ok(chunk))) => {
                    let now = self.core.wheel.now();
                    self.pace.moved(chunk.len() as u64, now);
                    self.wire.presence().moved(chunk.len(), now);
                    let received = self.progress.received().saturating_add(chunk.len() as u64);
                    self.progress.received.set(received);
                    if received > self.limit {
                        return Poll::Ready(Err(TOO_LARGE));
                    }
                    self.chunk = chunk;
                }
                Poll::Ready(Some(Err(_))) => {
                    return Poll::Ready(Err(self.wire.why_over(self.recv.stream_id())));
                }
                Poll::Ready(None) => {
                    // The crate checks Content-Length against DATA; this guards our own framing upstream.
                    if self
                        .declared
                        .is_some_and(|declared| declared != self.progress.received())
                    {
                        return Poll::Ready(Err(Refusal::ContentLengthDisagrees.into()));
                    }
                    match ready!(self.recv.poll_trailers(cx)) {
                        Ok(Some(_)) if self.wire.had_long_trailers(self.recv.stream_id()) => {
                            return Poll::Ready(Err(Refusal::TrailersTooLarge.into()));
                        }
                        Ok(Some(fields)) => match trailers_of(&fields) {
                            Ok(trailers) => self.trailers = trailers,
                            Err(fault) => return Poll::Ready(Err(Refusal::from(fault).into())),
                        },
                        Ok(None) => {}
                        Err(_) => {
                            return Poll::Ready(Err(self.wire.why_over(self.recv.stream_id())));
                        }
                    }
                    self.progress.ended.set(true);
                }
                Poll::Pending => {
                    let now = self.core.wheel.now();
                    self.awaited.get_or_insert_with(|| self.wire.awaits());
                    self.timer.arm(self.pace.waiting(now));
                    ready!(self.timer.poll_expired(cx));
                    return Poll::Ready(Err(match self.pace.verdict(self.core.wheel.now()) {
                        TooSlow::Silent => Refusal::BodyTimeout.into(),
                        TooSlow::UnderRate => EdgeReason::RequestBodyTooSlow.into(),
                    }));
                }
            }
        }
    }

    /// The data at hand.
    pub fn data(&self) -> &[u8] {
        &self.chunk
    }

    /// Takes `n` bytes of it away, and lets the client send as many more.
    pub fn consume(&mut self, n: usize) {
        let n = n.min(self.chunk.len());
        self.chunk.advance(n);
        let _ = self.recv.flow_control().release_capacity(n);
    }

    /// The data as a chunk of its own, without a copy.
    pub fn take(&mut self, most: usize) -> Bytes {
        let chunk = self.chunk.split_to(most.min(self.chunk.len()));
        let _ = self.recv.flow_control().release_capacity(chunk.len());
        chunk
    }

    /// Trailer fields, once the end was reached.
    pub fn trailers(&self) -> Option<&Trailers> {
        self.trailers.as_ref()
    }
}

impl Drop for RequestStream {
    /// An upload of a known length is not read past it: what says that it ended may lie unread.
    fn drop(&mut self) {
        if self.recv.is_end_stream() {
            self.progress.ended.set(true);
        }
    }
}

/// A stream as one end of a tunnel.
pub(super) struct StreamEnd {
    incoming: RequestStream,
    out: h2::SendStream<Bytes>,
    closed: bool,
}

impl StreamEnd {
    pub(super) fn new(incoming: RequestStream, out: h2::SendStream<Bytes>) -> Self {
        Self {
            incoming,
            out,
            closed: false,
        }
    }
}

impl End for StreamEnd {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        match ready!(self.incoming.recv.poll_data(cx)) {
            Some(Ok(chunk)) if chunk.is_empty() => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Ok(chunk)) => {
                into.extend_from_slice(&chunk);
                let _ = self
                    .incoming
                    .recv
                    .flow_control()
                    .release_capacity(chunk.len());
                Poll::Ready(Ok(chunk.len()))
            }
            Some(Err(_)) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            None => Poll::Ready(Ok(0)),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.out.reserve_capacity(bytes.len());
        match ready!(self.out.poll_capacity(cx)) {
            Some(Ok(n)) if n > 0 => {
                let part = bytes.get(..n.min(bytes.len())).unwrap_or_default();
                match self.out.send_data(Bytes::copy_from_slice(part), false) {
                    Ok(()) => Poll::Ready(Ok(part.len())),
                    Err(_) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                }
            }
            Some(Ok(_)) => Poll::Pending,
            _ => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }

    fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.closed {
            self.closed = true;
            let _ = self.out.send_data(Bytes::new(), true);
        }
        Poll::Ready(Ok(()))
    }
}
