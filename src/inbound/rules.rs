//! What a route demands of a caller whose token is good.
//!
//! Part of `inbound`. Scopes are given by people and only count for people; application roles are given
//! to applications and only count for them. A route may have rules for both: each caller is judged by
//! those of its kind, and has no business where there are none for it.

use serde_json::Value;

use super::verified::{CallerKind, Verified};

/// A route's demands. Without any, every caller with a good token may pass.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Who may call at all.
    pub callers: Callers,
    /// For people: each of these scopes.
    pub scopes: Vec<String>,
    /// For people: one of these scopes, if there are any.
    pub any_scope: Vec<String>,
    /// For people: each of these roles.
    pub roles: Vec<String>,
    /// For people: one of these roles, if there are any.
    pub any_role: Vec<String>,
    /// For applications: each of these roles.
    pub app_roles: Vec<String>,
    /// For applications: one of these roles, if there are any.
    pub any_app_role: Vec<String>,
    /// For applications: each of these scopes, which some servers give to applications too.
    pub app_scopes: Vec<String>,
    /// Applications the token may have been issued to; all when empty.
    pub client_ids: Vec<String>,
    /// Claims and the values they may have.
    pub claims: Vec<(String, Vec<String>)>,
}

/// Who may call at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Callers {
    /// People and applications.
    #[default]
    Any,
    /// Applications only.
    Applications,
    /// People only.
    Users,
}

/// Which demand is not met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unmet {
    /// A claim has none of the values.
    #[error("a required claim")]
    Claim,
    /// Another application than those listed.
    #[error("the application is not on the list")]
    ClientId,
    /// The route is not for this kind of caller.
    #[error("the route is not for this kind of caller")]
    Kind,
    /// The subject token names others than us to act for the person (RFC 8693 section 4.4).
    #[error("the token's `may_act` does not name the client")]
    MayAct,
    /// An Entra token that gives neither scope nor role.
    #[error("the token gives no scope and no role")]
    NoRights,
    /// The route acts on behalf of people, and nothing says that this is one.
    #[error("the route acts on behalf of people, and the token is not known to be a person's")]
    NotAPerson,
    /// A role is missing.
    #[error("a required role")]
    Role,
    /// A scope is missing.
    #[error("a required scope")]
    Scope,
    /// A scope that applications need is missing.
    #[error("a required scope of applications")]
    AppScope,
}

impl Rules {
    /// Judges a caller.
    ///
    /// # Errors
    /// The first demand that is not met.
    pub fn judge(&self, caller: &Verified) -> Result<(), Unmet> {
        match (self.callers, caller.kind) {
            (Callers::Any, _)
            | (Callers::Users, CallerKind::User)
            | (Callers::Applications, CallerKind::Application) => {}
            _ => return Err(Unmet::Kind),
        }
        let given =
            |list: &Option<String>| list.as_ref().is_some_and(|id| self.client_ids.contains(id));
        if !self.client_ids.is_empty() && !given(&caller.client_id) {
            return Err(Unmet::ClientId);
        }
        if !self.claims.iter().all(|(path, allowed)| has_value(caller, path, allowed)) {
            return Err(Unmet::Claim);
        }
        match caller.kind {
            CallerKind::User if self.is_for_users() => self.judge_user(caller),
            CallerKind::Application if self.is_for_applications() => self.judge_application(caller),
            // Rules for the other kind of caller only cannot be met; where what they ask for is missing as
            // well, that is said first.
            _ if self.is_for_users() => self.judge_user(caller).and(Err(Unmet::Kind)),
            _ if self.is_for_applications() => self.judge_application(caller).and(Err(Unmet::Kind)),
            _ => self.judge_without_rules(caller),
        }
    }

    /// Scopes that are enough for a person, as a challenge names them.
    #[must_use]
    pub fn scope(&self) -> String {
        let scopes = self.scopes.iter().chain(self.any_scope.first());
        scopes.map(String::as_str).collect::<Vec<_>>().join(" ")
    }

    fn is_for_users(&self) -> bool {
        [&self.scopes, &self.any_scope, &self.roles, &self.any_role].iter().any(|l| !l.is_empty())
    }

    fn is_for_applications(&self) -> bool {
        [&self.app_roles, &self.any_app_role, &self.app_scopes].iter().any(|l| !l.is_empty())
    }

    fn judge_user(&self, caller: &Verified) -> Result<(), Unmet> {
        if !has_all(&caller.scopes, &self.scopes) || !has_any(&caller.scopes, &self.any_scope) {
            return Err(Unmet::Scope);
        }
        if !has_all(&caller.roles, &self.roles) || !has_any(&caller.roles, &self.any_role) {
            return Err(Unmet::Role);
        }
        Ok(())
    }

    fn judge_application(&self, caller: &Verified) -> Result<(), Unmet> {
        if !has_all(&caller.scopes, &self.app_scopes) {
            return Err(Unmet::AppScope);
        }
        if !has_all(&caller.roles, &self.app_roles) || !has_any(&caller.roles, &self.any_app_role) {
            return Err(Unmet::Role);
        }
        Ok(())
    }

    /// Every application of an Entra tenant can get a token for every API of it, so a token with no scope
    /// and no role proves nothing; MSAL's web library refuses it too unless a list of callers is kept.
    fn judge_without_rules(&self, caller: &Verified) -> Result<(), Unmet> {
        let names_callers = |(claim, _): &(String, _)| CALLER_CLAIMS.contains(&claim.as_str());
        let listed = !self.client_ids.is_empty() || self.claims.iter().any(names_callers);
        let empty = caller.scopes.is_empty() && caller.roles.is_empty();
        if caller.is_entra && empty && !listed { Err(Unmet::NoRights) } else { Ok(()) }
    }
}

/// Claims by which callers can be listed.
const CALLER_CLAIMS: [&str; 4] = ["appid", "azp", "oid", "sub"];

fn has_all(has: &[String], needs: &[String]) -> bool {
    needs.iter().all(|need| has.contains(need))
}

fn has_any(has: &[String], needs: &[String]) -> bool {
    needs.is_empty() || needs.iter().any(|need| has.contains(need))
}

/// Whether the claim is one of `allowed`, or a list with one of them in it. Numbers and truth values are
/// compared as JSON writes them.
fn has_value(caller: &Verified, path: &str, allowed: &[String]) -> bool {
    let is_allowed = |value: &Value| match value {
        Value::String(text) => allowed.contains(text),
        Value::Number(number) => allowed.contains(&number.to_string()),
        Value::Bool(truth) => allowed.contains(&truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    };
    match caller.claims.at(path) {
        None => false,
        Some(Value::Array(items)) => items.iter().any(is_allowed),
        Some(value) => is_allowed(value),
    }
}
