//! What rten answers wrongly, and [`super::amend`] cannot make right; what it cannot hold.
//!
//! Found by the conformance suite and by reading rten 0.27. What follows is not refused, because
//! no file tells, and is part of the engine's contract instead:
//! * Integers inside a model have 32 bits. Constants and inputs that do not fit are refused; a
//!   product or sum that outgrows them wraps.
//! * Relu and Clip turn NaN into a bound. Inputs that are not finite are refused, and NaN that comes
//!   up inside is kept (`amend::nan`); an `f32` that outgrows its range inside is not noticed.
//!   ArgMin, TopK and QuantizeLinear, for which ONNX says nothing of NaN, answer otherwise than
//!   ONNX Runtime.
//! * `FP64` and `FP16` inside a model are computed in `f32`.
//! * A MatMul by a vector is refused where ranks are known. Where they are not, an output whose
//!   rank is not the signature's fails the call.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use modelyard_graph::{Constant, ElementType, Kind, Model, Node};

use super::{border, integers, sizes};
use crate::Refusal;

/// The operator sets that rten's operators mean: the newest is what onnx 1.23 defines, whose node
/// tests are the conformance suite.
const OPSETS: RangeInclusive<i64> = 7..=28;
/// The versions of the file format, likewise.
const IR_VERSIONS: RangeInclusive<i64> = 3..=14;

/// What stands against loading `model`.
pub(super) fn refusals(model: &Model) -> Vec<Refusal> {
    let mut refusals = datatypes(model);
    refusals.extend(versions(model));
    let kinds = if model.nodes().any(needs_kinds) { model.kinds() } else { HashMap::new() };
    let wrong = |node: &Node| Some(Refusal::new(node, reason(model, &kinds, node)?));
    refusals.extend(model.nodes().filter_map(wrong));
    refusals.extend(integers::refusals(model));
    refusals.extend(sizes::refusals(model));
    refusals
}

/// Versions of the format and of the operators that rten was not tested with. It would take them
/// for those it knows.
fn versions(model: &Model) -> impl Iterator<Item = Refusal> {
    let known = |what: &str, found: i64, known: RangeInclusive<i64>| {
        let (oldest, newest) = (known.start(), known.end());
        (!known.contains(&found)).then(|| Refusal {
            operator: "model".to_owned(),
            node: model.graph.name.clone(),
            reason: format!(
                "it has {what} {found}, and rten is known to run {oldest} to {newest}; export it \
                 for one of these, or use engine 'onnxruntime'"
            ),
        })
    };
    let opset = model.opset("").and_then(|opset| known("opset", opset, OPSETS));
    opset.into_iter().chain(known("IR version", model.ir_version, IR_VERSIONS))
}

/// Inputs and outputs whose datatype rten cannot hold.
fn datatypes(model: &Model) -> Vec<Refusal> {
    let Ok(signature) = model.signature() else { return Vec::new() };
    let role = |role: &'static str| move |spec| (role, spec);
    let inputs = signature.inputs.iter().map(role("input"));
    inputs
        .chain(signature.outputs.iter().map(role("output")))
        .filter(|(_, spec)| border::inner(spec.data_type).is_none())
        .map(|(role, spec)| Refusal {
            operator: role.to_owned(),
            node: spec.name.clone(),
            reason: format!("has datatype {}, which rten has not", spec.data_type),
        })
        .collect()
}

fn needs_kinds(node: &Node) -> bool {
    ["MatMul", "ReduceMax", "ReduceMin", "CastLike", "BitCast"]
        .iter()
        .any(|op_type| node.is(op_type))
}

/// What rten does wrongly at this node.
fn reason(model: &Model, kinds: &HashMap<String, Kind>, node: &Node) -> Option<&'static str> {
    if !node.domain.is_empty() {
        return None;
    }
    let kind = |index| node.input(index).and_then(|name| kinds.get(name));
    let is_bool =
        |index| kind(index).is_some_and(|kind: &Kind| kind.element_type == ElementType::Bool);
    match node.op_type.as_str() {
        "NonMaxSuppression" => Some("mixes up classes and batches, and flipped boxes"),
        "Resize" => resize(model, node),
        "MatMul" => {
            let by_vector = kind(1).is_some_and(|kind| kind.rank == 1);
            let of_many = kind(0).is_none_or(|kind| kind.rank > 2);
            (by_vector && of_many).then_some("keeps a dimension when multiplying by a vector")
        }
        "BitCast" => {
            let to = node.int("to");
            let same =
                [ElementType::Float32, ElementType::Int32, ElementType::Int8, ElementType::Uint8];
            let held = same.iter().any(|kind| to == Some(kind.code().into()));
            (!held || is_bool(0)).then_some("has these bits in another datatype")
        }
        "ReduceMax" | "ReduceMin" if is_bool(0) => Some("is not right for BOOL"),
        "CastLike" if is_bool(1) => Some("does not turn numbers into BOOL"),
        _ => None,
    }
}

fn resize(model: &Model, node: &Node) -> Option<&'static str> {
    let mode = node.string("mode").unwrap_or("nearest");
    if mode == "cubic" {
        return Some("interpolates linearly instead of cubically");
    }
    let corners = node.string("coordinate_transformation_mode") == Some("align_corners");
    let scales = node.input(2)?;
    let whole = model.graph.initializer(scales).and_then(whole_numbers).unwrap_or(false);
    (mode == "linear" && corners && !whole)
        .then_some("rounds the output size before it aligns corners")
}

/// Whether all elements of a list of floats are integers.
fn whole_numbers(constant: &Constant) -> Option<bool> {
    let bytes = constant.bytes()?;
    let mut values = bytes.as_chunks().0.iter().map(|&value| f32::from_le_bytes(value));
    Some(values.all(|value| value.fract() == 0.0))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, graph};
    use super::*;
    use modelyard_graph::GraphBuilder;
    use modelyard_tensor::{DataType, Dim};

    fn check(builder: GraphBuilder, expected: &[&str]) {
        testing::check(refusals, builder, expected);
    }

    fn resize(mode: &str, corners: &str, scales: &[f32]) -> GraphBuilder {
        let node = Node::new("Resize", &["x", "", "scales"], &["y"])
            .with("mode", mode)
            .with("coordinate_transformation_mode", corners);
        graph("x", DataType::Fp32, 4)
            .output("y", DataType::Fp32, &vec![Dim::Free; 4])
            .floats("scales", &[4], scales)
            .node(node)
    }

    #[test]
    fn resize_is_refused_where_it_is_wrong() {
        check(resize("cubic", "half_pixel", &[1., 1., 2., 2.]), &["Resize_y"]);
        check(resize("linear", "align_corners", &[1., 1., 0.6, 0.6]), &["Resize_y"]);
        check(resize("linear", "align_corners", &[1., 1., 2., 2.]), &[]);
        check(resize("linear", "half_pixel", &[1., 1., 0.6, 0.6]), &[]);
    }

    #[test]
    fn a_product_with_a_vector_is_refused() {
        let matmul = |rank: usize| {
            graph("a", DataType::Fp32, rank)
                .floats("b", &[2], &[1.0, 2.0])
                .output("y", DataType::Fp32, &vec![Dim::Free; rank - 1])
                .node(Node::new("MatMul", &["a", "b"], &["y"]))
        };
        check(matmul(3), &["MatMul_y"]);
        check(matmul(2), &[]);
    }

    /// rten took opset 999 silently where ONNX Runtime refuses it.
    #[test]
    fn versions_of_the_future_are_refused() {
        let identity = graph("x", DataType::Fp32, 1)
            .output("y", DataType::Fp32, &[Dim::Free])
            .node(Node::new("Identity", &["x"], &["y"]));
        let model = identity.model();
        let reasons = |model: Model| -> Vec<String> {
            refusals(&model).into_iter().map(|refusal| refusal.reason).collect()
        };
        for (opset, expected) in [(6, false), (7, true), (28, true), (29, false), (999, false)] {
            let reasons = reasons(model.clone().with_opset("", opset));
            assert_eq!(reasons.is_empty(), expected, "{opset}: {reasons:?}");
        }
        let mut model = model;
        model.ir_version = 99;
        let reasons = reasons(model);
        assert!(reasons[0].starts_with("it has IR version 99, and rten is known to run 3 to 14"));
    }

    #[test]
    fn datatypes_that_rten_lacks_are_refused() {
        let identity = graph("x", DataType::Uint64, 1)
            .output("y", DataType::Uint64, &[Dim::Free])
            .node(Node::new("Identity", &["x"], &["y"]));
        check(identity, &["x", "y"]);
    }
}
