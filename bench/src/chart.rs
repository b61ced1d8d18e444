//! The chart: one panel for each row, one bar for each server. Plain SVG that follows the reader's light or dark scheme.

use std::fmt::Write;

use crate::peers::{Contender, Server};
use crate::results::{Outcome, Results, RowResult, Unit};
use crate::stats;

const COLUMNS: usize = 2;
const PANEL_WIDTH: f64 = 480.0;
const PANEL_HEIGHT: f64 = 156.0;
const MARGIN: f64 = 24.0;
/// Where bars begin, and how long the longest is.
const BAR_LEFT: f64 = 84.0;
const BAR_LENGTH: f64 = 300.0;
const BAR_HEIGHT: f64 = 16.0;
const BAR_STEP: f64 = 26.0;
const BARS_TOP: f64 = 34.0;
const LEGEND: f64 = 64.0;

pub(crate) const STYLE: &str = "\
    text { font: 13px system-ui, sans-serif; fill: #1f2328 }\
    .title { font-weight: 600 } .small { font-size: 12px; fill: #59636e } .end { text-anchor: end }\
    .paper { fill: #ffffff } .bar { fill: #8c959f } .own { fill: #0f7b55 } .base { stroke: #59636e } .mark { stroke: #1f2328; stroke-width: 2 }\
    @media (prefers-color-scheme: dark) {\
    text { fill: #e6edf3 } .small { fill: #9198a1 } .paper { fill: #0d1117 }\
    .bar { fill: #6e7681 } .own { fill: #3fb98a } .base { stroke: #9198a1 } .mark { stroke: #e6edf3 } }";

/// The chart of all rows.
pub(crate) fn svg(results: &Results) -> String {
    let lines = results.rows.len().div_ceil(COLUMNS);
    let width = MARGIN + number(COLUMNS) * (PANEL_WIDTH + MARGIN);
    let height = MARGIN + LEGEND + number(lines) * PANEL_HEIGHT;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         aria-label=\"CPU and memory of Mangrove and its peers\">\n<style>{STYLE}</style>\n\
         <rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>\n\
         <text class=\"title\" x=\"{MARGIN}\" y=\"36\">Mangrove beside its peers: shorter is better</text>\n\
         <text class=\"small\" x=\"{MARGIN}\" y=\"56\">CPU of a request as a multiple of the bare loop's, and memory of an \
         idle connection. Bar: access log on; line across it: log off. Each panel has its own scale.</text>\n"
    );
    for (place, row) in results.rows.iter().enumerate() {
        let left = MARGIN + number(place % COLUMNS) * (PANEL_WIDTH + MARGIN);
        let top = MARGIN + LEGEND + number(place / COLUMNS) * PANEL_HEIGHT;
        let _ = writeln!(
            text,
            "<g transform=\"translate({left} {top})\">{}</g>",
            panel(row)
        );
    }
    text.push_str("</svg>\n");
    text
}

fn panel(row: &RowResult) -> String {
    let servers = Server::ALL
        .iter()
        .copied()
        .filter(|server| *server != Server::Bare);
    let most = row
        .cells
        .iter()
        .filter_map(|cell| value(row, cell.contender))
        .fold(0.0, f64::max);
    let mut text = format!(
        "<text class=\"title\" x=\"0\" y=\"18\">{}</text>",
        escape(&row.title)
    );
    for (place, server) in servers.enumerate() {
        let top = BARS_TOP + number(place) * BAR_STEP;
        let baseline = top + 13.0;
        let _ = write!(
            text,
            "<text class=\"end\" x=\"{}\" y=\"{baseline}\">{}</text>",
            BAR_LEFT - 8.0,
            server.name()
        );
        let [on, off] = [true, false].map(|logs| value(row, Contender { server, logs }));
        let Some(shown) = on.or(off) else {
            let reason = escape(&reason(row, server));
            let _ = write!(
                text,
                "<text class=\"small\" x=\"{}\" y=\"{baseline}\">{reason}</text>",
                BAR_LEFT + 6.0
            );
            continue;
        };
        let length = |value: f64| {
            if most > 0.0 {
                BAR_LENGTH * value / most
            } else {
                0.0
            }
        };
        let class = if server == Server::Mangrove {
            "own"
        } else {
            "bar"
        };
        let _ = write!(
            text,
            "<rect class=\"{class}\" x=\"{BAR_LEFT}\" y=\"{top}\" width=\"{:.1}\" height=\"{BAR_HEIGHT}\"/>",
            length(shown)
        );
        if let (Some(_), Some(off)) = (on, off) {
            let x = BAR_LEFT + length(off);
            let _ = write!(
                text,
                "<line class=\"mark\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{}\" y2=\"{}\"/>",
                top - 2.0,
                top + BAR_HEIGHT + 2.0
            );
        }
        let end = BAR_LEFT + length(shown.max(off.unwrap_or(0.0))) + 6.0;
        let _ = write!(
            text,
            "<text x=\"{end:.1}\" y=\"{baseline}\">{}</text>",
            label(row.unit, shown)
        );
    }
    let bottom = BARS_TOP + 4.0 * BAR_STEP - 6.0;
    let _ = write!(
        text,
        "<line class=\"base\" x1=\"{BAR_LEFT}\" x2=\"{BAR_LEFT}\" y1=\"{}\" y2=\"{bottom}\"/>",
        BARS_TOP - 4.0
    );
    text
}

/// The length of a bar, in the panel's unit.
fn value(row: &RowResult, contender: Contender) -> Option<f64> {
    let cell = row.cells.iter().find(|cell| cell.contender == contender)?;
    match row.unit {
        Unit::CpuNanoseconds => stats::median(&row.ratios(cell)?),
        Unit::ResidentBytes => stats::median(row.values(contender.server, contender.logs)?),
    }
}

fn label(unit: Unit, value: f64) -> String {
    match unit {
        Unit::CpuNanoseconds => format!("{value:.2} ×"),
        Unit::ResidentBytes => format!("{:.1} KiB", value / 1024.0),
    }
}

fn reason(row: &RowResult, server: Server) -> String {
    let outcome = row
        .cells
        .iter()
        .find(|cell| cell.contender.server == server)
        .map(|cell| &cell.outcome);
    match outcome {
        Some(Outcome::NotApplicable { reason }) => format!("n/a: {reason}"),
        Some(Outcome::Failed { .. }) => "failed".to_owned(),
        Some(Outcome::Measured { .. }) | None => "not measured".to_owned(),
    }
}

pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[allow(clippy::cast_precision_loss, reason = "counts of panels and bars")]
fn number(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::row;

    #[test]
    fn the_longest_bar_has_the_full_length_and_names_are_escaped() {
        let mut row = row(
            "pass-1k",
            Unit::CpuNanoseconds,
            &[
                (Server::Bare, false, &[1.0]),
                (Server::Mangrove, true, &[2.0]),
                (Server::Nginx, true, &[4.0]),
            ],
        );
        row.title = "a < b & c".to_owned();
        let text = svg(&Results {
            rows: vec![row],
            ..Results::default()
        });
        assert!(text.contains("a &lt; b &amp; c"));
        assert!(
            text.contains("class=\"bar\" x=\"84\" y=\"60\" width=\"300.0\""),
            "{text}"
        );
        assert!(
            text.contains("class=\"own\" x=\"84\" y=\"34\" width=\"150.0\""),
            "{text}"
        );
        assert!(text.contains("4.00 ×"));
    }
}
