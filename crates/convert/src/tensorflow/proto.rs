//! The wire form of TensorFlow's graphs: the messages of `graph.proto`, `function.proto`,
//! `saved_model.proto`, `tensor_bundle.proto` and those they hold, with their published field
//! numbers.
//!
//! Written by hand, so that no build needs `protoc`. Fields that nobody here reads are skipped.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SavedModel {
    #[prost(int64, tag = "1")]
    pub(crate) schema_version: i64,
    #[prost(message, repeated, tag = "2")]
    pub(crate) meta_graphs: Vec<MetaGraphDef>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct MetaGraphDef {
    #[prost(message, optional, tag = "1")]
    pub(crate) info: Option<MetaInfoDef>,
    #[prost(message, optional, tag = "2")]
    pub(crate) graph: Option<GraphDef>,
    #[prost(message, optional, tag = "3")]
    pub(crate) saver: Option<SaverDef>,
    #[prost(btree_map = "string, message", tag = "5")]
    pub(crate) signatures: BTreeMap<String, SignatureDef>,
    #[prost(message, repeated, tag = "6")]
    pub(crate) assets: Vec<AssetFileDef>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct MetaInfoDef {
    #[prost(string, repeated, tag = "4")]
    pub(crate) tags: Vec<String>,
    #[prost(string, tag = "5")]
    pub(crate) tensorflow_version: String,
}

/// Which operator of the graph reads the checkpoint.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SaverDef {
    #[prost(string, tag = "3")]
    pub(crate) restore_op_name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SignatureDef {
    #[prost(btree_map = "string, message", tag = "1")]
    pub(crate) inputs: BTreeMap<String, TensorInfo>,
    #[prost(btree_map = "string, message", tag = "2")]
    pub(crate) outputs: BTreeMap<String, TensorInfo>,
    #[prost(string, tag = "3")]
    pub(crate) method_name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TensorInfo {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(int32, tag = "2")]
    pub(crate) dtype: i32,
    #[prost(message, optional, tag = "3")]
    pub(crate) shape: Option<TensorShapeProto>,
}

/// A file in the folder `assets`, and the constant that holds its name.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct AssetFileDef {
    #[prost(message, optional, tag = "1")]
    pub(crate) tensor: Option<TensorInfo>,
    #[prost(string, tag = "2")]
    pub(crate) filename: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct GraphDef {
    #[prost(message, repeated, tag = "1")]
    pub(crate) nodes: Vec<NodeDef>,
    #[prost(message, optional, tag = "2")]
    pub(crate) library: Option<FunctionDefLibrary>,
    #[prost(message, optional, tag = "4")]
    pub(crate) versions: Option<VersionDef>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct VersionDef {
    #[prost(int32, tag = "1")]
    pub(crate) producer: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct FunctionDefLibrary {
    #[prost(message, repeated, tag = "1")]
    pub(crate) functions: Vec<FunctionDef>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct FunctionDef {
    #[prost(message, optional, tag = "1")]
    pub(crate) signature: Option<OpDef>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) nodes: Vec<NodeDef>,
    #[prost(btree_map = "string, string", tag = "4")]
    pub(crate) ret: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct OpDef {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(message, repeated, tag = "2")]
    pub(crate) inputs: Vec<ArgDef>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) outputs: Vec<ArgDef>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ArgDef {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(int32, tag = "3")]
    pub(crate) dtype: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct NodeDef {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) op: String,
    #[prost(string, repeated, tag = "3")]
    pub(crate) inputs: Vec<String>,
    #[prost(btree_map = "string, message", tag = "5")]
    pub(crate) attrs: BTreeMap<String, AttrValue>,
}

/// One of the fields is set.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct AttrValue {
    #[prost(message, optional, tag = "1")]
    pub(crate) list: Option<ListValue>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(crate) string: Option<Bytes>,
    #[prost(int64, optional, tag = "3")]
    pub(crate) int: Option<i64>,
    #[prost(float, optional, tag = "4")]
    pub(crate) float: Option<f32>,
    #[prost(bool, optional, tag = "5")]
    pub(crate) bool: Option<bool>,
    #[prost(int32, optional, tag = "6")]
    pub(crate) dtype: Option<i32>,
    #[prost(message, optional, tag = "7")]
    pub(crate) shape: Option<TensorShapeProto>,
    #[prost(message, optional, tag = "8")]
    pub(crate) tensor: Option<TensorProto>,
    /// Inside a function: the caller's attribute of this name.
    #[prost(string, optional, tag = "9")]
    pub(crate) placeholder: Option<String>,
    #[prost(message, optional, tag = "10")]
    pub(crate) function: Option<NameAttrList>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ListValue {
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(crate) strings: Vec<Bytes>,
    #[prost(int64, repeated, tag = "3")]
    pub(crate) ints: Vec<i64>,
    #[prost(float, repeated, tag = "4")]
    pub(crate) floats: Vec<f32>,
    #[prost(bool, repeated, tag = "5")]
    pub(crate) bools: Vec<bool>,
    #[prost(int32, repeated, tag = "6")]
    pub(crate) dtypes: Vec<i32>,
    #[prost(message, repeated, tag = "7")]
    pub(crate) shapes: Vec<TensorShapeProto>,
    #[prost(message, repeated, tag = "9")]
    pub(crate) functions: Vec<NameAttrList>,
}

/// The name of a function, and the attributes it is called with.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct NameAttrList {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(btree_map = "string, message", tag = "2")]
    pub(crate) attrs: BTreeMap<String, AttrValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TensorProto {
    #[prost(int32, tag = "1")]
    pub(crate) dtype: i32,
    #[prost(message, optional, tag = "2")]
    pub(crate) shape: Option<TensorShapeProto>,
    #[prost(bytes = "bytes", tag = "4")]
    pub(crate) content: Bytes,
    #[prost(float, repeated, tag = "5")]
    pub(crate) floats: Vec<f32>,
    #[prost(double, repeated, tag = "6")]
    pub(crate) doubles: Vec<f64>,
    /// All integers of up to 16 bits, and `int32`.
    #[prost(int32, repeated, tag = "7")]
    pub(crate) ints: Vec<i32>,
    #[prost(bytes = "bytes", repeated, tag = "8")]
    pub(crate) strings: Vec<Bytes>,
    #[prost(int64, repeated, tag = "10")]
    pub(crate) longs: Vec<i64>,
    #[prost(bool, repeated, tag = "11")]
    pub(crate) bools: Vec<bool>,
    /// The bits of 16-bit floats.
    #[prost(int32, repeated, tag = "13")]
    pub(crate) halves: Vec<i32>,
    #[prost(uint32, repeated, tag = "16")]
    pub(crate) uints: Vec<u32>,
    #[prost(uint64, repeated, tag = "17")]
    pub(crate) ulongs: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TensorShapeProto {
    #[prost(message, repeated, tag = "2")]
    pub(crate) dims: Vec<DimProto>,
    #[prost(bool, tag = "3")]
    pub(crate) unknown_rank: bool,
}

/// A size; -1 where any will do.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct DimProto {
    #[prost(int64, tag = "1")]
    pub(crate) size: i64,
}

/// Under the empty key of `variables.index`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct BundleHeaderProto {
    #[prost(int32, tag = "1")]
    pub(crate) num_shards: i32,
    /// 0: little; 1: big.
    #[prost(int32, tag = "2")]
    pub(crate) endianness: i32,
}

/// Where a tensor lies.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct BundleEntryProto {
    #[prost(int32, tag = "1")]
    pub(crate) dtype: i32,
    #[prost(message, optional, tag = "2")]
    pub(crate) shape: Option<TensorShapeProto>,
    #[prost(int32, tag = "3")]
    pub(crate) shard: i32,
    #[prost(int64, tag = "4")]
    pub(crate) offset: i64,
    #[prost(int64, tag = "5")]
    pub(crate) size: i64,
    /// Parts of a tensor that is stored in several; their number is what matters here.
    #[prost(message, repeated, tag = "7")]
    pub(crate) slices: Vec<SliceProto>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct SliceProto {}

/// Under the key `_CHECKPOINTABLE_OBJECT_GRAPH`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TrackableObjectGraph {
    #[prost(message, repeated, tag = "1")]
    pub(crate) nodes: Vec<TrackableObject>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TrackableObject {
    #[prost(message, repeated, tag = "2")]
    pub(crate) attributes: Vec<SerializedTensor>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SerializedTensor {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) full_name: String,
    #[prost(string, tag = "3")]
    pub(crate) checkpoint_key: String,
}
