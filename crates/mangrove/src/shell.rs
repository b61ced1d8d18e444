//! The shell around the supervisor's decisions: one thread that polls signals, processes and sockets, turns what it sees
//! into events, and carries out the actions. It never waits for anything but the poll.

use std::collections::{BTreeMap, VecDeque};
use std::io::Read as _;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;

use crate::binary_check::{BinaryCheck, Checked};
use crate::clock::now;
use crate::control::{CALLERS, Caller, Heard, Request};
use crate::edge_call::EdgeCall;
use crate::edge_process::{EdgeCommand, EdgeProcess};
use crate::listeners::Sockets;
use crate::resume::{self, EdgeNote, Held, Note};
use crate::serve::STARTED;
use crate::signals::{Asked, Signals};
use crate::source::Source;
use crate::state::{Lock, StateDir};
use crate::supervisor::{Action, Asker, Call, Event, Exit, Generation, Status, Stop, Supervisor};
use crate::systemd::Notify;
use crate::terminal;
use crate::trial::{Wholes, edge_account};

/// This very program, also when the file it came from was replaced: a crash is no reason to run a build that nobody
/// has checked.
pub(crate) const THIS_PROGRAM: &str = "/proc/self/exe";
/// How often certificates that only root can read are looked at for a change.
const CERTIFICATES_INTERVAL: Duration = Duration::from_secs(30);
/// When an edge hangs up in the middle of an answer, its exit is waited for so long, to learn whether it was killed.
const EXIT_FOLLOWS: Duration = Duration::from_millis(500);

/// Everything the supervisor holds.
#[derive(Debug)]
pub(crate) struct Shell {
    pub(crate) state: StateDir,
    pub(crate) lock: Lock,
    pub(crate) control: UnixListener,
    pub(crate) source: Source,
    /// How the person called this program.
    pub(crate) invoked: String,
    pub(crate) wholes: Wholes,
    /// Sockets that systemd kept, until a configuration claims them.
    pub(crate) spare: Sockets,
    pub(crate) supervisor: Supervisor,
    pub(crate) edges: BTreeMap<Generation, EdgeProcess>,
    pub(crate) signals: Signals,
    pub(crate) notify: Notify,
    pub(crate) events: VecDeque<Event>,
    pub(crate) callers: BTreeMap<u64, Caller>,
    pub(crate) duties: Duties,
}

/// What is under way.
#[derive(Debug, Default)]
pub(crate) struct Duties {
    calls: Vec<EdgeCall>,
    /// Edges that hung up on a call: the outcome if no exit follows.
    cut: Vec<(Instant, Event)>,
    check: Option<BinaryCheck>,
    next_caller: u64,
    certificates_at: Option<Instant>,
    /// What a change is about, told when it is done.
    difference: Option<String>,
    /// Whether the person was told where to look.
    pub(crate) welcomed: bool,
    exit: Option<u8>,
}

/// Something to poll.
#[derive(Clone, Copy, Debug)]
enum Watched {
    Signals,
    Control,
    Process(Generation),
    Link(Generation),
    Call(usize),
    Caller(u64),
    Check,
}

impl Shell {
    /// Runs until it is time to leave; returns the exit code.
    pub(crate) fn run(mut self) -> u8 {
        loop {
            while let Some(event) = self.events.pop_front() {
                for action in self.supervisor.on(event, now()) {
                    self.act(action);
                }
            }
            let status = self.supervisor.status();
            self.notify.status(status);
            if status == Status::Serving && !self.duties.welcomed {
                self.duties.welcomed = true;
                terminal::say(crate::serve::welcome(&self));
            }
            if let Some(code) = self.duties.exit {
                return code;
            }
            self.wait();
        }
    }

    /// Reads the configuration again, and begins the change if there is nothing wrong with it.
    pub(crate) fn reload(&mut self, asker: Asker) {
        if let Some(why) = self.supervisor.refuses_change() {
            return self.answer(asker, Err(why.into()));
        }
        let begun = self.source.settle().and_then(|wanted| {
            for notice in &wanted.notices {
                self.tell(asker, &format!("Notice: {notice}"));
            }
            let before = self.wholes.settled();
            let difference = before.map(|old| mangrove_config::diff(old, &wanted.settled));
            self.duties.difference = difference;
            self.wholes.begin(&self.state, wanted.settled, &self.spare)
        });
        match begun {
            Ok(sockets) => self.events.push_back(Event::Configured { asker, sockets }),
            Err(error) => {
                let told = format!("Not applied; what served before serves on.\n{error:#}");
                self.answer(asker, Err(told));
            }
        }
    }

    fn upgrade(&mut self, asker: Asker, program: Option<PathBuf>) {
        let busy = self.supervisor.refuses_change().or(self
            .duties
            .check
            .is_some()
            .then_some("Another upgrade is under way."));
        if let Some(why) = busy {
            return self.answer(asker, Err(why.into()));
        }
        let begun = program
            .map_or_else(own_file, Ok)
            .map_err(|error| error.to_string())
            .and_then(|program| {
                let settled = self.state.path().join("settled.json");
                BinaryCheck::begin(asker, program, settled, now())
            });
        match begun {
            Ok(check) => self.duties.check = Some(check),
            Err(why) => self.answer(asker, Err(format!("{why}. Nothing was changed."))),
        }
    }

    pub(crate) fn act(&mut self, action: Action) {
        match action {
            Action::Start {
                generation,
                program,
            } => self.start(generation, &program),
            Action::Call(generation, call) => self.call(generation, call),
            Action::Signal(generation, stop) => {
                if let Some(edge) = self.edges.get(&generation) {
                    edge.signal(match stop {
                        Stop::Terminate => Signal::TERM,
                        Stop::Kill => Signal::KILL,
                    });
                }
            }
            Action::Keep => self.keep(),
            Action::TakeBack => {
                self.duties.difference = None;
                if let Err(error) = self.wholes.take_back(&self.state) {
                    terminal::warn(format_args!("{error:#}"));
                }
            }
            Action::Answer(asker, outcome) => self.answer(asker, outcome),
            Action::Say(text) => terminal::warn(text),
            Action::Become { program, asker } => self.become_program(&program, asker),
            Action::Close => self.wholes.close(),
            Action::Exit(code) => self.duties.exit = Some(code),
        }
    }

    fn start(&mut self, generation: Generation, program: &Path) {
        let spawned = self.spawn(generation, program);
        match spawned {
            Ok(process) => {
                self.edges.insert(generation, process);
            }
            Err(error) => {
                let exit = Exit::Fault(format!("it could not be started: {error:#}"));
                self.events.push_back(Event::Exited(generation, exit));
            }
        }
    }

    fn spawn(&self, generation: Generation, program: &Path) -> Result<EdgeProcess> {
        let none = Sockets::new();
        let user = match self.wholes.settled() {
            Some(settled) => edge_account(settled)?,
            None => None,
        };
        let command = EdgeCommand {
            program,
            generation,
            state_dir: self.state.path(),
            user: user.as_ref(),
        };
        Ok(command.spawn(self.wholes.sockets().unwrap_or(&none))?)
    }

    fn call(&mut self, generation: Generation, call: Call) {
        let path = self.state.socket(&format!("edge/edge-{generation}.sock"));
        match EdgeCall::send(&path, generation, call, now()) {
            Ok(asked) => self.duties.calls.push(asked),
            Err(error) => {
                let answer = Err(format!("the edge cannot be asked: {error}"));
                self.cut(Event::Answered(generation, call, answer));
            }
        }
    }

    /// The edge hung up. If it was killed, its exit explains that; only if none follows is this its answer.
    fn cut(&mut self, event: Event) {
        self.duties.cut.push((now() + EXIT_FOLLOWS, event));
    }

    fn keep(&mut self) {
        let closed = self.wholes.keep(&self.state).and_then(|closed| {
            let started = serde_json::to_vec(&self.source)?;
            self.state.write(STARTED, &started, None)?;
            Ok(closed)
        });
        let spare = std::mem::take(&mut self.spare);
        match closed {
            Ok(closed) => self.notify.forget(&closed),
            Err(error) => terminal::warn(format_args!("{error:#}")),
        }
        self.notify.forget(&spare);
        let copied = self.wholes.copies_certificates();
        self.duties.certificates_at = copied.then(|| now() + CERTIFICATES_INTERVAL);
        if let Some(whole) = &self.wholes.in_force {
            self.notify.keep(&whole.sockets);
        }
    }

    /// An edge that is not root watches copies; this keeps them like the files they were made from.
    fn renew_certificates(&mut self, now: Instant) {
        self.duties.certificates_at = Some(now + CERTIFICATES_INTERVAL);
        match self.wholes.renew_certificates(&self.state) {
            Ok(false) => {}
            Ok(true) => {
                if let Some(serving) = self.supervisor.serving() {
                    self.call(serving, Call::Certificates);
                }
            }
            Err(error) => terminal::warn(format_args!(
                "a certificate could not be read again; the older one serves on: {error:#}"
            )),
        }
    }

    fn answer(&mut self, asker: Asker, outcome: Result<String, String>) {
        let difference = self.duties.difference.take().unwrap_or_default();
        match asker {
            // What serves after a start is told by the welcome.
            Asker::Startup => {
                if let Err(why) = outcome {
                    terminal::warn(why);
                }
            }
            Asker::Signal => match outcome {
                Ok(told) => terminal::say(format_args!("{told}\n{difference}")),
                Err(why) => terminal::warn(why),
            },
            Asker::Caller(number) => {
                if let Some(mut caller) = self.callers.remove(&number) {
                    caller.done(&outcome.map(|told| format!("{told}\n{difference}")));
                }
            }
        }
    }

    /// Tells the asker something on the way.
    fn tell(&mut self, asker: Asker, text: &str) {
        match asker {
            Asker::Startup | Asker::Signal => terminal::say(text),
            Asker::Caller(number) => {
                if let Some(caller) = self.callers.get_mut(&number) {
                    caller.say(text);
                }
            }
        }
    }

    fn become_program(&mut self, program: &Path, asker: Asker) {
        let none = Sockets::new();
        let sockets = self.wholes.sockets().unwrap_or(&none);
        let serving = self.supervisor.serving();
        let edge = |(&generation, process): (&Generation, &EdgeProcess)| EdgeNote {
            generation,
            pid: process.pid.as_raw_nonzero().get(),
            serves: serving == Some(generation),
        };
        let caller = match asker {
            Asker::Caller(number) => self.callers.get(&number),
            Asker::Startup | Asker::Signal => None,
        };
        let note = Note {
            format: resume::FORMAT,
            state: self.state.path().to_owned(),
            source: self.source.clone(),
            invoked: self.invoked.clone(),
            next_generation: self.supervisor.next_generation(),
            edges: self.edges.iter().map(edge).collect(),
            listeners: sockets.iter().map(|socket| (&**socket).into()).collect(),
            caller: caller.is_some(),
        };
        let held = Held {
            lock: self.lock.0.as_fd(),
            control: self.control.as_fd(),
            listeners: sockets.iter().map(|socket| socket.fd.as_fd()).collect(),
            caller: caller.map(|caller| caller.stream.as_fd()),
        };
        let error = resume::become_program(program, &note, held);
        let why = format!("Step 4, the supervisor itself: {error}");
        self.answer(asker, Err(why.clone()));
        self.events.push_back(Event::NotReplaced(why));
    }

    fn wait(&mut self) {
        let ready = {
            let watched: Vec<_> = self.watched().collect();
            let mut fds: Vec<_> = watched
                .iter()
                .map(|(_, fd)| PollFd::from_borrowed_fd(*fd, PollFlags::IN))
                .collect();
            match poll(&mut fds, self.patience().as_ref()) {
                // Interrupted: the signal has written to its own socket.
                Ok(0) | Err(_) => Vec::new(),
                Ok(_) => watched
                    .iter()
                    .zip(&fds)
                    .filter(|(_, fd)| !fd.revents().is_empty())
                    .map(|((watched, _), _)| *watched)
                    .collect::<Vec<_>>(),
            }
        };
        // Later calls first, so that removing one does not move another.
        for watched in ready.into_iter().rev() {
            self.serve(watched);
        }
        self.expire(now());
        self.events.push_back(Event::Tick);
    }

    fn watched(&self) -> impl Iterator<Item = (Watched, BorrowedFd<'_>)> {
        let signals = self.signals.streams();
        let signals = signals.map(|stream| (Watched::Signals, stream.as_fd()));
        let control = (Watched::Control, self.control.as_fd());
        let edges = self.edges.iter().flat_map(|(&generation, edge)| {
            let process = (Watched::Process(generation), edge.pidfd.as_fd());
            let link = edge.link.as_ref();
            let link = link.map(|link| (Watched::Link(generation), link.as_fd()));
            std::iter::once(process).chain(link)
        });
        let calls = self.duties.calls.iter().enumerate();
        let calls = calls.map(|(index, call)| (Watched::Call(index), call.stream.as_fd()));
        let callers = self.callers.iter();
        let callers = callers.map(|(&id, caller)| (Watched::Caller(id), caller.stream.as_fd()));
        let check = self.duties.check.iter();
        let check = check.map(|check| (Watched::Check, check.pidfd.as_fd()));
        signals
            .chain([control])
            .chain(edges)
            .chain(calls)
            .chain(callers)
            .chain(check)
    }

    /// How long until something is due; `None`: nothing is.
    fn patience(&self) -> Option<Timespec> {
        let due = self
            .supervisor
            .deadline()
            .into_iter()
            .chain(self.duties.calls.iter().map(|call| call.deadline))
            .chain(self.duties.cut.iter().map(|(until, _)| *until))
            .chain(self.duties.check.iter().map(|check| check.deadline))
            .chain(self.duties.certificates_at)
            .min()?;
        // One millisecond more than due, so that rounding never wakes us just before.
        let left = due.saturating_duration_since(now()) + Duration::from_millis(1);
        Timespec::try_from(left).ok()
    }

    fn serve(&mut self, watched: Watched) {
        match watched {
            Watched::Signals => {
                for asked in self.signals.take() {
                    match asked {
                        Asked::Reload => self.reload(Asker::Signal),
                        Asked::Stop => self.events.push_back(Event::Terminate),
                        Asked::Reopen => self.events.push_back(Event::Reopen),
                    }
                }
            }
            Watched::Control => self.accept(),
            Watched::Process(generation) => self.exited(generation),
            Watched::Link(generation) => self.hear_edge(generation),
            Watched::Call(index) => self.advance(index),
            Watched::Caller(number) => self.hear_caller(number),
            Watched::Check => self.advance_check(),
        }
    }

    fn accept(&mut self) {
        let full = self.callers.len() >= CALLERS;
        if let Ok(mut caller) = Caller::accept(&self.control) {
            if full {
                caller.done(&Err("Too many callers at once; try again.".into()));
                return;
            }
            self.duties.next_caller += 1;
            self.callers.insert(self.duties.next_caller, caller);
        }
    }

    fn exited(&mut self, generation: Generation) {
        let Some(edge) = self.edges.remove(&generation) else {
            return;
        };
        let theirs = |event: &Event| matches!(event, Event::Answered(of, ..) if *of == generation);
        self.duties
            .calls
            .retain(|call| call.generation != generation);
        self.duties.cut.retain(|(_, event)| !theirs(event));
        self.events.retain(|event| !theirs(event));
        self.events
            .push_back(Event::Exited(generation, edge.exit()));
    }

    fn hear_edge(&mut self, generation: Generation) {
        let Some(edge) = self.edges.get_mut(&generation) else {
            return;
        };
        let mut word = [0; 16];
        let heard = edge.link.as_mut().map(|link| link.read(&mut word));
        if let Some(Ok(1..)) = heard {
            self.events.push_back(Event::Ready(generation));
        }
        edge.link = None; // it has said its one word, or will never say it
    }

    fn advance(&mut self, index: usize) {
        let Some(call) = self.duties.calls.get_mut(index) else {
            return;
        };
        let Some(outcome) = call.advance() else {
            return;
        };
        let call = self.duties.calls.remove(index);
        let hung_up = outcome.is_err() && call.is_empty();
        let event = Event::Answered(call.generation, call.call, outcome);
        if hung_up {
            self.cut(event);
        } else {
            self.events.push_back(event);
        }
    }

    fn hear_caller(&mut self, number: u64) {
        let Some(caller) = self.callers.get_mut(&number) else {
            return;
        };
        let asker = Asker::Caller(number);
        match caller.hear() {
            Heard::Nothing => {}
            Heard::Gone => {
                self.callers.remove(&number);
            }
            Heard::Request(Request::Reload) => self.reload(asker),
            Heard::Request(Request::Upgrade { program }) => self.upgrade(asker, program),
        }
    }

    fn advance_check(&mut self) {
        let Some(check) = self.duties.check.take() else {
            return;
        };
        match check.advance(now()) {
            Checked::Next(check, version) => {
                let told = format!("{} is {version}.", check.program.display());
                self.tell(check.asker, &told);
                self.duties.check = Some(check);
            }
            Checked::Passed { asker, program } => {
                self.tell(
                    asker,
                    "It understands the configuration. Starting its edge.",
                );
                self.events.push_back(Event::Upgrade { asker, program });
            }
            Checked::Failed { asker, why } => {
                self.answer(asker, Err(format!("{why}\nNothing was changed.")));
            }
        }
    }

    fn expire(&mut self, now: Instant) {
        let late = |call: &mut EdgeCall| call.deadline <= now;
        for call in self.duties.calls.extract_if(.., late) {
            let event = Event::Answered(call.generation, call.call, call.late());
            self.events.push_back(event);
        }
        if self.duties.certificates_at.is_some_and(|at| at <= now) {
            self.renew_certificates(now);
        }
        let due = self.duties.cut.extract_if(.., |(until, _)| *until <= now);
        self.events.extend(due.map(|(_, event)| event));
        if self
            .duties
            .check
            .as_ref()
            .is_some_and(|check| check.deadline <= now)
        {
            self.advance_check();
        }
    }
}

/// The file this program was started from, which may hold a newer build by now.
fn own_file() -> std::io::Result<PathBuf> {
    let link = std::fs::read_link(THIS_PROGRAM)?;
    let name = link.to_string_lossy();
    // The kernel marks a file that was replaced.
    Ok(match name.strip_suffix(" (deleted)") {
        Some(name) => PathBuf::from(name),
        None => link,
    })
}
