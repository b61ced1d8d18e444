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
/// What lies no further behind in a file was read by the kernel with it: the header of a record, and what fills up the one before.
pub(crate) const FOLLOWS_BYTES: u64 = 4 * 1024;

/// What one core has seen there lately. To ask costs a system call for each `RESIDENT_EVERY`, which is more than sending from a
/// file costs otherwise.
#[derive(Debug)]
pub struct Resident {
    pieces: Box<[Cell<Piece>]>,
}

/// A chunk in an open file: the file's descriptor, and where in it the chunk begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chunk(i32, u64);

impl Chunk {
    /// The chunk of a file that begins there.
    pub fn of(file: &File, at: u64) -> Self {
        Self(file.as_raw_fd(), at)
    }

    /// Whether a place in a file is in what begins there and is so long, or follows on it.
    pub fn goes_on(&self, length: u64, file: &File, at: u64) -> bool {
        let Self(own, from) = *self;
        let end = from.saturating_add(length).saturating_add(FOLLOWS_BYTES);
        own == file.as_raw_fd() && (from..=end).contains(&at)
    }

    fn spread(self) -> u64 {
        let Self(file, at) = self;
        (at ^ u64::from(file.unsigned_abs()) << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// Bytes of a chunk that were there.
#[derive(Clone, Copy, Debug, Default)]
struct Piece {
    chunk: Chunk,
    at: u64,
    length: u64,
    until: Moment,
}

impl Default for Resident {
    /// Nothing was seen yet.
    fn default() -> Self {
        Self {
            pieces: vec![Cell::default(); RESIDENT_PIECES].into(),
        }
    }
}

impl Resident {
    /// Whether bytes of a chunk can be sent at `now` without waiting for the disk. `ask` is called only where this core has not seen
    /// them there within a second.
    pub fn has(
        &self,
        chunk: Chunk,
        (at, length): (u64, u64),
        now: Moment,
        ask: impl FnOnce() -> bool,
    ) -> bool {
        let Some(place) = self.piece(chunk, at, length) else {
            return ask();
        };
        let last = place.get();
        let is_it = (last.chunk, last.at, last.length) == (chunk, at, length);
        if is_it && now < last.until {
            return true;
        }
        let there = ask();
        if there {
            let until = now + RESIDENT_FOR;
            place.set(Piece {
                chunk,
                at,
                length,
                until,
            });
        }
        there
    }

    /// Content begins at any byte of a file, which is spread well enough.
    fn piece(&self, chunk: Chunk, at: u64, length: u64) -> Option<&Cell<Piece>> {
        let mixed = Chunk(chunk.0, at ^ length.rotate_left(32)).spread();
        place(&self.pieces, mixed)
    }
}

fn place<T>(places: &[T], mixed: u64) -> Option<&T> {
    let number = (mixed >> 32).checked_rem(places.len() as u64)?;
    places.get(usize::try_from(number).ok()?)
}

/// Whether bytes of a file can be sent without waiting for the disk. The first, the last, and one in [`RESIDENT_EVERY`] are asked
/// for; or the last alone, where they follow in the file on what was there just now: the kernel reads, and forgets, in order, so that
/// is as good as sure. To ask for more is dear: it is the first time that a processor touches what a disk has written there.
pub(super) fn is_resident(file: &File, at: u64, length: u64, follows: bool) -> bool {
    asked(length, follows).all(|within| {
        let at = at.saturating_add(within);
        matches!(read_resident(file, &mut [0], at), Ok(1))
    })
}

/// Which bytes are asked for.
fn asked(length: u64, follows: bool) -> impl Iterator<Item = u64> {
    let last = length.checked_sub(1);
    let before = if follows { 0 } else { last.unwrap_or(0) };
    let step = usize::try_from(RESIDENT_EVERY).unwrap_or(usize::MAX);
    (0..before).step_by(step).chain(last)
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

    const CHUNK: Chunk = Chunk(7, 4_096);
    const AT: u64 = 8_192;
    const LENGTH: u64 = 100_000;

    fn asked(resident: &Resident, now: Moment, there: bool) -> Option<bool> {
        let mut asked = None;
        let has = resident.has(CHUNK, (AT, LENGTH), now, || {
            asked = Some(there);
            there
        });
        assert_eq!(has, asked.unwrap_or(true));
        asked
    }

    #[test]
    fn what_was_there_is_asked_for_again_when_its_time_is_over() {
        let resident = Resident::default();
        let end = Moment(1) + RESIDENT_FOR;
        assert_eq!(asked(&resident, Moment(1), true), Some(true));
        assert_eq!(asked(&resident, Moment(end.0 - 1), false), None);
        for there in [false, false, true] {
            assert_eq!(asked(&resident, end, there), Some(there));
        }
    }

    #[test]
    fn what_was_not_there_is_asked_for_each_time_and_each_piece_for_itself() {
        let resident = Resident::default();
        let now = Moment(5);
        for there in [false, false, true] {
            assert_eq!(asked(&resident, now, there), Some(there));
        }
        let Chunk(file, begin) = CHUNK;
        for (chunk, at, length) in [
            (Chunk(file + 1, begin), AT, LENGTH),
            (CHUNK, AT + 1, LENGTH),
            (CHUNK, AT, LENGTH + 1),
        ] {
            assert!(!resident.has(chunk, (at, length), now, || false));
        }
        assert_eq!(asked(&resident, now, false), None);
    }

    #[test]
    fn one_piece_too_many_takes_the_place_of_another() {
        let resident = Resident::default();
        let pieces = 0..=RESIDENT_PIECES as u64;
        for number in pieces.clone() {
            assert!(resident.has(CHUNK, (number * 8_192, 8_192), Moment(1), || true));
        }
        let known = pieces.filter(|number| {
            let at = number * 8_192;
            resident.piece(CHUNK, at, 8_192).unwrap().get().at == at
        });
        assert!((RESIDENT_PIECES / 2..=RESIDENT_PIECES).contains(&known.count()));
    }

    /// A byte of each quarter of a chunk was touched for each visitor: where the machine is a virtual one, that took a quarter of the
    /// time in which 100 MiB were sent.
    #[test]
    fn what_follows_on_what_was_there_is_asked_for_at_its_end_alone() {
        let bytes = |length, follows| super::asked(length, follows).collect::<Vec<_>>();
        let every = RESIDENT_EVERY;
        assert_eq!(bytes(2 * every + 1, false), [0, every, 2 * every]);
        assert_eq!(
            bytes(2 * every + 2, false),
            [0, every, 2 * every, 2 * every + 1]
        );
        assert_eq!(bytes(2 * every + 2, true), [2 * every + 1]);
        for follows in [false, true] {
            assert_eq!((bytes(1, follows), bytes(0, follows)), (vec![0], vec![]));
        }
        let [file, other] = [(); 2].map(|()| tempfile::tempfile().unwrap());
        std::os::unix::fs::FileExt::write_all_at(&file, b"content", 0).unwrap();
        assert!(is_resident(&file, 2, 5, false) && !is_resident(&file, 2, 6, false));
        let end = AT + LENGTH + FOLLOWS_BYTES;
        for (at, goes_on) in [(AT - 1, false), (AT, true), (end, true), (end + 1, false)] {
            let from = Chunk::of(&file, AT);
            assert_eq!(from.goes_on(LENGTH, &file, at), goes_on, "{at}");
            assert!(!from.goes_on(LENGTH, &other, at), "{at}");
        }
    }
}
