//! JA4 against published vectors, against what real clients sent, and its laws.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test program: what is not as expected should stop it"
)]

mod hello;
mod laws;
mod real_clients;
mod vectors;
