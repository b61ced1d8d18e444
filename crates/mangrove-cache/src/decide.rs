//! What becomes of a request: the state table (RFC 9111 section 4).
//!
//! Nothing here allocates; [`decide`] is on the path of every hit.

use mangrove_http::{Method, UnixMillis};

use crate::asked::Asked;
use crate::conditions;
use crate::range::{AskedRange, Interval};
use crate::reason::Reason;
use crate::rules::Rules;
use crate::stored::{Content, Stored};

/// What to do, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// What to do.
    pub action: Action,
    /// Why.
    pub reason: Reason,
}

/// What to do with a request. That one waits for the fetch of another is the caller's decision; see
/// [`Asked::may_collapse`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Answer with what is stored.
    Serve,
    /// Answer with what is stored although it is stale.
    ServeStale {
        /// Ask the origin about it as well, without letting the client wait.
        revalidate: bool,
    },
    /// Ask the origin about what is stored, with its [`conditions`](crate::conditions), and let the client wait.
    Revalidate,
    /// Ask the origin as if nothing was stored.
    Fetch,
    /// Answer 504.
    Refuse,
}

/// What is stored for the URL of a request.
#[derive(Debug, Clone, Copy)]
pub enum Found<'s> {
    /// Nothing.
    Nothing,
    /// Something, but [`select`](crate::select) chose none.
    OtherVariants,
    /// What [`select`](crate::select) chose.
    This(&'s Stored),
}

impl<'s> From<Option<&'s Stored>> for Found<'s> {
    fn from(stored: Option<&'s Stored>) -> Found<'s> {
        stored.map_or(Found::Nothing, Found::This)
    }
}

/// Whether the origin can be asked at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OriginState {
    /// As far as is known.
    Reachable,
    /// No: every member is ejected, its breaker is open, or the edge is cut off.
    Down,
}

/// What becomes of a request.
pub fn decide(
    asked: &Asked<'_>,
    found: Found<'_>,
    now: UnixMillis,
    origin: OriginState,
    rules: &Rules,
) -> Decision {
    if let Some(reason) = asked.bypass {
        return fetch(reason);
    }
    let decision = match found {
        Found::Nothing if asked.directives.no_store => fetch(Reason::NoStoreRequest),
        Found::Nothing => fetch(Reason::Miss),
        Found::OtherVariants => fetch(Reason::VariantMiss),
        Found::This(stored) => decide_for(asked, stored, now, origin, rules),
    };
    let goes_forward = matches!(decision.action, Action::Revalidate | Action::Fetch);
    if goes_forward && asked.directives.only_if_cached {
        return Decision {
            action: Action::Refuse,
            reason: Reason::OnlyIfCached,
        };
    }
    decision
}

/// The decision where what is stored would be served, and some of the bytes that are asked for are not at hand.
pub fn decide_in_parts(asked: &Asked<'_>, decision: Decision) -> Decision {
    if !matches!(decision.action, Action::Serve | Action::ServeStale { .. }) {
        return decision;
    }
    match asked.directives.only_if_cached {
        true => Decision {
            action: Action::Refuse,
            reason: Reason::OnlyIfCached,
        },
        false => fetch(Reason::Partial),
    }
}

fn decide_for(
    asked: &Asked<'_>,
    stored: &Stored,
    now: UnixMillis,
    origin: OriginState,
    rules: &Rules,
) -> Decision {
    if !holds_what_is_asked(asked, stored, now) {
        return fetch(Reason::PartialMiss);
    }
    if asked.conditional && conditions::is_for_origin(asked.request, stored) {
        return fetch(Reason::PreconditionForOrigin);
    }
    match why_not_fresh(asked, stored, now) {
        Ok(reason) => Decision {
            action: Action::Serve,
            reason,
        },
        Err(reason) => instead_of_fresh(reason, asked, stored, now, origin, rules),
    }
}

/// Why it may be served as it is, or why it may not.
fn why_not_fresh(asked: &Asked<'_>, stored: &Stored, now: UnixMillis) -> Result<Reason, Reason> {
    if stored.invalidated {
        return Err(Reason::Invalidated);
    }
    if stored.reuse.no_cache {
        return Err(Reason::NoCacheResponse);
    }
    let age = stored.age(now);
    let Some(fresh_for) = stored.fresh_for(now) else {
        return Err(Reason::Stale);
    };
    let wants = asked.directives;
    if wants.no_cache {
        return Err(Reason::NoCacheRequest);
    }
    if wants.min_fresh.is_some_and(|seconds| fresh_for < seconds) {
        return Err(Reason::MinFreshRequest);
    }
    match wants.max_age {
        // Section 5.2.1.1: an age above max-age is unwanted; max-age=0 asks for a confirmation in any case.
        Some(seconds) if age > seconds || seconds == 0 => match stored.reuse.immutable {
            true => Ok(Reason::Immutable),
            false => Err(Reason::MaxAgeRequest),
        },
        _ => Ok(Reason::Fresh),
    }
}

/// What to do about one that is not simply served, for `reason`.
fn instead_of_fresh(
    reason: Reason,
    asked: &Asked<'_>,
    stored: &Stored,
    now: UnixMillis,
    origin: OriginState,
    rules: &Rules,
) -> Decision {
    let down = origin == OriginState::Down;
    let stale = |reason, revalidate| Decision {
        action: Action::ServeStale { revalidate },
        reason,
    };
    match stored.staleness(now) {
        // The client's wishes are preferences (section 5.2.1): a fresh response is better than none.
        None if down && !stored.needs_confirmation() => {
            return Decision {
                action: Action::Serve,
                reason: Reason::FreshOriginDown,
            };
        }
        Some(staleness) => {
            let unwilling = asked.directives.no_cache
                || asked.directives.max_age.is_some()
                || asked.directives.min_fresh.is_some();
            let client_accepts = asked
                .directives
                .max_stale
                .is_some_and(|seconds| staleness <= seconds);
            if client_accepts && !stored.never_stale() && !asked.directives.no_cache {
                return stale(Reason::MaxStale, false);
            }
            if !unwilling && staleness < stored.stale_while_revalidate(rules) {
                return stale(Reason::StaleWhileRevalidate, !down);
            }
            if down && staleness < stored.stale_origin_down(rules) {
                return stale(Reason::StaleOriginDown, false);
            }
        }
        _ => {}
    }
    match stored.has_validator() {
        true => Decision {
            action: Action::Revalidate,
            reason,
        },
        false => fetch(reason),
    }
}

/// What went wrong when the origin was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// No response: not reached, not in time, or not one that can be trusted.
    NoResponse,
    /// A response with this status.
    Status(u16),
}

impl Failure {
    /// Whether it is a failure at all: of statuses only 500, 502, 503 and 504 (RFC 5861 section 4).
    pub const fn is_failure(self) -> bool {
        matches!(
            self,
            Failure::NoResponse | Failure::Status(500 | 502 | 503 | 504)
        )
    }
}

/// Whether what is stored may be served in place of the origin's failure (RFC 9111 sections 4.2.4 and 4.3.3,
/// RFC 5861 section 4); `None` when the failure is what the client gets.
pub fn on_error(
    asked: &Asked<'_>,
    stored: Option<&Stored>,
    now: UnixMillis,
    failure: Failure,
    rules: &Rules,
) -> Option<Decision> {
    let stored = stored
        .filter(|stored| asked.bypass.is_none() && holds_what_is_asked(asked, stored, now))?;
    if !failure.is_failure()
        || (asked.conditional && conditions::is_for_origin(asked.request, stored))
    {
        return None;
    }
    match stored.staleness(now) {
        None if !stored.needs_confirmation() => Some(Decision {
            action: Action::Serve,
            reason: Reason::FreshOriginDown,
        }),
        None => None,
        Some(staleness) => {
            let client = asked
                .directives
                .stale_if_error
                .into_iter()
                .chain(asked.directives.max_stale)
                .max();
            let client = client.filter(|_| !stored.never_stale()).unwrap_or(0);
            let site = match failure {
                Failure::NoResponse => stored
                    .stale_if_error(rules)
                    .max(stored.stale_origin_down(rules)),
                Failure::Status(_) => stored.stale_if_error(rules),
            };
            let allowed = site.max(client);
            (staleness < allowed).then_some(Decision {
                action: Action::ServeStale { revalidate: false },
                reason: Reason::StaleIfError,
            })
        }
    }
}

fn fetch(reason: Reason) -> Decision {
    Decision {
        action: Action::Fetch,
        reason,
    }
}

/// Whether the bytes that the request is for are stored (section 3.3).
fn holds_what_is_asked(asked: &Asked<'_>, stored: &Stored, now: UnixMillis) -> bool {
    let Content::Part { held, total } = stored.content else {
        return true;
    };
    // A HEAD is answered with the fields of the whole, which a part does not tell.
    if asked.request.method() != Method::Get
        || !conditions::range_applies(asked.request, stored, now)
    {
        return false;
    }
    part_within(asked.range, held, total).is_some()
}

/// The bytes of a stored part that answer a range.
pub(crate) fn part_within(
    asked: AskedRange,
    held: Interval,
    total: Option<u64>,
) -> Option<Interval> {
    use crate::range::RangeSpec;
    let AskedRange::One(spec) = asked else {
        return None;
    };
    let wanted = match (total, spec) {
        (Some(total), spec) => spec.within(total)?,
        (
            None,
            RangeSpec::From {
                first,
                last: Some(last),
            },
        ) => Interval::new(first, last)?,
        (None, _) => return None,
    };
    held.contains(wanted).then_some(wanted)
}
