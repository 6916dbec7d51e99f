//! From one version of an operator to another where ONNX's own description of the two says it all:
//! the node stays as it is, if the other version takes what it has.

use super::knowledge::Knowledge;
use super::schema::{Parameter, Presence, Schema};
use super::site::{Refusal, Site, refuse};
use crate::Node;

/// The node as `to` has it, where `from` is what it is now.
pub(super) fn adapt(site: &mut Site<'_>, from: &Schema, to: &Schema) -> Result<(), Refusal> {
    attributes(site, from, to)?;
    while site.node.inputs.last().is_some_and(String::is_empty) {
        site.node.inputs.pop();
    }
    for index in 0..site.node.inputs.len() {
        let Some(name) = site.node.input(index) else { continue };
        if to.input(index).is_none() {
            let what = from.input(index).map_or("", |parameter| parameter.name);
            return refuse(format!("input {index} ({what}) '{name}' does not exist there"));
        }
    }
    for (index, parameter) in to.inputs.iter().enumerate() {
        if parameter.presence == Presence::Once && site.node.input(index).is_none() {
            return refuse(format!("input {index} ({}) is required there", parameter.name));
        }
    }
    for index in 0..site.node.outputs.len() {
        if site.node.output(index).is_some() && to.output(index).is_none() {
            let what = from.output(index).map_or("", |parameter| parameter.name);
            return refuse(format!("output {index} ({what}) does not exist there"));
        }
    }
    types(site.knowledge, &site.node, from, to)
}

/// Attributes: those that say what goes without saying are left out, and where that is another
/// thing there, it is said.
fn attributes(site: &mut Site<'_>, from: &Schema, to: &Schema) -> Result<(), Refusal> {
    let names: Vec<String> =
        site.node.attributes.iter().map(|attribute| attribute.name.clone()).collect();
    for name in names {
        let Some(rule) = from.attribute(&name) else { continue };
        if to.attribute(&name).is_some() {
            continue;
        }
        if rule.default.is_none() || rule.default.as_ref() != site.node.attribute(&name) {
            return refuse(format!("attribute '{name}' does not exist there"));
        }
        site.take(&name);
    }
    for rule in from.attributes() {
        let other = to.attribute(rule.name);
        let differs = other.is_some_and(|other| other.default != rule.default);
        if let (None, true, Some(default)) =
            (site.node.attribute(rule.name), differs, &rule.default)
        {
            site.set(rule.name, default.clone());
        }
    }
    for rule in to.attributes() {
        if rule.required && site.node.attribute(rule.name).is_none() {
            return refuse(format!("attribute '{}' is required there", rule.name));
        }
    }
    Ok(())
}

/// Refuses types that `from` takes and `to` does not.
pub(super) fn types(
    knowledge: &Knowledge,
    node: &Node,
    from: &Schema,
    to: &Schema,
) -> Result<(), Refusal> {
    type Nth = fn(&Schema, usize) -> Option<&Parameter>;
    let sides: [(&str, &[String], Nth); 2] =
        [("input", &node.inputs, Schema::input), ("output", &node.outputs, Schema::output)];
    for (role, names, nth) in sides {
        for (index, name) in names.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            if let (Some(from), Some(to)) = (nth(from, index), nth(to, index))
                && let Some(found) = knowledge.type_of(name)
                && from.takes(found)
                && !to.takes(found)
            {
                return refuse(format!(
                    "{role} '{name}' is of type {found}, which it does not take there"
                ));
            }
        }
    }
    Ok(())
}

/// Whether a node is one of this version: what a rule wrote is checked with it.
pub(super) fn fits(knowledge: &Knowledge, node: &Node, schema: &Schema) -> Result<(), Refusal> {
    for (index, name) in node.inputs.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
        let Some(parameter) = schema.input(index) else {
            return refuse(format!("{} would need an input {index}", node.op_type));
        };
        if let Some(found) = knowledge.type_of(name)
            && !parameter.takes(found)
        {
            return refuse(format!("{} would have to take {found} '{name}'", node.op_type));
        }
    }
    match node.attributes.iter().find(|found| schema.attribute(&found.name).is_none()) {
        Some(attribute) => {
            refuse(format!("{} would need an attribute '{}'", node.op_type, attribute.name))
        }
        None => Ok(()),
    }
}
