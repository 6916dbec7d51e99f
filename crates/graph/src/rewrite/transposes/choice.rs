//! One choice between two orders for all nodes around a transpose, at the least cost.
//!
//! From a value that is given in one order and wanted in another, the two orders are followed to
//! all nodes that could have either. What each node has then is a minimum cut: between values and
//! those who take them in the other order there is a transpose, whose cost is the capacity.

use std::collections::HashMap;
use std::rc::Rc;

use super::super::net::{NodeId, ValueId};
use super::super::perm::Perm;
use super::cut::{Cut, NEVER};
use super::frames::State;
use super::layout::{Layout, Layouts, NODE, States, User, join, layout, undo};

/// What each node and each value around a transpose could be.
pub(super) struct Choice {
    nodes: HashMap<NodeId, [Rc<State>; 2]>,
    values: HashMap<ValueId, [Layout; 2]>,
    /// In the order they were found.
    order: Vec<ValueId>,
}

/// Where a node meets a value.
#[derive(Clone, Copy)]
enum Place {
    Input(usize),
    Output(usize),
}

impl Choice {
    /// Follows two orders of a value.
    pub(super) fn around(
        layouts: &Layouts<'_>,
        states: &States,
        value: ValueId,
        orders: [Layout; 2],
    ) -> Choice {
        let mut choice =
            Choice { nodes: HashMap::new(), values: HashMap::new(), order: Vec::new() };
        choice.reach(value, orders);
        let mut next = 0;
        while let Some(&value) = choice.order.get(next) {
            next += 1;
            let orders = choice.values[&value].clone();
            if let Some((node, slot)) = layouts.net.producer(value) {
                choice.visit(layouts, states, (node, Place::Output(slot)), &orders);
            }
            for one in &layouts.uses[value] {
                if let User::Input(node, slot) = one.user {
                    let back = undo(&one.path);
                    let orders = [0, 1].map(|side| join(&back, &orders[side]));
                    choice.visit(layouts, states, (node, Place::Input(slot)), &orders);
                }
            }
        }
        choice
    }

    /// Number of nodes and values.
    pub(super) fn size(&self) -> usize {
        self.nodes.len() + self.values.len()
    }

    /// The values with their two orders.
    pub(super) fn values(&self) -> impl Iterator<Item = (ValueId, &[Layout; 2])> {
        self.order.iter().map(|value| (*value, &self.values[value]))
    }

    fn reach(&mut self, value: ValueId, orders: [Layout; 2]) {
        if orders[0] != orders[1] && !self.values.contains_key(&value) {
            self.values.insert(value, orders);
            self.order.push(value);
        }
    }

    fn visit(
        &mut self,
        layouts: &Layouts<'_>,
        current: &States,
        (node, place): (NodeId, Place),
        orders: &[Layout; 2],
    ) {
        if self.nodes.contains_key(&node) {
            return;
        }
        let Some(states) = states_of(layouts, (node, place), orders) else { return };
        let is_now = |state: &Rc<State>| match current.get(&node) {
            Some(current) => current == state,
            None => state.is_original(),
        };
        if states[0] == states[1] || !states.iter().any(is_now) {
            return;
        }
        let Some(op) = layouts.net.op(node) else { return };
        for (slot, input) in op.inputs.iter().enumerate() {
            let Some(input) = *input else { continue };
            let (root, path) = layouts.root(input);
            if !layouts.is_free(root) {
                let own = |side: usize| layout(states[side].input(slot));
                self.reach(root, [0, 1].map(|side| join(&path, &own(side))));
            }
        }
        for (slot, output) in op.outputs.iter().enumerate() {
            if let Some(output) = *output {
                self.reach(output, [0, 1].map(|side| layout(states[side].output(slot))));
            }
        }
        self.nodes.insert(node, states);
    }

    /// The nodes' states that cost least.
    pub(super) fn best(&self, layouts: &Layouts<'_>, states: &States) -> Vec<(NodeId, Rc<State>)> {
        let mut cut = Cut::new();
        let mut ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        ids.sort_unstable();
        let vertices: HashMap<NodeId, usize> =
            ids.iter().map(|&node| (node, cut.vertex())).collect();
        for (&node, &vertex) in &vertices {
            let [one, two] = &self.nodes[&node];
            cut.edge(vertex, Cut::TWO, own_cost(layouts, node, one));
            cut.edge(Cut::ONE, vertex, own_cost(layouts, node, two));
        }
        for &value in &self.order {
            self.connect(layouts, states, value, &vertices, &mut cut);
        }
        let sides = cut.solve();
        ids.into_iter()
            .map(|node| {
                let side = usize::from(!sides[vertices[&node]]);
                (node, Rc::clone(&self.nodes[&node][side]))
            })
            .collect()
    }

    /// The transposes that one value may need.
    fn connect(
        &self,
        layouts: &Layouts<'_>,
        states: &States,
        value: ValueId,
        vertices: &HashMap<NodeId, usize>,
        cut: &mut Cut,
    ) {
        let orders = &self.values[&value];
        let giver = match layouts.net.producer(value) {
            Some((node, slot)) if self.nodes.contains_key(&node) => {
                let own = |side: usize| layout(self.nodes[&node][side].output(slot));
                vertex(orders, [own(0), own(1)], vertices[&node])
            }
            _ => {
                let given = layouts.produced(value, states);
                vertex(orders, [given.clone(), given], Cut::ONE)
            }
        };
        let mut takers: Vec<usize> = layouts.uses[value]
            .iter()
            .filter_map(|one| match one.user {
                User::Input(node, slot) if self.nodes.contains_key(&node) => {
                    let own = |side: usize| layout(self.nodes[&node][side].input(slot));
                    let wanted = |side: usize| join(&one.path, &own(side));
                    vertex(orders, [wanted(0), wanted(1)], vertices[&node])
                }
                _ => {
                    let wanted = layouts.wanted(one, states);
                    vertex(orders, [wanted.clone(), wanted], Cut::ONE)
                }
            })
            .collect();
        takers.sort_unstable();
        takers.dedup();
        let price = layouts.price(value, &orders[0], &orders[1]);
        // One transpose serves all who want the second order while the first is given, and the
        // other way round. What is given in a third order needs one for each.
        let (from_one, from_two) = (giver.unwrap_or(Cut::ONE), giver.unwrap_or(Cut::TWO));
        match takers[..] {
            [] => {}
            [taker] => {
                cut.edge(from_one, taker, price);
                cut.edge(taker, from_two, price);
            }
            _ => {
                let (to_two, to_one) = (cut.vertex(), cut.vertex());
                cut.edge(from_one, to_two, price);
                cut.edge(to_one, from_two, price);
                for taker in takers {
                    cut.edge(to_two, taker, NEVER);
                    cut.edge(taker, to_one, NEVER);
                }
            }
        }
    }
}

/// What a state costs in itself. The one that a node has costs nothing, so that nothing changes
/// without a gain.
fn own_cost(layouts: &Layouts<'_>, node: NodeId, state: &State) -> u64 {
    const EXTRA: u64 = NODE >> 4;
    if state.is_original() {
        return 0;
    }
    let extra = layouts.frame(node).map_or(0, |frame| frame.extra_nodes(state));
    1 + EXTRA * extra
}

/// The vertex of one who has these orders on the two sides: its own, or that of a side where it
/// has the same on both; `None` if it has others.
fn vertex(orders: &[Layout; 2], own: [Layout; 2], vertex: usize) -> Option<usize> {
    match own {
        own if own == *orders => Some(vertex),
        [one, two] if one == orders[0] && two == orders[0] => Some(Cut::ONE),
        [one, two] if one == orders[1] && two == orders[1] => Some(Cut::TWO),
        _ => None,
    }
}

fn states_of(
    layouts: &Layouts<'_>,
    (node, place): (NodeId, Place),
    orders: &[Layout; 2],
) -> Option<[Rc<State>; 2]> {
    let op = layouts.net.op(node)?;
    let frame = layouts.frame(node)?;
    let rank = orders.iter().flatten().map(Perm::rank).next()?;
    let value = match place {
        Place::Input(slot) => op.input(slot)?,
        Place::Output(slot) => op.output(slot)?,
    };
    (layouts.net.rank(value).is_none_or(|own| own == rank)).then_some(())?;
    let of = |order: &Layout| {
        let order = order.clone().unwrap_or_else(|| Perm::identity(rank));
        let state = match place {
            Place::Input(slot) => frame.of_input(slot, &order),
            Place::Output(slot) => frame.of_output(slot, &order),
        };
        state.map(Rc::new)
    };
    Some([of(&orders[0])?, of(&orders[1])?])
}

/// What all that touches these nodes costs.
pub(super) fn cost_around(layouts: &Layouts<'_>, nodes: &[NodeId], states: &States) -> u64 {
    let mut values: Vec<ValueId> = Vec::new();
    let mut own = 0;
    for &node in nodes {
        let Some(op) = layouts.net.op(node) else { continue };
        values.extend(op.inputs.iter().flatten().map(|&input| layouts.root(input).0));
        values.extend(op.outputs.iter().flatten());
        own += states.get(&node).map_or(0, |state| own_cost(layouts, node, state));
    }
    values.sort_unstable();
    values.dedup();
    values.iter().fold(own, |sum, &value| sum.saturating_add(layouts.cost(value, states)))
}
