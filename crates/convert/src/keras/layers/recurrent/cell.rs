//! One cell: `SimpleRNNCell`, `LSTMCell`, `GRUCell`.

use serde_json::Value as Json;

use crate::keras::activations::Activation;
use crate::keras::config::Config;
use crate::keras::fault::Fault;
use crate::keras::names::Names;
use crate::keras::reader::{Context, class_of, name_of};
use crate::keras::variables::{Old, Variables};

/// A cell, with its place in the file.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) kind: Kind,
    pub(crate) units: usize,
    pub(crate) activation: Activation,
    /// That of the gates.
    pub(crate) recurrent_activation: Activation,
    pub(crate) use_bias: bool,
    label: String,
    path: String,
}

/// What a cell computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `h = f(W x + U h + b)`
    Simple,
    /// Gates for what comes in, what is kept and what goes out.
    Lstm,
    /// Gates for what is updated and what is reset: after or before the product with the state.
    Gru {
        /// Whether the state is reset after the product, which has a bias of its own then.
        reset_after: bool,
    },
}

impl Kind {
    /// How many matrices lie side by side in a kernel.
    pub(crate) fn gates(self) -> usize {
        match self {
            Kind::Simple => 1,
            Kind::Lstm => 4,
            Kind::Gru { .. } => 3,
        }
    }
}

impl Cell {
    /// Reads a cell from its options, or from those of the layer that is made of one.
    pub(crate) fn read(
        class: &str,
        config: &Config,
        (path, label): (&str, &str),
        context: &Context<'_>,
    ) -> Result<Cell, Fault> {
        let major = context.reader.major;
        let kind = match class {
            "SimpleRNN" | "SimpleRNNCell" => Kind::Simple,
            "LSTM" | "LSTMCell" => Kind::Lstm,
            "GRU" | "GRUCell" => {
                Kind::Gru { reset_after: config.flag(&["reset_after"], major >= 3)? }
            }
            other => {
                return Err(Fault::unsupported(
                    format!("the cell {other}"),
                    "use SimpleRNN, LSTM or GRU",
                ));
            }
        };
        let activation = |names: &[&str], default: &str| match config.get(names) {
            Some(json) => Activation::read(Some(json), major),
            None if config.has(names[0]) => Ok(Activation::Linear),
            None => Activation::named(default, major),
        };
        let gates = if major < 2 { "hard_sigmoid" } else { "sigmoid" };
        Ok(Cell {
            kind,
            units: config.size(&["units", "output_dim"])?,
            activation: activation(&["activation"], "tanh")?,
            recurrent_activation: activation(&["recurrent_activation", "inner_activation"], gates)?,
            use_bias: config.flag(&["use_bias"], true)?,
            label: label.to_owned(),
            path: path.to_owned(),
        })
    }

    /// How many arrays its state has.
    pub(crate) fn states(&self) -> usize {
        if self.kind == Kind::Lstm { 2 } else { 1 }
    }

    /// Its weights.
    pub(crate) fn variables(&self) -> Variables {
        let old = match self.kind {
            Kind::Simple => Old::Same,
            Kind::Lstm => Old::Lstm,
            Kind::Gru { .. } => Old::Gru,
        };
        let names: &[&str] = match self.use_bias {
            true => &["kernel", "recurrent_kernel", "bias"],
            false => &["kernel", "recurrent_kernel"],
        };
        let (label, path) = (self.label.clone(), self.path.clone());
        Variables { label, path, trainable: true, old, ..Variables::default() }.trained(names)
    }
}

/// The cells of an `RNN` layer.
pub(crate) fn read_option(
    config: &Config,
    path: &str,
    context: &Context<'_>,
) -> Result<Vec<Cell>, Fault> {
    let json = config.get(&["cell"]);
    let json = json.ok_or_else(|| Fault::malformed("expected a 'cell', found none"))?;
    let class = class_of(json).unwrap_or_default();
    let options = Config::new(json.get("config"))?;
    let name = name_of(json).unwrap_or_default();
    let label = format!("{}/{name}", context.place.label);
    if class != "StackedRNNCells" {
        return Ok(vec![Cell::read(&class, &options, (path, &label), context)?]);
    }
    let list = options.get(&["cells"]).and_then(Json::as_array);
    let list = list.ok_or_else(|| Fault::malformed("expected a list of 'cells', found none"))?;
    let mut names = Names::default();
    let mut cells = Vec::with_capacity(list.len());
    for json in list {
        let class = class_of(json).unwrap_or_default();
        let options = Config::new(json.get("config"))?;
        let path = format!("{path}/cells/{}", names.next(&class));
        let label = format!("{label}/{}", name_of(json).unwrap_or_default());
        cells.push(Cell::read(&class, &options, (&path, &label), context)?);
    }
    if cells.is_empty() {
        return Err(Fault::malformed("expected at least one cell, found none"));
    }
    Ok(cells)
}
