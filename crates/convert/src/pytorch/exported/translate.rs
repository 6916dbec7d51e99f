//! From the JSON of an exported program to a [`Program`].

use std::collections::{BTreeMap, HashMap};

use super::archive::element_type;
use super::{damaged, expression, outputs, schema};
use crate::pytorch::graph::{
    Argument, Graph, InputKind, Meta, Named, Node, OutputKind, Program, Range, Size,
};
use crate::pytorch::weight::Weight;
use crate::{ConvertError, Limits};

/// The program that the JSON describes, with these weights.
pub(super) fn program(
    exported: schema::ExportedProgram,
    weights: BTreeMap<String, Weight>,
    limits: &Limits,
) -> Result<Program, ConvertError> {
    let schema::ExportedProgram { graph_module, range_constraints, torch_version, guards_code } =
        exported;
    let names = outputs::names(&graph_module);
    let schema::GraphModule { graph, signature, .. } = graph_module;
    let mut budget = limits.nodes;
    let mut graph = translate_graph(graph, &mut budget, limits)?;
    if signature.input_specs.len() != graph.inputs.len() {
        let (specs, found) = (signature.input_specs.len(), graph.inputs.len());
        let message = format!("it has {found} inputs, its signature has {specs}");
        return Err(damaged("the graph", message));
    }
    let mut kinds = Vec::new();
    for (spec, input) in signature.input_specs.into_iter().zip(&mut graph.inputs) {
        let (name, kind) = input_kind(spec)?;
        if input.is_empty() {
            // A Python value that was fixed has its name in the signature only.
            *input = name;
        }
        kinds.push(kind);
    }
    for (name, kind) in graph.inputs.iter().zip(&kinds) {
        check_weight(name, kind, &weights)?;
    }
    let outputs = output_kinds(signature.output_specs, names);
    if outputs.len() != graph.outputs.len() {
        let (specs, found) = (outputs.len(), graph.outputs.len());
        let message = format!("it has {found} outputs, its signature has {specs}");
        return Err(damaged("the graph", message));
    }
    add_user_inputs(&mut graph);
    Ok(Program {
        producer: format!("PyTorch {torch_version}"),
        graph,
        inputs: kinds,
        outputs,
        weights,
        symbols: symbols(&range_constraints),
        guards: guards_code,
        ..Program::default()
    })
}

/// Inputs that no tensor or number describes get a meta that says so.
fn add_user_inputs(graph: &mut Graph) {
    for name in &graph.inputs {
        let unknown = || Meta::Other("a value of unknown kind".into());
        graph.values.entry(name.clone()).or_insert_with(unknown);
    }
}

fn symbols(constraints: &BTreeMap<String, schema::RangeConstraint>) -> BTreeMap<String, Range> {
    // Bounds beyond this are those of the integer type.
    const NO_BOUND: f64 = 1e15;
    let range = |constraint: &schema::RangeConstraint| {
        let bound = |number: &Option<schema::Number>| {
            let value = number.as_ref().map(schema::Number::as_f64);
            value.filter(|value| value.abs() < NO_BOUND).map(|value| value as i64)
        };
        Range { min: bound(&constraint.min_val).unwrap_or(0), max: bound(&constraint.max_val) }
    };
    constraints
        .iter()
        .filter_map(|(text, constraint)| match expression::size(text) {
            Size::Symbol(name) => Some((name, range(constraint))),
            _ => None,
        })
        .collect()
}

fn check_weight(
    value: &str,
    kind: &InputKind,
    weights: &BTreeMap<String, Weight>,
) -> Result<(), ConvertError> {
    let (InputKind::Parameter(name) | InputKind::Buffer(name) | InputKind::Constant(name)) = kind
    else {
        return Ok(());
    };
    match weights.contains_key(name) {
        true => Ok(()),
        false => {
            let message = format!("the archive has no weight for value '{value}'");
            Err(damaged(&format!("weight '{name}'"), message))
        }
    }
}

fn input_kind(spec: schema::InputSpec) -> Result<(String, InputKind), ConvertError> {
    use schema::InputSpec;
    Ok(match spec {
        InputSpec::User { arg } => match argument_name(&arg) {
            Some(name) => (name, InputKind::User),
            // A number or text that was given as an example and is fixed now.
            None => {
                let mut budget = 0;
                (String::new(), InputKind::Fixed(argument(arg, &mut budget, &Limits::default())?))
            }
        },
        InputSpec::Parameter { arg, parameter_name } => {
            (arg.name, InputKind::Parameter(parameter_name))
        }
        InputSpec::Buffer { arg, buffer_name } => (arg.name, InputKind::Buffer(buffer_name)),
        InputSpec::Constant { arg, tensor_constant_name } => {
            (arg.name, InputKind::Constant(tensor_constant_name))
        }
        InputSpec::CustomObject { arg } => {
            (arg.name, InputKind::Other("an object of a custom class".into()))
        }
        InputSpec::Token { arg } => (arg.name, InputKind::Other("a token of effects".into())),
        InputSpec::Fixed { name, value } => {
            let mut budget = 0;
            let value = argument(value, &mut budget, &Limits::default())?;
            (name, InputKind::Fixed(value))
        }
    })
}

fn argument_name(argument: &schema::Argument) -> Option<String> {
    match argument {
        schema::Argument::Tensor(named) | schema::Argument::CustomObject(named) => {
            Some(named.name.clone())
        }
        schema::Argument::SymInt(schema::SymNumber::Name(name))
        | schema::Argument::SymFloat(schema::SymNumber::Name(name))
        | schema::Argument::SymBool(schema::SymNumber::Name(name)) => Some(name.clone()),
        _ => None,
    }
}

fn output_kinds(specs: Vec<schema::OutputSpec>, names: Vec<Option<String>>) -> Vec<OutputKind> {
    use schema::OutputSpec;
    let mut names = names.into_iter();
    let kind = |(index, spec)| match spec {
        OutputSpec::User { arg } => {
            let own = argument_name(&arg).unwrap_or_else(|| format!("output_{index}"));
            OutputKind::User(names.next().flatten().unwrap_or(own))
        }
        OutputSpec::BufferMutation { buffer_name } => OutputKind::BufferMutation(buffer_name),
        OutputSpec::ParameterMutation { parameter_name } => {
            OutputKind::BufferMutation(parameter_name)
        }
        OutputSpec::InputMutation { user_input_name } => OutputKind::InputMutation(user_input_name),
        OutputSpec::Loss(_)
        | OutputSpec::ParameterGradient(_)
        | OutputSpec::InputGradient(_)
        | OutputSpec::Token(_) => OutputKind::Ignored,
    };
    specs.into_iter().enumerate().map(kind).collect()
}

fn translate_graph(
    graph: schema::Graph,
    budget: &mut usize,
    limits: &Limits,
) -> Result<Graph, ConvertError> {
    *budget = budget.checked_sub(graph.nodes.len()).ok_or_else(|| ConvertError::TooLarge {
        place: "the program".into(),
        what: "calls",
        found: limits.nodes as u64 + 1,
        limit: limits.nodes as u64,
    })?;
    let mut values = HashMap::new();
    for (name, meta) in graph.tensor_values {
        let sizes = meta.sizes.iter().map(size).collect();
        let meta = match element_type(meta.dtype) {
            Some(element_type) => Meta::Tensor(element_type, sizes),
            None => Meta::Other(format!("a tensor of PyTorch's type {}", meta.dtype)),
        };
        values.insert(name, meta);
    }
    values.extend(
        graph.sym_int_values.iter().map(|(name, int)| (name.clone(), Meta::Int(size(int)))),
    );
    values.extend(graph.sym_bool_values.into_keys().map(|name| (name, Meta::Bool)));
    values.extend(graph.sym_float_values.into_keys().map(|name| (name, Meta::Float)));
    let mut translated = Graph { values, ..Graph::default() };
    for input in &graph.inputs {
        translated.inputs.push(argument_name(input).unwrap_or_default());
    }
    for node in graph.nodes {
        translated.nodes.push(translate_node(node, budget, limits)?);
    }
    for output in graph.outputs {
        translated.outputs.push(argument(output, budget, limits)?);
    }
    Ok(translated)
}

fn size(size: &schema::SymInt) -> Size {
    match size {
        schema::SymInt::Int(value) => Size::Known(*value),
        schema::SymInt::Expression { expr_str } => expression::size(expr_str),
    }
}

fn translate_node(
    node: schema::Node,
    budget: &mut usize,
    limits: &Limits,
) -> Result<Node, ConvertError> {
    let mut arguments = Vec::with_capacity(node.inputs.len());
    for input in node.inputs {
        let value = argument(input.arg, budget, limits)?;
        arguments.push(Named { name: input.name, value });
    }
    let mut outputs = Vec::new();
    for output in &node.outputs {
        output_names(output, &mut outputs);
    }
    let target = target(&node.target);
    let name = node.name.filter(|name| !name.is_empty());
    let name = name.or_else(|| outputs.first().cloned()).unwrap_or_else(|| target.clone());
    Ok(Node { name, target, arguments, outputs })
}

/// `aten.conv2d.default` of `torch.ops.aten.conv2d.default`; `operator.add` of `_operator.add`.
fn target(target: &str) -> String {
    let target = target.strip_prefix("torch.ops.").unwrap_or(target);
    match target.strip_prefix('_') {
        Some(rest) if rest.starts_with("operator.") => rest.to_owned(),
        _ => target.to_owned(),
    }
}

fn output_names(output: &schema::Argument, names: &mut Vec<String>) {
    match output {
        schema::Argument::Tensors(list) => {
            names.extend(list.iter().map(|named| named.name.clone()));
        }
        schema::Argument::OptionalTensor(optional) => names.push(optional_name(optional)),
        schema::Argument::OptionalTensors(list) => names.extend(list.iter().map(optional_name)),
        schema::Argument::SymInts(list) => {
            let name = |number: &schema::SymNumber| match number {
                schema::SymNumber::Name(name) => name.clone(),
                _ => String::new(),
            };
            names.extend(list.iter().map(name));
        }
        other => names.push(argument_name(other).unwrap_or_default()),
    }
}

fn optional_name(optional: &schema::OptionalTensor) -> String {
    match optional {
        schema::OptionalTensor::Tensor(named) => named.name.clone(),
        schema::OptionalTensor::None(_) => String::new(),
    }
}

fn argument(
    argument: schema::Argument,
    budget: &mut usize,
    limits: &Limits,
) -> Result<Argument, ConvertError> {
    use schema::Argument as From;
    fn list<T>(items: Vec<T>, each: impl Fn(T) -> Argument) -> Argument {
        Argument::List(items.into_iter().map(each).collect())
    }
    let value = |named: schema::Named| Argument::Value(named.name);
    let float = |number: schema::Number| Argument::Float(number.as_f64());
    let optional = |optional| match optional {
        schema::OptionalTensor::Tensor(named) => Argument::Value(named.name),
        schema::OptionalTensor::None(_) => Argument::None,
    };
    Ok(match argument {
        From::None(_) => Argument::None,
        From::Tensor(named) => value(named),
        From::Tensors(items) => list(items, value),
        From::NestedTensors(items) => list(items, |inner| list(inner, value)),
        From::Int(value) => Argument::Int(value),
        From::Ints(items) => list(items, Argument::Int),
        From::IntLists(items) => list(items, |inner| list(inner, Argument::Int)),
        From::Float(number) => float(number),
        From::Floats(items) => list(items, float),
        From::FloatLists(items) => list(items, |inner| list(inner, float)),
        From::String(text) => Argument::String(text),
        From::Strings(items) => list(items, Argument::String),
        From::SymInt(number) | From::SymBool(number) | From::SymFloat(number) => symbolic(number),
        From::SymInts(items) | From::SymBools(items) | From::SymFloats(items) => {
            list(items, symbolic)
        }
        From::ScalarType(code) => match element_type(code) {
            Some(element_type) => Argument::Type(element_type),
            None => Argument::Other(format!("PyTorch's type {code}")),
        },
        From::MemoryFormat(code) => Argument::Layout(format!("memory format {code}")),
        From::Layout(code) => Argument::Layout(format!("layout {code}")),
        From::Device(device) => Argument::Device(device.kind),
        From::Bool(value) => Argument::Bool(value),
        From::Bools(items) => list(items, Argument::Bool),
        From::Graph(inner) => {
            Argument::Graph(Box::new(translate_graph(inner.graph, budget, limits)?))
        }
        From::OptionalTensor(item) => optional(item),
        From::OptionalTensors(items) => list(items, optional),
        From::CustomObject(named) => Argument::Other(format!("the object '{}'", named.name)),
        From::Operator(name) => Argument::Other(format!("the operator {name}")),
        From::Complex(_) => Argument::Other("a complex number".into()),
        From::Dictionary(_) => Argument::Other("a dictionary".into()),
    })
}

fn symbolic(number: schema::SymNumber) -> Argument {
    match number {
        schema::SymNumber::Name(name) => Argument::Value(name),
        schema::SymNumber::Int(value) => Argument::Int(value),
        schema::SymNumber::Float(number) => Argument::Float(number.as_f64()),
        schema::SymNumber::Bool(value) => Argument::Bool(value),
    }
}
