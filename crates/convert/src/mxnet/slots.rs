//! What is known of the dimensions of an input before sizes are tried: from the options, the symbol,
//! or the operators that take it.

use std::collections::{BTreeMap, BTreeSet};

use modelyard_tensor::Dim;

use super::MxNet;
use super::candidates::Sizes;
use super::symbol::{Node, Place};
use crate::{ConvertError, Options};

/// One dimension of an input, before sizes are tried.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Slot {
    Fixed(usize),
    Batch,
    /// Of a clip.
    Time,
    Height,
    Width,
    /// Of a sequence: any.
    Length(String),
}

impl Slot {
    pub(super) fn size(&self, sizes: &Sizes) -> usize {
        match self {
            Slot::Fixed(size) => *size,
            Slot::Batch => sizes.batch,
            Slot::Time => sizes.time,
            Slot::Height => sizes.height,
            Slot::Width => sizes.width,
            Slot::Length(_) => sizes.length,
        }
    }
}

/// Where inputs are said to have different first sizes, those are no batch.
pub(super) fn same_batch(model: &MxNet, slots: &mut BTreeMap<usize, Vec<Slot>>) {
    let batches: BTreeSet<usize> = model.batches().map(|(_, batch)| batch).collect();
    if batches.len() < 2 {
        return;
    }
    for (node, batch) in model.batches() {
        if let Some(first) = slots.get_mut(&node).and_then(|slots| slots.first_mut())
            && *first == Slot::Batch
        {
            *first = Slot::Fixed(batch);
        }
    }
}

/// The slots of an input: from the options, the symbol, or what takes it.
pub(super) fn slots_of(
    model: &MxNet,
    node: usize,
    options: &Options,
) -> Result<Vec<Slot>, ConvertError> {
    let Some(variable) = model.symbol.nodes.get(node) else { return Ok(Vec::new()) };
    if let Some(dims) = options.shapes.get(&variable.name) {
        return Ok(dims
            .iter()
            .enumerate()
            .map(|(axis, dim)| given(axis, dim, dims.len()))
            .collect());
    }
    let shape = variable.attributes.ints("__shape__").ok().flatten().unwrap_or_default();
    if !shape.is_empty() && shape.iter().all(|&size| (1..1 << 31).contains(&size)) {
        let size = |(axis, &size): (usize, &i64)| match axis {
            0 => Slot::Batch,
            _ => Slot::Fixed(size as usize),
        };
        return Ok(shape.iter().enumerate().map(size).collect());
    }
    guess(model, node).ok_or_else(|| {
        let name = &variable.name;
        ConvertError::Option(format!(
            "the symbol does not say the shape of its input '{name}'; give it, such as \
             --shape {name}=batch,3,224,224"
        ))
    })
}

/// A dimension that the user gave.
fn given(axis: usize, dim: &Dim, rank: usize) -> Slot {
    match (dim, axis, rank) {
        (Dim::Fixed(size), _, _) => Slot::Fixed(*size),
        (_, 0, _) => Slot::Batch,
        (_, 2, 5) => Slot::Time,
        (_, axis, 4 | 5) if axis + 2 == rank => Slot::Height,
        (_, axis, 4 | 5) if axis + 1 == rank => Slot::Width,
        (Dim::Symbol(name), ..) => Slot::Length(name.clone()),
        (Dim::Free, ..) => Slot::Length("length".into()),
    }
}

/// How many nodes are looked at for one input.
const LOOKS: usize = 64;

/// From the first operator that knows: a convolution, a product, a table of vectors.
fn guess(model: &MxNet, node: usize) -> Option<Vec<Slot>> {
    let mut seen = BTreeSet::new();
    let mut open = vec![Place { node, output: 0 }];
    while let Some(place) = open.pop() {
        if seen.len() > LOOKS || !seen.insert(place) {
            continue;
        }
        for (index, user) in model.users(place) {
            let first = user.inputs.first() == Some(&place);
            if first && let Some(slots) = asked(model, user) {
                return Some(slots);
            }
            let state = user.inputs.iter().skip(2).any(|other| *other == place);
            if user.operator == "RNN" && state {
                let [rows, width] = super::ops::rnn::state(&user.attributes)?;
                return Some(vec![Slot::Fixed(rows), Slot::Batch, Slot::Fixed(width)]);
            }
            if PASSES.contains(&user.operator.as_str()) {
                open.insert(0, Place { node: index, output: 0 });
            }
        }
    }
    None
}

/// Operators behind which a value has as many dimensions and channels as before.
const PASSES: [&str; 36] = [
    "_copy",
    "identity",
    "BlockGrad",
    "Dropout",
    "Cast",
    "amp_cast",
    "clip",
    "BatchNorm",
    "Activation",
    "LeakyReLU",
    "relu",
    "sigmoid",
    "tanh",
    "Pad",
    "pad",
    "slice",
    "_plus_scalar",
    "_PlusScalar",
    "_minus_scalar",
    "_MinusScalar",
    "_rminus_scalar",
    "_mul_scalar",
    "_MulScalar",
    "_div_scalar",
    "_DivScalar",
    "_rdiv_scalar",
    "_power_scalar",
    "broadcast_add",
    "broadcast_sub",
    "broadcast_mul",
    "broadcast_div",
    "broadcast_minus",
    "broadcast_plus",
    "elemwise_add",
    "elemwise_sub",
    "elemwise_mul",
];

/// The shape that an operator asks of its first input.
fn asked(model: &MxNet, user: &Node) -> Option<Vec<Slot>> {
    let weight = user.inputs.get(1).and_then(|place| model.parameter(*place));
    let attributes = &user.attributes;
    match user.operator.as_str() {
        "Convolution" | "Convolution_v1" | "Deconvolution" => {
            let weight = weight?;
            let groups = attributes.count_or("num_group", 1).ok()?;
            let last = attributes.text("layout").is_some_and(|layout| layout.ends_with('C'));
            let transposed = user.operator == "Deconvolution";
            let channels = match (transposed, last) {
                (true, _) => *weight.dims.first()?,
                (false, false) => weight.dims.get(1)?.checked_mul(groups)?,
                (false, true) => weight.dims.last()?.checked_mul(groups)?,
            };
            let mut slots = vec![Slot::Batch];
            let inner = match attributes.ints("kernel").ok()??.len() {
                1 => vec![Slot::Length("length".into())],
                2 => vec![Slot::Height, Slot::Width],
                3 => vec![Slot::Time, Slot::Height, Slot::Width],
                _ => return None,
            };
            if last {
                slots.extend(inner);
                slots.push(Slot::Fixed(channels));
            } else {
                slots.push(Slot::Fixed(channels));
                slots.extend(inner);
            }
            Some(slots)
        }
        "FullyConnected" => {
            let inputs = Slot::Fixed(*weight?.dims.get(1)?);
            match attributes.flag_or("flatten", true).ok()? {
                true => Some(vec![Slot::Batch, inputs]),
                false => Some(vec![Slot::Batch, Slot::Length("length".into()), inputs]),
            }
        }
        "Embedding" => Some(vec![Slot::Batch, Slot::Length("length".into())]),
        "Flatten" | "flatten" => {
            let (_, next) = model.users(model.output_of(user)?).next()?;
            asked(model, next)
        }
        "SwapAxis" | "swapaxes" | "SwapAxes" => {
            let (_, next) = model.users(model.output_of(user)?).next()?;
            let mut slots = asked(model, next)?;
            let dim = |key| usize::try_from(attributes.int_or(key, 0).ok()?).ok();
            let (one, two) = (dim("dim1")?, dim("dim2")?);
            (one < slots.len() && two < slots.len()).then(|| slots.swap(one, two))?;
            Some(slots)
        }
        "RNN" => {
            let weights = user.inputs.get(1).and_then(|place| elements(model, *place, 0))?;
            let inputs = super::ops::rnn::inputs(attributes, weights)?;
            Some(vec![Slot::Length("length".into()), Slot::Batch, Slot::Fixed(inputs)])
        }
        _ => None,
    }
}

/// How many elements parameters have that are only reshaped and put together.
fn elements(model: &MxNet, place: Place, depth: usize) -> Option<usize> {
    if let Some(entry) = model.parameter(place) {
        return entry.dims.iter().try_fold(1usize, |count, &dim| count.checked_mul(dim));
    }
    let node = model.symbol.nodes.get(place.node)?;
    let passes = matches!(&*node.operator, "Reshape" | "_rnn_param_concat" | "Concat" | "concat");
    if !passes || depth > 4 {
        return None;
    }
    let parts = node.inputs.iter().map(|&place| elements(model, place, depth + 1));
    parts.sum()
}
