//! Measuring one row: start everyone, take turns round by round, stop everyone.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Pid;

use crate::asks::Asks;
use crate::cpu::{self, Usage};
use crate::load::{CONNECTIONS, Fleet, Generator, Size, Target, Wire};
use crate::machine::Machine;
use crate::origin::{self, Origin};
use crate::peers::{self, Answer, Contender, Programs, Running, Server, Task};
use crate::process::{self, Program};
use crate::results::{Cell, Outcome, RowResult, Unit};
use crate::rows::{Measure, Row, Source};
use crate::terminal::say;
use crate::tls::Identity;
use crate::{clock, cold, stats};

/// How long a server may take from its start to its first answer.
const START: Duration = Duration::from_secs(60);
/// How long to wait for one answer while a server starts.
const FIRST_ANSWER: Duration = Duration::from_secs(2);
/// How long a server may take to come to rest after a run.
const REST: Duration = Duration::from_secs(3);
/// A server that uses less than this between two looks is at rest.
const AT_REST_NS: u64 = 50_000;
/// Memory is measured on a fresh server each time, and hardly differs: more rounds than this would teach nothing.
const MEMORY_ROUNDS: usize = 3;
/// Turns that each server takes in a round. Many short ones: what a shared machine does to one of them it does to its
/// neighbours too, and bursts of tens of milliseconds are seldom cut by the host, where whole seconds are.
pub(crate) const TURNS: usize = 48;
/// The same where a turn takes long: of rows from a cold disk, and of answers over 1 MiB from any.
pub(crate) const FEW_TURNS: usize = 12;
/// How often everything is asked for until a disk has all of it: what it was too far behind with is not there at first.
const FILLS: usize = 30;
/// Bytes in the bare loop's head when Mangrove is not there to give the length.
const HEAD_WITHOUT_MANGROVE: usize = 200;

/// What all rows of a run have in common.
pub(crate) struct Bench<'a> {
    pub(crate) generator: &'a Generator,
    pub(crate) identity: &'a Identity,
    pub(crate) programs: &'a Programs,
    pub(crate) machine: &'a Machine,
    pub(crate) work: &'a Path,
    pub(crate) server_core: usize,
    pub(crate) load_core: usize,
    pub(crate) rounds: usize,
    /// Who takes part; the bare loop always does.
    pub(crate) servers: &'a [Server],
}

/// A contender that is ready to be measured in turns.
struct Entrant {
    contender: Contender,
    state: State,
}

enum State {
    Ready {
        running: Running,
        size: Size,
        rounds: Rounds,
    },
    Out(Outcome),
}

/// One value for each round.
#[derive(Default)]
struct Rounds {
    values: Vec<f64>,
    /// Bytes read from the disk for each byte answered; none where no disk has a part.
    read: Vec<f64>,
}

/// What a server used in one turn, or in the turns of one round.
#[derive(Default)]
struct Turns {
    /// Nanoseconds of CPU for each request.
    cpu: Vec<f64>,
    read: Vec<f64>,
}

impl Bench<'_> {
    /// Measures a row.
    pub(crate) fn row(&self, row: &Row, measure: Measure) -> Result<RowResult> {
        say(&format!("\n{}: {}", row.name, row.title));
        let (cells, unit) = match measure {
            Measure::IdleMemory { connections } => {
                (self.memory(row, connections)?, Unit::ResidentBytes)
            }
            Measure::KeepAlive { .. } | Measure::NewConnection { .. } => {
                (self.cpu(row, measure)?, Unit::CpuNanoseconds)
            }
        };
        Ok(RowResult {
            row: row.name.to_owned(),
            title: row.title.to_owned(),
            unit,
            date: clock::date(),
            machine: self.machine.clone(),
            requests: measure.requests(),
            cells,
        })
    }

    /// CPU of a request: all servers stay up, and take turns in an order that moves on by one in each round.
    fn cpu(&self, row: &Row, measure: Measure) -> Result<Vec<Cell>> {
        let behind = Behind::start(row, self.work, self.load_core)?;
        let answer = behind.answer(row);
        let mut entrants = Vec::new();
        let mut head = HEAD_WITHOUT_MANGROVE;
        for contender in contenders(self.servers, row, measure) {
            let task = self.task(row, answer, head);
            let state = self.enter(contender, row, &task, &behind);
            if let (Server::Mangrove, true, State::Ready { size, .. }) =
                (contender.server, contender.logs, &state)
            {
                // HTTP/2 heads have no length of their own.
                head = if size.head > 0 { size.head } else { head };
            }
            entrants.push(Entrant { contender, state });
        }
        // The bare loop enters last, when Mangrove's length is known, and leads the table.
        let bare = Contender {
            server: Server::Bare,
            logs: false,
        };
        let state = self.enter(bare, row, &self.task(row, answer, head), &behind);
        entrants.insert(
            0,
            Entrant {
                contender: bare,
                state,
            },
        );

        self.rounds(&mut entrants, row, measure, &behind);
        Ok(entrants.into_iter().map(Entrant::into_cell).collect())
    }

    /// Memory of a connection: each server is started anew, alone, in each round.
    fn memory(&self, row: &Row, connections: usize) -> Result<Vec<Cell>> {
        let behind = Behind::start(row, self.work, self.load_core)?;
        let task = self.task(row, behind.answer(row), HEAD_WITHOUT_MANGROVE);
        let mut cells = Vec::new();
        let bare = Contender {
            server: Server::Bare,
            logs: false,
        };
        let others = contenders(self.servers, row, Measure::IdleMemory { connections });
        for contender in std::iter::once(bare).chain(others) {
            let outcome = self.memory_of(contender, row, &task, &behind, connections);
            cells.push(Cell { contender, outcome });
        }
        Ok(cells)
    }

    fn memory_of(
        &self,
        contender: Contender,
        row: &Row,
        task: &Task<'_>,
        behind: &Behind,
        connections: usize,
    ) -> Outcome {
        let mut kept = Outcome::Measured {
            values: Vec::new(),
            read: Vec::new(),
            head: 0,
            body: 0,
        };
        for _ in 0..self.rounds.min(MEMORY_ROUNDS) {
            let state = self.enter(contender, row, task, behind);
            let State::Ready { running, size, .. } = state else {
                return Entrant { contender, state }.into_cell().outcome;
            };
            let bytes = match self.memory_once(contender, &running, row, connections) {
                Ok(bytes) => bytes,
                Err(error) => {
                    return failed(contender, &error);
                }
            };
            if let Outcome::Measured {
                values, head, body, ..
            } = &mut kept
            {
                values.push(bytes);
                (*head, *body) = (size.head, size.body);
            }
        }
        if let Outcome::Measured { values, .. } = &kept {
            let bytes = stats::median(values).unwrap_or_default();
            say(&format!(
                "  {:<20} {bytes:>10.0} bytes",
                contender.to_string()
            ));
        }
        kept
    }

    fn memory_once(
        &self,
        contender: Contender,
        running: &Running,
        row: &Row,
        connections: usize,
    ) -> Result<f64> {
        let target = self.target(contender, running, row);
        let roots = running.roots()?;
        // What a first few connections bring in once (code, pools) is not the price of the ten thousandth.
        let mut few = self.generator.open(&target, CONNECTIONS)?;
        self.generator.run(&mut few, 10 * CONNECTIONS)?;
        rest(&roots)?;
        let before = cpu::resident(&roots)?;
        let mut fleet = self.generator.open(&target, connections)?;
        rest(&roots)?;
        let after = cpu::resident(&roots)?;
        let ended = self.generator.ended(&mut fleet);
        ensure!(
            ended == 0,
            "it ended {ended} of {connections} idle connections"
        );
        drop(few);
        Ok(ratio(after.saturating_sub(before), connections))
    }

    fn enter(&self, contender: Contender, row: &Row, task: &Task<'_>, behind: &Behind) -> State {
        let reason = peers::not_applicable(contender.server, row, self.programs);
        if let Some(reason) = reason {
            say(&format!("  {contender}: n/a: {reason}"));
            return State::Out(Outcome::NotApplicable { reason });
        }
        match self.start(contender, row, task, behind) {
            Ok((running, size)) => State::Ready {
                running,
                size,
                rounds: Rounds::default(),
            },
            Err(error) => State::Out(failed(contender, &error)),
        }
    }

    fn start(
        &self,
        contender: Contender,
        row: &Row,
        task: &Task<'_>,
        behind: &Behind,
    ) -> Result<(Running, Size)> {
        let mut running = Running::start(contender, task, self.programs, self.work, &[])?;
        let size = wait_until_ready(self.generator, &mut running, START, |running| {
            self.target(contender, running, row)
        })?;
        if row.shelf().is_some() && contender.server != Server::Bare {
            say(&format!("  {contender}: filling its disk"));
            self.fill(&self.target(contender, &running, row), behind)?;
        }
        Ok((running, size))
    }

    /// Asks for everything until the origin is not asked for any of it.
    fn fill(&self, target: &Target<'_>, behind: &Behind) -> Result<()> {
        let mut missing = 0;
        for _ in 0..FILLS {
            let asked = behind.asked();
            self.generator.ask_for_all(target)?;
            missing = behind.asked() - asked;
            if missing == 0 {
                return Ok(());
            }
            clock::rest();
        }
        bail!("it still lacks {missing} objects after everything was asked for {FILLS} times")
    }

    /// All rounds: everyone takes a short turn, again and again, in an order that moves on by one each time. Turns are
    /// dealt to the rounds like cards, so that each round has its share of every minute that the machine has.
    fn rounds(&self, entrants: &mut [Entrant], row: &Row, measure: Measure, behind: &Behind) {
        let opened: Vec<_> = entrants.iter().map(Entrant::account).collect();
        if row.shelf().is_some() {
            // What is written behind a server's back would be so in others' turns.
            rustix::fs::sync();
        }
        let (count, turns) = (entrants.len(), row.turns());
        let rounds = || (0..self.rounds).map(|_| Turns::default()).collect();
        let mut used: Vec<Vec<Turns>> = (0..count).map(|_| rounds()).collect();
        for turn in 0..turns * self.rounds {
            if turn % turns == 0 {
                let all = turns * self.rounds;
                say(&format!("  turn {} of {all}", turn + 1));
            }
            for place in 0..count {
                let index = (turn + place) % count;
                let (Some(entrant), Some(used)) = (entrants.get_mut(index), used.get_mut(index))
                else {
                    continue;
                };
                match self.turn(entrant, row, measure, turn, behind) {
                    Some(Ok(taken)) => {
                        if let Some(round) = used.get_mut(turn % self.rounds) {
                            let requests = row.turn(measure);
                            round.cpu.push(ratio(taken.nanoseconds, requests));
                            let read = taken.read.map(|read| ratio(read, requests * row.body));
                            round.read.extend(read);
                        }
                    }
                    Some(Err(error)) => {
                        entrant.state = State::Out(failed(entrant.contender, &error))
                    }
                    None => {}
                }
            }
        }
        for ((entrant, opened), used) in entrants.iter_mut().zip(opened).zip(used) {
            let of_rounds = |of: fn(&Turns) -> &[f64]| {
                let rounds = used.iter().map(of);
                rounds.filter_map(stats::midmean).collect()
            };
            let rounds = Rounds {
                values: of_rounds(|turns| &turns.cpu),
                read: of_rounds(|turns| &turns.read),
            };
            entrant.close(opened, rounds);
        }
    }

    /// What a ready server used for the requests of one turn.
    fn turn(
        &self,
        entrant: &Entrant,
        row: &Row,
        measure: Measure,
        turn: usize,
        behind: &Behind,
    ) -> Option<Result<Taken>> {
        let State::Ready { running, .. } = &entrant.state else {
            return None;
        };
        let mut target = self.target(entrant.contender, running, row);
        // Everyone is asked the same in the same turn, and something new in the next one.
        let step = match row.shelf() {
            Some(_) => row.warm_up(measure) + row.turn(measure),
            None => row.connections() + 2 * row.turn(measure),
        };
        let place = turn * step;
        target.questions = target.questions.at_place(place);
        let asked = behind.asked();
        let used = self.cpu_once(&target, running, row, measure);
        let asked = behind.asked() - asked;
        Some(used.and_then(|used| {
            ensure!(
                asked == 0,
                "void: it asked the origin {asked} times for what it should have had"
            );
            Ok(used)
        }))
    }

    fn cpu_once(
        &self,
        target: &Target<'_>,
        running: &Running,
        row: &Row,
        measure: Measure,
    ) -> Result<Taken> {
        let roots = running.roots()?;
        let (requests, warm_up) = (row.turn(measure), row.warm_up(measure));
        let store = running.store();
        let is_cold = row.shelf().is_some_and(|shelf| shelf.is_cold);
        let read = || match store {
            Some(_) => cold::read_from_disk(&roots).map(Some),
            None => Ok(None),
        };
        match measure {
            Measure::NewConnection { resume, .. } => {
                let mut callers = self.generator.callers(target, resume)?;
                self.generator.call(&mut callers, warm_up)?;
                measured(&roots, read, || self.generator.call(&mut callers, requests))
            }
            Measure::KeepAlive { .. } | Measure::IdleMemory { .. } => {
                let mut fleet: Fleet = self.generator.open(target, row.connections())?;
                self.generator.run(&mut fleet, warm_up)?;
                // What comes now is none of what went before: all of it has to be read.
                if let Some(store) = store.filter(|_| is_cold) {
                    rest(&roots)?;
                    cold::chill(store)?;
                }
                measured(&roots, read, || self.generator.run(&mut fleet, requests))
            }
        }
    }

    fn target(&self, contender: Contender, running: &Running, row: &Row) -> Target<'_> {
        // The yardstick is the same in all rows: it knows neither TLS nor HTTP/2.
        let wire = if contender.server == Server::Bare {
            Wire::H1
        } else {
            row.wire
        };
        let questions = match contender.server {
            Server::Bare => row.questions().of_one_answer(),
            _ => row.questions(),
        };
        Target {
            address: running.address(wire),
            wire,
            identity: self.identity,
            questions,
        }
    }

    fn task(&self, row: &Row, answer: Answer, head: usize) -> Task<'_> {
        Task {
            answer,
            body: row.body,
            is_unchanged: row.source == Source::Cache(Asks::Known),
            refuses: row.source == Source::Refusal,
            head,
            identity: self.identity,
            core: self.server_core,
        }
    }
}

/// What stands behind the servers of a row.
pub(crate) enum Behind {
    /// Nothing: they make the answers.
    Nobody,
    /// The bare loop, which cannot tell what it was asked.
    Loop {
        /// Keeps it running.
        _program: Program,
        /// Where it listens.
        address: SocketAddr,
    },
    /// An origin whose answers may be kept, and which counts who asks.
    Counting(Origin),
}

impl Behind {
    /// Starts what a row needs, on `core`.
    pub(crate) fn start(row: &Row, work: &Path, core: usize) -> Result<Self> {
        Ok(match row.source {
            Source::Edge | Source::Refusal => Self::Nobody,
            Source::Origin => {
                let (_program, address) = peers::start_origin(work, core, row.body)?;
                Self::Loop { _program, address }
            }
            // A thread of this program, which has pinned itself to that core.
            Source::Cache(_) | Source::Disk(_) => Self::Counting(origin::start()?),
        })
    }

    /// Who answers in this row.
    pub(crate) fn answer(&self, row: &Row) -> Answer {
        match self {
            Self::Nobody => Answer::Edge,
            Self::Loop { address, .. } => Answer::Origin(*address),
            Self::Counting(origin) if row.shelf().is_some() => Answer::Disk {
                origin: origin.address,
                bytes: row.set_bytes(),
            },
            Self::Counting(origin) => Answer::Cache(origin.address),
        }
    }

    /// How often it was asked, if it counts that.
    fn asked(&self) -> usize {
        match self {
            Self::Nobody | Self::Loop { .. } => 0,
            Self::Counting(origin) => origin.asked(),
        }
    }
}

impl Entrant {
    /// The whole account of a ready server's processes.
    fn account(&self) -> Option<Usage> {
        let State::Ready { running, .. } = &self.state else {
            return None;
        };
        Usage::of(&running.roots().ok()?).ok()
    }

    /// Keeps the rounds' values, unless a thread ended meanwhile and took its account along.
    fn close(&mut self, opened: Option<Usage>, measured: Rounds) {
        let (Some(opened), Some(closed)) = (opened, self.account()) else {
            return;
        };
        let contender = self.contender;
        match (closed.since(&opened), &mut self.state) {
            (Ok(_), State::Ready { rounds, .. }) => *rounds = measured,
            (Err(error), _) => self.state = State::Out(failed(contender, &error)),
            (Ok(_), State::Out(_)) => {}
        }
    }

    fn into_cell(self) -> Cell {
        let outcome = match self.state {
            State::Out(outcome) => outcome,
            State::Ready {
                running,
                size,
                rounds,
            } => match running.stop() {
                Ok(()) => Outcome::Measured {
                    values: rounds.values,
                    read: rounds.read,
                    head: size.head,
                    body: size.body,
                },
                Err(error) => failed(self.contender, &error),
            },
        };
        Cell {
            contender: self.contender,
            outcome,
        }
    }
}

/// Waits until a server that was just started gives one whole and right answer; then lets it get everything that the row
/// asks for, so that a cache has it. Gives the size of an answer from then on.
pub(crate) fn wait_until_ready<'a>(
    generator: &Generator,
    running: &mut Running,
    limit: Duration,
    target: impl Fn(&Running) -> Target<'a>,
) -> Result<Size> {
    let mut last = None;
    let answer = clock::poll(limit, || {
        running.check_alive()?;
        match generator.probe_anew(&target(running), FIRST_ANSWER) {
            Ok(_) => Ok(Some(())),
            Err(error) => {
                last = Some(error);
                Ok(None)
            }
        }
    });
    answer.with_context(|| match last {
        Some(error) => format!("no right answer ({error:#})"),
        None => "no answer".to_owned(),
    })?;
    let target = target(running);
    generator.ask_for_all(&target)?;
    generator.probe(&target, FIRST_ANSWER)
}

fn failed(contender: Contender, error: &anyhow::Error) -> Outcome {
    process::wait_if_stopping();
    let reason = format!("{error:#}");
    say(&format!("    {contender}: failed: {reason}"));
    Outcome::Failed { reason }
}

/// Who takes part besides the bare loop.
fn contenders(servers: &[Server], row: &Row, measure: Measure) -> impl Iterator<Item = Contender> {
    let memory = matches!(measure, Measure::IdleMemory { .. });
    let answerers = row.suits_an_answerer();
    servers
        .iter()
        .copied()
        .filter(move |server| *server != Server::Bare && (answerers || !server.only_answers()))
        .filter(|server| *server == Server::Mangrove || row.is_for_all())
        .flat_map(|server| [true, false].map(|logs| Contender { server, logs }))
        .filter(|contender| !(contender.logs && contender.server.only_answers()))
        // A log costs idle connections nothing: Mangrove is taken as it comes, with a log, the peers at their best.
        .filter(move |contender| {
            !memory || contender.logs == (contender.server == Server::Mangrove)
        })
}

/// What a server took of the machine.
struct Taken {
    /// Of CPU.
    nanoseconds: u64,
    /// Bytes from the disk, where that is asked.
    read: Option<u64>,
}

fn measured(
    roots: &[Pid],
    read: impl Fn() -> Result<Option<u64>>,
    run: impl FnOnce() -> Result<()>,
) -> Result<Taken> {
    rest(roots)?;
    let (before, read_before) = (Usage::of(roots)?, read()?);
    run()?;
    rest(roots)?;
    Ok(Taken {
        nanoseconds: Usage::of(roots)?.since(&before)?,
        read: read()?.map(|now| now.saturating_sub(read_before.unwrap_or(0))),
    })
}

/// Waits until the processes have come to rest, so that each one's account is complete; in vain, if they never do.
fn rest(roots: &[Pid]) -> Result<()> {
    let mut last = Usage::of(roots)?;
    let quiet = clock::poll(REST, || {
        let now = Usage::of(roots)?;
        let used = now.since(&last).unwrap_or(0);
        last = now;
        Ok((used < AT_REST_NS).then_some(()))
    });
    // A server with housekeeping of its own is measured with it.
    drop(quiet);
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
fn ratio(total: u64, count: usize) -> f64 {
    total as f64 / count.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows;

    #[test]
    fn every_server_takes_part_with_and_without_a_log() {
        let row = rows::find("pass-1k").unwrap();
        let all: Vec<_> = contenders(&Server::ALL, row, row.measure).collect();
        assert_eq!(all.len(), 2 * (Server::ALL.len() - 1));
    }

    #[test]
    fn hyper_has_no_log_and_passes_nothing_through() {
        let count = |name| {
            let row = rows::find(name).unwrap();
            contenders(&[Server::Hyper], row, row.measure).count()
        };
        assert_eq!(
            (count("respond-1k"), count("idle-h1"), count("pass-1k")),
            (1, 1, 0)
        );
    }

    #[test]
    fn memory_is_taken_of_mangrove_with_its_log_and_of_peers_without() {
        let row = rows::find("idle-h1").unwrap();
        for contender in contenders(&Server::ALL, row, row.measure) {
            assert_eq!(contender.logs, contender.server == Server::Mangrove);
        }
    }
}
