//! Everything but inference: metadata, configuration, statistics, the repository.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use http::Response;
use modelyard_serving::{ErrorCode, InferError, Service, Version};
use modelyard_tensor::TensorSpec;
use prost::Message;

use super::body::Body;
use super::decode::version_number;
use super::framing::{Messages, Room};
use super::infer;
use super::model_config::{self, PLATFORM};
use super::proto::model_metadata_response::TensorMetadata;
use super::proto::model_repository_parameter::ParameterChoice;
use super::proto::repository_index_response::ModelIndex;
use super::proto::{
    ModelConfigRequest, ModelConfigResponse, ModelMetadataRequest, ModelMetadataResponse,
    ModelReadyRequest, ModelReadyResponse, ModelRepositoryParameter, ModelStatisticsRequest,
    ModelStatisticsResponse, RepositoryIndexRequest, RepositoryIndexResponse,
    RepositoryModelLoadRequest, RepositoryModelLoadResponse, RepositoryModelUnloadRequest,
    RepositoryModelUnloadResponse, ServerLiveRequest, ServerLiveResponse, ServerMetadataRequest,
    ServerMetadataResponse, ServerReadyRequest, ServerReadyResponse,
};
use super::statistics;
use super::status::refusal;
use crate::identity::{self, Missing};
use crate::repository::{Action, Overrides, Parameter, Repository, take_unload};
use crate::wake::awake;

/// Answers calls of the inference service that need no engine.
pub(super) struct Control {
    pub(super) service: Arc<Service>,
    pub(super) room: Room,
    pub(super) repository: Option<Repository>,
}

impl Control {
    /// Answers a call of the method with this name.
    pub(super) async fn answer<B>(&self, method: &str, request: http::Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
    {
        match method {
            "ServerLive" => self.unary(request, |request| self.server_live(request)).await,
            "ServerReady" => self.unary(request, |request| self.server_ready(request)).await,
            "ModelReady" => self.unary(request, |request| self.model_ready(request)).await,
            "ServerMetadata" => self.unary(request, |request| self.server_metadata(request)).await,
            "ModelMetadata" => {
                let name = |request: &ModelMetadataRequest| request.name.clone();
                self.awake(request, name, |request| self.model_metadata(request)).await
            }
            "ModelConfig" => {
                let name = |request: &ModelConfigRequest| request.name.clone();
                self.awake(request, name, |request| self.model_config(request)).await
            }
            "ModelStatistics" => self.unary(request, |request| self.statistics(request)).await,
            "RepositoryIndex" => self.unary(request, |request| self.index(request)).await,
            "RepositoryModelLoad" => self.ask(request, load, RepositoryModelLoadResponse {}).await,
            "RepositoryModelUnload" => {
                self.ask(request, unload, RepositoryModelUnloadResponse {}).await
            }
            _ => refusal(&not_offered(method)),
        }
    }

    /// Reads one message, answers it.
    async fn unary<B, Q, A>(
        &self,
        request: http::Request<B>,
        answer: impl FnOnce(Q) -> Result<A, InferError>,
    ) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
        Q: Message + Default,
        A: Message,
    {
        respond(self.message(request).await.and_then(answer))
    }

    /// Reads one message, answers it; the model that it names is loaded where it stands by.
    async fn awake<B, Q, A>(
        &self,
        request: http::Request<B>,
        name: impl FnOnce(&Q) -> String,
        answer: impl Fn(&Q) -> Result<A, InferError>,
    ) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
        Q: Message + Default,
        A: Message,
    {
        let message: Q = match self.message(request).await {
            Ok(message) => message,
            Err(error) => return refusal(&error),
        };
        let model = (&*name(&message), &self.room.limits);
        respond(awake(self.repository.as_ref(), model, || answer(&message)).await)
    }

    /// Reads one message and has the repository do what it orders.
    async fn ask<B, Q>(
        &self,
        request: http::Request<B>,
        order: impl FnOnce(Q) -> Result<(String, Action), InferError>,
        done: impl Message,
    ) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
        Q: Message + Default,
    {
        let Some(repository) = &self.repository else {
            return refusal(&Missing::Loading.error("loading and unloading models on request"));
        };
        match self.message(request).await.and_then(order) {
            Ok((model, action)) => respond(repository.ask(&model, action).await.map(|()| done)),
            Err(error) => refusal(&error),
        }
    }

    /// The message of a call.
    async fn message<B, Q>(&self, request: http::Request<B>) -> Result<Q, InferError>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
        Q: Message + Default,
    {
        let (head, body) = request.into_parts();
        let mut messages = Messages::new(&head.headers, body);
        let message = poll_fn(|cx| messages.poll_next(cx, &self.room)).await?;
        let message = message.ok_or_else(|| InferError::invalid("the request has no message"))?;
        Q::decode(message.bytes.into_bytes()).map_err(|error| {
            InferError::invalid(format!("failed to decode the protobuf message: {error}"))
        })
    }

    fn resolve(&self, model: &str, version: &str) -> Result<Arc<Version>, InferError> {
        self.service.resolve(model, version_number(version)?)
    }

    fn server_live(&self, _: ServerLiveRequest) -> Result<ServerLiveResponse, InferError> {
        Ok(ServerLiveResponse { live: self.service.live() })
    }

    fn server_ready(&self, _: ServerReadyRequest) -> Result<ServerReadyResponse, InferError> {
        Ok(ServerReadyResponse { ready: self.service.ready() })
    }

    fn model_ready(&self, request: ModelReadyRequest) -> Result<ModelReadyResponse, InferError> {
        let version = version_number(&request.version)?;
        Ok(ModelReadyResponse { ready: self.service.model_ready(&request.name, version) })
    }

    fn server_metadata(
        &self,
        _: ServerMetadataRequest,
    ) -> Result<ServerMetadataResponse, InferError> {
        Ok(ServerMetadataResponse {
            name: identity::NAME.to_owned(),
            version: identity::VERSION.to_owned(),
            extensions: identity::EXTENSIONS.map(str::to_owned).to_vec(),
        })
    }

    fn model_metadata(
        &self,
        request: &ModelMetadataRequest,
    ) -> Result<ModelMetadataResponse, InferError> {
        let version = self.resolve(&request.name, &request.version)?;
        let signature = version.signature();
        let versions = self.service.versions();
        let versions = versions.iter().filter(|other| other.model() == version.model());
        Ok(ModelMetadataResponse {
            name: version.model().to_owned(),
            versions: versions.map(|version| version.number().to_string()).collect(),
            platform: PLATFORM.to_owned(),
            inputs: signature.inputs.iter().map(tensor_metadata).collect(),
            outputs: signature.outputs.iter().map(tensor_metadata).collect(),
        })
    }

    fn model_config(
        &self,
        request: &ModelConfigRequest,
    ) -> Result<ModelConfigResponse, InferError> {
        let version = self.resolve(&request.name, &request.version)?;
        Ok(ModelConfigResponse { config: Some(model_config::proto(&self.service, &version)) })
    }

    /// The figures of one version, of all of a model, or of all there are.
    fn statistics(
        &self,
        request: ModelStatisticsRequest,
    ) -> Result<ModelStatisticsResponse, InferError> {
        let number = version_number(&request.version)?;
        if !request.name.is_empty() {
            match self.service.resolve(&request.name, number) {
                // One that is not in memory has no figures.
                Err(error) if error.code != ErrorCode::StandsBy => return Err(error),
                _ => {}
            }
        }
        let versions = self.service.versions();
        let asked = versions.iter().filter(|version| {
            (request.name.is_empty() || version.model() == request.name)
                && number.is_none_or(|number| version.number() == number)
        });
        let model_stats = asked.map(|version| statistics::proto(version)).collect();
        Ok(ModelStatisticsResponse { model_stats })
    }

    fn index(
        &self,
        request: RepositoryIndexRequest,
    ) -> Result<RepositoryIndexResponse, InferError> {
        let entries = self.service.index().into_iter();
        let models = entries
            .filter(|entry| !request.ready || entry.state == "READY")
            .map(|entry| ModelIndex {
                name: entry.model,
                version: entry.version.to_string(),
                state: entry.state.to_owned(),
                reason: entry.reason,
            })
            .collect();
        Ok(RepositoryIndexResponse { models })
    }
}

fn respond(answered: Result<impl Message, InferError>) -> Response<Body> {
    match answered {
        Ok(answer) => infer::ok(None, |_| Body::answer([frame(&answer)].into_iter().collect())),
        Err(error) => refusal(&error),
    }
}

fn load(request: RepositoryModelLoadRequest) -> Result<(String, Action), InferError> {
    let mut overrides = Overrides::default();
    for (name, value) in request.parameters {
        overrides.take(&name, parameter(value))?;
    }
    Ok((request.model_name, Action::Load(overrides)))
}

fn unload(request: RepositoryModelUnloadRequest) -> Result<(String, Action), InferError> {
    for (name, value) in request.parameters {
        take_unload(&name, &parameter(value))?;
    }
    Ok((request.model_name, Action::Unload))
}

fn parameter(value: ModelRepositoryParameter) -> Parameter {
    match value.parameter_choice {
        Some(ParameterChoice::BoolParam(_)) => Parameter::Bool,
        Some(ParameterChoice::StringParam(text)) => Parameter::Text(text),
        Some(ParameterChoice::BytesParam(bytes)) => Parameter::Bytes(bytes),
        Some(ParameterChoice::Int64Param(_)) | None => Parameter::Other,
    }
}

fn tensor_metadata(spec: &TensorSpec) -> TensorMetadata {
    TensorMetadata {
        name: spec.name.clone(),
        datatype: spec.data_type.name().to_owned(),
        shape: spec.wire_shape(),
    }
}

/// A message with its gRPC frame.
fn frame(message: &impl Message) -> Bytes {
    const HEAD: usize = 5;
    let len = message.encoded_len();
    let mut frame = BytesMut::with_capacity(HEAD + len);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(len).expect("metadata is far below 4 GiB"));
    message.encode(&mut frame).expect("a BytesMut grows");
    frame.freeze()
}

/// Why a method of the service is not answered, and what to do instead.
fn not_offered(method: &str) -> InferError {
    let missing = match method {
        "SystemSharedMemoryStatus"
        | "SystemSharedMemoryRegister"
        | "SystemSharedMemoryUnregister"
        | "CudaSharedMemoryStatus"
        | "CudaSharedMemoryRegister"
        | "CudaSharedMemoryUnregister" => Missing::SharedMemory,
        "TraceSetting" | "LogSettings" => Missing::Settings,
        _ => return InferError::new(ErrorCode::Unimplemented, "the service has no such method"),
    };
    missing.error(method)
}
