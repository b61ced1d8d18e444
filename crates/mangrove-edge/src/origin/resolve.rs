//! Origin names and their addresses: when to ask again, and what to make of the answer.
//!
//! [`Names`] decides and [`Resolver`] asks. One of each serves a whole process; what is learned goes to every core's pools:
//!
//! ```text
//! for name in names.due(now) {
//!     let answer = resolver.lookup(&name).await;              // in a task of its own
//!     if names.answered(&name, answer, now) == Learned::Changed {
//!         pool.resolved(&name, names.addresses(&name));       // on each core
//!     }                                                       // StillUnknown: pool.resolution_failed(&name)
//! }
//! ```
//!
//! An answer without addresses is no answer. A name keeps its last good addresses for as long as nothing better comes, with
//! a notice ([`NameReport::stale_since`]); a broken resolver therefore stops no site that was once resolved.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ServerOrderingStrategy,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::Name;
use mangrove_http::Moment;

use super::balance::Dice;

/// Addresses kept of one name. Of more, those already in use come first, then the smallest: the choice does not wander when
/// a name server shuffles its answers.
pub const MAX_ADDRESSES: usize = 16;

/// Names watched at once.
pub const MAX_NAMES: usize = 100_000;

/// Lookups on their way at once: each one may hold a thread inside the system's resolver.
pub const LOOKUPS_AT_ONCE: usize = 32;

/// A lookup has failed after this long.
pub const LOOKUP_DEADLINE: Duration = Duration::from_secs(10);

/// How soon a name is asked for again when the answer does not say how long it holds.
pub const REFRESH: Duration = Duration::from_secs(30);

/// A shorter time to live is taken as this long.
pub const SHORTEST_TTL: Duration = Duration::from_secs(1);

/// A longer time to live is taken as this long: a mistaken record must not hold a site for a day.
pub const LONGEST_TTL: Duration = Duration::from_secs(300);

/// The pause after a first failed lookup; doubled by each further one up to [`REFRESH`].
pub const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// What a resolver found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// IPv4 and IPv6, in any order.
    pub addresses: Vec<IpAddr>,
    /// How long it holds, if the resolver says so.
    pub ttl: Option<Duration>,
}

/// Why a name has no (new) address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum LookupFailed {
    /// The name does not exist, or has no usable A or AAAA record.
    #[error("the name has no address")]
    NoAddress,
    /// Nobody answered in time.
    #[error("no answer in time")]
    TimedOut,
    /// The name server answered with an error, or could not be reached.
    #[error("the name server failed")]
    ServerFailed,
    /// It cannot be a host name.
    #[error("not a host name")]
    NotAName,
}

/// More than [`MAX_NAMES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {MAX_NAMES} origin names")]
pub struct TooManyNames;

/// What an answer changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learned {
    /// The addresses are other ones now: tell the pools.
    Changed,
    /// The same addresses as before.
    Unchanged,
    /// The lookup failed; the last good addresses stay.
    KeptLastGood,
    /// The lookup failed, and there never was an address: tell the pools.
    StillUnknown,
    /// Nobody wants to know any more.
    NotWatched,
}

/// A name, explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameReport {
    /// The name.
    pub name: Arc<str>,
    /// Its addresses in use.
    pub addresses: Vec<IpAddr>,
    /// Since when lookups fail while these addresses are still used: worth a notice.
    pub stale_since: Option<Moment>,
    /// Lookups failed in a row.
    pub failures: u32,
    /// The last failure, if the last lookup failed.
    pub last_failure: Option<LookupFailed>,
    /// When it is asked for again.
    pub next: Moment,
}

/// The names of all origins: what is known, and when to ask again. Pure.
#[derive(Debug)]
pub struct Names {
    known: BTreeMap<Arc<str>, Known>,
    /// When each name is next looked at. One entry for each name.
    schedule: BTreeSet<(Moment, Arc<str>)>,
    under_way: usize,
    dice: Dice,
}

#[derive(Debug)]
struct Known {
    addresses: Vec<IpAddr>,
    next: Moment,
    asked: bool,
    failures: u32,
    failing_since: Option<Moment>,
    last_failure: Option<LookupFailed>,
}

impl Names {
    /// No names yet.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            known: BTreeMap::new(),
            schedule: BTreeSet::new(),
            under_way: 0,
            dice: Dice::new(seed),
        }
    }

    /// Starts to watch a name, due at once. Watching it twice is watching it once.
    ///
    /// # Errors
    /// There are [`MAX_NAMES`] already.
    pub fn watch(&mut self, name: &str, now: Moment) -> Result<(), TooManyNames> {
        if self.known.contains_key(name) {
            return Ok(());
        }
        if self.known.len() >= MAX_NAMES {
            return Err(TooManyNames);
        }
        let name: Arc<str> = Arc::from(name);
        self.schedule.insert((now, Arc::clone(&name)));
        let known = Known {
            addresses: Vec::new(),
            next: now,
            asked: false,
            failures: 0,
            failing_since: None,
            last_failure: None,
        };
        self.known.insert(name, known);
        Ok(())
    }

    /// Forgets the names that nobody wants any more.
    pub fn retain(&mut self, wanted: impl Fn(&str) -> bool) {
        let Self {
            known,
            schedule,
            under_way,
            ..
        } = self;
        known.retain(|name, known| {
            let keep = wanted(name);
            if !keep {
                schedule.remove(&(known.next, Arc::clone(name)));
                *under_way -= usize::from(known.asked).min(*under_way);
            }
            keep
        });
    }

    /// The names to look up now, those most overdue first; at most [`LOOKUPS_AT_ONCE`] are under way. A lookup that was never
    /// answered is taken for failed after twice [`LOOKUP_DEADLINE`].
    pub fn due(&mut self, now: Moment) -> Vec<Arc<str>> {
        let mut due = Vec::new();
        while let Some((at, name)) = self.schedule.first().cloned() {
            if at > now {
                break;
            }
            let Some(known) = self.known.get_mut(&name) else {
                self.schedule.pop_first();
                continue;
            };
            if known.asked {
                self.answered(&name, Err(LookupFailed::TimedOut), now);
                continue;
            }
            if self.under_way >= LOOKUPS_AT_ONCE {
                break;
            }
            known.asked = true;
            self.under_way += 1;
            self.look_again(&name, now + LOOKUP_DEADLINE * 2);
            due.push(name);
        }
        due
    }

    /// When [`Names::due`] next has something to do, as far as time alone decides.
    #[must_use]
    pub fn next_due(&self) -> Option<Moment> {
        self.schedule.first().map(|(at, _)| *at)
    }

    /// Takes in what a lookup brought.
    pub fn answered(
        &mut self,
        name: &str,
        answer: Result<Answer, LookupFailed>,
        now: Moment,
    ) -> Learned {
        let Some(known) = self.known.get_mut(name) else {
            return Learned::NotWatched;
        };
        if std::mem::take(&mut known.asked) {
            self.under_way = self.under_way.saturating_sub(1);
        }
        let answer = answer.and_then(|answer| {
            let addresses = select(answer.addresses, &known.addresses);
            if addresses.is_empty() {
                return Err(LookupFailed::NoAddress);
            }
            Ok((addresses, answer.ttl))
        });
        let (learned, pause) = match answer {
            Ok((addresses, ttl)) => {
                known.failures = 0;
                known.failing_since = None;
                known.last_failure = None;
                let learned = if addresses == known.addresses {
                    Learned::Unchanged
                } else {
                    Learned::Changed
                };
                known.addresses = addresses;
                // The record's own time is kept to the letter; only our own refresh is spread.
                let pause = match ttl {
                    Some(ttl) => ttl.clamp(SHORTEST_TTL, LONGEST_TTL),
                    None => self.dice.jitter(REFRESH),
                };
                (learned, pause)
            }
            Err(failure) => {
                let doubled = 1u32.checked_shl(known.failures).unwrap_or(u32::MAX);
                known.failures = known.failures.saturating_add(1);
                known.failing_since.get_or_insert(now);
                known.last_failure = Some(failure);
                let learned = if known.addresses.is_empty() {
                    Learned::StillUnknown
                } else {
                    Learned::KeptLastGood
                };
                let pause = FIRST_PAUSE.saturating_mul(doubled).min(REFRESH);
                (learned, self.dice.jitter(pause))
            }
        };
        self.look_again(name, now + pause);
        learned
    }

    /// A name's addresses in use, IPv4 first, in numerical order. Empty for a name never resolved.
    #[must_use]
    pub fn addresses(&self, name: &str) -> &[IpAddr] {
        self.known.get(name).map_or(&[], |known| &known.addresses)
    }

    /// Every name, explained.
    #[must_use]
    pub fn explain(&self) -> Vec<NameReport> {
        let report = |(name, known): (&Arc<str>, &Known)| NameReport {
            name: Arc::clone(name),
            addresses: known.addresses.clone(),
            stale_since: known.failing_since.filter(|_| !known.addresses.is_empty()),
            failures: known.failures,
            last_failure: known.last_failure,
            next: known.next,
        };
        self.known.iter().map(report).collect()
    }

    fn look_again(&mut self, name: &str, at: Moment) {
        if let Some((name, known)) = self.known.get_key_value(name) {
            self.schedule.remove(&(known.next, Arc::clone(name)));
            self.schedule.insert((at, Arc::clone(name)));
        }
        if let Some(known) = self.known.get_mut(name) {
            known.next = at;
        }
    }
}

/// The addresses to use of those answered: no impossible ones, no duplicates, at most [`MAX_ADDRESSES`], sorted.
fn select(mut answered: Vec<IpAddr>, in_use: &[IpAddr]) -> Vec<IpAddr> {
    answered.retain(|address| !cannot_be_an_origin(*address));
    answered.sort_unstable_by_key(|address| (!in_use.contains(address), *address));
    answered.dedup();
    answered.truncate(MAX_ADDRESSES);
    answered.sort_unstable();
    answered
}

/// Addresses nobody can connect to over TCP; `0.0.0.0` would even reach this machine.
fn cannot_be_an_origin(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    address.is_unspecified() || address.is_multicast() || broadcast
}

/// Asks for addresses: the thin shell below [`Names`].
#[derive(Clone)]
pub struct Resolver(Source);

#[derive(Clone)]
enum Source {
    System,
    Dns(Box<TokioResolver>),
}

/// A resolver that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ResolverProblem {
    /// An empty list is not "any server".
    #[error("the list of resolvers is empty")]
    NoServers,
    /// The library refused.
    #[error("the resolver could not be made: {0}")]
    Setup(NetError),
}

impl Resolver {
    /// The machine's own resolver (`getaddrinfo`: hosts file, resolv.conf, whatever nsswitch.conf says). It does not tell how
    /// long an answer holds.
    #[must_use]
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// These name servers, over UDP and, where needed, TCP; A and AAAA; times to live respected. Reads no hosts file and knows
    /// no search domains: names are taken as complete.
    ///
    /// # Errors
    /// The list is empty, or the library refused.
    pub fn dns(servers: &[SocketAddr]) -> Result<Self, ResolverProblem> {
        if servers.is_empty() {
            return Err(ResolverProblem::NoServers);
        }
        let server = |address: &SocketAddr| {
            let mut server = NameServerConfig::udp_and_tcp(address.ip());
            for connection in &mut server.connections {
                connection.port = address.port();
            }
            server
        };
        let servers = servers.iter().map(server).collect();
        let mut builder = TokioResolver::builder_with_config(
            ResolverConfig::from_parts(None, Vec::new(), servers),
            TokioRuntimeProvider::default(),
        );
        let options = builder.options_mut();
        options.timeout = Duration::from_secs(2);
        options.attempts = 2;
        options.cache_size = 0; // `Names` remembers; a second memory would hide the true time to live.
        options.use_hosts_file = ResolveHosts::Never;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
        options.try_tcp_on_error = true;
        let resolver = builder.build().map_err(ResolverProblem::Setup)?;
        Ok(Self(Source::Dns(Box::new(resolver))))
    }

    /// One lookup, over within [`LOOKUP_DEADLINE`]. Needs a tokio runtime with time and I/O, always the same one: connections
    /// to the name servers are kept in its tasks.
    ///
    /// # Errors
    /// Why there is no address.
    pub async fn lookup(&self, name: &str) -> Result<Answer, LookupFailed> {
        let lookup = async {
            match &self.0 {
                Source::System => ask_system(name).await,
                Source::Dns(resolver) => ask_servers(resolver, name).await,
            }
        };
        tokio::time::timeout(LOOKUP_DEADLINE, lookup)
            .await
            .unwrap_or(Err(LookupFailed::TimedOut))
    }
}

async fn ask_system(name: &str) -> Result<Answer, LookupFailed> {
    // tokio asks `getaddrinfo` on one of its blocking threads. Its errors do not tell "no such name" from "no server".
    let found = tokio::net::lookup_host((name, 0)).await;
    let addresses = found.map_err(|_| LookupFailed::ServerFailed)?;
    Ok(Answer {
        addresses: addresses.map(|address| address.ip()).collect(),
        ttl: None,
    })
}

async fn ask_servers(resolver: &TokioResolver, name: &str) -> Result<Answer, LookupFailed> {
    let mut name = Name::from_utf8(name).map_err(|_| LookupFailed::NotAName)?;
    name.set_fqdn(true);
    let found = resolver
        .lookup_ip(name)
        .await
        .map_err(|error| match error {
            NetError::Timeout => LookupFailed::TimedOut,
            error if error.is_no_records_found() => LookupFailed::NoAddress,
            _ => LookupFailed::ServerFailed,
        })?;
    let records = found.as_lookup().answers();
    let ttl = records.iter().map(|record| record.ttl).min();
    Ok(Answer {
        addresses: found.iter().collect(),
        ttl: ttl.map(|seconds| Duration::from_secs(u64::from(seconds))),
    })
}

#[cfg(test)]
mod tests;
