//! The token request: what the authority is sent, by each method and for each kind of authority.

use base64::Engine as _;
use serde_json::json;

use crate::support::authority::{Asked, Authority};
use crate::support::client::get;
use crate::support::upstream::Upstream;
use crate::support::vicar::{TOKEN_ROUTE, Vicar, yaml};

/// Makes one call and gives back the token request that it caused.
async fn token_request(authority: &Authority, yaml: &str) -> Asked {
    let vicar = Vicar::start(yaml);
    let reply = get(&vicar.address(), "/", "").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    authority.asked().pop().expect("a token request")
}

fn route(upstream: &Upstream) -> String {
    format!("- {{ {TOKEN_ROUTE}, upstream: '{}' }}", upstream.url())
}

#[tokio::test]
async fn post_puts_id_and_secret_into_the_form() {
    let (authority, upstream) = (Authority::start().await, Upstream::start().await);
    let yaml = yaml(
        &authority.token_endpoint(),
        "client_secret_post: { danger_inline: 's:+%&=é' }",
        &route(&upstream),
    );
    let asked = token_request(&authority, &yaml).await;
    assert_eq!(asked.path, "/token");
    assert_eq!(asked.field("grant_type"), Some("client_credentials"));
    assert_eq!(asked.field("client_id"), Some("me"));
    assert_eq!(asked.field("client_secret"), Some("s:+%&=é"));
    assert_eq!(asked.field("scope"), Some("s"));
    assert!(!asked.headers.contains_key("authorization"));
    assert_eq!(asked.headers["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(asked.headers["accept"], "application/json");
    assert!(!asked.headers.contains_key("x-client-sku"), "Entra's headers go to Entra only");
    assert_eq!(upstream.last().bearer(), "token-1");
}

#[tokio::test]
async fn basic_encodes_as_a_form_before_base64_and_leaves_the_form_clean() {
    let (authority, upstream) = (Authority::start().await, Upstream::start().await);
    let yaml = yaml(
        &authority.token_endpoint(),
        "client_secret_basic: { danger_inline: 'a:b+c%d' }",
        &route(&upstream),
    );
    let asked = token_request(&authority, &yaml).await;
    let expected = base64::engine::general_purpose::STANDARD.encode("me:a%3Ab%2Bc%25d");
    assert_eq!(asked.headers["authorization"], format!("Basic {expected}"));
    assert_eq!((asked.field("client_id"), asked.field("client_secret")), (None, None));
}

#[tokio::test]
async fn scopes_audience_resources_and_parameters_are_sent() {
    let (authority, upstream) = (Authority::start().await, Upstream::start().await);
    let route = format!(
        "- name: r\n  listener: l\n  token:\n    client_credentials:\n      client: c\n      \
         scopes: [b, a, b]\n      audience: aud\n      resource: ['https://x/', 'https://y/']\n      \
         parameters: {{ tenant: t 1 }}\n  upstream: '{}'",
        upstream.url()
    );
    let credential = "client_secret_post: { danger_inline: s }";
    let yaml = yaml(&authority.token_endpoint(), credential, &route);
    let asked = token_request(&authority, &yaml).await;
    assert_eq!(asked.field("scope"), Some("a b"));
    assert_eq!(asked.field("audience"), Some("aud"));
    assert_eq!(asked.field("tenant"), Some("t 1"));
    let resources = asked.form.iter().filter(|(key, _)| key == "resource");
    let resources: Vec<_> = resources.map(|(_, value)| value.as_str()).collect();
    assert_eq!(resources, ["https://x/", "https://y/"]);
}

#[tokio::test]
async fn entra_gets_its_path_its_headers_and_the_secret_by_post() {
    let (authority, upstream) = (Authority::start().await, Upstream::start().await);
    let kind = format!("entra: {{ tenant: Contoso.example, instance: '{}' }}", authority.url());
    let route = format!(
        "- {{ name: r, listener: l, token: {{ client_credentials: {{ client: c, \
         scopes: ['api://x/.default'] }} }}, upstream: '{}' }}",
        upstream.url()
    );
    let yaml = yaml(&kind, "client_secret: { danger_inline: s }", &route);
    let asked = token_request(&authority, &yaml).await;
    assert_eq!(asked.path, "/contoso.example/oauth2/v2.0/token");
    assert_eq!(asked.field("client_secret"), Some("s"));
    assert_eq!(asked.field("scope"), Some("api://x/.default"));
    assert_eq!(asked.headers["client-request-id"].len(), 36);
    assert_eq!(asked.headers["x-ms-lib-capability"], "retry-after, h429");
}

#[tokio::test]
async fn discovery_finds_the_endpoint_and_the_preferred_method() {
    for (methods, by_post) in [
        (json!(null), false),
        (json!(["client_secret_post"]), true),
        (json!(["client_secret_post", "client_secret_basic"]), false),
        (json!(["private_key_jwt"]), false),
    ] {
        let (authority, upstream) = (Authority::start().await, Upstream::start().await);
        let issuer = format!("{}/realms/main", authority.url());
        let document = json!({
            "issuer": issuer, "token_endpoint": format!("{}/elsewhere", authority.url()),
            "token_endpoint_auth_methods_supported": methods,
        });
        authority.publish("/realms/main/.well-known/openid-configuration", &document);
        let kind = format!("oidc: {{ issuer: '{issuer}' }}");
        let yaml = yaml(&kind, "client_secret: { danger_inline: s }", &route(&upstream));
        let asked = token_request(&authority, &yaml).await;
        assert_eq!(asked.path, "/elsewhere");
        assert_eq!(asked.field("client_secret").is_some(), by_post, "{methods}");
        assert_eq!(asked.headers.contains_key("authorization"), !by_post, "{methods}");
    }
}

#[tokio::test]
async fn discovery_falls_back_to_the_path_of_rfc_8414() {
    let (authority, upstream) = (Authority::start().await, Upstream::start().await);
    let issuer = format!("{}/tenant", authority.url());
    let endpoint = format!("{}/token", authority.url());
    authority.publish(
        "/.well-known/oauth-authorization-server/tenant",
        &json!({ "issuer": issuer, "token_endpoint": endpoint }),
    );
    let kind = format!("oidc: {{ issuer: '{issuer}' }}");
    let yaml = yaml(&kind, "client_secret: { danger_inline: s }", &route(&upstream));
    assert_eq!(token_request(&authority, &yaml).await.path, "/token");
}

#[tokio::test]
async fn metadata_that_is_not_the_issuers_own_is_refused() {
    let (authority, upstream) = (Authority::start().await, Upstream::start().await);
    let issuer = authority.url().to_owned();
    let endpoint = format!("{issuer}/token");
    for document in [
        json!({ "issuer": "https://evil.example", "token_endpoint": endpoint }),
        json!({ "issuer": format!("{issuer}/"), "token_endpoint": endpoint }),
        json!({ "issuer": issuer, "token_endpoint": "http://evil.example/token" }),
        json!({ "issuer": issuer, "token_endpoint": 7 }),
        json!({ "token_endpoint": endpoint }),
        json!([]),
    ] {
        authority.publish("/.well-known/openid-configuration", &document);
        let kind = format!("oidc: {{ issuer: '{issuer}' }}");
        let yaml = yaml(&kind, "client_secret: { danger_inline: s }", &route(&upstream));
        let vicar = Vicar::start(&yaml);
        let reply = get(&vicar.address(), "/", "").await;
        assert_eq!((reply.status, reply.reason().as_str()), (503, "authority_metadata_unusable"));
        assert_eq!(authority.count(), 0, "{document}");
        assert!(upstream.seen().is_empty());
    }
}

#[tokio::test]
async fn a_rotated_secret_file_is_used_by_the_next_fetch() {
    let (authority, upstream) = (Authority::start().await, Upstream::start().await);
    let path = std::env::temp_dir().join(format!("vicar-rotated-{}", std::process::id()));
    std::fs::write(&path, "old\n").expect("writes");
    let credential = format!("client_secret_post: {{ file: '{}' }}", path.display());
    let vicar = Vicar::start(&yaml(&authority.token_endpoint(), &credential, &route(&upstream)));
    get(&vicar.address(), "/", "").await;
    std::fs::write(&path, "new\n").expect("writes");
    vicar.clock.advance(std::time::Duration::from_secs(3600));
    get(&vicar.address(), "/", "").await;
    std::fs::remove_file(&path).expect("removes");
    vicar.clock.advance(std::time::Duration::from_secs(3600));
    assert_eq!(get(&vicar.address(), "/", "").await.status, 200);
    let secrets = authority.asked();
    let secrets: Vec<_> = secrets.iter().map(|asked| asked.field("client_secret")).collect();
    assert_eq!(secrets, [Some("old"), Some("new"), Some("new")]);
}

#[tokio::test]
async fn a_redirect_of_the_token_endpoint_is_never_followed() {
    let (authority, upstream) = (Authority::start().await, Upstream::start().await);
    let elsewhere = Authority::start().await;
    let location = format!("{}/token", elsewhere.url());
    for status in [301, 302, 303, 307, 308] {
        let redirect = crate::support::authority::Answer::json(status, "{}");
        authority.always(Some(redirect.header("location", &location)));
        let vicar = Vicar::simple(&authority.token_endpoint(), upstream.url());
        let reply = get(&vicar.address(), "/", "").await;
        assert_eq!((reply.status, reply.reason().as_str()), (502, "authority_refused_request"));
    }
    assert_eq!(elsewhere.count(), 0);
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn a_loopback_authority_is_never_asked_through_the_environments_proxy() {
    let (authority, upstream) = (Authority::start().await, Upstream::start().await);
    // Nobody listens there: a request that went that way would fail.
    let proxy = |name: &str| name.ends_with("_proxy").then(|| "http://127.0.0.1:9".to_owned());
    let credential = "client_secret_post: { danger_inline: s }";
    let yaml = yaml(&authority.token_endpoint(), credential, &route(&upstream));
    let vicar = Vicar::start_in(&yaml, &proxy);
    assert_eq!(get(&vicar.address(), "/", "").await.status, 200);
    assert_eq!(authority.count(), 1);
}
