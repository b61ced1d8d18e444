//! How a client takes what it is sent, counted in what its side has acknowledged.
//!
//! That a write went through says only that this machine's kernel took the bytes. Its buffers, and the client's, take
//! hundreds of KiB from us for somebody who reads nothing; and for somebody who reads slowly, but reads, the next write
//! only goes through when a good part of them is free again, which looks like silence until then. So while a transfer
//! waits, the client's socket is looked at now and then. A transfer that does not wait costs nothing.

use std::time::Duration;

use mangrove_config::Limits;
use mangrove_http::Moment;

use crate::core::Core;
use crate::rate::{Pace, TooSlow};
use crate::reason::{EdgeReason, Reason};
use crate::tcp::Account;

/// The longest between two looks, and so how much later than its deadline a client may be found silent.
pub(crate) const LOOK: Duration = Duration::from_secs(1);
/// Where the deadline itself is short, so many looks until then.
pub(crate) const LOOKS: u32 = 8;
/// A connection that was given less in all can have left nothing behind that matters.
pub(crate) const WORTH_A_LOOK: u64 = 16 * 1024;
/// A FIN that was not acknowledged counts as one byte.
const FIN: u64 = 1;

/// The pace asked of a client for one transfer, and how it has gone so far.
///
/// Until the first look, and where the kernel does not tell what was acknowledged, what it took counts instead.
#[derive(Clone, Copy, Debug)]
pub struct Uptake {
    pace: Pace,
    between_looks: Duration,
    /// Given to the connection before this transfer: no merit of its.
    before: u64,
    /// Acknowledged at the last look.
    known: Option<u64>,
    /// Whether the client owed an acknowledgement at the last look.
    owes: bool,
    /// When the kernel took something after the last wait for the client.
    gave_at: Option<Moment>,
    /// From when on the client, which owed something, was not waited for; until the next look tells what it took.
    paused_at: Option<Moment>,
    next_look: Option<Moment>,
}

impl Uptake {
    /// What `limits` ask of somebody who is sent a response behind `before` bytes of the same connection.
    pub fn new(limits: &Limits, before: u64) -> Self {
        Self {
            pace: Pace::new(
                limits.response_write_idle,
                limits.response_min_rate,
                limits.min_rate_grace,
            ),
            between_looks: LOOK.min(limits.response_write_idle / LOOKS),
            before,
            known: None,
            owes: false,
            gave_at: None,
            paused_at: None,
            next_look: None,
        }
    }

    /// The kernel took `bytes`. From a client that owes an acknowledgement that is no sign of life: with thousands of them
    /// the kernel finds room for a little more here and there for half a minute. Nor does it put off the next look.
    pub fn moved(&mut self, bytes: usize, now: Moment) {
        self.note_pause(now);
        self.gave_at.get_or_insert(now);
        if self.owes && (self.next_look.is_some() || self.paused_at.is_some()) {
            return;
        }
        let counted = if self.known.is_some() {
            0
        } else {
            bytes as u64
        };
        self.pace.moved(counted, now);
    }

    /// The transfer waits for the client; returns when to [`look`](Self::look).
    pub fn waiting(&mut self, now: Moment) -> Moment {
        self.note_pause(now);
        self.gave_at = None;
        let look = *self.next_look.get_or_insert(now + self.between_looks);
        let patience = self.pace.waiting(now);
        if self.paused_at.is_some() {
            look
        } else {
            patience.min(look)
        }
    }

    /// Where the kernel took something, and the client was not waited for during longer than a wait goes without a look, it
    /// may have taken what there was. A wait that ends late, on a machine that is busy, is no such pause.
    fn note_pause(&mut self, now: Moment) {
        if let Some(gave_at) = self.gave_at
            && self.next_look.is_some()
            && now.saturating_since(gave_at) > 2 * self.between_looks
        {
            self.next_look = None;
            if self.owes {
                self.paused_at.get_or_insert(gave_at);
            } else {
                self.pace.moved(0, gave_at);
            }
        }
    }

    /// Whether the client owed an acknowledgement when that was last known.
    pub fn owes(&self) -> bool {
        self.owes
    }

    /// Of what was `given`, `taken` was acknowledged so far, if the kernel tells: what is wrong with that, or when to look
    /// again.
    pub fn look(&mut self, taken: Option<u64>, given: u64, now: Moment) -> Result<Moment, TooSlow> {
        let paused_at = self.paused_at.take();
        match (self.known, taken) {
            (Some(known), Some(taken)) if taken > known => {
                // Since then nobody waited for it.
                self.pace.moved(taken - known, paused_at.unwrap_or(now));
            }
            (None, Some(taken)) => self.pace.correct(taken.saturating_sub(self.before)),
            (_, None) => {
                if let Some(paused_at) = paused_at {
                    self.pace.moved(0, paused_at);
                }
            }
            _ => {}
        }
        self.known = taken.or(self.known);
        // Where the kernel does not tell this time, nothing is known to have changed.
        self.owes = taken.map_or(self.owes, |taken| taken < given);
        self.gave_at = None;
        self.next_look = None;
        let next = self.waiting(now);
        if next > now {
            return Ok(next);
        }
        Err(self.pace.verdict(now))
    }
}

/// The name of being too slow in taking an answer.
pub fn reason_of(slow: TooSlow) -> Reason {
    Reason::Edge(match slow {
        TooSlow::Silent => EdgeReason::ResponseWriteTimeout,
        TooSlow::UnderRate => EdgeReason::ResponseReadTooSlow,
    })
}

/// What a connection that has nothing more to be sent leaves to its client.
#[derive(Debug)]
pub struct Leftover {
    limits: Limits,
    uptake: Uptake,
}

/// How a client stands to what it was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// It has everything, or nobody can tell.
    Nothing,
    /// It is taking it; to be looked at again then.
    Until(Moment),
    /// It was too slow: the rest is thrown away when the socket is let go.
    ThrownAway,
}

impl Leftover {
    /// To be taken at the pace of any other part of an answer.
    pub fn new(limits: &Limits) -> Self {
        Self {
            limits: limits.clone(),
            uptake: Uptake::new(limits, u64::MAX),
        }
    }

    /// Looks how much is left.
    pub fn look(&mut self, core: &Core, account: &Account) -> Left {
        let worth_it = account.given() >= WORTH_A_LOOK;
        let queued = worth_it.then(|| account.queued(&core.sock_diag)).flatten();
        let Some(queued) = queued.filter(|&queued| queued > FIN) else {
            self.uptake = Uptake::new(&self.limits, u64::MAX);
            return Left::Nothing;
        };
        let taken = account.given().saturating_sub(queued);
        match self
            .uptake
            .look(Some(taken), account.given(), core.wheel.now())
        {
            Ok(until) => Left::Until(until),
            Err(slow) => {
                core.metrics.reason(reason_of(slow));
                account.end_by_reset();
                Left::ThrownAway
            }
        }
    }
}

/// Stays with a connection until its client has what the kernel still holds for it, or is too slow in taking it, or
/// `leave` is ready. Without this the kernel would keep the bytes, and offer them, for minutes.
pub async fn see_off(
    core: &Core,
    account: &Account,
    limits: &Limits,
    mut leave: impl FnMut(&mut std::task::Context<'_>) -> std::task::Poll<()>,
) {
    let mut leftover = Leftover::new(limits);
    let timer = core.wheel.timer();
    while let Left::Until(next) = leftover.look(core, account) {
        timer.arm(next);
        let asked_to_leave = std::future::poll_fn(|cx| {
            if leave(cx).is_ready() {
                return std::task::Poll::Ready(true);
            }
            timer.poll_expired(cx).map(|()| false)
        });
        if asked_to_leave.await {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 30 s of silence, 240 bytes a second, 10 s of grace.
    fn uptake() -> Uptake {
        Uptake::new(&Limits::default(), 0)
    }

    /// Looks as often as asked at a client of whom `taken` tells, from second 0 on, when 300,000 bytes have gone to the
    /// kernel and no more would; says when and why it ends, if it does within an hour.
    fn watch(uptake: &mut Uptake, taken: impl Fn(u64) -> Option<u64>) -> Option<(u64, TooSlow)> {
        uptake.moved(300_000, Moment(0));
        let mut at = uptake.waiting(Moment(0));
        while at < Moment(3_600_000) {
            match uptake.look(taken(at.0), 300_000, at) {
                Ok(next) => at = next,
                Err(slow) => return Some((at.0, slow)),
            }
        }
        None
    }

    #[test]
    fn whoever_reads_nothing_is_gone_one_deadline_after_the_buffers_were_full() {
        let end = watch(&mut uptake(), |_| Some(100_000));
        assert_eq!(end, Some((30_000, TooSlow::Silent)));
    }

    #[test]
    fn whoever_stops_is_gone_one_deadline_after_the_last_byte_it_took() {
        let stops_after = |ms: u64| move |at: u64| Some(100_000 + at.min(ms));
        for ms in [5_000, 61_000] {
            let (gone, slow) = watch(&mut uptake(), stops_after(ms)).unwrap();
            assert_eq!((gone, slow), (ms + 30_000, TooSlow::Silent));
        }
    }

    #[test]
    fn what_was_given_before_is_no_merit() {
        let mut uptake = Uptake::new(&Limits::default(), 50_000_000);
        let (gone, slow) = watch(&mut uptake, |at| Some(40_000_000 + at / 1_000)).unwrap();
        assert_eq!(slow, TooSlow::UnderRate);
        assert!((10_000..11_000).contains(&gone), "{gone}");
    }

    /// What the kernel took ahead of it buys nobody time.
    #[test]
    fn one_byte_a_second_is_gone_after_the_grace() {
        let (gone, slow) = watch(&mut uptake(), |at| Some(at / 1_000)).unwrap();
        assert_eq!(slow, TooSlow::UnderRate);
        assert!((10_000..11_000).contains(&gone), "{gone}");
    }

    /// A write would go through only every few minutes.
    #[test]
    fn whoever_reads_a_little_faster_than_the_minimum_is_served_for_an_hour() {
        assert_eq!(watch(&mut uptake(), |at| Some(at * 250 / 1_000)), None);
        let in_segments = |at: u64| Some(at * 250 / 1_000 / 1_460 * 1_460);
        assert_eq!(watch(&mut uptake(), in_segments), None);
    }

    #[test]
    fn where_the_kernel_does_not_tell_what_it_took_counts() {
        let mut uptake = uptake();
        assert_eq!(
            watch(&mut uptake, |_| None),
            Some((30_000, TooSlow::Silent))
        );
        uptake.moved(1, Moment(31_000));
        assert!(uptake.look(None, 300_000, Moment(60_000)).is_ok());
    }

    /// Ten thousand readers who read nothing stayed four times their deadline: under pressure the kernel took a little more
    /// from us for each of them now and then, and every time the silence was counted anew.
    #[test]
    fn what_the_kernel_takes_for_somebody_who_reads_nothing_is_no_sign_of_life() {
        let mut uptake = uptake();
        uptake.moved(300_000, Moment(0));
        let mut at = uptake.waiting(Moment(0));
        let ended = loop {
            match uptake.look(Some(100_000), 300_000, at) {
                Ok(next) => at = next,
                Err(slow) => break (at, slow),
            }
            uptake.moved(100, at);
            at = uptake.waiting(at).max(at);
        };
        assert_eq!(ended, (Moment(30_000), TooSlow::Silent));
    }

    /// A page that had to wait once, then a line a second for an hour, each taken at once, and another page.
    #[test]
    fn whoever_takes_what_there_is_at_once_does_not_pay_for_the_time_between() {
        let mut uptake = uptake();
        let mut given = 300_000;
        uptake.moved(300_000, Moment(0));
        let at = uptake.waiting(Moment(0));
        assert!(uptake.look(Some(200_000), given, at).is_ok());
        for second in 2..3_600 {
            given += 20;
            uptake.moved(20, Moment(second * 1_000));
        }
        let now = Moment(3_600_000);
        uptake.moved(100_000, now);
        let next = uptake.waiting(now);
        assert!(next > now);
        assert!(uptake.look(Some(given), given + 100_000, next).is_ok());
    }

    /// Thousands of handshakes kept the core from its looks, and whoever read nothing was given its time twice.
    #[test]
    fn looks_that_come_late_give_nobody_more_time() {
        let mut uptake = uptake();
        uptake.moved(300_000, Moment(0));
        assert_eq!(uptake.waiting(Moment(0)), Moment(1_000));
        for late in [9_000, 21_000] {
            assert!(uptake.look(Some(100_000), 300_000, Moment(late)).is_ok());
            uptake.waiting(Moment(late + 5_000)); // its task was polled, late too, for another reason
        }
        let end = uptake.look(Some(100_000), 300_000, Moment(30_000));
        assert_eq!(end, Err(TooSlow::Silent));
    }

    /// A core with ten thousand of them came to each late, found room for a little more, and took the time in which it had
    /// waited for a time in which it had not.
    #[test]
    fn a_wait_that_ends_late_is_no_pause() {
        let mut uptake = uptake();
        uptake.moved(300_000, Moment(0));
        let mut at = uptake.waiting(Moment(0));
        let ended = loop {
            match uptake.look(Some(100_000), 300_000, at) {
                Ok(_) => at = at + Duration::from_secs(3),
                Err(slow) => break (at, slow),
            }
            uptake.moved(100, at);
            uptake.waiting(at);
        };
        assert_eq!(ended, (Moment(31_000), TooSlow::Silent));
    }

    /// It took nothing of what it owed, for as long as it was waited for and for as long as there was nothing to give.
    #[test]
    fn a_pause_in_which_nothing_was_taken_buys_no_time() {
        let mut uptake = uptake();
        uptake.moved(300_000, Moment(0));
        let mut at = uptake.waiting(Moment(0));
        let ended = loop {
            match uptake.look(Some(100_000), 300_000, at) {
                Ok(_) => {}
                Err(slow) => break (at, slow),
            }
            uptake.moved(100, at);
            at = at + Duration::from_secs(5);
            at = uptake.waiting(at);
        };
        assert_eq!(ended.1, TooSlow::Silent);
        assert!(ended.0 < Moment(38_000), "{ended:?}");
    }

    /// Events, say, that come once an hour: they are not the reader's silence.
    #[test]
    fn whoever_owed_and_was_given_nothing_for_an_hour_was_not_silent() {
        let mut uptake = uptake();
        uptake.moved(300_000, Moment(0));
        let mut at = uptake.waiting(Moment(0));
        for hour in 1..=3 {
            assert!(
                uptake
                    .look(Some(hour * 100_000 - 1), hour * 100_000, at)
                    .is_ok()
            );
            uptake.moved(10, at + Duration::from_secs(5));
            at = Moment(hour * 3_600_000);
            // All of it was acknowledged long ago; what was just given is not yet.
            uptake.moved(100_000, at);
            assert!(uptake.waiting(at) > at);
            at = at + Duration::from_millis(50);
            assert!(
                uptake
                    .look(Some(hour * 100_000), (hour + 1) * 100_000, at)
                    .is_ok()
            );
        }
    }

    #[test]
    fn a_transfer_that_goes_on_between_waits_never_ends_and_is_looked_at_once_a_second() {
        let (mut uptake, mut looks, mut given) = (uptake(), 0, 0);
        for beat in 0..100_000 {
            let now = Moment(beat * 250);
            if uptake.waiting(now) <= now {
                looks += 1;
                assert!(uptake.look(Some(given - 500), given, now).is_ok());
            }
            given += 1_000;
            uptake.moved(1_000, now + Duration::from_millis(125));
        }
        assert!((20_000..=25_000).contains(&looks), "{looks}");
    }

    /// Its waits are further apart than two looks.
    #[test]
    fn a_transfer_that_seldom_waits_is_not_looked_at() {
        let mut uptake = uptake();
        for beat in 0..100_000 {
            let now = Moment(beat * 10_000);
            assert!(uptake.waiting(now) > now + Duration::from_millis(500));
            uptake.moved(1_000, now + Duration::from_millis(500));
        }
    }

    /// Until the first look nobody knows what the client owes; so nothing may put that off.
    #[test]
    fn a_kernel_that_goes_on_taking_does_not_put_off_the_first_look() {
        let mut uptake = uptake();
        for beat in 0..10 {
            let now = Moment(beat * 100);
            assert_eq!(uptake.waiting(now), Moment(1_000));
            uptake.moved(1_000, now + Duration::from_millis(50));
        }
        assert_eq!(uptake.waiting(Moment(1_000)), Moment(1_000));
    }
}
