//! Every outcome of the cache has a name, in two tables that can be read beside the RFCs.
//!
//! The name is the same in `Cache-Status`, in the log, in the metrics and in the tests, and does not change once released.

macro_rules! outcomes {
    ($(#[$about:meta])* $type:ident { $( $variant:ident = $name:literal, $forward:expr, $source:literal, $explain:literal; )* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $type { $( #[doc = $explain] $variant, )* }

        impl $type {
            /// All of them, in the order of this table.
            pub const ALL: &[$type] = &[ $( $type::$variant, )* ];

            /// The stable kebab-case name.
            pub const fn name(self) -> &'static str {
                match self { $( $type::$variant => $name, )* }
            }

            /// One sentence for a person.
            pub const fn explain(self) -> &'static str {
                match self { $( $type::$variant => $explain, )* }
            }

            /// Where the rule comes from.
            pub const fn source(self) -> &'static str {
                match self { $( $type::$variant => $source, )* }
            }

            /// What `Cache-Status` says when the request goes forward for this reason.
            pub const fn forward(self) -> Forward {
                match self { $( $type::$variant => $forward, )* }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

/// Why a request goes to the origin, as RFC 9211 section 2.2 puts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Forward {
    /// The cache was told not to handle this request.
    Bypass,
    /// The request's method requires it.
    Method,
    /// Nothing is stored for that URL.
    UriMiss,
    /// Something is stored for that URL, but not for such a request.
    VaryMiss,
    /// The request asked for it.
    Request,
    /// What is stored has to be asked about first.
    Stale,
    /// What is stored lacks some of the bytes.
    Partial,
}

impl Forward {
    /// The token of `fwd`.
    pub const fn token(self) -> &'static str {
        match self {
            Forward::Bypass => "bypass",
            Forward::Method => "method",
            Forward::UriMiss => "uri-miss",
            Forward::VaryMiss => "vary-miss",
            Forward::Request => "request",
            Forward::Stale => "stale",
            Forward::Partial => "partial",
        }
    }
}

outcomes! {
    /// Why [`decide`](crate::decide) and [`on_error`](crate::on_error) decided so.
    Reason {
        // Served as it is.
        Fresh = "fresh", Forward::Stale, "RFC 9111 section 4.2",
            "What is stored is fresh.";
        Immutable = "fresh-immutable", Forward::Stale, "RFC 8246 section 2",
            "What is stored is fresh and will not change before it is stale, so a mere reload does not ask for it.";
        FreshOriginDown = "fresh-origin-down", Forward::Stale, "RFC 9111 section 5.2.1",
            "What is stored is fresh; the client prefers that the origin is asked, but the origin cannot be.";

        // Served although stale.
        StaleWhileRevalidate = "stale-while-revalidate", Forward::Stale, "RFC 5861 section 3",
            "What is stored is stale by less than is allowed while the origin is asked about it.";
        MaxStale = "max-stale", Forward::Stale, "RFC 9111 section 5.2.1.2",
            "What is stored is stale by less than the client accepts.";
        StaleOriginDown = "stale-origin-down", Forward::Stale, "RFC 9111 section 4.2.4",
            "The origin cannot be reached at present, and what is stored may be served stale meanwhile.";
        StaleIfError = "stale-if-error", Forward::Stale, "RFC 5861 section 4",
            "The origin failed, and what is stored may be served stale in place of its failure.";

        // Served after asking the origin, or fetched anew where nothing stored can be asked about.
        Stale = "stale", Forward::Stale, "RFC 9111 section 4.2",
            "What is stored is no longer fresh.";
        NoCacheResponse = "response-no-cache", Forward::Stale, "RFC 9111 section 5.2.2.4",
            "The origin wants to be asked before every reuse.";
        Invalidated = "invalidated", Forward::Stale, "RFC 9111 section 4.4",
            "A change of the resource, or a purge, made what is stored invalid until the origin confirms it.";
        NoCacheRequest = "request-no-cache", Forward::Request, "RFC 9111 section 5.2.1.4",
            "The client asks that the origin is asked.";
        MaxAgeRequest = "request-max-age", Forward::Request, "RFC 9111 section 5.2.1.1",
            "What is stored is older than the client accepts.";
        MinFreshRequest = "request-min-fresh", Forward::Request, "RFC 9111 section 5.2.1.3",
            "What is stored will not stay fresh for as long as the client needs.";

        // Fetched.
        Miss = "miss", Forward::UriMiss, "RFC 9111 section 4",
            "Nothing is stored for this URL.";
        VariantMiss = "variant-miss", Forward::VaryMiss, "RFC 9111 section 4.1",
            "Something is stored for this URL, but for requests that differ in what the response varies on.";
        PartialMiss = "partial-miss", Forward::Partial, "RFC 9111 section 3.3",
            "Only a part is stored, and not all that is asked for.";
        Partial = "partial", Forward::Partial, "RFC 9110 section 14.2",
            "Some of what is asked for is on the disk, and the origin is asked for some of the rest.";
        PreconditionForOrigin = "precondition-for-origin", Forward::Request, "RFC 9110 section 13.1.1",
            "If-Match or If-Unmodified-Since does not fit what is stored; only the origin knows whether it fits what is current.";
        Method = "method", Forward::Method, "RFC 9111 section 4",
            "Only GET and HEAD are answered from the cache.";
        RequestContent = "request-content", Forward::Request, "RFC 9110 section 9.3.1",
            "A GET or HEAD with content is never answered from the cache, because the content is no part of its key.";
        CacheOff = "cache-off", Forward::Bypass, "the site's settings",
            "The site does not use the cache.";
        BypassPath = "bypass-path", Forward::Bypass, "the site's settings",
            "The site keeps this path out of the cache.";
        BypassCookie = "bypass-cookie", Forward::Bypass, "the site's settings",
            "The request has a cookie that keeps it out of the cache.";
        BypassHeader = "bypass-header", Forward::Bypass, "the site's settings",
            "The request has a header field that keeps it out of the cache.";
        BypassQuery = "bypass-query", Forward::Bypass, "the site's settings",
            "The query has a parameter that keeps the request out of the cache.";
        NoStoreRequest = "request-no-store", Forward::Request, "RFC 9111 section 5.2.1.5",
            "The client asks that nothing of this exchange is kept.";

        // Refused.
        OnlyIfCached = "only-if-cached", Forward::Request, "RFC 9111 section 5.2.1.7",
            "The client wants an answer from the cache or none, and there is none: 504.";
    }
}

outcomes! {
    /// Why a response was not stored.
    NotStored {
        CacheOff = "cache-off", Forward::Bypass, "the site's settings",
            "The site does not use the cache.";
        Bypassed = "bypassed", Forward::Bypass, "the site's settings",
            "The site keeps such requests out of the cache.";
        Method = "method", Forward::Method, "RFC 9111 section 3",
            "Only responses to GET are stored, and to POST those that name their own URL.";
        Interim = "interim", Forward::UriMiss, "RFC 9111 section 3",
            "The response is not the final one.";
        NoStoreRequest = "request-no-store", Forward::Request, "RFC 9111 section 5.2.1.5",
            "The client asks that nothing of this exchange is kept.";
        NoStore = "no-store", Forward::UriMiss, "RFC 9111 section 5.2.2.5",
            "The origin forbids storing it.";
        Private = "private", Forward::UriMiss, "RFC 9111 section 5.2.2.7",
            "The origin says that it is meant for one visitor.";
        Authorization = "authorization", Forward::UriMiss, "RFC 9111 section 3.5",
            "The request had credentials and the origin does not say that the response is for everyone.";
        SetCookie = "set-cookie", Forward::UriMiss, "the site's settings; RFC 9111 section 7.3",
            "The response sets a cookie, and the site does not store such responses.";
        VaryStar = "vary-star", Forward::UriMiss, "RFC 9111 section 4.1",
            "The response depends on more than the request says.";
        VaryMalformed = "vary-malformed", Forward::UriMiss, "RFC 9110 section 12.5.5",
            "Vary is not a list of field names.";
        VaryTooWide = "vary-too-wide", Forward::UriMiss, "a limit of the cache",
            "The response varies on more fields, or on longer values, than the cache keeps apart.";
        TooManyTags = "too-many-tags", Forward::UriMiss, "a limit of the cache",
            "The response has more tags, or longer ones, than can be purged by.";
        MustUnderstand = "must-understand", Forward::UriMiss, "RFC 9111 section 5.2.2.3",
            "The origin wants it stored only by who understands its status, and this cache does not.";
        StatusForOneRequest = "status-for-one-request", Forward::UriMiss, "RFC 9110 section 15; RFC 6585",
            "Such a status answers the conditions of one request and says nothing about the resource.";
        NotCacheableByDefault = "not-cacheable-by-default", Forward::UriMiss, "RFC 9111 section 3",
            "The origin does not say how long it is fresh, and such a status is not stored without.";
        NothingToReuse = "nothing-to-reuse", Forward::UriMiss, "RFC 9111 section 4",
            "It is stale already and nothing could be asked about it later.";
        PartMalformed = "part-malformed", Forward::Partial, "RFC 9110 section 14.4",
            "The part does not say which bytes it holds, or holds others than it says.";
        PartUnasked = "part-unasked", Forward::Partial, "RFC 9110 section 15.3.7",
            "A part came although the request was for the whole.";
        PartMultiple = "part-multiple", Forward::Partial, "RFC 9110 section 15.3.7.2",
            "Several parts in one response are not stored.";
        PartBeside = "part-beside", Forward::Partial, "RFC 9111 section 3.4",
            "More of the same is on the disk, or on its way there, than came with this response.";
        TooLarge = "too-large", Forward::UriMiss, "the site's settings",
            "The response is larger than the site stores.";
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_outcome_has_a_name_of_its_own_a_source_and_a_sentence() {
        let reasons = Reason::ALL
            .iter()
            .map(|r| (r.name(), r.source(), r.explain()));
        let not_stored = NotStored::ALL
            .iter()
            .map(|r| (r.name(), r.source(), r.explain()));
        assert_eq!(
            reasons.clone().map(|r| r.0).collect::<HashSet<_>>().len(),
            Reason::ALL.len()
        );
        assert_eq!(
            not_stored
                .clone()
                .map(|r| r.0)
                .collect::<HashSet<_>>()
                .len(),
            NotStored::ALL.len()
        );
        for (name, source, explain) in reasons.chain(not_stored) {
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'),
                "{name}"
            );
            assert!(
                !source.is_empty() && explain.ends_with(['.', '4']),
                "{name}"
            );
        }
    }
}
