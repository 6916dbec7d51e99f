//! What a checkpoint holds: a state dict, alone or among other things.

use std::collections::BTreeMap;

use super::rebuild::{Locate, Tensors};
use super::{FORMAT, damaged};
use crate::ConvertError;
use crate::pytorch::pickle::{Id, Pickle};
use crate::pytorch::weight::Weight;

/// Under which names training scripts put the state dict of a model, the better ones first.
const WRAPPERS: [&str; 14] = [
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "module",
    "net",
    "network",
    "weights",
    "params",
    "generator",
    "backbone",
];

/// How deep a state dict may lie in a checkpoint.
const DEPTH: usize = 3;

/// The state dict of a pickle.
pub(super) fn state_dict(
    pickle: &Pickle,
    locate: &Locate<'_>,
) -> Result<BTreeMap<String, Weight>, ConvertError> {
    let root = pickle.root();
    refuse_module(pickle, root)?;
    if let Some(entries) = pickle.entries(root) {
        for &(_, value) in entries {
            refuse_module(pickle, value)?;
        }
    }
    if let Some(name) = pickle.forbidden() {
        let message = format!(
            "the pickle wants to call {name}, which is never done; save only the weights \
             (`torch.save(model.state_dict(), path)`)"
        );
        return Err(damaged("the pickle".into(), message));
    }
    let tensors = Tensors { pickle, locate };
    let found = find(&tensors, root, DEPTH)?;
    found.ok_or_else(|| {
        let keys: Vec<&str> = pickle
            .entries(root)
            .unwrap_or(&[])
            .iter()
            .take(8)
            .filter_map(|(key, _)| pickle.text(*key))
            .collect();
        let found = match keys.as_slice() {
            [] => "no dict".to_owned(),
            keys => format!("a dict of {}", keys.join(", ")),
        };
        let message = format!("expected a dict of tensors by name (a state dict), found {found}");
        damaged("the pickle".into(), message)
    })
}

fn find(
    tensors: &Tensors<'_>,
    dict: Id,
    depth: usize,
) -> Result<Option<BTreeMap<String, Weight>>, ConvertError> {
    let Some(depth) = depth.checked_sub(1) else { return Ok(None) };
    for wrapper in WRAPPERS {
        let inner = tensors.pickle.entry(dict, wrapper);
        if let Some(inner) = inner
            && let Some(found) = find(tensors, inner, depth)?
        {
            return Ok(Some(found));
        }
    }
    Ok(tensors.named(dict)?.filter(|found| !found.is_empty()))
}

/// A whole module cannot be read: its class is code that is not in the file.
fn refuse_module(pickle: &Pickle, value: Id) -> Result<(), ConvertError> {
    let Some(class) = pickle.module_class(value) else { return Ok(()) };
    Err(ConvertError::Malformed {
        format: FORMAT,
        place: "the pickle".into(),
        message: format!(
            "it is a whole module of class {class}, whose code is not in the file; load it in PyTorch \
             and save its weights (`torch.save(model.state_dict(), path)`) or, better, export it \
             (`torch.export.save(torch.export.export(model, inputs), 'model.pt2')`)"
        ),
    })
}
