//! Models that other frameworks wrote, with what those frameworks answer: `fixtures/<source>` holds
//! them, `fixtures/<source>.py` made them.
//!
//! A fixture is a model file (or folder) `name.<ending>` and `name.safetensors` beside it with its
//! inputs, named `in.<name of the input>`, and the framework's answers, named `out.<name of the
//! output>`. [`check`] wants three things to agree with the framework: the reference evaluator, the
//! converted model in an engine, and the names of both.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod export;
mod export_refusals;
mod export_saved_model;
mod keras;
mod mxnet;
mod onnx;
mod pt2;
mod pytorch_weights;
mod support;
mod tensorflow;
mod tflite;
mod torchscript;
mod trees;
