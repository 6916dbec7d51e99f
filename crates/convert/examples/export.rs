//! Exports one ONNX model: `export MODEL.onnx OUT [--savedmodel] [--channels-last] [--batch N]`, and
//! says how far the answers of what was written are from those of the model, both by Modelyard's own
//! evaluators. For trying a target by hand.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use modelyard_convert::export::{ExportOptions, Exported, Target, export, read_back};
use modelyard_convert::verify::{Trial, compare, inputs};
use modelyard_convert::{Conversion, Limits, Options, open};
use modelyard_graph::file::{WriteOptions, read_whole, write};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [source, out, flags @ ..] = arguments.as_slice() else {
        return Err("usage: export MODEL.onnx OUT [options]".into());
    };
    let mut options = ExportOptions::default();
    let (mut target, mut evaluates) = (Target::Tflite, true);
    let mut flags = flags.iter().map(String::as_str);
    while let Some(flag) = flags.next() {
        match flag {
            "--savedmodel" => target = Target::SavedModel,
            "--channels-last" => options.channels_last = true,
            "--batch" => options.batch = flags.next().map(str::parse).transpose()?,
            "--no-verify" => evaluates = false,
            other => return Err(format!("no option: {other}").into()),
        }
    }
    let model = read_whole(Path::new(source), &modelyard_graph::Limits::default())?;
    let start = Instant::now();
    let exported = export(&model, target, &options, &Limits::default())?;
    for step in &exported.steps {
        println!("{:<60} {:<24} {}", step.label, step.operator, step.nodes.join(" "));
    }
    for note in &exported.notes {
        println!("note: {note}");
    }
    for (path, bytes) in &exported.files {
        let path = if path.as_os_str().is_empty() { out.into() } else { Path::new(out).join(path) };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, bytes)?;
    }
    println!("written in {:?}", start.elapsed());
    if evaluates { compared(&exported, Path::new(out), target) } else { Ok(()) }
}

/// Reads back what was written.
fn compared(
    exported: &Exported,
    out: &Path,
    target: Target,
) -> Result<(), Box<dyn std::error::Error>> {
    let limits = Limits::default();
    let written = read_back(exported, out, target, &limits)?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.onnx");
    write(&exported.model, &path, &WriteOptions::default())?;
    let asked = open(&path, &Options::default(), &limits)?;
    let signature = exported.model.signature()?;
    let conversion = Conversion::new(exported.model.clone(), Vec::new());
    for edges in [false, true] {
        let trial = Trial { batch: 2, sizes: BTreeMap::new(), seed: 1, edges };
        let given = inputs(&conversion, &trial)?;
        let expected = asked.evaluate(&given)?;
        let found = written.evaluate(&given)?;
        for ((expected, found), output) in expected.iter().zip(&found).zip(&signature.outputs) {
            let tolerance = &exported.tolerances[&output.name];
            let agreement = compare(expected, found, tolerance, None);
            println!("{}: worst {:.1e} {:?}", output.name, agreement.worst, agreement.mismatch);
        }
    }
    Ok(())
}
