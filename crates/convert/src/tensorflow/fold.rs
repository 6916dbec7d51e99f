//! What is computed while converting: axes, shapes and other small constants, and the moving of
//! weights. Lists of sizes of which only some are known are followed too.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use modelyard_graph::ElementType;
use modelyard_tensor::Dim;

use super::context::{Call, Context, Converted};
use super::ops::{self, Given};
use super::value::{Known, Refusal, Val, Value, fixed};
use crate::reference::Array;

/// Inputs of at most so many elements are computed with.
const MAX_ELEMENTS: usize = 1024;

/// Operators that only move elements: weights of any size go through them.
const MOVES: [&str; 7] =
    ["Cast", "ExpandDims", "Reshape", "ReverseV2", "Squeeze", "StridedSlice", "Transpose"];

/// Operators whose result may be much larger than what they are given, or is not computed here.
const NOT_FOLDED: [&str; 30] = [
    "AvgPool",
    "AvgPool3D",
    "BatchToSpaceND",
    "BroadcastTo",
    "Conv2D",
    "Conv2DBackpropInput",
    "Conv3D",
    "Conv3DBackpropInputV2",
    "CropAndResize",
    "DepthwiseConv2dNative",
    "FFT",
    "IFFT",
    "LookupTableFindV2",
    "LookupTableFind",
    "LookupTableSizeV2",
    "MaxPool",
    "MaxPool3D",
    "MaxPoolV2",
    "MirrorPad",
    "OneHot",
    "Pad",
    "PadV2",
    "NonMaxSuppressionV4",
    "RFFT",
    "ResizeBilinear",
    "ResizeNearestNeighbor",
    "ScatterNd",
    "SpaceToBatchND",
    "Tile",
    "IRFFT",
];

/// The outputs of a node whose inputs are constants, computed; `None` where they are not, or too
/// large.
pub(super) fn fold(context: &Context<'_>, call: &Call<'_>) -> Result<Option<Vec<Val>>, Refusal> {
    let op = call.node.op.as_str();
    if let Some(shape) = shape_of(call) {
        return Ok(Some(vec![shape?]));
    }
    let Some(operator) = ops::find(op) else { return Ok(None) };
    if NOT_FOLDED.contains(&op) || call.inputs.is_empty() {
        return Ok(None);
    }
    let moves = MOVES.contains(&op);
    let small = |value: &Val| {
        !value.is_complex()
            && value.known_elements().is_some_and(|count| moves || count <= MAX_ELEMENTS)
    };
    if !call.inputs.iter().all(small) {
        return Ok(None);
    }
    let mut inputs = Vec::with_capacity(call.inputs.len());
    for input in &call.inputs {
        inputs.extend(context.array(input)?);
    }
    if result_size(op, &inputs).is_some_and(|size| size > MAX_ELEMENTS) {
        return Ok(None);
    }
    let given = Given { node: call.node, inputs, table: None };
    let outputs = (operator.evaluate)(&given)?;
    Ok(Some(outputs.into_iter().map(|array| Value::array(Arc::new(array))).collect()))
}

/// How many elements these operators make, as their inputs say.
fn result_size(op: &str, inputs: &[Arc<Array>]) -> Option<usize> {
    match op {
        "Fill" => {
            let dims = inputs.first()?.as_ints().ok()?;
            dims.iter()
                .try_fold(1usize, |count, &size| {
                    count.checked_mul(usize::try_from(size).unwrap_or(usize::MAX))
                })
                .or(Some(usize::MAX))
        }
        "LinSpace" => {
            let count = inputs.get(2)?.as_ints().ok()?.first().copied();
            Some(count.map_or(0, |count| usize::try_from(count).unwrap_or(usize::MAX)))
        }
        "Range" => {
            let value = |index: usize| inputs.get(index)?.to_f64s().ok()?.first().copied();
            let steps = (value(1)? - value(0)?) / value(2)?;
            Some(if steps.is_finite() { steps.max(0.0) as usize } else { usize::MAX })
        }
        _ => None,
    }
}

/// The answer of `Shape`, `Size` and `Rank` where the shape is fixed.
fn shape_of(call: &Call<'_>) -> Option<Result<Val, Refusal>> {
    let input = call.inputs.first()?;
    let default = ElementType::Int32;
    let element_type = call.node.attrs.element_type("out_type").unwrap_or(default);
    let made = |dims: &[usize], values: Vec<f64>| {
        let array = Array::from_f64s(element_type, dims, values);
        Some(array.map(|array| Value::array(Arc::new(array))).map_err(Refusal::from))
    };
    match call.node.op.as_str() {
        "Rank" => made(&[], vec![input.dims.as_ref()?.len() as f64]),
        "Shape" => {
            let dims = input.fixed_dims()?;
            made(&[dims.len()], dims.iter().map(|&size| size as f64).collect())
        }
        "Size" => made(&[], vec![input.fixed_dims()?.iter().map(|&size| size as f64).product()]),
        _ => None,
    }
}

/// Operators that only move, multiply or add up sizes: what comes out is a polynomial of what goes
/// in.
const OF_SIZES: [&str; 17] = [
    "AddV2",
    "Cast",
    "ConcatV2",
    "ExpandDims",
    "GatherV2",
    "Mul",
    "Pack",
    "Prod",
    "Reshape",
    "Shape",
    "Slice",
    "Split",
    "Squeeze",
    "StridedSlice",
    "Sub",
    "Sum",
    "Unpack",
];

/// Notes what is known of outputs that are lists of sizes.
///
/// The operator is computed twice, with different large primes in the place of sizes that are not
/// known. Elements that come out the same both times do not depend on them; those that are the
/// stand-in of a size both times are that size.
pub(super) fn with_sizes(call: &Call<'_>, outputs: Vec<Val>) -> Converted {
    let found = match call.node.op.as_str() {
        "Shape" => call.inputs.first().and_then(|input| Some(vec![input.dims.clone()?])),
        op if OF_SIZES.contains(&op) => computed(call),
        _ => None,
    };
    let Some(found) = found else { return Ok(outputs) };
    let noted = |(index, value): (usize, Val)| match found.get(index) {
        Some(sizes) => Rc::new(Value {
            element_type: value.element_type,
            dims: value.dims.clone(),
            kind: super::value::Kind::Tensor,
            known: value.known.clone(),
            sizes: Some(sizes.clone()),
            name: value.name.clone(),
        }),
        None => value,
    };
    Ok(outputs.into_iter().enumerate().map(noted).collect())
}

/// Lists longer than this are no shapes.
const MAX_SIZES: usize = 64;

fn computed(call: &Call<'_>) -> Option<Vec<Vec<Dim>>> {
    let mut names = StandIns::default();
    let mut sides: [Vec<Arc<Array>>; 2] = Default::default();
    for input in &call.inputs {
        for (side, inputs) in sides.iter_mut().enumerate() {
            inputs.push(Arc::new(stood_in(input, side, &mut names)?));
        }
        names.next_input();
    }
    let operator = ops::find(&call.node.op)?;
    let [one, two] = sides.map(|inputs| {
        let outputs = (operator.evaluate)(&Given { node: call.node, inputs, table: None }).ok()?;
        outputs.iter().map(|array| Some(array.as_ints().ok()?.to_vec())).collect::<Option<Vec<_>>>()
    });
    let size = |(one, two): (&i64, &i64)| match (one == two, usize::try_from(*one)) {
        // -1 says "what is left" in shapes.
        (true, Ok(size)) => Dim::Fixed(size),
        _ => names.of(*one, *two),
    };
    let pairs = one?.into_iter().zip(two?);
    Some(pairs.map(|(one, two)| one.iter().zip(&two).map(size).collect()).collect())
}

/// The elements of an input with stand-ins for what is not known; `None` for what is no list of
/// sizes.
fn stood_in(input: &Value, side: usize, names: &mut StandIns) -> Option<Array> {
    let dims = input.fixed_dims()?;
    let values: Vec<f64> = match (&input.known, &input.sizes) {
        (Some(Known::Array(array)), _) if array.len() <= MAX_SIZES => {
            array.as_ints().ok()?.iter().map(|&value| value as f64).collect()
        }
        (Some(Known::Weight(weight)), _) if weight.elements() <= MAX_SIZES => {
            let array = weight.array().ok()?;
            array.as_ints().ok()?.iter().map(|&value| value as f64).collect()
        }
        (None, Some(sizes)) if sizes.len() <= MAX_SIZES => sizes
            .iter()
            .enumerate()
            .map(|(index, dim)| match fixed(dim) {
                Some(size) => size as f64,
                None => names.stand_in(dim, index, side) as f64,
            })
            .collect(),
        _ => return None,
    };
    Array::from_f64s(input.element_type, &dims, values).ok()
}

/// Numbers that stand for sizes that are not known.
#[derive(Default)]
struct StandIns {
    input: usize,
    symbols: BTreeMap<String, i64>,
    /// Sizes without names, by where they stand.
    places: BTreeMap<(usize, usize), i64>,
}

impl StandIns {
    fn next_input(&mut self) {
        self.input += 1;
    }

    fn stand_in(&mut self, dim: &Dim, index: usize, side: usize) -> i64 {
        let next = (self.symbols.len() + self.places.len()) as i64;
        let number = match dim {
            Dim::Symbol(symbol) => *self.symbols.entry(symbol.clone()).or_insert(next),
            _ => *self.places.entry((self.input, index)).or_insert(next),
        };
        StandIns::number(number, side)
    }

    /// Different for each size and side.
    fn number(number: i64, side: usize) -> i64 {
        let base = if side == 0 { 1_000_003 } else { 1_300_021 };
        base + 7919 * number
    }

    fn of(&self, one: i64, two: i64) -> Dim {
        let is =
            |number: i64| StandIns::number(number, 0) == one && StandIns::number(number, 1) == two;
        match self.symbols.iter().find(|&(_, &number)| is(number)) {
            Some((symbol, _)) => Dim::Symbol(symbol.clone()),
            None => Dim::Free,
        }
    }
}
