//! Pictures of the report, as SVG.

use std::fmt::Write as _;

use modelyard_optimize::search::Goal;

use super::histograms::{Bars, Histograms};
use super::report::Line;
use super::sensitivity::Sensitivity;
use crate::chart;

const WIDTH: f64 = 720.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 76.0;

/// Drop against what was to get better: each candidate a point, those that nothing beats filled.
pub(super) fn front(lines: &[Line], goal: Goal, max_drop: f64) -> String {
    let name = match goal {
        Goal::Latency => "latency, of the original's",
        Goal::Throughput => "time per example, of the original's",
        Goal::Size => "file, MB",
        Goal::Memory => "memory, MB",
    };
    let scale = if matches!(goal, Goal::Size | Goal::Memory) { 1e-6 } else { 1.0 };
    let points: Vec<(f64, f64, &Line)> = lines
        .iter()
        .filter_map(|line| {
            let figures = line.figures()?;
            Some((100.0 * figures.drop.estimate, figures.goal(goal) * scale, line))
        })
        .collect();
    let height = 420.0;
    let bottom = height - 60.0;
    let mut svg = chart::begin(WIDTH, height);
    chart::heading(&mut svg, "Candidates", "filled: no other one beats it; line: the budget");
    let most = |of: fn(&(f64, f64, &Line)) -> f64| points.iter().map(of).fold(0.0, f64::max);
    let least = points.iter().map(|point| point.0).fold(0.0, f64::min);
    let right = most(|point| point.0).max(200.0 * max_drop).max(0.1);
    let high = (most(|point| point.1) * 1.1).max(1e-9);
    let x = |drop: f64| LEFT + (drop - least) / (right - least) * (WIDTH - LEFT - 40.0);
    let y = |value: f64| bottom - value / high * (bottom - TOP);
    axis(&mut svg, (high, bottom, &y));
    let step = chart::round_step((right - least) / 6.0);
    let mut at = (least / step).ceil() * step;
    while at <= right {
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            x(at),
            bottom + 18.0,
            short(at)
        );
        at += step;
    }
    let (middle, below) = ((LEFT + WIDTH) / 2.0, bottom + 40.0);
    // Inside of the axis: above it stands the subtitle.
    let (beside, above) = (LEFT + 8.0, TOP + 4.0);
    let budget = x(100.0 * max_drop);
    let _ = write!(
        svg,
        "<text x=\"{middle:.1}\" y=\"{below:.1}\" text-anchor=\"middle\">drop, %</text>\
         <text x=\"{beside:.1}\" y=\"{above:.1}\">{name}</text>\
         <line class=\"s3\" stroke-dasharray=\"4\" x1=\"{budget:.1}\" x2=\"{budget:.1}\" y1=\"{TOP}\" \
         y2=\"{bottom}\"/>"
    );
    for (drop, value, line) in points {
        let class = if line.is_on_front { "f1 s1" } else { "s1" };
        let fill = if line.is_on_front { "" } else { " fill=\"none\"" };
        let _ = write!(
            svg,
            "<circle class=\"{class}\"{fill} cx=\"{:.1}\" cy=\"{:.1}\" r=\"5\"><title>{}</title></circle>",
            x(drop),
            y(value),
            chart::escape(&line.recipe)
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn axis(svg: &mut String, (high, bottom, y): (f64, f64, &dyn Fn(f64) -> f64)) {
    let step = chart::round_step(high / 6.0);
    let mut at = 0.0;
    while at <= high {
        let (y, right, left) = (y(at), WIDTH - 30.0, LEFT - 8.0);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text x=\"{left:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            y + 4.0,
            short(at)
        );
        at += step;
    }
    let _ = write!(
        svg,
        "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{LEFT}\" y1=\"{TOP}\" y2=\"{bottom}\"/>"
    );
}

fn short(number: f64) -> String {
    // Rounded first: what is nothing then has no sign.
    let text = format!("{:.3}", (number * 1e3).round() / 1e3 + 0.0);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Most bars of the picture of what layers lose.
const MOST_LAYERS: usize = 40;

/// What each layer loses, worst first.
pub(super) fn sensitivities(found: &[Sensitivity]) -> String {
    let shown = &found[..found.len().min(MOST_LAYERS)];
    let height = TOP + 22.0 * shown.len() as f64 + 24.0;
    let mut svg = chart::begin(WIDTH, height);
    let below =
        "signal to noise of the answers when only this layer has integers, dB: short is bad";
    chart::heading(&mut svg, "What layers lose", below);
    let finite = shown.iter().map(|it| it.sqnr_db).filter(|db| db.is_finite());
    let most = finite.fold(1.0, f64::max);
    for (number, layer) in shown.iter().enumerate() {
        let y = TOP + 22.0 * number as f64;
        let length = (layer.sqnr_db.clamp(0.0, most) / most) * (WIDTH - 340.0);
        let _ = write!(
            svg,
            "<text x=\"250\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <rect class=\"bar f1 s1\" x=\"260\" y=\"{:.1}\" width=\"{length:.1}\" height=\"14\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{:.1}</text>",
            y + 12.0,
            chart::escape(&tail(&layer.node, 34)),
            y,
            266.0 + length,
            y + 12.0,
            layer.sqnr_db
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// The end of a name, which tells more than its beginning.
fn tail(name: &str, most: usize) -> String {
    let letters: Vec<char> = name.chars().collect();
    if letters.len() <= most {
        return name.to_owned();
    }
    let end: String = letters[letters.len() - most + 1..].iter().collect();
    format!("…{end}")
}

/// Weights before and after, and activations, of one layer.
pub(super) fn histograms(layer: &Histograms) -> String {
    let height = 230.0;
    let mut svg = chart::begin(WIDTH, height);
    let below = "left: weights, right: activations; behind: before, in front: after";
    chart::heading(&mut svg, &tail(&layer.node, 60), below);
    let half = WIDTH / 2.0;
    if let Some(bars) = &layer.weight {
        draw(&mut svg, bars, (24.0, half - 48.0, height), "f0 s0");
    }
    if let Some(bars) = &layer.weight_after {
        draw(&mut svg, bars, (24.0, half - 48.0, height), "f2 s2");
    }
    if let Some(bars) = &layer.activation {
        draw(&mut svg, bars, (half + 24.0, half - 48.0, height), "f1 s1");
    }
    if let Some(bars) = &layer.activation_after {
        draw(&mut svg, bars, (half + 24.0, half - 48.0, height), "f2 s2");
    }
    svg.push_str("</svg>\n");
    svg
}

/// Bars as high as the logarithm of their count: most numbers are near zero.
fn draw(svg: &mut String, bars: &Bars, (left, width, height): (f64, f64, f64), class: &str) {
    let most = bars.counts.iter().copied().max().unwrap_or(1).max(1);
    let bottom = height - 34.0;
    let logarithm = |count: u64| (count as f64 + 1.0).ln();
    let each = width / bars.counts.len() as f64;
    for (number, &count) in bars.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let tall = logarithm(count) / logarithm(most) * (bottom - TOP);
        let _ = write!(
            svg,
            "<rect class=\"bar {class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{tall:.1}\"/>",
            left + each * number as f64,
            bottom - tall,
            each * 0.9
        );
    }
    let _ = write!(
        svg,
        "<text x=\"{left:.1}\" y=\"{0:.1}\">{1:.3}</text>\
         <text x=\"{2:.1}\" y=\"{0:.1}\" text-anchor=\"end\">{3:.3}</text>",
        bottom + 18.0,
        bars.low,
        left + width,
        bars.high
    );
}
