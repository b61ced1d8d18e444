//! Which of several ready members gets the next request: smooth weighted turns, corrected by load.
//!
//! Turns alone (every member in its place, heavy ones more often, never in bursts) respect the weights exactly but keep
//! feeding a member that has become slow. Load alone (the one with the least outstanding per weight) reacts at once but
//! forgets the weights while nothing is outstanding. So the turn proposes a member, a weighted throw of the dice proposes
//! a second, and the second is taken only when it carries strictly less load for its weight.

use std::time::Duration;

/// A seeded source of numbers for spreading load and time. Not for secrets.
///
/// A counter walked by an odd constant and mixed (the SplitMix64 construction): any seed is a good seed, and the same seed
/// gives the same choices again, which is what a simulation needs.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Dice that will always fall in the order given by `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number, uniform over all of `u64`.
    pub const fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number in `0..bound`; 0 when `bound` is 0. The bias is under 2⁻³² for the bounds used here.
    pub fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.roll()) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// `base` made longer or shorter by up to a tenth, so that timers started together do not fire together for ever.
    pub fn jitter(&mut self, base: Duration) -> Duration {
        let tenth = base / 10;
        let span = u64::try_from(tenth.as_millis()).unwrap_or(u64::MAX / 2);
        let earlier = base.saturating_sub(tenth);
        earlier.saturating_add(Duration::from_millis(
            self.below(span.saturating_mul(2).saturating_add(1)),
        ))
    }
}

/// One ready member, as the balance sees it.
#[derive(Debug)]
pub struct Contender<'a> {
    /// Its share of the requests relative to the others; at least 1.
    pub weight: u32,
    /// Requests it has been given and not yet finished.
    pub outstanding: u32,
    /// Its place in the order of turns, kept by the caller from choice to choice. Start it anywhere in `0..=weight`.
    pub credit: &'a mut i64,
}

/// The index of the contender that gets the next request; `None` only when there are none.
pub fn choose(contenders: &mut [Contender<'_>], dice: &mut Dice) -> Option<usize> {
    let first = take_turn(contenders)?;
    let second = throw(contenders, first, dice).unwrap_or(first);
    match (contenders.get(first), contenders.get(second)) {
        (Some(a), Some(b)) if carries_less(b, a) => Some(second),
        _ => Some(first),
    }
}

/// The smooth weighted turn: all earn their weight, the richest is chosen and pays the sum. The proposed member pays even
/// when load then diverts the request, so a slow member saves up no burst for the moment it recovers.
fn take_turn(contenders: &mut [Contender<'_>]) -> Option<usize> {
    let mut total: i64 = 0;
    let mut richest: Option<(usize, i64)> = None;
    for (index, contender) in contenders.iter_mut().enumerate() {
        let weight = i64::from(contender.weight.max(1));
        total = total.saturating_add(weight);
        *contender.credit = contender.credit.saturating_add(weight);
        if richest.is_none_or(|(_, credit)| *contender.credit > credit) {
            richest = Some((index, *contender.credit));
        }
    }
    let (index, _) = richest?;
    if let Some(chosen) = contenders.get_mut(index) {
        *chosen.credit = chosen.credit.saturating_sub(total);
    }
    Some(index)
}

/// Another contender than `besides`, at random by weight.
fn throw(contenders: &[Contender<'_>], besides: usize, dice: &mut Dice) -> Option<usize> {
    let others = || {
        contenders
            .iter()
            .enumerate()
            .filter(move |(index, _)| *index != besides)
            .map(|(index, contender)| (index, u64::from(contender.weight.max(1))))
    };
    let total: u64 = others().map(|(_, weight)| weight).sum();
    let mut left = dice.below(total);
    for (index, weight) in others() {
        if left < weight {
            return Some(index);
        }
        left -= weight;
    }
    None
}

/// Whether `a` has strictly less outstanding per weight than `b` (cross-multiplied, so exact).
fn carries_less(a: &Contender<'_>, b: &Contender<'_>) -> bool {
    u64::from(a.outstanding) * u64::from(b.weight.max(1))
        < u64::from(b.outstanding) * u64::from(a.weight.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Members that finish at once (`None`) or after so many further choices.
    struct Fleet {
        weights: Vec<u32>,
        credits: Vec<i64>,
        outstanding: Vec<u32>,
        dice: Dice,
    }

    impl Fleet {
        fn new(weights: &[u32], seed: u64) -> Self {
            let mut dice = Dice::new(seed);
            let credits = weights
                .iter()
                .map(|weight| i64::try_from(dice.below(u64::from(*weight) + 1)).unwrap())
                .collect();
            Self {
                weights: weights.to_vec(),
                credits,
                outstanding: vec![0; weights.len()],
                dice,
            }
        }

        fn choose(&mut self) -> Option<usize> {
            let mut contenders: Vec<Contender<'_>> = self
                .credits
                .iter_mut()
                .zip(&self.weights)
                .zip(&self.outstanding)
                .map(|((credit, weight), outstanding)| Contender {
                    weight: *weight,
                    outstanding: *outstanding,
                    credit,
                })
                .collect();
            choose(&mut contenders, &mut self.dice)
        }
    }

    #[test]
    fn nobody_is_chosen_from_nobody() {
        assert_eq!(Fleet::new(&[], 1).choose(), None);
    }

    #[test]
    fn heavy_members_come_often_but_not_in_bursts() {
        let mut fleet = Fleet::new(&[3, 1], 7);
        let order: Vec<usize> = (0..40).map(|_| fleet.choose().unwrap()).collect();
        assert_eq!(order.iter().filter(|index| **index == 1).count(), 10);
        assert!(order.windows(4).all(|four| four.contains(&1)), "{order:?}");
    }

    #[test]
    fn a_member_with_less_load_for_its_weight_is_taken_instead() {
        let mut fleet = Fleet::new(&[1, 1], 7);
        fleet.outstanding = vec![9, 0];
        assert!((0..20).all(|_| fleet.choose() == Some(1)));
        // Nine on a weight of ten is less than one on a weight of one.
        let mut fleet = Fleet::new(&[10, 1], 7);
        fleet.outstanding = vec![9, 1];
        assert!((0..20).all(|_| fleet.choose() == Some(0)));
    }

    #[test]
    fn a_slow_member_saves_up_no_burst() {
        let mut fleet = Fleet::new(&[1, 1], 7);
        fleet.outstanding = vec![50, 0];
        for _ in 0..1000 {
            fleet.choose();
        }
        fleet.outstanding = vec![0, 0];
        let to_first = (0..10).filter(|_| fleet.choose() == Some(0)).count();
        assert_eq!(to_first, 5);
    }

    #[test]
    fn jitter_stays_within_a_tenth() {
        let mut dice = Dice::new(3);
        let all: Vec<Duration> = (0..1000)
            .map(|_| dice.jitter(Duration::from_secs(10)))
            .collect();
        assert!(
            all.iter()
                .all(|d| (9_000..=11_000).contains(&d.as_millis()))
        );
        assert!(all.iter().any(|d| d.as_millis() < 9_200));
        assert!(all.iter().any(|d| d.as_millis() > 10_800));
        assert_eq!(dice.jitter(Duration::ZERO), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn unloaded_members_get_exactly_their_weight(weights in prop::collection::vec(1u32..20, 1..8), seed: u64) {
            let mut fleet = Fleet::new(&weights, seed);
            let rounds = 20;
            let mut counts = vec![0i64; weights.len()];
            for _ in 0..weights.iter().sum::<u32>() * rounds {
                counts[fleet.choose().unwrap()] += 1;
            }
            for (count, weight) in counts.iter().zip(&weights) {
                // The random start can shift a turn across the end of the count, never more.
                let due = i64::from(weight * rounds);
                prop_assert!((count - due).abs() <= 2, "{counts:?} of {weights:?}");
            }
        }

        #[test]
        fn equally_fast_loaded_members_get_about_their_weight(weights in prop::collection::vec(1u32..5, 2..6), seed: u64) {
            let mut fleet = Fleet::new(&weights, seed);
            let mut running = std::collections::VecDeque::new();
            let mut counts = vec![0u32; weights.len()];
            let choices = 4000;
            for _ in 0..choices {
                let index = fleet.choose().unwrap();
                counts[index] += 1;
                fleet.outstanding[index] += 1;
                running.push_back(index);
                if running.len() > 60 {
                    fleet.outstanding[running.pop_front().unwrap()] -= 1;
                }
            }
            let total: u32 = weights.iter().sum();
            for (count, weight) in counts.iter().zip(&weights) {
                let due = f64::from(choices * weight) / f64::from(total);
                prop_assert!((f64::from(*count) - due).abs() < due * 0.15, "{counts:?} of {weights:?}");
            }
        }
    }
}
