//! What the commands that train share: `train`, `finetune`, `distill`.
//!
//! | module | does |
//! |---|---|
//! | [`recipe`] | how to train, from flags and TOML |
//! | [`prepare`] | examples of a data set as inputs of a model, set apart for validation |
//! | [`session`] | a run from start to the written model |
//! | `watch` | what happens meanwhile: progress, metrics, checkpoints, ctrl-C |
//! | `record` | what is written into the model's metadata and told at the end |

pub(crate) mod prepare;
pub(crate) mod recipe;
mod record;
pub(crate) mod session;
mod watch;
