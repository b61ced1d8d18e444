//! `PURGE`: a URL is let go of by whoever the site lets, with a request for that URL.
//!
//! The way of applications that know nothing of Mangrove: they send it to the address that visitors use. Therefore it means
//! the URL under http and https alike. It never goes on to an origin.

use std::rc::Rc;
use std::sync::Arc;

use mangrove_cache::purge::{Filter, Force, Kind};
use mangrove_cache::write_key;
use mangrove_http::{Method, Refusal, RequestHead, Scheme};
use serde_json::json;

use super::answer::{Answer, answer_told};
use super::plan::Planned;
use super::record::Story;
use super::refused::answer_refused;
use crate::cache::SiteCache;
use crate::edge::purge_door::{tell_durable, tell_folded};
use crate::reason::EdgeReason;

/// `1` in this field leaves what is kept to be served stale.
const SOFT: &[u8] = b"soft-purge";

/// Whether a request is one.
pub(super) fn is_purge(head: &RequestHead) -> bool {
    head.method() == Method::Other && head.method_bytes() == b"PURGE"
}

/// Does it, if the visitor's address is one of those that may; answers when it outlives the process.
pub(super) async fn purge(planned: &mut Planned) -> Answer {
    let site = Rc::clone(planned.site());
    let story = planned.story_mut();
    let mut listed = site.purge_from.iter();
    let (true, Some(cache)) = (
        listed.any(|network| network.contains(story.client)),
        &site.cache,
    ) else {
        return answer_refused(story, Refusal::PurgeNotAllowed.into());
    };
    let Some(filters) = filters_of(story, cache) else {
        return answer_refused(story, EdgeReason::InternalError.into());
    };
    let force = match is_soft(&story.head) {
        true => Force::Soft,
        false => Force::Hard,
    };
    let shared = Arc::clone(&story.core.cache.shared);
    let now = story.core.clock.wall();
    let entered = shared.purge(&site.name, &filters, force, now);
    let durable = shared.make_durable(&site.name, &filters, force, now, &entered);
    let (durable, why) = tell_durable(durable.await);
    let shown = |filter: &Filter| String::from_utf8_lossy(filter.text()).into_owned();
    let told = json!({
        "site": site.name,
        "purge": Kind::Url.name(),
        "soft": force == Force::Soft,
        "filters": filters.iter().map(shown).collect::<Vec<_>>(),
        "generation": entered.generation.0,
        "folded": tell_folded(&entered),
        "durable": durable,
        "not_durable_because": why,
    });
    answer_told(story, &told)
}

/// The keys that the request's URL may have: under both schemes, and of the path as it came where that is another.
fn filters_of(story: &Story, cache: &SiteCache) -> Option<Vec<Filter>> {
    let mut paths = vec![story.path()];
    if story.head.path() != story.path() {
        paths.push(story.head.path());
    }
    let mut filters = Vec::new();
    for scheme in [Scheme::Http, Scheme::Https] {
        for path in &paths {
            let mut key = Vec::new();
            write_key(&cache.rules, scheme, &story.head, path, &mut key);
            filters.push(Filter::read(Kind::Url, &key).ok()?);
        }
    }
    Some(filters)
}

fn is_soft(head: &RequestHead) -> bool {
    let mut fields = head.fields();
    fields.any(|field| field.name.eq_ignore_ascii_case(SOFT) && field.value == b"1")
}
