//! How a client stands with the operator: left alone by the shield, or a visitor like any other.
//!
//! What the operator has said is made anew by the keeper whenever it changes and swapped whole on every core. A core looks up how
//! a client stands once for each connection, and again when something was said or a minute is over: what it found is a *mark* on
//! the connection. A request compares that mark with the core's own. They are the same for every visitor of whom nothing was
//! said, and that comparison is all he pays.
//!
//! Behind a listed proxy each request may be another visitor's: there it is looked up for each.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use mangrove_config::Network;

use crate::core::Connection;

/// How long a connection is taken for what it was found to be.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// What the operator has said of clients, as all cores use it.
#[derive(Debug, Default)]
pub struct Said {
    exempt: Box<[Network]>,
}

/// How a client stands.
#[derive(Debug)]
pub enum Stands {
    /// As everybody does.
    Plain,
    /// The shield leaves him alone.
    Exempt,
}

/// What a core knows of it.
#[derive(Debug)]
pub struct Standings {
    said: RefCell<Arc<Said>>,
    /// The mark of those of whom nothing was said.
    plain: Cell<u64>,
}

/// What was found out about a connection's client.
#[derive(Clone, Debug, Default)]
pub struct Standing(Cell<u64>);

/// The lowest bit of a mark: something was said of this client. The others count what was said, and the minutes.
const OF_NOTE: u64 = 1;
const NEXT: u64 = 2;

impl Said {
    /// That these clients are left alone.
    pub fn new(exempt: impl IntoIterator<Item = Network>) -> Arc<Self> {
        let exempt = exempt.into_iter().collect();
        Arc::new(Self { exempt })
    }

    /// Whether the shield leaves a client alone.
    pub fn is_exempt(&self, address: IpAddr) -> bool {
        self.exempt.iter().any(|network| network.contains(address))
    }
}

impl Standings {
    /// Of what was said before the core began.
    pub fn new(said: Arc<Said>) -> Self {
        Self {
            said: RefCell::new(said),
            plain: Cell::new(NEXT), // no connection has been looked up
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
    }

    /// Whether the shield leaves a client alone.
    pub fn is_exempt(&self, address: IpAddr) -> bool {
        self.said.borrow().is_exempt(address)
    }

    /// Whether nothing is said of a connection's client, as far as is known without looking.
    #[inline]
    pub fn is_plain(&self, connection: &Connection) -> bool {
        connection.standing.0.get() == self.plain.get()
    }

    /// How the client of a connection stands.
    #[cold]
    pub fn of(&self, connection: &Connection) -> Stands {
        let plain = self.plain.get();
        let mark = &connection.standing.0;
        if mark.get() & !OF_NOTE != plain {
            let of_note = self.is_exempt(connection.peer_ip());
            mark.set(plain | if of_note { OF_NOTE } else { 0 });
        }
        match mark.get() & OF_NOTE {
            OF_NOTE => Stands::Exempt,
            _ => Stands::Plain,
        }
    }

    /// How a client stands who shares his connection with others.
    pub fn of_address(&self, address: IpAddr) -> Stands {
        match self.is_exempt(address) {
            true => Stands::Exempt,
            false => Stands::Plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(exempt: &str) -> Arc<Said> {
        Said::new([exempt.parse().unwrap()])
    }

    fn connection(from: &str) -> Connection {
        let address = from.parse().unwrap();
        Connection::new(address, address, None)
    }

    #[test]
    fn a_connection_is_looked_up_once_and_again_when_something_was_said() {
        let standings = Standings::new(Arc::default());
        let client = connection("[::ffff:203.0.113.9]:80");
        assert!(!standings.is_plain(&client), "nobody has looked yet");
        assert!(matches!(standings.of(&client), Stands::Plain));
        assert!(standings.is_plain(&client));

        standings.hear(said("203.0.113.0/24"));
        assert!(!standings.is_plain(&client));
        assert!(matches!(standings.of(&client), Stands::Exempt));
        // What is said of him keeps him from the short way.
        assert!(!standings.is_plain(&client));
        assert!(matches!(standings.of(&client), Stands::Exempt));

        standings.hear(said("198.51.100.0/24"));
        assert!(matches!(standings.of(&client), Stands::Plain));
        standings.look_again();
        assert!(!standings.is_plain(&client));
    }
}
