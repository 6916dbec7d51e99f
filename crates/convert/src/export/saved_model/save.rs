//! The folder of a SavedModel.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;
use prost::Message as _;

use super::graph::{Endpoint, Graph};
use super::op;
use crate::ConvertError;
use crate::tensorflow::dtype;
use crate::tensorflow::proto::{
    GraphDef, MetaGraphDef, MetaInfoDef, SavedModel, SignatureDef, TensorInfo, VersionDef,
};

/// The version of TensorFlow whose operators are written: any later one, and its tools, read them.
const VERSION: &str = "2.4.0";

/// The number of that version for graphs.
const PRODUCER: i32 = 561;

/// What protobuf can hold, less what is around.
const MOST_BYTES: usize = (2 << 30) - (1 << 20);

/// TensorFlow leaves this folder to whoever writes a model.
const EXTRA: &str = "assets.extra/modelyard.json";

const SIGNATURE: &str = "serving_default";

/// The files of a graph, by relative path.
pub(super) fn files(
    graph: Graph,
    verified: Option<&str>,
) -> Result<Vec<(PathBuf, Bytes)>, ConvertError> {
    let signature = SignatureDef {
        inputs: infos(&graph.inputs),
        outputs: infos(&graph.outputs),
        method_name: "tensorflow/serving/predict".into(),
    };
    let written = GraphDef {
        nodes: graph.writer.nodes,
        library: None,
        versions: Some(VersionDef { producer: PRODUCER }),
    };
    let meta = MetaGraphDef {
        info: Some(MetaInfoDef { tags: vec!["serve".into()], tensorflow_version: VERSION.into() }),
        graph: Some(written),
        saver: None,
        signatures: BTreeMap::from([(SIGNATURE.into(), signature)]),
        assets: Vec::new(),
    };
    let saved = SavedModel { schema_version: 1, meta_graphs: vec![meta] };
    let len = saved.encoded_len();
    if len > MOST_BYTES {
        return Err(ConvertError::TooLarge {
            place: "saved_model.pb".into(),
            what: "bytes",
            found: len as u64,
            limit: MOST_BYTES as u64,
        });
    }
    let mut files = vec![("saved_model.pb".into(), saved.encode_to_vec().into())];
    if let Some(verified) = verified {
        let text = serde_json::json!({ crate::export::VERIFIED: verified }).to_string();
        files.push((EXTRA.into(), text.into()));
    }
    Ok(files)
}

fn infos(endpoints: &[Endpoint]) -> BTreeMap<String, TensorInfo> {
    let info = |endpoint: &Endpoint| {
        let port = &endpoint.tensor.port;
        TensorInfo {
            name: if port.contains(':') { port.clone() } else { format!("{port}:0") },
            dtype: dtype::number(endpoint.tensor.element_type).unwrap_or(0),
            shape: Some(op::shape(endpoint.dims.as_deref())),
        }
    };
    endpoints.iter().map(|endpoint| (endpoint.name.clone(), info(endpoint))).collect()
}
