//! Exports one ONNX model: `export MODEL.onnx tflite|savedmodel OUT`. For trying a target by hand.

use std::path::Path;
use std::time::Instant;

use modelyard_convert::Limits;
use modelyard_convert::export::{ExportOptions, Target, export};
use modelyard_graph::{Limits as GraphLimits, file};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, target, out] = arguments.as_slice() else {
        return Err("usage: export MODEL.onnx tflite|savedmodel OUT".into());
    };
    let target = match target.as_str() {
        "tflite" => Target::Tflite,
        "savedmodel" => Target::SavedModel,
        other => return Err(format!("no target: {other}").into()),
    };
    let start = Instant::now();
    let model = file::read_whole(Path::new(model), &GraphLimits::default())?;
    let exported = export(&model, target, &ExportOptions::default(), &Limits::default())?;
    for (path, bytes) in &exported.files {
        let path = Path::new(out).join(path);
        if let Some(folder) = path.parent().filter(|_| target == Target::SavedModel) {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, bytes)?;
    }
    for (operator, count) in exported.operators() {
        print!("{count} {operator}, ");
    }
    println!("{:?}", start.elapsed());
    Ok(())
}
