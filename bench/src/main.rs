//! Mangrove beside nginx, HAProxy, Varnish and a bare epoll loop, in one run on one machine.
//!
//! ```text
//! main ─ rows (what is asked) ─ run (who, when) ─┬─ peers (servers) ─ process
//!                                                ├─ load  (requests) ─ tls
//!                                                └─ cpu   (the account)
//!        results ─ stats ─ gates ─ report, chart
//! ```

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};

use crate::instructions::Counter;
use crate::landed::Landed;
use crate::load::Generator;
use crate::machine::Machine;
use crate::parts::Part;
use crate::peers::{Programs, Server};
use crate::results::{Outcome, Results, SPREAD_LIMIT};
use crate::rows::{ROWS, Row};
use crate::run::Bench;
use crate::terminal::say;
use crate::tls::Identity;

mod asks;
mod bare;
mod chart;
mod clock;
mod cold;
mod compress;
mod cores;
mod cpu;
mod crash;
mod crowd;
mod gates;
mod hyper_server;
mod instructions;
mod landed;
mod large;
mod live;
mod load;
mod machine;
mod memory;
mod order;
mod origin;
mod outage;
mod parts;
mod peers;
mod process;
mod purge;
mod refusals;
mod replay;
mod report;
mod restart;
mod results;
mod rows;
mod run;
mod shield;
mod slow;
mod stats;
mod stoppable;
mod subject;
mod terminal;
mod tls;
mod visit;

/// Exit status when the bare loop was too unsteady for any comparison.
const VOID: u8 = 2;
/// Exit status after a signal.
const INTERRUPTED: i32 = 130;
/// Rounds of a first look.
const QUICK_ROUNDS: usize = 3;

/// Compares Mangrove with nginx, HAProxy, Varnish and a bare epoll loop: CPU of a request, memory of a connection.
#[derive(Parser)]
#[command(
    name = "mangrove-bench",
    version,
    args_conflicts_with_subcommands = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Action>,
    #[command(flatten)]
    compare: Compare,
}

#[derive(Args)]
struct Compare {
    /// How often every server takes its turn in each row.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(7..=99))]
    rounds: u16,
    /// Three short rounds, kept apart from the results: for a first look, not for a claim.
    #[arg(long, conflicts_with = "rounds")]
    quick: bool,
    #[command(flatten)]
    setting: Setting,
}

#[derive(Args)]
struct Setting {
    /// Only these rows, by name, separated by commas; `--list` shows them.
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    rows: Vec<String>,
    /// Show the rows and stop.
    #[arg(long)]
    list: bool,
    /// Only these servers, separated by commas (results are then kept apart); hyper takes part only when named.
    #[arg(long, value_delimiter = ',', value_name = "NAME", value_enum, default_values_t = Server::ALL)]
    servers: Vec<Server>,
    /// The mangrove program to measure, or `none` (results are then kept apart). Unset, it is built first.
    #[arg(long, value_name = "PATH")]
    mangrove: Option<PathBuf>,
    /// The core that the server under test runs on.
    #[arg(long, default_value_t = 0)]
    server_core: usize,
    /// The core that generator and origin run on.
    #[arg(long, default_value_t = 1)]
    load_core: usize,
}

#[derive(Subcommand)]
enum Action {
    /// Count instructions for each request under callgrind.
    Instructions {
        /// N: each server is run with N and with 2 N requests.
        #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        requests: u32,
        /// Count Mangrove's few rows that were landed in bench/instructions.json, and show what has changed since.
        #[arg(long, conflicts_with_all = ["requests", "rows", "servers"])]
        since_landed: bool,
        /// Take the counts as those to compare with from now on: writes bench/instructions.json.
        #[arg(long, requires = "since_landed")]
        accept: bool,
        #[command(flatten)]
        setting: Setting,
    },
    /// Send malformed requests to Mangrove and to hyper's server, malformed answers to both as clients, and show what each did.
    Refusals {
        #[command(flatten)]
        setting: Setting,
    },
    /// Show what coding content costs and gains, at every level of every coding.
    Compress,
    /// Count instructions of reading a head, beside httparse, and of moving a deadline, beside tokio's timer.
    Parts {
        /// N: each part is run N and 2 N times.
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
        times: u32,
    },
    /// Run one part so many times.
    #[command(hide = true)]
    Part {
        /// Which.
        part: Part,
        /// How often.
        times: u64,
    },
    /// Be one edge without a supervisor: what is profiled.
    #[command(hide = true)]
    Edge {
        /// The state folder, with a settled configuration.
        state: PathBuf,
        /// Where to listen in cleartext.
        http: SocketAddr,
        /// Where to listen for TLS.
        https: SocketAddr,
    },
    /// Answer every request with hyper's HTTP/1 server.
    Hyper {
        /// Where to listen.
        address: SocketAddr,
        /// Bytes in the answer's body.
        body: usize,
        /// Give each head a deadline.
        #[arg(long)]
        deadline: bool,
    },
    /// Answer every request with the same bytes: the bare loop itself.
    Bare {
        /// Where to listen.
        address: SocketAddr,
        /// Bytes in the answer's head; a shorter one than possible gives the shortest.
        head: usize,
        /// Bytes in the answer's body.
        body: usize,
        /// Answer that nothing has changed (304), without a body.
        #[arg(long)]
        unchanged: bool,
    },
    /// Let things happen to a Mangrove that serves, and tell what its visitors noticed.
    Live(live::Options),
    /// Measure hits on one core and on two: what the second one brings, and what they ask each other for.
    Cores(cores::Options),
    /// Let thousands ask at once for one thing that the cache does not have, and tell what each of them got.
    Crowd(crowd::Options),
    /// Purge URLs, a tag and whole sites of a Mangrove, and tell how long it took and whether anything old was answered.
    Purge(purge::Options),
    /// Let the origin go out in the middle of traffic, in every way, and tell what visitors got.
    Outage(outage::Options),
    /// Kill a Mangrove in the middle of fills and purges, over and over, and tell what its disk still answers afterwards.
    Crash(crash::Options),
    /// Send an object far larger than memory through a Mangrove, and tell what memory it took and what the origin was asked for.
    Large(large::Options),
    /// Replay access logs and made traces through the memory tier and the field's policies, and show how often each had what
    /// it was asked for.
    Replay(replay::Options),
    /// Kill a Mangrove that has very many objects on its disk, start it again, and tell when all is as before; then purge them.
    Restart(restart::Options),
    /// Let thousands of slow clients of every kind come to a Mangrove, and tell when they were gone.
    Slow(slow::Options),
    /// Attack Mangrove, nginx, HAProxy and a server without a guard in every way, and tell what bystanders noticed and what it cost.
    Shield(shield::Options),
    /// Serve without a guard: what the rates of attack are chosen by.
    #[command(hide = true)]
    Unguarded(shield::unguarded::Place),
    /// Turn over a cache many times with content of all sizes, and tell how much memory the edge has of the system.
    Memory(memory::Options),
    /// Run a program on one core. Used for everything that is started here.
    #[command(hide = true)]
    Pinned {
        /// Which core.
        core: usize,
        /// The program and its arguments.
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done =
        match arguments.command {
            Some(Action::Bare {
                address,
                head,
                body,
                unchanged,
            }) => {
                let answer = match unchanged {
                    true => bare::unchanged(head),
                    false => bare::response(head, body),
                };
                bare::serve(address, &answer).map(|()| ExitCode::SUCCESS)
            }
            Some(Action::Hyper {
                address,
                body,
                deadline,
            }) => hyper_server::serve(address, body, deadline).map(|()| ExitCode::SUCCESS),
            Some(Action::Edge { state, http, https }) => {
                peers::mangrove::edge_alone(state, http, https)
            }
            Some(Action::Part { part, times }) => part.run(times).map(|()| ExitCode::SUCCESS),
            Some(Action::Compress) => {
                compress::measure(own_folder().parent().unwrap_or(own_folder()))
                    .map(|()| ExitCode::SUCCESS)
            }
            Some(Action::Parts { times }) => count_parts(times),
            Some(Action::Refusals { setting }) => show_refusals(&setting),
            Some(Action::Pinned { core, command }) => {
                process::become_pinned(core, &command).map(|()| ExitCode::SUCCESS)
            }
            Some(Action::Cores(options)) => shown(options.mangrove.as_deref())
                .and_then(|program| measure_cores(&options, &program)),
            Some(Action::Crowd(options)) => shown(options.mangrove.as_deref())
                .and_then(|program| crowd::run(&options, &program)),
            Some(Action::Purge(options)) => shown(options.mangrove.as_deref())
                .and_then(|program| purge::run(&options, &program)),
            Some(Action::Outage(options)) => shown(options.mangrove.as_deref())
                .and_then(|program| outage::run(&options, &program)),
            Some(Action::Crash(options)) => shown(options.mangrove.as_deref())
                .and_then(|program| crash::run(&options, &program)),
            Some(Action::Large(options)) => shown(options.mangrove.as_deref())
                .and_then(|program| large::run(&options, &program)),
            Some(Action::Replay(options)) => replay::run(&options),
            Some(Action::Restart(options)) => shown(options.mangrove.as_deref())
                .and_then(|program| restart::run(&options, &program)),
            Some(Action::Memory(how)) => {
                shown(how.mangrove.as_deref()).and_then(|program| memory::run(&how, &program))
            }
            Some(Action::Shield(options)) if options.list => {
                shield::list();
                Ok(ExitCode::SUCCESS)
            }
            Some(Action::Shield(options)) => shown(options.mangrove.as_deref())
                .and_then(|program| shield::run(&options, &program)),
            Some(Action::Unguarded(place)) => {
                shield::unguarded::serve(&place).map(|()| ExitCode::SUCCESS)
            }
            Some(Action::Slow(options)) => {
                shown(options.mangrove.as_deref()).and_then(|program| slow::run(&options, &program))
            }
            Some(Action::Live(options)) => {
                shown(options.mangrove.as_deref()).and_then(|program| live::run(&options, &program))
            }
            Some(Action::Instructions {
                since_landed: true,
                accept,
                setting,
                ..
            }) => count_since_landed(&setting, accept),
            Some(Action::Instructions {
                requests, setting, ..
            }) => count(&setting, requests),
            None => compare(&arguments.compare),
        };
    done.unwrap_or_else(|error| {
        say(&format!("mangrove-bench: {error:#}"));
        ExitCode::FAILURE
    })
}

fn compare(arguments: &Compare) -> Result<ExitCode> {
    let Some(stage) = Stage::set(&arguments.setting)? else {
        return Ok(ExitCode::SUCCESS);
    };
    let machine = Machine::look(&stage.programs);
    if machine.congestion_control != "cubic" {
        say(&format!(
            "Connections send by {}, not by cubic, Linux's own default: `bench/in-namespace cubic` before the command changes that.",
            machine.congestion_control
        ));
    }
    let bench = Bench {
        generator: &stage.generator,
        identity: &stage.identity,
        programs: &stage.programs,
        machine: &machine,
        work: &stage.work,
        server_core: arguments.setting.server_core,
        load_core: arguments.setting.load_core,
        rounds: if arguments.quick {
            QUICK_ROUNDS
        } else {
            arguments.rounds.into()
        },
        servers: &arguments.setting.servers,
    };
    // What is no comparison of Mangrove with anything never takes the place of one.
    let apart = arguments.quick
        || stage.programs.mangrove.is_none()
        || arguments.setting.servers != Server::ALL;
    let folder = if apart {
        stage.work.join("apart")
    } else {
        own_folder().to_owned()
    };
    let mut results = if apart {
        Results::default()
    } else {
        Results::load(&folder.join("results.json"))?
    };
    let (mut void, mut failed) = (Vec::new(), false);
    for row in &stage.rows {
        let measure = if arguments.quick {
            row.measure.quick()
        } else {
            row.measure
        };
        let result = bench.row(row, measure)?;
        process::wait_if_stopping();
        say(&format!(
            "\n{}\n\n{}",
            result.title,
            report::row_table(&result)
        ));
        failed |= result
            .cells
            .iter()
            .any(|cell| matches!(cell.outcome, Outcome::Failed { .. }));
        match result.void().filter(|_| !arguments.quick) {
            Some(spread) => void.push((row.name, spread)),
            None => {
                results.replace(result);
                // After each row: what was measured does not hang on what comes after it.
                write_results(&folder, &results)?;
            }
        }
    }
    say(&report::gates_table(&results));
    say_what_was_kept(&folder, &stage.rows, &results, &void);
    Ok(match (void.is_empty(), failed) {
        (false, _) => ExitCode::from(VOID),
        (true, true) => ExitCode::FAILURE,
        (true, false) => ExitCode::SUCCESS,
    })
}

fn measure_cores(options: &cores::Options, program: &Path) -> Result<ExitCode> {
    let machine = Machine::look(&Programs {
        mangrove: Some(program.to_owned()),
    });
    let measured = cores::measure(options, program, machine)?;
    say(&measured.section());
    if options.quick {
        return Ok(ExitCode::SUCCESS);
    }
    let mut results = Results::load(&own_folder().join("results.json"))?;
    results.cores = Some(measured);
    write_results(own_folder(), &results)?;
    Ok(ExitCode::SUCCESS)
}

fn write_results(folder: &Path, results: &Results) -> Result<()> {
    fs::create_dir_all(folder)?;
    for (name, text) in [
        (
            "results.json",
            serde_json::to_string_pretty(results)? + "\n",
        ),
        ("RESULTS.md", report::markdown(results)),
        ("results.svg", chart::svg(results)),
    ] {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

fn say_what_was_kept(folder: &Path, measured: &[&Row], results: &Results, void: &[(&str, f64)]) {
    say(&format!(
        "Written to {}: RESULTS.md, results.json, results.svg.",
        folder.display()
    ));
    let is_new = |name: &str| {
        measured.iter().any(|row| row.name == name) && !void.iter().any(|(void, _)| *void == name)
    };
    let old: Vec<_> = results
        .rows
        .iter()
        .filter(|row| !is_new(&row.row))
        .map(|row| row.row.as_str())
        .collect();
    if !old.is_empty() {
        say(&format!(
            "Kept as an earlier run left them, with their own dates: {}.",
            old.join(", ")
        ));
    }
    for (row, spread) in void {
        say(&format!(
            "VOID: {row}: the bare loop's own time spread by {:.0}% over the rounds; more than {:.0}% says that the \
             machine was busy, not how fast a server is.",
            spread * 100.0,
            SPREAD_LIMIT * 100.0
        ));
    }
    if !void.is_empty() {
        let rows: Vec<_> = void.iter().map(|(row, _)| *row).collect();
        say(&format!(
            "Void rows were not written. Stop other work on this machine and measure them again: --rows {}",
            rows.join(",")
        ));
    }
}

fn count(setting: &Setting, requests: u32) -> Result<ExitCode> {
    let Some(mut stage) = Stage::set(setting)? else {
        return Ok(ExitCode::SUCCESS);
    };
    if setting.rows.is_empty() {
        stage
            .rows
            .retain(|row| ["respond-1k", "hit-1k", "pass-1k"].contains(&row.name));
    }
    let counter = Counter {
        generator: &stage.generator,
        identity: &stage.identity,
        programs: &stage.programs,
        work: &stage.work,
        server_core: setting.server_core,
        load_core: setting.load_core,
        requests: usize::try_from(requests)?,
        servers: &setting.servers,
    };
    let mut all_well = true;
    for row in &stage.rows {
        all_well &= counter.row(row)?;
    }
    say(&format!(
        "\nProfiles are below {}; callgrind_annotate reads them.",
        stage.work.display()
    ));
    Ok(if all_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The few rows that every change is counted by, beside what was counted of the last landed one.
fn count_since_landed(setting: &Setting, accept: bool) -> Result<ExitCode> {
    let Some(stage) = Stage::set(setting)? else {
        return Ok(ExitCode::SUCCESS);
    };
    let counter = Counter {
        generator: &stage.generator,
        identity: &stage.identity,
        programs: &stage.programs,
        work: &stage.work,
        server_core: setting.server_core,
        load_core: setting.load_core,
        requests: landed::REQUESTS,
        servers: &[],
    };
    let file = own_folder().join("instructions.json");
    let then = Landed::load(&file)?;
    let mut now = Landed::of_this_revision();
    for name in landed::ROWS {
        let row = rows::find(name).with_context(|| format!("no row `{name}`"))?;
        match counter.of_mangrove(row) {
            Ok(count) => {
                say(&format!("{name}: {count}"));
                now.rows.insert((*name).to_owned(), count);
            }
            // What could not be counted is no more expensive for that.
            Err(why) if !accept => say(&format!("{name}: not counted: {why:#}")),
            Err(why) => return Err(why),
        }
    }
    say(&now.table(&then));
    if accept {
        now.save(&file)?;
        say(&format!("Written: {}", file.display()));
        return Ok(ExitCode::SUCCESS);
    }
    let absurd = now.absurd(&then);
    for row in &absurd {
        say(&format!("BROKEN: {row}"));
    }
    Ok(if absurd.is_empty() {
        ExitCode::SUCCESS
    } else {
        say(
            "If it has to be so: mangrove-bench instructions --since-landed --accept, and say why in the commit.",
        );
        ExitCode::FAILURE
    })
}

fn count_parts(times: u32) -> Result<ExitCode> {
    let work = own_folder().join("work").join("parts");
    if work.exists() {
        fs::remove_dir_all(&work).with_context(|| format!("emptying {}", work.display()))?;
    }
    parts::count(&work, times)?;
    Ok(ExitCode::SUCCESS)
}

fn show_refusals(setting: &Setting) -> Result<ExitCode> {
    let Some(stage) = Stage::set(setting)? else {
        return Ok(ExitCode::SUCCESS);
    };
    let program = stage
        .programs
        .mangrove
        .as_deref()
        .context("there is nothing to compare without Mangrove")?;
    refusals::show(program, &stage.work, setting.server_core, setting.load_core)?;
    Ok(ExitCode::SUCCESS)
}

/// What all ways of measuring need.
struct Stage {
    rows: Vec<&'static Row>,
    programs: Programs,
    generator: Generator,
    identity: Identity,
    work: PathBuf,
}

impl Stage {
    /// Prepares everything; nothing when only the list was asked for.
    fn set(setting: &Setting) -> Result<Option<Self>> {
        if setting.list {
            for row in &ROWS {
                say(&format!("{:<12} {}", row.name, row.title));
            }
            return Ok(None);
        }
        let rows = chosen(&setting.rows)?;
        ensure!(
            setting.server_core != setting.load_core,
            "server and generator need a core each"
        );
        let mangrove = match setting.mangrove.as_deref() {
            Some(path) if path == Path::new("none") => None,
            Some(path) => Some(
                path.canonicalize()
                    .with_context(|| format!("looking for {}", path.display()))?,
            ),
            None => Some(build_mangrove()?),
        };
        let work = own_folder().join("work");
        if work.exists() {
            fs::remove_dir_all(&work).with_context(|| format!("emptying {}", work.display()))?;
        }
        fs::create_dir_all(&work)?;
        let identity = Identity::create(&work)?;
        process::raise_descriptor_limit();
        process::adopt_orphans()?;
        process::pin(setting.load_core)?;
        stop_on_signal()?;
        let generator = Generator::new()?;
        Ok(Some(Self {
            rows,
            programs: Programs { mangrove },
            generator,
            identity,
            work,
        }))
    }
}

/// The program that a show is about; whatever it starts is ended with this one.
fn shown(given: Option<&Path>) -> Result<PathBuf> {
    process::raise_descriptor_limit();
    process::adopt_orphans()?;
    stop_on_signal()?;
    match given {
        Some(path) => path
            .canonicalize()
            .with_context(|| format!("looking for {}", path.display())),
        None => build_mangrove(),
    }
}

fn chosen(names: &[String]) -> Result<Vec<&'static Row>> {
    if names.is_empty() {
        return Ok(ROWS.iter().collect());
    }
    let find = |name: &String| {
        rows::find(name).with_context(|| format!("no row `{name}`; --list shows them"))
    };
    names.iter().map(find).collect()
}

/// Builds the mangrove program beside this one and gives its path.
fn build_mangrove() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().context("the folder of this program")?;
    let target = folder.parent().context("the target folder")?;
    say("building mangrove (--mangrove PATH measures another, --mangrove none leaves it out)");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release", "-p", "mangrove", "--target-dir"])
        .arg(target)
        .current_dir(own_folder())
        .status()
        .context("running cargo")?;
    ensure!(status.success(), "mangrove did not build");
    Ok(target.join("release").join("mangrove"))
}

/// Ends everything that was started when the benchmark is told to stop.
fn stop_on_signal() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        )
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        say("\nstopping everything that was started");
        process::stop_everything();
        std::process::exit(INTERRUPTED);
    });
    Ok(())
}

fn own_folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
