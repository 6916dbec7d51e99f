//! Weights by the place where a `.keras` archive has them, whatever kind of file they are in.

use std::collections::HashMap;

use crate::ConvertError;
use crate::keras::fault::Fault;
use crate::keras::hdf5::{Hdf5, malformed};
use crate::keras::variables::{Old, Slot, Variables};
use crate::keras::weight::Weight;

/// All weights of a model, read as they are asked for.
#[derive(Clone, Debug)]
pub(crate) struct Weights {
    file: Hdf5,
    /// Of an `.h5` file: which datasets make up the weight of a key.
    stored: Option<HashMap<String, Stored>>,
}

/// A weight in an `.h5` file.
#[derive(Clone, Debug)]
struct Stored {
    /// The datasets; several for gates that are kept one by one.
    datasets: Vec<String>,
    old: Old,
    flipped: bool,
}

impl Weights {
    /// Those of a `.keras` archive: `file` is the `model.weights.h5` in it.
    pub(crate) fn of_archive(file: Hdf5) -> Weights {
        Weights { file, stored: None }
    }

    /// Those of an `.h5` file, for the layers of its model by name.
    pub(crate) fn of_hdf5(
        file: Hdf5,
        layers: &[(String, Variables)],
        major: u32,
    ) -> Result<Weights, ConvertError> {
        let root = if file.has_group("model_weights") { "model_weights" } else { "" };
        let theano = file.text(root, "backend")?.as_deref() == Some("theano");
        let mut stored = HashMap::new();
        for (name, variables) in layers {
            let slots = variables.legacy_order();
            if slots.is_empty() {
                continue;
            }
            let group = if root.is_empty() { name.clone() } else { format!("{root}/{name}") };
            let names = file.texts(&group, "weight_names")?;
            let found = assign(&slots, &names).ok_or_else(|| {
                let wanted: Vec<&str> = slots.iter().map(|slot| slot.name).collect();
                let message = format!("expected the weights {wanted:?}, found {names:?}");
                malformed(&format!("the weights of layer '{name}'"), message)
            })?;
            for (slot, names) in slots.iter().zip(found) {
                let datasets = names.iter().map(|name| format!("{group}/{name}")).collect();
                let kernel = matches!(slot.owner.old, Old::Kernel { .. }) && slot.name == "kernel";
                let old = if kernel && major <= 1 { slot.owner.old } else { Old::Same };
                stored.insert(slot.key(), Stored { datasets, old, flipped: kernel && theano });
            }
        }
        Ok(Weights { file, stored: Some(stored) })
    }

    /// Reads a weight of a layer.
    pub(crate) fn read(&self, variables: &Variables, name: &str) -> Result<Weight, Fault> {
        let Some(key) = variables.key(name) else {
            return Err(Fault::malformed(format!("the layer has no weight '{name}'")));
        };
        let Some(stored) = &self.stored else { return self.read_archived(&key) };
        let Some(stored) = stored.get(&key) else {
            return Err(Fault::malformed(format!("the file has no weight '{name}' of the layer")));
        };
        let mut parts = Vec::with_capacity(stored.datasets.len());
        for dataset in &stored.datasets {
            parts.push(self.file.read(dataset)?);
        }
        let weight = match parts.len() {
            1 => parts.swap_remove(0),
            _ => Weight::joined(&parts)?,
        };
        let weight = modernized(weight, stored.old)?;
        let spatial: Vec<usize> = (0..weight.dims.len().saturating_sub(2)).collect();
        Ok(if stored.flipped { weight.flipped(&spatial) } else { weight })
    }

    fn read_archived(&self, key: &str) -> Result<Weight, Fault> {
        if self.file.has_dataset(key) {
            return Ok(self.file.read(key)?);
        }
        // Keras 2.13 called the list of layers otherwise.
        let other = key.replace("layers/", "_layer_checkpoint_dependencies/");
        if self.file.has_dataset(&other) {
            return Ok(self.file.read(&other)?);
        }
        Err(Fault::malformed(format!("model.weights.h5 has no '{key}'")))
    }
}

/// Which names belong to which weights; `None` where that is not clear.
fn assign(slots: &[Slot<'_>], names: &[String]) -> Option<Vec<Vec<String>>> {
    let fits = |slot: &Slot<'_>, name: &String| last(name) == slot.name;
    let all_fit = slots.iter().zip(names).all(|(slot, name)| fits(slot, name));
    if slots.len() == names.len() && all_fit {
        return Some(names.iter().map(|name| vec![name.clone()]).collect());
    }
    if let Some(found) = by_name(slots, names) {
        return Some(found);
    }
    if slots.len() == names.len() {
        return Some(names.iter().map(|name| vec![name.clone()]).collect());
    }
    by_gates(slots, names)
}

/// The part of a weight's name after the layer's: `kernel` of `dense/kernel:0`.
fn last(name: &str) -> &str {
    let name = name.rsplit('/').next().unwrap_or(name);
    name.split(':').next().unwrap_or(name)
}

/// By names, where each weight has exactly one that fits: files have them in another order when
/// layers were frozen, and more of them when layers have a random state.
fn by_name(slots: &[Slot<'_>], names: &[String]) -> Option<Vec<Vec<String>>> {
    let mut found = Vec::with_capacity(slots.len());
    for slot in slots {
        let layer = slot.owner.label.rsplit('/').next().unwrap_or_default();
        let fits = |name: &&String| last(name) == slot.name;
        let in_layer = |name: &&String| name.split('/').any(|part| part == layer);
        let candidates: Vec<&String> = names.iter().filter(fits).collect();
        let name = match candidates.as_slice() {
            [one] => *one,
            several => {
                let mut exact = several.iter().filter(|name| in_layer(name));
                let one = exact.next()?;
                exact.next().is_none().then_some(*one)?
            }
        };
        found.push(vec![name.clone()]);
    }
    Some(found)
}

/// Keras 1 kept kernel, recurrent kernel and bias of each gate.
fn by_gates(slots: &[Slot<'_>], names: &[String]) -> Option<Vec<Vec<String>>> {
    let mut rest = names;
    let mut found: Vec<Vec<String>> = Vec::with_capacity(slots.len());
    let mut position = 0;
    while let Some(slot) = slots.get(position) {
        let order: &[usize] = match slot.owner.old {
            // From input, cell, forget, output to input, forget, cell, output.
            Old::Lstm => &[0, 2, 1, 3],
            Old::Gru => &[0, 1, 2],
            _ => {
                let (first, others) = rest.split_first()?;
                found.push(vec![first.clone()]);
                rest = others;
                position += 1;
                continue;
            }
        };
        let parts = slot.owner.own.len();
        let (own, others) = rest.split_at_checked(parts * order.len())?;
        for part in 0..parts {
            found.push(order.iter().map(|gate| own[gate * parts + part].clone()).collect());
        }
        rest = others;
        position += parts;
    }
    (rest.is_empty() && found.len() == slots.len()).then_some(found)
}

/// A kernel of Keras 1 in today's order of axes.
fn modernized(weight: Weight, old: Old) -> Result<Weight, Fault> {
    let Old::Kernel { rank, channels_first, transposed } = old else { return Ok(weight) };
    match (rank, channels_first, transposed) {
        // Kernels over one axis were images of width 1.
        (1, ..) if weight.dims.len() == 4 => {
            let weight =
                if weight.dims[1] == 1 { weight } else { weight.transposed(&[2, 3, 1, 0])? };
            let dims = [weight.dims[0], weight.dims[2], weight.dims[3]];
            weight.reshaped(&dims)
        }
        (2, true, false) => weight.transposed(&[2, 3, 1, 0]),
        (2, true, true) => weight.transposed(&[2, 3, 0, 1]),
        (2, false, true) => weight.transposed(&[0, 1, 3, 2]),
        (3, true, false) => weight.transposed(&[2, 3, 4, 1, 0]),
        _ => Ok(weight),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn layer(label: &str) -> Variables {
        Variables {
            label: label.into(),
            path: label.into(),
            trainable: true,
            ..Variables::default()
        }
    }

    #[test]
    fn weights_in_another_order_are_found_by_name() {
        let model = layer("m")
            .with(layer("m/a").trained(&["kernel", "bias"]))
            .with(layer("m/b").trained(&["kernel"]));
        let found = names(&["b/kernel:0", "a/kernel:0", "a/bias:0", "b/StateVar:0"]);
        let assigned = assign(&model.legacy_order(), &found).unwrap();
        assert_eq!(assigned, [["a/kernel:0"], ["a/bias:0"], ["b/kernel:0"]]);
    }

    #[test]
    fn gates_of_old_recurrent_layers_are_joined() {
        let mut lstm = layer("l").trained(&["kernel", "recurrent_kernel", "bias"]);
        lstm.old = Old::Lstm;
        let found: Vec<String> = ["i", "c", "f", "o"]
            .iter()
            .flat_map(|gate| ["W", "U", "b"].map(|part| format!("lstm_1_{part}_{gate}")))
            .collect();
        let assigned = assign(&lstm.legacy_order(), &found).unwrap();
        assert_eq!(assigned[0], ["lstm_1_W_i", "lstm_1_W_f", "lstm_1_W_c", "lstm_1_W_o"]);
        assert_eq!(assigned[2], ["lstm_1_b_i", "lstm_1_b_f", "lstm_1_b_c", "lstm_1_b_o"]);
    }

    #[test]
    fn too_few_weights_are_not_guessed() {
        let dense = layer("d").trained(&["kernel", "bias"]);
        assert_eq!(assign(&dense.legacy_order(), &names(&["d/kernel:0"])), None);
    }
}
