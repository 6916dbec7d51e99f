//! Who gives a value, who takes it, and what it is, in the main graph.

use std::collections::{HashMap, HashSet};

use modelyard_graph::{Constant, Graph, Model, Node, ValueType};
use modelyard_tensor::Dim;

/// An index of the main graph's values by name.
pub(crate) struct Links<'a> {
    pub(crate) graph: &'a Graph,
    producers: HashMap<&'a str, usize>,
    users: HashMap<&'a str, Vec<usize>>,
    outputs: HashSet<&'a str>,
    constants: HashMap<&'a str, usize>,
}

impl<'a> Links<'a> {
    pub(crate) fn of(graph: &'a Graph) -> Links<'a> {
        let mut links = Links {
            graph,
            producers: HashMap::new(),
            users: HashMap::new(),
            outputs: graph.outputs.iter().map(|output| output.name.as_str()).collect(),
            constants: HashMap::new(),
        };
        for (number, constant) in graph.initializers.iter().enumerate() {
            links.constants.insert(&constant.name, number);
        }
        // An input with a default is no constant.
        for input in &graph.inputs {
            links.constants.remove(input.name.as_str());
        }
        for (number, node) in graph.nodes.iter().enumerate() {
            for output in node.outputs.iter().filter(|output| !output.is_empty()) {
                links.producers.insert(output, number);
            }
            for input in uses(node) {
                let users = links.users.entry(input).or_default();
                if users.last() != Some(&number) {
                    users.push(number);
                }
            }
        }
        links
    }

    /// Number of the node that gives a value.
    pub(crate) fn producer(&self, name: &str) -> Option<usize> {
        self.producers.get(name).copied()
    }

    /// Numbers of the nodes that take a value, or have a graph inside that does.
    pub(crate) fn users(&self, name: &str) -> &[usize] {
        self.users.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether the graph gives this value.
    pub(crate) fn is_output(&self, name: &str) -> bool {
        self.outputs.contains(name)
    }

    /// The only node that takes a value, if that is its only use.
    pub(crate) fn only_user(&self, name: &str) -> Option<usize> {
        match self.users(name) {
            [user] if !self.is_output(name) => Some(*user),
            _ => None,
        }
    }

    /// The constant of this name.
    pub(crate) fn constant(&self, name: &str) -> Option<&'a Constant> {
        self.constants.get(name).map(|&number| &self.graph.initializers[number])
    }
}

/// Names that a node takes, with those that graphs inside it take from around.
pub(crate) fn uses(node: &Node) -> Vec<&str> {
    let mut names: Vec<&str> =
        node.inputs.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
    let mut graphs: Vec<&Graph> = node.subgraphs().collect();
    while let Some(graph) = graphs.pop() {
        names.extend(graph.outputs.iter().map(|output| output.name.as_str()));
        for inner in &graph.nodes {
            names.extend(inner.inputs.iter().map(String::as_str));
            graphs.extend(inner.subgraphs());
        }
    }
    names
}

/// Types of the values of a model: where sizes depend on what is not known, element type and rank.
pub(crate) fn types(model: &Model) -> HashMap<String, ValueType> {
    let mut types = model.types();
    for (name, kind) in model.kinds() {
        types.entry(name).or_insert_with(|| ValueType::Tensor {
            element_type: kind.element_type,
            dims: Some(vec![Dim::Free; kind.rank]),
        });
    }
    types
}

#[cfg(test)]
mod tests {
    use modelyard_graph::{ElementType, GraphBuilder};
    use modelyard_tensor::DataType;

    use super::*;

    #[test]
    fn what_is_added_where_sizes_have_to_fit_is_of_a_known_type() {
        let [one, two] = ["h", "h2"].map(|name| [Dim::Symbol(name.into())]);
        let model = GraphBuilder::new("g")
            .input("x", DataType::Fp32, &one)
            .input("y", DataType::Fp32, &two)
            .node(Node::new("Add", &["x", "y"], &["sum"]))
            .output("sum", DataType::Fp32, &[Dim::Free])
            .model();
        assert_eq!(model.types().get("sum"), None);
        let element_type = types(&model)["sum"].as_tensor().map(|(element_type, _)| element_type);
        assert_eq!(element_type, Some(ElementType::Float32));
    }
}
