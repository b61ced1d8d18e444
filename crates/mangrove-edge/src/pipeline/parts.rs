//! Fetch, where a cache stands before the origin: answers of which not all is on the disk.
//!
//! ```text
//! look up ─► kept, and not all of it is there ─┬─ nothing of it is missing here: answered, what comes later is waited for
//!                                              ├─ somebody has asked for it: wait, look again
//!                                              └─ ask for the missing bytes, if it is the same still (If-Range)
//!                                                  ├─ 206, of the same: a run; answered from what is there and what comes
//!                                                  ├─ another by now, or none: what is there is outdated
//!                                                  └─ anything else was for who asked: what is there stays for the others
//! ```

mod said;
#[cfg(test)]
mod tests;

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mangrove_cache::memory::KeyHash;
use mangrove_cache::{
    Action, Asked, AskedRange, Content as StoredContent, Decision, Failure, Interval, NotStored,
    Reason as CacheReason, Stored, Times, decide_in_parts, whole_of,
};
use mangrove_http::{Known, Method, ResponseHead, UnixMillis};
use mangrove_store::Refused;

use super::answer::{answer_kept, answer_kept_whole};
use super::cached::{COLLAPSED_WAIT, Exchange, Looked, Nobody, times_of};
use super::fetch::{Ask, Fetched, Interim, Outcome, ask_origin};
use super::record::Story;
use crate::body::{CHUNK_BYTES, Filled, RequestBody, ResponseBody};
use crate::cache::disk::WHOLE_BYTES;
use crate::cache::kept_body::DISK_BEHIND;
use crate::cache::parts::AHEAD_BYTES;
use crate::cache::{
    Bring, Content, Hold, Kept, KeptHead, Lack, Leader, Located, Object, PIECE_BYTES, Partial,
    RunLeader, SiteCache, Spool, Spooled, Worth,
};
use crate::core::Core;
use crate::origin::Upstreams;
use crate::reason::{EdgeReason, Reason};
use crate::snapshot::{Site, SiteKind};
use said::{Place, Said, has_tag_of, said_of};

/// An answer that goes to the disk as it comes is held up by a disk that is behind, for so long with each chunk: a disk that
/// is slower does not get it.
pub(crate) const SPOOL_PATIENCE: Duration = Duration::from_millis(100);
/// When all of an answer has come, so long it is found although its last chunks have to be written.
pub(crate) const WRITTEN_WITHIN: Duration = Duration::from_secs(2);
/// Bytes of an object that are missing on the disk are asked for in whole chunks if so many or more are wanted: then at most
/// eight times as many are fetched. For fewer the origin is asked as the visitor asked.
pub(crate) const WORTH_CHUNKS_BYTES: u64 = 256 << 10;

/// What of an object a request is answered with.
fn wanted(story: &Story, cache: &SiteCache, object: &Object, now: UnixMillis) -> Vec<Interval> {
    let total = object.content.length();
    if story.head.method() == Method::Head {
        return Vec::new();
    }
    let asked = Asked::read(&story.head, story.path(), &cache.rules);
    match mangrove_cache::answer(&asked, &object.head.stored, Some(total), now) {
        mangrove_cache::Answer::Whole => {
            let last = total.checked_sub(1);
            last.and_then(|last| Interval::new(0, last))
                .into_iter()
                .collect()
        }
        mangrove_cache::Answer::Part { piece, .. } => vec![piece],
        mangrove_cache::Answer::Parts { pieces, .. } => pieces,
        mangrove_cache::Answer::NotModified | mangrove_cache::Answer::Unsatisfiable { .. } => {
            Vec::new()
        }
    }
}

/// The decision about what was found, where not all of that is there.
pub(super) fn by_what_is_there(
    story: &Story,
    cache: &SiteCache,
    object: &Object,
    decision: Decision,
) -> Decision {
    if !matches!(decision.action, Action::Serve | Action::ServeStale { .. }) {
        return decision;
    }
    let Some(partial) = object.content.partial() else {
        return decision;
    };
    match partial.lack(&wanted(story, cache, object, story.judged_at)) {
        Lack::Nothing => decision,
        Lack::Answer | Lack::Bytes(_) => {
            let asked = Asked::read(&story.head, story.path(), &cache.rules);
            decide_in_parts(&asked, decision)
        }
    }
}

/// Whether an answer from it needs nobody to be asked: what is wanted of it is there, or comes by itself.
pub(super) fn lacks_nothing(story: &Story, cache: &SiteCache, object: &Object) -> bool {
    match object.content.partial() {
        Some(partial) => {
            partial.lack(&wanted(story, cache, object, story.judged_at)) == Lack::Nothing
        }
        None => object.content.is_at_hand(), // it may have left since it was found
    }
}

/// What is kept of an answer, where not all of it is there.
fn partly_there(looked: &Looked) -> Option<(Kept, Arc<Object>, Arc<Partial>)> {
    let alone = || Some(Hold::Alone(looked.alone.clone()?).into());
    let kept = looked.found.kept().or_else(alone)?;
    let object = Arc::clone(kept.object()?);
    let partial = object.content.partial()?;
    Some((kept, object, partial))
}

/// Whether at least one whole chunk of an object of so many bytes lies in a part of it. The numbers are the origin's own.
fn has_whole_chunk(held: Interval, total: u64) -> bool {
    let chunk = CHUNK_BYTES as u64;
    let end = held.last.saturating_add(1);
    let last = if end == total {
        total
    } else {
        end - end % chunk
    };
    let first = held.first.checked_next_multiple_of(chunk);
    first.is_some_and(|first| first < last)
}

/// What became of a request that needed more than was there.
#[expect(
    clippy::large_enum_variant,
    reason = "the largest is the common one, and is handed on at once"
)]
pub(super) enum Completed {
    /// It is answered.
    Answered(Outcome),
    /// Something has changed: look again.
    Again,
    /// The origin is to be asked as the visitor asked.
    AsCame(Leader),
}

impl Exchange<'_> {
    /// Asks for what is missing of what was found.
    pub(super) async fn complete(
        &self,
        story: &mut Story,
        leader: Leader,
        interim: Rc<dyn Interim>,
    ) -> Completed {
        let Some((kept, object, partial)) = partly_there(&self.looked) else {
            leader.changed();
            return Completed::Again;
        };
        let pieces = wanted(story, self.cache, &object, story.judged_at);
        let missing = match partial.lack(&pieces) {
            Lack::Nothing => {
                leader.changed();
                return Completed::Again;
            }
            Lack::Answer => {
                wait_for_answer(story, &partial, &pieces).await;
                leader.changed();
                return Completed::Again;
            }
            Lack::Bytes(missing) => missing,
        };
        let asked = Asked::read(&story.head, story.path(), &self.cache.rules);
        let is_too_little = |piece: &Interval| {
            piece.length() < WORTH_CHUNKS_BYTES
                && matches!(partial.lack(std::slice::from_ref(piece)), Lack::Bytes(_))
        };
        if !partial.is_fetchable() || asked.directives.no_store || pieces.iter().any(is_too_little)
        {
            return Completed::AsCame(leader);
        }
        let begins = pieces.first().map_or(0, |piece| piece.first);
        let is_far = missing.first.saturating_sub(begins) > AHEAD_BYTES;
        if is_far && partial.located().sends_parts() == Some(true) {
            // It is asked for when its turn comes: no connection waits for that. Who has begun to answer has no way back, so where the
            // origin may not send parts, it is asked first.
            leader.changed();
            return Completed::Answered(self.answer_partly(story, &kept));
        }
        let Some(run) = partial.claim(missing.first, missing.last.saturating_add(1)) else {
            return Completed::AsCame(leader);
        };
        let Some(bytes) = run.wants() else {
            run.finish();
            return Completed::AsCame(leader);
        };
        let (site, upstreams) = (self.site, self.upstreams);
        let outcome = ask_bytes(story, site, upstreams, &object.head, bytes, interim).await;
        let times = times_of(story);
        story.judged_at = times.received_at;
        let fetched = match outcome {
            Outcome::Fetched(fetched) => fetched,
            Outcome::Failed(reason) => {
                run.fail(reason);
                match reason {
                    Reason::Origin(_) => leader.fail(reason, None),
                    _ => leader.changed(),
                }
                return Completed::Answered(Outcome::Failed(reason));
            }
            other => {
                run.fail(EdgeReason::KeptContentLost.into());
                leader.free(None);
                return Completed::Answered(other);
            }
        };
        let place = Place {
            bytes,
            at: missing.first,
        };
        let end = match said_of(story, self.cache, &object, place, &fetched.head, times) {
            Said::More(end) => end,
            said => return self.differs(story, leader, &object, run, said, fetched, times),
        };
        partial.located().note_sends_parts(true);
        run.begin(end);
        let Fetched { head, body } = fetched;
        story.core.give_response_head(head);
        let carrier = RunCarrier::of(&story.core, run, body);
        if let Some(tale) = &mut story.cache {
            tale.stored = carrier.spool.is_some();
        }
        let answered = self.answer_partly(story, &kept);
        if let Some(tale) = &mut story.cache {
            tale.forward_status = (story.status != 206).then_some(206);
        }
        leader.changed();
        carry(carrier);
        Completed::Answered(answered)
    }

    fn answer_partly(&self, story: &mut Story, kept: &Kept) -> Outcome {
        Outcome::Answered(Box::new(answer_kept(story, self.cache, kept)))
    }

    /// The origin has not sent more of the same.
    #[expect(
        clippy::too_many_arguments,
        reason = "what was asked, and what came of it"
    )]
    fn differs(
        &self,
        story: &mut Story,
        leader: Leader,
        object: &Arc<Object>,
        run: RunLeader,
        said: Said,
        fetched: Fetched,
        times: Times,
    ) -> Completed {
        let status = fetched.head.status();
        let partial = Arc::clone(run.partial());
        let lost = EdgeReason::KeptContentLost.into();
        if Failure::Status(status).is_failure() {
            run.fail_for_all(lost);
            leader.fail(lost, Some(status));
            return Completed::Answered(Outcome::Fetched(fetched));
        }
        run.fail(lost);
        match said {
            Said::NoParts => {
                partial.has_no_ranges();
                if status == 206 {
                    return Completed::AsCame(leader);
                }
                if partial.is_coming() {
                    let why = NotStored::PartBeside;
                    return Completed::Answered(self.pass(story, leader, why, fetched, false));
                }
                self.without_ranges.set(true);
            }
            Said::Another => {
                let shared = &story.core.cache.shared;
                shared.forget(self.looked.hash, &self.looked.key, object);
                partial.is_outdated_now();
                if matches!(status, 206 | 416) {
                    leader.changed();
                    return Completed::Again;
                }
            }
            Said::Nothing | Said::More(_) => {
                // He asked for other bytes than these.
                if matches!(status, 206 | 304) {
                    return Completed::AsCame(leader);
                }
                leader.changed();
                return Completed::Answered(Outcome::Fetched(fetched));
            }
        }
        Completed::Answered(self.judge(story, leader, false, fetched, times))
    }

    /// Whether an answer that came beside what is partly there says that this is outdated; then it is let go of.
    pub(super) fn is_outdated_by(&self, story: &Story, head: &ResponseHead) -> bool {
        let Some((_, object, partial)) = partly_there(&self.looked) else {
            return true;
        };
        let said = head.status() == 206 || head.status() == 200;
        if said && has_tag_of(head, &object.head.stored) {
            // Where parts of it cannot be had, the whole takes its place.
            let is_whole = head.status() == 200 && !partial.is_fetchable() && !partial.is_coming();
            self.without_ranges
                .set(is_whole && partial.located().strong);
            return is_whole;
        }
        let is_coming = partial.is_coming();
        if !said || (is_coming && !partial.located().strong) {
            return false;
        }
        let shared = &story.core.cache.shared;
        shared.forget(self.looked.hash, &self.looked.key, &object);
        partial.is_outdated_now();
        true
    }

    /// What was found, in memory or on the disk alone.
    pub(super) fn known(&self) -> Option<Arc<Object>> {
        self.looked.object().or_else(|| self.looked.alone.clone())
    }

    /// Whether a part would hide or replace what the disk has and what may be the same: that is more, and stays.
    pub(super) fn is_beside_more(&self, story: &Story, leader: &Leader, part: &Stored) -> bool {
        let StoredContent::Part { total, .. } = part.content else {
            return false;
        };
        match self.known() {
            Some(there) if there.content.located().is_some() => {
                let known = there.head.stored.fields.field(Known::ETag);
                let new = part.fields.field(Known::ETag);
                let is_other = known.is_some() && new.is_some() && known != new;
                let is_longer = total.is_some_and(|total| total != there.content.length());
                !is_other && !is_longer
            }
            Some(_) => false,
            // The disk may not have said in time what it has.
            None => {
                let disk = story.core.cache.shared.disk();
                disk.is_some_and(|disk| disk.has_variant(&leader.fill().key, part))
            }
        }
    }

    /// Where a part may become the beginning of an object on the disk, in which at least one whole chunk of it has a place.
    pub(super) fn place_for_part(
        &self,
        story: &Story,
        leader: &Leader,
        stored: &Stored,
    ) -> Option<OnItsWay> {
        let StoredContent::Part {
            held,
            total: Some(total),
        } = stored.content
        else {
            return None;
        };
        let disk = story.core.cache.shared.disk()?;
        let is_large = total >= disk.spooled_from() && total <= self.cache.rules.largest;
        if !is_large || !has_whole_chunk(held, total) {
            return None;
        }
        let whole = whole_of(stored).filter(crate::cache::disk::is_strong)?;
        let fill = leader.fill();
        let known = self.known().and_then(|object| object.id());
        let (located, spool) = disk.spool_part(&fill.key, &whole, fill.born, total, known)?;
        Some(OnItsWay {
            stored: whole,
            located,
            spool: spool.from(held.first),
            total,
            held,
        })
    }

    /// Answers with what goes to the disk as it comes, and brings it there.
    pub(super) fn keep_on_disk(
        &self,
        story: &mut Story,
        leader: Leader,
        on_its_way: OnItsWay,
        fetched: Fetched,
    ) -> Outcome {
        let OnItsWay {
            stored,
            located,
            spool,
            total,
            held,
        } = on_its_way;
        let fill = leader.fill();
        let content = Content::on_disk(located.clone(), total);
        let object = Object::new(stored, content, fill.born, false).kept_as(located.clone());
        let object = Arc::new(object);
        let Some(partial) = located.begun(total, spool.writing()) else {
            leader.free(None);
            return Outcome::Fetched(fetched);
        };
        let asked = Asked::read(&story.head, story.path(), &self.cache.rules);
        let status = fetched.head.status();
        let ignores_range = status == 200
            && asked.range != AskedRange::Whole
            && story.head.field(Known::IfRange).is_none()
            && story
                .cache
                .is_some_and(|tale| tale.reason != CacheReason::Partial);
        if ignores_range || self.without_ranges.get() {
            partial.has_no_ranges();
        } else if status == 206 {
            located.note_sends_parts(true);
        }
        let run = partial.claim_exactly(held.first, held.last.saturating_add(1));
        run.begin(held.last.saturating_add(1));
        let (shared, key) = (&story.core.cache.shared, &fill.key);
        let is_alive = || self.cache.is_alive(key, &object);
        let kept = leader.keep(is_alive, || {
            partial.is_found_as(key, &object);
            let kept = story.core.cache.keep(fill.hash, key, &object, self.cache);
            if kept.is_none() {
                // What it takes the place of would be found before it.
                shared.supersede(fill.hash, key, &object.head.stored, self.cache);
            }
            Some(kept)
        });
        let spool = match &kept {
            Some(_) => Some(spool),
            None => {
                run.is_not_kept();
                partial.writing().remove();
                None
            }
        };
        if let Some(tale) = &mut story.cache {
            tale.stored = spool.is_some();
        }
        let first = First {
            hash: fill.hash,
            key: key.clone(),
            object: Arc::clone(&object),
        };
        let kept = kept.flatten();
        let kept = kept.unwrap_or_else(|| Hold::Alone(object).into());
        let answer = match partial.is_fetchable() || status == 206 {
            true => answer_kept(story, self.cache, &kept),
            false => answer_kept_whole(story, self.cache, &kept),
        };
        leader.changed();
        let Fetched { head, body } = fetched;
        story.core.give_response_head(head);
        carry(RunCarrier {
            core: Rc::clone(&story.core),
            run,
            body,
            spool,
            first: Some(first),
        });
        Outcome::Answered(Box::new(answer))
    }
}

/// What goes to the disk as it comes.
pub(super) struct OnItsWay {
    /// What is kept of the whole.
    pub(super) stored: Stored,
    pub(super) located: Located,
    pub(super) spool: Spool,
    pub(super) total: u64,
    /// What of it comes.
    pub(super) held: Interval,
}

/// Content that came together with its head goes on its way at once; for the rest a task of its own waits.
fn carry(carrier: RunCarrier) {
    let mut carry = Box::pin(carrier.carry());
    let at_once = carry.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    if at_once.is_pending() {
        tokio::task::spawn_local(carry);
    }
}

async fn wait_for_answer(story: &Story, partial: &Arc<Partial>, pieces: &[Interval]) {
    let patience = story.core.wheel.timer();
    patience.arm_in(COLLAPSED_WAIT);
    let reader = partial.sit(0, 0);
    let answered = std::future::poll_fn(|cx| match partial.lack(pieces) {
        Lack::Answer => {
            reader.wait(cx);
            match partial.lack(pieces) {
                Lack::Answer => Poll::Pending,
                _ => Poll::Ready(()),
            }
        }
        _ => Poll::Ready(()),
    });
    let _ = patience.bound(answered).await; // either way it is looked again
}

async fn ask_bytes(
    story: &mut Story,
    site: &Rc<Site>,
    upstreams: &Rc<Upstreams>,
    head: &Arc<KeptHead>,
    bytes: Interval,
    interim: Rc<dyn Interim>,
) -> Outcome {
    story.ask = Ask::Bytes(Arc::clone(head), bytes);
    let outcome = ask_origin(story, site, upstreams, RequestBody::Empty, interim).await;
    story.ask = Ask::AsCame;
    outcome
}

/// Asks for what is missing of an answer that is under way, when its turn comes.
#[derive(Debug)]
struct Bringer {
    story: Box<Story>,
    site: Rc<Site>,
    upstreams: Rc<Upstreams>,
    object: Arc<Object>,
}

/// Who asks for what is missing of `object` as this request would; none where nobody can be asked.
pub(super) fn bringer(story: &Story, object: &Arc<Object>) -> Option<Rc<dyn Bring>> {
    let site = story.site.as_ref()?;
    let SiteKind::Origins(upstreams) = &site.kind else {
        return None;
    };
    let mut behind = story.behind();
    behind.cache = story.cache;
    Some(Rc::new(Bringer {
        story: behind,
        site: Rc::clone(site),
        upstreams: Rc::clone(upstreams),
        object: Arc::clone(object),
    }))
}

impl Bring for Bringer {
    fn bring(&self, run: RunLeader, at: u64) {
        let mut behind = self.story.behind();
        behind.cache = self.story.cache;
        let (site, upstreams) = (Rc::clone(&self.site), Rc::clone(&self.upstreams));
        let object = Arc::clone(&self.object);
        tokio::task::spawn_local(async move {
            bring_behind(&mut behind, &site, &upstreams, &object, run, at).await;
            behind.finish();
        });
    }
}

async fn bring_behind(
    behind: &mut Story,
    site: &Rc<Site>,
    upstreams: &Rc<Upstreams>,
    object: &Arc<Object>,
    run: RunLeader,
    at: u64,
) {
    let lost = EdgeReason::KeptContentLost.into();
    let Some(bytes) = run.wants() else {
        return run.finish();
    };
    let outcome = ask_bytes(
        behind,
        site,
        upstreams,
        &object.head,
        bytes,
        Rc::new(Nobody),
    )
    .await;
    let (fetched, cache) = match (outcome, &site.cache) {
        (Outcome::Fetched(fetched), Some(cache)) => (fetched, cache),
        (Outcome::Failed(reason), _) => return run.fail(reason),
        _ => return run.fail(lost),
    };
    let times = times_of(behind);
    let partial = Arc::clone(run.partial());
    let place = Place { bytes, at };
    match said_of(behind, cache, object, place, &fetched.head, times) {
        Said::More(end) => {
            partial.located().note_sends_parts(true);
            run.begin(end);
            let carrier = RunCarrier::of(&behind.core, run, fetched.body);
            return carrier.carry().await;
        }
        Said::NoParts => partial.has_no_ranges(),
        Said::Another => partial.is_outdated_now(),
        Said::Nothing if Failure::Status(fetched.head.status()).is_failure() => {
            return run.fail_for_all(lost);
        }
        Said::Nothing => {}
    }
    run.fail(lost);
}

/// Carries an origin's answer, or a part, into an object on the disk.
struct RunCarrier {
    core: Rc<Core>,
    run: RunLeader,
    body: ResponseBody,
    /// What hands it over to the disk.
    spool: Option<Spool>,
    /// Of an origin's first answer: what is kept of it so far.
    first: Option<First>,
}

struct First {
    hash: KeyHash,
    key: Box<[u8]>,
    object: Arc<Object>,
}

impl RunCarrier {
    /// Of what an object lacks. Where memory has no room to gather it for the disk, only those get it who read it.
    fn of(core: &Rc<Core>, run: RunLeader, body: ResponseBody) -> Self {
        let partial = run.partial();
        let (located, total) = (partial.located(), partial.total());
        let spool = Spool::of(located, partial.writing().share(), total, run.from());
        if spool.is_none() {
            run.is_not_kept();
        }
        Self {
            core: Rc::clone(core),
            run,
            body,
            spool,
            first: None,
        }
    }

    /// Until all of it has come, or nobody wants more of it.
    async fn carry(mut self) {
        loop {
            let (at, to) = self.run.reach();
            if at >= to {
                break;
            }
            let event = std::future::poll_fn(|cx| {
                match self.run.poll_worth(cx) {
                    Poll::Ready(Worth::Yes) => {}
                    Poll::Ready(Worth::No) => return Poll::Ready(None),
                    Poll::Pending => return Poll::Pending,
                }
                self.body.poll_fill(cx).map(Some)
            })
            .await;
            match event {
                None => return self.breaks_off(EdgeReason::ClientClosed.into()),
                Some(Ok(Filled::Data)) => {
                    // No piece lies over the border of two chunks, or goes further than it should.
                    let chunk = CHUNK_BYTES as u64;
                    let most = (to - at).min(chunk - at % chunk);
                    let most = usize::try_from(most).unwrap_or(usize::MAX);
                    let piece = self.body.take(most.min(PIECE_BYTES));
                    self.core.cache.shared.note_brought(piece.len() as u64);
                    let spooled = self.spool.as_mut().map(|spool| spool.push(&piece));
                    self.run.push(piece);
                    self.settle(spooled).await;
                }
                Some(Ok(Filled::End)) => {
                    return self.breaks_off(mangrove_http::OriginFault::Reset.into());
                }
                Some(Err(reason)) => return self.breaks_off(reason),
            }
        }
        let spooled = self.spool.as_mut().map(Spool::end);
        self.settle(spooled).await;
        self.finish().await;
    }

    /// Waits for a disk that is behind, as long as that is worth it: no visitor is held up for longer.
    async fn settle(&mut self, mut spooled: Option<Result<Spooled, Refused>>) {
        if let Some((at, chunk)) = self.spool.as_mut().and_then(Spool::take_full) {
            self.run.gathered(at, chunk);
        }
        // Not by the wheel, whose turns are longer.
        let pause = || tokio::time::sleep(DISK_BEHIND);
        let is_over = || {
            if spooled == Some(Ok(Spooled::Behind)) {
                spooled = self.spool.as_mut().map(Spool::settle);
            }
            spooled != Some(Ok(Spooled::Behind))
        };
        within(SPOOL_PATIENCE, is_over, pause).await;
        if !matches!(spooled, None | Some(Ok(Spooled::Taken))) {
            self.spool = None;
            self.run.is_not_kept();
            self.forget_first();
        }
    }

    /// What was begun and will not be whole is of use only where the rest can be asked for.
    fn forget_first(&self) {
        if let Some(first) = &self.first
            && !self.run.partial().located().strong
        {
            let shared = &self.core.cache.shared;
            shared.forget(first.hash, &first.key, &first.object);
            self.run.partial().writing().remove();
        }
    }

    fn breaks_off(self, reason: Reason) {
        self.forget_first();
        self.run.fail(reason);
    }

    async fn finish(mut self) {
        let partial = Arc::clone(self.run.partial());
        self.run.finish();
        // Read to its end, the connection it came over can be used again; but where it was to bring less than it does, or the end
        // is yet to come, nobody waits for the origin.
        let is_over = |cx: &mut Context<'_>| Poll::Ready(self.body.poll_fill(cx).is_ready());
        let _ = std::future::poll_fn(is_over).await;
        drop(self.body);
        let Some(first) = self.first else {
            return;
        };
        // What the disk did not take is found by no more than what is there.
        if self.spool.is_none() {
            return partial.is_there();
        }
        // It is found by what is on its way until it is found by what is there.
        let is_written = || partial.located().is_complete();
        within(WRITTEN_WITHIN, is_written, || {
            tokio::time::sleep(DISK_BEHIND)
        })
        .await;
        partial.is_there();
        if partial.total() <= WHOLE_BYTES {
            // So little is to come into memory whole when it is asked for again.
            let shared = &self.core.cache.shared;
            shared.memory().update(first.hash, &first.key, |there| {
                let there = there?.value();
                there.place_of(&first.object)?;
                let resource = there.without(&first.object);
                let weight = resource.weight();
                Some((resource, weight))
            });
        }
    }
}

/// Looks until it is so, with pauses that count as [`DISK_BEHIND`] each, and no longer than that is worth; whether it is.
async fn within<Pause: Future>(
    patience: Duration,
    mut is_so: impl FnMut() -> bool,
    pause: impl Fn() -> Pause,
) -> bool {
    let mut waited = Duration::ZERO;
    while !is_so() {
        if waited >= patience {
            return false;
        }
        pause().await;
        waited += DISK_BEHIND;
    }
    true
}

/// An answer from an object that was found by what is on its way, where memory has no room for it.
pub(super) fn begun(story: &Story, cache: &SiteCache, key: &[u8]) -> Option<Arc<Object>> {
    let disk = story.core.cache.shared.disk()?;
    let mut scratch = Vec::new();
    disk.begun(key).into_iter().find(|object| {
        let stored = [&object.head.stored];
        let fits = mangrove_cache::select(stored, &story.head, &cache.rules, &mut scratch);
        fits.is_some() && cache.is_alive(key, object)
    })
}
