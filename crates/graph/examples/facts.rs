//! Prints what Modelyard reads in model files, one JSON object a line, to be compared with other
//! readers: `cargo run -p modelyard-graph --example facts -- FILE...`.

use std::collections::BTreeMap;
use std::path::Path;

use modelyard_graph::{Limits, Model, file, summary};

fn main() {
    for path in std::env::args().skip(1) {
        match file::read_file(Path::new(&path), &Limits::default()) {
            Ok(model) => println!("{}", facts(&path, &model)),
            Err(error) => println!("{{\"file\": {path:?}, \"error\": {:?}}}", error.to_string()),
        }
    }
}

fn facts(path: &str, model: &Model) -> String {
    let summary = summary::describe(model);
    let operators = &summary.operators;
    let unknown: BTreeMap<&str, usize> =
        summary.unknown.iter().map(|unknown| (unknown.operator.as_str(), unknown.nodes)).collect();
    let signature = match model.signature() {
        Ok(signature) => signature
            .inputs
            .iter()
            .chain(&signature.outputs)
            .map(|spec| format!("{}:{}:{}", spec.name, spec.data_type, spec.shape_text()))
            .collect::<Vec<_>>(),
        Err(error) => vec![error.to_string()],
    };
    format!(
        "{{\"file\": {path:?}, \"operators\": {operators:?}, \"signature\": {signature:?}, \
         \"constant_elements\": {}, \"generated\": {}, \"flops\": {}, \
         \"activation_bytes\": {}, \"unknown\": {unknown:?}, \"opsets\": {:?}}}",
        summary.parameters,
        summary.generated_parameters,
        summary.flops,
        summary.activation_bytes,
        model.opsets
    )
}
