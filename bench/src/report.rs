//! The report as text: for the terminal and for `RESULTS.md`.

use std::fmt::Write;

use crate::asks::OBJECTS;
use crate::cold::RESIDENT_MOST;
use crate::gates;
use crate::load::CONNECTIONS;
use crate::machine::Machine;
use crate::results::{Cell, Outcome, Results, RowResult, SPREAD_LIMIT, Unit};
use crate::rows::{FEW_CONNECTIONS, ROWS};
use crate::run::{FEW_TURNS, TURNS};
use crate::stats;

/// The whole of `RESULTS.md`.
pub(crate) fn markdown(results: &Results) -> String {
    let mut text = String::from(
        "# Mangrove beside its peers\n\n\
         Written by `cargo run -p mangrove-bench --release`; the numbers of each round are in \
         [results.json](results.json).\n\n\
         ![CPU of a request as a multiple of the bare loop's](results.svg)\n\n",
    );
    text.push_str("## Budgets\n\n");
    text.push_str(&gates_table(results));
    text.push_str("\n## Rows\n");
    for row in &results.rows {
        let _ = write!(text, "\n### {}\n\n{}", row.title, row_table(row));
        let _ = writeln!(
            text,
            "\n`{}`, {}; {} {}; Mangrove at {}.",
            row.row,
            row.date,
            thousands(row.requests),
            match row.unit {
                Unit::CpuNanoseconds => "requests in each round",
                Unit::ResidentBytes => "connections",
            },
            row.machine.commit,
        );
    }
    if let Some(cores) = &results.cores {
        text.push_str(&cores.section());
    }
    text.push_str("\n## Machine and versions\n\n");
    text.push_str(&machines(results));
    text.push_str(&rules());
    text
}

/// One row's table, in Markdown that can be read as it is.
pub(crate) fn row_table(row: &RowResult) -> String {
    let has_disk = row.cells.iter().any(|cell| !cell.read().is_empty());
    let head: &[&str] = match row.unit {
        Unit::CpuNanoseconds if has_disk => &[
            "",
            "CPU µs/request",
            "× bare loop",
            "least – most",
            "head + body, bytes",
            "CPU ns/KiB",
            "read from the disk, × answered",
        ],
        Unit::CpuNanoseconds => &[
            "",
            "CPU µs/request",
            "× bare loop",
            "least – most",
            "head + body, bytes",
        ],
        Unit::ResidentBytes => &["", "bytes/connection", "least – most"],
    };
    let mut lines = vec![head.iter().map(|words| (*words).to_owned()).collect()];
    lines.extend(row.cells.iter().map(|cell| match row.unit {
        Unit::CpuNanoseconds => cpu_line(row, cell, has_disk),
        Unit::ResidentBytes => memory_line(cell),
    }));
    table(1, &lines)
}

/// The budgets and how they fared.
pub(crate) fn gates_table(results: &Results) -> String {
    let mut lines = vec![["row", "budget", "found", ""].map(str::to_owned).to_vec()];
    lines.extend(gates::judge(results).into_iter().map(|judged| {
        vec![
            format!("`{}`", judged.row),
            judged.budget,
            judged.found,
            judged.verdict.word().to_owned(),
        ]
    }));
    table(2, &lines)
}

fn cpu_line(row: &RowResult, cell: &Cell, has_disk: bool) -> Vec<String> {
    let name = cell.contender.to_string();
    let (values, head, body) = match &cell.outcome {
        Outcome::Measured {
            values, head, body, ..
        } => (values, *head, *body),
        Outcome::NotApplicable { reason } => return vec![name, format!("n/a: {reason}")],
        Outcome::Failed { reason } => return vec![name, format!("failed: {reason}")],
    };
    let time = stats::median(values).unwrap_or_default() / 1000.0;
    let ratios = row.ratios(cell).unwrap_or_default();
    let size = if head > 0 {
        format!("{head} + {body}")
    } else {
        format!("{body}")
    };
    let mut line = vec![
        name,
        format!("{time:.2}"),
        stats::median(&ratios).map_or_else(String::new, |ratio| format!("{ratio:.2}")),
        stats::range(&ratios).map_or_else(String::new, |(least, most)| {
            format!("{least:.2} – {most:.2}")
        }),
        size,
    ];
    if has_disk {
        let nanoseconds = stats::median(values).unwrap_or_default();
        line.push(format!("{:.1}", nanoseconds / kibibytes(body)));
        let read = stats::median(cell.read());
        line.push(read.map_or_else(|| "–".to_owned(), |read| format!("{read:.2}")));
    }
    line
}

#[allow(clippy::cast_precision_loss, reason = "bodies are far below 2^52")]
fn kibibytes(body: usize) -> f64 {
    body.max(1) as f64 / 1024.0
}

fn memory_line(cell: &Cell) -> Vec<String> {
    let name = cell.contender.to_string();
    match &cell.outcome {
        Outcome::Measured { values, .. } => {
            let (least, most) = stats::range(values).unwrap_or_default();
            vec![
                name,
                format!("{:.0}", stats::median(values).unwrap_or_default()),
                format!("{least:.0} – {most:.0}"),
            ]
        }
        Outcome::NotApplicable { reason } => vec![name, format!("n/a: {reason}")],
        Outcome::Failed { reason } => vec![name, format!("failed: {reason}")],
    }
}

/// Lines of cells as a Markdown table; the first line is its head, the first `left` columns are words and the others
/// numbers. A line with fewer cells than the head may run over its column.
pub(crate) fn table(left: usize, lines: &[Vec<String>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let clean = |text: &String| text.replace(['|', '\n'], " ");
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let counts = lines
                .iter()
                .filter(|line| line.len() == columns || column == 0);
            let width = |line: &Vec<String>| {
                line.get(column)
                    .map_or(0, |text| clean(text).chars().count())
            };
            counts.map(width).max().unwrap_or(0).max(3)
        })
        .collect();
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        for (column, width) in widths.iter().enumerate() {
            let cell = line.get(column).map(clean).unwrap_or_default();
            let _ = if column < left {
                write!(text, "| {cell:<width$} ")
            } else {
                write!(text, "| {cell:>width$} ")
            };
        }
        text.push_str("|\n");
        if number == 0 {
            for (column, width) in widths.iter().enumerate() {
                let dashes = "-".repeat(width.saturating_sub(1));
                let _ = if column < left {
                    write!(text, "| :{dashes} ")
                } else {
                    write!(text, "| {dashes}: ")
                };
            }
            text.push_str("|\n");
        }
    }
    text
}

fn machines(results: &Results) -> String {
    let mut seen: Vec<(&Machine, Vec<&str>)> = Vec::new();
    for row in &results.rows {
        match seen
            .iter_mut()
            .find(|(machine, _)| **machine == row.machine)
        {
            Some((_, rows)) => rows.push(&row.row),
            None => seen.push((&row.machine, vec![&row.row])),
        }
    }
    let mut text = String::new();
    let one = seen.len() == 1;
    for (machine, rows) in seen {
        if !one {
            let _ = writeln!(text, "Rows {}:\n", rows.join(", "));
        }
        let _ = writeln!(
            text,
            "- {}, {} cores; {}, kernel {}",
            machine.processor, machine.cores, machine.system, machine.kernel
        );
        if !machine.congestion_control.is_empty() {
            let _ = writeln!(text, "- Connections sent by {}", machine.congestion_control);
        }
        let _ = writeln!(text, "- TLS of the peers: {}", machine.openssl);
        let _ = writeln!(text, "- This repository at {}", machine.commit);
        for (server, version) in &machine.versions {
            let _ = writeln!(text, "- {server}: {version}");
        }
        text.push('\n');
    }
    text
}

fn rules() -> String {
    format!(
        "## Rules\n\n\
         - One worker for each server, all of its processes on one core; generator and origin on another.\n\
         - CPU is the time that the kernel's scheduler charged, in nanoseconds (`schedstat`), to all threads of all \
         processes of a server: master, workers, supervisor, log helpers. It is read at rest, before and after a fixed \
         number of requests; where a thread ended and took its account along, the server is out of the row.\n\
         - {CONNECTIONS} connections ({FEW_CONNECTIONS} where an answer is larger than 1 MiB), in waves: one request is sent on each, then all answers are read, so that fast and \
         slow servers sleep and wake alike. Each has carried 2 MiB before a large answer is measured: until then TCP finds its windows. \
         Congestion control is named with each machine; `bench/in-namespace cubic` makes it Linux's own default: BBR paces loopback by timers that cost more than the sending. The handshake rows make a new connection for \
         each request, and the client ends it. Status, length and content of every answer are checked. No answer is \
         compressed.\n\
         - Servers take short turns (tens of milliseconds), in an order that moves on by one. Turns are dealt to the rounds \
         like cards, {TURNS} to each, so that every round has its share of every minute; a round's figure is the mean of \
         the middle half of its turns. The table's figure is the median over the rounds; a multiple is the median of each round's own quotient. The bare loop writes an answer of the same size as \
         Mangrove's (with its log on) over cleartext HTTP/1.1, with one read and one write for each request as far as the \
         kernel takes it, also in the rows of TLS, HTTP/2 and passing through: there the multiple says what all of it \
         costs together.\n\
         - Heads differ, for each server has fields that it cannot leave out: their lengths are in the tables.\n\
         - A row is void when the bare loop's own time spreads by more than {:.0}% over the rounds.\n\
         - nginx: `sendfile on`, `keepalive_requests` without limit, buffered access log, no temporary files for answers. \
         HAProxy: `option httplog` to a file. Varnish: `return (pass)`, `synth` for the answer made at the edge, \
         varnishncsa to a file. All: keep-alive to the origin. Mangrove: as it comes, access log to a file, or off.\n\
         - Hits: every object is asked for once before anything is measured, and the origin counts who asks it: a server \
         that asks during a turn is out of the row, which says so. Each cache may hold 256 MiB. Mangrove: as it comes. nginx: \
         `proxy_cache` with its files in the page cache, `sendfile`, and `open_file_cache`. HAProxy: a `cache` section with \
         `max-object-size` at its largest. Varnish: `-s malloc`, built-in VCL, `Via` and `X-Varnish` taken out. Where many \
         objects are asked for, they are {OBJECTS} of 1 KiB, the one of rank r in proportion to r to the power of −0.9, in the \
         same order in every run and of every server.\n\
         - From the disk: so many objects that a sixteenth of them fits into Mangrove's `cache_memory` ({}), each asked for \
         once, in a shuffled order, before any is again; everything is asked for until the origin is not asked any more, then \
         written (`sync`). Mangrove: as it comes beside that. nginx: as above, its files being its only cache; without `aio threads`, which \
         hands each `sendfile` to a thread. Varnish: `-s file`, with everything in it mapped. HAProxy caches in memory alone. \
         *Warm*: the kernel has all of it in memory. *Cold*: before what is measured of each turn the kernel is told to let go of all files of \
         the server's store (`POSIX_FADV_DONTNEED`), and asked what it still has (`mincore`): more than one part in {RESIDENT_MOST}, and the server \
         is out of the row. Of what is mapped, as by Varnish, it lets nothing go. \
         What was read from the disk is `read_bytes` of `/proc/PID/io`. {FEW_TURNS} turns to a round where a turn is long: cold, or over 1 MiB.\n\
         - TLS: one ECDSA P-256 key, TLS 1.3, TLS_AES_128_GCM_SHA256, X25519 except where the row says otherwise; the \
         client refuses any other outcome, and a full handshake where a resumed one is due.\n\
         - Memory is what the resident sets of all processes of a fresh server grew by while the connections, each with \
         one completed request, were opened and then left idle, divided by their number. Up to three fresh starts. \
         Kernel socket buffers are not part of it.\n",
        SPREAD_LIMIT * 100.0,
        sets(),
    )
}

/// `2,560 of 100 KiB, …`
fn sets() -> String {
    let warm = ROWS
        .iter()
        .filter_map(|row| Some((row, row.shelf().filter(|shelf| !shelf.is_cold)?)));
    let sets = warm.map(|(row, shelf)| {
        let objects = thousands(shelf.objects.into());
        format!("{objects} of {} KiB", thousands(row.body / 1024))
    });
    sets.collect::<Vec<_>>().join(", ")
}

fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::{Contender, Server};
    use crate::results::tests::row;

    #[test]
    fn a_ratio_is_the_median_of_each_rounds_own_quotient() {
        // The quotient of the medians would be 3.0.
        let row = row(
            "pass-1k",
            Unit::CpuNanoseconds,
            &[
                (Server::Bare, false, &[10_000.0, 20_000.0, 30_000.0]),
                (Server::Nginx, true, &[40_000.0, 40_000.0, 60_000.0]),
            ],
        );
        let text = row_table(&row);
        let line = text.lines().find(|line| line.contains("nginx")).unwrap();
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        assert_eq!(
            cells[1..=5],
            [
                "nginx, log on",
                "40.00",
                "2.00",
                "2.00 – 4.00",
                "200 + 1024"
            ]
        );
    }

    #[test]
    fn a_row_about_the_disk_tells_what_a_byte_costs_and_what_was_read_for_it() {
        let mut row = row(
            "disk-1m-cold",
            Unit::CpuNanoseconds,
            &[
                (Server::Bare, false, &[1000.0]),
                (Server::Nginx, true, &[2048.0]),
            ],
        );
        if let Outcome::Measured { read, body, .. } = &mut row.cells[1].outcome {
            *read = vec![1.25];
            *body = 2048;
        }
        let text = row_table(&row);
        let line = text.lines().find(|line| line.contains("nginx")).unwrap();
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        assert_eq!(cells[6..8], ["1024.0", "1.25"]);
        let bare = text.lines().find(|line| line.starts_with("| bare"));
        let bare = bare.unwrap();
        assert!(bare.trim_end().ends_with("– |"), "{bare}");
    }

    #[test]
    fn a_server_without_a_number_shows_its_reason() {
        let mut row = row("tls-1k", Unit::CpuNanoseconds, &[]);
        row.cells.push(Cell {
            contender: Contender {
                server: Server::Varnish,
                logs: true,
            },
            outcome: Outcome::NotApplicable {
                reason: "Varnish has no TLS".to_owned(),
            },
        });
        assert!(row_table(&row).contains("n/a: Varnish has no TLS"));
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(
            ["0", "999", "1,000", "1,234,567"],
            [0, 999, 1000, 1_234_567].map(thousands)[..]
        );
    }
}
