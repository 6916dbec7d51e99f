//! From the core to the wire: tensors to a framed `ModelInferResponse`.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use modelyard_serving::InferError;
use modelyard_tensor::{Shape, Tensor};
use smallvec::SmallVec;

use super::wire::{block_len, put_block, put_block_head, put_varint, varint_len};

/// A message with its gRPC frame, in pieces.
pub(super) type Pieces = SmallVec<[Bytes; 2]>;

/// Tensors up to this many bytes are copied beside the head of the message; a piece of its own
/// (a frame, an entry of the write vector) costs more than the copy.
const COPIED: usize = 4096;

/// Room for what stands before a message: the gRPC frame's head, and the head of the message
/// around a response in a stream. Filled last, when the length is known.
const ROOM: usize = FRAME_HEAD + 1 + 5;
const FRAME_HEAD: usize = 5;

/// Most bytes of a message: protobuf's own limit, below that of the frame's length.
const LONGEST: usize = i32::MAX as usize;

/// An answer to be written.
pub(super) struct Answer<'a> {
    pub(super) model: &'a str,
    pub(super) version: u64,
    pub(super) id: &'a str,
    /// Name and tensor of each output.
    pub(super) outputs: SmallVec<[(&'a str, Tensor); 2]>,
}

impl Answer<'_> {
    /// The framed `ModelInferResponse`. Large tensors are not copied.
    pub(super) fn unary(self) -> Result<Pieces, InferError> {
        self.write(false)
    }

    /// The framed `ModelStreamInferResponse` around it, which says that nothing follows.
    pub(super) fn streamed(self) -> Result<Pieces, InferError> {
        self.write(true)
    }

    fn write(self, streamed: bool) -> Result<Pieces, InferError> {
        let mut head = BytesMut::with_capacity(self.capacity());
        head.put_bytes(0, ROOM);
        put_block(&mut head, 1, self.model.as_bytes());
        put_block(&mut head, 2, itoa::Buffer::new().format(self.version).as_bytes());
        put_block(&mut head, 3, self.id.as_bytes());
        if streamed {
            put_final_response(&mut head);
        }
        for (name, tensor) in &self.outputs {
            put_output(&mut head, name, tensor);
        }
        let raw: usize =
            self.outputs.iter().map(|(_, tensor)| block_len(tensor.data().len())).sum();
        let len = head.len() - ROOM + raw;
        if len > LONGEST {
            return Err(InferError::internal(format!(
                "the answer has {len} bytes, but a gRPC message holds at most {LONGEST}"
            )));
        }
        let start = put_frame_head(&mut head[..ROOM], len, streamed);
        head.advance(start);

        let mut pieces = Pieces::new();
        for (_, tensor) in self.outputs {
            const RAW_OUTPUT_CONTENTS: u8 = 6;
            put_block_head(&mut head, RAW_OUTPUT_CONTENTS, tensor.data().len());
            if tensor.data().len() <= COPIED {
                head.put_slice(tensor.data());
            } else {
                pieces.push(head.split().freeze());
                pieces.push(tensor.into_data());
            }
        }
        if !head.is_empty() {
            pieces.push(head.freeze());
        }
        Ok(pieces)
    }

    /// About what all but the large tensors takes.
    fn capacity(&self) -> usize {
        const HEAD: usize = ROOM + 64;
        const OUTPUT: usize = 96;
        let output = |(name, tensor): &(&str, Tensor)| {
            let data = tensor.data().len();
            OUTPUT + name.len() + if data <= COPIED { data } else { 0 }
        };
        HEAD + self.model.len() + self.id.len() + self.outputs.iter().map(output).sum::<usize>()
    }
}

/// A framed `ModelStreamInferResponse` that says what went wrong with the request of this id.
pub(super) fn stream_error(message: &str, id: &str) -> Pieces {
    let response = block_len(id.len());
    let mut frame = BytesMut::with_capacity(ROOM + message.len() + response + 8);
    frame.put_bytes(0, FRAME_HEAD);
    put_block(&mut frame, 1, message.as_bytes());
    put_block_head(&mut frame, 2, if id.is_empty() { 0 } else { response });
    put_block(&mut frame, 3, id.as_bytes());
    let len = frame.len() - FRAME_HEAD;
    put_frame_head(&mut frame[..FRAME_HEAD], len, false);
    SmallVec::from_iter([frame.freeze()])
}

/// Parameter `triton_final_response`, which Triton sets on every response in a stream.
fn put_final_response(head: &mut BytesMut) {
    const NAME: &[u8] = b"triton_final_response";
    const TRUE: [u8; 2] = [1 << 3, 1];
    put_block_head(head, 4, block_len(NAME.len()) + block_len(TRUE.len()));
    put_block(head, 1, NAME);
    put_block(head, 2, &TRUE);
}

fn put_output(head: &mut BytesMut, name: &str, tensor: &Tensor) {
    let datatype = tensor.data_type().name();
    let dims = dims_len(tensor.shape());
    let shape = if dims == 0 { 0 } else { block_len(dims) };
    let name_len = if name.is_empty() { 0 } else { block_len(name.len()) };
    put_block_head(head, 5, name_len + block_len(datatype.len()) + shape);
    put_block(head, 1, name.as_bytes());
    put_block(head, 2, datatype.as_bytes());
    if dims > 0 {
        put_block_head(head, 3, dims);
        tensor.shape().iter().for_each(|&dim| put_varint(head, dim as u64));
    }
}

fn dims_len(shape: &Shape) -> usize {
    shape.iter().map(|&dim| varint_len(dim as u64)).sum()
}

/// Writes what stands before a message of `len` bytes to the end of `room`; says where it begins.
fn put_frame_head(room: &mut [u8], len: usize, streamed: bool) -> usize {
    let mut start = room.len();
    let mut framed = len;
    if streamed {
        let mut wrapper = BytesMut::with_capacity(ROOM);
        put_block_head(&mut wrapper, 2, len);
        start -= wrapper.len();
        room[start..].copy_from_slice(&wrapper);
        framed += wrapper.len();
    }
    start -= FRAME_HEAD;
    room[start] = 0;
    let framed = u32::try_from(framed).unwrap_or(u32::MAX);
    room[start + 1..start + FRAME_HEAD].copy_from_slice(&framed.to_be_bytes());
    start
}

#[cfg(test)]
mod tests {
    use modelyard_tensor::DataType;
    use proptest::prelude::*;
    use prost::Message;

    use super::*;
    use crate::grpc::proto::{ModelInferResponse, ModelStreamInferResponse};

    /// The message of one frame.
    fn unframe(pieces: &Pieces) -> Vec<u8> {
        let frame = pieces.concat();
        let (head, message) = frame.split_at(FRAME_HEAD);
        assert_eq!(head[0], 0);
        let len = u32::from_be_bytes(head[1..].try_into().unwrap());
        assert_eq!(len as usize, message.len());
        message.to_vec()
    }

    fn check(response: &ModelInferResponse, id: &str, tensors: &[Tensor]) {
        assert_eq!(response.model_name, "m");
        assert_eq!(response.model_version, "300");
        assert_eq!(response.id, id);
        assert_eq!(response.outputs.len(), tensors.len());
        for (index, tensor) in tensors.iter().enumerate() {
            let output = &response.outputs[index];
            assert_eq!(output.name, "output");
            assert_eq!(output.datatype, tensor.data_type().name());
            assert!(
                output.shape.iter().map(|&dim| dim as usize).eq(tensor.shape().iter().copied())
            );
            assert_eq!(&response.raw_output_contents[index], tensor.data());
        }
    }

    fn answer<'a>(id: &'a str, tensors: &[Tensor]) -> Answer<'a> {
        let outputs = tensors.iter().map(|tensor| ("output", tensor.clone())).collect();
        Answer { model: "m", version: 300, id, outputs }
    }

    proptest! {
        #[test]
        fn prost_reads_what_is_written(
            id in ".{0,200}",
            shapes in prop::collection::vec(prop::collection::vec(0usize..20, 0..4), 0..4),
        ) {
            let tensor = |shape: Vec<usize>| {
                let shape = Shape::new(&shape);
                let data = vec![9; shape.elements().unwrap()];
                Tensor::new(DataType::Uint8, shape, data.into()).unwrap()
            };
            let tensors: Vec<Tensor> = shapes.into_iter().map(tensor).collect();
            let unary = unframe(&answer(&id, &tensors).unary().unwrap());
            check(&ModelInferResponse::decode(unary.as_slice()).unwrap(), &id, &tensors);

            let streamed = unframe(&answer(&id, &tensors).streamed().unwrap());
            let streamed = ModelStreamInferResponse::decode(streamed.as_slice()).unwrap();
            prop_assert_eq!(&streamed.error_message, "");
            let response = streamed.infer_response.unwrap();
            prop_assert!(response.parameters.contains_key("triton_final_response"));
            check(&response, &id, &tensors);
        }

        #[test]
        fn errors_in_a_stream_name_their_request(message in ".{1,200}", id in ".{0,200}") {
            let error = unframe(&stream_error(&message, &id));
            let error = ModelStreamInferResponse::decode(error.as_slice()).unwrap();
            prop_assert_eq!(error.error_message, message);
            prop_assert_eq!(error.infer_response.unwrap().id, id);
        }
    }

    #[test]
    fn large_tensors_are_not_copied() {
        let tensor = Tensor::from_vec([3000].into(), vec![1f32; 3000]).unwrap();
        let data = tensor.data().clone();
        let pieces = answer("", &[tensor]).unary().unwrap();
        assert!(pieces.iter().any(|piece| piece.as_ptr() == data.as_ptr()));
    }
}
