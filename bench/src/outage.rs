//! What visitors get while the origin is out: stopped in the middle of traffic, silent, or failing; and how soon all is well
//! once it is back.
//!
//! Visitors keep their connections, over all four wires, and each asks without end for one kind of object: fresh, stale by
//! permission, stale against a prohibition, and never asked for before. Every answer is judged by what its kind may give at
//! that moment: the right bytes, by the cache's own word, or the right page, by its name. Nothing else is let pass.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;
use tokio::runtime::LocalRuntime;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use self::judge::{Got, Kind, Phase};
use self::origin::{BODY, Mood, Origin};
use crate::subject::Subject;
use crate::terminal::say;
use crate::visit::{Ask, Expect, Failure, Visitor, Way, Wire};

mod judge;
mod origin;

/// The site that everyone asks for.
const HOST: &str = "outage.example";
/// Visitors for each kind and wire.
const EACH: usize = 2;
/// Objects of each kind but the unknown.
const OBJECTS: usize = 20;
/// What a visitor does between two requests: nothing, for so long.
const PAUSE: Duration = Duration::from_millis(20);
/// How long one waits for a connection or an answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long everything has been well before the origin goes: by then, all of each kind is kept.
const BEFORE: Duration = Duration::from_secs(3);
/// How long it is watched after it must have recovered.
const AFTER: Duration = Duration::from_secs(2);
/// From one health check to the next, and how long one may take: [`SITE`] says the same.
const INTERVAL: Duration = Duration::from_secs(1);
/// The interval is kept give or take a tenth; a check, and what was begun before it, take their time on a busy machine.
const SLACK: Duration = Duration::from_millis(1000);
/// The origin's times are short, so that everything is seen in seconds. One good check brings it back.
const SITE: &str = "[site.origin]\nconnect_timeout = \"500ms\"\nfirst_byte_timeout = \"1s\"\n\
    [site.origin.health]\npath = \"/health\"\ninterval = \"1s\"\ntimeout = \"500ms\"\nhealthy_after = 1\nunhealthy_after = 2\n";

/// How to look.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The mangrove program. Unset, it is built first.
    #[arg(long, value_name = "PATH")]
    pub(crate) mangrove: Option<PathBuf>,
    /// How long the origin is out each time.
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(4..=300))]
    out: u64,
    /// Outages of 4 s: for every change.
    #[arg(long, conflicts_with = "out")]
    short: bool,
}

impl Options {
    fn out(&self) -> Duration {
        Duration::from_secs(if self.short { 4 } else { self.out })
    }
}

/// How the origin goes out.
const OUTAGES: [(Mood, &str); 3] = [
    (Mood::Gone, "stopped: refuses connections"),
    (Mood::Silent, "hangs: answers nothing"),
    (Mood::Failing, "answers 500"),
];

/// Lets the origin go out in every way and says what was noticed; a failure when a promise was broken.
pub(crate) fn run(options: &Options, program: &Path) -> Result<ExitCode> {
    let runtime = LocalRuntime::new()?;
    let mut rows = Vec::new();
    for (mood, name) in OUTAGES {
        // Each against a fresh Mangrove: what one outage taught it must not help in the next.
        let origin = Origin::start()?;
        let mut subject = Subject::prepare(program, "outage")?;
        subject.configure("", &site(&origin))?;
        subject.serve()?;
        let way = Way::to(&subject)?;
        say(&format!("{name}, for {} s", options.out().as_secs()));
        let watched = runtime.block_on(watch(&way, &origin, mood, options.out()))?;
        rows.extend(watched.into_iter().map(|row| (name, row)));
        subject.stop()?;
    }
    say(&table(&rows));
    let broken: Vec<String> = rows
        .iter()
        .flat_map(|(name, row)| row.broken(name))
        .collect();
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

fn site(origin: &Origin) -> String {
    format!(
        "[[site]]\nname = \"outage\"\nhosts = [\"{HOST}\"]\norigins = [\"http://{}\"]\n{SITE}",
        origin.address
    )
}

/// What everyone sees of the moment.
#[derive(Clone, Copy)]
struct Scene {
    phase: Phase,
    since: Instant,
    over: bool,
}

/// One outage from before it until after it: a row for each kind and phase.
async fn watch(way: &Way, origin: &Origin, mood: Mood, out: Duration) -> Result<Vec<Row>> {
    let scene = Rc::new(Cell::new(Scene {
        phase: Phase::Before,
        since: Instant::now(),
        over: false,
    }));
    let tally = Rc::new(RefCell::new(Tally::default()));
    let turn = |phase, over| {
        scene.set(Scene {
            phase,
            since: Instant::now(),
            over,
        });
    };
    let mut visitors: Vec<JoinHandle<()>> = Vec::new();
    for (wire, kind) in Wire::ALL
        .into_iter()
        .flat_map(|wire| Kind::ALL.map(|kind| (wire, kind)))
    {
        for number in 0..EACH {
            visitors.push(tokio::task::spawn_local(visits(
                way.clone(),
                wire,
                kind,
                number,
                mood,
                Rc::clone(&scene),
                Rc::clone(&tally),
            )));
        }
    }
    sleep(BEFORE).await;
    origin.be(mood);
    turn(Phase::Out, false);
    sleep(out).await;
    say("  it is back");
    origin.be(Mood::Well);
    turn(Phase::Back, false);
    sleep(INTERVAL + SLACK + AFTER).await;
    turn(Phase::Back, true);
    for visits in visitors {
        let _ = timeout(PATIENCE, visits).await;
    }
    let rows = std::mem::take(&mut tally.borrow_mut().rows);
    Ok(rows
        .into_iter()
        .map(|((kind, phase), row)| Row { kind, phase, ..row })
        .collect())
}

/// One visitor's requests, until the scene is over.
async fn visits(
    way: Way,
    wire: Wire,
    kind: Kind,
    number: usize,
    mood: Mood,
    scene: Rc<Cell<Scene>>,
    tally: Rc<RefCell<Tally>>,
) {
    let mut connection: Option<Visitor> = None;
    for round in 0.. {
        let then = scene.get();
        if then.over {
            return;
        }
        if let Some(visitor) = &mut connection
            && visitor.is_over().await
        {
            connection = None;
        }
        let asked = Instant::now();
        let answer = async {
            let mut visitor = match connection.take() {
                Some(visitor) => visitor,
                None => Visitor::arrive(&way, wire, PATIENCE).await?,
            };
            let answer = visitor.look(&ask(kind, wire, number, round)).await?;
            Ok::<_, Failure>((visitor, answer))
        };
        let got = match answer.await {
            Ok((visitor, answer)) => {
                connection = Some(visitor);
                judge::got(&answer)
            }
            Err(failure) => Got::trouble(&failure),
        };
        let now = scene.get();
        // An answer on its way when the scene changed may be of either.
        let may = judge::may(kind, then.phase, mood, &got)
            || (now.phase != then.phase && judge::may(kind, now.phase, mood, &got));
        let late = (then.phase == Phase::Back && !got.is_right())
            .then(|| Instant::now().saturating_duration_since(then.since));
        tally
            .borrow_mut()
            .count(kind, then.phase, got, may, late, asked.elapsed());
        sleep(PAUSE).await;
    }
}

fn ask(kind: Kind, wire: Wire, number: usize, round: usize) -> Ask {
    let path = match kind {
        // Nobody has asked for it yet.
        Kind::Unknown => format!("/unknown/{wire:?}-{number}-{round}"),
        known => format!("/{}/{}", known.folder(), (number + round) % OBJECTS),
    };
    Ask {
        host: HOST.to_owned(),
        path,
        upload: None,
        expect: Expect::Pattern(BODY),
        mark: None,
        within: PATIENCE,
    }
}

#[derive(Default)]
struct Tally {
    rows: BTreeMap<(Kind, Phase), Row>,
}

impl Tally {
    fn count(
        &mut self,
        kind: Kind,
        phase: Phase,
        got: Got,
        may: bool,
        late: Option<Duration>,
        took: Duration,
    ) {
        let row = self.rows.entry((kind, phase)).or_default();
        row.asked += 1;
        row.right += u64::from(got.is_right());
        row.slowest = row.slowest.max(took);
        row.recovered = row.recovered.max(late);
        let words = got.words();
        if !may {
            row.wrong += 1;
            if row.examples.len() < 5 {
                row.examples.push(words.clone());
            }
        }
        *row.got.entry(words).or_default() += 1;
    }
}

/// What was seen of one kind in one phase.
#[derive(Default)]
struct Row {
    kind: Kind,
    phase: Phase,
    asked: u64,
    /// Right bytes.
    right: u64,
    /// What must not have been.
    wrong: u64,
    examples: Vec<String>,
    got: BTreeMap<String, u64>,
    slowest: Duration,
    /// Once the origin was back: until the last answer that was not yet the right one.
    recovered: Option<Duration>,
}

impl Row {
    /// The promises that it breaks.
    fn broken(&self, outage: &str) -> Vec<String> {
        let mut broken = Vec::new();
        if self.asked == 0 {
            broken.push("nobody asked".to_owned());
        }
        if self.wrong > 0 {
            let examples = self.examples.join("; ");
            broken.push(format!("{} that must not be: {examples}", self.wrong));
        }
        if let Some(recovered) = self.recovered.filter(|late| *late > INTERVAL + SLACK) {
            broken.push(format!(
                "all well only {:.1} s after the origin was; checks come every {} s",
                recovered.as_secs_f64(),
                INTERVAL.as_secs()
            ));
        }
        let (kind, phase) = (self.kind.name(), self.phase.name());
        broken
            .iter()
            .map(|what| format!("{outage}: {kind}, {phase}: {what}"))
            .collect()
    }
}

fn table(rows: &[(&str, Row)]) -> String {
    let mut text = String::from(
        "\n| outage | object | phase | asked | right bytes | must not be | slowest ms | all well after s | what they got |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for (outage, row) in rows {
        let recovered = match (row.phase, row.recovered) {
            (Phase::Back, Some(late)) => format!("{:.1}", late.as_secs_f64()),
            (Phase::Back, None) => "0".to_owned(),
            _ => "–".to_owned(),
        };
        let got: Vec<String> = row
            .got
            .iter()
            .map(|(words, count)| format!("{count} × {words}"))
            .collect();
        let _ = writeln!(
            text,
            "| {outage} | {} | {} | {} | {} | {} | {} | {recovered} | {} |",
            row.kind.name(),
            row.phase.name(),
            row.asked,
            row.right,
            row.wrong,
            row.slowest.as_millis(),
            got.join("; ")
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::visit::Trouble;

    #[test]
    fn recovery_later_than_the_next_check_breaks_the_promise() {
        let row = |late| Row {
            asked: 1,
            phase: Phase::Back,
            recovered: Some(late),
            ..Row::default()
        };
        assert!(row(INTERVAL + SLACK).broken("x").is_empty());
        let late = row(INTERVAL + SLACK + Duration::from_millis(1));
        assert_eq!(late.broken("x").len(), 1);
    }

    #[test]
    fn whoever_asked_nothing_has_shown_nothing() {
        assert_eq!(Row::default().broken("x").len(), 1);
    }

    #[test]
    fn trouble_of_a_connection_is_never_an_answer() {
        let failure = Failure {
            trouble: Trouble::Cut,
            words: "cut".to_owned(),
        };
        let got = Got::trouble(&failure);
        for kind in Kind::ALL {
            for phase in [Phase::Before, Phase::Out, Phase::Back] {
                assert!(!judge::may(kind, phase, Mood::Gone, &got));
            }
        }
    }
}
