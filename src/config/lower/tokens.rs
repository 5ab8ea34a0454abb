//! `routes[].token:` into [`TokenSource`]s, and tokens in Vicar's own name.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Lowering;
use super::routes::{Near, is_scope};
use crate::authority::ClientSpec;
use crate::config::check::suggestion;
use crate::config::schema::{ClientCredentialsYaml, TokenYaml};
use crate::proxy::TokenSource;
use crate::token::TokenSpec;
use crate::token::flow::{Flow, RESERVED, Target};

impl Lowering<'_> {
    /// Where a route's token comes from.
    pub(super) fn token(
        &mut self,
        yaml: TokenYaml,
        near: &Near<'_>,
        path: &str,
    ) -> Option<TokenSource> {
        match yaml {
            TokenYaml::Strip => Some(TokenSource::Strip),
            TokenYaml::Passthrough => Some(TokenSource::Passthrough),
            TokenYaml::ClientCredentials(yaml) => {
                let spec = self.client_credentials(yaml, &format!("{path}.client_credentials"))?;
                Some(TokenSource::Application(spec))
            }
            TokenYaml::OnBehalfOf(yaml) => {
                self.on_behalf_of(*yaml, near, &format!("{path}.on_behalf_of"))
            }
            TokenYaml::TokenExchange(yaml) => {
                self.token_exchange(*yaml, near, &format!("{path}.token_exchange"))
            }
            TokenYaml::JwtBearer(yaml) => {
                self.jwt_bearer(*yaml, near, &format!("{path}.jwt_bearer"))
            }
        }
    }

    /// A token in Vicar's own name.
    pub(super) fn client_credentials(
        &mut self,
        yaml: ClientCredentialsYaml,
        path: &str,
    ) -> Option<Arc<TokenSpec>> {
        let audience = yaml.audience.into_iter().collect();
        let target = self.target(yaml.scopes, audience, yaml.resource, yaml.parameters, path);
        let client = self.known_client(&yaml.client, path)?;
        if client.authority.is_entra() {
            self.entra_scopes(&target.scopes, &format!("{path}.scopes"))?;
        }
        let flow = Flow::ClientCredentials(target);
        Some(Arc::new(TokenSpec { client, flow }))
    }

    /// What is asked for, in the order and form in which it is compared.
    pub(super) fn target(
        &mut self,
        mut scopes: Vec<String>,
        audience: Vec<String>,
        resource: Vec<String>,
        parameters: BTreeMap<String, String>,
        path: &str,
    ) -> Target {
        for key in parameters.keys().filter(|key| RESERVED.contains(&key.as_str())) {
            let what = format!("`{key}` is written by Vicar itself");
            let hint = "client, scopes, audience and resource have keys of their own";
            self.problem(&format!("{path}.parameters.{key}"), what, hint);
        }
        for (index, scope) in scopes.iter().enumerate() {
            if !is_scope(scope) {
                let what = "not a scope: empty, or with a character no scope may have";
                self.problem(&format!("{path}.scopes[{index}]"), what, "one list entry per scope");
            }
        }
        scopes.sort_unstable();
        scopes.dedup();
        Target { scopes, audience, resource, parameters: parameters.into_iter().collect() }
    }

    /// The client that the flow at `path` names.
    pub(super) fn known_client(&mut self, name: &str, path: &str) -> Option<Arc<ClientSpec>> {
        let client = self.clients.get(name).cloned();
        if client.is_none() {
            self.unknown_client(name, &format!("{path}.client"));
        }
        client
    }

    pub(super) fn unknown_client(&mut self, name: &str, path: &str) {
        // A client that is written down but broken has been reported where it stands.
        if self.tree.entry("clients").is_none_or(|clients| clients.node.entry(name).is_none()) {
            let known: Vec<String> = self.clients.keys().cloned().collect();
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let hint = suggestion(name, &known);
            self.problem(path, format!("there is no client `{name}`"), hint);
        }
    }

    /// Entra issues an application's token for one resource, named by its `/.default` scope.
    fn entra_scopes(&mut self, scopes: &[String], path: &str) -> Option<()> {
        let hint = "for example https://graph.microsoft.com/.default";
        match scopes {
            [one] if one.ends_with("/.default") => return Some(()),
            [one] => {
                let what = format!("Entra refuses `{one}` for client_credentials");
                self.problem(path, what, format!("it must end in /.default, {hint}"));
            }
            [] => self.problem(path, "Entra needs a scope", hint),
            _ => {
                let what = "Entra issues a token for one resource at a time";
                self.problem(path, what, "make a route for each, with one /.default scope");
            }
        }
        None
    }
}
