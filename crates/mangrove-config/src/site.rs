//! The `[[site]]` block: one tenant's hosts and policy.

use crate::cache::{CacheSettings, CompressSettings};
use crate::origin::OriginPolicy;
use crate::rate_limit::RateLimitSettings;
use crate::setting::{settings, words};
use crate::target::Origin;

settings! {
    /// One tenant: which hosts are theirs, and where their content comes from.
    Site {
        name: String = String::new(), Text 1 ..= 64,
            "The site's name in commands, logs and metrics: letters, digits, `-`, `_` and `.`.";
        hosts: Vec<String> = Vec::new(), List 1 ..= 1_000,
            "Hosts answered: exact (`news.example`), every name below one (`*.news.example`), or `*` for any host no other site has. The most exact wins.";
        origins: Vec<Origin> = Vec::new(), List 1 ..= 64,
            "Where content is fetched: `http://`, `https://` or `unix:/path` addresses, or `{ url = \"…\", weight = 3 }`.";
        origin: OriginPolicy = OriginPolicy::default(), Table 0 ..= 0,
            "How origins are spoken to.";
        cache: CacheSettings = CacheSettings::default(), Table 0 ..= 0,
            "What is kept of its responses, and for how long (`docs/caching.md`).";
        compress: CompressSettings = CompressSettings::default(), Table 0 ..= 0,
            "What is compressed at the edge.";
        rate_limits as "rate_limit": Vec<RateLimitSettings> = Vec::new(), List 1 ..= 16,
            "How much of it one client may ask for. All that fit a request count.";
        path: PathPolicy = PathPolicy::AsReceived, Choice 0 ..= 0,
            "Which path an origin sees: as the client sent it, or its RFC 3986 section 6.2.2 normal form. Keys and rules always see the normal form.";
        upgrade: Vec<String> = vec!["websocket".to_owned()], List 0 ..= 8,
            "Protocols a client may upgrade to (RFC 9110 section 7.8). `\"off\"` for none.";
        request_body_bytes: Option<u64> = None, Bytes 1 ..= 1_099_511_627_776,
            "This site's own ceiling for request bodies, in place of the server's.";
        respond: Option<Respond> = None, Table 0 ..= 0,
            "An answer made at the edge, in place of origins.";
        sample: bool = false, Flag 0 ..= 0,
            "Serve the built-in sample site, in place of origins.";
    }
}

settings! {
    /// An answer made at the edge, with no origin behind it.
    Respond {
        status: u16 = 200, Count 200 ..= 599,
            "The status code.";
        content_type: String = "text/plain; charset=utf-8".to_owned(), Text 1 ..= 255,
            "The Content-Type field.";
        body: String = String::new(), Text 0 ..= 1_048_576,
            "The content.";
    }
}

words! {
    /// Which form of the path an origin receives.
    PathPolicy {
        /// Byte for byte as the client sent it.
        #[default]
        AsReceived = "as-received",
        /// In RFC 3986 normal form.
        Normalized = "normalized",
    }
}
