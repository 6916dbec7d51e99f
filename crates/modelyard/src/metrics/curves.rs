//! Loss and accuracy over epochs.

use std::fmt::Write as _;

use crate::chart;

const WIDTH: f64 = 920.0;
const HEIGHT: f64 = 420.0;
const TOP: f64 = 104.0;
const BOTTOM: f64 = 360.0;
/// From the left edge of a panel to its axis, and from its axis to its right edge.
const INSET: f64 = 72.0;
const EDGE: f64 = 24.0;

/// One panel: a measure of the training and the validation examples. Points are epochs and
/// values, ascending by epoch; epochs may be fractions. What is not finite is left out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Panel {
    /// What is measured, such as `loss`.
    pub(crate) name: String,
    /// Over the examples that are learned from.
    pub(crate) training: Vec<(f64, f64)>,
    /// Over those that are not.
    pub(crate) validation: Vec<(f64, f64)>,
}

/// Draws panels side by side under one title. Lines: training and validation.
pub(crate) fn draw(title: &str, panels: &[Panel]) -> String {
    let mut svg = chart::begin(WIDTH, HEIGHT);
    chart::heading(&mut svg, title, "by epoch");
    legend(&mut svg, panels);
    let width = WIDTH / panels.len().max(1) as f64;
    for (number, panel) in panels.iter().enumerate() {
        let left = width * number as f64;
        let scale = Scale::around(panel, (left + INSET, left + width - EDGE));
        axes(&mut svg, &scale, &panel.name);
        series(&mut svg, &scale, &panel.training, "1");
        series(&mut svg, &scale, &panel.validation, "2");
    }
    svg.push_str("</svg>\n");
    svg
}

/// From figures to places.
struct Scale {
    epochs: (f64, f64),
    values: (f64, f64),
    left: f64,
    right: f64,
}

impl Scale {
    fn around(panel: &Panel, (left, right): (f64, f64)) -> Scale {
        let points = || finite(&panel.training).chain(finite(&panel.validation));
        let range = |of: fn(&(f64, f64)) -> f64| {
            points()
                .map(|point| of(&point))
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)))
        };
        let (first, last) = range(|point| point.0);
        let epochs = match first < last {
            true => (first, last),
            // Nothing, or one epoch alone.
            false if first.is_finite() => (first - 0.5, first + 0.5),
            false => (0.0, 1.0),
        };
        let (low, high) = range(|point| point.1);
        let values = match low < high {
            // The zero is shown where it is not far.
            true if low >= 0.0 && low < high / 3.0 => (0.0, high),
            true => (low, high),
            false if low.is_finite() => {
                (low - 0.5 * low.abs().max(0.1), low + 0.5 * low.abs().max(0.1))
            }
            false => (0.0, 1.0),
        };
        let step = step(values);
        let values = ((values.0 / step).floor() * step, (values.1 / step).ceil() * step);
        Scale { epochs, values, left, right }
    }

    fn x(&self, epoch: f64) -> f64 {
        let part = (epoch - self.epochs.0) / (self.epochs.1 - self.epochs.0);
        self.left + (self.right - self.left) * part
    }

    fn y(&self, value: f64) -> f64 {
        let part = (value - self.values.0) / (self.values.1 - self.values.0);
        BOTTOM - (BOTTOM - TOP) * part
    }
}

fn finite(points: &[(f64, f64)]) -> impl Iterator<Item = (f64, f64)> {
    points.iter().copied().filter(|(epoch, value)| epoch.is_finite() && value.is_finite())
}

/// Between two lines of the grid.
fn step((low, high): (f64, f64)) -> f64 {
    chart::round_step(((high - low) / 5.0).max(f64::MIN_POSITIVE))
}

/// The multiples of `step` in a range.
fn ticks((low, high): (f64, f64), step: f64) -> impl Iterator<Item = f64> {
    // A grid has a dozen lines; whatever the numbers are, not more than a hundred.
    let first = (low / step - 1e-9).ceil();
    let count = ((high / step + 1e-9).floor() - first).clamp(0.0, 100.0) as usize;
    (0..=count).map(move |number| (first + number as f64) * step)
}

fn axes(svg: &mut String, scale: &Scale, name: &str) {
    let (left, right) = (scale.left, scale.right);
    let between = step(scale.values);
    for value in ticks(scale.values, between) {
        let y = scale.y(value);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{left:.1}\" x2=\"{right:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            left - 8.0,
            y + 4.0,
            tick_text(value, between)
        );
    }
    // Epochs are counted: there is none between two.
    let between = chart::round_step((scale.epochs.1 - scale.epochs.0) / 8.0).max(1.0);
    for epoch in ticks(scale.epochs, between) {
        let x = scale.x(epoch);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{BOTTOM}\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{epoch}</text>",
            BOTTOM + 20.0
        );
    }
    let _ = write!(
        svg,
        "<text class=\"name\" x=\"{left:.1}\" y=\"{:.1}\">{}</text>\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">epoch</text>",
        TOP - 14.0,
        chart::escape(name),
        (left + right) / 2.0,
        BOTTOM + 42.0
    );
}

/// A value with as many decimals as its grid needs.
fn tick_text(value: f64, step: f64) -> String {
    let decimals = (-step.log10().floor()).max(0.0);
    match decimals <= 6.0 && value.abs() < 1e6 {
        true => format!("{value:.0$}", decimals as usize),
        false => format!("{value:.1e}"),
    }
}

fn series(svg: &mut String, scale: &Scale, points: &[(f64, f64)], colour: &str) {
    let places: Vec<(f64, f64)> =
        finite(points).map(|(epoch, value)| (scale.x(epoch), scale.y(value))).collect();
    let mut path = String::new();
    for (x, y) in &places {
        let _ = write!(path, "{}{x:.1} {y:.1}", if path.is_empty() { "M" } else { "L" });
    }
    let _ = write!(svg, "<path class=\"line s{colour}\" d=\"{path}\"/>");
    // Few epochs: each has its mark. One alone would have no line.
    if places.len() <= 30 {
        for (x, y) in places {
            let _ =
                write!(svg, "<circle class=\"f{colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>");
        }
    }
}

fn legend(svg: &mut String, panels: &[Panel]) {
    let validated = panels.iter().any(|panel| !panel.validation.is_empty());
    let names = [("training", "1", true), ("validation", "2", validated)];
    let x = WIDTH - 230.0;
    for (number, (name, colour, shown)) in names.into_iter().enumerate() {
        if shown {
            let x = x + 105.0 * number as f64;
            let _ = write!(
                svg,
                "<circle class=\"f{colour}\" cx=\"{x:.1}\" cy=\"30\" r=\"5\"/>\
                 <text class=\"name f{colour}\" x=\"{:.1}\" y=\"34\">{name}</text>",
                x + 10.0
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn panel(training: &[(f64, f64)], validation: &[(f64, f64)]) -> Panel {
        Panel { name: "loss".into(), training: training.into(), validation: validation.into() }
    }

    #[test]
    fn lines_axes_and_legend_are_there() {
        let loss = panel(&[(1.0, 2.0), (2.0, 1.0)], &[(1.0, 2.5), (2.0, f64::NAN)]);
        let svg = draw("a <model>", &[loss.clone(), loss]);
        for expected in ["a &lt;model&gt;", ">training<", ">validation<", ">loss<", ">epoch<"] {
            assert!(svg.contains(expected), "{expected}");
        }
        assert_eq!(svg.matches("<path").count(), 4);
        // Two and one of each panel, and the legend.
        assert_eq!(svg.matches("<circle").count(), 2 * 3 + 2);
        let lone = draw("x", &[panel(&[(1.0, 0.5)], &[])]);
        assert!(!lone.contains("validation") && !lone.contains("NaN"));
    }

    #[test]
    fn values_have_the_decimals_of_their_grid() {
        assert_eq!(tick_text(0.5, 0.1), "0.5");
        assert_eq!(tick_text(20.0, 10.0), "20");
        assert_eq!(tick_text(0.955, 0.005), "0.955");
        assert_eq!(tick_text(2e8, 1e8), "2.0e8");
    }

    proptest! {
        #[test]
        fn any_numbers_are_drawn(
            points in proptest::collection::vec((0.0f64..1e4, any::<f64>()), 0..5),
        ) {
            let svg = draw("x", &[panel(&points, &[])]);
            prop_assert!(svg.ends_with("</svg>\n") && svg.len() < 100_000);
        }
    }
}
