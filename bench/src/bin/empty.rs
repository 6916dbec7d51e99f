//! The yardstick: a server that reads a request's whole body and always answers the same bytes.
//!
//! `empty http|grpc --answer FILE [--multi-thread]` prints its address and serves until killed.
//! HTTP is bare hyper, gRPC a tonic handler behind it. The default layout is one single-threaded
//! runtime a core with connections spread over them; `--multi-thread` is tokio's work-stealing
//! runtime. What no model server can beat is the better of the two.

use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use bytes::{Buf, BufMut, Bytes};
use clap::Parser;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, UnaryService};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Answers every request with the same bytes.
#[derive(Parser)]
struct Args {
    /// What to speak
    #[arg(value_parser = ["http", "grpc"])]
    protocol: String,
    /// File with the answer's body (HTTP) or message (gRPC)
    #[arg(long)]
    answer: PathBuf,
    /// Content type of the answer
    #[arg(long, default_value = "application/json")]
    content_type: String,
    /// Length of the JSON part, for answers with binary tensors
    #[arg(long)]
    json_length: Option<usize>,
    /// Use tokio's work-stealing runtime
    #[arg(long)]
    multi_thread: bool,
}

/// What every connection needs.
#[derive(Clone)]
struct Answer {
    grpc: bool,
    body: Bytes,
    content_type: HeaderValue,
    json_length: Option<HeaderValue>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let body = std::fs::read(&args.answer).context("failed to read the answer")?;
    let answer = Answer {
        grpc: args.protocol == "grpc",
        body: body.into(),
        content_type: HeaderValue::from_str(&args.content_type)?,
        json_length: args.json_length.map(HeaderValue::from),
    };
    if args.multi_thread {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        return runtime
            .block_on(accept(|stream| drop(tokio::spawn(serve(stream, answer.clone())))));
    }
    let threads = std::thread::available_parallelism()?.get();
    let doors: Vec<_> = (0..threads).map(|_| open_door(answer.clone())).collect();
    let mut next = 0;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(accept(|stream| {
        if let Ok(stream) = stream.into_std() {
            let _ = doors[next % threads].send(stream);
        }
        next += 1;
    }))
}

async fn accept(mut hand_over: impl FnMut(TcpStream)) -> anyhow::Result<()> {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    println!("{}", listener.local_addr()?);
    std::io::stdout().flush()?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        hand_over(stream);
    }
}

/// A thread that serves the connections sent to it.
fn open_door(answer: Answer) -> mpsc::UnboundedSender<std::net::TcpStream> {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async {
            while let Some(stream) = receiver.recv().await {
                let stream = TcpStream::from_std(stream)?;
                tokio::task::spawn_local(serve(stream, answer.clone()));
            }
            Ok(())
        })
    });
    sender
}

async fn serve(stream: TcpStream, answer: Answer) {
    let io = TokioIo::new(stream);
    if answer.grpc {
        let service = service_fn(move |request| grpc(request, answer.clone()));
        let _ = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(1 << 20)
            .serve_connection(io, service)
            .await;
    } else {
        let service = service_fn(move |request| plain(request, answer.clone()));
        let _ = http1::Builder::new().serve_connection(io, service).await;
    }
}

async fn plain(
    request: Request<Incoming>,
    answer: Answer,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let mut body = request.into_body();
    while let Some(frame) = body.frame().await {
        std::hint::black_box(frame?);
    }
    let mut response = Response::new(Full::new(answer.body));
    response.headers_mut().insert(http::header::CONTENT_TYPE, answer.content_type);
    if let Some(length) = answer.json_length {
        response.headers_mut().insert("inference-header-content-length", length);
    }
    Ok(response)
}

async fn grpc(
    request: Request<Incoming>,
    answer: Answer,
) -> Result<Response<tonic::body::Body>, Infallible> {
    Ok(Grpc::new(RawCodec).unary(Same(answer.body), request).await)
}

/// The handler: the same message for everyone.
struct Same(Bytes);

impl UnaryService<Bytes> for Same {
    type Response = Bytes;
    type Future = std::future::Ready<Result<tonic::Response<Bytes>, Status>>;

    fn call(&mut self, _request: tonic::Request<Bytes>) -> Self::Future {
        std::future::ready(Ok(tonic::Response::new(self.0.clone())))
    }
}

/// Messages as bytes, undecoded.
#[derive(Clone, Copy)]
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = RawCodec;
    type Decoder = RawCodec;

    fn encoder(&mut self) -> RawCodec {
        RawCodec
    }

    fn decoder(&mut self) -> RawCodec {
        RawCodec
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
