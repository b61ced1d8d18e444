//! A site's cache in words.

use std::fmt::Write;
use std::time::Duration;

use crate::cache::{CacheSettings, CompressSettings, DeviceKey, LifetimeSettings, QueryKey};
use crate::setting::Unit;
use crate::units;

/// The most rules or names of one kind that are listed.
const LISTED: usize = 8;

/// Settings that these words cover, by the beginning of their keys; the others are named where they are not the default.
pub(crate) const COVERED: &[&str] = &[
    "cache.enabled",
    "cache.query",
    "cache.query_only",
    "cache.query_ignore",
    "cache.sort_query",
    "cache.key_cookies",
    "cache.key_headers",
    "cache.key_words",
    "cache.key_device",
    "cache.key_languages",
    "cache.bypass.",
    "cache.lifetime",
    "cache.negative",
    "cache.heuristic_percent",
    "cache.heuristic_ceiling",
    "cache.stale.while_revalidate",
    "cache.stale.if_error",
    "cache.stale.origin_down",
    "cache.store_set_cookie",
    "cache.obey_requests",
    "cache.targeted",
    "cache.purge_from",
    "cache.disk_bytes",
    "compress.",
];

/// What is kept, told apart, kept out and compressed: some lines, each with its word in front.
pub(crate) fn explain_cache(cache: &CacheSettings, compress: &CompressSettings, page: &mut String) {
    if cache.enabled {
        line(page, "cache", &lifetimes(cache));
        for rule in cache.lifetimes.iter().take(LISTED) {
            line(page, "", &lifetime(rule));
        }
        more(page, cache.lifetimes.len(), "lifetimes");
        for rule in cache.negative.iter().take(LISTED) {
            if let (Some(status), Some(ttl)) = (rule.status, rule.ttl) {
                line(
                    page,
                    "",
                    &format!("{status}: {}, where nothing else is said", time(ttl)),
                );
            }
        }
        more(page, cache.negative.len(), "errors");
        line(page, "key", &key(cache));
        let bypass = bypass(cache);
        if !bypass.is_empty() {
            line(page, "bypass", &bypass);
        }
        line(page, "stale", &stale(cache));
        if !cache.obey_requests {
            line(
                page,
                "reload",
                "a visitor's Cache-Control does not reach past the cache",
            );
        }
        if let Some(bytes) = cache.disk_bytes {
            let room = units::show(Unit::Bytes, bytes);
            line(page, "disk", &format!("at most {room} of this site"));
        }
        if !cache.purge_from.is_empty() {
            let mut from: Vec<String> = cache.purge_from.iter().map(ToString::to_string).collect();
            let more = from.len().saturating_sub(LISTED);
            from.truncate(LISTED);
            let more = match more {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            line(
                page,
                "purge",
                &format!("by PURGE from {}{more}", from.join(", ")),
            );
        }
        if cache.store_set_cookie {
            line(
                page,
                "warning",
                "responses with Set-Cookie are kept: a cookie made for one visitor reaches others",
            );
        }
    } else {
        line(page, "cache", "off: every request goes to an origin");
    }
    line(page, "compress", &compression(compress));
}

fn line(page: &mut String, word: &str, text: &str) {
    let _ = writeln!(page, "  {word:8} {text}");
}

fn more(page: &mut String, length: usize, of_what: &str) {
    if length > LISTED {
        line(page, "", &format!("and {} more {of_what}", length - LISTED));
    }
}

fn lifetimes(cache: &CacheSettings) -> String {
    let fields: Vec<&str> = cache.targeted.iter().map(|field| field.word()).collect();
    let mut words = "fresh as long as the origin says".to_owned();
    if cache.targeted != CacheSettings::default().targeted {
        let before = if fields.is_empty() {
            " in Cache-Control alone".to_owned()
        } else {
            format!(" in {}, then in Cache-Control", fields.join(", then in "))
        };
        words.push_str(&before);
    }
    match cache.heuristic_percent {
        0 => words.push_str("; asked about each time where it does not"),
        percent => {
            let _ = write!(
                words,
                "; where it does not, {percent}% of the time since Last-Modified, at most {}",
                time(cache.heuristic_ceiling)
            );
        }
    }
    words
}

fn lifetime(rule: &LifetimeSettings) -> String {
    let path = rule.path.as_ref().map_or("", |path| path.as_str());
    let ttl = rule.ttl.map(time).unwrap_or_default();
    let when = if rule.overrides {
        "whatever the origin says"
    } else {
        "where the origin says nothing"
    };
    format!("{path} with {}: {ttl}, {when}", rule.status)
}

fn key(cache: &CacheSettings) -> String {
    let mut words = match (cache.query, &*cache.query_only, &*cache.query_ignore) {
        (QueryKey::None, ..) => "the URL without its query".to_owned(),
        (QueryKey::All, [], []) => "the URL with its query".to_owned(),
        (QueryKey::All, [], except) => format!("the URL with its query but {}", listed(except)),
        (QueryKey::All, only, _) => format!("the URL with {} of its query", listed(only)),
    };
    if cache.sort_query {
        words.push_str(", in order of names");
    }
    if !cache.key_cookies.is_empty() {
        let _ = write!(words, "; cookies {}", listed(&cache.key_cookies));
    }
    if !cache.key_headers.is_empty() {
        let _ = write!(words, "; fields {}", listed(&cache.key_headers));
    }
    for part in &cache.key_words {
        let field = part.header.as_ref().map_or("", |field| field.as_str());
        let _ = write!(words, "; {} in {field}", listed(&part.contains));
    }
    match cache.key_device {
        DeviceKey::Off => {}
        DeviceKey::Phones => words.push_str("; phones apart from everything else"),
        DeviceKey::Each => words.push_str("; phones, tablets and everything else"),
    }
    if !cache.key_languages.is_empty() {
        let _ = write!(words, "; languages {}", listed(&cache.key_languages));
    }
    words
}

fn bypass(cache: &CacheSettings) -> String {
    let bypass = &cache.bypass;
    let mut parts = Vec::new();
    if !bypass.paths.is_empty() {
        parts.push(format!("paths {}", listed(&bypass.paths)));
    }
    if !bypass.cookies.is_empty() {
        parts.push(format!("cookies {}", listed(&bypass.cookies)));
    }
    if !bypass.headers.is_empty() {
        parts.push(format!("fields {}", listed(&bypass.headers)));
    }
    if !bypass.query.is_empty() {
        parts.push(format!("parameters {}", listed(&bypass.query)));
    }
    parts.join("; ")
}

fn stale(cache: &CacheSettings) -> String {
    let stale = &cache.stale;
    let mut cases = vec![(stale.while_revalidate, "while the origin is asked")];
    if stale.if_error == stale.origin_down {
        cases.push((stale.if_error, "when the origin fails or is down"));
    } else {
        cases.push((stale.if_error, "when the origin fails"));
        cases.push((stale.origin_down, "while it is down"));
    }
    let said: Vec<String> = cases
        .into_iter()
        .filter(|(duration, _)| !duration.is_zero())
        .map(|(duration, when)| format!("{} {when}", time(duration)))
        .collect();
    if said.is_empty() {
        "served only as the origin allows".to_owned()
    } else {
        format!(
            "served for up to {}, unless it says otherwise",
            said.join(", ")
        )
    }
}

fn compression(compress: &CompressSettings) -> String {
    if !compress.enabled {
        return "off: as the origin sends it".to_owned();
    }
    let types = if compress.types == CompressSettings::default().types {
        "text and the like".to_owned()
    } else {
        listed(&compress.types)
    };
    let size = |bytes| units::show(Unit::Bytes, bytes);
    format!(
        "{types}, from {} to {}: zstd {}, brotli {}, gzip {}",
        size(compress.minimum_bytes),
        size(compress.maximum_bytes),
        compress.zstd_level,
        compress.brotli_level,
        compress.gzip_level
    )
}

fn listed<T: ToString>(items: &[T]) -> String {
    let texts: Vec<String> = items.iter().map(ToString::to_string).collect();
    crate::explain::listed(&texts)
}

fn time(duration: Duration) -> String {
    units::show(
        Unit::Time,
        u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
    )
}
