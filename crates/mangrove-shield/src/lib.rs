//! The attack shield, as pure decisions: who a client is.
//!
//! Pure: no sockets, clocks or files. The edge brings bytes, and acts on what is decided.
//!
//! [`ja4`] reads the first message of a TLS handshake and names the software that wrote it, whatever it says of itself later:
//!
//! ```
//! use mangrove_shield::ja4::{Fingerprint, NoFingerprint};
//!
//! // What a scanner of another protocol sends has no fingerprint, and says why.
//! assert_eq!(Fingerprint::of(b"GET / HTTP/1.1\r\n"), Err(NoFingerprint::NotHandshake));
//! ```

pub mod ja4;
