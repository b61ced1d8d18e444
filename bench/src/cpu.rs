//! What a tree of processes has used: CPU from the scheduler's nanosecond accounting, memory from its page tables.
//!
//! `/proc/PID/task/TID/schedstat` is exact but dies with its thread. `/proc/PID/stat` counts in clock ticks but keeps
//! what ended threads and reaped children used. The first is what is reported; the second is how a loss is noticed.

use std::collections::{HashMap, HashSet};
use std::fs;

use anyhow::{Context, Result, ensure};
use rustix::process::Pid;

/// Ticks by which the coarse account may run ahead of the fine one, for each process, by rounding alone:
/// user and system time are rounded apart, at both ends.
const ROUNDING_TICKS: u64 = 4;

/// The CPU a tree of processes had used at one moment.
pub(crate) struct Usage {
    /// Nanoseconds by process and thread.
    threads: HashMap<(i32, i32), u64>,
    /// Nanoseconds in whole ticks, ended threads and reaped children included.
    coarse: u64,
    processes: u64,
}

impl Usage {
    /// Reads the account of these processes and all their descendants.
    pub(crate) fn of(roots: &[Pid]) -> Result<Self> {
        let mut usage = Self {
            threads: HashMap::new(),
            coarse: 0,
            processes: 0,
        };
        for pid in tree(roots)? {
            let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
                continue;
            };
            let stat = Stat::parse(&stat).context("reading /proc/PID/stat")?;
            let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
                continue;
            };
            for task in tasks.flatten() {
                let Ok(schedstat) = fs::read_to_string(task.path().join("schedstat")) else {
                    continue;
                };
                let thread = task
                    .file_name()
                    .to_string_lossy()
                    .parse()
                    .context("a thread's id")?;
                let time = schedstat_time(&schedstat).context("reading schedstat")?;
                usage.threads.insert((pid, thread), time);
            }
            usage.coarse += stat.ticks * tick_ns();
            usage.processes += 1;
        }
        Ok(usage)
    }

    /// Nanoseconds used since `before`; an error when something ended between and took its account along.
    pub(crate) fn since(&self, before: &Self) -> Result<u64> {
        let fine: u64 = self
            .threads
            .iter()
            .map(|(thread, time)| {
                time.saturating_sub(before.threads.get(thread).copied().unwrap_or(0))
            })
            .sum();
        let coarse = self.coarse.saturating_sub(before.coarse);
        let allowed =
            fine / 100 + self.processes.max(before.processes) * ROUNDING_TICKS * tick_ns();
        ensure!(
            coarse <= fine + allowed,
            "a thread or child ended during the measurement with {} ms uncounted",
            (coarse - fine) / 1_000_000
        );
        Ok(fine)
    }
}

/// Resident bytes of these processes and all their descendants. A page shared by two of them counts in both.
pub(crate) fn resident(roots: &[Pid]) -> Result<u64> {
    let mut total = 0;
    for pid in tree(roots)? {
        // `statm` lags by the kernel's per-CPU batches; the roll-up walks the page tables.
        let Ok(text) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else {
            continue;
        };
        total += rollup_resident(&text).context("reading smaps_rollup")?;
    }
    Ok(total)
}

/// The most resident bytes that the kernel has counted of a process, also between two looks: since its start, or since it was
/// told to forget what was before (proc_pid_status(5), proc_pid_clear_refs(5)).
pub(crate) fn high_water(process: Pid) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", process.as_raw_nonzero()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes =
        line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    Ok(kibibytes.context("no VmHWM")? * 1024)
}

/// The ids of these processes and all their living descendants, as the kernel lists each thread's children.
pub(crate) fn tree(roots: &[Pid]) -> Result<Vec<i32>> {
    let mut found: Vec<i32> = roots.iter().map(|pid| pid.as_raw_nonzero().get()).collect();
    let mut seen: HashSet<i32> = found.iter().copied().collect();
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        next += 1;
        let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
            continue;
        };
        for task in tasks.flatten() {
            let Ok(children) = fs::read_to_string(task.path().join("children")) else {
                continue;
            };
            for child in children.split_ascii_whitespace() {
                let child = child.parse().context("a child's id")?;
                if seen.insert(child) {
                    found.push(child);
                }
            }
        }
    }
    Ok(found)
}

fn tick_ns() -> u64 {
    1_000_000_000 / rustix::param::clock_ticks_per_second().max(1)
}

/// The first field of `schedstat`: nanoseconds on a CPU.
fn schedstat_time(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

/// The `Rss:` line of `smaps_rollup`, in bytes. A process without memory of its own (a zombie) has no line.
fn rollup_resident(text: &str) -> Option<u64> {
    let Some(line) = text.lines().find_map(|line| line.strip_prefix("Rss:")) else {
        return Some(0);
    };
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// What is needed of `/proc/PID/stat` (proc_pid_stat(5)).
#[derive(Debug, PartialEq)]
struct Stat {
    /// utime + stime + cutime + cstime.
    ticks: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The second field is the program's name in parentheses and may hold spaces and parentheses of its own.
        let (_, rest) = text.rsplit_once(')')?;
        let fields = rest.split_ascii_whitespace();
        let mut ticks = 0_u64;
        // Fields 14 to 17 of the whole line.
        for time in fields.skip(11).take(4) {
            ticks = ticks.checked_add(time.parse().ok()?)?;
        }
        Some(Self { ticks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedstat_gives_its_first_field() {
        assert_eq!(schedstat_time("1234567890 109163 1\n"), Some(1_234_567_890));
        assert_eq!(schedstat_time(""), None);
        assert_eq!(schedstat_time("x 1 2"), None);
    }

    #[test]
    fn stat_is_read_past_a_name_with_spaces_and_parentheses() {
        let line = "42 (a) b (c)) S 7 42 42 0 -1 4194304 1 2 3 4 100 20 3 4 20 0 1 0 55 1000 10";
        assert_eq!(Stat::parse(line), Some(Stat { ticks: 127 }));
        assert_eq!(Stat::parse("42 (cut"), None);
    }

    #[test]
    fn resident_memory_is_in_bytes_and_a_zombie_has_none() {
        let text = "5560-7ffd ---p 00000000 00:00 0  [rollup]\nRss:                1820 kB\nPss:   350 kB\n";
        assert_eq!(rollup_resident(text), Some(1820 * 1024));
        assert_eq!(rollup_resident(""), Some(0));
        assert_eq!(rollup_resident("Rss: many kB"), None);
    }

    fn usage(threads: &[((i32, i32), u64)], coarse: u64) -> Usage {
        Usage {
            threads: threads.iter().copied().collect(),
            coarse,
            processes: 1,
        }
    }

    #[test]
    fn a_new_thread_counts_in_full() {
        let before = usage(&[((1, 1), 500)], 0);
        let after = usage(&[((1, 1), 700), ((1, 2), 50)], 0);
        assert_eq!(after.since(&before).unwrap(), 250);
    }

    #[test]
    fn a_thread_that_ended_unseen_voids_the_measurement() {
        let second = 1_000_000_000;
        let before = usage(&[((1, 1), 0), ((1, 2), 0)], 0);
        let after = usage(&[((1, 1), second)], 2 * second);
        assert!(
            after
                .since(&before)
                .unwrap_err()
                .to_string()
                .contains("1000 ms uncounted")
        );
    }

    #[test]
    fn this_process_is_in_its_own_tree_and_uses_memory_and_time() {
        let own = [rustix::process::getpid()];
        assert!(tree(&own).unwrap().contains(&own[0].as_raw_nonzero().get()));
        assert!(resident(&own).unwrap() > 100_000);
        assert!(!Usage::of(&own).unwrap().threads.is_empty());
    }
}
