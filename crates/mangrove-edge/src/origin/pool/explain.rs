//! What the pool would say if asked why: for the admin page and the log.

use std::fmt;
use std::sync::Arc;

use mangrove_http::Moment;

use super::{Address, MemberId, Outcome};

/// Whether a member is used, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It takes part in every choice.
    Ready,
    /// It has as many requests as it may.
    Full,
    /// Connections to it fail; nothing is sent until then, and a few trials after.
    BreakerOpen {
        /// When the trials begin.
        until: Moment,
    },
    /// Visitors' requests failed there in a row.
    Ejected {
        /// When it is back, on probation.
        until: Moment,
    },
    /// Probes failed there in a row.
    Down,
    /// Its name no longer resolves to it; it finishes what it was given.
    Leaving,
}

impl Standing {
    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Full => "full",
            Self::BreakerOpen { .. } => "breaker-open",
            Self::Ejected { .. } => "ejected",
            Self::Down => "down",
            Self::Leaving => "leaving",
        }
    }

    /// Until when, if time ends it.
    #[must_use]
    pub const fn until(self) -> Option<Moment> {
        match self {
            Self::BreakerOpen { until } | Self::Ejected { until } => Some(until),
            Self::Ready | Self::Full | Self::Down | Self::Leaving => None,
        }
    }
}

/// One member, explained. `Display` gives it in one line.
#[derive(Debug, Clone, PartialEq)]
pub struct MemberReport {
    /// The member.
    pub member: MemberId,
    /// The origin it belongs to, as the settings spell it.
    pub origin: Arc<str>,
    /// Where it is.
    pub address: Address,
    /// The percentage of the requests that falls to it while all members are ready.
    pub share_percent: f64,
    /// Whether it is used, and if not, why.
    pub standing: Standing,
    /// When the explanation was given, to compute remaining times from.
    pub at: Moment,
    /// Requests given and not yet finished.
    pub outstanding: u32,
    /// How often it was ejected lately.
    pub ejections: u32,
    /// The last failure of a visitor's request, and when.
    pub last_failure: Option<(Outcome, Moment)>,
}

impl fmt::Display for MemberReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            origin,
            address,
            share_percent,
            outstanding,
            ejections,
            ..
        } = self;
        write!(f, "{origin} at {address}: {}", self.standing.name())?;
        if let Some(until) = self.standing.until() {
            write!(
                f,
                " for {} s more",
                until.saturating_since(self.at).as_secs()
            )?;
        }
        write!(f, ", share {share_percent:.1}%, outstanding {outstanding}")?;
        if *ejections > 0 {
            write!(f, ", ejected {ejections} times lately")?;
        }
        if let Some((outcome, when)) = self.last_failure {
            let ago = self.at.saturating_since(when).as_secs();
            write!(f, ", last failure {} {ago} s ago", outcome.name())?;
            if let Outcome::Status5xx(status) = outcome {
                write!(f, " (status {status})")?;
            }
        }
        Ok(())
    }
}
