//! Vicar asks Microsoft Entra ID for what Microsoft's own library asks for, in the same words.
//!
//! For the same inputs the token requests of `msal` for Python, which `msal_forms.py` records without a
//! network, and those of the real binary, which a token endpoint on loopback records, must have
//! equal form parameters. What may differ stands in `ALLOWED` with its reason, and a line there
//! that nothing needs is a failure too. Headers are not compared, as most of the library's are
//! telemetry; but neither party may prove itself in one.
//!
//! `certificate` compares what they sign with the key of the same certificate.

mod certificate;
mod form;
mod library;
mod token_endpoint;
mod vicar;

use self::form::{Form, Verdict};
use crate::authority::Authority;

/// What both parties are given besides the constants below.
struct Inputs {
    /// Who issues the person's token.
    authority: Authority,
    /// A person's token, as a call carries it.
    person: String,
    /// Somebody else's word for who the client is, as workload identity federation has it.
    assertion: String,
}

/// A way in which both parties are set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Setup {
    name: &'static str,
    proof: Proof,
    capabilities: &'static [&'static str],
}

/// How the client proves itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Proof {
    Assertion,
    Secret,
}

/// A token request that Vicar is brought to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    InItsOwnName,
    OnBehalfOf,
    SessionStart,
    SessionRenewal,
}

/// A call of the library, and the step of Vicar's that must ask for the same.
#[derive(Debug, PartialEq, Eq)]
struct Pair {
    title: &'static str,
    method: &'static str,
    step: Step,
}

/// A parameter that only one of the two sends, and why it may.
struct Allowed {
    pairs: &'static [&'static Pair],
    verdict: Verdict,
    parameter: &'static str,
    reason: &'static str,
}

/// The two token requests of a pair.
struct Row {
    setup: Setup,
    pair: &'static Pair,
    msal: Form,
    vicar: Form,
}

#[test]
fn vicar_asks_entra_for_what_msal_asks_for() {
    let inputs = Inputs::new();
    let (msal, vicar) = (library::forms(&inputs), vicar::forms(&inputs));
    let rows: Vec<Row> = combinations()
        .map(|(setup, pair)| Row {
            setup,
            pair,
            msal: msal[&(setup, pair.method)].clone(),
            vicar: vicar[&(setup, pair.step)].clone(),
        })
        .collect();
    print_table(&rows);
    let unexplained: Vec<String> = rows.iter().flat_map(Row::unexplained).collect();
    assert!(unexplained.is_empty(), "unexplained differences:\n{}", unexplained.join("\n"));
    for allowed in ALLOWED {
        for pair in allowed.pairs {
            let needed = rows.iter().any(|row| row.pair == *pair && row.needs(allowed));
            // It would hide the next difference.
            assert!(needed, "nothing needs `{}` for {}", allowed.parameter, pair.title);
        }
    }
}

impl Inputs {
    fn new() -> Self {
        let authority = Authority::start();
        let person = authority.token_of_a_person("/_person");
        let assertion = authority.token(authority.resource("ES256"), authority.about("scope"));
        Self { authority, person, assertion }
    }
}

impl Row {
    /// Every parameter and what is to be said about it.
    fn verdicts(&self) -> Vec<(String, Verdict)> {
        Form::compare(&self.msal, &self.vicar)
    }

    /// The differences that no line of the list allows.
    fn unexplained(&self) -> Vec<String> {
        let differs = |(parameter, verdict): &(String, Verdict)| {
            *verdict != Verdict::Equal && self.reason(parameter, *verdict).is_none()
        };
        let line = |(parameter, verdict): (String, Verdict)| {
            let (title, setup, word) = (self.pair.title, self.setup.name, verdict.word());
            let (msal, vicar) = (self.msal.shown(&parameter), self.vicar.shown(&parameter));
            format!("{title}, {setup}: {word}: {parameter} {msal} {vicar}")
        };
        self.verdicts().into_iter().filter(differs).map(line).collect()
    }

    /// Why a difference is well.
    fn reason(&self, parameter: &str, verdict: Verdict) -> Option<&'static str> {
        let mut allowed = ALLOWED.iter().filter(|allowed| allowed.pairs.contains(&self.pair));
        allowed
            .find(|allowed| allowed.parameter == parameter && allowed.verdict == verdict)
            .map(|allowed| allowed.reason)
    }

    /// Whether a line of the list is about a difference that there is.
    fn needs(&self, allowed: &Allowed) -> bool {
        let line = (allowed.parameter.to_owned(), allowed.verdict);
        self.verdicts().contains(&line)
    }
}

/// Every pair in every set-up.
fn combinations() -> impl Iterator<Item = (Setup, &'static Pair)> {
    PAIRS.iter().flat_map(|pair| SETUPS.iter().map(move |setup| (*setup, *pair)))
}

/// What the library sends, and what became of it in Vicar.
#[allow(clippy::print_stdout, reason = "`just interop` shows it")]
fn print_table(rows: &[Row]) {
    for row in rows {
        println!("{} ({}), {}", row.pair.title, row.pair.method, row.setup.name);
        for (parameter, verdict) in row.verdicts() {
            let form = if verdict == Verdict::OnlyVicar { &row.vicar } else { &row.msal };
            let (value, by) = (form.shown(&parameter), verdict.word());
            let reason = row.reason(&parameter, verdict).unwrap_or_default();
            println!("{by:>12}  {parameter} {value} {reason}");
        }
    }
}

const IN_ITS_OWN_NAME: Pair = Pair {
    title: "client credentials",
    method: "acquire_token_for_client",
    step: Step::InItsOwnName,
};
const ON_BEHALF_OF: Pair =
    Pair { title: "on behalf of", method: "acquire_token_on_behalf_of", step: Step::OnBehalfOf };
const SESSION_START: Pair = Pair {
    title: "on behalf of, at the start of a session",
    method: "acquire_token_on_behalf_of",
    step: Step::SessionStart,
};
/// What the library does by itself when a token that it keeps has expired.
const REFRESH: Pair = Pair {
    title: "refresh of a token that is kept",
    method: "acquire_token_silent",
    step: Step::SessionRenewal,
};
/// What it does once, with a refresh token that another library has kept.
const MIGRATION: Pair = Pair {
    title: "refresh of a token that is handed over",
    method: "acquire_token_by_refresh_token",
    step: Step::SessionRenewal,
};

const PAIRS: &[&Pair] = &[&IN_ITS_OWN_NAME, &ON_BEHALF_OF, &SESSION_START, &REFRESH, &MIGRATION];

/// All that are on behalf of a person.
const FOR_PERSONS: &[&Pair] = &[&ON_BEHALF_OF, &SESSION_START, &REFRESH, &MIGRATION];

const SETUPS: &[Setup] = &[
    Setup { name: "secret", proof: Proof::Secret, capabilities: &[] },
    Setup { name: "secret-cp1", proof: Proof::Secret, capabilities: &["cp1"] },
    Setup { name: "assertion", proof: Proof::Assertion, capabilities: &[] },
    Setup { name: "assertion-cp1", proof: Proof::Assertion, capabilities: &["cp1"] },
];

/// Every difference that there may be. Both parties agree about everything else, the way in which
/// the client proves itself included.
const ALLOWED: &[Allowed] = &[
    Allowed {
        pairs: PAIRS,
        verdict: Verdict::OnlyMsal,
        parameter: "client_info",
        reason: "asks who the person is, to file tokens; Vicar files them by the caller's token",
    },
    Allowed {
        pairs: &[&ON_BEHALF_OF],
        verdict: Verdict::OnlyMsal,
        parameter: "scope offline_access",
        reason: "asks for a refresh token, which Vicar keeps in a session only",
    },
    Allowed {
        pairs: FOR_PERSONS,
        verdict: Verdict::OnlyMsal,
        parameter: "scope openid",
        reason: "asks for an ID token, which Vicar does not read",
    },
    Allowed {
        pairs: FOR_PERSONS,
        verdict: Verdict::OnlyMsal,
        parameter: "scope profile",
        reason: "asks for names in the ID token, which Vicar does not read",
    },
    Allowed {
        pairs: &[&MIGRATION],
        verdict: Verdict::OnlyVicar,
        parameter: "claims",
        reason: "the library leaves its capabilities out of this call and puts them into its own",
    },
];

const TENANT: &str = "8f3b1c52-6d0e-4b7a-9c11-0a2d5e7f4b66";
const CLIENT_ID: &str = "2b9d7a10-53c4-4e8f-8a6b-71f0c3d2e5a9";

/// Arrives wrong unless it was encoded for a form.
const SECRET: &str = "s3cr%t:+ &/=?%2B;\"\\";

/// What an application asks for in its own name: everything that it was given there.
const EVERYTHING: &[&str] = &["https://graph.microsoft.com/.default"];

/// What is asked for on behalf of a person.
const SCOPES: &[&str] =
    &["https://graph.microsoft.com/User.Read", "https://graph.microsoft.com/Mail.Read"];

const REFRESH_TOKEN: &str = "0.a-refresh-token";
