//! Every reason a request is refused, in one place.
//!
//! The name is the same in the response header, the log line, the metric and the test, and does not change once
//! released. A reason that only the edge can find (a deadline, a setting) is listed here too: a reader looks in one table.

macro_rules! refusals {
    ($( $variant:ident = $name:literal $status:literal $after:ident, $source:literal, $explain:literal; )*) => {
        /// Why a request was refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Refusal { $( #[doc = $explain] $variant, )* }

        impl Refusal {
            /// All of them, in the order of this table.
            pub const ALL: &[Refusal] = &[ $( Refusal::$variant, )* ];

            /// The stable kebab-case name.
            pub const fn name(self) -> &'static str {
                match self { $( Refusal::$variant => $name, )* }
            }

            /// The status of the answer in HTTP/1. In HTTP/2 a malformed message is a stream error instead
            /// (RFC 9113 section 8.1.1).
            pub const fn status(self) -> u16 {
                match self { $( Refusal::$variant => $status, )* }
            }

            /// One sentence for a person, with what to do about it.
            pub const fn explain(self) -> &'static str {
                match self { $( Refusal::$variant => $explain, )* }
            }

            /// Where the rule comes from.
            pub const fn source(self) -> &'static str {
                match self { $( Refusal::$variant => $source, )* }
            }

            /// Whether an HTTP/1 connection cannot be reused afterwards, because where the next request
            /// begins is not certain.
            pub const fn closes(self) -> bool {
                match self { $( Refusal::$variant => refusals!(@ $after), )* }
            }
        }
    };
    (@ close) => { true };
    (@ keep) => { false };
}

refusals! {
    // The request line.
    MalformedRequestLine = "malformed-request-line" 400 close, "RFC 9112 section 3",
        "The first line is not `METHOD target HTTP/1.1` with single spaces; send it exactly so.";
    MethodTooLong = "method-too-long" 501 close, "RFC 9112 section 3",
        "The method is longer than any this server knows; use a standard method.";
    ConnectRefused = "connect-method-refused" 405 close, "RFC 9110 section 9.3.6",
        "This server is no tunnel; CONNECT is not offered.";
    MalformedTarget = "malformed-target" 400 close, "RFC 9112 section 3.2",
        "The request target is not a path, an http or https URL, or `*` with OPTIONS; percent-encode what is not plain ASCII.";
    FragmentInTarget = "fragment-in-target" 400 close, "RFC 9112 section 3.2",
        "The request target holds a `#`; fragments stay in the client, encode the sign as %23.";
    TargetTooLong = "target-too-long" 414 close, "RFC 9110 section 15.5.15",
        "The request target is longer than this server reads; shorten it or send the data in a body.";
    UnknownVersion = "unknown-version" 505 close, "RFC 9112 section 2.3",
        "The version is neither HTTP/1.0 nor HTTP/1.1; use one of them, or HTTP/2 by its own preface.";
    AbsoluteFormDisagrees = "absolute-form-disagrees" 400 close, "RFC 9112 section 3.2.2",
        "The URL in the request line and the Host field name different authorities; make them equal.";

    // The lines of a head.
    BareCr = "bare-cr" 400 close, "RFC 9112 section 2.2",
        "A carriage return stands without its line feed; end lines with CR LF.";
    BareLf = "bare-lf" 400 close, "RFC 9112 section 2.2",
        "A line feed stands without its carriage return; end lines with CR LF.";
    NulInHead = "nul-in-head" 400 close, "RFC 9110 section 5.5",
        "The header section holds a NUL byte; remove it.";
    ControlInHead = "control-in-head" 400 close, "RFC 9110 section 5.5",
        "The header section holds a control character; remove it (or speak TLS to a TLS port).";
    FoldedField = "folded-field" 400 close, "RFC 9112 section 5.2",
        "A header line begins with white space; obsolete line folding is refused, write the value on one line.";
    SpaceBeforeColon = "space-before-colon" 400 close, "RFC 9112 section 5.1",
        "White space stands between a field name and its colon; remove it.";
    EmptyFieldName = "empty-field-name" 400 close, "RFC 9110 section 5.1",
        "A header line has no name before its colon; name it.";
    MalformedFieldName = "malformed-field-name" 400 close, "RFC 9110 section 5.1",
        "A header line has no colon, or a name with characters that are not allowed in one.";
    HeadTooLarge = "head-too-large" 431 close, "RFC 6585 section 5",
        "The header section is larger than this server reads; send fewer or smaller fields (often: cookies).";
    TooManyFields = "too-many-fields" 431 close, "RFC 6585 section 5",
        "The header section has more lines than this server reads; send fewer fields.";

    // Whom it is for.
    AbsentHost = "absent-host" 400 close, "RFC 9112 section 3.2",
        "The request does not say which host it is for; send one Host field.";
    RepeatedHost = "repeated-host" 400 close, "RFC 9112 section 3.2",
        "The request has more than one Host field; send one.";
    MalformedHost = "malformed-host" 400 close, "RFC 9112 section 3.2",
        "The host is not a name, an IPv4 address or a bracketed IPv6 address with an optional port; correct it.";
    MisdirectedRequest = "misdirected-request" 421 keep, "RFC 9110 section 15.5.20",
        "This connection cannot answer for that host; open a new one for it.";

    // How long its body is.
    ContentLengthBesideTransferEncoding = "content-length-beside-transfer-encoding" 400 close, "RFC 9112 section 6.1",
        "Content-Length and Transfer-Encoding contradict each other; send one of them.";
    RepeatedContentLength = "repeated-content-length" 400 close, "RFC 9112 section 6.3",
        "The request has more than one Content-Length field; send one.";
    ListedContentLength = "listed-content-length" 400 close, "RFC 9112 section 6.3",
        "Content-Length is a list; send a single number.";
    MalformedContentLength = "malformed-content-length" 400 close, "RFC 9110 section 8.6",
        "Content-Length is not a plain decimal number; send only digits.";
    ContentLengthDisagrees = "content-length-disagrees" 400 close, "RFC 9113 section 8.1.1",
        "The body is not as long as Content-Length says; make them equal.";
    TransferEncodingNotChunked = "transfer-encoding-not-chunked" 501 close, "RFC 9112 section 6.1",
        "Transfer-Encoding is something else than exactly `chunked`; use `chunked`, or Content-Length.";
    RepeatedTransferEncoding = "repeated-transfer-encoding" 400 close, "RFC 9112 section 6.1",
        "The request has more than one Transfer-Encoding field; send one.";
    TransferEncodingInHttp10 = "transfer-encoding-in-http-1.0" 400 close, "RFC 9112 section 6.1",
        "HTTP/1.0 has no Transfer-Encoding; send HTTP/1.1, or Content-Length.";

    // The body itself.
    MalformedChunkSize = "malformed-chunk-size" 400 close, "RFC 9112 section 7.1",
        "A chunk does not begin with its size in hexadecimal digits; correct the chunk framing.";
    ChunkSizeTooLarge = "chunk-size-too-large" 400 close, "RFC 9112 section 7.1",
        "A chunk size has more than 16 digits; send smaller chunks.";
    ChunkExtensionTooLong = "chunk-extension-too-long" 400 close, "RFC 9112 section 7.1.1",
        "The extensions of chunks are longer than this server reads; leave them out.";
    MalformedChunkEnding = "malformed-chunk-ending" 400 close, "RFC 9112 section 7.1",
        "The data of a chunk is not followed by CR LF; correct the chunk framing.";
    BareLfInChunk = "bare-lf-in-chunk" 400 close, "RFC 9112 section 7.1",
        "A line of the chunk framing ends in a line feed alone; end it with CR LF.";
    MalformedTrailer = "malformed-trailer" 400 close, "RFC 9112 section 7.1.2",
        "A trailer line after the last chunk is not a well-formed field; correct or remove it.";
    TrailersTooLarge = "trailers-too-large" 431 close, "RFC 9112 section 7.1.2",
        "The trailers are more or larger than this server reads; send fewer.";
    BodyEndedEarly = "body-ended-early" 400 close, "RFC 9112 section 8",
        "The connection ended before the body did; send the whole body.";
    BodyTooLarge = "body-too-large" 413 close, "RFC 9110 section 15.5.14",
        "The body is larger than this site accepts; send less.";

    // What the connection is asked to do.
    ConnectionNominatesProtectedField = "connection-nominates-protected-field" 400 close, "RFC 9110 section 7.6.1",
        "Connection lists a field that every recipient needs, such as Host or Content-Length; do not list it.";
    MalformedConnection = "malformed-connection" 400 close, "RFC 9110 section 7.6.1",
        "Connection is not a short list of tokens; correct it.";
    ExpectationFailed = "expectation-failed" 417 close, "RFC 9110 section 10.1.1",
        "Expect asks for something else than 100-continue; remove the field.";
    MalformedUpgrade = "malformed-upgrade" 400 close, "RFC 6455 section 4.2.1",
        "The WebSocket handshake is not complete; send Upgrade, Connection, Sec-WebSocket-Key and a GET without a body.";
    WebSocketVersion = "websocket-version" 426 close, "RFC 6455 section 4.4",
        "The WebSocket version is not 13; use 13.";
    UpgradeNotAllowed = "upgrade-not-allowed" 400 close, "RFC 9110 section 7.8",
        "That protocol is not offered on this site; continue with HTTP.";
    MethodNotAllowed = "method-not-allowed" 405 keep, "RFC 9110 section 15.5.6",
        "This method is not offered here; see the Allow field for those that are.";
    PurgeNotAllowed = "purge-not-allowed" 403 keep, "the site's settings",
        "PURGE is taken only from the addresses that the site lists in `purge_from`; use `mangrove purge`, or have yours listed.";
    LoopDetected = "loop-detected" 508 keep, "RFC 8586 section 2",
        "The request has already passed through this network; an origin points back to the edge.";
    MalformedCdnLoop = "malformed-cdn-loop" 400 keep, "RFC 8586 section 2",
        "CDN-Loop is not a list of CDN identifiers; remove the field.";

    // HTTP/2 only.
    MissingPseudoField = "missing-pseudo-field" 400 keep, "RFC 9113 section 8.3.1",
        "The request lacks :method, :scheme or :path; send all three.";
    RepeatedPseudoField = "repeated-pseudo-field" 400 keep, "RFC 9113 section 8.3",
        "A pseudo-header field stands twice; send it once.";
    MisorderedPseudoField = "misordered-pseudo-field" 400 keep, "RFC 9113 section 8.3",
        "A pseudo-header field stands after an ordinary one; send pseudo-header fields first.";
    UnknownPseudoField = "unknown-pseudo-field" 400 keep, "RFC 9113 section 8.3",
        "The request has a pseudo-header field that does not exist; remove it.";
    MalformedMethod = "malformed-method" 400 keep, "RFC 9110 section 9.1",
        "The method is not a token; use a standard method.";
    MalformedScheme = "malformed-scheme" 400 keep, "RFC 9113 section 8.3.1",
        "The scheme is neither http nor https; use one of them.";
    MalformedPath = "malformed-path" 400 keep, "RFC 9113 section 8.3.1",
        "The path is empty, does not begin with `/`, or holds characters that must be percent-encoded.";
    MalformedAuthority = "malformed-authority" 400 keep, "RFC 9113 section 8.3.1",
        "The authority is not a host with an optional port; correct it.";
    AuthorityDisagrees = "authority-disagrees" 400 keep, "RFC 9113 section 8.3.1",
        "The :authority and Host fields name different hosts; make them equal.";
    ProtocolWithoutConnect = "protocol-without-connect" 400 keep, "RFC 8441 section 4",
        "The :protocol field belongs to CONNECT only; remove it.";
    UppercaseFieldName = "uppercase-field-name" 400 keep, "RFC 9113 section 8.2.1",
        "A field name has upper-case letters; HTTP/2 sends names in lower case.";
    SpaceAroundValue = "space-around-value" 400 keep, "RFC 9113 section 8.2.1",
        "A field value begins or ends with white space; trim it.";
    ConnectionSpecificField = "connection-specific-field" 400 keep, "RFC 9113 section 8.2.2",
        "The request has a field about an HTTP/1 connection, such as Connection or Upgrade; remove it.";
    TeOtherThanTrailers = "te-other-than-trailers" 400 keep, "RFC 9113 section 8.2.2",
        "TE says something else than `trailers`; HTTP/2 allows only that.";

    // Who is slow or comes through the wrong door: found by the edge.
    MalformedProxyProtocol = "malformed-proxy-protocol" 400 close, "PROXY protocol, sections 2.1 and 2.2",
        "The connection should begin with a PROXY protocol header and does not; configure the load balancer to send one.";
    HeadTimeout = "head-timeout" 408 close, "RFC 9110 section 15.5.9",
        "The header section did not arrive in time; send the request at once.";
    BodyTimeout = "body-timeout" 408 close, "RFC 9110 section 15.5.9",
        "The body stopped arriving, or arrived too slowly; send it faster.";
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_fit_a_metric_label() {
        let names: HashSet<_> = Refusal::ALL.iter().map(|refusal| refusal.name()).collect();
        assert_eq!(names.len(), Refusal::ALL.len());
        for name in names {
            assert!(
                name.bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b)),
                "{name}"
            );
        }
    }

    #[test]
    fn every_refusal_is_a_client_error_or_a_plain_not_offered() {
        for refusal in Refusal::ALL {
            assert!(
                matches!(refusal.status(), 400..=431 | 501 | 505 | 508),
                "{refusal}"
            );
            assert!(
                refusal.explain().ends_with('.') && !refusal.source().is_empty(),
                "{refusal}"
            );
        }
    }
}
