//! What must hold beyond each setting's own range. The same rules judge a draft and a form read back from disk.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use crate::fault::{Faults, Step};
use crate::names::{address_or_name, dns_name, host_pattern, is_token, split_port};
use crate::origin::OriginPolicy;
use crate::rate_limit::check_rate_limits;
use crate::server::Server;
use crate::setting::Unit;
use crate::settled::Settled;
use crate::site::{Respond, Site};
use crate::units;
use crate::validate_cache::{check_cache, check_compress};
use crate::value::{Section, quoted};

/// The most sites one edge serves.
pub const SITES: usize = 100_000;

/// Judges everything.
pub(crate) fn validate(settled: &Settled, faults: &mut Faults) {
    faults.within(Step::Key("server"), |faults| {
        settled.server.check_fields(faults);
        check_server(&settled.server, faults);
    });
    faults.within(Step::Key("site"), |faults| {
        check_sites(&settled.sites, faults)
    });
}

fn check_server(server: &Server, faults: &mut Faults) {
    check_listeners(server, faults);
    within(faults, "cdn_id", |faults| {
        let host = || split_port(&server.cdn_id).and_then(|(host, _)| address_or_name(host));
        if !is_token(&server.cdn_id) && host().is_err() {
            let help =
                "RFC 8586 allows one word (letters, digits, -, _, .) or a host name".to_owned();
            faults.refuse(
                format!("{} cannot be a CDN's name", quoted(&server.cdn_id)),
                Some(help),
            );
        }
    });
    within(faults, "user", |faults| {
        if let Some(user) = &server.user
            && (user.starts_with('-')
                || !user
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b)))
        {
            faults.refuse(format!("{} cannot be a user's name", quoted(user)), None);
        }
    });
    within(faults, "tls", |faults| {
        within(faults, "certificate", |faults| {
            for (position, certificate) in server.tls.certificates.iter().enumerate() {
                faults.within(Step::Entry(position), |faults| {
                    check_path(faults, "cert", Some(&certificate.cert));
                    check_path(faults, "key", Some(&certificate.key));
                    check_path(faults, "ocsp", certificate.ocsp.as_ref());
                });
            }
        });
    });
    within(faults, "log", |faults| {
        check_path(faults, "path", server.log.path.as_ref())
    });
    within(faults, "limits", |faults| {
        let limits = &server.limits;
        let size = |bytes: u32| units::show(Unit::Bytes, u64::from(bytes));
        if limits.target_bytes > limits.head_bytes {
            within(faults, "target_bytes", |faults| {
                let what = format!(
                    "a target of {} does not fit in a head of {}",
                    size(limits.target_bytes),
                    size(limits.head_bytes)
                );
                faults.refuse(
                    what,
                    Some("raise `head_bytes` or lower `target_bytes`".to_owned()),
                );
            });
        }
        let heads = limits.head_bytes.saturating_add(limits.response_head_bytes);
        if heads > limits.connection_buffer_bytes {
            within(faults, "connection_buffer_bytes", |faults| {
                let what = format!(
                    "{} cannot hold a request head and a response head",
                    size(limits.connection_buffer_bytes)
                );
                faults.refuse(
                    what,
                    Some(format!(
                        "`head_bytes` and `response_head_bytes` together are {}",
                        size(heads)
                    )),
                );
            });
        }
    });
}

/// A listener, for messages and paths.
struct Listener {
    key: &'static str,
    entry: Option<usize>,
    address: SocketAddr,
}

fn check_listeners(server: &Server, faults: &mut Faults) {
    if server.http.is_empty() && server.https.is_empty() {
        within(faults, "http", |faults| {
            faults.refuse(
                "nothing listens: `http` and `https` are both off",
                Some("give one of them an address".to_owned()),
            );
        });
    }
    let list = |key, addresses: &[SocketAddr]| -> Vec<Listener> {
        let listener = |(entry, address): (usize, &SocketAddr)| Listener {
            key,
            entry: Some(entry),
            address: *address,
        };
        addresses.iter().enumerate().map(listener).collect()
    };
    let single = |key, address: Option<SocketAddr>| {
        address.map(|address| Listener {
            key,
            entry: None,
            address,
        })
    };
    let mut listeners = list("http", &server.http);
    listeners.extend(list("https", &server.https));
    listeners.extend(single("admin", server.admin));
    listeners.extend(single("status", server.status));
    // A list over its maximum is refused already; comparing all of it would be quadratic work for nothing.
    const COMPARED: usize = 256;
    listeners.truncate(COMPARED);
    for (position, listener) in listeners.iter().enumerate() {
        let Some(other) = listeners
            .iter()
            .take(position)
            .find(|other| overlap(listener, other))
        else {
            continue;
        };
        let path_of = |listener: &Listener, faults: &mut Faults| {
            within(faults, listener.key, |faults| match listener.entry {
                Some(entry) => faults.within(Step::Entry(entry), |faults| faults.here()),
                None => faults.here(),
            })
        };
        let first = path_of(other, faults);
        let what = if listener.address == other.address {
            format!(
                "`{}` listens on {}, as `{}` does",
                listener.key, listener.address, other.key
            )
        } else {
            format!(
                "`{}` on {} overlaps `{}` on {}",
                listener.key, listener.address, other.key, other.address
            )
        };
        let refuse = |faults: &mut Faults| {
            faults.refuse_for(
                what,
                Some("give each its own port".to_owned()),
                first,
                "the other one",
            );
        };
        within(faults, listener.key, |faults| match listener.entry {
            Some(entry) => faults.within(Step::Entry(entry), refuse),
            None => refuse(faults),
        });
    }
}

/// Whether two listeners would receive each other's connections. Port 0 is a new port each time.
fn overlap(one: &Listener, other: &Listener) -> bool {
    let (a, b) = (one.address, other.address);
    if a.port() != b.port() || a.port() == 0 {
        return false;
    }
    if a.ip() == b.ip() {
        return true;
    }
    let covers = |wide: IpAddr, narrow: IpAddr| match (wide.is_unspecified(), wide, narrow) {
        (false, ..) => false,
        (true, IpAddr::V4(_), IpAddr::V4(_)) | (true, IpAddr::V6(_), IpAddr::V6(_)) => true,
        // `[::]` takes IPv4 too unless an IPv4 listener of the same kind stands beside it.
        (true, IpAddr::V6(_), IpAddr::V4(_)) => one.key != other.key,
        (true, IpAddr::V4(_), IpAddr::V6(_)) => false,
    };
    covers(a.ip(), b.ip()) || covers(b.ip(), a.ip())
}

fn check_sites(sites: &[Site], faults: &mut Faults) {
    if sites.is_empty() {
        faults.refuse(
            "there is no site: nothing would be served",
            Some("add a [[site]] with `name`, `hosts` and `origins`".to_owned()),
        );
        return;
    }
    if sites.len() > SITES {
        faults.refuse(
            format!(
                "there are at most {SITES} sites; here there are {}",
                sites.len()
            ),
            None,
        );
        return;
    }
    let mut names: HashMap<&str, usize> = HashMap::with_capacity(sites.len());
    let mut hosts: HashMap<&str, (usize, usize)> = HashMap::with_capacity(sites.len());
    let here = faults.here();
    let path = |site: usize, rest: &[Step]| {
        let mut path = here.clone();
        path.push(Step::Entry(site));
        path.extend(rest);
        path
    };
    for (position, site) in sites.iter().enumerate() {
        faults.within(Step::Entry(position), |faults| {
            site.check_fields(faults);
            check_site(site, faults);
            if let Some(first) = names.insert(&site.name, position) {
                within(faults, "name", |faults| {
                    let what = format!("there already is a site named {}", quoted(&site.name));
                    faults.refuse_for(
                        what,
                        None,
                        path(first, &[Step::Key("name")]),
                        "the first one",
                    );
                });
            }
            within(faults, "hosts", |faults| {
                for (entry, host) in site.hosts.iter().enumerate() {
                    if let Some((site, first)) = hosts.insert(host, (position, entry)) {
                        faults.within(Step::Entry(entry), |faults| {
                            let name = sites
                                .get(site)
                                .map(|site| site.name.as_str())
                                .unwrap_or_default();
                            let what = format!(
                                "{} is already a host of site {}",
                                quoted(host),
                                quoted(name)
                            );
                            let help = "each host belongs to one site, once".to_owned();
                            let other = path(site, &[Step::Key("hosts"), Step::Entry(first)]);
                            faults.refuse_for(what, Some(help), other, "the first one");
                        });
                    }
                }
            });
        });
    }
}

fn check_site(site: &Site, faults: &mut Faults) {
    within(faults, "name", |faults| {
        if !site
            .name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        {
            let help = "a site's name has letters, digits, `-`, `_` and `.`".to_owned();
            faults.refuse(
                format!("{} cannot be a site's name", quoted(&site.name)),
                Some(help),
            );
        }
    });
    within(faults, "hosts", |faults| {
        if site.hosts.is_empty() {
            faults.require(
                "hosts",
                Some(
                    "list the names it answers: hosts = [\"news.example\"]; \"*\" is any host"
                        .to_owned(),
                ),
            );
        }
        for (entry, host) in site.hosts.iter().enumerate() {
            faults.within(Step::Entry(entry), |faults| match host_pattern(host) {
                Ok(canonical) if canonical == *host => {}
                Ok(canonical) => faults.refuse(
                    format!("{} is {canonical:?} in canonical form", quoted(host)),
                    None,
                ),
                Err(why) => {
                    faults.refuse(format!("{} cannot be a host: {why}", quoted(host)), None)
                }
            });
        }
    });
    check_source(site, faults);
    within(faults, "upgrade", |faults| {
        for (entry, token) in site.upgrade.iter().enumerate() {
            faults.within(Step::Entry(entry), |faults| check_upgrade(token, faults));
        }
    });
    within(faults, "origin", |faults| {
        check_origin_policy(&site.origin, faults)
    });
    within(faults, "rate_limit", |faults| {
        check_rate_limits(&site.rate_limits, faults)
    });
    within(faults, "cache", |faults| check_cache(&site.cache, faults));
    within(faults, "compress", |faults| {
        check_compress(&site.compress, faults)
    });
    if let Some(respond) = &site.respond {
        within(faults, "respond", |faults| check_respond(respond, faults));
    }
}

/// A site's content comes from exactly one place.
fn check_source(site: &Site, faults: &mut Faults) {
    within(faults, "origins", |faults| {
        match (
            !site.origins.is_empty(),
            site.respond.is_some(),
            site.sample,
        ) {
            (true, false, false) | (false, true, false) | (false, false, true) => {}
            (false, false, false) => {
                faults.require(
                    "origins",
                    Some(
                        "say where content comes from: origins = [\"http://127.0.0.1:3000\"]"
                            .to_owned(),
                    ),
                );
            }
            _ => faults.refuse(
                "a site has either `origins`, or `respond`, or `sample`",
                Some("keep one of them".to_owned()),
            ),
        }
        let mut seen: HashMap<(&str, u16, Option<&str>), usize> = HashMap::new();
        for (entry, origin) in site.origins.iter().enumerate() {
            let key = (
                origin.host.as_str(),
                origin.port,
                origin.socket_path.as_deref(),
            );
            if seen.insert(key, entry).is_some() {
                faults.within(Step::Entry(entry), |faults| {
                    let help =
                        "to send it more, give it a weight: { url = \"…\", weight = 2 }".to_owned();
                    faults.refuse(
                        format!("{} is listed twice", quoted(&origin.url)),
                        Some(help),
                    );
                });
            }
        }
    });
}

fn check_upgrade(token: &str, faults: &mut Faults) {
    if !is_token(token) || token.bytes().any(|byte| byte.is_ascii_uppercase()) {
        let help = "a protocol is one word in lower case, such as \"websocket\"".to_owned();
        faults.refuse(
            format!("{} cannot be a protocol", quoted(token)),
            Some(help),
        );
    } else if matches!(token, "h2c" | "h2" | "http" | "tls") || token.starts_with("tls/") {
        // A client that could make an origin change protocol would speak to it past every check (h2c smuggling).
        let help =
            "HTTP/2 is spoken by ALPN, and in cleartext by prior knowledge (RFC 9113 section 3)"
                .to_owned();
        faults.refuse(format!("{token:?} is never upgraded to"), Some(help));
    }
}

fn check_origin_policy(policy: &OriginPolicy, faults: &mut Faults) {
    within(faults, "tls_sni", |faults| {
        if let Some(name) = &policy.tls_sni {
            match dns_name(name) {
                Ok(canonical) if canonical == *name => {}
                Ok(canonical) => faults.refuse(
                    format!("{} is {canonical:?} in canonical form", quoted(name)),
                    None,
                ),
                Err(why) => faults.refuse(
                    format!("{} cannot be a server's name: {why}", quoted(name)),
                    None,
                ),
            }
        }
    });
    check_path(faults, "tls_ca", policy.tls_ca.as_ref());
    let Some(health) = &policy.health else { return };
    within(faults, "health", |faults| {
        within(faults, "path", |faults| {
            let clean = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
            if !health.path.starts_with('/') || !health.path.bytes().all(clean) {
                let help =
                    "a path begins with / and has no spaces; escape others as %20".to_owned();
                faults.refuse(
                    format!("{} cannot be a path", quoted(&health.path)),
                    Some(help),
                );
            }
        });
        if health.timeout > health.interval {
            within(faults, "timeout", |faults| {
                faults.refuse(
                    "a check may not last longer than the time between checks",
                    Some("lower `timeout` or raise `interval`".to_owned()),
                );
            });
        }
    });
}

fn check_respond(respond: &Respond, faults: &mut Faults) {
    within(faults, "content_type", |faults| {
        // A field value (RFC 9110 section 5.5), narrowed to ASCII.
        let field = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
        if !respond.content_type.bytes().all(field)
            || respond.content_type.trim() != respond.content_type
        {
            faults.refuse(
                format!("{} cannot be a Content-Type", quoted(&respond.content_type)),
                None,
            );
        }
    });
    within(faults, "body", |faults| {
        if matches!(respond.status, 204 | 205 | 304) && !respond.body.is_empty() {
            faults.refuse(
                format!(
                    "a {} response has no content (RFC 9110 section 15)",
                    respond.status
                ),
                None,
            );
        }
    });
}

fn check_path(faults: &mut Faults, key: &'static str, path: Option<&String>) {
    if path.is_some_and(|path| path.chars().any(char::is_control)) {
        within(faults, key, |faults| {
            faults.refuse("a file's path has no control characters", None)
        });
    }
}

pub(crate) fn within<T>(
    faults: &mut Faults,
    key: &'static str,
    walk: impl FnOnce(&mut Faults) -> T,
) -> T {
    faults.within(Step::Key(key), walk)
}
