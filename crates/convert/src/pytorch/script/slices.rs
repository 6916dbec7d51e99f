//! Parts of lists, tuples and texts.

use super::containers::{Result, open, raised};
use super::value::Value;

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
    use super::super::texts::shown;
    use super::*;

    #[test]
    fn slices_are_those_of_python() {
        let check = |parts: [Option<i64>; 3], expected: &str| {
            let mut arguments = vec![Value::list((0..5).map(Value::Int).collect())];
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
}
