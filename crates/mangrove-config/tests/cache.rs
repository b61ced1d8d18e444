//! The cache of a site: what is written, what the edge then obeys, and what is said about it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should say so and stop"
)]

use insta::assert_snapshot;
use mangrove_cache::{DeviceRule, NamePattern, PolicyField, QueryRule, Rules};
use mangrove_config::{CacheSettings, Defaults, Draft, Settled, Settlement, explain};

const SITE: &str =
    "[[site]]\nname = \"news\"\nhosts = [\"*\"]\norigins = [\"http://127.0.0.1:3000\"]\n";

fn settlement(lines: &str) -> Settlement {
    let text = format!("{SITE}{lines}");
    Draft::parse("mangrove.toml", &text)
        .and_then(|draft| draft.settle(&Defaults::default()))
        .unwrap_or_else(|problems| panic!("{problems}"))
}

/// What the edge obeys for a site with these lines.
fn rules(lines: &str) -> Rules {
    settlement(lines)
        .settled
        .sites
        .first()
        .unwrap()
        .cache
        .rules("mangrove")
}

/// All that is said about a site with these lines, that must not settle.
fn problems(lines: &str) -> String {
    let text = format!("{SITE}{lines}");
    match Draft::parse("mangrove.toml", &text).and_then(|draft| draft.settle(&Defaults::default()))
    {
        Ok(settlement) => panic!("settled: {:?}", settlement.settled.sites),
        Err(problems) => problems.to_string(),
    }
}

/// What is explained about a site with these lines.
fn explained(lines: &str) -> String {
    let page = explain(&settlement(lines).settled);
    let from = page.find("  origins").unwrap();
    let until = page.find("\n1 site").unwrap();
    page.get(from..until).unwrap().to_owned()
}

/// A shop's rules, each kind once.
const FULL: &str = r#"
[site.cache]
query_ignore = ["utm_*", "fbclid"]
sort_query = true
key_cookies = ["currency"]
key_headers = ["X-Country"]
key_words = [{ header = "Accept", contains = ["image/avif", "image/webp"] }]
key_device = "phones"
key_languages = ["en", "bn", "pt-BR"]
heuristic_percent = 0
store_set_cookie = true
obey_requests = false
targeted = ["cdn-cache-control"]
normalize_encoding = false
max_object_bytes = "64MiB"
max_variants = 8

[site.cache.bypass]
paths = ["/cart/*", "/account/*"]
cookies = ["wordpress_logged_in_*"]
headers = ["X-Preview"]
query = ["preview"]

[[site.cache.lifetime]]
path = "/assets/*"
ttl = "24h"
override = true

[[site.cache.lifetime]]
path = "*"
ttl = "5m"

[[site.cache.negative]]
status = "404"
ttl = "10s"

[[site.cache.negative]]
status = "500-599"
ttl = "1s"

[site.cache.stale]
while_revalidate = "1m"
if_error = "1h"
origin_down = "168h"
beside_s_maxage = true

[site.compress]
types = ["text/html", "application/*+json"]
minimum_bytes = 2000
maximum_bytes = "1MiB"
zstd_level = 1
"#;

#[test]
fn each_setting_reaches_the_rules() {
    let rules = rules(FULL);
    let plain = Rules::default();
    let names = |names: &[&str]| -> Vec<NamePattern> {
        names
            .iter()
            .map(|name| NamePattern::parse(name).unwrap())
            .collect()
    };
    assert_eq!(
        rules.key.query,
        QueryRule::Except(names(&["utm_*", "fbclid"]))
    );
    assert!(rules.key.sort_query && rules.store_set_cookie && rules.stale_beside_s_maxage);
    assert!(!rules.obey_requests && !rules.normalize_encoding);
    assert_eq!(rules.key.cookies, ["currency".into()]);
    assert_eq!(rules.key.headers, ["x-country".into()]);
    assert_eq!(&*rules.key.words[0].header, "accept");
    assert_eq!(rules.key.words[0].words.len(), 2);
    assert_eq!(rules.key.device, DeviceRule::Phones);
    assert_eq!(
        rules.key.languages,
        ["en".into(), "bn".into(), "pt-br".into()]
    );
    assert!(rules.bypass.paths[0].matches(b"/cart/1"));
    assert!(rules.bypass.cookies[0].matches(b"wordpress_logged_in_7f3a"));
    assert_eq!(rules.bypass.headers, ["x-preview".into()]);
    assert_eq!(rules.bypass.query, names(&["preview"]));
    let lifetimes: Vec<_> = rules
        .lifetimes
        .iter()
        .map(|rule| {
            (
                rule.path.as_str(),
                rule.statuses,
                rule.seconds,
                rule.overrides,
            )
        })
        .collect();
    assert_eq!(
        lifetimes,
        [
            ("/assets/*", (200, 299), 86_400, true),
            ("*", (200, 299), 300, false)
        ]
    );
    let negative: Vec<_> = rules
        .negative
        .iter()
        .map(|rule| (rule.statuses, rule.seconds))
        .collect();
    assert_eq!(negative, [((404, 404), 10), ((500, 599), 1)]);
    assert_eq!(
        (rules.heuristic_percent, rules.heuristic_ceiling),
        (0, plain.heuristic_ceiling)
    );
    assert_eq!(
        (
            rules.stale_while_revalidate,
            rules.stale_if_error,
            rules.stale_origin_down
        ),
        (60, 3_600, 7 * 86_400)
    );
    assert_eq!(rules.targeted, [PolicyField::Cdn]);
    assert_eq!((rules.variants, rules.largest), (8, 64 << 20));
    let site = settlement(FULL).settled.sites.remove(0);
    let compress = site.compress.rules();
    assert!(
        compress.wants(b"Text/HTML; charset=utf-8", 2_000) && !compress.wants(b"text/css", 2_000)
    );
    assert!(!compress.wants(b"text/html", 1_999) && !compress.wants(b"text/html", (1 << 20) + 1));
    assert_eq!(
        (
            compress.zstd_level,
            compress.brotli_level,
            compress.gzip_level
        ),
        (1, 6, 6)
    );
}

#[test]
fn nothing_written_is_what_the_cache_recommends() {
    assert_eq!(rules(""), Rules::default());
    assert!(!rules("cache.enabled = false").on);
    assert_eq!(rules("cache.query = \"none\"").key.query, QueryRule::Ignore);
    let only = rules("cache.query_only = [\"page\"]").key.query;
    assert_eq!(
        only,
        QueryRule::Only(vec![NamePattern::parse("page").unwrap()])
    );
    assert!(rules("cache.targeted = \"off\"").targeted.is_empty());
    let always = "cache.lifetime = [{ path = \"*\", ttl = \"0s\", override = true }]";
    assert_eq!(rules(always).lifetimes[0].seconds, 0);
    assert_eq!(
        CacheSettings::default().rules("edge-7").name,
        "edge-7".into()
    );
}

#[test]
fn each_ceiling_reaches_its_own_rule() {
    let rules = rules(
        r#"[site.cache]
heuristic_ceiling = "2h"
[site.cache.stale]
while_revalidate_ceiling = "48h"
if_error_ceiling = "72h"
origin_down_ceiling = "96h""#,
    );
    let ceilings = [
        rules.heuristic_ceiling,
        rules.stale_while_revalidate_ceiling,
        rules.stale_if_error_ceiling,
        rules.stale_origin_down_ceiling,
    ];
    assert_eq!(ceilings.map(|seconds| seconds / 3_600), [2, 48, 72, 96]);
}

#[test]
fn a_lifetime_may_be_nothing_but_not_off() {
    assert_snapshot!(problems("cache.lifetime = [{ path = \"*\", ttl = \"off\" }]"), @r#"
    mangrove.toml:5:39: "off" is not a duration
     5 | cache.lifetime = [{ path = "*", ttl = "off" }]
       |                                       ^^^^^
       = a duration is a whole number with ms, s, m or h, in quotes: "10s"
    "#);
}

/// Every file that the operator's page shows is one that settles, and about which nothing has to be said.
#[test]
fn what_the_page_on_caching_shows_is_right() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/caching.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut shown = 0;
    for block in page.split("```toml\n").skip(1) {
        let block = block.split("```").next().unwrap();
        let lines = block.split_once("origins = [\"http://127.0.0.1:3000\"]\n");
        let settlement = settlement(lines.map_or(block, |(_, rest)| rest));
        assert_eq!(settlement.notices, [], "{block}");
        shown += 1;
    }
    assert!(shown >= 7, "only {shown} were found");
}

#[test]
fn a_form_stored_before_there_was_a_cache_gets_its_defaults() {
    let settled = settlement("").settled;
    let json = settled.to_json();
    let from = json.find(",\"cache\":").unwrap();
    let until = json.find(",\"path\":\"").unwrap();
    let older = format!(
        "{}{}",
        json.get(..from).unwrap(),
        json.get(until..).unwrap()
    );
    let older = older
        .replace(",\"cache_memory\":268435456", "")
        .replace(",\"disk_cache\":true,\"disk_cache_bytes\":10737418240", "");
    assert!(
        !older.contains("cache") && !older.contains("compress"),
        "{older}"
    );
    assert_eq!(Settled::from_json(older.as_bytes()).unwrap(), settled);
}

#[test]
fn a_stored_form_with_a_cache_is_judged_like_a_file() {
    let settled = settlement(FULL).settled;
    let json = settled.to_json();
    assert_eq!(Settled::from_json(json.as_bytes()).unwrap(), settled);
    let refused = |from: &str, to: &str| {
        assert!(json.contains(from), "{from}");
        Settled::from_json(json.replace(from, to).as_bytes())
            .unwrap_err()
            .to_string()
    };
    assert_snapshot!(refused("\"/cart/*\"", "\"/*\""), @r#"the settled form cannot be used: site[0].cache.bypass.paths[1]: "/account/*" changes nothing beside "/*"; site[0].cache.bypass.paths[0]: this keeps every path out of the cache; site[0].cache.lifetime[0]: this never applies: "/assets/*" is kept out of the cache"#);
    assert_snapshot!(refused("\"max_variants\":8", "\"max_variants\":0"), @r#"the settled form cannot be used: site[0].cache.max_variants: `max_variants` is from 1 to 1024; here it is 0"#);
    assert_snapshot!(refused("\"utm_*\"", "\"u*m\""), @r#"the settled form cannot be read: a name has from 1 to 256 bytes; `*` stands only at its end, for all that begin so at line 1 column 1626"#);
    assert_snapshot!(refused("\"ttl\":10000", "\"ttl\":null"), @r#"the settled form cannot be used: site[0].cache.negative[0].ttl: `ttl` is missing or empty"#);
}

#[test]
fn a_site_says_what_it_keeps() {
    assert_snapshot!(explained(FULL), @r#"
    origins  http://127.0.0.1:3000
    Host     the client's, as it came
    cache    fresh as long as the origin says in cdn-cache-control, then in Cache-Control; asked about each time where it does not
             /assets/* with 200-299: 24h, whatever the origin says
             * with 200-299: 5m, where the origin says nothing
             404: 10s, where nothing else is said
             500-599: 1s, where nothing else is said
    key      the URL with its query but utm_*, fbclid, in order of names; cookies currency; fields x-country; image/avif, image/webp in accept; phones apart from everything else; languages en, bn, pt-br
    bypass   paths /cart/*, /account/*; cookies wordpress_logged_in_*; fields x-preview; parameters preview
    stale    served for up to 1m while the origin is asked, 1h when the origin fails, 168h while it is down, unless it says otherwise
    reload   a visitor's Cache-Control does not reach past the cache
    warning  responses with Set-Cookie are kept: a cookie made for one visitor reaches others
    compress text/html, application/*+json, from 2000B to 1MiB: zstd 1, brotli 6, gzip 6
    not the default:
      cache.stale.beside_s_maxage = true
      cache.normalize_encoding = false
      cache.max_object_bytes = "64MiB"
      cache.max_variants = 8
    "#);
    assert_snapshot!(explained("cache.enabled = false\ncompress.enabled = false"), @r#"
    origins  http://127.0.0.1:3000
    Host     the client's, as it came
    cache    off: every request goes to an origin
    compress off: as the origin sends it
    "#);
    assert_snapshot!(explained("cache.query = \"none\"\ncache.key_device = \"each\"\ncache.stale = { if_error = \"0s\", origin_down = \"0s\", if_error_ceiling = \"0s\" }\ncache.targeted = \"off\""), @r#"
    origins  http://127.0.0.1:3000
    Host     the client's, as it came
    cache    fresh as long as the origin says in Cache-Control alone; where it does not, 10% of the time since Last-Modified, at most 24h
    key      the URL without its query; phones, tablets and everything else
    stale    served only as the origin allows
    compress text and the like, from 512B to 16MiB: zstd 10, brotli 6, gzip 6
    not the default:
      cache.stale.if_error_ceiling = "0s"
    "#);
}

#[test]
fn what_is_easily_regretted_is_said() {
    let notices = |lines: &str| -> String {
        let notices = settlement(lines).notices;
        notices.iter().map(|notice| format!("{notice}\n")).collect()
    };
    assert_snapshot!(notices("[site.cache]\nstore_set_cookie = true\nkey_headers = [\"x-country\", \"User-Agent\"]"), @r#"
    mangrove.toml:6: responses with Set-Cookie are kept: a cookie made for one visitor reaches others
    mangrove.toml:7: nearly every visitor sends another "user-agent", and little is shared; `key_device` tells phones from other devices
    "#);
    let answered = "[[site]]\nname = \"a\"\nhosts = [\"a\"]\nrespond = { status = 200 }\n[site.cache]\nenabled = true";
    assert_snapshot!(notices(answered), @r#"mangrove.toml:9: the cache is not used: the site's content comes from no origin"#);
    assert_eq!(notices("cache.enabled = true"), "");
}

#[test]
fn names_and_ranges_are_checked_as_everywhere() {
    assert_snapshot!(problems("[site.cache]\nquery_ingore = [\"a\"]\nkey_device = \"phone\"\nheuristic_percent = 101\nmax_variants = 0\ntargeted = [\"CDN-Cache-Control\"]\n[site.cache.stale]\nif_error = 60\n[site.compress]\nbrotli_level = 12"), @r#"
    mangrove.toml:6:1: there is no setting `query_ingore`
      6 | query_ingore = ["a"]
        | ^^^^^^^^^^^^
        = did you mean `query_ignore`?

    mangrove.toml:7:14: `key_device` cannot be "phone"
      7 | key_device = "phone"
        |              ^^^^^^^
        = did you mean "phones"?

    mangrove.toml:8:21: `heuristic_percent` is from 0% to 100%; here it is 101%
      8 | heuristic_percent = 101
        |                     ^^^

    mangrove.toml:9:16: `max_variants` is from 1 to 1024; here it is 0
      9 | max_variants = 0
        |                ^

    mangrove.toml:10:13: `targeted` cannot be "CDN-Cache-Control"
     10 | targeted = ["CDN-Cache-Control"]
        |             ^^^^^^^^^^^^^^^^^^^
        = did you mean "cdn-cache-control"?

    mangrove.toml:12:12: `if_error` needs a unit
     12 | if_error = 60
        |            ^^
        = if you mean seconds, write "60s"

    mangrove.toml:14:16: `brotli_level` is from 0 to 11; here it is 12
     14 | brotli_level = 12
        |                ^^
    "#);
}

#[test]
fn an_empty_list_is_neither_all_nor_none() {
    assert_snapshot!(problems("[site.cache]\nquery_only = []\nkey_cookies = []\nbypass.paths = []\ntargeted = []\n[site.compress]\ntypes = []"), @r#"
    mangrove.toml:6:14: `query_only` is an empty list, which is read neither as all nor as none
      6 | query_only = []
        |              ^^
        = list at least one, or leave the key out

    mangrove.toml:7:15: `key_cookies` is an empty list, which is read neither as all nor as none
      7 | key_cookies = []
        |               ^^
        = list at least one, or leave the key out

    mangrove.toml:8:16: `paths` is an empty list, which is read neither as all nor as none
      8 | bypass.paths = []
        |                ^^
        = list at least one, or leave the key out

    mangrove.toml:9:12: `targeted` is an empty list, which is read neither as all nor as none
      9 | targeted = []
        |            ^^
        = for none, write "off"

    mangrove.toml:11:9: `types` is an empty list, which is read neither as all nor as none
     11 | types = []
        |         ^^
        = list at least one, or leave the key out
    "#);
}

#[test]
fn a_pattern_that_cannot_match_is_refused() {
    assert_snapshot!(problems("[site.cache]\nquery_ignore = [\"utm_*_x\", \"a%20b\"]\nkey_cookies = [\"wp_*\"]\nkey_headers = [\"x country\"]\nkey_languages = [\"en_GB\"]\nbypass.paths = [\"/%7euser/*\", \"/search?q=*\", \"admin\"]\nbypass.cookies = [\"a=b\"]\n[site.compress]\ntypes = [\"html\"]"), @r#"
    mangrove.toml:6:17: "utm_*_x" cannot be used: a name has from 1 to 256 bytes; `*` stands only at its end, for all that begin so
      6 | query_ignore = ["utm_*_x", "a%20b"]
        |                 ^^^^^^^^^

    mangrove.toml:6:28: "a%20b" cannot be used: it matches nothing: names are compared decoded, so write it decoded
      6 | query_ignore = ["utm_*_x", "a%20b"]
        |                            ^^^^^^^

    mangrove.toml:7:16: "wp_*" cannot be used: `*` cannot stand here: each cookie that counts is named
      7 | key_cookies = ["wp_*"]
        |                ^^^^^^

    mangrove.toml:8:16: "x country" cannot be used: a field's name is one word, such as "x-country" (RFC 9110 section 5.1)
      8 | key_headers = ["x country"]
        |                ^^^^^^^^^^^

    mangrove.toml:9:18: "en_GB" cannot be used: a language is written "en", "bn" or "pt-br" (RFC 5646)
      9 | key_languages = ["en_GB"]
        |                  ^^^^^^^

    mangrove.toml:10:17: "/%7euser/*" cannot be used: it matches no path: paths are compared in normal form (RFC 3986 section 6.2.2); write "/~user/*"
     10 | bypass.paths = ["/%7euser/*", "/search?q=*", "admin"]
        |                 ^^^^^^^^^^^^

    mangrove.toml:10:31: "/search?q=*" cannot be used: it matches no path: a path ends where the query begins
     10 | bypass.paths = ["/%7euser/*", "/search?q=*", "admin"]
        |                               ^^^^^^^^^^^^^

    mangrove.toml:10:46: "admin" cannot be used: paths begin with / or *, and have at most 1024 bytes and 8 stars: "/assets/*", "*.jpg"
     10 | bypass.paths = ["/%7euser/*", "/search?q=*", "admin"]
        |                                              ^^^^^^^

    mangrove.toml:11:19: "a=b" cannot be used: a cookie's name has no spaces and none of ( ) < > @ , ; : \ " / [ ] ? = { } (RFC 6265 section 4.1.1)
     11 | bypass.cookies = ["a=b"]
        |                   ^^^^^

    mangrove.toml:13:10: "html" cannot be used: a media type is written "text/html", "text/*" or "application/*+json", without parameters, in at most 255 bytes
     13 | types = ["html"]
        |          ^^^^^^
    "#);
}

#[test]
fn what_says_the_same_twice_is_refused() {
    assert_snapshot!(problems("[site.cache]\nquery_ignore = [\"utm_source\", \"utm_*\"]\nkey_headers = [\"X-A\", \"x-a\"]\nbypass.paths = [\"/a/*\", \"/a/b\"]\ntargeted = [\"cdn-cache-control\", \"cdn-cache-control\"]\n[site.compress]\ntypes = [\"text/*\", \"text/html\"]"), @r#"
    mangrove.toml:6:17: "utm_source" changes nothing beside "utm_*"
      6 | query_ignore = ["utm_source", "utm_*"]
        |                 ^^^^^^^^^^^^
      6 | query_ignore = ["utm_source", "utm_*"]
        |                               ^^^^^^^ the other one
        = leave it out

    mangrove.toml:7:23: "x-a" is listed twice
      7 | key_headers = ["X-A", "x-a"]
        |                       ^^^^^
      7 | key_headers = ["X-A", "x-a"]
        |                ^^^^^ the other one
        = leave it out

    mangrove.toml:8:25: "/a/b" changes nothing beside "/a/*"
      8 | bypass.paths = ["/a/*", "/a/b"]
        |                         ^^^^^^
      8 | bypass.paths = ["/a/*", "/a/b"]
        |                 ^^^^^^ the other one
        = leave it out

    mangrove.toml:9:34: "cdn-cache-control" is listed twice
      9 | targeted = ["cdn-cache-control", "cdn-cache-control"]
        |                                  ^^^^^^^^^^^^^^^^^^^
      9 | targeted = ["cdn-cache-control", "cdn-cache-control"]
        |             ^^^^^^^^^^^^^^^^^^^ the other one
        = leave it out

    mangrove.toml:11:20: "text/html" changes nothing beside "text/*"
     11 | types = ["text/*", "text/html"]
        |                    ^^^^^^^^^^^
     11 | types = ["text/*", "text/html"]
        |          ^^^^^^^^ the other one
        = leave it out
    "#);
}

#[test]
fn which_of_the_query_counts_is_said_once() {
    assert_snapshot!(problems("[site.cache]\nquery = \"none\"\nsort_query = true\nquery_only = [\"a\"]\nquery_ignore = [\"b\"]"), @r#"
    mangrove.toml:7:14: there is no order where none of the query counts
     7 | sort_query = true
       |              ^^^^
       = leave `sort_query` out

    mangrove.toml:8:14: `query_only` has no effect where none of the query counts
     8 | query_only = ["a"]
       |              ^^^^^
     6 | query = "none"
       |         ^^^^^^ none of it counts
       = keep one of the two

    mangrove.toml:9:16: `query_ignore` has no effect where none of the query counts
     9 | query_ignore = ["b"]
       |                ^^^^^
     6 | query = "none"
       |         ^^^^^^ none of it counts
       = keep one of the two
    "#);
    assert_snapshot!(problems("[site.cache]\nquery_only = [\"a\"]\nquery_ignore = [\"*\"]"), @r#"
    mangrove.toml:7:17: "*" is every name there is
     7 | query_ignore = ["*"]
       |                 ^^^
       = leave `query_ignore` out and write query = "none"
    "#);
}

#[test]
fn a_rule_that_can_never_apply_is_refused_with_the_reason() {
    assert_snapshot!(problems(r#"[site.cache]
bypass.paths = ["/account/*"]
[[site.cache.lifetime]]
path = "/a/*"
ttl = "1h"
[[site.cache.lifetime]]
path = "/a/b*"
status = "200"
ttl = "2h"
[[site.cache.lifetime]]
path = "/c*"
ttl = "1m"
[[site.cache.lifetime]]
path = "*"
status = "200-399"
ttl = "1m"
override = true
[[site.cache.lifetime]]
path = "/account/x"
status = "404"
ttl = "1m"
[[site.cache.lifetime]]
path = "/d"
status = "429"
ttl = "1m""#), @r#"
    mangrove.toml:7:1: this never applies: "*" fits all of it
      7 | [[site.cache.lifetime]]
        | ^^^^^^^^^^^^^^^^^^^^^^^
     17 | [[site.cache.lifetime]]
        | ^^^^^^^^^^^^^^^^^^^^^^^ the other one
        = a `lifetime` with `override` counts before those without

    mangrove.toml:10:1: this never applies: "/a/*" fits all of it
     10 | [[site.cache.lifetime]]
        | ^^^^^^^^^^^^^^^^^^^^^^^
      7 | [[site.cache.lifetime]]
        | ^^^^^^^^^^^^^^^^^^^^^^^ the other one
        = the first that fits counts: put the narrower one first

    mangrove.toml:14:1: this never applies: "*" fits all of it
     14 | [[site.cache.lifetime]]
        | ^^^^^^^^^^^^^^^^^^^^^^^
     17 | [[site.cache.lifetime]]
        | ^^^^^^^^^^^^^^^^^^^^^^^ the other one
        = a `lifetime` with `override` counts before those without

    mangrove.toml:22:1: this never applies: "/account/x" is kept out of the cache
     22 | [[site.cache.lifetime]]
        | ^^^^^^^^^^^^^^^^^^^^^^^
      6 | bypass.paths = ["/account/*"]
        |                 ^^^^^^^^^^^^ by this

    mangrove.toml:28:10: this never applies: responses with 429 are never stored
     28 | status = "429"
        |          ^^^^^
        = such a status answers one request and says nothing about the next
    "#);
    assert_snapshot!(problems("[site.cache]\nbypass.paths = [\"/*\"]"), @r#"
    mangrove.toml:6:17: this keeps every path out of the cache
     6 | bypass.paths = ["/*"]
       |                 ^^^^
       = to switch the cache off, write enabled = false
    "#);
}

#[test]
fn rules_that_only_overlap_are_all_kept() {
    let rules = rules(
        r#"[[site.cache.lifetime]]
path = "/a/b*"
ttl = "1h"
[[site.cache.lifetime]]
path = "/a/*"
ttl = "2h"
[[site.cache.lifetime]]
path = "/a/*"
status = "200-399"
ttl = "3h"
[[site.cache.lifetime]]
path = "/a/b"
status = "200"
ttl = "4h"
override = true
[[site.cache.negative]]
status = "404"
ttl = "1s"
[[site.cache.negative]]
status = "400-499"
ttl = "2s""#,
    );
    assert_eq!((rules.lifetimes.len(), rules.negative.len()), (4, 2));
}

#[test]
fn a_rule_says_what_about_and_how_long() {
    assert_snapshot!(problems("[site.cache]\nlifetime = [{ status = \"200\" }, { path = \"/a\", ttl = \"1500ms\" }]\nnegative = [{}]\nkey_words = [{}]"), @r#"
    mangrove.toml:6:13: `path` is missing
     6 | lifetime = [{ status = "200" }, { path = "/a", ttl = "1500ms" }]
       |             ^^^^^^^^^^^^^^^^^^
       = say which paths: path = "/assets/*"; "*" is every path

    mangrove.toml:6:13: `ttl` is missing
     6 | lifetime = [{ status = "200" }, { path = "/a", ttl = "1500ms" }]
       |             ^^^^^^^^^^^^^^^^^^
       = say how long: ttl = "1h"

    mangrove.toml:6:54: `ttl` is in whole seconds, as ages are in HTTP
     6 | lifetime = [{ status = "200" }, { path = "/a", ttl = "1500ms" }]
       |                                                      ^^^^^^^^
       = write "2s"

    mangrove.toml:7:13: `ttl` is missing
     7 | negative = [{}]
       |             ^^
       = say how long: ttl = "10s"

    mangrove.toml:7:13: `status` is missing
     7 | negative = [{}]
       |             ^^
       = say which: status = "404"

    mangrove.toml:8:14: `header` is missing
     8 | key_words = [{}]
       |              ^^
       = say which field: header = "accept"

    mangrove.toml:8:14: `contains` is missing
     8 | key_words = [{}]
       |              ^^
       = say what is looked for: contains = ["image/avif"]
    "#);
}

#[test]
fn errors_are_kept_by_rules_that_apply() {
    assert_snapshot!(problems(r#"[[site.cache.negative]]
status = "200-404"
ttl = "1s"
[[site.cache.negative]]
status = "400-499"
ttl = "1s"
[[site.cache.negative]]
status = "404"
ttl = "1s"
[[site.cache.negative]]
status = "428-429"
ttl = "1s"
[[site.cache.negative]]
status = "503"
ttl = "1s"
[[site.cache.lifetime]]
path = "*"
status = "500-599"
ttl = "1s""#), @r#"
    mangrove.toml:6:10: 200 is no error
      6 | status = "200-404"
        |          ^^^^^^^^^
        = how long other responses are fresh stands in [[site.cache.lifetime]]

    mangrove.toml:11:1: this never applies: another one fits every 404
     11 | [[site.cache.negative]]
        | ^^^^^^^^^^^^^^^^^^^^^^^
      5 | [[site.cache.negative]]
        | ^^^^^^^^^^^^^^^^^^^^^^^ the other one
        = keep one of the two

    mangrove.toml:15:10: this never applies: responses with 428-429 are never stored
     15 | status = "428-429"
        |          ^^^^^^^^^
        = such a status answers one request and says nothing about the next

    mangrove.toml:17:1: this never applies: another one fits every 503
     17 | [[site.cache.negative]]
        | ^^^^^^^^^^^^^^^^^^^^^^^
     20 | [[site.cache.lifetime]]
        | ^^^^^^^^^^^^^^^^^^^^^^^ the other one
        = keep one of the two
    "#);
}

#[test]
fn what_holds_by_default_is_within_its_ceiling() {
    assert_snapshot!(problems("[site.cache.stale]\nif_error = \"240h\"\nwhile_revalidate_ceiling = \"1m\"\nwhile_revalidate = \"2m\"\n[site.compress]\nminimum_bytes = 4096\nmaximum_bytes = 2048"), @r#"
    mangrove.toml:6:12: 240h is more than the ceiling of 168h
      6 | if_error = "240h"
        |            ^^^^^^
        = lower `if_error` or raise `if_error_ceiling`

    mangrove.toml:8:20: 2m is more than the ceiling of 1m
      8 | while_revalidate = "2m"
        |                    ^^^^
      7 | while_revalidate_ceiling = "1m"
        |                            ^^^^ the ceiling
        = lower `while_revalidate` or raise `while_revalidate_ceiling`

    mangrove.toml:10:17: nothing has at least 4KiB and at most 2KiB
     10 | minimum_bytes = 4096
        |                 ^^^^
        = lower `minimum_bytes` or raise `maximum_bytes`
    "#);
}

#[test]
fn whoever_may_purge_is_listed_and_an_empty_list_is_refused() {
    let page = explained("[site.cache]\npurge_from = ['192.0.2.0/24', '::1']");
    assert!(page.contains("by PURGE from 192.0.2.0/24, ::1"), "{page}");
    assert!(!explained("").contains("PURGE"));
    let nobody = problems("[site.cache]\npurge_from = []");
    assert!(nobody.contains("purge_from"), "{nobody}");
    let twice = problems("[site.cache]\npurge_from = ['::1', '::1']");
    assert!(twice.contains("listed twice"), "{twice}");
    let wrong = problems("[site.cache]\npurge_from = ['news.example']");
    assert!(wrong.contains("a network is written"), "{wrong}");
}
