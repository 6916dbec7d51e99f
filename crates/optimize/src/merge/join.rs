//! Graphs of several models beside each other, under names of their own.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use modelyard_graph::{ElementType, Graph, Model, Value, ValueType, inline, opset};

use super::Member;
use super::signature::Signature;
use crate::OptimizeError;

/// The oldest operator set in which Softmax, ArgMax and OneHot mean what they do now.
const OLDEST_OPSET: i64 = 13;

/// A model of all members' nodes, without outputs.
pub(super) struct Joined {
    pub(super) model: Model,
    /// For each member, the value that its output was.
    pub(super) outputs: Vec<String>,
}

/// Puts members into one graph that takes the inputs of the signature.
pub(super) fn join(members: &[&Member], signature: &Signature) -> Result<Joined, OptimizeError> {
    let stated = members.iter().filter_map(|member| member.model.opset(""));
    let target = stated.max().unwrap_or(OLDEST_OPSET).max(OLDEST_OPSET);
    let prefixes = prefixes(members.len(), signature);
    let mut graph = Graph { name: "merged".into(), inputs: inputs(signature), ..Graph::default() };
    let mut opsets = Opsets::new(target);
    let (mut outputs, mut ir_version) = (Vec::new(), 0);
    for (member, (prefix, places)) in members.iter().zip(prefixes.iter().zip(&signature.places)) {
        let model = converted(member, target)?;
        opsets.add(member, &model)?;
        ir_version = ir_version.max(model.ir_version);
        let own = model.signature().map_err(|error| failed(member, &error))?;
        let shared: HashMap<&str, &str> = own
            .inputs
            .iter()
            .zip(places)
            .map(|(spec, &place)| (spec.name.as_str(), signature.inputs[place].name.as_str()))
            .collect();
        let mut own = model.graph.clone();
        Renaming { prefix, shared }.graph(&mut own);
        outputs.push(own.outputs[member.output].name.clone());
        graph.nodes.append(&mut own.nodes);
        graph.initializers.append(&mut own.initializers);
        graph.sparse_initializers.append(&mut own.sparse_initializers);
        graph.quantization.append(&mut own.quantization);
    }
    let mut model = Model::unverified(graph);
    model.ir_version = ir_version;
    model.opsets =
        opsets.found.into_iter().map(|(domain, (version, _))| (domain, version)).collect();
    model.metadata = common_metadata(members);
    Ok(Joined { model, outputs })
}

/// What each member's names begin with, so that no name of the whole does.
fn prefixes(members: usize, signature: &Signature) -> Vec<String> {
    let inputs = signature.inputs.iter().map(|spec| spec.name.as_str());
    let taken: Vec<&str> = inputs.chain([signature.output.as_str()]).collect();
    let mut word = "member".to_owned();
    while taken.iter().any(|name| name.starts_with(&word)) {
        word.push('_');
    }
    (1..=members).map(|number| format!("{word}{number}/")).collect()
}

fn inputs(signature: &Signature) -> Vec<Value> {
    let value = |spec: &modelyard_tensor::TensorSpec| Value {
        name: spec.name.clone(),
        value_type: ValueType::Tensor {
            element_type: ElementType::from(spec.data_type),
            dims: spec.dims.clone(),
        },
    };
    signature.inputs.iter().map(value).collect()
}

/// A member without functions, in the operator set of all.
fn converted(member: &Member, target: i64) -> Result<Model, OptimizeError> {
    let inlined = inline(member.model.clone()).map_err(|error| failed(member, &error))?;
    let model = opset::convert(inlined, target).map_err(|error| failed(member, &error))?;
    Ok(model.check()?)
}

fn failed(member: &Member, error: &dyn std::fmt::Display) -> OptimizeError {
    OptimizeError::Invalid(format!("cannot merge '{}': {error}", member.name))
}

/// Operator sets of all members, with whose they are.
struct Opsets<'a> {
    found: BTreeMap<String, (i64, &'a str)>,
}

impl<'a> Opsets<'a> {
    fn new(target: i64) -> Opsets<'a> {
        Opsets { found: BTreeMap::from([(String::new(), (target, ""))]) }
    }

    fn add(&mut self, member: &'a Member, model: &Model) -> Result<(), OptimizeError> {
        // Exporters state operator sets that no node is of.
        let used: BTreeSet<&str> = model.nodes().map(|node| node.domain.as_str()).collect();
        for domain in used.into_iter().filter(|domain| !domain.is_empty()) {
            let Some(version) = model.opset(domain) else { continue };
            let own = (version, member.name.as_str());
            let (other, whose) = *self.found.entry(domain.to_owned()).or_insert(own);
            if other != version {
                return Err(OptimizeError::Invalid(format!(
                    "cannot merge '{whose}' and '{}': the first has operators of '{domain}' in version \
                     {other}, the second in version {version}; export both in one version",
                    member.name
                )));
            }
        }
        Ok(())
    }
}

/// What all members' metadata say alike: class names, how to prepare inputs.
fn common_metadata(members: &[&Member]) -> BTreeMap<String, String> {
    let Some((first, others)) = members.split_first() else { return BTreeMap::new() };
    let mut metadata = first.model.metadata.clone();
    metadata.retain(|key, value| {
        others.iter().all(|member| member.model.metadata.get(key) == Some(value))
    });
    metadata
}

/// Other names for all values and nodes of a graph, and of those inside it.
struct Renaming<'a> {
    prefix: &'a str,
    /// Inputs that all members have.
    shared: HashMap<&'a str, &'a str>,
}

impl Renaming<'_> {
    fn value(&self, name: &mut String) {
        if !name.is_empty() {
            *name = match self.shared.get(name.as_str()) {
                Some(shared) => (*shared).to_owned(),
                None => format!("{}{name}", self.prefix),
            };
        }
    }

    /// Stated types between nodes go: their symbols are each member's own.
    fn graph(&self, graph: &mut Graph) {
        graph.value_info.clear();
        let values = graph.inputs.iter_mut().chain(&mut graph.outputs);
        values.for_each(|value| self.value(&mut value.name));
        graph.initializers.iter_mut().for_each(|constant| self.value(&mut constant.name));
        for sparse in &mut graph.sparse_initializers {
            self.value(&mut sparse.values.name);
            self.value(&mut sparse.indices.name);
        }
        for quantization in &mut graph.quantization {
            self.value(&mut quantization.tensor);
            quantization.parameters.iter_mut().for_each(|(_, tensor)| self.value(tensor));
        }
        for node in &mut graph.nodes {
            if !node.name.is_empty() {
                node.name.insert_str(0, self.prefix);
            }
            node.inputs.iter_mut().chain(&mut node.outputs).for_each(|name| self.value(name));
            node.subgraphs_mut().for_each(|graph| self.graph(graph));
        }
    }
}
