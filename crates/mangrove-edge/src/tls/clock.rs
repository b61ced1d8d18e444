//! The edge's clock, as rustls and this folder read it.

use std::time::Duration;

use mangrove_http::UnixMillis;
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

use crate::clock::Clock;

/// The wall clock in the unit that certificates are dated in.
pub fn unix_time(wall: UnixMillis) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_millis(wall.0))
}

/// A drill that shifts the edge into next month also ages its certificates and tickets.
impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(unix_time(self.wall()))
    }
}
