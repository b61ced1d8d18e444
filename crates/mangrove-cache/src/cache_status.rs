//! `Cache-Status` (RFC 9211): what the cache did, for whoever debugs it.

use mangrove_http::is_token;

use crate::decide::{Action, Decision};
use crate::range::push_decimal;
use crate::reason::Forward;

/// What the cache did about one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheStatus<'a> {
    /// The name of this cache: [`Rules::name`](crate::Rules::name).
    pub name: &'a str,
    /// Answered from the cache, or why not.
    pub outcome: Outcome,
    /// Seconds that what was served stays fresh; negative when it is stale.
    pub ttl: Option<i64>,
    /// The status of the origin's response, where it is not that of the answer.
    pub forward_status: Option<u16>,
    /// Whether the response was stored.
    pub stored: bool,
    /// Whether the request shared the fetch of another.
    pub collapsed: bool,
    /// The name of the reason.
    pub detail: Option<&'a str>,
}

/// Whether the origin was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was not.
    Hit,
    /// It was, for this reason.
    Forward(Forward),
    /// It was not, and nothing could be served.
    Refused,
}

impl<'a> CacheStatus<'a> {
    /// What a decision alone tells; the rest is for the caller to fill in.
    pub fn of(decision: Decision, name: &'a str) -> CacheStatus<'a> {
        let outcome = match decision.action {
            Action::Serve | Action::ServeStale { .. } => Outcome::Hit,
            Action::Revalidate | Action::Fetch => Outcome::Forward(decision.reason.forward()),
            Action::Refuse => Outcome::Refused,
        };
        CacheStatus {
            name,
            outcome,
            ttl: None,
            forward_status: None,
            stored: false,
            collapsed: false,
            detail: Some(decision.reason.name()),
        }
    }

    /// Appends the member of the list that this cache adds: `mangrove; hit; ttl=30; detail=fresh`.
    pub fn write(&self, out: &mut Vec<u8>) {
        write_name(self.name, out);
        match self.outcome {
            Outcome::Hit => out.extend_from_slice(b"; hit"),
            Outcome::Forward(forward) => {
                out.extend_from_slice(b"; fwd=");
                out.extend_from_slice(forward.token().as_bytes());
            }
            Outcome::Refused => {}
        }
        if let Some(status) = self.forward_status {
            out.extend_from_slice(b"; fwd-status=");
            push_decimal(out, u64::from(status));
        }
        if let Some(ttl) = self.ttl {
            out.extend_from_slice(b"; ttl=");
            if ttl < 0 {
                out.push(b'-');
            }
            push_decimal(out, ttl.unsigned_abs());
        }
        if self.stored {
            out.extend_from_slice(b"; stored");
        }
        if self.collapsed {
            out.extend_from_slice(b"; collapsed");
        }
        if let Some(detail) = self.detail {
            out.extend_from_slice(b"; detail=");
            write_name(detail, out);
        }
    }
}

/// A token where it is one, else a string (RFC 9651 section 3.3.3); characters that no string may hold are left out.
fn write_name(name: &str, out: &mut Vec<u8>) {
    let token = is_token(name.as_bytes())
        && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '*');
    if token {
        return out.extend_from_slice(name.as_bytes());
    }
    out.push(b'"');
    for byte in name.bytes().filter(|byte| (b' '..=b'~').contains(byte)) {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Reason;

    fn written(status: CacheStatus<'_>) -> String {
        let mut out = Vec::new();
        status.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_people_read() {
        let decision = |action, reason| CacheStatus::of(Decision { action, reason }, "mangrove");
        let hit = CacheStatus {
            ttl: Some(30),
            ..decision(Action::Serve, Reason::Fresh)
        };
        assert_eq!(written(hit), "mangrove; hit; ttl=30; detail=fresh");
        let stale = decision(
            Action::ServeStale { revalidate: true },
            Reason::StaleWhileRevalidate,
        );
        assert_eq!(
            written(CacheStatus {
                ttl: Some(-412),
                ..stale
            }),
            "mangrove; hit; ttl=-412; detail=stale-while-revalidate"
        );
        let miss = CacheStatus {
            stored: true,
            collapsed: true,
            ..decision(Action::Fetch, Reason::Miss)
        };
        assert_eq!(
            written(miss),
            "mangrove; fwd=uri-miss; stored; collapsed; detail=miss"
        );
        let confirmed = CacheStatus {
            forward_status: Some(304),
            detail: None,
            ..decision(Action::Revalidate, Reason::Stale)
        };
        assert_eq!(written(confirmed), "mangrove; fwd=stale; fwd-status=304");
        let refused = decision(Action::Refuse, Reason::OnlyIfCached);
        assert_eq!(written(refused), "mangrove; detail=only-if-cached");
        let odd = CacheStatus {
            name: "my \"edge\"\n",
            ..confirmed
        };
        assert_eq!(
            written(odd),
            "\"my \\\"edge\\\"\"; fwd=stale; fwd-status=304"
        );
    }
}
