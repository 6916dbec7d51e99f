//! `Functional`: layers that call each other, as inbound nodes of each layer.

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde_json::Value as Json;

use crate::keras::argument::Arguments;
use crate::keras::config::Config;
use crate::keras::fault::Fault;
use crate::keras::inbound::{self, Link};
use crate::keras::layer::Layer;
use crate::keras::names::Names;
use crate::keras::network::{Call, Network, Output, Reference};
use crate::keras::reader::{Context, class_of, is_function, name_of};

/// One call of a layer, as the file has it.
struct Node {
    layer: usize,
    arguments: Arguments<Link>,
}

/// Reads a `Functional` model.
pub(crate) fn read(json: &Json, context: &mut Context<'_>) -> Result<Network, Fault> {
    let config = json.get("config").unwrap_or(&Json::Null);
    let list = config.get("layers").and_then(Json::as_array);
    let list = list.ok_or_else(|| {
        Fault::unsupported(
            "a model class whose code is not in the file",
            "build it as a functional or Sequential model, or export it as a SavedModel \
             (`model.export(folder)`) and convert that",
        )
    })?;
    let layers = read_layers(list, context)?;
    let names: HashMap<&str, usize> =
        layers.iter().enumerate().map(|(index, layer)| (layer.name.as_str(), index)).collect();
    let mut graph = Graph::new(&layers, list);
    for (index, json) in list.iter().enumerate() {
        let nodes = json.get("inbound_nodes").and_then(Json::as_array);
        for node in nodes.into_iter().flatten() {
            let arguments = inbound::read(node, &names)?;
            graph.add(Node { layer: index, arguments });
        }
        // Inputs are called without arguments, by nobody.
        if nodes.is_none_or(Vec::is_empty) && layers[index].class == "InputLayer" {
            let arguments = Arguments { positional: Vec::new(), named: Vec::new() };
            graph.add(Node { layer: index, arguments });
        }
    }
    let ends = |key: &str| -> Result<Vec<(Option<String>, Link)>, Fault> {
        let json = config.get(key).unwrap_or(&Json::Null);
        let ends = inbound::ends(json, &names);
        ends.ok_or_else(|| Fault::malformed(format!("expected layers as '{key}', found others")))
    };
    let (inputs, outputs) = (ends("input_layers")?, ends("output_layers")?);
    graph.find_offsets(&outputs);
    let (calls, place) = graph.sorted()?;
    let resolve = |link: &Link, is_output: bool| {
        let node = graph.resolve(link, is_output)?;
        Ok::<_, Fault>(Reference { call: place[node], tensor: link.tensor })
    };
    let inputs = inputs.iter().map(|(_, link)| Ok(resolve(link, true)?.call));
    let inputs: Vec<usize> = inputs.collect::<Result<_, Fault>>()?;
    let calls = calls.into_iter().map(|node| {
        let Node { layer, arguments } = &graph.nodes[node];
        let arguments = arguments.try_map(&mut |link| resolve(link, false))?;
        Ok(Call { layer: *layer, arguments })
    });
    let calls: Vec<Call> = calls.collect::<Result<_, Fault>>()?;
    let outputs = outputs.iter().map(|(key, link)| {
        let name = key.clone().unwrap_or_else(|| layers[link.layer].name.clone());
        Ok(Output { name, from: resolve(link, true)? })
    });
    let outputs = outputs.collect::<Result<_, Fault>>()?;
    Ok(Network { layers, calls, inputs, outputs })
}

fn read_layers(list: &[Json], context: &mut Context<'_>) -> Result<Vec<Layer>, Fault> {
    let mut names = Names::default();
    let mut layers = Vec::with_capacity(list.len());
    for json in list {
        let class = class_of(json).unwrap_or_default();
        let config = Config::new(json.get("config")).unwrap_or_default();
        // Functions are no layers: they have no place among those that may have weights.
        let name = match is_function(json, &class, &config, context.reader.major) {
            true => "function".into(),
            false => names.next(&class),
        };
        let path = format!("{}/layers/{name}", context.place.path);
        let path = path.trim_start_matches('/').to_owned();
        layers.push(context.reader.layer(json, path, &context.place)?);
    }
    Ok(layers)
}

/// The calls of a model before they are in order.
struct Graph {
    nodes: Vec<Node>,
    /// For each layer its calls, as indices of `nodes`.
    of_layer: Vec<Vec<usize>>,
    /// Whether each layer is a model of its own kind, and whether the file counts its calls from 1.
    is_model: Vec<Model>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Model {
    functional: bool,
    sequential: bool,
    /// Arguments of calls count from 1.
    one_based: bool,
    /// Outputs count from 1.
    outputs_one_based: bool,
}

impl Graph {
    fn new(layers: &[Layer], list: &[Json]) -> Graph {
        let is_model = list.iter().map(|json| {
            let class = class_of(json).unwrap_or_default();
            let functional =
                matches!(class.as_str(), "Functional" | "Model" | "Network" | "Container");
            Model { functional, sequential: class == "Sequential", ..Model::default() }
        });
        Graph {
            nodes: Vec::new(),
            of_layer: vec![Vec::new(); layers.len()],
            is_model: is_model.collect(),
        }
    }

    fn add(&mut self, node: Node) {
        self.of_layer[node.layer].push(self.nodes.len());
        self.nodes.push(node);
    }

    /// Models inside count as called once already when they are made, which files show in different
    /// ways: Keras 2 counts their calls from 1, Keras 3 only where they are outputs.
    fn find_offsets(&mut self, outputs: &[(Option<String>, Link)]) {
        let mut least: BTreeMap<usize, usize> = BTreeMap::new();
        let mut most: BTreeMap<usize, usize> = BTreeMap::new();
        let arguments = self.nodes.iter().flat_map(|node| node.arguments.all_values());
        for link in arguments {
            let least = least.entry(link.layer).or_insert(link.node);
            *least = link.node.min(*least);
            let most = most.entry(link.layer).or_insert(link.node);
            *most = link.node.max(*most);
        }
        for (layer, model) in self.is_model.iter_mut().enumerate() {
            let calls = self.of_layer[layer].len();
            let any_model = model.functional || model.sequential;
            let beyond = most.get(&layer).is_some_and(|&most| most >= calls);
            model.one_based = any_model && beyond && least.get(&layer) != Some(&0);
            let ends: Vec<usize> = outputs
                .iter()
                .filter(|(_, link)| link.layer == layer)
                .map(|(_, link)| link.node)
                .collect();
            let beyond = ends.iter().any(|&node| node >= calls);
            let likely = model.functional || model.one_based;
            model.outputs_one_based = any_model && !ends.contains(&0) && (beyond || likely);
        }
    }

    fn resolve(&self, link: &Link, is_output: bool) -> Result<usize, Fault> {
        let model = self.is_model[link.layer];
        let one_based = if is_output { model.outputs_one_based } else { model.one_based };
        let index = if one_based { link.node.saturating_sub(1) } else { link.node };
        self.of_layer[link.layer].get(index).copied().ok_or_else(|| {
            Fault::malformed(format!("expected call {index} of layer {}, found none", link.layer))
        })
    }

    /// The calls in an order in which each comes after those that it needs, and the place of each.
    fn sorted(&self) -> Result<(Vec<usize>, Vec<usize>), Fault> {
        let mut waiting = vec![0usize; self.nodes.len()];
        let mut users: Vec<Vec<usize>> = vec![Vec::new(); self.nodes.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            for link in node.arguments.all_values() {
                users[self.resolve(link, false)?].push(index);
                waiting[index] += 1;
            }
        }
        let mut ready: VecDeque<usize> =
            (0..self.nodes.len()).filter(|&index| waiting[index] == 0).collect();
        let mut order = Vec::with_capacity(self.nodes.len());
        let mut place = vec![0; self.nodes.len()];
        while let Some(index) = ready.pop_front() {
            place[index] = order.len();
            order.push(index);
            for &user in &users[index] {
                waiting[user] -= 1;
                if waiting[user] == 0 {
                    ready.push_back(user);
                }
            }
        }
        if order.len() < self.nodes.len() {
            return Err(Fault::malformed("the layers call each other in a circle"));
        }
        Ok((order, place))
    }
}

/// The name that a model class has which somebody derived from `Model`, where its file holds the
/// graph all the same.
pub(crate) fn derived_class(json: &Json) -> Option<String> {
    let class = class_of(json)?;
    let config = json.get("config")?;
    let is_graph =
        ["layers", "input_layers", "output_layers"].iter().all(|key| config.get(key).is_some());
    let known = ["Functional", "Model", "Network", "Container", "Sequential"];
    (is_graph && !known.contains(&class.as_str())).then_some(class)
}

/// The name of a model.
pub(crate) fn model_name(json: &Json) -> String {
    name_of(json).unwrap_or_else(|| "model".into())
}
