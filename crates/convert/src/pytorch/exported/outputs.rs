//! Names of outputs: the keys of the dictionary or the fields of the object that the model returns.
//!
//! The tree of what a module returns is kept as JSON inside a text of the JSON. Its leaves, in
//! order, are the outputs.

use std::collections::HashMap;

use serde::Deserialize;

use super::schema::GraphModule;

/// How deep the tree may be.
const DEPTH: usize = 32;

/// A node of the tree: a leaf has no kind.
#[derive(Debug, Deserialize)]
struct Tree {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    context: Option<serde_json::Value>,
    #[serde(default)]
    children_spec: Vec<Tree>,
}

/// A name for each output of the user, where the tree has one. Outputs beyond have none.
pub(super) fn names(module: &GraphModule) -> Vec<Option<String>> {
    let signature = module.module_call_graph.iter().find(|call| call.fqn.is_empty());
    let text = signature.and_then(|call| call.signature.as_ref()).map(|call| &call.out_spec);
    let tree = text.and_then(|text| serde_json::from_str::<(i64, Tree)>(text).ok());
    let mut names = Vec::new();
    if let Some((_, tree)) = tree {
        collect(&tree, None, DEPTH, &mut names);
    }
    unique(names)
}

fn collect(tree: &Tree, name: Option<&str>, depth: usize, names: &mut Vec<Option<String>>) {
    if tree.kind.is_none() {
        names.push(name.map(str::to_owned));
        return;
    }
    let Some(depth) = depth.checked_sub(1) else { return };
    let keys = keys(tree);
    for (index, child) in tree.children_spec.iter().enumerate() {
        let key = keys.as_ref().and_then(|keys| keys.get(index).cloned());
        let own = match (name, key) {
            (None, key) => key,
            (Some(name), Some(key)) => Some(format!("{name}.{key}")),
            (Some(name), None) => Some(format!("{name}.{index}")),
        };
        collect(child, own.as_deref(), depth, names);
    }
}

/// The keys of a dictionary; `None` for lists and tuples.
fn keys(tree: &Tree) -> Option<Vec<String>> {
    let context = tree.context.as_ref()?;
    let parsed: serde_json::Value = match context {
        serde_json::Value::String(text) => serde_json::from_str(text).ok()?,
        other => other.clone(),
    };
    let keys = strings(&parsed)?;
    (keys.len() == tree.children_spec.len() && !keys.is_empty()).then_some(keys)
}

/// The first list of texts in it: a dictionary has its keys as its context; dataclasses and named
/// tuples have the class beside.
fn strings(value: &serde_json::Value) -> Option<Vec<String>> {
    let serde_json::Value::Array(items) = value else { return None };
    let text = |item: &serde_json::Value| item.as_str().map(str::to_owned);
    let texts: Option<Vec<String>> = items.iter().map(text).collect();
    texts.or_else(|| items.iter().find_map(strings))
}

/// Names that occur twice are dropped: the values' own names stand in.
fn unique(names: Vec<Option<String>>) -> Vec<Option<String>> {
    let mut counts: HashMap<Option<String>, usize> = HashMap::new();
    for name in &names {
        *counts.entry(name.clone()).or_default() += 1;
    }
    names.into_iter().map(|name| if counts.get(&name) == Some(&1) { name } else { None }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[Option<&str>]) {
        let tree: Tree = serde_json::from_str(text).unwrap();
        let mut names = Vec::new();
        collect(&tree, None, DEPTH, &mut names);
        let names: Vec<Option<&str>> = names.iter().map(Option::as_deref).collect();
        assert_eq!(names, expected);
    }

    #[test]
    fn keys_name_outputs() {
        let leaf = r#"{"type": null, "context": null, "children_spec": []}"#;
        check(
            &format!(
                r#"{{"type": "builtins.dict", "context": "[\"out\", \"aux\"]",
                    "children_spec": [{leaf}, {{"type": "builtins.tuple", "context": "null",
                    "children_spec": [{leaf}]}}]}}"#
            ),
            &[Some("out"), Some("aux.0")],
        );
        check(leaf, &[None]);
        check(
            &format!(
                r#"{{"type": "builtins.tuple", "context": "null", "children_spec": [{leaf}]}}"#
            ),
            &[None],
        );
    }
}
