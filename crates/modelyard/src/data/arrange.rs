//! One example in the shape that a model takes.

use modelyard_tensor::{Dim, Shape};

/// What happens to an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Arrange {
    /// Its numbers stay in their order, under this shape.
    Reshape(Shape),
    /// From channels, height, width to height, width, channels, which is this.
    ChannelsLast(Shape),
    /// From height, width, channels to channels, height, width, which is this.
    ChannelsFirst(Shape),
}

/// Numbers of channels that pictures have.
const CHANNELS: [usize; 3] = [1, 3, 4];

/// How an example fits the dimensions of an input without those of the batch, if there is one way
/// that keeps its meaning: as it is, with channels moved to the other end, with dimensions of one
/// added or taken away, or flat on either side.
pub(super) fn arrange(example: &Shape, dims: &[Dim]) -> Option<Arrange> {
    if accepts(dims, example) {
        return Some(Arrange::Reshape(example.clone()));
    }
    if let [first, second, third] = *example.dims() {
        let last = Shape::from([second, third, first]);
        if CHANNELS.contains(&first) && accepts(dims, &last) {
            return Some(Arrange::ChannelsLast(last));
        }
        let channels_first = Shape::from([third, first, second]);
        if CHANNELS.contains(&third) && accepts(dims, &channels_first) {
            return Some(Arrange::ChannelsFirst(channels_first));
        }
    }
    squeezed(example, dims).or_else(|| flat(example, dims)).map(Arrange::Reshape)
}

fn accepts(dims: &[Dim], shape: &[usize]) -> bool {
    dims.len() == shape.len() && dims.iter().zip(shape).all(|(dim, size)| dim.accepts(*size))
}

/// The shape that differs from the example by dimensions of one only.
fn squeezed(example: &Shape, dims: &[Dim]) -> Option<Shape> {
    let mut sizes = example.iter().copied().filter(|size| *size != 1);
    let shape: Option<Shape> = dims
        .iter()
        .map(|dim| match dim {
            Dim::Fixed(1) => Some(1),
            dim => sizes.next().filter(|size| dim.accepts(*size)),
        })
        .collect();
    shape.filter(|_| sizes.next().is_none())
}

/// One dimension for a shape, or a shape for one dimension.
fn flat(example: &Shape, dims: &[Dim]) -> Option<Shape> {
    let elements = example.elements()?;
    match dims {
        [dim] if dim.accepts(elements) => Some([elements].into()),
        dims if example.len() == 1 => {
            let sizes = dims.iter().map(|dim| match dim {
                Dim::Fixed(size) => Some(*size),
                Dim::Symbol(_) | Dim::Free => None,
            });
            let shape = sizes.collect::<Option<Shape>>()?;
            (shape.elements() == Some(elements)).then_some(shape)
        }
        _ => None,
    }
}

impl Arrange {
    /// The shape afterwards.
    pub(super) fn shape(&self) -> &Shape {
        match self {
            Arrange::Reshape(shape) => shape,
            Arrange::ChannelsLast(shape) | Arrange::ChannelsFirst(shape) => shape,
        }
    }

    /// Appends an example in the new order.
    pub(super) fn append(&self, example: &[f32], out: &mut Vec<f32>) {
        // Both moves are the transposition of a matrix of this many rows.
        let rows = match (self, self.shape().dims()) {
            (Arrange::ChannelsLast(_), [.., channels]) => *channels,
            (Arrange::ChannelsFirst(_), [_, height, width]) => height * width,
            _ => return out.extend_from_slice(example),
        };
        let columns = example.len() / rows.max(1);
        for column in 0..columns {
            out.extend(example.iter().skip(column).step_by(columns));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(example: &[usize], dims: &[i64]) -> Option<Arrange> {
        let dim = |&size: &i64| usize::try_from(size).map_or(Dim::Free, Dim::Fixed);
        arrange(&Shape::new(example), &dims.iter().map(dim).collect::<Vec<_>>())
    }

    fn check(example: &[usize], dims: &[i64], shape: &[usize]) {
        assert_eq!(found(example, dims), Some(Arrange::Reshape(Shape::new(shape))), "{dims:?}");
    }

    #[test]
    fn shapes_that_differ_by_ones_or_are_flat() {
        check(&[784], &[784], &[784]);
        check(&[1, 28, 28], &[784], &[784]);
        check(&[784], &[1, 28, 28], &[1, 28, 28]);
        check(&[28, 28], &[1, 28, 28], &[1, 28, 28]);
        check(&[1, 28, 28], &[28, 28], &[28, 28]);
        check(&[3, 8, 8], &[3, -1, -1], &[3, 8, 8]);
        check(&[4], &[-1], &[4]);
        check(&[1], &[], &[]);
        check(&[5, 7], &[-1], &[35]);
    }

    #[test]
    fn channels_move_to_the_other_end() {
        let last = found(&[3, 1, 2], &[1, 2, 3]).unwrap();
        assert_eq!(last, Arrange::ChannelsLast([1, 2, 3].into()));
        let mut out = Vec::new();
        last.append(&[0., 1., 2., 3., 4., 5.], &mut out);
        assert_eq!(out, [0., 2., 4., 1., 3., 5.]);
        let first = found(&[1, 2, 3], &[3, 1, 2]).unwrap();
        let mut back = Vec::new();
        first.append(&out, &mut back);
        assert_eq!(back, [0., 1., 2., 3., 4., 5.]);
        assert_eq!(found(&[1, 8, 8], &[-1, -1, 1]), Some(Arrange::ChannelsLast([8, 8, 1].into())));
    }

    #[test]
    fn what_would_mix_numbers_up_is_refused() {
        assert_eq!(found(&[2, 6], &[3, 4]), None);
        assert_eq!(found(&[8, 9, 5], &[5, 8, 9]), None);
        assert_eq!(found(&[783], &[1, 28, 28]), None);
        assert_eq!(found(&[784], &[1, -1, -1]), None);
    }
}
