//! What ONNX says of each version of its operators: `operators.txt`, made by `operators.py`.

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use crate::{AttributeValue, ElementType};

/// One version of an operator.
#[derive(Debug)]
pub(crate) struct Schema {
    /// The version of the operator set it came with.
    pub(crate) since: i64,
    /// No longer an operator: there is another one for it.
    pub(crate) deprecated: bool,
    pub(crate) inputs: Vec<Parameter>,
    pub(crate) outputs: Vec<Parameter>,
    attributes: Vec<AttributeRule>,
}

/// An input or output.
#[derive(Debug)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) presence: Presence,
    /// Parameters with the same variable are of the same type.
    pub(crate) variable: &'static str,
    /// A bit for each element type; those above [`ElementType::ALL`] stand for other types.
    types: u32,
}

/// How often a parameter is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Once,
    Optional,
    Many,
}

/// What an attribute of a node may be.
#[derive(Debug)]
pub(crate) struct AttributeRule {
    pub(crate) name: &'static str,
    pub(crate) required: bool,
    pub(crate) default: Option<AttributeValue>,
}

/// What a value is, as far as parameters tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Tensor(ElementType),
    Sequence,
    Optional,
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Tensor(element_type) => write!(f, "{element_type}"),
            Type::Sequence => f.write_str("sequence"),
            Type::Optional => f.write_str("optional"),
        }
    }
}

impl Parameter {
    /// Whether values of this type are taken.
    pub(crate) fn takes(&self, found: Type) -> bool {
        let bit = match found {
            Type::Tensor(element_type) => element_type.code(),
            Type::Sequence => 29,
            Type::Optional => 30,
        };
        self.types & (1 << bit) != 0
    }

    /// The only element type that is taken, if there is but one.
    pub(crate) fn only(&self) -> Option<ElementType> {
        let single = self.types.is_power_of_two();
        single.then(|| ElementType::from_code(self.types.trailing_zeros().try_into().ok()?))?
    }
}

impl Schema {
    /// The input that a node's input with this index is.
    pub(crate) fn input(&self, index: usize) -> Option<&Parameter> {
        nth(&self.inputs, index)
    }

    /// The output that a node's output with this index is.
    pub(crate) fn output(&self, index: usize) -> Option<&Parameter> {
        nth(&self.outputs, index)
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<&AttributeRule> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    pub(crate) fn attributes(&self) -> &[AttributeRule] {
        &self.attributes
    }
}

fn nth(parameters: &[Parameter], index: usize) -> Option<&Parameter> {
    parameters
        .get(index)
        .or_else(|| parameters.last().filter(|last| last.presence == Presence::Many))
}

static SCHEMAS: LazyLock<HashMap<&'static str, Vec<Schema>>> =
    LazyLock::new(|| parse(include_str!("operators.txt")));

/// All versions of an operator, named as [`crate::Node::operator`] does, the oldest first.
pub(crate) fn versions(operator: &str) -> &'static [Schema] {
    SCHEMAS.get(operator).map_or(&[], Vec::as_slice)
}

/// Names of all operators, in no order.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    SCHEMAS.keys().copied()
}

/// The version of an operator that a model with this operator set means.
pub(crate) fn at(operator: &str, opset: i64) -> Option<&'static Schema> {
    versions(operator).iter().rev().find(|schema| schema.since <= opset)
}

fn parse(text: &'static str) -> HashMap<&'static str, Vec<Schema>> {
    let mut schemas: HashMap<&'static str, Vec<Schema>> = HashMap::new();
    for line in text.lines() {
        let mut fields = line.split('|');
        let (Some(name), Some(since)) = (fields.next(), fields.next()) else { continue };
        let lists: Vec<&'static str> = fields.collect();
        let list = |index: usize| {
            lists.get(index).copied().unwrap_or("").split(' ').filter(|item| !item.is_empty())
        };
        schemas.entry(name).or_default().push(Schema {
            since: since.parse().unwrap_or(i64::MAX),
            deprecated: lists.is_empty(),
            inputs: list(0).filter_map(parameter).collect(),
            outputs: list(1).filter_map(parameter).collect(),
            attributes: list(2).filter_map(attribute).collect(),
        });
    }
    schemas
}

fn parameter(text: &'static str) -> Option<Parameter> {
    let (name, rest) = text.split_once(':')?;
    let (variable, types) = rest.split_once(':')?;
    let types = u32::from_str_radix(types, 16).ok()?;
    let (name, presence) = match (name.strip_suffix('?'), name.strip_suffix('*')) {
        (Some(name), _) => (name, Presence::Optional),
        (_, Some(name)) => (name, Presence::Many),
        _ => (name, Presence::Once),
    };
    Some(Parameter { name, presence, variable, types })
}

fn attribute(text: &'static str) -> Option<AttributeRule> {
    let (name, rest) = text.split_once(':')?;
    let required = rest.ends_with('!');
    let default = rest.split_once('=').and_then(|(kind, value)| match kind {
        "i" => value.parse().ok().map(AttributeValue::Int),
        "f" => value.parse().ok().map(AttributeValue::Float),
        "s" => Some(value.into()),
        "I" => value
            .split(',')
            .map(|item| item.parse().ok())
            .collect::<Option<_>>()
            .map(AttributeValue::Ints),
        _ => None,
    });
    Some(AttributeRule { name, required, default })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_understood() {
        let text = include_str!("operators.txt");
        for line in text.lines() {
            let fields: Vec<&str> = line.split('|').collect();
            let schema = at(fields[0], fields[1].parse().unwrap()).unwrap();
            assert_eq!(schema.deprecated, fields.len() == 2, "{line}");
            let count =
                |index: usize| fields.get(index).map_or(0, |list| list.split_whitespace().count());
            assert_eq!(schema.inputs.len(), count(2), "{line}");
            assert_eq!(schema.outputs.len(), count(3), "{line}");
            assert_eq!(schema.attributes.len(), count(4), "{line}");
        }
    }

    #[test]
    fn versions_are_those_of_the_operator_set() {
        assert_eq!(at("Softmax", 12).unwrap().since, 11);
        assert_eq!(at("Softmax", 13).unwrap().since, 13);
        assert!(at("Gelu", 19).is_none());
        let concat = at("Concat", 13).unwrap();
        assert_eq!(concat.input(7).unwrap().presence, Presence::Many);
        assert!(at("Add", 12).unwrap().input(1).unwrap().takes(Type::Tensor(ElementType::Float64)));
        assert!(
            !at("Add", 12).unwrap().input(1).unwrap().takes(Type::Tensor(ElementType::Bfloat16))
        );
        assert_eq!(
            at("Softmax", 13).unwrap().attribute("axis").unwrap().default,
            Some(AttributeValue::Int(-1))
        );
    }
}
