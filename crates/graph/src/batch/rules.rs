//! Which operators work on one example at a time, and under which conditions.

use std::collections::BTreeSet;

use modelyard_tensor::Dim;

use crate::Node;
use crate::opset::Knowledge;

/// A node that takes values with examples.
pub(super) struct Site<'a> {
    pub(super) node: &'a Node,
    pub(super) knowledge: &'a Knowledge,
    pub(super) batched: &'a BTreeSet<String>,
    pub(super) opset: i64,
}

/// What a node gives.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Something that is not made of examples, such as a shape.
    NoExamples,
    /// Examples along the first dimension.
    Batched,
    /// The same, once it reshapes to this.
    Reshape(Vec<i64>),
}

type Answer = Result<Effect, String>;

/// What a node that takes examples gives; or why it does not work on one example at a time.
pub(super) fn effect(site: &Site<'_>) -> Answer {
    if !site.node.domain.is_empty() {
        return unknown();
    }
    match site.node.op_type.as_str() {
        "Shape" | "Size" => Ok(Effect::NoExamples),
        "Abs" | "Acos" | "Acosh" | "Add" | "And" | "Asin" | "Asinh" | "Atan" | "Atanh"
        | "BitShift" | "BitwiseAnd" | "BitwiseNot" | "BitwiseOr" | "BitwiseXor" | "Cast"
        | "Ceil" | "Celu" | "Clip" | "Cos" | "Cosh" | "Div" | "Elu" | "Equal" | "Erf" | "Exp"
        | "Floor" | "Gelu" | "Greater" | "GreaterOrEqual" | "HardSigmoid" | "HardSwish"
        | "Identity" | "IsInf" | "IsNaN" | "LeakyRelu" | "Less" | "LessOrEqual" | "Log" | "Max"
        | "Mean" | "Min" | "Mish" | "Mod" | "Mul" | "Neg" | "Not" | "Or" | "PRelu" | "Pow"
        | "Reciprocal" | "Relu" | "Round" | "Selu" | "Shrink" | "Sigmoid" | "Sign" | "Sin"
        | "Sinh" | "Softplus" | "Softsign" | "Sqrt" | "Sub" | "Sum" | "Swish" | "Tan" | "Tanh"
        | "ThresholdedRelu" | "Where" | "Xor" => element_by_element(site),
        "AveragePool"
        | "BatchNormalization"
        | "Conv"
        | "ConvTranspose"
        | "DepthToSpace"
        | "Dropout"
        | "GlobalAveragePool"
        | "GlobalLpPool"
        | "GlobalMaxPool"
        | "GroupNormalization"
        | "InstanceNormalization"
        | "LRN"
        | "LpPool"
        | "MaxPool"
        | "SpaceToDepth" => first_alone(site),
        "Concat" => along(site, 0).and(all_batched(site)),
        "Split" => along(site, 0),
        "ArgMax" | "ArgMin" => along(site, 0),
        "TopK" | "LayerNormalization" | "RMSNormalization" | "OneHot" => along(site, -1),
        "Softmax" | "LogSoftmax" | "Hardmax" => along(site, if site.opset < 13 { 1 } else { -1 }),
        "DequantizeLinear" | "QuantizeLinear" => along(site, 1).and(first_alone(site)),
        "Einsum" => einsum(site),
        "Flatten" => along(site, 1),
        "Gather" => gather(site),
        "Gemm" => gemm(site),
        "MatMul" => matmul(site),
        "Pad" => pad(site),
        "Reshape" => reshape(site),
        "Resize" | "Upsample" => resize(site),
        "Slice" => slice(site),
        "Squeeze" | "Unsqueeze" => squeeze(site),
        "Tile" => tile(site),
        "Transpose" => transpose(site),
        "Trilu" => {
            if site.rank(0)? >= 3 {
                first_alone(site)
            } else {
                mixes()
            }
        }
        name if name.starts_with("Reduce") => reduce(site),
        _ => unknown(),
    }
}

fn unknown() -> Answer {
    Err("it is not known to work on one example at a time".into())
}

fn mixes() -> Answer {
    Err("it mixes examples".into())
}

impl Site<'_> {
    fn is_batched(&self, index: usize) -> bool {
        self.node.input(index).is_some_and(|name| self.batched.contains(name))
    }

    fn rank(&self, index: usize) -> Result<usize, String> {
        let name = self.node.input(index).unwrap_or_default();
        let rank = self.knowledge.rank(name);
        rank.ok_or_else(|| format!("the number of dimensions of '{name}' is not known"))
    }

    /// Whether an input that has no examples stretches to any number of them.
    fn stretches(&self, index: usize, rank: usize) -> Result<bool, String> {
        let own = self.rank(index)?;
        let name = self.node.input(index).unwrap_or_default();
        let first = self.knowledge.dims(name).and_then(|dims| dims.first().cloned());
        Ok(own < rank || first == Some(Dim::Fixed(1)))
    }

    fn axis(&self, default: i64) -> i64 {
        self.node.int("axis").unwrap_or(default)
    }

    /// A list that is an attribute or a constant input.
    fn list(&self, name: &str, index: usize) -> Result<Option<Vec<i64>>, String> {
        if let Some(values) = self.node.ints(name) {
            return Ok(Some(values.to_vec()));
        }
        let Some(input) = self.node.input(index) else { return Ok(None) };
        match self.knowledge.integers(input) {
            Some(values) => Ok(Some(values)),
            None => Err(format!("'{input}' is computed at run time")),
        }
    }

    /// Whether `axis`, of `rank` dimensions, is the first.
    fn is_first(axis: i64, rank: usize) -> bool {
        axis == 0 || axis.checked_add(rank as i64) == Some(0)
    }
}

/// All inputs have the same rank as the examples, or stretch.
fn element_by_element(site: &Site<'_>) -> Answer {
    let given = (0..site.node.inputs.len()).filter(|&index| site.node.input(index).is_some());
    let given: Vec<usize> = given.collect();
    let mut rank = 0;
    for &index in &given {
        rank = rank.max(site.rank(index)?);
    }
    for &index in &given {
        let fits = match site.is_batched(index) {
            true => site.rank(index)? == rank,
            false => site.stretches(index, rank)?,
        };
        if !fits {
            return mixes();
        }
    }
    if rank == 0 { mixes() } else { Ok(Effect::Batched) }
}

/// Only the first input has examples; the others are parameters.
fn first_alone(site: &Site<'_>) -> Answer {
    let others = 1..site.node.inputs.len();
    if !site.is_batched(0) || others.into_iter().any(|index| site.is_batched(index)) {
        return mixes();
    }
    Ok(Effect::Batched)
}

/// It works along an axis, which is not the first.
fn along(site: &Site<'_>, default: i64) -> Answer {
    let inserted = usize::from(site.node.op_type == "OneHot");
    if Site::is_first(site.axis(default), site.rank(0)? + inserted) {
        return mixes();
    }
    if site.is_batched(0) { Ok(Effect::Batched) } else { mixes() }
}

fn all_batched(site: &Site<'_>) -> Answer {
    let all = (0..site.node.inputs.len()).all(|index| site.is_batched(index));
    if all { Ok(Effect::Batched) } else { mixes() }
}

/// The examples have one index, which comes first wherever it is.
fn einsum(site: &Site<'_>) -> Answer {
    let equation = site.node.string("equation").unwrap_or_default();
    let equation: String = equation.chars().filter(|found| !found.is_whitespace()).collect();
    let Some((operands, result)) = equation.split_once("->") else { return unknown() };
    let Some(example) = result.chars().next().filter(char::is_ascii_alphabetic) else {
        return unknown();
    };
    for (index, operand) in operands.split(',').enumerate() {
        let places: Vec<usize> = operand.match_indices(example).map(|(place, _)| place).collect();
        let expected: &[usize] = if site.is_batched(index) { &[0] } else { &[] };
        if places != expected || operand.contains('.') {
            return mixes();
        }
    }
    if result.matches(example).count() == 1 { Ok(Effect::Batched) } else { mixes() }
}

fn gather(site: &Site<'_>) -> Answer {
    let first = Site::is_first(site.axis(0), site.rank(0)?);
    match (site.is_batched(0), site.is_batched(1)) {
        // A table is looked up for each example.
        (false, true) if first && site.rank(1)? > 0 => Ok(Effect::Batched),
        (true, false) if !first => Ok(Effect::Batched),
        _ => mixes(),
    }
}

fn gemm(site: &Site<'_>) -> Answer {
    let turned = site.node.int("transA").unwrap_or(0) != 0;
    let added = site.node.input(2).is_none() || site.stretches(2, 2)?;
    if turned || !added { mixes() } else { first_alone(site) }
}

fn matmul(site: &Site<'_>) -> Answer {
    let (one, two) = (site.rank(0)?, site.rank(1)?);
    let fits = match (site.is_batched(0), site.is_batched(1)) {
        (true, true) => one == two && one >= 3,
        (true, false) if one == 2 => two <= 2,
        (true, false) => one >= 3 && site.stretches(1, one)?,
        (false, true) => two >= 3 && site.stretches(0, two)?,
        (false, false) => false,
    };
    if fits { Ok(Effect::Batched) } else { mixes() }
}

fn pad(site: &Site<'_>) -> Answer {
    let rank = site.rank(0)?;
    let Some(pads) = site.list("pads", 1)? else { return unknown() };
    let axes = site.list("axes", 3)?;
    let axes = axes.unwrap_or_else(|| (0..rank as i64).collect());
    for (index, &axis) in axes.iter().enumerate() {
        let both = [pads.get(index), pads.get(index + axes.len())];
        if Site::is_first(axis, rank) && both != [Some(&0), Some(&0)] {
            return mixes();
        }
    }
    first_alone(site)
}

fn reshape(site: &Site<'_>) -> Answer {
    if !site.is_batched(0) || site.is_batched(1) {
        return mixes();
    }
    let Ok(Some(shape)) = site.list("shape", 1) else {
        // Computed at run time from the shape of its input: borne out or not in the end.
        return Ok(Effect::Batched);
    };
    let zero_is_zero = site.node.int("allowzero").unwrap_or(0) != 0;
    match shape.split_first() {
        Some((0, _)) if !zero_is_zero => Ok(Effect::Batched),
        Some((-1, rest)) if rest.iter().all(|size| *size > 0) => Ok(Effect::Batched),
        Some((1, rest)) if !zero_is_zero || !rest.contains(&0) => {
            let mut repaired = vec![0];
            repaired.extend(rest);
            Ok(Effect::Reshape(repaired))
        }
        _ => mixes(),
    }
}

fn resize(site: &Site<'_>) -> Answer {
    let index = if site.node.op_type == "Upsample" || site.opset < 11 { 1 } else { 2 };
    let scales = match site.node.floats("scales") {
        Some(scales) => scales.first().map(|&scale| scale.into()),
        None => site
            .node
            .input(index)
            .and_then(|name| site.knowledge.numbers(name))
            .and_then(|scales| scales.first().copied()),
    };
    let axes = site.node.ints("axes");
    if axes.is_some_and(|axes| axes.iter().all(|axis| *axis > 0)) || scales == Some(1.0) {
        return first_alone(site);
    }
    Err("it resizes to a size that is stated for all dimensions".into())
}

fn slice(site: &Site<'_>) -> Answer {
    let rank = site.rank(0)?;
    let starts = site.list("starts", 1)?.unwrap_or_default();
    let axes = site.list("axes", 3)?;
    let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
    if axes.iter().any(|&axis| Site::is_first(axis, rank)) { mixes() } else { first_alone(site) }
}

fn squeeze(site: &Site<'_>) -> Answer {
    let Some(axes) = site.list("axes", 1)? else { return mixes() };
    let added = if site.node.op_type == "Unsqueeze" { axes.len() } else { 0 };
    let rank = site.rank(0)? + added;
    if axes.iter().any(|&axis| Site::is_first(axis, rank)) { mixes() } else { first_alone(site) }
}

fn tile(site: &Site<'_>) -> Answer {
    let repeats = site.list("repeats", 1)?.unwrap_or_default();
    if repeats.first() == Some(&1) { first_alone(site) } else { mixes() }
}

fn transpose(site: &Site<'_>) -> Answer {
    let stays = match site.node.ints("perm") {
        Some(order) => order.first() == Some(&0),
        None => site.rank(0)? <= 1,
    };
    if stays { Ok(Effect::Batched) } else { mixes() }
}

fn reduce(site: &Site<'_>) -> Answer {
    let rank = site.rank(0)?;
    let axes = site.list("axes", 1)?.unwrap_or_default();
    let nothing = site.node.int("noop_with_empty_axes").unwrap_or(0) != 0;
    let all = axes.is_empty() && !nothing;
    if all || axes.iter().any(|&axis| Site::is_first(axis, rank)) {
        return mixes();
    }
    first_alone(site)
}
