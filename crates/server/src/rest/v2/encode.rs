//! Answers of `POST .../infer`.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Response};
use modelyard_serving::{InferError, Version};
use modelyard_tensor::{DataType, Tensor};
use smallvec::SmallVec;

use super::decode::{Reply, Wanted};
use crate::classification::{Classes, classify};
use crate::http::{BINARY, Frames, JSON, Refusal};
use crate::json::{self, Unprintable};

/// Length of the JSON where tensors in binary follow it.
pub(super) const HEADER_LENGTH: HeaderName =
    HeaderName::from_static("inference-header-content-length");

/// Encodes what `version` answered.
pub(super) fn encode(
    version: &Version,
    reply: &Reply,
    outputs: SmallVec<[Tensor; 2]>,
) -> Result<Response<Frames>, Refusal> {
    let mut encoder = Encoder { head: Vec::with_capacity(estimate(&outputs)), blobs: None };
    encoder.open(version, &reply.id);
    for (index, tensor) in outputs.into_iter().enumerate() {
        let all = Wanted { output: index, binary: None, classes: None };
        let wanted = reply.outputs.as_ref().and_then(|wanted| wanted.get(index)).unwrap_or(&all);
        let tensor = match wanted.classes {
            Some(count) => best_classes(version, wanted.output, &tensor, count)?,
            None => tensor,
        };
        if index > 0 {
            encoder.head.push(b',');
        }
        let name = &version.signature().outputs[wanted.output].name;
        encoder.output(name, tensor, wanted.binary.unwrap_or(reply.binary))?;
    }
    encoder.head.extend_from_slice(b"]}");
    Ok(encoder.finish())
}

/// Bytes that the JSON will take, about.
fn estimate(outputs: &[Tensor]) -> usize {
    const HEAD: usize = 256;
    const OUTPUT: usize = 96;
    const ELEMENT: usize = 14;
    let elements = |tensor: &Tensor| tensor.shape().elements().unwrap_or(0).min(1 << 16);
    HEAD + outputs.iter().map(|tensor| OUTPUT + ELEMENT * elements(tensor)).sum::<usize>()
}

fn best_classes(
    version: &Version,
    output: usize,
    tensor: &Tensor,
    count: usize,
) -> Result<Tensor, InferError> {
    let labels = version.labels().get(output).and_then(Option::as_deref);
    let batched = version.max_batch_size() > 0;
    classify(tensor, &Classes { count, batched, labels })
}

struct Encoder {
    head: Vec<u8>,
    /// Outputs in binary, behind a place for the JSON.
    blobs: Option<SmallVec<[Bytes; 2]>>,
}

impl Encoder {
    fn open(&mut self, version: &Version, id: &str) {
        let out = &mut self.head;
        out.push(b'{');
        if !id.is_empty() {
            out.extend_from_slice(b"\"id\":");
            json::string(out, id);
            out.push(b',');
        }
        out.extend_from_slice(b"\"model_name\":");
        json::string(out, version.model());
        out.extend_from_slice(b",\"model_version\":\"");
        json::number(out, version.number());
        out.extend_from_slice(b"\",\"outputs\":[");
    }

    fn output(&mut self, name: &str, tensor: Tensor, binary: bool) -> Result<(), Refusal> {
        let out = &mut self.head;
        out.extend_from_slice(b"{\"name\":");
        json::string(out, name);
        out.extend_from_slice(b",\"datatype\":\"");
        out.extend_from_slice(tensor.data_type().name().as_bytes());
        out.extend_from_slice(b"\",\"shape\":[");
        for (index, &dim) in tensor.shape().iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            json::number(out, dim);
        }
        if binary {
            out.extend_from_slice(b"],\"parameters\":{\"binary_data_size\":");
            json::number(out, tensor.data().len());
            out.extend_from_slice(b"}}");
            let blobs = self.blobs.get_or_insert_with(|| SmallVec::from_iter([Bytes::new()]));
            blobs.push(tensor.into_data());
        } else {
            out.extend_from_slice(b"],\"data\":[");
            json::values(out, tensor.data_type(), tensor.data())
                .map_err(|error| unprintable(name, tensor.data_type(), error))?;
            out.extend_from_slice(b"]}");
        }
        Ok(())
    }

    fn finish(self) -> Response<Frames> {
        let length = self.head.len();
        let Some(mut pieces) = self.blobs else {
            let mut response = Response::new(Frames::from(self.head));
            response.headers_mut().insert(CONTENT_TYPE, JSON);
            return response;
        };
        pieces[0] = self.head.into();
        let mut response = Response::new(Frames::from(pieces));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, BINARY);
        headers.insert(HEADER_LENGTH, HeaderValue::from(length));
        response
    }
}

pub(in crate::rest) fn unprintable(name: &str, data_type: DataType, error: Unprintable) -> Refusal {
    Refusal::invalid(format!(
        "output '{name}' ({data_type}) cannot be answered in JSON: {error}; ask for it in binary \
         (binary_data)"
    ))
}
