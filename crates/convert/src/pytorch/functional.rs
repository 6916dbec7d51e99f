//! Programs without changes in place: what the conversion to ONNX starts from.
//!
//! PyTorch's values are views of memory: a change in place is seen by every value that looks at
//! the same elements. Here each change becomes a new value. A value that was made as a view of
//! another (a slice, a transpose) remembers how; when the memory below has changed since, it is
//! made again from the new value where it is next used. A change through a view is written back
//! into what it is a view of (`slice_scatter`, the inverse permutation).
//!
//! The evaluator does not use this: it has views of memory, as PyTorch has.

use std::collections::{HashMap, HashSet};

use super::graph::{Argument, Graph, InputKind, Meta, Named, Node, Program, Size};
use super::inplace;
use super::views::{self, Seen};
use crate::Missing;

/// How many views may be made one through the other.
const DEPTH: usize = 1000;

/// A program without changes in place.
#[derive(Debug)]
pub(super) struct Functional {
    /// The program.
    pub(super) program: Program,
    /// Changes that cannot be followed.
    pub(super) problems: Vec<Missing>,
    /// Names of weights and inputs that the program changes.
    pub(super) changed: Vec<String>,
}

/// Rewrites a program.
pub(super) fn functional(program: &Program) -> Functional {
    let mut rewriter = Rewriter::new(&program.graph);
    rewriter.rewrite();
    let Rewriter { out, problems, changed, .. } = rewriter;
    let names = program.graph.inputs.iter().zip(&program.inputs);
    let named = names.filter(|(name, _)| changed.contains(*name)).map(|(name, kind)| match kind {
        InputKind::Parameter(weight) | InputKind::Buffer(weight) | InputKind::Constant(weight) => {
            weight.clone()
        }
        _ => name.clone(),
    });
    let changed = named.collect();
    Functional { program: Program { graph: out, ..program.clone() }, problems, changed }
}

/// How a value looks at another one.
#[derive(Clone, Debug)]
struct View {
    /// The value that it was made from.
    parent: String,
    /// The call that made it, and which of its results it is.
    node: usize,
    output: usize,
    /// How it looks.
    seen: Seen,
}

/// The name that a value has in the new graph, and how often its memory had changed by then.
#[derive(Clone, Debug)]
struct Version {
    name: String,
    generation: usize,
}

struct Rewriter<'g> {
    source: &'g Graph,
    out: Graph,
    views: HashMap<String, View>,
    versions: HashMap<String, Version>,
    /// How often the memory of a value that is no view has changed.
    generations: HashMap<String, usize>,
    /// The index of the last call that uses a value; graph outputs come after all calls.
    last_uses: HashMap<String, usize>,
    /// Values by the one whose memory they look at.
    families: HashMap<String, Vec<String>>,
    changed: HashSet<String>,
    problems: Vec<Missing>,
    fresh: usize,
}

impl<'g> Rewriter<'g> {
    fn new(source: &'g Graph) -> Rewriter<'g> {
        let mut last_uses = HashMap::new();
        for (index, node) in source.nodes.iter().enumerate() {
            let used = node.arguments.iter().flat_map(|named| named.value.values());
            last_uses.extend(used.map(|name| (name.to_owned(), index)));
        }
        let used = source.outputs.iter().flat_map(Argument::values);
        last_uses.extend(used.map(|name| (name.to_owned(), source.nodes.len())));
        let out = Graph {
            inputs: source.inputs.clone(),
            values: source.values.clone(),
            ..Graph::default()
        };
        Rewriter {
            source,
            out,
            views: HashMap::new(),
            versions: HashMap::new(),
            generations: HashMap::new(),
            last_uses,
            families: HashMap::new(),
            changed: HashSet::new(),
            problems: Vec::new(),
            fresh: 0,
        }
    }

    fn rewrite(&mut self) {
        let source = self.source;
        for (index, node) in source.nodes.iter().enumerate() {
            match inplace::computed_by(&node.target) {
                Some(target) => self.change(index, node, target),
                None if inplace::changes_metadata(&node.target) => {
                    self.problem(node, "a change of how a tensor is seen, in place", "");
                }
                None => self.keep(index, node),
            }
        }
        for output in &source.outputs {
            let output = self.renamed(output);
            self.out.outputs.push(output);
        }
    }

    /// A call that changes nothing.
    fn keep(&mut self, index: usize, node: &Node) {
        let renamed = self.renamed_node(node);
        self.out.nodes.push(renamed);
        let seen = views::seen(node, &self.source.values);
        let parent = node.arguments.first().and_then(|named| named.value.values().first().copied());
        let (Some(seen), Some(parent)) = (seen, parent) else { return };
        if self.depth(parent) > DEPTH {
            self.problem(node, "a view of a view of a view, and so on", "copy one of them");
            return;
        }
        for (output, name) in node.outputs.iter().enumerate() {
            let view = View { parent: parent.into(), node: index, output, seen: seen.clone() };
            self.add_view(name, view);
        }
    }

    fn add_view(&mut self, name: &str, mut view: View) {
        if let (Seen::Whole, Some(parent)) = (&view.seen, self.views.get(&view.parent))
            && parent.seen == Seen::Whole
        {
            // What is seen as a whole through another one is seen as a whole.
            view.parent.clone_from(&parent.parent);
        }
        let root = self.root(&view.parent);
        let generation = self.generation(&root);
        self.versions.insert(name.into(), Version { name: name.into(), generation });
        self.families.entry(root).or_default().push(name.into());
        self.views.insert(name.into(), view);
    }

    /// A call that writes its result into its first argument.
    fn change(&mut self, index: usize, node: &Node, target: String) {
        let first = node.arguments.first().map(|named| &named.value);
        let (Some(Argument::Value(changed)), Some(output)) = (first, node.outputs.first()) else {
            self.problem(node, "a change in place of what is no tensor", "");
            return;
        };
        let name = match output.is_empty() {
            true => self.fresh_like(changed),
            false => output.clone(),
        };
        let meta = self.source.values.get(changed).cloned();
        self.out.values.extend(meta.map(|meta| (name.clone(), meta)));
        let renamed = self.renamed_node(node);
        self.out.nodes.push(Node { target, outputs: vec![name.clone()], ..renamed });
        self.write(index, node, changed, name.clone());
        let view = View { parent: changed.clone(), node: index, output: 0, seen: Seen::Whole };
        self.add_view(&name, view);
    }

    /// From now on `value` is what the new graph calls `name`, and so is the memory behind it.
    fn write(&mut self, index: usize, node: &Node, value: &str, name: String) {
        let mut path = vec![value.to_owned()];
        while let Some(view) = path.last().and_then(|last| self.views.get(last)) {
            path.push(view.parent.clone());
        }
        let before: Vec<String> = path.iter().map(|each| self.read(each)).collect();
        let root = path.last().cloned().unwrap_or_default();
        let generation = self.generation(&root) + 1;
        let mut name = name;
        for (step, each) in path.iter().enumerate() {
            self.versions.insert(each.clone(), Version { name: name.clone(), generation });
            let Some(view) = self.views.get(each).cloned() else { break };
            if matches!(view.seen, Seen::Reshaped { sure: false }) && !self.seen_later(each, index)
            {
                // Nobody looks at the memory below any more: it does not matter whether this is
                // a copy.
                self.detach(each, generation);
                return;
            }
            let old = before.get(step + 1).cloned().unwrap_or_default();
            match self.written_back(&view, &old, &name) {
                Ok(new) => name = new,
                Err(reason) => {
                    let way_out = "write the result to a new tensor instead, or clone() first";
                    self.problem(node, reason, way_out);
                    return;
                }
            }
        }
        self.generations.insert(root.clone(), generation);
        if self.source.inputs.contains(&root) {
            self.changed.insert(root);
        }
    }

    /// Whether somebody uses the memory of `value` after call `index`, but not through `value`.
    fn seen_later(&self, value: &str, index: usize) -> bool {
        let root = self.root(value);
        let later = |name: &String| self.last_uses.get(name).is_some_and(|&last| last > index);
        let family = self.families.get(&root).into_iter().flatten().chain([&root]);
        family.filter(|name| later(name)).any(|name| !self.is_below(name, value))
    }

    fn is_below(&self, name: &str, ancestor: &str) -> bool {
        let mut at = name;
        loop {
            if at == ancestor {
                return true;
            }
            match self.views.get(at) {
                Some(view) => at = &view.parent,
                None => return false,
            }
        }
    }

    /// Makes `value` memory of its own.
    fn detach(&mut self, value: &str, generation: usize) {
        self.views.remove(value);
        self.generations.insert(value.into(), generation);
    }

    /// The memory below a view after the view has become `new`; `old` is what it was before.
    fn written_back(&mut self, view: &View, old: &str, new: &str) -> Result<String, String> {
        let made_by = &self.source.nodes[view.node];
        let Some(back) = views::write_back(made_by, view.output, &view.seen, &self.source.values)
        else {
            return Err(format!("a change in place through what {} gives", made_by.target));
        };
        let (target, arguments) = match back {
            views::Back::Same => return Ok(new.to_owned()),
            views::Back::Like => ("aten.reshape_as.default".to_owned(), Vec::new()),
            views::Back::Viewed(target, arguments) => (target, arguments),
            views::Back::Scattered(target, arguments) => (target, arguments),
        };
        let scattered = target.ends_with("_scatter.default");
        let mut all = match (scattered, target.as_str()) {
            (true, _) => vec![named("self", old), named("src", new)],
            (false, "aten.reshape_as.default") => vec![named("self", new), named("other", old)],
            (false, _) => vec![named("self", new)],
        };
        for argument in arguments {
            let value = self.renamed(&argument.value);
            all.push(Named { value, ..argument });
        }
        let name = self.fresh_like(&view.parent);
        self.push_derived(made_by, target, all, name.clone(), &view.parent);
        Ok(name)
    }

    fn push_derived(
        &mut self,
        origin: &Node,
        target: String,
        arguments: Vec<Named>,
        name: String,
        like: &str,
    ) {
        let meta = self.source.values.get(like).cloned();
        self.out.values.extend(meta.map(|meta| (name.clone(), meta)));
        let label = origin.name.clone();
        self.out.nodes.push(Node { name: label, target, arguments, outputs: vec![name] });
    }

    /// The name of `value` as it is now: made again where its memory has changed.
    fn read(&mut self, value: &str) -> String {
        let generation = self.generation(&self.root(value));
        let mut stale = Vec::new();
        let mut at = value.to_owned();
        let mut name = loop {
            let version = self.versions.get(&at);
            match version {
                Some(version) if version.generation == generation => break version.name.clone(),
                None if generation == 0 => break at,
                _ => {}
            }
            match self.views.get(&at) {
                Some(view) => {
                    let parent = view.parent.clone();
                    stale.push(at);
                    at = parent;
                }
                None => break version.map_or(at.clone(), |version| version.name.clone()),
            }
        };
        while let Some(next) = stale.pop() {
            name = self.made_again(&next, &name);
            self.versions.insert(next, Version { name: name.clone(), generation });
        }
        name
    }

    /// Repeats the call that made the view `value`, on `parent` as it is now.
    fn made_again(&mut self, value: &str, parent: &str) -> String {
        let Some(view) = self.views.get(value).cloned() else { return parent.to_owned() };
        if matches!(view.seen, Seen::Whole) {
            return parent.to_owned();
        }
        let node = &self.source.nodes[view.node];
        let mut renamed = self.renamed_rest(node);
        if let Some(first) = renamed.arguments.first_mut() {
            first.value = Argument::Value(parent.to_owned());
        }
        let name = self.fresh_like(value);
        let meta = self.source.values.get(value).cloned();
        self.out.values.extend(meta.map(|meta| (name.clone(), meta)));
        let mut outputs = vec![String::new(); node.outputs.len()];
        if let Some(output) = outputs.get_mut(view.output) {
            output.clone_from(&name);
        }
        self.out.nodes.push(Node { outputs, ..renamed });
        name
    }

    /// How many views a value is made through.
    fn depth(&self, value: &str) -> usize {
        let parents =
            std::iter::successors(self.views.get(value), |view| self.views.get(&view.parent));
        parents.take(DEPTH + 1).count()
    }

    /// The value at the bottom: the one that is no view.
    fn root(&self, value: &str) -> String {
        let mut at = value;
        while let Some(view) = self.views.get(at) {
            at = &view.parent;
        }
        at.to_owned()
    }

    fn generation(&self, root: &str) -> usize {
        self.generations.get(root).copied().unwrap_or(0)
    }

    fn renamed_node(&mut self, node: &Node) -> Node {
        let mut renamed = self.renamed_rest(node);
        if let (Some(first), Some(own)) = (renamed.arguments.first_mut(), node.arguments.first()) {
            first.value = self.renamed(&own.value);
        }
        renamed
    }

    /// The call with all but its first argument renamed.
    fn renamed_rest(&mut self, node: &Node) -> Node {
        let mut arguments = node.arguments.clone();
        for (named, own) in arguments.iter_mut().zip(&node.arguments).skip(1) {
            named.value = self.renamed(&own.value);
        }
        Node { arguments, ..node.clone() }
    }

    fn renamed(&mut self, argument: &Argument) -> Argument {
        match argument {
            Argument::Value(name) => Argument::Value(self.read(name)),
            Argument::List(items) => {
                Argument::List(items.iter().map(|item| self.renamed(item)).collect())
            }
            Argument::Graph(graph) => {
                let mut inner = Rewriter::new(graph);
                inner.rewrite();
                self.problems.append(&mut inner.problems);
                if let Some(name) = inner.changed.iter().next() {
                    self.problems.push(Missing {
                        operator: "a branch or loop".into(),
                        place: name.clone(),
                        reason: "a change in place of a tensor from outside".into(),
                        way_out: "return the new tensor from the branch instead".into(),
                    });
                }
                Argument::Graph(Box::new(inner.out))
            }
            other => other.clone(),
        }
    }

    fn fresh_like(&mut self, value: &str) -> String {
        loop {
            self.fresh += 1;
            let name = format!("{value}.{}", self.fresh);
            if !self.out.values.contains_key(&name) {
                return name;
            }
        }
    }

    fn problem(&mut self, node: &Node, reason: impl Into<String>, way_out: &str) {
        self.problems.push(Missing {
            operator: node.target.clone(),
            place: node.name.clone(),
            reason: reason.into(),
            way_out: way_out.into(),
        });
    }
}

fn named(name: &str, value: &str) -> Named {
    Named { name: name.into(), value: Argument::Value(value.into()) }
}

/// The sizes of a value that is a tensor.
pub(super) fn sizes<'v>(values: &'v HashMap<String, Meta>, name: &str) -> Option<&'v [Size]> {
    match values.get(name)? {
        Meta::Tensor(_, sizes) => Some(sizes),
        _ => None,
    }
}
