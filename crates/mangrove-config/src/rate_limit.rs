//! The `[[site.rate_limit]]` blocks: how much one client, or whoever else counts as one, may ask of a site.
//!
//! These types only spell it. What the edge obeys is made of them when a snapshot is built.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use mangrove_cache::PathPattern;
use mangrove_shield::limits::Rate;
use serde::{Deserialize, Serialize};

use crate::fault::{Faults, Step};
use crate::names::is_token;
use crate::pattern::{CookieName, FieldName, Paths};
use crate::setting::{Unit, settings, words};
use crate::target::StatusRange;
use crate::units;
use crate::validate::within;
use crate::value::quoted;

/// Parts of a path that can be told apart.
pub const PATH_PARTS: u8 = 16;

settings! {
    /// How much of a site one key may ask for.
    RateLimitSettings {
        name: String = String::new(), Text 1 ..= 64,
            "The limit's name in the log, and in RateLimit: letters, digits, `-`, `_` and `.`.";
        key: Vec<LimitKey> = vec![LimitKey::Address], List 1 ..= 4,
            "What counts as one: `address` (of IPv6 the first 64 bits, which one customer has), `prefix` (/24, /48), `ja4` (the stable fingerprint of a TLS client), `header:NAME`, `cookie:NAME`, `path-part:N` (from 1), `site`; or several together. Who has no such thing counts together with all others who have none.";
        path: Option<Paths> = None, Text 1 ..= 1_024,
            "Which paths it is for, in normal form, with `*` for any run of characters. Unset, all.";
        methods: Vec<String> = Vec::new(), List 1 ..= 16,
            "Which methods it is for. Unset, all.";
        rate: Option<u32> = None, Count 1 ..= 1_000_000,
            "How many requests each `per`.";
        per: Duration = Duration::from_secs(1), Time 1_000 ..= 86_400_000,
            "The time that `rate` is for.";
        burst: Option<u32> = None, Count 1 ..= 1_000_000,
            "How many at once. Unset, as many as `rate`.";
        counts: Counts = Counts::All, Choice 0 ..= 0,
            "Which requests count: `all`, or `misses`, which the cache does not answer from what it keeps. Hits are then never refused.";
        statuses: Vec<StatusRange> = Vec::new(), List 1 ..= 16,
            "Only requests that were answered so count, such as `\"401\"` for failed log-ins, once they are answered; those under way at the same moment are not seen.";
        share: Option<u32> = None, Percent 1 ..= 90,
            "Beside `rate`, so many of a hundred answers may have one of the `statuses` without counting: each answer below 400 that has none of them pays for its part. Unset, every one counts.";
        action: LimitAction = LimitAction::Refuse, Choice 0 ..= 0,
            "What becomes of a request too many: `refuse` answers 429, `close` ends the connection without a word, `delay` lets it wait for its turn, and answers 429 where that is too far off.";
        longest_delay: Duration = Duration::from_secs(5), Time 100 ..= 30_000,
            "With `delay`: for how long a request may wait for its turn. A client that waits longer has mostly gone.";
        waiting: u32 = 1_000, Count 1 ..= 100_000,
            "With `delay`: how many requests may wait at one time, on all cores together. Each holds its head and its connection; one more is answered with 429.";
        ttl: Option<Duration> = None, Time 1_000 ..= 86_400_000,
            "For how long a key that went over is refused, from its first request too many on. Unset, until the rate allows one more; so too for those who count together since they have no such thing.";
        tell: bool = false, Flag 0 ..= 0,
            "Whether answers that are allowed tell in RateLimit and RateLimit-Policy how much is left; those that are refused always do.";
        keys: u32 = 65_536, Count 1_024 ..= 4_194_304,
            "How many keys are told apart at one time, at 17 bytes each. With more, those who ask least share what they may have.";
    }
}

words! {
    /// Which requests count.
    Counts {
        /// Every one.
        #[default]
        All = "all",
        /// Those that are not answered from what the cache keeps.
        Misses = "misses",
    }
}

words! {
    /// What becomes of a request too many.
    LimitAction {
        /// 429, with Retry-After.
        #[default]
        Refuse = "refuse",
        /// Its connection is ended.
        Close = "close",
        /// It waits for its turn.
        Delay = "delay",
    }
}

/// What counts as one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum LimitKey {
    /// A visitor's address; of IPv6 its first 64 bits.
    Address,
    /// The network around it: /24, or /48.
    Prefix,
    /// The stable fingerprint of a TLS client.
    Ja4,
    /// The site as a whole.
    Site,
    /// The value of a request field.
    Header(FieldName),
    /// The value of a cookie.
    Cookie(CookieName),
    /// One part of the path between slashes, from 1.
    PathPart(u8),
}

impl FromStr for LimitKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let part = |number: &str| match number.parse() {
            Ok(part @ 1..=PATH_PARTS) => Ok(Self::PathPart(part)),
            _ => Err(format!(
                "parts of a path are counted from 1 to {PATH_PARTS}: \"path-part:1\""
            )),
        };
        match (text, text.split_once(':')) {
            ("address", _) => Ok(Self::Address),
            ("prefix", _) => Ok(Self::Prefix),
            ("ja4", _) => Ok(Self::Ja4),
            ("site", _) => Ok(Self::Site),
            (_, Some(("header", name))) => name.parse().map(Self::Header),
            (_, Some(("cookie", name))) => name.parse().map(Self::Cookie),
            (_, Some(("path-part", number))) => part(number),
            _ => Err("a key is \"address\", \"prefix\", \"ja4\", \"site\", \"header:NAME\", \"cookie:NAME\" or \"path-part:N\"".to_owned()),
        }
    }
}

impl TryFrom<String> for LimitKey {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for LimitKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address => out.write_str("address"),
            Self::Prefix => out.write_str("prefix"),
            Self::Ja4 => out.write_str("ja4"),
            Self::Site => out.write_str("site"),
            Self::Header(name) => write!(out, "header:{name}"),
            Self::Cookie(name) => write!(out, "cookie:{name}"),
            Self::PathPart(part) => write!(out, "path-part:{part}"),
        }
    }
}

impl From<LimitKey> for String {
    fn from(key: LimitKey) -> Self {
        key.to_string()
    }
}

impl RateLimitSettings {
    /// How often, and how many at once. None of settings that were never judged.
    pub fn limit(&self) -> Option<Rate> {
        let rate = self.rate?;
        Rate::new(rate, self.per, self.burst.unwrap_or(rate))
    }

    /// Which paths it is for, where it is not for all.
    pub fn pattern(&self) -> Option<&PathPattern> {
        self.path.as_ref().map(|paths| &paths.0)
    }
}

pub(crate) fn check_rate_limits(limits: &[RateLimitSettings], faults: &mut Faults) {
    for (position, limit) in limits.iter().enumerate() {
        let here = faults.here();
        faults.within(Step::Entry(position), |faults| {
            check_rate_limit(limit, faults);
            let first = limits
                .iter()
                .take(position)
                .position(|other| other.name == limit.name);
            if let Some(first) = first {
                let mut path = here;
                path.extend([Step::Entry(first), Step::Key("name")]);
                within(faults, "name", |faults| {
                    let what = format!("there already is a limit named {}", quoted(&limit.name));
                    faults.refuse_for(what, None, path, "the first one");
                });
            }
        });
    }
}

fn check_rate_limit(limit: &RateLimitSettings, faults: &mut Faults) {
    within(faults, "name", |faults| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !limit.name.bytes().all(plain) {
            let help = "a limit's name has letters, digits, `-`, `_` and `.`".to_owned();
            faults.refuse(
                format!("{} cannot be a limit's name", quoted(&limit.name)),
                Some(help),
            );
        }
    });
    within(faults, "key", |faults| {
        for (position, key) in limit.key.iter().enumerate() {
            if limit.key.iter().take(position).any(|other| other == key) {
                faults.within(Step::Entry(position), |faults| {
                    let what = format!("{} is listed twice", quoted(&key.to_string()));
                    faults.refuse(what, Some("leave it out".to_owned()));
                });
            }
        }
        if limit.key.len() > 1 && limit.key.contains(&LimitKey::Site) {
            faults.refuse(
                "\"site\" changes nothing beside others",
                Some("leave it out: each site has limits of its own".to_owned()),
            );
        }
    });
    within(faults, "methods", |faults| {
        for (position, method) in limit.methods.iter().enumerate() {
            faults.within(Step::Entry(position), |faults| {
                if !is_token(method) || method.bytes().any(|byte| byte.is_ascii_lowercase()) {
                    let help = "methods are in capitals, such as \"POST\"".to_owned();
                    faults.refuse(format!("{} cannot be a method", quoted(method)), Some(help));
                }
            });
        }
    });
    if limit.rate.is_none() {
        within(faults, "rate", |faults| {
            let help = "say how many requests each `per`: rate = 10".to_owned();
            faults.require("rate", Some(help));
        });
    }
    if limit.rate.is_some_and(|rate| rate > 0) && limit.limit().is_none() {
        within(faults, "burst", |faults| {
            let rate = limit.rate.unwrap_or_default();
            let burst = limit.burst.unwrap_or(rate);
            let per = u64::try_from(limit.per.as_millis()).unwrap_or(u64::MAX);
            let per = units::show(Unit::Time, per);
            faults.refuse(
                format!("a burst of {burst} at {rate} each {per} takes longer than can be counted"),
                Some("lower `burst`".to_owned()),
            );
        });
    }
    if limit.ttl.is_some() && limit.key.contains(&LimitKey::Site) {
        within(faults, "ttl", |faults| {
            faults.refuse(
                "one client too many would keep everybody out for so long",
                Some("leave out `ttl`, or count by something that is a client's: key = [\"address\"]".to_owned()),
            );
        });
    }
    if limit.share.is_some() && limit.statuses.is_empty() {
        within(faults, "share", |faults| {
            faults.refuse(
                "a share of the answers is of those with some statuses",
                Some("say which: statuses = [\"404\"]".to_owned()),
            );
        });
    }
    if limit.action == LimitAction::Delay {
        if limit.ttl.is_some() {
            within(faults, "ttl", |faults| {
                faults.refuse(
                    "whoever is delayed is not refused for a while",
                    Some("keep one of `ttl` and `action = \"delay\"`".to_owned()),
                );
            });
        }
        if !limit.statuses.is_empty() {
            within(faults, "statuses", |faults| {
                faults.refuse(
                    "whoever counts only once he is answered cannot be given a turn before",
                    Some("keep one of `statuses` and `action = \"delay\"`".to_owned()),
                );
            });
        }
    }
}
