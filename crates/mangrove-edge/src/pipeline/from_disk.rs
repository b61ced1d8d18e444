//! Fetch, where a cache stands before the origin: what the disk tier has of it, before the origin is asked.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mangrove_cache::memory::Updated;
use mangrove_cache::{Action, Asked, Decision, OriginState, decide};
use mangrove_http::Version;
use mangrove_store::{ReadError, Refused};
use tokio::sync::oneshot;

use super::answer::answer_kept;
use super::cached::Looked;
use super::fetch::Outcome;
use super::parts::{begun, by_what_is_there};
use super::record::Story;
use crate::cache::kept_body::FROM_FILE_BYTES;
use crate::cache::{CacheTale, Hold, Kept, Leader, Object, OnDisk, SiteCache};
use crate::snapshot::{Site, SiteKind};
use crate::wheel::Timer;

/// So long a request waits for the disk; then it asks the origin.
pub(crate) const DISK_WAIT: Duration = Duration::from_secs(2);

/// Answers from what the disk has and memory has no room for, where it may serve; with what the origin is to be asked about behind
/// it, if it is. Else what is to be done instead.
pub(super) fn answer_alone(
    story: &mut Story,
    site: &Site,
    cache: &SiteCache,
    object: &Arc<Object>,
) -> Result<(Outcome, Option<Kept>), Decision> {
    let is_down = match &site.kind {
        SiteKind::Origins(upstreams) => upstreams.is_down(story.core.clock.now()),
        _ => false,
    };
    let origin = match is_down {
        true => OriginState::Down,
        false => OriginState::Reachable,
    };
    let now = story.judge_now();
    let asked = Asked::read(&story.head, story.path(), &cache.rules);
    let found = mangrove_cache::Found::This(&object.head.stored);
    let decision = decide(&asked, found, now, origin, &cache.rules);
    let decision = by_what_is_there(story, cache, object, decision);
    if !matches!(decision.action, Action::Serve | Action::ServeStale { .. }) {
        return Err(decision);
    }
    let mut tale = CacheTale::of(decision);
    tale.from_disk = true;
    story.cache = Some(tale);
    // A visitor who reads slowly must not hold what memory has no room for.
    let kept = Hold::Alone(object.without_content()).into();
    let outcome = Outcome::Answered(Box::new(answer_kept(story, cache, &kept)));
    Ok((outcome, asks_behind(decision).then_some(kept)))
}

/// Whether what is served stale is asked about, without letting anyone wait.
pub(super) fn asks_behind(decision: Decision) -> bool {
    decision.action == (Action::ServeStale { revalidate: true })
}

/// What the disk tier has for a request.
pub(super) enum Brought {
    /// Nothing, or nothing that could be had.
    Nothing,
    /// This is in memory now, and may have made room for others at once.
    Kept(Arc<Object>),
    /// Something newer is in memory.
    Outdated,
    /// This, and memory has no room for it.
    Alone(Arc<Object>),
}

/// Brings what the disk tier has for the request into memory.
pub(super) async fn bring(
    story: &Story,
    cache: &SiteCache,
    looked: &Looked,
    leader: &Leader,
) -> Brought {
    let shared = &story.core.cache.shared;
    let Some(disk) = shared.disk() else {
        return Brought::Nothing;
    };
    if let Some(object) = begun(story, cache, &looked.key) {
        return Brought::Alone(object);
    }
    let patience = story.core.wheel.timer();
    patience.arm_in(DISK_WAIT);
    let mut scratch = Vec::new();
    let Some((open, found)) = disk.lookup(&looked.key) else {
        return Brought::Nothing;
    };
    for handle in found {
        let head = read_from(&patience, |done| handle.read_head_then(done)).await;
        let found = head.and_then(|head| OnDisk::read(handle, &head, &looked.key));
        let Some(found) = found.filter(OnDisk::is_of_use) else {
            continue;
        };
        let stored = [&found.stored];
        if mangrove_cache::select(stored, &story.head, &cache.rules, &mut scratch).is_none() {
            continue; // another variant
        }
        let content = match found.is_small() && !leaves_by_file(story, &found, cache) {
            true => {
                match read_from(&patience, |done| found.handle.read_chunk_then(0, done)).await {
                    Some(content) => Some(content),
                    None if found.handle.total() == Some(0) => Some(Bytes::new()),
                    None => continue,
                }
            }
            false => None,
        };
        let object = Arc::new(found.into_object(content, &open, &cache.compress));
        let brought = leader.keep(
            || cache.is_alive(&looked.key, &object),
            || {
                let core = &story.core.cache;
                Some(core.bring(looked.hash, &looked.key, &object, cache))
            },
        );
        match brought {
            Some(Updated::Kept) => return Brought::Kept(object),
            Some(Updated::Unchanged) => return Brought::Outdated,
            Some(Updated::Refused(_)) => return Brought::Alone(object),
            None => {
                if let Some(located) = object.located() {
                    disk.forget(&looked.key, located.id);
                }
            }
        }
    }
    Brought::Nothing
}

/// Whether the kernel sends it from the file to whoever asks, so that its content need not be read for him, nor for those who
/// come as he did. What may be coded is read: coded answers are made of it.
fn leaves_by_file(story: &Story, found: &OnDisk, cache: &SiteCache) -> bool {
    let is_long = |total| total >= FROM_FILE_BYTES;
    found.handle.total().is_some_and(is_long)
        && story.connection.tls.is_none()
        && story.head.version() != Version::Http2
        && !found.is_codable(&cache.compress)
}

/// What a reader's thread of the store reads; `None` if the disk has not got it, fails, is behind, or takes too long.
async fn read_from<T: Send + 'static>(
    patience: &Timer,
    ask: impl FnOnce(Box<dyn FnOnce(Result<T, ReadError>) + Send>) -> Result<(), Refused>,
) -> Option<T> {
    let (word, told) = oneshot::channel();
    let done = move |read: Result<T, ReadError>| drop(word.send(read.ok()));
    ask(Box::new(done)).ok()?;
    patience.bound(told).await?.ok()?
}
