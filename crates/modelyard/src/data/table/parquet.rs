//! Parquet tables: flat columns of numbers, booleans and texts.
//!
//! The reader is a library that trusts some of what a file says: its panics on damaged files are
//! caught here and told as what they are.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::record::{Field, Row};
use ::parquet::schema::types::Type;
use anyhow::{Context, anyhow};
use bytes::Bytes;

use super::super::{DataSet, Options};
use super::{Builder, Cell, Columns};

/// Reads a table.
pub(in crate::data) fn read(content: Vec<u8>, options: &Options) -> anyhow::Result<DataSet> {
    // Nothing of what the closure makes outlives a panic in it.
    let read = AssertUnwindSafe(|| read_table(content, options));
    catch_unwind(read).unwrap_or_else(|_| Err(anyhow!("the Parquet file is damaged")))
}

fn read_table(content: Vec<u8>, options: &Options) -> anyhow::Result<DataSet> {
    let failed = "failed to read the Parquet file";
    let reader = SerializedFileReader::new(Bytes::from(content)).context(failed)?;
    let schema = reader.metadata().file_metadata().schema();
    let names: Vec<String> =
        schema.get_fields().iter().map(|field| field.name().to_owned()).collect();
    let columns = Columns::choose(&names, options)?;
    // Only what is used is decoded.
    let used = columns.positions();
    let fields = used.iter().map(|&position| schema.get_fields()[position].clone());
    let projection = Type::group_type_builder(schema.name()).with_fields(fields.collect()).build();
    let projection = projection.context(failed)?;
    let mut builder = Builder::new(columns, options.task);
    for (index, row) in reader.get_row_iter(Some(projection)).context(failed)?.enumerate() {
        let row = row.with_context(|| format!("{failed} at row {}", index + 1))?;
        add(&mut builder, &row, &used, index)?;
    }
    builder.finish(options)
}

/// Adds a row that has the fields of these positions.
fn add(builder: &mut Builder, row: &Row, used: &[usize], index: usize) -> anyhow::Result<()> {
    let fields: Vec<&Field> = row.get_column_iter().map(|(_, field)| field).collect();
    let place = || format!("row {}", index + 1);
    builder.row(place, |position| {
        let field = used.binary_search(&position).ok().and_then(|index| fields.get(index));
        field.map_or(Cell::Missing, |field| cell(field))
    })
}

fn cell(field: &Field) -> Cell<'_> {
    match field {
        Field::Null => Cell::Missing,
        Field::Bool(value) => Cell::Number(f64::from(u8::from(*value))),
        Field::Byte(value) => Cell::Number(f64::from(*value)),
        Field::Short(value) => Cell::Number(f64::from(*value)),
        Field::Int(value) => Cell::Number(f64::from(*value)),
        Field::Long(value) => Cell::Number(*value as f64),
        Field::UByte(value) => Cell::Number(f64::from(*value)),
        Field::UShort(value) => Cell::Number(f64::from(*value)),
        Field::UInt(value) => Cell::Number(f64::from(*value)),
        Field::ULong(value) => Cell::Number(*value as f64),
        Field::Float16(value) => number(value.to_f64()),
        Field::Float(value) => number(f64::from(*value)),
        Field::Double(value) => number(*value),
        Field::Decimal(_) => Cell::parsed_owned(field.to_string()),
        Field::Str(text) => Cell::Text(text.as_str().into()),
        Field::Bytes(_) => Cell::Other("bytes"),
        Field::Group(_) => Cell::Other("a record"),
        Field::ListInternal(_) => Cell::Other("a list"),
        Field::MapInternal(_) => Cell::Other("a map"),
        _ => Cell::Other("a date or time"),
    }
}

/// Pandas writes what is missing as a NaN.
fn number(value: f64) -> Cell<'static> {
    if value.is_nan() { Cell::Missing } else { Cell::Number(value) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ::parquet::basic::{Compression, ZstdLevel};
    use ::parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
    use ::parquet::file::properties::WriterProperties;
    use ::parquet::file::writer::SerializedFileWriter;
    use ::parquet::schema::parser::parse_message_type;
    use proptest::prelude::*;

    use super::super::super::Task;
    use super::super::super::testing::{classes, floats};
    use super::*;

    /// Three rows of a number that may be missing, a whole number and a text.
    fn table(compression: Compression) -> Vec<u8> {
        let schema =
            "message t { optional double a; required int64 b; required binary class (UTF8); }";
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let properties = WriterProperties::builder().set_compression(compression).build();
        let mut file = Vec::new();
        let mut writer =
            SerializedFileWriter::new(&mut file, schema, Arc::new(properties)).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<DoubleType>().write_batch(&[0.5, 1.5], Some(&[1, 0, 1]), None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&[1, 2, 3], None, None).unwrap();
        column.close().unwrap();
        let texts = ["cat", "dog", "ant"].map(ByteArray::from);
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&texts, None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        writer.close().unwrap();
        file
    }

    #[test]
    fn rows_are_read_whatever_packs_them() {
        let options = Options { skip_bad: true, ..Options::default() };
        let zstd = Compression::ZSTD(ZstdLevel::default());
        let gzip = Compression::GZIP(Default::default());
        for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY, zstd, gzip] {
            let data = read(table(compression), &options).unwrap();
            assert_eq!(floats(&*data.train), [0.5, 1.0, 1.5, 3.0]);
            let labels = ["ant", "cat"].map(str::to_owned).to_vec();
            assert_eq!(data.task, Task::Classification { labels });
            assert_eq!(classes(&*data.train), [1, 0]);
            assert_eq!(data.skipped[0].0, "row 2");
        }
        let error = read(table(zstd), &Options::default()).err().unwrap().to_string();
        assert!(error.contains("row 2: column 'a': expected a number, found nothing"), "{error}");
    }

    #[test]
    fn columns_that_are_left_out_do_not_count() {
        let options = Options { ignore: vec!["a".into()], ..Options::default() };
        let data = read(table(Compression::SNAPPY), &options).unwrap();
        assert_eq!(floats(&*data.train), [1.0, 2.0, 3.0]);
        assert_eq!(classes(&*data.train), [1, 2, 0]);
    }

    proptest! {
        #[test]
        fn a_damaged_table_is_read_or_refused(at in 0usize..2000, byte: u8, cut in 0usize..2000) {
            let options = Options { skip_bad: true, ..Options::default() };
            let mut file = table(Compression::SNAPPY);
            let length = file.len();
            file[at % length] = byte;
            let _ = read(file.clone(), &options);
            file.truncate(cut % length);
            let _ = read(file, &options);
        }
    }
}
