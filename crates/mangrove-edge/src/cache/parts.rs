//! Objects of which not all is on the disk: what of them is on its way, who brings it, and who waits for it.
//!
//! ```text
//! whoever needs a byte ─┬─ its chunk is written ────────► read from the disk
//!                       ├─ a run has it in memory ──────► taken from there
//!                       ├─ a run will have it soon ─────► waited for
//!                       └─ else ─► claim a run: from here to the next chunk that is there, or to the end of what is wanted
//! ```
//!
//! A *run* is one answer of the origin on its way into an object: all of it, or a range. What it brings is held in memory until
//! its chunk is written, and no longer: whoever reads slowly reads from the disk. Where the disk does not take it, it is held
//! until those who read it have had it, and the slowest of them says how fast it comes.

use std::collections::{HashMap, VecDeque};
use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use mangrove_cache::Interval;
use mangrove_store::{KeyHash, ObjectId, Writing};

use super::disk::Located;
use super::fill::{FINISH_BYTES, FillReport, WINDOW_BYTES, Worth};
use super::object::Object;
use crate::body::CHUNK_BYTES;
use crate::reason::{EdgeReason, Reason};

const CHUNK: u64 = CHUNK_BYTES as u64;
/// What is fetched for the disk may be so far ahead of whoever reads furthest: he may leave, or look elsewhere.
pub(crate) const AHEAD_BYTES: u64 = 16 << 20;
/// What will come after no more than this is waited for, and not asked for by itself.
pub(crate) const SOON_BYTES: u64 = 8 << 20;

/// All objects that are read or brought in parts at present.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    table: Mutex<HashMap<ObjectId, Weak<Partial>>>,
}

/// One object of which not all is there.
#[derive(Debug)]
pub struct Partial {
    located: Located,
    total: u64,
    writing: Writing,
    /// Its origin does not send parts of it.
    without_ranges: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The key and the object, while a run from an origin's first answer is on its way.
    begun: Option<(Box<[u8]>, Arc<Object>)>,
    runs: Vec<Run>,
    /// How many there have been.
    numbered: u64,
    seats: Vec<Option<Seat>>,
    /// The run that failed last, and why.
    failed: Option<(u64, Reason)>,
    /// The origin has another content by now.
    outdated: bool,
}

#[derive(Debug)]
struct Run {
    number: u64,
    /// What it is to bring, and up to where it has.
    from: u64,
    to: u64,
    end: u64,
    phase: Phase,
    /// Whole chunks go to the disk.
    kept: bool,
    /// Of what has come, what is not written; each piece with its place, and none over the border of two chunks.
    pieces: VecDeque<(u64, Bytes)>,
    leader: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The origin has been asked.
    Asked,
    /// It answers.
    Coming,
    /// All has come; some may have to be written.
    Over,
}

#[derive(Debug)]
struct Seat {
    at: u64,
    end: u64,
    waker: Option<Waker>,
}

/// What stands between a visitor and the bytes that he wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// Nothing, or what will come by itself.
    Nothing,
    /// Somebody has asked for them, and it is not known yet whether they come.
    Answer,
    /// These have to be asked for.
    Bytes(Interval),
}

/// Who asks for a run, without being waited for.
pub trait Bring: Debug {
    /// Asks for it, and carries it.
    fn bring(&self, run: RunLeader);
}

/// What a reader gets.
#[derive(Debug)]
pub enum Brought {
    /// Bytes.
    Bytes(Bytes),
    /// The chunk is on the disk.
    OnDisk,
}

impl Parts {
    /// What of an object is on its way, if anything of it is read or brought.
    pub(crate) fn find(&self, located: &Located) -> Option<Arc<Partial>> {
        lock(&self.table).get(&located.id)?.upgrade()
    }

    /// The same, made where there was none; `writing` writes to the object.
    pub(in crate::cache) fn enter(
        &self,
        located: &Located,
        total: u64,
        writing: impl FnOnce() -> Option<Writing>,
    ) -> Option<Arc<Partial>> {
        if let Some(there) = self.find(located) {
            return Some(there);
        }
        let made = Arc::new(Partial {
            located: located.clone(),
            total,
            writing: writing()?,
            without_ranges: AtomicBool::new(false),
            state: Mutex::default(),
        });
        let mut table = lock(&self.table);
        let there = table.get(&located.id).and_then(Weak::upgrade);
        if there.is_none() {
            table.insert(located.id, Arc::downgrade(&made));
        }
        drop(table);
        Some(there.unwrap_or(made))
    }

    /// The objects of a key that have begun to come.
    pub(crate) fn begun(&self, key: &[u8]) -> Vec<Arc<Object>> {
        let table = lock(&self.table);
        let all: Vec<_> = table.values().filter_map(Weak::upgrade).collect();
        drop(table); // the last to hold one takes it out of the table
        let begun = all.iter().filter_map(|partial| {
            let state = partial.lock();
            let (its, object) = state.begun.as_ref()?;
            (**its == *key).then(|| Arc::clone(object))
        });
        begun.collect()
    }

    /// The runs under way, of one key or of all, for an operator.
    pub(in crate::cache) fn reports(&self, key: Option<KeyHash>) -> Vec<FillReport> {
        let table = lock(&self.table);
        let all: Vec<_> = table.values().filter_map(Weak::upgrade).collect();
        drop(table);
        let meant = all
            .iter()
            .filter(|partial| key.is_none_or(|key| partial.located.key() == key));
        meant.flat_map(|partial| partial.lock().reports()).collect()
    }

    /// What is on its way for a key is not wanted any more: nobody finds it from now on.
    pub(in crate::cache) fn withdraw(&self, key: KeyHash) {
        let table = lock(&self.table);
        let all: Vec<_> = table.values().filter_map(Weak::upgrade).collect();
        drop(table);
        for partial in all.iter().filter(|partial| partial.located.key() == key) {
            partial.lock().begun = None;
        }
    }

    fn leave(&self, id: ObjectId) {
        let mut table = lock(&self.table);
        if table
            .get(&id)
            .is_some_and(|there| there.strong_count() == 0)
        {
            table.remove(&id);
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        self.located.parts().leave(self.located.id);
    }
}

impl Partial {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Bytes of the whole.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// What writes to it.
    pub fn writing(&self) -> &Writing {
        &self.writing
    }

    /// Where it is.
    pub fn located(&self) -> &Located {
        &self.located
    }

    /// Whether some of it is on its way.
    pub fn is_coming(&self) -> bool {
        let state = self.lock();
        !state.outdated && !state.runs.is_empty()
    }

    /// Whether what is missing can be asked for.
    pub fn is_fetchable(&self) -> bool {
        self.located.strong && !self.without_ranges.load(Ordering::Relaxed) && !self.is_outdated()
    }

    /// Its origin does not send parts of it.
    pub fn has_no_ranges(&self) {
        self.without_ranges.store(true, Ordering::Relaxed);
    }

    fn is_outdated(&self) -> bool {
        self.lock().outdated
    }

    /// The origin has another content by now: nobody gets more of this one than is there.
    pub fn is_outdated_now(&self) {
        let mut state = self.lock();
        state.outdated = true;
        state.wake_all();
        drop(state);
        self.writing.remove();
    }

    /// It is found under a key as long as its first run comes, also where memory has no room for it.
    pub fn is_found_as(&self, key: &[u8], object: &Arc<Object>) {
        self.lock().begun = Some((key.into(), Arc::clone(object)));
    }

    /// Whether its origin's first answer is still on its way.
    pub fn is_new(&self) -> bool {
        self.lock().begun.is_some()
    }

    /// All of it is there: it is found as such.
    pub fn is_there(&self) {
        self.lock().begun = None;
    }

    /// What keeps a visitor from these bytes.
    pub fn lack(&self, wanted: &[Interval]) -> Lack {
        let mut state = self.lock();
        state.let_go(&self.writing);
        for piece in wanted {
            let (mut at, end) = (piece.first, piece.last.saturating_add(1));
            while at < end {
                let written = chunk_of(at).map(|chunk| self.writing.first_missing(chunk));
                let written = written.map_or(0, |chunk| u64::from(chunk) * CHUNK);
                if written > at {
                    at = written;
                    continue;
                }
                match state.bringing(at) {
                    Some(run) if run.phase == Phase::Asked => return Lack::Answer,
                    Some(run) => at = run.covered_from(at),
                    None => {
                        let last = self.claimable(&state, at, end).saturating_sub(1);
                        return Interval::new(at, last).map_or(Lack::Nothing, Lack::Bytes);
                    }
                }
            }
        }
        Lack::Nothing
    }

    /// Claims the run that begins with the chunk of `at`, to the next chunk that is there or comes, or to `end`.
    pub fn claim(self: &Arc<Self>, at: u64, end: u64) -> RunLeader {
        let mut state = self.lock();
        let from = at - at % CHUNK;
        let to = self.claimable(&state, at, end);
        self.begin(&mut state, from, to)
    }

    /// Claims what the origin sends already.
    pub fn claim_exactly(self: &Arc<Self>, from: u64, to: u64) -> RunLeader {
        self.begin(&mut self.lock(), from, to)
    }

    fn begin(self: &Arc<Self>, state: &mut State, from: u64, to: u64) -> RunLeader {
        // What would have come to here later, for others, need not any more.
        for run in &mut state.runs {
            if run.end <= from && run.to > from {
                run.to = from;
            }
        }
        state.numbered += 1;
        let number = state.numbered;
        state.runs.push(Run {
            number,
            from,
            to,
            end: from,
            phase: Phase::Asked,
            kept: true,
            pieces: VecDeque::new(),
            leader: None,
        });
        RunLeader {
            partial: Arc::clone(self),
            number,
            from,
            settled: false,
        }
    }

    /// How far a run from the chunk of `at` may go that is wanted up to `end`.
    fn claimable(&self, state: &State, at: u64, end: u64) -> u64 {
        let chunk_end = (at - at % CHUNK).saturating_add(CHUNK);
        let mut to = end.div_ceil(CHUNK).saturating_mul(CHUNK).max(chunk_end);
        let next = chunk_of(at).and_then(|chunk| self.writing.first_there(chunk));
        if let Some(next) = next {
            to = to.min(u64::from(next) * CHUNK);
        }
        for run in state.runs.iter().filter(|run| run.to > at) {
            if run.from > at {
                to = to.min(run.from - run.from % CHUNK);
            } else if run.end > at {
                to = to.min(chunk_end);
            }
        }
        to.max(chunk_end).min(self.total)
    }

    /// A place from which these bytes are read.
    pub fn sit(self: &Arc<Self>, at: u64, end: u64) -> Reader {
        let mut state = self.lock();
        let seat = Some(Seat {
            at,
            end,
            waker: None,
        });
        let free = state.seats.iter().position(Option::is_none);
        let place = match free.and_then(|free| Some((free, state.seats.get_mut(free)?))) {
            Some((free, place)) => {
                *place = seat;
                free
            }
            None => {
                state.seats.push(seat);
                state.seats.len() - 1
            }
        };
        Reader {
            partial: Arc::clone(self),
            seat: place,
            claimed: None,
        }
    }
}

impl State {
    fn wake_all(&mut self) {
        for seat in self.seats.iter_mut().flatten() {
            if let Some(waker) = seat.waker.take() {
                waker.wake();
            }
        }
        for run in &mut self.runs {
            run.wake();
        }
    }

    fn reports(&self) -> Vec<FillReport> {
        let under_way = self.runs.iter().filter(|run| run.phase != Phase::Over);
        let reports = under_way.map(|run| FillReport {
            answered: run.phase == Phase::Coming,
            bytes: run.end - run.from,
            followers: self.seats.iter().flatten().count(),
            wanted: run.kept && !self.outdated,
        });
        reports.collect()
    }

    fn run(&mut self, number: u64) -> Option<&mut Run> {
        self.runs.iter_mut().find(|run| run.number == number)
    }

    /// The run that has the byte in memory, or will have it soon.
    fn bringing(&self, at: u64) -> Option<&Run> {
        let has = |run: &&Run| run.piece(at).is_some();
        let will = |run: &&Run| {
            (run.end..run.to).contains(&at)
                && at - run.end <= SOON_BYTES
                && run.phase != Phase::Over
        };
        let runs = || self.runs.iter();
        runs().find(has).or_else(|| runs().find(will))
    }

    /// Lets go of what is written, or had by all who read it.
    fn let_go(&mut self, writing: &Writing) {
        let seats = &self.seats;
        let is_awaited = |at: u64, end: u64| {
            let mut seats = seats.iter().flatten();
            seats.any(|seat| {
                seat.at < end && seat.end > at && seat.at.saturating_add(AHEAD_BYTES) >= at
            })
        };
        for run in &mut self.runs {
            let first_whole = run.from.div_ceil(CHUNK) * CHUNK;
            let (kept, is_over) = (run.kept, run.phase == Phase::Over);
            run.pieces.retain(|(at, piece)| {
                let end = at.saturating_add(piece.len() as u64);
                let will_be_written = kept && *at >= first_whole;
                // A piece alone is a whole chunk, or the last one.
                let may_be_written = at % CHUNK == 0 && (piece.len() as u64 == CHUNK || is_over);
                let is_written =
                    may_be_written && chunk_of(*at).is_some_and(|chunk| writing.has_chunk(chunk));
                !is_written && (will_be_written || is_awaited(*at, end))
            });
        }
        self.runs
            .retain(|run| run.phase != Phase::Over || !run.pieces.is_empty());
    }
}

impl Run {
    fn wake(&mut self) {
        if let Some(leader) = self.leader.take() {
            leader.wake();
        }
    }

    fn piece(&self, at: u64) -> Option<Bytes> {
        let place = self.pieces.partition_point(|(from, _)| *from <= at);
        let (from, piece) = self.pieces.get(place.checked_sub(1)?)?;
        let within = usize::try_from(at.checked_sub(*from)?).ok()?;
        (within < piece.len()).then(|| piece.slice(within..))
    }

    /// Up to where it has what comes after `at`, or will have it.
    fn covered_from(&self, at: u64) -> u64 {
        match self.phase {
            Phase::Over => at.saturating_add(self.piece(at).map_or(1, |piece| piece.len() as u64)),
            _ => self.to.max(at + 1),
        }
    }
}

/// Whoever brings a run. Dropped before it was settled, it fails.
#[derive(Debug)]
pub struct RunLeader {
    partial: Arc<Partial>,
    number: u64,
    from: u64,
    settled: bool,
}

impl RunLeader {
    /// What it is a run of.
    pub fn partial(&self) -> &Arc<Partial> {
        &self.partial
    }

    /// What it brings: the first byte's place.
    pub fn from(&self) -> u64 {
        self.from
    }

    /// How far it has come, and is to go.
    pub fn reach(&self) -> (u64, u64) {
        let mut state = self.partial.lock();
        let run = state.run(self.number);
        run.map_or((0, 0), |run| (run.end, run.to))
    }

    /// The origin answers, and perhaps with less than it was asked for.
    pub fn begin(&self, to: u64) {
        self.change(|run| {
            run.phase = Phase::Coming;
            run.to = run.to.min(to);
        });
    }

    fn change(&self, change: impl FnOnce(&mut Run)) {
        let mut state = self.partial.lock();
        if let Some(run) = state.run(self.number) {
            change(run);
        }
        state.let_go(&self.partial.writing);
        state.wake_all();
    }

    /// Content that has come.
    pub fn push(&self, piece: Bytes) {
        self.change(|run| {
            let at = run.end;
            run.end += piece.len() as u64;
            run.pieces.push_back((at, piece));
        });
    }

    /// What has come of a chunk, in one piece: the disk has it from the same memory until it is written.
    pub fn gathered(&self, at: u64, chunk: Bytes) {
        self.change(|run| {
            run.pieces.retain(|(from, _)| *from < at);
            run.pieces.push_back((at, chunk));
        });
    }

    /// The disk takes no more of it.
    pub fn is_not_kept(&self) {
        self.change(|run| run.kept = false);
    }

    /// Ready when more may come.
    pub fn poll_worth(&self, cx: &mut Context<'_>) -> Poll<Worth> {
        let mut guard = self.partial.lock();
        let state = &mut *guard;
        let Some(run) = state.runs.iter_mut().find(|run| run.number == self.number) else {
            return Poll::Ready(Worth::No);
        };
        let seats = || state.seats.iter().flatten();
        let will_come = |seat: &&Seat| {
            seat.at < run.to
                && seat.end > run.from
                && seat.at.saturating_add(AHEAD_BYTES) >= run.from
        };
        let furthest = seats().filter(will_come).map(|seat| seat.at).max();
        let Some(furthest) = furthest else {
            let cheap = run.to.saturating_sub(run.end) <= FINISH_BYTES;
            return Poll::Ready(match cheap && run.kept && !state.outdated {
                true => Worth::Yes,
                false => Worth::No,
            });
        };
        let ahead = match run.kept {
            true => run.end.saturating_sub(furthest.max(run.from)) >= AHEAD_BYTES,
            // Whoever is behind what memory has has lost it, and holds up nobody.
            false => {
                let first = run.pieces.front().map_or(run.end, |(at, _)| *at);
                let behind =
                    seats().filter(|seat| seat.end > first && (first..run.to).contains(&seat.at));
                let slowest = behind.map(|seat| seat.at).min().unwrap_or(furthest);
                run.end.saturating_sub(slowest.max(run.from)) >= WINDOW_BYTES
            }
        };
        if ahead {
            run.leader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Worth::Yes)
    }

    /// All of it has come.
    pub fn finish(mut self) {
        self.settled = true;
        let mut state = self.partial.lock();
        if let Some(run) = state.run(self.number) {
            run.phase = Phase::Over;
        }
        state.let_go(&self.partial.writing);
        state.wake_all();
    }

    /// It breaks off: whoever waits for the rest asks for it himself, or tells why not.
    pub fn fail(mut self, reason: Reason) {
        self.end(reason);
    }

    fn end(&mut self, reason: Reason) {
        self.settled = true;
        let mut state = self.partial.lock();
        if let Some(run) = state.run(self.number) {
            // What has come can be read still; of a chunk that is not whole nothing will be written.
            (run.phase, run.kept, run.to) = (Phase::Over, false, run.end);
        }
        state.failed = Some((self.number, reason));
        state.begun = None;
        state.let_go(&self.partial.writing);
        state.wake_all();
    }
}

impl Drop for RunLeader {
    fn drop(&mut self) {
        if !self.settled {
            self.end(EdgeReason::InternalError.into());
        }
    }
}

/// Whoever reads what is there of an object, and waits for the rest.
#[derive(Debug)]
pub struct Reader {
    partial: Arc<Partial>,
    seat: usize,
    /// The run that it asked for last.
    claimed: Option<u64>,
}

impl Reader {
    /// What it reads.
    pub fn partial(&self) -> &Arc<Partial> {
        &self.partial
    }

    /// It has read up to `at`, and wants what follows up to `end`.
    pub fn move_to(&self, at: u64, end: u64) {
        let mut state = self.partial.lock();
        if let Some(Some(seat)) = state.seats.get_mut(self.seat) {
            (seat.at, seat.end) = (at, end);
        }
        state.let_go(&self.partial.writing);
        state.runs.iter_mut().for_each(Run::wake);
    }

    /// Is told when something changes.
    pub fn wait(&self, cx: &Context<'_>) {
        self.partial.lock().wait(self.seat, cx);
    }

    /// Brings what comes at `at`; `bring` asks for it where nobody does.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        at: u64,
        end: u64,
        bring: Option<&dyn Bring>,
    ) -> Poll<Result<Brought, Reason>> {
        let partial = Arc::clone(&self.partial);
        let mut state = partial.lock();
        if let Some(Some(seat)) = state.seats.get_mut(self.seat) {
            (seat.at, seat.end) = (at, end);
        }
        if chunk_of(at).is_some_and(|chunk| partial.writing.has_chunk(chunk)) {
            return Poll::Ready(Ok(Brought::OnDisk));
        }
        if let Some(run) = state.bringing(at) {
            if let Some(piece) = run.piece(at) {
                return Poll::Ready(Ok(Brought::Bytes(piece)));
            }
            state.wait(self.seat, cx);
            return Poll::Pending;
        }
        // Whoever has asked himself does not ask for ever.
        let reason = state.failed.and_then(|(number, reason)| {
            let is_mine = self.claimed == Some(number);
            (is_mine || !partial.located.strong).then_some(reason)
        });
        if let Some(reason) = reason {
            return Poll::Ready(Err(reason));
        }
        let fetchable = partial.located.strong
            && !partial.without_ranges.load(Ordering::Relaxed)
            && !state.outdated;
        let Some(bring) = bring.filter(|_| fetchable) else {
            return Poll::Ready(Err(EdgeReason::KeptContentLost.into()));
        };
        state.wait(self.seat, cx);
        let to = partial.claimable(&state, at, end);
        let run = partial.begin(&mut state, at - at % CHUNK, to);
        drop(state);
        self.claimed = Some(run.number);
        bring.bring(run);
        Poll::Pending
    }
}

impl State {
    fn wait(&mut self, seat: usize, cx: &Context<'_>) {
        if let Some(Some(seat)) = self.seats.get_mut(seat) {
            seat.waker = Some(cx.waker().clone());
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.partial.lock();
        if let Some(seat) = state.seats.get_mut(self.seat) {
            *seat = None;
        }
        state.let_go(&self.partial.writing);
        state.runs.iter_mut().for_each(Run::wake);
    }
}

/// Which chunk has a byte.
fn chunk_of(at: u64) -> Option<u32> {
    u32::try_from(at / CHUNK).ok()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use mangrove_cache::purge::{Generation, Ledger};

    use super::super::DiskTier;
    use super::super::fill::tests::stored_of;
    use super::*;

    const PIECE: usize = 64 * 1024;

    /// An object of so many bytes that has been begun, and of which nothing has come.
    fn begun(folder: &std::path::Path, total: u64) -> (DiskTier, Arc<Partial>) {
        let tier = DiskTier::new(folder.to_owned(), 1 << 30, 1 << 28);
        tier.try_open(&Ledger::new([1, 2], 16)).unwrap();
        let (stored, born) = (stored_of(total), Generation(7));
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
        // Whoever asks for that takes it off the other.
        let other = partial.claim(far, total);
        assert_eq!(other.reach(), (10 * CHUNK, total));
        assert_eq!(run.reach(), (2 * CHUNK, 10 * CHUNK));
        drop((run, other, reader, partial));
        tier.close();
        tier.end();
    }
}
