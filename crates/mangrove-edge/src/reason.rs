//! Every "no" has a name: the same in `Proxy-Status`, the log, the metrics, the page and the tests.

use mangrove_http::{OriginFault, Refusal};

use crate::pages::Fault;

/// Why an exchange did not simply carry an answer from origin to visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The request message broke a law of HTTP, or one of ours.
    Refusal(Refusal),
    /// The origin could not be reached, or what it said cannot be trusted.
    Origin(OriginFault),
    /// Something at the edge: a deadline, a ceiling, a site that is not here.
    Edge(EdgeReason),
}

macro_rules! edge_reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $status:literal, $fault:ident, $explain:literal;)+) => {
        /// Reasons that are neither the message's nor the origin's.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum EdgeReason { $($(#[$doc])* $variant,)+ }

        impl EdgeReason {
            /// All of them, in the order of the metrics.
            pub const ALL: &'static [EdgeReason] = &[$(EdgeReason::$variant,)+];
            /// The stable name.
            pub const fn name(self) -> &'static str { match self { $(Self::$variant => $name,)+ } }
            /// The status a visitor gets, if the head was not sent yet; 499 is for the log only.
            pub const fn status(self) -> u16 { match self { $(Self::$variant => $status,)+ } }
            /// One sentence for a person.
            pub const fn explain(self) -> &'static str { match self { $(Self::$variant => $explain,)+ } }
            /// Whose trouble it is.
            pub const fn fault(self) -> Fault { match self { $(Self::$variant => Fault::$fault,)+ } }
        }
    };
}

edge_reasons! {
    /// RFC 9110 section 15.5.20.
    UnknownHost = "unknown-host", 421, Visitor, "No site on this edge has that host name. Check the address, or add the name to a site's `hosts`.";
    /// Slower than the minimum rate.
    RequestBodyTooSlow = "request-body-too-slow", 408, Visitor, "The request's body arrived more slowly than the minimum rate.";
    /// The visitor does not take the answer.
    ResponseWriteTimeout = "response-write-timeout", 408, Visitor, "The answer was not taken in time.";
    /// The visitor takes the answer more slowly than the minimum rate.
    ResponseReadTooSlow = "response-read-too-slow", 408, Visitor, "The answer was taken more slowly than the minimum rate.";
    /// The visitor went away.
    ClientClosed = "client-closed", 499, Visitor, "The visitor closed the connection before the answer was complete.";
    /// The stream or connection was reset by the visitor.
    ClientReset = "client-reset", 499, Visitor, "The visitor reset the stream or connection.";
    /// No first byte, so not even the protocol is known.
    ProtocolSniffTimeout = "protocol-sniff-timeout", 408, Visitor, "Nothing arrived on a new connection.";
    /// TLS did not complete in time.
    TlsHandshakeTimeout = "tls-handshake-timeout", 408, Visitor, "The TLS handshake took too long.";
    /// TLS failed.
    TlsHandshakeFailed = "tls-handshake-failed", 400, Visitor, "The TLS handshake failed.";
    /// More handshakes are wanted than can be made.
    TooManyHandshakes = "too-many-handshakes", 503, Edge, "More TLS handshakes were asked for at one time than this edge can make. Those of networks that ask for most go last.";
    /// The process holds as many connections as it may.
    TooManyConnections = "too-many-connections", 503, Edge, "This edge holds as many connections as it may.";
    /// The process holds as many connections as it may, and this one was slowest.
    MadeRoom = "made-room", 503, Edge, "This edge held as many connections as it may. Of those that hold most of them, this one moved most slowly, and made room.";
    /// Upgraded connection, nothing either way.
    UpgradeIdle = "upgrade-idle", 408, Visitor, "The upgraded connection was silent for too long.";
    /// RFC 6455 section 10.4.
    WebSocketMessageTooLong = "websocket-message-too-long", 413, Visitor, "A message on the WebSocket was longer than this edge passes on.";
    /// More frames than the rate allows.
    WebSocketFlood = "websocket-flood", 429, Visitor, "More frames came on the WebSocket than one client may send in that time.";
    /// RFC 6455 section 5.
    WebSocketMalformed = "websocket-malformed", 400, Visitor, "What the client sent on the WebSocket is no WebSocket: an unmasked frame, an unknown one, or a fragment out of place.";
    /// The edge stopped while the exchange was under way.
    Drained = "drained", 503, Edge, "The edge was told to stop and the exchange did not end within the drain deadline.";
    /// A bug of ours.
    InternalError = "internal-error", 500, Edge, "Something went wrong in the edge itself. The request id finds it in the log.";
    /// Evicted or damaged while it was sent.
    KeptContentLost = "kept-content-lost", 503, Edge, "The rest of what was kept could not be read from the disk any more. Asked again, it comes from the website.";
    /// An optional step failed closed.
    ModuleFailed = "module-failed", 500, Edge, "A step that must not be skipped failed in the edge itself.";
    /// The sample site has no such page.
    NotFound = "not-found", 404, Visitor, "There is no such page.";
    /// RFC 9111 section 5.2.1.7.
    OnlyIfCached = "only-if-cached", 504, Visitor, "The request asks for an answer from the cache or none, and the cache has none.";
    /// Framing of HTTP/2 itself was broken.
    Http2ProtocolError = "http2-protocol-error", 400, Visitor, "The HTTP/2 connection broke the protocol.";
    /// A request or its trailers that RFC 9113 section 8.1.1 calls malformed, found while frames were read.
    Http2MalformedMessage = "http2-malformed-message", 400, Visitor, "The HTTP/2 request is malformed (RFC 9113 section 8.1.1): a pseudo-field, a field about the connection, or a length that is not the body's.";
    /// RFC 9113 section 5.2.
    Http2FlowControlError = "http2-flow-control-error", 400, Visitor, "More was sent on the HTTP/2 connection than its windows allow, or a window was opened too far.";
    /// RFC 9113 section 4.2.
    Http2FrameSizeError = "http2-frame-size-error", 400, Visitor, "A frame of the HTTP/2 connection has a length that it must not have.";
    /// RFC 9113 section 4.3.
    Http2CompressionError = "http2-compression-error", 400, Visitor, "A field section of the HTTP/2 connection could not be decompressed.";
    /// RFC 9113 section 5.1.
    Http2StreamClosed = "http2-stream-closed", 400, Visitor, "A frame came on an HTTP/2 stream that was over.";
    /// RFC 9113 section 5.1.2.
    Http2TooManyStreams = "http2-too-many-streams", 429, Visitor, "More HTTP/2 streams were opened at one time than the edge had offered.";
    /// RFC 9113 section 10.5.
    Http2Flood = "http2-flood", 429, Visitor, "The HTTP/2 connection cost more than it asked for: resets, malformed requests, CONTINUATION or empty frames without end.";
    /// CVE-2023-44487.
    Http2ResetFlood = "http2-reset-flood", 429, Visitor, "More streams of the HTTP/2 connection were reset than a client has reason to.";
    /// CVE-2025-8671.
    Http2ForcedResets = "http2-forced-resets", 429, Visitor, "The HTTP/2 client broke the rules on so many streams, which all had to be reset, that its connection was ended.";
    /// RFC 9113 section 6.7.
    Http2PingFlood = "http2-ping-flood", 429, Visitor, "More PINGs came on the HTTP/2 connection than a client has reason to send.";
    /// RFC 9113 section 6.5.
    Http2SettingsFlood = "http2-settings-flood", 429, Visitor, "More SETTINGS came on the HTTP/2 connection than a client has reason to send.";
    /// RFC 9113 section 6.3, RFC 9218.
    Http2PriorityFlood = "http2-priority-flood", 429, Visitor, "Priorities changed more often on the HTTP/2 connection than its requests explain.";
    /// RFC 9113 section 6.1.
    Http2EmptyDataFlood = "http2-empty-data-flood", 429, Visitor, "DATA frames without data came on the HTTP/2 connection, one after the other.";
    /// RFC 9113 section 6.10.
    Http2ContinuationFlood = "http2-continuation-flood", 429, Visitor, "Heads came on the HTTP/2 connection in more pieces than they need.";
    /// RFC 9113 section 6.9.
    Http2WindowFlood = "http2-window-flood", 429, Visitor, "Windows of the HTTP/2 connection were opened more often than what was sent explains.";
    /// RFC 9113 section 10.5.
    Http2TinyWindows = "http2-tiny-window-flood", 429, Visitor, "The client let an answer come over the HTTP/2 connection only in tiny pieces, one after the other.";
    /// RFC 6585 section 4.
    RateLimited = "rate-limited", 429, Visitor, "More was asked for than one client may ask of this site in that time. Try again after the time in Retry-After.";
    /// The site wants its connection ended.
    RateLimitedClosed = "rate-limited-closed", 429, Visitor, "More was asked for than one client may ask of this site in that time, and its connection was ended.";
    /// As many requests wait for their turn as may.
    RateLimitedNoRoom = "rate-limited-no-room", 429, Visitor, "More was asked for than one client may ask of this site in that time, and as many requests wait for their turn as may. Try again after the time in Retry-After.";
    /// RFC 9110 section 15.5.4.
    BlockedByHand = "blocked-by-hand", 403, Visitor, "Whoever runs this website has closed it for a while to the address or network that this request came from.";
    /// RFC 9113 section 5.5.
    Http2UnknownFlood = "http2-unknown-frame-flood", 429, Visitor, "Frames of types that nobody here knows came on the HTTP/2 connection, one after the other.";
}

impl Reason {
    /// The stable name, in kebab-case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refusal(r) => r.name(),
            Self::Origin(r) => r.name(),
            Self::Edge(r) => r.name(),
        }
    }

    /// The status of the page that tells of it.
    pub fn status(self) -> u16 {
        match self {
            Self::Refusal(r) => r.status(),
            Self::Origin(r) => r.status(),
            Self::Edge(r) => r.status(),
        }
    }

    /// One sentence for a person.
    pub fn explain(self) -> &'static str {
        match self {
            Self::Refusal(r) => r.explain(),
            Self::Origin(r) => r.explain(),
            Self::Edge(r) => r.explain(),
        }
    }

    /// Visitor, edge or origin.
    pub fn fault(self) -> Fault {
        match self {
            Self::Refusal(_) => Fault::Visitor,
            Self::Origin(_) => Fault::Origin,
            Self::Edge(r) => r.fault(),
        }
    }

    /// The error type of RFC 9209 section 2.3 that comes nearest.
    pub fn proxy_status(self) -> &'static str {
        match self {
            Self::Refusal(Refusal::LoopDetected) => "proxy_loop_detected",
            Self::Refusal(_) => "http_request_error",
            Self::Origin(fault) => fault.proxy_status(),
            Self::Edge(reason) => match reason.fault() {
                Fault::Edge => "proxy_internal_error",
                _ => "http_request_error",
            },
        }
    }

    /// Where this reason stands in the metrics' table.
    pub fn index(self) -> usize {
        match self {
            Self::Refusal(r) => r as usize,
            Self::Origin(r) => Refusal::ALL.len() + r as usize,
            Self::Edge(r) => Refusal::ALL.len() + OriginFault::ALL.len() + r as usize,
        }
    }

    /// Every reason there is, in the order of [`Self::index`].
    pub fn all() -> impl Iterator<Item = Reason> {
        let refusals = Refusal::ALL.iter().map(|&r| Self::Refusal(r));
        let faults = OriginFault::ALL.iter().map(|&r| Self::Origin(r));
        refusals
            .chain(faults)
            .chain(EdgeReason::ALL.iter().map(|&r| Self::Edge(r)))
    }
}

impl From<Refusal> for Reason {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

impl From<OriginFault> for Reason {
    fn from(fault: OriginFault) -> Self {
        Self::Origin(fault)
    }
}

impl From<EdgeReason> for Reason {
    fn from(reason: EdgeReason) -> Self {
        Self::Edge(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_reason_is_known_by_name_and_fault_and_has_its_place_in_the_table() {
        let mut names = HashSet::new();
        for (at, reason) in Reason::all().enumerate() {
            assert_eq!(reason.index(), at, "{}", reason.name());
            // `bare-lf` is the same mistake whoever makes it: the fault, which stands beside the
            // name everywhere, tells whose it was.
            assert!(
                names.insert((reason.fault().name(), reason.name())),
                "{} is used twice",
                reason.name()
            );
            assert!(
                reason.name().bytes().all(|b| b.is_ascii_lowercase()
                    || b.is_ascii_digit()
                    || b == b'-'
                    || b == b'.')
            );
            assert!((400..=599).contains(&reason.status()), "{}", reason.name());
            assert!(reason.explain().ends_with('.'), "{}", reason.name());
        }
    }
}
