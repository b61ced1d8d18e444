//! The plot: resident memory over time, beside what is allowed.

use std::fmt::Write;
use std::time::Duration;

use super::{Course, MIB, mib};
use crate::chart::{STYLE, escape};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 380.0;
/// Where the field of the plot lies.
const LEFT: f64 = 84.0;
const RIGHT: f64 = WIDTH - 24.0;
const TOP: f64 = 84.0;
const BOTTOM: f64 = HEIGHT - 40.0;

const LINES: &str = "\
    .course { fill: none; stroke: #0f7b55; stroke-width: 1.5 } .dashed { stroke: #59636e; stroke-dasharray: 5 4 }\
    @media (prefers-color-scheme: dark) { .course { stroke: #3fb98a } .dashed { stroke: #9198a1 } }";

/// The plot of a whole course.
pub(super) fn svg(course: &Course) -> String {
    let field = Field::of(course);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"Resident memory of an edge whose cache is turned over\">\n<style>{STYLE}{LINES}</style>\n\
         <rect class=\"paper\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>\n\
         <text class=\"title\" x=\"24\" y=\"34\">Resident memory of an edge with cache_memory = {}</text>\n\
         <text class=\"small\" x=\"24\" y=\"54\">Each phase brings several times what the cache may hold. An edge that has \
         kept nothing: {}.</text>\n",
        mib(course.ceiling),
        mib(course.empty)
    );
    for (bytes, words) in [
        (course.allowed(), "allowed"),
        (course.due(course.index()), "ceiling + empty + index"),
        (course.empty, "empty"),
    ] {
        let y = field.y(bytes);
        let _ = writeln!(
            text,
            "<line class=\"dashed\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text class=\"small\" x=\"{:.1}\" y=\"{:.1}\">{words}</text>\
             <text class=\"small end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            LEFT + 4.0,
            y - 4.0,
            LEFT - 8.0,
            y + 4.0,
            bytes / MIB
        );
    }
    for row in &course.rows {
        let Some((first, _)) = row.samples.first() else {
            continue;
        };
        let x = field.x(*first);
        let _ = writeln!(
            text,
            "<line class=\"base\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{BOTTOM}\"/>\
             <text class=\"small\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            x + 4.0,
            BOTTOM + 18.0,
            escape(row.phase.name())
        );
    }
    let samples = course.rows.iter().flat_map(|row| &row.samples);
    let points: Vec<String> = samples
        .map(|(at, bytes)| format!("{:.1},{:.1}", field.x(*at), field.y(*bytes)))
        .collect();
    let _ = writeln!(
        text,
        "<polyline class=\"course\" points=\"{}\"/>\n\
         <line class=\"base\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{BOTTOM}\" y2=\"{BOTTOM}\"/>\n</svg>",
        points.join(" ")
    );
    text
}

/// How time and bytes become places.
struct Field {
    seconds: f64,
    bytes: f64,
}

impl Field {
    fn of(course: &Course) -> Self {
        let samples = course.rows.iter().flat_map(|row| &row.samples);
        let end = samples.map(|(at, _)| *at).max().unwrap_or_default();
        Self {
            seconds: end.as_secs_f64().max(1.0),
            bytes: number(course.peak().max(course.allowed()).max(1)),
        }
    }

    fn x(&self, at: Duration) -> f64 {
        LEFT + (RIGHT - LEFT) * at.as_secs_f64() / self.seconds
    }

    fn y(&self, bytes: u64) -> f64 {
        BOTTOM - (BOTTOM - TOP) * number(bytes) / self.bytes
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "bytes of memory are far below 2^52"
)]
fn number(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{Phase, Row};

    #[test]
    fn the_most_is_at_the_top_and_the_last_moment_at_the_right() {
        let mut row = Row::new(Phase::SmallAfterLarge);
        row.samples = vec![(Duration::ZERO, 0), (Duration::from_secs(10), 300 * MIB)];
        let text = svg(&Course {
            ceiling: 90 * MIB,
            empty: 10 * MIB,
            high_water: 0,
            rows: vec![row],
        });
        assert!(text.contains("points=\"84.0,340.0 936.0,84.0\""), "{text}");
        assert!(text.contains(">small after large<"));
    }
}
