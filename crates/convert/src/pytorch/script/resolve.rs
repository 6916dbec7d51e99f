//! Which overload of an operator a call means: TorchScript writes names without.

use super::value::Value;
use crate::pytorch::{inplace, ops};

type Resolved = (String, Vec<Value>, Vec<(String, Value)>);

/// Why there is no overload.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unresolved {
    /// No operator of this name is covered.
    Unknown,
    /// None of the overloads that are covered takes these arguments.
    Unfit,
}

/// Arguments that mean nothing here; overloads need not have them.
const IGNORED: [&str; 7] =
    ["layout", "device", "pin_memory", "memory_format", "non_blocking", "generator", "out"];

/// The overload that a call of this name means, and its arguments.
pub(super) fn target(
    name: &str,
    positional: Vec<Value>,
    named: Vec<(String, Value)>,
) -> Result<Resolved, Unresolved> {
    let in_place = inplace::computed_by(&format!("aten.{name}"));
    let base = match &in_place {
        Some(target) => target.strip_prefix("aten.").unwrap_or_default().to_owned(),
        None => renamed(name).to_owned(),
    };
    let overload = chosen(&base, &positional, &named)?;
    let parameters: Vec<&str> = overload_parameters(&base, overload).ok_or(Unresolved::Unknown)?;
    let named = named.into_iter().filter(|(name, _)| {
        parameters.contains(&name.as_str()) || !IGNORED.contains(&name.as_str())
    });
    let own = if in_place.is_some() { name } else { &base };
    Ok((format!("aten.{own}.{overload}"), positional, named.collect()))
}

/// Names of the parameters of an operator, in order.
pub(super) fn parameters(target: &str) -> Vec<&'static str> {
    let plain = inplace::computed_by(target);
    let operator = ops::find(plain.as_deref().unwrap_or(target));
    operator.map_or(Vec::new(), |found| found.parameters.split_ascii_whitespace().collect())
}

/// The same as one text.
pub(super) fn signature(target: &str) -> &'static str {
    ops::find(target).map_or("", |operator| operator.parameters)
}

/// Whether any overload of this name is covered.
pub(super) fn is_known(name: &str) -> bool {
    let in_place = inplace::computed_by(&format!("aten.{name}"));
    let target = in_place.unwrap_or_else(|| format!("aten.{}", renamed(name)));
    ops::find(&target).is_some()
}

/// Names that are answered without an operator.
pub(super) fn is_about_values(name: &str) -> bool {
    const NAMES: [&str; 36] = [
        "dim",
        "size",
        "len",
        "numel",
        "append",
        "extend",
        "format",
        "is_floating_point",
        "add_",
        "slice",
        "__getitem__",
        "_set_item",
        "__contains__",
        "eq",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
        "__not__",
        "__is__",
        "__isnot__",
        "keys",
        "values",
        "items",
        "floordiv",
        "__range_length",
        "__derive_index",
        "is_cuda",
        "item",
        "cpu",
        "cuda",
        "data",
        "list",
        "_native_multi_head_attention",
        "_transformer_encoder_layer_fwd",
    ];
    NAMES.contains(&name)
}

/// Whether an operator gives a list: code indexes and unpacks it as one.
pub(super) fn gives_list(name: &str) -> bool {
    const LISTS: [&str; 11] = [
        "split",
        "split_with_sizes",
        "chunk",
        "unbind",
        "tensor_split",
        "meshgrid",
        "broadcast_tensors",
        "unsafe_split",
        "unsafe_chunk",
        "unsafe_split_with_sizes",
        "hsplit",
    ];
    LISTS.contains(&name)
}

/// Other names of the same operators.
fn renamed(name: &str) -> &str {
    match name {
        "unsafe_split" => "split",
        "unsafe_chunk" => "chunk",
        "unsafe_split_with_sizes" => "split_with_sizes",
        "concatenate" => "cat",
        "view_copy" => "view",
        "special_expit" => "sigmoid",
        "absolute" => "abs",
        "arctan" => "atan",
        "sigmoid_" => "sigmoid",
        other => other,
    }
}

fn overload_parameters(base: &str, overload: &str) -> Option<Vec<&'static str>> {
    let operator = ops::find(&format!("aten.{base}.{overload}"))?;
    Some(operator.parameters.split_ascii_whitespace().collect())
}

/// Overloads of a name, in the order of their table.
fn overloads(base: &str) -> Vec<&'static str> {
    let all = ops::names().filter_map(|name| name.strip_prefix("aten.")?.split_once('.'));
    all.filter(|(name, _)| *name == base).map(|(_, overload)| overload).collect()
}

fn chosen(
    base: &str,
    positional: &[Value],
    named: &[(String, Value)],
) -> Result<&'static str, Unresolved> {
    let candidates = overloads(base);
    match candidates.as_slice() {
        [] => return Err(Unresolved::Unknown),
        [only] => return Ok(only),
        _ => {}
    }
    let by_name = |name: &str| named.iter().find(|(own, _)| own == name).map(|(_, value)| value);
    if let Some(wanted) = special(base, positional, &by_name)
        && let Some(found) = candidates.iter().find(|name| **name == wanted)
    {
        return Ok(found);
    }
    let fits = |overload: &&&'static str| {
        let Some(parameters) = overload_parameters(base, overload) else { return false };
        positional.len() <= parameters.len()
            && named.iter().all(|(name, _)| {
                parameters.contains(&name.as_str()) || IGNORED.contains(&name.as_str())
            })
            && suits(overload, &parameters, positional, &by_name)
    };
    candidates.iter().find(fits).copied().ok_or(Unresolved::Unfit)
}

/// Whether tensors and numbers stand where an overload's name says so.
fn suits<'v>(
    overload: &str,
    parameters: &[&str],
    positional: &'v [Value],
    by_name: &dyn Fn(&str) -> Option<&'v Value>,
) -> bool {
    let last = parameters.iter().position(|name| {
        matches!(*name, "other" | "value" | "exponent" | "max" | "min" | "weight" | "end")
    });
    let given = last.and_then(|at| {
        positional.get(at).or_else(|| by_name(parameters.get(at).copied().unwrap_or_default()))
    });
    match (overload, given) {
        ("Tensor" | "Tensor_mode" | "Tensor_Tensor", Some(given)) => {
            matches!(given, Value::Tensor(_))
        }
        ("Scalar" | "Scalar_mode" | "Tensor_Scalar", Some(given)) => {
            !matches!(given, Value::Tensor(_))
        }
        _ => true,
    }
}

/// Operators whose overloads differ in what their arguments are.
fn special<'v>(
    base: &str,
    positional: &'v [Value],
    by_name: &dyn Fn(&str) -> Option<&'v Value>,
) -> Option<&'static str> {
    let second = positional.get(1);
    let dim = second.or_else(|| by_name("dim"));
    let is_list = |value: Option<&Value>| matches!(value, Some(Value::List(_) | Value::Tuple(..)));
    Some(match base {
        "sum" | "mean" | "prod" | "any" | "all" | "max" | "min" => match (base, dim, second) {
            ("max" | "min", _, Some(Value::Tensor(_))) => "other",
            (_, None, _) | (_, Some(Value::None), None) => "default",
            ("sum", ..) => "dim_IntList",
            ("mean" | "max" | "min", ..) => "dim",
            ("prod", ..) => "dim_int",
            (_, given, _) if is_list(given) => "dims",
            _ => "dim",
        },
        "std" | "var" | "std_mean" | "var_mean" => match (dim, by_name("correction")) {
            (_, Some(_)) => "correction",
            (None | Some(Value::Bool(_)), _) => "default",
            _ => "dim",
        },
        "to" => match (second, by_name("device"), by_name("dtype")) {
            (Some(Value::Tensor(_)), ..) => "other",
            (Some(Value::Int(_)), ..) => "dtype",
            (Some(Value::Device(_)), ..) => "device",
            (Some(Value::None), ..) => "prim_Device",
            (None, _, Some(_)) => "dtype_layout",
            _ => "device",
        },
        "split" => {
            if is_list(second) {
                "sizes"
            } else {
                "Tensor"
            }
        }
        "tensor_split" => {
            if is_list(second) {
                "indices"
            } else {
                "sections"
            }
        }
        "squeeze" => match second {
            None => "default",
            given if is_list(given) => "dims",
            _ => "dim",
        },
        "arange" => match positional.len() {
            1 => "default",
            2 => "start",
            _ => "start_step",
        },
        // What follows the groups is about speed.
        "_convolution" => "default",
        "pow" => match (positional.first(), second) {
            (Some(Value::Tensor(_)), Some(Value::Tensor(_))) => "Tensor_Tensor",
            (Some(Value::Tensor(_)), _) => "Tensor_Scalar",
            _ => "Scalar",
        },
        "where" => match (second, positional.get(2)) {
            (Some(Value::Tensor(_)), Some(Value::Tensor(_))) => "self",
            (Some(Value::Tensor(_)), _) => "ScalarOther",
            (_, Some(Value::Tensor(_))) => "ScalarSelf",
            _ => "Scalar",
        },
        "norm" => match (positional.len(), by_name("dtype")) {
            (..=2, _) => "Scalar",
            (_, Some(_)) => "ScalarOpt_dim_dtype",
            _ => "ScalarOpt_dim",
        },
        "scatter" => match positional.get(3) {
            _ if by_name("reduce").is_some() => "reduce",
            Some(Value::Tensor(_)) => "src",
            _ => "value",
        },
        "clamp" => match (second, positional.get(2)) {
            (Some(Value::Tensor(_)), _) | (_, Some(Value::Tensor(_))) => "Tensor",
            _ => "default",
        },
        "clamp_min" | "clamp_max" => match second {
            Some(Value::Tensor(_)) => "Tensor",
            _ => "default",
        },
        "conv1d" | "conv2d" | "conv3d" => match positional.get(4) {
            Some(Value::Text(_)) => "padding",
            _ => "default",
        },
        "count_nonzero" if is_list(dim) => "dim_IntList",
        "movedim" | "moveaxis" if is_list(second) => "intlist",
        _ if base.contains("upsample") => resized(base, positional),
        _ => return None,
    })
}

/// `vec` takes scales as a list, or no size.
fn resized(base: &str, positional: &[Value]) -> &'static str {
    let scales = if base.contains("nearest") { 2 } else { 3 };
    match (positional.get(1), positional.get(scales)) {
        (Some(Value::None), _) | (_, Some(Value::List(_))) => "vec",
        _ if positional.len() == scales + 1 => "vec",
        _ => "default",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, positional: Vec<Value>, expected: &str) {
        let found = target(name, positional, Vec::new()).map(|(target, ..)| target);
        assert_eq!(found.as_deref(), Ok(expected), "{name}");
    }

    #[test]
    fn overloads_are_found_by_what_stands_in_calls() {
        let list = || Value::list(vec![Value::Int(1)]);
        check("sum", vec![Value::None], "aten.sum.default");
        check("mean", vec![Value::None, list(), Value::Bool(true)], "aten.mean.dim");
        check("any", vec![Value::None, Value::Int(1)], "aten.any.dim");
        check("split", vec![Value::None, list(), Value::Int(1)], "aten.split.sizes");
        check("to", vec![Value::None, Value::Int(6)], "aten.to.dtype");
        check("add_", vec![Value::None, Value::Float(1.0)], "aten.add_.Scalar");
        check(
            "masked_fill_",
            vec![Value::None, Value::None, Value::Int(0)],
            "aten.masked_fill_.Scalar",
        );
        check(
            "upsample_nearest2d",
            vec![Value::None, list(), Value::None],
            "aten.upsample_nearest2d.vec",
        );
        let unresolved = |name: &str, positional| target(name, positional, Vec::new()).unwrap_err();
        assert_eq!(unresolved("no_such_operator", Vec::new()), Unresolved::Unknown);
        // More arguments than any overload of it has.
        assert_eq!(unresolved("eq", vec![Value::None; 5]), Unresolved::Unfit);
    }
}
