//! How often the memory tier has what it is asked for, beside the field's policies and one that sees ahead.
//!
//! Requests of an access log, and of traces made from a seed, are replayed at several ceilings: through Mangrove's own tier
//! with what it really counts, and through plain forms of the others, to which every object weighs the same. A second table
//! asks which policy suits a log on disk behind the memory tier: there what counts is also how much is written.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use mangrove_cache::memory::{Memory, Updated};

use self::own_disk::OwnDisk;
use self::peers::{Arc, Clairvoyant, Fifo, GreedyDual, Lru, Policy, S3Fifo, Sieve, TinyLfu};
use self::trace::{Request, Trace, value_weight};
use crate::terminal::say;

mod own_disk;
mod peers;
mod plot;
mod queue;
mod table;
mod trace;

/// Ceilings, in thousandths of what all objects of a trace weigh together.
const SIZES: [u64; 7] = [1, 3, 10, 30, 100, 300, 500];
/// The memory tier before the disk tier, and the disk tiers, in thousandths.
const BEFORE_DISK: u64 = 10;
const DISK_SIZES: [u64; 3] = [100, 300, 500];
/// Of the tier's hashes: the same in every run, and no secret here.
const SEED: [u64; 2] = [0x72, 0x65];

/// How to look.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Access logs in the combined format, packed by gzip or not.
    #[arg(value_name = "LOG")]
    logs: Vec<PathBuf>,
    /// The folder that HIT-RATE.md and hit-rate.svg are written to. Unset, they are only shown.
    #[arg(long, value_name = "FOLDER")]
    write: Option<PathBuf>,
}

/// Who takes part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Contender {
    Mangrove,
    MangroveDisk,
    Lru,
    Fifo,
    Clock,
    Sieve,
    Arc,
    S3Fifo,
    TinyLfu,
    Gdsf,
    /// What Mangrove's queues stand for, told exactly, with and without a door for everyone.
    Root,
    RootDoor,
    Belady,
    BeladySize,
}

impl Contender {
    const ALL: [Self; 13] = [
        Self::Mangrove,
        Self::Lru,
        Self::Fifo,
        Self::Clock,
        Self::Sieve,
        Self::Arc,
        Self::S3Fifo,
        Self::TinyLfu,
        Self::Gdsf,
        Self::Root,
        Self::RootDoor,
        Self::Belady,
        Self::BeladySize,
    ];
    /// Those whose order a log can keep, one that cannot as a yardstick, and the one that sees ahead.
    const ON_DISK: [Self; 6] = [
        Self::MangroveDisk,
        Self::Fifo,
        Self::Clock,
        Self::S3Fifo,
        Self::Lru,
        Self::Belady,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Mangrove | Self::MangroveDisk => "Mangrove",
            Self::Lru => "LRU",
            Self::Fifo => "FIFO",
            Self::Clock => "CLOCK",
            Self::Sieve => "SIEVE",
            Self::Arc => "ARC",
            Self::S3Fifo => "S3-FIFO",
            Self::TinyLfu => "W-TinyLFU",
            Self::Gdsf => "GDSF",
            Self::Root => "greedy dual, root",
            Self::RootDoor => "greedy dual, root, door",
            Self::Belady => "Belady's MIN",
            Self::BeladySize => "MIN by size",
        }
    }

    /// Whether it sees ahead: a bound, not a policy.
    fn is_clairvoyant(self) -> bool {
        matches!(self, Self::Belady | Self::BeladySize)
    }

    fn with<'a>(self, ceiling: u64, trace: &'a Trace) -> Result<Box<dyn Policy + 'a>> {
        Ok(match self {
            Self::MangroveDisk => Box::new(OwnDisk::new(ceiling, trace)?),
            Self::Mangrove => Box::new(Own::new(ceiling, trace)),
            Self::Lru => Box::new(Lru::new(ceiling)),
            Self::Fifo => Box::new(Fifo::new(ceiling, false)),
            Self::Clock => Box::new(Fifo::new(ceiling, true)),
            Self::Sieve => Box::new(Sieve::new(ceiling)),
            Self::Arc => Box::new(Arc::new(ceiling)),
            Self::S3Fifo => Box::new(S3Fifo::new(ceiling)),
            Self::TinyLfu => Box::new(TinyLfu::new(ceiling)),
            Self::Gdsf => Box::new(GreedyDual::by_weight(ceiling)),
            Self::Root => Box::new(GreedyDual::by_root(ceiling, false)),
            Self::RootDoor => Box::new(GreedyDual::by_root(ceiling, true)),
            Self::Belady => Box::new(Clairvoyant::new(ceiling, false)),
            Self::BeladySize => Box::new(Clairvoyant::new(ceiling, true)),
        })
    }
}

/// Mangrove's own tier, exactly as an edge has it, tables and memories of the departed under the ceiling.
struct Own<'a> {
    memory: Memory<()>,
    trace: &'a Trace,
}

impl<'a> Own<'a> {
    fn new(ceiling: u64, trace: &'a Trace) -> Self {
        Self {
            memory: Memory::new(ceiling, SEED),
            trace,
        }
    }
}

impl Policy for Own<'_> {
    fn ask(&mut self, _now: u64, request: &Request) -> bool {
        let key = self.trace.key(request.object.name);
        let hash = self.memory.hash(key);
        if self.memory.lookup(hash, key).is_some() {
            return true;
        }
        let weight = value_weight(request.content);
        let _: Updated = self.memory.update(hash, key, |_| Some(((), weight)));
        false
    }
}

/// How often one contender had what it was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Score {
    requests: u64,
    hits: u64,
    /// Bytes of content asked for, and those of them that it had.
    asked: u64,
    hit: u64,
    /// Bytes that a log would have been given.
    written: Option<u64>,
}

impl Score {
    fn objects(&self) -> f64 {
        share(self.hits, self.requests)
    }

    fn bytes(&self) -> f64 {
        share(self.hit, self.asked)
    }
}

#[allow(clippy::cast_precision_loss, reason = "shown with three figures")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// A way of counting hits.
#[derive(Clone, Copy)]
struct Counted {
    /// What is counted.
    what: &'static str,
    /// The share of it that was there.
    of: fn(&Score) -> f64,
}

const COUNTED: [Counted; 2] = [
    Counted {
        what: "requests",
        of: Score::objects,
    },
    Counted {
        what: "bytes",
        of: Score::bytes,
    },
];

/// All scores of one trace.
struct Sheet {
    title: String,
    requests: u64,
    distinct: u64,
    /// Ceilings in thousandths of `distinct`.
    sizes: Vec<u64>,
    /// One score for each size.
    lines: Vec<(Contender, Vec<Score>)>,
    /// With everything kept for ever: what no policy can pass.
    all_kept: Score,
}

/// Replays everything and shows, or writes, what came of it.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let mut traces = Vec::new();
    for log in &options.logs {
        traces.push(trace::of_log(log)?);
    }
    traces.extend(trace::made()?);
    let mut sheets = Vec::new();
    for trace in &traces {
        sheets.push(sheet(trace, &SIZES, &Contender::ALL)?);
    }
    let mut disks = Vec::new();
    for trace in &traces {
        let ceiling = part_of(trace.distinct, BEFORE_DISK);
        let mut memory = Own::new(ceiling, trace);
        let behind = trace.behind(trace.title.clone(), |request| memory.ask(0, request));
        disks.push(sheet(&behind, &DISK_SIZES, &Contender::ON_DISK)?);
    }
    let text = table::markdown(&sheets, &disks);
    match &options.write {
        None => say(&text),
        Some(folder) => {
            write(folder, "HIT-RATE.md", &text)?;
            write(folder, "hit-rate.svg", &plot::svg(&sheets))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    let path = folder.join(name);
    std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    say(&format!("Written: {}", path.display()));
    Ok(())
}

fn sheet(trace: &Trace, sizes: &[u64], contenders: &[Contender]) -> Result<Sheet> {
    say(&format!("replaying {}", trace.title));
    let line = |contender: &Contender| {
        let scores = sizes.iter().map(|size| {
            let ceiling = part_of(trace.distinct, *size);
            Ok(replay(&mut *contender.with(ceiling, trace)?, trace))
        });
        Ok((*contender, scores.collect::<Result<_>>()?))
    };
    let lines = contenders.iter().map(line).collect::<Result<_>>()?;
    Ok(Sheet {
        title: trace.title.clone(),
        requests: u64::try_from(trace.requests.len()).unwrap_or(u64::MAX),
        distinct: trace.distinct,
        sizes: sizes.to_vec(),
        lines,
        all_kept: replay(&mut Lru::new(u64::MAX / 2), trace),
    })
}

fn part_of(whole: u64, thousandths: u64) -> u64 {
    whole.saturating_mul(thousandths) / 1000
}

fn replay(policy: &mut dyn Policy, trace: &Trace) -> Score {
    let mut score = Score::default();
    for (now, request) in (0..).zip(&trace.requests) {
        score.requests += 1;
        score.asked += request.content;
        if policy.ask(now, request) {
            score.hits += 1;
            score.hit += request.content;
        }
    }
    score.written = policy.written();
    score
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a policy may have can be no more than what one that keeps everything has, and nothing at all without room.
    #[test]
    fn nobody_passes_the_one_that_keeps_everything() {
        let log: String = (0..2_000_u32)
            .map(|step| {
                let page = step * step % 97;
                let bytes = 500 + page * 100;
                format!("h - - [t] \"GET /{page} HTTP/1.1\" 200 {bytes}\n")
            })
            .collect();
        let folder = tempfile_with(&log);
        let trace = trace::of_log(&folder).unwrap();
        std::fs::remove_file(&folder).unwrap();
        let sheet = sheet(&trace, &[0, 300, 4000], &Contender::ALL).unwrap();
        for (contender, scores) in &sheet.lines {
            let [none, some, all] = scores.as_slice() else {
                panic!("three sizes");
            };
            let name = contender.name();
            assert_eq!(none.hits, 0, "{name}");
            assert!(some.hits > 0 && some.hits <= sheet.all_kept.hits, "{name}");
            assert!(some.hits <= all.hits, "{name}");
            // Mangrove's tables are larger than all of this; a seer keeps nothing that is not asked for again.
            if *contender != Contender::Mangrove {
                assert_eq!(all.hits, sheet.all_kept.hits, "{name}");
            }
        }
    }

    fn tempfile_with(text: &str) -> PathBuf {
        let name = format!("mangrove-replay-test-{}.log", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}
