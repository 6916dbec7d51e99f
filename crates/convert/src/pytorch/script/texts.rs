//! Texts of Python: messages, names, keys.

use super::numbers::float_text;
use super::value::Value;

/// Letters that one text may have.
const MOST_LETTERS: usize = 1 << 20;

/// Why there is no text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It depends on what is not known at conversion: a free size, an element.
    Open,
    /// What the code raises.
    Raised(String),
    /// More letters than are allowed.
    TooLong,
}

type Result<T> = std::result::Result<T, Fault>;

/// What a function of texts gives; `None` where it is none.
pub(super) fn call(name: &str, positional: &[Value]) -> Option<Result<Value>> {
    let text = |text: String| Some(Ok(Value::text(&text)));
    Some(match (name, positional) {
        ("format", [Value::Text(pattern), rest @ ..]) => made(format(pattern, rest)),
        ("percentFormat", [Value::Text(pattern), Value::Tuple(values, _)]) => {
            made(percent_format(pattern, values))
        }
        ("percentFormat", [Value::Text(pattern), value]) => {
            made(percent_format(pattern, std::slice::from_ref(value)))
        }
        ("str", [value]) => made(plain(value)),
        ("add", [Value::Text(one), other]) => {
            made(plain(other).and_then(|other| bounded(format!("{one}{other}"))))
        }
        ("len", [Value::Text(own)]) => Ok(Value::Int(own.chars().count() as i64)),
        ("lower", [Value::Text(own)]) => return text(own.to_lowercase()),
        ("upper", [Value::Text(own)]) => return text(own.to_uppercase()),
        ("strip", [Value::Text(own)]) => return text(own.trim().to_owned()),
        ("startswith", [Value::Text(own), Value::Text(part)]) => {
            Ok(Value::Bool(own.starts_with(&**part)))
        }
        ("endswith", [Value::Text(own), Value::Text(part)]) => {
            Ok(Value::Bool(own.ends_with(&**part)))
        }
        ("__contains__", [Value::Text(own), Value::Text(part)]) => {
            Ok(Value::Bool(own.contains(&**part)))
        }
        ("replace", [Value::Text(own), Value::Text(from), Value::Text(to)]) => {
            let more = own.matches(&**from).count().saturating_mul(to.len());
            match more > MOST_LETTERS {
                true => Err(Fault::TooLong),
                false => made(bounded(own.replace(&**from, to))),
            }
        }
        ("split", [Value::Text(own), Value::Text(by)]) if !by.is_empty() => {
            Ok(Value::list(own.split(&**by).map(Value::text).collect()))
        }
        ("join", [Value::Text(by), Value::List(items)]) => made(join(by, &items.borrow())),
        _ => return None,
    })
}

fn made(text: Result<String>) -> Result<Value> {
    text.map(|text| Value::text(&text))
}

fn bounded(text: String) -> Result<String> {
    if text.len() > MOST_LETTERS { Err(Fault::TooLong) } else { Ok(text) }
}

fn join(by: &str, items: &[Value]) -> Result<String> {
    let mut text = String::new();
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            text.push_str(by);
        }
        text.push_str(&plain(item)?);
        if text.len() > MOST_LETTERS {
            return Err(Fault::TooLong);
        }
    }
    Ok(text)
}

/// A pattern with `{}` filled in.
fn format(pattern: &str, values: &[Value]) -> Result<String> {
    let mut values = values.iter();
    let mut parts = pattern.split("{}");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let value = values.next();
        let value =
            value.ok_or_else(|| Fault::Raised("Too few arguments for format string".into()));
        text.push_str(&plain(value?)?);
        text.push_str(part);
        if text.len() > MOST_LETTERS {
            return Err(Fault::TooLong);
        }
    }
    Ok(text)
}

/// A pattern with `%d`, `%f`, `%s` filled in, as far as TorchScript has it: no widths.
fn percent_format(pattern: &str, values: &[Value]) -> Result<String> {
    let raised = |text: &str| Err(Fault::Raised(text.to_owned()));
    let mut left = values.iter();
    let mut text = String::new();
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            text.push(letter);
            continue;
        }
        let Some(key) = letters.next() else { return raised("Incomplete format specifier") };
        if key == '%' {
            text.push('%');
            continue;
        }
        let Some(value) = left.next() else { return raised("Too few arguments for format string") };
        text.push_str(&specified(key, value)?);
        if text.len() > MOST_LETTERS {
            return Err(Fault::TooLong);
        }
    }
    if left.next().is_some() {
        return raised("Too many arguments for format string");
    }
    Ok(text)
}

/// A value as a letter behind `%` asks for it.
fn specified(key: char, value: &Value) -> Result<String> {
    let whole = |value: f64| format!("{}", value as i32);
    Ok(match (key, value) {
        ('s', value) => plain(value)?,
        (_, Value::Number(_) | Value::Tensor(_) | Value::Lost) => return Err(Fault::Open),
        ('d' | 'i', Value::Int(value)) => value.to_string(),
        ('d' | 'i', Value::Float(value)) => whole(*value),
        ('f' | 'F', Value::Int(value)) => format!("{:.6}", *value as f64),
        ('f' | 'F', Value::Float(value)) => format!("{value:.6}"),
        ('e' | 'E', Value::Int(value)) => scientific(key, *value as f64),
        ('e' | 'E', Value::Float(value)) => scientific(key, *value),
        ('c', Value::Text(text)) => text.to_string(),
        ('d' | 'i' | 'f' | 'F' | 'e' | 'E' | 'c', other) => {
            let text = format!("%{key} in a format string stands for {}", other.type_name());
            return Err(Fault::Raised(text));
        }
        _ => {
            let text = "is not supported in TorchScript format strings";
            return Err(Fault::Raised(format!("The specifier %{key} {text}")));
        }
    })
}

/// Six digits and an exponent of at least two.
fn scientific(key: char, value: f64) -> String {
    let text = format!("{value:.6e}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    match exponent.strip_prefix('-') {
        Some(exponent) => format!("{digits}{key}-{exponent:0>2}"),
        None => format!("{digits}{key}+{exponent:0>2}"),
    }
}

/// A value as TorchScript prints it: texts in lists have no quotes there.
fn plain(value: &Value) -> Result<String> {
    let all = |items: &[Value]| -> Result<String> {
        let items: Result<Vec<String>> = items.iter().map(plain).collect();
        bounded(items?.join(", "))
    };
    Ok(match value {
        Value::Text(text) | Value::Device(text) => text.to_string(),
        Value::Float(value) => float_text(*value),
        Value::None | Value::Bool(_) | Value::Int(_) => shown(value),
        Value::List(items) => format!("[{}]", all(&items.borrow())?),
        Value::Tuple(items, _) if items.len() == 1 => format!("({},)", all(items)?),
        Value::Tuple(items, _) => format!("({})", all(items)?),
        // The text of an object, dict or function is nothing to compute with.
        _ => return Err(Fault::Open),
    })
}

/// A value for people, as Python shows it; not all of what is long.
pub(super) fn shown(value: &Value) -> String {
    let mut text = String::new();
    show(value, &mut text);
    text
}

fn show(value: &Value, text: &mut String) {
    const MOST_SHOWN: usize = 1000;
    if text.len() > MOST_SHOWN {
        return;
    }
    let plain = match value {
        Value::None => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => format!("{value:?}"),
        Value::Text(text) | Value::Device(text) => format!("'{text}'"),
        Value::Number(number) => number.name.clone(),
        Value::Tensor(tensor) => tensor.name.clone(),
        Value::List(items) => return show_all('[', &items.borrow(), ']', text),
        Value::Tuple(items, _) => return show_all('(', items, ')', text),
        other => other.type_name().into(),
    };
    text.push_str(&plain);
}

fn show_all(open: char, items: &[Value], close: char, text: &mut String) {
    const MOST_ITEMS: usize = 20;
    text.push(open);
    for (index, item) in items.iter().take(MOST_ITEMS).enumerate() {
        text.push_str(if index > 0 { ", " } else { "" });
        show(item, text);
    }
    text.push_str(if items.len() > MOST_ITEMS { ", ..." } else { "" });
    text.push(close);
}

#[cfg(test)]
mod tests {
    use super::super::value::{Number, NumberKind};
    use super::*;

    fn check(name: &str, values: &[Value], expected: &str) {
        let found = call(name, values).unwrap();
        assert_eq!(found.map(|found| shown(&found)), Ok(format!("'{expected}'")), "{name}");
    }

    #[test]
    fn texts_are_those_of_torchscript() {
        // torch 2.15: "{} {}".format(["x", "y"], ("a", 1.0)), and so on.
        let list = Value::list(vec![Value::text("x"), Value::text("y")]);
        let tuple = Value::tuple(vec![Value::text("a"), Value::Float(1.0)]);
        check("format", &[Value::text("{} {}"), list, tuple], "[x, y] (a, 1.)");
        check("str", &[Value::Float(0.1)], "0.10000000000000001");
        check("str", &[Value::Bool(true)], "True");
        let values = vec![Value::Int(7), Value::Float(2.75), Value::text("x")];
        let pattern = Value::text("%d|%f|%s|%%");
        check("percentFormat", &[pattern, Value::tuple(values)], "7|2.750000|x|%");
        check("percentFormat", &[Value::text("%E"), Value::Float(2.75)], "2.750000E+00");
        check("percentFormat", &[Value::text("f%d"), Value::Int(3)], "f3");
        let error = call("percentFormat", &[Value::text("%d %d"), Value::Int(3)]).unwrap();
        assert!(matches!(error, Err(Fault::Raised(text)) if text.contains("Too few arguments")));
    }

    #[test]
    fn a_text_of_a_free_size_is_open() {
        let number = Number { name: "n".into(), kind: NumberKind::Int, worlds: None };
        let number = Value::Number(number.into());
        let list = Value::list(vec![number.clone()]);
        for values in
            [vec![Value::text("{}"), number.clone()], vec![Value::text("{}"), list.clone()]]
        {
            assert_eq!(call("format", &values).unwrap().unwrap_err(), Fault::Open);
        }
        assert_eq!(call("str", std::slice::from_ref(&number)).unwrap().unwrap_err(), Fault::Open);
        for pattern in ["%d", "%s"] {
            let values = [Value::text(pattern), number.clone()];
            assert_eq!(call("percentFormat", &values).unwrap().unwrap_err(), Fault::Open);
        }
    }

    #[test]
    fn texts_do_not_grow_without_end() {
        let long = Value::text(&"a".repeat(MOST_LETTERS / 2 + 1));
        let both = [long.clone(), long.clone()];
        assert_eq!(call("add", &both).unwrap().unwrap_err(), Fault::TooLong);
        let all = [long.clone(), Value::text("a"), long];
        assert_eq!(call("replace", &all).unwrap().unwrap_err(), Fault::TooLong);
    }
}
