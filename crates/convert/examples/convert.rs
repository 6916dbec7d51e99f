//! Converts one model: `convert SOURCE OUT.onnx`. For trying a source by hand.

use std::path::Path;
use std::time::Instant;

use modelyard_convert::{Limits, Options, convert, open, operators};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [source, out, ..] = arguments.as_slice() else {
        return Err("usage: convert SOURCE OUT.onnx".into());
    };
    let options = Options::default();
    let start = Instant::now();
    let source = open(Path::new(source), &options, &Limits::default())?;
    let conversion = convert(source.as_ref(), &options)?;
    for step in &conversion.steps {
        println!("{:<40} {:<28} {}", step.label, step.operator, step.nodes.join(" "));
    }
    for note in &conversion.notes {
        println!("note: {note}");
    }
    std::fs::write(out, conversion.model.encode())?;
    let known = operators(source.format()).len();
    println!("{}, {known} operators known, {:?}", source.format(), start.elapsed());
    Ok(())
}
