//! Where a body ends: one decoder for requests and responses.

use std::ops::Range;

use crate::field::{Field, HeadFault, Lines, Span, read_field_line};
use crate::known::Known;
use crate::message::BodyFraming;
use crate::origin_fault::OriginFault;
use crate::refusal::Refusal;
use crate::response::ResponseFraming;

/// Digits of a chunk size: as many as a 64-bit number has.
pub const CHUNK_SIZE_DIGITS: u8 = 16;
/// Bytes of the extensions of one chunk. They are read and dropped; real ones are a signature of some 90 bytes.
pub const CHUNK_EXTENSION_BYTES: u32 = 256;
/// Bytes of all extensions in one body: a client cannot have us read extensions instead of data for long.
pub const CHUNK_EXTENSIONS_TOTAL: u32 = 16 * 1024;
/// Bytes of the trailer section. gRPC puts its error details there.
pub const TRAILER_BYTES: usize = 16 * 1024;
/// Lines of the trailer section.
pub const TRAILER_FIELDS: usize = 32;

/// What is wrong with a body; becomes a [`Refusal`] or an [`OriginFault`] depending on who sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BodyFault {
    /// A chunk does not begin with hexadecimal digits and CR LF, or an extension begins without `;`.
    MalformedChunkSize,
    /// More than [`CHUNK_SIZE_DIGITS`].
    ChunkSizeTooLarge,
    /// More than [`CHUNK_EXTENSION_BYTES`] in a chunk, or [`CHUNK_EXTENSIONS_TOTAL`] in the body.
    ChunkExtensionTooLong,
    /// The data of a chunk is not followed by CR LF.
    MalformedChunkEnding,
    /// A line of the chunk framing or of the trailers ends in LF alone.
    BareLf,
    /// A trailer line is not a field line.
    MalformedTrailer,
    /// More than [`TRAILER_BYTES`] or [`TRAILER_FIELDS`].
    TrailersTooLarge,
    /// The connection ended before the body did.
    EndedEarly,
}

impl From<BodyFault> for Refusal {
    fn from(fault: BodyFault) -> Refusal {
        match fault {
            BodyFault::MalformedChunkSize => Refusal::MalformedChunkSize,
            BodyFault::ChunkSizeTooLarge => Refusal::ChunkSizeTooLarge,
            BodyFault::ChunkExtensionTooLong => Refusal::ChunkExtensionTooLong,
            BodyFault::MalformedChunkEnding => Refusal::MalformedChunkEnding,
            BodyFault::BareLf => Refusal::BareLfInChunk,
            BodyFault::MalformedTrailer => Refusal::MalformedTrailer,
            BodyFault::TrailersTooLarge => Refusal::TrailersTooLarge,
            BodyFault::EndedEarly => Refusal::BodyEndedEarly,
        }
    }
}

impl From<BodyFault> for OriginFault {
    fn from(fault: BodyFault) -> OriginFault {
        match fault {
            BodyFault::MalformedChunkSize => OriginFault::MalformedChunkSize,
            BodyFault::ChunkSizeTooLarge => OriginFault::ChunkSizeTooLarge,
            BodyFault::ChunkExtensionTooLong => OriginFault::ChunkExtensionTooLong,
            BodyFault::MalformedChunkEnding => OriginFault::MalformedChunkEnding,
            BodyFault::BareLf => OriginFault::BareLfInChunk,
            BodyFault::MalformedTrailer => OriginFault::MalformedTrailer,
            BodyFault::TrailersTooLarge => OriginFault::TrailersTooLarge,
            BodyFault::EndedEarly => OriginFault::EndedEarly,
        }
    }
}

/// One step of [`BodyDecoder::decode`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// Nothing but framing in the input, all of it read: drop `consumed` bytes and come back with more.
    NeedMore {
        /// Bytes of the input that are done with: all of them.
        consumed: usize,
    },
    /// Body bytes lie in this part of the input, never empty. Everything up to `range.end` is done with.
    Data {
        /// Where the bytes lie.
        range: Range<usize>,
    },
    /// The body is over. Whatever follows the first `consumed` bytes belongs to the next message.
    End {
        /// Bytes of the input that are done with.
        consumed: usize,
    },
}

/// Finds the data in a body as its bytes arrive, without copying them.
///
/// It remembers where it is, so that every byte is handed in once: after each step the caller drops what was consumed.
/// Keeps no memory but for trailers, at most [`TRAILER_BYTES`].
#[derive(Debug)]
pub struct BodyDecoder {
    state: State,
    extension_bytes: u32,
    extensions_total: u32,
    trailers: Trailers,
    trailer_line: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Length(u64),
    UntilClose,
    /// Reading the size of a chunk: its value and digits so far.
    Size {
        value: u64,
        digits: u8,
    },
    /// White space after the size: only `;` may follow (BWS, RFC 9112 section 7.1.1).
    SpaceAfterSize {
        value: u64,
    },
    Extension {
        value: u64,
    },
    SizeLf {
        value: u64,
    },
    Chunk(u64),
    ChunkCr,
    ChunkLf,
    Trailer,
    TrailerLf,
    End,
}

impl BodyDecoder {
    /// For the body of a request.
    pub fn for_request(framing: BodyFraming) -> Self {
        Self::new(match framing {
            BodyFraming::None => State::End,
            BodyFraming::Length(length) => State::Length(length),
            BodyFraming::Chunked => State::Size {
                value: 0,
                digits: 0,
            },
        })
    }

    /// For the body of a response.
    pub fn for_response(framing: ResponseFraming) -> Self {
        Self::new(match framing {
            ResponseFraming::None => State::End,
            ResponseFraming::Length(length) => State::Length(length),
            ResponseFraming::Chunked => State::Size {
                value: 0,
                digits: 0,
            },
            ResponseFraming::UntilClose => State::UntilClose,
        })
    }

    fn new(state: State) -> Self {
        let state = if state == State::Length(0) {
            State::End
        } else {
            state
        };
        BodyDecoder {
            state,
            extension_bytes: 0,
            extensions_total: 0,
            trailers: Trailers::default(),
            trailer_line: 0,
        }
    }

    /// Looks at everything read and not yet consumed, and takes one step. Empty input is fine.
    ///
    /// After an error the decoder is of no more use, and neither is the connection.
    pub fn decode(&mut self, input: &[u8]) -> Result<Decoded, BodyFault> {
        let mut at = 0;
        loop {
            match self.state {
                State::End => return Ok(Decoded::End { consumed: at }),
                State::Length(left) => {
                    return Ok(match take(left, at, input.len()) {
                        None => Decoded::NeedMore { consumed: at },
                        Some((range, 0)) => self.data(range, State::End),
                        Some((range, left)) => self.data(range, State::Length(left)),
                    });
                }
                State::Chunk(left) => {
                    return Ok(match take(left, at, input.len()) {
                        None => Decoded::NeedMore { consumed: at },
                        Some((range, 0)) => self.data(range, State::ChunkCr),
                        Some((range, left)) => self.data(range, State::Chunk(left)),
                    });
                }
                State::UntilClose => {
                    return Ok(match take(u64::MAX, at, input.len()) {
                        None => Decoded::NeedMore { consumed: at },
                        Some((range, _)) => self.data(range, State::UntilClose),
                    });
                }
                _ => {
                    let Some(&byte) = input.get(at) else {
                        return Ok(Decoded::NeedMore { consumed: at });
                    };
                    at += 1;
                    self.state = self.framing_byte(byte)?;
                }
            }
        }
    }

    /// Whether the body is over. True from the start when there is none.
    pub fn at_end(&self) -> bool {
        self.state == State::End
    }

    /// The connection ended: right where the framing says so, or for a body until close; a fault anywhere else.
    pub fn on_eof(&mut self) -> Result<(), BodyFault> {
        match self.state {
            State::End => Ok(()),
            State::UntilClose => {
                self.state = State::End;
                Ok(())
            }
            _ => Err(BodyFault::EndedEarly),
        }
    }

    /// How many bytes are still to come, when that is known.
    pub fn remaining(&self) -> Option<u64> {
        match self.state {
            State::Length(left) => Some(left),
            State::End => Some(0),
            _ => None,
        }
    }

    /// The trailers, complete once the body is over. Without those that must not be there (RFC 9110 section 6.5.1).
    pub fn trailers(&self) -> &Trailers {
        &self.trailers
    }

    fn data(&mut self, range: Range<usize>, next: State) -> Decoded {
        self.state = next;
        Decoded::Data { range }
    }

    /// One byte of chunk framing (RFC 9112 section 7.1).
    fn framing_byte(&mut self, byte: u8) -> Result<State, BodyFault> {
        Ok(match (self.state, byte) {
            (State::Size { value, digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                if digits >= CHUNK_SIZE_DIGITS {
                    return Err(BodyFault::ChunkSizeTooLarge);
                }
                State::Size {
                    value: value << 4 | u64::from(hex_value(byte)),
                    digits: digits + 1,
                }
            }
            (State::Size { digits: 0, .. }, _) => return Err(BodyFault::MalformedChunkSize),
            (State::Size { value, .. }, b'\r') | (State::Extension { value }, b'\r') => {
                State::SizeLf { value }
            }
            (
                State::Size { .. } | State::SpaceAfterSize { .. } | State::Extension { .. },
                b'\n',
            ) => {
                return Err(BodyFault::BareLf);
            }
            (State::Size { value, .. } | State::SpaceAfterSize { value }, b' ' | b'\t') => {
                self.count_extension()?;
                State::SpaceAfterSize { value }
            }
            (State::Size { value, .. } | State::SpaceAfterSize { value }, b';') => {
                self.count_extension()?;
                State::Extension { value }
            }
            (State::Extension { value }, b'\t' | b' '..=b'~' | 0x80..) => {
                self.count_extension()?;
                State::Extension { value }
            }
            (State::SizeLf { value }, b'\n') => {
                self.extension_bytes = 0;
                if value == 0 {
                    State::Trailer
                } else {
                    State::Chunk(value)
                }
            }
            (
                State::Size { .. }
                | State::SpaceAfterSize { .. }
                | State::Extension { .. }
                | State::SizeLf { .. },
                _,
            ) => {
                return Err(BodyFault::MalformedChunkSize);
            }
            (State::ChunkCr, b'\r') => State::ChunkLf,
            (State::ChunkCr, b'\n') => return Err(BodyFault::BareLf),
            (State::ChunkLf, b'\n') => State::Size {
                value: 0,
                digits: 0,
            },
            (State::ChunkCr | State::ChunkLf, _) => return Err(BodyFault::MalformedChunkEnding),
            (State::Trailer, b'\r') => State::TrailerLf,
            (State::Trailer, b'\n') => return Err(BodyFault::BareLf),
            (State::Trailer, _) => {
                self.trailers.octets.push(byte);
                if self.trailers.octets.len() > TRAILER_BYTES {
                    return Err(BodyFault::TrailersTooLarge);
                }
                State::Trailer
            }
            (State::TrailerLf, b'\n') => self.end_trailer_line()?,
            (State::TrailerLf, _) => return Err(BodyFault::MalformedTrailer),
            (State::Length(_) | State::UntilClose | State::Chunk(_) | State::End, _) => self.state,
        })
    }

    fn count_extension(&mut self) -> Result<(), BodyFault> {
        self.extension_bytes += 1;
        self.extensions_total += 1;
        if self.extension_bytes > CHUNK_EXTENSION_BYTES
            || self.extensions_total > CHUNK_EXTENSIONS_TOTAL
        {
            return Err(BodyFault::ChunkExtensionTooLong);
        }
        Ok(())
    }

    fn end_trailer_line(&mut self) -> Result<State, BodyFault> {
        let line = Span::new(self.trailer_line, self.trailers.octets.len());
        if line.is_empty() {
            return Ok(State::End);
        }
        self.trailer_line = line.end();
        self.trailers.read_line(line)?;
        Ok(State::Trailer)
    }
}

/// The part of the input that belongs to the next `left` bytes of data, and what is left after it.
fn take(left: u64, at: usize, available: usize) -> Option<(Range<usize>, u64)> {
    let wanted = usize::try_from(left).unwrap_or(usize::MAX);
    let length = available.saturating_sub(at).min(wanted);
    (length > 0).then(|| (at..at + length, left.saturating_sub(length as u64)))
}

const fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// The fields after a body (RFC 9110 section 6.5), without those that must not be there.
#[derive(Debug, Default)]
pub struct Trailers {
    octets: Vec<u8>,
    lines: Lines,
    /// Lines read, also those dropped.
    read: usize,
}

impl Trailers {
    /// No trailers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lines.len() == 0
    }

    /// Every trailer, in order.
    pub fn fields(&self) -> impl DoubleEndedIterator<Item = Field<'_>> + Clone {
        self.lines.fields(&self.octets)
    }

    /// Adds one that came by HTTP/2, by the same rules: checked, counted, and dropped when it must not be a trailer.
    pub fn push_field(&mut self, name: &[u8], value: &[u8]) -> Result<(), BodyFault> {
        let start = self.octets.len();
        if start + name.len() + value.len() + 1 > TRAILER_BYTES {
            return Err(BodyFault::TrailersTooLarge);
        }
        self.octets.extend_from_slice(name);
        self.octets.push(b':');
        self.octets.extend_from_slice(value);
        let line = Span::new(start, self.octets.len());
        let colon = start + name.len();
        let (read_name, _) = self.read_line(line)?;
        if read_name.end() == colon {
            Ok(())
        } else {
            Err(BodyFault::MalformedTrailer)
        }
    }

    fn read_line(&mut self, line: Span) -> Result<(Span, Span), BodyFault> {
        self.read += 1;
        if self.read > TRAILER_FIELDS {
            return Err(BodyFault::TrailersTooLarge);
        }
        let malformed = |_: HeadFault| BodyFault::MalformedTrailer;
        if let Some(fault) = crate::field::control_fault(line.of(&self.octets)) {
            return Err(malformed(fault));
        }
        let (name, value) = read_field_line(&self.octets, line).map_err(malformed)?;
        if !Known::of(name.of(&self.octets)).is_forbidden_in_trailers() {
            self.lines.push(&self.octets, name, value);
        }
        Ok((name, value))
    }
}

/// The most bytes [`chunk_head`] writes: 16 digits and CR LF.
pub const CHUNK_HEAD_BYTES: usize = 18;

/// Writes the size line of a chunk into `out`. After it come `length` bytes of data and CR LF.
///
/// Not for a length of 0, which would end the body: see [`write_last_chunk`].
pub fn chunk_head(length: usize, out: &mut [u8; CHUNK_HEAD_BYTES]) -> &[u8] {
    let [digits @ .., cr, lf] = out;
    (*cr, *lf) = (b'\r', b'\n');
    let mut start = digits.len();
    let mut left = length;
    for slot in digits.iter_mut().rev() {
        *slot = b"0123456789abcdef".get(left % 16).copied().unwrap_or(b'0');
        start -= 1;
        left /= 16;
        if left == 0 {
            break;
        }
    }
    out.get(start..).unwrap_or_default()
}

/// Appends the last chunk, the trailers and the empty line.
pub fn write_last_chunk<'a>(trailers: impl IntoIterator<Item = Field<'a>>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    for field in trailers {
        write_field(field.name, field.value, out);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends `name: value` and CR LF. Both come from a head or are our own: neither is checked here.
pub fn write_field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
