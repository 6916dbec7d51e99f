//! The outputs as text, JSON or a file.

use std::path::Path;

use anyhow::bail;
use modelyard_tensor::Tensor;
use serde_json::{Value, json};

use super::Args;
use super::answer::Answer;
use super::classes::{self, Class};
use crate::files::write_atomically;
use crate::output;
use crate::tensors::{json as tensor_json, npy, npz};

/// Rows of a tensor that are printed, and elements of each.
const SHOWN_MAX: usize = 8;
/// Rows of classes that are printed; --json and --output have them all.
const CLASS_ROWS_MAX: usize = 32;

/// Forms of `--output`, by extension.
const EXTENSIONS: [&str; 3] = ["npy", "npz", "json"];

/// Refuses a file that could not be written in the end, before anything is computed.
pub(super) fn check_output(path: Option<&Path>) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    if !EXTENSIONS.contains(&extension(path)) {
        bail!("--output '{}' must end in .npy, .npz or .json", path.display());
    }
    Ok(())
}

fn extension(path: &Path) -> &str {
    path.extension().and_then(|extension| extension.to_str()).unwrap_or_default()
}

/// Prints the answer, or writes it to `--output`.
pub(super) fn show(answer: &Answer, args: &Args) -> anyhow::Result<()> {
    if let Some(path) = &args.output {
        write_atomically(path, &encode(answer, args.top, path)?)?;
        if !args.json {
            output::line(format!("{} -> {}", outline(answer), path.display()))?;
        }
    }
    if args.json {
        return output::json(&to_json(answer, args.top));
    }
    if args.output.is_none() {
        output::line(text(answer, args.top))?;
    }
    Ok(())
}

fn encode(answer: &Answer, top: usize, path: &Path) -> anyhow::Result<Vec<u8>> {
    match extension(path) {
        "npy" => match answer.outputs.as_slice() {
            [(_, tensor)] => Ok(npy::write(tensor)?),
            outputs => bail!(
                "a .npy file holds one output, but the model gives {}: use .npz",
                outputs.len()
            ),
        },
        "npz" => npz::write(answer.outputs.iter().map(|(name, tensor)| (name.as_str(), tensor))),
        _ => Ok(serde_json::to_vec_pretty(&to_json(answer, top))?),
    }
}

/// The answer in the form of the Open Inference Protocol, with the highest classes.
fn to_json(answer: &Answer, top: usize) -> Value {
    let outputs: Vec<Value> = answer
        .outputs
        .iter()
        .map(|(name, tensor)| {
            json!({
                "name": name,
                "datatype": tensor.data_type().name(),
                "shape": tensor.shape().dims(),
                "data": tensor_json::elements(tensor),
            })
        })
        .collect();
    let classes: Vec<Value> = ranked(answer, top)
        .filter_map(|(name, _, rows)| Some(json!({"output": name, "rows": rows?})))
        .collect();
    let mut value = json!({
        "model_name": answer.model,
        "answered_by": answer.by,
        "time_us": u64::try_from(answer.time.as_micros()).unwrap_or(u64::MAX),
        "outputs": outputs,
    });
    if let Some(version) = &answer.version {
        value["model_version"] = json!(version);
    }
    if !classes.is_empty() {
        value["classes"] = Value::from(classes);
    }
    value
}

/// Each output with its highest classes, where it is a classifier's.
fn ranked(
    answer: &Answer,
    top: usize,
) -> impl Iterator<Item = (&str, &Tensor, Option<Vec<Vec<Class>>>)> {
    answer.outputs.iter().enumerate().map(move |(index, (name, tensor))| {
        let labels = answer.labels.get(index).and_then(Option::as_deref);
        (name.as_str(), tensor, classes::top(tensor, labels, top))
    })
}

fn outline(answer: &Answer) -> String {
    let version = answer.version.iter().map(|version| format!(" version {version}"));
    let version: String = version.collect();
    let time = answer.time.as_secs_f64() * 1e3;
    format!("{}{version}, {}, {time:.2} ms", answer.model, answer.by)
}

fn text(answer: &Answer, top: usize) -> String {
    let mut lines = vec![outline(answer)];
    for (name, tensor, classes) in ranked(answer, top) {
        lines.push(String::new());
        lines.push(format!("{name}  {} {}", tensor.data_type(), tensor.shape()));
        match classes {
            Some(rows) => class_lines(&rows, &mut lines),
            None => tensor_lines(tensor, &mut lines),
        }
    }
    lines.join("\n")
}

fn class_lines(rows: &[Vec<Class>], lines: &mut Vec<String>) {
    let label = |class: &Class| class.label.clone().unwrap_or_default();
    let widest = rows.iter().flatten().map(|class| label(class).chars().count()).max();
    let widest = widest.unwrap_or(0).max("label".len());
    lines.push(format!("  {:>6}  {:>6}  {:<widest$}  {:>11}", "row", "class", "label", "score"));
    for (row, classes) in rows.iter().take(CLASS_ROWS_MAX).enumerate() {
        for (rank, class) in classes.iter().enumerate() {
            let row = if rank == 0 { row.to_string() } else { String::new() };
            let (number, label, score) = (class.class, label(class), class.score);
            lines.push(format!("  {row:>6}  {number:>6}  {label:<widest$}  {score:>11.6}"));
        }
    }
    if rows.len() > CLASS_ROWS_MAX {
        let more = rows.len() - CLASS_ROWS_MAX;
        lines.push(format!("  ... {more} more rows (--json or --output has them all)"));
    }
}

/// The first rows along the innermost dimension.
fn tensor_lines(tensor: &Tensor, lines: &mut Vec<String>) {
    let elements = tensor_json::elements(tensor);
    let width = tensor.shape().last().copied().unwrap_or(1).max(1);
    for row in elements.chunks(width).take(SHOWN_MAX) {
        let mut shown: Vec<String> = row.iter().take(SHOWN_MAX).map(Value::to_string).collect();
        if row.len() > SHOWN_MAX {
            shown.push(format!("... {} more", row.len() - SHOWN_MAX));
        }
        lines.push(format!("  {}", shown.join("  ")));
    }
    let rows = elements.len().div_ceil(width);
    if rows > SHOWN_MAX {
        let more = rows - SHOWN_MAX;
        lines.push(format!("  ... {more} more rows (--json or --output has them all)"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn answer(outputs: Vec<(&str, Tensor)>) -> Answer {
        Answer {
            model: "m".into(),
            version: None,
            by: "engine rten".into(),
            labels: vec![None; outputs.len()],
            outputs: outputs.into_iter().map(|(name, tensor)| (name.into(), tensor)).collect(),
            time: Duration::from_micros(1500),
        }
    }

    #[test]
    fn classes_are_a_table() {
        let tensor = Tensor::from_vec([2, 2].into(), vec![0.25f32, 0.75, 1.0, 0.0]).unwrap();
        let mut answer = answer(vec![("p", tensor)]);
        answer.labels = vec![Some(["cat".to_owned(), "dog".to_owned()].into())];
        let expected = "\
m, engine rten, 1.50 ms

p  FP32 [2,2]
     row   class  label        score
       0       1  dog       0.750000
       1       0  cat       1.000000";
        assert_eq!(text(&answer, 1), expected);
        let json = to_json(&answer, 1);
        assert_eq!(json["classes"][0]["rows"][0][0]["label"], "dog");
        assert_eq!(json["outputs"][0]["data"], serde_json::json!([0.25, 0.75, 1.0, 0.0]));
    }

    #[test]
    fn large_tensors_are_cut() {
        let tensor = Tensor::from_vec([10, 10].into(), (0..100i64).collect()).unwrap();
        let shown = text(&answer(vec![("x", tensor)]), 1);
        assert!(shown.contains("\n  0  1  2  3  4  5  6  7  ... 2 more\n"), "{shown}");
        assert!(shown.ends_with("... 2 more rows (--json or --output has them all)"), "{shown}");
    }

    #[test]
    fn a_npy_file_takes_one_output() {
        let tensor = || Tensor::from_vec([1].into(), vec![1f32]).unwrap();
        let two = answer(vec![("a", tensor()), ("b", tensor())]);
        let error = encode(&two, 1, Path::new("x.npy")).unwrap_err().to_string();
        assert_eq!(error, "a .npy file holds one output, but the model gives 2: use .npz");
        assert_eq!(npz::read(&encode(&two, 1, Path::new("x.npz")).unwrap()).unwrap().len(), 2);
        assert!(check_output(Some(Path::new("x.txt"))).is_err());
    }
}
