//! Plan: where the answer will come from: a site's own words, what the cache keeps, or the origins.

use std::rc::Rc;

use mangrove_cache::{Action, Decision};

use super::cached::{Looked, look};
use super::inspect::Inspected;
use super::purged::is_purge;
use super::record::Story;
use crate::answer_head::Prepared;
use crate::cache::{CacheTale, Found, Kept};
use crate::origin::Upstreams;
use crate::snapshot::{Site, SiteKind};

/// Where an answer comes from.
#[derive(Debug)]
pub enum Plan {
    /// An answer that is the same for everyone.
    Prepared(Rc<Prepared>),
    /// The built-in sample site.
    Sample,
    /// What the cache keeps.
    Kept(Rc<Upstreams>, Kept, Decision),
    /// Nobody: the visitor wants no other answer than the cache's, and it has none.
    Unanswerable,
    /// Nobody: it is an order to let go of what is kept, or would be one if its client might give it.
    Purge,
    /// The site's origins, perhaps with what the cache knows.
    Fetch(Rc<Upstreams>, Option<Box<Looked>>),
}

/// A request that knows where its answer will come from.
#[derive(Debug)]
pub struct Planned {
    story: Box<Story>,
    site: Rc<Site>,
    plan: Plan,
}

/// Decides.
pub fn plan(inspected: Inspected) -> Planned {
    let (mut story, site) = inspected.into_parts();
    let plan = match &site.kind {
        SiteKind::Respond(prepared) => Plan::Prepared(Rc::clone(prepared)),
        SiteKind::Sample => Plan::Sample,
        SiteKind::Origins(_) if is_purge(&story.head) => Plan::Purge,
        SiteKind::Origins(upstreams) => from_origins(&mut story, &site, upstreams),
    };
    Planned { story, site, plan }
}

fn from_origins(story: &mut Story, site: &Rc<Site>, upstreams: &Rc<Upstreams>) -> Plan {
    let cache = match &site.cache {
        Some(cache) if !story.upgrade => cache,
        _ => return Plan::Fetch(Rc::clone(upstreams), None),
    };
    let (found, decision) = look(story, site, cache);
    let serves = matches!(decision.action, Action::Serve | Action::ServeStale { .. });
    if serves && let Some(kept) = found.as_ref().and_then(Found::kept) {
        return Plan::Kept(Rc::clone(upstreams), kept, decision);
    }
    story.cache = Some(CacheTale::of(decision));
    if decision.action == Action::Refuse && !may_be_on_disk(story) {
        return Plan::Unanswerable;
    }
    let looked = found.map(|found| Looked::new(&story.core, found, decision));
    Plan::Fetch(Rc::clone(upstreams), looked)
}

/// Whether the disk tier may have what memory has not, for the key of the last look.
fn may_be_on_disk(story: &Story) -> bool {
    let cache = &story.core.cache;
    let disk = cache.shared.disk();
    disk.is_some_and(|disk| cache.with_key(|key| disk.may_have(key)))
}

impl Planned {
    /// The decision.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The request.
    pub fn story(&self) -> &Story {
        &self.story
    }

    /// The request, to be filled in by the fetch.
    pub fn story_mut(&mut self) -> &mut Story {
        &mut self.story
    }

    /// Whose request it is.
    pub fn site(&self) -> &Rc<Site> {
        &self.site
    }

    /// What the cache knows of what is to be fetched.
    pub(super) fn take_looked(&mut self) -> Option<Box<Looked>> {
        match &mut self.plan {
            Plan::Fetch(_, looked) => looked.take(),
            _ => None,
        }
    }

    /// Whether the disk may have what memory has not, so that it is not known yet whether it is a miss; looked for only where
    /// that matters to a limit.
    pub(super) fn may_be_on_disk(&self) -> bool {
        let limits = self.site.limits.as_ref();
        match &self.plan {
            Plan::Fetch(_, Some(looked)) if limits.is_some_and(|limits| limits.of_misses()) => {
                looked.may_be_on_disk(&self.story.core)
            }
            _ => false,
        }
    }

    pub(super) fn into_parts(self) -> (Box<Story>, Rc<Site>) {
        (self.story, self.site)
    }

    /// The story alone, for the answer.
    pub fn into_story(self) -> Box<Story> {
        self.story
    }
}
