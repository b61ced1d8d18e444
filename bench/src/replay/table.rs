//! The report in words and tables.

use std::fmt::Write as _;

use super::{BEFORE_DISK, COUNTED, Contender, Counted, Score, Sheet, share};

/// The whole page. The verdict is a person's: `verdict.md`, to be read again whenever the numbers change.
pub(super) fn markdown(sheets: &[Sheet], disks: &[Sheet]) -> String {
    let mut text = format!("{HEADING}\n{VERDICT}\n");
    for sheet in sheets {
        let _ = write!(text, "\n## {}\n\n{}", sheet.title, about(sheet));
        for Counted { what, of } in COUNTED {
            let _ = write!(
                text,
                "\nHits, % of {what} (everything kept: {:.1}):\n\n{}",
                of(&sheet.all_kept) * 100.0,
                grid(sheet, |score| format!("{:.1}", of(score) * 100.0))
            );
        }
    }
    let _ = write!(text, "\n## Behind memory, on disk\n\n{DISK}\n");
    for sheet in disks {
        let _ = write!(text, "\n### {}\n\n{}\n", sheet.title, about(sheet));
        text.push_str(&grid(sheet, |score| {
            let hits = format!(
                "{:.1} / {:.1}",
                score.objects() * 100.0,
                score.bytes() * 100.0
            );
            match score.written {
                Some(written) => format!("{hits} / {:.2}", share(written, score.asked)),
                None => hits,
            }
        }));
    }
    text
}

fn about(sheet: &Sheet) -> String {
    format!(
        "{} requests for {:.1} MiB in all different objects.\n",
        sheet.requests,
        share(sheet.distinct, 1 << 20)
    )
}

fn grid(sheet: &Sheet, cell: impl Fn(&Score) -> String) -> String {
    let mut text = String::from("| ceiling |");
    for size in &sheet.sizes {
        let _ = write!(text, " {} % |", share(*size, 10));
    }
    text.push_str("\n| :-- |");
    text.push_str(&" --: |".repeat(sheet.sizes.len()));
    text.push('\n');
    for (contender, scores) in &sheet.lines {
        let name = match *contender {
            Contender::Mangrove | Contender::MangroveDisk => "**Mangrove**".to_owned(),
            seer if seer.is_clairvoyant() => format!("*{}*", seer.name()),
            other => other.name().to_owned(),
        };
        let _ = write!(text, "| {name} |");
        for score in scores {
            let _ = write!(text, " {} |", cell(score));
        }
        text.push('\n');
    }
    text
}

const HEADING: &str = "\
# Hit rate

Written by `cargo run -p mangrove-bench --release -- replay LOG --write bench`; the same log gives the same page.

![Hits by ceiling](hit-rate.svg)
";

const VERDICT: &str = include_str!("verdict.md");

const DISK: &str = "\
What a memory of 1 % of the objects' bytes does not have is asked of a log on disk. In each cell: hits in % of those requests, \
hits in % of their bytes, and bytes written for each byte asked for. A log frees its space from its oldest end, so it can keep \
FIFO's order, and that of CLOCK and S3-FIFO by writing again what stays; LRU is there as a yardstick, and the one who sees \
ahead as a bound. Mangrove is its store as an edge has it, with slabs, heads and headers under the ceiling, and written; the others pay for content and \
its head alone, and give room back to the byte.";

const _: () = assert!(BEFORE_DISK == 10, "DISK says so in words");
