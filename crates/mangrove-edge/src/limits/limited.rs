//! What a client is told of the limits he met, and what the log is.

use std::sync::Arc;
use std::time::Duration;

use mangrove_config::LimitAction;

use super::SiteLimit;
use crate::log::push_decimal;
use crate::pipeline::Story;
use crate::reason::{EdgeReason, Reason};

/// A request that was one too many, or had to wait for its turn.
#[derive(Clone, Debug)]
pub struct Limited {
    limit: Arc<SiteLimit>,
    wait: Duration,
    why: Why,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Refused: its key has had what it may have.
    Spent,
    /// Refused: it would have had to wait, and as many wait as may.
    NoRoomToWait,
    /// Answered when its turn had come.
    Delayed,
}

/// How much is left under a limit, for who is within it.
#[derive(Clone, Debug)]
pub struct Told {
    limit: Arc<SiteLimit>,
    owes: Duration,
}

impl Limited {
    pub(super) fn new(limit: &Arc<SiteLimit>, wait: Duration, why: Why) -> Self {
        Self {
            limit: Arc::clone(limit),
            wait,
            why,
        }
    }

    /// What it is called everywhere, where it was refused.
    pub fn reason(&self) -> Reason {
        match (self.why, self.limit.settings.action) {
            (Why::NoRoomToWait, _) => EdgeReason::RateLimitedNoRoom.into(),
            (_, LimitAction::Close) => EdgeReason::RateLimitedClosed.into(),
            _ => EdgeReason::RateLimited.into(),
        }
    }

    /// Whether it was refused.
    pub fn is_refused(&self) -> bool {
        self.why != Why::Delayed
    }

    /// How long until the client may ask again; or how long it had to wait.
    pub fn wait(&self) -> Duration {
        self.wait
    }

    /// The limit's name.
    pub fn name(&self) -> &str {
        &self.limit.settings.name
    }
}

impl Told {
    pub(super) fn new(limit: &Arc<SiteLimit>, owes: Duration) -> Self {
        Self {
            limit: Arc::clone(limit),
            owes,
        }
    }
}

/// The fields that tell a client of the limits he met (draft-ietf-httpapi-ratelimit-headers-10; RFC 9110 section 10.2.3).
#[inline]
pub(crate) fn tell(story: &Story, field: impl FnMut(&'static [u8], &[u8])) {
    if story.limited.is_some() || !story.told.is_empty() {
        tell_all(story, field);
    }
}

#[cold]
fn tell_all(story: &Story, mut field: impl FnMut(&'static [u8], &[u8])) {
    let refused = story.limited.as_deref();
    let refused = refused.filter(|limited| limited.is_refused());
    let within = story.told.iter().map(|told| {
        let left = told.limit.limiter.rate().left(told.owes);
        (&*told.limit, left, seconds(told.owes))
    });
    let over = refused.map(|limited| (&*limited.limit, 0, seconds(limited.wait)));
    let mut limits = story.core.take_buffer();
    let mut policies = Policies::default();
    for (limit, left, time) in within.chain(over) {
        if !limits.is_empty() {
            limits.extend_from_slice(b", ");
        }
        policies.push(&limit.policy);
        limits.push(b'"');
        limits.extend_from_slice(limit.settings.name.as_bytes());
        limits.extend_from_slice(b"\";r=");
        push_decimal(&mut limits, left);
        limits.extend_from_slice(b";t=");
        push_decimal(&mut limits, time);
    }
    if !limits.is_empty() {
        field(b"ratelimit-policy", policies.written());
        field(b"ratelimit", &limits);
    }
    if let Some(limited) = refused {
        limits.clear();
        push_decimal(&mut limits, seconds(limited.wait));
        field(b"retry-after", &limits);
    }
    story.core.give_buffer(limits);
}

/// The policies of the limits that are told. Mostly it is one, which is written already.
#[derive(Default)]
enum Policies<'a> {
    #[default]
    None,
    One(&'a [u8]),
    Several(Vec<u8>),
}

impl<'a> Policies<'a> {
    fn push(&mut self, policy: &'a [u8]) {
        match self {
            Self::None => *self = Self::One(policy),
            Self::One(first) => *self = Self::Several([first, &b", "[..], policy].concat()),
            Self::Several(list) => {
                list.extend_from_slice(b", ");
                list.extend_from_slice(policy);
            }
        }
    }

    fn written(&self) -> &[u8] {
        match self {
            Self::None => b"",
            Self::One(policy) => policy,
            Self::Several(list) => list,
        }
    }
}

/// Whole seconds, of which none is over too early.
fn seconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1_000_000_000)).unwrap_or(u64::MAX)
}
