//! Byte ranges of a representation (RFC 9110 section 14).

use mangrove_http::{Known, trim};

/// The most ranges of one request that are read; with more the field is ignored and the whole is sent.
pub const RANGES_ASKED: usize = 32;
/// The most parts of one answer, after those that overlap or touch are one; with more the whole is sent
/// (RFC 9110 section 17.15).
pub const RANGES_ANSWERED: usize = 5;

/// Some bytes in one piece, first and last included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval {
    /// The first byte's position.
    pub first: u64,
    /// The last byte's position, not below `first`.
    pub last: u64,
}

impl Interval {
    /// The bytes from `first` to `last`; `None` when that is the wrong way round, or too many to count.
    pub fn new(first: u64, last: u64) -> Option<Interval> {
        (first <= last && last < u64::MAX).then_some(Interval { first, last })
    }

    /// How many bytes.
    pub fn length(self) -> u64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }

    /// The value of `Range` that asks for it.
    pub fn asked(self) -> String {
        format!("bytes={}-{}", self.first, self.last)
    }

    /// Whether all of `other` is in it.
    pub fn contains(self, other: Interval) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    /// Both as one, when they overlap or touch.
    pub fn joined(self, other: Interval) -> Option<Interval> {
        let touches = self.first <= other.last.saturating_add(1)
            && other.first <= self.last.saturating_add(1);
        touches.then(|| Interval {
            first: self.first.min(other.first),
            last: self.last.max(other.last),
        })
    }
}

/// One range as it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeSpec {
    /// `2-`, or `2-5`
    From {
        /// The first byte's position.
        first: u64,
        /// The last byte's position, if it was given.
        last: Option<u64>,
    },
    /// `-5`: the last so many.
    Suffix {
        /// Bytes.
        length: u64,
    },
}

impl RangeSpec {
    fn parse(text: &[u8]) -> Option<RangeSpec> {
        let dash = text.iter().position(|&b| b == b'-')?;
        let (first, last) = text.split_at_checked(dash)?;
        let last = last.get(1..)?;
        match (first, last) {
            ([], length) => Some(RangeSpec::Suffix {
                length: position(length)?,
            }),
            (first, []) => Some(RangeSpec::From {
                first: position(first)?,
                last: None,
            }),
            (first, last) => {
                let (first, last) = (position(first)?, position(last)?);
                (first <= last).then_some(RangeSpec::From {
                    first,
                    last: Some(last),
                })
            }
        }
    }

    /// The bytes it means in a representation of `length` bytes; `None` when there are none.
    pub fn within(self, length: u64) -> Option<Interval> {
        let end = length.checked_sub(1)?;
        match self {
            RangeSpec::From { first, .. } if first > end => None,
            RangeSpec::From { first, last } => Interval::new(first, last.unwrap_or(end).min(end)),
            RangeSpec::Suffix { length: 0 } => None,
            RangeSpec::Suffix { length: suffix } => {
                Interval::new(length.saturating_sub(suffix), end)
            }
        }
    }
}

/// A position or length; more digits than a 64-bit number holds mean the greatest one, which is beyond every end.
fn position(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, &b| {
        let digit = b.is_ascii_digit().then(|| u64::from(b - b'0'))?;
        Some(value.saturating_mul(10).saturating_add(digit))
    })
}

/// What `Range` asks for, as far as a stored part can answer it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskedRange {
    /// The whole: there is no `Range`, or one that is ignored.
    Whole,
    /// One range.
    One(RangeSpec),
    /// Several; see [`ByteRanges`].
    Several,
}

impl AskedRange {
    /// Reads `Range` without keeping more than one.
    pub fn parse(value: &[u8]) -> AskedRange {
        let mut first = None;
        let Some(count) = each_spec(value, |spec| {
            first.get_or_insert(spec);
        }) else {
            return AskedRange::Whole;
        };
        match first {
            Some(spec) if count == 1 => AskedRange::One(spec),
            Some(_) => AskedRange::Several,
            None => AskedRange::Whole,
        }
    }
}

/// The ranges of one `Range` field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByteRanges {
    specs: Vec<RangeSpec>,
}

/// Which bytes answer a [`ByteRanges`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Satisfied {
    /// The field is as good as absent: too many parts. 200.
    Whole,
    /// One piece. 206 with `Content-Range`.
    One(Interval),
    /// Two to [`RANGES_ANSWERED`] pieces, in the order they were asked for. 206 with [`Multipart`].
    Several(Vec<Interval>),
    /// None of them is there. 416 with [`write_unsatisfied`].
    Unsatisfiable,
}

impl ByteRanges {
    /// Reads `bytes=0-4, -5`; `None` for another unit or anything malformed, which is ignored (section 14.2).
    pub fn parse(value: &[u8]) -> Option<ByteRanges> {
        let mut specs = Vec::new();
        each_spec(value, |spec| specs.push(spec))?;
        (!specs.is_empty()).then_some(ByteRanges { specs })
    }

    /// Which bytes of a representation of `length` bytes are asked for.
    pub fn within(&self, length: u64) -> Satisfied {
        let mut pieces: Vec<Interval> = Vec::new();
        for piece in self.specs.iter().filter_map(|spec| spec.within(length)) {
            add_joined(&mut pieces, piece);
        }
        match pieces.as_slice() {
            [] => Satisfied::Unsatisfiable,
            [one] => Satisfied::One(*one),
            several if several.len() <= RANGES_ANSWERED => Satisfied::Several(pieces),
            _ => Satisfied::Whole,
        }
    }
}

/// Adds a piece where the first of those stands that it touches.
fn add_joined(pieces: &mut Vec<Interval>, piece: Interval) {
    let mut whole = piece;
    let mut place = None;
    loop {
        let touching = pieces
            .iter()
            .position(|other| other.joined(whole).is_some());
        let Some(at) = touching else {
            break;
        };
        let other = pieces.remove(at);
        whole = other.joined(whole).unwrap_or(whole);
        place = Some(place.map_or(at, |place: usize| place.min(at)));
    }
    pieces.insert(place.unwrap_or(pieces.len()).min(pieces.len()), whole);
}

fn each_spec(value: &[u8], mut each: impl FnMut(RangeSpec)) -> Option<usize> {
    let (unit, set) = value.split_at_checked(value.iter().position(|&b| b == b'=')?)?;
    if !trim(unit).eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    let mut count = 0;
    for spec in mangrove_http::list(set.get(1..)?) {
        each(RangeSpec::parse(spec)?);
        count += 1;
        if count > RANGES_ASKED {
            return None;
        }
    }
    Some(count)
}

/// `Content-Range` of a part (section 14.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentRange {
    /// Which bytes.
    pub held: Interval,
    /// Of how many, when that was said.
    pub total: Option<u64>,
}

impl ContentRange {
    /// Reads `bytes 0-4/10` or `bytes 0-4/*`.
    pub fn parse(value: &[u8]) -> Option<ContentRange> {
        let (unit, rest) = value.split_at_checked(value.iter().position(|&b| b == b' ')?)?;
        let rest = trim(rest);
        let (range, total) = rest.split_at_checked(rest.iter().position(|&b| b == b'/')?)?;
        let total = match total.get(1..)? {
            b"*" => None,
            digits => Some(position(digits)?),
        };
        let RangeSpec::From {
            first,
            last: Some(last),
        } = RangeSpec::parse(range)?
        else {
            return None;
        };
        let held = Interval::new(first, last)?;
        let within = total.is_none_or(|total| held.last < total);
        (within && unit.eq_ignore_ascii_case(b"bytes")).then_some(ContentRange { held, total })
    }

    /// Appends the value.
    pub fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"bytes ");
        push_decimal(out, self.held.first);
        out.push(b'-');
        push_decimal(out, self.held.last);
        out.push(b'/');
        match self.total {
            Some(total) => push_decimal(out, total),
            None => out.push(b'*'),
        }
    }
}

/// Appends the `Content-Range` of a 416: `bytes */10`.
pub fn write_unsatisfied(length: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"bytes */");
    push_decimal(out, length);
}

/// The body of a 206 with several parts (section 14.6), without the bytes themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Multipart {
    boundary: [u8; 32],
    /// What stands before each piece, and the piece.
    pub parts: Vec<(Vec<u8>, Interval)>,
    /// What stands after the last piece.
    pub end: Vec<u8>,
}

impl Multipart {
    /// Plans the answer. `seed` must not be foreseeable by whoever writes the content, which could otherwise hold the
    /// boundary itself.
    pub fn plan(
        pieces: &[Interval],
        total: u64,
        content_type: Option<&[u8]>,
        seed: u128,
    ) -> Multipart {
        let mut boundary = [b'0'; 32];
        for (place, digit) in boundary.iter_mut().enumerate() {
            let shift = u32::try_from(place * 4).unwrap_or(0);
            let nibble = u8::try_from((seed >> shift) & 15).unwrap_or(0);
            *digit = if nibble < 10 {
                b'0' + nibble
            } else {
                b'a' + nibble - 10
            };
        }
        let part = |piece: &Interval| {
            let mut head = b"\r\n--".to_vec();
            head.extend_from_slice(&boundary);
            if let Some(content_type) = content_type {
                head.extend_from_slice(b"\r\nContent-Type: ");
                head.extend_from_slice(content_type);
            }
            head.extend_from_slice(b"\r\nContent-Range: ");
            ContentRange {
                held: *piece,
                total: Some(total),
            }
            .write(&mut head);
            head.extend_from_slice(b"\r\n\r\n");
            (head, *piece)
        };
        let parts = pieces.iter().map(part).collect();
        let mut end = b"\r\n--".to_vec();
        end.extend_from_slice(&boundary);
        end.extend_from_slice(b"--\r\n");
        Multipart {
            boundary,
            parts,
            end,
        }
    }

    /// Bytes of the whole body.
    pub fn content_length(&self) -> u64 {
        let parts = self
            .parts
            .iter()
            .map(|(head, piece)| bytes(head.len()).saturating_add(piece.length()));
        parts.fold(bytes(self.end.len()), u64::saturating_add)
    }

    /// Appends the `Content-Type` of the answer.
    pub fn write_content_type(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"multipart/byteranges; boundary=");
        out.extend_from_slice(&self.boundary);
    }
}

fn bytes(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Appends a number in decimal digits.
pub(crate) fn push_decimal(out: &mut Vec<u8>, mut value: u64) {
    let start = out.len();
    loop {
        out.push(b'0' + u8::try_from(value % 10).unwrap_or(0));
        value /= 10;
        if value == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
    }
}

/// The fields that belong to the message of a part, not to the representation.
pub(crate) const fn is_of_the_part(known: Known) -> bool {
    matches!(known, Known::ContentRange | Known::ContentLength)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within(value: &str, length: u64) -> Option<Satisfied> {
        ByteRanges::parse(value.as_bytes()).map(|ranges| ranges.within(length))
    }

    fn piece(first: u64, last: u64) -> Interval {
        Interval::new(first, last).unwrap()
    }

    #[test]
    fn single_ranges() {
        let one = |value| match within(value, 10) {
            Some(Satisfied::One(piece)) => Some((piece.first, piece.last)),
            _ => None,
        };
        assert_eq!(one("bytes=0-4"), Some((0, 4)));
        assert_eq!(one("Bytes = 2-"), Some((2, 9)));
        assert_eq!(one("bytes=-3"), Some((7, 9)));
        assert_eq!(one("bytes=-30"), Some((0, 9)));
        assert_eq!(one("bytes=9-99999999999999999999999"), Some((9, 9)));
        assert_eq!(within("bytes=10-", 10), Some(Satisfied::Unsatisfiable));
        assert_eq!(within("bytes=-0", 10), Some(Satisfied::Unsatisfiable));
        assert_eq!(within("bytes=0-", 0), Some(Satisfied::Unsatisfiable));
        for wrong in [
            "",
            "bytes",
            "bytes=",
            "bytes=a-b",
            "bytes=5-4",
            "bytes=-",
            "lines=0-1",
            "bytes=0-1;2",
            "bytes=--1",
            "bytes=1",
        ] {
            assert_eq!(within(wrong, 10), None, "{wrong} is ignored");
        }
    }

    #[test]
    fn several_ranges_keep_their_order_and_are_joined_where_they_touch() {
        assert_eq!(
            within("bytes=8-9, 0-1", 10),
            Some(Satisfied::Several(vec![piece(8, 9), piece(0, 1)]))
        );
        assert_eq!(
            within("bytes=0-1, 8-9, 2-3, 20-", 10),
            Some(Satisfied::Several(vec![piece(0, 3), piece(8, 9)]))
        );
        assert_eq!(
            within("bytes=0-1, 4-5, 2-3", 10),
            Some(Satisfied::One(piece(0, 5)))
        );
        assert_eq!(within("bytes=0-0,-1", 1), Some(Satisfied::One(piece(0, 0))));
    }

    #[test]
    fn too_many_ranges_are_as_good_as_none() {
        let asked = |count: u64| {
            format!(
                "bytes={}",
                (0..count)
                    .map(|n| format!("{}-{}", n * 2, n * 2))
                    .collect::<Vec<_>>()
                    .join(",")
            )
        };
        let answered = u64::try_from(RANGES_ANSWERED).unwrap();
        assert!(
            matches!(within(&asked(answered), 1000), Some(Satisfied::Several(parts)) if parts.len() == RANGES_ANSWERED)
        );
        assert_eq!(within(&asked(answered + 1), 1000), Some(Satisfied::Whole));
        let most = u64::try_from(RANGES_ASKED).unwrap();
        assert_eq!(within(&asked(most), 1000), Some(Satisfied::Whole));
        assert_eq!(within(&asked(most + 1), 1000), None);
        assert_eq!(
            AskedRange::parse(asked(most + 1).as_bytes()),
            AskedRange::Whole
        );
    }

    #[test]
    fn content_ranges() {
        let parse = |text: &str| ContentRange::parse(text.as_bytes());
        let read = parse("bytes 4-8/10").unwrap();
        assert_eq!((read.held, read.total), (piece(4, 8), Some(10)));
        let mut out = Vec::new();
        read.write(&mut out);
        assert_eq!(out, b"bytes 4-8/10");
        assert_eq!(parse("bytes 0-0/*").unwrap().total, None);
        for wrong in [
            "",
            "bytes */10",
            "bytes 4-10/10",
            "bytes 5-4/10",
            "bytes 4-/10",
            "bytes=4-8/10",
            "bytes 4-8",
            "lines 0-1/2",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_plan_of_a_multipart_answer_adds_up() {
        let plan = Multipart::plan(&[piece(0, 1), piece(8, 9)], 10, Some(b"text/plain"), 0xabc);
        let content = b"0123456789";
        let mut body = Vec::new();
        for (head, piece) in &plan.parts {
            body.extend_from_slice(head);
            body.extend_from_slice(
                &content
                    [usize::try_from(piece.first).unwrap()..=usize::try_from(piece.last).unwrap()],
            );
        }
        body.extend_from_slice(&plan.end);
        assert_eq!(u64::try_from(body.len()).unwrap(), plan.content_length());
        let boundary = "cba00000000000000000000000000000";
        assert_eq!(
            String::from_utf8(body).unwrap(),
            format!(
                "\r\n--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01\r\n--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 8-9/10\r\n\r\n89\r\n--{boundary}--\r\n"
            )
        );
    }
}
