//! Those who have nothing to do with it: three, each at a steady pace, over the quiet phase and the attack after it.
//!
//! Each answer is timed from the moment at which the question was due, so that whoever is kept waiting does not ask less for
//! it. An answer that never came counts as one that took all of a bystander's patience.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use tokio::runtime::LocalRuntime;
use tokio::time::{Instant, sleep_until, timeout};

use super::origin::{PAGE, PAGE_BYTES, PAGE_PATH};
use crate::asks;
use crate::tls::HOST;
use crate::visit::{Ask, Expect, Failure, Trouble, Visitor, Way, Wire};

/// How often each of them asks.
const PACE: Duration = Duration::from_millis(20);
/// How long each waits for an answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// Over what each asks, and whether he keeps his connection.
const WHO: [(Wire, bool); 3] = [(Wire::H1, true), (Wire::H2Tls, true), (Wire::H1Tls, false)];

/// When what happens.
#[derive(Clone, Copy)]
pub(super) struct Schedule {
    /// The beginning of the quiet phase.
    pub(super) begins: Instant,
    /// How long it lasts, and the attack after it.
    pub(super) during: Duration,
}

impl Schedule {
    /// The end of the quiet phase.
    pub(super) fn attack(&self) -> Instant {
        self.begins + self.during
    }

    /// The end of the attack.
    pub(super) fn ends(&self) -> Instant {
        self.begins + 2 * self.during
    }
}

/// What was noticed in one phase.
#[derive(Clone, Default, Debug)]
pub(super) struct Noticed {
    /// How long each question took, answered or not.
    pub(super) took: Vec<Duration>,
    /// How many were answered with the right bytes.
    pub(super) answered: usize,
    /// Why the others were not, and how often.
    pub(super) failures: BTreeMap<String, usize>,
}

impl Noticed {
    fn take(&mut self, took: Duration, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => {
                self.answered += 1;
                self.took.push(took);
            }
            Err(why) => {
                *self.failures.entry(why).or_default() += 1;
                self.took.push(took.max(PATIENCE));
            }
        }
    }

    fn add(&mut self, other: Self) {
        self.took.extend(other.took);
        self.answered += other.answered;
        for (why, count) in other.failures {
            *self.failures.entry(why).or_default() += count;
        }
    }
}

/// What a bystander asks.
pub(super) fn page() -> Ask {
    Ask {
        host: HOST.to_owned(),
        path: PAGE_PATH.to_owned(),
        upload: None,
        expect: Expect::Run(PAGE_BYTES as u64, asks::fill(PAGE)),
        mark: None,
        within: PATIENCE,
    }
}

/// Asks over both phases, on the calling thread: what was noticed while it was quiet, and under attack.
pub(super) fn stand_by(way: &Way, schedule: Schedule) -> Result<[Noticed; 2]> {
    let runtime = LocalRuntime::new()?;
    runtime.block_on(async {
        let standing = (0_u32..).zip(WHO).map(|(number, (wire, keeps))| {
            let first = schedule.begins + PACE * number / 3;
            tokio::task::spawn_local(one(way.clone(), wire, keeps, first, schedule))
        });
        let standing: Vec<_> = standing.collect();
        let mut both = [Noticed::default(), Noticed::default()];
        for one in standing {
            for (all, his) in both.iter_mut().zip(one.await?) {
                all.add(his);
            }
        }
        Ok(both)
    })
}

async fn one(
    way: Way,
    wire: Wire,
    keeps: bool,
    first: Instant,
    schedule: Schedule,
) -> [Noticed; 2] {
    let [mut quiet, mut attacked] = [Noticed::default(), Noticed::default()];
    let ask = page();
    let last = schedule.ends() + PATIENCE;
    let mut connection: Option<Visitor> = None;
    for number in 0.. {
        let due = first + PACE * number;
        if due >= schedule.ends() {
            break;
        }
        sleep_until(due).await;
        let within = PATIENCE.min(last.saturating_duration_since(Instant::now()));
        let asking = timeout(within, exchange(&way, wire, &mut connection, &ask));
        let outcome = match asking.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(failure)) => Err(format!("{wire:?}: {}", in_words(&failure))),
            Err(_) => Err(format!("{wire:?}: no answer in time")),
        };
        if outcome.is_err() || !keeps {
            connection = None;
        }
        let noticed = match due < schedule.attack() {
            true => &mut quiet,
            false => &mut attacked,
        };
        noticed.take(due.elapsed(), outcome);
    }
    [quiet, attacked]
}

/// Renews a connection that the server has ended between two questions, as every browser does.
async fn exchange(
    way: &Way,
    wire: Wire,
    connection: &mut Option<Visitor>,
    ask: &Ask,
) -> Result<(), Failure> {
    let kept = match connection.take() {
        Some(mut visitor) => (!visitor.is_over().await).then_some(visitor),
        None => None,
    };
    let mut visitor = match kept {
        Some(visitor) => visitor,
        None => Visitor::arrive(way, wire, PATIENCE).await?,
    };
    visitor.ask(ask).await?;
    *connection = Some(visitor);
    Ok(())
}

/// Few different ones, however many there are.
fn in_words(failure: &Failure) -> String {
    match failure.trouble {
        Trouble::Refused => "refused".to_owned(),
        Trouble::Reset => "reset".to_owned(),
        Trouble::Cut => "cut".to_owned(),
        Trouble::TimedOut => "no answer in time".to_owned(),
        Trouble::Wrong => "wrong bytes".to_owned(),
        Trouble::Status => {
            let status = failure.words.split(' ').next().unwrap_or_default();
            format!("status {status}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_not_answered_has_waited_as_long_as_he_would() {
        let mut noticed = Noticed::default();
        noticed.take(Duration::from_millis(3), Ok(()));
        noticed.take(Duration::from_millis(3), Err("reset".to_owned()));
        noticed.take(3 * PATIENCE, Err("reset".to_owned()));
        assert_eq!(noticed.answered, 1);
        let took = [Duration::from_millis(3), PATIENCE, 3 * PATIENCE];
        assert_eq!(noticed.took, took);
        assert_eq!(noticed.failures["reset"], 2);
    }
}
