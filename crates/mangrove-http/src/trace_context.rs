//! Names for a request: the one we give it, and the trace it is part of.

/// The id of a request: shown to the visitor, logged, and sent to the origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(pub u128);

/// Digits and lower-case letters without those that look alike (`i`, `l`, `o`, `u`): people read ids over the telephone.
const ID_ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl RequestId {
    /// Characters of a rendered id.
    pub const LENGTH: usize = 26;

    /// From 128 bits that should be as good as random.
    pub const fn from_seed(seed: u128) -> RequestId {
        RequestId(seed)
    }

    /// 26 characters, each five bits, most significant first.
    pub fn render(self) -> [u8; RequestId::LENGTH] {
        let mut out = [b'0'; RequestId::LENGTH];
        // The lower twelve characters have 60 bits, those before them as many, and the first two the rest.
        let (head, rest) = out.split_at_mut(RequestId::LENGTH - 24);
        let (middle, tail) = rest.split_at_mut(12);
        for (part, shift) in [(head, 120), (middle, 60), (tail, 0)] {
            #[allow(clippy::cast_possible_truncation)] // only the lower 60 bits are looked at
            let mut left = (self.0 >> shift) as u64;
            for slot in part.iter_mut().rev() {
                *slot = character(left);
                left >>= 5;
            }
        }
        out
    }

    /// Reads a rendered id, in any case, as a person may type it.
    pub fn parse(text: &[u8]) -> Option<RequestId> {
        if text.len() != RequestId::LENGTH {
            return None;
        }
        let value = text.iter().try_fold(0_u128, |value, b| {
            let digit = memchr::memchr(b.to_ascii_lowercase(), ID_ALPHABET)?;
            value.checked_mul(32)?.checked_add(digit as u128)
        })?;
        Some(RequestId(value))
    }
}

/// Of the lowest five bits.
// An array of 32 indexed by five bits is always in bounds.
#[allow(clippy::indexing_slicing)]
const fn character(bits: u64) -> u8 {
    ID_ALPHABET[(bits & 31) as usize]
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(std::str::from_utf8(&self.render()).unwrap_or_default())
    }
}

/// `traceparent` (W3C Trace Context, section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceParent {
    /// The whole trace; never 0.
    pub trace_id: u128,
    /// The caller's span; never 0.
    pub parent_id: u64,
    /// Of version 00: bit 0 says that the caller recorded the trace.
    pub flags: u8,
}

impl TraceParent {
    /// Bytes of a rendered field.
    pub const LENGTH: usize = 55;

    /// A trace that begins here. Zeros in the seeds, which are not valid, become ones.
    pub const fn start(trace_seed: u128, span_seed: u64, sampled: bool) -> TraceParent {
        TraceParent {
            trace_id: not_zero_128(trace_seed),
            parent_id: not_zero_64(span_seed),
            flags: sampled as u8,
        }
    }

    /// Reads the field. `None` when it is not valid: the trace then begins anew, as the specification asks.
    ///
    /// A later version than 00 is read as 00 as far as it goes, and passed on as 00 (section 4.3).
    pub fn parse(value: &[u8]) -> Option<TraceParent> {
        let (version, rest) = hex_until_dash(value, 2)?;
        let (trace_id, rest) = hex_until_dash(rest, 32)?;
        let (parent_id, rest) = hex_until_dash(rest, 16)?;
        let (flags, rest) = rest.split_at_checked(2)?;
        let flags = u8::try_from(hex(flags)?).ok()?;
        let ends = rest.is_empty() || (version > 0 && rest.starts_with(b"-"));
        let parent_id = u64::try_from(parent_id).ok()?;
        if version == 0xff || trace_id == 0 || parent_id == 0 || !ends {
            return None;
        }
        Some(TraceParent {
            trace_id,
            parent_id,
            flags,
        })
    }

    /// The same trace, with this request as the caller.
    pub const fn child(self, span_seed: u64) -> TraceParent {
        // Only the flag that version 00 knows is passed on.
        TraceParent {
            parent_id: not_zero_64(span_seed),
            flags: self.flags & 1,
            ..self
        }
    }

    /// `00-{trace_id}-{parent_id}-{flags}` in lower-case hexadecimal.
    pub fn render(self) -> [u8; TraceParent::LENGTH] {
        let mut out = [b'-'; TraceParent::LENGTH];
        put_hex(&mut out, 0, 2, 0);
        put_hex(&mut out, 3, 32, self.trace_id);
        put_hex(&mut out, 36, 16, u128::from(self.parent_id));
        put_hex(&mut out, 53, 2, u128::from(self.flags));
        out
    }
}

const fn not_zero_128(seed: u128) -> u128 {
    if seed == 0 { 1 } else { seed }
}

const fn not_zero_64(seed: u64) -> u64 {
    if seed == 0 { 1 } else { seed }
}

fn hex_until_dash(text: &[u8], digits: usize) -> Option<(u128, &[u8])> {
    let (number, rest) = text.split_at_checked(digits)?;
    Some((hex(number)?, rest.strip_prefix(b"-")?))
}

/// Lower-case hexadecimal only (section 3.2.2).
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0_u128, |value, &b| {
        let digit = match b {
            b'0'..=b'9' => b - b'0',
            b'a'..=b'f' => b - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u128::from(digit))
    })
}

fn put_hex(out: &mut [u8; TraceParent::LENGTH], at: usize, digits: usize, value: u128) {
    let mut left = value;
    for slot in out.iter_mut().skip(at).take(digits).rev() {
        let digit = usize::try_from(left & 15).unwrap_or(0);
        *slot = b"0123456789abcdef".get(digit).copied().unwrap_or(b'0');
        left >>= 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EXAMPLE: &[u8; 55] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_trace_is_passed_on_with_our_own_span() {
        let caller = TraceParent::parse(EXAMPLE).unwrap();
        assert_eq!(&caller.render(), EXAMPLE);
        assert_eq!(
            &caller.child(0xb).render(),
            b"00-4bf92f3577b34da6a3ce929d0e0e4736-000000000000000b-01"
        );
        assert_eq!(caller.child(0).parent_id, 1);
        let later = [b"cc".as_slice(), &EXAMPLE[2..], b"-more"].concat();
        assert_eq!(
            TraceParent::parse(&later).map(|parent| parent.trace_id),
            Some(caller.trace_id)
        );
    }

    #[test]
    fn what_is_not_valid_begins_anew() {
        let example = std::str::from_utf8(EXAMPLE).unwrap();
        for wrong in [
            String::new(),
            example.to_uppercase(),
            example.replacen("00", "ff", 1),
            format!("{example}-more"),
            example.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            example.replace("00f067aa0ba902b7", &"0".repeat(16)),
            example.replace('-', "_"),
            example[..54].to_owned(),
            format!("cc{}x", &example[2..]),
        ] {
            assert_eq!(TraceParent::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(trace in 1_u128.., parent in 1_u64.., sampled: bool, id: u128) {
            let parent = TraceParent::start(trace, parent, sampled);
            prop_assert_eq!(TraceParent::parse(&parent.render()), Some(parent));
            let id = RequestId::from_seed(id);
            prop_assert_eq!(RequestId::parse(&id.render().to_ascii_uppercase()), Some(id));
        }
    }

    #[test]
    fn ids_that_are_none() {
        assert_eq!(
            RequestId(u128::MAX).to_string(),
            "7zzzzzzzzzzzzzzzzzzzzzzzzz"
        );
        for wrong in [
            "",
            "8zzzzzzzzzzzzzzzzzzzzzzzzz",
            "0000000000000000000000000l",
            "000",
        ] {
            assert_eq!(RequestId::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
