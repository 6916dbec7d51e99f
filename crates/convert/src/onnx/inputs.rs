//! What a model takes: weights do not belong there.

use std::collections::{BTreeMap, HashSet};

use modelyard_graph::{Model, ValueType};
use modelyard_tensor::Dim;

use crate::ConvertError;

/// The version of the format that no longer wants weights listed as inputs.
const UNLISTED: i64 = 4;

/// Takes weights off the list of inputs, where they are there because old versions of the format
/// want it, or because the exporter lists all of them. A default for an input, which a caller may
/// override, stays.
pub(super) fn unlist_weights(model: &mut Model, notes: &mut Vec<String>) {
    let weights: HashSet<String> =
        model.graph.initializers.iter().map(|weight| weight.name.clone()).collect();
    let inputs = &mut model.graph.inputs;
    let listed = inputs.iter().filter(|input| weights.contains(&input.name)).count();
    if listed == 0 {
        return;
    }
    if model.ir_version < UNLISTED || listed == weights.len() {
        inputs.retain(|input| !weights.contains(&input.name));
        model.ir_version = model.ir_version.max(UNLISTED);
        notes.push(format!("{listed} weights were listed as inputs, and are no more"));
        return;
    }
    let names: Vec<String> = inputs
        .iter()
        .filter(|input| weights.contains(&input.name))
        .map(|input| format!("'{}'", input.name))
        .collect();
    notes.push(format!("inputs with a default, which callers may override: {}", names.join(", ")));
}

/// Gives inputs the shapes that the caller knows better.
pub(super) fn set_shapes(
    model: &mut Model,
    shapes: &BTreeMap<String, Vec<Dim>>,
) -> Result<(), ConvertError> {
    if shapes.is_empty() {
        return Ok(());
    }
    for (name, wanted) in shapes {
        let inputs = &mut model.graph.inputs;
        let known: Vec<String> = inputs.iter().map(|input| input.name.clone()).collect();
        let Some(input) = inputs.iter_mut().find(|input| input.name == *name) else {
            let message =
                format!("expected a shape for one of {}, found '{name}'", known.join(", "));
            return Err(ConvertError::Option(message));
        };
        let ValueType::Tensor { dims, .. } = &mut input.value_type else {
            return Err(ConvertError::Option(format!("input '{name}' is no tensor")));
        };
        if let Some(dims) = dims
            && dims.len() != wanted.len()
        {
            return Err(ConvertError::Option(format!(
                "expected {} dimensions for input '{name}', found {}",
                dims.len(),
                wanted.len()
            )));
        }
        *dims = Some(wanted.clone());
    }
    // What the file says of the other values was said for the shapes before.
    model.graph.value_info.clear();
    for output in &mut model.graph.outputs {
        if let ValueType::Tensor { dims: Some(dims), .. } = &mut output.value_type {
            dims.iter_mut().for_each(|dim| *dim = Dim::Free);
        }
    }
    model.state_types();
    Ok(())
}

#[cfg(test)]
mod tests {
    use modelyard_graph::{GraphBuilder, Node};
    use modelyard_tensor::DataType;

    use super::*;

    fn model() -> Model {
        let dims = [Dim::Fixed(1), Dim::Fixed(2)];
        GraphBuilder::new("g")
            .input("x", DataType::Fp32, &dims)
            .input("w", DataType::Fp32, &[Dim::Fixed(2), Dim::Fixed(2)])
            .floats("w", &[2, 2], &[1.0; 4])
            .floats("b", &[2], &[1.0; 2])
            .node(Node::new("Gemm", &["x", "w", "b"], &["y"]))
            .output("y", DataType::Fp32, &dims)
            .model()
    }

    fn names(model: &Model) -> Vec<&str> {
        model.graph.inputs.iter().map(|input| input.name.as_str()).collect()
    }

    #[test]
    fn weights_of_old_files_are_no_inputs() {
        let mut model = model();
        model.ir_version = 3;
        unlist_weights(&mut model, &mut Vec::new());
        assert_eq!((names(&model), model.ir_version), (vec!["x"], 4));
    }

    #[test]
    fn an_input_with_a_default_stays() {
        let mut notes = Vec::new();
        let mut model = model();
        unlist_weights(&mut model, &mut notes);
        assert_eq!(names(&model), ["x", "w"]);
        assert!(notes[0].contains("'w'"), "{notes:?}");
    }

    #[test]
    fn weights_that_are_all_listed_are_no_inputs() {
        let mut model = model();
        model.graph.initializers.pop();
        unlist_weights(&mut model, &mut Vec::new());
        assert_eq!(names(&model), ["x"]);
    }

    #[test]
    fn the_callers_shape_is_followed_to_the_outputs() {
        let mut model = model();
        let batch = Dim::Symbol("batch".into());
        let shapes = BTreeMap::from([("x".to_owned(), vec![batch.clone(), Dim::Fixed(2)])]);
        set_shapes(&mut model, &shapes).unwrap();
        let dims = model.graph.outputs[0].value_type.as_tensor().unwrap().1.unwrap().to_vec();
        assert_eq!(dims, [batch, Dim::Fixed(2)]);
        let shapes = BTreeMap::from([("x".to_owned(), vec![Dim::Free])]);
        assert!(set_shapes(&mut model, &shapes).is_err());
    }
}
