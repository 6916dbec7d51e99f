//! What stands behind an encoder: Hugging Face's heads, and the pooling of sentence-transformers.

use super::bert::Family;
use super::builder::{Builder, Value};
use super::config::Config;
use crate::pytorch::graph::{Argument, Size, ints};

/// Adds the head that the class in the configuration has.
pub(super) fn finish(
    to: &mut Builder<'_>,
    config: &Config,
    (x, mask): (&Value, &Value),
    (family, base): (Family, &str),
) -> Result<(), String> {
    let class = config.class();
    if class.ends_with("Model") || class.is_empty() {
        to.output("last_hidden_state", x);
        if to.has(&format!("{base}pooler.dense.weight")) {
            let pooled = pooler(to, x, base);
            to.output("pooler_output", &pooled);
        }
        sentence_embedding(to, x, mask);
    } else if class.ends_with("ForSequenceClassification") {
        let logits = match family {
            Family::Bert => {
                let pooled = pooler(to, x, base);
                classifier(to, &pooled, "classifier")
            }
            Family::Roberta => {
                let first = to.select(x, 1, 0, "first");
                let width = first.size(1);
                let y = to.linear(&first, "classifier.dense", width);
                let y = to.each("aten.tanh.default", &y, "classifier.tanh");
                classifier(to, &y, "classifier.out_proj")
            }
        };
        to.output("logits", &logits);
    } else {
        return per_token(to, config, x, (family, base));
    }
    Ok(())
}

/// Heads that say something of each token.
fn per_token(
    to: &mut Builder<'_>,
    config: &Config,
    x: &Value,
    (family, base): (Family, &str),
) -> Result<(), String> {
    match head(config.class()) {
        "ForTokenClassification" => {
            let logits = classifier(to, x, "classifier");
            to.output("logits", &logits);
        }
        "ForQuestionAnswering" => question_answering(to, x),
        "ForMaskedLM" | "ForPreTraining" => {
            let logits = match family {
                Family::Bert => language_model(to, x, config, &BERT)?,
                Family::Roberta => language_model(to, x, config, &ROBERTA)?,
            };
            let whole = head(config.class()) == "ForPreTraining";
            to.output(if whole { "prediction_logits" } else { "logits" }, &logits);
            if whole {
                let pooled = pooler(to, x, base);
                let relation = to.linear(&pooled, "cls.seq_relationship", 2);
                to.output("seq_relationship_logits", &relation);
            }
        }
        other => return Err(unknown(other, config)),
    }
    Ok(())
}

/// What a head is not.
pub(super) fn unknown(head: &str, config: &Config) -> String {
    format!(
        "head '{head}' of {} is not built in; those that are: Model, ForSequenceClassification, \
         ForTokenClassification, ForQuestionAnswering, ForMaskedLM. Export the model with \
         torch.export.save instead",
        config.class()
    )
}

/// Such as `ForMaskedLM`.
pub(super) fn head(class: &str) -> &str {
    class.find("For").map_or(class, |at| &class[at..])
}

fn pooler(to: &mut Builder<'_>, x: &Value, base: &str) -> Value {
    let first = to.select(x, 1, 0, "first");
    let width = first.size(1);
    let y = to.linear(&first, &format!("{base}pooler.dense"), width);
    to.each("aten.tanh.default", &y, "pooler")
}

/// A linear layer of as many classes as the weights have.
pub(super) fn classifier(to: &mut Builder<'_>, x: &Value, name: &str) -> Value {
    let classes = to.size_of(&format!("{name}.weight"), 0, 2);
    to.linear(x, name, classes)
}

pub(super) fn question_answering(to: &mut Builder<'_>, x: &Value) {
    let both = to.linear(x, "qa_outputs", 2);
    let start = to.select(&both, 2, 0, "start");
    let end = to.select(&both, 2, 1, "end");
    to.output("start_logits", &start);
    to.output("end_logits", &end);
}

/// Names of a language model's head.
pub(super) struct Names {
    dense: &'static str,
    norm: &'static str,
    decoder: &'static str,
    /// The bias where the decoder has none of its own.
    bias: &'static str,
    /// The table of words, which the decoder shares.
    tied: &'static str,
    /// The configuration's name of the activation.
    activation: &'static str,
}

const BERT: Names = Names {
    dense: "cls.predictions.transform.dense",
    norm: "cls.predictions.transform.LayerNorm",
    decoder: "cls.predictions.decoder",
    bias: "cls.predictions.bias",
    tied: "bert.embeddings.word_embeddings.weight",
    activation: "hidden_act",
};

const ROBERTA: Names = Names {
    dense: "lm_head.dense",
    norm: "lm_head.layer_norm",
    decoder: "lm_head.decoder",
    bias: "lm_head.bias",
    tied: "roberta.embeddings.word_embeddings.weight",
    activation: "",
};

pub(super) const DISTILBERT: Names = Names {
    dense: "vocab_transform",
    norm: "vocab_layer_norm",
    decoder: "vocab_projector",
    bias: "vocab_projector.bias",
    tied: "distilbert.embeddings.word_embeddings.weight",
    activation: "activation",
};

/// A score of each word for each token.
pub(super) fn language_model(
    to: &mut Builder<'_>,
    x: &Value,
    config: &Config,
    names: &Names,
) -> Result<Value, String> {
    let width = x.size(2);
    let y = to.linear(x, names.dense, width);
    let activation = config.activation(names.activation, "gelu")?;
    let y = to.feed_forward_activation(&y, activation, "transform");
    let y = to.layer_norm(&y, names.norm, config.number("layer_norm_eps", 1e-12));
    let words = config.size("vocab_size", None)?;
    let own = format!("{}.weight", names.decoder);
    // Files leave out the matrix that is the table of words.
    let matrix = if to.has(&own) { own } else { names.tied.to_owned() };
    let weight = to.weight(&matrix, &[words, width]);
    let bias = to.weight(names.bias, &[words]);
    Ok(to.linear_of(&y, (&weight, Some(&bias)), names.decoder))
}

/// What sentence-transformers do with the states of all tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pytorch::weights) struct Pooling {
    /// The mean of all tokens that count; else the first one.
    pub(in crate::pytorch::weights) mean: bool,
    /// Whether the result has length 1.
    pub(in crate::pytorch::weights) normalize: bool,
}

pub(super) fn sentence_embedding(to: &mut Builder<'_>, x: &Value, mask: &Value) {
    let Some(pooling) = to.pooling else { return };
    let pooled =
        if pooling.mean { mean_of_tokens(to, x, mask) } else { to.select(x, 1, 0, "first") };
    let result = if pooling.normalize { unit_length(to, &pooled) } else { pooled };
    to.output("sentence_embedding", &result);
}

fn mean_of_tokens(to: &mut Builder<'_>, x: &Value, mask: &Value) -> Value {
    let float = Argument::Type(modelyard_graph::ElementType::Float32);
    let flat = to.call("aten.to.dtype", &[mask.arg(), float], ("pooling.mask", mask.sizes.clone()));
    let mut column = mask.sizes.clone();
    column.push(Size::Known(1));
    let weights = to.call(
        "aten.unsqueeze.default",
        &[flat.arg(), Argument::Int(2)],
        ("pooling.weights", column),
    );
    let weighted = to.both("aten.mul.Tensor", x, &weights, "pooling.weighted");
    let size = |last: &Size| vec![x.sizes[0].clone(), last.clone()];
    let sum = to.call(
        "aten.sum.dim_IntList",
        &[weighted.arg(), ints(&[1])],
        ("pooling.sum", size(&x.sizes[2])),
    );
    let count = to.call(
        "aten.sum.dim_IntList",
        &[weights.arg(), ints(&[1])],
        ("pooling.count", size(&Size::Known(1))),
    );
    let arguments = [count.arg(), Argument::Float(1e-9)];
    let count =
        to.call("aten.clamp.default", &arguments, ("pooling.at_least", count.sizes.clone()));
    to.both("aten.div.Tensor", &sum, &count, "pooling")
}

fn unit_length(to: &mut Builder<'_>, x: &Value) -> Value {
    let square = to.both("aten.mul.Tensor", x, x, "normalize.square");
    let sizes = vec![x.sizes[0].clone(), Size::Known(1)];
    let arguments = [square.arg(), ints(&[1]), Argument::Bool(true)];
    let sum = to.call("aten.sum.dim_IntList", &arguments, ("normalize.sum", sizes.clone()));
    let norm = to.each("aten.sqrt.default", &sum, "normalize.norm");
    let arguments = [norm.arg(), Argument::Float(1e-12)];
    let norm = to.call("aten.clamp.default", &arguments, ("normalize.at_least", sizes));
    to.both("aten.div.Tensor", x, &norm, "normalize")
}
