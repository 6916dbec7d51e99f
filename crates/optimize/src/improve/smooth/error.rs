//! What error to expect of products of integers, from a few numbers a channel.

use crate::calibrate::Moments;
use crate::quantize::Options;

/// A weight of a product: a row an input channel.
pub(super) struct Product {
    pub(super) channels: usize,
    outputs: usize,
    transposed: bool,
    numbers: Vec<f32>,
}

impl Product {
    /// A weight `[in, out]`, or `[out, in]` if transposed.
    pub(super) fn new(numbers: Vec<f32>, dims: &[usize], transposed: bool) -> Option<Product> {
        let &[rows, columns] = dims else { return None };
        let (channels, outputs) = if transposed { (columns, rows) } else { (rows, columns) };
        Some(Product { channels, outputs, transposed, numbers })
    }

    /// Calls `act` with channel, output and number.
    pub(super) fn each(&self, mut act: impl FnMut(usize, usize, f32)) {
        let columns = if self.transposed { self.channels } else { self.outputs };
        for (row, numbers) in self.numbers.chunks_exact(columns.max(1)).enumerate() {
            for (column, &x) in numbers.iter().enumerate() {
                if self.transposed { act(column, row, x) } else { act(row, column, x) }
            }
        }
    }
}

/// The expected squared error of the products when channel `j` of the activation is divided by `s_j`
/// and row `j` of the weights is multiplied by it. Rounding to steps of `d` has the variance `d² / 12`:
///
/// ```text
/// Σ_outputs ( dx²/12 Σ_j W'_j²  +  dw²/12 Σ_j E[x'_j²] )
/// ```
///
/// with one `dx` from the range of all of `X'`, and one `dw` for each output.
pub(super) fn error(
    moments: &Moments,
    products: &[Product],
    factors: &[f32],
    options: &Options,
) -> f64 {
    let ends = moments.low().iter().zip(moments.high()).zip(factors);
    let (low, high) = ends.fold((0.0f32, 0.0f32), |(low, high), ((l, h), factor)| {
        (low.min(l / factor), high.max(h / factor))
    });
    let step = f64::from(options.activations.affine(low, high).scale);
    let squares = moments.mean_squares();
    let power: f64 =
        squares.iter().zip(factors).map(|(x, s)| f64::from(*x) / f64::from(s * s)).sum();
    let of = |product: &Product| {
        let mut sums = vec![0.0f64; product.outputs];
        let mut largest = vec![0.0f32; product.outputs];
        product.each(|channel, output, x| {
            let x = x * factors[channel];
            sums[output] += f64::from(x * x);
            largest[output] = largest[output].max(x.abs());
        });
        if !options.per_channel {
            let most = largest.iter().fold(0.0, |most: f32, x| most.max(*x));
            largest.fill(most);
        }
        let steps = largest.iter().map(|&x| f64::from(options.weights.affine(-x, x).scale));
        sums.iter()
            .zip(steps)
            .map(|(sum, dw)| (step * step * sum + dw * dw * power) / 12.0)
            .sum::<f64>()
    };
    products.iter().map(of).sum()
}
