//! A site of very many small objects, killed and started again: when it answers, how the disk is looked through meanwhile, when
//! as much is answered from what is kept as before, and what finding it takes of memory. Then the whole site is purged, beside
//! one of a thousand objects.
//!
//! ```text
//! fill ── origin stops ── a sample is asked for ── SIGKILL ── serve ── asked for all the while ── the same sample ── purge
//! ```
//!
//! The origin stays stopped after the fill: whatever is answered was kept. Objects are asked for by Zipf's law, the popular ones lying
//! anywhere. Every answer's content is checked.

use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rustix::process::{Signal, kill_process};
use serde_json::Value;

use self::visitor::{Seen, Visitor};
use crate::clock::{self, Stopwatch};
use crate::order::{order, told};
use crate::subject::{Subject, is_gone};
use crate::terminal::say;
use crate::{asks, cold, cpu, stats};

mod plot;
mod purged;
mod visitor;

/// The site that is restarted, and the one beside it that a purge is compared with.
const MANY: &str = "many";
const FEW: &str = "few";
/// Objects of the small one.
const FEW_OBJECTS: u64 = 1_000;
/// Connections that fill, and requests that each has under way.
const FILLERS: u64 = 3;
const UNDER_WAY: u64 = 32;
/// How steeply popularity falls.
const EXPONENT: f64 = 0.9;
/// A prime above the number of objects, so that popular ones lie anywhere.
const STEP: u64 = 1_000_003;
/// How many are asked for before and after.
const SAMPLE: usize = 20_000;
/// What a visitor does between two questions while the disk is looked through: nothing, for so long.
const PAUSE: Duration = Duration::from_micros(300);
/// How often is looked how far it is, and for how long answers are taken together.
const LOOK: Duration = Duration::from_millis(100);
const WINDOW_MILLIS: f64 = 250.0;
/// How often is told how far it is.
const TELL_MILLIS: f64 = 2000.0;
/// As good as before: so much of the share of hits that there was.
const BACK: f64 = 0.99;
/// Of everything, so much has to be on the disk when it is killed.
const KEPT: f64 = 0.95;
/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long an edge is left alone before what it has without anything kept is taken.
const SETTLE: Duration = Duration::from_secs(1);

/// How to look.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The mangrove program. Unset, it is built first.
    #[arg(long, value_name = "PATH")]
    pub(crate) mangrove: Option<PathBuf>,
    /// Objects of the site. A million take some 2 GiB of the disk.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..=1_000_000))]
    objects: u64,
    /// Let the kernel forget the disk's files before the start, as after a power loss.
    #[arg(long)]
    cold: bool,
    /// 20,000 objects; the chart is kept apart.
    #[arg(long, conflicts_with = "objects")]
    short: bool,
}

impl Options {
    fn objects(&self) -> u64 {
        if self.short { 20_000 } else { self.objects }
    }
}

/// Fills, kills, starts, asks and purges; a failure when something was lost, wrong or old.
pub(crate) fn run(options: &Options, program: &Path) -> Result<ExitCode> {
    let origin = visitor::origin()?;
    let mut subject = Subject::prepare(program, "restart")?;
    let sites = [MANY, FEW].map(|name| {
        format!(
            "[[site]]\nname = \"{name}\"\nhosts = [\"{}\"]\norigins = [\"http://{}\"]\n",
            host(name),
            origin.address
        )
    });
    subject.configure("", &sites.concat())?;
    subject.serve()?;
    thread::sleep(SETTLE);
    let objects = options.objects();
    let empty = cpu::resident(&[subject.edge()?])?;
    let watch = Stopwatch::start();
    fill(&subject, MANY, objects)?;
    fill(&subject, FEW, FEW_OBJECTS)?;
    let filled = Told::ask(&subject)?;
    say(&format!(
        "filled in {:.0} s: {} of {} answers are on the disk",
        watch.millis() / 1000.0,
        filled.complete,
        objects + FEW_OBJECTS
    ));
    origin.be(false);
    let before = share(&subject, objects)?;
    let full = cpu::resident(&[subject.edge()?])?;
    say(&format!(
        "before: {:.2} % of a sample are hits",
        before * 100.0
    ));
    let mut course = restart(&mut subject, options, objects)?;
    let after = share(&subject, objects)?;
    course.before = before;
    say(&course.table(&Ends {
        objects,
        filled: filled.complete,
        after,
        empty,
        full,
    }));
    let path = plot_path(options)?;
    fs::write(&path, plot::svg(&course, objects))
        .with_context(|| format!("writing {}", path.display()))?;
    say(&format!("The chart is in {}.", path.display()));
    let old = purged::compare(&subject, &origin, objects)?;
    subject.stop()?;
    let mut broken = Vec::new();
    if number(filled.complete) < KEPT * number(objects + FEW_OBJECTS) {
        broken.push(format!("only {} were on the disk", filled.complete));
    }
    if after < before * BACK {
        broken.push(format!(
            "{:.2} % of the sample are hits, and {:.2} % were before",
            after * 100.0,
            before * 100.0
        ));
    }
    if old > 0 {
        broken.push(format!("{old} answers were from before their purge"));
    }
    for promise in &broken {
        say(&format!("BROKEN: {promise}"));
    }
    Ok(match broken.is_empty() {
        true => {
            say("Nothing was lost, wrong or old.");
            ExitCode::SUCCESS
        }
        false => ExitCode::FAILURE,
    })
}

fn host(site: &str) -> String {
    format!("{site}.example")
}

fn plot_path(options: &Options) -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = match options.short || options.cold {
        true => folder.join("work"),
        false => folder.to_owned(),
    };
    fs::create_dir_all(&folder)?;
    Ok(folder.join("restart.svg"))
}

/// Asks for every object of a site once, and waits until the disk has taken what it takes.
fn fill(subject: &Subject, site: &'static str, objects: u64) -> Result<()> {
    let done = AtomicU64::new(0);
    let http = subject.http;
    thread::scope(|scope| -> Result<()> {
        let fillers: Vec<_> = (0..FILLERS)
            .map(|filler| {
                let done = &done;
                scope.spawn(move || -> Result<()> {
                    let mut visitor = Visitor::connect(http)?;
                    let mut at = filler * UNDER_WAY;
                    while at < objects {
                        let to = (at + UNDER_WAY).min(objects);
                        visitor.ask_for_all(site, at..to)?;
                        done.fetch_add(to - at, Ordering::Relaxed);
                        at += FILLERS * UNDER_WAY;
                    }
                    Ok(())
                })
            })
            .collect();
        let mut told = Stopwatch::start();
        while fillers.iter().any(|filler| !filler.is_finished()) {
            thread::sleep(LOOK);
            if told.millis() > TELL_MILLIS {
                told = Stopwatch::start();
                say(&format!(
                    "  {site}: {} of {objects} brought",
                    done.load(Ordering::Relaxed)
                ));
            }
        }
        for filler in fillers {
            let filled = filler.join();
            filled.map_err(|_| anyhow!("a filler has ended badly"))??;
        }
        Ok(())
    })?;
    let written = || Ok((Told::ask(subject)?.waiting == 0).then_some(()));
    clock::poll(PATIENCE, written).context("waiting for the disk to take what came")
}

/// What share of a sample by Zipf's law is answered from what is kept; the same sample each time.
fn share(subject: &Subject, objects: u64) -> Result<f64> {
    let mut visitor = Visitor::connect(subject.http)?;
    let mut draw = Draw::new(objects);
    let mut hits = 0;
    for _ in 0..SAMPLE {
        hits += u64::from(visitor.ask(MANY, draw.next())? == Seen::Kept);
    }
    Ok(number(hits) / number(SAMPLE as u64))
}

/// Numbers of objects, popular ones more often.
struct Draw {
    objects: u64,
    random: u64,
}

impl Draw {
    fn new(objects: u64) -> Self {
        Self {
            objects,
            random: 0x7265_7374,
        }
    }

    fn next(&mut self) -> u64 {
        let rank = rank(self.objects, asks::unit(&mut self.random));
        (rank * STEP) % self.objects
    }
}

/// The rank, from 0 on, at a place of the whole: the law as a curve, which differs from its steps for the first few ranks alone.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rank below the number of objects"
)]
fn rank(objects: u64, unit: f64) -> u64 {
    let rest = 1.0 - EXPONENT;
    let most = number(objects + 1).powf(rest) - 1.0;
    let rank = (1.0 + unit * most).powf(1.0 / rest) - 1.0;
    (rank as u64).min(objects - 1)
}

/// What the edge says of its disk.
#[derive(Clone, Copy, Default, Debug)]
struct Told {
    is_over: bool,
    bytes: u64,
    bytes_done: u64,
    complete: u64,
    index: u64,
    waiting: u64,
}

impl Told {
    fn ask(subject: &Subject) -> Result<Self> {
        let told = order(&subject.newest_edge_socket()?, "GET /cache")?;
        let disk = told.get("disk").context("no disk tier")?;
        let number = |place: &str| disk.pointer(place).and_then(Value::as_u64).unwrap_or(0);
        Ok(Self {
            is_over: disk.pointer("/scan/over").and_then(Value::as_bool) == Some(true),
            bytes: number("/scan/bytes"),
            bytes_done: number("/scan/bytes_done"),
            complete: number("/complete"),
            index: number("/index_bytes"),
            waiting: number("/waiting_bytes"),
        })
    }

    /// What share of the disk it has looked through.
    fn known(&self) -> f64 {
        match (self.is_over, self.bytes) {
            (true, _) => 1.0,
            (false, 0) => 0.0,
            (false, bytes) => number(self.bytes_done) / number(bytes),
        }
    }
}

/// What was seen from the start on. Times are milliseconds since `mangrove serve` was begun.
struct Course {
    /// The share of hits before.
    before: f64,
    /// The first answer of any kind, and the first from what is kept.
    answered: Option<f64>,
    hit: Option<f64>,
    /// How much of the disk was known when.
    known: Vec<(f64, Told)>,
    /// The share of hits among what was asked within a window that ended then.
    hits: Vec<(f64, f64)>,
    resident: u64,
    /// What `mangrove cache stats` said of the scan, and when.
    words: Vec<(f64, String)>,
}

fn restart(subject: &mut Subject, options: &Options, objects: u64) -> Result<Course> {
    let edge = subject.edge()?;
    subject.kill_supervisor()?;
    kill_process(edge, Signal::KILL)?;
    clock::poll(PATIENCE, || Ok(is_gone(edge).then_some(())))?;
    let doors = [subject.http, subject.https, subject.admin];
    let free = || doors.iter().all(|door| TcpListener::bind(door).is_ok());
    clock::poll(PATIENCE, || Ok(free().then_some(())))
        .context("waiting for the killed ones' sockets")?;
    if options.cold {
        cold::chill(&subject.store())?;
    }
    say("killed; serving again");
    let watch = Stopwatch::start();
    subject.begin_serving()?;
    let (http, over) = (subject.http, AtomicBool::new(false));
    let subject = &*subject;
    thread::scope(|scope| {
        let asking = scope.spawn(|| ask_on(http, objects, watch, &over));
        let looked = look_on(subject, watch);
        over.store(true, Ordering::SeqCst);
        let asked = asking.join();
        let asked = asked.map_err(|_| anyhow!("who asks has ended badly"))??;
        let mut course = looked?;
        course.answered = asked.first().map(|asked| asked.at);
        let kept = |asked: &&Asked| asked.seen == Seen::Kept;
        course.hit = asked.iter().find(kept).map(|asked| asked.at);
        course.hits = windows(&asked);
        Ok(course)
    })
}

/// One question and what came of it.
struct Asked {
    at: f64,
    seen: Seen,
}

/// Asks for one thing after the other until it is over; nobody listening yet is no answer.
fn ask_on(
    http: std::net::SocketAddr,
    objects: u64,
    watch: Stopwatch,
    over: &AtomicBool,
) -> Result<Vec<Asked>> {
    let mut asked = Vec::new();
    let mut draw = Draw::new(objects);
    let mut visitor: Option<Visitor> = None;
    while !over.load(Ordering::SeqCst) {
        let Some(there) = visitor.as_mut() else {
            visitor = Visitor::connect(http).ok();
            thread::sleep(PAUSE);
            continue;
        };
        match there.ask(MANY, draw.next()) {
            Ok(seen) => asked.push(Asked {
                at: watch.millis(),
                seen,
            }),
            // Before anything was answered, the connection was one that nobody took.
            Err(_) if asked.is_empty() => visitor = None,
            Err(error) => return Err(error),
        }
        thread::sleep(PAUSE);
    }
    Ok(asked)
}

/// Looks how far the edge is, as its operator does, until all of the disk is known and a while longer.
fn look_on(subject: &Subject, watch: Stopwatch) -> Result<Course> {
    let mut course = Course {
        before: 0.0,
        answered: None,
        hit: None,
        known: Vec::new(),
        hits: Vec::new(),
        resident: 0,
        words: Vec::new(),
    };
    let (mut told_at, mut over_at) = (None, None);
    loop {
        anyhow::ensure!(
            watch.millis() < PATIENCE.as_secs_f64() * 1000.0,
            "the disk is not known yet"
        );
        // The socket of the one that was killed may still lie there.
        let Ok(told) = Told::ask(subject) else {
            clock::rest();
            continue;
        };
        let now = watch.millis();
        course.known.push((now, told));
        if told_at.is_none_or(|at| now - at > TELL_MILLIS / 2.0) && over_at.is_none() {
            told_at = Some(now);
            if let Some(words) = words_of_the_scan(subject) {
                say(&format!("  {:.1} s: {words}", now / 1000.0));
                course.words.push((now, words));
            }
        }
        if told.is_over {
            let at = *over_at.get_or_insert(now);
            if now - at > SETTLE.as_secs_f64() * 1000.0 {
                break;
            }
        }
        thread::sleep(LOOK);
    }
    course.resident = cpu::resident(&[subject.edge()?])?;
    Ok(course)
}

/// The row of `mangrove cache stats` about what was left from before.
fn words_of_the_scan(subject: &Subject) -> Option<String> {
    let output = subject.command("cache stats").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines = text.lines().skip_while(|line| !line.starts_with("found"));
    let mut words = lines.next()?.split_once(' ')?.1.trim().to_owned();
    for more in lines.take_while(|line| line.starts_with(' ')) {
        words.push(' ');
        words.push_str(more.trim());
    }
    Some(words)
}

/// The share of hits in each stretch of time in which anything was asked.
fn windows(asked: &[Asked]) -> Vec<(f64, f64)> {
    let mut windows = Vec::new();
    let mut rest = asked;
    while let Some(first) = rest.first() {
        let end = first.at + WINDOW_MILLIS;
        let within = rest.partition_point(|asked| asked.at < end).max(1);
        let (window, later) = rest.split_at(within.min(rest.len()));
        let hits: Vec<f64> = window
            .iter()
            .map(|asked| f64::from(u8::from(asked.seen == Seen::Kept)))
            .collect();
        windows.push((
            window.last().map_or(end, |last| last.at),
            hits.iter().sum::<f64>() / number(hits.len() as u64).max(1.0),
        ));
        rest = later;
    }
    windows
}

/// What was so before and after.
struct Ends {
    objects: u64,
    filled: u64,
    after: f64,
    empty: u64,
    full: u64,
}

impl Course {
    /// From when on so much of the disk was known.
    fn known_at(&self, share: f64) -> Option<f64> {
        let reached = |(_, told): &&(f64, Told)| told.known() >= share;
        self.known.iter().find(reached).map(|(at, _)| *at)
    }

    /// From when on the share of hits was never again less than so much of what it was before.
    fn back_at(&self, part: f64) -> Option<f64> {
        let least = self.before * part;
        let last_below = self.hits.iter().rposition(|(_, share)| *share < least);
        let from = last_below.map_or(0, |at| at + 1);
        self.hits.get(from).map(|(at, _)| *at)
    }

    fn table(&self, ends: &Ends) -> String {
        let seconds = |at: Option<f64>| {
            at.map_or_else(|| "never".to_owned(), |at| format!("{:.2} s", at / 1000.0))
        };
        let last = self.known.last().map_or(Told::default(), |(_, told)| *told);
        let mut text = String::from("\n| after `mangrove serve` was begun | |\n|---|---:|\n");
        let mut row = |what: &str, value: String| {
            let _ = writeln!(text, "| {what} | {value} |");
        };
        row("first answer", seconds(self.answered));
        row("first answer from what is kept", seconds(self.hit));
        for percent in [25, 50, 75, 100] {
            let at = self.known_at(f64::from(percent) / 100.0);
            row(&format!("{percent} % of the disk known"), seconds(at));
        }
        for percent in [50, 90, 95] {
            let at = self.back_at(f64::from(percent) / 100.0);
            row(
                &format!("hits back to {percent} % of what they were"),
                seconds(at),
            );
        }
        row(
            "hits of a sample, before and after",
            format!("{:.2} %, {:.2} %", self.before * 100.0, ends.after * 100.0),
        );
        row(
            "answers on the disk, before and after",
            format!("{}, {}", ends.filled, last.complete),
        );
        row("objects of the site", ends.objects.to_string());
        row(
            "the index",
            format!(
                "{}, {:.0} bytes each",
                mebibytes(last.index),
                number(last.index) / number(last.complete.max(1))
            ),
        );
        row(
            "resident: empty, full before, all known after",
            format!(
                "{}, {}, {}",
                mebibytes(ends.empty),
                mebibytes(ends.full),
                mebibytes(self.resident)
            ),
        );
        row(
            "longest stretch without an answer",
            format!("{:.0} ms", self.longest_gap()),
        );
        text
    }

    /// Between the ends of two windows with answers, in milliseconds, a window's own length apart.
    fn longest_gap(&self) -> f64 {
        let ends: Vec<f64> = self.hits.iter().map(|(at, _)| *at).collect();
        let gaps: Vec<f64> = ends
            .windows(2)
            .filter_map(|two| Some(two.last()? - two.first()? - WINDOW_MILLIS))
            .collect();
        stats::range(&gaps).map_or(0.0, |(_, most)| most.max(0.0))
    }
}

/// The order of a purge of all of a site; says whether it is durable.
fn purge(subject: &Subject, site: &str) -> Result<bool> {
    let answer = told(
        &subject.newest_edge_socket()?,
        &format!("POST /purge?site={site}&all"),
    )?;
    let answer: Value = serde_json::from_str(&answer)?;
    Ok(answer.get("durable").and_then(Value::as_bool) == Some(true))
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", number(bytes) / f64::from(1 << 20))
}

#[allow(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(at: f64, seen: Seen) -> Asked {
        Asked { at, seen }
    }

    fn course(hits: &[(f64, f64)]) -> Course {
        Course {
            before: 1.0,
            answered: None,
            hit: None,
            known: Vec::new(),
            hits: hits.to_vec(),
            resident: 0,
            words: Vec::new(),
        }
    }

    #[test]
    fn hits_are_back_when_they_never_fall_again() {
        let course = course(&[(1.0, 0.2), (2.0, 0.99), (3.0, 0.5), (4.0, 0.96), (5.0, 1.0)]);
        assert_eq!(course.back_at(0.95), Some(4.0));
        assert_eq!(course.back_at(0.1), Some(1.0));
        assert_eq!(course.back_at(1.1), None);
    }

    #[test]
    fn a_window_has_the_share_of_its_own_answers() {
        let all = [
            asked(0.0, Seen::Lacking),
            asked(100.0, Seen::Kept),
            asked(260.0, Seen::Kept),
        ];
        assert_eq!(windows(&all), [(100.0, 0.5), (260.0, 1.0)]);
        assert!(windows(&[]).is_empty());
    }

    #[test]
    fn popular_objects_come_more_often_and_every_rank_has_its_own() {
        let objects = 1000;
        let places: std::collections::HashSet<_> =
            (0..objects).map(|rank| rank * STEP % objects).collect();
        assert_eq!(places.len(), 1000);
        let mut random = 1;
        let popular = (0..10_000).filter(|_| rank(objects, asks::unit(&mut random)) < 100);
        // H(100, 0.9) / H(1000, 0.9) is 0.59; of the curve it is 0.57.
        let popular = popular.count();
        assert!((5_400..6_100).contains(&popular), "{popular}");
        assert_eq!((rank(objects, 0.0), rank(objects, 1.0)), (0, 999));
    }
}
