//! What a file that is right becomes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should say so and stop"
)]

use std::time::Duration;

use insta::assert_snapshot;
use mangrove_config::{
    Defaults, Draft, HostPolicy, Origin, Scheme, Server, Settled, Settlement, diff, explain,
};

fn settlement(text: &str) -> Settlement {
    let draft = Draft::parse("mangrove.toml", text);
    draft
        .and_then(|draft| draft.settle(&Defaults::default()))
        .unwrap_or_else(|problems| panic!("{problems}"))
}

fn settled(text: &str) -> Settled {
    settlement(text).settled
}

/// Every table of a file, as an operator of two sites would write it.
const FULL: &str = r#"
[server]
http   = ["[::]:8080"]
https  = ["[::]:8443"]
admin  = "127.0.0.1:9180"
status = "[::]:8081"
state  = "./mangrove-state"
trusted_proxies = ["10.0.0.0/8"]

[[server.tls.certificate]]
cert = "/etc/mangrove/news.pem"
key  = "/etc/mangrove/news.key"

[server.log]
client_address = "truncated"
query = "redact"

[server.limits]
request_head = "5s"
request_body_bytes = "10GiB"

[[site]]
name    = "news"
hosts   = ["News.example.", "*.news.example"]
origins = ["http://127.0.0.1:3000", "unix:/run/news.sock", { url = "https://backup.example", weight = 2 }]
request_body_bytes = "1MiB"

[site.origin]
host = "origin"
connect_timeout = "500ms"

[site.origin.health]
path = "/up"

[[site]]
name    = "chat"
hosts   = ["*"]
upgrade = "off"
respond = { status = 503, body = "back soon" }
"#;

#[test]
fn the_smallest_file_is_two_lines_about_a_site() {
    let settled = settled(
        "[[site]]\nname = \"news\"\nhosts = [\"*\"]\norigins = [\"http://127.0.0.1:3000\"]",
    );
    assert!(
        settled
            .server
            .http
            .iter()
            .all(|address| address.ip().is_loopback()),
        "nothing said: loopback only"
    );
    assert_eq!(settled.server.limits.request_head, Duration::from_secs(10));
    assert_eq!(settled.sites.first().unwrap().upgrade, ["websocket"]);
}

#[test]
fn what_is_written_is_what_is_settled() {
    let settled = settled(FULL);
    let site = settled.sites.first().unwrap();
    assert_eq!(site.hosts, ["news.example", "*.news.example"]);
    let schemes: Vec<Scheme> = site.origins.iter().map(|origin| origin.scheme).collect();
    assert_eq!(schemes, [Scheme::Http, Scheme::Unix, Scheme::Https]);
    assert_eq!(site.origin.host, HostPolicy::Origin);
    assert_eq!(site.origin.connect_timeout, Duration::from_millis(500));
    assert_eq!(
        site.origin.first_byte_timeout,
        Duration::from_secs(60),
        "the others keep their defaults"
    );
    assert_eq!(site.request_body_bytes, Some(1024 * 1024));
    assert!(settled.sites.last().unwrap().upgrade.is_empty());
}

#[test]
fn to_exempt_everyone_is_worth_a_notice() {
    let notices = |network: &str| -> Vec<String> {
        let text = format!(
            "[server]\nexempt_clients = ['10.0.0.0/8', '{network}']\n\
             [[site]]\nname = 'a'\nhosts = ['*']\norigins = ['http://127.0.0.1:1']\n"
        );
        let notices = settlement(&text).notices;
        notices.iter().map(ToString::to_string).collect()
    };
    assert!(notices("2001:db8::/32").is_empty());
    let told = notices("0.0.0.0/0");
    assert!(
        told.len() == 1 && told[0].contains("0.0.0.0/0 is everyone"),
        "{told:?}"
    );
}

#[test]
fn a_part_that_is_not_built_yet_is_one_notice() {
    let notices: Vec<String> = settlement(FULL)
        .notices
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        notices,
        ["mangrove.toml:6: the status board is not built yet; nothing listens there"]
    );
}

#[test]
fn where_state_is_kept_is_known_before_anything_is_settled() {
    assert_eq!(
        Draft::parse("f", FULL).unwrap().state(),
        Some("./mangrove-state")
    );
    assert_eq!(
        Draft::parse("f", "[server]\nstate = \"\"").unwrap().state(),
        None
    );
    assert_eq!(Draft::parse("f", "server = 1").unwrap().state(), None);
}

#[test]
fn a_file_says_what_it_does() {
    let settled = settled(FULL);
    let said = explain(&settled).replace(&settled.digest(), "0123…");
    assert_snapshot!(said, @r#"
    Listening
      http     [::]:8080
      https    [::]:8443
      admin    127.0.0.1:9180
      certificate: /etc/mangrove/news.pem
      access log: log/access.ndjson in the state folder, visitors' addresses cut to their network, without query strings
      cache memory: 256MiB
      cache on disk: 10GiB
      not the default:
        status = "[::]:8081"
        trusted_proxies = ["10.0.0.0/8"]
        limits.request_head = "5s"
        limits.request_body_bytes = "10GiB"

    Site news
      hosts    news.example, *.news.example
      origins  http://127.0.0.1:3000 (25%), unix:/run/news.sock (25%), https://backup.example (50%)
      Host     the one in the origin's URL
      cache    fresh as long as the origin says; where it does not, 10% of the time since Last-Modified, at most 24h
      key      the URL with its query
      stale    served for up to 24h when the origin fails or is down, unless it says otherwise
      compress text and the like, from 512B to 16MiB: zstd 10, brotli 6, gzip 6
      not the default:
        origin.connect_timeout = "500ms"
        origin.health.path = "/up"
        request_body_bytes = "1MiB"

    Site chat
      hosts    any other host
      content  answered here: 503 with 9 bytes of text/plain; charset=utf-8
      not the default:
        upgrade = "off"

    2 sites, digest 0123…
    "#);
}

#[test]
fn a_change_says_what_changes() {
    let new = FULL
        .replace("[\"[::]:8443\"]", "\"off\"")
        .replace("500ms", "2s")
        .replace("name    = \"chat\"", "name    = \"talk\"")
        .replace("request_head = \"5s\"\n", "");
    assert_snapshot!(diff(&settled(FULL), &settled(&new)), @r#"
    ~ server.https = "off", was ["[::]:8443"]
    ~ server.limits.request_head = "10s", was "5s"
    - site chat
    ~ site news: origin.connect_timeout = "2s", was "500ms"
    + site talk: *
    "#);
    assert_eq!(diff(&settled(FULL), &settled(FULL)), "");
}

#[test]
fn the_first_run_needs_no_file() {
    for settled in [
        Settled::sample(Server::on_loopback()),
        Settled::for_origin(
            Origin::parse("http://127.0.0.1:3000", 1).unwrap(),
            Server::on_loopback(),
        ),
    ] {
        settled.check().unwrap();
        assert_eq!(
            Settled::from_json(settled.to_json().as_bytes()).unwrap(),
            settled
        );
    }
}

#[test]
fn the_digest_follows_the_meaning_and_not_the_writing() {
    let other = FULL
        .replace("10GiB", "10240MiB")
        .replace("News.example.", "news.example")
        .replace("5s", "5000ms");
    assert_eq!(settled(FULL).digest(), settled(&other).digest());
    assert_ne!(
        settled(FULL).digest(),
        settled(&FULL.replace("/up", "/down")).digest()
    );
    assert_eq!(settled(FULL).digest().len(), 64);
}

#[test]
fn a_stored_form_is_judged_like_a_file() {
    let json = settled(FULL).to_json();
    let refused = |from: &str, to: &str| {
        assert!(json.contains(from), "{from}");
        Settled::from_json(json.replace(from, to).as_bytes())
            .unwrap_err()
            .to_string()
    };
    assert_snapshot!(refused("\"request_head\":5000", "\"request_head\":5"), @r#"the settled form cannot be used: server.limits.request_head: `request_head` is from 1s to 2m; here it is 5ms"#);
    assert_snapshot!(refused("\"news.example\"", "\"News.example\""), @r#"the settled form cannot be used: site[0].hosts[0]: "News.example" is "news.example" in canonical form"#);
    assert_snapshot!(refused("\"name\":\"chat\"", "\"name\":\"news\""), @r#"the settled form cannot be used: site[1].name: there already is a site named "news""#);
    assert_snapshot!(refused("\"format\":1", "\"format\":2"), @r#"the settled form is of format 2; this build reads 1"#);
    assert_snapshot!(refused("\"format\":1", "\"format\":1,\"extra\":1"), @r#"the settled form cannot be read: unknown field `extra`, expected one of `format`, `server`, `sites` at line 1 column 19"#);
    let origin = refused("unix:/run/news.sock", "unix:news.sock");
    assert!(
        origin.contains("a Unix socket is written unix:/absolute/path"),
        "{origin}"
    );
    assert_snapshot!(Settled::from_json(b"").unwrap_err(), @r#"the settled form cannot be read: EOF while parsing a value at line 1 column 0"#);
}

#[test]
fn a_stored_form_from_before_a_setting_existed_gets_its_default() {
    let json = settled(FULL).to_json();
    let older = json.replacen(",\"h2_streams\":100", "", 1);
    assert_ne!(older, json);
    assert_eq!(Settled::from_json(older.as_bytes()).unwrap(), settled(FULL));
}
