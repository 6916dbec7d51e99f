//! A model in the form that pruning takes.

use modelyard_graph::{AttributeValue, Constant, Limits, Model, Names, inline, rewrite, weights};
use modelyard_tensor::Dim;

use crate::OptimizeError;

/// The same model, with what stands in the way of pruning out of it: functions are put in where they are
/// called, 16-bit weights are floats, constants are computed, sizes of pieces are stated. Answers stay the
/// same. What is pruned, masked or ranked is this model.
pub fn ready(model: &Model) -> Result<Model, OptimizeError> {
    crate::prune::refuse_quantized(model)?;
    let inlined = inline(model.clone());
    let mut model = inlined.map_err(|error| OptimizeError::Invalid(error.to_string()))?;
    weights::widen(&mut model);
    let mut model = rewrite::clean(model, &rewrite::Options::default());
    lift(&mut model);
    state_sizes(&mut model);
    Ok(model.verified(&Limits::default())?)
}

/// Tensors of `Constant` nodes become weights of the graph.
fn lift(model: &mut Model) {
    let graph = &mut model.graph;
    let outputs: Vec<String> = graph.outputs.iter().map(|output| output.name.clone()).collect();
    let mut lifted = Vec::new();
    graph.nodes.retain(|node| {
        let (Some(constant), Some(name)) = (node.tensor("value"), node.output(0)) else {
            return true;
        };
        if !node.is("Constant") || outputs.iter().any(|output| output == name) {
            return true;
        }
        lifted.push(Constant { name: name.to_owned(), ..constant.clone() });
        false
    });
    graph.value_info.retain(|value| !lifted.iter().any(|constant| constant.name == value.name));
    graph.initializers.extend(lifted);
}

/// Pieces of a `Split` that are equal, or the rest of what a number of them gives, get sizes.
fn state_sizes(model: &mut Model) {
    let Some(opset) = model.opset("") else { return };
    let types = model.types();
    let mut names = Names::of(model);
    let mut constants = Vec::new();
    for node in model.graph.nodes.iter_mut().filter(|node| node.is("Split")) {
        if node.ints("split").is_some() || node.input(1).is_some() {
            continue;
        }
        let axis = node.int("axis").unwrap_or(0);
        let size = |name: &String| {
            let dims = types.get(name)?.as_tensor()?.1?;
            let axis = if axis < 0 { axis + dims.len() as i64 } else { axis };
            match dims.get(usize::try_from(axis).ok()?)? {
                Dim::Fixed(size) => i64::try_from(*size).ok(),
                _ => None,
            }
        };
        let Some(sizes) = node.outputs.iter().map(size).collect::<Option<Vec<i64>>>() else {
            continue;
        };
        if opset < 13 {
            let split = modelyard_graph::Attribute {
                name: "split".into(),
                value: AttributeValue::Ints(sizes),
            };
            node.attributes.push(split);
            continue;
        }
        let name = names.unique(&format!("{}_sizes", node.label()));
        node.attributes.retain(|attribute| attribute.name != "num_outputs");
        node.inputs.truncate(1);
        node.inputs.push(name.clone());
        let bytes: Vec<u8> = sizes.iter().flat_map(|size| size.to_le_bytes()).collect();
        let dims = [sizes.len()];
        constants.push(Constant::raw(&name, modelyard_graph::ElementType::Int64, &dims, bytes));
    }
    model.graph.initializers.extend(constants);
}
