//! What counts as one, made a number.

use std::hash::{DefaultHasher, Hasher};

/// Makes one number of the parts of a key. Nobody who does not know the seed can choose two keys of one number.
#[derive(Clone, Debug)]
pub struct KeyHash {
    hasher: DefaultHasher,
    is_shared: bool,
}

/// A key as a limiter knows it. A bare number is one client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    pub(super) hash: u64,
    /// Strangers share it, since some part of it is what none of them has: nobody is kept out for what another did.
    pub(super) is_shared: bool,
}

impl From<u64> for Key {
    fn from(hash: u64) -> Self {
        let is_shared = false;
        Self { hash, is_shared }
    }
}

impl KeyHash {
    /// Of no parts yet.
    pub fn new(seed: [u64; 2]) -> Self {
        let mut hasher = DefaultHasher::new();
        seed.iter().for_each(|word| hasher.write_u64(*word));
        let is_shared = false;
        Self { hasher, is_shared }
    }

    /// And this part, which is another than none, and not to be confused with the next.
    #[must_use]
    pub fn part(mut self, bytes: &[u8]) -> Self {
        self.hasher.write_usize(bytes.len());
        self.hasher.write(bytes);
        self
    }

    /// And a part that is not there.
    #[must_use]
    pub fn missing(mut self) -> Self {
        self.hasher.write_usize(usize::MAX);
        self.is_shared = true;
        self
    }

    /// The number.
    pub fn finish(self) -> u64 {
        self.hasher.finish()
    }

    /// The number, and whether strangers share it.
    pub fn key(self) -> Key {
        Key {
            hash: self.hasher.finish(),
            is_shared: self.is_shared,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_not_confused() {
        let of = |parts: &[&[u8]]| {
            let hash = KeyHash::new([3, 4]);
            parts
                .iter()
                .fold(hash, |hash, part| hash.part(part))
                .finish()
        };
        assert_ne!(of(&[b"ab", b"c"]), of(&[b"a", b"bc"]));
        assert_ne!(of(&[b""]), KeyHash::new([3, 4]).missing().finish());
        assert_ne!(of(&[b"a"]), KeyHash::new([3, 5]).part(b"a").finish());
    }
}
