//! A model whose weights and nodes are being changed.

use std::collections::HashMap;

use modelyard_graph::{Constant, Model, Names, Node};

use crate::OptimizeError;
use crate::floats::floats;
use crate::links::Links;
use crate::quantize::drop_unused;

/// A model that is being changed. Numbers of nodes are those of the model it began with, until
/// [`Edit::finish`].
pub(super) struct Edit {
    pub(super) model: Model,
    names: Names,
    places: HashMap<String, usize>,
    /// Constants that only one node takes.
    own: HashMap<String, bool>,
    /// Nodes that come before the node of this number.
    before: HashMap<usize, Vec<Node>>,
}

impl Edit {
    pub(super) fn new(model: &Model) -> Edit {
        let links = Links::of(&model.graph);
        let is_own = |name: &str| links.users(name).len() == 1 && !links.is_output(name);
        let constants = model.graph.initializers.iter();
        Edit {
            model: model.clone(),
            names: Names::of(model),
            places: constants.clone().enumerate().map(|(at, it)| (it.name.clone(), at)).collect(),
            own: constants.map(|it| (it.name.clone(), is_own(&it.name))).collect(),
            before: HashMap::new(),
        }
    }

    /// A node as it is now.
    pub(super) fn node(&self, number: usize) -> &Node {
        &self.model.graph.nodes[number]
    }

    /// Dimensions and numbers of the constant of floats that a node takes.
    pub(super) fn constant(&self, node: usize, slot: usize) -> Option<(Vec<usize>, Vec<f32>)> {
        let name = self.node(node).input(slot)?;
        let constant = &self.model.graph.initializers[*self.places.get(name)?];
        Some((constant.dims.clone(), floats(constant)?))
    }

    /// Gives a node other numbers. Other nodes that take the same constant keep the old ones.
    pub(super) fn set(&mut self, (node, slot): (usize, usize), dims: &[usize], numbers: &[f32]) {
        let name = self.node(node).input(slot).map(str::to_owned);
        if let Some(name) = &name
            && self.own.get(name) == Some(&true)
        {
            let place = self.places[name];
            self.model.graph.initializers[place] = Constant::floats(name, dims, numbers);
            return;
        }
        let base = name.unwrap_or_else(|| format!("{}_bias", self.node(node).label()));
        let name = self.add(&base, dims, numbers);
        let inputs = &mut self.model.graph.nodes[node].inputs;
        inputs.resize(inputs.len().max(slot + 1), String::new());
        inputs[slot] = name;
    }

    /// Puts a new constant in; gives its name.
    pub(super) fn add(&mut self, base: &str, dims: &[usize], numbers: &[f32]) -> String {
        let name = self.names.unique(base);
        self.places.insert(name.clone(), self.model.graph.initializers.len());
        self.own.insert(name.clone(), true);
        self.model.graph.initializers.push(Constant::floats(&name, dims, numbers));
        name
    }

    /// Multiplies an activation by numbers before some nodes, which take the product instead of it.
    pub(super) fn multiply(&mut self, tensor: &str, numbers: &[f32], users: &[usize]) {
        let Some(&first) = users.iter().min() else { return };
        let factors = self.add(&format!("{tensor}_smoothing"), &[numbers.len()], numbers);
        let product = self.names.unique(&format!("{tensor}_smoothed"));
        let mut node = Node::new("Mul", &[tensor, &factors], &[&product]);
        node.name = self.names.unique(&node.name);
        self.before.entry(first).or_default().push(node);
        for &user in users {
            let inputs = &mut self.model.graph.nodes[user].inputs;
            inputs.iter_mut().filter(|input| *input == tensor).for_each(|input| {
                input.clone_from(&product);
            });
        }
    }

    /// The changed model.
    pub(super) fn finish(mut self) -> Result<Model, OptimizeError> {
        let nodes = std::mem::take(&mut self.model.graph.nodes);
        for (number, node) in nodes.into_iter().enumerate() {
            self.model.graph.nodes.extend(self.before.remove(&number).unwrap_or_default());
            self.model.graph.nodes.push(node);
        }
        drop_unused(&mut self.model);
        Ok(self.model.check()?)
    }
}
