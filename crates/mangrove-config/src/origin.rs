//! The `[site.origin]` block: how origins are spoken to, and when to stop.

use std::time::Duration;

use crate::setting::{settings, words};
use crate::target::{HostPolicy, StatusRange};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

settings! {
    /// How the origins of one site are spoken to.
    OriginPolicy {
        connect_timeout: Duration = seconds(3), Time 50 ..= 60_000,
            "A connection to an origin, TLS included: long enough for one lost SYN, short enough to try another.";
        first_byte_timeout: Duration = seconds(60), Time 100 ..= 3_600_000,
            "From the end of the request to the first byte of the response head.";
        idle_timeout: Duration = seconds(60), Time 100 ..= 3_600_000,
            "The longest silence inside a response, or inside a request body the origin does not take.";
        keep_alive: Duration = seconds(60), Time 100 ..= 3_600_000,
            "How long an unused connection is kept. Set it below the origin's own, or requests meet closing connections.";
        max_connections: u32 = 256, Count 1 ..= 65_535,
            "Connections to one origin from one edge process, all threads together.";
        queue_timeout: Duration = seconds(5), Time 10 ..= 60_000,
            "How long a request may wait for a connection when all are busy, before 503.";
        queue_length: u32 = 1_024, Count 0 ..= 100_000,
            "Requests that may wait for one origin; further ones are answered 503 at once.";
        retries: u32 = 1, Count 0 ..= 5,
            "Further tries of a request that is idempotent (RFC 9110 section 9.2.2) and of which the client has seen nothing.";
        retry_budget: u32 = 20, Percent 0 ..= 100,
            "Retries as a share of requests, over ten seconds: an origin that is failing must not be hit harder for it.";
        host: HostPolicy = HostPolicy::Preserve, Text 1 ..= 255,
            "The Host an origin sees: `\"preserve\"` the client's, `\"origin\"` for the name in its URL, or any other name as written.";
        protocol: OriginProtocol = OriginProtocol::Auto, Choice 0 ..= 0,
            "HTTP version: `auto` lets TLS decide (ALPN) and speaks HTTP/1.1 in cleartext; `h2` is needed for gRPC in cleartext.";
        tls_verify: bool = true, Flag 0 ..= 0,
            "Whether an https origin's certificate must be valid for its name. Off, anyone between can read and change everything.";
        tls_sni: Option<String> = None, Text 1 ..= 253,
            "The name asked for and verified in TLS. Unset, the name in the URL.";
        tls_ca: Option<String> = None, Text 1 ..= 4_096,
            "PEM file of the authorities to trust for this site's origins, in place of the system's.";
        health: Option<Health> = None, Table 0 ..= 0,
            "Active health checks. Unset, only real requests tell.";
        passive: Passive = Passive::default(), Table 0 ..= 0,
            "What real requests tell about an origin's health.";
        breaker: Breaker = Breaker::default(), Table 0 ..= 0,
            "When to stop sending to an origin that is drowning.";
    }
}

settings! {
    /// Active health checks: a GET at an interval.
    Health {
        path: String = "/".to_owned(), Text 1 ..= 2_048,
            "The path asked for.";
        interval: Duration = seconds(10), Time 500 ..= 3_600_000,
            "Time from one check to the next.";
        timeout: Duration = seconds(2), Time 50 ..= 60_000,
            "A whole check, connection included.";
        healthy_after: u32 = 2, Count 1 ..= 100,
            "Checks in a row that must pass before an unhealthy origin is used again.";
        unhealthy_after: u32 = 3, Count 1 ..= 100,
            "Checks in a row that must fail before an origin is left out.";
        expect_status: StatusRange = StatusRange { first: 200, last: 399 }, Text 3 ..= 7,
            "Status codes that pass: `\"200\"` or `\"200-399\"`.";
    }
}

settings! {
    /// What failures of real requests mean.
    Passive {
        failures: u32 = 5, Count 1 ..= 1_000,
            "Connection errors, timeouts, broken responses and 502, 503 or 504 in a row before an origin is left out. A plain 500 says nothing: it may be one bad page.";
        unhealthy_for: Duration = seconds(10), Time 100 ..= 3_600_000,
            "How long it is left out the first time; doubled each further time, up to five minutes or this if longer.";
    }
}

settings! {
    /// Circuit breaking: how much may be on its way, and when waiting is over.
    Breaker {
        concurrency: u32 = 1_024, Count 1 ..= 1_000_000,
            "Requests in flight to one origin; further ones wait. Over HTTP/1.1 `max_connections` bounds them too.";
        queue_time: Duration = seconds(2), Time 10 ..= 60_000,
            "A wait for a free connection longer than this is a bad sign. When half of recent waits are, further requests are answered 503 instead of waiting: a queue that does not drain only adds delay.";
        open_for: Duration = seconds(5), Time 100 ..= 600_000,
            "How long an open breaker refuses before a few requests try again; doubled while they fail, up to sixteen times this.";
    }
}

words! {
    /// HTTP versions spoken to an origin.
    OriginProtocol {
        /// By ALPN over TLS, HTTP/1.1 in cleartext.
        #[default]
        Auto = "auto",
        /// HTTP/1.1 only.
        Http1 = "http1",
        /// HTTP/2 only; by prior knowledge in cleartext.
        H2 = "h2",
    }
}
