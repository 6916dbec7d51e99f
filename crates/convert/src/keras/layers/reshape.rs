//! `Flatten`, `Reshape`, `Permute`, `RepeatVector`.

use modelyard_tensor::Dim;

use crate::EvaluateError;
use crate::keras::argument::Arguments;
use crate::keras::config::Config;
use crate::keras::converter::{Converter, Size};
use crate::keras::evaluator::{Evaluator, Sample};
use crate::keras::fault::Fault;
use crate::keras::layer::{Layer, Masks, Operation};
use crate::keras::reader::Context;
use crate::keras::value::Value;
use crate::reference::shape;

use crate::keras::layers::window::channels_first;

/// Another shape, or order, of the same elements.
#[derive(Debug)]
enum Reshape {
    /// All axes but the first as one.
    Flatten { channels_first: bool },
    /// These sizes after the first; -1 for what is left.
    To(Vec<i64>),
    /// These axes, counted from 1.
    Permute(Vec<usize>),
    /// So many times along a new axis.
    Repeat(usize),
}

/// Reads one.
pub(crate) fn read(
    class: &str,
    config: &Config,
    _: &mut Context<'_>,
) -> Result<Box<dyn Operation>, Fault> {
    let missing =
        |name: &str| Fault::malformed(format!("expected the option '{name}', found none"));
    Ok(Box::new(match class {
        "Flatten" => Reshape::Flatten { channels_first: channels_first(config)? },
        "Reshape" => {
            let target = config.integers(&["target_shape"])?;
            let target = target.ok_or_else(|| missing("target_shape"))?;
            let wrong = target.iter().any(|&size| size < -1)
                || target.iter().filter(|&&size| size == -1).count() > 1;
            if wrong {
                return Err(Fault::malformed(format!("expected a shape, found {target:?}")));
            }
            Reshape::To(target)
        }
        "Permute" => {
            let axes = config.integers(&["dims"])?.ok_or_else(|| missing("dims"))?;
            let order: Vec<usize> =
                axes.iter().filter_map(|&axis| usize::try_from(axis).ok()).collect();
            let mut sorted = order.clone();
            sorted.sort_unstable();
            if sorted.len() != axes.len() || !sorted.iter().copied().eq(1..=axes.len()) {
                return Err(Fault::malformed(format!("expected an order of axes, found {axes:?}")));
            }
            Reshape::Permute(order)
        }
        _ => Reshape::Repeat(config.size(&["n"])?),
    }))
}

impl Reshape {
    fn order(&self, axes: &[usize], rank: usize) -> Result<Vec<usize>, Fault> {
        if axes.len() + 1 != rank {
            let found = axes.len() + 1;
            return Err(Fault::malformed(format!("expected {found} dimensions, found {rank}")));
        }
        Ok(std::iter::once(0).chain(axes.iter().copied()).collect())
    }
}

/// Channels first to channels last.
fn channels_last_order(rank: usize) -> Vec<usize> {
    std::iter::once(0).chain(2..rank).chain([1]).collect()
}

impl Operation for Reshape {
    fn masks(&self) -> Masks {
        Masks::Drop
    }

    fn convert(
        &self,
        _: &Layer,
        call: &Arguments<Value>,
        to: &mut Converter<'_>,
    ) -> Result<Vec<Value>, Fault> {
        let x = call.input()?;
        Ok(vec![match self {
            Reshape::Flatten { channels_first } => {
                let x = match *channels_first && x.rank() > 2 {
                    true => to.transpose(x, &channels_last_order(x.rank())),
                    false => x.clone(),
                };
                match x.rank() {
                    // Keras gives a single number an axis of its own.
                    1 => to.unsqueeze(&x, &[1]),
                    2 => x,
                    _ => to.reshape(&x, &[Size::Axis(0), flat(&x)]),
                }
            }
            Reshape::To(target) => {
                let mut sizes = vec![Size::Axis(0)];
                sizes.extend(
                    target
                        .iter()
                        .map(|&size| usize::try_from(size).map_or(Size::Rest, Size::Fixed)),
                );
                let known: Option<usize> = x
                    .inner_sizes()
                    .and_then(|sizes| sizes.iter().try_fold(1usize, |a, &b| a.checked_mul(b)));
                let wanted: i64 = target.iter().product();
                if let Some(known) = known
                    && !target.contains(&-1)
                    && usize::try_from(wanted) != Ok(known)
                {
                    let found = &x.dims;
                    return Err(Fault::malformed(format!(
                        "expected as many elements as {target:?} has, found {found:?}"
                    )));
                }
                to.reshape(x, &sizes)
            }
            Reshape::Permute(axes) => {
                let order = self.order(axes, x.rank())?;
                to.transpose(x, &order)
            }
            Reshape::Repeat(count) => {
                let x = to.unsqueeze(super::of_rank(x, 2)?, &[1]);
                let repeats = to.emitter.integers("repeats", &[1, *count as i64, 1]);
                let name = to.op("Tile", &[&x.name, &repeats]);
                let mut dims = x.dims.clone();
                dims[1] = Dim::Fixed(*count);
                to.value(name, dims, x.element_type)
            }
        }])
    }

    fn evaluate(
        &self,
        _: &Layer,
        call: &Arguments<Sample>,
        _: &Evaluator<'_>,
    ) -> Result<Vec<Sample>, EvaluateError> {
        let x = &call.input()?.array;
        let batch = x.dims().first().copied().unwrap_or(1);
        let each = x.len().checked_div(batch).unwrap_or(0);
        Ok(Sample::only(match self {
            Reshape::Flatten { channels_first } => {
                let x = match *channels_first && x.rank() > 2 {
                    true => shape::transpose(x, &channels_last_order(x.rank()))?,
                    false => x.clone(),
                };
                x.reshaped(&[batch, each])?
            }
            Reshape::To(target) => {
                let known = target.iter().filter(|&&size| size > 0).product::<i64>().max(1);
                let rest = each / usize::try_from(known).unwrap_or(1);
                let sizes = target.iter().map(|&size| usize::try_from(size).unwrap_or(rest));
                let dims: Vec<usize> = std::iter::once(batch).chain(sizes).collect();
                x.clone().reshaped(&dims)?
            }
            Reshape::Permute(axes) => shape::transpose(x, &self.order(axes, x.rank())?)?,
            Reshape::Repeat(count) => shape::tile(&shape::expand_dims(x, &[1])?, &[1, *count, 1])?,
        }))
    }
}

/// The product of all sizes but the first, where it is known.
fn flat(x: &Value) -> Size {
    let sizes = x.inner_sizes();
    let product =
        sizes.and_then(|sizes| sizes.iter().try_fold(1usize, |all, &size| all.checked_mul(size)));
    product.map_or(Size::Rest, Size::Fixed)
}
