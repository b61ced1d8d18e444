//! What is kept, told to an operator: which, why, for how long, and what comes of it. Pure: given `now`.

use mangrove_cache::purge::tags;
use mangrove_cache::{
    Action, Decision, DistinctionKind, PolicyField, Rules, Stored, distinctions, select,
};
use mangrove_cache::{Asked, Found, Interval, OriginState, decide, decide_in_parts};
use mangrove_http::{Known, RequestHead, UnixMillis};
use serde_json::{Value, json};

use super::whereabouts::Whereabouts;
use crate::cache::{FillReport, Lack, Object, Resource};

/// Variants of one URL that are told; the rest are counted.
pub(crate) const VARIANTS_TOLD: usize = 64;
/// Tags of one variant that are told one by one.
pub(crate) const TAGS_TOLD: usize = 64;
/// Of a field's value, what is told; longer ones are cut.
pub(crate) const VALUE_TOLD: usize = 1024;

/// One variant, in full. `request` is the plainest one for its URL.
pub(super) fn variant(
    object: &Object,
    request: &RequestHead,
    path: &[u8],
    rules: &Rules,
    now: UnixMillis,
) -> Value {
    let stored = &object.head.stored;
    let lifetime = stored.lifetime;
    let decision = decide(
        &Asked::read(request, path, rules),
        Found::This(stored),
        now,
        OriginState::Reachable,
        rules,
    );
    let for_requests: Vec<Value> = distinctions(&stored.variant)
        .map(|one| {
            let value = one.value.map(|value| match is_secret(Known::of(one.name)) {
                // A cookie that the site itself tells visitors apart by is meant to be shared among many.
                true if one.kind != DistinctionKind::Cookie => hidden(value),
                _ => shown(value),
            });
            json!({ "by": one.kind.name(), "name": text(one.name), "value": value })
        })
        .collect();
    let fields: Vec<Value> = object
        .head
        .fields()
        .iter()
        .map(|field| {
            let value = match is_secret(field.known) {
                true => hidden(field.value),
                false => shown(field.value),
            };
            json!([text(field.name), value])
        })
        .collect();
    let codings: Vec<Value> = object
        .codings()
        .filter_map(|coding| {
            let bytes = object.form(coding)?.content.length();
            Some(json!({ "coding": coding.name(), "bytes": bytes }))
        })
        .collect();
    let part = match stored.content {
        mangrove_cache::Content::Whole { .. } => None,
        mangrove_cache::Content::Part { held, total } => {
            Some(json!({ "first": held.first, "last": held.last, "total": total }))
        }
    };
    let field = |known| stored.fields.field(known).map(shown);
    json!({
        "status": stored.status,
        "bytes": object.content.length(),
        "part": part,
        "codings": codings,
        "memory_bytes": object.weight(),
        "received_at": stored.received_at.0 / 1000,
        "age": stored.age(now),
        "ttl": stored.ttl(now),
        "fresh": stored.is_fresh(now) && !stored.needs_confirmation(),
        "lifetime": {
            "seconds": lifetime.seconds,
            "from": lifetime.source.name(),
            "explain": lifetime.source.explain(),
            "source": lifetime.source.source(),
        },
        "policy_field": policy_field(stored.reuse.policy),
        "no_cache": stored.reuse.no_cache,
        "must_revalidate": stored.reuse.must_revalidate,
        "immutable": stored.reuse.immutable,
        "invalidated": stored.invalidated,
        "stale_while_revalidate": stored.stale_while_revalidate(rules),
        "stale_if_error": stored.stale_if_error(rules),
        "stale_origin_down": stored.stale_origin_down(rules),
        "etag": field(Known::ETag),
        "last_modified": stored.last_modified.and_then(|_| field(Known::LastModified)),
        "tags": tags(&stored.fields).take(TAGS_TOLD).map(text).collect::<Vec<_>>(),
        "varies_on": stored.vary.names().map(text).collect::<Vec<_>>(),
        "for_requests": for_requests,
        "now": outcome(decision),
        "fields": fields,
    })
}

/// What a plain `GET` comes to, and which variant answers it.
pub(super) fn plain_get(
    found: &Resource,
    request: &RequestHead,
    path: &[u8],
    rules: &Rules,
    is_alive: impl Fn(&Object) -> bool,
    now: UnixMillis,
) -> Value {
    let variants = &found.variants;
    let all = variants.iter().map(|object| &object.head.stored);
    let chosen = select(all, request, rules, &mut Vec::new())
        .and_then(|at| variants.get(at))
        .filter(|object| is_alive(object));
    let found = match chosen {
        Some(object) => Found::This(&object.head.stored),
        None if variants.iter().any(|object| is_alive(object)) => Found::OtherVariants,
        None => Found::Nothing,
    };
    let asked = Asked::read(request, path, rules);
    let decision = decide(&asked, found, now, OriginState::Reachable, rules);
    let serves = matches!(decision.action, Action::Serve | Action::ServeStale { .. });
    outcome(
        match serves && chosen.is_some_and(|object| lacks_some(object)) {
            true => decide_in_parts(&asked, decision),
            false => decision,
        },
    )
}

/// Whether the origin has to be asked for some of it: it is not there, and is not on its way.
fn lacks_some(object: &Object) -> bool {
    let last = object.content.length().checked_sub(1);
    let all = last.and_then(|last| Interval::new(0, last));
    let partial = object.content.partial();
    partial.is_some_and(|partial| partial.lack(all.as_slice()) != Lack::Nothing)
}

fn outcome(decision: Decision) -> Value {
    let action = match decision.action {
        Action::Serve => "serve",
        Action::ServeStale { revalidate: true } => "serve-stale-and-ask",
        Action::ServeStale { revalidate: false } => "serve-stale",
        Action::Revalidate => "ask",
        Action::Fetch => "fetch",
        Action::Refuse => "refuse",
    };
    json!({
        "action": action,
        "reason": decision.reason.name(),
        "explain": decision.reason.explain(),
        "source": decision.reason.source(),
    })
}

/// What is on its way.
pub(super) fn fill(report: &FillReport) -> Value {
    json!({
        "answered": report.answered,
        "bytes": report.bytes,
        "followers": report.followers,
        "wanted": report.wanted,
    })
}

/// A row of the list: what is kept of one URL and was not purged, told by what was received last. `None` when there is nothing.
pub(super) fn row(site: &[u8], url: &[u8], kept: &[Whereabouts], now: UnixMillis) -> Option<Value> {
    let newest: &Stored = &kept
        .iter()
        .max_by_key(|known| known.object.head.stored.received_at)?
        .object
        .head
        .stored;
    let how_many = |is: fn(&Whereabouts) -> bool| kept.iter().filter(|known| is(known)).count();
    Some(json!({
        "site": text(site),
        "url": text(url),
        "variants": kept.len(),
        "in_memory": how_many(|known| known.in_memory),
        "on_disk": how_many(|known| known.on_disk.is_some()),
        "complete": how_many(Whereabouts::is_complete),
        "bytes": kept.iter().map(|known| known.object.content.length()).sum::<u64>(),
        "status": newest.status,
        "age": newest.age(now),
        "ttl": newest.ttl(now),
        "lifetime_from": newest.lifetime.source.name(),
    }))
}

fn policy_field(field: PolicyField) -> &'static str {
    match field {
        PolicyField::Mangrove => "Mangrove-Cache-Control",
        PolicyField::Cdn => "CDN-Cache-Control",
        PolicyField::Surrogate => "Surrogate-Control",
        PolicyField::CacheControl => "Cache-Control",
    }
}

/// Whether a value may be what lets a visitor in: an operator at a shared screen needs to know that it is there, not what
/// it is.
fn is_secret(known: Known) -> bool {
    matches!(
        known,
        Known::Cookie | Known::SetCookie | Known::Authorization | Known::ProxyAuthorization
    )
}

fn hidden(value: &[u8]) -> String {
    format!("({} bytes, not shown)", value.len())
}

fn shown(value: &[u8]) -> String {
    match value.split_at_checked(VALUE_TOLD) {
        Some((start, rest)) if !rest.is_empty() => {
            format!("{}… ({} bytes)", text(start), value.len())
        }
        _ => text(value),
    }
}

/// Lines are joined by the byte 1.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\u{1}', ", ")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use mangrove_cache::purge::Generation;
    use mangrove_cache::{Times, admit};
    use mangrove_http::{HeadLimits, Method, ResponseHead};

    use super::*;
    use crate::cache::Content;

    fn at(seconds: u64) -> UnixMillis {
        UnixMillis((1_763_424_000 + seconds) * 1000)
    }

    fn request(fields: &str) -> RequestHead {
        let mut head = RequestHead::new();
        let text = format!("GET /a HTTP/1.1\r\nHost: news.example\r\n{fields}\r\n");
        head.octets_mut().extend_from_slice(text.as_bytes());
        head.parse_h1(&HeadLimits::default()).unwrap().unwrap();
        head
    }

    fn kept(asking: &str, fields: &str, rules: &Rules) -> Object {
        let request = request(asking);
        let mut response = ResponseHead::new();
        let text = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 4\r\n\r\n");
        response.octets_mut().extend_from_slice(text.as_bytes());
        let parsed = response.parse_h1(&HeadLimits::default(), Method::Get);
        parsed.unwrap().unwrap();
        let asked = Asked::read(&request, b"/a", rules);
        let times = Times {
            requested_at: at(0),
            received_at: at(0),
        };
        let stored = admit(&asked, &response, rules, times).unwrap();
        let content = Content::gather([Bytes::from_static(b"news")]);
        Object::new(stored, content, Generation(7), false)
    }

    #[test]
    fn a_variant_tells_why_for_how_long_and_what_comes_next() {
        let rules = Rules::default();
        let object = kept(
            "Accept-Encoding: gzip\r\nCookie: id=secret\r\n",
            "Cache-Control: max-age=60, stale-while-revalidate=30\r\nVary: accept-encoding, cookie\r\nETag: \"x\"\r\n",
            &rules,
        );
        let tell = |seconds| variant(&object, &request(""), b"/a", &rules, at(seconds));
        let fresh = tell(12);
        assert_eq!(
            (&fresh["age"], &fresh["ttl"], &fresh["fresh"]),
            (&json!(12), &json!(48), &json!(true))
        );
        assert_eq!(fresh["lifetime"]["from"], "max-age");
        assert_eq!(fresh["lifetime"]["source"], "RFC 9111 section 5.2.2.1");
        assert_eq!(fresh["policy_field"], "Cache-Control");
        assert_eq!(fresh["now"]["action"], "serve");
        assert_eq!(fresh["etag"], "\"x\"");
        assert_eq!(fresh["stale_while_revalidate"], 30);
        assert_eq!(fresh["bytes"], 4);
        let for_requests = fresh["for_requests"].to_string();
        assert!(for_requests.contains("\"gzip\""), "{for_requests}");
        assert!(!for_requests.contains("secret"), "{for_requests}");
        assert_eq!(tell(70)["now"]["action"], "serve-stale-and-ask");
        assert_eq!(tell(70)["fresh"], false);
        assert_eq!(tell(100)["now"]["reason"], "stale");
        assert_eq!(tell(100)["now"]["action"], "ask");
    }

    #[test]
    fn a_cookie_that_is_sent_to_many_is_not_shown_to_the_operator() {
        let rules = Rules {
            store_set_cookie: true,
            ..Rules::default()
        };
        let object = kept(
            "",
            "Cache-Control: max-age=60\r\nSet-Cookie: id=secret\r\n",
            &rules,
        );
        let told = variant(&object, &request(""), b"/a", &rules, at(0)).to_string();
        assert!(!told.contains("secret") && told.contains("9 bytes, not shown"));
    }

    #[test]
    fn coded_content_is_told_beside_the_one_it_was_made_of() {
        let rules = Rules::default();
        let object = kept("", "Cache-Control: max-age=60\r\n", &rules);
        let coded = Content::gather([Bytes::from_static(b"gz")]);
        let object = object.with_form(crate::compress::Coding::Gzip, coded);
        let told = variant(&object, &request(""), b"/a", &rules, at(0));
        assert_eq!(told["codings"], json!([{ "coding": "gzip", "bytes": 2 }]));
        assert_eq!((&told["bytes"], &told["part"]), (&json!(4), &Value::Null));
    }

    #[test]
    fn a_value_one_byte_too_long_is_cut() {
        assert_eq!(shown(&[b'x'; VALUE_TOLD]), "x".repeat(VALUE_TOLD));
        let cut = shown(&[b'x'; VALUE_TOLD + 1]);
        assert_eq!(cut, format!("{}… (1025 bytes)", "x".repeat(VALUE_TOLD)));
    }

    #[test]
    fn what_was_purged_is_told_by_nobody() {
        let rules = Rules::default();
        let object = kept("", "Cache-Control: max-age=60\r\n", &rules);
        let resource = Resource {
            variants: vec![Arc::new(object)],
            ..Resource::default()
        };
        let from = |floor| move |object: &Object| object.born >= Generation(floor);
        let plain = |floor| plain_get(&resource, &request(""), b"/a", &rules, from(floor), at(1));
        assert_eq!(plain(7)["reason"], "fresh");
        assert_eq!(plain(8)["reason"], "miss");
    }
}
