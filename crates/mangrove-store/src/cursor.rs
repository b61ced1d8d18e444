//! Where somebody is who goes over all keys, a page at a time.
//!
//! Keys are told in an order that does not depend on what comes and goes meanwhile: whatever is there from the first page to
//! the last is told once. It is the order of their hashes, with the bits in front by which the index is split into shards, so
//! that one page has to look at one shard.

use crate::words::KeyHash;

/// Bits of a key's hash by which the index is split.
pub(crate) const SHARD_BITS: u32 = 6;
/// Where they are: the table itself goes by the lower ones, and by the highest seven.
const SHARD_SHIFT: u32 = 40;
/// Turned so far to the right, a hash begins with them.
const TURN: u32 = SHARD_SHIFT + SHARD_BITS;

/// A place in the order of all keys. Good for as long as the store is open; the caller may write it down as a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor(pub u64);

impl Cursor {
    /// Before the first key.
    pub const START: Cursor = Cursor(0);

    pub(crate) fn of(key: KeyHash) -> Cursor {
        Cursor(key.0.rotate_right(TURN))
    }

    /// Behind a key; none behind the last there could be.
    pub fn after(key: KeyHash) -> Option<Cursor> {
        Cursor::of(key).0.checked_add(1).map(Cursor)
    }

    /// The key that would be here.
    pub(crate) fn key(self) -> KeyHash {
        KeyHash(self.0.rotate_left(TURN))
    }

    pub(crate) fn shard(self) -> u64 {
        self.0 >> (u64::BITS - SHARD_BITS)
    }

    pub(crate) fn next_shard(self) -> Option<Cursor> {
        let next = self.shard() + 1;
        (next >> SHARD_BITS == 0).then_some(Cursor(next << (u64::BITS - SHARD_BITS)))
    }

    /// How much of all lies before it, in thousandths: hashes are spread evenly.
    pub fn mille(self) -> u16 {
        let mille = (u128::from(self.0) * 1000) >> u64::BITS;
        u16::try_from(mille).unwrap_or(1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_and_its_key_tell_each_other() {
        for key in [0, 1, 1 << 40, 63 << 40, u64::MAX, 0x0123_4567_89ab_cdef] {
            let key = KeyHash(key);
            assert_eq!(Cursor::of(key).key(), key);
            assert_eq!(Cursor::of(key).shard(), key.0 >> 40 & 63);
        }
    }

    #[test]
    fn the_last_shard_and_the_last_key_have_none_behind_them() {
        assert_eq!(Cursor::START.next_shard(), Some(Cursor(1 << 58)));
        assert_eq!(Cursor(62 << 58).next_shard(), Some(Cursor(63 << 58)));
        assert_eq!(Cursor(63 << 58).next_shard(), None);
        assert_eq!(Cursor::after(Cursor(7).key()), Some(Cursor(8)));
        assert_eq!(Cursor::after(Cursor(u64::MAX).key()), None);
    }

    #[test]
    fn half_of_all_lies_before_the_middle() {
        assert_eq!(Cursor::START.mille(), 0);
        assert_eq!(Cursor(1 << 63).mille(), 500);
        assert_eq!(Cursor(u64::MAX).mille(), 999);
    }
}
