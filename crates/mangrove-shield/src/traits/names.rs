//! Names in their order as one number.

use twox_hash::XxHash3_64;

use super::TraitHash;

/// Octets that are hashed at once: up to so many XXH3 is quickest, and the names of nearly every head have fewer.
pub(super) const PIECE_BYTES: usize = 240;

/// Names, each behind a line feed, hashed in pieces of as many whole names as have room; the number of each piece is the seed of the
/// next one. A longer name is cut.
#[derive(Debug)]
pub(super) struct Names {
    piece: [u8; PIECE_BYTES],
    length: usize,
    before: u64,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            piece: [0; PIECE_BYTES],
            length: 0,
            before: 0,
        }
    }
}

impl Names {
    pub(super) fn push(&mut self, name: &[u8]) {
        let name = name.get(..PIECE_BYTES - 1).unwrap_or(name);
        if self.length + 1 + name.len() > PIECE_BYTES {
            self.before = self.hash().0;
            self.length = 0;
        }
        let room = self.piece.get_mut(self.length..).unwrap_or_default();
        if let Some([feed, place @ ..]) = room.get_mut(..1 + name.len()) {
            *feed = b'\n';
            place.copy_from_slice(name);
            self.length += 1 + name.len();
        }
    }

    pub(super) fn hash(&self) -> TraitHash {
        let piece = self.piece.get(..self.length).unwrap_or_default();
        TraitHash(XxHash3_64::oneshot_with_seed(self.before, piece))
    }
}
