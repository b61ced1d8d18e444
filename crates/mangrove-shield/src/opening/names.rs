//! The names at the beginning of a field section (RFC 7541), and nothing else of it.
//!
//! Pseudo-fields come first (RFC 9113 section 8.3) and stand in the table that every connection begins with, so nothing has to be
//! remembered to know them: at the first name that is none of theirs the reading ends.

use std::fmt::{self, Write as _};
use std::ops::ControlFlow::{self, Break, Continue};

/// The order of a request's pseudo-fields, written as `m,a,s,p`: method, authority, scheme, path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PseudoOrder {
    letters: [u8; PSEUDO_FIELDS],
    known: u8,
}

/// As many as a request may have that are told.
const PSEUDO_FIELDS: usize = 4;

impl PseudoOrder {
    /// `masp`
    pub fn letters(&self) -> &[u8] {
        self.letters
            .get(..usize::from(self.known))
            .unwrap_or_default()
    }

    fn push(&mut self, letter: u8) {
        // Of one that stands twice the request is malformed, and refused.
        if let Some(place) = self.letters.get_mut(usize::from(self.known)) {
            *place = letter;
            self.known += 1;
        }
    }
}

impl fmt::Display for PseudoOrder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, &letter) in self.letters().iter().enumerate() {
            if at > 0 {
                out.write_char(',')?;
            }
            out.write_char(char::from(letter))?;
        }
        Ok(())
    }
}

/// The longest name of a pseudo-field.
const NAME_BYTES: usize = b":authority".len();

/// Pseudo-fields and their letters. `:protocol` (RFC 8441) tells what is asked for and not who asks, and is not told.
const NAMES: [(&[u8], Option<u8>); 5] = [
    (b":method", Some(b'm')),
    (b":authority", Some(b'a')),
    (b":scheme", Some(b's')),
    (b":path", Some(b'p')),
    (b":protocol", None),
];

/// Reads a section octet by octet.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    state: State,
    /// Octets of the name or value still to come, or of its length what is known.
    left: u32,
    /// How many bits of the length are known.
    shift: u32,
    name: [u8; NAME_BYTES],
    known: usize,
    is_coded: bool,
    order: PseudoOrder,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Before a field.
    #[default]
    Field,
    /// In the rest of a new size of the table.
    TableSize,
    NameLength,
    Name,
    ValueLength,
    /// In the rest of a length that does not fit into seven bits.
    LongValueLength,
    Value,
}

/// The most bits of a length that are read; a section is far shorter.
const LENGTH_BITS: u32 = 28;

impl Names {
    pub(super) fn order(&self) -> PseudoOrder {
        self.order
    }

    /// The next octet; it breaks at the first name that is no pseudo-field's.
    pub(super) fn read(&mut self, byte: u8) -> ControlFlow<()> {
        match self.state {
            State::Field => return self.begin(byte),
            State::TableSize => {
                if byte < 0x80 {
                    self.state = State::Field;
                }
            }
            State::NameLength => {
                self.is_coded = byte & 0x80 != 0;
                self.left = u32::from(byte & 0x7f);
                self.known = 0;
                if self.left == 0 || self.left as usize > NAME_BYTES {
                    return Break(());
                }
                self.state = State::Name;
            }
            State::Name => {
                if let Some(octet) = self.name.get_mut(self.known) {
                    *octet = byte;
                }
                self.known += 1;
                self.left = self.left.saturating_sub(1);
                if self.left == 0 {
                    return self.named();
                }
            }
            State::ValueLength => {
                self.left = u32::from(byte & 0x7f);
                self.shift = 0;
                self.state = match self.left {
                    0 => State::Field,
                    0x7f => State::LongValueLength,
                    _ => State::Value,
                };
            }
            State::LongValueLength => {
                if self.shift >= LENGTH_BITS {
                    return Break(());
                }
                let more = u32::from(byte & 0x7f) << self.shift;
                self.left = self.left.saturating_add(more);
                self.shift += 7;
                if byte < 0x80 {
                    self.state = State::Value;
                }
            }
            State::Value => {
                self.left = self.left.saturating_sub(1);
                if self.left == 0 {
                    self.state = State::Field;
                }
            }
        }
        Continue(())
    }

    /// The first octet of a field (RFC 7541 section 6). An index that does not fit into it is no pseudo-field's.
    fn begin(&mut self, byte: u8) -> ControlFlow<()> {
        match byte {
            0x80.. => self.indexed(byte & 0x7f, State::Field),
            0x40..0x80 => self.indexed(byte & 0x3f, State::ValueLength),
            0x20..0x40 => {
                if byte & 0x1f == 0x1f {
                    self.state = State::TableSize;
                }
                Continue(())
            }
            0..0x20 => self.indexed(byte & 0x0f, State::ValueLength),
        }
    }

    /// A name by its number (RFC 7541 appendix A); 0 where it follows as text.
    fn indexed(&mut self, index: u8, then: State) -> ControlFlow<()> {
        let letter = match index {
            0 if then == State::ValueLength => {
                self.state = State::NameLength;
                return Continue(());
            }
            1 => b'a',
            2 | 3 => b'm',
            4 | 5 => b'p',
            6 | 7 => b's',
            _ => return Break(()),
        };
        self.order.push(letter);
        self.state = then;
        Continue(())
    }

    /// A name that was written out.
    fn named(&mut self) -> ControlFlow<()> {
        let name = self.name.get(..self.known).unwrap_or_default();
        let is = |known: &[u8]| match self.is_coded {
            true => is_code_of(name, known),
            false => name == known,
        };
        let Some((_, letter)) = NAMES.into_iter().find(|(known, _)| is(known)) else {
            return Break(());
        };
        if let Some(letter) = letter {
            self.order.push(letter);
        }
        self.state = State::ValueLength;
        Continue(())
    }
}

/// Whether these octets are `name` in the Huffman code of RFC 7541 section 5.2, padded with ones.
fn is_code_of(octets: &[u8], name: &[u8]) -> bool {
    let (mut code, mut bits) = (0_u128, 0_usize);
    for &letter in name {
        let (more, length) = code_of(letter);
        code = code << length | more;
        bits += length;
    }
    let padding = bits.next_multiple_of(8) - bits;
    code = code << padding | ((1 << padding) - 1);
    let written = octets
        .iter()
        .fold(0_u128, |all, &octet| all << 8 | u128::from(octet));
    octets.len() * 8 == bits + padding && written == code
}

/// The code of a character of [`NAMES`] (RFC 7541 appendix B), and its length in bits.
fn code_of(letter: u8) -> (u128, usize) {
    match letter {
        b'a' => (0x3, 5),
        b'c' => (0x4, 5),
        b'e' => (0x5, 5),
        b'i' => (0x6, 5),
        b'o' => (0x7, 5),
        b's' => (0x8, 5),
        b't' => (0x9, 5),
        b'd' => (0x24, 6),
        b'h' => (0x27, 6),
        b'l' => (0x28, 6),
        b'm' => (0x29, 6),
        b'p' => (0x2b, 6),
        b'r' => (0x2c, 6),
        b'u' => (0x2d, 6),
        b':' => (0x5c, 7),
        b'y' => (0x7a, 7),
        // No other stands in them; a code of nothing is no name's.
        _ => (0, 0),
    }
}
