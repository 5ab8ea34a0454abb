//! What the outside can observe: log lines and metrics.
//!
//! A leaf. Log lines go to standard output through a bounded queue: when nobody reads them they are
//! dropped, and traffic goes on. Libraries never log below warn, whatever the level:
//! some of them print header values when asked for detail.

mod metrics;

use std::io::IsTerminal;

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

pub use metrics::Metrics;

/// What is logged, and how.
#[derive(Clone, Copy, Debug)]
pub struct LogSettings {
    /// JSON or text.
    pub format: LogFormat,
    /// The least severe level of Vicar's own lines.
    pub level: Level,
    /// One line per request.
    pub access: bool,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// Text for people.
    Pretty,
}

/// Starts logging to standard output; lines still queued are written when the guard is dropped.
#[must_use = "lines that are still queued are written when it is dropped"]
pub fn start_logging(settings: LogSettings) -> LogGuard {
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(QUEUED_LINES)
        .thread_name("vicar-log")
        .finish(std::io::stdout());
    let targets =
        Targets::new().with_default(LevelFilter::WARN).with_target("vicar", settings.level);
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    let layer = match settings.format {
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
        LogFormat::Pretty => layer.with_ansi(std::io::stdout().is_terminal()).boxed(),
    };
    // Only the first call in a process takes effect; a second one would be a test's.
    let _ = tracing_subscriber::registry().with(layer.with_filter(targets)).try_init();
    LogGuard { guard: Some(guard) }
}

/// Writes the lines that are still queued when it is dropped, as far as somebody reads them.
#[derive(Debug)]
pub struct LogGuard {
    guard: Option<WorkerGuard>,
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        // A reader that has stopped reading must not keep the process from ending.
        let (written, wait) = std::sync::mpsc::channel();
        let guard = self.guard.take();
        let flush = std::thread::Builder::new().spawn(move || {
            drop(guard);
            let _ = written.send(());
        });
        if flush.is_ok() {
            let _ = wait.recv_timeout(FLUSH_PATIENCE);
        }
    }
}

const QUEUED_LINES: usize = 16_384;
const FLUSH_PATIENCE: std::time::Duration = std::time::Duration::from_secs(1);
