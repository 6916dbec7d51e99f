//! Which other sizes a free image can have. Feature maps round, and anchors are made for images up to
//! some size: a network that takes one larger image does not take all.

use super::candidates::{Search, Sizes};
use super::infer::Inference;

/// How far other sizes are from the first: those between the multiples of a network's strides.
const STEPS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];

/// What became of sizes that were tried.
pub(super) struct Planes {
    /// Shapes of everything, for each size that fits.
    pub(super) fitting: Vec<Inference>,
    /// Heights and widths that do not.
    failing: Vec<(usize, usize)>,
    /// The smallest step from the first size that fits, three times too.
    step: Option<usize>,
}

impl Planes {
    /// Tries sizes around `base`, which fits, half of it and several times it.
    pub(super) fn of(search: &Search<'_>, base: &Sizes) -> Planes {
        let mut planes = Planes { fitting: Vec::new(), failing: Vec::new(), step: None };
        for step in STEPS {
            let fits = [step, 3 * step]
                .map(|more| planes.tried(search, base, (base.height + more, base.width + more)));
            if planes.step.is_none() && fits == [true; 2] {
                planes.step = Some(step);
            }
        }
        let (height, width) = (base.height, base.width);
        for size in [(height / 2, width / 2), (2 * height, 2 * width), (4 * height, 4 * width)] {
            planes.tried(search, base, size);
        }
        planes
    }

    /// Whether a size fits.
    fn tried(&mut self, search: &Search<'_>, base: &Sizes, size: (usize, usize)) -> bool {
        let sizes = Sizes { height: size.0, width: size.1, ..*base };
        match search.fitting(&sizes) {
            Some(found) => {
                self.fitting.push(found);
                true
            }
            None => {
                self.failing.push(size);
                false
            }
        }
    }

    /// What is to be said where not every size fits.
    pub(super) fn note(&self, base: &Sizes) -> Option<String> {
        let named = |&(height, width): &(usize, usize)| format!("{height}x{width}");
        let (first, last) = (self.failing.first()?, self.failing.last()?);
        let failing = match first == last {
            true => named(first),
            false => format!("{} and {}", named(first), named(last)),
        };
        let base = named(&(base.height, base.width));
        let fitting = match self.step {
            Some(1) => String::new(),
            Some(step) => format!("; those that differ from {base} by multiples of {step} do"),
            None => format!("; {base} does"),
        };
        Some(format!(
            "height and width are free, but not every size fits the operators: {failing} do not, here \
             as in MXNet{fitting}; fix the size of your images with --shape"
        ))
    }
}
