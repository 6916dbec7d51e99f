//! One model with the average of several models' weights (Wortsman et al., "Model soups: averaging
//! weights of multiple fine-tuned models improves accuracy without increasing inference time", 2022).
//!
//! That makes sense for models that were trained further from the same weights. Weights of models that
//! began by chance stand for other things in each; their average is worth nothing.

use std::collections::{BTreeMap, BTreeSet};

use modelyard_graph::{AttributeValue, Constant, ElementType, Model, Node};
use modelyard_tensor::Shape;
use modelyard_train::Array;

use super::signature::check_labels;
use super::{Member, normalized};
use crate::OptimizeError;
use crate::quantize::is_quantized;

/// Differences that are named.
const SHOWN: usize = 8;

/// The average of models, and what is to be said about it.
#[derive(Debug)]
pub struct Soup {
    /// The model.
    pub model: Model,
    /// Weights that differed.
    pub averaged: usize,
    /// Means and variances of batch normalization among them: what they stand for was measured with
    /// other weights.
    pub statistics: Vec<String>,
}

/// A model with the graph of the first and the weighted average of all weights, which are the same but
/// for their values.
pub fn soup(members: &[Member], weights: &[f64]) -> Result<Soup, OptimizeError> {
    let weights = normalized(weights, members.len())?;
    let Some((first, others)) = members.split_first() else {
        return Err(OptimizeError::Invalid("there is no model to average".into()));
    };
    for member in members {
        if is_quantized(&member.model) {
            return Err(OptimizeError::Invalid(format!(
                "cannot average the weights of '{}': it is quantized; average the models of floats and \
                 quantize the result",
                member.name
            )));
        }
    }
    for other in others {
        let found = differences(&first.model, &other.model);
        if !found.is_empty() {
            let shown: Vec<&str> = found.iter().take(SHOWN).map(String::as_str).collect();
            return Err(OptimizeError::Invalid(format!(
                "cannot average the weights of '{}' and '{}', which differ in more than weights: {}{}",
                first.name,
                other.name,
                shown.join("; "),
                if found.len() > SHOWN { "; …" } else { "" }
            )));
        }
        check_labels(first, other)?;
    }
    mixed(members, &weights)
}

/// Members of the greedy soup, by their numbers: the best one, and in the order of their scores each that
/// does not make it worse. `scores` are those of members alone; `score` is asked about soups. Higher is
/// better.
pub fn greedy<E>(
    scores: &[f64],
    mut score: impl FnMut(&[usize]) -> Result<f64, E>,
) -> Result<Vec<usize>, E> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&one, &two| scores[two].total_cmp(&scores[one]));
    let mut order = order.into_iter();
    let mut taken: Vec<usize> = order.next().into_iter().collect();
    let mut best = taken.first().map_or(f64::NEG_INFINITY, |&first| scores[first]);
    for member in order {
        taken.push(member);
        let found = score(&taken)?;
        if found >= best {
            best = found;
        } else {
            taken.pop();
        }
    }
    Ok(taken)
}

fn mixed(members: &[Member], weights: &[f64]) -> Result<Soup, OptimizeError> {
    let tables: Vec<BTreeMap<String, &Constant>> =
        members.iter().map(|member| constants(&member.model)).collect();
    let mut model = members[0].model.clone();
    let mut changed = BTreeSet::new();
    for (name, constant) in constants_mut(&mut model) {
        let same: Option<Vec<&Constant>> =
            tables.iter().map(|table| table.get(&name).copied()).collect();
        let Some(same) = same.filter(|same| is_float(constant) && !all_equal(same)) else {
            continue;
        };
        *constant = average(&name, (members, &same), weights)?;
        changed.insert(name);
    }
    let statistics = model.graph.nodes.iter().filter(|node| node.is("BatchNormalization"));
    let statistics = statistics.flat_map(|node| node.inputs.iter().skip(3));
    let statistics = statistics.filter(|name| changed.contains(*name)).cloned().collect();
    // What was said of how the first was trained is not true of the soup.
    model.metadata.retain(|key, value| {
        members.iter().all(|member| member.model.metadata.get(key) == Some(value))
    });
    Ok(Soup { model: model.check()?, averaged: changed.len(), statistics })
}

fn average(
    name: &str,
    (members, constants): (&[Member], &[&Constant]),
    weights: &[f64],
) -> Result<Constant, OptimizeError> {
    let mut sum: Vec<f64> = Vec::new();
    for ((member, constant), weight) in members.iter().zip(constants).zip(weights) {
        let array = Array::from_constant(constant);
        let values = array.as_ref().and_then(|array| array.as_floats().ok());
        let values = values.filter(|values| values.iter().all(|value| value.is_finite()));
        let values = values.ok_or_else(|| {
            OptimizeError::Invalid(format!(
                "cannot average weight '{name}': that of '{}' holds NaN or infinity, or lies in a file \
                 that was not read",
                member.name
            ))
        })?;
        sum.resize(values.len(), 0.0);
        sum.iter_mut().zip(values).for_each(|(sum, &value)| *sum += weight * f64::from(value));
    }
    let first = constants[0];
    let values = sum.into_iter().map(|value| value as f32).collect();
    let mixed = Array::floats(Shape::new(&first.dims), values);
    let mixed = mixed.to_constant(&first.name, first.element_type);
    mixed.ok_or_else(|| {
        OptimizeError::Invalid(format!("cannot average weight '{name}' of {}", first.element_type))
    })
}

fn all_equal(constants: &[&Constant]) -> bool {
    constants.windows(2).all(|pair| pair[0].bytes() == pair[1].bytes())
}

fn is_float(constant: &Constant) -> bool {
    use ElementType::{Bfloat16, Float16, Float32, Float64};
    [Float32, Float16, Bfloat16, Float64].contains(&constant.element_type)
}

/// Constants of the main graph by the value that they are: initializers, and what Constant nodes hold.
fn constants(model: &Model) -> BTreeMap<String, &Constant> {
    let graph = &model.graph;
    let initializers = graph.initializers.iter().map(|constant| (constant.name.clone(), constant));
    let nodes = graph.nodes.iter().filter(|node| node.is("Constant"));
    let nodes = nodes.filter_map(|node| Some((node.output(0)?.to_owned(), node.tensor("value")?)));
    initializers.chain(nodes).collect()
}

fn constants_mut(model: &mut Model) -> Vec<(String, &mut Constant)> {
    let graph = &mut model.graph;
    let initializers =
        graph.initializers.iter_mut().map(|constant| (constant.name.clone(), constant));
    let nodes = graph.nodes.iter_mut().filter(|node| node.is("Constant"));
    let nodes = nodes.flat_map(|node| {
        let name = node.output(0).unwrap_or_default().to_owned();
        node.attributes.iter_mut().filter_map(move |attribute| match &mut attribute.value {
            AttributeValue::Tensor(tensor) => Some((name.clone(), tensor.as_mut())),
            _ => None,
        })
    });
    initializers.chain(nodes).collect()
}

/// In what two models differ, but for the values of weights.
fn differences(first: &Model, other: &Model) -> Vec<String> {
    let mut found = Vec::new();
    let mut differ = |what: &str, differs: bool| {
        if differs {
            found.push(what.to_owned());
        }
    };
    let names = |model: &Model| {
        let inputs = &model.graph.inputs;
        inputs.iter().map(|input| input.name.clone()).collect::<Vec<_>>()
    };
    differ("the operator sets", first.opsets != other.opsets);
    differ("the functions", first.functions != other.functions);
    differ("the inputs", names(first) != names(other));
    differ("the outputs", first.graph.outputs != other.graph.outputs);
    found.extend(differences_of_nodes(&first.graph.nodes, &other.graph.nodes));
    found.extend(differences_of_constants(&constants(first), &constants(other)));
    found
}

fn differences_of_nodes(first: &[Node], other: &[Node]) -> Vec<String> {
    if first.len() != other.len() {
        return vec![format!("{} and {} nodes", first.len(), other.len())];
    }
    let difference = |(one, two): (&Node, &Node)| {
        let operators = (one.operator(), two.operator());
        if operators.0 != operators.1 {
            return Some(format!("node '{}' is {} and {}", one.label(), operators.0, operators.1));
        }
        if (&one.inputs, &one.outputs) != (&two.inputs, &two.outputs) {
            let text = |node: &Node| format!("{:?} to {:?}", node.inputs, node.outputs);
            return Some(format!("{one} goes from {} and {}", text(one), text(two)));
        }
        let holds_weight = one.is("Constant") && one.tensor("value").is_some();
        let differ = !holds_weight && one.attributes != two.attributes;
        differ.then(|| format!("{one} has other attributes"))
    };
    first.iter().zip(other).filter_map(difference).collect()
}

fn differences_of_constants(
    first: &BTreeMap<String, &Constant>,
    other: &BTreeMap<String, &Constant>,
) -> Vec<String> {
    let mut found = Vec::new();
    for (name, one) in first {
        let Some(two) = other.get(name) else {
            found.push(format!("only the first has weight '{name}'"));
            continue;
        };
        let text = |constant: &Constant| format!("{} {:?}", constant.element_type, constant.dims);
        if text(one) != text(two) {
            found.push(format!("weight '{name}' is {} and {}", text(one), text(two)));
        } else if !is_float(one) && one.data != two.data && one.bytes() != two.bytes() {
            found.push(format!("'{name}', which is no weight of floats, has other values"));
        }
    }
    let more = other.keys().filter(|name| !first.contains_key(*name));
    found.extend(more.map(|name| format!("only the second has weight '{name}'")));
    found
}
