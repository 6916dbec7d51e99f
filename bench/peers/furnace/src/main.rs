//! furnace-server with ONNX Runtime: sessions of one thread each, as many as cores, taken in turn.

use std::sync::{Condvar, Mutex};

use furnace::{HostTensor, IoSpec, Model, Server, TensorModel, Values};
use ort::environment::Environment;
use ort::session::Session;
use ort::value::Tensor;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug)]
struct Ort {
    sessions: Mutex<Vec<Session>>,
    returned: Condvar,
    input: Vec<usize>,
    output: Vec<usize>,
}

impl TensorModel for Ort {
    fn name(&self) -> &str {
        "model"
    }

    fn backend(&self) -> &str {
        "cpu"
    }

    fn inputs(&self) -> Vec<IoSpec> {
        // Of a model with one tensor in and one out it takes no other names than these.
        vec![IoSpec::fp32("input", &self.input)]
    }

    fn outputs(&self) -> Vec<IoSpec> {
        vec![IoSpec::fp32("output", &self.output)]
    }

    fn run(&self, mut inputs: Vec<HostTensor>) -> furnace::Result<Vec<HostTensor>> {
        let input = inputs.remove(0);
        let Values::F32(values) = input.values else { unreachable!("checked by the server") };
        let free = self.sessions.lock().expect("no panics");
        let mut free = self.returned.wait_while(free, |free| free.is_empty()).expect("no panics");
        let mut session = free.pop().expect("one is free");
        drop(free);
        let tensor = Tensor::from_array((input.shape, values)).expect("shape fits");
        let answer = {
            let outputs = session.run(ort::inputs![tensor]).expect("the model runs");
            let (shape, values) = outputs[0].try_extract_tensor::<f32>().expect("floats");
            let shape = shape.iter().map(|dim| *dim as usize).collect();
            HostTensor { shape, values: Values::F32(values.to_vec()) }
        };
        self.sessions.lock().expect("no panics").push(session);
        self.returned.notify_one();
        Ok(vec![answer])
    }
}

fn session(environment: &Environment, path: &str) -> Session {
    Session::builder(environment)
        .and_then(|builder| Ok(builder.with_intra_threads(1)?))
        .and_then(|mut builder| builder.commit_from_file(path))
        .expect("the model loads")
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

fn main() {
    let environment = ort::init_from(variable("ORT_DYLIB_PATH")).expect("the library loads");
    let environment = environment.build().expect("it initializes");
    let path = variable("MODEL");
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let sessions: Vec<Session> = (0..threads).map(|_| session(&environment, &path)).collect();
    let row = |outlet: &ort::value::Outlet| {
        let shape = outlet.dtype().tensor_shape().expect("a tensor");
        shape.iter().skip(1).map(|dim| *dim as usize).collect()
    };
    let input = row(&sessions[0].inputs()[0]);
    let output = row(&sessions[0].outputs()[0]);
    let model = Ort { sessions: Mutex::new(sessions), returned: Condvar::new(), input, output };
    let server = Server::new().port(variable("PORT").parse().expect("a port")).configure(|config| {
        config.grpc_port = std::env::var("GRPC_PORT").ok().and_then(|port| port.parse().ok());
        config.max_concurrent_requests = 1024;
        config.max_body_bytes = 64 << 20;
    });
    // It runs the model on blocking threads: more of them than sessions would only wait for one
    // another, which shows at 64 callers.
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.max_blocking_threads(threads).enable_all().build();
    let runtime = runtime.expect("threads start");
    runtime.block_on(server.model(Model::custom(model)).serve()).expect("it serves");
}
