//! Arguments of a call by their names in the operator's schema.

use super::graph::{Argument, Node};

/// A call's arguments, found by name wherever they stand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arguments<'n> {
    node: &'n Node,
    /// Names of the operator's parameters in order, separated by blanks.
    parameters: &'static str,
}

impl<'n> Arguments<'n> {
    /// The arguments of `node`, whose operator has these parameters.
    pub(crate) fn new(node: &'n Node, parameters: &'static str) -> Arguments<'n> {
        Arguments { node, parameters }
    }

    /// The argument of this name; [`Argument::None`] where it is left out.
    pub(crate) fn get(&self, name: &str) -> &'n Argument {
        if let Some(named) = self.node.arguments.iter().find(|named| named.name == name) {
            return &named.value;
        }
        let position = self.parameters.split_ascii_whitespace().position(|other| other == name);
        let by_position = position.and_then(|index| self.node.arguments.get(index));
        match by_position {
            Some(named)
                if named.name.is_empty() || is_first(&named.name) && position == Some(0) =>
            {
                &named.value
            }
            _ => &Argument::None,
        }
    }

    /// Whether the argument was given and is not none.
    pub(crate) fn has(&self, name: &str) -> bool {
        *self.get(name) != Argument::None
    }
}

/// What operators call their first argument: not all overloads and in-place forms of one agree.
fn is_first(name: &str) -> bool {
    matches!(name, "self" | "input")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pytorch::graph::Named;

    #[test]
    fn arguments_are_found_by_name_and_position() {
        let named = |name: &str, value: i64| Named { name: name.into(), value: value.into() };
        let node = Node { arguments: vec![named("", 1), named("step", 3)], ..Node::default() };
        let arguments = Arguments::new(&node, "start end step");
        assert_eq!(*arguments.get("start"), Argument::Int(1));
        assert_eq!(*arguments.get("end"), Argument::None);
        assert_eq!(*arguments.get("step"), Argument::Int(3));
        assert!(!arguments.has("other"));
    }
}
