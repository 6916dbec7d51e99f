//! The one form that all targets start from.

use modelyard_graph::{CHANNELS_LAST, Model, inline, opset, rewrite, take_branches};

use super::graph::Facts;
use super::{ExportOptions, layout, lower};
use crate::{ConvertError, Missing};

/// Version of the operators that models are brought to: the last in which nothing that matters to
/// the targets is still missing, such as `Gelu`.
const OPSET: i64 = 21;

/// A model in the form that targets are written from.
///
/// Its operators are those of ONNX 21, except that images around convolutions, pools and the like
/// have their channels last: these operators are of the domain [`CHANNELS_LAST`], with the names and
/// attributes of ONNX's own. Of those:
///
/// * `Conv`, `MaxPool` and `AveragePool` have `auto_pad` either `SAME_UPPER`, which is the `SAME` of
///   other frameworks, or `VALID`; never `pads` or `ceil_mode`. `AveragePool` counts no padding.
/// * `ConvTranspose` too; what `VALID` gives too much of is cut off by a `Slice` behind it. Its group
///   is 1, its dilation too.
/// * weights of `Conv` are `[out, in / group, space...]`, of `ConvTranspose` `[in, out, space...]`:
///   as in ONNX.
/// * `Resize` has `scales` and `sizes` in ONNX's order of axes.
/// * `DepthToSpace` is of mode `DCR`.
/// * All images have two dimensions of space, or three.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The model; verified.
    pub(crate) model: Model,
    /// What is known of its values.
    pub(crate) facts: Facts,
    /// What was asked for.
    pub(crate) options: ExportOptions,
    /// What no target has: operators of the domain [`super::graph::REFUSED`].
    pub(crate) missing: Vec<Missing>,
}

/// Brings a model to the form that is written. What has no counterpart in any target is noted there:
/// the target names it with all that it lacks itself.
pub(crate) fn prepare(model: &Model, options: &ExportOptions) -> Result<Prepared, ConvertError> {
    let mut model = inline(model.clone())?;
    if model.opset("") != Some(OPSET) {
        // What nobody needs may not exist in another version.
        model = clean(model, false);
        model = opset::convert(model, OPSET)?;
    }
    model = clean(model, true);
    let mut missing = Vec::new();
    model = lower::lower(model, &mut missing);
    model = layout::channels_last(model.with_opset(CHANNELS_LAST, 1), &mut missing);
    let model = clean(model.check()?, true).check()?;
    let facts = Facts::of(&model);
    Ok(Prepared { model, facts, options: options.clone(), missing })
}

/// Cleans until no branch of the graph turns out to be always taken.
fn clean(mut model: Model, fold_batch_norm: bool) -> Model {
    loop {
        model = rewrite::clean(model, &rewrite::Options { fold_batch_norm, fuse: None });
        if !take_branches(&mut model) {
            return model;
        }
    }
}
