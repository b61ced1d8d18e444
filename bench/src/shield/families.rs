//! The families of attacks, what all of them have in common, and what is told of one.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use tokio::time::Instant;

use super::servers::{Doors, Server};
use super::{http2, plain};

/// Addresses that attackers come from, each in a network of its own: 127.66.0.1, 127.66.1.1 and on.
pub(super) const SOURCES: u64 = 16;

/// How long after the end of an attack the server's last word is waited for.
pub(super) const LAST_WORD: Duration = Duration::from_millis(200);

/// One way of attacking.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Family {
    /// Over TCP, TLS or HTTP/1.
    Plain(plain::Kind),
    /// By frames of HTTP/2.
    Http2(http2::Kind),
}

impl Family {
    /// Every one, in the order of the report.
    pub(super) fn all() -> Vec<Self> {
        let plain = plain::Kind::value_variants().iter().copied();
        let http2 = http2::Kind::value_variants().iter().copied();
        plain
            .map(Self::Plain)
            .chain(http2.map(Self::Http2))
            .collect()
    }

    /// What a person calls it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Plain(kind) => kind.title(),
            Self::Http2(kind) => kind.title(),
        }
    }

    /// What one of it is.
    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::Plain(kind) => kind.unit(),
            Self::Http2(kind) => kind.unit(),
        }
    }

    /// How many of them come in a second, from all attackers together.
    pub(super) fn rate(self) -> u64 {
        match self {
            Self::Plain(kind) => kind.rate(),
            Self::Http2(kind) => kind.rate(),
        }
    }

    /// Why a server has no part in it; nothing when it has.
    pub(super) fn not_offered(self, server: Server) -> Option<&'static str> {
        match (self, server) {
            (Self::Plain(plain::Kind::Websockets), Server::Hyper) => {
                Some("this one carries no WebSockets")
            }
            _ => None,
        }
    }

    /// Attacks until the time is over; what came of it.
    pub(super) async fn attack(self, target: &Target) -> Tally {
        match self {
            Self::Plain(kind) => plain::attack(kind, target).await,
            Self::Http2(kind) => http2::attack(kind, target).await,
        }
    }
}

impl FromStr for Family {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let plain = plain::Kind::from_str(name, true).map(Self::Plain);
        let found = plain.or_else(|_| http2::Kind::from_str(name, true).map(Self::Http2));
        found.map_err(|_| format!("no such family; there are {}", names()))
    }
}

/// The names of all families, as they are given.
pub(super) fn names() -> String {
    let name = |value: Option<clap::builder::PossibleValue>| {
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    };
    let plain = plain::Kind::value_variants().iter();
    let http2 = http2::Kind::value_variants().iter();
    let all: Vec<String> = plain
        .map(|kind| name(kind.to_possible_value()))
        .chain(http2.map(|kind| name(kind.to_possible_value())))
        .collect();
    all.join(", ")
}

/// Whom to attack, and when.
#[derive(Clone)]
pub(super) struct Target {
    /// Where it listens.
    pub(super) doors: Doors,
    /// A TLS client's greeting, to be sent as it is.
    pub(super) hello: Arc<[u8]>,
    /// The first moment.
    pub(super) begins: Instant,
    /// From then on.
    pub(super) during: Duration,
}

impl Target {
    /// The moment after the last one.
    pub(super) fn ends(&self) -> Instant {
        self.begins + self.during
    }
}

/// How many are due after `elapsed`, at so many a second.
pub(super) fn due(rate: u64, elapsed: Duration) -> u64 {
    let due = u128::from(rate) * elapsed.as_nanos() / 1_000_000_000;
    u64::try_from(due).unwrap_or(u64::MAX)
}

/// When the next one after `number` others is due, at so many a second.
pub(super) fn turn(rate: u64, number: u64) -> Duration {
    let nanos = u128::from(number) * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// The address of the attacker with this number.
pub(super) fn source(number: u64) -> Ipv4Addr {
    let [.., network] = (number % SOURCES).to_be_bytes();
    Ipv4Addr::new(127, 66, network, 1)
}

/// What the attackers did, and what came of it.
#[derive(Clone, Default, Debug, PartialEq, Eq)]
pub(super) struct Tally {
    /// Units that were begun.
    pub(super) begun: u64,
    /// Of these, those that the server is known to have let through.
    pub(super) through: u64,
    /// How they, or the connections that carried them, ended; and how often.
    pub(super) endings: BTreeMap<String, u64>,
}

impl Tally {
    /// One more ended so.
    pub(super) fn ends(&mut self, how: impl Into<String>) {
        *self.endings.entry(how.into()).or_default() += 1;
    }

    /// The commonest ends, in words.
    pub(super) fn words(&self) -> String {
        const TOLD: usize = 3;
        let mut endings: Vec<_> = self.endings.iter().collect();
        endings.sort_by(|(one, more), (other, less)| less.cmp(more).then(one.cmp(other)));
        let words = endings.iter().take(TOLD);
        let words: Vec<String> = words
            .map(|(how, count)| format!("{count} × {how}"))
            .collect();
        words.join("; ")
    }
}

/// What all attackers of one family share while they are at it.
#[derive(Clone, Default)]
pub(super) struct Shared {
    tally: Rc<RefCell<Tally>>,
    last: Rc<Cell<u64>>,
}

impl Shared {
    /// A number that no other unit has.
    pub(super) fn number(&self) -> u64 {
        self.last.set(self.last.get() + 1);
        self.last.get()
    }

    /// One was begun.
    pub(super) fn begins(&self) {
        self.tally.borrow_mut().begun += 1;
    }

    /// So many were begun, and so many of them are known to have been let through.
    pub(super) fn begun(&self, begun: u64, through: u64) {
        let mut tally = self.tally.borrow_mut();
        tally.begun += begun;
        tally.through += through;
    }

    /// One ended so, let through or not.
    pub(super) fn ends(&self, how: impl Into<String>, through: bool) {
        let mut tally = self.tally.borrow_mut();
        tally.through += u64::from(through);
        tally.ends(how);
    }

    /// What came of all of them.
    pub(super) fn told(&self) -> Tally {
        self.tally.borrow().clone()
    }
}

/// A door that was knocked at in vain, in a word.
pub(super) fn turned_away(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "refused",
        std::io::ErrorKind::AddrNotAvailable | std::io::ErrorKind::AddrInUse => "no port left here",
        std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe => "reset",
        _ => "not opened",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_kept_whether_it_is_counted_or_waited_for() {
        let second = Duration::from_secs(1);
        assert_eq!(due(1_000, second / 2), 500);
        assert_eq!(due(3, second - Duration::from_nanos(1)), 2);
        assert_eq!(due(u64::MAX, 100 * second), u64::MAX);
        assert_eq!(turn(1_000, 500), second / 2);
        for number in 0..100 {
            let nanosecond = Duration::from_nanos(1); // a turn is rounded down
            assert_eq!(due(7, turn(7, number) + nanosecond), number);
        }
    }

    #[test]
    fn attackers_come_from_as_many_networks_as_they_should() {
        let all: std::collections::BTreeSet<_> = (0..100).map(source).collect();
        assert_eq!(all.len(), 16);
        assert!(all.iter().all(|address| address.is_loopback()));
        assert!(!all.contains(&Ipv4Addr::LOCALHOST));
    }

    #[test]
    fn the_commonest_ends_are_told_first() {
        let mut tally = Tally::default();
        for how in ["429", "closed", "429", "reset", "reset", "429", "a", "b"] {
            tally.ends(how);
        }
        assert_eq!(tally.words(), "3 × 429; 2 × reset; 1 × a");
    }

    #[test]
    fn every_family_is_found_by_its_name() {
        let all = Family::all();
        let found: Vec<Family> = names()
            .split(", ")
            .map(|name| name.parse().unwrap())
            .collect();
        assert_eq!(found, all);
        assert!("slow".parse::<Family>().is_err());
    }
}
