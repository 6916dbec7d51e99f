//! Converts models to other versions of ONNX's operators: lines of `IN<tab>OUT<tab>VERSION` come in,
//! `ok` or what is in the way goes out, a line each. For comparing many models with another
//! implementation.

use std::io::BufRead;
use std::path::Path;

use modelyard_graph::file::{WriteOptions, read_whole, write};
use modelyard_graph::{Limits, opset};

fn main() -> std::io::Result<()> {
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let fields: Vec<&str> = line.split('\t').collect();
        let outcome = match fields.as_slice() {
            [from, to, version] => adapt(from, to, version),
            _ => Err("expected IN<tab>OUT<tab>VERSION".into()),
        };
        match outcome {
            Ok(()) => println!("ok"),
            Err(message) => println!("{}", message.replace('\n', " / ")),
        }
    }
    Ok(())
}

fn adapt(from: &str, to: &str, version: &str) -> Result<(), String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let version = version.parse::<i64>().map_err(|error| text(&error))?;
    let model = read_whole(Path::new(from), &Limits::default()).map_err(|error| text(&error))?;
    let mut model = opset::convert(model, version).map_err(|error| text(&error))?;
    model.state_types();
    let model = model.check().map_err(|error| format!("INVALID {error}"))?;
    write(&model, Path::new(to), &WriteOptions::default()).map_err(|error| text(&error))?;
    Ok(())
}
