//! The token requests of the library, as `msal_forms.py` records them.
//!
//! Part of `msal`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    CLIENT_ID, EVERYTHING, Inputs, Pair, Proof, REFRESH_TOKEN, SCOPES, SECRET, Setup, Step, TENANT,
    combinations, form::Form,
};
use crate::program;

/// What every method asks for in every set-up.
pub(super) fn forms(inputs: &Inputs) -> BTreeMap<(Setup, &'static str), Form> {
    let calls: Vec<String> =
        combinations().map(|(setup, pair)| call(inputs, setup, pair).to_string()).collect();
    let bodies = program::ask(program::python("msal_forms.py", "msal"), &calls);
    assert_eq!(bodies.len(), calls.len(), "one body for each call; see above");
    let form = |body: &String| {
        let body: String = serde_json::from_str(body).expect("a JSON text");
        Form::parse(&body)
    };
    combinations()
        .zip(&bodies)
        .map(|((setup, pair), body)| ((setup, pair.method), form(body)))
        .collect()
}

/// A line of the program's input.
fn call(inputs: &Inputs, setup: Setup, pair: &Pair) -> Value {
    let credential = match setup.proof {
        Proof::Assertion => json!({ "client_assertion": inputs.assertion }),
        Proof::Secret => SECRET.into(),
    };
    let scopes = if pair.step == Step::InItsOwnName { EVERYTHING } else { SCOPES };
    json!({
        "method": pair.method,
        "tenant": TENANT,
        "client_id": CLIENT_ID,
        "credential": credential,
        "capabilities": setup.capabilities,
        "scopes": scopes,
        "assertion": inputs.person,
        "refresh_token": REFRESH_TOKEN,
    })
}
