//! Prints what Modelyard reads in model files, one JSON object a line, to be compared with other
//! readers. `SIZES='batch=8 input=1,3,224,224'` gives sizes to symbols and inputs:
//! `cargo run -p modelyard-graph --example facts -- FILE...`.

use std::collections::BTreeMap;
use std::path::Path;

use modelyard_graph::{Limits, Model, Sizes, file, summary};

fn main() {
    for path in std::env::args().skip(1) {
        match file::read_file(Path::new(&path), &Limits::default()) {
            Ok(model) => println!("{}", facts(&path, &model)),
            Err(error) => println!("{{\"file\": {path:?}, \"error\": {:?}}}", error.to_string()),
        }
    }
}

fn facts(path: &str, model: &Model) -> String {
    let mut sizes = Sizes::default();
    if let Ok(text) = std::env::var("SIZES") {
        for (name, size) in text.split(' ').filter_map(|item| item.split_once('=')) {
            let dims: Vec<usize> = size.split(',').filter_map(|dim| dim.parse().ok()).collect();
            match *dims {
                [single] => drop(sizes.symbols.insert(name.into(), single)),
                _ => drop(sizes.inputs.insert(name.into(), dims)),
            }
        }
    }
    let summary = summary::describe_with(model, &sizes);
    let operators = &summary.operators;
    let unknown: BTreeMap<&str, usize> =
        summary.unknown.iter().map(|unknown| (unknown.first.as_str(), unknown.nodes)).collect();
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
