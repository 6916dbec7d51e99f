//! The arguments of one layer, taken by position or by name.

use super::{Argument, LAYERS, LayerError, LayerSpec};

/// Reads the arguments of a layer one by one; [`Arguments::done`] refuses what nobody took.
pub(super) struct Arguments<'a> {
    layer: &'a LayerSpec,
    positional: std::slice::Iter<'a, Argument>,
    taken: Vec<&'a str>,
}

impl<'a> Arguments<'a> {
    pub(super) fn of(layer: &'a LayerSpec) -> Arguments<'a> {
        Arguments { layer, positional: layer.positional.iter(), taken: Vec::new() }
    }

    /// Refuses the layer, with how it should be written.
    pub(super) fn refuse(&self, problem: &str) -> LayerError {
        let usage = LAYERS.iter().find(|(name, ..)| *name == self.layer.name);
        let usage = usage.map_or("", |(_, usage, _)| usage);
        LayerError::new(format!("layer '{}': {problem}; it is written {usage}", self.layer))
    }

    /// The argument of this name, or the next without a name.
    fn find(&mut self, name: &'a str) -> Option<&'a Argument> {
        self.taken.push(name);
        let named = self.layer.named.iter().find(|(found, _)| found == name);
        named.map(|(_, argument)| argument).or_else(|| self.positional.next())
    }

    /// A whole number of at least 1.
    pub(super) fn size(&mut self, name: &'a str) -> Result<Option<usize>, LayerError> {
        match self.find(name) {
            None => Ok(None),
            Some(&Argument::Number(number))
                if number >= 1.0 && number.fract() == 0.0 && number < f64::from(u32::MAX) =>
            {
                Ok(Some(number as usize))
            }
            Some(found) => Err(self.refuse(&format!(
                "expected a whole number of at least 1 for {name}, found {found}"
            ))),
        }
    }

    /// A whole number that must be given.
    pub(super) fn needed_size(&mut self, name: &'a str) -> Result<usize, LayerError> {
        let size = self.size(name)?;
        size.ok_or_else(|| self.refuse(&format!("{name} is missing")))
    }

    /// A number in this range.
    pub(super) fn number(
        &mut self,
        name: &'a str,
        default: f32,
        range: std::ops::Range<f64>,
    ) -> Result<f32, LayerError> {
        match self.find(name) {
            None => Ok(default),
            Some(Argument::Number(number)) if range.contains(number) => Ok(*number as f32),
            Some(found) => Err(self.refuse(&format!(
                "expected a number from {} to below {} for {name}, found {found}",
                range.start, range.end
            ))),
        }
    }

    /// One of these words.
    pub(super) fn word(
        &mut self,
        name: &'a str,
        words: &[&'static str],
    ) -> Result<Option<&'static str>, LayerError> {
        let Some(argument) = self.find(name) else { return Ok(None) };
        let word =
            words.iter().find(|word| matches!(argument, Argument::Word(found) if found == *word));
        word.map(|word| Some(*word)).ok_or_else(|| {
            self.refuse(&format!(
                "expected one of {} for {name}, found {argument}",
                words.join(", ")
            ))
        })
    }

    /// True or false.
    pub(super) fn flag(&mut self, name: &'a str, default: bool) -> Result<bool, LayerError> {
        Ok(self.word(name, &["true", "false"])?.map_or(default, |word| word == "true"))
    }

    /// All arguments without a name that are left, as layers.
    pub(super) fn layers(&mut self) -> Result<Vec<LayerSpec>, LayerError> {
        let layers: Vec<LayerSpec> = (&mut self.positional)
            .filter_map(|argument| match argument {
                Argument::Layer(layer) => Some(layer.clone()),
                Argument::Word(name) => Some(LayerSpec {
                    name: name.clone(),
                    positional: Vec::new(),
                    named: Vec::new(),
                }),
                Argument::Number(_) => None,
            })
            .collect();
        if layers.len() == self.layer.positional.len() && !layers.is_empty() {
            Ok(layers)
        } else {
            Err(self.refuse("expected layers"))
        }
    }

    /// Refuses arguments that nobody took.
    pub(super) fn done(mut self) -> Result<(), LayerError> {
        if let Some(argument) = self.positional.next() {
            return Err(self.refuse(&format!("found {argument} more than it takes")));
        }
        let unknown =
            self.layer.named.iter().find(|(name, _)| !self.taken.contains(&name.as_str()));
        match unknown {
            Some((name, _)) => Err(self.refuse(&format!("it has no argument {name}"))),
            None => Ok(()),
        }
    }
}
