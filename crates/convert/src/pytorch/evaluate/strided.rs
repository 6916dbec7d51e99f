//! Tensors as PyTorch has them: views of memory that others may look at too.
//!
//! A slice or transpose shares its elements with what it was made from, so a change in place is
//! seen by both. Results of calculations are memory of their own, row-major.

use std::cell::RefCell;
use std::rc::Rc;

use modelyard_graph::ElementType;

use crate::EvaluateError;
use crate::reference::{Array, Data, layout, shape};

/// A view of memory: sizes, strides and an offset, in elements.
#[derive(Clone, Debug)]
pub(in crate::pytorch) struct Strided {
    memory: Rc<RefCell<Rc<Array>>>,
    element_type: ElementType,
    dims: Vec<usize>,
    strides: Vec<isize>,
    offset: usize,
}

impl Strided {
    /// Memory of its own with these elements.
    pub(in crate::pytorch) fn new(array: Array) -> Strided {
        let (dims, element_type) = (array.dims().to_vec(), array.element_type());
        let strides = layout::strides(&dims);
        let memory = Rc::new(RefCell::new(Rc::new(array)));
        Strided { memory, element_type, dims, strides, offset: 0 }
    }

    /// The sizes.
    pub(in crate::pytorch) fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// The strides, in elements.
    pub(in crate::pytorch) fn strides(&self) -> &[isize] {
        &self.strides
    }

    /// Where the first element lies, in elements.
    pub(in crate::pytorch) fn offset(&self) -> usize {
        self.offset
    }

    /// What the elements are.
    pub(in crate::pytorch) fn element_type(&self) -> ElementType {
        self.element_type
    }

    /// Another view of the same memory.
    pub(in crate::pytorch) fn seen(
        &self,
        dims: Vec<usize>,
        strides: Vec<isize>,
        offset: usize,
    ) -> Strided {
        Strided { dims, strides, offset, ..self.clone() }
    }

    /// Whether the elements lie side by side, row-major.
    pub(in crate::pytorch) fn is_dense(&self) -> bool {
        let dense = layout::strides(&self.dims);
        let pairs = self.strides.iter().zip(&dense).zip(&self.dims);
        self.dims.contains(&0) || pairs.into_iter().all(|((one, two), &dim)| dim == 1 || one == two)
    }

    /// The elements in row-major order. Not copied where the view is all of its memory.
    pub(in crate::pytorch) fn array(&self) -> Result<Rc<Array>, EvaluateError> {
        let memory = self.memory.borrow();
        if self.offset == 0 && self.dims == memory.dims() && self.is_dense() {
            return Ok(Rc::clone(&memory));
        }
        if self.offset == 0 && self.is_dense() && layout::elements(&self.dims)? == memory.len() {
            return Array::clone(&memory).reshaped(&self.dims).map(Rc::new);
        }
        shape::as_strided(&memory, &self.dims, &self.strides, self.offset).map(Rc::new)
    }

    /// Writes elements of the same type and shape: all that look at this memory see them.
    pub(in crate::pytorch) fn write(&self, array: &Array) -> Result<(), EvaluateError> {
        if array.dims() != self.dims || array.element_type() != self.element_type {
            let message = format!(
                "expected elements of type {} and shape {:?} to write, found {} and {:?}",
                self.element_type,
                self.dims,
                array.element_type(),
                array.dims()
            );
            return Err(EvaluateError::new(message));
        }
        let mut memory = self.memory.borrow_mut();
        if self.offset == 0 && self.is_dense() && array.len() == memory.len() {
            let dims = memory.dims().to_vec();
            *memory = Rc::new(array.clone().reshaped(&dims)?);
            return Ok(());
        }
        self.check_within(memory.len())?;
        let dims = memory.dims().to_vec();
        let taken = std::mem::replace(&mut *memory, Rc::new(Array::scalar(0.0)));
        let mut data = match Rc::try_unwrap(taken) {
            Ok(array) => array.into_data(),
            Err(shared) => shared.data().clone(),
        };
        let matched = match (&mut data, array.data()) {
            (Data::Floats(to), Data::Floats(from)) => self.put(to, from),
            (Data::Doubles(to), Data::Doubles(from)) => self.put(to, from),
            (Data::Ints(to), Data::Ints(from)) => self.put(to, from),
            (Data::Bools(to), Data::Bools(from)) => self.put(to, from),
            _ => false,
        };
        *memory = Rc::new(Array::new(self.element_type, &dims, data)?);
        match matched {
            true => Ok(()),
            false => Err(EvaluateError::new("elements of another kind came to be written")),
        }
    }

    /// An error where an element lies outside of a memory of `len` elements.
    fn check_within(&self, len: usize) -> Result<(), EvaluateError> {
        let outside = || EvaluateError::new("a view leads out of its memory");
        if self.dims.contains(&0) {
            return Ok(());
        }
        let (mut low, mut high) = (self.offset as i128, self.offset as i128);
        for (&dim, &stride) in self.dims.iter().zip(&self.strides) {
            let reach = (dim as i128 - 1) * stride as i128;
            if reach < 0 { low += reach } else { high += reach }
        }
        (low >= 0 && high < len as i128).then_some(()).ok_or_else(outside)
    }

    /// Puts elements, row-major, to where this view has them. All of them lie within.
    fn put<T: Copy>(&self, to: &mut [T], from: &[T]) -> bool {
        let (width, stride) = match (self.dims.last(), self.strides.last()) {
            (Some(&width), Some(&stride)) => (width, stride),
            _ => (1, 1),
        };
        let outer = self.dims.len().saturating_sub(1);
        let mut index = vec![0usize; outer];
        let mut start = self.offset as isize;
        for row in from.chunks_exact(width.max(1)) {
            let mut at = start;
            for &value in row {
                to[at as usize] = value;
                at += stride;
            }
            for axis in (0..outer).rev() {
                index[axis] += 1;
                start += self.strides[axis];
                if index[axis] < self.dims[axis] {
                    break;
                }
                start -= self.strides[axis] * index[axis] as isize;
                index[axis] = 0;
            }
        }
        true
    }

    /// The same elements in another shape, as a view of the same memory where strides can say it
    /// (`computeStride` of ATen); `None` where that takes a copy.
    pub(in crate::pytorch) fn viewed(&self, dims: &[usize]) -> Option<Strided> {
        let strides = if self.is_dense() {
            layout::strides(dims)
        } else {
            view_strides(&self.dims, &self.strides, dims)?
        };
        Some(self.seen(dims.to_vec(), strides, self.offset))
    }
}

/// Strides of a new shape over the same elements: groups of old axes that follow each other in
/// memory are matched with groups of new ones.
fn view_strides(old: &[usize], strides: &[isize], new: &[usize]) -> Option<Vec<isize>> {
    let mut found = vec![0isize; new.len()];
    let mut at = new.len();
    let mut chunk = 1usize;
    let mut chunk_stride = strides.last().copied().unwrap_or(1);
    for axis in (0..old.len()).rev() {
        chunk *= old[axis];
        let ends =
            axis == 0 || (old[axis - 1] != 1 && strides[axis - 1] != chunk as isize * chunk_stride);
        if !ends {
            continue;
        }
        let mut covered = 1usize;
        while at > 0 && (covered < chunk || new[at - 1] == 1) {
            found[at - 1] = covered as isize * chunk_stride;
            covered *= new[at - 1];
            at -= 1;
        }
        if covered != chunk {
            return None;
        }
        if axis > 0 {
            chunk = 1;
            chunk_stride = strides[axis - 1];
        }
    }
    (at == 0).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(dims: &[usize]) -> Strided {
        let count = dims.iter().product::<usize>() as i64;
        Strided::new(Array::ints(dims, (0..count).collect()).unwrap())
    }

    fn values(view: &Strided) -> Vec<i64> {
        view.array().unwrap().as_ints().unwrap().to_vec()
    }

    #[test]
    fn a_change_through_a_view_is_seen_by_all() {
        let whole = counted(&[2, 3]);
        let column = whole.seen(vec![2], vec![3], 1);
        column.write(&Array::ints(&[2], vec![10, 20]).unwrap()).unwrap();
        assert_eq!(values(&whole), [0, 10, 2, 3, 20, 5]);
        let flat = whole.viewed(&[6]).unwrap();
        flat.write(&Array::ints(&[6], vec![0; 6]).unwrap()).unwrap();
        assert_eq!(values(&column), [0, 0]);
    }

    #[test]
    fn views_in_another_shape_are_found_where_strides_can_say_them() {
        let transposed = counted(&[2, 3]).seen(vec![3, 2], vec![1, 3], 0);
        assert!(transposed.viewed(&[6]).is_none());
        assert_eq!(values(&transposed.viewed(&[3, 2, 1]).unwrap()), [0, 3, 1, 4, 2, 5]);
        let sliced = counted(&[2, 2, 3]).seen(vec![2, 1, 3], vec![6, 3, 1], 3);
        assert_eq!(values(&sliced.viewed(&[2, 3]).unwrap()), [3, 4, 5, 9, 10, 11]);
        assert!(sliced.viewed(&[6]).is_none());
    }

    #[test]
    fn what_leads_out_of_the_memory_is_an_error() {
        let outside = counted(&[2]).seen(vec![2], vec![5], 0);
        assert!(outside.array().is_err());
        assert!(outside.write(&Array::ints(&[2], vec![1, 2]).unwrap()).is_err());
    }
}
