//! Thousands who ask for the same thing at once, while Mangrove has none of it: how often the origin is asked, whether
//! everyone gets what is his, and what becomes of them when the origin dies.
//!
//! Half of them have a connection of HTTP/1.1 each, the others are streams of HTTP/2 connections, in cleartext; the kernel
//! spreads the connections over the edge's cores. All are connected before anyone asks. Where the first answer is to be
//! shared, the origin holds it back until everyone waits.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::runtime::LocalRuntime;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use self::origin::{BODY, DELAY, Origin, PAGE};
use crate::process;
use crate::subject::Subject;
use crate::terminal::say;
use crate::visit::{Ask, Expect, Failure, Trouble, Visitor, Way, Wire};

mod origin;

/// The site that everyone wants.
const HOST: &str = "crowd.example";
/// Streams of one HTTP/2 connection: as many as an edge allows unless it is told otherwise.
const STREAMS: usize = 100;
/// Connections being opened at once.
const OPENING: usize = 64;
/// How long opening them all may take.
const OPEN_WITHIN: Duration = Duration::from_secs(60);
/// How long one visitor waits for a connection or an answer. Nothing here should take a tenth of it.
const PATIENCE: Duration = Duration::from_secs(40);
/// How long is waited until everyone waits: less than Mangrove lets anyone wait for another's answer (10 s).
const GATHERING: Duration = Duration::from_secs(8);
/// How often is looked whether everyone waits.
const LOOK: Duration = Duration::from_millis(20);
/// Descriptors in a process that are neither visitors' nor the origin's.
const SPARE: usize = 1000;

/// How to look.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The mangrove program. Unset, it is built first.
    #[arg(long, value_name = "PATH")]
    pub(crate) mangrove: Option<PathBuf>,
    /// How many ask at once.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    clients: u32,
}

/// What they ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Scenario {
    /// What may be kept.
    Storable,
    /// What is for each of them alone, and nobody knows it yet.
    Private,
    /// The same, once it is known.
    PrivateAgain,
    /// Its first answer breaks off in the middle.
    Dies,
    /// Its first question is never answered.
    Vanishes,
}

impl Scenario {
    const ALL: [Self; 5] = [
        Self::Storable,
        Self::Private,
        Self::PrivateAgain,
        Self::Dies,
        Self::Vanishes,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Storable => "may be kept",
            Self::Private => "private",
            Self::PrivateAgain => "private, asked again",
            Self::Dies => "origin dies in the body, once",
            Self::Vanishes => "origin dies before the head, once",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Storable => "/storable",
            Self::Private | Self::PrivateAgain => "/private",
            Self::Dies => "/dies",
            Self::Vanishes => "/vanishes",
        }
    }

    fn is_private(self) -> bool {
        matches!(self, Self::Private | Self::PrivateAgain)
    }

    fn ask(self, number: usize) -> Ask {
        let mark = format!("mark-{number:06}");
        Ask {
            host: HOST.to_owned(),
            path: self.path().to_owned(),
            upload: None,
            expect: match self.is_private() {
                true => Expect::Text(mark.clone()),
                false => Expect::Pattern(BODY),
            },
            mark: Some(mark),
            within: PATIENCE,
        }
    }
}

/// Lets a crowd come in every scenario; a failure when anyone got less, more or something else than he should have.
pub(crate) fn run(options: &Options, program: &Path) -> Result<ExitCode> {
    let clients = usize::try_from(options.clients)?;
    ensure_descriptors(clients)?;
    let origin = Origin::start()?;
    let mut subject = Subject::prepare(program, "crowd")?;
    subject.configure("", &site(&origin))?;
    subject.serve()?;
    let way = Way::to(&subject)?;
    let runtime = LocalRuntime::new()?;
    let rows = runtime.block_on(async {
        let crowd = Crowd {
            way,
            subject: &subject,
            origin: &origin,
            clients,
        };
        let mut rows = Vec::new();
        for scenario in Scenario::ALL {
            let row = crowd.come(scenario).await.context(scenario.name())?;
            say(&row.summary());
            rows.push(row);
        }
        anyhow::Ok(rows)
    })?;
    drop(runtime);
    subject.stop()?;
    say(&table(&rows));
    let mut broken: Vec<String> = rows.iter().flat_map(Row::broken).collect();
    broken.extend(stall(&rows));
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

/// Both ends are in this process: visitors' connections, and, where everyone asks for himself, one at the origin for each.
fn ensure_descriptors(clients: usize) -> Result<()> {
    let allowed = usize::try_from(process::raise_descriptor_limit())?;
    let needed = descriptors(clients);
    let fewer = (0..clients)
        .rev()
        .find(|fewer| descriptors(*fewer) <= allowed);
    ensure!(
        allowed >= needed,
        "{needed} open files are needed and {allowed} allowed: raise the limit (`ulimit -n {needed}`, or as root), or ask \
         with fewer, --clients {}",
        fewer.unwrap_or(0)
    );
    Ok(())
}

fn descriptors(clients: usize) -> usize {
    let streams = clients / 2;
    (clients - streams) + streams.div_ceil(STREAMS) + clients + SPARE
}

/// An origin that takes everyone at once: what is looked at is who asks it, not how it is spared.
fn site(origin: &Origin) -> String {
    format!(
        "[[site]]\nname = \"crowd\"\nhosts = [\"{HOST}\"]\norigins = [\"http://{}\"]\n\
         [site.origin]\nmax_connections = 20000\n[site.origin.breaker]\nconcurrency = 20000\n",
        origin.address
    )
}

/// Everyone, and what they come to.
struct Crowd<'a> {
    way: Way,
    subject: &'a Subject,
    origin: &'a Origin,
    clients: usize,
}

impl Crowd<'_> {
    async fn come(&self, scenario: Scenario) -> Result<Row> {
        let visitors = timeout(OPEN_WITHIN, self.connect())
            .await
            .with_context(|| format!("not connected within {} s", OPEN_WITHIN.as_secs()))??;
        let asked_before = self.origin.asked(scenario.path());
        self.origin.sign(false);
        let mut row = Row::new(scenario, self.clients);
        let began = Instant::now();
        let mut asking = JoinSet::new();
        for (number, mut visitor) in visitors.into_iter().enumerate() {
            let ask = scenario.ask(number);
            asking.spawn_local(async move {
                let outcome = visitor.ask(&ask).await;
                // It stays until everyone has his answer: nobody is cut because another has left.
                (began.elapsed(), outcome, visitor)
            });
        }
        if !scenario.is_private() {
            row.waited = self.gather(&asking).await?;
        }
        row.gathering = began.elapsed();
        self.origin.sign(true);
        let mut stayed = Vec::with_capacity(self.clients);
        while let Some(done) = asking.join_next().await {
            let (took, outcome, visitor) = done?;
            row.count(took, outcome);
            stayed.push(visitor);
        }
        drop(stayed);
        row.asked = self.origin.asked(scenario.path()) - asked_before;
        // Whoever comes after that.
        let mut next = arrive(&self.way, Wire::H1).await?;
        row.next = next.ask(&scenario.ask(self.clients)).await.err();
        Ok(row)
    }

    /// Everyone's place: half of them a connection, the others a stream.
    async fn connect(&self) -> Result<Vec<Visitor>> {
        let streams = self.clients / 2;
        let opening = Rc::new(Semaphore::new(OPENING));
        let mut arriving = JoinSet::new();
        let wires = std::iter::repeat_n(Wire::H1, self.clients - streams)
            .chain(std::iter::repeat_n(Wire::H2, streams.div_ceil(STREAMS)));
        for wire in wires {
            let (way, opening) = (self.way.clone(), Rc::clone(&opening));
            arriving.spawn_local(async move {
                let _turn = opening.acquire().await?;
                arrive(&way, wire).await
            });
        }
        let (mut visitors, mut left) = (Vec::with_capacity(self.clients), streams);
        while let Some(arrived) = arriving.join_next().await {
            let visitor = arrived??;
            let others: Vec<_> = std::iter::from_fn(|| visitor.another())
                .take(STREAMS.min(left))
                .collect();
            if others.is_empty() {
                visitors.push(visitor);
            }
            left -= others.len();
            visitors.extend(others);
        }
        ensure!(visitors.len() == self.clients, "not everyone has a place");
        Ok(visitors)
    }

    /// Waits until everyone but the first waits for the first one's answer, and says how many do.
    async fn gather(
        &self,
        asking: &JoinSet<(Duration, Result<(), Failure>, Visitor)>,
    ) -> Result<u64> {
        let everyone = u64::try_from(self.clients - 1)?;
        let late = Instant::now() + GATHERING;
        loop {
            let waiting = self.subject.metric("mangrove_cache_followers").await?;
            if waiting >= everyone || Instant::now() > late {
                return Ok(waiting);
            }
            if asking.is_empty() {
                bail!("nobody asks any more");
            }
            sleep(LOOK).await;
        }
    }
}

/// Connects and asks for a page, so that the connection is one that is kept.
async fn arrive(way: &Way, wire: Wire) -> Result<Visitor> {
    let page = Ask {
        host: HOST.to_owned(),
        path: "/page".to_owned(),
        upload: None,
        expect: Expect::Pattern(PAGE),
        mark: None,
        within: PATIENCE,
    };
    let said = |failure: Failure| anyhow::anyhow!("{:?}: {}", failure.trouble, failure.words);
    let mut visitor = Visitor::arrive(way, wire, PATIENCE).await.map_err(said)?;
    visitor.ask(&page).await.map_err(said)?;
    Ok(visitor)
}

/// What was seen of one scenario.
struct Row {
    scenario: Scenario,
    clients: usize,
    /// Who waited for another's answer at once, where that was looked for.
    waited: u64,
    /// From the first question until everyone waited.
    gathering: Duration,
    whole: usize,
    troubles: BTreeMap<Trouble, usize>,
    /// The first few, in words.
    words: Vec<String>,
    /// How often the origin was asked.
    asked: usize,
    slowest: Duration,
    /// What went wrong for whoever came after that.
    next: Option<Failure>,
}

impl Row {
    fn new(scenario: Scenario, clients: usize) -> Self {
        Self {
            scenario,
            clients,
            waited: 0,
            gathering: Duration::ZERO,
            whole: 0,
            troubles: BTreeMap::new(),
            words: Vec::new(),
            asked: 0,
            slowest: Duration::ZERO,
            next: None,
        }
    }

    fn count(&mut self, took: Duration, outcome: Result<(), Failure>) {
        self.slowest = self.slowest.max(took);
        match outcome {
            Ok(()) => self.whole += 1,
            Err(failure) => {
                *self.troubles.entry(failure.trouble).or_default() += 1;
                if self.words.len() < 5 {
                    let words = format!("{:?}: {}", failure.trouble, failure.words);
                    self.words.push(words);
                }
            }
        }
    }

    fn cut(&self) -> usize {
        let of = |trouble| self.troubles.get(&trouble).copied().unwrap_or(0);
        of(Trouble::Cut) + of(Trouble::Reset)
    }

    /// The promises that this row breaks.
    fn broken(&self) -> Vec<String> {
        let mut broken = Vec::new();
        // Whoever is in the middle of an answer that breaks off is told so by a visible cut.
        let excused = match self.scenario {
            Scenario::Dies => self.cut(),
            _ => 0,
        };
        if self.whole + excused != self.clients {
            broken.push(format!(
                "{} of {} were served ({:?}): {}",
                self.whole,
                self.clients,
                self.troubles,
                self.words.join("; ")
            ));
        }
        let everyone = u64::try_from(self.clients - 1).unwrap_or(u64::MAX);
        if !self.scenario.is_private() && self.waited < everyone {
            broken.push(format!(
                "only {} of {everyone} waited at once after {} s: is the machine busy?",
                self.waited,
                self.gathering.as_secs()
            ));
        }
        let due = match self.scenario {
            Scenario::Storable => 1..=1,
            Scenario::Private | Scenario::PrivateAgain => self.clients..=self.clients,
            // Once for all of them, and, where they were not served, once more.
            Scenario::Dies => 1..=2,
            Scenario::Vanishes => 2..=2,
        };
        if !due.contains(&self.asked) {
            broken.push(format!("the origin was asked {} times", self.asked));
        }
        if let Some(failure) = &self.next {
            broken.push(format!(
                "who came next: {:?}: {}",
                failure.trouble, failure.words
            ));
        }
        let name = self.scenario.name();
        broken
            .iter()
            .map(|what| format!("{name}: {what}"))
            .collect()
    }

    fn summary(&self) -> String {
        format!(
            "{}: {} of {} whole, {} cut, the origin asked {} times, slowest {:.1} s",
            self.scenario.name(),
            self.whole,
            self.clients,
            self.cut(),
            self.asked,
            self.slowest.as_secs_f64()
        )
    }
}

/// Whoever waits for an answer that turns out to be another's alone loses the time until its head, and no more: two times
/// the origin's own delay, beside what the same crowd needs when nobody waits for anybody.
fn stall(rows: &[Row]) -> Option<String> {
    let of = |scenario| rows.iter().find(|row| row.scenario == scenario);
    let (first, again) = (of(Scenario::Private)?, of(Scenario::PrivateAgain)?);
    let allowed = again.slowest + 2 * DELAY;
    (first.slowest > allowed).then(|| {
        format!(
            "private: the slowest took {:.1} s; the origin takes {} s, and the same crowd {:.1} s when nobody waits",
            first.slowest.as_secs_f64(),
            DELAY.as_secs(),
            again.slowest.as_secs_f64()
        )
    })
}

fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "\n| what they ask for | asked at once | waited for one answer | served whole | cut visibly | otherwise wrong \
         | origin asked | origin's delay s | slowest s | who came next |\n|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let waited = match row.scenario.is_private() {
            true => "–".to_owned(),
            false => row.waited.to_string(),
        };
        let delay = match row.scenario.is_private() {
            true => DELAY.as_secs_f64(),
            false => row.gathering.as_secs_f64(),
        };
        let _ = writeln!(
            text,
            "| {} | {} | {waited} | {} | {} | {} | {} | {delay:.1} | {:.1} | {} |",
            row.scenario.name(),
            row.clients,
            row.whole,
            row.cut(),
            row.clients - row.whole - row.cut(),
            row.asked,
            row.slowest.as_secs_f64(),
            match row.next {
                None => "whole",
                Some(_) => "not served",
            }
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(scenario: Scenario, whole: usize, asked: usize) -> Row {
        Row {
            waited: 99,
            whole,
            asked,
            ..Row::new(scenario, 100)
        }
    }

    fn with(mut row: Row, trouble: Trouble, count: usize) -> Row {
        row.troubles.insert(trouble, count);
        row
    }

    #[test]
    fn one_question_serves_all_and_a_second_one_is_too_many() {
        assert!(row(Scenario::Storable, 100, 1).broken().is_empty());
        assert_eq!(row(Scenario::Storable, 100, 2).broken().len(), 1);
        assert_eq!(row(Scenario::Storable, 99, 1).broken().len(), 1);
        let few = Row {
            waited: 98,
            ..row(Scenario::Storable, 100, 1)
        };
        assert_eq!(few.broken().len(), 1);
    }

    #[test]
    fn only_a_death_in_the_body_excuses_a_cut_and_nothing_excuses_wrong_bytes() {
        let cut = |scenario, asked| with(row(scenario, 40, asked), Trouble::Reset, 60).broken();
        assert!(cut(Scenario::Dies, 1).is_empty());
        assert_eq!(cut(Scenario::Vanishes, 2).len(), 1);
        let wrong = with(row(Scenario::Dies, 99, 1), Trouble::Wrong, 1);
        assert_eq!(wrong.broken().len(), 1);
    }

    #[test]
    fn ten_thousand_need_fewer_descriptors_than_many_a_machine_allows() {
        assert_eq!(descriptors(10_000), 16_050);
        assert_eq!(descriptors(2), 1 + 1 + 2 + SPARE);
    }

    #[test]
    fn a_stall_is_more_than_the_origins_own_delay_twice() {
        let rows = |slowest| {
            let timed = |scenario, slowest| Row {
                slowest,
                ..row(scenario, 100, 100)
            };
            let again = timed(Scenario::PrivateAgain, DELAY);
            [timed(Scenario::Private, slowest), again]
        };
        assert!(stall(&rows(3 * DELAY)).is_none());
        assert!(stall(&rows(3 * DELAY + LOOK)).is_some());
    }
}
