//! Tunnels that follow a protocol change (RFC 9110 section 7.8).
//!
//! Part of `forward`. The caller's bytes wait until both sides have switched; then bytes flow both
//! ways until either side closes. The token was injected into the request that opened the tunnel.

use std::sync::Arc;

use http::header::{CONNECTION, HeaderMap, HeaderValue, UPGRADE};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use crate::cause::describe;
use crate::drain::DrainWatch;
use crate::inject::Upgrade;
use crate::listener::Peer;

/// Writes the two fields that ask for, or confirm, a change.
pub(super) fn ask(headers: &mut HeaderMap, upgrade: &Upgrade) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, upgrade.0.clone());
}

/// Carries bytes both ways in a task of its own. While it runs it keeps its place under the
/// listener's limit and the drain waiting.
pub(super) fn tunnel(caller: OnUpgrade, upstream: OnUpgrade, held: (Arc<Peer>, DrainWatch)) {
    tokio::spawn(async move {
        let result = async {
            let (caller, upstream) = tokio::try_join!(caller, upstream)?;
            let (mut caller, mut upstream) = (TokioIo::new(caller), TokioIo::new(upstream));
            let copied = tokio::io::copy_bidirectional(&mut caller, &mut upstream).await?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(copied)
        };
        match result.await {
            Ok((sent, received)) => tracing::debug!(sent, received, "tunnel closed"),
            Err(error) => {
                let error = describe(error.as_ref());
                tracing::debug!(error, "tunnel broke");
            }
        }
        drop(held);
    });
}
