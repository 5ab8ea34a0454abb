//! What token a route needs on behalf of its callers, and the two ways to obtain it.
//!
//! Part of `token`: [`UserSpec::exchange`] takes a verified caller's token, [`UserSpec::refresh`] a refresh
//! token that an earlier exchange gave. The user cache calls both.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderName;

use super::claims_request::ClaimsRequest;
use super::flow::user::UserFlow;
use super::request::{Answered, TokenRequest};
use super::{AccessToken, AcquireError, TokenSpec};
use crate::authority::{ClientSpec, Form};
use crate::cache_key::CacheKey;
use crate::clock::Clock;
use crate::inbound::{Subject, Unmet};
use crate::secret::SecretString;

/// A token some route needs on behalf of its callers.
#[derive(Debug)]
pub struct UserSpec {
    /// In whose name the authority is asked.
    pub client: Arc<ClientSpec>,
    /// By which grant, for what.
    pub flow: UserFlow,
    /// At which tenant of Entra.
    pub tenant: TenantChoice,
    /// The token by which we name ourselves as the actor (RFC 8693 section 2.1).
    pub actor: Option<Arc<TokenSpec>>,
    /// What a subject token must say of who may act.
    pub may_act: MayAct,
    /// Whether calls may go on when their person's token has expired.
    pub session: Option<SessionPolicy>,
    /// How many more refusals of a request are taken for the person's.
    pub credit: Credit,
}

/// RFC 8693 servers say `invalid_request` both of a subject token that they do not want any more and of a request
/// that is wrong for everybody (section 2.2.2). After a success it can only be the token; after several refusals
/// in a row without one it is more likely the request.
#[derive(Debug, Default)]
pub struct Credit(Mutex<Left>);

#[derive(Debug, Default)]
struct Left {
    /// Whether there ever was a success.
    worked: bool,
    refusals: u8,
    /// Who was refused last: the same one again says nothing new.
    last: Option<CacheKey>,
}

impl Credit {
    fn renew(&self) {
        *self.lock() = Left { worked: true, refusals: REFUSALS_IN_A_ROW, last: None };
    }

    fn take(&self, who: &CacheKey) -> bool {
        let mut left = self.lock();
        if left.refusals > 0 && left.last.as_ref() != Some(who) {
            left.refusals -= 1;
            left.last = Some(*who);
            return true;
        }
        left.last.as_ref() == Some(who)
    }

    /// Whether a token was ever obtained with this request.
    #[must_use]
    pub fn has_worked(&self) -> bool {
        self.lock().worked
    }

    fn lock(&self) -> MutexGuard<'_, Left> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// At which tenant of Entra a token is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TenantChoice {
    /// The client's own.
    Configured,
    /// The one that issued the caller's token (`tid`), where guests are what they are there.
    Caller,
}

/// What a subject token must say of who may act (RFC 8693 section 4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MayAct {
    /// Nothing; the authority judges.
    Ignore,
    /// Where it says something, it must name our client.
    Honour,
    /// It must name our client.
    Require,
}

/// How calls name the long-running work they belong to, and how long that lasts.
#[derive(Clone, Debug)]
pub struct SessionPolicy {
    /// Where the name of the session is.
    pub key: SessionKey,
    /// A session that is not used for so long is dropped.
    pub idle: Duration,
    /// A session older than that is dropped.
    pub max_age: Duration,
}

/// Where the name of a session is.
#[derive(Clone, Debug)]
pub enum SessionKey {
    /// In this field of the request, which does not go on to the upstream.
    Header(HeaderName),
    /// The route has one session, of this name.
    Fixed(String),
}

/// What an exchange gave.
#[derive(Debug)]
pub(super) struct Obtained {
    pub(super) token: AccessToken,
    pub(super) refresh_token: Option<SecretString>,
}

impl UserSpec {
    /// The digest of all inputs but the caller.
    #[must_use]
    pub fn base_key(&self) -> CacheKey {
        let mut key = CacheKey::builder();
        key.field("kind", b"on behalf");
        self.client.add_to_key(&mut key);
        self.flow.add_to_key(&mut key);
        let tenant: &[u8] = match self.tenant {
            TenantChoice::Configured => b"configured",
            TenantChoice::Caller => b"caller",
        };
        key.field("tenant", tenant);
        if let Some(actor) = &self.actor {
            key.field("actor", actor.key().as_bytes());
        }
        key.finish()
    }

    /// The digest of every input that can change the token: `base` is [`Self::base_key`].
    #[must_use]
    pub fn key(&self, base: &CacheKey, subject: &Subject) -> CacheKey {
        key_for(base, &subject.verified().issuer, self.tenant_of(subject), subject.digest())
    }

    /// Whether the subject token lets our client act.
    ///
    /// # Errors
    /// When it names others, or nobody where it must name us.
    pub fn check_may_act(&self, subject: &Subject) -> Result<(), Unmet> {
        let claims = subject.verified().claims.members();
        match (self.may_act, claims.get("may_act")) {
            (MayAct::Ignore, _) | (MayAct::Honour, None) => Ok(()),
            (MayAct::Require, None) => Err(Unmet::MayAct),
            (MayAct::Honour | MayAct::Require, Some(actor)) => {
                let ours = Some(self.client.client_id.as_str());
                let mut identifiers =
                    ["client_id", "sub"].iter().filter_map(|name| actor.get(name)).peekable();
                let is_named = identifiers.peek().is_some();
                let names_us = is_named && identifiers.all(|id| id.as_str() == ours);
                // Somebody of our name elsewhere is somebody else.
                let here = actor.get("iss").is_none_or(|iss| claims.get("iss") == Some(iss));
                if names_us && here { Ok(()) } else { Err(Unmet::MayAct) }
            }
        }
    }

    /// Exchanges the caller's token; `actor` is our own, `claims` what a challenge demands.
    ///
    /// # Errors
    /// As the authority answered; [`AcquireError::NeedsUser`] when only the person can help.
    pub(super) async fn exchange(
        &self,
        subject: &Subject,
        actor: Option<&AccessToken>,
        claims: Option<&ClaimsRequest>,
        clock: &Clock,
    ) -> Result<Obtained, AcquireError> {
        let form = self.flow.form(subject, actor);
        let tenant = self.tenant_of(subject);
        let answered = self.ask(form, tenant, claims, true, clock).await.map_err(|error| {
            let ambiguous = self.flow.blames_tokens_as_requests() && error.is_invalid_request();
            error.on_behalf(ambiguous && self.credit.take(subject.id()))
        })?;
        let response = &answered.response;
        if !response.is_bearer() && !self.flow.asks_for_no_access_token() {
            return Err(AcquireError::WrongTokenType);
        }
        if !self.flow.accepts(response.issued_token_type.as_deref()) {
            return Err(AcquireError::WrongIssuedType);
        }
        if self.flow.needs_refresh_token() && response.refresh_token.is_none() {
            return Err(AcquireError::WrongIssuedType);
        }
        self.credit.renew();
        Ok(Obtained { token: answered.token, refresh_token: answered.response.refresh_token })
    }

    /// Renews what an exchange gave, without the caller.
    ///
    /// # Errors
    /// As the authority answered; [`AcquireError::NeedsUser`] when the refresh token is worth nothing now.
    pub(super) async fn refresh(
        &self,
        refresh_token: &SecretString,
        tenant: Option<&str>,
        claims: Option<&ClaimsRequest>,
        clock: &Clock,
    ) -> Result<Obtained, AcquireError> {
        let form = self.flow.refresh_form(refresh_token);
        let answered = self.ask(form, tenant, claims, false, clock).await;
        let answered = answered.map_err(|error| error.on_behalf(false))?;
        if !answered.response.is_bearer() {
            return Err(AcquireError::WrongTokenType);
        }
        Ok(Obtained { token: answered.token, refresh_token: answered.response.refresh_token })
    }

    /// The tenant to ask, where it is the caller's.
    #[must_use]
    pub fn tenant_of<'s>(&self, subject: &'s Subject) -> Option<&'s str> {
        match self.tenant {
            TenantChoice::Configured => None,
            // `inbound` has checked that it is a tenant's id, and one that may call.
            TenantChoice::Caller => subject.verified().claims.at("tid")?.as_str(),
        }
    }

    async fn ask(
        &self,
        form: Form,
        tenant: Option<&str>,
        claims: Option<&ClaimsRequest>,
        repeatable: bool,
        clock: &Clock,
    ) -> Result<Answered, AcquireError> {
        let (client, regional) = (self.client.as_ref(), false);
        let request = TokenRequest { client, tenant, regional, form, claims, repeatable };
        request.send(clock).await
    }
}

const REFUSALS_IN_A_ROW: u8 = 5;

/// What tells one caller's token on a route from all others: who vouches, where it is asked for, and the
/// exact token that is exchanged.
fn key_for(base: &CacheKey, issuer: &str, tenant: Option<&str>, token: &CacheKey) -> CacheKey {
    let mut key = CacheKey::builder();
    key.field("base", base.as_bytes());
    key.field("issuer", issuer.as_bytes());
    if let Some(tenant) = tenant {
        key.field("tenant", tenant.as_bytes());
    }
    key.field("subject_token", token.as_bytes());
    key.finish()
}

#[cfg(test)]
mod tests;
