//! Starting programs pinned to a core, and ending everything that was started.
//!
//! Each program is started through this program's own `pinned` subcommand, which sets its core, asks for a SIGTERM should
//! the benchmark die first, and then becomes it. The benchmark is the sub-reaper of all it starts, so a process that
//! outlives its parent is still found and ended.

use std::ffi::OsString;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal};

use crate::clock;
use crate::cpu;

/// How long a program may take to end after SIGTERM before it is killed: under callgrind and on a busy machine, long.
const GRACE: Duration = Duration::from_secs(90);
/// How long the kernel may take to end a killed program.
const KILL_GRACE: Duration = Duration::from_secs(5);
/// Descriptors that 10,000 connections need on either side, with room for those to the origin.
const DESCRIPTORS: u64 = 65_536;

static STOPPING: AtomicBool = AtomicBool::new(false);

/// A program that was started here. It and all its descendants end when this value goes.
pub(crate) struct Program {
    child: Child,
    name: String,
}

impl Program {
    /// Starts `command` on `core`, with its output and errors in the file `log`, or its output in `output`.
    pub(crate) fn start(
        core: usize,
        command: &[OsString],
        log: &Path,
        output: Option<&Path>,
    ) -> Result<Self> {
        let name = command
            .first()
            .context("a program to start")?
            .to_string_lossy()
            .into_owned();
        let errors = File::create(log).with_context(|| format!("creating {}", log.display()))?;
        let output = match output {
            Some(path) => {
                File::create(path).with_context(|| format!("creating {}", path.display()))?
            }
            None => errors.try_clone()?,
        };
        let child = Command::new("/proc/self/exe")
            .args(["pinned", &core.to_string(), "--"])
            .args(command)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            // A Ctrl-C at the terminal is for the benchmark, which ends the others in order.
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        Ok(Self { child, name })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> Result<Pid> {
        i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .context("a process id")
    }

    /// An error once it has ended.
    pub(crate) fn check_alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("{} ended: {status}", self.name),
            None => Ok(()),
        }
    }

    /// Ends it and all its descendants; an error if any had to be left.
    pub(crate) fn stop(&mut self) -> Result<()> {
        let family = cpu::tree(&[self.pid()?])?;
        let all_gone = |child: &mut Child| {
            let _ = child.try_wait();
            Ok(family.iter().all(|pid| ended(*pid)).then_some(()))
        };
        if self.child.try_wait()?.is_none() {
            signal(self.pid()?.as_raw_nonzero().get(), Signal::TERM);
        }
        if clock::poll(GRACE, || all_gone(&mut self.child)).is_ok() {
            return Ok(());
        }
        for pid in family.iter().filter(|pid| !ended(**pid)) {
            signal(*pid, Signal::KILL);
        }
        clock::poll(KILL_GRACE, || all_gone(&mut self.child))
            .with_context(|| format!("ending {}", self.name))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

/// Becomes the program `command`, on `core`. Returns only if that failed.
pub(crate) fn become_pinned(core: usize, command: &[OsString]) -> Result<()> {
    pin(core)?;
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
    let (program, arguments) = command.split_first().context("a program to become")?;
    Err(Command::new(program).args(arguments).exec())
        .with_context(|| format!("running {}", program.display()))
}

/// Keeps the calling thread, and the threads and programs that it starts, on one core.
pub(crate) fn pin(core: usize) -> Result<()> {
    keep_to(&[core])
}

/// The same with several cores.
pub(crate) fn keep_to(cores: &[usize]) -> Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    for core in cores {
        ensure!(
            *core < rustix::thread::CpuSet::MAX_CPU,
            "there is no core {core}"
        );
        set.set(*core);
    }
    rustix::thread::sched_setaffinity(None, &set)
        .with_context(|| format!("keeping to the cores {cores:?}"))
}

/// Makes orphans of what is started here come back to this process, so that they can be found and ended.
pub(crate) fn adopt_orphans() -> Result<()> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .context("becoming sub-reaper")
}

/// Raises the limit on open files, as far as is allowed; gives the limit.
pub(crate) fn raise_descriptor_limit() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    let hard = now.maximum.unwrap_or(DESCRIPTORS);
    for limit in [DESCRIPTORS.max(hard), hard] {
        if setrlimit(
            Resource::Nofile,
            Rlimit {
                current: Some(limit),
                maximum: Some(limit),
            },
        )
        .is_ok()
        {
            return limit;
        }
    }
    now.current.unwrap_or(DESCRIPTORS)
}

/// Lets this process have so many open files and no more.
pub(crate) fn lower_descriptor_limit(most: u64) -> Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = Some(most);
    setrlimit(Resource::Nofile, Rlimit { current, maximum })
        .with_context(|| format!("setting a limit of {most} open files"))
}

/// Ends every descendant of this process: first politely, then not. For the way out after a signal.
pub(crate) fn stop_everything() {
    STOPPING.store(true, Ordering::SeqCst);
    let own = rustix::process::getpid();
    let descendants = || -> Result<Vec<i32>> {
        let tree = cpu::tree(&[own])?;
        Ok(tree
            .into_iter()
            .filter(|pid| *pid != own.as_raw_nonzero().get() && !ended(*pid))
            .collect())
    };
    for how in [Signal::TERM, Signal::KILL] {
        for pid in descendants().unwrap_or_default() {
            signal(pid, how);
        }
        let gone = || Ok(descendants()?.is_empty().then_some(()));
        if clock::poll(KILL_GRACE, gone).is_ok() {
            return;
        }
    }
}

/// Never returns once everything is being stopped: what fails from then on says nothing about a server.
pub(crate) fn wait_if_stopping() {
    while STOPPING.load(Ordering::SeqCst) {
        std::thread::park();
    }
}

/// Below the ports that the kernel gives to whoever connects: one of those was found free, and taken by a visitor before the
/// server that was to have it began again.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

/// An address on loopback that nothing listens on now, and no client is given.
pub(crate) fn free_address() -> Result<SocketAddr> {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let count = u32::from(PORTS.end - PORTS.start);
    for _ in 0..count {
        // Programs that run at once begin at different places.
        let asked = ASKED.fetch_add(1, Ordering::Relaxed);
        let place = std::process::id().wrapping_mul(97).wrapping_add(asked) % count;
        let port = PORTS.start + u16::try_from(place)?;
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return Ok(listener.local_addr()?);
        }
    }
    bail!("no port of {PORTS:?} is free")
}

fn signal(pid: i32, how: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, how);
    }
}

/// Whether a process is gone or only waits to be reaped.
fn ended(pid: i32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return true;
    };
    stat.rsplit_once(')')
        .is_some_and(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']))
}
