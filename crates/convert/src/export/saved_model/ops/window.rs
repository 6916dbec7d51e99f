//! Windows that slide over images: their size, steps and what is around the image.

use crate::export::saved_model::call::Call;
use crate::export::saved_model::value::{Refusal, Tensor};
use crate::export::saved_model::writer::Writer;

/// A window. One item a dimension of space.
#[derive(Clone, Debug)]
pub(super) struct Window {
    pub(super) kernel: Vec<usize>,
    pub(super) strides: Vec<i64>,
    pub(super) dilations: Vec<usize>,
    padding: Padding,
}

#[derive(Clone, Debug)]
enum Padding {
    /// As far over the borders as needed for as many outputs as inputs over the stride.
    Same,
    Valid,
    /// This far.
    Explicit(Vec<(i64, i64)>),
}

impl Window {
    pub(super) fn of(call: &Call<'_>, kernel: &[usize]) -> Result<Window, Refusal> {
        let count = kernel.len();
        if !(2..=3).contains(&count) || kernel.contains(&0) {
            return Err(Refusal::new(format!("a window of size {kernel:?}"), "use images"));
        }
        let list = |name: &str| -> Result<Vec<i64>, Refusal> {
            let found = call.node.ints(name).map_or_else(|| vec![1; count], <[i64]>::to_vec);
            if found.len() != count || found.iter().any(|&item| item < 1) {
                return Err(Refusal::new(format!("{name} {found:?}"), "the model may be damaged"));
            }
            Ok(found)
        };
        let dilations = list("dilations")?.iter().map(|&item| item as usize).collect();
        let padding = padding(call, count)?;
        Ok(Window { kernel: kernel.to_vec(), strides: list("strides")?, dilations, padding })
    }

    pub(super) fn is_dilated(&self) -> bool {
        self.dilations.iter().any(|&step| step != 1)
    }

    /// The image with what is explicitly around it, filled with `filler`.
    pub(super) fn padded(
        &self,
        writer: &mut Writer,
        image: &Tensor,
        filler: f64,
    ) -> Result<Tensor, Refusal> {
        let Padding::Explicit(pads) = &self.padding else { return Ok(image.clone()) };
        let pads: Vec<(i64, i64)> =
            [(0, 0)].into_iter().chain(pads.iter().copied()).chain([(0, 0)]).collect();
        writer.pad(image, &pads, filler)
    }

    /// What TensorFlow calls the rest of the padding.
    pub(super) fn padding(&self) -> &'static str {
        match self.padding {
            Padding::Same => "SAME",
            Padding::Valid | Padding::Explicit(_) => "VALID",
        }
    }

    /// Steps as TensorFlow lists them: of the batch and of channels too.
    pub(super) fn all_strides(&self) -> Vec<i64> {
        around(&self.strides)
    }

    pub(super) fn all_dilations(&self) -> Vec<i64> {
        let dilations: Vec<i64> = self.dilations.iter().map(|&step| step as i64).collect();
        around(&dilations)
    }

    pub(super) fn all_sizes(&self) -> Vec<i64> {
        let kernel: Vec<i64> = self.kernel.iter().map(|&size| size as i64).collect();
        around(&kernel)
    }
}

fn around(list: &[i64]) -> Vec<i64> {
    [1].into_iter().chain(list.iter().copied()).chain([1]).collect()
}

fn padding(call: &Call<'_>, count: usize) -> Result<Padding, Refusal> {
    match call.text("auto_pad", "NOTSET") {
        "SAME_UPPER" => return Ok(Padding::Same),
        "VALID" => return Ok(Padding::Valid),
        "NOTSET" => {}
        other => {
            return Err(Refusal::new(format!("auto_pad '{other}'"), "state the pads as numbers"));
        }
    }
    let Some(pads) = call.node.ints("pads") else { return Ok(Padding::Valid) };
    if pads.len() != 2 * count || pads.iter().any(|&pad| pad < 0) {
        return Err(Refusal::new(format!("pads {pads:?}"), "the model may be damaged"));
    }
    let (begins, ends) = pads.split_at(count);
    Ok(Padding::Explicit(begins.iter().copied().zip(ends.iter().copied()).collect()))
}
