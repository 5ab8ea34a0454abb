//! Vicar carries OAuth 2.0 tokens so that applications do not have to.
//!
//! # The life of a request
//!
//! ```text
//! listener → route → inbound → token (cache → flow → credential → authority) → inject → forward
//! ```
//!
//! A *listener* accepts it, a *route* is found for it, *inbound* judges its caller, *token* has the
//! credential it needs, *inject* writes it, *forward* sends it on. The modules below are those stages in
//! that order; `proxy` is the one place that knows the order. `ARCHITECTURE.md` has the reasons.
//!
//! The library exists for the binary and for the tests; its API follows their needs.

// Configuration and start-up.
pub mod app;
pub mod config;

// The stages, in the order a request meets them.
pub mod forward;
pub mod inbound;
pub mod inject;
pub mod listener;
pub mod route;
pub mod token;

// The other side of key sets, tokens and introspection: not a stage, used by two of them.
pub mod authority;

// The pipeline that ties them together, and what operations see.
pub mod admin;
pub mod proxy;
pub mod telemetry;

// Leaves: they know nothing of the stages.
pub mod algorithm;
pub mod body;
pub mod cache_key;
pub mod cause;
pub mod clock;
pub mod drain;
pub mod identity;
pub mod secret;
pub mod tls;

pub mod cli;
#[cfg(feature = "demo")]
pub mod demo;
