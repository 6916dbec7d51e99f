//! JSON lines: one object a line, one example an object.
//!
//! Keys with arrays of numbers are inputs of their own; keys with single numbers are the columns
//! of one input `features`, as in a table. The first usable line decides what others must have.

use anyhow::{Context, bail};
use modelyard_tensor::Shape;
use serde_json::{Map, Value};

use super::arrays::{Column, Found, data_set};
use super::bad::{Bad, quoted};
use super::targets::Raw;
use super::{DataSet, FEW_CLASSES, InputKind, Options, TARGET_NAMES, TaskKind};

/// Most numbers of all lines: 1 GiB of them.
const NUMBERS_MAX: usize = 1 << 28;
/// Most bytes of a line: parsed JSON takes many times its text.
const LINE_BYTES_MAX: usize = 64 << 20;

/// What every line has: decided by the first.
struct Form {
    /// Keys with arrays, and the shapes of these.
    arrays: Vec<(String, Shape)>,
    /// Keys with single numbers.
    scalars: Vec<String>,
    target: Option<String>,
}

/// One target.
#[derive(Clone, Debug)]
enum Target {
    Number(f64),
    Text(String),
    List(Vec<f32>),
}

/// A line as far as it can be used.
struct Example {
    /// The numbers of each array.
    arrays: Vec<Vec<f32>>,
    scalars: Vec<f32>,
    target: Option<Target>,
}

/// Reads all lines.
pub(super) fn read(content: &[u8], options: &Options) -> anyhow::Result<DataSet> {
    let mut bad = Bad::default();
    let mut form: Option<Form> = None;
    let mut examples: Vec<Example> = Vec::new();
    let mut numbers = 0usize;
    for (index, line) in content.split(|byte| *byte == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match example(line, &mut form, options) {
            Ok(example) => {
                numbers += example.arrays.iter().map(Vec::len).sum::<usize>();
                numbers += example.scalars.len();
                if numbers > NUMBERS_MAX {
                    bail!("the lines hold more than {NUMBERS_MAX} numbers");
                }
                examples.push(example);
            }
            Err(error) => bad.note(format!("line {}", index + 1), format!("{error:#}"))?,
        }
    }
    let skipped = bad.finish(examples.len(), options.skip_bad)?;
    let Some(form) = form else { bail!("there are no lines") };
    let targets = targets(&examples, options.task)?;
    data_set(Found { inputs: inputs(&form, examples), targets }, None, options, skipped)
}

/// The example of a line; an error says what is wrong with it.
fn example(line: &[u8], form: &mut Option<Form>, options: &Options) -> anyhow::Result<Example> {
    if line.len() > LINE_BYTES_MAX {
        bail!("it is longer than {LINE_BYTES_MAX} bytes");
    }
    let value = serde_json::from_slice(line).context("not valid JSON")?;
    let Value::Object(object) = value else { bail!("expected an object") };
    if let Some(form) = form {
        return form.read(&object);
    }
    let first = Form::of(&object, options)?;
    let example = first.read(&object)?;
    *form = Some(first);
    Ok(example)
}

impl Form {
    fn of(object: &Map<String, Value>, options: &Options) -> anyhow::Result<Form> {
        let has = |name: &&str| object.contains_key(*name);
        let unlabelled = options.task == Some(TaskKind::Unlabelled);
        let target = match &options.target {
            Some(target) if !unlabelled && !object.contains_key(target) => {
                bail!("there is no key '{target}'")
            }
            Some(target) => Some(target.clone()),
            None => TARGET_NAMES.into_iter().find(|name| has(name)).map(str::to_owned),
        };
        let mut form = Form { arrays: Vec::new(), scalars: Vec::new(), target };
        for (key, value) in object {
            if options.ignore.contains(key) || form.target.as_ref() == Some(key) {
                continue;
            }
            match value {
                Value::Array(_) => form.arrays.push((key.clone(), shape_of(value))),
                Value::Number(_) => form.scalars.push(key.clone()),
                _ => bail!(
                    "key '{key}': expected numbers, found {} (--ignore {key} leaves it out)",
                    shown(value)
                ),
            }
        }
        if unlabelled {
            form.target = None;
        }
        if form.arrays.is_empty() && form.scalars.is_empty() {
            bail!("there are no numbers to be inputs");
        }
        Ok(form)
    }

    fn read(&self, object: &Map<String, Value>) -> anyhow::Result<Example> {
        let value = |key: &str| object.get(key).with_context(|| format!("there is no key '{key}'"));
        let mut example = Example { arrays: Vec::new(), scalars: Vec::new(), target: None };
        for (key, shape) in &self.arrays {
            let mut numbers = Vec::with_capacity(shape.elements().unwrap_or(0).min(1 << 20));
            flatten(value(key)?, shape, &mut numbers).with_context(|| format!("key '{key}'"))?;
            example.arrays.push(numbers);
        }
        for key in &self.scalars {
            let number = number(value(key)?).with_context(|| format!("key '{key}'"))?;
            example.scalars.push(number);
        }
        if let Some(key) = &self.target {
            let target = target(value(key)?).with_context(|| format!("key '{key}'"))?;
            example.target = Some(target);
        }
        Ok(example)
    }
}

/// The shape along the first elements.
fn shape_of(mut value: &Value) -> Shape {
    let mut shape = Shape::default();
    while let Value::Array(items) = value {
        shape.push(items.len());
        match items.first() {
            Some(first) => value = first,
            None => break,
        }
    }
    shape
}

/// Appends the numbers of nested arrays, which must have this shape.
fn flatten(value: &Value, shape: &[usize], numbers: &mut Vec<f32>) -> anyhow::Result<()> {
    match (value, shape) {
        (Value::Array(items), [expected, rest @ ..]) => {
            if items.len() != *expected {
                bail!("expected an array of {expected}, found {}", items.len());
            }
            items.iter().try_for_each(|item| flatten(item, rest, numbers))
        }
        (value, []) => {
            numbers.push(number(value)?);
            Ok(())
        }
        (value, [expected, ..]) => {
            bail!("expected an array of {expected}, found {}", shown(value))
        }
    }
}

fn number(value: &Value) -> anyhow::Result<f32> {
    let number = value.as_f64().map(|number| number as f32).filter(|number| number.is_finite());
    number.with_context(|| format!("expected a number, found {}", shown(value)))
}

fn target(value: &Value) -> anyhow::Result<Target> {
    Ok(match value {
        Value::String(text) => Target::Text(text.clone()),
        Value::Bool(value) => Target::Text(value.to_string()),
        Value::Array(_) => {
            let mut numbers = Vec::new();
            flatten(value, &shape_of(value), &mut numbers)?;
            Target::List(numbers)
        }
        value => {
            number(value)?;
            Target::Number(value.as_f64().unwrap_or_default())
        }
    })
}

fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::String(text) => quoted(text),
        other => other.to_string(),
    }
}

fn inputs(form: &Form, examples: Vec<Example>) -> Vec<(String, Column)> {
    let rows = examples.len();
    let mut arrays: Vec<Vec<f32>> = vec![Vec::new(); form.arrays.len()];
    let mut scalars = Vec::new();
    for example in examples {
        arrays.iter_mut().zip(example.arrays).for_each(|(all, one)| all.extend(one));
        scalars.extend(example.scalars);
    }
    let mut inputs = Vec::new();
    for ((name, shape), values) in form.arrays.iter().zip(arrays) {
        let column = Column::floats(shape.clone(), values, rows, InputKind::Tensor);
        inputs.push((name.clone(), column));
    }
    if !form.scalars.is_empty() {
        let kind = InputKind::Table(form.scalars.clone());
        let column = Column::floats([form.scalars.len()].into(), scalars, rows, kind);
        inputs.push(("features".to_owned(), column));
    }
    inputs
}

fn targets(examples: &[Example], task: Option<TaskKind>) -> anyhow::Result<Raw> {
    let targets: Option<Vec<&Target>> =
        examples.iter().map(|example| example.target.as_ref()).collect();
    let Some(targets) = targets else { return Ok(Raw::Unknown) };
    let numbers = targets.iter().map(|target| match target {
        Target::Number(number) => Some(*number),
        _ => None,
    });
    if let Some(numbers) = numbers.collect::<Option<Vec<f64>>>() {
        return Ok(of_numbers(&numbers, task));
    }
    if let Some(Target::List(first)) = targets.first() {
        let mut all = Vec::new();
        for target in &targets {
            match target {
                Target::List(values) if values.len() == first.len() && !values.is_empty() => {
                    all.extend_from_slice(values);
                }
                _ => bail!("expected {} numbers as the target of every line", first.len()),
            }
        }
        return Ok(Raw::Values(first.len(), all));
    }
    let texts = targets.iter().map(|target| match target {
        Target::Text(text) => Ok(text.clone()),
        Target::Number(number) => Ok(number.to_string()),
        Target::List(_) => bail!("some targets are arrays and some are not"),
    });
    Ok(Raw::Texts(texts.collect::<anyhow::Result<_>>()?))
}

fn of_numbers(numbers: &[f64], task: Option<TaskKind>) -> Raw {
    let whole = numbers.iter().all(|number| number.fract() == 0.0 && number.abs() < 1e15);
    let mut distinct: Vec<u64> = numbers.iter().map(|number| number.to_bits()).collect();
    distinct.sort_unstable();
    distinct.dedup();
    match whole && (task == Some(TaskKind::Classification) || distinct.len() <= FEW_CLASSES) {
        true => Raw::Integers(numbers.iter().map(|&number| number as i64).collect()),
        false => Raw::Values(1, numbers.iter().map(|&number| number as f32).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Task;
    use super::super::testing::{classes, floats, values};
    use super::*;
    use proptest::prelude::*;

    fn open(text: &str) -> anyhow::Result<DataSet> {
        read(text.as_bytes(), &Options::default())
    }

    #[test]
    fn arrays_are_inputs_and_single_numbers_columns() {
        let data = open(
            "{\"x\": [[1, 2]], \"w\": 5, \"v\": 0.5, \"label\": \"b\"}\n\n\
             {\"x\": [[3, 4]], \"w\": 6, \"v\": 1.5, \"label\": \"a\"}\n",
        )
        .unwrap();
        assert_eq!(data.inputs.len(), 2);
        assert_eq!((data.inputs[0].name.as_str(), data.inputs[0].shape.dims()), ("x", &[1, 2][..]));
        assert_eq!(data.inputs[1].kind, InputKind::Table(vec!["v".into(), "w".into()]));
        assert_eq!(floats(&*data.train), [1., 2., 3., 4.]);
        assert_eq!(classes(&*data.train), [1, 0]);
    }

    #[test]
    fn targets_may_be_values_or_missing() {
        let data = open("{\"x\": [1], \"y\": [0.5, 2]}\n{\"x\": [2], \"y\": [1, 3]}").unwrap();
        assert_eq!(data.task, Task::Regression { width: 2 });
        assert_eq!(values(&*data.train), [0.5, 2., 1., 3.]);
        assert_eq!(open("{\"x\": [1]}").unwrap().task, Task::Unlabelled);
        let classes = Task::Classification { labels: vec!["3".into()] };
        assert_eq!(open("{\"x\": [1], \"target\": 3}").unwrap().task, classes);
    }

    #[test]
    fn bad_lines_are_told() {
        let text = "{\"x\": [1, 2], \"y\": 0}\n{\"x\": [1], \"y\": 0}\n{\"x\": [1, null]}\nx\n";
        let error = open(text).err().unwrap().to_string();
        for expected in [
            "line 2: key 'x': expected an array of 2, found 1",
            "line 3: key 'x': expected a number, found null",
            "line 4: not valid JSON",
        ] {
            assert!(error.contains(expected), "{error}");
        }
        let text = "{\"x\": [1], \"id\": \"a7\", \"y\": 1}";
        let error = open(text).err().unwrap().to_string();
        assert!(error.contains("--ignore id leaves it out"), "{error}");
        let options = Options { ignore: vec!["id".into()], ..Options::default() };
        assert_eq!(read(text.as_bytes(), &options).unwrap().train.len(), 1);
    }

    proptest! {
        #[test]
        fn any_lines_are_read_or_refused(
            lines in proptest::collection::vec("\\{\"x\": [\\[\\]0-9,.e\"]{0,8}(, \"y\": [0-9\\[\\]]{1,3})?\\}", 0..4),
            skip_bad: bool,
        ) {
            let options = Options { skip_bad, ..Options::default() };
            if let Ok(data) = read(lines.join("\n").as_bytes(), &options) {
                let all: Vec<usize> = (0..data.train.len()).collect();
                prop_assert_eq!(data.train.load(&all).unwrap().len(), all.len());
            }
        }
    }
}
