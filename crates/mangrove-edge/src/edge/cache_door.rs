//! The operator's doors to the cache: what it holds and why.
//!
//! Whoever asks is told in JSON; the words a person reads are made by the command line. What was purged is told by nobody,
//! whether its memory has been given back or not.

use std::sync::Arc;
use std::time::Duration;

use mangrove_cache::memory::Slot;
use mangrove_cache::purge::SiteLedger;
use mangrove_cache::{Rules, write_key};
use mangrove_config::PathPolicy;
use mangrove_http::Scheme;
use mangrove_store::Health;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::core_thread::CoreOrder;
use super::explain::{self, VARIANTS_TOLD};
use super::parameters::{Parameter, Parameters, Url};
use super::{CoreHandle, Edge, STALLED};
use crate::admin::Reply;
use crate::cache::{CacheResult, Object, Resource, prefix_of, split_key};
use crate::snapshot::SharedSnapshot;

/// Places of the memory that are looked at together; a page of the list ends with the first so many URLs.
pub(crate) const LIST_URLS: u32 = 256;
/// The most times that so many places are looked at for one page, should few of them hold what is wanted.
pub(crate) const LIST_PAGES: usize = 256;
/// Sites that are named where a name is wrong; the rest are counted.
pub(crate) const SITES_NAMED: usize = 20;
/// How long a core may take to tell of its front before its numbers are left out.
pub(crate) const FRONT_PATIENCE: Duration = STALLED;

/// What is kept under one key.
pub(super) struct KeptUnder {
    pub(super) key: Vec<u8>,
    slot: Option<Arc<Slot<Resource>>>,
    ledger: Arc<SiteLedger>,
}

impl KeptUnder {
    /// What was not purged.
    pub(super) fn living(&self) -> impl Iterator<Item = &Arc<Object>> {
        let variants = self.slot.iter().flat_map(|slot| &slot.value().variants);
        variants.filter(|object| self.is_alive(object))
    }

    fn is_alive(&self, object: &Object) -> bool {
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
        let requests: serde_json::Map<String, Value> = CacheResult::ALL
            .iter()
            .map(|&result| {
                let of_core = |core: &CoreHandle| {
                    let reasons = mangrove_cache::Reason::ALL.iter();
                    reasons
                        .map(|&reason| core.metrics.cache_count(result, reason))
                        .sum::<u64>()
                };
                let count: u64 = self.cores.iter().map(of_core).sum();
                (result.name().to_owned(), count.into())
            })
            .collect();
        let (memory, fills) = (self.cache.memory().statistics(), self.cache.fills());
        Reply::json(
            200,
            &json!({
                "requests": requests,
                "memory": {
                    "ceiling_bytes": memory.ceiling,
                    "held_bytes": memory.held,
                    "kept_bytes": memory.kept,
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
                "disk": self.disk_statistics(),
                "fronts": { "hits": hits, "misses": misses, "silent_cores": silent },
                "fills": {
                    "ceiling_bytes": fills.ceiling(),
                    "held_bytes": fills.held(),
                    "under_way": fills.len(),
                },
            }),
        )
    }

    /// What the disk tier holds; null without one.
    fn disk_statistics(&self) -> Value {
        let Some(disk) = self.cache.disk() else {
            return Value::Null;
        };
        let Some((health, held, scan)) = disk.report() else {
            return json!({
                "ceiling_bytes": disk.bytes(),
                "in_use": false,
                "why": "another edge, that ends, still has the store, or it could not be opened",
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
            "scan": {
                "over": scan.is_over,
                "bytes": scan.bytes,
                "bytes_done": scan.bytes_done,
                "records": scan.records,
                "damaged": scan.damaged,
                "foreign": scan.foreign,
            },
        })
    }

    /// `GET /cache/list?site=NAME&from=N`: some of the URLs of which something is kept, in no order.
    pub async fn cache_list(&self, query: Option<&[u8]>) -> Reply {
        match self.wanted_of_list(query) {
            Ok((site, from)) => self.list(site.as_deref(), from).await,
            Err(refused) => refused,
        }
    }

    fn wanted_of_list(&self, query: Option<&[u8]>) -> Result<(Option<String>, u32), Reply> {
        let known = [Parameter::Value("site"), Parameter::Value("from")];
        let said = Parameters::read(query, &known)?;
        let from = match said.value("from").map(str::parse) {
            None => 0,
            Some(Ok(from)) => from,
            Some(Err(_)) => {
                let why = "from is the `next` of the page before, or left out for the first";
                return Err(Reply::error(400, why));
            }
        };
        let site = said.value("site");
        if let Some(name) = site {
            named(&self.snapshot.borrow(), name)?;
        }
        Ok((site.map(str::to_owned), from))
    }

    async fn list(&self, site: Option<&str>, from: u32) -> Reply {
        let (mut rows, mut next): (Vec<Value>, _) = (Vec::new(), Some(from));
        for _ in 0..LIST_PAGES {
            let Some(from) = next.filter(|_| rows.len() < LIST_URLS as usize) else {
                break;
            };
            let page = self.cache.memory().page(from, LIST_URLS);
            rows.extend(page.slots.iter().filter_map(|slot| {
                let (name, url) = split_key(slot.key())?;
                let name = std::str::from_utf8(name).ok()?;
                if site.is_some_and(|site| site != name) {
                    return None;
                }
                let (ledger, now) = (self.cache.ledger().site(name), self.clock.wall());
                let is_alive = |object: &Object| object.is_alive(&ledger, url);
                explain::row(name.as_bytes(), url, slot.value(), is_alive, now)
            }));
            next = page.next;
            tokio::task::yield_now().await; // others ask the keeper too
        }
        Reply::json(200, &json!({ "kept": rows, "next": next }))
    }

    /// `GET /cache/show?url=URL[&site=NAME]`: everything kept of a URL, and what a visitor gets now.
    pub fn cache_show(&self, query: Option<&[u8]>) -> Reply {
        self.show(query).unwrap_or_else(|refused| refused)
    }

    fn show(&self, query: Option<&[u8]>) -> Result<Reply, Reply> {
        let known = [Parameter::Value("site"), Parameter::Value("url")];
        let said = Parameters::read(query, &known)?;
        let Some(url) = said.value("url") else {
            return Err(Reply::error(400, "say which URL: url=URL"));
        };
        let url = Url::read(url)?;
        let snapshot = self.snapshot.borrow();
        let site = match said.value("site") {
            Some(name) => named(&snapshot, name)?,
            None => hosting(&snapshot, url.request.host())?,
        };
        let name = site_name(&snapshot, site);
        let Some(rules) = snapshot.rules(site) else {
            return Ok(Reply::json(
                200,
                &json!({ "site": name, "cached": false, "kept": [], "left_out": 0, "fills": [], "elsewhere": null }),
            ));
        };
        let now = self.clock.wall();
        let under = self.kept_under(name, &url, url.scheme, &rules);
        let as_seen = match sees_normal(&snapshot, site) {
            true => under.first(),
            false => under.last(),
        };
        let path = &url.normal;
        let variants = || {
            under
                .iter()
                .flat_map(|kept| kept.living().map(move |object| (&kept.key, object)))
        };
        let told: Vec<Value> = variants()
            .take(VARIANTS_TOLD)
            .map(|(key, object)| {
                let mut told = explain::variant(object, &url.request, path, &rules, now);
                if let (Some(told), Some((_, url))) = (told.as_object_mut(), split_key(key)) {
                    told.insert("url".into(), String::from_utf8_lossy(url).into());
                }
                told
            })
            .collect();
        let memory = self.cache.memory();
        let fills: Vec<Value> = under
            .iter()
            .flat_map(|kept| {
                let fills = self.cache.fills().report(memory.hash(&kept.key), &kept.key);
                fills.into_iter().map(|report| explain::fill(&report))
            })
            .collect();
        let resource = as_seen.and_then(|kept| kept.slot.as_ref().map(|slot| slot.value()));
        let is_alive = |object: &Object| as_seen.is_some_and(|kept| kept.is_alive(object));
        let plain = explain::plain_get(resource, &url.request, path, &rules, is_alive, now);
        Ok(Reply::json(
            200,
            &json!({
                "site": name,
                "url": as_seen.map(|kept| text_of(&kept.key)),
                "cached": rules.on,
                "kept": told,
                "left_out": variants().count().saturating_sub(VARIANTS_TOLD),
                "fills": fills,
                "plain_get": plain,
                "elsewhere": self.elsewhere(name, &url, &rules),
            }),
        ))
    }

    /// The same URL under the other scheme, if something is kept of that: the mistake one makes at night.
    pub(super) fn elsewhere(&self, site: &str, url: &Url, rules: &Rules) -> Option<String> {
        let other = match url.scheme {
            Scheme::Http => Scheme::Https,
            Scheme::Https => Scheme::Http,
        };
        let under = self.kept_under(site, url, other, rules);
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

/// Whether keys are made of the normal path, as the origin sees it.
fn sees_normal(snapshot: &SharedSnapshot, site: u32) -> bool {
    let site = usize::try_from(site)
        .ok()
        .and_then(|at| snapshot.settled.sites.get(at));
    site.is_none_or(|site| site.path == PathPolicy::Normalized)
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
