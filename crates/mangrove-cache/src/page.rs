//! `docs/cache-decisions.md`, made from the tables that the code obeys.

use std::fmt::Write as _;

use crate::accept::LANGUAGES;
use crate::compress::MEDIA_PATTERN_BYTES;
use crate::directives::{DELTA_CEILING, WITHHELD_FIELDS};
use crate::key::SORTED_PARAMETERS;
use crate::pattern::{NAME_PATTERN_BYTES, PATTERN_BYTES, PATTERN_STARS};
use crate::purge::{PREFIX_BYTES, TAG_BYTES, TAGS};
use crate::range::{RANGES_ANSWERED, RANGES_ASKED};
use crate::reason::{NotStored, Reason};
use crate::stored::LifetimeSource;
use crate::targeted::DICTIONARY_MEMBERS;
use crate::validator::ENTITY_TAGS;
use crate::vary::{VARIANT_BYTES, VARY_FIELDS, WORDS_WITHIN};

/// The page of every state and reason, in Markdown.
pub fn decisions_markdown() -> String {
    let mut page = String::from(HEAD);
    page.push_str("\n## What becomes of a request\n\n");
    page.push_str(ORDER);
    page.push_str(
        "\n| reason | what happens | `fwd` | source | meaning |\n|---|---|---|---|---|\n",
    );
    for &reason in Reason::ALL {
        let (does, goes_forward) = consequence(reason);
        let forward = if goes_forward {
            reason.forward().token()
        } else {
            ""
        };
        let _ = writeln!(
            page,
            "| `{}` | {does} | {forward} | {} | {} |",
            reason.name(),
            reason.source(),
            reason.explain()
        );
    }
    page.push_str(
        "\n## Why a response is not stored\n\n| reason | source | meaning |\n|---|---|---|\n",
    );
    for reason in NotStored::ALL {
        let _ = writeln!(
            page,
            "| `{}` | {} | {} |",
            reason.name(),
            reason.source(),
            reason.explain()
        );
    }
    page.push_str("\n## How long a response is fresh\n\nThe first that applies. Seconds above ");
    let _ = writeln!(
        page,
        "{DELTA_CEILING} count as that many; of several values the shortest counts; a malformed one is 0.\n"
    );
    page.push_str("| rule | source | meaning |\n|---|---|---|\n");
    for source in LifetimeSource::ALL {
        let _ = writeln!(
            page,
            "| `{}` | {} | {} |",
            source.name(),
            source.source(),
            source.explain()
        );
    }
    page.push_str("\n## Limits\n\n| what | most | one past it |\n|---|---|---|\n");
    for (what, most, beyond) in LIMITS {
        let _ = writeln!(page, "| {what} | {most} | {beyond} |");
    }
    page
}

const HEAD: &str = "# What the cache decides

Generated from `crates/mangrove-cache`; run its tests with `MANGROVE_WRITE_DOCS=1` after changing it there.

Every outcome has a name. It is the `detail` of `Cache-Status` (RFC 9211), and the same in the log and the metrics.
";

const ORDER: &str = "In this order:

1. A request that does not use the cache goes to the origin: the site's cache is off, another method than GET or HEAD,
   content with the request, or a bypass of the site.
2. Among what is stored for the URL, the variant is chosen that was stored for such a request (RFC 9111 section 4.1).
   Without one, or when only a part is stored and it lacks bytes asked for, the request goes to the origin.
3. If-Match and If-Unmodified-Since that fail by what is stored are for the origin to judge.
4. What is fresh, and as fresh as the client wants it, is served.
5. What is stale is served if the client accepts it, while it is revalidated, or while the origin is down; unless
   `no-cache`, `must-revalidate`, `proxy-revalidate`, `s-maxage` or an invalidation forbids it (section 4.2.4).
6. Otherwise the origin is asked about it, or for it where there is no validator; with `only-if-cached` the answer is 504.
7. If the origin fails, what is stored may be served after all (`stale-if-error`).
";

/// What a reason does, and whether the origin is asked before the client is answered.
const fn consequence(reason: Reason) -> (&'static str, bool) {
    match reason {
        Reason::Fresh | Reason::Immutable | Reason::FreshOriginDown => ("served", false),
        Reason::StaleWhileRevalidate => ("served stale; the origin is asked meanwhile", false),
        Reason::MaxStale | Reason::StaleOriginDown | Reason::StaleIfError => {
            ("served stale", false)
        }
        Reason::Stale
        | Reason::NoCacheResponse
        | Reason::Invalidated
        | Reason::NoCacheRequest
        | Reason::MaxAgeRequest
        | Reason::MinFreshRequest => (
            "the origin is asked about it; without a validator, fetched",
            true,
        ),
        Reason::Miss
        | Reason::VariantMiss
        | Reason::PartialMiss
        | Reason::Partial
        | Reason::PreconditionForOrigin
        | Reason::Method
        | Reason::RequestContent
        | Reason::CacheOff
        | Reason::BypassPath
        | Reason::BypassCookie
        | Reason::BypassHeader
        | Reason::BypassQuery
        | Reason::NoStoreRequest => ("fetched", true),
        Reason::OnlyIfCached => ("refused with 504", false),
    }
}

const LIMITS: &[(&str, usize, &str)] = &[
    (
        "fields that Vary lists",
        VARY_FIELDS,
        "not stored: `vary-too-wide`",
    ),
    (
        "bytes that tell a variant apart",
        VARIANT_BYTES,
        "not stored: `vary-too-wide`",
    ),
    ("tags of a response", TAGS, "not stored: `too-many-tags`"),
    ("bytes of a tag", TAG_BYTES, "not stored: `too-many-tags`"),
    (
        "bytes of a prefix that is purged",
        PREFIX_BYTES,
        "no prefix",
    ),
    (
        "bytes of a line in which a site's words are looked for",
        WORDS_WITHIN,
        "not seen",
    ),
    (
        "fields listed by `no-cache` and `private`",
        WITHHELD_FIELDS,
        "the directive is about the whole response",
    ),
    (
        "members of a targeted field",
        DICTIONARY_MEMBERS,
        "the field is ignored",
    ),
    (
        "entity tags of a condition",
        ENTITY_TAGS,
        "the condition matches nothing",
    ),
    ("ranges of a request", RANGES_ASKED, "`Range` is ignored"),
    ("parts of an answer", RANGES_ANSWERED, "the whole is sent"),
    (
        "parameters of a query put in order",
        SORTED_PARAMETERS,
        "they stay as they came",
    ),
    (
        "languages of a request put in order",
        LANGUAGES,
        "they are compared as they came",
    ),
    ("bytes of a path pattern", PATTERN_BYTES, "no pattern"),
    ("stars of a path pattern", PATTERN_STARS, "no pattern"),
    (
        "bytes of a pattern over names",
        NAME_PATTERN_BYTES,
        "no pattern",
    ),
    (
        "bytes of a pattern over media types",
        MEDIA_PATTERN_BYTES,
        "no pattern",
    ),
];
