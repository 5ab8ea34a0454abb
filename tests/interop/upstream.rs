//! An upstream that answers 200 to everything and keeps the request heads as they came. Other test
//! targets use this file as well.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{plain_http::field, plain_server};

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

/// The token of the one `Authorization` field in a request head.
pub(crate) fn only_bearer_token(head: &str) -> &str {
    let values: Vec<&str> = field(head, "authorization").collect();
    assert_eq!(values.len(), 1, "exactly one Authorization field: {head}");
    values[0].strip_prefix("Bearer ").expect("the Bearer scheme (RFC 6750 section 2.1)")
}

/// What every request gets.
pub(crate) const GREETING: &str = "hello from the upstream";
