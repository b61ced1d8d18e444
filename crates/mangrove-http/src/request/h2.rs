//! Building a request head from HTTP/2 fields (RFC 9113 section 8, RFC 8441).

use super::{Pseudo, RequestHead, check_target_characters};
use crate::field::{Framing, Span, control_fault, is_tchar, is_token, trim};
use crate::host::Authority;
use crate::known::Known;
use crate::message::{BodyFraming, HeadLimits, METHOD_BYTES, Method, Scheme, Version};
use crate::refusal::Refusal;

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
        self.set_target(path);
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
        if !self.lines.is_repeated(Known::Cookie) {
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
        self.lines
            .join(Known::Cookie, Span::new(start, self.octets.len()));
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
