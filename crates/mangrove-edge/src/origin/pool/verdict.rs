//! What a pool says, and every reason it has to say no.

use mangrove_http::Moment;

use super::{MemberId, Target, Ticket};

/// Why a request gets no origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Every member is down.
    NoHealthyOrigin,
    /// No connection to the members comes about, or waits have become too long to add another.
    BreakerOpen,
    /// Every member is full, and so is the queue.
    AtCapacity,
    /// It waited for a place until its deadline.
    QueueTimeout,
    /// No origin's name has ever been resolved.
    NameNotResolved,
    /// A retry, and no member is left that it has not tried.
    AllTried,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 6] = [
        Self::NoHealthyOrigin,
        Self::BreakerOpen,
        Self::AtCapacity,
        Self::QueueTimeout,
        Self::NameNotResolved,
        Self::AllTried,
    ];

    /// The stable name: in header, log, metric and test.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoHealthyOrigin => "no-healthy-origin",
            Self::BreakerOpen => "breaker-open",
            Self::AtCapacity => "at-capacity",
            Self::QueueTimeout => "queue-timeout",
            Self::NameNotResolved => "name-not-resolved",
            Self::AllTried => "all-origins-tried",
        }
    }
}

/// What [`Pool::choose`](super::Pool::choose) says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// This member, now.
    Use(MemberId),
    /// Nobody yet; worth waiting.
    Wait {
        /// For at most so long.
        until: Moment,
        /// For what: `AtCapacity` a place, `NameNotResolved` a first address.
        reason: Reason,
    },
    /// Nobody.
    Refuse(Reason),
}

/// What [`Pool::acquire`](super::Pool::acquire) did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acquired {
    /// A place at this member is taken; it must be [released](super::Pool::release).
    Granted(MemberId),
    /// The request waits; its [`Turn`] will come, unless it is [abandoned](super::Pool::abandon).
    Queued(Ticket),
    /// It will not be served.
    Refused(Reason),
}

/// The end of a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// A place at the member is taken for it; it must be [released](super::Pool::release), also if nobody is there any more.
    Granted {
        /// Whose turn it is.
        ticket: Ticket,
        /// Where.
        member: MemberId,
    },
    /// It waited in vain.
    Refused {
        /// Whose wait is over.
        ticket: Ticket,
        /// Why.
        reason: Reason,
    },
}

/// A probe that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Whom [`Pool::probe_result`](super::Pool::probe_result) will be about.
    pub member: MemberId,
    /// Where to send it.
    pub target: Target,
}
