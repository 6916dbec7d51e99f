//! What all ways of quantization write alike: weights, tables, and a model with other nodes.

use std::collections::{HashMap, HashSet};

use modelyard_graph::{Constant, Model, Names, Node};

use super::plan::Kept;
use super::weights::Integers;
use super::{Layer, Options, Quantized};
use crate::OptimizeError;
use crate::floats::floats;
use crate::links::Links;

/// A model that is being written: the old one, and what is to stand in it instead.
pub(super) struct Draft<'a> {
    pub(super) model: &'a Model,
    pub(super) links: Links<'a>,
    pub(super) names: Names,
    /// Nodes that come after the node of this number.
    pub(super) after: HashMap<usize, Vec<Node>>,
    /// Nodes that come before the node of this number.
    pub(super) before: HashMap<usize, Vec<Node>>,
    /// Nodes that come first.
    pub(super) front: Vec<Node>,
    /// Numbers of nodes that go.
    pub(super) removed: HashSet<usize>,
    pub(super) constants: Vec<Constant>,
    /// What was written for a constant or for a tensor's scale: name by what it is for.
    pub(super) done: HashMap<String, String>,
    /// By node and name of an input or output: the name that stands there instead.
    pub(super) replaced: HashMap<(usize, String), String>,
    layers: Vec<Layer>,
    bad: Vec<String>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(model: &'a Model) -> Draft<'a> {
        Draft {
            model,
            links: Links::of(&model.graph),
            names: Names::of(model),
            after: HashMap::new(),
            before: HashMap::new(),
            front: Vec::new(),
            removed: HashSet::new(),
            constants: Vec::new(),
            done: HashMap::new(),
            replaced: HashMap::new(),
            layers: Vec::new(),
            bad: Vec::new(),
        }
    }

    /// A weight as integers and what makes floats of them again; gives the name of these.
    pub(super) fn weight(&mut self, name: &str, weight: &Integers) -> String {
        // Two nodes may share a weight, with other least scales.
        let key = format!("{name}/{:?}/{:?}", weight.axis, weight.affines);
        if let Some(back) = self.done.get(&key) {
            return back.clone();
        }
        let [quantized, scale, zero, back] = ["quantized", "scale", "zero_point", "dequantized"]
            .map(|role| self.names.unique(&format!("{name}_{role}")));
        self.constants.push(weight.constant(&quantized));
        self.constants.extend(weight.parameters(&scale, &zero));
        let mut node = self.named("DequantizeLinear", &[&quantized, &scale, &zero], &back);
        if let Some(axis) = weight.axis {
            node = node.with("axis", axis as i64);
        }
        self.front.push(node);
        self.done.insert(key, back.clone());
        back
    }

    /// A weight of floats that is rounded on the way, as it is trained; gives the name of what comes of
    /// it.
    pub(super) fn rounded(&mut self, name: &str, weight: &Integers) -> String {
        let key = format!("{name}/{:?}/{:?}", weight.axis, weight.affines);
        if let Some(back) = self.done.get(&key) {
            return back.clone();
        }
        let [quantized, scale, zero, back] = ["quantized", "scale", "zero_point", "dequantized"]
            .map(|role| self.names.unique(&format!("{name}_{role}")));
        self.constants.extend(weight.parameters(&scale, &zero));
        let pair = [
            self.named("QuantizeLinear", &[name, &scale, &zero], &quantized),
            self.named("DequantizeLinear", &[&quantized, &scale, &zero], &back),
        ];
        self.front.extend(pair.into_iter().map(|node| match weight.axis {
            Some(axis) => node.with("axis", axis as i64),
            None => node,
        }));
        self.done.insert(key, back.clone());
        back
    }

    /// Rows of integers are picked, and only these become floats. Each column has its scale.
    pub(super) fn table(&mut self, number: usize, node: &'a Node, options: &Options) {
        let Some((name, output)) = node.input(0).zip(node.output(0)) else { return };
        let Some(constant) = self.links.constant(name) else { return };
        let axis = Some(constant.dims.len() - 1).filter(|_| options.per_channel);
        let Some(table) = Integers::of(constant, axis, options.weights, &[]) else { return };
        self.check(constant);
        let key = format!("{name}/table");
        let known = self.done.get(&key).cloned();
        let base = known.clone().unwrap_or_else(|| self.names.unique(&format!("{name}_table")));
        let [scale, zero] = ["scale", "zero_point"].map(|role| format!("{base}_{role}"));
        if known.is_none() {
            self.constants.push(table.constant(&base));
            self.constants.extend(table.parameters(&scale, &zero));
            self.done.insert(key, base.clone());
        }
        let rows = self.names.unique(&format!("{output}_quantized"));
        let mut back = self.named("DequantizeLinear", &[&rows, &scale, &zero], output);
        if axis.is_some() {
            back = back.with("axis", -1i64);
        }
        self.replaced.insert((number, name.to_owned()), base);
        self.replaced.insert((number, output.to_owned()), rows);
        self.after.entry(number).or_default().insert(0, back);
        self.layer(node, constant, table.sqnr);
    }

    /// Notes a weight that is no numbers.
    pub(super) fn check(&mut self, constant: &Constant) {
        let finite = |x: &f32| x.is_finite();
        if floats(constant).is_some_and(|numbers| !numbers.iter().all(finite))
            && !self.bad.contains(&constant.name)
        {
            self.bad.push(constant.name.clone());
        }
    }

    /// A node with a name of its own.
    pub(super) fn named(&mut self, operator: &str, inputs: &[&str], output: &str) -> Node {
        let mut node = Node::new(operator, inputs, &[output]);
        node.name = self.names.unique(&format!("{output}_{operator}"));
        node
    }

    /// Notes what became of a node's weight.
    pub(super) fn layer(&mut self, node: &Node, weight: &Constant, sqnr_db: f64) {
        self.layers.push(Layer {
            node: node.label().to_owned(),
            operator: node.operator(),
            weight: weight.name.clone(),
            numbers: weight.elements().unwrap_or(0),
            sqnr_db,
            output_sqnr_db: None,
        });
    }

    /// The model with all that was written; constants that nobody takes any more are gone.
    pub(super) fn finish(mut self, kept: Vec<Kept>) -> Result<Quantized, OptimizeError> {
        if !self.bad.is_empty() {
            return Err(OptimizeError::WeightsNotFinite(self.bad));
        }
        let mut model = self.model.clone();
        let graph = &mut model.graph;
        let mut nodes = self.front;
        for (number, mut node) in std::mem::take(&mut graph.nodes).into_iter().enumerate() {
            for name in node.inputs.iter_mut().chain(&mut node.outputs) {
                if let Some(other) = self.replaced.get(&(number, name.clone())) {
                    name.clone_from(other);
                }
            }
            nodes.extend(self.before.remove(&number).unwrap_or_default());
            if !self.removed.contains(&number) {
                nodes.push(node);
            }
            nodes.extend(self.after.remove(&number).unwrap_or_default());
        }
        graph.nodes = nodes;
        graph.initializers.append(&mut self.constants);
        graph.value_info.clear();
        drop_unused(&mut model);
        Ok(Quantized { model: model.check()?, layers: self.layers, kept })
    }
}

/// Removes constants that nobody takes.
pub(crate) fn drop_unused(model: &mut Model) {
    let used: HashSet<String> = {
        let links = Links::of(&model.graph);
        let constants = model.graph.initializers.iter().map(|constant| constant.name.as_str());
        constants
            .filter(|name| !links.users(name).is_empty() || links.is_output(name))
            .map(str::to_owned)
            .collect()
    };
    model.graph.initializers.retain(|constant| used.contains(&constant.name));
}
