//! Who asks for what, and how much is held meanwhile.

use mangrove_cache::purge::{Generation, Ledger};

use super::*;
use crate::cache::DiskTier;
use crate::cache::fill::tests::stored_of;
use crate::cache::{Content, Spool};

const PIECE: usize = 64 * 1024;

/// An object of so many bytes that has been begun, and of which nothing has come.
fn begun(folder: &std::path::Path, total: u64) -> (DiskTier, Arc<Partial>) {
    let tier = DiskTier::new(folder.to_owned(), 1 << 30, 1 << 28);
    tier.try_open(&Ledger::new([1, 2], 16)).unwrap();
    let (mut stored, born) = (stored_of(total), Generation(7));
    stored.fields.push(b"etag", b"\"1\"");
    let spool = tier.spool(b"a\0/a", &stored, born, total, false);
    let (located, spool) = spool.unwrap();
    let partial = located.begun(total, spool.writing()).unwrap();
    (tier, partial)
}

fn push(run: &RunLeader, bytes: u64) {
    for _ in 0..bytes / PIECE as u64 {
        run.push(Bytes::from_static(&[7; PIECE]));
    }
}

/// How much comes until it has to wait.
fn comes(run: &RunLeader) -> u64 {
    let cx = &mut Context::from_waker(Waker::noop());
    while run.poll_worth(cx).is_ready() {
        push(run, PIECE as u64);
    }
    run.reach().0 - run.from()
}

#[test]
fn what_comes_for_the_disk_is_so_far_ahead_of_whoever_reads_furthest_and_no_further() {
    let folder = tempfile::tempdir().unwrap();
    let total = 64 << 20;
    let (tier, partial) = begun(folder.path(), total);
    let run = partial.claim_exactly(0, total);
    run.begin(total);
    let (slow, fast) = (partial.sit(0, total), partial.sit(0, total));
    assert_eq!(comes(&run), AHEAD_BYTES);
    fast.move_to(5 * CHUNK, total);
    assert_eq!(comes(&run), AHEAD_BYTES + 5 * CHUNK);
    // Without the disk the slowest of them says how fast.
    run.is_not_kept();
    let first = run.reach().0;
    fast.move_to(first, total);
    slow.move_to(first, total);
    assert_eq!(comes(&run), first + WINDOW_BYTES);
    fast.move_to(total, total);
    assert_eq!(comes(&run), first + WINDOW_BYTES);
    // And without either nobody wants what is left.
    drop((slow, fast));
    let cx = &mut Context::from_waker(Waker::noop());
    assert_eq!(run.poll_worth(cx), Poll::Ready(Worth::No));
    drop((run, partial));
    tier.close();
    tier.end();
}

#[test]
fn what_comes_soon_is_waited_for_and_one_byte_further_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let total = 64 << 20;
    let (tier, partial) = begun(folder.path(), total);
    let wanted = |first| [Interval::new(first, first + 9).unwrap()];
    assert_eq!(
        partial.lack(&wanted(3 * CHUNK + 5)),
        Lack::Bytes(Interval::new(3 * CHUNK + 5, 4 * CHUNK - 1).unwrap())
    );
    let run = partial.claim_exactly(0, total);
    assert_eq!(partial.lack(&wanted(0)), Lack::Answer);
    run.begin(total);
    let reader = partial.sit(0, total);
    push(&run, 2 * CHUNK);
    assert_eq!(partial.lack(&wanted(2 * CHUNK + SOON_BYTES)), Lack::Nothing);
    let far = 2 * CHUNK + SOON_BYTES + 1;
    assert!(matches!(partial.lack(&wanted(far)), Lack::Bytes(_)));
    // Whoever is sent that takes it off the other, and not who asks.
    let other = partial.claim(far, total).unwrap();
    assert_eq!(other.wants(), Interval::new(10 * CHUNK, total - 1));
    assert_eq!(run.reach(), (2 * CHUNK, total));
    other.begin(total);
    assert_eq!(other.reach(), (10 * CHUNK, total));
    assert_eq!(run.reach(), (2 * CHUNK, 10 * CHUNK));
    drop((run, other, reader, partial));
    tier.close();
    tier.end();
}

#[test]
fn of_two_that_were_asked_for_at_once_the_one_answered_later_stops_where_the_other_began() {
    let folder = tempfile::tempdir().unwrap();
    let total = 30 * CHUNK;
    let (tier, partial) = begun(folder.path(), total);
    let (first, second) = (
        partial.claim(2 * CHUNK, total),
        partial.claim(20 * CHUNK, total),
    );
    let (first, second) = (first.unwrap(), second.unwrap());
    second.begin(total);
    assert_eq!(first.wants(), Interval::new(2 * CHUNK, total - 1));
    first.begin(total);
    assert_eq!(first.reach(), (2 * CHUNK, 20 * CHUNK));
    assert_eq!(second.reach(), (20 * CHUNK, total));
    drop((first, second, partial));
    tier.close();
    tier.end();
}

/// Asks for nothing, and says what was to be asked for.
#[derive(Debug, Default)]
struct Asks(Mutex<Vec<RunLeader>>);

impl Asks {
    fn taken(&self) -> Vec<RunLeader> {
        std::mem::take(&mut lock(&self.0))
    }

    fn one(&self) -> RunLeader {
        let mut all = self.taken();
        assert_eq!(all.len(), 1);
        all.remove(0)
    }
}

impl Bring for Asks {
    fn bring(&self, run: RunLeader, _: u64) {
        lock(&self.0).push(run);
    }
}

fn poll(reader: &mut Reader, at: u64, bring: &dyn Bring) -> Poll<Result<Brought, Reason>> {
    let end = reader.partial().total();
    let cx = &mut Context::from_waker(Waker::noop());
    reader.poll(cx, at, end, Some(bring))
}

/// Each tried for himself, and waited for as long as the origin may be silent.
#[test]
fn who_has_waited_for_what_the_origin_failed_to_bring_does_not_try_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let (tier, partial) = begun(folder.path(), 8 * CHUNK);
    let asks = Asks::default();
    let mut readers: Vec<_> = (0..4)
        .map(|_| {
            let mut reader = partial.sit(5, 8 * CHUNK);
            assert!(poll(&mut reader, 5, &asks).is_pending());
            reader
        })
        .collect();
    let fault: Reason = mangrove_http::OriginFault::FirstByteTimeout.into();
    asks.one().fail(fault);
    // Who asked is told. Another tries once more, and that was enough for all.
    assert!(matches!(poll(&mut readers[0], 5, &asks), Poll::Ready(Err(reason)) if reason == fault));
    for reader in &mut readers[1..] {
        assert!(poll(reader, 5, &asks).is_pending());
    }
    asks.one().fail(fault);
    for reader in &mut readers[1..] {
        assert!(matches!(poll(reader, 5, &asks), Poll::Ready(Err(reason)) if reason == fault));
    }
    assert!(asks.taken().is_empty());
    // Who comes now begins anew.
    let mut late = partial.sit(5, 8 * CHUNK);
    assert!(poll(&mut late, 5, &asks).is_pending());
    drop((asks, readers, late, partial));
    tier.close();
    tier.end();
}

#[test]
fn what_failed_for_a_reason_of_who_asked_is_tried_by_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let (tier, partial) = begun(folder.path(), 8 * CHUNK);
    let asks = Asks::default();
    let mut readers: Vec<_> = (0..4).map(|_| partial.sit(5, 8 * CHUNK)).collect();
    for asking in 0..4 {
        for reader in &mut readers[asking..] {
            assert!(poll(reader, 5, &asks).is_pending());
        }
        asks.one().fail(EdgeReason::KeptContentLost.into());
        assert!(poll(&mut readers[asking], 5, &asks).is_ready());
    }
    drop((readers, partial));
    tier.close();
    tier.end();
}

/// Runs that end without a byte.
#[derive(Debug, Default)]
struct Finishes(Mutex<u32>);

impl Bring for Finishes {
    fn bring(&self, run: RunLeader, _: u64) {
        *lock(&self.0) += 1;
        run.finish();
    }
}

#[test]
fn nobody_asks_for_the_same_byte_more_often_than_he_may() {
    let folder = tempfile::tempdir().unwrap();
    let (tier, partial) = begun(folder.path(), 8 * CHUNK);
    let (brings, mut reader) = (Finishes::default(), partial.sit(5, 8 * CHUNK));
    for _ in 0..TRIES {
        assert!(poll(&mut reader, 5, &brings).is_pending());
    }
    assert!(matches!(poll(&mut reader, 5, &brings), Poll::Ready(Err(_))));
    assert_eq!(*lock(&brings.0), TRIES);
    drop((reader, partial));
    tier.close();
    tier.end();
}

#[test]
fn with_one_run_more_than_there_may_be_its_reader_waits_for_another_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let total = (RUNS as u64 + 1) * CHUNK;
    let (tier, partial) = begun(folder.path(), total);
    let claim = |at: u64| partial.claim(at, at + CHUNK);
    let mut runs: Vec<_> = (0..RUNS as u64).filter_map(|n| claim(n * CHUNK)).collect();
    assert_eq!(runs.len(), RUNS);
    let last = RUNS as u64 * CHUNK;
    assert!(claim(last).is_none());
    let (asks, mut reader) = (Asks::default(), partial.sit(last, total));
    assert!(poll(&mut reader, last, &asks).is_pending());
    assert!(asks.taken().is_empty());
    runs.pop();
    assert!(poll(&mut reader, last, &asks).is_pending());
    assert_eq!(asks.one().wants(), Interval::new(last, total - 1));
    // Of those that fail so many are remembered.
    drop(runs);
    assert_eq!(partial.lock().failed.len(), FAILURES);
    drop((reader, partial));
    tier.close();
    tier.end();
}

/// They stayed as long as anybody read the object.
#[test]
fn what_has_come_of_a_chunk_that_will_not_be_whole_is_let_go_of_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let (tier, partial) = begun(folder.path(), 8 * CHUNK);
    let run = partial.claim_exactly(CHUNK / 2, 3 * CHUNK + CHUNK / 2);
    run.begin(3 * CHUNK + CHUNK / 2);
    push(&run, 3 * CHUNK);
    let held = |partial: &Partial| {
        let state = partial.lock();
        let pieces = state.runs.iter().flat_map(|run| &run.pieces);
        pieces.map(|(_, piece)| piece.len() as u64).sum::<u64>()
    };
    assert_eq!(held(&partial), 2 * CHUNK + CHUNK / 2);
    run.finish();
    assert_eq!(held(&partial), 2 * CHUNK);
    drop(partial);
    tier.close();
    tier.end();
}

#[test]
fn what_runs_hold_counts_and_where_that_is_as_much_as_may_be_no_more_is_gathered() {
    let folder = tempfile::tempdir().unwrap();
    let (tier, partial) = begun(folder.path(), 64 * CHUNK);
    let may_gather = || {
        let writing = partial.writing().share();
        Spool::of(partial.located(), writing, partial.total(), 0).is_some()
    };
    let run = partial.claim_exactly(0, 64 * CHUNK);
    run.begin(64 * CHUNK);
    let most = (1 << 28) / crate::cache::disk::QUEUE_SHARE;
    push(&run, most - PIECE as u64);
    assert!(may_gather());
    push(&run, PIECE as u64);
    assert!(!may_gather());
    // Nobody reads it, and it will not be written.
    run.is_not_kept();
    assert!(may_gather());
    drop((run, partial));
    tier.close();
    tier.end();
}

#[test]
fn what_begins_to_come_is_found_though_what_another_asked_for_fails() {
    let folder = tempfile::tempdir().unwrap();
    let total = 64 << 20;
    let (tier, partial) = begun(folder.path(), total);
    let first = partial.claim_exactly(0, total);
    let content = Content::on_disk(partial.located().clone(), total);
    let object = Arc::new(Object::new(stored_of(total), content, Generation(7), false));
    partial.is_found_as(b"a\0/a", &object);
    let found = || tier.begun(b"a\0/a").len();
    let other = partial.claim_exactly(20 << 20, 21 << 20);
    other.fail(EdgeReason::KeptContentLost.into());
    assert_eq!(found(), 1);
    first.fail(EdgeReason::KeptContentLost.into());
    assert_eq!(found(), 0);
    drop((object, partial));
    tier.close();
    tier.end();
}
