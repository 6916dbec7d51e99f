//! Attention by its formula, one number at a time: what tests compare with.

use crate::testing::numbers;

/// Sizes of an attention.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reference {
    pub(super) batch: usize,
    pub(super) heads: usize,
    pub(super) key_heads: usize,
    pub(super) queries: usize,
    pub(super) keys: usize,
    pub(super) width: usize,
    pub(super) value_width: usize,
    pub(super) scale: f32,
    pub(super) causal: bool,
}

/// Queries, keys and values: [N, heads, rows, width].
pub(super) struct Values {
    pub(super) query: Vec<f32>,
    pub(super) key: Vec<f32>,
    pub(super) value: Vec<f32>,
}

/// [N, heads, rows, width] as [N, rows, heads, width].
pub(super) fn swapped(data: &[f32], [batch, heads, rows, width]: [usize; 4]) -> Vec<f32> {
    let mut out = Vec::with_capacity(data.len());
    for sample in 0..batch {
        for row in 0..rows {
            for head in 0..heads {
                let start = ((sample * heads + head) * rows + row) * width;
                out.extend_from_slice(&data[start..start + width]);
            }
        }
    }
    out
}

impl Values {
    /// The three as [N, rows, heads * width].
    pub(super) fn map_heads(&self, of: &Reference) -> [Vec<f32>; 3] {
        [
            swapped(&self.query, [of.batch, of.heads, of.queries, of.width]),
            swapped(&self.key, [of.batch, of.key_heads, of.keys, of.width]),
            swapped(&self.value, [of.batch, of.key_heads, of.keys, of.value_width]),
        ]
    }
}

impl Reference {
    pub(super) fn values(&self, seed: u64) -> Values {
        let key_rows = self.batch * self.key_heads * self.keys;
        Values {
            query: numbers(seed, self.batch * self.heads * self.queries * self.width),
            key: numbers(seed ^ 1, key_rows * self.width),
            value: numbers(seed ^ 2, key_rows * self.value_width),
        }
    }

    /// A result as [N, rows, heads * width].
    pub(super) fn merged(&self, out: &[f32]) -> Vec<f32> {
        swapped(out, [self.batch, self.heads, self.queries, self.value_width])
    }

    /// The result, with what `mask` adds to the score of a sample, head, query and key.
    pub(super) fn attend(
        &self,
        values: &Values,
        mask: impl Fn(usize, usize, usize, usize) -> f32,
    ) -> Vec<f32> {
        let mut out = Vec::new();
        for sample in 0..self.batch {
            for head in 0..self.heads {
                let key_head = sample * self.key_heads + head * self.key_heads / self.heads;
                for query in 0..self.queries {
                    let q = (sample * self.heads + head) * self.queries + query;
                    let exponentials: Vec<f32> = (0..self.keys)
                        .map(|key| {
                            let k = key_head * self.keys + key;
                            let dot: f32 = (0..self.width)
                                .map(|at| {
                                    values.query[q * self.width + at]
                                        * values.key[k * self.width + at]
                                })
                                .sum();
                            let hidden = self.causal && key > query;
                            let score = self.scale * dot + mask(sample, head, query, key);
                            if hidden { 0.0 } else { score.exp() }
                        })
                        .collect();
                    let sum: f32 = exponentials.iter().sum();
                    for at in 0..self.value_width {
                        let weighted: f32 = (0..self.keys)
                            .map(|key| {
                                let v = (key_head * self.keys + key) * self.value_width + at;
                                exponentials[key] * values.value[v]
                            })
                            .sum();
                        out.push(if sum == 0.0 { 0.0 } else { weighted / sum });
                    }
                }
            }
        }
        out
    }
}

/// Fails where two results differ.
pub(super) fn close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-5, "{found}, expected {expected}");
    }
}
