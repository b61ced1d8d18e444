//! Settled configuration in words: what it will do, and what a change changes.

use std::collections::HashMap;
use std::fmt::Write;
use std::time::Duration;

use crate::explain_cache::{COVERED, explain_cache};
use crate::origin::Health;
use crate::rate_limit::{Counts, LimitAction, RateLimitSettings};
use crate::server::{ClientAddress, LogTarget, Query, Server};
use crate::setting::Unit;
use crate::settled::Settled;
use crate::site::{PathPolicy, Site};
use crate::target::HostPolicy;
use crate::units;
use crate::value::{Rows, Section};

/// The most hosts or origins of one site that are listed.
const LISTED: usize = 8;
/// The most lines of a difference.
const DIFFERENCES: usize = 200;

/// What `settled` does, for the person who wrote it.
pub fn explain(settled: &Settled) -> String {
    let mut page = String::new();
    explain_server(&settled.server, &mut page);
    for site in &settled.sites {
        explain_site(site, &mut page);
    }
    let sites = if settled.sites.len() == 1 {
        "1 site".to_owned()
    } else {
        format!("{} sites", settled.sites.len())
    };
    let _ = write!(page, "\n{sites}, digest {}\n", settled.digest());
    page
}

/// What changes from `old` to `new`, one line each; empty when nothing does.
pub fn diff(old: &Settled, new: &Settled) -> String {
    let mut lines = Vec::new();
    let rows = |server: &Server| rows_of(server, "server.");
    differences(&rows(&old.server), &rows(&new.server), "", &mut lines);
    let before: HashMap<&str, &Site> = old
        .sites
        .iter()
        .map(|site| (site.name.as_str(), site))
        .collect();
    let after: HashMap<&str, &Site> = new
        .sites
        .iter()
        .map(|site| (site.name.as_str(), site))
        .collect();
    for site in old
        .sites
        .iter()
        .filter(|site| !after.contains_key(site.name.as_str()))
    {
        lines.push(format!("- site {}", site.name));
    }
    for site in &new.sites {
        match before.get(site.name.as_str()) {
            None => lines.push(format!("+ site {}: {}", site.name, listed(&site.hosts))),
            Some(old) if **old != *site => {
                differences(
                    &rows_of(*old, ""),
                    &rows_of(site, ""),
                    &format!("site {}: ", site.name),
                    &mut lines,
                );
            }
            Some(_) => {}
        }
    }
    if lines.is_empty() && old != new {
        lines.push("~ the order of sites".to_owned());
    }
    let more = lines.len().saturating_sub(DIFFERENCES);
    lines.truncate(DIFFERENCES);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines
        .iter()
        .fold(String::new(), |page, line| page + line + "\n")
}

fn explain_server(server: &Server, page: &mut String) {
    let _ = writeln!(page, "Listening");
    for address in &server.http {
        let _ = writeln!(page, "  http     {address}");
    }
    for address in &server.https {
        let _ = writeln!(page, "  https    {address}");
    }
    if let Some(address) = server.admin {
        let _ = writeln!(page, "  admin    {address}");
    }
    if !server.https.is_empty() {
        match server.tls.certificates.as_slice() {
            [] => page.push_str("  certificate: self-signed, made and kept in the state folder\n"),
            [only] => {
                let _ = writeln!(page, "  certificate: {}", only.cert);
            }
            [first, others @ ..] => {
                let _ = writeln!(
                    page,
                    "  certificates: {} and {} more, by name; the first when none fits",
                    first.cert,
                    others.len()
                );
            }
        }
    }
    let _ = writeln!(page, "  access log: {}", access_log(server));
    let _ = writeln!(
        page,
        "  cache memory: {}",
        units::show(Unit::Bytes, server.cache_memory)
    );
    let on_disk = match server.disk_cache {
        true => units::show(Unit::Bytes, server.disk_cache_bytes),
        false => "off".to_owned(),
    };
    let _ = writeln!(page, "  cache on disk: {on_disk}");
    let silent = [
        "http",
        "https",
        "admin",
        "tls.certificate",
        "log.",
        "cache_memory",
        "disk_cache",
        "disk_cache_bytes",
    ];
    let unusual = unusual(
        &rows_of(server, ""),
        &rows_of(&Server::default(), ""),
        &silent,
    );
    write_unusual("  ", &unusual, page);
}

fn access_log(server: &Server) -> String {
    let log = &server.log;
    let mut words = match (log.to, &log.path) {
        (LogTarget::Off, _) => return "off".to_owned(),
        (LogTarget::Stdout, _) => "standard output".to_owned(),
        (LogTarget::File, Some(path)) => path.clone(),
        (LogTarget::File, None) => "log/access.ndjson in the state folder".to_owned(),
    };
    if log.client_address == ClientAddress::Truncated {
        words.push_str(", visitors' addresses cut to their network");
    }
    if log.query == Query::Redact {
        words.push_str(", without query strings");
    }
    words
}

fn explain_site(site: &Site, page: &mut String) {
    let hosts: Vec<String> = site
        .hosts
        .iter()
        .map(|host| {
            if host == "*" {
                "any other host".to_owned()
            } else {
                host.clone()
            }
        })
        .collect();
    let _ = writeln!(page, "\nSite {}", site.name);
    let _ = writeln!(page, "  hosts    {}", listed(&hosts));
    if site.sample {
        page.push_str("  content  the built-in sample site\n");
    } else if let Some(respond) = &site.respond {
        let _ = writeln!(
            page,
            "  content  answered here: {} with {} bytes of {}",
            respond.status,
            respond.body.len(),
            respond.content_type
        );
    } else {
        let total: u32 = site
            .origins
            .iter()
            .map(|origin| u32::from(origin.weight))
            .sum();
        let share = |weight: u16| (u32::from(weight) * 100).checked_div(total).unwrap_or(0);
        let several = site.origins.len() > 1;
        let origin = |origin: &crate::Origin| {
            if several {
                format!("{} ({}%)", origin.url, share(origin.weight))
            } else {
                origin.url.clone()
            }
        };
        let origins: Vec<String> = site.origins.iter().map(origin).collect();
        let _ = writeln!(page, "  origins  {}", listed(&origins));
        let host = match &site.origin.host {
            HostPolicy::Preserve => "the client's, as it came".to_owned(),
            HostPolicy::Origin => "the one in the origin's URL".to_owned(),
            HostPolicy::Literal(name) => name.clone(),
        };
        let _ = writeln!(page, "  Host     {host}");
        if site.path == PathPolicy::Normalized {
            page.push_str("  path     in normal form\n");
        }
        explain_cache(&site.cache, &site.compress, page);
        if !site.origin.tls_verify {
            page.push_str("  warning  origins' certificates are not verified: anyone between can read and change everything\n");
        }
    }
    for limit in &site.rate_limits {
        let _ = writeln!(page, "  limit    {}", rate_limit(limit));
    }
    let mut silent = vec![
        "rate_limit",
        "name",
        "hosts",
        "origins",
        "path",
        "sample",
        "respond.",
        "origin.host",
    ];
    silent.extend(COVERED);
    let mut usual = Site::default();
    // Having health checks is worth a line; each of their defaults is not.
    usual.origin.health = site.origin.health.as_ref().map(|_| Health {
        path: String::new(),
        ..Health::default()
    });
    let unusual = unusual(&rows_of(site, ""), &rows_of(&usual, ""), &silent);
    write_unusual("  ", &unusual, page);
}

/// `log-ins: 5 each 1m, 5 at once, by address, for POST /login answered with 401; then 429`
fn rate_limit(limit: &RateLimitSettings) -> String {
    let rate = limit.rate.unwrap_or_default();
    let shown = |time: Duration| {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        units::show(Unit::Time, millis)
    };
    let keys: Vec<String> = limit.key.iter().map(ToString::to_string).collect();
    let mut words = format!(
        "{}: {rate} each {}, {} at once, by {}",
        limit.name,
        shown(limit.per),
        limit.burst.unwrap_or(rate),
        keys.join(" and ")
    );
    let path = limit.path.as_ref().map(|paths| paths.as_str());
    let of: Vec<&str> = limit
        .methods
        .iter()
        .map(String::as_str)
        .chain(path)
        .collect();
    if !of.is_empty() {
        let _ = write!(words, ", for {}", of.join(" "));
    }
    if limit.counts == Counts::Misses {
        words.push_str(", of what the cache does not answer");
    }
    let statuses: Vec<String> = limit.statuses.iter().map(ToString::to_string).collect();
    if !statuses.is_empty() {
        let _ = write!(words, ", answered with {}", statuses.join(", "));
    }
    if let Some(share) = limit.share {
        let _ = write!(words, " beyond {share}% of the answers");
    }
    match limit.action {
        LimitAction::Refuse => words.push_str("; then 429"),
        LimitAction::Close => words.push_str("; then the connection is closed"),
        LimitAction::Delay => {
            let longest = shown(limit.longest_delay);
            let _ = write!(
                words,
                "; then each waits for its turn, at most {longest} and {} at one time",
                limit.waiting
            );
        }
    }
    if let Some(ttl) = limit.ttl {
        let _ = write!(words, ", for {}", shown(ttl));
    }
    if limit.tell {
        words.push_str("; what is left is told");
    }
    words
}

fn rows_of<T: Section>(section: &T, prefix: &str) -> Rows {
    let mut rows = Rows::new();
    section.show_fields(prefix, &mut rows);
    rows
}

/// Settings that differ from their defaults, leaving out those that begin like one of `silent`.
fn unusual(rows: &Rows, defaults: &Rows, silent: &[&str]) -> Rows {
    let defaults: HashMap<&str, &str> = defaults
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    let quiet = |key: &str| {
        silent.iter().any(|silent| {
            key.strip_prefix(silent).is_some_and(|rest| {
                rest.is_empty() || silent.ends_with('.') || rest.starts_with('[')
            })
        })
    };
    rows.iter()
        .filter(|(key, value)| defaults.get(key.as_str()) != Some(&value.as_str()) && !quiet(key))
        .cloned()
        .collect()
}

fn write_unusual(indent: &str, rows: &Rows, page: &mut String) {
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(page, "{indent}not the default:");
    for (key, value) in rows {
        let _ = writeln!(page, "{indent}  {key} = {value}");
    }
}

fn differences(old: &Rows, new: &Rows, prefix: &str, lines: &mut Vec<String>) {
    let before: HashMap<&str, &str> = old
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    let after: HashMap<&str, &str> = new
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    for (key, value) in old
        .iter()
        .filter(|(key, _)| !after.contains_key(key.as_str()))
    {
        lines.push(format!("- {prefix}{key} = {value}"));
    }
    for (key, value) in new {
        match before.get(key.as_str()) {
            None => lines.push(format!("+ {prefix}{key} = {value}")),
            Some(old) if old != value => {
                lines.push(format!("~ {prefix}{key} = {value}, was {old}"))
            }
            Some(_) => {}
        }
    }
}

pub(crate) fn listed(items: &[String]) -> String {
    let shown = items
        .iter()
        .take(LISTED)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    match items.len().saturating_sub(LISTED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
