//! The machine's clock, read in one place. A benchmark is about the machine it runs on: nothing here decides for a request.
#![allow(
    clippy::disallowed_methods,
    reason = "the benchmark measures the machine; it has no pure core to hand a clock to"
)]

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, bail};

/// How long to rest between two looks at something that will change.
const LOOK: Duration = Duration::from_millis(5);

/// The present, as HTTP writes it.
pub(crate) fn date() -> String {
    httpdate::fmt_http_date(SystemTime::now())
}

/// Asks `look` until it has an answer, at most for `limit`.
pub(crate) fn poll<T>(limit: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if start.elapsed() > limit {
            bail!("nothing within {} s", limit.as_secs());
        }
        rest();
    }
}

/// Time from a moment on.
#[derive(Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    /// From now.
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Milliseconds until now.
    pub(crate) fn millis(self) -> f64 {
        self.0.elapsed().as_secs_f64() * 1000.0
    }
}

/// One pause between two looks.
pub(crate) fn rest() {
    std::thread::sleep(LOOK);
}
