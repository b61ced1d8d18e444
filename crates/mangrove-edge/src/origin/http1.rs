//! One exchange with an origin over HTTP/1: the request going up and the answer coming down, at
//! the same time if need be.
//!
//! Nothing an origin says is trusted further than its framing proves. A connection is used again
//! only when the request went out whole, the answer came in whole, and not one byte followed.

use std::io::IoSlice;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use mangrove_http::{
    BodyDecoder, HeadLimits, Method, OriginFault, ResponseFraming, ResponseHead, Trailers,
};

use super::connect::KeptConnection;
use super::health::Outcome;
use super::upstreams::Lease;
use crate::body::{Filled, RequestBody};
use crate::core::{Core, HEAD_READ_BYTES, READ_BYTES};
use crate::incoming::{Incoming, Stop};
use crate::io::Stream;
use crate::outgoing::{Broken, Outgoing, OutgoingFraming, Progress, Sink};
use crate::reason::Reason;
use crate::wheel::Timer;

/// How long the origin may take to say `100 (Continue)` before the body is sent all the same
/// (RFC 9110 section 10.1.1: a client should not wait indefinitely, and neither should we).
pub(crate) const CONTINUE_PATIENCE: Duration = Duration::from_secs(1);

/// Deadlines of one exchange.
#[derive(Clone, Copy, Debug)]
pub struct ExchangeLimits {
    /// From the end of the request to the first byte of the head.
    pub first_byte: Duration,
    /// The longest silence inside the answer, and the longest time a request body is not taken.
    pub idle: Duration,
    /// Ceilings of the head.
    pub head: HeadLimits,
}

/// See the module's words.
#[derive(Debug)]
pub struct Http1Exchange {
    core: Rc<Core>,
    lease: Option<Lease>,
    stream: Option<Stream>,
    incoming: Incoming,
    read_at_most: usize,
    upload: Upload,
    body: RequestBody,
    reading: Reading,
    head: ResponseHead,
    head_begun: bool,
    request_method: Method,
    limits: ExchangeLimits,
    timer: Timer,
    length: Option<u64>,
    /// The connection had carried an exchange before this one.
    reused: bool,
    /// The client's body failed: this, not the origin, is why the exchange ends.
    upload_fault: Option<Reason>,
}

#[derive(Debug)]
enum Upload {
    /// The head has gone; the body waits for `100 (Continue)`.
    AwaitsContinue {
        head: Outgoing,
        framing: OutgoingFraming,
        patience: Timer,
    },
    Sending(Outgoing),
    Done,
    /// The origin takes no more; it may still have something to say.
    Stopped,
}

#[derive(Debug)]
enum Reading {
    Head,
    Body {
        decoder: BodyDecoder,
        persists: bool,
    },
    /// Complete; the decoder knows the trailers, if there was a body.
    Done(Option<BodyDecoder>),
}

/// What the origin said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadEvent {
    /// An interim response: look at it, then call again.
    Interim,
    /// `101 (Switching Protocols)`.
    Switched,
    /// The final head.
    Final,
}

impl Http1Exchange {
    /// Sends `head` (rendered) and `body` on `stream`. `reused` is whether the connection has carried
    /// an exchange before: its end before the first byte then says nothing about the origin.
    #[allow(clippy::too_many_arguments)] // each is a different thing, none has a sensible default
    pub fn new(
        lease: Lease,
        stream: Stream,
        head: Vec<u8>,
        framing: OutgoingFraming,
        body: RequestBody,
        awaits_continue: bool,
        request_method: Method,
        limits: ExchangeLimits,
        reused: bool,
    ) -> Box<Self> {
        let core = Rc::clone(lease.core());
        let timer = core.wheel.timer();
        let upload = if awaits_continue {
            let patience = core.wheel.timer();
            patience.arm_in(CONTINUE_PATIENCE);
            Upload::AwaitsContinue {
                head: Outgoing::new(head, OutgoingFraming::None),
                framing,
                patience,
            }
        } else {
            Upload::Sending(Outgoing::new(head, framing))
        };
        timer.arm_in(limits.idle);
        Box::new(Self {
            head: core.take_response_head(),
            core,
            lease: Some(lease),
            stream: Some(stream),
            incoming: Incoming::default(),
            read_at_most: READ_BYTES,
            upload,
            body,
            reading: Reading::Head,
            head_begun: false,
            request_method,
            limits,
            timer,
            length: None,
            reused,
            upload_fault: None,
        })
    }

    /// Brings the next head; drives the upload meanwhile.
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<HeadEvent, Reason>> {
        self.poll_upload(cx);
        if let Some(reason) = self.upload_fault {
            return Poll::Ready(Err(reason));
        }
        loop {
            match self.head.parse_h1(&self.limits.head, self.request_method) {
                Ok(Some(length)) => return Poll::Ready(self.settle_head(length)),
                Ok(None) => {}
                Err(fault) => return Poll::Ready(Err(self.fail(fault))),
            }
            let Some(stream) = &mut self.stream else {
                return Poll::Ready(Err(self.fail(OriginFault::Reset)));
            };
            match stream.poll_read_into(cx, self.head.octets_mut(), HEAD_READ_BYTES) {
                Poll::Ready(Ok(n)) if n > 0 => {
                    self.head_begun = true;
                    self.timer.arm_in(self.limits.idle);
                }
                Poll::Ready(_) => {
                    let fault = if self.head_begun {
                        OriginFault::EndedEarly
                    } else {
                        OriginFault::Reset
                    };
                    return Poll::Ready(Err(self.fail(fault)));
                }
                Poll::Pending => {
                    ready!(self.timer.poll_expired(cx));
                    let fault = match (&self.upload, self.head_begun) {
                        (_, true) => OriginFault::IdleTimeout,
                        (Upload::Done | Upload::Stopped, false) => OriginFault::FirstByteTimeout,
                        // The origin may be waiting for a body that the client does not send: that
                        // has its own deadline. Here the origin does not take what is at hand.
                        _ => OriginFault::WriteTimeout,
                    };
                    return Poll::Ready(Err(self.fail(fault)));
                }
            }
        }
    }

    /// The head that the last event was about.
    pub fn head(&self) -> &ResponseHead {
        &self.head
    }

    /// Takes the final head away.
    pub fn take_head(&mut self) -> ResponseHead {
        std::mem::take(&mut self.head)
    }

    /// Goes on after an interim head.
    pub fn next_head(&mut self) {
        if self.head.status() == 100 {
            self.release_body();
        }
        let length = self
            .head
            .parse_h1(&self.limits.head, self.request_method)
            .ok()
            .flatten()
            .unwrap_or(0);
        self.head.start_next(length);
        self.head_begun = !self.head.octets().is_empty();
    }

    /// The client's body may go: the origin said so, or is not asked any longer.
    fn release_body(&mut self) {
        if let Upload::AwaitsContinue { framing, .. } = &self.upload {
            // The head has gone, or the origin could not have answered; what is left of it goes first.
            let framing = *framing;
            if let Upload::AwaitsContinue { head, .. } =
                std::mem::replace(&mut self.upload, Upload::Done)
            {
                let rest = head.into_unsent();
                self.upload = Upload::Sending(Outgoing::new(rest, framing));
            }
        }
    }

    /// True while the client's body waits for `100 (Continue)` that the origin has not said.
    pub fn continue_is_overdue(&self) -> bool {
        matches!(&self.upload, Upload::AwaitsContinue { patience, .. } if patience.expired())
    }

    /// Sends the body without having been asked for it.
    pub fn stop_waiting_for_continue(&mut self) {
        self.release_body();
    }

    /// Carries on with the request as far as it goes.
    pub fn poll_upload(&mut self, cx: &mut Context<'_>) {
        let Some(stream) = &mut self.stream else {
            return;
        };
        let outcome = match &mut self.upload {
            Upload::Done | Upload::Stopped => return,
            Upload::AwaitsContinue { head, patience, .. } => {
                let _ = patience.poll_expired(cx);
                let outcome = head.poll(cx, &mut RequestBody::Empty, ToOrigin(stream));
                match outcome {
                    Ok(_) => return,
                    Err(broken) => Err(broken),
                }
            }
            Upload::Sending(outgoing) => {
                let before = outgoing.sent();
                let outcome = outgoing.poll(cx, &mut self.body, ToOrigin(stream));
                if outgoing.sent() > before {
                    self.timer.arm_in(self.limits.idle);
                }
                outcome
            }
        };
        let flushed = stream.poll_flush_out(cx);
        match outcome {
            // TLS holds back the end of the request: not done before that has gone.
            Ok(Progress::Done) if flushed.is_pending() => {}
            Ok(Progress::Done) => {
                let done = std::mem::replace(&mut self.upload, Upload::Done);
                if let Upload::Sending(outgoing) = done {
                    self.core.give_buffer(outgoing.into_buffer());
                }
                if matches!(self.reading, Reading::Head) && !self.head_begun {
                    self.timer.arm_in(self.limits.first_byte);
                }
            }
            // While the client is silent its own deadline runs; the origin is not late.
            Ok(Progress::AwaitsSource) => {
                if matches!(self.reading, Reading::Head) && !self.head_begun {
                    self.timer.arm_in(self.limits.idle);
                }
            }
            Ok(Progress::AwaitsSink) => {}
            Err(Broken::Source(reason)) => {
                self.upload_fault.get_or_insert(reason);
                self.upload = Upload::Stopped;
            }
            // It may have answered before it closed: a 413, say. Reading on will tell.
            Err(Broken::Sink(_)) => self.upload = Upload::Stopped,
        }
    }

    fn settle_head(&mut self, length: usize) -> Result<HeadEvent, Reason> {
        let status = self.head.status();
        if status == 101 {
            self.keep_unread(length);
            return Ok(HeadEvent::Switched);
        }
        if self.head.is_interim() {
            self.timer.arm_in(self.limits.first_byte);
            return Ok(HeadEvent::Interim);
        }
        self.keep_unread(length);
        let framing = self.head.framing();
        self.length = match framing {
            ResponseFraming::None => Some(0),
            ResponseFraming::Length(length) => Some(length),
            ResponseFraming::Chunked | ResponseFraming::UntilClose => None,
        };
        let persists = self.head.persistent() && framing != ResponseFraming::UntilClose;
        self.report(match status {
            500..=599 => Outcome::Status5xx(status),
            _ => Outcome::Ok,
        });
        self.timer.arm_in(self.limits.idle);
        let decoder = BodyDecoder::for_response(framing);
        if decoder.at_end() {
            let surplus = match framing {
                ResponseFraming::None => OriginFault::BodyWhereNoneBelongs,
                _ => OriginFault::ExtraBytesAfterBody,
            };
            self.finish(persists, None, surplus);
        } else {
            self.reading = Reading::Body { decoder, persists };
        }
        Ok(HeadEvent::Final)
    }

    fn keep_unread(&mut self, length: usize) {
        self.incoming.start_with(
            &self.core,
            self.head.octets().get(length..).unwrap_or_default(),
        );
        self.head.octets_mut().truncate(length);
    }

    /// Brings body data or the end; drives the upload meanwhile.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Filled, Reason>> {
        self.poll_upload(cx);
        let (core, timer, idle) = (&self.core, &self.timer, self.limits.idle);
        let Reading::Body { decoder, persists } = &mut self.reading else {
            return Poll::Ready(Ok(Filled::End));
        };
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Ok(Filled::End));
        };
        let most = self.read_at_most;
        match self
            .incoming
            .poll_fill(cx, core, stream, decoder, most, |_| timer.arm_in(idle))
        {
            Poll::Ready(Ok(Filled::Data)) => Poll::Ready(Ok(Filled::Data)),
            Poll::Ready(Ok(Filled::End)) => {
                let persists = *persists;
                if let Reading::Body { decoder, .. } =
                    std::mem::replace(&mut self.reading, Reading::Done(None))
                {
                    self.finish(persists, Some(decoder), OriginFault::ExtraBytesAfterBody);
                }
                Poll::Ready(Ok(Filled::End))
            }
            Poll::Ready(Err(Stop::Malformed(fault))) => {
                let fault = OriginFault::from(fault);
                Poll::Ready(Err(self.fail(fault)))
            }
            Poll::Ready(Err(Stop::Cut)) => Poll::Ready(Err(self.fail(OriginFault::EndedEarly))),
            Poll::Pending => {
                // The visitor's body will never be whole: the origin is not waited for any longer.
                if self.upload_fault.is_none() {
                    ready!(timer.poll_expired(cx));
                }
                Poll::Ready(Err(self.fail(OriginFault::IdleTimeout)))
            }
        }
    }

    /// From now on, what one read takes at most.
    pub fn read_at_most(&mut self, bytes: usize) {
        self.read_at_most = bytes;
    }

    /// Bytes of memory that what was read ahead takes.
    pub fn held(&self) -> usize {
        self.incoming.held()
    }

    /// The body data at hand.
    pub fn data(&self) -> &[u8] {
        self.incoming.data()
    }

    /// Takes `n` bytes of it away.
    pub fn consume(&mut self, n: usize) {
        self.incoming.consume(n);
        // From here on it is the origin that is waited for.
        self.timer.arm_in(self.limits.idle);
    }

    /// Trailer fields, once the end was reached.
    pub fn trailers(&self) -> Option<&Trailers> {
        match &self.reading {
            Reading::Done(Some(decoder)) => {
                Some(decoder.trailers()).filter(|trailers| !trailers.is_empty())
            }
            _ => None,
        }
    }

    /// The length of the body, where the head tells it.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// Takes the connection out of an exchange that switched protocols.
    pub fn into_switched(mut self) -> Option<(Lease, Stream, Vec<u8>)> {
        let mut ahead = Vec::new();
        self.incoming.take_unused(&self.core, &mut ahead);
        Some((self.lease.take()?, self.stream.take()?, ahead))
    }

    /// The request's body, if not a byte of it was touched: for another try elsewhere.
    pub fn reclaim_body(&mut self) -> Option<RequestBody> {
        (!self.body.was_touched()).then(|| std::mem::replace(&mut self.body, RequestBody::Empty))
    }

    /// What is to be reported to the pool.
    pub fn report(&self, outcome: Outcome) {
        if let Some(lease) = &self.lease {
            lease.report(outcome);
        }
    }

    /// The answer is complete: the connection is kept if it deserves it, the place is given back.
    /// `surplus` is what it is called when bytes follow.
    fn finish(&mut self, persists: bool, decoder: Option<BodyDecoder>, surplus: OriginFault) {
        self.reading = Reading::Done(decoder);
        self.timer.disarm();
        if !self.incoming.is_empty() {
            // It said more than it was asked. Whatever that is, it is nobody's answer.
            self.core.metrics.reason(surplus.into());
            self.report(Outcome::Malformed);
            self.stream = None;
            self.lease = None;
            return;
        }
        self.incoming.release(&self.core);
        if !matches!(self.upload, Upload::Done) {
            // The answer came before the request was through: what the origin reads next on this
            // connection would be the rest of a body, not a request.
            self.upload = Upload::Stopped;
            self.stream = None;
            self.lease = None;
            return;
        }
        let (Some(lease), Some(stream)) = (self.lease.take(), self.stream.take()) else {
            return;
        };
        if persists {
            lease.upstreams().keep(
                lease.member,
                KeptConnection { stream },
                self.core.wheel.now(),
            );
        }
    }

    fn fail(&mut self, fault: OriginFault) -> Reason {
        // What a visitor broke is no evidence against the origin, and neither is a kept connection
        // that was closed before the request reached it.
        let is_evidence = self.upload_fault.is_none()
            && !(self.reused && !self.head_begun && fault == OriginFault::Reset);
        if is_evidence {
            self.report(match fault {
                OriginFault::Reset | OriginFault::EndedEarly => Outcome::Reset,
                OriginFault::FirstByteTimeout
                | OriginFault::IdleTimeout
                | OriginFault::WriteTimeout => Outcome::TimedOut,
                _ => Outcome::Malformed,
            });
        }
        self.stream = None;
        self.lease = None;
        self.upload_fault.unwrap_or(Reason::Origin(fault))
    }
}

impl Drop for Http1Exchange {
    fn drop(&mut self) {
        self.core.give_response_head(std::mem::take(&mut self.head));
        self.incoming.consume(usize::MAX);
        self.incoming.discard(&self.core);
    }
}

struct ToOrigin<'a>(&'a mut Stream);

impl Sink for ToOrigin<'_> {
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize, Reason>> {
        let wrote = match slices {
            [one] => self.0.poll_write_some(cx, one),
            several => self.0.poll_write_slices(cx, several),
        };
        match ready!(wrote) {
            Ok(n) if n > 0 => Poll::Ready(Ok(n)),
            _ => Poll::Ready(Err(OriginFault::Reset.into())),
        }
    }
}
