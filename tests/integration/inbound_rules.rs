//! Rules: scopes for people, roles for applications, tenants for Entra, and whom each lets pass.

use serde_json::{Value, json};

use crate::support::authority::Authority;
use crate::support::client::get;
use crate::support::issuer::{
    Key, OTHER_TENANT, TENANT, bearer, claims_with, issuer_yaml, now, publish, publish_entra, vicar,
};
use crate::support::upstream::Upstream;
use crate::support::vicar::Vicar;

fn user() -> Value {
    json!({ "idtyp": "user", "scp": "Orders.Read Orders.List", "roles": ["clerk"], "azp": "app-1" })
}

fn application() -> Value {
    json!({ "idtyp": "app", "roles": ["Orders.All"], "azp": "app-1", "scp": null })
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

#[tokio::test]
async fn rs11_scopes_are_for_people_and_application_roles_for_applications() {
    let (authority, upstream, key) =
        (Authority::start().await, Upstream::start().await, Key::new("k"));
    publish(&authority, &[&key]);
    // An application that has what people need, and a person that has what applications need.
    let app_with_scope = with(application(), "scp", json!("Orders.Read Orders.List"));
    let user_with_role = with(user(), "roles", json!(["Orders.All"]));
    let device = with(user(), "idtyp", json!("device"));
    for (rules, callers) in [
        ("", [200, 200, 200, 200, 200]),
        (", scopes: [Orders.Read]", [200, 403, 403, 200, 403]),
        (", scopes: [Orders.Read, Orders.List]", [200, 403, 403, 200, 403]),
        (", scopes: [Orders.Read, Orders.Write]", [403, 403, 403, 403, 403]),
        (", scopes: [orders.read]", [403, 403, 403, 403, 403]),
        (", scopes: [Orders]", [403, 403, 403, 403, 403]),
        (", any_scope: [Orders.Write, Orders.List]", [200, 403, 403, 200, 403]),
        (", app_roles: [Orders.All]", [403, 200, 200, 403, 403]),
        (", any_app_role: [x, Orders.All]", [403, 200, 200, 403, 403]),
        (", app_roles: [x, Orders.All]", [403, 403, 403, 403, 403]),
        (", roles: [Orders.All]", [403, 403, 403, 200, 403]),
        (", any_role: [clerk, boss]", [200, 403, 403, 403, 403]),
        (", scopes: [Orders.Read], app_roles: [Orders.All]", [200, 200, 200, 200, 403]),
        (", app_scopes: [Orders.Read]", [403, 403, 200, 403, 403]),
        (", callers: users", [200, 403, 403, 200, 403]),
        (", callers: applications", [403, 200, 200, 403, 403]),
        (", client_ids: [app-1]", [200, 200, 200, 200, 200]),
        (", client_ids: [app-2]", [403, 403, 403, 403, 403]),
        (", claims: { azp: [x, app-1] }", [200, 200, 200, 200, 200]),
        (", claims: { roles: clerk }", [200, 403, 403, 403, 200]),
    ] {
        let vicar = vicar(&authority, "", rules, upstream.url());
        let tokens =
            [user(), application(), app_with_scope.clone(), user_with_role.clone(), device.clone()];
        let tokens = tokens.map(|claims| key.token(&claims_with(&claims)));
        // Twice: the rules are evaluated again when the token is known.
        for round in 0..2 {
            for (index, (token, status)) in tokens.iter().zip(callers).enumerate() {
                let reply = get(&vicar.address(), "/", &bearer(token)).await;
                assert_eq!(reply.status, status, "{rules} caller {index} round {round}");
            }
        }
    }
}

#[tokio::test]
async fn rs14_a_token_known_from_one_route_is_judged_by_the_rules_of_the_other() {
    let (authority, upstream, key) =
        (Authority::start().await, Upstream::start().await, Key::new("k"));
    publish(&authority, &[&key]);
    let route = |name: &str, rules: &str| {
        format!(
            "  - {{ name: {name}, listener: l, match: {{ path: /{name} }}, token: strip, \
             authenticate: {{ issuers: [i] {rules} }}, upstream: '{}' }}\n",
            upstream.url()
        )
    };
    let routes = [
        route("open", ""),
        route("read", ", scopes: [Orders.Read]"),
        route("write", ", scopes: [Orders.Write]"),
    ]
    .concat();
    for order in [["open", "read", "write"], ["write", "read", "open"]] {
        let vicar = Vicar::start(&format!("{}routes:\n{routes}", issuer_yaml(&authority, "")));
        let token = key.token(&claims_with(&user()));
        for _ in 0..2 {
            for name in order {
                let reply = get(&vicar.address(), &format!("/{name}"), &bearer(&token)).await;
                assert_eq!(reply.status, if name == "write" { 403 } else { 200 }, "{name}");
            }
        }
    }
}

#[tokio::test]
async fn who_is_an_application_is_told_by_the_traces_each_server_leaves() {
    let (authority, upstream, key) =
        (Authority::start().await, Upstream::start().await, Key::new("k"));
    publish(&authority, &[&key]);
    // What the routes for applications and for people answer; then where people are assumed.
    let (application, user) = ([[200, 403]; 2], [[403, 200]; 2]);
    let (neither, unclear) = ([[403, 403], [403, 200]], [[403, 403]; 2]);
    let without = vicar_of(&authority, &upstream, "");
    let assuming = vicar_of(&authority, &upstream, ", assume: users");
    for (claims, expected) in [
        (json!({ "idtyp": "app", "sub": "user-1" }), application),
        (json!({ "idtyp": "user", "sub": "app-1" }), user),
        (json!({ "idtyp": "device" }), unclear),
        // RFC 9068, and Okta's and Auth0's ways.
        (json!({ "azp": "app-1", "sub": "user-1" }), user),
        (json!({ "azp": null, "client_id": "app-1", "sub": "app-1" }), application),
        (json!({ "azp": null, "cid": "app-1", "sub": "app-1" }), application),
        (json!({ "azp": null, "client_id": "app-1", "sub": "app-1@clients" }), application),
        (json!({ "sub": "x", "gty": "client-credentials" }), application),
        // Keycloak: an application has no session; a person may have taken any other name.
        (json!({ "sub": "4f", "clientHost": "10.0.0.1" }), application),
        (
            json!({ "sub": "4f", "client_id": "app-1", "preferred_username": "service-account-app-1" }),
            application,
        ),
        (json!({ "sub": "4f", "preferred_username": "service-account-app-1" }), unclear),
        (
            json!({ "sub": "4f", "client_id": "app-1", "sid": "1", "preferred_username": "service-account-app-1" }),
            unclear,
        ),
        (
            json!({ "sub": "4f", "client_id": "app-1", "preferred_username": "service-account-other" }),
            unclear,
        ),
        // An application of Entra, whatever checks its token.
        (json!({ "sub": "4f", "oid": "4f", "azpacr": "1", "roles": ["Orders.All"] }), application),
        (json!({ "sub": "4f", "oid": "4f", "roles": ["Orders.All"] }), application),
        (json!({ "azp": null, "sub": "4f", "oid": "4f", "roles": ["Orders.All"] }), unclear),
        (json!({ "sub": "4f", "oid": "4f" }), unclear),
        // Scopes are what a person allowed; a server that names no client names it as audience.
        (json!({ "azp": null, "sub": "ann", "scp": "Orders.Read" }), user),
        (json!({ "azp": null, "sub": "4f", "oid": "4f", "scp": "Orders.Read" }), user),
        (json!({ "azp": null, "sub": "api://orders", "scope": ["Orders.Read"] }), application),
        // Nothing that tells.
        (json!({ "azp": null, "sub": "batch" }), neither),
        (json!({ "sub": null, "sid": "1" }), neither),
        (json!({ "sub": null }), neither),
    ] {
        let token = bearer(&key.token(&claims_with(&claims)));
        for (at, path) in ["/applications", "/people"].into_iter().enumerate() {
            for (vicar, expected) in [&without, &assuming].into_iter().zip(expected) {
                let reply = get(&vicar.address(), path, &token).await;
                assert_eq!(reply.status, expected[at], "{claims} {path}");
            }
        }
    }
}

/// A route for applications and one for people.
fn vicar_of(authority: &Authority, upstream: &Upstream, issuer: &str) -> Vicar {
    let route = |name: &str, callers: &str| {
        format!(
            "  - {{ name: {name}, listener: l, match: {{ path: /{name} }}, token: strip, \
             authenticate: {{ issuers: [i], callers: {callers} }}, upstream: '{}' }}\n",
            upstream.url()
        )
    };
    let routes = [route("applications", "applications"), route("people", "users")].concat();
    Vicar::start(&format!("{}routes:\n{routes}", issuer_yaml(authority, issuer)))
}

#[tokio::test]
async fn nested_and_named_claims_hold_roles_and_values() {
    let (authority, upstream, key) =
        (Authority::start().await, Upstream::start().await, Key::new("k"));
    publish(&authority, &[&key]);
    let claims = claims_with(&json!({
        "realm_access": { "roles": ["admin"] }, "https://x.test/roles": ["boss"], "level": 3,
        "verified": true, "scope": "a", "tags": ["x", "y"],
    }));
    let token = key.token(&claims);
    for (issuer, rules, status) in [
        (", roles_claim: realm_access.roles", ", roles: [admin]", 200),
        (", roles_claim: realm_access.roles", ", roles: [boss]", 403),
        (", roles_claim: 'https://x.test/roles'", ", roles: [boss]", 200),
        ("", ", roles: [admin]", 403),
        ("", ", claims: { realm_access.roles: admin, level: '3', verified: 'true' }", 200),
        ("", ", claims: { level: '4' }", 403),
        ("", ", claims: { tags: [z, y] }", 200),
        ("", ", claims: { tags: z }", 403),
        ("", ", claims: { missing: '' }", 403),
        ("", ", claims: { realm_access: admin }", 403),
    ] {
        let vicar = vicar(&authority, issuer, rules, upstream.url());
        let reply = get(&vicar.address(), "/", &bearer(&token)).await;
        assert_eq!(reply.status, status, "{issuer} {rules}");
    }
}

/// A route that accepts these tenants of the look-alike for this audience, under these rules.
fn entra_vicar(
    authority: &Authority,
    upstream: &Upstream,
    tenants: &str,
    audience: &str,
    rules: &str,
) -> Vicar {
    let (url, yaml) = (authority.url(), issuer_yaml(authority, ""));
    let at = yaml.find("jwks: {").expect("the issuer");
    Vicar::start(&format!(
        "{}entra: {{ {tenants}, instance: '{url}' }}, audiences: ['{audience}'] }}\nroutes:\n  - {{ \
         name: r, listener: l, token: strip, authenticate: {{ issuers: [i] {rules} }}, upstream: '{}' \
         }}\n",
        &yaml[..at],
        upstream.url()
    ))
}

#[tokio::test]
async fn rs11_entra_binds_issuer_tenant_and_key() {
    let (authority, upstream) = (Authority::start().await, Upstream::start().await);
    let key = Key::rsa("k");
    publish_entra(&authority, &key);
    let url = authority.url();
    let claims = |iss: &str, tid: &str| {
        json!({
            "iss": iss, "tid": tid, "aud": "api://orders", "exp": now() + 600, "sub": "s",
            "scp": "Orders.Read", "azp": "app-1",
        })
    };
    let v2 = |tenant: &str| format!("{url}/{tenant}/v2.0");
    let v1 = format!("{url}/{TENANT}/");
    let other_id = OTHER_TENANT.to_owned();
    for (tenants, [own, v1_own, other, mixed, template]) in [
        (format!("tenant: {TENANT}"), [200, 200, 401, 401, 401]),
        ("tenant: contoso.test".to_owned(), [200, 200, 401, 401, 401]),
        (format!("tenants: [{TENANT}]"), [200, 200, 401, 401, 401]),
        (format!("tenants: [{TENANT}, {other_id}]"), [200, 200, 200, 401, 401]),
        ("tenants: any".to_owned(), [200, 200, 200, 401, 401]),
    ] {
        let rules = ", scopes: [Orders.Read]";
        let vicar = entra_vicar(&authority, &upstream, &tenants, "api://orders", rules);
        for (claims, status) in [
            (claims(&v2(TENANT), TENANT), own),
            (claims(&v1, TENANT), v1_own),
            (claims(&v2(OTHER_TENANT), OTHER_TENANT), other),
            (claims(&v2(TENANT), OTHER_TENANT), mixed),
            (claims(&v2("{tenantid}"), "{tenantid}"), template),
            (claims(&v2("contoso.test"), "contoso.test"), 401),
            (with(claims(&v2(TENANT), TENANT), "tid", json!(null)), 401),
            (with(claims(&v2(TENANT), TENANT), "tid", json!([TENANT])), 401),
        ] {
            let reply = get(&vicar.address(), "/", &bearer(&key.token(&claims))).await;
            assert_eq!(reply.status, status, "{tenants} {claims} {}", reply.body);
        }
    }
}

#[tokio::test]
async fn rs11_an_entra_token_without_scope_and_role_gives_no_right() {
    let (authority, upstream) = (Authority::start().await, Upstream::start().await);
    let key = Key::rsa("k");
    publish_entra(&authority, &key);
    let url = authority.url();
    let bare = json!({
        "iss": format!("{url}/{TENANT}/v2.0"), "tid": TENANT, "aud": "api://orders",
        "exp": now() + 600, "sub": "s", "oid": "s", "azp": "app-1",
    });
    let with_role = with(bare.clone(), "roles", json!(["Orders.All"]));
    for (rules, bare_status, role_status) in [
        ("", 403, 200),
        (", client_ids: [app-1]", 200, 200),
        (", claims: { azp: app-1 }", 200, 200),
        (&format!(", claims: {{ tid: {TENANT} }}"), 403, 200),
        (", callers: users", 403, 403),
        (", app_roles: [Orders.All]", 403, 200),
        (", scopes: [Orders.All]", 403, 403),
    ] {
        let tenant = format!("tenant: {TENANT}");
        let vicar = entra_vicar(&authority, &upstream, &tenant, "api://orders", rules);
        for (claims, status) in [(&bare, bare_status), (&with_role, role_status)] {
            let reply = get(&vicar.address(), "/", &bearer(&key.token(claims))).await;
            assert_eq!(reply.status, status, "{rules} {claims}");
        }
    }
}

#[tokio::test]
async fn rs10_an_entra_id_token_is_no_access_token() {
    let (authority, upstream) = (Authority::start().await, Upstream::start().await);
    let key = Key::rsa("k");
    publish_entra(&authority, &key);
    let url = authority.url();
    // The application's own id is the audience of both when it calls its own API.
    let id_token = json!({
        "iss": format!("{url}/{TENANT}/v2.0"), "tid": TENANT, "aud": "app-1", "exp": now() + 600,
        "sub": "s", "oid": "o", "preferred_username": "ann", "roles": ["Orders.All"],
    });
    let of_user = with(id_token.clone(), "azp", json!("app-1"));
    let of_application = with(of_user.clone(), "oid", json!("s"));
    for (rules, statuses) in [
        ("", [401, 401, 200, 200]),
        (", app_roles: [Orders.All]", [401, 401, 403, 200]),
        (", callers: applications", [401, 401, 403, 200]),
        (", roles: [Orders.All]", [401, 401, 403, 403]),
    ] {
        let tenant = format!("tenant: {TENANT}");
        let vicar = entra_vicar(&authority, &upstream, &tenant, "app-1", rules);
        let signed_in = with(of_user.clone(), "nonce", json!("n"));
        let scoped = with(id_token.clone(), "scp", json!("Orders.Read"));
        let reply = get(&vicar.address(), "/", &bearer(&key.token(&scoped))).await;
        assert_eq!(reply.status, if rules.contains("app") { 403 } else { 200 }, "{rules}");
        let tokens = [&id_token, &signed_in, &of_user, &of_application];
        for (claims, status) in tokens.into_iter().zip(statuses) {
            let reply = get(&vicar.address(), "/", &bearer(&key.token(claims))).await;
            assert_eq!(reply.status, status, "{rules} {claims}");
        }
    }
}

#[tokio::test]
async fn presets_know_where_each_server_keeps_what_is_needed() {
    let (authority, upstream, key) =
        (Authority::start().await, Upstream::start().await, Key::new("k"));
    let url = authority.url();
    publish(&authority, &[&key]);
    let realm = format!("{url}/auth/realms/main");
    let document = json!({ "issuer": realm, "jwks_uri": format!("{url}/jwks") });
    authority.publish("/auth/realms/main/.well-known/openid-configuration", &document);
    let yaml = issuer_yaml(&authority, "").replace(
        "'127.0.0.1:0' }\nissuers",
        "'127.0.0.1:0', resource: 'https://api.test' }\nissuers",
    );
    let at = yaml.find("  i: {").expect("the issuer");
    // Nobody here is to ask the real ones: their proxy is a port where nobody listens.
    let nowhere = "audiences: [api], proxy: 'http://127.0.0.1:9'";
    let vicar = Vicar::start(&format!(
        "{}  k: {{ keycloak: {{ url: '{url}/auth/', realm: main }}, audiences: [api] }}\n  \
         o: {{ okta: {{ domain: acme.okta.test }}, {nowhere} }}\n  \
         s: {{ okta: {{ domain: acme.okta.test, server: aus1 }}, {nowhere} }}\n  \
         a: {{ auth0: {{ domain: acme.auth0.test }}, {nowhere} }}\nroutes:\n  - {{ name: r, \
         listener: l, token: strip, upstream: '{}', authenticate: {{ issuers: [k, o, s, a], roles: \
         [admin] }} }}\n",
        &yaml[..at],
        upstream.url()
    ));
    let metadata = get(&vicar.address(), "/.well-known/oauth-protected-resource", "").await;
    let expected = json!([
        realm,
        "https://acme.auth0.test/",
        "https://acme.okta.test/oauth2/aus1",
        "https://acme.okta.test/oauth2/default"
    ]);
    assert_eq!(metadata.json()["authorization_servers"], expected);
    for (roles, status) in [(json!(["admin"]), 200), (json!(["clerk"]), 403), (json!("admin"), 200)]
    {
        let claims = claims_with(&json!({
            "iss": realm, "aud": ["account", "api"], "realm_access": { "roles": roles },
            "preferred_username": "ann", "typ": "Bearer",
        }));
        let reply = get(&vicar.address(), "/", &bearer(&key.token(&claims))).await;
        assert_eq!(reply.status, status, "{roles} {}", reply.body);
    }
}
