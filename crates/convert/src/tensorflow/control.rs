//! Control flow: `If` and `Case` become `If`, `While` becomes `Loop`.
//!
//! A value that a loop only passes on is used inside by its name outside. A list that each turn
//! writes to becomes an output that `Loop` collects.

use std::rc::Rc;

use modelyard_graph::ElementType;
use modelyard_tensor::Dim;

use super::context::{Call, Context, Converted};
use super::graph::{Graph, Payload, Port};
use super::lists::stacked;
use super::value::{Kind, Refusal, Val, Value, fixed};
use super::weight::Weight;
use crate::emitter::node;

/// The operators of control flow.
pub(super) const OPERATORS: [&str; 8] =
    ["Case", "If", "Merge", "StatelessCase", "StatelessIf", "StatelessWhile", "Switch", "While"];

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let Payload::Bodies(bodies) = &call.node.payload else {
        return Err(Refusal::new("control flow without functions", "the file may be damaged"));
    };
    match (call.node.op.as_str(), bodies.as_slice()) {
        ("While" | "StatelessWhile", [condition, body]) => {
            Loop::convert(context, call, condition, body)
        }
        ("If" | "StatelessIf", [yes, no]) => branch(context, call, yes, no),
        ("Case" | "StatelessCase", bodies) => case(context, call, bodies),
        _ => Err(Refusal::new("control flow without functions", "the file may be damaged")),
    }
}

/// Names all values that inner graphs may use: a constant that is first used inside would be
/// written there, out of reach of the others.
fn settle(context: &mut Context<'_>, values: &[Val]) -> Result<(), Refusal> {
    for value in values {
        if value.is_tensor() || matches!(value.kind, Kind::List) {
            context.name(value)?;
        }
    }
    Ok(())
}

fn branch(context: &mut Context<'_>, call: &Call<'_>, yes: &Graph, no: &Graph) -> Converted {
    let condition = call.input(0)?;
    let inputs = call.inputs.get(1..).unwrap_or_default();
    if let Some(array) = context.array(condition)? {
        let holds = array.to_f64s()?.first().is_some_and(|&value| value != 0.0);
        return Ok(context.run(if holds { yes } else { no }, inputs)?);
    }
    settle(context, inputs)?;
    let mut name = context.name(condition)?;
    if condition.element_type != ElementType::Bool {
        name = context.cast(&name, ElementType::Bool);
    }
    conditional(context, &name, inputs, [&|_| Some(yes), &|_| Some(no)])
}

/// `Case` as a chain of `If`: the last branch is also for numbers that name none.
fn case(context: &mut Context<'_>, call: &Call<'_>, bodies: &[Graph]) -> Converted {
    let index = call.input(0)?;
    let inputs = call.inputs.get(1..).unwrap_or_default();
    let last = bodies.len().checked_sub(1);
    let last = last.ok_or_else(|| Refusal::new("no branch", "the file may be damaged"))?;
    if let Some(array) = context.array(index)? {
        let chosen = array.to_f64s()?.first().map_or(last, |&value| {
            if (0.0..=last as f64).contains(&value) { value as usize } else { last }
        });
        return Ok(context.run(&bodies[chosen], inputs)?);
    }
    match bodies {
        [only] => Ok(context.run(only, inputs)?),
        [yes, no] => {
            settle(context, inputs)?;
            let name = context.name(index)?;
            let zero = context.scalar("zero", 0.0, index.element_type)?;
            let condition = context.add("Equal", &[name, zero]);
            conditional(context, &condition, inputs, [&|_| Some(yes), &|_| Some(no)])
        }
        _ => Err(Refusal::new(
            format!("a choice between {} branches", bodies.len()),
            "choose between two at a time (tf.cond)",
        )),
    }
}

/// Gives the graph of a branch.
type Branch<'a> = &'a dyn Fn(()) -> Option<&'a Graph>;

fn conditional(
    context: &mut Context<'_>,
    condition: &str,
    inputs: &[Val],
    branches: [Branch<'_>; 2],
) -> Converted {
    let mut graphs = Vec::new();
    let mut found: Vec<Vec<Val>> = Vec::new();
    for (branch, name) in branches.iter().zip(["then", "else"]) {
        let Some(body) = branch(()) else { continue };
        let around = context.emitter.begin_inner(name);
        let outputs = written(context, body, inputs);
        graphs.push(context.emitter.end_inner(around));
        found.push(outputs?);
    }
    let [yes, no] = found.as_slice() else { return Ok(Vec::new()) };
    if yes.len() != no.len() || yes.iter().zip(no).any(|(a, b)| a.element_type != b.element_type) {
        return Err(Refusal::new("branches that give different things", "the file may be damaged"));
    }
    let mut graphs = graphs.into_iter();
    let (then_branch, else_branch) =
        (graphs.next().unwrap_or_default(), graphs.next().unwrap_or_default());
    let written =
        node("If", &[condition]).with("then_branch", then_branch).with("else_branch", else_branch);
    let names = context.emitter.add_many(written, yes.len());
    let outputs = names.into_iter().zip(yes.iter().zip(no)).map(|(name, (yes, no))| {
        let dims = common(yes.dims.as_deref(), no.dims.as_deref());
        Value::tensor(name, yes.element_type, dims)
    });
    Ok(outputs.collect())
}

/// Writes a branch, with its outputs.
fn written(context: &mut Context<'_>, body: &Graph, inputs: &[Val]) -> Converted {
    let outputs = context.run(body, inputs)?;
    for value in &outputs {
        if !value.is_tensor() || value.is_complex() {
            let way_out = "give plain tensors from both branches";
            return Err(Refusal::new("a branch that gives something else than tensors", way_out));
        }
        give(context, value)?;
    }
    Ok(outputs)
}

/// Makes a value an output of the inner graph.
fn give(context: &mut Context<'_>, value: &Val) -> Result<(), Refusal> {
    let found = context.name(value)?;
    let name = context.emitter.unique("output");
    context.emitter.output(&name, &found, value.element_type, None);
    Ok(())
}

/// What two shapes have in common.
fn common(one: Option<&[Dim]>, two: Option<&[Dim]>) -> Option<Vec<Dim>> {
    let (one, two) = (one?, two?);
    let same = |(one, two): (&Dim, &Dim)| if one == two { one.clone() } else { Dim::Free };
    (one.len() == two.len()).then(|| one.iter().zip(two).map(same).collect())
}

/// What a loop does with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// It stays as it is.
    Invariant,
    /// Each turn makes a new one.
    Carried,
    /// Each turn writes to the next place of this list.
    Appended,
    /// Each turn writes to the first place of this list, which is the only one.
    Overwritten,
}

struct Loop<'a> {
    condition: &'a Graph,
    body: &'a Graph,
    roles: Vec<Role>,
}

const LIST_WAY_OUT: &str =
    "write each step of the loop to its own place of the list, and end it by a count";

impl Loop<'_> {
    fn convert(
        context: &mut Context<'_>,
        call: &Call<'_>,
        condition: &Graph,
        body: &Graph,
    ) -> Converted {
        let roles: Result<Vec<Role>, Refusal> = (0..call.inputs.len())
            .map(|index| Loop::role(context, call, (condition, body), index))
            .collect();
        let this = Loop { condition, body, roles: roles? };
        settle(context, &call.inputs)?;
        let holds = context.run(condition, &call.inputs)?;
        let holds = holds.first().filter(|value| !value.is_missing());
        let Some(holds) = holds else { return Ok(Vec::new()) };
        let mut names = vec![String::new(), context.name(holds)?];
        for value in this.with(&call.inputs, &[Role::Carried]) {
            names.push(context.name(value)?);
        }
        let around = context.emitter.begin_inner("body");
        let outputs = this.write_body(context, &call.inputs);
        let graph = context.emitter.end_inner(around);
        let outputs = outputs?;
        let made = this.roles.iter().filter(|role| **role != Role::Invariant).count();
        let written = node("Loop", &names).with("body", graph);
        let names = context.emitter.add_many(written, made);
        this.results(context, &call.inputs, &outputs, names)
    }

    fn with<'v>(&'v self, values: &'v [Val], roles: &'v [Role]) -> impl Iterator<Item = &'v Val> {
        let roled = values.iter().zip(&self.roles);
        roled.filter(|(_, role)| roles.contains(role)).map(|(value, _)| value)
    }

    fn role(
        context: &Context<'_>,
        call: &Call<'_>,
        (condition, body): (&Graph, &Graph),
        index: usize,
    ) -> Result<Role, Refusal> {
        let value = call.input(index)?;
        if body.is_invariant(index) {
            return Ok(Role::Invariant);
        }
        match &value.kind {
            Kind::Tensor if !value.is_complex() => Ok(Role::Carried),
            Kind::EmptyList { size } => {
                if !ends_by_count(condition) {
                    return Err(Refusal::new(
                        "a loop that fills a list and ends by something else than a count",
                        LIST_WAY_OUT,
                    ));
                }
                let place = place_written(body, index).ok_or_else(|| {
                    Refusal::new("a loop that fills a list in several places", LIST_WAY_OUT)
                })?;
                if counts_from_zero(context, call, body, place) {
                    return Ok(Role::Appended);
                }
                let is_first = constant(context, call, body, place) == Some(0);
                if is_first && context.integer(size, "the size of a list")? == 1 {
                    return Ok(Role::Overwritten);
                }
                Err(Refusal::new("a loop that fills a list in another order", LIST_WAY_OUT))
            }
            _ => Err(Refusal::new("a loop that changes a list from outside", LIST_WAY_OUT)),
        }
    }

    /// Writes one turn: its inputs, what it does, and its outputs.
    fn write_body(&self, context: &mut Context<'_>, initial: &[Val]) -> Converted {
        let turn = context.emitter.unique("turn");
        context.emitter.input(&turn, ElementType::Int64, Some(&[]));
        let goes_on = context.emitter.unique("goes_on");
        context.emitter.input(&goes_on, ElementType::Bool, Some(&[]));
        let mut inputs = Vec::with_capacity(initial.len());
        for (value, role) in initial.iter().zip(&self.roles) {
            inputs.push(match role {
                Role::Invariant => Rc::clone(value),
                Role::Carried => {
                    let name = context.emitter.unique("state");
                    context.emitter.input(&name, value.element_type, None);
                    Value::tensor(name, value.element_type, carried_dims(value))
                }
                Role::Appended | Role::Overwritten => {
                    Value::other(Kind::LoopList, value.element_type, None)
                }
            });
        }
        let outputs = context.run(self.body, &inputs)?;
        if outputs.iter().any(|value| value.is_missing()) {
            return Ok(outputs);
        }
        let holds = context.run(self.condition, &outputs)?;
        if let Some(holds) = holds.first() {
            give(context, holds)?;
        }
        for role in [&[Role::Carried][..], &[Role::Appended, Role::Overwritten]] {
            for value in self.with(&outputs, role) {
                give(context, value)?;
            }
        }
        Ok(outputs)
    }

    /// What comes out of the loop, in the order of its inputs.
    fn results(
        &self,
        context: &mut Context<'_>,
        initial: &[Val],
        written: &[Val],
        names: Vec<String>,
    ) -> Converted {
        let carried = self.roles.iter().filter(|role| **role == Role::Carried).count();
        let mut names = names.into_iter();
        let mut states: Vec<String> = names.by_ref().take(carried).collect();
        states.reverse();
        let mut lists = names;
        let mut results = Vec::with_capacity(initial.len());
        for ((value, role), written) in initial.iter().zip(&self.roles).zip(written) {
            let collected = |first| {
                let dims = written.dims.as_ref()?;
                Some([&[first], dims.as_slice()].concat())
            };
            results.push(match role {
                Role::Invariant => Rc::clone(value),
                Role::Carried => {
                    let name = states.pop().unwrap_or_default();
                    Value::tensor(name, value.element_type, carried_dims(value))
                }
                Role::Appended => {
                    let name = lists.next().unwrap_or_default();
                    stacked(name, written.element_type, collected(Dim::Free))
                }
                Role::Overwritten => {
                    let name = lists.next().unwrap_or_default();
                    let bounds = [("starts", -1), ("ends", i64::MAX), ("axes", 0)];
                    let bounds =
                        bounds.map(|(name, value)| context.emitter.integers(name, &[value]));
                    let [starts, ends, axes] = bounds;
                    let last = context.add("Slice", &[name, starts, ends, axes]);
                    stacked(last, written.element_type, collected(Dim::Fixed(1)))
                }
            });
        }
        Ok(results)
    }
}

/// The dimensions of a value in a loop: sizes that are fixed stay so in TensorFlow unless the loop
/// says otherwise; whether free ones change, nobody knows.
fn carried_dims(value: &Value) -> Option<Vec<Dim>> {
    let dims = value.dims.as_ref()?;
    Some(dims.iter().map(|dim| fixed(dim).map_or(Dim::Free, Dim::Fixed)).collect())
}

/// Whether a condition only compares counts with bounds, so that the number of turns does not
/// depend on what the loop computes.
fn ends_by_count(condition: &Graph) -> bool {
    let allowed = ["Less", "LogicalAnd", "Const", "Placeholder", "Identity", "Greater"];
    condition.nodes.iter().all(|node| allowed.contains(&node.op.as_str()))
}

/// The index that a turn writes to in the list of this number, where that is all it does with it.
fn place_written(body: &Graph, list: usize) -> Option<Port> {
    let set = body.origin(*body.outputs.get(list)?);
    let writer = body.nodes.get(set.node).filter(|node| node.op == "TensorListSetItem")?;
    let source = body.origin(*writer.inputs.first()?);
    let input = body.input(list)?;
    let uses = body.nodes.iter().filter(|node| node.inputs.iter().any(|port| port.node == input));
    (source.node == input && uses.count() == 1).then_some(*writer.inputs.get(1)?)
}

/// Whether a value of the body is a count of turns.
fn counts_from_zero(context: &Context<'_>, call: &Call<'_>, body: &Graph, port: Port) -> bool {
    let origin = body.origin(port);
    let Some(Payload::Input(index)) = body.nodes.get(origin.node).map(|node| &node.payload) else {
        return false;
    };
    let starts_at =
        call.inputs.get(*index).and_then(|value| context.integer(value, "a count").ok());
    let next = body.outputs.get(*index).map(|&port| body.origin(port));
    let Some(next) = next.and_then(|next| body.nodes.get(next.node)) else { return false };
    let [one, two] = next.inputs.as_slice() else { return false };
    starts_at == Some(0)
        && matches!(next.op.as_str(), "AddV2" | "Add")
        && body.origin(*one) == origin
        && constant(context, call, body, *two) == Some(1)
}

/// The integer that a value of the body always is.
fn constant(context: &Context<'_>, call: &Call<'_>, body: &Graph, port: Port) -> Option<i64> {
    let node = body.nodes.get(body.origin(port).node)?;
    if let Payload::Input(index) = node.payload {
        let value = call.inputs.get(index).filter(|_| body.is_invariant(index))?;
        return context.integer(value, "").ok();
    }
    let tensor = node.attrs.tensor("value").filter(|_| node.op == "Const")?;
    let weight = Weight::of_proto(tensor, &context.model.limits).ok()?;
    if weight.elements() != 1 {
        return None;
    }
    weight.array().ok()?.as_ints().ok()?.first().copied()
}
