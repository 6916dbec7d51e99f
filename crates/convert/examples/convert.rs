//! Converts one model: `convert SOURCE OUT.onnx [--opset N] [--inline] [--infer-shapes] [--free-batch]
//! [--weights fp16|bf16|fp32] [--shape NAME=SIZES] [--value NAME=VALUE]`. For trying a source by hand.

use std::path::Path;
use std::time::Instant;

use modelyard_convert::{Limits, Options, WeightType, convert, open, operators};
use modelyard_graph::file::{WriteOptions, write};
use modelyard_tensor::Dim;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [source, out, flags @ ..] = arguments.as_slice() else {
        return Err("usage: convert SOURCE OUT.onnx [options]".into());
    };
    let options = options(flags)?;
    let start = Instant::now();
    let source = open(Path::new(source), &options, &Limits::default())?;
    let conversion = convert(source.as_ref(), &options)?;
    for step in &conversion.steps {
        println!("{:<40} {:<28} {}", step.label, step.operator, step.nodes.join(" "));
    }
    for note in &conversion.notes {
        println!("note: {note}");
    }
    write(&conversion.model, Path::new(out), &WriteOptions::default())?;
    let known = operators(source.format()).len();
    println!("{}, {known} operators known, {:?}", source.format(), start.elapsed());
    Ok(())
}

fn options(flags: &[String]) -> Result<Options, Box<dyn std::error::Error>> {
    let mut options = Options::default();
    let mut flags = flags.iter().map(String::as_str);
    while let Some(flag) = flags.next() {
        match flag {
            "--opset" => options.opset = flags.next().map(str::parse).transpose()?,
            "--inline" => options.inline = true,
            "--infer-shapes" => options.infer_shapes = true,
            "--free-batch" => options.free_batch = true,
            "--shape" => {
                let (name, dims) =
                    flags.next().and_then(|text| text.rsplit_once('=')).ok_or("NAME=SIZES")?;
                let dim = |text: &str| match text.parse() {
                    Ok(size) => Dim::Fixed(size),
                    Err(_) => Dim::Symbol(text.to_owned()),
                };
                let dims = dims.split(',').filter(|text| !text.is_empty()).map(dim).collect();
                options.shapes.insert(name.to_owned(), dims);
            }
            "--value" => {
                let (name, value) =
                    flags.next().and_then(|text| text.split_once('=')).ok_or("NAME=VALUE")?;
                options.values.insert(name.to_owned(), value.to_owned());
            }
            "--weights" => {
                options.weights = match flags.next() {
                    Some("fp16") => WeightType::Fp16,
                    Some("bf16") => WeightType::Bf16,
                    Some("fp32") => WeightType::Fp32,
                    other => return Err(format!("no type of weights: {other:?}").into()),
                }
            }
            other => return Err(format!("no option: {other}").into()),
        }
    }
    Ok(options)
}
