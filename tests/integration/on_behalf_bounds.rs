//! What is kept on behalf of people: how much, how long, and not after somebody wants it gone.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::support::client::{Reply, get};
use crate::support::crowd::{Crowd, metric};
use crate::support::issuer::{Key, bearer, now};
use crate::support::minting::Minter;
use crate::support::scene::Scene;
use crate::support::until;
use crate::support::world::World;

/// A generous authority, and Vicar before it with these further keys of the file.
async fn scene(file: &str) -> (Minter, Scene) {
    let key = Arc::new(Key::new("k"));
    let minter = Minter::generous(&key).await;
    let scene = Scene::with(&key, &minter.token_endpoint(), "", file).await;
    (minter, scene)
}

/// How many exchanges a call with this token makes; it must succeed.
async fn exchanges(minter: &Minter, scene: &Scene, token: &str) -> usize {
    let before = minter.asked();
    let answer = scene.call("/", token).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    minter.asked() - before
}

async fn subjects(scene: &Scene) -> u64 {
    let status = get(&scene.vicar.admin(), "/status", "").await.json();
    status["user_tokens"]["subjects"].as_u64().expect("a number")
}

#[tokio::test]
async fn beyond_the_bound_of_one_person_the_oldest_token_goes_and_nobody_elses() {
    let (minter, scene) = scene("").await;
    let bob = scene.token("bob", "");
    assert_eq!(exchanges(&minter, &scene, &bob).await, 1);
    let alices: Vec<_> = (0..65).map(|number| scene.token("alice", &format!("{number}"))).collect();
    for token in &alices {
        assert_eq!(exchanges(&minter, &scene, token).await, 1);
    }
    for token in alices[1..].iter().chain([&bob]) {
        assert_eq!(exchanges(&minter, &scene, token).await, 0, "only the oldest goes");
    }
    assert_eq!(exchanges(&minter, &scene, &alices[0]).await, 1, "the oldest is gone");
    assert_eq!(exchanges(&minter, &scene, &alices[2]).await, 0);
    assert_eq!(exchanges(&minter, &scene, &alices[1]).await, 1, "now this was the oldest");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_tokens_together_stay_within_their_bound() {
    let (_minter, scene) = scene("caches: { user_tokens: 1MiB }\n").await;
    let crowd = Crowd::over_http1(&scene.vicar.address());
    let mut most = 0;
    for (number, token) in scene.tokens(4000).into_iter().enumerate() {
        assert_eq!(crowd.get("/", &token).await.0, 200);
        if number.is_multiple_of(200) {
            most = most.max(metric(&scene.vicar, "vicar_user_cache_bytes", &[]).await);
        }
    }
    let bytes = metric(&scene.vicar, "vicar_user_cache_bytes", &[]).await;
    let kept = metric(&scene.vicar, "vicar_user_cache_subjects", &[]).await;
    let (most, bound) = (most.max(bytes), 1024 * 1024);
    assert!((bound * 3 / 4..=bound).contains(&most), "{most} bytes");
    assert!((400..3800).contains(&kept), "{kept} people");
    assert!(bytes > kept * 200, "{bytes} bytes of {kept} people count less than they take");
}

#[tokio::test]
async fn what_has_expired_is_swept_without_anybody_asking() {
    let (_minter, scene) = scene("").await;
    for token in scene.tokens(5) {
        assert_eq!(scene.call("/", &token).await.status, 200);
    }
    assert_eq!(subjects(&scene).await, 5);
    scene.vicar.clock.advance(Duration::from_secs(3601));
    until("nobody to be there", async || subjects(&scene).await == 0).await;
    assert_eq!(metric(&scene.vicar, "vicar_user_cache_bytes", &[]).await, 0);
}

#[tokio::test]
async fn what_is_still_good_is_not_swept() {
    let (minter, scene) = scene("").await;
    let early = scene.short_token("early", 600);
    assert_eq!(exchanges(&minter, &scene, &early).await, 1);
    let late = scene.short_token("late", 7200);
    assert_eq!(exchanges(&minter, &scene, &late).await, 1);
    scene.vicar.clock.advance(Duration::from_secs(601));
    until("only the late one to be there", async || subjects(&scene).await == 1).await;
    assert_eq!(exchanges(&minter, &scene, &late).await, 0);
}

#[tokio::test]
async fn a_token_is_not_served_when_the_one_it_was_obtained_with_has_expired() {
    let (minter, scene) = scene("").await;
    let token = scene.short_token("alice", 100);
    assert_eq!(exchanges(&minter, &scene, &token).await, 1);
    scene.vicar.clock.advance(Duration::from_secs(90));
    assert_eq!(exchanges(&minter, &scene, &token).await, 0);
    // Where clocks may differ by a minute the token would still be let in; there is nothing to give for it.
    scene.vicar.clock.advance(Duration::from_secs(11));
    for path in ["/", "/other"] {
        let answer = scene.call(path, &token).await;
        assert_eq!((answer.status, answer.reason().as_str()), (401, "token_expired"));
    }
    assert_eq!(minter.asked(), 1);
}

#[tokio::test]
async fn a_session_without_a_refresh_token_ends_with_the_token_of_its_person() {
    let world = World::with(
        "jwt_bearer: { client: c, scopes: [s], session: { header: X-Session }, \
         when_app_only: session }",
    )
    .await;
    let alice = world.token_of("alice", &json!({ "exp": now() + 100 }));
    let app = world.token_of("app-1", &json!({ "exp": now() + 7200 }));
    let named = |token| format!("{}x-session: {}\r\n", bearer(token), "s".repeat(16));
    let call = async |token| get(&world.vicar.address(), "/", &named(token)).await;
    for token in [&alice, &app] {
        assert_eq!(call(token).await.status, 200);
    }
    world.vicar.clock.advance(Duration::from_secs(101));
    let answer = call(&app).await;
    assert_eq!((answer.status, answer.reason().as_str()), (401, "session_unknown"));
    assert_eq!(world.authority.count(), 1, "a token that has expired was exchanged");
    until("the session to be swept", async || {
        let status = get(&world.vicar.admin(), "/status", "").await.json();
        status["user_tokens"]["sessions"] == 0
    })
    .await;
}

const ALICE: &str = r#"{"issuer":"i","subject":"alice"}"#;

async fn purge(scene: &Scene, body: &str) -> Reply {
    scene.post("/user-tokens/purge", "application/json", body).await
}

#[tokio::test]
async fn purging_one_person_leaves_the_others() {
    let (minter, scene) = scene("").await;
    let (alice, second) = (scene.token("alice", "1"), scene.token("alice", "2"));
    let bob = scene.token("bob", "1");
    for token in [&alice, &second, &bob] {
        assert_eq!(exchanges(&minter, &scene, token).await, 1);
    }
    assert_eq!(scene.call("/other", &alice).await.status, 200);
    let purged = purge(&scene, ALICE).await;
    assert_eq!((purged.status, purged.json()["tokens"].as_u64()), (200, Some(3)));
    assert_eq!(subjects(&scene).await, 1);
    assert_eq!(exchanges(&minter, &scene, &bob).await, 0);
    for token in [&alice, &second] {
        assert_eq!(exchanges(&minter, &scene, token).await, 1);
    }
    for name in ["BOB", "bob "] {
        let nobody = purge(&scene, &format!(r#"{{"issuer":"i","subject":"{name}"}}"#)).await;
        assert_eq!((nobody.status, nobody.json()["tokens"].as_u64()), (200, Some(0)));
    }
    assert_eq!(purge(&scene, r#"{"issuer":"j","subject":"bob"}"#).await.status, 404);
    assert_eq!(exchanges(&minter, &scene, &bob).await, 0);
}

#[tokio::test]
async fn a_purge_that_is_not_exactly_one_is_refused() {
    let (minter, scene) = scene("").await;
    let alice = scene.token("alice", "1");
    assert_eq!(exchanges(&minter, &scene, &alice).await, 1);
    let long = format!(r#"{{"issuer":"i","subject":"{}"}}"#, "a".repeat(20_000));
    for body in [
        "",
        "alice",
        "[]",
        "{}",
        r#"{"issuer":"i"}"#,
        r#"{"subject":"alice"}"#,
        r#"{"issuer":"i","subject":""}"#,
        r#"{"issuer":"","subject":"alice"}"#,
        r#"{"issuer":"i","subject":["alice"]}"#,
        r#"{"issuer":"i","subject":"alice","all":true}"#,
        r#"{"issuer":"i","subject":"alice"}{}"#,
        long.as_str(),
    ] {
        assert_eq!(purge(&scene, body).await.status, 400, "{body}");
    }
    for content_type in ["text/plain", "application/x-www-form-urlencoded", ""] {
        let answer = scene.post("/user-tokens/purge", content_type, ALICE).await;
        assert_eq!(answer.status, 415, "{content_type}");
    }
    let answer = get(&scene.vicar.admin(), "/user-tokens/purge", "").await;
    assert_eq!(answer.status, 404, "reading changes nothing");
    assert_eq!(exchanges(&minter, &scene, &alice).await, 0, "all of alice is still there");
}

#[tokio::test]
async fn a_purge_is_not_undone_by_an_exchange_that_was_on_its_way() {
    let (minter, scene) = scene("").await;
    let alice = scene.token("alice", "1");
    minter.hold(true);
    let call = scene.calls(vec![alice.clone()]);
    until("the exchange", async || minter.asked() == 1).await;
    assert_eq!(purge(&scene, ALICE).await.json()["tokens"].as_u64(), Some(0));
    minter.hold(false);
    // Who called before the purge is served, and that is all.
    assert_eq!(call.await.expect("a call")[0], (200, "k/alice/1".to_owned()));
    assert_eq!(subjects(&scene).await, 0);
    assert_eq!(exchanges(&minter, &scene, &alice).await, 1);
    assert_eq!(subjects(&scene).await, 1);
}
