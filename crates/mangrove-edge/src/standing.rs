//! How a client stands with the operator: left alone by the shield, let through or kept out of a site by an order, or a visitor like
//! any other.
//!
//! What the operator has said is made anew by the keeper whenever it changes and swapped whole on every core. A core looks up how
//! a client stands once for each connection, and again when something was said or a minute is over: what it found is a *mark* on
//! the connection. A request compares that mark with the core's own. They are the same for every visitor of whom nothing was
//! said, and that comparison is all he pays.
//!
//! Behind a listed proxy each request may be another visitor's: there it is looked up for each. Who came lately is shared by all
//! cores, so a core remembers whom it has told of, and tells of him again a minute later.

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mangrove_config::Network;
use mangrove_http::{Moment, UnixMillis};
use mangrove_shield::held_back::{self, HeldBack};
use mangrove_shield::ja4::Ja4;
use mangrove_shield::orders::{self, Act, Order};
use mangrove_shield::recent::{self, RecentClients, Sample, Share, hash_of};
use mangrove_shield::subject::Subject;

use crate::core::Connection;
use crate::keyed_hash::Keyed;

/// How long a connection is taken for what it was found to be.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// Orders at one time.
pub(crate) const ORDERS: usize = orders::ORDERS;
/// Clients of a site that are remembered from ten minutes.
pub(crate) const CLIENTS_SAMPLED: usize = recent::SAMPLED;
/// Sites whose clients are remembered.
pub(crate) const SITES_SAMPLED: usize = recent::SITES;

/// Visitors behind listed proxies whom a core remembers to have told of.
pub(crate) const TOLD_OF: usize = 1_024;
/// Clients that are known to be held back by rate limits.
pub(crate) const HELD: usize = held_back::HELD;

/// What the operator has said of clients, as all cores use it.
#[derive(Debug, Default)]
pub struct Said {
    exempt: Box<[Network]>,
    orders: Box<[Arc<InForce>]>,
}

/// An order, and what it has done in this process.
#[derive(Debug)]
pub struct InForce {
    /// What it says.
    pub order: Order,
    requests: AtomicU64,
    /// How many they are is all that is asked of them.
    clients: Mutex<Sample<()>>,
}

/// Who came lately, and who was refused, for the whole process.
#[derive(Debug)]
pub struct Visitors {
    seed: [u64; 2],
    recent: Mutex<RecentClients>,
    /// Whom rate limits hold back.
    pub held_back: HeldBack,
}

/// How a client stands.
#[derive(Debug)]
pub enum Stands {
    /// As everybody does.
    Plain,
    /// The shield leaves him alone.
    Exempt,
    /// An order lets him through, or keeps him out.
    Ordered(Arc<InForce>),
}

/// A request as far as orders are about it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Of which site.
    pub site: &'a str,
    /// When, for what is counted.
    pub now: Moment,
    /// When, for what expires.
    pub wall: UnixMillis,
}

/// What a core knows of it.
#[derive(Debug)]
pub struct Standings {
    said: RefCell<Arc<Said>>,
    /// Who came lately, and who was refused.
    pub visitors: Arc<Visitors>,
    /// The mark of those of whom nothing was said.
    plain: Cell<u64>,
    told_of: ToldOf,
}

/// Who behind a listed proxy was told of this minute, by hashes in the places that they name. Whoever shares his place with another
/// is told of once more: that costs a lock, and changes nothing.
#[derive(Debug, Default)]
struct ToldOf {
    keyed: Keyed,
    places: RefCell<Vec<u64>>,
}

impl ToldOf {
    /// Whether he was not; from now on he is.
    fn is_new(&self, address: IpAddr, site: &str) -> bool {
        let mut hasher = self.keyed.build_hasher();
        match address {
            IpAddr::V4(address) => hasher.write(&address.octets()),
            IpAddr::V6(address) => hasher.write(&address.octets()),
        }
        hasher.write(site.as_bytes());
        let hash = hasher.finish();
        let mut places = self.places.borrow_mut();
        if places.is_empty() {
            places.resize(TOLD_OF, !hash); // nobody's, least of all his
        }
        let at = usize::try_from(hash).unwrap_or(0) % TOLD_OF;
        match places.get_mut(at) {
            Some(place) => std::mem::replace(place, hash) != hash,
            None => true,
        }
    }

    fn forget(&self) {
        self.places.borrow_mut().clear();
    }
}

/// What was found out about a connection's client.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    mark: Cell<u64>,
    found: RefCell<Option<Box<Found>>>,
}

/// What was said of him.
#[derive(Clone, Debug)]
enum Found {
    Exempt,
    /// On whichever site.
    Ordered(Box<[Arc<InForce>]>),
}

/// The lowest bit of a mark: something was said of this client. The others count what was said, and the minutes.
const OF_NOTE: u64 = 1;
const NEXT: u64 = 2;

impl Said {
    /// That these clients are left alone, and these orders are given.
    pub fn new(
        exempt: impl IntoIterator<Item = Network>,
        orders: impl IntoIterator<Item = Arc<InForce>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            exempt: exempt.into_iter().collect(),
            orders: orders.into_iter().collect(),
        })
    }

    /// Whether the shield leaves a client alone.
    pub fn is_exempt(&self, address: IpAddr) -> bool {
        self.exempt.iter().any(|network| network.contains(address))
    }

    /// The networks it leaves alone.
    pub fn exempt(&self) -> &[Network] {
        &self.exempt
    }

    /// The orders.
    pub fn orders(&self) -> &[Arc<InForce>] {
        &self.orders
    }

    fn find(&self, address: IpAddr, ja4: Option<&Ja4>) -> Option<Found> {
        if self.is_exempt(address) {
            return Some(Found::Exempt);
        }
        let about = |order: &&Arc<InForce>| order.order.subject.is_about(address, ja4);
        let orders: Box<[_]> = self.orders.iter().filter(about).map(Arc::clone).collect();
        (!orders.is_empty()).then_some(Found::Ordered(orders))
    }
}

impl Found {
    /// What it means for a request. Who is let through is not kept out, whichever order is the narrower.
    fn stands(&self, asked: Asked<'_>) -> Stands {
        let orders = match self {
            Self::Exempt => return Stands::Exempt,
            Self::Ordered(orders) => orders,
        };
        let holds = |held: &&Arc<InForce>| {
            held.order.site == asked.site && held.order.is_in_force(asked.wall)
        };
        let lets_through = |held: &&Arc<InForce>| held.order.act == Act::Allow;
        let mut holding = orders.iter().filter(holds);
        let first = holding.clone().find(lets_through).or(holding.next());
        first.map_or(Stands::Plain, |held| Stands::Ordered(Arc::clone(held)))
    }
}

impl InForce {
    /// An order that has done nothing yet.
    pub fn new(order: Order) -> Arc<Self> {
        Arc::new(Self {
            order,
            requests: AtomicU64::new(0),
            clients: Mutex::default(),
        })
    }

    /// It is about one more request.
    pub fn touches(&self, client: IpAddr, visitors: &Visitors) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let hash = hash_of(visitors.seed, &Network::of_client(client));
        lock(&self.clients).note(hash, ());
    }

    /// How many requests it was about.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Of about how many clients.
    pub fn clients(&self) -> u64 {
        lock(&self.clients).count()
    }
}

impl Visitors {
    /// Nobody yet. Nobody outside may know `seed`.
    pub fn new(seed: [u64; 2]) -> Arc<Self> {
        let recent = Mutex::new(RecentClients::new(seed));
        let held_back = HeldBack::new(seed);
        Arc::new(Self {
            seed,
            recent,
            held_back,
        })
    }

    /// How many of a site's recent clients an order would be about; none where it cannot be told.
    pub fn share(&self, site: &str, subject: &Subject, now: Moment) -> Option<Share> {
        lock(&self.recent).share(site, subject, now.0)
    }

    fn came(&self, address: IpAddr, ja4: Option<&Ja4>, asked: Asked<'_>) {
        lock(&self.recent).note(asked.site, address, ja4, asked.now.0);
    }
}

impl Standings {
    /// Of what was said before the core began.
    pub fn new(said: Arc<Said>, visitors: Arc<Visitors>) -> Self {
        Self {
            said: RefCell::new(said),
            visitors,
            plain: Cell::new(NEXT), // no connection has been looked up
            told_of: ToldOf::default(),
        }
    }

    /// From now on this is what was said.
    pub fn hear(&self, said: Arc<Said>) {
        self.said.replace(said);
        self.look_again();
    }

    /// Every connection is looked up once more.
    pub fn look_again(&self) {
        self.plain.set(self.plain.get().wrapping_add(NEXT));
        self.told_of.forget();
    }

    /// Whether the shield leaves a client alone.
    pub fn is_exempt(&self, address: IpAddr) -> bool {
        self.said.borrow().is_exempt(address)
    }

    /// Whether nothing is said of a connection's client, as far as is known without looking.
    #[inline]
    pub fn is_plain(&self, connection: &Connection) -> bool {
        connection.standing.mark.get() == self.plain.get()
    }

    /// How the client of a connection stands.
    #[cold]
    pub fn of(&self, connection: &Connection, asked: Asked<'_>) -> Stands {
        let Standing { mark, found } = &connection.standing;
        let plain = self.plain.get();
        if mark.get() & !OF_NOTE != plain {
            let address = connection.peer_ip();
            let ja4 = stable_of(connection);
            let new = self.said.borrow().find(address, ja4);
            mark.set(plain | if new.is_some() { OF_NOTE } else { 0 });
            found.replace(new.map(Box::new));
            self.visitors.came(address, ja4, asked);
        }
        let stands = found.borrow().as_ref().map(|found| found.stands(asked));
        self.counted(stands, connection.peer_ip())
    }

    /// How a client stands who shares his connection with others. Its fingerprint is that of whoever speaks for them.
    pub fn of_address(&self, address: IpAddr, asked: Asked<'_>) -> Stands {
        if self.told_of.is_new(address, asked.site) {
            self.visitors.came(address, None, asked);
        }
        let found = self.said.borrow().find(address, None);
        self.counted(found.map(|found| found.stands(asked)), address)
    }

    fn counted(&self, stands: Option<Stands>, address: IpAddr) -> Stands {
        let stands = stands.unwrap_or(Stands::Plain);
        if let Stands::Ordered(held) = &stands {
            held.touches(address, &self.visitors);
        }
        stands
    }
}

/// Which software the client of a connection is, where that is known.
fn stable_of(connection: &Connection) -> Option<&Ja4> {
    let tls = connection.tls.as_ref()?;
    tls.fingerprint.as_ref().map(|client| &client.stable)
}

/// What a panic left is as good as what was there: samples and counts.
fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use mangrove_shield::orders::{Book, Wanted};

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000);
    const ASKED: Asked<'static> = Asked {
        site: "shop",
        now: Moment(0),
        wall: NOW,
    };

    fn exempt(network: &str) -> Arc<Said> {
        Said::new([network.parse().unwrap()], [])
    }

    fn ordered(orders: &[(Act, &str)]) -> Arc<Said> {
        let mut book = Book::default();
        for (act, subject) in orders {
            let wanted = Wanted {
                act: *act,
                site: "shop".to_owned(),
                subject: subject.parse().unwrap(),
                owner: "mina".to_owned(),
                reason: "a test".to_owned(),
                ttl_ms: 60_000,
            };
            let nobody = Some(Share {
                inside: 0,
                sampled: 1,
                clients: 1,
            });
            book.give(wanted, nobody, NOW).unwrap();
        }
        let orders = book.orders().iter().cloned().map(InForce::new);
        Said::new([], orders)
    }

    fn standings() -> Standings {
        Standings::new(Arc::default(), Visitors::new([1, 2]))
    }

    fn connection(from: &str) -> Connection {
        let address = from.parse().unwrap();
        Connection::new(address, address, None)
    }

    fn told(stands: &Stands) -> String {
        match stands {
            Stands::Plain => "plain".to_owned(),
            Stands::Exempt => "exempt".to_owned(),
            Stands::Ordered(held) => format!("{} {}", held.order.act.name(), held.order.id),
        }
    }

    #[test]
    fn a_connection_is_looked_up_once_and_again_when_something_was_said() {
        let standings = standings();
        let client = connection("[::ffff:203.0.113.9]:80");
        let is = |told_of: &str| assert_eq!(told(&standings.of(&client, ASKED)), told_of);
        assert!(!standings.is_plain(&client), "nobody has looked yet");
        is("plain");
        assert!(standings.is_plain(&client));

        standings.hear(exempt("203.0.113.0/24"));
        assert!(!standings.is_plain(&client));
        is("exempt");
        // What is said of him keeps him from the short way.
        assert!(!standings.is_plain(&client));
        is("exempt");

        standings.hear(exempt("198.51.100.0/24"));
        is("plain");
        standings.look_again();
        assert!(!standings.is_plain(&client));
    }

    #[test]
    fn an_order_is_about_its_site_and_its_time_and_counts_whom_it_touches() {
        let standings = standings();
        let said = ordered(&[(Act::Block, "203.0.113.0/24")]);
        standings.hear(Arc::clone(&said));
        let (one, other) = (connection("203.0.113.9:80"), connection("203.0.113.10:80"));
        let of = |client: &Connection, asked| told(&standings.of(client, asked));
        for _ in 0..3 {
            assert_eq!(of(&one, ASKED), "block 1");
        }
        assert_eq!(of(&other, ASKED), "block 1");
        assert_eq!(of(&connection("203.0.112.9:80"), ASKED), "plain");
        let elsewhere = Asked {
            site: "news",
            ..ASKED
        };
        assert_eq!(of(&one, elsewhere), "plain");
        let over = Asked {
            wall: UnixMillis(NOW.0 + 60_000),
            ..ASKED
        };
        assert_eq!(of(&one, over), "plain");
        let held = &said.orders()[0];
        assert_eq!((held.requests(), held.clients()), (4, 2));
    }

    #[test]
    fn who_is_let_through_is_not_kept_out_and_who_is_exempt_is_neither() {
        let standings = standings();
        let said = ordered(&[(Act::Block, "203.0.113.9"), (Act::Allow, "203.0.113.0/24")]);
        standings.hear(Arc::clone(&said));
        let client = connection("203.0.113.9:80");
        assert_eq!(told(&standings.of(&client, ASKED)), "allow 2");
        let address = client.peer_ip();
        assert_eq!(told(&standings.of_address(address, ASKED)), "allow 2");
        let orders = said.orders().iter().map(Arc::clone);
        standings.hear(Said::new(["203.0.113.9".parse().unwrap()], orders));
        assert_eq!(told(&standings.of(&client, ASKED)), "exempt");
        assert_eq!(told(&standings.of_address(address, ASKED)), "exempt");
    }

    #[test]
    fn behind_a_proxy_each_is_told_of_once_a_minute_and_on_each_site() {
        let told_of = ToldOf::default();
        let address = |n: u32| std::net::Ipv4Addr::from_bits(n).into();
        let news = |site| {
            (0..100)
                .filter(|n| told_of.is_new(address(*n), site))
                .count()
        };
        // Of a hundred in 1,024 places a few share one.
        assert_eq!(news("shop"), 100);
        assert!(news("shop") < 60);
        assert_eq!(news("news"), 100);
        told_of.forget();
        assert_eq!(news("shop"), 100);
        // More than there are places: whoever is not remembered is told of again.
        let count = (0..10_240_u32)
            .filter(|n| told_of.is_new(address(1_000 + n), "shop"))
            .count();
        assert_eq!(
            (count, told_of.places.borrow().len()),
            (10 * TOLD_OF, TOLD_OF)
        );
    }

    #[test]
    fn whoever_asks_is_a_recent_client_once() {
        let standings = standings();
        let everyone = "0.0.0.0/0".parse().unwrap();
        for n in 1..=9 {
            let client = connection(&format!("203.0.113.{n}:80"));
            for _ in 0..5 {
                standings.of(&client, ASKED);
            }
            standings.of_address("198.51.100.1".parse().unwrap(), ASKED);
        }
        let share = |site| {
            standings
                .visitors
                .share(site, &everyone, Moment(0))
                .unwrap()
        };
        assert_eq!(share("shop").clients, 10);
        assert_eq!(share("news").clients, 0);
    }
}
