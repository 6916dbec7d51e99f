//! Finds a cycle, to name it.

use std::collections::HashMap;

use crate::Node;

/// Names shown of a cycle.
const SHOWN: usize = 6;

/// Nodes that wait for each other, as `a -> b -> a`.
pub(super) fn cycle(nodes: &[Node]) -> Option<String> {
    let mut givers: HashMap<&str, usize> = HashMap::new();
    for (index, node) in nodes.iter().enumerate() {
        for output in node.outputs.iter().filter(|output| !output.is_empty()) {
            givers.entry(output).or_insert(index);
        }
    }
    let waits_for: Vec<Vec<usize>> = nodes
        .iter()
        .map(|node| node.inputs.iter().filter_map(|input| givers.get(&**input)).copied().collect())
        .collect();
    let cycle = cycle_of(&waits_for)?;
    // Along the values, not against them.
    let labels: Vec<&str> = cycle.iter().rev().map(|&index| nodes[index].label()).collect();
    Some(arrows(&labels))
}

/// `a -> b -> a`, the middle of a long one left out.
pub(super) fn arrows(names: &[&str]) -> String {
    let mut text = names[..names.len().min(SHOWN)].join(" -> ");
    if names.len() > SHOWN {
        text.push_str(" -> ...");
    }
    format!("{text} -> {}", names[0])
}

/// One cycle of a directed graph given by the successors of each vertex. Does not recurse.
pub(super) fn cycle_of(successors: &[Vec<usize>]) -> Option<Vec<usize>> {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        New,
        OnPath,
        Done,
    }
    let mut state = vec![State::New; successors.len()];
    for start in 0..successors.len() {
        if state[start] != State::New {
            continue;
        }
        state[start] = State::OnPath;
        // Each entry: a vertex and how many of its successors were looked at.
        let mut path = vec![(start, 0usize)];
        while let Some((vertex, looked)) = path.last_mut() {
            let vertex = *vertex;
            let Some(&next) = successors[vertex].get(*looked) else {
                state[vertex] = State::Done;
                path.pop();
                continue;
            };
            *looked += 1;
            match state[next] {
                State::Done => {}
                State::New => {
                    state[next] = State::OnPath;
                    path.push((next, 0));
                }
                State::OnPath => {
                    let on_cycle = path.iter().skip_while(|(vertex, _)| *vertex != next);
                    return Some(on_cycle.map(|(vertex, _)| *vertex).collect());
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_cycles_and_only_cycles() {
        assert_eq!(cycle_of(&[vec![1, 2], vec![2], vec![]]), None);
        assert_eq!(cycle_of(&[vec![1], vec![2], vec![1]]), Some(vec![1, 2]));
        assert_eq!(cycle_of(&[vec![0]]), Some(vec![0]));
    }

    #[test]
    fn long_chains_take_no_stack() {
        let chain: Vec<Vec<usize>> = (1..=200_000).map(|next| vec![next % 200_000]).collect();
        assert_eq!(cycle_of(&chain).map(|cycle| cycle.len()), Some(200_000));
    }
}
