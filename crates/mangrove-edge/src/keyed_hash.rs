//! A short keyed hash for tables whose keys the operator chose, such as hosts: a visitor looks things up in them and never
//! puts anything in, so the worst he can choose is which of the operator's names he is compared with.
//!
//! Not for tables that visitors fill: those keep the standard library's hasher.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Makes hashers with one random key.
#[derive(Clone, Debug)]
pub(crate) struct Keyed(u64);

impl Default for Keyed {
    fn default() -> Self {
        Self(RandomState::new().hash_one(0_u64))
    }
}

impl BuildHasher for Keyed {
    type Hasher = KeyedHasher;

    #[inline]
    fn build_hasher(&self) -> KeyedHasher {
        KeyedHasher(self.0)
    }
}

/// The hash so far: each word is mixed in by one multiplication to twice its width, folded.
#[derive(Clone, Debug)]
pub(crate) struct KeyedHasher(u64);

impl KeyedHasher {
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // both halves are folded together
    fn mix(&mut self, word: u64) {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let product = u128::from(self.0 ^ word) * u128::from(ODD);
        self.0 = (product as u64) ^ ((product >> 64) as u64).rotate_left(23);
    }
}

impl Hasher for KeyedHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        match (rest, bytes.last_chunk()) {
            ([], _) => {}
            // The length is in the hash, so that octets may be in it twice.
            (_, Some(last)) => self.mix(u64::from_le_bytes(*last)),
            (rest, None) => self.mix(rest.iter().fold(0, |word, &b| word << 8 | u64::from(b))),
        }
    }

    #[inline]
    fn write_usize(&mut self, number: usize) {
        self.mix(number as u64);
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spread_over_a_table() {
        const PLACES: usize = 1 << 12;
        let keyed = Keyed::default();
        let mut low = vec![0_u32; PLACES];
        let mut tags = [0_u32; 128];
        for site in 0..PLACES {
            let hash = keyed.hash_one(format!("site-{site}.news.example").as_bytes());
            let part = |hash: u64| usize::try_from(hash).unwrap();
            low[part(hash) % PLACES] += 1;
            tags[part(hash >> 57)] += 1;
        }
        // As with any hash of as many names as places: about 37% of them stay empty, and few have many.
        let empty = low.iter().filter(|&&count| count == 0).count();
        assert!((1_300..1_750).contains(&empty), "{empty}");
        assert!(low.iter().all(|&count| count < 12) && tags.iter().all(|&count| count < 90));
    }

    #[test]
    fn another_key_is_another_order() {
        let (one, other) = (Keyed::default(), Keyed::default());
        assert_eq!(one.hash_one(b"a"), one.clone().hash_one(b"a"));
        assert_ne!(one.hash_one(b"a"), other.hash_one(b"a"));
    }
}
