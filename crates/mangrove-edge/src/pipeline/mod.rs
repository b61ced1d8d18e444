//! The journey of every request, one file per step:
//!
//! ```text
//! receive → admit → inspect → plan → fetch → answer → record
//! ```
//!
//! [`Received`], [`Admitted`], [`Inspected`] and [`Planned`] can be made only by their step, so a
//! skipped check does not compile. A step that says no returns [`Refused`], which goes straight to
//! the answer. `record` runs once for every story: it is what dropping one does.

mod admit;
mod answer;
pub(crate) mod cached;
pub(crate) mod carry;
mod confirmed;
mod fetch;
pub(crate) mod from_disk;
mod held;
mod inspect;
pub(crate) mod parts;
mod plan;
mod purged;
mod receive;
mod record;
mod refused;

pub use admit::{Admitted, admit};
pub use answer::{Answer, answer_fetched, answer_prepared, answer_sample};
pub use cached::Looked;
pub use fetch::{Ask, Fetched, Interim, Outcome, Switched, fetch};
pub use held::Held;
pub use inspect::{Inspected, inspect};

pub use plan::{Plan, Planned, plan};
pub use receive::{Received, receive};
pub use record::{OriginTale, Story};
pub use refused::{RefusedPages, answer_refused};

use std::rc::Rc;

use self::inspect::within_limits;
use crate::limits::Stage;
use crate::module::{FailMode, Module, guard};
use crate::reason::{EdgeReason, Reason};

/// A story that goes no further, and why.
#[derive(Debug)]
pub struct Refused {
    /// The request so far.
    pub story: Box<Story>,
    /// The "no".
    pub reason: Reason,
}

/// What the synchronous part of the pipeline made of a request.
#[derive(Debug)]
pub enum Begun {
    /// The answer is at hand.
    Answered(Box<Story>, Box<Answer>),
    /// An origin has to be asked.
    Fetch(Planned),
    /// Its turn has not come.
    Held(Held),
    /// Nothing is said, and the connection ends.
    Cut(Box<Story>),
}

/// Takes a received request as far as it goes without waiting for anyone.
pub fn begin(received: Received) -> Begun {
    let admitted = match admit(received) {
        Ok(admitted) => admitted,
        Err(refused) => return refuse(refused),
    };
    match inspect(admitted) {
        Ok(inspected) => go_on(inspected),
        Err(refused) => refuse(refused),
    }
}

/// Takes an inspected request further, unless it has to wait.
fn go_on(mut inspected: Inspected) -> Begun {
    if let Some(turn) = inspected.take_turn() {
        return Begun::Held(Held::new(inspected, turn));
    }
    let planned = plan(inspected);
    match planned.plan() {
        Plan::Prepared(prepared) => {
            let prepared = Rc::clone(prepared);
            let story = planned.into_story();
            let answer = answer_prepared(&story, &prepared);
            Begun::Answered(story, Box::new(answer))
        }
        Plan::Sample => {
            let mut story = planned.into_story();
            let answer = answer_sample(&mut story);
            Begun::Answered(story, Box::new(answer))
        }
        Plan::Kept(upstreams, kept, decision) => {
            let (upstreams, kept, decision) = (Rc::clone(upstreams), kept.clone(), *decision);
            let site = Rc::clone(planned.site());
            let mut story = planned.into_story();
            let answer = cached::serve(&mut story, &site, decision, &kept);
            if from_disk::asks_behind(decision) {
                cached::revalidate_behind(&story, &site, &upstreams, &kept);
            }
            Begun::Answered(story, Box::new(answer))
        }
        // It waits for the disk.
        Plan::Purge => Begun::Fetch(planned),
        Plan::Unanswerable => {
            let mut story = planned.into_story();
            let answer = answer_refused(&mut story, EdgeReason::OnlyIfCached.into());
            Begun::Answered(story, Box::new(answer))
        }
        // What the disk may have is no miss until it is known that it has not: then the fetch counts it.
        Plan::Fetch(..) if planned.story().missed || planned.may_be_on_disk() => {
            Begun::Fetch(planned)
        }
        Plan::Fetch(..) => {
            let mut planned = planned;
            let site = Rc::clone(planned.site());
            match within_limits(planned.story_mut(), &site, Stage::Missed) {
                Ok(None) => Begun::Fetch(planned),
                Ok(Some(turn)) => go_on(Inspected::again(planned, turn)),
                Err(reason) => refuse(Refused {
                    story: planned.into_story(),
                    reason,
                }),
            }
        }
    }
}

/// Turns a refusal into its page.
pub fn refuse(refused: Refused) -> Begun {
    let Refused { mut story, reason } = refused;
    if is_silent(reason) {
        story.blame(reason);
        return Begun::Cut(story);
    }
    let answer = answer_refused(&mut story, reason);
    Begun::Answered(story, Box::new(answer))
}

/// Whether the connection ends without a word.
pub fn is_silent(reason: Reason) -> bool {
    reason == Reason::Edge(EdgeReason::RateLimitedClosed)
}

/// Runs an optional step behind its border: `Ok(None)` when it failed open.
fn optional<T>(
    story: &Story,
    module: Module,
    step: impl FnOnce() -> T,
) -> Result<Option<T>, Reason> {
    match guard(&story.core.metrics, module, step) {
        Ok(out) => Ok(Some(out)),
        Err(_) if module.fail_mode() == FailMode::Open => Ok(None),
        Err(_) => Err(Reason::Edge(EdgeReason::ModuleFailed)),
    }
}
