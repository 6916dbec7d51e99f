//! The wire form of TensorFlow's graphs: the messages of `graph.proto`, `function.proto`,
//! `saved_model.proto`, `tensor_bundle.proto` and those they hold, with their published field
//! numbers.
//!
//! Written by hand, so that no build needs `protoc`. Fields that nobody here reads are skipped.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub(super) struct SavedModel {
    #[prost(int64, tag = "1")]
    pub(super) schema_version: i64,
    #[prost(message, repeated, tag = "2")]
    pub(super) meta_graphs: Vec<MetaGraphDef>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct MetaGraphDef {
    #[prost(message, optional, tag = "1")]
    pub(super) info: Option<MetaInfoDef>,
    #[prost(message, optional, tag = "2")]
    pub(super) graph: Option<GraphDef>,
    #[prost(message, optional, tag = "3")]
    pub(super) saver: Option<SaverDef>,
    #[prost(btree_map = "string, message", tag = "5")]
    pub(super) signatures: BTreeMap<String, SignatureDef>,
    #[prost(message, repeated, tag = "6")]
    pub(super) assets: Vec<AssetFileDef>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct MetaInfoDef {
    #[prost(string, repeated, tag = "4")]
    pub(super) tags: Vec<String>,
    #[prost(string, tag = "5")]
    pub(super) tensorflow_version: String,
}

/// Which operator of the graph reads the checkpoint.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SaverDef {
    #[prost(string, tag = "3")]
    pub(super) restore_op_name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SignatureDef {
    #[prost(btree_map = "string, message", tag = "1")]
    pub(super) inputs: BTreeMap<String, TensorInfo>,
    #[prost(btree_map = "string, message", tag = "2")]
    pub(super) outputs: BTreeMap<String, TensorInfo>,
    #[prost(string, tag = "3")]
    pub(super) method_name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TensorInfo {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(int32, tag = "2")]
    pub(super) dtype: i32,
    #[prost(message, optional, tag = "3")]
    pub(super) shape: Option<TensorShapeProto>,
}

/// A file in the folder `assets`, and the constant that holds its name.
#[derive(Clone, PartialEq, Message)]
pub(super) struct AssetFileDef {
    #[prost(message, optional, tag = "1")]
    pub(super) tensor: Option<TensorInfo>,
    #[prost(string, tag = "2")]
    pub(super) filename: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct GraphDef {
    #[prost(message, repeated, tag = "1")]
    pub(super) nodes: Vec<NodeDef>,
    #[prost(message, optional, tag = "2")]
    pub(super) library: Option<FunctionDefLibrary>,
    #[prost(message, optional, tag = "4")]
    pub(super) versions: Option<VersionDef>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct VersionDef {
    #[prost(int32, tag = "1")]
    pub(super) producer: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FunctionDefLibrary {
    #[prost(message, repeated, tag = "1")]
    pub(super) functions: Vec<FunctionDef>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FunctionDef {
    #[prost(message, optional, tag = "1")]
    pub(super) signature: Option<OpDef>,
    #[prost(message, repeated, tag = "3")]
    pub(super) nodes: Vec<NodeDef>,
    #[prost(btree_map = "string, string", tag = "4")]
    pub(super) ret: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct OpDef {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, repeated, tag = "2")]
    pub(super) inputs: Vec<ArgDef>,
    #[prost(message, repeated, tag = "3")]
    pub(super) outputs: Vec<ArgDef>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ArgDef {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(int32, tag = "3")]
    pub(super) dtype: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct NodeDef {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) op: String,
    #[prost(string, repeated, tag = "3")]
    pub(super) inputs: Vec<String>,
    #[prost(btree_map = "string, message", tag = "5")]
    pub(super) attrs: BTreeMap<String, AttrValue>,
}

/// One of the fields is set.
#[derive(Clone, PartialEq, Message)]
pub(super) struct AttrValue {
    #[prost(message, optional, tag = "1")]
    pub(super) list: Option<ListValue>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(super) string: Option<Bytes>,
    #[prost(int64, optional, tag = "3")]
    pub(super) int: Option<i64>,
    #[prost(float, optional, tag = "4")]
    pub(super) float: Option<f32>,
    #[prost(bool, optional, tag = "5")]
    pub(super) bool: Option<bool>,
    #[prost(int32, optional, tag = "6")]
    pub(super) dtype: Option<i32>,
    #[prost(message, optional, tag = "7")]
    pub(super) shape: Option<TensorShapeProto>,
    #[prost(message, optional, tag = "8")]
    pub(super) tensor: Option<TensorProto>,
    /// Inside a function: the caller's attribute of this name.
    #[prost(string, optional, tag = "9")]
    pub(super) placeholder: Option<String>,
    #[prost(message, optional, tag = "10")]
    pub(super) function: Option<NameAttrList>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ListValue {
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(super) strings: Vec<Bytes>,
    #[prost(int64, repeated, tag = "3")]
    pub(super) ints: Vec<i64>,
    #[prost(float, repeated, tag = "4")]
    pub(super) floats: Vec<f32>,
    #[prost(bool, repeated, tag = "5")]
    pub(super) bools: Vec<bool>,
    #[prost(int32, repeated, tag = "6")]
    pub(super) dtypes: Vec<i32>,
    #[prost(message, repeated, tag = "7")]
    pub(super) shapes: Vec<TensorShapeProto>,
    #[prost(message, repeated, tag = "9")]
    pub(super) functions: Vec<NameAttrList>,
}

/// The name of a function, and the attributes it is called with.
#[derive(Clone, PartialEq, Message)]
pub(super) struct NameAttrList {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(btree_map = "string, message", tag = "2")]
    pub(super) attrs: BTreeMap<String, AttrValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TensorProto {
    #[prost(int32, tag = "1")]
    pub(super) dtype: i32,
    #[prost(message, optional, tag = "2")]
    pub(super) shape: Option<TensorShapeProto>,
    #[prost(bytes = "bytes", tag = "4")]
    pub(super) content: Bytes,
    #[prost(float, repeated, tag = "5")]
    pub(super) floats: Vec<f32>,
    #[prost(double, repeated, tag = "6")]
    pub(super) doubles: Vec<f64>,
    /// All integers of up to 16 bits, and `int32`.
    #[prost(int32, repeated, tag = "7")]
    pub(super) ints: Vec<i32>,
    #[prost(bytes = "bytes", repeated, tag = "8")]
    pub(super) strings: Vec<Bytes>,
    #[prost(int64, repeated, tag = "10")]
    pub(super) longs: Vec<i64>,
    #[prost(bool, repeated, tag = "11")]
    pub(super) bools: Vec<bool>,
    /// The bits of 16-bit floats.
    #[prost(int32, repeated, tag = "13")]
    pub(super) halves: Vec<i32>,
    #[prost(uint32, repeated, tag = "16")]
    pub(super) uints: Vec<u32>,
    #[prost(uint64, repeated, tag = "17")]
    pub(super) ulongs: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TensorShapeProto {
    #[prost(message, repeated, tag = "2")]
    pub(super) dims: Vec<DimProto>,
    #[prost(bool, tag = "3")]
    pub(super) unknown_rank: bool,
}

/// A size; -1 where any will do.
#[derive(Clone, PartialEq, Message)]
pub(super) struct DimProto {
    #[prost(int64, tag = "1")]
    pub(super) size: i64,
}

/// Under the empty key of `variables.index`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct BundleHeaderProto {
    #[prost(int32, tag = "1")]
    pub(super) num_shards: i32,
    /// 0: little; 1: big.
    #[prost(int32, tag = "2")]
    pub(super) endianness: i32,
}

/// Where a tensor lies.
#[derive(Clone, PartialEq, Message)]
pub(super) struct BundleEntryProto {
    #[prost(int32, tag = "1")]
    pub(super) dtype: i32,
    #[prost(message, optional, tag = "2")]
    pub(super) shape: Option<TensorShapeProto>,
    #[prost(int32, tag = "3")]
    pub(super) shard: i32,
    #[prost(int64, tag = "4")]
    pub(super) offset: i64,
    #[prost(int64, tag = "5")]
    pub(super) size: i64,
    /// Parts of a tensor that is stored in several; their number is what matters here.
    #[prost(message, repeated, tag = "7")]
    pub(super) slices: Vec<SliceProto>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct SliceProto {}

/// Under the key `_CHECKPOINTABLE_OBJECT_GRAPH`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct TrackableObjectGraph {
    #[prost(message, repeated, tag = "1")]
    pub(super) nodes: Vec<TrackableObject>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TrackableObject {
    #[prost(message, repeated, tag = "2")]
    pub(super) attributes: Vec<SerializedTensor>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SerializedTensor {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) full_name: String,
    #[prost(string, tag = "3")]
    pub(super) checkpoint_key: String,
}
