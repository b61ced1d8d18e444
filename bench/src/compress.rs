//! What coding content costs and gains, at every level, over texts like those that websites send.
//!
//! CPU of the one thread that does the work, so that others on the machine change little; each text once to warm up, then
//! until enough was done to trust the mean.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use mangrove_cache::CompressRules;
use mangrove_edge::compress::{Coding, NotEncoded, encode};
use rustix::time::{ClockId, clock_gettime};

use crate::terminal::say;

/// CPU spent on a text at one level before its mean is trusted, in nanoseconds.
const ENOUGH_NS: i64 = 60_000_000;
const CHUNK_BYTES: usize = 1 << 20;

/// A text of one kind.
struct Text {
    name: &'static str,
    content: Vec<Bytes>,
}

/// One level of one coding.
struct Cell {
    /// Bytes before for each byte after; 1 when it stays as it is.
    ratio: f64,
    ns_per_byte: f64,
}

/// Measures everything and prints a table in Markdown. `project` is the folder of this repository.
pub(crate) fn measure(project: &Path) -> Result<()> {
    let texts = texts(project)?;
    let mut head = "| coding | level |".to_owned();
    let mut rule = "|---|---|".to_owned();
    for text in &texts {
        let _ = write!(
            head,
            " {}, {} KiB |",
            text.name,
            length(&text.content) / 1024
        );
        rule.push_str("---|");
    }
    say(&format!(
        "{head} all: ratio | all: ns a byte |\n{rule}---|---|"
    ));
    for coding in Coding::ALL {
        for level in coding.levels() {
            let mut line = format!("| {} | {level}{} |", coding.name(), chosen(coding, level));
            let (mut ratio, mut cost) = (0.0, 0.0);
            for text in &texts {
                let cell = cell(coding, level, &text.content)?;
                let _ = write!(line, " {:.2} ({:.0}) |", cell.ratio, cell.ns_per_byte);
                ratio += cell.ratio.ln();
                cost += cell.ns_per_byte.ln();
            }
            let each = f64::from(u32::try_from(texts.len())?);
            say(&format!(
                "{line} **{:.2}** | **{:.1}** |",
                (ratio / each).exp(),
                (cost / each).exp()
            ));
        }
    }
    Ok(())
}

fn chosen(coding: Coding, level: u8) -> &'static str {
    if coding.level(&CompressRules::default()) == level {
        " ◄"
    } else {
        ""
    }
}

fn length(content: &[Bytes]) -> usize {
    content.iter().map(Bytes::len).sum()
}

#[allow(
    clippy::cast_precision_loss,
    reason = "bytes and nanoseconds of a short run"
)]
fn cell(coding: Coding, level: u8, content: &[Bytes]) -> Result<Cell> {
    let after = match encode(coding, level, content, || true) {
        Ok(coded) => length(&coded),
        Err(NotEncoded::NotSmaller) => length(content),
        Err(failed) => return Err(failed.into()),
    };
    let start = cpu_ns();
    let (mut runs, mut spent) = (0, 0);
    while spent < ENOUGH_NS {
        let _ = encode(coding, level, content, || true);
        runs += 1;
        spent = cpu_ns() - start;
    }
    let before = length(content) as f64;
    Ok(Cell {
        ratio: before / after as f64,
        ns_per_byte: spent as f64 / f64::from(runs) / before,
    })
}

/// CPU that this thread has used.
fn cpu_ns() -> i64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

fn texts(project: &Path) -> Result<Vec<Text>> {
    let markdown = read_all(&project.join("docs"), "md")?;
    let source = read_all(&project.join("crates/mangrove-http/src"), "rs")?;
    ensure!(
        markdown.len() > 50_000 && source.len() > 50_000,
        "the repository is not all there"
    );
    let page = html(markdown.get(..12_000).context("a page of the documents")?);
    Ok(vec![
        text("page", page),
        text("pages", html(&markdown)),
        text("JSON", json()),
        text("JavaScript", script(&source)),
        text("CSS", style()),
        text("source", source),
    ])
}

fn text(name: &'static str, content: String) -> Text {
    let content = content
        .as_bytes()
        .chunks(CHUNK_BYTES)
        .map(Bytes::copy_from_slice)
        .collect();
    Text { name, content }
}

/// Every file of that kind in a folder, in the order of their names.
fn read_all(folder: &Path, ending: &str) -> Result<String> {
    let entries = fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let mut all = String::new();
    for path in paths {
        if path.extension().is_some_and(|found| found == ending) {
            all.push_str(
                &fs::read_to_string(&path)
                    .with_context(|| format!("reading {}", path.display()))?,
            );
        }
    }
    Ok(all)
}

/// Markdown as the kind of HTML that a content system makes of it.
fn html(markdown: &str) -> String {
    let mut page = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Documents</title>\
        <link rel=\"stylesheet\" href=\"/assets/site.css?v=18\"></head>\n<body class=\"docs wide\">\n<main id=\"content\">\n"
        .to_owned();
    for (place, block) in markdown.split("\n\n").enumerate() {
        let escaped = block
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        let _ = match escaped.split_once(' ') {
            Some((marks, title)) if !marks.is_empty() && marks.bytes().all(|b| b == b'#') => {
                let level = marks.len();
                writeln!(
                    page,
                    "<h{level} id=\"section-{place}\" class=\"heading\"><a href=\"#section-{place}\">{title}</a></h{level}>"
                )
            }
            Some(("*" | "-", rest)) => {
                let items = rest.replace("\n* ", "</li>\n  <li class=\"item\">");
                writeln!(
                    page,
                    "<ul class=\"list\">\n  <li class=\"item\">{items}</li>\n</ul>"
                )
            }
            _ => writeln!(page, "<p class=\"paragraph\">{escaped}</p>"),
        };
    }
    page.push_str("</main>\n</body></html>\n");
    page
}

const WORDS: [&str; 24] = [
    "coast", "tide", "harbour", "river", "market", "council", "school", "election", "flood",
    "bridge", "ferry", "budget", "minister", "village", "doctor", "teacher", "cricket", "league",
    "storm", "garden", "library", "museum", "railway", "port",
];

/// Numbers by chance, the same each time.
struct Chance(u64);

impl Chance {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }

    fn word(&mut self) -> &'static str {
        let at = usize::try_from(self.next(WORDS.len() as u64)).unwrap_or(0);
        WORDS.get(at).copied().unwrap_or_default()
    }

    fn words(&mut self, count: u64) -> String {
        let words: Vec<_> = (0..count).map(|_| self.word()).collect();
        words.join(" ")
    }
}

/// A list of articles as an interface gives it.
fn json() -> String {
    let mut chance = Chance(18);
    let mut list = "{\"articles\":[".to_owned();
    for number in 0..400 {
        let (title, summary, author) = (chance.words(6), chance.words(24), chance.word());
        let (id, views, minute) = (chance.next(1 << 48), chance.next(90_000), chance.next(60));
        let _ = write!(
            list,
            "{}{{\"id\":\"{id:012x}\",\"title\":\"{title}\",\"summary\":\"{summary}.\",\"author\":{{\"name\":\"{author}\",\
             \"avatar\":\"https://cdn.news.example/a/{id:012x}.webp\"}},\"views\":{views},\"published\":\
             \"2026-11-{:02}T09:{minute:02}:00Z\",\"tags\":[\"{}\",\"{}\"],\"premium\":{}}}",
            if number == 0 { "" } else { "," },
            1 + number % 28,
            chance.word(),
            chance.word(),
            views % 3 == 0
        );
    }
    list.push_str("]}");
    list
}

/// Source without its comments and most of its white space, as a bundler leaves it.
fn script(source: &str) -> String {
    let code = source
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("//") && !line.is_empty());
    let code: String = code.collect();
    code.replace(" = ", "=")
        .replace(": ", ":")
        .replace(", ", ",")
        .replace(" {", "{")
        .replace("&self", "this")
        .replace("fn ", "function ")
}

/// Rules of a design system.
fn style() -> String {
    let mut chance = Chance(19);
    let mut rules = String::new();
    for number in 0..600 {
        let (name, part) = (chance.word(), chance.word());
        let (space, colour) = (chance.next(12), chance.next(1 << 24));
        let _ = write!(
            rules,
            ".{name}-{part}{}{{display:flex;margin:0 {space}px;padding:.{space}rem 1rem;color:#{colour:06x};border-radius:4px}}\
             .{name}-{part}:hover{{background:var(--{part}-{})}}",
            number % 9,
            space * 100
        );
        if number % 20 == 0 {
            let _ = write!(
                rules,
                "@media (min-width:{}em){{.{name}{{width:{}%}}}}",
                30 + space * 4,
                100 / (1 + space)
            );
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_are_there_and_the_same_each_time() {
        let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let (one, other) = (texts(project).unwrap(), texts(project).unwrap());
        for (one, other) in one.iter().zip(&other) {
            assert!(length(&one.content) > 8_000, "{}", one.name);
            assert!(one.content == other.content, "{}", one.name);
        }
    }
}
