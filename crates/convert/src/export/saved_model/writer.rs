//! A graph of TensorFlow that is being written, node by node.

use std::collections::{HashMap, HashSet};

use modelyard_graph::{Constant, ElementType};

use super::constant;
use super::op::Op;
use super::value::{Refusal, Source, Tensor, Value};
use crate::tensorflow::proto::NodeDef;

/// Nodes by unique names.
#[derive(Default)]
pub(super) struct Writer {
    pub(super) nodes: Vec<NodeDef>,
    taken: HashSet<String>,
    /// How often a base of a name was asked for.
    counts: HashMap<String, usize>,
    /// What nodes are named after.
    label: String,
    /// Constants of the model that are written, by their names.
    constants: HashMap<String, Tensor>,
}

impl Writer {
    /// What follows belongs to this node of the model.
    pub(super) fn begin(&mut self, label: &str) {
        self.label = sanitized(label);
    }

    /// Adds an operator with one output.
    pub(super) fn add(&mut self, op: Op, element_type: ElementType) -> Tensor {
        let port = self.push(op, None);
        Tensor { port, element_type }
    }

    /// Adds an operator with several outputs of these types.
    pub(super) fn add_many(&mut self, op: Op, types: &[ElementType]) -> Vec<Tensor> {
        let name = self.push(op, None);
        let port = |index: usize| match index {
            0 => name.clone(),
            index => format!("{name}:{index}"),
        };
        let tensor = |(index, &element_type)| Tensor { port: port(index), element_type };
        types.iter().enumerate().map(tensor).collect()
    }

    /// Adds an operator under a name of its own, outside of the current label.
    pub(super) fn add_as(&mut self, name: &str, op: Op, element_type: ElementType) -> Tensor {
        let port = self.push(op, Some(name));
        Tensor { port, element_type }
    }

    fn push(&mut self, op: Op, name: Option<&str>) -> String {
        let base = match name {
            Some(name) => sanitized(name),
            None if self.label.is_empty() => op.0.op.clone(),
            None => format!("{}/{}", self.label, op.0.op),
        };
        let name = self.unique(&base);
        self.nodes.push(NodeDef { name: name.clone(), ..op.0 });
        name
    }

    /// A name that is not taken, which begins like `base`. Names that differ only in case are the
    /// same: some of TensorFlow's tools make files of them.
    pub(super) fn unique(&mut self, base: &str) -> String {
        let count = self.counts.entry(base.to_owned()).or_insert(0);
        loop {
            let name = if *count == 0 { base.to_owned() } else { format!("{base}_{}", *count) };
            *count += 1;
            if self.taken.insert(name.to_lowercase()) {
                return name;
            }
        }
    }

    /// The tensor of a value; a constant is written when it is asked for first.
    pub(super) fn tensor(&mut self, value: &Value) -> Result<Tensor, Refusal> {
        match &value.source {
            Source::Written(tensor) => Ok(tensor.clone()),
            Source::Missing => {
                Ok(Tensor { port: "missing".into(), element_type: value.element_type })
            }
            Source::Constant(constant) => {
                if let Some(written) = self.constants.get(&value.name) {
                    return Ok(written.clone());
                }
                let op = constant_op(constant)?;
                let written = self.add_as(&value.name, op, constant.element_type);
                self.constants.insert(value.name.clone(), written.clone());
                Ok(written)
            }
        }
    }

    /// Adds a constant that was made on the way; it is named after the current label.
    pub(super) fn constant(&mut self, constant: &Constant) -> Result<Tensor, Refusal> {
        let name = match self.label.is_empty() {
            true => constant.name.clone(),
            false => format!("{}/{}", self.label, constant.name),
        };
        let op = constant_op(constant)?;
        Ok(self.add_as(&name, op, constant.element_type))
    }
}

fn constant_op(constant: &Constant) -> Result<Op, Refusal> {
    let tensor = constant::tensor(constant)?;
    Ok(Op::new("Const").kind("dtype", constant.element_type).tensor("value", tensor))
}

/// A name as TensorFlow allows it: `[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*`.
pub(super) fn sanitized(name: &str) -> String {
    let allowed = |letter: char| match letter {
        letter if letter.is_ascii_alphanumeric() => letter,
        '_' | '.' | '/' | '-' => letter,
        _ => '_',
    };
    let name: String = name.trim_matches('/').chars().map(allowed).collect();
    match name.chars().next() {
        Some(first) if first.is_ascii_alphanumeric() => name,
        _ => format!("x{name}"),
    }
}
