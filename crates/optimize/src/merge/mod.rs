//! Several models as one.
//!
//! An ensemble holds all its members in one graph and combines what they answer; a soup has the graph of
//! one member and the average of all their weights.
//!
//! | module | holds |
//! |---|---|
//! | [`ensemble`] | one graph of several models |
//! | `signature` | whether they take and give the same |
//! | `join` | their graphs beside each other, under names of their own |
//! | `reading` | logits or probabilities, whichever are to be combined |
//! | `combine` | the nodes that average, vote, or stack |
//! | [`fit`] | weights from answers to examples |
//! | [`soup`] | the average of weights |

mod combine;
pub mod fit;
mod join;
mod reading;
mod signature;
pub mod soup;

#[cfg(test)]
mod tests;

use modelyard_graph::rewrite::{self, PASSES};
use modelyard_graph::{ElementType, Model, Value, ValueType};

use crate::OptimizeError;
use combine::Writer;
use fit::Stack;
use reading::{Change, Readings};
pub use reading::{Gives, Of};
use signature::Signature;

/// A model that takes part.
#[derive(Clone, Debug)]
pub struct Member {
    /// What it is called in errors.
    pub name: String,
    /// The model, with its weights in memory.
    pub model: Model,
    /// Position of the output that answers.
    pub output: usize,
    /// Names of the classes that the output tells apart, where they are known.
    pub labels: Option<Vec<String>>,
    /// What the output gives, where that was seen; else it is told by the last operator.
    pub gives: Option<Gives>,
}

/// How answers become one.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    /// Their weighted average.
    Average(Vec<f64>),
    /// Each member votes for its class with the highest score, the lowest of equal ones; what comes
    /// out is the share of votes of each class.
    Vote(Vec<f64>),
    /// A linear model over all of them side by side.
    Stack(Stack),
}

/// What is combined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Logits or probabilities; none: what members give, or probabilities where they differ in that.
    pub of: Option<Of>,
    /// The answers are scores of classes, even where they are single numbers: then of the second of
    /// two classes.
    pub classes: bool,
}

/// An ensemble, and what is to be said about it.
#[derive(Debug)]
pub struct Merged {
    /// The model.
    pub model: Model,
    /// What it gives.
    pub gives: Gives,
    /// Members behind which a Softmax or Sigmoid was put.
    pub activated: Vec<String>,
    /// Members whose last Softmax or Sigmoid was taken off.
    pub bared: Vec<String>,
    /// Members of weight zero, which are not in the graph.
    pub left_out: Vec<String>,
}

/// One graph of several models with the same inputs and the same kind of output.
///
/// Inputs and the output have the names that the first member gives them; the output is of 32-bit
/// floats. What members compute alike is computed once.
pub fn ensemble(
    members: &[Member],
    rule: &Rule,
    options: &Options,
) -> Result<Merged, OptimizeError> {
    let weights = match rule {
        Rule::Average(weights) | Rule::Vote(weights) => normalized(weights, members.len())?,
        Rule::Stack(_) => vec![1.0; members.len()],
    };
    let signature = Signature::of(members)?;
    let (kept, left_out): (Vec<usize>, Vec<usize>) =
        (0..members.len()).partition(|&number| weights[number] > 0.0);
    let weights: Vec<f64> = kept.iter().map(|&number| weights[number]).collect();
    let left_out = left_out.into_iter().map(|number| members[number].name.clone()).collect();
    let draft = Draft::new(members, &kept, signature, options)?;
    let (signature, readings) = (&draft.signature, &draft.readings);
    match rule {
        Rule::Average(_) => {
            let gives = readings.averaged;
            let sigmoid = readings.sigmoid;
            let is_bare = readings.gives != gives;
            draft.finish(gives, left_out, |writer, values| {
                let value = writer.average(values, &weights);
                if is_bare { writer.activate(&value, sigmoid) } else { value }
            })
        }
        Rule::Vote(_) => {
            let classes = (signature.vote_width(readings, options)?, readings.gives);
            draft.finish(Gives::Probabilities, left_out, |writer, values| {
                writer.vote(values, &weights, classes)
            })
        }
        Rule::Stack(stack) => {
            signature.check_stack(stack, kept.len())?;
            let gives = if stack.logistic { Gives::Probabilities } else { Gives::Scores };
            draft.finish(gives, left_out, |writer, values| writer.stack(values, stack))
        }
    }
}

/// One member as an ensemble sees it: it gives what is combined.
pub fn reading(member: &Member, options: &Options) -> Result<Merged, OptimizeError> {
    let alone = std::slice::from_ref(member);
    let draft = Draft::new(alone, &[0], Signature::of(alone)?, options)?;
    let gives = draft.readings.gives;
    draft.finish(gives, Vec::new(), |_, values| values[0].clone())
}

/// Members in one graph, before their answers are combined.
struct Draft {
    signature: Signature,
    readings: Readings,
    writer: Writer,
}

impl Draft {
    fn new(
        members: &[Member],
        kept: &[usize],
        mut signature: Signature,
        options: &Options,
    ) -> Result<Draft, OptimizeError> {
        signature.keep(kept);
        let members: Vec<&Member> = kept.iter().map(|&number| &members[number]).collect();
        let joined = join::join(&members, &signature)?;
        let readings = reading::read(&joined, &members, &signature, options)?;
        Ok(Draft { signature, readings, writer: Writer::new(joined.model) })
    }

    /// The model that gives what `combine` makes of the members' answers.
    fn finish(
        mut self,
        gives: Gives,
        left_out: Vec<String>,
        combine: impl FnOnce(&mut Writer, &[String]) -> String,
    ) -> Result<Merged, OptimizeError> {
        let values = self.writer.read(&self.readings);
        let value = combine(&mut self.writer, &values);
        let model = self.writer.finish(&value, output_of(&self.signature));
        Ok(Merged {
            model: shared(model).check()?,
            gives,
            activated: self.readings.named(Change::Activate),
            bared: self.readings.named(Change::Bare),
            left_out,
        })
    }
}

fn output_of(signature: &Signature) -> Value {
    Value {
        name: signature.output.clone(),
        value_type: ValueType::Tensor {
            element_type: ElementType::Float32,
            dims: signature.dims.clone(),
        },
    }
}

/// The same model, with what several members compute alike computed once.
fn shared(model: Model) -> Model {
    let wanted = PASSES.iter().filter(|pass| ["common", "dead"].contains(&pass.name));
    wanted.fold(model, |model, pass| pass.apply(model, &rewrite::Options::default()))
}

/// Weights that sum to one.
pub fn normalized(weights: &[f64], members: usize) -> Result<Vec<f64>, OptimizeError> {
    let wrong = |what: String| Err(OptimizeError::Invalid(what));
    if weights.len() != members {
        return wrong(format!(
            "expected one weight for each of {members} models, found {}",
            weights.len()
        ));
    }
    if let Some(bad) = weights.iter().find(|weight| !(weight.is_finite() && **weight >= 0.0)) {
        return wrong(format!("expected weights of at least zero, found {bad}"));
    }
    let sum: f64 = weights.iter().sum();
    if sum <= 0.0 || !sum.is_finite() {
        return wrong("all weights are zero: give at least one model a weight above zero".into());
    }
    Ok(weights.iter().map(|weight| weight / sum).collect())
}
