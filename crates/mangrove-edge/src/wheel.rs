//! Deadlines of one core. Nothing on an edge waits without one, and most of them are moved many
//! times and never reached: every request moves its connection's. So moving a deadline is one
//! store; the wheel looks at a timer only when its slot comes round and, if the deadline has
//! moved on, files it again.
//!
//! Resolution is [`TICK`]; a deadline fires at its tick or at most one later, never before. One that
//! is counted from now ([`Timer::arm_in`]) has a tick added, since now may be that much after the turn.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mangrove_http::Moment;

/// How often the wheel turns, and so how late a deadline may fire.
pub const TICK: Duration = Duration::from_millis(50);
const TICK_MS: u64 = 50;
/// A timer is looked at least every `SLOTS` ticks (6.4 s), so that a dropped one leaves soon.
pub(crate) const SLOTS: usize = 128;
/// Nodes of dropped timers kept for the next ones. Every exchange with an origin has a timer; a new node for each would stay
/// in the wheel for a whole round, where a spare one is there already.
pub(crate) const SPARES: usize = 256;
const NEVER: u64 = u64::MAX;
const UNFILED: u64 = u64::MAX;

/// The timers of one core.
#[derive(Debug)]
pub struct Wheel {
    slots: Vec<RefCell<Vec<Rc<Node>>>>,
    /// The last tick that was turned past.
    tick: Cell<u64>,
    now: Cell<Moment>,
    spares: RefCell<Vec<Rc<Node>>>,
}

/// One deadline that can be moved, owned by whatever must not wait forever.
#[derive(Debug)]
pub struct Timer {
    wheel: Rc<Wheel>,
    node: Rc<Node>,
}

#[derive(Debug)]
struct Node {
    deadline: Cell<u64>,
    /// The tick under which this node is filed; a copy filed under another tick is stale.
    filed: Cell<u64>,
    waker: RefCell<Option<Waker>>,
    dropped: Cell<bool>,
}

impl Wheel {
    /// An empty wheel at `now`.
    pub fn new(now: Moment) -> Rc<Self> {
        Rc::new(Self {
            slots: (0..SLOTS).map(|_| RefCell::new(Vec::new())).collect(),
            tick: Cell::new(now.0 / TICK_MS),
            now: Cell::new(now),
            spares: RefCell::default(),
        })
    }

    /// The moment of the last turn: at most a tick old on a healthy core.
    pub fn now(&self) -> Moment {
        self.now.get()
    }

    /// A timer that is not armed yet.
    pub fn timer(self: &Rc<Self>) -> Timer {
        let spare = self.spares.borrow_mut().pop();
        Timer {
            wheel: Rc::clone(self),
            node: spare.unwrap_or_else(Node::unarmed),
        }
    }

    /// Turns the wheel to `now`, waking whoever's deadline has passed; says how many.
    pub fn turn(&self, now: Moment) -> usize {
        self.now.set(now);
        let target = now.0 / TICK_MS;
        let from = self.tick.get();
        if target <= from {
            return 0;
        }
        self.tick.set(target);
        // After a long stall or a drill's jump every slot is due once, not once per missed tick.
        let turns = (target - from).min(SLOTS as u64);
        let mut woken = 0;
        for step in 0..turns {
            let tick = target - step;
            let Some(slot) = self.slot(tick) else {
                continue;
            };
            let due = std::mem::take(&mut *slot.borrow_mut());
            for node in due {
                let filed = node.filed.get();
                if node.dropped.get() || filed == UNFILED || filed > target {
                    // Dropped, disarmed, or filed again under a later tick of this or another slot.
                    if filed != UNFILED
                        && !node.dropped.get()
                        && filed % SLOTS as u64 == tick % SLOTS as u64
                    {
                        slot.borrow_mut().push(node);
                    }
                    continue;
                }
                node.filed.set(UNFILED);
                let deadline = node.deadline.get();
                if deadline == NEVER {
                    continue;
                }
                if deadline <= now.0 {
                    woken += 1;
                    if let Some(waker) = node.waker.borrow_mut().take() {
                        waker.wake();
                    }
                } else {
                    self.file(&node, deadline);
                }
            }
        }
        woken
    }

    #[inline]
    fn file(&self, node: &Rc<Node>, deadline: u64) {
        // Nearly always: the deadline only moved on, and the node is looked at before it in any case.
        if node.filed.get().saturating_mul(TICK_MS) > deadline {
            self.file_anew(node, deadline);
        }
    }

    fn file_anew(&self, node: &Rc<Node>, deadline: u64) {
        let soonest = self.tick.get() + 1;
        let tick = deadline
            .div_ceil(TICK_MS)
            .clamp(soonest, soonest + SLOTS as u64 - 2);
        if node.filed.get() <= tick {
            return; // looked at early enough already
        }
        node.filed.set(tick);
        if let Some(slot) = self.slot(tick) {
            slot.borrow_mut().push(Rc::clone(node));
        }
    }

    fn slot(&self, tick: u64) -> Option<&RefCell<Vec<Rc<Node>>>> {
        self.slots
            .get(usize::try_from(tick % SLOTS as u64).unwrap_or(0))
    }
}

impl Node {
    fn unarmed() -> Rc<Self> {
        Rc::new(Self {
            deadline: Cell::new(NEVER),
            filed: Cell::new(UNFILED),
            waker: RefCell::new(None),
            dropped: Cell::new(false),
        })
    }
}

impl Timer {
    /// Moves the deadline to `at`.
    pub fn arm(&self, at: Moment) {
        let at = at.0.min(NEVER - 1);
        self.node.deadline.set(at);
        self.wheel.file(&self.node, at);
    }

    /// Moves the deadline to `after` from now, which is at most a tick after the wheel's last turn.
    pub fn arm_in(&self, after: Duration) {
        self.arm(self.wheel.now() + after + TICK);
    }

    /// Takes the deadline away.
    pub fn disarm(&self) {
        self.node.deadline.set(NEVER);
    }

    /// Where the deadline stands, if there is one.
    pub fn deadline(&self) -> Option<Moment> {
        let at = self.node.deadline.get();
        (at != NEVER).then_some(Moment(at))
    }

    /// True once the wheel has turned past the deadline.
    pub fn expired(&self) -> bool {
        self.node.deadline.get() <= self.wheel.now().0
    }

    /// Ready once the deadline has passed; otherwise the task is woken when it does.
    pub fn poll_expired(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.expired() {
            return Poll::Ready(());
        }
        let mut waker = self.node.waker.borrow_mut();
        match waker.as_ref() {
            Some(known) if known.will_wake(cx.waker()) => {}
            _ => *waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Waits for the deadline.
    pub async fn expiry(&self) {
        std::future::poll_fn(|cx| self.poll_expired(cx)).await;
    }

    /// Runs `work` until it is done or the deadline passes.
    pub async fn bound<F: Future>(&self, work: F) -> Option<F::Output> {
        let mut work = std::pin::pin!(work);
        std::future::poll_fn(|cx| {
            if let Poll::Ready(out) = work.as_mut().poll(cx) {
                return Poll::Ready(Some(out));
            }
            self.poll_expired(cx).map(|()| None)
        })
        .await
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.disarm();
        self.node.waker.borrow_mut().take();
        let mut spares = self.wheel.spares.borrow_mut();
        if spares.len() < SPARES {
            spares.push(Rc::clone(&self.node));
        } else {
            self.node.dropped.set(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_deadline_that_keeps_moving_never_fires_and_the_last_one_does() {
        let wheel = Wheel::new(Moment(1_000));
        let timer = wheel.timer();
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let mut cx = Context::from_waker(&waker);
        for at in (1_000..20_000).step_by(10) {
            timer.arm(Moment(at + 500));
            assert!(timer.poll_expired(&mut cx).is_pending());
            wheel.turn(Moment(at));
        }
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
        wheel.turn(Moment(20_600));
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(timer.poll_expired(&mut cx).is_ready());
    }

    #[test]
    fn a_jump_of_thirty_days_fires_everything_once() {
        let wheel = Wheel::new(Moment(0));
        let timers: Vec<Timer> = (0..1_000)
            .map(|i| {
                let t = wheel.timer();
                t.arm(Moment(i * 997));
                t
            })
            .collect();
        wheel.turn(Moment(86_400_000 * 30));
        assert!(timers.iter().all(Timer::expired));
    }

    #[test]
    fn a_dropped_timer_leaves_the_wheel_within_one_round() {
        let wheel = Wheel::new(Moment(0));
        for i in 0..1_000 {
            let t = wheel.timer();
            t.arm(Moment(3_600_000 + i));
        }
        for t in 1..=SLOTS as u64 + 1 {
            wheel.turn(Moment(t * TICK_MS));
        }
        assert_eq!(
            wheel.slots.iter().map(|s| s.borrow().len()).sum::<usize>(),
            0
        );
    }

    #[test]
    fn a_node_that_is_used_again_knows_nothing_of_its_first_timer() {
        let wheel = Wheel::new(Moment(0));
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let first = wheel.timer();
        first.arm(Moment(100));
        assert!(
            first
                .poll_expired(&mut Context::from_waker(&waker))
                .is_pending()
        );
        let node = Rc::clone(&first.node);
        drop(first);
        let second = wheel.timer();
        assert!(Rc::ptr_eq(&second.node, &node));
        assert_eq!(second.deadline(), None);
        wheel.turn(Moment(1_000));
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
        assert!(!second.expired());
        second.arm(Moment(1_100));
        assert!(
            second
                .poll_expired(&mut Context::from_waker(&waker))
                .is_pending()
        );
        wheel.turn(Moment(1_200));
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn one_past_the_spares_is_dropped() {
        let wheel = Wheel::new(Moment(0));
        let timers: Vec<Timer> = (0..=SPARES).map(|_| wheel.timer()).collect();
        drop(timers);
        assert_eq!(wheel.spares.borrow().len(), SPARES);
    }

    proptest! {
        /// Never early, at most one tick late, whatever the order of moves and turns.
        #[test]
        fn fires_at_its_tick(moves in proptest::collection::vec((0u64..30_000, 1u64..400), 1..60)) {
            let wheel = Wheel::new(Moment(0));
            let timer = wheel.timer();
            let count = Arc::new(Count(AtomicUsize::new(0)));
            let waker = Waker::from(Arc::clone(&count));
            let mut cx = Context::from_waker(&waker);
            let mut now = 0;
            for (ahead, step) in moves {
                let deadline = now + ahead + 1;
                timer.arm(Moment(deadline));
                count.0.store(0, Ordering::Relaxed);
                let _ = timer.poll_expired(&mut cx);
                now += step;
                wheel.turn(Moment(now));
                let fired = count.0.load(Ordering::Relaxed) > 0;
                prop_assert!(!fired || now >= deadline, "early: {now} before {deadline}");
                if now >= deadline + 2 * TICK_MS {
                    prop_assert!(fired || timer.expired());
                    prop_assert!(fired, "late: {now} after {deadline}");
                }
            }
        }
    }
}
