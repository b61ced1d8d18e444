//! Fetch: asks an origin, and another if that is safe, until a final head is there.

use std::rc::Rc;
use std::sync::Arc;

use mangrove_cache::{
    AcceptedCodings, Interval, PolicyField, conditions, is_replaced_when_revalidating,
    write_surrogate_capability,
};
use mangrove_http::{
    BodyFraming, Known, Method, Moment, OriginFault, RequestHead, ResponseHead, Version, websocket,
};
use smallvec::SmallVec;

use super::answer::Answer;
use super::cached::{fetch_through, heard_around};
use super::plan::{Plan, Planned};
use super::purged::purge;
use super::record::Story;
use crate::answer_head::push_field;
use crate::body::{RequestBody, ResponseBody};
use crate::cache::{CacheResult, KeptHead};
use crate::io::Stream;
use crate::log::push_decimal;
use crate::origin::budget::{Attempt, Failure, Replay, retry_allowed};
use crate::origin::connect::open;
use crate::origin::health::Outcome as MemberOutcome;
use crate::origin::http1::{ExchangeLimits, HeadEvent, Http1Exchange};
use crate::origin::http2::{self, Http2Exchange};
use crate::origin::pool::MemberId;
use crate::origin::{Lease, Upstreams};
use crate::outgoing::OutgoingFraming;
use crate::reason::{EdgeReason, Reason};
use crate::snapshot::Site;

/// Where interim responses go.
pub trait Interim {
    /// Passes one on.
    fn send(&self, head: &ResponseHead);
    /// Tells the client that its body may come, if it waits to be told.
    fn send_continue(&self);
}

/// A final head, and the body that follows.
#[derive(Debug)]
pub struct Fetched {
    /// What the origin said.
    pub head: ResponseHead,
    /// What it says on.
    pub body: ResponseBody,
}

/// An origin that agreed to speak another protocol.
#[derive(Debug)]
pub struct Switched {
    /// Its `101`.
    pub head: ResponseHead,
    /// The place at the origin, held while the tunnel lives.
    pub lease: Lease,
    /// The connection.
    pub stream: Stream,
    /// What it has said already in the new protocol.
    pub ahead: Vec<u8>,
}

/// How a fetch ended.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "an origin's answer is the common one, and is not worth a box"
)]
pub enum Outcome {
    /// With an origin's answer.
    Fetched(Fetched),
    /// With an answer that the cache has, or will keep.
    Answered(Box<Answer>),
    /// With another protocol.
    Switched(Box<Switched>),
    /// With a "no".
    Failed(Reason),
}

/// What the origin is asked.
#[derive(Clone, Debug, Default)]
pub enum Ask {
    /// What the visitor asked.
    #[default]
    AsCame,
    /// Whether this is still good (RFC 9111 section 4.3.1); the visitor's own preconditions are judged afterwards.
    About(Arc<KeptHead>),
    /// These bytes of this, and all of what there is instead if it is not that any more (RFC 9110 section 13.1.5).
    Bytes(Arc<KeptHead>, Interval),
}

/// Brings an answer from the site's origins, or what the cache has instead; or carries out an order to let go of that.
pub async fn fetch(planned: &mut Planned, body: RequestBody, interim: Rc<dyn Interim>) -> Outcome {
    let upstreams = match planned.plan() {
        Plan::Fetch(upstreams, _) => upstreams,
        Plan::Purge => {
            let answer = Box::pin(purge(planned)).await;
            return Outcome::Answered(Box::new(answer));
        }
        _ => return Outcome::Failed(EdgeReason::InternalError.into()),
    };
    let upstreams = Rc::clone(upstreams);
    if let Some(looked) = planned.take_looked() {
        return fetch_through(planned, &upstreams, looked, interim).await;
    }
    let site = Rc::clone(planned.site());
    let story = planned.story_mut();
    match ask_origin(story, &site, &upstreams, body, interim).await {
        Outcome::Fetched(fetched) => heard_around(story, &site, &upstreams, fetched),
        outcome => outcome,
    }
}

/// Asks the site's origins.
///
/// What only some requests wait for (a new connection, a place in the queue, HTTP/2) is boxed where it is awaited: it is
/// many times as large as the rest, and every request would carry room for it.
pub(super) async fn ask_origin(
    story: &mut Story,
    site: &Rc<Site>,
    upstreams: &Rc<Upstreams>,
    body: RequestBody,
    interim: Rc<dyn Interim>,
) -> Outcome {
    let started = story.core.clock.nanos();
    story.origin.asked_at = started;
    let mut asking = Asking {
        upstreams: Rc::clone(upstreams),
        site: Rc::clone(site),
        interim,
        body: Some(body),
        tried: SmallVec::new(),
        answer_begun: false,
        fresh_only: false,
    };
    let mut now = story.core.clock.moment_of(started);
    asking.upstreams.note_request(now);
    let mut first_failure = None;
    loop {
        story.origin.tries += 1;
        let outcome = asking.attempt(story, now).await;
        let nanos = story.core.clock.nanos().saturating_sub(started);
        story.origin.head_nanos = nanos;
        match outcome {
            Ok(outcome) => {
                let status = match &outcome {
                    Outcome::Fetched(fetched) => Some(fetched.head.status()),
                    Outcome::Switched(_) => Some(101),
                    Outcome::Answered(_) | Outcome::Failed(_) => None,
                };
                story.origin.status = status;
                story.core.metrics.origin_finished(status, nanos);
                return outcome;
            }
            Err(failed) => {
                if failed.had_member {
                    story.core.metrics.origin_finished(None, nanos);
                } else if let Some(reason) = first_failure {
                    // A retry that finds no other origin tells nothing new: the first try's reason stands.
                    story.origin.tries -= 1;
                    return Outcome::Failed(reason);
                }
                if !asking.may_try_again(story, &failed) {
                    return Outcome::Failed(failed.reason);
                }
                first_failure.get_or_insert(failed.reason);
                story.core.metrics.origin_retries.add(1);
                now = story.core.clock.now();
            }
        }
    }
}

/// One request and the origins it has been to.
struct Asking {
    upstreams: Rc<Upstreams>,
    site: Rc<Site>,
    interim: Rc<dyn Interim>,
    /// Gone once an attempt has read from it.
    body: Option<RequestBody>,
    tried: SmallVec<[MemberId; 2]>,
    answer_begun: bool,
    /// A kept connection turned out to be closed: the next try opens its own.
    fresh_only: bool,
}

struct Failed {
    reason: Reason,
    failure: Failure,
    had_member: bool,
}

impl Failed {
    fn new(reason: impl Into<Reason>, failure: Failure) -> Self {
        Self {
            reason: reason.into(),
            failure,
            had_member: true,
        }
    }
}

impl Asking {
    fn may_try_again(&self, story: &Story, failed: &Failed) -> bool {
        if !failed.had_member || self.tried.len() as u64 > u64::from(self.upstreams.policy.retries)
        {
            return false;
        }
        let attempt = Attempt {
            idempotent: story.head.method().is_idempotent(),
            body: match &self.body {
                Some(RequestBody::Empty) => Replay::NoBody,
                Some(_) => Replay::Replayable,
                None => Replay::Consumed,
            },
            answer_begun: self.answer_begun,
            failure: failed.failure,
        };
        retry_allowed(attempt).is_ok() && self.upstreams.may_retry(story.core.clock.now())
    }

    async fn attempt(&mut self, story: &mut Story, now: Moment) -> Result<Outcome, Failed> {
        let lease = self.upstreams.lease(&story.core, &self.tried, now);
        let lease = match lease.await {
            Ok(lease) => lease,
            Err(fault) => {
                return Err(Failed {
                    reason: fault.into(),
                    failure: Failure::NotSent,
                    had_member: false,
                });
            }
        };
        self.tried.push(lease.member);
        story.origin.address = Some(Arc::clone(&lease.target.text));
        let limits = ExchangeLimits {
            first_byte: self.upstreams.policy.first_byte_timeout,
            idle: self.upstreams.policy.idle_timeout,
            head: story.snapshot.response_limits,
        };
        if !story.upgrade
            && let Some(streams) = self.upstreams.take_streams(lease.member)
            && let Some(streams) = Box::pin(ready_streams(streams, &lease)).await
        {
            story.core.metrics.origin_reuses.add(1);
            return Box::pin(self.over_http2(story, lease, streams, limits)).await;
        }
        if !self.fresh_only
            && let Some(kept) = self.upstreams.take_kept(lease.member)
        {
            story.core.metrics.origin_reuses.add(1);
            let outcome = self
                .over_http1(story, lease, kept.stream, true, limits)
                .await;
            if matches!(&outcome, Err(failed) if failed.failure == Failure::Closed) {
                // It was closed while the request was on its way (RFC 9112 section 9.3.1). The same
                // member may be asked once more, on a connection of its own.
                self.tried.pop();
                self.fresh_only = true;
            }
            return outcome;
        }
        let opened = match Box::pin(open(&lease, story.upgrade)).await {
            Ok(opened) => opened,
            Err(fault) => {
                lease.report(MemberOutcome::ConnectFailed);
                return Err(Failed::new(fault, Failure::NotSent));
            }
        };
        if !opened.http2 {
            return self
                .over_http1(story, lease, opened.stream, false, limits)
                .await;
        }
        let head_bytes = story.snapshot.settled.server.limits.response_head_bytes;
        match Box::pin(http2::start(&lease, opened.stream, head_bytes)).await {
            Ok(streams) => Box::pin(self.over_http2(story, lease, streams, limits)).await,
            Err(fault) => {
                lease.report(MemberOutcome::ConnectFailed);
                Err(Failed::new(fault, Failure::NotSent))
            }
        }
    }

    async fn over_http1(
        &mut self,
        story: &mut Story,
        lease: Lease,
        stream: Stream,
        reused: bool,
        limits: ExchangeLimits,
    ) -> Result<Outcome, Failed> {
        let body = self.body.take().unwrap_or(RequestBody::Empty);
        let framing = match story.head.framing() {
            BodyFraming::Length(length) => OutgoingFraming::Length(length),
            BodyFraming::Chunked if !body.is_empty() => OutgoingFraming::Chunked,
            BodyFraming::Chunked | BodyFraming::None => OutgoingFraming::None,
        };
        let awaits_continue = story.head.expects_continue() && !body.is_empty();
        let key = (story.upgrade && story.head.version() == Version::Http2).then(|| {
            websocket::key(
                (u128::from(story.core.random()) << 64 | u128::from(story.core.random()))
                    .to_be_bytes(),
            )
        });
        let mut head = story.core.take_buffer();
        render_http1(
            &mut head,
            story,
            &self.site,
            &lease,
            framing,
            awaits_continue,
            key.as_ref(),
        );
        // A body of no bytes is framed in the head alone.
        let framing = if body.is_empty() {
            OutgoingFraming::None
        } else {
            framing
        };
        // A visitor who upgrades has only ever a bodiless request.
        let method = if key.is_some() {
            Method::Get
        } else {
            story.head.method()
        };
        let mut exchange = Http1Exchange::new(
            lease,
            stream,
            head,
            framing,
            body,
            awaits_continue,
            method,
            limits,
            reused,
        );
        let most_interim = story.snapshot.settled.server.limits.interim_responses;
        let mut interim_seen = 0;
        loop {
            let event = std::future::poll_fn(|cx| {
                let polled = exchange.poll_head(cx);
                if polled.is_pending() && exchange.continue_is_overdue() {
                    exchange.stop_waiting_for_continue();
                    self.interim.send_continue();
                    return exchange.poll_head(cx);
                }
                polled
            })
            .await;
            match event {
                Ok(HeadEvent::Interim) => {
                    interim_seen += 1;
                    if interim_seen > most_interim {
                        return Err(Failed::new(OriginFault::TooManyInterim, Failure::Malformed));
                    }
                    match exchange.head().status() {
                        100 => self.interim.send_continue(),
                        // Not to clients older than them (RFC 9110 section 15.2).
                        _ if story.head.version() == Version::Http10 => {}
                        _ => self.interim.send(exchange.head()),
                    }
                    exchange.next_head();
                }
                Ok(HeadEvent::Final) => {
                    let head = exchange.take_head();
                    return Ok(Outcome::Fetched(Fetched {
                        head,
                        body: ResponseBody::Http1(exchange),
                    }));
                }
                Ok(HeadEvent::Switched) => return switched(story, *exchange, key.as_ref()),
                Err(reason) => {
                    let failure = failure_of(reason);
                    self.body = exchange.reclaim_body();
                    return Err(Failed::new(reason, failure));
                }
            }
        }
    }

    async fn over_http2(
        &mut self,
        story: &mut Story,
        lease: Lease,
        mut streams: h2::client::SendRequest<bytes::Bytes>,
        limits: ExchangeLimits,
    ) -> Result<Outcome, Failed> {
        if story.upgrade {
            // Extended CONNECT towards an origin would need its SETTINGS; it is asked over HTTP/1.1 instead.
            return Err(Failed::new(OriginFault::UpgradeFailed, Failure::NotSent));
        }
        let body = self.body.take().unwrap_or(RequestBody::Empty);
        let Some(request) = build_http2(story, &self.site, &lease) else {
            self.body = Some(body);
            return Err(Failed::new(OriginFault::Http2, Failure::NotSent));
        };
        if story.head.expects_continue() {
            self.interim.send_continue();
        }
        let member = lease.member;
        let exchange = Http2Exchange::new(
            lease,
            &mut streams,
            request,
            story.head.method(),
            body,
            limits,
        );
        let mut exchange = match exchange {
            Ok(exchange) => Box::new(exchange),
            Err((fault, body)) => {
                self.upstreams.forget_streams(member);
                self.body = Some(body);
                return Err(Failed::new(fault, Failure::NotSent));
            }
        };
        let most_interim = story.snapshot.settled.server.limits.interim_responses;
        let mut interim_seen = 0;
        loop {
            match std::future::poll_fn(|cx| exchange.poll_head(cx)).await {
                Ok(HeadEvent::Interim) => {
                    interim_seen += 1;
                    if interim_seen > most_interim {
                        return Err(Failed::new(OriginFault::TooManyInterim, Failure::Malformed));
                    }
                    match exchange.head().status() {
                        100 => self.interim.send_continue(),
                        _ if story.head.version() == Version::Http10 => {}
                        _ => self.interim.send(exchange.head()),
                    }
                }
                Ok(_) => {
                    let head = exchange.take_head();
                    return Ok(Outcome::Fetched(Fetched {
                        head,
                        body: ResponseBody::Http2(exchange),
                    }));
                }
                Err(reason) => {
                    let failure = if exchange.was_refused_unprocessed() {
                        Failure::NotProcessed
                    } else {
                        failure_of(reason)
                    };
                    self.body = exchange.reclaim_body();
                    return Err(Failed::new(reason, failure));
                }
            }
        }
    }
}

/// A shared connection that takes another stream, within the connect deadline.
async fn ready_streams(
    streams: h2::client::SendRequest<bytes::Bytes>,
    lease: &Lease,
) -> Option<h2::client::SendRequest<bytes::Bytes>> {
    let deadline = lease.core().wheel.timer();
    deadline.arm_in(lease.upstreams().policy.connect_timeout);
    match deadline.bound(streams.ready()).await {
        Some(Ok(streams)) => Some(streams),
        _ => {
            lease.upstreams().forget_streams(lease.member);
            None
        }
    }
}

fn failure_of(reason: Reason) -> Failure {
    match reason {
        Reason::Origin(OriginFault::Reset) => Failure::Closed,
        Reason::Origin(
            OriginFault::FirstByteTimeout | OriginFault::IdleTimeout | OriginFault::WriteTimeout,
        ) => Failure::TimedOut,
        // The visitor's own body failed, or the answer was no answer.
        _ => Failure::Malformed,
    }
}

fn switched(
    story: &Story,
    exchange: Http1Exchange,
    key: Option<&[u8; websocket::KEY_LENGTH]>,
) -> Result<Outcome, Failed> {
    let mut exchange = exchange;
    let head = exchange.take_head();
    let token = story
        .head
        .upgrade()
        .or(story.head.protocol_h2())
        .unwrap_or_default();
    let agreed = head
        .upgrade()
        .is_some_and(|offered| offered.eq_ignore_ascii_case(token));
    if !story.upgrade {
        return Err(Failed::new(
            OriginFault::UnexpectedSwitch,
            Failure::Malformed,
        ));
    }
    if !agreed {
        return Err(Failed::new(OriginFault::UpgradeFailed, Failure::Malformed));
    }
    if let Some(key) = key
        && head.field(Known::SecWebSocketAccept) != Some(&websocket::accept(key)[..])
    {
        return Err(Failed::new(OriginFault::UpgradeFailed, Failure::Malformed));
    }
    exchange.report(MemberOutcome::Ok);
    match exchange.into_switched() {
        Some((lease, stream, ahead)) => Ok(Outcome::Switched(Box::new(Switched {
            head,
            lease,
            stream,
            ahead,
        }))),
        None => Err(Failed::new(OriginFault::UpgradeFailed, Failure::Malformed)),
    }
}

/// What a field of the visitor's becomes on its way to the origin.
fn is_passed_on(head: &RequestHead, field: &mangrove_http::Field<'_>, trusts_peer: bool) -> bool {
    if field.hop_by_hop {
        return false;
    }
    match field.known {
        // Written afresh below.
        Known::Host
        | Known::ContentLength
        | Known::Expect
        | Known::CdnLoop
        | Known::XRequestId
        | Known::Trailer => false,
        Known::XForwardedFor | Known::XRealIp => false,
        // Believed, and so passed on, from listed proxies only: anyone can write them.
        Known::Forwarded => trusts_peer,
        Known::XForwardedProto | Known::XForwardedHost | Known::XForwardedPort => trusts_peer,
        // The handshake's own: with HTTP/2 in front the edge makes a key for the origin.
        Known::SecWebSocketKey => head.version() != Version::Http2,
        Known::Other => !mimics_a_known_name(field.name),
        _ => true,
    }
}

/// Whether an origin that hands fields on as CGI variables (RFC 3875 section 4.1.18) would take the name for one that is
/// judged or written here: to it, `X_Forwarded_For` is `X-Forwarded-For`.
fn mimics_a_known_name(name: &[u8]) -> bool {
    if !name.contains(&b'_') {
        return false;
    }
    let mut hyphenated = name.to_vec();
    for byte in hyphenated.iter_mut().filter(|byte| **byte == b'_') {
        *byte = b'-';
    }
    Known::of(&hyphenated) != Known::Other
}

/// Where the fields of a request to an origin are written.
trait Fields {
    /// One field, whose value `write` appends.
    fn field(&mut self, name: &'static str, write: impl FnOnce(&mut Vec<u8>));
}

/// As HTTP/1 field lines.
impl Fields for Vec<u8> {
    fn field(&mut self, name: &'static str, write: impl FnOnce(&mut Vec<u8>)) {
        self.extend_from_slice(name.as_bytes());
        self.extend_from_slice(b": ");
        write(self);
        self.extend_from_slice(b"\r\n");
    }
}

impl Fields for http::HeaderMap {
    fn field(&mut self, name: &'static str, write: impl FnOnce(&mut Vec<u8>)) {
        let mut value = Vec::new();
        write(&mut value);
        append(self, name.as_bytes(), &value);
    }
}

/// The fields every origin gets from us, whatever the version.
fn own_fields(story: &Story, trusts_peer: bool, out: &mut impl Fields) {
    let head = &story.head;
    let server = &story.snapshot.settled.server;
    let append_all = |value: &mut Vec<u8>, known| {
        for line in head.all(known) {
            value.extend_from_slice(line);
            value.extend_from_slice(b", ");
        }
    };
    out.field("x-forwarded-for", |value| {
        let mut address = story.client;
        if trusts_peer {
            append_all(value, Known::XForwardedFor);
            address = story.connection.peer_ip();
        }
        match address == story.connection.peer_ip() {
            true => value.extend_from_slice(story.connection.peer_text.0.as_bytes()),
            false => value.extend_from_slice(address.to_string().as_bytes()),
        }
    });
    if !(trusts_peer && head.count(Known::XForwardedProto) > 0) {
        out.field("x-forwarded-proto", |value| {
            value.extend_from_slice(story.connection.scheme().as_bytes());
        });
    }
    let host_is_told = trusts_peer && head.count(Known::XForwardedHost) > 0;
    if !host_is_told && !head.authority().is_empty() {
        out.field("x-forwarded-host", |value| {
            value.extend_from_slice(head.authority());
        });
    }
    out.field("x-request-id", |value| {
        value.extend_from_slice(&story.id_text);
    });
    out.field("cdn-loop", |value| {
        append_all(value, Known::CdnLoop);
        value.extend_from_slice(server.cdn_id.as_bytes());
    });
    // RFC 9110 section 7.6.3: a gateway adds itself to what it sends inbound.
    out.field("via", |value| {
        value.extend_from_slice(head.version().as_str().as_bytes());
        value.push(b' ');
        value.extend_from_slice(server.cdn_id.as_bytes());
    });
}

/// Whether a field of the visitor's gives way to what the cache asks.
fn is_replaced(story: &Story, site: &Site, known: Known) -> bool {
    if known == Known::AcceptEncoding {
        return own_codings(story, site).is_some();
    }
    match &story.ask {
        Ask::AsCame => false,
        Ask::About(_) | Ask::Bytes(..) => is_replaced_when_revalidating(known),
    }
}

/// The `Accept-Encoding` that the origin is told where the site's answers are kept apart by nothing finer.
fn own_codings(story: &Story, site: &Site) -> Option<&'static str> {
    let rules = &site.cache.as_ref()?.rules;
    let looked = story
        .cache
        .is_some_and(|tale| tale.result != CacheResult::Bypass);
    (looked && rules.normalize_encoding).then(|| AcceptedCodings::read(&story.head).as_str())
}

/// The cache's own preconditions and wishes.
fn own_conditions(story: &Story, site: &Site, mut write: impl FnMut(&'static str, &[u8])) {
    if let Some(codings) = own_codings(story, site).filter(|codings| !codings.is_empty()) {
        write("accept-encoding", codings.as_bytes());
    }
    if let Some(cache) = &site.cache
        && cache.rules.targeted.contains(&PolicyField::Surrogate)
    {
        let mut value = story.core.take_buffer();
        write_surrogate_capability(&cache.rules.name, &mut value);
        write("surrogate-capability", &value);
        story.core.give_buffer(value);
    }
    match &story.ask {
        Ask::AsCame => {}
        Ask::About(head) => {
            conditions(&head.stored).for_each(|(name, value)| write(name, value));
        }
        Ask::Bytes(head, bytes) => {
            write("range", bytes.asked().as_bytes());
            if let Some(tag) = head.stored.fields.field(Known::ETag) {
                write("if-range", tag);
            }
        }
    }
}

fn trusts_peer(story: &Story) -> bool {
    let peer = story.connection.peer_ip();
    story
        .snapshot
        .settled
        .server
        .trusted_proxies
        .iter()
        .any(|network| network.contains(peer))
}

fn render_http1(
    out: &mut Vec<u8>,
    story: &Story,
    site: &Site,
    lease: &Lease,
    framing: OutgoingFraming,
    awaits_continue: bool,
    websocket_key: Option<&[u8; websocket::KEY_LENGTH]>,
) {
    let head = &story.head;
    let trusts = trusts_peer(story);
    out.extend_from_slice(if websocket_key.is_some() {
        b"GET"
    } else {
        head.method_bytes()
    });
    out.push(b' ');
    push_target(out, story, site);
    out.extend_from_slice(b" HTTP/1.1\r\nhost: ");
    match lease.upstreams().host_for(lease.target.origin) {
        Some(host) => out.extend_from_slice(host.as_bytes()),
        None => out.extend_from_slice(head.authority()),
    }
    out.extend_from_slice(b"\r\n");
    for field in head.fields() {
        if is_passed_on(head, &field, trusts) && !is_replaced(story, site, field.known) {
            push_field(out, field.name, field.value);
        }
    }
    own_conditions(story, site, |name, value| {
        push_field(out, name.as_bytes(), value)
    });
    own_fields(story, trusts, out);
    match framing {
        OutgoingFraming::Length(length) => {
            out.extend_from_slice(b"content-length: ");
            push_decimal(out, length);
            out.extend_from_slice(b"\r\n");
        }
        OutgoingFraming::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        OutgoingFraming::None | OutgoingFraming::UntilClose => {}
    }
    if awaits_continue {
        out.extend_from_slice(b"expect: 100-continue\r\n");
    }
    let token = head
        .upgrade()
        .or(head.protocol_h2())
        .filter(|_| story.upgrade);
    if let Some(token) = token {
        push_field(out, b"connection", b"upgrade");
        push_field(out, b"upgrade", token);
        if let Some(key) = websocket_key {
            push_field(out, b"sec-websocket-key", key);
        }
    } else if head.wants_trailers() {
        out.extend_from_slice(b"te: trailers\r\nconnection: te\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

fn push_target(out: &mut Vec<u8>, story: &Story, site: &Site) {
    match (&story.normal_path, site.normalized_path) {
        (Some(path), true) => {
            out.extend_from_slice(path);
            if let Some(query) = story.head.query() {
                out.push(b'?');
                out.extend_from_slice(query);
            }
        }
        _ => out.extend_from_slice(story.head.target()),
    }
}

fn build_http2(story: &Story, site: &Site, lease: &Lease) -> Option<http::Request<()>> {
    let head = &story.head;
    let trusts = trusts_peer(story);
    let own_host = lease.upstreams().host_for(lease.target.origin);
    let authority = own_host.map_or(head.authority(), str::as_bytes);
    let mut target = Vec::new();
    push_target(&mut target, story, site);
    let secure = lease
        .upstreams()
        .origins
        .get(lease.target.origin)
        .is_some_and(|o| o.scheme == mangrove_config::Scheme::Https);
    let uri = http::Uri::builder()
        .scheme(if secure { "https" } else { "http" })
        .authority(authority)
        .path_and_query(target.as_slice())
        .build()
        .ok()?;
    let mut request = http::Request::builder()
        .method(head.method_bytes())
        .uri(uri)
        .version(http::Version::HTTP_2)
        .body(())
        .ok()?;
    let fields = request.headers_mut();
    for field in head.fields() {
        if is_passed_on(head, &field, trusts) && !is_replaced(story, site, field.known) {
            append(fields, field.name, field.value);
        }
    }
    own_conditions(story, site, |name, value| {
        append(fields, name.as_bytes(), value)
    });
    own_fields(story, trusts, fields);
    if let BodyFraming::Length(length) = head.framing() {
        append(fields, b"content-length", length.to_string().as_bytes());
    }
    if head.wants_trailers() {
        append(fields, b"te", b"trailers");
    }
    Some(request)
}

fn append(fields: &mut http::HeaderMap, name: &[u8], value: &[u8]) {
    if let (Ok(name), Ok(value)) = (
        http::HeaderName::from_bytes(name),
        http::HeaderValue::from_bytes(value),
    ) {
        fields.append(name, value);
    }
}
