//! What the disk is worth after `kill -9`: a real Mangrove is killed in the middle of fills and purges, over and over, and then,
//! with the origin stopped, asked for everything.
//!
//! ```text
//! origin runs ── visitors fill, an operator purges ── SIGKILL at a seeded moment ── origin stops ── restart ── all is asked for
//! ```
//!
//! Never may a byte be another than the origin gave, an answer end early and look whole, or what was purged come back once the
//! purge's word had come: not before the kill, not while the disk is still being read, not afterwards. And what was finished
//! over a second before the kill, and not purged, must be there. Two stores are killed in turn: a *tight* one that evicts
//! all the time, and a *roomy* one that never has to, so that what is not there was lost.
//!
//! The seed gives what is asked and ordered, who is killed and when. How far each had come by then is the machine's.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Signal, kill_process};
use serde_json::Value;

use self::book::{Book, OBJECTS, Order, Verdict, host, judge, path};
use self::origin::Origin;
use self::visitor::Visitor;
use crate::asks;
use crate::clock::{self, Stopwatch};
use crate::order::order;
use crate::subject::{Subject, is_gone};
use crate::terminal::say;

mod book;
mod origin;
mod visitor;

/// Visitors who fill.
const VISITORS: u64 = 4;
/// What a visitor does between two questions: nothing, for so long. Without that, what is purged is brought again faster than a disk
/// writes, and what a disk is too far behind with is not kept.
const PAUSE: Duration = Duration::from_millis(20);
/// Rounds before a store is begun anew.
const ROUNDS_OF_A_STORE: u32 = 5;
/// So much may go into a roomy store before it is begun anew: half of it, so that nothing need leave.
const ROOMY_FILL: u64 = 1 << 30;
/// From the start of a round to its kill, in milliseconds.
const ROUND_MILLIS: (f64, f64) = (1300.0, 3500.0);
/// Between two purges, in milliseconds.
const PURGE_MILLIS: (f64, f64) = (10.0, 120.0);
/// Of what must be there, so much has to be.
const KEPT_PERCENT: f64 = 95.0;
/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// Connections over which all is well before a round begins.
const WELL: usize = 16;
/// What is asked for while the disk is still being read.
const EARLY: usize = 64;
/// Wrong answers of a row that are shown.
const EXAMPLES: usize = 5;
/// The origin's times: a stopped one is noticed, and one that is back.
const SITE: &str = "[site.origin]\nconnect_timeout = \"500ms\"\n[site.origin.health]\npath = \"/health\"\n\
    interval = \"1s\"\ntimeout = \"500ms\"\nhealthy_after = 1\nunhealthy_after = 2\n";

/// How to look.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The mangrove program. Unset, it is built first.
    #[arg(long, value_name = "PATH")]
    pub(crate) mangrove: Option<PathBuf>,
    /// Kills. Unset, as many as fit into ten minutes.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rounds: Option<u32>,
    /// What is asked, ordered and killed, and when.
    #[arg(long, default_value_t = 0x6372_6173)]
    seed: u64,
    /// As many as fit into 40 s: for every change.
    #[arg(long, conflicts_with = "rounds")]
    short: bool,
}

impl Options {
    fn is_over(&self, rounds: u32, watch: Stopwatch) -> bool {
        match (self.rounds, self.short) {
            (Some(most), _) => rounds >= most,
            // Each store at least once.
            (None, true) => rounds >= 2 && watch.millis() > 40_000.0,
            (None, false) => watch.millis() > 600_000.0,
        }
    }
}

/// How much room a store has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Room {
    Tight,
    Roomy,
}

impl Room {
    fn bytes(self) -> u64 {
        match self {
            Self::Tight => 64 << 20,
            Self::Roomy => 2 << 30,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Tight => "tight, 64 MiB",
            Self::Roomy => "roomy, 2 GiB",
        }
    }
}

/// Who is killed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Killed {
    Edge,
    Both,
}

impl Killed {
    fn name(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Both => "supervisor and edge",
        }
    }
}

/// Kills and asks; a failure when a promise was broken.
pub(crate) fn run(options: &Options, program: &Path) -> Result<ExitCode> {
    say(&format!("seed {}", options.seed));
    let watch = Stopwatch::start();
    let mut random = options.seed;
    let mut rows: BTreeMap<(Room, Killed), Row> = BTreeMap::new();
    let mut rounds = 0;
    for room in [Room::Tight, Room::Roomy].into_iter().cycle() {
        if options.is_over(rounds, watch) {
            break;
        }
        let mut stage = Stage::set(program, room, watch)?;
        let of_store = match options.short {
            true => ROUNDS_OF_A_STORE - 2,
            false => ROUNDS_OF_A_STORE,
        };
        for _ in 0..of_store {
            let full = room == Room::Roomy && stage.origin.bytes() > ROOMY_FILL;
            if full || options.rounds.is_some_and(|most| rounds >= most) {
                break;
            }
            rounds += 1;
            let killed = match asks::unit(&mut random) < 0.5 {
                true => Killed::Edge,
                false => Killed::Both,
            };
            let seen = stage
                .round(killed, &mut random)
                .with_context(|| format!("round {rounds}"))?;
            for wrong in &seen.examples {
                say(&format!("round {rounds}: {wrong}"));
            }
            rows.entry((room, killed)).or_default().add(seen);
        }
        stage.subject.stop()?;
    }
    say(&table(&rows));
    for trouble in rows.values().flat_map(|row| &row.troubles) {
        say(&format!("no answer: {trouble}"));
    }
    let broken = broken(&rows);
    for promise in &broken {
        say(&format!("BROKEN: {promise}"));
    }
    Ok(if broken.is_empty() {
        say(&format!("{rounds} kills. Every promise was kept."));
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// One store and who is around it.
struct Stage {
    origin: Origin,
    subject: Subject,
    book: Mutex<Book>,
    watch: Stopwatch,
}

impl Stage {
    fn set(program: &Path, room: Room, watch: Stopwatch) -> Result<Self> {
        let origin = Origin::start()?;
        let mut subject = Subject::prepare(program, "crash")?;
        let sites: String = ["one", "two"]
            .map(|name| {
                format!(
                    "[[site]]\nname = \"{name}\"\nhosts = [\"{name}.example\"]\norigins = [\"http://{}\"]\n{SITE}",
                    origin.address
                )
            })
            .concat();
        let server = format!(
            "cache_memory = \"16MiB\"\ndisk_cache_bytes = {}",
            room.bytes()
        );
        subject.configure_with(&server, "", &sites)?;
        subject.serve()?;
        Ok(Self {
            origin,
            subject,
            book: Mutex::new(Book::new()),
            watch,
        })
    }

    fn round(&mut self, killed: Killed, random: &mut u64) -> Result<Row> {
        self.origin.be(true);
        clock::poll(PATIENCE, || {
            let mut well = true;
            // Each core finds out by itself; so many connections do not all reach one.
            for object in 0..WELL {
                let mut visitor = Visitor::connect(self.subject.http)?;
                well &= visitor.ask(&host(object), "/well")?.status == 200;
            }
            Ok(well.then_some(()))
        })
        .context("waiting for the origin to be asked again")?;
        let row = Mutex::new(Row {
            rounds: 1,
            ..Row::default()
        });
        let over = AtomicBool::new(false);
        let edge = self.subject.edge()?;
        let last = between(ROUND_MILLIS, random);
        let seeds: Vec<u64> = (0..=VISITORS).map(|_| split(random)).collect();
        let stage = Shared {
            origin: &self.origin,
            book: &self.book,
            http: self.subject.http,
            watch: self.watch,
        };
        let subject = &mut self.subject;
        let socket = subject.newest_edge_socket()?;
        let died = thread::scope(|scope| -> Result<f64> {
            let (row, over, socket) = (&row, &over, &socket);
            for (at, mut seed) in seeds.into_iter().enumerate() {
                scope.spawn(move || match at {
                    0 => stage.purges(&mut seed, socket, over, row),
                    _ => stage.fills(&mut seed, over, row),
                });
            }
            thread::sleep(millis(last));
            over.store(true, Ordering::SeqCst);
            let died = stage.watch.millis();
            if killed == Killed::Both {
                subject.kill_supervisor()?;
            }
            kill_process(edge, Signal::KILL)?;
            stage.origin.be(false);
            clock::poll(PATIENCE, || Ok(is_gone(edge).then_some(())))?;
            Ok(died)
        })?;
        let mut row = row.into_inner().unwrap_or_else(PoisonError::into_inner);
        lock(&self.book).settle(self.origin.given());
        self.restart(killed, &mut row)?;
        self.ask_for_all(died, &mut row)?;
        Ok(row)
    }

    /// Until it serves again, and then until all of the disk is known; it is asked for something meanwhile.
    fn restart(&mut self, killed: Killed, row: &mut Row) -> Result<()> {
        let begun = self.watch.millis();
        if killed == Killed::Both {
            // A process counts as ended once its first thread has; the others may still have its sockets.
            let doors = [self.subject.http, self.subject.https, self.subject.admin];
            let free = || doors.iter().all(|door| TcpListener::bind(door).is_ok());
            clock::poll(PATIENCE, || Ok(free().then_some(())))
                .context("waiting for the killed ones' sockets")?;
            self.subject.serve()?;
        }
        let there = || {
            let told = self.subject.newest_edge_socket();
            Ok(told.and_then(|socket| order(&socket, "GET /cache")).ok())
        };
        clock::poll(PATIENCE, there).context("waiting for another edge")?;
        let mut visitor = Visitor::connect(self.subject.http)?;
        for object in (0..OBJECTS).step_by(OBJECTS / EARLY) {
            let (verdict, _) = self.ask(&mut visitor, object)?;
            row.early(&verdict);
        }
        row.slowest = row.slowest.max(self.watch.millis() - begun);
        clock::poll(PATIENCE, || {
            let told = order(&self.subject.newest_edge_socket()?, "GET /cache")?;
            let disk = told.get("disk").context("no disk tier")?;
            let is = |pointer| disk.pointer(pointer).and_then(Value::as_bool) == Some(true);
            Ok((is("/in_use") && is("/scan/over")).then_some(()))
        })
        .context("waiting for the disk to be known")
    }

    fn ask_for_all(&self, died: f64, row: &mut Row) -> Result<()> {
        let expected = lock(&self.book).expected(died);
        let mut visitor = Visitor::connect(self.subject.http)?;
        for object in 0..OBJECTS {
            let (verdict, now) = self.ask(&mut visitor, object)?;
            let is_there = matches!(verdict, Verdict::Fresh | Verdict::Stale);
            if let Some(said) = expected.get(&object) {
                row.expected += 1;
                row.kept += u64::from(is_there);
                if !is_there {
                    row.missing
                        .push(format!("{}: `{said}`, now `{now}`", path(object)));
                }
            }
            row.after(&verdict);
        }
        Ok(())
    }

    /// What came of an object, and what the edge said of it.
    fn ask(&self, visitor: &mut Visitor, object: usize) -> Result<(Verdict, String)> {
        let floors = lock(&self.book).floors(object);
        let answer = visitor.ask(&host(object), &path(object))?;
        if answer.is_cut {
            *visitor = Visitor::connect(self.subject.http)?;
        }
        let said = format!("{} {}", answer.status, answer.cache_status);
        Ok((judge(object, floors, &answer), said))
    }
}

/// What the threads of a round have in common.
#[derive(Clone, Copy)]
struct Shared<'s> {
    origin: &'s Origin,
    book: &'s Mutex<Book>,
    http: std::net::SocketAddr,
    watch: Stopwatch,
}

impl Shared<'_> {
    fn fills(self, random: &mut u64, over: &AtomicBool, row: &Mutex<Row>) {
        let mut connection: Option<Visitor> = None;
        while !over.load(Ordering::SeqCst) {
            let object = book::draw(random);
            let floors = lock(self.book).floors(object);
            let asked = match connection.take() {
                Some(visitor) => Ok(visitor),
                None => Visitor::connect(self.http),
            };
            let asked = asked.and_then(|mut visitor| {
                let answer = visitor.ask(&host(object), &path(object))?;
                Ok((visitor, answer))
            });
            let Ok((visitor, answer)) = asked else {
                let before = !over.load(Ordering::SeqCst);
                lock(row).trouble += u64::from(before);
                clock::rest();
                continue;
            };
            let verdict = judge(object, floors, &answer);
            if let (Verdict::Fresh | Verdict::Stale | Verdict::Asked(_), Some(version)) =
                (&verdict, answer.version)
            {
                lock(self.book).finished(
                    object,
                    version,
                    &answer.cache_status,
                    self.watch.millis(),
                );
            }
            let before = !over.load(Ordering::SeqCst);
            if before && matches!(verdict, Verdict::Absent | Verdict::Cut) {
                let (status, said) = (answer.status, &answer.cache_status);
                let cut = if answer.is_cut { ", cut" } else { "" };
                let what = format!("{}: `{status} {said}`{cut}", path(object));
                lock(row).troubles.push(what);
            }
            lock(row).during(&verdict, before);
            connection = (!answer.is_cut).then_some(visitor);
            thread::sleep(PAUSE);
        }
    }

    fn purges(self, random: &mut u64, socket: &Path, over: &AtomicBool, row: &Mutex<Row>) {
        loop {
            thread::sleep(millis(between(PURGE_MILLIS, random)));
            if over.load(Ordering::SeqCst) {
                return;
            }
            let purge = Order::draw(random);
            let before = self.origin.given();
            lock(self.book).order(purge);
            let told = order(socket, &format!("POST /purge?{}", purge.query()));
            match told {
                Ok(told) if told.get("durable") == Some(&Value::Bool(true)) => {
                    lock(self.book).acknowledge(purge, before, self.origin.given());
                    lock(row).purges += 1;
                }
                // In the middle of it, or not on the disk: no word was given.
                _ => {
                    let before = !over.load(Ordering::SeqCst);
                    lock(row).no_word += u64::from(before);
                }
            }
        }
    }
}

/// What was seen, of one round or many.
#[derive(Default)]
struct Row {
    rounds: u64,
    /// Answers before the kill,
    during: u64,
    /// that were no answers though all was well.
    trouble: u64,
    /// and what they were;
    troubles: Vec<String>,
    /// Purges whose word came,
    purges: u64,
    /// and that had none though nobody was killed yet.
    no_word: u64,
    /// After the kill: by the first word of its verdict.
    fresh: u64,
    stale: u64,
    absent: u64,
    cut: u64,
    wrong: u64,
    examples: Vec<String>,
    expected: u64,
    kept: u64,
    /// What had to be there and was not.
    missing: Vec<String>,
    /// Milliseconds until the first answers after a restart had come.
    slowest: f64,
}

impl Row {
    fn during(&mut self, verdict: &Verdict, before: bool) {
        self.during += 1;
        let is_trouble = matches!(verdict, Verdict::Absent | Verdict::Cut);
        self.trouble += u64::from(before && is_trouble);
        self.judge(verdict, "before the kill");
    }

    fn early(&mut self, verdict: &Verdict) {
        self.judge(verdict, "while the disk was read");
    }

    fn after(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Fresh => self.fresh += 1,
            Verdict::Stale => self.stale += 1,
            Verdict::Absent => self.absent += 1,
            Verdict::Cut => self.cut += 1,
            Verdict::Asked(_) | Verdict::Wrong(_) => {}
        }
        self.judge(verdict, "after the kill");
        if let Verdict::Asked(words) = verdict {
            self.note(format!(
                "after the kill: of the origin, which is stopped: {words}"
            ));
        }
    }

    fn judge(&mut self, verdict: &Verdict, when: &str) {
        if let Verdict::Wrong(what) = verdict {
            self.note(format!("{when}: {what}"));
        }
    }

    fn note(&mut self, what: String) {
        self.wrong += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(what);
        }
    }

    fn add(&mut self, other: Self) {
        self.rounds += other.rounds;
        self.during += other.during;
        self.trouble += other.trouble;
        self.troubles.extend(other.troubles);
        self.troubles.truncate(EXAMPLES);
        self.purges += other.purges;
        self.no_word += other.no_word;
        self.fresh += other.fresh;
        self.stale += other.stale;
        self.absent += other.absent;
        self.cut += other.cut;
        self.wrong += other.wrong;
        self.examples.extend(other.examples);
        self.examples.truncate(EXAMPLES);
        self.expected += other.expected;
        self.kept += other.kept;
        self.missing.extend(other.missing);
        self.missing.truncate(EXAMPLES);
        self.slowest = self.slowest.max(other.slowest);
    }

    #[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    fn kept_percent(&self) -> f64 {
        self.kept as f64 * 100.0 / self.expected.max(1) as f64
    }
}

/// The promises that were not kept.
fn broken(rows: &BTreeMap<(Room, Killed), Row>) -> Vec<String> {
    let mut broken = Vec::new();
    for ((room, killed), row) in rows {
        let mut add = |what: String| {
            broken.push(format!("{}, {} killed: {what}", room.name(), killed.name()));
        };
        if row.wrong > 0 {
            add(format!("{} wrong: {}", row.wrong, row.examples.join("; ")));
        }
        if row.purges == 0 {
            add("no purge had its word: nothing was shown".to_owned());
        }
        if *room == Room::Roomy && row.expected == 0 {
            add("nothing had to be there: nothing was shown".to_owned());
        }
        if *room == Room::Roomy && row.kept_percent() < KEPT_PERCENT {
            add(format!(
                "of {} that had to be there only {} were: {}",
                row.expected,
                row.kept,
                row.missing.join("; ")
            ));
        }
    }
    broken
}

fn table(rows: &BTreeMap<(Room, Killed), Row>) -> String {
    let mut text = String::from(
        "\n| store | killed | rounds | answers before | no answer | purges durable | no word | fresh after | stale | absent | cut | \
         wrong | had to be there | were | first answers after ms |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for ((room, killed), row) in rows {
        let kept = match room {
            // What had to leave is not known from outside.
            Room::Tight => "– | –".to_owned(),
            Room::Roomy => format!("{} | {:.1} %", row.expected, row.kept_percent()),
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {kept} | {:.0} |",
            room.name(),
            killed.name(),
            row.rounds,
            row.during,
            row.trouble,
            row.purges,
            row.no_word,
            row.fresh,
            row.stale,
            row.absent,
            row.cut,
            row.wrong,
            row.slowest
        );
    }
    text
}

fn between((least, most): (f64, f64), random: &mut u64) -> f64 {
    least + (most - least) * asks::unit(random)
}

fn millis(millis: f64) -> Duration {
    Duration::from_secs_f64(millis / 1000.0)
}

/// A seed of its own for somebody else.
fn split(random: &mut u64) -> u64 {
    asks::unit(random).to_bits()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(row: Row) -> BTreeMap<(Room, Killed), Row> {
        BTreeMap::from([((Room::Roomy, Killed::Edge), row)])
    }

    #[test]
    fn one_wrong_answer_and_one_too_many_lost_break_the_promise() {
        let well = || Row {
            purges: 1,
            expected: 100,
            kept: 95,
            ..Row::default()
        };
        assert!(broken(&rows(well())).is_empty());
        assert_eq!(broken(&rows(Row { kept: 94, ..well() })).len(), 1);
        assert_eq!(broken(&rows(Row { wrong: 1, ..well() })).len(), 1);
    }

    #[test]
    fn whoever_purged_and_expected_nothing_has_shown_nothing() {
        assert!(broken(&rows(Row::default())).len() >= 2);
    }

    #[test]
    fn an_answer_of_a_stopped_origin_is_wrong() {
        let mut row = Row::default();
        row.after(&Verdict::Asked(String::new()));
        assert_eq!(row.wrong, 1);
    }
}
