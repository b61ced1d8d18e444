//! How long a purge takes, and whether anything is answered after it that was kept before: URLs one by one, a tag that very many
//! have, a whole site of several sizes, against a real Mangrove on loopback; and what the ledger weighs by itself.
//!
//! The origin numbers its answers. Whatever a visitor gets after a purge was acknowledged must have a higher number than any
//! that was given before the purge was ordered: an older one breaks the promise, and the run.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use mangrove_cache::Fields;
use mangrove_cache::purge::{Filter, Force, Kind, Ledger, Subject as Meant};
use mangrove_http::UnixMillis;

use crate::clock::{self, Stopwatch};
use crate::order;
use crate::subject::Subject;
use crate::terminal::say;

/// The site that is purged.
const HOST: &str = "purge.example";
/// Bytes of an answer's content: its number.
const NUMBER: usize = 16;
/// URLs that are purged one by one.
const URLS: u32 = 1_000;
/// Of a purge of many, how many are asked for afterwards.
const SAMPLE: u32 = 1_000;
/// Connections that fill the cache.
const FILLING: u32 = 4;
/// Bytes of the cache for each answer: more than it weighs.
const ROOM: u64 = 4 * 1024;
/// How long memory may take to come back.
const GIVEN_BACK: Duration = Duration::from_secs(120);
/// How long one exchange may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Filters in the ledger that is weighed: as many as an edge remembers.
const ENTRIES: usize = 64 * 1024;

/// How to look.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The mangrove program. Unset, it is built first.
    #[arg(long, value_name = "PATH")]
    pub(crate) mangrove: Option<PathBuf>,
    /// Answers kept of a site that is purged whole, one size after the other. A million take some 2 GiB.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000, 100_000], value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    sizes: Vec<u32>,
    /// Answers that have the tag.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    tagged: u32,
}

/// Purges in every way, and tells how long it took; a failure when something old was answered.
pub(crate) fn run(options: &Options, program: &Path) -> Result<ExitCode> {
    weigh_ledger()?;
    let origin = Origin::start()?;
    let mut subject = Subject::prepare(program, "purge")?;
    let most = options.sizes.iter().copied().max().unwrap_or(0);
    let memory = u64::from(most.max(options.tagged)) * ROOM + (64 << 20);
    let site = format!(
        "[[site]]\nname = \"purge\"\nhosts = [\"{HOST}\"]\norigins = [\"http://{}\"]\n",
        origin.address
    );
    subject.configure_with(&format!("cache_memory = {memory}"), "", &site)?;
    subject.serve()?;
    let stage = Stage {
        http: subject.http,
        socket: subject.edge_socket(),
        origin,
    };
    let mut old = stage.urls()?;
    old += stage.many("a tag", options.tagged, "tag=every")?;
    for &size in &options.sizes {
        old += stage.many("a site", size, "all")?;
    }
    subject.stop()?;
    Ok(match old {
        0 => {
            say("Nothing old was answered.");
            ExitCode::SUCCESS
        }
        old => {
            say(&format!(
                "BROKEN: {old} answers were from before their purge"
            ));
            ExitCode::FAILURE
        }
    })
}

struct Stage {
    http: SocketAddr,
    socket: PathBuf,
    origin: Origin,
}

impl Stage {
    /// One URL after the other: ordered, acknowledged, asked for. Says how many answers were old.
    fn urls(&self) -> Result<u64> {
        self.fill(URLS)?;
        let mut visitor = Visitor::connect(self.http)?;
        let (mut told, mut new, mut old) = (Vec::new(), Vec::new(), 0);
        for number in 0..URLS {
            let before = self.origin.given();
            let watch = Stopwatch::start();
            self.order(&format!("url=http://{HOST}/{number}"))?;
            told.push(watch.millis());
            let answer = visitor.ask(&path(number))?;
            new.push(watch.millis());
            old += u64::from(answer <= before);
        }
        say(&format!(
            "{URLS} URLs, one by one: POST to its answer, after which nothing old is served, p50 {:.3} ms, p99 {:.3} ms; POST to \
             the first new answer p50 {:.3} ms, p99 {:.3} ms",
            quantile(&told, 0.5)?,
            quantile(&told, 0.99)?,
            quantile(&new, 0.5)?,
            quantile(&new, 0.99)?,
        ));
        Ok(old)
    }

    /// Very many at once.
    fn many(&self, what: &str, size: u32, order: &str) -> Result<u64> {
        self.fill(size)?;
        let mut visitor = Visitor::connect(self.http)?;
        let before = self.origin.given();
        let watch = Stopwatch::start();
        self.order(order)?;
        let told = watch.millis();
        let (mut old, mut first) = (0, None);
        // From one end to the other, whichever place each has.
        let step = size.div_ceil(SAMPLE);
        for number in (0..size).step_by(usize::try_from(step)?) {
            let answer = visitor.ask(&path(number))?;
            first.get_or_insert(watch.millis());
            old += u64::from(answer <= before);
        }
        let kept = u64::from(size.div_ceil(step));
        clock::poll(GIVEN_BACK, || {
            let urls = self.metric("mangrove_cache_urls ")?;
            Ok((urls <= kept).then_some(()))
        })
        .context("the memory did not come back")?;
        say(&format!(
            "{what} over {size} answers: POST to its answer {told:.3} ms, to the first new answer {:.3} ms; all memory back \
             after {:.0} ms; {old} of {kept} asked for afterwards were old",
            first.unwrap_or(told),
            watch.millis()
        ));
        self.order("all")?;
        Ok(old)
    }

    /// Everything is kept, each under its own URL.
    fn fill(&self, size: u32) -> Result<()> {
        let fillers: Vec<_> = (0..FILLING)
            .map(|first| {
                let http = self.http;
                std::thread::spawn(move || {
                    let mut visitor = Visitor::connect(http)?;
                    for number in (first..size).step_by(usize::try_from(FILLING)?) {
                        visitor.ask(&path(number))?;
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        for filler in fillers {
            let filled = filler.join();
            filled.map_err(|_| anyhow::anyhow!("a filler has ended badly"))??;
        }
        let urls = self.metric("mangrove_cache_urls ")?;
        ensure!(urls >= u64::from(size), "{urls} of {size} are kept");
        Ok(())
    }

    fn order(&self, what: &str) -> Result<()> {
        order::told(&self.socket, &format!("POST /purge?site=purge&{what}")).map(drop)
    }

    fn metric(&self, name: &str) -> Result<u64> {
        let page = order::told(&self.socket, "GET /metrics")?;
        let line = page.lines().find_map(|line| line.strip_prefix(name));
        Ok(line.with_context(|| format!("no {name}"))?.parse()?)
    }
}

fn path(number: u32) -> String {
    format!("/{number}")
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a place among a thousand"
)]
fn quantile(values: &[f64], part: f64) -> Result<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (sorted.len().saturating_sub(1) as f64 * part).round() as usize;
    sorted.get(at).copied().context("nothing was measured")
}

/// One connection that asks one thing after the other.
struct Visitor(BufReader<TcpStream>);

impl Visitor {
    fn connect(http: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(http)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// The number of the answer.
    fn ask(&mut self, path: &str) -> Result<u64> {
        let ask = format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
        self.0.get_mut().write_all(ask.as_bytes())?;
        let head = read_head(&mut self.0)?.context("the edge has closed")?;
        ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
        let mut number = [0; NUMBER];
        self.0.read_exact(&mut number)?;
        Ok(std::str::from_utf8(&number)?.parse()?)
    }
}

/// A head, or nothing where the other end has gone.
fn read_head(from: &mut impl BufRead) -> Result<Option<String>> {
    let mut head = String::new();
    loop {
        let before = head.len();
        match from.read_line(&mut head)? {
            0 if head.is_empty() => return Ok(None),
            0 => bail!("it ends in the middle of a head"),
            2 if head.get(before..) == Some("\r\n") => return Ok(Some(head)),
            _ => {}
        }
    }
}

/// It numbers its answers, and tags each.
struct Origin {
    address: SocketAddr,
    given: Arc<AtomicU64>,
}

impl Origin {
    /// On threads of its own, which end with this process.
    fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let given = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&given);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let count = Arc::clone(&count);
                std::thread::spawn(move || serve(stream, &count));
            }
        });
        Ok(Self { address, given })
    }

    /// The highest number until now.
    fn given(&self) -> u64 {
        self.given.load(Ordering::SeqCst)
    }
}

fn serve(stream: TcpStream, count: &AtomicU64) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while read_head(&mut reader)?.is_some() {
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        let answer = format!(
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=86400\r\nSurrogate-Key: every answer-{number} a b c\r\n\
             Content-Length: {NUMBER}\r\n\r\n{number:016}"
        );
        reader.get_mut().write_all(answer.as_bytes())?;
    }
    Ok(())
}

/// The ledger by itself: what an entry takes, what a purge costs, and what being asked does.
#[allow(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
fn weigh_ledger() -> Result<()> {
    let ledger = Ledger::new([7, 7], ENTRIES);
    let site = ledger.site("purge");
    let (born, empty) = (ledger.generation(), ledger.bytes());
    let mut filters = Vec::with_capacity(ENTRIES);
    for number in 0..ENTRIES {
        filters.push([Filter::read(Kind::Tag, format!("tag-{number}").as_bytes())?]);
    }
    let mut each = Vec::with_capacity(ENTRIES);
    for filter in &filters {
        let watch = Stopwatch::start();
        ledger.purge("purge", filter, Force::Hard, UnixMillis(0));
        each.push(watch.millis());
    }
    let bytes = (ledger.bytes() - empty) as f64 / ENTRIES as f64;
    say(&format!(
        "ledger of {ENTRIES} tags: {:.1} MiB, {bytes:.0} bytes each; a purge takes p50 {:.2} µs, p99 {:.2} µs",
        ledger.bytes() as f64 / f64::from(1 << 20),
        quantile(&each, 0.5)? * 1000.0,
        quantile(&each, 0.99)? * 1000.0,
    ));
    let name = &b"surrogate-key"[..];
    let tags: Fields = [(name, &b"a b c d e f g h i j"[..])].into_iter().collect();
    let rounds = 100_000_u32;
    let watch = Stopwatch::start();
    for _ in 0..rounds {
        let meant = Meant::of_key(
            b"https://purge.example/some/path/to/a/page.html",
            Some(&tags),
        );
        std::hint::black_box(site.verdict(born, &meant));
    }
    say(&format!(
        "asking it about an answer with ten tags: {:.0} ns, once after each purge of its site",
        watch.millis() * 1_000_000.0 / f64::from(rounds)
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_a_value_that_was_measured() {
        let values: Vec<f64> = (1..=100_u8).rev().map(f64::from).collect();
        assert_eq!(quantile(&values, 0.5).unwrap(), 51.0);
        assert_eq!(quantile(&values, 0.99).unwrap(), 99.0);
        assert_eq!(quantile(&[7.0], 0.99).unwrap(), 7.0);
        assert!(quantile(&[], 0.5).is_err());
    }

    #[test]
    fn a_head_ends_with_an_empty_line() {
        let mut from = &b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nrest"[..];
        let head = read_head(&mut from).unwrap().unwrap();
        assert!(head.ends_with("A: b\r\n\r\n"));
        assert_eq!(from, b"rest");
        assert!(read_head(&mut &b"HTTP/1.1"[..]).is_err());
        assert!(read_head(&mut &b""[..]).unwrap().is_none());
    }
}
