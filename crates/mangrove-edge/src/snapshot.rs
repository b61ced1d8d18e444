//! A settled snapshot as one core uses it. Chosen once per request, swapped whole.
//!
//! What is the same for all cores (settings, host table) is built once, off the request path, and
//! shared; a site's own state on a core (connections, health) is made when its first request comes
//! and is handed on to the next snapshot when the site's origins have not changed.

use std::cell::{OnceCell, RefCell};
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use mangrove_cache::{CompressRules, Rules};
use mangrove_config::{Network, OriginPolicy, OriginProtocol as Protocol, Settled};
use mangrove_http::{HeadLimits, Moment, ResponseHead, Version, contains};
use rustls::ClientConfig;

use crate::answer_head::Prepared;
use crate::cache::{Cache, Quotas, SiteCache};
use crate::core::Core;
use crate::keyed_hash::Keyed;
use crate::limits::{Decided, SiteLimits};
use crate::origin::Upstreams;
use crate::pipeline::RefusedPages;
use crate::tls::{OriginProtocol, OriginTrust, TlsProblem, client_config};

/// What all cores share of a snapshot.
#[derive(Debug)]
pub struct SharedSnapshot {
    /// The settings.
    pub settled: Arc<Settled>,
    /// Their digest, 64 hexadecimal digits.
    pub digest: String,
    routes: Routes,
    /// What of each site's answers is kept.
    rules: Vec<Option<(Arc<Rules>, Arc<CompressRules>)>>,
    /// How much of each site one client may ask for; none where it has no limits.
    limits: Vec<Option<Arc<SiteLimits>>>,
    /// TLS to origins by site; none where no origin needs it.
    origin_tls: Vec<Option<Arc<ClientConfig>>>,
}

/// Which site a host belongs to.
#[derive(Debug, Default)]
struct Routes {
    exact: HashMap<Box<[u8]>, u32, Keyed>,
    /// By suffix, with its leading dot.
    under: HashMap<Box<[u8]>, u32, Keyed>,
    any: Option<u32>,
}

/// A snapshot on one core.
#[derive(Debug)]
pub struct Snapshot {
    shared: Arc<SharedSnapshot>,
    cache: Arc<Cache>,
    /// The settings.
    pub settled: Arc<Settled>,
    /// Ceilings of request heads.
    pub request_limits: HeadLimits,
    /// Ceilings of response heads.
    pub response_limits: HeadLimits,
    workers: u16,
    seed: u64,
    /// By number, made when they are first asked for.
    sites: Box<[OnceCell<Rc<Site>>]>,
    /// Upstreams of the snapshot before, by site name, until they are taken over or forgotten.
    heirlooms: RefCell<HashMap<Box<str>, Rc<Upstreams>>>,
    addresses: RefCell<HashMap<Arc<str>, Arc<[IpAddr]>>>,
    /// Pages of errors, as this snapshot's name for us has them.
    pub refused: RefusedPages,
}

/// One site on one core.
#[derive(Debug)]
pub struct Site {
    /// Its name.
    pub name: Box<str>,
    /// Tokens a client may upgrade to.
    pub upgrade: Box<[String]>,
    /// The most bytes a request body may have.
    pub request_body_bytes: u64,
    /// Whether origins see the normal form of the path.
    pub normalized_path: bool,
    /// How much of it one client may ask for.
    pub limits: Option<Arc<SiteLimits>>,
    /// What of its answers is kept, and for how long.
    pub cache: Option<SiteCache>,
    /// Who may purge a URL by asking for it with PURGE.
    pub purge_from: Box<[Network]>,
    /// Where its answers come from.
    pub kind: SiteKind,
}

impl Site {
    /// The path that the cache's keys are made of: the one that the origin sees. Where it gets the path as it came, two
    /// paths of one normal form may get two answers, and must not get each other's. Rules go by the normal form all the same,
    /// or another spelling would get past them.
    pub fn key_path<'s>(&self, story: &'s crate::pipeline::Story) -> &'s [u8] {
        match self.normalized_path {
            true => story.path(),
            false => story.head.path(),
        }
    }
}

/// Where a site's answers come from.
#[derive(Debug)]
pub enum SiteKind {
    /// Made at the edge, the same for everyone.
    Respond(Rc<Prepared>),
    /// The built-in sample site.
    Sample,
    /// Its origins.
    Origins(Rc<Upstreams>),
}

impl SharedSnapshot {
    /// Builds the shared part; says what keeps it from being served. `previous` hands over who owes how much under limits that
    /// are the same.
    ///
    /// # Errors
    /// When an origin's TLS settings cannot be used: which site, which file, what to do.
    pub fn build(
        settled: Settled,
        time: &Arc<dyn rustls::time_provider::TimeProvider>,
        previous: Option<&Self>,
    ) -> Result<Arc<Self>, Vec<(String, TlsProblem)>> {
        let mut routes = Routes::default();
        let (mut origin_tls, mut problems) = (Vec::new(), Vec::new());
        // Most sites trust the same authorities: one configuration, and one session cache, for them all.
        let mut made: HashMap<(bool, Option<&str>, u8), Arc<ClientConfig>> = HashMap::new();
        for (index, site) in (0u32..).zip(&settled.sites) {
            for host in &site.hosts {
                routes.add(host, index);
            }
            let wants_tls = site
                .origins
                .iter()
                .any(|origin| origin.scheme == mangrove_config::Scheme::Https);
            if !wants_tls {
                origin_tls.push(None);
                continue;
            }
            let policy = &site.origin;
            let key = (
                policy.tls_verify,
                policy.tls_ca.as_deref(),
                policy.protocol as u8,
            );
            if let Some(config) = made.get(&key) {
                origin_tls.push(Some(Arc::clone(config)));
                continue;
            }
            match client_config(trust(policy), alpn(policy.protocol), Arc::clone(time)) {
                Ok(config) => {
                    made.insert(key, Arc::clone(&config));
                    origin_tls.push(Some(config));
                }
                Err(problem) => {
                    problems.push((site.name.clone(), problem));
                    origin_tls.push(None);
                }
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        drop(made);
        let digest = settled.digest();
        let name = &settled.server.cdn_id;
        let rules = settled.sites.iter().map(|site| {
            // A site without origins answers by itself: there is nothing to keep.
            let rules = || (site.cache.rules(name).into(), site.compress.rules().into());
            (!site.origins.is_empty()).then(rules)
        });
        let rules = rules.collect();
        let limits = settled.sites.iter().map(|site| {
            if site.rate_limits.is_empty() {
                return None; // as most; nobody looks for what they had
            }
            let before = previous.and_then(|previous| previous.limits_of(&site.name));
            SiteLimits::new(&site.rate_limits, before.as_deref())
        });
        let limits = limits.collect();
        Ok(Arc::new(Self {
            settled: Arc::new(settled),
            digest,
            routes,
            rules,
            limits,
            origin_tls,
        }))
    }
}

impl SharedSnapshot {
    /// The number of the site a host belongs to: its place in `settled.sites`.
    pub fn site_of(&self, host: &[u8]) -> Option<u32> {
        self.routes.find(host)
    }

    /// The number of the site of a name.
    pub fn site_named(&self, name: &str) -> Option<u32> {
        let mut sites = (0u32..).zip(&self.settled.sites);
        sites.find_map(|(index, site)| (site.name == name).then_some(index))
    }

    /// What each site's limits have decided so far, by the site's name.
    pub fn decided(&self) -> impl Iterator<Item = (&str, Decided<'_>)> {
        let sites = self.settled.sites.iter().zip(&self.limits);
        sites.flat_map(|(site, limits)| {
            let decided = limits.iter().flat_map(|limits| limits.decided());
            decided.map(|decided| (site.name.as_str(), decided))
        })
    }

    /// What sites may have of the disk.
    pub fn disk_quotas(&self) -> Quotas {
        let sites = self.settled.sites.iter();
        let own =
            sites.filter_map(|site| Some((site.name.as_str().into(), site.cache.disk_bytes?)));
        own.collect()
    }

    fn limits_of(&self, name: &str) -> Option<Arc<SiteLimits>> {
        let index = usize::try_from(self.site_named(name)?).ok()?;
        self.limits.get(index)?.clone()
    }

    /// What a site wants of its cache; none where its answers are made at the edge and never kept.
    pub fn rules(&self, site: u32) -> Option<Arc<Rules>> {
        self.all_rules(site).map(|(rules, _)| rules)
    }

    /// And what of what is kept is coded.
    fn all_rules(&self, site: u32) -> Option<(Arc<Rules>, Arc<CompressRules>)> {
        self.rules.get(usize::try_from(site).ok()?)?.clone()
    }
}

fn trust(policy: &OriginPolicy) -> OriginTrust<'_> {
    match (&policy.tls_ca, policy.tls_verify) {
        (_, false) => OriginTrust::Anybody,
        (Some(path), true) => OriginTrust::Bundle(std::path::Path::new(path)),
        (None, true) => OriginTrust::System,
    }
}

fn alpn(protocol: Protocol) -> OriginProtocol {
    match protocol {
        Protocol::Auto => OriginProtocol::Either,
        Protocol::Http1 => OriginProtocol::Http1,
        Protocol::H2 => OriginProtocol::Http2,
    }
}

impl Routes {
    fn add(&mut self, host: &str, site: u32) {
        if host == "*" {
            self.any.get_or_insert(site);
        } else if let Some(suffix) = host.strip_prefix('*') {
            self.under.entry(suffix.as_bytes().into()).or_insert(site);
        } else {
            self.exact.entry(host.as_bytes().into()).or_insert(site);
        }
    }

    /// The most exact wins: the whole name, then the longest suffix, then any.
    fn find(&self, host: &[u8]) -> Option<u32> {
        const LONGEST: usize = mangrove_http::HOST_BYTES;
        if self.exact.is_empty() && self.under.is_empty() {
            return self.any;
        }
        let host = host.strip_suffix(b".").unwrap_or(host);
        let mut lower;
        let mut name = host;
        if contains(host, |b| b.is_ascii_uppercase()) {
            lower = [0u8; LONGEST];
            let Some(part) = lower.get_mut(..host.len()) else {
                return self.any;
            };
            part.copy_from_slice(host);
            part.make_ascii_lowercase();
            name = part;
        }
        if let Some(site) = self.exact.get(name) {
            return Some(*site);
        }
        if !self.under.is_empty() {
            for dot in memchr::memchr_iter(b'.', name) {
                // A leading dot is no name below anything.
                if dot > 0
                    && let Some(site) = name.get(dot..).and_then(|suffix| self.under.get(suffix))
                {
                    return Some(*site);
                }
            }
        }
        self.any
    }
}

impl Snapshot {
    /// The snapshot for one core. `previous` hands over the state of sites whose origins are the same.
    pub fn new(
        shared: Arc<SharedSnapshot>,
        cache: Arc<Cache>,
        workers: u16,
        seed: u64,
        previous: Option<&Snapshot>,
    ) -> Rc<Self> {
        let limits = &shared.settled.server.limits;
        let request_limits = HeadLimits {
            head_bytes: limits.head_bytes as usize,
            fields: limits.head_fields as usize,
            target_bytes: limits.target_bytes as usize,
        };
        let response_limits = HeadLimits {
            head_bytes: limits.response_head_bytes as usize,
            fields: limits.response_head_fields as usize,
            ..request_limits
        };
        let mut heirlooms = HashMap::new();
        if let Some(previous) = previous {
            // Only of sites that are still there: whoever has left takes his connections along.
            let staying: HashSet<&str> = shared
                .settled
                .sites
                .iter()
                .map(|site| site.name.as_str())
                .collect();
            for site in previous.sites.iter().filter_map(OnceCell::get) {
                if let SiteKind::Origins(upstreams) = &site.kind
                    && staying.contains(&*site.name)
                {
                    heirlooms.insert(site.name.clone(), Rc::clone(upstreams));
                }
            }
            for (name, upstreams) in previous.heirlooms.borrow().iter() {
                if staying.contains(&**name) {
                    heirlooms
                        .entry(name.clone())
                        .or_insert_with(|| Rc::clone(upstreams));
                }
            }
        }
        let sites = shared.settled.sites.iter().map(|_| OnceCell::new());
        let sites = sites.collect();
        Rc::new(Self {
            settled: Arc::clone(&shared.settled),
            shared,
            cache,
            request_limits,
            response_limits,
            workers: workers.max(1),
            seed,
            sites,
            heirlooms: RefCell::new(heirlooms),
            addresses: RefCell::default(),
            refused: RefusedPages::default(),
        })
    }

    /// The digest of the settings, 64 hexadecimal digits.
    pub fn digest(&self) -> &str {
        &self.shared.digest
    }

    /// The site a host belongs to.
    pub fn site_for(&self, host: &[u8]) -> Option<Rc<Site>> {
        self.site(self.shared.routes.find(host)?)
    }

    /// Makes the sites that have something to do without a request: those with health checks.
    pub fn wake_watchful(&self) {
        for (index, site) in (0u32..).zip(&self.settled.sites) {
            if site.origin.health.is_some() {
                let _ = self.site(index);
            }
        }
    }

    /// Closes idle origin connections whose time is over, also those of sites that have had no
    /// request under this snapshot yet.
    pub fn sweep(&self, now: Moment) {
        self.upstreams()
            .iter()
            .for_each(|upstreams| upstreams.sweep(now));
        self.heirlooms
            .borrow()
            .values()
            .for_each(|upstreams| upstreams.sweep(now));
    }

    /// Takes over what is known of names.
    pub fn know(&self, known: &HashMap<Arc<str>, Arc<[IpAddr]>>) {
        *self.addresses.borrow_mut() = known.clone();
    }

    /// A name has these addresses now.
    pub fn resolved(&self, core: &Core, name: &Arc<str>, addresses: &Arc<[IpAddr]>) {
        self.addresses
            .borrow_mut()
            .insert(Arc::clone(name), Arc::clone(addresses));
        for upstreams in self.upstreams() {
            upstreams.resolved(core, name, addresses);
        }
    }

    /// The upstreams in use on this core.
    pub fn upstreams(&self) -> Vec<Rc<Upstreams>> {
        self.sites
            .iter()
            .filter_map(OnceCell::get)
            .filter_map(|site| match &site.kind {
                SiteKind::Origins(upstreams) => Some(Rc::clone(upstreams)),
                _ => None,
            })
            .collect()
    }

    fn site(&self, index: u32) -> Option<Rc<Site>> {
        let at = usize::try_from(index).ok()?;
        let place = self.sites.get(at)?;
        if let Some(site) = place.get() {
            return Some(Rc::clone(site));
        }
        let settings = self.settled.sites.get(at)?;
        let kind = if let Some(respond) = &settings.respond {
            SiteKind::Respond(prepared(respond))
        } else if settings.sample {
            SiteKind::Sample
        } else {
            let tls = self.shared.origin_tls.get(at).cloned().flatten();
            let old = self.heirlooms.borrow_mut().remove(settings.name.as_str());
            let upstreams = Upstreams::new(
                settings,
                tls,
                self.workers,
                self.seed ^ u64::from(index),
                old.as_deref(),
            );
            upstreams.know(&self.addresses.borrow());
            SiteKind::Origins(upstreams)
        };
        Some(Rc::clone(place.get_or_init(|| {
            Rc::new(Site {
                name: settings.name.as_str().into(),
                upgrade: settings.upgrade.clone().into(),
                request_body_bytes: settings
                    .request_body_bytes
                    .unwrap_or(self.settled.server.limits.request_body_bytes),
                normalized_path: settings.path == mangrove_config::PathPolicy::Normalized,
                limits: self.shared.limits.get(at).cloned().flatten(),
                cache: self.shared.all_rules(index).map(|(rules, compress)| {
                    SiteCache::new(&self.cache, &settings.name, rules, compress)
                }),
                purge_from: settings.cache.purge_from.as_slice().into(),
                kind,
            })
        })))
    }
}

fn prepared(respond: &mangrove_config::Respond) -> Rc<Prepared> {
    let mut head = ResponseHead::new();
    head.begin(Version::Http11, respond.status);
    head.push_field(b"content-type", respond.content_type.as_bytes());
    Prepared::new(head, Bytes::copy_from_slice(respond.body.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_exact_host_wins() {
        let mut routes = Routes::default();
        for (site, host) in (0..).zip(["*", "*.example", "news.example", "*.news.example"]) {
            routes.add(host, site);
        }
        let find = |host: &str| routes.find(host.as_bytes());
        assert_eq!(find("NEWS.example."), Some(2));
        assert_eq!(find("a.b.news.example"), Some(3));
        assert_eq!(find("shop.example"), Some(1));
        assert_eq!(find("example"), Some(0));
        assert_eq!(find(".example"), Some(0));
        assert_eq!(find(&"a".repeat(400)), Some(0));
    }

    #[test]
    fn without_a_site_for_any_host_a_stranger_finds_none() {
        let mut routes = Routes::default();
        routes.add("news.example", 0);
        assert_eq!(routes.find(b"other.example"), None);
        assert_eq!(routes.find(b""), None);
    }
}
