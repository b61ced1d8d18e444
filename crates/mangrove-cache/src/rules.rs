//! A site's cache policy, settled: the configuration only spells it.

use crate::pattern::{NamePattern, PathPattern};
use crate::targeted::PolicyField;

/// What a site wants of its cache. Every limit is settled; [`Rules::default`] is what a careful operator would pick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Whether anything is stored or answered from the cache.
    pub on: bool,
    /// The name in `Cache-Status`: a token (RFC 9211 section 2).
    pub name: Box<str>,
    /// Which parts of a request tell one object from another.
    pub key: KeyRules,
    /// Requests that neither use nor fill the cache.
    pub bypass: BypassRules,
    /// How long responses are fresh when the origin does not say, or in spite of what it says. The first of each kind
    /// that fits counts.
    pub lifetimes: Vec<LifetimeRule>,
    /// How long statuses of trouble are fresh when neither origin nor [`lifetimes`](Self::lifetimes) say anything. The
    /// first that fits counts.
    pub negative: Vec<NegativeRule>,
    /// Percent of the time since `Last-Modified` for which a response is fresh when nothing else is said: 0 to 100
    /// (RFC 9111 section 4.2.2).
    pub heuristic_percent: u8,
    /// The most seconds that heuristic gives.
    pub heuristic_ceiling: u32,
    /// Whether responses with `Set-Cookie` are stored. One visitor's cookie then reaches others.
    pub store_set_cookie: bool,
    /// Whether `Cache-Control` and `Pragma` of requests are obeyed; no cache has to (RFC 9111 section 5.2.1).
    pub obey_requests: bool,
    /// Seconds for which a response with a lifetime may be served stale while the origin is asked, when it does not say.
    pub stale_while_revalidate: u32,
    /// Seconds for which a response with a lifetime may be served stale when the origin fails, when it does not say.
    pub stale_if_error: u32,
    /// Seconds for which a response with a lifetime may be served stale while no origin can be reached, when the origin did
    /// not say `stale-if-error`.
    pub stale_origin_down: u32,
    /// The most seconds for which anything is served stale while the origin is asked, whatever it says.
    pub stale_while_revalidate_ceiling: u32,
    /// The most seconds for which anything is served stale when the origin fails, whatever it says.
    pub stale_if_error_ceiling: u32,
    /// The most seconds for which anything is served stale while no origin can be reached, whatever it says.
    pub stale_origin_down_ceiling: u32,
    /// Whether the origin's own `stale-…` count beside its `s-maxage`, which by RFC 9111 section 5.2.2.10 forbids them.
    pub stale_beside_s_maxage: bool,
    /// The fields obeyed before `Cache-Control`, the weightiest first: the first that is there and valid decides alone
    /// (RFC 9213 section 2.2). [`PolicyField::CacheControl`] is the last without being named.
    pub targeted: Vec<PolicyField>,
    /// Whether requests are told apart only by the content codings that the edge can serve, and forwarded so.
    pub normalize_encoding: bool,
    /// The most variants of one URL; with one more, the oldest goes.
    pub variants: usize,
    /// The most bytes of content that are stored of one response.
    pub largest: u64,
}

/// Which parts of a request tell one object from another, beside scheme, host, port and path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyRules {
    /// Which parameters of the query count.
    pub query: QueryRule,
    /// Whether parameters are put in order of their names, so that their order does not count.
    pub sort_query: bool,
    /// Cookies whose value counts, by name.
    pub cookies: Vec<Box<str>>,
    /// Header fields whose value counts, by lower-case name.
    pub headers: Vec<Box<str>>,
    /// Header fields of which only certain words count.
    pub words: Vec<WordsOfField>,
    /// Which kinds of device are told apart.
    pub device: DeviceRule,
    /// The languages the site is written in, in lower case, its own first. A request counts as the one it likes best.
    pub languages: Vec<Box<str>>,
}

/// A header field of which only certain words count: `accept` with `image/avif` tells apart who takes AVIF from who does
/// not, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WordsOfField {
    /// The field's lower-case name.
    pub header: Box<str>,
    /// What is looked for in each line of the field, whatever the case, up to [`WORDS_WITHIN`](crate::WORDS_WITHIN) bytes
    /// into it.
    pub words: Vec<Box<str>>,
}

/// Which kinds of device are told apart, by `Sec-CH-UA-Mobile` and then by `User-Agent`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DeviceRule {
    /// None.
    #[default]
    Off,
    /// Phones, and everything else.
    Phones,
    /// Phones, tablets, and everything else.
    Each,
}

/// Which parameters of the query count. Names are compared decoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum QueryRule {
    /// All, as they came.
    #[default]
    All,
    /// None. The origin must not depend on any.
    Ignore,
    /// Only these. The origin must not depend on others.
    Only(Vec<NamePattern>),
    /// All but these.
    Except(Vec<NamePattern>),
}

/// Requests that neither use nor fill the cache.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BypassRules {
    /// Paths.
    pub paths: Vec<PathPattern>,
    /// Requests with a cookie of such a name.
    pub cookies: Vec<NamePattern>,
    /// Requests with a header field of that lower-case name.
    pub headers: Vec<Box<str>>,
    /// Requests with a parameter of such a name in the query, compared decoded.
    pub query: Vec<NamePattern>,
}

/// How long certain responses are fresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifetimeRule {
    /// Which paths.
    pub path: PathPattern,
    /// Which statuses, first and last.
    pub statuses: (u16, u16),
    /// How long, in seconds.
    pub seconds: u32,
    /// Whether in spite of what the origin says. Does not lift `no-store`, `private`, `no-cache`, nor the rules for
    /// credentials and cookies.
    pub overrides: bool,
}

/// How long certain statuses of trouble are fresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NegativeRule {
    /// Which statuses, first and last.
    pub statuses: (u16, u16),
    /// How long, in seconds.
    pub seconds: u32,
}

impl LifetimeRule {
    pub(crate) fn fits(&self, path: &[u8], status: u16) -> bool {
        let (first, last) = self.statuses;
        (first..=last).contains(&status) && self.path.matches(path)
    }
}

impl NegativeRule {
    pub(crate) fn fits(&self, status: u16) -> bool {
        let (first, last) = self.statuses;
        (first..=last).contains(&status)
    }
}

impl Rules {
    /// Seconds for which what the origin said `said` about may be served stale while it is asked.
    pub(crate) fn stale_while_revalidate_for(&self, said: Option<u32>) -> u32 {
        said.unwrap_or(self.stale_while_revalidate)
            .min(self.stale_while_revalidate_ceiling)
    }

    /// The same for when it fails.
    pub(crate) fn stale_if_error_for(&self, said: Option<u32>) -> u32 {
        said.unwrap_or(self.stale_if_error)
            .min(self.stale_if_error_ceiling)
    }

    /// The same for while it cannot be reached; `said` is its `stale-if-error`.
    pub(crate) fn stale_origin_down_for(&self, said: Option<u32>) -> u32 {
        said.unwrap_or(self.stale_origin_down)
            .min(self.stale_origin_down_ceiling)
    }
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            on: true,
            name: "mangrove".into(),
            key: KeyRules::default(),
            bypass: BypassRules::default(),
            lifetimes: Vec::new(),
            negative: Vec::new(),
            heuristic_percent: 10,
            heuristic_ceiling: 24 * 3600,
            store_set_cookie: false,
            obey_requests: true,
            stale_while_revalidate: 0,
            stale_if_error: 24 * 3600,
            stale_origin_down: 24 * 3600,
            stale_while_revalidate_ceiling: 7 * 24 * 3600,
            stale_if_error_ceiling: 7 * 24 * 3600,
            stale_origin_down_ceiling: 7 * 24 * 3600,
            stale_beside_s_maxage: false,
            targeted: PolicyField::TARGETED.to_vec(),
            normalize_encoding: true,
            variants: 64,
            largest: 1 << 30,
        }
    }
}
