//! The work itself: content in pieces, coded into pieces.

use std::io::{self, Read, Write};

use brotli::enc::BrotliEncoderParams;
use bytes::Bytes;
use thiserror::Error;

use super::Coding;
use crate::body::CHUNK_BYTES;

/// Bytes of content between two looks at whether the work is still wanted.
pub const STEP_BYTES: usize = 64 * 1024;
/// What a coded form must save to be worth its memory: one byte in so many.
pub(crate) const SAVED_PART: usize = 16;
/// The base-2 logarithm of brotli's window: its format's default, 4 MiB.
pub(crate) const BROTLI_WINDOW: i32 = 22;
/// The window that a client must have for `zstd` (RFC 9659 section 3): 8 MiB.
pub(crate) const ZSTD_WINDOW: u32 = 23;
pub(crate) const BROTLI_BUFFER: usize = 16 * 1024;

/// Why there is no coded form.
#[derive(Debug, Error)]
pub enum NotEncoded {
    /// It saves less than a sixteenth.
    #[error("coding would save less than a sixteenth: keep it as it is")]
    NotSmaller,
    /// Nobody waits for it any more.
    #[error("nobody waits for the coded content any more")]
    Unwanted,
    /// The coder failed.
    #[error("the {} coder failed: keep the content as it is", coding.name())]
    Failed {
        /// Which.
        coding: Coding,
        /// How.
        source: io::Error,
    },
}

/// Codes `content` whole, in pieces of [`CHUNK_BYTES`] but for the last. `level` is on the coding's own scale, and is
/// brought into [`Coding::levels`].
///
/// Gives up when the result would save less than a sixteenth, and within [`STEP_BYTES`] of content once `is_wanted` says no.
/// Empty content saves nothing.
pub fn encode(
    coding: Coding,
    level: u8,
    content: &[Bytes],
    is_wanted: impl Fn() -> bool,
) -> Result<Vec<Bytes>, NotEncoded> {
    let length: usize = content.iter().map(Bytes::len).sum();
    let level = level.clamp(*coding.levels().start(), *coding.levels().end());
    let most = length - length / SAVED_PART;
    if most == length {
        return Err(NotEncoded::NotSmaller);
    }
    let mut source = Source {
        pieces: content,
        position: 0,
        is_wanted,
        unwanted: false,
    };
    let mut sink = Sink {
        pieces: Vec::new(),
        filling: Vec::new(),
        left: most,
        full: false,
    };
    let result = match coding {
        Coding::Zstd => zstd(level, length, &mut source, &mut sink),
        Coding::Br => brotli(level, length, &mut source, &mut sink),
        Coding::Gzip => gzip(level, &mut source, &mut sink),
    };
    match result {
        _ if source.unwanted => Err(NotEncoded::Unwanted),
        _ if sink.full => Err(NotEncoded::NotSmaller),
        Ok(()) => Ok(sink.finish()),
        Err(source) => Err(NotEncoded::Failed { coding, source }),
    }
}

fn zstd(level: u8, length: usize, source: &mut impl Read, sink: &mut Sink) -> io::Result<()> {
    let mut encoder = ::zstd::Encoder::new(sink, i32::from(level))?;
    encoder.set_pledged_src_size(u64::try_from(length).ok())?;
    if length >= 1 << ZSTD_WINDOW {
        encoder.window_log(ZSTD_WINDOW)?;
    }
    carry(source, &mut encoder)?;
    encoder.finish().map(drop)
}

fn brotli(level: u8, length: usize, source: &mut impl Read, sink: &mut Sink) -> io::Result<()> {
    let parameters = BrotliEncoderParams {
        quality: i32::from(level),
        lgwin: BROTLI_WINDOW,
        size_hint: length,
        ..BrotliEncoderParams::default()
    };
    let (mut taken, mut given) = (vec![0; BROTLI_BUFFER], vec![0; BROTLI_BUFFER]);
    brotli::BrotliCompressCustomAlloc(
        source,
        sink,
        &mut taken,
        &mut given,
        &parameters,
        brotli::enc::StandardAlloc::default(),
    )
    .map(drop)
}

fn gzip(level: u8, source: &mut impl Read, sink: &mut Sink) -> io::Result<()> {
    let mut encoder =
        flate2::write::GzEncoder::new(sink, flate2::Compression::new(u32::from(level)));
    carry(source, &mut encoder)?;
    encoder.finish().map(drop)
}

fn carry(source: &mut impl Read, into: &mut impl Write) -> io::Result<()> {
    let mut step = vec![0; STEP_BYTES];
    loop {
        match source.read(&mut step)? {
            0 => return Ok(()),
            read => into.write_all(step.get(..read).unwrap_or_default())?,
        }
    }
}

/// The content, read from its first piece to its last while it is wanted.
struct Source<'a, W> {
    pieces: &'a [Bytes],
    position: usize,
    is_wanted: W,
    unwanted: bool,
}

impl<W: Fn() -> bool> Read for Source<'_, W> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if !(self.is_wanted)() {
            self.unwanted = true;
            return Err(io::Error::other("unwanted"));
        }
        let mut written = 0;
        while let Some((piece, others)) = self.pieces.split_first() {
            let Some(room) = out.get_mut(written..).filter(|room| !room.is_empty()) else {
                break;
            };
            let rest = piece.get(self.position..).unwrap_or_default();
            let now = rest.len().min(room.len());
            if let (Some(from), Some(to)) = (rest.get(..now), room.get_mut(..now)) {
                to.copy_from_slice(from);
            }
            written += now;
            self.position += now;
            if self.position >= piece.len() {
                self.pieces = others;
                self.position = 0;
            }
        }
        Ok(written)
    }
}

/// What was coded so far.
struct Sink {
    pieces: Vec<Bytes>,
    filling: Vec<u8>,
    /// Bytes that may still come.
    left: usize,
    full: bool,
}

impl Sink {
    /// All of it, in no more memory than it needs.
    fn finish(mut self) -> Vec<Bytes> {
        if !self.filling.is_empty() {
            self.pieces
                .push(Bytes::from(self.filling.into_boxed_slice()));
        }
        self.pieces
    }
}

impl Write for Sink {
    fn write(&mut self, coded: &[u8]) -> io::Result<usize> {
        let Some(left) = self.left.checked_sub(coded.len()) else {
            self.full = true;
            return Err(io::Error::other("not smaller"));
        };
        self.left = left;
        let mut rest = coded;
        while !rest.is_empty() {
            let room = CHUNK_BYTES - self.filling.len();
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.filling.extend_from_slice(now);
            rest = later;
            if self.filling.len() == CHUNK_BYTES {
                let full = std::mem::take(&mut self.filling);
                self.pieces.push(Bytes::from(full.into_boxed_slice()));
            }
        }
        Ok(coded.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::Cell;

    /// What a client makes of it, with no more window than RFC 9659 lets it have.
    pub(in super::super) fn decode(coding: Coding, coded: &[Bytes]) -> Vec<u8> {
        let coded: Vec<u8> = coded.concat();
        let mut content = Vec::new();
        let read = match coding {
            Coding::Zstd => {
                let mut decoder = ::zstd::Decoder::new(&coded[..]).unwrap();
                decoder.window_log_max(ZSTD_WINDOW).unwrap();
                decoder.read_to_end(&mut content)
            }
            Coding::Br => brotli::Decompressor::new(&coded[..], 4096).read_to_end(&mut content),
            Coding::Gzip => flate2::read::GzDecoder::new(&coded[..]).read_to_end(&mut content),
        };
        read.expect("what we coded is well-formed");
        content
    }

    /// Text with the redundancy of markup, by chance but the same each time.
    pub(in super::super) fn markup(length: usize) -> Vec<u8> {
        let mut chance = 1_u32;
        let mut text = Vec::with_capacity(length + 64);
        while text.len() < length {
            chance ^= chance << 13;
            chance ^= chance >> 17;
            chance ^= chance << 5;
            text.extend_from_slice(
                format!("<li class=\"c{}\">{chance:x}</li>\n", chance % 7).as_bytes(),
            );
        }
        text.truncate(length);
        text
    }

    fn pieces(content: &[u8], size: usize) -> Vec<Bytes> {
        content.chunks(size).map(Bytes::copy_from_slice).collect()
    }

    fn noise(length: usize) -> Vec<u8> {
        let mut chance = 1_u64;
        std::iter::repeat_with(|| {
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            chance.to_be_bytes()[3]
        })
        .take(length)
        .collect()
    }

    #[test]
    fn empty_content_and_noise_are_left_as_they_are() {
        for coding in Coding::ALL {
            for content in [Vec::new(), b"0123456789".to_vec(), noise(100_000)] {
                let encoded = encode(coding, 6, &pieces(&content, 9_000), || true);
                assert!(matches!(encoded, Err(NotEncoded::NotSmaller)), "{coding:?}");
            }
        }
    }

    #[test]
    fn ten_mebibytes_come_in_chunks_and_back() {
        let content = markup(10 << 20);
        for coding in Coding::ALL {
            let lowest = *coding.levels().start();
            let coded = encode(coding, lowest, &pieces(&content, CHUNK_BYTES), || true).unwrap();
            let (last, others) = coded.split_last().unwrap();
            assert!(!others.is_empty() && others.iter().all(|piece| piece.len() == CHUNK_BYTES));
            assert!(!last.is_empty() && last.len() <= CHUNK_BYTES);
            assert!(decode(coding, &coded) == content, "{coding:?}");
        }
    }

    #[test]
    fn what_nobody_wants_ends_within_a_step() {
        let content = pieces(&markup(4 << 20), CHUNK_BYTES);
        for coding in Coding::ALL {
            let looks = Cell::new(0);
            let encoded = encode(coding, 1, &content, || {
                looks.set(looks.get() + 1);
                looks.get() < 3
            });
            assert!(matches!(encoded, Err(NotEncoded::Unwanted)), "{coding:?}");
            assert_eq!(looks.get(), 3, "{coding:?}");
        }
    }

    #[test]
    fn a_level_that_is_none_is_brought_into_range() {
        let content = pieces(&markup(10_000), 1_000);
        for coding in Coding::ALL {
            for level in [0, u8::MAX] {
                let coded = encode(coding, level, &content, || true).unwrap();
                assert_eq!(decode(coding, &coded), content.concat());
            }
        }
    }

    proptest! {
        /// Any content in any pieces: what a client decodes is what there was, and it is smaller by what was promised.
        #[test]
        fn round_trip(
            words in proptest::collection::vec("[a-f]{0,12}", 0..2_000),
            repeats in 1_usize..20,
            size in 1_usize..9_000,
            effort in 0_u8..6,
        ) {
            let content = words.join(" ").repeat(repeats).into_bytes();
            for coding in Coding::ALL {
                match encode(coding, effort, &pieces(&content, size), || true) {
                    Ok(coded) => {
                        let length: usize = coded.iter().map(Bytes::len).sum();
                        prop_assert!(length <= content.len() - content.len() / SAVED_PART);
                        prop_assert_eq!(decode(coding, &coded), content.clone());
                    }
                    Err(why) => prop_assert!(matches!(why, NotEncoded::NotSmaller)),
                }
            }
        }
    }
}
