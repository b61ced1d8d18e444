//! What a site wants compressed: the configuration only spells it.

use crate::pattern::matches;

/// A pattern over media types without their parameters: `text/*`, `application/json`, `application/*+json`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MediaPattern(Box<str>);

/// The longest pattern over media types, in bytes (RFC 6838 section 4.2 has names of at most 127 on either side).
pub const MEDIA_PATTERN_BYTES: usize = 255;

impl MediaPattern {
    /// Reads a pattern: a type and a subtype, the latter with at most one star. In lower case; `None` when it is none.
    pub fn parse(text: &str) -> Option<MediaPattern> {
        let (kind, subtype) = text.split_once('/')?;
        // RFC 6838 section 4.2.
        let name = |text: &str| {
            let rest =
                |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"!#$&-^_.+".contains(&b);
            text.bytes().all(rest)
        };
        let stars = subtype.bytes().filter(|&b| b == b'*').count();
        let valid = !kind.is_empty()
            && !subtype.is_empty()
            && name(kind)
            && stars <= 1
            && name(&subtype.replacen('*', "", 1))
            && text.len() <= MEDIA_PATTERN_BYTES;
        valid.then(|| MediaPattern(text.into()))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a media type, in any case and without its parameters, fits.
    fn matches(&self, essence: &[u8]) -> bool {
        matches(&self.0, essence)
    }

    /// Whether every media type that `other` matches is matched by this one too.
    pub fn covers(&self, other: &MediaPattern) -> bool {
        self.matches(other.0.as_bytes())
    }
}

/// Media types that compress well, and are compressed unless a site says otherwise. Those that are compressed already, such
/// as JPEG, WOFF2 and video, would only cost time.
pub const COMPRESSIBLE: &[&str] = &[
    "text/*",
    "application/*+json",
    "application/*+xml",
    "application/graphql-response",
    "application/javascript",
    "application/json",
    "application/manifest",
    "application/rtf",
    "application/vnd.ms-fontobject",
    "application/wasm",
    "application/x-javascript",
    "application/x-ndjson",
    "application/x-sh",
    "application/x-yaml",
    "application/xml",
    "application/yaml",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/svg+xml",
    "image/vnd.microsoft.icon",
    "image/x-icon",
    "model/*+json",
    "model/*+xml",
    "model/gltf",
];

/// What a site wants compressed, and how hard.
///
/// Beside these, the rules of HTTP and of safety say what must not be compressed: they are not a site's to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompressRules {
    /// Whether anything is.
    pub on: bool,
    /// Which media types.
    pub types: Vec<MediaPattern>,
    /// The fewest bytes of content that are worth it.
    pub smallest: u64,
    /// The most bytes of content that are compressed: they are held whole while they are.
    pub largest: u64,
    /// 1 to 19.
    pub zstd_level: u8,
    /// 0 to 11.
    pub brotli_level: u8,
    /// 1 to 9.
    pub gzip_level: u8,
}

impl CompressRules {
    /// Whether content of this `Content-Type` and of so many bytes is to be compressed.
    pub fn wants(&self, content_type: &[u8], length: u64) -> bool {
        self.on && self.wants_length(length) && self.wants_type(content_type)
    }

    /// Whether so many bytes are neither too few nor too many.
    pub fn wants_length(&self, length: u64) -> bool {
        (self.smallest..=self.largest).contains(&length)
    }

    /// Whether a `Content-Type` is among [`types`](Self::types), whatever its case and its parameters; `text/event-stream`
    /// never is.
    pub fn wants_type(&self, content_type: &[u8]) -> bool {
        let essence = content_type.split(|&b| b == b';').next();
        let essence = mangrove_http::trim(essence.unwrap_or_default()).to_ascii_lowercase();
        // Events are read as they come; whatever compresses would hold them back.
        essence != b"text/event-stream"
            && self.types.iter().any(|pattern| pattern.matches(&essence))
    }
}

impl Default for CompressRules {
    fn default() -> Self {
        CompressRules {
            on: true,
            types: COMPRESSIBLE
                .iter()
                .filter_map(|text| MediaPattern::parse(text))
                .collect(),
            smallest: 512,
            largest: 16 << 20,
            zstd_level: 10,
            brotli_level: 6,
            gzip_level: 6,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types() {
        let rules = CompressRules::default();
        assert_eq!(rules.types.len(), COMPRESSIBLE.len(), "all are patterns");
        for yes in [
            "text/html; charset=utf-8",
            "Text/HTML",
            "application/ld+json",
            "image/svg+xml",
            "text/css ;a=b",
        ] {
            assert!(rules.wants_type(yes.as_bytes()), "{yes}");
        }
        for no in [
            "",
            "text",
            "image/jpeg",
            "application/json-seq",
            "text/event-stream",
            "x/text/html",
            "font/woff2",
        ] {
            assert!(!rules.wants_type(no.as_bytes()), "{no}");
        }
    }

    #[test]
    fn patterns() {
        for right in [
            "text/*",
            "application/*+json",
            "a/b",
            "application/vnd.x-y.1+json",
        ] {
            assert!(MediaPattern::parse(right).is_some(), "{right}");
        }
        for wrong in [
            "",
            "/",
            "text",
            "text/",
            "/html",
            "*/*",
            "*",
            "text/*/*",
            "a/**",
            "Text/html",
            "a/b;c=d",
            "a/b c",
        ] {
            assert!(MediaPattern::parse(wrong).is_none(), "{wrong}");
        }
        let long = |length: usize| MediaPattern::parse(&format!("a/{}", "b".repeat(length - 2)));
        assert!(long(MEDIA_PATTERN_BYTES).is_some() && long(MEDIA_PATTERN_BYTES + 1).is_none());
    }

    #[test]
    fn sizes_end_where_they_say() {
        let rules = CompressRules {
            smallest: 10,
            largest: 20,
            ..CompressRules::default()
        };
        let wants = |length| rules.wants(b"text/html", length);
        assert!(!wants(9) && wants(10) && wants(20) && !wants(21));
        let off = CompressRules { on: false, ..rules };
        assert!(!off.wants(b"text/html", 15));
    }
}
