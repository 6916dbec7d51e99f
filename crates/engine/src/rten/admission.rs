//! What rten cannot run, or is known to answer wrongly.

use modelyard_graph::Model;

use super::border;
use crate::Refusal;

/// What stands against loading `model`.
pub(super) fn refusals(model: &Model) -> Vec<Refusal> {
    datatypes(model)
}

/// Inputs and outputs whose datatype rten cannot hold.
fn datatypes(model: &Model) -> Vec<Refusal> {
    let Ok(signature) = model.signature() else { return Vec::new() };
    let role = |role: &'static str| move |spec| (role, spec);
    let inputs = signature.inputs.iter().map(role("input"));
    inputs
        .chain(signature.outputs.iter().map(role("output")))
        .filter(|(_, spec)| border::inner(spec.data_type).is_none())
        .map(|(role, spec)| Refusal {
            operator: role.to_owned(),
            node: spec.name.clone(),
            reason: format!("rten has no datatype {}", spec.data_type),
        })
        .collect()
}
