//! The threads that carry traffic, in one of two layouts.
//!
//! Part of `app`. *Per worker*: each thread has a single-threaded runtime, its own sockets and its own
//! upstream connections; nothing on the hot path is shared but counters and token slots. *Shared*: one
//! runtime over all threads, which spreads a few heavy connections better. ARCHITECTURE.md has the
//! measurements behind the default.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use super::BoundSockets;
use super::build::Blueprint;
use crate::config::{Layout, Runtime as RuntimeConfig};
use crate::drain::DrainWatch;
use crate::listener::{Listener, Socket};
use crate::proxy::Proxy;

/// Running workers.
#[derive(Debug)]
pub(super) struct Workers {
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts them; `sockets` holds, per listener, one socket for each worker.
    pub(super) fn start(
        config: RuntimeConfig,
        blueprint: Blueprint,
        sockets: BoundSockets,
        drain: &DrainWatch,
    ) -> io::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let blueprint = Arc::new(blueprint);
        let mut threads = Vec::new();
        for (index, (runtime, sockets)) in shares(config, sockets)?.into_iter().enumerate() {
            let (blueprint, drain) = (Arc::clone(&blueprint), drain.clone());
            let mut stopped = stopped.clone();
            let thread = std::thread::Builder::new().name(format!("vicar-worker-{index}"));
            threads.push(thread.spawn(move || {
                runtime.block_on(async {
                    let listeners = blueprint.listeners(&drain);
                    drop(blueprint);
                    accept_all(listeners, sockets, &drain);
                    drop(drain);
                    let _ = stopped.wait_for(|stop| *stop).await;
                });
                runtime.shutdown_background();
            })?);
        }
        Ok(Self { stop, threads })
    }

    /// Ends every thread; what still runs is cut off.
    pub(super) fn stop(&mut self) {
        self.stop.send_replace(true);
        for thread in self.threads.drain(..) {
            // A worker that panicked has reported itself already.
            let _ = thread.join();
        }
    }
}

/// A runtime for each thread to drive, and the sockets, per listener, that it serves.
fn shares(
    config: RuntimeConfig,
    sockets: BoundSockets,
) -> io::Result<Vec<(Runtime, BoundSockets)>> {
    if config.layout == Layout::Shared {
        let runtime = Builder::new_multi_thread()
            .worker_threads(config.workers)
            .thread_name("vicar-worker")
            .enable_all()
            .build()?;
        return Ok(vec![(runtime, sockets)]);
    }
    let mut sockets: Vec<_> = sockets.into_iter().map(Vec::into_iter).collect();
    let mut shares = Vec::new();
    for _ in 0..config.workers {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let share = sockets.iter_mut().map(|sockets| sockets.next().into_iter().collect());
        shares.push((runtime, share.collect()));
    }
    Ok(shares)
}

/// Starts an accept loop for every socket of every listener.
fn accept_all(listeners: Vec<Listener<Proxy>>, sockets: Vec<Vec<Socket>>, drain: &DrainWatch) {
    for (listener, sockets) in listeners.into_iter().zip(sockets) {
        for socket in sockets {
            let (listener, drain) = (listener.clone(), drain.clone());
            tokio::spawn(async move {
                let name = Arc::clone(&listener.name);
                if let Err(error) = listener.run(socket, drain).await {
                    tracing::error!(listener = %name, %error, "a listener failed");
                }
            });
        }
    }
}
