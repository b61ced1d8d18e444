//! Instructions for each request, counted by callgrind: slow, but the same on every run.
//!
//! A server is run twice, with N requests and with 2 N; the difference, divided by N, is free of start and end.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::asks::Asks;
use crate::load::{Generator, Target, Wire};
use crate::peers::{self, Contender, Programs, Running, Server, Task};
use crate::rows::{Row, Source};
use crate::run::{Behind, wait_until_ready};
use crate::terminal::say;
use crate::tls::Identity;

/// Callgrind makes everything some fifty times slower.
const START: Duration = Duration::from_secs(180);
/// How often a count is tried.
const TRIES: usize = 3;
/// Connections that the requests come over.
const CONNECTIONS: usize = 8;

/// What all counts have in common.
pub(crate) struct Counter<'a> {
    pub(crate) generator: &'a Generator,
    pub(crate) identity: &'a Identity,
    pub(crate) programs: &'a Programs,
    pub(crate) work: &'a Path,
    pub(crate) server_core: usize,
    pub(crate) load_core: usize,
    /// N.
    pub(crate) requests: usize,
    /// Who is counted.
    pub(crate) servers: &'a [Server],
}

impl Counter<'_> {
    /// Counts each server's instructions in a row and says them; false if any server failed.
    pub(crate) fn row(&self, row: &Row) -> Result<bool> {
        ensure_valgrind()?;
        let behind = Behind::start(row, self.work, self.load_core)?;
        let task = self.task(row, &behind);
        say(&format!(
            "\n{}: {}, instructions for each request",
            row.name, row.title
        ));
        let mut all_well = true;
        let taking_part = self.servers.iter().filter(|server| {
            let can = row.suits_an_answerer() || !server.only_answers() || **server == Server::Bare;
            can && (row.is_for_all() || **server == Server::Mangrove)
        });
        for contender in taking_part.flat_map(|server| ways(*server)) {
            let server = contender.server;
            if let Some(reason) = peers::not_applicable(server, row, self.programs) {
                say(&format!("  {:<20} n/a: {reason}", contender.to_string()));
                continue;
            }
            match self.by_difference(contender, row, &task) {
                Ok(count) => say(&format!("  {:<20} {count:>9}", contender.to_string())),
                Err(error) => {
                    say(&format!(
                        "  {:<20} failed: {error:#}",
                        contender.to_string()
                    ));
                    all_well = false;
                }
            }
        }
        Ok(all_well)
    }

    /// Instructions of Mangrove alone, as everyone uses it.
    pub(crate) fn of_mangrove(&self, row: &Row) -> Result<u64> {
        ensure_valgrind()?;
        let behind = Behind::start(row, self.work, self.load_core)?;
        let task = self.task(row, &behind);
        let contender = Contender {
            server: Server::Mangrove,
            logs: true,
        };
        self.by_difference(contender, row, &task)
            .with_context(|| format!("counting {}", row.name))
    }

    fn task(&self, row: &Row, behind: &Behind) -> Task<'_> {
        Task {
            answer: behind.answer(row),
            body: row.body,
            is_unchanged: row.source == Source::Cache(Asks::Known),
            refuses: row.source == Source::Refusal,
            head: 0,
            identity: self.identity,
            core: self.server_core,
        }
    }

    fn by_difference(&self, contender: Contender, row: &Row, task: &Task<'_>) -> Result<u64> {
        let once = self.counted(contender, row, task, self.requests)?;
        let twice = self.counted(contender, row, task, 2 * self.requests)?;
        let more = twice
            .checked_sub(once)
            .context("fewer instructions for more requests")?;
        Ok(more / u64::try_from(self.requests.max(1))?)
    }

    /// The same as [`Self::count`], tried again: now and then a program is gone before callgrind has written what it saw.
    fn counted(
        &self,
        contender: Contender,
        row: &Row,
        task: &Task<'_>,
        requests: usize,
    ) -> Result<u64> {
        let again = (1..TRIES).find_map(|_| self.count(contender, row, task, requests).ok());
        match again {
            Some(count) => Ok(count),
            None => self.count(contender, row, task, requests),
        }
    }

    /// Instructions of a server's whole life with this many requests.
    fn count(
        &self,
        contender: Contender,
        row: &Row,
        task: &Task<'_>,
        requests: usize,
    ) -> Result<u64> {
        let profiles = self
            .work
            .join(format!("callgrind-{}-{requests}", row.name))
            .join(contender.to_string());
        if profiles.exists() {
            fs::remove_dir_all(&profiles)?;
        }
        fs::create_dir_all(&profiles)?;
        let file = format!("--callgrind-out-file={}/%p.out", profiles.display());
        let wrap = [
            "valgrind",
            "--tool=callgrind",
            "--trace-children=yes",
            "--quiet",
            &file,
        ]
        .map(OsString::from);

        let mut running = Running::start(contender, task, self.programs, self.work, &wrap)?;
        let wire = if contender.server == Server::Bare {
            Wire::H1
        } else {
            row.wire
        };
        let target = |running: &Running| Target {
            address: running.address(wire),
            wire,
            identity: self.identity,
            questions: match contender.server {
                Server::Bare => row.questions().of_one_answer(),
                _ => row.questions(),
            },
        };
        wait_until_ready(self.generator, &mut running, START, target)?;
        let mut fleet = self.generator.open(&target(&running), CONNECTIONS)?;
        self.generator.run(&mut fleet, requests)?;
        drop(fleet);
        running.stop()?;
        instructions_in(&profiles)
    }
}

/// With a log, as everyone is used; Mangrove also without, beside servers that have none.
fn ways(server: Server) -> impl Iterator<Item = Contender> {
    let logs: &[bool] = match server {
        Server::Mangrove => &[true, false],
        server if server.only_answers() => &[false],
        _ => &[true],
    };
    logs.iter().map(move |logs| Contender {
        server,
        logs: *logs,
    })
}

/// Instructions of a program from its start to its end.
pub(crate) fn whole_life(work: &Path, program: &Path, arguments: &[&str]) -> Result<u64> {
    ensure_valgrind()?;
    let profiles = work.join(format!("callgrind-{}", arguments.join("-")));
    fs::create_dir_all(&profiles)?;
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!(
            "--callgrind-out-file={}/%p.out",
            profiles.display()
        ))
        .arg(program)
        .args(arguments)
        .status()
        .context("running valgrind")?;
    ensure!(
        status.success(),
        "{} failed under valgrind",
        arguments.join(" ")
    );
    instructions_in(&profiles)
}

fn ensure_valgrind() -> Result<()> {
    ensure!(
        Command::new("valgrind")
            .arg("--version")
            .output()
            .is_ok_and(|output| output.status.success()),
        "valgrind is not installed"
    );
    Ok(())
}

/// The sum over all profiles in a folder: one for each process.
fn instructions_in(folder: &Path) -> Result<u64> {
    let mut total = 0_u64;
    for entry in fs::read_dir(folder)? {
        let text = fs::read(entry?.path())?;
        total += summary(&String::from_utf8_lossy(&text)).unwrap_or(0);
    }
    ensure!(total > 0, "callgrind left no profile");
    Ok(total)
}

/// The `summary:` or `totals:` line of a profile; the last counts, for it has everything up to the end.
fn summary(profile: &str) -> Option<u64> {
    profile
        .lines()
        .rev()
        .find_map(|line| {
            line.strip_prefix("totals:")
                .or_else(|| line.strip_prefix("summary:"))
        })?
        .split_ascii_whitespace()
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_ends_in_its_total() {
        assert_eq!(
            summary("events: Ir\nsummary: 10\nfn=(1)\n1 10\ntotals: 12\n"),
            Some(12)
        );
        assert_eq!(summary("events: Ir\nsummary: 10\nfn=(1)\n1 10\n"), Some(10));
        assert_eq!(summary("events: Ir\n"), None);
    }
}
