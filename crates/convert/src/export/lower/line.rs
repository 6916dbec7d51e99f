//! Images of one dimension of space: as images of two, the first of one row.

use modelyard_graph::{AttributeValue, Node};

use super::super::graph::{Rewriting, node};

/// Operators of images that other frameworks have for two dimensions of space.
const OPERATORS: &[&str] = &["Conv", "ConvTranspose", "MaxPool", "AveragePool", "Resize"];

pub(super) fn rewrite(graph: &mut Rewriting, mut old: Node) -> Option<Node> {
    let rank = old.input(0).and_then(|input| graph.facts.rank(input));
    let is_line = old.domain.is_empty() && OPERATORS.contains(&old.op_type.as_str());
    if !is_line || rank != Some(3) || old.outputs.len() != 1 {
        return Some(old);
    }
    let axis = graph.integers("axis", &[2]);
    let wide = |graph: &mut Rewriting, name: &str| graph.add(node("Unsqueeze", &[name, &axis]));
    let output = old.output(0)?.to_owned();
    old.inputs[0] = wide(graph, &old.inputs[0]);
    if old.op_type == "Resize" {
        resize(graph, &mut old)?;
    } else {
        if old.op_type.starts_with("Conv")
            && let Some(weights) = old.input(1).map(str::to_owned)
        {
            old.inputs[1] = wide(graph, &weights);
        }
        old.attributes.iter_mut().for_each(|attribute| {
            if let AttributeValue::Ints(list) = &mut attribute.value {
                widen(&attribute.name, list);
            }
        });
    }
    let image = graph.add(Node { outputs: Vec::new(), name: String::new(), ..old });
    graph.add_as(node("Squeeze", &[&image, &axis]), &output);
    None
}

/// Adds what is stated of the new dimension.
fn widen(name: &str, list: &mut Vec<i64>) {
    match name {
        "kernel_shape" | "strides" | "dilations" => list.insert(0, 1),
        "output_padding" => list.insert(0, 0),
        "output_shape" => list.insert(list.len() - 1, 1),
        "pads" if list.len() == 2 => *list = vec![0, list[0], 0, list[1]],
        _ => {}
    }
}

/// Adds the scale or size of the new dimension.
fn resize(graph: &mut Rewriting, old: &mut Node) -> Option<()> {
    if old.ints("axes").is_some() {
        // Axes from the third on move by one.
        for attribute in old.attributes.iter_mut().filter(|one| one.name == "axes") {
            if let AttributeValue::Ints(list) = &mut attribute.value {
                list.iter_mut().filter(|axis| **axis >= 2).for_each(|axis| *axis += 1);
            }
        }
        return Some(());
    }
    for slot in [2, 3] {
        if old.input(slot).is_none() {
            continue;
        }
        let name = if slot == 2 {
            let scales = graph.facts.floats(old, slot)?;
            if scales.is_empty() {
                continue;
            }
            let scales = [scales.get(..2)?, &[1.0], scales.get(2..)?].concat();
            graph.floats("scales", &[scales.len()], &scales)
        } else {
            let sizes = graph.facts.integers(old, slot)?;
            let sizes = [sizes.get(..2)?, &[1], sizes.get(2..)?].concat();
            graph.integers("sizes", &sizes)
        };
        old.inputs[slot] = name;
    }
    Some(())
}
