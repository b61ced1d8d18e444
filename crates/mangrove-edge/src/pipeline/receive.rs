//! Receive: a head has been read. From here on the request has an id, a clock and a snapshot,
//! and keeps that snapshot to its end.

use std::rc::Rc;

use mangrove_http::RequestHead;

use super::Refused;
use super::record::Story;
use crate::core::{Connection, Core};
use crate::reason::Reason;

/// A request whose head is known.
#[derive(Debug)]
pub struct Received {
    story: Box<Story>,
}

/// Opens the story of a request. `started` is when its first byte was seen, in the clock's nanoseconds.
pub fn receive(
    core: &Rc<Core>,
    connection: &Rc<Connection>,
    head: Rc<RequestHead>,
    started: u64,
) -> Received {
    Received {
        story: Story::open(core, connection, head, started),
    }
}

impl Received {
    /// Its head was not whole before this, in the clock's nanoseconds.
    #[must_use]
    pub fn whole_at(mut self, nanos: u64) -> Self {
        self.story.whole_at(nanos);
        self
    }

    /// How the body's end is found.
    pub fn framing(&self) -> mangrove_http::BodyFraming {
        self.story.head.framing()
    }

    /// The request so far.
    pub fn story(&self) -> &Story {
        &self.story
    }

    /// For a head that could not even be read to its end: it is answered and recorded all the same.
    pub fn refused(self, reason: Reason) -> Refused {
        Refused {
            story: self.story,
            reason,
        }
    }

    /// For a request with nobody left to answer: it is recorded.
    pub fn cut(self, reason: Reason) {
        let mut story = self.story;
        story.blame(reason);
        story.finish();
    }

    pub(super) fn into_story(self) -> Box<Story> {
        self.story
    }
}
