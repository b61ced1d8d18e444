//! The WebSocket handshake: RFC 6455 in HTTP/1.1, RFC 8441 in HTTP/2. What follows it are [`frames`].

pub mod frames;

use sha1::{Digest, Sha1};

use crate::known::Known;
use crate::message::{BodyFraming, Method, Version};
use crate::refusal::Refusal;
use crate::request::RequestHead;

/// Characters of a `Sec-WebSocket-Key`: 16 bytes in base64.
pub const KEY_LENGTH: usize = 24;
/// Characters of a `Sec-WebSocket-Accept`: a SHA-1 in base64.
pub const ACCEPT_LENGTH: usize = 28;

/// Whether the request asks to speak WebSocket; whether properly is for [`check_request`] to say.
pub fn is_asked_for(head: &RequestHead) -> bool {
    let protocol = match head.version() {
        Version::Http2 => head.protocol_h2(),
        Version::Http10 | Version::Http11 => head.upgrade(),
    };
    protocol.is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
}

/// Checks a handshake that [`is_asked_for`] (RFC 6455 section 4.2.1, RFC 8441 section 5).
///
/// Gives the client's key; HTTP/2 has none.
pub fn check_request(head: &RequestHead) -> Result<Option<&[u8]>, Refusal> {
    if !is_asked_for(head) {
        return Err(Refusal::MalformedUpgrade);
    }
    if single(head, Known::SecWebSocketVersion)? != b"13" {
        return Err(Refusal::WebSocketVersion);
    }
    match head.version() {
        Version::Http2 => Ok(None),
        _ if head.method() != Method::Get || head.framing() != BodyFraming::None => {
            Err(Refusal::MalformedUpgrade)
        }
        _ => {
            let key = single(head, Known::SecWebSocketKey)?;
            if is_key(key) {
                Ok(Some(key))
            } else {
                Err(Refusal::MalformedUpgrade)
            }
        }
    }
}

/// A key from 16 bytes that should be random, for a handshake that the edge makes itself.
pub fn key(seed: [u8; 16]) -> [u8; KEY_LENGTH] {
    let mut out = [b'='; KEY_LENGTH];
    base64(&seed, &mut out);
    out
}

/// What the server must answer to a key (RFC 6455 section 4.2.2).
pub fn accept(key: &[u8]) -> [u8; ACCEPT_LENGTH] {
    let digest = Sha1::new()
        .chain_update(key)
        .chain_update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
        .finalize();
    let mut out = [b'='; ACCEPT_LENGTH];
    base64(&digest, &mut out);
    out
}

fn single(head: &RequestHead, known: Known) -> Result<&[u8], Refusal> {
    let mut values = head.all(known);
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value),
        _ => Err(Refusal::MalformedUpgrade),
    }
}

/// 16 bytes in base64: 22 characters, of which the last carries two bits, and two `=`.
fn is_key(key: &[u8]) -> bool {
    match key {
        [digits @ .., last, b'=', b'='] if digits.len() == 21 => {
            matches!(last, b'A' | b'Q' | b'g' | b'w') && digits.iter().all(|b| BASE64.contains(b))
        }
        _ => false,
    }
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Writes `input` in base64 (RFC 4648 section 4) over `out`, which is full of `=` already.
fn base64(input: &[u8], out: &mut [u8]) {
    for (group, chars) in input.chunks(3).zip(out.chunks_mut(4)) {
        let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for (slot, shift) in chars.iter_mut().take(group.len() + 1).zip([18, 12, 6, 0]) {
            let digit = usize::try_from(bits >> shift & 63).unwrap_or(0);
            *slot = BASE64.get(digit).copied().unwrap_or(b'=');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::HeadLimits;

    const HANDSHAKE: &str = "GET /chat HTTP/1.1\r\nHost: a.example\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

    fn checked(text: &str) -> Result<Option<Vec<u8>>, Refusal> {
        let mut head = RequestHead::new();
        head.octets_mut().extend_from_slice(text.as_bytes());
        head.parse_h1(&HeadLimits::default()).unwrap().unwrap();
        check_request(&head).map(|key| key.map(<[u8]>::to_vec))
    }

    #[test]
    fn the_example_of_the_rfc() {
        assert_eq!(
            checked(HANDSHAKE),
            Ok(Some(b"dGhlIHNhbXBsZSBub25jZQ==".to_vec()))
        );
        assert_eq!(&key(*b"the sample nonce"), b"dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(
            &accept(b"dGhlIHNhbXBsZSBub25jZQ=="),
            b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    #[test]
    fn a_handshake_with_anything_missing() {
        for (what, with) in [
            ("GET", "POST"),
            ("WebSocket\r", "h2c\r"),
            (", Upgrade", ""),
            ("Sec-WebSocket-Key", "X-Key"),
            ("ZQ==", "ZR=="),
            ("ZQ==", "Z==="),
            ("ZQ==", "ZQ="),
            ("dG", "d-"),
            ("Sec-WebSocket-Version: 13", "Accept: */*"),
            ("Host", "Content-Length: 4\r\nHost"),
            (
                "Host",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nHost",
            ),
        ] {
            assert_eq!(
                checked(&HANDSHAKE.replacen(what, with, 1)),
                Err(Refusal::MalformedUpgrade),
                "{what} -> {with}"
            );
        }
        assert_eq!(
            checked(&HANDSHAKE.replace(": 13", ": 8")),
            Err(Refusal::WebSocketVersion)
        );
        assert_eq!(
            checked(&HANDSHAKE.replacen("HTTP/1.1", "HTTP/1.0", 1)),
            Err(Refusal::MalformedUpgrade)
        );
    }

    #[test]
    fn extended_connect_needs_no_key() {
        let mut head = RequestHead::new();
        head.begin_h2();
        head.h2_method(b"CONNECT");
        head.h2_protocol(b"websocket");
        head.h2_scheme(b"https");
        head.h2_authority(b"a.example");
        head.h2_path(b"/chat");
        head.push_field(b"sec-websocket-version", b"13");
        head.finish_h2(&HeadLimits::default()).unwrap();
        assert_eq!(check_request(&head), Ok(None));
    }
}
