//! What is remembered of evicted slots: how often they were wanted. Without the key, in eight bytes.

use super::KeyHash;

/// Bytes of the ceiling for each memory of an evicted slot: the memories take 8/4,096 of it, 0.2%.
const CEILING_PER_MEMORY: u64 = 4_096;
/// Memories that share a place.
const WAYS: usize = 4;

/// A table of places with [`WAYS`] memories each. The oldest of a place gives way; its size never changes.
#[derive(Debug)]
pub(super) struct Ghost {
    places: Box<[[u64; WAYS]]>,
    clock: u32,
}

/// One memory as bits: 32 of the hash, 8 of worth (never 0), 24 of the clock. Two keys may share one: then a stranger is
/// taken for an acquaintance, and stays a little longer than it should.
#[derive(Clone, Copy)]
struct Memory(u64);

impl Ghost {
    pub(super) fn new(ceiling: u64) -> Self {
        let wanted = ceiling / CEILING_PER_MEMORY / WAYS as u64;
        let places = usize::try_from(wanted).unwrap_or(usize::MAX).max(4);
        // The power of two below, so that a place is found by a mask.
        let places = 1_usize << places.ilog2();
        Self {
            places: vec![[0; WAYS]; places].into_boxed_slice(),
            clock: 0,
        }
    }

    /// Bytes that it takes.
    pub(super) fn size(&self) -> usize {
        size_of_val(&*self.places)
    }

    /// How often the slot was wanted when it left; 0 if nobody remembers.
    pub(super) fn worth(&self, hash: KeyHash) -> u8 {
        self.places
            .get(self.place(hash))
            .into_iter()
            .flatten()
            .find(|memory| Memory(**memory).is_of(hash))
            .map_or(0, |memory| Memory(*memory).worth())
    }

    pub(super) fn remember(&mut self, hash: KeyHash, worth: u8) {
        self.clock = self.clock.wrapping_add(1);
        let now = self.clock;
        let place = self.place(hash);
        let oldest = self
            .places
            .get_mut(place)
            .into_iter()
            .flatten()
            .max_by_key(|memory| match Memory(**memory) {
                same if same.is_of(hash) => u32::MAX,
                Memory(0) => u32::MAX - 1,
                other => other.age(now),
            });
        if let Some(oldest) = oldest {
            *oldest = Memory::new(hash, worth, now).0;
        }
    }

    pub(super) fn forget(&mut self, hash: KeyHash) {
        let place = self.place(hash);
        for memory in self.places.get_mut(place).into_iter().flatten() {
            if Memory(*memory).is_of(hash) {
                *memory = 0;
            }
        }
    }

    fn place(&self, hash: KeyHash) -> usize {
        usize::try_from(hash.0 & u64::from(u32::MAX)).unwrap_or(0) & (self.places.len() - 1)
    }
}

impl Memory {
    fn new(hash: KeyHash, worth: u8, clock: u32) -> Self {
        let clock = u64::from(clock) & 0xFF_FFFF;
        Self((hash.0 >> 32) << 32 | u64::from(worth.max(1)) << 24 | clock)
    }

    fn is_of(self, hash: KeyHash) -> bool {
        self.0 != 0 && self.0 >> 32 == hash.0 >> 32
    }

    fn worth(self) -> u8 {
        self.0.to_be_bytes()[4]
    }

    fn age(self, now: u32) -> u32 {
        let then = u32::try_from(self.0 & 0xFF_FFFF).unwrap_or(0);
        now.wrapping_sub(then) & 0xFF_FFFF
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_memory_of_a_place_gives_way() {
        let mut ghost = Ghost::new(0);
        let hash = |n: u64| KeyHash(n << 32);
        for n in 1..=5 {
            ghost.remember(hash(n), 7);
        }
        let known: Vec<u8> = (1..=5).map(|n| ghost.worth(hash(n))).collect();
        assert_eq!(known, [0, 7, 7, 7, 7]);
        ghost.remember(hash(3), 9);
        assert_eq!(ghost.worth(hash(3)), 9);
        assert_eq!(
            ghost.worth(hash(2)),
            7,
            "a memory renewed takes no second way"
        );
        ghost.forget(hash(3));
        assert_eq!(ghost.worth(hash(3)), 0);
    }

    #[test]
    fn memories_take_a_small_share_of_the_ceiling() {
        for ceiling in [1 << 20, 100 << 20, 3 << 30] {
            assert!(Ghost::new(ceiling).size() as u64 <= ceiling / 512);
        }
    }
}
