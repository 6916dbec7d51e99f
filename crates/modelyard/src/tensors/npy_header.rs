//! The header of a `.npy` file: magic, version, and a Python dictionary with three keys.

use modelyard_tensor::Shape;

const MAGIC: &[u8] = b"\x93NUMPY";
/// NumPy itself reads headers up to 10,000 bytes.
const HEADER_BYTES_MAX: usize = 64 << 10;
/// NumPy's own limit of dimensions is 64.
const DIMENSIONS_MAX: usize = 64;

/// What the header says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The type string, such as `<f4`.
    pub(super) descr: String,
    /// Whether the first dimension varies fastest.
    pub(super) fortran_order: bool,
    /// The dimensions.
    pub(super) shape: Shape,
}

/// Why a header could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HeaderError {
    #[error("it does not begin with the bytes of one")]
    Magic,
    #[error("version {0} of the format is unknown")]
    Version(u8),
    #[error("it ends within its header")]
    Truncated,
    #[error("its header takes {0} bytes, more than {HEADER_BYTES_MAX}")]
    TooLong(usize),
    #[error("its type is a record, which is no tensor")]
    Record,
    #[error("its header is malformed at byte {at}: expected {expected}")]
    Syntax { at: usize, expected: &'static str },
}

/// Reads the header; also gives the data behind it.
pub(super) fn read(file: &[u8]) -> Result<(Header, &[u8]), HeaderError> {
    let rest = file.strip_prefix(MAGIC).ok_or(HeaderError::Magic)?;
    let (&[major, _minor], rest) = rest.split_first_chunk().ok_or(HeaderError::Truncated)?;
    let (length, rest) = match major {
        1 => {
            let (length, rest) = rest.split_first_chunk().ok_or(HeaderError::Truncated)?;
            (usize::from(u16::from_le_bytes(*length)), rest)
        }
        2 | 3 => {
            let (length, rest) = rest.split_first_chunk().ok_or(HeaderError::Truncated)?;
            (u32::from_le_bytes(*length) as usize, rest)
        }
        _ => return Err(HeaderError::Version(major)),
    };
    if length > HEADER_BYTES_MAX {
        return Err(HeaderError::TooLong(length));
    }
    let (text, data) = rest.split_at_checked(length).ok_or(HeaderError::Truncated)?;
    Ok((Parser { text, at: 0 }.dictionary()?, data))
}

/// A version 1 header (all that plain types need), padded so that the data is aligned.
pub(super) fn write(descr: &str, shape: &Shape) -> Vec<u8> {
    const PREFIX: usize = MAGIC.len() + 4;
    let comma = if shape.len() == 1 { "," } else { "" };
    let dims: Vec<String> = shape.iter().map(usize::to_string).collect();
    let mut text = format!(
        "{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}{comma}), }}",
        dims.join(", ")
    );
    let padded = (PREFIX + text.len() + 1).next_multiple_of(64);
    text.extend(std::iter::repeat_n(' ', padded - PREFIX - text.len() - 1));
    text.push('\n');
    let mut header = MAGIC.to_vec();
    header.extend([1, 0]);
    let length = u16::try_from(text.len()).expect("64 dimensions of 20 digits fit in 65,535 bytes");
    header.extend(length.to_le_bytes());
    header.extend(text.as_bytes());
    header
}

/// Reads the one form of Python literal that NumPy writes here.
struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn dictionary(mut self) -> Result<Header, HeaderError> {
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        self.expect(b'{', "'{'")?;
        while !self.accept(b'}') {
            let key = self.string()?;
            self.expect(b':', "':'")?;
            match key.as_str() {
                "descr" => descr = Some(self.descr()?),
                "fortran_order" => fortran_order = Some(self.boolean()?),
                "shape" => shape = Some(self.tuple()?),
                _ => return Err(self.wanted("the keys descr, fortran_order and shape")),
            }
            if !self.accept(b',') {
                self.expect(b'}', "',' or '}'")?;
                break;
            }
        }
        let missing = self.wanted("the keys descr, fortran_order and shape");
        match (descr, fortran_order, shape) {
            (Some(descr), Some(fortran_order), Some(shape)) => {
                Ok(Header { descr, fortran_order, shape })
            }
            _ => Err(missing),
        }
    }

    fn descr(&mut self) -> Result<String, HeaderError> {
        if self.peek() == Some(b'[') { Err(HeaderError::Record) } else { self.string() }
    }

    fn string(&mut self) -> Result<String, HeaderError> {
        let quote = match self.peek() {
            Some(quote @ (b'\'' | b'"')) => quote,
            _ => return Err(self.wanted("a string")),
        };
        let rest = &self.text[self.at + 1..];
        let end = rest.iter().position(|&byte| byte == quote);
        let end = end.ok_or_else(|| self.wanted("the end of a string"))?;
        let text = std::str::from_utf8(&rest[..end]).map_err(|_| self.wanted("plain text"))?;
        self.at += end + 2;
        Ok(text.to_owned())
    }

    fn boolean(&mut self) -> Result<bool, HeaderError> {
        self.peek();
        for (word, value) in [("True", true), ("False", false)] {
            if self.text[self.at..].starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.wanted("True or False"))
    }

    fn tuple(&mut self) -> Result<Shape, HeaderError> {
        let mut shape = Shape::default();
        self.expect(b'(', "'('")?;
        while !self.accept(b')') {
            if shape.len() == DIMENSIONS_MAX {
                return Err(self.wanted("at most 64 dimensions"));
            }
            shape.push(self.number()?);
            if !self.accept(b',') {
                self.expect(b')', "',' or ')'")?;
                break;
            }
        }
        Ok(shape)
    }

    fn number(&mut self) -> Result<usize, HeaderError> {
        self.peek();
        let rest = &self.text[self.at..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let text = std::str::from_utf8(&rest[..digits]).unwrap_or_default();
        let number = text.parse().map_err(|_| self.wanted("a dimension"))?;
        self.at += digits;
        // NumPy under Python 2 wrote `3L`.
        if self.text.get(self.at) == Some(&b'L') {
            self.at += 1;
        }
        Ok(number)
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn accept(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), HeaderError> {
        if self.accept(byte) { Ok(()) } else { Err(self.wanted(expected)) }
    }

    fn wanted(&self, expected: &'static str) -> HeaderError {
        HeaderError::Syntax { at: self.at, expected }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_the_same_and_is_aligned() {
        for shape in [Shape::from([]), [3].into(), [1, 784].into(), [usize::MAX; 7].into()] {
            let header = write("<f4", &shape);
            assert_eq!(header.len() % 64, 0);
            let (read, rest) = read(&header).unwrap();
            assert_eq!((read.shape, read.descr.as_str(), rest), (shape, "<f4", &[][..]));
        }
    }

    #[test]
    fn lengths_are_not_trusted() {
        assert!(matches!(read(b"\x93NUMPY\x01\x00\xff\xff{"), Err(HeaderError::Truncated)));
        assert!(matches!(
            read(b"\x93NUMPY\x02\x00\xff\xff\xff\xff"),
            Err(HeaderError::TooLong(0xffff_ffff))
        ));
        assert!(matches!(read(b"\x93NUMPY\x09\x00"), Err(HeaderError::Version(9))));
        assert!(matches!(read(b"PK\x03\x04"), Err(HeaderError::Magic)));
    }
}
