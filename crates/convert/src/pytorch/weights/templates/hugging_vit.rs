//! Hugging Face's vision transformer (arXiv:2010.11929).

use super::builder::{Builder, Value};
use super::config::Config;
use super::heads;

/// Names of the parts of a block. Files keep the first ones; state dicts of transformers 5 have the
/// second.
struct Names {
    layer: &'static str,
    attention: [&'static str; 4],
    feed_forward: [&'static str; 2],
}

const FILES: Names = Names {
    layer: "encoder.layer",
    attention: [
        "attention.attention.query",
        "attention.attention.key",
        "attention.attention.value",
        "attention.output.dense",
    ],
    feed_forward: ["intermediate.dense", "output.dense"],
};

const STATE_DICTS: Names = Names {
    layer: "layers",
    attention: ["attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.o_proj"],
    feed_forward: ["mlp.fc1", "mlp.fc2"],
};

pub(super) fn build(to: &mut Builder<'_>, config: &Config) -> Result<(), String> {
    let width = config.size("hidden_size", Some(768))?;
    let heads = config.size("num_attention_heads", Some(12))?;
    let (image, patch) =
        (config.size("image_size", Some(224))?, config.size("patch_size", Some(16))?);
    let epsilon = config.number("layer_norm_eps", 1e-12);
    if !width.is_multiple_of(heads) || image < patch {
        return Err(format!(
            "{heads} heads of {width} channels, patches of {patch} in {image} do not fit"
        ));
    }
    if config.size("num_channels", Some(3))? != 3 || !config.flag("qkv_bias", true) {
        return Err(
            "images of other than 3 channels, or attention without biases, are not built in".into(),
        );
    }
    let named = to.has_prefix("vit.") || !config.class().ends_with("Model");
    let base = if named { "vit." } else { "" };
    let x = to.images("pixel_values", image);
    let embeddings = format!("{base}embeddings");
    let x = to.patches(&x, &format!("{embeddings}.patch_embeddings.projection"), (patch, width));
    let x = to.with_class_token(&x, &format!("{embeddings}.cls_token"));
    let table = to.weight(&format!("{embeddings}.position_embeddings"), &[1, x.size(1), width]);
    let mut x = to.both("aten.add.Tensor", &x, &table, &format!("{embeddings}.placed"));
    let is_new = to.has(&format!("{base}layers.0.attention.q_proj.weight"));
    let names = if is_new { &STATE_DICTS } else { &FILES };
    let hidden = config.size("intermediate_size", Some(3072))?;
    let activation = config.activation("hidden_act", "gelu")?;
    for layer in 0..config.size("num_hidden_layers", Some(12))? {
        let name = format!("{base}{}.{layer}", names.layer);
        x = block(to, &x, (&name, names), (heads, hidden, activation, epsilon));
    }
    let x = to.layer_norm(&x, &format!("{base}layernorm"), epsilon);
    finish(to, config, &x, base)
}

fn block(
    to: &mut Builder<'_>,
    x: &Value,
    (name, names): (&str, &Names),
    (heads, hidden, activation, epsilon): (usize, usize, &str, f64),
) -> Value {
    let width = x.size(2);
    let [query, key, value, output] = names.attention.map(|part| format!("{name}.{part}"));
    let y = to.layer_norm(x, &format!("{name}.layernorm_before"), epsilon);
    let [query, key, value] = [query, key, value].map(|part| to.linear(&y, &part, width));
    let y = to.attend([&query, &key, &value], heads, None, &format!("{name}.attention"));
    let y = to.linear(&y, &output, width);
    let x = to.both("aten.add.Tensor", &y, x, &format!("{name}.attended"));
    let y = to.layer_norm(&x, &format!("{name}.layernorm_after"), epsilon);
    let [first, second] = names.feed_forward;
    let y = to.linear(&y, &format!("{name}.{first}"), hidden);
    let y = to.feed_forward_activation(&y, activation, &format!("{name}.activation"));
    let y = to.linear(&y, &format!("{name}.{second}"), width);
    to.both("aten.add.Tensor", &y, &x, &format!("{name}.added"))
}

fn finish(to: &mut Builder<'_>, config: &Config, x: &Value, base: &str) -> Result<(), String> {
    match heads::head(config.class()) {
        "ViTModel" | "" => {
            to.output("last_hidden_state", x);
            if to.has(&format!("{base}pooler.dense.weight")) {
                let first = to.select(x, 1, 0, "first");
                let width = config.size("pooler_output_size", Some(first.size(1)))?;
                let y = to.linear(&first, &format!("{base}pooler.dense"), width);
                let activation = config.activation("pooler_act", "tanh")?;
                let pooled = to.feed_forward_activation(&y, activation, "pooler");
                to.output("pooler_output", &pooled);
            }
        }
        "ForImageClassification" => {
            let first = to.select(x, 1, 0, "first");
            let logits = heads::classifier(to, &first, "classifier");
            to.output("logits", &logits);
        }
        other => {
            return Err(format!(
                "head '{other}' is not built in; those that are: Model, ForImageClassification. \
                 Export the model with torch.export.save instead"
            ));
        }
    }
    Ok(())
}
