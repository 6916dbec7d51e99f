//! How a version is served, in the words of Triton's model configuration.
//!
//! [`proto()`] is what `ModelConfig` answers over gRPC; [`json()`] is the same message as Triton
//! prints it over REST: protobuf JSON with the names of the `.proto` file and defaults written
//! out, but 64-bit integers as numbers (Triton undoes protobuf's strings, too).

use modelyard_serving::{Service, Version};
use modelyard_tensor::{DataType, TensorSpec};
use serde_json::{Value, json};

use super::proto::model_config::SchedulingChoice;
use super::proto::model_instance_group::Kind;
use super::proto::model_version_policy::{Latest, PolicyChoice, Specific};
use super::proto::{
    self, ModelConfig, ModelDynamicBatching, ModelInput, ModelInstanceGroup, ModelOutput,
    ModelQueuePolicy, ModelVersionPolicy,
};

/// What every model is, in Triton's words: all of them are ONNX files.
pub const PLATFORM: &str = "onnxruntime_onnx";

/// The configuration of `version` as one message.
///
/// Where `max_batch_size` is above 0, dimensions leave out the batch dimension, as Triton has it.
pub fn proto(service: &Service, version: &Version) -> ModelConfig {
    let max_batch_size = clamp(version.max_batch_size());
    let skipped = usize::from(max_batch_size > 0);
    let signature = version.signature();
    ModelConfig {
        name: version.model().to_owned(),
        platform: PLATFORM.to_owned(),
        backend: version.engine().to_owned(),
        version_policy: Some(version_policy(service, version)),
        max_batch_size,
        input: signature.inputs.iter().map(|spec| input(spec, skipped)).collect(),
        output: signature
            .outputs
            .iter()
            .enumerate()
            .map(|(position, spec)| output(spec, skipped, has_labels(version, position)))
            .collect(),
        instance_group: vec![instance_group(service, version)],
        default_model_filename: "model.onnx".to_owned(),
        scheduling_choice: (max_batch_size > 0).then(|| dynamic_batching(version)),
        ..ModelConfig::default()
    }
}

/// The configuration of `version` as the JSON that Triton answers over REST.
pub fn json(service: &Service, version: &Version) -> Value {
    let config = proto(service, version);
    let mut value = json!({
        "name": config.name,
        "platform": config.platform,
        "backend": config.backend,
        "runtime": config.runtime,
        "version_policy": config.version_policy.as_ref().map(version_policy_json),
        "max_batch_size": config.max_batch_size,
        "input": config.input.iter().map(input_json).collect::<Vec<_>>(),
        "output": config.output.iter().map(output_json).collect::<Vec<_>>(),
        "batch_input": [],
        "batch_output": [],
        "instance_group": config.instance_group.iter().map(instance_json).collect::<Vec<_>>(),
        "default_model_filename": config.default_model_filename,
        "cc_model_filenames": {},
        "metric_tags": {},
        "parameters": {},
        "model_warmup": [],
    });
    if let Some(SchedulingChoice::DynamicBatching(batching)) = &config.scheduling_choice {
        value["dynamic_batching"] = batching_json(batching);
    }
    value
}

/// Lists the versions that are served when there are several; else Triton's default.
fn version_policy(service: &Service, version: &Version) -> ModelVersionPolicy {
    let versions: Vec<i64> = service
        .versions()
        .iter()
        .filter(|other| other.model() == version.model())
        .map(|other| i64::try_from(other.number()).unwrap_or(i64::MAX))
        .collect();
    let choice = if versions.len() > 1 {
        PolicyChoice::Specific(Specific { versions })
    } else {
        PolicyChoice::Latest(Latest { num_versions: 1 })
    };
    ModelVersionPolicy { policy_choice: Some(choice) }
}

fn input(spec: &TensorSpec, skipped: usize) -> ModelInput {
    ModelInput {
        name: spec.name.clone(),
        data_type: data_type(spec.data_type).into(),
        dims: dims(spec, skipped),
        ..ModelInput::default()
    }
}

fn output(spec: &TensorSpec, skipped: usize, labels: bool) -> ModelOutput {
    ModelOutput {
        name: spec.name.clone(),
        data_type: data_type(spec.data_type).into(),
        dims: dims(spec, skipped),
        label_filename: if labels { "labels.txt".to_owned() } else { String::new() },
        ..ModelOutput::default()
    }
}

fn dims(spec: &TensorSpec, skipped: usize) -> Vec<i64> {
    match &spec.dims {
        Some(dims) => dims.iter().skip(skipped).map(|dim| dim.wire()).collect(),
        None => vec![-1],
    }
}

fn has_labels(version: &Version, output: usize) -> bool {
    version.labels().get(output).is_some_and(Option::is_some)
}

fn instance_group(service: &Service, version: &Version) -> ModelInstanceGroup {
    let instances = version.config().instances.unwrap_or(service.config().threads);
    ModelInstanceGroup {
        name: version.model().to_owned(),
        kind: Kind::Cpu.into(),
        count: clamp(instances),
        ..ModelInstanceGroup::default()
    }
}

fn dynamic_batching(version: &Version) -> SchedulingChoice {
    let (batching, queue) = (&version.config().batching, &version.config().queue);
    let microseconds =
        |delay: std::time::Duration| delay.as_micros().try_into().unwrap_or(u64::MAX);
    SchedulingChoice::DynamicBatching(ModelDynamicBatching {
        preferred_batch_size: batching
            .preferred_batch_sizes
            .iter()
            .map(|&size| clamp(size))
            .collect(),
        max_queue_delay_microseconds: microseconds(batching.max_queue_delay),
        default_queue_policy: Some(ModelQueuePolicy {
            default_timeout_microseconds: queue.default_timeout.map_or(0, microseconds),
            allow_timeout_override: true,
            max_queue_size: u32::try_from(queue.max_requests).unwrap_or(u32::MAX),
            ..ModelQueuePolicy::default()
        }),
        ..ModelDynamicBatching::default()
    })
}

fn clamp(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// The configuration's name of a datatype.
fn data_type(data_type: DataType) -> proto::DataType {
    match data_type {
        DataType::Bool => proto::DataType::TypeBool,
        DataType::Uint8 => proto::DataType::TypeUint8,
        DataType::Uint16 => proto::DataType::TypeUint16,
        DataType::Uint32 => proto::DataType::TypeUint32,
        DataType::Uint64 => proto::DataType::TypeUint64,
        DataType::Int8 => proto::DataType::TypeInt8,
        DataType::Int16 => proto::DataType::TypeInt16,
        DataType::Int32 => proto::DataType::TypeInt32,
        DataType::Int64 => proto::DataType::TypeInt64,
        DataType::Fp16 => proto::DataType::TypeFp16,
        DataType::Bf16 => proto::DataType::TypeBf16,
        DataType::Fp32 => proto::DataType::TypeFp32,
        DataType::Fp64 => proto::DataType::TypeFp64,
        DataType::Bytes => proto::DataType::TypeString,
    }
}

fn version_policy_json(policy: &ModelVersionPolicy) -> Value {
    match &policy.policy_choice {
        Some(PolicyChoice::Latest(latest)) => {
            json!({"latest": {"num_versions": latest.num_versions}})
        }
        Some(PolicyChoice::Specific(specific)) => {
            json!({"specific": {"versions": specific.versions}})
        }
        Some(PolicyChoice::All(_)) => json!({"all": {}}),
        None => json!({}),
    }
}

fn input_json(input: &ModelInput) -> Value {
    json!({
        "name": input.name,
        "data_type": input.data_type().as_str_name(),
        "format": input.format().as_str_name(),
        "dims": input.dims,
        "is_shape_tensor": input.is_shape_tensor,
        "allow_ragged_batch": input.allow_ragged_batch,
        "optional": input.optional,
        "is_non_linear_format_io": input.is_non_linear_format_io,
    })
}

fn output_json(output: &ModelOutput) -> Value {
    json!({
        "name": output.name,
        "data_type": output.data_type().as_str_name(),
        "dims": output.dims,
        "label_filename": output.label_filename,
        "is_shape_tensor": output.is_shape_tensor,
        "is_non_linear_format_io": output.is_non_linear_format_io,
    })
}

fn instance_json(group: &ModelInstanceGroup) -> Value {
    json!({
        "name": group.name,
        "kind": group.kind().as_str_name(),
        "count": group.count,
        "gpus": group.gpus,
        "secondary_devices": [],
        "profile": group.profile,
        "passive": group.passive,
        "host_policy": group.host_policy,
    })
}

fn batching_json(batching: &ModelDynamicBatching) -> Value {
    let queue = batching.default_queue_policy.as_ref().map(|queue| {
        json!({
            "timeout_action": queue.timeout_action().as_str_name(),
            "default_timeout_microseconds": queue.default_timeout_microseconds,
            "allow_timeout_override": queue.allow_timeout_override,
            "max_queue_size": queue.max_queue_size,
        })
    });
    json!({
        "preferred_batch_size": batching.preferred_batch_size,
        "max_queue_delay_microseconds": batching.max_queue_delay_microseconds,
        "preserve_ordering": batching.preserve_ordering,
        "priority_levels": batching.priority_levels,
        "default_priority_level": batching.default_priority_level,
        "default_queue_policy": queue,
        "priority_queue_policy": {},
    })
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};

    use super::*;
    use crate::grpc::testing::{self, spec};

    #[test]
    fn leaves_out_the_batch_dimension_of_models_that_batch() {
        let (service, version) = testing::digits();
        let config = proto(&service, &version);
        assert!(config.max_batch_size > 0);
        assert_eq!(config.input[0].dims, [4]);
        assert_eq!(config.output[0].dims, [3]);
        assert_eq!(config.output[0].label_filename, "labels.txt");

        let fixed = testing::service("fixed", vec![spec("x", DataType::Int8, &[1, 4])]);
        let config = proto(&fixed.0, &fixed.1);
        assert_eq!(config.max_batch_size, 0);
        assert_eq!(config.input[0].dims, [1, 4]);
        assert!(config.scheduling_choice.is_none());
    }

    /// prost-reflect prints the same message from its descriptor alone.
    #[test]
    fn json_is_the_message_as_protobuf_prints_it() {
        let pool = DescriptorPool::decode(proto::FILE_DESCRIPTOR_SET).unwrap();
        let descriptor = pool.get_message_by_name("inference.ModelConfig").unwrap();
        for (service, version) in [testing::digits(), testing::every_data_type()] {
            let bytes = super::proto(&service, &version).encode_to_vec();
            let message = DynamicMessage::decode(descriptor.clone(), bytes.as_slice()).unwrap();
            let options = SerializeOptions::new()
                .skip_default_fields(false)
                .use_proto_field_name(true)
                .stringify_64_bit_integers(false);
            let mut expected =
                message.serialize_with_options(serde_json::value::Serializer, &options).unwrap();
            // Unset messages are nulls to prost-reflect and absent in C++'s protobuf JSON.
            drop_nulls(&mut expected);
            assert_eq!(json(&service, &version), expected);
        }
    }

    fn drop_nulls(value: &mut Value) {
        match value {
            Value::Object(members) => {
                members.retain(|_, member| !member.is_null());
                members.values_mut().for_each(drop_nulls);
            }
            Value::Array(elements) => elements.iter_mut().for_each(drop_nulls),
            _ => {}
        }
    }
}
