//! Retries: which ones are safe, and how many there may be.
//!
//! Two questions, both of which must say yes. [`retry_allowed`] asks whether *this* request may be sent again without
//! anyone being able to tell; [`RetryBudget`] asks whether the site can afford it: when an origin is failing, every request
//! would be retried, and the retries would finish what the failure began.

use std::time::Duration;

use mangrove_http::Moment;

/// What is left of the request body after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// The request has no body.
    NoBody,
    /// The body can be sent again from its first byte: all of it is still held, or none of it was read.
    Replayable,
    /// Bytes of it were read from the client and passed on; they are gone.
    Consumed,
}

/// How an attempt ended, as far as it matters for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No connection, or no byte of the request was written to it.
    NotSent,
    /// The origin said that it did not process it: REFUSED_STREAM, or a GOAWAY below this stream (RFC 9113 section 8.7).
    NotProcessed,
    /// The connection closed or was reset after the request was written and before a byte of the answer.
    Closed,
    /// Written, and no answer in time.
    TimedOut,
    /// An answer began, and was malformed or cut off.
    Malformed,
}

/// Everything the decision depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Whether the method is idempotent (RFC 9110 section 9.2.2).
    pub idempotent: bool,
    /// Whether the body can be sent again.
    pub body: Replay,
    /// Whether a byte of the final response went to the client. Interim (1xx) responses do not count: they promise nothing.
    pub answer_begun: bool,
    /// How the attempt ended.
    pub failure: Failure,
}

/// Why a failed request is not sent again. The first that applies, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NoRetry {
    /// The client already has a byte of the answer; a second answer cannot follow it.
    AnswerBegun,
    /// The body is gone.
    BodyConsumed,
    /// The origin may have acted on it, and doing it twice may differ from doing it once.
    NotIdempotent,
    /// The origin is slow: asking twice makes it slower, and the client has waited long enough.
    TooSlow,
    /// It answered, wrongly. It would answer wrongly again, and the next member should not be shown what upset this one.
    AnsweredMalformed,
    /// Safe, but the site's retry budget is spent.
    BudgetSpent,
}

impl NoRetry {
    /// Every reason.
    pub const ALL: [Self; 6] = [
        Self::AnswerBegun,
        Self::BodyConsumed,
        Self::NotIdempotent,
        Self::TooSlow,
        Self::AnsweredMalformed,
        Self::BudgetSpent,
    ];

    /// The stable name for log and metric.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AnswerBegun => "answer-begun",
            Self::BodyConsumed => "body-consumed",
            Self::NotIdempotent => "not-idempotent",
            Self::TooSlow => "too-slow",
            Self::AnsweredMalformed => "answered-malformed",
            Self::BudgetSpent => "retry-budget-spent",
        }
    }
}

/// Whether a failed attempt may be repeated without the client or the origin being able to come to harm.
///
/// RFC 9110 section 9.2.2 forbids a proxy to retry a non-idempotent request automatically, unless it has some means to
/// know that the first was never applied; RFC 9112 section 9.3.1 says the same of closed connections. So:
///
/// | failure | idempotent | not idempotent |
/// |---|---|---|
/// | `NotSent`, `NotProcessed` | yes | yes |
/// | `Closed` | yes | no |
/// | `TimedOut`, `Malformed` | no | no |
///
/// and always no once an answer has begun or the body is gone.
///
/// # Errors
/// The reason why not.
pub const fn retry_allowed(attempt: Attempt) -> Result<(), NoRetry> {
    if attempt.answer_begun {
        return Err(NoRetry::AnswerBegun);
    }
    if matches!(attempt.body, Replay::Consumed) {
        return Err(NoRetry::BodyConsumed);
    }
    match attempt.failure {
        Failure::NotSent | Failure::NotProcessed => Ok(()),
        _ if !attempt.idempotent => Err(NoRetry::NotIdempotent),
        Failure::Closed => Ok(()),
        Failure::TimedOut => Err(NoRetry::TooSlow),
        Failure::Malformed => Err(NoRetry::AnsweredMalformed),
    }
}

/// At most this many unused retries are saved up: a blip's worth. What a quiet day did not use is no right to a storm.
pub const SAVED_RETRIES: u64 = 100;

/// How large a site's retry budget is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryBudgetSettings {
    /// Retries per hundred requests, 0..=100. Default 20.
    pub percent: u8,
    /// Retries each second that need no requests before them, so that a quiet site can retry at all. 0 with `percent` 0 means
    /// never. Per core. Default 1.
    pub minimum_per_second: u16,
}

impl Default for RetryBudgetSettings {
    fn default() -> Self {
        Self {
            percent: 20,
            minimum_per_second: 1,
        }
    }
}

/// A bucket of retries that every request fills by its share.
///
/// Over any stretch of time: retries ≤ share × requests + minimum × seconds + [`SAVED_RETRIES`].
#[derive(Debug, Clone)]
pub struct RetryBudget {
    settings: RetryBudgetSettings,
    /// Thousandths of a retry, so that shares and milliseconds add up exactly.
    thousandths: u64,
    filled_at: Moment,
}

const ONE_RETRY: u64 = 1000;

impl RetryBudget {
    /// A budget that holds one second's minimum.
    #[must_use]
    pub fn new(settings: RetryBudgetSettings, now: Moment) -> Self {
        let thousandths = u64::from(settings.minimum_per_second) * ONE_RETRY;
        Self {
            settings,
            thousandths: thousandths.min(SAVED_RETRIES * ONE_RETRY),
            filled_at: now,
        }
    }

    /// A first attempt (not a retry) is made.
    pub fn note_request(&mut self, now: Moment) {
        self.fill(
            now,
            u64::from(self.settings.percent.min(100)) * (ONE_RETRY / 100),
        );
    }

    /// Takes one retry out of the budget; `false` when none is left.
    pub fn may_retry(&mut self, now: Moment) -> bool {
        self.fill(now, 0);
        match self.thousandths.checked_sub(ONE_RETRY) {
            Some(left) => {
                self.thousandths = left;
                true
            }
            None => false,
        }
    }

    /// Whole retries left at the last look.
    #[must_use]
    pub const fn left(&self) -> u64 {
        self.thousandths / ONE_RETRY
    }

    /// Goes on from what `old` has left, so that a reload hands out no second budget.
    pub fn inherit(&mut self, old: &Self) {
        self.thousandths = old.thousandths;
        self.filled_at = old.filled_at;
    }

    fn fill(&mut self, now: Moment, thousandths: u64) {
        let passed: Duration = now.saturating_since(self.filled_at);
        let passed = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
        let by_time = passed.saturating_mul(u64::from(self.settings.minimum_per_second));
        self.filled_at = self.filled_at.max(now);
        self.thousandths = self
            .thousandths
            .saturating_add(by_time)
            .saturating_add(thousandths)
            .min(SAVED_RETRIES * ONE_RETRY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn attempt(idempotent: bool, failure: Failure) -> Attempt {
        Attempt {
            idempotent,
            body: Replay::NoBody,
            answer_begun: false,
            failure,
        }
    }

    #[test]
    fn the_truth_table() {
        use Failure::*;
        for (failure, idempotent, otherwise) in [
            (NotSent, Ok(()), Ok(())),
            (NotProcessed, Ok(()), Ok(())),
            (Closed, Ok(()), Err(NoRetry::NotIdempotent)),
            (TimedOut, Err(NoRetry::TooSlow), Err(NoRetry::NotIdempotent)),
            (
                Malformed,
                Err(NoRetry::AnsweredMalformed),
                Err(NoRetry::NotIdempotent),
            ),
        ] {
            assert_eq!(
                retry_allowed(attempt(true, failure)),
                idempotent,
                "{failure:?}"
            );
            assert_eq!(
                retry_allowed(attempt(false, failure)),
                otherwise,
                "{failure:?}"
            );
            let replayable = Attempt {
                body: Replay::Replayable,
                ..attempt(true, failure)
            };
            assert_eq!(retry_allowed(replayable), idempotent, "{failure:?}");
            let consumed = Attempt {
                body: Replay::Consumed,
                ..attempt(true, failure)
            };
            assert_eq!(retry_allowed(consumed), Err(NoRetry::BodyConsumed));
            let begun = Attempt {
                answer_begun: true,
                ..attempt(true, failure)
            };
            assert_eq!(retry_allowed(begun), Err(NoRetry::AnswerBegun));
        }
    }

    #[test]
    fn names_are_distinct() {
        let mut names: Vec<_> = NoRetry::ALL.iter().map(|reason| reason.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), NoRetry::ALL.len());
    }

    #[test]
    fn five_requests_buy_one_retry() {
        let settings = RetryBudgetSettings {
            percent: 20,
            minimum_per_second: 0,
        };
        let mut budget = RetryBudget::new(settings, Moment(0));
        for _ in 0..4 {
            budget.note_request(Moment(0));
        }
        assert!(!budget.may_retry(Moment(0)));
        budget.note_request(Moment(0));
        assert!(budget.may_retry(Moment(0)));
        assert!(!budget.may_retry(Moment(0)));
    }

    #[test]
    fn a_quiet_site_may_retry_once_a_second() {
        let mut budget = RetryBudget::new(RetryBudgetSettings::default(), Moment(0));
        assert!(budget.may_retry(Moment(0)));
        assert!(!budget.may_retry(Moment(999)));
        assert!(budget.may_retry(Moment(1000)));
    }

    #[test]
    fn no_more_than_the_named_number_is_saved() {
        let mut budget = RetryBudget::new(RetryBudgetSettings::default(), Moment(0));
        for _ in 0..10_000 {
            budget.note_request(Moment(0));
        }
        assert_eq!(
            (0..1000).filter(|_| budget.may_retry(Moment(0))).count(),
            100
        );
    }

    #[test]
    fn a_reload_hands_out_no_second_budget() {
        let mut old = RetryBudget::new(RetryBudgetSettings::default(), Moment(0));
        assert!(old.may_retry(Moment(0)));
        let mut new = RetryBudget::new(RetryBudgetSettings::default(), Moment(10));
        new.inherit(&old);
        assert!(!new.may_retry(Moment(10)));
    }

    proptest! {
        #[test]
        fn retries_never_exceed_the_share(
            percent in 0u8..=100,
            minimum in 0u16..5,
            events in prop::collection::vec((any::<bool>(), 0u64..200), 0..2000),
        ) {
            let settings = RetryBudgetSettings { percent, minimum_per_second: minimum };
            let mut budget = RetryBudget::new(settings, Moment(0));
            let (mut now, mut requests, mut retries) = (Moment(0), 0u64, 0u64);
            for (request, pause) in events {
                now = now + Duration::from_millis(pause);
                if request {
                    budget.note_request(now);
                    requests += 1;
                } else if budget.may_retry(now) {
                    retries += 1;
                }
                let allowed = requests * u64::from(percent) * 10 + (now.0 + 1000) * u64::from(minimum);
                prop_assert!(retries * 1000 <= allowed, "{retries} retries for {requests} requests");
            }
        }
    }
}
