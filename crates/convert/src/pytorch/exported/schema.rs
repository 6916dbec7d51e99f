//! The JSON of exported programs, as `torch/_export/serde/schema.py` has it (major version 8).
//!
//! Only what matters for inference is read; the rest is skipped without being kept.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

/// `models/model.json`.
#[derive(Debug, Deserialize)]
pub(super) struct ExportedProgram {
    pub(super) graph_module: GraphModule,
    #[serde(default)]
    pub(super) range_constraints: BTreeMap<String, RangeConstraint>,
    #[serde(default = "torch_before_versions")]
    pub(super) torch_version: String,
    #[serde(default)]
    pub(super) guards_code: Vec<String>,
}

/// Programs of torch 2.4 and before do not say their version.
fn torch_before_versions() -> String {
    "<=2.4".into()
}

/// The version alone: read before the rest, whose form depends on it.
#[derive(Debug, Deserialize)]
pub(super) struct Versioned {
    pub(super) schema_version: SchemaVersion,
    #[serde(default = "torch_before_versions")]
    pub(super) torch_version: String,
}

/// The first programs had a single number.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum SchemaVersion {
    Pair { major: i64, minor: i64 },
    Single(i64),
}

#[derive(Debug, Deserialize)]
pub(super) struct RangeConstraint {
    #[serde(default)]
    pub(super) min_val: Option<Number>,
    #[serde(default)]
    pub(super) max_val: Option<Number>,
}

/// Numbers that JSON cannot say come as text: `Infinity`, `-Infinity`, `NaN`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Number {
    Int(i64),
    Float(f64),
    Text(String),
}

impl Number {
    pub(super) fn as_f64(&self) -> f64 {
        match self {
            Number::Int(value) => *value as f64,
            Number::Float(value) => *value,
            Number::Text(text) => match text.as_str() {
                "Infinity" => f64::INFINITY,
                "-Infinity" => f64::NEG_INFINITY,
                _ => f64::NAN,
            },
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct GraphModule {
    pub(super) graph: Graph,
    pub(super) signature: Signature,
    #[serde(default)]
    pub(super) module_call_graph: Vec<ModuleCall>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ModuleCall {
    #[serde(default)]
    pub(super) fqn: String,
    #[serde(default)]
    pub(super) signature: Option<ModuleSignature>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ModuleSignature {
    /// A text with JSON in it.
    #[serde(default)]
    pub(super) out_spec: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Graph {
    pub(super) inputs: Vec<Argument>,
    pub(super) outputs: Vec<Argument>,
    pub(super) nodes: Vec<Node>,
    pub(super) tensor_values: HashMap<String, TensorMeta>,
    #[serde(default)]
    pub(super) sym_int_values: HashMap<String, SymInt>,
    #[serde(default)]
    pub(super) sym_bool_values: HashMap<String, serde::de::IgnoredAny>,
    #[serde(default)]
    pub(super) sym_float_values: HashMap<String, serde::de::IgnoredAny>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Node {
    pub(super) target: String,
    pub(super) inputs: Vec<NamedArgument>,
    pub(super) outputs: Vec<Argument>,
    #[serde(default)]
    pub(super) name: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct NamedArgument {
    #[serde(default)]
    pub(super) name: String,
    pub(super) arg: Argument,
}

#[derive(Debug, Deserialize)]
pub(super) struct TensorMeta {
    pub(super) dtype: i64,
    pub(super) sizes: Vec<SymInt>,
    #[serde(default)]
    pub(super) strides: Vec<SymInt>,
    #[serde(default)]
    pub(super) storage_offset: Option<SymInt>,
    #[serde(default = "strided")]
    pub(super) layout: i64,
}

/// The layout of dense tensors.
pub(super) const STRIDED: i64 = 7;

fn strided() -> i64 {
    STRIDED
}

#[derive(Debug, Deserialize)]
pub(super) enum SymInt {
    #[serde(rename = "as_expr")]
    Expression { expr_str: String },
    #[serde(rename = "as_int")]
    Int(i64),
}

#[derive(Debug, Deserialize)]
pub(super) enum SymNumber {
    #[serde(rename = "as_name")]
    Name(String),
    #[serde(rename = "as_int")]
    Int(i64),
    #[serde(rename = "as_float")]
    Float(Number),
    #[serde(rename = "as_bool")]
    Bool(bool),
}

#[derive(Debug, Deserialize)]
pub(super) struct Named {
    pub(super) name: String,
}

#[derive(Debug, Deserialize)]
pub(super) enum OptionalTensor {
    #[serde(rename = "as_tensor")]
    Tensor(Named),
    #[serde(rename = "as_none")]
    None(serde::de::IgnoredAny),
}

#[derive(Debug, Deserialize)]
pub(super) struct Device {
    #[serde(rename = "type")]
    pub(super) kind: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct GraphArgument {
    pub(super) graph: Graph,
}

/// What a node takes or gives: a union.
#[derive(Debug, Deserialize)]
pub(super) enum Argument {
    #[serde(rename = "as_none")]
    None(serde::de::IgnoredAny),
    #[serde(rename = "as_tensor")]
    Tensor(Named),
    #[serde(rename = "as_tensors")]
    Tensors(Vec<Named>),
    #[serde(rename = "as_nested_tensors")]
    NestedTensors(Vec<Vec<Named>>),
    #[serde(rename = "as_int")]
    Int(i64),
    #[serde(rename = "as_ints")]
    Ints(Vec<i64>),
    #[serde(rename = "as_int_lists")]
    IntLists(Vec<Vec<i64>>),
    #[serde(rename = "as_float")]
    Float(Number),
    #[serde(rename = "as_floats")]
    Floats(Vec<Number>),
    #[serde(rename = "as_float_lists")]
    FloatLists(Vec<Vec<Number>>),
    #[serde(rename = "as_string")]
    String(String),
    #[serde(rename = "as_strings")]
    Strings(Vec<String>),
    #[serde(rename = "as_sym_int")]
    SymInt(SymNumber),
    #[serde(rename = "as_sym_ints")]
    SymInts(Vec<SymNumber>),
    #[serde(rename = "as_sym_bool")]
    SymBool(SymNumber),
    #[serde(rename = "as_sym_bools")]
    SymBools(Vec<SymNumber>),
    #[serde(rename = "as_sym_float")]
    SymFloat(SymNumber),
    #[serde(rename = "as_sym_floats")]
    SymFloats(Vec<SymNumber>),
    #[serde(rename = "as_scalar_type")]
    ScalarType(i64),
    #[serde(rename = "as_memory_format")]
    MemoryFormat(i64),
    #[serde(rename = "as_layout")]
    Layout(i64),
    #[serde(rename = "as_device")]
    Device(Device),
    #[serde(rename = "as_bool")]
    Bool(bool),
    #[serde(rename = "as_bools")]
    Bools(Vec<bool>),
    #[serde(rename = "as_graph")]
    Graph(Box<GraphArgument>),
    #[serde(rename = "as_optional_tensor")]
    OptionalTensor(OptionalTensor),
    #[serde(rename = "as_optional_tensors")]
    OptionalTensors(Vec<OptionalTensor>),
    #[serde(rename = "as_custom_obj")]
    CustomObject(Named),
    #[serde(rename = "as_operator")]
    Operator(String),
    #[serde(rename = "as_complex")]
    Complex(serde::de::IgnoredAny),
    #[serde(rename = "as_string_to_argument")]
    Dictionary(serde::de::IgnoredAny),
}

#[derive(Debug, Deserialize)]
pub(super) struct Signature {
    pub(super) input_specs: Vec<InputSpec>,
    pub(super) output_specs: Vec<OutputSpec>,
}

#[derive(Debug, Deserialize)]
pub(super) enum InputSpec {
    #[serde(rename = "user_input")]
    User { arg: Argument },
    #[serde(rename = "parameter")]
    Parameter { arg: Named, parameter_name: String },
    #[serde(rename = "buffer")]
    Buffer { arg: Named, buffer_name: String },
    #[serde(rename = "tensor_constant")]
    Constant { arg: Named, tensor_constant_name: String },
    #[serde(rename = "custom_obj")]
    CustomObject { arg: Named },
    #[serde(rename = "token")]
    Token { arg: Named },
    #[serde(rename = "constant_input")]
    Fixed { name: String, value: Argument },
}

#[derive(Debug, Deserialize)]
pub(super) enum OutputSpec {
    #[serde(rename = "user_output")]
    User { arg: Argument },
    #[serde(rename = "loss_output")]
    Loss(serde::de::IgnoredAny),
    #[serde(rename = "buffer_mutation")]
    BufferMutation { buffer_name: String },
    #[serde(rename = "parameter_mutation")]
    ParameterMutation { parameter_name: String },
    #[serde(rename = "user_input_mutation")]
    InputMutation { user_input_name: String },
    #[serde(rename = "gradient_to_parameter")]
    ParameterGradient(serde::de::IgnoredAny),
    #[serde(rename = "gradient_to_user_input")]
    InputGradient(serde::de::IgnoredAny),
    #[serde(rename = "token")]
    Token(serde::de::IgnoredAny),
}

/// `model_weights_config.json` and `model_constants_config.json`.
#[derive(Debug, Deserialize)]
pub(super) struct PayloadConfig {
    pub(super) config: BTreeMap<String, Payload>,
}

/// Where a weight lies.
#[derive(Debug, Deserialize)]
pub(super) struct Payload {
    pub(super) path_name: String,
    #[serde(default)]
    pub(super) use_pickle: bool,
    pub(super) tensor_meta: Option<TensorMeta>,
}
