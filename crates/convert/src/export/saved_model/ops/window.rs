//! Windows that slide over images: their size, steps and whether they reach over its borders. What
//! else is around an image was written as a Pad before.

use crate::export::saved_model::call::Call;
use crate::export::saved_model::value::Refusal;

/// A window. One item a dimension of space.
#[derive(Clone, Debug)]
pub(super) struct Window {
    pub(super) kernel: Vec<usize>,
    pub(super) strides: Vec<i64>,
    pub(super) dilations: Vec<usize>,
    /// `SAME` or `VALID`, as TensorFlow has them.
    pub(super) padding: &'static str,
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
        let padding = match call.text("auto_pad", "VALID") {
            "SAME_UPPER" => "SAME",
            _ => "VALID",
        };
        Ok(Window { kernel: kernel.to_vec(), strides: list("strides")?, dilations, padding })
    }

    pub(super) fn is_dilated(&self) -> bool {
        self.dilations.iter().any(|&step| step != 1)
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
