//! Equations such as `bij,bjk->bik`.

use modelyard_tensor::Shape;

use crate::error::OpError;

/// A letter that names an axis.
pub(super) type Label = u8;

/// A parsed equation: the labels of one or two operands and of the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Equation {
    pub(super) operands: Vec<Vec<Label>>,
    pub(super) result: Vec<Label>,
}

impl Equation {
    /// Parses an equation. Without `->`, the result has the labels that stand once, in order of
    /// the alphabet (capitals first).
    pub(super) fn parse(text: &str) -> Result<Equation, OpError> {
        let (inputs, result) = match text.split_once("->") {
            Some((inputs, result)) => (inputs, Some(labels(result)?)),
            None => (text, None),
        };
        let operands = inputs.split(',').map(labels).collect::<Result<Vec<_>, _>>()?;
        if operands.len() > 2 {
            return Err(OpError::new(format!("{} operands are not covered", operands.len())));
        }
        let result = result.unwrap_or_else(|| once(&operands));
        let unknown = |label: &&Label| !operands.iter().any(|labels| labels.contains(label));
        if let Some(&label) = result.iter().find(unknown) {
            return Err(OpError::new(format!(
                "label '{}' of the result is in no operand",
                char::from(label)
            )));
        }
        Ok(Equation { operands, result })
    }
}

/// The labels of an operand or the result, which must differ.
fn labels(text: &str) -> Result<Vec<Label>, OpError> {
    let mut labels: Vec<Label> = Vec::new();
    for letter in text.chars().filter(|letter| !letter.is_whitespace()) {
        let label = u8::try_from(letter).ok().filter(u8::is_ascii_alphabetic);
        let label = label.ok_or_else(|| OpError::new(format!("'{letter}' is no label")))?;
        if labels.contains(&label) {
            return Err(OpError::new(format!(
                "label '{letter}' stands twice in '{}', which is not covered",
                text.trim()
            )));
        }
        labels.push(label);
    }
    Ok(labels)
}

/// Labels that stand in one operand alone, sorted.
fn once(operands: &[Vec<Label>]) -> Vec<Label> {
    let all = operands.concat();
    let count = |label: Label| all.iter().filter(|&&other| other == label).count();
    let mut once: Vec<Label> = all.iter().copied().filter(|&label| count(label) == 1).collect();
    once.sort_unstable();
    once
}

/// How long the axes are.
#[derive(Clone, Debug)]
pub(super) struct Sizes(Vec<(Label, usize)>);

impl Sizes {
    /// From the shapes of the operands, which must agree.
    pub(super) fn new(equation: &Equation, shapes: &[&Shape]) -> Result<Sizes, OpError> {
        let mut sizes = Sizes(Vec::new());
        for (labels, shape) in equation.operands.iter().zip(shapes) {
            if labels.len() != shape.len() {
                return Err(OpError::new(format!(
                    "operand '{}' has shape {shape}",
                    String::from_utf8_lossy(labels)
                )));
            }
            for (&label, &size) in labels.iter().zip(shape.iter()) {
                match sizes.0.iter().find(|(known, _)| *known == label) {
                    Some(&(_, known)) if known != size => {
                        return Err(OpError::new(format!(
                            "label '{}' is both {known} and {size}",
                            char::from(label)
                        )));
                    }
                    Some(_) => {}
                    None => sizes.0.push((label, size)),
                }
            }
        }
        let result: Shape = equation.result.iter().map(|&label| sizes.of(label)).collect();
        match result.elements() {
            Some(_) => Ok(sizes),
            None => Err(OpError::new(format!("the result would have shape {result}"))),
        }
    }

    /// The size of an axis.
    pub(super) fn of(&self, label: Label) -> usize {
        self.0.iter().find(|(known, _)| *known == label).map_or(1, |&(_, size)| size)
    }

    /// Elements of an array with these axes.
    pub(super) fn product(&self, labels: &[Label]) -> usize {
        labels.iter().map(|&label| self.of(label)).product()
    }
}
