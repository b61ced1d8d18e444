//! Crashes by the thousand: a store is killed, or loses power, at any call to its disk, during fills, evictions, removals and
//! purges, on a disk that also fails in smaller ways. Each time it is opened again on what is left, and asked for everything.
//!
//! Never is a byte returned that is not the object's, nor an object that was purged before the purge was acknowledged; and of
//! what was finished over a second before the crash, and not let go of, at least 95% is found.
//!
//! `MANGROVE_CRASH_ROUNDS=100000 MANGROVE_CRASH_SEED=7 cargo test -p mangrove-store --release --test crash -- --nocapture`

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test says what it found by panicking"
)]

mod sim;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use mangrove_store::{
    CHUNK_BYTES, Clock, Disk, Generation, Handle, Hands, Head, Journal, KeyHash, NewObject,
    ObjectId, OpenError, Opened, ReadError, Settings, Site, Store, Ticket, Variant,
};
use sim::{Faults, HandClock, Random, SimDisk};

const KEYS: u64 = 120;
/// Crashes that one store goes through before a new one takes its place.
const CRASHES_A_STORE: u64 = 12;

/// What is remembered across crashes, by somebody who never forgets.
#[derive(Default)]
struct Model {
    /// The next version of any object, and what each was begun with.
    versions: u64,
    begun: HashMap<u64, Begun>,
    /// Per key: the generation up to which a purge was acknowledged, and up to which one was asked for.
    acknowledged: HashMap<u64, u64>,
    asked: HashMap<u64, u64>,
    generation: u64,
}

#[derive(Clone, Copy)]
struct Begun {
    key: u64,
    id: ObjectId,
    born: u64,
    total: u64,
    finished_at: Option<Duration>,
}

struct Tally {
    crashes: u64,
    opened: u64,
    expected: u64,
    found: u64,
    /// Of those, what was finished within the last life.
    recent: u64,
    recent_found: u64,
    read: u64,
    damaged: u64,
    evicted: u64,
    promoted: u64,
    purges: u64,
    reopen_refused: u64,
}

#[test]
fn no_crash_makes_it_return_a_wrong_a_purged_or_half_an_object() {
    let asked =
        |name: &str, default| std::env::var(name).map_or(default, |told| told.parse().unwrap());
    let rounds: u64 = asked("MANGROVE_CRASH_ROUNDS", 2_000);
    let seed: u64 = asked("MANGROVE_CRASH_SEED", 20_251_118);
    println!("seed {seed}, {rounds} crashes");
    let mut tally = Tally {
        crashes: 0,
        opened: 0,
        expected: 0,
        found: 0,
        recent: 0,
        recent_found: 0,
        read: 0,
        damaged: 0,
        evicted: 0,
        promoted: 0,
        purges: 0,
        reopen_refused: 0,
    };
    let mut random = Random::new(seed);
    while tally.crashes < rounds {
        life_of_a_store(&mut random, &mut tally);
    }
    println!(
        "{} crashes, {} opened ({} refused by a failing disk); {} objects read, {} damaged; of {} that had to be found {} were, of {} recent ones {}; \
         {} records evicted, {} promoted, {} purges",
        tally.crashes,
        tally.opened,
        tally.reopen_refused,
        tally.read,
        tally.damaged,
        tally.expected,
        tally.found,
        tally.recent,
        tally.recent_found,
        tally.evicted,
        tally.promoted,
        tally.purges
    );
    assert!(tally.expected > rounds, "the test proves something");
    assert!(tally.evicted > rounds && tally.purges > rounds / 2);
    assert!(tally.recent * 10 > rounds, "{} recent", tally.recent);
    assert!(
        tally.recent_found * 100 >= tally.recent * 95,
        "{} of {}",
        tally.recent_found,
        tally.recent
    );
    assert!(
        tally.found * 100 >= tally.expected * 99,
        "{} of {}",
        tally.found,
        tally.expected
    );
}

fn life_of_a_store(random: &mut Random, tally: &mut Tally) {
    let mut disk = SimDisk::new(random.bits());
    let clock = Arc::new(HandClock::default());
    let mut model = Model {
        generation: 1,
        ..Model::default()
    };
    // Most stores hold small objects, some also such of several chunks.
    let large = random.one_in(12);
    let mut must_be_found = HashSet::new();
    let mut began_at = Duration::ZERO;
    let mut flipped = false;
    for _ in 0..CRASHES_A_STORE {
        let purged = Arc::new(Mutex::new(HashMap::new()));
        let Some((opened, mut hands)) = open(&disk, &clock, large, &purged, tally) else {
            continue;
        };
        tally.opened += 1;
        replay(&opened, &purged);
        model.generation = model.generation.max(opened.generation.0) + 1;
        if opened.replayed.fresh && !model.begun.is_empty() {
            assert!(flipped, "a journal is lost only to damage");
        }
        check(
            &opened.store,
            &model,
            &clock,
            &mut hands,
            &must_be_found,
            began_at,
            flipped,
            random,
            tally,
        );
        let faults = random.one_in(3);
        if faults {
            disk.set_faults(Faults {
                no_space: 60,
                io_error: 80,
                short: 4,
                failed_sync: 15,
            });
        } else if random.one_in(2) {
            disk.set_faults(Faults {
                short: 3,
                ..Faults::default()
            });
        }
        let calls = if random.one_in(4) { 12 } else { 120 };
        disk.stop_in(random.below(calls));
        began_at = live(
            &opened, &mut hands, &mut model, &disk, &clock, &purged, large, random, tally,
        );
        tally.crashes += 1;
        tally.evicted += opened.store.statistics().evicted;
        tally.promoted += opened.store.statistics().promoted;
        must_be_found = expected(
            &opened.store,
            &model,
            &clock,
            if faults { None } else { Some(began_at) },
        );
        let next = if random.one_in(3) {
            disk.after_kill()
        } else {
            disk.after_power_loss(random)
        };
        drop((opened, hands));
        disk = next;
        // What was flipped stays so: from then on damage is found, and nothing is promised of how much there is.
        if random.one_in(20) {
            disk.flip(random, 20);
            flipped = true;
        }
    }
}

type Purged = Arc<Mutex<HashMap<u64, u64>>>;

fn open(
    disk: &Arc<SimDisk>,
    clock: &Arc<HandClock>,
    large: bool,
    purged: &Purged,
    tally: &mut Tally,
) -> Option<(Opened, Hands)> {
    let its = Arc::clone(purged);
    let slab_bytes = if large { 2 << 20 } else { 64 << 10 };
    let settings = Settings {
        bytes: slab_bytes * 9,
        slab_bytes,
        keep_free: 0,
        secret: Some(41),
        scan_rate: u64::MAX / 2,
        alive: Some(Arc::new(move |subject| {
            subject.born.0
                > its
                    .lock()
                    .unwrap()
                    .get(&subject.key.0)
                    .copied()
                    .unwrap_or(0)
        })),
        ..Settings::default()
    };
    let on: Arc<dyn Disk> = Arc::<SimDisk>::clone(disk);
    match Store::open_on(on, Arc::<HandClock>::clone(clock), settings) {
        Ok(opened) => Some(opened),
        Err(OpenError::Disk(_)) => {
            tally.reopen_refused += 1;
            None
        }
        Err(other) => panic!("{other}"),
    }
}

/// A purge as this test writes it into the journal: the key, and the generation up to which it holds.
fn entry(key: u64, up_to: u64) -> Vec<u8> {
    [key.to_le_bytes(), up_to.to_le_bytes()].concat()
}

fn replay(opened: &Opened, purged: &Purged) {
    for (_, entry) in &opened.replayed.entries {
        let key = u64::from_le_bytes(entry[..8].try_into().unwrap());
        let up_to = u64::from_le_bytes(entry[8..16].try_into().unwrap());
        let mut purged = purged.lock().unwrap();
        let there = purged.entry(key).or_default();
        *there = up_to.max(*there);
    }
}

/// The store at work until its disk stops. Since when it works without trouble is returned.
#[allow(clippy::too_many_arguments, reason = "what a life consists of")]
fn live(
    opened: &Opened,
    hands: &mut Hands,
    model: &mut Model,
    disk: &Arc<SimDisk>,
    clock: &Arc<HandClock>,
    purged: &Purged,
    large: bool,
    random: &mut Random,
    tally: &mut Tally,
) -> Duration {
    let (store, journal) = (&opened.store, &opened.journal);
    let since = clock.now();
    let mut tickets = Vec::new();
    let mut under_way = Vec::new();
    for _ in 0..4_000 {
        if disk.is_stopped() {
            break;
        }
        match random.below(20) {
            0..=6 => fill(store, model, clock, large, random, &mut under_way),
            7 => purge(store, journal, model, purged, random, &mut tickets, tally),
            8 => {
                let key = random.below(KEYS);
                if random.one_in(6) {
                    store.remove(KeyHash(key));
                    forget(model, key);
                }
            }
            9..=13 => {
                // What is low is asked for more.
                let most = random.below(KEYS) + 1;
                let key = random.below(most);
                for handle in store.lookup(KeyHash(key)) {
                    look_at(&handle, model, tally, true);
                }
            }
            14 => confirm(store, model, random),
            15 => hands.commit(),
            _ => {
                hands.write();
            }
        }
        if random.one_in(3) {
            clock.pass(Duration::from_millis(random.below(120)));
        }
        acknowledge(&mut tickets, model);
        hands.scan();
    }
    acknowledge(&mut tickets, model);
    since
}

fn fill(
    store: &Store,
    model: &mut Model,
    clock: &HandClock,
    large: bool,
    random: &mut Random,
    under_way: &mut Vec<(mangrove_store::Writing, u64)>,
) {
    let key = random.below(KEYS);
    let total = match random.below(20) {
        0 => 0,
        1..=12 => random.below(3_000),
        13..=18 => random.below(20_000),
        _ if large => u64::from(CHUNK_BYTES) + random.below(30_000),
        _ => random.below(60_000),
    };
    model.versions += 1;
    let version = model.versions;
    let born = model.generation;
    let known = random.one_in(2);
    let new = NewObject {
        key: KeyHash(key),
        variant: Variant(0),
        site: Site(key as u32 % 3),
        born: Generation(born),
        total: known.then_some(total),
    };
    let Ok(mut writing) = store.begin(new) else {
        return;
    };
    model.begun.insert(
        version,
        Begun {
            key,
            id: writing.id(),
            born,
            total,
            finished_at: None,
        },
    );
    let content = content(version, total);
    let mut chunks: Vec<(usize, &[u8])> =
        content.chunks(CHUNK_BYTES as usize).enumerate().collect();
    if random.one_in(2) {
        chunks.reverse();
    }
    let mut whole = writing
        .try_head(
            Generation(born),
            known.then_some(total),
            &head(key, version, total),
        )
        .is_ok();
    for (index, chunk) in chunks {
        // Some fills are cut off by their origin.
        if random.one_in(12) {
            return under_way.push((writing, version));
        }
        whole &= writing
            .try_chunk(index as u32, Bytes::copy_from_slice(chunk))
            .is_ok();
    }
    if !known {
        whole &= writing
            .try_head(Generation(born), Some(total), &head(key, version, total))
            .is_ok();
    }
    if whole && let Some(begun) = model.begun.get_mut(&version) {
        begun.finished_at = Some(clock.now());
    }
}

fn purge(
    store: &Store,
    journal: &Journal,
    model: &mut Model,
    purged: &Purged,
    random: &mut Random,
    tickets: &mut Vec<(Ticket, u64, u64)>,
    tally: &mut Tally,
) {
    let key = random.below(KEYS);
    let up_to = model.generation;
    model.generation += 1;
    purged.lock().unwrap().insert(key, up_to);
    model.asked.insert(key, up_to);
    tickets.push((
        journal.append(Generation(up_to), &entry(key, up_to)),
        key,
        up_to,
    ));
    tally.purges += 1;
    if random.one_in(20) {
        // Purges of a key before its last one are not needed.
        let last = purged.lock().unwrap().clone();
        journal.compact(|_, entry| {
            let key = u64::from_le_bytes(entry[..8].try_into().unwrap());
            let up_to = u64::from_le_bytes(entry[8..16].try_into().unwrap());
            last.get(&key).is_none_or(|last| up_to >= *last)
        });
    }
    if random.one_in(10) {
        let purged = purged.lock().unwrap().clone();
        store.retain(|subject| subject.born.0 > purged.get(&subject.key.0).copied().unwrap_or(0));
    }
}

/// The origin says of an object that it has not changed: a newer head.
fn confirm(store: &Store, model: &mut Model, random: &mut Random) {
    let key = random.below(KEYS);
    let Some(handle) = store.lookup(KeyHash(key)).into_iter().next() else {
        return;
    };
    let Ok(read) = handle.read_head() else {
        return;
    };
    let version = version_of(&read);
    let begun = model.begun[&version];
    let born = model.generation;
    let head = head(key, version, begun.total);
    if handle
        .write()
        .try_head(Generation(born), None, &head)
        .is_ok()
    {
        // Whether that head or the one before is found later is not certain; what is found is checked against the younger.
        model.begun.insert(version, Begun { born, ..begun });
    }
}

fn acknowledge(tickets: &mut Vec<(Ticket, u64, u64)>, model: &mut Model) {
    tickets.retain(|(ticket, key, up_to)| match ticket.told() {
        None => true,
        Some(told) => {
            if told.is_ok() {
                let there = model.acknowledged.entry(*key).or_default();
                *there = (*there).max(*up_to);
            }
            false
        }
    });
}

fn forget(model: &mut Model, key: u64) {
    for begun in model.begun.values_mut().filter(|begun| begun.key == key) {
        begun.finished_at = None;
    }
}

/// Which versions must be found after the crash: finished over a second before, and not let go of since.
fn expected(
    store: &Store,
    model: &Model,
    clock: &HandClock,
    since: Option<Duration>,
) -> HashSet<u64> {
    let mut expected = HashSet::new();
    if since.is_none() {
        return expected;
    }
    let now = clock.now();
    for (version, begun) in &model.begun {
        let old = begun
            .finished_at
            .is_some_and(|at| at + Duration::from_millis(1_000) <= now);
        let purged = model
            .asked
            .get(&begun.key)
            .is_some_and(|up_to| begun.born <= *up_to);
        let is_it = |handle: &Handle| handle.id() == begun.id && handle.is_complete();
        if old && !purged && store.lookup(KeyHash(begun.key)).iter().any(is_it) {
            expected.insert(*version);
        }
    }
    // Of several finished versions of a key only the last must be there.
    let mut last: HashMap<u64, u64> = HashMap::new();
    for (version, begun) in model
        .begun
        .iter()
        .filter(|(_, begun)| begun.finished_at.is_some())
    {
        let there = last.entry(begun.key).or_default();
        *there = (*there).max(*version);
    }
    expected.retain(|version| last[&model.begun[version].key] == *version);
    expected
}

#[allow(clippy::too_many_arguments, reason = "what a check consists of")]
fn check(
    store: &Store,
    model: &Model,
    clock: &HandClock,
    hands: &mut Hands,
    must_be_found: &HashSet<u64>,
    began_at: Duration,
    flipped: bool,
    random: &mut Random,
    tally: &mut Tally,
) {
    // Visitors do not wait for the scan.
    for _ in 0..random.below(20) {
        hands.scan();
        for handle in store.lookup(KeyHash(random.below(KEYS))) {
            look_at(&handle, model, tally, false);
        }
    }
    while hands.scan() {
        clock.pass(Duration::from_millis(1));
    }
    let mut complete = HashSet::new();
    for key in 0..KEYS {
        let mut versions = Vec::new();
        for handle in store.lookup(KeyHash(key)) {
            if let Some(version) = look_at(&handle, model, tally, false) {
                versions.push(version);
                if handle.is_complete() {
                    complete.insert(version);
                }
            }
        }
        assert!(
            versions.is_sorted_by(|one, other| one > other),
            "the newest first: {versions:?}"
        );
    }
    if !flipped {
        let recent = |version: &&u64| model.begun[*version].finished_at >= Some(began_at);
        tally.recent += must_be_found.iter().filter(recent).count() as u64;
        tally.recent_found += must_be_found.intersection(&complete).filter(recent).count() as u64;
        tally.expected += must_be_found.len() as u64;
        tally.found += must_be_found.intersection(&complete).count() as u64;
    }
}

/// Reads all there is of an object, and compares.
fn look_at(handle: &Handle, model: &Model, tally: &mut Tally, failing: bool) -> Option<u64> {
    let read = match handle.read_head() {
        Ok(read) => read,
        Err(error) => return not_read(&error, tally, failing),
    };
    let version = version_of(&read);
    let begun = model.begun[&version];
    assert_eq!(read, head(begun.key, version, begun.total));
    assert_eq!(handle.subject().key, KeyHash(begun.key));
    let acknowledged = model.acknowledged.get(&begun.key).copied().unwrap_or(0);
    let born = handle.subject().born.0;
    assert!(
        born > acknowledged,
        "version {version}, born in {born}, was purged up to {acknowledged}"
    );
    assert!(born <= begun.born);
    let content = content(version, begun.total);
    let chunks = handle.chunks(0, u32::MAX);
    if handle.is_complete() {
        assert_eq!(handle.total(), Some(begun.total));
        assert_eq!(
            chunks.len(),
            begun.total.div_ceil(u64::from(CHUNK_BYTES)) as usize
        );
    }
    for index in chunks {
        match handle.read_chunk(index) {
            Ok(chunk) => {
                let from = index as usize * CHUNK_BYTES as usize;
                let to = (from + CHUNK_BYTES as usize).min(content.len());
                assert!(
                    chunk == content[from..to],
                    "chunk {index} of version {version}"
                );
            }
            Err(error) => return not_read(&error, tally, failing),
        }
    }
    tally.read += 1;
    Some(version)
}

fn not_read(error: &ReadError, tally: &mut Tally, failing: bool) -> Option<u64> {
    match error {
        ReadError::Damaged => tally.damaged += 1,
        ReadError::Absent => {}
        ReadError::Failed(error) => assert!(failing, "{error}"),
    }
    None
}

fn head(key: u64, version: u64, total: u64) -> Head {
    Head::new(
        &key.to_le_bytes(),
        &version.to_le_bytes(),
        &content(version ^ total, 40 + version % 300),
    )
    .unwrap()
}

fn version_of(head: &Head) -> u64 {
    u64::from_le_bytes(head.validator().try_into().unwrap())
}

fn content(version: u64, length: u64) -> Vec<u8> {
    let mut random = Random::new(version);
    let mut content = Vec::with_capacity(length as usize + 8);
    while content.len() < length as usize {
        content.extend_from_slice(&random.bits().to_le_bytes());
    }
    content.truncate(length as usize);
    content
}
