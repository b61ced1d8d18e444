//! One member, and the order in which members are preferred.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use mangrove_http::Moment;
use smallvec::SmallVec;

use super::{Address, EVIDENCE_FOR, PoolSettings, Standing, Target};
use crate::origin::balance::{self, Contender, Dice};
use crate::origin::breaker::Breaker;
use crate::origin::health::Health;

/// Names one member, also after the pool was replaced by its heir.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub(super) u32);

/// The smallest unit of weight: divisible by every number of addresses up to [`MAX_ADDRESSES`](crate::origin::resolve::MAX_ADDRESSES), so that an origin's weight
/// is split among its addresses exactly.
pub(super) const WEIGHT_UNIT: u32 = 720_720;

#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: MemberId,
    pub(super) origin: usize,
    pub(super) address: Address,
    pub(super) text: Arc<str>,
    /// In parts of [`WEIGHT_UNIT`].
    pub(super) weight: u32,
    pub(super) credit: i64,
    /// No longer among its name's addresses; kept until its last request is released.
    pub(super) leaving: bool,
    pub(super) vitals: Rc<RefCell<Vitals>>,
}

/// What a pool and its heir share of a member, so that requests begun under either count in both.
#[derive(Debug, Default)]
pub(super) struct Vitals {
    pub(super) outstanding: u32,
    pub(super) health: Health,
    pub(super) breaker: Breaker,
}

impl Member {
    pub(super) fn target(&self) -> Target {
        Target {
            origin: self.origin,
            address: self.address.clone(),
            text: Arc::clone(&self.text),
        }
    }

    pub(super) fn standing(&self, settings: &PoolSettings, now: Moment) -> Standing {
        let vitals = self.vitals.borrow();
        if self.leaving {
            Standing::Leaving
        } else if settings.active.is_some() && vitals.health.is_down() {
            Standing::Down
        } else if let Some(until) = vitals.health.ejected_until(now) {
            Standing::Ejected { until }
        } else if let Some(until) = vitals.breaker.refuses_until(&settings.breaker, now) {
            Standing::BreakerOpen { until }
        } else if vitals.is_full(settings) {
            Standing::Full
        } else {
            Standing::Ready
        }
    }
}

impl Vitals {
    pub(super) const fn is_full(&self, settings: &PoolSettings) -> bool {
        let most = if settings.max_outstanding == 0 {
            1
        } else {
            settings.max_outstanding
        };
        self.outstanding >= most
    }
}

/// The members by what they are good for, while one is being chosen.
#[derive(Default)]
pub(super) struct Groups<'a> {
    pub(super) any: bool,
    pub(super) untried: bool,
    pub(super) ready: Candidates<'a>,
    pub(super) full: bool,
    pub(super) least_recently_ejected: Option<(Moment, MemberId)>,
    pub(super) serving_though_down: Candidates<'a>,
    pub(super) full_fallback: bool,
    pub(super) trial: Option<(Moment, MemberId)>,
    pub(super) broken: bool,
}

impl<'a> Groups<'a> {
    pub(super) fn sort_in(&mut self, member: &'a mut Member, settings: &PoolSettings, now: Moment) {
        let standing = member.standing(settings, now);
        let (broken, full, failed_at, serving, outstanding) = {
            let vitals = member.vitals.borrow();
            let failed_at = vitals.health.last_failure().map_or(Moment(0), |(_, at)| at);
            (
                !vitals.breaker.admits(&settings.breaker, now),
                vitals.is_full(settings),
                failed_at,
                vitals.health.serves_visitors(EVIDENCE_FOR, now),
                vitals.outstanding,
            )
        };
        match standing {
            Standing::Leaving => {}
            Standing::Ready => self.ready.add(member, outstanding),
            Standing::Full => self.full = true,
            _ if broken => self.broken = true,
            Standing::BreakerOpen { .. } => self.broken = true,
            Standing::Ejected { .. } if full => self.full_fallback = true,
            Standing::Ejected { .. } => {
                self.least_recently_ejected =
                    earlier(self.least_recently_ejected, (failed_at, member.id));
            }
            Standing::Down if full => self.full_fallback |= serving,
            Standing::Down if serving => self.serving_though_down.add(member, outstanding),
            Standing::Down => self.trial = earlier(self.trial, (failed_at, member.id)),
        }
    }
}

fn earlier(
    best: Option<(Moment, MemberId)>,
    other: (Moment, MemberId),
) -> Option<(Moment, MemberId)> {
    Some(best.map_or(other, |best| best.min(other)))
}

/// Members to choose among by weight and load.
#[derive(Default)]
pub(super) struct Candidates<'a> {
    pub(super) ids: SmallVec<[MemberId; 8]>,
    pub(super) contenders: SmallVec<[Contender<'a>; 8]>,
}

impl<'a> Candidates<'a> {
    pub(super) fn add(&mut self, member: &'a mut Member, outstanding: u32) {
        self.ids.push(member.id);
        self.contenders.push(Contender {
            weight: member.weight,
            outstanding,
            credit: &mut member.credit,
        });
    }

    pub(super) fn choose(&mut self, dice: &mut Dice) -> Option<MemberId> {
        let index = balance::choose(&mut self.contenders, dice)?;
        self.ids.get(index).copied()
    }
}
