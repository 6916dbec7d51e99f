//! Folds what scales and shifts each channel into the weights of the operator before: only where
//! that is wanted, because answers differ by rounding.

use super::Options;
use super::net::{Net, NodeId, Op, ValueId};
use crate::{Constant, ElementType};

pub(super) fn run(net: &mut Net, options: &Options) -> bool {
    if !options.fold_batch_norm {
        return false;
    }
    let mut changed = false;
    for id in net.node_ids() {
        let folded = net.op(id).and_then(|op| folded(net, op));
        if let Some(folded) = folded {
            put(net, id, folded);
            changed = true;
        }
    }
    changed
}

/// By channel: y = x * scale + shift.
struct Affine {
    scale: Vec<f64>,
    shift: Vec<f64>,
}

/// The operator before, with weights that do the work of both.
struct Folded {
    node: NodeId,
    weight: Constant,
    bias: Constant,
    /// What only the operator before used.
    replaced: [Option<ValueId>; 2],
    output: ValueId,
}

/// Where the output channels of an operator are in its weight.
struct Weight {
    constant: Constant,
    /// By position along the first two axes: the channel.
    channel: fn(row: usize, column: usize, layout: &Layout) -> usize,
    layout: Layout,
}

#[derive(Clone, Copy)]
struct Layout {
    rows: usize,
    columns: usize,
    groups: usize,
}

fn folded(net: &Net, op: &Op) -> Option<Folded> {
    let (node, before) = net.producer_op(op.input(0)?).or_else(|| {
        // A constant may come first.
        net.producer_op(op.input(1)?)
    })?;
    let value = before.single_output()?;
    let this = net.users(value);
    (this.len() == 1 && net.only_user(value).is_some()).then_some(())?;
    let (weight, channels) = weight(net, before)?;
    let affine = affine(net, op, value, channels)?;
    let old_bias = before.input(2);
    let bias = match old_bias {
        Some(bias) => {
            let bias = net.constant(bias)?;
            let is_row = matches!(bias.dims[..], [] | [_] | [1, _]);
            is_row.then(|| spread(&numbers(bias)?, channels))??
        }
        None => vec![0.0; channels],
    };
    let bias: Vec<f64> = bias
        .iter()
        .zip(affine.scale.iter().zip(&affine.shift))
        .map(|(bias, (scale, shift))| bias * scale + shift)
        .collect();
    let name = old_bias.map_or_else(
        || format!("{}/bias", net.values[before.input(1)?].name).into(),
        |bias| Some(net.values[bias].name.clone()),
    )?;
    let mut scaled = scaled(&weight, &affine.scale)?;
    scaled.name.clone_from(&net.values[before.input(1)?].name);
    let bias = floats(&name, &[channels], bias);
    let replaced = [before.input(1), old_bias];
    Some(Folded { node, weight: scaled, bias, replaced, output: op.output(0)? })
}

/// The weight of an operator, and how many channels it gives.
fn weight(net: &Net, op: &Op) -> Option<(Weight, usize)> {
    let constant = net.constant_input(op, 1)?;
    (constant.element_type == ElementType::Float32 && constant.dims.len() >= 2).then_some(())?;
    let groups = usize::try_from(op.node.int("group").unwrap_or(1)).ok().filter(|&one| one > 0)?;
    let (rows, columns) = (constant.dims[0], constant.dims[1]);
    let layout = Layout { rows, columns, groups };
    let is_one = |name: &str| op.node.float(name).is_none_or(|factor| factor == 1.0);
    let by_row: fn(usize, usize, &Layout) -> usize = |row, _, _| row;
    let by_column: fn(usize, usize, &Layout) -> usize = |_, column, _| column;
    let (channel, channels) = match op.standard()? {
        "Conv" => (by_row, rows),
        "ConvTranspose" => {
            let grouped: fn(usize, usize, &Layout) -> usize = |row, column, layout| {
                row * layout.groups / layout.rows.max(1) * layout.columns + column
            };
            (grouped, columns.checked_mul(groups)?)
        }
        "MatMul" if net.rank(op.input(0)?)? == 2 && constant.dims.len() == 2 => {
            (by_column, columns)
        }
        "Gemm" if is_one("beta") => match op.node.int("transB").unwrap_or(0) {
            0 => (by_column, columns),
            _ => (by_row, rows),
        },
        _ => return None,
    };
    Some((Weight { constant: constant.clone(), channel, layout }, channels))
}

/// What an operator does to each channel of `value`.
fn affine(net: &Net, op: &Op, value: ValueId, channels: usize) -> Option<Affine> {
    if op.is("BatchNormalization") {
        return batch_normalization(net, op, channels);
    }
    let slot = op.inputs.iter().position(|input| *input == Some(value))?;
    let constant = net.constant_input(op, 1usize.checked_sub(slot)?)?;
    let factors = by_channel(constant, net.rank(value)?, channels)?;
    let (ones, zeros) = (vec![1.0; channels], vec![0.0; channels]);
    let negated = |items: &[f64]| items.iter().map(|item| -item).collect();
    Some(match (op.standard()?, slot) {
        ("Add", _) => Affine { scale: ones, shift: factors },
        ("Sub", 0) => Affine { scale: ones, shift: negated(&factors) },
        ("Sub", _) => Affine { scale: negated(&ones), shift: factors },
        ("Mul", _) => Affine { scale: factors, shift: zeros },
        ("Div", 0) => {
            let scale = factors.iter().map(|factor| 1.0 / factor).collect();
            Affine { scale, shift: zeros }
        }
        _ => return None,
    })
}

fn batch_normalization(net: &Net, op: &Op, channels: usize) -> Option<Affine> {
    let trains = op.node.int("training_mode").unwrap_or(0) != 0;
    (!trains && op.outputs.iter().flatten().count() == 1).then_some(())?;
    let list =
        |slot: usize| numbers(net.constant_input(op, slot)?).filter(|list| list.len() == channels);
    let (gamma, beta, mean, variance) = (list(1)?, list(2)?, list(3)?, list(4)?);
    let epsilon = f64::from(op.node.float("epsilon").unwrap_or(1e-5));
    let scale: Vec<f64> = gamma
        .iter()
        .zip(&variance)
        .map(|(gamma, variance)| gamma / (variance + epsilon).sqrt())
        .collect();
    let moved = scale.iter().zip(beta.iter().zip(&mean));
    let shift = moved.map(|(scale, (beta, mean))| beta - mean * scale).collect();
    Some(Affine { scale, shift })
}

/// A constant that has one number for each channel (axis 1) of a tensor of this rank, or one for
/// all, and is not larger than the tensor.
fn by_channel(constant: &Constant, rank: usize, channels: usize) -> Option<Vec<f64>> {
    let missing = rank.checked_sub(constant.dims.len())?;
    let fits = constant
        .dims
        .iter()
        .enumerate()
        .all(|(axis, &size)| size == 1 || (axis + missing == 1 && size == channels));
    fits.then(|| spread(&numbers(constant)?, channels))?
}

/// As many numbers as there are channels.
fn spread(items: &[f64], channels: usize) -> Option<Vec<f64>> {
    match *items {
        [one] => Some(vec![one; channels]),
        _ => (items.len() == channels).then(|| items.to_vec()),
    }
}

fn numbers(constant: &Constant) -> Option<Vec<f64>> {
    (constant.element_type == ElementType::Float32).then_some(())?;
    let bytes = constant.bytes()?;
    Some(bytes.as_chunks().0.iter().map(|&item| f32::from_le_bytes(item).into()).collect())
}

fn floats(name: &str, dims: &[usize], items: Vec<f64>) -> Constant {
    Constant::floats(name, dims, &items.into_iter().map(|item| item as f32).collect::<Vec<_>>())
}

fn scaled(weight: &Weight, scale: &[f64]) -> Option<Constant> {
    let Layout { rows, columns, .. } = weight.layout;
    let bytes = weight.constant.bytes()?;
    let items: &[[u8; 4]] = bytes.as_chunks().0;
    let block = items.len().checked_div(rows.checked_mul(columns)?)?;
    let mut result = Vec::with_capacity(bytes.len());
    for row in 0..rows {
        for column in 0..columns {
            let factor = scale.get((weight.channel)(row, column, &weight.layout))?;
            let start = (row * columns + column) * block;
            for &item in items.get(start..start + block)? {
                let value = (f64::from(f32::from_le_bytes(item)) * factor) as f32;
                result.extend_from_slice(&value.to_le_bytes());
            }
        }
    }
    Some(Constant::raw("", ElementType::Float32, &weight.constant.dims, result))
}

fn put(net: &mut Net, id: NodeId, folded: Folded) {
    let Folded { node, weight, bias, replaced, output } = folded;
    let [weight, bias] = [weight, bias].map(|constant| net.add_constant(constant));
    if let Some(op) = net.op_mut(node).filter(|op| op.is("MatMul")) {
        op.node.op_type = "Gemm".into();
    }
    net.set_input(node, 1, Some(weight));
    net.set_input(node, 2, Some(bias));
    if let Some(value) = net.op(node).and_then(Op::single_output) {
        net.replace(output, value);
    }
    net.remove(id);
    for value in replaced.into_iter().flatten() {
        net.let_go(value);
    }
}
