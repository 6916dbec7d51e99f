//! Records as the columns of a row group.
//!
//! Parquet keeps nested lists flat, with two small numbers a value (after Dremel): `repetition`
//! says which list goes on (0 for a new row), `definition` how far down there is anything.

use std::io::Write;
use std::time::Duration;

use modelyard_tensor::Tensor;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int64Type};
use parquet::errors::Result;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};

use crate::record::{NamedTensor, Record};
use crate::schema::OK;

/// Writes records as one row group, in the order of the schema.
pub(crate) fn write<W: Write + Send>(
    file: &mut SerializedFileWriter<W>,
    records: &[Record],
) -> Result<()> {
    let mut group = file.next_row_group()?;
    let numbers = |of: fn(&Record) -> i64| records.iter().map(of).collect::<Vec<_>>();
    let texts = |of: fn(&Record) -> &str| records.iter().map(of).map(text).collect::<Vec<_>>();
    let some = |of: fn(&Record) -> Option<i64>| Column::optional(records.iter().map(of));
    Column::required(numbers(|record| record.time_us)).write::<Int64Type, W>(&mut group)?;
    Column::required(texts(|record| &record.model)).write::<ByteArrayType, W>(&mut group)?;
    // Unsigned by its logical type: the bits are the same.
    Column::required(numbers(|record| record.version as i64)).write::<Int64Type, W>(&mut group)?;
    Column::required(texts(|record| &record.request_id)).write::<ByteArrayType, W>(&mut group)?;
    Column::required(numbers(|record| record.rows as i64)).write::<Int64Type, W>(&mut group)?;
    let latencies = numbers(|record| micros(record.latency));
    Column::required(latencies).write::<Int64Type, W>(&mut group)?;
    some(|record| record.queue.map(micros)).write::<Int64Type, W>(&mut group)?;
    some(|record| record.compute.map(micros)).write::<Int64Type, W>(&mut group)?;
    let outcomes = texts(|record| record.answer.as_ref().err().map_or(OK, |failure| &failure.code));
    Column::required(outcomes).write::<ByteArrayType, W>(&mut group)?;
    let messages = records.iter().map(|record| record.answer.as_ref().err());
    let messages = messages.map(|failure| failure.map(|failure| text(&failure.message)));
    Column::optional(messages).write::<ByteArrayType, W>(&mut group)?;
    tensors(&mut group, records.iter().map(|record| record.inputs.as_slice()))?;
    let outputs = records.iter().map(|record| record.answer.as_deref().unwrap_or_default());
    tensors(&mut group, outputs)?;
    group.close().map(drop)
}

/// A list of tensors a row: four columns.
fn tensors<'a, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    rows: impl Iterator<Item = &'a [NamedTensor]> + Clone,
) -> Result<()> {
    let name = |named: &NamedTensor| text(&named.name);
    let data_type = |named: &NamedTensor| text(named.tensor.data_type().name());
    let data = |named: &NamedTensor| ByteArray::from(named.tensor.data().clone());
    Column::in_list(rows.clone(), name).write::<ByteArrayType, W>(group)?;
    Column::in_list(rows.clone(), data_type).write::<ByteArrayType, W>(group)?;
    Column::shapes(rows.clone()).write::<Int64Type, W>(group)?;
    Column::in_list(rows, data).write::<ByteArrayType, W>(group)
}

fn text(text: &str) -> ByteArray {
    ByteArray::from(text)
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

/// The values of one column, and where they stand.
struct Column<T> {
    values: Vec<T>,
    definition: Option<Vec<i16>>,
    repetition: Option<Vec<i16>>,
}

impl<T> Column<T> {
    /// One value a row.
    fn required(values: Vec<T>) -> Self {
        Column { values, definition: None, repetition: None }
    }

    /// One value a row, or none.
    fn optional(rows: impl Iterator<Item = Option<T>>) -> Self {
        let (mut values, mut definition) = (Vec::new(), Vec::new());
        for value in rows {
            definition.push(i16::from(value.is_some()));
            values.extend(value);
        }
        Column { values, definition: Some(definition), repetition: None }
    }

    /// One value a tensor.
    fn in_list<'a>(
        rows: impl Iterator<Item = &'a [NamedTensor]>,
        value: impl Fn(&NamedTensor) -> T,
    ) -> Self {
        let mut levels = Levels::default();
        let mut values = Vec::new();
        for row in rows {
            if row.is_empty() {
                levels.push(0, 0);
            }
            for (index, named) in row.iter().enumerate() {
                levels.push(1, i16::from(index > 0));
                values.push(value(named));
            }
        }
        levels.of(values)
    }

    fn write<D: DataType<T = T>, W: Write + Send>(
        self,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<()> {
        let mut column = group.next_column()?.expect("there are as many columns as the schema has");
        let (definition, repetition) = (self.definition.as_deref(), self.repetition.as_deref());
        column.typed::<D>().write_batch(&self.values, definition, repetition)?;
        column.close()
    }
}

impl Column<i64> {
    /// A list of dimensions a tensor.
    fn shapes<'a>(rows: impl Iterator<Item = &'a [NamedTensor]>) -> Self {
        let mut levels = Levels::default();
        let mut values = Vec::new();
        for row in rows {
            if row.is_empty() {
                levels.push(0, 0);
            }
            for (index, NamedTensor { tensor, .. }) in row.iter().enumerate() {
                let begins = i16::from(index > 0);
                if tensor.shape().is_empty() {
                    levels.push(1, begins);
                }
                for (place, size) in dims(tensor).enumerate() {
                    levels.push(2, if place == 0 { begins } else { 2 });
                    values.push(size);
                }
            }
        }
        levels.of(values)
    }
}

fn dims(tensor: &Tensor) -> impl Iterator<Item = i64> {
    tensor.shape().iter().map(|&size| i64::try_from(size).unwrap_or(i64::MAX))
}

#[derive(Default)]
struct Levels {
    definition: Vec<i16>,
    repetition: Vec<i16>,
}

impl Levels {
    fn push(&mut self, definition: i16, repetition: i16) {
        self.definition.push(definition);
        self.repetition.push(repetition);
    }

    fn of<T>(self, values: Vec<T>) -> Column<T> {
        Column { values, definition: Some(self.definition), repetition: Some(self.repetition) }
    }
}
