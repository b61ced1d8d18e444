//! The head of a response: what an origin sent, or what the edge is about to say, under the same laws as requests.

use crate::field::{
    Connection, Field, Framing, HeadFault, LineScan, Lines, Span, control_fault, is_token,
    read_field_line, trim,
};
use crate::known::Known;
use crate::message::{HeadLimits, Method, Version};
use crate::origin_fault::OriginFault;
use crate::request::KEPT_OCTETS;

/// How the end of a response's body is found (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseFraming {
    /// There is no body: an answer to HEAD, or 1xx, 204 or 304.
    None,
    /// Exactly so many bytes; may be 0.
    Length(u64),
    /// Until the last chunk.
    Chunked,
    /// Until the connection ends; in HTTP/2 until the stream ends.
    UntilClose,
}

/// The head of one response in a buffer that is used again for the next.
///
/// From an HTTP/1 origin: read into [`octets_mut`](Self::octets_mut), call [`parse_h1`](Self::parse_h1) until it returns a
/// length; for an interim response (1xx) pass it on, [`start_next`](Self::start_next), and read on. From anywhere else:
/// [`begin`](Self::begin), [`push_field`](Self::push_field), [`finish`](Self::finish).
///
/// Holds at most [`HeadLimits::CEILING`].
#[derive(Debug, Default)]
pub struct ResponseHead {
    octets: Vec<u8>,
    lines: Lines,
    facts: Facts,
}

#[derive(Debug, Clone, Copy, Default)]
struct Facts {
    scan: LineScan,
    status_line_read: bool,
    end: Option<usize>,
    fault: Option<OriginFault>,
    version: Option<Version>,
    status: u16,
    framing: Option<ResponseFraming>,
    content_length: Option<u64>,
    connection: Connection,
}

impl ResponseHead {
    /// An empty head that holds no memory yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the response and every octet, keeping at most [`KEPT_OCTETS`] of memory.
    pub fn clear(&mut self) {
        self.octets.clear();
        self.octets.shrink_to(KEPT_OCTETS);
        self.lines.clear();
        self.facts = Facts::default();
    }

    /// Forgets the response and its first `consumed` octets, keeping those of the next one: the final response after an
    /// interim one. Bytes after a final response are a fault instead, and such a connection is not used again.
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
    /// The answer to `request_method`: HEAD decides that no body follows. A fault stays until [`clear`](Self::clear).
    pub fn parse_h1(
        &mut self,
        limits: &HeadLimits,
        request_method: Method,
    ) -> Result<Option<usize>, OriginFault> {
        match (self.facts.end, self.facts.fault) {
            (Some(end), _) => return Ok(Some(end)),
            (None, Some(fault)) => return Err(fault),
            (None, None) => {}
        }
        let parsed = self.read_h1(&limits.capped(), request_method);
        match parsed {
            Ok(end) => self.facts.end = end,
            Err(fault) => self.facts.fault = Some(fault),
        }
        parsed
    }

    fn read_h1(
        &mut self,
        limits: &HeadLimits,
        request_method: Method,
    ) -> Result<Option<usize>, OriginFault> {
        if !self.facts.status_line_read {
            let Some(line) = self.facts.scan.next_line(&self.octets, limits.head_bytes)? else {
                return Ok(None);
            };
            let (version, status) = read_status_line(line.of(&self.octets))?;
            self.facts.version = Some(version);
            self.facts.status = status;
            self.facts.status_line_read = true;
        }
        loop {
            let Facts { scan, .. } = &mut self.facts;
            let (octets, ceiling) = (&self.octets, limits.head_bytes);
            let line = match self.lines.read_plain(octets, scan, ceiling, limits.fields) {
                true => None,
                false => match scan.next_line(octets, ceiling)? {
                    Some(line) => Some(line).filter(|line| !line.is_empty()),
                    None => return Ok(None),
                },
            };
            let Some(line) = line else {
                self.settle(request_method)?;
                return Ok(Some(self.facts.scan.position()));
            };
            if self.lines.len() >= limits.fields {
                return Err(OriginFault::TooManyFields);
            }
            let (name, value) = read_field_line(&self.octets, line)?;
            self.lines.push(&self.octets, name, value);
        }
    }

    /// Starts a head that did not come from HTTP/1: an HTTP/2 origin's, or the edge's own.
    pub fn begin(&mut self, version: Version, status: u16) {
        self.clear();
        self.facts.version = Some(version);
        self.facts.status = status;
        if !is_status(status) {
            self.facts.fault = Some(OriginFault::MalformedStatus);
        }
    }

    /// One field, in order. What is wrong with it is remembered and returned by [`finish`](Self::finish).
    pub fn push_field(&mut self, name: &[u8], value: &[u8]) {
        let fault = self.check_pushed(name, value);
        if let Some(fault) = fault {
            self.facts.fault.get_or_insert(fault);
            return;
        }
        let start = self.octets.len();
        self.octets.extend_from_slice(name);
        let middle = self.octets.len();
        self.octets.extend_from_slice(value);
        let (name, value) = (
            Span::new(start, middle),
            Span::new(middle, self.octets.len()),
        );
        self.lines.push(&self.octets, name, value);
    }

    /// Checks the whole head by the same laws as [`parse_h1`](Self::parse_h1).
    pub fn finish(
        &mut self,
        limits: &HeadLimits,
        request_method: Method,
    ) -> Result<(), OriginFault> {
        let limits = limits.capped();
        let finished = match self.facts.fault {
            Some(fault) => Err(fault),
            None if self.octets.len() + 4 * self.lines.len() > limits.head_bytes => {
                Err(OriginFault::HeadTooLarge)
            }
            None if self.lines.len() > limits.fields => Err(OriginFault::TooManyFields),
            None => self.settle(request_method),
        };
        self.facts.fault = finished.err();
        finished
    }

    fn check_pushed(&self, name: &[u8], value: &[u8]) -> Option<OriginFault> {
        let h2 = self.version() == Version::Http2;
        if name.is_empty() {
            return Some(OriginFault::EmptyFieldName);
        }
        if !is_token(name) || (h2 && name.iter().any(u8::is_ascii_uppercase)) {
            return Some(OriginFault::MalformedFieldName);
        }
        if let Some(fault) = control_fault(value) {
            return Some(fault.into());
        }
        // RFC 9113 section 8.2.2; in HTTP/1 the same fields are read and obeyed.
        let known = Known::of(name);
        if trim(value).len() != value.len()
            || (h2 && known.is_connection_specific() && !known.is_for_proxies())
        {
            return Some(OriginFault::Http2);
        }
        if self.octets.len() + name.len() + value.len() > HeadLimits::CEILING.head_bytes {
            return Some(OriginFault::HeadTooLarge);
        }
        (self.lines.len() >= HeadLimits::CEILING.fields).then_some(OriginFault::TooManyFields)
    }

    fn settle(&mut self, request_method: Method) -> Result<(), OriginFault> {
        let said = self.lines.read_framing(&self.octets, self.version())?;
        self.facts.content_length = match said {
            Framing::Length(length) => Some(length),
            Framing::Unsaid | Framing::Chunked => None,
        };
        self.facts.framing = Some(match (self.facts.status, said) {
            // RFC 9110 section 8.6 and RFC 9112 section 6.1 forbid both; a zero says nothing wrong, and is common.
            (100..=199 | 204, Framing::Unsaid | Framing::Length(0)) => ResponseFraming::None,
            (100..=199 | 204, _) => return Err(OriginFault::FramingWithoutBody),
            (304, _) => ResponseFraming::None,
            _ if request_method == Method::Head => ResponseFraming::None,
            (_, Framing::Chunked) => ResponseFraming::Chunked,
            (_, Framing::Length(length)) => ResponseFraming::Length(length),
            (_, Framing::Unsaid) => ResponseFraming::UntilClose,
        });
        // Some servers list Transfer-Encoding in Connection; it is hop-by-hop in any case.
        self.facts.connection = self
            .lines
            .read_connection(&self.octets, Some(Known::TransferEncoding))?;
        Ok(())
    }
}

/// What the head says. Meaningful once `parse_h1` returned a length or `finish` succeeded.
impl ResponseHead {
    /// The version the response came in.
    pub fn version(&self) -> Version {
        self.facts.version.unwrap_or(Version::Http11)
    }

    /// The status, 100 to 599.
    pub fn status(&self) -> u16 {
        self.facts.status
    }

    /// Whether a final response is still to come (RFC 9110 section 15.2). 101 is final: another protocol follows.
    pub fn is_interim(&self) -> bool {
        matches!(self.facts.status, 100 | 102..=199)
    }

    /// How the end of the body is found.
    pub fn framing(&self) -> ResponseFraming {
        self.facts.framing.unwrap_or(ResponseFraming::None)
    }

    /// What Content-Length says, also when no body follows (HEAD, 304).
    pub fn content_length(&self) -> Option<u64> {
        self.facts.content_length
    }

    /// Whether the connection may be used again once the body has ended as it should (RFC 9112 section 9.3).
    pub fn persistent(&self) -> bool {
        self.facts.connection.persists(self.version())
            && self.framing() != ResponseFraming::UntilClose
            && self.facts.status != 101
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

    /// Whether the field concerns this connection only, and is not forwarded: as for
    /// [`RequestHead::is_hop_by_hop`](crate::RequestHead::is_hop_by_hop).
    pub fn is_hop_by_hop(&self, field: &Field<'_>) -> bool {
        field.hop_by_hop
    }

    /// The value of Upgrade when Connection nominates it, as a 101 must (RFC 9110 section 7.8).
    pub fn upgrade(&self) -> Option<&[u8]> {
        if self.facts.connection.upgrade {
            self.field(Known::Upgrade)
        } else {
            None
        }
    }
}

impl From<HeadFault> for OriginFault {
    fn from(fault: HeadFault) -> OriginFault {
        match fault {
            HeadFault::BareCr => OriginFault::BareCr,
            HeadFault::BareLf => OriginFault::BareLf,
            HeadFault::Nul => OriginFault::NulInHead,
            HeadFault::Control => OriginFault::ControlInHead,
            HeadFault::Folded => OriginFault::FoldedField,
            HeadFault::SpaceBeforeColon => OriginFault::SpaceBeforeColon,
            HeadFault::EmptyFieldName => OriginFault::EmptyFieldName,
            HeadFault::MalformedFieldName => OriginFault::MalformedFieldName,
            HeadFault::TooLarge => OriginFault::HeadTooLarge,
            HeadFault::MalformedConnection => OriginFault::MalformedConnection,
            HeadFault::ProtectedNomination => OriginFault::ConnectionNominatesProtectedField,
            HeadFault::LengthBesideTransferEncoding => {
                OriginFault::ContentLengthBesideTransferEncoding
            }
            HeadFault::RepeatedContentLength => OriginFault::RepeatedContentLength,
            HeadFault::ListedContentLength => OriginFault::ListedContentLength,
            HeadFault::MalformedContentLength => OriginFault::MalformedContentLength,
            HeadFault::RepeatedTransferEncoding => OriginFault::RepeatedTransferEncoding,
            HeadFault::TransferEncodingNotChunked => OriginFault::TransferEncodingNotChunked,
            HeadFault::TransferEncodingInHttp10 => OriginFault::TransferEncodingInHttp10,
        }
    }
}

/// RFC 9112 section 4. The reason phrase is not kept; without one the space before it may be missing, as with many servers.
fn read_status_line(line: &[u8]) -> Result<(Version, u16), OriginFault> {
    let (version, rest) = line
        .split_at_checked(8)
        .ok_or(OriginFault::MalformedStatusLine)?;
    let version = match version {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            return Err(OriginFault::UnknownVersion);
        }
        _ => return Err(OriginFault::MalformedStatusLine),
    };
    let rest = rest
        .strip_prefix(b" ")
        .ok_or(OriginFault::MalformedStatusLine)?;
    let [
        a @ b'0'..=b'9',
        b @ b'0'..=b'9',
        c @ b'0'..=b'9',
        reason @ ..,
    ] = rest
    else {
        return Err(OriginFault::MalformedStatus);
    };
    let status = u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0');
    let ends = matches!(reason, [] | [b' ', ..]);
    if ends && is_status(status) {
        Ok((version, status))
    } else {
        Err(OriginFault::MalformedStatus)
    }
}

const fn is_status(status: u16) -> bool {
    matches!(status, 100..=599)
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
