//! Short stories in which each policy does what only it does. Objects weigh 10 unless told otherwise.

use super::*;

/// Asks for the names one after the other and says which were there.
fn ask_weighing(policy: &mut dyn Policy, names: &[u32], weight: impl Fn(u32) -> u64) -> Vec<bool> {
    let next = |at: usize, name: u32| {
        let later = names.iter().enumerate().skip(at + 1);
        later
            .filter(|(_, other)| **other == name)
            .map(|(at, _)| at as u64)
            .next()
            .unwrap_or(u64::MAX)
    };
    let ask = |(at, name): (usize, &u32)| {
        let weight = weight(*name);
        let request = Request {
            object: Object {
                name: *name,
                weight,
            },
            content: weight,
            next: next(at, *name),
        };
        policy.ask(at as u64, &request)
    };
    names.iter().enumerate().map(ask).collect()
}

fn ask(policy: &mut dyn Policy, names: &[u32]) -> Vec<bool> {
    ask_weighing(policy, names, |_| 10)
}

fn last(policy: &mut dyn Policy, names: &[u32]) -> bool {
    ask(policy, names).last().copied().unwrap()
}

#[test]
fn lru_keeps_what_was_asked_for_lately_and_fifo_does_not_care() {
    let asked = [1, 2, 1, 3, 1];
    assert!(last(&mut Lru::new(20), &asked));
    assert!(!last(&mut Fifo::new(20, false), &asked));
    assert!(!last(&mut Lru::new(20), &[1, 2, 1, 3, 2]));
}

#[test]
fn clock_writes_again_what_was_asked_for_and_fifo_writes_once() {
    let asked = [1, 2, 1, 3, 1];
    let mut clock = Fifo::new(20, true);
    assert!(last(&mut clock, &asked));
    assert_eq!(clock.written(), Some(40));
    let mut fifo = Fifo::new(20, false);
    ask(&mut fifo, &[1, 2, 3]);
    assert_eq!(fifo.written(), Some(30));
}

#[test]
fn sieves_hand_stays_among_the_young_and_spares_the_old() {
    // 1 and 2 are spared; then 3 leaves, and after it 4, although 1 was not asked for again.
    let asked = [1, 2, 3, 1, 2, 4, 5, 1];
    assert!(last(&mut Sieve::new(30), &asked));
    // CLOCK takes whoever is oldest.
    assert!(!last(&mut Sieve::new(30), &[1, 2, 3, 4, 1]));
}

#[test]
fn arc_lets_a_scan_pass_by_what_was_asked_for_twice() {
    let scan = [1, 2, 1, 2, 11, 12, 13, 14, 15, 16, 1];
    assert!(last(&mut Arc::new(40), &scan));
    assert!(!last(&mut Lru::new(40), &scan));
}

#[test]
fn s3_fifo_lets_a_scan_pass_and_knows_who_comes_back() {
    let mut scan = vec![1, 1, 1];
    scan.extend(10..40);
    scan.push(1);
    assert!(last(&mut S3Fifo::new(100), &scan));
    assert!(!last(&mut Lru::new(100), &scan));
    // Remembered by name only, it comes back into the main queue, where a scan does not reach it.
    let mut back: Vec<u32> = (1..=10).collect();
    back.extend([11, 1]);
    back.extend(20..40);
    back.push(1);
    assert!(last(&mut S3Fifo::new(100), &back));
}

#[test]
fn tiny_lfu_lets_nobody_in_for_whom_more_wanted_ones_had_to_leave() {
    let mut scan = vec![1, 2, 1, 2, 1, 2];
    scan.extend(10..40);
    scan.extend([1, 2]);
    let seen = ask(&mut TinyLfu::new(20), &scan);
    assert_eq!(seen.get(seen.len() - 2..), Some([true, true].as_slice()));
}

#[test]
fn greedy_dual_lets_the_large_go_first_and_the_door_keeps_them_out() {
    let weight = |name| if name == 9 { 50 } else { 10 };
    let seen = ask_weighing(
        &mut GreedyDual::by_weight(100),
        &[9, 1, 2, 3, 4, 5, 6, 1, 9],
        weight,
    );
    assert_eq!(seen.get(7..), Some([true, false].as_slice()));
    let asked = [1, 2, 3, 4, 5, 9, 1];
    let last = |door| {
        let seen = ask_weighing(&mut GreedyDual::by_root(50, door), &asked, weight);
        seen.last().copied().unwrap()
    };
    assert!(last(true) && !last(false));
}

#[test]
fn who_sees_ahead_keeps_what_comes_next() {
    let looped = [1, 2, 3, 1, 2, 3, 1, 2, 3];
    let hits = |policy: &mut dyn Policy| ask(policy, &looped).iter().filter(|hit| **hit).count();
    assert_eq!(hits(&mut Lru::new(20)), 0);
    assert_eq!(hits(&mut Clairvoyant::new(20, false)), 4);
    assert_eq!(hits(&mut Clairvoyant::new(20, true)), 4);
    // By size, the small ones stay.
    let weight = |name| if name == 9 { 20 } else { 10 };
    let asked = [9, 1, 2, 9, 1, 2, 9, 1, 2];
    let hits = |by_size| {
        let seen = ask_weighing(&mut Clairvoyant::new(20, by_size), &asked, weight);
        seen.iter().filter(|hit| **hit).count()
    };
    assert_eq!(hits(true), 4);
    assert!(hits(false) <= 4);
}

#[test]
fn nothing_is_kept_past_the_ceiling_and_one_byte_more_than_it_is_never() {
    let too_large = |name| if name == 9 { 101 } else { 10 + u64::from(name) };
    let asked: Vec<u32> = (0..500).map(|step| step * 7 % 23).collect();
    let mut lru = Lru::new(100);
    ask_weighing(&mut lru, &asked, too_large);
    assert!(lru.queue.weight() <= 100 && !lru.queue.has(9));
    let mut fifo = Fifo::new(100, true);
    ask_weighing(&mut fifo, &asked, too_large);
    assert!(fifo.queue.weight() <= 100 && !fifo.queue.has(9));
    let mut sieve = Sieve::new(100);
    ask_weighing(&mut sieve, &asked, too_large);
    assert!(sieve.queue.weight() <= 100 && !sieve.queue.has(9));
    let mut arc = Arc::new(100);
    ask_weighing(&mut arc, &asked, too_large);
    assert!(arc.once.weight() + arc.often.weight() <= 100);
    assert!(arc.left_once.weight() + arc.left_often.weight() <= 200);
    let mut s3 = S3Fifo::new(100);
    ask_weighing(&mut s3, &asked, too_large);
    assert!(s3.small.weight() + s3.main.weight() <= 100 && s3.memory.weight() <= 90);
    let mut tiny = TinyLfu::new(100);
    ask_weighing(&mut tiny, &asked, too_large);
    assert!(tiny.window.weight() + tiny.probation.weight() + tiny.protected.weight() <= 100);
    let mut greedy = GreedyDual::by_root(100, true);
    ask_weighing(&mut greedy, &asked, too_large);
    assert!(greedy.weight <= 100 && !greedy.kept.contains_key(&9));
    let mut clairvoyant = Clairvoyant::new(100, true);
    ask_weighing(&mut clairvoyant, &asked, too_large);
    assert!(clairvoyant.weight <= 100 && !clairvoyant.kept.contains_key(&9));
}
