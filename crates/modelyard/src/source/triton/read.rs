//! From the fields of `ModelConfig` to [`TritonConfig`].

use std::path::Path;

use modelyard_engine::rten;

use super::TritonConfig;
use super::fields::{Named, Notes, Schema};
use super::tensors::declared;
use crate::config::key::Key;
use crate::config::mistake::Mistakes;
use crate::config::model as keys;
use crate::config::value::Value;
use crate::source::pbtxt::Message;

const MODEL: Schema = Schema {
    single: &[
        "name",
        "platform",
        "backend",
        "max_batch_size",
        "version_policy",
        "dynamic_batching",
        "default_model_filename",
    ],
    repeated: &["input", "output", "instance_group", "parameters"],
    unused: &[
        "runtime",
        "batch_input",
        "batch_output",
        "optimization",
        "sequence_batching",
        "ensemble_scheduling",
        "cc_model_filenames",
        "metric_tags",
        "model_warmup",
        "model_operations",
        "model_transaction_policy",
        "model_repository_agents",
        "response_cache",
        "model_metrics",
    ],
};

const POLICY: Schema =
    Schema { single: &["latest", "all", "specific"], repeated: &[], unused: &[] };
const LATEST: Schema = Schema { single: &["num_versions"], repeated: &[], unused: &[] };
const SPECIFIC: Schema = Schema { single: &[], repeated: &["versions"], unused: &[] };
const PARAMETER: Schema = Schema { single: &["key", "value"], repeated: &[], unused: &[] };

const INSTANCES: Schema = Schema {
    single: &["count", "kind"],
    repeated: &[],
    unused: &[
        "name",
        "rate_limiter",
        "gpus",
        "secondary_devices",
        "profile",
        "passive",
        "host_policy",
    ],
};

const BATCHING: Schema = Schema {
    single: &["max_queue_delay_microseconds", "default_queue_policy"],
    repeated: &["preferred_batch_size"],
    unused: &[
        "preserve_ordering",
        "priority_levels",
        "default_priority_level",
        "priority_queue_policy",
    ],
};

const QUEUE: Schema = Schema {
    single: &["max_queue_size", "default_timeout_microseconds"],
    repeated: &[],
    unused: &["timeout_action", "allow_timeout_override"],
};

/// Reads the whole message.
pub(super) fn read(message: &Message, path: &Path, mistakes: &mut Mistakes) -> TritonConfig {
    let mut config = TritonConfig::default();
    let mut notes = Notes { path, mistakes, warnings: Vec::new() };
    let mut instances = None;
    for field in MODEL.fields(message, "", &mut notes) {
        match field.field.name.as_str() {
            "name" => {
                let place = notes.place(field.field.line);
                config.name = field.text(&mut notes).map(|name| (name, place));
            }
            "platform" => require(&field, "onnxruntime_onnx", &mut notes),
            // Our own engine has no backend in Triton; our answer to `ModelConfig` names it.
            "backend" if field.is_text(rten::NAME) => {
                let engine = Some(Value::Text(rten::NAME.into()));
                set(&mut config, &keys::ENGINE, &field, engine, &notes);
            }
            "backend" => require(&field, "onnxruntime", &mut notes),
            "max_batch_size" => {
                config.max_batch_size = field.count(&mut notes);
                let size = config.max_batch_size;
                set(&mut config, &keys::MAX_BATCH_SIZE, &field, size.map(number), &notes);
            }
            "default_model_filename" => {
                let name = field.text(&mut notes).filter(|name| !name.is_empty());
                config.default_model_filename = name;
            }
            "version_policy" => {
                let policy = version_policy(&field, &mut notes);
                set(&mut config, &keys::VERSION_POLICY, &field, policy, &notes);
            }
            "input" => config.inputs.extend(declared(&field, &mut notes)),
            "output" => config.outputs.extend(declared(&field, &mut notes)),
            "instance_group" => {
                let count = instance_group(&field, &mut notes);
                let sum = instances.get_or_insert(0u64);
                *sum = sum.saturating_add(count);
                let sum = Some(number(*sum));
                set(&mut config, &keys::INSTANCES, &field, sum, &notes);
            }
            "parameters" => parameter(&field, &mut notes),
            _ => dynamic_batching(&field, &mut config, &mut notes),
        }
    }
    config.warnings = notes.warnings;
    config
}

fn number(number: u64) -> Value {
    Value::Integer(i128::from(number))
}

fn set<K>(
    config: &mut TritonConfig,
    key: &Key<K>,
    field: &Named<'_>,
    value: Option<Value>,
    notes: &Notes<'_>,
) {
    if let Some(value) = value {
        config.layer.insert(key.name, value, notes.place(field.field.line));
    }
}

fn require(field: &Named<'_>, expected: &str, notes: &mut Notes<'_>) {
    if let Some(found) = field.text(notes)
        && !found.is_empty()
        && found != expected
    {
        notes.wrong(field, &format!("\"{expected}\": this server runs ONNX models"));
    }
}

fn version_policy(field: &Named<'_>, notes: &mut Notes<'_>) -> Option<Value> {
    let fields = POLICY.fields(field.message(notes)?, &field.path, notes);
    let policy = fields.first()?;
    let message = policy.message(notes)?;
    match policy.field.name.as_str() {
        "all" => Some(Value::Text("all".into())),
        "latest" => {
            let fields = LATEST.fields(message, &policy.path, notes);
            let count = fields.first().map_or(Some(1), |count| count.count(notes))?;
            Some(Value::Text(format!("latest:{count}")))
        }
        _ => {
            let fields = SPECIFIC.fields(message, &policy.path, notes);
            let versions = fields.iter().map(|version| version.count(notes).map(number));
            Some(Value::List(versions.collect::<Option<_>>()?))
        }
    }
}

fn instance_group(field: &Named<'_>, notes: &mut Notes<'_>) -> u64 {
    let Some(message) = field.message(notes) else { return 0 };
    let mut count = 1;
    for field in INSTANCES.fields(message, &field.path, notes) {
        match field.field.name.as_str() {
            "count" => count = field.count(notes).unwrap_or(1),
            _ => {
                if let Some(kind @ ("KIND_GPU" | "KIND_MODEL")) = field.word(notes) {
                    notes.unused(&field, kind);
                }
            }
        }
    }
    count
}

fn parameter(field: &Named<'_>, notes: &mut Notes<'_>) {
    let Some(message) = field.message(notes) else { return };
    for part in PARAMETER.fields(message, &field.path, notes) {
        if part.field.name == "key"
            && let Some(key) = part.text(notes)
        {
            notes.unused(field, &key);
        }
    }
}

fn dynamic_batching(field: &Named<'_>, config: &mut TritonConfig, notes: &mut Notes<'_>) {
    let Some(message) = field.message(notes) else { return };
    let mut preferred = Vec::new();
    for field in BATCHING.fields(message, &field.path, notes) {
        match field.field.name.as_str() {
            "preferred_batch_size" => {
                preferred.extend(field.count(notes).map(number));
                let sizes = Some(Value::List(preferred.clone()));
                set(config, &keys::PREFERRED_BATCH_SIZE, &field, sizes, notes);
            }
            "max_queue_delay_microseconds" => {
                let delay = field.count(notes).map(microseconds);
                set(config, &keys::MAX_QUEUE_DELAY, &field, delay, notes);
            }
            _ => queue_policy(&field, config, notes),
        }
    }
}

/// Zero means "no bound" and "no timeout" in Triton; ours stay as they are then.
fn queue_policy(field: &Named<'_>, config: &mut TritonConfig, notes: &mut Notes<'_>) {
    let Some(message) = field.message(notes) else { return };
    for field in QUEUE.fields(message, &field.path, notes) {
        let Some(count) = field.count(notes).filter(|count| *count > 0) else { continue };
        match field.field.name.as_str() {
            "max_queue_size" => {
                set(config, &keys::QUEUE_MAX_REQUESTS, &field, Some(number(count)), notes);
            }
            _ => {
                let timeout = Some(microseconds(count));
                set(config, &keys::QUEUE_DEFAULT_TIMEOUT, &field, timeout, notes);
            }
        }
    }
}

fn microseconds(count: u64) -> Value {
    Value::Text(format!("{count}us"))
}
