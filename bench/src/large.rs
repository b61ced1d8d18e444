//! An object far larger than memory, through a real edge: streamed to a visitor while it is stored, answered from the disk, and
//! a range near its end of one that nobody has yet.
//!
//! The content is made from a seed as it is sent, and made once more as it is checked: nobody holds it. The promises: every byte is
//! right; the edge's resident memory never grows by more than [`GROWTH_MOST`]; what is kept is answered without the origin; and
//! for a range the origin sends that neighbourhood and not the file from its start.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Pid;

use self::content::Content;
use self::origin::Origin;
use self::visitor::{Answer, Visitor};
use crate::clock::{self, Stopwatch};
use crate::cpu;
use crate::order::order;
use crate::subject::Subject;
use crate::terminal::say;

mod content;
mod origin;
mod visitor;

/// The site that has it.
pub(crate) const HOST: &str = "large.example";
/// `cache_memory` of the edge.
const MEMORY_MIB: u64 = 128;
/// What the edge's resident memory may grow by.
const GROWTH_MOST: u64 = 64 * MIB;
/// What the origin may send for a range that nobody has.
const SENT_MOST: u64 = 4 * MIB;
/// Bytes of the range, and how far from the end it begins.
const RANGE: u64 = MIB;
const FROM_END: u64 = 5 * MIB;
/// Beside the object, so much must be free on the disk: what the edge leaves to others, and more.
const SPARE: u64 = 3 * GIB;
/// How often the edge's memory is looked at, and how often is told how far it is.
const LOOK: Duration = Duration::from_millis(50);
const TELL_MILLIS: f64 = 2000.0;
/// How long an edge is left alone before what it has without anything kept is taken.
const SETTLE: Duration = Duration::from_secs(1);
/// How long it may take until what came is all on the disk.
const PATIENCE: Duration = Duration::from_secs(60);

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// How to look.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The mangrove program. Unset, it is built first.
    #[arg(long, value_name = "PATH")]
    pub(crate) mangrove: Option<PathBuf>,
    /// Size of the object, in GiB. That and 3 GiB more have to be free on the disk.
    #[arg(long, value_name = "GIB", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=256))]
    gib: u64,
    /// Where the content comes from.
    #[arg(long, default_value_t = 0x6c61_7267)]
    seed: u64,
}

/// Sends it through an edge in every way; a failure when a promise was broken.
pub(crate) fn run(options: &Options, program: &Path) -> Result<ExitCode> {
    let bytes = options.gib * GIB;
    let origin = Origin::start(Content::new(options.seed, bytes))?;
    let mut subject = Subject::prepare(program, "large")?;
    ensure_room(subject.folder(), bytes)?;
    let server = format!(
        "cache_memory = \"{MEMORY_MIB}MiB\"\ndisk_cache_bytes = \"{}GiB\"",
        options.gib * 3 / 2 + 1
    );
    let site = format!(
        "[[site]]\nname = \"large\"\nhosts = [\"{HOST}\"]\norigins = [\"http://{}\"]\n\
         [site.cache]\nmax_object_bytes = \"{}GiB\"\n",
        origin.address,
        options.gib + 1
    );
    subject.configure_with(&server, "", &site)?;
    subject.serve()?;
    thread::sleep(SETTLE);
    let stage = Stage {
        edge: subject.edge()?,
        socket: subject.edge_socket(),
        content: Content::new(options.seed, bytes),
        origin,
        subject: &subject,
    };
    let base = cpu::resident(&[stage.edge])?;
    let (near_end, to) = (bytes - FROM_END, bytes - FROM_END + RANGE);
    let mut steps = vec![stage.step("all of it, missed", "/kept", 0, bytes)?];
    stage.wait_until_stored()?;
    steps.push(stage.step("all of it, hit", "/kept", 0, bytes)?);
    steps.push(stage.step("1 MiB near its end, hit", "/kept", near_end, to)?);
    steps.push(stage.step("1 MiB near its end, missed", "/other", near_end, to)?);
    steps.push(stage.step("the same again, hit", "/other", near_end, to)?);
    say(&table(options, base, &steps));
    subject.stop()?;
    let broken = broken(base, &steps);
    for promise in &broken {
        say(&format!("BROKEN: {promise}"));
    }
    Ok(match broken.is_empty() {
        true => {
            say("Every byte was right, and every promise was kept.");
            ExitCode::SUCCESS
        }
        false => ExitCode::FAILURE,
    })
}

fn ensure_room(folder: &Path, bytes: u64) -> Result<()> {
    let disk = rustix::fs::statvfs(folder)?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    ensure!(
        free >= bytes + SPARE,
        "{} GiB are free below {}, and {} are needed: --gib asks for less",
        free / GIB,
        folder.display(),
        (bytes + SPARE).div_ceil(GIB)
    );
    Ok(())
}

struct Stage<'a> {
    subject: &'a Subject,
    edge: Pid,
    socket: PathBuf,
    content: Content,
    origin: Origin,
}

/// What was seen of one request.
struct Step {
    what: &'static str,
    bytes: u64,
    seconds: f64,
    /// Bytes of content that the origin has sent for it.
    sent: u64,
    /// Resident bytes before it, and the most while it went on.
    before: u64,
    peak: u64,
    status: u16,
    cache_status: String,
}

impl Stage<'_> {
    /// Asks for the bytes from one place to another, and checks each.
    fn step(&self, what: &'static str, path: &str, from: u64, to: u64) -> Result<Step> {
        say(&format!("{what}: {}", size(to - from)));
        let before = cpu::resident(&[self.edge])?;
        // What follows is the most of this step alone (proc_pid_clear_refs(5)).
        let _ = fs::write(
            format!("/proc/{}/clear_refs", self.edge.as_raw_nonzero()),
            "5",
        );
        let sent = self.origin.sent();
        let watch = Stopwatch::start();
        let (over, got, seen) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
        let is_whole = from == 0 && to == self.content.bytes();
        let answer = thread::scope(|scope| -> Result<Answer> {
            scope.spawn(|| self.look_on(what, to - from, &over, &got, &seen));
            let answered = Visitor::connect(self.subject.http).and_then(|mut visitor| {
                let range = (!is_whole).then_some((from, to));
                visitor.ask(path, range, &self.content, &got)
            });
            over.store(true, Ordering::SeqCst);
            answered
        });
        let answer = answer.with_context(|| what)?;
        let high = cpu::high_water(self.edge)?;
        Ok(Step {
            what,
            bytes: to - from,
            seconds: watch.millis() / 1000.0,
            sent: self.origin.sent() - sent,
            before,
            peak: high.max(seen.load(Ordering::SeqCst)),
            status: answer.status,
            cache_status: answer.cache_status,
        })
    }

    /// Looks at the edge's memory until it is over, and says how far it is.
    fn look_on(&self, what: &str, all: u64, over: &AtomicBool, got: &AtomicU64, most: &AtomicU64) {
        let mut told = Stopwatch::start();
        while !over.load(Ordering::SeqCst) {
            let resident = cpu::resident(&[self.edge]).unwrap_or(0);
            most.fetch_max(resident, Ordering::SeqCst);
            if told.millis() > TELL_MILLIS {
                told = Stopwatch::start();
                let got = got.load(Ordering::SeqCst);
                say(&format!(
                    "  {what}: {} of {}, the edge has {}",
                    size(got),
                    size(all),
                    size(resident)
                ));
            }
            thread::sleep(LOOK);
        }
    }

    fn wait_until_stored(&self) -> Result<()> {
        clock::poll(PATIENCE, || {
            let told = order(&self.socket, "GET /cache")?;
            let disk = told.get("disk").context("no disk tier")?;
            let number = |name| disk.get(name).and_then(serde_json::Value::as_u64);
            let is_there = number("complete") >= Some(1) && number("waiting_bytes") == Some(0);
            Ok(is_there.then_some(()))
        })
        .context("waiting for it to be on the disk")
    }
}

fn broken(base: u64, steps: &[Step]) -> Vec<String> {
    let mut broken = Vec::new();
    for step in steps {
        let grown = step.peak.saturating_sub(base);
        if grown > GROWTH_MOST {
            broken.push(format!(
                "{}: the edge grew by {}, and {} is allowed",
                step.what,
                size(grown),
                size(GROWTH_MOST)
            ));
        }
        let allowed = match step.what {
            what if what.contains("hit") => 0,
            _ if step.bytes > RANGE => step.bytes,
            _ => SENT_MOST,
        };
        if step.sent > allowed {
            broken.push(format!(
                "{}: the origin sent {}, and {} is allowed",
                step.what,
                size(step.sent),
                size(allowed)
            ));
        }
    }
    broken
}

fn table(options: &Options, base: u64, steps: &[Step]) -> String {
    let mut text = format!(
        "\n{} GiB, cache_memory {MEMORY_MIB} MiB; an edge that has kept nothing has {}.\n\n\
         | asked for | status | seconds | MiB/s | the origin sent | resident before | at most | grown by | Cache-Status |\n\
         |---|---|---:|---:|---:|---:|---:|---:|---|\n",
        options.gib,
        size(base)
    );
    for step in steps {
        let _ = writeln!(
            text,
            "| {} | {} | {:.2} | {:.0} | {} | {} | {} | {} | `{}` |",
            step.what,
            step.status,
            step.seconds,
            mebibytes(step.bytes) / step.seconds.max(0.000_001),
            size(step.sent),
            size(step.before),
            size(step.peak),
            size(step.peak.saturating_sub(base)),
            step.cache_status
        );
    }
    text
}

/// For people.
fn size(bytes: u64) -> String {
    match bytes {
        0 => "nothing".to_owned(),
        GIB.. => format!("{:.2} GiB", mebibytes(bytes) / 1024.0),
        _ => format!("{:.1} MiB", mebibytes(bytes)),
    }
}

#[allow(clippy::cast_precision_loss, reason = "sizes here are far below 2^52")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / MIB as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(what: &'static str, bytes: u64, sent: u64, peak: u64) -> Step {
        Step {
            what,
            bytes,
            seconds: 1.0,
            sent,
            before: 0,
            peak,
            status: 200,
            cache_status: String::new(),
        }
    }

    #[test]
    fn memory_may_grow_to_its_limit_and_by_no_byte_more() {
        let grown = |by| broken(10, &[step("all of it, missed", GIB, GIB, 10 + by)]).len();
        assert_eq!((grown(GROWTH_MOST), grown(GROWTH_MOST + 1)), (0, 1));
    }

    #[test]
    fn a_hit_asks_the_origin_for_nothing_and_a_range_for_its_neighbourhood() {
        let sent = |what, bytes, sent| broken(0, &[step(what, bytes, sent, 0)]).len();
        assert_eq!(sent("all of it, hit", GIB, 1), 1);
        assert_eq!(sent("the same again, hit", RANGE, 1), 1);
        assert_eq!(sent("1 MiB near its end, missed", RANGE, SENT_MOST), 0);
        assert_eq!(sent("1 MiB near its end, missed", RANGE, SENT_MOST + 1), 1);
        assert_eq!(sent("all of it, missed", GIB, GIB), 0);
        assert_eq!(sent("all of it, missed", GIB, GIB + 1), 1);
    }
}
