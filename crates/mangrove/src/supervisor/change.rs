//! A change: how it begins, and how it is taken back when it fails.

use std::path::PathBuf;
use std::time::Instant;

use super::{Action, Asker, CANDIDATE_STARTS, Call, Edge, Exit, Generation, Supervisor};

#[derive(Debug)]
pub(super) struct Change {
    pub(super) asker: Asker,
    pub(super) way: Way,
}

#[derive(Debug)]
pub(super) enum Way {
    /// The serving edge swaps its configuration.
    InPlace,
    /// Another edge takes over.
    Replace {
        candidate: Generation,
        starts: u32,
        upgrade: bool,
        /// If there is nothing older to go back to, a failure ends the supervisor.
        fallback: bool,
    },
}

impl Supervisor {
    pub(super) fn configured(&mut self, asker: Asker, sockets: bool, now: Instant) -> Vec<Action> {
        if let Some(why) = self.refuses_change() {
            return vec![Action::Answer(asker, Err(why.into()))];
        }
        if let (false, Some(serving)) = (sockets, self.serving()) {
            self.change = Some(Change {
                asker,
                way: Way::InPlace,
            });
            return vec![Action::Call(serving, Call::Apply)];
        }
        self.replace(asker, self.program.clone(), false, now)
    }

    pub(super) fn upgrade(&mut self, asker: Asker, program: PathBuf, now: Instant) -> Vec<Action> {
        match self.refuses_change() {
            Some(why) => vec![Action::Answer(asker, Err(why.into()))],
            None => self.replace(asker, program, true, now),
        }
    }

    pub(super) fn replace(
        &mut self,
        asker: Asker,
        program: PathBuf,
        upgrade: bool,
        now: Instant,
    ) -> Vec<Action> {
        // An edge that is still on its way up, or waits out a pause, is not worth keeping beside its successor.
        self.restart_at = None;
        let mut actions = Vec::new();
        if self.serving().is_none()
            && let Some(current) = self.current.take()
        {
            actions.extend(self.doom(current, "a change replaced it before it was ready".into()));
        }
        let (candidate, start) = self.start(program, now);
        self.change = Some(Change {
            asker,
            way: Way::Replace {
                candidate,
                starts: 1,
                upgrade,
                fallback: true,
            },
        });
        actions.push(start);
        actions
    }

    pub(super) fn applied(
        &mut self,
        generation: Generation,
        call: Call,
        answer: Result<String, String>,
    ) -> Vec<Action> {
        let Some(Change {
            asker,
            way: Way::InPlace,
        }) = self.change
        else {
            return match answer {
                Ok(_) => Vec::new(),
                Err(why) => vec![Action::Say(format!(
                    "Edge {generation} keeps an older certificate: {why}."
                ))],
            };
        };
        if self.serving() != Some(generation) {
            return Vec::new(); // its exit is told by another event, or was
        }
        match (call, answer) {
            (Call::Apply, Ok(_)) => {
                vec![Action::Keep, Action::Call(generation, Call::Certificates)]
            }
            (Call::Apply, Err(why)) => {
                self.change = None;
                vec![Action::TakeBack, Action::Answer(asker, Err(why))]
            }
            (_, Ok(_)) => {
                self.change = None;
                let told = format!("Edge {generation} serves the new configuration.");
                vec![Action::Answer(asker, Ok(told))]
            }
            (_, Err(why)) => {
                self.change = None;
                let told = format!(
                    "The new configuration is in force, but not every certificate: {why}. \
                     The older pair serves on."
                );
                vec![Action::Answer(asker, Err(told))]
            }
        }
    }

    pub(super) fn candidate_exited(
        &mut self,
        generation: Generation,
        edge: Edge,
        exit: Exit,
        now: Instant,
    ) -> Vec<Action> {
        if let Some(Change {
            way: Way::Replace { starts, .. },
            ..
        }) = &self.change
            && matches!(exit, Exit::Outside(_))
            && *starts < CANDIDATE_STARTS
        {
            let (again, start) = self.start(edge.program, now);
            if let Some(Change {
                way: Way::Replace {
                    candidate, starts, ..
                },
                ..
            }) = &mut self.change
            {
                *candidate = again;
                *starts += 1;
            }
            let said = format!("Edge {generation} {exit}; edge {again} is starting.");
            return vec![start, Action::Say(said)];
        }
        self.fail_change(&format!("the new edge {exit} before it was ready"), now)
    }

    /// Killed in the middle of applying a configuration: the next edge starts with it, and its readiness is the answer.
    pub(super) fn restart_as_candidate(
        &mut self,
        generation: Generation,
        asker: Asker,
        exit: &Exit,
        now: Instant,
    ) -> Vec<Action> {
        let (candidate, start) = self.start(self.program.clone(), now);
        self.change = Some(Change {
            asker,
            way: Way::Replace {
                candidate,
                starts: 1,
                upgrade: false,
                fallback: true,
            },
        });
        let said = format!("Edge {generation} {exit}; edge {candidate} is starting.");
        vec![start, Action::Say(said)]
    }

    pub(super) fn fail_change(&mut self, why: &str, now: Instant) -> Vec<Action> {
        let Some(Change { asker, way }) = self.change.take() else {
            return Vec::new();
        };
        let mut actions = vec![Action::TakeBack];
        let Way::Replace {
            fallback, upgrade, ..
        } = way
        else {
            return actions;
        };
        if asker == Asker::Startup && !fallback {
            let told = format!("Mangrove did not start: {why}.");
            actions.push(Action::Answer(asker, Err(told)));
            self.stopping = true;
            actions.push(Action::Exit(1));
            return actions;
        }
        let step = if upgrade {
            "Step 3, the new edge"
        } else {
            "Not applied"
        };
        let told = format!("{step}: {why}. What served before serves on.");
        actions.push(Action::Answer(asker, Err(told)));
        if self.current.is_none() {
            let (generation, start) = self.start(self.program.clone(), now);
            self.current = Some(generation);
            actions.push(start);
        }
        actions
    }

    pub(super) fn candidate(&self) -> Option<Generation> {
        match &self.change {
            Some(Change {
                way: Way::Replace { candidate, .. },
                ..
            }) => Some(*candidate),
            _ => None,
        }
    }
}
