//! Plan: where the answer will come from. The cache will decide here; now a site either answers
//! by itself or asks its origins.

use std::rc::Rc;

use super::inspect::Inspected;
use super::record::Story;
use crate::answer_head::Prepared;
use crate::origin::Upstreams;
use crate::snapshot::{Site, SiteKind};

/// Where an answer comes from.
#[derive(Debug)]
pub enum Plan {
    /// An answer that is the same for everyone.
    Prepared(Rc<Prepared>),
    /// The built-in sample site.
    Sample,
    /// The site's origins.
    Fetch(Rc<Upstreams>),
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
    let (story, site) = inspected.into_parts();
    let plan = match &site.kind {
        SiteKind::Respond(prepared) => Plan::Prepared(Rc::clone(prepared)),
        SiteKind::Sample => Plan::Sample,
        SiteKind::Origins(upstreams) => Plan::Fetch(Rc::clone(upstreams)),
    };
    Planned { story, site, plan }
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

    /// The story alone, for the answer.
    pub fn into_story(self) -> Box<Story> {
        self.story
    }
}
