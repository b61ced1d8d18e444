//! Sending an answer on a stream, as far as its client's windows and the connection let it.

use std::task::Poll;

use bytes::Bytes;
use mangrove_http::{Method, Moment};
use mangrove_shield::protocol::Kind;

use super::{Respond, push_field, to_response};
use crate::accept::Presence;
use crate::answer_head::AnswerHead;
use crate::body::{CHUNK_BYTES, Filled, ResponseBody};
use crate::core::{Core, READ_BYTES};
use crate::limits::tell;
use crate::origin::http2::to_header_map;
use crate::pipeline::Story;
use crate::reason::{EdgeReason, Reason};
use crate::tcp::Account;
use crate::uptake::{Uptake, reason_of};

/// A piece of an answer that has less, though there is more, says that the client's window takes no more.
pub(crate) const TINY_PIECE_BYTES: usize = 1_024;

/// Sends head and body; gives the stream back when all of it was taken.
pub(super) async fn send(
    respond: &Respond,
    story: &mut Story,
    head: &AnswerHead,
    body: &mut ResponseBody,
) -> Result<h2::SendStream<Bytes>, Reason> {
    let status = head.status();
    let Some(mut response) = to_response(status, std::iter::empty()) else {
        respond
            .send
            .borrow_mut()
            .send_reset(h2::Reason::INTERNAL_ERROR);
        return Err(EdgeReason::InternalError.into());
    };
    head.for_each_field(|field| push_field(response.headers_mut(), field));
    let bodiless = story.head.method() == Method::Head || matches!(status, 204 | 304);
    let fields = response.headers_mut();
    if !fields.contains_key(http::header::DATE)
        && let Ok(date) = http::HeaderValue::from_bytes(&story.core.date())
    {
        fields.insert(http::header::DATE, date);
    }
    if let AnswerHead::Kept(kept) = head {
        fields.insert(http::header::AGE, http::HeaderValue::from(kept.age()));
    }
    if let Some(tale) = &story.cache {
        let mut value = story.core.take_buffer();
        tale.write(story.cache_name(), &mut value);
        if let Ok(value) = http::HeaderValue::from_bytes(&value) {
            fields.append(http::HeaderName::from_static("cache-status"), value);
        }
        story.core.give_buffer(value);
    }
    tell(story, |name, value| {
        if let (Ok(name), Ok(value)) = (
            http::HeaderName::from_bytes(name),
            http::HeaderValue::from_bytes(value),
        ) {
            fields.append(name, value);
        }
    });
    let length = match (bodiless, head) {
        (false, _) => body.length(),
        (true, AnswerHead::Own(_)) => head.told_length(),
        (true, _) => head
            .told_length()
            .filter(|_| story.head.method() == Method::Head),
    };
    if let Some(length) = length.filter(|_| status != 204) {
        fields.insert(
            http::header::CONTENT_LENGTH,
            http::HeaderValue::from(length),
        );
    }
    if let Ok(id) = http::HeaderValue::from_bytes(&story.id_text) {
        fields.insert("x-request-id", id);
    }
    // gRPC tells a call that fails at once by a head that ends the stream, not by an empty DATA frame after it.
    let empty = bodiless || body.is_over();
    let sent = respond.send.borrow_mut().send_response(response, empty);
    let mut out = sent.map_err(|_| respond.why_over())?;
    if empty {
        return Ok(out);
    }
    let limits = &story.snapshot.settled.server.limits;
    let mut turn = Turn {
        account: respond.wire.account(),
        uptake: Uptake::new(limits, respond.wire.account().given()),
        buffers: u64::from(limits.connection_buffer_bytes),
        ahead: 0,
    };
    turn.granted(0, story.core.wheel.now());
    let timer = story.core.wheel.timer();
    let hand = Hand(respond);
    let mut was_tiny = false;
    loop {
        body.read_at_most(respond.wire.piece());
        let filled = std::future::poll_fn(|cx| {
            if out.poll_reset(cx).is_ready() {
                return Poll::Ready(Err(respond.why_over()));
            }
            let filled = body.poll_fill(cx);
            hand.holds(body.held());
            filled
        })
        .await;
        match filled {
            Err(reason) => {
                // What is missing must be seen to be missing (RFC 9113 section 8.1).
                out.send_reset(h2::Reason::INTERNAL_ERROR);
                return Err(reason);
            }
            Ok(Filled::End) => {
                let ended = match body.trailers() {
                    Some(trailers) => out.send_trailers(to_header_map(trailers)),
                    None => out.send_data(Bytes::new(), true),
                };
                return match ended {
                    Ok(()) => Ok(out),
                    Err(_) => Err(respond.why_over()),
                };
            }
            Ok(Filled::Data) => {}
        }
        let whole = body.data().len().min(CHUNK_BYTES);
        let mut wanted = whole;
        let mut awaited = None;
        let granted = std::future::poll_fn(|cx| {
            let piece = respond.wire.piece();
            let has_room = piece >= READ_BYTES;
            if has_room || respond.wire.poll_left(respond.stream, cx).is_ready() {
                wanted = if has_room { whole } else { whole.min(piece) };
                out.reserve_capacity(wanted);
                loop {
                    match out.poll_capacity(cx) {
                        Poll::Ready(Some(Ok(0))) => {} // stale; asked again, it tells when there is some
                        Poll::Ready(Some(Ok(n))) => return Poll::Ready(Ok(n)),
                        Poll::Ready(_) => return Poll::Ready(Err(respond.why_over())),
                        Poll::Pending => break,
                    }
                }
            } else if out.poll_reset(cx).is_ready() {
                return Poll::Ready(Err(respond.why_over()));
            }
            body.poll_upload(cx);
            let now = story.core.wheel.now();
            timer.arm(turn.uptake.waiting(now));
            while timer.poll_expired(cx).is_ready() {
                match turn.look(&story.core, respond.wire.presence()) {
                    Ok(next) => timer.arm(next),
                    Err(reason) => return Poll::Ready(Err(reason)),
                }
            }
            awaited.get_or_insert_with(|| respond.wire.awaits());
            Poll::Pending
        })
        .await;
        drop(awaited);
        match granted {
            Ok(n) => {
                let is_tiny = n < wanted && n < TINY_PIECE_BYTES;
                if is_tiny && was_tiny {
                    respond.wire.spend(Kind::TinyWindow);
                }
                was_tiny = is_tiny;
                let chunk = body.take(n.min(wanted));
                respond.wire.queued(respond.stream, chunk.len());
                hand.holds(body.held());
                let now = story.core.wheel.now();
                turn.granted(chunk.len(), now);
                timer.disarm();
                story.sent = story.sent.saturating_add(chunk.len() as u64);
                if out.send_data(chunk, false).is_err() {
                    return Err(respond.why_over());
                }
            }
            Err(reason) => {
                out.send_reset(h2::Reason::CANCEL);
                return Err(reason);
            }
        }
    }
}

/// What an answer has at hand, counted until the answer is over.
struct Hand<'a>(&'a Respond);

impl Hand<'_> {
    fn holds(&self, bytes: usize) {
        self.0.wire.at_hand(self.0.stream, bytes);
    }
}

impl Drop for Hand<'_> {
    fn drop(&mut self) {
        self.holds(0);
    }
}

/// A stream that waits until it may send more: for its window, or for the connection.
struct Turn<'a> {
    account: &'a Account,
    uptake: Uptake,
    /// Bytes that may lie between a stream's last chunk and the kernel.
    buffers: u64,
    /// Once so many bytes of the connection are taken, everything this stream has sent is among them. What other streams
    /// move beyond that is not its doing.
    ahead: u64,
}

impl Turn<'_> {
    fn granted(&mut self, bytes: usize, now: Moment) {
        self.uptake.moved(bytes, now);
        self.ahead = self.account.given().saturating_add(self.buffers);
    }

    /// When to look again, or the name of being too slow.
    fn look(&mut self, core: &Core, presence: &Presence) -> Result<Moment, Reason> {
        let queued = self.account.queued(&core.sock_diag);
        let taken = queued.map(|queued| self.account.given().saturating_sub(queued));
        presence.took(taken, core.wheel.now()); // of all streams: a connection that moves is not slow
        let own = taken.map(|taken| taken.min(self.ahead));
        let given = self.account.given();
        let looked = self.uptake.look(own, given, core.wheel.now());
        looked.map_err(|slow| {
            // Bytes lie there and nobody takes them: no stream, and no GOAWAY, will get through. Where the kernel does not
            // tell just now, what it told last counts.
            let owes = queued.map_or(self.uptake.owes(), |queued| queued > 0);
            if owes && own == taken {
                self.account.end_by_reset();
            }
            reason_of(slow)
        })
    }
}
