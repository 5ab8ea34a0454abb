//! Credentials that are rotated while calls go on: not one of them fails, in whatever order the files and
//! the authority learn of the new one.

use serde_json::{Value, json};

use crate::support::assertion::{Assertion, Expected};
use crate::support::pairs::Pair;
use crate::support::registrar::Standing::{Good, NoMore, NotYet};
use crate::support::registrar::Tried;
use crate::support::rotating::{AT_ONCE, Generations, Rig};
use crate::support::tls_registrar::Refuses;

/// Rotates a hundred times as kubelet does, under load. The authority takes the new one a moment before
/// or a moment after the swap, by turns, and the old one for a while longer.
async fn rotates(rig: &Rig) {
    let traffic = rig.traffic();
    rig.registrar.until_more(8).await;
    for new in 1..=ROTATIONS {
        rotates_once(rig, new).await;
    }
    let (calls, failed) = traffic.end().await;
    assert!(failed.is_empty(), "{} of {calls} failed: {:?}", failed.len(), failed.first());
    assert_eq!(rig.registrar.faults(), Vec::<String>::new());
    let tried = rig.registrar.tried();
    assert!(
        tried.iter().all(|tried| tried.standing != NoMore),
        "the old one was used for too long"
    );
    // Each that comes too early is refused, to no more requests than were on their way.
    let refused = tried.iter().filter(|tried| tried.standing == NotYet).count();
    assert!(refused <= ROTATIONS / 2 * (AT_ONCE + 1), "{refused} refused of {}", tried.len());
    assert!(calls >= 8 * ROTATIONS, "only {calls} calls met {ROTATIONS} rotations");
}

async fn rotates_once(rig: &Rig, new: usize) {
    let start = rig.registrar.count();
    if new.is_multiple_of(2) {
        rig.registrar.rate(new, Good);
        rig.registrar.until_more(4).await;
        rig.swap(new);
    } else {
        rig.swap(new);
        let too_early = Tried { proof: new, standing: NotYet };
        let what = format!("number {new} to be tried, and refused");
        rig.registrar.until_since(start, &what, |tried| tried.contains(&too_early)).await;
        rig.registrar.until_more(4).await;
        rig.registrar.rate(new, Good);
        rig.advance(10);
    }
    let what = format!("number {new} to be in use, and nothing else");
    let is_new = |tried: &Tried| *tried == Tried { proof: new, standing: Good };
    let settled =
        |tried: &[Tried]| tried.len() >= LATEST && tried[tried.len() - LATEST..].iter().all(is_new);
    rig.registrar.until_since(start, &what, settled).await;
    rig.registrar.rate(new - 1, NoMore);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_rotated_a_hundred_times_and_no_call_fails() {
    rotates(&Rig::start(Generations::secrets(ROTATIONS + 1)).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_and_its_key_are_rotated_a_hundred_times_and_no_call_fails() {
    rotates(&Rig::start(Generations::pairs(ROTATIONS + 1)).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pkcs12_file_is_rotated_a_hundred_times_and_no_call_fails() {
    rotates(&Rig::start(Generations::stores(ROTATIONS + 1)).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_federated_token_is_rotated_a_hundred_times_and_no_call_fails() {
    rotates(&Rig::start(Generations::tokens(ROTATIONS + 1)).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tls_certificate_is_rotated_a_hundred_times_and_no_call_fails() {
    for refuses in [Refuses::InAnAnswer, Refuses::InTheHandshake] {
        rotates(&Rig::over_tls(ROTATIONS + 1, refuses).await).await;
    }
}

/// A rig for each kind of credential.
async fn rigs(count: usize) -> Vec<(&'static str, Rig)> {
    vec![
        ("secret", Rig::start(Generations::secrets(count)).await),
        ("pair", Rig::start(Generations::pairs(count)).await),
        ("store", Rig::start(Generations::stores(count)).await),
        ("token", Rig::start(Generations::tokens(count)).await),
        ("answer", Rig::over_tls(count, Refuses::InAnAnswer).await),
        ("handshake", Rig::over_tls(count, Refuses::InTheHandshake).await),
    ]
}

#[tokio::test]
async fn what_is_new_is_in_use_by_the_next_token_request() {
    for (kind, rig) in rigs(3).await {
        for new in 0..3 {
            rig.registrar.rate(new, Good);
            rig.swap(new);
            assert_eq!(rig.call().await, [Tried { proof: new, standing: Good }], "{kind}");
        }
    }
}

#[tokio::test]
async fn what_is_refused_gives_way_to_what_worked_and_is_left_alone_for_ten_seconds() {
    let old = Tried { proof: 0, standing: Good };
    let refused = Tried { proof: 1, standing: NotYet };
    for (kind, rig) in rigs(2).await {
        assert_eq!(rig.call().await, [old], "{kind}");
        rig.swap(1);
        assert_eq!(rig.call().await, [refused, old], "{kind}: both in one token request");
        assert_eq!(rig.call().await, [old], "{kind}: left alone");
        rig.advance(8);
        assert_eq!(rig.call().await, [old], "{kind}: still left alone");
        rig.advance(3);
        assert_eq!(rig.call().await, [refused, old], "{kind}: tried again");
        rig.registrar.rate(1, Good);
        assert_eq!(rig.call().await, [old], "{kind}: left alone once more");
        rig.advance(11);
        let new = Tried { proof: 1, standing: Good };
        assert_eq!(rig.call().await, [new], "{kind}: taken at last");
        rig.registrar.rate(0, NoMore);
        assert_eq!(rig.call().await, [new], "{kind}: the old one is forgotten");
    }
}

#[tokio::test]
async fn a_newer_one_is_tried_at_once_though_one_before_it_was_refused() {
    let old = Tried { proof: 0, standing: Good };
    for (kind, rig) in rigs(3).await {
        rig.call().await;
        rig.swap(1);
        assert_eq!(rig.call().await, [Tried { proof: 1, standing: NotYet }, old], "{kind}");
        rig.registrar.rate(2, Good);
        rig.swap(2);
        assert_eq!(rig.call().await, [Tried { proof: 2, standing: Good }], "{kind}");
    }
}

#[tokio::test]
async fn a_way_back_to_the_file_before_is_open() {
    let old = Tried { proof: 0, standing: Good };
    for (kind, rig) in rigs(2).await {
        rig.call().await;
        rig.swap(1);
        assert_eq!(rig.call().await, [Tried { proof: 1, standing: NotYet }, old], "{kind}");
        rig.swap(0);
        assert_eq!(rig.call().await, [old], "{kind}: rolled back");
        assert_eq!(rig.call().await, [old], "{kind}");
    }
}

#[tokio::test]
async fn when_neither_is_good_the_call_fails_and_the_next_good_file_ends_it() {
    for (kind, rig) in rigs(3).await {
        rig.call().await;
        rig.swap(1);
        rig.registrar.rate(0, NoMore);
        let before = rig.registrar.count();
        let reply = rig.attempt().await;
        assert_eq!((reply.status, reply.reason().as_str()), (502, "authority_refused_client"));
        let tried = rig.registrar.tried()[before..].to_vec();
        let neither = [Tried { proof: 1, standing: NotYet }, Tried { proof: 0, standing: NoMore }];
        assert_eq!(tried, neither, "{kind}");
        rig.registrar.rate(2, Good);
        rig.swap(2);
        rig.advance(60);
        assert_eq!(rig.call().await, [Tried { proof: 2, standing: Good }], "{kind}");
    }
}

/// The judge of these tests, judged: what it must not let pass.
#[test]
fn an_assertion_that_is_wrong_in_one_thing_has_a_fault() {
    let (pair, other) = (Pair::of(&rcgen::PKCS_ED25519), Pair::of(&rcgen::PKCS_ED25519));
    let (client_id, audience) = ("me".to_owned(), "https://a.test/token".to_owned());
    let expected = Expected { client_id, audience, now: 1000 };
    let header = json!({ "alg": "EdDSA", "typ": "JWT" });
    let claims = json!({ "iss": "me", "sub": "me", "aud": "https://a.test/token", "iat": 1000,
        "exp": 1300, "jti": "0f8fad5b-d9cb-469f-a165-70867728950e" });
    let fault = |pair: &Pair, header: &Value, claims: &Value| {
        let signed = Assertion::read(&pair.sign(header, claims)).expect("a JWS");
        signed.fault(&other, &expected).is_some()
    };
    assert!(!fault(&other, &header, &claims));
    assert!(fault(&pair, &header, &claims), "another's signature");
    for (name, value) in [("alg", "ES256"), ("alg", "none"), ("typ", "at+jwt")] {
        let mut header = header.clone();
        header[name] = value.into();
        assert!(fault(&other, &header, &claims), "{name} {value}");
    }
    for (name, value) in [
        ("iss", json!("you")),
        ("sub", json!("you")),
        ("aud", json!("https://a.test")),
        ("aud", json!(["https://a.test/token"])),
        ("iat", json!("1000")),
        ("iat", json!(1100)),
        ("exp", json!(1000)),
        ("exp", json!(1601)),
        ("nbf", json!(1000)),
        ("jti", json!("1")),
    ] {
        let mut claims = claims.clone();
        claims[name] = value.clone();
        assert!(fault(&other, &header, &claims), "{name} {value}");
    }
}

const ROTATIONS: usize = 100;

/// So many token requests in a row show that none is left that read the file before.
const LATEST: usize = 4 * (AT_ONCE + 1);
