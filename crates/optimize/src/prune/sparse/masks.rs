//! Which weights are zero.

use std::collections::{BTreeMap, HashSet};

use modelyard_graph::{Constant, Model};
use modelyard_train::transfer::matches;
use modelyard_train::{Array, OpError, Weights};

use crate::OptimizeError;
use crate::floats::Channels;

/// Which weights become zero: those of the smallest magnitude.
#[derive(Clone, Debug, PartialEq)]
pub enum Sparsity {
    /// This share of the weights.
    Share(f64, Scope),
    /// Some of every few neighbours along the input dimension.
    Pattern(NofM),
}

/// What a share is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All weights together: layers with small ones lose more.
    Global,
    /// Each weight by itself.
    Layer,
}

/// At most `n` of every `m` weights along the input dimension are not zero. A rest of fewer than `m` is
/// left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NofM {
    /// Weights that stay.
    pub n: usize,
    /// Weights that are looked at together.
    pub m: usize,
}

/// By weight: which elements stay.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Masks {
    masks: BTreeMap<String, Vec<bool>>,
}

/// A weight that may be thinned out: its name, and its dimension that what comes in is summed over.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Layer {
    name: String,
    axis: usize,
    dims: Vec<usize>,
}

impl Masks {
    /// Masks for the weights of convolutions and products in the main graph, but for those of names in
    /// `exclude` (`*` stands for anything).
    pub fn new(
        model: &Model,
        sparsity: &Sparsity,
        exclude: &[String],
    ) -> Result<Masks, OptimizeError> {
        crate::prune::refuse_quantized(model)?;
        check(sparsity)?;
        let mut layers = layers(model);
        layers.retain(|layer| !exclude.iter().any(|pattern| matches(pattern, &layer.name)));
        let numbers = numbers(model, &layers)?;
        if layers.is_empty() {
            let text = "the model has no weights of convolutions or products in its main graph";
            return Err(OptimizeError::Nothing(text.into()));
        }
        Ok(Masks::of(&layers, &numbers, sparsity))
    }

    fn of(layers: &[Layer], numbers: &[Vec<f32>], sparsity: &Sparsity) -> Masks {
        let masks: Vec<Vec<bool>> = match sparsity {
            Sparsity::Pattern(pattern) => layers
                .iter()
                .zip(numbers)
                .map(|(layer, values)| pattern.mask(values, layer))
                .collect(),
            Sparsity::Share(share, Scope::Layer) => {
                numbers.iter().flat_map(|values| smallest(&[values], *share)).collect()
            }
            Sparsity::Share(share, Scope::Global) => {
                smallest(&numbers.iter().map(Vec::as_slice).collect::<Vec<_>>(), *share)
            }
        };
        Masks { masks: layers.iter().map(|layer| layer.name.clone()).zip(masks).collect() }
    }

    /// The same weights, masked anew to a share by what they are now.
    pub fn renew(&mut self, weights: &Weights, share: f64, scope: Scope) -> Result<(), OpError> {
        let names: Vec<String> = self.masks.keys().cloned().collect();
        let mut numbers = Vec::new();
        for name in &names {
            let array =
                weights.get(name).ok_or_else(|| OpError::new(format!("no weight '{name}'")))?;
            numbers.push(array.as_floats()?);
        }
        let masks = match scope {
            Scope::Global => smallest(&numbers, share),
            Scope::Layer => numbers.iter().flat_map(|values| smallest(&[values], share)).collect(),
        };
        self.masks = names.into_iter().zip(masks).collect();
        Ok(())
    }

    /// Makes masked weights zero while they are trained.
    pub fn hold(&self, weights: &mut Weights) -> Result<(), OpError> {
        for (name, mask) in &self.masks {
            let Some(number) = weights.number(name) else { continue };
            for (value, stays) in weights.floats_mut(number)?.iter_mut().zip(mask) {
                if !stays {
                    *value = 0.0;
                }
            }
        }
        Ok(())
    }

    /// Makes masked weights of a model zero.
    pub fn apply(&self, model: &mut Model) {
        for constant in &mut model.graph.initializers {
            let Some(mask) = self.masks.get(&constant.name) else { continue };
            let Some(Ok(mut values)) = Array::from_constant(constant).map(Array::into_floats)
            else {
                continue;
            };
            for (value, stays) in values.iter_mut().zip(mask) {
                if !stays {
                    *value = 0.0;
                }
            }
            let array = Array::floats(modelyard_tensor::Shape::new(&constant.dims), values);
            if let Some(masked) = array.to_constant(&constant.name, constant.element_type) {
                *constant = masked;
            }
        }
    }

    /// Names of the weights.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.masks.keys().map(String::as_str)
    }

    /// Masked elements of a weight, and all of them.
    pub fn count(&self, name: &str) -> (usize, usize) {
        let mask = self.masks.get(name).map_or(&[][..], Vec::as_slice);
        (mask.iter().filter(|stays| !**stays).count(), mask.len())
    }
}

impl NofM {
    fn mask(self, values: &[f32], layer: &Layer) -> Vec<bool> {
        let Channels { outer, channels, inner } = Channels::of(&layer.dims, Some(layer.axis));
        let mut mask = vec![true; values.len()];
        for (block, place) in
            (0..outer).flat_map(|block| (0..inner).map(move |place| (block, place)))
        {
            let at = |channel: usize| (block * channels + channel) * inner + place;
            for first in (0..channels / self.m * self.m).step_by(self.m) {
                let mut order: Vec<usize> = (first..first + self.m).map(at).collect();
                order.sort_by(|&one, &two| values[two].abs().total_cmp(&values[one].abs()));
                order.into_iter().skip(self.n).for_each(|index| mask[index] = false);
            }
        }
        mask
    }
}

fn check(sparsity: &Sparsity) -> Result<(), OptimizeError> {
    let text = match sparsity {
        Sparsity::Share(share, _) if !(*share > 0.0 && *share < 1.0) => {
            format!("expected a sparsity above 0 and below 1, found {share}")
        }
        Sparsity::Pattern(NofM { n, m }) if *n == 0 || n >= m => {
            format!("expected N:M with N from 1 to below M, such as 2:4, found {n}:{m}")
        }
        _ => return Ok(()),
    };
    Err(OptimizeError::Invalid(text))
}

/// Masks that leave out the share of all numbers that is smallest; of equal ones the first go.
fn smallest(weights: &[&[f32]], share: f64) -> Vec<Vec<bool>> {
    let total: usize = weights.iter().map(|values| values.len()).sum();
    let gone = (total as f64 * share).round() as usize;
    let mut masks: Vec<Vec<bool>> = weights.iter().map(|values| vec![true; values.len()]).collect();
    if gone == 0 {
        return masks;
    }
    let mut sorted: Vec<f32> =
        weights.iter().flat_map(|values| values.iter().map(|x| x.abs())).collect();
    let border = *sorted.select_nth_unstable_by(gone - 1, f32::total_cmp).1;
    let below =
        weights.iter().flat_map(|values| values.iter()).filter(|x| x.abs() < border).count();
    let mut equal = gone - below;
    for (mask, values) in masks.iter_mut().zip(weights) {
        for (stays, value) in mask.iter_mut().zip(*values) {
            let is_border = value.abs() == border && equal > 0;
            equal -= usize::from(is_border);
            *stays = !(value.abs() < border || is_border);
        }
    }
    masks
}

/// Weights of convolutions and products that are constants of floats, each once.
fn layers(model: &Model) -> Vec<Layer> {
    let mut seen = HashSet::new();
    let mut layers = Vec::new();
    for node in &model.graph.nodes {
        let input = match node.op_type.as_str() {
            "Conv" | "ConvTranspose" | "Gemm" | "MatMul" if node.domain.is_empty() => node.input(1),
            _ => None,
        };
        let Some(constant) = input.and_then(|name| model.graph.initializer(name)) else { continue };
        let rank = constant.dims.len();
        let is_float =
            Array::from_constant(constant).is_some_and(|array| array.as_floats().is_ok());
        if rank < 2 || !is_float || is_input(model, constant) || !seen.insert(&constant.name) {
            continue;
        }
        let axis = match node.op_type.as_str() {
            "Conv" => 1,
            "ConvTranspose" => 0,
            "Gemm" => usize::from(node.int("transB").unwrap_or(0) != 0),
            _ => rank - 2,
        };
        layers.push(Layer { name: constant.name.clone(), axis, dims: constant.dims.clone() });
    }
    layers
}

fn is_input(model: &Model, constant: &Constant) -> bool {
    model.graph.inputs.iter().any(|input| input.name == constant.name)
}

fn numbers(model: &Model, layers: &[Layer]) -> Result<Vec<Vec<f32>>, OptimizeError> {
    let mut numbers = Vec::new();
    let mut bad = Vec::new();
    for layer in layers {
        let array = model.graph.initializer(&layer.name).and_then(Array::from_constant);
        let values = array.and_then(|array| array.into_floats().ok()).unwrap_or_default();
        if values.iter().any(|value| !value.is_finite()) {
            bad.push(layer.name.as_str());
        }
        numbers.push(values);
    }
    match bad.is_empty() {
        true => Ok(numbers),
        false => Err(OptimizeError::Invalid(format!(
            "cannot rank weights that hold NaN or infinity: {}",
            bad.join(", ")
        ))),
    }
}
