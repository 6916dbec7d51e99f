//! A server with models that need no engine.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use modelyard_engine::{Loaded, Parallelism, RunError, Session};
use modelyard_server::grpc::proto::grpc_inference_service_client::GrpcInferenceServiceClient;
use modelyard_server::grpc::proto::model_infer_request::InferInputTensor;
use modelyard_server::grpc::proto::{ModelInferRequest, ModelInferResponse};
use modelyard_server::{Limits, Running, Server, ServerConfig};
use modelyard_serving::{
    ModelConfig, Phase, Service, ServiceConfig, Version, VersionSpec, VersionState,
};
use modelyard_tensor::{DataType, Dim, Shape, Signature, Tensor, TensorSpec, TensorView};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::transport::{Channel, Endpoint};

/// A running server and its core.
pub(crate) struct TestServer {
    pub(crate) service: Arc<Service>,
    running: Option<Running>,
}

impl TestServer {
    /// Serves `echo` (one FP32 input `x` of [-1,4], the output `y` is the input, three labels)
    /// and `every` (one input of each datatype, echoed), and knows `broken`, which is not ready.
    pub(crate) fn start() -> Self {
        Self::with(Limits::default())
    }

    pub(crate) fn with(limits: Limits) -> Self {
        let service = Service::new(ServiceConfig { threads: 2, strict_readiness: false }).unwrap();
        for signature in [("echo", echo()), ("every", every())] {
            load(&service, signature.0, signature.1);
        }
        service.set_version("broken", 1, VersionState::Unavailable("its file is torn".into()));
        service.set_phase(Phase::Ready);
        let config = ServerConfig {
            http_address: None,
            metrics_address: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
            grpc_address: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
            io_threads: 2,
            limits,
            ..ServerConfig::default()
        };
        let running = Server::start(config, service.clone()).unwrap();
        TestServer { service, running: Some(running) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.running.as_ref().unwrap().addresses().grpc.unwrap()
    }

    /// The value of one line of `/metrics`.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let address = self.running.as_ref().unwrap().addresses().metrics.unwrap();
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).await.unwrap();
        let line = page.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {page}")).trim().parse().unwrap()
    }

    /// Stops with 20 s of grace; tells whether all finished, and how long it took.
    pub(crate) async fn stop(&mut self) -> (bool, Duration) {
        let running = self.running.take().unwrap();
        let started = std::time::Instant::now();
        let shutdown = move || running.shutdown(Duration::from_secs(20));
        let finished = tokio::task::spawn_blocking(shutdown).await.unwrap();
        (finished, started.elapsed())
    }

    pub(crate) async fn channel(&self) -> Channel {
        let endpoint = Endpoint::try_from(format!("http://{}", self.address())).unwrap();
        endpoint.connect().await.unwrap()
    }

    pub(crate) async fn client(&self) -> GrpcInferenceServiceClient<Channel> {
        GrpcInferenceServiceClient::new(self.channel().await)
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.shutdown(Duration::ZERO);
        }
    }
}

/// A request for `echo` with these values.
pub(crate) fn echo_request(id: &str, values: [f32; 4]) -> ModelInferRequest {
    ModelInferRequest {
        model_name: "echo".into(),
        id: id.into(),
        inputs: vec![InferInputTensor {
            name: "x".into(),
            datatype: "FP32".into(),
            shape: vec![1, 4],
            ..Default::default()
        }],
        raw_input_contents: vec![raw(&values)],
        ..Default::default()
    }
}

pub(crate) fn raw(values: &[f32]) -> bytes::Bytes {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Checks an answer of `echo`.
pub(crate) fn check_echo(response: &ModelInferResponse, id: &str, values: [f32; 4]) {
    assert_eq!(response.model_name, "echo");
    assert_eq!(response.model_version, "1");
    assert_eq!(response.id, id);
    assert_eq!(response.outputs[0].name, "y");
    assert_eq!(response.outputs[0].datatype, "FP32");
    assert_eq!(response.outputs[0].shape, [1, 4]);
    assert_eq!(response.raw_output_contents, [raw(&values)]);
}

fn load(service: &Service, model: &str, signature: Signature) {
    let labels: Arc<[String]> = ["zero", "one", "two"].map(String::from).into();
    let load = Box::new(move || {
        let session = Box::new(Echo(signature.clone()));
        Ok(Loaded { session, engine: "echo", time: Duration::ZERO, bytes: 0 })
    });
    let spec = VersionSpec {
        model: model.into(),
        number: 1,
        config: ModelConfig::default(),
        labels: vec![Some(labels)],
        load,
    };
    let version = Arc::new(Version::load(spec).unwrap());
    service.set_version(model, 1, VersionState::Ready(version));
}

fn echo() -> Signature {
    let spec = |name: &str| TensorSpec {
        name: name.into(),
        data_type: DataType::Fp32,
        dims: Some(vec![Dim::Symbol("batch".into()), Dim::Fixed(4)]),
    };
    Signature { inputs: vec![spec("x")], outputs: vec![spec("y")] }
}

fn every() -> Signature {
    let spec = |data_type: DataType| TensorSpec {
        name: data_type.name().into(),
        data_type,
        dims: Some(vec![Dim::Fixed(2), Dim::Free]),
    };
    let specs = DataType::ALL.map(spec).to_vec();
    Signature { inputs: specs.clone(), outputs: specs }
}

/// Answers each output with the input at the same position.
struct Echo(Signature);

impl Session for Echo {
    fn signature(&self) -> &Signature {
        &self.0
    }

    fn run(
        &self,
        inputs: &[TensorView<'_>],
        outputs: &[usize],
        _: Parallelism,
    ) -> Result<Vec<Tensor>, RunError> {
        let echo = |&output: &usize| {
            let TensorView { data_type, shape, data } = inputs[output];
            Tensor::new(data_type, Shape::new(shape), bytes::Bytes::copy_from_slice(data))
                .map_err(|error| RunError::Failed(error.to_string()))
        };
        outputs.iter().map(echo).collect()
    }
}
