//! Inputs and outputs as `config.pbtxt` declares them, and whether the ONNX file agrees.

use modelyard_tensor::{DataType, Dim, Signature, TensorSpec};

use super::fields::{Named, Notes, Schema};
use super::{Declared, TritonConfig};
use crate::config::mistake::{Mistake, Mistakes};

const TENSOR: Schema = Schema {
    single: &["name", "data_type", "format", "reshape", "label_filename"],
    repeated: &["dims"],
    unused: &["is_shape_tensor", "allow_ragged_batch", "optional", "is_non_linear_format_io"],
};
const RESHAPE: Schema = Schema { single: &[], repeated: &["shape"], unused: &[] };

/// One `input` or `output`.
pub(super) fn declared(field: &Named<'_>, notes: &mut Notes<'_>) -> Option<Declared> {
    let message = field.message(notes)?;
    let place = notes.place(field.field.line);
    let mut tensor = Declared {
        name: String::new(),
        data_type: None,
        dims: Vec::new(),
        label_filename: None,
        place,
    };
    let mut reshaped = None;
    for field in TENSOR.fields(message, &field.path, notes) {
        match field.field.name.as_str() {
            "name" => tensor.name = field.text(notes)?,
            "dims" => tensor.dims.push(field.integer(notes)?),
            "label_filename" => {
                // The JSON form says nothing as an empty text.
                tensor.label_filename = field.text(notes).filter(|name| !name.is_empty());
            }
            "data_type" => tensor.data_type = data_type(&field, notes),
            "reshape" => {
                notes.unused(&field, "");
                let shape = RESHAPE.fields(field.message(notes)?, &field.path, notes);
                reshaped = shape.iter().map(|size| size.integer(notes)).collect();
            }
            // `format` describes pictures; the tensor is what it is.
            _ => {}
        }
    }
    tensor.dims = reshaped.unwrap_or(tensor.dims);
    Some(tensor)
}

fn data_type(field: &Named<'_>, notes: &mut Notes<'_>) -> Option<DataType> {
    let name = field.word(notes)?.strip_prefix("TYPE_").unwrap_or_default();
    let name = if name == "STRING" { "BYTES" } else { name };
    let found = name.parse().ok();
    if found.is_none() {
        notes.wrong(field, "a tensor type such as TYPE_FP32");
    }
    found
}

/// Notes where the declaration and the ONNX file disagree, naming both.
pub(crate) fn check_signature(
    config: &TritonConfig,
    signature: &Signature,
    mistakes: &mut Mistakes,
) {
    let sides = [
        ("input", &config.inputs, &signature.inputs),
        ("output", &config.outputs, &signature.outputs),
    ];
    for (what, declared, actual) in sides {
        for tensor in declared {
            let found = actual.iter().find(|spec| spec.name == tensor.name);
            let problem = match found {
                Some(spec) => disagreement(tensor, spec, config.max_batch_size),
                None => {
                    let names: Vec<&str> = actual.iter().map(|spec| spec.name.as_str()).collect();
                    Some(format!("the model has no such {what}, only {}", names.join(", ")))
                }
            };
            if let Some(problem) = problem {
                let message = format!("{what} '{}': {problem}", tensor.name);
                mistakes.push(Mistake::general(tensor.place.clone(), message));
            }
        }
    }
    let Some(first) = config.inputs.first() else { return };
    for spec in &signature.inputs {
        if !config.inputs.iter().any(|tensor| tensor.name == spec.name) {
            let message = format!("the model's input '{}' is not declared", spec.name);
            mistakes.push(Mistake::general(first.place.clone(), message));
        }
    }
}

fn disagreement(
    tensor: &Declared,
    spec: &TensorSpec,
    max_batch_size: Option<u64>,
) -> Option<String> {
    if let Some(declared) = tensor.data_type
        && declared != spec.data_type
    {
        return Some(format!("declared as {declared}, the model has {}", spec.data_type));
    }
    // No dimensions at all means that they are not declared.
    let dims = spec.dims.as_ref().filter(|_| !tensor.dims.is_empty())?;
    let without = fits(&tensor.dims, dims);
    let with =
        dims.split_first().is_some_and(|(first, rest)| first.is_free() && fits(&tensor.dims, rest));
    let (agrees, batch) = match max_batch_size {
        Some(0) => (without, ""),
        Some(_) => (with, " after a batch dimension (max_batch_size is above 0)"),
        None => (with || without, ""),
    };
    (!agrees).then(|| {
        format!("declared as {:?}{batch}, the model has {}", tensor.dims, spec.shape_text())
    })
}

/// Whether declared dimensions are those of the model, or fix what the model leaves free.
fn fits(declared: &[i64], dims: &[Dim]) -> bool {
    declared.len() == dims.len()
        && declared.iter().zip(dims).all(|(declared, dim)| match dim {
            Dim::Fixed(size) => usize::try_from(*declared) == Ok(*size),
            Dim::Symbol(_) | Dim::Free => true,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// A model `x: FP32[n,784]` → `y: FP32[n,10]`.
    fn signature() -> Signature {
        let spec = |name: &str, size| TensorSpec {
            name: name.into(),
            data_type: DataType::Fp32,
            dims: Some(vec![Dim::Symbol("n".into()), Dim::Fixed(size)]),
        };
        Signature { inputs: vec![spec("x", 784)], outputs: vec![spec("y", 10)] }
    }

    fn check(text: &str) -> Vec<String> {
        let mut mistakes = Mistakes::default();
        let config = TritonConfig::parse(text, Path::new("c"), &mut mistakes);
        check_signature(&config, &signature(), &mut mistakes);
        mistakes.0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn declarations_that_agree() {
        for text in [
            "",
            "max_batch_size: 8 input { name: 'x' data_type: TYPE_FP32 dims: 784 }",
            "max_batch_size: 0 input { name: 'x' dims: [-1, 784] }",
            "max_batch_size: 0 input { name: 'x' dims: [1, 784] }",
            "input { name: 'x' dims: [784] }",
            "output { name: 'y' dims: [-1, 10] }",
        ] {
            assert_eq!(check(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn disagreements_name_both_sides() {
        let cases = [
            (
                "input { name: 'x' data_type: TYPE_INT64 dims: 784 }",
                "c:1: input 'x': declared as INT64, the model has FP32",
            ),
            (
                "max_batch_size: 8 input { name: 'x' dims: [-1, 784] }",
                "c:1: input 'x': declared as [-1, 784] after a batch dimension (max_batch_size is \
                 above 0), the model has [n,784]",
            ),
            (
                "output { name: 'y' dims: [11] }",
                "c:1: output 'y': declared as [11], the model has [n,10]",
            ),
            ("output { name: 'z' }", "c:1: output 'z': the model has no such output, only y"),
        ];
        for (text, expected) in cases {
            assert_eq!(check(text), [expected], "{text}");
        }
        assert_eq!(
            check("input { name: 'X' dims: [784] }"),
            [
                "c:1: input 'X': the model has no such input, only x",
                "c:1: the model's input 'x' is not declared"
            ]
        );
    }
}
