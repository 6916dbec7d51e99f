//! What the results of a call are in one world: by rules for operators that are costly to compute,
//! by computing the others on zeros of the right sizes. Where all that goes in is known, so is
//! what comes out.

use std::cell::Cell;
use std::collections::HashMap;

use modelyard_graph::ElementType;

use super::tensors::{Given, Outcome, outcome};
use super::value::{Number, NumberKind, Seen, Tensor, Value};
use crate::pytorch::arguments::Arguments;
use crate::pytorch::convert::Scalar;
use crate::pytorch::evaluate::{self, Strided};
use crate::pytorch::graph::{Argument, Node};
use crate::reference::Array;

/// One of the worlds.
#[derive(Clone, Copy)]
pub(super) struct World<'v> {
    pub(super) values: &'v HashMap<String, Value>,
    pub(super) world: usize,
    /// How many more elements may be made.
    pub(super) work: &'v Cell<u64>,
}

/// Why nothing is known of the results.
pub(super) struct Fault {
    pub(super) reason: String,
    pub(super) way_out: &'static str,
}

/// Operators whose results have sizes that depend on elements.
const DATA_DEPENDENT: [&str; 4] = ["nonzero", "masked_select", "unique", "bincount"];

/// Parameters that say sizes: numbers that depend on data cannot stand there.
const SIZES: [&str; 17] = [
    "size",
    "shape",
    "start",
    "end",
    "step",
    "repeats",
    "length",
    "split_size",
    "split_sizes",
    "output_size",
    "sizes",
    "n",
    "m",
    "steps",
    "k",
    "num_classes",
    "pad",
];

impl World<'_> {
    /// The results of a call.
    pub(super) fn outcomes(&self, node: &Node) -> Result<Vec<Outcome>, Fault> {
        if node.target == "aten.sym_size.int"
            && let Some(size) = self.size(node)
        {
            return Ok(vec![Outcome::Number(NumberKind::Int, Some(Scalar::Int(size)))]);
        }
        let values = node.arguments.iter().flat_map(|named| named.value.values());
        let values: Vec<&Value> = values.filter_map(|name| self.values.get(name)).collect();
        let is_known = values.iter().all(|value| match value {
            Value::Tensor(tensor) => tensor.known(self.world).is_some(),
            Value::Number(number) => number.worlds.is_some(),
            _ => true,
        });
        if !is_known {
            if let Some(shape) = self.rule(node) {
                let (element_type, dims) = shape;
                return Ok(vec![Outcome::Tensor(Seen { element_type, dims, known: None })]);
            }
            self.check(node)?;
        }
        let signature = super::resolve::signature(&node.target);
        self.afford(node, &Arguments::new(node, signature))?;
        let given = self.given(node)?;
        let results = evaluate::call(node, given).map_err(|error| Fault {
            reason: format!(
                "a call that PyTorch refuses, or the evaluation of this operator: {error}"
            ),
            way_out: "check the shapes and types of the inputs (--shape, --type)",
        })?;
        // A number is known only where it was computed from what is.
        Ok(results.into_iter().map(|result| outcome(result, is_known)).collect())
    }

    /// A size of a tensor, which is known whatever its elements are.
    fn size(&self, node: &Node) -> Option<i64> {
        let [own, axis] = node.arguments.as_slice() else { return None };
        let (_, dims) = self.shape(&own.value)?;
        let Argument::Int(axis) = axis.value else { return None };
        i64::try_from(*dims.get(usize::try_from(axis).ok()?)?).ok()
    }

    /// An error for sizes that depend on data.
    fn check(&self, node: &Node) -> Result<(), Fault> {
        let name = node.target.split('.').nth(1).unwrap_or_default();
        let data = Fault {
            reason: "a size that depends on data".into(),
            way_out: "write it with a mask of fixed size (torch.where), or export the model with \
                      torch.export.save",
        };
        if DATA_DEPENDENT.contains(&name) {
            return Err(data);
        }
        let parameters = super::resolve::parameters(&node.target);
        for (index, named) in node.arguments.iter().enumerate() {
            let parameter = match named.name.as_str() {
                "" => parameters.get(index).copied().unwrap_or_default(),
                name => name,
            };
            let depends = |name: &&str| match self.values.get(*name) {
                Some(Value::Number(number)) => number.worlds.is_none(),
                _ => false,
            };
            if SIZES.contains(&parameter) && named.value.values().iter().any(depends) {
                return Err(data);
            }
        }
        Ok(())
    }

    /// Values for the evaluator: what is known, zeros for the rest.
    fn given(&self, node: &Node) -> Result<Given, Fault> {
        let mut given = Given::new();
        for name in node.arguments.iter().flat_map(|named| named.value.values()) {
            if given.contains_key(name) {
                continue;
            }
            let value = match self.values.get(name) {
                Some(Value::Tensor(tensor)) => evaluate::Value::Tensor(self.tensor(tensor)?),
                Some(Value::Number(number)) => self.number(number),
                _ => continue,
            };
            given.insert(name.to_owned(), value);
        }
        Ok(given)
    }

    fn tensor(&self, tensor: &Tensor) -> Result<Strided, Fault> {
        if let Some(known) = tensor.known(self.world) {
            return Ok(known.clone());
        }
        let fault = |what: &dyn std::fmt::Display| Fault {
            reason: format!("a tensor that cannot be tried: {what}"),
            way_out: "give smaller sizes with --shape",
        };
        let seen = tensor.worlds.get(self.world).ok_or_else(|| fault(&tensor.name))?;
        let (element_type, dims) = (seen.element_type, seen.dims.as_slice());
        let elements = self.elements(dims)?;
        let zeros = Array::from_f64s(element_type, dims, vec![0.0; elements]);
        Ok(Strided::new(zeros.map_err(|error| fault(&error))?))
    }

    pub(super) fn number(&self, number: &Number) -> evaluate::Value {
        let known = number.worlds.as_ref().and_then(|worlds| worlds.get(self.world));
        match (known, number.kind) {
            (Some(Scalar::Int(value)), _) => evaluate::Value::Int(*value),
            (Some(Scalar::Float(value)), _) => evaluate::Value::Float(*value),
            (Some(Scalar::Bool(value)), _) => evaluate::Value::Bool(*value),
            (None, NumberKind::Int) => evaluate::Value::Int(1),
            (None, NumberKind::Float) => evaluate::Value::Float(1.0),
            (None, NumberKind::Bool) => evaluate::Value::Bool(true),
        }
    }

    /// Type and sizes of an argument that is a tensor.
    pub(super) fn shape(&self, argument: &Argument) -> Option<(ElementType, &[usize])> {
        let Argument::Value(name) = argument else { return None };
        match self.values.get(name)? {
            Value::Tensor(tensor) => {
                let seen = tensor.worlds.get(self.world)?;
                Some((seen.element_type, &seen.dims))
            }
            _ => None,
        }
    }
}
