//! A registry of models: names, immutable numbered versions, aliases that move, and a log of all that.
//!
//! A version is its files, each known by its SHA-256 digest, and a manifest that says what it takes and
//! gives and where it comes from. Publishing is atomic: whoever looks sees the version whole or not at all,
//! whatever happens to the process that publishes.
//!
//! | module | holds |
//! |---|---|
//! | [`Registry`] | everything together: find, fetch, remove, collect |
//! | `publish` | new versions |
//! | `aliases` | moving aliases, and moving them back |
//! | `replicas` | who serves what |
//! | `rollouts` | candidates that take over step by step |
//! | `name` | names of models and aliases; `model:version` |
//! | `manifest` | what is known of a version, and the schema that it is written in |
//! | `digest` | SHA-256 |
//! | `keys` | Ed25519 keys and signatures |
//! | `place` | where a registry is: a folder, or a database and a store that machines share |
//! | `database` | the tables: SQLite or PostgreSQL |
//! | `contents` | files in a folder or a bucket |
//! | `storage`, `seal` | contents as they lie, encrypted where there is a key |
//! | `rekey` | another key for what is encrypted |

//! | `backup` | all of a registry elsewhere, and back |
//! | `wake` | says when to look again |
//! | `fsck` | finds and mends leftovers and damage |

mod aliases;
mod backup;
mod contents;
mod database;
mod digest;
mod error;
mod fsck;
pub mod keys;
mod manifest;
mod name;
mod place;
mod publish;
mod registry;
mod rekey;
mod replicas;
mod rollouts;
mod seal;
mod storage;
mod wake;

pub use backup::restore::Restored;
pub use backup::{Archive, BackedUp, SnapshotEntry};
#[doc(hidden)]
pub use contents::faults::{Hook, Step};
pub use database::aliases::{Alias, Expected};
pub use database::events::{Action, Actor, Event};
pub use database::versions::{ModelEntry, State, Version};
pub use digest::Digest;
pub use error::{RegistryError, StoreFailure};
pub use fsck::{Fault, FaultKind, Fsck};
pub use manifest::{About, File, Lineage, Manifest, Parent, SCHEMA, Signature, Tensor};
pub use name::{AliasName, LATEST, ModelName, Reference, Selector, check_model_name};
pub use place::Place;
pub use publish::{Publication, Published};
pub use registry::{Collected, Registry};
pub use rekey::Rekeyed;
pub use replicas::{LEASE as REPLICA_LEASE, Replica};
pub use rollouts::{Begin, Rollout, Step as RolloutStep};
pub use seal::EncryptionKey;
pub use wake::{Wake, Woken};
