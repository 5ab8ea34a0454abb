//! Whatever Vicar accepts, others accept: thousands of tokens, judged by three who share no code.
//!
//! Good tokens of four algorithms are edited before and after they are signed. Vicar judges them
//! with its whole inbound stage, over real connections; `jose` (npm) and `joserfc` (Python) judge
//! them with the same keys, issuer, audience, algorithms, tolerance and time. Three things must
//! hold:
//!
//! - every good token is accepted by all, so that nobody passes by refusing everything;
//! - every token that Vicar accepts is accepted by both others;
//! - a token that only Vicar refuses has a mutation that `policy` names, with a reason.

mod byte_edits;
mod cases;
mod claim_edits;
mod harmless;
mod header_edits;
mod judges;
mod keys;
mod policy;
mod token;
mod wire_edits;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{SystemTime, UNIX_EPOCH},
};

use self::{cases::Case, keys::Signer};

/// A token and what was said about it.
struct Judged {
    case: Case,
    vicar: bool,
    jose: String,
    joserfc: String,
}

#[test]
fn whatever_vicar_accepts_others_accept() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs();
    let signers = Signer::all();
    let judged = judge(&signers, cases::all(&signers, now), now);
    print_table(&judged);

    let key_set = judges::key_set(&signers);
    let none = |title: &str, wrong: fn(&Judged) -> bool| {
        let found: Vec<&Judged> = judged.iter().filter(|judged| wrong(judged)).collect();
        let lines: Vec<String> = found.iter().take(SHOWN).map(|judged| judged.line()).collect();
        let (count, lines) = (found.len(), lines.join("\n"));
        assert!(count == 0, "{count} {title}:\n{lines}\nat {now} with the keys {key_set}");
    };
    none("good tokens are refused", |j| j.case.good && !j.all_accept());
    none("tokens are accepted that others refuse", Judged::vicar_alone_accepts);
    none("tokens are refused by Vicar alone without a policy", |j| {
        j.vicar_alone_refuses() && j.policies().is_empty()
    });
    assert_nothing_is_stale(&judged);
    let accepted = judged.iter().filter(|judged| judged.vicar).count();
    let refused = judged.len() - accepted;
    assert!(accepted > MANY_ACCEPTED, "only {accepted} tokens were accepted");
    assert!(refused > MANY_REFUSED, "only {refused} tokens were refused");
}

/// A line of the policy that no token needs would hide the next difference.
fn assert_nothing_is_stale(judged: &[Judged]) {
    let refused = judged.iter().filter(|judged| judged.vicar_alone_refuses());
    let used: BTreeSet<usize> = refused.flat_map(Judged::policies).collect();
    for (line, (mutation, _)) in policy::STRICTER.iter().enumerate() {
        assert!(used.contains(&line), "no token needs the policy about `{mutation}`");
    }
}

impl Judged {
    fn jose_accepts(&self) -> bool {
        self.jose == "accepted"
    }

    fn joserfc_accepts(&self) -> bool {
        self.joserfc == "accepted"
    }

    fn all_accept(&self) -> bool {
        self.vicar && self.jose_accepts() && self.joserfc_accepts()
    }

    fn vicar_alone_refuses(&self) -> bool {
        !self.vicar && self.jose_accepts() && self.joserfc_accepts()
    }

    fn vicar_alone_accepts(&self) -> bool {
        self.vicar && !self.all_accept()
    }

    /// The reasons why Vicar may be stricter about it.
    fn policies(&self) -> Vec<usize> {
        self.case.mutations.iter().filter_map(|mutation| policy::stricter(mutation)).collect()
    }

    fn line(&self) -> String {
        let vicar = if self.vicar { "accepted" } else { "refused" };
        let Self { case, jose, joserfc, .. } = self;
        let (name, token) = (case.name(), &case.token);
        format!("{name}\n  vicar {vicar}, jose {jose}, joserfc {joserfc}\n  {token}")
    }
}

/// Asks all judges; Vicar first, because it looks at the clock on the wall.
fn judge(signers: &[Signer], cases: Vec<Case>, now: u64) -> Vec<Judged> {
    let vicar = judges::vicar(signers, &cases);
    let others =
        judges::jose(signers, &cases, now).into_iter().zip(judges::joserfc(signers, &cases, now));
    let verdicts = vicar.into_iter().zip(others);
    let judged = cases.into_iter().zip(verdicts);
    judged.map(|(case, (vicar, (jose, joserfc)))| Judged { case, vicar, jose, joserfc }).collect()
}

/// Who said what how often, and where Vicar differs from both others.
#[allow(clippy::print_stdout, reason = "`just interop` shows it")]
fn print_table(judged: &[Judged]) {
    let mut verdicts: BTreeMap<[bool; 3], usize> = BTreeMap::new();
    for judged in judged {
        let verdict = [judged.vicar, judged.jose_accepts(), judged.joserfc_accepts()];
        *verdicts.entry(verdict).or_default() += 1;
    }
    let good = judged.iter().filter(|judged| judged.case.good).count();
    println!("{} tokens, {good} of them good", judged.len());
    println!("{:>8} {:>8} {:>8} {:>8}", "vicar", "jose", "joserfc", "tokens");
    let word = |accepted: bool| if accepted { "accepts" } else { "refuses" };
    for ([vicar, jose, joserfc], count) in verdicts.iter().rev() {
        println!("{:>8} {:>8} {:>8} {count:>8}", word(*vicar), word(*jose), word(*joserfc));
    }
    println!("refused by Vicar alone, each for the first reason that it has:");
    let refused = judged.iter().filter(|judged| judged.vicar_alone_refuses());
    let lines: Vec<Option<usize>> = refused.map(|j| j.policies().first().copied()).collect();
    let count = |line: Option<usize>| lines.iter().filter(|found| **found == line).count();
    for (line, (mutation, reason)) in policy::STRICTER.iter().enumerate() {
        println!("{:>6} {mutation} ({reason})", count(Some(line)));
    }
    println!("{:>6} without a reason", count(None));
}

/// At least the good ones.
const MANY_ACCEPTED: usize = 800;

/// Thousands.
const MANY_REFUSED: usize = 4000;

/// So many tokens of a failure are enough to begin with.
const SHOWN: usize = 20;
