//! The chart: bystanders' p99 under each attack, one bar for each server. Plain SVG that follows the reader's light or dark scheme.

use std::fmt::Write as _;
use std::time::Duration;

use super::families::Family;
use super::servers::Server;
use super::table::{Outcome, Row, p99};
use crate::chart::{STYLE, escape};

const WIDTH: f64 = 960.0;
const TOP: f64 = 84.0;
const MARGIN: f64 = 24.0;
/// Where bars begin, and how long the longest is.
const LEFT: f64 = 340.0;
const LENGTH: f64 = 520.0;
const STEP: f64 = 18.0;
const HEIGHT: f64 = 12.0;
const GAP: f64 = 12.0;
/// The shortest and the longest that a bar tells apart, in milliseconds.
const LEAST: f64 = 0.1;
const MOST: f64 = 10_000.0;

/// The chart of all rows.
pub(super) fn svg(rows: &[Row]) -> String {
    let mut body = String::new();
    let mut top = TOP;
    let mut before: Option<Family> = None;
    for row in rows {
        if before.replace(row.family) != Some(row.family) {
            top += GAP;
            let _ = writeln!(
                body,
                "<text class=\"title\" x=\"{MARGIN}\" y=\"{:.0}\">{}</text>",
                top + 11.0,
                escape(row.family.title())
            );
        }
        let baseline = top + 11.0;
        let _ = writeln!(
            body,
            "<text class=\"small end\" x=\"{:.0}\" y=\"{baseline:.0}\">{}</text>",
            LEFT - 8.0,
            row.server.name()
        );
        match &row.outcome {
            Outcome::Seen(seen) => {
                let (quiet, attacked) = (p99(&seen.quiet.took), p99(&seen.attacked.took));
                let class = match row.server {
                    Server::Mangrove => "own",
                    _ => "bar",
                };
                let (mark, end) = (x(quiet), x(attacked));
                let _ = writeln!(
                    body,
                    "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{top:.0}\" width=\"{:.1}\" height=\"{HEIGHT}\"/>\
                     <line class=\"mark\" x1=\"{mark:.1}\" x2=\"{mark:.1}\" y1=\"{:.0}\" y2=\"{:.0}\"/>\
                     <text class=\"small\" x=\"{:.1}\" y=\"{baseline:.0}\">{:.1}</text>",
                    end - LEFT,
                    top - 2.0,
                    top + HEIGHT + 2.0,
                    end.max(mark) + 6.0,
                    millis(attacked)
                );
            }
            Outcome::NotOffered(why) => note(&mut body, baseline, why),
            Outcome::Failed(why) => note(&mut body, baseline, why),
        }
        top += STEP;
    }
    let height = top + MARGIN;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"Bystanders under attack\">\n<style>{STYLE}</style>\n\
         <rect class=\"paper\" width=\"{WIDTH}\" height=\"{height}\"/>\n\
         <text class=\"title\" x=\"{MARGIN}\" y=\"36\">Bystanders under attack: shorter is better</text>\n\
         <text class=\"small\" x=\"{MARGIN}\" y=\"56\">Their 99th percentile in ms, each step as long again for ten times as \
         much. Line across a bar: while it was quiet.</text>\n{body}</svg>\n"
    )
}

fn note(body: &mut String, baseline: f64, why: &str) {
    let why = escape(&why.chars().take(80).collect::<String>());
    let _ = writeln!(
        body,
        "<text class=\"small\" x=\"{:.0}\" y=\"{baseline:.0}\">{why}</text>",
        LEFT + 6.0
    );
}

fn millis(took: Option<Duration>) -> f64 {
    took.unwrap_or_default().as_secs_f64() * 1000.0
}

/// Where a bar of so many milliseconds ends: equal steps for equal factors.
fn x(took: Option<Duration>) -> f64 {
    let decades = (millis(took).clamp(LEAST, MOST) / LEAST).log10();
    LEFT + LENGTH * decades / (MOST / LEAST).log10()
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::row;
    use super::*;

    #[test]
    fn ten_times_as_long_is_one_step_more() {
        let x = |millis| x(Some(Duration::from_millis(millis)));
        assert!((x(100) - x(10) - (x(10) - x(1))).abs() < 1e-9);
        assert!((x(10_000) - LEFT - LENGTH).abs() < 1e-9);
        assert!((x(0) - LEFT).abs() < 1e-9);
    }

    #[test]
    fn a_family_is_named_once_and_each_server_has_a_bar() {
        let text = svg(&[row(Server::Mangrove, 5), row(Server::Nginx, 50)]);
        assert_eq!(text.matches("requests past the limit").count(), 1);
        assert_eq!(text.matches("<rect class=\"own\"").count(), 1);
        assert_eq!(text.matches("<rect class=\"bar\"").count(), 1);
        assert!(text.contains(">50.0<"), "{text}");
    }
}
