//! Lists, tuples and dicts of Python.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::rc::Rc;

use super::builtin::counted;
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

type Result<T> = std::result::Result<T, Fault>;

fn raised<T>(text: impl Into<String>) -> Result<T> {
    Err(Fault::Raised(text.into()))
}

fn open<T>(what: impl Into<String>) -> Result<T> {
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

fn contains(items: &[Value], wanted: &Value) -> Result<Option<Done>> {
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

/// Values that are looked at in search of a list within itself.
pub(super) const MOST_VALUES: usize = 100_000;

/// Whether a value has this list in it, or more than `left` other values. Nobody would come out of it
/// again.
pub(super) fn holds(value: &Value, list: &Rc<RefCell<Vec<Value>>>, left: &mut usize) -> bool {
    if *left == 0 {
        return true;
    }
    *left -= 1;
    match value {
        Value::List(items) => {
            Rc::ptr_eq(items, list) || items.borrow().iter().any(|item| holds(item, list, left))
        }
        Value::Tuple(items, _) => items.iter().any(|item| holds(item, list, left)),
        Value::Dict(entries) => entries.borrow().iter().any(|(_, item)| holds(item, list, left)),
        _ => false,
    }
}

fn list(
    name: &str,
    items: &Rc<RefCell<Vec<Value>>>,
    rest: &[Value],
    named: &[(String, Value)],
) -> Result<Option<Done>> {
    let length = items.borrow().len();
    let mut changes = true;
    let value = match (name, rest) {
        ("append", [value]) => {
            items.borrow_mut().push(value.clone());
            Value::List(Rc::clone(items))
        }
        ("extend" | "add_", [other]) if other.items().is_some() => {
            let more = other.items().unwrap_or_default();
            items.borrow_mut().extend(more);
            Value::List(Rc::clone(items))
        }
        ("insert", [Value::Int(at), value]) => {
            let at = if *at < 0 { at + length as i64 } else { *at };
            let at = usize::try_from(at.max(0)).unwrap_or(length).min(length);
            items.borrow_mut().insert(at, value.clone());
            Value::None
        }
        ("pop", [] | [Value::Int(_)]) if length == 0 => return raised("pop from empty list"),
        ("pop", []) => items.borrow_mut().pop().unwrap_or(Value::None),
        ("pop", [Value::Int(at)]) => {
            let at = place(*at, length)?;
            items.borrow_mut().remove(at)
        }
        ("remove", [wanted]) => {
            let at = found(&items.borrow(), wanted)?;
            let at = at.ok_or_else(|| Fault::Raised("list.remove(x): x not in list".into()))?;
            items.borrow_mut().remove(at);
            Value::None
        }
        ("Delete" | "__delitem__", [Value::Int(at)]) => {
            let at = place(*at, length)?;
            items.borrow_mut().remove(at);
            Value::None
        }
        ("clear", []) => {
            items.borrow_mut().clear();
            Value::None
        }
        ("reverse", []) => {
            items.borrow_mut().reverse();
            Value::None
        }
        ("sort", more) if items.borrow().iter().all(has_order) => {
            let reverse = more.first().or(named.first().map(|(_, value)| value));
            let reverse = matches!(reverse, Some(Value::Bool(true)));
            sort(&mut items.borrow_mut(), reverse);
            Value::None
        }
        _ => {
            changes = false;
            match seen(name, items, rest)? {
                Some(value) => value,
                None => return Ok(None),
            }
        }
    };
    Ok(Some(Done { value, changes }))
}

/// An index of a list, counted from the front.
pub(super) fn place(index: i64, length: usize) -> Result<usize> {
    counted(index, length).ok_or_else(|| Fault::Raised("list index out of range".into()))
}

/// Where a value first stands in a list.
fn found(items: &[Value], wanted: &Value) -> Result<Option<usize>> {
    for (at, item) in items.iter().enumerate() {
        match item.equals(wanted) {
            Some(true) => return Ok(Some(at)),
            Some(false) => {}
            None => return open("where in a list a value stands that is not known at conversion"),
        }
    }
    Ok(None)
}

/// What lists are asked for without being changed.
fn seen(name: &str, items: &Rc<RefCell<Vec<Value>>>, rest: &[Value]) -> Result<Option<Value>> {
    let items = items.borrow();
    Ok(Some(match (name, rest) {
        ("len", []) => Value::Int(items.len() as i64),
        ("__contains__", [wanted]) => {
            return contains(&items, wanted).map(|done| done.map(|done| done.value));
        }
        ("copy" | "list", []) => Value::list(items.clone()),
        ("add", [other @ Value::List(_)]) => {
            Value::list(items.iter().cloned().chain(other.items().unwrap_or_default()).collect())
        }
        ("mul", [Value::Int(times)]) => {
            let times = usize::try_from(*times).unwrap_or(0);
            let count = items.len().checked_mul(times).filter(|&count| count <= 1 << 20);
            if count.is_none() {
                return open("a list of more than a million items");
            }
            Value::list(items.iter().cycle().take(items.len() * times).cloned().collect())
        }
        ("index", [wanted]) => match found(&items, wanted)? {
            Some(at) => Value::Int(at as i64),
            None => return raised(format!("'{}' is not in list", super::texts::shown(wanted))),
        },
        ("count", [wanted]) => {
            let mut count = 0;
            for item in items.iter() {
                match item.equals(wanted) {
                    Some(same) => count += i64::from(same),
                    None => return open("how often a list has a value that is not known"),
                }
            }
            Value::Int(count)
        }
        ("sorted", []) if items.iter().all(has_order) => {
            let mut sorted = items.clone();
            sort(&mut sorted, false);
            Value::list(sorted)
        }
        ("sum", []) if !items.is_empty() && items.iter().all(|item| item.as_scalar().is_some()) => {
            sum(&items).ok_or_else(|| Fault::Raised("a sum beyond 64 bits".into()))?
        }
        ("min" | "max", []) if items.iter().all(|item| item.as_scalar().is_some()) => {
            let mut sorted = items.clone();
            sort(&mut sorted, name == "max");
            match sorted.into_iter().next() {
                Some(first) => first,
                None => return raised(format!("{name}() arg is an empty sequence")),
            }
        }
        ("any" | "all", []) if items.iter().all(|item| item.as_scalar().is_some()) => {
            let is_true = |item: &Value| item.as_scalar().is_some_and(|item| item.as_f64() != 0.0);
            Value::Bool(match name {
                "any" => items.iter().any(is_true),
                _ => items.iter().all(is_true),
            })
        }
        _ => return Ok(None),
    }))
}

fn sum(items: &[Value]) -> Option<Value> {
    let ints: Option<Vec<i64>> = items
        .iter()
        .map(|item| match item {
            Value::Int(value) => Some(*value),
            Value::Bool(value) => Some(i64::from(*value)),
            _ => None,
        })
        .collect();
    match ints {
        Some(ints) => ints.iter().try_fold(0i64, |all, &one| all.checked_add(one)).map(Value::Int),
        None => {
            let floats = items.iter().filter_map(Value::as_scalar).map(|item| item.as_f64());
            Some(Value::Float(floats.sum()))
        }
    }
}

/// Whether [`sort`] knows where a value belongs.
fn has_order(value: &Value) -> bool {
    match value {
        Value::Tuple(items, _) => items.iter().all(is_simple),
        other => is_simple(other),
    }
}

fn is_simple(value: &Value) -> bool {
    matches!(value, Value::Text(_)) || value.as_scalar().is_some()
}

fn sort(items: &mut [Value], reverse: bool) {
    items.sort_by(|one, two| {
        let order = order(one, two);
        if reverse { order.reverse() } else { order }
    });
}

/// The order of two values: of tuples, that of the first items that differ.
fn order(one: &Value, two: &Value) -> Ordering {
    let number = |value: &Value| value.as_scalar().map_or(0.0, |value| value.as_f64());
    match (one, two) {
        (Value::Text(one), Value::Text(two)) => one.cmp(two),
        (Value::Int(one), Value::Int(two)) => one.cmp(two),
        (Value::Tuple(one, _), Value::Tuple(two, _)) => {
            let items = one.iter().zip(two.iter()).map(|(one, two)| order(one, two));
            items.into_iter().find(|order| order.is_ne()).unwrap_or(one.len().cmp(&two.len()))
        }
        _ => number(one).total_cmp(&number(two)),
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

/// A part of a list, tuple or text: what, start, end, step.
pub(super) fn slice(arguments: &[Value]) -> Result<Value> {
    let Some(of) = arguments.first() else { return open("a slice of nothing") };
    let part = |at: usize| match arguments.get(at) {
        None | Some(Value::None) => Ok(None),
        Some(Value::Int(value)) => Ok(Some(*value)),
        Some(other) => open(format!("a slice of {} at {}", of.type_name(), other.type_name())),
    };
    let (start, end, step) = (part(1)?, part(2)?, part(3)?.unwrap_or(1));
    match of {
        Value::Text(text) => {
            let letters: Vec<char> = text.chars().collect();
            let kept: String = indices(letters.len(), start, end, step)?
                .filter_map(|at| letters.get(at))
                .collect();
            Ok(Value::text(&kept))
        }
        Value::Lost => Ok(Value::Lost),
        of => {
            let Some(items) = of.items() else {
                return open(format!("a slice of {}", of.type_name()));
            };
            let kept: Vec<Value> = indices(items.len(), start, end, step)?
                .filter_map(|at| items.get(at).cloned())
                .collect();
            match of {
                Value::Tuple(..) => Ok(Value::tuple(kept)),
                _ => Ok(Value::list(kept)),
            }
        }
    }
}

fn indices(
    length: usize,
    start: Option<i64>,
    end: Option<i64>,
    step: i64,
) -> Result<impl Iterator<Item = usize>> {
    let length = length as i64;
    if step == 0 {
        return raised("slice step cannot be zero");
    }
    let (low, high) = if step > 0 { (0, length) } else { (-1, length - 1) };
    let bound = |value: Option<i64>, default: i64| match value {
        None => default,
        Some(value) if value < 0 => value.saturating_add(length).clamp(low, high),
        Some(value) => value.clamp(low, high),
    };
    let (start, end) = match step > 0 {
        true => (bound(start, 0), bound(end, length)),
        false => (bound(start, length - 1), bound(end, -1)),
    };
    let inside = move |at: &i64| if step > 0 { *at < end } else { *at > end };
    let all = std::iter::successors(Some(start), move |at| at.checked_add(step));
    Ok(all.take_while(inside).map(|at| at as usize))
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
    fn slices_are_those_of_python() {
        let check = |parts: [Option<i64>; 3], expected: &str| {
            let mut arguments = vec![ints(&[0, 1, 2, 3, 4])];
            arguments.extend(parts.map(|part| part.map_or(Value::None, Value::Int)));
            assert_eq!(shown(&slice(&arguments).unwrap()), expected, "{parts:?}");
        };
        check([None, None, None], "[0, 1, 2, 3, 4]");
        check([Some(1), Some(-1), None], "[1, 2, 3]");
        check([Some(-2), None, None], "[3, 4]");
        check([None, None, Some(2)], "[0, 2, 4]");
        check([None, None, Some(-1)], "[4, 3, 2, 1, 0]");
        check([Some(9), None, None], "[]");
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
