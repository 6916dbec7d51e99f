//! Hugging Face's BERT (arXiv:1810.04805) and RoBERTa (arXiv:1907.11692): encoders that differ in
//! how positions are counted and what stands behind them. MiniLM is a small BERT.

use super::builder::{Builder, Value};
use super::config::Config;
use super::heads;
use crate::pytorch::graph::{Argument, Range, Size};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Bert,
    Roberta,
}

/// Sizes of an encoder.
pub(super) struct Encoder<'c> {
    pub(super) layers: usize,
    pub(super) heads: usize,
    pub(super) width: usize,
    pub(super) hidden: usize,
    pub(super) epsilon: f64,
    pub(super) activation: &'c str,
}

pub(super) fn build(to: &mut Builder<'_>, config: &Config, family: Family) -> Result<(), String> {
    refuse_variants(config)?;
    let encoder = Encoder {
        layers: config.size("num_hidden_layers", None)?,
        heads: config.size("num_attention_heads", None)?,
        width: config.size("hidden_size", None)?,
        hidden: config.size("intermediate_size", None)?,
        epsilon: config.number("layer_norm_eps", 1e-12),
        activation: config.activation("hidden_act", "gelu")?,
    };
    if !encoder.width.is_multiple_of(encoder.heads) {
        return Err(format!("{} heads do not divide {} channels", encoder.heads, encoder.width));
    }
    let base = if family == Family::Bert { "bert." } else { "roberta." };
    // Encoders without a head have no name of their own.
    let base = if to.has_prefix(base) || !config.class().ends_with("Model") { base } else { "" };
    let input_ids = to.tokens("input_ids");
    let attention_mask = to.tokens("attention_mask");
    let token_type_ids = to.tokens("token_type_ids");
    let embeddings = format!("{base}embeddings");
    let vocabulary = config.size("vocab_size", None)?;
    let types = config.size("type_vocab_size", Some(2))?;
    let positions = config.size("max_position_embeddings", Some(512))?;
    to.range("input_ids", vocabulary);
    to.range("attention_mask", 2);
    to.range("token_type_ids", types);
    let words = to.embedding(
        &input_ids,
        &format!("{embeddings}.word_embeddings"),
        (vocabulary, encoder.width),
    );
    let kinds = to.embedding(
        &token_type_ids,
        &format!("{embeddings}.token_type_embeddings"),
        (types, encoder.width),
    );
    let x = to.both("aten.add.Tensor", &words, &kinds, &format!("{embeddings}.typed"));
    let name = format!("{embeddings}.position_embeddings");
    let places = match family {
        Family::Bert => {
            to.longest("sequence", positions);
            let table = to.weight(&format!("{name}.weight"), &[positions, encoder.width]);
            to.first_rows(&table, &input_ids, &name)
        }
        Family::Roberta => {
            let padding = config.integer("pad_token_id", 1);
            to.longest("sequence", positions.saturating_sub(padding.max(0) as usize + 1));
            let counted = count_positions(to, &input_ids, padding);
            to.embedding(&counted, &name, (positions, encoder.width))
        }
    };
    let x = to.both("aten.add.Tensor", &x, &places, &format!("{embeddings}.placed"));
    let mut x = to.layer_norm(&x, &format!("{embeddings}.LayerNorm"), encoder.epsilon);
    let mask = to.additive_mask(&attention_mask);
    for layer in 0..encoder.layers {
        x = block(to, &x, &mask, (&format!("{base}encoder.layer.{layer}"), &encoder));
    }
    heads::finish(to, config, (&x, &attention_mask), (family, base))
}

fn refuse_variants(config: &Config) -> Result<(), String> {
    let position = config.text("position_embedding_type", "absolute");
    if position != "absolute" {
        return Err(format!("position embeddings of type '{position}' are not built in"));
    }
    if config.flag("is_decoder", false) || config.flag("add_cross_attention", false) {
        return Err("a decoder is not built in; only encoders are".into());
    }
    Ok(())
}

/// Positions of the tokens that are no padding, counted from behind the padding's.
fn count_positions(to: &mut Builder<'_>, ids: &Value, padding: i64) -> Value {
    let sizes = || ids.sizes.clone();
    let long = Argument::Type(modelyard_graph::ElementType::Int64);
    let real = to.call_bools(
        "aten.ne.Scalar",
        &[ids.arg(), Argument::Int(padding)],
        ("positions.real", sizes()),
    );
    let real = to.call_ints("aten.to.dtype", &[real.arg(), long], ("positions.ones", sizes()));
    let count = to.call_ints(
        "aten.cumsum.default",
        &[real.arg(), Argument::Int(1)],
        ("positions.count", sizes()),
    );
    let kept =
        to.call_ints("aten.mul.Tensor", &[count.arg(), real.arg()], ("positions.kept", sizes()));
    to.call_ints("aten.add.Tensor", &[kept.arg(), Argument::Int(padding)], ("positions", sizes()))
}

fn block(
    to: &mut Builder<'_>,
    x: &Value,
    mask: &Value,
    (name, encoder): (&str, &Encoder<'_>),
) -> Value {
    let attention = format!("{name}.attention.self");
    let [query, key, value] = ["query", "key", "value"]
        .map(|part| to.linear(x, &format!("{attention}.{part}"), encoder.width));
    let y = to.attend([&query, &key, &value], encoder.heads, Some(mask), &attention);
    let y = to.linear(&y, &format!("{name}.attention.output.dense"), encoder.width);
    let sum = to.both("aten.add.Tensor", &y, x, &format!("{name}.attention.added"));
    let x = to.layer_norm(&sum, &format!("{name}.attention.output.LayerNorm"), encoder.epsilon);
    let y = to.linear(&x, &format!("{name}.intermediate.dense"), encoder.hidden);
    let y = to.feed_forward_activation(&y, encoder.activation, &format!("{name}.intermediate"));
    let y = to.linear(&y, &format!("{name}.output.dense"), encoder.width);
    let sum = to.both("aten.add.Tensor", &y, &x, &format!("{name}.added"));
    to.layer_norm(&sum, &format!("{name}.output.LayerNorm"), encoder.epsilon)
}

impl Builder<'_> {
    /// The largest number that a free size may be.
    pub(super) fn longest(&mut self, symbol: &str, most: usize) {
        let range = Range { min: 1, max: i64::try_from(most).ok() };
        self.symbol(&Size::symbol(symbol), range);
    }
}
