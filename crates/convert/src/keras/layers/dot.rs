//! `Dot`: sums of products along an axis of each of two values.

use crate::EvaluateError;
use crate::keras::argument::Arguments;
use crate::keras::config::Config;
use crate::keras::converter::Converter;
use crate::keras::evaluator::{Evaluator, Sample};
use crate::keras::fault::Fault;
use crate::keras::layer::{Layer, Operation};
use crate::keras::layers::unit_norm::unit;
use crate::keras::reader::Context;
use crate::keras::value::{Value, axis_of};
use crate::reference::elementwise::{map, mul};
use crate::reference::matmul::matmul;
use crate::reference::reduce::{Over, sum_of_squares};
use crate::reference::{Array, shape};

/// A product of the samples of two batches.
#[derive(Debug)]
struct Dot {
    axes: [i64; 2],
    /// Whether both are divided by their lengths before.
    normalize: bool,
}

/// What a length is taken to be at least.
const SMALLEST: f32 = 1e-7;

/// Reads one.
pub(crate) fn read(
    _: &str,
    config: &Config,
    _: &mut Context<'_>,
) -> Result<Box<dyn Operation>, Fault> {
    let axes = config.integers(&["axes"])?.unwrap_or_else(|| vec![-1]);
    new(&axes, config.flag(&["normalize"], false)?)
}

/// Reads the `Merge` of Keras 1 in the mode `dot` or `cos`.
pub(crate) fn read_merge(config: &Config, normalize: bool) -> Result<Box<dyn Operation>, Fault> {
    new(&config.numbers_as_integers(&["dot_axes"])?, normalize)
}

fn new(axes: &[i64], normalize: bool) -> Result<Box<dyn Operation>, Fault> {
    let axes = match axes {
        [axis] => [*axis; 2],
        [one, two] => [*one, *two],
        _ => return Err(Fault::malformed(format!("expected two axes, found {axes:?}"))),
    };
    Ok(Box::new(Dot { axes, normalize }))
}

impl Dot {
    fn axes(&self, ranks: [usize; 2]) -> Result<[usize; 2], Fault> {
        let axis = |index: usize| axis_of(self.axes[index], ranks[index]).filter(|&axis| axis > 0);
        let covered = ranks.iter().all(|rank| (2..=3).contains(rank));
        match (axis(0), axis(1), covered) {
            (Some(one), Some(two), true) => Ok([one, two]),
            (_, _, false) => Err(Fault::unsupported(
                format!("a product of {} and {} dimensions", ranks[0], ranks[1]),
                "reshape both to at most 3 dimensions before",
            )),
            _ => {
                Err(Fault::malformed(format!("expected axes of the inputs, found {:?}", self.axes)))
            }
        }
    }
}

impl Operation for Dot {
    fn convert(
        &self,
        _: &Layer,
        call: &Arguments<Value>,
        to: &mut Converter<'_>,
    ) -> Result<Vec<Value>, Fault> {
        let [one, two] = super::two(call)?;
        let (mut one, mut two) = (to.float(one), to.float(two));
        let axes = self.axes([one.rank(), two.rank()])?;
        if self.normalize {
            one = unit(&one, &axes[..1], SMALLEST, to)?;
            two = unit(&two, &axes[1..], SMALLEST, to)?;
        }
        let ranks = [one.rank(), two.rank()];
        // Rows of the first times columns of the second.
        let one = match (ranks[0], axes[0]) {
            (2, _) => to.unsqueeze(&one, &[1]),
            (_, 1) => to.transpose(&one, &[0, 2, 1]),
            _ => one,
        };
        let two = match (ranks[1], axes[1]) {
            (2, _) => to.unsqueeze(&two, &[2]),
            (_, 2) => to.transpose(&two, &[0, 2, 1]),
            _ => two,
        };
        let dims = vec![one.dims[0].clone(), one.dims[1].clone(), two.dims[2].clone()];
        let y = to.matmul(&one, &two, dims);
        Ok(vec![match ranks {
            [2, _] => to.squeeze(&y, &[1]),
            [_, 2] => to.squeeze(&y, &[2]),
            _ => y,
        }])
    }

    fn evaluate(
        &self,
        _: &Layer,
        call: &Arguments<Sample>,
        _: &Evaluator<'_>,
    ) -> Result<Vec<Sample>, EvaluateError> {
        let [one, two] = super::two(call)?;
        let (one, two) = (super::floats(&one.array)?, super::floats(&two.array)?);
        let axes = self.axes([one.rank(), two.rank()])?;
        let prepared = |array: &Array, axis: usize| -> Result<Array, EvaluateError> {
            if !self.normalize {
                return Ok(array.clone());
            }
            let square = sum_of_squares(array, Over::kept(&[axis as i64]))?;
            let factor =
                map(&square, |square| square.sqrt().recip().min(1.0 / f64::from(SMALLEST)))?;
            mul(array, &factor)
        };
        let (one, two) = (prepared(&one, axes[0])?, prepared(&two, axes[1])?);
        let ranks = [one.rank(), two.rank()];
        let rows = if ranks[0] == 2 {
            shape::expand_dims(&one, &[1])?
        } else if axes[0] == 1 {
            shape::swap_axes(&one, 1, 2)?
        } else {
            one
        };
        let columns = if ranks[1] == 2 {
            shape::expand_dims(&two, &[2])?
        } else if axes[1] == 2 {
            shape::swap_axes(&two, 1, 2)?
        } else {
            two
        };
        let y = matmul(&rows, &columns)?;
        Ok(Sample::only(match ranks {
            [2, _] => shape::squeeze(&y, Some(&[1]))?,
            [_, 2] => shape::squeeze(&y, Some(&[2]))?,
            _ => y,
        }))
    }
}
