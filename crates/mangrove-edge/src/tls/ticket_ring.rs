//! Session ticket keys, decided purely: which one seals, which still open, when a new one is made,
//! and how they lie on disk. What touches the disk is `tickets`.
//!
//! Keys turn so that a stolen key opens at most a day of recorded TLS 1.2 sessions. A key is made
//! and written some minutes before its turn to seal, so that every process sharing the folder can
//! open its tickets by then. Processes need no lock: each keeps the union of what it reads and what
//! it has made and not yet seen written, and the newest key is the same for all.

use std::cmp::Reverse;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::pki_types::UnixTime;

/// A key seals for this long, in seconds.
pub(crate) const SEALS_FOR: u64 = 12 * 3_600;
/// A key opens for this long from its first sealing, in seconds.
pub(crate) const OPENS_FOR: u64 = 24 * 3_600;
/// A key is made this long before it seals, in seconds: several times the period of `rotate`.
pub(crate) const LEAD: u64 = 10 * 60;
/// Most keys held or read. Two are in use at once, three around a turn, and more only if processes
/// made keys in the same moment; beyond this the oldest go.
pub(crate) const MAX_KEYS: usize = 16;

pub(super) const ID_LEN: usize = 8;
pub(super) const SECRET_LEN: usize = 32;

const MAGIC: &[u8; 4] = b"mgtk";
const VERSION: u8 = 1;
/// Magic, version, count.
const HEAD_LEN: usize = 6;
/// Identity, first sealing (big-endian seconds), secret.
const ENTRY_LEN: usize = ID_LEN + 8 + SECRET_LEN;
/// SHA-256 of all before it: finds accidents. Whoever may write the file needs no forgery.
const CHECKSUM_LEN: usize = 32;
/// Size of the largest file we write.
pub(super) const MAX_FILE_LEN: usize = HEAD_LEN + MAX_KEYS * ENTRY_LEN + CHECKSUM_LEN;

/// One key. It has no `Debug`: secrets are not printed.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct TicketKey {
    pub(super) id: [u8; ID_LEN],
    /// First second at which it seals, since 1970.
    pub(super) from: u64,
    pub(super) secret: [u8; SECRET_LEN],
    /// Whether it was read from the file. One that was and no longer is has been revoked.
    pub(super) saved: bool,
}

/// The keys at hand, newest first.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct TicketRing {
    keys: Vec<TicketKey>,
}

/// The file is not one of ours, or no longer whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damaged;

impl TicketRing {
    /// Reads a file's content.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Damaged> {
        if bytes.len() > MAX_FILE_LEN {
            return Err(Damaged);
        }
        let (content, checksum) = bytes.split_last_chunk::<CHECKSUM_LEN>().ok_or(Damaged)?;
        if digest(&SHA256, content).as_ref() != checksum {
            return Err(Damaged);
        }
        let [m, g, t, k, version, count, entries @ ..] = content else {
            return Err(Damaged);
        };
        let (entries, rest) = entries.as_chunks::<ENTRY_LEN>();
        let whole = rest.is_empty() && entries.len() == usize::from(*count);
        if [*m, *g, *t, *k] != *MAGIC || *version != VERSION || !whole {
            return Err(Damaged);
        }
        let keys: Option<Vec<TicketKey>> = entries.iter().map(read_entry).collect();
        let mut ring = Self {
            keys: keys.ok_or(Damaged)?,
        };
        ring.order();
        Ok(ring)
    }

    /// The file's content.
    pub(super) fn render(&self) -> Vec<u8> {
        let keys = self.keys.iter().take(MAX_KEYS);
        let mut bytes = Vec::with_capacity(MAX_FILE_LEN);
        bytes.extend_from_slice(MAGIC);
        bytes.push(VERSION);
        bytes.push(u8::try_from(keys.len()).unwrap_or(u8::MAX));
        for key in keys {
            bytes.extend_from_slice(&key.id);
            bytes.extend_from_slice(&key.from.to_be_bytes());
            bytes.extend_from_slice(&key.secret);
        }
        let checksum = digest(&SHA256, &bytes);
        bytes.extend_from_slice(checksum.as_ref());
        bytes
    }

    /// What to hold from now on, given what we held, what the file says (`Err`: it was damaged, so
    /// it revokes nothing), and fresh keys to take if it is time for them.
    pub(super) fn turn(
        held: &Self,
        on_disk: &Result<Self, Damaged>,
        now: UnixTime,
        mut fresh: impl FnMut(u64) -> Option<TicketKey>,
    ) -> Self {
        let now = now.as_secs();
        let mut ring = on_disk.clone().unwrap_or_default();
        let damaged = on_disk.is_err();
        ring.keys.extend(
            held.keys
                .iter()
                .filter(|key| damaged || !key.saved)
                .cloned(),
        );
        // Keys from far ahead were made under a clock that was wrong.
        let in_time = |key: &TicketKey| {
            now < key.from.saturating_add(OPENS_FOR) && key.from <= now.saturating_add(SEALS_FOR)
        };
        ring.keys.retain(in_time);
        ring.order();
        if ring.sealing_at(now).is_none() {
            ring.keys.extend(fresh(now));
            ring.order();
        }
        let next = ring
            .keys
            .first()
            .map_or(now, |key| key.from.saturating_add(SEALS_FOR));
        if next <= now.saturating_add(LEAD) {
            ring.keys.extend(fresh(next.max(now)));
            ring.order();
        }
        ring
    }

    pub(super) fn keys(&self) -> &[TicketKey] {
        &self.keys
    }

    /// Whether the file lacks any of these keys, or holds one that we have dropped.
    pub(super) fn differs_from(&self, on_disk: &Result<Self, Damaged>) -> bool {
        let ids = |ring: &Self| ring.keys.iter().map(|key| key.id).collect::<Vec<_>>();
        on_disk
            .as_ref()
            .map_or(true, |on_disk| ids(on_disk) != ids(self))
    }

    /// The newest key whose turn has come: the same in every process that holds the same keys.
    pub(super) fn sealing_at(&self, now: u64) -> Option<&TicketKey> {
        self.keys.iter().find(|key| key.from <= now)
    }

    fn order(&mut self) {
        self.keys
            .sort_by_key(|key| Reverse((key.from, key.id, key.saved)));
        self.keys.dedup_by_key(|key| key.id);
        self.keys.truncate(MAX_KEYS);
    }
}

fn read_entry(entry: &[u8; ENTRY_LEN]) -> Option<TicketKey> {
    let (id, rest) = entry.split_first_chunk::<ID_LEN>()?;
    let (from, secret) = rest.split_first_chunk::<8>()?;
    let secret = <[u8; SECRET_LEN]>::try_from(secret).ok()?;
    Some(TicketKey {
        id: *id,
        from: u64::from_be_bytes(*from),
        secret,
        saved: true,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::at;
    use super::*;

    const HOUR: u64 = 3_600;

    fn key(id: u8, from: u64) -> TicketKey {
        TicketKey {
            id: [id; ID_LEN],
            from,
            secret: [id; SECRET_LEN],
            saved: false,
        }
    }

    /// One process: what it holds, and a counter that names its keys.
    struct Process {
        ring: TicketRing,
        next_id: u8,
    }

    impl Process {
        fn new(first_id: u8) -> Self {
            Self {
                ring: TicketRing::default(),
                next_id: first_id,
            }
        }

        /// One `rotate` against a shared file.
        fn tick(&mut self, file: &mut Vec<u8>, now: u64) {
            let on_disk = if file.is_empty() {
                Ok(TicketRing::default())
            } else {
                TicketRing::parse(file)
            };
            let id = &mut self.next_id;
            self.ring = TicketRing::turn(&self.ring, &on_disk, at(now), |from| {
                *id += 1;
                Some(key(*id, from))
            });
            if self.ring.differs_from(&on_disk) {
                *file = self.ring.render();
            }
        }

        fn sealing(&self, now: u64) -> u8 {
            self.ring.sealing_at(now).unwrap().id[0]
        }

        fn opens(&self, id: u8) -> bool {
            self.ring.keys().iter().any(|key| key.id[0] == id)
        }
    }

    #[test]
    fn a_key_seals_for_twelve_hours_and_opens_for_twenty_four() {
        let (mut process, mut file) = (Process::new(0), vec![]);
        let mut sealed_at = vec![];
        for now in (0..4 * OPENS_FOR).step_by(60) {
            process.tick(&mut file, now);
            sealed_at.push((now, process.sealing(now)));
            let hint = now.saturating_sub(OPENS_FOR - SEALS_FOR);
            let (_, of_old) = sealed_at.iter().find(|(then, _)| *then >= hint).unwrap();
            assert!(process.opens(*of_old), "a ticket lives out its lifetime");
            assert!(process.ring.keys().len() <= 3);
        }
        let turns: Vec<u8> = sealed_at
            .chunk_by(|a, b| a.1 == b.1)
            .map(|turn| turn[0].1)
            .collect();
        assert_eq!(turns, [1, 2, 3, 4, 5, 6, 7, 8]);
        process.tick(&mut file, 4 * OPENS_FOR);
        assert!(!process.opens(6), "old keys are erased");
    }

    #[test]
    fn two_processes_that_start_in_the_same_moment_come_to_seal_with_one_key() {
        let (mut old, mut new, mut file) = (Process::new(0), Process::new(100), vec![]);
        // Both read an empty folder, then both write; one write is lost.
        old.tick(&mut vec![], 0);
        new.tick(&mut file, 0);
        old.tick(&mut file, 60);
        new.tick(&mut file, 60);
        assert_eq!(old.sealing(60), new.sealing(60));
        assert!(
            old.opens(101) && new.opens(1),
            "what either sealed, both open"
        );
    }

    #[test]
    fn a_process_knows_the_others_next_key_before_it_seals() {
        let (mut one, mut other, mut file) = (Process::new(0), Process::new(100), vec![]);
        one.tick(&mut file, 0);
        other.tick(&mut file, 0);
        for now in (0..5 * OPENS_FOR).step_by(30) {
            one.tick(&mut file, now);
            assert!(
                other.opens(one.sealing(now)),
                "at {now}, before the other has read the file"
            );
            std::mem::swap(&mut one, &mut other);
        }
        assert_eq!(one.sealing(5 * OPENS_FOR), other.sealing(5 * OPENS_FOR));
    }

    #[test]
    fn removing_the_file_revokes_every_key_and_a_damaged_file_none() {
        let (mut process, mut file) = (Process::new(0), vec![]);
        process.tick(&mut file, 0);
        process.tick(&mut file, 60);
        file.truncate(20);
        process.tick(&mut file, 120);
        assert_eq!(process.sealing(120), 1);
        assert!(TicketRing::parse(&file).is_ok(), "the file is whole again");
        process.tick(&mut file, 180);
        file.clear();
        process.tick(&mut file, 240);
        assert!(!process.opens(1));
        assert_eq!(process.sealing(240), 2);
    }

    #[test]
    fn a_clock_set_back_loses_no_key_of_today_and_one_far_ahead_is_dropped() {
        let (mut process, mut file) = (Process::new(0), vec![]);
        process.tick(&mut file, 100 * HOUR);
        process.tick(&mut file, 99 * HOUR);
        assert!(process.opens(1));
        assert_eq!(process.sealing(99 * HOUR), 2);
        process.tick(&mut file, 50 * HOUR);
        assert!(!process.opens(1));
    }

    #[test]
    fn one_key_too_many_is_damage_and_a_full_ring_is_not() {
        let keys = |count| {
            (0..count)
                .map(|id| key(id, u64::from(id)))
                .collect::<Vec<_>>()
        };
        let full = TicketRing { keys: keys(16) }.render();
        assert_eq!(full.len(), MAX_FILE_LEN);
        assert_eq!(
            TicketRing::parse(&full).map(|ring| ring.keys.len()),
            Ok(MAX_KEYS)
        );
        let mut longer = full.clone();
        longer.truncate(full.len() - CHECKSUM_LEN);
        longer[5] = 17;
        longer.extend_from_slice(&[0; ENTRY_LEN]);
        longer.extend_from_slice(digest(&SHA256, &longer.clone()).as_ref());
        assert!(TicketRing::parse(&longer).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(froms in proptest::collection::vec(any::<u64>(), 0..16)) {
            let keys = froms.iter().zip(1..).map(|(from, id)| TicketKey { saved: true, ..key(id, *from) });
            let mut ring = TicketRing { keys: keys.collect() };
            ring.order();
            prop_assert!(TicketRing::parse(&ring.render()) == Ok(ring));
        }

        #[test]
        fn no_bytes_panic_the_parser(bytes in proptest::collection::vec(any::<u8>(), 0..1_000)) {
            prop_assert!(TicketRing::parse(&bytes).is_err());
            let mut sound = bytes;
            sound.extend_from_slice(digest(&SHA256, &sound.clone()).as_ref());
            let _ = TicketRing::parse(&sound);
        }

        #[test]
        fn any_cut_or_flipped_bit_is_damage(cut in 0_usize..134, bit in 0_usize..1_072) {
            let whole = TicketRing { keys: vec![key(1, 7), key(2, 9)] }.render();
            prop_assert!(TicketRing::parse(&whole[..cut]).is_err());
            let mut flipped = whole;
            flipped[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(TicketRing::parse(&flipped).is_err());
        }
    }
}
