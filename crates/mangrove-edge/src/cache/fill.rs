//! One fetch for however many wait: what is on its way from an origin, shared by all cores.
//!
//! Whoever finds nothing kept *enters*. The first becomes the leader and asks the origin; the others follow. When the head
//! is there, the leader says what it is to the others:
//!
//! ```text
//!          ┌► Content ─┬► Whole     the answer may be kept: followers send its bytes as they come
//! Asked ───┤           └► Cut       it broke off: what was begun is cut visibly
//!          ├► Changed              what is kept has changed: look again
//!          ├► Freed                it is for who asked alone: everyone asks for himself, at once
//!          └► Failed               the origin failed: one more try, then everyone tells of it
//! ```
//!
//! A fill belongs to a key and a *lane*: what the URL's answers are known to vary on. What was purged meanwhile, or
//! withdrawn by a change of its URL, goes on for those who follow already, gains no new ones, and is not kept.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hashbrown::HashTable;
use mangrove_cache::memory::KeyHash;
use mangrove_cache::purge::Generation;
use mangrove_cache::{Fields, NotStored};

use super::object::{Kept, KeptHead, Object};
use crate::body::Filled;
use crate::reason::{EdgeReason, Reason};

/// Tables of fills; each has its own lock.
pub(crate) const SHARDS: usize = 64;
/// What of an origin's answer is taken at once.
pub const PIECE_BYTES: usize = 64 * 1024;
/// Of an answer that will not be kept, how many bytes the fastest reader may be ahead of the slowest.
pub const WINDOW_BYTES: u64 = 1 << 20;
/// An answer that nobody waits for any more is fetched to its end if no more than this is missing.
pub const FINISH_BYTES: u64 = 8 << 20;

/// All fills under way.
#[derive(Debug)]
pub struct Fills {
    home: Arc<Home>,
}

#[derive(Debug)]
struct Home {
    shards: Box<[Shard]>,
    room: Room,
}

#[derive(Debug, Default)]
struct Shard {
    table: Mutex<Table>,
    /// How many fills have left it.
    departures: AtomicU64,
}

/// Found by the hash that the look-up has made already; a key may have several, each with its lane.
type Table = HashTable<Arc<Fill>>;

/// The bytes that fills hold.
#[derive(Debug)]
struct Room {
    ceiling: u64,
    held: AtomicU64,
}

/// One fetch.
#[derive(Debug)]
pub struct Fill {
    /// The key it is for.
    pub key: Box<[u8]>,
    /// Its hash.
    pub hash: KeyHash,
    /// The number of the time when the origin was asked.
    pub born: Generation,
    lane: Box<[u8]>,
    joinable: bool,
    home: Arc<Home>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// What has arrived; the first byte is at `start`.
    pieces: VecDeque<(u64, Bytes)>,
    start: u64,
    end: u64,
    /// Bytes that count in the room.
    charged: u64,
    /// Of its content so much has had its room from the start.
    reserved: u64,
    /// By follower: how far it has read, and whom to wake.
    seats: Vec<Option<Seat>>,
    joined: u64,
    withdrawn: bool,
    /// It will not be kept: bytes that every follower has had are let go.
    passing: bool,
    leader: Option<Waker>,
}

#[derive(Debug)]
struct Seat {
    at: u64,
    waker: Option<Waker>,
}

#[derive(Clone, Debug)]
enum Phase {
    Asked,
    Content(Arc<KeptHead>),
    Whole(Finished),
    Changed,
    Freed(Option<NotStored>),
    Failed(Reason, Option<u16>),
    /// With the head, where it had come: whoever has begun with it says how long it would have been.
    Cut(Reason, Option<Arc<KeptHead>>),
}

impl Phase {
    /// What follows when it breaks off now.
    fn cut(&self, reason: Reason) -> Self {
        let head = match self {
            Self::Content(head) => Some(Arc::clone(head)),
            _ => None,
        };
        Self::Cut(reason, head)
    }
}

/// As [`Kept`], but nothing of it belongs to one core.
#[derive(Clone, Debug)]
struct Finished {
    head: Arc<KeptHead>,
    object: Arc<Object>,
    /// Keeps the bytes counted.
    _slot: Option<Arc<mangrove_cache::memory::Slot<super::Resource>>>,
}

/// What a follower learns of the head.
#[derive(Clone, Debug)]
pub enum News {
    /// This is it; its content follows.
    Head(Arc<KeptHead>),
    /// Look again.
    Changed,
    /// Ask for yourself.
    Freed(Option<NotStored>),
    /// The origin failed, with this status if it gave one.
    Failed(Reason, Option<u16>),
}

/// How one enters.
#[derive(Debug)]
pub enum Entered {
    /// Nobody asks yet: the origin is yours to ask.
    Leader(Leader),
    /// Somebody asks already.
    Follower(Follower),
}

/// A fill at one moment, for an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FillReport {
    /// Whether the origin's head is there.
    pub answered: bool,
    /// Bytes of content that have arrived.
    pub bytes: u64,
    /// Requests that read it or wait for it; whoever asked counts from when the head is there.
    pub followers: usize,
    /// Whether it is to be kept, as far as is known: nobody has purged it and it is not too large.
    pub wanted: bool,
}

impl Fills {
    /// None yet; together they hold at most `ceiling` bytes of answers that will be kept.
    pub(super) fn new(ceiling: u64) -> Self {
        let room = Room {
            ceiling,
            held: AtomicU64::new(0),
        };
        let shards = (0..SHARDS).map(|_| Shard::default()).collect();
        Self {
            home: Arc::new(Home { shards, room }),
        }
    }

    /// Bytes that fills hold.
    pub fn held(&self) -> u64 {
        self.home.room.held.load(Ordering::Relaxed)
    }

    /// Fills under way.
    pub fn len(&self) -> usize {
        let shards = self.home.shards.iter();
        shards.map(|shard| lock(&shard.table).len()).sum()
    }

    /// Requests that wait for a fill's head or read its content, those that began one included once its head is there.
    pub fn followers(&self) -> usize {
        let mut followers = 0;
        for shard in &self.home.shards {
            for fill in lock(&shard.table).iter() {
                followers += fill.lock().seats.iter().flatten().count();
            }
        }
        followers
    }

    /// True when nothing is on its way.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A number that changes whenever a fill of this key may have ended: what was looked for before and after it has changed may
    /// be there by now.
    pub fn departures(&self, hash: KeyHash) -> u64 {
        self.home.shard(hash).departures.load(Ordering::Acquire)
    }

    /// Follows the fill of this key and lane, or begins one, with the number of now. With `joinable` false the fetch is for
    /// who asks alone: it follows nobody and nobody follows it. `is_current` says of a fill, by its number and by its fields
    /// where they are there, whether a newcomer may still get it.
    pub fn enter(
        &self,
        hash: KeyHash,
        key: &[u8],
        lane: &[u8],
        joinable: bool,
        born: Generation,
        is_current: impl Fn(Generation, Option<&Fields>) -> bool,
    ) -> Entered {
        let mut table = lock(&self.home.shard(hash).table);
        if joinable {
            for fill in of_key(&table, hash, key) {
                if fill.joinable
                    && *fill.lane == *lane
                    && let Some(follower) = fill.join(&is_current)
                {
                    return Entered::Follower(follower);
                }
            }
        }
        let fill = Arc::new(Fill {
            key: key.into(),
            hash,
            born,
            lane: lane.into(),
            joinable,
            home: Arc::clone(&self.home),
            state: Mutex::new(State {
                phase: Phase::Asked,
                pieces: VecDeque::new(),
                start: 0,
                end: 0,
                charged: 0,
                reserved: 0,
                seats: Vec::new(),
                joined: 0,
                withdrawn: false,
                passing: false,
                leader: None,
            }),
        });
        table.insert_unique(hash.0, Arc::clone(&fill), |other| other.hash.0);
        Entered::Leader(Leader {
            fill,
            settled: false,
        })
    }

    /// The most bytes that fills may hold of answers that will be kept.
    pub fn ceiling(&self) -> u64 {
        self.home.room.ceiling
    }

    /// What is on its way for a key, for an operator.
    pub fn report(&self, hash: KeyHash, key: &[u8]) -> Vec<FillReport> {
        let table = lock(&self.home.shard(hash).table);
        let fills = of_key(&table, hash, key);
        fills.map(|fill| fill.lock().report()).collect()
    }

    /// The lowest number of what is on its way.
    pub fn oldest(&self) -> Option<Generation> {
        let shards = self.home.shards.iter();
        let of_shard = |shard: &Shard| {
            let table = lock(&shard.table);
            table.iter().map(|fill| fill.born).min()
        };
        shards.filter_map(of_shard).min()
    }

    /// What is on its way for this key is not wanted any more.
    pub(super) fn withdraw(&self, hash: KeyHash, key: &[u8]) {
        let table = lock(&self.home.shard(hash).table);
        for fill in of_key(&table, hash, key) {
            fill.lock().withdrawn = true;
        }
    }
}

impl Home {
    /// Takes a fill out of the table: nobody enters it any more.
    fn leave(&self, fill: &Arc<Fill>) {
        let shard = self.shard(fill.hash);
        let mut table = lock(&shard.table);
        shard.departures.fetch_add(1, Ordering::Release);
        if let Ok(place) = table.find_entry(fill.hash.0, |other| Arc::ptr_eq(other, fill)) {
            place.remove();
        }
    }

    #[allow(clippy::indexing_slicing)] // the remainder of a division by their number
    fn shard(&self, hash: KeyHash) -> &Shard {
        &self.shards[usize::try_from(hash.0 >> 40).unwrap_or(0) % SHARDS]
    }
}

/// The fills of a key. A fill's own lock may be taken meanwhile: always after its table's, never before.
fn of_key<'a>(
    table: &'a Table,
    hash: KeyHash,
    key: &'a [u8],
) -> impl Iterator<Item = &'a Arc<Fill>> {
    let same = move |fill: &&Arc<Fill>| fill.hash == hash && *fill.key == *key;
    table.iter_hash(hash.0).filter(same)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Fill {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// A seat, if it is not too late for one.
    fn join(
        self: &Arc<Self>,
        is_current: impl Fn(Generation, Option<&Fields>) -> bool,
    ) -> Option<Follower> {
        let mut state = self.lock();
        let head = match &state.phase {
            Phase::Asked => None,
            Phase::Content(head) => Some(head),
            Phase::Whole(whole) => Some(&whole.head),
            _ => return None,
        };
        let fields = head.map(|head| &head.stored.fields);
        if state.withdrawn || state.start > 0 || !is_current(self.born, fields) {
            return None;
        }
        state.joined += 1;
        Some(self.sit(&mut state))
    }

    fn sit(self: &Arc<Self>, state: &mut State) -> Follower {
        let seat = Seat { at: 0, waker: None };
        let free = state.seats.iter().position(Option::is_none);
        let at = match free.and_then(|at| Some((at, state.seats.get_mut(at)?))) {
            Some((at, place)) => {
                *place = Some(seat);
                at
            }
            None => {
                state.seats.push(Some(seat));
                state.seats.len() - 1
            }
        };
        Follower {
            fill: Arc::clone(self),
            seat: at,
            at: 0,
            data: Bytes::new(),
        }
    }
}

impl Drop for Fill {
    fn drop(&mut self) {
        let charged = self
            .state
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .charged;
        self.home.room.held.fetch_sub(charged, Ordering::Relaxed);
    }
}

impl State {
    fn wake_all(&mut self) {
        for seat in self.seats.iter_mut().flatten() {
            if let Some(waker) = seat.waker.take() {
                waker.wake();
            }
        }
    }

    fn report(&self) -> FillReport {
        FillReport {
            answered: !matches!(self.phase, Phase::Asked),
            bytes: self.end,
            followers: self.seats.iter().flatten().count(),
            wanted: !self.withdrawn && !self.passing,
        }
    }

    fn slowest(&self) -> Option<u64> {
        self.seats.iter().flatten().map(|seat| seat.at).min()
    }

    /// Gives back the room of content that will not come any more.
    fn give_back(&mut self, room: &Room) {
        let here: u64 = self
            .pieces
            .iter()
            .map(|(_, piece)| piece.len() as u64)
            .sum();
        let too_much = self.charged.saturating_sub(here);
        self.charged -= too_much;
        room.held.fetch_sub(too_much, Ordering::Relaxed);
    }

    /// Of an answer that is only passed on, lets go of what every follower has had.
    fn let_go(&mut self, room: &Room) {
        if !self.passing {
            return;
        }
        let slowest = self.slowest().unwrap_or(self.end);
        while let Some((at, piece)) = self.pieces.front() {
            let end = at + piece.len() as u64;
            if end > slowest {
                break;
            }
            let bytes = (piece.len() as u64).min(self.charged);
            self.charged -= bytes;
            room.held.fetch_sub(bytes, Ordering::Relaxed);
            self.start = end;
            self.pieces.pop_front();
        }
        if let Some(leader) = self.leader.take() {
            leader.wake();
        }
    }
}

/// Whoever asks the origin. Dropped before anything was settled, it tells the others to try for themselves.
#[derive(Debug)]
pub struct Leader {
    fill: Arc<Fill>,
    settled: bool,
}

/// Whether the content is still worth fetching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// Go on.
    Yes,
    /// Nobody waits for it, and too much is missing to finish it for whoever may come.
    No,
}

impl Leader {
    /// The fetch.
    pub fn fill(&self) -> &Arc<Fill> {
        &self.fill
    }

    /// Whether anyone has followed.
    pub fn was_joined(&self) -> bool {
        self.fill.lock().joined > 0
    }

    /// Takes room for an answer of so many bytes, if there is enough: then no other's content can take it before that has come.
    pub fn reserve(&self, bytes: u64) -> bool {
        let room = &self.fill.home.room;
        let mut state = self.fill.lock();
        let taken = room
            .held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
                held.checked_add(bytes).filter(|held| *held <= room.ceiling)
            });
        if taken.is_ok() {
            state.reserved += bytes;
            state.charged += bytes;
        }
        taken.is_ok()
    }

    /// The head is there and may be kept: content follows. The leader's own visitor becomes a follower like the others.
    pub fn open(&self, head: Arc<KeptHead>) -> Follower {
        let mut state = self.fill.lock();
        state.phase = Phase::Content(head);
        let follower = self.fill.sit(&mut state);
        state.wake_all();
        follower
    }

    /// Content that arrived. When it grows beyond what may be kept, it is passed on to those who follow and not kept.
    pub fn push(&self, piece: Bytes, largest: u64) {
        let room = &self.fill.home.room;
        let mut state = self.fill.lock();
        let at = state.end;
        state.end += piece.len() as u64;
        state.pieces.push_back((at, piece));
        let unreserved = state.end.saturating_sub(at.max(state.reserved));
        state.charged += unreserved;
        let held = room.held.fetch_add(unreserved, Ordering::Relaxed) + unreserved;
        if state.end > largest || unreserved > 0 && held > room.ceiling {
            state.passing = true;
        }
        state.let_go(room);
        state.wake_all();
    }

    /// Ready when more may be pushed. `missing` is what is still to come, if that is known.
    pub fn poll_worth(&self, cx: &mut Context<'_>, missing: Option<u64>) -> Poll<Worth> {
        let mut state = self.fill.lock();
        let Some(slowest) = state.slowest() else {
            // Where nobody says how much is to come, what has come says how much more is risked.
            let cheap = missing.unwrap_or(state.end) <= FINISH_BYTES;
            return Poll::Ready(match cheap && !state.passing && !state.withdrawn {
                true => Worth::Yes,
                false => Worth::No,
            });
        };
        let room = &self.fill.home.room;
        let window = match room.held.load(Ordering::Relaxed) > room.ceiling {
            true => PIECE_BYTES as u64, // all that are under way hold too much: one piece each
            false => WINDOW_BYTES,
        };
        if state.passing && state.end.saturating_sub(slowest) >= window {
            state.leader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Worth::Yes)
    }

    /// The content, if it is to be kept: all of it is here.
    pub fn content(&self) -> Option<Vec<Bytes>> {
        let state = self.fill.lock();
        let whole = !state.passing && state.start == 0;
        whole.then(|| {
            state
                .pieces
                .iter()
                .map(|(_, piece)| piece.clone())
                .collect()
        })
    }

    /// Runs `keep` unless the answer was withdrawn, or `is_alive` finds it purged. No withdrawal comes between; a purge may,
    /// and then finds what was kept by its number.
    pub fn keep<T>(
        &self,
        is_alive: impl FnOnce() -> bool,
        keep: impl FnOnce() -> Option<T>,
    ) -> Option<T> {
        let state = self.fill.lock();
        if state.withdrawn || !is_alive() {
            return None;
        }
        let kept = keep();
        drop(state);
        kept
    }

    /// All of it has arrived. `object` is given where it was gathered, in a slot or not.
    pub fn finish(mut self, kept: Option<Kept>) {
        let mut state = self.fill.lock();
        if let Some(kept) = kept
            && let Some(object) = kept.object()
        {
            let slot = kept.hold.slot().cloned();
            if slot.is_some() {
                // The slot's weight counts from now on.
                let charged = std::mem::take(&mut state.charged);
                self.fill
                    .home
                    .room
                    .held
                    .fetch_sub(charged, Ordering::Relaxed);
            }
            state.pieces.clear();
            state.phase = Phase::Whole(Finished {
                head: Arc::clone(&object.head),
                object: Arc::clone(object),
                _slot: slot,
            });
        } else if let Phase::Content(head) = &state.phase {
            // Only passed on: what is left is in the pieces.
            let head = Arc::clone(head);
            state.phase = Phase::Whole(Finished {
                object: Arc::new(Object::new(
                    head.stored.clone(),
                    Arc::default(),
                    self.fill.born,
                    false,
                )),
                head,
                _slot: None,
            });
        }
        state.wake_all();
        drop(state);
        self.settled = true;
    }

    /// What is kept has changed: the others look again.
    pub fn changed(self) {
        self.settle(Phase::Changed);
    }

    /// The answer is of no use to the others.
    pub fn free(self, why: Option<NotStored>) {
        self.settle(Phase::Freed(why));
    }

    /// The origin failed.
    pub fn fail(self, reason: Reason, status: Option<u16>) {
        self.settle(Phase::Failed(reason, status));
    }

    /// The content broke off.
    pub fn cut(self, reason: Reason) {
        let mut state = self.fill.lock();
        state.give_back(&self.fill.home.room);
        let cut = state.phase.cut(reason);
        drop(state);
        self.settle(cut);
    }

    fn settle(mut self, phase: Phase) {
        let mut state = self.fill.lock();
        state.phase = phase;
        state.wake_all();
        drop(state);
        self.settled = true;
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if !self.settled {
            let mut state = self.fill.lock();
            state.give_back(&self.fill.home.room);
            state.phase = match &state.phase {
                Phase::Asked => Phase::Changed,
                begun => begun.cut(EdgeReason::InternalError.into()),
            };
            state.wake_all();
        }
        // Only now: whoever finds no fill any more finds what it has left behind.
        self.fill.home.leave(&self.fill);
    }
}

/// Whoever waits for another's fetch, and reads what it brings.
#[derive(Debug)]
pub struct Follower {
    fill: Arc<Fill>,
    seat: usize,
    at: u64,
    data: Bytes,
}

impl Follower {
    /// The fetch.
    pub fn fill(&self) -> &Arc<Fill> {
        &self.fill
    }

    /// Status and fields, once they are there.
    pub fn head(&self) -> Option<Arc<KeptHead>> {
        match &self.fill.lock().phase {
            Phase::Content(head) | Phase::Cut(_, Some(head)) => Some(Arc::clone(head)),
            Phase::Whole(whole) => Some(Arc::clone(&whole.head)),
            _ => None,
        }
    }

    /// What became of the question.
    pub fn poll_news(&mut self, cx: &mut Context<'_>) -> Poll<News> {
        let mut state = self.fill.lock();
        let news = match &state.phase {
            Phase::Asked => None,
            Phase::Content(head) => Some(News::Head(Arc::clone(head))),
            Phase::Whole(whole) => Some(News::Head(Arc::clone(&whole.head))),
            Phase::Changed => Some(News::Changed),
            Phase::Freed(why) => Some(News::Freed(*why)),
            Phase::Failed(reason, status) => Some(News::Failed(*reason, *status)),
            Phase::Cut(reason, _) => Some(News::Failed(*reason, None)),
        };
        match news {
            Some(news) => Poll::Ready(news),
            None => {
                wait(&mut state, self.seat, cx);
                Poll::Pending
            }
        }
    }

    /// Brings bytes or the end.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Filled, Reason>> {
        if !self.data.is_empty() {
            return Poll::Ready(Ok(Filled::Data));
        }
        let mut state = self.fill.lock();
        if let Phase::Whole(whole) = &state.phase
            && whole.object.content.length() > self.at
        {
            self.data = whole.object.content.share(self.at, usize::MAX);
            return Poll::Ready(Ok(Filled::Data));
        }
        let at = self.at;
        let place = state.pieces.partition_point(|(start, _)| *start <= at);
        if let Some((start, piece)) = place
            .checked_sub(1)
            .and_then(|place| state.pieces.get(place))
        {
            let from = usize::try_from(at - start).unwrap_or(usize::MAX);
            if from < piece.len() {
                self.data = piece.slice(from..);
                return Poll::Ready(Ok(Filled::Data));
            }
        }
        match state.phase {
            Phase::Whole(_) => Poll::Ready(Ok(Filled::End)),
            Phase::Cut(reason, _) => Poll::Ready(Err(reason)),
            Phase::Asked | Phase::Content(_) => {
                wait(&mut state, self.seat, cx);
                Poll::Pending
            }
            _ => Poll::Ready(Err(EdgeReason::InternalError.into())),
        }
    }

    /// The bytes that are next.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Takes bytes away.
    pub fn consume(&mut self, n: usize) {
        drop(self.take(n));
    }

    /// The next bytes as a chunk of its own, nothing copied.
    pub fn take(&mut self, most: usize) -> Bytes {
        let chunk = self.data.split_to(most.min(self.data.len()));
        self.at += chunk.len() as u64;
        if self.data.is_empty() {
            self.data = Bytes::new(); // a piece used up is held no longer
            let mut state = self.fill.lock();
            if let Some(Some(seat)) = state.seats.get_mut(self.seat) {
                seat.at = self.at;
            }
            state.let_go(&self.fill.home.room);
        }
        chunk
    }

    /// Bytes still to come, where the head has said so.
    pub fn length(&self) -> Option<u64> {
        let state = self.fill.lock();
        let head = match &state.phase {
            Phase::Content(head) | Phase::Cut(_, Some(head)) => head,
            Phase::Whole(whole) if whole.object.content.length() > 0 => {
                return Some(whole.object.content.length().saturating_sub(self.at));
            }
            Phase::Whole(whole) => &whole.head,
            _ => return None,
        };
        match head.stored.content {
            mangrove_cache::Content::Whole { length } => {
                length.map(|length| length.saturating_sub(self.at))
            }
            mangrove_cache::Content::Part { held, .. } => {
                Some(held.length().saturating_sub(self.at))
            }
        }
    }
}

fn wait(state: &mut State, seat: usize, cx: &Context<'_>) {
    if let Some(Some(seat)) = state.seats.get_mut(seat) {
        match &seat.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            _ => seat.waker = Some(cx.waker().clone()),
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut state = self.fill.lock();
        if let Some(seat) = state.seats.get_mut(self.seat) {
            *seat = None;
        }
        state.let_go(&self.fill.home.room);
        if let Some(leader) = state.leader.take() {
            leader.wake(); // perhaps nobody is left
        }
    }
}

#[cfg(test)]
pub(in crate::cache) mod tests {
    use super::*;
    use mangrove_cache::{
        Expiry, Fields, Lifetime, LifetimeSource, PolicyField, Reuse, Stored, Vary,
    };
    use mangrove_http::UnixMillis;

    /// Pieces of an answer that will not be kept, taken ahead of a reader who reads nothing.
    fn taken_ahead(fills: &Fills, key: u8) -> (usize, Leader, Follower) {
        let enter = || {
            let born = Generation::default();
            fills.enter(KeyHash(u64::from(key)), &[key], b"", true, born, |_, _| {
                true
            })
        };
        let (Entered::Leader(leader), Entered::Follower(follower)) = (enter(), enter()) else {
            panic!("the first leads and the second follows");
        };
        let cx = &mut Context::from_waker(Waker::noop());
        let mut pieces = 0;
        while leader.poll_worth(cx, None).is_ready() {
            leader.push(Bytes::from_static(&[0; PIECE_BYTES]), 0);
            pieces += 1;
        }
        (pieces, leader, follower)
    }

    fn head_of(length: u64) -> Arc<KeptHead> {
        KeptHead::new(stored_of(length))
    }

    /// Something of so many bytes that may be kept for a minute.
    pub(in crate::cache) fn stored_of(length: u64) -> Stored {
        Stored {
            status: 200,
            fields: Fields::default(),
            content: mangrove_cache::Content::Whole {
                length: Some(length),
            },
            requested_at: UnixMillis(0),
            received_at: UnixMillis(0),
            initial_age: 0,
            lifetime: Lifetime {
                seconds: 60,
                source: LifetimeSource::MaxAge,
            },
            reuse: Reuse {
                policy: PolicyField::CacheControl,
                no_cache: false,
                must_revalidate: false,
                only_s_maxage: false,
                immutable: false,
                no_transform: false,
                stale_while_revalidate: None,
                stale_if_error: None,
            },
            last_modified: None,
            date: 0,
            vary: Vary::default(),
            variant: Box::default(),
            invalidated: false,
            expiry: Expiry::default(),
        }
    }

    /// The origin died between the head and the answer's first byte: one visitor in ten thousand was told no length.
    #[test]
    fn what_broke_off_is_still_as_long_as_its_head_has_said() {
        let fills = Fills::new(2 * WINDOW_BYTES);
        let cut = |leader: Leader| leader.cut(EdgeReason::ClientClosed.into());
        for end in [cut, drop] {
            let born = Generation::default();
            let entered = fills.enter(KeyHash(7), &[7], b"", true, born, |_, _| true);
            let Entered::Leader(leader) = entered else {
                panic!("nobody else leads");
            };
            let mut follower = leader.open(head_of(10));
            end(leader);
            assert_eq!(follower.length(), Some(10));
            let cx = &mut Context::from_waker(Waker::noop());
            assert!(matches!(follower.poll_fill(cx), Poll::Ready(Err(_))));
        }
    }

    /// Eight answers that came at once each had room when they began, and none when they were there: none was kept.
    #[test]
    fn an_answer_that_has_its_room_from_the_start_cannot_lose_it_to_another() {
        let fills = Fills::new(100);
        let lead = |key: u8| {
            let (hash, born) = (KeyHash(u64::from(key)), Generation::default());
            match fills.enter(hash, &[key], b"", true, born, |_, _| true) {
                Entered::Leader(leader) => leader,
                Entered::Follower(_) => panic!("nobody else leads"),
            }
        };
        let (first, second, third) = (lead(1), lead(2), lead(3));
        assert!(first.reserve(60));
        assert!(!second.reserve(41)); // one past the room
        assert!(second.reserve(40));
        let other = third.open(head_of(1));
        third.push(Bytes::from_static(b"x"), 1000);
        assert_eq!(fills.held(), 101);
        assert!(third.content().is_none()); // its length was not known, and there was no room
        let reader = first.open(head_of(60));
        first.push(Bytes::from(vec![1; 60]), 1000);
        assert_eq!(fills.held(), 101);
        assert!(first.content().is_some());
        let cut_off = second.open(head_of(40));
        second.push(Bytes::from_static(b"some"), 1000);
        second.cut(EdgeReason::ClientClosed.into()); // what has come is still read
        assert_eq!(fills.held(), 65);
        drop((first, third, reader, other, cut_off));
        assert_eq!(fills.held(), 0);
    }

    #[test]
    fn while_there_is_room_an_answer_is_taken_one_window_ahead() {
        let fills = Fills::new(2 * WINDOW_BYTES);
        let (pieces, ..) = taken_ahead(&fills, 1);
        assert_eq!((pieces * PIECE_BYTES) as u64, WINDOW_BYTES);
    }

    #[test]
    fn one_past_the_room_of_all_each_is_taken_one_piece_ahead() {
        let fills = Fills::new(WINDOW_BYTES);
        let _whole = taken_ahead(&fills, 0);
        let others: Vec<_> = (1..50).map(|key| taken_ahead(&fills, key)).collect();
        assert!(others.iter().all(|(pieces, ..)| *pieces == 1));
        assert_eq!(fills.held(), WINDOW_BYTES + 49 * PIECE_BYTES as u64);
        // Whoever reads goes on.
        let (_, leader, mut follower) = others.into_iter().next().unwrap();
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(follower.poll_fill(cx).is_ready());
        follower.consume(PIECE_BYTES);
        assert!(leader.poll_worth(cx, None).is_ready());
    }
}
