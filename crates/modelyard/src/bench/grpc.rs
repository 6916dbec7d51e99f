//! gRPC over bare HTTP/2: messages are encoded beforehand, answers are read but not decoded.
//!
//! Callers share connections, as the clients of one process do; each call is a stream.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::{self, SendRequest};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version, header};
use prost::Message;
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::caller::{Caller, Failure};

/// How long to wait before a failed connection is reported.
const RECONNECT_DELAY: Duration = Duration::from_millis(20);
/// Flow-control window of streams and connections: answers shall not wait for our updates.
const WINDOW: u32 = 16 << 20;

/// A caller that shares a [`Channel`] with others.
pub(crate) struct GrpcCaller {
    channel: Rc<Channel>,
    target: Arc<GrpcTarget>,
}

/// What all callers of one measurement share.
pub(crate) struct GrpcTarget {
    /// The server.
    pub(crate) address: SocketAddr,
    /// `http://host:port/package.Service/Method`.
    pub(crate) uri: Uri,
    /// Messages with their gRPC prefix, see [`framed`].
    pub(crate) requests: Arc<[Bytes]>,
}

/// One HTTP/2 connection, made again when it breaks.
pub(crate) struct Channel {
    address: SocketAddr,
    sender: Mutex<Option<SendRequest<Bytes>>>,
}

impl Channel {
    /// A channel to `address`; connects when first used. Must be used inside a `LocalSet`.
    pub(crate) fn new(address: SocketAddr) -> Self {
        Channel { address, sender: Mutex::new(None) }
    }

    async fn sender(&self) -> Result<SendRequest<Bytes>, Failure> {
        let mut slot = self.sender.lock().await;
        if let Some(sender) = &*slot {
            return Ok(sender.clone());
        }
        match connect(self.address).await {
            Ok(sender) => {
                *slot = Some(sender.clone());
                Ok(sender)
            }
            Err(kind) => {
                tokio::time::sleep(RECONNECT_DELAY).await;
                Err(Failure::Connect(kind))
            }
        }
    }

    /// One unary call; the answer's message goes to `body` in pieces, prefix included.
    pub(crate) async fn unary(
        &self,
        uri: &Uri,
        message: Bytes,
        body: impl FnMut(&[u8]),
    ) -> Result<(), Failure> {
        let sender = self.sender().await?;
        match exchange(sender, uri, message, body).await {
            Ok(headers) => match grpc_status(&headers) {
                Some(0) => Ok(()),
                Some(status) => Err(Failure::grpc(status)),
                None => Err(Failure::Malformed("no grpc-status")),
            },
            Err(Broken::Stream(failure)) => Err(failure),
            Err(Broken::Connection(failure)) => {
                *self.sender.lock().await = None;
                Err(failure)
            }
        }
    }
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Bytes>, ErrorKind> {
    let stream = TcpStream::connect(address).await.map_err(|error| error.kind())?;
    stream.set_nodelay(true).map_err(|error| error.kind())?;
    let (sender, connection) = client::Builder::new()
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .handshake(stream)
        .await
        .map_err(|error| kind_of(&error))?;
    tokio::task::spawn_local(async move {
        // Its end is seen by the calls on it.
        let _ = connection.await;
    });
    Ok(sender)
}

/// How far a failure reaches.
enum Broken {
    Stream(Failure),
    Connection(Failure),
}

impl From<h2::Error> for Broken {
    fn from(error: h2::Error) -> Self {
        let failure = Failure::Broken(kind_of(&error));
        if error.is_reset() { Broken::Stream(failure) } else { Broken::Connection(failure) }
    }
}

fn kind_of(error: &h2::Error) -> ErrorKind {
    match error.get_io() {
        Some(error) => error.kind(),
        None if error.is_reset() => ErrorKind::ConnectionReset,
        None if error.is_go_away() => ErrorKind::ConnectionAborted,
        None => ErrorKind::Other,
    }
}

/// Sends a message, reads the answer to its end and gives the headers that hold the status.
async fn exchange(
    sender: SendRequest<Bytes>,
    uri: &Uri,
    message: Bytes,
    mut body: impl FnMut(&[u8]),
) -> Result<HeaderMap, Broken> {
    let mut sender = sender.ready().await?;
    let (answer, mut stream) = sender.send_request(request(uri), false)?;
    stream.send_data(message, true)?;
    let (head, mut incoming) = answer.await?.into_parts();
    if head.status != http::StatusCode::OK {
        return Err(Broken::Stream(Failure::http(head.status.as_u16())));
    }
    while let Some(piece) = incoming.data().await {
        let piece = piece?;
        body(&piece);
        incoming.flow_control().release_capacity(piece.len())?;
    }
    Ok(incoming.trailers().await?.unwrap_or(head.headers))
}

fn request(uri: &Uri) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = uri.clone();
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    request
}

fn grpc_status(headers: &HeaderMap) -> Option<u16> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

/// A message with the five bytes that gRPC puts before it: not compressed, and its length.
pub(crate) fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(5 + length);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    bytes.put(message.encode_to_vec().as_slice());
    bytes.freeze()
}

impl GrpcCaller {
    /// A caller over a shared channel.
    pub(crate) fn new(channel: Rc<Channel>, target: Arc<GrpcTarget>) -> Self {
        GrpcCaller { channel, target }
    }
}

impl Caller for GrpcCaller {
    async fn call(&mut self, request: usize) -> Result<(), Failure> {
        let message = self.target.requests[request].clone();
        self.channel.unary(&self.target.uri, message, |_| ()).await
    }

    fn abandon(&mut self) {
        // Dropping the call reset its stream; the connection goes on.
    }
}
