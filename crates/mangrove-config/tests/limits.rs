//! Every limit: what is one past it is refused, with its name.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot go on should say so and stop"
)]

use std::fmt::Write;

use mangrove_config::{
    Defaults, Draft, FILE_BYTES, SETTLED_BYTES, SITES, Setting, Settled, TABLES, Unit, Unsettled,
    limits_markdown, reference_markdown,
};

fn settle(text: &str) -> Result<Settled, String> {
    let draft = Draft::parse("f", text).map_err(|problems| problems.to_string())?;
    let settlement = draft
        .settle(&Defaults::default())
        .map_err(|problems| problems.to_string())?;
    Ok(settlement.settled)
}

/// A file with `line` in the table that `header` names, and nothing else wrong.
fn with_line(header: &str, line: &str) -> String {
    let site = "[[site]]\nname = \"a\"\nhosts = [\"*\"]\n";
    let origins = "origins = [\"http://b\"]\n";
    match header {
        "[[site]]" if line.starts_with("name") => {
            format!("[[site]]\nhosts = [\"*\"]\n{origins}{line}\n")
        }
        "[[site]]" if line.starts_with("hosts") => {
            format!("[[site]]\nname = \"a\"\n{origins}{line}\n")
        }
        "[[site]]" if line.starts_with("origins") => format!("{site}{line}\n"),
        "[[site]]" => format!("{site}{origins}{line}\n"),
        "[site.respond]" => format!("{site}{header}\n{line}\n"),
        "[[server.tls.certificate]]" => {
            let other = ["cert = \"c\"\n", "key = \"k\"\n"]
                .into_iter()
                .filter(|other| !line.starts_with(other.split(' ').next().unwrap()));
            format!(
                "{site}{origins}{header}\n{}{line}\n",
                other.collect::<String>()
            )
        }
        "[[site.cache.key_words]]" | "[[site.cache.lifetime]]" | "[[site.cache.negative]]" => {
            let others = match header {
                "[[site.cache.key_words]]" => ["header = \"b\"\n", "contains = [\"b\"]\n"],
                "[[site.cache.lifetime]]" => ["path = \"/b\"\n", "ttl = \"1s\"\n"],
                _ => ["status = \"404\"\n", "ttl = \"1s\"\n"],
            };
            let key = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
            let others = others.into_iter().filter(|other| key(other) != key(line));
            format!(
                "{site}{origins}{header}\n{}{line}\n",
                others.collect::<String>()
            )
        }
        "[[site.rate_limit]]" => {
            let key = line.split(' ').next().unwrap_or_default();
            let of_a_share = (key == "share").then_some("statuses = [\"404\"]\n");
            let others = ["name = \"b\"\n", "rate = 1\n"]
                .into_iter()
                .chain(of_a_share);
            let others = others.filter(|other| other.split(' ').next() != Some(key));
            format!(
                "{site}{origins}{header}\n{}{line}\n",
                others.collect::<String>()
            )
        }
        _ => format!("{site}{origins}{header}\n{line}\n"),
    }
}

/// A line that gives `setting` this magnitude, if one number alone can say it.
fn line_of(setting: &Setting, magnitude: u64) -> Option<String> {
    let key = setting.key;
    let length = usize::try_from(magnitude).unwrap();
    match setting.unit {
        Unit::Time => Some(format!("{key} = \"{magnitude}ms\"")),
        Unit::Bytes | Unit::Rate | Unit::Count | Unit::Percent => {
            Some(format!("{key} = {magnitude}"))
        }
        Unit::Text => Some(format!("{key} = \"{}\"", "a".repeat(length))),
        Unit::List if key == "certificate" => None,
        Unit::List if key == "targeted" => {
            let words = ["mangrove", "cdn", "surrogate", "cdn"];
            let word = |word: &&str| match *word {
                "surrogate" => "\"surrogate-control\"".to_owned(),
                word => format!("\"{word}-cache-control\""),
            };
            let entries: Vec<String> = words.iter().take(length).map(word).collect();
            Some(format!("{key} = [{}]", entries.join(", ")))
        }
        Unit::List => {
            let entries: Vec<String> = (0..length)
                .map(|n| match key {
                    "http" | "https" | "resolvers" => format!("\"127.0.0.1:{}\"", 10_000 + n),
                    "trusted_proxies" | "proxy_protocol" | "exempt_clients" | "purge_from" => {
                        format!("\"10.{}.{}.0/24\"", n / 256, n % 256)
                    }
                    "origins" => format!("\"http://127.0.0.1:{}\"", 10_000 + n),
                    "lifetime" => format!("{{ path = \"/{n}\", ttl = \"1s\" }}"),
                    "negative" => format!("{{ status = \"{}\", ttl = \"1s\" }}", 520 + n),
                    "key_words" => format!("{{ header = \"a{n}\", contains = [\"b\"] }}"),
                    "rate_limit" => format!("{{ name = \"a{n}\", rate = 1 }}"),
                    "key" => format!("\"header:a{n}\""),
                    "methods" => format!("\"A{n}\""),
                    "statuses" => format!("\"{}\"", 400 + n),
                    "paths" => format!("\"/a{n}\""),
                    "types" => format!("\"text/a{n}\""),
                    _ => format!("\"a{n}\""),
                })
                .collect();
            Some(format!("{key} = [{}]", entries.join(", ")))
        }
        Unit::Address | Unit::Flag | Unit::Choice | Unit::Table => None,
    }
}

#[test]
fn every_setting_one_past_its_range_is_refused_by_name() {
    let mut tried = 0;
    for table in TABLES {
        for setting in table.settings {
            // Texts with a grammar are never as long as their ceiling; their grammar refuses them first.
            let grammar = ["expect_status", "host", "status", "header"].contains(&setting.key)
                || setting.key == "path" && table.header != "[site.origin.health]";
            let beyond = [
                setting.maximum.checked_add(1),
                setting.minimum.checked_sub(1),
            ];
            for magnitude in beyond.into_iter().flatten().filter(|_| !grammar) {
                let Some(line) = line_of(setting, magnitude) else {
                    continue;
                };
                let problems = settle(&with_line(table.header, &line)).unwrap_err();
                let named = problems.contains(&format!("`{}`", setting.key));
                assert!(named, "{} {line:.60}: {problems:.2000}", table.header);
                tried += 1;
            }
        }
    }
    assert!(tried > 100, "only {tried} were tried");
}

#[test]
fn every_number_at_the_ends_of_its_range_is_accepted() {
    for table in TABLES {
        for setting in table.settings {
            let number = matches!(
                setting.unit,
                Unit::Time | Unit::Bytes | Unit::Rate | Unit::Count | Unit::Percent | Unit::List
            );
            // These must fit with another setting as well; `problems.rs` tells their stories.
            let bound = [
                "target_bytes",
                "head_bytes",
                "response_head_bytes",
                "connection_buffer_bytes",
                "timeout",
                "interval",
                "minimum_bytes",
                "maximum_bytes",
                "while_revalidate",
                "while_revalidate_ceiling",
                "if_error",
                "if_error_ceiling",
                "origin_down",
                "origin_down_ceiling",
            ];
            for magnitude in [setting.minimum, setting.maximum] {
                if !number
                    || bound.contains(&setting.key)
                    || (setting.unit == Unit::List && magnitude == 0)
                {
                    continue;
                }
                let Some(line) = line_of(setting, magnitude) else {
                    continue;
                };
                if let Err(problems) = settle(&with_line(table.header, &line)) {
                    panic!("{} {line:.60}: {problems:.2000}", table.header);
                }
            }
        }
    }
}

#[test]
fn a_file_one_byte_too_long_is_not_read() {
    let mut text = with_line("[server.limits]", "");
    text.push_str(&"#".repeat(FILE_BYTES - text.len()));
    assert!(settle(&text).is_ok());
    text.push('#');
    assert!(settle(&text).unwrap_err().contains(&FILE_BYTES.to_string()));
}

#[test]
fn one_site_too_many_is_refused() {
    let sites = |count: usize| {
        (0..count).fold(String::from("site=["), |mut text, n| {
            let _ = write!(text, "{{name='{n}',hosts=['a{n}'],origins=['http://b']}},");
            text
        }) + "]"
    };
    assert!(settle(&sites(SITES)).is_ok());
    assert!(
        settle(&sites(SITES + 1))
            .unwrap_err()
            .contains(&SITES.to_string())
    );
}

#[test]
fn one_site_too_many_is_refused_in_a_stored_form_too() {
    let mut settled = settle(&with_line("[server.limits]", "")).unwrap();
    settled.sites = vec![settled.sites.first().unwrap().clone(); SITES + 1];
    assert!(
        settled
            .check()
            .unwrap_err()
            .to_string()
            .contains(&SITES.to_string())
    );
}

#[test]
fn a_stored_form_one_byte_too_long_is_not_read() {
    let bytes = vec![b' '; SETTLED_BYTES + 1];
    assert!(
        matches!(Settled::from_json(&bytes), Err(Unsettled::TooLarge(length)) if length == bytes.len())
    );
}

/// Where the page of limits goes on with what the edge alone knows, and checks.
const EDGE: &str = "\n## Fixed in the edge\n";

/// The committed pages say what the table says. `MANGROVE_WRITE_DOCS=1` writes them anew.
#[test]
fn the_reference_pages_are_up_to_date() {
    let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    for (name, page) in [
        ("configuration.md", reference_markdown()),
        ("limits.md", limits_markdown()),
    ] {
        let path = docs.join(name);
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        let (ours, others) = committed.split_at(committed.find(EDGE).unwrap_or(committed.len()));
        if std::env::var_os("MANGROVE_WRITE_DOCS").is_some() {
            std::fs::write(&path, format!("{page}{others}")).unwrap();
            continue;
        }
        assert!(
            ours == page,
            "docs/{name} is out of date: run this test with MANGROVE_WRITE_DOCS=1"
        );
    }
}

#[test]
fn the_most_sites_fit_into_the_largest_settled_form() {
    /// Name, hosts and origins of one site, and what it changes.
    const OWN: usize = 512;
    let json = |sites: usize| {
        let mut settled = settle(&with_line("[server.limits]", "")).unwrap();
        settled.sites = vec![settled.sites.first().unwrap().clone(); sites];
        settled.to_json().len()
    };
    let site = json(2) - json(1) + OWN;
    assert!(json(1) + site * SITES < SETTLED_BYTES, "{site} bytes each");
}
