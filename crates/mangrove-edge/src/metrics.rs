//! What an edge counts, by OpenTelemetry's HTTP names, in Prometheus text.
//!
//! Each core counts into its own [`CoreMetrics`]: one writer, relaxed loads and stores, nothing
//! that cores would fight over. The admin thread adds the cores up when it is asked. Labels are
//! bounded by construction: method, status, protocol version, reason and module are closed sets.

mod limits;
mod traits;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use mangrove_cache::memory::Statistics as CacheStatistics;
use mangrove_cache::purge::Kind;
use mangrove_cache::{NotStored, Reason as CacheReason};
use mangrove_http::{Method, Version};
use mangrove_store::Health;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

pub use self::limits::LimitFacts;
pub use self::traits::Shapes;
use crate::cache::sweep::PurgeCounts;
use crate::cache::{CacheResult, CacheTale, DiskTier};
use crate::history::Tally;
use crate::module::Module;
use crate::reason::Reason;

/// Bucket edges in seconds: OpenTelemetry's advice for `http.server.request.duration`, and two
/// finer ones below, where a cache answers.
pub const DURATION_BUCKETS: [f64; 16] = [
    0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];
const BUCKET_NANOS: [u64; 16] = [
    500_000,
    1_000_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    75_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    750_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    7_500_000_000,
    10_000_000_000,
];

const METHODS: [&str; 10] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "_OTHER",
];
const VERSIONS: [&str; 3] = ["1.0", "1.1", "2"];
const STATUSES: usize = 500;

/// A number only one thread writes and any may read.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds; no other thread writes, so a load and a store are enough.
    pub fn add(&self, n: u64) {
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_add(n),
            Ordering::Relaxed,
        );
    }

    /// Takes away, not below zero.
    pub fn subtract(&self, n: u64) {
        self.0.store(
            self.0.load(Ordering::Relaxed).saturating_sub(n),
            Ordering::Relaxed,
        );
    }

    /// The number now.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Replaces the number.
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }
}

/// A histogram of durations with [`DURATION_BUCKETS`].
#[derive(Debug, Default)]
pub struct Durations {
    buckets: [Count; 17],
    nanos: Count,
}

impl Durations {
    fn observe(&self, nanos: u64) {
        let at = BUCKET_NANOS
            .iter()
            .position(|&edge| nanos <= edge)
            .unwrap_or(BUCKET_NANOS.len());
        if let Some(bucket) = self.buckets.get(at) {
            bucket.add(1);
        }
        self.nanos.add(nanos);
    }
}

/// The counts of one core.
#[derive(Debug)]
pub struct CoreMetrics {
    /// Which core.
    pub core: u16,
    /// `http.server.request.duration` by protocol version, method and status.
    server: Box<[OnceLock<Box<Durations>>]>,
    /// `http.client.request.duration` by status; index 0 is "no status".
    client: Box<[OnceLock<Box<Durations>>]>,
    reasons: Box<[Count]>,
    panics: Box<[Count]>,
    /// By result and reason.
    cache: Box<[Count]>,
    /// By result: bytes of the answers' bodies.
    cache_bytes: [Count; CacheResult::ALL.len()],
    not_stored: Box<[Count]>,
    /// Requests by what they asked for.
    pub shapes: Shapes,
    /// Requests being worked on.
    pub active_requests: Count,
    /// Bytes of request bodies read.
    pub request_body_bytes: Count,
    /// Bytes of response bodies written.
    pub response_body_bytes: Count,
    /// Of these, those that the kernel sent from a file, without a copy.
    pub response_file_bytes: Count,
    /// Connections accepted so far.
    pub connections_accepted: Count,
    /// Connections open now.
    pub connections_open: Count,
    /// TLS handshakes completed.
    pub tls_handshakes: Count,
    /// Of these, resumed.
    pub tls_resumed: Count,
    /// Of these, with a client that has no fingerprint.
    pub tls_unnamed: Count,
    /// Those that waited for their turn, completed or not.
    pub tls_waited: Count,
    /// Those that wait for it now.
    pub tls_waiting: Count,
    /// Connections opened to origins.
    pub origin_connects: Count,
    /// Requests sent on a kept origin connection.
    pub origin_reuses: Count,
    /// Requests sent again.
    pub origin_retries: Count,
    /// Looks into the cache that this core's own front answered, without asking what all cores share.
    pub cache_front_hits: Count,
    /// Those that went on to the memory that all cores share, each under the lock of one shard.
    pub cache_front_misses: Count,
    /// Lines the access log could not take.
    pub log_dropped: Count,
    /// Milliseconds on the edge's clock when this core last turned its wheel.
    pub heartbeat: Count,
}

impl CoreMetrics {
    /// All zero.
    pub fn new(core: u16) -> Self {
        let slots = |n: usize| (0..n).map(|_| OnceLock::new()).collect();
        Self {
            core,
            server: slots(VERSIONS.len() * METHODS.len() * STATUSES),
            client: slots(STATUSES + 1),
            reasons: Reason::all().map(|_| Count::default()).collect(),
            panics: Module::ALL.iter().map(|_| Count::default()).collect(),
            cache: (0..CacheResult::ALL.len() * CacheReason::ALL.len())
                .map(|_| Count::default())
                .collect(),
            cache_bytes: Default::default(),
            not_stored: NotStored::ALL.iter().map(|_| Count::default()).collect(),
            shapes: Shapes::default(),
            active_requests: Count::default(),
            request_body_bytes: Count::default(),
            response_body_bytes: Count::default(),
            response_file_bytes: Count::default(),
            connections_accepted: Count::default(),
            connections_open: Count::default(),
            tls_handshakes: Count::default(),
            tls_resumed: Count::default(),
            tls_unnamed: Count::default(),
            tls_waited: Count::default(),
            tls_waiting: Count::default(),
            origin_connects: Count::default(),
            origin_reuses: Count::default(),
            origin_retries: Count::default(),
            cache_front_hits: Count::default(),
            cache_front_misses: Count::default(),
            log_dropped: Count::default(),
            heartbeat: Count::default(),
        }
    }

    /// One exchange with a visitor is over.
    pub fn request_finished(&self, version: Version, method: Method, status: u16, nanos: u64) {
        let at = (version_index(version) * METHODS.len() + method_index(method)) * STATUSES
            + status_index(status);
        if let Some(slot) = self.server.get(at) {
            slot.get_or_init(Box::default).observe(nanos);
        }
    }

    /// One exchange with an origin is over; `status` is absent when no head arrived.
    pub fn origin_finished(&self, status: Option<u16>, nanos: u64) {
        if let Some(slot) = self.client.get(status.map_or(0, |s| 1 + status_index(s))) {
            slot.get_or_init(Box::default).observe(nanos);
        }
    }

    /// Something was refused, cut or failed.
    pub fn reason(&self, reason: Reason) {
        if let Some(count) = self.reasons.get(reason.index()) {
            count.add(1);
        }
    }

    /// How often, so far.
    pub fn reason_count(&self, reason: Reason) -> u64 {
        self.reasons.get(reason.index()).map_or(0, Count::value)
    }

    /// The cache did this, and so many bytes of the answer's body went out.
    pub fn cache(&self, tale: &CacheTale, sent: u64) {
        let at = tale.result as usize * CacheReason::ALL.len() + tale.reason as usize;
        if let Some(count) = self.cache.get(at) {
            count.add(1);
        }
        if let Some(bytes) = self.cache_bytes.get(tale.result as usize) {
            bytes.add(sent);
        }
        if let Some(count) = tale
            .not_stored
            .and_then(|why| self.not_stored.get(why as usize))
        {
            count.add(1);
        }
    }

    /// How often the cache has done this, for this reason.
    pub fn cache_count(&self, result: CacheResult, reason: CacheReason) -> u64 {
        let at = result as usize * CacheReason::ALL.len() + reason as usize;
        self.cache.get(at).map_or(0, Count::value)
    }

    /// How often it has done this, for whatever reason, and the bytes of the answers' bodies.
    pub(crate) fn cache_tally(&self) -> Tally {
        let mut tally = Tally::default();
        let rows = tally.requests.iter_mut().zip(&mut tally.bytes);
        for (result, (requests, bytes)) in CacheResult::ALL.into_iter().zip(rows) {
            let reasons = CacheReason::ALL.iter();
            let counts = reasons.map(|&reason| self.cache_count(result, reason));
            *requests = counts.fold(0, u64::wrapping_add);
            *bytes = self.cache_bytes_of(result);
        }
        tally
    }

    fn cache_bytes_of(&self, result: CacheResult) -> u64 {
        let count = self.cache_bytes.get(result as usize);
        count.map_or(0, Count::value)
    }

    /// How often an answer was not kept for this reason.
    pub fn not_stored_count(&self, why: NotStored) -> u64 {
        self.not_stored.get(why as usize).map_or(0, Count::value)
    }

    pub(crate) fn module_panicked(&self, module: Module) {
        if let Some(count) = self.panics.get(module as usize) {
            count.add(1);
        }
    }

    /// How often this module has panicked on this core.
    pub fn module_panics(&self, module: Module) -> u64 {
        self.panics.get(module as usize).map_or(0, Count::value)
    }
}

fn version_index(version: Version) -> usize {
    match version {
        Version::Http10 => 0,
        Version::Http11 => 1,
        Version::Http2 => 2,
    }
}

fn method_index(method: Method) -> usize {
    match method {
        Method::Get => 0,
        Method::Head => 1,
        Method::Post => 2,
        Method::Put => 3,
        Method::Delete => 4,
        Method::Options => 5,
        Method::Patch => 6,
        Method::Trace => 7,
        Method::Connect => 8,
        Method::Other => 9,
    }
}

fn status_index(status: u16) -> usize {
    usize::from(status.clamp(100, 599) - 100)
}

/// What the process as a whole knows, for the same page.
#[derive(Debug, Default)]
pub struct EdgeFacts {
    /// Bytes that answers hold for their HTTP/2 clients.
    pub http2_ahead_bytes: u64,
    /// The digest of the settled snapshot being served.
    pub digest: String,
    /// Version of the binary.
    pub version: &'static str,
    /// How many sites it has.
    pub sites: usize,
    /// Log lines that reached their target.
    pub log_written: u64,
    /// Log lines their target refused.
    pub log_failed: u64,
    /// What the cache's memory holds and has done.
    pub cache: CacheStatistics,
    /// Answers on their way into the cache.
    pub fills: u64,
    /// Bytes of theirs that have arrived.
    pub fill_bytes: u64,
    /// Requests that share them.
    pub followers: u64,
    /// What was purged.
    pub purges: PurgeCounts,
    /// What is on disk.
    pub store: StoreFacts,
    /// What rate limits have decided.
    pub limits: Vec<LimitFacts>,
}

/// Of the disk tier; all zero where there is none, or while another edge still has it.
#[derive(Debug, Default)]
pub struct StoreFacts {
    in_use: bool,
    held: mangrove_store::Statistics,
}

impl StoreFacts {
    /// As it is now. Looks at every object.
    pub fn of(disk: Option<&DiskTier>) -> Self {
        let report = disk.and_then(DiskTier::report);
        report.map_or_else(Self::default, |(health, held, _)| Self {
            in_use: health == Health::Well,
            held,
        })
    }
}

/// Renders everything in Prometheus text format.
pub fn render(cores: &[Arc<CoreMetrics>], facts: EdgeFacts) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Page {
        cores: cores.to_vec(),
        facts,
    }));
    let mut out = String::new();
    prometheus_client::encoding::text::encode(&mut out, &registry)?;
    Ok(out)
}

#[derive(Debug)]
struct Page {
    cores: Vec<Arc<CoreMetrics>>,
    facts: EdgeFacts,
}

impl Page {
    fn sum(&self, of: impl Fn(&CoreMetrics) -> u64) -> u64 {
        self.cores
            .iter()
            .map(|core| of(core))
            .fold(0, u64::wrapping_add)
    }

    fn durations<'a>(
        &'a self,
        of: impl Fn(&'a CoreMetrics) -> Option<&'a OnceLock<Box<Durations>>>,
    ) -> Option<Added> {
        let mut added: Option<Added> = None;
        for core in &self.cores {
            if let Some(durations) = of(core).and_then(OnceLock::get) {
                let into = added.get_or_insert_with(Added::default);
                for (sum, count) in into.buckets.iter_mut().zip(&durations.buckets) {
                    *sum = sum.wrapping_add(count.value());
                }
                into.nanos = into.nanos.wrapping_add(durations.nanos.value());
            }
        }
        added
    }
}

#[derive(Debug, Default)]
struct Added {
    buckets: [u64; 17],
    nanos: u64,
}

impl EncodeMetric for Added {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let edges = DURATION_BUCKETS.iter().copied().chain([f64::MAX]);
        let buckets: Vec<(f64, u64)> = edges.zip(self.buckets).collect();
        let count = self.buckets.iter().sum();
        #[allow(clippy::cast_precision_loss)] // seconds since start, to the microsecond for decades
        let seconds = self.nanos as f64 / 1e9;
        encoder.encode_histogram::<NoLabelSet>(seconds, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

#[derive(Debug)]
struct Number(u64, MetricType);

impl EncodeMetric for Number {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        match self.1 {
            MetricType::Counter => encoder.encode_counter::<NoLabelSet, _, u64>(&self.0, None),
            _ => encoder.encode_gauge(&i64::try_from(self.0).unwrap_or(i64::MAX)),
        }
    }

    fn metric_type(&self) -> MetricType {
        self.1
    }
}

impl Collector for Page {
    fn encode(&self, mut out: DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_server(&mut out)?;
        self.encode_client(&mut out)?;
        self.encode_reasons(&mut out)?;
        for (name, help, kind, value) in self.plain_numbers() {
            let number = Number(value, kind);
            number.encode(out.encode_descriptor(name, help, None, number.metric_type())?)?;
        }
        let info = Number(1, MetricType::Gauge);
        let mut family = out.encode_descriptor(
            "mangrove_build",
            "The version that runs and the digest of the settled snapshot it serves",
            None,
            info.metric_type(),
        )?;
        let labels = [
            ("version", self.facts.version),
            ("digest", self.facts.digest.as_str()),
        ];
        info.encode(family.encode_family(&labels)?)
    }
}

impl Page {
    fn encode_server(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = out.encode_descriptor(
            "http_server_request_duration",
            "Duration of HTTP server requests, from the first byte of the head to the last of the answer",
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        for (v, version) in VERSIONS.iter().enumerate() {
            for (m, method) in METHODS.iter().enumerate() {
                for s in 0..STATUSES {
                    let at = (v * METHODS.len() + m) * STATUSES + s;
                    if let Some(added) = self.durations(|core| core.server.get(at)) {
                        let status = (s + 100).to_string();
                        let labels = [
                            ("http_request_method", *method),
                            ("http_response_status_code", status.as_str()),
                            ("network_protocol_version", *version),
                        ];
                        added.encode(family.encode_family(&labels)?)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn encode_client(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = out.encode_descriptor(
            "http_client_request_duration",
            "Duration of requests to origins, until the last byte of the answer",
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        for s in 0..=STATUSES {
            if let Some(added) = self.durations(|core| core.client.get(s)) {
                let status = if s == 0 {
                    "none".to_owned()
                } else {
                    (s + 99).to_string()
                };
                added.encode(
                    family.encode_family(&[("http_response_status_code", status.as_str())])?,
                )?;
            }
        }
        Ok(())
    }

    fn encode_reasons(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = out.encode_descriptor(
            "mangrove_reasons",
            "Requests and connections refused, cut or failed, by the reason's name",
            None,
            MetricType::Counter,
        )?;
        for reason in Reason::all() {
            let n = self.sum(|core| core.reason_count(reason));
            if n > 0 {
                let labels = [("reason", reason.name()), ("fault", reason.fault().name())];
                Number(n, MetricType::Counter).encode(family.encode_family(&labels)?)?;
            }
        }
        let mut family = out.encode_descriptor(
            "mangrove_cache_requests",
            "Requests by what the cache did about them and why, see docs/cache-decisions.md",
            None,
            MetricType::Counter,
        )?;
        for result in CacheResult::ALL {
            for &reason in CacheReason::ALL {
                let n = self.sum(|core| core.cache_count(result, reason));
                if n > 0 {
                    let labels = [("result", result.name()), ("reason", reason.name())];
                    Number(n, MetricType::Counter).encode(family.encode_family(&labels)?)?;
                }
            }
        }
        let mut family = out.encode_descriptor(
            "mangrove_cache_response_body_bytes",
            "Bytes of response bodies written, by what the cache did about their requests",
            None,
            MetricType::Counter,
        )?;
        for result in CacheResult::ALL {
            let n = self.sum(|core| core.cache_bytes_of(result));
            let labels = [("result", result.name())];
            Number(n, MetricType::Counter).encode(family.encode_family(&labels)?)?;
        }
        let mut family = out.encode_descriptor(
            "mangrove_cache_not_stored",
            "Answers that the cache did not keep, by the reason's name",
            None,
            MetricType::Counter,
        )?;
        for &why in NotStored::ALL {
            let n = self.sum(|core| core.not_stored_count(why));
            if n > 0 {
                let labels = [("reason", why.name())];
                Number(n, MetricType::Counter).encode(family.encode_family(&labels)?)?;
            }
        }
        let mut family = out.encode_descriptor(
            "mangrove_cache_purges",
            "Filters purged, by what they are about, and whether what they mean is gone (hard) or stale (soft)",
            None,
            MetricType::Counter,
        )?;
        for (kind, forces) in Kind::ALL.iter().zip(self.facts.purges.purges) {
            for (force, n) in ["hard", "soft"].into_iter().zip(forces) {
                if n > 0 {
                    let labels = [("kind", kind.name()), ("force", force)];
                    Number(n, MetricType::Counter).encode(family.encode_family(&labels)?)?;
                }
            }
        }
        limits::encode(&self.facts.limits, out)?;
        traits::encode(&self.cores, out)?;
        let mut family = out.encode_descriptor(
            "mangrove_module_panics",
            "Panics caught at a module's border",
            None,
            MetricType::Counter,
        )?;
        for &module in Module::ALL {
            let n = self.sum(|core| core.module_panics(module));
            Number(n, MetricType::Counter)
                .encode(family.encode_family(&[("module", module.name())])?)?;
        }
        Ok(())
    }

    fn plain_numbers(&self) -> [(&'static str, &'static str, MetricType, u64); 43] {
        use MetricType::{Counter, Gauge};
        let cache = &self.facts.cache;
        let store = &self.facts.store;
        [
            (
                "mangrove_cache_held_bytes",
                "Bytes that the cache's memory holds, of the ceiling in mangrove_cache_ceiling_bytes",
                Gauge,
                cache.held,
            ),
            (
                "mangrove_cache_ceiling_bytes",
                "The most bytes that the cache's memory may hold",
                Gauge,
                cache.ceiling,
            ),
            (
                "mangrove_cache_urls",
                "URLs of which something is kept",
                Gauge,
                cache.slots,
            ),
            (
                "mangrove_cache_evictions",
                "URLs that left the cache's memory because others needed their room",
                Counter,
                cache.evictions,
            ),
            (
                "mangrove_cache_refusals",
                "Answers that the cache's memory did not take: too large, not worth others' room, or no room to be made",
                Counter,
                cache.refused_too_large + cache.refused_not_worth_it + cache.refused_pinned,
            ),
            (
                "mangrove_cache_front_hits",
                "Looks into the cache that a core answered from its own front",
                Counter,
                self.sum(|c| c.cache_front_hits.value()),
            ),
            (
                "mangrove_cache_front_misses",
                "Looks into the cache that went on to the memory that all cores share, each under a lock",
                Counter,
                self.sum(|c| c.cache_front_misses.value()),
            ),
            (
                "mangrove_cache_fills",
                "Answers on their way from an origin, shared by whoever waits for them",
                Gauge,
                self.facts.fills,
            ),
            (
                "mangrove_cache_followers",
                "Requests that wait for, or read, an answer that another asked for",
                Gauge,
                self.facts.followers,
            ),
            (
                "mangrove_cache_fill_bytes",
                "Bytes of them that have arrived",
                Gauge,
                self.facts.fill_bytes,
            ),
            (
                "mangrove_store_in_use",
                "Whether the cache's disk is in use: 1, or 0 where there is none or it has failed",
                Gauge,
                u64::from(store.in_use),
            ),
            (
                "mangrove_store_objects",
                "Objects on the cache's disk",
                Gauge,
                store.held.objects as u64,
            ),
            (
                "mangrove_store_held_bytes",
                "Bytes that they take there",
                Gauge,
                store.held.bytes_held,
            ),
            (
                "mangrove_store_index_bytes",
                "Bytes of memory that finding them takes, beside the cache's memory",
                Gauge,
                store.held.index_bytes as u64,
            ),
            (
                "mangrove_store_evictions",
                "Objects that left the disk because others needed their room",
                Counter,
                store.held.evicted,
            ),
            (
                "mangrove_store_brought_bytes",
                "Bytes that the kernel was made to have in its memory before they were sent from there",
                Counter,
                store.held.bytes_brought,
            ),
            (
                "mangrove_store_poured_bytes",
                "Bytes that were read from the disk past the kernel's memory before they were sent",
                Counter,
                store.held.bytes_poured,
            ),
            (
                "mangrove_store_damaged",
                "Records on disk that were not what was written, and were thrown away",
                Counter,
                store.held.damaged,
            ),
            (
                "mangrove_cache_purge_entries",
                "Filters of purges that are remembered",
                Gauge,
                self.facts.purges.entries,
            ),
            (
                "mangrove_cache_purge_bytes",
                "Bytes that remembering them takes",
                Gauge,
                self.facts.purges.bytes,
            ),
            (
                "mangrove_cache_purges_folded",
                "Filters that made room for others by becoming one about a whole site: more was purged than was asked",
                Counter,
                self.facts.purges.folded,
            ),
            (
                "mangrove_cache_swept_urls",
                "URLs that gave their memory back after a purge",
                Counter,
                self.facts.purges.urls,
            ),
            (
                "mangrove_cache_swept_answers",
                "Answers that gave their memory back after a purge",
                Counter,
                self.facts.purges.variants,
            ),
            (
                "mangrove_http2_ahead_bytes",
                "Bytes of answers that were taken from origins and wait for HTTP/2 clients",
                Gauge,
                self.facts.http2_ahead_bytes,
            ),
            (
                "http_server_active_requests",
                "Requests being worked on",
                Gauge,
                self.sum(|c| c.active_requests.value()),
            ),
            (
                "http_server_request_body_bytes",
                "Bytes of request bodies read",
                Counter,
                self.sum(|c| c.request_body_bytes.value()),
            ),
            (
                "http_server_response_body_bytes",
                "Bytes of response bodies written",
                Counter,
                self.sum(|c| c.response_body_bytes.value()),
            ),
            (
                "mangrove_response_file_bytes",
                "Bytes of response bodies that the kernel sent from the disk tier's files, without a copy",
                Counter,
                self.sum(|c| c.response_file_bytes.value()),
            ),
            (
                "mangrove_connections_accepted",
                "Connections accepted",
                Counter,
                self.sum(|c| c.connections_accepted.value()),
            ),
            (
                "mangrove_connections_open",
                "Connections open now",
                Gauge,
                self.sum(|c| c.connections_open.value()),
            ),
            (
                "mangrove_tls_handshakes",
                "TLS handshakes completed",
                Counter,
                self.sum(|c| c.tls_handshakes.value()),
            ),
            (
                "mangrove_tls_handshakes_resumed",
                "TLS handshakes that resumed a session",
                Counter,
                self.sum(|c| c.tls_resumed.value()),
            ),
            (
                "mangrove_tls_handshakes_unnamed",
                "TLS handshakes with a client that has no fingerprint",
                Counter,
                self.sum(|c| c.tls_unnamed.value()),
            ),
            (
                "mangrove_tls_handshakes_waited",
                "TLS handshakes that had to wait for their turn, because more were wanted than a core can make at once",
                Counter,
                self.sum(|c| c.tls_waited.value()),
            ),
            (
                "mangrove_tls_handshakes_waiting",
                "Places taken by TLS handshakes that wait for their turn, also of clients that have hung up since",
                Gauge,
                self.sum(|c| c.tls_waiting.value()),
            ),
            (
                "mangrove_origin_connects",
                "Connections opened to origins",
                Counter,
                self.sum(|c| c.origin_connects.value()),
            ),
            (
                "mangrove_origin_reuses",
                "Requests sent on a kept origin connection",
                Counter,
                self.sum(|c| c.origin_reuses.value()),
            ),
            (
                "mangrove_origin_retries",
                "Requests sent to an origin again",
                Counter,
                self.sum(|c| c.origin_retries.value()),
            ),
            (
                "mangrove_log_lines_dropped",
                "Access log lines that the bounded queue could not take",
                Counter,
                self.sum(|c| c.log_dropped.value()),
            ),
            (
                "mangrove_log_lines_written",
                "Access log lines written",
                Counter,
                self.facts.log_written,
            ),
            (
                "mangrove_log_lines_failed",
                "Access log lines that the disk or the pipe refused",
                Counter,
                self.facts.log_failed,
            ),
            (
                "mangrove_sites",
                "Sites in the settled snapshot",
                Gauge,
                self.facts.sites as u64,
            ),
            (
                "mangrove_cores",
                "Cores serving",
                Gauge,
                self.cores.len() as u64,
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_adds_cores_up_under_opentelemetry_names() {
        let cores = vec![Arc::new(CoreMetrics::new(0)), Arc::new(CoreMetrics::new(1))];
        for core in &cores {
            core.request_finished(Version::Http11, Method::Get, 200, 700_000);
            core.reason(Reason::Edge(crate::reason::EdgeReason::UnknownHost));
        }
        let page = render(
            &cores,
            EdgeFacts {
                digest: "abc".into(),
                version: "0",
                ..EdgeFacts::default()
            },
        )
        .unwrap();
        let line = "http_server_request_duration_seconds_bucket{le=\"0.001\",http_request_method=\"GET\",http_response_status_code=\"200\",network_protocol_version=\"1.1\"} 2";
        assert!(page.contains(line), "{page}");
        assert!(
            page.contains("mangrove_reasons_total{reason=\"unknown-host\",fault=\"visitor\"} 2"),
            "{page}"
        );
        assert!(page.contains("digest=\"abc\""));
    }

    #[test]
    fn no_status_however_odd_leaves_the_table() {
        let core = CoreMetrics::new(0);
        for status in [0, 99, 100, 599, 600, u16::MAX] {
            core.request_finished(Version::Http2, Method::Other, status, u64::MAX);
            core.origin_finished(Some(status), 1);
        }
        core.origin_finished(None, 1);
    }
}
