//! A request's turn under a limit that delays: when it comes, and the place that it holds until then.
//!
//! Whoever waits owes for it already, so that the next one's turn comes after his. Who gives up gives back his place and not what
//! he owes: a request that was cancelled is a request. How many wait is bounded by the limit (`waiting`), and for how long
//! (`longest_delay`); what each holds is its head.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::SiteLimit;
use super::limited::{Limited, Why};

/// A turn that has not come.
#[derive(Debug)]
pub(crate) struct Turn {
    limit: Arc<SiteLimit>,
    wait: Duration,
}

impl Turn {
    /// Whether one more may wait, as far as can be told before it is known whether it has to.
    pub(super) fn is_room(limit: &SiteLimit) -> bool {
        limit.waiting.load(Ordering::Relaxed) < limit.settings.waiting
    }

    /// Takes a place among those who wait; none where others have taken the last one.
    pub(super) fn take(limit: &Arc<SiteLimit>, wait: Duration) -> Option<Self> {
        let one_more = |waiting: u32| (waiting < limit.settings.waiting).then(|| waiting + 1);
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        limit.waiting.fetch_update(set, fetch, one_more).ok()?;
        Some(Self {
            limit: Arc::clone(limit),
            wait,
        })
    }

    /// How long it is until it comes.
    pub(crate) fn wait(&self) -> Duration {
        self.wait
    }

    /// What the log tells of it.
    pub(crate) fn tale(&self) -> Limited {
        Limited::new(&self.limit, self.wait, Why::Delayed)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.limit.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
