//! Stories of the whole tier.

use super::room::{PASSED_OVER_MOST, WELCOME_PART};
use super::*;
use proptest::prelude::*;
use std::sync::atomic::{AtomicU32, Ordering};

const MIB: u64 = 1 << 20;

fn key(name: u64) -> Vec<u8> {
    format!("https news.example /{name}").into_bytes()
}

fn put(memory: &Memory<u64>, name: u64, weight: u64) -> Updated {
    let key = key(name);
    memory.update(memory.hash(&key), &key, |_| Some((name, weight)))
}

fn find(memory: &Memory<u64>, name: u64) -> Option<Arc<Slot<u64>>> {
    let key = key(name);
    memory.lookup(memory.hash(&key), &key)
}

#[test]
fn keys_that_collide_never_get_each_others_value() {
    let memory: Memory<u64> = Memory::new(MIB, [0, 0]);
    let constant = KeyHash(42);
    let mut front = Front::new(4);
    for name in 0..100 {
        memory.update(constant, &key(name), |there| {
            assert!(there.is_none());
            Some((name, 10))
        });
    }
    for name in (0..100).chain(0..100) {
        assert_eq!(
            front
                .lookup(&memory, constant, &key(name))
                .map(|held| *held.value()),
            Some(name)
        );
    }
    assert!(memory.lookup(constant, &key(100)).is_none());
    assert!(memory.remove(constant, &key(50)).is_some());
    assert_eq!(memory.len(), 99);
    assert!(front.lookup(&memory, constant, &key(50)).is_none());
    assert_eq!(
        memory.lookup(constant, &key(51)).map(|slot| *slot.value()),
        Some(51)
    );
}

#[test]
fn an_object_many_times_a_shards_share_is_kept() {
    let memory = Memory::new(64 * MIB, [1, 1]);
    for name in 0..2_000 {
        put(&memory, name, 64 << 10);
    }
    // A shard's share would be 1 MiB.
    assert_eq!(put(&memory, 9_999, 8 * MIB - 4_096), Updated::Kept);
    assert!(find(&memory, 9_999).is_some());
    assert!(memory.weight() <= 64 * MIB);
}

#[test]
fn past_an_eighth_of_the_ceiling_an_object_must_be_worth_what_it_drives_out() {
    let memory = Memory::new(8 * MIB, [1, 1]);
    (0..900).for_each(|name| assert_eq!(put(&memory, name, 8 << 10), Updated::Kept));
    let large = 8 * MIB / WELCOME_PART + 1;
    assert_eq!(
        put(&memory, 9_999, large),
        Updated::Refused(Refused::NotWorthIt)
    );
    // Asked for again and again, it is worth more each time.
    let tries = (2..100_u64).find(|_| put(&memory, 9_999, large) == Updated::Kept);
    assert!(tries.is_some_and(|tries| tries > 2), "{tries:?}");
    let statistics = memory.statistics();
    assert_eq!(statistics.refused_not_worth_it, tries.unwrap() - 1);
}

#[test]
fn heavier_than_the_ceiling_is_refused_and_drives_nothing_out() {
    let memory = Memory::new(MIB, [1, 1]);
    put(&memory, 1, 1_000);
    assert_eq!(put(&memory, 2, MIB), Updated::Refused(Refused::TooLarge));
    assert!(find(&memory, 1).is_some());
    // What it should have replaced is not left behind either.
    assert_eq!(put(&memory, 1, MIB), Updated::Refused(Refused::TooLarge));
    assert!(find(&memory, 1).is_none());
}

#[test]
fn an_update_sees_what_is_there_and_may_leave_it() {
    let memory = Memory::new(MIB, [1, 1]);
    put(&memory, 1, 1_000);
    let (key, hash) = (key(1), memory.hash(&key(1)));
    let before = find(&memory, 1).unwrap();
    assert_eq!(memory.update(hash, &key, |_| None), Updated::Unchanged);
    assert!(!before.is_dead());
    memory.update(hash, &key, |there| Some((there?.value() + 41, 2_000)));
    assert_eq!(find(&memory, 1).map(|slot| *slot.value()), Some(42));
    assert!(before.is_dead());
    assert_eq!(memory.len(), 1);
    assert!(
        memory
            .remove_if(hash, &key, |slot| *slot.value() == 1)
            .is_none()
    );
    assert!(
        memory
            .remove_if(hash, &key, |slot| *slot.value() == 42)
            .is_some()
    );
    assert!(memory.is_empty());
}

#[test]
fn an_update_runs_again_when_the_key_has_changed_meanwhile() {
    let memory = Memory::new(MIB, [1, 1]);
    let (key, hash) = (key(1), memory.hash(&key(1)));
    let mut runs = 0;
    let updated = memory.update(hash, &key, |there| {
        runs += 1;
        if runs == 1 {
            put(&memory, 1, 10); // another thread, just now
        }
        Some((there.map_or(0, |slot| *slot.value()) + 10, 10))
    });
    assert_eq!((updated, runs), (Updated::Kept, 2));
    assert_eq!(find(&memory, 1).map(|slot| *slot.value()), Some(11));
}

#[test]
fn a_panic_in_a_closure_changes_nothing() {
    let memory = Memory::new(MIB, [1, 1]);
    put(&memory, 1, 1_000);
    let (key, hash, weight) = (key(1), memory.hash(&key(1)), memory.weight());
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        memory.update(hash, &key, |_| panic!("on purpose"))
    }));
    assert!(unwound.is_err());
    assert_eq!(find(&memory, 1).map(|slot| *slot.value()), Some(1));
    assert_eq!(memory.weight(), weight);
    assert_eq!(put(&memory, 1, 2_000), Updated::Kept);
}

#[test]
fn values_are_dropped_with_no_lock_held() {
    struct Nosy(Arc<Memory<Option<Nosy>>>, Arc<AtomicU32>);
    impl Drop for Nosy {
        fn drop(&mut self) {
            // With any lock held this would wait for itself for ever.
            for name in 0..SHARDS as u64 * 8 {
                self.0.lookup(self.0.hash(&key(name)), &key(name));
            }
            self.0.len();
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }
    let memory = Arc::new(Memory::new(MIB, [1, 1]));
    let dropped = Arc::new(AtomicU32::new(0));
    let put = |name: u64| {
        let value = || Some(Nosy(Arc::clone(&memory), Arc::clone(&dropped)));
        memory.update(memory.hash(&key(name)), &key(name), |_| {
            Some((value(), 100_000))
        })
    };
    (0..30).for_each(|name| assert_eq!(put(name), Updated::Kept));
    put(29);
    memory.remove(memory.hash(&key(29)), &key(29));
    let kept = u32::try_from(memory.len()).unwrap();
    assert_eq!(dropped.load(Ordering::Relaxed), 31 - kept);
    // The values hold the tier, as the tier holds them.
    (0..29).for_each(|name| drop(memory.remove(memory.hash(&key(name)), &key(name))));
}

#[test]
fn slots_that_are_read_on_cannot_drive_everything_out() {
    let memory = Memory::new(64 * MIB, [1, 1]);
    let mut readers = Vec::new();
    let mut refused = 0;
    // Slow readers of everything that comes.
    for name in 0..1_000 {
        match put(&memory, name, MIB) {
            Updated::Kept => readers.push(find(&memory, name).unwrap()),
            _ => refused += 1,
        }
        assert!(memory.weight() <= 64 * MIB);
    }
    let statistics = memory.statistics();
    assert!(refused > 900, "{refused}");
    assert_eq!(statistics.refused_pinned, refused);
    assert!(statistics.kept >= 31 * MIB, "{statistics:?}");
    assert!(statistics.kept + statistics.evictions_pinned * MIB <= 64 * MIB);
    // Once they have gone, all of it is room again.
    drop(readers);
    for name in 2_000..3_000 {
        assert_eq!(put(&memory, name, MIB), Updated::Kept);
    }
    assert!(memory.statistics().kept >= 62 * MIB);
}

#[test]
fn below_the_floor_those_who_are_not_read_leave_instead() {
    let memory = Memory::new(64 * MIB, [1, 1]);
    let readers: Vec<_> = (0..40)
        .filter_map(|name| {
            put(&memory, name, MIB);
            find(&memory, name)
        })
        .collect();
    assert!(u32::try_from(readers.len()).unwrap() < PASSED_OVER_MOST);
    for name in 100..400 {
        assert_eq!(put(&memory, name, MIB), Updated::Kept);
        assert!(memory.weight() <= 64 * MIB);
    }
    assert!(memory.statistics().kept >= 31 * MIB);
}

#[test]
fn a_list_in_steps_has_every_slot_once() {
    let memory = Memory::new(16 * MIB, [1, 1]);
    (0..3_000).for_each(|name| assert_eq!(put(&memory, name, 10), Updated::Kept));
    let mut seen = Vec::new();
    let mut from = Some(0);
    while let Some(at) = from {
        let page = memory.page(at, 100);
        assert!(page.slots.len() <= 100);
        seen.extend(page.slots.iter().map(|slot| *slot.value()));
        from = page.next;
        // Something comes and goes in between.
        put(&memory, 10_000, 10);
        memory.remove(memory.hash(&key(10_000)), &key(10_000));
    }
    seen.retain(|name| *name < 3_000);
    seen.sort_unstable();
    assert_eq!(seen, (0..3_000).collect::<Vec<_>>());
    assert!(memory.page(0, u32::MAX).slots.len() <= 256);
}

#[test]
fn what_is_purged_gives_back_all_its_memory() {
    let memory = Memory::new(16 * MIB, [1, 1]);
    let empty = memory.weight();
    (0..5_000).for_each(|name| assert_eq!(put(&memory, name, 1_000), Updated::Kept));
    (0..5_000).for_each(|name| drop(memory.remove(memory.hash(&key(name)), &key(name))));
    assert_eq!(memory.weight(), empty);
}

#[test]
fn two_threads_never_see_a_value_of_another_key() {
    for seed in 0..4 {
        let memory: Memory<(u64, u64)> = Memory::new(MIB / 4, [seed, 1]);
        std::thread::scope(|threads| {
            for thread in 0..2 {
                let memory = &memory;
                threads.spawn(move || stress(memory, seed * 2 + thread));
            }
        });
        let statistics = memory.statistics();
        assert!(
            statistics.evictions > 0 && statistics.hits > 0,
            "seed {seed}: {statistics:?}"
        );
        assert_eq!(
            memory.weight() - tables(&memory),
            statistics.kept,
            "seed {seed}: nobody holds anything else"
        );
        assert!(memory.weight() <= MIB / 4, "seed {seed}");
        let mut listed = 0;
        let mut from = Some(0);
        while let Some(at) = from {
            let page = memory.page(at, PAGE_MOST);
            listed += page.slots.len();
            for slot in page.slots {
                assert!(Arc::ptr_eq(
                    &slot,
                    &memory.lookup(slot.hash(), slot.key()).unwrap()
                ));
            }
            from = page.next;
        }
        assert_eq!(listed, memory.len(), "seed {seed}");
        let found: usize = memory
            .shards
            .iter()
            .map(|shard| shard.lock().slots.len())
            .sum();
        assert_eq!(found, listed, "seed {seed}: shards and queues agree");
    }
}

/// Many operations by chance; every value must say the key that it is found under, and versions never go back.
fn stress(memory: &Memory<(u64, u64)>, seed: u64) {
    let mut front = Front::new(64);
    let mut chance = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut seen = vec![0; 400];
    for turn in 0..20_000_u64 {
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        let name = (chance >> 8) % 400;
        let (key, hash) = (key(name), memory.hash(&key(name)));
        match chance % 16 {
            0..=2 => {
                memory.update(hash, &key, |there| {
                    let version = there.map_or(turn << 8, |slot| slot.value().1 + 1);
                    Some(((name, version), 100 + (chance >> 40) % 4_000))
                });
            }
            3 => drop(memory.remove(hash, &key)),
            4 => drop(memory.remove_if(hash, &key, |slot| slot.value().1 % 2 == 0)),
            5 => drop(front.sweep(4)),
            6 => assert!(memory.page(0, 16).slots.len() <= 16),
            _ => {
                if let Some(held) = front.lookup(memory, hash, &key) {
                    assert_eq!(held.value().0, name, "seed {seed}, turn {turn}");
                    if let Some(version) = seen.get_mut(usize::try_from(name).unwrap()) {
                        *version = held.value().1;
                    }
                }
            }
        }
    }
}

/// Bytes of the tables alone.
fn tables<V>(memory: &Memory<V>) -> u64 {
    let shards: usize = memory
        .shards
        .iter()
        .map(|shard| shard.lock().slots.allocation_size())
        .sum();
    (shards + memory.policy().size() + size_of_val(&*memory.shards)) as u64
}

proptest! {
    /// One thread, anything it may do: what is held is what the ledger says, and never more than the ceiling.
    #[test]
    fn the_ceiling_holds_and_the_ledger_is_exact(
        steps in proptest::collection::vec((0_u8..8, 0_u64..60, 1_u64..40_000), 0..300),
    ) {
        let ceiling = 256 << 10;
        let memory = Memory::new(ceiling, [1, 1]);
        let mut held: Vec<Arc<Slot<u64>>> = Vec::new();
        for (what, name, weight) in steps {
            match what {
                0..=3 => {
                    let updated = put(&memory, name, weight);
                    prop_assert_eq!(find(&memory, name).is_some(), updated == Updated::Kept);
                }
                4 => drop(memory.remove(memory.hash(&key(name)), &key(name))),
                5 => held.extend(find(&memory, name)),
                6 => held.truncate(held.len() / 2),
                _ => drop(find(&memory, name)),
            }
            prop_assert!(memory.weight() <= ceiling);
            held.iter().for_each(|slot| assert!(slot.weight() > 0));
            let mut pinned: Vec<_> = held.iter().filter(|slot| slot.is_dead()).collect();
            pinned.sort_by_key(|slot| Arc::as_ptr(slot));
            pinned.dedup_by(|one, other| Arc::ptr_eq(one, other));
            let pinned: u64 = pinned.iter().map(|slot| slot.weight()).sum();
            prop_assert_eq!(memory.weight(), memory.statistics().kept + pinned + tables(&memory));
        }
    }
}

#[test]
fn what_counts_beside_drives_slots_out_and_gives_the_room_back() {
    let memory: Memory<()> = Memory::new(1 << 20, [7, 7]);
    let fill = || {
        for name in 0..2_000_u32 {
            let key = name.to_be_bytes();
            memory.update(memory.hash(&key), &key, |_| Some(((), 1_000)));
        }
    };
    fill();
    let before = memory.statistics().kept;
    memory.count_beside(1 << 18);
    assert!(memory.weight() <= 1 << 20);
    assert!(memory.statistics().kept + (1 << 18) <= 1 << 20);
    let most = (1 << 20) - (1 << 18);
    for (asked, counted) in [(most, most), (most + 1, most), (u64::MAX, most)] {
        memory.count_beside(asked);
        assert_eq!(memory.statistics().beside, counted, "a quarter stays");
    }
    assert!(!memory.is_empty());
    memory.count_beside(0);
    fill();
    assert!(memory.statistics().kept + 4_096 > before);
}
