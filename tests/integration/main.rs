//! Vicar at the wire: a real proxy in this process, between real sockets, with faults.
//!
//! One binary; a module per stage or concern. `support` has the proxy under test and the parties
//! around it, all on loopback ports that the system chooses.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at the first surprise and waits by the real clock"
)]
#![allow(
    unreachable_pub,
    clippy::cast_possible_truncation,
    clippy::format_collect,
    clippy::format_push_string,
    clippy::mod_module_files,
    clippy::redundant_closure_for_method_calls,
    reason = "nobody imports a test binary, and its YAML is built where it is read"
)]

mod support;

mod answers;
mod assertion_url;
mod authorities;
mod caching;
mod client_credentials;
mod credential_files;
mod failures;
mod fallback;
mod forwarding;
mod inbound_keys;
mod inbound_modes;
mod inbound_proofs;
mod inbound_rules;
mod inbound_tokens;
mod inbound_vectors;
mod injection;
mod introspection;
mod listeners;
mod on_behalf;
mod on_behalf_bounds;
mod on_behalf_claims;
mod on_behalf_faults;
mod on_behalf_flows;
mod on_behalf_isolation;
mod on_behalf_recovery;
mod on_behalf_sessions;
mod on_behalf_stampede;
mod rotation;
mod rotation_faults;
mod routing;
mod streaming;
mod upstream_tls;
