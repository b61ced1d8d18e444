//! The ceiling on a process's connections, and where room is made when it is reached.
//!
//! Connections belong to cores, and no core can touch another's. So each core tells from time to time how long its idlest
//! connection has waited; whoever needs room picks the longest of these, and if that is another core's, asks that core to
//! send one away at its clock's next turn. What was asked and not yet done is counted, and has a ceiling of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use mangrove_http::Moment;

use crate::http2::HeldByAll;

/// Evictions that one core may owe to the others at a time; so many connections per core the process may hold beyond its
/// ceiling, each for a turn of the clock.
pub const OWED_BY_A_CORE: usize = 64;

/// Nobody is idle.
const NOBODY: u64 = u64::MAX;

/// Connections of the whole process.
#[derive(Debug)]
pub struct Ceiling {
    open: AtomicUsize,
    rooms: Box<[Room]>,
    /// What answers hold for their HTTP/2 clients.
    pub held_by_all: HeldByAll,
}

/// What one core tells the others, and what they ask of it.
#[derive(Debug)]
struct Room {
    /// Since when its idlest connection waits, in milliseconds.
    idle_since: AtomicU64,
    owed: AtomicUsize,
}

/// A connection's place under the ceiling; leaving is dropping it.
#[derive(Debug)]
pub struct Place(Arc<Ceiling>);

/// What is known of a core when room is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idlest {
    /// Since when its idlest connection waits; none when none is idle.
    pub since: Option<Moment>,
    /// Evictions that it owes already.
    pub owed: usize,
}

/// The core that makes room: the one whose idlest connection has waited longest, the asker itself if none has waited
/// longer. One that owes too much already is not asked. None when nobody is idle.
pub fn who_makes_room(asker: usize, cores: &[Idlest]) -> Option<usize> {
    let may = |&(id, core): &(usize, &Idlest)| id == asker || core.owed < OWED_BY_A_CORE;
    let waits = |(id, core): (usize, &Idlest)| Some((core.since?, id != asker, id));
    let longest = cores.iter().enumerate().filter(may).filter_map(waits).min();
    longest.map(|(_, _, id)| id)
}

impl Ceiling {
    /// For so many cores, with nobody there yet.
    pub fn new(cores: usize) -> Self {
        let room = |_| Room {
            idle_since: AtomicU64::new(NOBODY),
            owed: AtomicUsize::new(0),
        };
        Self {
            open: AtomicUsize::new(0),
            rooms: (0..cores).map(room).collect(),
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

    /// A core tells since when its idlest connection waits.
    pub fn tell(&self, core: u16, idlest: Option<Moment>) {
        if let Some(room) = self.rooms.get(usize::from(core)) {
            let since = idlest.map_or(NOBODY, |since| since.0);
            room.idle_since.store(since, Ordering::Relaxed);
        }
    }

    /// A connection has come to a core and waits: the others know of it at once where the core has told of nobody.
    pub fn came(&self, core: u16, now: Moment) {
        if let Some(room) = self.rooms.get(usize::from(core))
            && room.idle_since.load(Ordering::Relaxed) == NOBODY
        {
            room.idle_since.store(now.0, Ordering::Relaxed); // only its own core writes it
        }
    }

    /// Has room made, for a newcomer on core `asker`: by another core if it owes one from now on, else by
    /// `itself`; false when neither has anybody idle.
    pub fn make_room(&self, asker: u16, itself: impl FnOnce() -> bool) -> bool {
        let asker = usize::from(asker);
        let known = |room: &Room| {
            let since = room.idle_since.load(Ordering::Relaxed);
            Idlest {
                since: (since != NOBODY).then_some(Moment(since)),
                owed: room.owed.load(Ordering::Relaxed),
            }
        };
        let known: Vec<Idlest> = self.rooms.iter().map(known).collect();
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

    fn idle(since: u64) -> Idlest {
        let since = Some(Moment(since));
        Idlest { since, owed: 0 }
    }

    const BUSY: Idlest = Idlest {
        since: None,
        owed: 0,
    };

    #[test]
    fn one_past_the_ceiling_has_no_place_until_someone_leaves() {
        let ceiling = Arc::new(Ceiling::new(1));
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
        let ceiling = Arc::new(Ceiling::new(2));
        ceiling.tell(1, Some(Moment(1)));
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
