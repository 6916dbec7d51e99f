//! Weights of products of matrices in blocks of 4-bit integers (`com.microsoft.MatMulNBits`).
//!
//! Activations stay floats: it is the size of the file and the memory that it is for, not speed.

use modelyard_graph::{Constant, ElementType, Model, Node};

use super::draft::Draft;
use super::plan::{Kept, refuse_quantized};
use super::roles::{Role, Weighted, role};
use super::{Options, Quantized};
use crate::OptimizeError;
use crate::floats::{floats, sqnr};

/// The domain of ONNX Runtime's own operators.
const DOMAIN: &str = "com.microsoft";

/// How weights are cut into blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks {
    /// Numbers along the inner dimension that share a scale: a power of two, at least 16.
    pub size: usize,
    /// Whether zero lies in the middle; otherwise each block has a zero point.
    pub symmetric: bool,
}

impl Default for Blocks {
    fn default() -> Blocks {
        Blocks { size: 32, symmetric: true }
    }
}

/// Writes a model whose MatMuls with constant weights are `MatMulNBits` of 4 bits. Of `options` only
/// what is excluded counts.
pub fn blockwise(
    model: &Model,
    blocks: Blocks,
    options: &Options,
) -> Result<Quantized, OptimizeError> {
    refuse_quantized(model)?;
    if !blocks.size.is_power_of_two() || blocks.size < 16 {
        let found = blocks.size;
        return Err(OptimizeError::Invalid(format!(
            "expected a block size of 16, 32, 64, 128 or 256, found {found}"
        )));
    }
    let operators = ["Gemm", "MatMul"].map(str::to_owned).into();
    let mut with_domain = model.clone();
    with_domain.opsets.insert(DOMAIN.into(), 1);
    let mut draft = Draft::new(&with_domain);
    let (mut kept, mut changed) = (Kept::inside(model, options, &operators), 0);
    for (number, node) in with_domain.graph.nodes.iter().enumerate() {
        let refusal = options.refusal(node, &operators);
        let done = match refusal {
            Some("excluded") => Err("excluded"),
            Some(_) => continue,
            None => role(node, &draft.links).and_then(|role| match role {
                Role::Weighted(weighted) => replace(&mut draft, (number, node), &weighted, blocks),
                _ => Err("it has no weight"),
            }),
        };
        match done {
            Ok(()) => changed += 1,
            Err(reason) => kept.push(Kept::new(node, reason)),
        }
    }
    if changed == 0 {
        return Err(OptimizeError::Nothing("no MatMul has a constant weight".into()));
    }
    draft.finish(kept)
}

fn replace<'a>(
    draft: &mut Draft<'a>,
    (number, node): (usize, &'a Node),
    weighted: &Weighted<'a>,
    blocks: Blocks,
) -> Result<(), &'static str> {
    let constant = draft.links.constant(weighted.weight).ok_or("its weight is computed")?;
    let numbers = floats(constant).ok_or("its weight is no float")?;
    let [first, second] = constant.dims[..] else {
        return Err("its weight has more than two dimensions");
    };
    let is_turned = node.int("transB") == Some(1);
    let (inner, outer) = if is_turned { (second, first) } else { (first, second) };
    if inner == 0 || outer == 0 {
        return Err("its weight is empty");
    }
    // Row `column` of the packed matrix is column `column` of the weight.
    let at = |column: usize, row: usize| {
        numbers[if is_turned { column * inner + row } else { row * outer + column }]
    };
    draft.check(constant);
    let packed = Packed::of((inner, outer), at, blocks);
    draft.layer(node, constant, packed.sqnr);
    let names = write(draft, weighted.weight, packed, blocks);
    let mut inputs: Vec<&str> = vec![weighted.input];
    inputs.extend(names.iter().map(String::as_str));
    let output = node.output(0).unwrap_or_default();
    let product = match weighted.bias {
        Some(_) => draft.names.unique(&format!("{output}_product")),
        None => output.to_owned(),
    };
    let node = draft.named("MatMulNBits", &inputs, &product).in_domain(DOMAIN);
    let node = node
        .with("K", inner as i64)
        .with("N", outer as i64)
        .with("bits", 4i64)
        .with("block_size", blocks.size as i64);
    let mut nodes = vec![node];
    if let Some(bias) = weighted.bias {
        nodes.push(draft.named("Add", &[&product, bias], output));
    }
    draft.removed.insert(number);
    draft.after.entry(number).or_default().extend(nodes);
    Ok(())
}

/// A matrix in blocks: two integers a byte, the earlier in the lower bits.
struct Packed {
    outer: usize,
    blocks: usize,
    bytes: Vec<u8>,
    scales: Vec<f32>,
    /// Two a byte, each row of blocks filled to whole bytes. Empty where all are 8.
    zero_points: Vec<u8>,
    sqnr: f64,
}

impl Packed {
    fn of(
        (inner, outer): (usize, usize),
        at: impl Fn(usize, usize) -> f32,
        form: Blocks,
    ) -> Packed {
        let blocks = inner.div_ceil(form.size);
        let mut packed = Packed {
            outer,
            blocks,
            bytes: vec![0; outer * blocks * form.size / 2],
            scales: Vec::with_capacity(outer * blocks),
            zero_points: vec![0; if form.symmetric { 0 } else { outer * blocks.div_ceil(2) }],
            sqnr: 0.0,
        };
        let (mut truth, mut rounded) = (Vec::new(), Vec::new());
        for column in 0..outer {
            for block in 0..blocks {
                let rows = block * form.size..((block + 1) * form.size).min(inner);
                let numbers: Vec<f32> = rows.map(|row| at(column, row)).collect();
                let (scale, zero) = best(&numbers, form.symmetric);
                packed.scales.push(scale);
                if !form.symmetric {
                    let byte = column * blocks.div_ceil(2) + block / 2;
                    packed.zero_points[byte] |= zero << (4 * (block % 2));
                }
                let start = (column * blocks + block) * form.size;
                for (index, &x) in numbers.iter().enumerate() {
                    let q = nibble(x, scale, zero);
                    packed.bytes[(start + index) / 2] |= q << (4 * ((start + index) % 2));
                    rounded.push((f32::from(q) - f32::from(zero)) * scale);
                }
                truth.extend(numbers);
            }
        }
        packed.sqnr = sqnr(&truth, &rounded);
        packed
    }
}

fn nibble(x: f32, scale: f32, zero: u8) -> u8 {
    let steps = if scale == 0.0 { 0.0 } else { (x / scale).round_ties_even() };
    (steps + f32::from(zero)).clamp(0.0, 15.0) as u8
}

/// Scale and zero point with the least squared error, of a few that clamp more or less.
fn best(numbers: &[f32], symmetric: bool) -> (f32, u8) {
    let low = numbers.iter().fold(0.0f32, |low, &x| low.min(x));
    let high = numbers.iter().fold(0.0f32, |high, &x| high.max(x));
    let candidate = |part: f32| {
        if symmetric {
            // The end with the larger numbers has the eight steps below the middle.
            let end = if high > -low { -high } else { -low };
            return (end * part / 8.0, 8u8);
        }
        let scale = (high - low) * part / 15.0;
        let zero = if scale > 0.0 { (-low * part / scale).round_ties_even() } else { 0.0 };
        (scale, zero.clamp(0.0, 15.0) as u8)
    };
    let error = |(scale, zero): (f32, u8)| {
        let of = |&x: &f32| {
            let back = (f32::from(nibble(x, scale, zero)) - f32::from(zero)) * scale;
            f64::from(x - back).powi(2)
        };
        numbers.iter().map(of).sum::<f64>()
    };
    let candidates = (0..8).map(|step| candidate(1.0 - 0.04 * step as f32));
    candidates.min_by(|one, two| error(*one).total_cmp(&error(*two))).unwrap_or((0.0, 8))
}

fn write(draft: &mut Draft<'_>, name: &str, packed: Packed, form: Blocks) -> Vec<String> {
    let key = format!("{name}/blocks/{}", packed.outer);
    let known = draft.done.get(&key).cloned();
    let base = known.clone().unwrap_or_else(|| draft.names.unique(&format!("{name}_blocks")));
    let mut names: Vec<String> = vec![base.clone(), format!("{base}_scales")];
    if !form.symmetric {
        names.push(format!("{base}_zero_points"));
    }
    if known.is_none() {
        let dims = [packed.outer, packed.blocks, form.size / 2];
        draft.constants.push(Constant::raw(&names[0], ElementType::Uint8, &dims, packed.bytes));
        draft.constants.push(Constant::floats(&names[1], &[packed.scales.len()], &packed.scales));
        if let Some(name) = names.get(2) {
            let dims = [packed.zero_points.len()];
            draft.constants.push(Constant::raw(
                name,
                ElementType::Uint8,
                &dims,
                packed.zero_points,
            ));
        }
        draft.done.insert(key, base);
    }
    names
}
