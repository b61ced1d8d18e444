//! The origins of one site on one core: their pool, their idle connections and their names.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use mangrove_config::{HostPolicy, Origin as OriginSettings, OriginPolicy, OriginProtocol, Scheme};
use mangrove_http::{Moment, OriginFault};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::breaker::BreakerSettings;
use super::budget::RetryBudgetSettings;
use super::connect::KeptConnection;
use super::health::{ActiveSettings, Outcome, PassiveSettings};
use super::pool::{
    Acquired, Endpoint, MemberId, MemberReport, Origin, Pool, PoolSettings, Probe, Reason, Target,
    Ticket, Turn,
};
use crate::core::Core;
use crate::wheel::TICK;

/// Idle connections kept to one origin on one core, whatever the settings allow in use.
pub(crate) const KEPT_PER_ORIGIN: usize = 64;

/// See the module's words.
pub struct Upstreams {
    /// The site's name, for people.
    pub site: Box<str>,
    /// How origins are spoken to.
    pub policy: OriginPolicy,
    /// The origins as written.
    pub origins: Vec<OriginSettings>,
    tls: Option<Arc<ClientConfig>>,
    pool: RefCell<Pool>,
    waiting: RefCell<HashMap<Ticket, Waiting>>,
    /// What each origin is to see as its Host, where that is not the visitor's own.
    hosts: Vec<Option<Box<str>>>,
    shelves: RefCell<Vec<Shelf>>,
    streams: RefCell<HashMap<MemberId, h2::client::SendRequest<Bytes>>>,
}

#[derive(Debug, Default)]
struct Waiting {
    turn: Option<Result<MemberId, Reason>>,
    waker: Option<Waker>,
}

/// The idle connections to one member, the one used last at the end.
#[derive(Debug)]
struct Shelf {
    member: MemberId,
    kept: Vec<Kept>,
}

#[derive(Debug)]
struct Kept {
    since: Moment,
    connection: KeptConnection,
}

/// A place at one member, for one exchange. Dropping it gives the place back.
#[derive(Debug)]
pub struct Lease {
    core: Rc<Core>,
    upstreams: Rc<Upstreams>,
    /// Which member.
    pub member: MemberId,
    /// Where it is.
    pub target: Target,
    outcome: Cell<Option<Outcome>>,
}

impl Upstreams {
    /// The origins of `site`; what `old` knows of the same origins is taken over.
    pub fn new(
        site: &mangrove_config::Site,
        tls: Option<Arc<ClientConfig>>,
        workers: u16,
        seed: u64,
        old: Option<&Self>,
    ) -> Rc<Self> {
        let policy = site.origin.clone();
        let origins: Vec<Origin> = site.origins.iter().map(pool_origin).collect();
        let mut pool = Pool::new(pool_settings(&policy, workers), origins, seed, Moment(0));
        let mut shelves = Vec::new();
        let mut streams = HashMap::new();
        if let Some(old) = old {
            pool.inherit(&old.pool.borrow());
            // A kept connection was opened under the old policy; it is used on only where that is the same.
            let same_way = old.policy.protocol == policy.protocol
                && old.policy.tls_verify == policy.tls_verify
                && old.policy.tls_sni == policy.tls_sni
                && old.policy.tls_ca == policy.tls_ca;
            if same_way {
                shelves = std::mem::take(&mut *old.shelves.borrow_mut());
                streams = std::mem::take(&mut *old.streams.borrow_mut());
                shelves.retain(|shelf: &Shelf| pool.target(shelf.member).is_some());
                streams.retain(|member, _| pool.target(*member).is_some());
            }
        }
        Rc::new(Self {
            site: site.name.as_str().into(),
            hosts: site
                .origins
                .iter()
                .map(|origin| host_of(&policy, origin))
                .collect(),
            policy,
            origins: site.origins.clone(),
            tls,
            pool: RefCell::new(pool),
            waiting: RefCell::default(),
            shelves: RefCell::new(shelves),
            streams: RefCell::new(streams),
        })
    }

    /// A place at a member that is not among `tried`; waits from `now` on in the queue where that is allowed.
    pub async fn lease(
        self: &Rc<Self>,
        core: &Rc<Core>,
        tried: &[MemberId],
        now: Moment,
    ) -> Result<Lease, OriginFault> {
        let acquired = self.pool.borrow_mut().acquire(now, tried);
        let member = match acquired {
            Acquired::Granted(member) => member,
            Acquired::Refused(reason) => return Err(fault_of(reason)),
            Acquired::Queued(ticket) => Box::pin(self.turn_of(core, ticket)).await?,
        };
        let target = self.pool.borrow().target(member);
        match target {
            Some(target) => Ok(Lease {
                core: Rc::clone(core),
                upstreams: Rc::clone(self),
                member,
                target,
                outcome: Cell::new(None),
            }),
            None => {
                self.release(core, member);
                Err(OriginFault::NoHealthyOrigin)
            }
        }
    }

    /// Waits in the queue.
    async fn turn_of(
        self: &Rc<Self>,
        core: &Rc<Core>,
        ticket: Ticket,
    ) -> Result<MemberId, OriginFault> {
        self.waiting.borrow_mut().insert(ticket, Waiting::default());
        let wait = InQueue {
            core,
            upstreams: self,
            ticket,
        };
        // The pool ends waits by itself, unless a new snapshot has replaced it meanwhile: then
        // nobody turns its clock, and this is the deadline.
        let patience = core.wheel.timer();
        patience.arm_in(self.policy.queue_timeout + TICK + TICK);
        let turn = std::future::poll_fn(|cx| {
            let mut waiting = self.waiting.borrow_mut();
            let own = waiting.entry(ticket).or_default();
            if let Some(turn) = own.turn.take() {
                return Poll::Ready(Some(turn));
            }
            own.waker = Some(cx.waker().clone());
            patience.poll_expired(cx).map(|()| None)
        })
        .await;
        let Some(turn) = turn else {
            return Err(fault_of(Reason::QueueTimeout)); // dropping `wait` gives the ticket back
        };
        self.waiting.borrow_mut().remove(&ticket);
        std::mem::forget(wait); // its turn came: nothing to abandon
        turn.map_err(fault_of)
    }

    /// Time passes: queue deadlines, ended ejections. Called by the core's clock.
    pub fn advance(&self, core: &Core) {
        if !self.waiting.borrow().is_empty() {
            let turns = self.pool.borrow_mut().advance(core.clock.now());
            for turn in turns {
                self.deliver(core, turn);
            }
        }
    }

    /// Closes idle connections whose time is over or whose origin has closed them. Called once a second.
    pub fn sweep(&self, now: Moment) {
        let keep = self.policy.keep_alive;
        self.shelves.borrow_mut().retain_mut(|shelf| {
            shelf.kept.retain(|kept| {
                now.saturating_since(kept.since) < keep && kept.connection.is_open_and_silent()
            });
            !shelf.kept.is_empty()
        });
    }

    /// Probes that are due now.
    pub fn due_probes(&self, now: Moment) -> Vec<Probe> {
        if self.policy.health.is_none() {
            return Vec::new();
        }
        self.pool.borrow_mut().due_probes(now)
    }

    /// What a probe found; known by target, so that one core's probe serves all.
    pub fn probe_result(&self, target: &Target, good: bool, now: Moment) {
        let mut pool = self.pool.borrow_mut();
        if let Some(member) = pool.member_at(target) {
            pool.probe_result(member, good, now);
        }
    }

    /// What was learned of names before this site had a request.
    pub fn know(&self, addresses: &HashMap<Arc<str>, Arc<[IpAddr]>>) {
        let mut pool = self.pool.borrow_mut();
        let names: Vec<Arc<str>> = pool.names().cloned().collect();
        for name in names {
            match addresses.get(&name) {
                Some(known) if known.is_empty() => pool.resolution_failed(&name),
                Some(known) => pool.resolved(&name, known),
                None => {}
            }
        }
    }

    /// Whether this core is the one that sends the site's probes.
    pub fn is_probed_by(&self, core: u16, cores: u16) -> bool {
        let mix = self.site.bytes().fold(0u32, |mix, b| {
            mix.wrapping_mul(31).wrapping_add(u32::from(b))
        });
        mix % u32::from(cores.max(1)) == u32::from(core)
    }

    /// A name has these addresses now; none means that it could not be resolved.
    pub fn resolved(&self, core: &Core, name: &str, addresses: &[IpAddr]) {
        {
            let mut pool = self.pool.borrow_mut();
            if addresses.is_empty() {
                pool.resolution_failed(name);
            } else {
                pool.resolved(name, addresses);
            }
        }
        self.advance(core);
    }

    /// Members and how they are, for people.
    pub fn explain(&self, now: Moment) -> Vec<MemberReport> {
        self.pool.borrow().explain(now)
    }

    /// Whether no origin of the site can be expected to answer, as far as this core knows.
    pub fn is_down(&self, now: Moment) -> bool {
        self.pool.borrow().is_down(now)
    }

    /// An idle connection to `member` that is fit for another request.
    pub fn take_kept(&self, member: MemberId) -> Option<KeptConnection> {
        let mut shelves = self.shelves.borrow_mut();
        let shelf = shelves.iter_mut().find(|shelf| shelf.member == member)?;
        // The one used last is the least likely to be closed just now.
        while let Some(candidate) = shelf.kept.pop() {
            if candidate.connection.is_open_and_silent() {
                return Some(candidate.connection);
            }
        }
        None
    }

    /// Keeps a connection whose exchange ended well.
    pub fn keep(&self, member: MemberId, connection: KeptConnection, now: Moment) {
        let mut shelves = self.shelves.borrow_mut();
        let kept = Kept {
            since: now,
            connection,
        };
        match shelves.iter_mut().find(|shelf| shelf.member == member) {
            Some(shelf) if shelf.kept.len() < KEPT_PER_ORIGIN => shelf.kept.push(kept),
            Some(_) => {}
            None => shelves.push(Shelf {
                member,
                kept: vec![kept],
            }),
        }
    }

    /// The HTTP/2 connection to `member`, if there is one.
    pub fn take_streams(&self, member: MemberId) -> Option<h2::client::SendRequest<Bytes>> {
        self.streams.borrow().get(&member).cloned()
    }

    /// Keeps the HTTP/2 connection to `member` for all.
    pub fn keep_streams(&self, member: MemberId, streams: h2::client::SendRequest<Bytes>) {
        self.streams.borrow_mut().insert(member, streams);
    }

    /// The HTTP/2 connection to `member` is over.
    pub fn forget_streams(&self, member: MemberId) {
        self.streams.borrow_mut().remove(&member);
    }

    /// TLS to the origin at `index`: the configuration and the name to ask for, or why not.
    pub fn tls_for(
        &self,
        index: usize,
    ) -> Result<Option<(Arc<ClientConfig>, ServerName<'static>)>, OriginFault> {
        let Some(origin) = self.origins.get(index) else {
            return Ok(None);
        };
        if origin.scheme != Scheme::Https {
            return Ok(None);
        }
        let name = self.policy.tls_sni.as_deref().unwrap_or(&origin.host);
        let name =
            ServerName::try_from(name.to_owned()).map_err(|_| OriginFault::TlsCertificate)?;
        let config = self.tls.clone().ok_or(OriginFault::TlsHandshake)?;
        Ok(Some((config, name)))
    }

    /// What the origin at `index` is to see as its Host; `None` for the visitor's own.
    pub fn host_for(&self, index: usize) -> Option<&str> {
        self.hosts.get(index)?.as_deref()
    }

    /// What a health check names as Host: there is no visitor whose Host could be preserved.
    pub fn probe_host(&self, index: usize) -> String {
        self.host_for(index)
            .map(str::to_owned)
            .or_else(|| self.origins.get(index).map(authority_of))
            .unwrap_or_default()
    }

    /// A request begins: it pays into the retry budget.
    pub fn note_request(&self, now: Moment) {
        self.pool.borrow_mut().note_request(now);
    }

    /// Takes a retry out of the budget, if there is one.
    pub fn may_retry(&self, now: Moment) -> bool {
        self.pool.borrow_mut().may_retry(now)
    }

    fn release(&self, core: &Core, member: MemberId) {
        let turn = self.pool.borrow_mut().release(member, core.wheel.now());
        if let Some(turn) = turn {
            self.deliver(core, turn);
        }
    }

    fn deliver(&self, core: &Core, turn: Turn) {
        let (ticket, outcome) = match turn {
            Turn::Granted { ticket, member } => (ticket, Ok(member)),
            Turn::Refused { ticket, reason } => (ticket, Err(reason)),
        };
        let mut waiting = self.waiting.borrow_mut();
        if let Some(own) = waiting.get_mut(&ticket) {
            own.turn = Some(outcome);
            if let Some(waker) = own.waker.take() {
                waker.wake();
            }
            return;
        }
        drop(waiting);
        if let Ok(member) = outcome {
            self.release(core, member); // nobody is there any more
        }
    }
}

impl std::fmt::Debug for Upstreams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstreams")
            .field("site", &self.site)
            .finish_non_exhaustive()
    }
}

/// A wait that ends early when its request does.
struct InQueue<'a> {
    core: &'a Rc<Core>,
    upstreams: &'a Rc<Upstreams>,
    ticket: Ticket,
}

impl Drop for InQueue<'_> {
    fn drop(&mut self) {
        let own = self.upstreams.waiting.borrow_mut().remove(&self.ticket);
        match own.and_then(|own| own.turn) {
            Some(Ok(member)) => self.upstreams.release(self.core, member),
            _ => self
                .upstreams
                .pool
                .borrow_mut()
                .abandon(self.ticket, self.core.clock.now()),
        }
    }
}

impl Lease {
    /// The site's origins.
    pub fn upstreams(&self) -> &Rc<Upstreams> {
        &self.upstreams
    }

    /// The core it belongs to.
    pub fn core(&self) -> &Rc<Core> {
        &self.core
    }

    /// What came of the exchange; the worst that was said stays.
    pub fn report(&self, outcome: Outcome) {
        if !matches!(self.outcome.get(), Some(known) if known.evidence() == Some(false)) {
            self.outcome.set(Some(outcome));
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(outcome) = self.outcome.get() {
            self.upstreams
                .pool
                .borrow_mut()
                .report(self.member, outcome, self.core.wheel.now());
        }
        self.upstreams.release(&self.core, self.member);
    }
}

fn fault_of(reason: Reason) -> OriginFault {
    match reason {
        Reason::NoHealthyOrigin | Reason::AllTried => OriginFault::NoHealthyOrigin,
        Reason::BreakerOpen => OriginFault::BreakerOpen,
        Reason::AtCapacity | Reason::QueueTimeout => OriginFault::QueueTimeout,
        Reason::NameNotResolved => OriginFault::NameNotResolved,
    }
}

fn pool_origin(origin: &OriginSettings) -> Origin {
    let endpoint = match (&origin.socket_path, origin.host.parse::<IpAddr>()) {
        (Some(path), _) => Endpoint::Unix(std::path::Path::new(path).into()),
        (None, Ok(address)) => Endpoint::Address((address, origin.port).into()),
        (None, Err(_)) => Endpoint::Name {
            host: origin.host.as_str().into(),
            port: origin.port,
        },
    };
    Origin {
        key: origin.url.as_str().into(),
        endpoint,
        weight: origin.weight,
    }
}

/// What is meant for the process is divided among its cores.
fn pool_settings(policy: &OriginPolicy, workers: u16) -> PoolSettings {
    let share = |whole: u32| whole.div_ceil(u32::from(workers.max(1))).max(1);
    let in_flight = match policy.protocol {
        OriginProtocol::H2 => policy.breaker.concurrency,
        OriginProtocol::Auto | OriginProtocol::Http1 => {
            policy.max_connections.min(policy.breaker.concurrency)
        }
    };
    PoolSettings {
        max_outstanding: share(in_flight),
        queue_length: policy.queue_length.div_ceil(u32::from(workers.max(1))) as usize,
        queue_timeout: policy.queue_timeout,
        slow_wait: policy.breaker.queue_time,
        passive: PassiveSettings {
            failures: policy.passive.failures,
            eject_for: policy.passive.unhealthy_for,
            eject_at_most: policy.passive.unhealthy_for.max(Duration::from_secs(300)),
            ..PassiveSettings::default()
        },
        active: policy.health.as_ref().map(|health| ActiveSettings {
            interval: health.interval,
            timeout: health.timeout,
            healthy_after: health.healthy_after,
            unhealthy_after: health.unhealthy_after,
        }),
        breaker: BreakerSettings {
            open_for: policy.breaker.open_for,
            ..BreakerSettings::default()
        },
        retries: RetryBudgetSettings {
            percent: u8::try_from(policy.retry_budget.min(100)).unwrap_or(100),
            ..RetryBudgetSettings::default()
        },
    }
}

fn host_of(policy: &OriginPolicy, origin: &OriginSettings) -> Option<Box<str>> {
    match &policy.host {
        HostPolicy::Preserve => None,
        HostPolicy::Literal(name) => Some(name.as_str().into()),
        HostPolicy::Origin => Some(authority_of(origin).into()),
    }
}

fn authority_of(origin: &OriginSettings) -> String {
    let host = if origin.host.contains(':') {
        format!("[{}]", origin.host)
    } else {
        origin.host.clone()
    };
    let usual = match origin.scheme {
        Scheme::Http => 80,
        Scheme::Https => 443,
        Scheme::Unix => 0,
    };
    if origin.port == usual {
        host
    } else {
        format!("{host}:{}", origin.port)
    }
}
