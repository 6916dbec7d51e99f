//! Recurrent layers: LSTM, GRU and RNN, with backpropagation through time.
//!
//! | module | does |
//! |---|---|
//! | `mod` | attributes: what is covered |
//! | `sizes` | shapes, and where a lane's numbers are in them |
//! | `cell` | the seam: one step forward and back |
//! | `frame` | the operator: shares out lanes, puts results together |
//! | `lane` | products over whole sequences, then step by step |
//! | `lstm`, `gru`, `rnn` | the cells |
//!
//! A lane is one direction of a part of the batch, seen in the order in which it is worked
//! through. Lanes know nothing of each other, so threads share them.

mod cell;
mod frame;
mod gru;
mod lane;
mod lstm;
mod rnn;
mod sizes;
#[cfg(test)]
mod tests;

use modelyard_graph::AttributeValue;

use crate::error::OpError;
use crate::operator::Operator;
use crate::site::Site;
use cell::Cell;
use frame::Recurrent;

pub(super) use gru::build as build_gru;
pub(super) use lstm::build as build_lstm;
pub(super) use rnn::build as build_rnn;

/// What LSTM, GRU and RNN have in common.
#[derive(Clone, Debug)]
struct Settings {
    /// By direction: whether it goes from the end to the start.
    reversed: Vec<bool>,
    /// Layout 1: the batch is the first axis, time the second.
    batch_first: bool,
}

impl Settings {
    /// Reads and checks the attributes; `activations` are those of one direction.
    fn new(site: &Site<'_>, activations: &[&str]) -> Result<Settings, OpError> {
        if site.opset < 7 {
            return Err(OpError::new(format!(
                "opset {} is not covered, 7 and later are",
                site.opset
            )));
        }
        let reversed = match site.node.string("direction").unwrap_or("forward") {
            "forward" => vec![false],
            "reverse" => vec![true],
            "bidirectional" => vec![false, true],
            other => return Err(OpError::new(format!("attribute direction is '{other}'"))),
        };
        if site.node.attribute("clip").is_some() {
            return Err(OpError::new("attribute clip is not covered"));
        }
        let found = activations_of(site);
        if !found.iter().enumerate().all(|(at, name)| name == activations[at % activations.len()]) {
            return Err(OpError::new(format!(
                "activations are {}, training covers {}",
                found.join(", "),
                activations.join(", ")
            )));
        }
        Ok(Settings { reversed, batch_first: site.flag("layout", false) })
    }
}

/// The attribute `activations`; empty where it is left to the default.
fn activations_of(site: &Site<'_>) -> Vec<String> {
    match site.node.attribute("activations") {
        Some(AttributeValue::Strings(names)) => {
            names.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect()
        }
        _ => Vec::new(),
    }
}

fn operator<C: Cell>(cell: C, settings: Settings) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Recurrent { cell, settings }))
}
