//! The HTTP/2 server connection, on the `h2` crate: every stream becomes a request for the same
//! pipeline, every refusal a stream error or a page.

pub(crate) mod ahead;
pub(crate) mod opening;
pub(crate) mod send;
mod stream;
pub(crate) mod tap;
pub(crate) mod windows;
mod wire;

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use mangrove_http::{
    Field, Known, Method, Moment, Refusal, RequestHead, ResponseHead, TRAILER_BYTES,
};

pub use self::ahead::HeldByAll;
use self::send::send;
use self::stream::StreamEnd;
pub use self::stream::{Progress, RequestStream};
use self::tap::of_connection;
use self::wire::Wire;
use crate::accept::Presence;
use crate::answer_head::AnswerHead;
use crate::body::RequestBody;
use crate::core::{Connection, Core};
use crate::io::Stream;
use crate::module::{Module, guarded};
use crate::pipeline::{
    Answer, Begun, Held, Interim, Outcome, Planned, Story, Switched, answer_fetched,
    answer_refused, begin, fetch, is_silent, receive,
};
use crate::reason::{EdgeReason, Reason};
use crate::tunnel::{Pipe, Watch, poll_both};
use crate::uptake::{Left, Leftover, see_off};

/// What a client may send ahead of us on one stream.
pub(crate) const STREAM_WINDOW: u32 = 128 * 1024;
/// Of the connection's buffer, what one stream's answer may take while it waits for its turn.
pub(crate) const SEND_SHARE: u32 = 4;
/// Streams that ended by a reset and are remembered for a moment (the crate's own guard).
pub(crate) const REMEMBERED_RESETS: usize = 64;
/// Streams reset by their client before they were taken up, at one time. No more than a connection's budget of resets comes
/// this far, so it is the budget that ends it, and names why.
pub(crate) const RESETS_BEFORE_SERVED: usize = 128;
/// Streams that the crate refuses on one connection before it ends it.
pub(crate) const STREAMS_REFUSED: usize = 1024;
/// How long a stream is kept after its answer while the client still sends: see [`linger`].
pub(crate) const LINGER: Duration = Duration::from_secs(1);

/// How long a connection without streams stays after our GOAWAY: time to hear it and for requests already under way
/// (RFC 9113 section 6.8). A client that says nothing is not waited for as if it were idle once more.
pub(crate) const GOAWAY_HEARD: Duration = Duration::from_secs(2);

/// Serves one connection until either side is done with it.
pub async fn serve(
    core: Rc<Core>,
    connection: Rc<Connection>,
    stream: Stream,
    presence: &Rc<Presence>,
) {
    let snapshot = core.snapshot();
    let limits = snapshot.settled.server.limits.clone();
    let Some(account) = stream.account().cloned() else {
        return; // nobody but a client comes here
    };
    let wire = Wire::new(
        stream,
        Rc::clone(&account),
        &core,
        &connection,
        presence,
        u64::from(limits.connection_buffer_bytes),
    );
    let mut leftover = Leftover::new(&limits);
    let idle = core.wheel.timer();
    idle.arm_in(limits.protocol_sniff);
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW.min(limits.connection_buffer_bytes))
        .initial_connection_window_size(limits.connection_buffer_bytes)
        .max_concurrent_streams(limits.h2_streams)
        .max_header_list_size(field_section_bytes(limits.head_bytes))
        .max_send_buffer_size((limits.connection_buffer_bytes / SEND_SHARE) as usize)
        .max_concurrent_reset_streams(REMEMBERED_RESETS)
        .max_pending_accept_reset_streams(RESETS_BEFORE_SERVED)
        .max_local_error_reset_streams(Some(STREAMS_REFUSED))
        .enable_connect_protocol();
    drop(snapshot);
    let handshake = builder.handshake::<_, Bytes>(wire.clone());
    let mut http2 = match idle.bound(handshake).await {
        Some(Ok(http2)) => http2,
        Some(Err(error)) if error.is_io() => return,
        Some(Err(error)) => return refuse(&core, &connection, why_broken(&error)),
        None => {
            core.metrics.reason(EdgeReason::ProtocolSniffTimeout.into());
            return;
        }
    };
    let open = Rc::new(std::cell::Cell::new(0usize));
    let mut closing = false;
    let patience = |closing: bool| match closing {
        true => GOAWAY_HEARD.min(limits.h2_idle),
        false => limits.h2_idle,
    };
    idle.arm_in(patience(closing));
    loop {
        let event = std::future::poll_fn(|cx| {
            if account.poll_ends_by_reset(cx).is_ready() {
                return Poll::Ready(Event::Cut); // one of its streams found that the client takes nothing
            }
            if open.get() > 0 && presence.poll_must_go(cx, core.wheel.now()).is_ready() {
                wire.make_room();
                return Poll::Ready(Event::Cut);
            }
            let mut event = Poll::Pending;
            if wire.spent().is_none() {
                event = poll_event(cx, &core, &mut http2, &idle, presence, &open, closing);
            }
            if let (Poll::Pending, Some(reason)) = (&event, wire.spent()) {
                event = Poll::Ready(Event::Flood(reason));
            }
            while let Some(reason) = wire.next_refused() {
                refuse(&core, &connection, reason);
            }
            event
        })
        .await;
        match event {
            Event::Request(request, respond) => {
                if open.get() == 0 {
                    presence.busy(); // who has been slow over one stream is so still when he begins another
                }
                open.set(open.get() + 1);
                idle.disarm();
                let started = core.clock.nanos();
                let (core, connection) = (Rc::clone(&core), Rc::clone(&connection));
                wire.taken_up(respond.stream_id());
                let wire = wire.clone();
                let guard = OpenStream(Rc::clone(&open));
                tokio::task::spawn_local(async move {
                    exchange(core, connection, wire, *request, *respond, started).await;
                    drop(guard);
                });
            }
            Event::Idle => match leftover.look(&core, &account) {
                // Its last answer is still on its way to it: that is not idle.
                Left::Until(next) => idle.arm(next),
                Left::ThrownAway => return,
                Left::Nothing if closing => break,
                Left::Nothing => {
                    if open.get() == 0 {
                        http2.graceful_shutdown();
                        closing = true;
                    }
                    idle.arm_in(patience(closing));
                }
            },
            Event::StreamsGone => {
                presence.idle(core.wheel.now());
                idle.arm_in(patience(closing));
            }
            Event::Drain => {
                http2.graceful_shutdown();
                closing = true;
                if open.get() == 0 {
                    idle.arm_in(patience(closing));
                }
            }
            Event::Broken(reason) => {
                refuse(&core, &connection, reason);
                break;
            }
            Event::Flood(reason) => {
                refuse(&core, &connection, reason);
                http2.abrupt_shutdown(h2::Reason::ENHANCE_YOUR_CALM);
                idle.arm_in(GOAWAY_HEARD);
                // Either way it has been told, or does not listen.
                let _ = idle
                    .bound(std::future::poll_fn(|cx| http2.poll_closed(cx)))
                    .await;
                break;
            }
            Event::Over => break,
            Event::Cut => return,
        }
    }
    drop(http2);
    presence.idle(Moment(0)); // of those who hold as many it goes before one who may ask again
    wire.close(&core, presence).await;
    see_off(&core, &account, &limits, |cx| presence.poll_evicted(cx)).await;
}

enum Event {
    Request(
        Box<http::Request<h2::RecvStream>>,
        Box<h2::server::SendResponse<Bytes>>,
    ),
    Idle,
    StreamsGone,
    Drain,
    /// The client broke the protocol, in this way; it has been told.
    Broken(Reason),
    /// It made us do more than its requests are worth, in this way.
    Flood(Reason),
    /// Both sides are done.
    Over,
    /// Nothing more is to be said: it must make room, or would not hear it.
    Cut,
}

/// What is decoded of a field section, as RFC 9113 section 6.5.2 counts it. The crate leaves out what is beyond, or answers
/// for us; we have refused a head, and long trailers, before that, with a name and in words.
fn field_section_bytes(head_bytes: u32) -> u32 {
    let trailers = u32::try_from(TRAILER_BYTES).unwrap_or(u32::MAX);
    head_bytes.max(trailers.saturating_mul(2)).saturating_mul(2)
}

fn why_broken(error: &h2::Error) -> Reason {
    let code = error.reason().unwrap_or(h2::Reason::PROTOCOL_ERROR);
    of_connection(code.into()).into()
}

/// Records what never became a request.
fn refuse(core: &Rc<Core>, connection: &Rc<Connection>, reason: Reason) {
    let mut head = core.take_request_head();
    Rc::make_mut(&mut head).begin_h2();
    let received = receive(core, connection, head, core.clock.nanos());
    end_unanswered(received.refused(reason).story, reason);
}

/// Ends a story whose visitor is told by a frame, and not in words.
fn end_unanswered(mut story: Box<Story>, reason: Reason) {
    story.blame(reason);
    if reason != Reason::Edge(EdgeReason::ClientReset) {
        story.status = reason.status();
    }
    story.finish();
}

struct OpenStream(Rc<std::cell::Cell<usize>>);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

fn poll_event(
    cx: &mut Context<'_>,
    core: &Core,
    http2: &mut h2::server::Connection<Wire, Bytes>,
    idle: &crate::wheel::Timer,
    presence: &Presence,
    open: &std::cell::Cell<usize>,
    closing: bool,
) -> Poll<Event> {
    match http2.poll_accept(cx) {
        Poll::Ready(Some(Ok((request, respond)))) => {
            return Poll::Ready(Event::Request(Box::new(request), Box::new(respond)));
        }
        Poll::Ready(Some(Err(error))) => {
            return Poll::Ready(
                if error.is_io() || error.is_go_away() && error.is_remote() {
                    Event::Over
                } else {
                    Event::Broken(why_broken(&error))
                },
            );
        }
        Poll::Ready(None) => return Poll::Ready(Event::Over),
        Poll::Pending => {}
    }
    if core.is_draining() && !closing {
        return Poll::Ready(Event::Drain);
    }
    if open.get() == 0 && idle.deadline().is_none() {
        return Poll::Ready(Event::StreamsGone);
    }
    if open.get() == 0 && presence.poll_evicted(cx).is_ready() {
        return Poll::Ready(Event::Cut);
    }
    if idle.poll_expired(cx).is_ready() {
        idle.disarm();
        return Poll::Ready(Event::Idle);
    }
    Poll::Pending
}

async fn exchange(
    core: Rc<Core>,
    connection: Rc<Connection>,
    wire: Wire,
    request: http::Request<h2::RecvStream>,
    respond: h2::server::SendResponse<Bytes>,
    started: u64,
) {
    let (parts, recv) = request.into_parts();
    let mut head = core.take_request_head();
    let own = Rc::make_mut(&mut head);
    build_head(own, &parts, recv.is_end_stream());
    let finished = own.finish_h2(&core.snapshot().request_limits);
    let received = receive(&core, &connection, head, started);
    let respond = Rc::new(Respond {
        stream: respond.stream_id(),
        send: RefCell::new(respond),
        wire: wire.clone(),
    });
    if let Err(refusal) = finished {
        // RFC 9113 section 8.1.1: a malformed request is a stream error; what is merely too much, or
        // not offered, is told in words.
        let refused = received.refused(refusal.into());
        if refusal.status() == 400 {
            respond
                .send
                .borrow_mut()
                .send_reset(h2::Reason::PROTOCOL_ERROR);
            return end_unanswered(refused.story, refusal.into());
        }
        if let Begun::Answered(story, answer) = crate::pipeline::refuse(refused) {
            write_answer_without_body(&core, &respond, recv, story, *answer).await;
        }
        return;
    }
    let declared = match received.framing() {
        mangrove_http::BodyFraming::Length(length) => Some(length),
        _ => None,
    };
    let mut begun = begin(received);
    loop {
        match begun {
            Begun::Answered(story, answer) => {
                return write_answer_without_body(&core, &respond, recv, story, *answer).await;
            }
            Begun::Fetch(planned) => {
                let Some(planned) = with_window(&core, planned, &respond).await else {
                    return;
                };
                let body = RequestStream::new(
                    &core,
                    wire,
                    recv,
                    declared,
                    planned.site().request_body_bytes,
                    &planned.story().snapshot,
                );
                return Box::pin(fetch_and_respond(&core, planned, body, respond)).await;
            }
            Begun::Held(held) => match Box::pin(its_turn(held, &respond)).await {
                Some(further) => begun = further,
                None => return,
            },
            Begun::Cut(story) => {
                story.finish();
                return wire.account().end_by_reset();
            }
        }
    }
}

/// Waits for a request's turn, and goes on; none where its client did not wait.
async fn its_turn(held: Held, respond: &Respond) -> Option<Begun> {
    let timer = held.timer();
    let gone = std::future::poll_fn(|cx| {
        if timer.poll_expired(cx).is_ready() {
            return Poll::Ready(None);
        }
        let gone = respond.send.borrow_mut().poll_reset(cx);
        gone.map(|_| Some(respond.why_over()))
    });
    match gone.await {
        None => Some(held.go_on()),
        Some(gone) => {
            end_unanswered(held.leave(), gone);
            None
        }
    }
}

/// Waits until the client lets an answer come at all: the origin is not asked before. None when it does not.
async fn with_window(core: &Core, planned: Planned, respond: &Respond) -> Option<Planned> {
    let story = planned.story();
    if story.head.method() == Method::Head || story.upgrade {
        return Some(planned);
    }
    let patience = story.snapshot.settled.server.limits.response_write_idle;
    let timer = core.wheel.timer();
    timer.arm_in(patience);
    let mut awaited = None;
    let opened = std::future::poll_fn(|cx| {
        if respond.wire.poll_window(respond.stream, cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        if respond.send.borrow_mut().poll_reset(cx).is_ready() {
            return Poll::Ready(Err(respond.why_over()));
        }
        awaited.get_or_insert_with(|| respond.wire.awaits());
        let too_late = |()| Err(EdgeReason::ResponseWriteTimeout.into());
        timer.poll_expired(cx).map(too_late)
    })
    .await;
    drop(awaited);
    let Err(reason) = opened else {
        return Some(planned);
    };
    respond.send.borrow_mut().send_reset(h2::Reason::CANCEL);
    end_unanswered(planned.into_story(), reason);
    None
}

async fn fetch_and_respond(
    core: &Rc<Core>,
    mut planned: Planned,
    stream: RequestStream,
    respond: Rc<Respond>,
) {
    let tunnelled = planned.story().upgrade;
    let progress = stream.progress();
    let (body, end) = if tunnelled {
        (RequestBody::Empty, Some(stream))
    } else if stream.is_empty() {
        (RequestBody::Empty, None)
    } else {
        (RequestBody::Http2(Box::new(stream)), None)
    };
    let interim: Rc<dyn Interim> = Rc::clone(&respond) as Rc<dyn Interim>;
    let outcome = {
        let work = std::pin::pin!(fetch(&mut planned, body, interim));
        let mut work = guarded(Module::Pipeline, work);
        std::future::poll_fn(|cx| {
            if let Poll::Ready(outcome) = work.poll_guarded(&core.metrics, cx) {
                return Poll::Ready(Ok(outcome));
            }
            match respond.send.borrow_mut().poll_reset(cx) {
                Poll::Ready(_) => Poll::Ready(Err(respond.why_over())),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    };
    let mut story = planned.into_story();
    story.received = progress.received();
    let answer = match outcome {
        Ok(Ok(Outcome::Fetched(fetched))) => answer_fetched(&mut story, fetched),
        Ok(Ok(Outcome::Answered(answer))) => *answer,
        Ok(Ok(Outcome::Switched(switched))) => {
            return tunnel(&respond, story, *switched, end).await;
        }
        Ok(Ok(Outcome::Failed(Reason::Refusal(refusal)))) if refusal.status() == 400 => {
            respond
                .send
                .borrow_mut()
                .send_reset(h2::Reason::PROTOCOL_ERROR);
            return end_unanswered(story, refusal.into());
        }
        Ok(Ok(Outcome::Failed(reason))) if is_silent(reason) => {
            end_unanswered(story, reason);
            return respond.wire.account().end_by_reset();
        }
        Ok(Ok(Outcome::Failed(reason))) => answer_refused(&mut story, reason),
        Ok(Err(_panicked)) => answer_refused(&mut story, EdgeReason::InternalError.into()),
        Err(gone) => return end_unanswered(story, gone),
    };
    let sent = write_answer(&respond, story, answer, Some(&progress)).await;
    if let Some(out) = sent
        && !progress.has_ended()
    {
        linger(core, out).await;
    }
}

/// The client's end of one stream, for answers.
#[derive(Debug)]
struct Respond {
    stream: h2::StreamId,
    send: RefCell<h2::server::SendResponse<Bytes>>,
    wire: Wire,
}

impl Respond {
    /// Why it is over, when it was not us who ended it.
    fn why_over(&self) -> Reason {
        self.wire.why_over(self.stream)
    }
}

impl Interim for Respond {
    fn send(&self, head: &ResponseHead) {
        if let Some(response) = to_response(head.status(), head.fields()) {
            let _ = self.send.borrow_mut().send_informational(response); // the stream may be gone: the answer will tell
        }
    }

    fn send_continue(&self) {
        if let Some(response) = to_response(100, std::iter::empty()) {
            let _ = self.send.borrow_mut().send_informational(response);
        }
    }
}

fn build_head(head: &mut RequestHead, parts: &http::request::Parts, end_stream: bool) {
    head.begin_h2();
    head.h2_method(parts.method.as_str().as_bytes());
    if let Some(scheme) = parts.uri.scheme_str() {
        head.h2_scheme(scheme.as_bytes());
    }
    if let Some(authority) = parts.uri.authority() {
        head.h2_authority(authority.as_str().as_bytes());
    }
    if let Some(target) = parts.uri.path_and_query() {
        head.h2_path(target.as_str().as_bytes());
    }
    if let Some(protocol) = parts.extensions.get::<h2::ext::Protocol>() {
        head.h2_protocol(protocol.as_str().as_bytes());
    }
    for (name, value) in &parts.headers {
        head.push_field(name.as_str().as_bytes(), value.as_bytes());
    }
    if end_stream {
        head.h2_end_stream();
    }
}

fn to_response<'a>(
    status: u16,
    fields: impl Iterator<Item = Field<'a>>,
) -> Option<http::Response<()>> {
    let mut response = http::Response::builder()
        .status(status)
        .version(http::Version::HTTP_2)
        .body(())
        .ok()?;
    for field in fields {
        push_field(response.headers_mut(), &field);
    }
    Some(response)
}

fn push_field(fields: &mut http::HeaderMap, field: &Field<'_>) {
    if field.hop_by_hop || field.known == Known::ContentLength {
        return;
    }
    if let (Ok(name), Ok(value)) = (
        http::HeaderName::from_bytes(field.name),
        http::HeaderValue::from_bytes(field.value),
    ) {
        fields.append(name, value);
    }
}

/// Answers a request whose body nobody will read.
async fn write_answer_without_body(
    core: &Core,
    respond: &Respond,
    recv: h2::RecvStream,
    story: Box<Story>,
    answer: Answer,
) {
    let ended = recv.is_end_stream();
    drop(recv); // what still comes of the body is thrown away by the crate
    if let Some(out) = write_answer(respond, story, answer, None).await
        && !ended
    {
        linger(core, out).await;
    }
}

/// Writes and records an answer. A stream that took all of it is given back.
async fn write_answer(
    respond: &Respond,
    mut story: Box<Story>,
    answer: Answer,
    progress: Option<&Progress>,
) -> Option<h2::SendStream<Bytes>> {
    let Answer { head, mut body } = answer;
    let status = head.status();
    story.status = status;
    let outcome = send(respond, &mut story, &head, &mut body).await;
    if let Some(progress) = progress {
        story.received = progress.received();
    }
    let sent = outcome.map_err(|reason| story.blame(reason)).ok();
    if let AnswerHead::Own(head) = head {
        story.core.give_response_head(head);
    }
    story.finish();
    sent
}

/// Keeps a stream whose client still sends for a moment after its answer. Letting go of it is a reset
/// (RFC 9113 section 8.1), and clients that read the reset together with the answer lose the answer: curl
/// before 8.0 does. Most stop by themselves once they have seen it; the others are held up by the window.
async fn linger(core: &Core, mut out: h2::SendStream<Bytes>) {
    let timer = core.wheel.timer();
    timer.arm_in(LINGER);
    let _ = timer
        .bound(std::future::poll_fn(|cx| out.poll_reset(cx)))
        .await; // either way the stream has had its time
}

/// A WebSocket inside a stream (RFC 8441).
async fn tunnel(
    respond: &Respond,
    mut story: Box<Story>,
    switched: Switched,
    end: Option<RequestStream>,
) {
    let Switched {
        head,
        lease,
        mut stream,
        ahead,
    } = switched;
    let Some(end) = end else {
        story.blame(EdgeReason::InternalError.into());
        return story.finish();
    };
    story.status = 200;
    let fields = head
        .fields()
        .filter(|field| field.known != Known::SecWebSocketAccept);
    let sent = to_response(200, fields)
        .map(|response| respond.send.borrow_mut().send_response(response, false));
    let Some(Ok(out)) = sent else {
        story.blame(respond.why_over());
        return story.finish();
    };
    let mut visitor = StreamEnd::new(end, out);
    let limits = &story.snapshot.settled.server.limits;
    let watch = Watch::of(&story.head, limits, story.core.wheel.now());
    let (mut up, mut down) = (Pipe::default().watched(watch), Pipe::starting_with(ahead));
    let idle = story.core.wheel.timer();
    idle.arm_in(limits.upgrade_idle);
    let ended = std::future::poll_fn(|cx| {
        poll_both(
            cx,
            &story.core,
            &mut visitor,
            &mut stream,
            &mut up,
            &mut down,
            (&idle, limits.upgrade_idle),
        )
    })
    .await;
    story.received = up.moved;
    story.sent = down.moved;
    if let Some(reason) = ended {
        story.blame(reason);
    }
    drop(lease);
    story.finish();
}

/// The refusal that fits a body longer than allowed, shared with the stream.
const TOO_LARGE: Reason = Reason::Refusal(Refusal::BodyTooLarge);
