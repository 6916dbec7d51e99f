//! The confusion matrix as a heat map, readable with two classes and with hundreds.

use std::fmt::Write as _;

use super::classification::Classification;
use crate::chart;

/// Side of the matrix at most, and of one cell.
const MATRIX: f64 = 800.0;
const CELL_MAX: f64 = 56.0;
const CELL_MIN: f64 = 4.0;
/// Room above the matrix, and at the other sides.
const TOP: f64 = 84.0;
const MARGIN: f64 = 24.0;
/// Width of a digit of a count and of a letter of a label, by the size of the font.
const GLYPH: f64 = 0.62;
/// Width of a letter of the title.
const TITLE_GLYPH: f64 = 10.5;
/// Most letters of a label.
const LETTERS: usize = 18;
/// Size of the font of labels, and the least distance between two.
const LABEL: f64 = 12.0;
const PITCH: f64 = 14.0;
/// Room for the names of the axes.
const AXIS: f64 = 22.0;

/// Where everything goes.
struct Layout {
    classes: usize,
    cell: f64,
    left: f64,
    /// Every so many classes have their label written.
    every: usize,
    /// Room below the matrix.
    below: f64,
    upright: bool,
}

/// Draws the matrix: rows are true classes, columns answers, colours shares of the row.
pub(crate) fn draw(title: &str, found: &Classification) -> String {
    let layout = Layout::of(found);
    let side = layout.cell * layout.classes as f64;
    // Narrow matrices still have their heading above them.
    let heading = 2.0 * MARGIN + TITLE_GLYPH * title.chars().count() as f64;
    let width = (layout.left + side + MARGIN).max(460.0).max(heading);
    let height = TOP + side + layout.below + MARGIN;
    let mut svg = chart::begin(width.ceil(), height.ceil());
    let below = format!(
        "{} of {} right ({:.2} %); colour: share of the row",
        (0..found.confusion.len()).map(|class| found.confusion[class][class]).sum::<usize>(),
        found.examples,
        100.0 * found.accuracy
    );
    chart::heading(&mut svg, title, &below);
    cells(&mut svg, found, &layout);
    let _ = write!(
        svg,
        "<rect class=\"frame\" x=\"{:.1}\" y=\"{TOP}\" width=\"{side:.1}\" height=\"{side:.1}\"/>",
        layout.left
    );
    labels(&mut svg, found, &layout);
    axes(&mut svg, &layout, side);
    svg.push_str("</svg>\n");
    svg
}

impl Layout {
    fn of(found: &Classification) -> Layout {
        let classes = found.classes.len();
        let cell = (MATRIX / classes.max(1) as f64).clamp(CELL_MIN, CELL_MAX);
        let letters = found.classes.iter().map(|class| shown(&class.label).chars().count());
        let longest = letters.max().unwrap_or(0) as f64 * LABEL * GLYPH;
        let every = (PITCH / cell).ceil().max(1.0) as usize;
        // Labels below stand side by side where they fit into their columns.
        let upright = longest + 6.0 > cell * every as f64;
        let below = if upright { longest + 12.0 } else { 22.0 };
        let left = MARGIN + AXIS + longest + 8.0;
        Layout { classes, cell, left, every, below: below + AXIS, upright }
    }

    fn x(&self, class: usize) -> f64 {
        self.left + self.cell * class as f64
    }

    fn y(&self, class: usize) -> f64 {
        TOP + self.cell * class as f64
    }
}

fn cells(svg: &mut String, found: &Classification, layout: &Layout) {
    let digits = |count: &usize| count.to_string().len();
    let most = found.confusion.iter().flatten().map(digits).max().unwrap_or(1) as f64;
    let font = (layout.cell * 0.9 / (most * GLYPH)).min(13.0);
    let cell = layout.cell;
    for (truth, row) in found.confusion.iter().enumerate() {
        let whole: usize = row.iter().sum();
        for (answer, &count) in row.iter().enumerate().filter(|(_, count)| **count > 0) {
            let share = count as f64 / whole as f64;
            let (x, y) = (layout.x(answer), layout.y(truth));
            let name = |class: usize| chart::escape(&found.classes[class].label);
            // The root lets what is rarely confused stand out, even one example of thousands.
            let opacity = 0.06 + 0.94 * share.sqrt();
            let _ = write!(
                svg,
                "<rect class=\"f1\" fill-opacity=\"{:.3}\" x=\"{x:.1}\" y=\"{y:.1}\" \
                 width=\"{cell:.1}\" height=\"{cell:.1}\"><title>{} answered as {}: {count} of \
                 {whole}</title></rect>",
                opacity,
                name(truth),
                name(answer),
            );
            if font >= 7.0 {
                let _ = write!(
                    svg,
                    "<text class=\"{}\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" \
                     style=\"font-size:{font:.1}px\">{count}</text>",
                    if opacity > 0.6 { "on" } else { "off" },
                    x + cell / 2.0,
                    y + cell / 2.0 + font * 0.36,
                );
            }
        }
    }
}

fn labels(svg: &mut String, found: &Classification, layout: &Layout) {
    let bottom = layout.y(layout.classes);
    for (class, label) in found.classes.iter().enumerate().step_by(layout.every) {
        let label = chart::escape(&shown(&label.label));
        let half = layout.cell / 2.0;
        let (x, y) = (layout.x(class) + half, layout.y(class) + half);
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            layout.left - 8.0,
            y + 4.0
        );
        let _ = match layout.upright {
            true => write!(
                svg,
                "<text transform=\"translate({:.1} {:.1}) rotate(-90)\" \
                 text-anchor=\"end\">{label}</text>",
                x + 4.0,
                bottom + 8.0
            ),
            false => write!(
                svg,
                "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
                bottom + 18.0
            ),
        };
    }
}

fn axes(svg: &mut String, layout: &Layout, side: f64) {
    let middle = side / 2.0;
    let _ = write!(
        svg,
        "<text class=\"name\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">answer</text>\
         <text class=\"name\" transform=\"translate({:.1} {:.1}) rotate(-90)\" \
         text-anchor=\"middle\">truth</text>",
        layout.left + middle,
        TOP + side + layout.below,
        MARGIN + 8.0,
        TOP + middle,
    );
}

/// A label that leaves room for the matrix.
fn shown(label: &str) -> String {
    let text: String = label.chars().filter(|c| !c.is_control()).collect();
    match text.chars().nth(LETTERS) {
        None => text,
        Some(_) => text.chars().take(LETTERS - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::classification::Classifier;
    use super::*;

    fn of(classes: usize) -> Classification {
        let mut classifier = Classifier::new(classes, &[1]);
        for number in 0..classes * 30 {
            let truth = number % classes;
            let answer = if number % 7 == 0 { (number * 5 + 1) % classes } else { truth };
            let scores: Vec<f32> =
                (0..classes).map(|class| f32::from(u8::from(class == answer))).collect();
            classifier.add(&scores, &[truth]).unwrap();
        }
        let labels: Vec<String> = (0..classes).map(|class| format!("class <{class}>")).collect();
        classifier.finish(&labels)
    }

    #[test]
    fn every_cell_that_counts_is_drawn_and_labels_do_not_collide() {
        for classes in [1, 2, 10, 40, 100, 300] {
            let found = of(classes);
            let svg = draw("a & b", &found);
            let filled = found.confusion.iter().flatten().filter(|count| **count > 0).count();
            assert_eq!(svg.matches("<rect class=\"f1\"").count(), filled);
            assert!(svg.contains("a &amp; b") && svg.contains("class &lt;0&gt;"));
            let layout = Layout::of(&found);
            assert!(layout.cell * layout.every as f64 >= PITCH);
        }
    }
}
