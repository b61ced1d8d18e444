//! Borders around the optional steps of a request: a panic inside costs the module, not the request.
//!
//! Every module declares what it may cost and what happens when it fails (law 4 of the design).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::metrics::CoreMetrics;

/// What a request sees when a module on its way fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailMode {
    /// The request goes on without what the module would have added.
    Open,
    /// The request is answered with 500 `module-failed`.
    Closed,
}

impl FailMode {
    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

/// The guarded steps that exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Module {
    /// Which software a client is, by the way it greets over TLS and opens HTTP/2.
    Fingerprint,
    /// Who the visitor is behind listed proxies.
    ClientAddress,
    /// `traceparent` and the request id.
    Trace,
    /// The RFC 3986 normal form of the path, for rules and keys.
    PathForm,
    /// How the visitor stands with the operator.
    Standing,
    /// How much a client may ask for.
    RateLimit,
    /// Which origin gets the request.
    Balance,
    /// The page that tells of an error.
    Page,
    /// What a request has in common with others.
    Traits,
    /// The line in the access log.
    LogLine,
    /// Everything else between head and answer: the pipeline itself.
    Pipeline,
}

impl Module {
    /// All of them, in the order of the metrics.
    pub const ALL: &'static [Module] = &[
        Self::Fingerprint,
        Self::ClientAddress,
        Self::Trace,
        Self::PathForm,
        Self::Standing,
        Self::RateLimit,
        Self::Balance,
        Self::Page,
        Self::Traits,
        Self::LogLine,
        Self::Pipeline,
    ];

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fingerprint => "fingerprint",
            Self::ClientAddress => "client-address",
            Self::Trace => "trace",
            Self::PathForm => "path-form",
            Self::Standing => "standing",
            Self::RateLimit => "rate-limit",
            Self::Balance => "balance",
            Self::Page => "page",
            Self::Traits => "traits",
            Self::LogLine => "log-line",
            Self::Pipeline => "pipeline",
        }
    }

    /// What its failure does to the request.
    pub const fn fail_mode(self) -> FailMode {
        match self {
            // Not knowing the visitor must not turn a listed proxy's address into everyone's.
            Self::ClientAddress | Self::PathForm | Self::Balance | Self::Pipeline => {
                FailMode::Closed
            }
            // What a person said, or a count, that fails must not close a site.
            Self::Fingerprint
            | Self::Trace
            | Self::Standing
            | Self::RateLimit
            | Self::Page
            | Self::Traits
            | Self::LogLine => FailMode::Open,
        }
    }

    /// What it may cost one request: time is bounded by these input ceilings, not by a clock.
    pub const fn budget(self) -> &'static str {
        match self {
            Self::Fingerprint => {
                "once a connection, one ClientHello of at most 16 KiB and the names before the first field of one HTTP/2 request"
            }
            Self::ClientAddress => "at most 32 list elements of the head",
            Self::Trace => "one field of at most 512 bytes",
            Self::PathForm => "one pass over the target",
            Self::Standing => {
                "at most 1,088 networks and 256 orders: once a minute for each connection, for each request behind a listed proxy"
            }
            Self::RateLimit => "at most 16 limits of at most 4 parts of the head, one lock each",
            Self::Balance => "two members looked at, every member at worst",
            Self::Page => "one template, under 8 KiB",
            Self::Traits => {
                "256 bytes of path and query each; with a log one pass over the names of the head and its User-Agent"
            }
            Self::LogLine => "one line, under 16 KiB",
            Self::Pipeline => "the head's ceilings",
        }
    }
}

/// The module panicked; it has been counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModulePanicked(pub Module);

/// Runs a synchronous step of `module` behind its border.
pub fn guard<T>(
    metrics: &CoreMetrics,
    module: Module,
    step: impl FnOnce() -> T,
) -> Result<T, ModulePanicked> {
    // Unwind safety: what a step mutates is its own request's, which is answered with an error, or
    // is rebuilt by the caller.
    catch_unwind(AssertUnwindSafe(step)).map_err(|_| {
        metrics.module_panicked(module);
        ModulePanicked(module)
    })
}

/// The same border around something asynchronous, which stays where its owner has pinned it.
pub struct Guarded<'a, F> {
    inner: Pin<&'a mut F>,
    module: Module,
    done: bool,
}

/// Wraps `work` so that a panic in it is an outcome.
pub fn guarded<F: Future>(module: Module, work: Pin<&mut F>) -> Guarded<'_, F> {
    Guarded {
        inner: work,
        module,
        done: false,
    }
}

impl<F: Future> Guarded<'_, F> {
    /// Polls; after a panic the work is not polled again.
    pub fn poll_guarded(
        &mut self,
        metrics: &CoreMetrics,
        cx: &mut Context<'_>,
    ) -> Poll<Result<F::Output, ModulePanicked>> {
        if self.done {
            return Poll::Ready(Err(ModulePanicked(self.module)));
        }
        let inner = &mut self.inner;
        match guard(metrics, self.module, || inner.as_mut().poll(cx)) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(out)) => {
                self.done = true;
                Poll::Ready(Ok(out))
            }
            Err(panicked) => {
                self.done = true;
                Poll::Ready(Err(panicked))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_costs_the_module_and_is_counted() {
        let metrics = CoreMetrics::new(0);
        let outcome = guard(&metrics, Module::Trace, || -> u8 { panic!("a bug") });
        assert_eq!(outcome, Err(ModulePanicked(Module::Trace)));
        assert_eq!(guard(&metrics, Module::Trace, || 7), Ok(7));
        assert_eq!(metrics.module_panics(Module::Trace), 1);
    }
}
