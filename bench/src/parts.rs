//! The price of two small parts, in instructions: reading a request head, and moving a deadline.
//!
//! Each part runs alone in a process of its own under callgrind, N times and 2 N times; the difference, divided by N, is
//! free of start and end. These are the numbers behind `docs/decisions` 0002 and 0004.

use std::future::Future;
use std::hint::black_box;
use std::mem::MaybeUninit;
use std::path::Path;
use std::pin::pin;
use std::task::{Context as Task, Waker};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use mangrove_edge::wheel::{TICK, Wheel};
use mangrove_http::{HeadLimits, Moment, RequestHead};

use crate::instructions::whole_life;
use crate::terminal::say;

/// As many field lines as Mangrove allows.
const FIELDS: usize = 100;
/// Where a deadline is moved to, from the moment of each request.
const AHEAD: Duration = Duration::from_secs(60);
/// The time between two requests of one connection, so that the clock goes on as it would.
const STEP_MS: u64 = 1;

/// A part that can be run alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Part {
    /// Mangrove's reader, a head of three fields.
    ReadSmall,
    /// httparse, a head of three fields.
    HttparseSmall,
    /// Mangrove's reader, a browser's head.
    ReadBrowser,
    /// httparse, a browser's head.
    HttparseBrowser,
    /// Mangrove's wheel, one timer moved for each request.
    WheelMoved,
    /// tokio's timer, one `Sleep` reset for each request.
    SleepReset,
    /// tokio's timer, one `Sleep` made for each request, as `timeout` does.
    SleepNew,
}

impl Part {
    fn title(self) -> &'static str {
        match self {
            Self::ReadSmall => "head of 3 fields, Mangrove (framing, host and hop-by-hop settled)",
            Self::HttparseSmall => "head of 3 fields, httparse (fields only)",
            Self::ReadBrowser => {
                "a browser's head, Mangrove (framing, host and hop-by-hop settled)"
            }
            Self::HttparseBrowser => "a browser's head, httparse (fields only)",
            Self::WheelMoved => "deadline moved and polled, Mangrove's wheel",
            Self::SleepReset => "deadline moved and polled, tokio's Sleep reset",
            Self::SleepNew => "deadline made, polled and dropped, tokio's Sleep",
        }
    }

    /// Runs it so many times.
    pub(crate) fn run(self, times: u64) -> Result<()> {
        match self {
            Self::ReadSmall => read(SMALL, times),
            Self::ReadBrowser => read(BROWSER, times),
            Self::HttparseSmall => httparse_reads(SMALL, times),
            Self::HttparseBrowser => httparse_reads(BROWSER, times),
            Self::WheelMoved => wheel(times),
            Self::SleepReset => sleep(times, true),
            Self::SleepNew => sleep(times, false),
        }
    }
}

const SMALL: &[u8] =
    b"GET /index.html HTTP/1.1\r\nhost: news.example\r\nuser-agent: mangrove-bench\r\naccept: */*\r\n\r\n";

const BROWSER: &[u8] = b"GET /section/world/2025/11/a-coast-with-many-trunks?page=2 HTTP/1.1\r\n\
    Host: news.example\r\n\
    Connection: keep-alive\r\n\
    Cache-Control: max-age=0\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-User: ?1\r\n\
    Sec-Fetch-Dest: document\r\n\
    Referer: https://news.example/section/world\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: bn-BD,bn;q=0.9,en;q=0.8\r\n\
    Cookie: session=8f14e45fceea167a5a36dedd4bea2543; theme=dark; consent=yes\r\n\r\n";

/// Counts all parts and says what was found.
pub(crate) fn count(work: &Path, times: u32) -> Result<()> {
    let own = std::env::current_exe().context("finding this program")?;
    say(&format!(
        "instructions each time, over {times} times; the small head has {} bytes, the browser's {}",
        SMALL.len(),
        BROWSER.len()
    ));
    for part in Part::value_variants() {
        let name = part
            .to_possible_value()
            .context("a name")?
            .get_name()
            .to_owned();
        let life = |times: u32| whole_life(work, &own, &["part", &name, &times.to_string()]);
        let more = life(2 * times)?
            .checked_sub(life(times)?)
            .context("fewer instructions for more work")?;
        say(&format!(
            "  {:<70} {:>6}",
            part.title(),
            more / u64::from(times)
        ));
    }
    Ok(())
}

fn read(text: &[u8], times: u64) -> Result<()> {
    let limits = HeadLimits::default();
    let mut head = RequestHead::new();
    for _ in 0..times {
        head.clear();
        head.octets_mut().extend_from_slice(black_box(text));
        let length = head.parse_h1(&limits)?;
        ensure!(length == Some(text.len()), "not read as a whole");
        black_box((head.framing(), head.host(), head.path()));
    }
    Ok(())
}

fn httparse_reads(text: &[u8], times: u64) -> Result<()> {
    let mut octets = Vec::new();
    for _ in 0..times {
        octets.clear();
        octets.extend_from_slice(black_box(text));
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
        let mut head = httparse::Request::new(&mut []);
        let length = head.parse_with_uninit_headers(&octets, &mut fields)?;
        ensure!(
            length == httparse::Status::Complete(text.len()),
            "not read as a whole"
        );
        black_box((head.method, head.path, &head.headers));
    }
    Ok(())
}

fn wheel(times: u64) -> Result<()> {
    let wheel = Wheel::new(Moment(0));
    let timer = wheel.timer();
    let mut cx = Task::from_waker(Waker::noop());
    let tick = u64::try_from(TICK.as_millis())?;
    for turn in 1..=times {
        let now = Moment(turn * STEP_MS);
        if now.0.is_multiple_of(tick) {
            wheel.turn(now);
        }
        timer.arm_in(black_box(AHEAD));
        ensure!(timer.poll_expired(&mut cx).is_pending(), "fired early");
    }
    Ok(())
}

fn sleep(times: u64, reset: bool) -> Result<()> {
    // The clock is asked once: the wheel's is not asked for each request either.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let _inside = runtime.enter();
    let mut deadline = tokio::time::sleep(AHEAD).deadline();
    let mut cx = Task::from_waker(Waker::noop());
    let mut sleep = pin!(tokio::time::sleep_until(deadline));
    for _ in 0..times {
        deadline += Duration::from_millis(STEP_MS);
        if reset {
            sleep.as_mut().reset(black_box(deadline));
            ensure!(sleep.as_mut().poll(&mut cx).is_pending(), "fired early");
        } else {
            let fresh = pin!(tokio::time::sleep_until(black_box(deadline)));
            ensure!(fresh.poll(&mut cx).is_pending(), "fired early");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_runs() {
        for part in Part::value_variants() {
            part.run(200).unwrap();
        }
    }
}
