//! Rounding of weights that is learned (AdaRound).
//!
//! A weight `w` of scale `s` may be rounded down or up; which is best depends on what the layer takes.
//! With `W` a layer's weight (a row an output), `x` what it takes, and a variable `v` for each number:
//!
//! ```text
//! h(v) = clamp(1.2 sigmoid(v) - 0.1, 0, 1)          W~ = s (floor(W / s) + h(V))
//! minimize over V    Σ_rows d G dᵀ / n  +  λ Σ (1 - |2 h(v) - 1|^β)      d = W~ - W,  G = E[x xᵀ]
//! ```
//!
//! `d G dᵀ` is `E[(W~ x - W x)²]`, so that the second moments `G` of the inputs (`[k, k]`) are all that
//! has to be known of the examples. The second term pushes every `h` to 0 or 1, with `β` falling from
//! 20 to 2. (Nagel et al., "Up or Down? Adaptive Rounding for Post-Training Quantization", 2020,
//! equations 21 to 24; there each step takes a batch of inputs, here all of them at once, and the error
//! is counted in units of that of the nearest integers, so that λ fits any layer. At the end single numbers
//! are turned to the other side where that helps, which the paper does not do.)

use rayon::prelude::*;

use crate::Affine;

/// Ends of the stretched sigmoid.
const STRETCH: (f32, f32) = (-0.1, 1.1);
/// Weight of what pushes to 0 and 1.
const LAMBDA: f32 = 0.05;
/// The part of all steps in which nothing pushes.
const FREE: f32 = 0.2;
/// Rate of learning, of Adam.
const RATE: f32 = 0.02;
/// Times that all numbers are looked at once more when they are rounded for good.
const SWEEPS: usize = 20;
/// A turn that wins less, of the error with the nearest integers, is not worth its rounding.
const LEAST: f32 = 1e-6;
/// Rows that go through the second moments together: each line of these is read once for all.
const TOGETHER: usize = 8;

/// What a layer takes: second moments `[k, k]`, symmetric.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moments<'a> {
    pub(super) size: usize,
    pub(super) values: &'a [f32],
}

impl Moments<'_> {
    /// `d G` for some rows `d`.
    fn times(&self, rows: &[f32], out: &mut [f32]) {
        out.fill(0.0);
        for (j, line) in self.values.chunks_exact(self.size).enumerate() {
            for (row, out) in rows.chunks_exact(self.size).zip(out.chunks_exact_mut(self.size)) {
                let factor = row[j];
                out.iter_mut().zip(line).for_each(|(out, g)| *out += factor * g);
            }
        }
    }
}

/// Numbers on the grid for each row of a weight, learned in so many steps, or fewer when `stop` says
/// so. Second: the expected squared error of all rows, beside that of the nearest integers. No row is
/// worse than with the nearest integers.
pub(super) fn learned(
    weight: &[f32],
    affines: &[Affine],
    moments: Moments<'_>,
    (steps, stop): (usize, &(dyn Fn() -> bool + Sync)),
) -> (Vec<f32>, [f64; 2]) {
    let size = moments.size;
    let mut out = vec![0.0f32; weight.len()];
    let chunks = out.par_chunks_mut(TOGETHER * size).zip(weight.par_chunks(TOGETHER * size));
    let errors = chunks.enumerate().map(|(number, (out, weight))| {
        let affines: Vec<Affine> = (0..weight.len() / size)
            .map(|row| affines[if affines.len() == 1 { 0 } else { number * TOGETHER + row }])
            .collect();
        Rows::new(weight, &affines, moments).learn((steps, stop), out)
    });
    let errors = errors.reduce(|| [0.0; 2], |one, two| [one[0] + two[0], one[1] + two[1]]);
    (out, errors)
}

/// A few rows while they learn.
struct Rows<'a> {
    weight: &'a [f32],
    affines: &'a [Affine],
    moments: Moments<'a>,
    /// `floor(w / s)`.
    floors: Vec<f32>,
    variables: Vec<f32>,
    nearest: Vec<f32>,
    /// Error of each row with the nearest integers.
    errors: Vec<f64>,
}

impl<'a> Rows<'a> {
    fn new(weight: &'a [f32], affines: &'a [Affine], moments: Moments<'a>) -> Rows<'a> {
        let of = |index: usize| affines[index / moments.size];
        let steps = |(index, x): (usize, &f32)| x / of(index).scale;
        let floors: Vec<f32> = weight.iter().enumerate().map(|it| steps(it).floor()).collect();
        let rests = weight.iter().enumerate().zip(&floors).map(|(it, floor)| steps(it) - floor);
        let (low, high) = STRETCH;
        // So that h(v) is the rest.
        let variables = rests.map(|rest| -((high - low) / (rest - low) - 1.0).ln());
        let nearest = weight.iter().enumerate().map(|(index, x)| of(index).rounded(*x));
        let mut rows = Rows {
            weight,
            affines,
            moments,
            variables: variables.collect(),
            nearest: nearest.collect(),
            floors,
            errors: Vec::new(),
        };
        rows.errors = rows.errors_of(&rows.nearest);
        rows
    }

    fn learn(mut self, (steps, stop): (usize, &dyn Fn() -> bool), out: &mut [f32]) -> [f64; 2] {
        let size = self.moments.size;
        let (mut differences, mut pulls) = (vec![0.0f32; out.len()], vec![0.0f32; out.len()]);
        let (mut first, mut second) = (vec![0.0f32; out.len()], vec![0.0f32; out.len()]);
        for step in 0..steps {
            if stop() {
                break;
            }
            for (index, difference) in differences.iter_mut().enumerate() {
                *difference = self.soft(index) - self.weight[index];
            }
            self.moments.times(&differences, &mut pulls);
            let part = step as f32 / steps as f32;
            let rate = [1.0 - 0.9f32.powi(step as i32 + 1), 1.0 - 0.999f32.powi(step as i32 + 1)];
            for index in 0..out.len() {
                let row = index / size;
                let unit = (self.errors[row] / size as f64) as f32;
                let scale = self.affines[row].scale;
                let pull = if unit > 0.0 { 2.0 * pulls[index] * scale / unit } else { 0.0 };
                let gradient = (pull + push(self.up(index), part)) * self.slope(index);
                first[index] = 0.9 * first[index] + 0.1 * gradient;
                second[index] = 0.999 * second[index] + 0.001 * gradient * gradient;
                let step = first[index] / rate[0] / ((second[index] / rate[1]).sqrt() + 1e-8);
                self.variables[index] -= RATE * step;
            }
        }
        self.settle(out)
    }

    /// Rounds for good: each row as learned or to the nearest integers, whichever ends better once
    /// single numbers have turned where that helps.
    fn settle(&self, out: &mut [f32]) -> [f64; 2] {
        for (index, out) in out.iter_mut().enumerate() {
            *out = self.number(index, if self.up(index) >= 0.5 { 1.0 } else { 0.0 });
        }
        let mut other = self.nearest.clone();
        self.polish(out);
        self.polish(&mut other);
        let (learned, polished) = (self.errors_of(out), self.errors_of(&other));
        let size = self.moments.size;
        let mut sums = [0.0; 2];
        for (row, (learned, polished)) in learned.iter().zip(&polished).enumerate() {
            if learned > polished {
                let range = row * size..(row + 1) * size;
                out[range.clone()].copy_from_slice(&other[range]);
            }
            sums[0] += learned.min(*polished).min(self.errors[row]);
            sums[1] += self.errors[row];
        }
        sums
    }

    /// Turns single numbers to the other side, as long as that makes their row's error smaller. Turning
    /// number `i` by `t` changes `d G dᵀ` by `2 t (d G)_i + t² G_ii`.
    fn polish(&self, out: &mut [f32]) {
        let size = self.moments.size;
        let differences: Vec<f32> = out.iter().zip(self.weight).map(|(x, y)| x - y).collect();
        let mut pulls = vec![0.0; out.len()];
        self.moments.times(&differences, &mut pulls);
        for _ in 0..SWEEPS {
            let mut turned = false;
            for (index, out) in out.iter_mut().enumerate() {
                let (row, i) = (index / size, index % size);
                let pulls = &mut pulls[row * size..(row + 1) * size];
                let line = &self.moments.values[i * size..(i + 1) * size];
                let (down, up) = (self.number(index, 0.0), self.number(index, 1.0));
                let turn = if *out == down { up - down } else { down - up };
                let change = 2.0 * turn * pulls[i] + turn * turn * line[i];
                if change < -LEAST * self.errors[row] as f32 {
                    *out += turn;
                    pulls.iter_mut().zip(line).for_each(|(pull, g)| *pull += turn * g);
                    turned = true;
                }
            }
            if !turned {
                break;
            }
        }
    }

    fn errors_of(&self, numbers: &[f32]) -> Vec<f64> {
        let differences: Vec<f32> = numbers.iter().zip(self.weight).map(|(x, y)| x - y).collect();
        let mut pulls = vec![0.0; differences.len()];
        self.moments.times(&differences, &mut pulls);
        let size = self.moments.size;
        let rows = differences.chunks_exact(size).zip(pulls.chunks_exact(size));
        rows.map(|(row, pulls)| {
            let dot = row.iter().zip(pulls).map(|(x, y)| f64::from(*x) * f64::from(*y));
            dot.sum::<f64>().max(0.0)
        })
        .collect()
    }

    fn sigmoid(&self, index: usize) -> f32 {
        1.0 / (1.0 + (-self.variables[index]).exp())
    }

    /// `h`.
    fn up(&self, index: usize) -> f32 {
        let (low, high) = STRETCH;
        (self.sigmoid(index) * (high - low) + low).clamp(0.0, 1.0)
    }

    /// `dh / dv`.
    fn slope(&self, index: usize) -> f32 {
        let (low, high) = STRETCH;
        let sigmoid = self.sigmoid(index);
        let is_inside = (0.0..=1.0).contains(&(sigmoid * (high - low) + low));
        if is_inside { sigmoid * (1.0 - sigmoid) * (high - low) } else { 0.0 }
    }

    fn soft(&self, index: usize) -> f32 {
        self.number(index, self.up(index))
    }

    /// What the floor and so much more of a step stand for, within the grid.
    fn number(&self, index: usize, up: f32) -> f32 {
        let affine = self.affines[index / self.moments.size];
        let zero = affine.zero_point;
        let (low, high) = (affine.grid.min() - zero, affine.grid.max() - zero);
        (self.floors[index] + up).clamp(low as f32, high as f32) * affine.scale
    }
}

/// Gradient by `h` of what pushes to 0 and 1.
fn push(up: f32, part: f32) -> f32 {
    if part < FREE {
        return 0.0;
    }
    let beta = 20.0 - 18.0 * (part - FREE) / (1.0 - FREE);
    let middle = 2.0 * up - 1.0;
    -LAMBDA * 2.0 * beta * middle.abs().powf(beta - 1.0) * middle.signum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Grid;
    use crate::quantize::tests::numbers;

    #[test]
    fn the_best_rounding_of_a_few_numbers_is_found() {
        // Inputs that always come together: errors of one make up for those of the others.
        const SIZE: usize = 8;
        let base = numbers(SIZE, 3);
        let values: Vec<f32> = (0..SIZE * SIZE)
            .map(|at| {
                let (i, j) = (at / SIZE, at % SIZE);
                (1.0 + base[i]) * (1.0 + base[j]) + if i == j { 0.05 } else { 0.0 }
            })
            .collect();
        let moments = Moments { size: SIZE, values: &values };
        let weight = numbers(SIZE, 5);
        let affine = Grid { bits: 3, ..Grid::S8 }.affine(-1.0, 1.0);
        let (found, [learned, nearest]) = learned(&weight, &[affine], moments, (1000, &|| false));
        let affines = [affine];
        let rows = Rows::new(&weight, &affines, moments);
        let best = (0..1 << SIZE).map(|ups: u32| {
            let up = |index: usize| if ups >> index & 1 == 1 { 1.0 } else { 0.0 };
            let all: Vec<f32> = (0..SIZE).map(|index| rows.number(index, up(index))).collect();
            rows.errors_of(&all)[0]
        });
        let best = best.fold(f64::INFINITY, f64::min);
        assert!(learned < 0.5 * nearest && learned < 2.0 * best, "{learned} {nearest} {best}");
        assert!(found.iter().all(|x| (affine.rounded(*x) - x).abs() < 1e-6));
    }

    #[test]
    fn who_stops_at_once_has_the_nearest() {
        let weight = numbers(4, 1);
        let affine = Grid::S8.affine(-1.0, 1.0);
        let moments = Moments { size: 2, values: &[1.0, 0.0, 0.0, 1.0] };
        let (found, [learned, nearest]) =
            super::learned(&weight, &[affine], moments, (9, &|| true));
        assert_eq!(learned, nearest);
        assert_eq!(found, weight.iter().map(|x| affine.rounded(*x)).collect::<Vec<_>>());
    }
}
