//! From a listening socket to a connection that speaks HTTP: ceilings, PROXY header, TLS, sniffing.
//! Every step has a deadline and every "no" a name.

mod handshake;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use mangrove_config::Server;
use mangrove_http::{Moment, Refusal, proxy_protocol};
use mangrove_shield::connections::{Footprint, Rank};
use mangrove_shield::gait::{self, Gait};
use rustls::ServerConfig;
use socket2::SockRef;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use self::handshake::Shaken;
use crate::core::{Connection, Core, Place};
use crate::handover::ListenerKind;
use crate::incoming::Incoming;
use crate::io::Stream;
use crate::reason::{EdgeReason, Reason};
use crate::tcp::{Account, Tcp};
use crate::{http1, http2};

/// Begins every HTTP/2 connection (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long a core that ran out of descriptors leaves its queue alone.
pub(crate) const BREATH: Duration = Duration::from_millis(100);
/// Bytes of an answer that the kernel takes from us for one client beyond what is under way to it. Without this it takes
/// megabytes for a client that reads nothing: fetched from the origin, copied, and counted as progress.
pub(crate) const UNSENT_BYTES: u32 = 128 * 1024;
/// How many connections are looked at to find who goes first when there is no room: near enough to the first of all, at a cost
/// that a flood cannot raise. A kind that holds half of all is missed once in 65,536 times.
pub(crate) const SAMPLE: usize = 16;
/// A client that was waited for so long may be called slow.
pub(crate) const SLOW_AFTER: Duration = Duration::from_millis(gait::JUDGED_AFTER_MS);
/// Bytes a second from which on it is not.
pub(crate) const MOVES_WELL: u64 = gait::MOVES_WELL;
/// Connections of exempt clients that may be open beyond the ceiling, where nobody may go: an operator gets in also when all others
/// are busy.
pub(crate) const EXEMPT_BEYOND: usize = 64;
/// What a newcomer is told when there is no room and nobody may go.
const NO_ROOM: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\ncontent-length: 21\r\nretry-after: 1\r\nproxy-status: mangrove; error=connection_limit_reached; details=\"too-many-connections\"\r\nconnection: close\r\n\r\ntoo-many-connections\n";

/// The server's TLS, swapped when certificates or settings change.
#[derive(Debug, Default)]
pub struct TlsSlot {
    config: RefCell<Option<Arc<ServerConfig>>>,
}

impl TlsSlot {
    /// From now on, new handshakes use `config`.
    pub fn set(&self, config: Arc<ServerConfig>) {
        *self.config.borrow_mut() = Some(config);
    }

    fn config(&self) -> Option<Arc<ServerConfig>> {
        self.config.borrow().clone()
    }
}

/// The connections of one core, as far as making room needs to know them.
#[derive(Debug, Default)]
pub struct Register {
    entries: RefCell<Vec<Rc<Presence>>>,
}

/// One connection in the register.
#[derive(Debug, Default)]
pub struct Presence {
    at: Cell<usize>,
    /// Since when it waits for a next request, in milliseconds, also while that is not whole; `u64::MAX` while it has one.
    idle_since: Cell<u64>,
    /// What it counts for; nothing where it comes from a listed proxy, which speaks for many.
    footprint: RefCell<Option<Footprint>>,
    /// Whose it is makes room for nobody.
    exempt: Cell<bool>,
    /// How its client moves while a request is under way.
    gait: Cell<Gait>,
    /// Of all that it was given, what it had taken when that was last looked at.
    taken: Cell<Option<u64>>,
    asked: Cell<AskedToGo>,
    waker: RefCell<Option<Waker>>,
}

/// Whether a connection was asked to make room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum AskedToGo {
    #[default]
    No,
    /// Unless a request has come meanwhile.
    Idle,
    /// In the middle of a request: it is too slow.
    Slow,
}

impl Register {
    /// Enters a connection that has no request yet.
    pub fn enter(&self, now: Moment, footprint: Option<Footprint>) -> Rc<Presence> {
        let mut entries = self.entries.borrow_mut();
        let presence = Rc::new(Presence {
            at: Cell::new(entries.len()),
            idle_since: Cell::new(now.0),
            footprint: RefCell::new(footprint),
            ..Presence::default()
        });
        entries.push(Rc::clone(&presence));
        presence
    }

    /// Strikes a connection out, unless it has been already.
    pub fn leave(&self, presence: &Presence) {
        let mut entries = self.entries.borrow_mut();
        let at = presence.at.get();
        let here = entries.get(at);
        if here.is_some_and(|entry| std::ptr::eq(Rc::as_ptr(entry), presence)) {
            entries.swap_remove(at);
            if let Some(moved) = entries.get(at) {
                moved.at.set(at);
            }
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.borrow().len()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Has every waiting connection look around: the edge has begun to drain.
    pub fn wake_all(&self) {
        for presence in self.entries.borrow().iter() {
            if let Some(waker) = presence.waker.borrow_mut().take() {
                waker.wake();
            }
        }
    }

    /// Asks the first of a sample to go; false when none of it may.
    pub fn make_room(&self, now: Moment, random: impl FnMut() -> u64) -> bool {
        let Some((rank, first)) = self.first(now, random) else {
            return false;
        };
        first.asked.set(match rank.is_slow() {
            true => AskedToGo::Slow,
            false => AskedToGo::Idle,
        });
        // At once, and not when it has gone: in a burst the sample would be of those who have been asked already.
        self.leave(&first);
        if let Some(waker) = first.waker.borrow_mut().take() {
            waker.wake();
        }
        true
    }

    /// The rank of the first of a sample.
    pub fn first_to_go(&self, now: Moment, random: impl FnMut() -> u64) -> Option<Rank> {
        self.first(now, random).map(|(rank, _)| rank)
    }

    fn first(&self, now: Moment, mut random: impl FnMut() -> u64) -> Option<(Rank, Rc<Presence>)> {
        let entries = self.entries.borrow();
        let count = entries.len() as u64;
        if count == 0 {
            return None;
        }
        let sample =
            (0..SAMPLE).filter_map(|_| entries.get(usize::try_from(random() % count).unwrap_or(0)));
        let may_go = sample.filter_map(|presence| Some((presence.rank(now)?, presence)));
        let (rank, first) = may_go.min_by_key(|(rank, _)| *rank)?;
        Some((rank, Rc::clone(first)))
    }
}

impl Presence {
    /// It waits for a next request from now on.
    pub fn idle(&self, now: Moment) {
        self.idle_since.set(now.0);
    }

    /// Where it stands among those who may go to make room; none while it has a request and its client is not slow, or where its
    /// client is exempt.
    pub fn rank(&self, now: Moment) -> Option<Rank> {
        if self.exempt.get() {
            return None;
        }
        let weight = || {
            let footprint = self.footprint.borrow();
            footprint.as_ref().map_or(0, Footprint::weight)
        };
        match self.idle_since.get() {
            u64::MAX => {
                let rate = self.gait.get().slow(now.0)?;
                Some(Rank::of_slow(weight(), rate))
            }
            since => Some(Rank::new(weight(), since)),
        }
    }

    /// It turned out whose it is.
    fn counts_for(&self, footprint: Option<Footprint>, exempt: bool) {
        self.footprint.replace(footprint);
        self.exempt.set(exempt);
    }

    /// Whose it is has been named by the operator.
    fn is_exempt(&self) -> bool {
        self.exempt.get()
    }

    /// It comes from a listed proxy.
    fn speaks_for_many(&self) -> bool {
        self.footprint.borrow().is_none()
    }

    /// It has a request.
    pub fn busy(&self) {
        self.idle_since.set(u64::MAX);
        self.gait.set(Gait::default());
        self.taken.set(None);
    }

    /// Nothing goes on before its client has sent or taken more.
    pub fn waits(&self, now: Moment) {
        self.walk(|gait| gait.waits(now.0));
    }

    /// Its client has sent so much.
    pub fn moved(&self, bytes: usize, now: Moment) {
        self.walk(|gait| gait.moved(bytes as u64, now.0));
    }

    /// Its client is not waited for any more, or has taken something that nobody has counted yet.
    #[inline]
    pub fn goes_on(&self, now: Moment) {
        if self.gait.get().is_waited_for() {
            self.moved(0, now);
        }
    }

    /// Of all that the connection was given, its client has taken so much, where the kernel tells.
    pub fn took(&self, taken: Option<u64>, now: Moment) {
        match (self.taken.replace(taken), taken) {
            (Some(known), Some(taken)) => {
                self.walk(|gait| gait.moved(taken.saturating_sub(known), now.0));
            }
            _ => self.gait.set(Gait::default()), // what was before nobody knows
        }
    }

    fn walk(&self, step: impl FnOnce(&mut Gait)) {
        let mut gait = self.gait.get();
        step(&mut gait);
        self.gait.set(gait);
    }

    /// Ready when it has been asked to go in the middle of a request.
    pub fn poll_must_go(&self, cx: &mut std::task::Context<'_>) -> Poll<()> {
        match self.asked.get() {
            AskedToGo::Slow => Poll::Ready(()),
            _ => {
                self.note(cx);
                Poll::Pending
            }
        }
    }

    /// Ready when it has been asked to go.
    pub fn poll_evicted(&self, cx: &mut std::task::Context<'_>) -> Poll<()> {
        if self.asked.get() != AskedToGo::No {
            return Poll::Ready(());
        }
        self.note(cx);
        Poll::Pending
    }

    fn note(&self, cx: &std::task::Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker
            .as_ref()
            .is_some_and(|known| known.will_wake(cx.waker()))
        {
            *waker = Some(cx.waker().clone());
        }
    }
}

/// Tells accept loops to stop, also one that is not listening just then.
#[derive(Debug, Default)]
pub struct StopAccepting {
    told: Cell<bool>,
    notice: Notify,
}

impl StopAccepting {
    /// No connection is accepted from now on.
    pub fn tell(&self) {
        self.told.set(true);
        self.notice.notify_waiters();
    }

    async fn told(&self) {
        if !self.told.get() {
            self.notice.notified().await;
        }
    }
}

/// Accepts from one socket until told to stop.
pub async fn accept(
    core: Rc<Core>,
    tls: Rc<TlsSlot>,
    listener: StdListener,
    kind: ListenerKind,
    stop: Rc<StopAccepting>,
) {
    // Accepted connections inherit it. A kernel too old for it only buffers more.
    let _ = SockRef::from(&listener).set_tcp_notsent_lowat(UNSENT_BYTES);
    let Ok(listener) = TcpListener::from_std(listener) else {
        return;
    };
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.told() => return, // dropping closes our copy; the queue stays with the other holders
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => take(&core, &tls, stream, peer, kind),
            Err(error) if is_about_one_connection(&error) => {}
            Err(_) => tokio::time::sleep(BREATH).await,
        }
    }
}

/// The client gave up between its SYN and our accept; the socket itself is well.
fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

fn take(
    core: &Rc<Core>,
    tls: &Rc<TlsSlot>,
    stream: TcpStream,
    peer: SocketAddr,
    kind: ListenerKind,
) {
    core.metrics.connections_accepted.add(1);
    let snapshot = core.snapshot();
    let server = &snapshot.settled.server;
    let most = server.limits.connections as usize;
    let exempt = core.standings.is_exempt(peer.ip());
    let place = match core.ceiling.enter(most) {
        Some(place) => place,
        // Somebody goes, the newcomer stays: for that moment there is one more than the ceiling.
        None if core.make_room() => core.ceiling.squeeze_in(),
        None if exempt && core.ceiling.open() < most.saturating_add(EXEMPT_BEYOND) => {
            core.ceiling.squeeze_in()
        }
        None => {
            core.metrics.reason(EdgeReason::TooManyConnections.into());
            if kind == ListenerKind::Http {
                let _ = stream.try_write(NO_ROOM);
            }
            return;
        }
    };
    // Entered at once: in a burst the next newcomer may need to find this one idle.
    let footprint = footprint(core, server, peer.ip());
    let presence = core.register.enter(core.wheel.now(), footprint);
    presence.exempt.set(exempt);
    let present = Present {
        core: Rc::clone(core),
        presence,
        _place: place,
    };
    if let Some(rank) = present.presence.rank(core.wheel.now()) {
        core.ceiling.came(core.id, rank);
    }
    core.metrics.connections_open.add(1);
    let (core, tls) = (Rc::clone(core), Rc::clone(tls));
    tokio::task::spawn_local(async move {
        begin(&core, &tls, stream, peer, kind, &present.presence).await;
    });
}

/// What a connection from `address` counts for. A proxy that is listed carries the requests of many, and is nobody's flood.
fn footprint(core: &Core, server: &Server, address: IpAddr) -> Option<Footprint> {
    let mut speak_for_many = server.trusted_proxies.iter().chain(&server.proxy_protocol);
    let one_of_many = speak_for_many.any(|network| network.contains(address));
    (!one_of_many).then(|| core.ceiling.crowd.enter(address))
}

/// Counted and registered for as long as it lives, however its task ends.
struct Present {
    core: Rc<Core>,
    presence: Rc<Presence>,
    _place: Place,
}

impl Drop for Present {
    fn drop(&mut self) {
        self.core.register.leave(&self.presence);
        self.core.metrics.connections_open.subtract(1);
    }
}

async fn begin(
    core: &Rc<Core>,
    tls: &TlsSlot,
    mut stream: TcpStream,
    mut peer: SocketAddr,
    kind: ListenerKind,
    presence: &Rc<Presence>,
) {
    let _ = stream.set_nodelay(true); // answers are written whole
    let snapshot = core.snapshot();
    let server = &snapshot.settled.server;
    let mut local = stream.local_addr().unwrap_or(peer);
    let account = Account::new(local, peer);
    if server
        .proxy_protocol
        .iter()
        .any(|network| network.contains(peer.ip()))
    {
        let timer = core.wheel.timer();
        timer.arm_in(server.limits.protocol_sniff);
        let read = Box::pin(timer.bound(read_proxy_header(&mut stream)));
        let Some(read) = unless_evicted(presence, read).await else {
            return;
        };
        match read {
            Some(Ok(Some(proxied))) => {
                (peer, local) = (proxied.source, proxied.destination);
                let exempt = core.standings.is_exempt(peer.ip());
                presence.counts_for(footprint(core, server, peer.ip()), exempt);
            }
            Some(Ok(None)) => {} // the balancer speaks for itself
            _ => {
                core.metrics
                    .reason(Reason::Refusal(Refusal::MalformedProxyProtocol));
                return;
            }
        }
    }
    let mut stream = Tcp::of_client(stream, account);
    if kind == ListenerKind::Https {
        let deadline = server.limits.tls_handshake;
        drop(snapshot);
        let Some(config) = tls.config() else {
            return;
        };
        stream.overhear();
        let shaken = Box::pin(handshake::shake(
            core, stream, config, peer, presence, deadline,
        ));
        let Some(shaken) = unless_evicted(presence, shaken).await else {
            return;
        };
        let Shaken { stream, facts } = match shaken {
            Ok(shaken) => shaken,
            Err(failed) => return handshake::refuse(core, peer, local, failed),
        };
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let connection = Rc::new(Connection::new(peer, local, Some(facts)));
        return serve(core, connection, stream.into(), is_http2, presence).await;
    }
    let timeout = server.limits.protocol_sniff;
    drop(snapshot);
    let connection = Rc::new(Connection::new(peer, local, None));
    let sniffed = unless_evicted(presence, sniff(core, stream.into(), timeout)).await;
    let Some((stream, is_http2)) = sniffed.flatten() else {
        return;
    };
    serve(core, connection, stream, is_http2, presence).await;
}

/// Runs `work` unless the connection is asked to make room before it is done. One that has not come
/// to its first request is the idlest there is: if it could not be sent away, the ceiling would hold
/// off everyone but those who only open and wait.
async fn unless_evicted<F: Future>(presence: &Presence, work: F) -> Option<F::Output> {
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|cx| {
        if let Poll::Ready(out) = work.as_mut().poll(cx) {
            return Poll::Ready(Some(out));
        }
        presence.poll_evicted(cx).map(|()| None)
    })
    .await
}

async fn serve(
    core: &Rc<Core>,
    connection: Rc<Connection>,
    stream: Stream,
    is_http2: bool,
    presence: &Rc<Presence>,
) {
    if is_http2 {
        // Boxed so that an HTTP/1 connection does not hold room for it.
        Box::pin(http2::serve(Rc::clone(core), connection, stream, presence)).await;
    } else {
        http1::serve(Rc::clone(core), connection, stream, Rc::clone(presence)).await;
    }
}

/// Reads just enough to know which version of HTTP is spoken (RFC 9113 section 3.3: prior
/// knowledge); what was read is read again by whoever speaks it.
async fn sniff(core: &Rc<Core>, mut stream: Stream, within: Duration) -> Option<(Stream, bool)> {
    let timer = core.wheel.timer();
    timer.arm_in(within);
    let mut incoming = Incoming::default();
    let seen = std::future::poll_fn(|cx| {
        loop {
            let seen = incoming.unused();
            let common = PREFACE.len().min(seen.len());
            if seen.get(..common) != PREFACE.get(..common) {
                return Poll::Ready(Some(false));
            }
            if common == PREFACE.len() {
                return Poll::Ready(Some(true));
            }
            match incoming.poll_read(cx, core, &mut stream, crate::core::HEAD_READ_BYTES) {
                Poll::Ready(Ok(n)) if n > 0 => {}
                Poll::Ready(_) => return Poll::Ready(None),
                Poll::Pending => {
                    if timer.poll_expired(cx).is_ready() {
                        core.metrics.reason(EdgeReason::ProtocolSniffTimeout.into());
                        return Poll::Ready(None);
                    }
                    return Poll::Pending;
                }
            }
        }
    })
    .await;
    let mut bytes = Vec::new();
    incoming.take_unused(core, &mut bytes);
    Some((stream.with_prefix(bytes), seen?))
}

/// Takes the header off the stream and not a byte more: what follows may be TLS.
async fn read_proxy_header(stream: &mut TcpStream) -> io::Result<Option<proxy_protocol::Proxied>> {
    let mut header = Vec::with_capacity(256);
    let mut peeked = [0u8; 256];
    loop {
        let n = stream.peek(&mut peeked).await?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let before = header.len();
        header.extend_from_slice(peeked.get(..n).unwrap_or_default());
        let parsed = proxy_protocol::parse(&header).map_err(io::Error::other)?;
        // While the header is incomplete, everything seen belongs to it.
        let take = parsed
            .as_ref()
            .map_or(n, |parsed| parsed.length.saturating_sub(before));
        let mut taken = [0u8; 256];
        if let Some(room) = taken.get_mut(..take) {
            stream.read_exact(room).await?;
        }
        if let Some(parsed) = parsed {
            return Ok(parsed.connection);
        }
        header.truncate(before + take);
    }
}

#[cfg(test)]
mod tests {
    use mangrove_shield::connections::Crowd;

    use super::*;

    #[test]
    fn room_is_made_by_the_idlest_and_never_by_the_busy() {
        let register = Register::default();
        let connections: Vec<_> = (0..4)
            .map(|i| register.enter(Moment(i * 1_000), None))
            .collect();
        connections[0].busy();
        let mut at = 0;
        assert!(register.make_room(Moment(0), || {
            at += 1;
            at
        }));
        assert_eq!(
            connections
                .iter()
                .map(|c| c.asked.get() != AskedToGo::No)
                .collect::<Vec<_>>(),
            [false, true, false, false]
        );
        for connection in &connections {
            connection.busy();
        }
        assert!(!register.make_room(Moment(0), || 2));
    }

    #[test]
    fn room_is_made_by_those_there_are_most_of_before_whoever_has_waited_longer() {
        let (register, crowd) = (Register::default(), Arc::new(Crowd::new([1, 2])));
        let from = |address: &str, since| {
            let footprint = crowd.enter(address.parse().unwrap());
            register.enter(Moment(since), Some(footprint))
        };
        let visitors = [from("203.0.113.9", 1), from("2001:db8::1", 2)];
        let proxy = register.enter(Moment(0), None);
        let mut flood: Vec<_> = (100..140).map(|at| from("198.51.100.1", at)).collect();
        let mut at = 0;
        // One goes each time, until what is left is no more than anybody else.
        for _ in 0..39 {
            assert!(register.make_room(Moment(0), || {
                at += 1;
                at
            }));
            let gone = flood
                .iter()
                .position(|one| one.asked.get() != AskedToGo::No)
                .unwrap();
            register.leave(&flood.swap_remove(gone)); // a second time, which strikes out nobody else
        }
        assert!(visitors.iter().all(|one| one.asked.get() == AskedToGo::No));
        assert!(proxy.asked.get() == AskedToGo::No);
        assert_eq!(register.len(), 4);
    }

    #[test]
    fn where_nobody_is_idle_the_slowest_makes_room_and_never_who_moves_well_or_waits_for_us() {
        let (register, crowd) = (Register::default(), Arc::new(Crowd::new([1, 2])));
        let busy = |address: &str| {
            let footprint = crowd.enter(address.parse().unwrap());
            let one = register.enter(Moment(0), Some(footprint));
            one.busy();
            one
        };
        let waits_for_us = busy("198.51.100.1");
        let uploads_well = busy("198.51.100.1");
        let reads_well = busy("198.51.100.1");
        let [slow, slower] = [busy("198.51.100.1"), busy("198.51.100.1")];
        let light = busy("203.0.113.9");
        reads_well.took(Some(1_000_000), Moment(0));
        for second in 0..10 {
            let (now, later) = (Moment(second * 1_000), Moment((second + 1) * 1_000));
            for (one, bytes) in [(&uploads_well, 5_000), (&slow, 100), (&slower, 1)] {
                one.waits(now);
                one.moved(bytes, later);
            }
            reads_well.waits(now);
            reads_well.took(Some(1_000_000 + (second + 1) * 5_000), later);
            light.waits(now);
        }
        let now = Moment(10_000);
        for one in [&uploads_well, &reads_well, &slow, &slower] {
            one.waits(now);
        }
        let mut at = 0;
        let mut first = || {
            register.make_room(now, || {
                at += 1;
                at
            })
        };
        for gone in [&slower, &slow, &light] {
            assert!(first());
            assert_eq!(gone.asked.get(), AskedToGo::Slow);
        }
        assert!(!first());
        for stays in [&waits_for_us, &uploads_well, &reads_well] {
            assert_eq!(stays.asked.get(), AskedToGo::No);
        }
    }

    #[test]
    fn who_asks_for_something_while_asked_to_go_as_idle_is_not_disturbed() {
        let register = Register::default();
        let visitor = register.enter(Moment(0), None);
        assert!(register.make_room(Moment(0), || 0));
        visitor.busy();
        let cx = &mut std::task::Context::from_waker(Waker::noop());
        assert!(visitor.poll_must_go(cx).is_pending());
        assert!(visitor.poll_evicted(cx).is_ready());
    }

    #[test]
    fn where_the_kernel_does_not_tell_what_was_taken_nobody_is_slow() {
        let presence = Presence::default();
        presence.busy();
        for second in 0..100 {
            presence.waits(Moment(second * 1_000));
            presence.took(None, Moment(second * 1_000));
        }
        assert_eq!(presence.rank(Moment(100_000)), None);
    }

    #[test]
    fn who_is_exempt_makes_room_for_nobody() {
        let register = Register::default();
        let exempt = register.enter(Moment(0), None);
        exempt.exempt.set(true);
        assert!(!register.make_room(Moment(0), || 0));
        let visitor = register.enter(Moment(9), None);
        let mut at = 0;
        assert!(register.make_room(Moment(0), || {
            at += 1;
            at
        }));
        assert!(visitor.asked.get() != AskedToGo::No && exempt.asked.get() == AskedToGo::No);
    }

    #[test]
    fn leaving_in_any_order_keeps_the_register_whole() {
        let register = Register::default();
        let mut connections: Vec<_> = (0..10).map(|i| register.enter(Moment(i), None)).collect();
        while !connections.is_empty() {
            let gone = connections.swap_remove(connections.len() / 2);
            register.leave(&gone);
            assert_eq!(register.len(), connections.len());
        }
    }
}
