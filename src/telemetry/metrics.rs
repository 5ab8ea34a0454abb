//! The Prometheus registry and every metric in it.
//!
//! Part of `telemetry`. Handles are made once per route and client, so that counting on the hot path
//! is an addition and nothing else.

mod tokens;

use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

pub(super) use tokens::TokenSeries;

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
    /// `vicar_rejected_requests_total{route,outcome}`.
    pub rejected_requests: IntCounterVec,
    /// What is known of callers and their issuers.
    pub inbound: InboundSeries,
    /// What is known of tokens and the authorities they come from.
    pub tokens: TokenSeries,
}

impl Metrics {
    /// A registry with every metric in it.
    ///
    /// # Errors
    /// When two metrics have one name, which would be a defect.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let counter =
            |name: &str, help: &str, labels: &[&str]| counter(&registry, name, help, labels);
        let histogram =
            |name: &str, help: &str, label: &str| histogram(&registry, name, help, label);
        let number = |name: &str, help: &str| number(&registry, name, help);
        let in_flight = number("vicar_requests_in_flight", "Requests being served.")?;
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
            rejected_requests: counter(
                "vicar_rejected_requests_total",
                "Requests whose token the upstream did not want: sent_again, refused_again, relayed, or needs_user.",
                &["route", "outcome"],
            )?,
            inbound: InboundSeries::new(&registry)?,
            tokens: TokenSeries::new(&registry)?,
            registry,
        })
    }

    /// Everything in the Prometheus text format.
    #[must_use]
    pub fn text(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}

/// Metrics of the inbound stage.
#[derive(Clone, Debug)]
pub struct InboundSeries {
    /// `vicar_authentications_total{route,outcome}`.
    pub authentications: IntCounterVec,
    /// `vicar_verified_token_lookups_total{result}`.
    pub verified_token_lookups: IntCounterVec,
    /// `vicar_key_fetches_total{issuer,outcome}`.
    pub key_fetches: IntCounterVec,
    /// `vicar_issuer_keys{issuer}`.
    pub issuer_keys: IntGaugeVec,
    /// `vicar_issuer_keys_age_seconds{issuer}`.
    pub issuer_keys_age: IntGaugeVec,
    /// `vicar_introspections_total{issuer,outcome}`.
    pub introspections: IntCounterVec,
    /// `vicar_reports_total{route,outcome}`.
    pub reports: IntCounterVec,
}

impl InboundSeries {
    fn new(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            authentications: counter(
                registry,
                "vicar_authentications_total",
                "Checks of callers: accepted, anonymous, exempt, reported, or what was wrong.",
                &["route", "outcome"],
            )?,
            verified_token_lookups: counter(
                registry,
                "vicar_verified_token_lookups_total",
                "Look-ups of callers' tokens: hit, or miss and a full verification.",
                &["result"],
            )?,
            key_fetches: counter(
                registry,
                "vicar_key_fetches_total",
                "Fetches of issuers' key sets: keys, or the reason of the failure.",
                &["issuer", "outcome"],
            )?,
            issuer_keys: gauge(
                registry,
                "vicar_issuer_keys",
                "Keys of an issuer in use.",
                "issuer",
            )?,
            issuer_keys_age: gauge(
                registry,
                "vicar_issuer_keys_age_seconds",
                "Seconds since an issuer's key set was last fetched; -1 when it never was.",
                "issuer",
            )?,
            introspections: counter(
                registry,
                "vicar_introspections_total",
                "Questions to issuers: active, inactive, refused or unavailable.",
                &["issuer", "outcome"],
            )?,
            reports: counter(
                registry,
                "vicar_reports_total",
                "Requests forwarded by report_only, by what was wrong.",
                &["route", "outcome"],
            )?,
        })
    }
}

fn number(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntGauge> {
    let gauge = IntGauge::new(name, help)?;
    registry.register(Box::new(gauge.clone())).map(|()| gauge)
}

fn counter(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> prometheus::Result<IntCounterVec> {
    let vec = IntCounterVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(vec.clone())).map(|()| vec)
}

fn histogram(
    registry: &Registry,
    name: &str,
    help: &str,
    label: &str,
) -> prometheus::Result<HistogramVec> {
    let opts = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
    let vec = HistogramVec::new(opts, &[label])?;
    registry.register(Box::new(vec.clone())).map(|()| vec)
}

fn gauge(
    registry: &Registry,
    name: &str,
    help: &str,
    label: &str,
) -> prometheus::Result<IntGaugeVec> {
    let vec = IntGaugeVec::new(Opts::new(name, help), &[label])?;
    registry.register(Box::new(vec.clone())).map(|()| vec)
}

const SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
