//! The connections of one core, and which of them make room for others.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mangrove_http::Moment;
use mangrove_shield::connections::{Footprint, Rank};
use mangrove_shield::gait::{self, Gait};

use crate::wheel::Wheel;

/// How many connections are looked at to find who goes first when there is no room: near enough to the first of all, at a cost
/// that a flood cannot raise. A kind that holds half of all is missed once in 65,536 times.
pub(crate) const SAMPLE: usize = 16;
/// A client that was waited for so long may be called slow.
pub(crate) const SLOW_AFTER: Duration = Duration::from_millis(gait::JUDGED_AFTER_MS);
/// Bytes a second from which on it is not.
pub(crate) const MOVES_WELL: u64 = gait::MOVES_WELL;

/// The connections of one core, as far as making room needs to know them.
#[derive(Debug, Default)]
pub struct Register {
    entries: RefCell<Vec<Rc<Presence>>>,
}

/// One connection in the register.
#[derive(Debug, Default)]
pub struct Presence {
    at: Cell<usize>,
    /// Since when it waits for a next request, in milliseconds, also while that is not whole; `u64::MAX` while it has one.
    idle_since: Cell<u64>,
    /// What it counts for; nothing where it comes from a listed proxy, which speaks for many.
    footprint: RefCell<Option<Footprint>>,
    /// Whose it is makes room for nobody.
    pub(super) exempt: Cell<bool>,
    /// How its client moves while a request is under way.
    gait: Cell<Gait>,
    /// Of its streams, how many wait for the client. Unless it is HTTP/2, it has one and need not count.
    awaited: Cell<usize>,
    /// Of all that it was given, what it had taken when that was last looked at.
    taken: Cell<Option<u64>>,
    asked: Cell<AskedToGo>,
    waker: RefCell<Option<Waker>>,
}

/// A stream that waits for its client, until this is dropped. What other streams begin, get or end meanwhile hides it from nobody.
#[derive(Debug)]
pub struct Awaited {
    presence: Rc<Presence>,
    wheel: Rc<Wheel>,
}

/// Whether a connection was asked to make room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum AskedToGo {
    #[default]
    No,
    /// Unless a request has come meanwhile.
    Idle,
    /// In the middle of a request: it is too slow.
    Slow,
}

impl Register {
    /// Enters a connection that has no request yet.
    pub fn enter(&self, now: Moment, footprint: Option<Footprint>) -> Rc<Presence> {
        let mut entries = self.entries.borrow_mut();
        let presence = Rc::new(Presence {
            at: Cell::new(entries.len()),
            idle_since: Cell::new(now.0),
            footprint: RefCell::new(footprint),
            ..Presence::default()
        });
        entries.push(Rc::clone(&presence));
        presence
    }

    /// Strikes a connection out, unless it has been already.
    pub fn leave(&self, presence: &Presence) {
        let mut entries = self.entries.borrow_mut();
        let at = presence.at.get();
        let here = entries.get(at);
        if here.is_some_and(|entry| std::ptr::eq(Rc::as_ptr(entry), presence)) {
            entries.swap_remove(at);
            if let Some(moved) = entries.get(at) {
                moved.at.set(at);
            }
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.borrow().len()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Has every waiting connection look around: the edge has begun to drain.
    pub fn wake_all(&self) {
        for presence in self.entries.borrow().iter() {
            if let Some(waker) = presence.waker.borrow_mut().take() {
                waker.wake();
            }
        }
    }

    /// Asks the first of a sample to go; false when none of it may.
    pub fn make_room(&self, now: Moment, random: impl FnMut() -> u64) -> bool {
        let Some((rank, first)) = self.first(now, random) else {
            return false;
        };
        first.asked.set(match rank.is_slow() {
            true => AskedToGo::Slow,
            false => AskedToGo::Idle,
        });
        // At once, and not when it has gone: in a burst the sample would be of those who have been asked already.
        self.leave(&first);
        if let Some(waker) = first.waker.borrow_mut().take() {
            waker.wake();
        }
        true
    }

    /// The rank of the first of a sample.
    pub fn first_to_go(&self, now: Moment, random: impl FnMut() -> u64) -> Option<Rank> {
        self.first(now, random).map(|(rank, _)| rank)
    }

    fn first(&self, now: Moment, mut random: impl FnMut() -> u64) -> Option<(Rank, Rc<Presence>)> {
        let entries = self.entries.borrow();
        let count = entries.len() as u64;
        if count == 0 {
            return None;
        }
        let sample =
            (0..SAMPLE).filter_map(|_| entries.get(usize::try_from(random() % count).unwrap_or(0)));
        let may_go = sample.filter_map(|presence| Some((presence.rank(now)?, presence)));
        let (rank, first) = may_go.min_by_key(|(rank, _)| *rank)?;
        Some((rank, Rc::clone(first)))
    }
}

impl Presence {
    /// It waits for a next request from now on.
    pub fn idle(&self, now: Moment) {
        self.idle_since.set(now.0);
    }

    /// Where it stands among those who may go to make room; none while it has a request and its client is not slow, or where its
    /// client is exempt.
    pub fn rank(&self, now: Moment) -> Option<Rank> {
        if self.exempt.get() {
            return None;
        }
        let weight = || {
            let footprint = self.footprint.borrow();
            footprint.as_ref().map_or(0, Footprint::weight)
        };
        match self.idle_since.get() {
            u64::MAX => {
                let rate = self.gait.get().slow(now.0)?;
                Some(Rank::of_slow(weight(), rate))
            }
            since => Some(Rank::new(weight(), since)),
        }
    }

    /// It turned out whose it is.
    pub(super) fn counts_for(&self, footprint: Option<Footprint>, exempt: bool) {
        self.footprint.replace(footprint);
        self.exempt.set(exempt);
    }

    /// Whose it is has been named by the operator.
    pub(super) fn is_exempt(&self) -> bool {
        self.exempt.get()
    }

    /// It comes from a listed proxy.
    pub(super) fn speaks_for_many(&self) -> bool {
        self.footprint.borrow().is_none()
    }

    /// It has a request. If it was asked to go as slow, its client has moved since: it goes once it is idle.
    pub fn busy(&self) {
        self.idle_since.set(u64::MAX);
        self.gait.set(Gait::default());
        self.taken.set(None);
        if self.asked.get() == AskedToGo::Slow {
            self.asked.set(AskedToGo::Idle);
        }
    }

    /// Nothing goes on before its client has sent or taken more.
    pub fn waits(&self, now: Moment) {
        self.walk(|gait| gait.waits(now.0));
    }

    /// One of its streams waits as well.
    pub fn awaits(self: &Rc<Self>, wheel: &Rc<Wheel>) -> Awaited {
        self.awaited.set(self.awaited.get() + 1);
        self.waits(wheel.now());
        Awaited {
            presence: Rc::clone(self),
            wheel: Rc::clone(wheel),
        }
    }

    /// Its client has sent so much.
    pub fn moved(&self, bytes: usize, now: Moment) {
        self.walk(|gait| gait.moved(bytes as u64, now.0));
        self.still_waits(now);
    }

    /// Its client is not waited for any more, or has taken something that nobody has counted yet.
    #[inline]
    pub fn goes_on(&self, now: Moment) {
        if self.gait.get().is_waited_for() {
            self.moved(0, now);
        }
    }

    /// Of all that the connection was given, its client has taken so much, where the kernel tells.
    pub fn took(&self, taken: Option<u64>, now: Moment) {
        match (self.taken.replace(taken), taken) {
            (Some(known), Some(taken)) => {
                self.walk(|gait| gait.moved(taken.saturating_sub(known), now.0));
            }
            _ => self.gait.set(Gait::default()), // what was before nobody knows
        }
        self.still_waits(now);
    }

    fn still_waits(&self, now: Moment) {
        if self.awaited.get() > 0 {
            self.waits(now);
        }
    }

    fn walk(&self, step: impl FnOnce(&mut Gait)) {
        let mut gait = self.gait.get();
        step(&mut gait);
        self.gait.set(gait);
    }

    /// Ready when it has been asked to go in the middle of a request. Who was asked while he was idle, or had just moved, is asked
    /// no second time: he goes as soon as he is slow.
    pub fn poll_must_go(&self, cx: &mut Context<'_>, now: Moment) -> Poll<()> {
        match self.asked.get() {
            AskedToGo::Slow => Poll::Ready(()),
            AskedToGo::Idle if self.gait.get().slow(now.0).is_some() => Poll::Ready(()),
            _ => {
                self.note(cx);
                Poll::Pending
            }
        }
    }

    /// Ready when it has been asked to go.
    pub fn poll_evicted(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.asked.get() != AskedToGo::No {
            return Poll::Ready(());
        }
        self.note(cx);
        Poll::Pending
    }

    fn note(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker
            .as_ref()
            .is_some_and(|known| known.will_wake(cx.waker()))
        {
            *waker = Some(cx.waker().clone());
        }
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        let awaited = &self.presence.awaited;
        awaited.set(awaited.get().saturating_sub(1));
        self.presence.goes_on(self.wheel.now());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mangrove_shield::connections::Crowd;

    use super::*;

    #[test]
    fn room_is_made_by_the_idlest_and_never_by_the_busy() {
        let register = Register::default();
        let connections: Vec<_> = (0..4)
            .map(|i| register.enter(Moment(i * 1_000), None))
            .collect();
        connections[0].busy();
        let mut at = 0;
        assert!(register.make_room(Moment(0), || {
            at += 1;
            at
        }));
        assert_eq!(
            connections
                .iter()
                .map(|c| c.asked.get() != AskedToGo::No)
                .collect::<Vec<_>>(),
            [false, true, false, false]
        );
        for connection in &connections {
            connection.busy();
        }
        assert!(!register.make_room(Moment(0), || 2));
    }

    #[test]
    fn room_is_made_by_those_there_are_most_of_before_whoever_has_waited_longer() {
        let (register, crowd) = (Register::default(), Arc::new(Crowd::new([1, 2])));
        let from = |address: &str, since| {
            let footprint = crowd.enter(address.parse().unwrap());
            register.enter(Moment(since), Some(footprint))
        };
        let visitors = [from("203.0.113.9", 1), from("2001:db8::1", 2)];
        let proxy = register.enter(Moment(0), None);
        let mut flood: Vec<_> = (100..140).map(|at| from("198.51.100.1", at)).collect();
        let mut at = 0;
        // One goes each time, until what is left is no more than anybody else.
        for _ in 0..39 {
            assert!(register.make_room(Moment(0), || {
                at += 1;
                at
            }));
            let gone = flood
                .iter()
                .position(|one| one.asked.get() != AskedToGo::No)
                .unwrap();
            register.leave(&flood.swap_remove(gone)); // a second time, which strikes out nobody else
        }
        assert!(visitors.iter().all(|one| one.asked.get() == AskedToGo::No));
        assert!(proxy.asked.get() == AskedToGo::No);
        assert_eq!(register.len(), 4);
    }

    #[test]
    fn where_nobody_is_idle_the_slowest_makes_room_and_never_who_moves_well_or_waits_for_us() {
        let (register, crowd) = (Register::default(), Arc::new(Crowd::new([1, 2])));
        let busy = |address: &str| {
            let footprint = crowd.enter(address.parse().unwrap());
            let one = register.enter(Moment(0), Some(footprint));
            one.busy();
            one
        };
        let waits_for_us = busy("198.51.100.1");
        let uploads_well = busy("198.51.100.1");
        let reads_well = busy("198.51.100.1");
        let [slow, slower] = [busy("198.51.100.1"), busy("198.51.100.1")];
        let light = busy("203.0.113.9");
        reads_well.took(Some(1_000_000), Moment(0));
        for second in 0..10 {
            let (now, later) = (Moment(second * 1_000), Moment((second + 1) * 1_000));
            for (one, bytes) in [(&uploads_well, 5_000), (&slow, 100), (&slower, 1)] {
                one.waits(now);
                one.moved(bytes, later);
            }
            reads_well.waits(now);
            reads_well.took(Some(1_000_000 + (second + 1) * 5_000), later);
            light.waits(now);
        }
        let now = Moment(10_000);
        for one in [&uploads_well, &reads_well, &slow, &slower] {
            one.waits(now);
        }
        let mut at = 0;
        let mut first = || {
            register.make_room(now, || {
                at += 1;
                at
            })
        };
        for gone in [&slower, &slow, &light] {
            assert!(first());
            assert_eq!(gone.asked.get(), AskedToGo::Slow);
        }
        assert!(!first());
        for stays in [&waits_for_us, &uploads_well, &reads_well] {
            assert_eq!(stays.asked.get(), AskedToGo::No);
        }
    }

    #[test]
    fn who_asks_for_something_while_asked_to_go_as_idle_is_not_disturbed() {
        let register = Register::default();
        let visitor = register.enter(Moment(0), None);
        assert!(register.make_room(Moment(0), || 0));
        visitor.busy();
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(visitor.poll_must_go(cx, Moment(0)).is_pending());
        assert!(visitor.poll_evicted(cx).is_ready());
    }

    /// Once it was cut while it waited for the origin.
    #[test]
    fn who_has_moved_and_asks_for_more_goes_when_he_is_idle() {
        let register = Register::default();
        let visitor = register.enter(Moment(0), None);
        visitor.busy();
        visitor.waits(Moment(0));
        let now = Moment(gait::JUDGED_AFTER_MS);
        assert!(register.make_room(now, || 0));
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(visitor.poll_must_go(cx, now).is_ready());
        visitor.goes_on(now);
        visitor.busy();
        assert!(visitor.poll_must_go(cx, now).is_pending());
        assert!(visitor.poll_evicted(cx).is_ready());
        visitor.waits(now);
        let later = Moment(now.0 + gait::JUDGED_AFTER_MS);
        assert!(
            visitor.poll_must_go(cx, later).is_ready(),
            "he is slow again"
        );
    }

    /// Once each stream that came to its end let the whole connection go on.
    #[test]
    fn a_stream_that_waits_is_not_hidden_by_others() {
        let wheel = Wheel::new(Moment(0));
        let presence = Rc::new(Presence::default());
        presence.busy();
        let waits = presence.awaits(&wheel);
        for second in 1..=60 {
            wheel.turn(Moment(second * 1_000));
            let other = presence.awaits(&wheel);
            presence.moved(1, wheel.now());
            drop(other);
            let is_slow = presence.rank(wheel.now()).is_some_and(Rank::is_slow);
            assert_eq!(is_slow, wheel.now() >= Moment(gait::JUDGED_AFTER_MS));
        }
        presence.took(None, wheel.now());
        assert!(presence.gait.get().is_waited_for());
        drop(waits);
        assert_eq!(presence.rank(wheel.now()), None, "it waits for us");
    }

    #[test]
    fn where_the_kernel_does_not_tell_what_was_taken_nobody_is_slow() {
        let presence = Presence::default();
        presence.busy();
        for second in 0..100 {
            presence.waits(Moment(second * 1_000));
            presence.took(None, Moment(second * 1_000));
        }
        assert_eq!(presence.rank(Moment(100_000)), None);
    }

    #[test]
    fn who_is_exempt_makes_room_for_nobody() {
        let register = Register::default();
        let exempt = register.enter(Moment(0), None);
        exempt.exempt.set(true);
        assert!(!register.make_room(Moment(0), || 0));
        let visitor = register.enter(Moment(9), None);
        let mut at = 0;
        assert!(register.make_room(Moment(0), || {
            at += 1;
            at
        }));
        assert!(visitor.asked.get() != AskedToGo::No && exempt.asked.get() == AskedToGo::No);
    }

    #[test]
    fn leaving_in_any_order_keeps_the_register_whole() {
        let register = Register::default();
        let mut connections: Vec<_> = (0..10).map(|i| register.enter(Moment(i), None)).collect();
        while !connections.is_empty() {
            let gone = connections.swap_remove(connections.len() / 2);
            register.leave(&gone);
            assert_eq!(register.len(), connections.len());
        }
    }
}
