//! Serving from a registry: what is wanted there, brought into a folder of this machine.
//!
//! The registry says which version an alias means; this is read again and again. Files of versions are
//! kept in a folder of this machine, each version under the digest of its manifest, together with what
//! was served last: with the registry out of reach the server starts and goes on with that.
//!
//! | module | holds |
//! |---|---|
//! | `wanted` | which models, by which alias, number or policy |
//! | `desired` | what the registry says of them now |
//! | `rolling` | a candidate that takes over from the version that an alias points to |
//! | `cache` | files of versions, and the last good state |
//! | `source` | how that becomes a model that can be loaded |
//! | `trust` | whose signature a version needs |

mod cache;
mod desired;
mod rolling;
mod source;
mod trust;
mod wanted;

pub(crate) use cache::Cache;
pub(crate) use desired::{Desired, Outline, read};
pub(crate) use rolling::{Rolling, StepError, now};
pub(crate) use source::{Fetched, model_source};
pub(crate) use trust::Trust;
pub(crate) use wanted::{Following, Wanted};
