//! Tests: each operator by itself, on what the interpreter's kernels took and gave.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use safetensors::SafeTensors;

use super::evaluate::Evaluation;
use super::model::Tensor;
use super::ops;
use super::quantization::Halves;
use crate::Limits;
use crate::input::Input;
use crate::reference::Array;

/// What one operator answers, beside what the kernel answered on the same inputs.
pub(crate) struct Compared {
    pub(crate) label: String,
    pub(crate) kind: String,
    /// How many elements there are, and how many of them differ.
    pub(crate) elements: usize,
    pub(crate) differing: usize,
    /// Largest difference, in steps of quantized tensors.
    pub(crate) largest: f64,
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Compared { label, kind, elements, differing, largest } = self;
        write!(f, "{kind} '{label}': {differing} of {elements} differ by up to {largest}")
    }
}

/// Runs each operator of the first graph on the tensors that `recorded` holds, by their numbers.
pub(crate) fn compared(model: &Path, recorded: &Path, halves: Halves) -> Vec<Compared> {
    let input = Input::memory("model", std::fs::read(model).unwrap());
    let model = super::parse::parse(&input, &Limits::default()).unwrap();
    let recorded = std::fs::read(recorded).unwrap();
    let recorded = SafeTensors::deserialize(&recorded).unwrap();
    let graph = &model.subgraphs[0];
    let read = |tensor: usize| {
        let found = recorded.tensor(&tensor.to_string()).ok()?;
        Some(array(&graph.tensors[tensor], found.shape(), found.data()))
    };
    let mut all = Vec::new();
    for op in &graph.operators {
        let mut variables = HashMap::new();
        let mut evaluation = Evaluation::new(&model, graph, &mut variables);
        evaluation.halves = halves;
        for tensor in op.inputs.iter().flatten().copied() {
            if !model.is_constant(&graph.tensors[tensor]) {
                evaluation.give(tensor, read(tensor).unwrap()).unwrap();
            }
        }
        let entry = ops::find(op).unwrap();
        (entry.evaluate)(&mut evaluation, op).unwrap();
        let output = op.outputs[0];
        let found = evaluation.raw(output).unwrap().to_f64s().unwrap();
        let expected = read(output).unwrap().to_f64s().unwrap();
        assert_eq!(found.len(), expected.len(), "{}", op.label(graph));
        let apart: Vec<f64> =
            found.iter().zip(&expected).map(|(one, two)| (one - two).abs()).collect();
        all.push(Compared {
            label: op.label(graph),
            kind: op.kind.clone(),
            elements: apart.len(),
            differing: apart.iter().filter(|&&apart| apart > 0.0).count(),
            largest: apart.iter().copied().fold(0.0, f64::max),
        });
    }
    all
}

/// What is recorded of a tensor.
fn array(tensor: &Tensor, dims: &[usize], bytes: &[u8]) -> Array {
    let element_type = tensor.element_type.unwrap();
    // Scalars are recorded as lists of one.
    let is_same = dims.iter().product::<usize>() == tensor.shape.iter().product::<usize>();
    let dims = if is_same { &tensor.shape } else { dims };
    let constant = modelyard_graph::Constant::raw("recorded", element_type, dims, bytes.to_vec());
    Array::from_constant(&constant).unwrap()
}

/// Which operators the network of the fixture has.
const KINDS: &[&str] = &[
    "ADD",
    "AVERAGE_POOL_2D",
    "CONCATENATION",
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "FULLY_CONNECTED",
    "HARD_SWISH",
    "LEAKY_RELU",
    "LOGISTIC",
    "MAX_POOL_2D",
    "MEAN",
    "MUL",
    "PAD",
    "QUANTIZE",
    "RELU",
    "RESIZE_BILINEAR",
    "SOFTMAX",
    "SUB",
    "TANH",
];

#[test]
fn quantized_operators_answer_to_the_step_as_the_kernels_do() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tflite");
    for (kernels, halves) in [("reference", Halves::AwayFromZero), ("optimized", Halves::Up)] {
        let recorded = folder.join(format!("kernels.{kernels}.safetensors"));
        let found = compared(&folder.join("kernels.tflite"), &recorded, halves);
        for kind in KINDS {
            assert!(found.iter().any(|one| one.kind == *kind), "{kind} is missing");
        }
        let differing: Vec<&Compared> = found.iter().filter(|one| one.differing > 0).collect();
        let text: Vec<String> = differing.iter().map(|one| one.to_string()).collect();
        assert!(text.is_empty(), "{kernels} kernels: {text:#?}");
    }
}
