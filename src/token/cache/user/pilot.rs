//! Carries one exchange to its end, even when its task panics or is dropped.
//!
//! Part of `token::cache::user`: keeps what came of it, tells those who wait, and leaves word for operations.

use std::sync::Arc;

use super::{SOON, UserTokens};
use crate::cache_key::CacheKey;
use crate::inbound::Subject;
use crate::token::cache::Fetched;
use crate::token::cache::exchanger::NotObtained;
use crate::token::cache::flight::Landing;
use crate::token::{AccessToken, AcquireError, AcquireFailure, ClaimsRequest};

/// Carries one exchange to its end, even when the task panics or is dropped.
pub(super) struct Pilot {
    tokens: Arc<UserTokens>,
    subject: Subject,
    key: CacheKey,
    /// What the store said when it took off.
    purges: u64,
    /// What an upstream did not want.
    rejected: Option<Arc<AccessToken>>,
    landing: Landing,
    landed: bool,
}

impl Pilot {
    pub(super) fn new(
        tokens: Arc<UserTokens>,
        subject: Subject,
        key: CacheKey,
        purges: u64,
        landing: Landing,
    ) -> Self {
        Self { tokens, subject, key, purges, rejected: None, landing, landed: false }
    }

    /// It is an upstream's word that brings it about.
    pub(super) fn replaces(&mut self, rejected: &Arc<AccessToken>) {
        self.rejected = Some(Arc::clone(rejected));
    }

    pub(super) async fn fly(mut self, claims: Option<ClaimsRequest>) {
        let timer = self.tokens.metrics.seconds.start_timer();
        let exchanger = &self.tokens.exchanger;
        let obtained = exchanger.exchange(&self.key, &self.subject, claims.as_ref()).await;
        timer.observe_duration();
        if claims.is_some() {
            // What an upstream demands may be too much for a token that is good elsewhere.
            self.rejected = None;
        }
        // A refresh token has no place here: without a session nobody would ever use it.
        let end = self.subject.expires(&self.tokens.cache.clock);
        let was_asked = !matches!(obtained, Err(NotObtained::Held(_)));
        let fetched = obtained.map(|obtained| Arc::new(obtained.token.no_longer_than(end)));
        self.land(fetched.map_err(NotObtained::failure), was_asked);
    }

    fn land(&mut self, fetched: Fetched, was_asked: bool) {
        self.landed = true;
        let (tokens, cache) = (&self.tokens, &self.tokens.cache);
        let client = tokens.spec().client.name.as_ref();
        if was_asked {
            let error = fetched.as_ref().err().map(|failure| failure.error.as_ref());
            tokens.metrics.landed(client, error);
        }
        match &fetched {
            Ok(token) => {
                tracing::debug!(client, "token on behalf of a caller obtained");
                let now = cache.clock.now();
                if token.is_cacheable() && !token.is_expired(now) {
                    cache.store.put(self.subject.id(), self.key, token, self.purges, now);
                } else {
                    self.forget_rejected();
                }
            }
            Err(failure) => {
                if was_asked {
                    tokens.log(&failure.error);
                }
                if failure.error.needs_user().is_some() {
                    self.forget_rejected();
                }
            }
        }
        cache.flights(&self.key).remove(&self.key);
        self.landing.tell(fetched);
    }
}

impl Pilot {
    /// Neither the upstream nor the authority wants it any more.
    fn forget_rejected(&self) {
        let cache = &self.tokens.cache;
        if let Some(rejected) = &self.rejected {
            cache.store.remove(self.subject.id(), &self.key, rejected, cache.clock.now());
        }
    }
}

impl UserTokens {
    /// A person who must act is nobody's fault here, once the route has worked; before that it may as well be
    /// what we ask for, or with what. The rest is for operations.
    fn log(&self, error: &AcquireError) {
        let client = &self.spec().client;
        let (route, authority) = (self.route.as_str(), client.authority.name());
        let (client, reason) = (client.name.as_ref(), error.reason());
        if error.needs_user().is_some() && self.spec().credit.has_worked() {
            tracing::info!(route, client, authority, reason, %error, "no token on behalf of a caller");
        } else {
            tracing::warn!(route, client, authority, reason, %error, "no token on behalf of a caller");
        }
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        if !self.landed {
            let (error, retry_in) = (Arc::new(AcquireError::Aborted), SOON);
            self.land(Err(AcquireFailure { error, retry_in }), true);
        }
    }
}
