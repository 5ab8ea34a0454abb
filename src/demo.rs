//! `vicar demo`: the whole thing at work on loopback, told step by step.
//!
//! A feature of its own, on by default. Starts a development authority, a sample API and a real Vicar
//! between them (through the same configuration text and the same [`App`] as `vicar run`), makes a few
//! calls and checks what it says about them. Time is moved by hand, so that an hour passes in a moment.

mod api;
mod authority;
mod serve;
mod story;

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, anyhow};

use crate::app::App;
use crate::clock::{Clock, ManualClock};
use crate::config;
use crate::listener::BindAddress;

use api::SampleApi;
use authority::DevelopmentAuthority;
use story::Story;

/// Everything the demo runs.
struct Stage {
    authority: Arc<DevelopmentAuthority>,
    api: Arc<SampleApi>,
    clock: Arc<ManualClock>,
    vicar: String,
    /// The listener that checks its callers.
    guarded: String,
    /// The listener that acts on behalf of its callers.
    on_behalf: String,
    issuer: String,
    admin: String,
}

/// Runs the narration; then, unless `once`, stays up until Ctrl-C.
///
/// # Errors
/// When something cannot be started. A step that fails is told, and makes the exit code 1.
pub fn run(once: bool) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("cannot start a thread")?;
    let _guard = runtime.enter();
    let authority = Arc::new(DevelopmentAuthority::new()?);
    let issuer = runtime.block_on(serve::start(&authority))?;
    authority.set_issuer(&issuer);
    let api = Arc::new(SampleApi::default());
    let upstream = runtime.block_on(serve::start(&api))?;

    let yaml = configuration(&issuer, &upstream);
    let config = config::parse("demo.yaml", &yaml, &|_| None).map_err(|e| anyhow!("{e}"))?;
    let (clock, moved) = Clock::manual();
    let app = App::start(config, clock)?;
    let address = |address: Option<&BindAddress>| {
        address.map(|address| format!("http://{address}")).context("no address")
    };
    let vicar = address(app.addresses().get("demo"))?;
    let guarded = address(app.addresses().get("guarded"))?;
    let on_behalf = address(app.addresses().get("on-behalf"))?;
    let admin = address(app.admin_address())?;
    let stage = Stage { authority, api, clock: moved, vicar, guarded, on_behalf, issuer, admin };

    say(&introduction(&upstream, &stage, &yaml));
    let all_true = runtime.block_on(Story::new(&stage)?.tell());
    if !once {
        say(&invitation(&stage));
        runtime.block_on(tokio::signal::ctrl_c()).context("cannot wait for Ctrl-C")?;
    }
    app.stop();
    Ok(if all_true { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn configuration(issuer: &str, upstream: &str) -> String {
    format!(
        "\
listeners:
  demo: {{ address: 127.0.0.1:0 }}
  guarded: {{ address: 127.0.0.1:0 }}
  on-behalf: {{ address: 127.0.0.1:0 }}
admin: {{ address: 127.0.0.1:0 }}
issuers:
  demo:
    oidc: {{ issuer: {issuer} }}
    audiences: [sample-api]
clients:
  demo:
    authority: {{ oidc: {{ issuer: {issuer} }} }}
    client_id: demo
    credential: {{ client_secret: {{ danger_inline: not-a-real-secret }} }}
    warm_up: false        # so that you can watch the first call fetch the token
routes:
  - name: sample-api
    listener: demo
    token:
      client_credentials: {{ client: demo, scopes: [hello.read] }}
    upstream: {upstream}
  - name: sample-api-guarded
    listener: guarded
    authenticate: {{ issuers: [demo], app_scopes: [hello.read], claims_to_headers: {{ X-Caller: sub }} }}
    token: strip
    upstream: {upstream}
  - name: other-api-as-the-user
    listener: on-behalf
    authenticate: {{ issuers: [demo] }}
    token:
      on_behalf_of: {{ client: demo, scopes: [other.read] }}
    upstream: {upstream}
"
    )
}

fn introduction(upstream: &str, stage: &Stage, yaml: &str) -> String {
    let Stage { vicar, guarded, on_behalf, issuer, admin, .. } = stage;
    format!(
        "\
Vicar demo — for development only; everything listens on loopback.

  authority   {issuer}   issues tokens
  sample API  {upstream}   shows what reached it
  Vicar       {vicar}   plain HTTP in, token attached, forwarded
              {guarded}   callers' tokens checked, then forwarded
              {on_behalf}   callers' tokens exchanged for tokens on their behalf
  admin       {admin}

The configuration Vicar runs with:

{}",
        indented(yaml)
    )
}

fn invitation(stage: &Stage) -> String {
    let Stage { vicar, guarded, admin, .. } = stage;
    format!(
        "\
Try it yourself:

  curl {vicar}/hello
  curl -H 'Authorization: Bearer of-my-own' {vicar}/hello
  curl -d 'any body' {vicar}/hello
  curl -i {guarded}/hello
  curl {admin}/status
  curl {admin}/metrics

Ctrl-C ends the demo."
    )
}

fn indented(text: &str) -> String {
    text.lines().map(|line| ["  ", line, "\n"].concat()).collect()
}

/// Prints for people; when nobody reads any more there is nothing left to say.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
