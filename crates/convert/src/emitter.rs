//! Writes an ONNX graph node by node, and keeps where each node comes from.
//!
//! Nodes are written as operator set 18 has them, in forms that stay valid up to 21; a source that
//! needs a later operator says so with [`Emitter::require`].

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use modelyard_graph::{Constant, ElementType, Graph, Model, Node, Value, ValueType};
use modelyard_tensor::Dim;

use crate::{ConvertError, Missing, Step};

/// Version of ONNX's operators that graphs are written in.
const OPSET: i64 = 18;

/// Version of the file format that goes with it.
const IR_VERSION: i64 = 8;

/// A graph that is being written. Values are known by their names, which are unique.
#[derive(Debug)]
pub(crate) struct Emitter {
    graph: Graph,
    taken: HashSet<String>,
    /// How often a base of a name was asked for.
    counts: HashMap<String, usize>,
    opsets: BTreeMap<String, i64>,
    steps: Vec<Step>,
    missing: Vec<Missing>,
}

impl Emitter {
    /// An empty graph of this name.
    pub(crate) fn new(name: &str) -> Emitter {
        Emitter {
            graph: Graph { name: name.into(), ..Graph::default() },
            taken: HashSet::new(),
            counts: HashMap::new(),
            opsets: BTreeMap::from([(String::new(), OPSET)]),
            steps: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// Adds an input of the model. The name is kept as it is.
    pub(crate) fn input(
        &mut self,
        name: &str,
        element_type: ElementType,
        dims: Option<&[Dim]>,
    ) -> String {
        self.taken.insert(name.to_owned());
        let value_type = ValueType::Tensor { element_type, dims: dims.map(<[_]>::to_vec) };
        self.graph.inputs.push(Value { name: name.into(), value_type });
        name.to_owned()
    }

    /// Keeps a name for an output, so that no value between takes it. To be called for all outputs
    /// before the first node.
    pub(crate) fn reserve(&mut self, name: &str) {
        self.taken.insert(name.to_owned());
    }

    /// Adds an output of the model: `value` under this name. The name is kept as it is.
    pub(crate) fn output(
        &mut self,
        name: &str,
        value: &str,
        element_type: ElementType,
        dims: Option<&[Dim]>,
    ) {
        if name != value {
            self.taken.insert(name.to_owned());
            self.graph.nodes.push(Node::new("Identity", &[value], &[name]));
        }
        let value_type = ValueType::Tensor { element_type, dims: dims.map(<[_]>::to_vec) };
        self.graph.outputs.push(Value { name: name.into(), value_type });
    }

    /// What follows belongs to this node or layer of the source.
    pub(crate) fn begin(&mut self, label: &str, operator: &str) {
        let (label, operator) = (label.to_owned(), operator.to_owned());
        self.steps.push(Step { label, operator, nodes: Vec::new() });
    }

    /// The node or layer that nodes belong to now.
    fn label(&self) -> &str {
        self.steps.last().map_or("", |step| &step.label)
    }

    /// Notes that something of the current node or layer has no conversion. Emitting goes on, so
    /// that all that is missing is found.
    pub(crate) fn refuse(&mut self, reason: impl Into<String>, way_out: impl Into<String>) {
        let (place, operator) = match self.steps.last() {
            Some(step) => (step.label.clone(), step.operator.clone()),
            None => (String::new(), "the model".into()),
        };
        let (reason, way_out) = (reason.into(), way_out.into());
        self.missing.push(Missing { operator, place, reason, way_out });
    }

    /// The graph needs at least this version of the operators of a domain.
    pub(crate) fn require(&mut self, domain: &str, version: i64) {
        let opset = self.opsets.entry(domain.to_owned()).or_insert(version);
        *opset = version.max(*opset);
    }

    /// A name that is not taken, which begins like `base`.
    pub(crate) fn unique(&mut self, base: &str) -> String {
        let count = self.counts.entry(base.to_owned()).or_insert(0);
        loop {
            let name = if *count == 0 { base.to_owned() } else { format!("{base}_{}", *count) };
            *count += 1;
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
    }

    /// Adds a constant; its name is made unique from the name it has, below the current label.
    pub(crate) fn constant(&mut self, mut constant: Constant) -> String {
        let base = self.below_label(&constant.name);
        constant.name = self.unique(&base);
        let name = constant.name.clone();
        self.graph.initializers.push(constant);
        name
    }

    /// Adds a weight under the name that it has in the source.
    pub(crate) fn weight(&mut self, mut constant: Constant) -> String {
        constant.name = self.unique(&constant.name);
        let name = constant.name.clone();
        self.graph.initializers.push(constant);
        name
    }

    /// Adds a constant of floats.
    pub(crate) fn floats(&mut self, name: &str, dims: &[usize], values: &[f32]) -> String {
        self.constant(Constant::floats(name, dims, values))
    }

    /// Adds a float without dimensions.
    pub(crate) fn scalar(&mut self, name: &str, value: f32) -> String {
        self.floats(name, &[], &[value])
    }

    /// Adds a list of 64-bit integers: axes, sizes, indices.
    pub(crate) fn integers(&mut self, name: &str, values: &[i64]) -> String {
        self.constant(integers(name, &[values.len()], values))
    }

    /// Adds a 64-bit integer without dimensions.
    pub(crate) fn integer(&mut self, name: &str, value: i64) -> String {
        self.constant(integers(name, &[], &[value]))
    }

    /// Adds a node with one output, and gives the name of that.
    ///
    /// `node` comes without outputs, as [`node`] makes it; it is named after the current label.
    pub(crate) fn add(&mut self, node: Node) -> String {
        let name = self.unique(&self.below_label(&node.op_type));
        self.push(node, vec![name.clone()]);
        name
    }

    /// Adds a node with several outputs, and gives their names.
    pub(crate) fn add_many(&mut self, node: Node, outputs: usize) -> Vec<String> {
        let base = self.below_label(&node.op_type);
        let names: Vec<String> =
            (0..outputs).map(|index| self.unique(&format!("{base}.{index}"))).collect();
        self.push(node, names.clone());
        names
    }

    fn push(&mut self, mut node: Node, outputs: Vec<String>) {
        node.name = self.unique(&format!("{}/node", outputs.first().map_or("", String::as_str)));
        node.outputs = outputs;
        if let Some(step) = self.steps.last_mut() {
            step.nodes.push(node.operator());
        }
        self.graph.nodes.push(node);
    }

    fn below_label(&self, name: &str) -> String {
        match self.label() {
            "" => name.to_owned(),
            label => format!("{label}/{name}"),
        }
    }

    /// Begins the graph inside a node (`If`, `Loop`): what is written until [`Emitter::end_inner`]
    /// goes into it, and may use values of the graph around it.
    pub(crate) fn begin_inner(&mut self, name: &str) -> Graph {
        let inner = Graph { name: name.into(), ..Graph::default() };
        std::mem::replace(&mut self.graph, inner)
    }

    /// Ends an inner graph: gives it, and goes on with the one that [`Emitter::begin_inner`] gave.
    /// Its inputs and outputs are added like those of the model.
    pub(crate) fn end_inner(&mut self, around: Graph) -> Graph {
        std::mem::replace(&mut self.graph, around)
    }

    /// The model, not yet verified, and what became of each node of the source; an error when
    /// something was refused.
    pub(crate) fn finish(self) -> Result<(Model, Vec<Step>), ConvertError> {
        if !self.missing.is_empty() {
            return Err(ConvertError::Unsupported(self.missing));
        }
        let mut model = Model::unverified(self.graph);
        model.ir_version = match self.opsets.get("") {
            Some(..=18) | None => IR_VERSION,
            Some(19 | 20) => 9,
            Some(_) => 10,
        };
        for (domain, version) in self.opsets {
            model = model.with_opset(&domain, version);
        }
        Ok((model, self.steps))
    }
}

/// A node of ONNX's own domain that has no outputs yet. An empty name leaves an input out.
pub(crate) fn node<S: AsRef<str>>(op_type: &str, inputs: &[S]) -> Node {
    let inputs: Vec<&str> = inputs.iter().map(AsRef::as_ref).collect();
    Node::new(op_type, &inputs, &[])
}

fn integers(name: &str, dims: &[usize], values: &[i64]) -> Constant {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Constant::raw(name, ElementType::Int64, dims, Bytes::from(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn emitter() -> Emitter {
        let mut emitter = Emitter::new("g");
        emitter.input("x", ElementType::Float32, Some(&[Dim::Free, Dim::Fixed(2)]));
        emitter.reserve("y");
        emitter
    }

    #[test]
    fn names_are_unique_and_lead_back_to_the_source() {
        let mut emitter = emitter();
        emitter.begin("dense", "Dense");
        let two = emitter.scalar("two", 2.0);
        let once = emitter.add(node("Mul", &["x", &two]));
        let twice = emitter.add(node("Mul", &[&once, &two]));
        emitter.begin("y", "Activation");
        let named = emitter.add(node("Relu", &[&twice]));
        assert_eq!([&*two, &*once, &*twice], ["dense/two", "dense/Mul", "dense/Mul_1"]);
        emitter.output("y", &named, ElementType::Float32, Some(&[Dim::Free, Dim::Fixed(2)]));
        let (model, steps) = emitter.finish().unwrap();
        model.check().unwrap();
        let nodes = |step: &Step| step.nodes.join(" ");
        assert_eq!(steps.iter().map(nodes).collect::<Vec<_>>(), ["Mul Mul", "Relu"]);
    }

    #[test]
    fn everything_that_is_missing_is_reported_at_once() {
        let mut emitter = emitter();
        emitter.begin("a", "Lambda");
        emitter.refuse("the layer", "write it with keras.ops");
        emitter.begin("b", "Resizing");
        emitter.refuse("interpolation 'lanczos5'", "");
        let error = emitter.finish().unwrap_err().to_string();
        assert_eq!(
            error,
            "the model has 2 parts that cannot be converted:\n  \
             Lambda at 'a': the layer is not covered; write it with keras.ops\n  \
             Resizing at 'b': interpolation 'lanczos5' is not covered"
        );
    }

    #[test]
    fn a_later_operator_set_raises_that_of_the_model_and_never_lowers_it() {
        let mut emitter = emitter();
        emitter.require("", 21);
        emitter.require("", 20);
        emitter.require("ai.onnx.ml", 3);
        let (model, _) = emitter.finish().unwrap();
        assert_eq!((model.opset(""), model.opset("ai.onnx.ml")), (Some(21), Some(3)));
        assert_eq!(model.ir_version, 10);
    }

    #[test]
    fn inner_graphs_are_written_apart() {
        let mut emitter = emitter();
        let around = emitter.begin_inner("then");
        let inner = emitter.add(node("Relu", &["x"]));
        emitter.output("r", &inner, ElementType::Float32, None);
        let inner = emitter.end_inner(around);
        assert_eq!((inner.nodes.len(), inner.outputs.len()), (2, 1));
        let (model, _) = emitter.finish().unwrap();
        assert!(model.graph.nodes.is_empty());
    }
}
