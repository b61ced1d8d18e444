//! Settings: from what a person wrote to what an edge does.
//!
//! ```text
//! mangrove.toml ── Draft::parse ──► Draft ── settle ──► Settled ── to_json ──► the edge's disk
//!                                     │  lines, columns    │  complete, canonical   │
//!                                     ▼                    ▼                        ▼
//!                                  Problems           explain, diff         Settled::from_json
//! ```
//!
//! A [`Draft`] is one file with its lines and columns. Settling it gives a [`Settled`] with every default filled in, or
//! [`Problems`]: all of them at once, each with its line and what to do. What the edge stored is judged by the same rules
//! when it is read back. Nothing here touches a file, a socket or a clock.
//!
//! Each setting is declared once, where its type is (`server.rs`, `limits.rs`, `site.rs`, `origin.rs`, `cache.rs`), with unit,
//! default, range and reason. From that row come the field, its parsing, its check, its line in the reference pages
//! ([`reference_markdown`], [`limits_markdown`]) and the suggestion for a mistyped key. Rules that span settings are in
//! `validate.rs` and `validate_cache.rs`.
//!
//! ```
//! use mangrove_config::{Defaults, Draft};
//!
//! let text = r#"
//!     [[site]]
//!     name    = "news"
//!     hosts   = ["news.example", "*.news.example"]
//!     origins = ["http://127.0.0.1:3000"]
//! "#;
//! let settled = Draft::parse("mangrove.toml", text)?.settle(&Defaults::default())?.settled;
//! assert_eq!(settled.sites[0].hosts[1], "*.news.example");
//! assert!(settled.server.http[0].ip().is_loopback());
//! # Ok::<(), mangrove_config::Problems>(())
//! ```

mod cache;
mod draft;
mod explain;
mod explain_cache;
mod fault;
mod limits;
mod names;
mod notices;
mod origin;
mod pattern;
mod problem;
mod rate_limit;
mod reference;
mod scalar;
mod server;
mod setting;
mod settled;
mod site;
mod target;
mod units;
mod validate;
mod validate_cache;
mod value;
mod wire;

pub use cache::{
    BypassSettings, CacheSettings, CompressSettings, DeviceKey, LifetimeSettings, NegativeSettings,
    QueryKey, StaleSettings, TargetedField, WordKey,
};
pub use draft::{Defaults, Draft, FILE_BYTES, Notice, Settlement};
pub use explain::{diff, explain};
pub use fault::PROBLEMS;
pub use limits::Limits;
pub use mangrove_shield::network::Network;
pub use names::{LABEL_BYTES, NAME_BYTES};
pub use origin::{Breaker, Health, OriginPolicy, OriginProtocol, Passive};
pub use pattern::{
    CookieName, CookiePattern, FIELD_NAME_BYTES, FIELD_WORD_BYTES, FieldName, FieldWord,
    LANGUAGE_BYTES, LanguageTag, MediaTypes, ParameterPattern, Paths,
};
pub use problem::{Excerpt, Problem, Problems};
pub use rate_limit::{Counts, LimitAction, LimitKey, PATH_PARTS, RateLimitSettings};
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
