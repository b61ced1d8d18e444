//! From a listening socket to a connection that speaks HTTP: ceilings, PROXY header, TLS, sniffing.
//! Every step has a deadline and every "no" a name.

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
use mangrove_shield::ja4::Fingerprint;
use rustls::ServerConfig;
use socket2::SockRef;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use crate::core::{Connection, Core, Place, TlsFacts};
use crate::handover::ListenerKind;
use crate::incoming::Incoming;
use crate::io::Stream;
use crate::module::{Module, guard};
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

    fn acceptor(&self) -> Option<TlsAcceptor> {
        self.config
            .borrow()
            .as_ref()
            .map(|config| TlsAcceptor::from(Arc::clone(config)))
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
    evicted: Cell<bool>,
    waker: RefCell<Option<Waker>>,
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
    pub fn make_room(&self, random: impl FnMut() -> u64) -> bool {
        let Some((_, first)) = self.first(random) else {
            return false;
        };
        first.evicted.set(true);
        // At once, and not when it has gone: in a burst the sample would be of those who have been asked already.
        self.leave(&first);
        if let Some(waker) = first.waker.borrow_mut().take() {
            waker.wake();
        }
        true
    }

    /// The rank of the first of a sample.
    pub fn first_to_go(&self, random: impl FnMut() -> u64) -> Option<Rank> {
        self.first(random).map(|(rank, _)| rank)
    }

    fn first(&self, mut random: impl FnMut() -> u64) -> Option<(Rank, Rc<Presence>)> {
        let entries = self.entries.borrow();
        let count = entries.len() as u64;
        if count == 0 {
            return None;
        }
        let sample =
            (0..SAMPLE).filter_map(|_| entries.get(usize::try_from(random() % count).unwrap_or(0)));
        let may_go = sample.filter_map(|presence| Some((presence.rank()?, presence)));
        let (rank, first) = may_go.min_by_key(|(rank, _)| *rank)?;
        Some((rank, Rc::clone(first)))
    }
}

impl Presence {
    /// It waits for a next request from now on.
    pub fn idle(&self, now: Moment) {
        self.idle_since.set(now.0);
    }

    /// Where it stands among those who may go to make room; none while it has a request, or where its client is exempt.
    pub fn rank(&self) -> Option<Rank> {
        let since = self.idle_since.get();
        if since == u64::MAX || self.exempt.get() {
            return None;
        }
        let footprint = self.footprint.borrow();
        let weight = footprint.as_ref().map_or(0, Footprint::weight);
        Some(Rank::new(weight, since))
    }

    /// It turned out whose it is.
    fn counts_for(&self, footprint: Option<Footprint>, exempt: bool) {
        self.footprint.replace(footprint);
        self.exempt.set(exempt);
    }

    /// It has a request.
    pub fn busy(&self) {
        self.idle_since.set(u64::MAX);
    }

    /// Ready when it has been asked to go.
    pub fn poll_evicted(&self, cx: &mut std::task::Context<'_>) -> Poll<()> {
        if self.evicted.get() {
            return Poll::Ready(());
        }
        let mut waker = self.waker.borrow_mut();
        if !waker
            .as_ref()
            .is_some_and(|known| known.will_wake(cx.waker()))
        {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
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
    if let Some(rank) = present.presence.rank() {
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
        let timer = core.wheel.timer();
        timer.arm_in(server.limits.tls_handshake);
        drop(snapshot);
        let Some(acceptor) = tls.acceptor() else {
            return;
        };
        stream.overhear();
        let shaken = Box::pin(timer.bound(acceptor.accept(stream)));
        let Some(shaken) = unless_evicted(presence, shaken).await else {
            return;
        };
        let mut stream = match shaken {
            Some(Ok(stream)) => stream,
            Some(Err(_)) => return core.metrics.reason(EdgeReason::TlsHandshakeFailed.into()),
            None => return core.metrics.reason(EdgeReason::TlsHandshakeTimeout.into()),
        };
        let (tcp, session) = stream.get_mut();
        let fingerprint = named(core, &tcp.overheard());
        let facts = TlsFacts {
            version: if session.protocol_version() == Some(rustls::ProtocolVersion::TLSv1_2) {
                "1.2"
            } else {
                "1.3"
            },
            server_name: session.server_name().map(Into::into),
            resumed: session.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
            fingerprint,
        };
        core.metrics.tls_handshakes.add(1);
        core.metrics.tls_resumed.add(u64::from(facts.resumed));
        let is_http2 = session.alpn_protocol() == Some(b"h2");
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

/// Who a client is by the way it greeted, once its handshake is through.
fn named(core: &Core, heard: &[u8]) -> Option<Fingerprint> {
    // Fail mode open: without a name it is served like any other.
    let read = guard(&core.metrics, Module::Fingerprint, || {
        Fingerprint::of(heard)
    });
    let fingerprint = read.ok().and_then(Result::ok);
    core.metrics
        .tls_unnamed
        .add(u64::from(fingerprint.is_none()));
    fingerprint
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
        assert!(register.make_room(|| {
            at += 1;
            at
        }));
        assert_eq!(
            connections
                .iter()
                .map(|c| c.evicted.get())
                .collect::<Vec<_>>(),
            [false, true, false, false]
        );
        for connection in &connections {
            connection.busy();
        }
        assert!(!register.make_room(|| 2));
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
            assert!(register.make_room(|| {
                at += 1;
                at
            }));
            let gone = flood.iter().position(|one| one.evicted.get()).unwrap();
            register.leave(&flood.swap_remove(gone)); // a second time, which strikes out nobody else
        }
        assert!(visitors.iter().all(|one| !one.evicted.get()));
        assert!(!proxy.evicted.get());
        assert_eq!(register.len(), 4);
    }

    #[test]
    fn who_is_exempt_makes_room_for_nobody() {
        let register = Register::default();
        let exempt = register.enter(Moment(0), None);
        exempt.exempt.set(true);
        assert!(!register.make_room(|| 0));
        let visitor = register.enter(Moment(9), None);
        let mut at = 0;
        assert!(register.make_room(|| {
            at += 1;
            at
        }));
        assert!(visitor.evicted.get() && !exempt.evicted.get());
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
