//! Metrics of tokens: the two caches, and the authorities behind them.
//!
//! Part of `telemetry::metrics`. `kind` is application, user or session.

use prometheus::{HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use super::{counter, gauge, histogram, number};

/// Metrics of tokens.
#[derive(Clone, Debug)]
pub struct TokenSeries {
    /// `vicar_token_lookups_total{client,kind,result}`.
    pub lookups: IntCounterVec,
    /// `vicar_token_refreshes_total{client,kind}`.
    pub refreshes: IntCounterVec,
    /// `vicar_token_requests_total{client,kind,outcome}`.
    pub requests: IntCounterVec,
    /// `vicar_token_rejections_total{client,kind}`.
    pub rejections: IntCounterVec,
    /// `vicar_user_cache_subjects`.
    pub user_cache_subjects: IntGauge,
    /// `vicar_user_cache_bytes`.
    pub user_cache_bytes: IntGauge,
    /// `vicar_sessions`.
    pub sessions: IntGauge,
    /// `vicar_token_request_seconds{client}`.
    pub request_seconds: HistogramVec,
    /// `vicar_token_seconds_to_expiry{client}`.
    pub seconds_to_expiry: IntGaugeVec,
}

impl TokenSeries {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let counter =
            |name: &str, help: &str, labels: &[&str]| counter(registry, name, help, labels);
        let number = |name: &str, help: &str| number(registry, name, help);
        Ok(Self {
            lookups: counter(
                "vicar_token_lookups_total",
                "Look-ups of a token, the first one at start included: hit from the cache, or miss.",
                &["client", "kind", "result"],
            )?,
            refreshes: counter(
                "vicar_token_refreshes_total",
                "Renewals started in the background.",
                &["client", "kind"],
            )?,
            rejections: counter(
                "vicar_token_rejections_total",
                "Renewals because an upstream did not want the token.",
                &["client", "kind"],
            )?,
            user_cache_subjects: number(
                "vicar_user_cache_subjects",
                "Callers on whose behalf a token is cached.",
            )?,
            user_cache_bytes: number(
                "vicar_user_cache_bytes",
                "Memory that tokens on behalf of callers take, about.",
            )?,
            sessions: number("vicar_sessions", "Long-running sessions.")?,
            requests: counter(
                "vicar_token_requests_total",
                "Fetches from the authority: token, or the reason of the failure.",
                &["client", "kind", "outcome"],
            )?,
            request_seconds: histogram(
                registry,
                "vicar_token_request_seconds",
                "Seconds per fetch from the authority, retry included.",
                "client",
            )?,
            seconds_to_expiry: gauge(
                registry,
                "vicar_token_seconds_to_expiry",
                "Seconds until the first of a client's cached application tokens expires; 0 for none.",
                "client",
            )?,
        })
    }
}
