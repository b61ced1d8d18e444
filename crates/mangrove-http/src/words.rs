//! Eight octets looked at as one number: what reading a head spends most of its time on, without a branch for each octet.
//!
//! The first octet is the lowest byte, so that the number of trailing zeros of a mask tells where the first match lies.
//! A mask of this module has the highest bit of a byte set for each match; of several bits only the lowest is exact, since
//! a subtraction may borrow from the byte above a match.

/// Octets in a word.
pub(crate) const WORD: usize = 8;

/// Every byte of a word is this one.
pub(crate) const fn every(byte: u8) -> u64 {
    u64::from_le_bytes([byte; WORD])
}

const HIGH_BITS: u64 = every(0x80);

/// The eight octets at `at`, with zeros where fewer are left.
#[inline]
pub(crate) fn word_at(octets: &[u8], at: usize) -> u64 {
    match octets.get(at..at + WORD).map(<[u8; WORD]>::try_from) {
        Some(Ok(word)) => u64::from_le_bytes(word),
        _ => rest_at(octets, at),
    }
}

/// Fewer than eight octets at `at`, with zeros behind them.
#[cold]
#[inline(never)]
fn rest_at(octets: &[u8], at: usize) -> u64 {
    let rest = octets.get(at..).unwrap_or_default().iter();
    rest.rev()
        .fold(0, |word, &byte| word << 8 | u64::from(byte))
}

/// The octets of `word` before the first that is marked, zeros behind them; one has to be marked.
#[inline]
pub(crate) const fn until_first(word: u64, mask: u64) -> u64 {
    word & ((1 << (mask.trailing_zeros() & 0x38)) - 1)
}

/// Marks octets that are `byte`.
#[inline]
pub(crate) const fn is(word: u64, byte: u8) -> u64 {
    below(word ^ every(byte), 1)
}

/// Marks octets below `limit`, which is at most 0x80.
#[inline]
pub(crate) const fn below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(every(limit)) & !word & HIGH_BITS
}

/// How many octets lie before the first that is marked: eight where none is.
#[inline]
pub(crate) const fn before_first(mask: u64) -> usize {
    (mask.trailing_zeros() / 8) as usize
}

/// The word with `A` to `Z` in lower case; nothing else is changed.
#[inline]
pub(crate) const fn lower_case(word: u64) -> u64 {
    let seven_bits = word & !HIGH_BITS;
    let from_a = seven_bits + every(0x80 - b'A');
    let beyond_z = seven_bits + every(0x7f - b'Z');
    let upper = (from_a ^ beyond_z) & !word & HIGH_BITS;
    word | upper >> 2
}

/// Octets that [`find`] looks at together: the compiler makes a few vector instructions of a block.
const BLOCK: usize = 16;

/// Where the first octet lies that `sought` is true of; the length where there is none. Cheapest without branches in `sought`.
#[inline]
pub(crate) fn find(octets: &[u8], sought: impl Fn(u8) -> bool) -> usize {
    let mut rest = octets;
    while let Some((block, after)) = rest.split_first_chunk::<BLOCK>() {
        if block.iter().fold(false, |any, &b| any | sought(b)) {
            let marks = u128::from_le_bytes(block.map(|b| if sought(b) { 0xff } else { 0 }));
            return octets.len() - rest.len() + (marks.trailing_zeros() / 8) as usize;
        }
        rest = after;
    }
    let in_rest = rest.iter().position(|&b| sought(b));
    octets.len() - rest.len() + in_rest.unwrap_or(rest.len())
}

/// Whether there is an octet that `sought` is true of. Cheapest without branches in `sought`, and where there is none.
#[inline]
pub fn contains(octets: &[u8], sought: impl Fn(u8) -> bool) -> bool {
    let any = |block: &[u8]| block.iter().fold(false, |any, &b| any | sought(b));
    let mut rest = octets;
    while let Some((block, after)) = rest.split_first_chunk::<BLOCK>() {
        if any(block) {
            return true;
        }
        rest = after;
    }
    // What is left is looked at together with octets before it, rather than one by one.
    match (octets.last_chunk::<BLOCK>(), octets.first_chunk::<WORD>()) {
        (Some(last), _) => any(last),
        (None, Some(first)) => {
            any(first) || octets.last_chunk::<WORD>().is_some_and(|last| any(last))
        }
        (None, None) => rest.iter().any(|&b| sought(b)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Where a mask's lowest bit lies, and whether it has one, is all that is promised.
    fn lowest(mask: u64) -> Option<usize> {
        (mask != 0).then(|| before_first(mask))
    }

    proptest! {
        #[test]
        fn a_mask_tells_where_the_first_match_is(octets: [u8; 8], byte: u8, limit in 0_u8..=0x80) {
            let word = u64::from_le_bytes(octets);
            let first_that = |test: &dyn Fn(u8) -> bool| octets.iter().position(|&b| test(b));
            prop_assert_eq!(lowest(is(word, byte)), first_that(&|b| b == byte));
            prop_assert_eq!(lowest(below(word, limit)), first_that(&|b| b < limit));
            prop_assert_eq!(lower_case(word).to_le_bytes(), octets.map(|b| b.to_ascii_lowercase()));
        }

        #[test]
        fn words_are_the_octets_and_zeros(octets in proptest::collection::vec(any::<u8>(), 0..30), at in 0_usize..40, count in 0_usize..8) {
            let mut padded = octets.clone();
            padded.resize(64, 0);
            let expected: [u8; 8] = padded[at..at + 8].try_into().unwrap();
            prop_assert_eq!(word_at(&octets, at).to_le_bytes(), expected);
            let mark = 0x80 << (8 * count) | 0x8000_0000_0000_0000;
            let mut cut = expected;
            cut.iter_mut().skip(count).for_each(|b| *b = 0);
            prop_assert_eq!(until_first(u64::from_le_bytes(expected), mark).to_le_bytes(), cut);
        }

        #[test]
        fn the_first_octet_is_found_wherever_it_is(octets in proptest::collection::vec(0_u8..90, 0..60)) {
            let expected = octets.iter().position(|&b| b < 3).unwrap_or(octets.len());
            prop_assert_eq!(find(&octets, |b| b < 3), expected);
            prop_assert_eq!(contains(&octets, |b| b < 3), expected < octets.len());
        }
    }
}
