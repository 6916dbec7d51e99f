//! `instances` as a list of objects, one an example: TensorFlow Serving's row form, for models
//! with several inputs.

use bytes::BytesMut;
use modelyard_serving::Version;
use modelyard_tensor::{Shape, TensorSpec};
use smallvec::SmallVec;

use super::decode::{Given, elements, expected_elements, input};
use super::shape::with_rows;
use crate::Limits;
use crate::http::Refusal;
use crate::json::{Bounds, Scanner};
use crate::wording::names;

/// Whether the list at the cursor is one of objects.
pub(super) fn are_next(scanner: &Scanner<'_>) -> bool {
    let mut ahead = *scanner;
    ahead.take(b'[') && ahead.peek() == b'{'
}

/// Takes the list: each member of each example goes to the buffer of its input.
pub(super) fn take(
    version: &Version,
    scanner: &mut Scanner<'_>,
    limits: &Limits,
) -> Result<SmallVec<[Given; 2]>, Refusal> {
    let specs = &version.signature().inputs;
    let mut columns: SmallVec<[Column<'_>; 2]> = specs.iter().map(Column::new).collect();
    let mut rows = 0;
    scanner.items::<Refusal>(|scanner| {
        scanner.object::<Refusal>(|scanner, key| {
            match columns.iter_mut().find(|column| column.spec.name == key) {
                Some(column) => column.take(scanner, rows, limits),
                None => Ok(scanner.skip()?),
            }
        })?;
        rows += 1;
        match columns.iter().find(|column| column.rows < rows) {
            Some(column) => Err(missing(version, column.spec, rows - 1)),
            None => Ok(()),
        }
    })?;
    columns
        .into_iter()
        .enumerate()
        .map(|(position, column)| {
            let nesting = with_rows(rows, &column.example);
            let data = column.data.freeze();
            let (input, form) = input(version, column.spec, &nesting, data, true)?;
            Ok((position, input, form))
        })
        .collect()
}

/// The examples of one input.
struct Column<'a> {
    spec: &'a TensorSpec,
    data: BytesMut,
    /// How each example is nested.
    example: Shape,
    rows: usize,
    elements: usize,
}

impl<'a> Column<'a> {
    fn new(spec: &'a TensorSpec) -> Self {
        let (data, example) = (BytesMut::new(), Shape::default());
        Column { spec, data, example, rows: 0, elements: 0 }
    }

    fn take(
        &mut self,
        scanner: &mut Scanner<'_>,
        row: usize,
        limits: &Limits,
    ) -> Result<(), Refusal> {
        let name = &self.spec.name;
        if self.rows > row {
            let message = format!("example {row} of instances has '{name}' twice");
            return Err(Refusal::invalid(message));
        }
        // Room is made for what the first example turned out to be.
        let expected = match row {
            0 => expected_elements(self.spec),
            _ => self.elements / row,
        };
        let most = limits.tensor_elements - self.elements;
        let array = elements(scanner, self.spec, Bounds { expected, most })?;
        if row == 0 {
            self.example = array.nesting;
        } else if self.example != array.nesting {
            return Err(Refusal::invalid(format!(
                "'{name}' has shape {} in example {row} of instances, but {} in those before",
                array.nesting, self.example
            )));
        }
        self.data.extend_from_slice(&array.data);
        self.elements += self.example.elements().unwrap_or(0);
        self.rows += 1;
        Ok(())
    }
}

#[cold]
fn missing(version: &Version, spec: &TensorSpec, row: usize) -> Refusal {
    Refusal::invalid(format!(
        "example {row} of instances has no '{}': model '{}' takes {}",
        spec.name,
        version.model(),
        names(&version.signature().inputs)
    ))
}
