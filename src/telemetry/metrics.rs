//! The Prometheus registry and every metric in it.
//!
//! Part of `telemetry`. Handles are made once per route and client, so that counting on the hot path
//! is an addition and nothing else.

use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

/// Every metric of the process.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    /// `vicar_requests_total{route,class}`.
    pub requests: IntCounterVec,
    /// `vicar_refusals_total{reason}`.
    pub refusals: IntCounterVec,
    /// `vicar_requests_in_flight`.
    pub in_flight: IntGauge,
    /// `vicar_request_seconds{route}`.
    pub request_seconds: HistogramVec,
    /// `vicar_upstream_seconds{route}`.
    pub upstream_seconds: HistogramVec,
    /// `vicar_token_lookups_total{client,result}`.
    pub token_lookups: IntCounterVec,
    /// `vicar_token_refreshes_total{client}`.
    pub token_refreshes: IntCounterVec,
    /// `vicar_token_requests_total{client,outcome}`.
    pub token_requests: IntCounterVec,
    /// `vicar_token_request_seconds{client}`.
    pub token_request_seconds: HistogramVec,
    /// `vicar_token_seconds_to_expiry{client}`.
    pub token_seconds_to_expiry: IntGaugeVec,
}

impl Metrics {
    /// A registry with every metric in it.
    ///
    /// # Errors
    /// When two metrics have one name, which would be a defect.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let vec = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(vec.clone())).map(|()| vec)
        };
        let histogram = |name: &str, help: &str, label: &str| {
            let opts = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
            let vec = HistogramVec::new(opts, &[label])?;
            registry.register(Box::new(vec.clone())).map(|()| vec)
        };
        let (in_flight, token_seconds_to_expiry) = gauges()?;
        registry.register(Box::new(in_flight.clone()))?;
        registry.register(Box::new(token_seconds_to_expiry.clone()))?;
        Ok(Self {
            requests: counter(
                "vicar_requests_total",
                "Requests answered, by route and status class.",
                &["route", "class"],
            )?,
            refusals: counter(
                "vicar_refusals_total",
                "Answers given by Vicar itself, by reason.",
                &["reason"],
            )?,
            in_flight,
            request_seconds: histogram(
                "vicar_request_seconds",
                "Seconds from a request's head to the end of its response.",
                "route",
            )?,
            upstream_seconds: histogram(
                "vicar_upstream_seconds",
                "Seconds until the upstream's response head.",
                "route",
            )?,
            token_lookups: counter(
                "vicar_token_lookups_total",
                "Look-ups of a token, the first one at start included: hit from the cache, or miss.",
                &["client", "result"],
            )?,
            token_refreshes: counter(
                "vicar_token_refreshes_total",
                "Renewals started in the background.",
                &["client"],
            )?,
            token_requests: counter(
                "vicar_token_requests_total",
                "Fetches from the authority: token, or the reason of the failure.",
                &["client", "outcome"],
            )?,
            token_request_seconds: histogram(
                "vicar_token_request_seconds",
                "Seconds per fetch from the authority, retry included.",
                "client",
            )?,
            token_seconds_to_expiry,
            registry,
        })
    }

    /// Everything in the Prometheus text format.
    #[must_use]
    pub fn text(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}

fn gauges() -> prometheus::Result<(IntGauge, IntGaugeVec)> {
    let expiry = Opts::new(
        "vicar_token_seconds_to_expiry",
        "Seconds until the first of a client's cached application tokens expires; 0 for none.",
    );
    Ok((
        IntGauge::new("vicar_requests_in_flight", "Requests being served.")?,
        IntGaugeVec::new(expiry, &["client"])?,
    ))
}

const SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
