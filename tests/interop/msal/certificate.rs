//! For the same certificate Vicar signs what the library signs: the same header fields and claims,
//! with the same values but for what `BY_NATURE` names with its reason.
//!
//! Part of `msal`.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{
    CLIENT_ID, EVERYTHING, REFRESH_TOKEN, TENANT,
    form::{Form, Verdict},
};
use crate::{
    assertions::is_uuid,
    openssl::{Algorithms, Keys, Kind, PASSWORD},
    program,
    proxy::{Place, Proxy, quoted},
    recorder::Recorder,
    upstream::Upstream,
};

/// The same client, set up at both parties.
struct Setup {
    name: &'static str,
    kind: AuthorityKind,
    /// Which files the library is given, and how.
    msal: Credential,
    /// What stands under `private_key_jwt`, as YAML, besides the key and its certificate.
    vicar: &'static str,
    /// The header's names, as both must have them.
    header: &'static [&'static str],
}

/// Whom both parties ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AuthorityKind {
    Adfs,
    Entra,
}

/// How the library is given its certificate (`client_credential` of `ConfidentialClientApplication`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Credential {
    /// A PKCS#12 file.
    Pfx,
    /// The same, its certificate to be shown.
    PfxShown,
    /// A key and its chain, which is shown.
    Pem,
    /// A key and the digest of its certificate.
    Thumbprint,
    /// The same with the chain, which is shown.
    ThumbprintAndChain,
}

/// A member that cannot be the same in two assertions, or is not written the same way.
struct Difference {
    member: &'static str,
    /// Whether the library's and Vicar's mean the same.
    agree: fn(&Value, &Value) -> bool,
    reason: &'static str,
}

#[test]
fn vicar_signs_what_msal_signs() {
    let keys = Keys::new();
    keys.issue("app", Kind::Rsa);
    keys.pkcs12("app", Algorithms::Modern);
    let (msal, vicar) = (of_msal(&keys), of_vicar(&keys));
    let mut needed = BTreeSet::new();
    for ((setup, msal), vicar) in SETUPS.iter().zip(&msal).zip(&vicar) {
        setup.assert_forms(msal, vicar);
        let [msal, vicar] = [msal, vicar].map(|form| parts(form.text("client_assertion")));
        for (msal, vicar) in msal.iter().zip(&vicar) {
            assert_eq!(names(msal), names(vicar), "{}: {msal} {vicar}", setup.name);
            needed.extend(setup.differences(msal, vicar));
        }
        let header: BTreeSet<&str> = setup.header.iter().copied().collect();
        assert_eq!(names(&vicar[0]), header, "{}", setup.name);
    }
    for difference in BY_NATURE {
        // It would hide the next difference.
        assert!(needed.contains(difference.member), "nothing needs {}", difference.member);
    }
}

impl Setup {
    /// Every parameter is the same but for the assertion and what `msal` allows.
    fn assert_forms(&self, msal: &Form, vicar: &Form) {
        let differs = |(_, verdict): &(String, Verdict)| *verdict != Verdict::Equal;
        let found: Vec<_> = Form::compare(msal, vicar).into_iter().filter(differs).collect();
        let assertion = ("client_assertion".to_owned(), Verdict::Different);
        let client_info = ("client_info".to_owned(), Verdict::OnlyMsal);
        assert_eq!(found, [assertion, client_info], "{}", self.name);
    }

    /// The members whose values differ, each for a reason that holds.
    fn differences(&self, msal: &Value, vicar: &Value) -> BTreeSet<&'static str> {
        let mut found = BTreeSet::new();
        for name in names(vicar).into_iter().filter(|name| msal[name] != vicar[name]) {
            let (theirs, ours) = (&msal[name], &vicar[name]);
            let known = BY_NATURE.iter().find(|difference| difference.member == name);
            let known = known.unwrap_or_else(|| panic!("{}: {name} {theirs} {ours}", self.name));
            let agree = (known.agree)(theirs, ours);
            assert!(agree, "{}: {name} {theirs} {ours}, but {}", self.name, known.reason);
            found.insert(known.member);
        }
        found
    }

    /// A line of `msal_forms.py`'s input.
    fn call(&self, keys: &Keys) -> String {
        let (key, chain) = (keys.text("app.key"), keys.text("app.chain"));
        let pfx = json!({ "private_key_pfx_path": keys.path("app.pfx"), "passphrase": PASSWORD });
        let mut credential = match self.msal {
            Credential::Pfx | Credential::PfxShown => pfx,
            _ => json!({ "private_key": key }),
        };
        match self.msal {
            Credential::PfxShown => credential["public_certificate"] = true.into(),
            Credential::Pem | Credential::ThumbprintAndChain => {
                credential["public_certificate"] = chain.into();
            }
            Credential::Pfx | Credential::Thumbprint => {}
        }
        if matches!(self.msal, Credential::Thumbprint | Credential::ThumbprintAndChain) {
            credential["thumbprint"] = keys.sha1("app").into();
        }
        let mut call = json!({
            "method": "acquire_token_for_client",
            "tenant": TENANT,
            "client_id": CLIENT_ID,
            "credential": credential,
            "capabilities": [],
            "scopes": EVERYTHING,
            "refresh_token": REFRESH_TOKEN,
        });
        if self.kind == AuthorityKind::Adfs {
            call["adfs"] = "https://adfs.example/adfs".into();
        }
        call.to_string()
    }

    /// A client of Vicar's and its route.
    fn client(&self, keys: &Keys, recorder: &Recorder) -> String {
        let origin = format!("http://{}", recorder.address);
        let authority = match self.kind {
            AuthorityKind::Adfs => format!("adfs: {{ url: '{origin}/adfs' }}"),
            AuthorityKind::Entra => format!("entra: {{ tenant: {TENANT}, instance: '{origin}' }}"),
        };
        let material = match self.msal {
            Credential::Pfx | Credential::PfxShown => format!(
                "pkcs12: {}, password: {{ danger_inline: {} }}",
                keys.file("app.pfx"),
                quoted(PASSWORD)
            ),
            _ => format!(
                "certificate: {}, private_key: {}",
                keys.file("app.chain"),
                keys.file("app.key")
            ),
        };
        format!(
            "  {}:
    authority: {{ {authority} }}
    client_id: {CLIENT_ID}
    credential: {{ private_key_jwt: {{ {material}{} }} }}
    warm_up: false
",
            self.name, self.vicar
        )
    }
}

/// What the library asks for in each set-up.
fn of_msal(keys: &Keys) -> Vec<Form> {
    let calls: Vec<String> = SETUPS.iter().map(|setup| setup.call(keys)).collect();
    let bodies = program::ask(program::python("msal_forms.py", "msal"), &calls);
    assert_eq!(bodies.len(), calls.len(), "one body for each call; see above");
    let form = |body: &String| Form::parse(&serde_json::from_str::<String>(body).expect("a text"));
    bodies.iter().map(form).collect()
}

/// What Vicar asks for in each set-up.
fn of_vicar(keys: &Keys) -> Vec<Form> {
    let (recorder, upstream) = (Recorder::start(), Upstream::start());
    let proxy = Proxy::configured(|place| configuration(keys, &recorder, &upstream, place));
    let ask = |setup: &Setup| {
        let answer = proxy.get(&format!("/{}", setup.name), "");
        assert_eq!(answer.status, 200, "{}: {answer:?}; vicar:\n{}", setup.name, proxy.log());
        let asked = recorder.take();
        let last = asked.last().expect("a token request");
        let expected = match setup.kind {
            AuthorityKind::Adfs => "/adfs/oauth2/token".to_owned(),
            AuthorityKind::Entra => format!("/{TENANT}/oauth2/v2.0/token"),
        };
        assert_eq!(last.path(), expected);
        Form::parse(&last.body)
    };
    SETUPS.iter().map(ask).collect()
}

fn configuration(
    keys: &Keys,
    recorder: &Recorder,
    upstream: &Upstream,
    place: &Place<'_>,
) -> String {
    let clients: String = SETUPS.iter().map(|setup| setup.client(keys, recorder)).collect();
    let route = |setup: &Setup| {
        format!(
            "  - name: {name}
    listener: outbound
    match: {{ path: /{name} }}
    token: {{ client_credentials: {{ client: {name}, scopes: [{}] }} }}
    upstream: http://{}
",
            EVERYTHING.join(", "),
            upstream.address,
            name = setup.name
        )
    };
    format!(
        "admin: {{ address: {} }}
listeners:
  outbound: {{ address: {} }}
clients:
{clients}routes:
{}",
        place.admin,
        place.listener,
        SETUPS.iter().map(route).collect::<String>()
    )
}

/// Header and claims of a JWT.
fn parts(jwt: &str) -> [Value; 2] {
    let parts: Vec<&str> = jwt.split('.').collect();
    let [header, claims, _] = parts.try_into().expect("three parts");
    [header, claims].map(|part: &str| {
        let text = URL_SAFE_NO_PAD.decode(part).expect("base64url without padding");
        serde_json::from_slice(&text).expect("JSON")
    })
}

/// The names of an object's members.
fn names(object: &Value) -> BTreeSet<&str> {
    object.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// Whether the library's text is Vicar's with padding, which RFC 7515 section 2 leaves out.
fn is_padded(msal: &Value, vicar: &Value) -> bool {
    let [msal, vicar] = [msal, vicar].map(|value| value.as_str().unwrap_or_default());
    !vicar.is_empty() && !vicar.contains('=') && msal.trim_end_matches('=') == vicar
}

/// Whether both begin with the same certificates, Vicar's without line breaks (RFC 7515 section 4.1.6).
fn is_same_chain(msal: &Value, vicar: &Value) -> bool {
    let texts = |value: &Value| -> Vec<String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        value.as_array().into_iter().flatten().map(text).collect()
    };
    let (msal, vicar) = (texts(msal), texts(vicar));
    let msal: Vec<String> = msal.iter().map(|text| text.replace('\n', "")).collect();
    !msal.is_empty() && vicar.starts_with(&msal) && vicar.len() == 2
}

/// Whether both are in seconds since 1970 and about now, Vicar's a whole number.
fn is_about_the_same_time(msal: &Value, vicar: &Value) -> bool {
    let seconds = |value: &Value| value.as_f64().unwrap_or_default();
    vicar.is_u64() && (seconds(msal) - seconds(vicar)).abs() < LIFETIME
}

fn are_two_uuids(msal: &Value, vicar: &Value) -> bool {
    [msal, vicar].into_iter().all(|id| is_uuid(id.as_str().unwrap_or_default()))
}

/// Whether both are addresses with the same path.
fn is_same_endpoint(msal: &Value, vicar: &Value) -> bool {
    let path = |value: &Value| {
        let url = url::Url::parse(value.as_str().unwrap_or_default()).expect("an address");
        url.path().to_owned()
    };
    path(msal) == path(vicar)
}

const BY_NATURE: &[Difference] = &[
    Difference {
        member: "aud",
        agree: is_same_endpoint,
        reason: "Vicar asks an endpoint on loopback",
    },
    Difference {
        member: "exp",
        agree: is_about_the_same_time,
        reason: "the library's lives 600 s and has a fraction, Vicar's 300 s, and they are made apart",
    },
    Difference {
        member: "iat",
        agree: is_about_the_same_time,
        reason: "they are made apart, and the library's has a fraction",
    },
    Difference { member: "jti", agree: are_two_uuids, reason: "no two assertions have the same" },
    Difference {
        member: "x5c",
        agree: is_same_chain,
        reason: "the library keeps the line breaks of PEM, and often leaves out the issuer",
    },
    Difference { member: "x5t", agree: is_padded, reason: "the library keeps base64's padding" },
    Difference {
        member: "x5t#S256",
        agree: is_padded,
        reason: "the library keeps base64's padding",
    },
];

const SETUPS: &[Setup] = &[
    Setup {
        name: "entra",
        kind: AuthorityKind::Entra,
        msal: Credential::Pfx,
        vicar: "",
        header: &["alg", "typ", "x5t#S256"],
    },
    Setup {
        name: "entra-shown",
        kind: AuthorityKind::Entra,
        msal: Credential::Pem,
        vicar: ", x5c: true",
        header: &["alg", "typ", "x5c", "x5t#S256"],
    },
    Setup {
        name: "entra-sha1",
        kind: AuthorityKind::Entra,
        msal: Credential::Thumbprint,
        vicar: ", algorithm: RS256, thumbprint: sha1",
        header: &["alg", "typ", "x5t"],
    },
    Setup {
        name: "entra-sha1-shown",
        kind: AuthorityKind::Entra,
        msal: Credential::ThumbprintAndChain,
        vicar: ", algorithm: RS256, thumbprint: sha1, x5c: true",
        header: &["alg", "typ", "x5c", "x5t"],
    },
    Setup {
        name: "adfs",
        kind: AuthorityKind::Adfs,
        msal: Credential::Pfx,
        vicar: "",
        header: &["alg", "typ", "x5t"],
    },
    Setup {
        name: "adfs-shown",
        kind: AuthorityKind::Adfs,
        msal: Credential::PfxShown,
        vicar: ", x5c: true",
        header: &["alg", "typ", "x5c", "x5t"],
    },
];

/// What an assertion may live, in seconds.
const LIFETIME: f64 = 600.0;
