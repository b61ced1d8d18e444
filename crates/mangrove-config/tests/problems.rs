//! What people read when a file is wrong.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should say so and stop"
)]

use insta::assert_snapshot;
use mangrove_config::{Defaults, Draft};

/// All that is said about a file that must not settle.
fn problems(text: &str) -> String {
    match Draft::parse("mangrove.toml", text).and_then(|draft| draft.settle(&Defaults::default())) {
        Ok(settlement) => panic!("settled: {:?}", settlement.settled),
        Err(problems) => problems.to_string(),
    }
}

/// The same, for a site with these further lines.
fn site_problems(lines: &str) -> String {
    problems(&format!(
        "[[site]]\nname = \"news\"\nhosts = [\"news.example\"]\n{lines}\n"
    ))
}

const ORIGIN: &str = "origins = [\"http://127.0.0.1:3000\"]";

#[test]
fn a_mistyped_key_is_pointed_at_and_not_reported_twice() {
    assert_snapshot!(site_problems("origns = [\"http://127.0.0.1:3000\"]"), @r#"
    mangrove.toml:4:1: there is no setting `origns`
     4 | origns = ["http://127.0.0.1:3000"]
       | ^^^^^^
       = did you mean `origins`?
    "#);
}

#[test]
fn a_key_in_the_wrong_table_is_sent_home() {
    assert_snapshot!(problems("connections = 5\n[[site]]\nname = \"a\"\nhosts = [\"a.example\"]\norigins = [\"http://b\"]\nconnect_timeout = \"1s\""), @r#"
    mangrove.toml:1:1: there is no setting `connections`
     1 | connections = 5
       | ^^^^^^^^^^^
       = `connections` belongs in [server.limits]

    mangrove.toml:6:1: there is no setting `connect_timeout`
     6 | connect_timeout = "1s"
       | ^^^^^^^^^^^^^^^
       = `connect_timeout` belongs in [site.origin]
    "#);
}

#[test]
fn text_that_is_not_toml_is_pointed_at() {
    assert_snapshot!(problems("[server\nhttp = 1\n\nname = \"a\"\nname = \"b\""), @r#"
    mangrove.toml:1:8: unclosed table, expected `]`
     1 | [server
       |        ^
    "#);
}

#[test]
fn nothing_is_never_everything() {
    assert_snapshot!(problems(""), @r#"
    mangrove.toml: there is no site: nothing would be served
       = add a [[site]] with `name`, `hosts` and `origins`
    "#);
    assert_snapshot!(problems("site = []"), @r#"
    mangrove.toml:1:8: there is no site: nothing would be served
     1 | site = []
       |        ^^
       = add a [[site]] with `name`, `hosts` and `origins`
    "#);
    assert_snapshot!(problems("[[site]]\nname = \"a\"\nhosts = []\norigins = []\n[server]\nhttp = []\nresolvers = []\ntls.certificate = []"), @r#"
    mangrove.toml:3:9: `hosts` is an empty list, which is read neither as all nor as none
     3 | hosts = []
       |         ^^
       = list at least one; "*" is any host

    mangrove.toml:4:11: `origins` is an empty list, which is read neither as all nor as none
     4 | origins = []
       |           ^^
       = list at least one, or leave the key out

    mangrove.toml:6:8: `http` is an empty list, which is read neither as all nor as none
     6 | http = []
       |        ^^
       = for none, write "off"

    mangrove.toml:7:13: `resolvers` is an empty list, which is read neither as all nor as none
     7 | resolvers = []
       |             ^^
       = list at least one, or leave the key out

    mangrove.toml:8:19: `certificate` is an empty list, which is read neither as all nor as none
     8 | tls.certificate = []
       |                   ^^
       = list at least one, or leave the key out
    "#);
    assert_snapshot!(problems("[[site]]\nname = \"\"\nhosts = [\"\"]\norigins = [\"\"]"), @r#"
    mangrove.toml:2:8: `name` is empty
     2 | name = ""
       |        ^^

    mangrove.toml:3:10: `hosts` is empty
     3 | hosts = [""]
       |          ^^

    mangrove.toml:4:12: "" cannot be used: an origin begins with http://, https:// or unix:/
     4 | origins = [""]
       |            ^^
    "#);
    assert_snapshot!(problems("[[site]]"), @r#"
    mangrove.toml:1:1: `name` is missing
     1 | [[site]]
       | ^^^^^^^^

    mangrove.toml:1:1: `hosts` is missing
     1 | [[site]]
       | ^^^^^^^^
       = list the names it answers: hosts = ["news.example"]; "*" is any host

    mangrove.toml:1:1: `origins` is missing
     1 | [[site]]
       | ^^^^^^^^
       = say where content comes from: origins = ["http://127.0.0.1:3000"]
    "#);
    assert_snapshot!(problems(&format!("[server]\nhttp = \"off\"\nhttps = \"off\"\n[[site]]\nname = \"a\"\nhosts = [\"*\"]\n{ORIGIN}")), @r#"
    mangrove.toml:2:8: nothing listens: `http` and `https` are both off
     2 | http = "off"
       |        ^^^^^
       = give one of them an address
    "#);
}

#[test]
fn a_host_belongs_to_one_site() {
    let second = format!(
        "{ORIGIN}\n[[site]]\nname = \"shop\"\nhosts = [\"shop.example\", \"NEWS.example.\"]\n{ORIGIN}"
    );
    assert_snapshot!(site_problems(&second), @r#"
    mangrove.toml:7:26: "news.example" is already a host of site "news"
     7 | hosts = ["shop.example", "NEWS.example."]
       |                          ^^^^^^^^^^^^^^^
     3 | hosts = ["news.example"]
       |          ^^^^^^^^^^^^^^ the first one
       = each host belongs to one site, once
    "#);
}

#[test]
fn a_site_has_a_name_of_its_own() {
    assert_snapshot!(site_problems(&format!("{ORIGIN}\n[[site]]\nname = \"news\"\nhosts = [\"b.example\"]\n{ORIGIN}")), @r#"
    mangrove.toml:6:8: there already is a site named "news"
     6 | name = "news"
       |        ^^^^^^
     2 | name = "news"
       |        ^^^^^^ the first one
    "#);
}

#[test]
fn two_listeners_do_not_share_an_address() {
    let server = "[server]\nhttp = [\"0.0.0.0:8080\", \"[::]:8080\"]\nhttps = [\"127.0.0.1:8080\"]\nadmin = \"[::1]:9180\"\nstatus = \"[::1]:9180\"\n";
    assert_snapshot!(problems(&format!("{server}[[site]]\nname = \"a\"\nhosts = [\"*\"]\n{ORIGIN}")), @r#"
    mangrove.toml:3:10: `https` on 127.0.0.1:8080 overlaps `http` on 0.0.0.0:8080
     3 | https = ["127.0.0.1:8080"]
       |          ^^^^^^^^^^^^^^^^
     2 | http = ["0.0.0.0:8080", "[::]:8080"]
       |         ^^^^^^^^^^^^^^ the other one
       = give each its own port

    mangrove.toml:5:10: `status` listens on [::1]:9180, as `admin` does
     5 | status = "[::1]:9180"
       |          ^^^^^^^^^^^^
     4 | admin = "[::1]:9180"
       |         ^^^^^^^^^^^^ the other one
       = give each its own port
    "#);
}

#[test]
fn numbers_come_with_their_unit_and_inside_their_range() {
    let limits = "[server.limits]\nrequest_head = 5\nh2_idle = \"1 minute\"\ndrain = \"61s\"\nhead_bytes = \"32KB\"\nhead_fields = -1\nconnections = \"many\"\n";
    assert_snapshot!(problems(&format!("{limits}[[site]]\nname = \"a\"\nhosts = [\"*\"]\n{ORIGIN}")), @r#"
    mangrove.toml:2:16: `request_head` needs a unit
     2 | request_head = 5
       |                ^
       = if you mean seconds, write "5s"

    mangrove.toml:3:11: "1 minute" is not a duration
     3 | h2_idle = "1 minute"
       |           ^^^^^^^^^^
       = a duration is a whole number with ms, s, m or h, in quotes: "10s"

    mangrove.toml:4:9: `drain` is from 0s to 1m; here it is 61s
     4 | drain = "61s"
       |         ^^^^^

    mangrove.toml:5:14: "32KB" is not a size
     5 | head_bytes = "32KB"
       |              ^^^^^^
       = a size is a number of bytes, or a whole number with KiB, MiB, GiB or TiB, in quotes: "32KiB"

    mangrove.toml:6:15: `head_fields` is from 16 to 1000; here it is -1
     6 | head_fields = -1
       |               ^^

    mangrove.toml:7:15: `connections` cannot be a text
     7 | connections = "many"
       |               ^^^^^^
       = write a whole number, without quotes
    "#);
}

#[test]
fn a_word_that_is_not_one_of_the_words_gets_the_nearest() {
    let server =
        "[server.tls]\nmin_version = 1.3\n[server.log]\nto = \"stdot\"\nquery = \"maybe\"\n";
    assert_snapshot!(problems(&format!("{server}[[site]]\nname = \"a\"\nhosts = [\"*\"]\n{ORIGIN}\npath = \"normalised\"")), @r#"
    mangrove.toml:2:15: `min_version` cannot be a number with a fraction
      2 | min_version = 1.3
        |               ^^^
        = write it in quotes: "1.3"

    mangrove.toml:4:6: `to` cannot be "stdot"
      4 | to = "stdot"
        |      ^^^^^^^
        = did you mean "stdout"?

    mangrove.toml:5:9: `query` cannot be "maybe"
      5 | query = "maybe"
        |         ^^^^^^^
        = write one of "keep", "redact"

    mangrove.toml:10:8: `path` cannot be "normalised"
     10 | path = "normalised"
        |        ^^^^^^^^^^^^
        = did you mean "normalized"?
    "#);
}

#[test]
fn an_origin_is_an_address_and_nothing_more() {
    assert_snapshot!(site_problems("origins = [\"127.0.0.1:3000\", \"http://a/path\", \"unix:app.sock\", { url = \"http://b\", wieght = 2 }, { url = \"http://c\", weight = 0 }]"), @r#"
    mangrove.toml:4:12: "127.0.0.1:3000" cannot be used: an origin begins with http://, https:// or unix:/
     4 | origins = ["127.0.0.1:3000", "http://a/path", "unix:app.sock", { url = "http://b", wieght = 2 }, { u
       |            ^^^^^^^^^^^^^^^^

    mangrove.toml:4:30: "http://a/path" cannot be used: an origin has no path or query: paths are passed on as they are
     4 | origins = ["127.0.0.1:3000", "http://a/path", "unix:app.sock", { url = "http://b", wieght = 2 }, { u
       |                              ^^^^^^^^^^^^^^^

    mangrove.toml:4:47: "unix:app.sock" cannot be used: a Unix socket is written unix:/absolute/path
     4 | origins = ["127.0.0.1:3000", "http://a/path", "unix:app.sock", { url = "http://b", wieght = 2 }, { u
       |                                               ^^^^^^^^^^^^^^^

    mangrove.toml:4:84: there is no setting `wieght`
     4 | origins = ["127.0.0.1:3000", "http://a/path", "unix:app.sock", { url = "http://b", wieght = 2 }, { u
       |                                                                                    ^^^^^^
       = did you mean `weight`?

    mangrove.toml:4:127: `weight` is from 1 to 1000; here it is 0
     4 | l = "http://c", weight = 0 }]
       |                          ^
    "#);
}

#[test]
fn content_comes_from_one_place() {
    assert_snapshot!(site_problems(&format!("{ORIGIN}\nrespond = {{ status = 204, body = \"x\" }}")), @r#"
    mangrove.toml:4:11: a site has either `origins`, or `respond`, or `sample`
     4 | origins = ["http://127.0.0.1:3000"]
       |           ^^^^^^^^^^^^^^^^^^^^^^^^^
       = keep one of them

    mangrove.toml:5:34: a 204 response has no content (RFC 9110 section 15)
     5 | respond = { status = 204, body = "x" }
       |                                  ^^^
    "#);
    assert_snapshot!(site_problems("origins = [\"http://a\", \"http://A:80/\"]"), @r#"
    mangrove.toml:4:24: "http://A:80/" is listed twice
     4 | origins = ["http://a", "http://A:80/"]
       |                        ^^^^^^^^^^^^^^
       = to send it more, give it a weight: { url = "…", weight = 2 }
    "#);
}

#[test]
fn protocols_that_lead_past_the_checks_are_never_upgraded_to() {
    assert_snapshot!(site_problems(&format!("{ORIGIN}\nupgrade = [\"websocket\", \"h2c\", \"two words\"]")), @r#"
    mangrove.toml:5:25: "h2c" is never upgraded to
     5 | upgrade = ["websocket", "h2c", "two words"]
       |                         ^^^^^
       = HTTP/2 is spoken by ALPN, and in cleartext by prior knowledge (RFC 9113 section 3)

    mangrove.toml:5:32: "two words" cannot be a protocol
     5 | upgrade = ["websocket", "h2c", "two words"]
       |                                ^^^^^^^^^^^
       = a protocol is one word in lower case, such as "websocket"
    "#);
}

#[test]
fn limits_that_contradict_each_other_are_refused() {
    let limits = "[server.limits]\nhead_bytes = \"8KiB\"\nresponse_head_bytes = \"1MiB\"\n";
    assert_snapshot!(problems(&format!("{limits}[[site]]\nname = \"a\"\nhosts = [\"*\"]\n{ORIGIN}\n[site.origin.health]\ninterval = \"1s\"\npath = \"up\"")), @r#"
    mangrove.toml:1:1: a target of 16KiB does not fit in a head of 8KiB
      1 | [server.limits]
        | ^^^^^^^^^^^^^^^
        = raise `head_bytes` or lower `target_bytes`

    mangrove.toml:1:1: 256KiB cannot hold a request head and a response head
      1 | [server.limits]
        | ^^^^^^^^^^^^^^^
        = `head_bytes` and `response_head_bytes` together are 1032KiB

    mangrove.toml:8:1: a check may not last longer than the time between checks
      8 | [site.origin.health]
        | ^^^^^^^^^^^^^^^^^^^^
        = lower `timeout` or raise `interval`

    mangrove.toml:10:8: "up" cannot be a path
     10 | path = "up"
        |        ^^^^
        = a path begins with / and has no spaces; escape others as %20
    "#);
}

#[test]
fn one_pair_of_brackets_is_one_too_few() {
    assert_snapshot!(problems("[site]\nname = \"a\""), @r#"
    mangrove.toml:1:1: there can be many sites
     1 | [site]
       | ^^^^^^
       = write [[site]], with two brackets on each side
    "#);
    assert_snapshot!(problems("site = [3]\nserver = 4"), @r#"
    mangrove.toml:1:9: `site` cannot be a number
     1 | site = [3]
       |         ^
       = it is a table of settings

    mangrove.toml:2:10: `server` is a table of settings
     2 | server = 4
       |          ^
       = write [server] on a line of its own
    "#);
}

#[test]
fn what_is_said_has_an_end() {
    let text: String = (0..200).map(|n| format!("zz{n} = 1\n")).collect();
    let said = problems(&text);
    assert_eq!(
        said.matches("there is no setting").count(),
        mangrove_config::PROBLEMS
    );
    assert!(said.ends_with("mangrove.toml: and 151 more\n"), "{said}");
}
