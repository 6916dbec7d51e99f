//! From a graph to a [`Net`].

use std::collections::{HashMap, HashSet};

use super::names::Names;
use super::net::{Net, NetValue, Op, Source, ValueId, known_of};
use super::shapes::Facts;
use crate::{Constant, ConstantData, Graph, Node, Value};

/// Constants of graphs around that are looked into are at most this long.
const MOST_OUTER_ELEMENTS: usize = 1024;

/// Small constants of the graphs around a graph, by name.
pub(super) type Outer = HashMap<String, Constant>;

/// What a graph inside `graph` may look into.
pub(super) fn outer_of(graph: &Graph, around: &Outer) -> Outer {
    let mut outer = around.clone();
    let given: HashSet<&str> = graph.inputs.iter().map(|input| &*input.name).collect();
    for constant in &graph.initializers {
        let is_small = constant.elements().is_some_and(|count| count <= MOST_OUTER_ELEMENTS);
        if is_small && !given.contains(&*constant.name) {
            outer.insert(constant.name.clone(), constant.clone());
        }
    }
    outer
}

struct Import<'a> {
    net: Net,
    numbers: HashMap<String, ValueId>,
    facts: &'a Facts,
    outer: &'a Outer,
}

/// Takes a graph apart. Constants are moved, not copied.
pub(super) fn import(
    mut graph: Graph,
    facts: &Facts,
    outer: &Outer,
    (names, opset): (Names, i64),
) -> Net {
    let nodes = std::mem::take(&mut graph.nodes);
    let initializers = std::mem::take(&mut graph.initializers);
    let declared = std::mem::take(&mut graph.value_info);
    let quantization = std::mem::take(&mut graph.quantization);
    let net = Net {
        values: Vec::new(),
        nodes: Vec::with_capacity(nodes.len()),
        outputs: Vec::new(),
        quantization: Vec::new(),
        shell: graph,
        names,
        opset,
    };
    let mut import = Import { net, numbers: HashMap::new(), facts, outer };
    import.interface(initializers);
    nodes.into_iter().for_each(|node| import.node(node));
    import.declare(declared);
    import.outputs();
    for quantization in quantization {
        let parameters = quantization.parameters.into_iter();
        let parameters = parameters.map(|(role, name)| (role, import.used(&name))).collect();
        let tensor = import.used(&quantization.tensor);
        import.net.quantization.push((tensor, parameters));
    }
    import.pin();
    import.net
}

impl Import<'_> {
    fn define(&mut self, name: &str, source: Source) -> ValueId {
        let known = match &source {
            Source::Constant(constant) | Source::Outer(Some(constant)) => known_of(constant),
            _ => self.facts.get(name),
        };
        let (name, users) = (name.to_owned(), Vec::new());
        self.numbers.insert(name.clone(), self.net.values.len());
        let value = NetValue { name, source, users, is_pinned: false, known, declared: None };
        self.net.values.push(value);
        self.net.values.len() - 1
    }

    /// The value of a name; one of the graphs around if none of this has it.
    fn used(&mut self, name: &str) -> ValueId {
        match self.numbers.get(name) {
            Some(&value) => value,
            None => self.define(name, Source::Outer(self.outer.get(name).cloned())),
        }
    }

    fn interface(&mut self, initializers: Vec<Constant>) {
        let inputs: Vec<String> =
            self.net.shell.inputs.iter().map(|input| input.name.clone()).collect();
        let sparse: Vec<String> =
            self.net.shell.sparse_initializers.iter().map(|one| one.values.name.clone()).collect();
        for name in inputs.iter().chain(&sparse) {
            self.define(name, Source::Given);
        }
        for constant in initializers {
            // The default of an input is no constant: the caller may give another value.
            if self.numbers.contains_key(&constant.name) {
                self.net.shell.initializers.push(constant);
            } else {
                let name = constant.name.clone();
                self.define(&name, Source::Constant(packed(constant)));
            }
        }
    }

    fn node(&mut self, mut node: Node) {
        let id = self.net.nodes.len();
        let inputs: Vec<Option<ValueId>> = std::mem::take(&mut node.inputs)
            .into_iter()
            .map(|name| (!name.is_empty()).then(|| self.used(&name)))
            .collect();
        let captured: Vec<(String, ValueId)> =
            captured(&node).into_iter().map(|name| (name.clone(), self.used(&name))).collect();
        for &value in inputs.iter().flatten().chain(captured.iter().map(|(_, value)| value)) {
            let users = &mut self.net.values[value].users;
            if users.last() != Some(&id) {
                users.push(id);
            }
        }
        let outputs = std::mem::take(&mut node.outputs);
        let outputs = outputs.into_iter().enumerate().map(|(slot, name)| {
            (!name.is_empty()).then(|| self.define(&name, Source::Node(id, slot)))
        });
        let outputs = outputs.collect();
        self.net.nodes.push(Some(Op { node, inputs, outputs, captured, position: id }));
    }

    fn declare(&mut self, declared: Vec<Value>) {
        for value in declared {
            if let Some(&id) = self.numbers.get(&value.name)
                && self.net.producer(id).is_some()
            {
                self.net.values[id].declared = Some(value.value_type);
            }
        }
    }

    fn outputs(&mut self) {
        let names: Vec<String> =
            self.net.shell.outputs.iter().map(|output| output.name.clone()).collect();
        self.net.outputs = names.iter().map(|name| self.used(name)).collect();
    }

    fn pin(&mut self) {
        let net = &mut self.net;
        let parameters = net.quantization.iter().flat_map(|(_, parameters)| parameters);
        let parameters = parameters.map(|(_, value)| *value);
        let pinned: Vec<ValueId> = net.outputs.iter().copied().chain(parameters).collect();
        for value in pinned {
            net.values[value].is_pinned = true;
        }
    }
}

/// The same constant as little-endian bytes.
fn packed(mut constant: Constant) -> Constant {
    if let Some(bytes) = constant.bytes() {
        constant.data = ConstantData::Raw(bytes);
    }
    constant
}

/// Names that the graphs inside `node` use and do not define, each once.
fn captured(node: &Node) -> Vec<String> {
    let mut names = Vec::new();
    for graph in node.subgraphs() {
        uses(graph, &mut HashSet::new(), &mut names);
    }
    names.sort();
    names.dedup();
    names
}

fn uses<'a>(graph: &'a Graph, around: &mut HashSet<&'a str>, names: &mut Vec<String>) {
    let mut defined = around.clone();
    defined.extend(graph.inputs.iter().map(|input| &*input.name));
    defined.extend(graph.initializers.iter().map(|constant| &*constant.name));
    defined.extend(graph.sparse_initializers.iter().map(|sparse| &*sparse.values.name));
    defined.extend(graph.nodes.iter().flat_map(|node| &node.outputs).map(String::as_str));
    let inputs = graph.nodes.iter().flat_map(|node| &node.inputs).map(String::as_str);
    let outputs = graph.outputs.iter().map(|output| &*output.name);
    let missing = inputs.chain(outputs).filter(|name| !name.is_empty() && !defined.contains(name));
    names.extend(missing.map(str::to_owned));
    for inner in graph.nodes.iter().flat_map(Node::subgraphs) {
        uses(inner, &mut defined, names);
    }
}
