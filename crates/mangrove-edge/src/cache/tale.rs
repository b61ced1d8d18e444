//! What the cache did about one request, as `Cache-Status`, the log and the metrics tell it.

use mangrove_cache::{Action, CacheStatus, Decision, NotStored, Outcome, Reason};

/// The word of the log and the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheResult {
    /// Answered with what was kept and fresh.
    Hit,
    /// Answered with what was kept although stale.
    Stale,
    /// Answered with what was kept after the origin confirmed it.
    Revalidated,
    /// Answered by the origin.
    Miss,
    /// The cache was not asked.
    Bypass,
    /// Nobody was to be asked, and nothing was kept.
    Refused,
}

impl CacheResult {
    /// All of them, in the order of the metrics.
    pub const ALL: [Self; 6] = [
        Self::Hit,
        Self::Stale,
        Self::Revalidated,
        Self::Miss,
        Self::Bypass,
        Self::Refused,
    ];

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Revalidated => "revalidated",
            Self::Miss => "miss",
            Self::Bypass => "bypass",
            Self::Refused => "refused",
        }
    }
}

/// What the cache did about one request.
#[derive(Clone, Copy, Debug)]
pub struct CacheTale {
    /// In one word.
    pub result: CacheResult,
    /// Why.
    pub reason: Reason,
    /// Seconds that what was served stays fresh; negative when it is stale.
    pub ttl: Option<i64>,
    /// The status of the origin's answer, where it is not that of this one.
    pub forward_status: Option<u16>,
    /// Whether the answer is kept.
    pub stored: bool,
    /// Why it is not.
    pub not_stored: Option<NotStored>,
    /// Whether the request shared the fetch of another.
    pub collapsed: bool,
    /// Whether what was served had been read from the disk for it.
    pub from_disk: bool,
    /// As `Cache-Status` puts it.
    outcome: Outcome,
}

impl CacheTale {
    /// What a decision alone tells.
    pub fn of(decision: Decision) -> Self {
        let status = CacheStatus::of(decision, "");
        let bypassed = matches!(
            decision.reason.forward(),
            mangrove_cache::Forward::Bypass | mangrove_cache::Forward::Method
        ) || decision.reason == Reason::RequestContent;
        let result = match decision.action {
            Action::Serve => CacheResult::Hit,
            Action::ServeStale { .. } => CacheResult::Stale,
            Action::Refuse => CacheResult::Refused,
            Action::Revalidate | Action::Fetch if bypassed => CacheResult::Bypass,
            Action::Revalidate | Action::Fetch => CacheResult::Miss,
        };
        Self {
            result,
            reason: decision.reason,
            ttl: None,
            forward_status: None,
            stored: false,
            not_stored: None,
            collapsed: false,
            from_disk: false,
            outcome: status.outcome,
        }
    }

    /// Served in place of the origin's failure.
    pub fn instead_of_failure(self, decision: Decision, status: Option<u16>) -> Self {
        Self {
            result: match decision.action {
                Action::Serve => CacheResult::Hit,
                _ => CacheResult::Stale,
            },
            reason: decision.reason,
            forward_status: status,
            ..self
        }
    }

    /// Appends the member of `Cache-Status` (RFC 9211).
    pub fn write(&self, name: &str, out: &mut Vec<u8>) {
        let detail = match self.not_stored {
            Some(why) if self.result == CacheResult::Miss => why.name(),
            _ => self.reason.name(),
        };
        CacheStatus {
            name,
            outcome: self.outcome,
            ttl: self.ttl,
            forward_status: self.forward_status,
            stored: self.stored,
            collapsed: self.collapsed,
            detail: Some(detail),
        }
        .write(out);
    }
}
