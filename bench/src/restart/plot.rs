//! The chart: how much of the disk is known, and what share of requests is answered from what is kept, by the time since the start.

use std::fmt::Write;

use super::Course;
use crate::chart::STYLE;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 380.0;
/// Where the field of the chart lies.
const LEFT: f64 = 72.0;
const RIGHT: f64 = WIDTH - 24.0;
const TOP: f64 = 96.0;
const BOTTOM: f64 = HEIGHT - 40.0;

const LINES: &str = "\
    .hits { fill: none; stroke: #0f7b55; stroke-width: 2 } .known { fill: none; stroke: #59636e; stroke-width: 1.5; stroke-dasharray: 5 4 }\
    .own-words { fill: #0f7b55 }\
    @media (prefers-color-scheme: dark) { .hits { stroke: #3fb98a } .known { stroke: #9198a1 } .own-words { fill: #3fb98a } }";

/// The chart of a whole course.
pub(super) fn svg(course: &Course, objects: u64) -> String {
    let end = course.hits.last().map_or(0.0, |(at, _)| *at);
    let end = course.known.last().map_or(end, |(at, _)| at.max(end));
    let seconds = (end / 1000.0).max(1.0);
    let x = |millis: f64| LEFT + (RIGHT - LEFT) * (millis / 1000.0 / seconds);
    let y = |share: f64| BOTTOM - (BOTTOM - TOP) * share.clamp(0.0, 1.0);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"Hits after a restart\">\n<style>{STYLE}{LINES}</style>\n\
         <rect class=\"paper\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>\n\
         <text class=\"title\" x=\"24\" y=\"34\">Killed and started again, with {objects} objects on the disk</text>\n\
         <text class=\"small\" x=\"24\" y=\"54\">The origin is stopped. Seconds since `mangrove serve`.</text>\n\
         <text class=\"own-words\" x=\"24\" y=\"76\">— answered from what is kept, % of requests</text>\n\
         <text class=\"small\" x=\"330\" y=\"76\">- - of the disk is known, %</text>\n"
    );
    for percent in [0_u8, 25, 50, 75, 100] {
        let y = y(f64::from(percent) / 100.0);
        let _ = writeln!(
            text,
            "<line class=\"base\" opacity=\"0.3\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text class=\"small end\" x=\"{:.1}\" y=\"{:.1}\">{percent}</text>",
            LEFT - 8.0,
            y + 4.0
        );
    }
    for part in 0..=4_u8 {
        let at = seconds * f64::from(part) / 4.0;
        let _ = writeln!(
            text,
            "<text class=\"small\" text-anchor=\"middle\" x=\"{:.1}\" y=\"{:.1}\">{at:.1} s</text>",
            x(at * 1000.0),
            BOTTOM + 20.0
        );
    }
    let known: Vec<_> = course
        .known
        .iter()
        .map(|(at, told)| (*at, told.known()))
        .collect();
    for (class, line) in [("known", &known), ("hits", &course.hits)] {
        let points: Vec<String> = line
            .iter()
            .map(|(at, share)| format!("{:.1},{:.1}", x(*at), y(*share)))
            .collect();
        let _ = writeln!(
            text,
            "<polyline class=\"{class}\" points=\"{}\"/>",
            points.join(" ")
        );
    }
    text.push_str("</svg>\n");
    text
}
