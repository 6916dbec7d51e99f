//! Cleans an ONNX file and says what is left: `cargo run -p modelyard-graph --example rewrite --
//! IN.onnx [OUT.onnx]`. With `FOLD=1`, BatchNormalization is folded too; with `ONLY=name`, just
//! that pass is run.

use std::path::Path;
use std::time::Instant;

use modelyard_graph::rewrite::{Options, PASSES, clean};
use modelyard_graph::{Limits, file, summary};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [source, rest @ ..] = arguments.as_slice() else {
        return Err("usage: rewrite IN.onnx [OUT.onnx]".into());
    };
    let model = file::read_file(Path::new(source), &Limits::default())?;
    let before = summary::describe(&model);
    let options = Options { fold_batch_norm: std::env::var_os("FOLD").is_some(), fuse: None };
    let start = Instant::now();
    let model = match std::env::var("ONLY") {
        Ok(name) => {
            let pass = PASSES.iter().find(|pass| pass.name == name).ok_or("no such pass")?;
            pass.apply(model, &options)
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
