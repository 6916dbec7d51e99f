//! What the commands that train share: `train`, `finetune`, `distill`, `quickstart`.
//!
//! | module | does |
//! |---|---|
//! | [`recipe`] | how to train, from flags and TOML |
//! | [`spec`] | layers and recipe from a TOML file |
//! | [`network`] | a new network, from its layers to the trained model |
//! | [`lesson`] | a model and what it learns from, put together |
//! | [`prepare`] | examples of a data set as inputs of a model, set apart for validation |
//! | [`session`] | a run from start to the written model |
//! | `watch` | what happens meanwhile: progress, metrics, checkpoints |
//! | [`interrupt`] | ctrl-C and SIGTERM |
//! | [`record`] | what is written into the model's metadata and told at the end |

pub(crate) mod interrupt;
pub(crate) mod lesson;
pub(crate) mod network;
pub(crate) mod prepare;
pub(crate) mod recipe;
pub(crate) mod record;
pub(crate) mod session;
pub(crate) mod spec;
mod watch;
