//! Images: what is written has their channels last already.

use crate::export::saved_model::call::Call;
use crate::export::saved_model::value::{Refusal, Tensor};
use crate::export::saved_model::writer::Writer;

/// The first input of a node.
pub(super) struct Image {
    pub(super) tensor: Tensor,
    pub(super) rank: usize,
    /// `None` where they are open.
    pub(super) sizes: Vec<Option<usize>>,
}

impl Image {
    pub(super) fn of(writer: &mut Writer, call: &Call<'_>) -> Result<Image, Refusal> {
        let value = call.value(0)?;
        let rank = value.rank()?;
        let tensor = call.tensor(writer, 0)?;
        let sizes = (0..rank).map(|axis| value.size(axis)).collect();
        Ok(Image { tensor, rank, sizes })
    }

    /// How many channels it has.
    pub(super) fn channels(&self, what: &str) -> Result<usize, Refusal> {
        self.sizes.last().copied().flatten().ok_or_else(|| {
            Refusal::new(format!("{what} whose number is not known"), "state the model's shapes")
        })
    }
}
