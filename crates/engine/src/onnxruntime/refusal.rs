//! Which node stopped the library from loading a model, out of what it said.
//!
//! It stops at the first and tells by text alone. A text of another form stays a plain error.

use modelyard_graph::{Model, Node};

use crate::Refusal;

/// The refusal in a failed load's message.
pub(super) fn of(model: &Model, message: &str) -> Option<Refusal> {
    let (op_type, name) = unimplemented(message)
        .or_else(|| unregistered(message))
        .or_else(|| no_function(message))
        .or_else(|| invalid(message))?;
    let is_it = |node: &&Node| node.op_type == op_type && (name.is_empty() || node.name == name);
    let node = model.nodes().find(is_it)?;
    let reason = message.lines().next().unwrap_or(message);
    Some(Refusal::new(node, reason))
}

/// `Could not find an implementation for Abs(13) node with name 'n1'`
fn unimplemented(message: &str) -> Option<(&str, &str)> {
    let (_, rest) = message.split_once("Could not find an implementation for ")?;
    let (op_type, rest) = rest.split_once('(')?;
    let (_, name) = rest.split_once("node with name '")?;
    Some((op_type, name.split_once('\'')?.0))
}

/// `This is an invalid model. In Node, ("n1", Foo, "", -1) : ..., Error No Op registered ...`
fn unregistered(message: &str) -> Option<(&str, &str)> {
    let (_, rest) = message.split_once("In Node, (\"")?;
    let (name, rest) = rest.split_once("\", ")?;
    Some((rest.split_once(',')?.0, name))
}

/// `Fatal error: my.dom:Foo(-1) is not a registered function/op`
fn no_function(message: &str) -> Option<(&str, &str)> {
    let (before, _) = message.split_once("(-1) is not a registered function/op")?;
    Some((before.rsplit_once(':')?.1, ""))
}

/// `Node (n1) Op (MatMul) [ShapeInferenceError] Incompatible dimensions`
fn invalid(message: &str) -> Option<(&str, &str)> {
    let (_, rest) = message.split_once("Node (")?;
    let (name, rest) = rest.split_once(") Op (")?;
    Some((rest.split_once(')')?.0, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use modelyard_graph::{Graph, GraphBuilder};

    fn model() -> Model {
        let mut named = Node::new("Abs", &["x"], &["y"]);
        named.name = "n1".into();
        let mut nameless = Node::new("Foo", &["y"], &["z"]).in_domain("my.dom");
        nameless.name = String::new();
        let graph: Graph = GraphBuilder::new("test").node(named).node(nameless).build();
        Model::unverified(graph)
    }

    #[track_caller]
    fn check(message: &str, operator: &str, node: &str) {
        let refusal = of(&model(), message).unwrap();
        assert_eq!((refusal.operator.as_str(), refusal.node.as_str()), (operator, node));
    }

    #[test]
    fn names_the_node() {
        check("Could not find an implementation for Abs(13) node with name 'n1'", "Abs", "n1");
        check("Could not find an implementation for Foo(1) node with name ''", "my.dom.Foo", "z");
        check("Fatal error: my.dom:Foo(-1) is not a registered function/op", "my.dom.Foo", "z");
        check(
            "This is an invalid model. In Node, (\"n1\", Abs, \"\", -1) : (\"x\": tensor(float),) \
             -> (\"y\": tensor(float),) , Error No Op registered for Abs with domain_version of 17",
            "Abs",
            "n1",
        );
        check("Node (n1) Op (Abs) [ShapeInferenceError] Incompatible dimensions", "Abs", "n1");
    }

    #[test]
    fn other_words_are_no_refusal() {
        assert_eq!(of(&model(), "Protobuf parsing failed."), None);
        assert_eq!(of(&model(), "Node (gone) Op (Abs) error"), None);
    }
}
