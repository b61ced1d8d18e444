//! The one place where this crate reads the machine's clock. Decisions take `now`.

use std::time::Instant;

/// The time, from the clock that never goes back.
#[allow(
    clippy::disallowed_methods,
    reason = "the shell is where `now` comes from"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}
