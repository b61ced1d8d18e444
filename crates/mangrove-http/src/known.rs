//! The field names the edge or the cache acts on, recognised once while the head is read.

use crate::words::{WORD, lower_case, word_at};

macro_rules! known {
    ($( $variant:ident $name:literal, )*) => {
        /// A field name this program has an opinion about; every other is [`Known::Other`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Known {
            $( #[doc = concat!("`", $name, "`")] $variant, )*
            /// Any name that is not in this list.
            Other,
        }

        impl Known {
            /// All of them but [`Known::Other`].
            pub const ALL: &[Known] = &[ $( Known::$variant, )* ];

            /// The name in lower case, as HTTP/2 sends it; empty for [`Known::Other`].
            pub const fn name(self) -> &'static str {
                match self { $( Known::$variant => $name, )* Known::Other => "" }
            }
        }
    };
}

known! {
    Te "te",
    Age "age", Via "via",
    Host "host", Date "date", ETag "etag", From "from", Link "link", Vary "vary",
    Allow "allow", Range "range",
    Accept "accept", Cookie "cookie", Expect "expect", Origin "origin", Pragma "pragma", Server "server",
    AltSvc "alt-svc", Expires "expires", Referer "referer", Trailer "trailer", Upgrade "upgrade",
    IfMatch "if-match", IfRange "if-range", Location "location", CdnLoop "cdn-loop", Priority "priority",
    Forwarded "forwarded", XRealIp "x-real-ip", CacheTag "cache-tag",
    Connection "connection", KeepAlive "keep-alive", SetCookie "set-cookie", UserAgent "user-agent", TraceState "tracestate", EarlyData "early-data",
    TraceParent "traceparent", RetryAfter "retry-after", ContentMd5 "content-md5", SecPurpose "sec-purpose",
    ContentType "content-type", XRequestId "x-request-id", MaxForwards "max-forwards", CacheStatus "cache-status", ProxyStatus "proxy-status",
    CacheControl "cache-control", Authorization "authorization", IfNoneMatch "if-none-match", LastModified "last-modified", ContentRange "content-range", AcceptRanges "accept-ranges", SurrogateKey "surrogate-key",
    Http2Settings "http2-settings", ContentLength "content-length", SecFetchDest "sec-fetch-dest", SecFetchMode "sec-fetch-mode", SecFetchSite "sec-fetch-site", SecFetchUser "sec-fetch-user",
    AcceptEncoding "accept-encoding", AcceptLanguage "accept-language", XForwardedFor "x-forwarded-for",
    XRequestedWith "x-requested-with", ContentEncoding "content-encoding", ContentLanguage "content-language", ContentLocation "content-location", ProxyConnection "proxy-connection", WwwAuthenticate "www-authenticate", XForwardedHost "x-forwarded-host", XForwardedPort "x-forwarded-port",
    TransferEncoding "transfer-encoding", IfModifiedSince "if-modified-since", XForwardedProto "x-forwarded-proto", CdnCacheControl "cdn-cache-control", SecWebSocketKey "sec-websocket-key", XAccelBuffering "x-accel-buffering", SurrogateControl "surrogate-control",
    ProxyAuthenticate "proxy-authenticate",
    IfUnmodifiedSince "if-unmodified-since", ProxyAuthorization "proxy-authorization", ContentDisposition "content-disposition",
    SecWebSocketAccept "sec-websocket-accept", SurrogateCapability "surrogate-capability",
    SecWebSocketVersion "sec-websocket-version",
    MangroveCacheControl "mangrove-cache-control", SecWebSocketProtocol "sec-websocket-protocol",
    ContentSecurityPolicy "content-security-policy",
    SecWebSocketExtensions "sec-websocket-extensions",
    ProxyAuthenticationInfo "proxy-authentication-info", StrictTransportSecurity "strict-transport-security", UpgradeInsecureRequests "upgrade-insecure-requests",
}

/// A name of at most [`Key::LONGEST`] octets in lower case, in a form that is compared at once: zeros behind it, and its
/// length in the last octet, since a name that is not valid may hold zeros of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key([u64; Key::WORDS]);

impl Key {
    /// Words of a key.
    pub(crate) const WORDS: usize = 4;
    /// The longest name that has a key; every known one is shorter.
    pub(crate) const LONGEST: usize = Key::WORDS * WORD - 1;

    /// From the name's words with zeros behind the `length` octets of the name, in lower case: of a name without control
    /// characters, it is enough that each octet has the bit which makes letters lower case.
    #[inline]
    pub(crate) const fn new(words: [u64; Key::WORDS], length: usize) -> Key {
        let [a, b, c, d] = words;
        Key([a, b, c, d | (length as u64) << 56])
    }

    #[inline]
    const fn slot(self, multiplier: u64) -> usize {
        let [a, b, _, d] = self.0;
        // What the first half and the length leave undecided is for the comparison.
        ((a ^ b.rotate_left(29))
            .wrapping_add(d)
            .wrapping_mul(multiplier)
            >> (64 - SLOT_BITS)) as usize
    }
}

impl Known {
    /// Recognises a name, whatever its case.
    pub fn of(name: &[u8]) -> Known {
        if name.len() > Key::LONGEST {
            return Known::Other;
        }
        let words = std::array::from_fn(|i| lower_case(word_at(name, i * WORD)));
        Known::of_key(Key::new(words, name.len()))
    }

    /// Recognises a name by its key: one place to look, one comparison.
    #[inline]
    pub(crate) fn of_key(key: Key) -> Known {
        let known = SLOTS
            .get(key.slot(MULTIPLIER))
            .copied()
            .unwrap_or(Known::Other);
        match KEYS.get(known as usize) {
            Some(expected) if *expected == key => known,
            _ => Known::Other,
        }
    }
}

/// Slots are many more than names, so that a multiplier which gives each name its own is soon found.
const SLOT_BITS: u32 = 10;
type Slots = [Known; 1 << SLOT_BITS];

static KEYS: [Key; Known::ALL.len()] = keys();
static SLOTS: Slots = match slots(&keys(), MULTIPLIER) {
    Some(slots) => slots,
    None => panic!("the multiplier was tried"),
};
const MULTIPLIER: u64 = {
    let keys = keys();
    let mut multiplier: u64 = 0x9e37_79b9_7f4a_7c15;
    while slots(&keys, multiplier).is_none() {
        multiplier = multiplier
            .wrapping_mul(0xd134_2543_de82_ef95)
            .wrapping_add(2);
    }
    multiplier
};

#[allow(clippy::indexing_slicing)] // runs while compiling, where a panic is an error message
const fn keys() -> [Key; Known::ALL.len()] {
    let mut keys = [Key([0; Key::WORDS]); Known::ALL.len()];
    let mut index = 0;
    while index < keys.len() {
        let name = Known::ALL[index].name().as_bytes();
        assert!(name.len() <= Key::LONGEST, "a known name has a key");
        let mut words = [0; Key::WORDS];
        let mut at = 0;
        while at < name.len() {
            assert!(
                matches!(name[at], b'a'..=b'z' | b'0'..=b'9' | b'-'),
                "with the bit of lower case no other character without control becomes one of these but a letter"
            );
            words[at / WORD] |= (name[at] as u64) << (8 * (at % WORD));
            at += 1;
        }
        keys[index] = Key::new(words, name.len());
        index += 1;
    }
    keys
}

/// Every name in its slot; none when two have the same.
#[allow(clippy::indexing_slicing)] // runs while compiling, where a panic is an error message
const fn slots(keys: &[Key; Known::ALL.len()], multiplier: u64) -> Option<Slots> {
    let mut slots = [Known::Other; 1 << SLOT_BITS];
    let mut index = 0;
    while index < keys.len() {
        let slot = keys[index].slot(multiplier);
        if !matches!(slots[slot], Known::Other) {
            return None;
        }
        slots[slot] = Known::ALL[index];
        index += 1;
    }
    Some(slots)
}

/// A set of [`Known`] names, for "is there one at all?" without looking at the lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct KnownSet([u64; 2]);

const _: () = assert!(
    (Known::Other as u8) < 128,
    "KnownSet has a bit for every known name"
);

impl KnownSet {
    #[allow(clippy::indexing_slicing)] // runs while compiling, where a panic is an error message
    const fn of(names: &[Known]) -> KnownSet {
        let mut set = KnownSet([0; 2]);
        let mut index = 0;
        while index < names.len() {
            set.0[names[index] as usize / 64] |= 1 << (names[index] as usize % 64);
            index += 1;
        }
        set
    }

    /// True when it was there already.
    #[inline]
    pub(crate) fn insert(&mut self, known: Known) -> bool {
        let Some(word) = self.0.get_mut(known as usize / 64) else {
            return false;
        };
        let bit = 1 << (known as usize % 64);
        let was_there = *word & bit != 0;
        *word |= bit;
        was_there
    }

    pub(crate) fn remove(&mut self, known: Known) {
        if let Some(word) = self.0.get_mut(known as usize / 64) {
            *word &= !(1 << (known as usize % 64));
        }
    }

    #[inline]
    pub(crate) fn contains(self, known: Known) -> bool {
        let word = self.0.get(known as usize / 64).copied();
        word.unwrap_or(0) & 1 << (known as usize % 64) != 0
    }
}

impl Known {
    /// Fields about one connection, which no intermediary forwards (RFC 9110 section 7.6.1), with those that only the
    /// first proxy may read (section 11.7) and the offer of h2c that this program never takes.
    #[inline]
    pub(crate) fn is_connection_specific(self) -> bool {
        const SET: KnownSet = KnownSet::of(&[
            Known::Connection,
            Known::KeepAlive,
            Known::ProxyConnection,
            Known::Te,
            Known::TransferEncoding,
            Known::Upgrade,
            Known::Http2Settings,
            Known::ProxyAuthenticate,
            Known::ProxyAuthorization,
        ]);
        SET.contains(self)
    }

    /// The connection-specific fields that HTTP/2 does not forbid, only does not forward.
    pub(crate) const fn is_for_proxies(self) -> bool {
        matches!(
            self,
            Known::ProxyAuthenticate | Known::ProxyAuthorization | Known::Http2Settings
        )
    }

    /// Fields that `Connection` cannot nominate: without them a message means something else to the next recipient.
    pub(crate) const fn is_protected(self) -> bool {
        matches!(
            self,
            Known::Host
                | Known::ContentLength
                | Known::ContentType
                | Known::ContentEncoding
                | Known::ContentRange
                | Known::Range
                | Known::Authorization
                | Known::Cookie
                | Known::SetCookie
                | Known::CacheControl
                | Known::Vary
                | Known::Location
                | Known::CdnLoop
                | Known::Forwarded
                | Known::XForwardedFor
                | Known::XForwardedHost
                | Known::XForwardedProto
                | Known::XRealIp
        )
    }

    /// Fields that mean nothing, or something dangerous, after the body (RFC 9110 section 6.5.1): framing, routing,
    /// authentication, request modifiers, content handling and caching.
    pub(crate) fn is_forbidden_in_trailers(self) -> bool {
        self.is_connection_specific()
            || (self.is_protected() && !matches!(self, Known::Vary))
            || matches!(
                self,
                Known::Trailer
                    | Known::Expect
                    | Known::MaxForwards
                    | Known::Te
                    | Known::Pragma
                    | Known::IfMatch
                    | Known::IfNoneMatch
                    | Known::IfModifiedSince
                    | Known::IfUnmodifiedSince
                    | Known::IfRange
                    | Known::WwwAuthenticate
                    | Known::Age
                    | Known::Expires
                    | Known::Date
                    | Known::RetryAfter
                    | Known::Vary
                    | Known::Via
                    | Known::CdnCacheControl
                    | Known::MangroveCacheControl
            )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_recognised_in_any_case_and_nothing_near_it() {
        let mut set = KnownSet::default();
        for &known in Known::ALL {
            assert_eq!(known.name().to_ascii_lowercase(), known.name());
            assert_eq!(Known::of(known.name().as_bytes()), known);
            assert_eq!(
                Known::of(known.name().to_ascii_uppercase().as_bytes()),
                known
            );
            assert_eq!(
                Known::of(format!("{}x", known.name()).as_bytes()),
                Known::Other
            );
            assert!(!set.contains(known) && !set.insert(known));
            assert!(set.contains(known) && set.insert(known));
            set.remove(known);
            assert!(!set.contains(known) && !set.insert(known));
            for zeros in 1..4 {
                let padded = [known.name().as_bytes(), &[0; 4][..zeros]].concat();
                assert_eq!(Known::of(&padded), Known::Other);
            }
        }
        assert_eq!(Known::of(b""), Known::Other);
        for near in [
            &b"content_length"[..],
            b"content\x0dlength",
            b"h\xcfst",
            b"hos",
            &[b'a'; 31],
            &[b'a'; 32],
        ] {
            assert_eq!(Known::of(near), Known::Other);
        }
    }
}
