//! What a manifest of the registry says of a model, and whether the model is that.

use modelyard_registry::{Manifest, Signature, Tensor};
use modelyard_serving::Labels;
use modelyard_tensor::{Signature as Found, TensorSpec};

use super::labels::fitting;
use crate::config::Place;
use crate::config::mistake::{Mistake, Mistakes};

/// What a model takes and gives, in the words of the Open Inference Protocol.
pub(crate) fn signature(found: &Found) -> Signature {
    let tensors = |specs: &[TensorSpec]| specs.iter().map(tensor).collect();
    Signature { inputs: tensors(&found.inputs), outputs: tensors(&found.outputs) }
}

fn tensor(spec: &TensorSpec) -> Tensor {
    Tensor {
        name: spec.name.clone(),
        datatype: spec.data_type.name().to_owned(),
        shape: spec.wire_shape(),
    }
}

/// Notes what a model takes or gives otherwise than its manifest says: whoever relied on the manifest
/// would be served something else.
pub(super) fn check_signature(
    stated: &Signature,
    found: &Found,
    place: &Place,
    mistakes: &mut Mistakes,
) {
    let found = signature(found);
    let sides =
        [("inputs", &stated.inputs, &found.inputs), ("outputs", &stated.outputs, &found.outputs)];
    for (what, stated, found) in sides.into_iter().filter(|(_, stated, found)| stated != found) {
        let message = format!(
            "the manifest disagrees with the model: it states the {what} {}, the model has {}",
            list(stated),
            list(found)
        );
        mistakes.push(Mistake::general(place.clone(), message));
    }
}

fn list(tensors: &[Tensor]) -> String {
    let tensor = |tensor: &Tensor| format!("{} {}{:?}", tensor.name, tensor.datatype, tensor.shape);
    tensors.iter().map(tensor).collect::<Vec<_>>().join(", ")
}

/// The class names that a manifest states, by output.
pub(super) fn labels(manifest: &Manifest, signature: &Found, mistakes: &mut Mistakes) -> Labels {
    let place = || Place::Registry(manifest.model.to_string());
    let named = |output: &TensorSpec| manifest.about.labels.get(&output.name).cloned();
    let outputs = signature.outputs.iter();
    outputs.map(|output| fitting(named(output)?, output, place(), mistakes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use modelyard_tensor::DataType;

    fn spec(name: &str, data_type: DataType) -> TensorSpec {
        TensorSpec { name: name.into(), data_type, dims: None }
    }

    #[test]
    fn a_model_that_is_not_what_its_manifest_says_is_named() {
        let found = Found {
            inputs: vec![spec("image", DataType::Fp32)],
            outputs: vec![spec("probabilities", DataType::Fp32)],
        };
        let mut stated = signature(&found);
        let noted = |stated: &Signature| {
            let mut mistakes = Mistakes::default();
            check_signature(stated, &found, &Place::Default, &mut mistakes);
            mistakes.line()
        };
        assert_eq!(noted(&stated), "");
        stated.outputs[0].datatype = "INT64".into();
        let line = noted(&stated);
        assert!(line.contains("the outputs probabilities INT64"), "{line}");
        assert!(line.contains("the model has probabilities FP32"), "{line}");
    }
}
