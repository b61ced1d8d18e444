//! Every reason an origin, or what it sent, is not trusted.
//!
//! After any of them the connection to that origin is not reused, and no byte of it reaches another request.

macro_rules! origin_faults {
    ($( $variant:ident = $name:literal $status:literal $proxy_status:literal, $explain:literal; )*) => {
        /// Why an origin's answer could not be used.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum OriginFault { $( #[doc = $explain] $variant, )* }

        impl OriginFault {
            /// All of them, in the order of this table.
            pub const ALL: &[OriginFault] = &[ $( OriginFault::$variant, )* ];

            /// The stable kebab-case name.
            pub const fn name(self) -> &'static str {
                match self { $( OriginFault::$variant => $name, )* }
            }

            /// The status a visitor is answered with when nothing else can be served: 502, 503 or 504.
            pub const fn status(self) -> u16 {
                match self { $( OriginFault::$variant => $status, )* }
            }

            /// The error type for `Proxy-Status` (RFC 9209 section 2.3).
            pub const fn proxy_status(self) -> &'static str {
                match self { $( OriginFault::$variant => $proxy_status, )* }
            }

            /// One sentence for the operator of the origin.
            pub const fn explain(self) -> &'static str {
                match self { $( OriginFault::$variant => $explain, )* }
            }
        }
    };
}

origin_faults! {
    // No conversation took place.
    NameNotResolved = "name-not-resolved" 502 "dns_error",
        "The name of the origin has no address; check its DNS and the edge's resolvers.";
    NoHealthyOrigin = "no-healthy-origin" 503 "destination_unavailable",
        "Every origin of the site is marked unhealthy; see the health checks.";
    BreakerOpen = "breaker-open" 503 "destination_unavailable",
        "The circuit breaker is open: the origin failed too often a moment ago and is given time.";
    QueueTimeout = "queue-timeout" 503 "connection_limit_reached",
        "All connections to the origin were busy for too long; raise their number or speed up the origin.";
    ConnectRefused = "connect-refused" 502 "connection_refused",
        "The origin refused the connection; check that it runs and listens there.";
    ConnectTimeout = "connect-timeout" 504 "connection_timeout",
        "The origin did not accept a connection in time; check the address and the firewall.";
    ConnectFailed = "connect-failed" 502 "destination_ip_unroutable",
        "The origin cannot be reached from the edge; check the network and the address.";
    TlsHandshake = "tls-handshake" 502 "tls_protocol_error",
        "The TLS handshake with the origin failed; check that the port speaks TLS 1.2 or 1.3.";
    TlsCertificate = "tls-certificate" 502 "tls_certificate_error",
        "The origin's certificate is not valid for its name; renew it, or set the name or CA to expect.";
    // The conversation broke.
    Reset = "reset" 502 "connection_terminated",
        "The origin ended the connection before it answered; look in its log for a crash or a restart.";
    WriteTimeout = "write-timeout" 504 "connection_write_timeout",
        "The origin stopped reading the request; check its load.";
    FirstByteTimeout = "first-byte-timeout" 504 "http_response_timeout",
        "The origin did not begin its answer in time; check its load, or raise the deadline.";
    IdleTimeout = "idle-timeout" 504 "connection_read_timeout",
        "The origin stopped sending in the middle of its answer; check its load.";
    EndedEarly = "ended-early" 502 "http_response_incomplete",
        "The answer ended before its announced length or last chunk; look in the origin's log.";
    // The head.
    MalformedStatusLine = "malformed-status-line" 502 "http_protocol_error",
        "The first line is not `HTTP/1.1 200 OK`; check that the port speaks HTTP.";
    UnknownVersion = "unknown-version" 502 "http_protocol_error",
        "The version is neither HTTP/1.0 nor HTTP/1.1.";
    MalformedStatus = "malformed-status" 502 "http_protocol_error",
        "The status is not three digits between 100 and 599.";
    UnexpectedSwitch = "unexpected-switch" 502 "http_upgrade_failed",
        "The origin answered 101 to a request that asked for no upgrade.";
    UpgradeFailed = "upgrade-failed" 502 "http_upgrade_failed",
        "The origin's 101 does not complete the handshake it was asked for.";
    BareCr = "bare-cr" 502 "http_protocol_error", "A carriage return stands without its line feed.";
    BareLf = "bare-lf" 502 "http_protocol_error", "A line feed stands without its carriage return.";
    NulInHead = "nul-in-head" 502 "http_protocol_error", "The header section holds a NUL byte.";
    ControlInHead = "control-in-head" 502 "http_protocol_error", "The header section holds a control character.";
    FoldedField = "folded-field" 502 "http_protocol_error", "A header line begins with white space (obsolete folding).";
    SpaceBeforeColon = "space-before-colon" 502 "http_protocol_error", "White space stands between a field name and its colon.";
    EmptyFieldName = "empty-field-name" 502 "http_protocol_error", "A header line has no name before its colon.";
    MalformedFieldName = "malformed-field-name" 502 "http_protocol_error",
        "A header line has no colon, or a name with characters that are not allowed in one.";
    HeadTooLarge = "head-too-large" 502 "http_response_header_section_size",
        "The header section is larger than the edge reads.";
    TooManyFields = "too-many-fields" 502 "http_response_header_section_size",
        "The header section has more lines than the edge reads.";
    MalformedConnection = "malformed-connection" 502 "http_protocol_error", "Connection is not a short list of tokens.";
    ConnectionNominatesProtectedField = "connection-nominates-protected-field" 502 "http_protocol_error",
        "Connection lists a field that every recipient needs, such as Content-Length.";
    TooManyInterim = "too-many-interim" 502 "http_protocol_error",
        "The origin sent more interim (1xx) responses than the edge passes on.";
    // How long the body is.
    ContentLengthBesideTransferEncoding = "content-length-beside-transfer-encoding" 502 "http_protocol_error",
        "Content-Length and Transfer-Encoding contradict each other.";
    RepeatedContentLength = "repeated-content-length" 502 "http_protocol_error", "More than one Content-Length field.";
    ListedContentLength = "listed-content-length" 502 "http_protocol_error", "Content-Length is a list.";
    MalformedContentLength = "malformed-content-length" 502 "http_protocol_error",
        "Content-Length is not a plain decimal number.";
    ContentLengthDisagrees = "content-length-disagrees" 502 "http_protocol_error",
        "The body is not as long as Content-Length says.";
    TransferEncodingNotChunked = "transfer-encoding-not-chunked" 502 "http_response_transfer_coding",
        "Transfer-Encoding is something else than exactly `chunked`.";
    RepeatedTransferEncoding = "repeated-transfer-encoding" 502 "http_response_transfer_coding",
        "More than one Transfer-Encoding field.";
    TransferEncodingInHttp10 = "transfer-encoding-in-http-1.0" 502 "http_response_transfer_coding",
        "HTTP/1.0 has no Transfer-Encoding.";
    FramingWithoutBody = "framing-without-body" 502 "http_protocol_error",
        "A 1xx or 204 answer announces a body, which it cannot have.";
    BodyWhereNoneBelongs = "body-where-none-belongs" 502 "http_protocol_error",
        "Bytes follow an answer that has no body: to HEAD, or 1xx, 204 or 304.";
    ExtraBytesAfterBody = "extra-bytes-after-body" 502 "http_protocol_error",
        "Bytes follow the end of the answer that nobody asked for.";
    // The body itself.
    MalformedChunkSize = "malformed-chunk-size" 502 "http_response_transfer_coding",
        "A chunk does not begin with its size in hexadecimal digits.";
    ChunkSizeTooLarge = "chunk-size-too-large" 502 "http_response_transfer_coding", "A chunk size has more than 16 digits.";
    ChunkExtensionTooLong = "chunk-extension-too-long" 502 "http_response_transfer_coding",
        "The extensions of chunks are longer than the edge reads.";
    MalformedChunkEnding = "malformed-chunk-ending" 502 "http_response_transfer_coding",
        "The data of a chunk is not followed by CR LF.";
    BareLfInChunk = "bare-lf-in-chunk" 502 "http_response_transfer_coding",
        "A line of the chunk framing ends in a line feed alone.";
    MalformedTrailer = "malformed-trailer" 502 "http_protocol_error",
        "A trailer line after the last chunk is not a well-formed field.";
    TrailersTooLarge = "trailers-too-large" 502 "http_response_trailer_section_size",
        "The trailers are more or larger than the edge reads.";
    BodyTooLarge = "body-too-large" 502 "http_response_body_size", "The body is larger than the edge passes on.";
    // HTTP/2 origins.
    Http2 = "http-2" 502 "http_protocol_error",
        "The origin broke the rules of HTTP/2, or reset the stream.";
}

impl OriginFault {
    /// Whether the fault is about reaching the origin, so that another attempt, perhaps at another origin, may help when
    /// the request may be sent again (RFC 9110 section 9.2.2) and its retry budget allows.
    pub const fn retryable_connection_problem(self) -> bool {
        matches!(
            self,
            OriginFault::ConnectRefused
                | OriginFault::ConnectTimeout
                | OriginFault::ConnectFailed
                | OriginFault::TlsHandshake
                | OriginFault::Reset
        )
    }
}

impl std::fmt::Display for OriginFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::error::Error for OriginFault {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_statuses_blame_the_gateway() {
        let names: HashSet<_> = OriginFault::ALL.iter().map(|fault| fault.name()).collect();
        assert_eq!(names.len(), OriginFault::ALL.len());
        for fault in OriginFault::ALL {
            assert!(matches!(fault.status(), 502..=504), "{fault}");
            assert!(
                fault
                    .proxy_status()
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{fault}"
            );
        }
    }
}
