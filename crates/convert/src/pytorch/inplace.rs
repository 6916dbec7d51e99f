//! Names of operators that change their first argument.

/// Operators that end with `_` but change only how a tensor is seen, or where it lies.
const OF_METADATA: [&str; 12] = [
    "squeeze_",
    "unsqueeze_",
    "t_",
    "transpose_",
    "swapaxes_",
    "swapdims_",
    "as_strided_",
    "resize_",
    "set_",
    "requires_grad_",
    "rename_",
    "resize_as_",
];

/// For an operator that writes its result into its first argument: the operator that computes the
/// result (`aten.add.Tensor` for `aten.add_.Tensor`). `None` for all others.
pub(crate) fn computed_by(target: &str) -> Option<String> {
    let (namespace, rest) = target.split_once('.')?;
    let (name, overload) = match rest.split_once('.') {
        Some((name, overload)) => (name, Some(overload)),
        None => (rest, None),
    };
    let functional = match name.strip_prefix("__i").and_then(|rest| rest.strip_suffix("__")) {
        // `__iand__`, but not `__index__`.
        Some(operation) if operation != "ndex" && operation != "nvert" => {
            format!("__{operation}__")
        }
        _ if name.ends_with("__") || OF_METADATA.contains(&name) => return None,
        _ => name.strip_suffix('_')?.to_owned(),
    };
    Some(match overload {
        Some(overload) => format!("{namespace}.{functional}.{overload}"),
        None => format!("{namespace}.{functional}"),
    })
}

/// Operators that change how their first argument is seen, in place.
pub(crate) fn changes_metadata(target: &str) -> bool {
    let name = target.split('.').nth(1).unwrap_or_default();
    OF_METADATA.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::computed_by;

    #[test]
    fn names_tell_what_is_in_place() {
        assert_eq!(computed_by("aten.add_.Tensor").as_deref(), Some("aten.add.Tensor"));
        assert_eq!(computed_by("aten.relu_").as_deref(), Some("aten.relu"));
        assert_eq!(computed_by("aten.__iand__.Tensor").as_deref(), Some("aten.__and__.Tensor"));
        assert_eq!(computed_by("aten.__and__.Tensor"), None);
        assert_eq!(computed_by("aten.add.Tensor"), None);
        assert_eq!(computed_by("operator.floordiv"), None);
        assert_eq!(computed_by("aten.unsqueeze_.default"), None);
    }
}
