//! The curves: one panel for each trace and way of counting. Plain SVG that follows the reader's light or dark scheme.

use std::fmt::Write as _;

use super::{COUNTED, Contender, Counted, Sheet};

const COLUMNS: usize = 2;
const PANEL_WIDTH: f64 = 460.0;
const PANEL_HEIGHT: f64 = 270.0;
const MARGIN: f64 = 28.0;
const HEAD: f64 = 96.0;
/// The field of curves within a panel.
const LEFT: f64 = 44.0;
const TOP: f64 = 34.0;
const WIDTH: f64 = 396.0;
const HEIGHT: f64 = 180.0;

/// Who is drawn, in which class: not everyone, or nobody would find anything.
const DRAWN: [(Contender, &str); 8] = [
    (Contender::BeladySize, "seer"),
    (Contender::Fifo, "fifo"),
    (Contender::Lru, "lru"),
    (Contender::Arc, "arc"),
    (Contender::S3Fifo, "s3"),
    (Contender::TinyLfu, "tiny"),
    (Contender::Gdsf, "gdsf"),
    (Contender::Mangrove, "own"),
];

const STYLE: &str = "\
    text { font: 13px system-ui, sans-serif; fill: #1f2328 }\
    .title { font-weight: 600 } .small { font-size: 11px; fill: #59636e } .end { text-anchor: end } .mid { text-anchor: middle }\
    .paper { fill: #ffffff } .grid { stroke: #d1d9e0 } .curve { fill: none; stroke-width: 1.6 }\
    .own { stroke: #0f7b55; stroke-width: 3.2 } .lru { stroke: #cf222e } .fifo { stroke: #8c959f; stroke-dasharray: 2 3 }\
    .arc { stroke: #9a6700; stroke-dasharray: 7 3 } .s3 { stroke: #0969da } .tiny { stroke: #8250df; stroke-dasharray: 7 3 }\
    .gdsf { stroke: #bf3989; stroke-dasharray: 2 2 } .seer { stroke: #59636e; stroke-dasharray: 1 4 }\
    @media (prefers-color-scheme: dark) {\
    text { fill: #e6edf3 } .small { fill: #9198a1 } .paper { fill: #0d1117 } .grid { stroke: #3d444d }\
    .own { stroke: #3fb98a } .lru { stroke: #ff7b72 } .s3 { stroke: #58a6ff } .tiny { stroke: #b392f0 } .arc { stroke: #d29922 } }";

/// The plot of all sheets: what was read from logs by requests and by bytes, what was made by requests.
pub(super) fn svg(sheets: &[Sheet]) -> String {
    let panels: Vec<String> = (sheets.iter())
        .flat_map(|sheet| COUNTED.map(|counted| panel(sheet, counted)))
        .collect();
    let lines = panels.len().div_ceil(COLUMNS);
    let width = MARGIN + number(COLUMNS) * (PANEL_WIDTH + MARGIN);
    let height = HEAD + number(lines) * PANEL_HEIGHT;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         aria-label=\"Hits by ceiling, for Mangrove and other policies\">\n<style>{STYLE}</style>\n\
         <rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>\n\
         <text class=\"title\" x=\"{MARGIN}\" y=\"30\">Hits in %, by ceiling as a share of all objects' bytes</text>\n"
    );
    for (place, (contender, class)) in DRAWN.iter().rev().enumerate() {
        let x = MARGIN + number(place) * 116.0;
        let _ = writeln!(
            text,
            "<line class=\"curve {class}\" x1=\"{x}\" x2=\"{}\" y1=\"56\" y2=\"56\"/>\
             <text class=\"small\" x=\"{}\" y=\"60\">{}</text>",
            x + 24.0,
            x + 30.0,
            contender.name()
        );
    }
    for (place, panel) in panels.iter().enumerate() {
        let left = MARGIN + number(place % COLUMNS) * (PANEL_WIDTH + MARGIN);
        let top = HEAD + number(place / COLUMNS) * PANEL_HEIGHT;
        let _ = writeln!(text, "<g transform=\"translate({left} {top})\">{panel}</g>");
    }
    text.push_str("</svg>\n");
    text
}

fn panel(sheet: &Sheet, Counted { what, of }: Counted) -> String {
    let most = (of(&sheet.all_kept) * 10.0).ceil().max(1.0) / 10.0;
    let y = |value: f64| TOP + HEIGHT * (1.0 - value / most);
    let mut text = format!(
        "<text class=\"title\" x=\"0\" y=\"18\">{}, of {what}</text>",
        escape(&sheet.title)
    );
    for part in 0..=4 {
        let value = most * f64::from(part) / 4.0;
        let _ = write!(
            text,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text class=\"small end\" x=\"{}\" y=\"{:.1}\">{:.0}</text>",
            LEFT + WIDTH,
            LEFT - 6.0,
            y(value) + 4.0,
            value * 100.0,
            y = y(value)
        );
    }
    for size in &sheet.sizes {
        let _ = write!(
            text,
            "<text class=\"small mid\" x=\"{:.1}\" y=\"{}\">{}</text>",
            x(sheet, *size),
            TOP + HEIGHT + 18.0,
            super::share(*size, 10)
        );
    }
    for (contender, class) in DRAWN {
        let Some((_, scores)) = sheet.lines.iter().find(|(whose, _)| *whose == contender) else {
            continue;
        };
        let mut points = String::new();
        for (size, score) in sheet.sizes.iter().zip(scores) {
            let _ = write!(points, "{:.1},{:.1} ", x(sheet, *size), y(of(score)));
        }
        let _ = write!(
            text,
            "<polyline class=\"curve {class}\" points=\"{}\"/>",
            points.trim_end()
        );
    }
    text
}

/// Equal steps for equal factors.
fn x(sheet: &Sheet, size: u64) -> f64 {
    let log = |size: u64| number(usize::try_from(size.max(1)).unwrap_or(1)).ln();
    let least = sheet.sizes.first().copied().map_or(0.0, log);
    let most = sheet.sizes.last().copied().map_or(1.0, log);
    LEFT + WIDTH * (log(size) - least) / (most - least).max(f64::EPSILON)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[allow(clippy::cast_precision_loss, reason = "counts of panels and sizes")]
fn number(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::super::Score;
    use super::*;

    #[test]
    fn a_curve_rises_from_the_lower_left_to_the_upper_right() {
        let score = |hits| Score {
            requests: 10,
            hits,
            ..Score::default()
        };
        let sheet = Sheet {
            title: "a < b".to_owned(),
            requests: 10,
            distinct: 1000,
            sizes: vec![1, 1000],
            lines: vec![(Contender::Lru, vec![score(0), score(10)])],
            all_kept: score(10),
        };
        let text = svg(&[sheet]);
        assert!(text.contains("a &lt; b, of requests"));
        assert!(
            text.contains("class=\"curve lru\" points=\"44.0,214.0 440.0,34.0\""),
            "{text}"
        );
    }
}
