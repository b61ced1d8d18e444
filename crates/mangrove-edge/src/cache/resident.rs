//! What of the disk's files is in the kernel's memory, so that a core that sends it does not wait for the disk.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::fd::AsRawFd;
use std::time::Duration;

use mangrove_http::Moment;
use rustix::io::{Errno, ReadWriteFlags};

/// Whether bytes of a file are in the kernel's memory is asked for one in so many.
pub(crate) const RESIDENT_EVERY: u64 = 256 * 1024;
/// What was there and is sent again this soon is there: the kernel lets go first of what was not asked for in longer.
pub(crate) const RESIDENT_FOR: Duration = Duration::from_secs(1);
/// Pieces that a core has seen there of late; another takes the place of one of them.
pub(crate) const RESIDENT_PIECES: usize = 256;

/// What one core has seen there lately. To ask costs a system call for each `RESIDENT_EVERY`, which is more than sending from a
/// file costs otherwise.
#[derive(Debug)]
pub struct Resident(Box<[Cell<Seen>]>);

/// Bytes of an open file: its descriptor, where they begin, how many.
type Piece = (i32, u64, u64);

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    piece: Piece,
    until: Moment,
}

impl Default for Resident {
    /// Nothing was seen yet.
    fn default() -> Self {
        Self(vec![Cell::default(); RESIDENT_PIECES].into())
    }
}

impl Resident {
    /// Whether bytes of a file can be sent at `now` without waiting for the disk.
    pub fn has(&self, file: &File, at: u64, length: u64, now: Moment) -> bool {
        let piece = (file.as_raw_fd(), at, length);
        self.has_or(piece, now, || is_resident(file, at, length))
    }

    fn has_or(&self, piece: Piece, now: Moment, ask: impl FnOnce() -> bool) -> bool {
        let Some(seen) = self.place(piece) else {
            return ask();
        };
        let last = seen.get();
        if last.piece == piece && now < last.until {
            return true;
        }
        let there = ask();
        if there {
            let until = now + RESIDENT_FOR;
            seen.set(Seen { piece, until });
        }
        there
    }

    /// Content begins at any byte of a file, which is spread well enough.
    fn place(&self, (file, at, length): Piece) -> Option<&Cell<Seen>> {
        let mixed = at ^ length.rotate_left(32) ^ u64::from(file.unsigned_abs()) << 40;
        let mixed = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let places = self.0.len() as u64;
        self.0
            .get(usize::try_from(mixed.checked_rem(places)?).ok()?)
    }
}

/// Whether bytes of a file can be sent without waiting for the disk. The first, the last, and one in
/// [`RESIDENT_EVERY`] are asked for: the kernel forgets in the order in which it read, so that is as good as sure.
fn is_resident(file: &File, at: u64, length: u64) -> bool {
    let Some(last) = length.checked_sub(1) else {
        return true;
    };
    let there = |within| {
        let at = at.saturating_add(within);
        matches!(read_resident(file, &mut [0], at), Ok(1))
    };
    let step = usize::try_from(RESIDENT_EVERY).unwrap_or(usize::MAX);
    (0..last).step_by(step).chain([last]).all(there)
}

/// Reads without waiting for the disk.
pub(super) fn read_resident(file: &File, into: &mut [u8], at: u64) -> io::Result<usize> {
    loop {
        let mut into = [IoSliceMut::new(into)];
        match rustix::io::preadv2(file, &mut into, at, ReadWriteFlags::NOWAIT) {
            Err(Errno::INTR) => {}
            read => return Ok(read?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: Piece = (7, 4_096, 100_000);

    #[test]
    fn what_was_there_is_asked_for_again_when_its_time_is_over() {
        let resident = Resident::default();
        let end = Moment(1) + RESIDENT_FOR;
        assert!(resident.has_or(PIECE, Moment(1), || true));
        assert!(resident.has_or(PIECE, Moment(end.0 - 1), || unreachable!("it is known")));
        assert!(!resident.has_or(PIECE, end, || false), "its time is over");
        assert!(!resident.has_or(PIECE, end, || false));
        assert!(resident.has_or(PIECE, end, || true));
    }

    #[test]
    fn what_was_not_there_is_asked_for_each_time_and_each_piece_for_itself() {
        let resident = Resident::default();
        let now = Moment(5);
        for there in [false, false, true] {
            assert_eq!(resident.has_or(PIECE, now, || there), there);
        }
        let (file, at, length) = PIECE;
        for other in [
            (file + 1, at, length),
            (file, at + 1, length),
            (file, at, length + 1),
        ] {
            assert!(!resident.has_or(other, now, || false), "{other:?}");
        }
        assert!(resident.has_or(PIECE, now, || false));
    }

    #[test]
    fn one_piece_too_many_takes_the_place_of_another() {
        let resident = Resident::default();
        let pieces = 0..=RESIDENT_PIECES as u64;
        for number in pieces.clone() {
            assert!(resident.has_or((7, number * 8_192, 8_192), Moment(1), || true));
        }
        let known = pieces.filter(|number| {
            let piece = (7, number * 8_192, 8_192);
            resident.place(piece).unwrap().get().piece == piece
        });
        assert!((RESIDENT_PIECES / 2..=RESIDENT_PIECES).contains(&known.count()));
    }
}
