//! The attack shield, as pure decisions: who a client is, what it may spend, and when it has spent it.
//!
//! Pure: no sockets, clocks or files. The edge brings bytes and `now`, and acts on what is decided.
//!
//! [`ja4`] reads the first message of a TLS handshake and names the software that wrote it, whatever it says of itself later:
//!
//! ```
//! use mangrove_shield::ja4::{Fingerprint, NoFingerprint};
//!
//! // What a scanner of another protocol sends has no fingerprint, and says why.
//! assert_eq!(Fingerprint::of(b"GET / HTTP/1.1\r\n"), Err(NoFingerprint::NotHandshake));
//! ```
//!
//! [`opening`] does the same with the first frames of an HTTP/2 connection, and [`traits`] tells what one request has in common with
//! others, whatever addresses they come from: the order of its fields, and what kind of path and query it asks for.
//!
//! [`protocol`] knows what an HTTP/2 client may make a server do on one connection besides answering requests, and says when
//! that is spent.
//!
//! [`connections`] says who goes first when there is no room for one more connection, [`gait`] who is slow.
//!
//! [`handshakes`] says whose turn it is when more TLS handshakes are wanted than can be made at once.
//!
//! [`limits`] says how much one key, such as an address, may ask for, in memory that does not grow with the number of keys.
//!
//! [`held_back`] remembers whom limits have refused lately, for a person to look at.
//!
//! [`orders`] keeps what a person has said of a network or a fingerprint ([`subject`]): to let it through, or to keep it out, for a
//! while. [`recent`] tells how many of a site's clients that would touch.

pub mod connections;
pub mod gait;
pub mod handshakes;
pub mod held_back;
pub mod ja4;
pub mod limits;
pub mod network;
pub mod opening;
pub mod orders;
pub mod protocol;
pub mod recent;
pub mod subject;
pub mod traits;
