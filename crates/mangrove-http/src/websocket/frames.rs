//! The frames that a WebSocket's client sends (RFC 6455 section 5), as far as their heads tell: how long a message is, and how many
//! there are. What is in them is not looked at, nor held.

/// Octets of the longest head: two, eight of length, four of mask.
const HEAD_BYTES: usize = 14;
/// The longest payload of a control frame (section 5.5).
const CONTROL_BYTES: u64 = 125;

/// What is wrong with a client's frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameFault {
    /// A message is longer than allowed, all its fragments together.
    #[error("the message is longer than allowed")]
    TooLong,
    /// No frame begins like this.
    #[error("the frame is malformed")]
    Malformed,
}

/// Reads the heads of a client's frames, in whatever pieces they come.
#[derive(Clone, Debug)]
pub struct ClientFrames {
    most: u64,
    head: [u8; HEAD_BYTES],
    known: usize,
    /// Of the frame's payload, what is still to come.
    left: u64,
    /// Of the message so far; none between messages.
    message: Option<u64>,
}

impl ClientFrames {
    /// Whose messages may have so many bytes.
    pub fn new(most: u64) -> Self {
        Self {
            most,
            head: [0; HEAD_BYTES],
            known: 0,
            left: 0,
            message: None,
        }
    }

    /// Reads what comes next; says how many frames began.
    ///
    /// # Errors
    /// As soon as it is certain, which for a message that is too long is before it has come.
    pub fn read(&mut self, mut bytes: &[u8]) -> Result<u32, FrameFault> {
        let mut begun = 0;
        loop {
            let passed = usize::try_from(self.left)
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            self.left -= passed as u64;
            bytes = bytes.get(passed..).unwrap_or_default();
            let Some((&next, rest)) = bytes.split_first() else {
                return Ok(begun);
            };
            bytes = rest;
            if let Some(octet) = self.head.get_mut(self.known) {
                *octet = next;
            }
            self.known += 1;
            if self.known >= 2 && self.known == self.head_length()? {
                self.left = self.begin()?;
                self.known = 0;
                begun += 1;
            }
        }
    }

    /// How long the head is, by its second octet.
    fn head_length(&self) -> Result<usize, FrameFault> {
        let [_, second, ..] = self.head;
        if second & 0x80 == 0 {
            return Err(FrameFault::Malformed); // what a client sends is masked (section 5.1)
        }
        Ok(match second & 0x7f {
            127 => HEAD_BYTES,
            126 => 8,
            _ => 6,
        })
    }

    /// The head is whole; gives the length of its payload.
    fn begin(&mut self) -> Result<u64, FrameFault> {
        let [first, second, a, b, c, d, e, f, g, h, ..] = self.head;
        let length = match second & 0x7f {
            127 => u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            126 => u64::from(u16::from_be_bytes([a, b])),
            short => u64::from(short),
        };
        let (is_last, opcode) = (first & 0x80 != 0, first & 0x0f);
        if length >> 63 != 0 {
            return Err(FrameFault::Malformed);
        }
        let before = match (opcode, self.message) {
            (8..=10, _) if is_last && length <= CONTROL_BYTES => return Ok(length),
            (0, Some(before)) => before,
            (1 | 2, None) => 0,
            _ => return Err(FrameFault::Malformed),
        };
        let message = before.saturating_add(length);
        if message > self.most {
            return Err(FrameFault::TooLong);
        }
        self.message = (!is_last).then_some(message);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LAST: u8 = 0x80;

    fn frame(first: u8, length: usize) -> Vec<u8> {
        let mut frame = vec![first];
        match length {
            0..126 => frame.push(0x80 | u8::try_from(length).unwrap()),
            126..0x1_0000 => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                frame.push(0x80 | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend([1, 2, 3, 4]);
        frame.resize(frame.len() + length, 0xff);
        frame
    }

    fn read(most: u64, frames: &[Vec<u8>]) -> Result<u32, FrameFault> {
        ClientFrames::new(most).read(&frames.concat())
    }

    #[test]
    fn a_message_at_its_ceiling_passes_and_one_byte_more_does_not() {
        for most in [1, 125, 126, 65_535, 65_536, 100_000] {
            let length = usize::try_from(most).unwrap();
            assert_eq!(
                read(most, &[frame(LAST | 2, length), frame(LAST | 1, length)]),
                Ok(2)
            );
            assert_eq!(
                read(most, &[frame(LAST | 2, length + 1)]),
                Err(FrameFault::TooLong)
            );
        }
        // In fragments, with something between them.
        let fragments = |last| {
            [
                frame(2, 6),
                frame(LAST | 9, 4),
                frame(0, 3),
                frame(LAST, last),
            ]
        };
        assert_eq!(read(10, &fragments(1)), Ok(4));
        assert_eq!(read(10, &fragments(2)), Err(FrameFault::TooLong));
    }

    #[test]
    fn a_message_that_is_too_long_is_known_by_its_head() {
        let long = frame(LAST | 2, 70_000);
        assert_eq!(
            ClientFrames::new(60_000).read(&long[..14]),
            Err(FrameFault::TooLong)
        );
    }

    #[test]
    fn what_is_no_frame_of_a_client_is_malformed() {
        let unmasked = vec![LAST | 1, 5];
        let endless = vec![LAST | 2, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4];
        let rows = [
            vec![unmasked],
            vec![endless],
            vec![frame(LAST | 3, 1)],
            vec![frame(LAST | 11, 1)],
            vec![frame(9, 1)],
            vec![frame(LAST | 9, 126)],
            vec![frame(LAST, 1)],
            vec![frame(1, 1), frame(LAST | 1, 1)],
        ];
        for frames in rows {
            assert_eq!(
                read(1_000, &frames),
                Err(FrameFault::Malformed),
                "{frames:?}"
            );
        }
        // Reserved bits belong to extensions, such as compression (RFC 7692).
        assert_eq!(read(1_000, &[frame(LAST | 0x40 | 1, 1)]), Ok(1));
    }

    proptest! {
        #[test]
        fn frames_are_the_same_in_whatever_pieces_they_come(
            lengths in prop::collection::vec(0_usize..70_000, 1..5),
            cuts in prop::collection::vec(1_usize..5_000, 1..20),
        ) {
            let frames: Vec<Vec<u8>> = lengths.iter().map(|length| frame(LAST | 1, *length)).collect();
            let bytes = frames.concat();
            let (mut reader, mut rest, mut begun) = (ClientFrames::new(70_000), &bytes[..], 0);
            for cut in cuts.iter().cycle() {
                let (piece, later) = rest.split_at((*cut).min(rest.len()));
                begun += reader.read(piece).unwrap();
                rest = later;
                if rest.is_empty() { break; }
            }
            prop_assert_eq!(begun as usize, lengths.len());
            prop_assert_eq!((reader.left, reader.known), (0, 0));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..2_000), most: u64) {
            let _ = ClientFrames::new(most).read(&bytes);
        }
    }
}
