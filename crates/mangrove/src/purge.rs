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
pub(crate) enum Wanted {
    /// One URL.
    Url(String),
    /// Everything.
    All,
}

/// What one edge did, as in its answer.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Purged {
    #[serde(default)]
    edge: Generation,
    site: String,
    cached: bool,
    variants: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    urls: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fills: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    elsewhere: Option<String>,
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
    let what = match wanted {
        Wanted::Url(url) => format!("url={}", running::encoded(url)),
        Wanted::All => "all".to_owned(),
    };
    let line = format!("POST /purge?site={}&{what}", running::encoded(site));
    let outcome = sorted(running::ask_each(state, &line)?);
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

fn in_words(wanted: &Wanted, outcome: &Outcome) -> Option<String> {
    let newest = outcome.purged.first()?;
    let site = &newest.site;
    if !newest.cached && outcome.purged.iter().all(|purged| purged.variants == 0) {
        return Some(format!(
            "Nothing of site {site} is kept: its cache is off, or its answers are made at the edge. \
             There was nothing to purge."
        ));
    }
    let variants = outcome.purged.iter().map(|purged| purged.variants).sum();
    let kept = match variants {
        0 => "nothing was kept".to_owned(),
        _ => counted(variants, "answer was kept", "answers were kept"),
    };
    let mut text = match wanted {
        Wanted::Url(url) => {
            let url = terminal::shown(newest.url.as_deref().unwrap_or(url));
            format!("Purged {url} of site {site}: {kept}")
        }
        Wanted::All => {
            let urls = outcome.purged.iter().filter_map(|purged| purged.urls).sum();
            let of_urls = match variants {
                0 => String::new(),
                _ => format!(", of {}", counted(urls, "URL", "URLs")),
            };
            format!("Purged everything of site {site}: {kept}{of_urls}")
        }
    };
    let fills: u64 = outcome
        .purged
        .iter()
        .filter_map(|purged| purged.fills)
        .sum();
    if fills > 0 {
        let fetches = counted(fills, "fetch was", "fetches were");
        text += &format!(", and {fetches} under way");
    }
    text += ".\nWhoever asks from now on gets what the origin says now. Who was being answered already gets the rest of \
             that answer; nothing that the origin was asked for earlier is kept.";
    for purged in outcome.purged.iter().skip(1) {
        let (edge, kept) = (purged.edge, purged.variants);
        text += &format!("\nEdge {edge} has purged as well ({kept}).");
    }
    for (edge, why) in &outcome.unconcerned {
        let why = terminal::shown(why);
        text += &format!("\nEdge {edge} has nothing of it: {why}");
    }
    if let (0, Some(other)) = (variants, &newest.elsewhere) {
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
            "{{\"site\":\"news\",\"url\":\"http://a/\",\"cached\":true,\"variants\":{variants},\"fills\":1,\"elsewhere\":null}}"
        );
        Ok(Ok(text))
    }

    fn refused(status: u16) -> io::Result<Result<String, Refused>> {
        let reason = "not here".to_owned();
        let status = Some(status);
        Ok(Err(Refused { status, reason }))
    }

    #[test]
    fn what_was_purged_on_all_edges_is_told_as_one() {
        let wanted = Wanted::Url("http://a/".into());
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
