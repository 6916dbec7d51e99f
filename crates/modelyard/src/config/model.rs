//! How one model is served: the keys of `model.toml`, also `[model]` (all models) and
//! `[models.NAME]` (one model) in `modelyard.toml`.

use std::path::PathBuf;
use std::time::Duration;

use modelyard_engine::EngineChoice;
use modelyard_serving::{BatchingConfig, ModelConfig, QueueConfig};

use super::key::{Stack, keys};
use super::keys::ENGINES;
use super::kind::{Choice, Count, FilePath, Kind, ListOf, Maybe, Ratio, Text};
use super::layer::Layer;
use super::mistake::Mistakes;
use super::units::{ByteSize, Span};
use super::value::Value;

const HOUR: Duration = Duration::from_secs(3600);

/// Largest batch that can be asked for.
const MAX_BATCH: u64 = 1 << 16;

/// Which versions of a model are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum VersionPolicy {
    /// The highest so many.
    Latest(usize),
    /// All.
    All,
    /// These.
    Specific(Vec<u64>),
}

/// `"latest"`, `"latest:2"`, `"all"` or a list of versions.
pub(crate) struct VersionPolicyKind;

impl Kind for VersionPolicyKind {
    type Out = VersionPolicy;

    fn expected(&self) -> String {
        "\"latest\", \"latest:N\", \"all\" or a list of versions such as [1, 3]".into()
    }

    fn check(&self, value: &Value) -> Option<VersionPolicy> {
        if let Value::Text(text) = value {
            match text.trim().split_once(':') {
                None if text.trim() == "latest" => return Some(VersionPolicy::Latest(1)),
                None if text.trim() == "all" => return Some(VersionPolicy::All),
                Some(("latest", count)) => {
                    let count = count.trim().parse().ok().filter(|count| *count > 0)?;
                    return Some(VersionPolicy::Latest(count));
                }
                _ => {}
            }
        }
        let versions = ListOf(Count { min: 1, max: u64::MAX }).check(value)?;
        let versions: Vec<u64> = versions.into_iter().map(|version| version as u64).collect();
        (!versions.is_empty()).then_some(VersionPolicy::Specific(versions))
    }
}

keys! { ALL:
    /// File or folder of the model (in [models.NAME] only).
    PATH: Maybe<FilePath> = "path", "none", Maybe { none: "none", kind: FilePath };
    /// Engine that runs the model; the default is the server's.
    ENGINE: Maybe<Choice<EngineChoice>> =
        "engine", "server", Maybe { none: "server", kind: ENGINES };
    /// Which versions of a model folder are served.
    VERSION_POLICY: VersionPolicyKind = "version_policy", "latest", VersionPolicyKind;
    /// Most rows in one batch; auto is as many as pay, 0 says there is no batch dimension.
    MAX_BATCH_SIZE: Maybe<Count> =
        "max_batch_size", "auto", Maybe { none: "auto", kind: Count { min: 0, max: MAX_BATCH } };
    /// Batch sizes to prefer when waiting for more rows.
    PREFERRED_BATCH_SIZE: ListOf<Count> =
        "preferred_batch_size", "", ListOf(Count { min: 1, max: MAX_BATCH });
    /// How long a batch may wait for more rows.
    MAX_QUEUE_DELAY: Span = "max_queue_delay", "0s", Span { min: Duration::ZERO, max: HOUR };
    /// Batches that run at once; auto is one a thread.
    INSTANCES: Maybe<Count> =
        "instances", "auto", Maybe { none: "auto", kind: Count { min: 1, max: 1024 } };
    /// Most requests that wait; one more is refused.
    QUEUE_MAX_REQUESTS: Count =
        "queue.max_requests", "1024", Count { min: 1, max: 1 << 24 };
    /// Most bytes of inputs that wait; more are refused.
    QUEUE_MAX_BYTES: ByteSize =
        "queue.max_bytes", "256MiB", ByteSize { min: 1, max: 1 << 44 };
    /// Deadline of requests that bring none.
    QUEUE_DEFAULT_TIMEOUT: Maybe<Span> = "queue.default_timeout", "none",
        Maybe { none: "none", kind: Span { min: Duration::from_micros(1), max: HOUR } };
    /// Share of the model's requests that is recorded, where there is a tape; the default is
    /// tape.sample.
    TAPE_SAMPLE: Maybe<Ratio> = "tape_sample", "server", Maybe { none: "server", kind: Ratio };
    /// Names of the classes, in order.
    LABELS: ListOf<Text> = "labels", "", ListOf(Text);
    /// File with the names of the classes, one a line, beside model.toml.
    LABEL_FILENAME: Maybe<FilePath> =
        "label_filename", "none", Maybe { none: "none", kind: FilePath };
}

/// How one model is served, checked.
#[derive(Clone, Debug)]
pub(crate) struct ModelSettings {
    /// Engine, where it is not the server's.
    pub(crate) engine: Option<EngineChoice>,
    /// Which versions.
    pub(crate) version_policy: VersionPolicy,
    /// Class names given in place.
    pub(crate) labels: Vec<String>,
    /// Class names given as a file.
    pub(crate) label_filename: Option<PathBuf>,
    /// Batching and queueing.
    pub(crate) serving: ModelConfig,
}

impl ModelSettings {
    /// Checks the settings of a model. `layers` are the strongest first.
    pub(crate) fn check(layers: Vec<&Layer>, mistakes: &mut Mistakes) -> ModelSettings {
        let stack = Stack { layers };
        ModelSettings {
            engine: stack.take(&ENGINE, mistakes),
            version_policy: stack.take(&VERSION_POLICY, mistakes),
            labels: stack.take(&LABELS, mistakes),
            label_filename: stack.take(&LABEL_FILENAME, mistakes),
            serving: ModelConfig {
                batching: BatchingConfig {
                    max_batch_size: stack.take(&MAX_BATCH_SIZE, mistakes),
                    preferred_batch_sizes: preferred(&stack, mistakes),
                    max_queue_delay: stack.take(&MAX_QUEUE_DELAY, mistakes),
                },
                queue: QueueConfig {
                    max_requests: stack.take(&QUEUE_MAX_REQUESTS, mistakes),
                    max_bytes: stack.take(&QUEUE_MAX_BYTES, mistakes),
                    default_timeout: stack.take(&QUEUE_DEFAULT_TIMEOUT, mistakes),
                },
                instances: stack.take(&INSTANCES, mistakes),
                tape_sample: stack.take(&TAPE_SAMPLE, mistakes),
            },
        }
    }
}

/// The preferred sizes, none above the largest batch.
fn preferred(stack: &Stack<'_>, mistakes: &mut Mistakes) -> Vec<usize> {
    let mut sizes = stack.take(&PREFERRED_BATCH_SIZE, mistakes);
    sizes.sort_unstable();
    sizes.dedup();
    // Noted once, when the size itself is taken.
    let limit = stack.take(&MAX_BATCH_SIZE, &mut Mistakes::default());
    if let (Some(limit), Some(&largest)) = (limit, sizes.last())
        && largest > limit
    {
        mistakes.push(super::mistake::Mistake::value(
            stack.place(&PREFERRED_BATCH_SIZE),
            PREFERRED_BATCH_SIZE.name,
            largest.to_string(),
            &format!("at most max_batch_size = {limit}"),
        ));
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::key::AnyKey;
    use std::path::Path;

    fn check(toml: &str) -> (ModelSettings, Vec<String>) {
        let mut mistakes = Mistakes::default();
        let layer = Layer::from_toml(toml, Path::new("model.toml"), &mut mistakes);
        let settings = ModelSettings::check(vec![&layer], &mut mistakes);
        (settings, mistakes.0.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn defaults_are_those_of_the_serving_core() {
        let (settings, mistakes) = check("");
        assert!(mistakes.is_empty());
        let expected = ModelConfig::default();
        assert_eq!(format!("{:?}", settings.serving), format!("{expected:?}"));
    }

    #[test]
    fn every_default_is_valid() {
        for key in ALL {
            assert!(key.default_is_valid(), "{}", AnyKey::name(*key));
        }
    }

    #[test]
    fn version_policies() {
        let policies = [
            ("'latest'", VersionPolicy::Latest(1)),
            ("'latest:3'", VersionPolicy::Latest(3)),
            ("'all'", VersionPolicy::All),
            ("[1, 3]", VersionPolicy::Specific(vec![1, 3])),
            ("7", VersionPolicy::Specific(vec![7])),
        ];
        for (written, expected) in policies {
            let (settings, mistakes) = check(&format!("version_policy = {written}"));
            assert_eq!(settings.version_policy, expected, "{mistakes:?}");
        }
        for bad in ["'latest:0'", "[]", "[0]", "'newest'", "true"] {
            assert_eq!(check(&format!("version_policy = {bad}")).1.len(), 1, "{bad}");
        }
    }

    #[test]
    fn preferred_sizes_stay_below_the_largest() {
        let (_, mistakes) = check("max_batch_size = 4\npreferred_batch_size = [2, 8]");
        assert_eq!(
            mistakes,
            ["model.toml:2: preferred_batch_size = 8: expected at most max_batch_size = 4"]
        );
    }
}
