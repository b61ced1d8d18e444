//! One exchange with an origin over HTTP/2, on the `h2` crate; streams share one connection per
//! member and core.

use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use mangrove_http::{
    BodyFault, Method, OriginFault, ResponseFraming, ResponseHead, Trailers, Version,
};

use super::health::Outcome;
use super::http1::{ExchangeLimits, HeadEvent};
use super::upstreams::Lease;
use crate::body::{CHUNK_BYTES, Filled, RequestBody};
use crate::core::Core;
use crate::io::Stream;
use crate::reason::Reason;
use crate::wheel::Timer;

/// What one stream may send ahead of us, and all streams of a connection together.
pub(crate) const STREAM_WINDOW: u32 = 512 * 1024;
pub(crate) const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

/// Opens HTTP/2 on a fresh connection and keeps it for the member's later requests.
pub async fn start(
    lease: &Lease,
    stream: Stream,
    head_bytes: u32,
) -> Result<h2::client::SendRequest<Bytes>, OriginFault> {
    let (streams, connection) = h2::client::Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(head_bytes)
        .enable_push(false)
        .handshake::<_, Bytes>(stream)
        .await
        .map_err(|error| fault_of(&error))?;
    let (upstreams, member) = (Rc::clone(lease.upstreams()), lease.member);
    upstreams.keep_streams(member, streams.clone());
    tokio::task::spawn_local(async move {
        let _ = connection.await; // its streams have told their exchanges why it ended
        upstreams.forget_streams(member);
    });
    Ok(streams)
}

/// See the module's words.
#[derive(Debug)]
pub struct Http2Exchange {
    core: Rc<Core>,
    lease: Option<Lease>,
    response: Option<h2::client::ResponseFuture>,
    send: Option<h2::SendStream<Bytes>>,
    recv: Option<h2::RecvStream>,
    body: RequestBody,
    body_chunk: Bytes,
    head: ResponseHead,
    request_method: Method,
    chunk: Bytes,
    trailers: Option<Trailers>,
    length: Option<u64>,
    received: u64,
    ended: bool,
    limits: ExchangeLimits,
    timer: Timer,
    upload_fault: Option<Reason>,
    /// The origin said that it did not process the request.
    refused_unprocessed: bool,
}

impl Http2Exchange {
    /// Sends `request`, then `body`.
    pub fn new(
        lease: Lease,
        streams: &mut h2::client::SendRequest<Bytes>,
        request: http::Request<()>,
        request_method: Method,
        body: RequestBody,
        limits: ExchangeLimits,
    ) -> Result<Self, (OriginFault, RequestBody)> {
        let bodiless = body.is_empty();
        let (response, send) = match streams.send_request(request, bodiless) {
            Ok(sent) => sent,
            Err(error) => return Err((fault_of(&error), body)),
        };
        let core = Rc::clone(lease.core());
        let timer = core.wheel.timer();
        timer.arm_in(limits.first_byte);
        Ok(Self {
            head: core.take_response_head(),
            core,
            lease: Some(lease),
            response: Some(response),
            send: (!bodiless).then_some(send),
            recv: None,
            body,
            body_chunk: Bytes::new(),
            request_method,
            chunk: Bytes::new(),
            trailers: None,
            length: None,
            received: 0,
            ended: false,
            limits,
            timer,
            upload_fault: None,
            refused_unprocessed: false,
        })
    }

    /// Brings the next head; drives the upload meanwhile.
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<HeadEvent, Reason>> {
        self.poll_upload(cx);
        if let Some(reason) = self.upload_fault {
            return Poll::Ready(Err(reason));
        }
        let Some(response) = &mut self.response else {
            return Poll::Ready(Err(self.fail(OriginFault::Http2)));
        };
        if let Poll::Ready(Some(Ok(interim))) = response.poll_informational(cx) {
            let built = self.build_head(interim.status().as_u16(), interim.headers());
            return Poll::Ready(built.map(|()| HeadEvent::Interim));
        }
        match std::pin::Pin::new(response).poll(cx) {
            Poll::Ready(Ok(response)) => {
                let (parts, recv) = response.into_parts();
                self.response = None;
                let built = self.build_head(parts.status.as_u16(), &parts.headers);
                if let Err(reason) = built {
                    return Poll::Ready(Err(reason));
                }
                self.length = match self.head.framing() {
                    ResponseFraming::None => Some(0),
                    ResponseFraming::Length(length) => Some(length),
                    ResponseFraming::Chunked | ResponseFraming::UntilClose => {
                        recv.is_end_stream().then_some(0)
                    }
                };
                let over = recv.is_end_stream() && self.length == Some(0);
                self.recv = Some(recv);
                self.report(match parts.status.as_u16() {
                    status @ 500..=599 => Outcome::Status5xx(status),
                    _ => Outcome::Ok,
                });
                self.timer.arm_in(self.limits.idle);
                if over {
                    self.end();
                }
                Poll::Ready(Ok(HeadEvent::Final))
            }
            Poll::Ready(Err(error)) => {
                self.refused_unprocessed = was_not_processed(&error);
                let fault = fault_of(&error);
                Poll::Ready(Err(self.fail(fault)))
            }
            Poll::Pending => {
                ready!(self.timer.poll_expired(cx));
                Poll::Ready(Err(self.fail(OriginFault::FirstByteTimeout)))
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

    /// The origin refused the stream before it looked at it (RFC 9113 section 8.7).
    pub fn was_refused_unprocessed(&self) -> bool {
        self.refused_unprocessed
    }

    fn build_head(&mut self, status: u16, fields: &http::HeaderMap) -> Result<(), Reason> {
        self.head.begin(Version::Http2, status);
        for (name, value) in fields {
            self.head
                .push_field(name.as_str().as_bytes(), value.as_bytes());
        }
        self.head
            .finish(&self.limits.head, self.request_method)
            .map_err(|fault| self.fail(fault))
    }

    /// Carries on with the request's body as far as it goes.
    pub fn poll_upload(&mut self, cx: &mut Context<'_>) {
        while let Some(send) = &mut self.send {
            if let Poll::Ready(outcome) = send.poll_reset(cx) {
                // NO_ERROR after a whole answer means "enough" (RFC 9113 section 8.1).
                let _ = outcome;
                self.send = None;
                return;
            }
            if self.body_chunk.is_empty() {
                match self.body.poll_fill(cx) {
                    Poll::Pending => {
                        // While the client is silent its own deadline runs; the origin is not late.
                        if self.response.is_some() {
                            self.timer.arm_in(self.limits.first_byte);
                        }
                        return;
                    }
                    Poll::Ready(Ok(Filled::Data)) => self.body_chunk = self.body.take(CHUNK_BYTES),
                    Poll::Ready(Ok(Filled::End)) => {
                        let trailers = self
                            .body
                            .with_trailers(|trailers| trailers.map(to_header_map));
                        let _ = match trailers {
                            Some(trailers) => send.send_trailers(trailers),
                            None => send.send_data(Bytes::new(), true),
                        };
                        self.send = None;
                        return;
                    }
                    Poll::Ready(Err(reason)) => {
                        send.send_reset(h2::Reason::CANCEL);
                        self.upload_fault = Some(reason);
                        self.send = None;
                        return;
                    }
                }
            }
            send.reserve_capacity(self.body_chunk.len());
            match send.poll_capacity(cx) {
                Poll::Pending => return,
                Poll::Ready(Some(Ok(n))) if n > 0 => {
                    let part = self.body_chunk.split_to(n.min(self.body_chunk.len()));
                    if send.send_data(part, false).is_err() {
                        self.send = None;
                        return;
                    }
                    self.timer.arm_in(self.limits.first_byte);
                }
                Poll::Ready(Some(Ok(_))) => return,
                Poll::Ready(_) => {
                    self.send = None;
                    return;
                }
            }
        }
    }

    /// Brings body data or the end; drives the upload meanwhile.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Filled, Reason>> {
        self.poll_upload(cx);
        if !self.chunk.is_empty() {
            return Poll::Ready(Ok(Filled::Data));
        }
        loop {
            if self.ended {
                return Poll::Ready(Ok(Filled::End));
            }
            let Some(recv) = &mut self.recv else {
                return Poll::Ready(Ok(Filled::End));
            };
            match recv.poll_data(cx) {
                Poll::Ready(Some(Ok(chunk))) => {
                    self.received = self.received.saturating_add(chunk.len() as u64);
                    if self.length.is_some_and(|length| self.received > length) {
                        return Poll::Ready(Err(self.fail(OriginFault::ContentLengthDisagrees)));
                    }
                    if chunk.is_empty() {
                        continue;
                    }
                    self.chunk = chunk;
                    return Poll::Ready(Ok(Filled::Data));
                }
                Poll::Ready(Some(Err(error))) => {
                    // RFC 9113 section 8.1: RST_STREAM(NO_ERROR) may follow a complete answer only.
                    let fault = if error.is_reset() {
                        OriginFault::EndedEarly
                    } else {
                        fault_of(&error)
                    };
                    return Poll::Ready(Err(self.fail(fault)));
                }
                Poll::Ready(None) => {
                    if self.length.is_some_and(|length| self.received != length) {
                        return Poll::Ready(Err(self.fail(OriginFault::ContentLengthDisagrees)));
                    }
                    match ready!(recv.poll_trailers(cx)) {
                        Ok(Some(fields)) => match trailers_of(&fields) {
                            Ok(trailers) => self.trailers = trailers,
                            Err(fault) => {
                                return Poll::Ready(Err(self.fail(OriginFault::from(fault))));
                            }
                        },
                        Ok(None) => {}
                        Err(error) => {
                            let fault = fault_of(&error);
                            return Poll::Ready(Err(self.fail(fault)));
                        }
                    }
                    self.end();
                }
                Poll::Pending => {
                    // The visitor's body will never be whole: the origin is not waited for any longer.
                    if self.upload_fault.is_none() {
                        ready!(self.timer.poll_expired(cx));
                    }
                    return Poll::Ready(Err(self.fail(OriginFault::IdleTimeout)));
                }
            }
        }
    }

    fn end(&mut self) {
        self.ended = true;
        self.timer.disarm();
        self.lease = None;
    }

    /// The head ended the stream: neither content nor trailers will come.
    pub fn is_over(&self) -> bool {
        self.ended && self.received == 0 && self.trailers.is_none()
    }

    /// The body data at hand.
    pub fn data(&self) -> &[u8] {
        &self.chunk
    }

    /// Takes `n` bytes of it away, and lets the origin send as many more.
    pub fn consume(&mut self, n: usize) {
        let n = n.min(self.chunk.len());
        self.chunk.advance(n);
        self.make_room(n);
    }

    /// The data as a chunk of its own, without a copy.
    pub fn take(&mut self, most: usize) -> Bytes {
        let chunk = self.chunk.split_to(most.min(self.chunk.len()));
        self.make_room(chunk.len());
        chunk
    }

    fn make_room(&mut self, n: usize) {
        if let Some(recv) = &mut self.recv {
            let _ = recv.flow_control().release_capacity(n);
        }
        self.timer.arm_in(self.limits.idle);
    }

    /// Trailer fields, once the end was reached.
    pub fn trailers(&self) -> Option<&Trailers> {
        self.trailers.as_ref()
    }

    /// The length of the body, where the head tells it.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// The request's body, if not a byte of it was touched.
    pub fn reclaim_body(&mut self) -> Option<RequestBody> {
        (!self.body.was_touched()).then(|| std::mem::replace(&mut self.body, RequestBody::Empty))
    }

    fn report(&self, outcome: Outcome) {
        if let Some(lease) = &self.lease {
            lease.report(outcome);
        }
    }

    fn fail(&mut self, fault: OriginFault) -> Reason {
        // What a visitor broke is no evidence against the origin.
        if self.upload_fault.is_none() {
            self.report(match fault {
                OriginFault::Reset | OriginFault::EndedEarly => Outcome::Reset,
                OriginFault::FirstByteTimeout | OriginFault::IdleTimeout => Outcome::TimedOut,
                _ => Outcome::Malformed,
            });
        }
        if let (OriginFault::FirstByteTimeout, Some(lease)) = (fault, &self.lease) {
            // The connection may be dead without a word. Its other streams go on; new requests open
            // another, instead of waiting here for the kernel to give it up.
            lease.upstreams().forget_streams(lease.member);
        }
        self.lease = None;
        self.upload_fault.unwrap_or(Reason::Origin(fault))
    }
}

impl Drop for Http2Exchange {
    fn drop(&mut self) {
        self.core.give_response_head(std::mem::take(&mut self.head));
    }
}

/// What an error of the connection or the stream is called here.
pub fn fault_of(error: &h2::Error) -> OriginFault {
    if error.is_io() {
        OriginFault::Reset
    } else {
        OriginFault::Http2
    }
}

/// GOAWAY below this stream, or REFUSED_STREAM: it may be sent again whatever the method.
fn was_not_processed(error: &h2::Error) -> bool {
    error.is_remote() && error.reason() == Some(h2::Reason::REFUSED_STREAM)
}

/// Trailer fields as the `h2` crate takes them.
pub fn to_header_map(trailers: &Trailers) -> http::HeaderMap {
    let mut map = http::HeaderMap::new();
    for field in trailers.fields() {
        if let (Ok(name), Ok(value)) = (
            http::HeaderName::from_bytes(field.name),
            http::HeaderValue::from_bytes(field.value),
        ) {
            map.append(name, value);
        }
    }
    map
}

/// Trailer fields as everyone else takes them; those that mean something dangerous are left out.
///
/// Too many or too large are a fault as in HTTP/1: a message that lost its end is not whole.
pub fn trailers_of(fields: &http::HeaderMap) -> Result<Option<Trailers>, BodyFault> {
    let mut trailers = Trailers::new();
    for (name, value) in fields {
        trailers.push_field(name.as_str().as_bytes(), value.as_bytes())?;
    }
    Ok((!trailers.is_empty()).then_some(trailers))
}
