//! Lists of Python.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::rc::Rc;

use super::builtin::counted;
use super::containers::{Done, Fault, Result, contains, open, raised};
use super::value::Value;

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

pub(super) fn list(
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
