//! From definitions to a [`Graph`]: functions that are called are written out where they are
//! called, functions that control flow runs become bodies, control dependencies are dropped, and
//! only what is asked for is kept.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::arguments;
use super::attrs::Attrs;
use super::graph::{Graph, Node, Payload, Port};
use super::proto::{AttrValue, FunctionDef, GraphDef, NameAttrList, NodeDef};
use super::scope::{Found, Scope};
use crate::{ConvertError, Limits, Missing};

/// The functions that a graph may call.
pub(super) struct Library<'a> {
    functions: HashMap<&'a str, &'a FunctionDef>,
    format: &'static str,
    limits: &'a Limits,
}

impl<'a> Library<'a> {
    pub(super) fn new(
        graph: &'a GraphDef,
        format: &'static str,
        limits: &'a Limits,
    ) -> Library<'a> {
        let all = graph.library.iter().flat_map(|library| &library.functions);
        let named =
            all.filter_map(|function| Some((function.signature.as_ref()?.name.as_str(), function)));
        Library { functions: named.collect(), format, limits }
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a FunctionDef> {
        self.functions.get(name).copied()
    }

    fn malformed(&self, place: &str, message: impl Into<String>) -> ConvertError {
        let place = format!("node '{place}'");
        ConvertError::Malformed { format: self.format, place, message: message.into() }
    }
}

/// Writes out what `fetches` (names of values, such as `add:0`) of the graph need. Values in `feeds`
/// become inputs, in their order.
pub(super) fn inline(
    library: &Library<'_>,
    nodes: &[NodeDef],
    feeds: &[String],
    fetches: &[String],
) -> Result<Graph, ConvertError> {
    let mut writer = Writer { library, graph: Graph::default(), written: 0, depth: 0 };
    let mut scope = Scope::new(nodes, String::new());
    for (index, feed) in feeds.iter().enumerate() {
        let (name, output) = Scope::split(feed);
        let definition = scope.index.get(name).map(|&at| &nodes[at]);
        let attrs = definition.map(|node| Attrs::new(node.attrs.clone())).unwrap_or_default();
        let port = writer.push(input(name, index, attrs))?;
        scope.fed.insert((name.to_owned(), output.unwrap_or(0)), port);
    }
    writer.graph.inputs = feeds.len();
    writer.graph.outputs = writer.expand(&mut scope, fetches)?;
    Ok(writer.graph.pruned())
}

/// A node for an input.
fn input(name: &str, index: usize, attrs: Attrs) -> Node {
    let (op, inputs) = ("Placeholder".to_owned(), Vec::new());
    Node { name: name.into(), op, inputs, attrs, payload: Payload::Input(index) }
}

struct Writer<'l, 'a> {
    library: &'l Library<'a>,
    graph: Graph,
    /// Nodes written, those of other bodies included.
    written: usize,
    depth: usize,
}

impl Writer<'_, '_> {
    fn push(&mut self, node: Node) -> Result<Port, ConvertError> {
        self.count(1)?;
        self.graph.nodes.push(node);
        Ok(Port { node: self.graph.nodes.len() - 1, output: 0 })
    }

    /// Counts nodes that are written or looked through, so that calls in calls end.
    fn count(&mut self, nodes: usize) -> Result<(), ConvertError> {
        self.written = self.written.saturating_add(nodes);
        if self.written > self.library.limits.nodes {
            return Err(ConvertError::TooLarge {
                place: format!("the {}, functions written out,", self.library.format),
                what: "nodes",
                found: self.written as u64,
                limit: self.library.limits.nodes as u64,
            });
        }
        Ok(())
    }

    /// Writes what these values of a scope need, and gives where they are.
    fn expand(
        &mut self,
        scope: &mut Scope<'_>,
        fetches: &[String],
    ) -> Result<Vec<Port>, ConvertError> {
        let place = scope.prefix.clone();
        let absent = |text: &str| {
            let message = format!("'{text}' names no value (it may come later than it is used)");
            self.library.malformed(&place, message)
        };
        let mut wanted = Vec::with_capacity(fetches.len());
        for text in fetches {
            let found = scope.find(text).ok_or_else(|| absent(text))?;
            if let Found::Node(at) = found {
                self.write_all(scope, at)?;
            }
            match scope.find(text) {
                Some(Found::Value(port)) => wanted.push(port),
                _ => {
                    let message = format!("'{text}' names an output that its node does not have");
                    return Err(self.library.malformed(&scope.prefix, message));
                }
            }
        }
        Ok(wanted)
    }

    /// Writes a node after all that it needs, without recursion: chains are as long as models are
    /// deep.
    fn write_all(&mut self, scope: &mut Scope<'_>, node: usize) -> Result<(), ConvertError> {
        let mut open = HashSet::new();
        let mut stack = vec![node];
        while let Some(&at) = stack.last() {
            if scope.done.contains_key(&at) {
                stack.pop();
                continue;
            }
            let definition = &scope.nodes[at];
            let mut inputs = Vec::with_capacity(definition.inputs.len());
            let mut pending = Vec::new();
            for text in definition.inputs.iter().filter(|text| !text.starts_with('^')) {
                match scope.find(text) {
                    Some(Found::Value(port)) => inputs.push(port),
                    Some(Found::Node(needed)) => pending.push(needed),
                    None => {
                        let message = format!("its input '{text}' is not in the graph");
                        return Err(self.library.malformed(&definition.name, message));
                    }
                }
            }
            if pending.is_empty() {
                stack.pop();
                let ports = self.write(scope, definition, inputs)?;
                scope.done.insert(at, ports);
                continue;
            }
            if !open.insert(at) {
                return Err(self.cycle(definition));
            }
            stack.extend(pending);
        }
        Ok(())
    }

    /// A node that needs itself: loops of TensorFlow 1 are the only ones that are valid.
    fn cycle(&self, node: &NodeDef) -> ConvertError {
        let message = "it needs its own result; loops of TensorFlow 1 (Enter, Exit, NextIteration) \
                       are not covered, export the model with control flow v2";
        self.library.malformed(&node.name, message)
    }

    /// Writes one node whose inputs are there; a call as what it calls.
    fn write(
        &mut self,
        scope: &Scope<'_>,
        definition: &NodeDef,
        inputs: Vec<Port>,
    ) -> Result<Vec<Port>, ConvertError> {
        self.refuse_changed(scope, definition)?;
        let attrs = substituted(&definition.attrs, &scope.attrs);
        let name = joined(&scope.prefix, &definition.name);
        let callee = match definition.op.as_str() {
            "PartitionedCall" | "StatefulPartitionedCall" | "RemoteCall" => {
                attrs.get("f").and_then(|value| value.function.clone())
            }
            op if self.library.functions.contains_key(op) => {
                // How such a call's outputs are named inside functions is not covered.
                let signature = self.library.get(op).and_then(|found| found.signature.as_ref());
                if scope.is_function && signature.is_some_and(|found| found.outputs.len() > 1) {
                    let message = format!("it calls '{op}' by its name, which has several outputs");
                    return Err(self.library.malformed(&name, message));
                }
                Some(NameAttrList { name: op.to_owned(), attrs: attrs.clone() })
            }
            _ => None,
        };
        if let Some(callee) = callee {
            return self.call(&callee, &inputs, without_call(&name).to_owned());
        }
        let bodies = self.bodies(definition, &attrs, &inputs, &name)?;
        let payload = if bodies.is_empty() { Payload::None } else { Payload::Bodies(bodies) };
        let (op, attrs) = (definition.op.clone(), Attrs::new(attrs));
        let port = self.push(Node { name, op, inputs, attrs, payload })?;
        Ok(vec![Port { output: usize::MAX, ..port }])
    }

    /// Refuses to read a variable after it was changed: changes are left out.
    fn refuse_changed(&self, scope: &Scope<'_>, node: &NodeDef) -> Result<(), ConvertError> {
        if !matches!(node.op.as_str(), "ReadVariableOp" | "ResourceGather") {
            return Ok(());
        }
        let before = node.inputs.iter().filter_map(|input| input.strip_prefix('^'));
        let mut before = before.filter_map(|name| scope.index.get(name));
        let changes = before.any(|&at| scope.nodes[at].op.starts_with("Assign"));
        if !(scope.is_function && changes) {
            return Ok(());
        }
        Err(ConvertError::Unsupported(vec![Missing {
            operator: node.op.clone(),
            place: joined(&scope.prefix, &node.name),
            reason: "reading a variable that the model changed before".into(),
            way_out: "export a function that takes and gives its state".into(),
        }]))
    }

    /// Writes a function out.
    fn call(
        &mut self,
        callee: &NameAttrList,
        inputs: &[Port],
        prefix: String,
    ) -> Result<Vec<Port>, ConvertError> {
        let function = self.library.get(&callee.name).ok_or_else(|| {
            let message = format!("it calls '{}', which is not in the file", callee.name);
            self.library.malformed(&prefix, message)
        })?;
        self.count(1 + function.nodes.len())?;
        self.depth += 1;
        if self.depth > self.library.limits.depth {
            return Err(ConvertError::TooLarge {
                place: format!("function '{}'", callee.name),
                what: "levels of calls",
                found: self.depth as u64,
                limit: self.library.limits.depth as u64,
            });
        }
        let changes = function.nodes.iter().filter(|node| node.op.starts_with("Assign"));
        self.graph.assignments += changes.count();
        let mut scope = Scope::new(&function.nodes, prefix);
        scope.is_function = true;
        scope.attrs.clone_from(&callee.attrs);
        let signature = function.signature.clone().unwrap_or_default();
        let names = function.signature.iter().flat_map(|signature| &signature.inputs);
        scope.arguments =
            names.map(|input| input.name.as_str()).zip(inputs.iter().copied()).collect();
        if signature.inputs.len() != inputs.len() {
            let (expected, found) = (signature.inputs.len(), inputs.len());
            let message = format!("'{}' takes {expected} values, got {found}", callee.name);
            return Err(self.library.malformed(&scope.prefix, message));
        }
        let returned: Option<Vec<String>> = signature
            .outputs
            .iter()
            .map(|output| function.ret.get(&output.name).cloned())
            .collect();
        let returned = returned.ok_or_else(|| {
            let message = format!("'{}' does not say what it returns", callee.name);
            self.library.malformed(&scope.prefix, message)
        })?;
        let ports = self.expand(&mut scope, &returned)?;
        self.depth -= 1;
        Ok(ports)
    }

    /// What a node of control flow runs, each as a graph of its own; none for other nodes.
    fn bodies(
        &mut self,
        node: &NodeDef,
        attrs: &BTreeMap<String, AttrValue>,
        inputs: &[Port],
        name: &str,
    ) -> Result<Vec<Graph>, ConvertError> {
        let function = |name: &str| attrs.get(name).and_then(|value| value.function.clone());
        let (functions, inputs): (Vec<NameAttrList>, &[Port]) = match node.op.as_str() {
            "While" | "StatelessWhile" => {
                (["cond", "body"].into_iter().filter_map(function).collect(), inputs)
            }
            "If" | "StatelessIf" => (
                ["then_branch", "else_branch"].into_iter().filter_map(function).collect(),
                inputs.get(1..).unwrap_or_default(),
            ),
            "Case" | "StatelessCase" => {
                let list = attrs.get("branches").and_then(|value| value.list.clone());
                (list.unwrap_or_default().functions, inputs.get(1..).unwrap_or_default())
            }
            _ => return Ok(Vec::new()),
        };
        functions.iter().map(|function| self.body(function, inputs, name)).collect()
    }

    fn body(
        &mut self,
        function: &NameAttrList,
        inputs: &[Port],
        name: &str,
    ) -> Result<Graph, ConvertError> {
        // A handle is the same inside as outside.
        let handle = |port: &Port| {
            let node = self.graph.nodes.get(self.graph.origin(*port).node)?;
            arguments::is_handle(&node.op).then(|| node.clone())
        };
        let handles: Vec<Option<Node>> = inputs.iter().map(handle).collect();
        let around = std::mem::take(&mut self.graph);
        self.graph.inputs = inputs.len();
        let mut ports = Vec::with_capacity(inputs.len());
        for (index, handle) in handles.into_iter().enumerate() {
            let node = handle.map(|node| Node { inputs: Vec::new(), ..node });
            let fallback = || input(&format!("{name}/input_{index}"), index, Attrs::default());
            ports.push(self.push(node.unwrap_or_else(fallback))?);
        }
        self.graph.outputs = self.call(function, &ports, name.to_owned())?;
        let body = std::mem::replace(&mut self.graph, around).pruned();
        self.graph.assignments += body.assignments;
        Ok(body)
    }
}

/// The attributes of a node in a function, those of the caller filled in.
fn substituted(
    attrs: &BTreeMap<String, AttrValue>,
    given: &BTreeMap<String, AttrValue>,
) -> BTreeMap<String, AttrValue> {
    let filled = |value: &AttrValue| match &value.placeholder {
        Some(name) => given.get(name).cloned().unwrap_or_default(),
        None => value.clone(),
    };
    attrs.iter().map(|(name, value)| (name.clone(), filled(value))).collect()
}

fn joined(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") }
}

/// The name of a call as what is inside goes by: `model/dense/StatefulPartitionedCall` says nothing
/// that `model/dense` does not.
fn without_call(name: &str) -> &str {
    let (rest, last) = name.rsplit_once('/').unwrap_or(("", name));
    let base = last.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('_');
    if matches!(base, "StatefulPartitionedCall" | "PartitionedCall") { rest } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, op: &str, inputs: &[&str]) -> NodeDef {
        let inputs = inputs.iter().map(|&input| input.to_owned()).collect();
        NodeDef { name: name.into(), op: op.into(), inputs, attrs: BTreeMap::new() }
    }

    fn names(graph: &Graph) -> Vec<&str> {
        graph.nodes.iter().map(|node| node.name.as_str()).collect()
    }

    fn inlined(graph: &GraphDef, fetch: &str) -> Result<Graph, ConvertError> {
        let limits = Limits::default();
        let library = Library::new(graph, "graph", &limits);
        inline(&library, &graph.nodes, &["x".into()], &[fetch.into()])
    }

    #[test]
    fn only_what_is_needed_is_written_in_order() {
        let nodes = vec![
            node("c", "Neg", &["b:0", "^save"]),
            node("save", "Assert", &["x"]),
            node("b", "Abs", &["x"]),
            node("x", "Placeholder", &[]),
        ];
        let graph = GraphDef { nodes, ..GraphDef::default() };
        assert_eq!(names(&inlined(&graph, "c").unwrap()), ["x", "b", "c"]);
    }

    #[test]
    fn calls_that_never_end_are_refused() {
        let call = |name: &str| {
            let function = NameAttrList { name: "f".into(), ..NameAttrList::default() };
            let value = AttrValue { function: Some(function), ..AttrValue::default() };
            let attrs = BTreeMap::from([("f".to_owned(), value)]);
            NodeDef { attrs, ..node(name, "PartitionedCall", &[]) }
        };
        let function = FunctionDef {
            signature: Some(super::super::proto::OpDef {
                name: "f".into(),
                inputs: Vec::new(),
                outputs: vec![super::super::proto::ArgDef { name: "y".into(), dtype: 1 }],
            }),
            nodes: vec![call("again")],
            ret: BTreeMap::from([("y".to_owned(), "again:output:0".to_owned())]),
        };
        let library = Some(super::super::proto::FunctionDefLibrary { functions: vec![function] });
        let graph = GraphDef { nodes: vec![call("first")], library, versions: None };
        let error = inlined(&graph, "first:0").unwrap_err();
        assert!(error.to_string().contains("levels of calls"), "{error}");
    }

    #[test]
    fn loops_of_old_graphs_are_refused() {
        let nodes = vec![node("a", "Merge", &["b"]), node("b", "NextIteration", &["a"])];
        let graph = GraphDef { nodes, ..GraphDef::default() };
        assert!(inlined(&graph, "a").unwrap_err().to_string().contains("control flow v2"));
    }

    #[test]
    fn calls_leave_no_trace_in_names() {
        assert_eq!(without_call("model/dense/StatefulPartitionedCall"), "model/dense");
        assert_eq!(without_call("PartitionedCall_12"), "");
        assert_eq!(without_call("model/layer_1"), "model/layer_1");
    }
}
