//! The head of a request: read in place from HTTP/1 octets, or built from HTTP/2 fields, under one set of laws.

use crate::field::{
    Connection, Field, Framing, HeadFault, HeadLimits, LineScan, Lines, Span, Version,
    control_fault, is_tchar, is_token, list, read_field_line, trim,
};
use crate::host::Authority;
use crate::known::Known;
use crate::refusal::Refusal;

/// The longest method read, in bytes; the longest registered one has 16 (`BASELINE-CONTROL`, RFC 3253).
pub const METHOD_BYTES: usize = 32;

/// What [`RequestHead::clear`] keeps for the next request on the connection; a buffer grown beyond it is given back.
pub const KEPT_OCTETS: usize = 16 * 1024;

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
    /// Any other token; its octets are in [`RequestHead::method_bytes`]
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

/// The head of one request in a buffer that is used again for the next.
///
/// HTTP/1: read from the connection into [`octets_mut`](Self::octets_mut), call [`parse_h1`](Self::parse_h1) until it
/// returns a length, and [`start_next`](Self::start_next) when the request is over. HTTP/2: `begin_h2`, the `h2_…` setters,
/// `push_field` for each field, then `finish_h2`. The accessors mean something only once either has succeeded.
///
/// Holds at most [`HeadLimits::CEILING`]; with the default limits a head of 32 KiB and 100 lines.
#[derive(Debug, Default)]
pub struct RequestHead {
    octets: Vec<u8>,
    lines: Lines,
    facts: Facts,
}

/// What is known of the request so far; everything that starts afresh with the next one.
#[derive(Debug, Clone, Copy, Default)]
struct Facts {
    scan: LineScan,
    skipped_empty_line: bool,
    start_line_read: bool,
    end: Option<usize>,
    refused: Option<Refusal>,
    version: Option<Version>,
    method: Option<Method>,
    method_name: Span,
    scheme: Option<Scheme>,
    /// Empty in absolute-form without a path.
    target: Span,
    authority: Span,
    host: Span,
    port: Option<u16>,
    framing: Option<BodyFraming>,
    connection: Connection,
    expects_continue: bool,
    h2: Pseudo,
}

/// The pseudo-header fields of HTTP/2 as they were handed over.
#[derive(Debug, Clone, Copy, Default)]
struct Pseudo {
    method: Option<Span>,
    scheme: Option<Span>,
    authority: Option<Span>,
    path: Option<Span>,
    protocol: Option<Span>,
    end_stream: bool,
}

impl RequestHead {
    /// An empty head that holds no memory yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the request and every octet, keeping at most [`KEPT_OCTETS`] of memory.
    pub fn clear(&mut self) {
        self.octets.clear();
        self.octets.shrink_to(KEPT_OCTETS);
        self.lines.clear();
        self.facts = Facts::default();
    }

    /// Forgets the request and its first `consumed` octets (head and body), keeping those of the next request.
    pub fn start_next(&mut self, consumed: usize) {
        if consumed >= self.octets.len() {
            return self.clear();
        }
        self.octets.drain(..consumed);
        self.lines.clear();
        self.facts = Facts::default();
    }

    /// The buffer the connection reads into. After `parse_h1` returned `Some(n)`, `octets[n..]` came after the head.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// To append to, and after `parse_h1` returned `Some(n)` to change from `n` on: what was looked at must stay.
    pub fn octets_mut(&mut self) -> &mut Vec<u8> {
        &mut self.octets
    }

    /// Reads an HTTP/1 head from the start of the buffer; `None` when more must arrive, else the length of the head.
    ///
    /// Every octet is looked at once, however they arrive, and the verdict does not depend on how they were split. A
    /// refusal comes as soon as it is certain and stays until [`clear`](Self::clear). One empty line before the request
    /// line is skipped (RFC 9112 section 2.2).
    pub fn parse_h1(&mut self, limits: &HeadLimits) -> Result<Option<usize>, Refusal> {
        match (self.facts.end, self.facts.refused) {
            (Some(end), _) => return Ok(Some(end)),
            (None, Some(refusal)) => return Err(refusal),
            (None, None) => {}
        }
        let parsed = self.read_h1(&limits.capped());
        match parsed {
            Ok(end) => self.facts.end = end,
            Err(refusal) => self.facts.refused = Some(refusal),
        }
        parsed
    }

    fn read_h1(&mut self, limits: &HeadLimits) -> Result<Option<usize>, Refusal> {
        while !self.facts.start_line_read {
            let Some(line) = self.start_line(limits)? else {
                return Ok(None);
            };
            if line.is_empty() && !self.facts.skipped_empty_line {
                self.facts.skipped_empty_line = true;
                continue;
            }
            self.read_request_line(line, limits)?;
            self.facts.start_line_read = true;
        }
        while let Some(line) = self.facts.scan.next_line(&self.octets, limits.head_bytes)? {
            if line.is_empty() {
                self.settle_h1()?;
                return Ok(Some(self.facts.scan.position()));
            }
            if self.lines.len() >= limits.fields {
                return Err(Refusal::TooManyFields);
            }
            let (name, value) = read_field_line(&self.octets, line)?;
            self.lines.push(&self.octets, name, value);
        }
        Ok(None)
    }

    /// The first line has a ceiling of its own, so that an endless one is refused by its right name.
    fn start_line(&mut self, limits: &HeadLimits) -> Result<Option<Span>, Refusal> {
        const BESIDE_TARGET: usize = METHOD_BYTES + b"  HTTP/1.1\r\n".len();
        let ceiling = self.facts.scan.position() + limits.target_bytes + BESIDE_TARGET;
        let found = self
            .facts
            .scan
            .next_line(&self.octets, ceiling.min(limits.head_bytes));
        found.map_err(|fault| match fault {
            HeadFault::TooLarge if ceiling < limits.head_bytes => Refusal::TargetTooLong,
            fault => fault.into(),
        })
    }

    fn read_request_line(&mut self, line: Span, limits: &HeadLimits) -> Result<(), Refusal> {
        let text = line.of(&self.octets);
        let method_end = memchr::memchr(b' ', text).ok_or(Refusal::MalformedRequestLine)?;
        let (method, rest) = text
            .split_at_checked(method_end)
            .ok_or(Refusal::MalformedRequestLine)?;
        let rest = rest.get(1..).unwrap_or_default();
        let target_length = memchr::memchr(b' ', rest).ok_or(Refusal::MalformedRequestLine)?;
        let (target, version) = rest
            .split_at_checked(target_length)
            .ok_or(Refusal::MalformedRequestLine)?;
        if !is_token(method) || target.is_empty() {
            return Err(Refusal::MalformedRequestLine);
        }
        let version = match version {
            b" HTTP/1.1" => Version::Http11,
            b" HTTP/1.0" => Version::Http10,
            [b' ', b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                if major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                return Err(Refusal::UnknownVersion);
            }
            _ => return Err(Refusal::MalformedRequestLine),
        };
        if method.len() > METHOD_BYTES {
            return Err(Refusal::MethodTooLong);
        }
        if target.len() > limits.target_bytes {
            return Err(Refusal::TargetTooLong);
        }
        let kind = Method::of(method);
        if kind == Method::Connect {
            return Err(Refusal::ConnectRefused);
        }
        check_target_characters(target, Refusal::MalformedTarget)?;
        let target_start = line.start() + method_end + 1;
        let parts = read_target(target, kind)?;
        self.facts.method = Some(kind);
        self.facts.method_name = Span::new(line.start(), line.start() + method_end);
        self.facts.version = Some(version);
        self.facts.scheme = parts.scheme;
        self.facts.authority = Span::new(
            target_start + parts.authority.0,
            target_start + parts.authority.1,
        );
        self.facts.target = Span::new(
            target_start + parts.origin_form,
            target_start + target_length,
        );
        Ok(())
    }

    fn settle_h1(&mut self) -> Result<(), Refusal> {
        self.read_host_h1()?;
        self.facts.framing = Some(
            match self.lines.read_framing(&self.octets, self.version())? {
                Framing::Unsaid => BodyFraming::None,
                Framing::Length(length) => BodyFraming::Length(length),
                Framing::Chunked => BodyFraming::Chunked,
            },
        );
        self.facts.connection = self.lines.read_connection(&self.octets, None)?;
        self.read_expect()
    }

    /// RFC 9112 sections 3.2 and 3.2.2. The host of absolute-form decides, and a Host field that says otherwise is refused
    /// rather than replaced: a client that sends both differently wants two readers to disagree.
    fn read_host_h1(&mut self) -> Result<(), Refusal> {
        let host = self.single_host()?;
        let from_target = self.facts.authority;
        let (span, authority) = match (host, self.facts.scheme) {
            (None, _) if self.version() == Version::Http11 => return Err(Refusal::AbsentHost),
            (None, None) => return Ok(()),
            (Some((span, host)), None) => (span, host),
            (host, Some(scheme)) => {
                let authority = Authority::parse(from_target.of(&self.octets))
                    .ok_or(Refusal::MalformedTarget)?;
                let agrees =
                    |host: &Authority<'_>| authority.agrees_with(host, Some(scheme.default_port()));
                if host.is_some_and(|(_, host)| !agrees(&host)) {
                    return Err(Refusal::AbsoluteFormDisagrees);
                }
                (from_target, authority)
            }
        };
        let (host_length, port) = (authority.host.len(), authority.port);
        self.set_authority(span, host_length, port);
        Ok(())
    }

    fn single_host(&self) -> Result<Option<(Span, Authority<'_>)>, Refusal> {
        let mut hosts = self.lines.all(&self.octets, Known::Host);
        let Some(host) = hosts.next() else {
            return Ok(None);
        };
        if hosts.next().is_some() {
            return Err(Refusal::RepeatedHost);
        }
        let authority = Authority::parse(host).ok_or(Refusal::MalformedHost)?;
        Ok(Some((self.lines.value_span(Known::Host), authority)))
    }

    fn set_authority(&mut self, span: Span, host_length: usize, port: Option<u16>) {
        self.facts.authority = span;
        self.facts.host = Span::new(span.start(), span.start() + host_length);
        self.facts.port = port;
    }

    /// RFC 9110 section 10.1.1; HTTP/1.0 clients do not know the field and are not held to it.
    fn read_expect(&mut self) -> Result<(), Refusal> {
        if !self.lines.contains(Known::Expect) || self.version() == Version::Http10 {
            return Ok(());
        }
        let asks = |value: &[u8]| value.eq_ignore_ascii_case(b"100-continue");
        if !self.lines.all(&self.octets, Known::Expect).all(asks) {
            return Err(Refusal::ExpectationFailed);
        }
        self.facts.expects_continue =
            !matches!(self.framing(), BodyFraming::None | BodyFraming::Length(0));
        Ok(())
    }
}

/// Building a head from what the HTTP/2 layer decoded. Nothing here fails at once: the first thing that is wrong is
/// remembered and returned by [`finish_h2`](RequestHead::finish_h2).
impl RequestHead {
    /// Forgets everything and starts an HTTP/2 head.
    pub fn begin_h2(&mut self) {
        self.clear();
        self.facts.version = Some(Version::Http2);
    }

    /// `:method`
    pub fn h2_method(&mut self, value: &[u8]) {
        self.facts.h2.method = self.pseudo(self.facts.h2.method, value);
    }

    /// `:scheme`
    pub fn h2_scheme(&mut self, value: &[u8]) {
        self.facts.h2.scheme = self.pseudo(self.facts.h2.scheme, value);
    }

    /// `:authority`
    pub fn h2_authority(&mut self, value: &[u8]) {
        self.facts.h2.authority = self.pseudo(self.facts.h2.authority, value);
    }

    /// `:path`
    pub fn h2_path(&mut self, value: &[u8]) {
        self.facts.h2.path = self.pseudo(self.facts.h2.path, value);
    }

    /// `:protocol` of extended CONNECT (RFC 8441)
    pub fn h2_protocol(&mut self, value: &[u8]) {
        self.facts.h2.protocol = self.pseudo(self.facts.h2.protocol, value);
    }

    /// The HEADERS frame carried END_STREAM: there is no body.
    pub fn h2_end_stream(&mut self) {
        self.facts.h2.end_stream = true;
    }

    /// One field, in the order of the block.
    pub fn push_field(&mut self, name: &[u8], value: &[u8]) {
        if let Some(refusal) = check_h2_field(name, value) {
            return self.refuse(refusal);
        }
        if self.lines.len() >= HeadLimits::CEILING.fields {
            return self.refuse(Refusal::TooManyFields);
        }
        let name = self.append(name);
        let value = self.append(value);
        self.lines.push(&self.octets, name, value);
    }

    /// Checks the whole head by the same laws as HTTP/1, and those of RFC 9113 section 8.
    pub fn finish_h2(&mut self, limits: &HeadLimits) -> Result<(), Refusal> {
        let finished = match self.facts.refused {
            Some(refusal) => Err(refusal),
            None => self.settle_h2(&limits.capped()),
        };
        self.facts.refused = finished.err();
        finished
    }

    fn settle_h2(&mut self, limits: &HeadLimits) -> Result<(), Refusal> {
        if self.octets.len() + 4 * self.lines.len() > limits.head_bytes {
            return Err(Refusal::HeadTooLarge);
        }
        self.join_cookies();
        if self.lines.len() > limits.fields {
            return Err(Refusal::TooManyFields);
        }
        self.read_pseudo(limits)?;
        self.read_authority_h2()?;
        let end_stream = self.facts.h2.end_stream;
        self.facts.framing = Some(
            match self.lines.read_framing(&self.octets, Version::Http2)? {
                Framing::Length(length) if end_stream && length > 0 => {
                    return Err(Refusal::ContentLengthDisagrees);
                }
                Framing::Length(length) => BodyFraming::Length(length),
                Framing::Unsaid | Framing::Chunked if end_stream => BodyFraming::None,
                Framing::Unsaid | Framing::Chunked => BodyFraming::Chunked,
            },
        );
        self.read_expect()
    }

    fn read_pseudo(&mut self, limits: &HeadLimits) -> Result<(), Refusal> {
        let Pseudo {
            method,
            scheme,
            path,
            protocol,
            ..
        } = self.facts.h2;
        let method_name = method.ok_or(Refusal::MissingPseudoField)?;
        let name = method_name.of(&self.octets);
        if !is_token(name) {
            return Err(Refusal::MalformedMethod);
        }
        if name.len() > METHOD_BYTES {
            return Err(Refusal::MethodTooLong);
        }
        let method = Method::of(name);
        match (method, protocol) {
            (Method::Connect, None) => return Err(Refusal::ConnectRefused),
            (Method::Connect, Some(protocol)) if !is_token(protocol.of(&self.octets)) => {
                return Err(Refusal::MalformedUpgrade);
            }
            (Method::Connect, Some(_)) | (_, None) => {}
            (_, Some(_)) => return Err(Refusal::ProtocolWithoutConnect),
        }
        let (Some(scheme), Some(path)) = (scheme, path) else {
            return Err(Refusal::MissingPseudoField);
        };
        let scheme = Scheme::of(scheme.of(&self.octets)).ok_or(Refusal::MalformedScheme)?;
        let target = path.of(&self.octets);
        if target.len() > limits.target_bytes {
            return Err(Refusal::TargetTooLong);
        }
        check_target_characters(target, Refusal::MalformedPath)?;
        if !target.starts_with(b"/") && (target, method) != (b"*", Method::Options) {
            return Err(Refusal::MalformedPath);
        }
        self.facts.method = Some(method);
        self.facts.method_name = method_name;
        self.facts.scheme = Some(scheme);
        self.facts.target = path;
        Ok(())
    }

    /// RFC 9113 section 8.3.1: `:authority` or Host, and when both, the same.
    fn read_authority_h2(&mut self) -> Result<(), Refusal> {
        let host = self.single_host()?;
        let (span, authority) = match (self.facts.h2.authority, host) {
            (None, None) => return Err(Refusal::AbsentHost),
            (None, Some(host)) => host,
            (Some(span), host) => {
                let authority =
                    Authority::parse(span.of(&self.octets)).ok_or(Refusal::MalformedAuthority)?;
                let default_port = self.facts.scheme.map(Scheme::default_port);
                if host.is_some_and(|(_, host)| !authority.agrees_with(&host, default_port)) {
                    return Err(Refusal::AuthorityDisagrees);
                }
                (span, authority)
            }
        };
        let (host_length, port) = (authority.host.len(), authority.port);
        self.set_authority(span, host_length, port);
        Ok(())
    }

    /// Cookie crumbs become one line again before anything that is not HTTP/2 sees them (RFC 9113 section 8.2.3).
    fn join_cookies(&mut self) {
        if self.lines.all(&self.octets, Known::Cookie).nth(1).is_none() {
            return;
        }
        let start = self.octets.len();
        for index in 0..self.lines.len() {
            let Some(crumb) = self.lines.value_at(index, Known::Cookie) else {
                continue;
            };
            if self.octets.len() > start {
                self.octets.extend_from_slice(b"; ");
            }
            self.octets.extend_from_within(crumb.start()..crumb.end());
        }
        let mut first = true;
        self.lines
            .retain(|line| line.known != Known::Cookie || std::mem::take(&mut first));
        self.lines
            .set_value(Known::Cookie, Span::new(start, self.octets.len()));
    }

    fn pseudo(&mut self, before: Option<Span>, value: &[u8]) -> Option<Span> {
        if before.is_some() {
            self.refuse(Refusal::RepeatedPseudoField);
        }
        if self.lines.len() > 0 {
            self.refuse(Refusal::MisorderedPseudoField);
        }
        if let Some(fault) = control_fault(value) {
            self.refuse(fault.into());
        }
        Some(self.append(value))
    }

    fn append(&mut self, text: &[u8]) -> Span {
        let start = self.octets.len();
        if start + text.len() > HeadLimits::CEILING.head_bytes {
            self.refuse(Refusal::HeadTooLarge);
            return Span::default();
        }
        self.octets.extend_from_slice(text);
        Span::new(start, self.octets.len())
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.facts.refused.get_or_insert(refusal);
    }
}

/// What the head says. Meaningful once `parse_h1` returned a length or `finish_h2` succeeded.
impl RequestHead {
    /// The version the request came in.
    pub fn version(&self) -> Version {
        self.facts.version.unwrap_or(Version::Http11)
    }

    /// The method.
    pub fn method(&self) -> Method {
        self.facts.method.unwrap_or(Method::Other)
    }

    /// The method as it came.
    pub fn method_bytes(&self) -> &[u8] {
        self.facts.method_name.of(&self.octets)
    }

    /// The scheme named by `:scheme` or absolute-form; `None` in origin-form, where the connection decides.
    pub fn scheme(&self) -> Option<Scheme> {
        self.facts.scheme
    }

    /// Path and query as they came, beginning with `/`; or `*`, with OPTIONS only.
    ///
    /// Visible ASCII without `#`. Not otherwise checked: `%zz` and `\` may occur.
    pub fn target(&self) -> &[u8] {
        match self.facts.target.of(&self.octets) {
            // RFC 9112 section 3.2.4: an absolute URL without a path stands for the whole server with OPTIONS.
            b"" if self.method() == Method::Options => b"*",
            b"" => b"/",
            target => target,
        }
    }

    /// The target before its first `?`.
    pub fn path(&self) -> &[u8] {
        let target = self.target();
        target.get(..question_mark(target)).unwrap_or_default()
    }

    /// The target after its first `?`, if it has one.
    pub fn query(&self) -> Option<&[u8]> {
        let target = self.target();
        target.get(question_mark(target) + 1..)
    }

    /// The authority as it came, validated: `:authority`, that of absolute-form, or Host. Empty only in HTTP/1.0.
    pub fn authority(&self) -> &[u8] {
        self.facts.authority.of(&self.octets)
    }

    /// The host of [`authority`](Self::authority), as it came.
    pub fn host(&self) -> &[u8] {
        self.facts.host.of(&self.octets)
    }

    /// The port of [`authority`](Self::authority), when it names one.
    pub fn port(&self) -> Option<u16> {
        self.facts.port
    }

    /// How the end of the body is found.
    pub fn framing(&self) -> BodyFraming {
        self.facts.framing.unwrap_or(BodyFraming::None)
    }

    /// Whether the client wants to use the connection again (RFC 9112 section 9.3).
    pub fn persistent(&self) -> bool {
        self.facts.connection.persists(self.version())
    }

    /// Whether the client waits for `100 Continue` before it sends the body.
    pub fn expects_continue(&self) -> bool {
        self.facts.expects_continue
    }

    /// The value of Upgrade, when HTTP/1.1 asks for one properly: a single line, nominated by Connection
    /// (RFC 9110 section 7.8). Otherwise the field is as good as absent.
    pub fn upgrade(&self) -> Option<&[u8]> {
        if !self.facts.connection.upgrade || self.version() != Version::Http11 {
            return None;
        }
        let mut values = self.all(Known::Upgrade);
        let value = values.next().filter(|value| !value.is_empty())?;
        values.next().is_none().then_some(value)
    }

    /// `:protocol` of an extended CONNECT (RFC 8441).
    pub fn protocol_h2(&self) -> Option<&[u8]> {
        self.facts
            .h2
            .protocol
            .map(|protocol| protocol.of(&self.octets))
    }

    /// Every field line, in order.
    pub fn fields(&self) -> impl DoubleEndedIterator<Item = Field<'_>> + Clone {
        self.lines.fields(&self.octets)
    }

    /// The value of the first line of that name.
    pub fn field(&self, known: Known) -> Option<&[u8]> {
        self.all(known).next()
    }

    /// How many lines of that name there are.
    pub fn count(&self, known: Known) -> usize {
        self.all(known).count()
    }

    /// The values of all lines of that name, in order.
    pub fn all(&self, known: Known) -> impl DoubleEndedIterator<Item = &[u8]> + Clone {
        self.lines.all(&self.octets, known)
    }

    /// The values of all lines with a name that need not be a known one, in any case.
    pub fn named<'a>(
        &'a self,
        name: &'a [u8],
    ) -> impl DoubleEndedIterator<Item = &'a [u8]> + Clone {
        self.lines.named(&self.octets, name)
    }

    /// Whether the field concerns this connection only: Connection, Keep-Alive, Proxy-Connection, TE, Transfer-Encoding,
    /// Upgrade, HTTP2-Settings, Proxy-Authorization, Proxy-Authenticate, and whatever Connection nominates. Forwarders skip
    /// these. Trailer is not among them: it announces end-to-end fields (RFC 9110 section 6.6.2).
    pub fn is_hop_by_hop(&self, field: &Field<'_>) -> bool {
        field.hop_by_hop
    }

    /// Whether the client says it reads trailers: `TE: trailers` (RFC 9110 section 10.1.4).
    pub fn wants_trailers(&self) -> bool {
        self.all(Known::Te)
            .flat_map(list)
            .any(|coding| coding.eq_ignore_ascii_case(b"trailers"))
    }
}

impl From<HeadFault> for Refusal {
    fn from(fault: HeadFault) -> Refusal {
        match fault {
            HeadFault::BareCr => Refusal::BareCr,
            HeadFault::BareLf => Refusal::BareLf,
            HeadFault::Nul => Refusal::NulInHead,
            HeadFault::Control => Refusal::ControlInHead,
            HeadFault::Folded => Refusal::FoldedField,
            HeadFault::SpaceBeforeColon => Refusal::SpaceBeforeColon,
            HeadFault::EmptyFieldName => Refusal::EmptyFieldName,
            HeadFault::MalformedFieldName => Refusal::MalformedFieldName,
            HeadFault::TooLarge => Refusal::HeadTooLarge,
            HeadFault::MalformedConnection => Refusal::MalformedConnection,
            HeadFault::ProtectedNomination => Refusal::ConnectionNominatesProtectedField,
            HeadFault::LengthBesideTransferEncoding => Refusal::ContentLengthBesideTransferEncoding,
            HeadFault::RepeatedContentLength => Refusal::RepeatedContentLength,
            HeadFault::ListedContentLength => Refusal::ListedContentLength,
            HeadFault::MalformedContentLength => Refusal::MalformedContentLength,
            HeadFault::RepeatedTransferEncoding => Refusal::RepeatedTransferEncoding,
            HeadFault::TransferEncodingNotChunked => Refusal::TransferEncodingNotChunked,
            HeadFault::TransferEncodingInHttp10 => Refusal::TransferEncodingInHttp10,
        }
    }
}

fn question_mark(target: &[u8]) -> usize {
    memchr::memchr(b'?', target).unwrap_or(target.len())
}

/// Where the parts of a request target lie, counted from its start.
struct TargetParts {
    scheme: Option<Scheme>,
    authority: (usize, usize),
    origin_form: usize,
}

/// RFC 9112 section 3.2: origin-form, absolute-form or asterisk-form.
fn read_target(target: &[u8], method: Method) -> Result<TargetParts, Refusal> {
    if target.starts_with(b"/") || (target, method) == (b"*", Method::Options) {
        return Ok(TargetParts {
            scheme: None,
            authority: (0, 0),
            origin_form: 0,
        });
    }
    let colon = memchr::memchr(b':', target).ok_or(Refusal::MalformedTarget)?;
    let (scheme, rest) = target
        .split_at_checked(colon)
        .ok_or(Refusal::MalformedTarget)?;
    let scheme = Scheme::of(scheme).ok_or(Refusal::MalformedTarget)?;
    let rest = rest.strip_prefix(b"://").ok_or(Refusal::MalformedTarget)?;
    let authority_start = target.len() - rest.len();
    let authority_length = rest
        .iter()
        .position(|b| matches!(b, b'/' | b'?'))
        .unwrap_or(rest.len());
    if rest.get(authority_length) == Some(&b'?') {
        // The path is empty but for its query; nobody writes that, and readers differ on it.
        return Err(Refusal::MalformedTarget);
    }
    let authority_end = authority_start + authority_length;
    Ok(TargetParts {
        scheme: Some(scheme),
        authority: (authority_start, authority_end),
        origin_form: authority_end,
    })
}

/// Visible ASCII but `#`. More than RFC 3986 allows, since browsers send `|`, `[`, `{` and the like as they are.
fn check_target_characters(target: &[u8], malformed: Refusal) -> Result<(), Refusal> {
    let clean = target
        .iter()
        .fold(true, |clean, &b| clean & b.is_ascii_graphic() & (b != b'#'));
    match clean {
        true => Ok(()),
        false if target.iter().all(u8::is_ascii_graphic) => Err(Refusal::FragmentInTarget),
        false => Err(malformed),
    }
}

/// RFC 9113 sections 8.2.1, 8.2.2 and 8.3.
fn check_h2_field(name: &[u8], value: &[u8]) -> Option<Refusal> {
    if name.is_empty() {
        return Some(Refusal::EmptyFieldName);
    }
    if name.starts_with(b":") {
        return Some(Refusal::UnknownPseudoField);
    }
    if !name.iter().all(|&b| is_tchar(b)) {
        return Some(Refusal::MalformedFieldName);
    }
    if name.iter().any(u8::is_ascii_uppercase) {
        return Some(Refusal::UppercaseFieldName);
    }
    if let Some(fault) = control_fault(value) {
        return Some(fault.into());
    }
    if trim(value).len() != value.len() {
        return Some(Refusal::SpaceAroundValue);
    }
    match Known::of(name) {
        Known::Connection
        | Known::KeepAlive
        | Known::ProxyConnection
        | Known::TransferEncoding
        | Known::Upgrade => Some(Refusal::ConnectionSpecificField),
        Known::Te if !value.eq_ignore_ascii_case(b"trailers") => Some(Refusal::TeOtherThanTrailers),
        _ => None,
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
