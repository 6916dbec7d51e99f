//! What it takes to try a call on zeros: checked before memory and time are spent on it.

use super::shapes::{Fault, World};
use super::value::Value;
use crate::pytorch::arguments::Arguments;
use crate::pytorch::evaluate;
use crate::pytorch::graph::{Argument, Node};

/// Elements that one tensor may have. Enough for what networks have between their layers.
const MOST_ELEMENTS: u64 = 1 << 28;

/// Multiplications that one call may take.
const MOST_PRODUCTS: u64 = 1 << 36;

/// Elements that all calls together may make.
pub(super) const MOST_WORK: u64 = 1 << 35;

impl World<'_> {
    /// An error where a call makes more elements, or takes more work, than is tried.
    pub(super) fn afford(&self, node: &Node, arguments: &Arguments<'_>) -> Result<(), Fault> {
        let name = node.target.split('.').nth(1).unwrap_or_default();
        let made = self.made(name, arguments).unwrap_or(0);
        if made > MOST_ELEMENTS {
            return Err(too_large(format!("it has {made} elements")));
        }
        let products = self.products(name, arguments).unwrap_or(0);
        if products > MOST_PRODUCTS {
            return Err(too_large(format!("it takes {products} multiplications")));
        }
        // A multiplication is a fraction of an element that is made.
        self.spend(made.saturating_add(products / 16))
    }

    /// An error where a tensor of these sizes is not tried; its elements.
    pub(super) fn elements(&self, dims: &[usize]) -> Result<usize, Fault> {
        let elements = dims.iter().try_fold(1usize, |all, &dim| all.checked_mul(dim));
        let elements = elements.filter(|&all| all as u64 <= MOST_ELEMENTS);
        let elements = elements.ok_or_else(|| too_large(format!("it is of shape {dims:?}")))?;
        self.spend(elements as u64)?;
        Ok(elements)
    }

    fn spend(&self, work: u64) -> Result<(), Fault> {
        match self.work.get().checked_sub(work) {
            Some(left) => {
                self.work.set(left);
                Ok(())
            }
            None => Err(too_large(format!("all together make more than {MOST_WORK} elements"))),
        }
    }

    /// Elements of the result of a call that says how many there are.
    fn made(&self, name: &str, arguments: &Arguments<'_>) -> Option<u64> {
        let own = || self.count(arguments.get("self"));
        let list = |name: &str| self.product(arguments.get(name));
        Some(match name {
            "zeros" | "ones" | "full" | "empty" | "new_zeros" | "new_ones" | "new_full"
            | "new_empty" => list("size")?,
            "arange" => {
                let number =
                    |name: &str, default| self.float(arguments.get(name)).unwrap_or(default);
                let step = number("step", 1.0);
                ((number("end", 0.0) - number("start", 0.0)) / step).abs().ceil() as u64
            }
            "linspace" => list("steps")?,
            "eye" => {
                let rows = list("n")?;
                rows.saturating_mul(if arguments.has("m") { list("m")? } else { rows })
            }
            "tril_indices" | "triu_indices" => list("row")?.saturating_mul(list("col")?),
            "one_hot" => own()?.saturating_mul(list("num_classes")?),
            "repeat" => own()?.saturating_mul(list("repeats")?),
            "tile" => own()?.saturating_mul(list("dims")?),
            _ if name.contains("pad") => {
                let pads = if arguments.has("pad") { "pad" } else { "padding" };
                self.padded(arguments.get("self"), arguments.get(pads))?
            }
            _ if name.contains("upsample") || name.contains("adaptive") => {
                self.resized(arguments)?
            }
            _ => 0,
        })
    }

    fn padded(&self, own: &Argument, pads: &Argument) -> Option<u64> {
        let dims = self.dims(own)?;
        let Argument::List(pads) = pads else { return None };
        let mut elements = 1u64;
        for (at, &dim) in dims.iter().rev().enumerate() {
            let pair = pads.get(2 * at..).unwrap_or(&[]).iter().take(2);
            let more: f64 = pair.filter_map(|pad| self.float(pad)).map(|pad| pad.max(0.0)).sum();
            elements = elements.saturating_mul((dim as u64).saturating_add(more as u64));
        }
        Some(elements)
    }

    fn resized(&self, arguments: &Arguments<'_>) -> Option<u64> {
        let own = if arguments.has("self") { "self" } else { "input" };
        let dims = self.dims(arguments.get(own))?;
        let outer: u64 = dims.iter().take(2).map(|&dim| dim as u64).product();
        if arguments.has("output_size") {
            return Some(outer.saturating_mul(self.product(arguments.get("output_size"))?));
        }
        let Argument::List(scales) = arguments.get("scale_factors") else { return None };
        let scale: f64 = scales.iter().filter_map(|scale| self.float(scale)).product();
        let all: u64 = dims.iter().map(|&dim| dim as u64).product();
        Some((all as f64 * scale) as u64)
    }

    /// Multiplications that a call takes, where it is one that takes many.
    fn products(&self, name: &str, arguments: &Arguments<'_>) -> Option<u64> {
        match name {
            "einsum" => self.einsum(arguments),
            "conv_transpose1d" | "conv_transpose2d" | "conv_transpose3d" | "convolution"
            | "_convolution" => {
                let weight = self.dims(arguments.get("weight"))?;
                let each = weight.iter().skip(1).map(|&dim| dim as u64);
                let each = each.fold(1u64, u64::saturating_mul);
                Some(self.count(arguments.get("input"))?.saturating_mul(each))
            }
            "addmm" | "baddbmm" => {
                let (one, two) =
                    if name == "addmm" { ("mat1", "mat2") } else { ("batch1", "batch2") };
                let columns = self.dims(arguments.get(two))?.last().copied()?;
                Some(self.count(arguments.get(one))?.saturating_mul(columns as u64))
            }
            _ => None,
        }
    }

    /// The product of the sizes that all letters of an equation stand for.
    fn einsum(&self, arguments: &Arguments<'_>) -> Option<u64> {
        let Argument::String(equation) = arguments.get("equation") else { return None };
        let Argument::List(tensors) = arguments.get("tensors") else { return None };
        let inputs = equation.split("->").next().unwrap_or_default();
        let mut sizes: Vec<(char, u64)> = Vec::new();
        let mut others = 1u64;
        for (letters, tensor) in inputs.split(',').zip(tensors) {
            let dims = self.dims(tensor)?;
            let letters: Vec<char> = letters.chars().filter(|one| one.is_alphabetic()).collect();
            if letters.len() != dims.len() {
                others = others.saturating_mul(self.count(tensor)?);
                continue;
            }
            for (letter, &dim) in letters.into_iter().zip(dims) {
                if !sizes.iter().any(|(other, _)| *other == letter) {
                    sizes.push((letter, dim as u64));
                }
            }
        }
        Some(sizes.iter().fold(others, |all, (_, size)| all.saturating_mul(*size)))
    }

    fn dims(&self, argument: &Argument) -> Option<&[usize]> {
        self.shape(argument).map(|(_, dims)| dims)
    }

    fn count(&self, argument: &Argument) -> Option<u64> {
        let dims = self.dims(argument)?;
        Some(dims.iter().fold(1u64, |all, &dim| all.saturating_mul(dim as u64)))
    }

    /// The product of a number, or of those in a list.
    fn product(&self, argument: &Argument) -> Option<u64> {
        match argument {
            Argument::List(items) => {
                let mut product = 1u64;
                for item in items {
                    product = product.saturating_mul(self.float(item)?.max(0.0) as u64);
                }
                Some(product)
            }
            other => self.float(other).map(|number| number.max(0.0) as u64),
        }
    }

    fn float(&self, argument: &Argument) -> Option<f64> {
        match argument {
            Argument::Int(value) => Some(*value as f64),
            Argument::Float(value) => Some(*value),
            Argument::Value(name) => match self.values.get(name)? {
                Value::Number(number) => match self.number(number) {
                    evaluate::Value::Int(value) => Some(value as f64),
                    evaluate::Value::Float(value) => Some(value),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        }
    }
}

fn too_large(what: String) -> Fault {
    Fault {
        reason: format!("a tensor of a size that is not tried ({what})"),
        way_out: "give smaller sizes with --shape",
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn work_is_bounded_in_all() {
        let (values, work) = (HashMap::new(), Cell::new(100));
        let world = World { values: &values, world: 0, work: &work };
        assert_eq!(world.elements(&[10, 5]).ok(), Some(50));
        assert_eq!(world.elements(&[5, 10]).ok(), Some(50));
        assert!(world.elements(&[1]).is_err_and(|fault| fault.reason.contains("all together")));
        assert!(world.elements(&[usize::MAX, 3]).is_err());
    }
}
