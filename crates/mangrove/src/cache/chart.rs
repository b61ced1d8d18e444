//! `mangrove cache chart`: what was asked over time, drawn.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use serde::Deserialize;

use super::{pretty, share};
use crate::look::Look;
use crate::running;
use crate::terminal::{self, bytes, span};

/// Rows of a chart, at most.
const ROWS: u64 = 12;
/// Columns before it: a number and a line.
const MARGIN: usize = 8;
/// How wide it is where the width is not known.
const USUAL_WIDTH: usize = 80;
/// What a column may stand for, in minutes: the first that lets all of them in.
const MINUTES_EACH: [usize; 9] = [1, 2, 5, 10, 15, 20, 30, 60, 120];

/// How far back is looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Back {
    Hour,
    Day,
}

/// `GET /cache/history`, as in the edge's answer.
#[derive(Debug, Deserialize)]
struct History {
    /// When the edge did, in milliseconds since 1970.
    began: u64,
    now: u64,
    requests: Rows,
    bytes: Rows,
}

/// A number for each minute, the oldest first; the last is the one under way.
#[derive(Debug, Deserialize)]
struct Rows {
    hit: Vec<u64>,
    stale: Vec<u64>,
    revalidated: Vec<u64>,
    miss: Vec<u64>,
    bypass: Vec<u64>,
    refused: Vec<u64>,
}

/// What is drawn, from the bottom up, and how.
struct Series {
    name: &'static str,
    unicode: char,
    ascii: char,
    colour: u8,
}

const SERIES: [Series; 4] = [
    Series {
        name: "hit",
        unicode: '█',
        ascii: '#',
        colour: 32,
    },
    Series {
        name: "stale",
        unicode: '▓',
        ascii: '+',
        colour: 33,
    },
    Series {
        name: "revalidated",
        unicode: '▒',
        ascii: ':',
        colour: 36,
    },
    Series {
        name: "miss",
        unicode: '░',
        ascii: '.',
        colour: 35,
    },
];

/// One column: what came in some minutes.
#[derive(Clone, Copy, Debug, Default)]
struct Column {
    minutes: u64,
    /// Of each series.
    counts: [u64; SERIES.len()],
    /// Without the origin, of all.
    kept: u64,
    all: u64,
    kept_bytes: u64,
    all_bytes: u64,
}

/// Draws what was asked lately.
pub(crate) fn chart(state: &Path, back: Back, ascii: bool, json: bool) -> Result<ExitCode> {
    let line = format!("GET /cache/history?minutes={}", back.minutes());
    let answer = running::ask_in_charge(state, &line)?;
    if json {
        return pretty(&running::understood(&answer)?);
    }
    let mut look = Look::of_output();
    look.unicode &= !ascii;
    terminal::say(drawn(&running::understood(&answer)?, back, look));
    Ok(ExitCode::SUCCESS)
}

impl Back {
    fn minutes(self) -> usize {
        match self {
            Self::Hour => 60,
            Self::Day => 24 * 60,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// Where the chart begins, and its middle.
    fn labels(self) -> [&'static str; 2] {
        match self {
            Self::Hour => ["1 h ago", "30 min ago"],
            Self::Day => ["1 d ago", "12 h ago"],
        }
    }
}

impl Rows {
    fn minutes(&self) -> usize {
        self.hit.len()
    }

    /// A minute's numbers, in the order of [`SERIES`] and then the others.
    fn at(&self, minute: usize) -> [u64; 6] {
        let all = [
            &self.hit,
            &self.stale,
            &self.revalidated,
            &self.miss,
            &self.bypass,
            &self.refused,
        ];
        all.map(|row| row.get(minute).copied().unwrap_or(0))
    }
}

impl Column {
    fn add(&mut self, requests: [u64; 6], bytes: [u64; 6]) {
        let sum = |numbers: &[u64]| numbers.iter().fold(0_u64, |sum, n| sum.saturating_add(*n));
        let [hit, stale, revalidated, miss, ..] = requests;
        for (count, n) in self.counts.iter_mut().zip([hit, stale, revalidated, miss]) {
            *count = count.saturating_add(n);
        }
        let [hit_bytes, stale_bytes, ..] = bytes;
        for (total, more) in [
            (&mut self.kept, sum(&[hit, stale])),
            (&mut self.all, sum(&requests)),
            (&mut self.kept_bytes, sum(&[hit_bytes, stale_bytes])),
            (&mut self.all_bytes, sum(&bytes)),
            (&mut self.minutes, 1),
        ] {
            *total = total.saturating_add(more);
        }
    }

    fn drawn(&self) -> u64 {
        let counts = self.counts.iter();
        counts.fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// Requests a minute, rounded up.
    fn height(&self) -> u64 {
        self.drawn().div_ceil(self.minutes.max(1))
    }

    /// Which series has the middle of a cell, `row` rows above the bottom, of `unit` requests a minute each. Whatever came at
    /// all has the lowest.
    fn series_at(&self, row: u64, unit: u64) -> Option<usize> {
        let middle = u128::from(2 * row + 1) * u128::from(unit) * u128::from(self.minutes);
        let mut up_to = 0;
        for (at, count) in self.counts.iter().enumerate() {
            up_to += u128::from(*count) * 2;
            if up_to >= middle && middle > 0 {
                return Some(at);
            }
        }
        let largest = || (0..SERIES.len()).max_by_key(|at| self.counts.get(*at));
        (row == 0 && self.drawn() > 0).then(largest).flatten()
    }
}

fn drawn(history: &History, back: Back, look: Look) -> String {
    let width = look.width.unwrap_or(USUAL_WIDTH);
    let room = width.saturating_sub(MARGIN).max(1);
    let each = MINUTES_EACH
        .into_iter()
        .find(|each| back.minutes().div_ceil(*each) <= room)
        .unwrap_or(back.minutes());
    let places = back.minutes().div_ceil(each);
    let columns = columns(history, each);
    let mut all = Column::default();
    for minute in 0..history.requests.minutes() {
        all.add(history.requests.at(minute), history.bytes.at(minute));
    }
    let mut text = format!("Requests a minute in the last {}", back.name());
    if each > 1 {
        let _ = write!(text, "; a column is the average of {each} minutes");
    }
    text.push_str(".\n");
    if history.requests.minutes() < back.minutes() {
        text.push_str(&since(history));
    }
    if all.all == 0 {
        text.push_str("\nNobody has asked for anything.\n");
        return text;
    }
    text.push('\n');
    stacked(&mut text, &columns, places, look);
    axis(&mut text, columns.len(), places, back, look);
    text.push('\n');
    legend(&mut text, history, &all, look);
    shares(&mut text, &columns, places, &all, look);
    text
}

/// From the left, the last of them up to now; each but the first of as many minutes.
fn columns(history: &History, each: usize) -> Vec<Column> {
    let minutes: Vec<usize> = (0..history.requests.minutes()).collect();
    let columns = minutes.rchunks(each).map(|minutes| {
        let mut column = Column::default();
        for minute in minutes {
            column.add(history.requests.at(*minute), history.bytes.at(*minute));
        }
        column
    });
    let mut columns: Vec<Column> = columns.collect();
    columns.reverse();
    columns
}

fn since(history: &History) -> String {
    let seconds = history.began / 1000 % 86_400;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let ago = history.now.saturating_sub(history.began) / 1000;
    format!(
        "Since {hours:02}:{minutes:02}:{seconds:02} UTC, {} ago: this edge began then, and counts anew.\n",
        span(ago)
    )
}

/// Puts characters of a series after one another, in its colour.
struct Painter<'t> {
    text: &'t mut String,
    look: Look,
    colour: Option<u8>,
}

impl<'t> Painter<'t> {
    fn new(text: &'t mut String, look: Look) -> Self {
        let colour = None;
        Self { text, look, colour }
    }

    fn put(&mut self, shown: char, colour: Option<u8>) {
        let colour = colour.filter(|_| self.look.colour);
        if self.colour != colour {
            let _ = write!(self.text, "\x1b[{}m", colour.unwrap_or(0));
            self.colour = colour;
        }
        self.text.push(shown);
    }

    fn series(&mut self, series: &Series) {
        let shown = match self.look.unicode {
            true => series.unicode,
            false => series.ascii,
        };
        self.put(shown, Some(series.colour));
    }

    /// Nothing but blanks may follow.
    fn end(self) {
        if self.colour.is_some() {
            self.text.push_str("\x1b[0m");
        }
        self.text.truncate(self.text.trim_end_matches(' ').len());
        self.text.push('\n');
    }
}

fn stacked(text: &mut String, columns: &[Column], places: usize, look: Look) {
    let highest = columns.iter().map(Column::height).max().unwrap_or(0);
    let unit = unit(highest);
    for row in (0..highest.div_ceil(unit).max(1)).rev() {
        let (label, line) = match (row % 2 == 1, look.unicode) {
            (true, true) => (short((row + 1) * unit), '┤'),
            (true, false) => (short((row + 1) * unit), '+'),
            (false, true) => (String::new(), '│'),
            (false, false) => (String::new(), '|'),
        };
        let _ = write!(text, "{label:>6} {line}");
        let mut painter = Painter::new(text, look);
        (columns.len()..places).for_each(|_| painter.put(' ', None));
        for column in columns {
            match column.series_at(row, unit).and_then(|at| SERIES.get(at)) {
                Some(series) => painter.series(series),
                None => painter.put(' ', None),
            }
        }
        painter.end();
    }
}

/// Requests a minute that a row stands for: 1, 2 or 5, or ten times as many, and so on.
fn unit(highest: u64) -> u64 {
    let mut power = 1_u64;
    loop {
        for unit in [1, 2, 5].map(|first: u64| first.saturating_mul(power)) {
            if unit.saturating_mul(ROWS) >= highest {
                return unit;
            }
        }
        power = power.saturating_mul(10);
    }
}

/// In at most five characters, for whole multiples of a unit.
fn short(count: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("G", 1_000_000_000), ("M", 1_000_000), ("k", 1_000)];
    match UNITS.iter().find(|(_, size)| count >= size * 10) {
        Some((name, size)) => format!("{}{name}", count / size),
        None => count.to_string(),
    }
}

/// The line below, dotted where nothing is known, and what time it is along it.
fn axis(text: &mut String, known: usize, places: usize, back: Back, look: Look) {
    let (corner, line, unknown) = match look.unicode {
        true => ('┴', '─', '╌'),
        false => ('+', '-', ' '),
    };
    let _ = write!(text, "{:>6} {corner}", 0);
    let places_unknown = places.saturating_sub(known);
    text.extend(std::iter::repeat_n(unknown, places_unknown));
    text.extend(std::iter::repeat_n(line, places - places_unknown));
    let [first, middle] = back.labels();
    let half = places / 2;
    let rest = places - half;
    let _ = write!(text, "\n{:MARGIN$}{first:half$}", "");
    let _ = writeln!(text, "{middle:<0$}now", rest.saturating_sub("now".len()));
}

fn legend(text: &mut String, history: &History, all: &Column, look: Look) {
    let minutes = history.requests.minutes();
    for (at, series) in SERIES.iter().enumerate() {
        let of = |numbers: &[u64]| numbers.get(at).copied().unwrap_or(0);
        let count = of(&all.counts);
        let most = (0..minutes).map(|minute| of(&history.requests.at(minute)));
        text.push_str("     ");
        let mut painter = Painter::new(text, look);
        painter.series(series);
        painter.put(' ', None);
        let (name, share) = (series.name, share(count, all.all));
        let _ = writeln!(
            text,
            "{name:11} {count:>10}  {share:>8}  at most {} in a minute",
            most.max().unwrap_or(0)
        );
    }
    let sum = |row: &[u64]| row.iter().fold(0_u64, |sum, n| sum.saturating_add(*n));
    let _ = writeln!(
        text,
        "       besides, {} bypass and {} refused",
        sum(&history.requests.bypass),
        sum(&history.requests.refused)
    );
}

fn shares(text: &mut String, columns: &[Column], places: usize, all: &Column, look: Look) {
    let how = match look.unicode {
        true => "each column from 0 to 100 %",
        false => "each column in tenths, * for all",
    };
    let _ = writeln!(
        text,
        "\nAnswered without the origin, {how}: {} of {} requests, {}",
        all.kept,
        all.all,
        share(all.kept, all.all)
    );
    line_of_shares(text, columns, places, look, |column| {
        (column.kept, column.all)
    });
    let _ = writeln!(
        text,
        "Of their bytes: {} of {}, {}",
        bytes(all.kept_bytes),
        bytes(all.all_bytes),
        share(all.kept_bytes, all.all_bytes)
    );
    line_of_shares(text, columns, places, look, |column| {
        (column.kept_bytes, column.all_bytes)
    });
}

/// Blank where there was nothing to have a share of.
fn line_of_shares(
    text: &mut String,
    columns: &[Column],
    places: usize,
    look: Look,
    of: impl Fn(&Column) -> (u64, u64),
) {
    const UNICODE: &str = "▁▂▃▄▅▆▇█";
    const ASCII: &str = "0123456789*";
    let _ = write!(text, "{:MARGIN$}", "");
    let mut painter = Painter::new(text, look);
    (columns.len()..places).for_each(|_| painter.put(' ', None));
    for (part, whole) in columns.iter().map(of) {
        let marks = if look.unicode { UNICODE } else { ASCII };
        let steps = if look.unicode { 8 } else { 10 };
        let step = (u128::from(part) * steps).checked_div(u128::from(whole));
        let last = marks.chars().count() - 1;
        let step = step.map(|step| usize::try_from(step).unwrap_or(last).min(last));
        let mark = step.and_then(|step| marks.chars().nth(step));
        painter.put(mark.unwrap_or(' '), SERIES.first().map(|hit| hit.colour));
    }
    painter.end();
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const PLAIN: Look = Look {
        width: Some(80),
        unicode: false,
        colour: false,
    };

    /// What came in each minute: hits, and misses.
    fn history(minutes: &[(u64, u64)]) -> History {
        let row = |of: fn(&(u64, u64)) -> u64| minutes.iter().map(of).collect::<Vec<u64>>();
        let none = vec![0; minutes.len()];
        let rows = |hit: Vec<u64>, miss: Vec<u64>| {
            json!({
                "hit": hit, "miss": miss, "stale": none, "revalidated": none, "bypass": none, "refused": none,
            })
        };
        let told = json!({
            "began": 1_795_771_890_000_u64 - minutes.len() as u64 * 60_000,
            "now": 1_795_771_890_000_u64,
            "requests": rows(row(|n| n.0), row(|n| n.1)),
            "bytes": rows(row(|n| n.0 * 10), row(|n| n.1 * 30)),
        });
        serde_json::from_value(told).unwrap()
    }

    #[test]
    fn an_hour_is_drawn_a_column_for_each_minute() {
        let mut minutes = vec![(0, 0); 60];
        minutes[57..].copy_from_slice(&[(3, 0), (6, 2), (0, 1)]);
        let text = drawn(&history(&minutes), Back::Hour, PLAIN);
        let blank = " ".repeat(57);
        let expected = format!(
            "Requests a minute in the last hour.\n\n\
                  8 +{blank} .\n       \
                    |{blank} .\n     \
                  6 +{blank} #\n       \
                    |{blank} #\n     \
                  4 +{blank} #\n       \
                    |{blank}##\n     \
                  2 +{blank}##\n       \
                    |{blank}##.\n     \
                  0 +{}\n        \
                     1 h ago                       30 min ago                 now\n\n     \
                  # hit                  9    75.0 %  at most 6 in a minute\n     \
                  + stale                0     0.0 %  at most 0 in a minute\n     \
                  : revalidated          0     0.0 %  at most 0 in a minute\n     \
                  . miss                 3    25.0 %  at most 2 in a minute\n       \
                    besides, 0 bypass and 0 refused\n\n\
             Answered without the origin, each column in tenths, * for all: 9 of 12 requests, 75.0 %\n        \
                     {blank}*70\n\
             Of their bytes: 90 B of 180 B, 50.0 %\n        \
                     {blank}*50\n",
            "-".repeat(60)
        )
        .replacen("8 +", "     8 +", 1);
        assert_eq!(text, expected);
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_none_of_a_day_is_left_out() {
        let minutes: Vec<_> = (0..1440).map(|minute| (minute, 1)).collect();
        let history = history(&minutes);
        for (width, columns) in [(40, 24), (80, 72), (120, 96), (2000, 1440)] {
            let look = Look {
                width: Some(width),
                ..PLAIN
            };
            let text = drawn(&history, Back::Day, look);
            let line = text
                .lines()
                .find(|line| line.starts_with("     0 +"))
                .unwrap();
            assert_eq!(line.len() - MARGIN, columns, "{width}");
            let is_drawn = |line: &&str| matches!(line.as_bytes().get(7), Some(b'|' | b'+'));
            for line in text.lines().filter(is_drawn) {
                assert!(line.len() <= width, "{width}: {line}");
            }
            assert_eq!(columns_of(&history, columns), 1440 * 1439 / 2 + 1440);
        }
    }

    fn columns_of(history: &History, places: usize) -> u64 {
        let columns = columns(history, 1440 / places);
        assert_eq!(columns.len(), places);
        columns.iter().map(|column| column.all).sum()
    }

    #[test]
    fn a_young_edge_says_since_when_and_draws_no_time_before() {
        let text = drawn(&history(&[(1, 0), (1, 0)]), Back::Hour, PLAIN);
        assert!(
            text.contains(
                "Since 09:29:30 UTC, 2 min ago: this edge began then, and counts anew.\n"
            ),
            "{text}"
        );
        let axis = format!("     0 +{}--\n", " ".repeat(58));
        assert!(text.contains(&axis), "{text}");
        let whole = drawn(&history(&[(1, 0); 60]), Back::Hour, PLAIN);
        assert!(!whole.contains("Since"), "{whole}");
        let nothing = drawn(&history(&[(0, 0)]), Back::Hour, PLAIN);
        assert!(nothing.ends_with("Nobody has asked for anything.\n"));
    }

    #[test]
    fn colours_are_around_what_they_are_for_and_end_with_the_line() {
        let look = Look {
            unicode: true,
            colour: true,
            ..PLAIN
        };
        let text = drawn(&history(&[(2, 1), (2, 1)]), Back::Hour, look);
        let rows = format!("│{}\x1b[32m██\x1b[0m\n", " ".repeat(58));
        assert!(text.contains(&rows), "{text:?}");
        assert!(text.contains("\x1b[35m░\x1b[0m miss"), "{text:?}");
        assert!(text.lines().all(|line| {
            let begun = line.matches("\x1b[").count() - line.matches("\x1b[0m").count();
            begun == 0 || line.matches("\x1b[0m").count() > 0
        }));
        assert!(!drawn(&history(&[(2, 1)]), Back::Hour, PLAIN).contains('\x1b'));
    }

    #[test]
    fn whatever_came_is_seen_however_much_else_came() {
        let mut column = Column::default();
        column.add([0, 0, 0, 1, 0, 0], [0; 6]);
        assert_eq!(column.series_at(0, 1_000), Some(3));
        assert_eq!(column.series_at(1, 1_000), None);
        assert_eq!(Column::default().series_at(0, 1), None);
        column.add([u64::MAX; 6], [u64::MAX; 6]);
        assert!(column.series_at(0, unit(column.height())).is_some());
    }

    #[test]
    fn rows_stand_for_round_numbers_and_there_are_never_too_many() {
        for (highest, rows_of) in [(0, 1), (12, 1), (13, 2), (60, 5), (61, 10), (u64::MAX, 0)] {
            let unit = unit(highest);
            assert!(unit.saturating_mul(ROWS) >= highest);
            assert!(rows_of == 0 || unit == rows_of, "{highest}: {unit}");
        }
        assert_eq!(short(9_000), "9000");
        assert_eq!(short(12_000), "12k");
        assert_eq!(short(50_000_000), "50M");
    }
}
