//! Stories of the store: a caller, the store, a disk.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test says what it found by panicking"
)]

mod sim;

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use mangrove_store::{
    CHUNK_BYTES, Cursor, Disk, Generation, HUNG_AFTER, Had, Handle, Hands, Head, Health, KeyHash,
    NewObject, OpenError, Opened, PIPES, Poured, REMEMBERED_SECONDS, Reach, ReadError, Refused,
    SLABS_MOST, Settings, Site, Store, There, TroubleKind, Variant,
};
use sim::{Faults, HandClock, SimDisk};

const MIB: u64 = 1 << 20;

fn settings() -> Settings {
    Settings {
        bytes: 24 * MIB,
        slab_bytes: 2 * MIB,
        keep_free: 0,
        secret: Some(7),
        ..Settings::default()
    }
}

struct Shop {
    disk: Arc<SimDisk>,
    clock: Arc<HandClock>,
    opened: Opened,
    hands: Hands,
}

fn open(disk: &Arc<SimDisk>, settings: Settings) -> Shop {
    let clock = Arc::new(HandClock::default());
    let on: Arc<dyn Disk> = Arc::<SimDisk>::clone(disk);
    let (opened, hands) = Store::open_on(on, Arc::<HandClock>::clone(&clock), settings).unwrap();
    Shop {
        disk: Arc::clone(disk),
        clock,
        opened,
        hands,
    }
}

fn shop() -> Shop {
    open(&SimDisk::new(1), settings())
}

impl Shop {
    fn store(&self) -> &Store {
        &self.opened.store
    }

    fn begin(&self, key: u64, total: Option<u64>) -> mangrove_store::Writing {
        self.store().begin(new(key, total)).unwrap()
    }

    /// Hands over a whole object.
    fn fill(&self, key: u64, content: &[u8]) -> Result<(), Refused> {
        let mut writing = self.store().begin(new(key, Some(content.len() as u64)))?;
        writing.try_head(Generation(1), None, &head(key))?;
        for (index, chunk) in content.chunks(CHUNK_BYTES as usize).enumerate() {
            writing.try_chunk(index as u32, Bytes::copy_from_slice(chunk))?;
        }
        Ok(())
    }

    fn work(&mut self) {
        while self.hands.write() {}
    }

    fn scan(&mut self) {
        while self.hands.scan() {
            self.clock.pass(Duration::from_millis(10));
        }
    }

    fn flush(&mut self) {
        self.work();
        self.clock.pass(Duration::from_millis(600));
        self.work();
    }

    fn handle(&self, key: u64) -> Option<Handle> {
        self.store().lookup(KeyHash(key)).into_iter().next()
    }

    fn content(&self, key: u64) -> Option<Vec<u8>> {
        let handle = self.handle(key)?;
        assert_eq!(
            handle.read_head().unwrap().key(),
            key.to_string().as_bytes()
        );
        let chunks = handle.chunks(0, u32::MAX);
        Some(
            chunks
                .into_iter()
                .flat_map(|index| handle.read_chunk(index).unwrap())
                .collect(),
        )
    }

    /// The same disk after a power loss, everything scanned.
    fn reopened(self) -> Shop {
        let disk = self.disk.after_power_loss(&mut sim::Random::new(3));
        drop(self);
        let mut shop = open(&disk, settings());
        shop.scan();
        shop
    }
}

fn new(key: u64, total: Option<u64>) -> NewObject {
    NewObject {
        key: KeyHash(key),
        variant: Variant(0),
        site: Site(1),
        born: Generation(1),
        total,
    }
}

fn head(key: u64) -> Head {
    Head::new(key.to_string().as_bytes(), b"\"v\"", b"stored").unwrap()
}

fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut random = sim::Random::new(seed);
    (0..length).map(|_| random.bits() as u8).collect()
}

#[test]
fn what_was_flushed_is_there_after_a_power_loss() {
    let mut shop = shop();
    let large = bytes(1, CHUNK_BYTES as usize * 2 + 17);
    shop.fill(1, b"small").unwrap();
    shop.fill(2, &large).unwrap();
    shop.fill(3, b"").unwrap();
    assert!(
        shop.handle(1).is_none(),
        "nothing is found before it is written"
    );
    shop.flush();
    let shop = shop.reopened();
    assert_eq!(shop.content(1).unwrap(), b"small");
    assert_eq!(shop.content(2).unwrap(), large);
    assert_eq!(shop.content(3).unwrap(), b"");
    assert!(shop.handle(2).unwrap().is_complete());
    assert_eq!(
        shop.handle(2).unwrap().read_head().unwrap().validator(),
        b"\"v\""
    );
}

impl Shop {
    /// Of the first chunk: whether it is verified, and whether it is settled.
    fn is_trusted(&self, key: u64) -> (bool, bool) {
        let place = self.handle(key).unwrap().chunk_place(0).unwrap();
        (place.is_verified(), place.is_settled())
    }

    /// How many bytes a reader's thread was made to bring, and whether they could be had.
    fn brought(&mut self, key: u64, at: u64, most: u64) -> Result<(u64, bool), Refused> {
        let (word, told) = std::sync::mpsc::channel();
        let handle = self.handle(key).unwrap();
        let chunk = u64::from(CHUNK_BYTES);
        let from = u32::try_from(at / chunk).unwrap();
        let places: Vec<_> = (from..4)
            .map_while(|index| handle.chunk_place(index))
            .collect();
        let told_of = move |is_there| word.send(is_there).unwrap();
        let asked = handle.bring_then(&places, at % chunk, most, told_of);
        assert_eq!(self.hands.read(), asked.is_ok());
        asked.map(|length| (length, told.recv().unwrap()))
    }
}

/// What is in pipes, one after another.
fn drained(pipes: &mut [Poured]) -> Vec<u8> {
    let mut all = Vec::new();
    for poured in pipes {
        let from = poured.from().unwrap().try_clone_to_owned().unwrap();
        let mut bytes = vec![0; poured.left()];
        std::fs::File::from(from).read_exact(&mut bytes).unwrap();
        poured.took(bytes.len());
        all.extend(bytes);
    }
    all
}

impl Shop {
    /// How many bytes of a chunk a reader's thread was to put into pipes, and what became of it.
    fn poured(&mut self, key: u64, index: u32, at: u64, most: u64) -> Result<(u64, Had), Refused> {
        let (word, told) = std::sync::mpsc::channel();
        let handle = self.handle(key).unwrap();
        let place = handle.chunk_place(index).unwrap();
        let told_of = move |had| word.send(had).unwrap();
        let asked = handle.pour_then(&place, at, most, told_of);
        assert_eq!(self.hands.read(), asked.is_ok());
        asked.map(|length| (length, told.recv().unwrap()))
    }

    /// So many bytes went past the kernel's memory, and so many into it.
    fn ways(&self) -> (u64, u64) {
        let told = self.store().statistics();
        (told.bytes_poured, told.bytes_brought)
    }
}

#[test]
fn what_is_poured_is_the_content_and_nothing_else_and_where_it_cannot_be_it_is_brought() {
    let mut shop = shop();
    let content = bytes(5, CHUNK_BYTES as usize + 5);
    shop.fill(1, &content).unwrap();
    shop.work();
    assert!(
        matches!(shop.poured(1, 0, 0, 1), Err(Refused::Gone)),
        "it may not be on the disk"
    );
    shop.flush();
    let (chunk, last) = content.split_at(CHUNK_BYTES as usize);
    // Again and again, so that pipes are used again; what does not fit into one goes on in the next.
    for _ in 0..PIPES {
        for (index, at, most, expected) in [
            (0, 0, u64::MAX, chunk),
            (0, 7, 9, &chunk[7..16]),
            (0, chunk.len() as u64 - 1, 9, &chunk[chunk.len() - 1..]),
            (1, 0, u64::MAX, last),
        ] {
            let (length, had) = shop.poured(1, index, at, most).unwrap();
            assert_eq!(length, expected.len() as u64);
            let Had::Poured(mut pipes) = had else {
                panic!("{had:?}");
            };
            assert_eq!(pipes.len(), if length > 9 { 2 } else { 1 });
            assert!(drained(&mut pipes) == expected, "{index} {at} {most}");
        }
    }
    for (at, most) in [(chunk.len() as u64, 1), (0, 0), (u64::MAX, 1)] {
        assert!(
            matches!(shop.poured(1, 0, at, most), Err(Refused::Gone)),
            "{at} {most}"
        );
    }
    // Of what a visitor left nothing is found by the next.
    let (_, had) = shop.poured(1, 0, 0, u64::MAX).unwrap();
    drop(had);
    let (_, had) = shop.poured(1, 1, 0, u64::MAX).unwrap();
    let Had::Poured(mut pipes) = had else {
        panic!("{had:?}");
    };
    assert_eq!(drained(&mut pipes), last);
    drop(pipes);

    // Visitors who are slow have all the pipes.
    let mut slow: Vec<_> = (0..PIPES)
        .map(|_| shop.poured(1, 1, 0, 5).unwrap())
        .collect();
    assert!(slow.iter().all(|(_, had)| matches!(had, Had::Poured(_))));
    let before = shop.ways();
    assert!(matches!(shop.poured(1, 0, 0, 100), Ok((100, Had::Brought))));
    assert_eq!(shop.ways(), (before.0, before.1 + 100));
    // One has gone: that takes what fits into it.
    slow.pop();
    let (length, had) = shop.poured(1, 0, 0, u64::MAX).unwrap();
    assert_eq!(length, chunk.len() as u64);
    let Had::Poured(mut pipes) = had else {
        panic!("{had:?}");
    };
    let got = drained(&mut pipes);
    assert!(got.len() > chunk.len() / 2 && got.len() < chunk.len() && chunk.starts_with(&got));
    drop(pipes);
    let before = (before.0 + got.len() as u64, before.1);
    drop(slow);
    assert!(matches!(
        shop.poured(1, 0, 0, 100),
        Ok((100, Had::Poured(_)))
    ));
    assert_eq!(shop.ways(), (before.0 + 100, before.1 + 100));
    shop.disk.set_pours(false);
    assert!(matches!(shop.poured(1, 0, 0, 100), Ok((100, Had::Brought))));
    shop.disk.set_pours(true);
    // What is wrong with the disk is found by whoever reads it.
    shop.disk.set_faults(Faults {
        io_error: 1,
        ..Faults::default()
    });
    assert!(matches!(shop.poured(1, 0, 0, 100), Ok((100, Had::Nothing))));
    assert_eq!(shop.store().health(), Health::Well);
    shop.disk.set_faults(Faults::default());
}

/// What is written, or was read, is in the kernel's memory; what is asked for and is not there is worth bringing the second time.
#[test]
fn what_is_likely_to_be_in_the_kernels_memory_is_known_without_a_look() {
    let mut shop = shop();
    shop.fill(1, b"content").unwrap();
    shop.flush();
    let told = |shop: &Shop| {
        let handle = shop.handle(1).unwrap();
        handle.was_there(&handle.chunk_place(0).unwrap()).is_some()
    };
    assert!(told(&shop), "it has just been written");
    shop.clock
        .pass(Duration::from_secs(REMEMBERED_SECONDS.into()));
    assert!(!told(&shop));
    let shop = shop.reopened();
    assert!(!told(&shop));
    assert_eq!(shop.content(1).unwrap(), b"content");
    assert!(told(&shop), "it has just been read");
    let handle = shop.handle(1).unwrap();
    let place = handle.chunk_place(0).unwrap();
    shop.clock.pass(Duration::from_secs(20));
    assert!(!handle.missed(&place, There::Whole), "it left again");
    assert!(!told(&shop));
    shop.clock.pass(Duration::from_secs(19));
    assert!(
        handle.missed(&place, There::Whole),
        "it would still be there"
    );
    handle.saw(&place, There::Whole);
    assert!(told(&shop));
}

#[test]
fn what_has_come_to_the_disk_is_settled_and_after_a_restart_what_was_read_is() {
    let mut shop = shop();
    shop.fill(1, b"first").unwrap();
    shop.work();
    assert_eq!(shop.is_trusted(1), (true, false), "the kernel alone has it");
    shop.flush();
    assert_eq!(shop.is_trusted(1), (true, true));
    shop.fill(2, b"second").unwrap();
    shop.work();
    assert_eq!(
        (shop.is_trusted(1), shop.is_trusted(2)),
        ((true, true), (true, false))
    );
    // The slab is sealed.
    for key in 3..6 {
        shop.fill(key, &bytes(key, CHUNK_BYTES as usize)).unwrap();
        shop.work();
    }
    assert_eq!(shop.is_trusted(2), (true, true));
    let shop = shop.reopened();
    assert_eq!(shop.is_trusted(1), (false, false));
    assert_eq!(shop.content(1).unwrap(), b"first");
    assert_eq!(shop.is_trusted(1), (true, true));
}

/// The kernel takes what it could not write for written, and reads something else the next time: for a while this process, and the
/// one after it, found it whole.
#[test]
fn what_a_failed_sync_was_about_is_read_from_the_disk_and_compared_each_time() {
    let mut shop = shop();
    shop.fill(1, b"first").unwrap();
    shop.flush();
    shop.fill(2, b"second").unwrap();
    shop.work();
    assert_eq!(shop.content(2).unwrap(), b"second");
    shop.disk.set_faults(Faults {
        failed_sync: 1,
        ..Faults::default()
    });
    shop.clock.pass(Duration::from_millis(600));
    shop.work();
    assert!(matches!(shop.store().health(), Health::OutOfUse(_)));
    shop.disk.set_faults(Faults::default());
    shop.clock.pass(Duration::from_secs(60));
    shop.work();
    assert_eq!(shop.store().health(), Health::Well);
    assert_eq!(shop.is_trusted(1), (false, false));
    assert_eq!(shop.content(1).unwrap(), b"first");
    assert_eq!(
        shop.is_trusted(1),
        (false, false),
        "however often it was whole"
    );
    let second = shop.handle(2).unwrap();
    assert!(second.read_chunk(0).is_err(), "the disk never had it");
    assert!(shop.handle(2).is_none());
    shop.fill(3, b"third").unwrap();
    shop.flush();
    assert_eq!(shop.is_trusted(3), (true, true));
}

/// It waited for its turn, and was read from the disk after that had lost what was beside it.
#[test]
fn what_was_asked_for_before_a_sync_failed_is_not_sent_unread() {
    let mut shop = shop();
    shop.fill(1, b"first").unwrap();
    shop.flush();
    let handle = shop.handle(1).unwrap();
    let place = handle.chunk_place(0).unwrap();
    let (word, told) = std::sync::mpsc::channel();
    let told_of = move |had| word.send(had).unwrap();
    assert_eq!(handle.pour_then(&place, 0, 5, told_of), Ok(5));
    shop.fill(2, b"second").unwrap();
    shop.work();
    shop.disk.set_faults(Faults {
        failed_sync: 1,
        ..Faults::default()
    });
    shop.clock.pass(Duration::from_millis(600));
    shop.work();
    shop.disk.set_faults(Faults::default());
    assert_eq!(shop.is_trusted(1), (false, false));
    assert!(shop.hands.read());
    assert!(matches!(told.recv().unwrap(), Had::Nothing));
}

#[test]
fn as_much_is_brought_as_has_come_to_the_disk_and_not_a_byte_more() {
    let mut shop = shop();
    let chunk = u64::from(CHUNK_BYTES);
    let total = 3 * chunk + 5;
    let mut writing = shop.begin(1, Some(total));
    writing.try_head(Generation(1), None, &head(1)).unwrap();
    let give = |index, length| {
        let given = writing.try_chunk(index, bytes(9, length).into());
        given.unwrap();
    };
    give(0, chunk as usize);
    give(1, chunk as usize);
    give(3, 5);
    shop.flush();
    for (at, most, brought) in [
        (0, 1, Ok(1)),
        (chunk - 1, 1, Ok(1)),
        (chunk - 1, 2, Ok(2)),
        (0, u64::MAX, Ok(2 * chunk)),
        (2 * chunk, 1, Err(Refused::Gone)),
        (total - 1, 9, Ok(1)),
        (total, 1, Err(Refused::Gone)),
        (0, 0, Err(Refused::Gone)),
    ] {
        let found = shop.brought(1, at, most);
        assert_eq!(found, brought.map(|length| (length, true)), "{at} {most}");
    }
    // Up to a chunk, nothing beyond it; with a byte more, what follows is likely to be wanted.
    for (most, reach) in [
        (1, Reach::Exact),
        (chunk, Reach::Exact),
        (chunk + 1, Reach::Ahead),
    ] {
        assert_eq!(shop.brought(1, 0, most), Ok((most, true)));
        assert_eq!(shop.disk.reach(), Some(reach), "{most}");
    }
    // What is wrong with the disk is found by whoever reads it.
    shop.disk.set_faults(Faults {
        io_error: 1,
        ..Faults::default()
    });
    assert_eq!(shop.brought(1, 0, 1), Ok((1, false)));
    assert_eq!(shop.store().health(), Health::Well);
    shop.disk.set_faults(Faults::default());
}

#[test]
fn what_is_larger_than_a_site_may_have_is_not_begun_and_nothing_leaves_for_it() {
    let mut shop = shop();
    shop.fill(1, b"small").unwrap();
    shop.flush();
    let most = 3 * u64::from(CHUNK_BYTES);
    shop.store().set_quotas(&[(Site(1), Some(most))]);
    let begin = |total| shop.store().begin(new(2, Some(total)));
    assert_eq!(begin(most + 1).unwrap_err(), Refused::SiteFull);
    assert!(begin(most).is_ok());
    assert_eq!(shop.content(1).unwrap(), b"small");
}

#[test]
fn whoever_writes_to_an_object_knows_which_chunks_are_written_and_can_take_it_back() {
    let mut shop = shop();
    let mut writing = shop.begin(1, Some(u64::from(CHUNK_BYTES) * 5));
    writing.try_head(Generation(1), None, &head(1)).unwrap();
    let other = writing.share();
    assert_eq!((other.first_missing(0), other.first_there(0)), (0, None));
    let chunk = Bytes::from(bytes(3, CHUNK_BYTES as usize));
    for index in [0, 1, 3] {
        other.try_chunk(index, chunk.clone()).unwrap();
    }
    assert!(!writing.has_chunk(0), "it waits to be written");
    shop.flush();
    let missing: Vec<u32> = (0..5).map(|from| writing.first_missing(from)).collect();
    assert_eq!(missing, [2, 2, 2, 4, 4]);
    let there: Vec<_> = (0..5).map(|from| writing.first_there(from)).collect();
    assert_eq!(there, [Some(0), Some(1), Some(3), Some(3), None]);
    other.remove();
    assert!(!writing.has_chunk(0) && shop.handle(1).is_none());
    assert_eq!(writing.try_chunk(2, chunk), Err(Refused::Gone));
}

#[test]
fn a_part_of_an_object_is_served_as_a_part_and_completed_later() {
    let mut shop = shop();
    let content = bytes(2, CHUNK_BYTES as usize + 5);
    let (first, last) = content.split_at(CHUNK_BYTES as usize);
    let mut writing = shop.begin(1, Some(content.len() as u64));
    writing.try_head(Generation(1), None, &head(1)).unwrap();
    writing.try_chunk(1, Bytes::copy_from_slice(last)).unwrap();
    drop(writing);
    shop.flush();
    let mut shop = shop.reopened();
    let handle = shop.handle(1).unwrap();
    assert!(!handle.is_complete());
    assert_eq!(handle.chunks(0, 9), [1]);
    assert!(matches!(handle.read_chunk(0), Err(ReadError::Absent)));
    handle
        .write()
        .try_chunk(0, Bytes::copy_from_slice(first))
        .unwrap();
    shop.work();
    assert!(shop.handle(1).unwrap().is_complete());
    assert_eq!(shop.content(1).unwrap(), content);
}

#[test]
fn an_object_of_unknown_length_is_complete_when_its_last_head_says_so() {
    let mut shop = shop();
    let mut writing = shop.begin(1, None);
    writing.try_head(Generation(1), None, &head(1)).unwrap();
    writing.try_chunk(0, Bytes::from_static(b"hello")).unwrap();
    shop.work();
    assert!(!shop.handle(1).unwrap().is_complete());
    writing.try_head(Generation(1), Some(5), &head(1)).unwrap();
    shop.flush();
    assert!(shop.handle(1).unwrap().is_complete());
    assert!(shop.reopened().handle(1).unwrap().is_complete());
}

#[test]
fn a_chunk_that_does_not_fit_its_place_is_refused() {
    let shop = shop();
    let writing = shop.begin(1, Some(u64::from(CHUNK_BYTES) + 5));
    let piece = |length: usize| Bytes::from(vec![0; length]);
    assert_eq!(writing.try_chunk(1, piece(5)), Ok(()));
    assert_eq!(writing.try_chunk(1, piece(6)), Err(Refused::Misfit));
    assert_eq!(writing.try_chunk(0, piece(5)), Err(Refused::Misfit));
    assert_eq!(writing.try_chunk(2, piece(5)), Err(Refused::Misfit));
    assert_eq!(
        writing.try_chunk(0, piece(CHUNK_BYTES as usize + 1)),
        Err(Refused::TooLarge)
    );
    assert!(Head::new(b"k", b"", &vec![0; mangrove_store::HEAD_BYTES as usize - 9]).is_some());
    assert!(Head::new(b"k", b"", &vec![0; mangrove_store::HEAD_BYTES as usize - 8]).is_none());
}

#[test]
fn a_newer_head_takes_the_older_ones_place_and_content_stays() {
    let mut shop = shop();
    shop.fill(1, b"content").unwrap();
    shop.work();
    let confirmed = Head::new(b"1", b"\"v\"", b"fresher").unwrap();
    let written = shop.store().statistics().bytes_written;
    shop.handle(1)
        .unwrap()
        .write()
        .try_head(Generation(9), None, &confirmed)
        .unwrap();
    shop.flush();
    assert!(shop.store().statistics().bytes_written - written < 256);
    let shop = shop.reopened();
    let handle = shop.handle(1).unwrap();
    assert_eq!(handle.read_head().unwrap().stored(), b"fresher");
    assert_eq!(handle.subject().born, Generation(9));
    assert_eq!(shop.content(1).unwrap(), b"content");
}

#[test]
fn a_complete_object_replaces_older_ones_of_its_variant_only() {
    let mut shop = shop();
    shop.fill(1, b"old").unwrap();
    let other = NewObject {
        variant: Variant(5),
        ..new(1, Some(5))
    };
    let mut writing = shop.store().begin(other).unwrap();
    writing.try_head(Generation(1), None, &head(1)).unwrap();
    writing.try_chunk(0, Bytes::from_static(b"other")).unwrap();
    shop.work();
    let mut writing = shop.begin(1, Some(3));
    writing.try_head(Generation(1), None, &head(1)).unwrap();
    shop.work();
    assert_eq!(
        shop.store().lookup(KeyHash(1)).len(),
        3,
        "until it is complete the old one stays"
    );
    writing.try_chunk(0, Bytes::from_static(b"new")).unwrap();
    shop.flush();
    assert_eq!(shop.store().lookup(KeyHash(1)).len(), 2);
    let shop = shop.reopened();
    assert_eq!(shop.store().lookup(KeyHash(1)).len(), 2);
    assert_eq!(shop.content(1).unwrap(), b"new");
}

#[test]
fn what_was_removed_is_gone_after_a_restart_too_and_a_fill_that_began_before_is_lost() {
    let mut shop = shop();
    shop.fill(1, b"one").unwrap();
    shop.fill(2, b"two").unwrap();
    shop.work();
    let mut under_way = shop.begin(1, Some(3));
    assert_eq!(shop.store().remove(KeyHash(1)), 2);
    assert_eq!(
        under_way.try_head(Generation(1), None, &head(1)),
        Err(Refused::Gone)
    );
    drop(under_way);
    assert!(shop.handle(1).is_none());
    shop.flush();
    let shop = shop.reopened();
    assert!(shop.handle(1).is_none());
    assert_eq!(shop.content(2).unwrap(), b"two");
}

#[test]
fn what_is_dead_is_never_found() {
    let floor = Arc::new(AtomicU64::new(0));
    let its = Arc::clone(&floor);
    let alive: mangrove_store::Alive =
        Arc::new(move |subject| subject.born.0 > its.load(Ordering::Relaxed));
    let mut shop = open(
        &SimDisk::new(1),
        Settings {
            alive: Some(alive),
            ..settings()
        },
    );
    shop.scan();
    shop.fill(1, b"one").unwrap();
    shop.fill(2, b"two").unwrap();
    shop.work();
    assert!(shop.handle(1).is_some());
    assert_eq!(shop.store().oldest(), Some(Generation(1)));
    floor.store(1, Ordering::Relaxed);
    assert!(shop.handle(1).is_none());
    assert_eq!(
        shop.store().retain(|subject| subject.born > Generation(1)),
        1,
        "the lookup let go of the other"
    );
    assert_eq!(shop.store().oldest(), None);
}

#[test]
fn a_damaged_record_is_dropped_and_its_neighbours_are_found() {
    let mut shop = shop();
    for key in 0..50 {
        shop.fill(key, &bytes(key, 3_000)).unwrap();
    }
    shop.flush();
    let name = shop
        .disk
        .names()
        .into_iter()
        .find(|name| name.ends_with(".slab"))
        .unwrap();
    let mut content = shop.disk.content(&name);
    // Through the middle of a header, and of content, of a few.
    content[20_000..24_500].fill(0xaa);
    let disk = shop.disk.after_kill();
    disk.put(&name, &content);
    drop(shop);
    let mut shop = open(&disk, settings());
    shop.scan();
    assert!(shop.store().progress().damaged >= 1);
    let mut whole = 0;
    for key in 0..50 {
        if let Some(handle) = shop.handle(key) {
            match handle.read_chunk(0) {
                Ok(read) => {
                    assert_eq!(read, bytes(key, 3_000), "{key}");
                    whole += 1;
                }
                Err(ReadError::Damaged | ReadError::Absent) => {}
                Err(ReadError::Failed(error)) => panic!("{error}"),
            }
        }
    }
    assert!((47..50).contains(&whole), "{whole}");
}

#[test]
fn content_that_looks_like_a_record_is_not_taken_for_one() {
    let mut shop = shop();
    shop.fill(1, &bytes(1, 500)).unwrap();
    shop.flush();
    let name = shop
        .disk
        .names()
        .into_iter()
        .find(|name| name.ends_with(".slab"))
        .unwrap();
    // A visitor who could upload a piece of our own slab, served from our own slab.
    let forged = shop.disk.content(&name);
    shop.fill(2, &forged).unwrap();
    shop.flush();
    let mut content = shop.disk.content(&name);
    // The header before it is damaged, so that the scan looks inside.
    let at = content
        .windows(forged.len())
        .rposition(|window| window == forged)
        .unwrap();
    content[at - 96..at].fill(0xaa);
    let disk = shop.disk.after_kill();
    disk.put(&name, &content);
    drop(shop);
    let mut shop = open(&disk, settings());
    shop.scan();
    assert_eq!(
        shop.store().progress().records,
        3,
        "one object whole, of the other its head"
    );
    assert!(shop.handle(2).unwrap().chunks(0, 9).is_empty());
}

#[test]
fn what_is_asked_for_outlives_a_crawl_through_everything() {
    let mut shop = shop();
    shop.scan();
    for key in 0..40 {
        shop.fill(key, &bytes(key, 50_000)).unwrap();
        shop.work();
    }
    for key in 1_000..2_500 {
        if key % 50 == 0 {
            for wanted in 0..40 {
                if let Some(handle) = shop.handle(wanted) {
                    handle.read_chunk(0).unwrap();
                }
            }
        }
        shop.fill(key, &bytes(key, 50_000)).unwrap();
        shop.work();
    }
    let kept = (0..40)
        .filter(|key| shop.content(*key) == Some(bytes(*key, 50_000)))
        .count();
    assert!(kept >= 38, "{kept} of 40");
    let statistics = shop.store().statistics();
    assert!(
        statistics.promoted > 0 && statistics.evicted > 500,
        "{statistics:?}"
    );
    let held: usize = shop
        .disk
        .names()
        .iter()
        .map(|name| shop.disk.content(name).len())
        .sum();
    assert!(held as u64 <= settings().bytes, "{held}");
}

#[test]
fn what_moves_to_main_is_durable_before_the_slab_it_came_from_goes() {
    let mut shop = shop();
    shop.scan();
    shop.fill(1, &bytes(1, 50_000)).unwrap();
    shop.flush();
    let mut key = 100;
    while shop.store().statistics().promoted == 0 {
        shop.content(1).unwrap();
        shop.fill(key, &bytes(key, 50_000)).unwrap();
        shop.work();
        key += 1;
    }
    let disk = shop.disk.after_losing_all_unsynced();
    drop(shop);
    let mut shop = open(&disk, settings());
    shop.scan();
    assert_eq!(shop.content(1).unwrap(), bytes(1, 50_000));
}

#[test]
fn no_store_has_more_files_than_it_may() {
    assert!(matches!(
        Store::open_on(
            SimDisk::new(1),
            Arc::new(HandClock::default()),
            Settings {
                slabs: SLABS_MOST + 1,
                ..settings()
            }
        ),
        Err(OpenError::Settings(_))
    ));
    let mut shop = open(
        &SimDisk::new(1),
        Settings {
            bytes: 1 << 30,
            slabs: 8,
            ..settings()
        },
    );
    for key in 0..400 {
        shop.fill(key, &bytes(key, 100_000)).unwrap();
        shop.work();
        assert!(
            shop.disk
                .names()
                .iter()
                .filter(|name| name.ends_with(".slab"))
                .count()
                <= 8
        );
    }
}

#[test]
fn a_site_over_its_quota_gives_up_its_own_oldest() {
    let mut shop = shop();
    shop.store().set_quotas(&[(Site(2), Some(MIB))]);
    let fill = |shop: &mut Shop, key: u64| {
        let content = bytes(key, 100_000);
        let mut writing = shop.store().begin(NewObject {
            site: Site(2),
            ..new(key, Some(100_000))
        })?;
        writing.try_head(Generation(1), None, &head(key))?;
        writing.try_chunk(0, content.into())?;
        shop.work();
        Ok::<(), Refused>(())
    };
    shop.fill(1, b"of another site").unwrap();
    for key in 100..130 {
        assert_eq!(fill(&mut shop, key), Ok(()));
        assert!(shop.store().site_bytes(Site(2)) <= MIB);
    }
    assert!(shop.handle(100).is_none());
    assert!(shop.handle(129).is_some());
    assert_eq!(shop.content(1).unwrap(), b"of another site");
    let huge = shop.store().begin(NewObject {
        site: Site(2),
        ..new(7, Some(2 * MIB))
    });
    assert_eq!(
        huge.unwrap_err(),
        Refused::SiteFull,
        "its first chunk alone is over the quota"
    );
}

#[test]
fn a_quota_that_comes_later_counts_what_was_there_before() {
    let mut shop = shop();
    let of_site = |site: u32, key: u64| NewObject {
        site: Site(site),
        ..new(key, Some(100_000))
    };
    let fill = |shop: &mut Shop, site: u32, key: u64| {
        let mut writing = shop.store().begin(of_site(site, key)).unwrap();
        writing.try_head(Generation(1), None, &head(key)).unwrap();
        writing.try_chunk(0, bytes(key, 100_000).into()).unwrap();
        shop.work();
    };
    for key in 100..130 {
        fill(&mut shop, 2, key);
        fill(&mut shop, 3, key + 100);
    }
    shop.store().set_quotas(&[(Site(2), Some(MIB))]);
    assert!(shop.store().site_bytes(Site(2)) <= MIB);
    assert!(shop.handle(100).is_none(), "the oldest has left");
    assert!(shop.handle(129).is_some(), "the newest has not");
    assert!(
        (200..230).all(|key| shop.handle(key).is_some()),
        "nor has anything of another site"
    );
    fill(&mut shop, 2, 130);
    assert!(shop.handle(130).is_some(), "and there is room for new ones");
    assert!(shop.store().site_bytes(Site(2)) <= MIB);
}

#[test]
fn a_full_disk_is_noticed_and_comes_back_by_itself() {
    let mut shop = shop();
    shop.fill(1, b"kept").unwrap();
    shop.work();
    shop.disk.set_faults(Faults {
        no_space: 1,
        ..Faults::default()
    });
    shop.fill(2, b"lost").unwrap();
    shop.work();
    let Health::OutOfUse(trouble) = shop.store().health() else {
        panic!("well on a full disk");
    };
    assert_eq!(
        (trouble.kind, trouble.reads_go_on),
        (TroubleKind::Full, true)
    );
    assert_eq!(shop.fill(3, b"refused"), Err(Refused::OutOfUse));
    shop.disk.set_faults(Faults::default());
    shop.clock.pass(Duration::from_secs(1));
    shop.work();
    assert_eq!(shop.store().health(), Health::Well);
    shop.fill(4, b"again").unwrap();
    shop.work();
    assert_eq!(shop.content(4).unwrap(), b"again");
}

#[test]
fn a_disk_that_others_fill_makes_the_store_give_back() {
    let mut shop = open(
        &SimDisk::new(1),
        Settings {
            keep_free: 4 * MIB,
            ..settings()
        },
    );
    for key in 0..300 {
        shop.fill(key, &bytes(key, 50_000)).unwrap();
        shop.work();
    }
    let used: usize = shop
        .disk
        .names()
        .iter()
        .map(|name| shop.disk.content(name).len())
        .sum();
    assert!(used as u64 > 14 * MIB);
    shop.disk.set_capacity(16 * MIB);
    for key in 300..500 {
        shop.fill(key, &bytes(key, 50_000)).unwrap();
        shop.work();
    }
    let used: usize = shop
        .disk
        .names()
        .iter()
        .map(|name| shop.disk.content(name).len())
        .sum();
    assert!(used as u64 <= 13 * MIB, "{used}");
    assert_eq!(shop.store().health(), Health::Well);
}

#[test]
fn a_read_only_disk_still_gives_what_it_holds() {
    let mut shop = shop();
    shop.fill(1, b"kept").unwrap();
    shop.work();
    shop.disk.set_read_only(true);
    shop.fill(2, b"lost").unwrap();
    shop.work();
    assert!(
        matches!(shop.store().health(), Health::OutOfUse(trouble) if trouble.kind == TroubleKind::ReadOnly)
    );
    assert_eq!(shop.content(1).unwrap(), b"kept");
}

#[test]
fn a_hung_disk_refuses_at_once_and_comes_back() {
    let disk = SimDisk::new(1);
    let mut shop = open(&disk, settings());
    shop.fill(1, b"kept").unwrap();
    shop.work();
    let handle = shop.handle(1).unwrap();
    disk.hang(true);
    let (teller, told) = std::sync::mpsc::channel();
    handle
        .read_chunk_then(0, move |read| {
            teller.send(read.map(|_| ()).is_ok()).unwrap()
        })
        .unwrap();
    let mut hands = shop.hands;
    let reader = std::thread::spawn(move || {
        hands.read();
        hands
    });
    // Until the reader's thread is in its call the clock does not move, so this ends.
    while shop.opened.store.health() == Health::Well {
        shop.clock.pass(HUNG_AFTER);
        std::thread::yield_now();
    }
    assert!(shop.opened.store.lookup(KeyHash(1)).is_empty());
    assert_eq!(handle.read_chunk_then(0, |_| ()), Err(Refused::OutOfUse));
    assert_eq!(
        shop.opened.store.begin(new(2, None)).unwrap_err(),
        Refused::OutOfUse
    );
    disk.hang(false);
    drop(reader.join().unwrap());
    assert_eq!(told.recv(), Ok(true));
    assert_eq!(shop.opened.store.health(), Health::Well);
}

#[test]
fn reads_past_the_queue_are_refused() {
    let mut shop = open(
        &SimDisk::new(1),
        Settings {
            reads_waiting: 2,
            ..settings()
        },
    );
    shop.fill(1, b"kept").unwrap();
    shop.work();
    let handle = shop.handle(1).unwrap();
    let count = Arc::new(AtomicU64::new(0));
    let read = || {
        let count = Arc::clone(&count);
        handle.read_chunk_then(0, move |read| {
            assert_eq!(&read.unwrap()[..], b"kept");
            count.fetch_add(1, Ordering::Relaxed);
        })
    };
    assert_eq!(
        (read(), read(), read()),
        (Ok(()), Ok(()), Err(Refused::Behind))
    );
    while shop.hands.read() {}
    assert_eq!(count.load(Ordering::Relaxed), 2);
    assert_eq!(read(), Ok(()));
}

#[test]
fn writes_past_the_queue_are_refused() {
    let mut shop = open(
        &SimDisk::new(1),
        Settings {
            queue_bytes: 10_000,
            ..settings()
        },
    );
    assert_eq!(shop.fill(1, &bytes(1, 9_000)), Ok(()));
    assert_eq!(shop.fill(2, &bytes(2, 9_000)), Err(Refused::Behind));
    shop.work();
    assert_eq!(shop.fill(2, &bytes(2, 9_000)), Ok(()));
}

#[test]
fn only_one_process_has_the_store_and_the_next_gets_it_when_that_is_gone() {
    let shop = shop();
    let disk = Arc::clone(&shop.disk);
    let clock = Arc::new(HandClock::default());
    let again = || {
        let on: Arc<dyn Disk> = Arc::<SimDisk>::clone(&disk);
        Store::open_on(on, Arc::<HandClock>::clone(&clock), settings())
    };
    assert!(matches!(again(), Err(OpenError::InUse)));
    shop.fill(1, b"written at the end").unwrap();
    let Shop { opened, hands, .. } = shop;
    hands.finish();
    let (next, mut hands) = again().unwrap();
    while hands.scan() {
        clock.pass(Duration::from_secs(1));
    }
    assert!(next.store.lookup(KeyHash(1)).first().unwrap().is_complete());
    drop(opened);
}

#[test]
fn generations_go_on_above_every_one_that_was_used() {
    let mut shop = shop();
    let new = NewObject {
        born: Generation(5_000_000),
        ..new(1, Some(1))
    };
    let mut writing = shop.store().begin(new).unwrap();
    writing
        .try_head(Generation(5_000_000), None, &head(1))
        .unwrap();
    writing.try_chunk(0, Bytes::from_static(b"1")).unwrap();
    drop(writing);
    shop.flush();
    let shop = shop.reopened();
    assert!(shop.opened.generation >= Generation(5_000_000));
    assert!(shop.opened.generation < Generation(10_000_000));
}

#[test]
fn foreign_files_are_left_alone_and_broken_slabs_are_removed() {
    let disk = SimDisk::new(1);
    disk.put("notes.txt", b"an operator's");
    drop(open(&disk, settings()));
    let disk = disk.after_kill();
    let broken = "probation-00000001-00000009-0000000000000001.slab";
    disk.put(broken, &[7; 5_000]);
    let mut shop = open(&disk, settings());
    shop.scan();
    assert_eq!(
        (
            shop.store().progress().foreign,
            shop.store().progress().damaged
        ),
        (1, 1)
    );
    assert!(disk.names().contains(&"notes.txt".to_owned()));
    assert!(!disk.names().contains(&broken.to_owned()));
}

#[test]
fn a_lost_journal_means_that_nothing_on_disk_is_trusted() {
    let mut shop = shop();
    shop.fill(1, b"perhaps purged").unwrap();
    shop.flush();
    let disk = shop.disk.after_kill();
    disk.put("purges.journal", b"not a journal");
    drop(shop);
    let mut shop = open(
        &disk,
        Settings {
            secret: Some(8),
            ..settings()
        },
    );
    assert!(shop.opened.replayed.fresh);
    shop.scan();
    assert!(shop.handle(1).is_none());
    assert_eq!(shop.disk.names(), ["purges.journal"]);
}

#[test]
fn the_scan_reads_no_faster_than_it_may() {
    let mut shop = shop();
    for key in 0..100 {
        shop.fill(key, &bytes(key, 100_000)).unwrap();
        shop.work();
    }
    shop.flush();
    let disk = shop.disk.after_kill();
    drop(shop);
    let mut shop = open(
        &disk,
        Settings {
            scan_rate: 100_000,
            ..settings()
        },
    );
    while shop.hands.scan() {
        let read = shop.store().progress().bytes_read;
        let allowed = mangrove_store::Clock::now(&*shop.clock).as_millis() as u64 * 100;
        assert!(read <= allowed + MIB, "{read} of {allowed}");
        shop.clock.pass(Duration::from_millis(10));
    }
    let progress = shop.store().progress();
    assert!(
        progress.is_over && progress.slabs == progress.slabs_done,
        "{progress:?}"
    );
    assert_eq!(
        (progress.records, progress.bytes),
        (200, progress.bytes_done)
    );
    assert!(
        progress.bytes_read < 2 * MIB,
        "content is skipped: {progress:?}"
    );
}

#[test]
fn the_scan_tells_how_long_it_takes_and_then_how_long_it_took() {
    let mut shop = shop();
    shop.fill(1, b"a").unwrap();
    shop.flush();
    let disk = shop.disk.after_kill();
    drop(shop);
    let mut shop = open(&disk, settings());
    shop.clock.pass(Duration::from_secs(3));
    assert_eq!(shop.store().progress().took, Duration::from_secs(3));
    while shop.hands.scan() {}
    shop.clock.pass(Duration::from_secs(60));
    let progress = shop.store().progress();
    assert_eq!(
        (progress.is_over, progress.took),
        (true, Duration::from_secs(3))
    );
}

/// Pages of two keys each, from the first to the last.
fn told(shop: &Shop, site: Option<Site>, mut between: impl FnMut(u32)) -> Vec<KeyHash> {
    let (mut all, mut next, mut page) = (Vec::new(), Some(Cursor::START), 0);
    while let Some(from) = next {
        let (keys, then) = shop.store().keys(from, 2, site);
        assert!(keys.len() <= 2, "one past a page: {keys:?}");
        assert!(then.is_none_or(|then| then > from), "it goes on");
        all.extend(keys);
        next = then;
        between(page);
        page += 1;
    }
    all
}

/// Seven in each of four shards, so that a page ends within one.
fn in_four_shards() -> Vec<KeyHash> {
    let shards = [0_u64, 1, 5, 63];
    let of = |shard: u64| (1..=7).map(move |key| KeyHash((shard << 40) | (key * 0x9e37_79b9)));
    shards.into_iter().flat_map(of).collect()
}

#[test]
fn every_key_is_told_once_whatever_comes_and_goes_meanwhile() {
    let mut shop = shop();
    for key in in_four_shards() {
        shop.fill(key.0, b"a").unwrap();
    }
    shop.work();
    let mut keys = told(&shop, None, |_| ());
    keys.sort_unstable();
    let mut all = in_four_shards();
    all.sort_unstable();
    assert_eq!(keys, all);

    let gone = all[13];
    let keys = told(&shop, None, |page| match page {
        0 => drop(shop.store().remove(gone)),
        _ => shop
            .fill(u64::from(page) << 50 | 0xff_0000_0000, b"b")
            .unwrap(),
    });
    for key in all.iter().filter(|key| **key != gone) {
        let times = keys.iter().filter(|told| *told == key).count();
        assert_eq!(times, 1, "{key:?}");
    }
}

#[test]
fn keys_of_one_site_are_told_alone() {
    let mut shop = shop();
    let keys = in_four_shards();
    for (at, key) in keys.iter().enumerate() {
        let site = Site((at % 2) as u32);
        let of_site = NewObject {
            site,
            ..new(key.0, Some(1))
        };
        let mut writing = shop.store().begin(of_site).unwrap();
        writing.try_head(Generation(1), None, &head(key.0)).unwrap();
        writing.try_chunk(0, Bytes::from_static(b"a")).unwrap();
    }
    shop.work();
    for site in [0, 1] {
        let told = told(&shop, Some(Site(site)), |_| ());
        let is_its = |key: &KeyHash| keys.iter().position(|its| its == key).unwrap() % 2;
        assert!(told.iter().all(|key| is_its(key) == site as usize));
        assert_eq!(told.len(), keys.len() / 2);
    }
}

#[test]
fn who_only_looks_does_not_count_as_asking() {
    let mut shop = shop();
    shop.fill(1, b"a").unwrap();
    shop.work();
    let peek = |shop: &Shop| shop.store().peek(KeyHash(1)).remove(0).asked();
    assert_eq!((peek(&shop), peek(&shop)), (0, 0));
    for asked in [1, 2, 3, 3] {
        assert_eq!(shop.handle(1).unwrap().asked(), asked);
    }
    let looked = shop.store().peek(KeyHash(1)).remove(0);
    assert_eq!((looked.asked(), looked.chunks_there()), (3, 1));
    assert!(!looked.is_in_main());
}

#[test]
fn on_a_real_disk_with_real_threads() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        secret: None,
        ..settings()
    };
    let opened = Store::open(folder.path(), settings.clone()).unwrap();
    assert!(matches!(
        Store::open(folder.path(), settings.clone()),
        Err(OpenError::InUse)
    ));
    let content = bytes(1, CHUNK_BYTES as usize + 9);
    let mut writing = opened
        .store
        .begin(new(1, Some(content.len() as u64)))
        .unwrap();
    writing.try_head(Generation(1), None, &head(1)).unwrap();
    for (index, chunk) in content.chunks(CHUNK_BYTES as usize).enumerate() {
        writing
            .try_chunk(index as u32, Bytes::copy_from_slice(chunk))
            .unwrap();
    }
    opened.store.flush().unwrap();
    opened
        .journal
        .append(Generation(2), b"a purge")
        .wait()
        .unwrap();
    let (word, told) = std::sync::mpsc::channel();
    let found = opened.store.lookup(KeyHash(1)).remove(0);
    let places: Vec<_> = (0..2)
        .map(|index| found.chunk_place(index).unwrap())
        .collect();
    let told_of = move |is_there| word.send(is_there).unwrap();
    let brought = found.bring_then(&places, 7, u64::MAX, told_of);
    assert_eq!(brought, Ok(content.len() as u64 - 7));
    assert!(told.recv().unwrap());
    for (place, expected) in places.iter().zip(content.chunks(CHUNK_BYTES as usize)) {
        let (word, told) = std::sync::mpsc::channel();
        let told_of = move |had| word.send(had).unwrap();
        let asked = found.pour_then(place, 0, u64::MAX, told_of);
        assert_eq!(asked, Ok(expected.len() as u64));
        match told.recv().unwrap() {
            Had::Poured(mut pipes) => assert!(drained(&mut pipes) == expected),
            Had::Brought => {} // this file system cannot be read so
            Had::Nothing => panic!("it is there"),
        }
    }
    let seed = opened.seed;
    opened.store.close();
    assert_eq!(
        opened.store.lookup(KeyHash(1)).len(),
        1,
        "handles outlive the closing"
    );

    let opened = Store::open(folder.path(), settings).unwrap();
    assert_eq!(opened.seed, seed);
    assert_eq!(
        opened.replayed.entries,
        [(Generation(2), Bytes::from_static(b"a purge"))]
    );
    while !opened.store.progress().is_over {
        std::thread::yield_now();
    }
    let handle = opened.store.lookup(KeyHash(1)).into_iter().next().unwrap();
    let place = handle.chunk_place(1).unwrap();
    assert!(!place.is_verified());
    let (teller, told) = std::sync::mpsc::channel();
    handle
        .read_chunk_then(1, move |read| teller.send(read.unwrap()).unwrap())
        .unwrap();
    assert_eq!(told.recv().unwrap(), content[CHUNK_BYTES as usize..]);
    let place = handle.chunk_place(1).unwrap();
    assert!(place.is_verified());
    let mut sent = vec![0; place.length() as usize];
    std::os::unix::fs::FileExt::read_exact_at(place.file().unwrap(), &mut sent, place.offset())
        .unwrap();
    assert_eq!(sent, content[CHUNK_BYTES as usize..]);
    opened.store.close();
}
