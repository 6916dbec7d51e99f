//! The records of one file.
//!
//! Files are believed in nothing. The library that reads them trusts some of what a file says: its
//! panics on damaged files are caught here and told as what they are.

use std::collections::BTreeSet;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use modelyard_tensor::{Shape, Tensor};
use parquet::errors::ParquetError;
use parquet::file::metadata::FileMetaData;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};
use parquet::schema::types::{Type, TypePtr};

use crate::record::{Failure, NamedTensor, Record};
use crate::schema::{OK, SCHEMA, VERSION_KEY};
use crate::{TapeError, VERSION};

/// Where the column with the model stands.
const MODEL: usize = 1;

/// How much of each record is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// All but the outputs, which come out empty: to run the requests again.
    Requests,
}

/// The records of one file, in the order they were written.
pub struct Reader {
    path: PathBuf,
    rows: RowIter<'static>,
    /// Nothing comes after an error.
    failed: bool,
}

impl Reader {
    /// Opens a file; an error unless it is a tape of a version that is known.
    pub fn open(path: &Path, part: Part) -> Result<Reader, TapeError> {
        let fields = SCHEMA.get_fields();
        let count = if part == Part::Whole { fields.len() } else { fields.len() - 1 };
        let rows = rows(path, &fields[..count])?;
        Ok(Reader { path: path.to_owned(), rows, failed: false })
    }

    /// The models whose requests a file holds.
    pub(crate) fn models(path: &Path) -> Result<BTreeSet<String>, TapeError> {
        let fields = SCHEMA.get_fields();
        let rows = rows(path, &fields[MODEL..=MODEL])?;
        guarded(path, || {
            let model = |row: Result<Row, ParquetError>| {
                let row = row.map_err(|error| TapeError::damaged(path, error))?;
                Fields::of(row).text().map_err(|reason| TapeError::damaged(path, reason))
            };
            rows.map(model).collect()
        })
    }

    fn read(&mut self) -> Option<Result<Record, TapeError>> {
        let (path, rows) = (&self.path, &mut self.rows);
        // Nothing of the iterator is used after a panic in it.
        guarded(path, || match rows.next() {
            None => Ok(None),
            Some(Err(error)) => Err(TapeError::damaged(path, error)),
            Some(Ok(row)) => {
                record(row).map(Some).map_err(|reason| TapeError::damaged(path, reason))
            }
        })
        .transpose()
    }
}

impl Iterator for Reader {
    type Item = Result<Record, TapeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let record = self.read();
        self.failed = matches!(record, Some(Err(_)));
        record
    }
}

fn guarded<T>(path: &Path, read: impl FnOnce() -> Result<T, TapeError>) -> Result<T, TapeError> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(TapeError::damaged(path, "its parts contradict each other")))
}

/// Whether this is a tape, and of a version that is known.
fn check(path: &Path, metadata: &FileMetaData) -> Result<(), TapeError> {
    let pairs = metadata.key_value_metadata().into_iter().flatten();
    let version = pairs.filter(|pair| pair.key == VERSION_KEY).find_map(|pair| pair.value.clone());
    let Some(version) = version else { return Err(TapeError::Foreign { path: path.to_owned() }) };
    match version.parse::<u32>() {
        Ok(number) if (1..=VERSION).contains(&number) => {}
        Ok(number) if number > VERSION => {
            return Err(TapeError::Newer { path: path.to_owned(), found: version });
        }
        _ => {
            let short: String = version.chars().take(32).collect();
            return Err(TapeError::damaged(path, format!("its schema version is '{short}'")));
        }
    }
    if metadata.schema().get_fields() != SCHEMA.get_fields() {
        let reason = format!("its columns are not those of schema version {version}");
        return Err(TapeError::damaged(path, reason));
    }
    Ok(())
}

/// The rows of a file, of these columns.
fn rows(path: &Path, fields: &[TypePtr]) -> Result<RowIter<'static>, TapeError> {
    let file = open(path)?;
    guarded(path, || {
        let rows = RowIter::from_file_into(Box::new(file));
        rows.project(Some(projection(fields))).map_err(|error| TapeError::damaged(path, error))
    })
}

/// A file; an error unless it is a tape of a version that is known.
fn open(path: &Path) -> Result<SerializedFileReader<File>, TapeError> {
    let file = File::open(path).map_err(TapeError::io("open", path))?;
    guarded(path, || {
        let reader = SerializedFileReader::new(file);
        let reader = reader.map_err(|error| TapeError::damaged(path, error))?;
        check(path, reader.metadata().file_metadata())?;
        Ok(reader)
    })
}

/// These columns of the schema.
fn projection(fields: &[TypePtr]) -> Type {
    let columns = Type::group_type_builder(SCHEMA.name()).with_fields(fields.to_vec());
    columns.build().expect("it is a part of a schema")
}

/// The requests for a model in the last row groups of a file, newest first, without outputs.
/// `groups` is how many groups may be read yet; those without the model do not count.
pub(crate) fn last(path: &Path, model: &str, groups: &mut usize) -> Result<Vec<Record>, TapeError> {
    let file = open(path)?;
    guarded(path, || {
        let damaged = |error: ParquetError| TapeError::damaged(path, error);
        let wrong = |reason: String| TapeError::damaged(path, reason);
        let fields = SCHEMA.get_fields();
        let mut found = Vec::new();
        for index in (0..file.num_row_groups()).rev() {
            if *groups == 0 {
                break;
            }
            let group = file.get_row_group(index).map_err(damaged)?;
            let read = |columns: &[TypePtr]| {
                RowIter::from_row_group(Some(projection(columns)), &*group).map_err(damaged)
            };
            // One column is read in no time: most groups may be about other models.
            let mut has_model = false;
            for row in read(&fields[MODEL..=MODEL])? {
                has_model |= Fields::of(row.map_err(damaged)?).text().map_err(wrong)? == model;
            }
            if !has_model {
                continue;
            }
            *groups -= 1;
            let start = found.len();
            for row in read(&fields[..fields.len() - 1])? {
                let record = record(row.map_err(damaged)?).map_err(wrong)?;
                found.extend(Some(record).filter(|record| record.model == model));
            }
            found[start..].reverse();
        }
        Ok(found)
    })
}

/// Fields one after the other, each of the kind that is expected.
struct Fields(std::vec::IntoIter<(String, Field)>);

impl Fields {
    fn of(row: Row) -> Fields {
        Fields(row.into_columns().into_iter())
    }

    fn take<T>(&mut self, as_kind: impl FnOnce(Field) -> Option<T>) -> Result<T, String> {
        let (name, field) = self.0.next().ok_or("a column is missing")?;
        as_kind(field).ok_or_else(|| format!("column '{name}' holds something else than expected"))
    }

    fn text(&mut self) -> Result<String, String> {
        self.take(text)
    }

    fn number(&mut self) -> Result<u64, String> {
        self.take(|field| match field {
            Field::ULong(number) => Some(number),
            _ => None,
        })
    }

    fn time(&mut self) -> Result<Duration, String> {
        self.take(|field| duration(&field))
    }

    fn some<T>(&mut self, as_kind: impl FnOnce(Field) -> Option<T>) -> Result<Option<T>, String> {
        self.take(|field| match field {
            Field::Null => Some(None),
            field => as_kind(field).map(Some),
        })
    }

    fn tensors(&mut self) -> Result<Vec<NamedTensor>, String> {
        let list = self.take(elements)?;
        let group = |field| match field {
            Field::Group(row) => tensor(Fields::of(row)),
            _ => Err("a list of tensors holds something else".to_owned()),
        };
        list.into_iter().map(group).collect()
    }
}

fn text(field: Field) -> Option<String> {
    if let Field::Str(text) = field { Some(text) } else { None }
}

fn duration(field: &Field) -> Option<Duration> {
    match field {
        Field::Long(us) => u64::try_from(*us).ok().map(Duration::from_micros),
        _ => None,
    }
}

fn elements(field: Field) -> Option<Vec<Field>> {
    if let Field::ListInternal(list) = field { Some(list.elements().to_vec()) } else { None }
}

fn record(row: Row) -> Result<Record, String> {
    let mut fields = Fields::of(row);
    let mut record = Record {
        time_us: fields.take(|field| match field {
            Field::TimestampMicros(time) => Some(time),
            _ => None,
        })?,
        model: fields.text()?,
        version: fields.number()?,
        request_id: fields.text()?,
        rows: fields.number()?,
        latency: fields.time()?,
        queue: fields.some(|field| duration(&field))?,
        compute: fields.some(|field| duration(&field))?,
        inputs: Vec::new(),
        answer: Ok(Vec::new()),
    };
    let outcome = fields.text()?;
    let message = fields.some(text)?.unwrap_or_default();
    record.inputs = fields.tensors()?;
    // Left out where only requests are read.
    let outputs = if fields.0.len() > 0 { fields.tensors()? } else { Vec::new() };
    record.answer = match outcome.as_str() {
        OK => Ok(outputs),
        _ => Err(Failure { code: outcome, message }),
    };
    Ok(record)
}

fn tensor(mut fields: Fields) -> Result<NamedTensor, String> {
    let name = fields.text()?;
    let data_type = fields.text()?.parse().map_err(|error| format!("tensor '{name}': {error}"))?;
    let size = |field| match field {
        Field::Long(size) => {
            usize::try_from(size).map_err(|_| format!("tensor '{name}' is {size} large"))
        }
        _ => Err("a shape holds something else than numbers".to_owned()),
    };
    let shape: Shape = fields
        .take(elements)?
        .into_iter()
        .map(size)
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .collect();
    let data = fields.take(|field| match field {
        // Copied: it is a slice of a page, and would keep all of that.
        Field::Bytes(data) => Some(Bytes::copy_from_slice(data.data())),
        _ => None,
    })?;
    let tensor =
        Tensor::new(data_type, shape, data).map_err(|error| format!("tensor '{name}': {error}"))?;
    Ok(NamedTensor { name, tensor })
}
