//! Settings: from what a person wrote to what an edge does.

mod draft;
mod explain;
mod fault;
mod limits;
mod names;
mod network;
mod origin;
mod problem;
mod reference;
mod server;
mod setting;
mod settled;
mod site;
mod target;
mod units;
mod validate;
mod value;
mod wire;

pub use draft::{Defaults, Draft, FILE_BYTES, Notice, Settlement};
pub use explain::{diff, explain};
pub use fault::PROBLEMS;
pub use limits::Limits;
pub use names::{LABEL_BYTES, NAME_BYTES};
pub use network::Network;
pub use origin::{Breaker, Health, OriginPolicy, OriginProtocol, Passive};
pub use problem::{Excerpt, Problem, Problems};
pub use reference::{TABLES, Table, limits_markdown, reference_markdown};
pub use server::{
    AccessLog, Certificate, ClientAddress, LogTarget, Query, Server, Tls, TlsVersion,
};
pub use setting::{Setting, Unit};
pub use settled::{FORMAT, SETTLED_BYTES, Settled, Unsettled};
pub use site::{PathPolicy, Respond, Site};
pub use target::{
    HostPolicy, ORIGIN_URL_BYTES, ORIGIN_WEIGHT, Origin, SOCKET_PATH_BYTES, Scheme, StatusRange,
};
pub use validate::SITES;
