//! Names of classes, as tools for TensorFlow Lite look for them: a flatbuffer that says which file
//! has the labels of which output, and that file in a zip archive behind the model.

use std::io::{Cursor, Write};

use modelyard_graph::Model;

use super::flatbuffer::{self, Object, Table};
use crate::ConvertError;

/// The file with a label a line.
const FILE: &str = "labels.txt";

/// Labels of the positions along the last axis.
const AXIS_LABELS: i8 = 2;

/// What the metadata says of the model.
pub(super) fn metadata(model: &Model, _: &[String]) -> Vec<u8> {
    let named = |name: &str| Table::new().text(0, name);
    let inputs = model.graph.inputs.iter().map(|input| named(&input.name)).collect();
    let outputs = model.graph.outputs.iter().enumerate();
    let outputs = outputs.map(|(index, output)| match index {
        0 => {
            let labels = Table::new().text(0, FILE).byte(2, AXIS_LABELS);
            named(&output.name).tables(6, vec![labels])
        }
        _ => named(&output.name),
    });
    let graph = Table::new().tables(2, inputs).tables(3, outputs.collect());
    let mut root = Table::new().text(0, &model.graph.name).tables(3, vec![graph]);
    if !model.doc.is_empty() {
        root = root.object(1, Object::Text(model.doc.clone()));
    }
    flatbuffer::write(&root, *b"M001").unwrap_or_default()
}

/// The model with its labels behind it.
pub(super) fn with_labels(bytes: Vec<u8>, labels: &[String]) -> Result<Vec<u8>, ConvertError> {
    let failed = |error: &dyn std::fmt::Display| {
        ConvertError::Option(format!("failed to add the labels: {error}"))
    };
    let mut cursor = Cursor::new(bytes);
    cursor.set_position(cursor.get_ref().len() as u64);
    let mut archive = zip::ZipWriter::new(cursor);
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    archive.start_file(FILE, stored).map_err(|error| failed(&error))?;
    archive.write_all(labels.join("\n").as_bytes()).map_err(|error| failed(&error))?;
    let cursor = archive.finish().map_err(|error| failed(&error))?;
    Ok(cursor.into_inner())
}
