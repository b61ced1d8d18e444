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

/// A place among those who wait under a limit. It is taken before it is known whether its request has to wait: a turn that
/// nobody has a place to wait for would be owed all the same.
#[derive(Debug)]
pub(super) struct Place(Arc<SiteLimit>);

/// A turn that has not come.
#[derive(Debug)]
pub(crate) struct Turn {
    place: Place,
    wait: Duration,
}

impl Place {
    /// Takes one; none where others have taken the last.
    pub(super) fn take(limit: &Arc<SiteLimit>) -> Option<Self> {
        let one_more = |waiting: u32| (waiting < limit.settings.waiting).then(|| waiting + 1);
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        limit.waiting.fetch_update(set, fetch, one_more).ok()?;
        Some(Self(Arc::clone(limit)))
    }
}

impl Turn {
    /// One that comes when so much has passed.
    pub(super) fn new(place: Place, wait: Duration) -> Self {
        Self { place, wait }
    }

    /// How long it is until it comes.
    pub(crate) fn wait(&self) -> Duration {
        self.wait
    }

    /// What the log tells of it, of a request that has waited so long for others before.
    pub(crate) fn tale(&self, before: Duration) -> Limited {
        let wait = self.wait.saturating_add(before);
        Limited::new(&self.place.0, wait, Why::Delayed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
