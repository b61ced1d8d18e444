//! Record: what is left of a request when it is over. Runs exactly once for every story, because
//! it is what ending one does, however it ends.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use mangrove_config::{ClientAddress, LogTarget, Query};
use mangrove_http::{Known, RequestHead, RequestId, TraceParent, UnixMillis};
use mangrove_shield::traits::Shape;

use super::fetch::Ask;
use crate::cache::CacheTale;
use crate::core::{Connection, Core};
use crate::limits::{Limited, Told};
use crate::log::{address_text, push_decimal, push_next_text, push_number, push_text};
use crate::module::{Module, guard};
use crate::reason::{EdgeReason, Reason};
use crate::snapshot::{Site, Snapshot};
use crate::standing::InForce;
use crate::{member, next_text, traits};

/// One request from its head to its record.
#[derive(Debug)]
pub struct Story {
    /// Where it happens.
    pub core: Rc<Core>,
    /// On which connection.
    pub connection: Rc<Connection>,
    /// Under which snapshot, chosen once.
    pub snapshot: Rc<Snapshot>,
    /// What was asked; after a refused head, as much of it as was read.
    pub head: Rc<RequestHead>,
    /// Whose request it is, once admitted.
    pub site: Option<Rc<Site>>,
    /// Its id, as everyone is shown it.
    pub id_text: [u8; RequestId::LENGTH],
    /// The visitor's address.
    pub client: IpAddr,
    /// The trace it belongs to, where the visitor sent one.
    pub trace: Option<TraceParent>,
    /// The path's normal form, where it differs from what was sent.
    pub normal_path: Option<Vec<u8>>,
    /// An upgrade was asked for and is allowed.
    pub upgrade: bool,
    /// No limit counts it.
    pub exempt: bool,
    /// The order that lets it through, or keeps it out.
    pub order: Option<Arc<InForce>>,
    /// Under which limit it was one too many, or had to wait for its turn.
    pub limited: Option<Box<Limited>>,
    /// What is left under the limits that tell it.
    pub told: Vec<Told>,
    /// The cache did not answer it from what it keeps, and the limits for such have judged it.
    pub missed: bool,
    /// The status sent; 0 when nothing was.
    pub status: u16,
    /// Why it did not go as asked, if it did not.
    pub reason: Option<Reason>,
    /// Bytes of the request's body read.
    pub received: u64,
    /// Bytes of the answer's body written.
    pub sent: u64,
    /// What the origin did.
    pub origin: OriginTale,
    /// What the cache did, where there is one.
    pub cache: Option<CacheTale>,
    /// What the origin is asked next.
    pub ask: Ask,
    /// When the cache last judged, so that what it tells of an answer is what it decided by.
    pub judged_at: UnixMillis,
    /// No visitor's: it is counted and written nowhere.
    unseen: bool,
    started: u64,
    /// The clock's nanoseconds from which limits judge it, see [`Self::judged_from`].
    judged_from: u64,
    over: bool,
}

/// What the log tells of the origin's part.
#[derive(Debug, Default)]
pub struct OriginTale {
    /// The member that was asked last.
    pub address: Option<Arc<str>>,
    /// The status it gave.
    pub status: Option<u16>,
    /// Tries, the first included.
    pub tries: u32,
    /// The clock's nanoseconds when it was first asked.
    pub asked_at: u64,
    /// Nanoseconds from the first try to the head of the answer.
    pub head_nanos: u64,
}

impl Story {
    pub(super) fn open(
        core: &Rc<Core>,
        connection: &Rc<Connection>,
        head: Rc<RequestHead>,
        started: u64,
    ) -> Box<Self> {
        core.metrics.active_requests.add(1);
        Box::new(Self {
            core: Rc::clone(core),
            connection: Rc::clone(connection),
            snapshot: core.snapshot(),
            head,
            site: None,
            id_text: core.request_id().render(),
            client: connection.peer_ip(),
            trace: None,
            normal_path: None,
            upgrade: false,
            exempt: false,
            order: None,
            limited: None,
            told: Vec::new(),
            missed: false,
            status: 0,
            reason: None,
            received: 0,
            sent: 0,
            origin: OriginTale::default(),
            cache: None,
            ask: Ask::AsCame,
            judged_at: UnixMillis::default(),
            unseen: false,
            started,
            judged_from: started,
            over: false,
        })
    }

    /// The same request, asked once more when its visitor has been answered: to bring up to date what he got.
    pub(super) fn behind(&self) -> Box<Self> {
        Box::new(Self {
            core: Rc::clone(&self.core),
            connection: Rc::clone(&self.connection),
            snapshot: Rc::clone(&self.snapshot),
            head: Rc::clone(&self.head),
            site: self.site.clone(),
            id_text: self.core.request_id().render(),
            client: self.client,
            trace: self.trace,
            normal_path: self.normal_path.clone(),
            upgrade: false,
            exempt: self.exempt,
            order: self.order.clone(),
            limited: None,
            told: Vec::new(),
            missed: false,
            status: 0,
            reason: None,
            received: 0,
            sent: 0,
            origin: OriginTale::default(),
            cache: None,
            ask: Ask::AsCame,
            judged_at: UnixMillis::default(),
            unseen: true,
            started: self.core.clock.nanos(),
            judged_from: self.judged_from,
            over: false,
        })
    }

    /// Reads the clock for what the cache is to judge now.
    pub(super) fn judge_now(&mut self) -> UnixMillis {
        self.judged_at = self.core.clock.wall();
        self.judged_at
    }

    /// Notes why it did not go as asked; the first reason stays.
    pub fn blame(&mut self, reason: Reason) {
        self.reason.get_or_insert(reason);
    }

    /// The name that `Cache-Status` tells.
    pub fn cache_name(&self) -> &str {
        let cache = self.site.as_ref().and_then(|site| site.cache.as_ref());
        cache.map_or("mangrove", |cache| &cache.rules.name)
    }

    /// The path that rules and keys see.
    pub fn path(&self) -> &[u8] {
        self.normal_path
            .as_deref()
            .unwrap_or_else(|| self.head.path())
    }

    /// When its limits judge it, in nanoseconds of the clock that decides: when its head was whole, or when it had last waited for
    /// something. Who was slow until then asks now, and by what others have had meanwhile.
    pub(super) fn judged_from(&self) -> u64 {
        let moment = self.core.clock.moment_of(self.judged_from);
        moment.0.saturating_mul(1_000_000)
    }

    /// Its head was whole at this reading of the clock.
    pub(super) fn whole_at(&mut self, nanos: u64) {
        self.judged_from = nanos;
    }

    /// It has waited for something, and goes on now.
    pub(super) fn has_waited(&mut self) {
        self.judged_from = self.core.clock.nanos();
    }

    /// Ends the story well: everything that was to be sent has been.
    pub fn finish(mut self: Box<Self>) {
        self.over = true;
    }

    fn record(&mut self) {
        if self.unseen {
            return;
        }
        if !self.over {
            self.blame(EdgeReason::ClientClosed.into());
        }
        let core = Rc::clone(&self.core);
        let ended = core.clock.nanos();
        let nanos = ended.saturating_sub(self.started);
        let status = if self.status == 0 { 499 } else { self.status };
        core.metrics.active_requests.subtract(1);
        core.metrics.request_body_bytes.add(self.received);
        core.metrics.response_body_bytes.add(self.sent);
        core.metrics
            .request_finished(self.head.version(), self.head.method(), status, nanos);
        if let Some(reason) = self.reason {
            core.metrics.reason(reason);
        }
        if let Some(tale) = &self.cache {
            core.metrics.cache(tale, self.sent);
        }
        let shape = traits::shape_of(self);
        if let Some(shape) = &shape {
            core.metrics.shapes.note(shape);
        }
        if let Some(limits) = self.site.as_ref().and_then(|site| site.limits.as_ref())
            && !self.exempt
            && !self
                .limited
                .as_ref()
                .is_some_and(|limited| limited.is_refused())
        {
            let now = core.clock.moment_of(ended).0.saturating_mul(1_000_000);
            let counted = || limits.answered(self, status, now);
            let _ = guard(&core.metrics, Module::RateLimit, counted); // fail mode open
        }
        if self.snapshot.settled.server.log.to == LogTarget::Off {
            return;
        }
        core.log.line(&core.metrics, |out| {
            let start = out.len();
            if guard(&core.metrics, Module::LogLine, || {
                self.line(out, status, ended, shape.as_ref())
            })
            .is_err()
            {
                out.truncate(start); // fail mode open: the request is done, its line is not
            }
        });
    }

    fn line(&self, out: &mut Vec<u8>, status: u16, ended: u64, shape: Option<&Shape>) {
        let log = &self.snapshot.settled.server.log;
        let head = &self.head;
        out.extend_from_slice(b"{\"time_unix_ms\":");
        push_decimal(out, self.core.clock.wall_at(ended).0);
        out.extend_from_slice(b",\"request_id\":\"");
        out.extend_from_slice(&self.id_text);
        out.extend_from_slice(next_text!("client.address"));
        let truncated = log.client_address == ClientAddress::Truncated;
        if self.client == self.connection.peer_ip() {
            let (whole, cut) = &self.connection.peer_text;
            out.extend_from_slice(if truncated { cut } else { whole }.as_bytes());
        } else {
            out.extend_from_slice(address_text(self.client, truncated).as_bytes());
        }
        if let Some(site) = &self.site {
            push_next_text(out, next_text!("site"), site.name.as_bytes());
        }
        out.extend_from_slice(next_text!("url.scheme"));
        out.extend_from_slice(self.connection.scheme().as_bytes());
        push_next_text(out, next_text!("server.address"), head.authority());
        out.extend_from_slice(next_text!("http.request.method"));
        out.extend_from_slice(head.method_bytes()); // a token has nothing to escape
        push_next_text(out, next_text!("url.path"), head.path());
        if let Some(query) = head.query() {
            let query = if log.query == Query::Keep {
                query
            } else {
                b"redacted"
            };
            push_next_text(out, next_text!("url.query"), query);
        }
        out.extend_from_slice(next_text!("network.protocol.version"));
        out.extend_from_slice(head.version().as_str().as_bytes());
        out.push(b'"');
        push_number(out, member!("http.response.status_code"), u64::from(status));
        push_number(out, member!("http.request.body.size"), self.received);
        push_number(out, member!("http.response.body.size"), self.sent);
        let nanos = ended.saturating_sub(self.started);
        push_number(out, member!("duration_us"), nanos / 1_000);
        if let Some(reason) = self.reason {
            push_text(out, member!("reason"), reason.name().as_bytes());
            push_text(out, member!("fault"), reason.fault().name().as_bytes());
        }
        if let Some(limited) = &self.limited {
            push_text(out, member!("rate_limit"), limited.name().as_bytes());
            if !limited.is_refused() {
                let wait = u64::try_from(limited.wait().as_micros()).unwrap_or(u64::MAX);
                push_number(out, member!("rate_limit.delay_us"), wait);
            }
        }
        if let Some(held) = &self.order {
            push_number(out, member!("shield.order"), held.order.id);
        }
        if let Some(tale) = &self.cache {
            push_text(out, member!("cache.result"), tale.result.name().as_bytes());
            push_text(out, member!("cache.reason"), tale.reason.name().as_bytes());
            if let Some(why) = tale.not_stored {
                push_text(out, member!("cache.not_stored"), why.name().as_bytes());
            }
            if tale.from_disk {
                push_text(out, member!("cache.tier"), b"disk");
            }
        }
        if let Some(address) = &self.origin.address {
            push_text(out, member!("origin.address"), address.as_bytes());
            if let Some(status) = self.origin.status {
                push_number(out, member!("origin.status_code"), u64::from(status));
            }
            push_number(out, member!("origin.tries"), u64::from(self.origin.tries));
            push_number(
                out,
                member!("origin.head_us"),
                self.origin.head_nanos / 1_000,
            );
        }
        if let Some(agent) = head.field(Known::UserAgent) {
            push_text(out, member!("user_agent.original"), agent);
        }
        if let Some(referer) = head.field(Known::Referer) {
            let referer = if log.query == Query::Redact {
                before_query(referer)
            } else {
                referer
            };
            push_text(out, member!("http.request.header.referer"), referer);
        }
        if let Some(shape) = shape {
            traits::push(out, self, shape);
        }
        if let Some(http2) = self.connection.http2.get() {
            push_text(
                out,
                member!("http2.client.fingerprint"),
                http2.fingerprint.as_bytes(),
            );
        }
        if let Some(tls) = &self.connection.tls {
            if let Some(version) = tls.version {
                push_text(out, member!("tls.protocol.version"), version.as_bytes());
            }
            if let Some(client) = &tls.fingerprint {
                push_text(out, member!("tls.client.ja4"), client.ja4.as_bytes());
                push_text(
                    out,
                    member!("tls.client.ja4_stable"),
                    client.stable.as_bytes(),
                );
            }
        }
        if let Some(trace) = &self.trace {
            // Between the dashes of `00-<trace id>-<parent id>-01`.
            push_text(
                out,
                member!("trace_id"),
                trace.render().get(3..35).unwrap_or_default(),
            );
        }
        out.push(b'}');
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        self.record();
        self.core.give_request_head(&mut self.head);
    }
}

fn before_query(url: &[u8]) -> &[u8] {
    url.split(|&b| b == b'?').next().unwrap_or_default()
}
