//! The words requests and responses share: versions, methods, schemes, limits.

/// A version of HTTP that this program speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
    /// HTTP/2
    Http2,
}

impl Version {
    /// As logs and metrics write it (`network.protocol.version` of OpenTelemetry): `1.0`, `1.1` or `2`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Version::Http10 => "1.0",
            Version::Http11 => "1.1",
            Version::Http2 => "2",
        }
    }
}

/// The longest method read, in bytes; the longest registered one has 17 (`UPDATEREDIRECTREF`, RFC 4437).
pub const METHOD_BYTES: usize = 32;

/// A request method (RFC 9110 section 9); case matters, so `get` is [`Method::Other`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `DELETE`
    Delete,
    /// `OPTIONS`
    Options,
    /// `PATCH` (RFC 5789)
    Patch,
    /// `TRACE`
    Trace,
    /// `CONNECT`: refused, except the extended one of HTTP/2 (RFC 8441)
    Connect,
    /// Any other token; its octets are in [`method_bytes`](crate::RequestHead::method_bytes)
    Other,
}

impl Method {
    /// Recognises a method, minding its case.
    pub fn of(name: &[u8]) -> Method {
        match name {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"DELETE" => Method::Delete,
            b"OPTIONS" => Method::Options,
            b"PATCH" => Method::Patch,
            b"TRACE" => Method::Trace,
            b"CONNECT" => Method::Connect,
            _ => Method::Other,
        }
    }

    /// RFC 9110 section 9.2.1: the client asks for no change.
    pub const fn is_safe(self) -> bool {
        matches!(
            self,
            Method::Get | Method::Head | Method::Options | Method::Trace
        )
    }

    /// RFC 9110 section 9.2.2: sending it twice intends the same as once.
    pub const fn is_idempotent(self) -> bool {
        self.is_safe() || matches!(self, Method::Put | Method::Delete)
    }

    /// The bounded label of logs and metrics: the method, or `_OTHER` as OpenTelemetry asks.
    pub const fn label(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            Method::Options => "OPTIONS",
            Method::Patch => "PATCH",
            Method::Trace => "TRACE",
            Method::Connect => "CONNECT",
            Method::Other => "_OTHER",
        }
    }
}

/// The scheme a request names itself: in HTTP/2 always, in HTTP/1 only in absolute-form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `http`
    Http,
    /// `https`
    Https,
}

impl Scheme {
    /// Recognises `http` and `https` in any case (RFC 3986 section 3.1).
    pub fn of(name: &[u8]) -> Option<Scheme> {
        if name.eq_ignore_ascii_case(b"https") {
            Some(Scheme::Https)
        } else {
            name.eq_ignore_ascii_case(b"http").then_some(Scheme::Http)
        }
    }

    /// The port that goes without saying.
    pub const fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

/// How the end of a request's body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFraming {
    /// There is no body.
    None,
    /// Exactly so many bytes; may be 0.
    Length(u64),
    /// Until the last chunk. In HTTP/2, which has no chunks: until the stream ends, however long that is.
    Chunked,
}

/// How much of a head is read (RFC 9110 section 5.4 asks every recipient to set such limits).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of a whole head with its first line and line endings. In HTTP/2: names, values and four bytes a line.
    pub head_bytes: usize,
    /// Header lines.
    pub fields: usize,
    /// Bytes of the request target (`:path` in HTTP/2).
    pub target_bytes: usize,
}

impl HeadLimits {
    /// The most a head may ever hold, whatever is set: positions in a head are kept in 32 bits, and the list of lines is
    /// kept with every connection.
    pub const CEILING: HeadLimits = HeadLimits {
        head_bytes: 1 << 20,
        fields: 1000,
        target_bytes: 1 << 19,
    };

    /// These limits, none above [`HeadLimits::CEILING`].
    pub(crate) fn capped(self) -> HeadLimits {
        HeadLimits {
            head_bytes: self.head_bytes.min(HeadLimits::CEILING.head_bytes),
            fields: self.fields.min(HeadLimits::CEILING.fields),
            target_bytes: self.target_bytes.min(HeadLimits::CEILING.target_bytes),
        }
    }
}

impl Default for HeadLimits {
    fn default() -> Self {
        HeadLimits {
            head_bytes: 32 * 1024,
            fields: 100,
            target_bytes: 8 * 1024,
        }
    }
}
