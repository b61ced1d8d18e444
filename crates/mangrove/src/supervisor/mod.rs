//! What the supervisor decides: which edges run, which of them serves, and what a change may do.
//!
//! Pure: [`Supervisor::on`] takes what happened and the time, and returns what to do. Processes, sockets and files are
//! the shell's business (`crate::shell`), so every story here is tested without one.
//!
//! ```text
//! Starting ──ready──▶ Serving ──drain──▶ Draining ──exit──▶ gone
//!     └──exit, or not ready in time──▶ the change fails and the old one stays
//! ```
//!
//! At most one *change* is under way: the first start, a configuration applied in place, or another edge (with other
//! sockets or another binary) that must become ready before the old one drains. A change that fails is taken back and
//! leaves everything as it was.

mod change;
mod restart;
mod words;

use std::collections::BTreeMap;
use std::mem;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use change::{Change, Way};
pub(crate) use restart::{Exit, RestartPolicy};
pub(crate) use words::{Action, Asker, Call, Event, Generation, Status, Stop};

/// How long an edge may take from its start until every core accepts.
pub(crate) const READY_LIMIT: Duration = Duration::from_secs(30);
/// How long an edge may drain before it is killed: its own drain limit (60 s at most) and a little more.
pub(crate) const DRAIN_LIMIT: Duration = Duration::from_secs(65);
/// How often the serving edge is asked whether it is well.
pub(crate) const HEALTH_INTERVAL: Duration = Duration::from_secs(2);
/// So many health questions in a row without an answer, and the edge is ended and started anew.
pub(crate) const HEALTH_FAILURES: u32 = 3;
/// How often a change starts its edge again when that was killed from outside before it was ready.
pub(crate) const CANDIDATE_STARTS: u32 = 3;

/// The state of all edges.
#[derive(Debug)]
pub(crate) struct Supervisor {
    edges: BTreeMap<Generation, Edge>,
    next_generation: Generation,
    /// The edge that serves, or that is to.
    current: Option<Generation>,
    program: PathBuf,
    change: Option<Change>,
    restart: RestartPolicy,
    restart_at: Option<Instant>,
    health_at: Option<Instant>,
    health_failures: u32,
    ever_served: bool,
    stopping: bool,
}

#[derive(Debug)]
struct Edge {
    phase: Phase,
    started: Instant,
    served: bool,
    program: PathBuf,
    /// Why we killed it ourselves.
    doomed: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Starting { until: Instant },
    Serving,
    Draining { until: Instant },
}

impl Supervisor {
    /// A supervisor that has no edges yet and numbers its first one `next_generation`.
    #[must_use]
    pub(crate) fn new(next_generation: Generation) -> Self {
        Self {
            edges: BTreeMap::new(),
            next_generation,
            current: None,
            program: PathBuf::new(),
            change: None,
            restart: RestartPolicy::default(),
            restart_at: None,
            health_at: None,
            health_failures: 0,
            ever_served: false,
            stopping: false,
        }
    }

    /// Takes one event and tells what to do about it.
    pub(crate) fn on(&mut self, event: Event, now: Instant) -> Vec<Action> {
        match event {
            Event::Boot { program, fallback } => self.boot(program, fallback, now),
            Event::Adopted {
                generation,
                serves,
                program,
            } => self.adopted(generation, serves, program, now),
            Event::Ready(generation) => self.ready(generation, now),
            Event::Exited(generation, exit) => self.exited(generation, exit, now),
            Event::Answered(generation, call, answer) => {
                self.answered(generation, call, answer, now)
            }
            Event::Configured { asker, sockets } => self.configured(asker, sockets, now),
            Event::Upgrade { asker, program } => self.upgrade(asker, program, now),
            Event::NotReplaced(why) => vec![Action::Say(format!(
                "The new edge serves, but this supervisor could not become the new program: {why}. \
                 It goes on as it was."
            ))],
            Event::Terminate => self.terminate(now),
            Event::Reopen => self.reopen(),
            Event::Tick => self.tick(now),
        }
    }

    /// When to call [`Supervisor::on`] with [`Event::Tick`] at the latest.
    #[must_use]
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let phases = self.edges.values().filter_map(|edge| match edge.phase {
            _ if edge.doomed.is_some() => None,
            Phase::Starting { until } | Phase::Draining { until } => Some(until),
            Phase::Serving => None,
        });
        phases.chain(self.restart_at).chain(self.health_at).min()
    }

    /// Why a change would be refused just now, before anything is written for it.
    #[must_use]
    pub(crate) fn refuses_change(&self) -> Option<&'static str> {
        if self.stopping {
            Some("Mangrove is stopping; nothing was changed.")
        } else if self.change.is_some() {
            Some("Another change is under way; try again when it is done.")
        } else {
            None
        }
    }

    /// What the supervisor is about.
    #[must_use]
    pub(crate) fn status(&self) -> Status {
        if self.stopping {
            return Status::Stopping;
        }
        if !self.ever_served {
            return Status::Starting;
        }
        match (self.serving(), &self.change) {
            (Some(_), Some(_)) => Status::Changing,
            (Some(_), None) => Status::Serving,
            (None, _) => Status::Recovering,
        }
    }

    /// The edge that serves, if one does.
    #[must_use]
    pub(crate) fn serving(&self) -> Option<Generation> {
        let current = self.current?;
        let edge = self.edges.get(&current)?;
        (edge.phase == Phase::Serving).then_some(current)
    }

    /// The number the next edge will have.
    #[must_use]
    pub(crate) fn next_generation(&self) -> Generation {
        self.next_generation
    }

    fn boot(&mut self, program: PathBuf, fallback: bool, now: Instant) -> Vec<Action> {
        self.program.clone_from(&program);
        let (candidate, start) = self.start(program, now);
        self.change = Some(Change {
            asker: Asker::Startup,
            way: Way::Replace {
                candidate,
                starts: 1,
                upgrade: false,
                fallback,
            },
        });
        vec![start]
    }

    fn adopted(
        &mut self,
        generation: Generation,
        serves: bool,
        program: PathBuf,
        now: Instant,
    ) -> Vec<Action> {
        self.next_generation = self.next_generation.max(generation.saturating_add(1));
        let phase = if serves {
            Phase::Serving
        } else {
            drain_from(now)
        };
        let edge = Edge {
            phase,
            started: now,
            served: true,
            program: program.clone(),
            doomed: None,
        };
        self.edges.insert(generation, edge);
        self.ever_served = true;
        if !serves {
            return vec![Action::Call(generation, Call::Drain)];
        }
        self.program = program;
        self.now_serving(generation, now);
        Vec::new()
    }

    fn ready(&mut self, generation: Generation, now: Instant) -> Vec<Action> {
        let Some(edge) = self.edges.get_mut(&generation) else {
            return Vec::new();
        };
        if !matches!(edge.phase, Phase::Starting { .. }) || edge.doomed.is_some() {
            return Vec::new();
        }
        edge.phase = Phase::Serving;
        edge.served = true;
        let program = edge.program.clone();

        let candidate = match &self.change {
            Some(Change {
                asker,
                way: Way::Replace {
                    candidate, upgrade, ..
                },
            }) if *candidate == generation => Some((*asker, *upgrade)),
            _ => None,
        };
        let Some((asker, upgrade)) = candidate else {
            self.now_serving(generation, now);
            return vec![Action::Say(format!(
                "Edge {generation} took over and is serving."
            ))];
        };
        self.change = None;
        self.restart.forget();
        let before = self.current.replace(generation);
        self.program.clone_from(&program);
        self.now_serving(generation, now);
        let mut actions = vec![Action::Keep];
        actions.extend(before.and_then(|before| self.drain(before, now)));
        if upgrade {
            actions.push(Action::Become { program, asker });
        } else {
            let told = format!("Edge {generation} is serving.");
            actions.push(Action::Answer(asker, Ok(told)));
        }
        actions
    }

    fn exited(&mut self, generation: Generation, exit: Exit, now: Instant) -> Vec<Action> {
        let Some(edge) = self.edges.remove(&generation) else {
            return Vec::new();
        };
        let exit = match edge.doomed.clone() {
            Some(why) => Exit::Fault(why),
            None => exit,
        };
        if self.stopping {
            return self.exit_when_alone();
        }
        if matches!(edge.phase, Phase::Draining { .. }) {
            return match exit {
                Exit::Clean | Exit::Unknown => Vec::new(),
                exit => vec![Action::Say(format!(
                    "Edge {generation} {exit} while it drained; the requests it still had are lost."
                ))],
            };
        }
        if self.candidate() == Some(generation) {
            return self.candidate_exited(generation, edge, exit, now);
        }
        if self.current != Some(generation) {
            return Vec::new();
        }
        self.current = None;
        self.health_at = None;
        if self.candidate().is_some() {
            // A successor is starting anyway: it takes over as soon as it is ready, or a replacement does.
            return vec![Action::Say(format!(
                "Edge {generation} {exit}; its successor is already starting."
            ))];
        }
        let mut actions = Vec::new();
        if let Some(Change { asker, .. }) = self.change.take() {
            if matches!(exit, Exit::Outside(_)) {
                return self.restart_as_candidate(generation, asker, &exit, now);
            }
            actions.push(Action::TakeBack);
            actions.push(Action::Answer(
                asker,
                Err(format!(
                    "The edge {exit} while it applied the new configuration; the older one is back in force."
                )),
            ));
        }
        actions.extend(self.restart_after(generation, &edge, &exit, now));
        actions
    }

    fn answered(
        &mut self,
        generation: Generation,
        call: Call,
        answer: Result<String, String>,
        now: Instant,
    ) -> Vec<Action> {
        match call {
            Call::Health => self.health_answered(generation, &answer, now),
            Call::Reopen => match answer {
                Ok(_) => Vec::new(),
                Err(why) => vec![Action::Say(format!(
                    "Edge {generation} could not open its log files again: {why}."
                ))],
            },
            Call::Drain => match answer {
                Ok(_) => Vec::new(),
                Err(_) => vec![Action::Signal(generation, Stop::Terminate)],
            },
            Call::Apply | Call::Certificates => self.applied(generation, call, answer),
        }
    }

    fn health_answered(
        &mut self,
        generation: Generation,
        answer: &Result<String, String>,
        now: Instant,
    ) -> Vec<Action> {
        if self.serving() != Some(generation) {
            return Vec::new();
        }
        self.health_at = Some(now + HEALTH_INTERVAL);
        if answer.is_ok() {
            self.health_failures = 0;
            return Vec::new();
        }
        self.health_failures += 1;
        if self.health_failures < HEALTH_FAILURES {
            return Vec::new();
        }
        self.health_at = None;
        self.doom(
            generation,
            "it left its health questions without an answer".into(),
        )
    }

    fn terminate(&mut self, now: Instant) -> Vec<Action> {
        if mem::replace(&mut self.stopping, true) {
            let mut actions: Vec<_> = self
                .edges
                .keys()
                .map(|&generation| Action::Signal(generation, Stop::Kill))
                .collect();
            actions.push(Action::Exit(0));
            return actions;
        }
        self.restart_at = None;
        self.health_at = None;
        let mut actions = Vec::new();
        if let Some(change) = self.change.take() {
            let told = "Mangrove is stopping; nothing was changed.".to_owned();
            actions.push(Action::TakeBack);
            actions.push(Action::Answer(change.asker, Err(told)));
        }
        actions.push(Action::Close);
        let generations: Vec<_> = self.edges.keys().copied().collect();
        for generation in generations {
            let phase = self.edges.get(&generation).map(|edge| edge.phase);
            match phase {
                Some(Phase::Starting { .. }) => {
                    actions.extend(self.doom(generation, "Mangrove is stopping".into()));
                }
                Some(Phase::Serving) => actions.extend(self.drain(generation, now)),
                Some(Phase::Draining { .. }) | None => {}
            }
        }
        actions.extend(self.exit_when_alone());
        actions
    }

    fn reopen(&self) -> Vec<Action> {
        let edges = self.edges.iter();
        edges
            .filter(|(_, edge)| !matches!(edge.phase, Phase::Starting { .. }))
            .map(|(&generation, _)| Action::Call(generation, Call::Reopen))
            .collect()
    }

    fn tick(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        let late: Vec<_> = self
            .edges
            .iter()
            .filter(|(_, edge)| edge.doomed.is_none())
            .filter_map(|(&generation, edge)| match edge.phase {
                Phase::Starting { until } if until <= now => Some((
                    generation,
                    format!("it was not ready within {} s", READY_LIMIT.as_secs()),
                )),
                Phase::Draining { until } if until <= now => Some((
                    generation,
                    format!("it still drained after {} s", DRAIN_LIMIT.as_secs()),
                )),
                _ => None,
            })
            .collect();
        for (generation, why) in late {
            actions.extend(self.doom(generation, why));
        }
        if self.restart_at.is_some_and(|at| at <= now) {
            self.restart_at = None;
            let (generation, start) = self.start(self.program.clone(), now);
            self.current = Some(generation);
            actions.push(start);
        }
        if self.health_at.is_some_and(|at| at <= now) {
            self.health_at = None; // the next question follows the answer
            actions.extend(
                self.serving()
                    .map(|serving| Action::Call(serving, Call::Health)),
            );
        }
        actions
    }

    fn restart_after(
        &mut self,
        generation: Generation,
        edge: &Edge,
        exit: &Exit,
        now: Instant,
    ) -> Vec<Action> {
        let life = now.saturating_duration_since(edge.started);
        let pause = self.restart.pause_after(exit, life, edge.served);
        if pause.is_zero() {
            let (next, start) = self.start(self.program.clone(), now);
            self.current = Some(next);
            let said = format!("Edge {generation} {exit}; edge {next} is starting.");
            return vec![start, Action::Say(said)];
        }
        self.restart_at = Some(now + pause);
        vec![Action::Say(format!(
            "Edge {generation} {exit}, {} times in a row within seconds of its start. The next start is in {} ms; \
             visitors wait in the queue meanwhile. If this began with a change, take it back and reload.",
            self.restart.short_lives(),
            pause.as_millis(),
        ))]
    }

    fn start(&mut self, program: PathBuf, now: Instant) -> (Generation, Action) {
        let generation = self.next_generation;
        self.next_generation = generation.saturating_add(1);
        let edge = Edge {
            phase: Phase::Starting {
                until: now + READY_LIMIT,
            },
            started: now,
            served: false,
            program: program.clone(),
            doomed: None,
        };
        self.edges.insert(generation, edge);
        let start = Action::Start {
            generation,
            program,
        };
        (generation, start)
    }

    fn drain(&mut self, generation: Generation, now: Instant) -> Option<Action> {
        let edge = self.edges.get_mut(&generation)?;
        edge.phase = drain_from(now);
        Some(Action::Call(generation, Call::Drain))
    }

    fn doom(&mut self, generation: Generation, why: String) -> Vec<Action> {
        let Some(edge) = self.edges.get_mut(&generation) else {
            return Vec::new();
        };
        edge.doomed = Some(why);
        vec![Action::Signal(generation, Stop::Kill)]
    }

    fn now_serving(&mut self, generation: Generation, now: Instant) {
        self.current = Some(generation);
        self.ever_served = true;
        self.health_failures = 0;
        self.health_at = Some(now + HEALTH_INTERVAL);
    }

    fn exit_when_alone(&self) -> Vec<Action> {
        if self.edges.is_empty() {
            vec![Action::Exit(0)]
        } else {
            Vec::new()
        }
    }
}

fn drain_from(now: Instant) -> Phase {
    Phase::Draining {
        until: now + DRAIN_LIMIT,
    }
}

#[cfg(test)]
mod tests;
