//! Which layer takes what: the `inbound_nodes` of all versions of Keras.

use std::collections::HashMap;

use serde_json::Value as Json;

use crate::keras::argument::{Argument, Arguments};
use crate::keras::config::integer;
use crate::keras::fault::Fault;

/// A tensor, as a file refers to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// Index of the layer among those of the model.
    pub(crate) layer: usize,
    /// Which call of the layer.
    pub(crate) node: usize,
    /// Which of its results.
    pub(crate) tensor: usize,
}

type Layers<'a> = HashMap<&'a str, usize>;

/// The arguments of one call.
pub(crate) fn read(node: &Json, layers: &Layers<'_>) -> Result<Arguments<Link>, Fault> {
    let wrong =
        || Fault::malformed(format!("expected the inputs of a layer, found {}", short(node)));
    match node {
        Json::Object(map) if map.contains_key("args") && map.contains_key("kwargs") => {
            let positional = map.get("args").and_then(Json::as_array).ok_or_else(wrong)?;
            let named = map.get("kwargs").and_then(Json::as_object).ok_or_else(wrong)?;
            let positional =
                positional.iter().map(|item| modern(item, layers)).collect::<Result<_, _>>()?;
            let named = named
                .iter()
                .map(|(key, item)| Ok((key.clone(), modern(item, layers)?)))
                .collect::<Result<_, Fault>>()?;
            Ok(Arguments { positional, named })
        }
        other => legacy(other, layers).ok_or_else(wrong),
    }
}

/// An argument as Keras 3 writes it.
fn modern(json: &Json, layers: &Layers<'_>) -> Result<Argument<Link>, Fault> {
    Ok(match json {
        Json::Array(items) => {
            Argument::List(items.iter().map(|item| modern(item, layers)).collect::<Result<_, _>>()?)
        }
        Json::Object(map) => match map.get("class_name").and_then(Json::as_str) {
            Some("__keras_tensor__") => {
                let history = map.get("config").and_then(|config| config.get("keras_history"));
                let link = history.and_then(|history| link(history, layers)).ok_or_else(|| {
                    Fault::malformed(format!("expected a tensor of a layer, found {}", short(json)))
                })?;
                Argument::Value(link)
            }
            // Other objects: slices, dtypes, arrays. They may have tensors in them.
            Some(_) if !holds_tensor(json) => Argument::Json(json.clone()),
            _ => Argument::Map(
                map.iter()
                    .map(|(key, item)| Ok((key.clone(), modern(item, layers)?)))
                    .collect::<Result<_, Fault>>()?,
            ),
        },
        other => Argument::Json(other.clone()),
    })
}

fn holds_tensor(json: &Json) -> bool {
    match json {
        Json::Array(items) => items.iter().any(holds_tensor),
        Json::Object(map) => {
            map.get("class_name").and_then(Json::as_str) == Some("__keras_tensor__")
                || map.values().any(holds_tensor)
        }
        _ => false,
    }
}

/// The arguments as Keras 1 and 2 write them: `[["layer", 0, 0, {...}], ...]`, where the fourth
/// are arguments with names.
fn legacy(node: &Json, layers: &Layers<'_>) -> Option<Arguments<Link>> {
    let mut named = Vec::new();
    let first = match node {
        // One tensor that is not in a list.
        Json::Array(items) if items.first().is_some_and(Json::is_string) => {
            legacy_tensor(node, layers, &mut named)?
        }
        Json::Array(items) if items.len() == 1 => legacy_tensor(&items[0], layers, &mut named)?,
        other => legacy_tensor(other, layers, &mut named)?,
    };
    Some(Arguments { positional: vec![first], named })
}

fn legacy_tensor(
    json: &Json,
    layers: &Layers<'_>,
    named: &mut Vec<(String, Argument<Link>)>,
) -> Option<Argument<Link>> {
    match json {
        Json::Array(items) if items.first().is_some_and(Json::is_string) => {
            if let Some(arguments) = items.get(3).and_then(Json::as_object) {
                for (key, item) in arguments {
                    let argument = legacy_argument(item, layers);
                    if !named.iter().any(|(other, _)| other == key) {
                        named.push((key.clone(), argument));
                    }
                }
            }
            if items[0].as_str() == Some("_CONSTANT_VALUE") {
                return Some(Argument::Json(items.get(2)?.clone()));
            }
            link(json, layers).map(Argument::Value)
        }
        Json::Array(items) => {
            let list = items.iter().map(|item| legacy_tensor(item, layers, named));
            list.collect::<Option<_>>().map(Argument::List)
        }
        Json::Object(map) => {
            let items = map
                .iter()
                .map(|(key, item)| Some((key.clone(), legacy_tensor(item, layers, named)?)));
            items.collect::<Option<_>>().map(Argument::Map)
        }
        _ => None,
    }
}

/// A named argument as Keras 2 writes it: a tensor looks like a list of a name and two numbers.
fn legacy_argument(json: &Json, layers: &Layers<'_>) -> Argument<Link> {
    match json {
        Json::Array(items) => {
            if items.len() >= 3 && items[0].as_str() == Some("_CONSTANT_VALUE") {
                return Argument::Json(items[2].clone());
            }
            if let Some(link) = link(json, layers) {
                return Argument::Value(link);
            }
            Argument::List(items.iter().map(|item| legacy_argument(item, layers)).collect())
        }
        Json::Object(map) if !map.contains_key("class_name") => Argument::Map(
            map.iter().map(|(key, item)| (key.clone(), legacy_argument(item, layers))).collect(),
        ),
        other => Argument::Json(other.clone()),
    }
}

/// `["layer", 0, 0]`
fn link(json: &Json, layers: &Layers<'_>) -> Option<Link> {
    let items = json.as_array().filter(|items| items.len() == 3 || items.len() == 4)?;
    let layer = *layers.get(items[0].as_str()?)?;
    let index = |item: &Json| usize::try_from(integer(item)?).ok();
    Some(Link { layer, node: index(&items[1])?, tensor: index(&items[2])? })
}

/// The inputs or outputs of a model: a list of tensors, one, or a dictionary of them, whose order
/// is that of its keys.
pub(crate) fn ends(json: &Json, layers: &Layers<'_>) -> Option<Vec<(Option<String>, Link)>> {
    let mut found = Vec::new();
    collect_ends(json, layers, None, &mut found)?;
    Some(found)
}

fn collect_ends(
    json: &Json,
    layers: &Layers<'_>,
    key: Option<&str>,
    into: &mut Vec<(Option<String>, Link)>,
) -> Option<()> {
    match json {
        Json::Array(items) if items.first().is_some_and(Json::is_string) => {
            into.push((key.map(str::to_owned), link(json, layers)?));
            Some(())
        }
        Json::Array(items) => {
            items.iter().try_for_each(|item| collect_ends(item, layers, None, into))
        }
        Json::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            keys.into_iter().try_for_each(|key| collect_ends(&map[key], layers, Some(key), into))
        }
        _ => None,
    }
}

fn short(json: &Json) -> String {
    json.to_string().chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn layers() -> Layers<'static> {
        HashMap::from([("a", 0), ("b", 1)])
    }

    fn values(node: Json) -> Vec<(usize, usize, usize)> {
        let arguments = read(&node, &layers()).unwrap();
        arguments.all_values().iter().map(|link| (link.layer, link.node, link.tensor)).collect()
    }

    #[test]
    fn nodes_of_all_versions_are_understood() {
        assert_eq!(values(json!([["a", 0, 0]])), [(0, 0, 0)]);
        assert_eq!(values(json!([["a", 0, 0, {}], ["b", 1, 2, {}]])), [(0, 0, 0), (1, 1, 2)]);
        assert_eq!(
            values(json!(["a", 0, 0, {"y": ["b", 0, 0], "name": null}])),
            [(0, 0, 0), (1, 0, 0)]
        );
        let tensor = |name: &str| {
            json!({"class_name": "__keras_tensor__",
            "config": {"shape": [null], "dtype": "float32", "keras_history": [name, 0, 0]}})
        };
        let node = json!({"args": [[tensor("a"), tensor("b")]], "kwargs": {"mask": null}});
        assert_eq!(values(node), [(0, 0, 0), (1, 0, 0)]);
    }

    #[test]
    fn constants_are_no_tensors() {
        let arguments =
            read(&json!(["_CONSTANT_VALUE", -1, 3.0, {"y": ["a", 0, 0]}]), &layers()).unwrap();
        assert!(matches!(arguments.positional[0], Argument::Json(Json::Number(_))));
        assert!(arguments.named("y").unwrap().value().is_ok());
    }

    #[test]
    fn unknown_layers_are_an_error() {
        assert!(read(&json!([["c", 0, 0]]), &layers()).is_err());
        assert!(read(&json!(3), &layers()).is_err());
    }

    #[test]
    fn ends_of_a_dictionary_have_its_keys() {
        let found = ends(&json!({"z": ["a", 0, 0], "y": ["b", 0, 0]}), &layers()).unwrap();
        let names: Vec<_> = found.iter().map(|(key, link)| (key.as_deref(), link.layer)).collect();
        assert_eq!(names, [(Some("y"), 1), (Some("z"), 0)]);
    }
}
