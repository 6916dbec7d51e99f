//! Architectures that are built in: those that state dicts of torchvision and Hugging Face are for.
//!
//! | module | holds |
//! |---|---|
//! | `builder` | programs, layer by layer |
//! | `image` | what image classifiers have in common |
//! | `resnet`, `vgg`, `mobilenet`, `efficientnet`, `vit` | torchvision's |
//! | `encoder` | blocks of transformers |
//! | `bert`, `distilbert`, `hugging_vit`, `hugging_resnet` | Hugging Face's, by their `config.json` |

mod bert;
mod builder;
mod config;
mod distilbert;
mod efficientnet;
mod encoder;
mod heads;
mod hugging_resnet;
mod hugging_vit;
mod image;
mod mobilenet;
mod resnet;
mod vgg;
mod vit;

#[cfg(test)]
mod tests;

pub(super) use builder::{Builder, Built};
pub(super) use config::{Config, build as from_config};
pub(super) use heads::Pooling;

/// An architecture that is known by its name.
pub(super) struct Template {
    /// Its name in torchvision.
    pub(super) name: &'static str,
    /// Writes it.
    pub(super) build: fn(&mut Builder<'_>),
}

/// All of them, a family after the other.
static FAMILIES: [&[Template]; 6] = [
    resnet::TEMPLATES,
    vgg::TEMPLATES,
    mobilenet::TEMPLATES,
    efficientnet::TEMPLATES,
    efficientnet::TEMPLATES_V2,
    vit::TEMPLATES,
];

/// Each template.
pub(super) fn all() -> impl Iterator<Item = &'static Template> {
    FAMILIES.iter().copied().flatten()
}

/// Names of everything that is built in: templates, and model types of Hugging Face.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    all().map(|template| template.name).chain(config::MODEL_TYPES)
}

/// The template of this name, however it is written: `ResNet-50` is `resnet50`.
pub(super) fn find(name: &str) -> Option<&'static Template> {
    all().find(|template| plain(template.name) == plain(name))
}

/// Names of templates that are nearest to one that is not known, for errors.
pub(super) fn nearest(name: &str) -> Vec<&'static str> {
    let name = plain(name);
    let mut ranked: Vec<(usize, &str)> =
        all().map(|other| (distance(&name, &plain(other.name)), other.name)).collect();
    ranked.sort();
    ranked.into_iter().take(3).map(|(_, name)| name).collect()
}

fn plain(name: &str) -> String {
    name.chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|letter| letter.to_ascii_lowercase())
        .collect()
}

/// How many letters must be changed, added or taken away.
fn distance(one: &str, two: &str) -> usize {
    let two: Vec<char> = two.chars().collect();
    let mut row: Vec<usize> = (0..=two.len()).collect();
    for (at, letter) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (column, other) in two.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}
