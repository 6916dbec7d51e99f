//! DepthToSpace and SpaceToDepth: blocks of channels become blocks of pixels, and back.

use modelyard_tensor::Shape;

use crate::error::OpError;
use crate::math::view::{Axis, View};
use crate::operator::{Inputs, Operator};
use crate::ops::movement::{Moved, Movement, Source, axes};
use crate::site::Site;

#[derive(Debug)]
struct DepthToSpace {
    block: usize,
    /// Whether the channel that remains is outermost among the channels (`CRD`), not innermost.
    channel_first: bool,
}

#[derive(Debug)]
struct SpaceToDepth {
    block: usize,
}

/// An array of shape `seen` with its axes in this order, as one of shape `shape`.
fn reordered(seen: &[usize], order: [usize; 6], shape: Shape) -> Source {
    let axes = axes(seen);
    let axes: Vec<Axis> = order.iter().map(|&axis| axes[axis]).collect();
    View::new(shape, 0, axes).into()
}

fn images(from: &Shape) -> Result<[usize; 4], OpError> {
    from.dims()
        .try_into()
        .map_err(|_| OpError::new(format!("expected images of 4 dimensions, found {from}")))
}

impl Movement for DepthToSpace {
    fn source(&self, from: &Shape, _inputs: Inputs<'_>) -> Result<Source, OpError> {
        let [n, channels, height, width] = images(from)?;
        let block = self.block;
        let Some(c) = block.checked_mul(block).filter(|&area| channels % area == 0) else {
            return Err(OpError::new(format!(
                "{channels} channels are no blocks of {block} x {block}"
            )));
        };
        let c = channels / c;
        let shape = Shape::from([n, c, height.saturating_mul(block), width.saturating_mul(block)]);
        Ok(if self.channel_first {
            reordered(&[n, c, block, block, height, width], [0, 1, 4, 2, 5, 3], shape)
        } else {
            reordered(&[n, block, block, c, height, width], [0, 3, 4, 1, 5, 2], shape)
        })
    }
}

impl Movement for SpaceToDepth {
    fn source(&self, from: &Shape, _inputs: Inputs<'_>) -> Result<Source, OpError> {
        let [n, c, height, width] = images(from)?;
        let block = self.block;
        if height % block != 0 || width % block != 0 {
            return Err(OpError::new(format!(
                "{height} x {width} pixels are no blocks of {block} x {block}"
            )));
        }
        let (rows, columns) = (height / block, width / block);
        let shape = Shape::from([n, c * block * block, rows, columns]);
        Ok(reordered(&[n, c, rows, block, columns, block], [0, 3, 5, 1, 2, 4], shape))
    }
}

fn block(site: &Site<'_>) -> Result<usize, OpError> {
    let stated = site.int("blocksize", 0);
    usize::try_from(stated).ok().filter(|&block| block > 0).ok_or_else(|| {
        OpError::new(format!("attribute blocksize is {stated}, expected at least 1"))
    })
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    site.expect_text("mode", &["DCR", "CRD"])?;
    let channel_first = site.text("mode", "DCR") == "CRD";
    Ok(Box::new(Moved(DepthToSpace { block: block(site)?, channel_first })))
}

pub(super) fn build_space_to_depth(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Moved(SpaceToDepth { block: block(site)? })))
}

#[cfg(test)]
mod tests {
    use crate::array::Array;
    use crate::testing::{Case, numbers};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn gradient(seed in any::<u64>(), mode in prop_oneof![Just("DCR"), Just("CRD")]) {
            let case = Case::new("DepthToSpace").with("blocksize", 2).with("mode", mode);
            case.trained(&[2, 8, 2, 1], numbers(seed, 32)).check();
            let case = Case::new("SpaceToDepth").with("blocksize", 2);
            case.trained(&[2, 2, 2, 4], numbers(seed, 32)).check();
        }
    }

    #[test]
    fn examples_of_the_specification() {
        // Channels of one row of two pixels: 0 1, 2 3, and so on.
        let case = || {
            let x = Array::ints([1, 8, 1, 2], (0..16).collect());
            Case::new("DepthToSpace").with("blocksize", 2).fixed(x)
        };
        let dcr = [0, 4, 1, 5, 8, 12, 9, 13, 2, 6, 3, 7, 10, 14, 11, 15];
        case().gives_ints(&[1, 2, 2, 4], &dcr);
        let crd = [0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15];
        case().with("mode", "CRD").gives_ints(&[1, 2, 2, 4], &crd);
        let back = Case::new("SpaceToDepth").with("blocksize", 2);
        let back = back.fixed(Array::ints([1, 2, 2, 4], dcr.to_vec()));
        back.gives_ints(&[1, 8, 1, 2], &(0..16).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_no_blocks_is_refused() {
        let case =
            |name| Case::new(name).with("blocksize", 2).trained(&[1, 2, 3, 2], numbers(1, 12));
        case("DepthToSpace").is_refused("2 channels are no blocks of 2 x 2");
        case("SpaceToDepth").is_refused("3 x 2 pixels are no blocks of 2 x 2");
        let case = Case::new("SpaceToDepth").with("blocksize", 0).trained(&[1], vec![1.0]);
        case.is_refused("attribute blocksize is 0");
    }
}
