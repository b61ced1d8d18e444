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

pub(crate) mod held;
mod reader;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::fmt::Debug;
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

pub use reader::Reader;

const CHUNK: u64 = CHUNK_BYTES as u64;
/// What is fetched for the disk may be so far ahead of whoever reads furthest: he may leave, or look elsewhere.
pub(crate) const AHEAD_BYTES: u64 = 16 << 20;
/// What will come after no more than this is waited for, and not asked for by itself.
pub(crate) const SOON_BYTES: u64 = 8 << 20;
/// Runs of one object that are under way at a time: as many places of it are read at once. Who wants one more waits, or asks as
/// he came.
pub(crate) const RUNS: usize = 64;
/// How often one reader asks for the same byte.
pub(crate) const TRIES: u32 = 3;
/// Runs of one object that failed and are remembered, so that who waited for the same does not try it again.
pub(crate) const FAILURES: usize = 16;

/// The number of the run that an object begins with.
const FIRST: u64 = 1;

/// All objects that are read or brought in parts at present.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    table: Mutex<HashMap<KeyHash, Row>>,
    /// Chunks of what was let go of that are held for those who read it, and the most that may be.
    holds: Mutex<u64>,
    may_hold: u64,
}

/// Those of one key.
type Row = Vec<(ObjectId, Weak<Partial>)>;

/// One object of which not all is there.
#[derive(Debug)]
pub struct Partial {
    located: Located,
    total: u64,
    writing: Writing,
    /// What was there when it was let go of, for those who read it.
    held: Mutex<Option<held::Held>>,
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
    /// The runs that failed last.
    failed: VecDeque<Failed>,
    /// Bytes of memory that count as gathered.
    counted: u64,
    /// The origin has another content by now.
    outdated: bool,
}

/// A run that did not bring what it was to.
#[derive(Clone, Copy, Debug)]
struct Failed {
    number: u64,
    /// What it owes.
    from: u64,
    to: u64,
    /// It was for no reason of who asked: others would fare no better.
    for_all: bool,
    reason: Reason,
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
    /// Asks for it, and carries it; the byte at `at` is waited for.
    fn bring(&self, run: RunLeader, at: u64);
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
        let table = lock(&self.table);
        let mut all = table.get(&located.key())?.iter();
        all.find(|(id, _)| *id == located.id)?.1.upgrade()
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
            held: Mutex::default(),
            state: Mutex::default(),
        });
        let mut table = lock(&self.table);
        let row = table.entry(located.key()).or_default();
        let mut all = row.iter().filter(|(id, _)| *id == located.id);
        let there = all.find_map(|(_, there)| there.upgrade());
        if there.is_none() {
            row.push((located.id, Arc::downgrade(&made)));
        }
        drop(table);
        Some(there.unwrap_or(made))
    }

    /// The objects of a key that have begun to come.
    pub(crate) fn begun(&self, hash: KeyHash, key: &[u8]) -> Vec<Arc<Object>> {
        let all = self.of_key(hash);
        let begun = all.iter().filter_map(|partial| {
            let state = partial.lock();
            let (its, object) = state.begun.as_ref()?;
            (**its == *key).then(|| Arc::clone(object))
        });
        begun.collect()
    }

    /// The runs under way, of one key or of all, for an operator.
    pub(in crate::cache) fn reports(&self, key: Option<KeyHash>) -> Vec<FillReport> {
        let all = match key {
            Some(key) => self.of_key(key),
            None => self.all(),
        };
        all.iter()
            .flat_map(|partial| partial.lock().reports())
            .collect()
    }

    /// What is on its way for a key is not wanted any more: nobody finds it from now on.
    pub(in crate::cache) fn withdraw(&self, key: KeyHash) {
        for partial in &self.of_key(key) {
            partial.lock().begun = None;
        }
    }

    // Upgraded under the lock and let go of without it: the last to hold one takes it out of the table.
    fn of_key(&self, key: KeyHash) -> Vec<Arc<Partial>> {
        let table = lock(&self.table);
        let row = table.get(&key).into_iter().flatten();
        row.filter_map(|(_, partial)| partial.upgrade()).collect()
    }

    fn all(&self) -> Vec<Arc<Partial>> {
        let table = lock(&self.table);
        let rows = table.values().flatten();
        rows.filter_map(|(_, partial)| partial.upgrade()).collect()
    }

    fn leave(&self, key: KeyHash) {
        let mut table = lock(&self.table);
        if let Some(row) = table.get_mut(&key) {
            row.retain(|(_, partial)| partial.strong_count() > 0);
            if row.is_empty() {
                table.remove(&key);
            }
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        self.give_back();
        self.located.parts().leave(self.located.key());
        self.located.count_gathered(self.lock().counted, 0);
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
        self.located.strong && self.located.sends_parts() != Some(false) && !self.is_outdated()
    }

    /// Its origin does not send parts of it.
    pub fn has_no_ranges(&self) {
        self.located.note_sends_parts(false);
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
        self.hold();
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
        state.let_go(self);
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

    /// Claims the run that begins with the chunk of `at`, to the next chunk that is there or comes, or to `end`; none where there
    /// are as many as may be.
    pub fn claim(self: &Arc<Self>, at: u64, end: u64) -> Option<RunLeader> {
        let mut state = self.lock();
        let from = at - at % CHUNK;
        let to = self.claimable(&state, at, end);
        state.has_room().then(|| self.begin(&mut state, from, to))
    }

    /// Claims what the origin sends already.
    pub fn claim_exactly(self: &Arc<Self>, from: u64, to: u64) -> RunLeader {
        self.begin(&mut self.lock(), from, to)
    }

    fn begin(self: &Arc<Self>, state: &mut State, from: u64, to: u64) -> RunLeader {
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

    fn has_room(&self) -> bool {
        let under_way = self.runs.iter().filter(|run| run.phase != Phase::Over);
        under_way.count() < RUNS
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

    /// Whether a run comes to a byte, be it late.
    fn comes_to(&self, at: u64) -> bool {
        let mut runs = self.runs.iter();
        runs.any(|run| run.phase == Phase::Coming && (run.end..run.to).contains(&at))
    }

    /// Lets go of what is written, or had by all who read it; counts what is left.
    fn let_go(&mut self, of: &Partial) {
        let seats = &self.seats;
        let is_awaited = |at: u64, end: u64| {
            let mut seats = seats.iter().flatten();
            seats.any(|seat| {
                seat.at < end && seat.end > at && seat.at.saturating_add(AHEAD_BYTES) >= at
            })
        };
        let mut looked_at = (None, false);
        let mut counted = 0;
        for run in &mut self.runs {
            // Only whole chunks are written, and the last one.
            let first_whole = run.from.div_ceil(CHUNK) * CHUNK;
            let last_whole = match run.phase {
                Phase::Over if run.end < of.total => run.end - run.end % CHUNK,
                _ => of.total,
            };
            let kept = run.kept && !self.outdated;
            run.pieces.retain(|(at, piece)| {
                let length = piece.len() as u64;
                let will_be_written = kept && (first_whole..last_whole).contains(at);
                let chunk = chunk_of(*at);
                if looked_at.0 != chunk {
                    looked_at = (
                        chunk,
                        chunk.is_some_and(|chunk| of.writing.has_chunk(chunk)),
                    );
                }
                let is_held =
                    !looked_at.1 && (will_be_written || is_awaited(*at, at.saturating_add(length)));
                // A whole chunk is the memory that waits for the disk.
                if is_held && !(kept && length == CHUNK) {
                    counted += length;
                }
                is_held
            });
        }
        self.runs
            .retain(|run| run.phase != Phase::Over || !run.pieces.is_empty());
        of.located
            .count_gathered(std::mem::replace(&mut self.counted, counted), counted);
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

    /// What is missing of it now.
    pub fn wants(&self) -> Option<Interval> {
        let (at, to) = self.reach();
        Interval::new(at, to.checked_sub(1)?)
    }

    /// How far it has come, and is to go.
    pub fn reach(&self) -> (u64, u64) {
        let mut state = self.partial.lock();
        let run = state.run(self.number);
        run.map_or((0, 0), |run| (run.end, run.to))
    }

    /// The origin answers, and perhaps with less than it was asked for. What would have come to here later, for others, need not
    /// any more; nor does this what another has by now.
    pub fn begin(&self, to: u64) {
        let mut state = self.partial.lock();
        let (from, mut to) = (self.from, to);
        for run in &mut state.runs {
            if run.number == self.number || run.phase != Phase::Coming || run.to <= from {
                continue;
            }
            if run.end <= from {
                run.to = from;
            } else if run.from <= from {
                to = to.min(run.end.next_multiple_of(CHUNK));
            } else {
                let least = (from - from % CHUNK).saturating_add(CHUNK);
                to = to.min((run.from - run.from % CHUNK).max(least));
            }
        }
        if let Some(run) = state.run(self.number) {
            run.phase = Phase::Coming;
            run.to = run.to.min(to);
        }
        state.let_go(&self.partial);
        state.wake_all();
    }

    fn change(&self, change: impl FnOnce(&mut Run)) {
        let mut state = self.partial.lock();
        if let Some(run) = state.run(self.number) {
            change(run);
        }
        state.let_go(&self.partial);
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
        state.let_go(&self.partial);
        state.wake_all();
    }

    /// It breaks off: whoever waits for the rest asks for it himself, or tells why not. Where the origin is at fault, nobody who
    /// has waited for this run from its beginning tries again.
    pub fn fail(mut self, reason: Reason) {
        self.end(reason, matches!(reason, Reason::Origin(_)));
    }

    /// The same where the origin said so to whoever asked.
    pub fn fail_for_all(mut self, reason: Reason) {
        self.end(reason, true);
    }

    fn end(&mut self, reason: Reason, for_all: bool) {
        self.settled = true;
        let mut state = self.partial.lock();
        let (mut from, mut to) = (self.from, self.from);
        if let Some(run) = state.run(self.number) {
            (from, to) = (run.end, run.to);
            // What has come can be read still; of a chunk that is not whole nothing will be written.
            (run.phase, run.kept, run.to) = (Phase::Over, false, run.end);
        }
        if state.failed.len() >= FAILURES {
            state.failed.pop_front();
        }
        state.failed.push_back(Failed {
            number: self.number,
            from,
            to,
            for_all,
            reason,
        });
        // What another has asked for says nothing of the answer that it is found by.
        if self.number == FIRST {
            state.begun = None;
        }
        state.let_go(&self.partial);
        state.wake_all();
    }
}

impl Drop for RunLeader {
    fn drop(&mut self) {
        if !self.settled {
            self.end(EdgeReason::InternalError.into(), false);
        }
    }
}

/// Which chunk has a byte.
fn chunk_of(at: u64) -> Option<u32> {
    u32::try_from(at / CHUNK).ok()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
