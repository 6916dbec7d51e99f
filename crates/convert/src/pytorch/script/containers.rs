//! Lists, tuples and dicts of Python.

use std::cell::RefCell;
use std::rc::Rc;

use super::lists::list;
use super::value::Value;

/// A result, and whether the call changed a list or dict.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) value: Value,
    pub(super) changes: bool,
}

/// Why a call gives nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// What the code raises.
    Raised(String),
    /// It depends on what is not known at conversion: a free size, an element.
    Open(String),
}

pub(super) type Result<T> = std::result::Result<T, Fault>;

pub(super) fn raised<T>(text: impl Into<String>) -> Result<T> {
    Err(Fault::Raised(text.into()))
}

pub(super) fn open<T>(what: impl Into<String>) -> Result<T> {
    Err(Fault::Open(what.into()))
}

/// An error for a key that is not known.
pub(super) fn check_key(key: &Value) -> Result<()> {
    if key.is_computed() { open("a key of a dict that is not known at conversion") } else { Ok(()) }
}

/// What a method gives; `None` where it is none of these values.
pub(super) fn call(
    name: &str,
    positional: &[Value],
    named: &[(String, Value)],
) -> Result<Option<Done>> {
    let seen = |value: Value| Ok(Some(Done { value, changes: false }));
    match (name, positional) {
        ("__is__" | "__isnot__", [one, two]) => {
            let same = match (one, two) {
                (Value::Lost, _) | (_, Value::Lost) => return Ok(None),
                (Value::None, Value::None) => true,
                (Value::None, _) | (_, Value::None) => false,
                (Value::List(one), Value::List(two)) => Rc::ptr_eq(one, two),
                (Value::Object(one), Value::Object(two)) => Rc::ptr_eq(one, two),
                (Value::Dict(one), Value::Dict(two)) => Rc::ptr_eq(one, two),
                (Value::Tensor(_), _) => return Ok(None),
                _ => match one.equals(two) {
                    Some(same) => same,
                    None => return open("whether two values are one"),
                },
            };
            seen(Value::Bool(same == (name == "__is__")))
        }
        ("dict", []) => seen(Value::dict(Vec::new())),
        ("dict" | "Dict", [Value::Dict(entries)]) => seen(Value::dict(entries.borrow().clone())),
        ("dict", [Value::List(pairs)]) => {
            let entries = Rc::new(RefCell::new(Vec::new()));
            for pair in pairs.borrow().iter() {
                if let Some([key, value]) = pair.items().as_deref() {
                    check_key(key)?;
                    put(&entries, key, value);
                }
            }
            seen(Value::Dict(entries))
        }
        ("eq" | "ne", [one, two])
            if !one.has_tensor() && !two.has_tensor() && is_compound(one, two) =>
        {
            match one.equals(two) {
                Some(same) => seen(Value::Bool(same == (name == "eq"))),
                None if one.is_lost() || two.is_lost() => Ok(None),
                None => open("whether two values are equal"),
            }
        }
        (_, [Value::List(items), rest @ ..]) => list(name, items, rest, named),
        (_, [Value::Tuple(items, _), ..]) => tuple(name, items, positional),
        (_, [Value::Dict(_), key, ..]) if name != "update" && key.is_computed() => {
            check_key(key).map(|()| None)
        }
        (_, [Value::Dict(entries), rest @ ..]) => dict(name, entries, rest),
        _ => Ok(None),
    }
}

fn is_compound(one: &Value, two: &Value) -> bool {
    let is = |value: &Value| {
        matches!(
            value,
            Value::List(_)
                | Value::Tuple(..)
                | Value::Dict(_)
                | Value::Text(_)
                | Value::None
                | Value::Object(_)
                | Value::Device(_)
        )
    };
    is(one) || is(two)
}

fn tuple(name: &str, items: &Rc<Vec<Value>>, positional: &[Value]) -> Result<Option<Done>> {
    let value = match (name, positional) {
        ("len", [_]) => Value::Int(items.len() as i64),
        ("__contains__", [_, wanted]) => return contains(items, wanted),
        ("add", [_, Value::Tuple(more, _)]) => {
            Value::tuple(items.iter().chain(more.iter()).cloned().collect())
        }
        ("list", [_]) => Value::list(items.to_vec()),
        _ => return Ok(None),
    };
    Ok(Some(Done { value, changes: false }))
}

pub(super) fn contains(items: &[Value], wanted: &Value) -> Result<Option<Done>> {
    let mut is_unknown = false;
    for item in items {
        match item.equals(wanted) {
            Some(true) => return Ok(Some(Done { value: Value::Bool(true), changes: false })),
            Some(false) => {}
            None => is_unknown = true,
        }
    }
    match is_unknown {
        true => open("whether a list contains a value that is not known at conversion"),
        false => Ok(Some(Done { value: Value::Bool(false), changes: false })),
    }
}

fn dict(
    name: &str,
    entries: &Rc<RefCell<Vec<(Value, Value)>>>,
    rest: &[Value],
) -> Result<Option<Done>> {
    let mut changes = false;
    let value = match (name, rest) {
        ("len", []) => Value::Int(entries.borrow().len() as i64),
        ("keys", []) => Value::list(entries.borrow().iter().map(|(key, _)| key.clone()).collect()),
        ("values", []) => {
            Value::list(entries.borrow().iter().map(|(_, value)| value.clone()).collect())
        }
        ("items", []) => {
            let pair =
                |(key, value): &(Value, Value)| Value::tuple(vec![key.clone(), value.clone()]);
            Value::list(entries.borrow().iter().map(pair).collect())
        }
        ("__contains__", [key]) => Value::Bool(get(entries, key).is_some()),
        ("get", [key]) => get(entries, key).unwrap_or(Value::None),
        ("get", [key, default]) => get(entries, key).unwrap_or_else(|| default.clone()),
        ("copy", []) => Value::dict(entries.borrow().clone()),
        _ => {
            changes = true;
            match changed(name, entries, rest)? {
                Some(value) => value,
                None => return Ok(None),
            }
        }
    };
    Ok(Some(Done { value, changes }))
}

fn changed(
    name: &str,
    entries: &Rc<RefCell<Vec<(Value, Value)>>>,
    rest: &[Value],
) -> Result<Option<Value>> {
    Ok(Some(match (name, rest) {
        ("setdefault", [key, default]) => match get(entries, key) {
            Some(value) => value,
            None => {
                put(entries, key, default);
                default.clone()
            }
        },
        ("pop" | "Delete" | "__delitem__", [key, more @ ..]) => {
            let at = entries.borrow().iter().position(|(own, _)| own.equals(key) == Some(true));
            match (at, more.first()) {
                (Some(at), _) => entries.borrow_mut().remove(at).1,
                (None, Some(default)) => default.clone(),
                (None, None) => {
                    return raised(format!("KeyError: {}", super::texts::shown(key)));
                }
            }
        }
        ("update", [Value::Dict(other)]) => {
            for (key, value) in other.borrow().clone() {
                put(entries, &key, &value);
            }
            Value::None
        }
        ("clear", []) => {
            entries.borrow_mut().clear();
            Value::None
        }
        _ => return Ok(None),
    }))
}

/// The value under a key.
pub(super) fn get(entries: &Rc<RefCell<Vec<(Value, Value)>>>, key: &Value) -> Option<Value> {
    let entries = entries.borrow();
    let found = entries.iter().find(|(own, _)| own.equals(key) == Some(true));
    found.map(|(_, value)| value.clone())
}

/// Puts a value under a key.
pub(super) fn put(entries: &Rc<RefCell<Vec<(Value, Value)>>>, key: &Value, value: &Value) {
    let mut entries = entries.borrow_mut();
    match entries.iter_mut().find(|(own, _)| own.equals(key) == Some(true)) {
        Some((_, own)) => *own = value.clone(),
        None => entries.push((key.clone(), value.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ints(values: &[i64]) -> Value {
        Value::list(values.iter().map(|&value| Value::Int(value)).collect())
    }

    fn shown(value: &Value) -> String {
        super::super::texts::shown(value)
    }

    #[test]
    fn lists_are_shared_and_dicts_keep_their_order() {
        let list = ints(&[3, 1]);
        let done = call("append", &[list.clone(), Value::Int(2)], &[]).unwrap().unwrap();
        assert!(done.changes);
        call("sort", std::slice::from_ref(&list), &[]).unwrap();
        assert_eq!(shown(&list), "[1, 2, 3]");
        let dict = Value::dict(Vec::new());
        let Value::Dict(entries) = &dict else { unreachable!() };
        for (key, value) in [("b", 1), ("a", 2), ("b", 3)] {
            put(entries, &Value::text(key), &Value::Int(value));
        }
        let keys = call("keys", &[dict], &[]).unwrap().unwrap();
        assert_eq!(shown(&keys.value), "['b', 'a']");
    }
}
