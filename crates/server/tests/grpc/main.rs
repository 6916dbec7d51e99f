//! gRPC over a real socket, spoken to with tonic's client.

#![allow(clippy::unwrap_used, reason = "a test")]

mod health;
mod inference;
mod metadata;
mod observe;
mod raw;
mod server;
mod streams;
