//! Which models are served from the registry: `digits:stable`, `digits:3`, `digits`.

use modelyard_registry::{ModelName, Reference, RegistryError, Selector};

use super::Trust;
use crate::config::RegistryConfig;

/// What is served from the registry.
pub(crate) struct Following {
    /// Which models.
    pub(crate) wanted: Vec<Wanted>,
    /// Whose signature they need.
    pub(crate) trust: Trust,
}

/// A model, and what is wanted of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Its name.
    pub(crate) model: ModelName,
    /// Which of its versions; the first one answers requests that name none.
    pub(crate) choices: Vec<Choice>,
}

/// Which version of a model, or which several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The one that is meant.
    One(Selector),
    /// What the model's `version_policy` asks for.
    ByPolicy,
}

impl Following {
    /// Reads references and keys; nothing where nothing is wanted from the registry.
    pub(crate) fn read(config: &RegistryConfig) -> Result<Option<Following>, RegistryError> {
        let following =
            Following { wanted: wanted(&config.models)?, trust: Trust::read(&config.trust)? };
        Ok(Some(following).filter(|following| !following.wanted.is_empty()))
    }

    /// Names of the models.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.wanted.iter().map(|wanted| wanted.model.as_str())
    }
}

/// Models by their references, in the order they come; several of one model go together.
fn wanted(references: &[String]) -> Result<Vec<Wanted>, RegistryError> {
    let mut all: Vec<Wanted> = Vec::new();
    for text in references {
        let reference: Reference = text.parse()?;
        let choice = match text.contains(':') {
            true => Choice::One(reference.selector),
            false => Choice::ByPolicy,
        };
        match all.iter_mut().find(|wanted| wanted.model == reference.model) {
            Some(known) if known.choices.contains(&choice) => {}
            Some(known) => known.choices.push(choice),
            None => all.push(Wanted { model: reference.model, choices: vec![choice] }),
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_of_one_model_go_together_and_the_first_leads() {
        let texts = ["b:stable", "a", "b:7", "b:stable"].map(str::to_owned);
        let all = wanted(&texts).unwrap();
        let names: Vec<&str> = all.iter().map(|wanted| wanted.model.as_str()).collect();
        assert_eq!(names, ["b", "a"]);
        let stable = Selector::Alias("stable".parse().unwrap());
        assert_eq!(all[0].choices, [Choice::One(stable), Choice::One(Selector::Number(7))]);
        assert_eq!(all[1].choices, [Choice::ByPolicy]);
        assert!(wanted(&["../up:stable".to_owned()]).is_err());
    }
}
