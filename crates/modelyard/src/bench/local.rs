//! Callers without a network: the serving core, and the bare engine.
//!
//! Their difference is what the core costs, and a server's difference to them is what its
//! protocol costs.

use std::sync::Arc;
use std::time::Instant;

use modelyard_engine::{Parallelism, RunError, Session};
use modelyard_serving::{ErrorCode, InferRequest, Input, RequestOptions, Service, Version};
use modelyard_tensor::{AlignedBuffer, DataType, Shape, TensorView};
use smallvec::SmallVec;

use super::caller::{Answer, Caller, Failure};
use super::inputs::Example;

/// A model in the serving core of this process.
pub(crate) struct ServedModel {
    service: Arc<Service>,
    version: Arc<Version>,
    examples: Vec<SmallVec<[(DataType, Shape, bytes::Bytes); 2]>>,
}

impl ServedModel {
    /// Requests with these examples to this version.
    pub(crate) fn new(service: Arc<Service>, version: Arc<Version>, examples: &[Example]) -> Self {
        let examples = examples.iter().map(|example| {
            let input = |(_, tensor): &(String, modelyard_tensor::Tensor)| {
                (tensor.data_type(), tensor.shape().clone(), tensor.data().clone())
            };
            example.tensors.iter().map(input).collect()
        });
        ServedModel { service, version, examples: examples.collect() }
    }
}

/// Calls the serving core as an adapter would.
pub(crate) struct ServiceCaller {
    model: Arc<ServedModel>,
}

impl ServiceCaller {
    /// A caller of this model.
    pub(crate) fn new(model: Arc<ServedModel>) -> Self {
        ServiceCaller { model }
    }
}

impl Caller for ServiceCaller {
    async fn call(&mut self, request: usize) -> Result<(), Failure> {
        // Cheap models are answered without a wait: the other callers must get their turn.
        tokio::task::consume_budget().await;
        let inputs = self.model.examples[request].iter().map(|(data_type, shape, data)| Input {
            data_type: *data_type,
            shape: shape.clone(),
            data: data.clone().into(),
        });
        let request = InferRequest {
            version: self.model.version.clone().into(),
            inputs: inputs.collect(),
            outputs: SmallVec::new(),
            options: RequestOptions::arrived(Instant::now()),
        };
        match self.model.service.infer(request).await {
            Ok(_) => Ok(()),
            Err(error) => {
                let answer = Answer::InProcess(error.message.to_string());
                match error.code {
                    ErrorCode::Overloaded | ErrorCode::Unavailable => Err(Failure::Refused(answer)),
                    _ => Err(Failure::Answered(answer)),
                }
            }
        }
    }

    fn abandon(&mut self) {}
}

/// A model in a bare engine of this process.
pub(crate) struct EngineModel {
    session: Box<dyn Session>,
    parallelism: Parallelism,
    outputs: Vec<usize>,
    examples: Vec<Vec<AlignedInput>>,
}

impl EngineModel {
    /// Calls of this session with these examples.
    pub(crate) fn new(
        session: Box<dyn Session>,
        parallelism: Parallelism,
        examples: &[Example],
    ) -> Self {
        let aligned = |(_, tensor): &(String, modelyard_tensor::Tensor)| {
            let mut buffer = AlignedBuffer::zeroed(tensor.data().len());
            buffer.as_mut_slice().copy_from_slice(tensor.data());
            AlignedInput { data_type: tensor.data_type(), shape: tensor.shape().clone(), buffer }
        };
        let examples = examples.iter().map(|example| example.tensors.iter().map(aligned).collect());
        let outputs = (0..session.signature().outputs.len()).collect();
        EngineModel { outputs, parallelism, examples: examples.collect(), session }
    }

    fn run(&self, request: usize) -> Result<(), RunError> {
        let views: SmallVec<[TensorView<'_>; 4]> =
            self.examples[request].iter().map(AlignedInput::view).collect();
        self.session.run(&views, &self.outputs, self.parallelism).map(drop)
    }
}

/// One input where engines want it.
struct AlignedInput {
    data_type: DataType,
    shape: Shape,
    buffer: AlignedBuffer,
}

impl AlignedInput {
    fn view(&self) -> TensorView<'_> {
        TensorView { data_type: self.data_type, shape: &self.shape, data: self.buffer.as_ref() }
    }
}

/// Calls the engine on its own thread.
pub(crate) struct EngineCaller {
    model: Arc<EngineModel>,
}

impl EngineCaller {
    /// A caller of this model; needs a thread of its own.
    pub(crate) fn new(model: Arc<EngineModel>) -> Self {
        EngineCaller { model }
    }
}

impl Caller for EngineCaller {
    async fn call(&mut self, request: usize) -> Result<(), Failure> {
        let ran = self.model.run(request);
        ran.map_err(|error| Failure::Answered(Answer::InProcess(error.to_string())))
    }

    fn abandon(&mut self) {}
}
