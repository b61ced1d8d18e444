//! Content of any size that nobody holds: what is at each place follows from a seed.

/// What is made at once.
pub(super) const PIECE: usize = 64 * 1024;
/// Bytes that one number makes.
const WORD: u64 = 8;
const WORD_BYTES: usize = 8;

/// Content of so many bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Content {
    seed: u64,
    bytes: u64,
}

impl Content {
    pub(super) fn new(seed: u64, bytes: u64) -> Self {
        Self { seed, bytes }
    }

    /// How many there are.
    pub(super) fn bytes(self) -> u64 {
        self.bytes
    }

    /// Its strong validator.
    pub(super) fn tag(self) -> String {
        format!("\"{:x}-{:x}\"", self.seed, self.bytes)
    }

    /// Fills a buffer with what is from `at` on.
    pub(super) fn write(self, at: u64, buffer: &mut [u8]) {
        let mut number = at / WORD;
        let within = usize::try_from(at % WORD).unwrap_or_default();
        let mut rest = buffer;
        if within > 0 {
            let first = self.word(number).to_le_bytes();
            let first = first.get(within..).unwrap_or_default();
            let (head, tail) = rest.split_at_mut(first.len().min(rest.len()));
            head.copy_from_slice(first.get(..head.len()).unwrap_or_default());
            rest = tail;
            number += 1;
        }
        for place in rest.chunks_mut(WORD_BYTES) {
            let word = self.word(number).to_le_bytes();
            place.copy_from_slice(word.get(..place.len()).unwrap_or_default());
            number += 1;
        }
    }

    /// SplitMix64 of place and seed: no piece is like another, wherever it lies.
    fn word(self, number: u64) -> u64 {
        let mut mixed = self
            .seed
            .wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_the_same_from_wherever_it_is_begun() {
        let content = Content::new(7, 1000);
        let mut whole = vec![0; 1000];
        content.write(0, &mut whole);
        for at in [0, 1, 7, 8, 9, 500, 993, 999] {
            let mut part = vec![0; (1000 - at).min(17)];
            content.write(at as u64, &mut part);
            assert_eq!(part, whole[at..at + part.len()], "{at}");
        }
        assert_ne!(whole[..8], whole[8..16]);
    }
}
