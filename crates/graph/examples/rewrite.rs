//! Cleans an ONNX file and says what is left: `cargo run -p modelyard-graph --example rewrite --
//! IN.onnx [OUT.onnx]`. With `FOLD=1`, BatchNormalization is folded too; with `ONLY=name`, just
//! that pass is run; with `FUSE=standard` or `FUSE=onnxruntime`, operators are fused, and each pass
//! is listed with what it changed; `OPSET=n` converts first.

use std::path::Path;
use std::time::Instant;

use modelyard_graph::rewrite::{Options, PASSES, Target, clean, select, trace};
use modelyard_graph::{Limits, file, opset, summary};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [source, rest @ ..] = arguments.as_slice() else {
        return Err("usage: rewrite IN.onnx [OUT.onnx]".into());
    };
    let mut model = file::read_file(Path::new(source), &Limits::default())?;
    if let Ok(version) = std::env::var("OPSET") {
        model = opset::convert(model, version.parse()?)?;
    }
    let before = summary::describe(&model);
    let fuse = match std::env::var("FUSE").as_deref() {
        Ok("standard") => Some(Target::Standard),
        Ok("onnxruntime") => Some(Target::OnnxRuntime),
        Ok(_) => return Err("FUSE must be standard or onnxruntime".into()),
        Err(_) => None,
    };
    let options = Options { fold_batch_norm: std::env::var_os("FOLD").is_some(), fuse };
    let start = Instant::now();
    let model = match std::env::var("ONLY") {
        Ok(name) => {
            let pass = PASSES.iter().find(|pass| pass.name == name).ok_or("no such pass")?;
            pass.apply(model, &options)
        }
        Err(_) if fuse.is_some() => {
            let (model, records) = trace(model, &select(&[], None)?, &options);
            for record in records.iter().filter(|record| record.changed) {
                let (before, after) = (record.nodes_before, record.nodes_after);
                println!("{} {}: {before} -> {after} nodes", record.round, record.pass);
            }
            model
        }
        Err(_) => clean(model, &options),
    };
    let time = start.elapsed();
    let model = model.check()?;
    let after = summary::describe(&model);
    for (operator, count) in &before.operators {
        let left = after.operators.get(operator).copied().unwrap_or(0);
        if left != *count || operator == "Transpose" {
            println!("{operator:<24} {count:>6} -> {left}");
        }
    }
    for (operator, count) in &after.operators {
        if !before.operators.contains_key(operator) {
            println!("{operator:<24} {:>6} -> {count}", 0);
        }
    }
    let nodes = |summary: &summary::Summary| summary.operators.values().sum::<usize>();
    println!("{} -> {} nodes, {time:?}", nodes(&before), nodes(&after));
    println!("{} -> {} bytes of constants", before.parameter_bytes, after.parameter_bytes);
    if let [out] = rest {
        std::fs::write(out, model.encode())?;
    }
    Ok(())
}
