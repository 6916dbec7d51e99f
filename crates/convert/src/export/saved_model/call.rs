//! A node of the model, as its rule sees it.

use std::collections::HashMap;

use modelyard_graph::{Constant, ElementType, Node};
use modelyard_tensor::Dim;

use super::value::{Refusal, Tensor, Value, counted};
use super::writer::Writer;

/// A node with what is known of its inputs and outputs.
pub(super) struct Call<'a> {
    pub(super) node: &'a Node,
    /// By position; `None` where it is left out.
    pub(super) inputs: Vec<Option<Value>>,
    /// Dimensions of its outputs, as far as they are known.
    pub(super) outputs: Vec<Option<Vec<Dim>>>,
    /// The nodes that make values, by name.
    pub(super) makers: &'a HashMap<&'a str, &'a Node>,
    /// The nodes that take values, by name.
    pub(super) takers: &'a HashMap<&'a str, Vec<&'a Node>>,
    /// The constants of the model, by name.
    pub(super) constants: &'a HashMap<&'a str, &'a Constant>,
}

/// What a rule writes: the outputs of the node in their order.
pub(super) type Written = Result<Vec<Tensor>, Refusal>;

impl Call<'_> {
    /// The input of this number, which has to be there.
    pub(super) fn value(&self, index: usize) -> Result<&Value, Refusal> {
        self.optional(index).ok_or_else(|| {
            Refusal::new(format!("a node without input {index}"), "the model may be damaged")
        })
    }

    /// The input of this number, if it is there.
    pub(super) fn optional(&self, index: usize) -> Option<&Value> {
        self.inputs.get(index)?.as_ref()
    }

    /// What was written of the input of this number.
    pub(super) fn tensor(&self, writer: &mut Writer, index: usize) -> Result<Tensor, Refusal> {
        writer.tensor(self.value(index)?)
    }

    /// As [`Call::tensor`], if it is there.
    pub(super) fn optional_tensor(
        &self,
        writer: &mut Writer,
        index: usize,
    ) -> Result<Option<Tensor>, Refusal> {
        self.optional(index).map(|value| writer.tensor(value)).transpose()
    }

    pub(super) fn int(&self, name: &str, default: i64) -> i64 {
        self.node.int(name).unwrap_or(default)
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.int(name, 0) != 0
    }

    pub(super) fn float(&self, name: &str, default: f32) -> f64 {
        self.node.float(name).unwrap_or(default).into()
    }

    pub(super) fn text(&self, name: &str, default: &'static str) -> &str {
        self.node.string(name).unwrap_or(default)
    }

    /// Dimensions of the first output.
    pub(super) fn output_dims(&self) -> Option<&[Dim]> {
        self.outputs.first()?.as_deref()
    }

    /// The axis attribute of this name, counted from the front of the first input.
    pub(super) fn axis(&self, name: &str, default: i64) -> Result<usize, Refusal> {
        self.value(0)?.axis(self.int(name, default))
    }

    /// Integers that a constant input lists, or an attribute of older versions. `None` where there
    /// is neither.
    pub(super) fn list(&self, index: usize, name: &str) -> Result<Option<Vec<i64>>, Refusal> {
        if let Some(list) = self.node.ints(name) {
            return Ok(Some(list.to_vec()));
        }
        let Some(value) = self.optional(index) else { return Ok(None) };
        value.integers().map(Some).ok_or_else(|| {
            let way_out = "make it a constant (modelyard convert folds what follows from shapes)";
            Refusal::new(format!("{name} that are computed"), way_out)
        })
    }

    /// As [`Call::list`], as axes of the first input.
    pub(super) fn axes(&self, index: usize) -> Result<Option<Vec<usize>>, Refusal> {
        let Some(list) = self.list(index, "axes")? else { return Ok(None) };
        let rank = self.value(0)?.rank()?;
        let axes: Option<Vec<usize>> = list.iter().map(|&axis| counted(axis, rank)).collect();
        axes.map(Some).ok_or_else(|| {
            Refusal::new(format!("axes {list:?} of {rank}"), "the model may be damaged")
        })
    }

    /// The only number of a constant input; the default where it is left out.
    pub(super) fn number(&self, index: usize, default: f64) -> Result<f64, Refusal> {
        let Some(value) = self.optional(index) else { return Ok(default) };
        let constant = value.constant().filter(|constant| constant.elements() == Some(1));
        let constant = constant.ok_or_else(|| {
            Refusal::new(format!("'{}', which is no constant number", value.name), "make it one")
        })?;
        let numbers = super::constant::numbers(constant)?;
        Ok(numbers.first().copied().unwrap_or(default))
    }

    /// Whether all that takes the output is of this operator.
    pub(super) fn is_only_for(&self, operator: &str) -> bool {
        let takers = self.node.output(0).and_then(|name| self.takers.get(name));
        takers.is_some_and(|takers| takers.iter().all(|node| node.op_type == operator))
    }

    /// Whether no element of an input can be below 0, as far as its makers tell.
    pub(super) fn is_never_negative(&self, index: usize) -> bool {
        self.node.input(index).is_some_and(|name| self.counts(name, 8))
    }

    fn counts(&self, name: &str, depth: usize) -> bool {
        if let Some(constant) = self.constants.get(name) {
            let least = super::constant::numbers(constant);
            return least.is_ok_and(|numbers| numbers.iter().all(|&number| number >= 0.0));
        }
        let Some(node) = self.makers.get(name).filter(|_| depth > 0) else { return false };
        let given =
            |index: usize| node.input(index).is_some_and(|input| self.counts(input, depth - 1));
        match node.op_type.as_str() {
            "Shape" | "Size" | "ArgMax" | "ArgMin" | "NonZero" => true,
            "TopK" => node.output(1) == Some(name),
            "Range" => given(0) && given(2),
            "Cast" => {
                // What is cut to fewer bits may wrap.
                matches!(node.int("to"), Some(6 | 7)) && given(0)
            }
            "Reshape" | "Squeeze" | "Unsqueeze" | "Identity" | "Transpose" | "Slice" | "Expand"
            | "Tile" | "Gather" | "Flatten" => given(0),
            "Concat" | "Add" | "Mul" => (0..node.inputs.len()).all(given),
            _ => false,
        }
    }
}

/// Whether a type is one of floats.
pub(super) fn is_float(kind: ElementType) -> bool {
    matches!(
        kind,
        ElementType::Float16 | ElementType::Bfloat16 | ElementType::Float32 | ElementType::Float64
    )
}
