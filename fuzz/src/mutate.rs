//! Nearly valid input: pieces of a grammar in a likely order, then a few bytes changed.

/// A small generator of numbers (xorshift64*): the same seed gives the same input, anywhere.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// From any seed.
    pub fn new(seed: u64) -> Random {
        // Neighbouring seeds should not begin alike, and zero would stay zero.
        Random((seed ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9) | 1)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `bound`; 0 when that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX).max(1);
        usize::try_from((self.bits() >> 11) % bound).unwrap_or(0)
    }

    /// One of them.
    pub fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> Option<&'a T> {
        from.get(self.below(from.len())).copied()
    }
}

/// What input is made of.
#[derive(Debug, Clone, Copy)]
pub struct Grammar {
    /// What it begins with.
    pub first: &'static [&'static str],
    /// What follows, any number of times.
    pub then: &'static [&'static str],
    /// What it ends with.
    pub last: &'static [&'static str],
}

/// The most pieces between first and last.
const PIECES: usize = 8;
/// Bytes that mean something to a parser.
const SHARP: &[u8] = b"\r\n\0 \t:;,=\"\\/%?#@[]()<>.*+-0123456789abfzAFZ_\x01\x7f\x80\xff";

impl Grammar {
    /// A sentence of the grammar, often with a fault or two.
    pub fn generate(&self, random: &mut Random) -> Vec<u8> {
        let mut out = Vec::new();
        let add = |out: &mut Vec<u8>, random: &mut Random, from: &[&'static str]| {
            out.extend_from_slice(random.pick(from).unwrap_or_default().as_bytes());
        };
        add(&mut out, random, self.first);
        for _ in 0..random.below(PIECES) {
            add(&mut out, random, self.then);
        }
        add(&mut out, random, self.last);
        // Half of the sentences stay as they are: that two readers agree on good ones matters as much.
        if random.below(2) == 0 {
            for _ in 0..=random.below(3) {
                mutate(&mut out, random);
            }
        }
        out
    }
}

/// The longest input made, so that a run does many rather than long ones; above the largest limit of a head.
const INPUT_BYTES: usize = 64 * 1024;

/// Changes one thing.
pub fn mutate(input: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(input.len() + 1);
    let sharp = SHARP.get(random.below(SHARP.len())).copied().unwrap_or(0);
    match random.below(7) {
        0 => input.insert(at, sharp),
        1 => {
            if let Some(byte) = input.get_mut(at) {
                *byte = sharp;
            }
        }
        2 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        3 if at < input.len() => {
            input.remove(at);
        }
        4 => {
            let end = (at + random.below(24)).min(input.len());
            input.extend_from_within(at..end);
        }
        5 => {
            let piece: Vec<u8> = input
                .iter()
                .skip(at)
                .take(random.below(16))
                .copied()
                .collect();
            let to = random.below(input.len() + 1);
            input.splice(to..to, piece);
        }
        // Seldom: far past a limit.
        6 if random.below(50) == 0 => {
            let filler = vec![sharp; random.below(INPUT_BYTES)];
            input.splice(at..at, filler);
        }
        _ => input.truncate(at),
    }
    input.truncate(INPUT_BYTES);
}
