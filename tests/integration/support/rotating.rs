//! Credentials that change while calls go on, each of which needs a token.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::Full;
use hyper::Response;
use serde_json::json;
use tokio::task::JoinHandle;

use super::authority::Authority;
use super::client::{Reply, get};
use super::crowd::Crowd;
use super::issuer::{self, Key, claims_with, issuer_yaml, now};
use super::logs;
use super::pairs::Pair;
use super::pki::Pki;
use super::registrar::{Proof, Registrar, Tried};
use super::tls_registrar::{self, Refuses};
use super::upstream::Upstream;
use super::vicar::Vicar;
use super::volume::{Files, Volume};

/// Generations of one credential: how the authority knows each of them, and in which files it comes.
pub struct Generations {
    pub proofs: Vec<Proof>,
    pub files: Vec<Files>,
    /// The YAML, in which `{NAME}` refers to a file.
    pub credential: &'static str,
}

/// A Vicar whose client `c` reads its credential from a volume, and the authority that judges it.
pub struct Rig {
    pub registrar: Registrar,
    pub volume: Volume,
    pub files: Vec<Files>,
    vicar: Vicar,
    callers: Callers,
    _parties: (Authority, Upstream, Option<Pki>),
}

/// Makes calls that no cache can answer.
#[derive(Clone)]
struct Callers {
    key: Arc<Key>,
    made: Arc<AtomicUsize>,
}

/// Calls that go on until they are stopped.
pub struct Traffic {
    stops: Arc<AtomicBool>,
    callers: Vec<JoinHandle<(usize, Vec<String>)>>,
}

impl Generations {
    /// Secrets in a file.
    pub fn secrets(count: usize) -> Self {
        let texts = (0..count).map(|number| format!("secret-{number}"));
        Self::texts(texts.collect(), "{ client_secret_post: {secret} }")
    }

    /// Assertions that somebody else signs.
    pub fn tokens(count: usize) -> Self {
        let signer = Key::new("cluster");
        let texts = (0..count).map(|number| {
            let exp = now() + 86_400;
            signer
                .token(&json!({ "iss": "https://cluster.test", "sub": "system:serviceaccount:a:b",
                "aud": "api://AzureADTokenExchange", "exp": exp, "jti": number }))
        });
        Self::texts(texts.collect(), "{ client_assertion: {secret} }")
    }

    fn texts(texts: Vec<String>, credential: &'static str) -> Self {
        let files = texts.iter().map(|text| vec![("secret", format!("{text}\n").into_bytes())]);
        let files = files.collect();
        Self { proofs: texts.into_iter().map(Proof::Text).collect(), files, credential }
    }

    /// Certificates and keys in PEM files, to sign assertions with.
    pub fn pairs(count: usize) -> Self {
        let credential = "{ private_key_jwt: { certificate: {tls.crt}, private_key: {tls.key} } }";
        Self::of_pairs(count, credential, Proof::Signed, pem_files)
    }

    /// The same in PKCS#12 files.
    pub fn stores(count: usize) -> Self {
        let credential =
            "{ private_key_jwt: { pkcs12: {app.pfx}, password: { danger_inline: marked } } }";
        Self::of_pairs(count, credential, Proof::Signed, |pair| {
            vec![("app.pfx", pair.pkcs12("marked"))]
        })
    }

    /// Certificates to show in the TLS handshake.
    pub fn shown(count: usize) -> Self {
        let credential =
            "{ self_signed_tls_client_auth: { certificate: {tls.crt}, private_key: {tls.key} } }";
        Self::of_pairs(count, credential, Proof::Shown, pem_files)
    }

    fn of_pairs(
        count: usize,
        credential: &'static str,
        proof: fn(Arc<Pair>) -> Proof,
        files: fn(&Pair) -> Files,
    ) -> Self {
        let pairs: Vec<Arc<Pair>> = (0..count).map(|_| Arc::new(Pair::new())).collect();
        let files = pairs.iter().map(|pair| files(pair)).collect();
        Self { proofs: pairs.into_iter().map(proof).collect(), files, credential }
    }
}

/// A pair as kubernetes.io/tls secrets have it.
fn pem_files(pair: &Pair) -> Files {
    vec![("tls.crt", pair.certificate().into_bytes()), ("tls.key", pair.key().into_bytes())]
}

impl Rig {
    /// One with an authority over plain HTTP.
    pub async fn start(generations: Generations) -> Self {
        let Generations { proofs, files, credential } = generations;
        Self::with(Registrar::start(proofs).await, files, credential, None).await
    }

    /// One whose client shows so many certificates in the TLS handshake.
    pub async fn over_tls(count: usize, refuses: Refuses) -> Self {
        let Generations { proofs, files, credential } = Generations::shown(count);
        let pki = Pki::new();
        let registrar = tls_registrar::start(&pki, proofs, refuses).await;
        Self::with(registrar, files, credential, Some(pki)).await
    }

    async fn with(
        registrar: Registrar,
        files: Vec<Files>,
        credential: &str,
        pki: Option<Pki>,
    ) -> Self {
        logs::listen();
        let volume = Volume::new(&files[0]);
        let credential = files[0].iter().fold(credential.to_owned(), |yaml, (name, _)| {
            yaml.replace(&format!("{{{name}}}"), &volume.reference(name))
        });
        let ca = |pki: &Pki| format!(", ca: {{ file: '{}' }}", pki.path("ca.crt"));
        let authority = pki.as_ref().map_or(String::new(), ca);
        let (issuer, key) = (Authority::start().await, Arc::new(Key::new("k")));
        issuer::publish(&issuer, &[&key]);
        let upstream = Upstream::judging(|_| Response::new(Full::from("ok"))).await;
        let vicar = Vicar::start(&format!(
            "{}clients:\n  c: {{ authority: {{ token_endpoint: '{}' {authority} }}, client_id: me, \
             credential: {credential}, warm_up: false }}\nroutes:\n\
             {common}user, match: {{ path: /user }}, authenticate: {{ issuers: [i] }}, \
             token: {{ jwt_bearer: {{ client: c }} }}, {to} }}\n\
             {common}app, match: {{ path: /app }}, authenticate: {{ issuers: [i] }}, \
             token: {{ client_credentials: {{ client: c }} }}, {to} }}\n",
            issuer_yaml(&issuer, ""),
            registrar.endpoint(),
            common = "  - { listener: l, name: ",
            to = format_args!("upstream: '{}'", upstream.url()),
        ));
        let callers = Callers { key, made: Arc::default() };
        let parties = (issuer, upstream, pki);
        Self { registrar, volume, files, vicar, callers, _parties: parties }
    }

    /// Lets time pass, for the authority first so that nothing comes to it from the future.
    pub fn advance(&self, seconds: u64) {
        let by = Duration::from_secs(seconds);
        self.registrar.advance(by);
        self.vicar.clock.advance(by);
    }

    /// Swaps in a generation as kubelet does.
    pub fn swap(&self, generation: usize) {
        self.volume.swap(&self.files[generation]);
    }

    /// The content of a file in a generation.
    pub fn content(&self, generation: usize, name: &str) -> &[u8] {
        let files = &self.files[generation];
        &files.iter().find(|(known, _)| *known == name).expect("a file").1
    }

    /// One call that needs a token of its own and must succeed; gives back what was tried for it.
    pub async fn call(&self) -> Vec<Tried> {
        let before = self.registrar.count();
        let reply = self.attempt().await;
        assert_eq!(reply.status, 200, "{reply:?}, tried {:?}", self.registrar.tried());
        self.registrar.tried()[before..].to_vec()
    }

    /// One call that needs a token of its own, come what may.
    pub async fn attempt(&self) -> Reply {
        let bearer = issuer::bearer(&self.callers.token());
        get(&self.vicar.address(), "/user", &bearer).await
    }

    /// Calls without end, by a few callers at once.
    pub fn traffic(&self) -> Traffic {
        let stops = Arc::new(AtomicBool::new(false));
        let crowd = Crowd::over_http1(&self.vicar.address());
        let callers = (0..AT_ONCE).map(|_| {
            let (crowd, stops, callers) = (crowd.clone(), Arc::clone(&stops), self.callers.clone());
            tokio::spawn(async move {
                let (mut made, mut failed) = (0, Vec::new());
                while !stops.load(Ordering::SeqCst) {
                    let path = if made % 8 == 0 { "/app" } else { "/user" };
                    let (status, body) = crowd.get(path, &callers.token()).await;
                    made += 1;
                    if status != 200 {
                        failed.push(format!("{path}: {status} {body}"));
                    }
                }
                (made, failed)
            })
        });
        let callers = callers.collect();
        Traffic { stops, callers }
    }
}

impl Callers {
    /// A token that nobody had before.
    fn token(&self) -> String {
        let number = self.made.fetch_add(1, Ordering::SeqCst);
        let (sub, exp) = (format!("u{number}"), now() + 86_400);
        self.key.token(&claims_with(&json!({ "sub": sub, "exp": exp })))
    }
}

impl Traffic {
    /// Stops; how many calls there were, and those that failed.
    pub async fn end(self) -> (usize, Vec<String>) {
        self.stops.store(true, Ordering::SeqCst);
        let (mut made, mut failed) = (0, Vec::new());
        for caller in self.callers {
            let (calls, failures) = caller.await.expect("a caller");
            made += calls;
            failed.extend(failures);
        }
        (made, failed)
    }
}

/// Callers at one time, so at most as many token requests, and one for the application's token.
pub const AT_ONCE: usize = 4;
