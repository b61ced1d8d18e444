//! What visitors notice when something happens to a Mangrove that serves them: a reload, an upgrade, a killed edge, a
//! killed supervisor.
//!
//! 64 keep-alive connections ask without end over HTTP/1.1 and HTTP/2, in cleartext and TLS, with uploads among them;
//! others come anew for each request; and two slow downloads begin before each event and end after it. Every byte is
//! checked. A connection that the server ends between two requests is no trouble; one that ends within an exchange is.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use tokio::runtime::LocalRuntime;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::origin;
use crate::subject::{Subject, is_gone};
use crate::terminal::say;
use crate::visit::{Ask, Expect, Failure, Trouble, Upload, Visitor, Way, Wire};

/// Sites in the configuration.
const SITES: usize = 1000;
/// Visitors who keep their connections.
const KEEPERS: usize = 64;
/// Visitors who come anew for each request.
const COMERS: usize = 4;
/// What a visitor does between two requests: nothing, for so long.
const PAUSE: Duration = Duration::from_millis(10);
/// How long a visitor waits for a connection or for a short answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of an upload; of a page; of a large page, which every so many-th request is for.
const UPLOAD: usize = 64 * 1024;
const PAGE: u64 = 4 * 1024;
const LARGE_PAGE: u64 = 256 * 1024;
/// Bytes per second of a slow download.
const DOWNLOAD_RATE: u64 = 100 * 1024;
/// A killed edge must be back within this.
const BACK_WITHIN: Duration = Duration::from_millis(250);
/// How long an old edge may take to leave after the last download, the drain deadline (a minute) included.
const LEAVE_WITHIN: Duration = Duration::from_secs(70);
/// Answers by the one site whose content tells the configuration's age.
const REVISION_HOST: &str = "revision.example";

/// How to look.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The mangrove program. Unset, it is built first.
    #[arg(long, value_name = "PATH")]
    pub(crate) mangrove: Option<PathBuf>,
    /// How long each slow download takes.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(4..=60))]
    download: u64,
}

/// What happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Happening {
    Reload,
    Upgrade,
    EdgeKilled,
    SupervisorKilled,
}

impl Happening {
    const ALL: [Self; 4] = [
        Self::Reload,
        Self::Upgrade,
        Self::EdgeKilled,
        Self::SupervisorKilled,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Reload => "reload of 1,000 sites",
            Self::Upgrade => "upgrade",
            Self::EdgeKilled => "edge killed",
            Self::SupervisorKilled => "supervisor killed, serve again",
        }
    }
}

/// Lets everything happen and says what was noticed of it; a failure when a promise was broken.
pub(crate) fn run(options: &Options, program: &Path) -> Result<ExitCode> {
    let runtime = LocalRuntime::new()?;
    let origin = origin::start()?;
    let mut subject = Subject::prepare(program, "live")?;
    let sites = |revision: u32| sites(&origin.address.to_string(), revision);
    subject.configure("", &sites(1)?)?;
    subject.serve()?;
    let way = Way::to(&subject)?;
    let rows = runtime.block_on(async {
        let scene = Scene::open(way, options.download).await?;
        let mut rows = Vec::new();
        for happening in Happening::ALL {
            let changed = sites(2)?;
            let row = scene.watch(happening, &mut subject, changed).await?;
            rows.push(row);
        }
        scene.close().await;
        anyhow::Ok(rows)
    })?;
    subject.stop()?;
    say(&table(&rows));
    let broken: Vec<String> = rows.iter().flat_map(Row::broken).collect();
    for promise in &broken {
        say(&format!("BROKEN: {promise}"));
    }
    Ok(if broken.is_empty() {
        say("Every promise was kept.");
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn sites(origin: &str, revision: u32) -> Result<String> {
    let mut text = String::new();
    write!(
        text,
        "[[site]]\nname = \"revision\"\nhosts = [\"{REVISION_HOST}\"]\n\
         respond = {{ body = \"revision {revision}\" }}\n\n"
    )?;
    for number in 1..SITES {
        // Every site changes with the revision, if only by a ceiling that nobody reaches.
        writeln!(
            text,
            "[[site]]\nname = \"site{number}\"\nhosts = [\"{}\"]\norigins = [\"http://{origin}\"]\n\
             request_body_bytes = \"{}MiB\"\n",
            host(number),
            100 + revision
        )?;
    }
    Ok(text)
}

fn host(site: usize) -> String {
    format!("site{site}.example")
}

/// What all visitors together noticed during one event.
#[derive(Default)]
struct Tally {
    answers: u64,
    uploads: u64,
    /// Connections that ended between two requests, in good order.
    renewed: u64,
    troubles: BTreeMap<Trouble, u64>,
    /// The first few, in words.
    words: Vec<String>,
    last_answer: Option<Instant>,
    longest_gap: Duration,
    slowest: Duration,
}

impl Tally {
    fn answered(&mut self, asked: Instant, is_upload: bool) {
        let now = Instant::now();
        self.answers += 1;
        self.uploads += u64::from(is_upload);
        if let Some(last) = self.last_answer.replace(now) {
            self.longest_gap = self.longest_gap.max(now - last);
        }
        self.slowest = self.slowest.max(now - asked);
    }

    fn failed(&mut self, whose: &str, failure: &Failure) {
        *self.troubles.entry(failure.trouble).or_default() += 1;
        if self.words.len() < 10 {
            let Failure { trouble, words } = failure;
            self.words.push(format!("{whose}: {trouble:?}: {words}"));
        }
    }
}

/// The visitors, and what they tell.
struct Scene {
    way: Way,
    tally: Rc<RefCell<Tally>>,
    over: Rc<Cell<bool>>,
    visitors: Vec<JoinHandle<()>>,
    download: u64,
    began: Instant,
}

impl Scene {
    async fn open(way: Way, download: u64) -> Result<Self> {
        let mut scene = Self {
            way,
            tally: Rc::default(),
            over: Rc::default(),
            visitors: Vec::new(),
            download,
            began: Instant::now(),
        };
        for number in 0..KEEPERS + COMERS {
            let wires = Wire::ALL.iter().cycle();
            let wire = *wires.clone().nth(number).context("a wire")?;
            let whose = match number < KEEPERS {
                true => format!("visitor {number} over {wire:?}"),
                false => format!("newcomer over {wire:?}"),
            };
            let visits = visits(
                scene.way.clone(),
                wire,
                number,
                number < KEEPERS,
                whose,
                Rc::clone(&scene.tally),
                Rc::clone(&scene.over),
            );
            scene.visitors.push(tokio::task::spawn_local(visits));
        }
        sleep(Duration::from_secs(1)).await;
        let first = std::mem::take(&mut *scene.tally.borrow_mut());
        ensure!(
            first.troubles.is_empty(),
            "trouble before anything happened: {:?}",
            first.words
        );
        ensure!(first.answers > 0, "no answer before anything happened");
        scene.note("64 keep-alive visitors and 4 newcomers are served");
        Ok(scene)
    }

    fn note(&self, what: &str) {
        let at = self.began.elapsed().as_secs_f64();
        say(&format!("{at:8.3} s  {what}"));
    }

    /// Downloads begin, something happens, downloads end; everything noticed meanwhile is in the row.
    async fn watch(
        &self,
        happening: Happening,
        subject: &mut Subject,
        changed: String,
    ) -> Result<Row> {
        self.tally.replace(Tally::default());
        let began = Instant::now();
        let downloads = [Wire::H1Tls, Wire::H2].map(|wire| {
            let (way, seconds) = (self.way.clone(), self.download);
            tokio::task::spawn_local(async move { (wire, download(&way, wire, seconds).await) })
        });
        sleep(Duration::from_secs(self.download.div_ceil(4).min(10))).await;
        self.note(&format!("now: {}", happening.name()));
        let moment = Instant::now();
        let outcome = match happening {
            Happening::Reload => self.reload(subject, &changed).await,
            Happening::Upgrade => self.upgrade(subject).await,
            Happening::EdgeKilled => self.kill_edge(subject).await,
            Happening::SupervisorKilled => self.kill_supervisor(subject).await,
        };
        let mut row = Row::new(happening, moment.elapsed());
        match outcome {
            Ok(back) => row.back = back,
            Err(error) => row.unmet.push(format!("{error:#}")),
        }
        for done in downloads {
            let (wire, outcome) = done.await?;
            match outcome {
                Ok(()) => row.whole += 1,
                Err(failure) => row.lost.push(format!(
                    "{wire:?}: {:?}: {}",
                    failure.trouble, failure.words
                )),
            }
        }
        self.note(&format!(
            "both downloads ended: {} whole, {} not",
            row.whole,
            row.lost.len()
        ));
        // Downloads that were cut leave time to see how it goes on.
        sleep_until(began + Duration::from_secs(self.download)).await;
        if happening == Happening::Upgrade {
            let late = Instant::now() + LEAVE_WITHIN;
            while subject.edges()?.len() > 1 && Instant::now() < late {
                sleep(Duration::from_millis(50)).await;
            }
            match subject.edges()?.len() {
                1 => self.note("the old edge has left"),
                edges => row.unmet.push(format!("{edges} edges are left")),
            }
        }
        row.tally = self.tally.take();
        row.watched = began.elapsed();
        for words in &row.tally.words {
            say(&format!("            {words}"));
        }
        Ok(row)
    }

    async fn reload(&self, subject: &mut Subject, changed: &str) -> Result<Option<Duration>> {
        subject.configure("", changed)?;
        let before = subject.edge()?;
        self.command(subject.command("reload")).await?;
        self.note("reload has answered");
        self.ask_anew(&revision(2)).await.map_err(in_words)?;
        ensure!(subject.edges()? == [before], "the edge is another one");
        Ok(None)
    }

    async fn upgrade(&self, subject: &mut Subject) -> Result<Option<Duration>> {
        let (before, next) = (subject.edge()?, subject.copy_of_program()?);
        let mut upgrade = subject.command("upgrade");
        upgrade.arg(&next);
        self.command(upgrade).await?;
        self.note("upgrade has answered");
        let edge = subject.edge()?;
        ensure!(edge != before, "the edge is still the old one");
        for pid in [edge, subject.supervisor()?] {
            let program = std::fs::read_link(format!("/proc/{}/exe", pid.as_raw_nonzero()))?;
            ensure!(program == next, "{} still runs", program.display());
        }
        Ok(None)
    }

    async fn kill_edge(&self, subject: &mut Subject) -> Result<Option<Duration>> {
        let edge = subject.edge()?;
        let killed = Instant::now();
        rustix::process::kill_process(edge, Signal::KILL)?;
        while !is_gone(edge) {
            ensure!(killed.elapsed() < PATIENCE, "the edge survived SIGKILL");
            tokio::task::yield_now().await;
        }
        // On connections that the dead edge never saw.
        self.ask_anew(&revision(2)).await.map_err(in_words)?;
        let back = killed.elapsed();
        self.note(&format!("first new answer after {} ms", back.as_millis()));
        Ok(Some(back))
    }

    async fn kill_supervisor(&self, subject: &mut Subject) -> Result<Option<Duration>> {
        let edge = subject.edge()?;
        subject.kill_supervisor()?;
        self.note("the supervisor is gone");
        sleep(Duration::from_secs(self.download.div_ceil(8))).await;
        ensure!(subject.edge()? == edge, "the edge is another one");
        self.note("serve again");
        let serving = Instant::now();
        subject.begin_serving()?;
        while !subject.serves()? {
            ensure!(serving.elapsed() < PATIENCE, "serve did not adopt in time");
            sleep(Duration::from_millis(10)).await;
        }
        self.note(&format!(
            "it serves after {} ms",
            serving.elapsed().as_millis()
        ));
        let log = subject.log();
        ensure!(log.contains("Adopted edge"), "nothing was adopted: {log}");
        ensure!(subject.edges()? == [edge], "the edge is another one");
        Ok(None)
    }

    /// Asks on a connection of its own.
    async fn ask_anew(&self, ask: &Ask) -> Result<(), Failure> {
        let mut visitor = Visitor::arrive(&self.way, Wire::H1, PATIENCE).await?;
        visitor.ask(ask).await
    }

    /// Runs a command beside the visitors.
    async fn command(&self, mut command: std::process::Command) -> Result<()> {
        let run = tokio::task::spawn_blocking(move || command.output());
        let output = timeout(Duration::from_secs(60), run)
            .await
            .context("the command did not end")???;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "the command failed: {said}");
        Ok(())
    }

    async fn close(self) {
        self.over.set(true);
        for visits in self.visitors {
            let _ = timeout(PATIENCE, visits).await;
        }
    }
}

fn revision(number: u32) -> Ask {
    Ask {
        host: REVISION_HOST.to_owned(),
        path: "/".to_owned(),
        upload: None,
        expect: Expect::Text(format!("revision {number}")),
        mark: None,
        within: PATIENCE,
    }
}

fn in_words(failure: Failure) -> anyhow::Error {
    anyhow::anyhow!("{:?}: {}", failure.trouble, failure.words)
}

/// One visitor's requests, until the scene is over.
async fn visits(
    way: Way,
    wire: Wire,
    number: usize,
    keeps: bool,
    whose: String,
    tally: Rc<RefCell<Tally>>,
    over: Rc<Cell<bool>>,
) {
    let mut connection: Option<Visitor> = None;
    for round in number.. {
        if over.get() {
            return;
        }
        if let Some(visitor) = &mut connection
            && visitor.is_over().await
        {
            tally.borrow_mut().renewed += 1;
            connection = None;
        }
        let ask = nth_ask(number, round);
        let asked = Instant::now();
        let mut visitor = match connection.take() {
            Some(visitor) => visitor,
            None => match Visitor::arrive(&way, wire, PATIENCE).await {
                Ok(visitor) => visitor,
                Err(failure) => {
                    tally.borrow_mut().failed(&whose, &failure);
                    sleep(PAUSE).await;
                    continue;
                }
            },
        };
        match visitor.ask(&ask).await {
            Ok(()) => {
                tally.borrow_mut().answered(asked, ask.upload.is_some());
                connection = Some(visitor).filter(|_| keeps);
            }
            Err(failure) => tally.borrow_mut().failed(&whose, &failure),
        }
        sleep(PAUSE).await;
    }
}

/// Pages mostly; one request in five uploads something, one in sixteen is for a large page.
fn nth_ask(number: usize, round: usize) -> Ask {
    let site = 1 + (number * 15 + round) % (SITES - 1);
    let upload = match round % 10 {
        3 => Some(Upload::Length(UPLOAD)),
        8 => Some(Upload::Chunked(UPLOAD)),
        _ => None,
    };
    let bytes = if round.is_multiple_of(16) {
        LARGE_PAGE
    } else {
        PAGE
    };
    let (path, expect) = match upload {
        Some(_) => (
            "/upload".to_owned(),
            Expect::Text(format!("{UPLOAD} bytes as sent\n")),
        ),
        None => (format!("/bytes/{bytes}"), Expect::Pattern(bytes)),
    };
    Ask {
        host: host(site),
        path,
        upload,
        expect,
        mark: None,
        within: PATIENCE,
    }
}

async fn download(way: &Way, wire: Wire, seconds: u64) -> Result<(), Failure> {
    let bytes = DOWNLOAD_RATE * seconds;
    let ask = Ask {
        host: host(1),
        path: format!("/paced/{bytes}/{seconds}"),
        upload: None,
        expect: Expect::Pattern(bytes),
        mark: None,
        within: Duration::from_secs(seconds) + 3 * PATIENCE,
    };
    Visitor::arrive(way, wire, PATIENCE).await?.ask(&ask).await
}

/// One event, and what was noticed of it.
struct Row {
    happening: Happening,
    /// How long the event itself took.
    took: Duration,
    /// How long it was watched, downloads included.
    watched: Duration,
    /// From the kill to the first answer on a new connection.
    back: Option<Duration>,
    /// Downloads that came whole, and those that did not.
    whole: usize,
    lost: Vec<String>,
    tally: Tally,
    /// What should have been so and was not.
    unmet: Vec<String>,
}

impl Row {
    fn new(happening: Happening, took: Duration) -> Self {
        Self {
            happening,
            took,
            watched: Duration::ZERO,
            back: None,
            whole: 0,
            lost: Vec::new(),
            tally: Tally::default(),
            unmet: Vec::new(),
        }
    }

    fn count(&self, trouble: Trouble) -> u64 {
        self.tally.troubles.get(&trouble).copied().unwrap_or(0)
    }

    /// The promises that this row breaks.
    fn broken(&self) -> Vec<String> {
        let mut broken = self.unmet.clone();
        let killed = self.happening == Happening::EdgeKilled;
        // Whoever was being answered by a killed edge is cut; nobody else is hurt, and nobody is refused.
        let excused = [Trouble::Reset, Trouble::Cut];
        for (trouble, count) in &self.tally.troubles {
            if !(killed && excused.contains(trouble)) {
                broken.push(format!("{count} × {trouble:?}"));
            }
        }
        if !killed {
            broken.extend(self.lost.iter().map(|lost| format!("a download: {lost}")));
        }
        if let Some(back) = self.back.filter(|back| *back > BACK_WITHIN) {
            broken.push(format!("serving again only after {} ms", back.as_millis()));
        }
        let name = self.happening.name();
        broken
            .iter()
            .map(|what| format!("{name}: {what}"))
            .collect()
    }
}

fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "\n| event | took ms | requests | of them uploads | renewed in order | refused | cut | timed out | wrong status \
         | wrong bytes | longest gap ms | slowest ms | downloads whole | back ms |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let tally = &row.tally;
        let back = row
            .back
            .map_or("–".to_owned(), |back| back.as_millis().to_string());
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} of {} | {back} |",
            row.happening.name(),
            row.took.as_millis(),
            tally.answers,
            tally.uploads,
            tally.renewed,
            row.count(Trouble::Refused),
            row.count(Trouble::Reset) + row.count(Trouble::Cut),
            row.count(Trouble::TimedOut),
            row.count(Trouble::Status),
            row.count(Trouble::Wrong),
            tally.longest_gap.as_millis(),
            tally.slowest.as_millis(),
            row.whole,
            row.whole + row.lost.len(),
        );
    }
    text
}
