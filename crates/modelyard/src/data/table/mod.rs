//! Tables: columns of numbers are features, one column is the target.
//!
//! `csv` and `parquet` bring cells, [`Builder`] makes features and targets of them.

mod builder;
mod csv;
mod parquet;

use anyhow::bail;

pub(super) use self::csv::read as csv;
pub(super) use self::parquet::read as parquet;
use super::{Options, TARGET_NAMES, TaskKind};
use builder::{Builder, Cell};

/// Most columns of a table.
const COLUMNS_MAX: usize = 100_000;
/// Most numbers of a table: 1 GiB of them.
const CELLS_MAX: usize = 1 << 28;

/// Which columns are used for what.
#[derive(Debug, PartialEq)]
struct Columns {
    /// Positions and names of the features, in the order of the table.
    features: Vec<(usize, String)>,
    /// Position and name of the target, unless none is wanted.
    target: Option<(usize, String)>,
}

impl Columns {
    /// The use of these columns. Names of the options that the table does not have are mistakes.
    fn choose(names: &[String], options: &Options) -> anyhow::Result<Columns> {
        let listed = || {
            let shown: Vec<&str> = names.iter().take(20).map(String::as_str).collect();
            let more = if names.len() > shown.len() { ", …" } else { "" };
            format!("{}{more}", shown.join(", "))
        };
        if names.len() > COLUMNS_MAX {
            bail!("the table has {} columns, more than {COLUMNS_MAX}", names.len());
        }
        if let Some(wrong) = options.ignore.iter().find(|name| !names.contains(name)) {
            bail!("there is no column '{wrong}' to ignore, only {}", listed());
        }
        // The numbers of rows, which pandas writes as a column: no model should learn from them.
        let index = |name: &str| name.trim().is_empty() || name.starts_with("__index_level_");
        let used: Vec<(usize, &String)> = names
            .iter()
            .enumerate()
            .filter(|(_, name)| !options.ignore.contains(name) && !index(name))
            .collect();
        let named = |target: &str| {
            used.iter().find(|(_, name)| name.trim().eq_ignore_ascii_case(target)).copied()
        };
        let unlabelled = options.task == Some(TaskKind::Unlabelled);
        let target = match &options.target {
            Some(target) => match used.iter().find(|(_, name)| *name == target) {
                Some(found) => Some(*found),
                None if unlabelled => None,
                None => bail!("there is no column '{target}' to be the target, only {}", listed()),
            },
            None => {
                let last = used.last().copied().filter(|_| !unlabelled);
                TARGET_NAMES.iter().find_map(|name| named(name)).or(last)
            }
        };
        if target.is_none() && !unlabelled {
            bail!("the table has no columns");
        }
        let is_target = |at: usize| target.is_some_and(|(position, _)| position == at);
        let features = used.into_iter().filter(|(position, _)| !is_target(*position));
        let features: Vec<_> =
            features.map(|(position, name)| (position, name.trim().to_owned())).collect();
        if features.is_empty() {
            let beside = target.map(|(_, name)| format!(" beside the target '{name}'"));
            bail!("expected columns of numbers{}, found none", beside.unwrap_or_default());
        }
        let target = target.filter(|_| !unlabelled);
        Ok(Columns { features, target: target.map(|(position, name)| (position, name.clone())) })
    }

    /// The positions of all columns in use, ascending.
    fn positions(&self) -> Vec<usize> {
        let features = self.features.iter().map(|(position, _)| *position);
        let target = self.target.iter().map(|(position, _)| *position);
        let mut positions: Vec<usize> = features.chain(target).collect();
        positions.sort_unstable();
        positions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(names: &[&str], options: &Options) -> anyhow::Result<(Vec<usize>, usize)> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let columns = Columns::choose(&names, options)?;
        let features = columns.features.iter().map(|(position, _)| *position).collect();
        Ok((features, columns.target.map_or(usize::MAX, |(position, _)| position)))
    }

    #[test]
    fn targets_are_found_by_name_or_are_last() {
        let default = Options::default();
        assert_eq!(choose(&["Target", "a", "b"], &default).unwrap(), (vec![1, 2], 0));
        assert_eq!(choose(&["y", "label", "b"], &default).unwrap(), (vec![0, 2], 1));
        assert_eq!(choose(&["a", "b", "c"], &default).unwrap(), (vec![0, 1], 2));
        let options =
            Options { target: Some("a".into()), ignore: vec!["b".into()], ..Options::default() };
        assert_eq!(choose(&["a", "b", "c"], &options).unwrap(), (vec![2], 0));
        let pandas = ["", "a", "b", "__index_level_0__"];
        assert_eq!(choose(&pandas, &default).unwrap(), (vec![1], 2));
    }

    #[test]
    fn without_targets_all_columns_but_theirs_are_features() {
        let options = |target: Option<&str>| Options {
            task: Some(TaskKind::Unlabelled),
            target: target.map(str::to_owned),
            ..Options::default()
        };
        let none = usize::MAX;
        assert_eq!(choose(&["a", "b"], &options(None)).unwrap(), (vec![0, 1], none));
        assert_eq!(choose(&["a", "label"], &options(None)).unwrap(), (vec![0], none));
        assert_eq!(choose(&["a", "b", "c"], &options(Some("b"))).unwrap(), (vec![0, 2], none));
        assert_eq!(choose(&["a", "c"], &options(Some("b"))).unwrap(), (vec![0, 1], none));
    }

    #[test]
    fn wrong_names_are_told_with_the_right_ones() {
        let refusal = |target: Option<&str>, ignore: &[&str]| {
            let options = Options {
                target: target.map(str::to_owned),
                ignore: ignore.iter().map(|&name| name.to_owned()).collect(),
                ..Options::default()
            };
            choose(&["a", "b"], &options).unwrap_err().to_string()
        };
        assert_eq!(refusal(Some("z"), &[]), "there is no column 'z' to be the target, only a, b");
        assert_eq!(refusal(None, &["z"]), "there is no column 'z' to ignore, only a, b");
        assert_eq!(
            refusal(None, &["a"]),
            "expected columns of numbers beside the target 'b', found none"
        );
    }
}
