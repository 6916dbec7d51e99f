//! Names that are not yet taken.

use std::collections::{HashMap, HashSet};

use crate::{Graph, Model, Node};

/// All names of a model: of values and of nodes, in all its graphs.
#[derive(Debug, Default)]
pub struct Names {
    taken: HashSet<String>,
    /// How often a base of a name was asked for.
    counts: HashMap<String, usize>,
}

impl Names {
    /// The names of the main graph and of all graphs inside it. Functions have names of their own.
    pub fn of(model: &Model) -> Names {
        let mut names = Names::default();
        let mut graphs = vec![&model.graph];
        while let Some(graph) = graphs.pop() {
            names.take_graph(graph);
            graphs.extend(graph.nodes.iter().flat_map(Node::subgraphs));
        }
        names
    }

    fn take_graph(&mut self, graph: &Graph) {
        let values = graph.inputs.iter().chain(&graph.outputs).chain(&graph.value_info);
        self.taken.extend(values.map(|value| value.name.clone()));
        self.taken.extend(graph.initializers.iter().map(|constant| constant.name.clone()));
        let sparse = graph.sparse_initializers.iter();
        self.taken.extend(sparse.map(|constant| constant.values.name.clone()));
        for node in &graph.nodes {
            self.taken.insert(node.name.clone());
            self.taken.extend(node.inputs.iter().chain(&node.outputs).cloned());
        }
    }

    /// A name that nobody has, which begins like `base`.
    pub fn unique(&mut self, base: &str) -> String {
        let count = self.counts.entry(base.to_owned()).or_insert(0);
        loop {
            let name = if *count == 0 { base.to_owned() } else { format!("{base}_{count}") };
            *count += 1;
            if !name.is_empty() && self.taken.insert(name.clone()) {
                return name;
            }
        }
    }
}
