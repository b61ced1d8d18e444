//! Fetch, where a cache stands before the origin: how content comes from there into a fill, and from the fill to where it is kept.

use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use mangrove_store::Refused;

use crate::body::{Filled, ResponseBody};
use crate::cache::kept_body::DISK_BEHIND;
use crate::cache::{
    Content, Hold, Kept, KeptHead, Leader, Object, PIECE_BYTES, Spool, Spooled, Worth,
};
use crate::compress::why_uncoded_after;
use crate::core::Core;
use crate::reason::EdgeReason;
use crate::snapshot::Site;

/// An answer that goes to the disk as it comes is held up by a disk that is behind, for so long with each chunk: a disk that
/// is slower does not get it.
pub(crate) const SPOOL_PATIENCE: Duration = Duration::from_millis(100);

/// Carries an answer's content from the origin into its fill, at the origin's pace, whoever reads it.
pub(super) struct Carrier {
    pub(super) core: Rc<Core>,
    pub(super) site: Rc<Site>,
    pub(super) leader: Leader,
    pub(super) head: Arc<KeptHead>,
    /// Whether the request carried any.
    pub(super) credentials: bool,
    pub(super) body: ResponseBody,
    pub(super) length: Option<u64>,
    /// Where it goes instead of into memory.
    pub(super) spool: Option<Spool>,
}

impl Carrier {
    fn largest(&self) -> u64 {
        if self.spool.is_some() {
            return 0; // nothing of it stays in memory longer than somebody reads it
        }
        self.site
            .cache
            .as_ref()
            .map_or(0, |cache| cache.rules.largest)
    }

    /// Until all of it is there, or it was cut.
    pub(super) async fn carry(mut self) {
        let largest = self.largest();
        let mut arrived = 0u64;
        loop {
            let missing = self.length.map(|length| length.saturating_sub(arrived));
            let event = std::future::poll_fn(|cx| {
                match self.leader.poll_worth(cx, missing) {
                    Poll::Ready(Worth::Yes) => {}
                    Poll::Ready(Worth::No) => return Poll::Ready(None),
                    Poll::Pending => return Poll::Pending,
                }
                self.body.poll_fill(cx).map(Some)
            })
            .await;
            match event {
                None => {
                    self.leader.cut(EdgeReason::ClientClosed.into());
                    return;
                }
                Some(Ok(Filled::Data)) => {
                    let piece = self.body.take(PIECE_BYTES);
                    arrived += piece.len() as u64;
                    self.core.cache.shared.note_brought(piece.len() as u64);
                    let spooled = self.spool.as_mut().map(|spool| spool.push(&piece));
                    self.leader.push(piece, largest);
                    self.settle(spooled).await;
                }
                Some(Ok(Filled::End)) => {
                    let spooled = self.spool.as_mut().map(Spool::end);
                    self.settle(spooled).await;
                    break;
                }
                Some(Err(reason)) => {
                    self.leader.cut(reason);
                    return;
                }
            }
        }
        self.finish();
    }

    /// Waits for a disk that is behind, as long as that is worth it: no visitor is held up for longer.
    async fn settle(&mut self, mut spooled: Option<Result<Spooled, Refused>>) {
        let mut waited = Duration::ZERO;
        while spooled == Some(Ok(Spooled::Behind)) && waited < SPOOL_PATIENCE {
            // Not by the wheel, whose turns are longer.
            tokio::time::sleep(DISK_BEHIND).await;
            waited += DISK_BEHIND;
            spooled = self.spool.as_mut().map(Spool::settle);
        }
        if !matches!(spooled, None | Some(Ok(Spooled::Taken))) {
            self.give_up_spool();
        }
    }

    /// What it would have taken the place of is outdated all the same.
    fn give_up_spool(&mut self) {
        self.spool = None;
        if let Some(disk) = self.core.cache.shared.disk() {
            disk.gave_up(&self.leader.fill().key, &self.head.stored);
        }
    }

    fn finish(mut self) {
        if let Some(spool) = self.spool.take() {
            let fill = self.leader.fill();
            let (key, born, fields) = (&fill.key, fill.born, &self.head.stored.fields);
            let cache = self.site.cache.as_ref();
            let is_alive = || cache.is_some_and(|cache| cache.is_current(key, born, Some(fields)));
            let shared = &self.core.cache.shared;
            self.leader.keep(is_alive, || {
                let cache = cache?;
                // Memory still has what it takes the place of, which would be found before it.
                shared.supersede(fill.hash, key, &self.head.stored, cache);
                let kept = spool.finish().ok();
                if kept.is_none()
                    && let Some(disk) = shared.disk()
                {
                    disk.gave_up(key, &self.head.stored);
                }
                kept
            });
            self.leader.finish(None);
            return;
        }
        let Some(pieces) = self.leader.content() else {
            self.leader.finish(None);
            return;
        };
        let mut stored = self.head.stored.clone();
        let content = Content::gather(pieces);
        let fits = match &mut stored.content {
            mangrove_cache::Content::Whole { length } => {
                *length = Some(content.length());
                true
            }
            // In chunks it may end before it holds what its Content-Range says: not a part of anything then.
            mangrove_cache::Content::Part { held, .. } => held.length() == content.length(),
        };
        let codable = self.site.cache.as_ref().is_some_and(|cache| {
            why_uncoded_after(&stored, self.credentials, &cache.compress).is_none()
        });
        let born = self.leader.fill().born;
        let object = Arc::new(Object::new(stored, content, born, codable));
        let shared = &self.core.cache.shared;
        let fill = self.leader.fill();
        let kept = self.site.cache.as_ref().filter(|_| fits).and_then(|cache| {
            let is_alive = || cache.is_alive(&fill.key, &object);
            self.leader.keep(is_alive, || {
                // Also where memory has no room for it.
                let disk = shared.disk();
                object.is_kept_as(disk.and_then(|disk| disk.write(&fill.key, &object)));
                self.core.cache.keep(fill.hash, &fill.key, &object, cache)
            })
        });
        // A part that was put together with another is kept so, and read as it came.
        let as_it_came = |kept: &Kept| kept.object().is_some_and(|kept| Arc::ptr_eq(kept, &object));
        let kept = kept.filter(as_it_came);
        self.leader
            .finish(Some(kept.unwrap_or(Hold::Alone(object).into())));
    }
}
