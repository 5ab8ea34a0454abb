//! Where each form of authority leads: to which host, to which path, and with which headers.
//!
//! The hosts are the real ones; a forward proxy on loopback stands for all of them.

use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::Response;
use serde_json::json;

use crate::support::authority::Authority;
use crate::support::client::{Reply, get};
use crate::support::full_port::FullPort;
use crate::support::tunnel::{Asked, Tunnel};
use crate::support::upstream::Upstream;
use crate::support::vicar::{Vicar, yaml};

const TENANT: &str = "8f3b1c52-6d0e-4b7a-9c11-0a2d5e7f4b66";

/// Calls once with a client whose authority is written so, in this environment; gives back the answer,
/// with what went through the tunnel.
async fn call(tunnel: &Tunnel, authority: &str, environment: &[(&str, &str)]) -> Reply {
    let upstream = Upstream::start().await;
    let vicar = Vicar::start_in(&through(tunnel, authority, upstream.url()), &|name| {
        environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    });
    get(&vicar.address(), "/", "").await
}

/// The one token request that such a client makes.
async fn asked(authority: &str, environment: &[(&str, &str)]) -> Asked {
    let tunnel = Tunnel::start().await;
    let reply = call(&tunnel, authority, environment).await;
    assert_eq!(reply.status, 200, "{authority}: {reply:?}, {:?}", tunnel.hosts());
    let asked = tunnel.asked();
    assert_eq!(asked.len(), 1, "{authority}: {asked:?}");
    asked[0].clone()
}

fn through(tunnel: &Tunnel, authority: &str, upstream: &str) -> String {
    let route = format!(
        "- {{ name: r, listener: l, token: {{ client_credentials: {{ client: c, \
         scopes: ['api://x/.default'] }} }}, upstream: '{upstream}' }}"
    );
    let authority = format!("{authority}, {}", tunnel.trusted());
    yaml(&authority, "client_secret: { danger_inline: s }", &route)
}

/// Entra with these keys besides the tenant.
fn entra(keys: &str) -> String {
    format!("entra: {{ tenant: {TENANT}{keys} }}")
}

fn entra_endpoint(host: &str) -> String {
    format!("https://{host}/{TENANT}/oauth2/v2.0/token")
}

#[tokio::test]
async fn each_cloud_is_asked_at_its_own_host() {
    for (keys, host) in [
        ("", "login.microsoftonline.com"),
        (", cloud: public", "login.microsoftonline.com"),
        (", cloud: china", "login.partner.microsoftonline.cn"),
        (", cloud: us_government", "login.microsoftonline.us"),
        (", cloud: germany", "login.microsoftonline.de"),
        (", cloud: bleu", "login.sovcloud-identity.fr"),
        (", cloud: delos", "login.sovcloud-identity.de"),
        (", cloud: gov_sg", "login.sovcloud-identity.sg"),
    ] {
        assert_eq!(asked(&entra(keys), &[]).await.url, entra_endpoint(host), "{keys}");
    }
}

#[tokio::test]
async fn other_names_of_a_cloud_become_the_one_it_prefers() {
    for (alias, host) in [
        ("login.microsoftonline.com", "login.microsoftonline.com"),
        ("login.windows.net", "login.microsoftonline.com"),
        ("login.microsoft.com", "login.microsoftonline.com"),
        ("sts.windows.net", "login.microsoftonline.com"),
        ("LOGIN.Windows.net", "login.microsoftonline.com"),
        ("login.chinacloudapi.cn", "login.partner.microsoftonline.cn"),
        ("login.usgovcloudapi.net", "login.microsoftonline.us"),
        ("login-us.microsoftonline.com", "login-us.microsoftonline.com"),
        ("sts.windows-ppe.net", "login.windows-ppe.net"),
        ("login.microsoft-ppe.com", "login.windows-ppe.net"),
        // Nobody's other name.
        ("login.windows.net.example", "login.windows.net.example"),
        ("entra.example", "entra.example"),
    ] {
        let url = asked(&entra(&format!(", instance: 'https://{alias}'")), &[]).await.url;
        assert_eq!(url, entra_endpoint(host), "{alias}");
    }
}

#[tokio::test]
async fn a_named_region_is_asked_at_its_own_host_without_looking_around() {
    let metadata = metadata(|| Response::new(Full::from(r#"{"location":"elsewhere"}"#))).await;
    let environment = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", metadata.url())];
    for (keys, host) in [
        (", region: westeurope", "westeurope.login.microsoft.com"),
        (
            ", instance: 'https://login.windows.net', region: centralus",
            "centralus.login.microsoft.com",
        ),
        (", cloud: china, region: chinaeast2", "chinaeast2.login.partner.microsoftonline.cn"),
        (", cloud: us_government, region: usgovvirginia", "usgovvirginia.login.microsoftonline.us"),
    ] {
        assert_eq!(asked(&entra(keys), &environment).await.url, entra_endpoint(host), "{keys}");
    }
    assert!(metadata.seen().is_empty(), "nobody has to be asked: {:?}", metadata.seen());
}

#[tokio::test]
async fn a_region_that_would_lead_elsewhere_is_refused() {
    let tunnel = Tunnel::start().await;
    for region in ["evil.example/", "a.b", "evil.example#", "west europe", "-", "a@b", "''"] {
        let authority = entra(&format!(", region: '{}'", region.replace('\'', "''")));
        let yaml = through(&tunnel, &authority, "http://127.0.0.1:9");
        let problems = vicar::config::parse("test.yaml", &yaml, &|_| None).err();
        let problems = problems.unwrap_or_else(|| panic!("{region} is taken")).to_string();
        assert!(problems.contains("clients.c.authority.entra.region"), "{problems}");
    }
}

/// The instance metadata service, which says this to every question for the machine's own place.
async fn metadata(
    says: impl Fn() -> Response<Full<hyper::body::Bytes>> + Send + Sync + 'static,
) -> Upstream {
    Upstream::answering(move |_| says()).await
}

#[tokio::test]
async fn a_region_is_found_by_asking_the_machine_once() {
    let metadata =
        metadata(|| Response::new(Full::from(r#"{"location":"northeurope","name":"vm"}"#))).await;
    let environment = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", metadata.url())];
    let (tunnel, upstream) = (Tunnel::start().await, Upstream::start().await);
    let yaml = through(&tunnel, &entra(", region: auto"), upstream.url());
    let vicar = Vicar::start_in(&yaml, &|name| {
        environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    });
    for _ in 0..2 {
        assert_eq!(get(&vicar.address(), "/", "").await.status, 200);
        vicar.clock.advance(Duration::from_secs(3600));
    }
    let urls: Vec<_> = tunnel.asked().into_iter().map(|asked| asked.url).collect();
    assert_eq!(urls, [(); 2].map(|()| entra_endpoint("northeurope.login.microsoft.com")));
    let seen = metadata.seen();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(seen[0].target, "/metadata/instance/compute?api-version=2021-02-01");
    assert_eq!((seen[0].method.as_str(), seen[0].values("metadata")), ("GET", vec!["true".into()]));
}

#[tokio::test]
async fn where_no_region_is_found_the_whole_cloud_is_asked() {
    for (status, body) in [
        (200, r#"{"location":""}"#),
        (200, r#"{"location":"evil.example/"}"#),
        (200, r#"{"location":"a.b"}"#),
        (200, r#"{"location":7}"#),
        (200, "{}"),
        (200, "<!doctype html><title>Sign in</title>"),
        (400, "{}"),
        (404, ""),
    ] {
        let answer =
            move || Response::builder().status(status).body(Full::from(body)).expect("a response");
        let metadata = metadata(answer).await;
        let environment = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", metadata.url())];
        let url = asked(&entra(", region: auto"), &environment).await.url;
        assert_eq!(url, entra_endpoint("login.microsoftonline.com"), "{status} {body}");
        assert!(!metadata.seen().is_empty());
    }
}

#[tokio::test]
async fn a_search_for_the_region_ends_in_time_and_nobody_need_be_there() {
    let port = || std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    // One that takes connections and says nothing, one that takes none, one that nobody has.
    let (silent, full) = (port(), FullPort::reserve());
    let closed = port().local_addr().expect("bound");
    for address in [silent.local_addr().expect("bound"), full.address, closed] {
        let host = format!("http://{address}");
        let started = Instant::now();
        let environment = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", host.as_str())];
        let url = asked(&entra(", region: auto"), &environment).await.url;
        assert_eq!(url, entra_endpoint("login.microsoftonline.com"));
        assert!(started.elapsed() < Duration::from_secs(9), "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn the_other_forms_of_microsoft_have_paths_of_their_own() {
    for (authority, url) in [
        (
            "adfs: { url: 'https://adfs.contoso.example/adfs' }",
            "https://adfs.contoso.example/adfs/oauth2/token",
        ),
        (
            "adfs: { url: 'https://adfs.contoso.example/adfs/' }",
            "https://adfs.contoso.example/adfs/oauth2/token",
        ),
        (
            "b2c: { tenant: contoso.onmicrosoft.com, policy: B2C_1_x, host: contoso.b2clogin.com }",
            "https://contoso.b2clogin.com/tfp/contoso.onmicrosoft.com/B2C_1_x/oauth2/v2.0/token",
        ),
        (
            "external_id: { tenant: contoso }",
            "https://contoso.ciamlogin.com/contoso.onmicrosoft.com/oauth2/v2.0/token",
        ),
    ] {
        let asked = asked(authority, &[]).await;
        // Policies are named without regard to case.
        assert_eq!(asked.url.to_lowercase(), url.to_lowercase(), "{authority}");
        assert_eq!(asked.field("grant_type"), Some("client_credentials"));
        assert_eq!(asked.field("scope"), Some("api://x/.default"));
    }
}

#[tokio::test]
async fn an_issuer_is_asked_where_its_own_metadata_says() {
    let tunnel = Tunnel::start().await;
    let issuer = "https://issuer.example/realms/main";
    let document =
        json!({ "issuer": issuer, "token_endpoint": "https://tokens.example/realms/main/token" });
    tunnel.publish(&format!("{issuer}/.well-known/openid-configuration"), &document);
    let reply = call(&tunnel, &format!("oidc: {{ issuer: '{issuer}' }}"), &[]).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(tunnel.asked()[0].url, "https://tokens.example/realms/main/token");
}

/// RFC 8414 section 3.3: not even a slash may differ.
#[tokio::test]
async fn metadata_of_another_issuer_leads_nowhere() {
    let issuer = "https://issuer.example";
    for stated in [
        "https://issuer.example/",
        "https://ISSUER.example",
        "http://issuer.example",
        "https://issuer.example:443",
        "https://evil.example",
        "",
    ] {
        let tunnel = Tunnel::start().await;
        let document = json!({ "issuer": stated, "token_endpoint": "https://issuer.example/t" });
        for known in ["openid-configuration", "oauth-authorization-server"] {
            tunnel.publish(&format!("{issuer}/.well-known/{known}"), &document);
        }
        let reply = call(&tunnel, &format!("oidc: {{ issuer: '{issuer}' }}"), &[]).await;
        let problem = (reply.status, reply.reason());
        assert_eq!(problem, (503, "authority_metadata_unusable".to_owned()), "{stated}");
        assert!(tunnel.asked().is_empty(), "{stated}: {:?}", tunnel.asked());
    }
}

#[tokio::test]
async fn headers_that_only_entra_knows_go_to_entra_only() {
    for authority in [
        entra(""),
        entra(", cloud: china"),
        entra(", instance: 'https://entra.example'"),
        entra(", region: westeurope"),
    ] {
        let asked = asked(&authority, &[]).await;
        for name in ENTRAS {
            assert!(asked.headers.contains_key(*name), "{authority}: {name}: {asked:?}");
        }
    }
    for authority in [
        "adfs: { url: 'https://adfs.contoso.example/adfs' }",
        "token_endpoint: 'https://login.microsoftonline.com/common/oauth2/v2.0/token'",
    ] {
        let asked = asked(authority, &[]).await;
        for name in ENTRAS {
            assert!(!asked.headers.contains_key(*name), "{authority}: {name}: {asked:?}");
        }
    }
}

#[tokio::test]
async fn headers_that_only_entra_knows_do_not_go_to_an_issuer_that_is_discovered() {
    let (authority, tunnel) = (Authority::start().await, Tunnel::start().await);
    let endpoint = format!("{}/token", authority.url());
    let document = json!({ "issuer": authority.url(), "token_endpoint": endpoint });
    authority.publish("/.well-known/openid-configuration", &document);
    let reply = call(&tunnel, &format!("oidc: {{ issuer: '{}' }}", authority.url()), &[]).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let asked = authority.asked().pop().expect("a token request");
    for name in ENTRAS {
        assert!(!asked.headers.contains_key(*name), "{name}");
    }
    assert!(tunnel.hosts().is_empty(), "loopback is never asked through a proxy");
}

const ENTRAS: &[&str] = &[
    "client-request-id",
    "return-client-request-id",
    "x-client-sku",
    "x-client-ver",
    "x-ms-lib-capability",
];
