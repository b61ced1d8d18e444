//! The field names the edge or the cache acts on, recognised once while the head is read.

macro_rules! known {
    ($( $length:literal: $( $variant:ident $name:literal ),+ ; )*) => {
        /// A field name this program has an opinion about; every other is [`Known::Other`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Known {
            $( $( #[doc = concat!("`", $name, "`")] $variant, )+ )*
            /// Any name that is not in this list.
            Other,
        }

        impl Known {
            /// All of them but [`Known::Other`].
            pub const ALL: &[Known] = &[ $( $( Known::$variant, )+ )* ];

            /// Recognises a name, whatever its case.
            pub fn of(name: &[u8]) -> Known {
                let initial = name.first().map_or(0, u8::to_ascii_lowercase);
                match name.len() {
                    $( $length => {
                        $( if initial == const { initial_of($name) } && name.eq_ignore_ascii_case($name.as_bytes()) {
                            return Known::$variant;
                        } )+
                        Known::Other
                    } )*
                    _ => Known::Other,
                }
            }

            /// The name in lower case, as HTTP/2 sends it; empty for [`Known::Other`].
            pub const fn name(self) -> &'static str {
                match self { $( $( Known::$variant => $name, )+ )* Known::Other => "" }
            }
        }
    };
}

known! {
    2: Te "te";
    3: Age "age", Via "via";
    4: Host "host", Date "date", ETag "etag", From "from", Link "link", Vary "vary";
    5: Allow "allow", Range "range";
    6: Accept "accept", Cookie "cookie", Expect "expect", Origin "origin", Pragma "pragma", Server "server";
    7: AltSvc "alt-svc", Expires "expires", Referer "referer", Trailer "trailer", Upgrade "upgrade";
    8: IfMatch "if-match", IfRange "if-range", Location "location", CdnLoop "cdn-loop", Priority "priority";
    9: Forwarded "forwarded", XRealIp "x-real-ip", CacheTag "cache-tag";
    10: Connection "connection", KeepAlive "keep-alive", SetCookie "set-cookie", UserAgent "user-agent", TraceState "tracestate", EarlyData "early-data";
    11: TraceParent "traceparent", RetryAfter "retry-after", ContentMd5 "content-md5";
    12: ContentType "content-type", XRequestId "x-request-id", MaxForwards "max-forwards", CacheStatus "cache-status", ProxyStatus "proxy-status";
    13: CacheControl "cache-control", Authorization "authorization", IfNoneMatch "if-none-match", LastModified "last-modified", ContentRange "content-range", AcceptRanges "accept-ranges", SurrogateKey "surrogate-key";
    14: Http2Settings "http2-settings", ContentLength "content-length", SecFetchDest "sec-fetch-dest", SecFetchMode "sec-fetch-mode", SecFetchSite "sec-fetch-site";
    15: AcceptEncoding "accept-encoding", AcceptLanguage "accept-language", XForwardedFor "x-forwarded-for";
    16: ContentEncoding "content-encoding", ContentLanguage "content-language", ContentLocation "content-location", ProxyConnection "proxy-connection", WwwAuthenticate "www-authenticate", XForwardedHost "x-forwarded-host", XForwardedPort "x-forwarded-port";
    17: TransferEncoding "transfer-encoding", IfModifiedSince "if-modified-since", XForwardedProto "x-forwarded-proto", CdnCacheControl "cdn-cache-control", SecWebSocketKey "sec-websocket-key", XAccelBuffering "x-accel-buffering", SurrogateControl "surrogate-control";
    18: ProxyAuthenticate "proxy-authenticate";
    19: IfUnmodifiedSince "if-unmodified-since", ProxyAuthorization "proxy-authorization", ContentDisposition "content-disposition";
    20: SecWebSocketAccept "sec-websocket-accept", SurrogateCapability "surrogate-capability";
    21: SecWebSocketVersion "sec-websocket-version";
    22: MangroveCacheControl "mangrove-cache-control", SecWebSocketProtocol "sec-websocket-protocol";
    23: ContentSecurityPolicy "content-security-policy";
    24: SecWebSocketExtensions "sec-websocket-extensions";
    25: ProxyAuthenticationInfo "proxy-authentication-info", StrictTransportSecurity "strict-transport-security", UpgradeInsecureRequests "upgrade-insecure-requests";
}

/// Length and first letter leave one or two names to compare with.
const fn initial_of(name: &str) -> u8 {
    match name.as_bytes().first() {
        Some(initial) => *initial,
        None => 0,
    }
}

/// A set of [`Known`] names, for "is there one at all?" without looking at the lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct KnownSet(u128);

const _: () = assert!(
    (Known::Other as u8) < 128,
    "KnownSet has a bit for every known name"
);

impl KnownSet {
    pub(crate) fn insert(&mut self, known: Known) {
        self.0 |= 1 << known as u8;
    }

    pub(crate) fn contains(self, known: Known) -> bool {
        self.0 & (1 << known as u8) != 0
    }
}

impl Known {
    /// Fields about one connection, which no intermediary forwards (RFC 9110 section 7.6.1), with those that only the
    /// first proxy may read (section 11.7) and the offer of h2c that this program never takes.
    pub(crate) const fn is_connection_specific(self) -> bool {
        matches!(
            self,
            Known::Connection
                | Known::KeepAlive
                | Known::ProxyConnection
                | Known::Te
                | Known::TransferEncoding
                | Known::Upgrade
                | Known::Http2Settings
                | Known::ProxyAuthenticate
                | Known::ProxyAuthorization
        )
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
    pub(crate) const fn is_forbidden_in_trailers(self) -> bool {
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
            assert!(!set.contains(known));
            set.insert(known);
            assert!(set.contains(known));
        }
        assert_eq!(Known::of(b""), Known::Other);
        assert_eq!(Known::of(b"content_length"), Known::Other);
    }
}
