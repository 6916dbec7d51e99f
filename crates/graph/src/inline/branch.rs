//! `If` nodes whose condition is a constant: the branch that is taken, in their place.
//!
//! Exporters leave them where the condition hangs on a setting of the exporter, or on a shape that
//! turned out fixed. Besides being superfluous, they hide what is in them from whoever looks for
//! patterns.

use std::collections::HashMap;

use super::Call;
use crate::names::Names;
use crate::{Constant, ElementType, Function, Graph, Model, Node};

/// Puts branches that are always taken in place of their nodes. Says whether there were any.
pub fn take_branches(model: &mut Model) -> bool {
    if !model.nodes().any(|node| node.is("If")) {
        return false;
    }
    let mut names = Names::of(model);
    let mut taker = Taker { names: &mut names, scopes: Vec::new(), changed: false };
    taker.graph(&mut model.graph);
    taker.changed
}

struct Taker<'n> {
    names: &'n mut Names,
    /// Constants that are one truth value, the innermost graph's last.
    scopes: Vec<HashMap<String, bool>>,
    changed: bool,
}

impl Taker<'_> {
    fn graph(&mut self, graph: &mut Graph) {
        let overridable = |name: &str| graph.inputs.iter().any(|input| input.name == name);
        let constants = graph.initializers.iter().filter(|found| !overridable(&found.name));
        let scope = constants.filter_map(|found| Some((found.name.clone(), truth(found)?)));
        self.scopes.push(scope.collect());
        let nodes = std::mem::take(&mut graph.nodes);
        self.nodes(nodes, graph);
        self.scopes.pop();
    }

    fn nodes(&mut self, nodes: Vec<Node>, to: &mut Graph) {
        for mut node in nodes {
            if let Some(branch) = self.taken(&node) {
                let (nodes, constants) =
                    Call::new(&node, &Function::default(), self.names).branch(branch);
                self.note(&constants);
                to.initializers.extend(constants);
                self.changed = true;
                self.nodes(nodes, to);
                continue;
            }
            if let (Some(value), Some(name)) = (node.tensor("value"), node.output(0))
                && node.is("Constant")
                && let (Some(truth), Some(scope)) = (truth(value), self.scopes.last_mut())
            {
                scope.insert(name.to_owned(), truth);
            }
            for inner in node.subgraphs_mut() {
                self.graph(inner);
            }
            to.nodes.push(node);
        }
    }

    fn note(&mut self, constants: &[Constant]) {
        let Some(scope) = self.scopes.last_mut() else { return };
        for constant in constants {
            scope.extend(truth(constant).map(|truth| (constant.name.clone(), truth)));
        }
    }

    /// The branch that is always taken.
    fn taken<'g>(&self, node: &'g Node) -> Option<&'g Graph> {
        let condition = node.input(0).filter(|_| node.is("If"))?;
        let truth = self.scopes.iter().rev().find_map(|scope| scope.get(condition))?;
        let branch = node.graph(if *truth { "then_branch" } else { "else_branch" })?;
        branch.sparse_initializers.is_empty().then_some(branch)
    }
}

/// The truth value that a constant is.
fn truth(constant: &Constant) -> Option<bool> {
    if constant.element_type != ElementType::Bool || constant.elements() != Some(1) {
        return None;
    }
    Some(*constant.bytes()?.first()? != 0)
}

impl Call<'_, '_> {
    /// The nodes and constants of a graph inside the node, as they are around it.
    fn branch(mut self, graph: &Graph) -> (Vec<Node>, Vec<Constant>) {
        let mut scope = HashMap::new();
        let mut passed = Vec::new();
        for (index, output) in graph.outputs.iter().enumerate() {
            let Some(actual) = self.node.output(index) else { continue };
            let made = graph.nodes.iter().any(|node| node.outputs.contains(&output.name));
            if made && !scope.contains_key(&output.name) {
                scope.insert(output.name.clone(), actual.to_owned());
            } else {
                // A constant, a value from outside, or an output that is given twice.
                passed.push((output.name.clone(), actual.to_owned()));
            }
        }
        self.scopes.push(scope);
        let mut constants = graph.initializers.clone();
        for constant in &mut constants {
            constant.name = self.given(&constant.name);
        }
        let mut nodes: Vec<Node> = graph.nodes.iter().map(|inner| self.inner(inner)).collect();
        for (name, actual) in passed {
            let mut node = Node::new("Identity", &[&self.taken(&name)], &[&actual]);
            node.name = self.names.unique(&self.below(&node.name));
            nodes.push(node);
        }
        (nodes, constants)
    }
}

#[cfg(test)]
mod tests {
    use modelyard_tensor::{DataType, Dim};

    use super::*;
    use crate::{GraphBuilder, Value, ValueType};

    fn branch(name: &str, nodes: Vec<Node>, output: &str) -> Graph {
        Graph {
            name: name.into(),
            nodes,
            initializers: vec![
                Constant::floats("c", &[], &[2.0]),
                Constant::raw("yes", ElementType::Bool, &[], vec![1]),
            ],
            outputs: vec![Value { name: output.into(), value_type: ValueType::Unknown }],
            ..Graph::default()
        }
    }

    fn choice(condition: &str, output: &str, inner: Node) -> Node {
        let last = inner.outputs[0].clone();
        Node::new("If", &[condition], &[output])
            .with("then_branch", branch("then", vec![inner], &last))
            .with("else_branch", branch("else", vec![Node::new("Neg", &["x"], &["n"])], "n"))
    }

    fn taken(nodes: Vec<Node>) -> Vec<String> {
        let dims = [Dim::Free];
        let mut graph = GraphBuilder::new("g")
            .input("x", DataType::Fp32, &dims)
            .initializer(Constant::raw("true", ElementType::Bool, &[1], vec![1]))
            .output("y", DataType::Fp32, &dims);
        for node in nodes {
            graph = graph.node(node);
        }
        let mut model = graph.model().check().unwrap();
        take_branches(&mut model);
        let model = model.check().unwrap();
        model.graph.nodes.iter().map(|node| node.op_type.clone()).collect()
    }

    #[test]
    fn branches_in_branches_are_taken_with_names_of_their_own() {
        let add = |output: &str| Node::new("Add", &["x", "c"], &[output]);
        let nested = choice("yes", "inner", add("a"));
        let nodes = vec![
            choice("true", "p", nested),
            choice("true", "q", add("b")),
            Node::new("Sum", &["p", "q"], &["y"]),
        ];
        assert_eq!(taken(nodes), ["Add", "Add", "Sum"]);
    }

    #[test]
    fn what_a_branch_passes_on_is_copied() {
        let passing = |output: &str, value: &str| {
            Node::new("If", &["true"], &[output])
                .with("then_branch", branch("then", Vec::new(), value))
                .with("else_branch", branch("else", Vec::new(), value))
        };
        let nodes =
            vec![passing("p", "x"), passing("q", "c"), Node::new("Mul", &["p", "q"], &["y"])];
        assert_eq!(taken(nodes), ["Identity", "Identity", "Mul"]);
    }

    #[test]
    fn a_condition_of_run_time_stays() {
        let nodes = vec![
            Node::new("ReduceMax", &["x"], &["m"]).with("keepdims", 0),
            Node::new("Cast", &["m"], &["c"]).with("to", 9),
            choice("c", "y", Node::new("Abs", &["x"], &["a"])),
        ];
        assert_eq!(taken(nodes), ["ReduceMax", "Cast", "If"]);
    }
}
