//! The tables of settings, gathered: for the reference pages, and for telling someone where a key belongs.

use std::collections::HashMap;
use std::fmt::Write;

use mangrove_http::accept::ACCEPT_ELEMENTS;
use mangrove_http::cdn_loop::CDN_LOOP_ELEMENTS;
use mangrove_http::proxy_protocol::{V1_BYTES, V2_BYTES};
use mangrove_http::{
    CHUNK_EXTENSION_BYTES, CHUNK_EXTENSIONS_TOTAL, FORWARDED_ELEMENTS, HOST_BYTES, METHOD_BYTES,
    TRAILER_BYTES, TRAILER_FIELDS,
};

use crate::cache::{
    BypassSettings, CacheSettings, CompressSettings, DeviceKey, LifetimeSettings, NegativeSettings,
    QueryKey, StaleSettings, WordKey,
};
use crate::draft::FILE_BYTES;
use crate::fault::PROBLEMS;
use crate::limits::Limits;
use crate::names::{LABEL_BYTES, NAME_BYTES};
use crate::origin::{Breaker, Health, OriginPolicy, OriginProtocol, Passive};
use crate::rate_limit::{Counts, LimitAction, RateLimitSettings};
use crate::server::{
    AccessLog, Certificate, ClientAddress, LogTarget, Query, Server, Tls, TlsVersion,
};
use crate::setting::{Setting, Unit};
use crate::settled::SETTLED_BYTES;
use crate::site::{PathPolicy, Respond, Site};
use crate::target::{ORIGIN_URL_BYTES, SOCKET_PATH_BYTES};
use crate::units;
use crate::validate::SITES;
use crate::value::{Rows, Section};

/// A table of settings as it stands in a file.
pub struct Table {
    /// As written: `[server.limits]`.
    pub header: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// Its settings, in the order of the page.
    pub settings: &'static [Setting],
    defaults: fn() -> Rows,
}

fn defaults_of<T: Section>() -> Rows {
    let mut rows = Rows::new();
    T::default().show_fields("", &mut rows);
    rows
}

fn server_defaults() -> Rows {
    let mut rows = Rows::new();
    Server::on_loopback().show_fields("", &mut rows);
    rows
}

/// Where everything is kept: needed before anything is settled, and so no part of the settled form.
pub(crate) const STATE: Setting = Setting {
    key: "state",
    unit: Unit::Text,
    minimum: 1,
    maximum: 4_096,
    why: "The folder that everything is kept in: settled configuration, certificates made here, tokens, logs, sockets.",
};

const fn table(key: &'static str, why: &'static str) -> Setting {
    Setting {
        key,
        unit: Unit::Table,
        minimum: 0,
        maximum: 0,
        why,
    }
}

/// One `[[site]]`.
pub(crate) const SITE: Setting = table("site", "One tenant: hosts and policy.");

/// What stands at the top of a file.
pub(crate) const ROOT: &[Setting] = &[table("server", "What belongs to the machine."), SITE];

/// An entry of `origins` written as a table.
pub(crate) const ORIGIN_ENTRY: &[Setting; 2] = &[
    Setting {
        key: "url",
        unit: Unit::Text,
        minimum: 1,
        maximum: 2_048,
        why: "Its address.",
    },
    Setting {
        key: "weight",
        unit: Unit::Count,
        minimum: 1,
        maximum: 1_000,
        why: "Its share of requests beside the others' weights.",
    },
];

/// Every table of settings, in the order of the reference page.
pub const TABLES: &[Table] = &[
    Table {
        header: "[server]",
        about: "What belongs to the machine rather than to one site.",
        settings: Server::SETTINGS,
        defaults: server_defaults,
    },
    Table {
        header: "[server.tls]",
        about: "What TLS listeners offer.",
        settings: Tls::SETTINGS,
        defaults: defaults_of::<Tls>,
    },
    Table {
        header: "[[server.tls.certificate]]",
        about: "One certificate chain and its key, as files.",
        settings: Certificate::SETTINGS,
        defaults: defaults_of::<Certificate>,
    },
    Table {
        header: "[server.log]",
        about: "The access log: one JSON object per request, one line each.",
        settings: AccessLog::SETTINGS,
        defaults: defaults_of::<AccessLog>,
    },
    Table {
        header: "[server.limits]",
        about: "Deadlines and ceilings of every connection.",
        settings: Limits::SETTINGS,
        defaults: defaults_of::<Limits>,
    },
    Table {
        header: "[[site]]",
        about: "One tenant: which hosts are theirs, and where their content comes from.",
        settings: Site::SETTINGS,
        defaults: defaults_of::<Site>,
    },
    Table {
        header: "[site.respond]",
        about: "An answer made at the edge, with no origin behind it.",
        settings: Respond::SETTINGS,
        defaults: defaults_of::<Respond>,
    },
    Table {
        header: "[site.cache]",
        about: "What is kept of a site's responses, and for how long. By default as RFC 9111 has it; `docs/caching.md` says what that means.",
        settings: CacheSettings::SETTINGS,
        defaults: defaults_of::<CacheSettings>,
    },
    Table {
        header: "[[site.cache.key_words]]",
        about: "A request field of which only certain words tell one object from another.",
        settings: WordKey::SETTINGS,
        defaults: defaults_of::<WordKey>,
    },
    Table {
        header: "[site.cache.bypass]",
        about: "Requests that are neither answered from the cache nor fill it: those of which any of these is true.",
        settings: BypassSettings::SETTINGS,
        defaults: defaults_of::<BypassSettings>,
    },
    Table {
        header: "[[site.cache.lifetime]]",
        about: "How long certain responses are fresh. Those with `override` count before what the origin says, the others where it says nothing; of each kind the first that fits.",
        settings: LifetimeSettings::SETTINGS,
        defaults: defaults_of::<LifetimeSettings>,
    },
    Table {
        header: "[[site.cache.negative]]",
        about: "How long certain errors are kept, where neither the origin nor a `lifetime` says so. The first that fits counts.",
        settings: NegativeSettings::SETTINGS,
        defaults: defaults_of::<NegativeSettings>,
    },
    Table {
        header: "[site.cache.stale]",
        about: "For how long what is stale may still be served (RFC 5861). What the origin forbids to serve stale never is.",
        settings: StaleSettings::SETTINGS,
        defaults: defaults_of::<StaleSettings>,
    },
    Table {
        header: "[site.compress]",
        about: "What is compressed at the edge, and how hard.",
        settings: CompressSettings::SETTINGS,
        defaults: defaults_of::<CompressSettings>,
    },
    Table {
        header: "[[site.rate_limit]]",
        about: "How much of a site one client may ask for. Once it is spent, requests are answered with 429 and RateLimit, RateLimit-Policy and Retry-After.",
        settings: RateLimitSettings::SETTINGS,
        defaults: defaults_of::<RateLimitSettings>,
    },
    Table {
        header: "[site.origin]",
        about: "How the origins of a site are spoken to.",
        settings: OriginPolicy::SETTINGS,
        defaults: defaults_of::<OriginPolicy>,
    },
    Table {
        header: "[site.origin.health]",
        about: "Active health checks: a GET at an interval.",
        settings: Health::SETTINGS,
        defaults: defaults_of::<Health>,
    },
    Table {
        header: "[site.origin.passive]",
        about: "What failures of real requests mean.",
        settings: Passive::SETTINGS,
        defaults: defaults_of::<Passive>,
    },
    Table {
        header: "[site.origin.breaker]",
        about: "Circuit breaking: how much may be on its way, and when waiting is over.",
        settings: Breaker::SETTINGS,
        defaults: defaults_of::<Breaker>,
    },
];

/// Choices by table and key, for the reference page.
const CHOICES: &[(&str, &str, &[&str])] = &[
    ("[server.tls]", "min_version", TlsVersion::WORDS),
    ("[server.log]", "to", LogTarget::WORDS),
    ("[server.log]", "client_address", ClientAddress::WORDS),
    ("[server.log]", "query", Query::WORDS),
    ("[[site]]", "path", PathPolicy::WORDS),
    ("[site.cache]", "query", QueryKey::WORDS),
    ("[site.cache]", "key_device", DeviceKey::WORDS),
    ("[[site.rate_limit]]", "counts", Counts::WORDS),
    ("[[site.rate_limit]]", "action", LimitAction::WORDS),
    ("[site.origin]", "protocol", OriginProtocol::WORDS),
];

/// The header of the first table that has `key`.
pub(crate) fn home_of(key: &str) -> Option<&'static str> {
    let table = TABLES
        .iter()
        .find(|table| table.settings.iter().any(|setting| setting.key == key));
    table
        .map(|table| table.header)
        .or((key == STATE.key).then_some("[server]"))
}

/// `docs/configuration.md`: every setting.
pub fn reference_markdown() -> String {
    let mut page = String::from(INTRODUCTION);
    for table in TABLES {
        let defaults: HashMap<String, String> = (table.defaults)().into_iter().collect();
        let _ = write!(
            page,
            "\n## `{}`\n\n{}\n\n| key | value | default | what it does |\n|---|---|---|---|\n",
            table.header, table.about
        );
        let state = (table.header == "[server]").then_some(&STATE);
        for setting in table.settings.iter().chain(state) {
            let default = default_of(table.header, setting, &defaults);
            let _ = writeln!(
                page,
                "| `{}` | {} | {} | {} |",
                setting.key,
                values_of(table.header, setting),
                default,
                setting.why
            );
        }
        if table.header == "[[site]]" {
            page.push_str("\nAn entry of `origins` may be a table:\n\n| key | value | what it does |\n|---|---|---|\n");
            for setting in ORIGIN_ENTRY {
                let _ = writeln!(
                    page,
                    "| `{}` | {} | {} |",
                    setting.key,
                    values_of(table.header, setting),
                    setting.why
                );
            }
        }
    }
    page
}

/// `docs/limits.md`: everything that has an end, and where it is.
pub fn limits_markdown() -> String {
    let mut page = String::from(LIMITS_INTRODUCTION);
    for table in TABLES {
        let bounded = |setting: &&Setting| {
            matches!(
                setting.unit,
                Unit::Time | Unit::Bytes | Unit::Rate | Unit::Count | Unit::Percent
            )
        };
        if !table.settings.iter().any(|setting| bounded(&setting)) {
            continue;
        }
        let defaults: HashMap<String, String> = (table.defaults)().into_iter().collect();
        let _ = write!(
            page,
            "\n## `{}`\n\n| key | default | smallest | largest | reason |\n|---|---|---|---|---|\n",
            table.header
        );
        for setting in table.settings.iter().filter(bounded) {
            let show = |magnitude| units::show(setting.unit, magnitude);
            let default = default_of(table.header, setting, &defaults);
            let (smallest, largest) = (show(setting.minimum), show(setting.maximum));
            let _ = writeln!(
                page,
                "| `{}` | {default} | {smallest} | {largest} | {} |",
                setting.key, setting.why
            );
        }
    }
    page.push_str("\n## Fixed\n\n| what | at most |\n|---|---|\n");
    for (what, ceiling) in FIXED {
        let _ = writeln!(page, "| {what} | {ceiling} |");
    }
    page
}

/// Ceilings that no setting moves.
const FIXED: &[(&str, usize)] = &[
    ("bytes of a configuration file", FILE_BYTES),
    ("bytes of the settled form", SETTLED_BYTES),
    ("sites", SITES),
    ("bytes of a host name (RFC 1035)", NAME_BYTES),
    (
        "bytes between two dots of a host name (RFC 1035)",
        LABEL_BYTES,
    ),
    ("bytes of an origin's URL", ORIGIN_URL_BYTES),
    ("bytes of a Unix socket's path", SOCKET_PATH_BYTES),
    ("problems reported about one file", PROBLEMS),
    ("bytes of a method", METHOD_BYTES),
    (
        "bytes of a host name in a request, a final dot included",
        HOST_BYTES,
    ),
    (
        "bytes of one chunk's extensions (RFC 9112 section 7.1.1)",
        CHUNK_EXTENSION_BYTES as usize,
    ),
    (
        "bytes of all chunk extensions of one body",
        CHUNK_EXTENSIONS_TOTAL as usize,
    ),
    ("bytes of a trailer section", TRAILER_BYTES),
    ("fields of a trailer section", TRAILER_FIELDS),
    ("bytes of a PROXY header, version 1", V1_BYTES),
    ("bytes of a PROXY header, version 2", V2_BYTES),
    (
        "proxies of X-Forwarded-For and Forwarded looked at, nearest first",
        FORWARDED_ELEMENTS,
    ),
    (
        "networks a request may have passed (CDN-Loop, RFC 8586)",
        CDN_LOOP_ELEMENTS,
    ),
    (
        "entries of Accept and Accept-Language looked at",
        ACCEPT_ELEMENTS,
    ),
];

const INTRODUCTION: &str = "\
# Configuration

Generated from the table of settings; change it there.

A file is TOML. Every setting has a default except a site's `name` and `hosts`, and where its content comes from. A key
that does not exist is an error, and so is an empty list. Durations are written `\"500ms\"`, `\"10s\"`, `\"2m\"`, `\"1h\"`;
sizes as a number of bytes or `\"32KiB\"`, `\"1MiB\"`, `\"10GiB\"`. `mangrove check FILE` says what a file means.

```toml
[server]
http  = [\"[::]:8080\"]
https = [\"[::]:8443\"]

[[site]]
name    = \"news\"
hosts   = [\"news.example\", \"*.news.example\"]
origins = [\"http://127.0.0.1:3000\"]
```
";

const LIMITS_INTRODUCTION: &str = "\
# Limits

Generated from the table of settings; change it there.

Everything a client, an origin or a file can hold or cost has an end. Those with a key can be moved between the smallest
and the largest value; those under *Fixed* cannot.
";

fn default_of(header: &str, setting: &Setting, defaults: &HashMap<String, String>) -> String {
    match defaults.get(setting.key).map(String::as_str) {
        Some("\"\"") if setting.minimum > 0 => "must be given".to_owned(),
        Some(default) => format!("`{default}`"),
        None if setting.unit == Unit::Table => String::new(),
        None => match (header, setting.key) {
            ("[[site]]", "hosts")
            | ("[[site.rate_limit]]", "rate")
            | ("[[site.cache.key_words]]", _)
            | ("[[site.cache.lifetime]]", "path" | "ttl")
            | ("[[site.cache.negative]]", _) => "must be given".to_owned(),
            (_, "state") => "`\"./mangrove-state\"`".to_owned(),
            _ => "unset".to_owned(),
        },
    }
}

fn values_of(header: &str, setting: &Setting) -> String {
    let show = |magnitude| units::show(setting.unit, magnitude);
    match setting.unit {
        Unit::Time | Unit::Bytes | Unit::Rate | Unit::Count | Unit::Percent => {
            format!("{} to {}", show(setting.minimum), show(setting.maximum))
        }
        Unit::Text => format!("text, at most {} bytes", setting.maximum),
        Unit::List => format!("list, at most {} entries", setting.maximum),
        Unit::Address => "an address and port".to_owned(),
        Unit::Flag => "`true` or `false`".to_owned(),
        Unit::Table => "table".to_owned(),
        Unit::Choice => {
            let words = CHOICES
                .iter()
                .find(|(table, key, _)| (*table, *key) == (header, setting.key))
                .map_or(&[][..], |(.., words)| words);
            words
                .iter()
                .map(|word| format!("`\"{word}\"`"))
                .collect::<Vec<_>>()
                .join(", ")
        }
    }
}
