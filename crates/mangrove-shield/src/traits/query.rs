//! What kind of query: how many parameters, and how much is in their values.

/// Octets of a query that are looked at.
pub const QUERY_BYTES: usize = 256;
/// Whole bits that an octet of a value may have, 0 among them: a target has no more than 94 kinds of characters.
pub const ENTROPY_CLASSES: usize = MOST as usize + 1;

/// A query as far as it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QueryShape {
    /// Parameters, without empty ones.
    pub parameters: u8,
    /// What is in an octet of all values together, in whole bits: Shannon's entropy of how often each character occurs, rounded
    /// down, 0 to 6. Eight characters have 3 at most and sixteen have 4, whatever they are: it tells little of what is short.
    /// Of what is longer, words have 3 to 4, hexadecimal drawn by lot 3, and base64 drawn by lot 4 to 5.
    pub entropy: u8,
}

impl QueryShape {
    /// Of a query without its question mark. What has no `=` is a value; names are not looked at.
    pub fn of(query: &[u8]) -> Self {
        let query = query.get(..QUERY_BYTES).unwrap_or(query);
        let mut parameters = 0_u8;
        let mut values = Values::default();
        for parameter in query.split(|&byte| byte == b'&') {
            if parameter.is_empty() {
                continue;
            }
            parameters = parameters.saturating_add(1);
            let equals = parameter.iter().position(|&byte| byte == b'=');
            let value = match equals {
                Some(at) => parameter.get(at + 1..).unwrap_or_default(),
                None => parameter,
            };
            values.add(value);
        }
        Self {
            parameters,
            entropy: values.entropy(),
        }
    }
}

/// How often each character occurred, and the sum of `c log c` of these counts.
#[derive(Debug)]
struct Values {
    counts: [u16; 128],
    octets: usize,
    sum: u32,
}

impl Default for Values {
    fn default() -> Self {
        Self {
            counts: [0; 128],
            octets: 0,
            sum: 0,
        }
    }
}

impl Values {
    fn add(&mut self, value: &[u8]) {
        for &byte in value {
            // A target is ASCII; of what is not, two share a count.
            if let Some(count) = self.counts.get_mut(usize::from(byte & 0x7f)) {
                let before = weight(usize::from(*count));
                *count += 1;
                self.sum += weight(usize::from(*count)) - before;
            }
        }
        self.octets += value.len();
    }

    /// Of `n` octets, `log n` less the sum by `n`.
    fn entropy(&self) -> u8 {
        let octets = u32::try_from(self.octets).unwrap_or(u32::MAX);
        let all = weight(self.octets).saturating_sub(self.sum);
        let bits = (all >> FRACTION).checked_div(octets).unwrap_or(0);
        u8::try_from(bits.min(MOST)).unwrap_or(0)
    }
}

/// The last of [`ENTROPY_CLASSES`].
const MOST: u32 = 6;

/// Bits behind the point.
const FRACTION: u32 = 12;

#[inline]
fn weight(count: usize) -> u32 {
    WEIGHTS.get(count).copied().unwrap_or(0)
}

/// `c log c`, of as many as may be looked at.
// Runs while compiling, where a panic is an error message; a count is at most 256.
#[allow(clippy::indexing_slicing, clippy::cast_possible_truncation)]
static WEIGHTS: [u32; QUERY_BYTES + 1] = {
    let mut table = [0; QUERY_BYTES + 1];
    let mut count = 1;
    while count < table.len() {
        table[count] = count as u32 * logarithm(count as u32);
        count += 1;
    }
    table
};

/// To the base 2, with [`FRACTION`] bits behind the point.
const fn logarithm(number: u32) -> u32 {
    let mut bits = number.ilog2();
    // From 1 to 2, with 31 bits behind the point: each squaring tells one bit more.
    let mut rest = (number as u64) << (31 - bits);
    let mut known = 0;
    while known < FRACTION {
        rest = (rest * rest) >> 31;
        let is_over = rest >= 1 << 32;
        if is_over {
            rest >>= 1;
        }
        bits = bits << 1 | is_over as u32;
        known += 1;
    }
    bits
}
