//! A request whose turn under a rate limit has not come. It holds its head and its place among those who wait, and nothing else:
//! what the cache had for it is looked for again afterwards.

use mangrove_http::Moment;

use super::inspect::Inspected;
use super::record::Story;
use super::{Begun, go_on};
use crate::limits::Turn;
use crate::wheel::Timer;

/// A request that waits for its turn.
#[derive(Debug)]
pub struct Held {
    inspected: Inspected,
    turn: Turn,
}

impl Held {
    pub(super) fn new(inspected: Inspected, turn: Turn) -> Self {
        Self { inspected, turn }
    }

    /// Expires when its turn has come.
    pub fn timer(&self) -> Timer {
        timer(self.inspected.story(), &self.turn)
    }

    /// Takes it further: its turn has come.
    pub fn go_on(mut self) -> Begun {
        drop(self.turn);
        self.inspected.story_mut().has_waited();
        go_on(self.inspected)
    }

    /// Ends it before that: its client has gone.
    pub fn leave(self) -> Box<Story> {
        self.inspected.into_story()
    }
}

/// Expires when a request's turn has come. That is counted from when the request was judged.
pub(super) fn timer(story: &Story, turn: &Turn) -> Timer {
    let timer = story.core.wheel.timer();
    let wait = turn.wait().as_nanos().div_ceil(1_000_000);
    let wait = u64::try_from(wait).unwrap_or(u64::MAX);
    let began = story.judged_from() / 1_000_000;
    timer.arm(Moment(began.saturating_add(wait)));
    timer
}
