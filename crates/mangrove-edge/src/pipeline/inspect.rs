//! Inspect: who asks, and in what words. Optional modules stand here; each behind its border.

use std::rc::Rc;

use mangrove_http::{Known, Moment, TraceParent, client_address, is_normal, normalize};
use mangrove_shield::orders::Act;

use super::admit::Admitted;
use super::plan::Planned;
use super::record::Story;
use super::{Refused, optional};
use crate::limits::{Judged, Stage, Turn};
use crate::module::Module;
use crate::reason::{EdgeReason, Reason};
use crate::snapshot::Site;
use crate::standing::{Asked, Stands};

/// A request about which everything is known that rules and keys may ask.
#[derive(Debug)]
pub struct Inspected {
    story: Box<Story>,
    site: Rc<Site>,
    /// What it has to wait for.
    turn: Option<Turn>,
}

/// Finds the visitor's address, the trace it belongs to and the normal form of its path; then how he stands with the operator,
/// and whether he has asked too much.
pub fn inspect(admitted: Admitted) -> Result<Inspected, Refused> {
    let (mut story, site) = admitted.into_parts();
    let judged = fill_in(&mut story)
        .and_then(|comes| by_hand(&mut story, &site, comes))
        .and_then(|()| within_limits(&mut story, &site, Stage::Asked));
    match judged {
        Ok(turn) => Ok(Inspected { story, site, turn }),
        Err(reason) => Err(Refused { story, reason }),
    }
}

/// How the visitor comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comes {
    /// On his own connection.
    Himself,
    /// On a listed proxy's, which speaks for many.
    ByProxy,
}

impl Inspected {
    /// What was planned had been inspected; it is to be planned anew when its turn has come.
    pub(super) fn again(planned: Planned, turn: Turn) -> Self {
        let (story, site) = planned.into_parts();
        let turn = Some(turn);
        Self { story, site, turn }
    }

    /// What it has to wait for, once.
    pub(super) fn take_turn(&mut self) -> Option<Turn> {
        self.turn.take()
    }

    pub(super) fn story(&self) -> &Story {
        &self.story
    }

    pub(super) fn story_mut(&mut self) -> &mut Story {
        &mut self.story
    }

    pub(super) fn into_story(self) -> Box<Story> {
        self.story
    }

    pub(super) fn into_parts(self) -> (Box<Story>, Rc<Site>) {
        (self.story, self.site)
    }
}

/// Counts the request under the site's limits for requests at this `stage`: it may go on, or when its turn has come, or not.
pub(super) fn within_limits(
    story: &mut Story,
    site: &Site,
    stage: Stage,
) -> Result<Option<Turn>, Reason> {
    story.missed |= stage == Stage::Missed;
    let Some(limits) = &site.limits else {
        return Ok(None);
    };
    if story.exempt {
        return Ok(None);
    }
    let now = story.judged_from();
    let mut told = std::mem::take(&mut story.told);
    let judged = optional(story, Module::RateLimit, || {
        limits.judge(story, stage, now, &mut told)
    });
    story.told = told;
    match judged? {
        None | Some(Judged::Within) => Ok(None),
        Some(Judged::Later(turn)) => {
            let before = story.limited.as_ref().map(|limited| limited.wait());
            story.limited = Some(Box::new(turn.tale(before.unwrap_or_default())));
            Ok(Some(turn))
        }
        Some(Judged::Over(limited)) => {
            let now = Moment(now / 1_000_000);
            let until = now + limited.wait();
            let held_back = &story.core.standings.visitors.held_back;
            let name = limited.name();
            held_back.note(&site.name, name, story.client, now.0, until.0);
            let reason = limited.reason();
            story.limited = Some(Box::new(limited));
            Err(reason)
        }
    }
}

/// What the operator has said of the visitor.
fn by_hand(story: &mut Story, site: &Site, comes: Comes) -> Result<(), Reason> {
    let standings = &story.core.standings;
    if comes == Comes::Himself && standings.is_plain(&story.connection) {
        return Ok(());
    }
    let now = story.core.wheel.now();
    let asked = Asked {
        site: &site.name,
        now,
        wall: story.core.clock.wall_of(now),
    };
    let looked = optional(story, Module::Standing, || match comes {
        Comes::Himself => standings.of(&story.connection, asked),
        Comes::ByProxy => standings.of_address(story.client, asked),
    })?;
    match looked {
        Some(Stands::Exempt) => story.exempt = true,
        Some(Stands::Ordered(held)) => {
            // Whichever it is: who is kept out is counted by no limit either.
            story.exempt = true;
            let act = held.order.act;
            story.order = Some(held);
            if act == Act::Block {
                return Err(EdgeReason::BlockedByHand.into());
            }
        }
        Some(Stands::Plain) | None => {}
    }
    Ok(())
}

fn fill_in(story: &mut Story) -> Result<Comes, Reason> {
    let mut comes = Comes::Himself;
    let trusted = &story.snapshot.settled.server.trusted_proxies;
    if !trusted.is_empty() {
        let peer = story.connection.peer_ip();
        let address = optional(story, Module::ClientAddress, || {
            client_address(&story.head, peer, |ip| {
                trusted.iter().any(|network| network.contains(ip))
            })
        })?;
        story.client = address.unwrap_or(peer);
        if story.client != peer {
            comes = Comes::ByProxy;
        }
    }
    if story.head.count(Known::TraceParent) == 1 {
        let parent = optional(story, Module::Trace, || {
            story
                .head
                .field(Known::TraceParent)
                .and_then(TraceParent::parse)
        })?;
        story.trace = parent.flatten();
    }
    if !is_normal(story.head.path()) {
        let normal = optional(story, Module::PathForm, || {
            let mut out = Vec::with_capacity(story.head.path().len());
            normalize(story.head.path(), &mut out);
            out
        })?;
        story.normal_path = normal;
    }
    Ok(comes)
}
