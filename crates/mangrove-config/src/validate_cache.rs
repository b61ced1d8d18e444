//! What must hold of a site's cache beyond each setting's own range: nothing contradicts, nothing is without effect.

use std::sync::LazyLock;
use std::time::Duration;

use mangrove_cache::is_never_stored;

use crate::cache::{CacheSettings, CompressSettings, LifetimeSettings, QueryKey, StaleSettings};
use crate::fault::{Faults, Step};
use crate::pattern::Paths;
use crate::setting::Unit;
use crate::target::StatusRange;
use crate::units;
use crate::validate::within;
use crate::value::quoted;

pub(crate) fn check_cache(cache: &CacheSettings, faults: &mut Faults) {
    check_query(cache, faults);
    redundant(faults, "key_cookies", &cache.key_cookies, |one, other| {
        one == other
    });
    redundant(faults, "key_headers", &cache.key_headers, |one, other| {
        one == other
    });
    redundant(
        faults,
        "key_languages",
        &cache.key_languages,
        |one, other| one == other,
    );
    redundant(faults, "purge_from", &cache.purge_from, |one, other| {
        one == other
    });
    redundant(faults, "targeted", &cache.targeted, |one, other| {
        one == other
    });
    each(faults, "key_words", &cache.key_words, |part, faults| {
        if part.header.is_none() {
            require(faults, "header", "say which field: header = \"accept\"");
        }
        if part.contains.is_empty() {
            require(
                faults,
                "contains",
                "say what is looked for: contains = [\"image/avif\"]",
            );
        }
        redundant(faults, "contains", &part.contains, |one, other| {
            one == other
        });
    });
    within(faults, "bypass", |faults| check_bypass(cache, faults));
    check_lifetimes(cache, faults);
    check_negative(cache, faults);
    whole_seconds(faults, "heuristic_ceiling", cache.heuristic_ceiling);
    within(faults, "stale", |faults| check_stale(&cache.stale, faults));
}

pub(crate) fn check_compress(compress: &CompressSettings, faults: &mut Faults) {
    /// Nearly every site has these; comparing each with each again would be most of the work of judging many sites.
    static USUAL: LazyLock<CompressSettings> = LazyLock::new(CompressSettings::default);
    if compress.types != USUAL.types {
        redundant(faults, "types", &compress.types, |wide, narrow| {
            wide.0.covers(&narrow.0)
        });
    }
    if compress.types.is_empty() {
        // No file can say so; a stored form could.
        require(
            faults,
            "types",
            "to compress nothing, write enabled = false",
        );
    }
    if compress.minimum_bytes > compress.maximum_bytes {
        within(faults, "minimum_bytes", |faults| {
            let size = |bytes| units::show(Unit::Bytes, bytes);
            faults.refuse(
                format!(
                    "nothing has at least {} and at most {}",
                    size(compress.minimum_bytes),
                    size(compress.maximum_bytes)
                ),
                Some("lower `minimum_bytes` or raise `maximum_bytes`".to_owned()),
            );
        });
    }
}

/// Which of the query counts is said in one way.
fn check_query(cache: &CacheSettings, faults: &mut Faults) {
    let none = cache.query == QueryKey::None;
    let path_of = |faults: &mut Faults, key| within(faults, key, |faults| faults.here());
    for (key, list, instead) in [
        ("query_only", &cache.query_only, "all"),
        ("query_ignore", &cache.query_ignore, "none"),
    ] {
        if list.is_empty() {
            continue;
        }
        if none {
            let query = path_of(faults, "query");
            within(faults, key, |faults| {
                faults.refuse_for(
                    format!("`{key}` has no effect where none of the query counts"),
                    Some("keep one of the two".to_owned()),
                    query,
                    "none of it counts",
                );
            });
        }
        redundant(faults, key, list, |wide, narrow| wide.0.covers(&narrow.0));
        within(faults, key, |faults| {
            if let Some(all) = list.iter().position(|name| name.as_str() == "*") {
                faults.within(Step::Entry(all), |faults| {
                    faults.refuse(
                        "\"*\" is every name there is",
                        Some(format!("leave `{key}` out and write query = \"{instead}\"")),
                    );
                });
            }
        });
    }
    if !cache.query_only.is_empty() && !cache.query_ignore.is_empty() {
        let only = path_of(faults, "query_only");
        within(faults, "query_ignore", |faults| {
            faults.refuse_for(
                "`query_ignore` has no effect beside `query_only`".to_owned(),
                Some("keep one of the two".to_owned()),
                only,
                "only these count",
            );
        });
    }
    if cache.sort_query && none {
        within(faults, "sort_query", |faults| {
            faults.refuse(
                "there is no order where none of the query counts",
                Some("leave `sort_query` out".to_owned()),
            );
        });
    }
}

fn check_bypass(cache: &CacheSettings, faults: &mut Faults) {
    let bypass = &cache.bypass;
    redundant(faults, "paths", &bypass.paths, |wide, narrow| {
        wide.0.covers(&narrow.0)
    });
    redundant(faults, "cookies", &bypass.cookies, |wide, narrow| {
        wide.0.covers(&narrow.0)
    });
    redundant(faults, "headers", &bypass.headers, |one, other| {
        one == other
    });
    redundant(faults, "query", &bypass.query, |wide, narrow| {
        wide.0.covers(&narrow.0)
    });
    within(faults, "paths", |faults| {
        let Some(everything) = bypass.paths.iter().position(is_everything) else {
            return;
        };
        faults.within(Step::Entry(everything), |faults| {
            faults.refuse(
                "this keeps every path out of the cache",
                Some("to switch the cache off, write enabled = false".to_owned()),
            );
        });
    });
}

/// Whether a pattern matches every path.
fn is_everything(paths: &Paths) -> bool {
    // Its stars alone can take up the star.
    paths.0.matches(b"/*")
}

fn covers(wide: StatusRange, narrow: StatusRange) -> bool {
    wide.first <= narrow.first && narrow.last <= wide.last
}

fn check_lifetimes(cache: &CacheSettings, faults: &mut Faults) {
    let bypass = &cache.bypass.paths;
    let here = faults.here();
    let path_to = |steps: &[Step]| {
        let mut path = here.clone();
        path.extend(steps);
        path
    };
    each(faults, "lifetime", &cache.lifetimes, |rule, faults| {
        if rule.path.is_none() {
            require(
                faults,
                "path",
                "say which paths: path = \"/assets/*\"; \"*\" is every path",
            );
        }
        match rule.ttl {
            None => require(faults, "ttl", "say how long: ttl = \"1h\""),
            Some(ttl) => whole_seconds(faults, "ttl", ttl),
        }
        check_status(rule.status, faults);
    });
    let applies_before = |one: (usize, &LifetimeSettings), other: (usize, &LifetimeSettings)| {
        let before = (!one.1.overrides, one.0) < (!other.1.overrides, other.0);
        let (Some(wide), Some(narrow)) = (&one.1.path, &other.1.path) else {
            return false;
        };
        before && wide.0.covers(&narrow.0) && covers(one.1.status, other.1.status)
    };
    within(faults, "lifetime", |faults| {
        for (position, rule) in cache.lifetimes.iter().enumerate() {
            let Some(paths) = &rule.path else { continue };
            let out = bypass.iter().position(|out| out.0.covers(&paths.0));
            let earlier = cache
                .lifetimes
                .iter()
                .enumerate()
                .find(|other| applies_before(*other, (position, rule)));
            faults.within(Step::Entry(position), |faults| {
                if let Some(entry) = out {
                    faults.refuse_for(
                        format!(
                            "this never applies: {} is kept out of the cache",
                            quoted(paths.as_str())
                        ),
                        None,
                        path_to(&[Step::Key("bypass"), Step::Key("paths"), Step::Entry(entry)]),
                        "by this",
                    );
                }
                if let Some((entry, other)) = earlier {
                    let help = if entry > position {
                        "a `lifetime` with `override` counts before those without"
                    } else {
                        "the first that fits counts: put the narrower one first"
                    };
                    let wide = other.path.as_ref().map(Paths::as_str).unwrap_or_default();
                    faults.refuse_for(
                        format!("this never applies: {} fits all of it", quoted(wide)),
                        Some(help.to_owned()),
                        path_to(&[Step::Key("lifetime"), Step::Entry(entry)]),
                        "the other one",
                    );
                }
            });
        }
    });
}

fn check_negative(cache: &CacheSettings, faults: &mut Faults) {
    let here = faults.here();
    let path_to = |key, entry| {
        let mut path = here.clone();
        path.extend([Step::Key(key), Step::Entry(entry)]);
        path
    };
    within(faults, "negative", |faults| {
        for (position, rule) in cache.negative.iter().enumerate() {
            faults.within(Step::Entry(position), |faults| {
                match rule.ttl {
                    None => require(faults, "ttl", "say how long: ttl = \"10s\""),
                    Some(ttl) => whole_seconds(faults, "ttl", ttl),
                }
                let Some(status) = rule.status else {
                    return require(faults, "status", "say which: status = \"404\"");
                };
                if status.first < 400 {
                    within(faults, "status", |faults| {
                        faults.refuse(
                            format!("{} is no error", status.first),
                            Some("how long other responses are fresh stands in [[site.cache.lifetime]]".to_owned()),
                        );
                    });
                }
                check_status(status, faults);
                let all = |other: StatusRange| covers(other, status);
                let by_lifetime = cache.lifetimes.iter().position(|other| {
                    other.path.as_ref().is_some_and(is_everything) && all(other.status)
                });
                let by_negative = cache
                    .negative
                    .iter()
                    .take(position)
                    .position(|other| other.status.is_some_and(all));
                let other = by_lifetime
                    .map(|entry| path_to("lifetime", entry))
                    .or(by_negative.map(|entry| path_to("negative", entry)));
                if let Some(other) = other {
                    faults.refuse_for(
                        format!("this never applies: another one fits every {status}"),
                        Some("keep one of the two".to_owned()),
                        other,
                        "the other one",
                    );
                }
            });
        }
    });
}

/// At least one of the statuses can be stored.
fn check_status(status: StatusRange, faults: &mut Faults) {
    if (status.first..=status.last).all(is_never_stored) {
        within(faults, "status", |faults| {
            faults.refuse(
                format!("this never applies: responses with {status} are never stored"),
                Some(
                    "such a status answers one request and says nothing about the next".to_owned(),
                ),
            );
        });
    }
}

fn check_stale(stale: &StaleSettings, faults: &mut Faults) {
    for (key, default, ceiling_key, ceiling) in [
        (
            "while_revalidate",
            stale.while_revalidate,
            "while_revalidate_ceiling",
            stale.while_revalidate_ceiling,
        ),
        (
            "if_error",
            stale.if_error,
            "if_error_ceiling",
            stale.if_error_ceiling,
        ),
        (
            "origin_down",
            stale.origin_down,
            "origin_down_ceiling",
            stale.origin_down_ceiling,
        ),
    ] {
        whole_seconds(faults, key, default);
        whole_seconds(faults, ceiling_key, ceiling);
        if default > ceiling {
            let other = within(faults, ceiling_key, |faults| faults.here());
            within(faults, key, |faults| {
                let time = |duration: Duration| {
                    units::show(
                        Unit::Time,
                        u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
                    )
                };
                faults.refuse_for(
                    format!(
                        "{} is more than the ceiling of {}",
                        time(default),
                        time(ceiling)
                    ),
                    Some(format!("lower `{key}` or raise `{ceiling_key}`")),
                    other,
                    "the ceiling",
                );
            });
        }
    }
}

/// Reports each of a list that another one of it stands for already.
fn redundant<T>(
    faults: &mut Faults,
    key: &'static str,
    list: &[T],
    stands_for: impl Fn(&T, &T) -> bool,
) where
    T: Clone + Into<String>,
{
    let shown = |value: &T| quoted(&value.clone().into());
    within(faults, key, |faults| {
        let here = faults.here();
        for (position, value) in list.iter().enumerate() {
            let other = list.iter().enumerate().find(|(place, other)| {
                // Of two that stand for each other the first is kept.
                *place != position
                    && stands_for(other, value)
                    && (*place < position || !stands_for(value, other))
            });
            let Some((place, other)) = other else {
                continue;
            };
            let mut path = here.clone();
            path.push(Step::Entry(place));
            let (value, other) = (shown(value), shown(other));
            let what = if value == other {
                format!("{value} is listed twice")
            } else {
                format!("{value} changes nothing beside {other}")
            };
            faults.within(Step::Entry(position), |faults| {
                faults.refuse_for(what, Some("leave it out".to_owned()), path, "the other one");
            });
        }
    });
}

fn each<T>(faults: &mut Faults, key: &'static str, list: &[T], check: impl Fn(&T, &mut Faults)) {
    within(faults, key, |faults| {
        for (position, value) in list.iter().enumerate() {
            faults.within(Step::Entry(position), |faults| check(value, faults));
        }
    });
}

fn require(faults: &mut Faults, key: &'static str, help: &str) {
    within(faults, key, |faults| {
        faults.require(key, Some(help.to_owned()))
    });
}

/// Ages are counted in whole seconds (RFC 9111 section 1.2.2).
fn whole_seconds(faults: &mut Faults, key: &'static str, duration: Duration) {
    if duration.subsec_nanos() != 0 {
        within(faults, key, |faults| {
            faults.refuse(
                format!("`{key}` is in whole seconds, as ages are in HTTP"),
                Some(format!(
                    "write \"{}s\"",
                    duration.as_secs().saturating_add(1)
                )),
            );
        });
    }
}
