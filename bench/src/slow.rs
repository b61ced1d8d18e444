//! Slow clients of every kind, thousands at once: what they cost, when the last of them is gone, and what a bystander
//! notices meanwhile.
//!
//! Each kind meets a Mangrove of its own, so that memory kept from one does not hide what the next one takes. The limits
//! that end a slow connection are shortened to one value. A slow client never closes its side: what the edge still holds
//! is read from its own count of connections and, at the end, from its open descriptors.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use rustix::process::Pid;
use tokio::runtime::LocalRuntime;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use self::kinds::{Doors, HOST, Kind};
use self::taken::{Taken, Watch};
use crate::cpu::{Usage, resident};
use crate::origin::{self, Origin};
use crate::process;
use crate::subject::Subject;
use crate::terminal::say;
use crate::visit::{Ask, Expect, Visitor, Way, Wire};

mod kinds;
mod taken;

/// Connections being opened at once.
const OPENING: usize = 64;
/// How long opening all of them may take.
const OPEN_WITHIN: Duration = Duration::from_secs(60);
/// Up to so many connections the limits are short; opening more takes longer than that.
const FEW: usize = 1000;
const SHORT: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(6);
/// How late the last one may leave.
const TOLERANCE: Duration = Duration::from_secs(1);
/// How long is waited for those that stay beyond that, to say how late they were.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the bystander is watched before anyone is slow, and what it costs is measured.
const WARMING: Duration = Duration::from_millis(400);
/// How often the edge is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Descriptors in a process that are neither clients' nor the origin's.
const SPARE: usize = 1000;
/// Descriptors the edge may hold more than before: log, spare connections to the origin, an operator's question.
const LEFT: usize = 16;
/// The bystander's site, and what it says.
const BYSTANDER: &str = "bystander.example";
const PAGE: u64 = 1024;
/// How long a bystander waits for an answer, and then before its next question.
const BYSTANDER_PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(10);
/// Bystanders: one keeps a connection over each wire.
const BYSTANDERS: u64 = 4;

/// How to look.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The mangrove program. Unset, it is built first.
    #[arg(long, value_name = "PATH")]
    pub(crate) mangrove: Option<PathBuf>,
    /// Slow connections of each kind.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(10..=10_000))]
    connections: u32,
    /// Only these kinds, separated by commas.
    #[arg(long, value_delimiter = ',')]
    kinds: Vec<Kind>,
}

/// Lets every kind come in turn; a failure when one outstayed its deadline or a bystander was hurt.
pub(crate) fn run(options: &Options, program: &Path) -> Result<ExitCode> {
    let descriptors = usize::try_from(process::raise_descriptor_limit())?;
    let (origin, other_origin) = (origin::start()?, origin::start()?);
    let wanted = usize::try_from(options.connections)?;
    let each = if wanted <= FEW { SHORT } else { LONG };
    say(&format!(
        "{wanted} connections of each kind; every limit that ends one is set to {} s (h2_idle to 7 s at least where \
         that is all there is), closing takes 2 s more at most, and over HTTP/2 another 2 s after GOAWAY.",
        each.as_secs()
    ));
    let mut rows = Vec::new();
    for kind in Kind::value_variants() {
        if !options.kinds.is_empty() && !options.kinds.contains(kind) {
            continue;
        }
        // In this process an origin's end comes to each client's.
        let ends = if kind.reaches_origin() { 2 } else { 1 };
        let count = kind
            .most(wanted)
            .min(descriptors.saturating_sub(SPARE) / ends);
        let mut subject = Subject::prepare(program, "slow")?;
        let each = kind.limit(each);
        let sites = sites(origin.address, other_origin.address);
        subject.configure(&limits(each), &sites)?;
        subject.serve()?;
        let runtime = LocalRuntime::new()?;
        let trial = Trial {
            kind: *kind,
            count,
            each,
            edge: subject.edge()?,
            way: Way::to(&subject)?,
            subject: &subject,
            origin: &origin,
        };
        let row = runtime.block_on(trial.run())?;
        drop(runtime);
        subject.stop()?;
        say(&row.summary().to_string());
        rows.push(row);
    }
    say(&table(&rows));
    let broken: Vec<String> = rows.iter().flat_map(Row::broken).collect();
    for promise in &broken {
        say(&format!("BROKEN: {promise}"));
    }
    Ok(if broken.is_empty() {
        say("All were gone by their deadlines, and no bystander was hurt.");
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn limits(each: Duration) -> String {
    let keys = [
        "protocol_sniff",
        "tls_handshake",
        "request_head",
        "request_body_idle",
        "response_write_idle",
        "min_rate_grace",
        "keep_alive_idle",
        "h2_idle",
    ];
    keys.iter().fold(String::new(), |text, key| {
        format!("{text}{key} = \"{}s\"\n", each.as_secs())
    })
}

/// Two tenants: one is asked by the slow, the other by the bystander.
fn sites(slow: SocketAddr, other: SocketAddr) -> String {
    [("slow", HOST, slow), ("bystander", BYSTANDER, other)]
        .iter()
        .fold(String::new(), |text, (name, host, origin)| {
            format!(
                "{text}[[site]]\nname = \"{name}\"\nhosts = [\"{host}\"]\norigins = [\"http://{origin}\"]\n\
                 [site.origin]\nmax_connections = 20000\nkeep_alive = \"200ms\"\n\
                 [site.origin.breaker]\nconcurrency = 20000\n\n"
            )
        })
}

/// One kind, against a Mangrove of its own.
struct Trial<'a> {
    kind: Kind,
    count: usize,
    each: Duration,
    edge: Pid,
    way: Way,
    subject: &'a Subject,
    origin: &'a Origin,
}

/// What was seen of one kind.
struct Row {
    kind: Kind,
    deadline: Duration,
    opened: usize,
    not_opened: usize,
    /// Held by the edge at once.
    peak: u64,
    opening: Duration,
    /// Bytes of resident memory for each one held at the peak.
    memory: u64,
    /// Nanoseconds of the edge's CPU until all were open, and until all were gone.
    cpu_open: u64,
    cpu_all: u64,
    /// Nanoseconds of the edge's CPU in a second of holding them.
    cpu_hold: u64,
    /// From when the last one had been slow from its first moment on to the last one's end; none when some never left.
    gone: Option<Duration>,
    /// Of readers, the longest that one stayed after the last byte its kernel took for it; none for other kinds.
    outstayed: Option<Duration>,
    left: u64,
    descriptors: usize,
    /// Sockets that the edge has left and the kernel still keeps bytes for.
    unsent: usize,
    bystander: Bystander,
}

impl Trial<'_> {
    async fn run(self) -> Result<Row> {
        let bystander = Rc::new(RefCell::new(Bystander::default()));
        let over = Rc::new(Cell::new(false));
        let watching: Vec<JoinHandle<()>> = Wire::ALL
            .iter()
            .map(|wire| {
                let (way, seen) = (self.way.clone(), Rc::clone(&bystander));
                tokio::task::spawn_local(stand_by(way, *wire, seen, Rc::clone(&over)))
            })
            .collect();
        sleep(WARMING).await;
        ensure!(
            bystander.borrow().failures.is_empty() && !bystander.borrow().took.is_empty(),
            "the bystander was not served before anyone was slow: {:?}",
            bystander.borrow().failures
        );
        let usual = self.usual().await?;
        bystander.take();
        let before = Usage::of(&[self.edge])?;
        let memory = resident(&[self.edge])?;
        let descriptors = self.descriptors()?;
        let began = Instant::now();

        let asked = self.origin.asked();
        let crowd = self.gather().await?;
        // Only then are they slow at the edge rather than waiting for it in the kernel's queues.
        let came = asked + crowd.holding.len();
        while self.kind.reaches_origin()
            && self.origin.asked() < came
            && began.elapsed() < OPEN_WITHIN
        {
            sleep(LOOK).await;
        }
        let opening = began.elapsed();
        let all_open = Instant::now();
        let at_open = Usage::of(&[self.edge])?;
        let mut row = Row {
            kind: self.kind,
            deadline: self.kind.deadline(self.each),
            opened: crowd.holding.len(),
            not_opened: crowd.failed,
            peak: 0,
            opening,
            memory: 0,
            cpu_open: usual.less(at_open.since(&before)?, opening),
            cpu_all: 0,
            cpu_hold: 0,
            gone: None,
            outstayed: None,
            left: 0,
            descriptors: 0,
            unsent: 0,
            bystander: Bystander::default(),
        };
        let mut held = None;
        let taken = self.kind.is_reader();
        let taken = taken.then(|| Watch::begin(Taken::at(self.doors())));
        loop {
            let open = self.connections().await?.saturating_sub(BYSTANDERS);
            let now = all_open.elapsed();
            if open > row.peak || now < self.each / 2 {
                row.peak = row.peak.max(open);
                let grown = resident(&[self.edge])?.saturating_sub(memory);
                row.memory = row.memory.max(grown / row.peak.max(1));
            }
            if held.is_none() && now >= self.each / 2 {
                let since = usual.less(Usage::of(&[self.edge])?.since(&at_open)?, now);
                let nanos = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
                held = Some(since.saturating_mul(1_000_000_000) / nanos.max(1));
            }
            row.left = open;
            if open == 0 {
                row.gone = Some(now);
                break;
            }
            if now > row.deadline + TOLERANCE + PATIENCE {
                break;
            }
            sleep(LOOK).await;
        }
        row.outstayed = taken.map(Watch::end).transpose()?;
        row.cpu_hold = held.unwrap_or_default();
        row.cpu_all = usual.less(Usage::of(&[self.edge])?.since(&before)?, began.elapsed());
        // Connections to the origin are kept for a moment, and swept every second.
        let late = Instant::now() + 2 * TOLERANCE;
        loop {
            row.descriptors = self.descriptors()?.saturating_sub(descriptors);
            row.unsent = self.unsent()?;
            if (row.descriptors <= LEFT && row.unsent == 0) || Instant::now() > late {
                break;
            }
            sleep(LOOK).await;
        }
        over.set(true);
        for bystander in watching {
            let _ = bystander.await;
        }
        row.bystander = bystander.take();
        drop(crowd);
        Ok(row)
    }

    /// What bystander and questions cost the edge without anyone slow.
    async fn usual(&self) -> Result<Usual> {
        let (began, before) = (Instant::now(), Usage::of(&[self.edge])?);
        while began.elapsed() < WARMING {
            self.connections().await?;
            sleep(LOOK).await;
        }
        Ok(Usual {
            nanos: Usage::of(&[self.edge])?.since(&before)?,
            during: began.elapsed(),
        })
    }

    /// Opens them all; each is slow from its first moment on.
    async fn gather(&self) -> Result<Crowd> {
        let left = Rc::new(Cell::new(self.count));
        let crowd = Rc::new(RefCell::new(Crowd::default()));
        let doors = Doors::of(self.subject, &self.way);
        let mut opening = JoinSet::new();
        for _ in 0..OPENING.min(self.count) {
            let (left, crowd, kind) = (Rc::clone(&left), Rc::clone(&crowd), self.kind);
            let doors = doors.clone();
            opening.spawn_local(async move {
                while left.get() > 0 {
                    left.set(left.get() - 1);
                    match kind.open(&doors).await {
                        Ok(stream) => {
                            crowd.borrow_mut().holding.spawn_local(kind.hold(stream));
                        }
                        Err(_) => crowd.borrow_mut().failed += 1,
                    }
                }
            });
        }
        timeout(OPEN_WITHIN, async {
            while let Some(done) = opening.join_next().await {
                done?;
            }
            anyhow::Ok(())
        })
        .await
        .context("opening the slow connections took too long")??;
        Ok(crowd.take())
    }

    /// What the edge says of its clients' connections.
    async fn connections(&self) -> Result<u64> {
        self.subject.metric("mangrove_connections_open").await
    }

    /// Sockets of the edge's doors without an owner but with bytes to send (proc_pid_net(5), `tcp`).
    fn unsent(&self) -> Result<usize> {
        let doors = self.doors();
        let table = std::fs::read_to_string("/proc/self/net/tcp")?;
        let left = table.lines().filter(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let is_door = fields
                .get(1)
                .is_some_and(|local| doors.iter().any(|door| local.ends_with(door)));
            let unsent = fields
                .get(4)
                .is_some_and(|queues| !queues.starts_with("00000000:"));
            is_door && unsent && fields.get(9) == Some(&"0")
        });
        Ok(left.count())
    }

    /// The ends of the edge's addresses as the kernel's table has them.
    fn doors(&self) -> [String; 2] {
        [self.subject.http, self.subject.https].map(|door| format!(":{:04X}", door.port()))
    }

    fn descriptors(&self) -> Result<usize> {
        let folder = format!("/proc/{}/fd", self.edge.as_raw_nonzero());
        Ok(std::fs::read_dir(folder)?.count())
    }
}

/// CPU that is not the slow clients'.
#[derive(Clone, Copy)]
struct Usual {
    nanos: u64,
    during: Duration,
}

impl Usual {
    /// What is left of `nanos` used in `time`.
    fn less(self, nanos: u64, time: Duration) -> u64 {
        let share = u128::from(self.nanos) * time.as_nanos() / self.during.as_nanos().max(1);
        nanos.saturating_sub(u64::try_from(share).unwrap_or(u64::MAX))
    }
}

#[derive(Default)]
struct Crowd {
    /// Dropping it ends them.
    holding: JoinSet<()>,
    failed: usize,
}

/// What somebody notices who has nothing to do with it.
#[derive(Default)]
struct Bystander {
    took: Vec<Duration>,
    failures: Vec<String>,
}

impl Bystander {
    fn quantile(&self, per_mille: usize) -> Duration {
        let mut took = self.took.clone();
        took.sort_unstable();
        let place = (took.len() * per_mille / 1000).min(took.len().saturating_sub(1));
        took.get(place).copied().unwrap_or_default()
    }
}

/// Asks again and again; every fifth question comes on a new connection.
async fn stand_by(way: Way, wire: Wire, seen: Rc<RefCell<Bystander>>, over: Rc<Cell<bool>>) {
    let ask = Ask {
        host: BYSTANDER.to_owned(),
        path: format!("/bytes/{PAGE}"),
        upload: None,
        expect: Expect::Pattern(PAGE),
        mark: None,
        within: BYSTANDER_PATIENCE,
    };
    let mut connection: Option<Visitor> = None;
    for round in 0_u64.. {
        if over.get() {
            return;
        }
        if round.is_multiple_of(5) {
            connection = None;
        }
        let asked = Instant::now();
        let outcome = async {
            let mut visitor = match connection.take() {
                Some(visitor) => visitor,
                None => Visitor::arrive(&way, wire, BYSTANDER_PATIENCE).await?,
            };
            visitor.ask(&ask).await?;
            Ok::<_, crate::visit::Failure>(visitor)
        }
        .await;
        match outcome {
            Ok(visitor) => {
                connection = Some(visitor);
                seen.borrow_mut().took.push(asked.elapsed());
            }
            Err(failure) => seen.borrow_mut().failures.push(format!(
                "{wire:?}: {:?}: {}",
                failure.trouble, failure.words
            )),
        }
        sleep(PAUSE).await;
    }
}

impl Row {
    fn summary(&self) -> String {
        let gone = match (self.gone, self.outstayed) {
            (Some(_), Some(stayed)) => format!(
                "each gone {:.1} s after its last byte at most",
                stayed.as_secs_f64()
            ),
            (Some(gone), None) => format!("gone after {:.1} s", gone.as_secs_f64()),
            (None, _) => format!("{} NEVER LEFT", self.left),
        };
        format!(
            "{:28} {} opened in {:.1} s, {gone}; bystander: {} answered, {} not",
            self.kind.title(),
            self.opened,
            self.opening.as_secs_f64(),
            self.bystander.took.len(),
            self.bystander.failures.len()
        )
    }

    /// How long the last one stayed, counted from where its deadline counts; none when some never left.
    fn stayed(&self) -> Option<Duration> {
        self.gone.map(|gone| self.outstayed.unwrap_or(gone))
    }

    /// The promises that this kind breaks.
    fn broken(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let late = self
            .stayed()
            .is_none_or(|stayed| stayed > self.deadline + TOLERANCE);
        if late {
            broken.push(format!(
                "gone after {:?}, {} left; the deadline is {:?}",
                self.stayed(),
                self.left,
                self.deadline
            ));
        }
        if self.not_opened > 0 {
            broken.push(format!("{} could not connect", self.not_opened));
        }
        if self.descriptors > LEFT {
            broken.push(format!("{} descriptors were left open", self.descriptors));
        }
        if self.unsent > 0 {
            broken.push(format!(
                "the kernel still keeps bytes for {} of them",
                self.unsent
            ));
        }
        let hurt = self.bystander.failures.len();
        if let Some(first) = self.bystander.failures.first() {
            broken.push(format!("the bystander failed {hurt} times: {first}"));
        }
        let title = self.kind.title();
        broken
            .iter()
            .map(|what| format!("{title}: {what}"))
            .collect()
    }
}

fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "\n| slow client | connections | held at once | KiB each | µs CPU each, opening | µs CPU each, in all \
         | CPU while held | ended by | deadline s | last gone s | bystander answered | p50 ms | p99 ms | slowest ms |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let each = |nanos: u64| nanos / 1000 / (row.opened.max(1) as u64);
        let bystander = &row.bystander;
        let millis = |per_mille| bystander.quantile(per_mille).as_secs_f64() * 1000.0;
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.1} | {} | {} | {}.{} % | {} | {} | {} | {} of {} | {:.1} | {:.1} | {:.0} |",
            row.kind.title(),
            row.opened,
            row.peak,
            f64::from(u32::try_from(row.memory).unwrap_or(u32::MAX)) / 1024.0,
            each(row.cpu_open),
            each(row.cpu_all),
            row.cpu_hold / 10_000_000,
            row.cpu_hold / 1_000_000 % 10,
            row.kind.limits(),
            row.deadline.as_secs(),
            row.stayed().map_or("never".to_owned(), |stayed| format!(
                "{:.1}",
                stayed.as_secs_f64()
            )),
            bystander.took.len(),
            bystander.took.len() + bystander.failures.len(),
            millis(500),
            millis(990),
            millis(1000),
        );
    }
    text
}
