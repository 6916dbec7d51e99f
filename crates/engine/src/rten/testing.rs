//! What the tests of admission share.

use modelyard_graph::{GraphBuilder, Model};
use modelyard_tensor::{DataType, Dim};

use crate::Refusal;

/// A graph with one input of this rank, every dimension free.
pub(super) fn graph(name: &str, data_type: DataType, rank: usize) -> GraphBuilder {
    GraphBuilder::new("test").input(name, data_type, &vec![Dim::Free; rank])
}

/// Checks which nodes or values of a model are refused.
pub(super) fn check(
    refusals: impl Fn(&Model) -> Vec<Refusal>,
    builder: GraphBuilder,
    expected: &[&str],
) {
    let model = builder.model().check().unwrap();
    let refusals = refusals(&model);
    let found: Vec<&str> = refusals.iter().map(|refusal| refusal.node.as_str()).collect();
    assert_eq!(found, expected, "{refusals:?}");
}
