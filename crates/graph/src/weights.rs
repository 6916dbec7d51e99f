//! What weights are stored as: fewer bits in the file, the same arithmetic.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use half::{bf16, f16};

use crate::names::Names;
use crate::{Constant, ConstantData, ElementType, Model, Node};

/// A type with fewer bits than a float.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Narrow {
    /// 10 bits of fraction, up to 65504.
    Fp16,
    /// 7 bits of fraction, the range of a float.
    Bf16,
}

/// Weights with fewer elements stay as they are: they are shapes, scales and bounds.
const SMALLEST: usize = 64;

/// Stores the floats of the outermost graph's weights in fewer bits, a `Cast` behind each. Weights
/// that the type cannot hold, which become infinite, stay as they are.
///
/// Gives the number of weights that changed.
pub fn narrow(model: &mut Model, to: Narrow) -> usize {
    let mut names = Names::of(model);
    let graph = &mut model.graph;
    let outputs: HashSet<&str> = graph.outputs.iter().map(|value| value.name.as_str()).collect();
    let inputs: HashSet<&str> = graph.inputs.iter().map(|value| value.name.as_str()).collect();
    let mut casts = Vec::new();
    for constant in &mut graph.initializers {
        let name = constant.name.clone();
        if outputs.contains(name.as_str()) || inputs.contains(name.as_str()) {
            continue;
        }
        let Some(data) = narrowed(constant, to) else { continue };
        constant.name = names.unique(&format!("{name}/stored"));
        constant.element_type = match to {
            Narrow::Fp16 => ElementType::Float16,
            Narrow::Bf16 => ElementType::Bfloat16,
        };
        constant.data = ConstantData::Raw(data);
        let mut cast = Node::new("Cast", &[&constant.name], &[&name]);
        cast.name = names.unique(&format!("{name}/cast"));
        casts.push(cast.with("to", i64::from(ElementType::Float32.code())));
    }
    let changed = casts.len();
    graph.nodes.splice(0..0, casts);
    changed
}

fn narrowed(constant: &Constant, to: Narrow) -> Option<Bytes> {
    let large = constant.elements().is_some_and(|elements| elements >= SMALLEST);
    if constant.element_type != ElementType::Float32 || !large {
        return None;
    }
    let bytes = constant.bytes()?;
    let mut narrow = Vec::with_capacity(bytes.len() / 2);
    for &item in bytes.as_chunks().0 {
        let value = f32::from_le_bytes(item);
        let (bits, back) = match to {
            Narrow::Fp16 => (f16::from_f32(value).to_bits(), f16::from_f32(value).to_f32()),
            Narrow::Bf16 => (bf16::from_f32(value).to_bits(), bf16::from_f32(value).to_f32()),
        };
        if value.is_finite() && !back.is_finite() {
            return None;
        }
        narrow.extend(bits.to_le_bytes());
    }
    Some(narrow.into())
}

/// Stores weights of 16 bits that are only cast to floats as floats, without the `Cast`.
///
/// Gives the number of weights that changed.
pub fn widen(model: &mut Model) -> usize {
    let casts = casts_of_weights(model);
    let graph = &mut model.graph;
    let mut changed = 0;
    let mut gone = HashSet::new();
    for constant in &mut graph.initializers {
        let Some(target) = casts.get(&constant.name) else { continue };
        let Some(data) = widened(constant) else { continue };
        gone.insert(target.clone());
        constant.name.clone_from(target);
        constant.element_type = ElementType::Float32;
        constant.data = ConstantData::Raw(data);
        changed += 1;
    }
    graph.nodes.retain(|node| {
        !(node.is("Cast") && node.output(0).is_some_and(|name| gone.contains(name)))
    });
    graph.value_info.retain(|value| !gone.contains(&value.name));
    changed
}

/// Weights whose only use is one `Cast` to floats, with what that gives.
fn casts_of_weights(model: &Model) -> HashMap<String, String> {
    let mut uses: HashMap<&str, usize> = HashMap::new();
    let mut graphs = vec![&model.graph];
    while let Some(graph) = graphs.pop() {
        for name in graph.nodes.iter().flat_map(|node| &node.inputs) {
            *uses.entry(name).or_default() += 1;
        }
        for value in graph.inputs.iter().chain(&graph.outputs) {
            *uses.entry(&value.name).or_default() += 2;
        }
        graphs.extend(graph.nodes.iter().flat_map(Node::subgraphs));
    }
    let to_float = |node: &&Node| {
        node.is("Cast") && node.int("to") == Some(ElementType::Float32.code().into())
    };
    let nodes = model.graph.nodes.iter().filter(to_float);
    let pairs = nodes.filter_map(|node| Some((node.input(0)?, node.output(0)?)));
    let outputs: HashSet<&str> =
        model.graph.outputs.iter().map(|output| output.name.as_str()).collect();
    pairs
        .filter(|(weight, target)| uses.get(weight) == Some(&1) && !outputs.contains(target))
        .map(|(weight, target)| (weight.to_owned(), target.to_owned()))
        .collect()
}

fn widened(constant: &Constant) -> Option<Bytes> {
    let to_float: fn([u8; 2]) -> f32 = match constant.element_type {
        ElementType::Float16 => |item| f16::from_le_bytes(item).to_f32(),
        ElementType::Bfloat16 => |item| bf16::from_le_bytes(item).to_f32(),
        _ => return None,
    };
    let bytes = constant.bytes()?;
    let floats = bytes.as_chunks().0.iter().flat_map(|&item| to_float(item).to_le_bytes());
    Some(floats.collect::<Vec<u8>>().into())
}

#[cfg(test)]
mod tests {
    use modelyard_tensor::{DataType, Dim};

    use super::*;
    use crate::GraphBuilder;

    fn model(weights: &[f32]) -> Model {
        let dims = [Dim::Free, Dim::Fixed(weights.len())];
        GraphBuilder::new("g")
            .input("x", DataType::Fp32, &dims)
            .floats("w", &[weights.len()], weights)
            .floats("small", &[1], &[0.1])
            .node(Node::new("Mul", &["x", "w"], &["m"]))
            .node(Node::new("Add", &["m", "small"], &["y"]))
            .output("y", DataType::Fp32, &dims)
            .model()
            .check()
            .unwrap()
    }

    #[test]
    fn weights_go_to_16_bits_and_back() {
        for to in [Narrow::Fp16, Narrow::Bf16] {
            // Values that both types hold.
            let weights: Vec<f32> = (0..100).map(|index| index as f32 / 4.0).collect();
            let before = model(&weights);
            let mut changed = before.clone();
            assert_eq!(narrow(&mut changed, to), 1);
            let mut changed = changed.check().unwrap();
            let stored = changed.graph.initializer("w/stored").unwrap();
            assert_eq!(stored.byte_len(), Some(200));
            assert_eq!(widen(&mut changed), 1);
            assert_eq!(changed.check().unwrap(), before);
        }
    }

    #[test]
    fn weights_that_do_not_fit_stay() {
        let mut changed = model(&[70_000.0; 64]);
        assert_eq!(narrow(&mut changed, Narrow::Fp16), 0);
        assert_eq!(narrow(&mut changed, Narrow::Bf16), 1);
    }
}
