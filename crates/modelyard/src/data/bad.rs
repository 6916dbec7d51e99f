//! Entries of data that cannot be used: files, rows, lines.

use anyhow::{anyhow, bail};

/// Most that are listed in an error.
const LISTED: usize = 20;
/// Most that are noted: data with more is the wrong data, whatever `--skip-bad` says.
const NOTED_MAX: usize = 100_000;

/// What was found bad so far.
#[derive(Default)]
pub(super) struct Bad(Vec<(String, String)>);

impl Bad {
    /// Notes one entry: where it is and what is wrong with it.
    pub(super) fn note(
        &mut self,
        place: impl Into<String>,
        reason: impl Into<String>,
    ) -> anyhow::Result<()> {
        if self.0.len() == NOTED_MAX {
            let (place, reason) = &self.0[0];
            bail!("more than {NOTED_MAX} entries cannot be used; the first: {place}: {reason}");
        }
        self.0.push((place.into(), reason.into()));
        Ok(())
    }

    /// What was left out; an error unless that was asked for, or when nothing was `used`.
    pub(super) fn finish(
        self,
        used: usize,
        skip_bad: bool,
    ) -> anyhow::Result<Vec<(String, String)>> {
        if self.0.is_empty() || (skip_bad && used > 0) {
            return Ok(self.0);
        }
        let mut text = match (self.0.len(), used) {
            (count, 0) => format!("none of the {count} entries can be used:"),
            (1, _) => "1 entry cannot be used (--skip-bad goes on without it):".to_owned(),
            (count, _) => {
                format!("{count} entries cannot be used (--skip-bad goes on without them):")
            }
        };
        for (place, reason) in self.0.iter().take(LISTED) {
            text.push_str(&format!("\n    {place}: {reason}"));
        }
        if let Some(more) = self.0.len().checked_sub(LISTED).filter(|more| *more > 0) {
            text.push_str(&format!("\n    and {more} more"));
        }
        Err(anyhow!(text))
    }
}

/// Text from data as messages quote it: not too long, on one line.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN: usize = 40;
    let shown: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    let more = if text.chars().nth(SHOWN).is_some() { "…" } else { "" };
    format!("'{shown}{more}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(count: usize) -> Bad {
        let mut bad = Bad::default();
        (0..count).for_each(|number| bad.note(format!("line {number}"), "empty").unwrap());
        bad
    }

    #[test]
    fn the_first_twenty_are_listed_and_all_are_counted() {
        let error = bad(23).finish(5, false).unwrap_err().to_string();
        assert!(error.starts_with("23 entries cannot be used (--skip-bad goes on"), "{error}");
        assert!(error.contains("line 19: empty") && !error.contains("line 20"), "{error}");
        assert!(error.ends_with("and 3 more"), "{error}");
        assert_eq!(bad(23).finish(5, true).unwrap().len(), 23);
        assert!(bad(2).finish(0, true).is_err());
        assert!(bad(0).finish(0, false).unwrap().is_empty());
    }

    #[test]
    fn far_too_many_are_refused_whatever_was_asked_for() {
        let error = bad(NOTED_MAX).note("x", "y").unwrap_err().to_string();
        assert!(error.ends_with("the first: line 0: empty"), "{error}");
    }

    #[test]
    fn quotes_are_short_and_on_one_line() {
        assert_eq!(quoted("a\nb"), "'a\\nb'");
        assert_eq!(quoted(&"x".repeat(50)).chars().count(), 43);
    }
}
