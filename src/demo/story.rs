//! The narrated calls, each of which checks what it says.
//!
//! Part of `demo`.

use std::time::Duration;

use tokio::time::Instant;

use super::{Stage, api, say};
use crate::tls;

/// The calls of the demo and whether all went as told.
pub(super) struct Story<'s> {
    stage: &'s Stage,
    client: reqwest::Client,
    number: usize,
    all_true: bool,
}

/// What one call through Vicar brought back.
struct Call {
    status: u16,
    retry_after: Option<String>,
    took: Duration,
    token_requests: usize,
}

impl<'s> Story<'s> {
    pub(super) fn new(stage: &'s Stage) -> anyhow::Result<Self> {
        let nobody = rustls::RootCertStore::empty();
        let tls = tls::client(nobody.into(), None).map_err(anyhow::Error::msg)?;
        let client =
            reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls).build()?;
        Ok(Self { stage, client, number: 0, all_true: true })
    }

    /// Tells it all; false when a step did not do what it says.
    pub(super) async fn tell(mut self) -> bool {
        self.first_call().await;
        self.second_call().await;
        self.callers_own_credential().await;
        self.caller_without_a_token().await;
        self.caller_with_a_token().await;
        self.on_behalf_of_two_people().await;
        self.renewal_fails().await;
        self.token_expires().await;
        self.authority_returns().await;
        say("");
        self.all_true
    }

    async fn first_call(&mut self) {
        self.step("The first call: plain HTTP, no token. Vicar fetches one and attaches it.");
        let call = self.call(None).await;
        let credentials = self.stage.api.last_credentials();
        let claims = credentials.first().and_then(|credential| api::claims(credential));
        let scope = claims.as_ref().and_then(|claims| claims["scope"].as_str());
        self.check(call.status == 200, &format!("{} in {}", call.status, ms(call.took)));
        self.check(
            scope == Some("hello.read"),
            &format!("the API received a token with scope {}", scope.unwrap_or("(none)")),
        );
        self.check(call.token_requests == 1, "the authority was asked once");
    }

    async fn second_call(&mut self) {
        self.step("The second call: the token comes from the cache.");
        let call = self.call(None).await;
        self.check(call.status == 200, &format!("{} in {}", call.status, ms(call.took)));
        self.check(call.token_requests == 0, "the authority was not asked");
    }

    async fn callers_own_credential(&mut self) {
        self.step("A caller sends a credential of its own. It does not reach the API.");
        let call = self.call(Some("Bearer of-my-own")).await;
        let credentials = self.stage.api.last_credentials();
        let one = credentials.len() == 1 && !credentials[0].contains("of-my-own");
        self.check(call.status == 200 && one, "the API received one credential, Vicar's");
    }

    async fn renewal_fails(&mut self) {
        self.step("50 minutes later the token is due for renewal, but the authority is broken.");
        self.stage.authority.set_broken(true);
        self.stage.clock.advance(Duration::from_secs(50 * 60));
        let call = self.call(None).await;
        self.check(
            call.status == 200,
            &format!("{} in {}: the old token is still good", call.status, ms(call.took)),
        );
    }

    async fn token_expires(&mut self) {
        self.step("15 minutes later it has expired, and the authority is still broken.");
        self.stage.clock.advance(Duration::from_secs(15 * 60));
        let call = self.call(None).await;
        let retry_after = call.retry_after.as_deref().unwrap_or("nothing");
        self.check(
            call.status == 503 && call.retry_after.is_some(),
            &format!("{} with Retry-After: {retry_after}; no expired token was sent", call.status),
        );
    }

    async fn authority_returns(&mut self) {
        self.step("The authority is back. Nobody restarts anything.");
        self.stage.authority.set_broken(false);
        let started = Instant::now();
        let mut status = 0;
        while status != 200 && started.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(50)).await;
            status = self.call(None).await.status;
        }
        self.check(status == 200, &format!("{status} after {}", ms(started.elapsed())));
        self.check(started.elapsed() < Duration::from_secs(2), "within two seconds");
    }

    async fn caller_without_a_token(&mut self) {
        self.step("The other direction: Vicar in front of the API, and a caller without a token.");
        let (status, challenge) = self.call_as(&self.stage.guarded, None).await;
        self.check(
            status == 401 && challenge.is_some(),
            &format!("{status} with WWW-Authenticate: {}", challenge.unwrap_or_default()),
        );
    }

    async fn caller_with_a_token(&mut self) {
        self.step("A caller with a token of the authority, then one who has changed its end.");
        let token = self.token_of_the_authority().await.unwrap_or_default();
        let (status, _) = self.call_as(&self.stage.guarded, Some(&token)).await;
        let caller = self.stage.api.last_caller();
        self.check(
            status == 200 && caller.as_deref() == Some("demo"),
            &format!("{status}, and the API was told X-Caller: {}", caller.unwrap_or_default()),
        );
        let forged = format!("{}AAAA", &token[..token.len().saturating_sub(4)]);
        let (status, _) = self.call_as(&self.stage.guarded, Some(&forged)).await;
        self.check(status == 401, &format!("{status} for the changed one"));
    }

    async fn on_behalf_of_two_people(&mut self) {
        self.step("Ada's token for this API becomes a token for another one, in Ada's name. Bob's stays Bob's.");
        let before = self.stage.authority.token_requests();
        let sign_in = |name| self.stage.authority.user_token(name).unwrap_or_default();
        let (ada, bob) = (sign_in("ada"), sign_in("bob"));
        for (name, token) in [("ada", &ada), ("bob", &bob), ("ada", &ada)] {
            let (status, _) = self.call_as(&self.stage.on_behalf, Some(token)).await;
            let credentials = self.stage.api.last_credentials();
            let claims = credentials.first().and_then(|credential| api::claims(credential));
            let text = |claim| Some(claims.as_ref()?[claim].as_str()?.to_owned());
            let (whose, audience) = (text("sub"), text("aud"));
            self.check(
                status == 200
                    && whose.as_deref() == Some(name)
                    && audience.as_deref() == Some("other-api")
                    && !credentials.iter().any(|credential| credential.contains(token)),
                &format!(
                    "{status} for {name}: the API received a token for {} in the name of {}",
                    audience.unwrap_or_default(),
                    whose.unwrap_or_default()
                ),
            );
        }
        let requests = self.stage.authority.token_requests() - before;
        self.check(requests == 2, "the authority was asked once for each of the two");
        let token = self.token_of_the_authority().await.unwrap_or_default();
        let (status, _) = self.call_as(&self.stage.on_behalf, Some(&token)).await;
        self.check(status == 403, &format!("{status} for an application: nobody to act for"));
    }

    /// Status and challenge of a call with this token to a listener that checks its callers.
    async fn call_as(&self, listener: &str, token: Option<&str>) -> (u16, Option<String>) {
        let mut request = self.client.get(format!("{listener}/hello"));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let Ok(response) = request.send().await else { return (0, None) };
        let challenge = response.headers().get("www-authenticate");
        let challenge = challenge.and_then(|challenge| challenge.to_str().ok());
        (response.status().as_u16(), challenge.map(str::to_owned))
    }

    /// A token as another application would get it.
    async fn token_of_the_authority(&self) -> Option<String> {
        let form = [("grant_type", "client_credentials"), ("scope", "hello.read")];
        let request = self.client.post(format!("{}/token", self.stage.issuer)).form(&form);
        let response = request.basic_auth("demo", Some("not-a-real-secret")).send().await.ok()?;
        let answer: serde_json::Value =
            serde_json::from_slice(&response.bytes().await.ok()?).ok()?;
        Some(answer["access_token"].as_str()?.to_owned())
    }

    async fn call(&self, credential: Option<&str>) -> Call {
        let before = self.stage.authority.token_requests();
        let mut request = self.client.get(format!("{}/hello", self.stage.vicar));
        if let Some(credential) = credential {
            request = request.header("authorization", credential);
        }
        let started = Instant::now();
        let (status, retry_after) = match request.send().await {
            Ok(response) => {
                let wait = response.headers().get("retry-after");
                let wait = wait.and_then(|wait| wait.to_str().ok()).map(str::to_owned);
                let status = response.status().as_u16();
                // The body counts: a call is over when it has arrived.
                (response.bytes().await.map_or(0, |_| status), wait)
            }
            Err(_) => (0, None),
        };
        let token_requests = self.stage.authority.token_requests() - before;
        Call { status, retry_after, took: started.elapsed(), token_requests }
    }

    fn step(&mut self, title: &str) {
        self.number += 1;
        say(&format!("\n{}. {title}", self.number));
    }

    fn check(&mut self, holds: bool, text: &str) {
        self.all_true &= holds;
        say(&format!("   {} {text}", if holds { "ok   " } else { "FAILED" }));
    }
}

fn ms(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1000.0)
}

const PATIENCE: Duration = Duration::from_secs(10);
