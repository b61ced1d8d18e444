//! The edge process: one thread per core for visitors, one for everything else.
//!
//! The thread for everything else (the *keeper*) resolves names, watches certificates and the
//! cores' heartbeats, applies snapshots and answers operators. No request waits for it.

pub(crate) mod cache_door;
mod core_thread;
pub(crate) mod explain;
pub(crate) mod history_door;
pub(crate) mod list_door;
pub(crate) mod operators;
pub(crate) mod orders;
pub(crate) mod parameters;
pub(crate) mod purge_door;
mod shield_door;
mod show_door;
mod sockets;
mod whereabouts;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, TcpListener as StdListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mangrove_config::{LogTarget, Server, Settled, TlsVersion};
use mangrove_http::Moment;
use mangrove_store::{Health, OpenError};
use rustls::time_provider::TimeProvider;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::admin::Reply;
use core_thread::{CoreOrder, CoreSeed, run_core};
use operators::{Operators, said};
use orders::{ORDERS_WATCH, Orders};
use sockets::Sockets;

use crate::allocator::{self, Waste};
use crate::cache::sweep::{ROUND_REST, STEP_REST};
use crate::cache::{Cache, DiskTier};
use crate::clock::Clock;
use crate::compress::{Compressor, threads_for};
use crate::core::Ceiling;
use crate::handover::{ListenerKind, PassedListener};
use crate::history::History;
use crate::log::{LogQueue, Target};
use crate::metrics::{CoreMetrics, EdgeFacts, LimitFacts, StoreFacts, render};
use crate::module::Module;
use crate::origin::pool;
use crate::origin::resolve::{Learned, Names, Resolver};
use crate::pages::Pages;
use crate::snapshot::SharedSnapshot;
use crate::standing::Visitors;
use crate::tls::{
    CertFiles, CertResolver, CertStore, MinVersion, TicketKeys, self_signed, server_config,
    unix_time,
};
use crate::wheel::TICK;

/// A core that has not turned its clock for so long is stalled: another accepts from its sockets.
pub(crate) const STALLED: Duration = Duration::from_millis(500);
/// How often the keeper looks at heartbeats.
pub(crate) const WATCH: Duration = Duration::from_millis(250);
/// How often certificate files are looked at, and ticket keys turned.
pub(crate) const CERTIFICATE_WATCH: Duration = Duration::from_secs(10);
/// How long an edge that begins waits for the disk before it accepts visitors all the same.
pub(crate) const STORE_OPEN: Duration = Duration::from_millis(100);
/// How long an edge that ends waits for the disk to take what it was given.
pub(crate) const STORE_CLOSE: Duration = Duration::from_secs(5);
/// How often the disk tier is looked after: opened once no other edge has it, and its troubles told.
pub(crate) const STORE_WATCH: Duration = Duration::from_secs(1);
/// How long a core may take to swap a snapshot before the order is answered with an error.
pub(crate) const APPLY_PATIENCE: Duration = Duration::from_secs(10);

/// What an edge is started with.
#[derive(Debug)]
pub struct EdgeArgs {
    /// The state folder.
    pub state_dir: PathBuf,
    /// The listening sockets.
    pub listeners: Vec<PassedListener>,
    /// Where to write `ready` and a line end once every core accepts.
    pub ready_fd: Option<OwnedFd>,
    /// Its number, in the names of its sockets.
    pub generation: u64,
}

/// Runs the data plane; returns when it has drained.
pub fn run(args: EdgeArgs) -> ExitCode {
    match start(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            complain(&problem);
            ExitCode::FAILURE
        }
    }
}

/// The keeper's view of the edge.
pub struct Edge {
    state: PathBuf,
    clock: Clock,
    cores: Vec<CoreHandle>,
    ceiling: Arc<Ceiling>,
    cache: Arc<Cache>,
    log: LogQueue,
    snapshot: RefCell<Arc<SharedSnapshot>>,
    certificates: Arc<CertResolver>,
    tickets: Arc<TicketKeys>,
    listeners: RefCell<Vec<PassedListener>>,
    covered: RefCell<HashMap<u16, usize>>,
    names: RefCell<Names>,
    resolver: RefCell<Resolver>,
    operators: RefCell<Operators>,
    orders: RefCell<Orders>,
    /// Held by whoever changes an order.
    ordering: tokio::sync::Mutex<()>,
    visitors: Arc<Visitors>,
    draining: Cell<bool>,
    drain: Notify,
    admin_close: Notify,
    token_hash: Option<Vec<u8>>,
    watched: RefCell<Vec<(PathBuf, Option<SystemTime>)>>,
    history: RefCell<History>,
}

struct CoreHandle {
    orders: mpsc::UnboundedSender<CoreOrder>,
    metrics: Arc<CoreMetrics>,
    thread: Cell<Option<std::thread::JoinHandle<()>>>,
}

fn start(args: EdgeArgs) -> Result<(), String> {
    let EdgeArgs {
        state_dir: state,
        listeners,
        ready_fd,
        generation,
    } = args;
    let clock = Clock::start();
    let settled = read_settled(&state)?;
    let server = settled.server.clone();
    let now = unix_time(clock.wall());
    let certificates = CertResolver::new(load_certificates(
        &state,
        &settled,
        &CertStore::default(),
        now,
    ));
    let (tickets, problem) = TicketKeys::open(&state, now);
    if let Some(problem) = problem {
        complain(&problem.to_string());
    }
    let time: Arc<dyn TimeProvider> = Arc::new(clock.clone());
    let shared =
        SharedSnapshot::build(settled, &time, None).map_err(|problems| in_words(&problems))?;
    let log = LogQueue::start(log_target(&state, &server), server.log.queue_bytes)
        .map_err(|e| format!("the access log's thread cannot be started: {e}"))?;
    let tls = tls_config(&server, &certificates, &tickets, &clock)?;
    let resolver = resolver(&server)?;
    let core_count = listeners
        .iter()
        .map(|listener| listener.core + 1)
        .max()
        .unwrap_or(1);
    let ceiling = Arc::new(Ceiling::new(
        usize::from(core_count),
        [random_seed()?, random_seed()?],
    ));
    let pages = Arc::new(Pages::new());
    let compressor = Compressor::start(threads_for(usize::from(core_count)))
        .map_err(|e| format!("the threads that compress cannot be started: {e}"))?;
    let seed = [random_seed()?, random_seed()?];
    let disk = server.disk_cache.then(|| {
        let folder = state.join("store");
        DiskTier::new(folder, server.disk_cache_bytes, server.cache_memory)
    });
    let cache = Cache::new(server.cache_memory, seed, Some(compressor), disk);
    if let Some(disk) = cache.disk() {
        disk.say_quotas(shared.disk_quotas());
    }
    // Before the first request, so that a restart is not noticed. Where another edge that ends still has the store, or the
    // disk takes its time, later: the first visitor is not kept waiting.
    let (opened, is_open) = std::sync::mpsc::channel();
    let its = Arc::clone(&cache);
    behind("store-open", move || {
        let _ = open_store(&its); // what is wrong is told by whoever looks after it
        let _ = opened.send(());
    });
    let _ = is_open.recv_timeout(STORE_OPEN);
    let orders = Orders::open(&state, clock.wall());
    let said = said(&server, &Operators::default(), &orders, clock.wall());
    let visitors = Visitors::new([random_seed()?, random_seed()?]);
    let (probes, mut probed) = mpsc::unbounded_channel();
    let mut cores = Vec::new();
    let mut waiting = Vec::new();
    for id in 0..core_count {
        let own: Vec<_> = listeners
            .iter()
            .filter(|l| l.core == id && l.kind != ListenerKind::Admin)
            .filter_map(|l| Some((copy(l)?, l.kind)))
            .collect();
        let (orders, received) = mpsc::unbounded_channel();
        let metrics = Arc::new(CoreMetrics::new(id));
        let (up, is_up) = std::sync::mpsc::channel();
        let seed = CoreSeed {
            id,
            core_count,
            clock: clock.clone(),
            metrics: Arc::clone(&metrics),
            log: log.clone(),
            ceiling: Arc::clone(&ceiling),
            pages: Arc::clone(&pages),
            cache: Arc::clone(&cache),
            shared: Arc::clone(&shared),
            said: Arc::clone(&said),
            visitors: Arc::clone(&visitors),
            tls: tls.clone(),
            listeners: own,
            probes: probes.clone(),
            random: random_seed()?,
        };
        let thread = std::thread::Builder::new()
            .name(format!("core-{id}"))
            .spawn(move || run_core(seed, received, up))
            .map_err(|e| format!("the thread of core {id} cannot be started: {e}"))?;
        cores.push(CoreHandle {
            orders,
            metrics,
            thread: Cell::new(Some(thread)),
        });
        waiting.push(is_up);
    }
    let edge = Rc::new(Edge {
        token_hash: read_token_hash(&state),
        watched: RefCell::default(),
        history: RefCell::new(History::new(clock.now())),
        clock,
        cores,
        ceiling,
        cache,
        log,
        snapshot: RefCell::new(shared),
        certificates,
        tickets,
        listeners: RefCell::new(listeners),
        covered: RefCell::default(),
        resolver: RefCell::new(resolver),
        names: RefCell::new(Names::new(random_seed()?)),
        operators: RefCell::default(),
        orders: RefCell::new(orders),
        ordering: tokio::sync::Mutex::default(),
        visitors,
        draining: Cell::new(false),
        drain: Notify::new(),
        admin_close: Notify::new(),
        state,
    });
    edge.remember_files();
    let runtime = tokio::runtime::LocalRuntime::new()
        .map_err(|e| format!("the keeper's runtime cannot be started: {e}"))?;
    runtime.block_on(async {
        let sockets = Sockets::open(&edge, generation)?;
        edge.keep();
        let for_probes = Rc::clone(&edge);
        tokio::task::spawn_local(async move {
            while let Some((from, site, target, good)) = probed.recv().await {
                for_probes.spread_probe(from, &site, &target, good);
            }
        });
        for is_up in waiting {
            is_up
                .recv()
                .map_err(|_| "a core stopped before it accepted".to_owned())?;
        }
        // The TLS library's own random numbers take a tenth of a second to begin: better now, on a
        // thread of its own, than in the first handshake.
        let _ = std::thread::Builder::new()
            .name("tls-warm-up".into())
            .spawn(|| aws_lc_rs::rand::fill(&mut [0u8; 8]).is_ok());
        if let Some(fd) = ready_fd {
            use std::io::Write;
            let _ = std::fs::File::from(fd).write_all(b"ready\n"); // nobody listens: nobody to tell
        }
        edge.drain.notified().await;
        // The successor may have the store while requests under way come to their end.
        let (closed, is_closed) = oneshot::channel();
        let cache = Arc::clone(&edge.cache);
        behind("store-close", move || {
            if let Some(disk) = cache.disk() {
                disk.close();
            }
            let _ = closed.send(()); // an edge that has given up is not told
        });
        edge.see_out().await;
        // A disk that hangs keeps what it was not given.
        let _ = tokio::time::timeout(STORE_CLOSE, is_closed).await;
        let cache = Arc::clone(&edge.cache);
        behind("store-end", move || {
            if let Some(disk) = cache.disk() {
                disk.end();
            }
        });
        drop(sockets);
        Ok(())
    })
}

impl Edge {
    /// The SHA-256 of the admin token, where there is one.
    pub fn token_hash(&self) -> Option<&Vec<u8>> {
        self.token_hash.as_ref()
    }

    /// Whether every core turns its clock.
    pub fn health(&self) -> Reply {
        let stalled = self.stalled();
        if stalled.is_empty() {
            Reply::text(200, "ok\n")
        } else {
            Reply::text(503, format!("stalled cores: {stalled:?}\n"))
        }
    }

    /// Whether new connections are accepted.
    pub fn readiness(&self) -> Reply {
        if self.draining.get() {
            Reply::text(503, "draining\n")
        } else {
            Reply::text(200, "ready\n")
        }
    }

    /// Everything counted.
    pub fn metrics(&self) -> Reply {
        let snapshot = self.snapshot.borrow();
        let facts = EdgeFacts {
            digest: snapshot.digest.clone(),
            version: env!("CARGO_PKG_VERSION"),
            sites: snapshot.settled.sites.len(),
            log_written: self.log.written(),
            log_failed: self.log.failed(),
            http2_ahead_bytes: self.ceiling.held_by_all.bytes(),
            cache: self.cache.memory().statistics(),
            fills: self.cache.under_way() as u64,
            fill_bytes: self.cache.fills().held(),
            followers: self.cache.fills().followers() as u64,
            purges: self.cache.purge_counts(),
            store: StoreFacts::of(self.cache.disk()),
            limits: snapshot.decided().map(LimitFacts::of).collect(),
        };
        let cores: Vec<_> = self
            .cores
            .iter()
            .map(|core| Arc::clone(&core.metrics))
            .collect();
        match render(&cores, facts) {
            Ok(page) => Reply::text(200, page),
            Err(_) => Reply::error(500, "the metrics could not be written"),
        }
    }

    /// What runs.
    pub fn build(&self) -> Reply {
        Reply::json(
            200,
            &serde_json::json!({
                "name": "mangrove",
                "version": env!("CARGO_PKG_VERSION"),
                "profile": if cfg!(debug_assertions) { "debug" } else { "release" },
                "pid": std::process::id(),
                "cores": self.cores.len(),
                "digest": self.snapshot.borrow().digest,
                "connections": self.ceiling.open(),
            }),
        )
    }

    /// The settings being served.
    pub fn config(&self) -> Reply {
        match serde_json::to_value(&*self.snapshot.borrow().settled) {
            Ok(value) => Reply::json(200, &value),
            Err(error) => Reply::error(500, error.to_string()),
        }
    }

    /// The guarded steps, what they may cost and how they fail.
    pub fn modules(&self) -> Reply {
        let rows: Vec<_> = Module::ALL
            .iter()
            .map(|&module| {
                let panics: u64 = self
                    .cores
                    .iter()
                    .map(|core| core.metrics.module_panics(module))
                    .sum();
                serde_json::json!({
                    "name": module.name(),
                    "state": "on", // nothing is switched out yet
                    "fail_mode": module.fail_mode().name(),
                    "budget": module.budget(),
                    "panics": panics,
                })
            })
            .collect();
        Reply::json(200, &serde_json::Value::Array(rows))
    }

    /// How the origins fare, as each core sees them.
    pub async fn origins(&self) -> Reply {
        let mut lines = String::new();
        for (id, core) in self.cores.iter().enumerate() {
            let (tell, told) = oneshot::channel();
            let _ = core.orders.send(CoreOrder::Explain(tell));
            match tokio::time::timeout(APPLY_PATIENCE, told).await {
                Ok(Ok(rows)) => rows
                    .iter()
                    .for_each(|row| lines.push_str(&format!("core {id}: {row}\n"))),
                _ => lines.push_str(&format!("core {id}: does not answer\n")),
            }
        }
        Reply::text(200, lines)
    }

    /// Reads `STATE/edge/settled.json` and puts it in force on every core; on any problem the old one stays.
    pub async fn apply_from_disk(&self) -> Reply {
        let began = self.clock.nanos();
        let settled = match read_settled(&self.state) {
            Ok(settled) => settled,
            Err(problem) => return Reply::error(422, problem),
        };
        let server = settled.server.clone();
        let time: Arc<dyn TimeProvider> = Arc::new(self.clock.clone());
        let previous = Arc::clone(&self.snapshot.borrow());
        let shared = match SharedSnapshot::build(settled, &time, Some(&previous)) {
            Ok(shared) => shared,
            Err(problems) => return Reply::error(422, in_words(&problems)),
        };
        // Whatever can be refused is refused before anything is changed.
        let tls = match tls_config(&server, &self.certificates, &self.tickets, &self.clock) {
            Ok(tls) => tls,
            Err(problem) => return Reply::error(422, problem),
        };
        let resolver = match resolver(&server) {
            Ok(resolver) => resolver,
            Err(problem) => return Reply::error(422, problem),
        };
        let now = unix_time(self.clock.wall());
        let old = self.certificates.store();
        let store = load_certificates(&self.state, &shared.settled, &old, now);
        self.certificates.swap(store);
        self.resolver.replace(resolver);
        self.log.set_ceiling(server.log.queue_bytes);
        if let Some(config) = tls {
            self.tell_all(|| CoreOrder::Tls(Arc::clone(&config)));
        }
        let mut answers = Vec::new();
        for core in &self.cores {
            let (done, is_done) = oneshot::channel();
            let _ = core
                .orders
                .send(CoreOrder::Apply(Arc::clone(&shared), done));
            answers.push(is_done);
        }
        let mut late = 0usize;
        for answer in answers {
            if tokio::time::timeout(APPLY_PATIENCE, answer).await.is_err() {
                late += 1;
            }
        }
        self.log.retarget(log_target(&self.state, &server));
        let digest = shared.digest.clone();
        if let Some(disk) = self.cache.disk() {
            disk.say_quotas(shared.disk_quotas()); // in force within a second: whoever looks after the disk does it
        }
        self.snapshot.replace(shared);
        late += self.tell_said().await;
        self.remember_files();
        self.watch_names();
        if late > 0 {
            return Reply::error(
                500,
                format!(
                    "{late} of {} cores did not take the snapshot in time",
                    self.cores.len()
                ),
            );
        }
        let millis = self.clock.nanos().saturating_sub(began) / 1_000_000;
        Reply::json(
            200,
            &serde_json::json!({ "digest": digest, "millis": millis }),
        )
    }

    /// Reads every certificate file again.
    pub fn reload_certificates(&self) -> Reply {
        let now = unix_time(self.clock.wall());
        let settled = Arc::clone(&self.snapshot.borrow().settled);
        let files = certificate_files(&self.state, &settled, now);
        let (store, problems) = CertStore::reload(&self.certificates.store(), &files, now);
        self.certificates.swap(store);
        self.remember_files();
        if problems.is_empty() {
            return Reply::json(200, &serde_json::json!({ "certificates": files.len() }));
        }
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        problems.iter().for_each(|problem| complain(problem));
        Reply::error(422, problems.join("\n"))
    }

    /// Closes the access log and opens it again.
    pub fn reopen_log(&self) -> Reply {
        self.log.reopen();
        Reply::json(200, &serde_json::json!({ "reopened": true }))
    }

    /// Stops accepting and ends when the last request has, or at the drain deadline.
    pub fn begin_drain(&self) -> Reply {
        if !self.draining.replace(true) {
            self.listeners.borrow_mut().clear(); // closes our copies; never shutdown(2): the queue is others' too
            self.tell_all(|| CoreOrder::Drain);
            self.admin_close.notify_waiters();
            self.drain.notify_one();
        }
        Reply::json(
            200,
            &serde_json::json!({ "draining": true, "connections": self.ceiling.open() }),
        )
    }

    fn tell_all(&self, order: impl Fn() -> CoreOrder) {
        for core in &self.cores {
            let _ = core.orders.send(order());
        }
    }

    fn spread_probe(&self, from: u16, site: &Arc<str>, target: &pool::Target, good: bool) {
        for core in &self.cores {
            if core.metrics.core != from {
                let _ = core.orders.send(CoreOrder::Probed {
                    site: Arc::clone(site),
                    target: target.clone(),
                    good,
                });
            }
        }
    }

    fn stalled(&self) -> Vec<u16> {
        let now = self.clock.now();
        let is_late = |core: &&CoreHandle| {
            now.saturating_since(Moment(core.metrics.heartbeat.value())) > STALLED
        };
        self.cores
            .iter()
            .filter(is_late)
            .map(|core| core.metrics.core)
            .collect()
    }

    /// Starts what the keeper does by itself.
    fn keep(self: &Rc<Self>) {
        let edge = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let mut turns = tokio::time::interval(WATCH);
            turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
            loop {
                turns.tick().await;
                edge.cover_stalled();
                if edge.operators.borrow_mut().forget(edge.clock.now()) {
                    edge.send_said();
                }
            }
        });
        let edge = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let mut turns = tokio::time::interval(CERTIFICATE_WATCH);
            turns.tick().await;
            loop {
                turns.tick().await;
                if let Some(problem) = edge.tickets.rotate(unix_time(edge.clock.wall())) {
                    complain(&problem.to_string());
                }
                if edge.files_changed() {
                    let _ = edge.reload_certificates(); // it complains by itself
                }
            }
        });
        let edge = Rc::clone(self);
        tokio::task::spawn_local(async move { edge.keep_history().await });
        let edge = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let mut turns = tokio::time::interval(ORDERS_WATCH);
            turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
            loop {
                turns.tick().await;
                edge.look_after_orders();
            }
        });
        let cache = Arc::clone(&self.cache);
        tokio::task::spawn_local(async move {
            loop {
                cache.sweeps().called().await;
                let mut round = cache.round();
                while cache.sweep_some(&mut round) {
                    tokio::time::sleep(STEP_REST).await;
                }
                tokio::time::sleep(ROUND_REST).await;
            }
        });
        let (cache, clock) = (Arc::downgrade(&self.cache), self.clock.clone());
        behind("store-watch", move || {
            let mut last = None;
            loop {
                std::thread::sleep(STORE_WATCH);
                let Some(cache) = cache.upgrade() else {
                    return;
                };
                let trouble = watch_store(&cache);
                if let Some(disk) = cache.disk() {
                    disk.compact(cache.ledger(), clock.wall());
                    disk.enforce_quotas();
                }
                if trouble != last {
                    match &trouble {
                        Some(trouble) => complain(trouble),
                        None => complain("the disk of the cache is in use again"),
                    }
                    last = trouble;
                }
            }
        });
        if let Some(waste) = Waste::at_start() {
            let cache = Arc::clone(&self.cache);
            tokio::task::spawn_local(async move {
                loop {
                    let _ = tokio::time::timeout(allocator::LOOK, cache.enough_brought()).await;
                    cache.count_waste(waste.left(cache.spared_waste()));
                }
            });
        }
        self.watch_names();
        let edge = Rc::clone(self);
        tokio::task::spawn_local(async move {
            loop {
                let due = edge.names.borrow_mut().due(edge.clock.now());
                for name in due {
                    let (edge, resolver) = (Rc::clone(&edge), edge.resolver.borrow().clone());
                    tokio::task::spawn_local(async move {
                        let answer = resolver.lookup(&name).await;
                        edge.learn(&name, answer);
                    });
                }
                tokio::time::sleep(TICK).await;
            }
        });
    }

    /// The names of all origins, and no others, are resolved from now on.
    fn watch_names(&self) {
        let settled = Arc::clone(&self.snapshot.borrow().settled);
        let wanted: std::collections::HashSet<&str> = settled
            .sites
            .iter()
            .flat_map(|site| &site.origins)
            .filter(|origin| origin.socket_path.is_none() && origin.host.parse::<IpAddr>().is_err())
            .map(|origin| origin.host.as_str())
            .collect();
        let mut names = self.names.borrow_mut();
        names.retain(|name| wanted.contains(name));
        for name in wanted {
            if names.watch(name, self.clock.now()).is_err() {
                complain("more origin names than can be watched; the rest are not resolved");
                break;
            }
            // A site that came by a reload must not wait for the next round to hear what is known.
            let known: Arc<[IpAddr]> = names.addresses(name).into();
            if !known.is_empty() {
                self.tell_all(|| CoreOrder::Resolved(name.into(), Arc::clone(&known)));
            }
        }
    }

    fn learn(
        &self,
        name: &Arc<str>,
        answer: Result<crate::origin::resolve::Answer, crate::origin::resolve::LookupFailed>,
    ) {
        let mut names = self.names.borrow_mut();
        match names.answered(name, answer, self.clock.now()) {
            Learned::Changed | Learned::StillUnknown => {
                let known: Arc<[IpAddr]> = names.addresses(name).into();
                self.tell_all(|| CoreOrder::Resolved(Arc::clone(name), Arc::clone(&known)));
            }
            Learned::Unchanged | Learned::KeptLastGood | Learned::NotWatched => {}
        }
    }

    /// A stalled core's sockets are accepted from by the next core until it is back.
    fn cover_stalled(&self) {
        if self.draining.get() || self.cores.len() < 2 {
            return;
        }
        let stalled = self.stalled();
        let mut covered = self.covered.borrow_mut();
        for &id in &stalled {
            let helper = self
                .cores
                .iter()
                .position(|core| !stalled.contains(&core.metrics.core));
            let (Some(helper), false) = (helper, covered.contains_key(&id)) else {
                continue;
            };
            let sockets: Vec<_> = self
                .listeners
                .borrow()
                .iter()
                .filter(|l| l.core == id && l.kind != ListenerKind::Admin)
                .filter_map(|l| Some((copy(l)?, l.kind)))
                .collect();
            complain(&format!(
                "core {id} is stalled; another accepts from its sockets"
            ));
            if let Some(core) = self.cores.get(helper) {
                let _ = core.orders.send(CoreOrder::Cover(id, sockets));
                covered.insert(id, helper);
            }
        }
        covered.retain(|id, helper| {
            if stalled.contains(id) {
                return true;
            }
            complain(&format!("core {id} is back"));
            if let Some(core) = self.cores.get(*helper) {
                let _ = core.orders.send(CoreOrder::Uncover(*id));
            }
            false
        });
    }

    fn remember_files(&self) {
        let settled = Arc::clone(&self.snapshot.borrow().settled);
        let files = settled
            .server
            .tls
            .certificates
            .iter()
            .flat_map(|c| [Some(&c.cert), Some(&c.key), c.ocsp.as_ref()])
            .flatten();
        *self.watched.borrow_mut() = files
            .map(|file| (PathBuf::from(file), modified(Path::new(file))))
            .collect();
    }

    fn files_changed(&self) -> bool {
        self.watched
            .borrow()
            .iter()
            .any(|(file, known)| modified(file) != *known)
    }

    /// Lets requests under way end, for at most the drain deadline.
    async fn see_out(&self) {
        let limit = self.snapshot.borrow().settled.server.limits.drain;
        let deadline = self.clock.now() + limit;
        while self.ceiling.open() > 0 && self.clock.now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.tell_all(|| CoreOrder::Stop);
        for core in &self.cores {
            if let Some(thread) = core.thread.take()
                && (thread.is_finished() || !self.stalled().contains(&core.metrics.core))
            {
                let _ = thread.join(); // a panic there was counted where it happened
            }
        }
        self.log.flush(Duration::from_secs(2));
    }
}

impl std::fmt::Debug for Edge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edge")
            .field("cores", &self.cores.len())
            .finish_non_exhaustive()
    }
}

fn read_settled(state: &Path) -> Result<Settled, String> {
    let path = state.join("edge").join("settled.json");
    let bytes =
        std::fs::read(&path).map_err(|e| format!("{} cannot be read: {e}", path.display()))?;
    Settled::from_json(&bytes).map_err(|e| format!("{}: {e}", path.display()))
}

fn read_token_hash(state: &Path) -> Option<Vec<u8>> {
    let text = std::fs::read_to_string(state.join("edge").join("admin.token.sha256")).ok()?;
    let text = text.trim();
    let digits = text.as_bytes().chunks(2);
    let bytes: Option<Vec<u8>> = digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    bytes.filter(|bytes| bytes.len() == 32)
}

fn certificate_files(
    state: &Path,
    settled: &Settled,
    now: rustls::pki_types::UnixTime,
) -> Vec<CertFiles> {
    if !settled.server.tls.certificates.is_empty() || settled.server.https.is_empty() {
        return settled
            .server
            .tls
            .certificates
            .iter()
            .map(|c| CertFiles {
                cert: (&c.cert).into(),
                key: (&c.key).into(),
                ocsp: c.ocsp.as_ref().map(Into::into),
            })
            .collect();
    }
    let hosts: Vec<String> = settled
        .sites
        .iter()
        .flat_map(|site| site.hosts.iter().cloned())
        .filter(|host| host != "*")
        .collect();
    match self_signed(state, &hosts, now) {
        Ok(pair) => vec![pair.files],
        Err(problem) => {
            complain(&problem.to_string());
            Vec::new()
        }
    }
}

fn load_certificates(
    state: &Path,
    settled: &Settled,
    old: &CertStore,
    now: rustls::pki_types::UnixTime,
) -> CertStore {
    let (store, problems) = CertStore::reload(old, &certificate_files(state, settled, now), now);
    problems
        .iter()
        .for_each(|problem| complain(&problem.to_string()));
    store
}

fn tls_config(
    server: &Server,
    certificates: &Arc<CertResolver>,
    tickets: &Arc<TicketKeys>,
    clock: &Clock,
) -> Result<Option<Arc<rustls::ServerConfig>>, String> {
    if server.https.is_empty() {
        return Ok(None);
    }
    let oldest = match server.tls.min_version {
        TlsVersion::V1_2 => MinVersion::Tls12,
        TlsVersion::V1_3 => MinVersion::Tls13,
    };
    server_config(
        Arc::clone(certificates),
        Arc::clone(tickets),
        oldest,
        Arc::new(clock.clone()),
    )
    .map(Some)
    .map_err(|e| format!("TLS cannot be set up: {e}"))
}

fn resolver(server: &Server) -> Result<Resolver, String> {
    if server.resolvers.is_empty() {
        Ok(Resolver::system())
    } else {
        Resolver::dns(&server.resolvers).map_err(|e| e.to_string())
    }
}

/// Runs what waits for a disk on a thread of its own. One that hangs then holds up nobody, not even the process's end.
pub(crate) fn behind(name: &str, work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().name(name.to_owned());
    if let Err(why) = thread.spawn(work) {
        complain(&format!("the thread {name} cannot be started: {why}"));
    }
}

/// Opens the store of the disk tier if that is not open and no other process has it.
fn open_store(cache: &Cache) -> Result<(), OpenError> {
    match cache.disk() {
        Some(disk) if !disk.is_open() => disk.try_open(cache.ledger()),
        _ => Ok(()),
    }
}

/// What is wrong with the disk tier, for the operator's journal.
fn watch_store(cache: &Cache) -> Option<String> {
    match open_store(cache) {
        // An edge that ends has it; that takes its time, and is as it should be.
        Ok(()) | Err(OpenError::InUse) => {}
        Err(why) => {
            let what = format!("{why}; until it can be opened the cache is kept in memory only");
            return Some(format!(
                "the store of the disk tier cannot be opened: {what}"
            ));
        }
    }
    match cache.disk()?.health()? {
        Health::Well => None,
        Health::OutOfUse(trouble) => Some(trouble.to_string()),
    }
}

fn log_target(state: &Path, server: &Server) -> Target {
    match server.log.to {
        LogTarget::Off => Target::Off,
        LogTarget::Stdout => Target::Stdout,
        LogTarget::File => Target::File(match &server.log.path {
            Some(path) => PathBuf::from(path),
            None => state.join("log").join("access.ndjson"),
        }),
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path)
        .and_then(|meta| meta.modified())
        .ok()
}

/// A second descriptor of the same socket.
fn copy(listener: &PassedListener) -> Option<StdListener> {
    let listener = StdListener::from(listener.fd.try_clone().ok()?);
    listener.set_nonblocking(true).ok()?;
    Some(listener)
}

/// From the kernel, not from the TLS library: that one measures the processor's jitter before its
/// first number, a tenth of a second that a restarted edge's visitors would wait for.
fn random_seed() -> Result<u64, String> {
    let mut bytes = [0u8; 8];
    rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty())
        .map_err(|error| format!("the system has no random numbers: {error}"))?;
    Ok(u64::from_le_bytes(bytes))
}

fn in_words(problems: &[(String, crate::tls::TlsProblem)]) -> String {
    problems
        .iter()
        .map(|(site, problem)| format!("site {site}: {problem}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// To the terminal or the journal: what an operator should know.
#[allow(clippy::print_stderr)] // the edge's one way to speak to people
pub(crate) fn complain(what: &str) {
    eprintln!("mangrove edge: {what}");
}
