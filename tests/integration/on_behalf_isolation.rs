//! No token crosses over: ten thousand people and some applications call fifty routes at once, while the
//! authority fails in every way it can and upstreams refuse good tokens.
//!
//! The authority writes into each token whom it is for and what was asked for; the upstream holds that against
//! the path, which says who calls which route. Neighbouring routes differ in one thing only.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;
use serde_json::json;

use crate::support::authority::{Answer, Authority};
use crate::support::crowd::{Crowd, metric};
use crate::support::issuer::{AUDIENCE, Key, now};
use crate::support::minting::{Minted, Minter, Turn, Wanted};
use crate::support::upstream::{Seen, Upstream};
use crate::support::vicar::Vicar;

const PEOPLE: usize = 10_000;
const ROUTES: usize = 50;
/// Calls in turn, so that everybody takes part; those of the busy ones and of applications come on top.
const CALLS: usize = 21_000;
const BUSY: usize = 100;
const APPLICATIONS: usize = 20;
const WORKERS: usize = 256;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_crosses_over_while_all_of_them_are_kept() {
    let scene = Scene::with("user_tokens: 64MiB").await;
    let tally = scene.play().await;
    scene.judge(&tally).await;
    let kept = metric(&scene.vicar, "vicar_user_cache_subjects", &[]).await;
    assert!(kept > PEOPLE as u64 * 9 / 10, "tokens of {kept} people are kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_crosses_over_while_most_of_them_have_to_go_at_once() {
    let scene = Scene::with("user_tokens: 1MiB, user_tokens_per_subject: 3").await;
    let tally = scene.play().await;
    scene.judge(&tally).await;
    let kept = metric(&scene.vicar, "vicar_user_cache_subjects", &[]).await;
    assert!((1..PEOPLE as u64 / 4).contains(&kept), "tokens of {kept} people are kept");
}

/// Everything that takes part.
struct Scene {
    vicar: Vicar,
    _parties: (Authority, Minter, Upstream),
    faults: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
    /// What the upstream got that was not meant for it.
    crossed: Arc<Mutex<Vec<String>>>,
    people: Vec<Caller>,
    applications: Vec<Caller>,
    seed: u64,
}

/// Somebody with a token.
struct Caller {
    /// As the authority writes it: `kid/sub/jti`.
    who: String,
    token: String,
}

/// What came of the calls.
#[derive(Default)]
struct Tally {
    calls: usize,
    good: usize,
    /// Answers that were somebody else's.
    crossed: Vec<String>,
    people: HashSet<usize>,
    routes: HashSet<usize>,
    applications: usize,
}

impl Scene {
    async fn with(caches: &str) -> Arc<Self> {
        let seed = fastrand::u64(..);
        let keys = [Arc::new(Key::new("a")), Arc::new(Key::new("b"))];
        let issuers = Authority::start().await;
        for key in &keys {
            issuers.publish(&format!("/{}", key.kid), &json!({ "keys": [key.jwk()] }));
        }
        let faults = Arc::new(AtomicUsize::new(0));
        let (counted, rng) = (Arc::clone(&faults), Mutex::new(Rng::with_seed(seed)));
        let decide = move |_: &Minted| {
            let mut rng = rng.lock().unwrap();
            let fault = fault(&mut rng);
            counted.fetch_add(usize::from(fault.is_some()), Ordering::SeqCst);
            let expires_in = rng.u64(60..3600);
            fault.unwrap_or(Turn::Token { expires_in, after: Duration::ZERO })
        };
        let minter = Minter::start(keys.to_vec(), decide).await;
        let (refused, crossed) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let upstream = upstream(&refused, &crossed, seed).await;
        let vicar = Vicar::start(&yaml(caches, &issuers, &minter, &upstream));
        let (people, applications) = (people(&keys), applications(&keys));
        Arc::new(Self {
            vicar,
            _parties: (issuers, minter, upstream),
            faults,
            refused,
            crossed,
            people,
            applications,
            seed,
        })
    }

    /// Makes all calls, by many at once.
    async fn play(self: &Arc<Self>) -> Tally {
        let next = Arc::new(AtomicUsize::new(0));
        let crowd = Crowd::over_http1(&self.vicar.address());
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| {
                let (scene, crowd, next) = (Arc::clone(self), crowd.clone(), Arc::clone(&next));
                let rng = Rng::with_seed(self.seed ^ worker as u64);
                tokio::spawn(async move { scene.work(&crowd, &next, rng).await })
            })
            .collect();
        let mut all = Tally::default();
        for worker in workers {
            all.add(worker.await.expect("a worker"));
        }
        all
    }

    async fn work(&self, crowd: &Crowd, next: &AtomicUsize, mut rng: Rng) -> Tally {
        let mut tally = Tally::default();
        loop {
            let number = next.fetch_add(1, Ordering::SeqCst);
            if number >= CALLS {
                return tally;
            }
            if number.is_multiple_of(1000) {
                // Tokens age, so that they are renewed and run out; what was refused is asked for again.
                self.vicar.clock.advance(Duration::from_secs(60));
            }
            let (person, round) = (number % PEOPLE, number / PEOPLE % 2);
            self.person_calls(crowd, person, (person * 7 + round * 13) % ROUTES, &mut tally).await;
            if rng.u8(..100) < 40 {
                // The last ones have two tokens each.
                let busy = PEOPLE - BUSY + rng.usize(..BUSY);
                let token = busy + BUSY * rng.usize(..2);
                let route = (busy + rng.usize(..10)) % ROUTES;
                self.person_calls(crowd, token, route, &mut tally).await;
            }
            if rng.u8(..100) < 8 {
                let application = &self.applications[rng.usize(..APPLICATIONS)];
                self.application_calls(crowd, application, rng.usize(..ROUTES), &mut tally).await;
            }
        }
    }

    async fn person_calls(&self, crowd: &Crowd, person: usize, route: usize, tally: &mut Tally) {
        let caller = &self.people[person];
        let path = format!("/r{route}/{}", caller.who);
        let (status, body) = crowd.get(&path, &caller.token).await;
        if tally.count(status, &body, &format!("{}#{}", wanted(route), caller.who)) {
            tally.people.insert(person);
            tally.routes.insert(route);
        }
    }

    async fn application_calls(
        &self,
        crowd: &Crowd,
        caller: &Caller,
        route: usize,
        tally: &mut Tally,
    ) {
        let (status, body) = crowd.get(&format!("/r{route}/app"), &caller.token).await;
        if let Some(wanted) = wanted_by_applications(route) {
            tally.applications += usize::from(tally.count(status, &body, &format!("{wanted}#")));
        } else {
            assert_eq!(status, 403, "route {route} is not for applications: {body}");
            tally.calls += 1;
            tally.good += 1;
        }
    }

    /// Nothing crossed over, and enough happened for that to mean something.
    async fn judge(&self, tally: &Tally) {
        let Self { seed, .. } = self;
        let tokens = self.crossed.lock().unwrap().clone();
        for crossed in [&tokens, &tally.crossed] {
            let first = &crossed[..crossed.len().min(3)];
            assert!(crossed.is_empty(), "{}, first {first:#?} (seed {seed})", crossed.len());
        }
        let Tally { calls, good, .. } = *tally;
        assert!(calls >= 30_000 && good > calls * 9 / 10, "{good} of {calls} (seed {seed})");
        assert!(tally.people.len() > PEOPLE * 95 / 100, "{} people", tally.people.len());
        assert_eq!(tally.routes.len(), ROUTES);
        assert!(tally.applications > 100, "{} calls of applications", tally.applications);
        assert!(self.faults.load(Ordering::SeqCst) > 500);
        assert!(self.refused.load(Ordering::SeqCst) > 100);
        let sent_again =
            metric(&self.vicar, "vicar_rejected_requests_total", &["sent_again"]).await;
        assert!(sent_again > 50, "{sent_again} sent again with another token");
    }
}

impl Tally {
    /// Counts an answer; says whether it is the good one, which names what it should.
    fn count(&mut self, status: u16, body: &str, expected: &str) -> bool {
        self.calls += 1;
        if status == 200 && body != expected {
            self.crossed.push(format!("{expected} was answered with {body}"));
        }
        let good = status == 200 && body == expected;
        self.good += usize::from(good);
        good
    }

    fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.good += other.good;
        self.applications += other.applications;
        self.crossed.extend(other.crossed);
        self.people.extend(other.people);
        self.routes.extend(other.routes);
    }
}

/// Every now and then one of the ways in which an authority fails.
fn fault(rng: &mut Rng) -> Option<Turn> {
    let answer = |status, body| Turn::Answer(Answer::json(status, body));
    let of_another_type = r#"{"access_token":"x","token_type":"mac","expires_in":60}"#;
    Some(match rng.u32(..100) {
        0 => answer(500, "{}"),
        1 => {
            let wait = rng.u8(1..4).to_string();
            Turn::Answer(Answer::json(429, "{}").header("retry-after", &wait))
        }
        2 => Turn::Token { expires_in: 600, after: Duration::from_millis(rng.u64(20..200)) },
        3 => Turn::Close,
        4 => answer(200, "<html>busy</html>"),
        5 => answer(400, r#"{"error":"invalid_grant"}"#),
        6 => answer(200, of_another_type),
        _ => return None,
    })
}

/// Holds every token against the path, and refuses one in a hundred.
async fn upstream(
    refused: &Arc<AtomicUsize>,
    crossed: &Arc<Mutex<Vec<String>>>,
    seed: u64,
) -> Upstream {
    let users: Vec<String> = (0..ROUTES).map(|route| wanted(route).to_string()).collect();
    let applications: Vec<_> = (0..ROUTES).map(wanted_by_applications).collect();
    let (refused, crossed) = (Arc::clone(refused), Arc::clone(crossed));
    let rng = Mutex::new(Rng::with_seed(!seed));
    Upstream::judging(move |seen: &Seen| {
        let minted = match seen.values("authorization").as_slice() {
            [field] => field.strip_prefix("Bearer ").and_then(Minted::read).unwrap_or_default(),
            _ => Minted::default(),
        };
        let (route, who) = seen.target[2..].split_once('/').expect("a route and a caller");
        let route: usize = route.parse().expect("a number");
        let meant = match who {
            "app" => {
                let wanted = applications[route].as_ref().expect("a route for applications");
                Minted { wanted: wanted.to_string(), subject: String::new() }
            }
            who => Minted { wanted: users[route].clone(), subject: who.to_owned() },
        };
        if minted != meant {
            crossed.lock().unwrap().push(format!("{meant:?} was due, {minted:?} came"));
        }
        let mut answer = Response::new(Full::from(format!("{}#{}", minted.wanted, minted.subject)));
        if rng.lock().unwrap().u8(..100) == 0 {
            refused.fetch_add(1, Ordering::SeqCst);
            *answer.status_mut() = http::StatusCode::UNAUTHORIZED;
            *answer.body_mut() = Full::from(Bytes::new());
        }
        answer
    })
    .await
}

/// Half of the people are known to each of two issuers, which use the same names for them.
fn people(keys: &[Arc<Key>; 2]) -> Vec<Caller> {
    let person = |number: usize, jti: &str| {
        let (key, sub) = (&keys[number % 2], format!("u{}", number / 2));
        caller(key, &sub, "shop", jti)
    };
    let all = (0..PEOPLE).map(|number| person(number, "1"));
    let second_tokens = (PEOPLE - BUSY..PEOPLE).map(|number| person(number, "2"));
    all.chain(second_tokens).collect()
}

fn applications(keys: &[Arc<Key>; 2]) -> Vec<Caller> {
    let names = (0..APPLICATIONS).map(|number| (number % 2, format!("app-{number}")));
    names.map(|(issuer, name)| caller(&keys[issuer], &name, &name, "1")).collect()
}

fn caller(key: &Key, sub: &str, azp: &str, jti: &str) -> Caller {
    let (iss, exp) = (format!("https://{}.test/", key.kid), now() + 24 * 3600);
    let claims =
        json!({ "iss": iss, "aud": AUDIENCE, "sub": sub, "azp": azp, "jti": jti, "exp": exp });
    Caller { who: format!("{}/{sub}/{jti}", key.kid), token: key.token(&claims) }
}

/// What a route asks for on behalf of people. The odd ones exchange tokens.
fn wanted(route: usize) -> Wanted {
    let digit = |place: u32| route / 2 / 3_usize.pow(place) % 3;
    let (grant, audience, region) = match (route % 2, route % 4) {
        (1, _) => ("token_exchange", format!("a{}", digit(2)), String::new()),
        (_, 0) => ("jwt_bearer", format!("a{}", digit(2)), String::new()),
        _ => ("on_behalf_of", String::new(), format!("a{}", digit(2))),
    };
    let (client, scope) = (format!("me-{}", digit(0)), format!("s{}", digit(1)));
    Wanted { grant: grant.to_owned(), client, scope, audience, region }
}

/// What every third route asks for when an application calls: what people get there, in Vicar's own name.
fn wanted_by_applications(route: usize) -> Option<Wanted> {
    let grant = "client_credentials".to_owned();
    let (audience, region) = Default::default();
    route.is_multiple_of(3).then(|| Wanted { grant, audience, region, ..wanted(route) })
}

fn yaml(caches: &str, issuers: &Authority, minter: &Minter, upstream: &Upstream) -> String {
    let url = issuers.url();
    let issuers = ["a", "b"].map(|name| {
        format!(
            "  {name}: {{ jwks: {{ issuer: 'https://{name}.test/', uri: '{url}/{name}' }}, \
             audiences: ['{AUDIENCE}'] }}\n"
        )
    });
    let clients = [0, 1, 2].map(|number| {
        format!(
            "  c{number}:\n    authority: {{ {} }}\n    client_id: me-{number}\n    credential: \
             {{ client_secret_post: {{ danger_inline: s }} }}\n    warm_up: false\n",
            minter.token_endpoint()
        )
    });
    let routes: String = (0..ROUTES).map(|number| route(number, upstream.url())).collect();
    format!(
        "runtime: {{ workers: 2 }}\nlog: {{ access: false }}\nshutdown: {{ grace: 5s }}\n\
         admin: {{ address: '127.0.0.1:0' }}\ncaches: {{ {caches} }}\n\
         listeners:\n  l: {{ address: '127.0.0.1:0' }}\n\
         issuers:\n{}clients:\n{}routes:\n{routes}",
        issuers.concat(),
        clients.concat(),
    )
}

fn route(number: usize, upstream: &str) -> String {
    let Wanted { grant, client, scope, audience, region } = wanted(number);
    let client = client.replace("me-", "c");
    let target = match grant.as_str() {
        "on_behalf_of" => format!("parameters: {{ region: {region} }}"),
        _ => format!("audience: {audience}"),
    };
    let app_only = match wanted_by_applications(number) {
        Some(_) => format!("{{ client_credentials: {{ client: {client}, scopes: [{scope}] }} }}"),
        None => "refuse".to_owned(),
    };
    format!(
        "  - {{ name: r{number}, listener: l, match: {{ path: /r{number} }}, \
         authenticate: {{ issuers: [a, b] }}, token: {{ {grant}: {{ client: {client}, \
         scopes: [{scope}], {target}, when_app_only: {app_only} }} }}, \
         retry: {{ window: 1s }}, upstream: '{upstream}' }}\n"
    )
}

#[test]
fn no_two_of_the_routes_ask_for_the_same() {
    let all: HashSet<Wanted> = (0..ROUTES).map(wanted).collect();
    assert_eq!(all.len(), ROUTES);
}
