//! Very many calls on behalf of people at once: what the authority sees of them, well or ill.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::support::authority::Answer;
use crate::support::crowd::{metric, until_missed};
use crate::support::issuer::{Key, bearer};
use crate::support::minting::{Minted, Minter, Turn};
use crate::support::scene::Scene;
use crate::support::until;

const IN_FLIGHT: usize = 16;
const CLIENT: &str = ", max_in_flight: 16";

/// An authority that answers as `decide` says, and Vicar before it.
async fn scene(decide: impl Fn(&Minted) -> Turn + Send + Sync + 'static) -> (Minter, Scene) {
    patient_scene(decide, "10s").await
}

/// The same where a token request may take so long; half of it in the queue.
async fn patient_scene(
    decide: impl Fn(&Minted) -> Turn + Send + Sync + 'static,
    total: &str,
) -> (Minter, Scene) {
    let key = Arc::new(Key::new("k"));
    let minter = Minter::start(vec![Arc::clone(&key)], decide).await;
    let authority = format!("{}, timeouts: {{ total: {total} }}", minter.token_endpoint());
    let scene = Scene::with(&key, &authority, CLIENT, "").await;
    (minter, scene)
}

/// Whether what the authority is asked for is for this person.
fn is_for(minted: &Minted, name: &str) -> bool {
    minted.subject.split('/').nth(1) == Some(name)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_calls_of_one_person_make_one_exchange() {
    let (minter, scene) = scene(|_| Turn::token()).await;
    minter.hold(true);
    let calls = scene.calls(vec![scene.token("alice", "1"); 1000]);
    until_missed(&scene.vicar, 1000).await;
    minter.hold(false);
    let answers = calls.await.expect("calls");
    assert!(answers.iter().all(|answer| *answer == (200, "k/alice/1".to_owned())));
    assert_eq!((answers.len(), minter.asked()), (1000, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_caller_leaving_does_not_end_the_exchange_others_wait_for() {
    let (minter, scene) = scene(|_| Turn::token()).await;
    minter.hold(true);
    let token = scene.token("alice", "1");
    let mut first = TcpStream::connect(scene.vicar.address()).await.expect("connects");
    let request = format!("GET / HTTP/1.1\r\nhost: h\r\n{}\r\n", bearer(&token));
    first.write_all(request.as_bytes()).await.expect("sends");
    until("the exchange for the first caller", async || minter.asked() == 1).await;
    let in_flight = async || metric(&scene.vicar, "vicar_requests_in_flight", &[]).await;
    assert_eq!(in_flight().await, 1);
    drop(first);
    until("the first caller to be gone", async || in_flight().await == 0).await;
    let calls = scene.calls(vec![token; 999]);
    until_missed(&scene.vicar, 1000).await;
    minter.hold(false);
    let answers = calls.await.expect("calls");
    assert!(answers.iter().all(|answer| *answer == (200, "k/alice/1".to_owned())));
    assert_eq!((answers.len(), minter.asked()), (999, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_people_at_once_are_exchanged_once_each_and_few_at_a_time() {
    let (minter, scene) = patient_scene(|_| Turn::token(), "120s").await;
    minter.hold(true);
    let calls = scene.calls(scene.tokens(10_000));
    until_missed(&scene.vicar, 10_000).await;
    until("as many as may at once", async || minter.asked() == IN_FLIGHT).await;
    minter.hold(false);
    for (number, answer) in calls.await.expect("calls").into_iter().enumerate() {
        assert_eq!(answer, (200, format!("k/u{number}/")));
    }
    assert_eq!((minter.asked(), minter.most_at_once()), (10_000, IN_FLIGHT));
}

/// An address where connections are counted and come to nothing.
struct Dead {
    url: String,
    connections: Arc<AtomicUsize>,
    hangs_up: watch::Sender<bool>,
}

impl Dead {
    /// Says nothing, until it is told to hang up on everybody.
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let (connections, hangs_up) = (Arc::new(AtomicUsize::new(0)), watch::Sender::new(false));
        let (counted, told) = (Arc::clone(&connections), hangs_up.subscribe());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let mut told = told.clone();
                tokio::spawn(async move {
                    let _ = told.wait_for(|hangs_up| *hangs_up).await;
                    drop(stream);
                });
            }
        });
        Self { url, connections, hangs_up }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// One where nobody listens.
    async fn refusing() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        format!("http://{}", listener.local_addr().expect("bound"))
    }
}

/// A Vicar without an authority: there is none at `url`.
async fn bereft(url: &str, total: &str) -> Scene {
    let endpoint = format!("token_endpoint: '{url}/token', timeouts: {{ total: {total} }}");
    Scene::with(&Arc::new(Key::new("k")), &endpoint, CLIENT, "").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_that_hangs_up_sees_few_connections_however_many_people_wait() {
    let dead = Dead::start().await;
    let scene = bereft(&dead.url, "60s").await;
    let calls = scene.calls(scene.tokens(2000));
    until_missed(&scene.vicar, 2000).await;
    until("as many as may at once", async || dead.connections() == IN_FLIGHT).await;
    dead.hangs_up.send_replace(true);
    assert!(calls.await.expect("calls").iter().all(|(status, _)| *status == 503));
    // Each tries twice, and until the first ones have given up some others set out.
    let connections = dead.connections();
    assert!(connections <= 8 * IN_FLIGHT, "{connections} connections for 2000 people");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_black_hole_sees_few_connections_however_many_people_call() {
    let dead = Dead::start().await;
    let scene = bereft(&dead.url, "4s").await;
    let answers = scene.calls(scene.tokens(2000)).await.expect("calls");
    assert!(answers.iter().all(|(status, _)| *status == 503));
    let connections = dead.connections();
    assert!((1..=4 * IN_FLIGHT).contains(&connections), "{connections} connections");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_listens_nobody_waits_long() {
    let scene = bereft(&Dead::refusing().await, "60s").await;
    let calls = scene.calls(scene.tokens(2000));
    let answers = tokio::time::timeout(Duration::from_secs(25), calls).await;
    let answers = answers.expect("in less than the queue would take").expect("calls");
    assert!(answers.iter().all(|(status, _)| *status == 503));
    assert!(answers[1999].1.contains("authority_unreachable"), "{}", answers[1999].1);
}

fn invalid_client() -> Turn {
    Turn::Answer(Answer::json(401, r#"{"error":"invalid_client"}"#))
}

#[tokio::test]
async fn a_client_that_the_authority_does_not_know_is_held_back_for_everybody() {
    let (minter, scene) =
        scene(|minted| if is_for(minted, "alice") { invalid_client() } else { Turn::token() })
            .await;
    for name in ["alice", "bob", "carol", "alice"] {
        for path in ["/", "/other"] {
            let answer = scene.call(path, &scene.token(name, "")).await;
            assert_eq!(
                (answer.status, answer.reason().as_str()),
                (502, "authority_refused_client")
            );
        }
    }
    assert_eq!(minter.asked(), 1, "found out once");
    scene.vicar.clock.advance(Duration::from_secs(15));
    assert_eq!(scene.call("/", &scene.token("bob", "")).await.status, 200);
    assert_eq!(minter.asked(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_the_authority_does_not_know_is_found_out_while_many_wait() {
    let (minter, scene) = scene(|_| invalid_client()).await;
    minter.hold(true);
    let calls = scene.calls(scene.tokens(2000));
    until_missed(&scene.vicar, 2000).await;
    minter.hold(false);
    assert!(calls.await.expect("calls").iter().all(|(status, _)| *status == 502));
    let asked = minter.asked();
    assert!(asked <= 2 * IN_FLIGHT, "asked {asked} times with a secret that is wrong");
}

fn throttled(body: &str) -> Turn {
    Turn::Answer(Answer::json(429, body).header("retry-after", "30"))
}

#[tokio::test]
async fn a_person_who_is_throttled_keeps_nobody_else_from_being_served() {
    let (minter, scene) = scene(|minted| {
        let hit = is_for(minted, "alice") && minted.wanted.contains("|r|");
        if hit { throttled("{}") } else { Turn::token() }
    })
    .await;
    let alice = scene.token("alice", "");
    for _ in 0..3 {
        let answer = scene.call("/", &alice).await;
        assert_eq!((answer.status, answer.reason().as_str()), (503, "authority_throttled"));
        let wait: u32 = answer.header("retry-after").expect("a time").parse().expect("seconds");
        assert!((20..=31).contains(&wait), "{wait}");
    }
    assert_eq!(minter.asked(), 1);
    assert_eq!(scene.call("/", &scene.token("bob", "")).await.status, 200);
    assert_eq!(scene.call("/other", &alice).await.status, 200, "another token of the same person");
    assert_eq!(minter.asked(), 3);
    scene.vicar.clock.advance(Duration::from_secs(20));
    assert_eq!((scene.call("/", &alice).await.status, minter.asked()), (503, 3));
    scene.vicar.clock.advance(Duration::from_secs(11));
    assert_eq!((scene.call("/", &alice).await.status, minter.asked()), (503, 4));
}

const TENANT_THROTTLED: &str = r#"{"error":"temporarily_unavailable","error_codes":[90055]}"#;

#[tokio::test]
async fn a_tenant_that_is_throttled_is_left_alone_by_everybody() {
    let (minter, scene) =
        scene(
            |minted| {
                if is_for(minted, "alice") { throttled(TENANT_THROTTLED) } else { Turn::token() }
            },
        )
        .await;
    for name in ["alice", "bob", "carol"] {
        for path in ["/", "/other"] {
            let answer = scene.call(path, &scene.token(name, "")).await;
            assert_eq!((answer.status, answer.reason().as_str()), (503, "authority_throttled"));
        }
    }
    assert_eq!(minter.asked(), 1);
    scene.vicar.clock.advance(Duration::from_secs(20));
    assert_eq!(scene.call("/", &scene.token("bob", "")).await.status, 503);
    scene.vicar.clock.advance(Duration::from_secs(11));
    assert_eq!(scene.call("/", &scene.token("bob", "")).await.status, 200);
    assert_eq!(minter.asked(), 2);
}

#[tokio::test]
async fn a_tenant_that_is_throttled_is_left_alone_even_if_an_earlier_exchange_still_succeeds() {
    let slow = Duration::from_millis(500);
    let (minter, scene) = scene(move |minted| {
        if is_for(minted, "alice") {
            Turn::Token { expires_in: 3600, after: slow }
        } else {
            throttled(TENANT_THROTTLED)
        }
    })
    .await;
    let early = scene.calls(vec![scene.token("alice", "")]);
    until("the slow exchange", async || minter.asked() == 1).await;
    assert_eq!(scene.call("/", &scene.token("bob", "")).await.status, 503);
    assert_eq!(early.await.expect("a call")[0].0, 200);
    assert_eq!(scene.call("/", &scene.token("carol", "")).await.status, 503);
    assert_eq!(minter.asked(), 2, "it was told to wait");
}
