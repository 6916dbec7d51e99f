//! `Add`, `Subtract`, `Multiply`, `Average`, `Maximum`, `Minimum`, `Concatenate`, and the `Merge` of
//! Keras 1.

use modelyard_tensor::Dim;

use crate::EvaluateError;
use crate::keras::argument::Arguments;
use crate::keras::config::Config;
use crate::keras::converter::Converter;
use crate::keras::evaluator::{Evaluator, Sample};
use crate::keras::fault::Fault;
use crate::keras::layer::{Layer, Masks, Operation};
use crate::keras::layers::dot;
use crate::keras::reader::Context;
use crate::keras::value::{Value, axis_of};
use crate::reference::elementwise::{self, logical};
use crate::reference::{Array, shape};

/// Several values become one.
#[derive(Debug)]
struct Merge(How);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Add,
    Subtract,
    Multiply,
    Average,
    Maximum,
    Minimum,
    Concatenate(i64),
}

/// Reads one.
pub(crate) fn read(
    class: &str,
    config: &Config,
    _: &mut Context<'_>,
) -> Result<Box<dyn Operation>, Fault> {
    let axis = config.integer(&["axis", "concat_axis"])?.unwrap_or(-1);
    let mode = config.text(&["mode"], "sum")?;
    let how = match (class, mode.as_str()) {
        ("Add", _) | ("Merge", "sum") => How::Add,
        ("Subtract", _) => How::Subtract,
        ("Multiply", _) | ("Merge", "mul") => How::Multiply,
        ("Average", _) | ("Merge", "ave") => How::Average,
        ("Maximum", _) | ("Merge", "max") => How::Maximum,
        ("Minimum", _) => How::Minimum,
        ("Concatenate", _) | ("Merge", "concat") => How::Concatenate(axis),
        ("Merge", "dot" | "cos") => return dot::read_merge(config, mode == "cos"),
        _ => {
            return Err(Fault::unsupported(
                format!("merge mode '{mode}'"),
                "use one of the layers Add, Multiply, Average, Maximum, Concatenate or Dot",
            ));
        }
    };
    Ok(Box::new(Merge(how)))
}

impl Merge {
    fn op_type(&self) -> &'static str {
        match self.0 {
            How::Add | How::Average => "Add",
            How::Subtract => "Sub",
            How::Multiply => "Mul",
            How::Maximum => "Max",
            How::Minimum => "Min",
            How::Concatenate(_) => "Concat",
        }
    }

    fn pair(&self, one: &Array, two: &Array) -> Result<Array, EvaluateError> {
        match self.0 {
            How::Subtract => elementwise::sub(one, two),
            How::Multiply => elementwise::mul(one, two),
            How::Maximum => elementwise::max(one, two),
            How::Minimum => elementwise::min(one, two),
            How::Add | How::Average | How::Concatenate(_) => elementwise::add(one, two),
        }
    }
}

/// Values of different ranks get axes of size 1 behind the first, as Keras does.
fn same_rank(values: &[&Value], to: &mut Converter<'_>) -> Vec<Value> {
    let rank = values.iter().map(|value| value.rank()).max().unwrap_or(0);
    let mut level = Vec::with_capacity(values.len());
    for value in values {
        let missing: Vec<usize> = (1..1 + rank - value.rank()).collect();
        let same =
            if missing.is_empty() { (*value).clone() } else { to.unsqueeze(value, &missing) };
        level.push(Value { mask: value.mask.clone(), ..same });
    }
    level
}

/// Floats, if any of them is.
fn same_type(values: Vec<Value>, to: &mut Converter<'_>) -> Vec<Value> {
    if values.iter().any(Value::is_float) {
        values.iter().map(|value| to.float(value)).collect()
    } else {
        values
    }
}

impl Operation for Merge {
    fn masks(&self) -> Masks {
        Masks::Own
    }

    fn convert(
        &self,
        _: &Layer,
        call: &Arguments<Value>,
        to: &mut Converter<'_>,
    ) -> Result<Vec<Value>, Fault> {
        let inputs = call.inputs()?;
        let masks: Option<Vec<String>> = inputs.iter().map(|input| input.mask.clone()).collect();
        let values = match self.0 {
            How::Concatenate(_) => inputs.into_iter().cloned().collect(),
            _ => same_rank(&inputs, to),
        };
        let mut values = same_type(values, to);
        if self.0 == How::Average {
            values = values.iter().map(|value| to.float(value)).collect();
        }
        let (first, rest) =
            values.split_first().ok_or_else(|| Fault::malformed("nothing to merge"))?;
        if let How::Concatenate(axis) = self.0 {
            let axis = axis_of(axis, first.rank()).ok_or_else(|| {
                Fault::malformed(format!("expected an axis of {} dimensions", first.rank()))
            })?;
            let mut y = to.concat(&values, axis)?;
            y.mask = concatenated_mask(&values, axis, to);
            return Ok(vec![y]);
        }
        let mut y = first.clone();
        for value in rest {
            y = to.binary(self.op_type(), &y, value)?;
        }
        if self.0 == How::Average {
            y = to.with_scalar("Div", &y, values.len() as f32);
        }
        // A step counts if it counts in any of them.
        y.mask =
            masks.and_then(|masks| masks.into_iter().reduce(|one, two| to.op("Or", &[&one, &two])));
        Ok(vec![y])
    }

    fn evaluate(
        &self,
        _: &Layer,
        call: &Arguments<Sample>,
        _: &Evaluator<'_>,
    ) -> Result<Vec<Sample>, EvaluateError> {
        let inputs = call.inputs()?;
        let mut arrays: Vec<Array> = inputs.iter().map(|input| input.array.clone()).collect();
        let any_float = arrays.iter().any(|array| array.as_floats().is_ok());
        if any_float || self.0 == How::Average {
            arrays = arrays.iter().map(super::floats).collect::<Result<_, _>>()?;
        }
        if let How::Concatenate(axis) = self.0 {
            let y = shape::concat(&arrays.iter().collect::<Vec<_>>(), axis)?;
            let mask = evaluated_mask(&inputs, &arrays, axis)?;
            return Ok(vec![Sample { mask, ..Sample::new(y) }]);
        }
        let rank = arrays.iter().map(Array::rank).max().unwrap_or(0);
        for array in &mut arrays {
            let missing: Vec<i64> = (1..1 + rank - array.rank()).map(|axis| axis as i64).collect();
            *array = shape::expand_dims(array, &missing)?;
        }
        let mut sum =
            arrays.first().cloned().ok_or_else(|| EvaluateError::new("nothing to merge"))?;
        for array in &arrays[1..] {
            sum = self.pair(&sum, array)?;
        }
        if self.0 == How::Average {
            let count = arrays.len() as f32;
            sum = elementwise::map_floats(&sum, |value| value / count)?;
        }
        let masks: Option<Vec<&Array>> = inputs.iter().map(|input| input.mask.as_ref()).collect();
        let mut mask: Option<Array> = None;
        for one in masks.into_iter().flatten() {
            mask = Some(match mask {
                None => one.clone(),
                Some(mask) => logical(&mask, one, |one, two| one || two)?,
            });
        }
        Ok(vec![Sample { mask, ..Sample::new(sum) }])
    }
}

/// The mask of values that are joined: along the steps one after the other (all steps count of
/// those without one), along another axis those steps that count in all of them.
fn concatenated_mask(values: &[Value], axis: usize, to: &mut Converter<'_>) -> Option<String> {
    if values.iter().all(|value| value.mask.is_none()) {
        return None;
    }
    let mut masks: Vec<Value> = Vec::new();
    for value in values {
        let dims: Vec<Dim> = value.dims.iter().take(2).cloned().collect();
        let name = value.mask.clone().unwrap_or_else(|| all_true(value, to));
        masks.push(to.value(name, dims, modelyard_graph::ElementType::Bool));
    }
    if axis == 1 {
        return to.concat(&masks, 1).ok().map(|mask| mask.name);
    }
    masks.into_iter().map(|mask| mask.name).reduce(|one, two| to.op("And", &[&one, &two]))
}

/// A mask by which all steps count.
fn all_true(value: &Value, to: &mut Converter<'_>) -> String {
    let batch = to.size_of(value, 0);
    let steps = to.size_of(value, 1);
    let shape = to.add(crate::emitter::node("Concat", &[&batch, &steps]).with("axis", 0));
    let yes = to.emitter.constant(super::boolean("yes", true));
    to.op("Expand", &[&yes, &shape])
}

fn evaluated_mask(
    inputs: &[&Sample],
    arrays: &[Array],
    axis: i64,
) -> Result<Option<Array>, EvaluateError> {
    if inputs.iter().all(|input| input.mask.is_none()) {
        return Ok(None);
    }
    let rank = arrays.first().map_or(0, Array::rank);
    let axis = crate::reference::layout::axis(axis, rank)?;
    let mut masks = Vec::new();
    for (input, array) in inputs.iter().zip(arrays) {
        masks.push(match &input.mask {
            Some(mask) => mask.clone(),
            None => {
                let dims = array.dims().get(..2).unwrap_or_default();
                Array::bools(dims, vec![true; dims.iter().product()])?
            }
        });
    }
    if axis == 1 {
        return shape::concat(&masks.iter().collect::<Vec<_>>(), 1).map(Some);
    }
    let mut all = masks[0].clone();
    for mask in &masks[1..] {
        all = logical(&all, mask, |one, two| one && two)?;
    }
    Ok(Some(all))
}
