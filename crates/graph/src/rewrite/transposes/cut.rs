//! Minimum cuts: who is on which side at the least cost.

use std::collections::VecDeque;

/// More than any sum of real costs.
pub(super) const NEVER: u64 = u64::MAX / 4;

/// A network of directed edges with capacities, between two sides.
pub(super) struct Cut {
    /// By vertex: its edges, as positions in `edges`. An edge and its reverse stand side by side.
    adjacent: Vec<Vec<usize>>,
    edges: Vec<Edge>,
}

struct Edge {
    to: usize,
    rest: u64,
}

impl Cut {
    /// The first side.
    pub(super) const ONE: usize = 0;
    /// The second side.
    pub(super) const TWO: usize = 1;

    pub(super) fn new() -> Cut {
        Cut { adjacent: vec![Vec::new(), Vec::new()], edges: Vec::new() }
    }

    pub(super) fn vertex(&mut self) -> usize {
        self.adjacent.push(Vec::new());
        self.adjacent.len() - 1
    }

    /// It costs `cost` to have `from` on the first side and `to` on the second.
    pub(super) fn edge(&mut self, from: usize, to: usize, cost: u64) {
        if from == to || cost == 0 || from == Cut::TWO || to == Cut::ONE {
            return;
        }
        self.adjacent[from].push(self.edges.len());
        self.edges.push(Edge { to, rest: cost });
        self.adjacent[to].push(self.edges.len());
        self.edges.push(Edge { to: from, rest: 0 });
    }

    /// By vertex: whether it is on the first side. (Dinic's algorithm.)
    pub(super) fn solve(mut self) -> Vec<bool> {
        loop {
            let levels = self.levels();
            if levels[Cut::TWO] == usize::MAX {
                return levels.into_iter().map(|level| level != usize::MAX).collect();
            }
            self.block(&levels);
        }
    }

    /// Distances from the first side along what is not used up.
    fn levels(&self) -> Vec<usize> {
        let mut levels = vec![usize::MAX; self.adjacent.len()];
        levels[Cut::ONE] = 0;
        let mut queue = VecDeque::from([Cut::ONE]);
        while let Some(vertex) = queue.pop_front() {
            for &edge in &self.adjacent[vertex] {
                let Edge { to, rest } = self.edges[edge];
                if rest > 0 && levels[to] == usize::MAX {
                    levels[to] = levels[vertex] + 1;
                    queue.push_back(to);
                }
            }
        }
        levels
    }

    /// Uses up all shortest ways to the second side.
    fn block(&mut self, levels: &[usize]) {
        let mut next = vec![0usize; self.adjacent.len()];
        let mut path: Vec<usize> = Vec::new();
        let mut vertex = Cut::ONE;
        loop {
            if vertex == Cut::TWO {
                vertex = self.use_up(&mut path);
                continue;
            }
            let step = self.adjacent[vertex][next[vertex]..].iter().position(|&edge| {
                self.edges[edge].rest > 0 && levels[self.edges[edge].to] == levels[vertex] + 1
            });
            match step {
                Some(skipped) => {
                    next[vertex] += skipped;
                    let edge = self.adjacent[vertex][next[vertex]];
                    path.push(edge);
                    vertex = self.edges[edge].to;
                }
                None => {
                    next[vertex] = self.adjacent[vertex].len();
                    let Some(edge) = path.pop() else { return };
                    vertex = self.edges[edge ^ 1].to;
                    next[vertex] += 1;
                }
            }
        }
    }

    /// Sends as much as goes along a way; gives the vertex where the search goes on.
    fn use_up(&mut self, path: &mut Vec<usize>) -> usize {
        let amount = path.iter().map(|&edge| self.edges[edge].rest).min().unwrap_or(0);
        let mut first_full = path.len();
        for (index, &edge) in path.iter().enumerate().rev() {
            self.edges[edge].rest -= amount;
            self.edges[edge ^ 1].rest = self.edges[edge ^ 1].rest.saturating_add(amount);
            if self.edges[edge].rest == 0 {
                first_full = index;
            }
        }
        let full = path.get(first_full).copied();
        path.truncate(first_full);
        full.map_or(Cut::ONE, |edge| self.edges[edge ^ 1].to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cheapest_edges_are_cut() {
        let mut cut = Cut::new();
        let (a, b, c) = (cut.vertex(), cut.vertex(), cut.vertex());
        cut.edge(Cut::ONE, a, NEVER);
        cut.edge(a, b, 3);
        cut.edge(a, c, 2);
        cut.edge(b, c, 5);
        cut.edge(c, Cut::TWO, 4);
        let sides = cut.solve();
        assert_eq!(&sides[2..], [true, true, true]);
    }

    #[test]
    fn small_networks_are_cut_as_by_trying_everything() {
        let mut seed = 7u64;
        let mut random = move |below: u64| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) % below
        };
        for _ in 0..300 {
            let vertices = 2 + random(6) as usize;
            let edges: Vec<(usize, usize, u64)> = (0..random(16))
                .map(|_| {
                    let pick = |value: u64| value as usize;
                    let n = vertices as u64;
                    (pick(random(n)), pick(random(n)), random(9))
                })
                .collect();
            let mut cut = Cut::new();
            for _ in 2..vertices {
                cut.vertex();
            }
            edges.iter().for_each(|&(from, to, cost)| cut.edge(from, to, cost));
            let cost = |side: &dyn Fn(usize) -> bool| -> u64 {
                let crossing = edges.iter().filter(|(from, to, _)| side(*from) && !side(*to));
                crossing.map(|(_, _, cost)| cost).sum()
            };
            let sides = cut.solve();
            let best = (0..1usize << vertices)
                .filter(|set| set & 1 == 1 && set & 2 == 0)
                .map(|set| cost(&|vertex| set >> vertex & 1 == 1))
                .min();
            assert_eq!(Some(cost(&|vertex| sides[vertex])), best, "{edges:?}");
        }
    }
}
