//! What the cache does, one story for each rule: a request, a response, and what comes of it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

mod answering;
mod deciding;
mod freshness;
mod page;
mod parts;
mod revalidating;
mod storing;
mod talk;
mod varying;
