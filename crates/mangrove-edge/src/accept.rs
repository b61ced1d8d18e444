//! From a listening socket to a connection that speaks HTTP: ceilings, PROXY header, TLS, sniffing.
//! Every step has a deadline and every "no" a name.

mod handshake;
pub(crate) mod register;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use mangrove_config::Server;
use mangrove_http::{Refusal, proxy_protocol};
use mangrove_shield::connections::Footprint;
use rustls::ServerConfig;
use socket2::SockRef;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use self::handshake::Shaken;
pub use self::register::{Awaited, Presence, Register};
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
