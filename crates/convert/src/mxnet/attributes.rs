//! Attributes of MXNet's nodes: all of them text, as Python prints values.

use std::collections::BTreeMap;

use super::problem::Problem;

/// The attributes of one node.
#[derive(Clone, Debug, Default)]
pub(super) struct Attributes(BTreeMap<String, String>);

impl Attributes {
    pub(super) fn insert(&mut self, key: String, value: String) {
        self.0.insert(key, value);
    }

    /// The text of an attribute; `None` where it is absent or says `None`.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(|value| value.trim()).filter(|value| !matches!(*value, "None" | ""))
    }

    /// Whether an attribute says `None`, which is not its default.
    pub(super) fn says_none(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(|value| value == "None")
    }

    fn wrong(key: &str, expected: &str, found: &str) -> Problem {
        Problem::Shape(format!("expected attribute '{key}' to be {expected}, found '{found}'"))
    }

    fn parsed<T>(
        &self,
        key: &str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        match self.text(key) {
            Some(text) => parse(text).map(Some).ok_or_else(|| Self::wrong(key, expected, text)),
            None => Ok(None),
        }
    }

    /// An integer, where there is one.
    pub(super) fn int(&self, key: &str) -> Result<Option<i64>, Problem> {
        self.parsed(key, "an integer", integer)
    }

    /// An integer, or this.
    pub(super) fn int_or(&self, key: &str, default: i64) -> Result<i64, Problem> {
        Ok(self.int(key)?.unwrap_or(default))
    }

    /// An integer that must be there.
    pub(super) fn need_int(&self, key: &str) -> Result<i64, Problem> {
        self.int(key)?.ok_or_else(|| Self::wrong(key, "an integer", "nothing"))
    }

    /// A number of things that must be there.
    pub(super) fn need_count(&self, key: &str) -> Result<usize, Problem> {
        let value = self.need_int(key)?;
        let count = usize::try_from(value).ok().filter(|&count| count <= MOST);
        count.ok_or_else(|| Self::wrong(key, "a count", &value.to_string()))
    }

    /// A number of things, or this.
    pub(super) fn count_or(&self, key: &str, default: usize) -> Result<usize, Problem> {
        if self.text(key).is_some() { self.need_count(key) } else { Ok(default) }
    }

    /// A number, or this.
    pub(super) fn float_or(&self, key: &str, default: f64) -> Result<f64, Problem> {
        let parse = |text: &str| match text {
            "True" | "true" => Some(1.0),
            "False" | "false" => Some(0.0),
            _ => text.parse().ok(),
        };
        Ok(self.parsed(key, "a number", parse)?.unwrap_or(default))
    }

    /// A boolean, or this.
    pub(super) fn flag_or(&self, key: &str, default: bool) -> Result<bool, Problem> {
        let parse = |text: &str| match text {
            "True" | "true" | "1" => Some(true),
            "False" | "false" | "0" => Some(false),
            _ => None,
        };
        Ok(self.parsed(key, "True or False", parse)?.unwrap_or(default))
    }

    /// A list of integers, in which `None` may stand; a single one is a list of one.
    pub(super) fn options(&self, key: &str) -> Result<Option<Vec<Option<i64>>>, Problem> {
        self.parsed(key, "a list of integers", |text| {
            let inner = text.trim_matches(|found| matches!(found, '(' | ')' | '[' | ']'));
            let items = inner.split(',').map(str::trim).filter(|item| !item.is_empty());
            let parse = |item: &str| match item {
                "None" => Some(None),
                item => integer(item.trim_end_matches('L')).map(Some),
            };
            items.map(parse).collect::<Option<Vec<_>>>().filter(|list| list.len() <= 64)
        })
    }

    /// A list of integers, where there is one.
    pub(super) fn ints(&self, key: &str) -> Result<Option<Vec<i64>>, Problem> {
        let Some(list) = self.options(key)? else { return Ok(None) };
        let list: Option<Vec<i64>> = list.into_iter().collect();
        let text = self.text(key).unwrap_or_default();
        list.map(Some).ok_or_else(|| Self::wrong(key, "a list of integers", text))
    }

    /// A list of integers that must be there.
    pub(super) fn need_ints(&self, key: &str) -> Result<Vec<i64>, Problem> {
        self.ints(key)?.ok_or_else(|| Self::wrong(key, "a list of integers", "nothing"))
    }

    /// A list of sizes, one for each of `count` axes, or `default` for each where the attribute
    /// is absent or empty.
    pub(super) fn sizes(
        &self,
        key: &str,
        count: usize,
        default: usize,
    ) -> Result<Vec<usize>, Problem> {
        let list = self.ints(key)?.unwrap_or_default();
        if list.is_empty() {
            return Ok(vec![default; count]);
        }
        let sizes: Option<Vec<usize>> = list
            .iter()
            .map(|&size| usize::try_from(size).ok().filter(|&size| size <= MOST))
            .collect();
        let text = self.text(key).unwrap_or_default();
        let expected = format!("{count} sizes");
        sizes.filter(|sizes| sizes.len() == count).ok_or_else(|| Self::wrong(key, &expected, text))
    }

    /// A list of numbers, where there is one.
    pub(super) fn floats(&self, key: &str) -> Result<Option<Vec<f64>>, Problem> {
        self.parsed(key, "a list of numbers", |text| {
            let inner = text.trim_matches(|found| matches!(found, '(' | ')' | '[' | ']'));
            let items = inner.split(',').map(str::trim).filter(|item| !item.is_empty());
            items.map(|item| item.parse().ok()).collect::<Option<Vec<f64>>>()
        })
    }
}

/// No size or count is larger than this, so that products of a few do not overflow.
const MOST: usize = 1 << 31;

/// An integer, which may be written like `1.0`.
fn integer(text: &str) -> Option<i64> {
    let whole = |value: &f64| value.fract() == 0.0 && value.abs() < 1e15;
    match text {
        "True" | "true" => Some(1),
        "False" | "false" => Some(0),
        _ => text
            .parse()
            .ok()
            .or_else(|| text.parse::<f64>().ok().filter(whole).map(|value| value as i64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(value: &str) -> Attributes {
        Attributes(BTreeMap::from([("key".to_owned(), value.to_owned())]))
    }

    #[test]
    fn values_are_read_as_python_prints_them() {
        assert_eq!(attributes("(3, 3)").ints("key").unwrap(), Some(vec![3, 3]));
        assert_eq!(attributes("[3L,3L]").ints("key").unwrap(), Some(vec![3, 3]));
        assert_eq!(attributes("(64,)").ints("key").unwrap(), Some(vec![64]));
        assert_eq!(attributes("1").ints("key").unwrap(), Some(vec![1]));
        assert_eq!(attributes("()").sizes("key", 2, 1).unwrap(), [1, 1]);
        assert_eq!(attributes("None").int("key").unwrap(), None);
        assert_eq!(attributes("(None, 2)").options("key").unwrap(), Some(vec![None, Some(2)]));
        assert!(attributes("1").flag_or("key", false).unwrap());
        assert_eq!(attributes("2.0").int("key").unwrap(), Some(2));
        assert_eq!(attributes("1e-05").float_or("key", 0.0).unwrap(), 1e-5);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = attributes("(3, x)").ints("key").unwrap_err().to_string();
        assert_eq!(error, "expected attribute 'key' to be a list of integers, found '(3, x)'");
        assert!(attributes("-1").need_count("key").is_err());
        assert!(attributes("(1, 2)").sizes("key", 3, 1).is_err());
    }
}
