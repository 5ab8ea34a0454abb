//! Callers' tokens: what passes, what is refused, and what the refusal says. The numbers are those of the
//! resource server's checklist: where a token may stand, how it is signed, what it must say.

use serde_json::{Value, json};

use crate::support::authority::Authority;
use crate::support::client::{Reply, get, send};
use crate::support::issuer::{
    AUDIENCE, ISSUER, Key, bearer, claims, claims_with, encode, now, publish, rsa_key, vicar,
};
use crate::support::upstream::Upstream;
use crate::support::vicar::Vicar;

/// One Vicar between an issuer with these keys and an upstream.
struct Setting {
    authority: Authority,
    upstream: Upstream,
    vicar: Vicar,
}

impl Setting {
    async fn new(keys: &[&Key], issuer: &str, authenticate: &str) -> Self {
        let (authority, upstream) = (Authority::start().await, Upstream::start().await);
        publish(&authority, keys);
        let vicar = vicar(&authority, issuer, authenticate, upstream.url());
        Self { authority, upstream, vicar }
    }

    async fn with(&self, headers: &str) -> Reply {
        get(&self.vicar.address(), "/", headers).await
    }

    async fn show(&self, token: &str) -> Reply {
        self.with(&bearer(token)).await
    }

    /// Whether the token passes; a refusal must be 401 `token_invalid` and reach nobody.
    async fn passes(&self, token: &str) -> bool {
        let before = self.upstream.seen().len();
        let reply = self.show(token).await;
        if reply.status == 200 {
            return true;
        }
        assert_eq!((reply.status, reply.reason().as_str()), (401, "token_invalid"), "{token}");
        let challenge = reply.header("www-authenticate");
        assert_eq!(challenge, Some("Bearer error=\"invalid_token\""), "{token}");
        assert_eq!(self.upstream.seen().len(), before, "a refused request reached the upstream");
        false
    }
}

#[tokio::test]
async fn rs01_the_token_stands_in_one_authorization_field_and_nowhere_else() {
    let key = Key::new("k");
    let setting = Setting::new(&[&key], "", "").await;
    let token = key.token(&claims());
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let reply = setting.with(&format!("authorization: {scheme} {token}\r\n")).await;
        assert_eq!(reply.status, 200, "{scheme}");
    }
    let other = bearer("x");
    for (headers, status, reason) in [
        (format!("{}{other}", bearer(&token)), 400, "credential_repeated"),
        (format!("{}{}", bearer(&token), bearer(&token)), 400, "credential_repeated"),
        (format!("authorization: Bearer {token}, Bearer {token}\r\n"), 400, "credential_repeated"),
        (format!("authorization: Basic {token}\r\n"), 401, "credential_missing"),
        (format!("authorization: {token}\r\n"), 401, "credential_missing"),
        (format!("authorization: Bearer  {token}\r\n"), 401, "token_invalid"),
        (format!("authorization: Bearer {token} x\r\n"), 401, "token_invalid"),
        ("authorization: Bearer\r\n".to_owned(), 401, "token_invalid"),
        (format!("cookie: access_token={token}\r\n"), 401, "credential_missing"),
        (format!("x-authorization: Bearer {token}\r\n"), 401, "credential_missing"),
        (format!("proxy-authorization: Bearer {token}\r\n"), 401, "credential_missing"),
    ] {
        let reply = setting.with(&headers).await;
        assert_eq!((reply.status, reply.reason().as_str()), (status, reason), "{headers}");
    }
    let query = get(&setting.vicar.address(), &format!("/?access_token={token}"), "").await;
    assert_eq!((query.status, query.reason().as_str()), (401, "credential_missing"));
    let body = format!("access_token={token}");
    let form = format!(
        "POST / HTTP/1.1\r\nhost: h\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let form = send(&setting.vicar.address(), &form).await;
    assert_eq!((form.status, form.reason().as_str()), (401, "credential_missing"));
    assert_eq!(setting.upstream.seen().len(), 3);
}

#[tokio::test]
async fn rs02_rs16_the_answer_says_what_to_do_and_nothing_else() {
    let key = Key::new("k");
    let setting = Setting::new(&[&key], "", ", scopes: [Orders.Read, Orders.List]").await;
    let challenge = |reply: &Reply| reply.header("www-authenticate").map(str::to_owned);
    let none = setting.with("").await;
    assert_eq!((none.status, challenge(&none).as_deref()), (401, Some("Bearer")));
    let repeated = setting.with("authorization: Bearer a\r\nauthorization: Bearer b\r\n").await;
    let expected = Some("Bearer error=\"invalid_request\"");
    assert_eq!((repeated.status, challenge(&repeated).as_deref()), (400, expected));
    let expired = setting.show(&key.token(&claims_with(&json!({ "exp": now() - 120 })))).await;
    assert_eq!((expired.status, expired.reason().as_str()), (401, "token_expired"));
    let expected = "Bearer error=\"invalid_token\", error_description=\"the token has expired\"";
    assert_eq!(challenge(&expired).as_deref(), Some(expected));
    let scoped = setting.show(&key.token(&claims_with(&json!({ "scope": "Orders.Read" })))).await;
    assert_eq!((scoped.status, scoped.reason().as_str()), (403, "insufficient_scope"));
    let expected = "Bearer error=\"insufficient_scope\", scope=\"Orders.Read Orders.List\"";
    assert_eq!(challenge(&scoped).as_deref(), Some(expected));
    // `reason()` has checked `Cache-Control: no-store` of each; now what must not be said.
    for reply in [none, repeated, expired, scoped] {
        for secret in [ISSUER, AUDIENCE, "user-1", "signature", "aud"] {
            assert!(!reply.body.contains(secret) && !reply.head.contains(secret), "{reply:?}");
        }
    }
}

#[tokio::test]
async fn rs03_every_supported_algorithm_passes_and_only_where_it_is_allowed() {
    let keys: Vec<Key> = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384"]
        .into_iter()
        .chain(["EdDSA"])
        .map(|alg| Key::of(alg, alg))
        .collect();
    let published: Vec<&Key> = keys.iter().collect();
    let all = Setting::new(&published, "", "").await;
    let some = Setting::new(&published, ", algorithms: [PS256, ES384]", "").await;
    for key in &keys {
        let token = key.token(&claims());
        assert!(all.passes(&token).await, "{}", key.alg);
        assert_eq!(some.passes(&token).await, ["PS256", "ES384"].contains(&key.alg), "{}", key.alg);
    }
}

#[tokio::test]
async fn rs03_the_header_never_chooses_beyond_the_key() {
    let (rsa, ec) = (rsa_key(), Key::of("ES256", "ec"));
    let setting = Setting::new(&[rsa, &ec], "", "").await;
    let claims = claims().to_string();
    for alg in ["none", "None", "NONE", "", "HS256", "HS512", "RS256 ", "rs256", "ES512", "RS1"] {
        let header = json!({ "alg": alg, "kid": "rsa" }).to_string();
        let message = format!("{}.{}", encode(&header), encode(&claims));
        for secret in [rsa.public_der(), Vec::new()] {
            let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &secret);
            let tag = aws_lc_rs::hmac::sign(&key, message.as_bytes());
            assert!(!setting.passes(&format!("{message}.{}", encode(tag))).await, "{alg}");
        }
        assert!(!setting.passes(&format!("{message}.")).await, "{alg}");
        assert!(!setting.passes(&rsa.sign_text(&header, &claims)).await, "{alg}");
    }
    // A key published for RS256 verifies neither PS256 nor another key's name.
    let as_ps = Key::of("PS256", "rsa");
    assert!(!setting.passes(&as_ps.token(&serde_json::from_str(&claims).unwrap())).await);
    let header = json!({ "alg": "ES256", "kid": "rsa" }).to_string();
    assert!(!setting.passes(&ec.sign_text(&header, &claims)).await);
    let header = json!({ "alg": "RS256", "kid": "ec" }).to_string();
    assert!(!setting.passes(&rsa.sign_text(&header, &claims)).await);
    for header in [json!({ "kid": "rsa" }), json!({ "alg": 5 }), json!({ "alg": ["RS256"] })] {
        assert!(!setting.passes(&rsa.sign_text(&header.to_string(), &claims)).await, "{header}");
    }
}

#[tokio::test]
async fn rs03_what_a_key_says_about_itself_binds() {
    let key = rsa_key();
    let authority = Authority::start().await;
    let upstream = Upstream::start().await;
    let token = key.token(&claims());
    for (change, good) in [
        (json!({}), true),
        (json!({ "alg": null }), true),
        (json!({ "use": null, "key_ops": ["verify"] }), true),
        (json!({ "use": "enc" }), false),
        (json!({ "key_ops": ["encrypt"] }), false),
        (json!({ "alg": "PS256" }), false),
        (json!({ "kty": "EC" }), false),
        (json!({ "d": "AQAB" }), false),
        (json!({ "k": "AQAB" }), false),
        (json!({ "e": "AQ" }), false),
        (json!({ "e": "AA" }), false),
        (json!({ "e": "Ag" }), false),
        (json!({ "n": "AQAB" }), false),
        (json!({ "kid": "other" }), false),
    ] {
        let mut jwk = key.jwk();
        for (name, value) in change.as_object().expect("an object") {
            jwk[name] = value.clone();
        }
        let jwk: Value = jwk
            .as_object()
            .expect("an object")
            .clone()
            .into_iter()
            .filter(|(_, v)| !v.is_null())
            .collect();
        // A second key keeps the set usable.
        let keys = json!({ "keys": [jwk, Key::new("spare").jwk()] });
        authority.publish("/jwks", &keys);
        let vicar = vicar(&authority, "", "", upstream.url());
        let reply = get(&vicar.address(), "/", &bearer(&token)).await;
        assert_eq!(reply.status == 200, good, "{change} {reply:?}");
    }
}

#[tokio::test]
async fn rs04_signatures_are_of_exact_size_and_range() {
    let (rsa, ec, ed) = (rsa_key(), Key::of("ES256", "ec"), Key::new("ed"));
    let setting = Setting::new(&[rsa, &ec, &ed], "", "").await;
    for key in [rsa, &ec, &ed] {
        let token = key.token(&claims());
        let (message, signature) = token.rsplit_once('.').expect("three parts");
        let good = key.signature(message.as_bytes());
        assert!(setting.passes(&token).await);
        let mut flipped = good.clone();
        flipped[10] ^= 1;
        let mut bad: Vec<Vec<u8>> = vec![
            Vec::new(),
            good[..good.len() - 1].to_vec(),
            [good.as_slice(), &[0]].concat(),
            [&[0], good.as_slice()].concat(),
            vec![0; good.len()],
            vec![0xff; good.len()],
            flipped,
        ];
        if key.alg == "ES256" {
            // r = 0, s = 0, and DER.
            bad.push([&[0; 32], &good[32..]].concat());
            bad.push([&good[..32], &[0; 32]].concat());
            let der = [&[0x30, 68, 2, 32], &good[..32], &[2, 32], &good[32..]].concat();
            bad.push(der);
        }
        for bad in bad {
            let token = format!("{message}.{}", encode(&bad));
            assert!(!setting.passes(&token).await, "{} {}", key.alg, bad.len());
        }
        // Another spelling of the same signature is another token.
        for spelled in [format!("{signature}="), format!("%{signature}"), format!("+{signature}")] {
            let reply = setting.show(&format!("{message}.{spelled}")).await;
            assert_ne!(reply.status, 200, "{spelled}");
        }
    }
    // The last character of these signatures has bits that carry nothing; they must be zero.
    let token = rsa.token(&claims());
    let (rest, last) = token.split_at(token.len() - 1);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let next = alphabet.find(last).map(|at| &alphabet[at + 1..at + 2]).expect("a next one");
    assert!(!setting.passes(&format!("{rest}{next}")).await);
}

#[tokio::test]
async fn rs05_rs07_keys_and_extensions_in_the_header_are_refused_and_fetch_nothing() {
    let (key, evil) = (Key::new("k"), Key::new("evil"));
    let setting = Setting::new(&[&key], ", keys: { cool_down: 24h }", "").await;
    let stranger = Authority::start().await;
    publish(&stranger, &[&evil]);
    let url = format!("{}/jwks", stranger.url());
    for (name, value) in [
        ("jwk", evil.jwk()),
        ("jku", json!(url)),
        ("x5u", json!(url)),
        ("x5c", json!(["MIIB"])),
        ("crit", json!([])),
        ("crit", json!(["exp"])),
        ("crit", json!("b64")),
        ("b64", json!(false)),
        ("b64", json!(true)),
        ("enc", json!("A256GCM")),
        ("zip", json!("DEF")),
        ("cty", json!("JWT")),
    ] {
        for signer in [&key, &evil] {
            let mut header = signer.header();
            header[name] = value.clone();
            assert!(!setting.passes(&signer.sign(&header, &claims())).await, "{header}");
        }
    }
    assert_eq!(stranger.fetches("/jwks"), 0);
    let unknown = json!({ "alg": "EdDSA", "kid": "k", "x5t": "abc", "x": { "y": 1 } });
    assert!(setting.passes(&key.sign(&unknown, &claims())).await, "what is unknown is ignored");
}

#[tokio::test]
async fn rs06_a_key_name_is_an_opaque_text() {
    let names = ["../../etc/passwd", "a' OR 1=1", "http://127.0.0.1/", "\u{fc}\n\"", ""];
    let keys: Vec<Key> = names.iter().map(|name| Key::new(name)).collect();
    let published: Vec<&Key> = keys.iter().collect();
    let setting = Setting::new(&published, "", "").await;
    for key in &keys {
        assert!(setting.passes(&key.token(&claims())).await, "{}", key.kid);
        for other in [key.kid.to_uppercase() + " ", format!("{}\u{0}", key.kid)] {
            let header = json!({ "alg": "EdDSA", "kid": other });
            assert!(!setting.passes(&key.sign(&header, &claims())).await, "{other}");
        }
    }
    let header = json!({ "alg": "EdDSA", "kid": "k".repeat(600) });
    assert!(!setting.passes(&keys[0].sign(&header, &claims())).await);
    // Without a name the key must be the only one that fits.
    let header = json!({ "alg": "EdDSA" });
    assert!(!setting.passes(&keys[0].sign(&header, &claims())).await);
    let (one, other) = (Key::new("one"), Key::of("ES256", "other"));
    let alone = Setting::new(&[&one, &other], "", "").await;
    assert!(alone.passes(&one.sign(&header, &claims())).await);
}

#[tokio::test]
async fn rs07_rs08_only_a_strict_compact_jws_is_read() {
    let key = Key::new("k");
    let setting = Setting::new(&[&key], "", "").await;
    let token = key.token(&claims());
    let parts: Vec<&str> = token.split('.').collect();
    let nested = format!("{}1{}", r#"{"a":"#.repeat(40), "}".repeat(40));
    let long = claims_with(&json!({ "pad": "x".repeat(20_000) }));
    let header = key.header().to_string();
    for bad in [
        format!("{token}."),
        format!("{token}.x"),
        format!("{token}..."),
        format!(".{token}"),
        parts[..2].join("."),
        "..".to_owned(),
        ".".repeat(10_000),
        format!("{}=.{}.{}", parts[0], parts[1], parts[2]),
        format!("{}.{}==.{}", parts[0], parts[1], parts[2]),
        format!("{}.{}.{}.AAAA.AAAA", parts[0], parts[1], parts[2]),
        key.token(&long),
        key.sign_text(&header, &format!(r#"{{"x":{nested},{}"#, &claims().to_string()[1..])),
        key.sign_text(&header, &format!(r#"{{"sub":"a",{}"#, &claims().to_string()[1..])),
        key.sign_text(&format!(r#"{{"kid":"k",{}"#, &header[1..]), &claims().to_string()),
        key.sign_text(&format!(r#"{{"alg":"none",{}"#, &header[1..]), &claims().to_string()),
        key.sign_text(&format!("{header} x"), &claims().to_string()),
        key.sign_text(&header, &format!("{}x", claims())),
        key.sign_text(&header, &format!("[{}]", claims())),
        key.sign_text(&header, "null"),
        key.sign_text("[]", &claims().to_string()),
    ] {
        assert!(!setting.passes(&bad).await, "{}", &bad[..bad.len().min(80)]);
    }
    let json = json!({ "payload": parts[1], "protected": parts[0], "signature": parts[2] });
    let reply = setting.with(&format!("authorization: Bearer {json}\r\n")).await;
    assert_ne!(reply.status, 200, "the JSON serialisation");
    assert!(setting.passes(&token).await);
}

#[tokio::test]
async fn rs09_registered_claims_have_their_type_and_value() {
    let key = Key::new("k");
    let setting = Setting::new(&[&key], "", "").await;
    let t = now();
    for (change, good) in [
        (json!({}), true),
        (json!({ "iss": null }), false),
        (json!({ "iss": "https://issuer.test" }), false),
        (json!({ "iss": "https://ISSUER.test/" }), false),
        (json!({ "iss": "https://issuer.test//" }), false),
        (json!({ "iss": [ISSUER] }), false),
        (json!({ "aud": null }), false),
        (json!({ "aud": "api://order" }), false),
        (json!({ "aud": "api://orders/" }), false),
        (json!({ "aud": ["api://x", AUDIENCE] }), true),
        (json!({ "aud": [] }), false),
        (json!({ "aud": [AUDIENCE, 5] }), false),
        (json!({ "aud": { "a": AUDIENCE } }), false),
        (json!({ "aud": 5 }), false),
        (json!({ "exp": null }), false),
        (json!({ "exp": t.to_string() }), false),
        (json!({ "exp": (t + 3600).to_string() }), false),
        (json!({ "exp": true }), false),
        (json!({ "exp": [t + 3600] }), false),
        (json!({ "exp": -1 }), false),
        (json!({ "exp": 1e300 }), false),
        (json!({ "exp": f64::from(u32::try_from(t).expect("before 2106")) + 3600.5 }), true),
        (json!({ "exp": t - 30 }), true),
        (json!({ "nbf": t + 30 }), true),
        (json!({ "nbf": t + 120 }), false),
        (json!({ "nbf": (t - 5).to_string() }), false),
        (json!({ "nbf": t + 50, "exp": t + 20 }), false),
        (json!({ "iat": t + 120 }), false),
        (json!({ "iat": t - 10 }), true),
        (json!({ "iat": "now" }), false),
        (json!({ "sub": 5 }), false),
        (json!({ "sub": 5, "idtyp": "user" }), false),
        (json!({ "jti": 5 }), false),
        (json!({ "azp": ["a"] }), false),
        (json!({ "scope": { "a": 1 } }), false),
        (json!({ "roles": "admin" }), true),
        (json!({ "roles": { "a": 1 } }), false),
    ] {
        let reply = setting.show(&key.token(&claims_with(&change))).await;
        assert_eq!(reply.status == 200, good, "{change} {}", reply.body);
        assert!(good || reply.status == 401, "{change}");
    }
    // An explicit null is a wrong type, not absence.
    for name in ["nbf", "iat", "aud", "exp", "iss"] {
        let text = claims_with(&json!({ name: 0 })).to_string();
        let text = text.replace(&format!("\"{name}\":0"), &format!("\"{name}\":null"));
        assert_ne!(
            setting.show(&key.sign_text(&key.header().to_string(), &text)).await.status,
            200
        );
    }
}

#[tokio::test]
async fn rs09_skew_is_configurable_and_counts_at_both_ends() {
    let key = Key::new("k");
    let setting = Setting::new(&[&key], ", clock_skew: 1s", "").await;
    for (change, status) in [
        (json!({ "exp": now() - 5 }), 401),
        (json!({ "nbf": now() + 5 }), 401),
        (json!({ "exp": now() + 5, "nbf": now() - 5 }), 200),
    ] {
        let reply = setting.show(&key.token(&claims_with(&change))).await;
        assert_eq!(reply.status, status, "{change}");
    }
}

#[tokio::test]
async fn rs10_another_kind_of_token_by_the_same_signer_is_refused() {
    let key = Key::new("k");
    let lenient = Setting::new(&[&key], "", "").await;
    let strict = Setting::new(&[&key], ", profile: rfc9068", "").await;
    let full = json!({ "client_id": "app-1", "jti": "1", "iat": now(), "sub": "user-1" });
    for (typ, passes, passes_strictly) in [
        (json!(null), true, false),
        (json!("JWT"), true, false),
        (json!("jwt"), true, false),
        (json!("at+jwt"), true, true),
        (json!("application/at+jwt"), true, true),
        (json!("AT+JWT"), true, true),
        (json!("dpop+jwt"), false, false),
        (json!("secevent+jwt"), false, false),
        (json!("logout+jwt"), false, false),
        (json!("id_token"), false, false),
        (json!(""), false, false),
        (json!(5), false, false),
    ] {
        let mut header = key.header();
        header["typ"] = typ.clone();
        if typ.is_null() {
            header.as_object_mut().expect("an object").remove("typ");
        }
        let token = key.sign(&header, &claims_with(&full));
        assert_eq!(lenient.passes(&token).await, passes, "{typ}");
        assert_eq!(strict.passes(&token).await, passes_strictly, "{typ}");
    }
    let header = json!({ "alg": "EdDSA", "kid": "k", "typ": "at+jwt" });
    for name in ["client_id", "jti", "iat", "sub"] {
        let mut lacking = full.clone();
        lacking[name] = json!(null);
        let token = key.sign(&header, &claims_with(&lacking));
        assert!(!strict.passes(&token).await, "{name}");
    }
    for mark in [
        json!({ "at_hash": "x" }),
        json!({ "c_hash": "x" }),
        json!({ "events": {} }),
        json!({ "typ": "ID" }),
        json!({ "typ": "Refresh" }),
        json!({ "token_use": "id" }),
        json!({ "nonce": "n" }),
    ] {
        assert!(!lenient.passes(&key.token(&claims_with(&mark))).await, "{mark}");
    }
    assert!(lenient.passes(&key.token(&claims_with(&json!({ "typ": "Bearer" })))).await);
}

#[tokio::test]
async fn rs15_the_token_goes_on_only_when_the_route_says_so() {
    let key = Key::new("k");
    let (authority, upstream) = (Authority::start().await, Upstream::start().await);
    publish(&authority, &[&key]);
    let yaml = crate::support::issuer::issuer_yaml(&authority, "");
    let routes: String = ["strip", "passthrough"]
        .iter()
        .map(|token| {
            format!(
                "  - {{ name: {token}, listener: l, match: {{ path: /{token} }}, token: {token}, \
                 authenticate: {{ issuers: [i] }}, upstream: '{}' }}\n",
                upstream.url()
            )
        })
        .collect();
    let vicar = Vicar::start(&format!("{yaml}routes:\n{routes}"));
    let token = key.token(&claims());
    let headers = format!("{}dpop: proof\r\n", bearer(&token));
    assert_eq!(get(&vicar.address(), "/strip", &headers).await.status, 200);
    let seen = upstream.last();
    assert!(seen.values("authorization").is_empty() && seen.values("dpop").is_empty());
    assert_eq!(get(&vicar.address(), "/passthrough", &headers).await.status, 200);
    assert_eq!(upstream.last().bearer(), token);
}

#[tokio::test]
async fn several_issuers_keep_their_keys_and_audiences_to_themselves() {
    let (one, other) = (Key::new("k"), Key::new("k"));
    let (first, second) = (Authority::start().await, Authority::start().await);
    let upstream = Upstream::start().await;
    publish(&first, &[&one]);
    publish(&second, &[&other]);
    let issuer = |authority: &Authority, name: &str| {
        format!(
            "  {name}: {{ jwks: {{ issuer: '{name}', uri: '{}/jwks' }}, audiences: [for-{name}] }}\n",
            authority.url()
        )
    };
    let route = |path: &str, issuers: &str| {
        format!(
            "  - {{ name: {path}, listener: l, match: {{ path: /{path} }}, token: passthrough, \
             authenticate: {{ issuers: [{issuers}] }}, upstream: '{}' }}\n",
            upstream.url()
        )
    };
    let vicar = Vicar::start(&format!(
        "log: {{ access: false }}\nadmin: {{ address: 'off' }}\nlisteners:\n  l: {{ address: \
         '127.0.0.1:0' }}\nissuers:\n{}{}routes:\n{}{}{}",
        issuer(&first, "one"),
        issuer(&second, "two"),
        route("a", "one"),
        route("b", "two"),
        route("both", "one, two"),
    ));
    let token = |key: &Key, iss: &str, aud: &str| {
        key.token(&claims_with(&json!({ "iss": iss, "aud": aud })))
    };
    let cases = [
        (token(&one, "one", "for-one"), [200, 401, 200]),
        (token(&other, "two", "for-two"), [401, 200, 200]),
        (token(&one, "two", "for-two"), [401, 401, 401]),
        (token(&one, "one", "for-two"), [401, 401, 401]),
        (token(&one, "three", "for-one"), [401, 401, 401]),
    ];
    // Twice: what one route remembers is no business of another.
    for _ in 0..2 {
        for (token, expected) in &cases {
            for (path, status) in ["/a", "/b", "/both"].into_iter().zip(expected) {
                let reply = get(&vicar.address(), path, &bearer(token)).await;
                assert_eq!(reply.status, *status, "{path} {}", reply.body);
            }
        }
    }
}

#[tokio::test]
async fn what_a_caller_sends_never_makes_us_call_the_issuer() {
    let key = Key::new("k");
    let setting = Setting::new(&[&key], ", keys: { cool_down: 24h }", "").await;
    assert!(setting.passes(&key.token(&claims())).await);
    let before = setting.authority.fetches("/jwks");
    for number in 0..50 {
        let stranger = Key::new(&format!("unknown-{number}"));
        assert!(!setting.passes(&stranger.token(&claims())).await);
    }
    assert_eq!(setting.authority.fetches("/jwks"), before + 1, "one fetch per cool-down");
}
