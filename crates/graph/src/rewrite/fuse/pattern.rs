//! What a part of a graph looks like, written as an expression.
//!
//! `Mul(x, Add(Erf(Div(x, 1.41421356)), 1))` is the product of a value and what follows from it.
//! Small letters stand for values, the same for the same; numbers for constants of one element that
//! round to them; `[A|B]` for either; `c:Sub(x, m)` gives a value a name; `ReduceMean(x, ..)` may
//! have more inputs. The operands of Add and Mul may come in any order.

use std::collections::BTreeSet;

use super::super::net::{Net, NodeId, ValueId};
use super::numbers::number;

/// Ways to match that are followed at most, at one node.
const MOST_WAYS: usize = 64;

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Pattern {
    Value(String),
    Number(f64),
    Node { operator: String, inputs: Vec<Pattern>, has_more: bool },
    Either(Vec<Pattern>),
    Named(String, Box<Pattern>),
}

/// Where a pattern is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    named: Vec<(String, ValueId)>,
    /// All nodes that are part of it.
    pub(super) nodes: BTreeSet<NodeId>,
}

impl Found {
    /// The value of this name. `None` if the way that matched does not have it.
    pub(super) fn get(&self, name: &str) -> Option<ValueId> {
        self.named.iter().find(|(other, _)| other == name).map(|(_, value)| *value)
    }

    /// With a name for a value; `None` if the name stands for another.
    fn with(mut self, name: &str, value: ValueId) -> Option<Found> {
        match self.get(name) {
            Some(known) => (known == value).then_some(self),
            None => {
                self.named.push((name.to_owned(), value));
                Some(self)
            }
        }
    }
}

impl Pattern {
    /// Reads a pattern that stands in this program.
    pub(super) fn new(text: &str) -> Pattern {
        let mut reader = Reader { text };
        let pattern = reader.either();
        let read = pattern.filter(|_| reader.text.is_empty());
        read.expect("patterns are fixed texts, all of which the tests read")
    }

    /// All ways in which `value` is this pattern.
    pub(super) fn at(&self, net: &Net, value: ValueId) -> Vec<Found> {
        self.ways(net, value, Found::default())
    }

    fn ways(&self, net: &Net, value: ValueId, found: Found) -> Vec<Found> {
        match self {
            Pattern::Value(name) => found.with(name, value).into_iter().collect(),
            Pattern::Number(wanted) => {
                let is_it = net.constant(value).and_then(number).is_some_and(|n| n.is(*wanted));
                if is_it { vec![found] } else { Vec::new() }
            }
            Pattern::Either(patterns) => {
                patterns.iter().flat_map(|one| one.ways(net, value, found.clone())).collect()
            }
            Pattern::Named(name, pattern) => {
                let found = found.with(name, value);
                found.map_or(Vec::new(), |found| pattern.ways(net, value, found))
            }
            Pattern::Node { operator, inputs, has_more } => {
                let Some((id, op)) = net.producer_op(value).filter(|(_, op)| op.is(operator))
                else {
                    return Vec::new();
                };
                let fits = op.single_output() == Some(value)
                    && (op.inputs.len() == inputs.len()
                        || (*has_more && op.inputs.len() > inputs.len()));
                let given: Option<Vec<ValueId>> =
                    (0..inputs.len()).map(|slot| op.input(slot)).collect();
                let (Some(given), true) = (given, fits) else { return Vec::new() };
                let mut found = found;
                found.nodes.insert(id);
                let mut ways = all(net, inputs, &given, found.clone());
                if let ("Add" | "Mul", &[one, two]) = (operator.as_str(), given.as_slice())
                    && one != two
                {
                    ways.extend(all(net, inputs, &[two, one], found));
                }
                ways.truncate(MOST_WAYS);
                ways
            }
        }
    }
}

/// The ways in which all patterns are at their values.
fn all(net: &Net, patterns: &[Pattern], values: &[ValueId], found: Found) -> Vec<Found> {
    let pairs = patterns.iter().zip(values);
    pairs.fold(vec![found], |ways, (pattern, &value)| {
        ways.into_iter().flat_map(|found| pattern.ways(net, value, found)).collect()
    })
}

struct Reader<'a> {
    text: &'a str,
}

impl<'a> Reader<'a> {
    fn eat(&mut self, token: &str) -> bool {
        let rest = self.text.trim_start().strip_prefix(token);
        self.text = rest.map_or(self.text, str::trim_start);
        rest.is_some()
    }

    fn word(&mut self) -> &'a str {
        let end = self.text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '-'));
        let (word, rest) = self.text.split_at(end.unwrap_or(self.text.len()));
        self.text = rest.trim_start();
        word
    }

    fn either(&mut self) -> Option<Pattern> {
        let mut patterns = vec![self.one()?];
        while self.eat("|") {
            patterns.push(self.one()?);
        }
        Some(if patterns.len() == 1 { patterns.remove(0) } else { Pattern::Either(patterns) })
    }

    fn one(&mut self) -> Option<Pattern> {
        if self.eat("[") {
            let inner = self.either()?;
            return self.eat("]").then_some(inner);
        }
        let word = self.word();
        if self.eat(":") {
            return Some(Pattern::Named(word.to_owned(), Box::new(self.one()?)));
        }
        if self.eat("(") {
            return self.node(word);
        }
        if let Ok(number) = word.parse() {
            return Some(Pattern::Number(number));
        }
        (!word.is_empty()).then(|| Pattern::Value(word.to_owned()))
    }

    fn node(&mut self, operator: &str) -> Option<Pattern> {
        let (mut inputs, mut has_more) = (Vec::new(), false);
        loop {
            if self.eat("..") {
                has_more = true;
            } else {
                inputs.push(self.either()?);
            }
            if !self.eat(",") {
                break;
            }
        }
        let operator = operator.to_owned();
        self.eat(")").then_some(Pattern::Node { operator, inputs, has_more })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_read_as_they_are_written() {
        let value = |name: &str| Pattern::Value(name.into());
        let node = |operator: &str, inputs| Pattern::Node {
            operator: operator.into(),
            inputs,
            has_more: false,
        };
        let read = Pattern::new("Mul(x, [c:Sub(x, m)|Div(2.5, x)])");
        let subtracted = node("Sub", vec![value("x"), value("m")]);
        let subtracted = Pattern::Named("c".into(), Box::new(subtracted));
        let divided = node("Div", vec![Pattern::Number(2.5), value("x")]);
        let either = Pattern::Either(vec![subtracted, divided]);
        assert_eq!(read, node("Mul", vec![value("x"), either]));
        assert!(matches!(
            Pattern::new("ReduceMean(x, ..)"),
            Pattern::Node { has_more: true, inputs, .. } if inputs == [value("x")]
        ));
    }
}
