//! Numbers that the model computes, and conditions on them, in words: `dimension 1 of input 'x'`.

use super::interpret::Interpreter;
use super::value::{Number, Value};
use crate::pytorch::graph::{Argument, Node, Size};

/// How the words for a size begin.
pub(super) const SIZE: &str = "dimension ";

/// Longer descriptions say nothing to anybody.
const MOST_LETTERS: usize = 160;

/// A comparison in words: left side, operator, right side.
#[derive(Clone, Debug)]
pub(super) struct Comparison(pub(super) String, pub(super) &'static str, pub(super) String);

impl Interpreter<'_> {
    /// A condition in words, as it was found to be.
    pub(super) fn condition(&self, number: Option<&Number>, truth: bool) -> String {
        let name = number.map_or("", |number| number.name.as_str());
        if let Some(Comparison(left, operator, right)) = self.comparisons.get(name) {
            let operator = if truth { operator } else { opposite(operator) };
            return format!("{left} {} {right}", in_words(operator));
        }
        let holds = if truth { "holds" } else { "does not hold" };
        match self.words.get(name) {
            Some(words) => format!("'{words}' {holds}"),
            None => format!("a condition on free sizes {holds}"),
        }
    }

    /// Remembers in words how a number comes about.
    pub(super) fn describe(&mut self, node: &Node) {
        let Some(output) = node.outputs.first() else { return };
        let name = node.target.split('.').nth(1).unwrap_or_default();
        if let Some(comparison) = self.comparison(node, name) {
            self.comparisons.insert(output.clone(), comparison);
        }
        let words = self.expression_in_words(node, name);
        if let Some(words) = words.filter(|words| words.len() <= MOST_LETTERS) {
            self.words.insert(output.clone(), words);
        }
    }

    fn comparison(&self, node: &Node, name: &str) -> Option<Comparison> {
        if let ("sym_not", Argument::Value(inner)) = (name, &node.arguments.first()?.value) {
            let Comparison(left, operator, right) = self.comparisons.get(inner)?.clone();
            return Some(Comparison(left, opposite(operator), right));
        }
        let sign = sign(name).filter(|sign| sign.contains(['<', '>', '=']))?;
        Some(Comparison(self.operand_in_words(node, 0)?, sign, self.operand_in_words(node, 1)?))
    }

    fn expression_in_words(&self, node: &Node, name: &str) -> Option<String> {
        match name {
            "sym_size" => self.size_in_words(node),
            "item" | "scalar_tensor" | "sym_int" | "sym_float" => self.operand_in_words(node, 0),
            "sym_not" => self.operand_in_words(node, 0).map(|side| format!("not ({side})")),
            _ => {
                let (left, right) =
                    (self.operand_in_words(node, 0)?, self.operand_in_words(node, 1)?);
                Some(match sign(name)? {
                    sign @ ("min" | "max") => format!("{sign}({left}, {right})"),
                    sign => format!("({left} {sign} {right})"),
                })
            }
        }
    }

    fn operand_in_words(&self, node: &Node, at: usize) -> Option<String> {
        self.in_words(&node.arguments.get(at)?.value)
    }

    fn size_in_words(&self, node: &Node) -> Option<String> {
        let [own, axis] = node.arguments.as_slice() else { return None };
        let (Argument::Value(name), Argument::Int(axis)) = (&own.value, &axis.value) else {
            return None;
        };
        let Some(Value::Tensor(tensor)) = self.values.get(name) else { return None };
        Some(self.subject(&tensor.sizes(usize::try_from(*axis).ok()?), name, *axis as usize))
    }

    /// What people know a size as, which is this in the worlds.
    pub(super) fn subject(&self, sizes: &[usize], tensor: &str, axis: usize) -> String {
        match self.symbols.get(sizes) {
            Some(Size::Symbol(symbol)) if self.subjects.contains_key(symbol) => {
                self.subjects[symbol].clone()
            }
            _ => format!("{SIZE}{axis} of '{tensor}'"),
        }
    }

    fn in_words(&self, argument: &Argument) -> Option<String> {
        match argument {
            Argument::Int(value) => Some(value.to_string()),
            Argument::Float(value) => Some(value.to_string()),
            Argument::Bool(value) => Some(value.to_string()),
            Argument::Value(name) => self.words.get(name).cloned(),
            _ => None,
        }
    }
}

/// How people write an operator between numbers.
fn sign(name: &str) -> Option<&'static str> {
    Some(match name {
        "lt" => "<",
        "le" => "<=",
        "gt" => ">",
        "ge" => ">=",
        "eq" => "==",
        "ne" => "!=",
        "add" => "+",
        "sub" => "-",
        "mul" => "*",
        "floordiv" => "//",
        "truediv" => "/",
        "mod" => "%",
        "and_" => "and",
        "or_" => "or",
        "sym_min" => "min",
        "sym_max" => "max",
        _ => return None,
    })
}

pub(super) fn opposite(operator: &str) -> &'static str {
    match operator {
        "<" => ">=",
        "<=" => ">",
        ">" => "<=",
        ">=" => "<",
        "==" => "!=",
        _ => "==",
    }
}

fn in_words(operator: &str) -> &'static str {
    match operator {
        "<" => "is less than",
        "<=" => "is at most",
        ">" => "is more than",
        ">=" => "is at least",
        "==" => "is",
        _ => "is not",
    }
}

/// How many parts `chunk` makes of an axis: of its size rounded up, as long as there is something.
pub(super) fn chunks(size: usize, number: usize) -> usize {
    size.div_ceil(size.div_ceil(number).max(1)).max(1)
}

/// For which sizes `chunk` makes so many parts.
pub(super) fn chunk_condition(number: usize, count: usize) -> String {
    // Beyond its square, a number of parts is always made.
    const MOST_NUMBER: usize = 64;
    if count != number || number > MOST_NUMBER {
        return format!("makes {count} parts where {number} are asked for");
    }
    let fewer: Vec<usize> =
        (1..number * number).filter(|&size| chunks(size, number) != number).collect();
    match fewer.as_slice() {
        [only] => format!("is not {only}"),
        [.., last] if last + 1 == number => format!("is at least {number}"),
        [.., last] => format!("makes {number} parts: any size above {last} does"),
        [] => format!("makes {number} parts"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_on_chunks_hold_for_the_sizes_that_torch_cuts_into_as_many() {
        // torch: [len(torch.zeros(n).chunk(3)) for n in range(1, 9)]
        let found: Vec<usize> = (1..9).map(|size| chunks(size, 3)).collect();
        assert_eq!(found, [1, 2, 3, 2, 3, 3, 3, 3]);
        assert_eq!(chunk_condition(2, 2), "is not 1");
        assert_eq!(chunk_condition(3, 3), "makes 3 parts: any size above 4 does");
        assert_eq!(chunk_condition(5, 4), "makes 4 parts where 5 are asked for");
    }
}
