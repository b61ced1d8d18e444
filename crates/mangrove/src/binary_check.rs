//! Before a binary replaces anything it must run, and understand what it will be given.

use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags};

use crate::resume;
use crate::supervisor::Asker;

/// How long each step may take.
const STEP_LIMIT: Duration = Duration::from_secs(20);
/// How much of what the binary says is repeated.
const WORDS_BYTES: u64 = 4096;

/// A binary that is being checked.
#[derive(Debug)]
pub(crate) struct BinaryCheck {
    pub(crate) asker: Asker,
    pub(crate) program: PathBuf,
    /// Readable once the step is done.
    pub(crate) pidfd: OwnedFd,
    pub(crate) deadline: Instant,
    step: Step,
    child: Child,
    settled: PathBuf,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Runs,
    Understands,
}

/// What came of a step.
#[derive(Debug)]
pub(crate) enum Checked {
    /// The binary's own words about its version; the next step has begun.
    Next(BinaryCheck, String),
    /// All steps passed.
    Passed { asker: Asker, program: PathBuf },
    /// A step failed.
    Failed { asker: Asker, why: String },
}

impl BinaryCheck {
    /// Begins with the first step. `settled` is the configuration in force.
    pub(crate) fn begin(
        asker: Asker,
        program: PathBuf,
        settled: PathBuf,
        now: Instant,
    ) -> Result<Self, String> {
        Self::step(Step::Runs, asker, program, settled, now)
    }

    fn step(
        step: Step,
        asker: Asker,
        program: PathBuf,
        settled: PathBuf,
        now: Instant,
    ) -> Result<Self, String> {
        let spawned = spawn(step, &program, &settled);
        let (child, pidfd) =
            spawned.map_err(|error| format!("{}: {}: {error}", step.name(), program.display()))?;
        Ok(Self {
            asker,
            program,
            pidfd,
            deadline: now + STEP_LIMIT,
            step,
            child,
            settled,
        })
    }

    /// The step is done, or its deadline is past.
    pub(crate) fn advance(mut self, now: Instant) -> Checked {
        let step = self.step;
        let fail = |asker, why: String| Checked::Failed {
            asker,
            why: format!("{}: {why}", step.name()),
        };
        let status = match self.child.try_wait() {
            Ok(Some(status)) => status,
            Ok(None) => {
                let _ = self.child.kill();
                let _ = self.child.wait();
                let limit = STEP_LIMIT.as_secs();
                return fail(self.asker, format!("it took longer than {limit} s"));
            }
            Err(error) => return fail(self.asker, error.to_string()),
        };
        let words = words(&mut self.child);
        if !status.success() {
            let program = self.program.display();
            return fail(self.asker, format!("{program}: {status}\n{words}"));
        }
        match step {
            Step::Understands => Checked::Passed {
                asker: self.asker,
                program: self.program,
            },
            Step::Runs if !words.starts_with("mangrove ") => {
                fail(self.asker, "it does not call itself mangrove".into())
            }
            Step::Runs => {
                let asker = self.asker;
                let next = Self::step(Step::Understands, asker, self.program, self.settled, now);
                match next {
                    Ok(next) => Checked::Next(next, words),
                    Err(why) => Checked::Failed { asker, why },
                }
            }
        }
    }
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::Runs => "Step 1, the binary runs",
            Self::Understands => "Step 2, it understands the configuration in force",
        }
    }
}

fn spawn(step: Step, program: &Path, settled: &Path) -> io::Result<(Child, OwnedFd)> {
    let mut command = Command::new(program);
    match step {
        Step::Runs => command.arg("--version"),
        Step::Understands => command
            .args(["check", "--resume-format"])
            .arg(resume::FORMAT.to_string())
            .arg("--settled")
            .arg(settled),
    };
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let pidfd = rustix::process::pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
    Ok((child, pidfd))
}

/// What an ended child said. Something it started may still hold the pipe, so this never waits.
fn words(child: &mut Child) -> String {
    let mut words = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        read_some(&mut words, stdout);
    }
    if let Some(stderr) = child.stderr.take() {
        read_some(&mut words, stderr);
    }
    String::from_utf8_lossy(&words).trim().to_owned()
}

fn read_some(words: &mut Vec<u8>, pipe: impl Into<OwnedFd>) {
    let pipe = pipe.into();
    if rustix::io::ioctl_fionbio(&pipe, true).is_ok() {
        let _ = std::fs::File::from(pipe)
            .take(WORDS_BYTES)
            .read_to_end(words);
    }
}
