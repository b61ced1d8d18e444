//! The operator's door to one URL: everything that is kept of it, where, and what a visitor gets now.

use std::sync::Arc;

use mangrove_cache::Rules;
use mangrove_config::PathPolicy;
use mangrove_http::{Scheme, UnixMillis};
use serde_json::{Value, json};

use super::Edge;
use super::cache_door::{KeptUnder, hosting, named, site_name, text_of};
use super::explain::{self, VARIANTS_TOLD};
use super::parameters::{Parameter, Parameters, Url};
use super::whereabouts::{Whereabouts, as_found, under_key};
use crate::admin::Reply;
use crate::cache::{Object, SeenOnDisk};
use crate::snapshot::SharedSnapshot;

/// What is kept under one key, in memory and on the disk.
struct Under {
    kept: KeptUnder,
    all: Vec<Whereabouts>,
}

impl Edge {
    /// `GET /cache/show?url=URL[&site=NAME]`: everything kept of a URL, and what a visitor gets now.
    pub async fn cache_show(&self, query: Option<&[u8]>) -> Reply {
        self.show(query).await.unwrap_or_else(|refused| refused)
    }

    async fn show(&self, query: Option<&[u8]>) -> Result<Reply, Reply> {
        let known = [Parameter::Value("site"), Parameter::Value("url")];
        let said = Parameters::read(query, &known)?;
        let Some(url) = said.value("url") else {
            return Err(Reply::error(400, "say which URL: url=URL"));
        };
        let url = Url::read(url)?;
        let snapshot = Arc::clone(&self.snapshot.borrow());
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
        let mut unseen = self.cache.disk().and_then(|disk| disk.out_of_sight());
        let under = self
            .all_under(name, &url, url.scheme, &rules, &mut unseen)
            .await;
        let as_seen = match sees_normal(&snapshot, site) {
            true => under.first(),
            false => under.last(),
        };
        let now = self.clock.wall();
        let told = told_of(&under, &url, &rules, now);
        let left_out = under.iter().map(|under| under.all.len()).sum::<usize>();
        let memory = self.cache.memory();
        let fills: Vec<Value> = under
            .iter()
            .flat_map(|under| {
                let key = &under.kept.key;
                let fills = self.cache.fills().report(memory.hash(key), key);
                let to_disk = self.cache.disk().map(|disk| disk.under_way(Some(key)));
                let to_disk = to_disk.unwrap_or_default();
                let fills = fills.into_iter().chain(to_disk);
                fills.map(|report| explain::fill(&report))
            })
            .collect();
        let plain = as_seen.map(|under| plain_get(under, &url, &rules, now));
        let mut elsewhere = None;
        if told.is_empty() {
            elsewhere = self.elsewhere_too(name, &url, &rules, &mut unseen).await;
        }
        let known = self.cache.disk().map(|disk| disk.is_all_known());
        Ok(Reply::json(
            200,
            &json!({
                "site": name,
                "url": as_seen.map(|under| text_of(&under.kept.key)),
                "cached": rules.on,
                "left_out": left_out.saturating_sub(told.len()),
                "kept": told,
                "fills": fills,
                "plain_get": plain,
                "elsewhere": elsewhere,
                "disk": known.map(|known| json!({ "all_known": known, "why": unseen })),
            }),
        ))
    }

    /// What is kept under the keys that a URL may have. What of it could not be looked at, and why, goes into `unseen`.
    async fn all_under(
        &self,
        site: &str,
        url: &Url,
        scheme: Scheme,
        rules: &Rules,
        unseen: &mut Option<String>,
    ) -> Vec<Under> {
        let mut under = Vec::new();
        for kept in self.kept_under(site, url, scheme, rules) {
            let mut seen: Vec<SeenOnDisk> = Vec::new();
            if let (Some(disk), None) = (self.cache.disk(), &unseen) {
                match disk.see(&kept.key).await {
                    Ok(there) => seen = there,
                    Err(why) => *unseen = Some(why.to_string()),
                }
            }
            let is_alive = |object: &Object| kept.is_alive(object);
            // What memory has is known to lie there without its being read.
            let places = self.cache.disk().map(|disk| disk.places(&kept.key));
            let places = places.unwrap_or_default();
            let all = under_key(kept.resource(), &places, &seen, Some(rules), is_alive);
            under.push(Under { kept, all });
        }
        under
    }

    /// The same URL under the other scheme, if something is kept of that.
    async fn elsewhere_too(
        &self,
        site: &str,
        url: &Url,
        rules: &Rules,
        unseen: &mut Option<String>,
    ) -> Option<String> {
        let other = other(url.scheme);
        let under = self.all_under(site, url, other, rules, unseen).await;
        let there = under.iter().find(|under| !under.all.is_empty())?;
        Some(text_of(&there.kept.key))
    }
}

/// http for https, and https for http.
pub(super) fn other(scheme: Scheme) -> Scheme {
    match scheme {
        Scheme::Http => Scheme::Https,
        Scheme::Https => Scheme::Http,
    }
}

fn told_of(under: &[Under], url: &Url, rules: &Rules, now: UnixMillis) -> Vec<Value> {
    let all = under
        .iter()
        .flat_map(|under| under.all.iter().map(move |known| (under, known)));
    all.take(VARIANTS_TOLD)
        .map(|(under, known)| {
            let mut told = explain::variant(&known.object, &url.request, &url.normal, rules, now);
            if let Some(told) = told.as_object_mut() {
                told.insert("url".into(), text_of(&under.kept.key).into());
                known.tell(told);
            }
            told
        })
        .collect()
}

fn plain_get(under: &Under, url: &Url, rules: &Rules, now: UnixMillis) -> Value {
    let is_alive = |object: &Object| under.kept.is_alive(object);
    let found = as_found(&under.all, &url.request, rules, is_alive);
    explain::plain_get(&found, &url.request, &url.normal, rules, is_alive, now)
}

/// Whether keys are made of the normal path, as the origin sees it.
fn sees_normal(snapshot: &SharedSnapshot, site: u32) -> bool {
    let site = usize::try_from(site)
        .ok()
        .and_then(|at| snapshot.settled.sites.get(at));
    site.is_none_or(|site| site.path == PathPolicy::Normalized)
}
