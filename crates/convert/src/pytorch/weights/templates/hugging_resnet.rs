//! Hugging Face's ResNet: torchvision's by other names.

use super::builder::{Builder, Conv, Value};
use super::config::Config;
use super::heads;

const EPSILON: f64 = 1e-5;

/// What blocks have in common.
struct Blocks {
    bottleneck: bool,
    /// Whether the stride is at the first of three convolutions.
    early: bool,
}

pub(super) fn build(to: &mut Builder<'_>, config: &Config) -> Result<(), String> {
    let widths = config.sizes("hidden_sizes", &[256, 512, 1024, 2048])?;
    let depths = config.sizes("depths", &[3, 4, 6, 3])?;
    let activation = config.text("hidden_act", "relu");
    if activation != "relu" || config.size("num_channels", Some(3))? != 3 {
        return Err(format!(
            "activation '{activation}', or images of other than 3 channels, are not built in"
        ));
    }
    let blocks = Blocks {
        bottleneck: config.text("layer_type", "bottleneck") == "bottleneck",
        early: config.flag("downsample_in_bottleneck", false),
    };
    let named = to.has_prefix("resnet.") || !config.class().ends_with("Model");
    let base = if named { "resnet." } else { "" };
    let x = to.images("pixel_values", 224);
    let first = Conv::same(config.size("embedding_size", Some(64))?, 7).stride(2);
    let x = layer(to, &x, &format!("{base}embedder.embedder"), first);
    let x = to.each("aten.relu.default", &x, "embedder");
    let mut x = to.max_pool(&x, "embedder.pooler", (3, 2, 1));
    for (stage, (&width, &depth)) in widths.iter().zip(&depths).enumerate() {
        for block in 0..depth {
            let down = block == 0 && (stage > 0 || config.flag("downsample_in_first_stage", false));
            let name = format!("{base}encoder.stages.{stage}.layers.{block}");
            x = residual(to, &x, &name, (&blocks, width, if down { 2 } else { 1 }));
        }
    }
    finish(to, config, &x)
}

/// A convolution and its normalization.
fn layer(to: &mut Builder<'_>, x: &Value, name: &str, conv: Conv) -> Value {
    let x = to.conv(x, &format!("{name}.convolution"), conv);
    to.batch_norm(&x, &format!("{name}.normalization"), EPSILON)
}

fn residual(
    to: &mut Builder<'_>,
    x: &Value,
    name: &str,
    (blocks, width, stride): (&Blocks, usize, usize),
) -> Value {
    let short = if stride > 1 || x.size(1) != width {
        layer(to, x, &format!("{name}.shortcut"), Conv::same(width, 1).stride(stride))
    } else {
        x.clone()
    };
    let convs = if blocks.bottleneck {
        let (early, late) = if blocks.early { (stride, 1) } else { (1, stride) };
        let narrow = width / 4;
        vec![
            Conv::same(narrow, 1).stride(early),
            Conv::same(narrow, 3).stride(late),
            Conv::same(width, 1),
        ]
    } else {
        vec![Conv::same(width, 3).stride(stride), Conv::same(width, 3)]
    };
    let last = convs.len();
    let mut y = x.clone();
    for (at, conv) in convs.into_iter().enumerate() {
        y = layer(to, &y, &format!("{name}.layer.{at}"), conv);
        if at + 1 < last {
            y = to.each("aten.relu.default", &y, &format!("{name}.layer.{at}.activation"));
        }
    }
    let sum = to.both("aten.add.Tensor", &y, &short, &format!("{name}.added"));
    to.each("aten.relu.default", &sum, &format!("{name}.activation"))
}

fn finish(to: &mut Builder<'_>, config: &Config, x: &Value) -> Result<(), String> {
    match heads::head(config.class()) {
        "ResNetModel" | "" => {
            to.output("last_hidden_state", x);
            let pooled = to.adaptive_average_pool(x, "pooler", 1);
            to.output("pooler_output", &pooled);
        }
        "ForImageClassification" => {
            let x = to.pooled(x, "pooler");
            let logits = heads::classifier(to, &x, "classifier.1");
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
