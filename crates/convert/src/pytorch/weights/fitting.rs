//! Weights for the names and shapes that an architecture has.

use std::collections::{BTreeMap, BTreeSet};

use crate::ConvertError;
use crate::pytorch::weight::Weight;

/// What stands before names because of how a model was trained or wrapped, and means nothing.
const WRAPPERS: [&str; 4] = ["module.", "_orig_mod.", "model.", "net."];

/// Names that files have and architectures do not compute with.
const IGNORED: [&str; 4] =
    ["num_batches_tracked", "position_ids", "embeddings.token_type_ids", "total_ops"];

/// What of the weights does not fit an architecture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Misfit {
    /// Names that the file has not.
    pub(super) missing: Vec<String>,
    /// Names whose shapes are others: name, expected and found.
    pub(super) shapes: Vec<(String, Vec<usize>, Vec<usize>)>,
    /// Names that the architecture has not.
    pub(super) extra: Vec<String>,
}

impl Misfit {
    /// Whether all fits.
    pub(super) fn is_none(&self) -> bool {
        self.missing.is_empty() && self.shapes.is_empty() && self.extra.is_empty()
    }

    /// Everything that does not fit, at once.
    pub(super) fn error(&self, architecture: &str) -> ConvertError {
        const SHOWN: usize = 20;
        let mut lines = Vec::new();
        let mut list = |what: &str, items: Vec<String>| {
            if items.is_empty() {
                return;
            }
            lines.push(format!("  {} {what}:", items.len()));
            lines.extend(items.iter().take(SHOWN).map(|item| format!("    {item}")));
            if items.len() > SHOWN {
                lines.push(format!("    and {} more", items.len() - SHOWN));
            }
        };
        let shape = |(name, expected, found): &(String, Vec<usize>, Vec<usize>)| {
            format!("{name}: expected {expected:?}, found {found:?}")
        };
        list("missing in the file", self.missing.clone());
        list("of another shape", self.shapes.iter().map(shape).collect());
        list("that the architecture does not have", self.extra.clone());
        ConvertError::Option(format!(
            "the weights do not fit architecture '{architecture}':\n{}",
            lines.join("\n")
        ))
    }
}

/// Compares names and shapes with what is expected.
pub(super) fn misfit(
    tensors: &BTreeMap<String, Weight>,
    expected: &BTreeMap<String, Vec<usize>>,
) -> Misfit {
    let mut misfit = Misfit::default();
    for (name, shape) in expected {
        match tensors.get(name) {
            None => misfit.missing.push(name.clone()),
            Some(weight) if weight.sizes() != shape => {
                misfit.shapes.push((name.clone(), shape.clone(), weight.sizes().to_vec()));
            }
            Some(_) => {}
        }
    }
    let extra = tensors.keys().filter(|name| !expected.contains_key(*name));
    misfit.extra = extra.filter(|name| !is_ignored(name)).cloned().collect();
    misfit
}

fn is_ignored(name: &str) -> bool {
    IGNORED.iter().any(|end| name.ends_with(end))
}

/// The weights under the names that `expected` has: what stands before all of them is taken away or
/// added where that makes more of them fit. Says what was done.
pub(super) fn renamed(
    tensors: BTreeMap<String, Weight>,
    expected: &BTreeSet<&str>,
) -> (BTreeMap<String, Weight>, Option<String>) {
    let fitting = |names: &mut dyn Iterator<Item = String>| {
        names.filter(|name| expected.contains(name.as_str())).count()
    };
    let mut best = (fitting(&mut tensors.keys().cloned()), String::new());
    for prefix in prefixes(&tensors, expected) {
        let mut names =
            tensors.keys().filter_map(|name| Some(name.strip_prefix(&prefix)?.to_owned()));
        let found = fitting(&mut names);
        if found > best.0 {
            best = (found, prefix);
        }
    }
    let prefix = best.1;
    if prefix.is_empty() {
        return (tensors, None);
    }
    let stripped = tensors.into_iter().map(|(name, weight)| {
        let short = name.strip_prefix(&prefix).map(str::to_owned);
        (short.unwrap_or(name), weight)
    });
    (stripped.collect(), Some(format!("'{prefix}' was taken away from the names of the weights")))
}

/// What may stand before the names: known wrappers, also twice, and what stands before the first
/// name that is expected.
fn prefixes(tensors: &BTreeMap<String, Weight>, expected: &BTreeSet<&str>) -> BTreeSet<String> {
    let mut found: BTreeSet<String> = WRAPPERS.iter().map(|&one| one.to_owned()).collect();
    found.extend(
        WRAPPERS.iter().flat_map(|one| WRAPPERS.iter().map(move |two| format!("{one}{two}"))),
    );
    if let Some(first) = expected.first() {
        let ends = tensors.keys().filter_map(|name| name.strip_suffix(first));
        found.extend(ends.filter(|prefix| prefix.ends_with('.')).map(str::to_owned));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pytorch::weight::Storage;
    use bytes::Bytes;
    use modelyard_graph::ElementType;

    fn weight(sizes: &[usize]) -> Weight {
        let storage = Storage::Memory(Bytes::from(vec![0; 4 * sizes.iter().product::<usize>()]));
        Weight::dense(storage, ElementType::Float32, sizes).unwrap()
    }

    fn dict(entries: &[(&str, &[usize])]) -> BTreeMap<String, Weight> {
        entries.iter().map(|(name, sizes)| ((*name).to_owned(), weight(sizes))).collect()
    }

    #[test]
    fn all_that_does_not_fit_is_listed_at_once() {
        let tensors =
            dict(&[("a", &[1]), ("b", &[2]), ("d", &[1]), ("bn.num_batches_tracked", &[])]);
        let expected: BTreeMap<String, Vec<usize>> =
            [("a", vec![1]), ("b", vec![3]), ("c", vec![1])]
                .map(|(name, shape)| (name.to_owned(), shape))
                .into();
        let misfit = misfit(&tensors, &expected);
        assert_eq!(
            misfit.error("net").to_string(),
            "the weights do not fit architecture 'net':\n  1 missing in the file:\n    c\n  1 of \
             another shape:\n    b: expected [3], found [2]\n  1 that the architecture does not \
             have:\n    d"
        );
    }

    #[test]
    fn wrappers_are_taken_away() {
        let expected = BTreeSet::from(["a.weight", "b.weight"]);
        let (tensors, note) =
            renamed(dict(&[("module.a.weight", &[1]), ("module.b.weight", &[1])]), &expected);
        assert!(tensors.contains_key("a.weight"));
        assert_eq!(note.as_deref(), Some("'module.' was taken away from the names of the weights"));
        let (tensors, note) = renamed(dict(&[("a.weight", &[1]), ("module.c", &[1])]), &expected);
        assert_eq!((tensors.len(), note), (2, None));
        let (tensors, _) = renamed(dict(&[("encoder.q.a.weight", &[1])]), &expected);
        assert!(tensors.contains_key("a.weight"));
    }
}
