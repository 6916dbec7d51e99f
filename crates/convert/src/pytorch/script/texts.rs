//! Texts of Python: messages, names, keys.

use super::value::Value;

/// What a function of texts gives; `None` where it is none.
pub(super) fn call(name: &str, positional: &[Value]) -> Option<Value> {
    let text = |text: &str| Some(Value::text(text));
    match (name, positional) {
        ("format", [Value::Text(pattern), rest @ ..]) => text(&format(pattern, rest)),
        ("str", [value]) => text(&plain(value)),
        ("add", [Value::Text(one), Value::Text(two)]) => text(&format!("{one}{two}")),
        ("add", [Value::Text(one), other]) => text(&format!("{one}{}", plain(other))),
        ("len", [Value::Text(own)]) => Some(Value::Int(own.chars().count() as i64)),
        ("lower", [Value::Text(own)]) => text(&own.to_lowercase()),
        ("upper", [Value::Text(own)]) => text(&own.to_uppercase()),
        ("strip", [Value::Text(own)]) => text(own.trim()),
        ("startswith", [Value::Text(own), Value::Text(part)]) => {
            Some(Value::Bool(own.starts_with(&**part)))
        }
        ("endswith", [Value::Text(own), Value::Text(part)]) => {
            Some(Value::Bool(own.ends_with(&**part)))
        }
        ("__contains__", [Value::Text(own), Value::Text(part)]) => {
            Some(Value::Bool(own.contains(&**part)))
        }
        ("replace", [Value::Text(own), Value::Text(from), Value::Text(to)]) => {
            text(&own.replace(&**from, to))
        }
        ("split", [Value::Text(own), Value::Text(by)]) if !by.is_empty() => {
            Some(Value::list(own.split(&**by).map(Value::text).collect()))
        }
        ("join", [Value::Text(by), Value::List(items)]) => {
            let items: Vec<String> = items.borrow().iter().map(plain).collect();
            text(&items.join(by))
        }
        _ => None,
    }
}

/// A pattern with `{}` filled in.
fn format(pattern: &str, values: &[Value]) -> String {
    let mut values = values.iter();
    let mut parts = pattern.split("{}");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str(&values.next().map_or("{}".into(), plain));
        text.push_str(part);
    }
    text
}

fn plain(value: &Value) -> String {
    match value {
        Value::Text(text) => text.to_string(),
        other => shown(other),
    }
}

/// A value as Python shows it.
pub(super) fn shown(value: &Value) -> String {
    let all = |items: &[Value]| items.iter().map(shown).collect::<Vec<_>>().join(", ");
    match value {
        Value::None => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => format!("{value:?}"),
        Value::Text(text) | Value::Device(text) => format!("'{text}'"),
        Value::Number(number) => number.name.clone(),
        Value::Tensor(tensor) => tensor.name.clone(),
        Value::List(items) => format!("[{}]", all(&items.borrow())),
        Value::Tuple(items, _) => format!("({})", all(items)),
        other => other.type_name().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_filled_in() {
        let list = Value::list(vec![Value::Int(8000), Value::text("a")]);
        let found = call("format", &[Value::text("rates: {} of {}"), list, Value::Int(2)]);
        assert_eq!(shown(&found.unwrap()), "'rates: [8000, 'a'] of 2'");
    }
}
