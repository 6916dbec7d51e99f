//! Functions of the model put in where they are called, so that only operators are left.
//!
//! Values and nodes of a function get names of their own for each call, below the name of the node
//! that calls. Attributes that the function refers to are those of the call, or its defaults.
//! `branch` does the same with branches of `If` that are always taken.

mod branch;

use std::collections::{BTreeSet, HashMap};

pub use branch::take_branches;

use crate::names::Names;
use crate::opset::schema;
use crate::{
    Attribute, AttributeValue, Function, Graph, Limits, Model, Node, Obstacle, Unadaptable,
};

/// Calls inside calls at most.
const MOST_DEPTH: usize = 64;

/// The same model without functions of its own.
///
/// Fails where a function was written for a version of operators that differ from what the model
/// means by them, or where the calls lead to more nodes than a model may have.
pub fn inline(mut model: Model) -> Result<Model, Unadaptable> {
    if model.functions.is_empty() {
        return Ok(model);
    }
    let functions = std::mem::take(&mut model.functions);
    let index = functions.iter().enumerate();
    let by_name = index.map(|(index, function)| (key_of(function), index)).collect();
    let library = Library { functions: &functions, by_name };
    let action = "put functions in where they are called";
    if let Some(obstacle) = Sizes::new(&library).too_many(&model) {
        return Err(Unadaptable { action: action.into(), obstacles: vec![obstacle] });
    }
    let mut inliner =
        Inliner { library: &library, names: Names::of(&model), called: BTreeSet::new() };
    inliner.graph(&mut model.graph);
    let called = inliner.called.iter().filter_map(|&index| functions.get(index));
    let mut obstacles = Vec::new();
    for function in called {
        obstacles.extend(differences(function, &model));
        for (domain, version) in &function.opsets {
            model.opsets.entry(domain.clone()).or_insert(*version);
        }
    }
    if !obstacles.is_empty() {
        return Err(Unadaptable { action: action.into(), obstacles });
    }
    forget_domains(&mut model, &functions);
    Ok(model)
}

/// Domain, name and overload.
type Key<'a> = (&'a str, &'a str, &'a str);

fn key_of(function: &Function) -> Key<'_> {
    (&function.domain, &function.name, &function.overload)
}

/// The functions of a model.
struct Library<'a> {
    functions: &'a [Function],
    by_name: HashMap<Key<'a>, usize>,
}

impl<'a> Library<'a> {
    /// The function that a node calls, if it calls one, and its index.
    fn called(&self, node: &Node) -> Option<(usize, &'a Function)> {
        let key: Key<'_> = (&node.domain, &node.op_type, &node.overload);
        let index = *self.by_name.get(&key)?;
        Some((index, self.functions.get(index)?))
    }
}

/// Domains that only functions had.
fn forget_domains(model: &mut Model, functions: &[Function]) {
    let used: BTreeSet<String> = model.nodes().map(|node| node.domain.clone()).collect();
    let theirs: BTreeSet<&str> =
        functions.iter().map(|function| function.domain.as_str()).collect();
    model.opsets.retain(|domain, _| {
        domain.is_empty() || used.contains(domain) || !theirs.contains(domain.as_str())
    });
}

/// Operators of a function that are others in the version that the model has.
fn differences(function: &Function, model: &Model) -> Vec<Obstacle> {
    let mut obstacles = Vec::new();
    let mut stack = vec![function.nodes.as_slice()];
    while let Some(nodes) = stack.pop() {
        for node in nodes {
            stack.extend(node.subgraphs().map(|graph| graph.nodes.as_slice()));
            let meant = function.opsets.get(&node.domain).copied();
            let found = model.opset(&node.domain);
            let (Some(meant), Some(found)) = (meant, found) else { continue };
            let operator = node.operator();
            let since = |opset| schema::at(&operator, opset).map(|schema| schema.since);
            let known = !schema::versions(&operator).is_empty();
            if meant == found || (known && since(meant) == since(found)) {
                continue;
            }
            obstacles.push(Obstacle {
                operator,
                place: node.label().to_owned(),
                reason: format!(
                    "function '{}' means it as in version {meant} of its operators, the model has \
                     {found}",
                    function.name
                ),
                way_out: "write model and function in one version".into(),
            });
        }
    }
    obstacles
}

/// How many nodes calls lead to.
struct Sizes<'a> {
    library: &'a Library<'a>,
    /// By function.
    known: Vec<Option<usize>>,
}

impl<'a> Sizes<'a> {
    fn new(library: &'a Library<'a>) -> Sizes<'a> {
        Sizes { library, known: vec![None; library.functions.len()] }
    }

    /// What is in the way when calls lead to more nodes than a model may have.
    fn too_many(mut self, model: &Model) -> Option<Obstacle> {
        let most = Limits::default().nodes;
        let nodes = self.nodes(&model.graph.nodes, 0);
        (nodes > most).then(|| Obstacle {
            operator: "the model".into(),
            place: model.graph.name.clone(),
            reason: format!(
                "calls of functions lead to more than {most} nodes, or more than {MOST_DEPTH} levels"
            ),
            way_out: "keep the functions".into(),
        })
    }

    fn nodes(&mut self, nodes: &[Node], depth: usize) -> usize {
        let mut total = 0usize;
        for node in nodes {
            let inside = match self.library.called(node) {
                Some((index, function)) => self.function(index, function, depth + 1),
                None => 1,
            };
            total = total.saturating_add(inside);
            for graph in node.subgraphs() {
                total = total.saturating_add(self.nodes(&graph.nodes, depth));
            }
        }
        total
    }

    fn function(&mut self, index: usize, function: &Function, depth: usize) -> usize {
        if depth > MOST_DEPTH {
            return usize::MAX;
        }
        if let Some(known) = self.known[index] {
            return known;
        }
        let nodes = self.nodes(&function.nodes, depth);
        self.known[index] = Some(nodes);
        nodes
    }
}

struct Inliner<'a> {
    library: &'a Library<'a>,
    names: Names,
    /// Functions that were put in.
    called: BTreeSet<usize>,
}

impl Inliner<'_> {
    fn graph(&mut self, graph: &mut Graph) {
        let nodes = std::mem::take(&mut graph.nodes);
        self.nodes(nodes, &mut graph.nodes);
    }

    fn nodes(&mut self, nodes: Vec<Node>, to: &mut Vec<Node>) {
        for mut node in nodes {
            let Some((index, function)) = self.library.called(&node) else {
                for graph in node.subgraphs_mut() {
                    self.graph(graph);
                }
                to.push(node);
                continue;
            };
            self.called.insert(index);
            let body = Call::new(&node, function, &mut self.names).body();
            self.nodes(body, to);
        }
    }
}

/// One call of a function.
struct Call<'a, 'n> {
    node: &'a Node,
    function: &'a Function,
    names: &'n mut Names,
    /// What the function's names are called here, the innermost graph last.
    scopes: Vec<HashMap<String, String>>,
}

impl<'a, 'n> Call<'a, 'n> {
    fn new(node: &'a Node, function: &'a Function, names: &'n mut Names) -> Call<'a, 'n> {
        Call { node, function, names, scopes: Vec::new() }
    }

    /// The function's nodes as this call has them.
    fn body(mut self) -> Vec<Node> {
        let mut scope = HashMap::new();
        for (index, formal) in self.function.inputs.iter().enumerate() {
            let actual = self.node.input(index).unwrap_or_default().to_owned();
            scope.insert(formal.clone(), actual);
        }
        let mut passed = Vec::new();
        for (index, formal) in self.function.outputs.iter().enumerate() {
            let Some(actual) = self.node.output(index) else { continue };
            // An input that is passed on, or an output that is given twice.
            match scope.get(formal) {
                Some(given) => passed.push((given.clone(), actual.to_owned())),
                None => drop(scope.insert(formal.clone(), actual.to_owned())),
            }
        }
        self.scopes.push(scope);
        let function = self.function;
        let mut nodes: Vec<Node> = function.nodes.iter().map(|inner| self.inner(inner)).collect();
        for (given, actual) in passed {
            let mut node = Node::new("Identity", &[&given], &[&actual]);
            node.name = self.names.unique(&self.below(&node.name));
            nodes.push(node);
        }
        nodes
    }

    /// A name below that of the node that calls.
    fn below(&self, name: &str) -> String {
        format!("{}/{name}", self.node.label())
    }

    fn inner(&mut self, inner: &Node) -> Node {
        let attributes = inner.attributes.iter().filter_map(|attribute| self.attribute(attribute));
        let attributes: Vec<Attribute> = attributes.collect();
        Node {
            name: match inner.name.is_empty() {
                true => String::new(),
                false => self.names.unique(&self.below(&inner.name)),
            },
            inputs: inner.inputs.iter().map(|name| self.taken(name)).collect(),
            outputs: inner.outputs.iter().map(|name| self.given(name)).collect(),
            attributes,
            ..inner.clone()
        }
    }

    /// What a name that is taken is called here.
    fn taken(&self, name: &str) -> String {
        let found = self.scopes.iter().rev().find_map(|scope| scope.get(name));
        found.cloned().unwrap_or_else(|| name.to_owned())
    }

    /// What a name that is given here for the first time is called.
    fn given(&mut self, name: &str) -> String {
        if name.is_empty() {
            return String::new();
        }
        if let [outermost] = self.scopes.as_slice()
            && let Some(found) = outermost.get(name)
        {
            return found.clone();
        }
        let unique = self.names.unique(&self.below(name));
        if let Some(scope) = self.scopes.last_mut() {
            scope.insert(name.to_owned(), unique.clone());
        }
        unique
    }

    /// An attribute with what the call gives put in; `None` where neither call nor function say
    /// what it is.
    fn attribute(&mut self, attribute: &Attribute) -> Option<Attribute> {
        let name = attribute.name.clone();
        let value = match &attribute.value {
            AttributeValue::Reference { name: wanted, .. } => {
                let defaults = &self.function.defaults;
                let default = || defaults.iter().find(|default| default.name == *wanted);
                let given = self.node.attribute(wanted);
                given.or_else(|| default().map(|default| &default.value))?.clone()
            }
            AttributeValue::Graph(graph) => AttributeValue::Graph(Box::new(self.graph(graph))),
            AttributeValue::Graphs(graphs) => {
                AttributeValue::Graphs(graphs.iter().map(|graph| self.graph(graph)).collect())
            }
            other => other.clone(),
        };
        Some(Attribute { name, value })
    }

    /// A graph inside a node: all that it defines is renamed too.
    fn graph(&mut self, graph: &Graph) -> Graph {
        self.scopes.push(HashMap::new());
        let mut copy = graph.clone();
        for input in &mut copy.inputs {
            input.name = self.given(&input.name);
        }
        for constant in &mut copy.initializers {
            constant.name = self.defined(&constant.name);
        }
        for constant in &mut copy.sparse_initializers {
            constant.values.name = self.defined(&constant.values.name);
        }
        copy.nodes = graph.nodes.iter().map(|node| self.inner(node)).collect();
        for value in copy.outputs.iter_mut().chain(&mut copy.value_info) {
            value.name = self.taken(&value.name);
        }
        for quantization in &mut copy.quantization {
            quantization.tensor = self.taken(&quantization.tensor);
            for (_, name) in &mut quantization.parameters {
                *name = self.taken(name);
            }
        }
        self.scopes.pop();
        copy
    }

    /// The name of a constant, which may be that of an input.
    fn defined(&mut self, name: &str) -> String {
        let found = self.scopes.last().and_then(|scope| scope.get(name)).cloned();
        found.unwrap_or_else(|| self.given(name))
    }
}

#[cfg(test)]
mod tests;
