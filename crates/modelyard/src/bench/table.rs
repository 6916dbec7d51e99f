//! The result as a table: aligned for a terminal, or as Markdown for a page.

use super::report::{LoadReport, Point, Report};
use super::summary::Estimate;

/// Columns of text under their headings, aligned to the right but for the first.
pub(crate) fn text(report: &Report) -> String {
    let rows = rows(report);
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            match column {
                0 => line.push_str(&format!("{cell:<width$}")),
                _ => line.push_str(&format!("  {cell:>width$}")),
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.push_str(&notes(report));
    text
}

/// The same as a Markdown table.
pub(crate) fn markdown(report: &Report) -> String {
    let mut text = String::new();
    for (number, row) in rows(report).iter().enumerate() {
        text.push_str(&format!("| {} |\n", row.join(" | ")));
        if number == 0 {
            text.push_str(&format!("|---|{}\n", "---:|".repeat(row.len() - 1)));
        }
    }
    let notes = notes(report);
    if !notes.is_empty() {
        text.push_str(&format!("\n{notes}"));
    }
    text
}

fn rows(report: &Report) -> Vec<Vec<String>> {
    let any = |has: fn(&Point) -> bool| report.points.iter().any(has);
    let with_rows = any(|point| point.rows_per_second > point.throughput.value * 1.001);
    let with_cpu = any(|point| point.server_cpu_us.is_some());
    let mut heading = vec!["load".to_owned(), "requests/s".into()];
    if with_rows {
        heading.push("rows/s".into());
    }
    heading.extend(["p50", "p90", "p99", "p99.9", "max", "failed"].map(String::from));
    if with_cpu {
        heading.push("server CPU".into());
    }
    let mut rows = vec![heading];
    for point in &report.points {
        let mut row = vec![load(&point.load), with_interval(point.throughput, count)];
        if with_rows {
            row.push(count(point.rows_per_second));
        }
        for name in ["p50", "p90", "p99", "p99.9"] {
            row.push(with_interval(point.latency_us.get(name).copied().unwrap_or_default(), time));
        }
        row.push(time(point.latency_max_us));
        row.push(point.failed().to_string());
        if with_cpu {
            row.push(point.server_cpu_us.map_or_else(String::new, time));
        }
        rows.push(row);
    }
    rows
}

/// What a reader must know besides the figures.
fn notes(report: &Report) -> String {
    let mut text = String::new();
    for point in &report.points {
        let load = load(&point.load);
        for (kind, number) in &point.failures {
            text.push_str(&format!("{load}: {number} requests failed: {kind}\n"));
        }
        if point.refused.count > 0 {
            text.push_str(&format!(
                "{load}: refusals took p50 {}, p99 {}, max {}\n",
                time(point.refused.p50_us),
                time(point.refused.p99_us),
                time(point.refused.max_us)
            ));
        }
        if matches!(point.load, LoadReport::Open { .. }) && point.send_lag_p99_us > 2000.0 {
            text.push_str(&format!(
                "{load}: requests were sent up to {} late (p99): the server did not keep up, or \
                 --connections is too small\n",
                time(point.send_lag_p99_us)
            ));
        }
    }
    text
}

/// A load in few words.
pub(crate) fn load(load: &LoadReport) -> String {
    match load {
        LoadReport::Closed { concurrency: 1 } => "1 caller".into(),
        LoadReport::Closed { concurrency } => format!("{concurrency} callers"),
        LoadReport::Open { rate, .. } => format!("{}/s", count(*rate)),
    }
}

/// A value with half the width of its interval, where that is not nothing.
fn with_interval(estimate: Estimate, unit: fn(f64) -> String) -> String {
    let half = (estimate.high - estimate.low) / 2.0;
    match estimate.value > 0.0 && half / estimate.value >= 0.0005 {
        true => format!("{} ±{:.1}%", unit(estimate.value), 100.0 * half / estimate.value),
        false => unit(estimate.value),
    }
}

/// A count with thousands separated; small ones with a decimal.
pub(crate) fn count(value: f64) -> String {
    if value < 1000.0 {
        return if value.fract() == 0.0 { format!("{value}") } else { format!("{value:.1}") };
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Microseconds in a readable unit with three figures.
pub(crate) fn time(micros: f64) -> String {
    let figures = |value: f64, unit: &str| match value {
        value if value >= 99.95 => format!("{value:.0} {unit}"),
        value if value >= 9.995 => format!("{value:.1} {unit}"),
        value => format!("{value:.2} {unit}"),
    };
    match micros {
        micros if micros >= 999_500.0 => figures(micros / 1e6, "s"),
        micros if micros >= 999.5 => figures(micros / 1e3, "ms"),
        micros => figures(micros, "µs"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_readable() {
        assert_eq!(count(1_234_567.4), "1,234,567");
        assert_eq!(count(123.0), "123");
        assert_eq!(count(12.34), "12.3");
        assert_eq!(time(9.994), "9.99 µs");
        assert_eq!(time(12.3456), "12.3 µs");
        assert_eq!(time(999.7), "1.00 ms");
        assert_eq!(time(2_500_000.0), "2.50 s");
        let estimate = Estimate { value: 100.0, low: 95.0, high: 105.0 };
        assert_eq!(with_interval(estimate, count), "100 ±5.0%");
    }
}
