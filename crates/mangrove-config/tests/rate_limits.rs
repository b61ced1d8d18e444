//! Rate limits as they are written, and what is wrong with some.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should stop"
)]

use std::time::Duration;

use mangrove_config::{
    Counts, Defaults, Draft, LimitAction, LimitKey, PATH_PARTS, Settled, explain,
};

fn settle(lines: &str) -> Result<Settled, String> {
    let text = format!(
        "[[site]]\nname = \"a\"\nhosts = [\"*\"]\norigins = [\"http://b\"]\n[[site.rate_limit]]\n{lines}\n"
    );
    let draft = Draft::parse("f", &text).map_err(|problems| problems.to_string())?;
    let settled = draft.settle(&Defaults::default());
    Ok(settled.map_err(|problems| problems.to_string())?.settled)
}

#[test]
fn a_limit_says_who_counts_and_how_much_and_is_kept_as_said() {
    let settled = settle(
        "name = \"log-ins\"\nkey = [\"prefix\", \"cookie:session\", \"header:X-App\", \"path-part:2\"]\npath = \"/login\"\n\
         methods = [\"POST\"]\nrate = 5\nper = \"1m\"\nburst = 10\nstatuses = [\"401\", \"403\"]\naction = \"close\"",
    )
    .unwrap();
    let limit = &settled.sites[0].rate_limits[0];
    let keys: Vec<String> = limit.key.iter().map(LimitKey::to_string).collect();
    assert_eq!(
        keys,
        ["prefix", "cookie:session", "header:x-app", "path-part:2"]
    );
    assert_eq!(
        (limit.rate, limit.burst, limit.per),
        (Some(5), Some(10), Duration::from_secs(60))
    );
    assert_eq!(
        (limit.counts, limit.action),
        (Counts::All, LimitAction::Close)
    );
    assert!(limit.limit().is_some());
    assert_eq!(
        Settled::from_json(settled.to_json().as_bytes()).unwrap(),
        settled
    );
    let page = explain(&settled);
    let line = "limit    log-ins: 5 each 1m, 10 at once, by prefix and cookie:session and header:x-app and path-part:2, \
                for POST /login, answered with 401, 403; then the connection is closed";
    assert!(page.contains(line), "{page}");
}

#[test]
fn by_default_an_address_counts_and_is_refused_in_words() {
    let settled = settle("name = \"all\"\nrate = 100").unwrap();
    let limit = &settled.sites[0].rate_limits[0];
    assert_eq!(limit.key, [LimitKey::Address]);
    assert_eq!(
        (limit.counts, limit.action),
        (Counts::All, LimitAction::Refuse)
    );
    assert!(
        explain(&settled).contains("limit    all: 100 each 1s, 100 at once, by address; then 429")
    );
}

#[test]
fn what_becomes_of_who_is_over_is_told_in_words() {
    for (lines, told) in [
        (
            "action = \"delay\"\nlongest_delay = \"2s\"\nwaiting = 10\ntell = true",
            "by address; then each waits for its turn, at most 2s and 10 at one time; what is left is told",
        ),
        ("ttl = \"1h\"", "by address; then 429, for 1h"),
        (
            "key = [\"site\"]\ncounts = \"misses\"\nstatuses = [\"404\"]\nshare = 20",
            "by site, of what the cache does not answer, answered with 404 beyond 20% of the answers; then 429",
        ),
    ] {
        let settled = settle(&format!("name = \"a\"\nrate = 1\n{lines}")).unwrap();
        let page = explain(&settled);
        assert!(page.contains(told), "{page}");
    }
}

#[test]
fn what_cannot_be_meant_is_refused_with_what_to_do() {
    for (lines, told) in [
        ("rate = 1", "`name`"),
        (
            "name = \"a\"",
            "say how many requests each `per`: rate = 10",
        ),
        (
            "name = \"a b\"\nrate = 1",
            "letters, digits, `-`, `_` and `.`",
        ),
        (
            "name = \"a\"\nrate = 1\nkey = [\"ip\"]",
            "a key is \"address\", \"prefix\"",
        ),
        (
            "name = \"a\"\nrate = 1\nkey = [\"path-part:0\"]",
            "from 1 to 16",
        ),
        (
            "name = \"a\"\nrate = 1\nkey = [\"header:a b\"]",
            "a field's name is one word",
        ),
        (
            "name = \"a\"\nrate = 1\nkey = [\"ja4\", \"ja4\"]",
            "\"ja4\" is listed twice",
        ),
        (
            "name = \"a\"\nrate = 1\nkey = [\"ja4\", \"site\"]",
            "\"site\" changes nothing",
        ),
        ("name = \"a\"\nrate = 1\nkey = []", "empty list"),
        (
            "name = \"a\"\nrate = 1\nmethods = [\"post\"]",
            "in capitals",
        ),
        ("name = \"a\"\nrate = 1\nbrust = 2", "did you mean `burst`?"),
        (
            "name = \"a\"\nrate = 1\naction = \"refus\"",
            "did you mean \"refuse\"?",
        ),
        (
            "name = \"a\"\nrate = 1\nshare = 20",
            "say which: statuses = [\"404\"]",
        ),
        (
            "name = \"a\"\nrate = 1\naction = \"delay\"\nttl = \"1m\"",
            "keep one of `ttl` and",
        ),
        (
            "name = \"a\"\nrate = 1\naction = \"delay\"\nstatuses = [\"401\"]",
            "keep one of `statuses` and",
        ),
        (
            "name = \"a\"\nrate = 1\nkey = [\"site\"]\nttl = \"1m\"",
            "leave out `ttl`, or count by something",
        ),
        (
            "name = \"a\"\nrate = 1\nper = \"24h\"\nburst = 1_000_000",
            "a burst of 1000000 at 1 each 24h takes longer than can be counted",
        ),
        (
            "name = \"a\"\nrate = 1\nper = \"24h\"\nburst = 53_376",
            "lower `burst`",
        ),
        (
            "name = \"a\"\nrate = 1\n[[site.rate_limit]]\nname = \"a\"\nrate = 1",
            "there already is a limit named \"a\"",
        ),
    ] {
        let problems = settle(lines).unwrap_err();
        assert!(problems.contains(told), "{lines}: {problems}");
    }
}

/// What settles is counted: a limit that is not there is worse than one that is refused.
#[test]
fn the_corners_of_the_ranges_are_counted_or_refused() {
    for per in ["1s", "24h"] {
        for rate in ["1", "1_000_000"] {
            for burst in ["", "burst = 1", "burst = 53_375", "burst = 1_000_000"] {
                let lines = format!("name = \"a\"\nrate = {rate}\nper = \"{per}\"\n{burst}");
                match settle(&lines) {
                    Ok(settled) => assert!(settled.sites[0].rate_limits[0].limit().is_some()),
                    Err(told) => {
                        assert_eq!(
                            (per, rate, burst),
                            ("24h", "1", "burst = 1_000_000"),
                            "{told}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn parts_of_a_path_end_where_they_say() {
    assert!(
        format!("path-part:{PATH_PARTS}")
            .parse::<LimitKey>()
            .is_ok()
    );
    assert!(
        format!("path-part:{}", PATH_PARTS + 1)
            .parse::<LimitKey>()
            .is_err()
    );
}

/// What `docs/shield.md` shows works as it stands there.
#[test]
fn the_guide_shows_what_settles() {
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/shield.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let examples = guide.split("```toml\n").skip(1);
    let settled: Vec<_> = examples
        .map(|example| {
            let (example, _) = example.split_once("```").unwrap();
            let site = match example.contains("[[site]]") {
                true => "",
                false => "[[site]]\nname = 'a'\nhosts = ['*']\norigins = ['http://127.0.0.1:1']\n",
            };
            let text = format!("{example}{site}");
            let settlement = Draft::parse("shield.md", &text)
                .and_then(|draft| draft.settle(&Defaults::default()));
            settlement
                .unwrap_or_else(|problems| unreachable!("{problems}"))
                .settled
        })
        .collect();
    assert_eq!(settled[0].server.exempt_clients.len(), 2);
    let limits = &settled[1].sites[0].rate_limits;
    assert_eq!(limits.len(), 7);
    assert!(limits.iter().all(|limit| limit.limit().is_some()));
}
