//! Hugging Face's DistilBERT (arXiv:1910.01108).

use super::builder::{Builder, Value};
use super::config::Config;
use super::heads;

/// Epsilon of all its normalizations.
const EPSILON: f64 = 1e-12;

pub(super) fn build(to: &mut Builder<'_>, config: &Config) -> Result<(), String> {
    let layers = config.size("n_layers", Some(6))?;
    let heads = config.size("n_heads", Some(12))?;
    let width = config.size("dim", Some(768))?;
    let hidden = config.size("hidden_dim", Some(3072))?;
    let activation = config.activation("activation", "gelu")?;
    if !width.is_multiple_of(heads) {
        return Err(format!("{heads} heads do not divide {width} channels"));
    }
    let named = to.has_prefix("distilbert.") || !config.class().ends_with("Model");
    let base = if named { "distilbert." } else { "" };
    let input_ids = to.tokens("input_ids");
    let attention_mask = to.tokens("attention_mask");
    let vocabulary = config.size("vocab_size", None)?;
    let positions = config.size("max_position_embeddings", Some(512))?;
    to.range("input_ids", vocabulary);
    to.range("attention_mask", 2);
    to.longest("sequence", positions);
    let embeddings = format!("{base}embeddings");
    let words =
        to.embedding(&input_ids, &format!("{embeddings}.word_embeddings"), (vocabulary, width));
    let name = format!("{embeddings}.position_embeddings");
    let table = to.weight(&format!("{name}.weight"), &[positions, width]);
    let places = to.first_rows(&table, &input_ids, &name);
    let x = to.both("aten.add.Tensor", &words, &places, &format!("{embeddings}.placed"));
    let mut x = to.layer_norm(&x, &format!("{embeddings}.LayerNorm"), EPSILON);
    let mask = to.additive_mask(&attention_mask);
    for layer in 0..layers {
        let name = format!("{base}transformer.layer.{layer}");
        x = block(to, &x, &mask, (&name, heads, hidden, activation));
    }
    finish(to, config, &x, &attention_mask)
}

fn block(
    to: &mut Builder<'_>,
    x: &Value,
    mask: &Value,
    (name, heads, hidden, activation): (&str, usize, usize, &str),
) -> Value {
    let width = x.size(2);
    let attention = format!("{name}.attention");
    let [query, key, value] =
        ["q_lin", "k_lin", "v_lin"].map(|part| to.linear(x, &format!("{attention}.{part}"), width));
    let y = to.attend([&query, &key, &value], heads, Some(mask), &attention);
    let y = to.linear(&y, &format!("{attention}.out_lin"), width);
    let sum = to.both("aten.add.Tensor", &y, x, &format!("{attention}.added"));
    let x = to.layer_norm(&sum, &format!("{name}.sa_layer_norm"), EPSILON);
    let y = to.linear(&x, &format!("{name}.ffn.lin1"), hidden);
    let y = to.feed_forward_activation(&y, activation, &format!("{name}.ffn.activation"));
    let y = to.linear(&y, &format!("{name}.ffn.lin2"), width);
    let sum = to.both("aten.add.Tensor", &y, &x, &format!("{name}.ffn.added"));
    to.layer_norm(&sum, &format!("{name}.output_layer_norm"), EPSILON)
}

fn finish(to: &mut Builder<'_>, config: &Config, x: &Value, mask: &Value) -> Result<(), String> {
    match heads::head(config.class()) {
        "DistilBertModel" | "" => {
            to.output("last_hidden_state", x);
            heads::sentence_embedding(to, x, mask);
        }
        "ForSequenceClassification" => {
            let first = to.select(x, 1, 0, "first");
            let width = first.size(1);
            let y = to.linear(&first, "pre_classifier", width);
            let y = to.each("aten.relu.default", &y, "pre_classifier.relu");
            let logits = heads::classifier(to, &y, "classifier");
            to.output("logits", &logits);
        }
        "ForTokenClassification" => {
            let logits = heads::classifier(to, x, "classifier");
            to.output("logits", &logits);
        }
        "ForQuestionAnswering" => heads::question_answering(to, x),
        "ForMaskedLM" => {
            let logits = heads::language_model(to, x, config, &heads::DISTILBERT)?;
            to.output("logits", &logits);
        }
        other => return Err(heads::unknown(other, config)),
    }
    Ok(())
}
