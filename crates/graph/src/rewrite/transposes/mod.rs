//! Moves transposes to where they meet and cancel.
//!
//! Transposes are no nodes here, but the difference between how a value is given and how those who
//! take it want it. A node that can do its work in another order of axes (`frames`) may give and
//! take differently. Which nodes do is chosen so that the transposes left cost least: for each
//! pair of orders around a transpose by a minimum cut (`choice`, `cut`), which sees all nodes that
//! the pair reaches at once, forward and backward, through branches and joins. A choice is kept only if
//! the cost falls, so that it comes to an end. Then the graph is written in the states chosen
//! (`apply`).

mod apply;
mod choice;
mod cut;
mod frames;
mod layout;

use std::collections::HashSet;
use std::rc::Rc;

use super::Options;
use super::net::{Net, NodeId, ValueId};
use choice::{Choice, cost_around};
use frames::State;
use layout::{Layout, Layouts, States};

/// Nodes and values looked at, by node of the graph, before the search ends.
const MOST_STEPS: usize = 200;

pub(super) fn run(net: &mut Net, options: &Options) -> bool {
    let plan = {
        let layouts = Layouts::new(net);
        let states = choose(&layouts);
        let is_better = !states.is_empty() || can_merge(&layouts);
        is_better.then(|| apply::Plan::new(&layouts, states))
    };
    match plan {
        Some(plan) => {
            plan.apply(net);
            // Transposes of what is no longer given.
            super::dead::run(net, options);
            true
        }
        None => false,
    }
}

/// States in which the transposes cost least, as far as found.
fn choose(layouts: &Layouts<'_>) -> States {
    let mut states = States::new();
    let mut tried: HashSet<(ValueId, [Layout; 2])> = HashSet::new();
    let mut steps = layouts.net.nodes.len().saturating_mul(MOST_STEPS);
    for value in 0..layouts.net.values.len() {
        while let Some(orders) = untried(layouts, &states, value, &tried) {
            let choice = Choice::around(layouts, &states, value, orders);
            for (value, orders) in choice.values() {
                tried.insert((value, sorted(orders.clone())));
            }
            improve(layouts, &choice, &mut states);
            match steps.checked_sub(choice.size()) {
                Some(rest) => steps = rest,
                None => return states,
            }
        }
    }
    states
}

fn sorted(mut orders: [Layout; 2]) -> [Layout; 2] {
    orders.sort();
    orders
}

/// How a value is given and how it is wanted, where these are not the same.
fn untried(
    layouts: &Layouts<'_>,
    states: &States,
    value: ValueId,
    tried: &HashSet<(ValueId, [Layout; 2])>,
) -> Option<[Layout; 2]> {
    if layouts.uses[value].is_empty() || layouts.is_free(value) {
        return None;
    }
    let given = layouts.produced(value, states);
    let missing = layouts.missing(value, states).into_iter();
    let mut pairs = missing.map(|wanted| [given.clone(), wanted]);
    pairs.find(|orders| !tried.contains(&(value, sorted(orders.clone()))))
}

/// Takes the best of a choice if that costs less than what is.
fn improve(layouts: &Layouts<'_>, choice: &Choice, states: &mut States) {
    let best = choice.best(layouts, states);
    let nodes: Vec<NodeId> = best.iter().map(|(node, _)| *node).collect();
    let before = cost_around(layouts, &nodes, states);
    let old: Vec<(NodeId, Rc<State>)> =
        nodes.iter().filter_map(|node| Some((*node, states.remove(node)?))).collect();
    states.extend(best.into_iter().filter(|(_, state)| !state.is_original()));
    if cost_around(layouts, &nodes, states) >= before {
        nodes.iter().for_each(|node| drop(states.remove(node)));
        states.extend(old);
    }
}

/// Whether fewer transposes do the same without moving any.
fn can_merge(layouts: &Layouts<'_>) -> bool {
    let transposes = layouts.transposed().filter(|(value, _)| layouts.net.is_used(*value)).count();
    let states = States::new();
    let needed = (0..layouts.net.values.len()).map(|value| layouts.missing(value, &states).len());
    needed.sum::<usize>() < transposes
}
