//! The proxy under test and the parties around it.

pub mod assertion;
pub mod authority;
pub mod client;
pub mod crowd;
#[path = "../../process/full_port.rs"]
pub(crate) mod full_port;
pub mod issuer;
pub mod logs;
pub mod minting;
pub mod pairs;
pub mod pki;
pub mod registrar;
pub mod rotating;
pub mod scene;
pub mod tls_registrar;
pub mod tunnel;
pub mod upstream;
pub mod vicar;
pub mod volume;
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

/// The same for what has to be asked for, within a minute.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < Duration::from_secs(60), "not within a minute: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
