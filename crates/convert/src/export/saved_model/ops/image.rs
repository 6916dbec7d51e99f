//! Images with their channels last.

use modelyard_graph::CHANNELS_LAST;

use crate::export::saved_model::call::Call;
use crate::export::saved_model::value::{Refusal, Tensor};
use crate::export::saved_model::writer::Writer;

/// The first input of a node, with its channels last.
pub(super) struct Image {
    pub(super) tensor: Tensor,
    pub(super) rank: usize,
    /// Sizes in the order of the tensor; `None` where they are open.
    pub(super) sizes: Vec<Option<usize>>,
    /// Whether the model has the channels second.
    is_first: bool,
}

impl Image {
    pub(super) fn of(writer: &mut Writer, call: &Call<'_>) -> Result<Image, Refusal> {
        let value = call.value(0)?;
        let rank = value.rank()?;
        let is_first = call.node.domain != CHANNELS_LAST;
        let mut tensor = call.tensor(writer, 0)?;
        let mut order: Vec<usize> = (0..rank).collect();
        if rank < 2 {
            return Err(Refusal::new(format!("an image of {rank} dimensions"), ""));
        }
        if is_first {
            order[1..].rotate_left(1);
            tensor = writer.transpose(&tensor, &order)?;
        }
        let sizes = order.iter().map(|&axis| value.size(axis)).collect();
        Ok(Image { tensor, rank, sizes, is_first })
    }

    /// What was made of it, as the model wants it.
    pub(super) fn back(&self, writer: &mut Writer, found: &Tensor) -> Result<Tensor, Refusal> {
        if !self.is_first {
            return Ok(found.clone());
        }
        let mut order: Vec<usize> = (0..self.rank).collect();
        order[1..].rotate_right(1);
        writer.transpose(found, &order)
    }

    /// How many channels it has.
    pub(super) fn channels(&self, what: &str) -> Result<usize, Refusal> {
        self.sizes.last().copied().flatten().ok_or_else(|| {
            Refusal::new(format!("{what} whose number is not known"), "state the model's shapes")
        })
    }
}
