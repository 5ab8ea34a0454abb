//! A token endpoint as Entra has it, which answers every form with a token and keeps the form.
//!
//! Part of `msal`.

use std::{
    mem,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::json;

use super::{REFRESH_TOKEN, TENANT, form::Form};
use crate::{
    plain_http::field,
    plain_server::{self, Request},
};

/// A listening token endpoint.
pub(super) struct TokenEndpoint {
    pub(super) address: SocketAddr,
    asked: Arc<Mutex<Vec<Request>>>,
}

impl TokenEndpoint {
    /// Listens on a free loopback port.
    pub(super) fn start() -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&asked);
        let address = plain_server::listen(move |request| {
            let answer = answer(&Form::parse(&request.body));
            record.lock().unwrap_or_else(PoisonError::into_inner).push(request);
            answer
        });
        Self { address, asked }
    }

    /// The forms that arrived since the last time, each at the tenant's own endpoint and with
    /// nothing that proves the client besides the form.
    pub(super) fn take(&self) -> Vec<Form> {
        let asked = mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner));
        let form = |request: &Request| {
            let head = &request.head;
            let line = format!("POST /{TENANT}/oauth2/v2.0/token HTTP/1.1");
            assert_eq!(head.lines().next(), Some(line.as_str()));
            let content_types: Vec<&str> = field(head, "content-type").collect();
            assert_eq!(content_types, ["application/x-www-form-urlencoded"]);
            assert_eq!(field(head, "authorization").count(), 0, "a proof beside the form's");
            Form::parse(&request.body)
        };
        asked.iter().map(form).collect()
    }
}

/// A token; whoever asks for a refresh token on behalf of a person gets one, and needs it soon.
fn answer(form: &Form) -> String {
    let mut answer = json!({ "access_token": "a-token", "token_type": "Bearer" });
    let starts = form.has("assertion") && form.has("scope offline_access");
    answer["expires_in"] = if starts { SOON } else { LATE }.into();
    if starts || form.has("refresh_token") {
        answer["refresh_token"] = REFRESH_TOKEN.into();
    }
    answer.to_string()
}

/// In seconds.
const SOON: u64 = 2;
const LATE: u64 = 3600;
