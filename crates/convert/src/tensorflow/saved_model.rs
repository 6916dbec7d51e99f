//! SavedModel folders: which signature, its inputs and outputs, the values of its variables.

use modelyard_graph::ElementType;
use modelyard_tensor::Dim;
use prost::Message as _;

use super::bundle::Bundle;
use super::census::{self, Message};
use super::inline::{Library, inline};
use super::model::{Endpoint, TensorFlowModel};
use super::proto::{MetaGraphDef, SavedModel, SignatureDef, TensorInfo, TensorShapeProto};
use super::tables::{self, Files};
use super::variables::{Keys, freeze};
use super::{dtype, sides};
use crate::input::{Input, Source};
use crate::{ConvertError, Format, Limits, Options};

const FORMAT: &str = Format::SavedModel.name();

/// The signature that is taken when nobody says which.
const DEFAULT_SIGNATURE: &str = "serving_default";

/// The signature that only fills tables.
const INIT_SIGNATURE: &str = "__saved_model_init_op";

/// Reads one signature of a SavedModel.
pub(super) fn read(
    source: &Source,
    options: &Options,
    limits: &Limits,
) -> Result<TensorFlowModel, ConvertError> {
    let input = graph_file(source)?;
    let bytes = input.read_all(limits.file_bytes.min(super::MAX_GRAPH_BYTES))?;
    census::check(&bytes, Message::SavedModel, FORMAT, limits)?;
    let saved = SavedModel::decode(bytes)
        .map_err(|error| malformed("saved_model.pb", error.to_string()))?;
    let meta = meta_graph(saved)?;
    let (name, signature) = signature(&meta, options)?;
    let graph = meta.graph.as_ref().ok_or_else(|| malformed("the meta graph", "it is empty"))?;
    let library = Library::new(graph, FORMAT, limits);
    let feeds: Vec<String> = signature.inputs.values().map(|info| info.name.clone()).collect();
    let fetches: Vec<String> = signature.outputs.values().map(|info| info.name.clone()).collect();
    for (key, info) in signature.inputs.iter().chain(&signature.outputs) {
        if info.name.is_empty() {
            let message = "it is a sparse or composite tensor, which ONNX has not; export a \
                           signature of dense tensors";
            return Err(malformed(&format!("'{key}' of the signature"), message));
        }
    }
    let mut inlined = inline(&library, &graph.nodes, &feeds, &fetches)?;
    inlined = sides::settled(inlined, limits);
    if let Some(bundle) = Bundle::open(source, limits)? {
        let keys = Keys::find(&library, &graph.nodes, &bundle, limits)?;
        freeze(&mut inlined, &keys, &bundle)?;
    }
    let files = Files::new(source, (&graph.nodes, &meta.assets), limits);
    let tables = tables::find(&library, &graph.nodes, &files)?;
    let version = meta.info.as_ref().map_or("", |info| info.tensorflow_version.as_str());
    Ok(TensorFlowModel {
        format: Format::SavedModel,
        producer: format!("TensorFlow {version}").trim_end().to_owned(),
        notes: notes(inlined.assignments, &name, &meta),
        graph: inlined,
        inputs: endpoints(&signature.inputs, true)?,
        outputs: endpoints(&signature.outputs, false)?,
        tables,
        limits: limits.clone(),
    })
}

fn graph_file(source: &Source) -> Result<Input, ConvertError> {
    if let Some(file) = &source.file {
        return Ok(file.clone());
    }
    if let Some(found) = source.beside("saved_model.pb")? {
        return Ok(found);
    }
    let message = "it has only saved_model.pbtxt; load it and save it again, in binary";
    Err(malformed("the folder", message))
}

/// The graph for serving.
fn meta_graph(saved: SavedModel) -> Result<MetaGraphDef, ConvertError> {
    let serves = |meta: &MetaGraphDef| {
        meta.info.as_ref().is_some_and(|info| info.tags.iter().any(|tag| tag == "serve"))
    };
    let mut graphs = saved.meta_graphs;
    let found = graphs.iter().position(serves).unwrap_or(0);
    if graphs.is_empty() {
        return Err(malformed("saved_model.pb", "it holds no graph"));
    }
    Ok(graphs.swap_remove(found))
}

/// The signature that is asked for, with its name.
fn signature(
    meta: &MetaGraphDef,
    options: &Options,
) -> Result<(String, SignatureDef), ConvertError> {
    let usable: Vec<&String> =
        meta.signatures.keys().filter(|name| *name != INIT_SIGNATURE).collect();
    let listed = || {
        let quoted: Vec<String> = usable.iter().map(|name| format!("'{name}'")).collect();
        if quoted.is_empty() { "none".into() } else { quoted.join(", ") }
    };
    let name = match (&options.signature, usable.as_slice()) {
        (Some(name), _) => name.clone(),
        (None, _) if meta.signatures.contains_key(DEFAULT_SIGNATURE) => DEFAULT_SIGNATURE.into(),
        (None, [only]) => (*only).clone(),
        (None, []) => {
            return Err(ConvertError::Option(
                "the SavedModel has no signature; save it with `signatures=` (tf.saved_model.save) \
                 or `model.export(...)` (Keras)"
                    .into(),
            ));
        }
        (None, _) => {
            let message = format!("choose a signature of the SavedModel: it has {}", listed());
            return Err(ConvertError::Option(message));
        }
    };
    let found = meta.signatures.get(&name).cloned().ok_or_else(|| {
        let message = format!("the SavedModel has no signature '{name}': it has {}", listed());
        ConvertError::Option(message)
    })?;
    Ok((name, found))
}

fn endpoints<'a>(
    infos: impl IntoIterator<Item = (&'a String, &'a TensorInfo)>,
    are_inputs: bool,
) -> Result<Vec<Endpoint>, ConvertError> {
    let endpoint = |(name, info): (&'a String, &'a TensorInfo)| {
        let element_type = dtype::element_type(info.dtype).ok_or_else(|| {
            let place = format!("'{name}' of the signature");
            malformed(&place, format!("type number {} is no tensor", info.dtype))
        })?;
        let dims = info.shape.as_ref().and_then(|shape| dims(shape, name, are_inputs));
        Ok(Endpoint { name: name.clone(), element_type, dims })
    };
    infos.into_iter().map(endpoint).collect()
}

/// The dimensions of a shape: the first is the batch where it is free; others that are free have
/// names of their own where they are an input's.
pub(super) fn dims(shape: &TensorShapeProto, name: &str, named: bool) -> Option<Vec<Dim>> {
    let each = |(axis, size): (usize, i64)| match usize::try_from(size) {
        Ok(size) => Dim::Fixed(size),
        Err(_) if axis == 0 => Dim::Symbol("batch".into()),
        Err(_) if named => Dim::Symbol(format!("{name}_{axis}")),
        Err(_) => Dim::Free,
    };
    let sizes = shape.dims.iter().map(|dim| dim.size).enumerate();
    (!shape.unknown_rank).then(|| sizes.map(each).collect())
}

fn notes(assignments: usize, name: &str, meta: &MetaGraphDef) -> Vec<String> {
    let mut notes = Vec::new();
    let others: Vec<String> = meta
        .signatures
        .keys()
        .filter(|other| *other != INIT_SIGNATURE && other.as_str() != name)
        .map(|other| format!("'{other}'"))
        .collect();
    if !others.is_empty() {
        notes.push(format!("signature '{name}' was taken; there are also {}", others.join(", ")));
    }
    if assignments > 0 {
        notes.push(format!("{assignments} changes of variables are left out: the state stays"));
    }
    notes
}

/// The type and shape of a placeholder of a graph without signatures.
pub(super) fn placeholder(
    dtype: Option<ElementType>,
    shape: Option<&TensorShapeProto>,
    name: &str,
) -> Result<Endpoint, ConvertError> {
    let element_type = dtype.ok_or_else(|| ConvertError::Malformed {
        format: Format::GraphDef.name(),
        place: format!("input '{name}'"),
        message: "it has no type that a tensor can have".into(),
    })?;
    let dims = shape.and_then(|shape| dims(shape, name, true));
    Ok(Endpoint { name: name.into(), element_type, dims })
}

fn malformed(place: &str, message: impl Into<String>) -> ConvertError {
    ConvertError::Malformed { format: FORMAT, place: place.into(), message: message.into() }
}
