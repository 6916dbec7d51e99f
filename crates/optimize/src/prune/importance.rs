//! How much each channel matters.

use std::collections::{BTreeSet, HashMap};

use modelyard_graph::Model;
use modelyard_train::Array;

use super::groups::{Class, Group, Slice};
use super::options::Importance;
use crate::OptimizeError;
use crate::floats::Channels;

/// By group, by class: how much it matters. Divided by the mean over the group, so that layers compare.
pub(super) fn scores(
    model: &Model,
    groups: &[Group],
    importance: &Importance,
) -> Result<Vec<Vec<f64>>, OptimizeError> {
    let weights = Weights::of(model, groups)?;
    groups.iter().map(|group| weights.scores(group, importance)).collect()
}

/// Numbers of the weights that are looked at.
struct Weights {
    numbers: HashMap<String, (Vec<usize>, Vec<f32>)>,
}

impl Weights {
    fn of(model: &Model, groups: &[Group]) -> Result<Weights, OptimizeError> {
        let classes = || groups.iter().flat_map(|group| &group.classes);
        let slices = classes().flat_map(|class| class.filters.iter().chain(&class.scales));
        let wanted: BTreeSet<&str> = slices.map(|((name, _), _)| name.as_str()).collect();
        let mut numbers = HashMap::new();
        let (mut bad, mut strange) = (Vec::new(), Vec::new());
        for constant in
            model.graph.initializers.iter().filter(|found| wanted.contains(&*found.name))
        {
            let array = Array::from_constant(constant);
            match array.as_ref().and_then(|array| array.as_floats().ok()) {
                Some(values) if values.iter().all(|value| value.is_finite()) => {
                    let value = (constant.dims.clone(), values.to_vec());
                    numbers.insert(constant.name.clone(), value);
                }
                Some(_) => bad.push(constant.name.clone()),
                None => strange.push(constant.name.clone()),
            }
        }
        if !bad.is_empty() {
            return Err(OptimizeError::Invalid(format!(
                "cannot tell which channels matter: these weights hold NaN or infinity: {}",
                bad.join(", ")
            )));
        }
        if !strange.is_empty() {
            return Err(OptimizeError::Invalid(format!(
                "cannot tell which channels matter: these weights are no floats: {}",
                strange.join(", ")
            )));
        }
        Ok(Weights { numbers })
    }

    fn scores(&self, group: &Group, importance: &Importance) -> Result<Vec<f64>, OptimizeError> {
        let absolute = |x: f64| x.abs();
        let square = |x: f64| x * x;
        let filters = |class: &Class, of: &dyn Fn(f64) -> f64| self.sum(&class.filters, of);
        let is_scaled = group.classes.iter().all(|class| !class.scales.is_empty());
        let score = |class: &Class| match importance {
            Importance::L1 => Ok(filters(class, &absolute)),
            Importance::BatchNorm if is_scaled => Ok(self.sum(&class.scales, &absolute)),
            Importance::L2 | Importance::BatchNorm => Ok(filters(class, &square).sqrt()),
            Importance::Taylor(sensitivity) => self.sensitivity(&class.filters, sensitivity),
        };
        let scores =
            group.classes.iter().map(score).collect::<Result<Vec<f64>, OptimizeError>>()?;
        let mean = scores.iter().sum::<f64>() / scores.len().max(1) as f64;
        let scale = if mean > 0.0 { mean.recip() } else { 1.0 };
        Ok(scores.into_iter().map(|score| score * scale).collect())
    }

    fn sum(&self, slices: &[Slice], of: &dyn Fn(f64) -> f64) -> f64 {
        let mut sum = 0.0;
        for ((name, axis), index) in slices {
            let Some((dims, values)) = self.numbers.get(name) else { continue };
            each(values, (dims, *axis), *index, |value| sum += of(f64::from(value)));
        }
        sum
    }

    fn sensitivity(
        &self,
        slices: &[Slice],
        sensitivity: &HashMap<String, Vec<f32>>,
    ) -> Result<f64, OptimizeError> {
        let mut sum = 0.0;
        for ((name, axis), index) in slices {
            let Some((dims, values)) = self.numbers.get(name) else { continue };
            let found = sensitivity.get(name).filter(|found| found.len() == values.len());
            let found = found.ok_or_else(|| {
                OptimizeError::Invalid(format!(
                    "nothing is known of how the loss depends on '{name}': take another importance, or \
                     exclude it"
                ))
            })?;
            each(found, (dims, *axis), *index, |value| sum += f64::from(value));
        }
        Ok(sum)
    }
}

/// The numbers of a tensor at one index of an axis.
fn each(values: &[f32], (dims, axis): (&[usize], usize), index: usize, mut act: impl FnMut(f32)) {
    let Channels { channels, inner, .. } = Channels::of(dims, Some(axis));
    if inner == 0 || channels == 0 {
        return;
    }
    for block in values.chunks_exact(channels * inner) {
        block[index * inner..(index + 1) * inner].iter().for_each(|&value| act(value));
    }
}
