//! The head of a request: read in place from HTTP/1 octets, or built from HTTP/2 fields, under one set of laws.

mod h1;
mod h2;

use crate::field::{Connection, Field, HeadFault, LineScan, Lines, Span, list};
use crate::host::Authority;
use crate::known::Known;
use crate::message::{BodyFraming, HeadLimits, Method, Scheme, Version};
use crate::refusal::Refusal;

/// What [`RequestHead::clear`] keeps for the next request on the connection; a buffer grown beyond it is given back.
pub const KEPT_OCTETS: usize = 16 * 1024;

/// The head of one request in a buffer that is used again for the next.
///
/// HTTP/1: read from the connection into [`octets_mut`](Self::octets_mut), call [`parse_h1`](Self::parse_h1) until it
/// returns a length, and [`start_next`](Self::start_next) when the request is over. HTTP/2: `begin_h2`, the `h2_…` setters,
/// `push_field` for each field, then `finish_h2`. The accessors mean something only once either has succeeded.
///
/// Holds at most [`HeadLimits::CEILING`]; with the default limits a head of 32 KiB and 100 lines.
#[derive(Debug, Clone, Default)]
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
    /// The target before its first `?`.
    path: Span,
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

    fn single_host(&self) -> Result<Option<(Span, Authority<'_>)>, Refusal> {
        if !self.lines.contains(Known::Host) {
            return Ok(None);
        }
        if self.lines.is_repeated(Known::Host) {
            return Err(Refusal::RepeatedHost);
        }
        let host = self.lines.value_span(Known::Host);
        let authority = Authority::parse(host.of(&self.octets)).ok_or(Refusal::MalformedHost)?;
        Ok(Some((host, authority)))
    }

    fn set_target(&mut self, target: Span) {
        let path = question_mark(target.of(&self.octets));
        self.facts.target = target;
        self.facts.path = Span::new(target.start(), target.start() + path);
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

/// What the head says. Meaningful once `parse_h1` returned a length or `finish_h2` succeeded.
impl RequestHead {
    /// Whether it was read to its end, and nothing in it refused.
    pub fn is_whole(&self) -> bool {
        self.facts.framing.is_some() && self.facts.refused.is_none()
    }

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
        match self.facts.path.of(&self.octets) {
            b"" => self.target(), // which has no query then: `*` or `/`
            path => path,
        }
    }

    /// The target after its first `?`, if it has one.
    pub fn query(&self) -> Option<&[u8]> {
        let (path, target) = (self.facts.path, self.facts.target);
        let query = Span::new(path.end() + 1, target.end());
        (path.end() < target.end()).then(|| query.of(&self.octets))
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

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
