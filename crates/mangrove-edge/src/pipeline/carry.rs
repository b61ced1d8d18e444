//! Fetch, where a cache stands before the origin: how content comes from there into a fill, and from the fill to where it is kept.

use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use crate::body::{Filled, ResponseBody};
use crate::cache::{Content, Hold, Kept, KeptHead, Leader, Object, PIECE_BYTES, Worth};
use crate::compress::why_uncoded_after;
use crate::core::Core;
use crate::reason::EdgeReason;
use crate::snapshot::Site;

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
}

impl Carrier {
    fn largest(&self) -> u64 {
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
                    self.leader.push(piece, largest);
                }
                Some(Ok(Filled::End)) => break,
                Some(Err(reason)) => {
                    self.leader.cut(reason);
                    return;
                }
            }
        }
        self.finish();
    }

    fn finish(self) {
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
