//! The layout of `BYTES` tensors.
//!
//! As in the protocol's binary form: for each element a little-endian `u32` length, then that
//! many bytes. [`crate::Tensor`] keeps `BYTES` data in this form throughout, so that it goes
//! from and to the wire unchanged.

use bytes::{BufMut, Bytes, BytesMut};

/// Why bytes are no `BYTES` tensor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StringsError {
    /// The data ends within an element.
    #[error("element {element} of the BYTES data is cut off: {missing} more bytes expected")]
    Truncated {
        /// Index of the element that is cut off.
        element: usize,
        /// Bytes that it lacks.
        missing: usize,
    },
    /// There are more or fewer elements than the shape says.
    #[error("the BYTES data has {found} elements, but the shape holds {expected}")]
    Count {
        /// Elements by the shape.
        expected: usize,
        /// Elements in the data (counted to one more than expected).
        found: usize,
    },
}

/// The elements of well-formed `BYTES` data. Stops early where the data is cut off.
pub fn iter(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = data;
    std::iter::from_fn(move || {
        let (length, tail) = rest.split_first_chunk::<4>()?;
        let (element, tail) = tail.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        rest = tail;
        Some(element)
    })
}

/// Checks that `data` is exactly `expected` elements.
pub fn check(data: &[u8], expected: usize) -> Result<(), StringsError> {
    let mut rest = data;
    for element in 0..expected {
        if rest.is_empty() {
            return Err(StringsError::Count { expected, found: element });
        }
        let Some((length, tail)) = rest.split_first_chunk::<4>() else {
            return Err(StringsError::Truncated { element, missing: 4 - rest.len() });
        };
        let length = u32::from_le_bytes(*length) as usize;
        if tail.len() < length {
            return Err(StringsError::Truncated { element, missing: length - tail.len() });
        }
        rest = &tail[length..];
    }
    if rest.is_empty() {
        Ok(())
    } else {
        Err(StringsError::Count { expected, found: expected + 1 })
    }
}

/// Encodes elements.
///
/// # Panics
/// When an element is 4 GiB or longer; callers bound bodies far below that.
pub fn encode<I, S>(elements: I) -> Bytes
where
    I: IntoIterator<Item = S>,
    S: AsRef<[u8]>,
{
    let mut data = BytesMut::new();
    for element in elements {
        push(&mut data, element.as_ref());
    }
    data.freeze()
}

/// Appends one element. Panics as [`encode`] does.
pub fn push(data: &mut impl BufMut, element: &[u8]) {
    let length = u32::try_from(element.len()).expect("bodies are bounded far below 4 GiB");
    data.put_u32_le(length);
    data.put_slice(element);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn encodes_and_decodes(
            elements in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..9)
        ) {
            let data = encode(&elements);
            prop_assert_eq!(check(&data, elements.len()), Ok(()));
            prop_assert_eq!(iter(&data).map(<[u8]>::to_vec).collect::<Vec<_>>(), elements);
        }

        #[test]
        fn hostile_bytes_are_refused_not_trusted(
            data in prop::collection::vec(any::<u8>(), 0..40), count in 0usize..8
        ) {
            if check(&data, count).is_ok() {
                prop_assert_eq!(iter(&data).count(), count);
            }
        }
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!(check(&[1, 0, 0], 1), Err(StringsError::Truncated { element: 0, missing: 1 }));
        assert_eq!(
            check(&[9, 0, 0, 0, 1], 1),
            Err(StringsError::Truncated { element: 0, missing: 8 })
        );
        assert_eq!(check(&[], 2), Err(StringsError::Count { expected: 2, found: 0 }));
    }
}
