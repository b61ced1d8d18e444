//! Hits on two cores beside one: what the second core brings, what a hit then costs, and how often a core asks what it
//! shares with the other.
//!
//! Generator and Mangrove are on one machine, so neither can have a core to itself in both cases. Each core therefore has
//! the same to do in both: it carries a generator's thread and an edge's. One core does so alone, or two side by side; two
//! that shared nothing would answer twice as much.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::asks::{Asks, Questions};
use crate::cpu::Usage;
use crate::load::{Generator, Target, Wire};
use crate::machine::Machine;
use crate::origin::{self, Origin};
use crate::subject::Subject;
use crate::{clock, process, report, stats};

/// Bytes of a body.
const BODY: usize = 1024;
/// Connections of each generator: enough that the kernel's dealing of them to two cores is even to a few in a hundred.
const CONNECTIONS: usize = 256;
/// Rounds, and requests of each generator in each of them.
const ROUNDS: usize = 7;
const REQUESTS: usize = 50_000;
/// The same for a first look.
const QUICK_ROUNDS: usize = 3;
const QUICK_REQUESTS: usize = 5_000;
/// The share of a round's requests that goes first, unmeasured.
const WARM_UP_SHARE: usize = 5;
/// How long the edge may take to tell all its looks: it does so at each turn of its clock, many times a second.
const TOLD_WITHIN: Duration = Duration::from_secs(5);
/// So often in a row, some milliseconds apart, it has told the same once it has told everything.
const SAME_LOOKS: u32 = 40;
const FIRST_ANSWER: Duration = Duration::from_secs(2);

/// How to measure.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The mangrove program. Unset, it is built first.
    #[arg(long, value_name = "PATH")]
    pub(crate) mangrove: Option<PathBuf>,
    /// Three short rounds, not kept: for a first look, not for a claim.
    #[arg(long)]
    pub(crate) quick: bool,
    /// The two cores, separated by a comma.
    #[arg(long, value_delimiter = ',', num_args = 1, default_values_t = [0, 1])]
    cores: Vec<usize>,
}

/// Hits on one core and on two.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Cores {
    date: String,
    machine: Machine,
    /// Requests of each generator in each round.
    requests: usize,
    cases: Vec<Case>,
}

/// One kind of hits on so many cores.
#[derive(Clone, Serialize, Deserialize)]
struct Case {
    what: String,
    cores: usize,
    /// Of each round.
    rounds: Vec<Round>,
}

/// What was seen in one round.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Round {
    /// Answers in a second, all generators together.
    rate: f64,
    /// Nanoseconds of Mangrove's CPU for each of them.
    cpu: f64,
    /// Looks that went on to what all cores share, each under a lock, for each of them.
    shared: f64,
}

/// Measures both, in turns.
pub(crate) fn measure(options: &Options, program: &Path, machine: Machine) -> Result<Cores> {
    let [first, second] = options.cores[..] else {
        return Err(anyhow!("two cores are compared with one: --cores 0,1"));
    };
    ensure!(first != second, "--cores names the same core twice");
    let (rounds, requests) = match options.quick {
        true => (QUICK_ROUNDS, QUICK_REQUESTS),
        false => (ROUNDS, REQUESTS),
    };
    let origin = origin::start()?;
    let mut sites = Vec::new();
    for cores in [vec![first], vec![first, second]] {
        sites.push(Site::start(program, &origin, cores, requests)?);
    }
    let mut cases = Vec::new();
    let kinds = [
        ("one object of 1 KiB", Asks::Same),
        ("10,000 objects of 1 KiB by Zipf's law", Asks::Zipf),
    ];
    for (what, asks) in kinds {
        let mut both: Vec<Vec<Round>> = vec![Vec::new(), Vec::new()];
        for site in &sites {
            site.fill(&Questions::kept(asks, BODY))?;
        }
        for round in 0..rounds {
            for (site, seen) in sites.iter().zip(&mut both) {
                let asked = origin.asked();
                seen.push(site.round(&Questions::kept(asks, BODY), round)?);
                ensure!(
                    origin.asked() == asked,
                    "void: the origin was asked {} times for what should have been had",
                    origin.asked() - asked
                );
            }
        }
        for (site, rounds) in sites.iter().zip(both) {
            let (what, cores) = (what.to_owned(), site.cores.len());
            cases.push(Case {
                what,
                cores,
                rounds,
            });
        }
    }
    for mut site in sites {
        site.subject.stop()?;
    }
    Ok(Cores {
        date: clock::date(),
        machine,
        requests,
        cases,
    })
}

/// A Mangrove on its cores.
struct Site {
    subject: Subject,
    cores: Vec<usize>,
    requests: usize,
    /// For questions to the operator's door.
    runtime: tokio::runtime::Runtime,
}

impl Site {
    fn start(program: &Path, origin: &Origin, cores: Vec<usize>, requests: usize) -> Result<Self> {
        let mut subject = Subject::prepare(program, &format!("cores-{}", cores.len()))?;
        let site = format!(
            "[[site]]\nname = \"bench\"\nhosts = [\"{}\"]\norigins = [\"http://{}\"]\n",
            crate::tls::HOST,
            origin.address
        );
        subject.configure("", &site)?;
        // An edge has one thread for each CPU that it may run on.
        process::keep_to(&cores)?;
        subject.serve()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(Self {
            subject,
            cores,
            requests,
            runtime,
        })
    }

    fn target(&self, questions: Questions) -> Target<'_> {
        Target {
            address: self.subject.http,
            wire: Wire::H1,
            identity: &self.subject.identity,
            questions,
        }
    }

    fn fill(&self, questions: &Questions) -> Result<()> {
        let generator = Generator::new()?;
        let target = self.target(questions.clone());
        generator.probe_anew(&target, FIRST_ANSWER)?;
        generator.ask_for_all(&target)
    }

    fn round(&self, questions: &Questions, round: usize) -> Result<Round> {
        let ready = Barrier::new(self.cores.len() + 1);
        let go = Barrier::new(self.cores.len() + 1);
        let roots = self.roots()?;
        let all = self.requests * self.cores.len();
        thread::scope(|scope| {
            let mut generators = Vec::new();
            for (place, core) in self.cores.iter().enumerate() {
                let start = 2 * self.requests * (round * self.cores.len() + place);
                let target = self.target(questions.clone().at_place(start));
                let (ready, go) = (&ready, &go);
                generators.push(scope.spawn(move || {
                    let prepared = prepare(*core, &target, self.requests);
                    ready.wait();
                    go.wait();
                    let (generator, mut fleet) = prepared?;
                    generator.run(&mut fleet, self.requests)?;
                    anyhow::Ok((Instant::now(), generator, fleet))
                }));
            }
            ready.wait();
            let before = self
                .looks()
                .and_then(|looks| Ok((Usage::of(&roots)?, looks)));
            let began = Instant::now();
            go.wait();
            let mut ended = began;
            let mut kept = Vec::new(); // connections end after the account is closed
            for generator in generators {
                let done = generator.join();
                let (end, generator, fleet) =
                    done.map_err(|_| anyhow!("a generator panicked"))??;
                ended = ended.max(end);
                kept.push((generator, fleet));
            }
            let (before, looks) = before?;
            let used = Usage::of(&roots)?.since(&before)?;
            let after = self.looks()?;
            let shared = after.shared - looks.shared;
            ensure!(
                after.own + after.shared - looks.own - looks.shared >= u64::try_from(all)?,
                "the edge has not counted every look into its cache"
            );
            Ok(Round {
                rate: number(all) / (ended - began).as_secs_f64(),
                cpu: number(usize::try_from(used)?) / number(all),
                shared: number(usize::try_from(shared)?) / number(all),
            })
        })
    }

    fn roots(&self) -> Result<Vec<Pid>> {
        let mut roots = self.subject.edges()?;
        roots.push(self.subject.supervisor()?);
        Ok(roots)
    }

    /// What the edge's cores have looked for, once it tells nothing new any more.
    fn looks(&self) -> Result<Looks> {
        let (mut last, mut same) = (Looks::default(), 0);
        clock::poll(TOLD_WITHIN, || {
            let metric = |name| self.runtime.block_on(self.subject.metric(name));
            let looks = Looks {
                own: metric("mangrove_cache_front_hits")?,
                shared: metric("mangrove_cache_front_misses")?,
            };
            same = if looks == last { same + 1 } else { 0 };
            last = looks;
            Ok((same >= SAME_LOOKS).then_some(looks))
        })
        .context("the edge's count of looks into its cache does not come to rest")
    }
}

/// Looks into the cache: answered by a core's own front, or by what all cores share.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Looks {
    own: u64,
    shared: u64,
}

fn prepare(
    core: usize,
    target: &Target<'_>,
    requests: usize,
) -> Result<(Generator, crate::load::Fleet)> {
    process::pin(core)?;
    let generator = Generator::new()?;
    let mut fleet = generator.open(target, CONNECTIONS)?;
    generator.run(&mut fleet, requests / WARM_UP_SHARE)?;
    Ok((generator, fleet))
}

impl Cores {
    /// Its part of `RESULTS.md`.
    pub(crate) fn section(&self) -> String {
        let mut lines = vec![
            [
                "hits",
                "cores",
                "answers/s",
                "× one core",
                "CPU µs/request",
                "× one core",
                "shared looks/request",
            ]
            .map(str::to_owned)
            .to_vec(),
        ];
        for case in &self.cases {
            let one = self
                .cases
                .iter()
                .find(|other| other.what == case.what && other.cores == 1);
            let median = |of: fn(&Round) -> f64| {
                let values: Vec<_> = case.rounds.iter().map(of).collect();
                stats::median(&values).unwrap_or_default()
            };
            let times = |of: fn(&Round) -> f64| {
                let values = |case: &Case| -> Vec<f64> { case.rounds.iter().map(of).collect() };
                let ratios = one.map(|one| stats::ratios(&values(case), &values(one)));
                let ratio = ratios.and_then(|ratios| stats::median(&ratios));
                ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"))
            };
            lines.push(vec![
                case.what.clone(),
                case.cores.to_string(),
                format!("{:.0}", median(|round| round.rate)),
                times(|round| round.rate),
                format!("{:.2}", median(|round| round.cpu / 1000.0)),
                times(|round| round.cpu),
                format!("{:.6}", median(|round| round.shared)),
            ]);
        }
        let mut text = String::from("\n## Two cores\n\n");
        text.push_str(&report::table(1, &lines));
        let _ = writeln!(
            text,
            "\nWritten by `mangrove-bench cores`, {}; {} requests of each generator in each of {} rounds; Mangrove at {}, log \
             on. Generator and server share this machine, so each core carries a thread of each, alone or beside the other \
             core: two that shared nothing would answer 2.00 times as much. The kernel deals {CONNECTIONS} connections of each \
             generator to the cores by their addresses, evenly to a few in a hundred. A *shared look* is one that a core's \
             own front could not answer: it takes the lock of one shard.",
            self.date,
            self.requests,
            self.cases.first().map_or(0, |case| case.rounds.len()),
            self.machine.commit,
        );
        text
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
fn number(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_cores_are_told_as_multiples_of_one() {
        let case = |cores, rate, cpu| Case {
            what: "hits".to_owned(),
            cores,
            rounds: vec![
                Round {
                    rate,
                    cpu,
                    shared: 0.0
                };
                3
            ],
        };
        let cores = Cores {
            date: String::new(),
            machine: Machine::default(),
            requests: 10,
            cases: vec![case(1, 1000.0, 5000.0), case(2, 1900.0, 5500.0)],
        };
        let section = cores.section();
        let line = section.lines().find(|line| line.contains("1900")).unwrap();
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        assert_eq!(
            cells[2..=7],
            ["2", "1900", "1.90", "5.50", "1.10", "0.000000"]
        );
    }
}
