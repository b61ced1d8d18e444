//! A purge of all of a site that is on the disk, of very many objects and of a thousand: until when anything of it was answered, and
//! when its word came that it holds after a power loss.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};

use super::visitor::{Seen, Visitor};
use super::{FEW, FEW_OBJECTS, MANY, fill, purge};
use crate::asks;
use crate::clock::Stopwatch;
use crate::stats;
use crate::stoppable::Stoppable;
use crate::subject::Subject;
use crate::terminal::say;

/// How often the small site is purged.
const ROUNDS: usize = 15;
/// How long is asked before the order and after its word.
const AROUND: Duration = Duration::from_millis(100);
/// How many are asked for afterwards.
const SAMPLE: u64 = 1_000;

/// What was seen of one purge, in milliseconds since it was ordered.
struct Purged {
    /// The last question that still got what was kept; zero if none did.
    served: f64,
    /// Its word.
    told: f64,
    /// What was answered although it had come.
    old: u64,
}

/// Purges both, and says how long it took; gives how many answers were old.
pub(super) fn compare(subject: &Subject, origin: &Stoppable, objects: u64) -> Result<u64> {
    let mut few = Vec::new();
    for round in 0..ROUNDS {
        if round > 0 {
            origin.be(true);
            refill(subject)?;
            origin.be(false);
        }
        few.push(once(subject, FEW, FEW_OBJECTS)?);
    }
    let many = once(subject, MANY, objects)?;
    let column = |of: fn(&Purged) -> f64| -> Vec<f64> { few.iter().map(of).collect() };
    let middle = |values: &[f64]| stats::median(values).unwrap_or_default();
    let most = |values: &[f64]| stats::range(values).map_or(0.0, |(_, most)| most);
    let (served, told) = (column(|few| few.served), column(|few| few.told));
    say(&format!(
        "\n| purge of a whole site | last answer from it, ms | its word, durable, ms |\n|---|---:|---:|\n\
         | {FEW_OBJECTS} objects, median of {ROUNDS} | {:.2} | {:.2} |\n\
         | {FEW_OBJECTS} objects, at most | {:.2} | {:.2} |\n\
         | {objects} objects | {:.2} | {:.2} |",
        middle(&served),
        middle(&told),
        most(&served),
        most(&told),
        many.served,
        many.told
    ));
    Ok(few.iter().chain([&many]).map(|purged| purged.old).sum())
}

/// The origin is back, and not every core knows it at once.
fn refill(subject: &Subject) -> Result<()> {
    let mut last = Ok(());
    for _ in 0..100 {
        last = fill(subject, FEW, FEW_OBJECTS);
        if last.is_ok() {
            return last;
        }
        thread::sleep(AROUND);
    }
    last
}

fn once(subject: &Subject, site: &'static str, objects: u64) -> Result<Purged> {
    let over = AtomicBool::new(false);
    let watch = Stopwatch::start();
    let http = subject.http;
    let mut seed = 1;
    let (asked, sent, told) = thread::scope(|scope| -> Result<_> {
        // When each question that was answered from what is kept had been begun.
        let asking = scope.spawn(|| -> Result<Vec<f64>> {
            let mut visitor = Visitor::connect(http)?;
            let mut kept = Vec::new();
            while !over.load(Ordering::SeqCst) {
                let at = watch.millis();
                if visitor.ask(site, any(objects, &mut seed))? == Seen::Kept {
                    kept.push(at);
                }
            }
            Ok(kept)
        });
        thread::sleep(AROUND);
        let sent = watch.millis();
        let durable = purge(subject, site);
        let told = watch.millis();
        thread::sleep(AROUND);
        over.store(true, Ordering::SeqCst);
        let asked = asking.join();
        let asked = asked.map_err(|_| anyhow!("who asks has ended badly"))??;
        ensure!(durable?, "the purge is not durable");
        Ok((asked, sent, told))
    })?;
    ensure!(
        asked.iter().any(|at| *at < sent),
        "nothing of {site} was kept before its purge"
    );
    let last = asked.last().copied().unwrap_or_default();
    let mut old = asked.iter().filter(|at| **at > told).count() as u64;
    let mut visitor = Visitor::connect(http)?;
    for place in 0..SAMPLE {
        let number = place * objects / SAMPLE;
        old += u64::from(visitor.ask(site, number)? == Seen::Kept);
    }
    Ok(Purged {
        served: (last - sent).max(0.0),
        told: told - sent,
        old,
    })
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a place among a million"
)]
fn any(objects: u64, seed: &mut u64) -> u64 {
    ((asks::unit(seed) * objects as f64) as u64).min(objects - 1)
}
