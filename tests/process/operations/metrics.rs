//! The metrics page: the documented families, the right numbers, and no label from a caller.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::yaml;
use crate::{
    child::poll,
    party::{DeadPort, Party},
    vicar_process::{Setup, Vicar},
    wire::Connection,
};

#[test]
fn every_family_has_the_right_numbers_after_known_traffic() {
    let (authority, upstream, dead) =
        (Party::issuing("token"), Party::answering("hello"), DeadPort::reserve());
    let vicar = Setup::new(yaml(&authority, &upstream, &dead)).start();
    for (target, status) in
        [("/r/1", 200), ("/r/2", 200), ("/dead", 502), ("/none", 404), ("/r/../x", 400)]
    {
        assert_eq!(vicar.get(target).status, status, "{target}");
    }
    let text = settled(&vicar);
    let series = parse(&text);
    for (name, expected) in KNOWN {
        assert_eq!(series.get(name), Some(&expected), "{name} in\n{text}");
    }
    let left = series["vicar_token_seconds_to_expiry{client=\"c\"}"];
    assert!((3590.0..=3600.0).contains(&left), "{left} seconds to expiry of an hour's token");
    assert_eq!(
        families(&text),
        FAMILIES.map(|(name, kind)| (name.to_owned(), kind.to_owned())).into()
    );
}

#[test]
fn a_failing_authority_shows_as_its_outcome_and_no_lifetime() {
    let refusing = Party::start(|_, stream| {
        crate::party::respond(stream, "401 No", "", b"{\"error\":\"invalid_client\"}")
    });
    let (upstream, dead) = (Party::answering("hello"), DeadPort::reserve());
    let vicar = Setup::new(yaml(&refusing, &upstream, &dead)).start();
    assert_eq!(vicar.get("/r").status, 502);
    let text = settled(&vicar);
    let series = parse(&text);
    for (name, expected) in [
        (
            "vicar_token_requests_total{client=\"c\",kind=\"application\",outcome=\"authority_refused_client\"}",
            1.0,
        ),
        ("vicar_refusals_total{reason=\"authority_refused_client\"}", 1.0),
        ("vicar_requests_total{class=\"5xx\",route=\"r\"}", 1.0),
        ("vicar_token_seconds_to_expiry{client=\"c\"}", 0.0),
    ] {
        assert_eq!(series.get(name), Some(&expected), "{name} in\n{text}");
    }
    assert_eq!(upstream.requests(), 0, "a request without its token goes nowhere");
}

#[test]
fn no_label_ever_comes_from_a_caller() {
    let (authority, upstream, dead) =
        (Party::issuing("token"), Party::answering("hello"), DeadPort::reserve());
    let vicar = Setup::new(yaml(&authority, &upstream, &dead)).start();
    let mut connection = Connection::open(vicar.listener).expect("a connection");
    let mut ask = |number: u32| {
        // Every second host has a route.
        let domain = if number.is_multiple_of(2) { "routed.test" } else { "elsewhere.test" };
        let status = if number.is_multiple_of(2) { 200 } else { 404 };
        let request = format!(
            "M{number} /path-{number}?query={number} HTTP/1.1\r\nHost: host-{number}.{domain}\r\n\
             X-Request-Id: id-{number}\r\nUser-Agent: agent-{number}\r\n\r\n"
        );
        connection.send(request.as_bytes()).expect("an open connection");
        assert_eq!(connection.answer().expect("an answer").status, status, "{request}");
    };
    (0..2).for_each(&mut ask);
    let before: BTreeSet<String> = parse(&settled(&vicar)).into_keys().collect();
    (2..202).for_each(&mut ask);
    let after = parse(&settled(&vicar));
    let new: Vec<_> = after.keys().filter(|name| !before.contains(*name)).collect();
    assert!(new.is_empty(), "new series: {new:?}");
    assert_eq!(after.len(), before.len());
    for name in [
        "vicar_requests_total{class=\"2xx\",route=\"hosts\"}",
        "vicar_requests_total{class=\"4xx\",route=\"\"}",
    ] {
        assert_eq!(after.get(name), Some(&101.0), "{name}: every request is counted");
    }
}

#[test]
fn callers_show_as_outcomes_and_never_as_themselves() {
    let upstream = Party::answering("hello");
    let yaml = GUARDED.replace("UPSTREAM", &upstream.address.to_string());
    let keys =
        r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","x":"KEY"}]}"#.replace("KEY", KEY);
    let vicar = Setup::new(yaml).file("jwks.json", &keys).start();
    let show = |number: u32| {
        let header = format!(
            r#"{{"alg":"EdDSA","kid":"k{}"}}"#,
            if number.is_multiple_of(2) { "" } else { "x" }
        );
        let claims = format!(r#"{{"iss":"issuer","sub":"user-{number}","jti":"{number}"}}"#);
        let parts = [header, claims, "s".repeat(64)].map(|part| URL_SAFE_NO_PAD.encode(part));
        let fields = format!("Authorization: Bearer {}\r\n", parts.join("."));
        assert_eq!(vicar.get_with(&format!("/r/{number}"), &fields).status, 401);
    };
    (0..4).for_each(show);
    assert_eq!(vicar.get("/r").status, 401);
    assert_eq!(vicar.get("/r/open").status, 200);
    let text = settled(&vicar);
    let series = parse(&text);
    for (name, expected) in [
        ("vicar_authentications_total{outcome=\"signature\",route=\"r\"}", 2.0),
        ("vicar_authentications_total{outcome=\"key_unknown\",route=\"r\"}", 2.0),
        ("vicar_authentications_total{outcome=\"missing\",route=\"r\"}", 1.0),
        ("vicar_authentications_total{outcome=\"exempt\",route=\"r\"}", 1.0),
        ("vicar_authentications_total{outcome=\"accepted\",route=\"r\"}", 0.0),
        ("vicar_refusals_total{reason=\"token_invalid\"}", 4.0),
        ("vicar_refusals_total{reason=\"credential_missing\"}", 1.0),
        ("vicar_verified_token_lookups_total{result=\"miss\"}", 4.0),
        ("vicar_issuer_keys{issuer=\"i\"}", 1.0),
    ] {
        assert_eq!(series.get(name), Some(&expected), "{name} in\n{text}");
    }
    assert!(series["vicar_key_fetches_total{issuer=\"i\",outcome=\"keys\"}"] >= 1.0, "{text}");
    assert!(series["vicar_issuer_keys_age_seconds{issuer=\"i\"}"] < 60.0, "{text}");
    (4..204).for_each(show);
    let after = parse(&settled(&vicar));
    let new: Vec<_> = after.keys().filter(|name| !series.contains_key(*name)).collect();
    assert!(new.is_empty(), "new series: {new:?}");
}

/// A public key of RFC 8037.
const KEY: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

/// One route that checks its callers.
const GUARDED: &str = "\
admin: { address: 'ADMIN' }
listeners:
  l: { address: 'LISTENER' }
issuers:
  i: { jwks: { issuer: issuer, file: SCRATCH/jwks.json }, audiences: [api] }
routes:
  - name: r
    listener: l
    authenticate: { issuers: [i], bypass: { paths: [/r/open] } }
    token: strip
    upstream: http://UPSTREAM
";

/// The page, once every response that was sent is counted.
fn settled(vicar: &Vicar) -> String {
    let page = || {
        let page = vicar.page("/metrics");
        assert_eq!(page.status, 200, "{page:?}");
        assert!(page.header("content-type").starts_with("text/plain; version=0.0.4"), "{page:?}");
        let text = page.text();
        (parse(&text).get("vicar_requests_in_flight") == Some(&0.0)).then_some(text)
    };
    poll(Duration::from_secs(5), page).expect("responses end")
}

/// Every series with its value.
fn parse(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let series = lines.map(|line| {
        let (name, value) = line.rsplit_once(' ').expect("a name and a value");
        (name.to_owned(), value.parse().expect("a number"))
    });
    series.collect()
}

/// Every family with its type.
fn families(text: &str) -> BTreeMap<String, String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types
        .filter_map(|line| line.split_once(' '))
        .map(|(n, k)| (n.to_owned(), k.to_owned()))
        .collect()
}

/// After two requests with a token and three that Vicar answered itself.
const KNOWN: [(&str, f64); 16] = [
    ("vicar_requests_total{class=\"2xx\",route=\"r\"}", 2.0),
    ("vicar_requests_total{class=\"5xx\",route=\"dead\"}", 1.0),
    ("vicar_requests_total{class=\"4xx\",route=\"\"}", 2.0),
    ("vicar_refusals_total{reason=\"no_route\"}", 1.0),
    ("vicar_refusals_total{reason=\"ambiguous_request\"}", 1.0),
    ("vicar_refusals_total{reason=\"upstream_unreachable\"}", 1.0),
    ("vicar_request_seconds_count{route=\"r\"}", 2.0),
    ("vicar_request_seconds_count{route=\"\"}", 2.0),
    ("vicar_upstream_seconds_count{route=\"r\"}", 2.0),
    ("vicar_upstream_seconds_count{route=\"\"}", 0.0),
    ("vicar_token_lookups_total{client=\"c\",kind=\"application\",result=\"miss\"}", 1.0),
    ("vicar_token_lookups_total{client=\"c\",kind=\"application\",result=\"hit\"}", 1.0),
    ("vicar_token_requests_total{client=\"c\",kind=\"application\",outcome=\"token\"}", 1.0),
    ("vicar_token_request_seconds_count{client=\"c\"}", 1.0),
    ("vicar_token_refreshes_total{client=\"c\",kind=\"application\"}", 0.0),
    ("vicar_requests_in_flight", 0.0),
];

const FAMILIES: [(&str, &str); 15] = [
    ("vicar_sessions", "gauge"),
    ("vicar_user_cache_bytes", "gauge"),
    ("vicar_user_cache_subjects", "gauge"),
    ("vicar_verified_token_lookups_total", "counter"),
    ("vicar_refusals_total", "counter"),
    ("vicar_request_seconds", "histogram"),
    ("vicar_requests_in_flight", "gauge"),
    ("vicar_requests_total", "counter"),
    ("vicar_token_lookups_total", "counter"),
    ("vicar_token_refreshes_total", "counter"),
    ("vicar_token_rejections_total", "counter"),
    ("vicar_token_request_seconds", "histogram"),
    ("vicar_token_requests_total", "counter"),
    ("vicar_token_seconds_to_expiry", "gauge"),
    ("vicar_upstream_seconds", "histogram"),
];
