//! The two files of a model: `name-symbol.json` and `name-0000.params`, of which either is given.

use super::malformed;
use super::parameters::Parameters;
use super::symbol::{self, Symbol};
use crate::input::{Input, Source};
use crate::{ConvertError, Limits};

const SYMBOL: &str = "-symbol.json";
const PARAMETERS: &str = ".params";

/// Reads both files.
pub(super) fn read(
    source: &Source,
    limits: &Limits,
) -> Result<(Symbol, Parameters, Vec<String>), ConvertError> {
    let file = source.file()?;
    let name = file.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let neighbours = source.neighbours()?;
    let mut notes = Vec::new();
    let (symbol, parameters) = if is_parameters(file)? {
        let found = symbol_of(name, &neighbours);
        let found = found.and_then(|found| source.beside(found).transpose()).transpose()?;
        let symbol = found.ok_or_else(|| {
            malformed(
                &format!("'{name}'"),
                "these are parameters, whose graph is in another file; put \
                 'name-symbol.json' beside it (`net.export('name')` writes both)",
            )
        })?;
        (symbol, Some(file.clone()))
    } else {
        let found = parameters_of(name, &neighbours);
        if let [first, others @ ..] = found.as_slice()
            && !others.is_empty()
        {
            notes.push(format!("the parameters are of '{first}', the latest of {}", found.len()));
        }
        let found = found.first().and_then(|found| source.beside(found).transpose()).transpose()?;
        (file.clone(), found)
    };
    let symbol = symbol::parse(&symbol.read_all(limits.description_bytes)?, limits)?;
    let parameters = match parameters {
        Some(input) => Parameters::open(&input, limits)?,
        None => Parameters::default(),
    };
    Ok((symbol, parameters, notes))
}

fn is_parameters(file: &Input) -> Result<bool, ConvertError> {
    Ok(file.head(8)?.starts_with(&0x112u64.to_le_bytes()))
}

/// What stands before `-symbol.json` or `-0000.params`.
fn stem(name: &str) -> &str {
    if let Some(stem) = name.strip_suffix(SYMBOL).or_else(|| name.strip_suffix(".json")) {
        return stem;
    }
    let stem = name.strip_suffix(PARAMETERS).unwrap_or(name);
    match stem.rsplit_once('-') {
        Some((stem, epoch)) if epoch.len() >= 4 && epoch.bytes().all(|it| it.is_ascii_digit()) => {
            stem
        }
        _ => stem,
    }
}

fn symbol_of<'a>(name: &str, neighbours: &'a [String]) -> Option<&'a str> {
    let stem = stem(name);
    let names = [format!("{stem}{SYMBOL}"), format!("{stem}.json")];
    let found = names.iter().find_map(|name| neighbours.iter().find(|other| *other == name));
    found.map(String::as_str)
}

/// The files of parameters that belong to a symbol, the latest epoch first.
fn parameters_of<'a>(name: &str, neighbours: &'a [String]) -> Vec<&'a str> {
    let stem_of_symbol = stem(name);
    let mut found: Vec<&str> = neighbours
        .iter()
        .map(String::as_str)
        .filter(|other| other.ends_with(PARAMETERS) && stem(other) == stem_of_symbol)
        .collect();
    found.sort_by_key(|name| std::cmp::Reverse((name.len(), *name)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_belong_together_by_their_names() {
        let names = ["net-0000.params", "net-0012.params", "net-symbol.json", "other-0099.params"];
        let names = names.map(str::to_owned);
        assert_eq!(
            parameters_of("net-symbol.json", &names),
            ["net-0012.params", "net-0000.params"]
        );
        assert_eq!(symbol_of("net-0012.params", &names), Some("net-symbol.json"));
        assert_eq!(symbol_of("other-0099.params", &names), None);
        assert_eq!(stem("resnet-50-0000.params"), "resnet-50");
        assert_eq!(stem("my-net.params"), "my-net");
    }
}
