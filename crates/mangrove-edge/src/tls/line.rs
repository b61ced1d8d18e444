//! The line in which handshakes wait for their turn on a core.
//!
//! What a handshake costs is paid in one piece, when the client's greeting has come whole: nothing else on the core moves meanwhile.
//! So no more than [`EACH_TURN`] are begun before everything else that is ready has had its turn, and while more are wanted the
//! others wait, in the order of [`mangrove_shield::handshakes`]. Who greets slowly, or not at all, takes no place, and who is
//! silent after his turn has given it back already.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mangrove_http::Moment;
use mangrove_shield::handshakes::{self, Line, Share};

/// Handshakes that a core begins before it looks at everything else: about a millisecond's work.
pub(crate) const EACH_TURN: usize = 4;
/// Of those who wait for their turn on one core, how many may within their share, and how many beyond it.
pub(crate) const ROW: usize = handshakes::ROW;

/// Handshakes of one address that are its share, each second.
pub(crate) const SHARE_A_SECOND: u32 = handshakes::A_SECOND;
/// And so many at once.
pub(crate) const SHARE_AT_ONCE: u32 = handshakes::AT_ONCE;
/// Of so many turns, one is of those beyond their share.
pub(crate) const LAST_EVERY: u32 = handshakes::LAST_EVERY;
/// How often a core writes a line about those that it refuses, of whom there may be thousands.
pub(crate) const TOLD_EVERY: Duration = Duration::from_secs(1);

/// Those who wait on one core.
#[derive(Debug, Default)]
pub struct HandshakeLine {
    line: RefCell<Line<Rc<Waiting>>>,
    /// Begun since the core last looked at everything else.
    begun: Cell<usize>,
    /// When one that was refused was last told of.
    told: Cell<Option<Moment>>,
    /// Wakes whoever opens the next turn.
    keeper: RefCell<Option<Waker>>,
}

/// As many wait as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

#[derive(Debug, Default)]
struct Waiting {
    may_go: Cell<bool>,
    has_left: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// A place in the line, given up when it is dropped.
struct InLine(Rc<Waiting>);

impl HandshakeLine {
    /// Ready when a handshake may begin; `waits` is called when it may not at once.
    ///
    /// # Errors
    /// When as many wait as may.
    pub async fn turn(&self, share: Share, waits: impl FnOnce()) -> Result<(), Full> {
        if self.begins_at_once() {
            return Ok(());
        }
        let place = InLine(Rc::default());
        self.join(&place.0, share)?;
        waits();
        self.wake_keeper();
        poll_fn(|cx| place.0.poll(cx)).await;
        Ok(())
    }

    /// Whoever has hung up keeps nobody out: where the row is full, his place is given away.
    fn join(&self, who: &Rc<Waiting>, share: Share) -> Result<(), Full> {
        let mut line = self.line.borrow_mut();
        let Err(handshakes::Full(who)) = line.join(Rc::clone(who), share) else {
            return Ok(());
        };
        line.drop_gone(share, |waiting| !waiting.has_left.get());
        line.join(who, share).map_err(|_| Full)
    }

    /// How many places are taken, also by those who have left since.
    pub fn len(&self) -> usize {
        self.line.borrow().len()
    }

    /// Nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether one that was refused `now` is told of; if so, others are not for a while.
    pub fn tells(&self, now: Moment) -> bool {
        let told = self.told.get();
        let tells = told.is_none_or(|told| now.saturating_since(told) >= TOLD_EVERY);
        if tells {
            self.told.set(Some(now));
        }
        tells
    }

    /// Opens turns for as long as the core runs, each when everything else that was ready has had its own.
    pub async fn keep(&self) {
        loop {
            poll_fn(|cx| self.poll_wanted(cx)).await;
            tokio::task::yield_now().await;
            self.open();
        }
    }

    fn begins_at_once(&self) -> bool {
        let begun = self.begun.get();
        if begun >= EACH_TURN || !self.is_empty() {
            return false;
        }
        self.begun.set(begun + 1);
        self.wake_keeper();
        true
    }

    /// Ready when somebody waits, or has begun.
    fn poll_wanted(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.begun.get() > 0 || !self.is_empty() {
            return Poll::Ready(());
        }
        self.keeper.replace(Some(cx.waker().clone()));
        Poll::Pending
    }

    fn wake_keeper(&self) {
        if let Some(waker) = self.keeper.borrow_mut().take() {
            waker.wake();
        }
    }

    fn open(&self) {
        let next = || {
            let mut line = self.line.borrow_mut();
            line.next(|waiting| !waiting.has_left.get())
        };
        let mut begun = 0;
        while begun < EACH_TURN
            && let Some(waiting) = next()
        {
            waiting.go();
            begun += 1;
        }
        self.begun.set(begun);
    }
}

impl Waiting {
    fn go(&self) {
        self.may_go.set(true);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.may_go.get() {
            return Poll::Ready(());
        }
        let mut waker = self.waker.borrow_mut();
        match &mut *waker {
            Some(known) => known.clone_from(cx.waker()),
            None => *waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for InLine {
    fn drop(&mut self) {
        self.0.has_left.set(true);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};

    use super::*;

    type Turn<'a> = Pin<Box<dyn Future<Output = Result<(), Full>> + 'a>>;

    fn wants(line: &HandshakeLine, share: Share) -> Turn<'_> {
        Box::pin(line.turn(share, || {}))
    }

    fn poll(turn: &mut Turn<'_>) -> Poll<Result<(), Full>> {
        turn.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    /// How many may begin now.
    fn begun(turns: &mut Vec<Turn<'_>>) -> usize {
        let before = turns.len();
        turns.retain_mut(|turn| poll(turn).is_pending());
        before - turns.len()
    }

    #[test]
    fn while_no_more_are_wanted_than_one_turn_takes_nobody_waits() {
        let line = HandshakeLine::default();
        for _ in 0..3 {
            let mut few: Vec<_> = (0..EACH_TURN).map(|_| wants(&line, Share::Over)).collect();
            assert_eq!(begun(&mut few), EACH_TURN);
            line.open();
        }
    }

    #[test]
    fn one_more_than_a_turn_takes_waits_for_the_next() {
        let line = HandshakeLine::default();
        let mut many: Vec<_> = (0..3 * EACH_TURN + 1)
            .map(|_| wants(&line, Share::Within))
            .collect();
        for _ in 0..3 {
            assert_eq!(begun(&mut many), EACH_TURN);
            assert_eq!(begun(&mut many), 0);
            line.open();
        }
        assert_eq!(begun(&mut many), 1);
        assert!(line.is_empty());
    }

    #[test]
    fn one_past_a_full_row_is_refused_and_one_of_another_network_is_not() {
        let line = HandshakeLine::default();
        let mut flood: Vec<_> = (0..EACH_TURN + ROW)
            .map(|_| wants(&line, Share::Over))
            .collect();
        assert_eq!(begun(&mut flood), EACH_TURN);
        assert_eq!(poll(&mut wants(&line, Share::Over)), Poll::Ready(Err(Full)));
        let mut visitor = wants(&line, Share::Within);
        assert!(poll(&mut visitor).is_pending());
        line.open();
        assert_eq!(poll(&mut visitor), Poll::Ready(Ok(())));
    }

    /// Else whoever hangs up at once would take turns that he does not use.
    #[test]
    fn who_has_left_takes_nobodys_turn() {
        let line = HandshakeLine::default();
        let mut at_once: Vec<_> = (0..EACH_TURN)
            .map(|_| wants(&line, Share::Within))
            .collect();
        assert_eq!(begun(&mut at_once), EACH_TURN);
        let mut leaving: Vec<_> = (0..100).map(|_| wants(&line, Share::Within)).collect();
        assert_eq!(begun(&mut leaving), 0);
        let mut visitor = wants(&line, Share::Within);
        assert!(poll(&mut visitor).is_pending());
        drop(leaving);
        line.open();
        assert_eq!(poll(&mut visitor), Poll::Ready(Ok(())));
    }

    /// Else a flood that hangs up at once would have the whole row, and every visitor be refused.
    #[test]
    fn a_row_of_those_who_have_left_behind_one_who_stays_refuses_nobody() {
        for share in [Share::Within, Share::Over] {
            let line = HandshakeLine::default();
            let mut at_once: Vec<_> = (0..EACH_TURN).map(|_| wants(&line, share)).collect();
            assert_eq!(begun(&mut at_once), EACH_TURN);
            let mut stays = wants(&line, share);
            assert!(poll(&mut stays).is_pending());
            let mut leaving: Vec<_> = (0..ROW).map(|_| wants(&line, share)).collect();
            assert_eq!(begun(&mut leaving), 1, "the last is one too many");
            assert_eq!(line.len(), ROW);
            drop(leaving);
            let mut visitor = wants(&line, share);
            assert!(poll(&mut visitor).is_pending());
            assert_eq!(line.len(), 2);
            line.open();
            let turns = [&mut stays, &mut visitor].map(poll);
            assert_eq!(turns, [Poll::Ready(Ok(())); 2]);
        }
    }

    #[test]
    fn of_those_refused_one_a_second_is_told_of() {
        let line = HandshakeLine::default();
        let told = (0..5_000).filter(|at| line.tells(Moment(*at)));
        assert_eq!(told.collect::<Vec<_>>(), [0, 1_000, 2_000, 3_000, 4_000]);
    }

    #[test]
    fn the_keeper_sleeps_until_somebody_begins_or_waits() {
        let line = HandshakeLine::default();
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(line.poll_wanted(cx).is_pending());
        let mut turns = vec![wants(&line, Share::Within)];
        assert_eq!(begun(&mut turns), 1);
        assert!(line.keeper.borrow().is_none(), "it was woken");
        assert!(line.poll_wanted(cx).is_ready());
        line.open();
        assert!(line.poll_wanted(cx).is_pending());
        let mut keeping = pin!(line.keep());
        assert!(keeping.as_mut().poll(cx).is_pending());
    }
}
