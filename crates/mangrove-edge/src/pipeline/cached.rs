//! Fetch, where a cache stands before the origin: one question for however many ask, and what its answer changes.
//!
//! ```text
//! look up ─┬─ nobody asks yet ─► lead ──► origin ─► judge ─┬─ 304: what is kept is confirmed
//!          │                                               ├─ may be kept: a fill, which everyone reads
//!          └─ somebody does ───► follow ─┬─ its answer     ├─ may not: for who asked alone
//!                                        └─ look again     └─ failure: what is kept, if it may stand in
//! ```

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use mangrove_cache::memory::KeyHash;
use mangrove_cache::{
    Action, Asked, Decision, Failure, Interval, NotStored, OriginState, Stored, Times, admit,
    decide, invalidated_keys, on_error,
};
use mangrove_http::{Known, Method, ResponseHead, UnixMillis};

use super::answer::{Answer, answer_filling, answer_kept};
use super::carry::Carrier;
use super::confirmed::Led;
use super::fetch::{Ask, Fetched, Interim, Outcome, ask_origin};
use super::from_disk::{Brought, answer_alone, asks_behind, bring};
use super::held::timer;
use super::inspect::within_limits;
use super::parts::{self, Completed, OnItsWay};
use super::plan::Planned;
use super::record::Story;
use crate::body::{Filled, RequestBody, ResponseBody};
use crate::cache::disk::WHOLE_BYTES;
use crate::cache::{
    CacheTale, Entered, Follower, Found, Hold, Kept, KeptHead, Leader, News, Object, PIECE_BYTES,
    Resource, SiteCache, is_uncollapsible,
};
use crate::compress::why_uncoded_after;
use crate::core::Core;
use crate::limits::Stage;
use crate::origin::Upstreams;
use crate::reason::{EdgeReason, Reason};
use crate::snapshot::{Site, SiteKind};

/// For so long nobody waits for another's fetch of a key whose answer was of no use to those who waited.
pub(crate) const UNCOLLAPSIBLE: Duration = Duration::from_secs(30);
/// So long a request waits for the head of another's answer; then it asks for itself.
pub(crate) const COLLAPSED_WAIT: Duration = Duration::from_secs(10);
/// So often a request looks again before it asks for itself.
pub(crate) const LOOKS: u32 = 3;
/// So many failures of other requests a request lives through: one, and one more try.
pub(crate) const TRIES: u32 = 2;

/// What a look into the cache brought, kept while the origin is asked.
#[derive(Debug)]
pub struct Looked {
    pub(super) key: Box<[u8]>,
    pub(super) hash: KeyHash,
    pub(super) found: Found,
    pub(super) decision: Decision,
    /// What the disk has of it, where memory has no room for that.
    pub(super) alone: Option<Arc<Object>>,
}

/// What is kept for a request, and what is to be done about it. Nothing is looked for where the request does not use the
/// cache.
pub(super) fn look(story: &mut Story, site: &Site, cache: &SiteCache) -> (Option<Found>, Decision) {
    let now = story.judge_now();
    let story = &*story;
    let asked = Asked::read(&story.head, story.path(), &cache.rules);
    let found = (asked.may_look_up()).then(|| {
        let scheme = story.connection.http_scheme();
        let path = site.key_path(story);
        story.core.cache.find(cache, &asked, scheme, path)
    });
    let decide_while = |origin| {
        let kept = found.as_ref();
        let kept = kept.map_or(mangrove_cache::Found::Nothing, Found::for_decision);
        decide(&asked, kept, now, origin, &cache.rules)
    };
    let by_what_is_there = |decision| match found.as_ref().and_then(Found::object) {
        Some(object) => parts::by_what_is_there(story, cache, object, decision),
        None => decision,
    };
    let decision = by_what_is_there(decide_while(OriginState::Reachable));
    // Whether anyone can be asked matters only where something is kept that might stand in.
    let may_stand_in = found.as_ref().is_some_and(|found| found.at.is_some());
    if decision.action != Action::Serve
        && may_stand_in
        && let SiteKind::Origins(upstreams) = &site.kind
        && upstreams.is_down(story.core.clock.now())
    {
        let decision = by_what_is_there(decide_while(OriginState::Down));
        return (found, decision);
    }
    (found, decision)
}

impl Looked {
    /// Keeps what the last look brought.
    pub(super) fn new(core: &Core, found: Found, decision: Decision) -> Box<Self> {
        Box::new(Self {
            key: core.cache.with_key(|key| key.into()),
            hash: found.hash,
            found,
            decision,
            alone: None,
        })
    }

    /// Whether the disk may have it, where memory has not.
    pub(super) fn may_be_on_disk(&self, core: &Core) -> bool {
        let disk = core.cache.shared.disk();
        self.found.at.is_none() && disk.is_some_and(|disk| disk.may_have(&self.key))
    }

    pub(super) fn object(&self) -> Option<Arc<Object>> {
        self.found.object().cloned()
    }

    /// The disk has this, and memory has no room for it. Where it may answer, and not all of it is there, that is completed.
    fn has_alone(&mut self, object: Arc<Object>, decision: Decision) {
        self.alone = Some(object);
        if decision.reason == mangrove_cache::Reason::Partial || decision.action == Action::Refuse {
            self.decision = decision;
        }
    }

    /// What was found was confirmed, and is to be completed; false where it is not found as it was confirmed.
    fn is_completed_as(
        &mut self,
        renewed: Option<Arc<Object>>,
        story: &mut Story,
        cache: &SiteCache,
        site: &Site,
    ) -> bool {
        self.decision = Decision {
            action: Action::Fetch,
            reason: mangrove_cache::Reason::Partial,
        };
        story.cache = Some(CacheTale::of(self.decision));
        let (Some(renewed), (Some(found), _)) = (renewed, look(story, site, cache)) else {
            return false;
        };
        let is_found = found.object();
        if !is_found.is_some_and(|object| Arc::ptr_eq(object, &renewed)) {
            return false;
        }
        self.found = found;
        true
    }
}

/// Asks for what is not kept, or has to be asked about.
pub(super) async fn fetch_through(
    planned: &mut Planned,
    upstreams: &Rc<Upstreams>,
    mut looked: Box<Looked>,
    interim: Rc<dyn Interim>,
) -> Outcome {
    let site = Rc::clone(planned.site());
    let Some(cache) = &site.cache else {
        return Outcome::Failed(EdgeReason::InternalError.into());
    };
    let (mut looks, mut failures, mut completions) = (0, 0, 0);
    let mut sought = false;
    loop {
        let story = planned.story_mut();
        let now = story.judged_at;
        let asked = Asked::read(&story.head, story.path(), &cache.rules);
        let joinable = asked.may_collapse()
            && looks < LOOKS
            && !is_uncollapsible(looked.found.slot.as_ref(), now);
        let lane = lane_of(&looked, story, cache);
        let shared = &story.core.cache.shared;
        let entered = shared.fills().enter(
            looked.hash,
            &looked.key,
            &lane,
            joinable,
            shared.ledger().generation(),
            |born, fields| cache.is_current(&looked.key, born, fields),
        );
        let mut follower = match entered {
            Entered::Leader(leader) => {
                // Another's fetch may have ended between our look and our entering.
                let shared = &story.core.cache.shared;
                if joinable && shared.fills().departures(looked.hash) != looked.found.departures {
                    match again(story, &site, cache, Waited::Another) {
                        Ok((answer, behind)) => {
                            leader.changed();
                            ask_behind(story, &site, upstreams, behind);
                            return answer;
                        }
                        Err(newer) => looked = newer,
                    }
                }
                // Whoever leads looks on the disk for all who follow.
                if !std::mem::replace(&mut sought, true) && looked.found.at.is_none() {
                    match bring(story, cache, &looked, &leader).await {
                        Brought::Nothing => {}
                        brought @ (Brought::Kept(_) | Brought::Outdated) => {
                            leader.changed();
                            match again(story, &site, cache, Waited::TheDisk) {
                                Ok((answer, behind)) => {
                                    ask_behind(story, &site, upstreams, behind);
                                    return answer;
                                }
                                Err(newer) => looked = newer,
                            }
                            // It may have left again before it was looked for.
                            if let Brought::Kept(object) = brought
                                && looked.found.at.is_none()
                            {
                                match answer_alone(story, &site, cache, &object) {
                                    Ok((answer, behind)) => {
                                        ask_behind(story, &site, upstreams, behind);
                                        return answer;
                                    }
                                    Err(decision) => looked.has_alone(object, decision),
                                }
                            }
                            continue;
                        }
                        Brought::Alone(object) => {
                            match answer_alone(story, &site, cache, &object) {
                                Ok((answer, behind)) => {
                                    leader.changed();
                                    ask_behind(story, &site, upstreams, behind);
                                    return answer;
                                }
                                Err(decision) => looked.has_alone(object, decision),
                            }
                        }
                    }
                }
                if looked.decision.action == Action::Refuse {
                    leader.free(None);
                    return Outcome::Failed(EdgeReason::OnlyIfCached.into());
                }
                // The disk might have had it, and has not.
                if !story.missed {
                    story.has_waited();
                    match within_limits(story, &site, Stage::Missed) {
                        Ok(None) => {}
                        Ok(Some(turn)) => {
                            // Nobody else has to wait for a turn of ours.
                            leader.changed();
                            timer(story, &turn).expiry().await;
                            drop(turn);
                            match again(story, &site, cache, Waited::ItsTurn) {
                                Ok((answer, behind)) => {
                                    ask_behind(story, &site, upstreams, behind);
                                    return answer;
                                }
                                Err(newer) => looked = newer,
                            }
                            continue;
                        }
                        Err(reason) => {
                            leader.free(None);
                            return Outcome::Failed(reason);
                        }
                    }
                }
                let mut exchange = Exchange::new(&site, cache, upstreams, looked);
                let mut leader = leader;
                if exchange.looked.decision.reason != mangrove_cache::Reason::Partial {
                    let renewed;
                    match exchange.lead(story, leader, Rc::clone(&interim)).await {
                        Led::Answered(outcome) => return outcome,
                        Led::Lacking(back, object) => (leader, renewed) = (back, object),
                    }
                    if !exchange
                        .looked
                        .is_completed_as(renewed, story, cache, &site)
                    {
                        exchange.beside = true;
                        return exchange.as_came(story, leader, interim).await;
                    }
                }
                completions += 1;
                let completed = match completions > LOOKS {
                    true => Completed::AsCame(leader),
                    // Many times as large as the rest, and nearly no request needs it.
                    false => {
                        let interim = Rc::clone(&interim);
                        Box::pin(exchange.complete(story, leader, interim)).await
                    }
                };
                match completed {
                    Completed::Answered(outcome) => return outcome,
                    Completed::AsCame(leader) => {
                        exchange.beside = true;
                        return exchange.as_came(story, leader, interim).await;
                    }
                    Completed::Again => match again(story, &site, cache, Waited::Another) {
                        Ok((answer, behind)) => {
                            ask_behind(story, &site, upstreams, behind);
                            return answer;
                        }
                        Err(newer) => {
                            sought &= exchange.looked.alone.is_none();
                            looked = newer;
                        }
                    },
                }
                continue;
            }
            Entered::Follower(follower) => {
                // Likewise: what that one brought may serve, though another asks about it already.
                let shared = &story.core.cache.shared;
                if shared.fills().departures(looked.hash) != looked.found.departures {
                    match again(story, &site, cache, Waited::Another) {
                        Ok((answer, ..)) => return answer,
                        Err(newer) => looked = newer,
                    }
                }
                follower
            }
        };
        looks += 1;
        match follow(story, cache, &looked, &mut follower).await {
            Followed::Answer => {
                let answer = answer_filling(story, cache, follower);
                return Outcome::Answered(Box::new(answer));
            }
            Followed::Again => {}
            Followed::Alone => looks = LOOKS,
            Followed::Failed(reason, status) => {
                let failure = status.map_or(Failure::NoResponse, Failure::Status);
                if let Some(outcome) = instead_of_failure(story, cache, &looked, failure) {
                    return outcome;
                }
                failures += 1;
                if failures >= TRIES {
                    return Outcome::Failed(reason);
                }
            }
        }
        drop(follower);
        match again(story, &site, cache, Waited::Another) {
            Ok((answer, ..)) => return answer,
            Err(newer) => looked = newer,
        }
    }
}

/// Requests of one lane can share an answer as far as is known: the ways in which what is kept of the URL varies.
fn lane_of(looked: &Looked, story: &Story, cache: &SiteCache) -> Vec<u8> {
    let mut lane = Vec::new();
    let known = looked.found.slot.as_ref().and_then(|slot| {
        let all = slot.value().variants.iter();
        all.max_by_key(|object| object.head.stored.received_at)
    });
    match known {
        Some(object) => mangrove_cache::write_variant(
            &object.head.stored.vary,
            &story.head,
            &cache.rules,
            &mut lane,
        ),
        None => mangrove_cache::write_variant(
            &mangrove_cache::Vary::default(),
            &story.head,
            &cache.rules,
            &mut lane,
        ),
    }
    lane
}

/// What was waited for before what is kept is looked at again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waited {
    Another,
    TheDisk,
    ItsTurn,
}

/// Looks once more: what is kept by now may serve; with what the origin is to be asked about behind it, if it is.
fn again(
    story: &mut Story,
    site: &Site,
    cache: &SiteCache,
    waited: Waited,
) -> Result<(Outcome, Option<Kept>), Box<Looked>> {
    let (found, decision) = look(story, site, cache);
    let Some(found) = found else {
        return Ok((Outcome::Failed(EdgeReason::InternalError.into()), None)); // it used the cache a moment ago
    };
    if let Action::Serve | Action::ServeStale { .. } = decision.action
        && let Some(kept) = found.kept()
    {
        let mut tale = CacheTale::of(decision);
        match waited {
            Waited::Another => tale.collapsed = true, // whoever fetched it
            Waited::TheDisk => tale.from_disk = true,
            Waited::ItsTurn => {}
        }
        story.cache = Some(tale);
        let outcome = Outcome::Answered(Box::new(answer_kept(story, cache, &kept)));
        return Ok((outcome, asks_behind(decision).then_some(kept)));
    }
    story.cache = Some(CacheTale::of(decision));
    Err(Looked::new(&story.core, found, decision))
}

enum Followed {
    /// Its answer is ours too.
    Answer,
    /// Something has changed.
    Again,
    /// Its answer is of no use to us, and another's would be neither.
    Alone,
    /// The origin failed.
    Failed(Reason, Option<u16>),
}

async fn follow(
    story: &mut Story,
    cache: &SiteCache,
    looked: &Looked,
    follower: &mut Follower,
) -> Followed {
    let patience = story.core.wheel.timer();
    patience.arm_in(COLLAPSED_WAIT);
    let news = patience
        .bound(std::future::poll_fn(|cx| follower.poll_news(cx)))
        .await;
    let head = match news {
        None => return Followed::Alone,
        Some(News::Changed) => return Followed::Again,
        Some(News::Freed(_)) => return Followed::Alone,
        Some(News::Failed(reason, status)) => return Followed::Failed(reason, status),
        Some(News::Head(head)) => head,
    };
    // What was purged while it was waited for, perhaps by a tag that nobody knew of before, is for who asked first alone.
    let (born, fields) = (follower.fill().born, &head.stored.fields);
    if !cache.is_current(&looked.key, born, Some(fields)) {
        return Followed::Again;
    }
    let now = story.judge_now();
    let asked = Asked::read(&story.head, story.path(), &cache.rules);
    let mut scratch = Vec::new();
    if mangrove_cache::select([&head.stored], &story.head, &cache.rules, &mut scratch).is_none() {
        // Now it is known what the answers vary on: perhaps others of our kind wait already.
        return Followed::Again;
    }
    let decision = decide(
        &asked,
        mangrove_cache::Found::This(&head.stored),
        now,
        OriginState::Reachable,
        &cache.rules,
    );
    match decision.action {
        Action::Serve | Action::ServeStale { .. } => {
            let mut tale = CacheTale::of(looked.decision);
            tale.collapsed = true;
            tale.stored = false;
            story.cache = Some(tale);
            Followed::Answer
        }
        // It has to be confirmed for each request anew.
        _ => Followed::Alone,
    }
}

/// What is kept, in place of the origin's failure, if it may stand in.
fn instead_of_failure(
    story: &mut Story,
    cache: &SiteCache,
    looked: &Looked,
    failure: Failure,
) -> Option<Outcome> {
    let stored = looked.found.stored();
    let now = story.judge_now();
    let asked = Asked::read(&story.head, story.path(), &cache.rules);
    let decision = on_error(&asked, stored, now, failure, &cache.rules)?;
    let kept = looked.found.kept()?;
    let object = kept.object()?;
    // Purged while the origin was asked, it does not stand in any more.
    if !cache.is_alive(&looked.key, object) {
        return None;
    }
    // Nor without the bytes that this origin was to bring: the visitor would get a head, and no body.
    if !parts::lacks_nothing(story, cache, object) {
        return None;
    }
    let status = match failure {
        Failure::Status(status) => Some(status),
        Failure::NoResponse => None,
    };
    let tale = CacheTale::of(looked.decision).instead_of_failure(decision, status);
    story.cache = Some(tale);
    Some(Outcome::Answered(Box::new(answer_kept(
        story, cache, &kept,
    ))))
}

/// One question to the origin on behalf of a request that looked into the cache.
pub(super) struct Exchange<'a> {
    pub(super) site: &'a Rc<Site>,
    pub(super) cache: &'a SiteCache,
    pub(super) upstreams: &'a Rc<Upstreams>,
    pub(super) looked: Box<Looked>,
    /// The disk has more of the same than this can bring: it is not to take its place.
    beside: bool,
    /// The origin was asked for a part, and sends the whole.
    pub(super) without_ranges: Cell<bool>,
}

impl<'a> Exchange<'a> {
    fn new(
        site: &'a Rc<Site>,
        cache: &'a SiteCache,
        upstreams: &'a Rc<Upstreams>,
        looked: Box<Looked>,
    ) -> Self {
        Self {
            site,
            cache,
            upstreams,
            looked,
            beside: false,
            without_ranges: Cell::new(false),
        }
    }
}

impl Exchange<'_> {
    async fn lead(&self, story: &mut Story, leader: Leader, interim: Rc<dyn Interim>) -> Led {
        let Some(object) = self.object() else {
            return Led::Answered(self.as_came(story, leader, interim).await);
        };
        story.ask = Ask::About(Arc::clone(&object.head));
        let (outcome, times) = self.ask(story, interim).await;
        match outcome {
            Outcome::Fetched(fetched) if fetched.head.status() == 304 => {
                self.confirmed(story, leader, &object, &fetched.head, times)
            }
            outcome => Led::Answered(self.heard(story, leader, true, outcome, times)),
        }
    }

    /// Asks as the visitor asked.
    async fn as_came(
        &self,
        story: &mut Story,
        leader: Leader,
        interim: Rc<dyn Interim>,
    ) -> Outcome {
        story.ask = Ask::AsCame;
        let (outcome, times) = self.ask(story, interim).await;
        self.heard(story, leader, false, outcome, times)
    }

    async fn ask(&self, story: &mut Story, interim: Rc<dyn Interim>) -> (Outcome, Times) {
        let (site, upstreams) = (self.site, self.upstreams);
        let outcome = ask_origin(story, site, upstreams, RequestBody::Empty, interim).await;
        story.ask = Ask::AsCame;
        let times = times_of(story);
        story.judged_at = times.received_at;
        (outcome, times)
    }

    fn heard(
        &self,
        story: &mut Story,
        leader: Leader,
        was_about_kept: bool,
        outcome: Outcome,
        times: Times,
    ) -> Outcome {
        match outcome {
            Outcome::Fetched(fetched) => self.judge(story, leader, was_about_kept, fetched, times),
            Outcome::Failed(reason) => {
                if let Reason::Origin(_) = reason {
                    leader.fail(reason, None);
                } else {
                    leader.changed(); // the visitor's own trouble says nothing of the origin
                }
                let failure = Failure::NoResponse;
                instead_of_failure(story, self.cache, &self.looked, failure)
                    .unwrap_or(Outcome::Failed(reason))
            }
            other => {
                leader.free(None);
                other
            }
        }
    }

    /// What is kept, if the origin is to be asked about it.
    fn object(&self) -> Option<Arc<Object>> {
        match self.looked.decision.action {
            // Purged between the look and the question, it is nothing to ask about.
            Action::Revalidate => {
                let is_alive = |object: &Arc<Object>| self.cache.is_alive(&self.looked.key, object);
                self.known().filter(is_alive)
            }
            _ => None,
        }
    }

    pub(super) fn judge(
        &self,
        story: &mut Story,
        leader: Leader,
        was_about_kept: bool,
        fetched: Fetched,
        times: Times,
    ) -> Outcome {
        let status = fetched.head.status();
        let failure = Failure::Status(status);
        if failure.is_failure()
            && let Some(outcome) = instead_of_failure(story, self.cache, &self.looked, failure)
        {
            leader.fail(
                mangrove_http::OriginFault::FirstByteTimeout.into(),
                Some(status),
            );
            return outcome;
        }
        if story.head.method() == Method::Head {
            self.heard_of(story, &leader, &fetched.head, times);
            leader.free(None);
            return Outcome::Fetched(fetched);
        }
        let asked = Asked::read(&story.head, story.path(), &self.cache.rules);
        match admit(&asked, &fetched.head, &self.cache.rules, times) {
            Ok(_) if self.beside && !self.is_outdated_by(story, &fetched.head) => {
                self.pass(story, leader, NotStored::PartBeside, fetched, false)
            }
            Ok(stored) => self.keep(story, leader, stored, fetched),
            Err(why) => self.pass(story, leader, why, fetched, was_about_kept),
        }
    }

    /// For who asked alone.
    pub(super) fn pass(
        &self,
        story: &mut Story,
        leader: Leader,
        why: NotStored,
        fetched: Fetched,
        superseded: bool,
    ) -> Outcome {
        let shared = &story.core.cache.shared;
        let status = fetched.head.status();
        if superseded && !Failure::Status(status).is_failure() {
            // The origin was asked about what is kept and has something else, which nobody may keep.
            if let Some(object) = self.looked.object() {
                shared.forget(self.looked.hash, &self.looked.key, &object);
            }
        }
        if leader.was_joined() {
            let until = story
                .core
                .clock
                .wall()
                .0
                .saturating_add(u64::try_from(UNCOLLAPSIBLE.as_millis()).unwrap_or(u64::MAX));
            shared
                .memory()
                .update(self.looked.hash, &self.looked.key, |there| {
                    let variants = there.map(|slot| slot.value().variants.clone());
                    let resource = Resource {
                        variants: variants.unwrap_or_default(),
                        uncollapsible_until: UnixMillis(until),
                    };
                    let weight = resource.weight();
                    Some((resource, weight))
                });
        }
        if let Some(tale) = &mut story.cache {
            tale.not_stored = Some(why);
            tale.forward_status = None;
        }
        leader.free(Some(why));
        Outcome::Fetched(fetched)
    }

    /// Everyone may have it.
    fn keep(&self, story: &mut Story, leader: Leader, stored: Stored, fetched: Fetched) -> Outcome {
        let length = match stored.content {
            mangrove_cache::Content::Whole { length } => length,
            mangrove_cache::Content::Part { held, .. } => Some(held.length()),
        };
        let credentials = story.head.field(Known::Authorization).is_some();
        let stored = match self.place_for(story, &leader, stored, length, credentials) {
            Place::Memory(stored) => stored,
            Place::Disk(on_its_way) => {
                return self.keep_on_disk(story, leader, *on_its_way, fetched);
            }
            Place::Beside => {
                return self.pass(story, leader, NotStored::PartBeside, fetched, false);
            }
            Place::Nowhere => {
                return self.pass(story, leader, NotStored::TooLarge, fetched, false);
            }
        };
        if let Some(tale) = &mut story.cache {
            tale.stored = true;
        }
        let head = match why_uncoded_after(&stored, credentials, &self.cache.compress) {
            None => KeptHead::codable(stored),
            Some(_) => KeptHead::new(stored),
        };
        let follower = leader.open(Arc::clone(&head));
        let Fetched { head: own, body } = fetched;
        story.core.give_response_head(own);
        let answer = answer_filling(story, self.cache, follower);
        let carrier = Carrier {
            core: Rc::clone(&story.core),
            site: Rc::clone(self.site),
            leader,
            head,
            credentials,
            body,
            length,
        };
        let mut carry = Box::pin(carrier.carry());
        // Content that came together with its head is kept at once; for the rest a task of its own waits.
        let at_once = carry.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if at_once.is_pending() {
            tokio::task::spawn_local(carry);
        }
        Outcome::Answered(Box::new(answer))
    }
}

/// Where an answer is held while it comes.
enum Place {
    /// In memory.
    Memory(Stored),
    /// On the disk.
    Disk(Box<OnItsWay>),
    /// Nowhere: it is a part, and the disk has more of what may be the same.
    Beside,
    /// Neither has room.
    Nowhere,
}

impl Exchange<'_> {
    /// Finds the place. What is large, and what memory has no room for now, goes to the disk.
    fn place_for(
        &self,
        story: &Story,
        leader: &Leader,
        stored: Stored,
        length: Option<u64>,
        credentials: bool,
    ) -> Place {
        let Some(length) = length else {
            return Place::Memory(stored);
        };
        let disk = story.core.cache.shared.disk();
        let is_whole = matches!(stored.content, mangrove_cache::Content::Whole { .. });
        if self.is_beside_more(story, leader, &stored) {
            return Place::Beside;
        }
        if !is_whole && let Some(on_its_way) = self.place_for_part(story, leader, &stored) {
            return Place::Disk(Box::new(on_its_way));
        }
        let disk = disk.filter(|_| is_whole && length <= self.cache.rules.largest);
        let spool = || {
            let fill = leader.fill();
            let held = Interval::new(0, length.checked_sub(1)?)?;
            // What comes into memory again when it is asked for may be coded then.
            let codable = length <= WHOLE_BYTES
                && why_uncoded_after(&stored, credentials, &self.cache.compress).is_none();
            let spool = disk?.spool(&fill.key, &stored, fill.born, length, codable);
            let (located, spool) = spool?;
            let stored = stored.clone();
            Some(Box::new(OnItsWay {
                stored,
                located,
                spool,
                total: length,
                held,
            }))
        };
        let is_large = disk.is_some_and(|disk| length >= disk.spooled_from());
        let first = is_large.then(spool).flatten();
        match first {
            Some(spool) => Place::Disk(spool),
            None if leader.reserve(length) => Place::Memory(stored),
            None => spool().map_or(Place::Nowhere, Place::Disk),
        }
    }
}

/// When the origin was first asked, and when its head had arrived: read once each, for the record too.
pub(super) fn times_of(story: &Story) -> Times {
    let (clock, origin) = (&story.core.clock, &story.origin);
    Times {
        requested_at: clock.wall_at(origin.asked_at),
        received_at: clock.wall_at(origin.asked_at.saturating_add(origin.head_nanos)),
    }
}

/// What the origin's answer to a request that does not look into the cache means for it: a change makes what is kept
/// invalid (RFC 9111 section 4.4), and an answer to POST that names its own URL is one to a GET of it as well (RFC 9110
/// section 9.3.3).
pub(super) fn heard_around(
    story: &mut Story,
    site: &Rc<Site>,
    upstreams: &Rc<Upstreams>,
    fetched: Fetched,
) -> Outcome {
    changed_through(story, site, &fetched.head);
    let Some(cache) = site
        .cache
        .as_ref()
        .filter(|_| story.head.method() == Method::Post)
    else {
        return Outcome::Fetched(fetched);
    };
    let asked = Asked::read(&story.head, story.path(), &cache.rules);
    let times = times_of(story);
    let Ok(stored) = admit(&asked, &fetched.head, &cache.rules, times) else {
        return Outcome::Fetched(fetched);
    };
    story.judged_at = times.received_at;
    let asked = Asked::read(&story.head, story.path(), &cache.rules);
    let scheme = story.connection.http_scheme();
    let path = site.key_path(story);
    let found = story.core.cache.find(cache, &asked, scheme, path);
    let decision = Decision {
        action: Action::Fetch,
        reason: mangrove_cache::Reason::Method,
    };
    let looked = Looked::new(&story.core, found, decision);
    let shared = &story.core.cache.shared;
    let entered = shared.fills().enter(
        looked.hash,
        &looked.key,
        &[],
        false,
        shared.ledger().generation(),
        |born, fields| cache.is_current(&looked.key, born, fields),
    );
    let Entered::Leader(leader) = entered else {
        return Outcome::Fetched(fetched);
    };
    Exchange::new(site, cache, upstreams, looked).keep(story, leader, stored, fetched)
}

/// Takes out what the answer to an unsafe request has made invalid (RFC 9111 section 4.4).
fn changed_through(story: &Story, site: &Site, head: &ResponseHead) {
    let Some(cache) = &site.cache else {
        return;
    };
    let scheme = story.connection.http_scheme();
    let path = site.key_path(story);
    for key in invalidated_keys(&cache.rules, scheme, &story.head, path, head) {
        let mut whole = cache.prefix().to_vec();
        whole.extend_from_slice(&key);
        story.core.cache.shared.take_out(&whole);
    }
}

/// Asks about what came stale from the disk, as about what memory has: nobody else would.
fn ask_behind(story: &Story, site: &Rc<Site>, upstreams: &Rc<Upstreams>, behind: Option<Kept>) {
    if let Some(kept) = behind {
        revalidate_behind(story, site, upstreams, &kept);
    }
}

/// Asks the origin about what was just served stale, without letting anyone wait.
pub(super) fn revalidate_behind(
    story: &Story,
    site: &Rc<Site>,
    upstreams: &Rc<Upstreams>,
    kept: &Kept,
) {
    let Some(object) = kept.object() else {
        return;
    };
    let looked = story.core.cache.with_key(|key| Looked {
        key: key.into(),
        hash: story.core.cache.shared.memory().hash(key),
        found: Found {
            hash: story.core.cache.shared.memory().hash(key),
            slot: match &kept.hold {
                Hold::Held(held, _) => Some(held.clone()),
                _ => None,
            },
            at: match kept.hold {
                Hold::Held(_, at) => Some(at),
                _ => None,
            },
            alive: true,
            departures: 0,
        },
        decision: Decision {
            action: match object.head.stored.has_validator() {
                true => Action::Revalidate,
                false => Action::Fetch,
            },
            reason: mangrove_cache::Reason::StaleWhileRevalidate,
        },
        alone: match &kept.hold {
            Hold::Alone(object) => Some(Arc::clone(object)),
            _ => None,
        },
    });
    let Some(cache) = &site.cache else {
        return;
    };
    let shared = &story.core.cache.shared;
    let lane = lane_of(&looked, story, cache);
    let entered = shared.fills().enter(
        looked.hash,
        &looked.key,
        &lane,
        true,
        shared.ledger().generation(),
        |born, fields| cache.is_current(&looked.key, born, fields),
    );
    let Entered::Leader(leader) = entered else {
        return; // somebody asks already
    };
    let mut behind = story.behind();
    let (site, upstreams) = (Rc::clone(site), Rc::clone(upstreams));
    tokio::task::spawn_local(async move {
        let Some(cache) = &site.cache else {
            return;
        };
        let exchange = Exchange::new(&site, cache, &upstreams, Box::new(looked));
        let outcome = match exchange.lead(&mut behind, leader, Rc::new(Nobody)).await {
            Led::Answered(outcome) => outcome,
            // Confirmed it is. What is missing is asked for by whoever wants it.
            Led::Lacking(leader, _) => return leader.changed(),
        };
        // A new answer is read to its end, as large as it may be: someone who waits is what keeps it coming.
        if let Outcome::Answered(mut answer) = outcome
            && is_brought_by_reading(&answer.body)
        {
            while let Ok(Filled::Data) = std::future::poll_fn(|cx| answer.body.poll_fill(cx)).await
            {
                drop(answer.body.take(PIECE_BYTES));
            }
        }
        behind.finish();
    });
}

/// Whether somebody has to read it, or it would not come.
fn is_brought_by_reading(body: &ResponseBody) -> bool {
    match body {
        ResponseBody::Following(_) => true,
        ResponseBody::Kept(kept) => kept.is_coming(),
        _ => false,
    }
}

/// Where nobody waits for interim responses.
#[derive(Debug)]
pub(super) struct Nobody;

impl Interim for Nobody {
    fn send(&self, _: &ResponseHead) {}
    fn send_continue(&self) {}
}

/// An answer from what is kept, for a request that needs no fetch.
pub(super) fn serve(story: &mut Story, site: &Site, decision: Decision, kept: &Kept) -> Answer {
    story.cache = Some(CacheTale::of(decision));
    match &site.cache {
        Some(cache) => answer_kept(story, cache, kept),
        None => super::refused::answer_refused(story, EdgeReason::InternalError.into()),
    }
}
