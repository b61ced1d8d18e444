//! What an answer was, and whether it may be that: the promise, in one table.

use super::origin::{FAILURE, Mood};
use crate::visit::{Answer, Failure};

/// What a visitor asks for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub(super) enum Kind {
    /// Kept, and fresh all the time.
    #[default]
    Fresh,
    /// Kept, stale for most of the time, and nothing forbids to serve it stale.
    Stale,
    /// The same, but for `must-revalidate` (RFC 9111 section 5.2.2.2).
    Strict,
    /// Never asked for before.
    Unknown,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Fresh, Self::Stale, Self::Strict, Self::Unknown];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Stale => "stale, permitted",
            Self::Strict => "must-revalidate",
            Self::Unknown => "unknown",
        }
    }

    pub(super) fn folder(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Strict => "strict",
            Self::Unknown => "unknown",
        }
    }
}

/// How things stand.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub(super) enum Phase {
    #[default]
    Before,
    /// The origin is out.
    Out,
    /// It is back, and perhaps not everyone knows it.
    Back,
}

impl Phase {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::Out => "out",
            Self::Back => "back",
        }
    }
}

/// What came back, in as few words as tell it from everything else.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Got {
    /// The right bytes, and what the cache says of them.
    Bytes { detail: String, is_hit: bool },
    /// Mangrove's page, with its status and its name.
    Page { status: u16, name: String },
    /// The origin's own failure, word for word.
    OriginsOwn,
    /// Anything else.
    Other(String),
}

/// Says what an answer is.
pub(super) fn got(answer: &Answer) -> Got {
    let detail = parameter(&answer.cache_status, "detail=");
    match (answer.status, &answer.flaw) {
        (200, None) => Got::Bytes {
            detail: detail.to_owned(),
            is_hit: answer.cache_status.contains("; hit"),
        },
        (200, Some(flaw)) => Got::Other(format!("{:?}: {}", flaw.trouble, flaw.words)),
        (500, _) if answer.page == FAILURE => Got::OriginsOwn,
        (status, _) => {
            let name = parameter(&answer.proxy_status, "details=").trim_matches('"');
            // What people read names it as the field does, with its meaning.
            match !name.is_empty() && answer.page.contains(&format!(" {name}: ")) {
                true => Got::Page {
                    status,
                    name: name.to_owned(),
                },
                false => Got::Other(format!(
                    "{status} {:?} beside {:?}",
                    answer.proxy_status, answer.page
                )),
            }
        }
    }
}

impl Got {
    /// No answer at all.
    pub(super) fn trouble(failure: &Failure) -> Self {
        Self::Other(format!("{:?}: {}", failure.trouble, failure.words))
    }

    pub(super) fn is_right(&self) -> bool {
        matches!(self, Self::Bytes { .. })
    }

    pub(super) fn words(&self) -> String {
        match self {
            Self::Bytes { detail, is_hit } => match is_hit {
                true => format!("hit `{detail}`"),
                false => format!("asked `{detail}`"),
            },
            Self::Page { status, name } => format!("{status} `{name}`"),
            Self::OriginsOwn => "500 of the origin's own".to_owned(),
            Self::Other(words) => words.clone(),
        }
    }
}

/// Whether that may be.
pub(super) fn may(kind: Kind, phase: Phase, mood: Mood, got: &Got) -> bool {
    match (kind, got) {
        (_, Got::Other(_)) => false,
        (Kind::Fresh, Got::Bytes { detail, is_hit }) => {
            // The first time it is not there yet.
            phase == Phase::Before || (*is_hit && detail == "fresh")
        }
        (Kind::Stale, Got::Bytes { .. }) => true,
        (Kind::Fresh | Kind::Stale, _) => false,
        // While it is out, only what has not had the time to become stale.
        (Kind::Strict, Got::Bytes { detail, is_hit }) => {
            phase != Phase::Out || (*is_hit && detail == "fresh")
        }
        (Kind::Unknown, Got::Bytes { .. }) => phase != Phase::Out,
        (Kind::Strict | Kind::Unknown, Got::Page { status, name }) => {
            phase != Phase::Before && is_page_of(mood, *status, name)
        }
        (Kind::Strict | Kind::Unknown, Got::OriginsOwn) => {
            phase != Phase::Before && mood == Mood::Failing
        }
    }
}

/// The pages that an outage of this kind may show.
fn is_page_of(mood: Mood, status: u16, name: &str) -> bool {
    let known: &[(u16, &str)] = match mood {
        Mood::Well => &[],
        Mood::Gone => &[
            (502, "connect-refused"),
            (502, "reset"),
            (502, "ended-early"),
            (503, "no-healthy-origin"),
            (503, "breaker-open"),
        ],
        Mood::Silent => &[
            (504, "first-byte-timeout"),
            (502, "reset"),
            (502, "ended-early"),
            (503, "no-healthy-origin"),
        ],
        Mood::Failing => &[
            (502, "reset"),
            (502, "ended-early"),
            (503, "no-healthy-origin"),
        ],
    };
    known.contains(&(status, name))
}

/// The value after `name` in a field of parameters, up to the next one.
fn parameter<'a>(field: &'a str, name: &str) -> &'a str {
    let value = field.split("; ").find_map(|part| part.strip_prefix(name));
    value.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(status: u16, details: &str, text: &str) -> Got {
        got(&Answer {
            status,
            cache_status: "mangrove; fwd=uri-miss; detail=miss".to_owned(),
            proxy_status: format!("mangrove; error=x; details=\"{details}\""),
            flaw: None,
            page: text.to_owned(),
        })
    }

    fn bytes(cache_status: &str) -> Got {
        got(&Answer {
            status: 200,
            cache_status: cache_status.to_owned(),
            proxy_status: String::new(),
            flaw: None,
            page: String::new(),
        })
    }

    #[test]
    fn a_page_is_known_by_one_name_in_field_and_text() {
        let right = page(502, "connect-refused", "Reason: connect-refused: It did.\n");
        assert!(may(Kind::Unknown, Phase::Out, Mood::Gone, &right));
        assert!(!may(Kind::Unknown, Phase::Before, Mood::Gone, &right));
        let split = page(502, "connect-refused", "Reason: breaker-open: It is.\n");
        assert!(!may(Kind::Unknown, Phase::Out, Mood::Gone, &split));
        let wrong = page(
            502,
            "malformed-status-line",
            "Reason: malformed-status-line: It is.\n",
        );
        assert!(!may(Kind::Unknown, Phase::Out, Mood::Gone, &wrong));
    }

    #[test]
    fn no_page_ever_takes_the_place_of_what_is_fresh_or_may_be_stale() {
        let page = page(
            503,
            "no-healthy-origin",
            "Reason: no-healthy-origin: None.\n",
        );
        assert!(!may(Kind::Fresh, Phase::Out, Mood::Gone, &page));
        assert!(!may(Kind::Stale, Phase::Out, Mood::Gone, &page));
        assert!(may(Kind::Strict, Phase::Out, Mood::Gone, &page));
    }

    #[test]
    fn what_must_be_revalidated_is_never_served_stale() {
        let stale = bytes("mangrove; hit; ttl=-4; detail=stale-origin-down");
        assert!(may(Kind::Stale, Phase::Out, Mood::Gone, &stale));
        assert!(!may(Kind::Strict, Phase::Out, Mood::Gone, &stale));
        let fresh = bytes("mangrove; hit; ttl=1; detail=fresh");
        assert!(may(Kind::Strict, Phase::Out, Mood::Gone, &fresh));
        assert!(!may(Kind::Unknown, Phase::Out, Mood::Gone, &fresh));
    }

    #[test]
    fn the_origins_own_failure_passes_only_while_it_fails() {
        let own = page(500, "", FAILURE);
        assert_eq!(own, Got::OriginsOwn);
        assert!(may(Kind::Strict, Phase::Out, Mood::Failing, &own));
        assert!(!may(Kind::Strict, Phase::Out, Mood::Gone, &own));
        assert!(!may(Kind::Stale, Phase::Out, Mood::Failing, &own));
    }
}
