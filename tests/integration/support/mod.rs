//! The proxy under test and the parties around it.

pub mod authority;
pub mod client;
#[path = "../../process/full_port.rs"]
pub(crate) mod full_port;
pub mod issuer;
pub mod pki;
pub mod upstream;
pub mod vicar;
pub mod world;

use std::time::{Duration, Instant};

/// Waits until `condition` holds; fails the test when it does not within ten seconds.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(10), "not within ten seconds: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
