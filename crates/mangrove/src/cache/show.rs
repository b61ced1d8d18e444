//! `mangrove cache show`: what is kept of one URL, explained.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use serde::Deserialize;

use super::paragraph::{self, wrapped};
use super::pretty;
use crate::look::Look;
use crate::running;
use crate::terminal::{self, bytes, counted, shown, span};

/// `GET /cache/show`, as in the edge's answer.
#[derive(Debug, Deserialize)]
struct Shown {
    site: String,
    url: Option<String>,
    cached: bool,
    kept: Vec<Variant>,
    left_out: u64,
    fills: Vec<Fill>,
    plain_get: Option<Outcome>,
    elsewhere: Option<String>,
    /// None without a disk tier.
    #[serde(default)]
    disk: Option<Disk>,
}

/// What is known of the disk.
#[derive(Debug, Deserialize)]
struct Disk {
    all_known: bool,
    why: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Variant {
    url: String,
    status: u16,
    bytes: u64,
    complete: bool,
    in_memory: String,
    on_disk: Option<OnDisk>,
    part: Option<Part>,
    codings: Vec<Coded>,
    age: u64,
    ttl: i64,
    lifetime: Lifetime,
    policy_field: String,
    no_cache: bool,
    must_revalidate: bool,
    invalidated: bool,
    stale_while_revalidate: u64,
    stale_if_error: u64,
    stale_origin_down: u64,
    etag: Option<String>,
    last_modified: Option<String>,
    for_requests: Vec<Likeness>,
    now: Outcome,
    fields: Vec<(String, String)>,
}

/// How an answer lies on the disk.
#[derive(Debug, Deserialize)]
struct OnDisk {
    complete: bool,
    pieces: u64,
    /// So many were all of it.
    all_pieces: u64,
    /// What is there answers, and the rest is asked for.
    #[serde(default)]
    in_parts: bool,
    log: String,
    asked: u64,
}

/// The bytes that are kept, where not all are; the first has the number 0.
#[derive(Debug, Deserialize)]
struct Part {
    first: u64,
    last: u64,
    total: Option<u64>,
}

/// The content in a coding.
#[derive(Debug, Deserialize)]
struct Coded {
    coding: String,
    bytes: u64,
}

#[derive(Debug, Deserialize)]
struct Lifetime {
    seconds: u64,
    from: String,
    explain: String,
    source: String,
}

/// In what the requests that get a variant are alike.
#[derive(Debug, Deserialize)]
struct Likeness {
    by: String,
    name: String,
    value: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Outcome {
    action: String,
    reason: String,
    explain: String,
    source: String,
}

#[derive(Debug, Deserialize)]
struct Fill {
    answered: bool,
    bytes: u64,
    followers: u64,
    wanted: bool,
}

/// Explains what is kept of a URL.
pub(crate) fn show(state: &Path, url: &str, site: Option<&str>, json: bool) -> Result<ExitCode> {
    let mut line = format!("GET /cache/show?url={}", running::encoded(url));
    if let Some(site) = site {
        let _ = write!(line, "&site={}", running::encoded(site));
    }
    let answer = running::ask_in_charge(state, &line)?;
    if json {
        return pretty(&running::understood(&answer)?);
    }
    let columns = paragraph::columns(Look::of_output());
    terminal::say(explained(url, &running::understood(&answer)?, columns));
    Ok(ExitCode::SUCCESS)
}

fn explained(asked: &str, shown: &Shown, columns: usize) -> String {
    let url = terminal::shown(shown.url.as_deref().unwrap_or(asked));
    let site = &shown.site;
    let kept = (shown.kept.len() as u64).saturating_add(shown.left_out);
    let mut text = match kept {
        0 => format!("Nothing is kept of {url} (site {site}).\n"),
        1 => format!("One answer is kept of {url} (site {site}).\n"),
        _ => format!("{kept} answers are kept of {url} (site {site}), for different requests.\n"),
    };
    let mut paragraph = |name: &str, what: &str| {
        let _ = writeln!(text, "  {name:8} {}", wrapped(what, columns));
    };
    let Some(plain) = &shown.plain_get else {
        paragraph(
            "why",
            "the answers of this site are made at the edge, and never kept",
        );
        return text;
    };
    if !shown.cached {
        paragraph(
            "why",
            "the site's settings turn its cache off (`enabled` in [site.cache])",
        );
    } else if kept == 0 {
        paragraph("now", &nothing_kept(plain));
    }
    for fill in &shown.fills {
        paragraph("coming", &coming(fill));
    }
    if let Some(lacks) = shown.disk.as_ref().and_then(lacking) {
        paragraph("besides", &lacks);
    }
    if let (0, Some(other)) = (kept, &shown.elsewhere) {
        let other = terminal::shown(other);
        paragraph(
            "but",
            &format!("something is kept of {other}: http and https are two URLs to a cache"),
        );
    }
    for (at, variant) in shown.kept.iter().enumerate() {
        text.push('\n');
        text.push_str(&one((at + 1, kept), &url, variant, columns));
    }
    if shown.left_out > 0 {
        let _ = writeln!(text, "\n… and {} more", shown.left_out);
    }
    if kept == 0 && shown.cached {
        text.push_str(
            "\nAn answer that was not kept says why in its Cache-Status field and in the access log (cache.not_stored).\n",
        );
    }
    text
}

fn nothing_kept(plain: &Outcome) -> String {
    let because = because(plain);
    match plain.action.as_str() {
        "refuse" => format!("a plain GET is refused. {because}"),
        _ => format!("a plain GET goes to the origin. {because}"),
    }
}

/// The reason of a decision, to be looked up.
fn because(outcome: &Outcome) -> String {
    let Outcome {
        reason,
        explain,
        source,
        ..
    } = outcome;
    shown(&format!("{explain} ({reason}; {source})"))
}

fn coming(fill: &Fill) -> String {
    let followers = counted(fill.followers, "request", "requests");
    let so_far = match fill.answered {
        false => format!("the origin is being asked; besides, {followers} wait for its answer"),
        true => format!(
            "an answer is arriving, {} so far, read by {followers}",
            bytes(fill.bytes)
        ),
    };
    match fill.wanted {
        true if fill.answered => format!("{so_far}; it is kept when all of it is there"),
        true => format!("{so_far}; it is kept if it may be"),
        false => format!("{so_far}; it is not kept: it was purged, or is too large"),
    }
}

/// `number` of so many.
fn one((number, of): (usize, u64), url: &str, variant: &Variant, columns: usize) -> String {
    let mut text = String::new();
    let status = variant.status;
    let content = shown(&content(variant));
    let _ = match of {
        1 => writeln!(text, "  {:8} {status}, {content}", "what"),
        _ => writeln!(text, "  {number}. {status}, {content}"),
    };
    let mut paragraph = |name: &str, what: &str| {
        let _ = writeln!(text, "  {name:8} {}", wrapped(&shown(what), columns));
    };
    if variant.url != url {
        paragraph("as", &format!("{}, as it was asked for", variant.url));
    }
    paragraph("where", &whereabouts(variant));
    paragraph("for", &who_gets(&variant.for_requests));
    paragraph("why", &why_kept(variant));
    // What has lost some of its content answers nobody; a part that came as one does.
    if variant.complete || variant.part.is_some() {
        paragraph("now", &now(variant));
        paragraph("then", &then(variant));
        paragraph("failing", &failing(variant));
    }
    for (at, (name, value)) in variant.fields.iter().enumerate() {
        let label = if at == 0 { "fields" } else { "" };
        let line = shown(&format!("{name}: {value}")); // as it is, to be copied
        let _ = writeln!(text, "  {label:8} {line}");
    }
    text
}

fn content(variant: &Variant) -> String {
    let mut text = format!("{} of content", bytes(variant.bytes));
    if let Some(Part { first, last, total }) = &variant.part {
        let total = total.map_or("a number not known".to_owned(), |total| total.to_string());
        let _ = write!(text, ": bytes {first} to {last} of {total}");
    }
    for (at, coded) in variant.codings.iter().enumerate() {
        let also = if at == 0 { "; also in" } else { "," };
        let _ = write!(text, "{also} {} ({})", coded.coding, bytes(coded.bytes));
    }
    text
}

/// What the disk may have beyond what is told.
fn lacking(disk: &Disk) -> Option<String> {
    match (&disk.why, disk.all_known) {
        (Some(why), _) => Some(format!(
            "what the disk has could not be looked at: {}",
            shown(why)
        )),
        (None, false) => Some(
            "what an earlier edge left on the disk is still being looked through: more may be found there"
                .to_owned(),
        ),
        (None, true) => None,
    }
}

fn whereabouts(variant: &Variant) -> String {
    let Some(disk) = &variant.on_disk else {
        return match variant.in_memory.as_str() {
            "head" => {
                "in memory is its head, and its content has left the disk: it comes from the origin again"
            }
            _ => "in memory alone: it does not outlive the edge",
        }
        .to_owned();
    };
    if disk.in_parts && variant.in_memory != "all" {
        let (there, all) = (disk.pieces, disk.all_pieces);
        return format!(
            "on the disk, {there} of {all} pieces of its content: they answer, and the origin is asked for those that are missing"
        );
    }
    if !disk.complete && variant.in_memory != "all" {
        let there = counted(disk.pieces, "piece", "pieces");
        return format!(
            "on the disk, {there} of its content and not all: it answers nobody, and comes from the origin again"
        );
    }
    let tiers = match variant.in_memory.as_str() {
        "all" => "in memory and on the disk",
        "head" => "on the disk, where each visitor's content is read; in memory is its head",
        _ => "on the disk alone; from there it comes when it is asked for",
    };
    let stays = match (disk.log.as_str(), disk.asked) {
        ("main", _) => "there it stays longer than others, for it was asked for again",
        (_, 0) => "there it leaves in its turn, unless it is asked for",
        _ => "there it stays longer than others when its turn comes, for it was asked for",
    };
    format!("{tiers}; {stays}")
}

fn who_gets(alike: &[Likeness]) -> String {
    if alike.is_empty() {
        return "every request of this URL".into();
    }
    let each = alike.iter().map(|one| {
        let (name, value) = (&one.name, &one.value);
        match (one.by.as_str(), value) {
            ("device", Some(value)) => format!("from a {value}"),
            ("language", Some(value)) => format!("in the language {value}"),
            ("cookie", Some(value)) => format!("with the cookie {name}={value}"),
            ("cookie", None) => format!("without the cookie {name}"),
            ("words", Some(value)) => {
                format!("whose {name} has words {value} (1: has it, in the order of key_words)")
            }
            (_, Some(value)) if value.is_empty() && name == "accept-encoding" => {
                "that take no compressed content".into()
            }
            (_, Some(value)) => format!("with {name}: {value}"),
            (_, None) => format!("without {name}"),
        }
    });
    let each: Vec<String> = each.collect();
    format!("requests {}", each.join(" and "))
}

fn why_kept(variant: &Variant) -> String {
    let Lifetime {
        seconds,
        from,
        explain,
        source,
    } = &variant.lifetime;
    let fresh_for = match seconds {
        0 => "it is stale from the start, and kept to be asked about".to_owned(),
        _ => format!("it is fresh for {} from when it was made", span(*seconds)),
    };
    let field = match from.as_str() {
        "s-maxage" | "max-age" => format!("{}; ", variant.policy_field),
        _ => String::new(),
    };
    format!("{fresh_for}. {explain} ({field}{source})")
}

fn now(variant: &Variant) -> String {
    let age = span(variant.age);
    let because = because(&variant.now);
    let state = match u64::try_from(variant.ttl) {
        Ok(left) if left > 0 => format!("it is {age} old and fresh for another {}", span(left)),
        _ => format!(
            "it is {age} old and stale since {}",
            span(variant.ttl.unsigned_abs())
        ),
    };
    let comes = match variant.now.action.as_str() {
        "serve" => {
            return format!("{state}: a visitor gets it at once, and the origin is not asked");
        }
        "serve-stale-and-ask" => {
            "a visitor gets it at once, and the origin is asked about it meanwhile"
        }
        "serve-stale" => "a visitor gets it at once",
        "ask" => "a visitor waits while the origin is asked whether it has changed",
        "refuse" => "a visitor is refused",
        _ => "a visitor waits while the origin is asked for all of it",
    };
    format!("{state}: {comes}. {because}")
}

/// What comes when it is stale.
fn then(variant: &Variant) -> String {
    let validator = match (&variant.etag, &variant.last_modified) {
        (Some(tag), _) => Some(format!("ETag {tag}")),
        (None, Some(date)) => Some(format!("Last-Modified {date}")),
        (None, None) => None,
    };
    let asked = match validator {
        Some(validator) => format!("the origin is asked whether it has changed ({validator})"),
        None => "the origin is asked for all of it: nothing in it could be asked about".to_owned(),
    };
    match variant.stale_while_revalidate {
        0 => format!("once it is stale, a visitor waits while {asked}"),
        seconds => format!(
            "for {} after it is stale a visitor still gets it at once, while {asked}; after that, visitors wait",
            span(seconds)
        ),
    }
}

/// What comes when the origin fails.
fn failing(variant: &Variant) -> String {
    let never = match () {
        () if variant.invalidated => Some("a change made it invalid until the origin confirms it"),
        () if variant.no_cache => Some("the origin said no-cache"),
        () if variant.must_revalidate && variant.stale_if_error == 0 => {
            Some("the origin said must-revalidate, or s-maxage, which implies it")
        }
        () => None,
    };
    if let Some(why) = never {
        return format!("it is never served stale, whatever happens: {why}");
    }
    let (error, down) = (variant.stale_if_error, variant.stale_origin_down);
    match (error, down) {
        (0, 0) => "it is not served stale when the origin fails".into(),
        (error, down) if error == down => format!(
            "should the origin fail, or not be reached, it is served stale for {}",
            span(error)
        ),
        (error, down) => format!(
            "it is served stale for {} should the origin fail, and for {} while no origin can be reached",
            span(error),
            span(down)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::paragraph::COLUMNS;
    use super::*;
    use serde_json::{Value, json};

    fn variant(changes: Value) -> Value {
        let mut variant = json!({
            "url": "http://a/", "status": 200, "bytes": 5, "part": null, "complete": true, "in_memory": "all", "on_disk": null, "codings": [], "age": 12, "ttl": 48,
            "lifetime": {
                "seconds": 60, "from": "max-age", "explain": "The origin's `max-age`.", "source": "RFC 9111 section 5.2.2.1",
            },
            "policy_field": "Cache-Control", "no_cache": false, "must_revalidate": false, "invalidated": false,
            "stale_while_revalidate": 30, "stale_if_error": 86400, "stale_origin_down": 86400,
            "etag": "\"x\"", "last_modified": null, "for_requests": [],
            "now": { "action": "serve", "reason": "fresh", "explain": "It is fresh.", "source": "RFC" },
            "fields": [["ETag", "\"x\""]],
        });
        for (name, value) in changes.as_object().unwrap() {
            variant[name] = value.clone();
        }
        variant
    }

    fn told(changes: Value) -> String {
        let mut shown = json!({
            "site": "news", "url": "http://a/", "cached": true, "kept": [], "left_out": 0, "fills": [],
            "plain_get": { "action": "fetch", "reason": "miss", "explain": "Nothing is stored.", "source": "RFC" },
            "elsewhere": null,
        });
        for (name, value) in changes.as_object().unwrap() {
            shown[name] = value.clone();
        }
        explained(
            "http://a/",
            &serde_json::from_value(shown).unwrap(),
            COLUMNS,
        )
    }

    fn of(changes: Value) -> String {
        told(json!({ "kept": [variant(changes)] }))
    }

    fn unwrapped(text: &str) -> String {
        text.replace("\n           ", " ")
    }

    #[test]
    fn what_is_kept_is_explained_in_sentences() {
        assert_eq!(
            of(json!({})),
            "One answer is kept of http://a/ (site news).\n\n  \
             what     200, 5 B of content\n  \
             where    in memory alone: it does not outlive the edge\n  \
             for      every request of this URL\n  \
             why      it is fresh for 1 min from when it was made. The origin's `max-age`. (Cache-Control; RFC\n           \
             9111 section 5.2.2.1)\n  \
             now      it is 12 s old and fresh for another 48 s: a visitor gets it at once, and the origin is\n           \
             not asked\n  \
             then     for 30 s after it is stale a visitor still gets it at once, while the origin is asked\n           \
             whether it has changed (ETag \"x\"); after that, visitors wait\n  \
             failing  should the origin fail, or not be reached, it is served stale for 1 d\n  \
             fields   ETag: \"x\"\n"
        );
    }

    fn disk(log: &str, asked: u64, complete: bool) -> Value {
        json!({ "complete": complete, "pieces": 3, "all_pieces": 9, "log": log, "asked": asked })
    }

    #[test]
    fn each_case_has_its_own_sentence() {
        let ask = json!({ "action": "ask", "reason": "stale", "explain": "No longer fresh.", "source": "RFC" });
        for (changes, says) in [
            (
                json!({ "part": { "first": 5, "last": 9, "total": 20 } }),
                "5 B of content: bytes 5 to 9 of 20",
            ),
            (
                json!({ "codings": [{ "coding": "zstd", "bytes": 3 }, { "coding": "br", "bytes": 2 }] }),
                "5 B of content; also in zstd (3 B), br (2 B)",
            ),
            (
                json!({ "on_disk": disk("probation", 0, true) }),
                "in memory and on the disk; there it leaves in its turn, unless",
            ),
            (
                json!({ "in_memory": "no", "on_disk": disk("main", 0, true) }),
                "on the disk alone; from there it comes when it is asked for; there it stays longer than others, for it was",
            ),
            (
                json!({ "in_memory": "head", "on_disk": disk("probation", 2, true) }),
                "in memory is its head; there it stays longer than others when its turn comes",
            ),
            (
                json!({ "in_memory": "head", "on_disk": disk("main", 2, false) }),
                "on the disk, 3 pieces of its content and not all: it answers nobody",
            ),
            (
                json!({
                    "in_memory": "head", "bytes": 9 << 20, "complete": false,
                    "on_disk": { "complete": false, "in_parts": true, "pieces": 3, "all_pieces": 9, "log": "main", "asked": 0 },
                }),
                "on the disk, 3 of 9 pieces of its content: they answer, and the origin is asked for those",
            ),
            (
                json!({ "in_memory": "head", "on_disk": null }),
                "its content has left the disk",
            ),
            (
                json!({ "ttl": -5, "now": ask }),
                "stale since 5 s: a visitor waits while the origin is asked whether",
            ),
            (
                json!({ "stale_while_revalidate": 0 }),
                "once it is stale, a visitor waits while the origin is asked whether",
            ),
            (
                json!({ "etag": null }),
                "nothing in it could be asked about",
            ),
            (
                json!({ "no_cache": true }),
                "never served stale, whatever happens: the origin said no-cache",
            ),
            (
                json!({ "must_revalidate": true, "stale_if_error": 0 }),
                "must-revalidate",
            ),
            (
                json!({ "stale_if_error": 0, "stale_origin_down": 0 }),
                "not served stale when the origin fails",
            ),
            (
                json!({ "stale_if_error": 60 }),
                "for 1 min should the origin fail, and for 1 d while no origin",
            ),
            (
                json!({ "url": "http://a/%7E" }),
                "http://a/%7E, as it was asked for",
            ),
            (
                json!({ "for_requests": [
                    { "by": "vary", "name": "accept-encoding", "value": "" },
                    { "by": "cookie", "name": "theme", "value": null },
                    { "by": "device", "name": "", "value": "phone" },
                ] }),
                "requests that take no compressed content and without the cookie theme and from a phone",
            ),
        ] {
            let told = unwrapped(&of(changes));
            assert!(told.contains(says), "{says}: {told}");
        }
    }

    #[test]
    fn what_has_lost_some_of_its_content_is_not_said_to_answer_anybody() {
        let lost =
            json!({ "in_memory": "head", "on_disk": disk("main", 2, false), "complete": false });
        let told = unwrapped(&of(lost));
        assert!(
            told.contains("answers nobody") && !told.contains("  now  "),
            "{told}"
        );
        let part = json!({ "part": { "first": 5, "last": 9, "total": 20 }, "complete": false });
        assert!(of(part).contains("  now  "));
    }

    #[test]
    fn where_nothing_is_kept_it_is_said_why_and_what_is_coming() {
        let fill = |answered, wanted| json!([{ "answered": answered, "bytes": 2048, "followers": 3, "wanted": wanted }]);
        for (changes, says) in [
            (
                json!({}),
                "a plain GET goes to the origin. Nothing is stored. (miss; RFC)",
            ),
            (
                json!({ "fills": fill(false, true) }),
                "besides, 3 requests wait for its answer; it is kept if it may be",
            ),
            (
                json!({ "fills": fill(true, true) }),
                "2 KiB so far, read by 3 requests; it is kept when all of it is there",
            ),
            (
                json!({ "fills": fill(true, false) }),
                "not kept: it was purged, or is too large",
            ),
            (
                json!({ "elsewhere": "https://a/" }),
                "something is kept of https://a/",
            ),
            (
                json!({ "disk": { "all_known": false, "why": null } }),
                "still being looked through: more may be found there",
            ),
            (
                json!({ "disk": { "all_known": true, "why": "the disk is behind" } }),
                "could not be looked at: the disk is behind",
            ),
            (json!({ "cached": false }), "settings turn its cache off"),
            (
                json!({ "cached": false, "plain_get": null, "url": null }),
                "made at the edge, and never kept",
            ),
        ] {
            let told = unwrapped(&told(changes));
            assert!(told.starts_with("Nothing is kept of http://a/"), "{told}");
            assert!(told.contains(says), "{says}: {told}");
        }
    }

    #[test]
    fn an_origin_cannot_order_the_terminal_about() {
        let told = of(json!({ "fields": [["x", "\u{1b}[2J"]], "etag": "\u{1b}[2J" }));
        assert!(!told.contains('\u{1b}'), "{told:?}");
    }
}
