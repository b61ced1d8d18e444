//! One function per reader of the disk tier. Each panics when its reader breaks a law.
//!
//! Random bytes never bear the right checksum, so the input is also a plan: its lines are written as records or entries, and its
//! last line says where the file is damaged before it is read.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a target tells what it found by panicking, and the campaign catches it"
)]

use bytes::Bytes;
use mangrove_store::raw::{Record, read_journal, read_slab, write_journal, write_slab};
use mangrove_store::{Generation, Head, KeyHash, Part};

use crate::mutate::Grammar;
use crate::targets::Target;

/// All of them.
pub(crate) const TARGETS: [Target; 2] = [
    Target {
        name: "slab",
        about: "what is read from a damaged slab is what was written, and nothing undamaged is lost",
        grammar: PLAN,
        run: slab,
    },
    Target {
        name: "journal",
        about: "no purge is lost in silence, and none is made up",
        grammar: PLAN,
        run: journal,
    },
];

const PLAN: Grammar = Grammar {
    first: &["", "a short one\n", "MGRC\u{1}\u{2}\n", "MGJE\n"],
    then: &[
        "content\n",
        "another, somewhat longer, which takes more than one unit of sixty-four bytes to keep\n",
        "\n",
        "MGRC",
        "MGJE",
        "\0\0\0\0\0\0\0\0",
    ],
    last: &["", "\n0", "\n@P~", "\nzzzzzz", "\n !\"#$%&'"],
};

const SECRET: u64 = 0x6d61_6e67_726f_7665;

/// The lines to write, and the pieces of 8 bytes to damage: each byte of the last line is a place, in parts of 256.
fn plan(input: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let mut lines: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    let damage = lines.pop().unwrap_or_default();
    (lines, damage.get(..damage.len().min(8)).unwrap_or_default())
}

fn damaged(file: &[u8], from: usize, damage: &[u8]) -> (Vec<u8>, Vec<usize>) {
    let mut out = file.to_vec();
    let mut places = Vec::new();
    for byte in damage {
        let at = from + (file.len() - from) * usize::from(*byte) / 256;
        for (at, byte) in out.iter_mut().enumerate().skip(at).take(8) {
            *byte ^= 0x5a;
            places.push(at);
        }
    }
    // What is damaged twice may be whole again.
    places.retain(|at| out[*at] != file[*at]);
    (out, places)
}

fn slab(input: &[u8]) {
    assert_eq!(
        read_slab(SECRET, input),
        [],
        "nobody who does not know the secret makes a record"
    );
    let (lines, damage) = plan(input);
    let written: Vec<Record> = lines
        .iter()
        .enumerate()
        .filter_map(|(number, line)| {
            let key = KeyHash(number as u64);
            if number % 3 == 0 {
                let head = Head::new(line, b"", b"")?;
                let payload =
                    [&(line.len() as u32).to_le_bytes()[..], &[0; 4], head.key()].concat();
                return Some(Record {
                    key,
                    part: Part::Head,
                    payload: Some(payload.into()),
                });
            }
            let payload = (!line.is_empty()).then(|| Bytes::copy_from_slice(line))?;
            Some(Record {
                key,
                part: Part::Chunk(number as u32),
                payload: Some(payload),
            })
        })
        .collect();
    let file = write_slab(SECRET, &written);
    assert_eq!(read_slab(SECRET, &file), written);
    let (file, places) = damaged(&file, 64, damage);
    let read = read_slab(SECRET, &file);
    let mut at = 64;
    for record in &written {
        let length = 96 + record.payload.as_ref().unwrap().len();
        let hit = |from: usize, to: usize| {
            places
                .iter()
                .any(|place| (at + from..at + to).contains(place))
        };
        let found = read
            .iter()
            .find(|found| (found.key, found.part) == (record.key, record.part));
        if hit(0, 96) {
            assert_eq!(found, None, "its header is damaged");
        } else if hit(96, length) {
            assert_eq!(found.unwrap().payload, None, "its payload is damaged");
        } else {
            assert_eq!(found, Some(record), "it is not damaged");
        }
        at += length.next_multiple_of(64);
    }
    assert!(read.len() <= written.len());
}

fn journal(input: &[u8]) {
    // Whatever it is, it is read or refused.
    let _ = read_journal(input);
    let (lines, damage) = plan(input);
    let written: Vec<(Generation, Bytes)> = lines
        .iter()
        .enumerate()
        .map(|(number, line)| (Generation(number as u64 + 1), Bytes::copy_from_slice(line)))
        .collect();
    let acknowledged = written.len().min(damage.len());
    let file = write_journal(SECRET, &written, acknowledged);
    let whole = read_journal(&file).unwrap();
    assert_eq!(
        (whole.entries, whole.floor, whole.cut),
        (written.clone(), None, 0)
    );
    let (file, places) = damaged(&file, 64, damage);
    let read = read_journal(&file).unwrap();
    assert!(
        read.entries.iter().all(|entry| written.contains(entry)),
        "none is made up"
    );
    let lost = |entry: &(Generation, Bytes)| !read.entries.contains(entry);
    // With any witness left, the loss of what was acknowledged is noticed, and everything older counts as purged.
    let witness = read
        .entries
        .iter()
        .map(|(generation, _)| generation.0 as usize)
        .max()
        .unwrap_or(0);
    for entry in written
        .iter()
        .take(acknowledged)
        .filter(|entry| lost(entry))
    {
        if witness > acknowledged {
            assert!(
                read.floor.is_some_and(|floor| floor >= entry.0),
                "{entry:?} of {acknowledged}, {:?}",
                read.floor
            );
        }
    }
    if places.is_empty() {
        assert_eq!(read.entries, written);
    }
}
