//! BatchNormalization with statistics that are constants: a factor and a summand by channel.

use modelyard_graph::Node;

use super::super::graph::{Rewriting, node};

pub(super) fn rewrite(graph: &mut Rewriting, old: Node) -> Option<Node> {
    let facts = &graph.facts;
    let rank = old.input(0).and_then(|input| facts.rank(input));
    let constants: Vec<Option<Vec<f32>>> = (1..5).map(|slot| facts.floats(&old, slot)).collect();
    let trains = old.int("training_mode").unwrap_or(0) != 0;
    let (Some(rank), [Some(scale), Some(bias), Some(mean), Some(variance)], false) =
        (rank, &constants[..], trains)
    else {
        let way_out = "export the model in evaluation mode, with its statistics as constants";
        graph.refuse(&old, "statistics that are computed", way_out);
        return None;
    };
    let channels = scale.len();
    if [bias.len(), mean.len(), variance.len()] != [channels; 3] {
        graph.refuse(&old, "statistics of different lengths", "");
        return None;
    }
    let epsilon = f64::from(old.float("epsilon").unwrap_or(1e-5));
    let factors: Vec<f64> = scale
        .iter()
        .zip(variance)
        .map(|(&scale, &variance)| f64::from(scale) / (f64::from(variance) + epsilon).sqrt())
        .collect();
    let shifts: Vec<f32> = factors
        .iter()
        .zip(bias.iter().zip(mean))
        .map(|(factor, (&bias, &mean))| (f64::from(bias) - f64::from(mean) * factor) as f32)
        .collect();
    let factors: Vec<f32> = factors.into_iter().map(|factor| factor as f32).collect();
    let mut dims = vec![1; rank.saturating_sub(1)];
    if let Some(first) = dims.first_mut() {
        *first = channels;
    }
    let factors = graph.floats("factor", &dims, &factors);
    let shifts = graph.floats("shift", &dims, &shifts);
    let scaled = graph.add(node("Mul", &[old.input(0).unwrap_or_default(), &factors]));
    graph.add_as(node("Add", &[&scaled, &shifts]), old.output(0).unwrap_or_default());
    None
}
