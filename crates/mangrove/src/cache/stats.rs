//! `mangrove cache stats`: how much is kept, where, and what it has done.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use serde::Deserialize;

use super::pretty;
use crate::running;
use crate::terminal::{self, bytes, counted};

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
    urls: u64,
    insertions: u64,
    replacements: u64,
    removals: u64,
    evictions: u64,
    refused: Refusals,
}

/// The disk tier. Without a store in use only its ceiling and why are told.
#[derive(Debug, Deserialize)]
struct Disk {
    ceiling_bytes: u64,
    in_use: bool,
    why: Option<String>,
    held_bytes: Option<u64>,
    complete: Option<u64>,
    written: Option<u64>,
    evicted: Option<u64>,
    refused: Option<u64>,
    damaged: Option<u64>,
    scan: Option<Scan>,
}

#[derive(Debug, Deserialize)]
struct Scan {
    over: bool,
    bytes: u64,
    bytes_done: u64,
    records: u64,
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
    terminal::say(in_words(&running::understood(&answer)?));
    Ok(ExitCode::SUCCESS)
}

fn in_words(statistics: &Statistics) -> String {
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
    let refused = &memory.refused;
    let mut text = String::new();
    let mut row = |name: &str, what: String| {
        let _ = writeln!(text, "{name:10} {what}");
    };
    row(
        "kept",
        format!(
            "{}, {} of {}",
            counted(memory.urls, "URL", "URLs"),
            bytes(memory.held_bytes),
            bytes(memory.ceiling_bytes)
        ),
    );
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
    match &disk.scan {
        Some(scan) if !scan.over => {
            let percent = (u128::from(scan.bytes_done) * 100)
                .checked_div(u128::from(scan.bytes))
                .unwrap_or(100);
            let _ = write!(
                text,
                "; {percent} % of what an earlier edge left is looked through ({} records)",
                scan.records
            );
        }
        _ => {}
    }
    if let Some(why) = disk.why.as_ref().filter(|_| !disk.in_use) {
        let _ = write!(text, "; not in use: {}", terminal::shown(why));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_told_in_rows() {
        let statistics = json!({
            "requests": { "hit": 7, "stale": 1, "revalidated": 0, "miss": 1, "bypass": 1, "refused": 0 },
            "memory": {
                "ceiling_bytes": 1 << 20, "held_bytes": 1 << 10, "urls": 1, "insertions": 2, "replacements": 1,
                "removals": 0, "evictions": 0, "refused": { "too_large": 0, "not_worth_it": 0, "pinned": 0 },
            },
            "fills": { "ceiling_bytes": 4096, "held_bytes": 0, "under_way": 0 },
        });
        let text = in_words(&serde_json::from_value(statistics).unwrap());
        assert!(
            text.contains("kept       1 URL, 1 KiB of 1 MiB\n"),
            "{text}"
        );
        assert!(
            text.contains("8 of 10 requests without the origin (80.0 %)"),
            "{text}"
        );
    }
}
