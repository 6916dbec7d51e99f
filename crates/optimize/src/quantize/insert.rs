//! Writes a plan into a model: QuantizeLinear and DequantizeLinear around what is integers (QDQ).

use std::collections::{BTreeMap, HashMap, HashSet};

use modelyard_graph::{Constant, Model, Names, Node};

use super::plan::Plan;
use super::roles::{Role, Weighted, role};
use super::weights::{Integers, bias, integers};
use super::{Layer, Options, Quantized};
use crate::calibrate::Range;
use crate::floats::floats;
use crate::links::Links;
use crate::{Affine, OptimizeError};

/// The least scale of a weight is such that its bias takes at most this part of a 32-bit integer.
const BIAS_REACH: f32 = (1u32 << 30) as f32;

/// Writes a plan into a model, with these ranges of the tensors that [`Plan::observed`] lists.
pub fn insert(
    model: &Model,
    plan: Plan,
    ranges: &BTreeMap<String, Range>,
    options: &Options,
) -> Result<Quantized, OptimizeError> {
    let links = Links::of(&model.graph);
    let mut writer = Writer {
        links,
        plan: &plan,
        options,
        names: Names::of(model),
        affines: affines(&plan, ranges, options)?,
        after: HashMap::new(),
        front: Vec::new(),
        constants: Vec::new(),
        done: HashMap::new(),
        replaced: HashMap::new(),
        layers: Vec::new(),
        bad: Vec::new(),
    };
    for tensor in plan.tensors.keys() {
        writer.pair(tensor);
    }
    for &number in &plan.nodes {
        writer.node(number, &model.graph.nodes[number]);
    }
    if !writer.bad.is_empty() {
        return Err(OptimizeError::WeightsNotFinite(writer.bad));
    }
    let Writer { after, front, constants, replaced, layers, .. } = writer;
    let model = assemble(model, Parts { after, front, constants, replaced }).check()?;
    Ok(Quantized { model, layers, kept: plan.kept })
}

fn affines(
    plan: &Plan,
    ranges: &BTreeMap<String, Range>,
    options: &Options,
) -> Result<BTreeMap<String, Affine>, OptimizeError> {
    let affine = |name: &str| {
        let range = ranges.get(name).ok_or_else(|| {
            OptimizeError::Invalid(format!("the range of tensor '{name}' is not given"))
        })?;
        Ok((name.to_owned(), options.activations.affine(range.low, range.high)))
    };
    plan.observed().into_iter().map(affine).collect()
}

struct Writer<'a> {
    links: Links<'a>,
    plan: &'a Plan,
    options: &'a Options,
    names: Names,
    /// By tensor that ranges were chosen for.
    affines: BTreeMap<String, Affine>,
    /// Nodes that come after the node of this number.
    after: HashMap<usize, Vec<Node>>,
    /// Nodes that come first.
    front: Vec<Node>,
    constants: Vec<Constant>,
    /// What was written for a constant or for a tensor's scale: name by what it is for.
    done: HashMap<String, String>,
    /// By node and name of an input or output: the name that stands there instead.
    replaced: HashMap<(usize, String), String>,
    layers: Vec<Layer>,
    bad: Vec<String>,
}

impl<'a> Writer<'a> {
    /// Scale and zero point of a tensor, written once for all that share them.
    fn parameters(&mut self, source: &str) -> (String, String, Affine) {
        let affine = self.affines[source];
        let zero = |scale: &str| format!("{}_zero_point", scale.trim_end_matches("_scale"));
        if let Some(scale) = self.done.get(source) {
            let zero = zero(scale);
            return (scale.clone(), zero, affine);
        }
        let scale = self.names.unique(&format!("{source}_scale"));
        let zero = self.names.unique(&zero(&scale));
        self.constants.push(Constant::floats(&scale, &[], &[affine.scale]));
        let (kind, point) = (affine.grid.element_type(), vec![affine.zero_point as u8]);
        self.constants.push(Constant::raw(&zero, kind, &[], point));
        self.done.insert(source.to_owned(), scale.clone());
        (scale, zero, affine)
    }

    /// Makes a tensor integers and floats again. Who takes it takes the latter.
    fn pair(&mut self, tensor: &'a str) {
        let (scale, zero, _) = self.parameters(&self.plan.tensors[tensor]);
        let producer = self.links.producer(tensor);
        // What a node of floats gives stays as it is for other nodes of floats.
        let for_all = producer.is_some_and(|number| self.gives_integers(number));
        let (float, back) = if for_all && self.links.is_output(tensor) {
            let float = self.names.unique(&format!("{tensor}_float"));
            if let Some(number) = producer {
                self.replaced.insert((number, tensor.to_owned()), float.clone());
            }
            (float, tensor.to_owned())
        } else {
            (tensor.to_owned(), self.names.unique(&format!("{tensor}_dequantized")))
        };
        let quantized = self.names.unique(&format!("{tensor}_quantized"));
        let pair = [
            self.named("QuantizeLinear", &[&float, &scale, &zero], &quantized),
            self.named("DequantizeLinear", &[&quantized, &scale, &zero], &back),
        ];
        match producer {
            Some(number) => self.after.entry(number).or_default().extend(pair),
            None => self.front.extend(pair),
        }
        for &user in self.links.users(tensor) {
            if (for_all || self.plan.nodes.contains(&user)) && back != tensor {
                self.replaced.insert((user, tensor.to_owned()), back.clone());
            }
        }
    }

    /// Whether a node's output may be integers for all who take it.
    fn gives_integers(&self, number: usize) -> bool {
        let node = &self.links.graph.nodes[number];
        let clamps = || matches!(role(node, &self.links), Ok(Role::Clamps));
        let before = || node.input(0).and_then(|input| self.links.producer(input));
        self.plan.nodes.contains(&number)
            || (clamps() && before().is_some_and(|before| self.plan.nodes.contains(&before)))
    }

    fn node(&mut self, number: usize, node: &'a Node) {
        match role(node, &self.links) {
            Ok(Role::Weighted(weighted)) => self.weighted(number, node, &weighted),
            Ok(Role::Table) => self.table(number, node),
            Ok(Role::Elementwise | Role::Product) => self.operands(number, node),
            _ => {}
        }
    }

    fn weighted(&mut self, number: usize, node: &'a Node, weighted: &Weighted<'a>) {
        let axis = weighted.axis.filter(|_| self.options.per_channel);
        let source = &self.plan.tensors[weighted.input];
        let input = self.affines[source].scale;
        let bias = weighted.bias.and_then(|name| Some((name, floats(self.links.constant(name)?)?)));
        let least: Vec<f32> = match (&bias, axis) {
            (None, _) => Vec::new(),
            (Some((_, numbers)), Some(_)) => {
                numbers.iter().map(|x| x.abs() / (input * BIAS_REACH)).collect()
            }
            (Some((_, numbers)), None) => {
                vec![
                    numbers.iter().fold(0.0, |most: f32, x| most.max(x.abs()))
                        / (input * BIAS_REACH),
                ]
            }
        };
        let Some(constant) = self.links.constant(weighted.weight) else { return };
        let Some(weight) = Integers::of(constant, axis, self.options.weights, &least) else {
            return;
        };
        self.check(constant);
        let back = self.weight(weighted.weight, &weight);
        self.replaced.insert((number, weighted.weight.to_owned()), back);
        if let Some((name, numbers)) = bias {
            let scales: Vec<f32> = weight.scales().iter().map(|scale| scale * input).collect();
            self.bias(number, name, (&numbers, &scales));
        }
        self.layers.push(Layer {
            node: node.label().to_owned(),
            operator: node.operator(),
            weight: weighted.weight.to_owned(),
            numbers: constant.elements().unwrap_or(0),
            sqnr_db: weight.sqnr,
        });
    }

    /// A weight as integers and what makes floats of them again; gives the name of these.
    fn weight(&mut self, name: &str, weight: &Integers) -> String {
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

    fn bias(&mut self, number: usize, name: &str, (numbers, scales): (&[f32], &[f32])) {
        // It fits, as the weight's scales were chosen for it; numbers that are none stay floats.
        let Some(values) = bias(numbers, scales) else { return };
        let [quantized, scale, zero, back] = ["quantized", "scale", "zero_point", "dequantized"]
            .map(|role| self.names.unique(&format!("{name}_{role}")));
        let dims: &[usize] = if scales.len() > 1 { &[scales.len()] } else { &[] };
        self.constants.push(integers(&quantized, &values));
        self.constants.push(Constant::floats(&scale, dims, scales));
        let points = vec![0; scales.len() * 4];
        self.constants.push(Constant::raw(
            &zero,
            modelyard_graph::ElementType::Int32,
            dims,
            points,
        ));
        let mut node = self.named("DequantizeLinear", &[&quantized, &scale, &zero], &back);
        if scales.len() > 1 {
            node = node.with("axis", 0i64);
        }
        self.front.push(node);
        self.replaced.insert((number, name.to_owned()), back);
    }

    /// Rows of integers are picked, and only these become floats. Each column has its scale.
    fn table(&mut self, number: usize, node: &'a Node) {
        let Some((name, output)) = node.input(0).zip(node.output(0)) else { return };
        let Some(constant) = self.links.constant(name) else { return };
        let axis = Some(constant.dims.len() - 1).filter(|_| self.options.per_channel);
        let Some(table) = Integers::of(constant, axis, self.options.weights, &[]) else { return };
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
        self.layers.push(Layer {
            node: node.label().to_owned(),
            operator: node.operator(),
            weight: name.to_owned(),
            numbers: constant.elements().unwrap_or(0),
            sqnr_db: table.sqnr,
        });
    }

    /// Constants beside activations have integers of the same kind.
    fn operands(&mut self, number: usize, node: &'a Node) {
        let inputs: HashSet<&str> = node.inputs.iter().map(String::as_str).collect();
        for name in inputs {
            let Some(constant) = self.links.constant(name) else { continue };
            let grid = self.options.activations;
            let Some(integers) = Integers::of(constant, None, grid, &[]) else { continue };
            self.check(constant);
            let back = self.weight(name, &integers);
            self.replaced.insert((number, name.to_owned()), back);
        }
    }

    fn check(&mut self, constant: &Constant) {
        let finite = |x: &f32| x.is_finite();
        if floats(constant).is_some_and(|numbers| !numbers.iter().all(finite))
            && !self.bad.contains(&constant.name)
        {
            self.bad.push(constant.name.clone());
        }
    }

    fn named(&mut self, operator: &str, inputs: &[&str], output: &str) -> Node {
        let mut node = Node::new(operator, inputs, &[output]);
        node.name = self.names.unique(&format!("{output}_{operator}"));
        node
    }
}

struct Parts {
    after: HashMap<usize, Vec<Node>>,
    front: Vec<Node>,
    constants: Vec<Constant>,
    replaced: HashMap<(usize, String), String>,
}

/// The model with all that was written; constants that nobody takes any more are gone.
fn assemble(model: &Model, mut parts: Parts) -> Model {
    let mut model = model.clone();
    let graph = &mut model.graph;
    let mut nodes = parts.front;
    for (number, mut node) in std::mem::take(&mut graph.nodes).into_iter().enumerate() {
        for name in node.inputs.iter_mut().chain(&mut node.outputs) {
            if let Some(other) = parts.replaced.get(&(number, name.clone())) {
                name.clone_from(other);
            }
        }
        nodes.push(node);
        nodes.extend(parts.after.remove(&number).unwrap_or_default());
    }
    graph.nodes = nodes;
    graph.initializers.append(&mut parts.constants);
    graph.value_info.clear();
    drop_unused(&mut model);
    model
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
