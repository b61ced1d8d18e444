//! Laws that hold of every request and response, by chance: proptest makes them up and shrinks what breaks a law.
//!
//! [`world`] is an origin with versions over time and a cache built from the decisions of this crate; [`plain`] is a second,
//! deliberately plain reading of RFC 9111 that judges every answer the cache gave without the origin, or after asking it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

mod freshness;
mod judged;
mod kept;
mod plain;
mod purged;
#[path = "../stories/talk.rs"]
mod talk;
mod wire;
mod world;
