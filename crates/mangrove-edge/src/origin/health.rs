//! What is known of one member's health, and from whom.
//!
//! Two witnesses. *Passive*: what became of the visitors' requests. A run of failures takes the member out for a growing,
//! capped time; it comes back on probation (one more failure takes it out again) until a request succeeds. *Active*: probes
//! that the edge sends itself; so many failed ones in a row take the member down, so many good ones bring it back.
//! A member starts healthy: not having looked yet is no evidence against it.
//!
//! A visitor chooses the requests whose outcome is the passive evidence, so that witness is believed within limits: a plain
//! 500 (a bug on one page) is no evidence at all, any success ends a run, and the pool lets it take out only a share of
//! the members, never the last ones (see [`crate::origin::pool`]).

use std::time::Duration;

use mangrove_http::Moment;

use super::balance::Dice;

/// What became of one request at one member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Answered, whatever the status, unless it is listed below.
    Ok,
    /// No connection: refused, unreachable, timed out while connecting, or the TLS handshake failed.
    ConnectFailed,
    /// Connected, but the answer or the rest of it did not come in time.
    TimedOut,
    /// Closed or reset before the answer was complete.
    Reset,
    /// Answered with bytes that are not a well-formed answer.
    Malformed,
    /// Answered with this 5xx status.
    Status5xx(u16),
}

impl Outcome {
    /// The stable name for log, metric and admin page.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ConnectFailed => "connect-failed",
            Self::TimedOut => "timed-out",
            Self::Reset => "reset",
            Self::Malformed => "malformed",
            Self::Status5xx(_) => "status-5xx",
        }
    }

    /// What it says about the member: `Some(true)` well, `Some(false)` unwell, `None` nothing.
    ///
    /// 502, 503 and 504 say that what is behind the member is unwell; other 5xx speak of one request (RFC 9110
    /// sections 15.6.3 to 15.6.5 against 15.6.1).
    #[must_use]
    pub const fn evidence(self) -> Option<bool> {
        match self {
            Self::Ok => Some(true),
            Self::Status5xx(502..=504) => Some(false),
            Self::Status5xx(_) => None,
            Self::ConnectFailed | Self::TimedOut | Self::Reset | Self::Malformed => Some(false),
        }
    }
}

/// When the visitors' requests take a member out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassiveSettings {
    /// Failures in a row; at least 1. Default 5.
    pub failures: u32,
    /// How long the first time; doubled each further time. Default 10 s.
    pub eject_for: Duration,
    /// The longest. Default 5 min. As long without another ejection, and the doubling starts over.
    pub eject_at_most: Duration,
    /// At most this percentage of the pool is out of use when another is ejected, 0..=100; 0 turns passive health off.
    /// Default 50.
    pub pool_percent: u8,
}

impl Default for PassiveSettings {
    fn default() -> Self {
        Self {
            failures: 5,
            eject_for: Duration::from_secs(10),
            eject_at_most: Duration::from_secs(300),
            pool_percent: 50,
        }
    }
}

/// When probes are sent and what they lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveSettings {
    /// From one probe of a member to the next, give or take a tenth. Default 10 s.
    pub interval: Duration,
    /// A probe without a result after this long is taken to be lost, and the next one is due. Default 5 s. The prober's own
    /// deadline should be this one too.
    pub timeout: Duration,
    /// Good probes in a row that bring a member back; at least 1. Default 2.
    pub healthy_after: u32,
    /// Failed probes in a row that take it down; at least 1. Default 3.
    pub unhealthy_after: u32,
}

impl Default for ActiveSettings {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            healthy_after: 2,
            unhealthy_after: 3,
        }
    }
}

/// One member's health.
#[derive(Debug, Clone, Default)]
pub struct Health {
    failures_in_a_row: u32,
    ejected_until: Option<Moment>,
    ejections: u32,
    last_failure: Option<(Outcome, Moment)>,
    last_success: Option<Moment>,
    probes: Probes,
}

impl Health {
    /// Takes in what became of a request. `may_eject` says whether the pool can spare the member. Returns until when it is
    /// ejected if this outcome ejected it.
    pub fn report(
        &mut self,
        outcome: Outcome,
        settings: &PassiveSettings,
        may_eject: bool,
        now: Moment,
    ) -> Option<Moment> {
        match outcome.evidence() {
            None => return None,
            Some(true) => {
                self.failures_in_a_row = 0;
                self.last_success = Some(now);
                return None;
            }
            Some(false) => self.last_failure = Some((outcome, now)),
        }
        if self.ejected_until(now).is_some() {
            return None; // Requests begun before it was taken out: nothing new.
        }
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        if self.failures_in_a_row < settings.failures.max(1) || !may_eject {
            return None;
        }
        Some(self.eject(settings, now))
    }

    /// Until when visitors' requests keep it out, if they do at `now`.
    #[must_use]
    pub fn ejected_until(&self, now: Moment) -> Option<Moment> {
        self.ejected_until.filter(|until| now < *until)
    }

    /// Whether probes have taken it down.
    #[must_use]
    pub const fn is_down(&self) -> bool {
        self.probes.down
    }

    /// Whether the latest visitor's request succeeded, no longer than `within` ago: evidence that contradicts a probe.
    #[must_use]
    pub fn serves_visitors(&self, within: Duration, now: Moment) -> bool {
        let failed = self.last_failure.map(|(_, at)| at);
        self.last_success.is_some_and(|success| {
            now.saturating_since(success) <= within && failed.is_none_or(|failed| failed <= success)
        })
    }

    /// When a visitor's request last failed and how.
    #[must_use]
    pub const fn last_failure(&self) -> Option<(Outcome, Moment)> {
        self.last_failure
    }

    /// How often it was ejected lately: what the next ejection's length is computed from.
    #[must_use]
    pub const fn ejections(&self) -> u32 {
        self.ejections
    }

    /// When its next probe is due. The first comes at a random point of the first interval.
    pub fn next_probe(
        &mut self,
        settings: &ActiveSettings,
        dice: &mut Dice,
        now: Moment,
    ) -> Moment {
        *self.probes.next.get_or_insert_with(|| {
            let interval = u64::try_from(settings.interval.as_millis()).unwrap_or(u64::MAX);
            now + Duration::from_millis(dice.below(interval))
        })
    }

    /// A probe is sent at `now`. Should its result never come, the next is due after the timeout and an interval.
    pub fn probe_sent(&mut self, settings: &ActiveSettings, dice: &mut Dice, now: Moment) {
        self.probes.next = Some(now + settings.timeout + dice.jitter(settings.interval));
    }

    /// A probe's result. Returns whether it changed what [`Health::is_down`] says.
    pub fn probe_result(
        &mut self,
        good: bool,
        settings: &ActiveSettings,
        dice: &mut Dice,
        now: Moment,
    ) -> bool {
        self.probes.next = Some(now + dice.jitter(settings.interval));
        let contradicts = good == self.probes.down;
        if !contradicts {
            self.probes.against = 0;
            return false;
        }
        self.probes.against = self.probes.against.saturating_add(1);
        let enough = if good {
            settings.healthy_after
        } else {
            settings.unhealthy_after
        };
        if self.probes.against < enough.max(1) {
            return false;
        }
        self.probes.against = 0;
        self.probes.down = !good;
        true
    }

    fn eject(&mut self, settings: &PassiveSettings, now: Moment) -> Moment {
        let long_ago = self
            .ejected_until
            .is_some_and(|until| now.saturating_since(until) >= settings.eject_at_most);
        if long_ago {
            self.ejections = 0;
        }
        let doubled = 1u32.checked_shl(self.ejections).unwrap_or(u32::MAX);
        let time = settings
            .eject_for
            .saturating_mul(doubled)
            .min(settings.eject_at_most);
        self.ejections = self.ejections.saturating_add(1);
        let until = now + time;
        self.ejected_until = Some(until);
        until
    }
}

#[derive(Debug, Clone, Default)]
struct Probes {
    down: bool,
    /// Results in a row that say the opposite of `down`.
    against: u32,
    next: Option<Moment>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment(seconds * 1000)
    }

    fn fail(health: &mut Health, times: u32, now: Moment) -> Option<Moment> {
        let settings = PassiveSettings::default();
        (0..times)
            .filter_map(|_| health.report(Outcome::ConnectFailed, &settings, true, now))
            .last()
    }

    #[test]
    fn the_fifth_failure_in_a_row_ejects_and_the_fourth_does_not() {
        let mut health = Health::default();
        assert_eq!(fail(&mut health, 4, at(0)), None);
        assert_eq!(fail(&mut health, 1, at(0)), Some(at(10)));
        assert_eq!(health.ejected_until(Moment(9_999)), Some(at(10)));
        assert_eq!(health.ejected_until(at(10)), None);
    }

    #[test]
    fn a_success_ends_the_run() {
        let mut health = Health::default();
        fail(&mut health, 4, at(0));
        health.report(Outcome::Ok, &PassiveSettings::default(), true, at(0));
        assert_eq!(fail(&mut health, 4, at(0)), None);
    }

    #[test]
    fn a_visitor_who_found_a_bug_ejects_nobody() {
        let mut health = Health::default();
        for _ in 0..1000 {
            health.report(
                Outcome::Status5xx(500),
                &PassiveSettings::default(),
                true,
                at(0),
            );
        }
        assert_eq!(health.ejected_until(at(0)), None);
        assert_eq!(Outcome::Status5xx(502).evidence(), Some(false));
        assert_eq!(Outcome::Status5xx(504).evidence(), Some(false));
        assert_eq!(Outcome::Status5xx(505).evidence(), None);
    }

    #[test]
    fn it_comes_back_on_probation_and_is_out_for_longer_up_to_the_cap() {
        let mut health = Health::default();
        let mut now = fail(&mut health, 5, at(0)).unwrap();
        for expected in [20, 40, 80, 160, 300, 300] {
            let until = fail(&mut health, 1, now).unwrap();
            assert_eq!(until, now + Duration::from_secs(expected));
            assert_eq!(
                fail(&mut health, 9, now),
                None,
                "late failures do not prolong it"
            );
            now = until;
        }
    }

    #[test]
    fn five_quiet_minutes_start_the_doubling_over() {
        let mut health = Health::default();
        let back = fail(&mut health, 5, at(0)).unwrap();
        let again = fail(&mut health, 1, back).unwrap();
        assert_eq!(again, at(30));
        assert_eq!(fail(&mut health, 1, at(330)), Some(at(340)));
    }

    #[test]
    fn a_member_the_pool_cannot_spare_stays() {
        let mut health = Health::default();
        for _ in 0..100 {
            let ejected = health.report(Outcome::Reset, &PassiveSettings::default(), false, at(0));
            assert_eq!(ejected, None);
        }
        assert_eq!(
            fail(&mut health, 1, at(0)),
            Some(at(10)),
            "until it can be spared"
        );
    }

    #[test]
    fn three_failed_probes_take_it_down_and_two_good_ones_bring_it_back() {
        let settings = ActiveSettings::default();
        let (mut health, mut dice) = (Health::default(), Dice::new(1));
        let mut probe = |good| {
            health.probe_result(good, &settings, &mut dice, at(0));
            health.is_down()
        };
        let results = [
            false, false, true, false, false, false, true, false, true, true,
        ];
        let down = [
            false, false, false, false, false, true, true, true, true, false,
        ];
        assert_eq!(results.map(&mut probe), down);
    }

    #[test]
    fn probes_are_spread_and_a_lost_one_is_replaced() {
        let settings = ActiveSettings::default();
        let mut dice = Dice::new(1);
        let first: Vec<u64> = (0..100)
            .map(|_| Health::default().next_probe(&settings, &mut dice, at(0)).0)
            .collect();
        assert!(first.iter().all(|due| *due < 10_000));
        assert!(first.iter().any(|due| *due < 1_000) && first.iter().any(|due| *due > 9_000));

        let mut health = Health::default();
        health.probe_sent(&settings, &mut dice, at(100));
        let next = health.next_probe(&settings, &mut dice, at(100));
        assert!(at(114) <= next && next <= at(116), "{next:?}");
        health.probe_result(true, &settings, &mut dice, at(101));
        let next = health.next_probe(&settings, &mut dice, at(101));
        assert!(at(110) <= next && next <= at(112), "{next:?}");
    }

    #[test]
    fn evidence_of_serving_is_recent_and_latest() {
        let mut health = Health::default();
        let within = Duration::from_secs(30);
        assert!(!health.serves_visitors(within, at(0)));
        health.report(Outcome::Ok, &PassiveSettings::default(), true, at(10));
        assert!(health.serves_visitors(within, at(40)));
        assert!(!health.serves_visitors(within, Moment(40_001)));
        fail(&mut health, 1, at(11));
        assert!(!health.serves_visitors(within, at(12)));
    }
}
