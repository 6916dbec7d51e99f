//! The result as a picture: latency over throughput, one line for each percentile.
//!
//! Latency is logarithmic, since p50 and p99.9 lie orders apart. Bars are the intervals. Colours
//! follow the reader's light or dark theme.

use std::fmt::Write as _;

use super::report::{Point, Report};
use super::summary::QUANTILES;
use super::table::{count, load, time};
use crate::chart;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 480.0;
const LEFT: f64 = 78.0;
const RIGHT: f64 = 812.0;
const TOP: f64 = 84.0;
const BOTTOM: f64 = 410.0;

/// Draws the report.
pub(crate) fn draw(report: &Report) -> String {
    let mut points: Vec<&Point> =
        report.points.iter().filter(|point| point.completed > 0).collect();
    points.sort_by(|a, b| a.throughput.value.total_cmp(&b.throughput.value));
    let scale = Scale::around(&points);
    let mut svg = chart::begin(WIDTH, HEIGHT);
    heading(&mut svg, report);
    axes(&mut svg, &scale);
    for (number, (name, _)) in QUANTILES.iter().enumerate() {
        series(&mut svg, &scale, &points, number, name);
        legend(&mut svg, number, name);
    }
    labels(&mut svg, &scale, &points);
    svg.push_str("</svg>\n");
    svg
}

/// From figures to places: requests a second to the right, log latency upwards.
struct Scale {
    throughput_max: f64,
    latency_min: f64,
    latency_max: f64,
}

impl Scale {
    fn around(points: &[&Point]) -> Self {
        let latencies = || points.iter().flat_map(|point| point.latency_us.values());
        let low = latencies().map(|p| p.low).fold(f64::INFINITY, f64::min);
        let high = latencies().map(|p| p.high).fold(0.0, f64::max);
        let throughput = points.iter().map(|point| point.throughput.high).fold(0.0, f64::max);
        let (low, high) = if high > 0.0 { (low.max(0.1), high) } else { (1.0, 1000.0) };
        Scale {
            throughput_max: if throughput > 0.0 { throughput * 1.08 } else { 1.0 },
            latency_min: low / 1.4,
            latency_max: high * 1.4,
        }
    }

    fn x(&self, throughput: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * throughput / self.throughput_max
    }

    fn y(&self, micros: f64) -> f64 {
        let whole = (self.latency_max / self.latency_min).ln();
        let part = (micros.max(self.latency_min) / self.latency_min).ln();
        BOTTOM - (BOTTOM - TOP) * part / whole
    }
}

fn heading(svg: &mut String, report: &Report) {
    let model = report.model.as_deref().unwrap_or(&report.target);
    let title = format!("{model} over {}", report.protocol);
    let below = format!(
        "latency by throughput; {} × {} s a point, bars: 95 % intervals",
        report.rounds,
        count(report.duration_s)
    );
    chart::heading(svg, &title, &below);
}

fn axes(svg: &mut String, scale: &Scale) {
    let step = chart::round_step(scale.throughput_max / 6.0);
    let mut throughput = 0.0;
    while throughput <= scale.throughput_max {
        let x = scale.x(throughput);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{BOTTOM}\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            BOTTOM + 20.0,
            count(throughput)
        );
        throughput += step;
    }
    let mut decade = 10f64.powf(scale.latency_min.log10().floor());
    while decade <= scale.latency_max {
        for factor in [1.0, 2.0, 5.0] {
            let micros = decade * factor;
            if (scale.latency_min..=scale.latency_max).contains(&micros) {
                let y = scale.y(micros);
                let _ = write!(
                    svg,
                    "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                     <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                    LEFT - 8.0,
                    y + 4.0,
                    short_time(micros)
                );
            }
        }
        decade *= 10.0;
    }
    let _ = write!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">good answers per second</text>",
        (LEFT + RIGHT) / 2.0,
        BOTTOM + 46.0
    );
}

fn series(svg: &mut String, scale: &Scale, points: &[&Point], number: usize, name: &str) {
    let known = points.iter().filter_map(|point| Some((point, point.latency_us.get(name)?)));
    let mut path = String::new();
    let mut marks = String::new();
    for (point, latency) in known {
        let (x, y) = (scale.x(point.throughput.value), scale.y(latency.value));
        let _ = write!(path, "{}{x:.1} {y:.1}", if path.is_empty() { "M" } else { "L" });
        let _ = write!(
            marks,
            "<line class=\"bar s{number}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>\
             <line class=\"bar s{number}\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <circle class=\"dot f{number}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"><title>{name} {} at {}/s</title></circle>",
            scale.y(latency.low),
            scale.y(latency.high),
            scale.x(point.throughput.low),
            scale.x(point.throughput.high),
            time(latency.value),
            count(point.throughput.value),
        );
    }
    let _ = write!(svg, "<path class=\"line s{number}\" d=\"{path}\"/>{marks}");
}

fn legend(svg: &mut String, number: usize, name: &str) {
    let x = RIGHT - 240.0 + 62.0 * number as f64;
    let _ = write!(
        svg,
        "<circle class=\"dot f{number}\" cx=\"{x:.1}\" cy=\"30\" r=\"5\"/>\
         <text class=\"name f{number}\" x=\"{:.1}\" y=\"34\">{name}</text>",
        x + 9.0
    );
}

/// The load of each point, above its highest percentile; those that would overlap move up.
fn labels(svg: &mut String, scale: &Scale, points: &[&Point]) {
    let mut taken: Vec<(f64, f64)> = Vec::new();
    for point in points {
        let highest = point.latency_us.values().map(|p| p.high).fold(0.0, f64::max);
        let (x, mut y) = (scale.x(point.throughput.value), scale.y(highest) - 9.0);
        while taken.iter().any(|(tx, ty)| (tx - x).abs() < 72.0 && (ty - y).abs() < 13.0) {
            y -= 13.0;
        }
        taken.push((x, y));
        let _ = write!(
            svg,
            "<text class=\"point\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{}</text>",
            load(&point.load)
        );
    }
}

/// A round duration without needless zeros.
fn short_time(micros: f64) -> String {
    match micros {
        micros if micros >= 1e6 => format!("{} s", micros / 1e6),
        micros if micros >= 1e3 => format!("{} ms", micros / 1e3),
        micros => format!("{} µs", (micros * 1e3).round() / 1e3),
    }
}
