//! What is asked for, one request after the other: read from an access log, or made from a seed.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use flate2::read::MultiGzDecoder;
use mangrove_cache::memory::Memory;

use crate::asks;

/// What a kept answer weighs beside its content and what [`Memory`] adds for key and slot: its head, twice (as fields and as
/// written), and the lists around it. About what an edge counts for a page with a dozen fields.
const HEAD_BYTES: u64 = 800;
/// The most bytes that are read of a log once it is unpacked, and of one line: what is longer is no access log of ours.
const LOG_MOST: u64 = 8 << 30;
const LINE_MOST: u64 = 64 << 10;
/// Objects and requests of a trace made from a seed.
const OBJECTS: u32 = 20_000;
const REQUESTS: usize = 300_000;
/// Of a trace with scans: one comes after so many requests, and asks once for so many objects that nobody asks for again.
const SCAN_EVERY: usize = 10_000;
const SCAN_LENGTH: usize = 5_000;
/// Objects of the loop, asked for in turn.
const LOOP_OBJECTS: u32 = 5_000;
/// Where made traces come from: the same in every run.
const SEED: u64 = 0x7265_706c_6179;

/// One object as a policy sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Object {
    /// Which.
    pub(super) name: u32,
    /// Bytes that it takes of the ceiling.
    pub(super) weight: u64,
}

/// One request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Request {
    /// For what.
    pub(super) object: Object,
    /// Bytes of its content.
    pub(super) content: u64,
    /// The number of the next request for the same: for those who can see ahead. `u64::MAX` if there is none.
    pub(super) next: u64,
}

/// Requests in their order.
pub(super) struct Trace {
    /// For people.
    pub(super) title: String,
    pub(super) requests: Vec<Request>,
    /// The key of each object, by its name.
    keys: Vec<String>,
    /// Weight of all objects together.
    pub(super) distinct: u64,
}

impl Trace {
    /// From objects, `(key, bytes of content)`, and the numbers of those asked for.
    fn new(title: &str, objects: Vec<(String, u64)>, asked: &[u32]) -> Result<Self> {
        ensure!(!asked.is_empty(), "{title}: nobody asks for anything");
        let weights = weigh(&objects)?;
        let mut requests = Vec::with_capacity(asked.len());
        for name in asked {
            let at = usize::try_from(*name)?;
            let (_, content) = objects.get(at).context("an object of the trace")?;
            let weight = *weights.get(at).context("a weight of the trace")?;
            requests.push(Request {
                object: Object {
                    name: *name,
                    weight,
                },
                content: *content,
                next: u64::MAX,
            });
        }
        let keys = objects.into_iter().map(|(key, _)| key).collect();
        Ok(Self::of_requests(title.to_owned(), requests, keys))
    }

    fn of_requests(title: String, mut requests: Vec<Request>, keys: Vec<String>) -> Self {
        let mut seen = HashMap::new();
        let mut distinct = 0;
        for (now, request) in requests.iter_mut().enumerate().rev() {
            request.next = match seen.insert(request.object.name, now as u64) {
                Some(next) => next,
                None => {
                    distinct += request.object.weight;
                    u64::MAX
                }
            };
        }
        Self {
            title,
            requests,
            keys,
            distinct,
        }
    }

    /// The canonical key of an object.
    pub(super) fn key(&self, name: u32) -> &[u8] {
        let at = usize::try_from(name).unwrap_or(usize::MAX);
        self.keys.get(at).map_or(b"", |key| key.as_bytes())
    }

    /// What is left of it for the tier behind one that answers the requests for which `answered` says so.
    pub(super) fn behind(&self, title: String, mut answered: impl FnMut(&Request) -> bool) -> Self {
        let left = (self.requests.iter().copied())
            .filter(|request| !answered(request))
            .collect();
        Self::of_requests(title, left, self.keys.clone())
    }
}

/// What an object weighs in the value's own words, before [`Memory`] adds key and slot.
pub(super) fn value_weight(content: u64) -> u64 {
    content.saturating_add(HEAD_BYTES)
}

/// What each object weighs in Mangrove's tier: everyone is given the same.
fn weigh(objects: &[(String, u64)]) -> Result<Vec<u64>> {
    // Room for the largest, and for the tables.
    let largest = objects.iter().map(|(_, content)| *content).max();
    let room = largest.unwrap_or(0).saturating_mul(2).max(1 << 20);
    let memory: Memory<()> = Memory::new(room, [SEED, SEED]);
    let weigh = |(key, content): &(String, u64)| {
        let (hash, key) = (memory.hash(key.as_bytes()), key.as_bytes());
        memory.update(hash, key, |_| Some(((), value_weight(*content))));
        let slot = memory.remove(hash, key).context("a slot just kept")?;
        Ok(slot.weight())
    };
    objects.iter().map(weigh).collect()
}

/// The trace of an access log in the combined format, packed by gzip or not.
///
/// What counts is a GET or HEAD answered with 200, 206 or 304, for a target that was answered with a whole 200 at least once;
/// the longest such answer is its content. Everything is taken to stay fresh: policies are compared, not lifetimes.
pub(super) fn of_log(path: &Path) -> Result<Trace> {
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let mut reader = BufReader::new(file);
    let packed = reader.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    let plain: Box<dyn Read> = match packed {
        true => Box::new(MultiGzDecoder::new(reader)),
        false => Box::new(reader),
    };
    let lines = BufReader::new(plain.take(LOG_MOST));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    of_lines(&name, lines).with_context(|| format!("reading {}", path.display()))
}

fn of_lines(title: &str, mut lines: impl BufRead) -> Result<Trace> {
    let (mut names, mut objects) = (HashMap::new(), Vec::<(String, u64)>::new());
    let mut asked = Vec::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut lines).take(LINE_MOST).read_until(b'\n', &mut line)?;
        if read == 0 {
            break;
        }
        let text = String::from_utf8_lossy(&line);
        let Some(entry) = entry(&text) else {
            continue;
        };
        let name = match names.get(entry.target) {
            Some(name) => *name,
            None => {
                let name = u32::try_from(objects.len())?;
                names.insert(entry.target.to_owned(), name);
                objects.push((format!("https site.example {}", entry.target), 0));
                name
            }
        };
        if let (200, "GET", Some((_, content))) = (
            entry.status,
            entry.method,
            objects.get_mut(usize::try_from(name)?),
        ) {
            *content = entry.bytes.max(*content);
        }
        asked.push(name);
    }
    // What was never given whole has no size; and an empty answer is none that takes room.
    asked.retain(|name| {
        let at = usize::try_from(*name).unwrap_or(usize::MAX);
        objects.get(at).is_some_and(|(_, content)| *content > 0)
    });
    Trace::new(title, objects, &asked)
}

struct Entry<'a> {
    method: &'a str,
    target: &'a str,
    status: u16,
    bytes: u64,
}

/// One line of `HOST - USER [TIME] "METHOD TARGET VERSION" STATUS BYTES …`, if it counts.
fn entry(line: &str) -> Option<Entry<'_>> {
    let (_, rest) = line.split_once("] \"")?;
    let (asked, rest) = rest.split_once("\" ")?;
    let mut words = asked.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let mut words = rest.split_ascii_whitespace();
    let status = words.next()?.parse().ok()?;
    let bytes = words.next()?.parse().unwrap_or(0); // `-`: none
    let counts = matches!(method, "GET" | "HEAD") && matches!(status, 200 | 206 | 304);
    counts.then_some(Entry {
        method,
        target,
        status,
        bytes,
    })
}

/// Traces made from a seed: Zipf's law, mild to steep, the same with scans among it, and a loop.
pub(super) fn made() -> Result<Vec<Trace>> {
    let mut traces = Vec::new();
    for exponent in [0.7, 0.9, 1.1] {
        let mut dice = Dice(SEED);
        let asked = zipf(exponent, REQUESTS, &mut dice);
        let title = format!("Zipf {exponent}");
        traces.push(Trace::new(&title, sized(OBJECTS), &asked)?);
    }
    let mut dice = Dice(SEED);
    let (mut asked, mut passers) = (Vec::new(), OBJECTS);
    for part in zipf(0.9, REQUESTS, &mut dice).chunks(SCAN_EVERY) {
        asked.extend_from_slice(part);
        let scan = passers..passers + u32::try_from(SCAN_LENGTH)?;
        passers = scan.end;
        asked.extend(scan);
    }
    let title = "Zipf 0.9 and scans";
    traces.push(Trace::new(title, sized(passers), &asked)?);
    let asked: Vec<_> = (0..LOOP_OBJECTS).cycle().take(REQUESTS / 4).collect();
    traces.push(Trace::new("loop", sized(LOOP_OBJECTS), &asked)?);
    Ok(traces)
}

/// Objects from 1 KiB to 256 KiB, every octave as often as any other.
fn sized(count: u32) -> Vec<(String, u64)> {
    let mut dice = Dice(SEED ^ 1);
    let object = |name: u32| {
        let octave = dice.below(8);
        let content = (1024_u64 << octave) + dice.below(1024 << octave);
        (format!("https site.example /object/{name:06}"), content)
    };
    (0..count).map(object).collect()
}

fn zipf(exponent: f64, requests: usize, dice: &mut Dice) -> Vec<u32> {
    let mut total = 0.0;
    let shares: Vec<f64> = (1..=OBJECTS)
        .map(|rank| {
            total += f64::from(rank).powf(-exponent);
            total
        })
        .collect();
    let draw = |_| {
        let at = dice.unit() * total;
        let rank = shares.partition_point(|share| *share < at);
        u32::try_from(rank).unwrap_or(0).min(OBJECTS - 1)
    };
    (0..requests).map(draw).collect()
}

/// Numbers that look drawn and are the same in every run.
pub(super) struct Dice(u64);

impl Dice {
    fn unit(&mut self) -> f64 {
        asks::unit(&mut self.0)
    }

    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of a small positive number"
    )]
    fn below(&mut self, end: u64) -> u64 {
        (self.unit() * end as f64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
        192.0.2.1 - - [17/May/2015:10:05:03 +0000] \"GET /a HTTP/1.1\" 200 1000 \"-\" \"x\"\n\
        192.0.2.1 - - [17/May/2015:10:05:04 +0000] \"GET /b HTTP/1.1\" 404 99 \"-\" \"x\"\n\
        192.0.2.1 - - [17/May/2015:10:05:04 +0000] \"POST /a HTTP/1.1\" 200 99 \"-\" \"x\"\n\
        not a line of a log\n\
        192.0.2.2 - - [17/May/2015:10:05:05 +0000] \"GET /a HTTP/1.1\" 304 - \"-\" \"x\"\n\
        192.0.2.2 - - [17/May/2015:10:05:05 +0000] \"GET /never-whole HTTP/1.1\" 206 10 \"-\" \"x\"\n\
        192.0.2.2 - - [17/May/2015:10:05:06 +0000] \"HEAD /c HTTP/1.1\" 200 0 \"-\" \"x\"\n\
        192.0.2.2 - - [17/May/2015:10:05:06 +0000] \"GET /c HTTP/1.1\" 200 50";

    #[test]
    fn of_a_log_counts_what_a_cache_could_have_answered() {
        let trace = of_lines("log", LOG.as_bytes()).unwrap();
        let seen: Vec<_> = (trace.requests.iter())
            .map(|request| (request.object.name, request.content, request.next))
            .collect();
        let (a, c) = (0, 2);
        assert_eq!(
            seen,
            [
                (a, 1000, 1),
                (a, 1000, u64::MAX),
                (c, 50, 3),
                (c, 50, u64::MAX)
            ]
        );
        assert_eq!(trace.key(c), b"https site.example /c");
    }

    #[test]
    fn weights_are_those_of_the_real_tier() {
        let trace = of_lines("log", LOG.as_bytes()).unwrap();
        let first = trace.requests.first().unwrap();
        assert!(first.object.weight > value_weight(first.content));
        assert!(trace.distinct > first.object.weight && trace.distinct < 4_000);
    }

    #[test]
    fn an_empty_log_is_an_error_and_not_an_empty_table() {
        assert!(of_lines("log", b"".as_slice()).is_err());
    }

    #[test]
    fn behind_a_tier_that_answers_everything_again_nothing_is_asked_twice() {
        let trace = of_lines("log", LOG.as_bytes()).unwrap();
        let mut seen = std::collections::HashSet::new();
        let behind = trace.behind("behind".to_owned(), |request| {
            !seen.insert(request.object.name)
        });
        assert_eq!(behind.requests.len(), 2);
        assert!(behind.requests.iter().all(|left| left.next == u64::MAX));
        assert_eq!(behind.distinct, trace.distinct);
    }

    #[test]
    fn what_is_made_is_the_same_in_every_run_and_falls_as_zipf_says() {
        let [first, second] = [0, 0].map(|_| zipf(0.9, 20_000, &mut Dice(SEED)));
        assert_eq!(first, second);
        assert_eq!(sized(100), sized(100));
        // Shares of the harmonic sums: H(100, 0.9) / H(20,000, 0.9) = 6.53 / 17.49.
        let popular = first.iter().filter(|name| **name < 100).count();
        assert!((363..=383).contains(&(popular / 20)), "{popular}");
        let sizes = sized(1_000).into_iter().map(|(_, content)| content);
        assert!(
            sizes
                .clone()
                .all(|content| (1 << 10..1 << 18).contains(&content))
        );
        assert!(sizes.filter(|content| *content < 2 << 10).count() > 80);
    }
}
