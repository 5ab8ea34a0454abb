//! An upstream that answers 200 to everything and keeps the request heads as they came.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use crate::plain_server;

/// A listening upstream.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Upstream {
    /// Listens on a free loopback port.
    pub(crate) fn start() -> Self {
        let heads = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&heads);
        let address = plain_server::listen(move |request| {
            record.lock().unwrap_or_else(PoisonError::into_inner).push(request.head);
            GREETING.to_owned()
        });
        Self { address, heads }
    }

    /// The heads of all requests so far, oldest first.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What every request gets.
pub(crate) const GREETING: &str = "hello from the upstream";
