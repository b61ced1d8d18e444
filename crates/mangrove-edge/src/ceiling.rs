//! The ceiling on a process's connections, and where room is made when it is reached.
//!
//! Connections belong to cores, and no core can touch another's. So each core tells from time to time the [`Rank`] of the connection
//! that it would send away first: of the kind there are most of, or else the idlest. Whoever needs room picks the first of these, and
//! if that is another core's, asks that core to send one away at its clock's next turn. What was asked and not yet done is counted,
//! and has a ceiling of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use mangrove_shield::connections::{Crowd, Rank};
use mangrove_shield::handshakes::Shares;

use crate::http2::HeldByAll;

/// Evictions that one core may owe to the others at a time; so many connections per core the process may hold beyond its
/// ceiling, each for a turn of the clock.
pub const OWED_BY_A_CORE: usize = 64;

/// Nobody may go.
const NOBODY: u64 = u64::MAX;

/// Connections of the whole process.
#[derive(Debug)]
pub struct Ceiling {
    open: AtomicUsize,
    rooms: Box<[Room]>,
    /// Whose they are.
    pub crowd: Arc<Crowd>,
    /// What they have had of TLS handshakes.
    pub handshakes: Shares,
    /// What answers hold for their HTTP/2 clients.
    pub held_by_all: HeldByAll,
}

/// What one core tells the others, and what they ask of it.
#[derive(Debug)]
struct Room {
    /// The rank of the one that it would send away first.
    first: AtomicU64,
    owed: AtomicUsize,
}

/// A connection's place under the ceiling; leaving is dropping it.
#[derive(Debug)]
pub struct Place(Arc<Ceiling>);

/// What is known of a core when room is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CanSpare {
    /// The rank of the one that it would send away first; none when it has nobody to send away.
    pub first: Option<Rank>,
    /// Evictions that it owes already.
    pub owed: usize,
}

/// The core that makes room: the one that has whoever goes first of all, the asker itself if its own may go as soon. One that
/// owes too much already is not asked. None when nobody may go.
pub fn who_makes_room(asker: usize, cores: &[CanSpare]) -> Option<usize> {
    let may = |&(id, core): &(usize, &CanSpare)| id == asker || core.owed < OWED_BY_A_CORE;
    let spares = |(id, core): (usize, &CanSpare)| Some((core.first?, id != asker, id));
    let first = cores.iter().enumerate().filter(may).filter_map(spares);
    first.min().map(|(_, _, id)| id)
}

impl Ceiling {
    /// For so many cores, with nobody there yet. Nobody outside may know `seed`.
    pub fn new(cores: usize, seed: [u64; 2]) -> Self {
        let room = |_| Room {
            first: AtomicU64::new(NOBODY),
            owed: AtomicUsize::new(0),
        };
        Self {
            open: AtomicUsize::new(0),
            rooms: (0..cores).map(room).collect(),
            crowd: Arc::new(Crowd::new(seed)),
            handshakes: Shares::new(seed),
            held_by_all: HeldByAll::default(),
        }
    }

    /// A place, if fewer than `most` are taken.
    pub fn enter(self: &Arc<Self>, most: usize) -> Option<Place> {
        let before = self.open.fetch_add(1, Ordering::Relaxed);
        let place = Place(Arc::clone(self)); // dropped again when there is no room
        (before < most).then_some(place)
    }

    /// A place beyond the ceiling, for whoever takes the place of one that was asked to leave.
    pub fn squeeze_in(self: &Arc<Self>) -> Place {
        self.open.fetch_add(1, Ordering::Relaxed);
        Place(Arc::clone(self))
    }

    /// Places taken.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// A core tells whom it would send away first.
    pub fn tell(&self, core: u16, first: Option<Rank>) {
        if let Some(room) = self.rooms.get(usize::from(core)) {
            let bits = first.map_or(NOBODY, Rank::to_bits);
            room.first.store(bits, Ordering::Relaxed);
        }
    }

    /// A connection has come to a core and waits: the others know of it at once where the core has told of nobody.
    pub fn came(&self, core: u16, rank: Rank) {
        if let Some(room) = self.rooms.get(usize::from(core))
            && room.first.load(Ordering::Relaxed) == NOBODY
        {
            room.first.store(rank.to_bits(), Ordering::Relaxed); // only its own core writes it
        }
    }

    /// Has room made, for a newcomer on core `asker`: by another core if it owes one from now on, else by
    /// `itself`; false when neither has anybody who may go.
    pub fn make_room(&self, asker: u16, itself: impl FnOnce() -> bool) -> bool {
        let asker = usize::from(asker);
        let known = |room: &Room| {
            let first = room.first.load(Ordering::Relaxed);
            CanSpare {
                first: (first != NOBODY).then(|| Rank::from_bits(first)),
                owed: room.owed.load(Ordering::Relaxed),
            }
        };
        let known: Vec<CanSpare> = self.rooms.iter().map(known).collect();
        match who_makes_room(asker, &known) {
            Some(core) if core != asker => self.owe(core) || itself(),
            _ => itself(), // also when it has told of nobody: it may know better by now
        }
    }

    /// One more eviction that `core` owes, if it may owe one more.
    fn owe(&self, core: usize) -> bool {
        self.rooms.get(core).is_some_and(|room| {
            let one_more = |owed| (owed < OWED_BY_A_CORE).then_some(owed + 1);
            let told = room
                .owed
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
            told.is_ok()
        })
    }

    /// At a turn of `core`'s clock: pays what it owes with `evict`, as far as that finds somebody, and as long as the process
    /// holds more than `most`. What cannot be paid stays owed.
    pub fn pay(&self, core: u16, most: usize, mut evict: impl FnMut() -> bool) {
        let Some(room) = self.rooms.get(usize::from(core)) else {
            return;
        };
        let owed = room.owed.load(Ordering::Relaxed);
        if owed == 0 {
            return;
        }
        let over = self.open().saturating_sub(most);
        let paid = (0..owed.min(over)).take_while(|_| evict()).count();
        // Those who left by themselves have paid too.
        let settled = if over < owed {
            owed - over + paid
        } else {
            paid
        };
        room.owed.fetch_sub(settled.min(owed), Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: [u64; 2] = [1, 2];

    fn idle(since: u64) -> CanSpare {
        heavy(1, since)
    }

    fn heavy(weight: u32, since: u64) -> CanSpare {
        let first = Some(Rank::new(weight, since));
        CanSpare { first, owed: 0 }
    }

    const BUSY: CanSpare = CanSpare {
        first: None,
        owed: 0,
    };

    #[test]
    fn one_past_the_ceiling_has_no_place_until_someone_leaves() {
        let ceiling = Arc::new(Ceiling::new(1, SEED));
        let mut places: Vec<Place> = (0..3).filter_map(|_| ceiling.enter(3)).collect();
        assert_eq!(places.len(), 3);
        assert!(ceiling.enter(3).is_none());
        assert_eq!(ceiling.open(), 3);
        places.pop();
        assert!(ceiling.enter(3).is_some());
    }

    #[test]
    fn room_is_made_where_somebody_has_waited_longest_in_the_whole_process() {
        assert_eq!(who_makes_room(0, &[idle(7), idle(5), idle(6)]), Some(1));
        assert_eq!(who_makes_room(0, &[BUSY, idle(9), BUSY]), Some(1));
        assert_eq!(who_makes_room(2, &[idle(5), idle(5), idle(5)]), Some(2));
        assert_eq!(who_makes_room(1, &[BUSY, BUSY, BUSY]), None);
        assert_eq!(who_makes_room(0, &[]), None);
    }

    #[test]
    fn room_is_made_where_the_heaviest_are_however_briefly_they_have_waited() {
        assert_eq!(who_makes_room(0, &[idle(1), heavy(1_000, 9)]), Some(1));
        assert_eq!(who_makes_room(1, &[idle(1), heavy(1_000, 9)]), Some(1));
        assert_eq!(
            who_makes_room(0, &[heavy(1_000, 9), heavy(1_001, 8)]),
            Some(1)
        );
    }

    #[test]
    fn a_core_that_owes_as_much_as_it_may_is_not_asked_for_one_more() {
        let mut deep_in_debt = idle(1);
        deep_in_debt.owed = OWED_BY_A_CORE - 1;
        assert_eq!(who_makes_room(0, &[idle(9), deep_in_debt]), Some(1));
        deep_in_debt.owed = OWED_BY_A_CORE;
        assert_eq!(who_makes_room(0, &[idle(9), deep_in_debt]), Some(0));
        assert_eq!(who_makes_room(1, &[idle(9), deep_in_debt]), Some(1));
    }

    /// A process at its ceiling, with the longest idle on core 1 and its newcomers on core 0.
    fn full(places: usize) -> (Arc<Ceiling>, Vec<Place>) {
        let ceiling = Arc::new(Ceiling::new(2, SEED));
        ceiling.tell(1, Some(Rank::new(1, 1)));
        let open = (0..places).filter_map(|_| ceiling.enter(places)).collect();
        (ceiling, open)
    }

    fn newcomers(ceiling: &Arc<Ceiling>, n: usize) -> Vec<Place> {
        let may_come = |_| ceiling.make_room(0, || false).then(|| ceiling.squeeze_in());
        (0..n).filter_map(may_come).collect()
    }

    #[test]
    fn the_process_holds_no_more_beyond_its_ceiling_than_is_owed() {
        let (ceiling, _open) = full(100);
        let new = newcomers(&ceiling, 2 * OWED_BY_A_CORE);
        assert_eq!(new.len(), OWED_BY_A_CORE);
        assert_eq!(ceiling.open(), 100 + OWED_BY_A_CORE);
    }

    #[test]
    fn what_is_owed_is_paid_once() {
        let (ceiling, mut open) = full(100);
        let _new = newcomers(&ceiling, 5);
        let mut evicted = 0;
        for _ in 0..3 {
            ceiling.pay(1, 100, || {
                open.pop().is_some_and(|_| {
                    evicted += 1;
                    true
                })
            });
        }
        assert_eq!((evicted, ceiling.open()), (5, 100));
    }

    /// Else whoever becomes busy in that moment could lift the ceiling again and again.
    #[test]
    fn a_debt_that_nobody_idle_can_pay_stays() {
        let (ceiling, mut open) = full(100);
        let mut new = newcomers(&ceiling, OWED_BY_A_CORE);
        for _ in 0..3 {
            ceiling.pay(1, 100, || false);
            new.extend(newcomers(&ceiling, 1));
        }
        assert_eq!(ceiling.open(), 100 + OWED_BY_A_CORE);
        // Four leave by themselves.
        open.truncate(96);
        ceiling.pay(1, 100, || false);
        new.extend(newcomers(&ceiling, 10));
        assert_eq!(ceiling.open(), 100 + OWED_BY_A_CORE);
    }
}
