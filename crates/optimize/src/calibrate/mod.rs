//! Ranges of activations, from examples.
//!
//! A [`Calibration`] is told what flows through a model for one batch after the other, keeps a summary
//! of bounded size of each tensor, and says in the end which range each shall have.
//!
//! | module | holds |
//! |---|---|
//! | `channels` | what each channel of a tensor holds, in a few numbers |
//! | `histogram` | how often a tensor has which numbers |
//! | `watch` | a model that gives what is to be observed |
//! | `choose` | ranges from histograms: percentile, entropy, least squares |

mod channels;
mod choose;
mod histogram;
mod watch;

use std::collections::BTreeMap;

pub use channels::{Along, Moments, PerChannel};
pub use histogram::Histogram;
pub use watch::{Place, only, watched};

use crate::{Grid, OptimizeError};

/// How the range of an activation is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Method {
    /// From the smallest number seen to the largest.
    #[default]
    MinMax,
    /// Averages of the smallest and the largest number of each batch, the newest counting most: each
    /// average moves by this part towards the next batch's.
    MovingAverage(f32),
    /// What so many percent of the numbers lie in, the same part cut off at both ends.
    Percentile(f32),
    /// The range whose quantized distribution tells most about the true one: least Kullback-Leibler
    /// divergence (Migacz, "8-bit Inference with TensorRT", GTC 2017).
    Entropy,
    /// The range with the least mean squared error.
    Mse,
}

impl Method {
    fn needs_histogram(self) -> bool {
        !matches!(self, Method::MinMax | Method::MovingAverage(_))
    }
}

/// A range of numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// The smallest.
    pub low: f32,
    /// The largest.
    pub high: f32,
}

/// What was seen of one tensor.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The smallest and largest number.
    pub range: Range,
    average: Range,
    /// Numbers that were neither infinite nor NaN.
    pub numbers: u64,
    /// Numbers that were.
    pub not_finite: u64,
    /// How often which number was there, where the method or the report asks for it.
    pub histogram: Option<Histogram>,
}

/// What flows through a model, summed up.
pub struct Calibration {
    method: Method,
    keeps_histograms: bool,
    tensors: BTreeMap<String, Observed>,
}

impl Calibration {
    /// Nothing seen yet.
    pub fn new(method: Method) -> Calibration {
        Calibration { method, keeps_histograms: method.needs_histogram(), tensors: BTreeMap::new() }
    }

    /// The same, which keeps histograms whatever the method is, for reports.
    pub fn with_histograms(self) -> Calibration {
        Calibration { keeps_histograms: true, ..self }
    }

    /// Sees what tensors hold for one batch. Several threads look at several tensors.
    pub fn observe(&mut self, batch: &[(&str, &[f32])]) {
        for (name, _) in batch {
            if !self.tensors.contains_key(*name) {
                self.tensors.insert((*name).to_owned(), Observed::new(self.keeps_histograms));
            }
        }
        let numbers: BTreeMap<&str, &[f32]> = batch.iter().copied().collect();
        let method = self.method;
        rayon::scope(|scope| {
            for (name, observed) in &mut self.tensors {
                if let Some(numbers) = numbers.get(name.as_str()) {
                    scope.spawn(move |_| observed.add(numbers, method));
                }
            }
        });
    }

    /// What was seen, by tensor.
    pub fn tensors(&self) -> &BTreeMap<String, Observed> {
        &self.tensors
    }

    /// The range of each tensor for integers of this grid.
    ///
    /// An error names the tensors that held NaN or infinity, or nothing at all: no range stands for
    /// these.
    pub fn ranges(&self, grid: Grid) -> Result<BTreeMap<String, Range>, OptimizeError> {
        self.ranges_by(self.method, grid)
    }

    /// The same by another method than the one it began with. Histograms must have been kept where the
    /// method asks for them; without, it is all that was seen.
    pub fn ranges_by(
        &self,
        method: Method,
        grid: Grid,
    ) -> Result<BTreeMap<String, Range>, OptimizeError> {
        let unusable = |observed: &&Observed| observed.not_finite > 0 || observed.numbers == 0;
        let bad: Vec<String> = self
            .tensors
            .iter()
            .filter(|(_, observed)| unusable(observed))
            .map(|(name, observed)| match observed.numbers + observed.not_finite {
                0 => format!("'{name}' (no numbers)"),
                all => format!("'{name}' ({} of {all} numbers)", observed.not_finite),
            })
            .collect();
        if !bad.is_empty() {
            return Err(OptimizeError::NotFinite(bad));
        }
        let range =
            |(name, observed): (&String, &Observed)| (name.clone(), observed.chosen(method, grid));
        Ok(self.tensors.iter().map(range).collect())
    }
}

impl Observed {
    fn new(keeps_histogram: bool) -> Observed {
        let nothing = Range { low: f32::INFINITY, high: f32::NEG_INFINITY };
        Observed {
            range: nothing,
            average: nothing,
            numbers: 0,
            not_finite: 0,
            histogram: keeps_histogram.then(Histogram::default),
        }
    }

    fn add(&mut self, numbers: &[f32], method: Method) {
        let (batch, finite) = extremes(numbers);
        self.not_finite += (numbers.len() - finite) as u64;
        if finite == 0 {
            return;
        }
        let pace = match method {
            Method::MovingAverage(pace) if self.numbers > 0 => pace,
            _ => 1.0,
        };
        let moved = |average: f32, new: f32| {
            if pace == 1.0 { new } else { average + pace * (new - average) }
        };
        self.average = Range {
            low: moved(self.average.low, batch.low),
            high: moved(self.average.high, batch.high),
        };
        self.range =
            Range { low: self.range.low.min(batch.low), high: self.range.high.max(batch.high) };
        self.numbers += finite as u64;
        if let Some(histogram) = &mut self.histogram {
            histogram.add(numbers, batch.high.max(-batch.low));
        }
    }

    fn chosen(&self, method: Method, grid: Grid) -> Range {
        let Some(histogram) = &self.histogram else {
            return match method {
                Method::MovingAverage(_) => self.average,
                _ => self.range,
            };
        };
        match method {
            Method::MinMax => self.range,
            Method::MovingAverage(_) => self.average,
            Method::Percentile(percent) => choose::percentile(histogram, self.range, percent),
            Method::Entropy => choose::entropy(histogram, self.range, grid),
            Method::Mse => choose::least_squares(histogram, self.range, grid),
        }
    }
}

/// Numbers that are compared side by side.
const LANES: usize = 16;

/// The smallest and largest finite number, and how many are finite.
fn extremes(numbers: &[f32]) -> (Range, usize) {
    let (mut low, mut high) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
    // NaN as soon as a number is not finite.
    let mut zeros = [0.0f32; LANES];
    let chunks = numbers.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, &x) in chunk.iter().enumerate() {
            low[lane] = if x < low[lane] { x } else { low[lane] };
            high[lane] = if x > high[lane] { x } else { high[lane] };
            zeros[lane] += x * 0.0;
        }
    }
    let found = low.iter().chain(&high).chain(rest).copied();
    let (chosen, finite) = match zeros.iter().any(|zero| zero.is_nan()) {
        false => (of(found), numbers.len() - rest.iter().filter(|x| !x.is_finite()).count()),
        true => (of(numbers.iter().copied()), numbers.iter().filter(|x| x.is_finite()).count()),
    };
    (chosen, finite)
}

/// The range of the finite ones among some numbers.
fn of(numbers: impl Iterator<Item = f32>) -> Range {
    let nothing = Range { low: f32::INFINITY, high: f32::NEG_INFINITY };
    let finite = numbers.filter(|x| x.is_finite());
    finite.fold(nothing, |range, x| Range { low: range.low.min(x), high: range.high.max(x) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(method: Method, batches: &[&[f32]]) -> Range {
        let mut calibration = Calibration::new(method);
        batches.iter().for_each(|batch| calibration.observe(&[("x", batch)]));
        calibration.ranges(Grid::U8).unwrap()["x"]
    }

    #[test]
    fn extremes_and_their_moving_averages() {
        let batches: [&[f32]; 2] = [&[-1.0, 2.0], &[0.5, 4.0]];
        assert_eq!(ranges(Method::MinMax, &batches), Range { low: -1.0, high: 4.0 });
        let average = ranges(Method::MovingAverage(0.5), &batches);
        assert_eq!(average, Range { low: -0.25, high: 3.0 });
    }

    #[test]
    fn extremes_are_those_of_the_finite_numbers() {
        let mut numbers: Vec<f32> =
            (0..35).map(|number| (number * 11 % 35) as f32 - 17.0).collect();
        let whole = Range { low: -17.0, high: 17.0 };
        assert_eq!(extremes(&numbers), (whole, 35));
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for place in [3, 33] {
                let good = std::mem::replace(&mut numbers[place], bad);
                let (range, finite) = extremes(&numbers);
                assert_eq!(finite, 34);
                assert!(range.low >= -17.0 && range.high <= 17.0 && range.low < -10.0, "{range:?}");
                numbers[place] = good;
            }
        }
        assert_eq!(extremes(&[]).1, 0);
    }

    #[test]
    fn what_is_no_number_is_named() {
        let mut calibration = Calibration::new(Method::MinMax);
        calibration.observe(&[("a", &[1.0, f32::NAN]), ("b", &[1.0]), ("c", &[])]);
        let error = calibration.ranges(Grid::U8).unwrap_err().to_string();
        assert!(
            error.contains("'a' (1 of 2 numbers)") && error.contains("'c' (no numbers)"),
            "{error}"
        );
        assert!(!error.contains("'b'"), "{error}");
    }
}
