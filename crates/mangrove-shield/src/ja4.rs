//! JA4: the name of the software at the other end of a TLS connection, from how it greets.
//!
//! A ClientHello lists what its sender can do, and software built from the same sources lists the same. JA4
//! (<https://github.com/FoxIO-LLC/ja4>, the TLS client fingerprint alone, which is free to use) makes a short name of the
//! lists: `t13d1516h2_8daaf6152771_e5627efa2ab1` is TCP, TLS 1.3, with a server name, 15 ciphers, 16 extensions, first
//! protocol `h2`; then the ciphers, and the extensions with the signature algorithms, each sorted and hashed. Sorted,
//! because browsers shuffle their extensions; without GREASE (RFC 8701), which is drawn by lot.
//!
//! A client that resumes a session sends other extensions than one that begins, and a browser offers a WebSocket other
//! protocols than a page: [`Fingerprint::stable`] leaves out what changes so, and is the one to count by.
//!
//! It is evidence, not identity: whoever wants to can greet like a browser.

use std::fmt;

use sha2::{Digest, Sha256};

/// The longest ClientHello read. The longest that real clients send, with post-quantum keys and a ticket, are under 4 KiB.
pub const HELLO_BYTES: usize = 16 * 1024;

/// Bytes of a fingerprint as text.
pub const LENGTH: usize = 36;

/// Record and handshake types (RFC 8446 sections 5.1 and 4).
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;

/// Extensions (RFC 8446 section 4.2, and the registry).
const SERVER_NAME: u16 = 0;
const SIGNATURE_ALGORITHMS: u16 = 13;
const ALPN: u16 = 16;
const PADDING: u16 = 21;
const SESSION_TICKET: u16 = 35;
const PRE_SHARED_KEY: u16 = 41;
const EARLY_DATA: u16 = 42;
const SUPPORTED_VERSIONS: u16 = 43;

/// What one client sends or leaves out from one connection to the next.
const CHANGING: [u16; 5] = [ALPN, PADDING, SESSION_TICKET, PRE_SHARED_KEY, EARLY_DATA];

/// What stands for a hash of nothing.
const NOTHING: [u8; 12] = [b'0'; 12];

/// Why a client has no fingerprint. None of it is a reason to refuse the client: TLS itself says what it does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoFingerprint {
    /// It does not begin with a record of a handshake.
    #[error("the first bytes are no TLS handshake")]
    NotHandshake,
    /// The handshake does not begin with a ClientHello.
    #[error("the first message is no ClientHello")]
    NotClientHello,
    /// Longer than [`HELLO_BYTES`].
    #[error("the ClientHello has more than {HELLO_BYTES} bytes")]
    TooLong,
    /// The bytes end before the message does.
    #[error("the ClientHello is not complete")]
    Unfinished,
    /// A length in it does not fit what is around it.
    #[error("the ClientHello is malformed")]
    Malformed,
}

/// A fingerprint as text: `t13d1516h2_8daaf6152771_e5627efa2ab1`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ja4([u8; LENGTH]);

impl Ja4 {
    /// As it was written; whoever reads it has looked whether it is one.
    pub(crate) fn written(text: [u8; LENGTH]) -> Self {
        Self(text)
    }

    /// As text, which is ASCII.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// As bytes.
    pub fn as_bytes(&self) -> &[u8; LENGTH] {
        &self.0
    }
}

impl fmt::Display for Ja4 {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl fmt::Debug for Ja4 {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// Both names of one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// As everyone computes it: to look up, and to compare with what others have seen.
    pub ja4: Ja4,
    /// The same without what changes when the client resumes a session or asks for another protocol (extensions 16, 21, 35, 41
    /// and 42): to recognise it by.
    pub stable: Ja4,
}

impl Fingerprint {
    /// Of the client that sent `bytes`, which are TLS records from the first byte of its connection on. What follows the
    /// ClientHello is not looked at.
    ///
    /// # Errors
    /// When there is no whole ClientHello in them.
    pub fn of(bytes: &[u8]) -> Result<Self, NoFingerprint> {
        let message = first_message(bytes)?;
        let hello = Hello::read(&message).ok_or(NoFingerprint::Malformed)?;
        Ok(Self {
            ja4: hello.ja4(),
            stable: hello.stable().ja4(),
        })
    }
}

/// Joins the fragments of the first handshake message (RFC 8446 section 5.1) and takes its head away.
fn first_message(bytes: &[u8]) -> Result<Vec<u8>, NoFingerprint> {
    let mut records = Reader(bytes);
    let mut joined = Vec::new();
    loop {
        let length = match *joined.as_slice() {
            [CLIENT_HELLO, high, middle, low, ..] => {
                Some(u32::from_be_bytes([0, high, middle, low]) as usize)
            }
            [CLIENT_HELLO, ..] | [] => None,
            _ => return Err(NoFingerprint::NotClientHello),
        };
        if let Some(length) = length {
            if length > HELLO_BYTES {
                return Err(NoFingerprint::TooLong);
            }
            if let Some(message) = joined.get(4..4 + length) {
                return Ok(message.to_vec());
            }
        }
        let kind = records.byte().ok_or(NoFingerprint::Unfinished)?;
        if kind != HANDSHAKE {
            return Err(NoFingerprint::NotHandshake);
        }
        let fragment = records
            .take(2)
            .and_then(|_version| records.vector_of_16())
            .ok_or(NoFingerprint::Unfinished)?;
        if fragment.0.is_empty() {
            return Err(NoFingerprint::Malformed); // without this, empty records could go on for ever
        }
        joined.extend_from_slice(fragment.0);
    }
}

/// What a ClientHello (RFC 8446 section 4.1.2) lists, without GREASE, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hello {
    version: u16,
    ciphers: Vec<u16>,
    extensions: Vec<u16>,
    signatures: Vec<u16>,
    /// The first protocol offered, as JA4 writes it.
    protocol: [u8; 2],
}

impl Hello {
    fn read(message: &[u8]) -> Option<Self> {
        let mut rest = Reader(message);
        let legacy_version = rest.number()?;
        rest.take(32)?; // random
        rest.vector_of_8()?; // session id
        let ciphers = rest.vector_of_16()?.numbers()?;
        rest.vector_of_8()?; // compression methods
        let mut hello = Self {
            version: legacy_version,
            ciphers,
            extensions: Vec::new(),
            signatures: Vec::new(),
            protocol: *b"00",
        };
        if rest.0.is_empty() {
            return Some(hello); // TLS 1.2 knew clients without extensions
        }
        let mut extensions = rest.vector_of_16()?;
        if !rest.0.is_empty() {
            return None;
        }
        while !extensions.0.is_empty() {
            let kind = extensions.number()?;
            let mut content = extensions.vector_of_16()?;
            if is_grease(kind) {
                continue;
            }
            hello.extensions.push(kind);
            match kind {
                SUPPORTED_VERSIONS => {
                    let versions = content.vector_of_8()?.numbers()?;
                    hello.version = versions.into_iter().max().unwrap_or(legacy_version);
                }
                SIGNATURE_ALGORITHMS => {
                    hello.signatures = content.vector_of_16()?.numbers()?;
                }
                ALPN => {
                    let mut protocols = content.vector_of_16()?;
                    if !protocols.0.is_empty() {
                        hello.protocol = ends_of(protocols.vector_of_8()?.0);
                    }
                }
                _ => {}
            }
        }
        Some(hello)
    }

    /// The same client as it is whether it resumes or not, whatever protocol it wants.
    fn stable(mut self) -> Self {
        self.extensions.retain(|kind| !CHANGING.contains(kind));
        self.protocol = *b"00";
        self
    }

    fn ja4(&self) -> Ja4 {
        let mut ciphers = self.ciphers.clone();
        ciphers.sort_unstable();
        let mut extensions = self.extensions.clone();
        // The first part of the name tells of these two already.
        extensions.retain(|&kind| kind != SERVER_NAME && kind != ALPN);
        extensions.sort_unstable();
        let has_name = self.extensions.contains(&SERVER_NAME);
        let (version, protocol) = (version(self.version), self.protocol);
        let ciphers_listed = two_digits(self.ciphers.len());
        let extensions_listed = two_digits(self.extensions.len());

        let mut text = [b'_'; LENGTH];
        let parts: [&[u8]; 9] = [
            b"t",
            &version,
            if has_name { b"d" } else { b"i" },
            &ciphers_listed,
            &extensions_listed,
            &protocol,
            b"_",
            &hash(&ciphers, &[]),
            b"_",
        ];
        let last = hash(&extensions, &self.signatures);
        let bytes = parts.into_iter().chain([&last[..]]).flatten();
        for (place, byte) in text.iter_mut().zip(bytes) {
            *place = *byte;
        }
        Ja4(text)
    }
}

/// Takes values from the front of bytes that may end anywhere.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    fn number(&mut self) -> Option<u16> {
        let (&[high, low], rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u16::from_be_bytes([high, low]))
    }

    /// A vector whose length is in one byte before it (RFC 8446 section 3.4).
    fn vector_of_8(&mut self) -> Option<Self> {
        let length = self.byte()?;
        self.take(usize::from(length)).map(Self)
    }

    /// A vector whose length is in two bytes before it.
    fn vector_of_16(&mut self) -> Option<Self> {
        let length = self.number()?;
        self.take(usize::from(length)).map(Self)
    }

    /// All that is left, as numbers, without GREASE.
    fn numbers(mut self) -> Option<Vec<u16>> {
        let mut numbers = Vec::with_capacity(self.0.len() / 2);
        while !self.0.is_empty() {
            let number = self.number()?;
            if !is_grease(number) {
                numbers.push(number);
            }
        }
        Some(numbers)
    }
}

/// RFC 8701 section 2.
pub(crate) fn is_grease(number: u16) -> bool {
    let [high, low] = number.to_be_bytes();
    high == low && low & 0x0f == 0x0a
}

fn version(version: u16) -> [u8; 2] {
    *match version {
        0x0304 => b"13",
        0x0303 => b"12",
        0x0302 => b"11",
        0x0301 => b"10",
        0x0300 => b"s3",
        0x0002 => b"s2",
        _ => b"00",
    }
}

/// Of a protocol's name, the first and the last character; of one that does not begin and end with a letter or digit, those of
/// its hexadecimal form.
fn ends_of(name: &[u8]) -> [u8; 2] {
    match (name.first(), name.last()) {
        (Some(&first), Some(&last)) => {
            if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
                [first, last]
            } else {
                [hex(first >> 4), hex(last & 0x0f)]
            }
        }
        _ => *b"00",
    }
}

fn two_digits(count: usize) -> [u8; 2] {
    let count = u8::try_from(count).unwrap_or(u8::MAX).min(99);
    [b'0' + count / 10, b'0' + count % 10]
}

/// Twelve hexadecimal digits of SHA-256 over `sorted`, and over `in_order` behind it where there is any.
fn hash(sorted: &[u16], in_order: &[u16]) -> [u8; 12] {
    if sorted.is_empty() {
        return NOTHING;
    }
    let mut text = listed(sorted);
    if !in_order.is_empty() {
        text.push(b'_');
        text.extend(listed(in_order));
    }
    let mut digits = NOTHING;
    let digest = Sha256::digest(&text);
    for (pair, byte) in digits.chunks_exact_mut(2).zip(digest) {
        pair.copy_from_slice(&[hex(byte >> 4), hex(byte & 0x0f)]);
    }
    digits
}

/// `1301,1302,c02b`
fn listed(numbers: &[u16]) -> Vec<u8> {
    let mut text = Vec::with_capacity(numbers.len() * 5 + 1);
    for number in numbers {
        if !text.is_empty() {
            text.push(b',');
        }
        for byte in number.to_be_bytes() {
            text.extend([hex(byte >> 4), hex(byte & 0x0f)]);
        }
    }
    text
}

fn hex(nibble: u8) -> u8 {
    match nibble {
        0..=9 => b'0' + nibble,
        _ => b'a' + (nibble - 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protocol_is_named_by_its_ends() {
        for (name, ends) in [
            (&b"h2"[..], b"h2"),
            (b"http/1.1", b"h1"),
            (b"h", b"hh"),
            (b"", b"00"),
            (b"\xab", b"ab"),
            (b"\xab\xcd", b"ad"),
            (b"\x30\xab", b"3b"),
            (b"\x30\x31\xab\xcd", b"3d"),
            (b"\x30\xab\xcd\x31", b"01"),
        ] {
            assert_eq!(&ends_of(name), ends, "{name:x?}");
        }
    }

    #[test]
    fn counts_end_at_99() {
        assert_eq!(two_digits(7), *b"07");
        assert_eq!(two_digits(99), *b"99");
        assert_eq!(two_digits(100), *b"99");
        assert_eq!(two_digits(30_000), *b"99");
    }

    #[test]
    fn grease_is_both_bytes_alike_ending_in_a() {
        let grease = (0..=u16::MAX).filter(|&number| is_grease(number));
        assert_eq!(grease.count(), 16);
        assert!(is_grease(0x0a0a) && is_grease(0xfafa));
        assert!(!is_grease(0x0a1a) && !is_grease(0x1010));
    }
}
