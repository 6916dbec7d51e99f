//! Moving the elements of constants.

use bytes::BytesMut;

use super::perm::Perm;
use crate::{Constant, ConstantData, ElementType};

/// The number that a constant begins with, of the types that arithmetic is done in.
pub(super) fn first_number(constant: &Constant) -> Option<f64> {
    let bytes = constant.bytes()?;
    Some(match constant.element_type {
        ElementType::Float32 => f32::from_le_bytes(*bytes.first_chunk()?).into(),
        ElementType::Float64 => f64::from_le_bytes(*bytes.first_chunk()?),
        ElementType::Int32 => i32::from_le_bytes(*bytes.first_chunk()?).into(),
        ElementType::Int64 => i64::from_le_bytes(*bytes.first_chunk()?) as f64,
        _ => return None,
    })
}

/// The same elements in another shape of as many elements.
pub(super) fn reshaped(constant: &Constant, dims: &[usize]) -> Constant {
    Constant { dims: dims.to_vec(), ..constant.clone() }
}

/// The constant with its axes in another order. `None` where its elements are not at hand.
pub(super) fn transposed(constant: &Constant, perm: &Perm) -> Option<Constant> {
    if perm.rank() != constant.dims.len() {
        return None;
    }
    let dims = perm.apply(&constant.dims);
    // Where only axes of one element move, nothing else does.
    let moving = |order: &[usize]| -> Vec<usize> {
        order.iter().copied().filter(|&axis| constant.dims[axis] != 1).collect()
    };
    if moving(perm.axes()).is_sorted() {
        return Some(reshaped(constant, &dims));
    }
    let strides = perm.apply(&strides(&constant.dims));
    let axes: Vec<Axis> =
        dims.iter().zip(strides).map(|(&length, stride)| Axis::Even { length, stride }).collect();
    picked(constant, &dims, &axes)
}

/// Puts the positions along `axis` in another order: position `at` gets what is at `order[at]`, which
/// names each once. The elements stay in the memory where they are, unless others share it. Says
/// whether it could; nothing has changed where not.
pub(super) fn rearrange(constant: &mut Constant, axis: usize, order: &[usize]) -> bool {
    let (bits, dims) = (constant.element_type.bits(), &constant.dims);
    let inner = dims.get(axis + 1..).unwrap_or_default().iter().product::<usize>();
    if bits < 8 || dims.get(axis) != Some(&order.len()) {
        return false;
    }
    let Some(bytes) = constant.bytes() else { return false };
    // What it had is let go of, so that the bytes have one owner where they had one before.
    constant.data = ConstantData::Raw(bytes::Bytes::new());
    let mut bytes = bytes.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
    let block = inner * (bits / 8);
    if block > 0 && !order.is_empty() {
        bytes.chunks_exact_mut(order.len() * block).for_each(|whole| permute(whole, block, order));
    }
    constant.data = ConstantData::Raw(bytes.freeze());
    true
}

/// Puts blocks of bytes in another order, in place: along each cycle of it, with one block aside.
fn permute(bytes: &mut [u8], block: usize, order: &[usize]) {
    let mut done = vec![false; order.len()];
    let mut aside = vec![0; block];
    for start in 0..order.len() {
        if done[start] {
            continue;
        }
        aside.copy_from_slice(&bytes[start * block..][..block]);
        let mut at = start;
        loop {
            done[at] = true;
            let from = order[at];
            if from == start {
                bytes[at * block..][..block].copy_from_slice(&aside);
                break;
            }
            bytes.copy_within(from * block..(from + 1) * block, at * block);
            at = from;
        }
    }
}

/// One axis of a result: where its elements are along the original.
pub(super) enum Axis {
    /// At equal distances, from the first on.
    Even {
        /// How many.
        length: usize,
        /// The distance, in elements of the whole.
        stride: usize,
    },
    /// Each at this distance from the first, in elements of the whole.
    At(Vec<usize>),
}

impl Axis {
    fn len(&self) -> usize {
        match self {
            Axis::Even { length, .. } => *length,
            Axis::At(offsets) => offsets.len(),
        }
    }

    fn offset(&self, index: usize) -> usize {
        match self {
            Axis::Even { stride, .. } => index * stride,
            Axis::At(offsets) => offsets[index],
        }
    }
}

/// Distances of neighbours along each axis, in elements.
pub(super) fn strides(dims: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; dims.len()];
    for axis in (1..dims.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(dims[axis]);
    }
    strides
}

/// A constant of shape `dims` whose elements are those of `constant` that `axes` points at. `None`
/// where its elements are not at hand, or something points beyond them.
pub(super) fn picked(constant: &Constant, dims: &[usize], axes: &[Axis]) -> Option<Constant> {
    let bytes = constant.bytes()?;
    let count = axes.iter().try_fold(1usize, |count, axis| count.checked_mul(axis.len()))?;
    let size = match constant.element_type.bits() {
        bits if bits >= 8 => bits / 8,
        _ => return None,
    };
    let data = match size {
        1 => gather::<1>(&bytes, count, axes),
        2 => gather::<2>(&bytes, count, axes),
        4 => gather::<4>(&bytes, count, axes),
        8 => gather::<8>(&bytes, count, axes),
        16 => gather::<16>(&bytes, count, axes),
        _ => None,
    }?;
    Some(Constant {
        name: constant.name.clone(),
        element_type: constant.element_type,
        dims: dims.to_vec(),
        data: ConstantData::Raw(data.into()),
    })
}

fn gather<const N: usize>(bytes: &[u8], count: usize, axes: &[Axis]) -> Option<Vec<u8>> {
    let items: &[[u8; N]] = bytes.as_chunks().0;
    if count == 0 {
        return Some(Vec::new());
    }
    let mut result: Vec<u8> = Vec::with_capacity(count.checked_mul(N)?);
    let (last, outer) = match axes.split_last() {
        Some((last, outer)) => (last, outer),
        None => return items.first().map(|item| item.to_vec()),
    };
    let mut index = vec![0usize; outer.len()];
    let mut offset: usize =
        outer.iter().map(|axis| axis.offset(0)).try_fold(0usize, usize::checked_add)?;
    loop {
        match last {
            Axis::Even { length, stride: 1 } => {
                let run = items.get(offset..offset.checked_add(*length)?)?;
                result.extend_from_slice(run.as_flattened());
            }
            Axis::Even { length, stride } => {
                for position in 0..*length {
                    result.extend_from_slice(items.get(offset + position * stride)?);
                }
            }
            Axis::At(offsets) => {
                for &distance in offsets {
                    result.extend_from_slice(items.get(offset.checked_add(distance)?)?);
                }
            }
        }
        // To the next row: like an odometer, the last axis first.
        let mut axis = outer.len();
        loop {
            if axis == 0 {
                return Some(result);
            }
            axis -= 1;
            offset -= outer[axis].offset(index[axis]);
            index[axis] += 1;
            if index[axis] < outer[axis].len() {
                offset = offset.checked_add(outer[axis].offset(index[axis]))?;
                break;
            }
            index[axis] = 0;
            offset = offset.checked_add(outer[axis].offset(0))?;
        }
    }
}

/// Constants of one type one after the other along an axis. `None` where elements are not at hand
/// or the shapes do not go together.
pub(super) fn joined(constants: &[&Constant], axis: usize) -> Option<Constant> {
    let first = constants.first()?;
    let size = match first.element_type.bits() {
        bits if bits >= 8 => bits / 8,
        _ => return None,
    };
    let mut dims = first.dims.clone();
    *dims.get_mut(axis)? = 0;
    let mut parts = Vec::new();
    let outer: usize = first.dims[..axis].iter().product();
    for constant in constants {
        let mut others = constant.dims.clone();
        let length = std::mem::replace(others.get_mut(axis)?, 0);
        let mut expected = dims.clone();
        expected[axis] = 0;
        if others != expected || constant.element_type != first.element_type {
            return None;
        }
        dims[axis] = dims[axis].checked_add(length)?;
        let block = constant.dims[axis..].iter().product::<usize>().checked_mul(size)?;
        let bytes = constant.bytes()?;
        (bytes.len() == outer.checked_mul(block)?).then_some(())?;
        parts.push((bytes, block));
    }
    let mut data = Vec::with_capacity(parts.iter().map(|(bytes, _)| bytes.len()).sum());
    for row in 0..outer {
        for (bytes, block) in &parts {
            data.extend_from_slice(&bytes[row * block..(row + 1) * block]);
        }
    }
    Some(Constant::raw(&first.name, first.element_type, &dims, data))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(dims: &[usize]) -> Constant {
        let count: usize = dims.iter().product();
        Constant::floats("c", dims, &(0..count).map(|value| value as f32).collect::<Vec<_>>())
    }

    #[test]
    fn elements_move_with_their_axes() {
        let perm = Perm::new(vec![2, 0, 1]).unwrap();
        let moved = transposed(&floats(&[2, 1, 3]), &perm).unwrap();
        assert_eq!(moved, Constant::floats("c", &[3, 2, 1], &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0]));
    }

    /// A weight of most of a model is not to be held twice.
    #[test]
    fn positions_along_an_axis_move_in_place() {
        // Rows of an image of 2 by 3 in which height and width change places.
        let order = [0, 3, 1, 4, 2, 5];
        for (dims, axis) in [([6, 2], 0), ([2, 6], 1)] {
            let mut constant = floats(&dims);
            let split = if axis == 0 { vec![2, 3, 2] } else { vec![2, 2, 3] };
            let perm = if axis == 0 { vec![1, 0, 2] } else { vec![0, 2, 1] };
            let moved =
                transposed(&reshaped(&constant, &split), &Perm::new(perm).unwrap()).unwrap();
            let place = |constant: &Constant| constant.bytes().unwrap().as_ptr();
            constant.data = ConstantData::Raw(constant.bytes().unwrap());
            let before = place(&constant);
            assert!(rearrange(&mut constant, axis, &order));
            assert_eq!(constant.bytes(), reshaped(&moved, &dims).bytes());
            assert_eq!(place(&constant), before);
            // Elements that others hold too stay as they are for them.
            let (shared, was) = (constant.clone(), constant.bytes().unwrap().to_vec());
            assert!(rearrange(&mut constant, axis, &order));
            assert_eq!(shared.bytes().unwrap(), was);
            assert!(constant.bytes().unwrap() != was);
        }
        assert!(!rearrange(&mut floats(&[3]), 0, &order));
    }

    #[test]
    fn axes_of_one_element_move_for_free() {
        let perm = Perm::new(vec![0, 3, 1, 2]).unwrap();
        let constant = floats(&[1, 1, 1, 5]);
        assert_eq!(transposed(&constant, &perm).unwrap(), reshaped(&constant, &[1, 5, 1, 1]));
    }

    #[test]
    fn what_points_beyond_is_refused() {
        let axes = [Axis::At(vec![0, 7])];
        assert_eq!(picked(&floats(&[3]), &[2], &axes), None);
    }

    #[test]
    fn parts_are_joined_along_an_axis() {
        let (one, two) = (floats(&[2, 1]), floats(&[2, 2]));
        let joined = joined(&[&one, &two], 1).unwrap();
        assert_eq!(joined, Constant::floats("c", &[2, 3], &[0.0, 0.0, 1.0, 1.0, 2.0, 3.0]));
    }
}
