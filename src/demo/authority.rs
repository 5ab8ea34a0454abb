//! A development authority: metadata, keys and signed tokens, with a switch that breaks it.
//!
//! Part of `demo`. One client, one secret that is no secret, a key drawn at start.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context, anyhow};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Response, StatusCode};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::{Value, json};

use super::serve::{Party, Received};
use crate::clock::Clock;

/// The authority and its state.
pub(super) struct DevelopmentAuthority {
    issuer: OnceLock<String>,
    key: EncodingKey,
    public: Value,
    clock: Clock,
    broken: AtomicBool,
    token_requests: AtomicUsize,
}

impl DevelopmentAuthority {
    pub(super) fn new() -> anyhow::Result<Self> {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random)
            .map_err(|_| anyhow!("cannot draw a key"))?;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref())?;
        // An uncompressed point: 0x04, then x and y of 32 bytes each.
        let point = pair.public_key().as_ref();
        let (x, y) = point.get(1..).context("a key without a point")?.split_at(32);
        let encode = |bytes| URL_SAFE_NO_PAD.encode(bytes);
        Ok(Self {
            issuer: OnceLock::new(),
            key: EncodingKey::from_ec_der(pkcs8.as_ref()),
            public: json!({
                "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": KID,
                "x": encode(x), "y": encode(y),
            }),
            clock: Clock::system(),
            broken: AtomicBool::new(false),
            token_requests: AtomicUsize::new(0),
        })
    }

    /// Its own URL, known once it listens.
    pub(super) fn set_issuer(&self, url: &str) {
        self.issuer.get_or_init(|| url.to_owned());
    }

    /// Breaks it, or mends it.
    pub(super) fn set_broken(&self, broken: bool) {
        self.broken.store(broken, Ordering::SeqCst);
    }

    /// How many token requests it has seen.
    pub(super) fn token_requests(&self) -> usize {
        self.token_requests.load(Ordering::SeqCst)
    }

    fn metadata(&self) -> Value {
        let issuer = self.issuer.get().map(String::as_str).unwrap_or_default();
        json!({
            "issuer": issuer,
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/jwks"),
            "grant_types_supported": ["client_credentials", JWT_BEARER],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        })
    }

    fn token(&self, received: &Received) -> Response<String> {
        self.token_requests.fetch_add(1, Ordering::SeqCst);
        let expected = format!("Basic {}", STANDARD.encode("demo:not-a-real-secret"));
        if received.headers.get(AUTHORIZATION).is_none_or(|given| *given != *expected) {
            return json_response(StatusCode::UNAUTHORIZED, &json!({ "error": "invalid_client" }));
        }
        let form: Vec<(_, _)> = url::form_urlencoded::parse(&received.body).collect();
        let field =
            |name| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_ref());
        let refuse =
            |error: &str| json_response(StatusCode::BAD_REQUEST, &json!({ "error": error }));
        let scope = field("scope").unwrap_or_default();
        let claims = match field("grant_type") {
            Some("client_credentials") => json!({ "sub": "demo", "aud": API }),
            Some(JWT_BEARER) => match field("assertion").and_then(|token| self.subject_of(token)) {
                Some(user) => json!({ "sub": user, "aud": OTHER_API, "act": { "sub": "demo" } }),
                None => return refuse("invalid_grant"),
            },
            _ => return refuse("unsupported_grant_type"),
        };
        match self.sign(scope, "demo", claims) {
            Ok(token) => json_response(
                StatusCode::OK,
                &json!({
                    "access_token": token, "token_type": "Bearer", "expires_in": LIFETIME,
                    "scope": scope,
                }),
            ),
            Err(_) => json_response(StatusCode::INTERNAL_SERVER_ERROR, &json!({})),
        }
    }

    /// A token for the sample API that a web application would get when this person signs in.
    pub(super) fn user_token(&self, user: &str) -> Option<String> {
        self.sign("hello.read", "web", json!({ "sub": user, "aud": API })).ok()
    }

    /// Whose token for the sample API this is, if it is one of ours.
    fn subject_of(&self, token: &str) -> Option<String> {
        let text = |name: &str| self.public[name].as_str();
        let key = DecodingKey::from_ec_components(text("x")?, text("y")?).ok()?;
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_audience(&[API]);
        let token = jsonwebtoken::decode::<Value>(token, &key, &validation).ok()?;
        Some(token.claims["sub"].as_str()?.to_owned())
    }

    fn sign(
        &self,
        scope: &str,
        client: &str,
        mut claims: Value,
    ) -> jsonwebtoken::errors::Result<String> {
        let now = self.clock.wall().as_secs();
        claims["iss"] = json!(self.issuer.get());
        claims["client_id"] = json!(client);
        claims["scope"] = json!(scope);
        claims["iat"] = json!(now);
        claims["exp"] = json!(now + LIFETIME);
        claims["jti"] = json!(format!("{:032x}", fastrand::u128(..)));
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some(KID.to_owned());
        jsonwebtoken::encode(&header, &claims, &self.key)
    }
}

impl Party for DevelopmentAuthority {
    fn answer(&self, received: Received) -> Response<String> {
        if self.broken.load(Ordering::SeqCst) {
            return json_response(StatusCode::SERVICE_UNAVAILABLE, &json!({ "error": "broken" }));
        }
        match (received.method.clone(), received.path.as_str()) {
            (Method::GET, "/.well-known/openid-configuration") => {
                json_response(StatusCode::OK, &self.metadata())
            }
            (Method::GET, "/jwks") => {
                json_response(StatusCode::OK, &json!({ "keys": [self.public] }))
            }
            (Method::POST, "/token") => self.token(&received),
            _ => json_response(StatusCode::NOT_FOUND, &json!({})),
        }
    }
}

fn json_response(status: StatusCode, value: &Value) -> Response<String> {
    let mut response = Response::new(value.to_string());
    *response.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// Whom its tokens are for: the API that people use, and the one that this API uses for them.
const API: &str = "sample-api";
const OTHER_API: &str = "other-api";
const KID: &str = "demo-key";
const LIFETIME: u64 = 3600;
