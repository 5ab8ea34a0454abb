//! The real `vicar` binary as a process: its commands, its signals, what it lets out and what it
//! tells operations.
//!
//! Every test starts its own process on free loopback ports, between parties made of plain sockets,
//! and ends it by its handle. Nothing is shared between tests; waiting is polling with a limit.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise and waits by the real clock"
)]

mod caller_key;
mod child;
mod full_port;
mod h2;
mod party;
mod scratch;
mod vicar_process;
mod wire;

mod cli;
mod operations;
mod redaction;
mod signals;
