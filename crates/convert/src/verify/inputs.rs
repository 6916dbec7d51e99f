//! Inputs to try a model with: numbers drawn by chance, and those at which mistakes show.

use std::collections::BTreeMap;

use fastrand::Rng;
use half::{bf16, f16};
use modelyard_tensor::{DataType, Dim, Shape, Tensor, TensorSpec};

use super::index_limits::index_limits;
use crate::{Conversion, EvaluateError};

/// One way to try a model.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Size of a free first dimension.
    pub batch: usize,
    /// Sizes of other free dimensions, by symbol; before those that the conversion names.
    pub sizes: BTreeMap<String, usize>,
    /// Which numbers are drawn.
    pub seed: u64,
    /// Whether every other element is one at which mistakes show: zeros of both signs, ones, very
    /// small and large numbers, the ends of an integer's range.
    pub edges: bool,
}

/// Size of a free dimension of an image or volume: survives five halvings.
const FREE_SPACE: usize = 64;
/// Size of any other free dimension, such as a sequence.
const FREE: usize = 12;
/// Elements of one input at most.
const ELEMENTS_MAX: usize = 1 << 28;

/// Inputs for a converted model, in the order of its signature.
///
/// Floats are normally distributed, or uniform in the range that the conversion states. Integers
/// that pick rows of a table stay inside it; 8-bit ones take their whole range, all others are 0
/// or 1.
pub fn inputs(conversion: &Conversion, trial: &Trial) -> Result<Vec<Tensor>, EvaluateError> {
    let signature = conversion.model.signature();
    let signature = signature.map_err(|error| EvaluateError::new(error.to_string()))?;
    let limits = index_limits(&conversion.model);
    let mut random = Rng::with_seed(trial.seed);
    let mut tensors = Vec::new();
    for spec in &signature.inputs {
        let shape = shape(spec, conversion, trial)?;
        let elements = shape.elements().unwrap_or(0);
        let table = limits.get(&spec.name).map(|&rows| (0.0, rows.saturating_sub(1) as f64));
        let range = conversion.ranges.get(&spec.name).copied().or(table);
        let draw = Draw { range: range.or_else(|| usual(spec.data_type)), edges: trial.edges };
        tensors.push(tensor(spec, shape, elements, (&draw, &mut random))?);
    }
    Ok(tensors)
}

fn shape(
    spec: &TensorSpec,
    conversion: &Conversion,
    trial: &Trial,
) -> Result<Shape, EvaluateError> {
    let dims = spec.dims.as_ref().ok_or_else(|| {
        EvaluateError::new(format!("input '{}' has no rank to try it with", spec.name))
    })?;
    let free = if dims.len() >= 4 { FREE_SPACE } else { FREE };
    let size = |(axis, dim): (usize, &Dim)| match dim {
        Dim::Fixed(size) => *size,
        Dim::Symbol(name) => {
            let stated = trial.sizes.get(name).or_else(|| conversion.sizes.get(name));
            stated.copied().unwrap_or(if axis == 0 { trial.batch } else { free })
        }
        Dim::Free if axis == 0 => trial.batch,
        Dim::Free => free,
    };
    let shape: Shape = dims.iter().enumerate().map(size).collect();
    match shape.elements() {
        Some(elements) if elements <= ELEMENTS_MAX => Ok(shape),
        _ => Err(EvaluateError::new(format!(
            "input '{}' of shape {shape} is too large to try, at most {ELEMENTS_MAX} elements are",
            spec.name
        ))),
    }
}

/// The range of a datatype to draw from, where it has one.
fn usual(data_type: DataType) -> Option<(f64, f64)> {
    match data_type {
        DataType::Uint8 => Some((0.0, 255.0)),
        DataType::Int8 => Some((-128.0, 127.0)),
        DataType::Fp16 | DataType::Bf16 | DataType::Fp32 | DataType::Fp64 => None,
        _ => Some((0.0, 1.0)),
    }
}

/// How an input's elements are drawn.
struct Draw {
    /// Both ends included; normally distributed where there is none.
    range: Option<(f64, f64)>,
    edges: bool,
}

/// What mistakes show at, for floats without a range.
const EDGES: [f64; 16] =
    [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1e-6, -1e-6, 3.0, -3.0, 6.0, -6.0, 20.0, -20.0, 1e-30, 2.5];

impl Draw {
    fn float(&self, random: &mut Rng, index: usize) -> f64 {
        let is_edge = self.edges && index % 2 == 1;
        match self.range {
            Some((low, high)) if is_edge => {
                if index % 4 == 1 {
                    low
                } else {
                    high
                }
            }
            Some((low, high)) => low + (high - low) * random.f64(),
            None if is_edge => EDGES[index / 2 % EDGES.len()],
            None => normal(random),
        }
    }

    fn integer(&self, random: &mut Rng, index: usize) -> i64 {
        let (low, high) = self.range.unwrap_or((0.0, 1.0));
        let (low, high) = (low as i64, high as i64);
        match self.edges && index % 2 == 1 {
            true => {
                if index % 4 == 1 {
                    low
                } else {
                    high
                }
            }
            false => random.i64(low.min(high)..=high.max(low)),
        }
    }
}

/// One number of the standard normal distribution: Box and Muller's transform.
fn normal(random: &mut Rng) -> f64 {
    let radius = (-2.0 * (1.0 - random.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.f64()).cos()
}

fn tensor(
    spec: &TensorSpec,
    shape: Shape,
    elements: usize,
    (draw, random): (&Draw, &mut Rng),
) -> Result<Tensor, EvaluateError> {
    let mut bytes = Vec::new();
    let mut strings = Vec::new();
    for index in 0..elements {
        match spec.data_type {
            DataType::Fp32 => bytes.extend((draw.float(random, index) as f32).to_le_bytes()),
            DataType::Fp64 => bytes.extend(draw.float(random, index).to_le_bytes()),
            DataType::Fp16 => bytes.extend(f16::from_f64(draw.float(random, index)).to_le_bytes()),
            DataType::Bf16 => bytes.extend(bf16::from_f64(draw.float(random, index)).to_le_bytes()),
            DataType::Bytes => strings.push(format!("word{}", random.u32(0..100))),
            // Two's complement: the lowest bytes are those of the narrower type.
            data_type => {
                let value = draw.integer(random, index).to_le_bytes();
                let size = Shape::new(&[1]).byte_len(data_type).unwrap_or(value.len());
                bytes.extend(value.iter().take(size));
            }
        }
    }
    let tensor = match spec.data_type {
        DataType::Bytes => Tensor::from_strings(shape, &strings),
        data_type => Tensor::new(data_type, shape, bytes.into()),
    };
    tensor.map_err(|error| EvaluateError::new(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use modelyard_graph::{ElementType, GraphBuilder, Node};

    fn example() -> Conversion {
        let symbol = |name: &str| Dim::Symbol(name.into());
        let model = GraphBuilder::new("g")
            .input("image", ElementType::Float32, &[symbol("batch"), Dim::Fixed(3), symbol("h")])
            .input("tokens", ElementType::Int64, &[symbol("batch"), Dim::Free])
            .input("mask", ElementType::Bool, &[Dim::Fixed(2)])
            .floats("table", &[7, 1], &[0.0; 7])
            .node(Node::new("Gather", &["table", "tokens"], &["y"]))
            .output("y", ElementType::Float32, &[Dim::Free, Dim::Free, Dim::Fixed(1)])
            .model()
            .check()
            .unwrap();
        let mut conversion = Conversion::new(model, Vec::new());
        conversion.sizes.insert("h".into(), 5);
        conversion
    }

    fn trial() -> Trial {
        Trial { batch: 2, sizes: BTreeMap::new(), seed: 1, edges: true }
    }

    #[test]
    fn free_dimensions_get_sizes_and_tokens_stay_in_their_table() {
        let tensors = inputs(&example(), &trial()).unwrap();
        let shapes: Vec<&[usize]> = tensors.iter().map(|tensor| tensor.shape().dims()).collect();
        assert_eq!(shapes, [&[2, 3, 5][..], &[2, FREE], &[2]]);
        let tokens = tensors[1].values::<i64>().unwrap();
        assert!(tokens.iter().all(|token| (0..7).contains(token)));
        assert!(tokens.contains(&6) && tokens.contains(&0));
    }

    #[test]
    fn the_same_seed_draws_the_same_numbers() {
        let one = inputs(&example(), &trial()).unwrap();
        let two = inputs(&example(), &trial()).unwrap();
        let other = inputs(&example(), &Trial { seed: 2, ..trial() }).unwrap();
        assert!(one[0].data() == two[0].data() && one[0].data() != other[0].data());
    }

    #[test]
    fn sizes_of_the_caller_come_first() {
        let sizes = BTreeMap::from([("h".to_owned(), 9)]);
        let tensors = inputs(&example(), &Trial { sizes, ..trial() }).unwrap();
        assert_eq!(tensors[0].shape().dims(), [2, 3, 9]);
    }
}
