//! `data` arrays, flat or nested, into typed buffers.

use bytes::{Bytes, BytesMut};
use modelyard_tensor::{DataType, Element, Shape, strings};

use super::integer::{Misfit, Number};
use super::scan::{JsonError, Scanner, shown};

/// What an array may hold at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Elements expected, to size the buffer. Trusted only as far as the text is long.
    pub(crate) expected: usize,
    /// Elements allowed.
    pub(crate) most: usize,
}

/// The elements of an array and how they were nested.
#[derive(Debug)]
pub(crate) struct Array {
    /// Little-endian elements, as a tensor holds them; aligned for the datatype.
    pub(crate) data: Bytes,
    /// One dimension a level of nesting: `[n]` for a flat array, none for a bare element.
    pub(crate) nesting: Shape,
}

/// Takes an array of elements of `data_type`; each level of it is regular, or it is refused.
pub(crate) fn array(
    scanner: &mut Scanner<'_>,
    data_type: DataType,
    bounds: Bounds,
) -> Result<Array, JsonError> {
    match data_type {
        DataType::Fp32 => numbers::<f32>(scanner, bounds),
        DataType::Fp64 => numbers::<f64>(scanner, bounds),
        DataType::Int64 => numbers::<i64>(scanner, bounds),
        DataType::Int32 => numbers::<i32>(scanner, bounds),
        DataType::Int16 => numbers::<i16>(scanner, bounds),
        DataType::Int8 => numbers::<i8>(scanner, bounds),
        DataType::Uint64 => numbers::<u64>(scanner, bounds),
        DataType::Uint32 => numbers::<u32>(scanner, bounds),
        DataType::Uint16 => numbers::<u16>(scanner, bounds),
        DataType::Uint8 => numbers::<u8>(scanner, bounds),
        DataType::Bool => {
            let (leaves, nesting) = collect(scanner, Booleans(reserve(scanner, bounds)), bounds)?;
            Ok(Array { data: leaves.0.into(), nesting })
        }
        DataType::Bytes => {
            let (leaves, nesting) = collect(scanner, Strings(BytesMut::new()), bounds)?;
            Ok(Array { data: leaves.0.freeze(), nesting })
        }
        DataType::Fp16 | DataType::Bf16 => Err(scanner.misfit(format!(
            "{data_type} has no JSON form: send the tensor in binary (binary_data_size)"
        ))),
    }
}

fn numbers<T: Number>(scanner: &mut Scanner<'_>, bounds: Bounds) -> Result<Array, JsonError> {
    let (leaves, nesting) = collect(scanner, Numbers::<T>(reserve(scanner, bounds)), bounds)?;
    Ok(Array { data: Bytes::from_owner(leaves), nesting })
}

/// Room for the expected elements, but no more than the text can hold: each takes two bytes.
fn reserve<T>(scanner: &Scanner<'_>, bounds: Bounds) -> Vec<T> {
    Vec::with_capacity(bounds.expected.min(bounds.most).min(scanner.rest.len() / 2 + 1))
}

/// Where the elements of one datatype go.
trait Leaves {
    /// Takes elements as long as they follow one another, separated by commas, but no more than
    /// `room`. Ends before what is no comma, or is a comma that no element follows at once.
    fn run(&mut self, scanner: &mut Scanner<'_>, room: usize) -> Result<usize, JsonError>;
}

/// The hot loop: everything it touches is local, so that it stays in registers.
#[inline(always)]
fn run<T>(
    values: &mut Vec<T>,
    scanner: &mut Scanner<'_>,
    room: usize,
    name: &str,
    take: impl Fn(&mut &[u8]) -> Result<T, Misfit>,
) -> Result<usize, JsonError> {
    let mut taken = std::mem::take(values);
    let mut rest = scanner.rest;
    let before = taken.len();
    let full = before + room;
    let mut comma = None;
    loop {
        let start = rest;
        if taken.len() == full {
            return Err(too_many(scanner, start));
        }
        match take(&mut rest) {
            Ok(value) => taken.push(value),
            Err(_) if comma.is_some() && !begins_element(start) => {
                rest = comma.unwrap_or(start);
                break;
            }
            Err(misfit) => return Err(explain(scanner, start, name, misfit)),
        }
        // At most one space follows the comma, as Python writes lists.
        comma = Some(rest);
        rest = match rest {
            [b',', b' ', tail @ ..] | [b',', tail @ ..] => tail,
            _ => break,
        };
    }
    scanner.rest = rest;
    let count = taken.len() - before;
    *values = taken;
    Ok(count)
}

/// Whether this may be an element, and nothing for the cursor to sort out.
fn begins_element(rest: &[u8]) -> bool {
    !matches!(rest, [b' ' | b'\n' | b'\r' | b'\t' | b'[' | b']', ..] | [])
}

struct Numbers<T>(Vec<T>);

impl<T: Number> Leaves for Numbers<T> {
    fn run(&mut self, scanner: &mut Scanner<'_>, room: usize) -> Result<usize, JsonError> {
        run(&mut self.0, scanner, room, T::DATA_TYPE.name(), T::take)
    }
}

impl<T: Element> AsRef<[u8]> for Numbers<T> {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

struct Booleans(Vec<u8>);

impl Leaves for Booleans {
    fn run(&mut self, scanner: &mut Scanner<'_>, room: usize) -> Result<usize, JsonError> {
        run(&mut self.0, scanner, room, "BOOL", |rest| {
            for (token, value) in [(&b"true"[..], 1), (b"false", 0)] {
                if let Some(tail) = rest.strip_prefix(token) {
                    *rest = tail;
                    return Ok(value);
                }
            }
            u8::take(rest).and_then(|value| if value <= 1 { Ok(value) } else { Err(Misfit::Range) })
        })
    }
}

struct Strings(BytesMut);

impl Leaves for Strings {
    fn run(&mut self, scanner: &mut Scanner<'_>, room: usize) -> Result<usize, JsonError> {
        if room == 0 {
            return Err(too_many(scanner, scanner.rest));
        }
        if scanner.peek() != b'"' {
            return Err(explain(scanner, scanner.rest, "BYTES", Misfit::Syntax));
        }
        strings::push(&mut self.0, scanner.string()?.as_bytes());
        Ok(1)
    }
}

#[cold]
fn too_many<'a>(scanner: &Scanner<'a>, rest: &'a [u8]) -> JsonError {
    scanner.at_rest(rest).misfit("there are more elements than expected")
}

#[cold]
fn explain<'a>(scanner: &Scanner<'a>, rest: &'a [u8], name: &str, misfit: Misfit) -> JsonError {
    let place = scanner.at_rest(rest);
    let ends = |byte: &u8| matches!(byte, b',' | b']' | b'}' | b' ' | b'\n' | b'\r' | b'\t');
    let token = || &rest[..rest.iter().position(ends).unwrap_or(rest.len())];
    let value = place.value();
    let text = match &value {
        Ok(value) => shown(value),
        Err(_) => shown(token()),
    };
    let what = match misfit {
        Misfit::Syntax if text.is_empty() => format!("expected an element of {name}"),
        Misfit::Syntax => format!("expected an element of {name}, found '{text}'"),
        Misfit::Range => format!("{text} is out of the range of {name}"),
        Misfit::Fraction => format!("{text} is no integer, but {name} takes only integers"),
        Misfit::NotFinite => format!("{text} is no element of {name}"),
    };
    if value.is_ok() { place.misfit(what) } else { place.error(what) }
}

/// How the arrays were nested, found out while they are taken.
struct Nesting<L> {
    leaves: L,
    /// Elements at each level; the innermost level of arrays holds the leaves.
    dims: Vec<Option<usize>>,
    /// The level whose elements are leaves.
    innermost: Option<usize>,
    /// Leaves so far, and how many are allowed.
    count: usize,
    most: usize,
}

fn collect<L: Leaves>(
    scanner: &mut Scanner<'_>,
    leaves: L,
    bounds: Bounds,
) -> Result<(L, Shape), JsonError> {
    let (dims, innermost) = (Vec::new(), None);
    let mut nesting = Nesting { leaves, dims, innermost, count: 0, most: bounds.most };
    if scanner.take(b'[') {
        nesting.level(scanner, 0)?;
    } else {
        nesting.leaves.run(scanner, 1)?;
    }
    let shape = nesting.dims.iter().map(|dim| dim.unwrap_or(0)).collect();
    Ok((nesting.leaves, shape))
}

impl<L: Leaves> Nesting<L> {
    /// Takes an array whose `[` has been taken. Recursion is bounded by the cursor's depth.
    fn level(&mut self, scanner: &mut Scanner<'_>, level: usize) -> Result<(), JsonError> {
        scanner.descend()?;
        if self.dims.len() == level {
            self.dims.push(None);
        }
        let mut count = 0;
        if !scanner.take(b']') {
            loop {
                if scanner.peek() == b'[' {
                    self.deeper(scanner, level)?;
                    count += 1;
                } else {
                    count += self.run(scanner, level)?;
                }
                if scanner.take(b']') {
                    break;
                }
                if !scanner.take(b',') {
                    return Err(explain_end(scanner));
                }
            }
        }
        scanner.ascend();
        self.close(scanner, level, count)
    }

    fn deeper(&mut self, scanner: &mut Scanner<'_>, level: usize) -> Result<(), JsonError> {
        if self.innermost == Some(level) {
            return Err(scanner.misfit("the nested arrays are irregular: expected an element"));
        }
        scanner.take(b'[');
        self.level(scanner, level + 1)
    }

    /// Takes leaves as long as they follow one another.
    fn run(&mut self, scanner: &mut Scanner<'_>, level: usize) -> Result<usize, JsonError> {
        if *self.innermost.get_or_insert(level) != level || self.dims.len() > level + 1 {
            return Err(scanner.misfit("the nested arrays are irregular: expected an array"));
        }
        let count = self.leaves.run(scanner, self.most - self.count)?;
        self.count += count;
        Ok(count)
    }

    fn close(
        &mut self,
        scanner: &Scanner<'_>,
        level: usize,
        count: usize,
    ) -> Result<(), JsonError> {
        match self.dims[level].replace(count) {
            Some(before) if before != count => Err(scanner.misfit(format!(
                "the nested arrays are irregular: one has {before} elements, another {count}"
            ))),
            _ => Ok(()),
        }
    }
}

#[cold]
fn explain_end(scanner: &Scanner<'_>) -> JsonError {
    scanner.expected("',' or ']'")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Bounds = Bounds { expected: 4, most: 1000 };

    fn parse(text: &str, data_type: DataType) -> Result<(Vec<usize>, Bytes), JsonError> {
        let mut scanner = Scanner::new(text.as_bytes(), 8);
        let array = array(&mut scanner, data_type, BOUNDS)?;
        scanner.end()?;
        Ok((array.nesting.to_vec(), array.data))
    }

    fn floats(text: &str) -> Result<(Vec<usize>, Vec<f32>), String> {
        let (dims, data) = parse(text, DataType::Fp32).map_err(|error| error.to_string())?;
        Ok((dims, bytemuck::pod_collect_to_vec(&data)))
    }

    #[test]
    fn takes_flat_and_nested_arrays() {
        let values = vec![1.0, 2.5, -3.0, 4.0];
        for text in ["[1,2.5,-3,4]", " [ 1 , 2.5,\n-3,\t4 ] ", "[1, 2.5, -3, 4]"] {
            assert_eq!(floats(text), Ok((vec![4], values.clone())), "{text}");
        }
        assert_eq!(floats("[[1, 2.5], [-3, 4]]"), Ok((vec![2, 2], values.clone())));
        assert_eq!(floats("[[[1],[2.5]],[[-3],[4]]]"), Ok((vec![2, 2, 1], values)));
        assert_eq!(floats("[]"), Ok((vec![0], vec![])));
        assert_eq!(floats("[[],[]]"), Ok((vec![2, 0], vec![])));
        assert_eq!(floats("7"), Ok((vec![], vec![7.0])));
    }

    #[test]
    fn refuses_irregular_arrays() {
        for text in ["[[1,2],[3]]", "[[1],2]", "[1,[2]]", "[[1],[[2]]]", "[[],1]", "[[[]],[]]"] {
            let error = floats(text).expect_err(text);
            assert!(error.contains("irregular"), "{text}: {error}");
        }
    }

    #[test]
    fn refuses_broken_arrays() {
        for text in
            ["[1,]", "[,1]", "[1 2]", "[1", "[", "", "[1]]", "[1,\"2\"]", "[null]", "[1,,2]"]
        {
            assert!(floats(text).is_err(), "{text}");
        }
        assert!(floats(&"[".repeat(10_000)).is_err());
    }

    #[test]
    fn says_what_does_not_fit() {
        let error = |text, data_type| parse(text, data_type).expect_err(text).to_string();
        assert_eq!(error("[1,300]", DataType::Uint8), "300 is out of the range of UINT8 at byte 3");
        assert_eq!(
            error("[1.5]", DataType::Int32),
            "1.5 is no integer, but INT32 takes only integers at byte 1"
        );
        assert_eq!(error("[NaN]", DataType::Int64), "NaN is no element of INT64 at byte 1");
        assert_eq!(
            error("[\"a\"]", DataType::Fp32),
            "expected an element of FP32, found '\"a\"' at byte 1"
        );
        assert!(error("[1]", DataType::Fp16).contains("no JSON form"));
        assert_eq!(error("[2]", DataType::Bool), "2 is out of the range of BOOL at byte 1");
    }

    #[test]
    fn takes_booleans_and_strings() {
        let (_, data) = parse("[true, false,1,0]", DataType::Bool).expect("valid");
        assert_eq!(&data[..], [1, 0, 1, 0]);
        let (dims, data) = parse(r#"[["a"], ["\u00e9"]]"#, DataType::Bytes).expect("valid");
        assert_eq!(dims, [2, 1]);
        assert_eq!(strings::iter(&data).collect::<Vec<_>>(), ["a".as_bytes(), "é".as_bytes()]);
    }

    #[test]
    fn stops_at_the_elements_allowed() {
        let text = format!("[{}1]", "1,".repeat(BOUNDS.most));
        let error = floats(&text).expect_err("one too many");
        assert!(error.starts_with("there are more elements than expected"), "{error}");
    }

    proptest! {
        #[test]
        fn nested_arrays_survive_their_own_text(
            rows in 1usize..5, columns in 1usize..5, values: [i32; 16], pretty: bool
        ) {
            let rows: Vec<&[i32]> = values.chunks(columns).take(rows.min(16 / columns)).collect();
            let text = match pretty {
                true => serde_json::to_string_pretty(&rows),
                false => serde_json::to_string(&rows),
            };
            let (dims, data) = parse(&text.expect("integers"), DataType::Int32).expect("valid");
            prop_assert_eq!(dims, vec![rows.len(), columns]);
            prop_assert_eq!(bytemuck::pod_collect_to_vec::<u8, i32>(&data), rows.concat());
        }

        #[test]
        fn never_panics(text in "[\\[\\],0-9.eEtrufalsN\"\\\\ -]{0,40}") {
            for data_type in DataType::ALL {
                let _ = parse(&text, data_type);
            }
        }
    }
}
