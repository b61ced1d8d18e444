//! The `[site.cache]` and `[site.compress]` blocks: what is kept of a site's responses, for how long, and in which form.
//!
//! These types only spell it. What the edge obeys are [`Rules`] and [`CompressRules`], which [`CacheSettings::rules`] and
//! [`CompressSettings::rules`] make of them.

use std::time::Duration;

use mangrove_cache::{
    BypassRules, COMPRESSIBLE, CompressRules, DeviceRule, KeyRules, LifetimeRule, NegativeRule,
    PolicyField, QueryRule, Rules, WordsOfField,
};

use crate::Network;
use crate::pattern::{
    CookieName, CookiePattern, FieldName, FieldWord, LanguageTag, MediaTypes, ParameterPattern,
    Paths,
};
use crate::setting::{settings, words};
use crate::target::StatusRange;

const fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3_600)
}

settings! {
    /// What is kept of a site's responses, and for how long.
    CacheSettings {
        enabled: bool = true, Flag 0 ..= 0,
            "Whether anything is kept, and answered from what is kept.";
        query: QueryKey = QueryKey::All, Choice 0 ..= 0,
            "Which of the query tells one object from another: `all`, as it came, or `none`. With `none` the origin must not depend on the query.";
        query_only: Vec<ParameterPattern> = Vec::new(), List 1 ..= 128,
            "Only these parameters of the query count, such as `page`; `filter_*` is every name that begins so. The origin must not depend on others.";
        query_ignore: Vec<ParameterPattern> = Vec::new(), List 1 ..= 128,
            "All parameters of the query but these count, such as `utm_*` and `fbclid`. The origin must not depend on these.";
        sort_query: bool = false, Flag 0 ..= 0,
            "Whether parameters are put in order of their names, so that their order does not count; those of one name stay in theirs.";
        key_cookies: Vec<CookieName> = Vec::new(), List 1 ..= 16,
            "Cookies whose value tells one object from another. Each value has its own copy; keep them few.";
        key_headers: Vec<FieldName> = Vec::new(), List 1 ..= 16,
            "Request fields whose whole value tells one object from another, though responses do not say so in Vary.";
        key_words: Vec<WordKey> = Vec::new(), List 1 ..= 16,
            "Request fields of which only certain words tell one object from another.";
        key_device: DeviceKey = DeviceKey::Off, Choice 0 ..= 0,
            "Which devices are told apart, by Sec-CH-UA-Mobile and then by User-Agent: `off` for none, `phones` from everything else, or `each` of phones, tablets and everything else.";
        key_languages: Vec<LanguageTag> = Vec::new(), List 1 ..= 64,
            "The languages the site is written in, its own first. A request counts as the one its Accept-Language likes best.";
        bypass: BypassSettings = BypassSettings::default(), Table 0 ..= 0,
            "Requests that are neither answered from the cache nor fill it.";
        lifetimes as "lifetime": Vec<LifetimeSettings> = Vec::new(), List 1 ..= 256,
            "How long responses are fresh by path and status. The first that fits counts.";
        negative: Vec<NegativeSettings> = Vec::new(), List 1 ..= 32,
            "How long errors are kept when neither the origin nor a `lifetime` says so. Unset, as the origin says.";
        heuristic_percent: u32 = 10, Percent 0 ..= 100,
            "Share of the time since Last-Modified for which a response is fresh when nothing else is said (RFC 9111 section 4.2.2); 0 asks the origin each time.";
        heuristic_ceiling: Duration = hours(24), Time 0 ..= 315_360_000_000,
            "The longest that guess makes anything fresh.";
        stale: StaleSettings = StaleSettings::default(), Table 0 ..= 0,
            "For how long what is stale may still be served.";
        store_set_cookie: bool = false, Flag 0 ..= 0,
            "Whether responses with Set-Cookie are kept. One visitor's cookie then reaches others: only for cookies that are the same for everyone.";
        obey_requests: bool = true, Flag 0 ..= 0,
            "Whether Cache-Control and Pragma of visitors count, so that a forced reload asks the origin. Off, only `no-store` and `only-if-cached` do; caches need not obey them (RFC 9111 section 5.2.1).";
        targeted: Vec<TargetedField> = vec![TargetedField::Mangrove, TargetedField::Cdn, TargetedField::Surrogate], List 0 ..= 3,
            "Response fields that count before Cache-Control, the weightiest first: the first that is there and valid decides alone (RFC 9213). `\"off\"` for none.";
        normalize_encoding: bool = true, Flag 0 ..= 0,
            "Whether Accept-Encoding is reduced to zstd, br and gzip, in keys and towards origins, so that each browser's spelling of it does not have its own copy.";
        max_object_bytes: u64 = 1_073_741_824, Bytes 1_024 ..= 1_099_511_627_776,
            "The largest response that is kept; a larger one is passed on.";
        disk_bytes: Option<u64> = None, Bytes 1_048_576 ..= 1_125_899_906_842_624,
            "Room on disk for this site's. When it is full its own oldest makes room, whatever room others have. Unset, all that the disk cache has.";
        max_variants: u32 = 64, Count 1 ..= 1_024,
            "Copies of one URL that differ by Vary or by the keys above; with one more, the oldest goes.";
        purge_from: Vec<Network> = Vec::new(), List 1 ..= 1_024,
            "Addresses and networks whose PURGE lets go of the URL that it asks for, such as the application's own. Unset, nobody's does. Behind a balancer the visitor's address counts.";
    }
}

settings! {
    /// A request field of which only certain words count.
    WordKey {
        header: Option<FieldName> = None, Text 1 ..= 256,
            "The field, such as `accept`.";
        contains: Vec<FieldWord> = Vec::new(), List 1 ..= 16,
            "What is looked for anywhere in its value, whatever the case, such as `image/avif`.";
    }
}

settings! {
    /// Requests that are neither answered from the cache nor fill it.
    BypassSettings {
        paths: Vec<Paths> = Vec::new(), List 1 ..= 256,
            "Paths in normal form, with `*` for any run of characters: `/admin/*`.";
        cookies: Vec<CookiePattern> = Vec::new(), List 1 ..= 64,
            "Names of cookies, at their end perhaps `*`: `wordpress_logged_in_*`. `*` alone is any cookie.";
        headers: Vec<FieldName> = Vec::new(), List 1 ..= 64,
            "Names of request fields.";
        query: Vec<ParameterPattern> = Vec::new(), List 1 ..= 64,
            "Names of parameters in the query, at their end perhaps `*`: `preview`.";
    }
}

settings! {
    /// How long certain responses are fresh.
    LifetimeSettings {
        path: Option<Paths> = None, Text 1 ..= 1_024,
            "Paths in normal form, with `*` for any run of characters: `/assets/*`, `*.jpg`, or `*` for all.";
        status: StatusRange = StatusRange { first: 200, last: 299 }, Text 3 ..= 7,
            "Status codes: `\"200\"` or `\"200-299\"`.";
        ttl: Option<Duration> = None, Time 0 ..= 315_360_000_000,
            "How long they are fresh; with `\"0s\"` the origin is asked about them each time.";
        overrides as "override": bool = false, Flag 0 ..= 0,
            "Whether also when the origin says how long. It does not lift `no-store`, `private`, `no-cache` or the rules for cookies and credentials.";
    }
}

settings! {
    /// How long certain errors are kept.
    NegativeSettings {
        status: Option<StatusRange> = None, Text 3 ..= 7,
            "Status codes from 400: `\"404\"` or `\"500-599\"`.";
        ttl: Option<Duration> = None, Time 0 ..= 315_360_000_000,
            "How long they are fresh. Keep it short: whoever mends the page waits for it.";
    }
}

settings! {
    /// For how long what is stale may still be served (RFC 5861). What the origin forbids to serve stale never is.
    StaleSettings {
        while_revalidate: Duration = hours(0), Time 0 ..= 315_360_000_000,
            "While the origin is asked about it, when the origin does not say.";
        while_revalidate_ceiling: Duration = hours(7 * 24), Time 0 ..= 315_360_000_000,
            "The longest of that, whatever the origin says.";
        if_error: Duration = hours(24), Time 0 ..= 315_360_000_000,
            "When the origin answers 500, 502, 503 or 504, or not at all, and has not said.";
        if_error_ceiling: Duration = hours(7 * 24), Time 0 ..= 315_360_000_000,
            "The longest of that, whatever the origin says.";
        origin_down: Duration = hours(24), Time 0 ..= 315_360_000_000,
            "While no origin can be reached, when it has not said `stale-if-error`.";
        origin_down_ceiling: Duration = hours(7 * 24), Time 0 ..= 315_360_000_000,
            "The longest of that, whatever the origin says.";
        beside_s_maxage: bool = false, Flag 0 ..= 0,
            "Whether the origin's own `stale-…` count beside its `s-maxage`, which forbids them (RFC 9111 section 5.2.2.10).";
    }
}

settings! {
    /// What is compressed at the edge, and how hard.
    CompressSettings {
        enabled: bool = true, Flag 0 ..= 0,
            "Whether anything is compressed at the edge. What an origin compressed is passed on either way.";
        types: Vec<MediaTypes> = compressible(), List 1 ..= 128,
            "Media types: `text/css`, `text/*`, `application/*+json`. Pictures, video and fonts such as WOFF2 are compressed already.";
        minimum_bytes: u64 = 512, Bytes 1 ..= 1_048_576,
            "The smallest content that is compressed: with its head, less fits into one packet either way.";
        maximum_bytes: u64 = 16_777_216, Bytes 1_024 ..= 33_554_432,
            "The largest content that is compressed; this much keeps a thread busy for a second.";
        zstd_level: u32 = 10, Count 1 ..= 19,
            "How hard zstd tries; higher is smaller and slower.";
        brotli_level: u32 = 6, Count 0 ..= 11,
            "How hard brotli tries.";
        gzip_level: u32 = 6, Count 1 ..= 9,
            "How hard gzip tries.";
    }
}

words! {
    /// Which of the query counts where no list says so.
    QueryKey {
        /// All, as it came.
        #[default]
        All = "all",
        /// Nothing.
        None = "none",
    }
}

words! {
    /// Which devices are told apart.
    DeviceKey {
        /// None.
        #[default]
        Off = "off",
        /// Phones from everything else.
        Phones = "phones",
        /// Phones, tablets, and everything else.
        Each = "each",
    }
}

words! {
    /// A response field meant for some caches only.
    TargetedField {
        /// Mangrove-Cache-Control.
        #[default]
        Mangrove = "mangrove-cache-control",
        /// CDN-Cache-Control (RFC 9213).
        Cdn = "cdn-cache-control",
        /// Surrogate-Control (Edge Architecture Specification).
        Surrogate = "surrogate-control",
    }
}

impl CacheSettings {
    /// What the edge obeys. `name` is that of this cache in Cache-Status and Surrogate-Control:
    /// [`Server::cdn_id`](crate::Server::cdn_id).
    ///
    /// Of settings that were never judged, what could not be obeyed is left out.
    pub fn rules(&self, name: &str) -> Rules {
        Rules {
            on: self.enabled,
            name: name.into(),
            key: self.key_rules(),
            bypass: self.bypass.rules(),
            lifetimes: self
                .lifetimes
                .iter()
                .filter_map(LifetimeSettings::rule)
                .collect(),
            negative: self
                .negative
                .iter()
                .filter_map(NegativeSettings::rule)
                .collect(),
            heuristic_percent: u8::try_from(self.heuristic_percent).unwrap_or(100),
            heuristic_ceiling: seconds(self.heuristic_ceiling),
            store_set_cookie: self.store_set_cookie,
            obey_requests: self.obey_requests,
            stale_while_revalidate: seconds(self.stale.while_revalidate),
            stale_if_error: seconds(self.stale.if_error),
            stale_origin_down: seconds(self.stale.origin_down),
            stale_while_revalidate_ceiling: seconds(self.stale.while_revalidate_ceiling),
            stale_if_error_ceiling: seconds(self.stale.if_error_ceiling),
            stale_origin_down_ceiling: seconds(self.stale.origin_down_ceiling),
            stale_beside_s_maxage: self.stale.beside_s_maxage,
            targeted: self.targeted.iter().map(|field| field.policy()).collect(),
            normalize_encoding: self.normalize_encoding,
            variants: usize::try_from(self.max_variants).unwrap_or(usize::MAX),
            largest: self.max_object_bytes,
        }
    }

    fn key_rules(&self) -> KeyRules {
        let patterns = |of: &[ParameterPattern]| of.iter().map(|name| name.0.clone()).collect();
        let query = match (self.query, &*self.query_only, &*self.query_ignore) {
            (QueryKey::None, ..) => QueryRule::Ignore,
            (QueryKey::All, [], []) => QueryRule::All,
            (QueryKey::All, [], except) => QueryRule::Except(patterns(except)),
            (QueryKey::All, only, _) => QueryRule::Only(patterns(only)),
        };
        let words = |part: &WordKey| {
            Some(WordsOfField {
                header: part.header.as_ref()?.as_str().into(),
                words: part
                    .contains
                    .iter()
                    .map(|word| word.as_str().into())
                    .collect(),
            })
        };
        KeyRules {
            query,
            sort_query: self.sort_query,
            cookies: self
                .key_cookies
                .iter()
                .map(|name| name.as_str().into())
                .collect(),
            headers: self
                .key_headers
                .iter()
                .map(|name| name.as_str().into())
                .collect(),
            words: self.key_words.iter().filter_map(words).collect(),
            device: match self.key_device {
                DeviceKey::Off => DeviceRule::Off,
                DeviceKey::Phones => DeviceRule::Phones,
                DeviceKey::Each => DeviceRule::Each,
            },
            languages: self
                .key_languages
                .iter()
                .map(|tag| tag.as_str().into())
                .collect(),
        }
    }
}

impl BypassSettings {
    fn rules(&self) -> BypassRules {
        BypassRules {
            paths: self.paths.iter().map(|paths| paths.0.clone()).collect(),
            cookies: self.cookies.iter().map(|name| name.0.clone()).collect(),
            headers: self
                .headers
                .iter()
                .map(|name| name.as_str().into())
                .collect(),
            query: self.query.iter().map(|name| name.0.clone()).collect(),
        }
    }
}

impl LifetimeSettings {
    fn rule(&self) -> Option<LifetimeRule> {
        Some(LifetimeRule {
            path: self.path.as_ref()?.0.clone(),
            statuses: (self.status.first, self.status.last),
            seconds: seconds(self.ttl?),
            overrides: self.overrides,
        })
    }
}

impl NegativeSettings {
    fn rule(&self) -> Option<NegativeRule> {
        let status = self.status?;
        Some(NegativeRule {
            statuses: (status.first, status.last),
            seconds: seconds(self.ttl?),
        })
    }
}

impl TargetedField {
    fn policy(self) -> PolicyField {
        match self {
            Self::Mangrove => PolicyField::Mangrove,
            Self::Cdn => PolicyField::Cdn,
            Self::Surrogate => PolicyField::Surrogate,
        }
    }
}

impl CompressSettings {
    /// What the edge obeys.
    pub fn rules(&self) -> CompressRules {
        let level = |level: u32| u8::try_from(level).unwrap_or(u8::MAX);
        CompressRules {
            on: self.enabled,
            types: self.types.iter().map(|types| types.0.clone()).collect(),
            smallest: self.minimum_bytes,
            largest: self.maximum_bytes,
            zstd_level: level(self.zstd_level),
            brotli_level: level(self.brotli_level),
            gzip_level: level(self.gzip_level),
        }
    }
}

fn compressible() -> Vec<MediaTypes> {
    COMPRESSIBLE
        .iter()
        .filter_map(|text| text.parse().ok())
        .collect()
}

/// Ages are counted in whole seconds (RFC 9111 section 1.2.2).
fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_when_nothing_is_written_is_what_the_cache_recommends() {
        assert_eq!(CacheSettings::default().rules("mangrove"), Rules::default());
        assert_eq!(
            CompressSettings::default().rules(),
            CompressRules::default()
        );
    }

    #[test]
    fn none_of_the_usual_media_types_stands_for_another() {
        let types = CompressSettings::default().rules().types;
        for (place, one) in types.iter().enumerate() {
            for (other_place, other) in types.iter().enumerate() {
                assert!(
                    place == other_place || !one.covers(other),
                    "{one:?} {other:?}"
                );
            }
        }
    }
}
