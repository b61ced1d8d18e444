//! One core's thread: what it is made from, what it is told, and its clock.

use std::collections::HashMap;
use std::net::{IpAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use mangrove_cache::memory::FrontStatistics;
use tokio::sync::{mpsc, oneshot};

use crate::accept::{StopAccepting, TlsSlot, accept};
use crate::cache::Cache;
use crate::clock::Clock;
use crate::core::{Ceiling, Core};
use crate::handover::ListenerKind;
use crate::log::{CoreLog, LogQueue};
use crate::metrics::CoreMetrics;
use crate::origin::pool;
use crate::origin::probe::probe;
use crate::pages::Pages;
use crate::snapshot::{SharedSnapshot, Snapshot};
use crate::standing::{LOOK_AGAIN, Said, Standings, Visitors};
use crate::wheel::{TICK, Wheel};

/// What a core is told.
pub(super) enum CoreOrder {
    Apply(Arc<SharedSnapshot>, oneshot::Sender<()>),
    Tls(Arc<rustls::ServerConfig>),
    /// What the operator has said of clients.
    Said(Arc<Said>, oneshot::Sender<()>),
    Resolved(Arc<str>, Arc<[IpAddr]>),
    Probed {
        site: Arc<str>,
        target: pool::Target,
        good: bool,
    },
    Explain(oneshot::Sender<Vec<String>>),
    /// Tell of the core's own front before the cache.
    Front(oneshot::Sender<FrontStatistics>),
    /// Accept from a stalled core's sockets, or stop doing so.
    Cover(u16, Vec<(StdListener, ListenerKind)>),
    Uncover(u16),
    Drain,
    Stop,
}

/// What a core's thread is made from.
pub(super) struct CoreSeed {
    pub(super) id: u16,
    pub(super) core_count: u16,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<CoreMetrics>,
    pub(super) log: LogQueue,
    pub(super) ceiling: Arc<Ceiling>,
    pub(super) pages: Arc<Pages>,
    pub(super) cache: Arc<Cache>,
    pub(super) shared: Arc<SharedSnapshot>,
    pub(super) said: Arc<Said>,
    pub(super) visitors: Arc<Visitors>,
    pub(super) tls: Option<Arc<rustls::ServerConfig>>,
    pub(super) listeners: Vec<(StdListener, ListenerKind)>,
    pub(super) probes: mpsc::UnboundedSender<(u16, Arc<str>, pool::Target, bool)>,
    pub(super) random: u64,
}

pub(super) fn run_core(
    seed: CoreSeed,
    orders: mpsc::UnboundedReceiver<CoreOrder>,
    up: std::sync::mpsc::Sender<()>,
) {
    let Ok(runtime) = tokio::runtime::LocalRuntime::new() else {
        return;
    };
    runtime.block_on(serve_core(seed, orders, up));
}

async fn serve_core(
    seed: CoreSeed,
    mut orders: mpsc::UnboundedReceiver<CoreOrder>,
    up: std::sync::mpsc::Sender<()>,
) {
    let now = seed.clock.now();
    seed.metrics.heartbeat.set(now.0);
    let wheel = Wheel::new(now);
    let snapshot = Snapshot::new(
        seed.shared,
        Arc::clone(&seed.cache),
        seed.core_count,
        seed.random,
        None,
    );
    let core = Core::new(
        seed.id,
        seed.clock,
        seed.metrics,
        CoreLog::new(seed.log),
        seed.ceiling,
        wheel,
        snapshot,
        seed.pages,
        Arc::clone(&seed.cache),
        Standings::new(seed.said, seed.visitors),
        seed.random,
    );
    let tls = Rc::new(TlsSlot::default());
    if let Some(config) = seed.tls {
        tls.set(config);
    }
    let stop = Rc::new(StopAccepting::default());
    let mut covers: HashMap<u16, Rc<StopAccepting>> = HashMap::new();
    for (listener, kind) in seed.listeners {
        tokio::task::spawn_local(accept(
            Rc::clone(&core),
            Rc::clone(&tls),
            listener,
            kind,
            Rc::clone(&stop),
        ));
    }
    core.snapshot().wake_watchful();
    // What is known of names, kept for sites that a later request or snapshot brings in.
    let mut known: HashMap<Arc<str>, Arc<[IpAddr]>> = HashMap::new();
    tokio::task::spawn_local(turn(Rc::clone(&core), seed.probes, seed.core_count));
    let keeps_line = Rc::clone(&core);
    tokio::task::spawn_local(async move { keeps_line.handshakes.keep().await });
    let _ = up.send(());
    while let Some(order) = orders.recv().await {
        match order {
            CoreOrder::Apply(shared, done) => {
                let old = core.snapshot();
                let cache = Arc::clone(&seed.cache);
                let new = Snapshot::new(shared, cache, seed.core_count, core.random(), Some(&old));
                new.know(&known);
                core.apply(new);
                core.snapshot().wake_watchful();
                let _ = done.send(());
            }
            CoreOrder::Tls(config) => tls.set(config),
            CoreOrder::Said(said, done) => {
                core.standings.hear(said);
                let _ = done.send(());
            }
            CoreOrder::Resolved(name, addresses) => {
                core.snapshot().resolved(&core, &name, &addresses);
                known.insert(name, addresses);
            }
            CoreOrder::Probed { site, target, good } => {
                for upstreams in core
                    .snapshot()
                    .upstreams()
                    .iter()
                    .filter(|u| *u.site == *site)
                {
                    upstreams.probe_result(&target, good, core.clock.now());
                }
            }
            CoreOrder::Explain(tell) => {
                let rows = core
                    .snapshot()
                    .upstreams()
                    .iter()
                    .flat_map(|upstreams| {
                        let reports = upstreams.explain(core.clock.now());
                        reports
                            .into_iter()
                            .map(|report| format!("{}: {report}", upstreams.site))
                            .collect::<Vec<_>>()
                    })
                    .collect();
                let _ = tell.send(rows);
            }
            CoreOrder::Front(tell) => {
                let _ = tell.send(core.cache.front_statistics());
            }
            CoreOrder::Cover(id, sockets) => {
                let stop = Rc::clone(covers.entry(id).or_default());
                for (listener, kind) in sockets {
                    tokio::task::spawn_local(accept(
                        Rc::clone(&core),
                        Rc::clone(&tls),
                        listener,
                        kind,
                        Rc::clone(&stop),
                    ));
                }
            }
            CoreOrder::Uncover(id) => {
                if let Some(stop) = covers.remove(&id) {
                    stop.tell();
                }
            }
            CoreOrder::Drain => {
                stop.tell();
                covers.values().for_each(|stop| stop.tell());
                core.drain();
            }
            CoreOrder::Stop => break,
        }
    }
    core.log.hand_over(&core.metrics);
}

/// The core's clock: deadlines, heartbeat, log batches, queues, probes.
async fn turn(
    core: Rc<Core>,
    probes: mpsc::UnboundedSender<(u16, Arc<str>, pool::Target, bool)>,
    core_count: u16,
) {
    let mut turns = tokio::time::interval(TICK);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut swept = core.clock.now();
    let mut looked = swept;
    loop {
        turns.tick().await;
        core.clock.compare();
        let now = core.clock.now();
        core.wheel.turn(now);
        core.metrics.heartbeat.set(now.0);
        core.log.hand_over(&core.metrics);
        core.keep_room();
        core.metrics.tls_waiting.set(core.handshakes.len() as u64);
        core.cache.sweep();
        let front = core.cache.front_statistics();
        core.metrics.cache_front_hits.set(front.hits);
        core.metrics.cache_front_misses.set(front.misses);
        if now.saturating_since(looked) >= LOOK_AGAIN {
            looked = now;
            core.standings.look_again();
        }
        let snapshot = core.snapshot();
        let sweep = now.saturating_since(swept) >= Duration::from_secs(1);
        if sweep {
            swept = now;
            snapshot.sweep(now);
        }
        for upstreams in snapshot.upstreams() {
            upstreams.advance(&core);
            // Each site is probed by one core; the others are told.
            if upstreams.policy.health.is_some() && upstreams.is_probed_by(core.id, core_count) {
                for due in upstreams.due_probes(now) {
                    let (core, upstreams, probes) =
                        (Rc::clone(&core), Rc::clone(&upstreams), probes.clone());
                    tokio::task::spawn_local(async move {
                        let good = probe(&core, &upstreams, &due.target).await;
                        upstreams.probe_result(&due.target, good, core.clock.now());
                        let _ = probes.send((
                            core.id,
                            upstreams.site.as_ref().into(),
                            due.target,
                            good,
                        ));
                    });
                }
            }
        }
    }
}
