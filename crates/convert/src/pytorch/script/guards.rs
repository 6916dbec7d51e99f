//! What is taken for granted of free sizes, in words that the user can check.
//!
//! A decision that comes out the same for all sizes that a model is tried with is taken, and stated:
//! "dimension 1 of input 'x' (length) is at least 3".

use super::inputs::SURE;
use super::interpret::{Interpreter, Result, Stop};
use super::value::{Number, Value};
use super::words::{Comparison, SIZE, chunk_condition, chunks, opposite};
use crate::pytorch::arguments::Arguments;
use crate::pytorch::graph::{Argument, Node, Size};

/// Sizes up to this are tried, where code compares with them.
const MOST_TRIED: i64 = 4096;

impl Interpreter<'_> {
    /// A decision on free sizes: sound where it is the same for different ones.
    pub(super) fn agreed(&mut self, truths: &[bool], number: Option<&Number>) -> Result<bool> {
        let first = truths.first().copied().unwrap_or(false);
        match truths.iter().position(|&truth| truth != first) {
            None => {
                if self.worlds > 1 && !self.is_trivial(number, first) {
                    let condition = self.condition(number, first);
                    self.assume(condition, "a condition");
                }
                Ok(first)
            }
            Some(world) if world >= SURE => Err(Stop::Leave(world)),
            Some(_) => {
                let condition = self.condition(number, true);
                Err(self.refusal(
                    "a condition",
                    format!("a condition that depends on a free size ({condition})"),
                    "give that size as a number with --shape",
                ))
            }
        }
    }

    /// Whether a condition holds for any size: no size is 0, and each is itself.
    fn is_trivial(&self, number: Option<&Number>, truth: bool) -> bool {
        let comparison = number.and_then(|number| self.comparisons.get(&number.name));
        let Some(Comparison(left, operator, right)) = comparison else { return false };
        let operator = if truth { operator } else { opposite(operator) };
        let is_size = left.starts_with(SIZE);
        matches!(operator, "==" | "<=" | ">=") && left == right
            || is_size
                && matches!((operator, right.as_str()), ("!=" | ">" | ">=", "0") | (">=", "1"))
    }

    /// Notes what is taken for granted, and what for.
    pub(super) fn assume(&mut self, condition: String, what: &str) {
        let guard = format!("takes for granted that {condition} ({what} at {})", self.place());
        if !self.guards.contains(&guard) {
            self.guards.push(guard);
        }
    }

    /// Looks for free sizes that a call cuts off at a constant: all that the model is tried with may
    /// lie on one side of it.
    pub(super) fn check_cuts(&mut self, node: &Node) -> Result<()> {
        match node.target.as_str() {
            "aten.slice.Tensor" => self.check_slice(node),
            "torch.sym_min" | "torch.sym_max" | "operator.floordiv" | "operator.mod" => {
                self.check_numbers(node)
            }
            "aten.split.Tensor"
            | "aten.chunk.default"
            | "aten.tensor_split.sections"
            | "aten.squeeze.default"
            | "aten.squeeze.dim"
            | "aten.squeeze.dims" => self.check_axes(node),
            _ => Ok(()),
        }
    }

    fn check_slice(&mut self, node: &Node) -> Result<()> {
        let arguments = Arguments::new(node, "self dim start end step");
        let Some((name, axis, sizes)) = self.free_axis(&arguments) else { return Ok(()) };
        for (part, is_start) in [("start", true), ("end", false)] {
            let &Argument::Int(place) = arguments.get(part) else { continue };
            let at = place.unsigned_abs();
            // To the end; and no size is less than one.
            if at <= 1 || at >= 1 << 40 {
                continue;
            }
            // What is left does not depend on the size, as long as there is enough.
            let is_constant = is_start == (place < 0);
            self.check_cut((&name, axis, &sizes), at as i64, is_constant)?;
        }
        Ok(())
    }

    /// A size, a place to cut it off at, and whether sizes beyond it make no difference.
    fn check_cut(
        &mut self,
        (name, axis, sizes): (&str, usize, &[usize]),
        at: i64,
        is_constant: bool,
    ) -> Result<()> {
        let subject = self.subject(sizes, name, axis);
        if sizes.iter().all(|&size| size as i64 <= at) {
            return self.beyond(sizes, at, &subject);
        }
        if is_constant && sizes.iter().all(|&size| size as i64 >= at) {
            self.assume(format!("{subject} is at least {at}"), "a slice");
        }
        Ok(())
    }

    /// No size that was tried is as large as the constant that code cuts it off at.
    fn beyond(&mut self, sizes: &[usize], at: i64, subject: &str) -> Result<()> {
        if let Some(Size::Symbol(symbol)) = self.symbols.get(sizes)
            && at <= MOST_TRIED
            && !self.kept.contains(symbol)
        {
            return Err(Stop::Beyond(symbol.clone(), at as usize));
        }
        self.assume(format!("{subject} is at most {at}"), "what cuts it off there");
        Ok(())
    }

    fn check_numbers(&mut self, node: &Node) -> Result<()> {
        let [one, two] = node.arguments.as_slice() else { return Ok(()) };
        let (name, at) = match (&one.value, &two.value) {
            (Argument::Value(name), &Argument::Int(at)) => (name, at),
            (&Argument::Int(at), Argument::Value(name)) if node.target.starts_with("torch.") => {
                (name, at)
            }
            _ => return Ok(()),
        };
        let Some(Value::Number(number)) = self.values.get(name) else { return Ok(()) };
        let Some(sizes) = number.sizes() else { return Ok(()) };
        let subject = self.words.get(name).cloned().unwrap_or_else(|| format!("'{name}'"));
        let is_division = node.target.starts_with("operator.");
        // A size that is divided is cut off below the divisor.
        let at = if is_division { at.saturating_sub(1) } else { at };
        if at >= 1 && sizes.iter().all(|&size| size as i64 <= at) {
            return self.beyond(&sizes, at, &subject);
        }
        if !is_division && sizes.iter().all(|&size| size as i64 >= at) && at > 1 {
            self.assume(format!("{subject} is at least {at}"), "a minimum or maximum");
        }
        Ok(())
    }

    /// Notes that a free axis has as many parts, or is not dropped, as for the sizes tried.
    fn check_axes(&mut self, node: &Node) -> Result<()> {
        let arguments = Arguments::new(node, super::resolve::signature(&node.target));
        let Argument::Value(name) = arguments.get("self").clone() else { return Ok(()) };
        let Some(Value::Tensor(tensor)) = self.values.get(&name) else { return Ok(()) };
        let rank = tensor.rank();
        let all = match (node.target.contains("squeeze"), arguments.get("dim")) {
            (true, Argument::None) => (0..rank).collect(),
            (false, Argument::None) => vec![0],
            (_, Argument::Int(axis)) => axis_of(*axis, rank).into_iter().collect(),
            (_, Argument::List(axes)) => axes
                .iter()
                .filter_map(|axis| match axis {
                    Argument::Int(axis) => axis_of(*axis, rank),
                    _ => None,
                })
                .collect(),
            _ => Vec::new(),
        };
        let free: Vec<(usize, Vec<usize>)> = all
            .into_iter()
            .map(|axis| (axis, tensor.sizes(axis)))
            .filter(|(_, sizes)| is_free(sizes))
            .collect();
        for (axis, sizes) in free {
            let subject = self.subject(&sizes, &name, axis);
            if node.target.contains("squeeze") {
                self.assume(format!("{subject} is not 1"), "a squeeze");
            } else {
                self.check_parts(node, &arguments, (&subject, &sizes))?;
            }
        }
        Ok(())
    }

    fn check_parts(
        &mut self,
        node: &Node,
        arguments: &Arguments<'_>,
        (subject, sizes): (&str, &[usize]),
    ) -> Result<()> {
        let parameter = ["split_size", "chunks"].into_iter().find(|name| arguments.has(name));
        let Some(&Argument::Int(number)) = parameter.map(|name| arguments.get(name)) else {
            return Ok(());
        };
        let number = usize::try_from(number).unwrap_or(1).max(1);
        let first = sizes.first().copied().unwrap_or(1);
        let condition = match node.target.as_str() {
            // As many parts as asked for, whatever the size.
            "aten.tensor_split.sections" => return Ok(()),
            "aten.split.Tensor" => {
                let count = first.div_ceil(number).max(1);
                let (least, most) = ((count - 1).saturating_mul(number), count * number);
                format!("{subject} is more than {least} and at most {most}")
            }
            _ if number == 1 => return Ok(()),
            _ => {
                let count = chunks(first, number);
                format!("{subject} {}", chunk_condition(number, count))
            }
        };
        self.assume(condition, "the number of parts");
        Ok(())
    }

    /// The tensor and axis that a call is about, where the size along it is free.
    fn free_axis(&self, arguments: &Arguments<'_>) -> Option<(String, usize, Vec<usize>)> {
        let Argument::Value(name) = arguments.get("self") else { return None };
        let Some(Value::Tensor(tensor)) = self.values.get(name) else { return None };
        let axis = match arguments.get("dim") {
            Argument::None => 0,
            Argument::Int(axis) => axis_of(*axis, tensor.rank())?,
            _ => return None,
        };
        let sizes = tensor.sizes(axis);
        is_free(&sizes).then(|| (name.clone(), axis, sizes))
    }
}

fn is_free(sizes: &[usize]) -> bool {
    sizes.iter().any(|size| Some(size) != sizes.first())
}

fn axis_of(axis: i64, rank: usize) -> Option<usize> {
    super::builtin::counted(axis, rank)
}
