//! Fetch, where a cache stands before the origin: what the origin says of an answer that is kept without sending it again.

use std::sync::Arc;

use mangrove_cache::{Asked, Freshened, Times, freshen, freshen_by_head};
use mangrove_http::ResponseHead;

use super::answer::answer_kept;
use super::cached::{Exchange, Looked};
use super::fetch::Outcome;
use super::parts::lacks_nothing;
use super::record::Story;
use crate::cache::{CacheResult, CacheTale, Hold, Kept, Leader, Object};
use crate::compress::why_uncoded;

/// What came of a question to the origin.
#[expect(
    clippy::large_enum_variant,
    reason = "the largest is the common one, and is handed on at once"
)]
pub(super) enum Led {
    /// It is answered.
    Answered(Outcome),
    /// What is kept is still good, and of what is wanted of it some is missing; with the object as it is kept now, if it is.
    Lacking(Leader, Option<Arc<Object>>),
}

impl Exchange<'_> {
    /// The origin says that what is kept is still good (RFC 9111 section 4.3.4).
    pub(super) fn confirmed(
        &self,
        story: &mut Story,
        leader: Leader,
        object: &Arc<Object>,
        head: &ResponseHead,
        times: Times,
    ) -> Led {
        let rules = &self.cache.rules;
        let asked = Asked::read(&story.head, story.path(), rules);
        let freshened = freshen(&object.head.stored, head, &asked, rules, times);
        let withdrawn = matches!(freshened, Freshened::Withdrawn(_));
        let (stored, keep) = freshened.into_stored();
        let codable = why_uncoded(&stored, &asked, &self.cache.compress).is_none();
        let new = Arc::new(object.renewed(stored, leader.fill().born, codable));
        let shared = &story.core.cache.shared;
        let is_alive = || self.cache.is_alive(&self.looked.key, &new);
        let kept = leader.keep(is_alive, || {
            if keep {
                return exchange(shared, &self.looked, object, &new);
            }
            if withdrawn {
                shared.forget(self.looked.hash, &self.looked.key, object);
            }
            None
        });
        let mut tale = CacheTale::of(self.looked.decision);
        tale.result = CacheResult::Revalidated;
        tale.forward_status = Some(304);
        tale.stored = kept.is_some();
        story.cache = Some(tale);
        if !lacks_nothing(story, self.cache, &new) {
            return Led::Lacking(leader, kept.map(|_| new));
        }
        let kept = kept.unwrap_or(Hold::Alone(new).into());
        if keep {
            leader.changed();
        } else {
            leader.free(None);
        }
        let answer = answer_kept(story, self.cache, &kept);
        Led::Answered(Outcome::Answered(Box::new(answer)))
    }

    /// What an answer to HEAD says of what is kept for GET (RFC 9111 section 4.3.5).
    pub(super) fn heard_of(
        &self,
        story: &Story,
        leader: &Leader,
        head: &ResponseHead,
        times: Times,
    ) {
        let Some(object) = self.looked.object().filter(|_| head.status() == 200) else {
            return;
        };
        let rules = &self.cache.rules;
        let asked = Asked::read(&story.head, story.path(), rules);
        let stored = freshen_by_head(&object.head.stored, head, &asked, rules, times);
        let codable = why_uncoded(&stored, &asked, &self.cache.compress).is_none();
        let new = Arc::new(object.renewed(stored, object.born, codable));
        let shared = &story.core.cache.shared;
        leader.keep(
            || self.cache.is_alive(&self.looked.key, &new),
            || exchange(shared, &self.looked, &object, &new),
        );
    }
}

/// Puts `new` in the place of `old`, if that is still there.
fn exchange(
    shared: &crate::cache::Cache,
    looked: &Looked,
    old: &Arc<Object>,
    new: &Arc<Object>,
) -> Option<Kept> {
    shared.memory().update(looked.hash, &looked.key, |there| {
        let resource = there?.value().exchanged(old, new)?;
        let weight = resource.weight();
        Some((resource, weight))
    });
    if let (Some(disk), Some(located)) = (shared.disk(), new.located()) {
        disk.renew(&looked.key, located.id, new);
    }
    let slot = shared.peek(&looked.key)?;
    let at = slot.value().place_of(new)?;
    Some(Hold::Shared(slot, at).into())
}
