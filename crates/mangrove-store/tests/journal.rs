//! Stories of the journal: a purge, the journal, a disk.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what it found by panicking"
)]

mod sim;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mangrove_store::{
    Disk, ENTRY_BYTES, Generation, Hands, Head, JOURNAL_BYTES, JournalError, KeyHash, NewObject,
    Opened, Settings, Site, Store, Variant,
};
use sim::{Faults, HandClock, SimDisk};

fn open(disk: &Arc<SimDisk>) -> (Opened, Hands, Arc<HandClock>) {
    let clock = Arc::new(HandClock::default());
    let on: Arc<dyn Disk> = Arc::<SimDisk>::clone(disk);
    let settings = Settings {
        keep_free: 0,
        secret: Some(7),
        ..Settings::of_bytes(64 << 20)
    };
    let (opened, hands) = Store::open_on(on, Arc::<HandClock>::clone(&clock), settings).unwrap();
    (opened, hands, clock)
}

fn entries(opened: &Opened) -> Vec<&[u8]> {
    opened
        .replayed
        .entries
        .iter()
        .map(|(_, entry)| &entry[..])
        .collect()
}

#[test]
fn what_was_acknowledged_survives_and_what_was_not_says_so() {
    let disk = SimDisk::new(1);
    let (opened, mut hands, _) = open(&disk);
    assert!(opened.replayed.fresh);
    let first = opened.journal.append(Generation(1), b"first");
    let second = opened.journal.append(Generation(2), b"second");
    assert_eq!((first.told(), second.told()), (None, None));
    hands.commit();
    assert_eq!((first.wait(), second.wait()), (Ok(()), Ok(())));
    let third = opened.journal.append(Generation(3), b"third");
    let disk = disk.after_losing_all_unsynced();
    assert_eq!(third.told(), None);
    let (opened, _, _) = open(&disk);
    assert_eq!(entries(&opened), [&b"first"[..], b"second"]);
    assert!(!opened.replayed.fresh && opened.replayed.floor.is_none());
    assert_eq!(opened.generation, Generation(2));
}

#[test]
fn a_purge_that_a_failing_disk_did_not_take_is_written_when_it_works_again() {
    let disk = SimDisk::new(1);
    let (opened, mut hands, clock) = open(&disk);
    disk.set_faults(Faults {
        io_error: 1,
        ..Faults::default()
    });
    let ticket = opened.journal.append(Generation(1), b"purge");
    hands.commit();
    assert!(matches!(ticket.told(), Some(Err(JournalError::Disk(_)))));
    assert!(!opened.journal.is_well());
    let soon = opened.journal.append(Generation(2), b"another");
    hands.commit();
    assert!(
        matches!(soon.told(), Some(Err(JournalError::Disk(_)))),
        "nobody waits for a failing disk"
    );
    disk.set_faults(Faults::default());
    clock.pass(Duration::from_secs(1));
    hands.commit();
    assert!(opened.journal.is_well());
    let (opened, _, _) = open(&disk.after_losing_all_unsynced());
    assert_eq!(entries(&opened), [&b"purge"[..], b"another"]);
}

#[test]
fn the_loss_of_an_acknowledged_purge_is_noticed_for_good_and_everything_older_counts_as_purged() {
    let disk = SimDisk::new(1);
    let (opened, mut hands, clock) = open(&disk);
    let new = NewObject {
        key: KeyHash(1),
        variant: Variant(0),
        site: Site(1),
        born: Generation(1),
        total: Some(0),
    };
    let mut writing = opened.store.begin(new).unwrap();
    writing
        .try_head(Generation(1), None, &Head::new(b"1", b"", b"").unwrap())
        .unwrap();
    while hands.write() {}
    for generation in 2..5 {
        opened
            .journal
            .append(Generation(generation), b"a purge of something");
        hands.commit();
    }
    clock.pass(Duration::from_secs(1));
    while hands.write() {}
    let disk = disk.after_kill();
    let mut file = disk.content("purges.journal");
    let at = file
        .windows(20)
        .position(|window| window == b"a purge of something")
        .unwrap();
    file[at] ^= 1;
    disk.put("purges.journal", &file);
    let (damaged, mut hands, clock) = open(&disk);
    assert_eq!(entries(&damaged).len(), 2);
    assert_eq!(damaged.replayed.floor, Some(Generation(4)));
    while hands.scan() {
        clock.pass(Duration::from_secs(1));
    }
    assert!(damaged.store.lookup(KeyHash(1)).is_empty());
    let (again, ..) = open(&disk.after_losing_all_unsynced());
    assert_eq!(again.replayed.floor, Some(Generation(4)));
}

#[test]
fn a_torn_end_that_nobody_was_promised_is_cut() {
    let disk = SimDisk::new(1);
    let (opened, mut hands, _) = open(&disk);
    opened.journal.append(Generation(1), b"whole");
    hands.commit();
    let disk = disk.after_kill();
    let mut file = disk.content("purges.journal");
    file.extend_from_slice(b"MGJE and then the power went");
    disk.put("purges.journal", &file);
    let (opened, ..) = open(&disk);
    assert_eq!(entries(&opened), [b"whole"]);
    assert_eq!((opened.replayed.cut, opened.replayed.floor), (28, None));
}

#[test]
fn what_is_let_go_of_is_gone_and_the_highest_generation_is_not() {
    let disk = SimDisk::new(1);
    let (opened, mut hands, _) = open(&disk);
    for generation in 1..=9 {
        opened.journal.append(Generation(generation), &[7; 100]);
    }
    hands.commit();
    opened
        .journal
        .compact(|generation, _| generation.0 % 4 == 0);
    hands.commit();
    let (opened, ..) = open(&disk.after_losing_all_unsynced());
    let left: Vec<u64> = opened
        .replayed
        .entries
        .iter()
        .map(|(generation, _)| generation.0)
        .collect();
    assert_eq!(left, [4, 8]);
    assert_eq!(opened.generation, Generation(9));
}

#[test]
fn one_past_either_limit_is_refused_by_name() {
    let (opened, _hands, _) = open(&SimDisk::new(1));
    let journal = &opened.journal;
    let entry = vec![0; ENTRY_BYTES + 1];
    assert_eq!(
        journal.append(Generation(1), &entry).told(),
        Some(Err(JournalError::TooLarge(ENTRY_BYTES + 1)))
    );
    let entry = Bytes::from(vec![0; ENTRY_BYTES]);
    let mut taken = 0;
    let refused = loop {
        match journal.append(Generation(1), &entry).told() {
            None => taken += 1,
            Some(told) => break told,
        }
    };
    assert_eq!(refused, Err(JournalError::Full));
    assert_eq!(taken, JOURNAL_BYTES / (ENTRY_BYTES + 40));
    journal.compact(|_, _| false);
    assert_eq!(journal.append(Generation(1), &entry).told(), None);
}
