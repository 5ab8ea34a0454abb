//! A list of credentials: which answers lead to the next one, and which do not.

use std::time::Duration;

use serde_json::json;

use crate::support::authority::{Answer, Authority};
use crate::support::client::{Reply, get};
use crate::support::issuer::{Key, now};
use crate::support::registrar::Standing::{Good, NoMore};
use crate::support::rotating::{Generations, Rig};
use crate::support::upstream::Upstream;
use crate::support::vicar::{TOKEN_ROUTE, Vicar, yaml};
use crate::support::{eventually, volume::Volume};

const TWO_SECRETS: &str =
    "[ client_secret_post: { danger_inline: A }, client_secret_post: { danger_inline: B } ]";

/// A Vicar with this credential, a call that needs a token, and which secrets were sent for it.
struct Scene {
    authority: Authority,
    vicar: Vicar,
    _upstream: Upstream,
}

impl Scene {
    async fn with(credential: &str) -> Self {
        let (authority, upstream) = (Authority::start().await, Upstream::start().await);
        let route = format!("- {{ {TOKEN_ROUTE}, upstream: '{}' }}", upstream.url());
        let yaml = yaml(&authority.token_endpoint(), "CREDENTIAL", &route);
        let vicar = Vicar::start(&yaml.replace("{ CREDENTIAL }", credential));
        Self { authority, vicar, _upstream: upstream }
    }

    async fn call(&self) -> Reply {
        get(&self.vicar.address(), "/", "").await
    }

    /// The secrets and assertions that were sent, in order.
    fn sent(&self) -> Vec<String> {
        let asked = self.authority.asked();
        let sent = asked.iter().map(|asked| {
            let text = asked.field("client_secret").or(asked.field("client_assertion"));
            text.expect("a proof").to_owned()
        });
        sent.collect()
    }
}

/// A refusal with this status, code and number.
fn refusal(status: u16, code: &str, number: u32) -> Answer {
    Answer::json(status, &json!({ "error": code, "error_codes": [number] }).to_string())
}

#[tokio::test]
async fn the_next_credential_is_tried_in_the_same_request_when_one_is_refused() {
    for status in [400, 401] {
        let scene = Scene::with(TWO_SECRETS).await;
        scene.authority.then([refusal(status, "invalid_client", 7_000_215)]);
        assert_eq!(scene.call().await.status, 200);
        assert_eq!(scene.sent(), ["A", "B"], "{status}");
    }
}

#[tokio::test]
async fn when_all_are_refused_each_was_tried_once_and_the_call_is_502() {
    let scene = Scene::with(TWO_SECRETS).await;
    scene.authority.always(Some(refusal(401, "invalid_client", 7_000_215)));
    let reply = scene.call().await;
    assert_eq!((reply.status, reply.reason().as_str()), (502, "authority_refused_client"));
    assert_eq!(scene.sent(), ["A", "B"]);
    assert_eq!(scene.call().await.status, 502);
    assert_eq!(scene.sent().len(), 2, "the failure is remembered");
}

#[tokio::test]
async fn what_is_not_the_credentials_fault_leads_to_no_other() {
    for (answer, reason, tries) in [
        (refusal(400, "unauthorized_client", 700_016), "authority_refused_client", 1),
        (refusal(401, "invalid_client", 700_016), "authority_refused_client", 1),
        (refusal(400, "invalid_scope", 70_011), "authority_refused_request", 1),
        (refusal(400, "invalid_grant", 65_001), "authority_refused_request", 1),
        (Answer::json(429, "{}"), "authority_throttled", 1),
        // Once more, as for every failure that may pass, and with the same.
        (Answer::json(500, "{}"), "authority_answer_unusable", 2),
        (Answer::json(503, "{}"), "authority_answer_unusable", 2),
    ] {
        let scene = Scene::with(TWO_SECRETS).await;
        let shown = answer.body.clone();
        scene.authority.always(Some(answer));
        assert_eq!(scene.call().await.reason(), reason, "{shown}");
        assert_eq!(scene.sent(), vec!["A"; tries], "{shown}");
    }
}

#[tokio::test]
async fn after_numbers_about_certificates_the_same_one_is_tried_exactly_once_more() {
    for number in READ_AGAIN {
        let scene = Scene::with("{ client_secret_post: { danger_inline: A } }").await;
        scene.authority.then([refusal(401, "invalid_client", number)]);
        assert_eq!(scene.call().await.status, 200, "{number}");
        assert_eq!(scene.sent(), ["A", "A"], "{number}");

        let scene = Scene::with(TWO_SECRETS).await;
        scene.authority.then([401, 401].map(|status| refusal(status, "invalid_client", number)));
        assert_eq!(scene.call().await.status, 200, "{number}");
        assert_eq!(scene.sent(), ["A", "A", "B"], "{number}");

        let scene = Scene::with("{ client_secret_post: { danger_inline: A } }").await;
        scene.authority.always(Some(refusal(401, "invalid_client", number)));
        assert_eq!(scene.call().await.status, 502, "{number}");
        assert_eq!(scene.sent(), ["A", "A"], "{number}");
    }
}

#[tokio::test]
async fn files_are_read_again_before_the_same_credential_is_tried_once_more() {
    for number in READ_AGAIN {
        let volume = Volume::new(&vec![("secret", b"old".to_vec())]);
        let credential = format!("{{ client_secret_post: {} }}", volume.reference("secret"));
        let scene = Scene::with(&credential).await;
        let answer = refusal(401, "invalid_client", number).after(Duration::from_millis(300));
        scene.authority.then([answer]);
        let rotates = async {
            eventually("the first try", || scene.authority.count() == 1).await;
            volume.swap(&vec![("secret", b"new".to_vec())]);
        };
        let (reply, ()) = tokio::join!(scene.call(), rotates);
        assert_eq!(reply.status, 200, "{number}");
        assert_eq!(scene.sent(), ["old", "new"], "{number}");
    }
}

#[tokio::test]
async fn a_federated_token_that_has_expired_gives_way_to_the_next() {
    let text = Key::new("cluster").token(&json!({ "exp": now() + 300, "jti": "1" }));
    let volume = Volume::new(&vec![("token", text.clone().into_bytes())]);
    let credential = format!(
        "[ client_assertion: {}, client_secret_post: {{ danger_inline: B }} ]",
        volume.reference("token")
    );
    let scene = Scene::with(&credential).await;
    assert_eq!(scene.call().await.status, 200);
    scene.vicar.clock.advance(Duration::from_secs(3601));
    assert_eq!(scene.call().await.status, 200);
    assert_eq!(scene.sent(), [text, "B".to_owned()], "never past its own end");
}

#[tokio::test]
async fn a_first_credential_whose_file_is_not_there_yet_gives_way_to_the_next() {
    let volume = Volume::new(&vec![("other", b"x".to_vec())]);
    let credential = format!(
        "[ client_secret_post: {}, client_secret_post: {{ danger_inline: B }} ]",
        volume.reference("secret")
    );
    let scene = Scene::with(&credential).await;
    assert_eq!(scene.call().await.status, 200);
    volume.replace("secret", "A");
    scene.vicar.clock.advance(Duration::from_secs(3601));
    assert_eq!(scene.call().await.status, 200);
    assert_eq!(scene.sent(), ["B", "A"], "the preferred one, once it is there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_exchanges_at_once_all_find_the_credential_that_works() {
    let generations = Generations::secrets(2);
    let spare = "[ client_secret_post: {secret}, client_secret_post: { danger_inline: secret-1 } ]";
    let rig = Rig::start(Generations { credential: spare, ..generations }).await;
    rig.registrar.rate(1, Good);
    let traffic = rig.traffic();
    rig.registrar.until_more(20).await;
    rig.registrar.rate(0, NoMore);
    rig.registrar.until_more(200).await;
    rig.registrar.rate(0, Good);
    rig.registrar.until_more(20).await;
    let (calls, failed) = traffic.end().await;
    assert!(failed.is_empty(), "{} of {calls} failed: {:?}", failed.len(), failed.first());
}

const READ_AGAIN: [u32; 6] = [700_027, 700_024, 7_000_214, 1_000_502, 7_000_274, 7_000_277];
