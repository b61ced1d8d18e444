//! What one core owns. Nothing here is shared with another core but counters and the log queue.

use std::cell::{Cell, OnceCell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use mangrove_http::{RequestHead, RequestId, ResponseHead, Scheme, UnixMillis, imf_fixdate};
use mangrove_shield::ja4::Fingerprint;
use mangrove_shield::opening::PseudoOrder;

use crate::accept::Register;
use crate::cache::{Cache, CoreCache};
pub use crate::ceiling::{Ceiling, Place};
use crate::clock::Clock;
use crate::log::{CoreLog, address_text};
use crate::metrics::CoreMetrics;
use crate::pages::Pages;
use crate::snapshot::Snapshot;
use crate::sock_diag::SockDiag;
use crate::standing::{Standing, Standings};
use crate::tls::HandshakeLine;
use crate::wheel::Wheel;

/// How many spare heads and buffers a core keeps of each kind.
pub(crate) const SPARES: usize = 64;
/// A spare buffer that has grown past this is given back to the allocator instead.
pub(crate) const SPARE_BYTES: usize = 128 * 1024;
/// What one read asks for: large enough that a 1 MiB body takes few calls.
pub const READ_BYTES: usize = 64 * 1024;
/// What one read of a head asks for.
pub const HEAD_READ_BYTES: usize = 8 * 1024;

/// One core of the edge.
pub struct Core {
    /// Its number, from 0.
    pub id: u16,
    /// The edge's clock.
    pub clock: Clock,
    /// Its deadlines.
    pub wheel: Rc<Wheel>,
    /// Its counters.
    pub metrics: Arc<CoreMetrics>,
    /// Its batch of log lines.
    pub log: CoreLog,
    /// Pages that tell of errors.
    pub pages: Arc<Pages>,
    /// How many connections the process holds, and may hold.
    pub ceiling: Arc<Ceiling>,
    /// This core's connections.
    pub register: Register,
    /// TLS handshakes that wait for their turn.
    pub handshakes: HandshakeLine,
    /// Asks the kernel about its connections.
    pub sock_diag: SockDiag,
    /// Its way into the cache.
    pub cache: CoreCache,
    /// What the operator has said of clients.
    pub standings: Standings,
    snapshot: RefCell<Rc<Snapshot>>,
    draining: Cell<bool>,
    random: Cell<u64>,
    date: Cell<(u64, [u8; 29])>,
    request_heads: RefCell<Vec<Rc<RequestHead>>>,
    response_heads: RefCell<Vec<ResponseHead>>,
    buffers: RefCell<Vec<Vec<u8>>>,
}

impl Core {
    /// A core that starts from `snapshot`; `seed` makes its request ids and choices.
    #[allow(clippy::too_many_arguments)] // each is a different thing a core cannot do without
    pub fn new(
        id: u16,
        clock: Clock,
        metrics: Arc<CoreMetrics>,
        log: CoreLog,
        ceiling: Arc<Ceiling>,
        wheel: Rc<Wheel>,
        snapshot: Rc<Snapshot>,
        pages: Arc<Pages>,
        cache: Arc<Cache>,
        standings: Standings,
        seed: u64,
    ) -> Rc<Self> {
        Rc::new(Self {
            id,
            wheel,
            clock,
            metrics,
            log,
            pages,
            ceiling,
            register: Register::default(),
            handshakes: HandshakeLine::default(),
            sock_diag: SockDiag::default(),
            cache: CoreCache::new(cache),
            standings,
            snapshot: RefCell::new(snapshot),
            draining: Cell::new(false),
            random: Cell::new(seed),
            date: Cell::new((u64::MAX, [b' '; 29])),
            request_heads: RefCell::default(),
            response_heads: RefCell::default(),
            buffers: RefCell::default(),
        })
    }

    /// The snapshot a new request is to use from beginning to end.
    pub fn snapshot(&self) -> Rc<Snapshot> {
        Rc::clone(&self.snapshot.borrow())
    }

    /// The one way in for a new snapshot. Requests under way keep theirs.
    pub fn apply(&self, snapshot: Rc<Snapshot>) {
        let old = self.snapshot.replace(snapshot);
        drop(old);
    }

    /// From now on every answer asks its connection to close.
    pub fn drain(&self) {
        self.draining.set(true);
        self.register.wake_all();
    }

    /// True once the edge has been told to stop.
    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Makes room for one more connection by whoever goes first of the process, here or on another core; false when none may go.
    pub fn make_room(&self) -> bool {
        self.tell_first();
        let now = self.wheel.now();
        let itself = || self.register.make_room(now, || self.random());
        self.ceiling.make_room(self.id, itself)
    }

    /// At each turn of the clock: sends away whom other cores need the room of, and tells who would go next.
    pub fn keep_room(&self) {
        let most = self.snapshot.borrow().settled.server.limits.connections as usize;
        let now = self.wheel.now();
        let evict = || self.register.make_room(now, || self.random());
        self.ceiling.pay(self.id, most, evict);
        self.tell_first();
    }

    fn tell_first(&self) {
        let first = self
            .register
            .first_to_go(self.wheel.now(), || self.random());
        self.ceiling.tell(self.id, first);
    }

    /// The next number of this core's seeded sequence (SplitMix64).
    pub fn random(&self) -> u64 {
        let state = self.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A request id nobody has had.
    pub fn request_id(&self) -> RequestId {
        RequestId::from_seed(u128::from(self.random()) << 64 | u128::from(self.random()))
    }

    /// The time of day when the wheel last turned.
    pub fn wall(&self) -> UnixMillis {
        self.clock.wall_of(self.wheel.now())
    }

    /// The value of a `Date` field for now, which is when the wheel last turned.
    pub fn date(&self) -> [u8; 29] {
        let secs = self.wall().secs();
        let (known, text) = self.date.get();
        if known == secs {
            return text;
        }
        let text = imf_fixdate(secs);
        self.date.set((secs, text));
        text
    }

    /// An empty request head, nobody else's: `Rc::make_mut` writes to it as it is.
    pub fn take_request_head(&self) -> Rc<RequestHead> {
        self.request_heads.borrow_mut().pop().unwrap_or_default()
    }

    /// Keeps a request head for the next request, unless somebody else still reads it.
    pub fn give_request_head(&self, head: &mut Rc<RequestHead>) {
        let Some(own) = Rc::get_mut(head) else {
            return;
        };
        if own.octets_mut().capacity() == 0 {
            return; // nothing in it is worth keeping
        }
        own.clear();
        let mut spares = self.request_heads.borrow_mut();
        if spares.len() < SPARES {
            spares.push(Rc::clone(head));
        }
    }

    /// An empty response head.
    pub fn take_response_head(&self) -> ResponseHead {
        self.response_heads.borrow_mut().pop().unwrap_or_default()
    }

    /// Keeps a response head for the next response.
    pub fn give_response_head(&self, mut head: ResponseHead) {
        if head.octets_mut().capacity() == 0 {
            return; // what is left of one that was taken away: kept, it would push out one with room
        }
        head.clear();
        let mut spares = self.response_heads.borrow_mut();
        if spares.len() < SPARES {
            spares.push(head);
        }
    }

    /// An empty buffer, often with room already.
    pub fn take_buffer(&self) -> Vec<u8> {
        self.buffers.borrow_mut().pop().unwrap_or_default()
    }

    /// Keeps a buffer for whoever needs one next.
    pub fn give_buffer(&self, mut buffer: Vec<u8>) {
        let capacity = buffer.capacity();
        if capacity == 0 || capacity > SPARE_BYTES {
            return;
        }
        buffer.clear();
        let mut spares = self.buffers.borrow_mut();
        if spares.len() < SPARES {
            spares.push(buffer);
        }
    }
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// What is known of a client's connection before its first request.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Who is on the other end of the socket, or, behind a listed proxy, whom its PROXY header names.
    pub peer: SocketAddr,
    /// Our end.
    pub local: SocketAddr,
    /// What TLS settled, where there is TLS.
    pub tls: Option<TlsFacts>,
    /// How its client opened HTTP/2, where it has and its first request has come.
    pub http2: OnceCell<Box<Http2Facts>>,
    /// `peer` as the log and `X-Forwarded-For` write it: whole, and cut to its network. Written
    /// once per connection, not per request.
    pub peer_text: (Box<str>, Box<str>),
    /// How the peer stands with the operator.
    pub standing: Standing,
}

/// What a TLS handshake settled.
#[derive(Clone, Debug)]
pub struct TlsFacts {
    /// `1.2` or `1.3`; none where the handshake did not come so far.
    pub version: Option<&'static str>,
    /// The name the client asked for.
    pub server_name: Option<Box<str>>,
    /// True when a ticket was used.
    pub resumed: bool,
    /// Which software the client is, by the way it greeted.
    pub fingerprint: Option<Fingerprint>,
}

/// What a client's first frames say of it.
#[derive(Clone, Debug)]
pub struct Http2Facts {
    /// Which software it is, by them: see [`mangrove_shield::opening`].
    pub fingerprint: Box<str>,
    /// In which order it writes pseudo-fields.
    pub pseudo_fields: PseudoOrder,
}

impl Connection {
    /// What is known of a connection from `peer` to `local`.
    pub fn new(peer: SocketAddr, local: SocketAddr, tls: Option<TlsFacts>) -> Self {
        let text = |truncated| address_text(peer.ip(), truncated).into();
        Self {
            peer,
            local,
            tls,
            http2: OnceCell::new(),
            peer_text: (text(false), text(true)),
            standing: Standing::default(),
        }
    }

    /// The scheme of requests on it, as keys tell it.
    pub fn http_scheme(&self) -> Scheme {
        if self.tls.is_some() {
            Scheme::Https
        } else {
            Scheme::Http
        }
    }

    /// The scheme of requests on it.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// The peer's address, IPv4 in its own clothes.
    pub fn peer_ip(&self) -> IpAddr {
        self.peer.ip().to_canonical()
    }
}
