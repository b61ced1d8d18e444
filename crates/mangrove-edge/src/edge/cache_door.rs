//! The operator's doors to the cache: here what it holds in numbers, and what the other two begin with; what it holds one by
//! one in `list_door.rs`, of one URL in `show_door.rs`.
//!
//! Whoever asks is told in JSON; the words a person reads are made by the command line. What was purged is told by nobody,
//! whether its memory has been given back or not.

use std::sync::Arc;
use std::time::Duration;

use mangrove_cache::memory::Slot;
use mangrove_cache::purge::SiteLedger;
use mangrove_cache::{Rules, write_key};
use mangrove_http::Scheme;
use mangrove_store::{Health, Progress};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::core_thread::CoreOrder;
use super::parameters::Url;
use super::show_door::other;
use super::{Edge, STALLED};
use crate::admin::Reply;
use crate::cache::{CacheResult, Object, Resource, prefix_of, split_key};
use crate::snapshot::SharedSnapshot;

/// Sites that are named where a name is wrong; the rest are counted.
pub(crate) const SITES_NAMED: usize = 20;
/// How long a core may take to tell of its front before its numbers are left out.
pub(crate) const FRONT_PATIENCE: Duration = STALLED;

/// How long the scan goes on before it is said how long it will: its first slab may be unlike the others.
pub(crate) const TELLING: Duration = Duration::from_secs(1);

/// What is kept under one key.
pub(super) struct KeptUnder {
    pub(super) key: Vec<u8>,
    slot: Option<Arc<Slot<Resource>>>,
    ledger: Arc<SiteLedger>,
}

impl KeptUnder {
    /// All that memory has.
    pub(super) fn resource(&self) -> Option<&Resource> {
        self.slot.as_deref().map(Slot::value)
    }

    /// What was not purged.
    pub(super) fn living(&self) -> impl Iterator<Item = &Arc<Object>> {
        let variants = self.slot.iter().flat_map(|slot| &slot.value().variants);
        variants.filter(|object| self.is_alive(object))
    }

    pub(super) fn is_alive(&self, object: &Object) -> bool {
        object.is_alive(&self.ledger, url_of(&self.key))
    }
}

impl Edge {
    /// `GET /cache`: how much the cache holds and has done.
    pub async fn cache_statistics(&self) -> Reply {
        let waiting: Vec<_> = self
            .cores
            .iter()
            .map(|core| {
                let (tell, told) = oneshot::channel();
                let _ = core.orders.send(CoreOrder::Front(tell));
                told
            })
            .collect();
        let (mut hits, mut misses, mut silent) = (0u64, 0u64, 0u64);
        for told in waiting {
            match tokio::time::timeout(FRONT_PATIENCE, told).await {
                Ok(Ok(front)) => {
                    hits += front.hits;
                    misses += front.misses;
                }
                _ => silent += 1,
            }
        }
        let tally = self.tally();
        let by_result = |counts: [u64; CacheResult::ALL.len()]| {
            let names = CacheResult::ALL
                .iter()
                .map(|result| result.name().to_owned());
            Value::Object(names.zip(counts.map(Value::from)).collect())
        };
        let disk = self.disk_statistics().await;
        let (memory, fills) = (self.cache.memory().statistics(), self.cache.fills());
        let (waste, spared) = (self.cache.waste(), self.cache.spared_waste());
        Reply::json(
            200,
            &json!({
                "requests": by_result(tally.requests),
                "response_body_bytes": by_result(tally.bytes),
                "memory": {
                    "ceiling_bytes": memory.ceiling,
                    "held_bytes": memory.held,
                    "kept_bytes": memory.kept,
                    "beside": {
                        "bytes": waste,
                        "spared_bytes": spared,
                        "counted_bytes": waste.saturating_sub(spared),
                    },
                    "urls": memory.slots,
                    "hits": memory.hits,
                    "misses": memory.misses,
                    "insertions": memory.insertions,
                    "replacements": memory.replacements,
                    "removals": memory.removals,
                    "evictions": memory.evictions,
                    "evictions_pinned": memory.evictions_pinned,
                    "refused": {
                        "too_large": memory.refused_too_large,
                        "not_worth_it": memory.refused_not_worth_it,
                        "pinned": memory.refused_pinned,
                    },
                },
                "disk": disk,
                "fronts": { "hits": hits, "misses": misses, "silent_cores": silent },
                "fills": {
                    "ceiling_bytes": fills.ceiling(),
                    "held_bytes": fills.held(),
                    "under_way": self.cache.under_way(),
                },
            }),
        )
    }

    /// What the disk tier holds; null without one. Every object there is looked at, which takes the keeper's thread from nobody.
    async fn disk_statistics(&self) -> Value {
        let Some(disk) = self.cache.disk() else {
            return Value::Null;
        };
        let cache = Arc::clone(&self.cache);
        let counted = tokio::task::spawn_blocking(move || cache.disk()?.report()).await;
        let Some((health, held, scan)) = counted.ok().flatten() else {
            return json!({
                "ceiling_bytes": disk.bytes(),
                "in_use": false,
                "why": disk.out_of_sight(),
            });
        };
        let trouble = match health {
            Health::Well => Value::Null,
            Health::OutOfUse(trouble) => json!(trouble.to_string()),
        };
        json!({
            "ceiling_bytes": disk.bytes(),
            "in_use": trouble.is_null(),
            "why": trouble,
            "held_bytes": held.bytes_held,
            "waiting_bytes": disk.waiting_bytes(),
            "objects": held.objects,
            "complete": held.complete,
            "index_bytes": held.index_bytes,
            "slabs": held.slabs,
            "written": held.written,
            "written_bytes": held.bytes_written,
            "evicted": held.evicted,
            "promoted": held.promoted,
            "replaced": held.replaced,
            "refused": held.refused,
            "lost": held.lost,
            "damaged": held.damaged,
            "read_failures": held.read_failures,
            "brought_bytes": held.bytes_brought,
            "poured_bytes": held.bytes_poured,
            "quotas": disk
                .quotas()
                .into_iter()
                .map(|(site, held, quota)| json!({ "site": site, "held_bytes": held, "ceiling_bytes": quota }))
                .collect::<Vec<_>>(),
            "scan": {
                "over": scan.is_over,
                "bytes": scan.bytes,
                "bytes_done": scan.bytes_done,
                "records": scan.records,
                "damaged": scan.damaged,
                "foreign": scan.foreign,
                "seconds": scan.took.as_secs(),
                "seconds_left": seconds_left(&scan),
            },
        })
    }

    /// The same URL under the other scheme, if memory has something of that: the mistake one makes at night.
    pub(super) fn elsewhere(&self, site: &str, url: &Url, rules: &Rules) -> Option<String> {
        let under = self.kept_under(site, url, other(url.scheme), rules);
        let holds = |kept: &&KeptUnder| kept.living().next().is_some();
        under.iter().find(holds).map(|kept| text_of(&kept.key))
    }

    /// What is kept under the keys that a URL may have: that of its normal path, and that of the path as it is written,
    /// where those differ.
    pub(super) fn kept_under(
        &self,
        site: &str,
        url: &Url,
        scheme: Scheme,
        rules: &Rules,
    ) -> Vec<KeptUnder> {
        let ledger = self.cache.ledger().site(site);
        let written = url.is_spelled_otherwise().then(|| url.request.path());
        let paths = [Some(url.normal.as_slice()), written];
        paths
            .into_iter()
            .flatten()
            .map(|path| {
                let mut key = prefix_of(site);
                write_key(rules, scheme, &url.request, path, &mut key);
                let slot = self.cache.peek(&key);
                let ledger = Arc::clone(&ledger);
                KeptUnder { key, slot, ledger }
            })
            .collect()
    }
}

/// How long the scan will still take if it goes on as it has; none before that can be told.
fn seconds_left(scan: &Progress) -> Option<u64> {
    let took = scan.took.as_millis();
    let left = scan.bytes.saturating_sub(scan.bytes_done);
    match (scan.is_over, scan.bytes_done) {
        (true, _) => Some(0),
        (false, 0) => None,
        (false, _) if scan.took < TELLING => None,
        (false, done) => {
            let millis = took.saturating_mul(left.into()) / u128::from(done);
            u64::try_from(millis.div_ceil(1000)).ok()
        }
    }
}

pub(super) fn url_of(key: &[u8]) -> &[u8] {
    split_key(key).map_or(key, |(_, url)| url)
}

/// The URL of a key, or any other text.
pub(super) fn text_of(key: &[u8]) -> String {
    String::from_utf8_lossy(url_of(key)).into_owned()
}

pub(super) fn site_name(snapshot: &SharedSnapshot, site: u32) -> &str {
    let site = usize::try_from(site)
        .ok()
        .and_then(|at| snapshot.settled.sites.get(at));
    site.map_or("", |site| &site.name)
}

pub(super) fn named(snapshot: &SharedSnapshot, name: &str) -> Result<u32, Reply> {
    snapshot.site_named(name).ok_or_else(|| {
        let sites = sites(snapshot);
        Reply::error(
            404,
            format!("there is no site {name:?}; there are: {sites}"),
        )
    })
}

pub(super) fn hosting(snapshot: &SharedSnapshot, host: &[u8]) -> Result<u32, Reply> {
    snapshot.site_of(host).ok_or_else(|| {
        let (host, sites) = (text_of(host), sites(snapshot));
        Reply::error(
            404,
            format!("no site has the host {host}; there are: {sites}"),
        )
    })
}

fn sites(snapshot: &SharedSnapshot) -> String {
    let all = &snapshot.settled.sites;
    let names: Vec<&str> = all
        .iter()
        .take(SITES_NAMED)
        .map(|site| site.name.as_str())
        .collect();
    let more = match all.len().saturating_sub(SITES_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    names.join(", ") + &more
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scan_goes_on_as_it_has_as_far_as_anybody_knows() {
        let scan = |took: u64, done: u64| Progress {
            took: Duration::from_millis(took),
            bytes: 1000,
            bytes_done: done,
            ..Progress::default()
        };
        for (took, done, left) in [
            (4_000, 250, Some(12)),
            (4_000, 1_000, Some(0)),
            (4_000, 1_001, Some(0)),
            (1_000, 999, Some(1)),
            (999, 500, None),
            (60_000, 0, None),
        ] {
            assert_eq!(seconds_left(&scan(took, done)), left, "{took} {done}");
        }
        let over = Progress {
            is_over: true,
            ..scan(0, 0)
        };
        assert_eq!(seconds_left(&over), Some(0));
    }
}
