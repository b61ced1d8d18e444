//! The data plane: carries bytes and acts on verdicts.
//!
//! [`run`] is the edge process. One thread per core serves visitors, each with its own runtime and
//! sockets; one more thread, the keeper, does everything that no visitor waits for.
//!
//! ```text
//!  socket ─ accept ─┬─ http1 ─┐                          ┌─ origin::http1 ─┐
//!                   └─ http2 ─┴─ pipeline ── fetch ──────┴─ origin::http2 ─┴─ origin
//!                                 receive → admit → inspect → plan → fetch → answer → record
//! ```
//!
//! The pieces, each a file or folder: [`accept`] turns sockets into HTTP connections; [`http1`] and
//! [`http2`] speak with clients; [`pipeline`] is every request's journey; [`origin`] chooses and
//! speaks with origins; [`snapshot`] is a settled configuration in force; [`log`] and [`metrics`]
//! remember; [`admin`] lets operators in; [`wheel`] keeps every deadline.
//!
//! A snapshot's host table, built and asked as an edge does:
//!
//! ```
//! use std::sync::Arc;
//! use mangrove_config::{Server, Settled};
//! use mangrove_edge::{cache::Cache, clock::Clock, snapshot::{SharedSnapshot, Snapshot}};
//!
//! let time: Arc<dyn rustls::time_provider::TimeProvider> = Arc::new(Clock::start());
//! let shared = SharedSnapshot::build(Settled::sample(Server::on_loopback()), &time, None).expect("the sample needs nothing");
//! let snapshot = Snapshot::new(shared, Cache::new(1 << 20, [7, 7], None, None), 1, 7, None);
//! assert_eq!(&*snapshot.site_for(b"any.example").expect("the sample answers any host").name, "sample");
//! ```

pub mod accept;
pub mod admin;
mod allocator;
pub mod answer_head;
pub mod body;
pub mod cache;
pub mod ceiling;
pub mod clock;
pub mod closing;
pub mod compress;
pub mod core;
pub mod edge;
pub mod fixed;
pub mod handover;
mod history;
pub mod http1;
pub mod http2;
pub mod incoming;
pub mod io;
mod keyed_hash;
pub mod limits;
pub mod log;
pub mod metrics;
pub mod module;
pub mod origin;
pub mod outgoing;
pub mod pages;
pub mod pipeline;
pub mod rate;
pub mod reason;
pub mod snapshot;
pub mod sock_diag;
pub mod standing;
pub mod tcp;
pub mod tls;
mod traits;
pub mod tunnel;
pub mod uptake;
pub mod wheel;

pub use edge::{EdgeArgs, run};
