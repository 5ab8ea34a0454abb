//! A token endpoint that keeps every form and fails at first, so that each request is tried again.

use std::{
    mem,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    plain_http::field,
    plain_server::{self, Request, Response},
};

/// A listening token endpoint. Every path is one, which answers its first request with 500.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Request>>>,
}

impl Recorder {
    /// Listens on a free loopback port.
    pub(crate) fn start() -> Self {
        let asked = Arc::new(Mutex::new(Vec::<Request>::new()));
        let record = Arc::clone(&asked);
        let address = plain_server::listen(move |request| {
            let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
            let is_first = !record.iter().any(|earlier| earlier.path() == request.path());
            record.push(request);
            if is_first { failure() } else { Response::from(TOKEN.to_owned()) }
        });
        Self { address, asked }
    }

    /// The requests that arrived since the last time, none with a proof besides the form's.
    pub(crate) fn take(&self) -> Vec<Request> {
        let asked = mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner));
        for request in &asked {
            assert_eq!(field(&request.head, "authorization").count(), 0, "{}", request.head);
        }
        asked
    }
}

impl Request {
    /// What it is for, without the query.
    pub(crate) fn path(&self) -> &str {
        let target = self.head.split(' ').nth(1).unwrap_or_default();
        target.split('?').next().unwrap_or_default()
    }
}

fn failure() -> Response {
    Response { status: 500, body: "try again".to_owned() }
}

const TOKEN: &str = r#"{"access_token":"a-token","token_type":"Bearer","expires_in":3600}"#;
