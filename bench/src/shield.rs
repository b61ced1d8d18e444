//! Attacks on Mangrove beside nginx, HAProxy and a server without a guard: what bystanders notice, and what each attack costs.
//!
//! ```text
//! origin ◄─ server under attack ◄─┬─ bystanders: quiet ──────► under attack     (their own thread)
//!           (one core)            └─ attackers:                ██████████████   (their own thread, standing back)
//! ```
//!
//! Each family meets each server afresh. The quiet phase and the attack are of the same length, and bystanders ask at the same
//! pace in both; what the server used in the one is taken from what it used in the other. Attackers come from other addresses
//! than bystanders, keep a pace whatever is done to them, and end by themselves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use rustix::process::Pid;
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use tokio::runtime::LocalRuntime;
use tokio::time::Instant;

use self::bystanders::Schedule;
use self::families::{Family, Target};
use self::origin::Origin;
use self::servers::{Running, Server, Stage};
use self::table::{Outcome, Row};
use crate::clock;
use crate::cpu::{Usage, resident};
use crate::peers::Programs;
use crate::process;
use crate::terminal::say;
use crate::tls::{self, Group, HOST, Identity};
use crate::visit::{Visitor, Way, Wire};

mod bystanders;
mod families;
mod http2;
mod origin;
mod plain;
mod plot;
mod servers;
mod table;
pub(crate) mod unguarded;

/// How long a server may take to answer its first question.
const FIRST_ANSWER: Duration = Duration::from_secs(20);
/// From everyone's readiness to the first question that counts.
const READY: Duration = Duration::from_millis(100);
/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How far attackers stand back for bystanders and origin on their core, as `nice` counts.
const STAND_BACK: i32 = 10;
/// The length of both phases for a quick look.
const SHORT: Duration = Duration::from_millis(500);

/// How to look.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The mangrove program. Unset, it is built first.
    #[arg(long, value_name = "PATH")]
    pub(crate) mangrove: Option<PathBuf>,
    /// Only these servers, separated by commas; what is not installed is left out.
    #[arg(long, value_delimiter = ',', value_name = "NAME", value_enum, default_values_t = [Server::Mangrove, Server::Nginx, Server::Haproxy, Server::Hyper])]
    servers: Vec<Server>,
    /// Only these families of attacks, separated by commas; `--list` shows them.
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    families: Vec<Family>,
    /// Show the families and stop.
    #[arg(long)]
    pub(crate) list: bool,
    /// How long the quiet phase takes, and the attack after it.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=20))]
    seconds: u64,
    /// Mangrove alone, half a second each: whether all of it works, not how well.
    #[arg(long, conflicts_with_all = ["seconds", "servers"])]
    short: bool,
    /// Write table and notes into this file, and a chart beside it.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The core that the server under attack runs on.
    #[arg(long, default_value_t = 0)]
    server_core: usize,
    /// The core that bystanders, attackers and origin run on.
    #[arg(long, default_value_t = 1)]
    load_core: usize,
}

impl Options {
    fn during(&self) -> Duration {
        match self.short {
            true => SHORT,
            false => Duration::from_secs(self.seconds),
        }
    }

    fn servers(&self) -> &[Server] {
        match self.short {
            true => &[Server::Mangrove],
            false => &self.servers,
        }
    }

    fn families(&self) -> Vec<Family> {
        match self.families.is_empty() {
            true => Family::all(),
            false => self.families.clone(),
        }
    }
}

/// Shows what there is.
pub(crate) fn list() {
    say(&families::names());
}

/// Lets every family meet every server; a failure when a bystander of Mangrove was not answered, or something not measured.
pub(crate) fn run(options: &Options, program: &Path) -> Result<ExitCode> {
    ensure!(
        options.server_core != options.load_core,
        "the server and those around it need a core each"
    );
    process::pin(options.load_core)?;
    let work = Work::make()?;
    let programs = Programs {
        mangrove: Some(program.to_owned()),
    };
    let versions: Vec<(Server, String)> = (options.servers().iter())
        .filter_map(|server| {
            let version = server.version(&programs);
            if version.is_none() {
                say(&format!("{} is not installed here", server.name()));
            }
            Some((*server, version?))
        })
        .collect();
    ensure!(!versions.is_empty(), "there is no server to attack");
    let haproxy = versions.iter().find(|(who, _)| *who == Server::Haproxy);
    let (identity, origin) = (Identity::create(&work.folder)?, Origin::start()?);
    let stage = Stage {
        mangrove: program,
        identity: &identity,
        origin: origin.address,
        core: options.server_core,
        work: &work.folder,
        haproxy: haproxy.map_or("", |(_, version)| version.as_str()),
    };
    let mut rows = Vec::new();
    for family in options.families() {
        for (server, _) in &versions {
            let outcome = match family.not_offered(*server) {
                Some(why) => Outcome::NotOffered(why),
                None => match watch(
                    family,
                    *server,
                    &stage,
                    &origin,
                    options.during(),
                    rows.len(),
                ) {
                    Ok(seen) => Outcome::Seen(seen),
                    Err(error) => Outcome::Failed(format!("{error:#}")),
                },
            };
            process::wait_if_stopping();
            let row = Row {
                family,
                server: *server,
                outcome,
            };
            say(&row.line());
            rows.push(row);
        }
    }
    let text = table::whole(&rows, &versions, options.during());
    say(&text);
    if let Some(out) = &options.out {
        fs::write(out, &text).with_context(|| format!("writing {}", out.display()))?;
        let chart = out.with_extension("svg");
        fs::write(&chart, plot::svg(&rows))
            .with_context(|| format!("writing {}", chart.display()))?;
    }
    let broken: Vec<String> = rows.iter().filter_map(Row::broken).collect();
    for promise in &broken {
        say(&format!("BROKEN: {promise}"));
    }
    if !broken.is_empty() {
        return Ok(ExitCode::FAILURE);
    }
    if rows.iter().any(|row| row.server == Server::Mangrove) {
        say("Every bystander of Mangrove was answered.");
    }
    Ok(ExitCode::SUCCESS)
}

/// One family against one server of its own.
fn watch(
    family: Family,
    server: Server,
    stage: &Stage<'_>,
    origin: &Origin,
    during: Duration,
    number: usize,
) -> Result<table::Seen> {
    let mut running = server.start(stage, number)?;
    let way = Way::through(running.doors.h1, running.doors.tls, stage.identity)?;
    let hello = hello(stage.identity)?.into();
    first_answer(&way, &mut running)?;
    let schedule = Schedule {
        begins: Instant::now() + READY,
        during,
    };
    let target = Target {
        doors: running.doors,
        hello,
        begins: schedule.attack(),
        during,
    };
    let standing = thread::Builder::new()
        .name("bystanders".to_owned())
        .spawn(move || bystanders::stand_by(&way, schedule))?;
    let attacking = thread::Builder::new()
        .name("attackers".to_owned())
        .spawn(move || {
            // Bystanders are timed: they come first.
            let _ = rustix::process::nice(STAND_BACK);
            let runtime = LocalRuntime::new()?;
            anyhow::Ok(runtime.block_on(family.attack(&target)))
        })?;
    let root = running.root()?;
    rest_until(schedule.begins);
    let asked = origin.asked();
    let quiet = Phase::watch(root, schedule.attack())?;
    let attacked = Phase::watch(root, schedule.ends())?;
    let asked = origin.asked() - asked;
    let tally = attacking
        .join()
        .map_err(|_| anyhow!("the attackers failed"))??;
    let noticed = standing
        .join()
        .map_err(|_| anyhow!("the bystanders failed"))??;
    running.check_alive()?;
    running.stop()?;
    let [calm, hurt] = noticed;
    let (cpu, grown) = attacked.beyond(&quiet);
    Ok(table::Seen {
        during,
        tally,
        quiet: calm,
        attacked: hurt,
        cpu,
        grown,
        asked,
    })
}

/// What a server's processes used in one phase.
struct Phase {
    /// Nanoseconds of CPU; nothing when one of its threads ended and took its account along.
    nanos: Option<u64>,
    /// The most resident bytes that were seen.
    memory: u64,
}

impl Phase {
    fn watch(root: Pid, until: Instant) -> Result<Self> {
        let before = Usage::of(&[root])?;
        let mut memory = resident(&[root])?;
        while Instant::now() < until {
            thread::sleep(LOOK.min(until.saturating_duration_since(Instant::now())));
            memory = memory.max(resident(&[root])?);
        }
        Ok(Self {
            nanos: Usage::of(&[root])?.since(&before).ok(),
            memory,
        })
    }

    /// What it used beyond the quiet phase, which was as long: nanoseconds, if both are known, and bytes.
    fn beyond(&self, quiet: &Self) -> (Option<u64>, u64) {
        let nanos = self.nanos.zip(quiet.nanos);
        (
            nanos.map(|(now, before)| now.saturating_sub(before)),
            self.memory.saturating_sub(quiet.memory),
        )
    }
}

fn rest_until(moment: Instant) {
    thread::sleep(moment.saturating_duration_since(Instant::now()));
}

/// Asks over each wire of the bystanders until all is answered as it should be, so that what can be kept is.
fn first_answer(way: &Way, running: &mut Running) -> Result<()> {
    let runtime = LocalRuntime::new()?;
    let mut last = String::new();
    let mut is_answered = || {
        running.check_alive()?;
        let asking = runtime.block_on(async {
            for wire in [Wire::H1, Wire::H1Tls, Wire::H2Tls] {
                let mut visitor = Visitor::arrive(way, wire, FIRST_ANSWER).await?;
                visitor.ask(&bystanders::page()).await?;
            }
            Ok::<_, crate::visit::Failure>(())
        });
        last = asking.as_ref().err().map_or_else(String::new, |failure| {
            format!("{:?}: {}", failure.trouble, failure.words)
        });
        Ok(asking.ok())
    };
    let answered = clock::poll(FIRST_ANSWER, &mut is_answered);
    answered.with_context(|| format!("waiting for a first answer: {last}"))
}

/// How a TLS client greets that has not been here before.
fn hello(identity: &Identity) -> Result<Vec<u8>> {
    let config = tls::client(identity, Group::X25519, b"http/1.1", false)?;
    let mut client = ClientConnection::new(config, ServerName::try_from(HOST)?)?;
    let mut hello = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut hello)?;
    }
    Ok(hello)
}

/// The folder of all servers' files; gone with this value.
struct Work {
    folder: PathBuf,
}

impl Work {
    fn make() -> Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        let folder = std::env::temp_dir().join(format!("mangrove-shield-{}", std::process::id()));
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        // The edge may run as another user, who must reach its state.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
        Ok(Self { folder })
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_quiet_costs_is_not_the_attackers() {
        let phase = |nanos, memory| Phase { nanos, memory };
        let quiet = phase(Some(300), 50);
        assert_eq!(phase(Some(1_000), 70).beyond(&quiet), (Some(700), 20));
        // A server that was kept from its work used less.
        assert_eq!(phase(Some(100), 40).beyond(&quiet), (Some(0), 0));
        assert_eq!(phase(None, 70).beyond(&quiet), (None, 20));
        assert_eq!(phase(Some(1_000), 70).beyond(&phase(None, 50)).0, None);
    }

    #[test]
    fn a_greeting_is_one_record_of_the_handshake() {
        let folder = std::env::temp_dir().join(format!("mangrove-hello-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let hello = hello(&Identity::create(&folder).unwrap()).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        let length = usize::from(u16::from_be_bytes([hello[3], hello[4]]));
        assert_eq!((hello[0], hello.len()), (22, 5 + length));
    }
}
