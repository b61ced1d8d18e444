//! `mangrove cache list`: the URLs of which something is kept, in memory and on the disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::arguments::Tier;
use crate::terminal::{self, Waiting, bytes, span};
use crate::{clock, running, table};

/// A page of what memory has, as in the edge's answer.
#[derive(Debug, Deserialize)]
struct Page {
    kept: Vec<Row>,
    next: Option<u32>,
}

/// A page of what the disk has.
#[derive(Debug, Deserialize)]
struct DiskPage {
    kept: Vec<Row>,
    next: Option<String>,
    looked_through_mille: u64,
    /// Nothing that an earlier edge left there is still to be found.
    all_known: bool,
    /// There is no disk tier.
    off: bool,
    /// Why it ends before its end.
    why: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Row {
    site: String,
    url: String,
    variants: u64,
    /// Of these variants.
    in_memory: u64,
    on_disk: u64,
    complete: u64,
    bytes: u64,
    status: u16,
    age: u64,
    ttl: i64,
    lifetime_from: String,
}

/// What is to be listed.
#[derive(Clone, Copy, Debug)]
struct Wanted<'a> {
    site: Option<&'a str>,
    tier: Option<Tier>,
    most: usize,
}

/// What was found of it.
#[derive(Debug, Default)]
struct Found {
    /// By site and URL; what came last of one is what holds.
    rows: BTreeMap<(String, String), Row>,
    more: bool,
    /// What the list lacks, and why.
    lacks: Vec<String>,
}

/// Prints at most `most` of the URLs of which something is kept.
pub(crate) fn list(
    state: &Path,
    site: Option<&str>,
    tier: Option<Tier>,
    most: usize,
    json: bool,
) -> Result<ExitCode> {
    let wanted = Wanted { site, tier, most };
    let ask = |line: &str| running::ask_in_charge(state, line);
    let mut waiting = Waiting::new(clock::now());
    let found = gather(wanted, ask, |looked, urls| {
        let text = format!("reading what the disk has: {} %, {urls} URLs", looked / 10);
        waiting.tell(clock::now(), &text);
    })?;
    drop(waiting);
    let rows: Vec<&Row> = found.rows.values().take(most).collect();
    if json {
        terminal::say(serde_json::to_string_pretty(&rows)?);
    } else if rows.is_empty() {
        terminal::say("Nothing is kept.");
    } else {
        terminal::say(listed(&rows));
    }
    if found.more {
        terminal::warn(format_args!(
            "there are more than these {most}; see more with --most NUMBER"
        ));
    }
    found.lacks.iter().for_each(terminal::warn);
    Ok(ExitCode::SUCCESS)
}

/// Asks for pages until there are enough, of memory first: that costs next to nothing. `tell` is told how far the disk is
/// looked through, in thousandths, and how many URLs there are.
fn gather(
    wanted: Wanted<'_>,
    mut ask: impl FnMut(&str) -> Result<String>,
    mut tell: impl FnMut(u64, usize),
) -> Result<Found> {
    let of_site = wanted.site.map_or(String::new(), |site| {
        format!("&site={}", running::encoded(site))
    });
    let mut found = Found::default();
    let mut next = (wanted.tier != Some(Tier::Disk)).then_some(0);
    while let Some(from) = next.filter(|_| found.rows.len() <= wanted.most) {
        let line = format!("GET /cache/list?from={from}{of_site}");
        let page: Page = running::understood(&ask(&line)?)?;
        found.take(page.kept);
        next = page.next;
    }
    let mut next = (wanted.tier != Some(Tier::Memory)).then(String::new);
    while let Some(from) = next.filter(|_| found.rows.len() <= wanted.most) {
        let line = format!("GET /cache/list?disk{from}{of_site}");
        let page: DiskPage = running::understood(&ask(&line)?)?;
        found.take(page.kept);
        next = page.next.map(|next| format!("&from={next}"));
        tell(page.looked_through_mille, found.rows.len());
        if let Some(why) = page.why {
            let why = terminal::shown(&why);
            // Who has turned the disk off knows that, unless it is what was asked for.
            if !page.off || wanted.tier == Some(Tier::Disk) {
                found
                    .lacks
                    .push(format!("of the disk, not all is told: {why}"));
            }
        } else if next.is_none() && !page.all_known {
            let still = "what an earlier edge left on the disk is still being looked through: there may be more";
            found.lacks.push(still.to_owned());
        }
    }
    found.more = found.rows.len() > wanted.most;
    Ok(found)
}

impl Found {
    fn take(&mut self, rows: Vec<Row>) {
        let by_url = rows
            .into_iter()
            .map(|row| ((row.site.clone(), row.url.clone()), row));
        self.rows.extend(by_url);
    }
}

impl Row {
    /// In one word, or two.
    fn whereabouts(&self) -> String {
        let all = self.variants;
        let tier = match (self.in_memory, self.on_disk) {
            (memory, disk) if memory == all && disk == all => "both",
            (_, 0) => "memory",
            (0, _) => "disk",
            _ => "mixed",
        };
        match self.complete < all {
            true => format!("{tier}, part"),
            false => tier.to_owned(),
        }
    }
}

fn listed(rows: &[&Row]) -> String {
    let head = [
        "site", "status", "age", "left", "by", "content", "variants", "where", "URL",
    ];
    let cells = rows.iter().map(|row| {
        [
            row.site.clone(),
            row.status.to_string(),
            span(row.age),
            match u64::try_from(row.ttl) {
                Ok(left) if left > 0 => span(left),
                _ => "stale".to_owned(),
            },
            row.lifetime_from.clone(),
            bytes(row.bytes),
            row.variants.to_string(),
            row.whereabouts(),
            row.url.clone(),
        ]
    });
    table::of(head, cells)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn row(url: &str, in_memory: u64, on_disk: u64) -> Value {
        json!({
            "site": "news", "url": url, "variants": 1, "in_memory": in_memory, "on_disk": on_disk, "complete": 1,
            "bytes": 5, "status": 200, "age": 12, "ttl": 48, "lifetime_from": "max-age",
        })
    }

    /// An edge whose memory has `a` and `b`, and whose disk, in two pages, `b` and `c`.
    fn edge(line: &str) -> Value {
        match line {
            "GET /cache/list?from=0" => {
                json!({ "kept": [row("a", 1, 0), row("b", 1, 0)], "next": null })
            }
            "GET /cache/list?disk" => json!({
                "kept": [row("b", 1, 1)], "next": "40", "looked_through_mille": 250, "all_known": true, "off": false, "why": null,
            }),
            "GET /cache/list?disk&from=40" => json!({
                "kept": [row("c", 0, 1)], "next": null, "looked_through_mille": 1000, "all_known": true, "off": false, "why": null,
            }),
            other => panic!("nobody asks {other}"),
        }
    }

    fn found(tier: Option<Tier>, most: usize) -> (Vec<String>, bool) {
        let wanted = Wanted {
            site: None,
            tier,
            most,
        };
        let found = gather(wanted, |line| Ok(edge(line).to_string()), |_, _| ()).unwrap();
        let rows = found.rows.values();
        let told = rows.map(|row| format!("{} {}", row.url, row.whereabouts()));
        assert!(found.lacks.is_empty(), "{found:?}");
        (told.collect(), found.more)
    }

    #[test]
    fn each_url_is_listed_once_with_all_places_where_it_is_kept() {
        let all = ["a memory", "b both", "c disk"].map(str::to_owned);
        assert_eq!(found(None, 3), (all.to_vec(), false));
        assert_eq!(
            found(Some(Tier::Memory), 3).0,
            ["a memory", "b memory"].map(str::to_owned)
        );
        assert_eq!(
            found(Some(Tier::Disk), 3).0,
            ["b both", "c disk"].map(str::to_owned)
        );
    }

    #[test]
    fn one_more_than_wanted_is_told_and_no_page_is_asked_for_in_vain() {
        assert!(found(None, 2).1);
        let mut asked = Vec::new();
        let wanted = Wanted {
            site: Some("a b"),
            tier: None,
            most: 1,
        };
        let of_site = |line: &str| {
            asked.push(line.to_owned());
            Ok(edge(line.trim_end_matches("&site=a%20b")).to_string())
        };
        assert!(gather(wanted, of_site, |_, _| ()).unwrap().more);
        assert_eq!(asked, ["GET /cache/list?from=0&site=a%20b"]);
    }

    #[test]
    fn it_is_said_how_far_the_disk_is_looked_through_and_what_the_list_lacks() {
        let wanted = Wanted {
            site: None,
            tier: None,
            most: 9,
        };
        let mut told = Vec::new();
        let ask = |line: &str| Ok(edge(line).to_string());
        gather(wanted, ask, |looked, urls| told.push((looked, urls))).unwrap();
        assert_eq!(told, [(250, 2), (1000, 3)]);

        for (known, off, why, lacks) in [
            (false, false, Value::Null, Some("still being looked")),
            (true, false, json!("the disk is behind"), Some("is behind")),
            (true, true, json!("`disk_cache` is off"), None),
            (true, false, Value::Null, None),
        ] {
            let ask = |line: &str| {
                let mut page = json!({ "kept": [], "next": null });
                if line.contains("disk") {
                    page["looked_through_mille"] = json!(1000);
                    (page["all_known"], page["off"]) = (json!(known), json!(off));
                    page["why"] = why.clone();
                }
                Ok(page.to_string())
            };
            let found = gather(wanted, ask, |_, _| ()).unwrap();
            match lacks {
                Some(lacks) => assert!(found.lacks[0].contains(lacks), "{found:?}"),
                None => assert!(found.lacks.is_empty(), "{found:?}"),
            }
        }
    }

    #[test]
    fn whereabouts_are_told_in_a_word() {
        let of = |variants: u64, in_memory: u64, on_disk: u64, complete: u64| {
            let mut row: Row = serde_json::from_value(row("a", in_memory, on_disk)).unwrap();
            (row.variants, row.complete) = (variants, complete);
            row.whereabouts()
        };
        assert_eq!(of(2, 2, 2, 2), "both");
        assert_eq!(of(2, 2, 0, 2), "memory");
        assert_eq!(of(2, 0, 2, 2), "disk");
        assert_eq!(of(2, 1, 2, 2), "mixed");
        assert_eq!(of(2, 1, 1, 2), "mixed");
        assert_eq!(of(1, 1, 0, 0), "memory, part");
    }
}
