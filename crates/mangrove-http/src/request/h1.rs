//! Reading a request head from HTTP/1 octets (RFC 9112 sections 2, 3, 5 and 6).

use super::{Facts, RequestHead, check_target_characters};
use crate::field::{Framing, HeadFault, Span, is_token, read_field_line};
use crate::host::Authority;
use crate::message::{BodyFraming, HeadLimits, METHOD_BYTES, Method, Scheme, Version};
use crate::plain;
use crate::refusal::Refusal;

impl RequestHead {
    pub(super) fn read_h1(&mut self, limits: &HeadLimits) -> Result<Option<usize>, Refusal> {
        if self.facts.scan.is_at_start() {
            self.read_plain_request_line(limits);
        }
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
                self.settle_h1()?;
                return Ok(Some(self.facts.scan.position()));
            };
            if self.lines.len() >= limits.fields {
                return Err(Refusal::TooManyFields);
            }
            let (name, value) = read_field_line(&self.octets, line)?;
            self.lines.push(&self.octets, name, value);
        }
    }

    /// Reads a request line that has nothing unusual; any other is left for [`Self::start_line`].
    fn read_plain_request_line(&mut self, limits: &HeadLimits) {
        let within = limits.head_bytes.min(self.octets.len());
        let Some(line) = plain::request_line(self.octets.get(..within).unwrap_or_default()) else {
            return;
        };
        if line.target.length() > limits.target_bytes {
            return;
        }
        let facts = &mut self.facts;
        facts.method = Some(line.method);
        facts.method_name = line.method_name;
        facts.version = Some(Version::Http11);
        facts.target = line.target;
        facts.path = line.path;
        facts.scan.skip_to(line.end);
        facts.start_line_read = true;
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
        self.set_target(Span::new(
            target_start + parts.origin_form,
            target_start + target_length,
        ));
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
