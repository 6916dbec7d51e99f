//! DepthToSpace whose blocks come last in the channels (`CRD`): other frameworks have them first
//! (`DCR`), so that the channels are put in order before.

use modelyard_graph::Node;

use super::super::graph::{Rewriting, fixed, integers, makeable, node};

pub(super) fn rewrite(graph: &mut Rewriting, mut old: Node) -> Option<Node> {
    if old.string("mode").unwrap_or("DCR") == "DCR" {
        return Some(old);
    }
    let input = old.input(0).unwrap_or_default().to_owned();
    let channels = graph.facts.dims(&input).and_then(|dims| fixed(dims.get(1)?));
    let block = old.int("blocksize").and_then(|size| usize::try_from(size).ok());
    let places = block.and_then(|block| block.checked_mul(block)).filter(|&places| places > 0);
    let channels = channels.filter(|&channels| makeable(&[channels]).is_some());
    let (Some(channels), Some(places)) = (channels, places) else {
        let way_out = "give the model inputs of a fixed shape (`modelyard convert --shape`)";
        graph.refuse(&old, "a number of channels that is not fixed, or too large", way_out);
        return None;
    };
    let depth = channels / places;
    // In the order of DCR: of each place in the block, all channels.
    let order: Vec<i64> = (0..places)
        .flat_map(|place| (0..depth).map(move |channel| (channel * places + place) as i64))
        .collect();
    let order = graph.constant(integers("order", &[order.len()], &order));
    let image = graph.add(node("Gather", &[&input, &order]).with("axis", 1));
    old.inputs = vec![image];
    old.attributes.retain(|attribute| attribute.name != "mode");
    Some(old.with("mode", "DCR"))
}
