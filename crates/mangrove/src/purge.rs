//! `mangrove purge`: what was kept until now is not answered any more, by any edge.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use serde::{Deserialize, Serialize};

use crate::running::{self, Said};
use crate::supervisor::Generation;
use crate::terminal::{self, counted};

/// What is to be purged of a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// By what it is told.
    pub(crate) by: By,
    /// Which; none for everything.
    pub(crate) texts: Vec<String>,
    /// Whether it may still be answered where what is stale may.
    pub(crate) soft: bool,
}

/// By what one tells what is to be purged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// Its URL.
    Url,
    /// How its path begins.
    Prefix,
    /// Its host.
    Host,
    /// A tag that the origin gave it.
    Tag,
    /// It is the site's.
    All,
}

/// What one edge did, as in its answer.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Purged {
    #[serde(default)]
    edge: Generation,
    site: String,
    cached: bool,
    purge: String,
    soft: bool,
    filters: Vec<String>,
    generation: u64,
    #[serde(default)]
    folded: Vec<Folded>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    variants: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fills: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    elsewhere: Option<String>,
    /// Whether it outlives the edge; nothing where nothing that it is about does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    durable: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_durable_because: Option<String>,
}

/// Older purges that had to make room.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Folded {
    site: String,
    entries: u64,
}

impl Wanted {
    /// As the edge wants to be asked.
    fn line(&self, site: &str) -> String {
        let mut line = format!("POST /purge?site={}", running::encoded(site));
        match self.by {
            By::All => line += "&all",
            by => {
                for text in &self.texts {
                    line += &format!("&{}={}", by.name(), running::encoded(text));
                }
            }
        }
        if self.soft {
            line += "&soft";
        }
        line
    }
}

impl By {
    const fn name(self) -> &'static str {
        match self {
            Self::Url => "url",
            Self::Prefix => "prefix",
            Self::Host => "host",
            Self::Tag => "tag",
            Self::All => "all",
        }
    }
}

/// What came of asking them all.
#[derive(Debug, Default)]
struct Outcome {
    /// The newest first.
    purged: Vec<Purged>,
    /// Edges that are not concerned: they do not know the site, or the URL is not its.
    unconcerned: Vec<(Generation, String)>,
    /// Edges that may go on answering with what they keep.
    failed: Vec<String>,
}

/// Purges, and prints what was done and what it means.
pub(crate) fn run(state: &Path, site: &str, wanted: &Wanted, json: bool) -> Result<ExitCode> {
    let outcome = sorted(running::ask_each(state, &wanted.line(site))?);
    if json {
        terminal::say(serde_json::to_string_pretty(&outcome.purged)?);
    } else if let Some(text) = in_words(wanted, &outcome) {
        terminal::say(text);
    }
    match (outcome.failed.is_empty(), outcome.purged.is_empty()) {
        (true, false) => Ok(ExitCode::SUCCESS),
        (true, true) => {
            let newest = outcome.unconcerned.into_iter().next();
            let why = newest.map_or("no edge said why".to_owned(), |(_, why)| why);
            Err(anyhow!("nothing was purged: {why}"))
        }
        (false, _) => Err(anyhow!(
            "{}\nWhat was to be purged may still be answered there: run the same command again",
            outcome.failed.join("\n")
        )),
    }
}

fn sorted(said: Vec<Said>) -> Outcome {
    let mut outcome = Outcome::default();
    for Said {
        generation,
        outcome: said,
    } in said
    {
        match said {
            Err(error) => {
                let why = running::unreachable(generation, &error);
                outcome.failed.push(why.to_string());
            }
            // It has no such site, or the host is not that site's, or the URL is none: there is nothing of it there.
            Ok(Err(refused)) if matches!(refused.status, Some(400 | 404 | 409 | 414)) => {
                outcome.unconcerned.push((generation, refused.reason));
            }
            Ok(Err(refused)) => {
                let why = format!("edge {generation} did not purge: {}", refused.reason);
                outcome.failed.push(why);
            }
            Ok(Ok(answer)) => match running::understood::<Purged>(&answer) {
                Ok(purged) => outcome.purged.push(Purged {
                    edge: generation,
                    ..purged
                }),
                Err(error) => outcome.failed.push(format!("edge {generation}: {error:#}")),
            },
        }
    }
    outcome
}

/// Filters that are named; the rest are counted.
const NAMED: usize = 3;

fn in_words(wanted: &Wanted, outcome: &Outcome) -> Option<String> {
    let newest = outcome.purged.first()?;
    let site = &newest.site;
    let count = |of: fn(&Purged) -> Option<u64>| outcome.purged.iter().filter_map(of).sum::<u64>();
    let (variants, fills) = (
        count(|purged| purged.variants),
        count(|purged| purged.fills),
    );
    if !newest.cached && variants == 0 {
        return Some(format!(
            "Nothing of site {site} is kept: its cache is off, or its answers are made at the edge. \
             There was nothing to purge."
        ));
    }
    let mut named: Vec<String> = newest
        .filters
        .iter()
        .map(|text| terminal::shown(text))
        .collect();
    let more = named.len().saturating_sub(NAMED);
    named.truncate(NAMED);
    if more > 0 {
        named.push(format!("{more} more"));
    }
    let named = named.join(", ");
    let done = match wanted.soft {
        true => "Made stale",
        false => "Purged",
    };
    let mut text = match wanted.by {
        By::Url => format!("{done} {named} of site {site}"),
        By::Prefix => format!("{done} of site {site} what begins with {named}"),
        By::Host => format!("{done} of site {site} what is of the host {named}"),
        By::Tag => format!("{done} of site {site} what is tagged {named}"),
        By::All => format!("{done} everything of site {site}"),
    };
    if newest.variants.is_some() {
        text += &match variants {
            0 => ": nothing was kept".to_owned(),
            _ => format!(
                ": {}",
                counted(variants, "answer was kept", "answers were kept")
            ),
        };
    }
    if fills > 0 {
        let fetches = counted(fills, "fetch was", "fetches were");
        text += &format!(", and {fetches} under way");
    }
    text += match wanted.soft {
        true => {
            ".\nNothing of it is fresh from now on: the origin is asked before it is answered, or behind the visitor where \
             stale answers are allowed. It stands in while the origin fails."
        }
        false => {
            ".\nWhoever asks from now on gets what the origin says now. Who was being answered already gets the rest of \
             that answer; nothing that the origin was asked for earlier is kept."
        }
    };
    if newest.variants.is_none() {
        text += "\nHow many answers that is was not counted: nothing is walked over. Their memory comes back by itself.";
    }
    for folded in outcome.purged.iter().flat_map(|purged| &purged.folded) {
        let Folded { site, entries } = folded;
        text += &format!(
            "\nMore was purged than you asked: the ledger was full, and {entries} older purges of site {site} now count for \
             all that was kept of that site before them."
        );
    }
    match (newest.durable, &newest.not_durable_because) {
        (Some(true), _) => {
            text += "\nIt is on the disk: a restart or a power loss does not undo it."
        }
        (_, Some(why)) => {
            let why = terminal::shown(why);
            text += &format!(
                "\nIt holds now, but it is not on the disk yet: {why}. After a crash, order it again."
            );
        }
        _ => {}
    }
    for purged in outcome.purged.iter().skip(1) {
        let edge = purged.edge;
        let kept = purged.variants.map(|kept| format!(" ({kept})"));
        text += &format!(
            "\nEdge {edge} has purged as well{}.",
            kept.unwrap_or_default()
        );
    }
    for (edge, why) in &outcome.unconcerned {
        let why = terminal::shown(why);
        text += &format!("\nEdge {edge} has nothing of it: {why}");
    }
    if let (Some(0), Some(other)) = (newest.variants, &newest.elsewhere) {
        let other = terminal::shown(other);
        text += &format!(
            "\nBut something is kept of {other}: http and https are two URLs to a cache. Purge it too if you meant it."
        );
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge_call::Refused;
    use std::io::{self, ErrorKind};

    fn said(generation: Generation, outcome: io::Result<Result<String, Refused>>) -> Said {
        Said {
            generation,
            outcome,
        }
    }

    fn purged(variants: u64) -> io::Result<Result<String, Refused>> {
        let text = format!(
            "{{\"site\":\"news\",\"purge\":\"url\",\"soft\":false,\"filters\":[\"http://a/\"],\"generation\":2,\"cached\":true,\
             \"variants\":{variants},\"fills\":1,\"elsewhere\":null,\"folded\":[]}}"
        );
        Ok(Ok(text))
    }

    fn refused(status: u16) -> io::Result<Result<String, Refused>> {
        let reason = "not here".to_owned();
        let status = Some(status);
        Ok(Err(Refused { status, reason }))
    }

    fn wanted(by: By, texts: &[&str], soft: bool) -> Wanted {
        let texts = texts.iter().map(|text| (*text).to_owned()).collect();
        Wanted { by, texts, soft }
    }

    #[test]
    fn an_order_says_each_filter_and_how_hard() {
        let line = |by, texts: &[&str], soft| wanted(by, texts, soft).line("news");
        assert_eq!(line(By::All, &[], false), "POST /purge?site=news&all");
        assert_eq!(
            line(By::Tag, &["a&b", "c"], true),
            "POST /purge?site=news&tag=a%26b&tag=c&soft"
        );
        assert_eq!(line(By::Url, &[""], false), "POST /purge?site=news&url=");
    }

    #[test]
    fn what_costs_no_walk_is_told_without_a_number_and_what_was_folded_is_told() {
        let tags = ["a", "b", "c", "d", "e"];
        let text = format!(
            "{{\"site\":\"news\",\"purge\":\"tag\",\"soft\":true,\"filters\":{tags:?},\"generation\":2,\"cached\":true,\
             \"variants\":null,\"fills\":null,\"elsewhere\":null,\"folded\":[{{\"site\":\"shop\",\"entries\":9}}]}}"
        );
        let outcome = sorted(vec![said(9, Ok(Ok(text)))]);
        let text = in_words(&wanted(By::Tag, &tags, true), &outcome).unwrap();
        assert!(
            text.starts_with("Made stale of site news what is tagged a, b, c, 2 more.\n"),
            "{text}"
        );
        assert!(text.contains("stands in while the origin fails"), "{text}");
        assert!(
            text.contains("not counted") && text.contains("9 older purges of site shop"),
            "{text}"
        );
    }

    #[test]
    fn whether_a_purge_outlives_a_crash_is_told() {
        let told = |durable: &str| {
            let text = format!(
                "{{\"site\":\"news\",\"purge\":\"all\",\"soft\":false,\"filters\":[],\"generation\":2,\"cached\":true,{durable}}}"
            );
            let outcome = sorted(vec![said(9, Ok(Ok(text)))]);
            in_words(&wanted(By::All, &[], false), &outcome).unwrap()
        };
        assert!(
            told("\"durable\":true")
                .ends_with("\nIt is on the disk: a restart or a power loss does not undo it.")
        );
        let failed = told("\"durable\":false,\"not_durable_because\":\"the disk is full\"");
        assert!(
            failed
                .ends_with("not on the disk yet: the disk is full. After a crash, order it again."),
            "{failed}"
        );
        assert!(!told("\"durable\":null").contains("disk"));
    }

    #[test]
    fn what_was_purged_on_all_edges_is_told_as_one() {
        let wanted = wanted(By::Url, &["http://a/"], false);
        let outcome = sorted(vec![
            said(9, purged(2)),
            said(8, purged(1)),
            said(7, refused(404)),
        ]);
        assert!(outcome.failed.is_empty());
        let text = in_words(&wanted, &outcome).unwrap();
        assert!(
            text.starts_with("Purged http://a/ of site news: 3 answers were kept, and 2 fetches were under way.\n"),
            "{text}"
        );
        assert!(
            text.contains("Edge 8 has purged as well (1).\nEdge 7 has nothing of it: not here"),
            "{text}"
        );
    }

    /// An edge that may go on answering what was to be purged is never passed over in silence.
    #[test]
    fn an_edge_that_was_not_told_makes_it_a_failure() {
        let silent = || Err(ErrorKind::TimedOut.into());
        let nonsense = || Ok(Ok("{}".to_owned()));
        for outcome in [silent(), nonsense(), refused(401), refused(500)] {
            let outcome = sorted(vec![said(9, purged(1)), said(8, outcome)]);
            assert_eq!((outcome.purged.len(), outcome.failed.len()), (1, 1));
            assert!(outcome.failed[0].contains("edge 8"), "{outcome:?}");
        }
    }
}
