//! What the commands that make models smaller and faster share: `quantize`, `prune`, `merge`,
//! `optimize`.
//!
//! | module | does |
//! |---|---|
//! | [`workshop`] | models that are in memory, in the engine that will serve them |
//! | [`sample`] | examples of a data set as inputs of a model |
//! | [`improve`] | models that bear small integers better, by examples |
//! | [`mod@observe`] | what flows through a model |
//! | [`sensitivity`] | which nodes lose most as integers |
//! | [`answers`] | what a model answers, how right that is, how like another model's it is |
//! | [`recover`] | channels removed, and what is left trained to make up for it |
//! | [`pace`] | how long a model takes beside another one |
//! | [`prepare`] | a model as passes leave it, ready to be changed |

pub(crate) mod answers;
pub(crate) mod improve;
pub(crate) mod observe;
pub(crate) mod pace;
pub(crate) mod prepare;
pub(crate) mod recover;
pub(crate) mod sample;
pub(crate) mod sensitivity;
pub(crate) mod workshop;
