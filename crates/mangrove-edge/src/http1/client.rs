//! The client's side of an HTTP/1 connection: reading heads and bodies, and the bytes going out.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use mangrove_http::{
    BodyDecoder, BodyFraming, Field, Known, Moment, Refusal, RequestHead, ResponseHead, Trailers,
};

use crate::accept::Presence;
use crate::answer_head::{push_field, push_status_line};
use crate::body::Filled;
use crate::closing::{Closing, LINGER};
use crate::core::{Connection, Core, HEAD_READ_BYTES, READ_BYTES};
use crate::incoming::{Incoming, Stop};
use crate::io::Stream;
use crate::outgoing::{InFile, Window};
use crate::pipeline::{Interim, Story};
use crate::rate::{Pace, TooSlow};
use crate::reason::{EdgeReason, Reason};
use crate::snapshot::Snapshot;
use crate::uptake::{Uptake, reason_of, see_off};
use crate::wheel::Timer;

/// Once the edge drains, an idle connection may send one more request for so long; a client that is
/// in the middle of its work gets an orderly `connection: close` that way, and not a close that
/// crosses its next request.
pub(crate) const LAST_CALL: Duration = Duration::from_secs(5);
/// A client that has closed for sending may have gone, or may only have nothing more to ask (RFC 9112
/// section 9.6); nothing on the wire tells which. It is given so long for each next piece of its
/// answer, and then the origin is let go.
pub(crate) const HALF_CLOSED: Duration = Duration::from_secs(5);
/// How much of a body nobody wanted is read to save the connection.
pub(crate) const SKIP_BYTES: u64 = 256 * 1024;
/// Interim responses waiting to go out; an origin that sends more than fit is cut short.
pub(crate) const INTERIM_BYTES: usize = 64 * 1024;

/// One HTTP/1 connection of a client. Used by one task; request bodies hold a handle to it.
#[derive(Debug)]
pub struct ClientSide {
    core: Rc<Core>,
    connection: Rc<Connection>,
    presence: Rc<Presence>,
    inner: RefCell<Inner>,
}

#[derive(Debug)]
struct Inner {
    stream: Stream,
    /// The head being read; none while idle.
    head: Option<Rc<RequestHead>>,
    head_started: u64,
    /// Read and not yet used: the body, or the next request.
    input: Incoming,
    /// Interim responses on their way out.
    interim: Vec<u8>,
    interim_at: usize,
    read_timer: Timer,
    write_timer: Timer,
    body: Option<Body>,
    read_ended: bool,
    last_call: bool,
}

#[derive(Debug)]
struct Body {
    decoder: BodyDecoder,
    pace: Pace,
    received: u64,
    /// Bytes at hand that `received` counts already.
    noted: usize,
    limit: u64,
    touched: bool,
    awaits_continue: bool,
    failed: Option<Reason>,
}

/// What reading a head came to.
#[derive(Debug)]
pub enum HeadRead {
    /// A whole one, when its first byte was seen, and when its last was.
    Request(Rc<RequestHead>, u64, u64),
    /// One that is answered with a "no".
    Refused(Rc<RequestHead>, u64, Reason),
    /// The client went in the middle of one: recorded, not answered.
    Cut(Rc<RequestHead>, u64),
    /// The client has gone, or said nothing for too long: there is no one to answer.
    Nothing,
}

impl ClientSide {
    /// A connection that has said nothing yet.
    pub fn new(
        core: Rc<Core>,
        connection: Rc<Connection>,
        stream: Stream,
        presence: Rc<Presence>,
    ) -> Rc<Self> {
        let (read_timer, write_timer) = (core.wheel.timer(), core.wheel.timer());
        Rc::new(Self {
            core,
            connection,
            presence,
            inner: RefCell::new(Inner {
                stream,
                head: None,
                head_started: 0,
                input: Incoming::default(),
                interim: Vec::new(),
                interim_at: 0,
                read_timer,
                write_timer,
                body: None,
                read_ended: false,
                last_call: false,
            }),
        })
    }

    /// Where it lives.
    pub fn core(&self) -> &Rc<Core> {
        &self.core
    }

    /// Who it is with.
    pub fn connection(&self) -> &Rc<Connection> {
        &self.connection
    }

    /// Reads the next head. The deadline before its first byte is that of an idle connection (of a
    /// silent one for the `first`); from its first byte on there is one for the whole head.
    pub fn poll_head(&self, cx: &mut Context<'_>, first: bool) -> Poll<HeadRead> {
        let inner = &mut *self.inner.borrow_mut();
        let snapshot = self.core.snapshot();
        let limits = &snapshot.settled.server.limits;
        if inner.head.is_none() && !inner.input.is_empty() {
            // The client sent its next request behind the last one (RFC 9112 section 9.3.2).
            let mut head = self.core.take_request_head();
            inner
                .input
                .take_unused(&self.core, Rc::make_mut(&mut head).octets_mut());
            inner.head = Some(head);
            inner.head_started = self.core.clock.nanos();
            inner.read_timer.arm_in(limits.request_head);
            if let Some(read) = self.parse(inner, &snapshot, true) {
                return Poll::Ready(read);
            }
            self.presence.idle(self.core.wheel.now());
        } else if inner.head.is_none() && inner.read_timer.deadline().is_none() {
            self.presence.idle(self.core.wheel.now());
            inner.read_timer.arm_in(if first {
                limits.protocol_sniff
            } else {
                limits.keep_alive_idle
            });
        }
        loop {
            let idle = inner.head.is_none();
            let mut head = inner
                .head
                .take()
                .unwrap_or_else(|| self.core.take_request_head());
            let read = inner.stream.poll_read_into(
                cx,
                Rc::make_mut(&mut head).octets_mut(),
                HEAD_READ_BYTES,
            );
            match read {
                Poll::Ready(Ok(n)) if n > 0 => {
                    if idle {
                        inner.head_started = self.core.clock.nanos();
                        inner.read_timer.arm_in(limits.request_head);
                    }
                    inner.head = Some(head);
                    if let Some(read) = self.parse(inner, &snapshot, idle) {
                        return Poll::Ready(read);
                    }
                }
                Poll::Ready(_) => {
                    // The end, or a reset. Whoever began a head has gone in the middle of it.
                    inner.read_timer.disarm();
                    if idle || head.octets().is_empty() {
                        self.core.give_request_head(&mut head);
                        return Poll::Ready(HeadRead::Nothing);
                    }
                    return Poll::Ready(HeadRead::Cut(head, inner.head_started));
                }
                Poll::Pending => {
                    if idle {
                        self.core.give_request_head(&mut head);
                    } else {
                        inner.head = Some(head);
                    }
                    // Who is slow over a head is as idle as who has not begun: else a thousand of them would hold all places.
                    if self.presence.poll_evicted(cx).is_ready() {
                        inner.read_timer.disarm();
                        let full = EdgeReason::TooManyConnections.into();
                        return Poll::Ready(match inner.head.take() {
                            Some(head) => HeadRead::Refused(head, inner.head_started, full),
                            None => HeadRead::Nothing,
                        });
                    }
                    if idle && self.core.is_draining() && !inner.last_call {
                        inner.last_call = true;
                        inner.hurry(self.core.wheel.now() + LAST_CALL);
                    }
                    if inner.read_timer.poll_expired(cx).is_pending() {
                        return Poll::Pending;
                    }
                    inner.read_timer.disarm();
                    return Poll::Ready(match inner.head.take() {
                        Some(head) => {
                            HeadRead::Refused(head, inner.head_started, Refusal::HeadTimeout.into())
                        }
                        None => {
                            if first {
                                self.core
                                    .metrics
                                    .reason(EdgeReason::ProtocolSniffTimeout.into());
                            }
                            HeadRead::Nothing
                        }
                    });
                }
            }
        }
    }

    /// The head, once it is whole. Where it came `at_once` the clock is not read a second time.
    fn parse(&self, inner: &mut Inner, snapshot: &Snapshot, at_once: bool) -> Option<HeadRead> {
        let head = Rc::make_mut(inner.head.as_mut()?);
        let outcome = head.parse_h1(&snapshot.request_limits);
        let length = match outcome {
            Ok(None) => return None,
            Ok(Some(length)) => length,
            Err(refusal) => {
                inner.read_timer.disarm();
                let head = inner.head.take()?;
                return Some(HeadRead::Refused(head, inner.head_started, refusal.into()));
            }
        };
        inner.read_timer.disarm();
        self.presence.busy();
        let mut head = inner.head.take()?;
        if head.octets().len() > length {
            inner
                .input
                .start_with(&self.core, head.octets().get(length..).unwrap_or_default());
            Rc::make_mut(&mut head).octets_mut().truncate(length);
        }
        let whole = match at_once {
            true => inner.head_started,
            false => self.core.clock.nanos(),
        };
        Some(HeadRead::Request(head, inner.head_started, whole))
    }

    /// Gets ready for the body that follows the head just read.
    pub fn expect_body(&self, story: &Story) {
        let limits = &story.snapshot.settled.server.limits;
        self.inner.borrow_mut().body = match story.head.framing() {
            BodyFraming::None | BodyFraming::Length(0) => None,
            framing => Some(Body {
                decoder: BodyDecoder::for_request(framing),
                pace: Pace::new(
                    limits.request_body_idle,
                    limits.request_body_min_rate,
                    limits.min_rate_grace,
                ),
                received: 0,
                noted: 0,
                limit: limits.request_body_bytes,
                touched: false,
                awaits_continue: story.head.expects_continue(),
                failed: None,
            }),
        };
    }

    /// The site's own ceiling takes the place of the server's.
    pub fn limit_body(&self, bytes: u64) {
        if let Some(body) = &mut self.inner.borrow_mut().body {
            body.limit = bytes;
        }
    }

    /// True when a body follows the head.
    pub fn has_body(&self) -> bool {
        self.inner.borrow().body.is_some()
    }

    /// Brings body data or its end.
    pub fn poll_body(&self, cx: &mut Context<'_>) -> Poll<Result<Filled, Reason>> {
        let inner = &mut *self.inner.borrow_mut();
        let Some(body) = &mut inner.body else {
            return Poll::Ready(Ok(Filled::End));
        };
        body.touched = true;
        body.awaits_continue = false;
        if let Some(reason) = body.failed {
            return Poll::Ready(Err(reason));
        }
        let now = self.core.wheel.now();
        let presence = &self.presence;
        let Body { decoder, pace, .. } = body;
        let filled = inner.input.poll_fill(
            cx,
            &self.core,
            &mut inner.stream,
            decoder,
            READ_BYTES,
            |n| {
                pace.moved(n as u64, now);
                presence.moved(n, now);
            },
        );
        match filled {
            Poll::Pending => presence.waits(now),
            Poll::Ready(_) => presence.goes_on(now),
        }
        match filled {
            Poll::Ready(Ok(Filled::Data)) => {
                let new = body.take_note_of(inner.input.data().len());
                body.received = body.received.saturating_add(new);
                if body.received > body.limit {
                    return Poll::Ready(Err(body.fail(Refusal::BodyTooLarge.into())));
                }
                Poll::Ready(Ok(Filled::Data))
            }
            Poll::Ready(Ok(Filled::End)) => {
                inner.read_timer.disarm();
                Poll::Ready(Ok(Filled::End))
            }
            Poll::Ready(Err(Stop::Malformed(fault))) => {
                Poll::Ready(Err(body.fail(Refusal::from(fault).into())))
            }
            Poll::Ready(Err(Stop::Cut)) => {
                inner.read_ended = true;
                Poll::Ready(Err(body.fail(Refusal::BodyEndedEarly.into())))
            }
            Poll::Pending => {
                if presence.poll_must_go(cx, now).is_ready() {
                    return Poll::Ready(Err(body.fail(EdgeReason::MadeRoom.into())));
                }
                inner.read_timer.arm(body.pace.waiting(now));
                if inner.read_timer.poll_expired(cx).is_pending() {
                    return Poll::Pending;
                }
                let reason = match body.pace.verdict(now) {
                    TooSlow::Silent => Reason::Refusal(Refusal::BodyTimeout),
                    TooSlow::UnderRate => Reason::Edge(EdgeReason::RequestBodyTooSlow),
                };
                Poll::Ready(Err(body.fail(reason)))
            }
        }
    }

    /// Looks at the body data that is there.
    pub fn with_body_data<T>(&self, look: impl FnOnce(&[u8]) -> T) -> T {
        look(self.inner.borrow().input.data())
    }

    /// Takes `n` bytes of it away.
    pub fn consume_body(&self, n: usize) {
        let inner = &mut *self.inner.borrow_mut();
        inner.input.consume(n);
        if let Some(body) = &mut inner.body {
            body.noted = body.noted.saturating_sub(n);
        }
    }

    /// Trailer fields of the body.
    pub fn with_trailers<T>(&self, look: impl FnOnce(Option<&Trailers>) -> T) -> T {
        let inner = self.inner.borrow();
        look(
            inner
                .body
                .as_ref()
                .map(|body| body.decoder.trailers())
                .filter(|trailers| !trailers.is_empty()),
        )
    }

    /// True once someone has begun to read the body.
    pub fn body_touched(&self) -> bool {
        self.inner
            .borrow()
            .body
            .as_ref()
            .is_some_and(|body| body.touched)
    }

    /// The body came so slowly that the client had to go, to make room.
    pub fn has_made_room(&self) -> bool {
        let inner = self.inner.borrow();
        let failed = inner.body.as_ref().and_then(|body| body.failed);
        failed == Some(EdgeReason::MadeRoom.into())
    }

    /// Bytes of the body read so far.
    pub fn body_received(&self) -> u64 {
        self.inner
            .borrow()
            .body
            .as_ref()
            .map_or(0, |body| body.received)
    }

    /// Whether the connection can be used again whatever happens to the rest of the body: the rest
    /// is small and on its way, not huge or held back until `100 (Continue)`.
    pub fn can_skip_body(&self) -> bool {
        let inner = self.inner.borrow();
        match &inner.body {
            None => true,
            Some(body) if body.decoder.at_end() => true,
            Some(body) if body.failed.is_some() || body.awaits_continue => false,
            Some(body) => body
                .decoder
                .remaining()
                .is_none_or(|left| left <= SKIP_BYTES),
        }
    }

    /// Reads what is left of a body nobody wanted; true when the connection is ready for a request.
    pub fn poll_skip_body(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let before = self.body_received();
        loop {
            match self.poll_body(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(false),
                Poll::Ready(Ok(Filled::End)) => break,
                Poll::Ready(Ok(Filled::Data)) => {
                    self.consume_body(usize::MAX);
                    if self.body_received().saturating_sub(before) > SKIP_BYTES {
                        return Poll::Ready(false);
                    }
                }
            }
        }
        let inner = &mut *self.inner.borrow_mut();
        inner.body = None;
        inner.input.release(&self.core);
        inner.read_timer.disarm();
        inner.write_timer.disarm();
        Poll::Ready(true)
    }

    /// While the origin is asked: sends interim responses on, and notices when the client has gone.
    pub fn poll_while_waiting(&self, cx: &mut Context<'_>) -> Poll<Result<(), Reason>> {
        if let Poll::Ready(Err(reason)) = self.poll_interim(cx) {
            return Poll::Ready(Err(reason));
        }
        let inner = &mut *self.inner.borrow_mut();
        // Bytes of a body still to come, or of the next request: the client is there.
        let body_done = inner.body.as_ref().is_none_or(|body| body.decoder.at_end());
        if body_done && inner.read_ended {
            let given_up = |()| Err(EdgeReason::ClientClosed.into());
            return inner.read_timer.poll_expired(cx).map(given_up);
        }
        if !body_done || !inner.input.is_empty() {
            return Poll::Pending;
        }
        match inner
            .input
            .poll_read(cx, &self.core, &mut inner.stream, HEAD_READ_BYTES)
        {
            // Pipelined bytes are kept for later.
            Poll::Ready(Ok(n)) if n > 0 => Poll::Pending,
            Poll::Ready(Ok(_)) => {
                inner.read_ended = true;
                inner.read_timer.arm_in(HALF_CLOSED);
                inner.read_timer.poll_expired(cx).map(|()| Ok(()))
            }
            Poll::Ready(Err(_)) => Poll::Ready(Err(EdgeReason::ClientClosed.into())),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_interim(&self, cx: &mut Context<'_>) -> Poll<Result<(), Reason>> {
        let inner = &mut *self.inner.borrow_mut();
        while inner.interim_at < inner.interim.len() {
            let bytes = inner.interim.get(inner.interim_at..).unwrap_or_default();
            match inner.stream.poll_write_some(cx, bytes) {
                Poll::Ready(Ok(n)) if n > 0 => inner.interim_at += n,
                Poll::Ready(_) => return Poll::Ready(Err(EdgeReason::ClientClosed.into())),
                Poll::Pending => return Poll::Pending,
            }
        }
        inner.interim = Vec::new();
        inner.interim_at = 0;
        inner
            .stream
            .poll_flush_out(cx)
            .map_err(|_| EdgeReason::ClientClosed.into())
    }

    /// Interim bytes that must go before the answer's own.
    pub fn take_interim(&self) -> Vec<u8> {
        let inner = &mut *self.inner.borrow_mut();
        let mut bytes = std::mem::take(&mut inner.interim);
        bytes.drain(..std::mem::take(&mut inner.interim_at).min(bytes.len()));
        bytes
    }

    /// Bytes given to the connection so far.
    pub fn given(&self) -> u64 {
        let inner = self.inner.borrow();
        inner.stream.account().map_or(0, |account| account.given())
    }

    /// Writes, as long as the client takes it.
    pub fn poll_write(
        &self,
        cx: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
        uptake: &mut Uptake,
    ) -> Poll<Result<usize, Reason>> {
        let inner = &mut *self.inner.borrow_mut();
        let wrote = match slices {
            [one] => inner.stream.poll_write_some(cx, one),
            several => inner.stream.poll_write_slices(cx, several),
        };
        self.gave(inner, cx, wrote, uptake)
    }

    /// What it may take of a file; none where it cannot be sent one as it is.
    pub fn file_window(&self) -> Option<Window<'_>> {
        let most = self.inner.borrow().stream.file_window()?;
        Some(Window {
            most,
            resident: &self.core.cache.resident,
            now: self.core.wheel.now(),
        })
    }

    /// Writes what goes before a file's bytes.
    pub fn poll_write_before_file(
        &self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        uptake: &mut Uptake,
    ) -> Poll<Result<usize, Reason>> {
        let inner = &mut *self.inner.borrow_mut();
        let wrote = inner.stream.poll_write_before_file(cx, bytes);
        self.gave(inner, cx, wrote, uptake)
    }

    /// Sends some bytes of a file; 0 where they cannot be sent from it.
    pub fn poll_send_file(
        &self,
        cx: &mut Context<'_>,
        piece: InFile<'_>,
        uptake: &mut Uptake,
    ) -> Poll<Result<usize, Reason>> {
        let inner = &mut *self.inner.borrow_mut();
        match inner.stream.poll_send_file(cx, piece) {
            Poll::Ready(Ok(0)) => Poll::Ready(Ok(0)),
            sent => {
                if let Poll::Ready(Ok(n)) = sent {
                    self.core.metrics.response_file_bytes.add(n as u64);
                }
                self.gave(inner, cx, sent, uptake)
            }
        }
    }

    /// What became of an attempt to give it something.
    fn gave(
        &self,
        inner: &mut Inner,
        cx: &mut Context<'_>,
        gave: Poll<std::io::Result<usize>>,
        uptake: &mut Uptake,
    ) -> Poll<Result<usize, Reason>> {
        match gave {
            Poll::Ready(Ok(n)) if n > 0 => {
                let now = self.core.wheel.now();
                uptake.moved(n, now);
                self.presence.goes_on(now);
                if inner.read_ended {
                    inner.read_timer.arm_in(HALF_CLOSED);
                }
                Poll::Ready(Ok(n))
            }
            Poll::Ready(_) => Poll::Ready(Err(EdgeReason::ClientClosed.into())),
            Poll::Pending => self.wait_to_write(inner, cx, uptake),
        }
    }

    /// Pushes out what a TLS layer holds back, in the same way.
    pub fn poll_flush(
        &self,
        cx: &mut Context<'_>,
        uptake: &mut Uptake,
    ) -> Poll<Result<usize, Reason>> {
        let inner = &mut *self.inner.borrow_mut();
        match inner.stream.poll_flush_out(cx) {
            Poll::Ready(Ok(())) => {
                self.presence.goes_on(self.core.wheel.now());
                Poll::Ready(Ok(0))
            }
            Poll::Ready(Err(_)) => Poll::Ready(Err(EdgeReason::ClientClosed.into())),
            Poll::Pending => self.wait_to_write(inner, cx, uptake),
        }
    }

    fn wait_to_write(
        &self,
        inner: &mut Inner,
        cx: &mut Context<'_>,
        uptake: &mut Uptake,
    ) -> Poll<Result<usize, Reason>> {
        let now = self.core.wheel.now();
        inner.write_timer.arm(uptake.waiting(now));
        while inner.write_timer.poll_expired(cx).is_ready() {
            let account = inner.stream.account();
            let taken = account.and_then(|account| account.taken(&self.core.sock_diag));
            let given = account.map_or(0, |account| account.given());
            self.presence.took(taken, now);
            match uptake.look(taken, given, now) {
                Ok(next) => inner.write_timer.arm(next),
                Err(slow) => return Poll::Ready(Err(reason_of(slow))),
            }
        }
        if self.presence.poll_must_go(cx, now).is_ready() {
            return Poll::Ready(Err(EdgeReason::MadeRoom.into()));
        }
        self.presence.waits(now);
        Poll::Pending
    }

    /// Closes in good order, see [`Closing`]; at once when it must make room.
    pub async fn close(&self) {
        let deadline = self.core.wheel.timer();
        deadline.arm_in(LINGER);
        let mut closing = Closing::default();
        // Everything was said: of those who hold as many it goes before one who may ask again.
        self.presence.idle(Moment(0));
        let work = std::future::poll_fn(|cx| {
            let closed = closing.poll(cx, &mut self.inner.borrow_mut().stream);
            match closed.is_ready() || self.presence.poll_evicted(cx).is_ready() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        });
        deadline.bound(work).await;
    }

    /// Lets the connection end by a reset: the body just written ends with it, and was cut.
    pub fn end_by_reset(&self) {
        self.inner.borrow().stream.end_by_reset();
    }

    /// Stays until the client has what it was sent, or is too slow in taking it, or must make room: see [`see_off`].
    pub async fn see_off(&self) {
        let account = self.inner.borrow().stream.account().cloned();
        if let Some(account) = account {
            self.presence.idle(self.core.wheel.now());
            let limits = self.core.snapshot().settled.server.limits.clone();
            let evicted = |cx: &mut Context<'_>| self.presence.poll_evicted(cx);
            see_off(&self.core, &account, &limits, evicted).await;
        }
    }

    /// The stream and what was read ahead of it, for an upgraded connection.
    pub fn with_stream<T>(&self, work: impl FnOnce(&mut Stream, &mut Incoming) -> T) -> T {
        let inner = &mut *self.inner.borrow_mut();
        work(&mut inner.stream, &mut inner.input)
    }
}

impl Inner {
    /// Moves the read deadline forward to `at`, if it is later.
    fn hurry(&self, at: Moment) {
        if self
            .read_timer
            .deadline()
            .is_none_or(|deadline| deadline > at)
        {
            self.read_timer.arm(at);
        }
    }
}

impl Body {
    /// How many of the bytes at hand were not counted yet.
    fn take_note_of(&mut self, at_hand: usize) -> u64 {
        let new = at_hand.saturating_sub(self.noted);
        self.noted = at_hand;
        new as u64
    }

    fn fail(&mut self, reason: Reason) -> Reason {
        self.failed = Some(reason);
        reason
    }
}

impl Interim for ClientSide {
    fn send(&self, head: &ResponseHead) {
        let inner = &mut *self.inner.borrow_mut();
        let mut text = Vec::with_capacity(256);
        push_status_line(&mut text, head.status());
        // An interim response has no content, whatever it says (RFC 9110 section 8.6).
        let passed_on =
            |field: &Field<'_>| !field.hop_by_hop && field.known != Known::ContentLength;
        for field in head.fields().filter(passed_on) {
            push_field(&mut text, field.name, field.value);
        }
        text.extend_from_slice(b"\r\n");
        if inner.interim.len() + text.len() <= INTERIM_BYTES {
            inner.interim.extend_from_slice(&text);
        }
    }

    fn send_continue(&self) {
        let inner = &mut *self.inner.borrow_mut();
        if let Some(body) = &mut inner.body
            && body.awaits_continue
        {
            body.awaits_continue = false;
            inner
                .interim
                .extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
    }
}
