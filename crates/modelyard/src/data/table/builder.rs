//! Features and targets from the cells of a table, row by row.

use std::borrow::Cow;
use std::collections::HashMap;

use anyhow::bail;

use super::super::arrays::{Column, Found, data_set};
use super::super::bad::{Bad, quoted};
use super::super::targets::Raw;
use super::super::{DataSet, FEW_CLASSES, InputKind, Options, TaskKind};
use super::{CELLS_MAX, Columns};

/// Most different texts that are kept as targets.
const TEXTS_MAX: usize = 1 << 24;
/// What tables write where they have no value.
const MISSING: [&str; 8] = ["", "na", "n/a", "nan", "null", "none", "?", "-"];

/// One cell.
#[derive(Debug, PartialEq)]
pub(super) enum Cell<'a> {
    Missing,
    Number(f64),
    Text(Cow<'a, str>),
    /// Something that a feature cannot be, such as a list: what it is.
    Other(&'static str),
}

impl<'a> Cell<'a> {
    /// The cell that a text file has.
    pub(super) fn parsed(text: &'a str) -> Cell<'a> {
        let text = text.trim();
        if MISSING.iter().any(|missing| text.eq_ignore_ascii_case(missing)) {
            return Cell::Missing;
        }
        match text.parse::<f64>() {
            Ok(number) => Cell::Number(number),
            Err(_) => Cell::Text(text.into()),
        }
    }

    /// The same of a text that nobody keeps.
    pub(super) fn parsed_owned(text: String) -> Cell<'static> {
        match Cell::parsed(&text) {
            Cell::Missing => Cell::Missing,
            Cell::Number(number) => Cell::Number(number),
            Cell::Text(_) | Cell::Other(_) => Cell::Text(text.into()),
        }
    }
}

/// A data set in the making.
pub(super) struct Builder {
    columns: Columns,
    features: Vec<f32>,
    targets: TargetColumn,
    rows: usize,
    /// Rows seen, and in how many of them each feature was a number.
    seen: usize,
    numbers: Vec<usize>,
    bad: Bad,
}

impl Builder {
    /// A table with these columns.
    pub(super) fn new(columns: Columns, task: Option<TaskKind>) -> Builder {
        let numbers = vec![0; columns.features.len()];
        let targets = TargetColumn { task, ..TargetColumn::default() };
        let (features, bad) = (Vec::new(), Bad::default());
        Builder { columns, features, targets, rows: 0, seen: 0, numbers, bad }
    }

    /// Adds the row at `place`, whose cells are asked for by position.
    pub(super) fn row<'a>(
        &mut self,
        place: impl Fn() -> String,
        cell: impl Fn(usize) -> Cell<'a>,
    ) -> anyhow::Result<()> {
        self.seen += 1;
        let kept = self.features.len();
        let mut wrong = None;
        for (feature, (position, name)) in self.columns.features.iter().enumerate() {
            match number(&cell(*position)) {
                Ok(value) => {
                    self.numbers[feature] += 1;
                    self.features.push(value);
                }
                Err(found) => wrong = wrong.or(Some((name, found))),
            }
        }
        if self.features.len() > CELLS_MAX {
            bail!("the table has more than {CELLS_MAX} numbers");
        }
        // A target is only taken with its features, so that both keep their number of rows.
        let wrong = match wrong {
            Some((name, found)) => Some((name, format!("expected a number, found {found}"))),
            None => match &self.columns.target {
                Some((position, name)) => {
                    self.targets.push(cell(*position))?.map(|reason| (name, reason))
                }
                None => None,
            },
        };
        match wrong {
            Some((name, reason)) => {
                self.features.truncate(kept);
                self.bad.note(place(), format!("column '{name}': {reason}"))
            }
            None => {
                self.rows += 1;
                Ok(())
            }
        }
    }

    /// Notes a row that has no cells to speak of.
    pub(super) fn bad_row(&mut self, place: String, reason: String) -> anyhow::Result<()> {
        self.bad.note(place, reason)
    }

    /// The data set.
    pub(super) fn finish(self, options: &Options) -> anyhow::Result<DataSet> {
        if self.seen > 0 {
            self.refuse_text_columns()?;
        }
        let skipped = self.bad.finish(self.rows, options.skip_bad)?;
        let targets = match &self.columns.target {
            Some(_) => self.targets.finish(),
            None => Raw::Unknown,
        };
        let names: Vec<String> = self.columns.features.into_iter().map(|(_, name)| name).collect();
        let shape = [names.len()].into();
        let column = Column::floats(shape, self.features, self.rows, InputKind::Table(names));
        let inputs = vec![("features".to_owned(), column)];
        let found = Found { inputs, targets };
        data_set(found, None, options, skipped)
    }

    /// Columns without a single number are no features of any row.
    fn refuse_text_columns(&self) -> anyhow::Result<()> {
        let names = self.columns.features.iter().zip(&self.numbers);
        let texts: Vec<&str> = names
            .filter(|(_, numbers)| **numbers == 0)
            .map(|((_, name), _)| name.as_str())
            .collect();
        match texts.as_slice() {
            [] => Ok(()),
            names => bail!(
                "no numbers in column '{}': leave out what is no feature (--ignore {})",
                names.join("', '"),
                names.join(",")
            ),
        }
    }
}

/// The number, or what else the cell is.
fn number(cell: &Cell<'_>) -> Result<f32, String> {
    match cell {
        // A number too large for a float is infinite, which no model learns from.
        Cell::Number(value) if (*value as f32).is_finite() => Ok(*value as f32),
        Cell::Number(value) => Err(value.to_string()),
        Cell::Missing => Err("nothing".to_owned()),
        Cell::Text(text) => Err(quoted(text)),
        Cell::Other(what) => Err((*what).to_owned()),
    }
}

/// The target of each row: all numbers, or texts from the first that is none.
#[derive(Default)]
struct TargetColumn {
    task: Option<TaskKind>,
    numbers: Vec<f64>,
    /// For each row, the number of its text.
    texts: Vec<u32>,
    distinct: HashMap<String, u32>,
    has_text: bool,
}

impl TargetColumn {
    /// Takes a target, or says why it cannot.
    fn push(&mut self, cell: Cell<'_>) -> anyhow::Result<Option<String>> {
        let text = match &cell {
            Cell::Number(value) if !value.is_finite() => {
                return Ok(Some(format!("expected a target, found {value}")));
            }
            Cell::Number(value) => value.to_string(),
            Cell::Text(_) if self.task == Some(TaskKind::Regression) => {
                return Ok(number(&cell).err().map(|f| format!("expected a number, found {f}")));
            }
            Cell::Text(text) => text.clone().into_owned(),
            Cell::Missing => return Ok(Some("expected a target, found nothing".to_owned())),
            Cell::Other(what) => return Ok(Some(format!("expected a target, found {what}"))),
        };
        match cell {
            Cell::Number(value) => self.numbers.push(value),
            _ => self.has_text = true,
        }
        if self.task == Some(TaskKind::Regression) {
            return Ok(None);
        }
        let next = u32::try_from(self.distinct.len()).unwrap_or(u32::MAX);
        let number = *self.distinct.entry(text).or_insert(next);
        self.texts.push(number);
        if self.distinct.len() > TEXTS_MAX {
            bail!("the target has more than {TEXTS_MAX} different values");
        }
        Ok(None)
    }

    fn finish(self) -> Raw {
        let whole = || self.numbers.iter().all(|n| n.fract() == 0.0 && n.abs() < 1e15);
        if self.has_text || (self.task == Some(TaskKind::Classification) && !whole()) {
            let mut names = vec![String::new(); self.distinct.len()];
            for (name, number) in self.distinct {
                names[number as usize] = name;
            }
            let texts = self.texts.iter().map(|&number| names[number as usize].clone());
            return Raw::Texts(texts.collect());
        }
        let classes = match self.task {
            Some(task) => task == TaskKind::Classification,
            None => whole() && self.distinct.len() <= FEW_CLASSES,
        };
        match classes {
            true => Raw::Integers(self.numbers.iter().map(|&number| number as i64).collect()),
            false => Raw::Values(1, self.numbers.iter().map(|&number| number as f32).collect()),
        }
    }
}
