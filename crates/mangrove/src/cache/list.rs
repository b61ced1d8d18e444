//! `mangrove cache list`: the URLs of which something is kept.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::terminal::{self, bytes, span};
use crate::{running, table};

/// A page of the list, as in the edge's answer.
#[derive(Debug, Deserialize)]
struct Page {
    kept: Vec<Row>,
    next: Option<u32>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Row {
    site: String,
    url: String,
    variants: u64,
    bytes: u64,
    status: u16,
    age: u64,
    ttl: i64,
}

/// Prints at most `most` of the URLs of which something is kept.
pub(crate) fn list(state: &Path, site: Option<&str>, most: usize, json: bool) -> Result<ExitCode> {
    let of_site = site.map_or(String::new(), |site| {
        format!("&site={}", running::encoded(site))
    });
    let mut rows: Vec<Row> = Vec::new();
    let mut next = Some(0);
    while let Some(from) = next.filter(|_| rows.len() <= most) {
        let line = format!("GET /cache/list?from={from}{of_site}");
        let page: Page = running::understood(&running::ask_in_charge(state, &line)?)?;
        rows.extend(page.kept);
        next = page.next;
    }
    let more = rows.len() > most;
    rows.truncate(most);
    rows.sort_by(|a, b| (&a.site, &a.url).cmp(&(&b.site, &b.url)));
    if json {
        terminal::say(serde_json::to_string_pretty(&rows)?);
    } else if rows.is_empty() {
        terminal::say("Nothing is kept.");
    } else {
        terminal::say(listed(&rows));
    }
    if more {
        terminal::warn(format_args!(
            "there are more than these {most}; see more with --most NUMBER"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn listed(rows: &[Row]) -> String {
    let head = [
        "site", "status", "age", "left", "content", "variants", "URL",
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
            bytes(row.bytes),
            row.variants.to_string(),
            row.url.clone(),
        ]
    });
    table::of(head, cells)
}
