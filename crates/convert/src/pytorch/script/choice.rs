//! Branches that depend on data: both become graphs of their own.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::interpret::{Flow, Interpreter, Result, Stop};
use super::syntax::{Class, Statement};
use super::value::{Tensor, Value};
use crate::Missing;
use crate::pytorch::graph::{Argument, Graph, Named, Node};
use crate::pytorch::inplace;

/// What a branch did.
struct Branch {
    nodes: Vec<Node>,
    variables: HashMap<String, Value>,
    given: Option<Value>,
}

impl Interpreter<'_> {
    /// Runs both branches of a condition that depends on data.
    pub(super) fn data_dependent(
        &mut self,
        condition: &Value,
        yes: &[Statement],
        no: &[Statement],
    ) -> Result<Flow> {
        let place = self.place();
        let then = self.side(yes)?;
        let otherwise = self.side(no)?;
        let (then, otherwise) = match (then, otherwise) {
            (Ok(then), Ok(otherwise)) => (then, otherwise),
            // One of them raises: what the model takes for granted.
            (Err(raised), Ok(branch)) | (Ok(branch), Err(raised)) => {
                let guard = format!("the check at {place} is not made: it may raise '{raised}'");
                self.guards.push(guard);
                return Ok(self.taken(branch));
            }
            (Err(raised), Err(_)) => return Err(Stop::Raised(raised)),
        };
        if then.given.is_some() != otherwise.given.is_some() {
            return Err(
                self.branch_refusal("a branch on data that returns, beside one that goes on")
            );
        }
        self.merged((condition, place), then, otherwise)
    }

    fn branch_refusal(&self, reason: &str) -> Stop {
        let way_out = "compute both and choose with torch.where";
        self.refusal("a branch that depends on data", reason, way_out)
    }

    /// Runs one side on its own; an exception's text where it raises one.
    fn side(&mut self, statements: &[Statement]) -> Result<std::result::Result<Branch, String>> {
        let depth = self.frames.len();
        let variables = self.frames.last().map(|frame| frame.variables.clone()).unwrap_or_default();
        let sizes = self.sizes.clone();
        let nodes = std::mem::take(&mut self.graph.nodes);
        let changes = self.changes;
        let flow = self.block(statements);
        let own = std::mem::replace(&mut self.graph.nodes, nodes);
        self.sizes = sizes;
        let flow = match flow {
            Err(Stop::Raised(text)) => {
                self.frames.truncate(depth);
                Err(text)
            }
            other => Ok(other?),
        };
        let after = match self.frames.last_mut() {
            Some(frame) => std::mem::replace(&mut frame.variables, variables),
            None => HashMap::new(),
        };
        // What a branch changes for good, it must not have changed where it is not taken.
        if self.changes != changes {
            let reason = "a branch on data that changes a list, dict or attribute";
            return Err(self.branch_refusal(reason));
        }
        if own.iter().any(|node| inplace::computed_by(&node.target).is_some()) {
            return Err(self.branch_refusal("a branch on data that changes a tensor in place"));
        }
        let given = match flow {
            Err(text) => return Ok(Err(text)),
            Ok(Flow::Next) => None,
            Ok(Flow::Return(value)) => Some(value),
            Ok(Flow::Break | Flow::Continue) => {
                return Err(self.branch_refusal("a branch on data that leaves a loop"));
            }
        };
        Ok(Ok(Branch { nodes: own, variables: after, given }))
    }

    /// Goes on as if a branch were always taken.
    fn taken(&mut self, branch: Branch) -> Flow {
        self.graph.nodes.extend(branch.nodes);
        if let Some(frame) = self.frames.last_mut() {
            frame.variables = branch.variables;
        }
        branch.given.map_or(Flow::Next, Flow::Return)
    }

    /// One call that chooses between two branches.
    fn merged(
        &mut self,
        (condition, place): (&Value, String),
        then: Branch,
        otherwise: Branch,
    ) -> Result<Flow> {
        let mut pairs: Vec<(String, Value, Value)> = Vec::new();
        match (&then.given, &otherwise.given) {
            (Some(one), Some(two)) => pairs.push((String::new(), one.clone(), two.clone())),
            _ => {
                let mut names: Vec<&String> = then.variables.keys().collect();
                names.sort_unstable();
                for name in names {
                    if let (Some(one), Some(two)) =
                        (then.variables.get(name), otherwise.variables.get(name))
                    {
                        pairs.push((name.clone(), one.clone(), two.clone()));
                    }
                }
            }
        }
        let mut chosen = Chosen::default();
        let mut kept = Vec::new();
        for (name, one, two) in pairs {
            let merged = chosen.merge(&one, &two);
            kept.push((name, merged, (one, two)));
        }
        let results = self.choose(condition, (then.nodes, otherwise.nodes), &chosen)?;
        let mut returned = None;
        for (name, merged, difference) in kept {
            let value = match merged {
                Some(merged) => merged.value(&results),
                None => {
                    self.doubt(&place, &name, difference);
                    Value::Lost
                }
            };
            if name.is_empty() {
                returned = Some(value);
            } else if let Some(frame) = self.frames.last_mut() {
                frame.variables.insert(name, value);
            }
        }
        Ok(returned.map_or(Flow::Next, Flow::Return))
    }

    /// Notes why a variable has no value after a branch; an empty name is what the branch returns.
    fn doubt(&mut self, place: &str, name: &str, (one, two): (Value, Value)) {
        let what = if name.is_empty() { "what it returns".into() } else { format!("'{name}'") };
        let (reason, way_out) = match (&one, &two) {
            (Value::Tensor(_), Value::Tensor(_)) => (
                format!("{what}, a tensor of another type or shape in each branch"),
                "give it the same type and shape in both",
            ),
            (Value::List(_), Value::List(_)) => (
                format!("{what}, another list in each branch"),
                "make the list before the branch, and choose its tensors with torch.where",
            ),
            _ => (
                format!("{what}, which data decide: {} or {}", in_words(&one), in_words(&two)),
                "compute it as a tensor in both branches, such as torch.tensor(1), or choose with \
                 torch.where",
            ),
        };
        let missing = Missing {
            operator: "a branch that depends on data".into(),
            place: place.to_owned(),
            reason,
            way_out: way_out.into(),
        };
        self.doubts.push(((!name.is_empty()).then(|| name.to_owned()), missing));
    }

    /// The call itself; gives its results.
    fn choose(
        &mut self,
        condition: &Value,
        (then, otherwise): (Vec<Node>, Vec<Node>),
        chosen: &Chosen,
    ) -> Result<Vec<Value>> {
        if chosen.pairs.is_empty() {
            return Ok(Vec::new());
        }
        let outputs: (Vec<Argument>, Vec<Argument>) = chosen
            .pairs
            .iter()
            .map(|(one, two)| {
                (Argument::Value(one.name.clone()), Argument::Value(two.name.clone()))
            })
            .unzip();
        let mut outer = Vec::new();
        for (nodes, outputs) in [(&then, &outputs.0), (&otherwise, &outputs.1)] {
            free(nodes, outputs, &mut outer);
        }
        let graph = |nodes: Vec<Node>, outputs: Vec<Argument>| {
            let mut values = HashMap::new();
            let names = nodes.iter().flat_map(|node| &node.outputs).chain(&outer);
            for name in names {
                if let Some(meta) = self.graph.values.get(name) {
                    values.insert(name.clone(), meta.clone());
                }
            }
            Argument::Graph(Box::new(Graph { inputs: outer.clone(), nodes, outputs, values }))
        };
        let then = graph(then, outputs.0);
        let otherwise = graph(otherwise, outputs.1);
        let operands = outer.iter().map(|name| Argument::Value(name.clone())).collect();
        let condition = self.argument(condition)?;
        let arguments = [condition, then, otherwise, Argument::List(operands)];
        let arguments =
            arguments.map(|value| Named { name: String::new(), value }).into_iter().collect();
        let path = self.frames.last().map_or("", |frame| frame.path.as_str());
        let name = super::objects::joined(path, "cond");
        let name = self.fresh(&name);
        let mut results = Vec::new();
        let mut names = Vec::new();
        for (one, _) in &chosen.pairs {
            let output = self.fresh(&name);
            names.push(output.clone());
            let worlds =
                one.worlds.iter().map(|seen| super::value::Seen { known: None, ..seen.clone() });
            let worlds = worlds.collect();
            results.push(self.keep(output, worlds, Default::default()));
        }
        let target = "higher_order.cond".into();
        self.graph.nodes.push(Node { name, target, arguments, outputs: names });
        Ok(results)
    }
}

/// A value that differs between branches, for people.
fn in_words(value: &Value) -> String {
    match value {
        Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) => {
            super::texts::shown(value)
        }
        other => other.type_name().into(),
    }
}

/// Values from outside that nodes and outputs use, in order.
fn free(nodes: &[Node], outputs: &[Argument], found: &mut Vec<String>) {
    let mut own: HashSet<&str> = HashSet::new();
    let mut note = |name: &str, own: &HashSet<&str>| {
        if !own.contains(name) && !found.iter().any(|other| other == name) {
            found.push(name.to_owned());
        }
    };
    for node in nodes {
        for name in node.arguments.iter().flat_map(|named| named.value.values()) {
            note(name, &own);
        }
        own.extend(node.outputs.iter().map(String::as_str));
    }
    for name in outputs.iter().flat_map(Argument::values) {
        note(name, &own);
    }
}

/// Pairs of tensors of which one is chosen.
#[derive(Default)]
struct Chosen {
    pairs: Vec<(Tensor, Tensor)>,
    /// Values that were looked at.
    seen: usize,
}

/// What becomes of two values.
enum Merged {
    Same(Value),
    /// The result of this number.
    Chosen(usize),
    Tuple(Vec<Merged>, Option<Rc<Class>>),
}

impl Merged {
    fn value(&self, results: &[Value]) -> Value {
        match self {
            Merged::Same(value) => value.clone(),
            Merged::Chosen(index) => results.get(*index).cloned().unwrap_or(Value::Lost),
            Merged::Tuple(items, class) => {
                let items = items.iter().map(|item| item.value(results)).collect();
                Value::Tuple(Rc::new(items), class.clone())
            }
        }
    }
}

impl Chosen {
    /// `None` where the two cannot be one.
    fn merge(&mut self, one: &Value, two: &Value) -> Option<Merged> {
        const MOST_VALUES: usize = 100_000;
        self.seen += 1;
        if self.seen > MOST_VALUES {
            return None;
        }
        match (one, two) {
            (Value::Tensor(a), Value::Tensor(b)) if a.name == b.name => {
                Some(Merged::Same(one.clone()))
            }
            (Value::Tensor(a), Value::Tensor(b)) => {
                let pairs = a.worlds.iter().zip(&b.worlds);
                let same = pairs.clone().count() == a.worlds.len()
                    && pairs
                        .clone()
                        .all(|(a, b)| a.element_type == b.element_type && a.dims == b.dims);
                same.then(|| {
                    self.pairs.push((Tensor::clone(a), Tensor::clone(b)));
                    Merged::Chosen(self.pairs.len() - 1)
                })
            }
            (Value::Tuple(a, class), Value::Tuple(b, _)) if a.len() == b.len() => {
                let items: Option<Vec<Merged>> =
                    a.iter().zip(b.iter()).map(|(a, b)| self.merge(a, b)).collect();
                items.map(|items| Merged::Tuple(items, class.clone()))
            }
            (Value::List(a), Value::List(b)) if Rc::ptr_eq(a, b) => Some(Merged::Same(one.clone())),
            (Value::Dict(a), Value::Dict(b)) if Rc::ptr_eq(a, b) => Some(Merged::Same(one.clone())),
            // Two lists stay two: who else holds one of them would see the other.
            (Value::List(_), Value::List(_)) | (Value::Dict(_), Value::Dict(_)) => None,
            (Value::Object(a), Value::Object(b)) if Rc::ptr_eq(a, b) => {
                Some(Merged::Same(one.clone()))
            }
            (Value::Function(_), Value::Function(_)) => Some(Merged::Same(one.clone())),
            _ => (one.equals(two) == Some(true)).then(|| Merged::Same(one.clone())),
        }
    }
}
