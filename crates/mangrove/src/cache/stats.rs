//! `mangrove cache stats`: how much is kept, where, and what it has done.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use serde::Deserialize;

use super::paragraph::{self, wrapped};
use super::pretty;
use crate::look::Look;
use crate::running;
use crate::terminal::{self, bytes, counted, span};

/// `GET /cache`, as in the edge's answer.
#[derive(Debug, Deserialize)]
struct Statistics {
    requests: Requests,
    memory: Memory,
    /// None where nothing is kept on disk, and in the words of an edge from before anything was.
    disk: Option<Disk>,
    fills: Fills,
}

/// By what the cache did about them.
#[derive(Debug, Deserialize)]
struct Requests {
    hit: u64,
    stale: u64,
    revalidated: u64,
    miss: u64,
    bypass: u64,
    refused: u64,
}

#[derive(Debug, Deserialize)]
struct Memory {
    ceiling_bytes: u64,
    held_bytes: u64,
    beside: Beside,
    urls: u64,
    insertions: u64,
    replacements: u64,
    removals: u64,
    evictions: u64,
    refused: Refusals,
}

/// What the allocator holds beyond what it was asked for.
#[derive(Debug, Deserialize)]
struct Beside {
    bytes: u64,
    /// So much may be without costing anything,
    spared_bytes: u64,
    /// and so much counts as kept.
    counted_bytes: u64,
}

/// The disk tier. Without a store in use only its ceiling and why are told.
#[derive(Debug, Deserialize)]
struct Disk {
    ceiling_bytes: u64,
    in_use: bool,
    why: Option<String>,
    held_bytes: Option<u64>,
    /// To be written, and held in memory until then.
    waiting_bytes: Option<u64>,
    complete: Option<u64>,
    written: Option<u64>,
    evicted: Option<u64>,
    refused: Option<u64>,
    damaged: Option<u64>,
    /// Of sites that may not have all of it.
    #[serde(default)]
    quotas: Vec<Quota>,
    scan: Option<Scan>,
}

/// What a site has on disk, and may have.
#[derive(Debug, Deserialize)]
struct Quota {
    site: String,
    held_bytes: u64,
    ceiling_bytes: u64,
}

/// The most sites whose quotas are told.
const QUOTAS_TOLD: usize = 8;

#[derive(Debug, Deserialize)]
struct Scan {
    over: bool,
    bytes: u64,
    bytes_done: u64,
    records: u64,
    seconds: u64,
    /// None before it can be told.
    seconds_left: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Refusals {
    too_large: u64,
    not_worth_it: u64,
    pinned: u64,
}

#[derive(Debug, Deserialize)]
struct Fills {
    ceiling_bytes: u64,
    held_bytes: u64,
    under_way: u64,
}

/// Prints how much the cache holds and has done.
pub(crate) fn stats(state: &Path, json: bool) -> Result<ExitCode> {
    let answer = running::ask_in_charge(state, "GET /cache")?;
    if json {
        return pretty(&running::understood(&answer)?);
    }
    terminal::say(in_words(&running::understood(&answer)?, Look::of_output()));
    Ok(ExitCode::SUCCESS)
}

fn in_words(statistics: &Statistics, look: Look) -> String {
    let Statistics {
        requests,
        memory,
        disk,
        fills,
    } = statistics;
    let kept = u128::from(requests.hit) + u128::from(requests.stale);
    let all = kept
        + u128::from(requests.revalidated)
        + u128::from(requests.miss)
        + u128::from(requests.bypass)
        + u128::from(requests.refused);
    let answered = match (kept * 1000).checked_div(all) {
        None => "nobody has asked for anything yet".to_owned(),
        Some(mille) => format!(
            "{kept} of {all} requests without the origin ({}.{} %)",
            mille / 10,
            mille % 10
        ),
    };
    let columns = paragraph::columns(look);
    let refused = &memory.refused;
    let mut text = String::new();
    let mut row = |name: &str, what: String| {
        let _ = writeln!(text, "{name:10} {}", wrapped(&what, columns));
    };
    row(
        "in memory",
        format!(
            "{}, {} of {}",
            counted(memory.urls, "URL", "URLs"),
            bytes(memory.held_bytes),
            bytes(memory.ceiling_bytes)
        ),
    );
    row("gaps", gaps(&memory.beside));
    row("answered", answered);
    row(
        "of these",
        format!(
            "{} hit, {} stale; besides, {} revalidated, {} miss, {} bypass, {} refused",
            requests.hit,
            requests.stale,
            requests.revalidated,
            requests.miss,
            requests.bypass,
            requests.refused
        ),
    );
    row(
        "came",
        format!(
            "{}, {} replaced",
            counted(memory.insertions, "URL", "URLs"),
            memory.replacements
        ),
    );
    row(
        "left",
        format!(
            "{} taken out (purged, changed), {} to make room",
            memory.removals, memory.evictions
        ),
    );
    row(
        "refused",
        format!(
            "{} larger than the memory, {} not worth the room of others, {} for want of room",
            refused.too_large, refused.not_worth_it, refused.pinned
        ),
    );
    row(
        "on disk",
        disk.as_ref().map_or("nothing".to_owned(), disk_in_words),
    );
    for quota in disk
        .iter()
        .flat_map(|disk| disk.quotas.iter().take(QUOTAS_TOLD))
    {
        row("of a site", quota_in_words(quota));
    }
    if let Some(more @ 1..) =
        (disk.as_ref()).map(|disk| disk.quotas.len().saturating_sub(QUOTAS_TOLD))
    {
        row("", format!("and {more} more sites; --json tells them all"));
    }
    if let Some(scan) = disk.as_ref().and_then(|disk| disk.scan.as_ref())
        && scan.bytes > 0
    {
        row("found", found(scan, look));
    }
    row(
        "on its way",
        format!(
            "{}, {} of {}",
            counted(fills.under_way, "answer", "answers"),
            bytes(fills.held_bytes),
            bytes(fills.ceiling_bytes)
        ),
    );
    text
}

fn quota_in_words(quota: &Quota) -> String {
    format!(
        "{}: {} of {} on disk",
        terminal::shown(&quota.site),
        bytes(quota.held_bytes),
        bytes(quota.ceiling_bytes)
    )
}

fn disk_in_words(disk: &Disk) -> String {
    let mut text = format!(
        "{}, {} of {}; {} written, {} let go of to make room",
        counted(disk.complete.unwrap_or(0), "answer", "answers"),
        bytes(disk.held_bytes.unwrap_or(0)),
        bytes(disk.ceiling_bytes),
        counted(disk.written.unwrap_or(0), "record", "records"),
        disk.evicted.unwrap_or(0),
    );
    for (count, what) in [
        (
            disk.refused,
            "not written or read, since the disk was behind",
        ),
        (disk.damaged, "damaged and dropped"),
    ] {
        if let Some(count @ 1..) = count {
            let _ = write!(text, "; {count} {what}");
        }
    }
    if let Some(waiting @ 1..) = disk.waiting_bytes {
        let waiting = bytes(waiting);
        let _ = write!(text, "; {waiting} wait to be written, and count as memory");
    }
    if let Some(why) = disk.why.as_ref().filter(|_| !disk.in_use) {
        let _ = write!(text, "; not in use: {}", terminal::shown(why));
    }
    text
}

/// What the allocator holds between the things that it was asked for.
fn gaps(beside: &Beside) -> String {
    let (all, spared) = (bytes(beside.bytes), bytes(beside.spared_bytes));
    match beside.counted_bytes {
        0 => {
            format!("{all} of memory lie unused between what is kept; up to {spared} cost nothing")
        }
        counted => format!(
            "{all} of memory lie unused between what is kept, where other things have left; {} of them count as kept, so that \
             the edge does not outgrow its memory: so much less is kept until they are filled or given back",
            bytes(counted)
        ),
    }
}

/// How far it is known what an earlier edge left on the disk.
fn found(scan: &Scan, look: Look) -> String {
    let records = counted(scan.records, "record", "records");
    if scan.over {
        return format!(
            "all that an earlier edge left on the disk, {} with {records}, looked through in {}",
            bytes(scan.bytes),
            so_long(scan.seconds)
        );
    }
    let percent = (u128::from(scan.bytes_done) * 100)
        .checked_div(u128::from(scan.bytes))
        .map_or(100, |percent| percent.min(100));
    let left = match scan.seconds_left {
        None => String::new(),
        Some(seconds) => format!(", about {} more", span(seconds.max(1))),
    };
    format!(
        "{} {percent} % of what an earlier edge left on the disk is looked through: {} of {}, {records}; {} so far{left}",
        bar(percent, look),
        bytes(scan.bytes_done),
        bytes(scan.bytes),
        so_long(scan.seconds)
    )
}

fn so_long(seconds: u64) -> String {
    match seconds {
        0 => "less than 1 s".to_owned(),
        _ => span(seconds),
    }
}

/// Full to so many per cent.
fn bar(percent: u128, look: Look) -> String {
    const CELLS: usize = 20;
    let (full, empty) = match look.unicode {
        true => ("█", "░"),
        false => ("#", "."),
    };
    let filled = usize::try_from(percent * CELLS as u128 / 100).unwrap_or(CELLS);
    let filled = filled.min(CELLS);
    format!("[{}{}]", full.repeat(filled), empty.repeat(CELLS - filled))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const LOOK: Look = Look {
        width: None,
        unicode: false,
        colour: false,
    };

    fn told(disk: Value, beside: Value) -> String {
        let statistics = json!({
            "requests": { "hit": 7, "stale": 1, "revalidated": 0, "miss": 1, "bypass": 1, "refused": 0 },
            "memory": {
                "ceiling_bytes": 1 << 20, "held_bytes": 1 << 10, "beside": beside, "urls": 1, "insertions": 2,
                "replacements": 1, "removals": 0, "evictions": 0,
                "refused": { "too_large": 0, "not_worth_it": 0, "pinned": 0 },
            },
            "disk": disk,
            "fills": { "ceiling_bytes": 4096, "held_bytes": 0, "under_way": 0 },
        });
        in_words(&serde_json::from_value(statistics).unwrap(), LOOK)
    }

    fn beside(bytes: u64, counted: u64) -> Value {
        json!({ "bytes": bytes << 20, "spared_bytes": 8 << 20, "counted_bytes": counted << 20 })
    }

    fn scanning(scan: Value) -> String {
        let disk = json!({ "ceiling_bytes": 1 << 30, "in_use": true, "why": null, "scan": scan });
        told(disk, beside(0, 0)).replace("\n           ", " ")
    }

    #[test]
    fn numbers_are_told_in_rows() {
        let text = told(Value::Null, beside(1, 0));
        for says in [
            "in memory  1 URL, 1 KiB of 1 MiB\n",
            "8 of 10 requests without the origin (80.0 %)",
            "on disk    nothing\n",
        ] {
            assert!(text.contains(says), "{says}: {text}");
        }
        assert!(!text.contains("found"), "{text}");
        let disk =
            json!({ "ceiling_bytes": 1 << 30, "in_use": true, "why": null, "waiting_bytes": 2048 });
        let text = told(disk, beside(1, 0)).replace("\n           ", " ");
        assert!(text.contains("; 2 KiB wait to be written"), "{text}");
    }

    #[test]
    fn what_a_site_may_have_of_the_disk_is_told() {
        let of = |sites: u64| {
            let quota = |n| json!({ "site": format!("news{n}"), "held_bytes": 3 << 20, "ceiling_bytes": 1 << 30 });
            let quotas: Vec<_> = (0..sites).map(quota).collect();
            told(
                json!({ "ceiling_bytes": 8_u64 << 30, "in_use": true, "why": null, "quotas": quotas }),
                beside(0, 0),
            )
        };
        assert!(!of(0).contains("of a site"));
        let text = of(1);
        assert!(
            text.contains("of a site  news0: 3 MiB of 1 GiB on disk\n"),
            "{text}"
        );
        let most = QUOTAS_TOLD as u64;
        assert!(!of(most).contains("--json"));
        let text = of(most + 2);
        assert!(
            text.contains("and 2 more sites; --json tells them all"),
            "{text}"
        );
    }

    #[test]
    fn what_lies_unused_is_told_and_what_it_costs() {
        let text = |bytes, counted| {
            told(Value::Null, beside(bytes, counted)).replace("\n           ", " ")
        };
        let little = "gaps       8 MiB of memory lie unused between what is kept; up to 8 MiB cost nothing\n";
        assert!(text(8, 0).contains(little), "{}", text(8, 0));
        let much = text(9, 1);
        assert!(much.contains("9 MiB of memory lie unused"), "{much}");
        assert!(much.contains("1 MiB of them count as kept"), "{much}");
    }

    #[test]
    fn the_scan_is_told_with_a_bar_and_how_long_it_will_take() {
        let scan = |over, done: u64, left: Option<u64>| {
            json!({
                "over": over, "bytes": 1000 << 20, "bytes_done": done << 20, "records": 5, "seconds": 12, "seconds_left": left,
            })
        };
        for (scan, says) in [
            (
                scan(false, 370, Some(20)),
                "found      [#######.............] 37 % of what an earlier edge left on the disk is looked through: 370 MiB of \
                 1000 MiB, 5 records; 12 s so far, about 20 s more\n",
            ),
            (scan(false, 0, None), "[....................] 0 %"),
            (scan(false, 0, None), "12 s so far\n"),
            (scan(false, 2000, Some(0)), "[####################] 100 %"),
            (
                scan(true, 1000, Some(0)),
                "found      all that an earlier edge left on the disk, 1000 MiB with 5 records, looked through in 12 s\n",
            ),
        ] {
            let text = scanning(scan);
            assert!(text.contains(says), "{says}: {text}");
        }
        assert_eq!(so_long(0), "less than 1 s");
        let nothing = json!({
            "over": true, "bytes": 0, "bytes_done": 0, "records": 0, "seconds": 0, "seconds_left": 0,
        });
        assert!(!scanning(nothing).contains("found"));
    }

    #[test]
    fn no_row_is_wider_than_the_terminal() {
        let narrow = Look {
            width: Some(80),
            ..LOOK
        };
        let scan = json!({
            "over": false, "bytes": u64::MAX, "bytes_done": 1_u64 << 50, "records": 1_u64 << 40, "seconds": 90_000, "seconds_left": 99_999,
        });
        let statistics = json!({
            "requests": { "hit": 1_u64 << 40, "stale": 1, "revalidated": 1_u64 << 40, "miss": 1_u64 << 40, "bypass": 1, "refused": 0 },
            "memory": {
                "ceiling_bytes": 1_u64 << 40, "held_bytes": 1 << 10, "beside": beside(99, 91), "urls": 1, "insertions": 2,
                "replacements": 1, "removals": 0, "evictions": 0,
                "refused": { "too_large": 1 << 30, "not_worth_it": 1 << 30, "pinned": 1 << 30 },
            },
            "disk": {
                "ceiling_bytes": 1_u64 << 40, "in_use": false, "why": "the disk is full", "held_bytes": 1_u64 << 40, "complete": 1 << 30,
                "written": 1_u64 << 40, "evicted": 1 << 30, "refused": 1, "damaged": 1, "scan": scan,
            },
            "fills": { "ceiling_bytes": 4096, "held_bytes": 0, "under_way": 0 },
        });
        let text = in_words(&serde_json::from_value(statistics).unwrap(), narrow);
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}
