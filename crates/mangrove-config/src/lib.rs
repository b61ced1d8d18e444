//! Settings: from what a person wrote to what an edge does.

mod limits;
mod names;
mod origin;
mod server;
mod setting;
mod settled;
mod site;
mod wire;

pub use limits::Limits;
pub use names::{
    HostPolicy, LABEL_BYTES, NAME_BYTES, Network, ORIGIN_URL_BYTES, ORIGIN_WEIGHT, Origin,
    SOCKET_PATH_BYTES, Scheme, StatusRange,
};
pub use origin::{Breaker, Health, OriginPolicy, OriginProtocol, Passive};
pub use server::{
    AccessLog, Certificate, ClientAddress, LogTarget, Query, Server, Tls, TlsVersion,
};
pub use setting::{Setting, Unit};
pub use settled::{FORMAT, SETTLED_BYTES, Settled, Unsettled};
pub use site::{PathPolicy, Respond, Site};
