//! The composition root: builds every stage from a [`Config`], binds, runs, drains.
//!
//! Threads: one *control* thread for authority traffic, admin and timers, and the *workers* that
//! carry traffic. A token request therefore never waits behind a busy worker, and no worker is
//! needed to keep a fetch alive.

mod build;
mod workers;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;

use crate::admin::{Admin, Readiness, ReadyGuard, UserTokensAdmin};
use crate::clock::Clock;
use crate::config::{Config, ListenerConfig};
use crate::drain::{Drain, DrainWatch};
use crate::inbound::{Bounds, InboundSpec, Issuers, KeyRing};
use crate::listener::{
    BindAddress, BindError, ConnectionLimits, Listener, ServerTls, Socket, bind,
};
use crate::telemetry::Metrics;
use crate::token::cache::{ApplicationCache, Slot, UserCache};

use build::{Blueprint, Tokens};
use workers::Workers;

/// A running Vicar.
#[derive(Debug)]
pub struct App {
    addresses: BTreeMap<String, BindAddress>,
    admin_address: Option<BindAddress>,
    readiness: Arc<Readiness>,
    draining: Option<ReadyGuard>,
    drain: Drain,
    grace: Duration,
    workers: Workers,
    /// Dropped last: it carries the admin listener.
    control: Runtime,
}

/// Why Vicar could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address is not to be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Two metrics have one name.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The system gave no thread or no event queue.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

impl App {
    /// Binds every address, then starts every thread. Nothing runs when an address is not to be had.
    ///
    /// # Errors
    /// When an address is taken, or the system is out of resources.
    pub fn start(config: Config, clock: Clock) -> Result<Self, StartError> {
        let Config { runtime, log, grace, admin, listeners, caches, clients: _, warnings } = config;
        for warning in &warnings {
            tracing::warn!(
                at = warning.path,
                what = warning.what,
                hint = warning.hint,
                "configuration"
            );
        }
        warn_of_open_listeners(&listeners, &clock);
        warn_of_reports(&listeners, &clock);
        let (bound, addresses) = bind_all(&listeners, runtime.workers)?;
        let admin = admin.map(|address| bind(&address, 1)).transpose()?;

        let control = control_runtime()?;
        let metrics = Metrics::new()?;
        let fetcher = control.handle();
        let tokens = Arc::new(ApplicationCache::new(clock.clone(), fetcher.clone()));
        let users = UserCache::new(clock.clone(), fetcher.clone(), caches.user_tokens);
        let users = Arc::new(users);
        let inbound = build::inbound_metrics(&metrics);
        let bounds = bounds(&listeners, caches.verified_token_bytes);
        let mut issuers = Issuers::new(clock, control.handle().clone(), inbound, bounds);
        let readiness = Arc::new(Readiness::default());
        let (drain, watch) = Drain::new();

        let caches = Tokens { application: &tokens, user: &users, metrics: &metrics };
        let blueprint = Blueprint::new(listeners, &caches, &mut issuers, log.access);
        warm_up(&control, &blueprint.slots, &readiness);
        let user_tokens: Arc<[_]> = blueprint.user_tokens.clone().into();
        sweep(&control, &users);
        fetch_keys(&control, &issuers, &readiness);
        let issuers = Arc::new(issuers);
        reload_certificates(&control, blueprint.certificates());
        let admin_address = admin.as_ref().map(|(address, _)| address.clone());
        for socket in admin.into_iter().flat_map(|(_, sockets)| sockets) {
            let (readiness, tokens) = (Arc::clone(&readiness), Arc::clone(&tokens));
            let (metrics, issuers) = (metrics.clone(), Arc::clone(&issuers));
            let user_tokens = UserTokensAdmin::new(
                Arc::clone(&users),
                Arc::clone(&user_tokens),
                issuers.names().collect(),
            );
            let admin = Admin { readiness, metrics, tokens, user_tokens, issuers };
            serve_admin(&control, socket, admin);
        }
        let workers = Workers::start(runtime, blueprint, bound, &watch)?;
        let draining = None;
        Ok(Self { addresses, admin_address, readiness, draining, drain, grace, workers, control })
    }

    /// Where each listener listens.
    #[must_use]
    pub fn addresses(&self) -> &BTreeMap<String, BindAddress> {
        &self.addresses
    }

    /// Where the admin listener listens.
    #[must_use]
    pub fn admin_address(&self) -> Option<&BindAddress> {
        self.admin_address.as_ref()
    }

    /// Stops accepting, lets what runs finish within the grace period, ends every thread. True when
    /// nothing had to be cut off.
    pub fn stop(mut self) -> bool {
        self.draining = Some(self.readiness.wait_for("draining"));
        self.drain.begin();
        let (drain, grace) = (&self.drain, self.grace);
        let finished = self
            .control
            .block_on(async { tokio::time::timeout(grace, drain.finished()).await.is_ok() });
        self.workers.stop();
        self.control.shutdown_timeout(CONTROL_GRACE);
        finished
    }
}

/// What one listener needs on each worker, and the sockets for it.
pub(crate) type BoundSockets = Vec<Vec<Socket>>;

fn bind_all(
    listeners: &[ListenerConfig],
    workers: usize,
) -> Result<(BoundSockets, BTreeMap<String, BindAddress>), BindError> {
    let mut addresses = BTreeMap::new();
    let mut sockets = Vec::new();
    for listener in listeners {
        let (address, opened) = bind(&listener.address, workers)?;
        addresses.insert(listener.name.clone(), address);
        sockets.push(opened);
    }
    Ok((sockets, addresses))
}

/// Whoever reaches such a listener acts with the client's rights.
fn warn_of_open_listeners(listeners: &[ListenerConfig], clock: &Clock) {
    for listener in listeners {
        let demands = listener.tls.as_ref().is_some_and(ServerTls::demands_certificate);
        let mut routes = listener.routes.iter();
        let attaches = routes.any(|route| {
            route.token.serves_anybody()
                && match &route.inbound {
                    InboundSpec::Unchecked(_) => true,
                    InboundSpec::Authenticated(spec) => {
                        let reports = spec.report_only_until;
                        spec.optional || reports.is_some_and(|until| clock.wall() < until)
                    }
                }
        });
        if listener.address.is_open() && attaches && !demands {
            tracing::warn!(
                listener = listener.name,
                address = %listener.address,
                "everyone who reaches this address gets the tokens of its routes without \
                 `authenticate`, or with `report_only` or `when_anonymous`; add it, bind to loopback, or demand a certificate with tls.client_ca"
            );
        }
    }
}

/// What the inbound stage may remember.
fn bounds(listeners: &[ListenerConfig], verified_bytes: u32) -> Bounds {
    let routes = listeners.iter().flat_map(|listener| &listener.routes);
    let ages = routes.filter_map(|route| match &route.inbound {
        InboundSpec::Authenticated(spec) => Some(spec.proof.max_age),
        InboundSpec::Unchecked(_) => None,
    });
    let proof_age = ages.max().unwrap_or_default();
    Bounds { verified_bytes: verified_bytes.into(), proof_age }
}

/// A route that only reports lets everybody in.
fn warn_of_reports(listeners: &[ListenerConfig], clock: &Clock) {
    for route in listeners.iter().flat_map(|listener| &listener.routes) {
        let InboundSpec::Authenticated(spec) = &route.inbound else { continue };
        let Some(until) = spec.report_only_until else { continue };
        let route = route.name.as_ref();
        if let Some(left) = until.checked_sub(clock.wall()) {
            let hours_left = left.as_secs() / 3600;
            let what = "REPORT ONLY: this route forwards requests that it should refuse";
            tracing::warn!(route, hours_left, "{what}");
        } else {
            tracing::warn!(route, "report_only has ended: this route refuses; remove it");
        }
    }
}

/// Keeps every issuer's keys fresh; readiness waits for the first of each.
fn fetch_keys(control: &Runtime, issuers: &Issuers, readiness: &Arc<Readiness>) {
    for (issuer, ring) in issuers.key_rings() {
        let name = format!("keys of issuer {}", issuer.name);
        let waiting = issuer.warm_up.then(|| readiness.wait_for(name));
        control.spawn(KeyRing::keep_fresh(Arc::downgrade(ring), waiting));
    }
}

fn control_runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(1).thread_name("vicar-control").enable_all().build()
}

/// Fetches every route's first token, so that the first request finds it; readiness waits for each.
fn warm_up(control: &Runtime, slots: &[Arc<Slot>], readiness: &Arc<Readiness>) {
    for slot in slots.iter().filter(|slot| slot.client().warm_up) {
        let guard = readiness.wait_for(format!("first token of client {}", slot.client().name));
        let slot = Arc::clone(slot);
        control.spawn(async move {
            slot.warm_up().await;
            drop(guard);
        });
    }
}

/// Lets go of what has expired, whether or not anybody asks for it again.
fn sweep(control: &Runtime, users: &Arc<UserCache>) {
    let users = Arc::downgrade(users);
    control.spawn(async move {
        let mut pause = tokio::time::interval(SWEEP);
        loop {
            pause.tick().await;
            let Some(users) = users.upgrade() else { return };
            // A million entries take a while, and this thread carries fetches.
            let _ = tokio::task::spawn_blocking(move || users.sweep()).await;
        }
    });
}

fn reload_certificates(control: &Runtime, certificates: Vec<Arc<ServerTls>>) {
    if certificates.is_empty() {
        return;
    }
    control.spawn(async move {
        let mut pause = tokio::time::interval(CERTIFICATE_CHECK);
        pause.tick().await;
        loop {
            pause.tick().await;
            for tls in certificates.clone() {
                let _ = tokio::task::spawn_blocking(move || tls.reload()).await;
            }
        }
    });
}

/// Serves admin until the process ends: it must answer while traffic drains.
fn serve_admin(control: &Runtime, socket: Socket, service: Admin) {
    let listener = Listener {
        name: "admin".into(),
        tls: None,
        limits: ADMIN_LIMITS,
        room: Arc::new(Semaphore::new(ADMIN_LIMITS.connections as usize)),
        service,
    };
    control.spawn(async move {
        let (_never, watch): (Drain, DrainWatch) = Drain::new();
        if let Err(error) = listener.run(socket, watch).await {
            tracing::error!(%error, "the admin listener failed");
        }
    });
}

const CONTROL_GRACE: Duration = Duration::from_secs(1);
const SWEEP: Duration = Duration::from_secs(10);
const CERTIFICATE_CHECK: Duration = Duration::from_secs(5);
const ADMIN_LIMITS: ConnectionLimits = ConnectionLimits {
    connections: 64,
    header_bytes: 16 * 1024,
    headers: 64,
    streams: 16,
    header_timeout: Duration::from_secs(5),
    idle_timeout: Duration::from_secs(60),
};
