//! Files of the corpus that are requests over HTTP.

use std::sync::Arc;

use http::{HeaderMap, Request};
use modelyard_serving::Version;
use modelyard_tensor::Rope;

use super::routes::{self, Operation};
use super::{decode_segment, version_number};
use crate::grpc::testing::rope;
use crate::hostile;
use crate::http::Refusal;

/// A request for an inference.
pub(super) struct Received {
    pub(super) version: Arc<Version>,
    pub(super) headers: HeaderMap,
    pub(super) body: Rope,
}

/// Reads a file: request line, header fields, an empty line, the body.
pub(super) fn receive(file: &[u8], wanted: Operation) -> Result<Received, Refusal> {
    let request = read(file).ok_or_else(|| Refusal::invalid("the file is no request"))?;
    let (head, body) = request.into_parts();
    let (operation, captures) = routes::find(&head.method, head.uri.path())?;
    if operation != wanted {
        return Err(Refusal::invalid("the file is another request"));
    }
    let model = decode_segment(captures.model.unwrap_or_default())?;
    let version = hostile::service().resolve(&model, version_number(&captures)?)?;
    Ok(Received { version, headers: head.headers, body })
}

fn read(file: &[u8]) -> Option<Request<Rope>> {
    let end = file.windows(2).position(|two| two == b"\n\n")?;
    let mut lines = std::str::from_utf8(&file[..end]).ok()?.lines();
    let mut request = Request::post(lines.next()?.strip_prefix("POST ")?);
    for line in lines {
        let (name, value) = line.split_once(": ")?;
        request = request.header(name, value);
    }
    // In pieces, as it comes from the network.
    request.body(rope(&file[end + 2..], 48)).ok()
}
