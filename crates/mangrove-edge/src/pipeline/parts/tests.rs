#![allow(clippy::unwrap_used, reason = "a test says what it found by panicking")]

use std::cell::Cell;
use std::future::ready;

use super::*;

const CHUNK: u64 = CHUNK_BYTES as u64;

#[test]
fn a_part_is_worth_an_object_from_one_whole_chunk_on() {
    let has = |first, last, total| has_whole_chunk(Interval::new(first, last).unwrap(), total);
    let total = 3 * CHUNK + 7;
    assert!(has(0, CHUNK - 1, total));
    assert!(!has(0, CHUNK - 2, total), "one byte less");
    assert!(!has(1, 2 * CHUNK - 2, total));
    assert!(has(1, 2 * CHUNK - 1, total));
    assert!(has(3 * CHUNK, total - 1, total), "the last is shorter");
    assert!(!has(3 * CHUNK + 1, total - 1, total));
    // What an origin may say, near the end of all numbers.
    let most = u64::MAX;
    assert!(!has(most - 5, most - 1, most));
}

/// How often is looked, and what came of it, where it is so after so many looks.
fn looks(patience: Duration, so_after: u32) -> (u32, bool) {
    let looks = Cell::new(0);
    let is_so = || {
        looks.set(looks.get() + 1);
        looks.get() > so_after
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let is = within(patience, is_so, || ready(()));
    let is = runtime.unwrap().block_on(is);
    (looks.get(), is)
}

#[test]
fn the_disk_is_waited_for_as_long_as_it_is_worth_and_not_one_look_more() {
    for patience in [SPOOL_PATIENCE, WRITTEN_WITHIN] {
        let most = u32::try_from(patience.as_nanos() / DISK_BEHIND.as_nanos()).unwrap();
        assert!(most > 1);
        assert_eq!(looks(patience, 0), (1, true));
        assert_eq!(looks(patience, most), (most + 1, true));
        assert_eq!(looks(patience, most + 1), (most + 1, false));
    }
}
