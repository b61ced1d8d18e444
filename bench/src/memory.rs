//! What an edge has of the system's memory while its cache is turned over many times with content of all sizes: whether
//! `cache_memory` is a promise about the machine, or only about the edge's own books.
//!
//! Each phase brings more than the cache may hold, so that nearly every answer drives others out, in sizes that leave other
//! gaps than the phase before. Visitors check every byte. The edge's resident memory is read from its page tables, and may
//! at no time be more than a tenth over the ceiling and what an edge takes that has kept nothing.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Pid;
use tokio::runtime::LocalRuntime;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::subject::Subject;
use crate::terminal::say;
use crate::visit::{Ask, Expect, Visitor, Way, Wire};
use crate::{asks, cpu, origin};

mod plot;

/// The site whose content is kept.
const HOST: &str = "memory.example";
/// Visitors who ask at once.
const VISITORS: usize = 32;
/// One question in so many is for something that was asked for lately.
const AGAIN: f64 = 4.0;
/// So many are remembered for that.
const LATELY: usize = 1024;
/// How often the edge's memory is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How often is told how far it is.
const TELL: Duration = Duration::from_secs(2);
/// How long one visitor waits for an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long an edge is left alone before what it has without anything kept is taken.
const SETTLE: Duration = Duration::from_secs(1);
/// The resident memory that is allowed, in hundredths of the ceiling and the empty edge.
const ALLOWED_PERCENT: u64 = 110;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// How to look.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The mangrove program. Unset, it is built first.
    #[arg(long, value_name = "PATH")]
    pub(crate) mangrove: Option<PathBuf>,
    /// `cache_memory`, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u64).range(16..=4096))]
    ceiling: u64,
    /// How often each phase fills the cache.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    turns: u64,
    /// Where sizes come from: the same in every run.
    #[arg(long, default_value_t = 0x6d61_6e67)]
    seed: u64,
    /// Half of the default ceiling, two turns, and a shorter rest; the plot is kept apart.
    #[arg(long, conflicts_with_all = ["ceiling", "turns"])]
    short: bool,
}

impl Options {
    fn ceiling(&self) -> u64 {
        MIB * if self.short { 128 } else { self.ceiling }
    }

    fn turns(&self) -> u64 {
        if self.short { 2 } else { self.turns }
    }

    fn rest(&self) -> Duration {
        Duration::from_secs(if self.short { 3 } else { 15 })
    }
}

/// What is asked for at one time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Small,
    Mixed,
    Large,
    SmallAfterLarge,
    Idle,
}

impl Phase {
    const ALL: [Self; 5] = [
        Self::Small,
        Self::Mixed,
        Self::Large,
        Self::SmallAfterLarge,
        Self::Idle,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Mixed => "mixed",
            Self::Large => "large",
            Self::SmallAfterLarge => "small after large",
            Self::Idle => "idle",
        }
    }

    /// The smallest and the largest content. Between them, sizes of every order are equally frequent.
    fn sizes(self) -> Option<(u64, u64)> {
        match self {
            Self::Small | Self::SmallAfterLarge => Some((KIB, 16 * KIB)),
            Self::Mixed => Some((KIB, 4 * MIB)),
            Self::Large => Some((256 * KIB, 4 * MIB)),
            Self::Idle => None,
        }
    }
}

/// Turns the cache over and says what the edge had; a failure when that was ever more than is allowed.
pub(crate) fn run(options: &Options, program: &Path) -> Result<ExitCode> {
    let origin = origin::start()?;
    let mut subject = Subject::prepare(program, "memory")?;
    let ceiling = options.ceiling();
    subject.configure_with(
        &format!("cache_memory = \"{}MiB\"", ceiling / MIB),
        "",
        &format!(
            "[[site]]\nname = \"memory\"\nhosts = [\"{HOST}\"]\norigins = [\"http://{}\"]\n",
            origin.address
        ),
    )?;
    subject.serve()?;
    let runtime = LocalRuntime::new()?;
    let course = runtime.block_on(watch(options, &subject))?;
    drop(runtime);
    subject.stop()?;
    say(&course.table());
    let path = plot_path(options.short)?;
    fs::write(&path, plot::svg(&course)).with_context(|| format!("writing {}", path.display()))?;
    say(&format!("The plot is in {}.", path.display()));
    Ok(if course.peak() > course.allowed() {
        say(&format!(
            "BROKEN: the edge had {}, and {} is allowed.",
            mib(course.peak()),
            mib(course.allowed())
        ));
        ExitCode::FAILURE
    } else {
        say("The promise was kept.");
        ExitCode::SUCCESS
    })
}

fn plot_path(apart: bool) -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = match apart {
        true => folder.join("work"),
        false => folder.to_owned(),
    };
    fs::create_dir_all(&folder)?;
    Ok(folder.join("memory.svg"))
}

async fn watch(options: &Options, subject: &Subject) -> Result<Course> {
    let edge = subject.edge()?;
    sleep(SETTLE).await;
    let mut course = Course {
        ceiling: options.ceiling(),
        empty: resident(edge)?,
        high_water: 0,
        rows: Vec::new(),
    };
    let way = Way::to(subject)?;
    let churn = Rc::new(Churn::new(options.seed));
    let began = Instant::now();
    for phase in Phase::ALL {
        let from = began.elapsed();
        churn.brought.set(0);
        let wanted = options.turns() * course.ceiling;
        let mut visitors = JoinSet::new();
        if let Some(sizes) = phase.sizes() {
            for _ in 0..VISITORS {
                let (way, churn) = (way.clone(), Rc::clone(&churn));
                visitors.spawn_local(async move { churn.visit(&way, sizes, wanted).await });
            }
        }
        let mut row = Row::new(phase);
        let mut told = Instant::now();
        loop {
            let resident = resident(edge)?;
            row.samples.push((began.elapsed(), resident));
            if told.elapsed() >= TELL {
                told = Instant::now();
                say(&format!(
                    "{}: {} brought, {} resident",
                    phase.name(),
                    mib(churn.brought.get()),
                    mib(resident)
                ));
            }
            while let Some(done) = visitors.try_join_next() {
                done??;
            }
            let rests = phase == Phase::Idle && began.elapsed() - from < options.rest();
            if visitors.is_empty() && !rests {
                break;
            }
            sleep(LOOK).await;
        }
        row.brought = churn.brought.get();
        row.counted = subject.metric("mangrove_cache_held_bytes").await?
            + subject.metric("mangrove_cache_fill_bytes").await?;
        row.index = subject.metric("mangrove_store_index_bytes").await?;
        row.evictions = subject.metric("mangrove_cache_evictions").await?;
        say(&course.summary(&row));
        course.rows.push(row);
    }
    course.high_water = cpu::high_water(edge)?;
    Ok(course)
}

/// As the page tables say.
fn resident(edge: Pid) -> Result<u64> {
    let bytes = cpu::resident(&[edge])?;
    if bytes == 0 {
        bail!("the edge is gone");
    }
    Ok(bytes)
}

/// The questions of all visitors, one sequence.
struct Churn {
    random: Cell<u64>,
    next: Cell<u64>,
    /// Bytes of what was asked for the first time.
    brought: Cell<u64>,
    /// Numbers and sizes of what was asked for lately.
    lately: RefCell<Vec<(u64, u64)>>,
}

impl Churn {
    fn new(seed: u64) -> Self {
        Self {
            random: Cell::new(seed),
            next: Cell::new(0),
            brought: Cell::new(0),
            lately: RefCell::default(),
        }
    }

    /// One visitor, until all of them together have asked for so many bytes.
    async fn visit(&self, way: &Way, sizes: (u64, u64), wanted: u64) -> Result<()> {
        let said = |failure: crate::visit::Failure| {
            anyhow::anyhow!("{:?}: {}", failure.trouble, failure.words)
        };
        let mut visitor = Visitor::arrive(way, Wire::H1, PATIENCE)
            .await
            .map_err(said)?;
        while self.brought.get() < wanted {
            let (object, bytes) = self.choose(sizes);
            let fill = asks::fill(usize::try_from(object)?);
            let ask = Ask {
                host: HOST.to_owned(),
                path: format!("/kept/{bytes}/{object}"),
                upload: None,
                expect: Expect::Run(bytes, fill),
                mark: None,
                within: PATIENCE,
            };
            visitor.ask(&ask).await.map_err(said)?;
        }
        Ok(())
    }

    /// Number and size of what is asked for next.
    fn choose(&self, sizes: (u64, u64)) -> (u64, u64) {
        let mut lately = self.lately.borrow_mut();
        if self.unit() * AGAIN < 1.0
            && let Some(known) = lately.get(below(lately.len(), self.unit()))
        {
            return *known;
        }
        let bytes = between(sizes, self.unit());
        let object = self.next.get();
        self.next.set(object + 1);
        self.brought.set(self.brought.get() + bytes);
        if lately.len() < LATELY {
            lately.push((object, bytes));
        } else {
            let place = below(LATELY, self.unit());
            if let Some(place) = lately.get_mut(place) {
                *place = (object, bytes);
            }
        }
        (object, bytes)
    }

    fn unit(&self) -> f64 {
        let mut state = self.random.get();
        let unit = asks::unit(&mut state);
        self.random.set(state);
        unit
    }
}

/// A size between two, each doubling as likely as any other.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sizes of content are far below 2^52"
)]
fn between((least, most): (u64, u64), unit: f64) -> u64 {
    let (least, most) = (least as f64, most as f64);
    (least * (most / least).powf(unit)) as u64
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place in a short list"
)]
fn below(count: usize, unit: f64) -> usize {
    (unit * count as f64) as usize
}

/// What was seen from the first phase to the last.
struct Course {
    ceiling: u64,
    /// Resident bytes of an edge that has kept nothing.
    empty: u64,
    /// The most resident bytes at any moment, as the kernel noted them.
    high_water: u64,
    rows: Vec<Row>,
}

/// What was seen in one phase.
struct Row {
    phase: Phase,
    /// Resident bytes by the time since the beginning.
    samples: Vec<(Duration, u64)>,
    brought: u64,
    /// Bytes that the edge's own books hold at the end.
    counted: u64,
    /// Bytes at the end that finding what is on disk takes; it has no part in the ceiling, and is told beside it.
    index: u64,
    evictions: u64,
}

impl Row {
    fn new(phase: Phase) -> Self {
        Self {
            phase,
            samples: Vec::new(),
            brought: 0,
            counted: 0,
            index: 0,
            evictions: 0,
        }
    }

    fn peak(&self) -> u64 {
        let all = self.samples.iter().map(|(_, resident)| *resident);
        all.max().unwrap_or(0)
    }

    fn last(&self) -> u64 {
        self.samples.last().map_or(0, |(_, resident)| *resident)
    }
}

impl Course {
    /// What ceiling, empty edge, and the index of what is on disk are together.
    fn due(&self, index: u64) -> u64 {
        self.ceiling + self.empty + index
    }

    /// The index when it was largest.
    fn index(&self) -> u64 {
        self.rows.iter().map(|row| row.index).max().unwrap_or(0)
    }

    fn allowed(&self) -> u64 {
        self.due(self.index()) * ALLOWED_PERCENT / 100
    }

    fn peak(&self) -> u64 {
        let seen = self.rows.iter().map(Row::peak).max().unwrap_or(0);
        seen.max(self.high_water)
    }

    fn summary(&self, row: &Row) -> String {
        format!(
            "{}: {} brought, {} counted, {} resident at the end and {} at most ({})",
            row.phase.name(),
            mib(row.brought),
            mib(row.counted),
            mib(row.last()),
            mib(row.peak()),
            self.percent(row.peak(), row.index)
        )
    }

    fn percent(&self, resident: u64, index: u64) -> String {
        format!("{}%", resident * 100 / self.due(index).max(1))
    }

    fn table(&self) -> String {
        let mut text = format!(
            "\ncache_memory {}, an empty edge {}, the index of the disk {} at most: {} is allowed.\n\n\
             | phase | seconds | brought | evictions | counted | index | resident at the end | at most | of ceiling, empty edge and index |\n\
             |---|---:|---:|---:|---:|---:|---:|---:|---:|\n",
            mib(self.ceiling),
            mib(self.empty),
            mib(self.index()),
            mib(self.allowed())
        );
        let mut evictions = 0;
        for row in &self.rows {
            let first = row.samples.first().map_or(Duration::ZERO, |(at, _)| *at);
            let last = row.samples.last().map_or(Duration::ZERO, |(at, _)| *at);
            let _ = writeln!(
                text,
                "| {} | {:.0} | {} | {} | {} | {} | {} | {} | {} |",
                row.phase.name(),
                (last - first).as_secs_f64(),
                mib(row.brought),
                row.evictions - evictions,
                mib(row.counted),
                mib(row.index),
                mib(row.last()),
                mib(row.peak()),
                self.percent(row.peak(), row.index)
            );
            evictions = row.evictions;
        }
        let _ = writeln!(
            text,
            "\nAt any moment at most: {} ({}).",
            mib(self.peak()),
            self.percent(self.peak(), self.index())
        );
        text
    }
}

fn mib(bytes: u64) -> String {
    let tenths = bytes * 10 / MIB;
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(resident: u64) -> Course {
        let mut row = Row::new(Phase::Mixed);
        row.samples = vec![(Duration::ZERO, 1), (Duration::from_secs(1), resident)];
        Course {
            ceiling: 90 * MIB,
            empty: 10 * MIB,
            high_water: 0,
            rows: vec![row, Row::new(Phase::Idle)],
        }
    }

    #[test]
    fn a_tenth_over_ceiling_and_empty_edge_is_allowed_and_no_byte_more() {
        assert!(course(110 * MIB).peak() <= course(0).allowed());
        assert!(course(110 * MIB + 1).peak() > course(0).allowed());
    }

    #[test]
    fn every_order_of_size_is_as_frequent_and_the_sequence_is_the_same_again() {
        let asked = || {
            let churn = Churn::new(7);
            let all: Vec<_> = (0..4000).map(|_| churn.choose((KIB, 4 * MIB))).collect();
            all
        };
        let all = asked();
        assert_eq!(all, asked());
        assert!(all.iter().all(|(_, bytes)| (KIB..=4 * MIB).contains(bytes)));
        let small = all.iter().filter(|(_, bytes)| *bytes < 64 * KIB).count();
        assert!((1800..2200).contains(&small), "{small} of 4,000"); // half of the doublings
    }

    #[test]
    fn one_question_in_four_is_for_something_asked_for_lately() {
        let churn = Churn::new(7);
        let all: Vec<_> = (0..4000).map(|_| churn.choose((KIB, MIB)).0).collect();
        let new = usize::try_from(churn.next.get()).unwrap();
        assert!((2900..3100).contains(&new), "{new} of {}", all.len());
    }
}
