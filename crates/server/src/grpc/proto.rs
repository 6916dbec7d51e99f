//! The messages and services of `proto/`, as generated.
//!
//! The generated code is committed (the test `codegen` compares it with its sources), so that
//! building needs neither protoc nor a build script. `bytes` fields are [`bytes::Bytes`]: decoding
//! slices the frame.

#![allow(missing_docs, unreachable_pub, reason = "generated")]
#![allow(clippy::all, reason = "generated")]

include!("../../proto/inference.rs");

/// The files above with all they import, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("../../proto/inference.bin");
