//! A real Vicar in this process, stopped when dropped.

use std::sync::Arc;

use vicar::app::App;
use vicar::clock::{Clock, ManualClock};
use vicar::config;
use vicar::listener::BindAddress;

/// A running proxy with one listener `l`, unless the YAML says otherwise.
pub struct Vicar {
    app: Option<App>,
    /// Moves its clock.
    pub clock: Arc<ManualClock>,
}

impl Vicar {
    /// Starts with a whole configuration; listeners should use port 0.
    pub fn start(yaml: &str) -> Self {
        Self::start_in(yaml, &|_| None)
    }

    /// The same in this environment.
    pub fn start_in(yaml: &str, environment: &dyn Fn(&str) -> Option<String>) -> Self {
        let config = match config::parse("test.yaml", yaml, environment) {
            Ok(config) => config,
            Err(problems) => panic!("{problems}\n{yaml}"),
        };
        let (clock, moved) = Clock::manual();
        let app = App::start(config, clock).expect("starts");
        Self { app: Some(app), clock: moved }
    }

    /// Starts with listener `l`, a client `c` at `token_endpoint` and the given routes.
    pub fn with_client(authority: &str, routes: &str) -> Self {
        Self::start(&yaml(authority, "client_secret_post: { danger_inline: s3cret }", routes))
    }

    /// Starts with listener `l`, one route to `upstream` with a token from `authority`.
    pub fn simple(authority: &str, upstream: &str) -> Self {
        Self::with_client(authority, &format!("- {{ {TOKEN_ROUTE}, upstream: '{upstream}' }}"))
    }

    /// Starts with listener `l`, no client, and the given routes.
    pub fn without_client(routes: &str) -> Self {
        Self::start(&format!("{PLAIN}routes:\n{}", indented(routes)))
    }

    /// `host:port` of listener `l`.
    pub fn address(&self) -> String {
        self.listener("l")
    }

    /// `host:port` of a listener.
    pub fn listener(&self, name: &str) -> String {
        self.app().addresses()[name].to_string()
    }

    /// `host:port` of the admin listener.
    pub fn admin(&self) -> String {
        self.app().admin_address().map(BindAddress::to_string).expect("an admin listener")
    }

    /// Stops as SIGTERM does, on a thread of its own; true when nothing was cut off.
    pub fn stop(mut self) -> std::thread::JoinHandle<bool> {
        let app = self.app.take().expect("running");
        std::thread::spawn(move || app.stop())
    }

    fn app(&self) -> &App {
        self.app.as_ref().expect("running")
    }
}

impl Drop for Vicar {
    fn drop(&mut self) {
        if let Some(app) = self.app.take() {
            // Not on this thread: it may carry a runtime, inside which blocking is not allowed.
            let _ = std::thread::spawn(move || app.stop()).join();
        }
    }
}

/// A configuration with listener `l`, client `c` and the given routes.
pub fn yaml(authority: &str, credential: &str, routes: &str) -> String {
    format!(
        "{PLAIN}clients:\n  c:\n    authority: {{ {authority} }}\n    client_id: me\n    \
         credential: {{ {credential} }}\n    warm_up: false\nroutes:\n{}",
        indented(routes)
    )
}

fn indented(routes: &str) -> String {
    routes.lines().map(|line| ["  ", line, "\n"].concat()).collect()
}

/// Everything a route needs but its upstream.
pub const TOKEN_ROUTE: &str =
    "name: r, listener: l, token: { client_credentials: { client: c, scopes: [s] } }";

const PLAIN: &str = "\
runtime: { workers: 2 }
log: { access: false }
shutdown: { grace: 5s }
admin: { address: '127.0.0.1:0' }
listeners:
  l: { address: '127.0.0.1:0' }
";
