//! What operators that move elements do alike with floats, integers and booleans.

use modelyard_tensor::Shape;

use crate::array::Array;
use crate::buffers::Buffers;
use crate::error::OpError;

/// A kind of element of an [`Array`].
pub(crate) trait Element: Copy + Default + PartialEq + Send + Sync + 'static {
    /// The elements of an array of this kind.
    fn of(array: &Array) -> Result<&[Self], OpError>;

    /// An array of this kind.
    fn array(shape: Shape, values: Vec<Self>) -> Array;

    /// Memory for this many elements, of unspecified contents.
    fn buffer(buffers: &mut Buffers, len: usize) -> Vec<Self>;
}

impl Element for f32 {
    fn of(array: &Array) -> Result<&[f32], OpError> {
        array.as_floats()
    }

    fn array(shape: Shape, values: Vec<f32>) -> Array {
        Array::floats(shape, values)
    }

    fn buffer(buffers: &mut Buffers, len: usize) -> Vec<f32> {
        buffers.take(len)
    }
}

impl Element for i64 {
    fn of(array: &Array) -> Result<&[i64], OpError> {
        array.as_ints()
    }

    fn array(shape: Shape, values: Vec<i64>) -> Array {
        Array::ints(shape, values)
    }

    fn buffer(_buffers: &mut Buffers, len: usize) -> Vec<i64> {
        vec![0; len]
    }
}

impl Element for bool {
    fn of(array: &Array) -> Result<&[bool], OpError> {
        array.as_bools()
    }

    fn array(shape: Shape, values: Vec<bool>) -> Array {
        Array::bools(shape, values)
    }

    fn buffer(_buffers: &mut Buffers, len: usize) -> Vec<bool> {
        vec![false; len]
    }
}

/// Evaluates `$body` with `$T` naming the kind of elements of `$array`.
macro_rules! by_kind {
    ($array:expr, $T:ident => $body:expr) => {
        match $array.data() {
            $crate::array::Data::Floats(_) => {
                type $T = f32;
                $body
            }
            $crate::array::Data::Ints(_) => {
                type $T = i64;
                $body
            }
            $crate::array::Data::Bools(_) => {
                type $T = bool;
                $body
            }
        }
    };
}

pub(crate) use by_kind;
