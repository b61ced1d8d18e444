//! The origins of one site, as one core sees them: who gets the next request, who must wait, and who is refused.
//!
//! A [`Pool`] holds *members*: one for each address of each origin. The journey of a request through it:
//!
//! ```text
//! acquire ──► Granted(member) ──► connect, exchange ──► report(outcome) ──► release ──► maybe a waiter's turn
//!    │                                    ▲
//!    ├──► Queued(ticket) ── release or advance: Turn::Granted ──┘      or Turn::Refused at its deadline
//!    └──► Refused(reason)
//! ```
//!
//! All is decided from `now` and a seed; nothing here connects, resolves or sleeps. The shell calls [`Pool::advance`] from a
//! timer (at [`Pool::next_due`], or every 50 ms while someone waits).
//!
//! # Who is chosen
//!
//! From the first of these groups that has someone in it, members in `tried` left out:
//!
//! 1. the *ready*: healthy, breaker not open, a place free. By weight and load (see [`super::balance`]);
//! 2. if the healthy are merely full: wait;
//! 3. *ejected* ones, the least recently failed first. Passive evidence comes from visitors' requests, and a visitor
//!    could produce it; it may move load but must never empty a pool;
//! 4. members that are *down* by their probes while visitors' requests succeed there (the last one did, within
//!    [`EVIDENCE_FOR`]). A probe that fails while visitors are served is a wrong probe: a renamed health page must not
//!    take a site off the net;
//! 5. with all down and no such evidence, one request each [`TRIAL_EVERY`] goes through to find it out. It would have been
//!    refused anyway; if it succeeds, group 4 opens. All others are refused at once as `no-healthy-origin`: both witnesses
//!    agree, and waiting for timeouts would only hold places and visitors.
//!
//! A breaker that is open is never overruled: it knows that no connection comes about, so trying costs time and wins
//! nothing, and it lets trials through by itself: when its time is over, or at once when a probe succeeds and the member
//! counts as healthy again.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use mangrove_http::Moment;
use smallvec::SmallVec;

use super::balance::Dice;
use super::breaker::Breaker;
use super::budget::RetryBudget;
use super::health::Outcome;
use super::resolve::MAX_ADDRESSES;

mod explain;
mod inherit;
mod member;
mod queue;
mod settings;
#[cfg(test)]
mod tests;
mod verdict;

pub use explain::{MemberReport, Standing};
pub use member::MemberId;
use member::{Groups, Member, WEIGHT_UNIT};
pub use queue::Ticket;
use queue::{Queue, Tried};
pub use settings::{Address, Endpoint, Origin, PoolSettings, Target};
pub use verdict::{Acquired, Choice, Probe, Reason, Turn};

/// Members of one pool. Addresses beyond it are left out, and [`Pool::left_out`] counts them.
pub const MAX_MEMBERS: usize = 256;

/// While every member is down, one request in this time is let through as a trial.
pub const TRIAL_EVERY: Duration = Duration::from_secs(1);

/// How long a visitor's success stands against a probe's failure.
pub const EVIDENCE_FOR: Duration = Duration::from_secs(30);

/// A free place is offered to the waiters in order, to at most this many that have tried different members. One who came
/// without having tried any decides for all behind it, so more than two is rare.
pub(crate) const OFFERS: usize = 16;

/// The members of one site on one core. See the module's words.
#[derive(Debug)]
pub struct Pool {
    settings: PoolSettings,
    origins: Vec<PooledOrigin>,
    members: Vec<Member>,
    next_id: u32,
    next_trial: Moment,
    queue: Queue,
    queue_breaker: Breaker,
    retries: RetryBudget,
    dice: Dice,
}

#[derive(Debug)]
struct PooledOrigin {
    origin: Origin,
    resolution: Resolution,
    /// Addresses that found no room in the pool.
    left_out: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Resolution {
    /// No answer yet: worth a wait.
    Pending,
    /// Answers came, and none ever had an address.
    Failed,
    /// Its members are in the pool. Never left again: later failures keep the last good addresses.
    Known,
}

impl Pool {
    /// A pool whose named origins still await their addresses: tell it those that are [known](super::resolve::Names::addresses)
    /// already. `seed` decides every throw of the dice; give each core another.
    #[must_use]
    pub fn new(settings: PoolSettings, origins: Vec<Origin>, seed: u64, now: Moment) -> Self {
        let retries = RetryBudget::new(settings.retries.clone(), now);
        let mut pool = Self {
            settings,
            origins: Vec::new(),
            members: Vec::new(),
            next_id: 0,
            next_trial: now,
            queue: Queue::default(),
            queue_breaker: Breaker::default(),
            retries,
            dice: Dice::new(seed),
        };
        for (index, origin) in origins.into_iter().enumerate() {
            let address = match &origin.endpoint {
                Endpoint::Address(address) => Some(Address::Ip(*address)),
                Endpoint::Unix(path) => Some(Address::Unix(Arc::clone(path))),
                Endpoint::Name { .. } => None,
            };
            let resolution = Resolution::Pending;
            pool.origins.push(PooledOrigin {
                origin,
                resolution,
                left_out: 0,
            });
            if let Some(address) = address {
                pool.place(index, &[address]);
            }
        }
        pool
    }

    /// The resolver's answer for a name. An empty one is no answer: the last good addresses stay (empty is never everything).
    /// Members whose address is gone take no more requests. Waiters may have become servable: call [`Pool::advance`] after.
    pub fn resolved(&mut self, host: &str, addresses: &[IpAddr]) {
        if addresses.is_empty() {
            return self.resolution_failed(host);
        }
        for index in 0..self.origins.len() {
            let Some(port) = self.port_of(index, host) else {
                continue;
            };
            let addresses: Vec<Address> = addresses
                .iter()
                .map(|ip| Address::Ip(SocketAddr::new(*ip, port)))
                .collect();
            self.place(index, &addresses);
        }
    }

    /// The name could not be resolved. Ends the wait for a first address; changes nothing for a name that once had one.
    pub fn resolution_failed(&mut self, host: &str) {
        for index in 0..self.origins.len() {
            if self.port_of(index, host).is_some()
                && let Some(pooled) = self.origins.get_mut(index)
                && pooled.resolution == Resolution::Pending
            {
                pooled.resolution = Resolution::Failed;
            }
        }
    }

    /// The names whose addresses this pool wants to hear of.
    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.origins
            .iter()
            .filter_map(|pooled| match &pooled.origin.endpoint {
                Endpoint::Name { host, .. } => Some(host),
                Endpoint::Address(_) | Endpoint::Unix(_) => None,
            })
    }

    /// Who would get a request at `now`. It takes its turn in the order, but no place: that is [`Pool::acquire`].
    pub fn choose(&mut self, now: Moment, tried: &[MemberId]) -> Choice {
        match self.find(now, tried) {
            Ok(member) if !self.queue.wants(member) => Choice::Use(member),
            Ok(_) | Err(Reason::AtCapacity) => self.wait(Reason::AtCapacity, now),
            Err(Reason::NameNotResolved) if self.awaits_addresses() => {
                self.wait(Reason::NameNotResolved, now)
            }
            Err(reason) => Choice::Refuse(reason),
        }
    }

    /// Takes a place at a member, or in the queue. A request that comes back after a failure names what it tried.
    pub fn acquire(&mut self, now: Moment, tried: &[MemberId]) -> Acquired {
        match self.choose(now, tried) {
            Choice::Use(member) => {
                self.begin(member, now);
                Acquired::Granted(member)
            }
            Choice::Wait { reason, .. } => {
                if reason == Reason::AtCapacity {
                    self.queue_breaker.start(&self.settings.breaker, now);
                }
                let wait = self.settings.queue_timeout;
                Acquired::Queued(self.queue.push(tried, reason, wait, now))
            }
            Choice::Refuse(reason) => Acquired::Refused(reason),
        }
    }

    /// Gives a place back, after the outcome was [reported](Pool::report). Returns whose turn it is now.
    /// Exactly once for each grant.
    pub fn release(&mut self, member: MemberId, now: Moment) -> Option<Turn> {
        if let Some(place) = self.members.iter().position(|m| m.id == member)
            && let Some(found) = self.members.get(place)
        {
            let left = found.vitals.borrow().outstanding.saturating_sub(1);
            found.vitals.borrow_mut().outstanding = left;
            if found.leaving && left == 0 {
                self.members.remove(place);
            }
        }
        self.offer(now)
    }

    /// The client left before its turn came.
    pub fn abandon(&mut self, ticket: Ticket, now: Moment) {
        if let Some(waiter) = self.queue.remove(ticket) {
            let slow = now.saturating_since(waiter.since) >= self.settings.slow_wait;
            if slow && waiter.reason == Reason::AtCapacity {
                self.queue_breaker
                    .record(false, &self.settings.breaker, now);
            }
        }
    }

    /// Ends the waits whose deadline has come, and gives away places that became free by time (an ejection that ended, a
    /// breaker that wants a trial) or by new addresses.
    pub fn advance(&mut self, now: Moment) -> Vec<Turn> {
        let mut turns = Vec::new();
        while let Some(waiter) = self.queue.pop_expired(now) {
            let reason = match waiter.reason {
                Reason::AtCapacity => {
                    self.queue_breaker
                        .record(false, &self.settings.breaker, now);
                    Reason::QueueTimeout
                }
                reason => reason,
            };
            turns.push(Turn::Refused {
                ticket: waiter.ticket,
                reason,
            });
        }
        while let Some(turn) = self.offer(now) {
            turns.push(turn);
        }
        if self.members.iter().all(|member| member.leaving) && !self.awaits_addresses() {
            let hopeless: Vec<Ticket> = self.queue.iter().map(|waiter| waiter.ticket).collect();
            for ticket in hopeless {
                self.queue.remove(ticket);
                turns.push(Turn::Refused {
                    ticket,
                    reason: Reason::NameNotResolved,
                });
            }
        }
        turns
    }

    /// When [`Pool::advance`] or [`Pool::due_probes`] next has something to do, as far as time alone decides.
    pub fn next_due(&mut self, now: Moment) -> Option<Moment> {
        let deadline = self.queue.next_deadline();
        let Self {
            members,
            settings,
            dice,
            ..
        } = self;
        let probe = settings.active.as_ref().and_then(|active| {
            let present = members.iter().filter(|member| !member.leaving);
            present
                .map(|member| {
                    member
                        .vitals
                        .borrow_mut()
                        .health
                        .next_probe(active, dice, now)
                })
                .min()
        });
        deadline.into_iter().chain(probe).min()
    }

    /// What became of a request at a member, before its release; at most once for each attempt, and not at all when the end
    /// was not the member's doing: the visitor left, or this machine had no descriptor or port for a connection.
    pub fn report(&mut self, member: MemberId, outcome: Outcome, now: Moment) {
        let may_eject = outcome.evidence() == Some(false) && self.can_spare_one(now);
        let Some(found) = self.members.iter().find(|m| m.id == member) else {
            return;
        };
        let mut vitals = found.vitals.borrow_mut();
        let connected = outcome != Outcome::ConnectFailed;
        vitals
            .breaker
            .record(connected, &self.settings.breaker, now);
        vitals
            .health
            .report(outcome, &self.settings.passive, may_eject, now);
    }

    /// The probes to send now; each is asked for once.
    pub fn due_probes(&mut self, now: Moment) -> Vec<Probe> {
        let Self {
            members,
            settings,
            dice,
            ..
        } = self;
        let Some(active) = &settings.active else {
            return Vec::new();
        };
        let mut due = Vec::new();
        for member in members.iter().filter(|member| !member.leaving) {
            let health = &mut member.vitals.borrow_mut().health;
            if health.next_probe(active, dice, now) <= now {
                health.probe_sent(active, dice, now);
                due.push(Probe {
                    member: member.id,
                    target: member.target(),
                });
            }
        }
        due
    }

    /// A probe's result; whether it took the member down or brought it back.
    pub fn probe_result(&mut self, member: MemberId, good: bool, now: Moment) -> bool {
        let Self {
            members,
            settings,
            dice,
            ..
        } = self;
        match (&settings.active, members.iter().find(|m| m.id == member)) {
            (Some(active), Some(found)) => {
                let mut vitals = found.vitals.borrow_mut();
                let changed = vitals.health.probe_result(good, active, dice, now);
                if good && !vitals.health.is_down() {
                    vitals.breaker.try_now(now);
                }
                changed
            }
            _ => false,
        }
    }

    /// Where a member is; `None` once it has left.
    #[must_use]
    pub fn target(&self, member: MemberId) -> Option<Target> {
        self.members
            .iter()
            .find(|m| m.id == member)
            .map(Member::target)
    }

    /// The member at an address of an origin: for results that another core's prober found out.
    #[must_use]
    pub fn member_at(&self, target: &Target) -> Option<MemberId> {
        let here = |m: &&Member| m.origin == target.origin && m.address == target.address;
        self.members.iter().find(here).map(|member| member.id)
    }

    /// A first attempt (not a retry) is made: it earns its share of a retry.
    pub fn note_request(&mut self, now: Moment) {
        self.retries.note_request(now);
    }

    /// Takes a retry from the budget; `false` when none is left. Ask [`super::budget::retry_allowed`] first.
    pub fn may_retry(&mut self, now: Moment) -> bool {
        self.retries.may_retry(now)
    }

    /// Requests that wait.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Addresses that found no room under [`MAX_MEMBERS`].
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.origins.iter().map(|pooled| pooled.left_out).sum()
    }

    /// Every member, and why it is or is not used.
    #[must_use]
    pub fn explain(&self, now: Moment) -> Vec<MemberReport> {
        let present = self.members.iter().filter(|member| !member.leaving);
        let total: f64 = present.map(|member| f64::from(member.weight)).sum();
        let report = |member: &Member| {
            let vitals = member.vitals.borrow();
            let weight = if member.leaving {
                0.0
            } else {
                f64::from(member.weight)
            };
            MemberReport {
                member: member.id,
                origin: self
                    .key_of(member)
                    .map_or_else(|| Arc::from(""), Arc::clone),
                address: member.address.clone(),
                share_percent: if total > 0.0 {
                    100.0 * weight / total
                } else {
                    0.0
                },
                standing: member.standing(&self.settings, now),
                at: now,
                outstanding: vitals.outstanding,
                ejections: vitals.health.ejections(),
                last_failure: vitals.health.last_failure(),
            }
        };
        self.members.iter().map(report).collect()
    }

    /// The member for a request, by the order in the module's words. Takes no notice of the queue.
    /// True when no member can be expected to answer: all are down, ejected, or behind an open breaker. Each becomes ready
    /// again by itself, by a probe or by time.
    pub fn is_down(&self, now: Moment) -> bool {
        let mut members = self
            .members
            .iter()
            .filter(|member| !member.leaving)
            .peekable();
        members.peek().is_some()
            && members.all(|member| {
                let standing = member.standing(&self.settings, now);
                !matches!(standing, Standing::Ready | Standing::Full)
            })
    }

    fn find(&mut self, now: Moment, tried: &[MemberId]) -> Result<MemberId, Reason> {
        let mut groups = Groups::default();
        for member in self.members.iter_mut().filter(|member| !member.leaving) {
            groups.any = true;
            if !tried.contains(&member.id) {
                groups.untried = true;
                groups.sort_in(member, &self.settings, now);
            }
        }
        if !groups.any {
            return Err(if self.origins.is_empty() {
                Reason::NoHealthyOrigin
            } else {
                Reason::NameNotResolved
            });
        }
        if !groups.untried {
            return Err(Reason::AllTried);
        }
        if let Some(member) = groups.ready.choose(&mut self.dice) {
            return Ok(member);
        }
        if groups.full {
            return Err(Reason::AtCapacity);
        }
        if let Some((_, member)) = groups.least_recently_ejected {
            return Ok(member);
        }
        if let Some(member) = groups.serving_though_down.choose(&mut self.dice) {
            return Ok(member);
        }
        if groups.full_fallback {
            return Err(Reason::AtCapacity);
        }
        if let Some((_, member)) = groups.trial
            && now >= self.next_trial
        {
            self.next_trial = now + TRIAL_EVERY;
            return Ok(member);
        }
        Err(if groups.broken {
            Reason::BreakerOpen
        } else {
            Reason::NoHealthyOrigin
        })
    }

    fn wait(&self, reason: Reason, now: Moment) -> Choice {
        if self.queue.len() >= self.settings.queue_length || self.settings.queue_timeout.is_zero() {
            return Choice::Refuse(reason);
        }
        if reason == Reason::AtCapacity && !self.queue_breaker.admits(&self.settings.breaker, now) {
            return Choice::Refuse(Reason::BreakerOpen);
        }
        let until = now + self.settings.queue_timeout;
        Choice::Wait { until, reason }
    }

    /// Offers what is free to those who wait, in their order; at most one turn.
    fn offer(&mut self, now: Moment) -> Option<Turn> {
        let mut in_vain: SmallVec<[Tried; 2]> = SmallVec::new();
        while in_vain.len() < OFFERS {
            // Nothing was free for one who tried less than this one did.
            let hopeless = |tried: &[MemberId]| {
                let covers = |less: &Tried| less.iter().all(|member| tried.contains(member));
                in_vain.iter().any(covers)
            };
            let next = self.queue.iter().find(|waiter| !hopeless(&waiter.tried));
            let (ticket, tried) = next.map(|waiter| (waiter.ticket, waiter.tried.clone()))?;
            let Ok(member) = self.find(now, &tried) else {
                in_vain.push(tried);
                continue;
            };
            let waiter = self.queue.remove(ticket)?;
            if waiter.reason == Reason::AtCapacity {
                let quick = now.saturating_since(waiter.since) < self.settings.slow_wait;
                self.queue_breaker
                    .record(quick, &self.settings.breaker, now);
            }
            self.begin(member, now);
            return Some(Turn::Granted { ticket, member });
        }
        None
    }

    fn begin(&mut self, member: MemberId, now: Moment) {
        if let Some(found) = self.members.iter().find(|m| m.id == member) {
            let mut vitals = found.vitals.borrow_mut();
            vitals.outstanding = vitals.outstanding.saturating_add(1);
            vitals.breaker.start(&self.settings.breaker, now);
        }
    }

    /// Whether the pool stays within its share if one more member is ejected. Members that are down count too.
    fn can_spare_one(&self, now: Moment) -> bool {
        let (mut present, mut out) = (0usize, 0usize);
        for member in self.members.iter().filter(|member| !member.leaving) {
            present += 1;
            let standing = member.standing(&self.settings, now);
            let is_out = matches!(standing, Standing::Ejected { .. } | Standing::Down);
            out += usize::from(is_out);
        }
        let percent = usize::from(self.settings.passive.pool_percent.min(100));
        (out + 1) * 100 <= present * percent
    }

    fn awaits_addresses(&self) -> bool {
        self.origins
            .iter()
            .any(|pooled| pooled.resolution == Resolution::Pending)
    }

    /// Makes these the addresses of an origin.
    fn place(&mut self, origin: usize, addresses: &[Address]) {
        let addresses = addresses.get(..MAX_ADDRESSES).unwrap_or(addresses);
        let Some(pooled) = self.origins.get_mut(origin) else {
            return;
        };
        pooled.resolution = Resolution::Known;
        let parts = u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
        let weight = u32::from(pooled.origin.weight.max(1)).saturating_mul(WEIGHT_UNIT) / parts;
        for member in self
            .members
            .iter_mut()
            .filter(|member| member.origin == origin)
        {
            member.leaving = !addresses.contains(&member.address);
            member.weight = weight;
        }
        self.members
            .retain(|m| !m.leaving || m.vitals.borrow().outstanding > 0);
        pooled.left_out = 0;
        for address in addresses {
            if self
                .members
                .iter()
                .any(|m| m.origin == origin && m.address == *address)
            {
                continue;
            }
            if self.members.iter().filter(|member| !member.leaving).count() >= MAX_MEMBERS {
                pooled.left_out += 1;
                continue;
            }
            let credit = self.dice.below(u64::from(weight));
            self.members.push(Member {
                id: MemberId(self.next_id),
                origin,
                address: address.clone(),
                text: address.to_string().into(),
                weight,
                credit: i64::try_from(credit).unwrap_or(0),
                leaving: false,
                vitals: Rc::default(),
            });
            self.next_id = self.next_id.saturating_add(1);
        }
    }

    fn port_of(&self, index: usize, name: &str) -> Option<u16> {
        match &self.origins.get(index)?.origin.endpoint {
            Endpoint::Name { host, port } if **host == *name => Some(*port),
            _ => None,
        }
    }

    fn key_of(&self, member: &Member) -> Option<&Arc<str>> {
        self.origins
            .get(member.origin)
            .map(|pooled| &pooled.origin.key)
    }
}
