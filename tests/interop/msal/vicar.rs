//! Vicar's token requests: one real binary with a client for each set-up, brought to make each step.
//!
//! Part of `msal`.

use std::{collections::BTreeMap, time::Duration};

use super::{
    CLIENT_ID, EVERYTHING, Inputs, Proof, SCOPES, SECRET, SETUPS, Setup, Step, TENANT, form::Form,
    token_endpoint::TokenEndpoint,
};
use crate::{
    process::poll,
    proxy::{Place, Proxy, quoted},
    upstream::Upstream,
};

/// What Vicar asks for in every step and every set-up.
pub(super) fn forms(inputs: &Inputs) -> BTreeMap<(Setup, Step), Form> {
    let entra = TokenEndpoint::start();
    let upstream = Upstream::start();
    let proxy = Proxy::configured(|place| configuration(inputs, &entra, &upstream, place));
    let run = Run { inputs, entra, proxy };
    SETUPS
        .iter()
        .flat_map(|setup| STEPS.map(|step| ((*setup, step), run.step(*setup, step))))
        .collect()
}

/// Vicar between a caller and an endpoint that records.
struct Run<'a> {
    inputs: &'a Inputs,
    entra: TokenEndpoint,
    proxy: Proxy,
}

impl Run<'_> {
    /// The one form of a step.
    fn step(&self, setup: Setup, step: Step) -> Form {
        let forms = match step {
            Step::InItsOwnName | Step::OnBehalfOf | Step::SessionStart => {
                self.call(setup, step);
                self.entra.take()
            }
            Step::SessionRenewal => poll(RENEWAL_LIMIT, || {
                self.call(setup, step);
                Some(self.entra.take()).filter(|forms| !forms.is_empty())
            })
            .expect("the session's token is renewed"),
        };
        let [form] = forms.try_into().unwrap_or_else(|forms: Vec<Form>| {
            panic!("{step:?}, {}: {} token requests", setup.name, forms.len())
        });
        assert_eq!(form.grant_type(), grant_type(step));
        form
    }

    /// Calls the step's route and wants the upstream's answer.
    fn call(&self, setup: Setup, step: Step) {
        let target = format!("/{}{}", setup.name, path(step));
        let fields = format!(
            "Authorization: Bearer {}\r\nX-Session: the-session-of-{}\r\n",
            self.inputs.person, setup.name
        );
        let answer = self.proxy.get(&target, &fields);
        assert_eq!(answer.status, 200, "{target}: {answer:?}; vicar said:\n{}", self.proxy.log());
    }
}

/// Which route makes Vicar take a step.
fn path(step: Step) -> &'static str {
    match step {
        Step::InItsOwnName => "/own",
        Step::OnBehalfOf => "/person",
        Step::SessionStart | Step::SessionRenewal => "/session",
    }
}

/// The grant of a step, by its registered name.
fn grant_type(step: Step) -> &'static str {
    match step {
        Step::InItsOwnName => "client_credentials",
        Step::OnBehalfOf | Step::SessionStart => "urn:ietf:params:oauth:grant-type:jwt-bearer",
        Step::SessionRenewal => "refresh_token",
    }
}

/// One client for each set-up, and its routes.
fn configuration(
    inputs: &Inputs,
    entra: &TokenEndpoint,
    upstream: &Upstream,
    place: &Place<'_>,
) -> String {
    let secret = place.file("secret", SECRET);
    let assertion = place.file("assertion", &inputs.assertion);
    let client = |setup: &Setup| {
        let credential = match setup.proof {
            Proof::Assertion => format!("client_assertion: {{ file: {assertion} }}"),
            Proof::Secret => format!("client_secret: {{ file: {secret} }}"),
        };
        format!(
            "  {}:
    authority: {{ entra: {{ tenant: {TENANT}, instance: 'http://{}' }} }}
    client_id: {CLIENT_ID}
    credential: {{ {credential} }}
    capabilities: [{}]
    warm_up: false
",
            setup.name,
            entra.address,
            setup.capabilities.join(", "),
        )
    };
    let clients: Vec<String> = SETUPS.iter().map(client).collect();
    let routes: Vec<String> = SETUPS.iter().map(|setup| routes(setup.name, upstream)).collect();
    format!(
        "\
admin: {{ address: {} }}
listeners:
  inbound: {{ address: {} }}
issuers:
  people: {{ oidc: {{ issuer: {} }}, audiences: [{}] }}
clients:
{}routes:
{}",
        place.admin,
        place.listener,
        quoted(inputs.authority.about("issuer")),
        quoted(inputs.authority.about("resource")),
        clients.concat(),
        routes.concat(),
    )
}

/// The routes of a client.
fn routes(client: &str, upstream: &Upstream) -> String {
    let (everything, scopes) = (EVERYTHING.join(", "), SCOPES.join(", "));
    let person = format!("on_behalf_of: {{ client: {client}, scopes: [{scopes}]");
    let tokens = [
        (
            Step::InItsOwnName,
            format!("client_credentials: {{ client: {client}, scopes: [{everything}] }}"),
        ),
        (Step::OnBehalfOf, format!("{person} }}")),
        (Step::SessionStart, format!("{person}, session: {{ header: X-Session }} }}")),
    ];
    let route = |(step, token): &(Step, String)| {
        format!(
            "  - name: {client}-{step:?}
    listener: inbound
    match: {{ path: /{client}{} }}
    authenticate: {{ issuers: [people] }}
    token: {{ {token} }}
    upstream: http://{}
",
            path(*step),
            upstream.address,
        )
    };
    tokens.iter().map(route).collect::<Vec<_>>().concat()
}

/// In the order in which they are taken: a session starts before it is renewed.
const STEPS: [Step; 4] =
    [Step::InItsOwnName, Step::OnBehalfOf, Step::SessionStart, Step::SessionRenewal];

/// Its token lives two seconds; the rest is for a machine under load.
const RENEWAL_LIMIT: Duration = Duration::from_secs(30);
