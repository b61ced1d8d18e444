//! Origins: which one is asked, over which connection, and how far its words are trusted.

pub mod balance;
pub mod breaker;
pub mod budget;
pub mod connect;
pub mod health;
pub mod http1;
pub mod http2;
pub mod pool;
pub mod probe;
pub mod resolve;
pub(crate) mod upstreams;

pub use upstreams::{Lease, Upstreams};
