//! Rows to try trees with: made of their own thresholds, so that each question is asked at its
//! edge and beside it, with what is missing and with zero among them.

use modelyard_tensor::{Shape, Tensor};

use super::ensemble::{Ensemble, Rule};

/// How many rows.
const ROWS: usize = 64;

/// The rows. The same ones each time.
pub(super) fn rows(ensemble: &Ensemble) -> Option<Tensor> {
    let mut edges: Vec<Vec<f32>> = vec![Vec::new(); ensemble.features];
    for split in ensemble.trees().iter().flat_map(|tree| &tree.splits) {
        let Some(edges) = edges.get_mut(split.feature) else { continue };
        match &split.rule {
            Rule::Below { threshold, .. } => edges.push(*threshold),
            Rule::AtMost { threshold, .. } => edges.push(*threshold as f32),
            Rule::NotIn { set, .. } | Rule::In { set } => {
                edges.extend(set.first().map(|&category| category as f32));
                edges.extend(set.last().map(|&category| category as f32 + 1.0));
            }
        }
    }
    for edges in &mut edges {
        edges.retain(|edge| edge.is_finite());
        edges.sort_by(f32::total_cmp);
        edges.dedup();
    }
    let mut random = Random(1);
    let mut values = Vec::with_capacity(ROWS.checked_mul(ensemble.features)?);
    for _ in 0..ROWS {
        values.extend(edges.iter().map(|edges| value(edges, &mut random)));
    }
    Tensor::from_vec(Shape::new(&[ROWS, ensemble.features]), values).ok()
}

/// At an edge, beside it, between two, or missing.
fn value(edges: &[f32], random: &mut Random) -> f32 {
    let kind = random.below(16);
    let one = edges.get(random.below(edges.len())).copied();
    let two = edges.get(random.below(edges.len())).copied();
    let (Some(one), Some(two)) = (one, two) else { return random.below(3) as f32 };
    match kind {
        0 => f32::NAN,
        1 => 0.0,
        2 => one.next_up(),
        3 => one.next_down(),
        4..=9 => one,
        10 => one + one.abs(),
        _ => one / 2.0 + two / 2.0,
    }
}

/// Numbers without a pattern (SplitMix64).
struct Random(u64);

impl Random {
    /// A number below `count`, or 0.
    fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        if count == 0 { 0 } else { (mixed % count as u64) as usize }
    }
}
