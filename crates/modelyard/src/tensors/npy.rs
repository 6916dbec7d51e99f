//! NumPy's `.npy` format: one tensor, a Python dictionary as header, raw elements.
//!
//! All plain datatypes of NumPy are read, in either byte order and in C or Fortran order, and
//! `S` and `U` strings as `BYTES`. Pickled objects (`O`) and records are refused: reading them
//! would mean running code. Nothing is allocated before the header's shape has been checked
//! against the bytes that are there.
//!
//! Format: NumPy Enhancement Proposal 1, `numpy.lib.format`.

use bytes::Bytes;
use modelyard_tensor::{DataType, Shape, Tensor, strings};

use super::npy_header::{self, Header, HeaderError};
use super::npy_kind::{Kind, kind};

/// Why bytes are no `.npy` file that can be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NpyError {
    #[error("not a .npy file: {0}")]
    Header(#[from] HeaderError),
    #[error("NumPy type '{0}' cannot be a tensor; save it as numbers, booleans or strings")]
    Type(String),
    #[error("shape {0} is too large to address")]
    TooLarge(Shape),
    #[error("{expected} bytes of data expected for shape {shape}, but {found} were found")]
    Length { shape: Shape, expected: usize, found: usize },
    #[error("element {0} is not valid Unicode")]
    Unicode(usize),
    #[error("the strings are too uneven for .npy, which pads all to the longest; use JSON")]
    Uneven,
}

/// Reads one tensor.
pub(crate) fn read(file: &[u8]) -> Result<Tensor, NpyError> {
    let (header, data) = npy_header::read(file)?;
    let (kind, big_endian) = kind(&header.descr)
        .ok_or_else(|| NpyError::Type(header.descr.chars().take(32).collect()))?;
    let size = kind.size().ok_or_else(|| NpyError::TooLarge(header.shape.clone()))?;
    let elements = header.shape.elements();
    let expected = elements.and_then(|elements| elements.checked_mul(size));
    // Strings of length 0 take no bytes, however many there are: they are refused beyond what a
    // real file would hold, since each takes a length of four bytes in a tensor.
    let (Some(elements), Some(expected)) = (elements, expected) else {
        return Err(NpyError::TooLarge(header.shape));
    };
    if data.len() != expected {
        return Err(NpyError::Length { shape: header.shape, expected, found: data.len() });
    }
    if size == 0 && elements > file.len() {
        return Err(NpyError::TooLarge(header.shape));
    }
    let mut data = if header.fortran_order && expected > 0 {
        row_major(data, &header.shape, size)
    } else {
        data.to_vec()
    };
    let unit = if matches!(kind, Kind::Unicode(_)) { 4 } else { size };
    if big_endian && unit > 1 {
        data.chunks_exact_mut(unit).for_each(<[u8]>::reverse);
    }
    tensor(kind, header, data, elements)
}

fn tensor(kind: Kind, header: Header, data: Vec<u8>, elements: usize) -> Result<Tensor, NpyError> {
    let (data_type, data) = match kind {
        Kind::Number(data_type) => (data_type, Bytes::from(data)),
        Kind::ByteString(0) | Kind::Unicode(0) => {
            (DataType::Bytes, strings::encode(std::iter::repeat_n([], elements)))
        }
        Kind::ByteString(length) => {
            (DataType::Bytes, strings::encode(data.chunks_exact(length).map(unpadded)))
        }
        Kind::Unicode(length) => {
            let texts: Result<Vec<String>, NpyError> = data
                .chunks_exact(length * 4)
                .enumerate()
                .map(|(index, element)| text(element).ok_or(NpyError::Unicode(index)))
                .collect();
            (DataType::Bytes, strings::encode(texts?))
        }
    };
    let found = data.len();
    Tensor::new(data_type, header.shape.clone(), data).map_err(|_| NpyError::Length {
        shape: header.shape,
        expected: elements,
        found,
    })
}

/// Writes one tensor. `BF16`, which NumPy does not know, becomes `float32`; `BYTES` become `S`.
pub(crate) fn write(tensor: &Tensor) -> Result<Vec<u8>, NpyError> {
    let descr = match tensor.data_type() {
        DataType::Bool => "|b1",
        DataType::Uint8 => "|u1",
        DataType::Uint16 => "<u2",
        DataType::Uint32 => "<u4",
        DataType::Uint64 => "<u8",
        DataType::Int8 => "|i1",
        DataType::Int16 => "<i2",
        DataType::Int32 => "<i4",
        DataType::Int64 => "<i8",
        DataType::Fp16 => "<f2",
        DataType::Fp32 | DataType::Bf16 => "<f4",
        DataType::Fp64 => "<f8",
        DataType::Bytes => return write_strings(tensor),
    };
    let mut file = npy_header::write(descr, tensor.shape());
    if tensor.data_type() == DataType::Bf16 {
        // The upper half of a float32 is its bfloat16.
        let halves = tensor.data().chunks_exact(2);
        file.extend(halves.flat_map(|half| [0, 0, half[0], half[1]]));
    } else {
        file.extend_from_slice(tensor.data());
    }
    Ok(file)
}

fn write_strings(tensor: &Tensor) -> Result<Vec<u8>, NpyError> {
    const PADDING_BYTES_MAX: usize = 256 << 20;
    let longest = strings::iter(tensor.data()).map(<[u8]>::len).max().unwrap_or(0).max(1);
    let elements = strings::iter(tensor.data()).count();
    let total = longest.checked_mul(elements).ok_or(NpyError::Uneven)?;
    if total > tensor.data().len().saturating_add(PADDING_BYTES_MAX) {
        return Err(NpyError::Uneven);
    }
    let mut file = npy_header::write(&format!("|S{longest}"), tensor.shape());
    for element in strings::iter(tensor.data()) {
        file.extend_from_slice(element);
        file.resize(file.len() + longest - element.len(), 0);
    }
    Ok(file)
}

/// `data` in Fortran order (first dimension fastest) put into row-major order.
fn row_major(data: &[u8], shape: &Shape, size: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len());
    let mut index = vec![0usize; shape.len()];
    let mut strides = vec![size; shape.len()];
    for axis in 1..shape.len() {
        strides[axis] = strides[axis - 1] * shape[axis - 1];
    }
    while out.len() < data.len() {
        let offset: usize = index.iter().zip(&strides).map(|(i, stride)| i * stride).sum();
        out.extend_from_slice(&data[offset..offset + size]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    out
}

fn unpadded(element: &[u8]) -> &[u8] {
    let end = element.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    &element[..end]
}

/// The text of little-endian code points, without the zeros at its end.
fn text(element: &[u8]) -> Option<String> {
    let points = element.chunks_exact(4).map(|point| {
        let point = [point[0], point[1], point[2], point[3]];
        char::from_u32(u32::from_le_bytes(point))
    });
    let text: String = points.collect::<Option<String>>()?;
    Some(text.trim_end_matches('\0').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A version 1 file with this header text.
    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend((header.len() as u16).to_le_bytes());
        file.extend(header.as_bytes());
        file.extend(data);
        file
    }

    fn refusal(header: &str, data: &[u8]) -> String {
        read(&file(header, data)).unwrap_err().to_string()
    }

    #[test]
    fn reads_what_numpy_writes() {
        // numpy.save of numpy.array([[1, 2], [3, 4]], ">i2", order="F"), byte for byte.
        let header = "{'descr': '>i2', 'fortran_order': True, 'shape': (2, 2), }          \n";
        let tensor = read(&file(header, &[0, 1, 0, 3, 0, 2, 0, 4])).unwrap();
        assert_eq!(tensor.shape().dims(), [2, 2]);
        assert_eq!(tensor.values::<i16>().unwrap().as_ref(), [1, 2, 3, 4]);

        let header = "{'descr': '<U2', 'fortran_order': False, 'shape': (2,), }\n";
        let data: Vec<u8> = "aé\0b".chars().flat_map(|c| (c as u32).to_le_bytes()).collect();
        let tensor = read(&file(header, &data)).unwrap();
        let texts: Vec<&[u8]> = strings::iter(tensor.data()).collect();
        assert_eq!(texts, ["aé".as_bytes(), "\0b".as_bytes()]);

        let header = "{'descr': '|b1', 'fortran_order': False, 'shape': (), }\n";
        assert_eq!(read(&file(header, &[1])).unwrap().shape().len(), 0);
    }

    #[test]
    fn refuses_what_is_no_tensor() {
        let header = "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }";
        assert!(refusal(header, &[0; 8]).starts_with("NumPy type '|O' cannot be a tensor"));
        let header = "{'descr': [('a', '<i4')], 'fortran_order': False, 'shape': (1,), }";
        assert!(refusal(header, &[0; 4]).contains("a record"));
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }";
        assert_eq!(
            refusal(header, &[0; 7]),
            "8 bytes of data expected for shape [2], but 7 were found"
        );
    }

    #[test]
    fn a_huge_declared_shape_allocates_nothing() {
        let header =
            format!("{{'descr': '<f4', 'fortran_order': True, 'shape': ({0}, {0}), }}", usize::MAX);
        assert!(refusal(&header, &[]).contains("too large"));
        let header =
            format!("{{'descr': 'S0', 'fortran_order': False, 'shape': ({},), }}", 1u64 << 40);
        assert!(refusal(&header, &[]).contains("too large"));
        let header =
            format!("{{'descr': 'U{}', 'fortran_order': False, 'shape': (1,), }}", usize::MAX);
        assert!(refusal(&header, &[]).contains("too large"));
    }

    #[test]
    fn bf16_widens_to_float32() {
        let data = Bytes::from(vec![0x80, 0x3f, 0x20, 0xc1]);
        let tensor = Tensor::new(DataType::Bf16, [2].into(), data).unwrap();
        let read = read(&write(&tensor).unwrap()).unwrap();
        assert_eq!(read.values::<f32>().unwrap().as_ref(), [1.0, -10.0]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }

        #[test]
        fn any_header_is_read_or_refused(
            text in "[{}()',: a-zA-Z0-9<>|\\[\\]\\\\]{0,120}", data: [u8; 16]
        ) {
            let _ = read(&file(&text, &data));
        }

        #[test]
        fn any_plausible_header_is_read_or_refused(
            descr in "[<>|=]?[a-zA-Z?][0-9]{0,3}", fortran: bool,
            shape in proptest::collection::vec(0usize..5, 0..5), data: [u8; 64]
        ) {
            let order = if fortran { "True" } else { "False" };
            let dims: String = shape.iter().map(|dim| format!("{dim}, ")).collect();
            let header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': ({dims}), }}");
            if let Ok(tensor) = read(&file(&header, &data)) {
                prop_assert_eq!(tensor.shape().dims(), &shape[..]);
            }
        }

        #[test]
        fn what_is_written_reads_the_same(
            rows in 0usize..4, columns in 0usize..4, seed: u8, which in 0usize..14
        ) {
            let data_type = DataType::ALL[which];
            let shape = Shape::from([rows, columns]);
            let data = match data_type.size() {
                Some(size) => Bytes::from(vec![seed; rows * columns * size]),
                None => strings::encode((0..rows * columns).map(|i| vec![b'a'; i % 3])),
            };
            let tensor = Tensor::new(data_type, shape, data).unwrap();
            let read = read(&write(&tensor).unwrap()).unwrap();
            prop_assert_eq!(read.shape(), tensor.shape());
            if data_type != DataType::Bf16 {
                prop_assert_eq!(read.data_type(), data_type);
                prop_assert_eq!(read.data(), tensor.data());
            }
        }
    }
}
