//! `mangrove serve`: from the command line to a running shell.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Resource, Rlimit};

use crate::adoption::{self, Survivors};
use crate::arguments::Serve;
use crate::clock::now;
use crate::control::{self, Caller};
use crate::edge_process::EdgeProcess;
use crate::handover::{self, ListenerKind};
use crate::listeners::Sockets;
use crate::privileges;
use crate::resume;
use crate::shell::{Duties, Shell, THIS_PROGRAM};
use crate::signals::Signals;
use crate::source::{From, Source, Wanted};
use crate::state::{Lock, StateDir};
use crate::supervisor::{Asker, Event, Supervisor};
use crate::systemd::{self, Notify};
use crate::terminal;
use crate::trial::{Whole, Wholes, edge_account, last_settled};

/// What was last told to serve in a state folder, and did.
pub(crate) const STARTED: &str = "started.json";

/// Serves until told to stop.
pub(crate) fn run(arguments: Serve) -> Result<ExitCode> {
    let spare = systemd::kept_sockets();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    raise_open_files();
    let shell = if arguments.resume {
        resumed()?
    } else {
        started(arguments, spare)?
    };
    Ok(ExitCode::from(shell.run()))
}

/// `path` from the root, so that it means the same to another process.
pub(crate) fn absolute(path: Option<PathBuf>) -> Result<Option<PathBuf>> {
    let absolute = |path: PathBuf| {
        path.canonicalize()
            .with_context(|| format!("{} cannot be found", path.display()))
    };
    path.map(absolute).transpose()
}

/// A start from the command line.
fn started(arguments: Serve, spare: Sockets) -> Result<Shell> {
    let folder = |source: &Source| {
        let configured = source.state();
        // A file too broken to name its state folder must not stop a state folder that was typed.
        let configured = configured.or_else(|error| match arguments.state.is_typed() {
            true => Ok(None),
            false => Err(error),
        })?;
        Ok::<_, anyhow::Error>(arguments.state.folder(configured))
    };
    let source = Source {
        from: match (absolute(arguments.config)?, arguments.origin) {
            (Some(file), _) => From::File(file),
            (None, Some(url)) => From::Origin(url),
            (None, None) => From::Sample,
        },
        listen: arguments.listen.into_iter().flat_map(|one| one.0).collect(),
    };
    let folder = folder(&source)?;
    let state = StateDir::open(&folder)?;
    let lock = lock(&state)?;

    let before = last_settled(&state).filter(|_| was_started_with(&state, &source));
    let wanted = match (source.settle(), &before) {
        (Ok(wanted), _) => wanted,
        (Err(error), None) => return Err(error),
        (Err(error), Some(before)) => {
            terminal::warn(format_args!(
                "{error:#}\nServing the configuration that was last in force instead."
            ));
            Wanted {
                settled: before.clone(),
                notices: Vec::new(),
            }
        }
    };
    for notice in &wanted.notices {
        terminal::say(format_args!("Notice: {notice}"));
    }
    warn_of_root(&wanted)?;

    let edge_uid = edge_account(&wanted.settled)?.map(|account| account.uid);
    let survivors = adoption::find(&state, edge_uid);
    let mut shell = Shell {
        control: control::listen(&state)?,
        lock,
        source,
        invoked: terminal::invoked(),
        wholes: Wholes::default(),
        spare,
        supervisor: Supervisor::new(survivors.highest.saturating_add(1)),
        edges: BTreeMap::new(),
        signals: Signals::listen()?,
        notify: Notify::from_environment(),
        events: VecDeque::new(),
        callers: BTreeMap::new(),
        duties: Duties::default(),
        state,
    };
    if adopt(&mut shell, survivors) {
        let in_force = shell.wholes.settled().map(|settled| settled.digest());
        if in_force != Some(wanted.settled.digest()) {
            terminal::say("The configuration is another one than it serves; applying it.");
            shell.reload(Asker::Startup);
        }
        return Ok(shell);
    }
    let fallback = before.filter(|before| *before != wanted.settled);
    let program = PathBuf::from(THIS_PROGRAM);
    let has_fallback = fallback.is_some();
    shell
        .wholes
        .begin(&shell.state, wanted.settled, &shell.spare)?;
    shell.wholes.in_force = fallback.map(|settled| Whole {
        settled,
        sockets: Sockets::new(),
    });
    shell.events.push_back(Event::Boot {
        program,
        fallback: has_fallback,
    });
    Ok(shell)
}

/// A start from the supervisor that this process was until now.
fn resumed() -> Result<Shell> {
    let (note, held) = resume::take_over()?;
    let listeners = handover::pair(note.listeners, held.listeners)?;
    let sockets: Sockets = listeners.into_iter().map(Rc::new).collect();
    let state = StateDir::existing(&note.state)?;
    let settled = last_settled(&state).context("settled.json cannot be read")?;
    let control = std::os::unix::net::UnixListener::from(held.control);
    control.set_nonblocking(true)?;
    let mut shell = Shell {
        control,
        lock: Lock(held.lock),
        source: note.source,
        invoked: note.invoked,
        wholes: Wholes::default(),
        spare: Sockets::new(),
        supervisor: Supervisor::new(note.next_generation),
        edges: BTreeMap::new(),
        signals: Signals::listen()?,
        notify: Notify::from_environment(),
        events: VecDeque::new(),
        callers: BTreeMap::new(),
        duties: Duties::default(),
        state,
    };
    shell.duties.welcomed = true;
    shell.wholes.in_force = Some(Whole { settled, sockets });
    for edge in note.edges {
        let Some(pid) = Pid::from_raw(edge.pid) else {
            bail!("an edge without a process was handed over");
        };
        let generation = edge.generation;
        shell.adopted(generation, EdgeProcess::watch(pid, None)?, edge.serves);
    }
    if let Some(caller) = held.caller {
        let mut caller = Caller::waiting(caller.into())?;
        caller.done(&Ok(format!(
            "Upgraded: supervisor and edge are {} now. The old edge finishes its requests.",
            crate::arguments::version()
        )));
    }
    Ok(shell)
}

impl Shell {
    fn adopted(&mut self, generation: u64, process: EdgeProcess, serves: bool) {
        self.edges.insert(generation, process);
        let adopted = Event::Adopted {
            generation,
            serves,
            program: PathBuf::from(THIS_PROGRAM),
        };
        // Told at once, so that whatever comes next finds an edge that serves.
        for action in self.supervisor.on(adopted, now()) {
            self.act(action);
        }
    }
}

/// Takes over edges that outlived their supervisor. The newest that still listens serves; others drain.
fn adopt(shell: &mut Shell, survivors: Survivors) -> bool {
    let Some(settled) = last_settled(&shell.state) else {
        return false;
    };
    let newest = survivors.edges.iter().rev();
    let mut newest = newest.filter(|edge| !edge.sockets.is_empty());
    let Some(serving) = newest.next().map(|edge| edge.generation) else {
        return false;
    };
    for edge in survivors.edges {
        let serves = edge.generation == serving;
        if serves {
            terminal::say(format_args!(
                "Adopted edge {} (pid {}): it served on without a supervisor, and serves on now.",
                edge.generation,
                edge.process.pid.as_raw_nonzero()
            ));
            shell.wholes.in_force = Some(Whole {
                settled: settled.clone(),
                sockets: edge.sockets,
            });
        }
        shell.adopted(edge.generation, edge.process, serves);
    }
    true
}

/// What a person wants to know once it serves.
pub(crate) fn welcome(shell: &Shell) -> String {
    let mut text = format!("Mangrove {} is serving.\n", env!("CARGO_PKG_VERSION"));
    let none = Sockets::new();
    let mut places: Vec<(ListenerKind, SocketAddr)> = Vec::new();
    for socket in shell.wholes.sockets().unwrap_or(&none) {
        if !places.contains(&(socket.kind, socket.addr)) {
            places.push((socket.kind, socket.addr));
        }
    }
    let self_signed = match shell.wholes.settled() {
        Some(settled) if !settled.server.tls.certificates.is_empty() => "",
        _ => "    with a certificate of its own making, which browsers warn of",
    };
    for (kind, addr) in places {
        let _ = match kind {
            ListenerKind::Http => writeln!(text, "  look at   http://{}/", reachable(addr)),
            ListenerKind::Https => writeln!(
                text,
                "  look at   https://{}/{self_signed}",
                reachable(addr)
            ),
            ListenerKind::Admin => {
                writeln!(
                    text,
                    "  health    http://{0}/healthz and http://{0}/metrics",
                    reachable(addr)
                )
            }
        };
    }
    let state = shell.state.path();
    let _ = writeln!(
        text,
        "  state     {} (the access log is in log/)",
        state.display()
    );
    let (typed, folder) = (&shell.invoked, terminal::shell_word(state));
    let next = match &shell.source.from {
        From::Sample => format!(
            "{typed} serve --origin http://127.0.0.1:3000    puts it in front of your own site, and keeps what it may"
        ),
        From::Origin(_) => {
            format!("{typed} serve --config FILE    serves what a configuration file says")
        }
        From::File(path) => {
            let file = terminal::shell_word(path);
            format!(
                "{typed} check {file}\n  {typed} reload --state {folder}    after a change of the file"
            )
        }
    };
    let look = look_into_the_cache(shell).unwrap_or_default();
    let _ = write!(
        text,
        "\nWhat to type next:\n{look}  {next}\n  Ctrl-C    finishes the requests under way and stops"
    );
    text
}

/// How to see a miss, a hit and the reason. Nothing where no site has an origin: what is made at the edge is never kept.
fn look_into_the_cache(shell: &Shell) -> Option<String> {
    let settled = shell.wholes.settled()?;
    let sites = settled.sites.iter();
    let site = { sites }.find(|site| !site.origins.is_empty() && site.cache.enabled)?;
    let sockets = shell.wholes.sockets()?;
    let of_kind = |kind| sockets.iter().find(move |socket| socket.kind == kind);
    let socket = of_kind(ListenerKind::Http).or_else(|| of_kind(ListenerKind::Https))?;
    let (curl, url) = first_request(
        site.hosts.first()?,
        socket.kind == ListenerKind::Https,
        &reachable(socket.addr),
    );
    let (typed, state) = (&shell.invoked, terminal::shell_word(shell.state.path()));
    Some(format!(
        "  {curl}    shows a miss in Cache-Status; type it again for a hit, if the site lets it be kept\n  \
         {typed} cache show {url} --state {state}    what is kept of it, why and for how long\n"
    ))
}

/// The `curl` that asks for a site's first page and shows the head of its answer, and the URL that it asks for. Not with
/// `-I`: an answer to HEAD has no content to keep.
fn first_request(host: &str, is_https: bool, addr: &str) -> (String, String) {
    let scheme = if is_https { "https" } else { "http" };
    let (name, place) = match (host.strip_prefix('*'), is_https) {
        (Some(""), _) => (addr.to_owned(), String::new()),
        (suffix, is_https) => {
            let name = suffix.map_or(host.to_owned(), |suffix| format!("www{suffix}"));
            let place = match is_https {
                true => format!("--connect-to ::{addr} "),
                false => format!("-H Host:{name} "),
            };
            (name, place)
        }
    };
    let url = format!("{scheme}://{name}/");
    let asked = match (place.is_empty(), is_https) {
        (false, false) => format!("http://{addr}/"),
        _ => url.clone(),
    };
    let trust = if is_https { "-k " } else { "" };
    (
        format!("curl -so /dev/null -D - {trust}{place}{asked}"),
        url,
    )
}

/// Where a browser on this machine finds `addr`.
fn reachable(addr: SocketAddr) -> String {
    match (addr.ip().is_unspecified(), addr.is_ipv4()) {
        (false, _) => addr.to_string(),
        (true, true) => format!("127.0.0.1:{}", addr.port()),
        (true, false) => format!("[::1]:{}", addr.port()),
    }
}

fn lock(state: &StateDir) -> Result<Lock> {
    match state.lock()? {
        Ok(lock) => Ok(lock),
        Err(pid) => bail!(
            "the state folder {0} is in use by another `mangrove serve` (pid {pid}).\n\
             To change what it serves: {1} reload --state {2}. To run a second one beside it, give it its own --state.",
            state.path().display(),
            terminal::invoked(),
            terminal::shell_word(state.path()),
        ),
    }
}

/// Whether the last `serve` in this folder served the same thing, so that what it settled may stand in for it.
fn was_started_with(state: &StateDir, source: &Source) -> bool {
    let read = state.read(STARTED).ok().flatten();
    read.and_then(|bytes| serde_json::from_slice::<Source>(&bytes).ok())
        .is_some_and(|started| started == *source)
}

fn warn_of_root(wanted: &Wanted) -> Result<()> {
    if privileges::are_root() && edge_account(&wanted.settled)?.is_none() {
        terminal::warn(format_args!(
            "the edge runs as root, because there is no user for it. Make one, and it is used from the next start:\n  \
             useradd --system --no-create-home --shell /usr/sbin/nologin {}",
            privileges::USUAL_USER
        ));
    }
    Ok(())
}

/// Each connection is an open file; the edge inherits the limit.
fn raise_open_files() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if rustix::process::setrlimit(Resource::Nofile, raised).is_err() {
        terminal::warn(
            "the limit of open files could not be raised; many connections may be refused",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_request_goes_to_the_site_and_its_url_is_the_one_that_is_kept() {
        let of = |host, https| first_request(host, https, "127.0.0.1:80");
        let plain = "curl -so /dev/null -D -";
        for (host, https, curl, url) in [
            ("*", false, "http://127.0.0.1:80/", "http://127.0.0.1:80/"),
            (
                "*",
                true,
                "-k https://127.0.0.1:80/",
                "https://127.0.0.1:80/",
            ),
            (
                "a.example",
                false,
                "-H Host:a.example http://127.0.0.1:80/",
                "http://a.example/",
            ),
            (
                "*.a.example",
                true,
                "-k --connect-to ::127.0.0.1:80 https://www.a.example/",
                "https://www.a.example/",
            ),
        ] {
            assert_eq!(of(host, https), (format!("{plain} {curl}"), url.to_owned()));
        }
    }
}
