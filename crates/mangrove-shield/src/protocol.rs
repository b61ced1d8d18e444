//! What an HTTP/2 client may make a server do besides answering requests.
//!
//! Every frame costs its receiver something, and some cost the sender nothing: a stream opened and reset at once, a PING that
//! must be answered, a SETTINGS that must be obeyed. Each kind has a budget on each connection: so many at once, and so many more
//! each second. What a client needs such frames for earns it more of them: a request may bring priorities, and every piece of
//! an answer is acknowledged by opening windows. So a fast download never comes near, and a flood does within a blink.
//!
//! ```
//! use mangrove_shield::protocol::{Guard, Kind};
//!
//! let mut guard = Guard::new(0);
//! let resets = (0..).take_while(|_| guard.spend(Kind::Reset, 0).is_ok()).count();
//! assert_eq!(resets, 100); // all at once
//! assert!(guard.spend(Kind::Reset, 1_000).is_ok()); // and ten more a second later
//! ```

/// What has a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A stream that the client reset before it had all of its answer (rapid reset, CVE-2023-44487).
    Reset,
    /// A stream that we had to reset for what the client did on it (MadeYouReset, CVE-2025-8671).
    ForcedReset,
    /// A PING that is not an answer.
    Ping,
    /// SETTINGS, acknowledgements included.
    Settings,
    /// PRIORITY and PRIORITY_UPDATE (RFC 9218).
    Priority,
    /// DATA that brings nothing and ends nothing.
    EmptyData,
    /// CONTINUATION: a field section in more than one frame.
    Continuation,
    /// WINDOW_UPDATE.
    WindowUpdate,
    /// A piece of an answer that is tiny because the client's window takes no more, after another such.
    TinyWindow,
    /// A frame of a type that nobody here knows, which is thrown away (RFC 9113 section 5.5).
    Unknown,
}

/// The budget of one kind on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// At once, on a connection that has not had any for a while.
    pub burst: u32,
    /// More, each second.
    pub per_second: u32,
    /// More for each request.
    pub per_request: u32,
    /// More for each piece of an answer that was sent to the client.
    pub per_piece: u32,
    /// The most that all this can add up to.
    pub most: u32,
    /// Why it is no more and no less.
    pub why: &'static str,
}

impl Kind {
    /// All of them, in their order.
    pub const ALL: [Kind; 10] = [
        Self::Reset,
        Self::ForcedReset,
        Self::Ping,
        Self::Settings,
        Self::Priority,
        Self::EmptyData,
        Self::Continuation,
        Self::WindowUpdate,
        Self::TinyWindow,
        Self::Unknown,
    ];

    /// What it may cost.
    pub const fn budget(self) -> Budget {
        match self {
            Self::Reset => fixed(
                100,
                10,
                "A browser that is sent elsewhere resets all it had asked for, and that is at most the streams it may have open; few programs give up ten requests a second on one connection.",
            ),
            Self::ForcedReset => fixed(
                50,
                1,
                "A client that works provokes none; one with a bug should get some answers before it is sent away.",
            ),
            Self::Ping => Budget {
                per_piece: 1,
                most: 2_000,
                ..fixed(
                    100,
                    10,
                    "Clients look whether the connection lives every few seconds; those that measure it send one for what arrives (gRPC).",
                )
            },
            Self::Settings => fixed(
                20,
                1,
                "One at the beginning, one to acknowledge ours, and seldom a change.",
            ),
            Self::Priority => Budget {
                per_request: 4,
                most: 2_000,
                ..fixed(
                    200,
                    20,
                    "Browsers order their requests as they ask, and again when another tab comes to the front.",
                )
            },
            Self::EmptyData => fixed(50, 5, "Some libraries flush with one; none needs many."),
            Self::Continuation => Budget {
                per_request: 2,
                most: 500,
                ..fixed(
                    50,
                    5,
                    "A head of the longest kind needs two or three beyond its HEADERS frame.",
                )
            },
            Self::WindowUpdate => Budget {
                per_request: 2,
                per_piece: 4,
                most: 10_000,
                ..fixed(
                    400,
                    50,
                    "A client opens two windows again, the stream's and the connection's, for what it is sent.",
                )
            },
            Self::TinyWindow => fixed(
                100,
                10,
                "Clients open their windows by what they have read, or by half of a window; one that takes a hundred tiny pieces in a row wants the work and not the answer.",
            ),
            Self::Unknown => Budget {
                per_request: 2,
                most: 500,
                ..fixed(
                    50,
                    5,
                    "Extensions and grease (RFC 8701) come one to a request.",
                )
            },
        }
    }
}

/// Nothing earns more of these.
const fn fixed(burst: u32, per_second: u32, why: &'static str) -> Budget {
    Budget {
        burst,
        per_second,
        per_request: 0,
        per_piece: 0,
        most: burst,
        why,
    }
}

/// The budget of this kind is spent: the connection should end (ENHANCE_YOUR_CALM, RFC 9113 section 10.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the HTTP/2 connection's budget of {0:?} is spent")]
pub struct Spent(pub Kind);

/// The budgets of one connection.
#[derive(Clone, Debug)]
pub struct Guard {
    purses: [Purse; Kind::ALL.len()],
    requests: u32,
    pieces: u32,
}

/// What is left of one budget, and how much of what fills it was counted already.
#[derive(Clone, Copy, Debug, Default)]
struct Purse {
    /// In thousandths, so that a refill of a few milliseconds is not lost.
    left: u64,
    /// In milliseconds.
    at: u64,
    requests: u32,
    pieces: u32,
}

const WHOLE: u64 = 1_000;

impl Guard {
    /// Of a connection that begins `now`, in milliseconds.
    pub fn new(now: u64) -> Self {
        Self {
            purses: Kind::ALL.map(|kind| Purse {
                left: u64::from(kind.budget().burst) * WHOLE,
                at: now,
                ..Purse::default()
            }),
            requests: 0,
            pieces: 0,
        }
    }

    /// The client opened a stream.
    #[inline]
    pub fn request(&mut self) {
        self.requests = self.requests.wrapping_add(1);
    }

    /// The client was sent a piece of an answer.
    #[inline]
    pub fn piece(&mut self) {
        self.pieces = self.pieces.wrapping_add(1);
    }

    /// It made us deal with one of this kind.
    ///
    /// # Errors
    /// When there were too many.
    pub fn spend(&mut self, kind: Kind, now: u64) -> Result<(), Spent> {
        let (requests, pieces) = (self.requests, self.pieces);
        let purse = self.purses.get_mut(kind as usize).ok_or(Spent(kind))?;
        purse.fill(&kind.budget(), now, requests, pieces);
        purse.left = purse.left.checked_sub(WHOLE).ok_or(Spent(kind))?;
        Ok(())
    }
}

impl Purse {
    fn fill(&mut self, budget: &Budget, now: u64, requests: u32, pieces: u32) {
        // Time alone fills it no further than a burst.
        let burst = u64::from(budget.burst) * WHOLE;
        let by_time = now
            .saturating_sub(self.at)
            .saturating_mul(u64::from(budget.per_second));
        if self.left < burst {
            self.left = self.left.saturating_add(by_time).min(burst);
        }
        let new = |count: u32, known: u32, each: u32| {
            u64::from(count.wrapping_sub(known)).saturating_mul(u64::from(each))
        };
        let earned = new(requests, self.requests, budget.per_request).saturating_add(new(
            pieces,
            self.pieces,
            budget.per_piece,
        ));
        let most = u64::from(budget.most) * WHOLE;
        if self.left < most {
            self.left = self
                .left
                .saturating_add(earned.saturating_mul(WHOLE))
                .min(most);
        }
        // A clock that stands still or goes back refills nothing twice.
        self.at = self.at.max(now);
        (self.requests, self.pieces) = (requests, pieces);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// How many of `kind` one may send, `apart` microseconds from each other.
    fn until_spent(kind: Kind, apart: u64, at_most: usize) -> usize {
        let mut guard = Guard::new(0);
        (0u64..)
            .take(at_most)
            .take_while(|n| guard.spend(kind, n * apart / 1_000).is_ok())
            .count()
    }

    #[test]
    fn resets_end_the_connection_by_the_200th_in_a_burst_or_paced() {
        assert_eq!(until_spent(Kind::Reset, 0, 1_000), 100);
        assert_eq!(until_spent(Kind::Reset, 100, 1_000), 100); // ten a millisecond
        assert_eq!(until_spent(Kind::Reset, 10_000, 1_000), 111); // a hundred a second
        assert!(until_spent(Kind::Reset, 50_000, 1_000) < 200); // twenty a second
        assert_eq!(until_spent(Kind::Reset, 100_000, 1_000), 1_000); // ten a second, for ever
    }

    #[test]
    fn every_budget_ends_one_past_its_burst() {
        for kind in Kind::ALL {
            let burst = kind.budget().burst as usize;
            assert_eq!(until_spent(kind, 0, 100_000), burst, "{kind:?}");
        }
    }

    #[test]
    fn a_download_earns_the_windows_it_opens_and_no_more_than_the_ceiling() {
        let mut guard = Guard::new(0);
        for _ in 0..100_000 {
            guard.piece();
            for _ in 0..2 {
                assert_eq!(guard.spend(Kind::WindowUpdate, 0), Ok(()));
            }
            assert_eq!(guard.spend(Kind::Ping, 0), Ok(()));
        }
        for kind in [Kind::WindowUpdate, Kind::Ping] {
            let left = (0..).take_while(|_| guard.spend(kind, 0).is_ok()).count();
            assert!(left <= kind.budget().most as usize, "{kind:?}: {left}");
        }
        assert_eq!(until_spent(Kind::Reset, 0, 1_000), 100);
    }

    #[test]
    fn a_browser_of_thousands_of_requests_is_never_told_to_calm_down() {
        let mut guard = Guard::new(0);
        for n in 0..10_000 {
            guard.request();
            for kind in [Kind::Priority, Kind::WindowUpdate, Kind::Unknown] {
                assert_eq!(guard.spend(kind, n), Ok(()));
            }
        }
    }

    proptest! {
        /// Whatever a client does, no more gets through than a burst, what time brings, and what it earned.
        #[test]
        fn nothing_is_spent_that_was_not_there(steps in proptest::collection::vec((0u64..400, 0..Kind::ALL.len(), 0u8..3), 0..2_000)) {
            let (mut guard, mut now) = (Guard::new(0), 0);
            let (mut spent, mut requests, mut pieces) = ([0u64; Kind::ALL.len()], 0u64, 0u64);
            for (pause, kind, earns) in steps {
                now += pause;
                match earns {
                    1 => { guard.request(); requests += 1; }
                    2 => { guard.piece(); pieces += 1; }
                    _ => {}
                }
                if guard.spend(Kind::ALL[kind], now).is_ok() {
                    spent[kind] += 1;
                }
            }
            for (kind, spent) in Kind::ALL.into_iter().zip(spent) {
                let budget = kind.budget();
                let most = u64::from(budget.burst) + now * u64::from(budget.per_second) / 1_000
                    + requests * u64::from(budget.per_request) + pieces * u64::from(budget.per_piece);
                prop_assert!(spent <= most, "{:?}: {} of {}", kind, spent, most);
            }
        }
    }
}
