//! Hostile bytes for every parser of Mangrove, on the stable toolchain.
//!
//! [`targets`] holds one function per parser; it panics when a law is broken. HTTP/1 is compared with [`plain`], a second
//! reading of RFC 9112; what caches are told with laws and small plain readings of it. [`mutate`] makes nearly valid input from a seed, and [`campaign`] runs a target for a while.
//!
//! ```
//! let target = mangrove_fuzz::targets::named("request").expect("there is such a target");
//! assert!(mangrove_fuzz::campaign::run_once(target, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").is_ok());
//! ```

mod cache;
pub mod campaign;
pub mod mutate;
pub mod plain;
mod shield;
mod store;
pub mod targets;
