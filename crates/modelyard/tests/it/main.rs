//! The whole binary from outside: started as users start it, on free ports, with tiny models
//! made for the test. No network but this machine.
//!
//! One binary for all of these, a module a feature. `harness` starts servers and speaks to them.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod harness;

mod bench;
mod budget;
mod configuration;
mod convert;
mod digits;
mod distill;
mod engine;
mod evaluate;
mod export;
mod finetune;
mod follow;
mod improve;
mod inspect;
mod lifecycle;
mod merge;
mod models;
mod observability;
mod optimize;
mod predict;
mod prune;
mod quantize;
mod quickstart;
mod readme;
mod registry;
mod registry_care;
mod reload;
mod resume;
mod rollout;
mod tape;
mod train;
mod training;
mod validate;
