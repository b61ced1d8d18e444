//! TLS: which certificate is shown to whom, how sessions resume, and how origins are trusted.
//!
//! * [`CertStore`] holds certificates read from files, chosen by server name; it is built whole and
//!   swapped in a [`CertResolver`]. A bad pair keeps the old one, and a [`TlsProblem`] says why.
//! * [`self_signed`] makes the pair of the first run.
//! * [`TicketKeys`] seals session tickets with keys that all processes of an edge share.
//! * [`HandshakeLine`] is where handshakes wait when more are wanted than a core can make.
//! * [`server_config`] and [`client_config`] put them into rustls.
//!
//! At start and at each reload, off the request path:
//!
//! ```ignore
//! let now = unix_time(clock.wall());
//! let (store, problems) = CertStore::reload(&CertStore::default(), &files, now);
//! let resolver = CertResolver::new(store);
//! let (tickets, problem) = TicketKeys::open(&state, now);
//! let config = server_config(resolver.clone(), tickets.clone(), MinVersion::Tls12, Arc::new(clock))?;
//! // once a minute:       tickets.rotate(now)
//! // when files change:   resolver.swap(CertStore::reload(&resolver.store(), &files, now).0)
//! ```

mod certificate;
mod clock;
mod der;
pub(crate) mod line;
pub(crate) mod origin;
pub(crate) mod pair;
pub(crate) mod private_file;
mod problem;
pub(crate) mod self_signed;
pub(crate) mod server;
mod staple;
mod store;
pub(crate) mod ticket_ring;
mod tickets;

#[cfg(test)]
mod handshakes;
#[cfg(test)]
mod testing;

use std::path::{Path, PathBuf};

pub use clock::unix_time;
pub use line::HandshakeLine;
pub use origin::{OriginProtocol, OriginTrust, client_config};
pub use pair::CertFiles;
pub use problem::{TlsFault, TlsProblem};
pub use self_signed::{SelfSigned, self_signed};
pub use server::{MinVersion, server_config};
pub use store::{CertResolver, CertStore};
pub use tickets::TicketKeys;

/// Where an edge keeps what it makes for TLS.
fn folder(state: &Path) -> PathBuf {
    state.join("edge").join("tls")
}
