//! The fastest parse and print: what a server cannot avoid between socket and engine.
//!
//! JSON: a loop over bytes with fast-float2, digits printed by zmij. Binary: one copy. gRPC: one
//! decode of the message, which shares the body's memory, and one copy. CPU time of this thread.

use std::hint::black_box;

use bytes::Bytes;
use prost::Message;

use crate::process;

/// A v2 gRPC request, as far as it must be decoded.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct InferRequest {
    #[prost(string, tag = "1")]
    pub(super) model_name: String,
    #[prost(message, repeated, tag = "5")]
    pub(super) inputs: Vec<InferTensor>,
    #[prost(bytes = "bytes", repeated, tag = "7")]
    pub(super) raw_input_contents: Vec<Bytes>,
}

/// A v2 gRPC response.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct InferResponse {
    #[prost(string, tag = "1")]
    pub(super) model_name: String,
    #[prost(string, tag = "2")]
    pub(super) model_version: String,
    #[prost(message, repeated, tag = "5")]
    pub(super) outputs: Vec<InferTensor>,
    #[prost(bytes = "bytes", repeated, tag = "6")]
    pub(super) raw_output_contents: Vec<Bytes>,
}

/// Name, datatype and shape.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct InferTensor {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) datatype: String,
    #[prost(int64, repeated, tag = "3")]
    pub(super) shape: Vec<i64>,
}

/// CPU microseconds to parse the numbers of a JSON body and print as many as an answer has.
pub(super) fn json_us(body: &str, answer: &[f32]) -> f64 {
    let mut values = vec![0f32; 1 << 20];
    let mut text = String::with_capacity(1 << 16);
    timed(|| {
        let count = numbers(black_box(body.as_bytes()), &mut values);
        text.clear();
        let mut buffer = zmij::Buffer::new();
        for value in black_box(answer) {
            text.push_str(buffer.format(*value));
            text.push(',');
        }
        black_box((count, &values, &text));
    })
}

/// CPU microseconds to copy a tensor once.
pub(super) fn copy_us(tensor: &[u8]) -> f64 {
    let mut copy = vec![0; tensor.len()];
    timed(|| {
        copy.copy_from_slice(black_box(tensor));
        black_box(&copy);
    })
}

/// CPU microseconds to decode a message and copy its tensor once.
pub(super) fn grpc_us(message: &Bytes, response: &InferResponse) -> f64 {
    let mut copy = Vec::new();
    timed(|| {
        if let Ok(request) = InferRequest::decode(black_box(message.clone())) {
            copy.clear();
            copy.extend_from_slice(&request.raw_input_contents[0]);
            black_box(&copy);
        }
        black_box(response.encode_to_vec());
    })
}

/// All numbers of the first array.
fn numbers(body: &[u8], values: &mut [f32]) -> usize {
    let start = body.iter().position(|byte| *byte == b'[').map_or(body.len(), |at| at + 1);
    let mut rest = &body[start..];
    for (count, value) in values.iter_mut().enumerate() {
        while let [b' ' | b'[', tail @ ..] = rest {
            rest = tail;
        }
        let Ok((number, length)) = fast_float2::parse_partial::<f32, _>(rest) else {
            return count;
        };
        *value = number;
        rest = &rest[length..];
        match rest.split_first() {
            Some((b',', tail)) => rest = tail,
            _ => return count + 1,
        }
    }
    values.len()
}

/// CPU microseconds of one run, over about a second of runs.
fn timed(mut run: impl FnMut()) -> f64 {
    for _ in 0..100 {
        run();
    }
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let begin = process::own_cpu();
        let mut runs = 0;
        while process::own_cpu() - begin < std::time::Duration::from_millis(200) {
            for _ in 0..100 {
                run();
            }
            runs += 100;
        }
        best = best.min((process::own_cpu() - begin).as_secs_f64() * 1e6 / f64::from(runs));
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found() {
        let mut values = [0.0; 8];
        let count = numbers(br#"{"image": [0.5, 1, -2e1]}"#, &mut values);
        assert_eq!(values[..count], [0.5, 1.0, -20.0]);
    }
}
