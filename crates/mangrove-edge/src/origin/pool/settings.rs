//! What a pool is made from: origins as the settings have them, and the rules.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::origin::breaker::BreakerSettings;
use crate::origin::budget::RetryBudgetSettings;
use crate::origin::health::{ActiveSettings, PassiveSettings};

/// One origin, as the settings have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// As written in the settings (`https://app.internal:8443`): identity across reloads, and what people are shown.
    pub key: Arc<str>,
    /// Where it is.
    pub endpoint: Endpoint,
    /// Its share of the requests relative to the other origins; at least 1. Split evenly among its addresses.
    pub weight: u16,
}

/// Where an origin is, before names are resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// An address that needs no resolving.
    Address(SocketAddr),
    /// A Unix socket.
    Unix(Arc<Path>),
    /// A name, and the port at each of its addresses.
    Name {
        /// In the spelling under which [`Pool::resolved`](super::Pool::resolved) will hear of it.
        host: Arc<str>,
        /// The port.
        port: u16,
    },
}

/// Where a member is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// Over IP.
    Ip(SocketAddr),
    /// Over a Unix socket.
    Unix(Arc<Path>),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What the connector needs to know of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Index of its origin in the list the pool was made from.
    pub origin: usize,
    /// Where to connect.
    pub address: Address,
    /// The same as people read it: written once for each member, not for each request.
    pub text: Arc<str>,
}

/// The rules of one pool. Numbers are for one core: the caller divides what is meant for the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSettings {
    /// Requests (and so HTTP/1.1 connections in use) at one member at a time; at least 1. Default 256.
    pub max_outstanding: u32,
    /// Requests that may wait for a place; 0 for none. Default 1024.
    pub queue_length: usize,
    /// How long one may wait. Default 5 s.
    pub queue_timeout: Duration,
    /// A wait this long counts against the queue's breaker, see [`breaker`](crate::origin::breaker). Default 2.5 s.
    pub slow_wait: Duration,
    /// Health by visitors' requests.
    pub passive: PassiveSettings,
    /// Health by probes, if any are sent.
    pub active: Option<ActiveSettings>,
    /// The breakers.
    pub breaker: BreakerSettings,
    /// The retry budget.
    pub retries: RetryBudgetSettings,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            max_outstanding: 256,
            queue_length: 1024,
            queue_timeout: Duration::from_secs(5),
            slow_wait: Duration::from_millis(2500),
            passive: PassiveSettings::default(),
            active: None,
            breaker: BreakerSettings::default(),
            retries: RetryBudgetSettings::default(),
        }
    }
}
