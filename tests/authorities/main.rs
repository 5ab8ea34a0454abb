//! Vicar on behalf of its callers, at two authorities nobody here wrote: Keycloak and NAV's
//! mock-oauth2-server.
//!
//! Each test starts the real binary between callers with tokens of such an authority and a
//! recording upstream. `exchange`, `session` and `callers` have Keycloak on the other side, which
//! checks what it is given; `grants` has the mock, which knows grants that Keycloak has not.
//!
//! Built only with the feature `authorities`, so a missing set-up fails instead of being skipped:
//!
//! ```sh
//! just authorities-setup                           # Maven, into target/authorities
//! cargo test --features authorities --test authorities
//! ```

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise and waits by the real clock"
)]

mod callers;
mod exchange;
mod gate;
mod grants;
mod keycloak;
mod mock;
#[path = "../interop/plain_http.rs"]
mod plain_http;
#[path = "../interop/plain_server.rs"]
#[allow(dead_code, reason = "interop needs more of it")]
mod plain_server;
#[path = "../interop/process.rs"]
mod process;
#[path = "../interop/proxy.rs"]
#[allow(dead_code, reason = "interop needs more of it")]
mod proxy;
#[path = "../process/scratch.rs"]
mod scratch;
mod server;
mod session;
#[path = "../interop/upstream.rs"]
mod upstream;
